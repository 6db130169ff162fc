//! Learning algorithms of Sayso: PPO, rollouts, scripted experts and checkpoints.
