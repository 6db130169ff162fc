//! A layer of a policy, forward and backward: one operation of ours, and composed of candle's.

use candle_core::{Device, Tensor, Var};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use sayso_rewards::nn::{Activation, Linear, Parameters};

use crate::pair;

pub fn compare() -> anyhow::Result<()> {
    for n_rows in [64, 256] {
        let (rng, device) = (&mut Pcg64::seed_from_u64(1), &Device::Cpu);
        let mut parameters = Parameters::default();
        let mut layer =
            |name: &str, sizes| Linear::new(&mut parameters, name, sizes, Activation::Tanh, 1.0, rng, device);
        let layers = [layer("1", (36, 64))?, layer("2", (64, 64))?, layer("3", (64, 3))?];
        let x = Var::from_tensor(&Tensor::randn(0f32, 1.0, (n_rows, 36), device)?)?;
        let run = |is_fused: bool| -> anyhow::Result<()> {
            let mut y = x.as_tensor().clone();
            for layer in &layers {
                y = if is_fused { layer.forward(&y)? } else { layer.forward_composed(&y)? };
            }
            std::hint::black_box(y.sqr()?.sum_all()?.backward()?);
            Ok(())
        };
        let what = format!("2x64 tanh network, {n_rows} rows, with gradients");
        pair(&what, "composed candle", Box::new(|| run(true)), Box::new(|| run(false)))?;
    }
    Ok(())
}
