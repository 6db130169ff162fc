//! Rewards of reward models: they depend on the episode alone, not on what the batch did before, nor on how it is divided.

mod episodes;
mod instructions;
mod late;
mod mean_colour;
