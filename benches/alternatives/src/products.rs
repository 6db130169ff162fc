//! Small matrix products: ours, and candle's, which go to gemm; and the order of weights in larger ones.

use candle_core::{Device, Tensor};
use sayso_rewards::ops::{Matrix, matmul};

use crate::pair;

/// Shapes `[rows, inner] · [inner, columns]` of the policy networks and of attention heads.
const SHAPES: [(usize, usize, usize); 5] =
    [(64, 36, 64), (256, 64, 64), (256, 64, 3), (65, 32, 65), (65, 65, 32)];

/// Inputs and outputs of the layers of CLIP ViT-B/32.
const LAYERS: [(usize, usize); 4] = [(768, 2304), (768, 768), (768, 3072), (3072, 768)];
/// Tokens of 16 images.
const N_TOKENS: usize = 800;

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
    LAYERS.into_iter().try_for_each(compare_layouts)
}

/// Constant weights in the order `[n_in, n_out]`, and `[n_out, n_in]` as in checkpoints; both products are candle's.
fn compare_layouts((n_in, n_out): (usize, usize)) -> anyhow::Result<()> {
    let x = Tensor::randn(0f32, 1.0, (N_TOKENS, n_in), &Device::Cpu)?;
    let weight = Tensor::randn(0f32, 1.0, (n_out, n_in), &Device::Cpu)?.t()?;
    let reordered = weight.contiguous()?;
    let product = |weight: &Tensor| -> anyhow::Result<()> {
        std::hint::black_box(x.matmul(weight)?);
        Ok(())
    };
    let what = format!("weights of {N_TOKENS} tokens, {n_in} to {n_out}");
    pair(&what, "order of checkpoints", Box::new(|| product(&reordered)), Box::new(|| product(&weight)))
}
