//! What answers that look at no features reach, and whether a model does better than that.

use super::score::{Examined, Score};
use crate::Result;
use crate::dataset::{Columns, Dataset, Targets, WEIGHT};
use crate::evaluate::Local;
use crate::model::{Act, Shape};
use crate::study::statistics::{mean, median};
use crate::task::{Answers, Grain, Head, Interval, Meaning, Task, Wanted, mean_interval, wilson};
use std::ops::Range;

/// Numbers of all outputs together, beyond which nobody guesses: vocabularies of long rows.
const MOST_NUMBERS: usize = 1 << 26;
/// A class that the training rows lack is taken to be as rare as this share of one row.
const UNSEEN: f64 = 0.5;

/// The best answer that is the same for every row, found on training rows alone, and what it reaches on test rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// What it is, such as `the commonest class`.
    pub what: &'static str,
    /// The guess's mean loss on the test rows.
    pub loss: f32,
    /// The commonest training class, where the targets are classes.
    pub class: Option<u32>,
    /// The share of test rows that are of that class.
    pub accuracy: Option<f32>,
    /// Its loss on each test row, where rows have losses.
    losses: Vec<f32>,
}

impl Guess {
    /// The guess for the rows that a run is tested on: of several constants (class frequencies, their logarithms, means, medians), the one with the
    /// least loss on the training rows. None where the task is of heads or too costly, or where no constant has a loss.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Model`] if the model does not take such rows.
    pub fn of(evaluator: &Local, train: &Dataset, test: &Dataset) -> Result<Option<Self>> {
        let (task, answer) = (evaluator.task(), evaluator.graph(train.shape())?.answer());
        if task.elbo().is_some() || !task.heads().is_empty() {
            return Ok(None);
        }
        let [train, test] = [train, test].map(|data| Answers::all(data.targets(), data.columns()));
        Ok(Self::among(task, answer, train, test))
    }

    /// The guess of each head, in their order, as [`Guess::of`] finds it for the head's own task; empty where the task has one output.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] if rows have no answers for a head.
    pub fn of_heads(task: &dyn Task, train: &Dataset, test: &Dataset) -> Result<Vec<Option<Self>>> {
        let of = |(head, range): &(Head, Range<usize>)| {
            let wanted =
                |data: &Dataset| head.wanted(range.len(), Answers::all(data.targets(), data.columns()), true);
            let (own, tested) = (wanted(train)?, wanted(test)?);
            Ok(Self::among(head.task(), [1, 1, range.len()], own.answers(), tested.answers()))
        };
        task.heads().iter().map(of).collect()
    }

    /// The best of the constant answers of this shape on training rows, and what it reaches on test rows.
    fn among(task: &dyn Task, answer: Shape, train: Answers<'_>, test: Answers<'_>) -> Option<Self> {
        let width: usize = answer.iter().product();
        if task.is_costly() || width.saturating_mul(train.count.max(test.count)) > MOST_NUMBERS {
            return None;
        }
        let lay = |constant: &[f32], rows: usize| Act::new(rows, answer, constant.repeat(rows));
        let loss = |constant: &[f32], answers: Answers<'_>| {
            task.of_batch(&lay(constant, answers.count), answers).unwrap_or(f32::NAN)
        };
        let told = constants(train, width);
        let told = told.into_iter().map(|(what, constant)| (loss(&constant, train), what, constant));
        let best = told.filter(|(loss, ..)| loss.is_finite()).min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, what, constant) = best?;
        let class = commonest(train.targets);
        let (outputs, own) = (lay(&constant, test.count), loss(&constant, test));
        let losses = row_losses(task, &outputs, test.targets, test.columns);
        // Where rows are only judged together, a model's answers need not be classes' scores.
        let accuracy =
            class.filter(|_| task.grain() != Grain::Batch).and_then(|class| share(test.targets, class));
        own.is_finite().then_some(Self { what, loss: own, class, accuracy, losses })
    }
}

/// The class of most rows; the lowest of several.
fn commonest(targets: &Targets) -> Option<u32> {
    let Targets::Classes { labels, classes } = targets else { return None };
    let counts = counts(labels, *classes, None);
    (0..*classes).rev().max_by(|a, b| counts[*a].total_cmp(&counts[*b])).map(|class| class as u32)
}

fn share(targets: &Targets, class: u32) -> Option<f32> {
    let Targets::Classes { labels, .. } = targets else { return None };
    Some(labels.iter().filter(|label| **label == class).count() as f32 / labels.len() as f32)
}

fn counts(labels: &[u32], classes: usize, weights: Option<&[f64]>) -> Vec<f64> {
    let mut counts = vec![0.0; classes];
    for (row, label) in labels.iter().enumerate() {
        if let Some(count) = counts.get_mut(*label as usize) {
            *count += weights.map_or(1.0, |weights| weights[row]);
        }
    }
    counts
}

