//! Sums of probes on one tensor, `Σ c·z`: what a weight-space step is made of.

use crate::kernel::{Panels, Start, product};
use crate::model::{TensorKeys, WeightSpace};
use crate::noise::Family;
use crate::threads::prelude::*;
use std::borrow::Cow;

/// Members whose factors are made at once.
const MEMBERS: usize = 512;
/// Rows of a matrix and elements of a tensor that one task works on: as many as stay in the first-level cache while one
/// probe after the other is added to them, so that many probes cost one pass over memory.
const ROWS: usize = 32;
const ELEMENTS: usize = 1 << 13;

/// Elements of noise that are made at once: few enough that what they are added to comes from memory meanwhile, and
/// enough for the generator to work on.
fn elements_at_once(noise: Family) -> usize {
    match noise {
        Family::Sign => ELEMENTS,
        Family::Binomial | Family::Normal => 512,
    }
}

/// `Σᵢ cᵢ · zᵢ` over members `first..`, as the family draws `zᵢ`, on one tensor. With integer noise and integer coefficients
/// whose sum stays below 2²⁴ every partial sum is exact, so order and tiling cannot matter; else the order is the members'.
#[derive(Clone, Copy)]
pub(crate) struct Probes<'a> {
    pub keys: TensorKeys,
    /// Rows and columns of a matrix.
    pub matrix: Option<(usize, usize)>,
    pub space: WeightSpace,
    pub step: u32,
    pub first: u32,
    pub coefficients: &'a [f32],
}

impl<'a> Probes<'a> {
    /// Adds the sum to `out`, all of the tensor. No member's noise matrix is ever formed.
    pub fn add_to(self, out: &mut [f32]) {
        let together = if self.factored().is_some() { MEMBERS } else { usize::MAX };
        for (block, coefficients) in self.coefficients.chunks(together).enumerate() {
            let first = self.first + (block * MEMBERS) as u32;
            let sum = Self { first, coefficients, ..self }.sum();
            out.par_chunks_mut(sum.tile()).enumerate().for_each(|(tile, out)| sum.add_tile(tile, out));
        }
    }

    /// The sum, to be had tile by tile: made when asked for, unless its factors would not fit.
    pub fn sum(self) -> Sum<'a> {
        match self.factored() {
            None => Sum::Noise(self),
            Some((rank, m, n)) if (1..=MEMBERS).contains(&self.coefficients.len()) => {
                self.factors(rank, m, n)
            }
            Some((_, m, n)) => {
                let mut whole = vec![0.0; m * n];
                self.add_to(&mut whole);
                Sum::Whole(whole.into())
            }
        }
    }

    /// Rank, rows and columns, if noise is a product of factors.
    fn factored(&self) -> Option<(usize, usize, usize)> {
        match (self.space, self.matrix) {
            (WeightSpace::LowRank { rank, .. }, Some((m, n))) => Some((rank as usize, m, n)),
            _ => None,
        }
    }

    /// Left factors (each times its coefficient) and right factors, one row per outer product.
    fn factors(&self, rank: usize, m: usize, n: usize) -> Sum<'a> {
        let products = self.coefficients.len() * rank;
        let (mut left, mut right) = (vec![0.0; products * m], vec![0.0; products * n]);
        let rows = left.par_chunks_mut(rank * m).zip(right.par_chunks_mut(rank * n));
        rows.zip(self.coefficients).enumerate().with_min_len(32).for_each(|(i, ((left, right), c))| {
            let (member, noise) = (self.first + i as u32, self.space.noise());
            self.keys.left.at(self.step, member).fill(noise, 0, left);
            self.keys.right.at(self.step, member).fill(noise, 0, right);
            left.iter_mut().for_each(|a| *a *= c);
        });
        Sum::Factors { left, rows: m, right: Panels::rows(&right, products, n) }
    }
}

/// A tensor with noise on it, by how long that is.
pub(crate) struct NoisyTensor {
    pub keys: TensorKeys,
    /// Rows and columns of a matrix.
    pub matrix: Option<(usize, usize)>,
    /// Its elements.
    pub size: usize,
}

impl NoisyTensor {
    /// The squared length of each member's noise, in a unit of its own. No noise matrix is formed: that of a sum of outer products follows from the products
    /// of its factors.
    pub fn lengths(&self, space: WeightSpace, step: u32, members: &[usize]) -> Vec<f64> {
        let (keys, noise) = (&self.keys, space.noise());
        let dot =
            |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let (WeightSpace::LowRank { rank, .. }, Some((m, n))) = (space, self.matrix) else {
            let mut own = vec![0.0; self.size];
            let mut length = |member: usize| {
                keys.dense.at(step, member as u32).fill(noise, 0, &mut own);
                dot(&own, &own)
            };
            return members.iter().map(|member| length(*member)).collect();
        };
        let (mut left, mut right) = (vec![0.0; rank as usize * m], vec![0.0; rank as usize * n]);
        let mut length = |member: usize| {
            keys.left.at(step, member as u32).fill(noise, 0, &mut left);
            keys.right.at(step, member as u32).fill(noise, 0, &mut right);
            let factors = || left.chunks_exact(m).zip(right.chunks_exact(n));
            factors().map(|(a, b)| factors().map(|(c, d)| dot(a, c) * dot(b, d)).sum::<f64>()).sum()
        };
        members.iter().map(|member| length(*member)).collect()
    }
}

