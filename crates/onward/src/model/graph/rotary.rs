//! How queries and keys are turned by their positions.

use crate::kernel::{exp64, ln64};
use std::f64::consts::TAU;
use std::fmt;

/// Rotations by which queries and keys know their positions (Su et al. 2021, arXiv 2104.09864): pair `i` of a head's `d` channels,
/// `(i, i + d/2)`, turns by `θᵢ = base^(−2i/d)` from item to item, as a stretching has changed that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// The base, above 1.
    pub base: f32,
    /// How the rotations of a net were made slower, so that it reads longer texts than those it was first trained on.
    pub scaling: RopeScaling,
}

/// How rotations were made slower.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// They were not.
    #[default]
    None,
    /// All are so many times as slow (Chen et al. 2023, arXiv 2306.15595).
    Linear(f32),
    /// Slow ones are `factor` times as slow, fast ones stay, those between change smoothly (Llama 3.1): a rotation whose wave is of `λ` items is
    /// slow where `original / λ < low`, and fast where that is above `high`.
    Llama3 {
        /// How many times as slow.
        factor: f32,
        /// The fewest waves in `original` of a rotation that changes less than that.
        low: f32,
        /// The waves in `original` from which on a rotation stays.
        high: f32,
        /// The items of the texts that the net was first trained on.
        original: u32,
    },
    /// Pairs that turn fewer than `slow` times in `original` items are `factor` times as slow, those that turn more than `fast` times stay, those between are
    /// between, by their place; all products of queries and keys are multiplied by `size²` (YaRN, Peng et al. 2023, arXiv 2309.00071).
    Yarn {
        /// How many times as slow.
        factor: f32,
        /// Turns above which a pair stays.
        fast: f32,
        /// Turns below which a pair is as slow as any.
        slow: f32,
        /// The items of the texts that the net was first trained on.
        original: u32,
        /// What queries and keys are multiplied by.
        size: f32,
    },
}

impl From<f32> for Rotary {
    fn from(base: f32) -> Self {
        Self { base, scaling: RopeScaling::None }
    }
}

impl Rotary {
    /// Whether all numbers are such as make rotations.
    pub(super) fn is_sound(self) -> bool {
        let positive = |numbers: &[f32]| numbers.iter().all(|v| *v > 0.0 && v.is_finite());
        self.base > 1.0
            && self.base.is_finite()
            && match self.scaling {
                RopeScaling::None => true,
                RopeScaling::Linear(factor) => positive(&[factor]),
                RopeScaling::Llama3 { factor, low, high, original } => {
                    positive(&[factor, low, high]) && low < high && original > 0
                }
                RopeScaling::Yarn { factor, fast, slow, original, size } => {
                    positive(&[factor, fast, slow, size]) && slow < fast && original > 0
                }
            }
    }

    /// What queries and keys are multiplied by beside.
    pub(super) fn size(self) -> f32 {
        if let RopeScaling::Yarn { size, .. } = self.scaling { size } else { 1.0 }
    }

    /// The share of a whole turn by which each pair of a head of `size` channels turns from item to item.
    pub(super) fn speeds(self, size: usize) -> Vec<f64> {
        let slope = -2.0 * ln64(f64::from(self.base)) / size as f64;
        (0..size / 2).map(|pair| self.scaled(exp64(slope * pair as f64), pair, size) / TAU).collect()
    }

    fn scaled(self, angle: f64, pair: usize, size: usize) -> f64 {
        match self.scaling {
            RopeScaling::None => angle,
            RopeScaling::Linear(factor) => angle / f64::from(factor),
            RopeScaling::Llama3 { factor, low, high, original } => {
                let [factor, low, high] = [factor, low, high].map(f64::from);
                let waves = f64::from(original) * angle / TAU;
                let kept = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                angle * (kept + (1.0 - kept) / factor)
            }
            RopeScaling::Yarn { factor, fast, slow, original, .. } => {
                let [factor, fast, slow] = [factor, fast, slow].map(f64::from);
                // The pair that turns so often in the original length.
                let pair_of = |turns: f64| {
                    size as f64 * ln64(f64::from(original) / (turns * TAU))
                        / (2.0 * ln64(f64::from(self.base)))
                };
                let most = size as f64 - 1.0;
                let (first, last) = (pair_of(fast).floor().max(0.0), pair_of(slow).ceil().min(most));
                let last = if first == last { last + 0.001 } else { last };
                let slowed = ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
                angle * (1.0 - slowed + slowed / factor)
            }
        }
    }
}

impl fmt::Display for Rotary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rotary {}", self.base)?;
        match self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear(factor) => write!(f, ", {factor} times as slow"),
            RopeScaling::Llama3 { factor, low, high, original } => {
                write!(f, ", {factor} times as slow below {low} of {high} waves in {original}")
            }
            RopeScaling::Yarn { factor, fast, slow, original, size } => {
                write!(f, ", {factor} times as slow from {fast} to {slow} turns in {original}, size {size}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_are_stretched_as_they_were_published() {
        // The formulas, written down once more in their own terms.
        let angle = |i: i32| 500_000f64.powf(-f64::from(i) / 32.0);
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192 };
        let speeds = Rotary { base: 500_000.0, scaling }.speeds(64);
        for (i, speed) in (0..32).zip(speeds) {
            let wave = TAU / angle(i);
            let wanted = if wave < 8192.0 / 4.0 {
                angle(i)
            } else if wave > 8192.0 {
                angle(i) / 8.0
            } else {
                let smooth = (8192.0 / wave - 1.0) / 3.0;
                (1.0 - smooth) * angle(i) / 8.0 + smooth * angle(i)
            };
            assert!((speed * TAU / wanted - 1.0).abs() < 1e-9, "{i}");
        }
        let plain = Rotary::from(10_000.0).speeds(8);
        let slow = Rotary { base: 10_000.0, scaling: RopeScaling::Linear(4.0) }.speeds(8);
        assert!(plain.iter().zip(&slow).all(|(a, b)| (a / b - 4.0).abs() < 1e-12));
        let scaling = RopeScaling::Yarn { factor: 4.0, fast: 32.0, slow: 1.0, original: 4096, size: 1.0 };
        let yarn = Rotary { base: 10_000.0, scaling }.speeds(128);
        let plain = Rotary::from(10_000.0).speeds(128);
        // The first pairs turn fast and stay, the last ones are slowed in full.
        assert!((yarn[0] / plain[0] - 1.0).abs() < 1e-12 && (plain[63] / yarn[63] - 4.0).abs() < 1e-9);
        assert!(yarn.windows(2).all(|w| w[0] > w[1]));
    }
}
