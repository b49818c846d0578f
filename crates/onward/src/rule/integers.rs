//! Steps of one where the evidence is significant, found with integers alone (`onward-integer`, docs/integers.md).
//!
//! A step's scores, `s = Σ c x` for each weight, come from local credit in whole numbers; `S ← S − (S >> m) + s` and `Q ← Q − (Q >> (m − 1)) + s²`, and a weight
//! moves by `sign(S)` where `S² > z² Q`, `z` being the two-sided normal quantile of `α(t) = α₀ / (1 + (fall − 1) t/T)` (as votes are tested in arXiv 2511.16652). `S` and
//! `Q` are handed on from step to step with the state.

use super::descent::step_down;
use super::{Anneal, Clock, Configured, Next, Rule, Schedule};
use crate::ask::{IntegerPlan, ProbePlan, Spent, Told, misfit, whole_passes};
use crate::ledger::{Moves, Optimizer, Scaling, State, Update};
use crate::model::{Graph, IntegerMlp};
use crate::schema::{self, is};
use crate::{Result, keys};
use onward_integer::{MOST_ITEMS, Significance};
use std::sync::Arc;

keys! {
    /// The integers method.
    pub struct Integers: Copy {
        preset rate = 1.0;
        preset momentum = 0.0;
        preset scaling = Scaling::None;
        preset schedule = Anneal::Constant;
        preset final_rate = 1.0;
        /// The level of the test at the first step: the share of weights that would move by chance alone, in 65536ths.
        alpha: u32 = is(65536), 1.0..=65536.0;
        /// How much smaller the level is at the last step.
        fall: u32 = is(4), 1.0..=1048576.0;
        /// Scores count for about two to the power of so many steps.
        memory: u32 = is(4), 2.0..=30.0;
    }
}

impl Configured for Integers {
    fn moves(&self) -> Moves {
        Moves::Directions
    }

    fn at_work(&self, graph: &Graph) -> Result<Arc<dyn Rule>> {
        schema::fits(self, "method")?;
        IntegerMlp::of(graph)?;
        Ok(Arc::new(Tested(*self)))
    }

    fn check_keys(&self, rows: usize, batch: &str) -> Result<()> {
        if rows <= MOST_ITEMS {
            return Ok(());
        }
        Err(misfit("name", format!("another method, or at most {MOST_ITEMS} samples a step"), batch))
    }

    /// Weights move by one.
    fn check_optimizer(&self, optimizer: Optimizer) -> Result<()> {
        if optimizer.momentum != 0.0 {
            return Err(misfit("momentum", format!("0{ONE}"), optimizer.momentum));
        }
        if optimizer.scaling != Scaling::None {
            return Err(misfit("scaling", format!("none{ONE}"), optimizer.scaling.name()));
        }
        Ok(())
    }

    /// At every step the rate is 1.
    fn check_schedule(&self, schedule: &Schedule) -> Result<()> {
        let Schedule { rate, anneal, final_share, warmup, .. } = *schedule;
        let one = |key, found| misfit(key, format!("1{ONE}"), found);
        if rate != 1.0 {
            return Err(one("rate", rate));
        }
        if anneal != Anneal::Constant && final_share != 1.0 {
            return Err(one("final_rate", final_share));
        }
        if warmup > 0 {
            return Err(misfit("warmup", format!("0{ONE}"), warmup));
        }
        Ok(())
    }
}

/// Why there is nothing else.
const ONE: &str = ": a weight moves by one";

/// The method's rule.
struct Tested(Integers);

impl Rule for Tested {
    fn check(&self, graph: &Graph, rows: usize) -> Result<()> {
        if !(1..=MOST_ITEMS).contains(&rows) {
            return Err(misfit("batch", format!("1 to {MOST_ITEMS} samples"), rows));
        }
        match graph.rates().iter().find(|rate| **rate != 1.0) {
            None => Ok(()),
            Some(rate) => Err(misfit("rate", format!("1 for every tensor{ONE}"), rate)),
        }
    }

    fn ask(&self, _: &State, clock: &Clock) -> Result<ProbePlan> {
        let Integers { alpha, fall, memory } = self.0;
        let significance = Significance { alpha, fall, steps: clock.schedule.steps.max(1), memory };
        let test = significance.at(clock.step - clock.begin.min(clock.step));
        Ok(ProbePlan::Integers(IntegerPlan { threshold: test.threshold, memory }))
    }

    fn tell(&self, state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
        step_down(state, clock, told)
    }

    /// The clean pass; then, of each layer but the first, one evaluation for each of its inputs and two of the narrowing before it.
    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        let mut spent = whole_passes(graph, 1, clock.batch as u64);
        for spec in graph.tensors().iter().skip(1) {
            let (outputs, inputs) = (spec.shape[0] as u64, spec.shape[1] as u64 - 1);
            let (passes, rows) = (inputs + 2, clock.batch as u64);
            let flops = rows * inputs * 2 * outputs * (inputs + 1);
            spent += Spent { passes, samples: passes * rows, flops, non_finite: 0 };
        }
        spent
    }
}
