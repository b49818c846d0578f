//! Order and weights of a generation.

use crate::kernel::ln64;

/// The members from the lowest loss to the highest; equal losses in the order of their members.
pub fn order(losses: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..losses.len()).collect();
    order.sort_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    order
}

/// `4 + ⌊3 ln n⌋`, the usual number of members.
pub fn usual_members(n: usize) -> usize {
    4 + (3.0 * ln64(n as f64)).floor() as usize
}

/// `ln((λ+1)/2) − ln i` for the ranks `i = 1 … λ`: positive for the better half.
pub fn log_weights(members: usize) -> Vec<f64> {
    let half = ln64((members as f64 + 1.0) / 2.0);
    (1..=members).map(|i| half - ln64(i as f64)).collect()
}

/// `(Σw)² / Σw²`: how many equal weights would average as well.
pub fn effective(weights: &[f64]) -> f64 {
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
    sum * sum / squares
}
