//! A linear layer with its activation, as one op: `y = f(x · weight + bias)`.
//!
//! `weight` is `[n_in, n_out]`, input-major, so that the forward pass needs no transposition.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, Var};
use rand::Rng;
use serde::{Deserialize, Serialize};
use wide::f32x8;

use super::{Parameters, init};
use crate::ops::{Matrix, f32_values, matmul, with_values};

/// Activation function of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x`.
    Identity,
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// A linear layer and its activation.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Var,
    bias: Var,
    activation: Activation,
}

impl Linear {
    /// A layer with orthogonal initialisation of the given gain and zero bias, registered as `{name}.weight` and
    /// `{name}.bias`.
    ///
    /// # Errors
    /// If candle cannot allocate on the device.
    pub fn new<R: Rng>(
        parameters: &mut Parameters,
        name: &str,
        (n_in, n_out): (usize, usize),
        activation: Activation,
        gain: f64,
        rng: &mut R,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let weight = Var::from_vec(init::orthogonal(n_in, n_out, gain, rng), (n_in, n_out), device)?;
        let bias = Var::from_vec(vec![0.0_f32; n_out], n_out, device)?;
        Ok(Self {
            weight: parameters.add(format!("{name}.weight"), weight),
            bias: parameters.add(format!("{name}.bias"), bias),
            activation,
        })
    }

    /// `[n_rows, n_in]` f32 to `[n_rows, n_out]`.
    ///
    /// # Errors
    /// If the width or dtype of the input differs.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return self.forward_composed(x);
        }
        x.apply_op3(&self.weight, &self.bias, FusedLinear { activation: self.activation })
    }

    /// The same result with constant parameters: gradients are those of the input alone.
    ///
    /// # Errors
    /// If the width or dtype of the input differs.
    pub fn forward_constant(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.as_detached_tensor(), self.bias.as_detached_tensor());
        if !x.device().is_cpu() {
            return self.activated(x.matmul(&weight)?.broadcast_add(&bias)?);
        }
        x.apply_op3(&weight, &bias, FusedLinear { activation: self.activation })
    }

    /// The same result from candle's own operations, on any device.
    ///
    /// # Errors
    /// If the width or dtype of the input differs.
    pub fn forward_composed(&self, x: &Tensor) -> Result<Tensor> {
        self.activated(x.matmul(&self.weight)?.broadcast_add(&self.bias)?)
    }

    fn activated(&self, linear: Tensor) -> Result<Tensor> {
        match self.activation {
            Activation::Identity => Ok(linear),
            Activation::Tanh => linear.tanh(),
            Activation::Relu => linear.relu(),
        }
    }

    /// `[n_in, n_out]`.
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// `[n_out]`.
    pub fn bias(&self) -> &Var {
        &self.bias
    }
}

struct FusedLinear {
    activation: Activation,
}

