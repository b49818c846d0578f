//! Relative loss per sample at the layers' outputs: the notebook's idea in its strongest known form.
//!
//! Every sample is its own experiment: noise at one stage's output, the stages above run again from cached clean
//! activations, and the response credits the noise (see [`crate::space`]); the step on a weight is `Σ ĝ xᵀ`. A layer whose
//! weights are fewer than its outputs' dimensions can be probed by low-rank noise of each sample's own instead.

use super::descent::step_down;
use super::scales::{learned, scale_of};
use super::{Anneal, Clock, Configured, Next, Outcome, Rule, Scales};
use crate::ask::{ProbePlan, Spent, Told, check_sigma, misfit, whole_passes};
use crate::ledger::{Moves, Scaling, State, Update};
use crate::model::Graph;
use crate::noise::Family;
use crate::schema::{PerLayer, is};
use crate::space::{ActivationPlan, Directions, Focus, LayerPlan, LayerSpace};
use crate::{Error, ErrorKind, Place, Result, choices, keys};
use std::sync::Arc;

choices! {
    /// The layers that a step estimates.
    pub enum Layers default Together {
        /// All layers.
        Together = "together",
        /// One layer, the next in the next step.
        InTurn = "in-turn",
    }
}

keys! {
    /// The relative-activation method.
    pub struct RelativeActivation {
        shared
        /// The size of the perturbations, for each layer or one for all.
        sigma: PerLayer<f32> = 0.1;
        preset rate = 0.05;
        preset momentum = 0.9;
        preset scaling = Scaling::None;
        preset schedule = Anneal::Cosine;
        preset final_rate = 0.0;
        /// Antithetic pairs of perturbations for each sample and layer: one number, or one per layer; a layer with 0 keeps
        /// its initial weights. Orthogonal draws need no more than the layer's width rounded up to a power of two.
        directions: PerLayer<u32> = is(16), 0.0..=65536.0;
        /// How the perturbations of a sample are drawn.
        draws: Directions = is(Directions::Orthogonal);
        /// Which layers are perturbed in a step.
        order: Layers = is(Layers::Together);
        /// Where the perturbations act: one word, or one per layer.
        space: PerLayer<LayerSpace> = is(LayerSpace::Activation);
        /// The distribution of independent draws and of low-rank factors.
        noise: Family = is(Family::Sign);
        /// The share of each batch's samples that all layers but the last are perturbed for, chosen by how much their
        /// answers have to change; what they give is weighted so that the mean is the batch's.
        focus: f32 = is(1.0), 0.0..=1.0;
        /// Whether the sizes of perturbations of layers relative to each other are learned, and what steps are then.
        scales: Scales = is(Scales::Fixed);
        /// How fast they are learned.
        scale_rate: f32 = is(0.1), 0.0..=1.0;
    }
}

impl RelativeActivation {
    /// The method's rule for a model's graph.
    pub fn on(&self, graph: &Graph) -> SiteRule {
        let widths = (0..graph.stages()).map(|stage| graph.width(stage)).collect();
        let stages = (0..graph.stages()).filter(|stage| graph.stage_trains(*stage)).collect();
        let tensors = (0..graph.stages()).map(|stage| graph.tensors_of(stage).collect()).collect();
        SiteRule { method: self.clone(), widths, stages, tensors }
    }

