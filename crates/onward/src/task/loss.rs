//! Losses of rows.

use super::{Answers, Meaning, Task};
use crate::dataset::Targets;
use crate::kernel::{ENTROPY_ROWS, cross_entropy, exp, sigmoid, softplus};
use crate::model::Act;
use crate::{Error, ErrorKind, Result};

/// The loss of one row. Squared errors are halved. Distances to classes are those to the one-hot vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// The negative log-probability of the right class: `ln Σ exp(xⱼ) − x_label`.
    CrossEntropy,
    /// 0 if the class is right, 1 if it is wrong.
    ZeroOne,
    /// Half the squared distance to the target.
    SquaredError,
    /// The sum of the distances to the target's numbers.
    AbsoluteError,
    /// The sum over the target's numbers of half the squared distance `d` up to `delta`, and of `delta·(|d| − delta/2)` beyond
    /// (Huber 1964).
    Huber {
        /// Where the loss begins to grow linearly, above 0.
        delta: f32,
    },
    /// The negative log-probability of several labels that hold or not, each output being one's log-odds:
    /// `Σ t·ln(1 + e⁻ˣ) + (1 − t)·ln(1 + eˣ)` for targets `t` in `0..=1`.
    SigmoidCrossEntropy,
}

/// The error about what a task cannot answer.
pub(super) fn refused(place: impl Into<crate::Place>, expected: impl Into<String>, found: String) -> Error {
    Error::expected(ErrorKind::Data, place, expected.into(), found)
}

/// That each class has an output of its own, or each number.
pub(super) fn check_width(outputs: usize, targets: &Targets) -> Result<()> {
    match targets {
        Targets::Classes { labels, .. } => {
            let Some(row) = labels.iter().position(|l| *l as usize >= outputs) else { return Ok(()) };
            let expected = format!("a class that one of the model's {outputs} outputs stands for");
            Err(refused(format!("label of row {row}"), expected, labels[row].to_string()))
        }
        Targets::Values { width, .. } if *width != outputs => {
            let expected = format!("{outputs} values a row, as many as the model's outputs");
            Err(refused("targets", expected, width.to_string()))
        }
        Targets::Values { .. } => Ok(()),
    }
}

impl Loss {
    /// Which kind of targets it is for; a distance is for both.
    fn check_kind(self, targets: &Targets) -> Result<()> {
        match (self, targets) {
            (Self::CrossEntropy | Self::ZeroOne, Targets::Values { .. }) => {
                Err(refused("targets", "classes, of which one is right", "values".into()))
            }
            (Self::SigmoidCrossEntropy, Targets::Classes { .. }) => {
                Err(refused("targets", "a number from 0 to 1 for each output", "classes".into()))
            }
            (Self::SigmoidCrossEntropy, Targets::Values { values, width }) => {
                let Some(at) = values.iter().position(|t| !(0.0..=1.0).contains(t)) else { return Ok(()) };
                let place = format!("target of row {}", at / width);
                Err(refused(place, "a number from 0 to 1", values[at].to_string()))
            }
            _ => Ok(()),
        }
    }

    /// The sum over a row's outputs of what each is away from its target.
    fn distance(self, row: &[f32], target: impl Fn(usize) -> f32) -> f32 {
        match self {
            Self::AbsoluteError => sum(row, target, |x, t| (x - t).abs()),
            Self::Huber { delta } => sum(row, target, |x, t| {
                let d = (x - t).abs();
                // What is not a number stays one.
                if d <= delta { 0.5 * d * d } else { delta * (d - 0.5 * delta) }
            }),
            Self::SigmoidCrossEntropy => sum(row, target, |x, t| match x.is_nan() {
                true => x,
                false => t * softplus(-x) + (1.0 - t) * softplus(x),
            }),
            _ => sum(row, target, |x, t| (x - t) * (x - t)) * 0.5,
        }
    }
}

fn sum(row: &[f32], target: impl Fn(usize) -> f32, of: impl Fn(f32, f32) -> f32) -> f32 {
    row.iter().enumerate().fold(0.0, |sum, (j, x)| sum + of(*x, target(j)))
}