impl CustomOp3 for FusedLinear {
    fn name(&self) -> &'static str {
        "fused-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n_rows, n_in) = x_layout.shape().dims2()?;
        let (n_weight_rows, n_out) = weight_layout.shape().dims2()?;
        if n_in != n_weight_rows {
            candle_core::bail!("linear layer: expected rows of {n_weight_rows} values, got {n_in}");
        }
        let x = Matrix::new(f32_values(x, x_layout)?, n_rows, n_in);
        let weight = Matrix::new(f32_values(weight, weight_layout)?, n_in, n_out);
        let mut y = matmul(x, weight, Some(f32_values(bias, bias_layout)?));
        match self.activation {
            Activation::Identity => {}
            Activation::Tanh => tanh_in_place(&mut y),
            Activation::Relu => y.iter_mut().for_each(|y| *y = y.max(0.0)),
        }
        Ok((CpuStorage::F32(y), (n_rows, n_out).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        y_grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((n_rows, n_in), n_out, device) = (x.dims2()?, y.dim(1)?, x.device());
        let mut linear_grad = with_values(&y_grad.contiguous()?, |values| Ok(values.to_vec()))?;
        with_values(y, |y| {
            match self.activation {
                Activation::Identity => {}
                Activation::Tanh => linear_grad.iter_mut().zip(y).for_each(|(g, y)| *g *= 1.0 - y * y),
                Activation::Relu => {
                    linear_grad.iter_mut().zip(y).for_each(|(g, y)| *g = if 0.0 < *y { *g } else { 0.0 });
                }
            }
            Ok(())
        })?;
        let grad = Matrix::new(&linear_grad, n_rows, n_out);
        let (mut x_grad, mut weight_grad, mut bias_grad) = (None, None, None);
        if x.track_op() {
            let product = with_values(weight, |weight| {
                Ok(matmul(grad, Matrix::new(weight, n_in, n_out).transposed(), None))
            })?;
            x_grad = Some(Tensor::from_vec(product, (n_rows, n_in), device)?);
        }
        if weight.track_op() {
            let product =
                with_values(x, |x| Ok(matmul(Matrix::new(x, n_rows, n_in).transposed(), grad, None)))?;
            weight_grad = Some(Tensor::from_vec(product, (n_in, n_out), device)?);
        }
        if bias.track_op() {
            let mut sums = vec![0.0_f32; n_out];
            for row in linear_grad.chunks_exact(n_out) {
                sums.iter_mut().zip(row).for_each(|(sum, g)| *sum += g);
            }
            bias_grad = Some(Tensor::from_vec(sums, n_out, device)?);
        }
        Ok((x_grad, weight_grad, bias_grad))
    }
}

/// `values = tanh(values)` as `1 - 2 / (exp(2 x) + 1)`; absolute error below 3e-7.
fn tanh_in_place(values: &mut [f32]) {
    let (blocks, rest) = values.as_chunks_mut::<8>();
    for block in blocks {
        *block = tanh_block(*block);
    }
    let mut last = [0.0; 8];
    last[..rest.len()].copy_from_slice(rest);
    rest.copy_from_slice(&tanh_block(last)[..rest.len()]);
}

fn tanh_block(block: [f32; 8]) -> [f32; 8] {
    // Beyond ±10 the result is ±1 to the last bit, and the exponential stays far from overflow.
    let x = f32x8::new(block).max(f32x8::splat(-10.0)).min(f32x8::splat(10.0));
    let doubled = (x + x).exp();
    (f32x8::ONE - f32x8::splat(2.0) / (doubled + f32x8::ONE)).to_array()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn fused_layer_equals_composed_layer_and_its_gradients() {
        let (rng, device) = (&mut Pcg64::seed_from_u64(3), &Device::Cpu);
        for activation in [Activation::Identity, Activation::Tanh, Activation::Relu] {
            let mut parameters = Parameters::default();
            let layer =
                Linear::new(&mut parameters, "l", (5, 19), activation, 1.0, rng, device).expect("new");
            layer
                .bias
                .set(
                    &Tensor::arange(-9.0_f32, 10.0, device).expect("range").affine(0.1, 0.0).expect("affine"),
                )
                .expect("set");
            let x = Var::from_vec((0..35).map(|i| (i as f32).sin()).collect(), (7, 5), device).expect("x");
            let results = [layer.forward(&x), layer.forward_composed(&x)].map(|y| {
                let y = y.expect("forward");
                let grads = y.sqr().and_then(|y| y.sum_all()).and_then(|y| y.backward()).expect("backward");
                let grad = |var: &Var| grads.get(var).expect("gradient").clone();
                [y, grad(&x), grad(&layer.weight), grad(&layer.bias)]
            });
            let y = layer.forward_constant(&x).expect("forward");
            let grads = y.sqr().and_then(|y| y.sum_all()).and_then(|y| y.backward()).expect("backward");
            assert!(grads.get(&layer.weight).is_none() && grads.get(&layer.bias).is_none());
            let same = |a: &Tensor, b: &Tensor| {
                a.eq(b).and_then(|equal| equal.min_all()?.to_scalar::<u8>()).expect("equal shapes") == 1
            };
            assert!(same(&y, &results[0][0]) && same(grads.get(&x).expect("gradient"), &results[0][1]));
            for (fused, composed) in results[0].iter().zip(&results[1]) {
                assert_eq!(fused.dims(), composed.dims());
                let error =
                    (fused - composed).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("error");
                assert!(error < 1e-5, "{activation:?}: {error}");
            }
        }
    }

    #[test]
    fn tanh_is_accurate() {
        let mut got: Vec<f32> = (-3000..3001).map(|i| i as f32 * 0.005).collect();
        let expected: Vec<f64> = got.iter().map(|&x| f64::from(x).tanh()).collect();
        tanh_in_place(&mut got);
        for (got, expected) in got.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 3e-7, "{got} for {expected}");
        }
    }
}
