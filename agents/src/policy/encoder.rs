//! Image encoder: the three convolutions of Mnih et al. 2015, for images of about 64x64 pixels.

use candle_core::{Device, Result, Tensor};
use rand::Rng;
use sayso_rewards::nn::{Activation, Conv2d, Linear, Parameters};

/// Smallest height and width of an image that all three kernels fit into, in pixels.
pub const MIN_SIZE: usize = 36;

/// (channels, kernel size, stride) of each convolution.
const LAYERS: [(usize, usize, usize); 3] = [(32, 8, 4), (64, 4, 2), (64, 3, 1)];

/// Three convolutions and a linear layer, all with ReLU.
#[derive(Clone, Debug)]
pub struct PixelEncoder {
    convolutions: Vec<Conv2d>,
    linear: Linear,
}

impl PixelEncoder {
    /// An encoder for images of `[height, width]`, at least [`MIN_SIZE`] each, whose layers are named `{name}.…`.
    ///
    /// # Errors
    /// If candle cannot allocate on the device.
    pub fn new<R: Rng>(
        parameters: &mut Parameters,
        name: &str,
        [mut height, mut width]: [usize; 2],
        n_features: usize,
        rng: &mut R,
        device: &Device,
    ) -> Result<Self> {
        let mut convolutions = Vec::with_capacity(LAYERS.len());
        let mut n_in = 3;
        for (layer_idx, (n_out, size, stride)) in LAYERS.into_iter().enumerate() {
            let conv_name = format!("{name}.conv.{layer_idx}");
            let conv = Conv2d::new(parameters, &conv_name, (n_in, n_out), size, stride, rng, device)?;
            (height, width) = conv.output_size(height, width);
            n_in = n_out;
            convolutions.push(conv);
        }
        let sizes = (height * width * n_in, n_features);
        let gain = std::f64::consts::SQRT_2;
        let linear =
            Linear::new(parameters, &format!("{name}.linear"), sizes, Activation::Relu, gain, rng, device)?;
        Ok(Self { convolutions, linear })
    }

    /// Number of parameters of [`Self::new`]; `None` if it does not fit a `usize`.
    pub fn n_parameters([mut height, mut width]: [usize; 2], n_features: usize) -> Option<usize> {
        let (mut n_in, mut n_parameters) = (3, 0);
        for (n_out, size, stride) in LAYERS {
            let n_positions = |side: usize| (side.saturating_sub(size)) / stride + 1;
            (height, width) = (n_positions(height), n_positions(width));
            n_parameters += (n_in * size * size + 1) * n_out;
            n_in = n_out;
        }
        let n_inputs = height.checked_mul(width)?.checked_mul(n_in)?;
        n_inputs.checked_add(1)?.checked_mul(n_features)?.checked_add(n_parameters)
    }

    /// `[n, height, width, 3]` f32 in [0, 1] to `[n, n_features]`.
    ///
    /// # Errors
    /// If the images have another size.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let mut x = pixels.clone();
        for convolution in &self.convolutions {
            x = convolution.forward(&x)?;
        }
        self.linear.forward(&x.flatten_from(1)?)
    }
}