    fn check(&self, layers: usize, rows: usize) -> Result<()> {
        let key = |name| Place::key("method", name);
        self.sigma.check(key("sigma"), layers)?;
        self.directions.check(key("directions"), layers)?;
        self.space.check(key("space"), layers)?;
        let directions = self.directions.values();
        if directions.iter().all(|d| *d == 0) {
            return Err(misfit("directions", "at least one layer with at least 1", 0));
        }
        if !(self.focus > 0.0 && self.focus <= 1.0) {
            return Err(misfit("focus", "a share in 0..=1, not 0", self.focus));
        }
        let answer = (*self.space.of(layers - 1), *self.directions.of(layers - 1));
        let chosen_by = answer.0 == LayerSpace::Activation && answer.1 > 0 && self.order == Layers::Together;
        if self.focus < 1.0
            && !(chosen_by && self.space.values().iter().all(|s| *s == LayerSpace::Activation))
        {
            let expected = "1, unless all layers are probed together in activation space, the last with at least 1 direction";
            return Err(misfit("focus", expected, self.focus));
        }
        if self.scales != Scales::Fixed && self.order != Layers::Together {
            return Err(misfit("scales", "fixed, unless all layers are probed together", self.scales.name()));
        }
        // Each sample's noise has a number of its own, where orthogonal directions are not all there are.
        if let Some(d) = directions.iter().find(|d| rows as u64 * u64::from(**d) > u64::from(u32::MAX)) {
            return Err(misfit("directions", format!("below 2^32 with all {rows} samples of a batch"), d));
        }
        if rows < 2 {
            let place = Place::key("train", "batch");
            return Err(Error::expected(ErrorKind::Spec, place, "at least 2 samples", rows));
        }
        check_sigma(self.sigma.values())
    }
}

impl Configured for RelativeActivation {
    fn moves(&self) -> Moves {
        Moves::Directions
    }

    fn at_work(&self, graph: &Graph) -> Result<Arc<dyn Rule>> {
        Ok(Arc::new(self.on(graph)))
    }
}

/// The rule of the relative-activation method for one model.
#[derive(Clone, Debug)]
pub struct SiteRule {
    method: RelativeActivation,
    /// Numbers at each stage's site.
    widths: Vec<usize>,
    /// The stages with tensors that change.
    stages: Vec<usize>,
    /// The tensors of each stage.
    tensors: Vec<Vec<usize>>,
}

impl SiteRule {
    /// How one stage is probed, with the sizes that `scales` make; `None` if it is not.
    fn layer(&self, stage: usize, scales: &[f32]) -> Option<LayerPlan> {
        let RelativeActivation { space, directions, sigma, draws, .. } = &self.method;
        let space = *space.of(stage);
        // There are no more orthogonal directions than these; all of them give the exact derivative.
        let all = match (space, draws) {
            (LayerSpace::Activation, Directions::Orthogonal | Directions::Blocks) => {
                u32::try_from(self.widths[stage].next_power_of_two()).unwrap_or(u32::MAX)
            }
            _ => u32::MAX,
        };
        let pairs = (*directions.of(stage)).min(all);
        let sigma = *sigma.of(stage) * scale_of(scales, stage);
        (pairs > 0).then_some(LayerPlan { stage, space, pairs, sigma })
    }

    /// The stages that a step probes.
    fn layers(&self, step: u64, scales: &[f32]) -> Vec<LayerPlan> {
        let layers = self.stages.len();
        let stages = match self.method.order {
            Layers::Together => 0..layers,
            Layers::InTurn => {
                let stage = layers - 1 - step as usize % layers;
                stage..stage + 1
            }
        };
        self.stages[stages].iter().filter_map(|stage| self.layer(*stage, scales)).collect()
    }

    fn plan(
        &self,
        clock: &Clock,
        layers: Vec<LayerPlan>,
        focus: Option<Focus>,
        norms: bool,
    ) -> ActivationPlan {
        let RelativeActivation { draws, noise, .. } = self.method;
        ActivationPlan { step: clock.step as u32, layers, directions: draws, noise, focus, norms }
    }

    /// How many samples of a batch all stages but the last are probed with; `None` for all of them.
    fn focused(&self, batch: usize) -> Option<usize> {
        let count = ((batch as f32 * self.method.focus).round() as usize).clamp(1, batch.max(1));
        (count < batch).then_some(count)
    }

