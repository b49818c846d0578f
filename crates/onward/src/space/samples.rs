//! Credit of the chances of samples: what the loss of a row would have been, had another value been drawn.
//!
//! With swaps the loss `ℓⱼ` is found for every value `j` of one drawn number, all else being kept, and the credit of its logits is
//! `∂/∂aⱼ Σ qₖ ℓₖ = qⱼ (ℓⱼ − Σ qₖ ℓₖ)`, of a probability `ℓ₁ − ℓ₀`: its own chance is summed out, not drawn (Titsias and Lázaro-Gredilla 2015,
//! arXiv 1506.02557). With leave-one-out all numbers of a sample are drawn `K` times, and the credit is `1/(K − 1) Σ (ℓₖ − ℓ̄) ∂ ln q(zₖ)` (Kool, van Hoof
//! and Welling 2019). Both are unbiased; what is drawn behind keeps its noise.

use super::local::{Descent, Samples};
use crate::kernel::exp;
use crate::model::{Act, Context, Norms, Numbers, Sample};
use crate::task::Answers;
use crate::threads::prelude::*;

/// Rows of a piece.
const ROWS: usize = 32;

impl Descent<'_> {
    /// The credit of the chances of a sample.
    pub(super) fn of_chances(&self, sample: usize) -> Numbers {
        let chances = self.flow.value(self.graph.chances(sample));
        let rows = chances.rows();
        let width = chances.width();
        let Some(kind) = self.graph.sample(sample) else { return vec![0.0; rows * width].into() };
        let again: Vec<Act> = match self.plan.samples {
            Samples::Swaps => Vec::new(),
            Samples::LeaveOneOut => {
                (1..self.plan.draws).map(|time| self.drawn_again(sample, time, chances)).collect()
            }
        };
        let rest = self.graph.rest(sample);
        let mut all = vec![0.0; rows * width];
        all.par_chunks_mut((ROWS * width).max(1)).enumerate().for_each(|(piece, own)| {
            let (first, count) = (piece * ROWS, own.len() / width.max(1));
            let losses = |drawn: Act| {
                let cx = Context::clean(self.weights, Norms::Fixed(self.statistics));
                let answer = self.buffer_pools.with(|buffers| {
                    let cx = &mut cx.with_buffers(buffers.clone());
                    self.graph.answer_after(&rest, cx, self.flow, first, (sample, drawn))
                });
                let mut losses = vec![f32::NAN; count];
                let answers = Answers { first: self.answers.first + first, count, ..self.answers };
                if self.task.of_rows(&answer, answers, &mut losses).is_err() {
                    losses.fill(f32::NAN);
                }
                losses
            };
            let clean = self.flow.value(sample).slice(first, first + count);
            let chances = chances.slice(first, first + count);
            match self.plan.samples {
                Samples::Swaps => by_swaps(kind, &clean, &chances, losses, own),
                Samples::LeaveOneOut => {
                    let others = again.iter().map(|drawn| drawn.slice(first, first + count));
                    let drawn: Vec<Act> = std::iter::once(clean).chain(others).collect();
                    by_leaving_out(kind, &drawn, &chances, losses, own);
                }
            }
            own.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
        });
        all.into()
    }

    fn drawn_again(&self, sample: usize, time: u32, chances: &Act) -> Act {
        let cx = Context::clean(self.weights, Norms::Fixed(self.statistics));
        self.graph.drawn_again(sample, time, &mut cx.with_chance(self.chance.clone()), chances)
    }
}

/// Every value of every number, one after the other.
fn by_swaps(kind: Sample, clean: &Act, chances: &Act, losses: impl Fn(Act) -> Vec<f32>, own: &mut [f32]) {
    let (numbers, values) = (clean.width(), kind.values());
    for number in 0..numbers {
        let tried: Vec<Vec<f32>> = (0..values)
            .map(|value| {
                let mut drawn = clean.clone();
                drawn.data_mut().iter_mut().skip(number).step_by(numbers).for_each(|v| *v = value as f32);
                losses(drawn)
            })
            .collect();
        for (row, own) in own.chunks_exact_mut(chances.width()).enumerate() {
            let of = |value: usize| tried[value][row];
            match kind {
                Sample::Bernoulli => own[number] = of(1) - of(0),
                Sample::Categorical(_) => {
                    let q = shares(&chances.row(row)[number * values..][..values]);
                    let mean: f32 = q.iter().enumerate().map(|(j, q)| q * of(j)).sum();
                    let own = &mut own[number * values..][..values];
                    own.iter_mut().zip(&q).enumerate().for_each(|(j, (own, q))| *own = q * (of(j) - mean));
                }
            }
        }
    }
}

/// All numbers, drawn a few times.
fn by_leaving_out(
    kind: Sample,
    drawn: &[Act],
    chances: &Act,
    losses: impl Fn(Act) -> Vec<f32>,
    own: &mut [f32],
) {
    let told: Vec<Vec<f32>> = drawn.iter().map(|drawn| losses(drawn.clone())).collect();
    let (times, values) = (drawn.len() as f32, kind.values());
    for (row, own) in own.chunks_exact_mut(chances.width()).enumerate() {
        let mean = told.iter().map(|losses| losses[row]).sum::<f32>() / times;
        for (losses, drawn) in told.iter().zip(drawn) {
            let more = (losses[row] - mean) / (times - 1.0);
            match kind {
                Sample::Bernoulli => {
                    for ((own, z), p) in own.iter_mut().zip(drawn.row(row)).zip(chances.row(row)) {
                        *own += more * (z - p) / (p * (1.0 - p));
                    }
                }
                Sample::Categorical(_) => {
                    let each = own.chunks_exact_mut(values).zip(chances.row(row).chunks_exact(values));
                    for ((own, logits), z) in each.zip(drawn.row(row)) {
                        own.iter_mut().zip(shares(logits)).for_each(|(own, q)| *own -= more * q);
                        own[*z as usize] += more;
                    }
                }
            }
        }
    }
}

/// The probabilities that logits say.
fn shares(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut q: Vec<f32> = logits.iter().map(|v| exp(v - largest)).collect();
    let sum = q.iter().fold(0.0, |sum, q| sum + q);
    q.iter_mut().for_each(|q| *q /= sum);
    q
}
