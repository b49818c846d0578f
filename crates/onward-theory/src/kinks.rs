//! Where functions have kinks: what each estimator makes of one, and the bound that the symmetric one keeps.

use super::lab::square;
use super::problems::Margin;
use super::smooth::{R, gaps, on_box};
use super::unbiased::first_estimate;
use super::{Check, Claim, Evidence, Finding, Lab, Measured};
use crate::Result;
use onward::study::Estimator;

pub(crate) const CHECKS: [Check; 3] = [
    Check {
        name: "second moments at a kink",
        source: "derived; Duchi et al. 2015, section 2.2, and Shamir 2017 for the estimators",
        statement: "at the kink of ‖w‖₂ the one-sided estimate has ‖g‖² = d²; perturbed twice E‖g‖² ≈ d; the symmetric one is 0",
        run: |lab| Kinks::default().moments(lab),
    },
    Check {
        name: "second moment of symmetric estimates",
        source: "Shamir 2017, lemma 10; derived with the constant 1",
        statement: "E‖g‖² ≤ d²/(d−1) G² for every G-Lipschitz function, with kinks or without",
        run: |lab| Kinks::default().lipschitz(lab),
    },
    Check {
        name: "two-point mirror descent, with kinks",
        source: "Shamir 2017; derived with constants",
        statement: "E f(θ̂(k)) − f* ≤ RG√(d/k)(1 + d/(2(d−1))) + 2Gδ√(d/k) for symmetric pairs of size δ/√t and \
                    α(t) = R/(2G√(dt)), convex G-Lipschitz f",
        run: |lab| Kinks::default().hinge(lab),
    },
];

/// The estimator that the bounds are tried on, and a factor of its steps.
struct Kinks {
    estimator: Estimator,
    alpha: f64,
}

impl Default for Kinks {
    fn default() -> Self {
        Self { estimator: Estimator::Symmetric, alpha: 1.0 }
    }
}

/// A function and its name.
type Named = (&'static str, fn(&[f64]) -> f64);

/// With Lipschitz constant 1.
const LIPSCHITZ: [Named; 4] = [
    ("⟨a, w⟩", |x| x.iter().sum::<f64>() / (x.len() as f64).sqrt()),
    ("‖w‖₂", |x| square(x).sqrt()),
    ("‖w‖₁/√d", |x| x.iter().map(|x| x.abs()).sum::<f64>() / (x.len() as f64).sqrt()),
    ("largest |w_i|", |x| x.iter().fold(0.0, |m, x| m.max(x.abs()))),
];

impl Kinks {
    fn moments(&self, lab: &Lab) -> Result<Evidence> {
        const D: usize = 50;
        let (runs, within) = lab.pick((4000, 0.08), (40_000, 0.03));
        let d = D as f64;
        let mut findings = Vec::new();
        let estimators = [
            ("one-sided", Estimator::Smooth, Claim::Exactly { value: d * d, within }),
            ("perturbed twice", Estimator::NonSmooth, Claim::Exactly { value: d, within }),
            ("symmetric", self.estimator, Claim::NONE),
        ];
        for (name, estimator, claim) in estimators {
            let one = |seed| Ok(square(&first_estimate(estimator, 1.0, D, seed, |x| square(x).sqrt())?));
            let measured = Measured::over(&lab.repeat(runs, one)?);
            findings.push(Finding::new(format!("{name}, d = {d}"), claim, measured));
        }
        Ok(Evidence { findings, figure: None })
    }

    fn lipschitz(&self, lab: &Lab) -> Result<Evidence> {
        const D: usize = 10;
        let runs = lab.pick(10_000, 100_000);
        let d = D as f64;
        let mut findings = Vec::new();
        for (name, f) in LIPSCHITZ {
            for probe in [0.01, 1.0] {
                // Near the kink, not on it: there the symmetric difference is 0.
                let shifted = |x: &[f64]| {
                    let x: Vec<f64> = x.iter().enumerate().map(|(i, x)| x + 0.02 * (i % 3) as f64).collect();
                    f(&x)
                };
                let one = |seed| Ok(square(&first_estimate(self.estimator, probe, D, seed, shifted)?));
                let measured = Measured::over(&lab.repeat(runs, one)?);
                let what = format!("{name}, d = {d}, δ = {probe}");
                findings.push(Finding::new(what, Claim::AtMost(d * d / (d - 1.0)), measured));
            }
        }
        Ok(Evidence { findings, figure: None })
    }

    fn hinge(&self, lab: &Lab) -> Result<Evidence> {
        let delta = 0.01;
        let method = |d: usize| on_box(self.estimator, d, self.alpha, 1.0, delta);
        let bound = |d: usize, k: f64| {
            let n = d as f64;
            (n / k).sqrt() * (R * (1.0 + n / (2.0 * (n - 1.0))) + 2.0 * delta)
        };
        let names = ["kinks", "Support vectors by symmetric pairs", "hinge"];
        gaps(lab, names, Margin::Hinge, |c| c.generation, method, bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    const LAB: Lab = Lab { seed: 1, effort: Effort::Quick };

    #[test]
    fn estimators_behave_at_kinks_as_said_and_a_one_sided_one_does_not() {
        let one_sided = Kinks { estimator: Estimator::Smooth, ..Kinks::default() };
        let found = Kinks::default().moments(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        assert!(!one_sided.moments(&LAB).unwrap().findings[2].holds());
        let found = Kinks::default().lipschitz(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = one_sided.lipschitz(&LAB).unwrap();
        assert!(wrong.findings.iter().any(|f| !f.holds()), "{:#?}", wrong.findings);
    }

    #[test]
    fn the_hinge_bound_holds_unless_nothing_moves() {
        let found = Kinks::default().hinge(&LAB).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let still = Kinks { alpha: 1e-6, ..Kinks::default() }.hinge(&LAB).unwrap();
        assert!(!still.holds(), "{:#?}", still.findings);
    }
}
