//! Where checks are run: a seed, how much to measure, and what several of them need.

use crate::Result;
use onward::study::{Candidate, Goal, Space, StrategyKind, Study};
use onward::threads::each_chunk;

/// The effort of a check: how much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A few seconds.
    Quick,
    /// A minute or two.
    Full,
}

/// The inputs of a check: seed and effort.
#[derive(Clone, Copy, Debug)]
pub struct Lab {
    /// The seed of all random numbers.
    pub seed: u64,
    /// The effort of a check: how much is measured.
    pub effort: Effort,
}

impl Lab {
    /// One of two settings.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        match self.effort {
            Effort::Quick => quick,
            Effort::Full => full,
        }
    }

    /// `measure` with `runs` different seeds, in parallel, in the order of the seeds.
    pub(crate) fn repeat<T: Send>(
        &self,
        runs: usize,
        measure: impl Fn(u64) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let first = self.seed.wrapping_mul(1_000_003);
        let mut seeds: Vec<u64> = (0..runs as u64).map(|i| first.wrapping_add(i)).collect();
        each_chunk(&mut seeds, 1, |_, seed| measure(seed[0])).into_iter().collect()
    }
}

/// A study of `n` real coordinates, all from `start` with standard deviation `scale`, without an end.
pub(crate) fn begin(n: usize, start: f64, scale: f64, seed: u64, method: StrategyKind) -> Result<Study> {
    Study::new(Space::reals(n, start, scale)?, Goal::Minimize, u64::MAX, seed, method)
}

/// Evaluates `count` candidates.
pub(crate) fn evaluate(
    study: &mut Study,
    count: usize,
    mut loss: impl FnMut(&Candidate, &[f64]) -> f64,
) -> Result<()> {
    let mut x = Vec::new();
    for _ in 0..count {
        let Some(candidate) = study.ask() else { break };
        x.clear();
        x.extend(candidate.numbers());
        study.tell(candidate.id, loss(&candidate, &x))?;
    }
    Ok(())
}

/// Where the study is centred; empty if it has no centre.
pub(crate) fn centre(study: &Study) -> Vec<f64> {
    study.centre().unwrap_or_default().iter().map(|v| v.number()).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn square(a: &[f64]) -> f64 {
    dot(a, a)
}
