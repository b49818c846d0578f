//! The executor: forward passes of a model on this process's threads.

use super::Batch;
use super::answering::{AT_ONCE, Answering};
use crate::ask::{Queries, Response, Shuffle, WeightPlan};
use crate::kernel::Precision;
use crate::model::{
    Act, BufferPool, BufferPools, Carried, Chance, Context, Graph, Model, Norms, Spare, Statistics,
    TensorKeys, Weights,
};
use crate::noise::RunKey;
use crate::params::Params;
use crate::rows::Source;
use crate::space::{ActivationPlan, STATISTICS_ROWS};
use crate::task::{Answers, Grain, Task, mean};
use crate::threads::{Threads, prelude::*};
use crate::{Error, ErrorKind, Result};
use std::sync::{Arc, Mutex};

/// Numbers that are copied at once.
const COPIED: usize = 1 << 15;

/// The model's graphs, each for a shape of input.
pub(super) type Known = Vec<([usize; 3], Arc<Graph>)>;

/// Evaluates probes on threads that the caller started. The results are the same for any number of threads.
#[derive(Clone)]
pub struct Local {
    pub(super) model: Arc<dyn Model>,
    pub(super) task: Arc<dyn Task>,
    pub(super) precision: Precision,
    threads: Threads,
    piece: Option<usize>,
    in_streams: bool,
    /// How answers are found, if not by one pass.
    pub(super) how: Option<Arc<dyn Answering>>,
    pub(super) known: Arc<Mutex<Known>>,
    /// Buffers of the clean passes, which leave traces.
    pub(super) buffers: BufferPool,
    /// Those of all other passes.
    pub(super) buffer_pools: BufferPools,
    /// Scratch of all passes, and what was packed for them.
    spare: Spare,
}

impl Local {
    /// An evaluator of `model` at `task` on `threads`, in single precision.
    pub fn new(model: Arc<dyn Model>, task: Arc<dyn Task>, threads: &Threads) -> Self {
        let threads = threads.clone();
        Self {
            model,
            task,
            precision: Precision::F32,
            threads,
            piece: None,
            in_streams: false,
            how: None,
            known: Arc::default(),
            buffers: BufferPool::keeping_many(),
            buffer_pools: BufferPools::default(),
            spare: Spare::default(),
        }
    }

    /// Sets the precision of forward passes.
    #[must_use]
    pub fn with_precision(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
    }

    /// Lets the model answer in a way of its own, such as a text that it writes, in place of one pass.
    #[must_use]
    pub fn answering(&self, how: Arc<dyn Answering>) -> Self {
        Self { how: Some(how), ..self.clone() }
    }

    /// Sets the task that outputs are judged by.
    #[must_use]
    pub fn with_task(&self, task: Arc<dyn Task>) -> Self {
        Self { task, ..self.clone() }
    }

    /// Limits the rows of a batch that are in memory at once to this many (32 at least where derivatives of convolutions are asked for).
    #[must_use]
    pub fn in_pieces(&self, rows: Option<usize>) -> Self {
        Self { piece: rows.map(|rows| rows.max(1)), ..self.clone() }
    }

    /// Says whether each row goes on from the one before it: then states are kept from row to row where rows are answered outside training.
    #[must_use]
    pub fn in_streams(&self, in_streams: bool) -> Self {
        Self { in_streams, ..self.clone() }
    }

    /// The number of rows of a batch that are in memory at once; `None` for all.
    pub fn piece(&self) -> Option<usize> {
        self.piece
    }

