//! Credit of the chances of samples: what the loss of a row would have been, had another value been drawn.
//!
//! With swaps the loss `ℓⱼ` is found for every value `j` of one drawn number, all else being kept, and the credit of its logits is
//! `∂/∂aⱼ Σ qₖ ℓₖ = qⱼ (ℓⱼ − Σ qₖ ℓₖ)`, of a probability `ℓ₁ − ℓ₀`: its own chance is summed out, not drawn (Titsias and Lázaro-Gredilla 2015,
//! arXiv 1506.02557). With leave-one-out all numbers of a sample are drawn `K` times, and the credit is `1/(K − 1) Σ (ℓₖ − ℓ̄) ∂ ln q(zₖ)` (Kool, van Hoof
//! and Welling 2019). Both are unbiased; what is drawn behind keeps its noise.

use super::local::{Descent, Samples};
use crate::dataset::WEIGHT;
use crate::model::{Act, Context, Graph, Norms, Numbers, Sample, softmax};
use crate::task::{Answers, worst_for_others};
use crate::threads::prelude::*;

/// Rows of a piece.
const ROWS: usize = 32;

impl Samples {
    /// What it comes to at a sample.
    pub(crate) fn at(self, graph: &Graph, sample: usize) -> Self {
        match self {
            Self::Auto if graph.linearly_behind(sample).is_some() => Self::Swaps,
            Self::Auto => Self::LeaveOneOut,
            own => own,
        }
    }
}

impl Descent<'_> {
    /// The credit of the chances of a sample, and how many losses were not finite or, chances being no numbers, led to none.
    pub(super) fn of_chances(&self, sample: usize) -> (Numbers, u64) {
        let chances = self.flow.value(self.graph.chances(sample));
        let rows = chances.rows();
        let width = chances.width();
        let Some(kind) = self.graph.sample(sample) else { return (vec![0.0; rows * width].into(), 0) };
        let samples = self.plan.samples.at(self.graph, sample);
        if samples == Samples::Swaps
            && let Some(own) = self.by_columns(sample, kind)
        {
            return own;
        }
        let again: Vec<Act> = match samples {
            Samples::Swaps | Samples::Auto => Vec::new(),
            Samples::LeaveOneOut => {
                (1..self.plan.draws).map(|time| self.drawn_again(sample, time, chances)).collect()
            }
        };
        let rest = self.graph.rest(sample);
        let mut all = vec![0.0; rows * width];
        let pieces = all.par_chunks_mut((ROWS * width).max(1)).enumerate().map(|(piece, own)| {
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
            let drawn = Drawn {
                kind,
                values: self.flow.value(sample).slice(first, first + count),
                chances: chances.slice(first, first + count),
                losses: &self.losses[first..first + count],
            };
            let lost = match samples {
                Samples::Swaps | Samples::Auto => drawn.by_swaps(losses, own),
                Samples::LeaveOneOut => {
                    let others = again.iter().map(|drawn| drawn.slice(first, first + count));
                    drawn.by_leaving_out(others.collect(), losses, own)
                }
            };
            lost + drawn.silenced(own)
        });
        let lost: Vec<u64> = pieces.collect();
        (all.into(), lost.iter().sum())
    }

    /// Swaps of a variational bound whose log-odds are linear in what is drawn: these tell all of them at once.
    fn by_columns(&self, sample: usize, kind: Sample) -> Option<(Numbers, u64)> {
        let (elbo, map) = (self.task.elbo()?, self.graph.linearly_behind(sample)?);
        let weight = self.weights.params().tensors()[map.weight].data.floats();
        let values = self.flow.value(sample).clone();
        let chances = self.flow.value(self.graph.chances(sample)).clone();
        let mut all = elbo.growth(&self.flow.outputs, &values, &weight, &map.outputs)?;
        let counts = self.answers.columns.get(WEIGHT);
        for (row, own) in all.chunks_exact_mut(chances.width().max(1)).enumerate() {
            let count = counts.map_or(1.0, |counts| counts[self.answers.sample(row)] as f32);
            let latents =
                own.chunks_exact_mut(kind.values()).zip(chances.row(row).chunks_exact(kind.values()));
            for (own, logits) in latents {
                let q = shares(logits);
                let mean = q.iter().zip(&*own).fold(0.0, |sum, (q, more)| sum + q * more);
                // What does not count earns nothing, finite or not.
                let earned = |q: f32, more: f32| if count == 0.0 { 0.0 } else { count * q * (more - mean) };
                own.iter_mut().zip(&q).for_each(|(own, q)| *own = earned(*q, *own));
            }
        }
        let lost = Drawn { kind, values, chances, losses: self.losses }.silenced(&mut all);
        Some((all.into(), lost))
    }

    fn drawn_again(&self, sample: usize, time: u32, chances: &Act) -> Act {
        let cx = Context::clean(self.weights, Norms::Fixed(self.statistics));
        self.graph.drawn_again(sample, time, &mut cx.with_chance(self.chance.clone()), chances)
    }
}

