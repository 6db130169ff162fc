//! Errors of the simulator.

use std::path::PathBuf;

/// Result of a fallible call into the simulator.
pub type Result<T, E = SimError> = std::result::Result<T, E>;

/// An error of the simulator; the message names the field, its value and what is allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A field of a scene or of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Dotted path of the field.
        field: String,
        /// Its value.
        got: String,
        /// The allowed values.
        expected: String,
    },
    /// A name does not exist.
    #[error("{what} '{name}' does not exist; there are: {}", known.join(", "))]
    UnknownName {
        /// What the name refers to: body, joint, camera or material.
        what: &'static str,
        /// The requested name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A name is used twice.
    #[error("{what} '{name}' is declared twice")]
    DuplicateName {
        /// What the name refers to: body, joint, camera or material.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A buffer has the wrong length.
    #[error("{what}: expected {expected} values, got {got}")]
    WrongLength {
        /// Content of the buffer.
        what: &'static str,
        /// Required length.
        expected: usize,
        /// Actual length.
        got: usize,
    },
    /// A file could not be read or decoded.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error message of the reader.
        reason: String,
    },
    /// An image file could not be decoded.
    #[error("cannot decode {}: {reason}", path.display())]
    Image {
        /// Path of the file.
        path: PathBuf,
        /// Error message of the reader.
        reason: String,
    },
    /// The memory of this machine is too small.
    #[error("{what} would need about {need} of memory, and {available} are available")]
    Memory {
        /// What was asked for.
        what: String,
        /// Estimate of the memory that it needs.
        need: String,
        /// Memory that is available.
        available: String,
    },
    /// A snapshot is of another scene or damaged.
    #[error("snapshot cannot be restored: {0}")]
    Snapshot(String),
    /// The requested GPU does not exist.
    #[error(
        "there is no {wanted} to render on; found: {}",
        if found.is_empty() { "none".to_owned() } else { found.join(", ") }
    )]
    NoGpu {
        /// The requested device.
        wanted: String,
        /// The available devices.
        found: Vec<String>,
    },
    /// A request exceeds a limit of a GPU.
    #[error("{what}: {need} are needed and {limit} is the limit; {hint}")]
    GpuLimit {
        /// The device, and the quantity that exceeds its limit.
        what: String,
        /// The required quantity.
        need: u64,
        /// The limit of the device.
        limit: u64,
        /// How to stay within the limit.
        hint: String,
    },
    /// A GPU is out of memory.
    #[error(
        "{device} is out of memory: {what} needs {}{}",
        need.map_or_else(|| "more than is left".to_owned(), |need| format!("{need} more bytes")),
        fits.map_or_else(String::new, |fits| format!("; {fits} views at a time would fit"))
    )]
    GpuMemory {
        /// The device.
        device: String,
        /// What the memory was requested for.
        what: String,
        /// Number of bytes needed, if the driver reports it.
        need: Option<u64>,
        /// Number of views that would fit at a time, if known.
        fits: Option<usize>,
    },
    /// A GPU stopped responding. Saved files are intact.
    #[error("{device} was lost: {reason}; run again, or render on the CPU")]
    GpuLost {
        /// The device.
        device: String,
        /// Error message of the driver.
        reason: String,
    },
    /// Any other error of a GPU or its driver.
    #[error("{0}")]
    Gpu(String),
}
