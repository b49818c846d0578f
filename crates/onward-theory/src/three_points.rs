//! Stochastic three points: iterations that a convex function takes, from exact and from noisy values.

use super::lab::{begin, evaluate, square};
use super::moments::mean_slope;
use super::smooth::signs;
use super::{Check, Claim, Curve, Evidence, Figure, Finding, Lab, Measured, Provenance};
use crate::Result;
use onward::kernel::ln64;
use onward::study::{Decay, Mistp, StrategyKind};

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "stochastic three points",
    source: "Boucherouite, Malinovsky, Richtárik and Bergou 2024, theorem 2; derived for the noise of comparisons",
    statement: "E f(x_K) − f* ≤ ε after K = LR₀²/(μ_D²ε) ln(4(f(x₀) − f*)/ε) iterations with steps εμ_D/(LR₀), \
                where a comparison's noise is below (μ_Dε)²/(4LR₀²)",
    run: |lab| ThreePoints::default().outcome(lab),
}];

/// `√(1 + ‖x‖²) − 1`: convex, smooth with 1, and hardly steeper far out than its gap over its distance, which is what the
/// theorem reckons with.
fn cone(x: &[f64]) -> f64 {
    (1.0 + square(x)).sqrt() - 1.0
}

const SMOOTHNESS: f64 = 1.0;
/// Every level set is a ball: R₀ is the distance of x₀.
const REACH: f64 = 10.0;

/// What μ_D is told to be, over what it is; the noise, over what the theorem allows.
struct ThreePoints {
    slope: f64,
    noise: f64,
}

impl Default for ThreePoints {
    fn default() -> Self {
        Self { slope: 1.0, noise: 1.0 }
    }
}

/// The theorem's constants for one problem.
struct Constants {
    n: usize,
    slope: f64,
    gap: f64,
    goal: f64,
}

impl Constants {
    fn step(&self) -> f64 {
        self.goal * self.slope / (SMOOTHNESS * REACH)
    }

    /// The share of the gap that an iteration takes at least.
    fn share(&self) -> f64 {
        self.slope * self.step() / REACH
    }

    fn iterations(&self) -> usize {
        (ln64(4.0 * self.gap / self.goal) / self.share()).ceil() as usize
    }

    /// The standard deviation of a coordinate of the noise ξ in `f_B(x) = f(x) + ⟨ξ, x⟩`: signs, so that a step's two ends
    /// differ by `α|⟨ξ, s⟩|`, whose mean is at most α times it.
    fn noise(&self) -> f64 {
        self.share() * self.goal / 4.0 / self.step()
    }

    /// The bound after k iterations: `e_{k+1} ≤ (1 − share) e_k + Lα²/2 + noise`.
    fn bound(&self, k: f64, noisy: bool) -> f64 {
        let rest = if noisy { 0.75 } else { 0.5 } * self.goal;
        let left = (1.0 - self.share()).powf(k);
        left * self.gap + (1.0 - left) * rest
    }
}

impl ThreePoints {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let (seeds, dimensions) = lab.pick((8, vec![10]), (24, vec![10, 30]));
        let (mut findings, mut curves) = (Vec::new(), Vec::new());
        for n in dimensions {
            let gap = cone(&[REACH]);
            let constants = Constants { n, slope: mean_slope(n) * self.slope, gap, goal: gap / 16.0 };
            let k = constants.iterations();
            for (name, noise) in [("exact", 0.0), ("noisy", self.noise * constants.noise())] {
                let runs = lab.repeat(seeds, |seed| run(&constants, noise, seed))?;
                let last: Vec<f64> = runs.iter().filter_map(|r| r.0.last().map(|p| p.1)).collect();
                let what = format!("{name} values, n = {n}, K = {k}: gap");
                findings.push(Finding::new(what, Claim::AtMost(constants.goal), Measured::over(&last)));
                let needed: Vec<f64> = runs.iter().map(|r| r.1).collect();
                let what = format!("{name} values, n = {n}: iterations to ε");
                findings.push(Finding::new(what, Claim::AtMost(k as f64), Measured::over(&needed)));
                if n == 10 {
                    let (found, bounds) = means(&runs, &constants, noise > 0.0);
                    curves.push(Curve::new(name, Provenance::Measured, found));
                    curves.push(Curve::new(name, Provenance::Theory, bounds));
                }
            }
        }
        let figure = Figure {
            file: "three-points",
            title: "Stochastic three points, ten dimensions",
            x: "iterations",
            y: "gap, and bound",
            log: [false, true],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }
}

/// Points of a curve.
type Points = Vec<(f64, f64)>;

/// The gap of the iterate at some fifty places and after K iterations, and how many it takes to the goal.
fn run(constants: &Constants, noise: f64, seed: u64) -> Result<(Points, f64)> {
    let root = (constants.n as f64).sqrt();
    let method = Mistp { step: constants.step() / root, decay: Decay::None };
    let mut study = begin(constants.n, REACH / root, 1.0, seed, StrategyKind::Mistp(method))?;
    let (mut points, mut needed) = (Vec::new(), f64::INFINITY);
    let last = constants.iterations() as u64;
    evaluate(&mut study, 3 * last as usize + 1, |candidate, x| {
        let value = cone(x);
        let k = candidate.generation;
        // The first of a generation is the iterate.
        if candidate.id == 3 * k {
            if value <= constants.goal {
                needed = needed.min(k as f64);
            }
            if k.is_multiple_of((last / 50).max(1)) || k == last {
                points.push((k as f64, value));
            }
        }
        let drawn = if noise > 0.0 { super::lab::dot(&signs(seed, k, x.len()), x) } else { 0.0 };
        value + noise * drawn
    })?;
    Ok((points, needed))
}

/// The mean over runs, and the bound at the same places.
fn means(runs: &[(Points, f64)], constants: &Constants, noisy: bool) -> (Points, Points) {
    let k: Vec<f64> = runs.first().map_or(Vec::new(), |r| r.0.iter().map(|p| p.0).collect());
    let mean = |i: usize| runs.iter().map(|r| r.0[i].1).sum::<f64>() / runs.len() as f64;
    let found = k.iter().enumerate().map(|(i, k)| (*k, mean(i))).collect();
    (found, k.iter().map(|k| (*k, constants.bound(*k, noisy))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    #[test]
    fn the_iterations_suffice_and_a_wrong_slope_or_too_much_noise_is_noticed() {
        let lab = Lab { seed: 1, effort: Effort::Quick };
        let found = ThreePoints::default().outcome(&lab).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = ThreePoints { slope: 8.0, ..ThreePoints::default() }.outcome(&lab).unwrap();
        assert!(!wrong.findings[0].holds(), "{:#?}", wrong.findings);
        let loud = ThreePoints { noise: 2000.0, ..ThreePoints::default() }.outcome(&lab).unwrap();
        assert!(loud.findings[0].holds() && !loud.findings[2].holds(), "{:#?}", loud.findings);
    }
}
