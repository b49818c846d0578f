//! What ends a run before all its steps are taken, and its best step by rows of their own.

use crate::measurement::Point;
use onward::ask::Spent;
use std::fmt;

/// What ends a run before all its steps are taken. A run that has ended so is finished: it has a model and a report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// So many evaluations in a row that are no better than the best before them, on the validation rows.
    pub patience: Option<u64>,
    /// Minutes, those of all processes together.
    pub minutes: Option<f64>,
    /// Forward passes.
    pub passes: Option<u64>,
    /// Samples that went through forward passes.
    pub samples: Option<u64>,
}

/// The limit that ended a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// So many evaluations that were no better.
    Patience(u64),
    /// So many minutes.
    Minutes(f64),
    /// So many forward passes.
    Passes(u64),
    /// So many samples.
    Samples(u64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patience(n) => {
                write!(f, "no better on the validation rows in {n} evaluations (train.patience)")
            }
            Self::Minutes(n) => write!(f, "{n} minutes were over (train.minutes)"),
            Self::Passes(n) => write!(f, "{n} forward passes were made (train.passes)"),
            Self::Samples(n) => write!(f, "{n} samples were through (train.samples)"),
        }
    }
}

impl Limits {
    /// The limit that a run which has spent so much, and was measured so, has reached, if it has one.
    pub(crate) fn reached(&self, spent: Spent, points: &[Point]) -> Option<Reason> {
        let seconds = points.last().map_or(0.0, |point| point.elapsed);
        self.spent(spent, seconds).or_else(|| self.impatient(points))
    }

    /// The limit of costs that is reached, if one is.
    pub(crate) fn spent(&self, spent: Spent, seconds: f64) -> Option<Reason> {
        let passes = self.passes.filter(|n| spent.passes >= *n).map(Reason::Passes);
        let samples = self.samples.filter(|n| spent.samples >= *n).map(Reason::Samples);
        let minutes = self.minutes.filter(|n| seconds >= 60.0 * n).map(Reason::Minutes);
        passes.or(samples).or(minutes)
    }

    /// Whether patience is at its end.
    pub(crate) fn impatient(&self, points: &[Point]) -> Option<Reason> {
        let (patience, (best, _)) = (self.patience?, best(points)?);
        let since = points.iter().filter(|p| p.step > best && p.validation_loss.is_some()).count();
        (since as u64 >= patience).then_some(Reason::Patience(patience))
    }
}

/// The step with the least loss on the validation rows, and that loss; the first of equals. `None` where there were none, or no loss was finite.
pub fn best(points: &[Point]) -> Option<(u64, f64)> {
    let told = points.iter().filter_map(|p| Some((p.step, p.validation_loss.filter(|v| v.is_finite())?)));
    told.reduce(|best, next| if next.1 < best.1 { next } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(losses: &[f64]) -> Vec<Point> {
        let point = |(i, loss): (usize, &f64)| Point {
            step: 5 * (i as u64 + 1),
            validation_loss: Some(*loss),
            ..Point::default()
        };
        losses.iter().enumerate().map(point).collect()
    }

    #[test]
    fn the_best_step_is_the_first_with_the_least_loss() {
        assert_eq!(best(&points(&[3.0, 1.0, f64::NAN, 1.0, 2.0])), Some((10, 1.0)));
        assert_eq!(best(&points(&[f64::NAN])), None);
        assert_eq!(best(&[Point::default()]), None);
    }

    #[test]
    fn patience_counts_evaluations_since_the_best() {
        let limits = Limits { patience: Some(2), ..Limits::default() };
        assert_eq!(limits.impatient(&points(&[3.0, 1.0, 2.0])), None);
        assert_eq!(limits.impatient(&points(&[3.0, 1.0, 2.0, 1.0])), Some(Reason::Patience(2)));
        assert_eq!(Limits::default().impatient(&points(&[1.0, 2.0, 3.0])), None);
    }

    #[test]
    fn costs_end_a_run_once_they_are_reached() {
        let limits =
            Limits { minutes: Some(0.5), passes: Some(100), samples: Some(1000), ..Limits::default() };
        let spent = |passes, samples| Spent { passes, samples, ..Spent::default() };
        assert_eq!(limits.spent(spent(99, 999), 29.9), None);
        assert_eq!(limits.spent(spent(100, 0), 0.0), Some(Reason::Passes(100)));
        assert_eq!(limits.spent(spent(0, 1000), 0.0), Some(Reason::Samples(1000)));
        assert_eq!(limits.spent(spent(0, 0), 30.0), Some(Reason::Minutes(0.5)));
    }
}
