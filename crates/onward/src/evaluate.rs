//! Evaluators: who runs the probes. Here, this process's threads; fleets and GPUs are other implementations of the trait.

mod check;
mod coordinate;
mod members;
mod points;

pub(crate) use check::{MOST_MEMBERS, MOST_RANK, check_sigma};
pub use coordinate::{CoordinateCache, STATISTICS_ROWS};

use crate::dataset::{Dataset, Targets};
use crate::kernel::Precision;
use crate::model::{
    Act, Context, Member, Model, Norms, Outline, Statistics, TensorKeys, Trace, WeightSpace, Weights,
};
use crate::noise::RunKey;
use crate::objective::{Answers, Objective, PerSample};
use crate::params::Params;
use crate::space::{
    ActivationPlan, Choices, CoordinatePlan, Derivative, Focus, LayerPlan, LayerSpace, Probing, credit,
};
use crate::space::{derivative_by_output, derivative_by_sample_weights_of};
use crate::threads::Threads;
use crate::{Error, ErrorKind, Result};
use check::row_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The samples of one step.
pub struct Batch {
    /// The model's input.
    pub x: Act,
    /// What should be answered.
    pub targets: Targets,
}

impl Batch {
    /// The rows of `data` that `indices` name.
    pub fn select(data: &Dataset, indices: &[u32]) -> Self {
        let x = Act::new(indices.len(), data.shape(), data.features_of(indices));
        Self { x, targets: data.targets().select(indices) }
    }
}

/// What was spent, counted exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spent {
    /// Forward passes: evaluations of a whole batch or of a member's share of it, from any stage on.
    pub passes: u64,
    /// Samples that went through such passes.
    pub samples: u64,
    /// Floating-point operations of these passes.
    pub flops: u64,
    /// Losses that were not finite.
    pub non_finite: u64,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.passes += other.passes;
        self.samples += other.samples;
        self.flops += other.flops;
        self.non_finite += other.non_finite;
    }
}

/// Probes on the weights.
#[derive(Clone, Debug)]
pub struct WeightPlan {
    /// The step in the noise.
    pub step: u32,
    /// Where they act.
    pub space: WeightSpace,
    /// The size of the perturbation.
    pub sigma: f32,
    /// The members, in order.
    pub members: Vec<Member>,
    /// How many neighbouring members see the same samples (2 for antithetic pairs).
    pub together: usize,
    /// Samples of the batch that a member sees; 0 for all.
    pub share: usize,
}

impl WeightPlan {
    /// What running the plan on a batch of `rows` costs.
    pub fn cost(&self, model: &dyn Model, rows: usize) -> Spent {
        let samples = if self.share == 0 { rows } else { self.share };
        whole_passes(model, self.members.len() as u64, samples as u64)
    }
}

/// What passes of so many samples each through all stages cost.
pub(crate) fn whole_passes(model: &dyn Model, passes: u64, samples: u64) -> Spent {
    let samples = passes * samples;
    Spent { passes, samples, flops: samples * all_flops(model, 0), non_finite: 0 }
}

impl ActivationPlan {
    /// What running the plan on a batch of `rows` costs, the clean pass included.
    pub fn cost(&self, model: &dyn Model, rows: usize) -> Spent {
        let rows = rows as u64;
        let mut spent = Spent { passes: 1, samples: rows, flops: rows * all_flops(model, 0), non_finite: 0 };
        for layer in &self.layers {
            let passes = 2 * u64::from(layer.pairs);
            let first = layer.stage + usize::from(layer.space == LayerSpace::Activation);
            let last = layer.stage + 1 == model.stages();
            let samples = passes * if last { rows } else { self.focused(rows as usize) as u64 };
            spent += Spent { passes, samples, flops: samples * all_flops(model, first), non_finite: 0 };
        }
        spent
    }
}

/// Losses of the members of a [`WeightPlan`].
#[derive(Clone, Debug, PartialEq)]
pub struct MemberLosses {
    /// The mean loss of each member.
    pub losses: Vec<f32>,
    /// Losses that were not finite.
    pub non_finite: u64,
}

