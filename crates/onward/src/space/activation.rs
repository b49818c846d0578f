//! Activation space: each sample is its own experiment at a stage's site.
//!
//! Node perturbation with per-sample relative losses (research: Dust, Q Labs 2026; the law `cos = 1/√(1 + (d+1)/K)`):
//! with `z` the stage's clean output, `ĝ = (1/K) Σₖ (ℓ(z + σaₖ) − ℓ(z − σaₖ))/(2σ) · aₖ`, only later stages being run again.
//! With the `2^⌈log₂ d⌉` orthogonal directions `aₖ = hₖ ∘ s` (rows of a Hadamard matrix, random signs per sample)
//! `Σ aₖaₖᵀ = n·I`, so `ĝ` is the exact derivative up to `O(σ²)`.

use super::credit::add;
use super::directions::{Draws, Source};
use super::{Derivative, Directions, Focus, Probes};
use crate::choices;
use crate::model::{
    Act, BufferPools, Context, Cut as Pass, Graph, Member, Norms, Probe, Spread, Statistics, TensorKeys,
    WeightSpace, Weights,
};
use crate::noise::{Family, Role, RunKey};
use crate::params::Params;
use crate::task::{Answers, Task};
use crate::threads::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

choices! {
    /// The space that the probes of one layer act in.
    pub enum LayerSpace default Activation {
        /// On a layer's output.
        Activation = "activation",
        /// On a layer's weights, through low-rank factors.
        LowRank = "low-rank",
    }
}

/// The probes of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerPlan {
    /// The index of the stage.
    pub stage: usize,
    /// The space that its probes act in.
    pub space: LayerSpace,
    /// Antithetic pairs per sample.
    pub pairs: u32,
    /// The size of the perturbation.
    pub sigma: f32,
}

/// One question's probes at the sites of stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivationPlan {
    /// The step that names the noise.
    pub step: u32,
    /// The stages to probe.
    pub layers: Vec<LayerPlan>,
    /// How directions relate.
    pub directions: Directions,
    /// The distribution of independent directions and of low-rank factors.
    pub noise: Family,
    /// The samples that are probed and their weights; `None` for all samples alike.
    pub focus: Option<Focus>,
    /// Whether the answer includes the norm of each sample's derivative at the site of the last of these stages.
    pub norms: bool,
}

/// Numbers of all rows of one piece together: what stays in a core's second-level cache.
const PIECE_NUMBERS: usize = 1 << 15;

/// What all probes of one step share.
pub(crate) struct Probing<'a> {
    pub graph: &'a Graph,
    /// Whether every row is evaluated separately, even where few rows can stand for many.
    pub one_by_one: bool,
    pub weights: &'a Weights<'a>,
    pub task: &'a dyn Task,
    /// To the samples, each once.
    pub answers: Answers<'a>,
    /// Their losses without noise.
    pub clean: &'a [f32],
    /// Samples of the step before these: what names each one's noise is its place among all.
    pub before: usize,
    /// Samples of the whole batch.
    pub of: usize,
    pub statistics: &'a [Statistics],
    pub key: &'a RunKey,
    /// Each tensor's noise under `key`.
    pub keys: &'a [TensorKeys],
    pub non_finite: &'a AtomicU64,
    /// Where passes find their buffers.
    pub buffer_pools: &'a BufferPools,
}

/// How a batch is cut into pieces: `samples` at a time, and of these `pairs` at a time (a power of two where that is not all).
struct Cut {
    samples: usize,
    pairs: usize,
}

impl Cut {
    fn new(widest: usize, pairs: usize) -> Self {
        let fit = (PIECE_NUMBERS / widest.max(1) / 2).max(1);
        if pairs > fit {
            Self { samples: 1, pairs: 1 << fit.ilog2() }
        } else {
            Self { samples: fit / pairs, pairs }
        }
    }
}

impl Probing<'_> {
    /// The losses of `rows`, which answer samples `first..first + count` again and again.
    fn losses(&self, outputs: &Act, first: usize, count: usize) -> Vec<f32> {
        let mut losses = vec![0.0; outputs.rows];
        if self.task.of_rows(outputs, Answers { first, count, ..self.answers }, &mut losses).is_err() {
            losses.fill(f32::NAN);
        }
        losses
    }

    /// `(ℓ₊ − ℓ₋)/2` of one pair; a loss that is not finite counts as the worst finite one of its sample (0 if there is none).
    fn difference(&self, plus: f32, minus: f32, worst: f32) -> f32 {
        let mut lost = 0;
        let mut sound = |loss: f32| {
            if loss.is_finite() {
                return loss;
            }
            lost += 1;
            worst
        };
        let difference = 0.5 * (sound(plus) - sound(minus));
        if lost > 0 {
            self.non_finite.fetch_add(lost, Ordering::Relaxed);
        }
        difference
    }

    /// What each sample's pairs respond, and (added up) how far their means lie above the losses of samples `first..` without noise.
    fn responses(
        &self,
        (losses, first): (&[f32], usize),
        pairs: usize,
        scale: f32,
        out: &mut [f32],
        costs: &mut [f64],
    ) {
        let count = costs.len();
        // Rows stand as [pair][sign][sample].
        for s in 0..count {
            let own = || (0..2 * pairs).map(|r| losses[r * count + s]);
            let worst = own().filter(|l| l.is_finite()).reduce(f32::max).unwrap_or(0.0);
            for k in 0..pairs {
                let (plus, minus) = (losses[2 * k * count + s], losses[(2 * k + 1) * count + s]);
                out[s * pairs + k] = self.difference(plus, minus, worst) * scale;
                let sound = |loss: f32| f64::from(if loss.is_finite() { loss } else { worst });
                costs[s] += 0.5 * (sound(plus) + sound(minus)) - f64::from(self.clean[first + s]);
            }
        }
    }
}

