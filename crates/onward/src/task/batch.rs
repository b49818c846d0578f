//! Metrics that only a whole batch has, each as the loss `1 − metric`.

use super::loss::{check_width, refused};
use super::{Answers, Grain, Metric, Task, argmax};
use crate::dataset::{Targets, WEIGHT};
use crate::model::Act;
use crate::{Result, choices};

choices! {
    /// The classes that an F1 score averages over.
    pub enum Average default Macro {
        /// Of two classes, that of class 1.
        Binary = "binary",
        /// The mean over all classes.
        Macro = "macro",
    }
}

/// One minus the F1 of a batch: `2·hits / (claimed + present)` of class 1, or its mean over all classes. Claimed is the class of the
/// first largest output; with several labels a row, each label whose output is above 0.
///
/// A class that is neither present nor claimed has no F1: a mean leaves it out; where no class is left the F1 is 1, as nothing was missed.
/// A row with an output that is not a number claims nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct F1 {
    /// The classes that the score averages over.
    pub average: Average,
}

/// What of a class there is.
#[derive(Clone, Copy, Default)]
struct Counts {
    hits: u64,
    /// Claimed and present, added up.
    both: u64,
}

impl Counts {
    fn add(&mut self, claimed: bool, present: bool) {
        self.hits += u64::from(claimed && present);
        self.both += u64::from(claimed) + u64::from(present);
    }

    fn f1(self) -> Option<f64> {
        (self.both > 0).then(|| 2.0 * self.hits as f64 / self.both as f64)
    }
}

impl F1 {
    /// The F1 of a batch.
    pub fn of(&self, outputs: &Act, answers: Answers<'_>) -> f32 {
        let mut counts = vec![Counts::default(); outputs.width().max(1)];
        for row in 0..outputs.rows() {
            let (own, sample) = (outputs.row(row), answers.sample(row));
            match answers.targets {
                Targets::Classes { labels, .. } => {
                    let claimed = argmax(own);
                    let present = labels[sample] as usize;
                    for (class, counts) in counts.iter_mut().enumerate() {
                        counts.add(claimed == Some(class), present == class);
                    }
                }
                Targets::Values { values, width } => {
                    let sound = own.iter().all(|v| !v.is_nan());
                    for (label, counts) in counts.iter_mut().enumerate() {
                        counts.add(sound && own[label] > 0.0, values[sample * width + label] > 0.5);
                    }
                }
            }
        }
        let of = match self.average {
            Average::Binary => &counts[counts.len() - 1..],
            Average::Macro => &counts,
        };
        let each: Vec<f64> = of.iter().filter_map(|c| c.f1()).collect();
        if each.is_empty() { 1.0 } else { (each.iter().sum::<f64>() / each.len() as f64) as f32 }
    }
}

impl Task for F1 {
    fn grain(&self) -> Grain {
        Grain::Batch
    }

    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        check_unweighted(answers, "f1")?;
        check_width(outputs, answers.targets)?;
        match (self.average, answers.targets) {
            (Average::Binary, Targets::Classes { .. }) if outputs != 2 => {
                Err(refused("f1", "two classes, or \"macro\" over more", outputs.to_string()))
            }
            (Average::Binary, Targets::Values { width, .. }) if *width != 1 => {
                Err(refused("f1", "one label, or \"macro\" over more", width.to_string()))
            }
            _ => check_labels(answers.targets, "f1"),
        }
    }

    fn check_all(&self, answers: Answers<'_>) -> Result<()> {
        let present = match answers.targets {
            Targets::Classes { labels, .. } => self.average == Average::Macro || labels.contains(&1),
            Targets::Values { values, .. } => values.contains(&1.0),
        };
        if present { Ok(()) } else { Err(refused("f1", "a row of the class that it is of", "none".into())) }
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        losses.fill(1.0 - self.of(outputs, answers));
        Ok(())
    }

    fn metric(&self, loss: f32) -> Option<Metric> {
        Some(Metric { name: "f1".into(), value: 1.0 - loss })
    }
}

/// One minus the area under the ROC curve of two classes: the share of pairs of a row of class 1 and a row of class 0 in which the
/// former has the higher score, pairs of equal scores counting half (exact: Mann and Whitney 1947). The score is the only output, or the
/// second less the first.
///
/// A batch of one class has no pairs: its AUC is ½, whatever the outputs. A whole data set of one class is refused. A score that is
/// not a number makes the loss none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auc;

