//! Random initialisation of parameters. The generator is an argument, so that a seed determines the values.

use rand::Rng;

/// A standard normal variate (Box and Muller 1958).
pub fn standard_normal<R: Rng>(rng: &mut R) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32
}

/// A random matrix `[n_rows, n_columns]`, row-major: its rows, or its columns if there are more rows, are orthogonal and of
/// length `gain` (Saxe et al. 2014).
pub fn orthogonal<R: Rng>(n_rows: usize, n_columns: usize, gain: f64, rng: &mut R) -> Vec<f32> {
    let (n_vectors, len) = (n_rows.min(n_columns), n_rows.max(n_columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(n_vectors);
    while vectors.len() < n_vectors {
        let mut vector: Vec<f64> = (0..len).map(|_| f64::from(standard_normal(rng))).collect();
        for earlier in &vectors {
            let overlap: f64 = vector.iter().zip(earlier).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(earlier).for_each(|(a, b)| *a -= overlap * b);
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        // A sample within the span of the earlier vectors is rejected.
        if 1e-6 < norm {
            vectors.push(vector.iter().map(|a| a / norm).collect());
        }
    }
    let at = |row: usize, column: usize| {
        if n_rows <= n_columns { vectors[row][column] } else { vectors[column][row] }
    };
    (0..n_rows * n_columns).map(|i| (gain * at(i / n_columns, i % n_columns)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn orthogonal_vectors_have_the_gain_as_length() {
        let rng = &mut Pcg64::seed_from_u64(1);
        for (n_rows, n_columns) in [(4, 64), (64, 64), (64, 2), (3, 1)] {
            let matrix = orthogonal(n_rows, n_columns, 1.5, rng);
            let at = |vector: usize, i: usize| {
                if n_rows <= n_columns {
                    matrix[vector * n_columns + i]
                } else {
                    matrix[i * n_columns + vector]
                }
            };
            let len = n_rows.max(n_columns);
            for a in 0..n_rows.min(n_columns) {
                for b in 0..=a {
                    let dot: f32 = (0..len).map(|i| at(a, i) * at(b, i)).sum();
                    let expected = if a == b { 2.25 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-4, "{n_rows}x{n_columns}: {a}·{b} = {dot}");
                }
            }
        }
    }

    #[test]
    fn normal_variates_have_unit_moments() {
        let rng = &mut Pcg64::seed_from_u64(2);
        let samples: Vec<f32> = (0..100_000).map(|_| standard_normal(rng)).collect();
        let mean = samples.iter().sum::<f32>() / 1e5;
        let variance = samples.iter().map(|x| x * x).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
    }
}
