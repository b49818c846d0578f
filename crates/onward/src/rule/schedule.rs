//! Learning rates over a run.

use crate::choices;
use crate::kernel::sin_cos_turn;

choices! {
    /// How a rate falls from its full value to the final one.
    pub enum Anneal default Cosine {
        /// Not at all.
        Constant = "constant",
        /// Along a straight line.
        Linear = "linear",
        /// Along half a cosine.
        Cosine = "cosine",
    }
}

/// A learning rate over a run. Computed from correctly rounded operations only, so it is the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The full rate.
    pub rate: f32,
    /// How the rate falls.
    pub anneal: Anneal,
    /// The final rate, as a share of the full rate.
    pub final_share: f32,
    /// The number of warm-up steps, over which the rate first rises linearly.
    pub warmup: u64,
    /// The number of steps of the run.
    pub steps: u64,
}

impl Schedule {
    /// The rate at a step.
    pub fn at(&self, step: u64) -> f32 {
        let done = step as f64 / self.steps.max(1) as f64;
        let left = match self.anneal {
            Anneal::Constant => 1.0,
            Anneal::Linear => 1.0 - done as f32,
            Anneal::Cosine => 0.5 + 0.5 * sin_cos_turn((done * 2_147_483_648.0) as u32).1,
        };
        let warm = if step < self.warmup { (step + 1) as f32 / self.warmup as f32 } else { 1.0 };
        self.rate * warm * (self.final_share + (1.0 - self.final_share) * left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_begin_full_and_end_at_their_share() {
        let cosine = Schedule { rate: 0.5, anneal: Anneal::Cosine, final_share: 0.1, warmup: 0, steps: 100 };
        assert_eq!(cosine.at(0), 0.5);
        assert!((cosine.at(50) - 0.275).abs() < 1e-6 && (cosine.at(100) - 0.05).abs() < 1e-6);
        let linear = Schedule { anneal: Anneal::Linear, final_share: 0.0, warmup: 10, ..cosine };
        assert!((linear.at(0) - 0.05).abs() < 1e-6 && (linear.at(75) - 0.125).abs() < 1e-6);
        assert_eq!(Schedule { anneal: Anneal::Constant, ..cosine }.at(99), 0.5);
    }
}
