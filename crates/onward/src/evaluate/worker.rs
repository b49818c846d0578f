//! An evaluator on this process's threads, with a source of rows.

use super::sites::Clean;
use super::{Batch, Evaluator, Local, Numerics, Quorum, Ticket, unknown};
use crate::ask::{Answer, Ask, AskId, Augment, Order, ProbePlan, Queries, Told};
use crate::ledger::{Direction, Entry, Header, State};
use crate::rows::Source;
use crate::rule::{Clock, Method, Outcome, find};
use crate::space::{ActivationPlan, LocalPlan};
use crate::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;

/// Answers the questions of a run by forward passes on rows of its source: all but visits to one weight after another.
pub struct Worker {
    local: Local,
    data: Arc<dyn Source>,
    opened: Option<Opened>,
    /// The question that was taken last.
    taken: Option<Ask>,
}

/// Makes a worker, in the form that [`crate::train::Trainer::of`] and [`crate::train::Trainer::again`] expect.
pub fn worker(local: Local, data: Arc<dyn Source>) -> Box<dyn Evaluator> {
    Box::new(Worker::new(local, data))
}

/// What belongs to the run that a worker was opened with.
struct Opened {
    run: [u8; 32],
    order: Order,
    augment: Augment,
    /// Where the task is of whole batches and rows have queries.
    queries: Option<Queries>,
    /// The clean pass of the present step.
    clean: Option<(AskId, Batch, Clean)>,
}

impl Worker {
    /// A worker that evaluates on rows of `data`.
    pub fn new(local: Local, data: impl Source + 'static) -> Self {
        Self { local, data: Arc::new(data), opened: None, taken: None }
    }

    fn answer(&mut self, ask: &Ask, state: &State) -> Result<Told> {
        let Self { local, data, opened, .. } = self;
        let Some(opened) = opened else { return Err(not_opened(ask)) };
        match &ask.probes {
            ProbePlan::Visits(_) => Err(not_visiting(ask)),
            ProbePlan::Sites(plan) => match local.piece() {
                Some(piece) => opened.sites_of_pieces(piece, local, &**data, ask, plan, state),
                None => opened.sites(local, &**data, ask, plan, state),
            },
            ProbePlan::Local(plan) => opened.local(local, &**data, ask, plan, state),
            ProbePlan::Online(_) | ProbePlan::Twins(_) | ProbePlan::Integers(_) => {
                local.answer(ask, state, &opened.batch(local, &**data, ask, state)?)
            }
            _ => match local.piece() {
                Some(piece) => opened.of_pieces(piece, local, &**data, ask, state),
                None => local.answer(ask, state, &opened.batch(local, &**data, ask, state)?),
            },
        }
    }
}

/// A question of a run that the worker was not opened with.
fn not_opened(ask: &Ask) -> Error {
    let place = format!("question of step {}", ask.id.step);
    Error::expected(ErrorKind::Evaluator, place, "one of the opened run", "one of another")
}

/// Visits to one weight after the other, which passes alone do not answer.
fn not_visiting(ask: &Ask) -> Error {
    let place = format!("question of step {}", ask.id.step);
    let expected = "one that forward passes answer (visits to weights are answered by the evaluator of `onward-coordinate`)";
    Error::expected(ErrorKind::Evaluator, place, expected, "visits")
}

impl Opened {
    /// Which samples a step sees.
    fn ids(&mut self, ask: &Ask) -> Vec<u64> {
        let (step, batch) = (ask.id.step, ask.batch as usize);
        match &self.queries {
            Some(queries) => queries.batch(step, batch),
            None => self.order.batch(step, batch),
        }
    }

    /// These samples, as the step sees them.
    fn read(&self, local: &Local, ids: &[u64], data: &dyn Source, ask: &Ask, state: &State) -> Result<Batch> {
        let mut batch = Batch::of(data.read(ids)?);
        let shape = batch.x.shape;
        self.augment.apply(state.key(), ask.id.step as u32, ids, shape, batch.x.data_mut());
        batch.x = local.without_padding(batch.x)?;
        Ok(batch)
    }

    /// The samples of a step, as it sees them.
    fn batch(&mut self, local: &Local, data: &dyn Source, ask: &Ask, state: &State) -> Result<Batch> {
        let ids = self.ids(ask);
        self.read(local, &ids, data, ask, state)
    }

    /// The losses of a step whose samples are read in pieces of so many.
    fn of_pieces(
        &mut self,
        piece: usize,
        local: &Local,
        data: &dyn Source,
        ask: &Ask,
        state: &State,
    ) -> Result<Told> {
        let ids = self.ids(ask);
        let pieces = ids.chunks(piece).map(|ids| self.read(local, ids, data, ask, state));
        local.losses_of_pieces(ask, state, pieces).map(Told::Losses)
    }

    /// The answer from local credit, with at most as many samples in memory at once as the evaluator says.
    fn local(
        &mut self,
        local: &Local,
        data: &dyn Source,
        ask: &Ask,
        plan: &LocalPlan,
        state: &State,
    ) -> Result<Told> {
        let (ids, at) = (local.by_length(self.ids(ask), data)?, (state.key(), state.params()));
        let found = match local.piece() {
            Some(piece) => {
                let read = |rows: Range<usize>| self.read(local, &ids[rows], data, ask, state);
                let size = (data.schema().shape(), ids.len(), piece);
                local.local_derivative_of_pieces(at, size, plan, read)
            }
            None => local.local_derivative(at.0, at.1, &self.read(local, &ids, data, ask, state)?, plan),
        };
        found.map(Told::Response)
    }

