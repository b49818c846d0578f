//! Steps of ±1 where the evidence is significant: a Z-test on sums of scores, without a root and without a fraction.
//!
//! A weight's score says how much a step of it by +1 would lower the loss, to first order. Its scores are summed up, and so are their squares. If the
//! scores were noise around zero, `sum² / squares` would be that of a standard normal number squared, so the weight moves by one in the
//! direction of its sum where `sum² > z² · squares`, with `z` the two-sided quantile of `α`; then the sum begins anew. `α` falls as training goes on, as in
//! EGGROLL's integer net (arXiv 2511.16652), which sums ranks of whole populations in place of scores.

use crate::error::{InputError, Result};
use crate::fixed::{Saturated, log2};

/// 16 z² for α = 2^-k: the square of the two-sided standard normal quantile.
const QUANTILES: [u64; 25] = [
    0, 7, 21, 38, 56, 74, 94, 113, 133, 153, 174, 195, 215, 236, 257, 278, 299, 320, 342, 363, 384, 406, 427,
    449, 470,
];

/// Sums of evidence are held within ±this, so that 16 times their square fits 64 bits.
const LARGEST: i64 = 1 << 29;

/// When weights move: the level of the test over the steps of a training, and how long scores count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Significance {
    /// α at the first step, in units of `2^-16`; 1 to 65 536.
    pub alpha: u32,
    /// How much smaller α has become at the last step: `α(t) = alpha / (1 + (fall − 1) t / steps)`; at least 1.
    pub fall: u32,
    /// Steps of the whole training.
    pub steps: u64,
    /// Scores fade by `2^-memory` each step, so they count for about `2^memory` steps; 2 to 30.
    pub memory: u32,
}

impl Significance {
    /// # Errors
    /// A key out of its range.
    pub fn check(&self) -> Result<()> {
        crate::error::within("alpha", self.alpha as usize, 1..=65_536)?;
        crate::error::within("fall", self.fall as usize, 1..=1 << 20)?;
        crate::error::within("memory", self.memory as usize, 2..=30)?;
        if self.steps == 0 {
            return Err(InputError::expected("steps", "a number of at least 1", 0));
        }
        Ok(())
    }

    /// The test at `step` (from 0; later ones than the last count as the last).
    pub fn at(&self, step: u64) -> Test {
        let done = step.min(self.steps);
        // 1/α in units of 2^-16: from 2^16 up; its logarithm is how many halvings α is below 1.
        let divisor = u128::from(self.steps) + u128::from(self.fall - 1) * u128::from(done);
        let inverse = (divisor << 32) / (u128::from(self.alpha) * u128::from(self.steps));
        let halvings = log2(inverse.min(1 << 40) as u64).saturating_sub(16 << 16).min(23 << 16);
        let (whole, part) = ((halvings >> 16) as usize, u64::from(halvings & 0xffff));
        let (low, high) = (QUANTILES[whole], QUANTILES[whole + 1]);
        Test { threshold: low + (((high - low) * part) >> 16), memory: self.memory }
    }
}

/// The test of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// `16 z²`.
    pub threshold: u64,
    /// See [`Significance::memory`].
    pub memory: u32,
}

/// The evidence about a tensor's weights, one number each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Fading sums of scores.
    pub sums: Vec<i32>,
    /// Fading sums of their squares.
    pub squares: Vec<u64>,
}

impl Evidence {
    /// Nothing known about `count` weights.
    pub fn new(count: usize) -> Self {
        Self { sums: vec![0; count], squares: vec![0; count] }
    }
}

/// Some weights with what is known about them.
pub(crate) struct Held<'a> {
    pub weights: &'a mut [i8],
    pub sums: &'a mut [i32],
    pub squares: &'a mut [u64],
}

impl Test {
    /// Adds a step's `scores` (units are free, but for all steps the same) and moves the weights whose evidence is significant; returns how many moved.
    #[inline]
    pub(crate) fn apply(self, held: &mut Held<'_>, scores: &[i32], counts: &mut Saturated) -> u64 {
        let all = held.weights.iter_mut().zip(held.sums.iter_mut()).zip(held.squares.iter_mut());
        let mut moved = 0;
        for (((weight, sum), squares), score) in all.zip(scores) {
            moved += u64::from(self.one(weight, sum, squares, *score, counts));
        }
        moved
    }

    #[inline]
    fn one(
        self,
        weight: &mut i8,
        sum: &mut i32,
        squares: &mut u64,
        score: i32,
        counts: &mut Saturated,
    ) -> bool {
        let faded = i64::from(*sum - (*sum >> self.memory)) + i64::from(score);
        let held = faded.clamp(-LARGEST, LARGEST);
        counts.sums += u64::from(held != faded);
        let score = i64::from(score);
        *squares = (*squares - (*squares >> (self.memory - 1))).saturating_add((score * score) as u64);
        *sum = held as i32;
        if 16 * (held * held) as u64 <= self.threshold.saturating_mul(*squares) {
            return false;
        }
        *sum = 0;
        let step = if held > 0 { 1 } else { -1 };
        let fits = *weight != 127 * step;
        counts.weights += u64::from(!fits);
        *weight += if fits { step } else { 0 };
        fits
    }
}
