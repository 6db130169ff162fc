// The layout of the light grids: four numbers (origin, cells per metre), the set of the big casters, then the cells' sets.

// Cells along each side.
const N_CELLS = 24u;
// A caster is big when it reaches this many times farther than the median one.
const BIG = 8.0;
const GRID_HEAD = 4u;

fn grid_stride(set_words: u32) -> u32 {
    return GRID_HEAD + (N_CELLS * N_CELLS + 1u) * set_words;
}
