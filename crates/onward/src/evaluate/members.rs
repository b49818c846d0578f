//! The losses of many members: groups of neighbours, each worked through a few members at a time.

use super::{Batch, Local};
use crate::ask::WeightPlan;
use crate::model::{
    Act, BufferPool, Chance, Context, Graph, Neighbours, Norms, Probe, SharedProduct, TensorKeys,
    WeightSpace, Weights,
};
use crate::noise::RunKey;
use crate::params::Params;
use crate::task::Answers;
use crate::threads::prelude::*;

/// Numbers that a layer's input and output may have for all members that run together: half of a second-level cache.
const HOT: usize = 1 << 17;
/// Groups that there should be, so that many threads end at about the same time.
const GROUPS: usize = 64;
/// Members of one group at most.
const NEIGHBOURS: usize = 32;

/// How the members of a plan are cut; the same for any number of threads.
#[derive(Clone, Copy)]
struct Cut {
    /// Members of one group.
    group: usize,
    /// Members that run together.
    chunk: usize,
}

impl Cut {
    fn of(graph: &Graph, batch: &Batch, plan: &WeightPlan) -> Self {
        let rows = if plan.share == 0 { batch.x.rows } else { plan.share };
        // Rows that all members see are no member's own.
        let mut before = if plan.share == 0 { 0 } else { batch.x.width() };
        let mut widest = 1;
        for stage in 0..graph.stages() {
            let width = graph.width(stage);
            widest = widest.max(before + width);
            before = width;
        }
        let members = plan.members.len().max(1);
        let fit = HOT / (rows * widest).max(1);
        // Dense noise is made once for neighbours with one direction, so these must run together.
        let least = if matches!(plan.space, WeightSpace::Dense { .. }) { plan.together } else { 1 };
        let chunk = fit.clamp(least, members.max(least)).next_multiple_of(least);
        let group =
            (members / GROUPS).min(NEIGHBOURS).next_multiple_of(plan.together).next_multiple_of(chunk);
        Self { group: group.max(chunk), chunk }
    }
}

/// What all groups of a step share.
struct Step<'a> {
    graph: &'a Graph,
    weights: &'a Weights<'a>,
    keys: &'a [TensorKeys],
    batch: &'a Batch,
    plan: &'a WeightPlan,
    shared_product: SharedProduct,
    chance: Chance,
}

/// What is made of a member's outputs and what they are answers to.
pub(super) type See<'a, T> = dyn Fn(&Act, Answers<'_>) -> T + Sync + 'a;

impl Local {
    /// What `see` makes of every member's outputs and what they are answers to.
    pub(super) fn told_by_members<T: Send>(
        &self,
        graph: &Graph,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &WeightPlan,
        see: &See<'_, T>,
    ) -> Vec<T> {
        let keys = plan.keys(key, params, graph);
        let weights = match plan.space {
            WeightSpace::Dense { .. } => self.for_dense(params, &keys),
            WeightSpace::LowRank { .. } | WeightSpace::Coordinate => self.packed(params),
        };
        let (weights, keys) = (&weights, &*keys);
        let chance = batch.chance(key, plan.step);
        let step =
            Step { graph, weights, keys, batch, plan, shared_product: SharedProduct::default(), chance };
        let cut = Cut::of(graph, batch, plan);
        let groups = plan.members.len().div_ceil(cut.group);
        let all: Vec<_> =
            (0..groups).into_par_iter().map(|group| self.group(&step, group, cut, see)).collect();
        all.into_iter().flatten().collect()
    }

    /// One group of neighbouring members.
    fn group<T>(&self, step: &Step<'_>, group: usize, cut: Cut, see: &See<'_, T>) -> Vec<T> {
        let last = ((group + 1) * cut.group).min(step.plan.members.len());
        let neighbours = Neighbours::new(&step.shared_product, &step.plan.members[group * cut.group..last]);
        let mut told = Vec::with_capacity(neighbours.members.len());
        self.buffer_pools.with(|buffers| {
            for first in (group * cut.group..last).step_by(cut.chunk) {
                let members = first..(first + cut.chunk).min(last);
                self.chunk(step, &neighbours, members, buffers, &mut |outputs, answers| {
                    told.push(see(outputs, answers))
                });
            }
        });
        told
    }

    /// Members that run together.
    fn chunk(
        &self,
        step: &Step<'_>,
        neighbours: &Neighbours<'_>,
        members: std::ops::Range<usize>,
        buffers: &BufferPool,
        see: &mut dyn FnMut(&Act, Answers<'_>),
    ) {
        let (plan, batch) = (step.plan, step.batch);
        let own = &plan.members[members.clone()];
        let WeightPlan { space, sigma, step: number, .. } = *plan;
        let probe = Probe { keys: step.keys, members: own, space, sigma, step: number };
        if plan.share == 0 {
            let cx = Context::probing(step.weights, Norms::Batch, probe, batch.x.rows);
            let cx = cx.with_buffers(buffers.clone()).with_chance(step.chance.clone());
            // Where one pass is not all, later ones are not on the rows that neighbours share.
            let mut cx = if self.how.is_some() { cx } else { cx.among(neighbours) };
            let outputs = self.answers(step.graph, &mut cx, batch.x.clone());
            let part = |i| outputs.slice(i * batch.x.rows, (i + 1) * batch.x.rows);
            (0..own.len()).for_each(|i| see(&part(i), batch.answers()));
            return;
        }
        // Members of one pair stand next to each other and see the same samples.
        let groups = batch.x.rows / plan.share;
        let starts: Vec<usize> = own.iter().map(|m| m.index as usize % groups * plan.share).collect();
        let x = gathered(&batch.x, &starts, plan.share, buffers);
        let cx =
            Context::probing(step.weights, Norms::Batch, probe, plan.share).with_buffers(buffers.clone());
        let mut cx = cx.with_chance(of_shares(&step.chance, &starts, plan.share));
        let outputs = self.answers(step.graph, &mut cx, x);
        for (i, start) in starts.iter().enumerate() {
            let part = outputs.slice(i * plan.share, (i + 1) * plan.share);
            let answers = Answers { first: *start, count: plan.share, ..batch.answers() };
            see(&part, answers);
        }
    }

    /// The mean loss of outputs, if the task can tell it.
    pub(super) fn known_loss(&self, outputs: &Act, answers: Answers<'_>) -> Option<f32> {
        self.task.of_batch(outputs, answers).ok()
    }
}

/// The chance of the rows that [`gathered`] gives.
fn of_shares(chance: &Chance, starts: &[usize], share: usize) -> Chance {
    let Chance::Step { key, step, ids } = chance else { return chance.clone() };
    // Where all see the same rows, so many ids name them.
    let ids = starts.iter().flat_map(|start| ids[*start..start + share].iter().copied()).collect();
    Chance::Step { key: *key, step: *step, ids }
}

/// The `share` rows from each of `starts`, one block after the other; one block if all are the same.
fn gathered(x: &Act, starts: &[usize], share: usize, buffers: &BufferPool) -> Act {
    let (width, first) = (x.width(), starts.first().copied().unwrap_or(0));
    if starts.iter().all(|start| *start == first) {
        return x.slice(first, first + share);
    }
    let mut all = buffers.take(starts.len() * share * width);
    for (block, start) in all.chunks_exact_mut((share * width).max(1)).zip(starts) {
        block.copy_from_slice(&x.data[start * width..(start + share) * width]);
    }
    Act::of(starts.len() * share, x.shape, all)
}
