//! Studies: the least loss of anything that can be evaluated, by asking for candidates and being told their losses.
//!
//! ```
//! use onward_study::{Dimension, Goal, StrategyKind, Space, Study};
//! let space = Space::new([Dimension::float("x", -5.0, 5.0), Dimension::int("n", 1, 64)])?;
//! let mut study = Study::new(space, Goal::Minimize, 600, 7, StrategyKind::named("auto")?)?;
//! while let Some(candidate) = study.ask() {
//!     let (x, n) = (candidate.values[0].number(), candidate.values[1].number());
//!     study.tell(candidate.id, (x - 1.5).powi(2) + (n - 20.0).powi(2) / 100.0)?;
//! }
//! let best = study.best().ok_or_else(|| std::io::Error::other("no finite loss"))?;
//! assert!(best.loss < 1e-6 && best.values[1].number() == 20.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A study is a pure function of its space, goal, budget, seed, method and the losses it was told: there is no clock, no
//! system randomness and nothing global, so studies side by side cannot affect each other. Candidates come in generations,
//! each fixed before the first of its losses is known; losses may be told in any order, and the next generation begins when
//! all of them are there. So one worker or many see the same candidates, and a [`StudyRecord`] of the losses is enough to
//! continue after a crash as if nothing had happened ([`Study::resume`]).

mod diagnosis;
mod draws;
mod eigen;
mod record;
mod repeats;
mod space;
pub mod statistics;
mod strategy;
mod unit;

pub use diagnosis::Diagnosis;
pub use draws::Draws;
pub use onward_base::{Error, ErrorKind, Place, Result};
pub use record::StudyRecord;
pub use repeats::Repeated;
pub use space::{Argument, Dimension, Domain, Space, Spacing};
pub use strategy::{
    Auto, CmaEs, Copied, Decay, Estimator, GldFast, GldSearch, Level, LmMaEs, Mirror, MirrorDescent, Mistp,
    NesterovSpokoiny, OnePlusOne, OpenAiEs, OwnStrategy, Pgpe, Radii, Random, RelativeLoss, Restarts, Scheme,
    SepCmaEs, Setup, Smtp, Snes, Sobol, Stop, Stp, Strategy, StrategyKind, Xnes,
};

use serde::{Deserialize, Serialize};

/// The direction of the search, which is always given explicitly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The least loss is the best.
    Minimize,
    /// The greatest loss is the best.
    Maximize,
}

/// A point that is to be evaluated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The number by which [`Study::tell`] knows it, counted from 0.
    pub id: u64,
    /// The generation it belongs to. Where losses are noisy, candidates of one generation are best compared on equal terms:
    /// this number can serve as their seed, or choose their batch.
    pub generation: u64,
    /// One value for each dimension.
    pub values: Vec<Argument>,
}

impl Candidate {
    /// The values as numbers, options as their index.
    pub fn numbers(&self) -> impl Iterator<Item = f64> {
        self.values.iter().map(|v| v.number())
    }
}

/// A candidate and its loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The id of the candidate.
    pub id: u64,
    /// The values of the candidate.
    pub values: Vec<Argument>,
    /// The loss that was told.
    pub loss: f64,
}

/// How far a candidate of this generation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Made,
    Asked,
    Told,
}

/// The candidates that wait for each other.
#[derive(Debug, Default)]
struct Generation {
    number: u64,
    /// The id of its first candidate.
    first: u64,
    /// Encoded, (candidates, width).
    points: Vec<f64>,
    progress: Vec<Progress>,
    /// Lower is better; infinite where there was none.
    losses: Vec<f64>,
    /// Candidates that were not told yet, and the first that may not have been asked for.
    open: usize,
    next: usize,
    /// The budget cut it short: its losses lead nowhere.
    cut: bool,
}

/// A search in progress.
pub struct Study {
    record: StudyRecord,
    width: usize,
    draws: Draws,
    strategy: Box<dyn Strategy>,
    generation: Generation,
    /// Lower is better.
    best: Option<(f64, u64, Vec<f64>)>,
    told: u64,
    non_finite: u64,
    stop: Option<Stop>,
}

impl Study {
    /// A study of `space` towards `goal` that asks for at most `budget` evaluations.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the budget is smaller than the method's first generation, or the method or a setting of it does
    /// not fit the space.
    pub fn new(space: Space, goal: Goal, budget: u64, seed: u64, method: StrategyKind) -> Result<Self> {
        let (method, why) = method.choose(&space, budget);
        Self::begin(StudyRecord::new(space, goal, budget, seed, method, why))
    }

