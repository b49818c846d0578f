//! An evaluator on this process's threads, with all rows in memory.

use super::sites::Clean;
use super::{Batch, CoordinateCache, Evaluator, Local, Numerics, Quorum, Ticket, unknown};
use crate::ask::{Answer, Ask, AskId, Order, ProbePlan, Told};
use crate::dataset::Dataset;
use crate::ledger::{Direction, Entry, Header, State};
use crate::rule::{Clock, Method, Next, Outcome};
use crate::space::ActivationPlan;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// Answers what a run asks by forward passes on the rows that it holds.
pub struct Worker {
    local: Local,
    data: Arc<Dataset>,
    run: Option<[u8; 32]>,
    order: Option<Order>,
    /// The question that was taken last.
    taken: Option<Ask>,
    cache: CoordinateCache,
    /// The clean pass of the present step.
    clean: Option<(AskId, Batch, Clean)>,
}

impl Worker {
    /// A worker that evaluates on `data`.
    pub fn new(local: Local, data: Arc<Dataset>) -> Self {
        let cache = CoordinateCache::default();
        Self { local, data, run: None, order: None, taken: None, cache, clean: None }
    }

    /// The samples of a step.
    fn batch(&mut self, ask: &Ask, state: &State) -> Batch {
        let order = self.order.get_or_insert_with(|| Order::new(*state.key(), self.data.rows()));
        Batch::select(&self.data, &order.batch(ask.id.step, ask.batch as usize))
    }

    fn answer(&mut self, ask: &Ask, state: &State) -> Result<Told> {
        match &ask.probes {
            ProbePlan::Visits(plan) => {
                let found =
                    self.local.choices(state.key(), state.params(), &self.data, plan, &mut self.cache);
                found.map(Told::Choices)
            }
            ProbePlan::Sites(plan) => self.sites(ask, plan, state),
            _ => {
                let batch = self.batch(ask, state);
                self.local.answer(ask, state, &batch)
            }
        }
    }

    fn sites(&mut self, ask: &Ask, plan: &ActivationPlan, state: &State) -> Result<Told> {
        let same = |of: &AskId| (of.run, of.step) == (ask.id.run, ask.id.step) && of.part < ask.id.part;
        let (batch, clean) = match self.clean.take() {
            Some((of, batch, clean)) if same(&of) => (batch, clean.told()),
            _ => {
                let batch = self.batch(ask, state);
                let clean = self.local.clean_for(ask, plan, state, &batch)?;
                (batch, clean)
            }
        };
        let found = self.local.response(state.key(), state.params(), &batch, plan, &clean)?;
        self.clean = Some((ask.id, batch, clean));
        Ok(Told::Response(found))
    }
}

impl Local {
    /// The clean pass that a question starts from; its losses are told with the first question of a step.
    fn clean_for(&self, ask: &Ask, plan: &ActivationPlan, state: &State, batch: &Batch) -> Result<Clean> {
        let clean = self.clean(state.params(), batch, plan)?;
        Ok(if ask.id.part > 0 { clean.told() } else { clean })
    }

    /// What `ask` finds on a batch that the caller has.
    ///
    /// # Errors
    /// As for [`Local::losses`], [`Local::derivative`] and [`Local::choices`].
    pub fn answer(&self, ask: &Ask, state: &State, batch: &Batch) -> Result<Told> {
        let (key, params, step) = (state.key(), state.params(), ask.id.step as u32);
        let told = |losses: Vec<f32>| Told::Losses(losses.into_iter().map(Some).collect());
        match &ask.probes {
            ProbePlan::Members(plan) => self.losses(key, params, batch, &plan.at(step)).map(told),
            ProbePlan::Points => {
                self.losses_at(params, batch, state.candidates().unwrap_or_default()).map(told)
            }
            ProbePlan::Sites(plan) => {
                let clean = self.clean_for(ask, plan, state, batch)?;
                self.response(key, params, batch, plan, &clean).map(Told::Response)
            }
            ProbePlan::Visits(plan) => {
                let data = Dataset::new(batch.x.data.to_vec(), batch.x.shape, batch.targets.clone())?;
                let cache = &mut CoordinateCache::default();
                self.choices(key, params, &data, plan, cache).map(Told::Choices)
            }
        }
    }

    /// One step of `method` from `state` on a batch that the caller has (visits take it for all rows): what a run does, without one.
    /// Nothing is changed.
    ///
    /// # Errors
    /// As for [`Method::rule`], [`Local::answer`] and [`crate::rule::Rule::tell`].
    pub fn step(&self, method: &Method, state: &State, batch: &Batch, clock: &Clock) -> Result<Outcome> {
        let rule = method.rule(self.model(), batch.x.shape, batch.x.rows)?;
        let mut probes = rule.ask(state, clock)?;
        let (mut told, mut part) = (Vec::new(), 0);
        loop {
            let id = AskId { run: [0; 32], step: clock.step, part };
            let ask = Ask { id, batch: batch.x.rows as u64, probes };
            told.push(self.answer(&ask, state, batch)?);
            match self.run(|| rule.tell(state, clock, told))? {
                Next::Step(outcome) => return Ok(outcome),
                Next::Ask(next, kept) => (probes, told, part) = (next, kept, part + 1),
            }
        }
    }
}

impl Evaluator for Worker {
    fn open(&mut self, run: &Header, _: &State) -> Result<Numerics> {
        self.local.check_data(&self.data)?;
        (self.run, self.taken, self.clean) = (Some(run.run()), None, None);
        Ok(Numerics::Exact(self.local.precision().arithmetic().into()))
    }

    fn submit(&mut self, ask: &Ask, _: &State) -> Result<Ticket> {
        if self.run != Some(ask.id.run) {
            let place = format!("question of step {}", ask.id.step);
            return Err(Error::expected(
                ErrorKind::Evaluator,
                place,
                "one of the opened run",
                "one of another",
            ));
        }
        let ticket = Ticket(ask.id);
        self.taken = Some(ask.clone());
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket, _: Quorum, state: &State) -> Result<Answer> {
        let ask = self.taken.take().filter(|ask| ask.id == ticket.0).ok_or_else(|| unknown(&ticket))?;
        Ok(Answer { to: ask.id, told: self.answer(&ask, state)? })
    }

    fn follow(&mut self, _: &Entry, _: Option<&Direction>) -> Result<()> {
        self.clean = None;
        Ok(())
    }
}
