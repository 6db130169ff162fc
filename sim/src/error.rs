//! What can go wrong in the simulator.

use std::path::PathBuf;

/// Result of a fallible call into the simulator.
pub type Result<T, E = SimError> = std::result::Result<T, E>;

/// An error of the simulator; the message says what was wrong, where, and what is allowed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A field of a scene or of a configuration is out of its range.
    #[error("{field} = {got} is out of range; expected {expected}")]
    OutOfRange {
        /// Dotted path of the field.
        field: String,
        /// What stands there.
        got: String,
        /// What may stand there.
        expected: String,
    },
    /// A name refers to nothing.
    #[error("{what} '{name}' does not exist; there are: {}", known.join(", "))]
    UnknownName {
        /// Kind of thing: body, joint, camera, material.
        what: &'static str,
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A name is used twice.
    #[error("{what} '{name}' is declared twice")]
    DuplicateName {
        /// Kind of thing: body, joint, camera, material.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A buffer has the wrong length.
    #[error("{what}: expected {expected} values, got {got}")]
    WrongLength {
        /// What the buffer holds.
        what: &'static str,
        /// The length that is needed.
        expected: usize,
        /// The length that came.
        got: usize,
    },
    /// A file could not be read or decoded.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A snapshot does not belong to this world or is damaged.
    #[error("snapshot cannot be restored: {0}")]
    Snapshot(String),
    /// There is no such graphics processor.
    #[error("there is no {wanted} to draw on; found: {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })]
    NoGpu {
        /// What was asked for.
        wanted: String,
        /// Those that there are.
        found: Vec<String>,
    },
    /// More was asked of a graphics processor than it can do at a time.
    #[error("{what}: {need} are needed and {limit} is the limit; {hint}")]
    GpuLimit {
        /// The device, and what there is too much of.
        what: String,
        /// What the request needs.
        need: u64,
        /// What the device allows.
        limit: u64,
        /// What to do.
        hint: String,
    },
    /// A graphics processor has not enough memory left.
    #[error(
        "{device} is out of memory: {what} needs {}{}",
        need.map_or_else(|| "more than is left".to_owned(), |need| format!("{need} more bytes")),
        fits.map_or_else(String::new, |fits| format!("; {fits} views at a time would fit"))
    )]
    GpuMemory {
        /// The device.
        device: String,
        /// What the memory was for.
        what: String,
        /// Bytes that it needs, where the driver says.
        need: Option<u64>,
        /// How many views at a time would fit, where that is known.
        fits: Option<usize>,
    },
    /// A graphics processor stopped answering. What was saved is intact.
    #[error("{device} was lost: {reason}; run again, or draw on the CPU")]
    GpuLost {
        /// The device.
        device: String,
        /// What the driver said.
        reason: String,
    },
    /// A graphics processor refused something.
    #[error("{0}")]
    Gpu(String),
}
