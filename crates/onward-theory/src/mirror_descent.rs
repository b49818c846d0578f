//! Mirror descent with learned steps, as the two-point strategy takes them by default.

use super::lab::{begin, evaluate};
use super::smooth::{below, signs};
use super::{Check, Evidence, Figure, Lab, Measured};
use crate::Result;
use onward::kernel::ln64;
use onward::study::{Mirror, MirrorDescent, StrategyKind};

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "mirror descent on the simplex, learned steps",
    source: "derived (mirror descent: Nemirovski and Yudin 1983; sums of squares: Duchi, Hazan and Singer 2011)",
    statement: "the regret is at most √(Σ‖g_t‖_∞²)(D/c + c) with D the largest KL(θ*, θ_t) and steps c/√(Σ_{s≤t}‖g_s‖_∞²)",
    run: |lab| Simplex::default().outcome(lab),
}];

/// How much cheaper the first option is in the losses that the strategy is told.
struct Simplex {
    told: f64,
}

/// How much cheaper it is.
const ADVANTAGE: f64 = 0.3;

impl Default for Simplex {
    fn default() -> Self {
        Self { told: ADVANTAGE }
    }
}

/// Sums over the rounds so far.
#[derive(Clone, Copy, Default)]
struct Seen {
    regret: f64,
    squares: f64,
    divergence: f64,
}

impl Seen {
    fn bound(&self, c: f64) -> f64 {
        self.squares.sqrt() * (self.divergence / c + c)
    }
}

/// The cost of each option in a round: a coin each, the first cheaper on average.
fn costs(seed: u64, round: u64, d: usize) -> Vec<f64> {
    let mut costs = signs(seed, round, d);
    costs[0] -= ADVANTAGE;
    costs
}

impl Simplex {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let (seeds, powers, dimensions) = lab.pick((8, 6..=13, vec![4, 20]), (16, 6..=14, vec![4, 20, 100]));
        let (mut findings, mut curves) = (Vec::new(), Vec::new());
        for d in dimensions {
            // The strategy's c, and its probes: small against every weight, for a linear loss needs no more.
            let c = (2.0 * ln64(d as f64)).sqrt() / 2.0;
            let runs = lab.repeat(seeds, |seed| self.run(d, powers.clone(), seed))?;
            let point = |(i, power): (usize, u32)| {
                let k = f64::from(1u32 << power);
                let of = |value: fn(&Seen, f64) -> f64| {
                    Measured::over(&runs.iter().map(|run| value(&run[i], c) / k).collect::<Vec<_>>())
                };
                (k, of(|seen, _| seen.regret), of(Seen::bound).mean)
            };
            let what = |k: f64| format!("d = {d}, {k} rounds, regret of a round");
            let (found, drawn) =
                below(&format!("d = {d}"), what, powers.clone().enumerate().map(point).collect());
            findings.extend(found);
            curves.extend(drawn);
        }
        let figure = Figure {
            file: "simplex",
            title: "Mirror descent on the simplex",
            x: "rounds",
            y: "mean regret, and bound",
            log: [true, true],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }

    /// What was seen after each power of two of rounds. θ is the middle of a pair; as probes are signs, the largest
    /// coordinate of the estimate is the difference of losses over the distance in any coordinate.
    fn run(&self, d: usize, powers: std::ops::RangeInclusive<u32>, seed: u64) -> Result<Vec<Seen>> {
        let method = MirrorDescent { mirror: Mirror::Simplex, ..MirrorDescent::default() };
        let mut study = begin(d, 1.0 / d as f64, 1.0, seed, StrategyKind::MirrorDescent(method))?;
        let (mut seen, mut all) = (Seen::default(), Vec::new());
        let mut first: (Vec<f64>, f64) = (Vec::new(), 0.0);
        let last = *powers.end();
        evaluate(&mut study, 2 << last, |candidate, x| {
            let costs = costs(seed, candidate.generation, d);
            let loss = super::lab::dot(&costs, x);
            if candidate.id % 2 == 0 {
                first = (x.to_vec(), loss);
            } else {
                let theta: Vec<f64> = x.iter().zip(&first.0).map(|(a, b)| 0.5 * (a + b)).collect();
                seen.regret += super::lab::dot(&costs, &theta) - costs[0];
                seen.squares += ((loss - first.1) / (x[0] - first.0[0])).powi(2);
                seen.divergence = seen.divergence.max(-ln64(theta[0].max(f64::MIN_POSITIVE)));
                let round = candidate.generation + 1;
                if round.is_power_of_two() && powers.contains(&round.trailing_zeros()) {
                    all.push(seen);
                }
            }
            loss + (ADVANTAGE - self.told) * x[0]
        })?;
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    #[test]
    fn regret_is_below_the_bound_unless_the_advantage_is_not_told() {
        let lab = Lab { seed: 1, effort: Effort::Quick };
        let found = Simplex::default().outcome(&lab).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = Simplex { told: 0.0 }.outcome(&lab).unwrap();
        assert!(!wrong.holds(), "{:#?}", wrong.findings);
    }
}
