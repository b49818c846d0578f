//! What a step leaves behind.

use crate::space::{CoordinatePlan, Streams};
use serde::{Deserialize, Serialize};

/// One step, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The step, counted from 0.
    pub step: u64,
    /// The loss of the step: the mean over its probes, or the clean loss of its batch.
    pub loss: f32,
    /// The learning rate of the step.
    pub rate: f32,
    /// Losses that were not finite.
    pub non_finite: u64,
    /// The update that moves the params.
    pub update: Update,
}

/// The update that moves the params.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Update {
    /// `2^exponent · Σᵢ coefficients[i] · zᵢ`, `zᵢ` being the noise of member `i` at this step: complete in itself.
    Probes {
        /// The power of two that all coefficients are multiplied by.
        exponent: i8,
        /// One integer per direction.
        coefficients: Vec<i16>,
    },
    /// A [`Direction`], which is as large as the params and not kept: to be found again from params and data. Every few steps
    /// with the digest of the params after it.
    Rerun {
        /// The digest of the params after the step.
        digest: Option<[u8; 32]>,
    },
    /// The choices of visits to elements of one tensor: complete in itself.
    Choices(Visited),
    /// The losses of a search's generation, infinite where there was none: complete in itself.
    Losses(Vec<f32>),
    /// As [`Update::Probes`], where the sizes of perturbations are learned: complete in itself.
    Scaled {
        /// The power of two that all coefficients are multiplied by.
        exponent: i8,
        /// One integer per direction.
        coefficients: Vec<i16>,
        /// What the step of each tensor is multiplied by.
        factors: Vec<f32>,
        /// What the size of the noise on each tensor is multiplied by from the next step on.
        scales: Vec<f32>,
    },
}

/// What an entry with [`Update::Rerun`] stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// The direction of each tensor that moves.
    pub tensors: Vec<Option<Vec<f32>>>,
    /// What streams hand on to the next step; nothing where rows stand alone.
    pub streams: Streams,
}

impl From<Vec<Option<Vec<f32>>>> for Direction {
    fn from(tensors: Vec<Option<Vec<f32>>>) -> Self {
        Self { tensors, streams: Streams::default() }
    }
}

/// The choices of visits to a range of elements: each was multiplied by `keep`, and `σ z` was added, subtracted or neither.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Visited {
    /// The index of the tensor among the params.
    pub tensor: u32,
    /// The first element.
    pub first: u64,
    /// The cycle, which names the noise `z` together with the tensor and the element.
    pub cycle: u32,
    /// The standard deviation σ of a change.
    pub sigma: f32,
    /// The factor of each element: one minus the weight decay.
    pub keep: f32,
    /// The choice for each element: −1, 0 or 1.
    pub choices: Vec<i8>,
}

impl Visited {
    /// The choices that the visits of `plan` led to.
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

impl Update {
    /// Whether the update determines the new params by itself, without the data.
    pub fn is_complete(&self) -> bool {
        !matches!(self, Self::Rerun { .. })
    }
}
