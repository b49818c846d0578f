//! Visits to one number after the other (coordinate space). What enters a stage is kept for all training rows, so that a visit
//! runs from there on; and where the model is a chain of layers ([`Graph::chain`]), one number changes one channel:
//! that channel alone is worked out again, with its share of the next layer's sums, and everything from there on.
//!
//! Each loss is a fixed function of params, rows and the visited number, whatever was kept: a sum that is cut in two is cut at
//! the same place when it is worked out whole ([`Recompute::Dense`]), so the two ways agree to the bit.

mod general;
mod layer;
mod slice;
mod visit;
mod work;

use super::{Local, worst};
use crate::dataset::Dataset;
use crate::kernel::Precision;
use crate::model::{Act, Graph, Norms};
use crate::noise::{Role, RunKey};
use crate::params::Params;
use crate::rule::Acceptance;
use crate::space::{Choices, CoordinatePlan, changes, moved};
use crate::task::{Answers, Grain, Wanted};
use crate::threads;
use crate::{Error, ErrorKind, Result};
use general::General;
use layer::{Layer, layers};
use slice::Slice;
use visit::{Buffers, Part, StepTerms, Visits};
use work::Workers;

/// What the visits to a stage share: made from the params when the stage's turn comes, and dropped after it.
#[derive(Default)]
pub struct CoordinateCache {
    chain: Option<Chain>,
    held: Option<Held>,
}

struct Chain {
    layers: Vec<Layer>,
    workers: Workers,
    buffers: Buffers,
}

struct Held {
    stage: usize,
    cycle: u32,
    /// Visits so far: a step that does not follow them finds nothing here.
    visits: usize,
    batches: Batches,
}

enum Batches {
    Chain(Vec<Slice>),
    General(General),
}

impl Local {
    /// The visits of one step.
    pub(super) fn choices_here(
        &self,
        graph: &Graph,
        key: &RunKey,
        params: &Params,
        data: &Dataset,
        plan: &CoordinatePlan,
        cache: &mut CoordinateCache,
    ) -> Result<Choices> {
        self.hold(graph, key, params, data, plan, cache)?;
        let tensor = &params.tensors()[plan.tensor];
        let changes = changes(key, &tensor.name, plan.cycle, plan.elements.clone(), plan.sigma);
        let mut step = Step { local: self, graph, plan, working: params.clone(), terms: None, non_finite: 0 };
        let mut choices = vec![0i8; plan.elements.len()];
        let mut acceptance = Acceptance::new();
        for (visit, element) in order(&tensor.shape, plan).into_iter().enumerate() {
            let held = visit > 0 && !(plan.before + visit).is_multiple_of(plan.hold);
            let w = step.working.tensors()[plan.tensor].data[element];
            let change = changes[element - plan.elements.start];
            let options = Acceptance::options(held);
            let values: Vec<f32> = options.iter().map(|c| moved(w, plan.keep, change, *c)).collect();
            step.set(element, moved(w, plan.keep, change, 0));
            let losses = step.losses(cache, plan.before + visit, element, &values)?;
            let choice = acceptance.choose(held, &losses);
            step.set(element, moved(w, plan.keep, change, choice));
            choices[element - plan.elements.start] = choice;
        }
        if let Some(held) = &mut cache.held {
            held.visits += choices.len();
        }
        let loss = acceptance.loss();
        if !loss.is_finite() {
            return Err(worst(plan.cycle));
        }
        Ok(Choices { choices, loss, non_finite: step.non_finite })
    }

    /// Has the cache hold what this step needs.
    fn hold(
        &self,
        graph: &Graph,
        key: &RunKey,
        params: &Params,
        data: &Dataset,
        plan: &CoordinatePlan,
        cache: &mut CoordinateCache,
    ) -> Result<()> {
        let follows = |h: &Held| (h.stage, h.cycle, h.visits) == (plan.stage, plan.cycle, plan.before);
        if cache.held.as_ref().is_some_and(follows) {
            return Ok(());
        }
        self.check_data(data)?;
        cache.held = None;
        if cache.chain.is_none() && self.precision == Precision::F32 {
            let layers = layers(graph, params, data.shape());
            cache.chain = layers.map(|layers| {
                let workers = Workers::new(&layers, threads::here());
                Chain { layers, workers, buffers: Buffers::default() }
            });
        }
        // What enters the first stage has met no normalisation.
        let statistics = if plan.stage == 0 { Vec::new() } else { self.statistics_of(params, data)? };
        let order = shuffled(key, data.rows(), plan);
        let size = plan.batch.min(data.rows());
        let batches = order.chunks_exact(size);
        let batches = if let Some(Chain { layers, workers, .. }) = &cache.chain {
            let one = |rows| Slice::new(layers, workers, params, &statistics, data, rows, plan.stage);
            Batches::Chain(batches.map(one).collect())
        } else {
            let norms = Norms::Fixed(&statistics);
            Batches::General(General::new(self, graph, params, norms, data, batches, (key, plan)))
        };
        cache.held = Some(Held { stage: plan.stage, cycle: plan.cycle, visits: plan.before, batches });
        Ok(())
    }

