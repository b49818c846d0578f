//! Relative loss of one operation at a time: local credit, from the answer of the model down.
//!
//! At the model's answer the derivative of the loss is known without any probe (probabilities less one-hot labels; answers less
//! targets). Each operation below is then judged alone: what a small change of its input does to its output, held against the credit of
//! that output, is the credit of the input (see `space/local.rs` and `docs/local.md`). A linear map earns `Σ ĝ xᵀ`. No derivative of an
//! operation is taken: steps and roundings earn what differences of the given size say.

use super::descent::step_down;
use super::{Anneal, Clock, Configured, Next, Rule};
use crate::ask::{ProbePlan, Spent, Told, check_sigma, misfit, whole_passes};
use crate::ledger::{Moves, Scaling, State, Update};
use crate::model::Graph;
use crate::schema::{self, is};
use crate::space::{Differences, LocalPlan, OnlinePlan, Places, Samples, TwinNoise, TwinPlan};
use crate::{Result, keys};
use std::sync::Arc;

keys! {
    /// The relative-local method.
    pub struct RelativeLocal: Copy {
        shared
        /// The size of the perturbations.
        sigma: f32 = 0.01;
        preset rate = 0.05;
        preset momentum = 0.9;
        preset scaling = Scaling::None;
        preset schedule = Anneal::Cosine;
        preset final_rate = 0.0;
        /// The number of layers that learn, counted from the model's answer; 0 for all. Those below keep their initial weights and cost nothing.
        top: u32 = is(0), 0.0..=65536.0;
        /// How the chances of samples inside the model earn credit.
        samples: Samples = is(Samples::Swaps);
        /// How often each sample is drawn in a step, where `samples` is "leave-one-out".
        times: u32 = is(8), 2.0..=65536.0;
        /// Draws of noise by which credit is found from differences of the loss alone, at places of the net (`differences_at`), instead of coming down all the
        /// way; `sigma` is then in root mean squares of what is moved. 0 for none.
        differences: u32 = is(0), 0.0..=65536.0;
        /// Where credit is found so.
        differences_at: Places = is(Places::Stream);
        /// What the loss of a later item (a token) counts for noise at an earlier one, for each item between, in such differences.
        discount: f32 = is(0.3), 0.0..=1.0;
    }
}

impl Configured for RelativeLocal {
    fn moves(&self) -> Moves {
        Moves::Directions
    }

    fn at_work(&self, graph: &Graph) -> Result<Arc<dyn Rule>> {
        let RelativeLocal { sigma, top, samples, times: draws, differences, discount, differences_at: at } =
            *self;
        let differences = (differences > 0).then_some(Differences { at, draws: differences, discount });
        let mut stages = trained(graph);
        if top != 0 {
            stages.drain(..stages.len().saturating_sub(top as usize));
        }
        schema::fits(self, "method")?;
        LocalRule {
            plan: LocalPlan { step: 0, stages, sigma, samples, draws, differences },
            asks: Asks::Rows,
        }
        .bound(graph)
    }
}

/// The stages that learn.
pub(super) fn trained(graph: &Graph) -> Vec<usize> {
    (0..graph.stages()).filter(|stage| graph.stage_trains(*stage)).collect()
}

/// The rule of the methods that follow local credit, for one model.
pub(super) struct LocalRule {
    /// What is asked for, but for the step.
    pub plan: LocalPlan,
    pub asks: Asks,
}

/// What a rule that follows local credit asks about.
pub(super) enum Asks {
    /// Rows that stand alone.
    Rows,
    /// Streams with the influence of all steps before, unless credit is cut off behind the step.
    Streams { cut: bool },
    /// Streams with twins that live so long, and where their noise is.
    Twins(Vec<u32>, TwinNoise),
}

impl LocalRule {
    /// The rule for a model that credit can pass: what cannot earn it is told before anything is worked out.
    pub fn bound(self, graph: &Graph) -> Result<Arc<dyn Rule>> {
        self.probes(graph, 0, 1)?;
        Ok(Arc::new(self))
    }

    fn asked(&self, step: u64) -> ProbePlan {
        let local = LocalPlan { step: step as u32, ..self.plan.clone() };
        match &self.asks {
            Asks::Rows => ProbePlan::Local(local),
            Asks::Streams { cut } => ProbePlan::Online(OnlinePlan { local, cut: *cut }),
            Asks::Twins(lengths, place) => {
                ProbePlan::Twins(TwinPlan { local, lengths: lengths.clone(), place: *place })
            }
        }
    }

    /// What a step costs beyond the clean pass.
    fn probes(&self, graph: &Graph, step: u64, rows: usize) -> Result<Spent> {
        match self.asked(step) {
            ProbePlan::Online(plan) => plan.cost(graph, rows),
            ProbePlan::Twins(plan) => plan.cost(graph, rows),
            _ => self.plan.cost(graph, rows),
        }
    }
}

impl Rule for LocalRule {
    fn check(&self, graph: &Graph, rows: usize) -> Result<()> {
        if self.plan.stages.is_empty() {
            return Err(misfit("rate", "at least one layer whose rate is not 0", 0));
        }
        let in_stream = self.plan.differences.is_some_and(|how| how.at == Places::Stream);
        if in_stream && !(0..graph.stages()).any(|stage| graph.is_stream(stage)) {
            return Err(misfit("differences", "0, as the net has no residual connections", "some"));
        }
        if rows < 1 {
            return Err(misfit("batch", "at least 1 sample", rows));
        }
        check_sigma(&[self.plan.sigma])
    }

    fn ask(&self, _: &State, clock: &Clock) -> Result<ProbePlan> {
        Ok(self.asked(clock.step))
    }

    fn tell(&self, state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
        step_down(state, clock, told)
    }

    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        let mut spent = whole_passes(graph, 1, clock.batch as u64);
        // A graph that has no cost has no rule either.
        spent += self.probes(graph, clock.step, clock.batch).unwrap_or_default();
        spent
    }
}
