//! Training, resuming, catching up, replaying and auditing: one loop with different sources of entries.

mod described;
mod divergence;
mod given;
mod guess;
mod plan;
mod score;

use crate::ask::{Ask, Queries, Spent, whole_passes};
use crate::evaluate::{Evaluator, Local, Quorum, worker};
use crate::ledger::{Entry, Header, ModelDigest, Moves, Numerics, Rounding, State, Stretch, Update};
use crate::model::{Graph, Statistics};
use crate::noise::RunKey;
use crate::params::Params;
use crate::rows::Source;
use crate::rule::{Clock, Method, Outcome, Rule, Schedule, find};
use crate::schema::Value;
use crate::{Error, ErrorKind, Hint, Result};
use divergence::Watch;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use given::Given;
pub use guess::{Guess, Judgement, answers_values};
pub use plan::Plan;
pub use score::{Examined, Score, examine, predict, score};

/// A run in memory: params, data and what is needed to take the next step.
pub struct Trainer {
    plan: Plan,
    graph: Arc<Graph>,
    rule: Arc<dyn Rule>,
    evaluator: Box<dyn Evaluator>,
    quorum: Quorum,
    numerics: Numerics,
    /// For scores, statistics and work on params.
    local: Local,
    data: Arc<dyn Source>,
    /// Whose rows steps see together, where the task is of queries.
    queries: Option<Queries>,
    state: State,
    /// All but what only the caller knows.
    header: Header,
    run: [u8; 32],
    spent: Spent,
    watch: Watch,
    /// What prolonged the run, in order.
    stretches: Vec<Stretch>,
    /// Whether it began with params that were given.
    given: bool,
}

/// The result of one training step.
pub struct Step {
    /// The entry for the ledger.
    pub entry: Entry,
    /// The signal-to-noise ratio of the estimate, where the method can tell it.
    pub signal_to_noise: Option<f32>,
    /// The effect of rounding on the step, where params are stored in less than f32.
    pub rounding: Option<Rounding>,
    /// Losses that were asked for and never came.
    pub missing: u64,
    /// Whole numbers that did not fit and were held at the end of their range.
    pub saturated: u64,
}

impl Trainer {
    /// A new run.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the plan cannot work: a budget of 0, a batch of 0, a method that does not fit the model.
    /// [`ErrorKind::Model`] or [`ErrorKind::Data`] if the model does not do what it declares, or cannot take the rows or answer
    /// the targets.
    pub fn new(plan: Plan, local: Local, data: impl Source + 'static) -> Result<Self> {
        let data: Arc<dyn Source> = Arc::new(data);
        let worker = worker(local.clone(), Arc::clone(&data));
        Self::with(plan, local, data, worker, Quorum::All)
    }

    /// A new run whose losses come from `evaluator`: of each question, `quorum` must be answered. `local` and `data` are
    /// for what is no probe: scores and statistics.
    ///
    /// # Errors
    /// As for [`Trainer::new`], and those of [`Evaluator::open`].
    pub fn with(
        plan: Plan,
        local: Local,
        data: impl Source + 'static,
        evaluator: Box<dyn Evaluator>,
        quorum: Quorum,
    ) -> Result<Self> {
        let settings = plan.written();
        Self::described(plan, local, Arc::new(data), evaluator, quorum, settings, None)
    }

    /// A new run that starts from given params: those that a model has learnt before, in memory of one's own or where they lie.
    ///
    /// # Errors
    /// As for [`Trainer::new`], and [`ErrorKind::Model`] if the params are not the model's.
    pub fn from_params(
        plan: Plan,
        local: Local,
        data: impl Source + 'static,
        params: Params,
    ) -> Result<Self> {
        let data: Arc<dyn Source> = Arc::new(data);
        let worker = worker(local.clone(), Arc::clone(&data));
        let settings = plan.written();
        Self::described(plan, local, data, worker, Quorum::All, settings, Some(params))
    }

