//! What an evaluator's arithmetic allows others to promise.

use crate::kernel::Precision;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The arithmetic of an evaluator, which decides what can be promised of its results; recorded in the ledger's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numerics {
    /// A named arithmetic ([`crate::kernel::Precision::arithmetic`]) that gives the same bits everywhere.
    Exact(String),
    /// A device's own arithmetic, by name: another evaluation gives losses that are close, not equal.
    Device(String),
}

/// What the word of a device begins with in format version 2, which has one string for both.
const DEVICE: &str = "device ";

impl Numerics {
    /// Those of a header of format version 2.
    pub(super) fn of_word(word: &str) -> Self {
        match word.strip_prefix(DEVICE) {
            Some(name) => Self::Device(name.into()),
            None => Self::Exact(word.into()),
        }
    }

    /// The precision of this library that the numerics name, if they name one.
    pub fn precision(&self) -> Option<Precision> {
        if let Self::Exact(name) = self { Precision::of_arithmetic(name) } else { None }
    }

    /// Whether the same bits can be computed again on any machine.
    pub fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

impl fmt::Display for Numerics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Device(name) => write!(f, "{DEVICE}{name}"),
        }
    }
}
