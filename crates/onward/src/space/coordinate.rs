//! Coordinate space: one number of one tensor after the other, each visited once in a cycle.

use crate::noise::{Family, Role, RunKey};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The number of training rows that normalisations before a visited stage take their statistics from.
pub const STATISTICS_ROWS: usize = 2000;

/// The visits of one step: to all weights of one output of a layer, or to one vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoordinatePlan {
    /// The stage that the tensor belongs to.
    pub stage: usize,
    /// The index of the tensor among the params.
    pub tensor: usize,
    /// The elements that are visited.
    pub elements: Range<usize>,
    /// The number of visits that the stage had before in this cycle.
    pub before: usize,
    /// The cycle, counted from 0.
    pub cycle: u32,
    /// The standard deviation of a change.
    pub sigma: f32,
    /// The factor of an element when it is visited: one minus the weight decay.
    pub keep: f32,
    /// Samples of one evaluation.
    pub batch: usize,
    /// The number of visits that share a batch; only the first of them evaluates the unchanged element.
    pub hold: usize,
}

/// The choices that the visits of one step led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// −1, 0 or 1 for each element, in the order of elements: its change was subtracted, dropped or added.
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

/// An element after its visit: decayed, and its change added, subtracted or dropped. Two roundings.
#[must_use]
pub fn moved(w: f32, keep: f32, change: f32, choice: i8) -> f32 {
    let kept = w * keep;
    match choice {
        0 => kept,
        1.. => kept + change,
        _ => kept - change,
    }
}

/// The decisions of one step's visits: a change is taken where it lowers the loss below all that was accepted on the same batch.
///
/// ```
/// use onward::space::Acceptance;
///
/// let mut decisions = Acceptance::default();
/// // The losses of staying, of going up and of going down.
/// assert_eq!(decisions.choose(false, &[0.5, 0.4, 0.6]), 1);
/// // The next visit on the same batch: those of going up and down, against what was accepted.
/// assert_eq!(decisions.choose(true, &[0.45, 0.3]), -1);
/// assert_eq!(decisions.loss(), 0.35);
/// ```
#[derive(Debug)]
pub struct Acceptance {
    accepted: f64,
    total: f64,
    visits: usize,
}

impl Default for Acceptance {
    fn default() -> Self {
        Self { accepted: f64::INFINITY, total: 0.0, visits: 0 }
    }
}

impl Acceptance {
    /// The options that a visit compares; where the batch is held from the visit before, the loss of no change is known.
    pub fn options(held: bool) -> &'static [i8] {
        if held { &[1, -1] } else { &[0, 1, -1] }
    }

    /// Chooses among the options, given the loss of each.
    pub fn choose(&mut self, held: bool, losses: &[f64]) -> i8 {
        if !held {
            self.accepted = f64::INFINITY;
        }
        let mut choice = 0;
        for (option, loss) in Self::options(held).iter().zip(losses) {
            if *loss < self.accepted {
                (choice, self.accepted) = (*option, *loss);
            }
        }
        (self.total, self.visits) = (self.total + self.accepted, self.visits + 1);
        choice
    }

    /// The mean of the losses that were accepted.
    pub fn loss(&self) -> f32 {
        (self.total / self.visits.max(1) as f64) as f32
    }
}
