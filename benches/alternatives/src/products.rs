//! Small matrix products: ours, and candle's, which go to gemm.

use candle_core::{Device, Tensor};
use sayso_rewards::ops::{Matrix, matmul};

use crate::pair;

/// Shapes `[rows, inner] · [inner, columns]` of the policy networks and of attention heads.
const SHAPES: [(usize, usize, usize); 5] =
    [(64, 36, 64), (256, 64, 64), (256, 64, 3), (65, 32, 65), (65, 65, 32)];

pub fn compare() -> anyhow::Result<()> {
    for (n_rows, n_inner, n_columns) in SHAPES {
        let a = Tensor::randn(0f32, 1.0, (n_rows, n_inner), &Device::Cpu)?;
        let b = Tensor::randn(0f32, 1.0, (n_inner, n_columns), &Device::Cpu)?;
        let (a_values, b_values) = (a.flatten_all()?.to_vec1::<f32>()?, b.flatten_all()?.to_vec1::<f32>()?);
        let ours = || {
            let a = Matrix::new(&a_values, n_rows, n_inner);
            std::hint::black_box(matmul(a, Matrix::new(&b_values, n_inner, n_columns), None));
            Ok(())
        };
        let theirs = || {
            std::hint::black_box(a.matmul(&b)?);
            Ok(())
        };
        let what = format!("product {n_rows}x{n_inner} by {n_inner}x{n_columns}");
        pair(&what, "candle and gemm", Box::new(ours), Box::new(theirs))?;
    }
    Ok(())
}
