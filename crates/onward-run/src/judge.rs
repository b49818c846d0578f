//! Params of a run judged on its test rows.

use crate::follow::Parts;
use onward::Result;
use onward::model::Statistics;
use onward::params::Params;
use onward::study::statistics::mean;
use onward::task::Elbo;
use onward::train::{Examined, Guess, Judgement, Score, examine};

/// Params judged on a run's test rows.
#[derive(Clone)]
pub struct Judged {
    /// Their answers, and what these should have been, both as prepared.
    pub examined: Examined,
    /// How good these are.
    pub score: Score,
    /// The score held against guessing.
    pub judgement: Judgement,
    /// The loss in the units that losses are reported in.
    pub loss: f64,
    /// What converts losses to these units, for other losses.
    pub guess_loss: Option<f64>,
    /// The 95 % interval of the loss, in these units.
    pub loss_interval: Option<onward::task::Interval>,
    /// What a distance of 1 between targets as prepared is in their own units.
    pub scale: f64,
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
            examined,
            score,
            judgement,
        })
    }

    /// The measures of the score, in the targets' own units.
    pub fn measures(&self) -> Vec<(String, f64)> {
        in_units(&self.score, self.scale)
    }
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
    /// As many rows tell how common each class is.
    const FIRST: usize = 10_000;
    let Parts { trainer, test, .. } = parts;
    let (local, read);
    local = trainer.local();
    let train = match trainer.data().resident() {
        Some(all) => all,
        None => {
            read = trainer.data().first(FIRST)?.into_parts().1;
            &read
        }
    };
    local.run(|| Guess::of(local, train, test))
}
