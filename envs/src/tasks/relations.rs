//! Words for distances and angles, with degrees of truth that change smoothly with the quantity; and what "touch" means.

use sayso_sim::TOUCH_GAP;

/// Words along one axis. Between two neighbouring levels the truth of one word falls from 1 to 0 while that of the next
/// rises, so the degrees of truth of all words sum to 1 and preserve the order of the quantity.
pub struct Scale<const N: usize> {
    /// The words, from the smallest quantity to the largest.
    pub words: [&'static [&'static str]; N],
    /// The quantity at which each word is entirely true, ascending.
    pub levels: [f32; N],
}

impl<const N: usize> Scale<N> {
    /// Degree of truth of each word at a quantity.
    pub fn degrees(&self, quantity: f32) -> [f32; N] {
        interpolate(&self.levels, quantity)
    }
}

/// Number of words of a [`GapScale`].
pub const N_GAP_WORDS: usize = 5;

/// Words for the gap between two objects. The first says that they touch, and is entirely true or not at all; the others
/// change smoothly with the logarithm of the gap.
pub struct GapScale {
    /// The words, from contact to the largest gap.
    pub words: [&'static [&'static str]; N_GAP_WORDS],
    /// The gap at which each word but the first is entirely true, metres, ascending.
    pub gaps: [f32; N_GAP_WORDS - 1],
}

impl GapScale {
    /// Degree of truth of each word at a gap, metres.
    pub fn degrees(&self, gap: f32) -> [f32; N_GAP_WORDS] {
        let mut degrees = [0.0; N_GAP_WORDS];
        if is_touching(gap) {
            degrees[0] = 1.0;
        } else {
            degrees[1..].copy_from_slice(&interpolate(&self.gaps.map(log_gap), log_gap(gap)));
        }
        degrees
    }
}

/// Words for the gap between a gripper and an object.
pub const GRIPPER_GAP: GapScale = GapScale {
    words: [
        &["touching", "in contact with"],
        &["almost touching", "right next to"],
        &["near", "close to"],
        &["away from", "some way from"],
        &["far from", "far away from"],
    ],
    gaps: [TOUCH_GAP, 0.03, 0.13, 0.40],
};

/// Words for the gap between a mobile robot and an object in a room.
pub const ROBOT_GAP: GapScale = GapScale {
    words: [
        &["touching", "at"],
        &["right next to", "beside"],
        &["near", "close to"],
        &["away from", "some way from"],
        &["far from", "far away from"],
    ],
    gaps: [TOUCH_GAP, 0.25, 0.9, 2.0],
};

/// Whether two objects with this gap touch; success, captions and predicates all ask this function.
pub fn is_touching(gap: f32) -> bool {
    gap <= TOUCH_GAP
}

/// The logarithm of a gap in metres plus 1 cm, so that it is finite at contact.
fn log_gap(gap: f32) -> f32 {
    (gap.max(0.0) + 0.01).ln()
}

/// Weights of ascending levels whose weighted mean is the quantity; only the two levels around it have a weight.
fn interpolate<const N: usize>(levels: &[f32; N], quantity: f32) -> [f32; N] {
    let mut weights = [0.0; N];
    let above = levels.partition_point(|&level| level <= quantity);
    if above == 0 || above == N {
        weights[above.min(N - 1)] = 1.0;
        return weights;
    }
    let (low, high) = (levels[above - 1], levels[above]);
    let weight = (quantity - low) / (high - low);
    (weights[above - 1], weights[above]) = (1.0 - weight, weight);
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_sum_to_one_and_move_along_the_scale() {
        let mut last_mean = -1.0;
        for step in 0..100 {
            let degrees = GRIPPER_GAP.degrees(step as f32 * 0.006);
            assert!((degrees.iter().sum::<f32>() - 1.0).abs() < 1e-5, "degrees {degrees:?}");
            let mean: f32 = degrees.iter().enumerate().map(|(i, d)| i as f32 * d).sum();
            assert!(mean >= last_mean - 1e-5, "the words keep the order of the gap");
            last_mean = mean;
        }
        assert!((last_mean - 4.0).abs() < 1e-5, "the last word is entirely true at the end");
    }

    #[test]
    fn nothing_touches_at_a_gap_of_a_centimetre() {
        for scale in [GRIPPER_GAP, ROBOT_GAP] {
            assert_eq!(scale.degrees(0.0)[0], 1.0);
            assert_eq!(scale.degrees(-0.002)[0], 1.0, "an overlap is contact");
            assert_eq!(scale.degrees(0.01)[0], 0.0);
            assert_eq!(scale.degrees(1.1 * TOUCH_GAP)[0], 0.0);
        }
    }
}
