//! The environments, one per file, and the parts that they share.

mod arm;
mod looks;
mod relations;

pub mod cart_pole;
pub mod go_to;
pub mod reach;

pub use looks::NAMED_COLOURS;

pub(crate) use cart_pole::CartPoleOptions;
pub(crate) use go_to::GoToOptions;
pub(crate) use reach::ReachOptions;
