//! The phases of a study: is there noise, search, and under noise the recommended point.

use super::jobs::Queue;
use super::journal::{Choice, Entry, Line, Phase, Raise};
use super::program::Outcome;
use super::recommend::{Recommended, recommend};
use super::session::{InSession, Session};
use super::template::Evaluation;
use onward::study::{Candidate, Goal, Stop, StrategyKind, Study, StudyRecord};
use onward::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, VecDeque};

/// Evaluations of the start that tell whether there is noise.
const CHECKS: u64 = 2;
/// Budgets from which on they are worth it.
const WORTH_CHECKING: u64 = 50;
/// Losses that differ by less than this share of them are the same but for rounding.
const SAME: f64 = 1e-9;
/// Evaluations that are enough to give up, if the first generation has ended and no argument can mend what is wrong.
const ENOUGH: u64 = 4;
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
        // The start, and one more if that fails.
        let checked = !noisy && budget >= WORTH_CHECKING.max(first + CHECKS + 1);
        Self { checks: if checked { CHECKS } else { 0 }, first, budget }
    }

    /// The shares of a budget that was raised: what was looked at first stays so.
    pub fn raised(self, budget: u64) -> Self {
        Self { budget, ..self }
    }

    /// What is kept back under noise: a tenth, in small budgets up to a quarter, never what the search cannot do without.
    fn reserve(&self) -> u64 {
        let wanted = (self.budget / 10).max((self.budget / 4).min(6)).min(100);
        wanted.min(self.budget.saturating_sub(self.checks + self.first))
    }
}

/// What a study has come to.
pub struct Found {
    pub choice: Choice,
    pub stop: Option<Stop>,
    /// Only under noise.
    pub recommended: Option<Recommended>,
}

