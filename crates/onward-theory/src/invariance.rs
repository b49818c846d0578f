//! What sees only comparisons sees no monotone transform.

use super::lab::{begin, evaluate, square};
use super::{Check, Claim, Evidence, Finding, Lab, Measured};
use crate::Result;
use onward::kernel::exp64;
use onward::study::StrategyKind;

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "monotone invariance",
    source: "Golovin et al. 2020 for GLD; evident for all that compares",
    statement: "with the same seed, a strategy that only compares asks for the same candidates, to the bit, for f and for \
                −exp(−√f)",
    run: |lab| Invariance::default().outcome(lab),
}];

/// The transform.
struct Invariance {
    transform: fn(f64) -> f64,
}

impl Default for Invariance {
    fn default() -> Self {
        Self { transform: |f| -exp64(-f.sqrt()) }
    }
}

impl Invariance {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let count = lab.pick(200, 500);
        let mut findings = Vec::new();
        // Of a design, which looks at no loss, there would be nothing to find.
        let compares = |method: &StrategyKind| method.is_rank_based() && !method.is_design();
        for method in StrategyKind::all().into_iter().filter(compares) {
            let differing = lab.repeat(4, |seed| self.differing(&method, count, seed))?;
            let what = format!("{}: candidates that differ", method.name());
            let measured = Measured::exactly(differing.iter().sum::<usize>() as f64);
            findings.push(Finding::new(what, Claim::NONE, measured));
        }
        Ok(Evidence { findings, figure: None })
    }

    fn differing(&self, method: &StrategyKind, count: usize, seed: u64) -> Result<usize> {
        let plain = trace(method, count, seed, |f| f)?;
        let bent = trace(method, count, seed, self.transform)?;
        let differ = plain.iter().zip(&bent).filter(|(a, b)| a != b).count();
        Ok(differ + plain.len().abs_diff(bent.len()))
    }
}

/// The bits of all candidates.
fn trace(
    method: &StrategyKind,
    count: usize,
    seed: u64,
    transform: impl Fn(f64) -> f64,
) -> Result<Vec<Vec<u64>>> {
    let mut study = begin(5, 1.0, 0.5, seed, method.clone())?;
    let mut all = Vec::with_capacity(count);
    evaluate(&mut study, count, |_, x| {
        all.push(x.iter().map(|x| x.to_bits()).collect());
        let moved: Vec<f64> = x.iter().map(|x| x - 0.25).collect();
        transform(square(&moved))
    })?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;
    use onward::study::{MirrorDescent, NesterovSpokoiny};

    const LAB: Lab = Lab { seed: 1, effort: Effort::Quick };

    #[test]
    fn comparisons_are_blind_to_monotone_transforms_and_to_no_others() {
        let found = Invariance::default().outcome(&LAB).unwrap();
        assert!(found.holds() && found.findings.len() > 10, "{:#?}", found.findings);
        let wrong = Invariance { transform: |f| (f - 0.5).abs() }.outcome(&LAB).unwrap();
        assert!(wrong.findings.iter().all(|f| !f.holds()), "{:#?}", wrong.findings);
    }

    #[test]
    fn what_uses_values_is_not() {
        let methods = [
            StrategyKind::MirrorDescent(MirrorDescent::default()),
            StrategyKind::NesterovSpokoiny(NesterovSpokoiny::default()),
        ];
        for method in methods {
            assert!(Invariance::default().differing(&method, 100, 1).unwrap() > 50, "{}", method.name());
        }
    }
}
