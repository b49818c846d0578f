//! Nesterov and Spokoiny's bounds for random gradient-free steps, plain and accelerated.

use super::lab::{begin, centre, evaluate};
use super::problems::{Quadratic, chain, chain_least};
use super::{Check, Claim, Curve, Evidence, Figure, Finding, Lab, Measured, Provenance};
use crate::Result;
use onward::study::{NesterovSpokoiny, Scheme, StrategyKind};

pub(crate) const CHECKS: [Check; 2] = [
    Check {
        name: "random gradient-free steps",
        source: "Nesterov and Spokoiny 2017, theorem 8; derived with a smaller second term",
        statement: "the mean of E f(x_k) − f* over k = 0 … N is at most 4(n+4)L‖x₀−x*‖²/(N+1) + μ²L n(n+10)/8, for convex f \
                    with L-Lipschitz gradient and steps 1/(4(n+4)L)",
        run: |lab| Bounds::default().plain(lab),
    },
    Check {
        name: "accelerated random gradient-free steps",
        source: "Nesterov and Spokoiny 2017, theorem 9, with (n + 4)² in θ",
        statement: "E f(x_k) − f* ≤ ψ_k (f(x₀) − f* + L‖x₀−x*‖²/2) + μ²L(n + 3(n+8)k/16), ψ_k the lesser of \
                    (1 − √(τ/L)/(4(n+4)))^k and (1 + k/(8(n+4)))^−2",
        run: |lab| Bounds::default().accelerated(lab),
    },
];

/// L as the method is told, over the true one.
struct Bounds {
    told: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { told: 1.0 }
    }
}

/// A convex function whose constants are known.
struct Problem {
    name: &'static str,
    n: usize,
    /// Every coordinate of x₀.
    start: f64,
    smoothness: f64,
    convexity: f64,
    f: fn(&[f64]) -> f64,
    least: f64,
    /// `‖x₀ − x*‖²`.
    distance: f64,
}

const BOWL: Quadratic = Quadratic { low: 1.0, high: 8.0 };

fn problems() -> [Problem; 2] {
    let n = 30;
    let (least, distance) = chain_least(n);
    [
        Problem {
            name: "quadratic",
            n: 10,
            start: 1.0,
            smoothness: BOWL.high,
            convexity: BOWL.low,
            f: |x| BOWL.value(x),
            least: 0.0,
            distance: 10.0,
        },
        Problem { name: "chain", n, start: 0.0, smoothness: 4.0, convexity: 0.0, f: chain, least, distance },
    ]
}

impl Bounds {
    fn method(&self, problem: &Problem, scheme: Scheme, probe: f64) -> StrategyKind {
        let smoothness = Some(problem.smoothness * self.told);
        let convexity = if scheme == Scheme::Plain { 0.0 } else { problem.convexity * self.told };
        StrategyKind::NesterovSpokoiny(NesterovSpokoiny { scheme, smoothness, convexity, probe })
    }