/// What the clean pass drew for some rows.
struct Drawn<'a> {
    kind: Sample,
    values: Act,
    chances: Act,
    losses: &'a [f32],
}

impl Drawn<'_> {
    /// Every other value of every number, one after the other; what was drawn has the loss of the clean pass.
    fn by_swaps(&self, losses: impl Fn(Act) -> Vec<f32>, own: &mut [f32]) -> u64 {
        let (numbers, values) = (self.values.width(), self.kind.values());
        let mut lost = 0;
        for number in 0..numbers {
            let other = |row: usize, turn: usize| (self.values.row(row)[number] as usize + turn) % values;
            let turns = (1..values).map(|turn| {
                let mut drawn = self.values.clone();
                let rows = drawn.data_mut().chunks_exact_mut(numbers).enumerate();
                rows.for_each(|(row, own)| own[number] = other(row, turn) as f32);
                losses(drawn)
            });
            let told: Vec<Vec<f32>> = turns.collect();
            for (row, own) in own.chunks_exact_mut(self.chances.width()).enumerate() {
                let (mut of, lost_here) = self.sound(row, told.iter().map(|losses| losses[row]));
                lost += lost_here;
                // From the value that was drawn on, to from 0 on.
                of.rotate_right(other(row, 0));
                match self.kind {
                    Sample::Bernoulli => own[number] = of[1] - of[0],
                    Sample::Categorical(_) => {
                        let q = shares(&self.chances.row(row)[number * values..][..values]);
                        let mean: f32 = q.iter().zip(&of).map(|(q, loss)| q * loss).sum();
                        let own = &mut own[number * values..][..values];
                        own.iter_mut()
                            .zip(q.iter().zip(&of))
                            .for_each(|(own, (q, loss))| *own = q * (loss - mean));
                    }
                }
            }
        }
        lost
    }

    /// All numbers, drawn a few times more.
    fn by_leaving_out(&self, others: Vec<Act>, losses: impl Fn(Act) -> Vec<f32>, own: &mut [f32]) -> u64 {
        let told: Vec<Vec<f32>> = others.iter().map(|drawn| losses(drawn.clone())).collect();
        let (times, values) = (1.0 + others.len() as f32, self.kind.values());
        let mut lost = 0;
        for (row, own) in own.chunks_exact_mut(self.chances.width()).enumerate() {
            let (of, lost_here) = self.sound(row, told.iter().map(|losses| losses[row]));
            lost += lost_here;
            let mean = of.iter().sum::<f32>() / times;
            let chances = self.chances.row(row);
            for (loss, drawn) in of.iter().zip(std::iter::once(&self.values).chain(&others)) {
                let more = (loss - mean) / (times - 1.0);
                match self.kind {
                    // What has no chance was not drawn: neither divisor is 0.
                    Sample::Bernoulli => {
                        for ((own, z), p) in own.iter_mut().zip(drawn.row(row)).zip(chances) {
                            *own += if *z == 1.0 { more / p } else { -more / (1.0 - p) };
                        }
                    }
                    Sample::Categorical(_) => {
                        let each = own.chunks_exact_mut(values).zip(chances.chunks_exact(values));
                        for ((own, logits), z) in each.zip(drawn.row(row)) {
                            own.iter_mut().zip(shares(logits)).for_each(|(own, q)| *own -= more * q);
                            own[*z as usize] += more;
                        }
                    }
                }
            }
        }
        lost
    }

    /// The losses of a row, that of the clean pass first, and how many of the others were not finite: they count as the worst finite one.
    fn sound(&self, row: usize, others: impl Iterator<Item = f32>) -> (Vec<f32>, u64) {
        let mut all: Vec<f32> = std::iter::once(self.losses[row]).chain(others).collect();
        let lost = all[1..].iter().filter(|loss| !loss.is_finite()).count() as u64;
        worst_for_others(&mut all);
        (all, lost)
    }

    /// Takes out credit that is not finite, as of chances that are no numbers, and counts the rows with any, but those that count already.
    fn silenced(&self, own: &mut [f32]) -> u64 {
        let mut lost = 0;
        for (own, loss) in own.chunks_exact_mut(self.chances.width()).zip(self.losses) {
            lost += u64::from(loss.is_finite() && own.iter().any(|v| !v.is_finite()));
            own.iter_mut().filter(|v| !v.is_finite()).for_each(|v| *v = 0.0);
        }
        lost
    }
}

/// The probabilities that logits say.
fn shares(logits: &[f32]) -> Vec<f32> {
    let mut q = logits.to_vec();
    softmax(&mut q);
    q
}
