//! Adam (Kingma and Ba 2015) with clipping of the gradient's global norm.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Tensor, Var};

use super::Parameters;
use crate::ops::{f32_values, with_values};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
/// The value of Stable-Baselines3's PPO.
const DEFAULT_EPSILON: f64 = 1e-5;

/// The Adam optimiser of a network's [`Parameters`].
#[derive(Debug)]
pub struct Adam {
    vars: Vec<Var>,
    /// For each parameter of `n` values, `[2, n]` f32: first moments, then second moments.
    moments: Vec<Tensor>,
    /// Steps taken.
    n_steps: u64,
    epsilon: f64,
}

impl Adam {
    /// An optimiser with zero moments.
    ///
    /// # Errors
    /// If candle cannot allocate.
    pub fn new(parameters: &Parameters) -> Result<Self> {
        let vars: Vec<Var> = parameters.iter().map(|(_, var)| var.clone()).collect();
        let zeros = |var: &Var| Tensor::zeros((2, var.elem_count()), DType::F32, var.device());
        let moments = vars.iter().map(zeros).collect::<Result<_>>()?;
        Ok(Self { vars, moments, n_steps: 0, epsilon: DEFAULT_EPSILON })
    }

    /// The same optimiser with another value added to the root of the mean square of the gradient; 1e-5
    /// otherwise.
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// Moments in the order of the parameters, and the number of steps taken; for checkpoints.
    pub fn state(&self) -> (&[Tensor], u64) {
        (&self.moments, self.n_steps)
    }

    /// Restores a result of [`Self::state`].
    pub fn set_state(&mut self, moments: Vec<Tensor>, n_steps: u64) {
        debug_assert_eq!(moments.len(), self.vars.len(), "one tensor of moments per parameter");
        (self.moments, self.n_steps) = (moments, n_steps);
    }

    /// One step with the gradients clipped to a global norm of `max_grad_norm`. Returns the norm before clipping; if it is
    /// NaN or infinite, no parameter is changed.
    ///
    /// # Errors
    /// If the shape or device of a gradient differs from its parameter's.
    pub fn step(&mut self, grads: &GradStore, learning_rate: f64, max_grad_norm: f64) -> Result<f64> {
        let mut squares = 0.0;
        for var in &self.vars {
            if let Some(grad) = grads.get(var) {
                squares += sum_of_squares(grad)?;
            }
        }
        let norm = f64::sqrt(squares);
        if !norm.is_finite() {
            return Ok(norm);
        }
        self.n_steps += 1;
        let n_steps = self.n_steps as f64;
        let accumulate = Accumulate { scale: (max_grad_norm / (norm + 1e-6)).min(1.0) };
        let apply = Apply {
            step_size: learning_rate / (1.0 - BETA_1.powf(n_steps)),
            second_correction: 1.0 / (1.0 - BETA_2.powf(n_steps)).sqrt(),
            epsilon: self.epsilon,
        };
        for (var, moments) in self.vars.iter().zip(&mut self.moments) {
            let Some(grad) = grads.get(var) else { continue };
            if var.device().is_cpu() {
                moments.inplace_op2(&grad.contiguous()?, &accumulate)?;
                var.inplace_op2(moments, &apply)?;
            } else {
                *moments = accumulate.composed(moments, grad)?;
                var.set(&apply.composed(var, moments)?)?;
            }
        }
        Ok(norm)
    }
}

fn sum_of_squares(grad: &Tensor) -> Result<f64> {
    if grad.device().is_cpu() && grad.is_contiguous() {
        with_values(grad, |values| Ok(values.iter().map(|&g| f64::from(g) * f64::from(g)).sum()))
    } else {
        Ok(f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?))
    }
}

/// Updates the moments with the scaled gradient and its square.
struct Accumulate {
    scale: f64,
}

impl Accumulate {
    fn composed(&self, moments: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let grad = (grad.flatten_all()? * self.scale)?;
        let first = ((moments.get(0)? * BETA_1)? + (&grad * (1.0 - BETA_1))?)?;
        let second = ((moments.get(1)? * BETA_2)? + (grad.sqr()? * (1.0 - BETA_2))?)?;
        Tensor::stack(&[first, second], 0)
    }
}

impl InplaceOp2 for Accumulate {
    fn name(&self) -> &'static str {
        "adam-accumulate"
    }

    fn cpu_fwd(
        &self,
        moments: &mut CpuStorage,
        _moments_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<()> {
        let grad = f32_values(grad, grad_layout)?;
        let (first, second) = values_mut(moments)?.split_at_mut(grad.len());
        let (scale, beta_1, beta_2) = (self.scale as f32, BETA_1 as f32, BETA_2 as f32);
        for ((first, second), grad) in first.iter_mut().zip(second).zip(grad) {
            let grad = grad * scale;
            *first = beta_1 * *first + (1.0 - beta_1) * grad;
            *second = beta_2 * *second + (1.0 - beta_2) * grad * grad;
        }
        Ok(())
    }
}

