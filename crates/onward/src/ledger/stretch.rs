//! More steps for a run that has taken all of its own.

use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// A stretch prolongs a run that has taken its whole budget: a record of the ledger's, between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Its first step: the budget until then.
    pub from: u64,
    /// The budget from then on: all steps of the run, those before the stretch included.
    pub steps: u64,
    /// How the learning rate goes on.
    pub schedule: Rates,
}

/// How the learning rate goes in a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rates {
    /// The schedule of the run's spec begins anew, over the steps of the stretch: warm-up, full rate, and its fall to the final
    /// one (a warm restart: Loshchilov and Hutter 2017, arXiv 1608.03983).
    #[default]
    Anew,
}

impl Stretch {
    /// Checks that the stretch follows on a run of so many steps.
    ///
    /// # Errors
    /// [`ErrorKind::Ledger`] if it begins elsewhere, is empty, or goes beyond 2³² − 1 steps.
    pub fn follows(&self, budget: u64) -> Result<()> {
        let bad = |expected: String, found: u64| {
            Err(Error::expected(ErrorKind::Ledger, "stretch", expected, found))
        };
        if self.from != budget {
            return bad(format!("one that begins after the run's {budget} steps"), self.from);
        }
        let most = u64::from(u32::MAX);
        if self.steps <= budget || self.steps > most {
            return bad(format!("{} to {most} steps in all", budget + 1), self.steps);
        }
        Ok(())
    }
}