/// `ĝ`: for every sample the estimated derivative of its loss at the site of stage `layer.stage`, where `pass` is cut:
/// `(rows, width)`; and what a pair of probes costs each sample, the mean loss of the pair less that without noise.
pub(crate) fn derivative_by_output(
    p: &Probing<'_>,
    plan: &ActivationPlan,
    layer: &LayerPlan,
    pass: &Pass,
    widest: usize,
) -> (Vec<f32>, Vec<f64>) {
    let z = &pass.site;
    let (d, pairs) = (z.width(), layer.pairs as usize);
    let cut = Cut::new(widest.max(d), pairs);
    let key = p.key.tensor(Role::Activation, &format!("stage {}", layer.stage));
    let (directions, noise, step) = (plan.directions, plan.noise, plan.step);
    let floor = p.graph.blind_below(layer.stage).map(|floor| floor - layer.sigma);
    let source = Source { directions, noise, key, step, pairs, floor };
    let (mut g, mut costs) = (vec![0.0; z.rows * d], vec![0.0; z.rows]);
    let pieces = g.par_chunks_mut(cut.samples * d).zip(costs.par_chunks_mut(cut.samples));
    pieces.enumerate().for_each(|(piece, (g, costs))| {
        let (first, count) = (piece * cut.samples, g.len() / d);
        let clean = pass.slice(first, first + count);
        let draws = Draws::new(source, p.before + first, &clean.site);
        let odd = draws.sizes(layer.sigma);
        let scale = 1.0 / (layer.sigma * layer.pairs as f32);
        for from in (0..pairs).step_by(cut.pairs) {
            let now = cut.pairs.min(pairs - from);
            let spread = Spread { odd: odd.clone(), directions: Arc::new(draws.pairs(from, now)) };
            let directions = Arc::clone(&spread.directions);
            let losses = p.run_from(layer.stage, plan, &clean, spread, first);
            let mut responses = vec![0.0; count * now];
            p.responses((&losses, first), now, scale, &mut responses, costs);
            for ((s, g), responses) in g.chunks_exact_mut(d).enumerate().zip(responses.chunks_exact(now)) {
                directions.credit(s, responses, g);
            }
        }
        costs.iter_mut().for_each(|cost| *cost /= pairs as f64);
        draws.finish(g);
    });
    (g, costs)
}