/// Runs all phases; `None` if it was stopped before their end. `chosen` is what the journal says was settled.
pub fn run(session: &mut Session, shares: Shares, mut told: Told) -> Result<Option<Found>> {
    let start = match session.settings.starting_point()? {
        Some(start) => start,
        None => session.space.decode(&session.space.start()),
    };
    let checks: Vec<Evaluation> =
        (0..shares.checks).map(|i| Evaluation { id: i, generation: i, values: start.clone() }).collect();
    let Some(checks) = listed(session, Phase::Check, checks)? else { return Ok(None) };
    let checks: Vec<Option<f64>> = checks.into_iter().map(|e| e.loss).collect();
    let choice = match told.chosen.pop_front() {
        Some((choice, _)) => choice,
        None => choose(session, &shares, &checks)?,
    };
    session.say_choice(&choice, "the start", &checks);
    let study = session.settings.study(choice.search, choice.method.clone())?;
    let look = if choice.noisy.is_none() && shares.checks > 0 { Look::Waits } else { Look::Over };
    let mut searching = Searching {
        session,
        study,
        look,
        first: None,
        offset: shares.checks,
        waiting: VecDeque::new(),
        generations: 0,
        shares,
        choice,
        chosen: told.chosen,
        raises: Vec::new(),
    };
    for raise in told.raises {
        searching.raise(raise)?;
    }
    searching.recall()?;
    if let Some(budget) = told.wanted {
        searching.raise_to(budget)?;
    }
    Session::run(&mut searching)?;
    let Searching { study, generations, offset, choice, look, raises, .. } = searching;
    if study.stopped().is_none() || matches!(look, Look::Runs(_)) {
        return Ok(None);
    }
    let extra: u64 = raises.iter().map(|raise| raise.extra).sum();
    let first = Evaluation {
        id: offset + extra + study.told(),
        generation: offset + generations,
        values: Vec::new(),
    };
    let recommended = if choice.noisy == Some(true) && session.best.is_some() {
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

/// What two losses of the start say about noise; `None` if they say nothing.
fn noise(checks: &[Option<f64>]) -> Option<bool> {
    checks.iter().any(Option::is_some).then(|| differ(checks))
}

/// Settles the strategy and the shares, and keeps them in the journal: what is decided stays so.
fn choose(session: &mut Session, shares: &Shares, checks: &[Option<f64>]) -> Result<Choice> {
    let noisy = if session.settings.noisy { Some(true) } else { noise(checks) };
    let reserve = if noisy == Some(true) { shares.reserve() } else { 0 };
    // Where the start has said nothing one evaluation is left for what will.
    let kept = if noisy.is_none() { shares.checks.min(1) } else { 0 };
    let search = shares.budget - shares.checks - reserve - kept;
    let method = match session.settings.method.clone() {
        StrategyKind::Auto(mut hints) => {
            hints.noisy |= noisy == Some(true);
            StrategyKind::Auto(hints)
        }
        given => given,
    };
    let study = session.settings.study(search, method)?;
    let choice =
        Choice { method: study.method().clone(), why: study.why().to_owned(), noisy, search, reserve };
    session.add(&Line::Method(choice.clone()))?;
    Ok(choice)
}

/// Evaluations that are known beforehand.
struct Listed<'a> {
    session: &'a mut Session,
    phase: Phase,
    waiting: VecDeque<Evaluation>,
    entries: BTreeMap<u64, Entry>,
}

/// Runs a list of evaluations; `None` if it was stopped before its end.
pub(super) fn listed(
    session: &mut Session,
    phase: Phase,
    list: Vec<Evaluation>,
) -> Result<Option<Vec<Entry>>> {
    let count = list.len();
    let mut queue = Listed { session, phase, waiting: VecDeque::new(), entries: BTreeMap::new() };
    for evaluation in list {
        match queue.session.recall(phase, &evaluation)? {
            Some(entry) => _ = queue.entries.insert(entry.id, entry),
            None => queue.waiting.push_back(evaluation),
        }
    }
    Session::run(&mut queue)?;
    let entries: Vec<Entry> = queue.entries.into_values().collect();
    Ok((entries.len() == count).then_some(entries))
}

impl Queue for Listed<'_> {
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

/// Whether a repeated success is still to tell if there is noise.
enum Look {
    /// For the first success.
    Waits,
    /// For the outcome of the evaluation with this id.
    Runs(u64),
    Over,
}

/// The search.
struct Searching<'a> {
    session: &'a mut Session,
    study: Study,
    look: Look,
    /// The first success of all, and of its generation: candidate and loss.
    first: Option<(Candidate, f64)>,
    /// What candidates' ids and generations are moved by: the evaluations that looked for noise before them.
    offset: u64,
    /// Asked for, but not run yet.
    waiting: VecDeque<(Phase, Evaluation)>,
    /// Generations begun.
    generations: u64,
    shares: Shares,
    choice: Choice,
    /// What the journal says was settled later, and after how many raises.
    chosen: VecDeque<(Choice, usize)>,
    /// How the budget was raised so far.
    raises: Vec<Raise>,
}

/// What the journal tells besides evaluations, and the budget that is wanted now if it is another.
#[derive(Default)]
pub struct Told {
    /// What was settled, each with the number of raises before it.
    pub chosen: VecDeque<(Choice, usize)>,
    pub raises: Vec<Raise>,
    pub wanted: Option<u64>,
}

