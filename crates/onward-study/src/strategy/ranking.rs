//! Order and weights of a generation.

use onward_kernel::ln64;

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

/// The utilities of natural evolution strategies, by rank: `max(0, ln(λ/2 + 1) − ln i)/Σ − 1/λ`.
pub fn utilities(members: usize) -> Vec<f64> {
    let l = members as f64;
    let top = ln64(l / 2.0 + 1.0);
    let raw: Vec<f64> = (1..=members).map(|i| (top - ln64(i as f64)).max(0.0)).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|u| u / sum - 1.0 / l).collect()
}

/// Ranks in `[-½, ½]`, the lowest loss at ½ (higher is better, as for rewards); equal losses share the mean of theirs.
pub fn centred_rewards(losses: &[f64]) -> Vec<f64> {
    let order = order(losses);
    let last = (losses.len().max(2) - 1) as f64;
    let mut rewards = vec![0.0; losses.len()];
    let mut first = 0;
    for group in order.chunk_by(|a, b| losses[*a] == losses[*b]) {
        let middle = first as f64 + (group.len() - 1) as f64 / 2.0;
        group.iter().for_each(|i| rewards[*i] = 0.5 - middle / last);
        first += group.len();
    }
    rewards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_weights() {
        assert_eq!(order(&[2.0, f64::INFINITY, 1.0, 2.0]), [2, 0, 3, 1]);
        assert_eq!(centred_rewards(&[3.0, 1.0, 1.0, f64::INFINITY, 0.0]), [-0.25, 0.125, 0.125, -0.5, 0.5]);
        assert_eq!((usual_members(5), usual_members(10), usual_members(40)), (8, 10, 15));
        assert!((effective(&[0.25; 4]) - 4.0).abs() < 1e-15);
        let u = utilities(10);
        assert!(u.iter().sum::<f64>().abs() < 1e-15 && u[0] > 0.2 && u[9] == -0.1, "{u:?}");
    }
}