    /// The step's questions: all stages, or the last and then the others.
    fn questions(&self, clock: &Clock, scales: &[f32]) -> Vec<Vec<LayerPlan>> {
        let mut layers = self.layers(clock.step, scales);
        match (self.focused(clock.batch), layers.pop()) {
            (Some(_), Some(last)) if !layers.is_empty() => vec![vec![last], layers],
            (_, last) => {
                layers.extend(last);
                vec![layers]
            }
        }
    }
}

/// What is learned about the sizes of perturbations.
impl SiteRule {
    /// The scales after a step: costs are in units of their mean.
    fn learned(&self, state: &State, clock: &Clock, told: &[Told]) -> Vec<f32> {
        let before = state.streams().scales();
        let mut costs = vec![None; self.widths.len()];
        for (layers, told) in self.questions(clock, before).iter().zip(told) {
            let Told::Response(response) = told else { continue };
            for (layer, cost) in layers.iter().zip(&response.costs) {
                costs[layer.stage] = Some(cost / self.widths[layer.stage].max(1) as f64);
            }
        }
        let known = costs.iter().flatten();
        let unit = known.clone().map(|c: &f64| c.abs()).sum::<f64>() / known.count().max(1) as f64;
        let costs: Vec<Option<f64>> = costs.iter().map(|c| c.map(|c| c / unit)).collect();
        learned(before, &costs, self.method.scale_rate)
    }

    /// The step with the scales that follow it; a natural one is multiplied by the squares of those that it was found with.
    fn scaled(&self, mut step: Next, before: &[f32], next: Vec<f32>) -> Next {
        let Next::Step(Outcome { direction: Some(direction), .. }) = &mut step else { return step };
        direction.streams.set_scales(next);
        if self.method.scales == Scales::Natural {
            // A tensor of several stages goes with the first of them.
            for (stage, tensors) in self.tensors.iter().enumerate() {
                let factor = scale_of(before, stage).powi(2);
                let first = |tensor: &&usize| !self.tensors[..stage].iter().any(|of| of.contains(*tensor));
                for tensor in tensors.iter().filter(first) {
                    let own = direction.tensors[*tensor].iter_mut().flatten();
                    own.for_each(|d| *d *= factor);
                }
            }
        }
        step
    }
}

impl Rule for SiteRule {
    fn check(&self, graph: &Graph, rows: usize) -> Result<()> {
        self.method.check(graph.stages(), rows)?;
        if self.stages.iter().all(|stage| self.layer(*stage, &[]).is_none()) {
            return Err(misfit("directions", "at least 1 for a layer whose rate is not 0", 0));
        }
        Ok(())
    }

    /// All stages at once; with focus the last one, whose derivatives tell which samples the others are probed with.
    fn ask(&self, state: &State, clock: &Clock) -> Result<ProbePlan> {
        let mut questions = self.questions(clock, state.streams().scales());
        let first = questions.swap_remove(0);
        Ok(ProbePlan::Sites(self.plan(clock, first, None, !questions.is_empty())))
    }

    fn tell(&self, state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
        let mut questions = self.questions(clock, state.streams().scales());
        if told.len() < questions.len()
            && let (Some(Told::Response(first)), Some(count)) = (told.first(), self.focused(clock.batch))
        {
            let focus = Focus::choose(&first.norms, count, state.key(), clock.step as u32);
            let rest = questions.swap_remove(1);
            return Ok(Next::Ask(ProbePlan::Sites(self.plan(clock, rest, Some(focus), false)), told));
        }
        if self.method.scales == Scales::Fixed {
            return step_down(state, clock, told);
        }
        let next = self.learned(state, clock, &told);
        let step = step_down(state, clock, told)?;
        Ok(self.scaled(step, state.streams().scales(), next))
    }

    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        let mut spent = whole_passes(graph, 1, clock.batch as u64);
        for (part, layers) in self.questions(clock, &[]).into_iter().enumerate() {
            let rows = if part == 0 { clock.batch } else { self.focused(clock.batch).unwrap_or(clock.batch) };
            spent += self.plan(clock, layers, None, false).cost(graph, rows);
        }
        spent
    }
}
