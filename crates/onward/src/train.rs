//! Training, resuming, catching up, replaying and auditing: one loop with different sources of entries.

mod divergence;

use crate::dataset::{Dataset, Targets};
use crate::evaluate::{Batch, CoordinateCache, Evaluator, Local, STATISTICS_ROWS, Spent, whole_passes};
use crate::ledger::{
    Entry, Header, Optimizer, Record, Rounding, State, Stretch, TensorHeader, Update, UpdateRecord,
};
use crate::model::{Act, Norms, Statistics};
use crate::noise::{Role, RunKey};
use crate::objective::argmax;
use crate::params::{Params, Storage};
use crate::rule::{Method, Schedule, Sweep, visit};
use crate::{Error, ErrorKind, Hint, Place, Result};
use divergence::Watch;

/// What a run is, beyond model, objective and data.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The seed that all noise follows from.
    pub seed: u64,
    /// How steps are found.
    pub method: Method,
    /// The learning rate; its `steps` are the budget.
    pub schedule: Schedule,
    /// How directions become steps.
    pub optimizer: Optimizer,
    /// What numbers the params may be.
    pub storage: Storage,
    /// Samples per step; all of them if there are fewer.
    pub batch: usize,
    /// Every how many steps an activation-space record carries the params' digest.
    pub digest_every: u64,
}

/// A run in memory: params, data and what is needed to take the next step.
pub struct Trainer {
    plan: Plan,
    evaluator: Local,
    data: Dataset,
    key: RunKey,
    state: State,
    order: Order,
    /// The cycle of a method that visits all weights in turn.
    sweep: Option<Sweep>,
    cache: CoordinateCache,
    spent: Spent,
    watch: Watch,
    /// What prolonged the run, in order.
    stretches: Vec<Stretch>,
}

/// What one step gave.
pub struct Step {
    /// What the ledger should keep.
    pub record: Record,
    /// Signal to noise of the estimate, where the method can tell.
    pub signal_to_noise: Option<f32>,
    /// What rounding made of the step, where params are stored in less than f32.
    pub rounding: Option<Rounding>,
}

/// How well params do on data.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The mean loss.
    pub loss: f32,
    /// The share of right answers (classification only).
    pub accuracy: Option<f32>,
    /// `[truth][answer]` counts (classification only).
    pub confusion: Option<Vec<Vec<u64>>>,
}

/// Rows that are evaluated at once outside training.
const EVALUATION_ROWS: usize = 1000;

