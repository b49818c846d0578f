//! Rows that are wanted, and numbers that need no work.

use super::multiversion;

/// Copies rows of `x`, each of `width` numbers, that `indices` name, one after the other.
///
/// # Panics
/// If there is no such row: a bug in the caller.
pub fn gather_rows(x: &[f32], width: usize, indices: &[u32]) -> Vec<f32> {
    let mut rows = Vec::with_capacity(indices.len() * width);
    for index in indices {
        rows.extend_from_slice(&x[*index as usize * width..][..width]);
    }
    rows
}

/// Numbers that are looked at before it is asked whether one of them decides.
const PIECE: usize = 256;

multiversion! {
/// Whether no number is infinite or not a number.
pub fn all_finite(x: &[f32]) -> bool {
    x.chunks(PIECE).all(|piece| piece.iter().fold(true, |all, v| all & v.is_finite()))
}
}

multiversion! {
/// Whether all numbers are zero, of either sign.
pub fn all_zero(x: &[f32]) -> bool {
    x.chunks(PIECE).all(|piece| piece.iter().fold(true, |all, v| all & (*v == 0.0)))
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    #[test]
    fn rows_come_in_the_order_asked_for() {
        let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(gather_rows(&x, 3, &[2, 0, 2]), [6.0, 7.0, 8.0, 0.0, 1.0, 2.0, 6.0, 7.0, 8.0]);
        assert!(gather_rows(&x, 3, &[]).is_empty());
    }

    #[test]
    fn one_number_anywhere_decides() {
        for len in [1, 15, 16, PIECE, PIECE + 1, 3 * PIECE - 5] {
            for at in [0, len / 2, len - 1] {
                let (mut sound, mut zeros) = (numbers(len, 1), vec![0.0; len]);
                zeros[len / 3] = -0.0;
                with_each_isa(|isa| {
                    assert!(all_finite(&sound) && all_zero(&zeros), "{len} on {isa:?}");
                });
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    sound[at] = bad;
                    with_each_isa(|isa| assert!(!all_finite(&sound), "{bad} at {at} of {len} on {isa:?}"));
                }
                for some in [f32::NAN, f32::from_bits(1), -1.0] {
                    zeros[at] = some;
                    with_each_isa(|isa| assert!(!all_zero(&zeros), "{some} at {at} of {len} on {isa:?}"));
                }
            }
        }
    }
}
