//! The program of a study, started once for each evaluation.

use super::template::{Evaluation, Template};
use crate::program::Terms;
pub use crate::program::{Ending, Outcome};
use std::sync::atomic::AtomicU8;
use std::time::Duration;

/// The program of a study.
pub struct Program {
    pub template: Template,
    /// The key of the loss in JSON.
    pub key: String,
    pub timeout: Option<Duration>,
    /// The study's seed.
    pub seed: u64,
}

/// The seed of all evaluations of a generation: 31 bits, which every program takes.
pub fn common_seed(study: u64, generation: u64) -> u32 {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&study.to_le_bytes());
    name[8..].copy_from_slice(&generation.to_le_bytes());
    let hash = blake3::derive_key("onward minimize, seed of a generation", &name);
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) >> 1
}

impl Program {
    /// The program's words for an evaluation.
    pub fn words(&self, evaluation: &Evaluation) -> Vec<String> {
        self.template.words(evaluation, common_seed(self.seed, evaluation.generation))
    }

    /// Runs it once. `stop` of 2 or more ends it early.
    ///
    /// # Errors
    /// The system's, if the program cannot be started.
    pub fn run(&self, evaluation: &Evaluation, stop: &AtomicU8) -> std::io::Result<Outcome> {
        let seed = common_seed(self.seed, evaluation.generation);
        let mut command = self.template.command(evaluation, seed);
        Terms { key: &self.key, timeout: self.timeout, stop }.run(&mut command, evaluation.id, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_common_to_a_generation_and_stay_as_they_are() {
        assert_eq!([0, 1].map(|g| common_seed(1, g)), [1_050_992_304, 1_851_418_276]);
        let all: std::collections::BTreeSet<u32> =
            (0..1000).flat_map(|g| [common_seed(1, g), common_seed(2, g)]).collect();
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(|s| i32::try_from(*s).is_ok()));
    }
}
