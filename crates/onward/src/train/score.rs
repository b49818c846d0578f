//! Predictions and scores of params on data.

use super::guess::row_losses;
use crate::dataset::{Columns, Dataset, Targets};
use crate::evaluate::Local;
use crate::model::{Act, Carried, Statistics};
use crate::params::Params;
use crate::rows::Source;
use crate::task::{Answers, Grain, Head, Interval, Metric, Task, argmax, mean, mean_interval, scores};
use crate::{Error, ErrorKind, Result};
use std::ops::Range;

/// The score of params on data: loss, metric, accuracy, confusion and heads.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The mean loss; NaN where the task cannot tell it.
    pub loss: f32,
    /// The metric that is derived from the loss, if the task has one.
    pub metric: Option<Metric>,
    /// The share of correct answers, in 0..=1 (classification only).
    pub accuracy: Option<f32>,
    /// The confusion matrix: counts by `[truth][answer]` (classification only).
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Scores that people know, by name: `precision_macro`, `recall_macro`, `f1_macro`, `f1_second_class` (of two), `roc_auc`, `log_loss`, `calibration_error` of classes; `mae`, `rmse` and `r2` of values, in
    /// the units of the targets as prepared. Those that there are.
    pub measures: Vec<(String, f64)>,
    /// The score of each head under its name; empty where the task has one output.
    pub heads: Vec<(String, Score)>,
}

impl Score {
    /// All scores besides loss and accuracy, by name: the metric, and of each head, after its own name, loss, metric and accuracy.
    pub fn named(&self) -> impl Iterator<Item = (String, f32)> {
        let own = self.metric.iter().map(|metric| (metric.name.clone(), metric.value));
        let of_head = |(head, score): &(String, Self)| {
            let loss = Some(("loss".to_owned(), score.loss));
            let accuracy = score.accuracy.map(|accuracy| ("accuracy".to_owned(), accuracy));
            let all: Vec<_> = loss.into_iter().chain(score.named()).chain(accuracy).collect();
            all.into_iter().map(move |(name, value)| (format!("{head}_{name}"), value)).collect::<Vec<_>>()
        };
        own.chain(self.heads.iter().flat_map(of_head)).collect::<Vec<_>>().into_iter()
    }

