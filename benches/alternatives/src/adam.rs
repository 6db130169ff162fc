//! One step of Adam: ours, and candle-nn's AdamW without weight decay and without our clipping.

use candle_core::{Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use sayso_rewards::nn::{Adam, Parameters};

use crate::pair;

pub fn compare() -> anyhow::Result<()> {
    let policy: &[(usize, usize)] = &[(36, 64), (1, 64), (64, 64), (1, 64), (64, 3), (1, 3)];
    let encoder: &[(usize, usize)] = &[(96, 288), (96, 96), (96, 384), (384, 96), (192, 96), (96, 128)];
    for (name, shapes) in [("policy, 2x64", policy), ("bundled encoder, a layer", encoder)] {
        let vars = shapes
            .iter()
            .map(|shape| Var::from_tensor(&Tensor::randn(0f32, 1.0, *shape, &Device::Cpu)?))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let squares = vars.iter().map(|var| var.sqr()?.sum_all()).collect::<candle_core::Result<Vec<_>>>()?;
        let grads = Tensor::stack(&squares, 0)?.sum_all()?.backward()?;
        let mut parameters = Parameters::default();
        vars.iter().enumerate().for_each(|(idx, var)| drop(parameters.add(idx.to_string(), var.clone())));
        let mut ours = Adam::new(&parameters)?;
        let params = ParamsAdamW { lr: 1e-9, weight_decay: 0.0, ..ParamsAdamW::default() };
        let mut theirs = AdamW::new(vars, params)?;
        let step_ours = || {
            ours.step(&grads, 1e-9, 0.5)?;
            Ok(())
        };
        let step_theirs = || Ok(theirs.step(&grads)?);
        pair(&format!("Adam, {name}"), "candle-nn AdamW", Box::new(step_ours), Box::new(step_theirs))?;
    }
    Ok(())
}
