//! Matrix products of layers.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::rows_per_task;

/// `x · weightᵀ`: x is `[.., n_in]`, the weight `[n_out, n_in]`, the result `[.., n_out]`.
///
/// Unlike candle's own product, it computes no gradient for an `x` that needs none (pixels).
///
/// # Errors
/// If the shapes do not fit.
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 {
        return x.contiguous()?.apply_op2(&weight.contiguous()?, Linear);
    }
    let (n_out, n_in) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = n_out;
    }
    x.reshape(((), n_in))?.matmul(&weight.t()?)?.reshape(shape)
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "sayso-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (&[n_out, n_in], Some(&width)) = (lw.dims(), lx.dims().last()) else {
            candle_core::bail!("linear layer: input {:?} does not fit weight {:?}", lx.dims(), lw.dims());
        };
        if width != n_in {
            candle_core::bail!("linear layer: input {:?} does not fit weight {:?}", lx.dims(), lw.dims());
        }
        let n_rows = lx.shape().elem_count() / n_in.max(1);
        let x_rows = Layout::contiguous_with_offset((n_rows, n_in), lx.start_offset());
        let out = x.matmul(w, (1, n_rows, n_out, n_in), &x_rows, &lw.transpose(0, 1)?)?;
        let mut shape = lx.dims().to_vec();
        shape.pop();
        shape.push(n_out);
        Ok((out, shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (n_out, n_in) = weight.dims2()?;
        let rows = grad.contiguous()?.reshape(((), n_out))?;
        let (x_detached, weight_detached) = (x.detach().reshape(((), n_in))?, weight.detach());
        let grad_x = match x.track_op() {
            true => Some(rows.matmul(&weight_detached)?.reshape(x.shape())?),
            false => None,
        };
        let grad_weight = match weight.track_op() {
            true => Some(rows.t()?.matmul(&x_detached)?),
            false => None,
        };
        Ok((grad_x, grad_weight))
    }
}

/// A row-major matrix on the CPU whose products use candle's `gemm`.
pub(super) struct GemmMatrix {
    storage: CpuStorage,
    n_rows: usize,
    n_cols: usize,
}

impl GemmMatrix {
    /// A matrix of zeros.
    pub fn zeros(n_rows: usize, n_cols: usize) -> Self {
        Self::from_values(n_cols, vec![0.0; n_rows * n_cols])
    }

    /// Wraps row-major values, `n_cols` per row.
    pub fn from_values(n_cols: usize, values: Vec<f32>) -> Self {
        Self { n_rows: values.len() / n_cols.max(1), n_cols, storage: CpuStorage::F32(values) }
    }

    pub fn values(&self) -> &[f32] {
        match &self.storage {
            CpuStorage::F32(values) => values,
            _ => &[],
        }
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.storage {
            CpuStorage::F32(values) => values,
            _ => &mut [],
        }
    }

    pub fn into_storage(self) -> CpuStorage {
        self.storage
    }

    fn layout(&self) -> Layout {
        Layout::contiguous((self.n_rows, self.n_cols))
    }

    /// `self · other`, for the matrix in `storage` with this layout.
    pub fn times(&self, storage: &CpuStorage, other: &Layout) -> Result<Self> {
        let (_, n_out) = other.shape().dims2()?;
        let shape = (1, self.n_rows, n_out, self.n_cols);
        let out = self.storage.matmul(storage, shape, &self.layout(), other)?;
        Ok(Self { storage: out, n_rows: self.n_rows, n_cols: n_out })
    }

    /// `selfᵀ · other`: the gradient of a weight, from the layer's input and the gradient of its output, in either order.
    pub fn transposed_times(&self, other: &Self) -> Result<Self> {
        let shape = (1, self.n_cols, other.n_cols, self.n_rows);
        let out =
            self.storage.matmul(&other.storage, shape, &self.layout().transpose(0, 1)?, &other.layout())?;
        Ok(Self { storage: out, n_rows: self.n_cols, n_cols: other.n_cols })
    }

    /// Sum of the rows: the gradient of a bias.
    pub fn column_sums(&self) -> Vec<f32> {
        let partial: Vec<Vec<f32>> = self
            .values()
            .par_chunks(rows_per_task(self.n_cols) * self.n_cols)
            .map(|rows| {
                let mut sums = vec![0.0; self.n_cols];
                for row in rows.chunks_exact(self.n_cols) {
                    sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
                }
                sums
            })
            .collect();
        let mut sums = vec![0.0; self.n_cols];
        for partial in &partial {
            sums.iter_mut().zip(partial).for_each(|(sum, v)| *sum += v);
        }
        sums
    }

    /// `self += other`.
    pub fn add(&mut self, other: &[f32]) {
        let chunk = rows_per_task(1);
        self.values_mut().par_chunks_mut(chunk).zip(other.par_chunks(chunk)).for_each(|(a, b)| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        });
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::ops::testing::{assert_close, grad_of};

    #[test]
    fn values_and_gradients_agree_with_composed_operations() -> Result<()> {
        let device = Device::Cpu;
        let x = Var::randn(0f32, 1.0, (3, 5, 24), &device)?;
        let weight = Var::randn(0f32, 1.0, (10, 24), &device)?;
        let mix = Tensor::randn(0f32, 1.0, (3, 5, 10), &device)?;
        let ours = linear(&x, &weight)?;
        let slow = x.reshape((15, 24))?.matmul(&weight.t()?)?.reshape((3, 5, 10))?;
        assert_close(&ours, &slow, 1e-5)?;
        let ours = (ours * &mix)?.sum_all()?.backward()?;
        let slow = (slow * &mix)?.sum_all()?.backward()?;
        for var in [&x, &weight] {
            assert_close(&grad_of(&ours, var)?, &grad_of(&slow, var)?, 1e-5)?;
        }
        Ok(())
    }
}
