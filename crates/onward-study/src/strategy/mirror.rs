//! Mirror descent: `θ ← argmin over Θ of ⟨g, θ⟩ + D_ψ(θ, θ_t)/α`, in closed form for four domains.
//!
//! | domain Θ | ψ | step | norm of g |
//! |---|---|---|---|
//! | everywhere | ½‖θ‖₂² | `θ − αg` | ‖·‖₂ |
//! | a box | ½‖θ‖₂² | that, cut off at the bounds | ‖·‖₂ |
//! | the simplex | Σ θ log θ | `θ_j e^{−αg_j} / Z` | ‖·‖_∞ |
//! | an ℓ₁ ball | ‖θ‖_p²/(2(p−1)), p = 1 + 1/log(2d) | through the dual, soft threshold where the ball ends | ‖·‖_∞ |
//!
//! For the ℓ₁ ball: with `w = ∇ψ(θ) − αg` the optimality conditions are `∇ψ(θ') = w − λ sign(θ')` with the least `λ ≥ 0` for
//! which `‖θ'‖₁ ≤ r`, so `θ' = ∇ψ*(soft(w, λ))`, `∇ψ*(w)_j = (p−1) sign(w_j)|w_j|^{q−1}‖w‖_q^{2−q}`, `1/p + 1/q = 1`; λ is found by
//! bisection.

use super::{Setup, misfit};
use crate::Result;
use onward_kernel::{exp64, ln64};
use serde::{Deserialize, Serialize};

/// The domain and its geometry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "map", rename_all = "kebab-case")]
pub enum Mirror {
    /// No bounds but the space's own.
    #[default]
    Euclidean,
    /// Two of the space's standard deviations around its start: for bounded dimensions their bounds.
    Box,
    /// Positive coordinates with sum 1: weights of a mixture. For spaces of real dimensions.
    Simplex,
    /// Coordinates whose absolute values sum to at most `radius`: sparse ones. For spaces of real dimensions.
    L1Ball {
        /// The radius.
        radius: f64,
    },
}

/// `x^y` for `x ≥ 0`.
fn power(x: f64, y: f64) -> f64 {
    if x < f64::MIN_POSITIVE { 0.0 } else { exp64(y * ln64(x)) }
}

/// `c · sign(w_j) |w_j|^{q−1} ‖w‖_q^{2−q}`: the gradient of `c/2 ‖w‖_q²`. Entries are brought to at most 1 first, so that
/// powers neither overflow nor vanish.
fn half_square_gradient(w: &[f64], q: f64, c: f64) -> Vec<f64> {
    let largest = w.iter().fold(0f64, |m, v| m.max(v.abs()));
    if largest == 0.0 {
        return vec![0.0; w.len()];
    }
    let powers: Vec<f64> = w.iter().map(|v| power(v.abs() / largest, q - 1.0)).collect();
    let sum: f64 = powers.iter().zip(w).map(|(p, v)| p * v.abs() / largest).sum();
    let factor = c * largest * power(sum, (2.0 - q) / q);
    w.iter().zip(&powers).map(|(v, p)| (factor * p).copysign(*v)).collect()
}

fn l1(v: &[f64]) -> f64 {
    v.iter().map(|v| v.abs()).sum()
}

impl Mirror {
    /// Refuses a start that is not in the domain.
    pub(super) fn check(&self, setup: &Setup) -> Result<()> {
        let sum: f64 = setup.start.iter().sum();
        match self {
            Self::Simplex if (sum - 1.0).abs() > 1e-9 || setup.start.iter().any(|x| *x <= 0.0) => {
                Err(misfit("mirror", "a start of positive numbers with sum 1", format!("sum {sum:?}")))
            }
            Self::L1Ball { radius } if !(*radius > 0.0 && l1(&setup.start) <= *radius) => {
                let found = format!("{:?} in radius {radius:?}", l1(&setup.start));
                Err(misfit("mirror", "a start inside of the ball", found))
            }
            _ => Ok(()),
        }
    }

    /// What one unit of θ is in the space's encoding.
    pub(super) fn units(&self, setup: &Setup) -> Vec<f64> {
        match self {
            Self::Euclidean | Self::Box => setup.sigma.clone(),
            Self::Simplex | Self::L1Ball { .. } => vec![1.0; setup.dimension()],
        }
    }

    /// The size of a probe of relative size 1, in θ.
    pub(super) fn probe(&self, d: usize) -> f64 {
        match self {
            Self::Euclidean | Self::Box => 1.0,
            Self::Simplex => 1.0 / d as f64,
            Self::L1Ball { radius } => radius / d as f64,
        }
    }

    /// R with `D_ψ(θ*, θ) ≤ R²/2`, or what stands for it where there is no bound.
    pub(super) fn radius(&self, d: usize) -> f64 {
        let d = d as f64;
        match self {
            Self::Euclidean | Self::Box => d.sqrt(),
            Self::Simplex => (2.0 * ln64(d.max(2.0))).sqrt(),
            Self::L1Ball { radius } => radius * ln64(2.0 * d).max(1.0).sqrt(),
        }
    }

