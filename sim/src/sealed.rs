//! Serialised values with a checksum, so that a damaged one is refused and not used.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Result, SimError};

/// Length of the checksum at the end, CRC-32C, little-endian.
const CHECKSUM_LEN: usize = size_of::<u32>();

/// A value in the format postcard, with its checksum.
///
/// # Errors
/// If it cannot be serialised.
pub fn seal(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = postcard::to_stdvec(value).map_err(|error| SimError::Snapshot(error.to_string()))?;
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend(checksum.to_le_bytes());
    Ok(bytes)
}

/// The value of [`seal`].
///
/// # Errors
/// If the bytes are damaged, were not written by [`seal`], or are found to be of another type: types are not stored.
pub fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let refused = |reason: &dyn std::fmt::Display| SimError::Snapshot(reason.to_string());
    let (value, checksum) =
        bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or_else(|| refused(&"it is too short"))?;
    if crc32c::crc32c(value) != u32::from_le_bytes(*checksum) {
        return Err(refused(&"it is damaged, or of an older program: the checksum differs"));
    }
    match postcard::take_from_bytes(value).map_err(|error| refused(&error))? {
        (value, []) => Ok(value),
        (_, rest) => Err(refused(&format!("{} bytes are left over", rest.len()))),
    }
}
