//! Coordinate space: one number of one tensor after the other, each visited once in a cycle.

use crate::noise::{Family, Role, RunKey};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows of the training data that the normalisations before a visited stage take their statistics from.
pub const STATISTICS_ROWS: usize = 2000;

/// How losses are found where one number changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recompute {
    /// What the change cannot reach is kept: one channel of the layer, one channel's share of the next, all above.
    #[default]
    Changed,
    /// Everything from the layer on: the same losses to the bit, for comparison.
    Dense,
}

/// The visits of one step: to all numbers that lead to one output of a layer, or to one vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoordinatePlan {
    /// The stage that the tensor belongs to.
    pub stage: usize,
    /// The tensor, by its place among the params.
    pub tensor: usize,
    /// The elements that are visited.
    pub elements: Range<usize>,
    /// Visits that the stage had before in this cycle.
    pub before: usize,
    /// The cycle, counted from 0.
    pub cycle: u32,
    /// The standard deviation of a change.
    pub sigma: f32,
    /// What a number is multiplied by when it is visited: one less the weight decay.
    pub keep: f32,
    /// Samples of one evaluation.
    pub batch: usize,
    /// Visits that share a batch; only the first of them evaluates the number as it is.
    pub hold: usize,
    /// How losses are found.
    pub recompute: Recompute,
}

/// What the visits of one step led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// −1, 0 or 1 for each element, in the order of elements: its change was taken away, left alone, or added.
    pub choices: Vec<i8>,
    /// The mean of the losses that were accepted.
    pub loss: f32,
    /// Losses that were not finite.
    pub non_finite: u64,
}

/// The changes `σ z` of the elements `elements` of the tensor called `name` in a cycle, each rounded once.
pub fn changes(key: &RunKey, name: &str, cycle: u32, elements: Range<usize>, sigma: f32) -> Vec<f32> {
    let mut all = vec![0.0; elements.len()];
    key.tensor(Role::Coordinate, name).at(cycle, 0).fill(Family::Normal, elements.start as u64, &mut all);
    all.iter_mut().for_each(|z| *z *= sigma);
    all
}

/// A number after its visit: decayed, and its change added, taken away or left alone. Two roundings.
#[must_use]
pub fn moved(w: f32, keep: f32, change: f32, choice: i8) -> f32 {
    let kept = w * keep;
    match choice {
        0 => kept,
        1.. => kept + change,
        _ => kept - change,
    }
}
