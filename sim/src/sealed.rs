//! Serialised values with a checksum, so that a damaged one is refused and not used.

use std::fmt::Display;

use postcard::de_flavors::{Flavor, Slice};
use serde::de::{Deserialize, DeserializeOwned};
use serde::ser::Serialize;

use crate::{Result, SimError};

/// Length of the checksum at the end, CRC-32C, little-endian.
const CHECKSUM_LEN: usize = size_of::<u32>();

/// A value in the format postcard, with its checksum.
///
/// # Errors
/// If it cannot be serialised.
pub fn seal(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = to_bytes(value)?;
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend(checksum.to_le_bytes());
    Ok(bytes)
}

/// The value of [`seal`].
///
/// # Errors
/// If the bytes are damaged, were not written by [`seal`], or are found to be of another type: types are not stored.
pub fn unseal<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T> {
    let (value, checksum) =
        bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or_else(|| refused(&"it is too short"))?;
    if crc32c::crc32c(value) != u32::from_le_bytes(*checksum) {
        return Err(refused(&"it is damaged, or of an older program: the checksum differs"));
    }
    let (value, rest) = postcard::take_from_bytes(value).map_err(|error| refused(&error))?;
    nothing_left(rest).map(|()| value)
}

/// A value in the format postcard.
pub(crate) fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|error| refused(&error))
}

/// The value of [`to_bytes`], if none of its integers is above `u32::MAX`.
pub(crate) fn from_bytes_of_small_integers<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let flavor = SmallIntegers { bytes: Slice::new(bytes), n_continued: 0 };
    let mut deserializer = postcard::Deserializer::from_flavor(flavor);
    let value = T::deserialize(&mut deserializer).map_err(|error| refused(&error))?;
    let rest = deserializer.finalize().map_err(|error| refused(&error))?;
    nothing_left(rest).map(|()| value)
}

fn nothing_left(rest: &[u8]) -> Result<()> {
    if rest.is_empty() { Ok(()) } else { Err(refused(&format!("{} bytes are left over", rest.len()))) }
}

fn refused(reason: &dyn Display) -> SimError {
    SimError::Snapshot(reason.to_string())
}

/// Bytes whose variable-length integers are at most `u32::MAX`: seven bits a byte, the eighth says that another follows.
/// Floating-point numbers and text are not popped byte by byte, and pass.
struct SmallIntegers<'de> {
    bytes: Slice<'de>,
    /// Bytes of the present integer before this one.
    n_continued: u32,
}

impl<'de> Flavor<'de> for SmallIntegers<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        let byte = self.bytes.pop()?;
        let rest_of_u32 = u32::MAX.checked_shr(7 * self.n_continued).unwrap_or(0);
        if u32::from(byte) > rest_of_u32 {
            return Err(postcard::Error::DeserializeBadVarint);
        }
        self.n_continued = if byte & 0x80 == 0 { 0 } else { self.n_continued + 1 };
        Ok(byte)
    }

    fn size_hint(&self) -> Option<usize> {
        self.bytes.size_hint()
    }

    fn try_take_n(&mut self, ct: usize) -> postcard::Result<&'de [u8]> {
        self.n_continued = 0;
        self.bytes.try_take_n(ct)
    }

    fn finalize(self) -> postcard::Result<&'de [u8]> {
        self.bytes.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_whose_number_of_elements_overflows_is_refused() {
        type Matrix = rapier3d::na::DMatrix<f32>;
        let sized = |rows: u64, columns: u64| to_bytes(&(Vec::<f32>::new(), rows, columns)).unwrap();
        assert!(from_bytes_of_small_integers::<Matrix>(&sized(3, 0)).is_ok());
        assert!(from_bytes_of_small_integers::<Matrix>(&sized(1 << 63, 2)).is_err());
        assert!(from_bytes_of_small_integers::<Matrix>(&sized(1 << 32, 1 << 32)).is_err());
    }

    #[test]
    fn integers_above_32_bits_are_refused_and_all_others_pass() {
        let small = (u64::from(u32::MAX), 127_u64, -1.5_f32, vec![200_u64, 0], "\u{ff}".to_owned());
        let bytes = to_bytes(&small).unwrap();
        assert_eq!(from_bytes_of_small_integers::<(u64, u64, f32, Vec<u64>, String)>(&bytes).unwrap(), small);
        for large in [u64::from(u32::MAX) + 1, 1 << 35, u64::MAX] {
            let bytes = to_bytes(&(0_u64, large)).unwrap();
            assert!(from_bytes_of_small_integers::<(u64, u64)>(&bytes).is_err(), "{large}");
        }
    }
}
