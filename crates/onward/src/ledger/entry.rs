//! What a step leaves behind.

use crate::space::CoordinatePlan;
use serde::{Deserialize, Serialize};

/// One step: everything that [`super::State::apply`] needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The step, counted from 0.
    pub step: u64,
    /// The loss that the step saw: the mean over its probes, or the clean loss of its batch.
    pub loss: f32,
    /// The learning rate of the step.
    pub rate: f32,
    /// Losses that were not finite.
    pub non_finite: u64,
    /// What moves the params.
    pub update: Update,
}

/// What moves the params.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// `2^exponent · Σᵢ coefficients[i] · zᵢ`, `zᵢ` being the noise of member `i` at this step: complete in itself.
    Probes {
        /// The power of two that all coefficients are multiplied by.
        exponent: i8,
        /// One integer per direction.
        coefficients: Vec<i16>,
    },
    /// One visit after the other to numbers of one tensor: complete in itself.
    Choices(Visited),
    /// One direction per tensor, from activations and data; not kept in the ledger.
    Direction(Vec<Option<Vec<f32>>>),
    /// The losses of a search's generation, infinite where there was none: complete in itself.
    Losses(Vec<f32>),
}

/// An [`Entry`] as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The step, counted from 0.
    pub step: u64,
    /// The loss that the step saw.
    pub loss: f32,
    /// The learning rate of the step.
    pub rate: f32,
    /// Losses that were not finite.
    pub non_finite: u64,
    /// What is kept of the update.
    pub update: UpdateRecord,
}

/// What the ledger keeps of an [`Update`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum UpdateRecord {
    /// The whole of it.
    Probes {
        /// The power of two that all coefficients are multiplied by.
        exponent: i8,
        /// One integer per direction.
        coefficients: Vec<i16>,
    },
    /// To be run again from params and data; every few steps with the digest of the params after it.
    Rerun {
        /// The digest of the params after the step.
        digest: Option<[u8; 32]>,
    },
    /// The whole of it.
    Choices(Visited),
    /// The losses of a search's generation.
    Losses(Vec<f32>),
}

/// What visits to a run of numbers led to: each was multiplied by `keep`, and `σ z` was added to it, taken away or neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visited {
    /// The tensor, by its place among the params.
    pub tensor: u32,
    /// The first element.
    pub first: u64,
    /// The cycle, which names the noise `z` together with the tensor and the element.
    pub cycle: u32,
    /// The standard deviation σ of a change.
    pub sigma: f32,
    /// What each number was multiplied by: one less the weight decay.
    pub keep: f32,
    /// −1, 0 or 1 for each element.
    pub choices: Vec<i8>,
}

impl Visited {
    /// What the visits of `plan` led to.
    pub fn new(plan: &CoordinatePlan, choices: Vec<i8>) -> Self {
        Self {
            tensor: plan.tensor as u32,
            first: plan.elements.start as u64,
            cycle: plan.cycle,
            sigma: plan.sigma,
            keep: plan.keep,
            choices,
        }
    }
}

impl Entry {
    /// What the ledger keeps; `digest` is that of the params after the step, where one is due.
    pub fn record(&self, digest: Option<[u8; 32]>) -> Record {
        let update = match &self.update {
            Update::Probes { exponent, coefficients } => {
                UpdateRecord::Probes { exponent: *exponent, coefficients: coefficients.clone() }
            }
            Update::Choices(visited) => UpdateRecord::Choices(visited.clone()),
            Update::Direction(_) => UpdateRecord::Rerun { digest },
            Update::Losses(losses) => UpdateRecord::Losses(losses.clone()),
        };
        Record { step: self.step, loss: self.loss, rate: self.rate, non_finite: self.non_finite, update }
    }
}

impl Record {
    /// The entry, if the record is complete in itself.
    pub fn entry(&self) -> Option<Entry> {
        let update = match &self.update {
            UpdateRecord::Probes { exponent, coefficients } => {
                Update::Probes { exponent: *exponent, coefficients: coefficients.clone() }
            }
            UpdateRecord::Losses(losses) => Update::Losses(losses.clone()),
            UpdateRecord::Choices(visited) => Update::Choices(visited.clone()),
            UpdateRecord::Rerun { .. } => return None,
        };
        Some(Entry { step: self.step, loss: self.loss, rate: self.rate, non_finite: self.non_finite, update })
    }
}
