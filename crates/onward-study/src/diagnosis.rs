//! Whether a batch is large enough for the steps that are compared on it.
//!
//! MiSTP's lemma (Boucherouite, Malinovsky, Richtárik and Bergou, AAAI 2024): of three points compared on one random batch,
//!
//! ```text
//! E f(x₊) ≤ E f(x) − μ α E‖∇f(x)‖ + L α²/2 + σ_B,      E |⟨∇f, s⟩| ≥ μ ‖∇f‖
//! ```
//!
//! with `σ_B` the standard deviation of what a batch gets wrong. At the best step, `α = μ‖∇f‖/L`, half of the first term is
//! lost to the second, so the bound promises a decrease only if `σ_B < μ α ‖∇f‖/2` (their theorem 1), and `σ_B` falls as
//! `1/√|B|`.
//!
//! Both sides can be seen where a move is compared on two batches, `δ = f_B(y) − f_B(x)` on the one that proposed it and
//! `δ'` on another. To first order `δ = u + n`, `δ' = u + n'` with `u = ⟨∇f, s⟩` and independent noises of variance `τ²`.
//! Directions are symmetric, so turning `s` round changes the signs of `u`, `n` and `n'` at once and leaves products as they
//! are: that only moves with `δ < 0` are seen twice does not bias
//!
//! ```text
//! E δδ' = E u²,      ½ E (δ − δ')² = τ²
//! ```
//!
//! For Gaussian steps `μ α ‖∇f‖ = E|u| = √(2/π · E u²)`, so the condition is `τ² < E u²/(2π)`. Both are measured relative to
//! the step's size and held against the current one. `E u²` is taken at the upper end of what was seen (two standard errors
//! above its mean), so that a batch is called too small only on evidence.

use super::unit::Unit;
use std::f64::consts::PI;
use std::fmt;

/// What a comparison of losses on batches can and cannot detect, at the present batch and step size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diagnosis {
    /// σ_B: the standard deviation, over batches, of the difference that a step makes to the loss.
    pub noise: f64,
    /// The decrease that a step can bring to first order, `μ α ‖∇f‖`, at most.
    pub decrease: f64,
    /// The number of moves that were compared on two batches.
    pub judged: u64,
}

impl Diagnosis {
    /// The factor by which a batch must grow, at least; at most 1 if it is large enough.
    pub fn factor(&self) -> f64 {
        let ratio = 2.0 * self.noise / self.decrease;
        ratio * ratio
    }

    /// The least number of samples that a batch needs for steps of this size; `None` if `batch` samples suffice.
    pub fn needs(&self, batch: u64) -> Option<u64> {
        let factor = self.factor();
        (factor > 1.0).then(|| (factor * batch as f64).ceil() as u64)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factor = self.factor();
        if factor > 1.0 {
            write!(f, "batch too small for this step size: needs at least {factor:.1} times as many samples")
        } else {
            f.write_str("the batch is large enough for this step size")
        }
    }
}

/// Moves that count in full: older ones are forgotten slowly.
const MEMORY: u64 = 100;
/// Judged moves before anything is said.
const FEW: u64 = 20;

/// Means over judged moves, relative to the squares of their sizes.
#[derive(Clone, Debug, Default)]
pub(super) struct Responses {
    judged: u64,
    /// Of differences: what follows is in it, or in its second or fourth power.
    unit: Unit,
    product: f64,
    /// The mean square of the products.
    spread: f64,
    /// `½ (δ − δ')²`.
    noise: f64,
}

impl Responses {
    /// Records a move's loss differences on the batch that proposed it and on another, both relative to the move's size.
    pub fn see(&mut self, one: f64, other: f64) {
        if !(one.is_finite() && other.is_finite()) {
            return;
        }
        self.judged += 1;
        let share = self.unit.see(one.abs().max(other.abs()));
        let square = share * share;
        self.product *= square;
        self.noise *= square;
        self.spread *= square * square;
        let (one, other) = (one * self.unit.get(), other * self.unit.get());
        let share = 1.0 / self.judged.min(MEMORY) as f64;
        let product = one * other;
        self.product += share * (product - self.product);
        self.spread += share * (product * product - self.spread);
        self.noise += share * (0.5 * (one - other) * (one - other) - self.noise);
    }

    /// The diagnosis for steps of this size.
    pub fn diagnosis(&self, size: f64) -> Option<Diagnosis> {
        if self.judged < FEW {
            return None;
        }
        let variance = (self.spread - self.product * self.product).max(0.0);
        let error = (variance / self.judged.min(MEMORY) as f64).sqrt();
        let square = self.product.max(0.0) + 2.0 * error;
        let decrease = size * ((2.0 / PI * square).sqrt() / self.unit.get());
        let noise = size * (self.noise.sqrt() / self.unit.get());
        (decrease > 0.0).then_some(Diagnosis { noise, decrease, judged: self.judged })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Draws;
    use super::*;

    /// `f_B(x) = ⟨g + ν n_B, x⟩` in d dimensions, steps accepted if lower on their batch: `E u² = ‖g‖²`, `τ² = d ν²` for steps
    /// `N(0, 1)`.
    fn found(d: usize, g: f64, nu: f64, size: f64) -> Diagnosis {
        let (mut responses, mut z, mut n) = (Responses::default(), vec![0.0; d], vec![0.0; d]);
        for round in 0..8000 {
            let draws = Draws::new(5, round);
            draws.normal(0, 0, &mut z);
            let mut response = |batch: usize| {
                draws.normal(batch, 0, &mut n);
                size * z.iter().zip(&n).map(|(z, n)| (g / (d as f64).sqrt() + nu * n) * z).sum::<f64>()
            };
            let (proposed, judged) = (response(1), response(2));
            if proposed < 0.0 {
                responses.see(proposed / size, judged / size);
            }
        }
        responses.diagnosis(2.0 * size).unwrap()
    }

    #[test]
    fn the_samples_needed_are_those_of_the_theorem_where_slope_and_noise_are_known() {
        for (d, g, nu) in [(1, 1.0, 0.7), (5, 2.0, 0.6), (20, 1.0, 0.5)] {
            let seen = found(d, g, nu, 1e-3);
            let (noise, want) = (2e-3 * nu * (d as f64).sqrt(), 2.0 * PI * d as f64 * nu * nu / (g * g));
            assert!((seen.noise / noise - 1.0).abs() < 0.25, "{seen:?}, noise {noise}");
            // At least: no more than the true number, and within what a hundred moves can tell.
            let ratio = seen.factor() / want;
            assert!((0.2..1.15).contains(&ratio), "{seen:?}: {} of {want}", seen.factor());
            assert_eq!(seen.needs(32), Some((seen.factor() * 32.0).ceil() as u64));
            assert!(seen.to_string().contains("too small"), "{seen}");
        }
    }

    #[test]
    fn an_ample_batch_is_no_complaint_and_few_moves_say_nothing() {
        let seen = found(5, 2.0, 0.02, 0.1);
        assert_eq!(seen.needs(32), None, "{seen:?}");
        assert!(seen.to_string().contains("large enough"));
        let mut responses = Responses::default();
        for _ in 0..FEW - 1 {
            responses.see(-1.0, -1.0);
            responses.see(-1.0, f64::INFINITY);
        }
        assert_eq!(responses.diagnosis(1.0), None);
        responses.see(-1.0, -1.0);
        let exact = responses.diagnosis(1.0).unwrap();
        assert_eq!((exact.noise, exact.needs(1), exact.judged), (0.0, None, FEW));
    }
}
