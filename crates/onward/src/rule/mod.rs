//! Rules turn losses into steps; a method is a space, a rule and their schedules.

mod population;
mod relative_activation;
mod rso;
mod schedule;
mod search;
mod shaping;
mod two_point;

pub use population::{Pairing, Population, Shaping};
pub use relative_activation::{Order, RelativeActivation};
pub(crate) use rso::visit;
pub use rso::{LayerOrder, Rso, Sweep};
pub use schedule::{Anneal, Schedule};
pub use shaping::{centred_ranks, quantise, z_scores};
pub use two_point::TwoPoint;

use crate::evaluate::{Batch, Evaluator, MemberLosses, Spent, mean};
use crate::kernel::second_moments;
use crate::ledger::{Optimizer, Recipe, Scaling, Search, State, Update};
use crate::model::{Model, WeightSpace};
use crate::noise::RunKey;
use crate::params::{Params, Storage};
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Place, Result};

/// What one step of a method gave.
pub struct Outcome {
    /// The loss that the step saw.
    pub loss: f32,
    /// What moves the params.
    pub update: Update,
    /// Losses that were not finite.
    pub non_finite: u64,
    /// Signal to noise of the estimate: `c / (1 − c)` for the cosine `c` of two halves' estimates, if there are halves.
    pub signal_to_noise: Option<f32>,
}

/// The methods that specs can name.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Low-rank space, a population of members.
    Population(Population),
    /// Dense space, symmetric differences.
    TwoPoint(TwoPoint),
    /// Activation space, relative loss per sample.
    RelativeActivation(RelativeActivation),
    /// Whole sets of params, by a strategy.
    Search(Search),
    /// Coordinate space, one weight after the other.
    Rso(Rso),
}

impl Method {
    /// The name in specs and ledgers.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Population(_) => "population",
            Self::TwoPoint(_) => "two-point",
            Self::RelativeActivation(_) => "relative-activation",
            Self::Search(s) => s.name(),
            Self::Rso(_) => "rso",
        }
    }

    /// Where probes act; `None` for activation space and searches.
    pub fn space(&self) -> Option<WeightSpace> {
        match self {
            Self::Population(p) => Some(p.space()),
            Self::TwoPoint(t) => Some(t.space()),
            Self::RelativeActivation(_) | Self::Search(_) => None,
            Self::Rso(_) => Some(WeightSpace::Coordinate),
        }
    }

    /// What entries of this method mean.
    pub fn recipe(&self, optimizer: Optimizer, storage: Storage) -> Recipe {
        Recipe { space: self.space(), optimizer, storage }
    }

    /// The state of a run before its first step.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if a search cannot begin: see [`State::searching`].
    pub fn begin(
        &self,
        params: Params,
        optimizer: Optimizer,
        storage: Storage,
        key: RunKey,
    ) -> Result<State> {
        match self {
            Self::Search(search) => State::searching(params, search, storage, key),
            _ => Ok(State::new(params, self.recipe(optimizer, storage), key)),
        }
    }

    /// Checks that the method can train this model on batches of `rows`.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] saying which key does not fit.
    pub fn check(&self, model: &dyn Model, rows: usize) -> Result<()> {
        match self {
            Self::Population(p) => p.check(rows),
            Self::TwoPoint(t) => t.check(),
            Self::RelativeActivation(r) => r.check(model, rows),
            // Its state checks it: that needs the params.
            Self::Search(_) => Ok(()),
            Self::Rso(r) => r.check(model),
        }
    }

    /// Refuses momentum and scaling where steps are choices between values.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] naming the key.
    pub fn check_optimizer(&self, optimizer: Optimizer) -> Result<()> {
        match self {
            Self::Rso(_) if optimizer.momentum != 0.0 => {
                Err(misfit("momentum", "0: a weight takes one of three values", optimizer.momentum))
            }
            Self::Rso(_) if optimizer.scaling != Scaling::None => {
                Err(misfit("scaling", "none: a weight takes one of three values", "adam"))
            }
            _ => Ok(()),
        }
    }

    /// One step: probes, losses, update. Nothing is changed. With [`Scaling::None`] the update includes `rate`.
    ///
    /// # Errors
    /// Those of the evaluator; [`ErrorKind::Spec`] for a search, whose step follows from its state ([`Method::step_of`]).
    pub fn step(&self, evaluator: &dyn Evaluator, params: &Params, batch: &Batch, at: At) -> Result<Outcome> {
        match self {
            Self::Population(p) => p.run(evaluator, params, batch, at),
            Self::TwoPoint(t) => t.run(evaluator, params, batch, at),
            Self::RelativeActivation(r) => r.run(evaluator, params, batch, at),
            Self::Rso(r) => r.run(evaluator, params, batch, at),
            Self::Search(s) => Err(misfit("name", "a method whose step follows from params alone", s.name())),
        }
    }

    /// One step of a run from its state, whose key, step and optimizer it is taken with: as [`Method::step`], for searches as
    /// well.
    ///
    /// # Errors
    /// Those of the evaluator.
    pub fn step_of(
        &self,
        evaluator: &dyn Evaluator,
        state: &State,
        batch: &Batch,
        rate: f32,
    ) -> Result<Outcome> {
        let (key, step, scaling) = (*state.key(), state.step() as u32, state.recipe().optimizer.scaling);
        let at = At { key, step, rate, scaling };
        match state.candidates() {
            Some(points) => Search::run(evaluator, state.params(), points, batch, at.step),
            None => self.step(evaluator, state.params(), batch, at),
        }
    }

    /// What a step costs, if that follows from the batch alone: [`Sweep::cost`] tells it of visits, the number of losses of a
    /// search.
    pub fn cost(&self, model: &dyn Model, step: u32, rows: usize) -> Option<Spent> {
        match self {
            Self::Population(p) => Some(p.plan(step).cost(model, rows)),
            Self::TwoPoint(t) => Some(t.plan(step).cost(model, rows)),
            Self::RelativeActivation(r) => Some(r.plan(step, model).cost(model, rows)),
            Self::Rso(_) | Self::Search(_) => None,
        }
    }

    /// The steps of a cycle of visits to all weights of a model with inputs of the given shape, for methods that go round.
    ///
    /// # Errors
    /// As for [`Sweep::new`].
    pub fn sweep(&self, model: &dyn Model, shape: [usize; 3]) -> Result<Option<Sweep>> {
        if let Self::Rso(rso) = self { Sweep::new(rso, model, shape).map(Some) } else { Ok(None) }
    }
}

