//! Softmax attention: a few queries on keys and values that lie as they were computed, item after item. Nothing of these is packed or copied,
//! so what items add to a memory of them is used where it was put.

use super::packed::{NARROW, WIDE};
use super::transpose::transpose;
use super::{Panels, Start, exp, multiversion, product};

/// The keys and values that one head attends to.
#[derive(Clone, Copy, Debug)]
pub struct Attended<'a> {
    /// The first item's key, and those of all others, each `stride` numbers after the one before.
    pub keys: &'a [f32],
    /// The values in the same way.
    pub values: &'a [f32],
    /// Numbers from one item's to the next one's.
    pub stride: usize,
    /// What products of queries and keys are multiplied by.
    pub scale: f32,
}

/// The most queries that one call of [`attend`] takes.
pub const MOST_QUERIES: usize = WIDE;

/// From so many queries on their sums over values run side by side, not the numbers of each.
const MANY: usize = 8;

/// Memory that calls of [`attend`] use again.
#[derive(Debug, Default)]
pub struct AttentionScratch {
    /// `[item][query]`: products, then shares.
    weights: Panels,
    /// `[number][query]`
    across: Vec<f32>,
}

/// For each query `q`, with `n` numbers, and how many items it has `seen` (at least one): `out = Σⱼ wⱼ vⱼ` with `w = softmax(scale · q k)`.
/// Each product, each sum of exponentials and each number of the answer is one chain in the order of numbers or items, so the
/// bits depend neither on the instruction set nor on what stands beside a query.
///
/// # Panics
/// If there are more than [`MOST_QUERIES`], or keys or values are too short: a bug in the caller.
pub fn attend(
    out: &mut [f32],
    queries: &[f32],
    seen: &[usize],
    on: Attended<'_>,
    scratch: &mut AttentionScratch,
) {
    let Attended { keys, values, stride, scale } = on;
    let count = seen.len();
    let (Some(least), Some(most)) = (seen.iter().min(), seen.iter().max()) else { return };
    let (size, least, most) = (queries.len() / count, *least, *most);
    assert!(count <= MOST_QUERIES && out.len() == queries.len(), "{count} queries");
    let AttentionScratch { weights, across } = scratch;
    let width = weights.reshape(most, count);
    let turned = Panels::transposed(queries, count, size);
    product(weights.numbers_mut(), width, keys, stride, 1, most, &turned, Start::Zero);
    let of = |lane: usize| seen.get(lane).map_or(most, |seen| *seen) as u32;
    if width == NARROW {
        softmax_16(weights.numbers_mut(), &std::array::from_fn(of), scale);
    } else {
        softmax_32(weights.numbers_mut(), &std::array::from_fn(of), scale);
    }
    // What all queries see first; what some of them do not see has no part in their sums, not even with a share of zero.
    let first = if count < MANY { 0 } else { least };
    out.fill(0.0);
    if first > 0 {
        across.resize(size * width, 0.0);
        weights.cut(first);
        product(across, width, values, 1, stride, size, weights, Start::Zero);
        transpose(across, [size, count, width], out, size);
        weights.cut(most);
    }
    add_weighted(out, weights.numbers(), width, first, seen, values, stride);
}

multiversion! {
/// Adds to each query's numbers the values of the items from `first` on that it sees, each times its share.
fn add_weighted(
    out: &mut [f32],
    weights: &[f32],
    width: usize,
    first: usize,
    seen: &[usize],
    values: &[f32],
    stride: usize,
) {
    let size = out.len() / seen.len();
    for (query, (out, seen)) in out.chunks_exact_mut(size).zip(seen).enumerate() {
        for item in first..*seen {
            let weight = weights[item * width + query];
            for (o, v) in out.iter_mut().zip(&values[item * stride..][..size]) {
                *o = weight.mul_add(*v, *o);
            }
        }
    }
}
}

multiversion! {
fn softmax_16(weights: &mut [f32], seen: &[u32; 16], scale: f32) {
    softmax(weights.as_chunks_mut().0, seen, scale);
}
}

multiversion! {
fn softmax_32(weights: &mut [f32], seen: &[u32; 32], scale: f32) {
    softmax(weights.as_chunks_mut().0, seen, scale);
}
}

/// Makes the products of each lane shares that add up to one over the items that the lane sees; those of others mean nothing.
#[inline(always)]
fn softmax<const W: usize>(items: &mut [[f32; W]], seen: &[u32; W], scale: f32) {
    let mut largest = [f32::NEG_INFINITY; W];
    for (item, lanes) in items.iter_mut().enumerate() {
        for lane in 0..W {
            lanes[lane] *= scale;
            let score = if (item as u32) < seen[lane] { lanes[lane] } else { f32::NEG_INFINITY };
            largest[lane] = largest[lane].max(score);
        }
    }
    let mut sums = [0.0; W];
    for (item, lanes) in items.iter_mut().enumerate() {
        for lane in 0..W {
            lanes[lane] = exp(lanes[lane] - largest[lane]);
            sums[lane] += if (item as u32) < seen[lane] { lanes[lane] } else { 0.0 };
        }
    }
    for lanes in items {
        for lane in 0..W {
            lanes[lane] /= sums[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    /// One query as it is written down.
    fn plain(q: &[f32], seen: usize, on: Attended<'_>) -> Vec<f32> {
        let row = |all: &[f32], item: usize| all[item * on.stride..][..q.len()].to_vec();
        let score = |item: usize| {
            let key = row(on.keys, item);
            q.iter().zip(&key).fold(0.0f32, |s, (q, k)| q.mul_add(*k, s)) * on.scale
        };
        let scores: Vec<f32> = (0..seen).map(score).collect();
        let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let shares: Vec<f32> = scores.iter().map(|s| exp(s - largest)).collect();
        let sum = shares.iter().fold(0.0, |sum, share| sum + share);
        let mut out = vec![0.0f32; q.len()];
        for (item, share) in shares.iter().enumerate() {
            let value = row(on.values, item);
            out.iter_mut().zip(&value).for_each(|(o, v)| *o = (share / sum).mul_add(*v, *o));
        }
        out
    }

    #[test]
    fn every_query_is_answered_as_if_it_stood_alone() {
        let mut scratch = AttentionScratch::default();
        for (count, size, first) in [
            (1, 8, 1),
            (1, 64, 70),
            (5, 3, 2),
            (8, 20, 1),
            (16, 16, 40),
            (17, 5, 9),
            (32, 33, 21),
            (32, 64, 1),
        ] {
            let items = first + count - 1;
            let stride = size + 3;
            let (q, keys, mut values) =
                (numbers(count * size, 1), numbers(items * stride, 2), numbers(items * stride, 3));
            // What is not finite shows whether a query looks at what it does not see.
            if count > 1 {
                values[(items - 1) * stride] = f32::INFINITY;
            }
            let on = Attended { keys: &keys, values: &values, stride, scale: 0.7 };
            for causal in [true, false] {
                let seen: Vec<usize> =
                    (0..count).map(|query| if causal { first + query } else { items }).collect();
                let want: Vec<u32> = q
                    .chunks(size)
                    .zip(&seen)
                    .flat_map(|(q, seen)| plain(q, *seen, on))
                    .map(f32::to_bits)
                    .collect();
                with_each_isa(|isa| {
                    let mut out = vec![7.0; q.len()];
                    attend(&mut out, &q, &seen, on, &mut scratch);
                    let found: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
                    assert_eq!(found, want, "{count} queries of {size}, {first} seen, {causal}, on {isa:?}");
                });
            }
        }
    }
}
