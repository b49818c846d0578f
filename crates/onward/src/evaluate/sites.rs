//! The estimated derivative at the sites of stages, credited to their params.

use super::{Batch, Local};
use crate::ask::Response;
use crate::model::{Context, Cut, Flow, Graph, Norms, Packing, Statistics, TensorKeys, Trace, Weights};
use crate::noise::RunKey;
use crate::params::Params;
use crate::rule::worst_for_non_finite;
use crate::space::{
    ActivationPlan, Credit, Derivative, Focus, LayerPlan, LayerSpace, Probing, Streams, Stretch,
    derivative_by_output, derivative_by_responses,
};
use crate::task::{Grain, Task, Wanted, mean};
use crate::{Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A clean pass over a batch, or over some of its rows: what all probes of a step start from.
pub(super) struct Clean {
    graph: Arc<Graph>,
    flow: Flow,
    trace: Trace,
    packing: Packing,
    losses: Vec<f32>,
}

impl Local {
    /// The task, which has losses of rows.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if it has none.
    pub(crate) fn task_of_rows(&self) -> Result<&dyn Task> {
        if self.task.grain() == Grain::Batch {
            let expected = "a task with losses of rows, as probes act on activations";
            let found = "one that only a whole batch has: use a weight-space method";
            return Err(Error::expected(ErrorKind::Spec, "objective", expected, found));
        }
        Ok(&*self.task)
    }

    /// A clean pass over `batch` at a step.
    pub(super) fn clean(&self, key: &RunKey, params: &Params, batch: &Batch, step: u32) -> Result<Clean> {
        let task = self.task_of_rows()?;
        let graph = self.meets(params, batch)?;
        self.run(|| {
            let weights = self.packed(params);
            let mut cx = Context::clean(&weights, Norms::Batch).with_buffers(self.buffers.clone());
            cx = cx.with_chance(batch.chance(key, step));
            cx.start_trace();
            let flow = graph.flow(&mut cx, batch.x.clone());
            let mut trace = cx.take_trace();
            trace.silence_overflow();
            let mut losses = vec![0.0; batch.x.rows];
            task.of_rows(&flow.outputs, batch.answers(), &mut losses)?;
            Ok(Clean { graph, flow, trace, packing: weights.packing(), losses })
        })
    }

    /// What the probes of `plan` find around a clean pass over `batch`; `tells` says whether this is the question that the pass is counted with.
    pub(super) fn response(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
        (clean, tells): (&Clean, bool),
    ) -> Result<Response> {
        plan.check(&clean.graph, batch.x.rows)?;
        let mut sums = Sums::new(plan);
        self.run(|| {
            self.add_response(&mut sums, (key, params), batch, plan, clean, Stretch::all(batch.x.rows))?;
            sums.response((key, params, &clean.graph), plan, tells)
        })
    }

    /// What the probes of `plan` find around clean passes over pieces of a batch of so many rows of a shape, which `read` gives by their places: the
    /// bits are those of all rows at once.
    pub(super) fn response_of_pieces(
        &self,
        (key, params): (&RunKey, &Params),
        (shape, rows, piece): ([usize; 3], usize, usize),
        plan: &ActivationPlan,
        tells: bool,
        mut read: impl FnMut(Range<usize>) -> Result<Batch>,
    ) -> Result<Response> {
        let graph = self.graph(shape)?;
        plan.check(&graph, rows)?;
        let mut sums = Sums::new(plan);
        for at in Stretch::pieces(&graph, rows, piece) {
            let batch = read(at.first..at.first + at.rows)?;
            let clean = self.clean(key, params, &batch, plan.step)?;
            self.run(|| self.add_response(&mut sums, (key, params), &batch, plan, &clean, at))?;
        }
        self.run(|| sums.response((key, params, &graph), plan, tells))
    }

    /// Adds what the probes find on some rows of a batch.
    fn add_response(
        &self,
        sums: &mut Sums,
        (key, params): (&RunKey, &Params),
        batch: &Batch,
        plan: &ActivationPlan,
        clean: &Clean,
        at: Stretch,
    ) -> Result<()> {
        let Clean { graph, flow, trace, packing, losses } = clean;
        let weights = Weights::with(params, packing);
        let statistics: &[Statistics] = &trace.statistics;
        let probing = Probing {
            graph,
            one_by_one: false,
            weights: &weights,
            task: self.task_of_rows()?,
            answers: batch.answers(),
            clean: losses,
            before: at.first,
            of: at.of,
            statistics,
            key,
            keys: &TensorKeys::of_trained(key, params, graph),
            non_finite: &sums.non_finite,
            buffer_pools: &self.buffer_pools,
        };
        let focused = plan.focus.as_ref().map(|chosen| Focused::among(chosen, at, batch, losses));
        let layers = plan.layers.iter().rev().zip(&mut sums.layers).zip(&mut sums.costs);
        for (place, ((layer, found), costs)) in layers.enumerate() {
            let widest = (layer.stage..graph.stages()).map(|s| graph.width(s)).max().unwrap_or(1);
            match found {
                Found::Activation(earned) => {
                    let pass = graph.cut(flow, layer.stage);
                    let (g, own) = match &focused {
                        Some(f) => f.derivative(&probing, plan, layer, &pass, widest),
                        None => derivative_by_output(&probing, plan, layer, &pass, widest),
                    };
                    costs.extend(own);
                    if plan.norms && place == 0 {
                        sums.norms.extend(g.chunks_exact(pass.site.width()).map(norm));
                    }
                    earned.add(graph, layer.stage, params, trace, &g, at);
                }
                Found::LowRank(responses) => {
                    let (pass, before) =
                        (graph.cut_with_own(flow, layer.stage), graph.width_before(layer.stage));
                    let widest = widest.max(before);
                    let (found, own) = probing.responses_to_own_weights(plan, layer, &pass, widest);
                    responses.extend(found);
                    costs.extend(own);
                }
            }
        }
        sums.losses.extend(losses);
        Ok(())
    }
}

/// What the probes of a question found so far, on the rows of a batch from the first on.
struct Sums {
    losses: Vec<f32>,
    /// Of the plan's layers, the last one first.
    layers: Vec<Found>,
    /// What a pair of probes of each of these costs, row by row.
    costs: Vec<Vec<f64>>,
    norms: Vec<f64>,
    non_finite: AtomicU64,
}

/// What the probes of a layer found.
enum Found {
    /// What its maps earned.
    Activation(Credit),
    /// The responses of rows and pairs.
    LowRank(Vec<f32>),
}

impl Sums {
    fn new(plan: &ActivationPlan) -> Self {
        let of = |layer: &LayerPlan| match layer.space {
            LayerSpace::Activation => Found::Activation(Credit::default()),
            LayerSpace::LowRank => Found::LowRank(Vec::new()),
        };
        let (layers, costs) =
            (plan.layers.iter().rev().map(of).collect(), vec![Vec::new(); plan.layers.len()]);
        Self { losses: Vec::new(), layers, costs, norms: Vec::new(), non_finite: AtomicU64::default() }
    }

    /// What the whole batch tells.
    fn response(
        mut self,
        (key, params, graph): (&RunKey, &Params, &Graph),
        plan: &ActivationPlan,
        tells: bool,
    ) -> Result<Response> {
        let rows = self.losses.len();
        let lost = worst_for_non_finite(&mut self.losses, u64::from(plan.step))?;
        let mut derivative: Derivative = vec![None; params.tensors().len()];
        let keys = TensorKeys::of_trained(key, params, graph);
        for (layer, found) in plan.layers.iter().rev().zip(self.layers) {
            match found {
                Found::Activation(earned) => earned.give(graph, layer.stage, &mut derivative),
                Found::LowRank(all) => {
                    let of = (graph, params, &*keys);
                    derivative_by_responses(of, plan, layer, (rows, &all), &mut derivative);
                }
            }
        }
        let found = self.non_finite.into_inner();
        let non_finite = if tells { found + lost } else { found };
        Ok(Response {
            loss: mean(&self.losses),
            derivative,
            norms: self.norms,
            // The rows one after the other, in their order.
            costs: self.costs.iter().rev().map(|of| of.iter().sum::<f64>() / rows.max(1) as f64).collect(),
            non_finite,
            saturated: 0,
            streams: Streams::default(),
        })
    }
}

fn norm(g: &[f32]) -> f64 {
    g.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt()
}

/// The samples that are probed.
struct Focused<'a> {
    /// Their places among the rows at hand.
    rows: Vec<u32>,
    weights: &'a [f32],
    /// Their losses without noise.
    clean: Vec<f32>,
    /// How many are probed of the rows before these.
    before: usize,
    wanted: Wanted,
}

