//! The phases of a study: is there noise, search, and under noise which point is the best and how good it is.

use super::jobs::Source;
use super::journal::{Choice, Entry, Line, Phase};
use super::program::Outcome;
use super::session::{InSession, Session};
use super::template::Evaluation;
use onward::study::{Candidate, Method, Repeated, Stop, Study, Value};
use onward::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, VecDeque};

/// Evaluations of the start that tell whether there is noise.
const CHECKS: u64 = 2;
/// Budgets from which on they are worth it.
const WORTH_CHECKING: u64 = 50;
/// Losses that differ by less than this share of them are the same but for rounding.
const SAME: f64 = 1e-9;
/// Failures that are enough to give up, if there was nothing else and the first generation has ended.
const ENOUGH: u64 = 4;
/// Each of the two points that are compared gets one in so many of the evaluations that are kept back. Where these are
/// fewer, the best candidate seen is taken: the centre has never been evaluated.
const COMPARED: u64 = 4;

/// How a budget is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    pub checks: u64,
    /// The first generation.
    first: u64,
    budget: u64,
}

impl Shares {
    /// The shares of a budget whose search begins with `first` evaluations.
    pub fn new(budget: u64, first: u64, noisy: bool) -> Self {
        let checked = !noisy && budget >= WORTH_CHECKING.max(first + CHECKS);
        Self { checks: if checked { CHECKS } else { 0 }, first, budget }
    }

    /// What is kept back under noise: a tenth, in small budgets up to a quarter, never what the search cannot do without.
    fn reserve(&self, noisy: bool) -> u64 {
        let wanted = (self.budget / 10).max((self.budget / 4).min(6)).min(100);
        if noisy { wanted.min(self.budget.saturating_sub(self.checks + self.first)) } else { 0 }
    }
}

/// The recommended point and what its fresh evaluations say.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommended {
    pub values: Vec<Value>,
    /// Whether it is the centre of the search and not the best candidate seen.
    pub is_centre: bool,
    /// None if there were no evaluations, or no finite loss.
    pub repeated: Option<Repeated>,
    pub evaluations: u64,
    pub failed: u64,
}

/// What a study has come to.
pub struct Found {
    pub choice: Choice,
    pub stop: Option<Stop>,
    /// Only under noise.
    pub recommended: Option<Recommended>,
}

/// Runs all phases; `None` if it was stopped before their end.
pub fn run(session: &mut Session, shares: Shares, chosen: Option<Choice>) -> Result<Option<Found>> {
    let start = session.space.decode(&session.space.start());
    let checks: Vec<Evaluation> =
        (0..shares.checks).map(|i| Evaluation { id: i, generation: i, values: start.clone() }).collect();
    let Some(checks) = listed(session, Phase::Check, checks)? else { return Ok(None) };
    let checks: Vec<Option<f64>> = checks.into_iter().map(|e| e.loss).collect();
    let choice = match chosen {
        Some(choice) => choice,
        None => choose(session, &shares, differ(&checks))?,
    };
    session.say_choice(&choice, &checks);
    let study = study(session, &choice)?;
    let mut searching =
        Searching { session, study, waiting: VecDeque::new(), offset: shares.checks, generations: 0 };
    searching.recall()?;
    Session::run(&mut searching)?;
    let Searching { study, generations, .. } = searching;
    if study.stopped().is_none() {
        return Ok(None);
    }
    let first = Evaluation {
        id: shares.checks + study.told(),
        generation: shares.checks + generations,
        values: Vec::new(),
    };
    let recommended = if choice.noisy && session.best.is_some() {
        match recommend(session, &study, choice.reserve, first)? {
            Some(recommended) => Some(recommended),
            None => return Ok(None),
        }
    } else {
        None
    };
    session.nothing_left_over()?;
    Ok(Some(Found { choice, stop: study.stopped(), recommended }))
}

/// Whether the same point got different losses. A failure beside a loss is a difference too.
fn differ(checks: &[Option<f64>]) -> bool {
    match checks {
        [Some(a), Some(b)] => (a - b).abs() > SAME * a.abs().max(b.abs()),
        [a, b] => a.is_some() != b.is_some(),
        _ => false,
    }
}

