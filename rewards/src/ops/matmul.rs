//! Products of small matrices, computed in vector registers. At the sizes of attention heads and small networks, the packing
//! and threading of a general matrix product cost more than the product itself (ADR 0013).
//!
//! The right factor is packed once into panels of sixteen columns. A tile of six rows of the left factor by one panel has
//! twelve accumulators, which with their operands fill the sixteen registers of AVX2. Every value is summed over the inner
//! dimension in order, so results depend neither on the number of threads nor on the other rows.

use rayon::prelude::*;
use wide::f32x8;

/// Rows of a register tile.
const TILE_ROWS: usize = 6;
/// Columns of a panel.
pub(super) const PANEL_COLUMNS: usize = 16;
/// Rows of one parallel task.
const TASK_ROWS: usize = 4 * TILE_ROWS;
/// Minimum number of multiply-adds for which a product is split over threads.
const PARALLEL_WORK: usize = 2 << 20;

/// A view of a matrix in a slice: entry `(row, column)` is at `row * row_stride + column * column_stride`, and one of the
/// strides is 1.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    n_rows: usize,
    n_columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix of `n_rows * n_columns` values.
    pub fn new(values: &'a [f32], n_rows: usize, n_columns: usize) -> Self {
        debug_assert_eq!(values.len(), n_rows * n_columns, "one value per entry");
        Self::strided(values, n_rows, n_columns, n_columns)
    }

    /// A row-major matrix whose rows begin `row_stride` values apart.
    pub fn strided(values: &'a [f32], n_rows: usize, n_columns: usize, row_stride: usize) -> Self {
        Self { values, n_rows, n_columns, row_stride, column_stride: 1 }
    }

    /// The same values with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            values: self.values,
            n_rows: self.n_columns,
            n_columns: self.n_rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// The `n_rows` rows from `first_row`.
    fn rows(self, first_row: usize, n_rows: usize) -> Self {
        Self { values: &self.values[first_row * self.row_stride..], n_rows, ..self }
    }
}

/// `a · b + bias`, row-major `[a.n_rows, b.n_columns]`; `bias` is one row, zeros if absent.
pub fn matmul(a: Matrix, b: Matrix, bias: Option<&[f32]>) -> Vec<f32> {
    assert_eq!(a.n_columns, b.n_rows, "inner sizes agree");
    assert!(bias.is_none_or(|bias| bias.len() == b.n_columns), "one bias per column");
    let n_columns = b.n_columns;
    let mut out = vec![0.0; a.n_rows * n_columns];
    if out.is_empty() {
        return out;
    }
    let mut panels = Panels::default();
    panels.pack(b, 1.0, bias);
    if a.n_rows * a.n_columns * n_columns < PARALLEL_WORK {
        multiply(a, &panels, &mut out, n_columns, n_columns);
    } else {
        let tasks = out.par_chunks_mut(TASK_ROWS * n_columns).enumerate();
        tasks.for_each(|(task_idx, out)| {
            let rows = a.rows(task_idx * TASK_ROWS, out.len() / n_columns);
            multiply(rows, &panels, out, n_columns, n_columns);
        });
    }
    out
}

/// The packed right factor of a product: one panel per sixteen columns, whose first row is the bias. The last panel is
/// padded with zeros.
#[derive(Debug, Default)]
pub(super) struct Panels {
    depth: usize,
    rows: Vec<[f32; PANEL_COLUMNS]>,
}

impl Panels {
    /// Replaces the content by `b * scale` and the bias, one row. The buffer is reused.
    pub fn pack(&mut self, b: Matrix, scale: f32, bias: Option<&[f32]>) {
        self.depth = b.n_rows;
        self.rows.clear();
        self.rows.resize(b.n_columns.div_ceil(PANEL_COLUMNS) * (self.depth + 1), [0.0; PANEL_COLUMNS]);
        for (panel_idx, panel) in self.rows.chunks_exact_mut(self.depth + 1).enumerate() {
            let first = panel_idx * PANEL_COLUMNS;
            let width = PANEL_COLUMNS.min(b.n_columns - first);
            if let Some(bias) = bias {
                panel[0][..width].copy_from_slice(&bias[first..][..width]);
            }
            if b.column_stride == 1 {
                for (row, packed) in panel[1..].iter_mut().enumerate() {
                    let values = &b.values[row * b.row_stride + first..][..width];
                    packed.iter_mut().zip(values).for_each(|(packed, v)| *packed = v * scale);
                }
            } else {
                for column in 0..width {
                    let values = &b.values[(first + column) * b.column_stride..][..self.depth];
                    panel[1..].iter_mut().zip(values).for_each(|(packed, v)| packed[column] = v * scale);
                }
            }
        }
    }
}

