//! Linear maps of int8 to sums of int32, and what forward evaluations of them alone say about credit and scores.

use crate::evidence::{Evidence, Held, Test};
use crate::fixed::{Saturated, shifted};
use crate::random;
use crate::threads::ThreadCount;

/// What every map reads as its last input: its weight is the map's bias.
pub const CONSTANT: i16 = 64;

/// Numbers of a row are a multiple of this, so that loops over them have no rest.
const LANES: usize = 16;

/// Items whose answers are found together.
const BLOCK: usize = 16;

/// Products of a credit and a weight whose sum cannot leave 32 bits.
const SUMMED: usize = 512;

/// Scores are narrowed by this before they are squared.
const NARROWED: u32 = 4;

/// `y = W x`, x and W of int8, y of int32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linear {
    pub inputs: usize,
    pub outputs: usize,
    /// Numbers of a row of `weights`: the inputs, the constant, zeros.
    pub stride: usize,
    /// `(outputs, stride)`.
    pub weights: Vec<i8>,
    pub evidence: Evidence,
}

/// The inputs and credits of a batch with items as columns: what the scores are products of.
pub(crate) struct Columns<'a> {
    /// `(stride, items)`.
    pub inputs: &'a [i16],
    /// `(outputs, items)`.
    pub credits: &'a [i16],
    pub items: usize,
}

impl Linear {
    pub fn new(inputs: usize, outputs: usize, spread: u8, key: u64) -> Self {
        let stride = (inputs + 1).next_multiple_of(LANES);
        let mut weights = vec![0; outputs * stride];
        for (j, row) in weights.chunks_exact_mut(stride).enumerate() {
            for (i, w) in row[..inputs].iter_mut().enumerate() {
                *w = random::weight(key, j * inputs + i, spread);
            }
        }
        Self { inputs, outputs, stride, weights, evidence: Evidence::new(outputs * stride) }
    }

    /// The answers to `x`, `(items, stride)` of bytes, widened: `y` is `(items, outputs)`.
    pub fn answer(&self, x: &[i16], y: &mut [i32]) {
        let (stride, outputs) = (self.stride, self.outputs);
        let mut wide = vec![0; stride];
        // Some items at a time, which stay near while every row of weights is widened once for all of them.
        for (x, y) in x.chunks(BLOCK * stride).zip(y.chunks_mut(BLOCK * outputs)) {
            for (j, row) in self.weights.chunks_exact(stride).enumerate() {
                wide.iter_mut().zip(row).for_each(|(w, v)| *w = i16::from(*v));
                for (x, y) in x.chunks_exact(stride).zip(y.iter_mut().skip(j).step_by(outputs)) {
                    *y = dot(&wide, x);
                }
            }
        }
    }

    /// The credit of each input: one more of input `i` changes the answers by column `i` of the weights, whatever the inputs are; held
    /// against the answers' credit that is `Σ_j c_j W_ji`.
    pub fn credit(&self, answers: &[i16], below: &mut [i64]) {
        below.fill(0);
        let mut sums = vec![0i32; below.len()];
        let rows = self.weights.chunks(SUMMED * self.stride).zip(answers.chunks(SUMMED));
        for (rows, answers) in rows {
            sums.fill(0);
            for (row, c) in rows.chunks_exact(self.stride).zip(answers).filter(|(_, c)| **c != 0) {
                for (sum, w) in sums.iter_mut().zip(row) {
                    *sum += i32::from(*c) * i32::from(*w);
                }
            }
            below.iter_mut().zip(&sums).for_each(|(b, sum)| *b += i64::from(*sum));
        }
    }

    /// Scores each weight over a batch and moves those whose evidence is significant; returns how many moved.
    ///
    /// One more of weight `ji` changes answer `j` by `x_i`: held against the credit and summed over items that is `Σ c_j x_i`.
    pub fn learn(
        &mut self,
        columns: &Columns<'_>,
        test: Test,
        threads: ThreadCount,
        counts: &mut Saturated,
    ) -> u64 {
        let (stride, items) = (self.stride, columns.items);
        let mut parts = Vec::new();
        let (mut weights, mut sums) = (&mut self.weights[..], &mut self.evidence.sums[..]);
        let mut squares = &mut self.evidence.squares[..];
        for rows in threads.pieces(self.outputs) {
            let (w, s, q);
            (w, weights) = weights.split_at_mut(rows.len() * stride);
            (s, sums) = sums.split_at_mut(rows.len() * stride);
            (q, squares) = squares.split_at_mut(rows.len() * stride);
            parts.push((rows, Held { weights: w, sums: s, squares: q }));
        }
        let done = threads.each(parts, |(rows, held)| {
            let (mut counts, mut moved, mut scores) = (Saturated::default(), 0, vec![0; stride]);
            for (place, j) in rows.enumerate() {
                let own = &columns.credits[j * items..][..items];
                for (score, x) in scores[..=self.inputs].iter_mut().zip(columns.inputs.chunks_exact(items)) {
                    *score = shifted(i64::from(dot(own, x)), NARROWED) as i32;
                }
                let span = place * stride..(place + 1) * stride;
                let mut row = Held {
                    weights: &mut held.weights[span.clone()],
                    sums: &mut held.sums[span.clone()],
                    squares: &mut held.squares[span],
                };
                moved += test.apply(&mut row, &scores, &mut counts);
            }
            (moved, counts)
        });
        done.iter().for_each(|(_, own)| counts.add(own));
        done.iter().map(|(moved, _)| moved).sum()
    }
}

/// `Σ a b`: of bytes at most 2^17 of them, of a credit and bytes at most 512, so that no sum leaves 32 bits.
#[inline]
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}
