//! Runs that settings describe, and settings that headers keep: the way from one to the other, and back.

use super::{Given, Plan, Trainer};
use crate::ask::{Augment, Shuffle};
use crate::evaluate::{Evaluator, Local, Quorum};
use crate::ledger::{Header, ModelDigest, Moves, Numerics, TensorHeader, VERSION};
use crate::model::Graph;
use crate::params::Params;
use crate::rows::Source;
use crate::schema::{Value, written};
use crate::settings::{self, Settings, Steps};
use crate::threads::Threads;
use crate::{Error, ErrorKind, Hint, Result, keys};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Numbers of a row, beyond which no header's model is built to be compared: what holds no more is no data set either.
const MOST_NUMBERS: u64 = 1 << 31;

keys! {
    /// The table `[train]` of a plan, which knows no epochs and measures nothing.
    struct Paced {
        /// The budget.
        steps: u64 = crate::schema::Preset::Required;
        /// Samples per step.
        batch: usize = crate::schema::Preset::Required;
        /// Which samples these are, if not all in turn.
        shuffle: Option<Shuffle> = crate::schema::Preset::Unset;
        /// Steps between two digests of the params.
        digest_every: u64 = crate::schema::Preset::Required;
    }
}

keys! {
    /// What a plan says, in the words of specs.
    struct Planned {
        ..
        /// How the net is trained.
        method: settings::Method, in "method";
        ..
        /// How long to train.
        train: Paced, in "train";
        ..
        /// How images are changed.
        augment: Augment, in "augment";
    }
}

impl Plan {
    /// What the plan says in the words of specs: the tables `method` and `train`.
    pub(super) fn written(&self) -> BTreeMap<String, Value> {
        let super::Schedule { rate, anneal, final_share, warmup, steps } = self.schedule;
        let (momentum, scaling) = (self.optimizer.momentum, self.optimizer.scaling);
        let own = Steps { rate, momentum, scaling, schedule: anneal, final_rate: final_share, warmup };
        let own = Some(own).filter(|_| !matches!(self.method.common().moves(), Moves::Search(_)));
        let method = settings::Method { kind: self.method.clone(), steps: own };
        let shuffle = Some(self.shuffle).filter(|shuffle| *shuffle != Shuffle::All);
        let train = Paced { steps, batch: self.batch, shuffle, digest_every: self.digest_every };
        written(&Planned { method, train, augment: self.augment })
    }

    /// The plan that `settings` describe for a run with this seed, a model with this graph and this many rows.
    ///
    /// # Errors
    /// As for [`crate::rule::Method::rule`].
    pub fn of(settings: &Settings, seed: u64, graph: &Graph, rows: usize) -> Result<Self> {
        let Settings { method, train, model: net, .. } = settings;
        let shuffle = train.shuffle.unwrap_or_default();
        let batch = shuffle.batch(train.batch, rows);
        let round = method.kind.rule(graph, batch)?.round();
        Ok(Self {
            seed,
            method: method.kind.clone(),
            schedule: method.schedule(train.budget.steps(round, rows, batch)),
            optimizer: method.optimizer(),
            storage: net.storage,
            batch,
            shuffle,
            augment: settings.augment,
            digest_every: train.digest_every,
        })
    }
}

impl Trainer {
    /// Begins the run that `settings` describe, on `local`, which has to be built from the same settings ([`Settings::local`]);
    /// `given` is what is in the file that they name to begin with, if they name one. `answering` makes the evaluator of losses from
    /// `local` and `data`: [`crate::evaluate::worker`], unless the method visits weights or they are found elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if params are given though the settings name no file, or the other way round; as for [`Trainer::new`].
    pub fn of(
        settings: &Settings,
        seed: u64,
        local: Local,
        data: impl Source + 'static,
        given: Option<Given>,
        answering: impl FnOnce(Local, Arc<dyn Source>) -> Box<dyn Evaluator>,
    ) -> Result<Self> {
        settings.objective.check(&settings.method.kind)?;
        let mut settings = settings.clone();
        let named = settings.model.from.is_some() || settings.model.is_in_a_file();
        if named != given.is_some() {
            let words = |there: bool| if there { "params from a file" } else { "none" };
            let (expected, found) = (words(named), words(given.is_some()));
            return Err(Error::expected(ErrorKind::Spec, "model.from", expected, found));
        }
        // What matters is what is in the file, not where it was.
        settings.model.from = given.as_ref().map(|given| given.file.clone().into());
        let settings = &settings;
        let (schema, data): (_, Arc<dyn Source>) = (data.schema(), Arc::new(data));
        let graph = local.graph(schema.shape())?;
        let plan = Plan::of(settings, seed, &graph, schema.rows())?;
        let evaluator = answering(local.clone(), Arc::clone(&data));
        Self::described(
            plan,
            local,
            data,
            evaluator,
            Quorum::All,
            written(settings),
            given.map(|given| given.params),
        )
    }

