//! What an evaluator's arithmetic allows others to promise.

use crate::kernel::Precision;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an evaluator's arithmetic allows others to promise: recorded in the ledger's header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numerics {
    /// The named arithmetic ([`crate::kernel::Precision::arithmetic`]), the same bits everywhere: whoever asks again is told the same.
    Exact(String),
    /// A device's own, by a name: losses are near, not equal.
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

    /// The arithmetic of this process's own that they name, if it is one.
    pub fn precision(&self) -> Option<Precision> {
        if let Self::Exact(name) = self { Precision::of_arithmetic(name) } else { None }
    }

    /// Whether the same bits can be had again, wherever it may be.
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
