//! Rows that stand for many: `x ± odd ∘ aₖ`, for directions `aₖ` that are shared by an antithetic pair.
//!
//! A function `f` of one number sees only two values of `x + odd·a` where `a` is a sign. So it is affine in `a`:
//! `f(x + odd·a) = even + a·odd'` with `even = (f(x + odd) + f(x − odd))/2` and `odd' = (f(x + odd) − f(x − odd))/2`. Through
//! element-wise functions `2K` rows stay two, and the linear map that follows gives `W even ± W(odd' ∘ aₖ)`: one product
//! for each pair, not two; and one for all pairs together where the directions are rows of a Hadamard matrix.

use super::weights::{Idle, Packed};
use super::{Act, BufferPool};
use crate::kernel::{
    Conv3, Epilogue, Filter, Matrix, add_products, axpy, by_remainder, conv3x3_hadamard, hadamard_products,
    hadamard_products_of_rows, hadamard_sign, plus_and_minus, scaled_along, walsh_hadamard,
};
use std::sync::Arc;

/// Rows from which on they are multiplied together, remainder by remainder; fewer are taken row by row, with the same bits.
const MANY: usize = 16;

/// Rows that are made and multiplied together where each pair has a product of its own.
const TOGETHER: usize = 256;

/// What is added to and subtracted from rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The size of the change of each number of each row.
    pub odd: Vec<f32>,
    /// Its signs in each pair.
    pub directions: Arc<Pairs>,
}

/// The directions of a number of antithetic pairs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pairs {
    /// `hₖ ∘ signs` for the first `count` rows of a Hadamard matrix. There are as many `signs` as numbers in the rows (0
    /// where one is not moved), and as many `columns` of the matrix, if it is not one after the other in each row.
    Hadamard { count: usize, signs: Vec<f32>, columns: Option<Vec<u32>> },
    /// One after the other, each as many as the rows' numbers.
    Listed { count: usize, all: Vec<f32> },
}

impl Pairs {
    /// How many pairs there are.
    pub fn count(&self) -> usize {
        match self {
            Self::Hadamard { count, .. } | Self::Listed { count, .. } => *count,
        }
    }

    /// `size ∘ aₖ` for rows of `width` numbers.
    pub(crate) fn scaled(&self, k: usize, width: usize, size: &[f32], out: &mut [f32]) {
        match self {
            Self::Hadamard { signs, columns: Some(columns), .. } => {
                scaled_along(k as u32, size, signs, columns, out);
            }
            Self::Hadamard { signs, columns: None, .. } => {
                let row: Vec<f32> = (0..width).map(|j| hadamard_sign(k, j)).collect();
                let rows = out.chunks_exact_mut(width).zip(size.chunks_exact(width));
                for ((out, size), signs) in rows.zip(signs.chunks_exact(width)) {
                    for (((o, x), s), h) in out.iter_mut().zip(size).zip(signs).zip(&row) {
                        *o = x * s * h;
                    }
                }
            }
            Self::Listed { all, .. } => {
                let a = &all[k * size.len()..][..size.len()];
                out.iter_mut().zip(size).zip(a).for_each(|((o, x), a)| *o = x * a);
            }
        }
    }

    /// Adds `Σₖ responses[k] · aₖ` of row `row` to `g`.
    pub fn credit(&self, row: usize, responses: &[f32], g: &mut [f32]) {
        match self {
            Self::Hadamard { count, signs, columns } => {
                let mut sums = responses.to_vec();
                sums.resize(count.next_power_of_two(), 0.0);
                walsh_hadamard(&mut sums, 1);
                let own = row * g.len()..(row + 1) * g.len();
                let signs = &signs[own.clone()];
                if let Some(columns) = columns {
                    for ((g, s), column) in g.iter_mut().zip(signs).zip(&columns[own]) {
                        *g = s.mul_add(sums[*column as usize & (sums.len() - 1)], *g);
                    }
                    return;
                }
                for (g, signs) in g.chunks_mut(sums.len()).zip(signs.chunks(sums.len())) {
                    add_products(g, &sums[..g.len()], signs);
                }
            }
            Self::Listed { count, all } => {
                let size = all.len() / count;
                for (r, a) in responses.iter().zip(all.chunks_exact(size)) {
                    axpy(g, *r, &a[row * g.len()..][..g.len()]);
                }
            }
        }
    }
}

impl Spread {
    /// Puts both sides of every number through `f`: rows `x`, which stand for `x ± odd`, become the even part.
    pub fn map(&mut self, x: &mut [f32], f: impl Fn(&mut [f32])) {
        let mut plus = vec![0.0; x.len()];
        let mut minus = vec![0.0; x.len()];
        plus_and_minus(x, &self.odd, &mut plus, &mut minus);
        f(&mut plus);
        f(&mut minus);
        for (((x, o), p), m) in x.iter_mut().zip(&mut self.odd).zip(&plus).zip(&minus) {
            (*x, *o) = (0.5 * p + 0.5 * m, 0.5 * p - 0.5 * m);
        }
    }

