//! Small networks on candle tensors, made for batches of tens of rows.
//!
//! A policy's layers are tiny, and composed from general tensor ops they would spend their time on bookkeeping. So a
//! layer is one op here, forward and backward; on devices without these ops the same layer is composed from candle's
//! own, and the tests compare the two.

pub mod adam;
pub mod conv;
pub mod init;
pub mod kernels;
pub mod linear;

pub use adam::Adam;
pub use conv::Conv2d;
pub use linear::{Activation, Linear};

use candle_core::{CpuStorage, Layout, Storage, Tensor, Var};

/// The trainable tensors of a network in a fixed order, by name.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    named: Vec<(String, Var)>,
}

impl Parameters {
    /// Adds a tensor and returns it.
    pub fn add(&mut self, name: impl Into<String>, var: Var) -> Var {
        self.named.push((name.into(), var.clone()));
        var
    }

    /// Names and tensors, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.named.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Trainable values in all.
    pub fn n_values(&self) -> usize {
        self.named.iter().map(|(_, var)| var.elem_count()).sum()
    }
}

/// The values of a contiguous f32 tensor in host memory.
pub(crate) fn host_slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a fused op needs contiguous tensors, got {layout:?}"),
    }
}

/// Calls `f` with the values of a contiguous f32 tensor in host memory.
pub(crate) fn with_host_slice<R>(
    tensor: &Tensor,
    f: impl FnOnce(&[f32]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(host_slice(storage, layout)?),
        _ => candle_core::bail!("a fused op needs tensors in host memory"),
    }
}
