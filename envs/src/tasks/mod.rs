//! The environments, each in one file, and what several of them share.

mod arm;
mod looks;
mod relations;

pub mod cart_pole;
pub mod go_to;
pub mod reach;
