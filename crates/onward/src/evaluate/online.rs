//! The derivative of a step of streams, with what earlier steps did to their states.

use super::{Batch, Local};
use crate::Result;
use crate::ask::Response;
use crate::model::{Context, Norms};
use crate::noise::RunKey;
use crate::params::Params;
use crate::rule::worst_for_non_finite;
use crate::space::{
    Credit, Derivative, Descent, Influence, OnlinePlan, Reached, Streams, Stretch, credit_at_answer,
};
use crate::task::mean;

impl Local {
    /// The derivative of the mean loss of the next rows of streams by the params of the plan's stages, and what the streams hand on. It is exact
    /// but for two things: what local credit is exact to ([`Local::local_derivative`]), and that influence of earlier steps is that of the params as they
    /// were then.
    ///
    /// # Errors
    /// As for [`Local::local_derivative`]; [`crate::ErrorKind::Model`] if the model carries nothing, influence cannot pass an operation, or `streams` are others';
    /// [`crate::ErrorKind::NonFinite`] if a state is no number.
    pub fn online_derivative(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        OnlinePlan { local: plan, cut }: &OnlinePlan,
        streams: &Streams,
    ) -> Result<Response> {
        let graph = &*self.meets(params, batch)?;
        plan.check(graph)?;
        let (task, rows) = (self.task_of_rows()?, batch.x.rows);
        let influence = Influence::new(graph, &plan.stages, rows)?;
        let (states, before) = (influence.states(streams)?, influence.before(streams, *cut)?);
        self.run(|| {
            let weights = &self.packed(params);
            let chance = batch.chance(key, plan.step);
            let mut cx = Context::clean(weights, Norms::Batch).with_chance(chance.clone());
            cx.start_trace();
            let (flow, after) = graph.flow_from(&mut cx, batch.x.clone(), states);
            let mut trace = cx.take_trace();
            trace.silence_overflow();
            let mut losses = vec![0.0; rows];
            task.of_rows(&flow.outputs, batch.answers(), &mut losses)?;
            let (answer, mut non_finite) = credit_at_answer(task, &flow.outputs, batch.answers(), plan.sigma);
            let descent = Descent {
                graph,
                weights,
                statistics: &[],
                flow: &flow,
                times: 1,
                trace: &trace,
                plan,
                buffer_pools: &self.buffer_pools,
                task,
                answers: batch.answers(),
                losses: &losses,
                chance,
                known: &[],
            };
            let (begins, ends) = graph.carry_nodes();
            let mut earned: Vec<Credit> = plan.stages.iter().map(|_| Credit::default()).collect();
            let mut owed = Columns::new(graph, rows, influence.carried);
            non_finite +=
                descent.from([(graph.output(), answer.into())], &plan.stages, &begins, |at, g| match at {
                    Reached::End(node) => owed.put(node, g),
                    Reached::Stage(stage) => {
                        let Ok(place) = plan.stages.binary_search(&stage) else { return };
                        earned[place].add(graph, stage, params, &trace, g, Stretch::all(rows));
                    }
                })?;
            let mut derivative: Derivative = vec![None; params.tensors().len()];
            for (stage, earned) in plan.stages.iter().zip(earned) {
                earned.give(graph, *stage, &mut derivative);
            }
            if let Some(before) = before.filter(|_| !cut) {
                influence.earn(&owed.all, before, &mut derivative);
            }
            let mut finite = losses.clone();
            non_finite += worst_for_non_finite(&mut finite, u64::from(plan.step))?;
            let loss = mean(&finite);
            let streams = if *cut {
                influence.after(&after, None)?
            } else {
                let descent = Descent { times: influence.carried, ..descent };
                let units = influence.units().into_iter().map(Into::into);
                let mut through = Columns::new(graph, rows * influence.carried, influence.carried);
                let mut direct = Vec::new();
                descent.from(ends.into_iter().zip(units), &influence.stages, &begins, |at, g| match at {
                    Reached::End(node) => through.put(node, g),
                    Reached::Stage(stage) => direct.push((stage, g.to_vec())),
                })?;
                let influence_after = influence.followed(&through.all, before, &direct, &trace);
                influence.after(&after, Some(influence_after))?
            };
            Ok(Response {
                loss,
                derivative,
                norms: Vec::new(),
                costs: Vec::new(),
                non_finite,
                saturated: 0,
                streams,
            })
        })
    }
}

/// Credit at the states before a step, those of all carries side by side.
struct Columns {
    all: Vec<f32>,
    width: usize,
    /// The node of each carry's beginning, its first column and how many it has.
    places: Vec<(usize, usize, usize)>,
}

impl Columns {
    fn new(graph: &crate::model::Graph, rows: usize, width: usize) -> Self {
        let (mut first, mut places) = (0, Vec::new());
        for (node, (_, shape)) in graph.carry_nodes().0.into_iter().zip(graph.carries()) {
            let own = shape.iter().product();
            places.push((node, first, own));
            first += own;
        }
        Self { all: vec![0.0; rows * width], width, places }
    }

    fn put(&mut self, node: usize, g: &[f32]) {
        for (_, first, own) in self.places.iter().filter(|(begin, ..)| *begin == node) {
            let rows = self.all.chunks_exact_mut(self.width).zip(g.chunks_exact(*own));
            rows.for_each(|(all, g)| all[*first..first + own].copy_from_slice(g));
        }
    }
}
