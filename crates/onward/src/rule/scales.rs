//! The sizes of perturbations, learned by the same relative loss: a scale for each place that is perturbed.
//!
//! A perturbation raises the loss by its *cost*, `c = E[½(ℓ₊ + ℓ₋)] − ℓ`, which is `½σ² tr H` to second order for the curvature `H` at its place. With
//! `σ sₗ` for the `dₗ` numbers of place `l` the natural gradient of the expected loss by `log sₗ` is `cₗ/dₗ`, so
//!
//! ```text
//! log sₗ ← log sₗ − ½ η (cₗ/dₗ − mean c/d),     then   mean log s = 0:    the given σ stays their common size
//! ```
//!
//! which rests where a number costs the same at all places: `sₗ ∝ 1/√(tr Hₗ/dₗ)`. Their common size is not learned: the expected loss falls with it down to none, which
//! is no size to probe with (SNES: Schaul, Glasmachers and Schmidhuber 2011; PGPE: Sehnke et al. 2010).

use crate::choices;
use crate::kernel::{exp64, ln64};
use crate::model::WeightSpace;
use crate::space::NoisyTensor;
use crate::threads::prelude::*;

choices! {
    /// Whether the sizes of perturbations relative to each other are learned.
    pub enum Scales default Fixed {
        /// They are as given.
        Fixed = "fixed",
        /// They are learned, by what perturbations cost; steps are estimates of the derivative, as without.
        Learned = "learned",
        /// They are learned, and steps are natural gradients: times the squares of the scales.
        Natural = "natural",
    }
}

/// A scale is at most this, and at least its inverse.
const WIDEST: f64 = 1e3;
/// How far the logarithm of a scale moves at most in a step, in units of the rate.
const FARTHEST: f64 = 2.0;

/// The scales after a step: `costs` are those of a number of its perturbations, in a unit of their own, `None` where nothing is known. `before` is empty before the first step.
pub(super) fn learned(before: &[f32], costs: &[Option<f64>], rate: f32) -> Vec<f32> {
    let mut logs: Vec<f64> = (0..costs.len()).map(|i| ln64(f64::from(scale_of(before, i)))).collect();
    let known = || costs.iter().flatten().copied().filter(|c| c.is_finite());
    let count = known().count().max(1) as f64;
    let mean = known().sum::<f64>() / count;
    for (log, cost) in logs.iter_mut().zip(costs) {
        if let Some(cost) = cost.filter(|c| c.is_finite()) {
            *log -= 0.5 * f64::from(rate) * (cost - mean).clamp(-FARTHEST, FARTHEST);
        }
    }
    let of_known = |logs: &[f64]| -> f64 {
        logs.iter().zip(costs).filter(|(_, cost)| cost.is_some()).map(|(log, _)| log).sum()
    };
    let centre = of_known(&logs) / costs.iter().flatten().count().max(1) as f64;
    let bounded = |log: f64| exp64(log).clamp(1.0 / WIDEST, WIDEST) as f32;
    logs.iter()
        .zip(costs)
        .map(|(log, cost)| bounded(if cost.is_some() { log - centre } else { *log }))
        .collect()
}

/// The scale of a place: 1 before anything is learned.
pub(super) fn scale_of(scales: &[f32], place: usize) -> f32 {
    scales.get(place).copied().unwrap_or(1.0)
}

/// What a number of the noise on each of the tensors costs, from how the losses of `members` rise with how long their noise is: the covariance of `losses`
/// (centred, in standard deviations) with relative squared lengths `ρ`, which is the mean of the score by `log s`. With noise on `d` numbers alone the variance of `ρ` is
/// as `1/d`; on a matrix of outer products it is as that of `1/rows + 1/columns`. `None` where there is no noise, and where all of it is as long.
pub(super) fn costs_of_noise(
    tensors: &[Option<NoisyTensor>],
    space: WeightSpace,
    step: u32,
    (members, losses): (&[usize], &[f64]),
) -> Vec<Option<f64>> {
    let one = |tensor: &Option<NoisyTensor>| {
        let lengths = tensor.as_ref()?.lengths(space, step, members);
        let n = lengths.len().max(1) as f64;
        let mean = lengths.iter().sum::<f64>() / n;
        let (mut variance, mut covariance) = (0.0, 0.0);
        for (length, loss) in lengths.iter().zip(losses) {
            let own = length / mean - 1.0;
            variance += own * own / n;
            covariance += own * loss / n;
        }
        (variance > 1e-12 && covariance.is_finite()).then_some(covariance)
    };
    tensors.par_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_rest_where_costs_are_the_same_and_keep_their_common_size() {
        let curvatures = [1.0, 100.0, 0.04];
        let mut scales = Vec::new();
        for _ in 0..400 {
            let raw: Vec<f64> =
                (0..3).map(|i| curvatures[i] * f64::from(scale_of(&scales, i)).powi(2)).collect();
            let mean = raw.iter().sum::<f64>() / 3.0;
            let costs: Vec<Option<f64>> = raw.iter().map(|c| Some(c / mean)).chain([None]).collect();
            scales = learned(&scales, &costs, 0.1);
        }
        // sᵢ ∝ 1/√curvature, their product 1; what is not known stays.
        let of = |i: usize| 4f64.powf(1.0 / 6.0) / f64::sqrt(curvatures[i]);
        for (i, s) in scales[..3].iter().enumerate() {
            assert!((f64::from(*s) / of(i) - 1.0).abs() < 1e-3, "{i}: {s} for {}", of(i));
        }
        assert_eq!(scales[3], 1.0);
    }

    #[test]
    fn what_is_no_number_moves_nothing() {
        assert_eq!(learned(&[2.0, 0.5], &[Some(f64::NAN), Some(f64::NAN)], 0.1), [2.0, 0.5]);
        assert_eq!(learned(&[], &[None, None], 0.1), [1.0, 1.0]);
    }
}
