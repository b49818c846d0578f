//! The order of samples.

use crate::noise::{Role, RunKey};

/// Which samples a step sees: every epoch is a permutation of its own, a pure function of key and epoch.
#[derive(Clone, Debug)]
pub struct Order {
    key: RunKey,
    rows: usize,
    epoch: u64,
    permutation: Vec<u32>,
}

impl Order {
    /// The order of `rows` samples in the run with this key.
    pub fn new(key: RunKey, rows: usize) -> Self {
        Self { key, rows, epoch: u64::MAX, permutation: Vec::new() }
    }

    /// The `batch` samples of a step.
    pub fn batch(&mut self, step: u64, batch: usize) -> Vec<u32> {
        let first = step * batch as u64;
        (first..first + batch as u64)
            .map(|i| self.at(i / self.rows as u64, (i % self.rows as u64) as usize))
            .collect()
    }

    fn at(&mut self, epoch: u64, place: usize) -> u32 {
        if self.epoch != epoch {
            let noise = self.key.tensor(Role::Shuffle, "samples").at(epoch as u32, (epoch >> 32) as u32);
            self.permutation = noise.permutation(self.rows);
            self.epoch = epoch;
        }
        self.permutation[place]
    }
}
