//! Facts about this machine, for reports and `sayso doctor`.

use std::fs;

/// Label and value, for a table.
pub type Fact = (String, String);

/// Version, processor, threads, SIMD, memory and system.
pub fn facts() -> Vec<Fact> {
    let fact = |label: &str, value: String| (label.to_owned(), value);
    vec![
        fact("Sayso", env!("CARGO_PKG_VERSION").to_owned()),
        fact("Processor", processor()),
        fact("Threads", n_threads().to_string()),
        fact("SIMD", simd_features().join(", ")),
        fact("Memory", memory()),
        fact("System", system()),
    ]
}

/// Number of threads: `RAYON_NUM_THREADS`, or else the available parallelism of the system.
pub fn n_threads() -> usize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// SIMD extensions that the program uses and this processor supports.
pub fn simd_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let detected = [
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
            ("FMA", std::arch::is_x86_feature_detected!("fma")),
            ("AVX-512F", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        features.extend(detected.into_iter().filter(|(_, has)| *has).map(|(name, _)| name));
    }
    if cfg!(target_arch = "aarch64") {
        features.push("NEON");
    }
    features
}

fn processor() -> String {
    let model = read("/proc/cpuinfo").and_then(|text| value_of(&text, "model name", ':'));
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> String {
    let kib = read("/proc/meminfo")
        .and_then(|text| value_of(&text, "MemTotal", ':'))
        .and_then(|value| value.trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{:.1} GiB", kib / 1024.0 / 1024.0))
}

fn system() -> String {
    let name = read("/etc/os-release").and_then(|text| value_of(&text, "PRETTY_NAME", '='));
    name.map_or_else(|| std::env::consts::OS.to_owned(), |name| name.trim_matches('"').to_owned())
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn value_of(text: &str, key: &str, separator: char) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "MemTotalX: 1 kB\nMemTotal:  24 kB\n";
        assert_eq!(value_of(text, "MemTotal", ':').as_deref(), Some("24 kB"));
    }
}
