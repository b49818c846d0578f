//! More steps for a run that has taken all of its own.

use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// A prolongation of a run that has used its budget: a ledger record between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// The first step of the stretch, which equals the budget before it.
    pub from: u64,
    /// The budget from then on: the total steps of the run, including those before the stretch.
    pub steps: u64,
    /// The learning rate during the stretch.
    pub schedule: Rates,
}

/// The learning rate during a stretch.
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
