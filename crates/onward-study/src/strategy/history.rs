//! What the losses of a run's generations say about its end.

use super::Stop;
use std::collections::VecDeque;

/// Losses that differ by less are the same, but never by more than this share of the first generation's spread, since some
/// losses are small.
const SMALLEST_DIFFERENCE: f64 = 1e-12;
const SMALLEST_SHARE: f64 = 1e-6;
/// A run is beaten if recent losses differ by less than this share of what it lies behind.
const HOPELESS: f64 = 0.03;
/// Generations from one look at stagnation to the next: it sorts.
const LOOK: usize = 32;

/// Best and median losses of generations past, for the tests of stagnation.
#[derive(Clone)]
pub struct History {
    best: VecDeque<f64>,
    median: VecDeque<f64>,
    /// Generations that a flat stretch, and a stagnating one, must have.
    flat: usize,
    long: usize,
    generations: usize,
    most: usize,
    spread: f64,
    /// Losses that differ by less are the same.
    least: f64,
}

impl History {
    /// For runs of `members` in `n` dimensions.
    pub fn new(n: usize, members: usize) -> Self {
        let (d, l) = (n as f64, members as f64);
        Self {
            best: VecDeque::new(),
            median: VecDeque::new(),
            flat: 10 + (30.0 * d / l).ceil() as usize,
            long: 120 + (30.0 * d / l).ceil() as usize,
            generations: 0,
            most: (100.0 + 150.0 * (d + 3.0) * (d + 3.0) / l.sqrt()) as usize,
            spread: f64::INFINITY,
            least: SMALLEST_DIFFERENCE,
        }
    }

    /// Takes note of a generation.
    pub fn add(&mut self, losses: &[f64], order: &[usize]) {
        self.generations += 1;
        self.best.push_back(losses[order[0]]);
        self.median.push_back(losses[order[order.len() / 2]]);
        self.spread = losses[order[order.len() - 1]] - losses[order[0]];
        if self.generations == 1 && self.spread > 0.0 {
            // What is small next to the losses themselves may be rounding.
            let rounding = SMALLEST_DIFFERENCE * losses[order[0]].abs();
            self.least = self.least.min(rounding.max(SMALLEST_SHARE * self.spread));
        }
        // The last fifth of the run, within bounds.
        let keep = (self.generations / 5 + self.long).min(20_000);
        while self.best.len() > keep {
            self.best.pop_front();
            self.median.pop_front();
        }
    }

    /// The lowest of the last so many best losses and by how much losses differed there, within this generation or from
    /// one to another; `None` if there are not so many yet.
    fn recent(&self, generations: usize) -> Option<(f64, f64)> {
        if self.best.len() < generations {
            return None;
        }
        let last = self.best.iter().rev().take(generations);
        let (low, high) = last.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
        Some((low, self.spread.max(high - low)))
    }

    /// Whether this run ends above `rival`, the lowest loss of those before it: the last generations' losses differ by
    /// little next to what they would still have to fall.
    pub fn is_beaten_by(&self, rival: f64) -> bool {
        self.recent(self.flat / 2).is_some_and(|(low, change)| change < HOPELESS * (low - rival))
    }

    /// Whether losses have been the same, or no better, for too long.
    pub fn stop(&self) -> Option<Stop> {
        if self.spread < self.least && self.recent(self.flat).is_some_and(|(_, change)| change < self.least) {
            return Some(Stop::Flat);
        }
        let looks = self.best.len() >= self.long && self.generations.is_multiple_of(LOOK);
        let stagnates = looks && worsens(&self.best) && worsens(&self.median);
        (stagnates || self.generations > self.most).then_some(Stop::Stagnation)
    }
}

/// Whether the median of the last 30 % is no better than that of the first 30 %.
fn worsens(series: &VecDeque<f64>) -> bool {
    let part = series.len() * 3 / 10;
    let median = |values: Vec<f64>| {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let first = median(series.iter().take(part).copied().collect());
    let last = median(series.iter().rev().take(part).copied().collect());
    last >= first
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 8 in 5 dimensions whose best losses these were, the others of a generation `spread` above.
    fn history(best: impl Iterator<Item = f64>, spread: f64) -> History {
        let mut history = History::new(5, 8);
        best.for_each(|b| history.add(&[b + spread, b, b + spread / 2.0], &[1, 2, 0]));
        history
    }

    #[test]
    fn a_run_is_beaten_once_it_converges_to_more_than_another_has_reached() {
        let towards_one = |generations| history((0..generations).map(|g| 1.0 + 0.5f64.powi(g)), 1e-3);
        assert!(towards_one(30).is_beaten_by(0.0));
        assert!(!towards_one(30).is_beaten_by(0.99), "it may yet be below that");
        assert!(!towards_one(30).is_beaten_by(2.0), "it is the better one");
        assert!(!towards_one(30).is_beaten_by(f64::INFINITY), "there is no other");
        assert!(!towards_one(16).is_beaten_by(0.0), "it still moves");
        assert!(
            !history(std::iter::repeat_n(1.0, 30), 0.1).is_beaten_by(0.0),
            "its generation is still wide"
        );
        assert!(!history(std::iter::repeat_n(1.0, 5), 0.0).is_beaten_by(0.0), "it has hardly begun");
        assert!(!history(std::iter::repeat_n(f64::INFINITY, 30), 0.0).is_beaten_by(0.0), "it has no losses");
    }

    #[test]
    fn a_run_is_flat_once_all_losses_of_many_generations_are_alike() {
        assert_eq!(history(std::iter::repeat_n(1.0, 40), 1e-13).stop(), Some(Stop::Flat));
        assert_eq!(history(std::iter::repeat_n(1e-170, 40), 1e-171).stop(), None);
        assert_eq!(history(std::iter::repeat_n(1.0, 40), 1e-11).stop(), None);
        assert_eq!(history((0..40).map(|g| 1.0 - f64::from(g) * 1e-11), 0.0).stop(), None);
        assert_eq!(history(std::iter::repeat_n(1.0, 20), 0.0).stop(), None);
    }
}
