//! Evaluators: who answers what a run asks. Here, this process's threads ([`Worker`]); fleets and GPUs are other implementations of
//! the trait.

mod answering;
mod bound;
mod carrying;
mod check;
mod descent;
mod gathering;
mod generated;
mod integers;
mod local;
mod members;
mod online;
mod padding;
mod pieces;
mod points;
mod sites;
mod twins;
mod worker;

pub use crate::ledger::Numerics;
pub use crate::space::STATISTICS_ROWS;
pub use answering::Answering;
pub use gathering::{AnswerPart, Gathering};
pub use generated::Generated;
pub use local::Local;
pub use worker::{Worker, worker};

use crate::ask::{Answer, Ask, AskId};
use crate::dataset::{Columns, Dataset, Targets};
use crate::ledger::{Direction, Entry, Header, State};
use crate::model::{Act, Chance};
use crate::noise::RunKey;
use crate::rows::Rows;
use crate::task::Answers;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// The rows of one step's batch.
pub struct Batch {
    /// The model's input, one row per sample.
    pub x: Act,
    /// The targets of the rows.
    pub targets: Targets,
    /// The columns beside the targets, such as sample weights.
    pub columns: Columns,
    /// The ids of the rows in their source: chance inside a model is named by them.
    pub ids: Arc<[u64]>,
}

impl Batch {
    /// A batch of the caller's own rows without columns; their ids are their places.
    pub fn new(x: Act, targets: Targets) -> Self {
        let ids = (0..x.rows() as u64).collect();
        Self { x, targets, columns: Columns::default(), ids }
    }

    /// A batch of rows that were read from a source.
    pub fn of(rows: Rows) -> Self {
        let (ids, data) = rows.into_parts();
        let shape = data.shape();
        let (features, targets, columns) = data.into_parts();
        Self { x: Act::new(targets.rows(), shape, features), targets, columns, ids }
    }

    /// A batch of the rows of `data` that `indices` name.
    pub fn select(data: &Dataset, indices: &[u32]) -> Self {
        let x = Act::new(indices.len(), data.shape(), data.features_of(indices));
        let ids = indices.iter().map(|i| u64::from(*i)).collect();
        Self { x, targets: data.targets().select(indices), columns: data.columns().select(indices), ids }
    }
}

impl Batch {
    /// The chance inside a model at a step on these rows.
    fn chance(&self, key: &RunKey, step: u32) -> Chance {
        Chance::Step { key: *key, step, ids: Arc::clone(&self.ids) }
    }

    /// What the rows are answers to, each once.
    pub(crate) fn answers(&self) -> Answers<'_> {
        Answers { ids: Some(&self.ids), ..Answers::all(&self.targets, &self.columns) }
    }
}

/// How many of the losses asked for must be there before the others are given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quorum {
    /// All losses that were asked for.
    #[default]
    All,
    /// At least this many losses.
    AtLeast(usize),
}

/// A receipt for a question that an evaluator has accepted.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(pub AskId);

/// Answers the questions of a run. [`crate::train::Trainer`] calls its methods in this order: `open` at a run's beginning and whenever it
/// goes to a snapshot; then for each step any number of `submit` and `collect` in turn, and `follow` once. The state that is shown to
/// each is the run's own: an evaluator in this process reads it; one elsewhere opens with the header (which leads to the base
/// params) and follows the entries, so that no params travel. An error ends the run; it can be resumed.
///
/// ```
/// use onward::ask::{Answer, Ask};
/// use onward::evaluate::{Evaluator, Numerics, Quorum, Ticket, Worker};
/// use onward::ledger::{Direction, Entry, Header, State};
///
/// /// Counts the questions of another evaluator.
/// struct Counting(Worker, u64);
///
/// impl Evaluator for Counting {
///     fn open(&mut self, run: &Header, state: &State) -> onward::Result<Numerics> {
///         self.0.open(run, state)
///     }
///     fn submit(&mut self, ask: &Ask, state: &State) -> onward::Result<Ticket> {
///         self.1 += 1;
///         self.0.submit(ask, state)
///     }
///     fn collect(&mut self, ticket: Ticket, enough: Quorum, state: &State) -> onward::Result<Answer> {
///         self.0.collect(ticket, enough, state)
///     }
///     fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> onward::Result<()> {
///         self.0.follow(entry, direction)
///     }
/// }
/// ```
pub trait Evaluator: Send {
    /// What kind of evaluator this is, for the ledger's header: one word of the implementation's own.
    fn kind(&self) -> &str {
        "own"
    }

    /// How many rows are worked out for a batch of so many samples, and how often all of them pass the model beside what plans ask for: other
    /// numbers than these where an evaluator makes rows of its own, such as texts that the model writes. Asked when a step is counted.
    fn made(&self, batch: usize) -> (usize, u64) {
        (batch, 0)
    }

    /// Begins with the run of this header, whose state is `state`.
    ///
    /// # Errors
    /// Any, if it cannot evaluate this run.
    fn open(&mut self, run: &Header, state: &State) -> Result<Numerics>;

    /// Takes a question; `state` is the one that it is about, until `follow`.
    ///
    /// # Errors
    /// [`ErrorKind::Evaluator`] if it is for another run than the opened one; else any.
    fn submit(&mut self, ask: &Ask, state: &State) -> Result<Ticket>;

    /// Waits for the answer to a question that was taken, until `enough` losses are there; those that did not come are `None`. Losses
    /// that are not finite are told as they are.
    ///
    /// # Errors
    /// [`ErrorKind::Evaluator`] if the ticket is for nothing that was taken, or there will not be enough; else any.
    fn collect(&mut self, ticket: Ticket, enough: Quorum, state: &State) -> Result<Answer>;

    /// The run has taken this step: `direction` is what an entry stands for that is not complete in itself.
    ///
    /// # Errors
    /// Any.
    fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> Result<()>;
}

/// A ticket for a question that was not taken.
fn unknown(ticket: &Ticket) -> Error {
    let place = format!("ticket for step {}", ticket.0.step);
    Error::expected(ErrorKind::Evaluator, place, "one for a question that was taken", "another")
}
