//! Frames in GPU memory as tensors.

#[cfg(feature = "cuda")]
mod enabled;
#[cfg(feature = "cuda")]
pub(crate) use enabled::tensor;

#[cfg(not(feature = "cuda"))]
mod disabled;
#[cfg(not(feature = "cuda"))]
pub(crate) use disabled::tensor;