/// Answers that are the same for every row, each with what it is.
fn constants(train: Answers<'_>, width: usize) -> Vec<(&'static str, Vec<f32>)> {
    match train.targets {
        Targets::Classes { labels, classes } => {
            let weights = train.columns.get(WEIGHT);
            let weighted = weights.map(|weights| counts(labels, *classes, Some(weights)));
            let all = [Some(counts(labels, *classes, None)), weighted];
            all.iter()
                .flatten()
                .flat_map(|counts| of_counts("the commonest class", counts, width, 1))
                .collect()
        }
        Targets::Values { values, width: own } if *own == width => {
            let column = |at: usize| values.iter().skip(at).step_by(width).map(|v| f64::from(*v));
            let means: Vec<f64> = (0..width).map(|at| mean(column(at))).collect();
            let mut all = vec![
                ("the mean", means.iter().map(|mean| *mean as f32).collect()),
                ("the median", (0..width).map(|at| median(column(at).collect()) as f32).collect()),
            ];
            if values.iter().all(|v| (0.0..=1.0).contains(v)) {
                let odds = |mean: &f64| odds(mean.clamp(1e-6, 1.0 - 1e-6));
                all.push(("how often each label holds", means.iter().map(odds).collect()));
            }
            all
        }
        Targets::Values { values, width: items } if *items > 0 && width.is_multiple_of(*items) => {
            let classes = width / items;
            let labels: Vec<u32> = values.iter().filter(|v| **v >= 0.0).map(|v| *v as u32).collect();
            of_counts("the commonest class", &counts(&labels, classes, None), width, *items)
        }
        Targets::Values { .. } => Vec::new(),
    }
}

/// Frequencies as they are, and their logarithms, for each of so many items; what has no class is answered as an unseen one.
fn of_counts(
    what: &'static str,
    counts: &[f64],
    width: usize,
    items: usize,
) -> Vec<(&'static str, Vec<f32>)> {
    let (each, all) = (width / items.max(1), counts.iter().sum::<f64>());
    let count = |class: usize| counts.get(class).copied().unwrap_or(0.0);
    let shares: Vec<f32> = (0..each).map(|class| (count(class) / all) as f32).collect();
    let logs: Vec<f32> =
        (0..each).map(|class| crate::kernel::ln((count(class).max(UNSEEN) / all) as f32)).collect();
    vec![(what, logs.repeat(items)), (what, shares.repeat(items))]
}

fn odds(share: f64) -> f32 {
    crate::kernel::ln((share / (1.0 - share)) as f32)
}

/// The loss of each row, where rows have losses that can be told.
pub(super) fn row_losses(task: &dyn Task, outputs: &Act, targets: &Targets, columns: &Columns) -> Vec<f32> {
    let mut losses = vec![0.0; outputs.rows()];
    let known = task.grain() != Grain::Batch
        && !task.is_costly()
        && task.of_rows(outputs, Answers::all(targets, columns), &mut losses).is_ok();
    if known { losses } else { Vec::new() }
}

/// A score held against guessing, with what the number of test rows can carry.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// What guessing reaches.
    pub guess: Option<Guess>,
    /// The 95 % interval of the accuracy (Wilson).
    pub accuracy: Option<Interval>,
    /// The 95 % interval of the mean loss.
    pub loss: Option<Interval>,
    /// Whether the model is better than guessing: the whole interval of its accuracy, or that of what each row's loss is below the guess's, says
    /// so; where rows have no losses, the loss alone. `None` where there is no guess.
    pub better: Option<bool>,
}

impl Judgement {
    /// Holds a score on rows that were examined against guessing.
    pub fn of(task: &dyn Task, examined: &Examined, score: &Score, guess: Option<Guess>) -> Self {
        let rows = examined.outputs.rows() as u64;
        let right = |share: f32| (f64::from(share) * rows as f64).round() as u64;
        let accuracy = score.accuracy.map(|share| wilson(right(share), rows));
        let losses = examined.row_losses(task);
        let loss = examined.loss_interval(task);
        let better = guess.as_ref().map(|guess| match (accuracy, guess.accuracy) {
            (Some(own), Some(known)) => own.low > f64::from(known),
            _ if losses.len() == guess.losses.len() && losses.len() > 1 => {
                let pairs = guess.losses.iter().zip(&losses);
                let gain = mean_interval(pairs.map(|(guess, own)| f64::from(*guess) - f64::from(*own)));
                gain.is_some_and(|(_, interval)| interval.low > 0.0)
            }
            _ => score.loss < guess.loss,
        });
        Self { guess, accuracy, loss, better }
    }
}

impl Judgement {
    /// Holds the score of each head on rows that were examined against its guess, in the order of the heads.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] if rows have no answers for a head.
    pub fn of_heads(
        task: &dyn Task,
        examined: &Examined,
        score: &Score,
        guesses: Vec<Option<Guess>>,
    ) -> Result<Vec<Self>> {
        let answers = Answers::all(&examined.targets, &examined.columns);
        let heads = task.heads().iter().zip(&score.heads);
        let mut all = Vec::new();
        for (((head, range), (_, score)), guess) in heads.zip(guesses) {
            let (outputs, Wanted { targets, columns }) =
                head.part(range, &examined.outputs, answers, true)?;
            let own = Examined { outputs, losses: None, targets, columns };
            all.push(Self::of(head.task(), &own, score, guess));
        }
        Ok(all)
    }
}

/// Whether predicted and wanted values can be drawn against each other: each row's outputs are its answers.
pub fn answers_values(task: &dyn Task, examined: &Examined) -> bool {
    let Targets::Values { width, .. } = &examined.targets else { return false };
    task.meaning() == Meaning::Values && task.heads().is_empty() && *width == examined.outputs.width()
}
