//! Credit of a stream from differences of the loss alone: what flows through a net beside its branches is moved by noise, everything behind runs again, and
//! what becomes of the losses is the credit.
//!
//! With `z` the numbers at such a place, `aₖ` random signs and `s = σ · rms(z)`, `ĝ = (1/K) Σₖ cₖ aₖ` with `cₖ = (ℓ(z + s aₖ) − ℓ(z))/s`: the clean loss
//! is known, and as third moments of signs vanish, what is even in `a` averages to nothing. Where items have losses of their own, an item's is the
//! sum of all from it on, each later one times `γ`: `c_t = Σ_{u≥t} γ^(u−t) Δℓ_u / s`, so that noise of far items does not drown it.

use crate::choices;
use crate::dataset::WEIGHT;
use crate::model::{Act, BufferPools, Context, Cut, Graph, Norms, Numbers, Statistics, Weights};
use crate::noise::{Family, Role, RunKey};
use crate::task::{Answers, Task};
use crate::threads::prelude::*;
use serde::{Deserialize, Serialize};

choices! {
    /// Where credit is found by differences of the loss.
    pub enum Places default Stream {
        /// Wherever layers add to the stream of a net with residual connections; inside a branch it goes on from there, operation by operation.
        Stream = "stream",
        /// At the answer of each layer that learns, but for those behind which there is nothing but what passes credit down: of nets with residual connections
        /// what is added last, of others the last layer.
        Layers = "layers",
    }
}

/// Where and how credit is found by differences of the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// Where.
    pub at: Places,
    /// Draws of noise at each place.
    pub draws: u32,
    /// What a later item's loss counts for an earlier item, from 0 to 1, for each item between.
    pub discount: f32,
}

/// What is needed to run what follows from a place again.
pub(crate) struct Again<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Weights<'a>,
    pub statistics: &'a [Statistics],
    pub task: &'a dyn Task,
    pub answers: Answers<'a>,
    pub key: &'a RunKey,
    pub step: u32,
    pub sigma: f32,
    /// The place of the first row among those of the step.
    pub first: usize,
    pub buffer_pools: &'a BufferPools,
    /// The clean losses, as [`losses`] has them.
    pub clean: &'a [f32],
}

/// The loss of each item, so that those of a row add up to its own; one number a row where the task has no losses of items. A loss that cannot be had is none.
pub(crate) fn losses(task: &dyn Task, outputs: &Act, answers: Answers<'_>) -> Vec<f32> {
    let items = outputs.points().max(1);
    let mut all = vec![0.0; outputs.rows() * items];
    if task.item_losses(outputs, answers, &mut all) {
        if let Some(weights) = answers.columns.get(WEIGHT) {
            for (row, own) in all.chunks_exact_mut(items).enumerate() {
                own.iter_mut().for_each(|loss| *loss *= weights[answers.sample(row)] as f32);
            }
        }
        return all;
    }
    let mut rows = vec![0.0; outputs.rows()];
    if task.of_rows(outputs, answers, &mut rows).is_err() {
        rows.fill(f32::NAN);
    }
    rows
}

