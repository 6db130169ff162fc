//! Memory of this machine, and whether what is asked for fits.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use crate::{Result, SimError};

/// Bytes that this process may still allocate: the memory that the system can give without swapping, at most what the limit of
/// its control group leaves. `None` where the system does not tell.
pub fn available_bytes() -> Option<u64> {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind).ok()?;
    let of_system = Some(system.available_memory()).filter(|&bytes| bytes > 0)?;
    let of_group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    Some(of_system.min(of_group))
}

/// Checks an estimate before anything is allocated, because a failed allocation ends the process.
///
/// # Errors
/// [`SimError::Memory`] if more would be needed than is available.
pub fn check_fits(what: &str, need: u64) -> Result<()> {
    match available_bytes() {
        Some(available) if available < need => Err(SimError::Memory {
            what: what.to_owned(),
            need: gigabytes(need),
            available: gigabytes(available),
        }),
        _ => Ok(()),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_refused_with_both_numbers() {
        let available = available_bytes().expect("this system tells its memory");
        assert!((10_000_000..1_000_000_000_000_000).contains(&available), "{available}");
        assert!(check_fits("nothing", 0).is_ok());
        let message = check_fits("a million envs", 5_000_000_000_000_000_000).unwrap_err().to_string();
        assert!(message.starts_with("a million envs would need about 5000000000.0 GB"), "{message}");
    }
}
