//! Batch normalisation, each member over its own rows.

use super::low_rank::member_tensor;
use super::{Act, Context, LinkKind, Map, Norms, Statistics};
use crate::kernel::{add_moments, normalise, normalise_and_scale, scale_and_shift};
use crate::threads::prelude::*;

/// The constant that all normalisations add to variances before the square root.
pub const NORM_EPSILON: f32 = 1e-5;
/// Positions that a normalisation works on at once.
const PIXELS: usize = 512;
/// Positions whose sums are one piece of a mean: the same for any number of threads.
const PIECE: usize = 4096;

impl Context<'_> {
    /// Subtracts the mean and divides by the standard deviation of each channel over rows and positions, then
    /// `γ x̂ + β`.
    pub(super) fn batch_norm(&mut self, node: usize, layer: &str, [weight, bias]: [usize; 2], x: Act) -> Act {
        let mut x = self.rows_for(Map { kind: LinkKind::Norm, weight, bias: Some(bias) }, x.whole());
        let channels = x.channels();
        let block = x.rows.min(self.rows_per_member).max(1) * x.width();
        x.rectified = false;
        let (rows, shape) = (x.rows, x.shape);
        for (member, block) in x.data.chunks_mut(block.max(1)).enumerate() {
            let statistics = match self.norms {
                Norms::Fixed(all) => fixed(all, layer, channels),
                Norms::Batch => statistics_of(layer, block, channels),
            };
            let inverse = inverse_deviation(&statistics);
            let (gamma, beta) = (self.vector(weight, member), self.vector(bias, member));
            let pieces = block.par_chunks_mut(channels * PIXELS);
            let Some(trace) = &mut self.trace else {
                pieces
                    .for_each(|piece| normalise_and_scale(piece, &statistics.mean, &inverse, &gamma, &beta));
                continue;
            };
            pieces.for_each(|piece| normalise(piece, &statistics.mean, &inverse));
            let factors = gamma.iter().zip(&inverse).map(|(g, i)| g * i).collect();
            trace.keep(node, Act::new(rows, shape, block.to_vec()), factors);
            trace.statistics.push(statistics);
            block.par_chunks_mut(channels * PIXELS).for_each(|piece| scale_and_shift(piece, &gamma, &beta));
        }
        x
    }

    /// A tensor with the dense noise of the `member`-th member added.
    pub(super) fn vector(&self, tensor: usize, member: usize) -> Vec<f32> {
        if let Some(probe) = self.probe
            && let Some(member) = probe.members.get(member)
        {
            return member_tensor(self.weights, &probe, tensor, *member);
        }
        self.weights.params().tensors()[tensor].data.floats().into_owned()
    }
}

/// The statistics that were fixed for a layer; evaluators have looked whether they are all there.
fn fixed(all: &[Statistics], layer: &str, channels: usize) -> Statistics {
    let fits = |s: &&Statistics| s.layer == layer && [s.mean.len(), s.variance.len()] == [channels; 2];
    let found = all.iter().find(fits);
    found.unwrap_or_else(|| panic!("no fixed statistics of {channels} channels for {layer}")).clone()
}

/// Mean and variance of each channel. Partial sums run over pieces whose size does not depend on the threads.
fn statistics_of(layer: &str, data: &[f32], channels: usize) -> Statistics {
    let pixels = (data.len() / channels) as f64;
    let of = |piece: &[f32]| {
        let mut moments = vec![0f64; 2 * channels];
        add_moments(piece, &mut moments);
        moments
    };
    let sums: Vec<Vec<f64>> = data.par_chunks(channels * PIECE).map(of).collect();
    let mut total = vec![0f64; 2 * channels];
    for piece in &sums {
        total.iter_mut().zip(piece).for_each(|(t, s)| *t += s);
    }
    let (sum, squares) = total.split_at(channels);
    let mean: Vec<f64> = sum.iter().map(|s| s / pixels).collect();
    let variance = squares.iter().zip(&mean).map(|(s, m)| (s / pixels - m * m).max(0.0) as f32).collect();
    Statistics { layer: layer.to_owned(), mean: mean.iter().map(|m| *m as f32).collect(), variance }
}

/// `1 / √(variance + ε)` of each channel.
fn inverse_deviation(statistics: &Statistics) -> Vec<f32> {
    statistics.variance.iter().map(|v| 1.0 / (v + NORM_EPSILON).sqrt()).collect()
}
