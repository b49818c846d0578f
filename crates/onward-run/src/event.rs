//! What a run tells those who watch it.

use crate::measurement::{Measurement, Point};
use onward::Error;
use std::path::Path;

/// An event in the life of a run. A step is told once its record is appended to the ledger, never before.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Bytes of a torn write were cut off the ledger after so many steps.
    Torn {
        /// How many bytes.
        bytes: u64,
        /// Steps that are left.
        step: u64,
    },
    /// A file that the run began with was missing or damaged, and could be written again.
    WrittenAgain(&'a Error),
    /// A snapshot that cannot be used was removed: base and ledger, or an older one, lead to the same state.
    SnapshotRemoved(&'a Error),
    /// A damaged line of metrics was left out.
    MetricsLeftOut {
        /// What is wrong with it.
        why: &'a Error,
        /// Where the old file is kept.
        old: &'a Path,
    },
    /// Rows of metrics that were due and were not there, or not whole, were written again as far as the ledger tells them.
    MetricsRestored {
        /// How many rows.
        rows: usize,
        /// How many measurements.
        measurements: usize,
    },
    /// The run was brought to the end of its ledger and goes on.
    Resumed {
        /// Steps taken.
        step: u64,
        /// The step of the snapshot that it was brought there from, if from any.
        snapshot: Option<u64>,
    },
    /// A finished run got more steps.
    Prolonged {
        /// Steps taken.
        from: u64,
        /// Steps in all.
        steps: u64,
    },
    /// Steps are about to be taken.
    Going {
        /// Steps taken.
        step: u64,
        /// Steps in all.
        steps: u64,
    },
    /// A step was taken.
    Step {
        /// Steps taken, this one included.
        step: u64,
        /// Its loss, in the units that losses are told in.
        loss: f64,
        /// Forward passes per second since the run was opened.
        passes_per_second: f64,
    },
    /// What every run measures was measured and written.
    Measured(&'a Point),
    /// A custom measurement was added with [`crate::Run::note`].
    Noted(&'a Measurement),
    /// How well the params that the run was given do on the test rows was measured and written.
    Before(&'a [Measurement]),
    /// Stepping has ended for now: all steps are taken, a stop was requested, or a step failed.
    Rested,
    /// The run was stopped before its end; all that is needed to go on is on the disk.
    Stopped {
        /// Steps taken.
        step: u64,
    },
}

/// Observes a run. It cannot hold the run up but by taking time: what it does with events is its own business,
/// and there is nothing that it could fail a run with. Closures that take an [`Event`] are observers.
///
/// ```
/// use onward_run::{Event, Observer};
///
/// /// The least loss of all steps.
/// struct Least(f64);
///
/// impl Observer for Least {
///     fn see(&mut self, event: &Event<'_>) {
///         if let Event::Step { loss, .. } = event {
///             self.0 = self.0.min(*loss);
///         }
///     }
/// }
/// ```
pub trait Observer: Send {
    /// Called with each event, in order, on the thread that the run is stepped from.
    fn see(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>) + Send> Observer for F {
    fn see(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// The observers of a run.
#[derive(Default)]
pub struct Observers(Vec<Box<dyn Observer>>);

impl Observers {
    /// No observers.
    pub fn none() -> Self {
        Self::default()
    }

    /// One observer.
    pub fn one(observer: impl Observer + 'static) -> Self {
        let mut all = Self::default();
        all.subscribe(observer);
        all
    }

    /// Adds an observer, which sees all events from now on, after the observers before it.
    pub fn subscribe(&mut self, observer: impl Observer + 'static) {
        self.0.push(Box::new(observer));
    }

    pub(crate) fn tell(&mut self, event: &Event<'_>) {
        self.0.iter_mut().for_each(|observer| observer.see(event));
    }
}
