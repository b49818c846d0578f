//! Local credit: what it is off by, and what it costs.

use super::lab::{dot, square};
use super::{Check, Claim, Curve, Evidence, Figure, Finding, Lab, Measured, Provenance};
use crate::Result;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::model::{Activation, Graph, Mlp};
use onward::noise::{Family, Role, RunKey};
use onward::params::Params;
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace, LocalPlan, Samples};
use onward::task::Loss;
use onward::threads::Threads;
use std::sync::Arc;

pub(crate) const CHECKS: [Check; 1] = [Check {
    name: "local credit",
    source: "derived",
    statement: "Credit that is passed down by differences of one operation after the other is the derivative up to O(σ²), as is that \
                from differences of the loss with all directions; it takes two evaluations of each activation and one of each map for \
                each number that it reads, whatever the depth",
    run: |lab| Descent::default().outcome(lab),
}];

const ROWS: usize = 16;

/// The widths of a net and the order that is claimed of the error.
struct Descent {
    widths: Vec<usize>,
    order: f64,
}

impl Default for Descent {
    fn default() -> Self {
        Self { widths: vec![6, 12, 10, 8, 5], order: 2.0 }
    }
}

/// A net on some rows.
struct Net {
    evaluator: Local,
    graph: Arc<Graph>,
    params: Params,
    batch: Batch,
    key: RunKey,
}

impl Descent {
    fn net(&self, seed: u64) -> Result<Net> {
        let (key, inputs) = (RunKey::from_seed(seed), self.widths[0]);
        let outputs = self.widths.last().copied().unwrap_or_default();
        let mut x = vec![0.0; ROWS * inputs];
        key.tensor(Role::Init, "x").at(0, 0).fill(Family::Normal, 0, &mut x);
        let labels = (0..ROWS).map(|row| (row % outputs) as u32).collect();
        let data = Dataset::new(x, [1, 1, inputs], Targets::Classes { labels, classes: outputs })?;
        let model = Arc::new(Mlp::new(&self.widths, Activation::Tanh)?);
        let evaluator = Local::new(model, Arc::new(Loss::CrossEntropy), &Threads::new(1)?);
        let graph = evaluator.graph(data.shape())?;
        let params = Params::init(graph.tensors(), &key);
        let batch = Batch::select(&data, &(0..ROWS as u32).collect::<Vec<_>>());
        Ok(Net { evaluator, graph, params, batch, key })
    }

    fn outcome(&self, lab: &Lab) -> Result<Evidence> {
        let sizes = [0.4f32, 0.2, 0.1];
        let of_seed = |seed: u64| {
            let net = self.net(seed)?;
            let truth = net.by_the_loss()?;
            sizes
                .iter()
                .map(|sigma| net.local(*sigma).map(|found| off(&found, &truth)))
                .collect::<Result<Vec<_>>>()
        };
        let found = lab.repeat(lab.pick(8, 32), of_seed)?;
        let mut findings = Vec::new();
        for (i, pair) in sizes.windows(2).enumerate() {
            let orders: Vec<f64> = found.iter().map(|of| (of[i].0 / of[i + 1].0).log2()).collect();
            let what = format!("order of the error, σ = {} and {}", pair[0], pair[1]);
            findings.push(Finding::new(what, Claim::near(self.order, 0.15), Measured::over(&orders)));
        }
        let cosines: Vec<f64> = found.iter().map(|of| of[2].1).collect();
        let what = format!("cosine with all directions of the loss, σ = {}", sizes[2]);
        findings.push(Finding::new(what, Claim::Between(0.999, 1.001), Measured::over(&cosines)));
        findings.push(self.cost(lab)?);
        let mean = |i: usize| found.iter().map(|of| of[i].0).sum::<f64>() / found.len() as f64;
        let points: Vec<(f64, f64)> =
            (0..sizes.len()).rev().map(|i| (f64::from(sizes[i]), mean(i))).collect();
        let law =
            |(sigma, _): &(f64, f64)| (*sigma, mean(0) * (sigma / f64::from(sizes[0])).powf(self.order));
        let law = points.iter().map(law).collect();
        let figure = Figure {
            file: "local",
            title: "Distance of local credit from the derivative",
            x: "σ",
            y: "share of its length",
            log: [true, true],
            curves: vec![
                Curve::new("local credit", Provenance::Measured, points),
                Curve::new("law", Provenance::Theory, law),
            ],
        };
        Ok(Evidence { findings, figure: Some(figure) })
    }

    /// Passes of a row: one for each number that a map reads which is not the input's, and two of each activation.
    fn cost(&self, lab: &Lab) -> Result<Finding> {
        let net = self.net(lab.seed)?;
        let inner = &self.widths[1..self.widths.len() - 1];
        let want: usize = inner.iter().map(|width| width + 2).sum();
        let found = net.plan(0.1).cost(&net.graph, 1)?.samples;
        let claim = Claim::Exactly { value: want as f64, within: 0.0 };
        Ok(Finding::new("evaluations for each row", claim, Measured::exactly(found as f64)))
    }
}

/// `‖found − truth‖ / ‖truth‖` and the cosine of the two.
fn off(found: &[f64], truth: &[f64]) -> (f64, f64) {
    let far: Vec<f64> = found.iter().zip(truth).map(|(f, t)| f - t).collect();
    let (size, own) = (square(truth), square(found));
    ((square(&far) / size).sqrt(), dot(found, truth) / (size * own).sqrt())
}

impl Net {
    fn plan(&self, sigma: f32) -> LocalPlan {
        let stages = (0..self.graph.stages()).collect();
        LocalPlan { step: 0, stages, sigma, samples: Samples::Swaps, draws: 2, differences: None }
    }

    fn local(&self, sigma: f32) -> Result<Vec<f64>> {
        let found =
            self.evaluator.local_derivative(&self.key, &self.params, &self.batch, &self.plan(sigma))?;
        Ok(flat(found.derivative))
    }

    /// From differences of the loss alone, with all orthogonal directions at every site.
    fn by_the_loss(&self) -> Result<Vec<f64>> {
        let layer = |stage: usize| {
            let pairs = self.graph.width(stage).next_power_of_two() as u32;
            LayerPlan { stage, space: LayerSpace::Activation, pairs, sigma: 0.01 }
        };
        let plan = ActivationPlan {
            step: 0,
            layers: (0..self.graph.stages()).map(layer).collect(),
            directions: Directions::Orthogonal,
            noise: Family::Sign,
            focus: None,
            norms: false,
        };
        Ok(flat(self.evaluator.derivative(&self.key, &self.params, &self.batch, &plan)?.derivative))
    }
}

/// All tensors, one after the other, the halves of the batch summed.
fn flat(derivative: onward::space::Derivative) -> Vec<f64> {
    let sum =
        |[a, b]: [Vec<f32>; 2]| a.into_iter().zip(b).map(|(a, b)| f64::from(a) + f64::from(b)).collect();
    derivative.into_iter().flatten().flat_map::<Vec<f64>, _>(sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effort;

    #[test]
    fn the_law_holds_and_another_order_is_noticed() {
        let lab = Lab { seed: 1, effort: Effort::Quick };
        let found = Descent::default().outcome(&lab).unwrap();
        assert!(found.holds(), "{:#?}", found.findings);
        let wrong = Descent { order: 1.0, ..Descent::default() }.outcome(&lab).unwrap();
        assert!(!wrong.findings[0].holds() && !wrong.findings[1].holds());
    }
}
