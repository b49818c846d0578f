//! Params of a run judged on its test rows.

use crate::follow::Parts;
use onward::Result;
use onward::dataset::Dataset;
use onward::evaluate::{Generated, Local};
use onward::model::Statistics;
use onward::params::Params;
use onward::rows::Source;
use onward::study::statistics::mean;
use onward::task::Elbo;
use onward::train::{Examined, Guess, Judgement, Score, answers_values, examine};
use std::borrow::Cow;

/// Params judged on a run's test rows.
#[derive(Clone)]
pub struct Judged {
    /// Their answers, and what these should have been, both as prepared.
    pub examined: Examined,
    /// How good these are.
    pub score: Score,
    /// The score held against guessing.
    pub judgement: Judgement,
    /// Each head, in their order; empty where the model has one answer.
    pub heads: Vec<JudgedHead>,
    /// The loss in the units that losses are reported in.
    pub loss: f64,
    /// What converts losses to these units, for other losses.
    pub guess_loss: Option<f64>,
    /// The 95 % interval of the loss, in these units.
    pub loss_interval: Option<onward::task::Interval>,
    /// What a distance of 1 between targets as prepared is in their own units.
    pub scale: f64,
    /// Whether predicted and wanted values can be drawn against each other.
    pub answers_values: bool,
    /// What a variational model generates.
    pub generated: Option<Generated>,
}

/// One of several heads, judged on a run's test rows.
#[derive(Clone)]
pub struct JudgedHead {
    /// The head's name.
    pub name: String,
    /// Whether it is trained on the target, and not on columns beside it.
    pub of_target: bool,
    /// How good its answers are; the loss is of its numbers as prepared.
    pub score: Score,
    /// The score held against guessing.
    pub judgement: Judgement,
}

impl Judged {
    /// Judges `params` with the given statistics of normalisations on the test rows of `parts`.
    ///
    /// # Errors
    /// As for [`onward::train::score`].
    pub fn of(parts: &Parts, params: &Params, statistics: &[Statistics]) -> Result<Self> {
        let local = parts.trainer.local();
        let examined = examine(local, params, statistics, &parts.test)?;
        let mut score = examined.score(local)?;
        if let Some(samples) = local.task().elbo().map(Elbo::bound).filter(|samples| *samples > 0) {
            let bounds = local.bound(params, statistics, &parts.test, samples)?;
            score.measures.push(("bound".into(), mean(bounds.iter().map(|v| f64::from(*v)))));
        }
        let judgement = Judgement::of(local.task(), &examined, &score, guess(parts)?);
        let guesses = guesses_of_heads(parts)?;
        let heads = Judgement::of_heads(local.task(), &examined, &score, guesses)?;
        let heads = heads.into_iter().zip(&score.heads).zip(local.task().heads());
        let heads = heads.map(|((judgement, (name, score)), (head, _))| JudgedHead {
            name: name.clone(),
            of_target: head.columns() == 0,
            score: score.clone(),
            judgement,
        });
        let heads = heads.collect();
        let in_units = |loss: f64| (parts.units)(loss as f32);
        let interval = judgement.loss.map(|interval| onward::task::Interval {
            low: in_units(interval.low),
            high: in_units(interval.high),
        });
        Ok(Self {
            loss: (parts.units)(score.loss),
            guess_loss: judgement.guess.as_ref().map(|guess| (parts.units)(guess.loss)),
            loss_interval: interval,
            scale: parts.scale,
            answers_values: answers_values(local.task(), &examined),
            generated: local.generated(params, statistics, &parts.test)?,
            examined,
            score,
            judgement,
            heads,
        })
    }

    /// The measures of the score, in the targets' own units.
    pub fn measures(&self) -> Vec<(String, f64)> {
        in_units(&self.score, self.scale)
    }
}

/// The mean bound of the first test rows by few draws, of a variational model whose bound is measured in the end.
pub(crate) fn bound_by_few(
    local: &Local,
    params: &Params,
    statistics: &[Statistics],
    test: &Dataset,
) -> Result<Option<f64>> {
    /// Enough for a curve, in a fraction of the time of an epoch.
    const DRAWS: u32 = 100;
    const ROWS: usize = 1000;
    let Some(draws) = local.task().elbo().map(|elbo| elbo.bound().min(DRAWS)).filter(|draws| *draws > 0)
    else {
        return Ok(None);
    };
    let test: &dyn Source = test;
    let (_, rows) = test.first(ROWS)?.into_parts();
    let bounds = local.bound(params, statistics, &rows, draws)?;
    Ok(Some(mean(bounds.iter().map(|v| f64::from(*v)))))
}

/// The measures of a score where a distance of 1 between targets as prepared is so much in their own units.
pub fn in_units(score: &Score, scale: f64) -> Vec<(String, f64)> {
    let of = |(name, value): &(String, f64)| {
        let factor = if ["mae", "rmse"].contains(&name.as_str()) { scale } else { 1.0 };
        (name.clone(), value * factor)
    };
    score.measures.iter().map(of).collect()
}

/// What guessing reaches on a run's test rows: by all its training rows, or by the first of those that are read as steps need them.
pub(crate) fn guess(parts: &Parts) -> Result<Option<Guess>> {
    let (local, train, test) = (parts.trainer.local(), training_rows(parts)?, &parts.test);
    local.run(|| Guess::of(local, &train, test))
}

/// The same of each head.
fn guesses_of_heads(parts: &Parts) -> Result<Vec<Option<Guess>>> {
    let task = parts.trainer.local().task();
    if task.heads().is_empty() {
        return Ok(Vec::new());
    }
    Guess::of_heads(task, &*training_rows(parts)?, &parts.test)
}

/// All training rows in memory, or the first of those that are not.
fn training_rows(parts: &Parts) -> Result<Cow<'_, Dataset>> {
    /// As many rows tell how common each class is.
    const FIRST: usize = 10_000;
    let data = parts.trainer.data();
    match data.resident() {
        Some(all) => Ok(Cow::Borrowed(all)),
        None => Ok(Cow::Owned(data.first(FIRST)?.into_parts().1)),
    }
}
