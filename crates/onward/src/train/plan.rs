//! What a run is to be.

use crate::ask::{Augment, Shuffle, misfit};
use crate::ledger::{Header, Optimizer, State, TensorHeader, VERSION, types};
use crate::model::Graph;
use crate::params::Storage;
use crate::rows::Source;
use crate::rule::{Method, Rule, Schedule};
use crate::settings;
use crate::{Error, ErrorKind, Result};

/// Everything that a run consists of besides model, task and data.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The seed that all noise is derived from.
    pub seed: u64,
    /// The method that finds steps.
    pub method: Method,
    /// The learning rate; its `steps` are the budget.
    pub schedule: Schedule,
    /// The optimizer, which turns directions into steps.
    pub optimizer: Optimizer,
    /// The number format that params are stored in.
    pub storage: Storage,
    /// Samples per step; all of them if there are fewer.
    pub batch: usize,
    /// The order in which rows are seen.
    pub shuffle: Shuffle,
    /// The augmentation of each step, where rows are images.
    pub augment: Augment,
    /// The number of steps between two digests of the params in records of activation-space runs.
    pub digest_every: u64,
}

impl Plan {
    /// A plan of `steps` steps of a method with the defaults of specs: its own learning rate, schedule and momentum, batches of 128, seed 1. A
    /// method of one's own has no such defaults: its rate is 1 and does not change, without momentum.
    ///
    /// ```
    /// use onward::prelude::*;
    ///
    /// let plan = Plan { batch: 64, ..Plan::new(Population { members: 32, ..Default::default() }, 200).with_rate(0.1) };
    /// assert_eq!((plan.schedule.rate, plan.optimizer.momentum), (0.1, 0.9));
    /// ```
    pub fn new(method: impl Into<Method>, steps: u64) -> Self {
        let method = settings::Method::new(method);
        Self {
            seed: 1,
            schedule: method.schedule(steps),
            optimizer: method.optimizer(),
            method: method.kind,
            storage: Storage::F32,
            batch: settings::BATCH as usize,
            shuffle: Shuffle::All,
            augment: Augment::default(),
            digest_every: settings::DIGEST_EVERY.into(),
        }
    }

    /// Sets the learning rate.
    #[must_use]
    pub fn with_rate(mut self, rate: f32) -> Self {
        self.schedule.rate = rate;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.schedule.steps == 0 || self.schedule.steps > u64::from(u32::MAX) {
            return Err(Error::expected(
                ErrorKind::Spec,
                "train.steps",
                "a budget of 1 to 2^32 − 1 steps",
                self.schedule.steps,
            ));
        }
        if self.batch == 0 {
            return Err(Error::expected(ErrorKind::Spec, "train.batch", "at least 1 sample", 0));
        }
        self.check_rates()
    }

    /// That `data` can be had in the order that the plan and its rule need, and changed as it says.
    pub(super) fn check_order(&self, rule: &dyn Rule, data: &dyn Source) -> Result<()> {
        self.augment.check(data.schema().shape())?;
        let in_streams = self.shuffle == Shuffle::Streams;
        let fits = in_streams == self.method.common().in_streams() || matches!(self.method, Method::Own(_));
        if !fits {
            let name = self.method.name();
            let expected = if in_streams {
                format!("no such key, as method.name is {name:?}, whose rows stand alone")
            } else {
                format!("a number of streams, as method.name is {name:?}")
            };
            let found = if in_streams { format!("{}", self.batch) } else { "none".into() };
            return Err(Error::expected(ErrorKind::Spec, "data.streams", expected, found));
        }
        if rule.round().is_none() {
            return self.shuffle.check(data.rows(), self.batch, self.schedule.steps);
        }
        if self.shuffle != Shuffle::All {
            let expected = "no such key, as the method visits all rows in an order of its own";
            return Err(Error::expected(
                ErrorKind::Spec,
                "train.shuffle",
                expected,
                format!("{:?}", self.shuffle),
            ));
        }
        data.resident().map(|_| ()).ok_or_else(|| {
            let expected = "rows in memory, as it visits all of them";
            Error::expected(ErrorKind::Spec, "method", expected, "a source that is read as it goes")
        })
    }

    /// That batches can be worked through in pieces to the same bits.
    pub(super) fn check_pieces(&self, rule: &dyn Rule, graph: &Graph) -> Result<()> {
        let refuse = |expected: &str, found: String| {
            Err(Error::expected(ErrorKind::Spec, "train.piece", expected.to_owned(), found))
        };
        if rule.round().is_some() {
            let expected = "a method that asks for losses of one batch after the other";
            return refuse(expected, format!("{:?}", self.method.name()));
        }
        if let Method::Population(own) = &self.method
            && own.share != 0
        {
            return refuse("members that see the whole batch", format!("method.share = {}", own.share));
        }
        match graph.norms().next() {
            Some((layer, _)) => {
                let expected = "a net without batch normalisation, whose rows know nothing of each other";
                refuse(expected, format!("the normalisation {layer}"))
            }
            None => Ok(()),
        }
    }

    /// The header of this run on `data`, whose first state is `state`, without what only others know.
    pub(super) fn header(&self, state: &State, data: &dyn Source) -> Header {
        let params = state.params();
        Header {
            version: Some(VERSION.into()),
            evaluator: None,
            numerics: None,
            seed: self.seed,
            steps: self.schedule.steps,
            goal: "minimize".into(),
            method: self.method.name().into(),
            recipe: state.recipe().clone(),
            settings: None,
            model: None,
            tensors: TensorHeader::all(params),
            types: types(params, self.storage),
            rows: Some(data.schema()),
            data: data.digest(),
            test: None,
            validation: None,
            base: params.digest(),
            spec: [0; 32],
            interface: None,
        }
    }

    fn check_rates(&self) -> Result<()> {
        let Schedule { rate, final_share, .. } = self.schedule;
        if !rate.is_finite() {
            return Err(misfit("rate", "a number", rate));
        }
        if !(0.0..=1.0).contains(&final_share) {
            return Err(misfit("final_rate", "a share in 0..=1", final_share));
        }
        if !(0.0..1.0).contains(&self.optimizer.momentum) {
            return Err(misfit("momentum", "a number from 0 to below 1", self.optimizer.momentum));
        }
        Ok(())
    }
}
