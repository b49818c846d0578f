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
//! Visits are answered by an evaluator that knows them: the one of the crate `onward-coordinate` works out again only what one number
//! changes. With `hold` above 1, as many visits share a batch, and the
//! loss that one of them accepted is what the next one's two are compared with.
//!
//! ```
//! use onward::rule::{LayerOrder, Rso, Sweep};
//! use onward::model::{Activation, Graph, Mlp};
//!
//! let rso = Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 };
//! let net = Mlp::new(&[4, 3, 2], Activation::Relu)?;
//! let sweep = Sweep::new(&rso, &Graph::new(&net, [1, 1, 4])?)?;
//! // One step for each output of each matrix, one for each vector: fc2's two rows, its bias, fc1's three rows, its bias.
//! assert_eq!(sweep.steps(), 2 + 1 + 3 + 1);
//! assert_eq!(sweep.plan(0, 1.0, 64).stage, 1);
//! # Ok::<(), onward::Error>(())
//! ```

use super::heard::other;
use super::{Anneal, Clock, Configured, Next, Outcome, Rule};
use crate::ask::{ProbePlan, Spent, Told, check_sigma, misfit};
use crate::ledger::{Entry, Moves, Optimizer, Scaling, State, Update, Visited};
use crate::model::{Graph, Link, LinkKind, WeightSpace};
use crate::params::{Init, TensorSpec};
use crate::schema::{self, PerLayer, is};
use crate::space::{CoordinatePlan, STATISTICS_ROWS};
use crate::{Error, ErrorKind, Place, Result, choices, keys};
use std::ops::Range;
use std::sync::Arc;

/// The standard deviation of changes to numbers that begin as constants and belong to no product.
const NORM_SIGMA: f32 = 0.167;

choices! {
    /// The layer that comes first in a cycle.
    pub enum LayerOrder default LastFirst {
        /// The last one's.
        LastFirst = "last-first",
        /// The first one's.
        FirstFirst = "first-first",
    }
}

keys! {
    /// The RSO method.
    pub struct Rso {
        shared
        /// What the layers' own standard deviations are multiplied by: one number, or one for each stage.
        sigma: PerLayer<f32> = 1.0;
        preset rate = 1.0;
        preset momentum = 0.0;
        preset scaling = Scaling::None;
        preset schedule = Anneal::Linear;
        preset final_rate = 0.1;
        /// What each weight loses of itself whenever it is visited.
        decay: f32 = is(0.0001), 0.0..1.0;
        /// Which layer's weights are visited first.
        order: LayerOrder = is(LayerOrder::LastFirst);
        /// How many visits share a batch; after the first of them the loss that was accepted is compared with two others.
        hold: u32 = is(1), 1.0..=4294967295.0;
    }
}

impl Rso {
    fn check(&self, graph: &Graph) -> Result<()> {
        schema::fits(self, "method")?;
        self.sigma.check(Place::key("method", "sigma"), graph.stages())?;
        check_sigma(self.sigma.values())
    }
}

impl Configured for Rso {
    fn moves(&self) -> Moves {
        Moves::Noise(WeightSpace::Coordinate)
    }

    fn at_work(&self, graph: &Graph) -> Result<Arc<dyn Rule>> {
        Ok(Arc::new(Sweep::new(self, graph)?))
    }

    /// Steps are choices between values.
    fn check_optimizer(&self, optimizer: Optimizer) -> Result<()> {
        const ONE: &str = "a weight takes one of three values";
        if optimizer.momentum != 0.0 {
            return Err(misfit("momentum", format!("0: {ONE}"), optimizer.momentum));
        }
        if optimizer.scaling != Scaling::None {
            return Err(misfit("scaling", format!("none: {ONE}"), optimizer.scaling.name()));
        }
        Ok(())
    }
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
}

