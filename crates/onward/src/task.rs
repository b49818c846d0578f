//! Tasks: outputs of a forward pass become losses; lower is better, always.

mod batch;
mod elbo;
mod heads;
mod items;
mod loss;
mod ndcg;
mod quality;

pub use batch::{Auc, Average, F1};
pub use elbo::Elbo;
pub use heads::{Head, Heads};
pub use items::ItemCrossEntropy;
pub use loss::{Loss, argmax};
pub use ndcg::Ndcg;
pub(crate) use quality::scores;
pub use quality::{Interval, OfClass, confidences, macro_of, mean_interval, of_classes, wilson};

use crate::Result;
use crate::dataset::{Columns, Targets, WEIGHT};
use crate::model::Act;
use std::ops::Range;

/// What a batch's outputs are compared with. Rows of outputs lie over the samples of a batch again and again: row `r` answers sample
/// `first + r % count`.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    /// The batch's targets.
    pub targets: &'a Targets,
    /// The batch's columns.
    pub columns: &'a Columns,
    /// The samples' ids in their source; `None` where their places are their ids.
    pub ids: Option<&'a [u64]>,
    /// The first sample that the rows of outputs belong to.
    pub first: usize,
    /// The number of samples before the rows of outputs start over.
    pub count: usize,
}

impl<'a> Answers<'a> {
    /// The answers to all samples of `targets`, one row of outputs each.
    pub fn all(targets: &'a Targets, columns: &'a Columns) -> Self {
        Self { targets, columns, ids: None, first: 0, count: targets.rows() }
    }

    /// Those of the samples that `indices` name, in that order, copied.
    pub(crate) fn select(&self, indices: &[u32]) -> Wanted {
        Wanted { targets: self.targets.select(indices), columns: self.columns.select(indices) }
    }

    /// The id of a sample in its source.
    pub fn id(&self, sample: usize) -> u64 {
        self.ids.map_or(sample as u64, |ids| ids[sample])
    }

    /// The sample that a row of outputs answers.
    pub fn sample(&self, row: usize) -> usize {
        self.first + row % self.count
    }
}

/// Targets and columns of some samples, owned.
#[derive(Clone)]
pub struct Wanted {
    /// The targets, one per sample.
    pub targets: Targets,
    /// The columns beside the targets.
    pub columns: Columns,
}

impl Wanted {
    /// The answers to all samples in their order.
    pub fn answers(&self) -> Answers<'_> {
        Answers::all(&self.targets, &self.columns)
    }
}

/// What one loss of a [`Task`] belongs to: an item, a row or a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grain {
    /// An item: outputs of shape `[height, width, channels]` have `height × width` items a row. A row's loss is the mean of its
    /// items'.
    Item,
    /// A row.
    #[default]
    Row,
    /// A whole batch, whose rows have no losses of their own: no method that acts on activations can use it.
    Batch,
}

/// What a model's outputs are to a task, which says how scores read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    /// Larger ones speak for their class or label, and nothing else is known of them.
    #[default]
    Scores,
    /// Log-probabilities of classes up to a constant of the row, or log-odds of labels.
    Logits,
    /// The answers themselves.
    Values,
}

/// A metric that is derived from a task's loss, such as the F1 of the loss `1 − F1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// The metric's name, one word in lower case such as `f1`.
    pub name: String,
    /// The value of the metric.
    pub value: f32,
}

/// What a model is trained for: turns outputs into losses.
///
/// [`Task::check_all`] is asked once of training and of test rows, [`Task::check`] of every batch, whose errors end what was to be done;
/// then [`Task::losses`] for its outputs, clean and moved, whose errors leave losses out of the step. `losses` may assume that `check` has
/// passed and that `outputs` are all finite or not as the model made them. A loss of a row takes one method:
///
/// ```
/// use onward::model::Act;
/// use onward::task::{Answers, Task};
///
/// /// How far the first output is from 1.
/// struct One;
///
/// impl Task for One {
///     fn losses(&self, outputs: &Act, _: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
///         losses.iter_mut().enumerate().for_each(|(row, loss)| *loss = (outputs.row(row)[0] - 1.0).abs());
///         Ok(())
///     }
/// }
/// ```
///
/// It is called from many threads at once, for any rows in any order, as often as a method asks: losses have to follow from the
/// arguments alone for a run to have the same bits twice.
pub trait Task: Send + Sync {
    /// What one loss is of.
    fn grain(&self) -> Grain {
        Grain::Row
    }