impl<'a> Focused<'a> {
    /// Those among some rows of a batch.
    fn among(chosen: &'a Focus, at: Stretch, batch: &Batch, losses: &[f32]) -> Self {
        let up_to = |row: usize| chosen.rows.partition_point(|own| (*own as usize) < row);
        let (before, end) = (up_to(at.first), up_to(at.first + at.rows));
        let rows: Vec<u32> = chosen.rows[before..end].iter().map(|row| row - at.first as u32).collect();
        let wanted = batch.answers().select(&rows);
        let clean = rows.iter().map(|row| losses[*row as usize]).collect();
        Self { rows, weights: &chosen.weights[before..end], clean, before, wanted }
    }

    /// `ĝ (rows, width)` and the costs from the chosen samples, weighted; zero for the others.
    fn derivative(
        &self,
        probing: &Probing<'_>,
        plan: &ActivationPlan,
        layer: &LayerPlan,
        pass: &Cut,
        widest: usize,
    ) -> (Vec<f32>, Vec<f64>) {
        let z = &pass.site;
        let (mut g, mut costs) = (vec![0.0; z.data.len()], vec![0.0; z.rows]);
        if self.rows.is_empty() {
            return (g, costs);
        }
        let probing =
            Probing { answers: self.wanted.answers(), clean: &self.clean, before: self.before, ..*probing };
        let (part, found) = derivative_by_output(&probing, plan, layer, &pass.select(&self.rows), widest);
        for ((row, weight), cost) in self.rows.iter().zip(self.weights).zip(found) {
            costs[*row as usize] = f64::from(*weight) * cost;
        }
        let chosen = self.rows.iter().zip(self.weights);
        for ((row, weight), part) in chosen.zip(part.chunks_exact(z.width())) {
            let own = &mut g[*row as usize * z.width()..][..z.width()];
            own.iter_mut().zip(part).for_each(|(g, p)| *g = weight * p);
        }
        (g, costs)
    }
}
