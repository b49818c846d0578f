//! RSO, random search optimisation: one weight after the other, each tried at its value and one random change above and below.
//!
//! Tripathi & Singh 2020 (arXiv 2005.05955), after the authors' own program: in every cycle each number `w` of each layer, the
//! last layer first, becomes
//!
//! ```text
//! w ← argmin { L(w'), L(w' + Δ), L(w' − Δ) },   w' = (1 − decay)·w,   Δ = σ z,   z normal
//! ```
//!
//! with three losses on one batch, the next batch for each number, ties to the first. `σ` is the layer's own: the standard
//! deviation of its initial values (He), 0.167 for the scales and shifts of normalisations; it falls along a straight line to a
//! tenth over the run's cycles (`rate`, `schedule` and `final_rate` of the spec). Before a layer's turn, the activations that
//! enter it are kept for all training rows, normalised by statistics of the first 2000 of them; inside a loss, normalisations
//! use the batch's own. Defaults: decay 1e-4, batches of 5000.
//!
//! One number changes one channel: see [`crate::space::Recompute`]. With `hold` above 1, as many visits share a batch, and the
//! loss that one of them accepted is what the next one's two are compared with.
//!
//! ```
//! use onward::rule::{LayerOrder, Rso, Sweep};
//! use onward::model::{Activation, Mlp};
//!
//! let rso = Rso { sigma: vec![1.0], decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 };
//! let net = Mlp::new(&[4, 3, 2], Activation::Relu)?;
//! let sweep = Sweep::new(&rso, &net, [1, 1, 4])?;
//! // One step for each output of each matrix, one for each vector: fc2's two rows, its bias, fc1's three rows, its bias.
//! assert_eq!(sweep.steps(), 2 + 1 + 3 + 1);
//! assert_eq!(sweep.plan(0, 1.0, 64).stage, 1);
//! # Ok::<(), onward::Error>(())
//! ```

use super::{At, Outcome, misfit};
use crate::dataset::Dataset;
use crate::evaluate::{Batch, CoordinateCache, Evaluator, STATISTICS_ROWS, Spent, check_sigma};
use crate::ledger::{Update, Visited};
use crate::model::{LinkKind, Map, Model, Outline};
use crate::noise::RunKey;
use crate::params::{Init, Params, TensorSpec};
use crate::space::{CoordinatePlan, Recompute};
use crate::{Error, ErrorKind, Place, Result};
use std::ops::Range;

/// The standard deviation of changes to numbers that begin as constants and belong to no product.
const NORM_SIGMA: f32 = 0.167;

/// Which layer's turn comes first in a cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerOrder {
    /// The one next to the answers.
    #[default]
    LastFirst,
    /// The one next to the data.
    FirstFirst,
}

/// The RSO method.
#[derive(Clone, Debug, PartialEq)]
pub struct Rso {
    /// What the layers' own standard deviations are multiplied by: one number, or one for each stage.
    pub sigma: Vec<f32>,
    /// The weight decay of each visit.
    pub decay: f32,
    /// The order of layers.
    pub order: LayerOrder,
    /// Visits that share a batch.
    pub hold: u32,
}

impl Rso {
    pub(super) fn check(&self, model: &dyn Model) -> Result<()> {
        if !(0.0..1.0).contains(&self.decay) {
            return Err(misfit("decay", "a number from 0 to below 1", self.decay));
        }
        if self.hold == 0 {
            return Err(misfit("hold", "at least 1", 0));
        }
        if ![1, model.stages()].contains(&self.sigma.len()) {
            let expected = format!("1 number or {}, one per layer", model.stages());
            return Err(misfit("sigma", expected, self.sigma.len()));
        }
        check_sigma(&self.sigma)
    }

    /// One step on a batch as if it were all data.
    pub(super) fn run(
        &self,
        evaluator: &dyn Evaluator,
        params: &Params,
        batch: &Batch,
        at: At,
    ) -> Result<Outcome> {
        let sweep = Sweep::new(self, evaluator.model(), batch.x.shape)?;
        let data = Dataset::new(batch.x.data.to_vec(), batch.x.shape, batch.targets.clone())?;
        let plan = sweep.plan(u64::from(at.step), at.rate, data.rows());
        visit(evaluator, &at.key, params, &data, &plan, &mut CoordinateCache::default())
    }
}

/// One step in coordinate space.
pub(crate) fn visit(
    evaluator: &dyn Evaluator,
    key: &RunKey,
    params: &Params,
    data: &Dataset,
    plan: &CoordinatePlan,
    cache: &mut CoordinateCache,
) -> Result<Outcome> {
    let found = evaluator.choices(key, params, data, plan, cache)?;
    Ok(Outcome {
        loss: found.loss,
        update: Update::Choices(Visited::new(plan, found.choices)),
        non_finite: found.non_finite,
        signal_to_noise: None,
    })
}

/// One step of a cycle.
#[derive(Clone, Debug, PartialEq)]
struct Turn {
    stage: usize,
    tensor: usize,
    elements: Range<usize>,
    before: usize,
    sigma: f32,
}

/// The steps of a cycle: one for each output of each matrix and convolution, one for each vector.
#[derive(Clone, Debug)]
pub struct Sweep {
    turns: Vec<Turn>,
    keep: f32,
    hold: usize,
    /// How losses are found: the result is the same.
    pub recompute: Recompute,
}

