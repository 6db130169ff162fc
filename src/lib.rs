//! Sayso.