impl Sweep {
    /// The steps that `rso` takes on `model`, whose input has the given shape.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the method does not fit the model, [`ErrorKind::Model`] if no stage has anything to visit, a tensor
    /// is used in two places, or the model does not do what it declares.
    pub fn new(rso: &Rso, graph: &Graph) -> Result<Self> {
        rso.check(graph)?;
        let mut stages: Vec<(usize, Vec<(usize, f32)>)> =
            tensors_of_stages(graph)?.into_iter().enumerate().collect();
        if rso.order == LayerOrder::LastFirst {
            stages.reverse();
        }
        let (specs, rates) = (graph.tensors(), graph.rates());
        let mut turns = Vec::new();
        for (stage, tensors) in stages {
            let mut before = 0;
            let factor = *rso.sigma.of(stage);
            for (tensor, sigma) in tensors {
                let factor = factor * rates[tensor];
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
        Ok(Self { turns, keep: 1.0 - rso.decay, hold: rso.hold as usize })
    }

    /// The number of steps in one cycle.
    pub fn steps(&self) -> u64 {
        self.turns.len() as u64
    }

    /// The first step of the cycle that `step` belongs to: σ falls from cycle to cycle, not from step to step.
    pub(crate) fn cycle_start(&self, step: u64) -> u64 {
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
        }
    }

    /// The visits of the clock's step. Their rate is that of the cycle's first step.
    fn visits(&self, clock: &Clock) -> (CoordinatePlan, f32) {
        let rate = clock.rate_at(self.cycle_start(clock.step));
        (self.plan(clock.step, rate, clock.batch), rate)
    }
}

impl Rule for Sweep {
    /// [`Sweep::new`] has checked it.
    fn check(&self, _: &Graph, _: usize) -> Result<()> {
        Ok(())
    }

    fn ask(&self, _: &State, clock: &Clock) -> Result<ProbePlan> {
        Ok(ProbePlan::Visits(self.visits(clock).0))
    }

    fn tell(&self, _: &State, clock: &Clock, mut told: Vec<Told>) -> Result<Next> {
        let Some(Told::Choices(found)) = told.pop() else {
            return Err(other(clock.step, "choices"));
        };
        let (plan, rate) = self.visits(clock);
        let update = Update::Choices(Visited::new(&plan, found.choices));
        let entry = Entry { step: clock.step, loss: found.loss, rate, non_finite: found.non_finite, update };
        Ok(Next::Step(Outcome::of(entry)))
    }

    /// Its evaluations from the visited stage on; for the first step of a stage also the pass of all training rows (but for an
    /// incomplete last batch) up to it and the statistics before that.
    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        let Clock { step, batch, rows, .. } = *clock;
        let turn = &self.turns[(step % self.steps()) as usize];
        let evaluations =
            |v: usize| if v > 0 && !(turn.before + v).is_multiple_of(self.hold) { 2 } else { 3 };
        let passes: u64 = (0..turn.elements.len()).map(evaluations).sum();
        let samples = passes * batch as u64;
        let mut spent =
            Spent { passes, samples, flops: samples * graph.flops_from(turn.stage), non_finite: 0 };
        if turn.before == 0 && turn.stage > 0 {
            let (all, some) = ((rows / batch.max(1) * batch) as u64, rows.min(STATISTICS_ROWS) as u64);
            let before = graph.flops() - graph.flops_from(turn.stage);
            let flops = all * before + some * graph.flops();
            spent += Spent { passes: 2, samples: all + some, flops, non_finite: 0 };
        }
        spent
    }

    fn round(&self) -> Option<u64> {
        Some(self.steps())
    }
}

/// The elements of each step on a tensor.
fn rows(spec: &TensorSpec) -> Vec<Range<usize>> {
    let all: usize = spec.shape.iter().product();
    let row = if spec.shape.len() > 1 { all / spec.shape[0].max(1) } else { all };
    (0..all).step_by(row.max(1)).map(|first| first..first + row).collect()
}

/// The tensors of each stage that change, in the order of visits, each with the standard deviation of its changes: a product's weight,
/// its bias, then the shift and the scale of the normalisation after it.
fn tensors_of_stages(graph: &Graph) -> Result<Vec<Vec<(usize, f32)>>> {
    let specs = graph.tensors();
    let of = |link: &Link| -> Vec<(usize, f32)> {
        let map = link.map;
        let sigma = match specs[map.weight].init {
            Init::He { fan_in } => (2.0 / fan_in.max(1) as f32).sqrt(),
            Init::Whole { spread } => f32::from(spread) / 3f32.sqrt(),
            Init::Constant(_) => NORM_SIGMA,
        };
        let bias = map.bias.map(|bias| (bias, sigma));
        let weight = Some((map.weight, sigma));
        let both = if map.kind == LinkKind::Norm { [bias, weight] } else { [weight, bias] };
        both.into_iter().flatten().filter(|(tensor, _)| graph.trains(*tensor)).collect()
    };
    let all: Vec<Vec<(usize, f32)>> =
        (0..graph.stages()).map(|stage| graph.links(stage).iter().flat_map(of).collect()).collect();
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
