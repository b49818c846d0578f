//! Probing the samples that have something to teach: most of a trained model's loss comes from few samples, and the norm of
//! a sample's derivative at the model's output, which few cheap probes give, bounds that of every layer's up to a factor
//! that all samples share (Katharopoulos and Fleuret 2018, arXiv 1803.00942).
//!
//! Sample `i` is chosen with the chance `πᵢ = min(1, τ·nᵢ)`, `Σ πᵢ` being the count asked for, and what it gives is multiplied
//! by `1/πᵢ` (Horvitz and Thompson 1952): the mean over all choices is the sum over all samples.

use crate::noise::{Role, RunKey};
use serde::{Deserialize, Serialize};

/// A random selection of a batch's samples to probe, with their weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Focus {
    /// The indices of the samples in the batch, ascending.
    pub rows: Vec<u32>,
    /// The weight of each sample's derivative: `1/πᵢ`, the inverse of its probability.
    pub weights: Vec<f32>,
}

impl Focus {
    /// Chooses `count` samples by the norms of their derivatives. One number of the noise decides (systematic sampling), so the
    /// same step chooses the same samples everywhere.
    pub fn choose(norms: &[f64], count: usize, key: &RunKey, step: u32) -> Self {
        let word = key.tensor(Role::Activation, "focus").at(step, 0).words(0)[0];
        Self::by_norms(norms, count, f64::from(word) / 4_294_967_296.0)
    }

    fn by_norms(norms: &[f64], count: usize, offset: f64) -> Self {
        let chances = chances(norms, count);
        let (mut sum, mut chosen) = (offset, Self { rows: Vec::new(), weights: Vec::new() });
        for (row, chance) in chances.iter().enumerate() {
            // The chances add up to the count but for roundings, which must not cost or give a sample.
            let next = if row + 1 == chances.len() { offset + count as f64 } else { sum + chance };
            if next.floor() > sum.floor() {
                chosen.rows.push(row as u32);
                chosen.weights.push((1.0 / chance) as f32);
            }
            sum = next;
        }
        chosen
    }
}

/// `min(1, τ·nᵢ)` with the sum `count`.
fn chances(norms: &[f64], count: usize) -> Vec<f64> {
    // A sample without any derivative keeps a chance, so that there are always enough to choose from.
    let least = norms.iter().fold(0.0, |m: f64, n| m.max(*n)) * 1e-9 + f64::MIN_POSITIVE;
    let norms: Vec<f64> = norms.iter().map(|n| n.max(least)).collect();
    let mut order: Vec<usize> = (0..norms.len()).collect();
    order.sort_by(|a, b| norms[*b].total_cmp(&norms[*a]));
    let mut left: f64 = norms.iter().sum();
    // The largest are certain while their share of what is left exceeds one place.
    let mut certain = 0;
    while certain < count.min(norms.len()) && norms[order[certain]] * (count - certain) as f64 >= left {
        left -= norms[order[certain]];
        certain += 1;
    }
    let factor = if certain < count && left > 0.0 { (count - certain) as f64 / left } else { 0.0 };
    let mut chances: Vec<f64> = norms.iter().map(|n| (n * factor).min(1.0)).collect();
    order[..certain].iter().for_each(|i| chances[*i] = 1.0);
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_follow_the_norms_and_add_up() {
        let norms = [8.0, 1.0, 0.0, 2.0, 1.0];
        let chances = chances(&norms, 3);
        assert_eq!(chances[0], 1.0);
        assert!((chances.iter().sum::<f64>() - 3.0).abs() < 1e-6, "{chances:?}");
        assert!((chances[3] - 1.0).abs() < 1e-6 && (chances[1] - 0.5).abs() < 1e-6, "{chances:?}");
    }

    #[test]
    fn the_weighted_sum_is_right_on_average_and_the_count_is_exact() {
        let norms: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17) * 0.3).collect();
        let (mut mean, offsets) = (0.0, 4000);
        for k in 0..offsets {
            let chosen = Focus::by_norms(&norms, 10, (f64::from(k) + 0.5) / f64::from(offsets));
            assert_eq!(chosen.rows.len(), 10);
            let worth = |(row, w): (&u32, &f32)| norms[*row as usize] * f64::from(*w);
            mean += chosen.rows.iter().zip(&chosen.weights).map(worth).sum::<f64>() / f64::from(offsets);
        }
        let sum: f64 = norms.iter().sum();
        assert!((mean / sum - 1.0).abs() < 1e-3, "{mean} for {sum}");
    }

    #[test]
    fn nothing_to_choose_by_leaves_the_choice_even() {
        let chosen = Focus::by_norms(&[0.0; 8], 4, 0.25);
        assert_eq!(chosen.rows.len(), 4);
        assert!(chosen.weights.iter().all(|w| (w - 2.0).abs() < 1e-5));
        assert_eq!(Focus::by_norms(&[1.0; 3], 3, 0.9).rows, [0, 1, 2]);
    }
}