    fn sites(
        &mut self,
        local: &Local,
        data: &dyn Source,
        ask: &Ask,
        plan: &ActivationPlan,
        state: &State,
    ) -> Result<Told> {
        let earlier = |of: &AskId| of.step == ask.id.step && of.part < ask.id.part;
        let (batch, clean) = match self.clean.take().filter(|(of, ..)| earlier(of)) {
            Some((_, batch, clean)) => (batch, clean),
            None => {
                let batch = self.batch(local, data, ask, state)?;
                let clean = local.clean(state.key(), state.params(), &batch, plan.step)?;
                (batch, clean)
            }
        };
        let found = local.response(state.key(), state.params(), &batch, plan, (&clean, is_first(ask)))?;
        self.clean = Some((ask.id, batch, clean));
        Ok(Told::Response(found))
    }

    /// The same with at most `piece` samples in memory at once.
    fn sites_of_pieces(
        &mut self,
        piece: usize,
        local: &Local,
        data: &dyn Source,
        ask: &Ask,
        plan: &ActivationPlan,
        state: &State,
    ) -> Result<Told> {
        let ids = self.ids(ask);
        let read = |rows: Range<usize>| self.read(local, &ids[rows], data, ask, state);
        let size = (data.schema().shape(), ids.len(), piece);
        let at = (state.key(), state.params());
        local.response_of_pieces(at, size, plan, is_first(ask), read).map(Told::Response)
    }
}

/// Whether a clean pass is counted with this question: with the first of its step.
fn is_first(ask: &Ask) -> bool {
    ask.id.part == 0
}

impl Local {
    /// Answers `ask` on a batch that the caller has.
    ///
    /// # Errors
    /// As for [`Local::losses`] and [`Local::derivative`]; [`ErrorKind::Evaluator`] if it asks for visits, which passes alone do not answer.
    pub fn answer(&self, ask: &Ask, state: &State, batch: &Batch) -> Result<Told> {
        let (key, params, step) = (state.key(), state.params(), ask.id.step as u32);
        match &ask.probes {
            ProbePlan::Members(plan) => {
                let plan = plan.at(step)?.scaled(state.streams().scales());
                self.losses(key, params, batch, &plan).map(Told::Losses)
            }
            ProbePlan::Points => {
                let (points, chance) = (state.candidates().unwrap_or_default(), batch.chance(key, step));
                self.losses_at_step(params, batch, &points, &chance).map(Told::Losses)
            }
            ProbePlan::Sites(plan) => {
                let clean = self.clean(key, params, batch, plan.step)?;
                self.response(key, params, batch, plan, (&clean, is_first(ask))).map(Told::Response)
            }
            ProbePlan::Local(plan) => self.local_derivative(key, params, batch, plan).map(Told::Response),
            ProbePlan::Online(plan) => {
                self.online_derivative(key, params, batch, plan, state.streams()).map(Told::Response)
            }
            ProbePlan::Twins(plan) => {
                self.twin_derivative(key, params, batch, plan, state.streams()).map(Told::Response)
            }
            ProbePlan::Integers(plan) => {
                self.integer_step(params, batch, plan, state.streams()).map(Told::Response)
            }
            ProbePlan::Visits(_) => Err(not_visiting(ask)),
        }
    }

    /// One step of `method` from `state` on a batch that the caller has: what a run does, without one.
    /// Nothing is changed.
    ///
    /// # Errors
    /// As for [`Method::rule`], [`Local::answer`] and [`crate::rule::Rule::tell`].
    pub fn step(&self, method: &Method, state: &State, batch: &Batch, clock: &Clock) -> Result<Outcome> {
        let graph = self.graph(batch.x.shape)?;
        let rule = method.rule(&graph, batch.x.rows)?;
        self.run(|| find(&*rule, state, clock, [0; 32], |ask| self.answer(&ask, state, batch)))
    }
}

impl Evaluator for Worker {
    fn kind(&self) -> &str {
        "worker"
    }

    fn open(&mut self, run: &Header, state: &State) -> Result<Numerics> {
        self.local.check_source(&*self.data)?;
        let order = Order::new(*state.key(), self.data.rows(), run.shuffle()?);
        let queries = self.local.queries(&*self.data, *state.key(), run.shuffle()?);
        let opened = Opened { run: run.run(), order, augment: run.augment()?, queries, clean: None };
        (self.opened, self.taken) = (Some(opened), None);
        Ok(Numerics::Exact(self.local.precision().arithmetic().into()))
    }

    fn submit(&mut self, ask: &Ask, _: &State) -> Result<Ticket> {
        if self.opened.as_ref().is_none_or(|opened| opened.run != ask.id.run) {
            return Err(not_opened(ask));
        }
        self.taken = Some(ask.clone());
        Ok(Ticket(ask.id))
    }

    fn collect(&mut self, ticket: Ticket, _: Quorum, state: &State) -> Result<Answer> {
        let ask = self.taken.take().filter(|ask| ask.id == ticket.0).ok_or_else(|| unknown(&ticket))?;
        Ok(Answer { to: ask.id, told: self.answer(&ask, state)? })
    }

    fn follow(&mut self, _: &Entry, _: Option<&Direction>) -> Result<()> {
        if let Some(opened) = &mut self.opened {
            opened.clean = None;
        }
        Ok(())
    }
}