/// A sum over all of one tensor, cut into tiles.
pub(crate) enum Sum<'a> {
    /// Of noise on every element.
    Noise(Probes<'a>),
    /// Of outer products.
    Factors { left: Vec<f32>, rows: usize, right: Panels },
    /// Already there.
    Whole(Cow<'a, [f32]>),
}

impl Sum<'_> {
    /// Elements of a tile (the last may have fewer).
    pub fn tile(&self) -> usize {
        match self {
            Self::Noise(p) => elements_at_once(p.space.noise()),
            Self::Factors { right, .. } => ROWS * right.n(),
            Self::Whole(_) => ELEMENTS,
        }
    }

    /// Tiles of which one task makes one after the other, so that tasks are few.
    pub fn tiles_at_once(&self) -> usize {
        (ELEMENTS / self.tile().max(1)).max(1)
    }

    /// Tile `tile`, which has `elements` elements.
    pub fn get<'s>(&'s self, tile: usize, elements: usize, scratch: &'s mut Vec<f32>) -> &'s [f32] {
        if let Self::Whole(all) = self {
            return &all[tile * ELEMENTS..][..elements];
        }
        scratch.clear();
        scratch.resize(elements, 0.0);
        self.add_tile(tile, scratch);
        scratch
    }

    fn add_tile(&self, tile: usize, out: &mut [f32]) {
        match self {
            Self::Noise(p) => {
                for (i, c) in p.coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0) {
                    let noise = p.keys.dense.at(p.step, p.first + i as u32);
                    noise.add_to(p.space.noise(), (tile * self.tile()) as u64, *c, out);
                }
            }
            Self::Factors { left, rows, right } => {
                let n = right.n();
                product(out, n, &left[tile * ROWS..], 1, *rows, out.len() / n, right, Start::Add);
            }
            Self::Whole(all) => {
                let own = &all[tile * ELEMENTS..];
                out.iter_mut().zip(own).for_each(|(o, x)| *o += x);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Family, RunKey};

    fn probes(space: WeightSpace, matrix: Option<(usize, usize)>, coefficients: &[f32]) -> Probes<'_> {
        let keys = TensorKeys::new(&RunKey::from_seed(3), "w");
        Probes { keys, matrix, space, step: 4, first: 5, coefficients }
    }

    /// Tile by tile, as a step asks for it.
    fn tiled(sum: &Sum<'_>, elements: usize) -> Vec<f32> {
        let (mut all, mut scratch) = (Vec::new(), vec![7.0; 3]);
        for tile in 0..elements.div_ceil(sum.tile()) {
            let length = sum.tile().min(elements - tile * sum.tile());
            all.extend_from_slice(sum.get(tile, length, &mut scratch));
        }
        all
    }

    fn in_threads(threads: usize, probes: Probes<'_>, start: &[f32]) -> Vec<f32> {
        let threads = crate::threads::Threads::new(threads).unwrap();
        let mut sum = start.to_vec();
        threads.run(|| probes.add_to(&mut sum));
        sum
    }

    #[test]
    fn noise_on_every_element_is_added_member_by_member_in_any_tile() {
        // Real coefficients: the order of additions shows in the bits.
        let coefficients: Vec<f32> = (0..40).map(|i| (i as f32 * 0.7).sin() * ((i % 3) as f32)).collect();
        for noise in [Family::Sign, Family::Binomial, Family::Normal] {
            let space = WeightSpace::Dense { noise };
            for n in [1, ELEMENTS - 1, ELEMENTS, 2 * ELEMENTS + 777] {
                let p = probes(space, Some((1, n)), &coefficients);
                let mut want = vec![0.0; n];
                for (i, c) in coefficients.iter().enumerate() {
                    let mut z = vec![0.0; n];
                    p.keys.dense.at(4, 5 + i as u32).fill(noise, 0, &mut z);
                    want.iter_mut().zip(&z).for_each(|(s, z)| *s = z.mul_add(*c, *s));
                }
                for threads in [1, 3] {
                    assert_eq!(in_threads(threads, p, &vec![0.0; n]), want, "{noise:?}, {n} elements");
                }
                assert_eq!(tiled(&p.sum(), n), want, "{noise:?}, {n} elements");
            }
        }
    }

    #[test]
    fn outer_products_are_added_in_any_tile_and_block_of_members() {
        let (m, n, rank) = (ROWS + 5, 9, 2);
        let space = WeightSpace::LowRank { rank, noise: Family::Binomial };
        for members in [0, 1, MEMBERS, MEMBERS + 3] {
            let coefficients: Vec<f32> = (0..members).map(|i| (i % 7) as f32 - 3.0).collect();
            let p = probes(space, Some((m, n)), &coefficients);
            let mut want = vec![0i64; m * n];
            for (i, c) in coefficients.iter().enumerate() {
                let (mut a, mut b) = (vec![0.0; 2 * m], vec![0.0; 2 * n]);
                p.keys.left.at(4, 5 + i as u32).fill(Family::Binomial, 0, &mut a);
                p.keys.right.at(4, 5 + i as u32).fill(Family::Binomial, 0, &mut b);
                for (at, s) in want.iter_mut().enumerate() {
                    let product = |r: usize| a[r * m + at / n] * b[r * n + at % n];
                    *s += (*c * (product(0) + product(1))) as i64;
                }
            }
            let want: Vec<f32> = want.into_iter().map(|s| s as f32).collect();
            assert_eq!(tiled(&p.sum(), m * n), want, "{members} members");
            let more: Vec<f32> = want.iter().map(|s| s + 1.0).collect();
            assert_eq!(in_threads(3, p, &vec![1.0; m * n]), more, "{members} members");
        }
    }
}
