//! Sources of the parameters of a tower.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarMap};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// The tensors of a checkpoint, by their names in its file. Reading a parameter that is missing or has another shape is an
/// error, and [`StrictTensors::unused`] lists those that were never read. Both use the names of the file.
#[derive(Clone)]
pub struct StrictTensors {
    tensors: Arc<HashMap<String, Tensor>>,
    unused: Arc<Mutex<BTreeSet<String>>>,
    place_of: fn(&str) -> Place,
}

/// Where the file of a checkpoint holds a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the tensor in the file.
    pub tensor: String,
    /// What part of the tensor the parameter is.
    pub part: Part,
}

/// The part of a file's tensor that a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The tensor itself.
    All,
    /// The transpose of the tensor, a matrix.
    Transpose,
    /// One of three equal parts along the first dimension, by its index from 0: of a fused query, key and value.
    Third(usize),
}

impl Place {
    /// A tensor whose name in the file is the name of the parameter: Hugging Face's format.
    pub fn same(name: &str) -> Self {
        Self { tensor: name.to_owned(), part: Part::All }
    }
}

impl Part {
    /// Shape of the file's tensor for a parameter of shape `shape`.
    fn stored_shape(self, shape: &Shape) -> Shape {
        let mut dims = shape.dims().to_vec();
        match self {
            Self::All => {}
            Self::Transpose => dims.reverse(),
            Self::Third(_) => dims.iter_mut().take(1).for_each(|dim| *dim *= 3),
        }
        dims.into()
    }

    fn of(self, tensor: &Tensor) -> Result<Tensor> {
        match self {
            Self::All => Ok(tensor.clone()),
            Self::Transpose => tensor.t()?.contiguous(),
            Self::Third(index) => {
                let len = tensor.dim(0)? / 3;
                tensor.narrow(0, index * len, len)?.contiguous()
            }
        }
    }
}

impl StrictTensors {
    /// Wraps the tensors of a checkpoint. `place_of` maps Hugging Face's name of a parameter, which the towers ask for, to
    /// its place in the file.
    pub fn new(tensors: HashMap<String, Tensor>, place_of: fn(&str) -> Place) -> Self {
        // Buffers that early versions of `transformers` and of `open_clip` saved with the parameters.
        let is_buffer = |name: &str| name.ends_with(".position_ids") || name == "attn_mask";
        let unused = tensors.keys().filter(|name| !is_buffer(name)).cloned().collect();
        Self { tensors: Arc::new(tensors), unused: Arc::new(Mutex::new(unused)), place_of }
    }

    /// Names of the file's tensors that have not been read, sorted.
    pub fn unused(&self) -> Vec<String> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn read(&self, name: &str, shape: Option<&Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
        let Place { tensor: stored, part } = (self.place_of)(name);
        let Some(tensor) = self.tensors.get(&stored) else {
            candle_core::bail!("tensor '{stored}' is missing");
        };
        if let Some(expected) = shape.map(|shape| part.stored_shape(shape))
            && tensor.shape() != &expected
        {
            candle_core::bail!(
                "tensor '{stored}' has shape {:?}, the config asks for {expected:?}",
                tensor.shape()
            );
        }
        self.unused.lock().unwrap_or_else(PoisonError::into_inner).remove(&stored);
        part.of(tensor)?.to_dtype(dtype)?.to_device(device)
    }
}

impl SimpleBackend for StrictTensors {
    fn get(&self, s: Shape, name: &str, _: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        self.read(name, Some(&s), dtype, dev)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, dev: &Device) -> Result<Tensor> {
        self.read(name, None, dtype, dev)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(&(self.place_of)(name).tensor)
    }
}

/// Variables for training. A parameter that the map lacks is sampled from its initial distribution; its generator is seeded
/// by the seed and the parameter's name, so that neither the order of construction nor the number of threads matters.
pub struct SeededVars {
    vars: VarMap,
    seed: u64,
}

impl SeededVars {
    /// Missing variables are added to `vars`; clones of a [`VarMap`] share their variables.
    pub fn new(vars: &VarMap, seed: u64) -> Self {
        Self { vars: vars.clone(), seed }
    }
}

impl SimpleBackend for SeededVars {
    fn get(&self, s: Shape, name: &str, init: Init, dtype: DType, dev: &Device) -> Result<Tensor> {
        let mut vars = self.vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = vars.get(name) {
            if var.shape() != &s {
                candle_core::bail!(
                    "variable '{name}' has shape {:?}, the config asks for {s:?}",
                    var.shape()
                );
            }
            return Ok(var.as_tensor().clone());
        }
        let value = match init {
            Init::Const(value) => Tensor::full(value as f32, &s, dev)?,
            Init::Randn { mean, stdev } => {
                let values = normal_values(s.elem_count(), mean, stdev, self.seed, name);
                Tensor::from_vec(values, &s, dev)?
            }
            _ => candle_core::bail!("variable '{name}' cannot be initialised from {init:?}"),
        };
        let var = Var::from_tensor(&value.to_dtype(dtype)?)?;
        let tensor = var.as_tensor().clone();
        vars.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        let vars = self.vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        vars.get(name)
            .map(|var| var.as_tensor().clone())
            .ok_or_else(|| candle_core::Error::msg(format!("variable '{name}' is missing")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.vars.data().lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }
}

/// Normal values by Box and Muller's transform, from a generator seeded by `seed` and `name`.
fn normal_values(n: usize, mean: f64, stdev: f64, seed: u64, name: &str) -> Vec<f32> {
    /// Fowler, Noll and Vo's hash (FNV-1a, 64 bits), which does not depend on platform or version.
    fn hash(name: &str) -> u64 {
        name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
    }
    let mut rng = Pcg64Mcg::seed_from_u64(seed ^ hash(name));
    let mut values = Vec::with_capacity(n + 1);
    while values.len() < n {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
        values.extend([cos, sin].map(|v| (mean + stdev * radius * v) as f32));
    }
    values.truncate(n);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_values_have_their_moments_and_their_seed() {
        let values = normal_values(20_001, 1.0, 2.0, 7, "a.weight");
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 20_001.0;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 20_001.0;
        assert!((mean - 1.0).abs() < 0.05 && (variance - 4.0).abs() < 0.15);
        assert_eq!(values, normal_values(20_001, 1.0, 2.0, 7, "a.weight"));
        assert_ne!(values, normal_values(20_001, 1.0, 2.0, 8, "a.weight"));
        assert_ne!(values, normal_values(20_001, 1.0, 2.0, 7, "b.weight"));
    }
}