impl Searching<'_> {
    fn evaluation(&self, candidate: &Candidate) -> Evaluation {
        Evaluation {
            id: self.offset + candidate.id + self.extra(candidate.id),
            generation: self.offset + candidate.generation,
            values: candidate.values.clone(),
        }
    }

    /// The evaluations for earlier results that came before candidate `id` of the search.
    fn extra(&self, id: u64) -> u64 {
        self.raises.iter().filter(|raise| id >= raise.after).map(|raise| raise.extra).sum()
    }

    /// The candidate of the search that an evaluation is.
    fn candidate(&self, evaluation: &Evaluation) -> u64 {
        let mut id = evaluation.id - self.offset;
        for raise in self.raises.iter().filter(|raise| raise.extra > 0) {
            if id >= raise.after + raise.extra {
                id -= raise.extra;
            }
        }
        id
    }

    /// Takes a raise of the budget: what was evaluated for an earlier result is set aside, and the search goes on.
    fn raise(&mut self, raise: Raise) -> Result<()> {
        let first = self.offset + raise.after + self.extra(raise.after);
        self.session.retire(first..first + raise.extra);
        self.session.settings.budget = raise.budget;
        self.shares = self.shares.raised(raise.budget);
        self.choice = Choice { search: raise.search, reserve: raise.reserve, ..self.choice.clone() };
        let record = StudyRecord { budget: raise.search, ..self.study.record().clone() };
        self.study = Study::resume(record)?;
        self.raises.push(raise);
        Ok(())
    }

    /// Raises the budget now.
    fn raise_to(&mut self, budget: u64) -> Result<()> {
        let has = self.session.settings.budget;
        let refuse = |expected: String| Err(Error::expected(ErrorKind::Spec, "--budget", expected, budget));
        if budget < has {
            return refuse(format!("at least the {has} evaluations that the study has"));
        }
        if budget == has {
            return Ok(());
        }
        let all_told = self.waiting.is_empty() && self.study.pending().is_empty();
        let ended = self.study.stopped().filter(|_| all_told);
        if let Some(why) = ended.filter(|why| *why != Stop::Budget) {
            return refuse(format!(
                "none, as the search ended by itself ({why}); another --seed and --out begin anew"
            ));
        }
        let extra = if ended.is_some() { self.choice.reserve } else { 0 };
        let after = self.study.told();
        let spent = self.offset + self.raises.iter().map(|raise| raise.extra).sum::<u64>() + extra;
        let shares = self.shares.raised(budget);
        let left = budget.saturating_sub(spent + after);
        // A small raise is for the search too.
        let reserve = if self.choice.noisy == Some(true) { shares.reserve().min(left / 2) } else { 0 };
        let kept = if matches!(self.look, Look::Waits) { 1 } else { 0 };
        let search = budget.saturating_sub(spent + reserve + kept);
        if search <= after {
            return refuse(format!("more than the {} evaluations that are made", spent + after));
        }
        let raise = Raise { budget, search, reserve, after, extra };
        self.session.add(&Line::Raised(raise))?;
        self.session.forget_result()?;
        self.session.say_raise(has, &raise);
        self.waiting.clear();
        self.raise(raise)
    }

    /// The next candidate, or the first success again once its generation has ended; `None` if a loss is missing first.
    fn ask(&mut self) -> Option<(Phase, Evaluation)> {
        if matches!(self.look, Look::Runs(_)) {
            return None;
        }
        let candidate = self.study.ask();
        let ended = candidate.is_some() || self.study.stopped().is_some();
        if matches!(self.look, Look::Waits)
            && ended
            && let Some(again) = self.again(candidate.as_ref())
        {
            // What was just asked for is asked for again once the shares are settled.
            self.look = Look::Runs(again.id);
            return Some((Phase::Check, again));
        }
        let candidate = candidate?;
        self.generations = self.generations.max(candidate.generation + 1);
        Some((Phase::Search, self.evaluation(&candidate)))
    }

    /// The first success again, with a seed of its own, if its generation has ended before `next`.
    fn again(&self, next: Option<&Candidate>) -> Option<Evaluation> {
        let (first, _) = self.first.as_ref()?;
        let ended = next.is_none_or(|next| next.generation > first.generation);
        ended.then(|| Evaluation {
            id: self.offset + self.study.told() + self.extra(self.study.told()),
            generation: self.offset + first.generation + 1,
            values: first.values.clone(),
        })
    }

    fn take(&mut self, evaluation: &Evaluation, entry: &Entry) -> Result<()> {
        let loss = entry.loss;
        if matches!(self.look, Look::Runs(id) if id == evaluation.id) {
            return self.settle(loss);
        }
        let id = self.candidate(evaluation);
        let generation = evaluation.generation - self.offset;
        let earlier = |(first, _): &(Candidate, f64)| {
            generation < first.generation || (generation == first.generation && id < first.id)
        };
        if let Some(loss) = loss.filter(|_| self.first.as_ref().is_none_or(earlier)) {
            self.first = Some((Candidate { id, generation, values: evaluation.values.clone() }, loss));
        }
        let told = loss.or_else(|| self.beyond_all(entry.violation?));
        self.study.tell(id, told.unwrap_or(f64::NAN))
    }

    /// What stands for the loss of a candidate that misses what is required by so much: worse than every loss, and the worse the more it
    /// misses (Deb, 2000), for strategies that see losses only in comparisons.
    fn beyond_all(&self, violation: f64) -> Option<f64> {
        const BEYOND: f64 = 1e250;
        let lower = BEYOND * (1.0 + violation.min(1e50));
        let sign = if self.session.settings.goal == Goal::Maximize { -1.0 } else { 1.0 };
        self.study.method().is_rank_based().then_some(sign * lower)
    }

    /// The repeated success has told whether there is noise: if so, what is left is shared out anew.
    fn settle(&mut self, again: Option<f64>) -> Result<()> {
        let checks = [self.first.as_ref().map(|(_, loss)| *loss), again];
        self.look = Look::Over;
        self.offset += 1;
        let noisy = differ(&checks);
        let extra: u64 = self.raises.iter().map(|raise| raise.extra).sum();
        let left = self.shares.budget - self.offset - extra - self.study.told();
        let reserve = if noisy { self.shares.reserve().min(left) } else { 0 };
        let search = self.shares.budget - self.offset - extra - reserve;
        self.choice = match self.chosen.pop_front() {
            Some((choice, before)) => match self.raises.get(before..).and_then(<[Raise]>::last) {
                // Raised since: the later shares hold.
                Some(raise) => Choice { search: raise.search, reserve: raise.reserve, ..choice },
                None => choice,
            },
            None => {
                let choice = Choice { noisy: Some(noisy), search, reserve, ..self.choice.clone() };
                self.session.add(&Line::Method(choice.clone()))?;
                choice
            }
        };
        let record = StudyRecord { budget: self.choice.search, ..self.study.record().clone() };
        self.study = Study::resume(record)?;
        self.session.say_choice(&self.choice, "the first success", &checks);
        Ok(())
    }

    /// Tells the study what the journal knows. What was asked for and never told waits to be run again.
    fn recall(&mut self) -> Result<()> {
        while self.session.knows_of_search() {
            let Some((phase, evaluation)) = self.ask() else { break };
            match self.session.recall(phase, &evaluation)? {
                Some(entry) => self.take(&evaluation, &entry)?,
                None => self.waiting.push_back((phase, evaluation)),
            }
        }
        if self.session.knows_of_search() { self.session.nothing_left_over() } else { Ok(()) }
    }
}

