//! Learning at every step of streams that never end: nothing waits for later inputs, nothing is kept of earlier ones but states and their influence.
//!
//! Each step sees the next row of every stream (`data.streams`). Its loss earns local credit, as for `relative-local`; what it owes to earlier steps
//! is the credit at the states that it began with, times how these follow from the params (`space/influence.rs`). Params change after each
//! step; the same stream altered after some place leaves them the same up to there, to the bit.

use super::descent::step_down;
use super::{Anneal, Clock, Configured, Next, Rule};
use crate::ask::{ProbePlan, Spent, Told, check_sigma, misfit, whole_passes};
use crate::ledger::{Moves, Scaling, State, Update};
use crate::model::Graph;
use crate::schema::{self, is};
use crate::space::{LocalPlan, OnlinePlan, Samples};
use crate::{Result, keys};
use std::sync::Arc;

keys! {
    /// The online method.
    pub struct Online: Copy {
        shared
        /// The size of the perturbations.
        sigma: f32 = 0.01;
        preset rate = 0.003;
        preset momentum = 0.9;
        preset scaling = Scaling::Adam;
        preset schedule = Anneal::Constant;
        preset final_rate = 1.0;
        /// Does credit end with the step? The states go on, but what they owe to earlier steps earns nothing: what truncated backpropagation through one
        /// step knows.
        cut: bool = is(false);
    }
}

impl Configured for Online {
    fn moves(&self) -> Moves {
        Moves::Directions
    }

    fn in_streams(&self) -> bool {
        true
    }

    fn at_work(&self, graph: &Graph) -> Result<Arc<dyn Rule>> {
        let stages = (0..graph.stages()).filter(|stage| graph.stage_trains(*stage)).collect();
        let rule = OnlineRule { method: *self, stages };
        // What cannot earn credit is told before anything is worked out.
        rule.plan(0).cost(graph, 1)?;
        Ok(Arc::new(rule))
    }
}

/// The rule of the online method for one model.
struct OnlineRule {
    method: Online,
    stages: Vec<usize>,
}

impl OnlineRule {
    fn plan(&self, step: u64) -> OnlinePlan {
        let (stages, Online { sigma, cut }) = (self.stages.clone(), self.method);
        // Nothing is drawn by chance.
        let local = LocalPlan { step: step as u32, stages, sigma, samples: Samples::Swaps, draws: 2 };
        OnlinePlan { local, cut }
    }
}

impl Rule for OnlineRule {
    fn check(&self, _: &Graph, streams: usize) -> Result<()> {
        if self.stages.is_empty() {
            return Err(misfit("rate", "at least one layer whose rate is not 0", 0));
        }
        if streams < 1 {
            return Err(misfit("batch", "at least 1 stream", streams));
        }
        schema::fits(&self.method, "method")?;
        check_sigma(&[self.method.sigma])
    }

    fn ask(&self, _: &State, clock: &Clock) -> Result<ProbePlan> {
        Ok(ProbePlan::Online(self.plan(clock.step)))
    }

    fn tell(&self, state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
        step_down(state, clock, told)
    }

    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        let mut spent = whole_passes(graph, 1, clock.batch as u64);
        // A graph that has no cost has no rule either.
        spent += self.plan(clock.step).cost(graph, clock.batch).unwrap_or_default();
        spent
    }
}
