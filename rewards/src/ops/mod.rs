//! Operations of transformer towers, fused for the CPU, with forward and backward passes.
//!
//! Each public function is one node of candle's graph. On the CPU in f32 it runs the kernels of this folder; on any other
//! device, or in half precision, it is composed of candle's own operations, which is also what the tests compare with.
//! Sums run in an order that depends on shapes alone, so results do not depend on the number of threads.

mod activation;
mod attention;
mod first_token;
mod layer;
mod linear;
pub mod math;
mod matmul;
mod norm;
mod packed;
mod patches;

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

pub use activation::Activation;
pub use first_token::encoder_layer_first_token;
pub use layer::{LayerSpec, encoder_layer};
pub use linear::linear;
pub use matmul::{Matrix, matmul};
pub use norm::layer_norm;
pub use packed::{PackedLayer, WeightLayout, pack_layer};
pub use patches::patchify;

/// Number of rows of the given width per parallel task. It depends only on the width, so that sums over rows do not change
/// with the number of threads.
fn rows_per_task(width: usize) -> usize {
    (32_768 / width.max(1)).max(1)
}

/// The values of a contiguous f32 tensor on the CPU.
///
/// # Errors
/// If the tensor is not f32, not on the CPU or not contiguous.
pub fn f32_values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        (CpuStorage::F32(_), None) => candle_core::bail!("a contiguous tensor is needed, got {layout:?}"),
        _ => candle_core::bail!("f32 is needed on the CPU"),
    }
}

/// Calls `f` with the values of a contiguous f32 tensor on the CPU, without copying them.
///
/// # Errors
/// As [`f32_values`], and those of `f`.
pub fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(f32_values(storage, layout)?),
        _ => candle_core::bail!("a tensor on the CPU is needed"),
    }
}

#[cfg(test)]
mod testing {
    use candle_core::{Result, Tensor, Var, backprop::GradStore};

    /// Fails unless every element agrees within `tolerance`, relative to the largest of `want`.
    pub fn assert_close(got: &Tensor, want: &Tensor, tolerance: f32) -> Result<()> {
        assert_eq!(got.dims(), want.dims());
        let scale = want.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?.max(1.0);
        let error = (got - want)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
        assert!(error <= tolerance * scale, "error of {error:e} in values up to {scale}");
        Ok(())
    }

    pub fn grad_of(grads: &GradStore, var: &Var) -> Result<Tensor> {
        grads.get(var).cloned().ok_or_else(|| candle_core::Error::msg("no gradient"))
    }
}
