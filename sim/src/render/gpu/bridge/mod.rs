//! The way out of this device's memory: buffers that another interface of the same card can map.
//!
//! ```text
//! draw ─► buffer in exported memory ─► CUDA maps it ─► one copy on the card ─► tensor
//!   ▲          turns alternate on a timeline semaphore that both sides know          │
//!   └──────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! All `unsafe` code of the project stands in `linux.rs`. Elsewhere nothing is exported, and pictures go through the host.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod platform;

pub(super) use platform::{Link, Turn, open, shares_memory, uuid};

#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda")]
pub use driver::{CudaDriver, CudaVersion};

#[cfg(all(feature = "cuda", not(target_os = "linux")))]
compile_error!("the feature `cuda` is for Linux; Windows has other handles than file descriptors");
