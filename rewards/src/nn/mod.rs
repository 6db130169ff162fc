//! Layers, parameters and the optimiser of small networks: policies, and the auxiliary heads of pretraining.
//!
//! In such small layers the overhead of general tensor operations would dominate. On the CPU a layer is therefore one
//! operation, forward and backward (ADR 0013); on other devices it is composed of candle's own operations. The tests compare
//! the two.

mod adam;
mod conv;
pub mod init;
mod linear;

pub use adam::Adam;
pub use conv::Conv2d;
pub use linear::{Activation, Linear};

use candle_core::{Result, Var};

/// The trainable tensors of a network in a fixed order, by name.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    named: Vec<(String, Var)>,
}

impl Parameters {
    /// Adds a tensor and returns it.
    pub fn add(&mut self, name: impl Into<String>, var: Var) -> Var {
        self.named.push((name.into(), var.clone()));
        var
    }

    /// Names and tensors, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.named.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Moves each value a fraction `tau` of the way to that of `other`, a network of the same shape: Polyak averaging.
    ///
    /// # Errors
    /// If a tensor has another shape.
    pub fn follow(&self, other: &Self, tau: f64) -> Result<()> {
        for ((_, mine), (_, other)) in self.named.iter().zip(&other.named) {
            let (mine_now, other) = (mine.as_detached_tensor(), other.as_detached_tensor());
            mine.set(&((mine_now * (1.0 - tau))? + (other * tau)?)?)?;
        }
        Ok(())
    }

    /// Total number of trainable values.
    pub fn n_values(&self) -> usize {
        self.named.iter().map(|(_, var)| var.elem_count()).sum()
    }
}