/// Settles the strategy and the shares, and keeps them in the journal: what is decided stays so.
fn choose(session: &mut Session, shares: &Shares, found: bool) -> Result<Choice> {
    let noisy = session.settings.noisy || found;
    let reserve = shares.reserve(noisy);
    let search = shares.budget - shares.checks - reserve;
    let method = match session.settings.method.clone() {
        Method::Auto(mut hints) => {
            hints.noisy |= noisy;
            Method::Auto(hints)
        }
        given => given,
    };
    let settings = &session.settings;
    let study = Study::new(session.space.clone(), settings.goal, search, settings.seed, method)?;
    let choice =
        Choice { method: study.method().clone(), why: study.why().to_owned(), noisy, search, reserve };
    session.add(&Line::Method(choice.clone()))?;
    Ok(choice)
}

fn study(session: &Session, choice: &Choice) -> Result<Study> {
    let (space, settings) = (session.space.clone(), &session.settings);
    Study::new(space, settings.goal, choice.search, settings.seed, choice.method.clone())
}

/// Evaluations that are known beforehand.
struct Listed<'a> {
    session: &'a mut Session,
    phase: Phase,
    waiting: VecDeque<Evaluation>,
    entries: BTreeMap<u64, Entry>,
}

/// Runs a list of evaluations; `None` if it was stopped before its end.
fn listed(session: &mut Session, phase: Phase, list: Vec<Evaluation>) -> Result<Option<Vec<Entry>>> {
    let count = list.len();
    let mut source = Listed { session, phase, waiting: VecDeque::new(), entries: BTreeMap::new() };
    for evaluation in list {
        match source.session.recall(phase, &evaluation)? {
            Some(entry) => _ = source.entries.insert(entry.id, entry),
            None => source.waiting.push_back(evaluation),
        }
    }
    Session::run(&mut source)?;
    let entries: Vec<Entry> = source.entries.into_values().collect();
    Ok((entries.len() == count).then_some(entries))
}

impl Source for Listed<'_> {
    fn next(&mut self) -> Result<Option<Evaluation>> {
        Ok(self.waiting.pop_front())
    }

    fn done(&mut self, evaluation: &Evaluation, outcome: Outcome) -> Result<()> {
        if let Some(entry) = self.session.note(self.phase, evaluation, outcome)? {
            self.entries.insert(entry.id, entry);
        }
        Ok(())
    }
}

impl InSession for Listed<'_> {
    fn session(&mut self) -> &mut Session {
        self.session
    }
}

/// The search.
struct Searching<'a> {
    session: &'a mut Session,
    study: Study,
    /// Asked for, but not told when the study was left.
    waiting: VecDeque<Candidate>,
    /// The id of its first evaluation, and the number of its first generation.
    offset: u64,
    /// Generations begun.
    generations: u64,
}

impl Searching<'_> {
    fn evaluation(&mut self, candidate: Candidate) -> Evaluation {
        self.generations = self.generations.max(candidate.generation + 1);
        Evaluation {
            id: self.offset + candidate.id,
            generation: self.offset + candidate.generation,
            values: candidate.values,
        }
    }

    /// Tells the study what the journal knows. What was asked for and never told waits to be run again.
    fn recall(&mut self) -> Result<()> {
        let mut left = self.session.known_of(Phase::Search);
        while left > 0 {
            let Some(candidate) = self.study.ask() else { break };
            let evaluation = self.evaluation(candidate.clone());
            match self.session.recall(Phase::Search, &evaluation)? {
                Some(entry) => {
                    self.study.tell(candidate.id, entry.loss.unwrap_or(f64::NAN))?;
                    left -= 1;
                }
                None => self.waiting.push_back(candidate),
            }
        }
        if left > 0 { self.session.nothing_left_over() } else { Ok(()) }
    }
}

impl Source for Searching<'_> {
    fn next(&mut self) -> Result<Option<Evaluation>> {
        let Some(candidate) = self.waiting.pop_front().or_else(|| self.study.ask()) else { return Ok(None) };
        let first_has_ended = candidate.generation > 0;
        if first_has_ended && self.session.best.is_none() && self.session.tally.here >= ENOUGH {
            return Err(self.session.hopeless());
        }
        Ok(Some(self.evaluation(candidate)))
    }

    fn done(&mut self, evaluation: &Evaluation, outcome: Outcome) -> Result<()> {
        if let Some(entry) = self.session.note(Phase::Search, evaluation, outcome)? {
            self.study.tell(entry.id - self.offset, entry.loss.unwrap_or(f64::NAN))?;
        }
        Ok(())
    }
}