impl Task for Loss {
    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        self.check_kind(answers.targets)?;
        check_width(outputs, answers.targets)
    }

    fn meaning(&self) -> Meaning {
        match self {
            Self::CrossEntropy | Self::SigmoidCrossEntropy => Meaning::Logits,
            Self::ZeroOne => Meaning::Scores,
            Self::SquaredError | Self::AbsoluteError | Self::Huber { .. } => Meaning::Values,
        }
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        match (self, answers.targets) {
            (Self::CrossEntropy, Targets::Classes { labels, .. }) => {
                let class = |row| labels[answers.sample(row)] as usize;
                entropies(&outputs.data, outputs.width(), class, losses);
            }
            (Self::ZeroOne, Targets::Classes { labels, .. }) => {
                for (row, loss) in losses.iter_mut().enumerate() {
                    let right = argmax(outputs.row(row)) == Some(labels[answers.sample(row)] as usize);
                    *loss = if right { 0.0 } else { 1.0 };
                }
            }
            (_, Targets::Classes { labels, .. }) => {
                for (row, loss) in losses.iter_mut().enumerate() {
                    let label = labels[answers.sample(row)] as usize;
                    *loss = self.distance(outputs.row(row), |j| if j == label { 1.0 } else { 0.0 });
                }
            }
            (_, Targets::Values { values, width }) => {
                for (row, loss) in losses.iter_mut().enumerate() {
                    let target = &values[answers.sample(row) * width..][..*width];
                    *loss = self.distance(outputs.row(row), |j| target[j]);
                }
            }
        }
        Ok(())
    }

    fn derivative(&self, outputs: &Act, answers: Answers<'_>, by_outputs: &mut [f32]) -> bool {
        if !matches!(self, Self::CrossEntropy | Self::SquaredError | Self::SigmoidCrossEntropy) {
            return false;
        }
        by_outputs.copy_from_slice(outputs.data());
        for (row, own) in by_outputs.chunks_exact_mut(outputs.width()).enumerate() {
            let sample = answers.sample(row);
            match (self, answers.targets) {
                (Self::CrossEntropy, Targets::Classes { labels, .. }) => {
                    entropy_by_outputs(own, labels[sample] as usize);
                }
                (Self::SquaredError, Targets::Classes { labels, .. }) => own[labels[sample] as usize] -= 1.0,
                (_, Targets::Values { values, width }) => {
                    let target = &values[sample * width..][..*width];
                    if *self == Self::SigmoidCrossEntropy {
                        own.iter_mut().for_each(|v| *v = sigmoid(*v));
                    }
                    own.iter_mut().zip(target).for_each(|(v, t)| *v -= t);
                }
                _ => return false,
            }
        }
        true
    }
}

/// `x`, numbers of one answer, become the derivative of its cross-entropy by them: the probabilities, less 1 at the label.
pub(super) fn entropy_by_outputs(x: &mut [f32], label: usize) {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|v| *v = exp(*v - largest));
    let sum = x.iter().fold(0.0, |sum, v| sum + v);
    x.iter_mut().for_each(|v| *v /= sum);
    x[label] -= 1.0;
}

/// The cross-entropy of each `width` numbers of `all`, many side by side.
pub(super) fn entropies(all: &[f32], width: usize, label: impl Fn(usize) -> usize, losses: &mut [f32]) {
    for (block, losses) in losses.chunks_mut(ENTROPY_ROWS).enumerate() {
        let first = block * ENTROPY_ROWS;
        let rows = &all[first * width..(first + losses.len()) * width];
        let mut own = [0f32; ENTROPY_ROWS];
        for (i, o) in own.iter_mut().enumerate().take(losses.len()) {
            *o = rows[i * width + label(first + i)];
        }
        cross_entropy(rows, width, &own, losses);
    }
}

/// The first largest entry, or `None` if one is not a number.
pub fn argmax(row: &[f32]) -> Option<usize> {
    let mut best = 0;
    for (j, v) in row.iter().enumerate() {
        if v.is_nan() {
            return None;
        }
        if *v > row[best] {
            best = j;
        }
    }
    Some(best)
}
