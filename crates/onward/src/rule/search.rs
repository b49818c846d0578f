//! Strategies as methods for nets: every one of [`crate::study`] trains a net, with whole sets of params as candidates.
//!
//! All candidates of a generation see the same batch, so that what a batch has in common cancels in every comparison; the
//! next generation sees the next batch. The ledger keeps the losses and nothing else: base params, settings and losses
//! determine where the strategy stands ([`crate::ledger::Search`]), so a replay needs no data, and the params after a step
//! are the point that the strategy would name then.
//!
//! A strategy that keeps a best point and compares later candidates with the loss that this point once had would stay for
//! ever where a batch was easy. It is therefore told `remembered + (loss − loss of its point on the same batch)`
//! ([`Incumbent::Anew`]): as in MiSTP (Boucherouite et al., AAAI 2024), for one more evaluation in each generation. That a
//! small batch is improved on by nearly any step it does not cure: where step sizes follow success (`one-plus-one`, `stp`,
//! `smtp`), batches must be large, or all rows. Nor does it help `nesterov-spokoiny` to learn its constant: on batches that must
//! be given. `bench/search.md` has all of them on the same small net.

use super::heard::{losses, none_came, nothing_finite};
use super::{Clock, Configured, Next, Outcome, Rule};
use crate::ask::{ProbePlan, Spent, Told, whole_passes};
use crate::ledger::{Entry, Incumbent, Moves, Search, State, Update};
use crate::model::Graph;
use crate::study::{Restarts, StrategyKind};
use crate::task::mean;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// The one strategy whose name a method of nets has already, and its name here.
const RENAMED: (&str, &str) = ("two-point", "mirror-descent");

impl Search {
    /// The names of the strategies for nets, each with a description.
    pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
        let renamed = |name| if name == RENAMED.0 { RENAMED.1 } else { name };
        // A net needs a centre, which points that follow from no loss do not have.
        let trains = |name: &str| StrategyKind::named(name).is_ok_and(|kind| !kind.is_design());
        let all = StrategyKind::NAMES.iter().filter(move |(name, _)| trains(name));
        all.map(move |(name, about)| (renamed(*name), *about))
    }

    /// The search of this name with the defaults for nets (`bench/search.md`).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] listing the names that there are.
    pub fn named(name: &str) -> Result<Self> {
        let mut strategy = StrategyKind::named(if name == RENAMED.1 { RENAMED.0 } else { name })?;
        if strategy.is_design() {
            let expected = "a strategy that learns from losses";
            return Err(Error::expected(ErrorKind::Spec, "method", expected, format!("`{name}`")));
        }
        match &mut strategy {
            // A net is not begun anew from random params because its losses have stopped falling for a while.
            StrategyKind::CmaEs(s) => s.restarts = Restarts::None,
            StrategyKind::SepCmaEs(s) => s.restarts = Restarts::None,
            StrategyKind::LmMaEs(s) => s.restarts = Restarts::None,
            // Differences must not drown in single precision.
            StrategyKind::NesterovSpokoiny(s) => s.probe = 0.01,
            _ => {}
        }
        let sigma = match &strategy {
            // Its steps only ever become smaller.
            StrategyKind::Mistp(_) => 1.0,
            // Their probes are a tenth of it.
            StrategyKind::OpenAiEs(_) | StrategyKind::MirrorDescent(_) => 3.0,
            _ => 0.3,
        };
        Ok(Self { strategy, sigma, incumbent: Incumbent::Anew })
    }

    /// The name in specs and ledgers.
    pub fn name(&self) -> &'static str {
        let name = self.strategy.name();
        if name == RENAMED.0 { RENAMED.1 } else { name }
    }
}

impl Configured for Search {
    fn moves(&self) -> Moves {
        Moves::Search(self.clone())
    }

    fn advice(&self) -> &'static str {
        "halve method.sigma, or centre and scale the data (data.center)"
    }

    fn at_work(&self, _: &Graph) -> Result<Arc<dyn Rule>> {
        Ok(Arc::new(self.clone()))
    }
}

/// One generation a step: a candidate without a finite loss, or whose loss never came, has none.
impl Rule for Search {
    /// Its state has checked it: that needs the params.
    fn check(&self, _: &Graph, _: usize) -> Result<()> {
        Ok(())
    }

    fn ask(&self, _: &State, _: &Clock) -> Result<ProbePlan> {
        Ok(ProbePlan::Points)
    }

    fn tell(&self, _: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
        let told = losses(told, clock.step)?;
        let none = |l: &Option<f32>| l.filter(|l| l.is_finite()).unwrap_or(f32::INFINITY);
        let losses: Vec<f32> = told.iter().map(none).collect();
        let missing = told.iter().filter(|l| l.is_none()).count() as u64;
        let non_finite = losses.iter().filter(|l| l.is_infinite()).count() as u64 - missing;
        if missing == losses.len() as u64 {
            return Err(none_came(clock.step));
        }
        if clock.step == 0 && losses.iter().all(|l| l.is_infinite()) {
            return Err(nothing_finite(clock.step, losses.first()));
        }
        let loss = mean_of_finite(&losses);
        let (step, rate, update) = (clock.step, clock.rate(), Update::Losses(losses));
        let entry = Entry { step, loss, rate, non_finite, update };
        Ok(Next::Step(Outcome { missing, ..Outcome::of(entry) }))
    }

    fn cost(&self, graph: &Graph, clock: &Clock, update: &Update) -> Spent {
        let candidates = if let Update::Losses(losses) = update { losses.len() } else { 0 };
        whole_passes(graph, candidates as u64, clock.batch as u64)
    }
}

/// The mean of the finite losses; infinite if there is none.
fn mean_of_finite(losses: &[f32]) -> f32 {
    let finite: Vec<f32> = losses.iter().copied().filter(|l| l.is_finite()).collect();
    if finite.is_empty() { f32::INFINITY } else { mean(&finite) }
}