    /// The loss of each world, summed over the batch's rows; what is not known is not finite. `outputs` are `[world][row]`.
    fn world_losses(&self, outputs: &Act, answers: Answers<'_>) -> Vec<f64> {
        let rows = answers.count;
        let one = |world: usize| {
            let own = outputs.slice(world * rows, (world + 1) * rows);
            if self.task.grain() == Grain::Batch {
                return self.known_loss(&own, answers).map_or(f64::NAN, f64::from) * rows as f64;
            }
            let mut losses = vec![0.0; rows];
            let known = self.task.of_rows(&own, answers, &mut losses);
            known.map_or(f64::NAN, |()| losses.iter().map(|l| f64::from(*l)).sum())
        };
        (0..outputs.rows / rows).map(one).collect()
    }
}

/// All rows in the stage's order of this cycle.
fn shuffled(key: &RunKey, rows: usize, plan: &CoordinatePlan) -> Vec<u32> {
    let name = format!("stage {}", plan.stage);
    key.tensor(Role::Shuffle, &name).at(plan.cycle, 0).permutation(rows)
}

/// The elements of a step in the order of visits: of a convolution, input channels before the kernel's rows and columns.
fn order(shape: &[usize], plan: &CoordinatePlan) -> Vec<usize> {
    let first = plan.elements.start;
    match shape {
        [_, 3, 3, channels] => {
            let row = first - first % (9 * channels);
            let all = (0..*channels).flat_map(|i| (0..9).map(move |tap| row + tap * channels + i));
            all.filter(|element| plan.elements.contains(element)).collect()
        }
        _ => plan.elements.clone().collect(),
    }
}

/// The visits of a step on their way.
struct Step<'a> {
    local: &'a Local,
    graph: &'a Graph,
    plan: &'a CoordinatePlan,
    /// The params as the visits have left them; those of the run change when the step is applied.
    working: Params,
    /// Terms packed for visits to a channel.
    terms: Option<(usize, StepTerms)>,
    non_finite: u64,
}

impl Step<'_> {
    fn set(&mut self, element: usize, value: f32) {
        self.working.data_mut(self.plan.tensor)[element] = value;
    }

    /// The mean loss of the visit's batch for each value of the element; one that is not finite is the worst.
    fn losses(
        &mut self,
        cache: &mut CoordinateCache,
        visit: usize,
        element: usize,
        values: &[f32],
    ) -> Result<Vec<f64>> {
        let batch = visit / self.plan.hold;
        let (outputs, wanted, rows) = match (&mut cache.chain, &mut cache.held) {
            (Some(chain), Some(Held { batches: Batches::Chain(slices), .. })) => {
                let count = slices.len();
                self.chain_outputs(chain, slices, batch % count, visit == self.plan.before, element, values)
            }
            (_, Some(Held { batches: Batches::General(general), .. })) => {
                general.outputs(self.local, self.graph, &self.working, self.plan, [batch, element], values)
            }
            _ => return Err(Error::new(ErrorKind::Spec, "no batches are held")),
        };
        let mut losses = self.local.world_losses(&outputs, wanted.answers());
        for loss in &mut losses {
            *loss /= rows as f64;
            if !loss.is_finite() {
                *loss = f64::INFINITY;
                self.non_finite += rows as u64;
            }
        }
        Ok(losses)
    }

    fn chain_outputs(
        &mut self,
        chain: &mut Chain,
        slices: &mut [Slice],
        batch: usize,
        first: bool,
        element: usize,
        values: &[f32],
    ) -> (Act, Wanted, usize) {
        let plan = self.plan;
        let layer = &chain.layers[plan.stage];
        let (channel, part) = place(layer, plan.tensor, element);
        if first {
            // What the step before has moved.
            slices.iter_mut().for_each(|s| s.rest_without = None);
        }
        if matches!(part, Part::Weight { .. } | Part::Bias) {
            slices.iter_mut().for_each(|s| s.fresh[channel] = false);
        }
        let terms = match self.terms.take() {
            Some((c, terms)) if c == channel => terms,
            _ => StepTerms::new(&chain.layers, &self.working, plan.stage, channel),
        };
        let at = [plan.stage, channel];
        let visits = Visits::new(&chain.layers, &chain.workers, &self.working, at, plan.recompute, terms);
        // What is not used again before a channel's visits end is not worth keeping for each batch.
        let shared = layer.taps * layer.input[2] <= slices.len();
        let slice = &mut slices[batch];
        if shared {
            chain.buffers.lend(slice);
        }
        let width = chain.layers.last().map_or(0, |l| l.outputs);
        let outputs = visits.outputs(slice, part, values, &mut chain.buffers).rows(slice.rows, width);
        if shared {
            chain.buffers.take_back(slice);
        }
        let outputs = Act::new(values.len() * slice.rows, [1, 1, width], outputs);
        self.terms = Some((channel, visits.into_terms()));
        (outputs, slice.wanted.clone(), slice.rows)
    }
}

/// The channel of a layer's output that an element of a tensor belongs to, and what it is there.
fn place(layer: &Layer, tensor: usize, element: usize) -> (usize, Part) {
    match layer.norm {
        Some([scale, _]) if scale == tensor => (element, Part::Scale),
        Some([_, shift]) if shift == tensor => (element, Part::Shift),
        _ if layer.bias == Some(tensor) => (element, Part::Bias),
        _ => {
            let (channels, taps) = (layer.input[2], layer.taps);
            let (inside, output) = (element % (channels * taps), element / (channels * taps));
            (output, Part::Weight { input: inside % channels, tap: inside / channels })
        }
    }
}