impl Auc {
    /// The AUC of a batch.
    pub fn of(&self, outputs: &Act, answers: Answers<'_>) -> f32 {
        let score = |row: usize| match outputs.row(row) {
            [one] => *one,
            [zero, one, ..] => one - zero,
            [] => f32::NAN,
        };
        let scored: Vec<(f32, bool)> =
            (0..outputs.rows()).map(|row| (score(row), is_positive(answers, row))).collect();
        if scored.iter().any(|(score, _)| score.is_nan()) {
            return f32::NAN;
        }
        area(scored).unwrap_or(0.5) as f32
    }
}

/// The area under the ROC curve of scored rows that are positive or not; `None` where these are no pairs, or a score is not a number.
pub(super) fn area(mut scored: Vec<(f32, bool)>) -> Option<f64> {
    if scored.iter().any(|(score, _)| score.is_nan()) {
        return None;
    }
    scored.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut twice, mut positives) = (0u64, 0u64, 0u64);
    // Of equal scores, whatever the sign of a zero.
    for equal in scored.chunk_by(|a, b| a.0 == b.0) {
        let own = equal.iter().filter(|(_, positive)| *positive).count() as u64;
        let others = equal.len() as u64 - own;
        twice += own * (2 * below + others);
        (below, positives) = (below + others, positives + own);
    }
    let pairs = positives * below;
    (pairs > 0).then(|| twice as f64 / (2 * pairs) as f64)
}

fn is_positive(answers: Answers<'_>, row: usize) -> bool {
    match answers.targets {
        Targets::Classes { labels, .. } => labels[answers.sample(row)] == 1,
        Targets::Values { values, width } => values[answers.sample(row) * width] > 0.5,
    }
}

impl Task for Auc {
    fn grain(&self) -> Grain {
        Grain::Batch
    }

    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        check_unweighted(answers, "auc")?;
        match answers.targets {
            Targets::Classes { labels, .. } => {
                if let Some(row) = labels.iter().position(|l| *l > 1) {
                    let found = labels[row].to_string();
                    return Err(refused(format!("label of row {row}"), "class 0 or 1, for an auc", found));
                }
                let expected = "one output, or one for each of two classes";
                if outputs <= 2 { Ok(()) } else { Err(refused("auc", expected, outputs.to_string())) }
            }
            Targets::Values { width, .. } if *width != 1 || outputs != 1 => {
                Err(refused("auc", "one output and one label", format!("{outputs} and {width}")))
            }
            targets @ Targets::Values { .. } => check_labels(targets, "auc"),
        }
    }

    fn check_all(&self, answers: Answers<'_>) -> Result<()> {
        let positives = (0..answers.count).filter(|row| is_positive(answers, *row)).count();
        if positives > 0 && positives < answers.count {
            return Ok(());
        }
        let found = format!("class {} alone in {} rows", u8::from(positives > 0), answers.count);
        Err(refused("auc", "rows of both classes", found))
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        losses.fill(1.0 - self.of(outputs, answers));
        Ok(())
    }

    fn metric(&self, loss: f32) -> Option<Metric> {
        Some(Metric { name: "auc".into(), value: 1.0 - loss })
    }
}

/// That targets which are values are labels: 0 or 1.
fn check_labels(targets: &Targets, task: &str) -> Result<()> {
    let Targets::Values { values, width } = targets else { return Ok(()) };
    match values.iter().position(|v| *v != 0.0 && *v != 1.0) {
        None => Ok(()),
        Some(at) => {
            let place = format!("target of row {}", at / width);
            Err(refused(place, format!("0 or 1, for {task}"), values[at].to_string()))
        }
    }
}

/// That there are no sample weights, which a metric of the whole batch has no use for.
pub(super) fn check_unweighted(answers: Answers<'_>, task: &str) -> Result<()> {
    match answers.columns.get(WEIGHT) {
        None => Ok(()),
        Some(_) => {
            let (expected, found) = ("no sample weights", "some: they are for losses of rows");
            Err(refused(task.to_owned(), expected, found.into()))
        }
    }
}