impl Queue for Searching<'_> {
    fn next(&mut self) -> Result<Option<Evaluation>> {
        let Some((phase, evaluation)) = self.waiting.pop_front().or_else(|| self.ask()) else {
            return Ok(None);
        };
        let first_has_ended = phase == Phase::Check || evaluation.generation > self.offset;
        if first_has_ended && self.session.tally.here >= ENOUGH && self.session.tally.never_started() {
            return Err(self.session.hopeless());
        }
        Ok(Some(evaluation))
    }

    fn done(&mut self, evaluation: &Evaluation, outcome: Outcome) -> Result<()> {
        let looks = matches!(self.look, Look::Runs(id) if id == evaluation.id);
        let phase = if looks { Phase::Check } else { Phase::Search };
        match self.session.note(phase, evaluation, outcome)? {
            Some(entry) => self.take(evaluation, &entry),
            None => Ok(()),
        }
    }
}

impl InSession for Searching<'_> {
    fn session(&mut self) -> &mut Session {
        self.session
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
                    let reserve = shares.reserve();
                    assert!(shares.checks + first + reserve <= budget, "{shares:?}");
                    assert!(reserve <= (budget / 4).max(6), "{shares:?}");
                    assert!(!(noisy && shares.checks > 0));
                }
            }
        }
        let shares = Shares::new(500, 8, false);
        assert_eq!((shares.checks, shares.reserve()), (2, 50));
        assert_eq!(Shares::new(49, 8, false).checks, 0);
        assert_eq!((Shares::new(12, 8, true).reserve(), Shares::new(8, 8, true).reserve()), (3, 0));
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
