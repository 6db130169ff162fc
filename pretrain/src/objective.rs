//! Training objective of the towers.
//!
//! Captions are true to a degree, so every target is a distribution: of an image over the captions, of a caption over
//! the images (symmetric contrastive training, Radford et al. 2021, with soft targets), and of an image over the levels
//! of each axis, which are the hardest negatives.

use candle_core::{D, Tensor};
use candle_nn::ops::log_softmax;

use crate::Result;
use crate::catalogue::Catalogue;

/// The parts of a loss, scalars.
#[derive(Debug)]
pub struct Losses {
    /// Symmetric contrastive loss between images and captions.
    pub contrastive: Tensor,
    /// Cross-entropy of images over the levels of each axis.
    pub axes: Tensor,
    /// Squared error of the position of images between the first and the last level of an axis, in cosines.
    pub order: Tensor,
    /// Squared error of the auxiliary head's positions on axes.
    pub positions: Tensor,
    /// Squared error of the auxiliary head's landmark coordinates.
    pub landmarks: Tensor,
    /// Cross-entropy over the patches of the position of each landmark.
    pub patches: Tensor,
}

/// Upper limit of the logit scale, as in CLIP.
pub const MAX_LOGIT_SCALE: f64 = 100.0;

/// Largest target difference between the cosines of an image with the first and the last level of an axis. An image shows
/// several axes at once, and its unit vector has to reach this for each.
const ORDER_MARGIN: f64 = 0.4;

/// Computes the losses of a batch.
///
/// Retrieval only needs the correct level to be the nearest. A reward is computed from two of them, the goal and the
/// baseline, so the cosines with both must also be meaningful for the levels between them: the difference of the cosines
/// is trained to fall linearly along the axis.
///
/// `images` `[n, dim]` and `texts` `[n_kept, dim]` have unit rows; `truth` is `[n, n_captions]`, and `kept` lists the
/// captions of `texts` (those that are not held out). `answers` `[n, n_axes + 3 * n_landmarks]` is the output of the
/// auxiliary head: the position on each axis, from 0 at the first level to 1 at the last, and the coordinates of the
/// landmarks, whose truth is `landmarks` `[n, 3 * n_landmarks]`, NaN where there is none. `patches` `[n, n_patches,
/// n_landmarks]` are logits of each landmark being in each patch.
///
/// # Errors
/// If shapes do not fit.
pub fn losses(
    catalogue: &Catalogue,
    kept: &[u32],
    (images, texts): (&Tensor, &Tensor),
    logit_scale: &Tensor,
    (truth, landmarks): (&Tensor, &Tensor),
    (answers, patches): (&Tensor, &Tensor),
) -> Result<Losses> {
    let kept_idx = Tensor::new(kept, truth.device())?;
    let kept_truth = truth.index_select(&kept_idx, 1)?;
    let scale = logit_scale.exp()?.clamp(0.0, MAX_LOGIT_SCALE)?;
    let cosines = images.matmul(&texts.t()?)?;
    let logits = cosines.broadcast_mul(&scale)?;
    let by_image = soft_cross_entropy(&logits, &kept_truth)?;
    let by_caption = soft_cross_entropy(&logits.t()?.contiguous()?, &kept_truth.t()?.contiguous()?)?;
    let contrastive = ((by_image + by_caption)? * 0.5)?;

    let n_axes = catalogue.axes.len();
    let (mut axes, mut orders) = (Vec::with_capacity(n_axes), Vec::with_capacity(n_axes));
    let (mut columns, mut masks) = (Vec::with_capacity(n_axes), Vec::with_capacity(n_axes));
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
        let levels: Vec<f32> = (0..axis.len()).map(|level| level as f32 / last).collect();
        let levels = Tensor::from_vec(levels, (axis.len(), 1), truth.device())?;
        let position = degrees.contiguous()?.matmul(&levels)?;
        let mass = degrees.sum_keepdim(1)?;
        let column = |idx: usize| kept.iter().position(|&k| k as usize == idx);
        if let (Some(first), Some(last)) = (column(axis.start), column(axis.end - 1)) {
            let nearer = (cosines.narrow(1, first, 1)? - cosines.narrow(1, last, 1)?)?;
            let wanted = position.affine(-2.0 * ORDER_MARGIN, ORDER_MARGIN)?;
            orders.push(masked_square_error(&nearer, &wanted, &mass)?);
        }
        columns.push(position);
        masks.push(mass);
    }
    let axes = mean(&axes)?;
    let order = mean(&orders)?;
    let (targets, mask) = (Tensor::cat(&columns, 1)?, Tensor::cat(&masks, 1)?);
    let positions = masked_square_error(&answers.narrow(1, 0, n_axes)?, &targets, &mask)?;
    let patches = patch_cross_entropy(patches, landmarks)?;
    // A NaN differs from itself.
    let is_seen = landmarks.eq(landmarks)?;
    let seen = is_seen.where_cond(landmarks, &landmarks.zeros_like()?)?;
    let coordinates = answers.narrow(1, n_axes, landmarks.dim(1)?)?;
    let landmarks = masked_square_error(&coordinates, &seen, &is_seen.to_dtype(seen.dtype())?)?;
    Ok(Losses { contrastive, axes, order, positions, landmarks, patches })
}

/// Mean of scalars.
fn mean(scalars: &[Tensor]) -> Result<Tensor> {
    Ok((Tensor::stack(scalars, 0)?.sum_all()? / scalars.len().max(1) as f64)?)
}

/// Cross-entropy over the patches of an image of the position of each landmark.
fn patch_cross_entropy(logits: &Tensor, landmarks: &Tensor) -> Result<Tensor> {
    let (n, n_patches, n_landmarks) = logits.dims3()?;
    let n_across = n_patches.isqrt();
    let coordinates = landmarks.flatten_all()?.to_vec1::<f32>()?;
    let mut targets = vec![0.0_f32; n * n_landmarks * n_patches];
    for (coordinates, targets) in coordinates.chunks_exact(3).zip(targets.chunks_exact_mut(n_patches)) {
        let [across, up] = [coordinates[0], coordinates[1]];
        if across.abs() < 1.0 && up.abs() < 1.0 {
            let cell = |along: f32| ((along + 1.0) * 0.5 * n_across as f32) as usize;
            targets[cell(-up).min(n_across - 1) * n_across + cell(across).min(n_across - 1)] = 1.0;
        }
    }
    let targets = Tensor::from_vec(targets, (n * n_landmarks, n_patches), logits.device())?;
    let logits = logits.transpose(1, 2)?.contiguous()?.reshape((n * n_landmarks, n_patches))?;
    soft_cross_entropy(&logits, &targets)
}

/// Mean of the squared errors where the mask is 1.
fn masked_square_error(answers: &Tensor, targets: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let errors = ((answers - targets)?.sqr()? * mask)?;
    let n = f64::from(mask.sum_all()?.to_scalar::<f32>()?.max(1.0));
    Ok((errors.sum_all()? / n)?)
}

/// Cross-entropy of each row against its targets, normalised to sum 1, mean over the rows; rows whose targets are all 0
/// are ignored.
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
