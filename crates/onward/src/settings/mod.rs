//! What a spec can say of model, method and training: each key with type, range, default and explanation, declared once.
//!
//! The structs here and those of [`crate::rule`] are what is read from a spec and what the library works with; front ends walk
//! their keys (see [`crate::schema`]). What only concerns files stands with those who read them.

mod heads;
mod method;
mod model;
mod objective;
mod search;
mod train;

pub use heads::{Head, List};
pub use method::{Method, Steps};
pub use model::{
    Conv, Language, Learns, Mlp, Model, ModelKind, Onnx, Precision, Recurrent, Skip, Spiking, Vae,
};
pub use objective::{Elbo, F1, Heads, Huber, Ndcg, Nothing, Objective, Program, Verifier, Verify};
pub(crate) use train::{BATCH, DIGEST_EVERY};
pub use train::{Baseline, Budget, Train};

use crate::ask::{Augment, Shuffle};
use crate::evaluate::Local;
use crate::model::{Graph, Rate, Rated};
use crate::task::Task;
use crate::threads::Threads;
use crate::{Result, kernel, keys};
use std::sync::Arc;

keys! {
    /// Everything that determines a run except its seed and its data, as specs and ledger headers have it.
    pub struct Settings {
        ..
        /// The net.
        model: Model, in "model";
        ..
        /// What is to become small.
        objective: Objective, in "objective";
        ..
        /// How the net is trained.
        method: Method, in "method";
        ..
        /// How long to train, and what to write down on the way.
        train: Train, in "train";
        ..
        /// How images are changed anew in every step.
        augment: Augment, in "augment";
    }
}

impl Settings {
    /// Builds the net for inputs of shape `[height, width, channels]` and this many outputs, its tensors at their rates.
    ///
    /// # Errors
    /// As for [`Model::build`]; [`crate::ErrorKind::Spec`] if `train.rates` has other words than a pattern and a factor.
    pub fn built(&self, shape: [usize; 3], outputs: usize) -> Result<Arc<dyn crate::model::Model>> {
        self.rated(self.unrated(shape, outputs)?)
    }

    /// Builds the net with the outputs that the task needs, all its tensors at their full rates.
    ///
    /// # Errors
    /// As for [`Model::build`].
    pub fn unrated(&self, shape: [usize; 3], outputs: usize) -> Result<Arc<dyn crate::model::Model>> {
        self.model.build(shape, self.objective.outputs(outputs))
    }

    /// Wraps a net so that its tensors learn at the rates of the settings.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] if `train.rates` has other words than a pattern and a factor.
    pub fn rated(&self, model: Arc<dyn crate::model::Model>) -> Result<Arc<dyn crate::model::Model>> {
        let Some(rates) = &self.train.rates else { return Ok(model) };
        let rates = rates.0.iter().map(|words| Rate::parse(words)).collect::<Result<_>>()?;
        Ok(Arc::new(Rated { model, rates }))
    }

    /// Builds the evaluator of the model and its task on rows of shape `[height, width, channels]`.
    ///
    /// # Errors
    /// As for [`Model::build`] and [`Objective::task`].
    pub fn local(
        &self,
        shape: [usize; 3],
        outputs: usize,
        threads: &Threads,
        precision: kernel::Precision,
    ) -> Result<Local> {
        self.local_of(self.unrated(shape, outputs)?, shape, outputs, threads, precision)
    }

    /// Builds the evaluator of a net that the settings do not fully describe, such as one from a file.
    ///
    /// # Errors
    /// As for [`Objective::task`], and [`crate::ErrorKind::Spec`] if `train.rates` has other words than a pattern and a factor.
    pub fn local_of(
        &self,
        model: Arc<dyn crate::model::Model>,
        shape: [usize; 3],
        outputs: usize,
        threads: &Threads,
        precision: kernel::Precision,
    ) -> Result<Local> {
        let task = match &self.objective {
            Objective::Elbo(own) => Arc::new(crate::task::Elbo::of(&Graph::new(&*model, shape)?, own.bound)?),
            Objective::Heads(own) => own.list.task(&Graph::new(&*model, shape)?, outputs)?,
            other => other.task()?,
        };
        self.local_at(model, task, threads, precision)
    }

    /// Builds the evaluator of a task that the settings do not fully describe, such as one that starts programs.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] if `train.rates` has other words than a pattern and a factor.
    pub fn local_at(
        &self,
        model: Arc<dyn crate::model::Model>,
        task: Arc<dyn Task>,
        threads: &Threads,
        precision: kernel::Precision,
    ) -> Result<Local> {
        Ok(Local::new(self.rated(model)?, task, threads)
            .with_precision(precision)
            .in_pieces(self.train.piece)
            .in_streams(self.train.shuffle == Some(Shuffle::Streams)))
    }
}
