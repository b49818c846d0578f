//! Sums of probes on weights, `Σ c·z`: what a weight-space step is made of.

use crate::kernel::{Panels, Start, product};
use crate::model::{TensorKeys, WeightSpace};
use crate::noise::Family;
use rayon::prelude::*;

/// Adds `Σᵢ cᵢ · zᵢ` over the members from `first` on to `out`, a tensor of the given shape; `zᵢ` is the noise as the
/// family draws it, and no member's noise matrix is ever formed. With integer noise
/// and integer coefficients whose sum stays below 2²⁴ every partial sum is exact, so order and tiling cannot matter.
pub(crate) fn add_probes(
    out: &mut [f32],
    shape: &[usize],
    keys: &TensorKeys,
    space: WeightSpace,
    step: u32,
    first: u32,
    coefficients: &[f32],
) {
    let noise = space.noise();
    match (space, crate::params::matrix_shape(shape)) {
        (WeightSpace::LowRank { rank, .. }, Some((m, n))) => {
            for (block, part) in coefficients.chunks(MEMBERS).enumerate() {
                let (left, right) =
                    factors(keys, (m, n), rank, noise, step, first as usize + block * MEMBERS, part);
                let rows = part.len() * rank as usize;
                let right = Panels::rows(&right, rows, n);
                out.par_chunks_mut(ROWS * n).enumerate().for_each(|(chunk, out)| {
                    product(out, n, &left[chunk * ROWS..], 1, m, out.len() / n, &right, Start::Add);
                });
            }
        }
        _ => out.par_chunks_mut(ELEMENTS).enumerate().for_each(|(chunk, out)| {
            for (i, c) in coefficients.iter().enumerate() {
                if *c != 0.0 {
                    keys.dense.at(step, first + i as u32).add_to(noise, (chunk * ELEMENTS) as u64, *c, out);
                }
            }
        }),
    }
}

/// Members whose factors are made at once, rows of a matrix and elements of a tensor that one task works on.
const MEMBERS: usize = 512;
const ROWS: usize = 32;
const ELEMENTS: usize = 1 << 14;

/// Left factors (each times its coefficient) and right factors of the members from `first` on, one row per outer product.
fn factors(
    keys: &TensorKeys,
    (m, n): (usize, usize),
    rank: u32,
    noise: Family,
    step: u32,
    first: usize,
    coefficients: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let r = rank as usize;
    let (mut left, mut right) =
        (vec![0.0; coefficients.len() * r * m], vec![0.0; coefficients.len() * r * n]);
    let rows = left.par_chunks_mut(r * m).zip(right.par_chunks_mut(r * n)).zip(coefficients).enumerate();
    rows.with_min_len(32).for_each(|(i, ((left, right), c))| {
        let member = (first + i) as u32;
        keys.left.at(step, member).fill(noise, 0, left);
        keys.right.at(step, member).fill(noise, 0, right);
        left.iter_mut().for_each(|a| *a *= c);
    });
    (left, right)
}
