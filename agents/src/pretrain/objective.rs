//! What the towers are trained to do.
//!
//! Truth is a matter of degree, so every target is a distribution: a picture's over the statements, a statement's over
//! the pictures (symmetric contrastive training, Radford et al. 2021, with soft targets), and a picture's over the marks
//! of each axis, where the negatives are the hardest.

use candle_core::{D, Tensor};
use candle_nn::ops::log_softmax;

use super::catalogue::Catalogue;
use crate::Result;

/// The parts of a loss, scalars.
#[derive(Debug)]
pub struct Losses {
    /// Pictures find their statements and statements their pictures.
    pub contrastive: Tensor,
    /// Pictures find their mark on each axis.
    pub axes: Tensor,
    /// The auxiliary head finds the position on each axis.
    pub auxiliary: Tensor,
}

/// Largest factor on cosines, as CLIP's.
pub const MAX_LOGIT_SCALE: f64 = 100.0;

/// Compares embeddings with truth.
///
/// `images` `[n, dim]` and `texts` `[n_kept, dim]` have unit rows; `truth` is `[n, n_statements]`, and `kept` lists the
/// statements that `texts` stands for (those that are not held out). `positions` `[n, n_axes]` is the auxiliary head's
/// answer: the position on each axis, from 0 at the first mark to 1 at the last.
///
/// # Errors
/// If shapes do not fit.
pub fn losses(
    catalogue: &Catalogue,
    kept: &[u32],
    (images, texts): (&Tensor, &Tensor),
    logit_scale: &Tensor,
    truth: &Tensor,
    positions: &Tensor,
) -> Result<Losses> {
    let kept_idx = Tensor::new(kept, truth.device())?;
    let kept_truth = truth.index_select(&kept_idx, 1)?;
    let scale = logit_scale.exp()?.clamp(0.0, MAX_LOGIT_SCALE)?;
    let logits = images.matmul(&texts.t()?)?.broadcast_mul(&scale)?;
    let by_picture = soft_cross_entropy(&logits, &kept_truth)?;
    let by_statement = soft_cross_entropy(&logits.t()?.contiguous()?, &kept_truth.t()?.contiguous()?)?;
    let contrastive = ((by_picture + by_statement)? * 0.5)?;

    let mut axes = Vec::with_capacity(catalogue.axes.len());
    let mut columns = Vec::with_capacity(catalogue.axes.len());
    let mut masks = Vec::with_capacity(catalogue.axes.len());
    for axis in &catalogue.axes {
        let within = |idx: &u32| axis.contains(&(*idx as usize));
        if let Some(first) = kept.iter().position(within) {
            let len = kept.iter().filter(|idx| within(idx)).count();
            axes.push(soft_cross_entropy(
                &logits.narrow(1, first, len)?.contiguous()?,
                &kept_truth.narrow(1, first, len)?,
            )?);
        }
        let degrees = truth.narrow(1, axis.start, axis.len())?;
        let last = (axis.len() - 1).max(1) as f32;
        let marks: Vec<f32> = (0..axis.len()).map(|mark| mark as f32 / last).collect();
        let marks = Tensor::from_vec(marks, (axis.len(), 1), truth.device())?;
        columns.push(degrees.contiguous()?.matmul(&marks)?);
        masks.push(degrees.sum_keepdim(1)?);
    }
    let n_axes = axes.len().max(1) as f64;
    let axes = (Tensor::stack(&axes, 0)?.sum_all()? / n_axes)?;
    let (targets, mask) = (Tensor::cat(&columns, 1)?, Tensor::cat(&masks, 1)?);
    let errors = ((positions - targets)?.sqr()? * &mask)?;
    let auxiliary = (errors.sum_all()? / mask.sum_all()?.to_scalar::<f32>()?.max(1.0) as f64)?;
    Ok(Losses { contrastive, axes, auxiliary })
}

/// Cross-entropy of each row against its targets, normalised to sum 1, mean over the rows; rows whose targets are all 0
/// do not count.
fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let mass = targets.sum_keepdim(D::Minus1)?;
    let counts = mass.gt(1e-3)?.to_dtype(logits.dtype())?;
    let weights = targets.broadcast_div(&mass.clamp(1e-3, f64::INFINITY)?)?.broadcast_mul(&counts)?;
    let n_rows = f64::from(counts.sum_all()?.to_scalar::<f32>()?.max(1.0));
    Ok((((log_softmax(logits, D::Minus1)? * weights)?.sum_all()? / n_rows)? * -1.0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn soft_cross_entropy_is_the_entropy_at_its_minimum_and_ignores_empty_rows() -> Result<()> {
        let targets = Tensor::new(&[[0.25_f32, 0.75], [0.0, 0.0]], &Device::Cpu)?;
        let at_minimum = Tensor::new(&[[0.25_f32.ln(), 0.75_f32.ln()], [3.0, -5.0]], &Device::Cpu)?;
        let entropy = -(0.25 * 0.25_f32.ln() + 0.75 * 0.75_f32.ln());
        let loss = soft_cross_entropy(&at_minimum, &targets)?.to_scalar::<f32>()?;
        assert!((loss - entropy).abs() < 1e-6, "{loss} for {entropy}");
        let elsewhere = Tensor::new(&[[0.0_f32, 0.0], [3.0, -5.0]], &Device::Cpu)?;
        assert!(soft_cross_entropy(&elsewhere, &targets)?.to_scalar::<f32>()? > loss + 0.1);
        Ok(())
    }
}
