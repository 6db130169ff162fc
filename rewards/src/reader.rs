//! Embeds frames in host or GPU memory with an image tower, in batches that fit the device.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use sayso_sim::frame_batch::DeviceRequest;
use sayso_sim::render::{DeviceFrames, PixelLayout, PixelType};
use sayso_sim::{FrameRequest, Frames, ImageSpec, SimError};

use crate::cuda_import;
use crate::ops::patchify;
use crate::towers::unit_rows;
use crate::{ModelDevice, Result, RewardError};

/// Initial number of frames per batch on an accelerator: enough to use it fully.
const GROUP: usize = 256;
/// Frames per batch on the CPU. Batches run in parallel, one per core, which for small towers is faster by a quarter than
/// parallelising each operation.
const CPU_GROUP: usize = 16;
/// candle's kernels count the values of a softmax, `[group, n_heads, n_tokens, n_tokens]`, in 32 bits.
const MAX_SOFTMAX: usize = i32::MAX as usize;
/// Maximum number of attention heads in published towers.
const MAX_HEADS: usize = 32;

/// Turns frames into patches and embeds them with an image tower, batch by batch.
#[derive(Debug)]
pub struct FrameReader {
    spec: ImageSpec,
    patch_size: usize,
    model_device: ModelDevice,
    /// Frames per batch; reduced after the device ran out of memory.
    group: AtomicUsize,
}

impl Clone for FrameReader {
    fn clone(&self) -> Self {
        Self {
            spec: self.spec.clone(),
            patch_size: self.patch_size,
            model_device: self.model_device.clone(),
            group: AtomicUsize::new(self.group.load(Ordering::Relaxed)),
        }
    }
}

impl FrameReader {
    /// A reader for a tower whose input is images of `spec` in square patches of `patch_size` pixels.
    pub fn new(spec: ImageSpec, patch_size: usize, model_device: ModelDevice) -> Self {
        let n_tokens = (spec.height / patch_size.max(1)) * (spec.width / patch_size.max(1)) + 1;
        let group = match model_device.device().is_cpu() {
            true => CPU_GROUP,
            false => GROUP.min(MAX_SOFTMAX / (MAX_HEADS * n_tokens * n_tokens)).max(1),
        };
        Self { spec, patch_size, model_device, group: AtomicUsize::new(group) }
    }

    /// Size, mean and standard deviation of the tower's input.
    pub fn spec(&self) -> &ImageSpec {
        &self.spec
    }

    /// Device of the tower.
    pub fn model_device(&self) -> &ModelDevice {
        &self.model_device
    }

    /// Size and memory layout in which frames should be rendered.
    pub fn request(&self) -> FrameRequest {
        let layout = PixelLayout::Patches { size: self.patch_size };
        let dtype = if self.model_device.dtype() == DType::F16 { PixelType::F16 } else { PixelType::F32 };
        // Two f16 values share a 32-bit word, so the rows of a patch must have an even length.
        let is_possible = dtype == PixelType::F32 || self.patch_size.is_multiple_of(2);
        let uuid = self.model_device.shared_with().filter(|_| is_possible);
        let on_device = uuid.map(|uuid| DeviceRequest { uuid, layout, dtype });
        FrameRequest { image: self.spec.clone(), on_device }
    }

    /// Embeddings of frames in host memory, of unit length, row-major. `tower` maps `[n, n_patches, 3 * patch_size²]` to
    /// `[n, dim]`; its result for a frame must not depend on the other frames.
    ///
    /// # Errors
    /// If the frame size differs from the tower's, or its device fails.
    pub fn embed(
        &self,
        frames: &Frames,
        tower: impl Fn(&Tensor) -> Result<Tensor> + Sync,
    ) -> Result<Vec<f32>> {
        self.check_size(frames.height(), frames.width())?;
        let (dtype, device) = (self.model_device.dtype(), self.model_device.device());
        let embed = |views| tower(&patchify(frames, views, &self.spec, self.patch_size, dtype, device)?);
        self.in_groups(frames.n_views(), embed, || Ok(()))
    }

    /// [`Self::embed`] for frames in GPU memory. If the tower is on another device, they are copied through the host.
    ///
    /// # Errors
    /// If the frames were rendered for another model, or a device fails.
    pub fn embed_on_device(
        &self,
        frames: &DeviceFrames,
        tower: impl Fn(&Tensor) -> Result<Tensor> + Sync,
    ) -> Result<Vec<f32>> {
        let input = frames.input();
        self.check_size(input.image.height, input.image.width)?;
        let layout = PixelLayout::Patches { size: self.patch_size };
        if (&input.image, input.layout) != (&self.spec, layout) {
            return Err(RewardError::OutOfRange {
                field: "frames on the device".into(),
                got: format!("{input:?}"),
                expected: format!("{layout:?} of {:?}", self.spec),
            });
        }
        let patch_len = 3 * self.patch_size * self.patch_size;
        let shape = (frames.n_views(), input.n_values() / patch_len, patch_len);
        let patches = match self.model_device.shared_with() {
            Some(_) => match cuda_import::tensor(frames, shape, self.model_device.device()) {
                Ok(patches) => patches,
                // If the rendering device was lost, that is the cause, so its error is returned instead.
                Err(error) => return Err(self.wait(frames).err().unwrap_or(error)),
            },
            None => {
                let dtype = if input.dtype == PixelType::F16 { DType::F16 } else { DType::F32 };
                let values = frames.read()?;
                Tensor::from_raw_buffer(
                    &values,
                    dtype,
                    &[shape.0, shape.1, shape.2],
                    self.model_device.device(),
                )?
                .to_dtype(self.model_device.dtype())?
            }
        };
        let embed = |views: Range<usize>| tower(&patches.narrow(0, views.start, views.len())?);
        // Reading a tensor waits without a timeout. Waiting for the rendering device has one, so it comes first.
        self.in_groups(frames.n_views(), embed, || self.wait(frames))
    }

