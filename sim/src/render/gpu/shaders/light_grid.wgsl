// Layout of a light grid: four numbers (origin, cells per metre), the set of the big casters, then the sets of the cells.

// Cells along each side.
const N_CELLS = 24u;
// A caster is big if its reach is more than this many times that of the median one.
const BIG = 8.0;
const GRID_HEAD = 4u;

fn grid_stride(set_words: u32) -> u32 {
    return GRID_HEAD + (N_CELLS * N_CELLS + 1u) * set_words;
}
