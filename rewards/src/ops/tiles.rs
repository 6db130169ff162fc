//! Small matrix products for attention heads, in registers of eight lanes.
//!
//! A head's matrices (tens of rows, tens of columns) are too small for a general matrix product to pay for its own
//! packing and threads. Here the right factor is packed once into panels of sixteen columns; four rows of the left
//! factor by one panel are eight accumulators, which is what it takes to keep two fused multiply-adds in flight.

use wide::f32x8;

/// Columns of a panel.
pub(super) const TILE_WIDTH: usize = 16;

/// One row of a panel.
type PanelRow = [[f32; 8]; 2];

/// A matrix `[depth, n_cols]` as panels of [`TILE_WIDTH`] columns, the last padded with zeros.
#[derive(Default)]
pub(super) struct Panels {
    depth: usize,
    rows: Vec<PanelRow>,
}

impl Panels {
    pub fn new() -> Self {
        Self::default()
    }

    fn reset(&mut self, depth: usize, n_cols: usize) {
        self.depth = depth;
        self.rows.clear();
        self.rows.resize(depth * n_cols.div_ceil(TILE_WIDTH), [[0.0; 8]; 2]);
    }

    /// Packs the row-major matrix `[depth, n_cols]` at `from`.
    pub fn pack(&mut self, from: &[f32], stride: usize, depth: usize, n_cols: usize) {
        self.reset(depth, n_cols);
        for (p, row) in from.chunks(stride).take(depth).enumerate() {
            for (panel_idx, part) in row[..n_cols].chunks(TILE_WIDTH).enumerate() {
                self.rows[panel_idx * depth + p].as_flattened_mut()[..part.len()].copy_from_slice(part);
            }
        }
    }

    /// Packs the transpose of the row-major matrix `[n_cols, depth]` at `from`, times `scale`.
    pub fn pack_transposed(&mut self, from: &[f32], stride: usize, n_cols: usize, depth: usize, scale: f32) {
        self.reset(depth, n_cols);
        for (col, row) in from.chunks(stride).take(n_cols).enumerate() {
            let (panel_idx, col) = (col / TILE_WIDTH, col % TILE_WIDTH);
            let panel = &mut self.rows[panel_idx * depth..][..depth];
            for (to, &v) in panel.iter_mut().zip(row) {
                to[col / 8][col % 8] = v * scale;
            }
        }
    }

    fn panels(&self) -> impl Iterator<Item = &[PanelRow]> {
        self.rows.chunks_exact(self.depth)
    }
}

/// `c[i] = a[i] · b`: `a` is row-major `[n_rows, depth]`; the first `n_cols` columns of `c` are written.
pub(super) fn multiply(
    a: &[f32],
    a_stride: usize,
    n_rows: usize,
    b: &Panels,
    c: &mut [f32],
    c_stride: usize,
    n_cols: usize,
) {
    let row = |i: usize| &a[i * a_stride..][..b.depth];
    for (panel_idx, panel) in b.panels().enumerate() {
        let first_col = panel_idx * TILE_WIDTH;
        let width = TILE_WIDTH.min(n_cols - first_col);
        let mut i = 0;
        while i + 4 <= n_rows {
            let tile = dot_rows([row(i), row(i + 1), row(i + 2), row(i + 3)], panel);
            store(&tile, &mut c[i * c_stride + first_col..], c_stride, width);
            i += 4;
        }
        while i < n_rows {
            store(&dot_rows([row(i)], panel), &mut c[i * c_stride + first_col..], c_stride, width);
            i += 1;
        }
    }
}

/// `c = aᵀ · b`: `a` is row-major `[depth, n_rows]`; the first `n_cols` columns of `c` are written.
pub(super) fn multiply_transposed(
    a: &[f32],
    a_stride: usize,
    n_rows: usize,
    b: &Panels,
    c: &mut [f32],
    c_stride: usize,
    n_cols: usize,
) {
    for (panel_idx, panel) in b.panels().enumerate() {
        let first_col = panel_idx * TILE_WIDTH;
        let width = TILE_WIDTH.min(n_cols - first_col);
        let mut i = 0;
        while i + 4 <= n_rows {
            store(
                &dot_cols::<4>(&a[i..], a_stride, panel),
                &mut c[i * c_stride + first_col..],
                c_stride,
                width,
            );
            i += 4;
        }
        while i < n_rows {
            store(
                &dot_cols::<1>(&a[i..], a_stride, panel),
                &mut c[i * c_stride + first_col..],
                c_stride,
                width,
            );
            i += 1;
        }
    }
}

type Tile<const ROWS: usize> = [[f32x8; 2]; ROWS];

#[inline(always)]
fn dot_rows<const ROWS: usize>(a: [&[f32]; ROWS], panel: &[PanelRow]) -> Tile<ROWS> {
    let a = a.map(|row| &row[..panel.len()]);
    let mut acc = [[f32x8::ZERO; 2]; ROWS];
    for (p, b) in panel.iter().enumerate() {
        let b = b.map(f32x8::new);
        for (acc, a) in acc.iter_mut().zip(&a) {
            let a = f32x8::splat(a[p]);
            *acc = [a.mul_add(b[0], acc[0]), a.mul_add(b[1], acc[1])];
        }
    }
    acc
}

#[inline(always)]
fn dot_cols<const ROWS: usize>(a: &[f32], a_stride: usize, panel: &[PanelRow]) -> Tile<ROWS> {
    let mut acc = [[f32x8::ZERO; 2]; ROWS];
    for (b, a) in panel.iter().zip(a.chunks(a_stride)) {
        let b = b.map(f32x8::new);
        for (acc, &a) in acc.iter_mut().zip(&a[..ROWS]) {
            let a = f32x8::splat(a);
            *acc = [a.mul_add(b[0], acc[0]), a.mul_add(b[1], acc[1])];
        }
    }
    acc
}

#[inline(always)]
fn store<const ROWS: usize>(tile: &Tile<ROWS>, c: &mut [f32], c_stride: usize, width: usize) {
    for (r, tile) in tile.iter().enumerate() {
        let values = tile.map(f32x8::to_array);
        c[r * c_stride..][..width].copy_from_slice(&values.as_flattened()[..width]);
    }
}