    /// The same with the settings that its header is to have, and with the params that it begins with, if not those that its seed
    /// determines.
    fn described(
        plan: Plan,
        local: Local,
        data: Arc<dyn Source>,
        mut evaluator: Box<dyn Evaluator>,
        quorum: Quorum,
        settings: BTreeMap<String, Value>,
        base: Option<Params>,
    ) -> Result<Self> {
        plan.check()?;
        let graph = local.check_source(&*data)?;
        let key = RunKey::from_seed(plan.seed);
        let plan = Plan { batch: plan.shuffle.batch(plan.batch, data.rows()), ..plan };
        let rule = plan.method.rule(&graph, plan.batch)?;
        plan.check_order(&*rule, &*data)?;
        if local.piece().is_some() {
            plan.check_pieces(&*rule, &graph)?;
        }
        plan.method.check_optimizer(plan.optimizer)?;
        plan.method.check_schedule(&plan.schedule)?;
        if plan.method.common().moves() == Moves::Directions {
            local.task_of_rows()?;
        }
        if matches!(plan.method, Method::Integers(_)) {
            local.check_integers(data.first(1)?.data())?;
        }
        let given = base.is_some();
        let base = base.unwrap_or_else(|| Params::init(graph.tensors(), &key));
        graph.check_params(&base)?;
        let queries = local.queries(&*data, key, plan.shuffle);
        let state = State::new(
            base,
            plan.method.recipe(plan.optimizer, plan.storage).with_rates(graph.rates()),
            key,
        )?;
        let header = Header {
            evaluator: Some(evaluator.kind().into()),
            settings: Some(settings),
            model: Some(ModelDigest::Graph(graph.digest())),
            ..plan.header(&state, &*data)
        };
        let numerics = evaluator.open(&header, &state)?;
        let watch = Watch::new(plan.schedule.steps, local.loss_of_zero(&*data, &graph)?);
        Ok(Self {
            graph,
            rule,
            evaluator,
            quorum,
            numerics,
            local,
            data,
            queries,
            state,
            run: header.run(),
            header,
            spent: Spent::default(),
            watch,
            stretches: Vec::new(),
            given,
            plan,
        })
    }

    /// The present state: params, optimizer memory and step.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The passes, samples and operations spent so far.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The model's graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The evaluator that runs the model for scores and statistics; it holds the run's threads.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// The training data.
    pub fn data(&self) -> &dyn Source {
        &*self.data
    }

    /// Whether all steps of the budget are taken.
    pub fn finished(&self) -> bool {
        self.state.step() >= self.steps()
    }

    /// The method that finds steps.
    pub fn method(&self) -> &Method {
        &self.plan.method
    }

    /// Samples per step.
    pub fn batch(&self) -> usize {
        self.plan.batch
    }

    /// The budget in steps, that of stretches included.
    pub fn steps(&self) -> u64 {
        self.stretches.last().map_or(self.plan.schedule.steps, |stretch| stretch.steps)
    }

    /// Gives the run more steps, in which the schedule of its plan begins anew.
    ///
    /// # Errors
    /// As for [`Stretch::follows`] on the present budget.
    pub fn prolong(&mut self, stretch: &Stretch) -> Result<()> {
        stretch.follows(self.steps())?;
        self.stretches.push(stretch.clone());
        self.watch.set_steps(stretch.steps);
        Ok(())
    }

    /// Whether the run began with params that were given, such as those of a file, and not with drawn ones.
    pub fn begins_with_given(&self) -> bool {
        self.given
    }

    /// The number of steps in which the method visits every weight once; `None` for methods without cycles.
    pub fn round(&self) -> Option<u64> {
        self.rule.round()
    }

    /// Steps in which all training rows (or, with a method that goes round, all weights) are seen about once.
    pub fn steps_per_epoch(&self) -> u64 {
        let batches = (self.data.rows() / self.plan.batch).max(1) as u64;
        self.round().unwrap_or(batches)
    }

    /// The ledger's header for this run; `spec` is the digest of the spec as run. What only the caller knows (interface, test
    /// data) is left out.
    pub fn header(&self, spec: [u8; 32]) -> Header {
        Header { spec, numerics: Some(self.numerics.clone()), ..self.header.clone() }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] as for [`Trainer::sound`], and if no loss is finite that was at the run's beginning; those of
    /// the method. The state is then unchanged.
    pub fn step(&mut self) -> Result<Step> {
        self.sound()?;
        self.take()
    }

    /// Checks that the run has not diverged: its losses have not been far above the first one's for long.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] saying since when, and what to change.
    pub fn sound(&self) -> Result<()> {
        self.watch.check(self.plan.method.advice())
    }

    /// The present step, on the run's threads. They are called once for all of it: to wake one takes as long as some of its parts.
    fn take(&mut self) -> Result<Step> {
        let local = self.local.clone();
        local.run(|| self.taken())
    }

    fn taken(&mut self) -> Result<Step> {
        let Outcome { mut entry, direction, signal_to_noise, missing, saturated } = self.find()?;
        let rounding = self.state.apply(&entry, direction.as_ref())?;
        self.evaluator.follow(&entry, direction.as_ref())?;
        self.count(&entry);
        if let Update::Rerun { digest } = &mut entry.update
            && self.state.step().is_multiple_of(self.plan.digest_every.max(1))
        {
            *digest = Some(self.state.params().digest());
        }
        Ok(Step { entry, signal_to_noise, rounding, missing, saturated })
    }

