//! Convolution over images in channels-last order: patches are unfolded into rows, which a [`Linear`] layer multiplies.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rand::Rng;
use rayon::prelude::*;

use super::Parameters;
use super::linear::{Activation, Linear};
use crate::ops::{f32_values, with_values};

/// A convolution without padding, followed by ReLU.
#[derive(Clone, Debug)]
pub struct Conv2d {
    /// Its weight is `[size * size * n_in, n_out]`: rows, then columns, then channels of the patch.
    linear: Linear,
    window: Window,
}

/// A square sliding window, in pixels.
#[derive(Clone, Copy, Debug)]
struct Window {
    size: usize,
    stride: usize,
}

impl Window {
    /// Number of positions along a side; zero if the window does not fit.
    fn n_positions(self, side: usize) -> usize {
        if side < self.size { 0 } else { (side - self.size) / self.stride + 1 }
    }
}

impl Conv2d {
    /// A layer with orthogonal initialisation of gain √2 and zero bias.
    ///
    /// # Errors
    /// If candle cannot allocate on the device.
    pub fn new<R: Rng>(
        parameters: &mut Parameters,
        name: &str,
        (n_in, n_out): (usize, usize),
        size: usize,
        stride: usize,
        rng: &mut R,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let sizes = (size * size * n_in, n_out);
        let gain = std::f64::consts::SQRT_2;
        let linear = Linear::new(parameters, name, sizes, Activation::Relu, gain, rng, device)?;
        Ok(Self { linear, window: Window { size, stride } })
    }

    /// Height and width of the result for images of the given size; zero if the kernel does not fit.
    pub fn output_size(&self, height: usize, width: usize) -> (usize, usize) {
        (self.window.n_positions(height), self.window.n_positions(width))
    }

    /// `[n, height, width, n_in]` f32 to `[n, height', width', n_out]`.
    ///
    /// # Errors
    /// If the number of channels differs, or the images are smaller than the kernel.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return self.forward_composed(x);
        }
        let (n, height, width, _) = x.dims4()?;
        let (out_height, out_width) = self.output_size(height, width);
        let rows = x.apply_op1(Unfold { window: self.window })?;
        self.linear.forward(&rows)?.reshape((n, out_height, out_width, ()))
    }

    /// The same result from candle's own operations, on any device.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_composed(&self, x: &Tensor) -> Result<Tensor> {
        let Window { size, stride } = self.window;
        let n_out = self.linear.bias().dim(0)?;
        let kernel = self.linear.weight().reshape((size, size, (), n_out))?.permute((3, 2, 0, 1))?;
        let y = x.permute((0, 3, 1, 2))?.contiguous()?.conv2d(&kernel.contiguous()?, 0, stride, 1, 1)?;
        y.permute((0, 2, 3, 1))?.contiguous()?.broadcast_add(self.linear.bias())?.relu()
    }
}

/// `[n, height, width, channels]` to `[n * height' * width', size * size * channels]`.
struct Unfold {
    window: Window,
}

impl Unfold {
    /// Calls `f(offset in the image, offset in its rows, length)` for every run of contiguous values.
    fn for_each_run(
        &self,
        height: usize,
        width: usize,
        channels: usize,
        mut f: impl FnMut(usize, usize, usize),
    ) {
        let Window { size, stride } = self.window;
        let run = size * channels;
        let mut row_offset = 0;
        for top in 0..self.window.n_positions(height) {
            for left in 0..self.window.n_positions(width) {
                for y in 0..size {
                    let image_offset = ((top * stride + y) * width + left * stride) * channels;
                    f(image_offset, row_offset, run);
                    row_offset += run;
                }
            }
        }
    }
}

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, height, width, channels) = layout.shape().dims4()?;
        let n_patches = self.window.n_positions(height) * self.window.n_positions(width);
        if n_patches == 0 {
            candle_core::bail!(
                "images of {height}x{width} are smaller than a kernel of size {}",
                self.window.size
            );
        }
        let row_len = self.window.size * self.window.size * channels;
        let x = f32_values(x, layout)?;
        let mut rows = vec![0.0; n * n_patches * row_len];
        rows.par_chunks_exact_mut(n_patches * row_len)
            .zip(x.par_chunks_exact(height * width * channels))
            .for_each(|(rows, image)| {
                self.for_each_run(height, width, channels, |from, to, len| {
                    rows[to..to + len].copy_from_slice(&image[from..from + len]);
                });
            });
        Ok((CpuStorage::F32(rows), (n * n_patches, row_len).into()))
    }

    fn bwd(&self, x: &Tensor, rows: &Tensor, rows_grad: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (n, height, width, channels) = x.dims4()?;
        let mut x_grad = vec![0.0_f32; x.elem_count()];
        with_values(&rows_grad.contiguous()?, |rows_grad| {
            x_grad
                .par_chunks_exact_mut(height * width * channels)
                .zip(rows_grad.par_chunks_exact(rows.elem_count() / n.max(1)))
                .for_each(|(x_grad, rows_grad)| {
                    self.for_each_run(height, width, channels, |to, from, len| {
                        let run = x_grad[to..to + len].iter_mut().zip(&rows_grad[from..from + len]);
                        run.for_each(|(sum, g)| *sum += g);
                    });
                });
            Ok(())
        })?;
        Ok(Some(Tensor::from_vec(x_grad, x.shape(), x.device())?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn unfolded_convolution_equals_candle_and_its_gradients() {
        let (rng, device) = (&mut Pcg64::seed_from_u64(5), &Device::Cpu);
        let mut parameters = Parameters::default();
        let conv = Conv2d::new(&mut parameters, "c", (3, 4), 4, 2, rng, device).expect("new");
        let pixels = (0..2 * 10 * 12 * 3).map(|i| (i as f32 * 0.7).sin()).collect();
        let x = Var::from_vec(pixels, (2, 10, 12, 3), device).expect("x");
        let results = [conv.forward(&x), conv.forward_composed(&x)].map(|y| {
            let y = y.expect("forward");
            let grads = y.sqr().and_then(|y| y.sum_all()).and_then(|y| y.backward()).expect("backward");
            let grad = |var: &Var| grads.get(var).expect("gradient").clone();
            [y, grad(&x), grad(conv.linear.weight()), grad(conv.linear.bias())]
        });
        assert_eq!(results[0][0].dims(), [2, 4, 5, 4]);
        for (fused, composed) in results[0].iter().zip(&results[1]) {
            let error =
                (fused - composed).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("error");
            assert!(error < 1e-4, "{error}");
        }
    }
}
