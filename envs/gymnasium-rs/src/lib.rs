#![doc = include_str!("../README.md")]

pub mod convert;
pub mod env;

pub use convert::{Action, Observation};
pub use env::GymnasiumEnv;
