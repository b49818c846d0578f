//! Cross-entropy, many rows side by side.

use crate::{exp, ln, multiversion};

/// Rows whose cross-entropy is found side by side.
pub const ENTROPY_ROWS: usize = 16;

multiversion! {
/// Up to 16 rows at once; `own` holds each row's output at its label.
pub fn cross_entropy(rows: &[f32], width: usize, own: &[f32; ENTROPY_ROWS], losses: &mut [f32]) {
    let count = losses.len();
    let mut largest = [f32::NEG_INFINITY; ENTROPY_ROWS];
    for (row, largest) in rows.chunks_exact(width).zip(&mut largest) {
        for v in row {
            *largest = largest.max(*v);
        }
    }
    let mut sums = [0f32; ENTROPY_ROWS];
    let mut column = [0f32; ENTROPY_ROWS];
    for j in 0..width {
        for i in 0..count {
            column[i] = rows[i * width + j];
        }
        for i in 0..ENTROPY_ROWS {
            sums[i] += exp(column[i] - largest[i]);
        }
    }
    let mut out = [0f32; ENTROPY_ROWS];
    for i in 0..ENTROPY_ROWS {
        out[i] = ln(sums[i].max(f32::MIN_POSITIVE)) + (largest[i] - own[i]);
    }
    for i in 0..count {
        // A sum that is not a number must not be hidden by the maximum above.
        losses[i] = if sums[i].is_nan() { f32::NAN } else { out[i] };
    }
}
}
