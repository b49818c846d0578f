//! Restarts with larger populations (IPOP: Auger and Hansen, CEC 2005) and, in turn with them, with small ones and small
//! steps (BIPOP: Hansen, GECCO 2009 workshop on black-box optimization benchmarking).
//!
//! Each large run has twice the members of the one before. Before each further run the regime that has used fewer
//! evaluations is chosen; a small run has `⌊λ₀ (½ λ_large/λ₀)^{U²}⌋` members and the initial steps times `10^{−2U}`, with U
//! uniform in [0, 1], and at most half the evaluations of the last large run. A run also ends once it converges to a loss
//! above what a run before it has found: that is where most evaluations would go on functions of many optima
//! (`bench/bbob/README.md`). New runs begin uniformly in the start's
//! neighbourhood of two standard deviations: for bounded dimensions the whole box.

use super::super::draws::Draws;
use super::history::History;
use super::{Setup, Stop, Strategy};
use onward_kernel::{exp64, ln64};
use serde::{Deserialize, Serialize};

/// What happens when a run can make no further progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restarts {
    /// No restarts: the study ends.
    None,
    /// Restarts with twice the members each time.
    Ipop,
    /// Restarts with more members and small runs in turn.
    #[default]
    Bipop,
}

/// What makes the runs of one strategy, one after another.
pub trait Runs: Send + Sync + Clone + 'static {
    /// A run.
    type Run: Strategy + Clone;

    /// The losses of a run so far.
    fn history(run: &Self::Run) -> &History;

    /// A run with this many members from `start`, with the setup's steps times `factor`.
    fn run(&self, setup: &Setup, members: usize, start: Vec<f64>, factor: f64) -> Self::Run;
}

/// Restarted runs.
#[derive(Clone)]
pub struct Restarting<R: Runs> {
    runs: R,
    setup: Setup,
    policy: Restarts,
    run: R::Run,
    members: usize,
    /// Members of the last large run.
    large: usize,
    regime: Regime,
    /// Evaluations of all small and of all large runs that have ended, and of the last large one.
    used: [u64; 2],
    last_large: u64,
    /// Evaluations of this run, and those it may have.
    spent: u64,
    allowed: u64,
    lowest: f64,
    /// The lowest loss of all ended runs and the centre where its run ended.
    champion: Option<(f64, Vec<f64>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Regime {
    First,
    Small,
    Large,
}

/// The candidate that restarts draw from: no generation has so many.
const RESTART: usize = u32::MAX as usize;

impl<R: Runs> Restarting<R> {
    /// The first run, with `members`.
    pub fn new(runs: R, setup: &Setup, policy: Restarts, members: usize) -> Self {
        Self {
            run: runs.run(setup, members, setup.start.clone(), 1.0),
            runs,
            setup: setup.clone(),
            policy,
            members,
            large: members,
            regime: Regime::First,
            used: [0; 2],
            last_large: 0,
            spent: 0,
            allowed: u64::MAX,
            lowest: f64::INFINITY,
            champion: None,
        }
    }

    /// Whether this run converges to more than one before it has found.
    fn is_beaten(&self) -> bool {
        self.champion.as_ref().is_some_and(|(loss, _)| R::history(&self.run).is_beaten_by(*loss))
    }

    fn restart(&mut self, draws: Draws) {
        match self.regime {
            Regime::First => {}
            Regime::Small => self.used[0] += self.spent,
            Regime::Large => self.used[1] += self.spent,
        }
        if self.regime != Regime::Small {
            self.last_large = self.spent;
        }
        if self.champion.as_ref().is_none_or(|c| self.lowest < c.0) {
            self.champion = self.run.centre().map(|c| (self.lowest, c.to_vec()));
        }
        let small =
            self.policy == Restarts::Bipop && self.regime != Regime::First && self.used[0] < self.used[1];
        let (members, factor) = if small { self.small_run(draws) } else { self.large_run() };
        let uniform = |i: usize| draws.uniform(RESTART, 4 + i);
        let start = (0..self.setup.dimension())
            .map(|i| self.setup.start[i] + 2.0 * self.setup.sigma[i] * (2.0 * uniform(i) - 1.0));
        self.run = self.runs.run(&self.setup, members, start.collect(), factor);
        self.spent = 0;
        self.lowest = f64::INFINITY;
    }

    fn small_run(&mut self, draws: Draws) -> (usize, f64) {
        let (u, v) = (draws.uniform(RESTART, 0), draws.uniform(RESTART, 1));
        let ratio = 0.5 * self.large as f64 / self.members as f64;
        let members = (self.members as f64 * exp64(u * u * ln64(ratio))) as usize;
        self.regime = Regime::Small;
        self.allowed = self.last_large / 2;
        (members.max(self.members), exp64(-2.0 * v * std::f64::consts::LN_10))
    }

    fn large_run(&mut self) -> (usize, f64) {
        self.regime = Regime::Large;
        self.allowed = u64::MAX;
        self.large *= 2;
        (self.large, 1.0)
    }
}

impl<R: Runs> Strategy for Restarting<R> {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        if self.run.stop().is_some() || self.spent >= self.allowed || self.is_beaten() {
            self.restart(draws);
        }
        self.run.ask(draws, points);
    }

    fn tell(&mut self, losses: &[f64]) {
        self.spent += losses.len() as u64;
        self.lowest = losses.iter().fold(self.lowest, |l, v| l.min(*v));
        self.run.tell(losses);
    }

    fn centre(&self) -> Option<&[f64]> {
        match &self.champion {
            Some((loss, centre)) if *loss <= self.lowest => Some(centre),
            _ => self.run.centre(),
        }
    }

    fn stop(&self) -> Option<Stop> {
        if self.policy == Restarts::None { self.run.stop() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::space::Space;
    use super::super::{CmaEs, StrategyKind};
    use super::*;

    /// Evaluations of the first run, and of the second if what it finds is worse by `behind`.
    fn lengths(behind: f64) -> [usize; 2] {
        let setup = Setup::of(&Space::reals(5, 1.0, 0.5).unwrap());
        let ipop = CmaEs { restarts: Restarts::Ipop, ..CmaEs::default() };
        let mut strategy = StrategyKind::CmaEs(ipop).begin(&setup).unwrap();
        let (mut lengths, mut generation) = ([0; 2], 0);
        loop {
            let mut points = Vec::new();
            strategy.ask(Draws::new(1, generation), &mut points);
            // Each run has twice the members of the one before.
            let run = points.len() / 5 / 8 - 1;
            if run > 1 {
                return lengths;
            }
            lengths[run] += points.len() / 5;
            let floor = if run == 1 { behind } else { 0.0 };
            let losses: Vec<f64> =
                points.chunks(5).map(|x| floor + x.iter().map(|x| x * x).sum::<f64>()).collect();
            strategy.tell(&losses);
            generation += 1;
        }
    }

    #[test]
    fn a_run_ends_early_if_it_converges_to_more_than_another_found() {
        let [alone, level] = lengths(0.0);
        let [same, behind] = lengths(1.0);
        assert_eq!(alone, same);
        assert!(2 * behind < level, "{behind} of {level}");
    }
}