impl Sweep {
    /// The steps that `rso` takes on `model`, whose input has the given shape.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the method does not fit the model, [`ErrorKind::Model`] if no stage has anything to visit, a tensor
    /// is used in two places, or the model does not do what it declares.
    pub fn new(rso: &Rso, model: &dyn Model, shape: [usize; 3]) -> Result<Self> {
        rso.check(model)?;
        let mut stages: Vec<(usize, Vec<(usize, f32)>)> =
            tensors_of_stages(model, shape)?.into_iter().enumerate().collect();
        if rso.order == LayerOrder::LastFirst {
            stages.reverse();
        }
        let specs = model.tensors();
        let mut turns = Vec::new();
        for (stage, tensors) in stages {
            let mut before = 0;
            let factor = rso.sigma[stage % rso.sigma.len()];
            for (tensor, sigma) in tensors {
                for elements in rows(&specs[tensor]) {
                    let visits = elements.len();
                    turns.push(Turn { stage, tensor, elements, before, sigma: sigma * factor });
                    before += visits;
                }
            }
        }
        if turns.is_empty() {
            return Err(Error::new(ErrorKind::Model, "the model has no tensors to visit"));
        }
        Ok(Self { turns, keep: 1.0 - rso.decay, hold: rso.hold as usize, recompute: Recompute::Changed })
    }

    /// Steps of one cycle.
    pub fn steps(&self) -> u64 {
        self.turns.len() as u64
    }

    /// The first step of the cycle that `step` belongs to: σ falls from cycle to cycle, not from step to step.
    pub fn cycle_start(&self, step: u64) -> u64 {
        step - step % self.steps()
    }

    /// The visits of a step on batches of `batch` samples, the layers' own σ multiplied by `rate`.
    pub fn plan(&self, step: u64, rate: f32, batch: usize) -> CoordinatePlan {
        let turn = &self.turns[(step % self.steps()) as usize];
        CoordinatePlan {
            stage: turn.stage,
            tensor: turn.tensor,
            elements: turn.elements.clone(),
            before: turn.before,
            cycle: (step / self.steps()) as u32,
            sigma: turn.sigma * rate,
            keep: self.keep,
            batch,
            hold: self.hold,
            recompute: self.recompute,
        }
    }

    /// What a step costs: its evaluations from the visited stage on; for the first step of a stage also the pass of all `rows`
    /// training rows (but for an incomplete last batch) up to it and the statistics before that.
    pub fn cost(&self, model: &dyn Model, step: u64, batch: usize, rows: usize) -> Spent {
        let turn = &self.turns[(step % self.steps()) as usize];
        let flops = |stages: Range<usize>| stages.map(|s| model.flops(s)).sum::<u64>();
        let evaluations =
            |v: usize| if v > 0 && !(turn.before + v).is_multiple_of(self.hold) { 2 } else { 3 };
        let passes: u64 = (0..turn.elements.len()).map(evaluations).sum();
        let samples = passes * batch as u64;
        let mut spent =
            Spent { passes, samples, flops: samples * flops(turn.stage..model.stages()), non_finite: 0 };
        if turn.before == 0 && turn.stage > 0 {
            let (all, some) = ((rows / batch.max(1) * batch) as u64, rows.min(STATISTICS_ROWS) as u64);
            let flops = all * flops(0..turn.stage) + some * flops(0..model.stages());
            spent += Spent { passes: 2, samples: all + some, flops, non_finite: 0 };
        }
        spent
    }
}

/// The elements of each step on a tensor.
fn rows(spec: &TensorSpec) -> Vec<Range<usize>> {
    let all: usize = spec.shape.iter().product();
    let row = if spec.shape.len() > 1 { all / spec.shape[0].max(1) } else { all };
    (0..all).step_by(row.max(1)).map(|first| first..first + row).collect()
}

/// The tensors of each stage in the order of visits, each with the standard deviation of its changes: a product's weight,
/// its bias, then the shift and the scale of the normalisation after it.
fn tensors_of_stages(model: &dyn Model, shape: [usize; 3]) -> Result<Vec<Vec<(usize, f32)>>> {
    let Outline { specs, maps, .. } = Outline::of(model, shape)?;
    let of = |map: &Map| -> Vec<(usize, f32)> {
        let sigma = match specs[map.weight].init {
            Init::He { fan_in } => (2.0 / fan_in.max(1) as f32).sqrt(),
            Init::Constant(_) => NORM_SIGMA,
        };
        let bias = map.bias.map(|bias| (bias, sigma));
        let weight = Some((map.weight, sigma));
        let both = if map.kind == LinkKind::Norm { [bias, weight] } else { [weight, bias] };
        both.into_iter().flatten().collect()
    };
    let all: Vec<Vec<(usize, f32)>> = maps.iter().map(|stage| stage.iter().flat_map(of).collect()).collect();
    let mut seen = vec![false; specs.len()];
    for (tensor, _) in all.iter().flatten() {
        if std::mem::replace(&mut seen[*tensor], true) {
            let place = Place::tensor(&specs[*tensor].name);
            return Err(Error::expected(
                ErrorKind::Model,
                place,
                "one use: what enters a stage is kept",
                "two",
            ));
        }
    }
    Ok(all)
}
