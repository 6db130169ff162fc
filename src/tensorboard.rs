//! TensorBoard event files: scalars over steps.
//!
//! A file is a sequence of records, each `length: u64le, masked_crc32c(length): u32le, bytes, masked_crc32c(bytes)`
//! (TensorFlow, `core/lib/io/record_writer.cc`), each record one protocol buffer `Event`
//! (`core/util/event.proto`). Both are encoded here without a library; docs/adr/0006 has the reasons.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// Appends events to one new file.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Creates a new event file in `folder`. The log continues at `start_step`: TensorBoard hides events at or after it of
    /// older files in the same folder.
    ///
    /// # Errors
    /// If the file cannot be created or written.
    pub fn create(folder: &Path, start_step: u64) -> Result<Self> {
        let now = unix_secs();
        let seconds = now as u64;
        let name =
            |suffix: u32| format!("events.out.tfevents.{seconds:010}.sayso.{}.{suffix}", std::process::id());
        let path = (0..).map(|suffix| folder.join(name(suffix))).find(|path| !path.exists());
        let path = path.unwrap_or_else(|| folder.join(name(0)));
        let file = File::create_new(&path).map_err(Error::file("create", &path))?;
        let mut writer = Self { path, file };
        writer.write_event(&Event::version(now))?;
        if start_step > 0 {
            writer.write_event(&Event::session_start(now, start_step))?;
        }
        Ok(writer)
    }

    /// Logs one value per tag at `step`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_scalars<'a>(
        &mut self,
        step: u64,
        scalars: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        self.write_event(&Event::scalars(unix_secs(), step, scalars))
    }

    fn write_event(&mut self, event: &Event) -> Result<()> {
        self.file.write_all(&record(&event.0)).map_err(Error::file("write", &self.path))
    }
}

/// One encoded `Event`.
struct Event(Vec<u8>);

impl Event {
    const WALL_TIME: u32 = 1;
    const STEP: u32 = 2;
    const FILE_VERSION: u32 = 3;
    const SUMMARY: u32 = 5;
    const SESSION_LOG: u32 = 7;

    fn version(wall_secs: f64) -> Self {
        let mut bytes = Vec::new();
        put_f64(&mut bytes, Self::WALL_TIME, wall_secs);
        put_bytes(&mut bytes, Self::FILE_VERSION, b"brain.Event:2");
        Self(bytes)
    }

    fn session_start(wall_secs: f64, step: u64) -> Self {
        const STATUS: u32 = 1;
        const START: u64 = 1;
        let mut session_log = Vec::new();
        put_u64(&mut session_log, STATUS, START);
        let mut bytes = Vec::new();
        put_f64(&mut bytes, Self::WALL_TIME, wall_secs);
        put_u64(&mut bytes, Self::STEP, step);
        put_bytes(&mut bytes, Self::SESSION_LOG, &session_log);
        Self(bytes)
    }

    fn scalars<'a>(wall_secs: f64, step: u64, scalars: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        const SUMMARY_VALUE: u32 = 1;
        const VALUE_TAG: u32 = 1;
        const VALUE_SIMPLE: u32 = 2;
        let mut summary = Vec::new();
        for (tag, value) in scalars {
            let mut entry = Vec::new();
            put_bytes(&mut entry, VALUE_TAG, tag.as_bytes());
            put_f32(&mut entry, VALUE_SIMPLE, value as f32);
            put_bytes(&mut summary, SUMMARY_VALUE, &entry);
        }
        let mut bytes = Vec::new();
        put_f64(&mut bytes, Self::WALL_TIME, wall_secs);
        put_u64(&mut bytes, Self::STEP, step);
        put_bytes(&mut bytes, Self::SUMMARY, &summary);
        Self(bytes)
    }
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(bytes.len() + 16);
    out.extend_from_slice(&length);
    out.extend_from_slice(&masked_crc(&length).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(&masked_crc(bytes).to_le_bytes());
    out
}

/// A CRC of data that contains CRCs is weak, so TensorFlow rotates and offsets it (`core/lib/hash/crc32c.h`).
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn unix_secs() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Wire types of protocol buffers.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH_DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_key(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_varint(out, u64::from(field << 3 | wire_type));
}

fn put_u64(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, VARINT);
    put_varint(out, value);
}

fn put_f64(out: &mut Vec<u8>, field: u32, value: f64) {
    put_key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_f32(out: &mut Vec<u8>, field: u32, value: f32) {
    put_key(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, LENGTH_DELIMITED);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    // From TensorFlow, `core/lib/hash/crc32c_test.cc`: 32 zero bytes have the CRC 0x8a9136aa.
    #[test]
    fn crc_equals_that_of_tensorflow() {
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        let unmasked = masked_crc(&[0; 32]).wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked, 0x8a91_36aa);
    }

    // Encoded by the reference implementation:
    // tensorboard.compat.proto.event_pb2.Event(wall_time=1.5, step=300,
    //   summary={"value": [{"tag": "a", "simple_value": 0.25}]}).SerializeToString().hex()
    #[test]
    fn scalar_event_equals_that_of_protobuf() {
        let event = Event::scalars(1.5, 300, [("a", 0.25)]);
        let hex: String = event.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "09000000000000f83f10ac022a0a0a080a0161150000803e");
    }
}