    /// The measure of this name.
    pub fn measure(&self, name: &str) -> Option<f64> {
        self.measures.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

/// Rows that are evaluated at once outside training.
const EVALUATION_ROWS: usize = 1000;

/// The model's outputs on rows of features, `rows × outputs`.
///
/// # Errors
/// [`ErrorKind::Data`] if `features` are no whole rows; [`ErrorKind::Model`] if model, params, rows and statistics do not fit
/// together.
pub fn predict(
    evaluator: &Local,
    params: &Params,
    statistics: &[Statistics],
    features: &[f32],
    shape: [usize; 3],
) -> Result<Vec<f32>> {
    let width =
        shape.iter().try_fold(EVALUATION_ROWS, |n, axis| n.checked_mul(*axis)).unwrap_or(0) / EVALUATION_ROWS;
    if width == 0 || !features.len().is_multiple_of(width) {
        let expected = format!("whole rows of {shape:?}");
        return Err(Error::expected(
            ErrorKind::Data,
            "features",
            expected,
            format!("{} numbers", features.len()),
        ));
    }
    if features.is_empty() {
        return Ok(Vec::new());
    }
    evaluator.outputs_of_rows(
        params,
        features,
        shape,
        (EVALUATION_ROWS, 0),
        statistics,
        &mut Carried::default(),
    )
}

/// Scores `params` on `data`. There is an accuracy where every class has an output of its own.
///
/// # Errors
/// As for [`predict`], and [`ErrorKind::Data`] if the outputs cannot answer the targets.
pub fn score(
    evaluator: &Local,
    params: &Params,
    statistics: &[Statistics],
    data: &dyn Source,
) -> Result<Score> {
    examine(evaluator, params, statistics, data)?.score(evaluator)
}

/// What a model answers to all rows of some data, and what these should be answered with.
#[derive(Clone)]
pub struct Examined {
    /// The outputs, a row for each; rows without numbers where the task's scores are of losses alone ([`Task::scored_by_rows`]).
    pub outputs: Act,
    /// The loss of each row, where these were found with the outputs.
    pub losses: Option<Vec<f32>>,
    /// The targets.
    pub targets: Targets,
    /// The columns beside them.
    pub columns: Columns,
}

/// Answers all rows of `data` with `params`.
///
/// # Errors
/// As for [`score`].
pub fn examine(
    evaluator: &Local,
    params: &Params,
    statistics: &[Statistics],
    data: &dyn Source,
) -> Result<Examined> {
    let graph = evaluator.check_source(data)?;
    let (task, shape) = (evaluator.task(), evaluator.answer_shape(&graph));
    let at_once = if task.scored_by_rows() {
        (MOST_OUTPUTS / graph.outputs().max(1)).clamp(1, EVALUATION_ROWS)
    } else {
        EVALUATION_ROWS
    };
    let mut carried = Carried::default();
    let (mut outputs, mut losses) = (Vec::new(), Some(Vec::new()));
    let mut answered = |first: u64, rows: &Dataset| -> Result<()> {
        let width = rows.shape().iter().product::<usize>();
        for (part, features) in rows.features().chunks(at_once * width).enumerate() {
            let at = (at_once, first + (part * at_once) as u64);
            let own =
                evaluator.outputs_of_rows(params, features, rows.shape(), at, statistics, &mut carried)?;
            if !task.scored_by_rows() {
                outputs.extend(own);
                continue;
            }
            let count = features.len() / width;
            let own = Act::new(count, shape, own);
            let answers =
                Answers { first: part * at_once, count, ..Answers::all(rows.targets(), rows.columns()) };
            let mut each = vec![0.0; count];
            let known = task.of_rows(&own, answers, &mut each);
            losses = losses.take().filter(|_| known.is_ok()).map(|mut all| {
                all.extend(each);
                all
            });
        }
        Ok(())
    };
    let (targets, columns) = if let Some(all) = data.resident() {
        answered(0, all)?;
        (all.targets().clone(), all.columns().clone())
    } else {
        pieces(data, answered)?
    };
    if task.scored_by_rows() {
        return Ok(Examined {
            outputs: Act::new(data.rows(), [1, 1, 0], Vec::new()),
            losses,
            targets,
            columns,
        });
    }
    let outputs = Act::new(data.rows(), shape, outputs);
    // A program is asked but once.
    let mut each = vec![0.0; data.rows()];
    let asked = task.is_costly() && task.grain() != Grain::Batch;
    let known = asked.then(|| task.of_rows(&outputs, Answers::all(&targets, &columns), &mut each));
    let losses = known.filter(Result::is_ok).map(|_| each);
    Ok(Examined { outputs, losses, targets, columns })
}

/// Numbers of outputs that are in memory at once where losses are all that is wanted of them.
const MOST_OUTPUTS: usize = 1 << 24;

/// Looks at all rows of data that do not lie in memory, in pieces: their targets and columns.
fn pieces(
    data: &dyn Source,
    mut seen: impl FnMut(u64, &Dataset) -> Result<()>,
) -> Result<(Targets, Columns)> {
    let ids: Vec<u64> = (0..data.rows() as u64).collect();
    let mut before = None;
    for ids in ids.chunks(EVALUATION_ROWS) {
        let rows = data.read(ids)?;
        seen(ids[0], rows.data())?;
        let (_, targets, columns) = rows.into_parts().1.into_parts();
        before = Some(match before {
            None => (targets, columns),
            Some((first, beside)) => (Targets::joined(first, &targets)?, Columns::joined(beside, &columns)?),
        });
    }
    before.ok_or_else(|| Error::expected(ErrorKind::Data, "data", "at least one row", 0))
}

impl Examined {
    /// The 95 % interval of the mean loss, as of so many rows drawn from many more; `None` where rows have no losses of their own.
    pub fn loss_interval(&self, task: &dyn Task) -> Option<Interval> {
        let losses = self.row_losses(task);
        mean_interval(losses.iter().map(|v| f64::from(*v))).map(|(_, interval)| interval)
    }

    /// The loss of each row; none where rows have no losses of their own.
    pub(super) fn row_losses(&self, task: &dyn Task) -> Vec<f32> {
        match &self.losses {
            Some(losses) => losses.clone(),
            None => row_losses(task, &self.outputs, &self.targets, &self.columns),
        }
    }

    /// How good the answers are.
    ///
    /// # Errors
    /// As for [`score`].
    pub fn score(&self, evaluator: &Local) -> Result<Score> {
        let answers = Answers::all(&self.targets, &self.columns);
        let loss = match &self.losses {
            Some(losses) => Ok(mean(losses)),
            None if evaluator.task().scored_by_rows() => {
                Err(Error::expected(ErrorKind::Evaluator, "losses", "some that the task can tell", "none"))
            }
            None => evaluator.loss(&self.outputs, answers),
        };
        score_of(evaluator.task(), &self.outputs, answers, loss)
    }
}

/// How well outputs answer all of `answers`, row by row, with this loss.
fn score_of(task: &dyn Task, outputs: &Act, answers: Answers<'_>, loss: Result<f32>) -> Result<Score> {
    // Where the sum is not known, neither is what it is of.
    let heads = if loss.is_ok() { task.heads() } else { &[] };
    let loss = loss.unwrap_or(f32::NAN);
    let metric = task.metric(loss).filter(|_| !loss.is_nan());
    let each = |(head, range): &(Head, Range<usize>)| {
        let (own, wanted) = head.part(range, outputs, answers, true)?;
        let loss = head.task().of_batch(&own, wanted.answers());
        Ok((head.name().to_owned(), score_of(head.task(), &own, wanted.answers(), loss)?))
    };
    let heads = heads.iter().map(each).collect::<Result<Vec<_>>>()?;
    let mut measures = scores(task, outputs, answers, None);
    measures.extend(task.measures(outputs, answers));
    let score = Score { loss, metric, accuracy: None, confusion: None, measures, heads };
    let (rows, width) = (outputs.rows(), outputs.width());
    let Targets::Classes { labels, classes } = answers.targets else { return Ok(score) };
    if task.elbo().is_some() || !task.heads().is_empty() || labels.iter().any(|l| *l as usize >= width) {
        return Ok(score);
    }
    let classes = (*classes).max(width);
    let mut confusion = vec![vec![0; classes]; classes];
    let mut right = 0usize;
    for (row, label) in labels.iter().enumerate() {
        let answer = argmax(outputs.row(row));
        right += usize::from(answer == Some(*label as usize));
        confusion[*label as usize][answer.unwrap_or(0)] += 1;
    }
    let measures = scores(task, outputs, answers, Some(&confusion));
    let accuracy = Some(right as f32 / rows as f32);
    Ok(Score { accuracy, confusion: Some(confusion), measures, ..score })
}