    /// All rows that `x` stands for, as `[pair][sign][row]`.
    pub fn rows(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut data = vec![0.0; 2 * self.directions.count() * x.len()];
        let mut change = vec![0.0; x.len()];
        for (k, pair) in data.chunks_exact_mut(2 * x.len()).enumerate() {
            self.directions.scaled(k, width, &self.odd, &mut change);
            let (plus, minus) = pair.split_at_mut(x.len());
            plus_and_minus(x, &change, plus, minus);
        }
        data
    }

    /// The rows that a linear map gives, `base` being those of the even part of rows with shape `shape`.
    pub(super) fn through(
        &self,
        packed: &Packed,
        idle: &Idle,
        buffers: &BufferPool,
        shape: [usize; 3],
        base: &Act,
    ) -> Act {
        let count = self.directions.count();
        let numbers = buffers.take(2 * count * base.data.len());
        let mut rows = Act::of(2 * count * base.rows, base.shape, numbers);
        let remainders = count.next_power_of_two();
        match (&*self.directions, packed) {
            (Pairs::Hadamard { signs, columns, .. }, Packed::Matrix(Matrix::F32(weights)))
                if shape[..2] == [1, 1] =>
            {
                let odd: Vec<f32> = self.odd.iter().zip(signs).map(|(o, s)| o * s).collect();
                let (width, stride) = (base.width(), base.data.len());
                if columns.is_none() && base.rows >= MANY {
                    hadamard_products_of_rows(weights, &odd, &base.data, count, &mut rows.data);
                    return rows;
                }
                let rows_in = odd.chunks_exact(shape[2]).zip(signs.chunks_exact(shape[2]));
                let mut moved = Vec::new();
                for (s, ((odd, signs), base)) in rows_in.zip(base.data.chunks_exact(width)).enumerate() {
                    let all = odd.iter().zip(signs).enumerate();
                    moved.clear();
                    moved.extend(
                        all.filter(|(_, (_, s))| columns.is_none() || **s != 0.0)
                            .map(|(j, (o, _))| (j as u32, *o)),
                    );
                    hadamard_products(weights, &moved, base, count, &mut rows.data[s * width..], stride);
                }
            }
            (Pairs::Hadamard { signs, .. }, Packed::Filter(Filter::Rows(weights)))
                if remainders > 1 && shape[2].is_multiple_of(remainders) =>
            {
                let odd: Vec<f32> = self.odd.iter().zip(signs).map(|(o, s)| o * s).collect();
                let conv = Conv3 { height: shape[0], width: shape[1], channels: shape[2] };
                let parts = by_remainder(weights, remainders);
                let (width, size) = (base.width(), base.data.len());
                let mut changes = vec![0.0; remainders * width];
                for (s, image) in odd.chunks_exact(shape.iter().product()).enumerate() {
                    conv3x3_hadamard(conv, image, &parts, &mut changes);
                    let base = &base.data[s * width..][..width];
                    for (pair, change) in
                        rows.data.chunks_exact_mut(2 * size).zip(changes.chunks_exact(width))
                    {
                        let (plus, minus) = pair.split_at_mut(size);
                        let at = s * width..(s + 1) * width;
                        plus_and_minus(base, change, &mut plus[at.clone()], &mut minus[at]);
                    }
                }
            }
            _ => self.one_by_one(packed, idle, buffers, shape, base, &mut rows.data),
        }
        rows
    }

    /// A product for each pair, those of a few pairs together, so that what goes in and what comes out stays near.
    fn one_by_one(
        &self,
        packed: &Packed,
        idle: &Idle,
        buffers: &BufferPool,
        shape: [usize; 3],
        base: &Act,
        out: &mut [f32],
    ) {
        let (size, odd) = (base.data.len(), self.odd.len());
        let together = (TOGETHER / base.rows.max(1)).min(self.directions.count()).max(1);
        let (mut x, mut change) = (buffers.take(together * odd), buffers.take(together * size));
        for (group, out) in out.chunks_mut((2 * together * size).max(1)).enumerate() {
            let pairs = out.len() / (2 * size);
            let (x, change) = (&mut x[..pairs * odd], &mut change[..pairs * size]);
            for (k, x) in x.chunks_exact_mut(odd.max(1)).enumerate() {
                self.directions.scaled(group * together + k, shape.iter().product(), &self.odd, x);
            }
            packed.product([shape[0], shape[1]], x, change, Epilogue::default(), idle);
            for (pair, change) in out.chunks_exact_mut(2 * size).zip(change.chunks_exact(size)) {
                let (plus, minus) = pair.split_at_mut(size);
                plus_and_minus(&base.data, change, plus, minus);
            }
        }
    }
}
