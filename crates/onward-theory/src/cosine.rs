//! The cosine law: how well an estimate from K directions points.

use super::lab::{dot, square};
use super::moments::{FAMILIES, fourth, name};
use super::problems::LinearNet;
use super::{Check, Claim, Curve, Evidence, Figure, Finding, Lab, Measured, Provenance};
use crate::Result;
use onward::noise::Family;
use onward::rule::TwoPoint;

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "cosine law",
    source: "derived; Dust (Q Labs 2026) states it for normal noise",
    statement: "E‖ĝ‖² = (1 + (d + κ − 2)/K)‖g‖² for K directions, so cos² ≈ 1/(1 + (d + κ − 2)/K), for normal noise \
                1/(1 + (d + 1)/K)",
    run: |lab| Cosine::default().outcome(lab),
}];

/// The net's shape, numbers of directions, and how many times as many the law is told of.
struct Cosine {
    inputs: usize,
    outputs: usize,
    directions: Vec<u32>,
    told: f64,
}

impl Default for Cosine {
    fn default() -> Self {
        Self { inputs: 15, outputs: 8, directions: vec![2, 8, 32, 128, 512, 2048], told: 1.0 }
    }
}

/// `‖ĝ‖²/‖g‖²` and `cos²`, over estimates.
struct Seen {
    length: Measured,
    cosine: Measured,
}

impl Cosine {
    /// Weights and biases.
    fn d(&self) -> f64 {
        ((self.inputs + 1) * self.outputs) as f64
    }

    fn seen(&self, lab: &Lab, directions: u32, noise: Family) -> Result<Seen> {
        let blocks = lab.pick(16, 64);
        let each = if directions > 100 { lab.pick(3, 12) } else { lab.pick(50, 200) };
        let rule = TwoPoint { sigma: 0.5, directions, noise };
        let block = |seed: u64| {
            let net = LinearNet::new(self.inputs, self.outputs, lab.seed)?;
            let one = |i| {
                let found = net.estimate(rule, seed.wrapping_mul(1000) + i)?;
                let (size, length) = (square(&net.gradient), square(&found));
                Ok((length / size, dot(&found, &net.gradient).powi(2) / (size * length)))
            };
            (0..each).map(one).collect::<Result<Vec<_>>>()
        };
        let (lengths, cosines): (Vec<f64>, Vec<f64>) =
            lab.repeat(blocks, block)?.concat().into_iter().unzip();
        Ok(Seen { length: Measured::over(&lengths), cosine: Measured::over(&cosines) })
    }

    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let (d, within) = (self.d(), lab.pick(0.15, 0.06));
        let (mut findings, mut curves) = (Vec::new(), Vec::new());
        for noise in FAMILIES {
            let mut points = Vec::new();
            let law = |k: f64| 1.0 + (d + fourth(noise) - 2.0) / (self.told * k);
            for &directions in &self.directions {
                let (k, seen) = (f64::from(directions), self.seen(lab, directions, noise)?);
                points.push((k, seen.cosine.mean.sqrt()));
                if k <= 32.0 {
                    let claim = Claim::Exactly { value: law(k), within };
                    let what = format!("{}, d = {d}, K = {k}: length", name(noise));
                    findings.push(Finding::new(what, claim, seen.length));
                }
                // Near 0 and 1 the cosine of a mean is not the mean of cosines.
                let claim = Claim::near(1.0 / law(k), within);
                let what = format!("{}, d = {d}, K = {k}: cos²", name(noise));
                findings.push(Finding::new(what, claim, seen.cosine));
            }
            curves.push(Curve::new(name(noise), Provenance::Measured, points));
        }
        let law = (4..=46).map(|i| 2f64.powf(f64::from(i) / 4.0));
        let law = law.map(|k| (k, (1.0 / (1.0 + (d + 1.0) / k)).sqrt())).collect();
        curves.push(Curve::new("law", Provenance::Theory, law));
        let figure = Figure {
            file: "cosine",
            title: "Cosine of the estimate with the gradient",
            x: "directions K",
            y: "128 weights",
            log: [true, false],
            curves,
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    #[test]
    fn the_law_holds_and_a_wrong_number_of_directions_is_noticed() {
        let lab = Lab { seed: 1, effort: Effort::Quick };
        let small = |told| Cosine { directions: vec![4, 16, 64], told, ..Cosine::default() };
        let found = small(1.0).outcome(&lab).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = small(2.0).outcome(&lab).unwrap();
        assert!(wrong.findings.iter().all(|f| !f.holds()), "{:#?}", wrong.findings);
    }
}