    fn plain(&self, lab: &Lab) -> Result<Evidence> {
        let (seeds, rounds) = lab.pick((12, 2000), (40, 8000));
        let (mut findings, mut curves) = (Vec::new(), Vec::new());
        for problem in problems() {
            for mu in [1e-6, 0.1] {
                let method = self.method(&problem, Scheme::Plain, mu);
                let runs = lab.repeat(seeds, |seed| gaps(&problem, method.clone(), rounds, seed))?;
                let means: Vec<f64> =
                    runs.iter().map(|gaps| gaps.iter().sum::<f64>() / rounds as f64).collect();
                let what = format!("{}, n = {}, N = {}, μ = {mu:e}", problem.name, problem.n, rounds - 1);
                let bound = problem.plain_bound(mu, rounds as f64);
                findings.push(Finding::new(what, Claim::AtMost(bound), Measured::over(&means)));
                if mu < 1e-3 {
                    curves.extend(mean_curves(&problem, &runs, mu));
                }
            }
        }
        let figure = Figure {
            file: "random-gradient-free",
            title: "Random gradient-free steps",
            x: "iterations",
            y: "mean gap so far, and bound",
            log: [true, true],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }

    fn accelerated(&self, lab: &Lab) -> Result<Evidence> {
        let (seeds, most) = lab.pick((12, 12), (40, 14));
        let mu = 1e-8;
        let mut findings = Vec::new();
        let mut curves = Vec::new();
        for problem in problems() {
            let method = self.method(&problem, Scheme::Accelerated, mu);
            let runs = lab.repeat(seeds, |seed| doublings(&problem, method.clone(), most, seed))?;
            let (mut found, mut bounds) = (Vec::new(), Vec::new());
            for power in 6..=most {
                let k = f64::from(1u32 << power);
                let samples: Vec<f64> = runs.iter().map(|gaps| gaps[power as usize]).collect();
                let (bound, measured) = (problem.accelerated_bound(mu, k), Measured::over(&samples));
                found.push((k, measured.mean));
                bounds.push((k, bound));
                if power % 2 == 0 {
                    let what = format!("{}, n = {}, k = {k}", problem.name, problem.n);
                    findings.push(Finding::new(what, Claim::AtMost(bound), measured));
                }
            }
            curves.push(Curve::new(problem.name, Provenance::Measured, found));
            curves.push(Curve::new(problem.name, Provenance::Theory, bounds));
        }
        let figure = Figure {
            file: "accelerated",
            title: "Accelerated random gradient-free steps",
            x: "iterations",
            y: "gap, and bound",
            log: [true, true],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }
}

impl Problem {
    fn plain_bound(&self, mu: f64, rounds: f64) -> f64 {
        let n = self.n as f64;
        4.0 * (n + 4.0) * self.smoothness * self.distance / rounds
            + mu * mu * self.smoothness * n * (n + 10.0) / 8.0
    }

    fn accelerated_bound(&self, mu: f64, k: f64) -> f64 {
        let (n, smoothness) = (self.n as f64, self.smoothness);
        let linear = 1.0 - (self.convexity / smoothness).sqrt() / (4.0 * (n + 4.0));
        let psi = linear.powf(k).min((1.0 + k / (8.0 * (n + 4.0))).powi(-2));
        let first = (self.f)(&vec![self.start; self.n]) - self.least + 0.5 * smoothness * self.distance;
        psi * first + mu * mu * smoothness * (n + 3.0 * (n + 8.0) * k / 16.0)
    }
}

/// `f(x_k) − f*` for the first iterates: every pair's first candidate.
fn gaps(problem: &Problem, method: StrategyKind, rounds: usize, seed: u64) -> Result<Vec<f64>> {
    let mut study = begin(problem.n, problem.start, 1.0, seed, method)?;
    let mut gaps = Vec::with_capacity(rounds);
    let mut first = true;
    evaluate(&mut study, 2 * rounds, |_, x| {
        let loss = (problem.f)(x);
        if first {
            gaps.push(loss - problem.least);
        }
        first = !first;
        loss
    })?;
    Ok(gaps)
}

/// `f(x_k) − f*` for k = 1, 2, 4 …, from where the study is centred.
fn doublings(problem: &Problem, method: StrategyKind, most: u32, seed: u64) -> Result<Vec<f64>> {
    let mut study = begin(problem.n, problem.start, 1.0, seed, method)?;
    let mut done = 0;
    let at = |power| {
        let k = 1usize << power;
        evaluate(&mut study, 2 * (k - done), |_, x| (problem.f)(x))?;
        done = k;
        Ok((problem.f)(&centre(&study)) - problem.least)
    };
    (0..=most).map(at).collect()
}

/// The mean gap up to each power of two, over all runs, and its bound.
fn mean_curves(problem: &Problem, runs: &[Vec<f64>], mu: f64) -> [Curve; 2] {
    let rounds = runs.first().map_or(0, Vec::len);
    let powers = (4..32).map(|p| 1usize << p).take_while(|k| *k <= rounds);
    let (mut found, mut bounds) = (Vec::new(), Vec::new());
    for k in powers {
        let sum: f64 = runs.iter().map(|gaps| gaps[..k].iter().sum::<f64>()).sum();
        found.push((k as f64, sum / (k * runs.len()) as f64));
        bounds.push((k as f64, problem.plain_bound(mu, k as f64)));
    }
    [
        Curve::new(problem.name, Provenance::Measured, found),
        Curve::new(problem.name, Provenance::Theory, bounds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    const LAB: Lab = Lab { seed: 1, effort: Effort::Quick };

    #[test]
    fn both_bounds_hold() {
        for found in [Bounds::default().plain(&LAB).unwrap(), Bounds::default().accelerated(&LAB).unwrap()] {
            assert!(found.holds(), "{:#?}", found.findings);
        }
    }

    #[test]
    fn steps_for_another_smoothness_break_them() {
        for told in [1.0 / 30.0, 1e4] {
            let plain = Bounds { told }.plain(&LAB).unwrap();
            assert!(plain.findings.iter().any(|f| !f.holds()), "{told}: {:#?}", plain.findings);
            let fast = Bounds { told }.accelerated(&LAB).unwrap();
            assert!(fast.findings.iter().any(|f| !f.holds()), "{told}: {:#?}", fast.findings);
        }
    }

    #[test]
    fn the_chain_begins_at_zero() {
        let [bowl, chain] = problems();
        assert!(crate::lab::square(&vec![bowl.start; bowl.n]) == bowl.distance && chain.start == 0.0);
    }
}
