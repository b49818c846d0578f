//! Linear convergence of the (1+1)-ES, between two bounds.

use super::lab::{begin, centre, evaluate, square};
use super::problems::Quadratic;
use super::{Check, Claim, Curve, Evidence, Figure, Finding, Lab, Measured, Provenance};
use crate::Result;
use onward::kernel::ln64;
use onward::study::{OnePlusOne, StrategyKind};

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "linear rate of the (1+1)-ES",
    source: "Morinaga, Fukuchi, Sakuma and Akimoto 2022 for the rate; the upper bound derived",
    statement: "per n evaluations ln‖x − x*‖ falls by at least cL/U and by at most (n/4)(ψ(n/2) − ψ((n−1)/2)) ≈ ¼ on \
                average, on L-strongly convex functions with U-Lipschitz gradient; c = 0.1 here",
    run: |lab| Rate::default().outcome(lab),
}];

/// The constant that the theorem does not name.
const C: f64 = 0.1;

/// The method, and how many evaluations count as one.
struct Rate {
    method: StrategyKind,
    counted: f64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { method: StrategyKind::OnePlusOne(OnePlusOne::default()), counted: 1.0 }
    }
}

/// `(n/4)(ψ(n/2) − ψ((n−1)/2))`: no isotropic step brings ln‖x‖ lower than this by more than an n-th of it, on average.
fn fastest(n: usize) -> f64 {
    // a(n) = ψ(n/2) − ψ((n−1)/2): a(2) = 2 ln 2 and a(n + 1) = 2/(n − 1) − a(n).
    let a = (2..n).fold(2.0 * std::f64::consts::LN_2, |a, n| 2.0 / (n as f64 - 1.0) - a);
    n as f64 / 4.0 * a
}

impl Rate {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let (seeds, length) = lab.pick((10, 40), (30, 80));
        let cases: Vec<(usize, f64)> = lab.pick(
            vec![(10, 1.0), (10, 8.0), (40, 1.0), (40, 8.0)],
            vec![(10, 1.0), (10, 8.0), (10, 64.0), (40, 1.0), (40, 8.0), (40, 64.0), (160, 1.0), (160, 8.0)],
        );
        let (mut findings, mut curves) = (Vec::new(), Vec::new());
        for (n, condition) in cases {
            let runs = lab.repeat(seeds, |seed| self.distances(n, condition, length, seed))?;
            // The first tenth finds the right σ.
            let skipped = length / 10;
            let rate =
                |run: &Vec<f64>| (run[skipped] - run[length]) / ((length - skipped) as f64 * self.counted);
            let measured = Measured::over(&runs.iter().map(rate).collect::<Vec<_>>());
            let claim = Claim::Between(C / condition, fastest(n));
            findings.push(Finding::new(format!("n = {n}, U/L = {condition}"), claim, measured));
            if n == 40 {
                let mean = |i: usize| runs.iter().map(|run| run[i]).sum::<f64>() / runs.len() as f64;
                let points = (0..=length).map(|i| (i as f64, mean(i))).collect();
                curves.push(Curve::new(format!("U/L = {condition}"), Provenance::Measured, points));
            }
        }
        let line = |rate: f64| (0..=length).map(|i| (i as f64, -rate * i as f64)).collect();
        curves.push(Curve::new("fastest", Provenance::Theory, line(fastest(40))));
        curves.push(Curve::new("slowest, U/L = 8", Provenance::Theory, line(C / 8.0)));
        let figure = Figure {
            file: "one-plus-one",
            title: "(1+1)-ES, 40 dimensions",
            x: "evaluations over n",
            y: "ln of the distance to the optimum",
            log: [false, false],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }

    /// `ln ‖x‖` after 0, n, 2n … evaluations.
    fn distances(&self, n: usize, condition: f64, length: usize, seed: u64) -> Result<Vec<f64>> {
        let bowl = Quadratic { low: 1.0, high: condition };
        let root = (n as f64).sqrt();
        let mut study = begin(n, 1.0 / root, 0.3 / root, seed, self.method.clone())?;
        let mut all = vec![0.0];
        for _ in 0..length {
            evaluate(&mut study, n, |_, x| bowl.value(x))?;
            all.push(0.5 * ln64(square(&centre(&study)).max(f64::MIN_POSITIVE)));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;
    use onward::study::Stp;

    #[test]
    fn the_rate_lies_between_its_bounds_and_others_do_not() {
        let lab = Lab { seed: 1, effort: Effort::Quick };
        let found = Rate::default().outcome(&lab).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        // Steps that do not adapt.
        let fixed = Stp { step: 1.0, grow: 1.0, shrink: 1.0 };
        let slow = Rate { method: StrategyKind::Stp(fixed), ..Rate::default() }.outcome(&lab).unwrap();
        assert!(slow.findings.iter().filter(|f| !f.holds()).count() >= 2, "{:#?}", slow.findings);
        // Pairs counted as one.
        let fast = Rate { counted: 0.5, ..Rate::default() }.outcome(&lab).unwrap();
        assert!(!fast.holds(), "{:#?}", fast.findings);
    }

    #[test]
    fn the_fastest_rate_is_that_of_few_and_of_many_dimensions() {
        assert!((fastest(2) - std::f64::consts::LN_2).abs() < 1e-14);
        // E −½ ln(1 − c²) 1{c < 0} for c uniform in −1 … 1 is (1 − ln 2)/2.
        assert!((fastest(3) - 3.0 * (1.0 - std::f64::consts::LN_2) / 2.0).abs() < 1e-14);
        assert!((fastest(1000) - 0.25).abs() < 1e-3);
    }
}