    /// Begins the run that a ledger's header describes, on its training data: no spec is needed. `base` are the params that it
    /// began with, where a file gave them; `answering` is as for [`Trainer::of`].
    ///
    /// # Errors
    /// [`ErrorKind::Ledger`] if the header does not tell all that determines the run (those of earlier format versions, and of models
    /// that no spec can name), and naming what is not as the header says; as for [`Settings::of`] and [`Trainer::new`].
    pub fn again(
        header: &Header,
        data: impl Source + 'static,
        base: Option<Params>,
        threads: &Threads,
        answering: impl FnOnce(Local, Arc<dyn Source>) -> Box<dyn Evaluator>,
    ) -> Result<Self> {
        let Some(settings) = Settings::of(header)? else {
            let expected = "settings from which the model can be built";
            return Err(Error::expected(ErrorKind::Ledger, "the ledger's header", expected, "none"));
        };
        let precision = settings.model.precision.begun(header.numerics.as_ref())?;
        let schema = data.schema();
        let local = settings.local(schema.shape(), schema.outputs(), threads, precision)?;
        let file = settings.model.from.as_ref().map(|file| file.display().to_string());
        if let (Some(file), None) = (&file, &base) {
            let expected = format!("the params that the run began with, from the file {file}");
            return Err(Error::expected(ErrorKind::Ledger, "the run's base params", expected, "none"));
        }
        let given = file.zip(base).map(|(file, params)| Given { params, file });
        let trainer = Self::of(&settings, header.seed, local, data, given, answering)?;
        trainer.header(header.spec).check_begun(&Header {
            test: None,
            validation: None,
            interface: None,
            ..header.clone()
        })?;
        Ok(trainer)
    }
}

impl Settings {
    /// What a ledger's header says of model, objective, method and training, held against the rest of the header; `None` where it does
    /// not tell all of it: those of earlier format versions, and of models that no spec can name.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] naming the setting that contradicts the rest of the header or is none that a spec can have;
    /// [`ErrorKind::Ledger`] if that may be because another version, which is named, began the run.
    pub fn of(header: &Header) -> Result<Option<Self>> {
        let Some(tables) = &header.settings else { return Ok(None) };
        if !tables.contains_key("model") {
            return Ok(None);
        }
        let known = header.version.as_deref() == Some(VERSION);
        let settings = Self::read_from(tables).map_err(|e| told(e, header, known))?;
        settings.check(header).map_err(|e| told(e, header, header.later_version().is_none()))?;
        Ok(Some(settings))
    }

    fn read_from(tables: &BTreeMap<String, Value>) -> Result<Self> {
        use crate::schema::{Part, Values};
        let (keys, mut values) = (Self::keys("", None), Values::default());
        values.give_all(tables, &keys);
        values.check(&keys)?;
        let settings = Self::read(&values, "")?;
        settings.model.check()?;
        settings.method.check(&settings.train)?;
        settings.objective.check(&settings.method.kind)?;
        Ok(settings)
    }

    /// That the rest of the header is what these settings lead to.
    fn check(&self, header: &Header) -> Result<()> {
        let Some(rows) = header.rows else { return Ok(()) };
        let count = rows.shape.iter().try_fold(1u64, |n, side| n.checked_mul(*side));
        if count.is_none_or(|n| n > MOST_NUMBERS) || rows.outputs() as u64 > MOST_NUMBERS {
            let found = format!("rows of {:?} with {} answers", rows.shape, rows.outputs());
            let expected = format!("rows of at most {MOST_NUMBERS} numbers");
            return Err(Error::expected(ErrorKind::Damage, "data", expected, found));
        }
        if self.model.is_in_a_file() {
            return Ok(());
        }
        let shape = rows.shape.map(|n| n as usize);
        let model = self.built(shape, rows.outputs())?;
        let graph = Graph::new(&*model, shape)?;
        let differs = |key: &str, expected: String, found: String| {
            let expected = format!("a header with {expected}, which follows from it");
            Err(Error::expected(ErrorKind::Damage, key, expected, found))
        };
        if TensorHeader::declared(graph.tensors()) != header.tensors {
            return differs("model", "the tensors of its model".into(), "others".into());
        }
        let found = ModelDigest::Graph(graph.digest());
        if let Some(told) = header.model.filter(|told| *told != found) {
            return differs("model", format!("the model digest {found}"), told.to_string());
        }
        let plan = Plan::of(self, header.seed, &graph, rows.count as usize)?;
        if plan.method.name() != header.method {
            return differs(
                "method.name",
                format!("the method {}", plan.method.name()),
                header.method.clone(),
            );
        }
        if plan.method.recipe(plan.optimizer, plan.storage).with_rates(graph.rates()) != header.recipe {
            return differs("method", "the recipe of its entries".into(), "another".into());
        }
        if plan.schedule.steps != header.steps {
            return differs("train", format!("{} steps", plan.schedule.steps), header.steps.to_string());
        }
        // An arithmetic that this version does not know contradicts nothing.
        let own = self.model.precision.here().name();
        let known = header.numerics.as_ref().and_then(Numerics::precision);
        match known.filter(|precision| precision.name() != own) {
            Some(other) => {
                differs("model.precision", format!("numerics of {own}"), other.arithmetic().into())
            }
            None => Ok(()),
        }
    }
}

/// What is wrong with a header's settings: damage, or what another version knows otherwise.
fn told(error: Error, header: &Header, is_damage: bool) -> Error {
    let error = error.within("settings in the ledger's header");
    if is_damage {
        return error.as_kind(ErrorKind::Damage);
    }
    let version = header.version.as_deref().unwrap_or("of a version that is not known");
    let both = format!("the run was begun by onward {version}, this is onward {VERSION}");
    error.as_kind(ErrorKind::Ledger).hint(Hint::Then(both))
}