impl InSession for Searching<'_> {
    fn session(&mut self) -> &mut Session {
        self.session
    }
}

/// Compares the best candidate seen with the centre of the search on equal terms, then evaluates the better one anew, so
/// that what made it look better has no part in its mean. `None` if it was stopped before the end.
fn recommend(
    session: &mut Session,
    study: &Study,
    reserve: u64,
    first: Evaluation,
) -> Result<Option<Recommended>> {
    let Some(seen) = session.best.as_ref().map(|b| b.values.clone()) else {
        return Err(Error::new(ErrorKind::NonFinite, "no candidate to recommend"));
    };
    let centre = study.centre().filter(|centre| *centre != seen);
    let each = if centre.is_some() { reserve / COMPARED } else { 0 };
    let points = [Some(&seen), centre.as_ref()];
    // By turns, and each pair with a seed of its own.
    let pairs: Vec<Evaluation> = (0..2 * each)
        .filter_map(|i| {
            let values = points[(i % 2) as usize]?.clone();
            Some(Evaluation { id: first.id + i, generation: first.generation + i / 2, values })
        })
        .collect();
    let Some(entries) = listed(session, Phase::Choice, pairs)? else { return Ok(None) };
    let losses = |of: usize| entries.iter().skip(of).step_by(2).map(|e| e.loss).collect::<Vec<_>>();
    let is_centre = each > 0 && prefers(session, &losses(1), &losses(0));
    let values = if is_centre { centre.unwrap_or(seen) } else { seen };
    let fresh = |i: u64| Evaluation {
        id: first.id + 2 * each + i,
        generation: first.generation + each + i,
        values: values.clone(),
    };
    let Some(entries) = listed(session, Phase::Estimate, (0..reserve - 2 * each).map(fresh).collect())?
    else {
        return Ok(None);
    };
    let finite: Vec<f64> = entries.iter().filter_map(|e| e.loss).collect();
    Ok(Some(Recommended {
        values,
        is_centre,
        repeated: Repeated::of(&finite),
        evaluations: entries.len() as u64,
        failed: (entries.len() - finite.len()) as u64,
    }))
}

/// Whether losses `a` are better than `b`: fewer failures first, then the mean.
fn prefers(session: &Session, a: &[Option<f64>], b: &[Option<f64>]) -> bool {
    let failures = |losses: &[Option<f64>]| losses.iter().filter(|l| l.is_none()).count();
    let mean = |losses: &[Option<f64>]| losses.iter().flatten().sum::<f64>() / losses.len() as f64;
    match failures(a).cmp(&failures(b)) {
        std::cmp::Ordering::Equal => session.better(mean(a), mean(b)),
        order => order.is_lt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_shared_out_to_the_last_evaluation() {
        for budget in 1..2000 {
            for first in [1, 4, 8, budget / 2 + 1, budget].into_iter().filter(|f| *f <= budget) {
                for noisy in [false, true] {
                    let shares = Shares::new(budget, first, noisy);
                    let reserve = shares.reserve(true);
                    assert!(shares.checks + first + reserve <= budget, "{shares:?}");
                    assert!(reserve <= (budget / 4).max(6) && shares.reserve(false) == 0, "{shares:?}");
                    assert!(!(noisy && shares.checks > 0));
                }
            }
        }
        let shares = Shares::new(500, 8, false);
        assert_eq!((shares.checks, shares.reserve(true)), (2, 50));
        assert_eq!(Shares::new(49, 8, false).checks, 0);
        assert_eq!((Shares::new(12, 8, true).reserve(true), Shares::new(8, 8, true).reserve(true)), (3, 0));
    }

    #[test]
    fn noise_is_what_differs_by_more_than_rounding() {
        for (a, b, want) in [
            (Some(1.0), Some(1.0), false),
            (Some(1.0), Some(1.0 + 1e-12), false),
            (Some(0.0), Some(0.0), false),
            (Some(1.0), Some(1.001), true),
            (Some(0.0), Some(1e-12), true),
            (Some(1.0), None, true),
            (None, None, false),
        ] {
            assert_eq!(differ(&[a, b]), want, "{a:?} {b:?}");
        }
        assert!(!differ(&[]));
    }
}