impl Trainer {
    /// A run at its beginning.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if the plan cannot work: a budget of 0, a batch of 0, a method that does not fit the model.
    /// [`ErrorKind::Model`] or [`ErrorKind::Data`] if the model does not do what it declares, or cannot take the rows or answer
    /// the targets.
    pub fn new(plan: Plan, evaluator: Local, data: Dataset) -> Result<Self> {
        if plan.schedule.steps == 0 || plan.schedule.steps > u64::from(u32::MAX) {
            return Err(Error::expected(
                ErrorKind::Spec,
                "train.steps",
                "a budget of 1 to 2^32 − 1 steps",
                plan.schedule.steps,
            ));
        }
        if plan.batch == 0 {
            return Err(Error::expected(ErrorKind::Spec, "train.batch", "at least 1 sample", 0));
        }
        plan.check_rates()?;
        evaluator.check_data(&data)?;
        let key = RunKey::from_seed(plan.seed);
        let batch = plan.batch.min(data.rows());
        plan.method.check(evaluator.model(), batch)?;
        plan.method.check_optimizer(plan.optimizer)?;
        let params = Params::init(&evaluator.model().tensors(), &key);
        let state = plan.method.begin(params, plan.optimizer, plan.storage, key)?;
        let order = Order { key, rows: data.rows(), epoch: u64::MAX, permutation: Vec::new() };
        let sweep = plan.method.sweep(evaluator.model(), data.shape())?;
        let (plan, spent, cache) = (Plan { batch, ..plan }, Spent::default(), CoordinateCache::default());
        let watch = Watch::new(plan.schedule.steps, evaluator.loss_of_zero(&data));
        Ok(Self {
            plan,
            evaluator,
            data,
            key,
            state,
            order,
            sweep,
            cache,
            spent,
            watch,
            stretches: Vec::new(),
        })
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What was spent so far.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The evaluator.
    pub fn evaluator(&self) -> &Local {
        &self.evaluator
    }

    /// The training data.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// Whether the budget is used up.
    pub fn finished(&self) -> bool {
        self.state.step() >= self.steps()
    }

    /// How steps are found.
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

    /// The learning rate of a step. A method that goes round keeps it over a cycle, as far as that lies in one stretch.
    fn rate(&self, step: u64) -> f32 {
        let at = self.sweep.as_ref().map_or(step, |s| s.cycle_start(step));
        match self.stretches.iter().rev().find(|stretch| stretch.from <= step) {
            Some(Stretch { from, steps, .. }) => {
                Schedule { steps: steps - from, ..self.plan.schedule }.at(at.max(*from) - from)
            }
            None => self.plan.schedule.at(at),
        }
    }

    /// Steps in which all training rows (or, with a method that goes round, all weights) are seen about once.
    pub fn steps_per_epoch(&self) -> u64 {
        let batches = (self.data.rows() / self.plan.batch).max(1) as u64;
        self.sweep.as_ref().map_or(batches, Sweep::steps)
    }

    /// The ledger's header for this run; `spec` is the digest of the spec as run. What only the caller knows (interface, test
    /// data) is left out.
    pub fn header(&self, spec: [u8; 32]) -> Header {
        let params = Params::init(&self.evaluator.model().tensors(), &self.key);
        let params = params.stored_as(self.plan.storage);
        let shape = |s: &[usize]| s.iter().map(|n| *n as u64).collect();
        Header {
            seed: self.plan.seed,
            steps: self.plan.schedule.steps,
            goal: "minimize".into(),
            method: self.plan.method.name().into(),
            recipe: *self.state.recipe(),
            search: if let Method::Search(search) = &self.plan.method { Some(search.clone()) } else { None },
            arithmetic: Some(self.evaluator.precision().arithmetic().into()),
            spec,
            interface: None,
            data: self.data.digest(),
            test: None,
            base: params.digest(),
            tensors: params
                .tensors()
                .iter()
                .map(|t| TensorHeader { name: t.name.clone(), shape: shape(&t.shape) })
                .collect(),
        }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] as for [`Trainer::sound`], and if no loss is finite that was at the run's beginning; those of
    /// the method. The state is then unchanged.
    pub fn step(&mut self) -> Result<Step> {
        self.sound()?;
        // The evaluator's threads are called once for all of a step: to wake one takes as long as some of its parts.
        let evaluator = self.evaluator.clone();
        evaluator.run(|| self.take())
    }

    /// That the run has not diverged: its losses have not been far above the first one's for long.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] saying since when, and what to change.
    pub fn sound(&self) -> Result<()> {
        self.watch.check(self.advice())
    }

    /// What to change where a run diverges.
    fn advice(&self) -> &'static str {
        match self.plan.method {
            Method::Search(_) => "halve method.sigma, or centre and scale the data (data.center)",
            _ => "halve method.rate, or centre and scale the data (data.center)",
        }
    }

    fn take(&mut self) -> Result<Step> {
        let (entry, signal_to_noise) = self.evaluate()?;
        let rounding = self.apply(&entry)?;
        let due = matches!(entry.update, Update::Direction(_))
            && self.state.step().is_multiple_of(self.plan.digest_every.max(1));
        let digest = due.then(|| self.state.params().digest());
        Ok(Step { record: entry.record(digest), signal_to_noise, rounding })
    }

    /// Takes the step that `record` tells of: applied where the record is complete, run again where it is not.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if the step does not lead to the digest (or loss) that the record names.
    pub fn retake(&mut self, record: &Record) -> Result<()> {
        if let Some(entry) = record.entry() {
            return self.apply(&entry).map(|_| ());
        }
        let step = self.take()?;
        let place = || format!("step {}", record.step);
        if step.record.loss.to_bits() != record.loss.to_bits() {
            let expected = format!("loss {}", record.loss);
            return Err(Error::expected(ErrorKind::Damage, place(), expected, step.record.loss));
        }
        if let UpdateRecord::Rerun { digest: Some(want) } = &record.update {
            let found = self.state.params().digest();
            if found != *want {
                let expected = format!("params with digest {}", hex(want));
                return Err(Error::expected(ErrorKind::Damage, place(), expected, hex(&found)));
            }
        }
        Ok(())
    }

