//! A study at rest: what it was begun with and the losses it was told. Everything else follows.

use super::{Argument, Goal, Space, StrategyKind};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// A study's settings and losses. Any serde format that keeps the bits of f64 will do; JSON does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// The version of strategies and of this record: [`StudyRecord::VERSION`].
    pub version: u32,
    /// The space that is searched.
    pub space: Space,
    /// The direction of the search.
    pub goal: Goal,
    /// Evaluations that may be asked for. It may be raised before going on: nothing that happened depends on it.
    pub budget: u64,
    /// The seed of all randomness.
    pub seed: u64,
    /// The strategy in use; never [`StrategyKind::Auto`], but the one that it chose.
    pub method: StrategyKind,
    /// The reason why that strategy is in use.
    pub why: String,
    /// The point where the search begins, if not in the middle of the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Vec<Argument>>,
    /// Candidates and their losses in the order of telling; `None` for a loss that was not finite.
    pub told: Vec<(u64, Option<f64>)>,
}

impl StudyRecord {
    /// The present version, which grows with every change that makes a strategy ask for other candidates.
    pub const VERSION: u32 = 5;

    /// The first version in which `method` asked for the candidates that it asks for today: records from then on can be
    /// gone on with.
    pub const fn since(method: &StrategyKind) -> u32 {
        match method {
            // Equal losses no longer widen its steps, and bounds limit them.
            StrategyKind::OnePlusOne(_) => 5,
            _ => 4,
        }
    }

    /// What an error says was expected where records of this version cannot be resumed; `None` where they can.
    pub fn refusal(version: u32, method: &StrategyKind) -> Option<String> {
        let (first, last) = (Self::since(method), Self::VERSION);
        let expected =
            if first == last { format!("version {last}") } else { format!("version {first} to {last}") };
        (!(first..=last).contains(&version)).then_some(expected)
    }

    pub(super) fn new(
        space: Space,
        goal: Goal,
        budget: u64,
        seed: u64,
        method: StrategyKind,
        why: String,
    ) -> Self {
        Self { version: Self::VERSION, space, goal, budget, seed, method, why, start: None, told: Vec::new() }
    }

    pub(super) fn check_version(&self) -> Result<()> {
        match Self::refusal(self.version, &self.method) {
            None => Ok(()),
            Some(expected) => {
                let found = format!("version {}", self.version);
                Err(Error::expected(ErrorKind::Ledger, "record", expected, found))
            }
        }
    }

    /// Refuses a record that another study left.
    ///
    /// # Errors
    /// [`ErrorKind::Ledger`] naming what differs.
    pub fn check(&self, space: &Space, goal: Goal, seed: u64) -> Result<()> {
        let differs = |what: &str| {
            let expected = format!("the {what} that the study was begun with");
            Err(Error::expected(ErrorKind::Ledger, "record", expected, "another"))
        };
        if self.space != *space {
            return differs("space");
        }
        if self.goal != goal {
            return differs("goal");
        }
        if self.seed != seed {
            return differs("seed");
        }
        Ok(())
    }
}