/// The outcome of an [`ActivationPlan`].
pub struct Response {
    /// The clean mean loss of the batch.
    pub loss: f32,
    /// The estimated derivative.
    pub derivative: Derivative,
    /// Losses that were not finite.
    pub non_finite: u64,
}

/// Runs probes. What it evaluates it was given when it was made; whose noise it adds is told with every call: `key` is the
/// run's, and the plan says which step's.
pub trait Evaluator: Sync {
    /// The model that it runs.
    fn model(&self) -> &dyn Model;

    /// The loss of every member.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if no member has a finite loss; [`ErrorKind::Spec`], [`ErrorKind::Model`] or
    /// [`ErrorKind::Data`] if plan, model, params and batch do not fit together, here as below.
    fn losses(&self, key: &RunKey, params: &Params, batch: &Batch, plan: &WeightPlan)
    -> Result<MemberLosses>;

    /// The loss at every one of `points`: one set of numbers after another, each for all tensors of `params` in order. A loss
    /// that is not finite is infinite.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if no point of the first generation has a finite loss.
    fn losses_at(&self, params: &Params, batch: &Batch, points: &[f64], step: u32) -> Result<MemberLosses>;

    /// The estimated derivative of the batch's mean loss by the params of the probed stages.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if no sample has a finite loss; [`ErrorKind::Model`] if a probed stage does not end with a
    /// linear map; [`ErrorKind::Spec`] if the objective has no per-sample losses.
    fn derivative(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
    ) -> Result<Response>;

    /// The visits of one step in coordinate space, on batches of `data`. What the cache holds changes no loss.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if a visit has no finite loss.
    fn choices(
        &self,
        key: &RunKey,
        params: &Params,
        data: &Dataset,
        plan: &CoordinatePlan,
        cache: &mut CoordinateCache,
    ) -> Result<Choices>;
}

/// What a dry run found, and with which shape of input.
type Known = Option<([usize; 3], Arc<Outline>)>;

/// Runs probes on threads that the caller started. The results are the same for any number of threads.
#[derive(Clone)]
pub struct Local {
    model: Arc<dyn Model>,
    objective: Objective,
    precision: Precision,
    threads: Threads,
    known: Arc<Mutex<Known>>,
}

impl Local {
    /// An evaluator of `model` and `objective` on `threads`, in single precision.
    pub fn new(model: Arc<dyn Model>, objective: Objective, threads: &Threads) -> Self {
        let threads = threads.clone();
        Self { model, objective, precision: Precision::F32, threads, known: Arc::default() }
    }

    /// The same evaluator with forward passes of another precision.
    #[must_use]
    pub fn with_precision(&self, precision: Precision) -> Self {
        Self { precision, ..self.clone() }
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

    /// The model's outputs on `x`, with normalisations as told.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if model, params, input and statistics do not fit together.
    pub fn outputs(&self, params: &Params, x: Act, norms: Norms<'_>) -> Result<Act> {
        self.fitting(params, &x)?.check_norms(norms)?;
        Ok(self.run(|| {
            let weights = Weights::new(params, self.precision);
            self.model.forward_from(0, &mut Context::clean(&weights, norms), x)
        }))
    }

    /// Statistics of all normalisations over the rows `x`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if model, params and input do not fit together.
    pub fn statistics(&self, params: &Params, x: Act) -> Result<Vec<Statistics>> {
        self.fitting(params, &x)?;
        Ok(self.run(|| {
            let weights = Weights::new(params, self.precision);
            let mut cx = Context::clean(&weights, Norms::Batch);
            cx.start_trace();
            let _ = self.model.forward_from(0, &mut cx, x);
            cx.take_trace().statistics
        }))
    }

    /// The mean loss of answering zero to the first rows of `data`; 0 if the objective has no per-sample losses.
    pub(crate) fn loss_of_zero(&self, data: &Dataset) -> f32 {
        let Objective::PerSample(objective) = &self.objective else { return 0.0 };
        let rows = data.rows().min(STATISTICS_ROWS);
        let width = self.model.width(self.model.stages() - 1);
        let (outputs, mut losses) = (Act::new(rows, [1, 1, width], vec![0.0; rows * width]), vec![0.0; rows]);
        objective.losses(&outputs, Answers { targets: data.targets(), first: 0, count: rows }, &mut losses);
        mean(&losses)
    }

    /// The mean loss of outputs that answer `targets` row by row.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if these are for other rows or cannot be answered by so many outputs.
    pub fn loss(&self, outputs: &Act, targets: &Targets) -> Result<f32> {
        self.check_targets(outputs.rows, outputs.width(), targets)?;
        Ok(self.mean_loss(outputs.clone(), targets, 0))
    }
}

/// The mean, summed in f64 in the order given.
pub(crate) fn mean(losses: &[f32]) -> f32 {
    (losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len().max(1) as f64) as f32
}

fn all_flops(model: &dyn Model, first: usize) -> u64 {
    (first..model.stages()).map(|s| model.flops(s)).sum()
}

impl Evaluator for Local {
    fn model(&self) -> &dyn Model {
        &*self.model
    }