    /// Has the search begin at `start` in place of the middle of the space.
    ///
    /// # Errors
    /// As for [`Space::encode`]; [`ErrorKind::Spec`] if losses were told already.
    pub fn starting_at(self, start: Vec<Argument>) -> Result<Self> {
        if self.told > 0 {
            let expected = "a study that was told nothing yet";
            return Err(Error::expected(ErrorKind::Spec, "start", expected, format!("{} losses", self.told)));
        }
        Self::begin(StudyRecord { start: Some(start), ..self.record })
    }

    fn begin(record: StudyRecord) -> Result<Self> {
        record.method.check(&record.space)?;
        let mut setup = Setup::of(&record.space);
        if let Some(start) = &record.start {
            setup.start = record.space.encode(start)?;
        }
        let strategy = record.method.begin(&setup)?;
        let mut study = Self {
            width: record.space.width(),
            draws: Draws::new(record.seed, 0),
            record,
            strategy,
            generation: Generation::default(),
            best: None,
            told: 0,
            non_finite: 0,
            stop: None,
        };
        study.open_generation();
        if study.generation.points.is_empty() {
            let expected = "settings whose first candidates are finite numbers";
            return Err(Error::expected(ErrorKind::Spec, "method", expected, "others"));
        }
        if study.generation.cut && !study.record.method.is_design() {
            let needed = study.generation.points.len() / study.width;
            let expected =
                format!("at least {needed}, the first generation of {}", study.record.method.name());
            return Err(Error::expected(ErrorKind::Spec, "budget", expected, study.record.budget));
        }
        Ok(study)
    }

    /// Resumes a study from a record, with the same candidates, bit for bit, as if it had never stopped. What was asked for but
    /// not told is asked for again.
    ///
    /// # Errors
    /// [`ErrorKind::Ledger`] if the record is of another version or tells of candidates that this study would not have
    /// asked for; [`ErrorKind::Spec`] as for [`Study::new`].
    pub fn resume(mut record: StudyRecord) -> Result<Self> {
        record.check_version()?;
        let told = std::mem::take(&mut record.told);
        let mut study = Self::begin(record)?;
        study.replay(told)?;
        Ok(study)
    }

    fn replay(&mut self, mut told: Vec<(u64, Option<f64>)>) -> Result<()> {
        told.sort_by_key(|(id, _)| *id);
        for (id, loss) in told {
            // Losses sorted by id complete one generation after another.
            if self.generation.open == 0 && self.stopped().is_none() {
                self.open_generation();
            }
            let Some(index) = self.index(id) else {
                let expected = format!(
                    "losses of the candidates below {}",
                    self.generation.first + self.generation.losses.len() as u64
                );
                return Err(Error::expected(
                    ErrorKind::Ledger,
                    "record",
                    expected,
                    format!("candidate {id}"),
                ));
            };
            if self.generation.progress[index] == Progress::Told {
                return Err(Error::expected(
                    ErrorKind::Ledger,
                    "record",
                    "one loss per candidate",
                    format!("candidate {id} twice"),
                ));
            }
            self.take(index, loss.unwrap_or(f64::NAN));
        }
        Ok(())
    }

    /// The next candidate. `None` if there is none to be had now: the study has ended ([`Study::stopped`]), or losses of
    /// this generation must be told first ([`Study::pending`]).
    pub fn ask(&mut self) -> Option<Candidate> {
        if self.generation.open == 0 {
            if self.stopped().is_some() {
                return None;
            }
            self.open_generation();
        }
        let g = &mut self.generation;
        while g.next < g.progress.len() && g.progress[g.next] != Progress::Made {
            g.next += 1;
        }
        let index = g.next;
        *g.progress.get_mut(index)? = Progress::Asked;
        Some(self.candidate(index))
    }

    /// Takes the loss of a candidate that was asked for. NaN and infinities of either sign are the worst loss there is:
    /// they are counted and take part in nothing else.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if no candidate with this id was asked for, or its loss was told already; nothing changes then.
    pub fn tell(&mut self, id: u64, loss: f64) -> Result<()> {
        let wrong = |found: &str| {
            let expected = "a candidate that was asked for and not told yet";
            Err(Error::expected(ErrorKind::Spec, format!("tell {id}"), expected, found))
        };
        match self.index(id).map(|i| (i, self.generation.progress[i])) {
            Some((index, Progress::Asked)) => {
                self.take(index, loss);
                Ok(())
            }
            Some((_, Progress::Told)) => wrong("one that was told already"),
            None if id < self.generation.first => wrong("one that was told already"),
            _ => wrong("one that was not asked for"),
        }
    }