    /// Goes to a snapshot's state, having spent what its steps cost (`non_finite` is told by the ledger's `records`; for
    /// `chains` see [`State::restore`]).
    ///
    /// # Errors
    /// As for [`State::restore`].
    pub fn restore(&mut self, snapshot: &[u8], records: &[Record], chains: &[[u8; 32]]) -> Result<()> {
        self.state.restore(snapshot, chains)?;
        (self.spent, self.watch) = (Spent::default(), self.watch.anew());
        for record in records.iter().take(self.state.step() as usize) {
            let losses =
                if let UpdateRecord::Losses(losses) = &record.update { Some(&losses[..]) } else { None };
            self.count(record.step, losses, record.non_finite);
            self.watch.add(record.step, record.loss, losses);
        }
        Ok(())
    }

    /// The present step's entry. Where the run began with finite losses, having none any more is divergence.
    fn evaluate(&mut self) -> Result<(Entry, Option<f32>)> {
        let advice = self.advice();
        let begun = self.state.step() > 0;
        self.look().map_err(|e| match e.kind() {
            ErrorKind::NonFinite if begun => {
                e.as_kind(ErrorKind::Diverged).within("diverged").hint(Hint::Then(advice.into()))
            }
            _ => e,
        })
    }

    fn look(&mut self) -> Result<(Entry, Option<f32>)> {
        let step = self.state.step();
        let (method, state, evaluator) = (&self.plan.method, &self.state, &self.evaluator);
        let rate = self.rate(step);
        let outcome = if let Some(sweep) = &self.sweep {
            let plan = sweep.plan(step, rate, self.plan.batch);
            visit(evaluator, state.key(), state.params(), &self.data, &plan, &mut self.cache)?
        } else {
            let indices = self.order.batch(step, self.plan.batch);
            let batch = Batch::select(&self.data, &indices);
            evaluator.run(|| method.step_of(evaluator, state, &batch, rate))?
        };
        let entry =
            Entry { step, loss: outcome.loss, rate, non_finite: outcome.non_finite, update: outcome.update };
        Ok((entry, outcome.signal_to_noise))
    }

    fn apply(&mut self, entry: &Entry) -> Result<Option<Rounding>> {
        let (evaluator, state) = (&self.evaluator, &mut self.state);
        let rounding = evaluator.run(|| state.apply(entry))?;
        let losses = if let Update::Losses(losses) = &entry.update { Some(&losses[..]) } else { None };
        self.count(entry.step, losses, entry.non_finite);
        self.watch.add(entry.step, entry.loss, losses);
        Ok(rounding)
    }

    /// Counts what a step cost; `losses` are those of a search's generation.
    fn count(&mut self, step: u64, losses: Option<&[f32]>, non_finite: u64) {
        let (model, batch) = (self.evaluator.model(), self.plan.batch);
        let cost = match (&self.sweep, losses) {
            (Some(sweep), _) => sweep.cost(model, step, batch, self.data.rows()),
            (None, Some(losses)) => whole_passes(model, losses.len() as u64, batch as u64),
            (None, None) => self.plan.method.cost(model, step as u32, batch).unwrap_or_default(),
        };
        self.spent += Spent { non_finite, ..cost };
    }

    /// Statistics of the model's normalisations over the first training rows: what evaluation uses.
    ///
    /// # Errors
    /// None that [`Trainer::new`] has not told of.
    pub fn statistics(&self) -> Result<Vec<Statistics>> {
        let rows = self.data.rows().min(STATISTICS_ROWS);
        let x = Act::new(rows, self.data.shape(), self.data.features()[..rows * self.data.width()].to_vec());
        self.evaluator.statistics(self.state.params(), x)
    }

    /// How well the present params do on `data`.
    ///
    /// # Errors
    /// As for [`score`].
    pub fn score(&self, data: &Dataset) -> Result<Score> {
        score(&self.evaluator, self.state.params(), &self.statistics()?, data)
    }
}