/// Updates a parameter: subtracts `step_size * first / (√second * second_correction + epsilon)`, with its two moments.
struct Apply {
    step_size: f64,
    second_correction: f64,
    epsilon: f64,
}

impl Apply {
    fn composed(&self, var: &Var, moments: &Tensor) -> Result<Tensor> {
        let scale = ((moments.get(1)?.sqrt()? * self.second_correction)? + self.epsilon)?;
        let change = (moments.get(0)?.div(&scale)? * self.step_size)?;
        var.as_detached_tensor() - change.reshape(var.shape())?
    }
}

impl InplaceOp2 for Apply {
    fn name(&self) -> &'static str {
        "adam-apply"
    }

    fn cpu_fwd(
        &self,
        var: &mut CpuStorage,
        _var_layout: &Layout,
        moments: &CpuStorage,
        moments_layout: &Layout,
    ) -> Result<()> {
        let var = values_mut(var)?;
        let (first, second) = f32_values(moments, moments_layout)?.split_at(var.len());
        let (step_size, correction) = (self.step_size as f32, self.second_correction as f32);
        let epsilon = self.epsilon as f32;
        for ((value, first), second) in var.iter_mut().zip(first).zip(second) {
            *value -= step_size * first / (second.sqrt() * correction + epsilon);
        }
        Ok(())
    }
}

/// All values of a tensor that owns its storage.
fn values_mut(storage: &mut CpuStorage) -> Result<&mut [f32]> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        other => candle_core::bail!(
            "Adam works on f32, got {:?}",
            candle_core::backend::BackendStorage::dtype(other)
        ),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    // The algorithm as torch.optim.Adam and torch.nn.utils.clip_grad_norm_ document it, in f64:
    // w = [1, -2, 3]; m = [0] * 3; v = [0] * 3
    // for t in 1, 2, 3:
    //     g = [2 * x for x in w]; norm = sum(x * x for x in g) ** 0.5; g = [x * min(1, 0.5 / (norm + 1e-6)) for x in g]
    //     for i in range(3):
    //         m[i] = 0.9 * m[i] + 0.1 * g[i]; v[i] = 0.999 * v[i] + 0.001 * g[i] ** 2
    //         w[i] -= 0.1 * (m[i] / (1 - 0.9**t)) / ((v[i] / (1 - 0.999**t)) ** 0.5 + 1e-5)
    #[test]
    fn three_steps_equal_the_reference() {
        let var = Var::new(&[1.0_f32, -2.0, 3.0], &Device::Cpu).expect("var");
        let mut parameters = Parameters::default();
        parameters.add("w", var.clone());
        let mut adam = Adam::new(&parameters).expect("adam");
        for _ in 0..3 {
            let grads = var.sqr().and_then(|y| y.sum_all()).and_then(|y| y.backward()).expect("backward");
            let norm = adam.step(&grads, 0.1, 0.5).expect("step");
            assert!(6.0 < norm, "the norm before clipping is returned");
        }
        let got = var.to_vec1::<f32>().expect("values");
        for (got, expected) in got.iter().zip(EXPECTED) {
            assert!((got - expected).abs() < 2e-6, "{got} for {expected}");
        }
    }

    const EXPECTED: [f32; 3] = [0.700_843_9, -1.700_091_5, 2.699_917_5];

    #[test]
    fn fused_step_equals_composed_step() {
        let device = &Device::Cpu;
        let grad = Tensor::new(&[[0.3_f32, -4.0], [0.0, 1e-3]], device).expect("grad");
        let moments =
            Tensor::new(&[[0.1_f32, 0.2, -0.3, 0.0], [0.5, 0.4, 0.3, 0.0]], device).expect("moments");
        let var = Var::new(&[[1.0_f32, 2.0], [3.0, 4.0]], device).expect("var");
        let accumulate = Accumulate { scale: 0.5 };
        let apply = Apply { step_size: 0.1, second_correction: 2.0, epsilon: 1e-5 };
        let moments_composed = accumulate.composed(&moments, &grad).expect("composed");
        let var_composed = apply.composed(&var, &moments_composed).expect("composed");
        moments.inplace_op2(&grad, &accumulate).expect("fused");
        var.inplace_op2(&moments, &apply).expect("fused");
        for (fused, composed) in [(&moments, &moments_composed), (var.as_tensor(), &var_composed)] {
            let error =
                (fused - composed).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>()).expect("error");
            assert!(error < 1e-6, "{error}");
        }
    }
}
