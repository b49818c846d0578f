//! Local credit at the sites of stages, credited to their params.

use super::{Batch, Local};
use crate::Result;
use crate::ask::{Response, check_sigma, misfit};
use crate::model::{Context, Flow, Graph, Norms, Numbers, Trace, Weights};
use crate::noise::RunKey;
use crate::params::Params;
use crate::rule::worst_for_non_finite;
use crate::space::{
    Again, Credit, Derivative, Descent, LocalPlan, Streams, Stretch, credit_at_answer, losses,
};
use crate::task::mean;
use std::ops::Range;

/// What the rows so far told.
struct Told {
    losses: Vec<f32>,
    /// Of the plan's stages, the last one first.
    stages: Vec<Credit>,
    non_finite: u64,
}

impl Told {
    fn new(plan: &LocalPlan) -> Self {
        Self {
            losses: Vec::new(),
            stages: plan.stages.iter().map(|_| Credit::default()).collect(),
            non_finite: 0,
        }
    }

    fn response(mut self, plan: &LocalPlan, graph: &Graph, params: &Params) -> Result<Response> {
        let lost = worst_for_non_finite(&mut self.losses, u64::from(plan.step))?;
        let mut derivative: Derivative = vec![None; params.tensors().len()];
        for (stage, earned) in plan.stages.iter().rev().zip(self.stages) {
            earned.give(graph, *stage, &mut derivative);
        }
        let non_finite = self.non_finite + lost;
        Ok(Response {
            loss: mean(&self.losses),
            derivative,
            norms: Vec::new(),
            costs: Vec::new(),
            non_finite,
            saturated: 0,
            streams: Streams::default(),
        })
    }
}

impl Local {
    /// The derivative of the batch's mean loss by the params of the plan's stages, from local credit.
    ///
    /// # Errors
    /// As for [`Local::derivative`]; [`crate::ErrorKind::Model`] if credit cannot pass an operation.
    pub fn local_derivative(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &LocalPlan,
    ) -> Result<Response> {
        let graph = self.meets(params, batch)?;
        plan.check(&graph)?;
        let mut told = Told::new(plan);
        self.descend(&mut told, (key, params, &graph), batch, plan, Stretch::all(batch.x.rows))?;
        self.run(|| told.response(plan, &graph, params))
    }

    /// The same on pieces of a batch of so many rows of a shape, which `read` gives by their places, to the same bits.
    pub(super) fn local_derivative_of_pieces(
        &self,
        (key, params): (&RunKey, &Params),
        (shape, rows, piece): ([usize; 3], usize, usize),
        plan: &LocalPlan,
        mut read: impl FnMut(Range<usize>) -> Result<Batch>,
    ) -> Result<Response> {
        let graph = self.graph(shape)?;
        plan.check(&graph)?;
        let mut told = Told::new(plan);
        for at in Stretch::pieces(&graph, rows, piece) {
            let batch = read(at.first..at.first + at.rows)?;
            let graph = self.meets(params, &batch)?;
            self.descend(&mut told, (key, params, &graph), &batch, plan, at)?;
        }
        self.run(|| told.response(plan, &graph, params))
    }

    /// Adds what some rows of a batch tell.
    fn descend(
        &self,
        told: &mut Told,
        (key, params, graph): (&RunKey, &Params, &Graph),
        batch: &Batch,
        plan: &LocalPlan,
        at: Stretch,
    ) -> Result<()> {
        let task = self.task_of_rows()?;
        self.run(|| {
            let weights = &self.packed(params);
            let mut cx = Context::clean(weights, Norms::Batch).with_buffers(self.buffers.clone());
            let chance = batch.chance(key, plan.step);
            cx = cx.with_chance(chance.clone());
            cx.start_trace_behind(graph.learned_behind());
            let flow = &graph.flow_of_learned(&mut cx, batch.x.clone());
            let mut trace = cx.take_trace();
            trace.silence_overflow();
            let first = told.losses.len();
            told.losses.resize(first + batch.x.rows, 0.0);
            task.of_rows(&flow.outputs, batch.answers(), &mut told.losses[first..])?;
            let (answer, lost) = credit_at_answer(task, &flow.outputs, batch.answers(), plan.sigma);
            told.non_finite += lost;
            let known =
                self.credit_of_stream((key, params, graph), batch, plan, at, (flow, &trace, weights), told)?;
            let descent = Descent {
                graph,
                weights,
                statistics: &trace.statistics,
                flow,
                times: 1,
                trace: &trace,
                plan,
                buffer_pools: &self.buffer_pools,
                task,
                answers: batch.answers(),
                losses: &told.losses[first..],
                chance,
                known: &known,
            };
            let last = plan.stages.len();
            told.non_finite += descent.run(&plan.stages, answer.into(), |stage, g| {
                let Ok(place) = plan.stages.binary_search(&stage) else { return };
                told.stages[last - 1 - place].add(graph, stage, params, &trace, g, at);
            })?;
            Ok(())
        })
    }
}

impl Local {
    /// The credit of the stream, where the plan has it found by differences of the loss.
    fn credit_of_stream(
        &self,
        (key, _, graph): (&RunKey, &Params, &Graph),
        batch: &Batch,
        plan: &LocalPlan,
        at: Stretch,
        (flow, trace, weights): (&Flow, &Trace, &Weights<'_>),
        told: &mut Told,
    ) -> Result<Vec<(usize, Numbers)>> {
        let Some(how) = plan.differences else { return Ok(Vec::new()) };
        let (task, answers) = (self.task_of_rows()?, batch.answers());
        let clean = losses(task, &flow.outputs, answers);
        let again = Again {
            graph,
            weights,
            statistics: &trace.statistics,
            task,
            answers,
            key,
            step: plan.step,
            sigma: plan.sigma,
            first: at.first,
            buffer_pools: &self.buffer_pools,
            clean: &clean,
        };
        let one = |stage: usize| {
            let stream = how.measured_by(graph, stage).map(|own| graph.cut(flow, own).site);
            let pass = graph.cut(flow, stage);
            let g = again.credit(stage, &pass, stream.as_ref(), how, &mut told.non_finite);
            (graph.site_of(stage), g)
        };
        Ok(how.places(graph, &plan.stages).into_iter().map(one).collect())
    }
}

impl LocalPlan {
    pub(super) fn check(&self, graph: &Graph) -> Result<()> {
        let ascending = self.stages.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || self.stages.last().is_none_or(|last| *last >= graph.stages()) {
            let expected = format!("ascending stages in 0..{}", graph.stages());
            return Err(misfit("top", expected, format!("{:?}", self.stages)));
        }
        if self.draws < 2 {
            return Err(misfit("times", "at least 2", self.draws));
        }
        check_sigma(&[self.sigma])
    }
}