    /// Waits for the rendering device. If it does not respond, candle's device is kept alive until the program ends, because
    /// dropping it would block forever.
    fn wait(&self, frames: &DeviceFrames) -> Result<()> {
        static KEPT: Mutex<Vec<Device>> = Mutex::new(Vec::new());
        let keep_alive = |_: &SimError| {
            KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(self.model_device.device().clone());
        };
        Ok(frames.wait().inspect_err(keep_alive)?)
    }

    /// [`Self::embed`] for normalised patches on the tower's device, `[n, n_patches, 3 * patch_size²]`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn embed_patches(
        &self,
        patches: &Tensor,
        tower: impl Fn(&Tensor) -> Result<Tensor> + Sync,
    ) -> Result<Vec<f32>> {
        let embed = |views: Range<usize>| tower(&patches.narrow(0, views.start, views.len())?);
        self.in_groups(patches.dim(0)?, embed, || Ok(()))
    }

    fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let (expected, got) = ((self.spec.height, self.spec.width), (height, width));
        if expected == got { Ok(()) } else { Err(RewardError::WrongImageSize { expected, got }) }
    }

    /// Embeds group by group, each a batch of the tower. On an accelerator, `before_waiting` is called when all work has
    /// been submitted.
    fn in_groups(
        &self,
        n_views: usize,
        embed: impl Fn(Range<usize>) -> Result<Tensor> + Sync,
        before_waiting: impl Fn() -> Result<()>,
    ) -> Result<Vec<f32>> {
        let rows = |views: Range<usize>| unit_rows(&embed(views)?.to_dtype(DType::F32)?);
        let values = |rows: &Tensor| -> Result<Vec<f32>> { Ok(rows.flatten_all()?.to_vec1()?) };
        let group = self.group.load(Ordering::Relaxed);
        if self.model_device.device().is_cpu() {
            let groups: Vec<Range<usize>> = in_steps(n_views, group).collect();
            let groups = groups.into_par_iter().map(|views| values(&rows(views)?));
            return Ok(groups.collect::<Result<Vec<_>>>()?.concat());
        }
        let all = |group: usize| -> Result<Vec<f32>> {
            let groups = in_steps(n_views, group).map(rows).collect::<Result<Vec<_>>>()?;
            before_waiting()?;
            if groups.is_empty() { Ok(Vec::new()) } else { values(&Tensor::cat(&groups, 0)?) }
        };
        shrinking(group.min(n_views.max(1)), self.model_device.may_shrink(), &self.group, all)
    }
}

fn in_steps(n: usize, step: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(step).map(move |start| start..n.min(start + step))
}

/// Calls `embed` with `group`, and halves it for as long as the device runs out of memory. If `is_allowed`, the size that
/// fitted is stored in `kept`; otherwise an error reports it.
fn shrinking<T>(
    group: usize,
    is_allowed: bool,
    kept: &AtomicUsize,
    embed: impl Fn(usize) -> Result<T>,
) -> Result<T> {
    let mut fitting = group;
    loop {
        match embed(fitting) {
            Err(error) if is_out_of_memory(&error) && 1 < fitting => fitting /= 2,
            Ok(_) if fitting < group && !is_allowed => {
                return Err(RewardError::OutOfMemory { n_views: group, fits: fitting });
            }
            outcome => {
                if fitting < group {
                    kept.store(fitting, Ordering::Relaxed);
                }
                return outcome;
            }
        }
    }
}

fn is_out_of_memory(error: &RewardError) -> bool {
    let text = error.to_string();
    text.contains("OUT_OF_MEMORY") || text.contains("ALLOC_FAILED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_shrink_until_they_fit_if_that_is_allowed() {
        let embed = |group: usize| -> Result<usize> {
            if group <= 30 {
                return Ok(group);
            }
            Err(candle_core::Error::msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")").into())
        };
        let kept = AtomicUsize::new(200);
        assert_eq!(shrinking(200, true, &kept, embed).ok(), Some(25));
        assert_eq!(kept.load(Ordering::Relaxed), 25);
        assert_eq!(shrinking(25, true, &kept, embed).ok(), Some(25));
        let message = shrinking(200, false, &kept, embed).expect_err("not allowed").to_string();
        assert!(message.contains("200 frames") && message.contains("25 would fit"), "{message}");
        let other = |_| -> Result<()> { Err(candle_core::Error::msg("something else").into()) };
        assert!(shrinking(200, true, &kept, other).is_err());
        let never = |_| -> Result<()> { Err(candle_core::Error::msg("CUDA_ERROR_OUT_OF_MEMORY").into()) };
        assert!(shrinking(200, true, &kept, never).is_err(), "stops even if nothing fits");
    }
}
