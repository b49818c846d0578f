//! When rows of metrics are due, and what the ledger tells of those that are.

use super::window::Window;
use crate::follow::Parts;
use crate::measurement::Point;
use onward::ask::Spent;
use onward::ledger::Reading;

/// Rows of metrics that a run leaves, about.
const POINTS: u64 = 400;

/// A row of metrics that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// Of losses and costs.
    Plain,
    /// Of an evaluation as well.
    Evaluated,
}

/// The row that is due after the step `at` of a run of so many steps in all.
pub(super) fn row(parts: &Parts, at: u64, steps: u64) -> Option<Row> {
    let eval_every = match parts.rhythm.eval_every {
        0 => parts.trainer.steps_per_epoch(),
        every => every,
    };
    if at.is_multiple_of(eval_every) || at == steps {
        return Some(Row::Evaluated);
    }
    let log_every = (steps / POINTS).max(1);
    at.is_multiple_of(log_every).then_some(Row::Plain)
}

/// Each row that was due so far, with what the ledger tells of it: counts, rate and mean loss.
pub(super) fn told(parts: &Parts, reading: &Reading) -> Vec<Point> {
    let mut ends = vec![reading.header.steps];
    ends.extend(reading.stretches.iter().map(|stretch| stretch.steps));
    let (mut points, mut spent, mut window) = (Vec::new(), Spent::default(), Window::default());
    for (at, entry) in (1..).zip(&reading.records) {
        spent += parts.trainer.cost(entry);
        window.add(entry.loss, None, None);
        let steps = ends.iter().copied().find(|end| at <= *end).unwrap_or_default();
        if row(parts, at, steps).is_some() {
            let train_loss = std::mem::take(&mut window).loss().map(&*parts.units);
            let Spent { passes, samples, non_finite, .. } = spent;
            let rate = Some(entry.rate);
            points.push(Point {
                step: at,
                passes,
                samples,
                non_finite,
                rate,
                train_loss,
                ..Point::default()
            });
        }
    }
    points
}
