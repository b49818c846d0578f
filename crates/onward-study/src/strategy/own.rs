//! Strategies that are written elsewhere.

use super::{Setup, Strategy};
use crate::Result;
use std::fmt;
use std::sync::Arc;

type Begin = dyn Fn(&Setup) -> Result<Box<dyn Strategy>> + Send + Sync;

/// A strategy of the caller's own under a name, for [`StrategyKind::Own`](super::StrategyKind::Own). Records and ledgers keep the name alone: nobody
/// can go on from them by it.
#[derive(Clone)]
pub struct OwnStrategy {
    name: &'static str,
    begin: Arc<Begin>,
}

impl OwnStrategy {
    /// The strategy that `begin` makes for a space: it is called once for each study, and may refuse what it cannot search.
    pub fn new(
        name: &'static str,
        begin: impl Fn(&Setup) -> Result<Box<dyn Strategy>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, begin: Arc::new(begin) }
    }

    /// The name of the strategy.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        (self.begin)(setup)
    }
}

impl fmt::Debug for OwnStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnStrategy({})", self.name)
    }
}

/// By identity: a strategy cannot be looked into.
impl PartialEq for OwnStrategy {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.begin, &other.begin)
    }
}