    fn losses(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &WeightPlan,
    ) -> Result<MemberLosses> {
        plan.check(batch.x.rows)?;
        self.meets(params, batch)?;
        let mut losses = self.run(|| self.losses_here(key, params, batch, plan));
        let non_finite = worst_for_non_finite(&mut losses, plan.step)?;
        Ok(MemberLosses { losses, non_finite })
    }

    fn losses_at(&self, params: &Params, batch: &Batch, points: &[f64], step: u32) -> Result<MemberLosses> {
        self.meets(params, batch)?;
        let count = params.count();
        if points.is_empty() || !points.len().is_multiple_of(count) {
            let expected = format!("whole sets of {count} params");
            return Err(Error::expected(
                ErrorKind::Spec,
                "points",
                expected,
                format!("{} numbers", points.len()),
            ));
        }
        let losses = self.losses_at_points(params, batch, points);
        let non_finite = losses.iter().filter(|l| l.is_infinite()).count() as u64;
        if step == 0 && non_finite == losses.len() as u64 {
            return Err(nothing_finite(step, &losses));
        }
        Ok(MemberLosses { losses, non_finite })
    }

    fn derivative(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
    ) -> Result<Response> {
        let Objective::PerSample(objective) = &self.objective else {
            let found = "one that only a whole batch has: use a weight-space method";
            return Err(Error::expected(
                ErrorKind::Spec,
                "objective",
                "a loss per sample for activation-space probes",
                found,
            ));
        };
        plan.check(&*self.model, batch.x.rows)?;
        self.meets(params, batch)?;
        self.run(|| self.derivative_here(key, params, batch, plan, &**objective))
    }