    /// Whether probes should be signs, whose largest coordinate is small, rather than uniform on the sphere.
    pub(super) fn probes_by_signs(&self) -> bool {
        matches!(self, Self::Simplex | Self::L1Ball { .. })
    }

    /// The norm in which g is measured.
    pub(super) fn norm(&self, g: &[f64]) -> f64 {
        if self.probes_by_signs() {
            g.iter().fold(0f64, |m, v| m.max(v.abs()))
        } else {
            g.iter().map(|v| v * v).sum::<f64>().sqrt()
        }
    }

    /// One step from `theta`; `centre` is the box's, in θ.
    pub(super) fn step(&self, theta: &mut [f64], g: &[f64], alpha: f64, centre: &[f64]) {
        match self {
            Self::Euclidean => theta.iter_mut().zip(g).for_each(|(t, g)| *t -= alpha * g),
            Self::Box => {
                for ((t, g), c) in theta.iter_mut().zip(g).zip(centre) {
                    *t = (*t - alpha * g).clamp(c - 2.0, c + 2.0);
                }
            }
            Self::Simplex => {
                let least = g.iter().fold(f64::INFINITY, |m, g| m.min(*g));
                theta.iter_mut().zip(g).for_each(|(t, g)| *t *= exp64(-alpha * (g - least)));
                let sum: f64 = theta.iter().sum();
                // No weight vanishes for good: that would take a loss to bring back.
                theta.iter_mut().for_each(|t| *t = (*t / sum).max(1e-300));
            }
            Self::L1Ball { radius } => step_in_ball(theta, g, alpha, *radius),
        }
    }
}

fn step_in_ball(theta: &mut [f64], g: &[f64], alpha: f64, radius: f64) {
    let p = 1.0 + 1.0 / ln64(2.0 * theta.len() as f64).max(1.0);
    let q = p / (p - 1.0);
    let mut w = half_square_gradient(theta, p, 1.0 / (p - 1.0));
    w.iter_mut().zip(g).for_each(|(w, g)| *w -= alpha * g);
    let at = |threshold: f64| {
        let soft: Vec<f64> = w.iter().map(|w| (w.abs() - threshold).max(0.0).copysign(*w)).collect();
        half_square_gradient(&soft, q, p - 1.0)
    };
    let mut next = at(0.0);
    if l1(&next) > radius {
        let (mut low, mut high) = (0.0, w.iter().fold(0f64, |m, w| m.max(w.abs())));
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if l1(&at(middle)) > radius { low = middle } else { high = middle }
        }
        next = at(high);
    }
    theta.copy_from_slice(&next);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `⟨g, θ⟩ + D_ψ(θ, from)/α` for the ℓ₁ ball's ψ.
    fn objective(theta: &[f64], from: &[f64], g: &[f64], alpha: f64) -> f64 {
        let p = 1.0 + 1.0 / (2.0 * theta.len() as f64).ln().max(1.0);
        let psi =
            |t: &[f64]| t.iter().map(|v| v.abs().powf(p)).sum::<f64>().powf(2.0 / p) / (2.0 * (p - 1.0));
        let slope = half_square_gradient(from, p, 1.0 / (p - 1.0));
        let linear: f64 = g.iter().zip(theta).map(|(g, t)| g * t).sum();
        let along: f64 = slope.iter().zip(theta.iter().zip(from)).map(|(s, (t, f))| s * (t - f)).sum();
        linear + (psi(theta) - psi(from) - along) / alpha
    }

    #[test]
    fn a_step_in_the_ball_is_the_least_of_its_objective() {
        let from = [0.3, -0.2, 0.05, 0.1];
        let g = [1.0, -2.0, 0.5, -0.3];
        for alpha in [0.01, 0.3, 5.0] {
            let mut theta = from;
            Mirror::L1Ball { radius: 1.0 }.step(&mut theta, &g, alpha, &[]);
            assert!(l1(&theta) <= 1.0 + 1e-12);
            let least = objective(&theta, &from, &g, alpha);
            for i in 0..4 {
                for j in 0..4 {
                    for e in [-1e-4, 1e-4] {
                        let mut other = theta;
                        other[i] += e;
                        other[j] -= e * theta[i].signum() * theta[j].signum();
                        if l1(&other) <= 1.0 {
                            assert!(objective(&other, &from, &g, alpha) > least - 1e-9, "{alpha} {i} {j}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn maps_and_their_inverses() {
        let theta = [0.3, -0.2, 0.0, 0.1];
        let p = 1.4;
        let w = half_square_gradient(&theta, p, 1.0 / (p - 1.0));
        let back = half_square_gradient(&w, p / (p - 1.0), p - 1.0);
        theta.iter().zip(&back).for_each(|(a, b)| assert!((a - b).abs() < 1e-14, "{a} {b}"));
        let mut weights = [0.25; 4];
        Mirror::Simplex.step(&mut weights, &[1.0, 2.0, 3.0, -1e6], 1.0, &[]);
        assert!(weights[3] > 1.0 - 1e-12 && weights.iter().all(|w| *w > 0.0));
        let mut inside = [0.0, 1.9];
        Mirror::Box.step(&mut inside, &[1.0, -5.0], 1.0, &[0.0, 0.0]);
        assert_eq!(inside, [-1.0, 2.0]);
    }
}