    fn index(&self, id: u64) -> Option<usize> {
        let index = id.checked_sub(self.generation.first)? as usize;
        (index < self.generation.progress.len()).then_some(index)
    }

    fn take(&mut self, index: usize, loss: f64) {
        let id = self.generation.first + index as u64;
        self.record.told.push((id, loss.is_finite().then_some(loss)));
        self.told += 1;
        let lower = if !loss.is_finite() {
            self.non_finite += 1;
            f64::INFINITY
        } else if self.record.goal == Goal::Maximize {
            -loss
        } else {
            loss
        };
        let point = &self.generation.points[index * self.width..][..self.width];
        // Among equals the first by id, so that the order of telling does not matter.
        let better = self.best.as_ref().is_none_or(|(l, i, _)| lower < *l || (lower == *l && id < *i));
        if lower.is_finite() && better {
            self.best = Some((lower, id, point.to_vec()));
        }
        let g = &mut self.generation;
        g.losses[index] = lower;
        g.progress[index] = Progress::Told;
        g.open -= 1;
        if g.open == 0 {
            if !g.cut {
                self.strategy.tell(&g.losses);
            }
            let spent = g.first + g.losses.len() as u64 >= self.record.budget;
            self.stop = if spent { Some(Stop::Budget) } else { self.strategy.stop() };
        }
    }

    fn open_generation(&mut self) {
        let g = &mut self.generation;
        let started = !g.losses.is_empty();
        g.first += g.losses.len() as u64;
        g.number += u64::from(started);
        g.points.clear();
        self.strategy.ask(self.draws.at(g.number as u32), &mut g.points);
        // A strategy whose steps have grown beyond all numbers asks for nothing more.
        if g.points.iter().any(|x| !x.is_finite()) {
            g.points.clear();
            self.stop = Some(Stop::Unbounded);
        }
        let made = g.points.len() / self.width;
        let count = made.min((self.record.budget - g.first).min(usize::MAX as u64) as usize);
        g.cut = count < made;
        g.progress.clear();
        g.progress.resize(count, Progress::Made);
        g.losses.clear();
        g.losses.resize(count, f64::INFINITY);
        g.open = count;
        g.next = 0;
    }

    fn candidate(&self, index: usize) -> Candidate {
        let g = &self.generation;
        let values = self.record.space.decode(&g.points[index * self.width..][..self.width]);
        Candidate { id: g.first + index as u64, generation: g.number, values }
    }

    /// Candidates that were asked for and not told yet.
    pub fn pending(&self) -> Vec<Candidate> {
        let asked = |i: &usize| self.generation.progress[*i] == Progress::Asked;
        (0..self.generation.progress.len()).filter(asked).map(|i| self.candidate(i)).collect()
    }

    /// The best candidate so far, the first of several equal ones. Where losses are noisy it is also the luckiest: see
    /// [`Study::centre`].
    pub fn best(&self) -> Option<Seen> {
        self.best.as_ref().map(|(lower, id, point)| Seen {
            id: *id,
            values: self.record.space.decode(point),
            loss: if self.record.goal == Goal::Maximize { -lower } else { *lower },
        })
    }

    /// The centre of the strategy's search distribution, if it has one: an average over many candidates, which noise
    /// misleads less. It was not evaluated.
    pub fn centre(&self) -> Option<Vec<Argument>> {
        self.strategy.centre().map(|c| self.record.space.decode(c))
    }

    /// What comparing losses on batches of the present size can see, from a method that compares them across batches
    /// (`relative-loss` at the levels that only compare).
    pub fn diagnosis(&self) -> Option<Diagnosis> {
        self.strategy.diagnosis()
    }

    /// Why no further candidate will be asked for, once all losses are told.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop
    }

    /// The number of losses told so far.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// The number of losses told so far that were not finite.
    pub fn non_finite(&self) -> u64 {
        self.non_finite
    }

    /// The strategy in use.
    pub fn method(&self) -> &StrategyKind {
        &self.record.method
    }

    /// The reason why this strategy is in use.
    pub fn why(&self) -> &str {
        &self.record.why
    }

    /// The record from which the study can be resumed.
    pub fn record(&self) -> &StudyRecord {
        &self.record
    }
}

#[cfg(test)]
mod tests;