    /// The arithmetic of forward passes.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The threads that it runs on.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Runs `f` with this evaluator's threads.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.threads.run(f)
    }

    /// `params` packed for this evaluator's products.
    pub(super) fn packed<'a>(&self, params: &'a Params) -> Weights<'a> {
        Weights::with_spare(params, self.precision, &self.spare)
    }

    /// `params` for dense probes alone.
    pub(super) fn for_dense<'a>(&self, params: &'a Params, keys: &[TensorKeys]) -> Weights<'a> {
        Weights::for_dense(params, self.precision, &self.spare, keys)
    }

    /// The model's outputs on `x`, with statistics of normalisations from `norms`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if model, params, input and statistics do not fit together.
    pub fn outputs(&self, params: &Params, x: Act, norms: Norms<'_>) -> Result<Act> {
        let graph = self.fitting(params, &x)?;
        graph.check_norms(norms)?;
        Ok(self.run(|| {
            let weights = self.packed(params);
            self.answers(&graph, &mut Context::clean(&weights, norms), x)
        }))
    }

    /// The model's outputs on rows of `features` of the given shape, `at_once` rows at a time; each row stands alone, the `first` being that of its data, or goes on
    /// from the one before it and from what is `carried`. There is at least one, and no part of one.
    ///
    /// # Errors
    /// As for [`Local::outputs`].
    pub(crate) fn outputs_of_rows(
        &self,
        params: &Params,
        features: &[f32],
        shape: [usize; 3],
        (at_once, first): (usize, u64),
        statistics: &[Statistics],
        carried: &mut Carried,
    ) -> Result<Vec<f32>> {
        let (width, norms) = (shape.iter().product::<usize>(), Norms::Fixed(statistics));
        let at_once = if self.how.is_some() { at_once.min(AT_ONCE) } else { at_once };
        let graph = self.fitting(params, &Act::new(1, shape, features[..width].to_vec()))?;
        graph.check_norms(norms)?;
        if graph.ignores_padding() {
            return self.outputs_by_length(params, features, &graph, statistics);
        }
        if self.in_streams {
            return self.run(|| {
                let (weights, mut outputs) = (self.packed(params), Vec::new());
                let mut cx = Context::clean(&weights, norms);
                for row in features.chunks(width) {
                    let x = Act::new(1, shape, row.to_vec());
                    outputs.extend_from_slice(graph.forward_carrying(&mut cx, x, carried)?.data());
                }
                Ok(outputs)
            });
        }
        Ok(self.run(|| {
            let (weights, buffers) = (self.packed(params), BufferPool::keeping());
            let mut outputs = Vec::new();
            for (part, rows) in features.chunks(width * at_once).enumerate() {
                let mut x = buffers.take(rows.len());
                x.par_chunks_mut(COPIED)
                    .zip(rows.par_chunks(COPIED))
                    .for_each(|(x, rows)| x.copy_from_slice(rows));
                let chance = Chance::Evaluation(first + (part * at_once) as u64);
                let mut cx =
                    Context::clean(&weights, norms).with_buffers(buffers.clone()).with_chance(chance);
                let x = Act::of(rows.len() / width, shape, x);
                outputs.extend_from_slice(&self.answers(&graph, &mut cx, x).data);
            }
            outputs
        }))
    }

    /// The statistics of all normalisations over the rows `x`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if model, params and input do not fit together.
    pub fn statistics(&self, params: &Params, x: Act) -> Result<Vec<Statistics>> {
        let graph = self.fitting(params, &x)?;
        Ok(self.run(|| {
            let weights = self.packed(params);
            let mut cx = Context::clean(&weights, Norms::Batch);
            cx.start_trace();
            let _ = graph.forward(&mut cx, x);
            cx.take_trace().statistics
        }))
    }

    /// Statistics of all normalisations over the first rows of `data`.
    ///
    /// # Errors
    /// As for [`Local::statistics`] and [`Source::read`].
    pub(crate) fn statistics_of(&self, params: &Params, data: &dyn Source) -> Result<Vec<Statistics>> {
        if self.graph(data.schema().shape())?.norms().next().is_none() {
            return Ok(Vec::new());
        }
        self.statistics(params, Batch::of(data.first(STATISTICS_ROWS)?).x)
    }

    /// The mean loss of answering zeros to the first rows of `data`; 0 if the task has no losses of rows.
    ///
    /// # Errors
    /// As for [`Source::read`].
    pub(crate) fn loss_of_zero(&self, data: &dyn Source, graph: &Graph) -> Result<f32> {
        // A program is not asked what it thinks of zeros.
        if self.task.grain() == Grain::Batch || self.how.is_some() {
            return Ok(0.0);
        }
        let Batch { targets, columns, .. } = Batch::of(data.first(STATISTICS_ROWS)?);
        let rows = targets.rows();
        let outputs = Act::new(rows, graph.answer(), vec![0.0; rows * graph.outputs()]);
        let mut losses = vec![0.0; rows];
        // What is not known is no scale to compare with.
        let known = self.task.of_rows(&outputs, Answers::all(&targets, &columns), &mut losses);
        Ok(known.map_or(0.0, |()| mean(&losses)))
    }

    /// The queries that steps take whole: where the task is of whole batches and rows have some.
    pub(crate) fn queries(&self, data: &dyn Source, key: RunKey, shuffle: Shuffle) -> Option<Queries> {
        if self.task.grain() == Grain::Batch { Queries::of(data, key, shuffle) } else { None }
    }

    /// The task that the model is trained for.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// The loss of outputs that answer all of `answers` row by row: the batch's, or the mean of the rows'.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if the answers are to other rows or cannot be given by so many outputs; as for [`Task::losses`].
    pub fn loss(&self, outputs: &Act, answers: Answers<'_>) -> Result<f32> {
        self.check_answers(outputs.rows, outputs.width(), answers)?;
        self.task.of_batch(outputs, answers)
    }
}