    /// Checks that rows of `outputs` numbers can answer a batch: asked of every batch, before any of its losses.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] naming what cannot be answered.
    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        let _ = (outputs, answers);
        Ok(())
    }

    /// Checks that something can be learned from, or measured on, a whole data set that has passed [`Task::check`]: asked once of
    /// training and of test rows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] naming what is missing.
    fn check_all(&self, answers: Answers<'_>) -> Result<()> {
        let _ = answers;
        Ok(())
    }

    /// Writes the loss of each row of `outputs` to `losses`; of each item of each row, row after row, or the one loss of the batch
    /// where that is the grain. Sample weights are no concern of losses of rows and items: these are multiplied afterwards. A loss
    /// that is not finite is an answer, and the worst.
    ///
    /// # Errors
    /// What keeps these losses from being known. They are then left out of the step as if never answered, but where the probes act on
    /// activations or visit weights, where they count as not finite.
    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()>;

    /// Writes the share of a row's loss that each item of it has, row after row, so that those of a row add up to its loss, and returns true, where items have
    /// losses of their own; else returns false. Asked by methods that tell items apart, clean and moved.
    fn item_losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> bool {
        let _ = (outputs, answers, losses);
        false
    }

    /// Writes the derivative of each loss by the outputs that it is of, as they are laid out, and returns true, where that is known without any
    /// difference; else returns false, and the numbers stay as they are. Asked by methods that begin with it: where it is false they probe
    /// the outputs.
    fn derivative(&self, outputs: &Act, answers: Answers<'_>, by_outputs: &mut [f32]) -> bool {
        let _ = (outputs, answers, by_outputs);
        false
    }

    /// The parts of a task that is of several answers, each with the numbers of a row that are its own: scores tell how well each does.
    fn heads(&self) -> &[(Head, Range<usize>)] {
        &[]
    }

    /// What outputs are, for scores: asked after training, never by a method.
    fn meaning(&self) -> Meaning {
        Meaning::default()
    }

    /// Whether a loss takes so long, as one of a program's does, that none is asked for but those of steps and scores: what no features are needed
    /// for is not found out then.
    fn is_costly(&self) -> bool {
        false
    }

    /// What knows more of a variational bound than its losses, where the task is one.
    fn elbo(&self) -> Option<&Elbo> {
        None
    }

    /// Whether nothing but the loss of each row is looked at for scores: outputs, which may be as many as a language has tokens, are then not kept.
    fn scored_by_rows(&self) -> bool {
        false
    }

    /// Scores of whole answers beside loss and metric, by name: asked after training, never by a method.
    fn measures(&self, outputs: &Act, answers: Answers<'_>) -> Vec<(String, f64)> {
        let _ = (outputs, answers);
        Vec::new()
    }

    /// The number that people know the task by, if that is another than its loss.
    fn metric(&self, loss: f32) -> Option<Metric> {
        let _ = loss;
        None
    }
}

/// The mean, summed in f64 in the order given.
pub(crate) fn mean(losses: &[f32]) -> f32 {
    (losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len().max(1) as f64) as f32
}

/// Puts the worst finite loss where one is not finite, and counts these. `None` if there is none that is finite: then all stay as they are.
pub(crate) fn worst_for_others(losses: &mut [f32]) -> Option<u64> {
    let worst = losses.iter().copied().filter(|l| l.is_finite()).reduce(f32::max)?;
    let mut count = 0;
    for loss in losses.iter_mut().filter(|l| !l.is_finite()) {
        *loss = worst;
        count += 1;
    }
    Some(count)
}

impl<'a> dyn Task + 'a {
    /// The loss of each row times its sample weight, for tasks that have losses of rows.
    ///
    /// # Errors
    /// As for [`Task::losses`].
    pub fn of_rows(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        if self.grain() == Grain::Item {
            let items = outputs.points();
            let mut each = vec![0.0; losses.len() * items];
            self.losses(outputs, answers, &mut each)?;
            losses.iter_mut().zip(each.chunks_exact(items)).for_each(|(loss, items)| *loss = mean(items));
        } else {
            self.losses(outputs, answers, losses)?;
        }
        if let Some(weights) = answers.columns.get(WEIGHT) {
            for (row, loss) in losses.iter_mut().enumerate() {
                // What does not count is nothing, finite or not.
                let weight = weights[answers.sample(row)] as f32;
                *loss = if weight == 0.0 { 0.0 } else { *loss * weight };
            }
        }
        Ok(())
    }

    /// The loss of all rows together: the batch's own, or the mean of the rows'.
    ///
    /// # Errors
    /// As for [`Task::losses`].
    pub fn of_batch(&self, outputs: &Act, answers: Answers<'_>) -> Result<f32> {
        if self.grain() == Grain::Batch {
            let mut loss = [f32::NAN];
            self.losses(outputs, answers, &mut loss)?;
            return Ok(loss[0]);
        }
        let mut losses = vec![0.0; outputs.rows()];
        self.of_rows(outputs, answers, &mut losses)?;
        Ok(mean(&losses))
    }
}

#[cfg(test)]
mod tests;
