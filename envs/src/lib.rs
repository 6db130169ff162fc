//! Environments of Sayso: tasks, the gym interface and the vectorised stepping engine.
