//! Random streams: one per (seed, env, episode), whatever the number of envs, slots or threads.

use rand_pcg::Pcg64;

/// The random generator of every part of Sayso.
pub type Rng = Pcg64;

/// A generator for one purpose. Two calls with equal keys give equal streams; keys that differ anywhere give
/// unrelated ones. By convention the keys are `[seed, env, episode]`, plus a purpose where one env needs several.
pub fn stream(keys: &[u64]) -> Rng {
    let mut state = 0x5361_7973_6f00_0001;
    for &key in keys {
        state = mix(state ^ mix(key));
    }
    let wide = |a: u64, b: u64| (u128::from(a) << 64) | u128::from(b);
    Pcg64::new(wide(mix(state ^ 1), mix(state ^ 2)), wide(mix(state ^ 3), mix(state ^ 4)))
}

/// One output of SplitMix64 (Steele et al. 2014, the finaliser of Stafford's "Mix13").
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::RngCore;

    use super::stream;

    #[test]
    fn streams_are_reproducible_and_distinct() {
        let mut first_values = BTreeSet::new();
        for seed in 0..8 {
            for env in 0..8 {
                for episode in 0..8 {
                    let value = stream(&[seed, env, episode]).next_u64();
                    assert_eq!(value, stream(&[seed, env, episode]).next_u64(), "same keys, same stream");
                    assert!(first_values.insert(value), "({seed}, {env}, {episode}) repeats another stream");
                }
            }
        }
    }
}
