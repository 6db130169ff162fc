//! The part of a checkpoint that one component saves and restores.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use sayso_rewards::nn::{Adam, Parameters};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::TensorData;
use crate::episodes::MAX_COUNT;
use crate::{AgentError, Result};

/// Named tensors, and other named values as JSON.
#[derive(Clone, Debug, Default)]
pub struct SavedState {
    pub(super) tensors: BTreeMap<String, TensorData>,
    /// Not parsed, as a random generator has numbers that a parsed value cannot hold.
    pub(super) values: BTreeMap<String, Box<RawValue>>,
    /// The file that it was read from; empty if it was made in memory.
    pub(super) path: PathBuf,
}

impl SavedState {
    /// Adds a tensor of f32.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn add_tensor(&mut self, name: impl Into<String>, tensor: &Tensor) -> Result<()> {
        self.tensors.insert(name.into(), TensorData::from_tensor(tensor)?);
        Ok(())
    }

    /// Adds a vector.
    pub fn add_f32(&mut self, name: &str, values: &[f32]) {
        self.tensors.insert(name.to_owned(), TensorData::from_f32(values));
    }

    /// Adds a vector.
    pub fn add_f64(&mut self, name: &str, values: &[f64]) {
        self.tensors.insert(name.to_owned(), TensorData::from_f64(values));
    }

    /// Adds bytes.
    pub fn add_bytes(&mut self, name: &str, bytes: Vec<u8>) {
        self.tensors.insert(name.to_owned(), TensorData::from_bytes(bytes));
    }

    /// Adds a small value, such as a counter or a random generator.
    ///
    /// # Errors
    /// If it cannot be represented in JSON.
    pub fn add_value<T: Serialize>(&mut self, name: &str, value: &T) -> Result<()> {
        let value = to_raw_value(value).map_err(|error| self.error(format!("value '{name}': {error}")))?;
        self.values.insert(name.to_owned(), value);
        Ok(())
    }

    /// Adds the parameters of a network as `{prefix}.{name}`.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn add_parameters(&mut self, prefix: &str, parameters: &Parameters) -> Result<()> {
        parameters.iter().try_for_each(|(name, var)| self.add_tensor(format!("{prefix}.{name}"), var))
    }

    /// Adds the moments of an optimiser as `{prefix}.{name}`, and its steps as the value `{prefix}.steps`.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn add_adam(&mut self, prefix: &str, parameters: &Parameters, adam: &Adam) -> Result<()> {
        let (moments, n_steps) = adam.state();
        for ((name, _), moments) in parameters.iter().zip(moments) {
            self.add_tensor(format!("{prefix}.{name}"), moments)?;
        }
        self.add_value(&format!("{prefix}.steps"), &n_steps)
    }

    /// A tensor of the given shape.
    ///
    /// # Errors
    /// If it is missing, or has another shape or type.
    pub fn tensor(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let data = self.data(name)?;
        if data.shape() != shape {
            let got = data.shape();
            return Err(self.error(format!("tensor '{name}': expected shape {shape:?}, got {got:?}")));
        }
        Ok(Tensor::from_vec(self.f32_values(name)?, shape, device)?)
    }

    /// The values of a tensor.
    ///
    /// # Errors
    /// If it is missing, or of another type.
    pub fn f32_values(&self, name: &str) -> Result<Vec<f32>> {
        self.data(name)?.to_f32().map_err(|reason| self.error(format!("tensor '{name}': {reason}")))
    }

    /// The values of a tensor.
    ///
    /// # Errors
    /// If it is missing, or of another type.
    pub fn f64_values(&self, name: &str) -> Result<Vec<f64>> {
        self.data(name)?.to_f64().map_err(|reason| self.error(format!("tensor '{name}': {reason}")))
    }

    /// The bytes of a tensor.
    ///
    /// # Errors
    /// If it is missing, or of another type.
    pub fn bytes(&self, name: &str) -> Result<&[u8]> {
        self.data(name)?.to_bytes().map_err(|reason| self.error(format!("tensor '{name}': {reason}")))
    }

    /// A value that was added with [`Self::add_value`].
    ///
    /// # Errors
    /// If it is missing, or of another type.
    pub fn value<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let value = self.values.get(name).ok_or_else(|| self.error(format!("value '{name}' is missing")))?;
        serde_json::from_str(value.get()).map_err(|error| self.error(format!("value '{name}': {error}")))
    }

    /// Sets the parameters of a network to those that were saved with the prefix; there must be no others.
    ///
    /// # Errors
    /// If one is missing or has another shape.
    pub fn set_parameters(&self, prefix: &str, parameters: &Parameters) -> Result<()> {
        for (name, var) in parameters.iter() {
            var.set(&self.tensor(&format!("{prefix}.{name}"), var.dims(), var.device())?)?;
        }
        self.expect_equal(
            "number of tensors of a network",
            &parameters.iter().len(),
            &self.with_prefix(prefix).count(),
        )
    }

    /// Sets the state of an optimiser of these parameters to that which was saved with the prefix.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape.
    pub fn set_adam(&self, prefix: &str, parameters: &Parameters, adam: &mut Adam) -> Result<()> {
        let moments = parameters.iter().map(|(name, var)| {
            self.tensor(&format!("{prefix}.{name}"), &[2, var.elem_count()], var.device())
        });
        let moments = moments.collect::<Result<_>>()?;
        let n_steps: u64 = self.value(&format!("{prefix}.steps"))?;
        if n_steps > MAX_COUNT {
            return Err(
                self.error(format!("it counts {n_steps} steps of Adam, expected at most {MAX_COUNT}"))
            );
        }
        adam.set_state(moments, n_steps);
        Ok(())
    }

    /// Names of the tensors, sorted.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Checks that a network with `n_parameters` is not larger than the tensors with the prefix, before it is made: a damaged
    /// file may ask for more memory than there is.
    ///
    /// # Errors
    /// If it is larger.
    pub fn check_size(&self, prefix: &str, n_parameters: Option<usize>) -> Result<()> {
        let n_saved: usize =
            self.with_prefix(prefix).map(|data| data.shape().iter().product::<usize>()).sum();
        match n_parameters {
            Some(n_parameters) if n_parameters <= n_saved => Ok(()),
            _ => Err(self.error(format!("the policy has more parameters than the {n_saved} in the file"))),
        }
    }

    /// Checks that a saved value is the expected one.
    ///
    /// # Errors
    /// Names what differs, and both values.
    pub fn expect_equal<T: PartialEq + Debug>(&self, what: &str, expected: &T, saved: &T) -> Result<()> {
        if expected == saved {
            return Ok(());
        }
        Err(self.error(format!("{what}: expected {expected:?}, but it was saved with {saved:?}")))
    }

    /// The error that this state is damaged or does not fit.
    pub fn error(&self, reason: String) -> AgentError {
        let path = if self.path == Path::new("") { PathBuf::from("checkpoint") } else { self.path.clone() };
        AgentError::Checkpoint { path, reason }
    }

    fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = &TensorData> {
        let is_inside = move |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        self.tensors.iter().filter(move |(name, _)| is_inside(name)).map(|(_, data)| data)
    }

    fn data(&self, name: &str) -> Result<&TensorData> {
        self.tensors.get(name).ok_or_else(|| self.error(format!("tensor '{name}' is missing")))
    }
}