impl Again<'_> {
    /// The credit at the site of a stage, where `pass` is cut: `(rows, width)`; how many losses were not finite is added to `lost`. The noise is as large as
    /// `sigma` says of the numbers there, or of those of the `stream` that they are added to: as large as noise on all of that.
    pub fn credit(
        &self,
        stage: usize,
        pass: &Cut,
        stream: Option<&Act>,
        how: Differences,
        lost: &mut u64,
    ) -> Numbers {
        let z = &pass.site;
        let width = z.width();
        let share = stream.map_or(1.0, |own| (own.channels() as f32 / z.channels().max(1) as f32).sqrt());
        let size = self.sigma * root_mean_square(stream.unwrap_or(z)) * share;
        let mut g = vec![0.0; z.data().len()];
        if !(size > 0.0 && size.is_finite()) {
            return g.into();
        }
        let key = self.key.tensor(Role::Activation, &format!("stream {stage}"));
        for draw in 0..how.draws {
            let mut noise = vec![0.0; z.data().len()];
            noise.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, noise)| {
                let member = (self.first + row) as u32 * how.draws + draw;
                key.at(self.step, member).fill(Family::Sign, 0, noise);
            });
            let moved: Vec<f32> = z.data().iter().zip(&noise).map(|(z, a)| size.mul_add(*a, *z)).collect();
            let moved = self.losses_of(stage, pass, Act::new(z.rows(), z.shape(), moved));
            let by = 1.0 / (size * how.draws as f32);
            let losses = moved.len() / z.rows().max(1);
            // Items elsewhere than in the answer are told what the whole row is.
            let items = if losses == z.points() { losses } else { 1 };
            let channels = width / items.max(1);
            let rows = g.chunks_exact_mut(width.max(1)).zip(noise.chunks_exact(width.max(1)));
            for (row, (g, noise)) in rows.enumerate() {
                let own = row * losses..(row + 1) * losses;
                let discount = if items == losses { how.discount } else { 1.0 };
                let mut told = self.told(&moved[own.clone()], &self.clean[own], discount, lost);
                told.truncate(items);
                for ((g, noise), told) in
                    g.chunks_exact_mut(channels).zip(noise.chunks_exact(channels)).zip(told)
                {
                    let told = told * by;
                    g.iter_mut().zip(noise).for_each(|(g, a)| *g = told.mul_add(*a, *g));
                }
            }
        }
        g.into()
    }

    fn losses_of(&self, stage: usize, pass: &Cut, z: Act) -> Vec<f32> {
        self.buffer_pools.with(|buffers| {
            let cx = Context::clean(self.weights, Norms::Fixed(self.statistics));
            let outputs = self.graph.forward_after(stage, &mut cx.with_buffers(buffers.clone()), pass, z);
            losses(self.task, &outputs.whole(), self.answers)
        })
    }

    /// What each item of a row is told, by the differences from it on. What is not finite tells nothing.
    fn told(&self, moved: &[f32], clean: &[f32], discount: f32, lost: &mut u64) -> Vec<f32> {
        let mut told = vec![0.0; moved.len()];
        let mut sum = 0.0;
        for (item, told) in told.iter_mut().enumerate().rev() {
            let difference = moved[item] - clean[item];
            if !difference.is_finite() {
                *lost += 1;
            }
            sum = discount * sum + if difference.is_finite() { difference } else { 0.0 };
            *told = sum;
        }
        told
    }
}

fn root_mean_square(x: &Act) -> f32 {
    let square: f64 = x.data().iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    (square / x.data().len().max(1) as f64).sqrt() as f32
}

impl Differences {
    /// The stages at whose sites credit is found so that `stages` learn; not at the last such place, to which it comes down from the answer.
    pub(crate) fn places(self, graph: &Graph, stages: &[usize]) -> Vec<usize> {
        let Some(first) = stages.first() else { return Vec::new() };
        let streams = || (0..graph.stages()).rev().filter(|stage| graph.is_stream(*stage));
        match (self.at, streams().next()) {
            (Places::Stream, _) => {
                let mut all: Vec<usize> = streams().skip(1).filter(|stage| stage >= first).collect();
                all.reverse();
                all
            }
            // What is added to the stream at the last place has nothing behind it but what passes credit down.
            (Places::Layers, Some(last)) => {
                let before = |stage: &usize| {
                    *stage < last && self.measured_by(graph, *stage).is_some_and(|own| own < last)
                };
                stages.iter().copied().filter(before).collect()
            }
            (Places::Layers, None) => {
                stages.iter().copied().filter(|stage| stage + 1 < graph.stages()).collect()
            }
        }
    }

    /// The stage at whose site the stream is that the answer of a stage is added to, where that is what noise is measured by.
    pub(crate) fn measured_by(self, graph: &Graph, stage: usize) -> Option<usize> {
        match self.at {
            Places::Stream => None,
            Places::Layers => (stage + 1..graph.stages()).find(|own| graph.is_stream(*own)),
        }
    }
}
