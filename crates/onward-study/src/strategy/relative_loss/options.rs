//! Options sampled from the softmax of logits, which follow the score function.
//!
//! For `q = softmax(a)`: `∂ log q(c)/∂a_j = 1{c = j} − q_j`. It takes the logits' own closed form and no derivative of the
//! loss: `a ← a − η mean (ρ − ρ̄)(1{c = j} − q_j)`.

use super::super::super::draws::Draws;
use super::super::super::space::choose;
use onward_kernel::{exp64, ln64};
use std::ops::Range;

/// η, for responses of unit variance.
const RATE: f64 = 1.0;
/// No option becomes less likely than about this share of an equal one: a loss that was noise can be made good.
const LEAST: f64 = 0.05;

/// The logits of every category.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// Where in the encoding each category lies.
    ranges: Vec<Range<usize>>,
    /// For all categories, one after another.
    logits: Vec<f64>,
}

impl Options {
    pub fn new(ranges: &[Range<usize>]) -> Self {
        Self { ranges: ranges.to_vec(), logits: vec![0.0; ranges.iter().map(Range::len).sum()] }
    }

    /// The encoded coordinates that belong to options.
    pub fn coordinates(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// Each category's place in the encoding, and its logits.
    fn each(&self) -> impl Iterator<Item = (Range<usize>, &[f64])> {
        let mut rest = self.logits.as_slice();
        self.ranges.iter().map(move |range| {
            let (logits, others) = rest.split_at(range.len());
            rest = others;
            (range.clone(), logits)
        })
    }

    /// One option of each category, from a candidate's uniform numbers.
    pub fn sample(&self, draws: Draws, candidate: usize) -> Vec<usize> {
        let each = self.each().enumerate();
        each.map(|(category, (_, logits))| pick(&softmax(logits), draws.uniform(candidate, category)))
            .collect()
    }

    /// Puts chosen options into an encoded point.
    pub fn write(&self, chosen: &[usize], point: &mut [f64]) {
        for (range, option) in self.ranges.iter().zip(chosen) {
            choose(*option, &mut point[range.clone()]);
        }
    }

    /// Puts the options' probabilities into an encoded point: it decodes to the likeliest.
    pub fn write_mode(&self, point: &mut [f64]) {
        for (range, logits) in self.each() {
            point[range].copy_from_slice(&softmax(logits));
        }
    }

    /// Moves the logits by what each sample's loss was above the mean, in standard deviations.
    pub fn learn(&mut self, samples: &[Vec<usize>], responses: &[f64]) {
        let mut first = 0;
        for (category, range) in self.ranges.iter().enumerate() {
            let logits = &mut self.logits[first..first + range.len()];
            first += range.len();
            let q = softmax(logits);
            let share = RATE / samples.len() as f64;
            for (sample, response) in samples.iter().zip(responses) {
                for (j, (a, q)) in logits.iter_mut().zip(&q).enumerate() {
                    *a -= share * response * (f64::from(u8::from(sample[category] == j)) - q);
                }
            }
            let top = logits.iter().fold(f64::NEG_INFINITY, |m, a| m.max(*a));
            let lowest = ln64(LEAST / range.len() as f64);
            logits.iter_mut().for_each(|a| *a = (*a - top).max(lowest));
        }
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().fold(f64::NEG_INFINITY, |m, a| m.max(*a));
    let raw: Vec<f64> = logits.iter().map(|a| exp64(a - top)).collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|r| r / sum).collect()
}

/// The option whose share of [0, 1) holds `u`.
fn pick(q: &[f64], u: f64) -> usize {
    let mut below = 0.0;
    let found = q.iter().position(|q| {
        below += q;
        u < below
    });
    found.unwrap_or(q.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_the_softmax() {
        let mut options = Options::new(&[0..2, 3..6]);
        options.logits = vec![0.0, 1.0, -1.0, 0.5, 0.0];
        let mut counts = [[0.0; 3]; 2];
        for i in 0..4000 {
            let chosen = options.sample(Draws::new(1, i), 2);
            chosen.iter().zip(&mut counts).for_each(|(c, count)| count[*c] += 1.0 / 4000.0);
        }
        for (count, (_, logits)) in counts.iter().zip(options.each()) {
            softmax(logits).iter().zip(count).for_each(|(q, c)| assert!((q - c).abs() < 0.03, "{q} {c}"));
        }
        let mut point = [9.0; 6];
        options.write(&[1, 0], &mut point);
        assert_eq!(point, [0.25, 0.75, 9.0, 0.75, 0.25, 0.25]);
        options.write_mode(&mut point);
        assert!(point[1] > point[0] && point[4] > point[3] && point[2] == 9.0, "{point:?}");
    }

    #[test]
    fn the_score_is_the_gradient_of_the_expected_loss() {
        let losses = [0.3, -1.2, 0.8];
        let logits = [0.2, -0.1, 0.4];
        let expected = |a: &[f64]| softmax(a).iter().zip(losses).map(|(q, l)| q * l).sum::<f64>();
        // Every option once, weighted by its probability, is the expectation.
        let q = softmax(&logits);
        let mut options = Options::new(std::slice::from_ref(&(0..3)));
        options.logits = logits.to_vec();
        let weighted: Vec<f64> = losses.iter().zip(&q).map(|(l, q)| 3.0 * l * q).collect();
        options.learn(&[vec![0], vec![1], vec![2]], &weighted);
        for j in 1..3 {
            let slope = |j: usize| {
                let (mut up, mut down) = (logits, logits);
                up[j] += 1e-5;
                down[j] -= 1e-5;
                (expected(&up) - expected(&down)) / 2e-5
            };
            // Only differences of logits mean anything.
            let moved = (options.logits[j] - options.logits[0]) - (logits[j] - logits[0]);
            assert!((moved + RATE * (slope(j) - slope(0))).abs() < 1e-9, "{j}: {moved}");
        }
    }

    #[test]
    fn no_option_is_lost() {
        let mut options = Options::new(std::slice::from_ref(&(0..3)));
        for _ in 0..1000 {
            options.learn(&[vec![0], vec![1], vec![2]], &[-1.0, 1.0, 1.0]);
        }
        let q = softmax(&options.logits);
        assert!(q[0] > 0.96 && q[1] > 0.01 && q[1] == q[2], "{q:?}");
    }
}
