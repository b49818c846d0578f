//! Estimates of gradients are right on average; smoothing moves a function by what theory says.

use super::lab::{begin, centre, evaluate, square};
use super::moments::{FAMILIES, name};
use super::problems::{LinearNet, Quadratic, log_cosh};
use super::{Check, Claim, Evidence, Finding, Lab, Measured};
use crate::Result;
use onward::noise::Family;
use onward::rule;
use onward::study::{Estimator, MirrorDescent, NesterovSpokoiny, StrategyKind};

pub(crate) const CHECKS: [Check; 2] = [
    Check {
        name: "symmetric two-point estimates are unbiased",
        source: "derived; Shamir 2017 for the estimator",
        statement: "E g = ∇f for quadratics with probes of any size and noise of every family",
        run: |lab| Unbiased::default().outcome(lab),
    },
    Check {
        name: "smoothing bias",
        source: "Nesterov and Spokoiny 2017, equation 19",
        statement: "|E f(x + μu) − f(x)| ≤ μ²Ln/2 for normal u, with equality for ½L‖x‖²",
        run: |lab| Smoothing::default().outcome(lab),
    },
];

/// The first round's estimate of a two-point strategy from `x = 0` (where `f` is to be shifted), with probes of the given
/// size: with G = ½ and steps in units of 1 it is what θ moves by, and the centre after two rounds is half-way.
pub(crate) fn first_estimate(
    estimator: Estimator,
    probe: f64,
    n: usize,
    seed: u64,
    f: impl Fn(&[f64]) -> f64,
) -> Result<Vec<f64>> {
    let method = MirrorDescent { estimator, probe, gradient: Some(0.5), ..MirrorDescent::default() };
    let mut study = begin(n, 0.0, 1.0, seed, StrategyKind::MirrorDescent(method))?;
    evaluate(&mut study, 4, |_, x| f(x))?;
    Ok(centre(&study).iter().map(|c| -2.0 * c).collect())
}

/// What is added to the quadratic, and what estimates are multiplied by.
struct Unbiased {
    cubic: f64,
    factor: f64,
}

impl Default for Unbiased {
    fn default() -> Self {
        Self { cubic: 0.0, factor: 1.0 }
    }
}

/// The mean along the gradient, and the coordinate that is furthest from where it should be.
fn findings(what: &str, samples: &[Vec<f64>], gradient: &[f64], within: f64) -> [Finding; 2] {
    let along: Vec<f64> = samples.iter().map(|g| super::lab::dot(g, gradient) / square(gradient)).collect();
    let away = |i: usize| {
        let found = Measured::over(&samples.iter().map(|g| g[i]).collect::<Vec<_>>());
        let away = (found.mean - gradient[i]).abs();
        if away <= 1e-9 * gradient[i].abs() { 0.0 } else { away / found.error }
    };
    let furthest = (0..gradient.len()).map(away).fold(0.0, f64::max);
    [
        Finding::new(
            format!("{what}: along ∇f"),
            Claim::Exactly { value: 1.0, within },
            Measured::over(&along),
        ),
        Finding::new(
            format!("{what}: worst coordinate, in standard errors"),
            Claim::AtMost(5.0),
            Measured::exactly(furthest),
        ),
    ]
}

impl Unbiased {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let mut findings = self.of_studies(lab)?;
        findings.extend(self.of_weights(lab)?);
        Ok(Evidence { findings, figure: None })
    }

    /// A function of ten coordinates that depend on each other, around a point that is not special.
    fn of_studies(&self, lab: &Lab) -> Result<Vec<Finding>> {
        const N: usize = 10;
        let quadratic = Quadratic { low: 1.0, high: 8.0 };
        let at: Vec<f64> = (0..N).map(|i| 1.5 - 0.25 * i as f64).collect();
        let sum = |x: &[f64]| x.iter().sum::<f64>();
        let f = |x: &[f64]| {
            let x: Vec<f64> = x.iter().zip(&at).map(|(x, a)| x + a).collect();
            quadratic.value(&x) + 0.5 * sum(&x).powi(2) + self.cubic * sum(&x).powi(3)
        };
        // That of the quadratic alone: to it a cubic term is a mistake.
        let gradient: Vec<f64> = quadratic.gradient(&at).iter().map(|g| g + sum(&at)).collect();
        let (runs, within) = lab.pick((6000, 0.06), (60_000, 0.02));
        let mut all = Vec::new();
        for probe in [1e-3, 1.0, 100.0] {
            let estimate = |seed| first_estimate(Estimator::Symmetric, probe, N, seed, f);
            let mut samples = lab.repeat(runs, estimate)?;
            samples.iter_mut().flatten().for_each(|g| *g *= self.factor);
            all.extend(findings(&format!("study, sphere, μ = {probe}"), &samples, &gradient, within));
        }
        Ok(all)
    }

    /// All weights of a net, through the rule, the evaluator and the ledger's arithmetic.
    fn of_weights(&self, lab: &Lab) -> Result<Vec<Finding>> {
        let (blocks, within) = lab.pick((24, 0.12), (240, 0.04));
        let mut all = Vec::new();
        for noise in FAMILIES {
            let sigma = if noise == Family::Binomial { 0.5 } else { 1.0 };
            let rule = rule::TwoPoint { sigma, directions: 1, noise };
            let block = |seed: u64| {
                let net = LinearNet::new(4, 3, lab.seed)?;
                (0..100).map(|i| net.estimate(rule, seed.wrapping_mul(1000) + i)).collect::<Result<Vec<_>>>()
            };
            let mut samples = lab.repeat(blocks, block)?.concat();
            samples.iter_mut().flatten().for_each(|g| *g *= self.factor);
            let gradient = LinearNet::new(4, 3, lab.seed)?.gradient;
            all.extend(findings(&format!("weights, {}", name(noise)), &samples, &gradient, within));
        }
        Ok(all)
    }
}