    /// Repeats the step that `entry` records: applied where it is complete, run again where it is not.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if the step does not lead to the digest (or loss) that the entry names; [`ErrorKind::Ledger`] where the
    /// numerics are a device's, which need not give the same again.
    pub fn retake(&mut self, entry: &Entry) -> Result<()> {
        let Update::Rerun { digest } = &entry.update else {
            self.local.run(|| self.state.apply(entry, None))?;
            self.evaluator.follow(entry, None)?;
            self.count(entry);
            return Ok(());
        };
        let step = self.take()?;
        let place = || format!("step {}", entry.step);
        let kind = if self.numerics.is_exact() { ErrorKind::Damage } else { ErrorKind::Ledger };
        if step.entry.loss.to_bits() != entry.loss.to_bits() {
            let expected = format!("loss {}", entry.loss);
            return Err(Error::expected(kind, place(), expected, step.entry.loss));
        }
        if let Some(want) = digest {
            let found = self.state.params().digest();
            if found != *want {
                let expected = format!("params with digest {}", hex(want));
                return Err(Error::expected(kind, place(), expected, hex(&found)));
            }
        }
        Ok(())
    }

    /// Goes to a snapshot's state, having spent what the steps before it cost; `entries` are the ledger's (for `chains` see
    /// [`State::restore`]).
    ///
    /// # Errors
    /// As for [`State::restore`] and [`Evaluator::open`].
    pub fn restore(&mut self, snapshot: &[u8], entries: &[Entry], chains: &[[u8; 32]]) -> Result<()> {
        self.state.restore(snapshot, chains)?;
        self.evaluator.open(&self.header, &self.state)?;
        (self.spent, self.watch) = (Spent::default(), self.watch.anew());
        for entry in entries.iter().take(self.state.step() as usize) {
            self.count(entry);
        }
        Ok(())
    }

    fn clock(&self, step: u64) -> Clock {
        let Plan { schedule, batch, .. } = self.plan;
        let (begin, steps) = match self.stretches.iter().rev().find(|stretch| stretch.from <= step) {
            Some(Stretch { from, steps, .. }) => (*from, steps - from),
            None => (0, schedule.steps),
        };
        Clock { step, begin, schedule: Schedule { steps, ..schedule }, batch, rows: self.data.rows() }
    }

    /// The present step. Where the run began with finite losses, having none any more is divergence.
    fn find(&mut self) -> Result<Outcome> {
        let (advice, clock) = (self.plan.method.advice(), self.clock(self.state.step()));
        let Self { rule, evaluator, state, quorum, run, .. } = self;
        let candidates = state.candidate_count();
        let answered = |ask: Ask| {
            let ticket = evaluator.submit(&ask, state)?;
            let answer = evaluator.collect(ticket, *quorum, state)?;
            ask.accept(answer, candidates)
        };
        find(&**rule, state, &clock, *run, answered).map_err(|e| match e.kind() {
            ErrorKind::NonFinite if clock.step > 0 => {
                e.as_kind(ErrorKind::Diverged).within("diverged").hint(Hint::Then(advice.into()))
            }
            _ => e,
        })
    }

    /// The cost of the step of this entry, including its non-finite losses.
    pub fn cost(&self, entry: &Entry) -> Spent {
        let mut clock = self.clock(entry.step);
        if let Some(queries) = &self.queries {
            // Whole queries are about as many rows.
            clock.batch = queries.batch(entry.step, clock.batch).len();
        }
        let passes;
        (clock.batch, passes) = self.evaluator.made(clock.batch);
        let mut cost = self.rule.cost(&self.graph, &clock, &entry.update);
        cost += whole_passes(&self.graph, passes, clock.batch as u64);
        Spent { non_finite: entry.non_finite, ..cost }
    }

    /// Counts a step that was taken.
    fn count(&mut self, entry: &Entry) {
        self.spent += self.cost(entry);
        let losses = if let Update::Losses(losses) = &entry.update { Some(&losses[..]) } else { None };
        self.watch.add(entry.step, entry.loss, losses);
    }

    /// Statistics of the model's normalisations over the first training rows: what evaluation uses.
    ///
    /// # Errors
    /// None that [`Trainer::new`] has not told of.
    pub fn statistics(&self) -> Result<Vec<Statistics>> {
        self.statistics_of(self.state.params())
    }

    /// Statistics of the model's normalisations with other params.
    ///
    /// # Errors
    /// As for [`Trainer::statistics`], and if they are those of another model.
    pub fn statistics_of(&self, params: &Params) -> Result<Vec<Statistics>> {
        if self.graph.norms().next().is_none() {
            return Ok(Vec::new());
        }
        self.local.statistics_of(params, &*self.data)
    }

    /// How well the present params do on `data`.
    ///
    /// # Errors
    /// As for [`score`].
    pub fn score(&self, data: &dyn Source) -> Result<Score> {
        score(&self.local, self.state.params(), &self.statistics()?, data)
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
