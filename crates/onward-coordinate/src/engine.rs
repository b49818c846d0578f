//! Visits to one number after the other (coordinate space). What enters a stage is kept for all training rows, so that a visit
//! runs from there on; and where the model is a chain of layers, one number changes one channel:
//! that channel alone is worked out again, with its share of the next layer's sums, and everything from there on.
//!
//! Each loss is a fixed function of params, rows and the visited number, whatever was kept: a sum that is cut in two is cut at
//! the same place when it is worked out whole ([`Recompute::Dense`]), so the two ways agree to the bit.

use crate::Recompute;
use crate::check::check;
use crate::general::General;
use crate::layer::{Layer, layers};
use crate::slice::Slice;
use crate::visit::{Buffers, Part, StepTerms, Visits};
use crate::work::Workers;
use onward::ask::Augment;
use onward::dataset::Dataset;
use onward::evaluate::{Batch, Local, STATISTICS_ROWS};
use onward::kernel::Precision;
use onward::model::{Act, Graph, Norms, Statistics};
use onward::noise::{Role, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rows::Source;
use onward::space::{Acceptance, Choices, CoordinatePlan, changes, moved};
use onward::task::Wanted;
use onward::task::{Answers, Grain};
use onward::{Error, ErrorKind, Result};

/// Finds the choices of visits for one run: it keeps what the visits to a stage share, made from the params when the stage's turn
/// comes and dropped after it.
pub struct Engine {
    local: Local,
    recompute: Recompute,
    augment: Augment,
    cache: Cache,
}

#[derive(Default)]
struct Cache {
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

impl Engine {
    /// An engine with the model, task, precision and threads of `local`.
    pub fn new(local: Local) -> Self {
        Self { local, recompute: Recompute::Changed, augment: Augment::NONE, cache: Cache::default() }
    }

    /// Changes images as `augment` says, anew in each cycle: its number is the step of their noise.
    #[must_use]
    pub fn with_augment(self, augment: Augment) -> Self {
        Self { augment, ..self }
    }

    /// Chooses how losses are computed, to the same bits.
    #[must_use]
    pub fn with_recompute(self, recompute: Recompute) -> Self {
        Self { recompute, ..self }
    }

    /// Finds the choices of one step's visits on batches of `data`: every element's change is added, subtracted or dropped, each visit
    /// seeing what those before it left. Steps of one run in their order share what enters a stage; any other step finds it anew, to
    /// the same bits.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`], [`ErrorKind::Model`] or [`ErrorKind::Data`] if plan, model, params and data do not fit together;
    /// [`ErrorKind::NonFinite`] if a visit has no finite loss.
    pub fn choices(
        &mut self,
        key: &RunKey,
        params: &Params,
        data: &Dataset,
        plan: &CoordinatePlan,
    ) -> Result<Choices> {
        let Self { local, recompute, augment, cache } = self;
        let graph = local.graph(data.shape())?;
        graph.check_params(params)?;
        check(plan, &graph)?;
        let asked = Asked { local, recompute: *recompute, augment: *augment, graph: &graph, key, plan };
        local.run(|| asked.choices(params, data, cache))
    }
}

/// The question of one step, and what answers it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    local: &'a Local,
    recompute: Recompute,
    augment: Augment,
    graph: &'a Graph,
    key: &'a RunKey,
    plan: &'a CoordinatePlan,
}

impl Asked<'_> {
    fn choices(&self, params: &Params, data: &Dataset, cache: &mut Cache) -> Result<Choices> {
        let ready = params.tensors().iter().all(|t| t.data.as_floats().is_some());
        let wide = (!ready).then(|| params.clone().stored_as(Storage::F32));
        let params = wide.as_ref().unwrap_or(params);
        self.hold(params, data, cache)?;
        let (plan, tensor) = (self.plan, &params.tensors()[self.plan.tensor]);
        let changes = changes(self.key, &tensor.name, plan.cycle, plan.elements.clone(), plan.sigma);
        let mut step = Step { asked: self, working: params.tensors().to_vec(), terms: None, non_finite: 0 };
        let mut choices = vec![0i8; plan.elements.len()];
        let mut acceptance = Acceptance::default();
        for (visit, element) in order(&tensor.shape, plan).into_iter().enumerate() {
            let held = visit > 0 && !(plan.before + visit).is_multiple_of(plan.hold);
            let w = step.working[plan.tensor].data.at(element);
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
            let place = format!("objective in cycle {}", plan.cycle);
            let expected = "at least one finite loss in each visit";
            return Err(Error::expected(ErrorKind::NonFinite, place, expected, "none"));
        }
        Ok(Choices { choices, loss, non_finite: step.non_finite })
    }

    /// Has the cache hold what this step needs.
    fn hold(&self, params: &Params, data: &Dataset, cache: &mut Cache) -> Result<()> {
        let Self { local, graph, key, plan, .. } = *self;
        let follows = |h: &Held| (h.stage, h.cycle, h.visits) == (plan.stage, plan.cycle, plan.before);
        if cache.held.as_ref().is_some_and(follows) {
            return Ok(());
        }
        local.check_data(data)?;
        let changed = (!self.augment.is_none()).then(|| self.changed(data)).transpose()?;
        let data = changed.as_ref().unwrap_or(data);
        cache.held = None;
        if cache.chain.is_none() && local.precision() == Precision::F32 {
            cache.chain = layers(graph).map(|layers| {
                let workers = Workers::new(&layers, local.threads().count());
                Chain { layers, workers, buffers: Buffers::default() }
            });
        }
        let statistics = self.statistics(params, data)?;
        let order = shuffled(key, data.rows(), plan);
        let size = plan.batch.min(data.rows());
        let batches = order.chunks_exact(size);
        let batches = if let Some(Chain { layers, workers, .. }) = &cache.chain {
            let one =
                |rows| Slice::new(layers, workers, params.tensors(), &statistics, data, rows, plan.stage);
            Batches::Chain(batches.map(one).collect())
        } else {
            let norms = Norms::Fixed(&statistics);
            Batches::General(General::new(local, graph, params, norms, data, batches, (key, plan)))
        };
        cache.held = Some(Held { stage: plan.stage, cycle: plan.cycle, visits: plan.before, batches });
        Ok(())
    }

    /// All rows as the visits of this cycle see them.
    fn changed(&self, data: &Dataset) -> Result<Dataset> {
        let (mut features, ids) = (data.features().to_vec(), (0..data.rows() as u64).collect::<Vec<_>>());
        self.augment.apply(self.key, self.plan.cycle, &ids, data.shape(), &mut features);
        Dataset::new(features, data.shape(), data.targets().clone())?.with_columns(data.columns().clone())
    }

    /// Statistics of the normalisations before the stage; what enters the first one has met none.
    fn statistics(&self, params: &Params, data: &Dataset) -> Result<Vec<Statistics>> {
        if self.plan.stage == 0 {
            return Ok(Vec::new());
        }
        let first = (data as &dyn Source).first(STATISTICS_ROWS)?;
        self.local.statistics(params, Batch::of(first).x)
    }

    /// The loss of each world, summed over the batch's rows; what is not known is not finite. `outputs` are `[world][row]`.
    fn world_losses(&self, outputs: &Act, answers: Answers<'_>) -> Vec<f64> {
        let (task, rows) = (self.local.task(), answers.count);
        let one = |world: usize| {
            let own = outputs.slice(world * rows, (world + 1) * rows);
            if task.grain() == Grain::Batch {
                return task.of_batch(&own, answers).map_or(f64::NAN, f64::from) * rows as f64;
            }
            let mut losses = vec![0.0; rows];
            let known = task.of_rows(&own, answers, &mut losses);
            known.map_or(f64::NAN, |()| losses.iter().map(|l| f64::from(*l)).sum())
        };
        (0..outputs.rows() / rows).map(one).collect()
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
    asked: &'a Asked<'a>,
    /// The tensors as the visits have left them; those of the run change when the step is applied.
    working: Vec<Tensor>,
    /// Terms packed for visits to a channel.
    terms: Option<(usize, StepTerms)>,
    non_finite: u64,
}

impl Step<'_> {
    fn set(&mut self, element: usize, value: f32) {
        self.working[self.asked.plan.tensor].data.floats_mut()[element] = value;
    }

    /// The mean loss of the visit's batch for each value of the element; one that is not finite is the worst.
    fn losses(
        &mut self,
        cache: &mut Cache,
        visit: usize,
        element: usize,
        values: &[f32],
    ) -> Result<Vec<f64>> {
        let Asked { local, graph, plan, .. } = *self.asked;
        let batch = visit / plan.hold;
        let (outputs, wanted, rows) = match (&mut cache.chain, &mut cache.held) {
            (Some(chain), Some(Held { batches: Batches::Chain(slices), .. })) => {
                let count = slices.len();
                self.chain_outputs(chain, slices, batch % count, visit == plan.before, element, values)
            }
            (_, Some(Held { batches: Batches::General(general), .. })) => {
                general.outputs(local, graph, &self.working, plan, [batch, element], values)
            }
            _ => return Err(Error::new(ErrorKind::Spec, "no batches are held")),
        };
        let mut losses = self.asked.world_losses(&outputs, wanted.answers());
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
        let plan = self.asked.plan;
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
        let visits =
            Visits::new(&chain.layers, &chain.workers, &self.working, at, self.asked.recompute, terms);
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