/// L as the bound is told, over the true one.
struct Smoothing {
    told: f64,
}

impl Default for Smoothing {
    fn default() -> Self {
        Self { told: 1.0 }
    }
}

impl Smoothing {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        const N: usize = 20;
        let (blocks, within) = lab.pick((20, 0.03), (200, 0.01));
        let mut findings = Vec::new();
        let bowl = |x: &[f64]| 1.5 * square(x);
        let mut add = |what: &str, smoothness: f64, claim: fn(f64, f64) -> Claim, f: fn(&[f64]) -> f64| {
            for mu in [0.1, 1.0] {
                let samples = lab.repeat(blocks, |seed| bias(f, N, mu, seed))?.concat();
                let bound = mu * mu * smoothness * self.told * N as f64 / 2.0;
                let measured = Measured::over(&samples);
                findings.push(Finding::new(
                    format!("{what}, n = {N}, μ = {mu}"),
                    claim(bound, within),
                    measured,
                ));
            }
            Result::Ok(())
        };
        add("½L‖x‖², L = 3", 3.0, |value, within| Claim::Exactly { value, within }, bowl)?;
        add("Σ ln cosh x, L = 1", 1.0, |bound, _| Claim::AtMost(bound), log_cosh)?;
        Ok(Evidence { findings, figure: None })
    }
}

/// `f(x + μu) − f(x)`, as the random gradient-free method's first pair of candidates has it, in 100 studies. Of u and −u the
/// study is asked for one; f is mirrored instead, so that what is linear in u cancels.
fn bias(f: fn(&[f64]) -> f64, n: usize, mu: f64, seed: u64) -> Result<Vec<f64>> {
    let settings = NesterovSpokoiny { smoothness: Some(1.0), probe: mu, ..NesterovSpokoiny::default() };
    let one = |i: u64| {
        let mut study =
            begin(n, 0.3, 1.0, seed.wrapping_mul(100) + i, StrategyKind::NesterovSpokoiny(settings))?;
        let (mut first, mut mean) = (Vec::new(), 0.0);
        evaluate(&mut study, 2, |_, x| {
            if first.is_empty() {
                first = x.to_vec();
                mean = -f(x);
            } else {
                let mirrored: Vec<f64> = x.iter().zip(&first).map(|(x, a)| 2.0 * a - x).collect();
                mean += 0.5 * (f(x) + f(&mirrored));
            }
            0.0
        })?;
        Ok(mean)
    };
    (0..100).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    const LAB: Lab = Lab { seed: 1, effort: Effort::Quick };

    #[test]
    fn estimates_are_unbiased_and_a_cubic_or_a_wrong_factor_is_noticed() {
        let found = Unbiased::default().outcome(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let cubic = Unbiased { cubic: 0.1, ..Unbiased::default() }.of_studies(&LAB).unwrap();
        // With the largest probes the cubic term is all there is.
        assert!(cubic[4..].iter().any(|f| !f.holds()), "{cubic:#?}");
        let wrong = Unbiased { factor: 1.25, ..Unbiased::default() }.outcome(&LAB).unwrap();
        assert!(wrong.findings.iter().step_by(2).all(|f| !f.holds()), "{:#?}", wrong.findings);
    }

    #[test]
    fn the_smoothing_bias_is_as_said_and_a_wrong_constant_is_noticed() {
        let found = Smoothing::default().outcome(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = Smoothing { told: 0.5 }.outcome(&LAB).unwrap();
        assert!(wrong.findings.iter().filter(|f| !f.holds()).count() >= 3, "{:#?}", wrong.findings);
    }
}
