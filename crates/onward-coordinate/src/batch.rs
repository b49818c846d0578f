//! What the rows of a batch should be answered with.

use onward::dataset::{Columns, Targets};
use onward::task::Answers;

/// What some rows should be answered with, kept.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub targets: Targets,
    pub columns: Columns,
}

impl Wanted {
    pub fn answers(&self) -> Answers<'_> {
        Answers::all(&self.targets, &self.columns)
    }
}
