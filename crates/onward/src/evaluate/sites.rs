//! The estimated derivative at the sites of stages, credited to their params.

use super::{Batch, Local};
use crate::ask::Response;
use crate::model::{Context, Cut, Flow, Graph, Norms, Packing, Statistics, TensorKeys, Trace, Weights};
use crate::noise::RunKey;
use crate::params::Params;
use crate::rule::worst_for_non_finite;
use crate::space::{
    ActivationPlan, Derivative, Focus, LayerPlan, LayerSpace, Probing, credit, derivative_by_output,
    derivative_by_sample_weights_of,
};
use crate::task::{Grain, Task, Wanted, mean};
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clean pass over a batch: what all probes of a step start from.
pub(super) struct Clean {
    graph: Arc<Graph>,
    flow: Flow,
    trace: Trace,
    packing: Packing,
    loss: f32,
    /// Losses that were not finite.
    lost: u64,
}

impl Clean {
    /// The same for a further question of the step: its losses are counted.
    pub fn told(self) -> Self {
        Self { lost: 0, ..self }
    }
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

    /// The clean pass that `plan` needs.
    pub(super) fn clean(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
    ) -> Result<Clean> {
        let task = self.task_of_rows()?;
        let graph = self.meets(params, batch)?;
        plan.check(&graph, batch.x.rows)?;
        self.run(|| {
            let weights = self.packed(params);
            let mut cx = Context::clean(&weights, Norms::Batch).with_home(self.home.clone());
            cx = cx.with_chance(batch.chance(key, plan.step));
            cx.start_trace();
            let flow = graph.flow(&mut cx, batch.x.clone());
            let mut trace = cx.take_trace();
            trace.silence_overflow();
            let rows = batch.x.rows;
            let mut losses = vec![0.0; rows];
            task.of_rows(&flow.outputs, batch.answers(), &mut losses)?;
            let lost = worst_for_non_finite(&mut losses, u64::from(plan.step))?;
            Ok(Clean { graph, flow, trace, packing: weights.packing(), loss: mean(&losses), lost })
        })
    }

    /// What the probes of `plan` find around a clean pass over `batch`.
    pub(super) fn response(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
        clean: &Clean,
    ) -> Result<Response> {
        let task = self.task_of_rows()?;
        plan.check(&clean.graph, batch.x.rows)?;
        self.run(|| self.response_here(key, params, batch, plan, clean, task))
    }

    fn response_here(
        &self,
        key: &RunKey,
        params: &Params,
        batch: &Batch,
        plan: &ActivationPlan,
        clean: &Clean,
        task: &dyn Task,
    ) -> Result<Response> {
        let Clean { graph, flow, trace, packing, loss, lost } = clean;
        let weights = Weights::with(params, packing);
        let statistics: &[Statistics] = &trace.statistics;
        let non_finite = AtomicU64::new(*lost);
        let probing = Probing {
            graph,
            one_by_one: false,
            weights: &weights,
            task,
            answers: batch.answers(),
            statistics,
            key,
            keys: &TensorKeys::of_trained(key, params, graph),
            non_finite: &non_finite,
            homes: &self.homes,
        };
        let focused = plan
            .focus
            .as_ref()
            .map(|chosen| Focused { chosen, wanted: batch.answers().select(&chosen.rows) });
        let mut derivative: Derivative = vec![None; params.tensors().len()];
        let mut norms = Vec::new();
        for (place, layer) in plan.layers.iter().rev().enumerate() {
            let widest = (layer.stage..graph.stages()).map(|s| graph.width(s)).max().unwrap_or(1);
            match layer.space {
                LayerSpace::Activation => {
                    let pass = graph.cut(flow, layer.stage);
                    let g = match &focused {
                        Some(f) => f.derivative(&probing, plan, layer, &pass, widest),
                        None => derivative_by_output(&probing, plan, layer, &pass, widest),
                    };
                    if plan.norms && place == 0 {
                        norms = g.chunks_exact(pass.site.width()).map(norm).collect();
                    }
                    credit(graph, layer.stage, params, trace, &g, &mut derivative);
                }
                LayerSpace::LowRank => {
                    let (pass, before) =
                        (graph.cut_with_own(flow, layer.stage), graph.width_before(layer.stage));
                    let widest = widest.max(before);
                    derivative_by_sample_weights_of(&probing, plan, layer, &pass, widest, &mut derivative);
                }
            }
        }
        Ok(Response { loss: *loss, derivative, norms, non_finite: non_finite.load(Ordering::Relaxed) })
    }
}

fn norm(g: &[f32]) -> f64 {
    g.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt()
}

/// The samples that are probed.
struct Focused<'a> {
    chosen: &'a Focus,
    wanted: Wanted,
}

impl Focused<'_> {
    /// `ĝ (rows, width)` from the chosen samples; zero for the others.
    fn derivative(
        &self,
        probing: &Probing<'_>,
        plan: &ActivationPlan,
        layer: &LayerPlan,
        pass: &Cut,
        widest: usize,
    ) -> Vec<f32> {
        let probing = Probing { answers: self.wanted.answers(), ..*probing };
        let part = derivative_by_output(&probing, plan, layer, &pass.select(&self.chosen.rows), widest);
        let z = &pass.site;
        let mut g = vec![0.0; z.data.len()];
        let chosen = self.chosen.rows.iter().zip(&self.chosen.weights);
        for ((row, weight), part) in chosen.zip(part.chunks_exact(z.width())) {
            let own = &mut g[*row as usize * z.width()..][..z.width()];
            own.iter_mut().zip(part).for_each(|(g, p)| *g = weight * p);
        }
        g
    }
}
