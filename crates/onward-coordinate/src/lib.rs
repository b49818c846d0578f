//! Visits to one weight after the other, as [`onward::rule::Rso`] asks for them: an [`Evaluator`] that answers these with an engine of its
//! own and all other questions as [`Worker`] does.
//!
//! ```
//! use onward::prelude::*;
//! use std::sync::Arc;
//!
//! let points = (0..64).flat_map(|i| [i % 8, i / 8]).map(|v| v as f32 / 4.0 - 1.0).collect();
//! let labels = (0..64).map(|i| u32::from(i % 8 > i / 8)).collect();
//! let data = Dataset::new(points, [1, 1, 2], Targets::Classes { labels, classes: 2 })?;
//! let net = Arc::new(Mlp::new(&[2, 4, 2], Activation::Step)?);
//! let local = Local::new(net, Arc::new(Loss::CrossEntropy), &Threads::new(1)?);
//! let mut trainer = onward_coordinate::trainer(Plan::new(Rso::default(), 80), local, data.clone())?;
//! while !trainer.finished() {
//!     trainer.step()?;
//! }
//! assert!(trainer.score(&data)?.accuracy > Some(0.8));
//! # Ok::<(), onward::Error>(())
//! ```

mod check;
mod engine;
mod general;
mod layer;
mod slice;
mod visit;
mod work;

pub use engine::Engine;

use onward::ask::{Answer, Ask, ProbePlan, Told};
use onward::evaluate::{Evaluator, Local, Quorum, Ticket, Worker};
use onward::ledger::{Direction, Entry, Header, Numerics, State};
use onward::rows::Source;
use onward::train::{Plan, Trainer};
use onward::{Error, ErrorKind, Result};
use std::sync::Arc;

/// How losses are computed after a change of one weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// Only what the change reaches is computed again: one channel of the layer, one channel's share of the next, all above.
    #[default]
    Changed,
    /// Everything from the layer on is computed again: the same losses to the bit, for comparison.
    Dense,
}

/// An evaluator that answers visits to one weight after another, and all else as a [`Worker`] does.
pub struct Visitor {
    worker: Worker,
    local: Local,
    data: Arc<dyn Source>,
    opened: Option<([u8; 32], Engine)>,
    /// The visits that were asked for last.
    taken: Option<Ask>,
}

impl Visitor {
    /// A visitor that evaluates with `local` on rows of `data`.
    pub fn new(local: Local, data: impl Source + 'static) -> Self {
        let data: Arc<dyn Source> = Arc::new(data);
        Self { worker: Worker::new(local.clone(), Arc::clone(&data)), local, data, opened: None, taken: None }
    }

    fn visit(&mut self, ask: &Ask, state: &State) -> Result<Told> {
        let (ProbePlan::Visits(plan), Some((_, engine))) = (&ask.probes, &mut self.opened) else {
            return Err(not_opened(ask));
        };
        let rows = self.data.resident().ok_or_else(|| {
            let expected = "rows in memory, as it visits all of them";
            Error::expected(ErrorKind::Spec, "method", expected, "a source that is read as it goes")
        })?;
        engine.choices(state.key(), state.params(), rows, plan).map(Told::Choices)
    }
}

/// A question of a run that the visitor was not opened with.
fn not_opened(ask: &Ask) -> Error {
    let place = format!("question of step {}", ask.id.step);
    Error::expected(ErrorKind::Evaluator, place, "one of the opened run", "one of another")
}

impl Evaluator for Visitor {
    /// The worker's: headers of ledgers have named it so since before it stood here.
    fn kind(&self) -> &str {
        self.worker.kind()
    }

    fn open(&mut self, run: &Header, state: &State) -> Result<Numerics> {
        self.taken = None;
        self.opened = Some((run.run(), Engine::new(self.local.clone()).with_augment(run.augment()?)));
        self.worker.open(run, state)
    }

    fn submit(&mut self, ask: &Ask, state: &State) -> Result<Ticket> {
        if !matches!(ask.probes, ProbePlan::Visits(_)) {
            return self.worker.submit(ask, state);
        }
        if self.opened.as_ref().is_none_or(|(run, _)| *run != ask.id.run) {
            return Err(not_opened(ask));
        }
        self.taken = Some(ask.clone());
        Ok(Ticket(ask.id))
    }

    fn collect(&mut self, ticket: Ticket, enough: Quorum, state: &State) -> Result<Answer> {
        match self.taken.take_if(|ask| ask.id == ticket.0) {
            Some(ask) => Ok(Answer { to: ask.id, told: self.visit(&ask, state)? }),
            None => self.worker.collect(ticket, enough, state),
        }
    }

    fn follow(&mut self, entry: &Entry, direction: Option<&Direction>) -> Result<()> {
        self.worker.follow(entry, direction)
    }
}

/// A new run whose questions a [`Visitor`] answers: [`Trainer::new`] for any method, visits among them.
///
/// # Errors
/// As for [`Trainer::new`].
pub fn trainer(plan: Plan, local: Local, data: impl Source + 'static) -> Result<Trainer> {
    let data = Arc::new(data);
    let visitor = Visitor::new(local.clone(), Arc::clone(&data));
    Trainer::with(plan, local, data, Box::new(visitor), Quorum::All)
}

/// Makes a visitor, in the form that [`Trainer::of`] and [`Trainer::again`] expect.
pub fn visitor(local: Local, data: Arc<dyn Source>) -> Box<dyn Evaluator> {
    Box::new(Visitor::new(local, data))
}