    fn choices(
        &self,
        key: &RunKey,
        params: &Params,
        data: &Dataset,
        plan: &CoordinatePlan,
        cache: &mut CoordinateCache,
    ) -> Result<Choices> {
        let outline = self.fitting(params, &row_of(data))?;
        plan.check(&outline)?;
        self.run(|| self.choices_here(key, params, data, plan, cache))
    }
}

impl Local {
    fn derivative_here(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
        objective: &dyn PerSample,
    ) -> Result<Response> {
        let weights = Weights::new(params, self.precision);
        let mut cx = Context::clean(&weights, Norms::Batch);
        let (mut flows, mut traces) = (vec![batch.x.clone()], Vec::new());
        for stage in 0..self.model.stages() {
            cx.start_trace();
            flows.push(self.model.stage(stage, &mut cx, flows[stage].clone().entering()));
            let mut trace = cx.take_trace();
            trace.silence_overflow();
            traces.push(trace);
        }
        let statistics: Vec<Statistics> = traces.iter().flat_map(|t| t.statistics.iter().cloned()).collect();
        let rows = batch.x.rows;
        let mut losses = vec![0.0; rows];
        let outputs = &flows[self.model.stages()];
        objective.losses(outputs, Answers { targets: &batch.targets, first: 0, count: rows }, &mut losses);
        let lost = worst_for_non_finite(&mut losses, plan.step)?;
        let non_finite = AtomicU64::new(lost);
        let probing = Probing {
            model: &*self.model,
            weights: &weights,
            objective,
            targets: &batch.targets,
            statistics: &statistics,
            key,
            keys: &TensorKeys::of(key, params),
            non_finite: &non_finite,
        };
        let mut derivative: Derivative = vec![None; params.tensors().len()];
        let mut focused: Option<Focused> = None;
        // The last stage comes first: what it answers with tells which samples the others are probed with.
        for layer in plan.layers.iter().rev() {
            let (trace, z) = (&traces[layer.stage], &flows[layer.stage + 1]);
            check_linear(layer, trace, z, params)?;
            let widest = flows[layer.stage + 1..].iter().map(Act::width).max().unwrap_or(1);
            match layer.space {
                LayerSpace::Activation => {
                    let g = match &focused {
                        Some(f) => f.derivative(&probing, plan, layer, z, widest),
                        None => derivative_by_output(&probing, plan, layer, z, widest),
                    };
                    if focused.is_none() && plan.focused(rows) < rows {
                        let chosen = Focus::choose(&g, z.width(), plan.focused(rows), key, plan.step);
                        focused = Some(Focused { targets: batch.targets.select(&chosen.rows), chosen });
                    }
                    credit(params, trace, z, &g, &mut derivative);
                }
                LayerSpace::LowRank => {
                    let x = &flows[layer.stage];
                    derivative_by_sample_weights_of(
                        &probing,
                        plan,
                        layer,
                        x,
                        widest.max(x.width()),
                        trace,
                        &mut derivative,
                    );
                }
            }
        }
        Ok(Response { loss: mean(&losses), derivative, non_finite: non_finite.load(Ordering::Relaxed) })
    }
}

/// That a stage's output is a linear function of all that its params touch: else their derivatives are not what is credited.
fn check_linear(layer: &LayerPlan, trace: &Trace, z: &Act, params: &Params) -> Result<()> {
    let hidden = (0..trace.links.len()).find(|link| !z.links.contains(link));
    let found = match hidden {
        _ if z.links.is_empty() => "something else".to_owned(),
        // Noise on weights needs no linear map.
        Some(link) if layer.space == LayerSpace::Activation => {
            let name = &params.tensors()[trace.links[link].weight].name;
            format!("one that {name} reaches through something else")
        }
        _ => return Ok(()),
    };
    let expected = "an output that linear maps alone gave (begin the next stage with the non-linearity)";
    Err(Error::expected(ErrorKind::Model, format!("stage {}", layer.stage), expected, found))
}

/// The samples that a step's earlier stages are probed with.
struct Focused {
    chosen: Focus,
    targets: Targets,
}

impl Focused {
    /// `ĝ (rows, width)` from the chosen samples; zero for the others.
    fn derivative(
        &self,
        probing: &Probing<'_>,
        plan: &ActivationPlan,
        layer: &LayerPlan,
        z: &Act,
        widest: usize,
    ) -> Vec<f32> {
        let probing = Probing { targets: &self.targets, ..*probing };
        let part = derivative_by_output(&probing, plan, layer, &z.select(&self.chosen.rows), widest);
        let mut g = vec![0.0; z.data.len()];
        let chosen = self.chosen.rows.iter().zip(&self.chosen.weights);
        for ((row, weight), part) in chosen.zip(part.chunks_exact(z.width())) {
            let own = &mut g[*row as usize * z.width()..][..z.width()];
            own.iter_mut().zip(part).for_each(|(g, p)| *g = weight * p);
        }
        g
    }
}

fn nothing_finite(step: u32, losses: &[f32]) -> Error {
    let found = losses.first().map_or_else(|| "none".to_owned(), f32::to_string);
    let place = format!("objective at step {step}");
    Error::expected(ErrorKind::NonFinite, place, "at least one finite loss", found)
}

/// No loss of a visit was finite.
fn worst(cycle: u32) -> Error {
    let place = format!("objective in cycle {cycle}");
    Error::expected(ErrorKind::NonFinite, place, "at least one finite loss in each visit", "none")
}

/// Puts the worst finite loss where one is not finite, and counts these.
fn worst_for_non_finite(losses: &mut [f32], step: u32) -> Result<u64> {
    let worst = losses.iter().copied().filter(|l| l.is_finite()).reduce(f32::max);
    let Some(worst) = worst else {
        return Err(nothing_finite(step, losses));
    };
    let mut count = 0;
    for loss in losses {
        if !loss.is_finite() {
            *loss = worst;
            count += 1;
        }
    }
    Ok(count)
}