/// Whose noise a step looks along, when it happens and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// The run's key.
    pub key: RunKey,
    /// The step, counted from 0.
    pub step: u32,
    /// The learning rate.
    pub rate: f32,
    /// Whether the optimizer rescales: then directions do not include the rate.
    pub scaling: Scaling,
}

impl At {
    /// What directions are multiplied by.
    fn factor(self) -> f32 {
        if self.scaling == Scaling::None { self.rate } else { 1.0 }
    }
}

/// The step `Σᵢ values[i] · zᵢ` of a weight-space method, its values made integers, with the mean loss of all members.
fn step_along(found: &MemberLosses, values: &[f64], space: WeightSpace) -> Outcome {
    let (exponent, coefficients) = quantise(values, space.largest());
    Outcome {
        loss: mean(&found.losses),
        update: Update::Probes { exponent, coefficients },
        non_finite: found.non_finite,
        signal_to_noise: None,
    }
}

/// An error about a key of `[method]`.
fn misfit(key: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Spec, Place::key("method", key), expected, found)
}

/// Numbers that one task adds up; the same for any number of threads.
const PIECE: usize = 1 << 14;

/// `c / (1 − c)` for the cosine `c` between two estimates; 0 where they disagree.
pub(crate) fn signal_to_noise<'a>(halves: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> Option<f32> {
    let (mut dot, mut a, mut b) = (0f64, 0f64, 0f64);
    for (x, y) in halves {
        let pieces = x.par_chunks(PIECE).zip(y.par_chunks(PIECE));
        let moments: Vec<[f64; 3]> = pieces.map(|(x, y)| second_moments(x, y)).collect();
        for [xy, xx, yy] in moments {
            (dot, a, b) = (dot + xy, a + xx, b + yy);
        }
    }
    let cosine = dot / (a * b).sqrt();
    cosine.is_finite().then(|| (cosine.max(0.0) / (1.0 - cosine).max(1e-6)) as f32)
}
