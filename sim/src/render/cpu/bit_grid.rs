//! A grid of bit sets: the parts that are relevant in each cell.

/// One bit set per cell of a `n_cols x n_rows` grid; sets are words of 64 bits, cells are stored by rows.
#[derive(Debug, Default)]
pub(super) struct BitGrid {
    n_cols: usize,
    n_words: usize,
    words: Vec<u64>,
}

impl BitGrid {
    /// Clears the grid and changes its shape; the buffer is reused.
    pub fn reset(&mut self, n_cols: usize, n_rows: usize, n_bits: usize) {
        self.n_cols = n_cols;
        self.n_words = n_bits.div_ceil(64);
        self.words.clear();
        self.words.resize(n_cols * n_rows * self.n_words, 0);
    }

    /// Number of words of one set.
    pub fn n_words(&self) -> usize {
        self.n_words
    }

    /// Adds `bit` to every cell of the rectangle.
    pub fn insert(&mut self, cols: std::ops::Range<usize>, rows: std::ops::Range<usize>, bit: usize) {
        let (word, mask) = (bit / 64, 1 << (bit % 64));
        for row in rows {
            let first = (row * self.n_cols + cols.start) * self.n_words + word;
            for k in 0..cols.len() {
                self.words[first + k * self.n_words] |= mask;
            }
        }
    }

    /// Index of a cell, for [`BitGrid::word`].
    #[inline(always)]
    pub fn cell_idx(&self, col: usize, row: usize) -> usize {
        row * self.n_cols + col
    }

    /// One word of the set of a cell.
    #[inline(always)]
    pub fn word(&self, cell_idx: usize, word: usize) -> u64 {
        self.words[cell_idx * self.n_words + word]
    }
}

/// The positions of the set bits of `word`, in ascending order.
#[inline(always)]
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}