impl Plan {
    fn check_rates(&self) -> Result<()> {
        let bad = |key: &str, expected: &str, found: f32| {
            Err(Error::expected(ErrorKind::Spec, Place::key("method", key), expected, found))
        };
        let Schedule { rate, final_share, .. } = self.schedule;
        if !rate.is_finite() {
            return bad("rate", "a number", rate);
        }
        if !(0.0..=1.0).contains(&final_share) {
            return bad("final_rate", "a share in 0..=1", final_share);
        }
        if !(0.0..1.0).contains(&self.optimizer.momentum) {
            return bad("momentum", "a number from 0 to below 1", self.optimizer.momentum);
        }
        Ok(())
    }
}

/// The model's outputs on rows of features, `rows × outputs`.
///
/// # Errors
/// [`ErrorKind::Data`] if `features` are no whole rows; [`ErrorKind::Model`] if model, params, rows and statistics do not fit
/// together.
pub fn predict(
    evaluator: &Local,
    params: &Params,
    statistics: &[Statistics],
    features: &[f32],
    shape: [usize; 3],
) -> Result<Vec<f32>> {
    let width =
        shape.iter().try_fold(EVALUATION_ROWS, |n, axis| n.checked_mul(*axis)).unwrap_or(0) / EVALUATION_ROWS;
    if width == 0 || !features.len().is_multiple_of(width) {
        let expected = format!("whole rows of {shape:?}");
        return Err(Error::expected(
            ErrorKind::Data,
            "features",
            expected,
            format!("{} numbers", features.len()),
        ));
    }
    let mut outputs = Vec::new();
    for rows in features.chunks(width * EVALUATION_ROWS) {
        let x = Act::new(rows.len() / width, shape, rows.to_vec());
        outputs.extend_from_slice(&evaluator.outputs(params, x, Norms::Fixed(statistics))?.data);
    }
    Ok(outputs)
}

/// How well `params` do on `data`. There is an accuracy where every class has an output of its own.
///
/// # Errors
/// As for [`predict`], and [`ErrorKind::Data`] if the outputs cannot answer the targets.
pub fn score(evaluator: &Local, params: &Params, statistics: &[Statistics], data: &Dataset) -> Result<Score> {
    evaluator.check_data(data)?;
    let outputs = predict(evaluator, params, statistics, data.features(), data.shape())?;
    let width = outputs.len() / data.rows();
    let loss = evaluator.loss(&Act::new(data.rows(), [1, 1, width], outputs.clone()), data.targets())?;
    let Targets::Classes { labels, classes } = data.targets() else {
        return Ok(Score { loss, accuracy: None, confusion: None });
    };
    if labels.iter().any(|l| *l as usize >= width) {
        return Ok(Score { loss, accuracy: None, confusion: None });
    }
    let classes = (*classes).max(width);
    let mut confusion = vec![vec![0; classes]; classes];
    let mut right = 0usize;
    for (row, label) in outputs.chunks_exact(width).zip(labels) {
        let answer = argmax(row).unwrap_or(0);
        right += usize::from(argmax(row) == Some(*label as usize));
        confusion[*label as usize][answer] += 1;
    }
    Ok(Score { loss, accuracy: Some(right as f32 / data.rows() as f32), confusion: Some(confusion) })
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Which samples a step sees: every epoch is a permutation of its own, a pure function of key and epoch.
struct Order {
    key: RunKey,
    rows: usize,
    epoch: u64,
    permutation: Vec<u32>,
}

impl Order {
    fn batch(&mut self, step: u64, batch: usize) -> Vec<u32> {
        let first = step * batch as u64;
        (first..first + batch as u64)
            .map(|i| self.at(i / self.rows as u64, (i % self.rows as u64) as usize))
            .collect()
    }

    fn at(&mut self, epoch: u64, place: usize) -> u32 {
        if self.epoch != epoch {
            let noise = self.key.tensor(Role::Shuffle, "samples").at(epoch as u32, (epoch >> 32) as u32);
            self.permutation = noise.permutation(self.rows);
            self.epoch = epoch;
        }
        self.permutation[place]
    }
}