/// Writes `a · b + bias` into the first `n_columns` columns of `out`, whose rows begin `out_stride` values apart. Columns
/// that `b` does not have become zeros, up to the end of its last panel.
pub(super) fn multiply(a: Matrix, b: &Panels, out: &mut [f32], out_stride: usize, n_columns: usize) {
    let mut row = 0;
    while row + TILE_ROWS <= a.n_rows {
        multiply_rows::<TILE_ROWS>(a, row, b, &mut out[row * out_stride..], out_stride, n_columns);
        row += TILE_ROWS;
    }
    if row + 4 <= a.n_rows {
        multiply_rows::<4>(a, row, b, &mut out[row * out_stride..], out_stride, n_columns);
        row += 4;
    }
    if row + 2 <= a.n_rows {
        multiply_rows::<2>(a, row, b, &mut out[row * out_stride..], out_stride, n_columns);
        row += 2;
    }
    if row < a.n_rows {
        multiply_rows::<1>(a, row, b, &mut out[row * out_stride..], out_stride, n_columns);
    }
}

#[inline(always)]
fn multiply_rows<const ROWS: usize>(
    a: Matrix,
    first_row: usize,
    b: &Panels,
    out: &mut [f32],
    out_stride: usize,
    n_columns: usize,
) {
    for (panel_idx, panel) in b.rows.chunks_exact(b.depth + 1).enumerate() {
        let first = panel_idx * PANEL_COLUMNS;
        let width = PANEL_COLUMNS.min(n_columns - first);
        if width <= PANEL_COLUMNS / 2 {
            store(&tile::<ROWS, 1>(a, first_row, panel), &mut out[first..], out_stride, width);
        } else {
            store(&tile::<ROWS, 2>(a, first_row, panel), &mut out[first..], out_stride, width);
        }
    }
}

/// `ROWS` rows of the product with the first eight or all sixteen columns of a panel.
#[inline(always)]
fn tile<const ROWS: usize, const HALVES: usize>(
    a: Matrix,
    first_row: usize,
    panel: &[[f32; PANEL_COLUMNS]],
) -> [[f32x8; HALVES]; ROWS] {
    let mut sums = [halves(&panel[0]); ROWS];
    let panel = &panel[1..];
    let mut add = |a: [f32; ROWS], b: [f32x8; HALVES]| {
        for (sums, a) in sums.iter_mut().zip(a) {
            let a = f32x8::splat(a);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = a.mul_add(b, *sum);
            }
        }
    };
    if a.column_stride == 1 {
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &a.values[(first_row + row) * a.row_stride..][..panel.len()]);
        for (inner, b) in panel.iter().enumerate() {
            add(rows.map(|row| row[inner]), halves(b));
        }
    } else {
        // Without inner entries there may be no values at all.
        let values = a.values.get(first_row..).unwrap_or_default();
        for (a, b) in values.chunks(a.column_stride).zip(panel) {
            add(std::array::from_fn(|row| a[row]), halves(b));
        }
    }
    sums
}

#[inline(always)]
fn halves<const HALVES: usize>(row: &[f32; PANEL_COLUMNS]) -> [f32x8; HALVES] {
    let (halves, _) = row.as_chunks::<8>();
    std::array::from_fn(|half| f32x8::new(halves[half]))
}

#[inline(always)]
fn store<const ROWS: usize, const HALVES: usize>(
    tile: &[[f32x8; HALVES]; ROWS],
    out: &mut [f32],
    out_stride: usize,
    width: usize,
) {
    for (row, tile) in tile.iter().enumerate() {
        let values = tile.map(f32x8::to_array);
        out[row * out_stride..][..width].copy_from_slice(&values.as_flattened()[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 + seed as f32) * 1.37).sin()).collect()
    }

    #[test]
    fn product_equals_the_definition_at_odd_sizes() {
        for (m, k, n) in [
            (1, 1, 1),
            (4, 0, 3),
            (5, 3, 2),
            (6, 16, 16),
            (7, 4, 9),
            (64, 64, 64),
            (13, 70, 33),
            (200, 120, 100),
        ] {
            let (a, b, bias) = (values(m * k, 1), values(k * n, 2), values(n, 3));
            let straight = matmul(Matrix::new(&a, m, k), Matrix::new(&b, k, n), Some(&bias));
            let turned = matmul(Matrix::new(&b, k, n).transposed(), Matrix::new(&a, m, k).transposed(), None);
            for row in 0..m {
                for column in 0..n {
                    let sum: f64 =
                        (0..k).map(|i| f64::from(a[row * k + i]) * f64::from(b[i * n + column])).sum();
                    let got = f64::from(straight[row * n + column] - bias[column]);
                    assert!((got - sum).abs() < 1e-4, "{m}x{k}x{n} at {row},{column}: {got} for {sum}");
                    assert!(
                        (f64::from(turned[column * m + row]) - sum).abs() < 1e-4,
                        "{m}x{k}x{n} transposed"
                    );
                }
            }
        }
    }
}
