//! Cross-entropy, many rows side by side.

use crate::{exp, ln, multiversion};

/// The number of rows whose cross-entropy is found side by side.
pub const ENTROPY_ROWS: usize = 16;

/// Outputs of each row that are looked at together.
const COLUMNS: usize = 16;

multiversion! {
/// The cross-entropy of up to 16 rows at once; `own` holds each row's output at its label.
pub fn cross_entropy(rows: &[f32], width: usize, own: &[f32; ENTROPY_ROWS], losses: &mut [f32]) {
    let count = losses.len();
    let mut columns = [[0f32; ENTROPY_ROWS]; COLUMNS];
    let mut largest = [f32::NEG_INFINITY; ENTROPY_ROWS];
    for first in (0..width).step_by(COLUMNS) {
        side_by_side(rows, width, first, &mut columns);
        for column in columns.iter().take(width - first) {
            for i in 0..ENTROPY_ROWS {
                largest[i] = largest[i].max(column[i]);
            }
        }
    }
    let mut sums = [0f32; ENTROPY_ROWS];
    for first in (0..width).step_by(COLUMNS) {
        if width > COLUMNS {
            side_by_side(rows, width, first, &mut columns);
        }
        for column in columns.iter().take(width - first) {
            for i in 0..ENTROPY_ROWS {
                sums[i] += exp(column[i] - largest[i]);
            }
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

/// Outputs `first..` of up to 16 rows as columns.
#[inline(always)]
fn side_by_side(rows: &[f32], width: usize, first: usize, columns: &mut [[f32; ENTROPY_ROWS]; COLUMNS]) {
    for (i, row) in rows.chunks_exact(width).enumerate().take(ENTROPY_ROWS) {
        columns.iter_mut().zip(&row[first..]).for_each(|(column, v)| column[i] = *v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    #[test]
    fn rows_side_by_side_have_the_bits_of_one_after_the_other() {
        for (count, width) in [(1, 1), (3, 2), (16, 10), (16, 16), (5, 17), (16, 100)] {
            let mut rows = numbers(count * width, 1);
            rows.iter_mut().for_each(|v| *v *= 20.0);
            if count == 3 {
                (rows[0], rows[3]) = (f32::INFINITY, f32::NAN);
            }
            let own: [f32; ENTROPY_ROWS] =
                std::array::from_fn(|i| rows.get(i * width + i % width).copied().unwrap_or(0.0));
            let want: Vec<u32> = rows
                .chunks_exact(width)
                .zip(&own)
                .map(|(row, own)| {
                    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let sum = row.iter().fold(0f32, |sum, v| sum + exp(v - largest));
                    let loss = ln(sum.max(f32::MIN_POSITIVE)) + (largest - own);
                    if sum.is_nan() { f32::NAN.to_bits() } else { loss.to_bits() }
                })
                .collect();
            with_each_isa(|isa| {
                let mut losses = vec![0.0; count];
                cross_entropy(&rows, width, &own, &mut losses);
                let found: Vec<u32> = losses.iter().map(|l| l.to_bits()).collect();
                assert_eq!(found, want, "{count} × {width} on {isa:?}");
            });
        }
    }
}
