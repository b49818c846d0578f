//! GLD's independence of the number of coordinates where the loss depends on few directions.

use super::lab::{begin, dot};
use super::problems::Quadratic;
use super::{Check, Claim, Curve, Evidence, Figure, Finding, Lab, Measured, Provenance};
use crate::Result;
use onward::study::{GldSearch, Radii, StrategyKind};

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "latent dimension",
    source: "Golovin et al. 2020; derived for normal steps",
    statement: "for f(x) = g(Px) with P of rank k, normal steps and radii ∝ √(n/k), the law of GLD's evaluations does not \
                depend on n",
    run: |lab| Latent::default().outcome(lab),
}];

/// Directions that the loss depends on.
const DIRECTIONS: usize = 10;

const BOWL: Quadratic = Quadratic { low: 1.0, high: 8.0 };

/// The largest radius: half of the way to the optimum.
const LARGEST: f64 = 0.5;

/// What the method is told that the loss depends on.
struct Latent {
    effective: Option<f64>,
}

impl Default for Latent {
    fn default() -> Self {
        Self { effective: Some(DIRECTIONS as f64) }
    }
}

impl Latent {
    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let (seeds, dimensions, within) =
            lab.pick((32, vec![10, 100, 1000], 0.25), (120, vec![10, 100, 1000, 5000], 0.12));
        let (mut findings, mut points) = (Vec::new(), Vec::new());
        let mut first: Option<Measured> = None;
        for n in dimensions {
            let counts = lab.repeat(seeds, |seed| self.evaluations(n, seed))?;
            let here = Measured::over(&counts);
            points.push((n as f64, here.mean));
            let Some(there) = first else {
                first = Some(here);
                continue;
            };
            // The seeds are the same, the noise of other elements is not: the ratio's error is that of both.
            let error = (here.error / there.mean).hypot(here.mean * there.error / there.mean.powi(2));
            let measured = Measured { mean: here.mean / there.mean, error };
            let what = format!("evaluations, n = {n} over n = 10 ({:.0} over {:.0})", here.mean, there.mean);
            findings.push(Finding::new(what, Claim::Exactly { value: 1.0, within }, measured));
        }
        let law = points.iter().filter_map(|p| Some((p.0, points.first()?.1))).collect();
        let curves = vec![
            Curve::new("mean", Provenance::Measured, points),
            Curve::new("mean", Provenance::Theory, law),
        ];
        let figure = Figure {
            file: "latent-dimension",
            title: "GLD on a loss of ten directions",
            x: "coordinates",
            y: "evaluations to a ten-thousandth of the loss",
            log: [true, false],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }

    /// Evaluations to a loss of 1e-4 of the first. The directions are blocks of equal coordinates.
    fn evaluations(&self, n: usize, seed: u64) -> Result<f64> {
        let settings = GldSearch {
            largest: Some(LARGEST),
            smallest: 1e-3 / LARGEST,
            steps: Radii::Gaussian,
            effective: self.effective,
        };
        let root = (n as f64).sqrt();
        let mut study = begin(n, 1.0 / root, 1.0, seed, StrategyKind::GldSearch(settings))?;
        let width = n / DIRECTIONS;
        let ones = vec![1.0 / (width as f64).sqrt(); width];
        let target = 1e-4 * BOWL.value(&[1.0 / (DIRECTIONS as f64).sqrt(); DIRECTIONS]);
        while let Some(candidate) = study.ask().filter(|c| c.id < 200_000) {
            let x: Vec<f64> = candidate.numbers().collect();
            let along: Vec<f64> = x.chunks_exact(width).map(|block| dot(block, &ones)).collect();
            let loss = BOWL.value(&along);
            study.tell(candidate.id, loss)?;
            if loss <= target {
                break;
            }
        }
        Ok(study.told() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    #[test]
    fn evaluations_do_not_grow_unless_radii_are_not_widened() {
        let lab = Lab { seed: 1, effort: Effort::Quick };
        let found = Latent::default().outcome(&lab).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let narrow = Latent { effective: None }.outcome(&lab).unwrap();
        assert!(!narrow.findings[1].holds(), "{:#?}", narrow.findings);
    }
}
