//! The tables `[train]` and `[baseline]`.

use crate::ask::Shuffle;
use crate::schema::{Key, OneOrMore, Only, Part, Preset, Setting, Values, is};
use crate::{Result, keys};
use std::ops::Bound;

/// Samples per step where nothing is said.
pub(crate) const BATCH: u32 = 128;
/// Steps between two digests where nothing is said.
pub(crate) const DIGEST_EVERY: u32 = 16;

keys! {
    /// How long to train, and what to write down on the way.
    pub struct Train {
        ..
        /// How long to train.
        budget: Budget, in "";
        /// Ends the run after so many evaluations in a row that are no better than the best before them, on the rows of `data.validation`. The model is
        /// that of the best step.
        patience: Option<u64> = Preset::Unset, 1.0..;
        /// Ends the run after so many minutes, those of all its processes together, before the steps of its budget are taken.
        minutes: Option<f64> = Preset::Unset, (Bound::Excluded(0.0), Bound::Included(1e9));
        /// Ends the run once so many forward passes are made.
        passes: Option<u64> = Preset::Unset, 1.0..;
        /// Ends the run once so many samples went through forward passes.
        samples: Option<u64> = Preset::Unset, 1.0..;
        /// Samples per step.
        batch: usize = is(BATCH), 1.0..;
        /// How training rows are shuffled: all of them without this key, or within windows of so many rows (which is what data that
        /// are read as they are needed allow), or not. Where whole queries are ranked, these are shuffled so.
        shuffle: Option<Shuffle> = Preset::Unset;
        /// Rows of a batch that are in memory at once, for batches larger than that: the bits are those of all at once. For every method but `rso`,
        /// and nets without batch normalisation. With probes on activations of convolutions it counts in 32 rows, at least so many.
        piece: Option<usize> = Preset::Unset, 1.0..;
        /// What the steps of some tensors are multiplied by, each as "pattern: factor" with * for any characters: ["embed*: 0"] leaves the
        /// tensors that begin with embed as they are. Where several name a tensor, the last one counts.
        rates: Option<OneOrMore<String>> = Preset::Unset;
        /// Steps between two evaluations on the test rows; 0 for about once per epoch.
        eval_every: u64 = is(0), 0.0..;
        /// Steps between two snapshots of the whole state.
        snapshot_every: u64 = is(500), 1.0..;
        /// Steps between two digests of the params.
        digest_every: u64 = is(DIGEST_EVERY), 1.0..;
    }
}

keys! {
    /// The keys of the budget.
    struct BudgetKeys {
        /// How often all training rows are seen. Give `epochs` or `steps`, not both.
        epochs: Option<f64> = Preset::Unset, (Bound::Excluded(0.0), Bound::Included(1e9))
            => "the budget must be at least 1 step";
        /// How many steps are taken. Give `epochs` or `steps`, not both.
        steps: Option<u64> = Preset::Unset, 1.0.. => "the budget must be at least 1 step";
    }
}

/// How long to train: exactly one of `train.epochs` and `train.steps`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Until all training rows have been seen this often, in whole steps.
    Epochs(f64),
    /// For this many steps.
    Steps(u64),
}

impl Budget {
    /// The number of steps of this budget with `rows` training rows and `batch` of them per step; at least one. Where a method goes round
    /// ([`crate::rule::Rule::round`]), an epoch is a round.
    pub fn steps(self, round: Option<u64>, rows: usize, batch: usize) -> u64 {
        let (all, at_once) = round.map_or((rows as f64, batch.max(1) as f64), |steps| (steps as f64, 1.0));
        match self {
            Self::Steps(steps) => steps,
            // A part of a step counts as a whole one; the cast saturates.
            Self::Epochs(epochs) => ((epochs * all / at_once).ceil() as u64).max(1),
        }
    }
}

impl Part for Budget {
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
        BudgetKeys::keys(section, only)
    }

    fn read(values: &Values, section: &str) -> Result<Self> {
        const ONE: &str = "exactly one of the keys epochs and steps";
        let given = BudgetKeys::read(values, section)?;
        match (given.epochs, given.steps) {
            (Some(epochs), None) => Ok(Self::Epochs(epochs)),
            (None, Some(steps)) => Ok(Self::Steps(steps)),
            (None, None) => Err(values.error(section, ONE, "neither")),
            (Some(_), Some(_)) => Err(values.error(&format!("{section}.steps"), ONE, "both")),
        }
    }

    fn write(&self, section: &'static str) -> Vec<Setting> {
        let (epochs, steps) = match *self {
            Self::Epochs(epochs) => (Some(epochs), None),
            Self::Steps(steps) => (None, Some(steps)),
        };
        BudgetKeys { epochs, steps }.write(section)
    }
}

keys! {
    /// A known result that this run's is printed next to.
    pub struct Baseline {
        /// Whose result it is.
        name: String = Preset::WithTable;
        /// The share of test rows that it gets right.
        accuracy: f64 = Preset::WithTable, 0.0..=1.0;
    }
}
