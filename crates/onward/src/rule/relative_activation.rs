//! Relative loss per sample at the layers' outputs: the notebook's idea in its strongest known form.
//!
//! Every sample is its own experiment: noise at one stage's output, the stages above run again from cached clean
//! activations, and the response credits the noise (see [`crate::space`]); the step on a weight is `Σ ĝ xᵀ`. A layer whose
//! weights are fewer than its outputs' dimensions can be probed by low-rank noise of each sample's own instead.

use super::{At, Outcome, PIECE, misfit, signal_to_noise};
use crate::Result;
use crate::evaluate::{Batch, Evaluator, check_sigma};
use crate::ledger::Update;
use crate::model::Model;
use crate::noise::Family;
use crate::params::Params;
use crate::space::{ActivationPlan, Directions, LayerPlan, LayerSpace};
use crate::threads::prelude::*;
use serde::{Deserialize, Serialize};

/// Which layers a step estimates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// All, from the same clean pass.
    #[default]
    Together,
    /// One per step, from the last to the first.
    InTurn,
}

/// The relative-activation method.
#[derive(Clone, Debug, PartialEq)]
pub struct RelativeActivation {
    /// The size of the perturbation, for each layer or one for all.
    pub sigma: Vec<f32>,
    /// Antithetic pairs per sample, for each layer or one for all; 0 leaves a layer as it began.
    pub directions: Vec<u32>,
    /// Where probes act, for each layer or one for all.
    pub spaces: Vec<LayerSpace>,
    /// How a sample's directions relate.
    pub draws: Directions,
    /// Which layers a step estimates.
    pub order: Order,
    /// The distribution of independent directions and low-rank factors.
    pub noise: Family,
    /// The share of a batch's samples that all layers but the last are probed with, chosen by how much they have to teach
    /// ([`crate::space::Focus`]); 1 for all.
    pub focus: f32,
    /// How many layers there are.
    pub layers: usize,
}

fn of<T: Copy>(list: &[T], layer: usize) -> T {
    list[if list.len() == 1 { 0 } else { layer }]
}

impl RelativeActivation {
    pub(super) fn check(&self, model: &dyn Model, rows: usize) -> Result<()> {
        let layers = model.stages();
        let one_or_each = |key: &str, n: usize| {
            if n == 1 || n == layers {
                Ok(())
            } else {
                Err(misfit(key, format!("one entry, or one for each of {layers} layers"), n))
            }
        };
        one_or_each("sigma", self.sigma.len())?;
        one_or_each("directions", self.directions.len())?;
        one_or_each("space", self.spaces.len())?;
        if self.layers != layers {
            return Err(misfit("layers", layers, self.layers));
        }
        if self.directions.iter().all(|d| *d == 0) {
            return Err(misfit("directions", "at least one layer with at least 1", 0));
        }
        if !(self.focus > 0.0 && self.focus <= 1.0) {
            return Err(misfit("focus", "a share in 0..=1, not 0", self.focus));
        }
        let answer = (of(&self.spaces, layers - 1), of(&self.directions, layers - 1));
        let chosen_by = answer.0 == LayerSpace::Activation && answer.1 > 0 && self.order == Order::Together;
        if self.focus < 1.0 && !(chosen_by && self.spaces.iter().all(|s| *s == LayerSpace::Activation)) {
            let expected = "1, unless all layers are probed together in activation space, the last with at least 1 direction";
            return Err(misfit("focus", expected, self.focus));
        }
        // Each sample's noise has a number of its own, where orthogonal directions are not all there are.
        if let Some(d) = self.directions.iter().find(|d| rows as u64 * u64::from(**d) > u64::from(u32::MAX)) {
            return Err(misfit("directions", format!("below 2^32 with all {rows} samples of a batch"), d));
        }
        if rows < 2 {
            return Err(misfit("batch", "at least 2 samples", rows));
        }
        check_sigma(&self.sigma)
    }

    pub(super) fn plan(&self, step: u32, model: &dyn Model) -> ActivationPlan {
        let stages = match self.order {
            Order::Together => 0..self.layers,
            Order::InTurn => {
                let stage = self.layers - 1 - step as usize % self.layers;
                stage..stage + 1
            }
        };
        let layer = |stage| {
            let space = of(&self.spaces, stage);
            // There are no more orthogonal directions than these; all of them give the exact derivative.
            let all = match (space, self.draws) {
                (LayerSpace::Activation, Directions::Orthogonal | Directions::Blocks) => {
                    u32::try_from(model.width(stage).next_power_of_two()).unwrap_or(u32::MAX)
                }
                _ => u32::MAX,
            };
            LayerPlan {
                stage,
                space,
                pairs: of(&self.directions, stage).min(all),
                sigma: of(&self.sigma, stage),
            }
        };
        let layers = stages.map(layer).filter(|l| l.pairs > 0).collect();
        ActivationPlan { step, layers, directions: self.draws, noise: self.noise, focus: self.focus }
    }

    pub(super) fn run(
        &self,
        evaluator: &dyn Evaluator,
        params: &Params,
        batch: &Batch,
        at: At,
    ) -> Result<Outcome> {
        let plan = self.plan(at.step, evaluator.model());
        let response = evaluator.derivative(&at.key, params, batch, &plan)?;
        let halves = response.derivative.iter().flatten().map(|[a, b]| (a.as_slice(), b.as_slice()));
        let signal_to_noise = signal_to_noise(halves);
        let factor = at.factor();
        let direction = |halves: [Vec<f32>; 2]| {
            let [mut a, b] = halves;
            let pieces = a.par_chunks_mut(PIECE).zip(b.par_chunks(PIECE));
            pieces.for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a = -factor * (*a + b)));
            a
        };
        let update = Update::Direction(response.derivative.into_iter().map(|t| t.map(direction)).collect());
        Ok(Outcome { loss: response.loss, update, non_finite: response.non_finite, signal_to_noise })
    }
}