impl Probing<'_> {
    /// Losses of what the site of a stage spreads to, as `[pair][sign][sample]`.
    fn run_from(
        &self,
        stage: usize,
        plan: &ActivationPlan,
        clean: &Pass,
        spread: Spread,
        first: usize,
    ) -> Vec<f32> {
        let rows = clean.site.rows;
        let x = Act { spread: Some(Box::new(spread)), ..clean.site.clone() };
        let signs = plan.directions != Directions::Independent || plan.noise == Family::Sign;
        self.buffer_pools.with(|buffers| {
            let cx = Context::clean(self.weights, Norms::Fixed(self.statistics));
            let x = if signs && !self.one_by_one { x } else { x.whole() };
            let outputs = self.graph.forward_after(stage, &mut cx.with_buffers(buffers.clone()), clean, x);
            self.losses(&outputs.whole(), first, rows)
        })
    }

    /// The response of every sample and pair to low-rank noise of its own on the weights of stage `layer.stage`: `(rows, pairs)`, scaled so that `Σ response · noise`
    /// is the derivative of the mean loss; and what a pair of probes costs each sample. `pass` is cut at the stage's site and has what its own maps read.
    pub fn responses_to_own_weights(
        &self,
        plan: &ActivationPlan,
        layer: &LayerPlan,
        pass: &Pass,
        widest: usize,
    ) -> (Vec<f32>, Vec<f64>) {
        let (pairs, rows) = (layer.pairs as usize, pass.site.rows);
        let cut = Cut::new(widest, pairs);
        let space = WeightSpace::LowRank { rank: 1, noise: plan.noise };
        let pieces = rows.div_ceil(cut.samples);
        let found: Vec<(Vec<f32>, Vec<f64>)> = (0..pieces)
            .into_par_iter()
            .map(|piece| {
                let (first, last) = (piece * cut.samples, ((piece + 1) * cut.samples).min(rows));
                let clean = pass.slice(first, last);
                let (mut all, mut costs) = (vec![0.0; (last - first) * pairs], vec![0.0; last - first]);
                for from in (0..pairs).step_by(cut.pairs) {
                    let now = cut.pairs.min(pairs - from);
                    let losses =
                        self.run_with_own_weights(plan, layer, space, &clean, first, from..from + now);
                    let mut part = vec![0.0; (last - first) * now];
                    let scale = 1.0 / (layer.sigma * pairs as f32 * self.of as f32);
                    self.responses((&losses, first), now, scale, &mut part, &mut costs);
                    for (s, row) in part.chunks_exact(now).enumerate() {
                        all[s * pairs + from..][..now].copy_from_slice(row);
                    }
                }
                costs.iter_mut().for_each(|cost| *cost /= pairs as f64);
                (all, costs)
            })
            .collect();
        let (responses, costs): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        (responses.concat(), costs.concat())
    }

    fn run_with_own_weights(
        &self,
        plan: &ActivationPlan,
        layer: &LayerPlan,
        space: WeightSpace,
        clean: &Pass,
        first: usize,
        draws: std::ops::Range<usize>,
    ) -> Vec<f32> {
        let (pairs, rows, times) = (layer.pairs as usize, clean.site.rows, 2 * draws.len());
        let mut members = Vec::with_capacity(times * rows);
        for k in draws {
            for sign in [1.0, -1.0] {
                let index = |s: usize| ((self.before + first + s) * pairs + k) as u32;
                members.extend((0..rows).map(|s| Member { index: index(s), sign }));
            }
        }
        let probe = Probe { keys: self.keys, members: &members, space, sigma: layer.sigma, step: plan.step };
        let norms = Norms::Fixed(self.statistics);
        self.buffer_pools.with(|buffers| {
            let mut cx = Context::probing(self.weights, norms, probe, 1).with_buffers(buffers.clone());
            let z = self.graph.own_again(layer.stage, &mut cx, clean, times);
            let mut cx = Context::clean(self.weights, norms).with_buffers(buffers.clone());
            let outputs = self.graph.forward_after(layer.stage, &mut cx, clean, z);
            self.losses(&outputs, first, rows)
        })
    }
}

/// The derivative of the mean loss by the stage's params from the `responses` of all `rows` of a batch to low-rank probes: adds it to `into`.
pub(crate) fn derivative_by_responses(
    (graph, params, keys): (&Graph, &Params, &[TensorKeys]),
    plan: &ActivationPlan,
    layer: &LayerPlan,
    (rows, responses): (usize, &[f32]),
    into: &mut Derivative,
) {
    let space = WeightSpace::LowRank { rank: 1, noise: plan.noise };
    let half = rows / 2 * layer.pairs as usize;
    // A tensor that the stage uses twice was perturbed in both places.
    let links = graph.links(layer.stage).iter();
    let tensors: BTreeSet<usize> =
        links.flat_map(|l| l.map.tensors()).filter(|tensor| graph.trains(*tensor)).collect();
    for tensor in tensors {
        let t = &params.tensors()[tensor];
        let keys = keys[tensor];
        let scale = space.scale(t.matrix().is_some());
        let halves = [0..half, half..responses.len()].map(|part| {
            let mut sum = vec![0.0; t.data.len()];
            let scaled: Vec<f32> = responses[part.clone()].iter().map(|r| r * scale).collect();
            let (step, first) = (plan.step, part.start as u32);
            Probes { keys, matrix: t.matrix(), space, step, first, coefficients: &scaled }.add_to(&mut sum);
            sum
        });
        add(&mut into[tensor], halves);
    }
}

/// The estimated derivative of each sample's loss at the site of one stage, for tests and benchmarks; with
/// `one_by_one` every row is run by itself.
#[allow(clippy::too_many_arguments)]
pub fn derivative_at_output(
    graph: &Graph,
    weights: &Weights<'_>,
    task: &dyn Task,
    answers: Answers<'_>,
    key: &RunKey,
    plan: &ActivationPlan,
    layer: &LayerPlan,
    pass: &Pass,
    one_by_one: bool,
) -> Vec<f32> {
    let (keys, non_finite) = (&*TensorKeys::of(key, weights.params()), &AtomicU64::new(0));
    let buffer_pools = &BufferPools::default();
    let (statistics, before, of): (&[Statistics], _, _) = (&[], 0, pass.site.rows);
    let clean = &*vec![0.0; of];
    let probing = Probing {
        graph,
        one_by_one,
        weights,
        task,
        answers,
        clean,
        before,
        of,
        statistics,
        key,
        keys,
        non_finite,
        buffer_pools,
    };
    derivative_by_output(&probing, plan, layer, pass, pass.site.width()).0
}
