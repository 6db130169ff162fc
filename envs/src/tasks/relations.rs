//! Words for distances and angles, with degrees of truth that change smoothly with the quantity.

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
        let mut degrees = [0.0; N];
        let above = self.levels.partition_point(|&level| level <= quantity);
        if above == 0 || above == N {
            degrees[above.min(N - 1)] = 1.0;
            return degrees;
        }
        let (low, high) = (self.levels[above - 1], self.levels[above]);
        let weight = (quantity - low) / (high - low);
        (degrees[above - 1], degrees[above]) = (1.0 - weight, weight);
        degrees
    }
}

/// Words for the gap between a gripper and an object, by the gap's logarithm; see [`gap_quantity`].
pub const GRIPPER_GAP: Scale<5> = Scale {
    words: [
        &["touching", "in contact with"],
        &["almost touching", "right next to"],
        &["near", "close to"],
        &["away from", "some way from"],
        &["far from", "far away from"],
    ],
    levels: [-4.0, -3.1, -2.3, -1.55, -0.9],
};

/// Words for the gap between a mobile robot and an object in a room, by the gap's logarithm.
pub const ROBOT_GAP: Scale<5> = Scale {
    words: [
        &["touching", "at"],
        &["right next to", "beside"],
        &["near", "close to"],
        &["away from", "some way from"],
        &["far from", "far away from"],
    ],
    levels: [-3.0, -1.6, -0.7, 0.1, 0.8],
};

/// The logarithm of a gap in metres plus 1 cm, so that it is finite at contact.
pub fn gap_quantity(gap: f32) -> f32 {
    (gap.max(0.0) + 0.01).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_sum_to_one_and_move_along_the_scale() {
        let mut last_mean = -1.0;
        for step in 0..100 {
            let degrees = GRIPPER_GAP.degrees(gap_quantity(step as f32 * 0.006));
            assert!((degrees.iter().sum::<f32>() - 1.0).abs() < 1e-5, "degrees {degrees:?}");
            let mean: f32 = degrees.iter().enumerate().map(|(i, d)| i as f32 * d).sum();
            assert!(mean >= last_mean - 1e-5, "the words keep the order of the gap");
            last_mean = mean;
        }
        assert!((last_mean - 4.0).abs() < 1e-5, "the last word is entirely true at the end");
    }
}
