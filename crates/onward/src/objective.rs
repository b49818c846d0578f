//! Objectives: a forward pass becomes losses; lower is better, always.

use crate::choices;
use crate::dataset::Targets;
use crate::kernel::{ENTROPY_ROWS, cross_entropy};
use crate::model::Act;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// Rows of an evaluation lie over the samples of a batch again and again: row `r` answers sample `first + r % count`.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    /// The batch's targets.
    pub targets: &'a Targets,
    /// The first sample that the rows answer.
    pub first: usize,
    /// How many samples they answer before they begin again.
    pub count: usize,
}

impl Answers<'_> {
    fn sample(self, row: usize) -> usize {
        self.first + row % self.count
    }
}

/// A loss that every sample has alone: what activation-space methods need.
pub trait PerSample: Send + Sync {
    /// That rows of `outputs` numbers can answer `targets`: asked where data and model meet.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming what cannot be answered.
    fn check(&self, outputs: usize, targets: &Targets) -> Result<()> {
        let _ = (outputs, targets);
        Ok(())
    }

    /// Writes the loss of each row of `outputs` to `losses`.
    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]);
}

/// A metric that only a whole batch has (a rank correlation, an F1, a simulator's score).
pub trait WholeBatch: Send + Sync {
    /// As [`PerSample::check`].
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming what cannot be answered.
    fn check(&self, outputs: usize, targets: &Targets) -> Result<()> {
        let _ = (outputs, targets);
        Ok(())
    }

    /// The loss of one batch.
    fn loss(&self, outputs: &Act, answers: Answers<'_>) -> f32;
}

/// What is minimised.
#[derive(Clone)]
pub enum Objective {
    /// One loss per sample.
    PerSample(Arc<dyn PerSample>),
    /// One loss per batch.
    WholeBatch(Arc<dyn WholeBatch>),
}

impl Objective {
    /// That rows of `outputs` numbers can answer `targets`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming what cannot be answered.
    pub fn check(&self, outputs: usize, targets: &Targets) -> Result<()> {
        match self {
            Self::PerSample(objective) => objective.check(outputs, targets),
            Self::WholeBatch(objective) => objective.check(outputs, targets),
        }
    }
}

choices! {
    /// The loss of one sample. Squared errors are halved; for classes they are those to the one-hot vector.
    pub enum Loss default CrossEntropy {
        /// The negative log-probability of the right class.
        CrossEntropy = "cross-entropy",
        /// 0 if the class is right, 1 if it is wrong.
        ZeroOne = "zero-one",
        /// The squared distance to the target.
        SquaredError = "squared-error",
    }
}

impl PerSample for Loss {
    fn check(&self, outputs: usize, targets: &Targets) -> Result<()> {
        match targets {
            Targets::Classes { labels, .. } => {
                let Some(row) = labels.iter().position(|l| *l as usize >= outputs) else { return Ok(()) };
                let expected = format!("a class that one of the model's {outputs} outputs stands for");
                let place = format!("label of row {row}");
                Err(Error::expected(ErrorKind::Data, place, expected, labels[row]))
            }
            Targets::Values { width, .. } if *width != outputs => {
                let expected = format!("{outputs} values a row, as many as the model's outputs");
                Err(Error::expected(ErrorKind::Data, "targets", expected, width))
            }
            Targets::Values { .. } => Ok(()),
        }
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) {
        let width = outputs.width();
        match (self, answers.targets) {
            (Self::CrossEntropy, Targets::Classes { labels, .. }) => {
                let label = |row| labels[answers.sample(row)] as usize;
                for (block, losses) in losses.chunks_mut(ENTROPY_ROWS).enumerate() {
                    let first = block * ENTROPY_ROWS;
                    let rows = &outputs.data[first * width..(first + losses.len()) * width];
                    let mut own = [0f32; ENTROPY_ROWS];
                    for (i, o) in own.iter_mut().enumerate().take(losses.len()) {
                        *o = rows[i * width + label(first + i)];
                    }
                    cross_entropy(rows, width, &own, losses);
                }
            }
            (Self::ZeroOne, Targets::Classes { labels, .. }) => {
                for (row, loss) in losses.iter_mut().enumerate() {
                    let right = argmax(outputs.row(row)) == Some(labels[answers.sample(row)] as usize);
                    *loss = if right { 0.0 } else { 1.0 };
                }
            }
            (Self::SquaredError, Targets::Classes { labels, .. }) => {
                for (row, loss) in losses.iter_mut().enumerate() {
                    let label = labels[answers.sample(row)] as usize;
                    *loss = squares(outputs.row(row), |j| if j == label { 1.0 } else { 0.0 });
                }
            }
            (_, Targets::Values { values, width: n }) => {
                for (row, loss) in losses.iter_mut().enumerate() {
                    let target = &values[answers.sample(row) * n..][..*n];
                    *loss = squares(outputs.row(row), |j| target[j]);
                }
            }
        }
    }
}

fn squares(row: &[f32], target: impl Fn(usize) -> f32) -> f32 {
    row.iter().enumerate().fold(0.0, |s, (j, v)| s + (v - target(j)) * (v - target(j))) * 0.5
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_agree_with_their_definitions() {
        let rows = 19;
        let data: Vec<f32> = (0..rows * 3).map(|i| ((i * 37) % 23) as f32 / 5.0 - 2.0).collect();
        let outputs = Act::new(rows, [1, 1, 3], data);
        let targets = Targets::Classes { labels: (0..5).map(|i| i % 3).collect(), classes: 3 };
        let answers = Answers { targets: &targets, first: 1, count: 4 };
        let mut losses = vec![0.0; rows];
        for loss in [Loss::CrossEntropy, Loss::ZeroOne, Loss::SquaredError] {
            loss.losses(&outputs, answers, &mut losses);
            for (r, found) in losses.iter().enumerate() {
                let x: Vec<f64> = outputs.row(r).iter().map(|v| f64::from(*v)).collect();
                let label = (1 + r % 4) % 3;
                let want = match loss {
                    Loss::CrossEntropy => x.iter().map(|v| (v - x[label]).exp()).sum::<f64>().ln(),
                    Loss::ZeroOne => f64::from(u8::from(x.iter().any(|v| *v > x[label]))),
                    Loss::SquaredError => {
                        x.iter()
                            .enumerate()
                            .map(|(j, v)| (v - f64::from(u8::from(j == label))).powi(2))
                            .sum::<f64>()
                            / 2.0
                    }
                };
                assert!((f64::from(*found) - want).abs() < 1e-5, "{loss:?} row {r}: {found} {want}");
            }
        }
    }

    #[test]
    fn nan_is_never_a_good_answer() {
        let outputs = Act::new(1, [1, 1, 2], vec![f32::NAN, 1.0]);
        let targets = Targets::Classes { labels: vec![1], classes: 2 };
        let answers = Answers { targets: &targets, first: 0, count: 1 };
        let mut loss = [0.0];
        Loss::CrossEntropy.losses(&outputs, answers, &mut loss);
        assert!(loss[0].is_nan());
        Loss::ZeroOne.losses(&outputs, answers, &mut loss);
        assert_eq!(loss[0], 1.0);
    }
}