/// What plans find on batches that the caller has: [`super::Worker`] answers questions with these.
impl Local {
    /// Evaluates the mean loss of every member of `plan`, finite or not; `None` where the task cannot tell it.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`], [`ErrorKind::Model`] or [`ErrorKind::Data`] if plan, model, params and batch do not fit together, here
    /// as below.
    pub fn losses(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &WeightPlan,
    ) -> Result<Vec<Option<f32>>> {
        plan.check(batch.x.rows)?;
        let graph = self.meets(params, batch)?;
        let see = |outputs: &Act, answers: Answers<'_>| self.known_loss(outputs, answers);
        Ok(self.run(|| self.told_by_members(&graph, key, params, batch, plan, &see)))
    }

    /// The mean loss at every one of `points`, finite or not, or `None` where the task cannot tell it: one set of numbers after
    /// another, each for all tensors of `params` in order.
    ///
    /// # Errors
    /// As for [`Local::losses`].
    pub fn losses_at(&self, params: &Params, batch: &Batch, points: &[f64]) -> Result<Vec<Option<f32>>> {
        self.losses_at_step(params, batch, points, &Chance::Evaluation(0))
    }

    /// The same with the chance of a step inside the model.
    pub(super) fn losses_at_step(
        &self,
        params: &Params,
        batch: &Batch,
        points: &[f64],
        chance: &Chance,
    ) -> Result<Vec<Option<f32>>> {
        let graph = self.meets(params, batch)?;
        self.check_points(params, points)?;
        let see = |outputs: &Act, answers: Answers<'_>| self.known_loss(outputs, answers);
        Ok(self.told_at_points(&graph, params, batch, points, chance, &see))
    }

    /// That `points` are whole sets of params.
    pub(super) fn check_points(&self, params: &Params, points: &[f64]) -> Result<()> {
        let count = params.count();
        if !points.is_empty() && points.len().is_multiple_of(count) {
            return Ok(());
        }
        let (expected, found) =
            (format!("whole sets of {count} params"), format!("{} numbers", points.len()));
        Err(Error::expected(ErrorKind::Spec, "points", expected, found))
    }

    /// Estimates the derivative of the batch's mean loss with respect to the params of the probed stages.
    ///
    /// # Errors
    /// As for [`Local::losses`]; [`ErrorKind::NonFinite`] if no sample has a finite loss; [`ErrorKind::Spec`] if the task has no losses of rows.
    pub fn derivative(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
    ) -> Result<Response> {
        let clean = self.clean(key, params, batch, plan.step)?;
        self.response(key, params, batch, plan, (&clean, true))
    }
}
