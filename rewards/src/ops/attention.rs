//! Self-attention over short sequences, with all scores of a sequence in cache.
//!
//! Rows of `qkv` are `[query | key | value]`, each `width = n_heads * head_dim` wide; the sequences are stacked. One task
//! processes the heads of one sequence in turn, with scratch memory that fits the second-level cache.

use rayon::prelude::*;

use super::math::{dot, exp, max_of, sum_of};
use super::matmul::{Matrix, PANEL_COLUMNS, Panels, multiply};

/// Shape of one self-attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// Tokens per sequence.
    pub n_tokens: usize,
    /// Width of the queries of all heads.
    pub width: usize,
    /// Number of heads; divides `width`.
    pub n_heads: usize,
    /// Whether a token attends only to itself and earlier tokens.
    pub causal: bool,
}

impl Heads {
    fn head_dim(&self) -> usize {
        self.width / self.n_heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim() as f32).sqrt()
    }

    /// Row length of the score matrix in scratch memory.
    fn padded_tokens(&self) -> usize {
        self.n_tokens.next_multiple_of(PANEL_COLUMNS)
    }

    /// Offset and stride of the rows of query, key or value (`part` 0, 1, 2) of a head inside one sequence of `qkv`.
    fn part(&self, part: usize, head_idx: usize) -> Strided {
        Strided { start: part * self.width + head_idx * self.head_dim(), stride: 3 * self.width }
    }

    /// Offset and stride of a head's columns in one sequence of the result.
    fn result(&self, head_idx: usize) -> Strided {
        Strided { start: head_idx * self.head_dim(), stride: self.width }
    }
}

/// Offset and stride of the rows of one head in the row-major matrix of all heads.
#[derive(Clone, Copy)]
struct Strided {
    start: usize,
    stride: usize,
}

impl Strided {
    /// The head's rows in `values`.
    fn of<'a>(&self, values: &'a [f32], heads: &Heads) -> Matrix<'a> {
        Matrix::strided(&values[self.start..], heads.n_tokens, heads.head_dim(), self.stride)
    }
}

/// Memory that one worker thread reuses for every sequence.
struct Scratch {
    keys_t: Panels,
    panels: Panels,
    probs: Vec<f32>,
    grad_probs: Vec<f32>,
}

impl Scratch {
    fn new(heads: &Heads) -> Self {
        let len = heads.n_tokens * heads.padded_tokens();
        Self {
            keys_t: Panels::default(),
            panels: Panels::default(),
            probs: vec![0.0; len],
            grad_probs: vec![0.0; len],
        }
    }

    /// `probs = softmax(query · keyᵀ * scale)` of one head, rows padded with zeros.
    fn attend(&mut self, heads: &Heads, qkv: &[f32], head_idx: usize) {
        let (n, padded) = (heads.n_tokens, heads.padded_tokens());
        let (query, key) = (heads.part(0, head_idx), heads.part(1, head_idx));
        self.keys_t.pack(key.of(qkv, heads).transposed(), heads.scale(), None);
        multiply(query.of(qkv, heads), &self.keys_t, &mut self.probs, padded, padded);
        for (i, row) in self.probs.chunks_exact_mut(padded).enumerate() {
            let n_seen = if heads.causal { i + 1 } else { n };
            let (seen, unseen) = row.split_at_mut(n_seen);
            softmax(seen);
            unseen.fill(0.0);
        }
    }
}

/// `out = softmax(query · keyᵀ / √head_dim) · value`, `[n_sequences * n_tokens, width]`.
pub(super) fn forward(heads: &Heads, qkv: &[f32], out: &mut [f32]) {
    let len = heads.n_tokens * heads.width;
    out.par_chunks_mut(len).zip(qkv.par_chunks(3 * len)).for_each_init(
        || Scratch::new(heads),
        |scratch, (out, qkv)| {
            for head_idx in 0..heads.n_heads {
                scratch.attend(heads, qkv, head_idx);
                let (value, result) = (heads.part(2, head_idx), heads.result(head_idx));
                let (n, padded, head_dim) = (heads.n_tokens, heads.padded_tokens(), heads.head_dim());
                scratch.panels.pack(value.of(qkv, heads), 1.0, None);
                let probs = Matrix::strided(&scratch.probs, n, n, padded);
                multiply(probs, &scratch.panels, &mut out[result.start..], result.stride, head_dim);
            }
        },
    );
}

/// The gradient of `qkv` from `grad`, the gradient of the result; the probabilities are recomputed.
pub(super) fn backward(heads: &Heads, qkv: &[f32], grad: &[f32], grad_qkv: &mut [f32]) {
    let len = heads.n_tokens * heads.width;
    let items = grad_qkv.par_chunks_mut(3 * len).zip(qkv.par_chunks(3 * len)).zip(grad.par_chunks(len));
    items.for_each_init(
        || Scratch::new(heads),
        |scratch, ((grad_qkv, qkv), grad)| {
            for head_idx in 0..heads.n_heads {
                backward_head(heads, scratch, head_idx, qkv, grad, grad_qkv);
            }
        },
    );
}

fn backward_head(
    heads: &Heads,
    scratch: &mut Scratch,
    head_idx: usize,
    qkv: &[f32],
    grad: &[f32],
    grad_qkv: &mut [f32],
) {
    let (n, padded, head_dim) = (heads.n_tokens, heads.padded_tokens(), heads.head_dim());
    let [query, key, value] = [0, 1, 2].map(|part| heads.part(part, head_idx));
    let result = heads.result(head_idx);
    let grad = result.of(grad, heads);
    scratch.attend(heads, qkv, head_idx);
    let Scratch { keys_t, panels, probs, grad_probs } = scratch;
    let square = |values| Matrix::strided(values, n, n, padded);

    // value: probsᵀ · grad.
    panels.pack(grad, 1.0, None);
    multiply(square(probs).transposed(), panels, &mut grad_qkv[value.start..], value.stride, head_dim);

    // probabilities: grad · valueᵀ, then through the softmax to the scores.
    keys_t.pack(value.of(qkv, heads).transposed(), 1.0, None);
    multiply(grad, keys_t, grad_probs, padded, padded);
    for (grad_row, row) in grad_probs.chunks_exact_mut(padded).zip(probs.chunks_exact(padded)) {
        let mean = dot(grad_row, row);
        for (g, &p) in grad_row.iter_mut().zip(row) {
            *g = p * (*g - mean) * heads.scale();
        }
    }

    // query: scores · key; key: scoresᵀ · query.
    panels.pack(key.of(qkv, heads), 1.0, None);
    multiply(square(grad_probs), panels, &mut grad_qkv[query.start..], query.stride, head_dim);
    panels.pack(query.of(qkv, heads), 1.0, None);
    multiply(square(grad_probs).transposed(), panels, &mut grad_qkv[key.start..], key.stride, head_dim);
}

/// Softmax of a row in place.
#[inline(always)]
fn softmax(row: &mut [f32]) {
    let max = max_of(row);
    for v in &mut *row {
        *v = exp(*v - max);
    }
    let inv_sum = 1.0 / sum_of(row, |v| v);
    for v in row {
        *v *= inv_sum;
    }
}
