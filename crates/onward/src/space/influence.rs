//! Influence: how the states that streams carry follow from the params, kept up to date from step to step (real-time recurrent learning,
//! Williams and Zipser 1989, Neural Computation 1, 270).
//!
//! With `h` the states after a step and `J = ∂h/∂w`: `J ← A J + B`, where `A` says how the states follow from those before and `B`
//! how they follow from the params within the step. Both are local credit ([`super::local`]) of one number of the states after the other, down to the
//! states before. What a loss owes to earlier steps is its credit at the states before, times the `J` that came with them: nothing is kept
//! of earlier inputs, and nothing waits for later ones.

use super::credit::{Derivative, add};
use super::local::LocalPlan;
use crate::kernel::{Panels, Start, product};
use crate::model::{Act, Graph, LinkKind, Trace};
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What steps hand on to the next besides params: of streams the states of a model's cells, one row for each stream, and how these follow from the params; of
/// perturbations whose sizes are learned their scales. Nothing before the first step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Streams(pub(crate) BTreeMap<String, Arc<Vec<f32>>>);

impl Streams {
    /// Whether there was no step yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers under a name: `state/` and a carry's for its states, `(streams, width)`; `twin/` and `other twin/` for those of twins, `burst/` and a node's for what its map read in a burst; `influence` for `(streams, carried, params)`; `scales` for one
    /// of each tensor or stage.
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.0.get(name).map(|numbers| numbers.as_slice())
    }

    /// The scales of perturbations; none before any are learned.
    pub fn scales(&self) -> &[f32] {
        self.get(SCALES).unwrap_or_default()
    }

    /// Replaces the scales of perturbations.
    pub(crate) fn set_scales(&mut self, scales: Vec<f32>) {
        self.0.insert(SCALES.into(), Arc::new(scales));
    }
}

/// A question for local credit on the next rows of streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnlinePlan {
    /// What earns credit, and how.
    pub local: LocalPlan,
    /// Whether what the states owe to earlier steps earns nothing.
    pub cut: bool,
}

/// The name of the scales of perturbations among what steps hand on.
const SCALES: &str = "scales";
/// Whose states those of the streams themselves are.
const STATE: &str = "state";
/// The name of the influence among what streams hand on.
const INFLUENCE: &str = "influence";

/// How a model's states follow from its params, for so many streams.
pub(crate) struct Influence<'a> {
    graph: &'a Graph,
    streams: usize,
    /// The stages that the states follow from.
    pub stages: Vec<usize>,
    /// The tensors of these, each with its first number among all that count.
    tensors: Vec<(usize, usize)>,
    /// How many params count.
    pub count: usize,
    /// How many numbers a stream carries.
    pub carried: usize,
}

impl<'a> Influence<'a> {
    /// The influence of the params of `stages`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the model carries nothing, has a batch normalisation or a sample, or if states follow from a tensor in a way that is
    /// no linear map of rows, scaling or embedding.
    pub fn new(graph: &'a Graph, stages: &[usize], streams: usize) -> Result<Self> {
        check(graph, stages)?;
        let leading = graph.stages_of_carries()?;
        let stages: Vec<usize> = stages.iter().copied().filter(|stage| leading.contains(stage)).collect();
        let (mut tensors, mut count) = (Vec::new(), 0);
        for stage in &stages {
            for tensor in graph.tensors_of(*stage) {
                if graph.trains(tensor) && !tensors.iter().any(|(own, _)| *own == tensor) {
                    tensors.push((tensor, count));
                    count += size_of(graph, tensor);
                }
            }
        }
        let carried = graph.carries().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        Ok(Self { graph, streams, stages, tensors, count, carried })
    }

    /// The states that streams come with; zeros before the first step.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if they are those of other streams or of another model.
    pub fn states(&self, streams: &Streams) -> Result<Vec<Act>> {
        self.states_of(STATE, streams)
    }

    /// The states of `whose` that streams come with: those of twins have names of their own.
    ///
    /// # Errors
    /// As for [`Influence::states`].
    pub fn states_of(&self, whose: &str, streams: &Streams) -> Result<Vec<Act>> {
        let one = |(name, shape): (&str, [usize; 3])| {
            let size = self.streams * shape.iter().product::<usize>();
            let numbers = match streams.get(&format!("{whose}/{name}")) {
                None if streams.is_empty() => vec![0.0; size],
                Some(numbers) if numbers.len() == size => numbers.to_vec(),
                other => return Err(misfit(size, name, other)),
            };
            Ok(Act::new(self.streams, shape, numbers))
        };
        self.graph.carries().map(one).collect()
    }

    /// The influence that streams come with, unless credit is `cut`.
    ///
    /// # Errors
    /// As for [`Influence::states`].
    pub fn before<'s>(&self, streams: &'s Streams, cut: bool) -> Result<Option<&'s [f32]>> {
        let size = self.streams * self.carried * self.count;
        match streams.get(INFLUENCE) {
            None if cut || streams.is_empty() => Ok(None),
            Some(numbers) if numbers.len() == size => Ok(Some(numbers)),
            other => Err(misfit(size, INFLUENCE, other)),
        }
    }

    /// What the streams hand on after a step.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] if a state is no number any more.
    pub fn after(&self, states: &[Act], influence: Option<Vec<f32>>) -> Result<Streams> {
        let mut streams = Streams::default();
        self.hand_on(STATE, states, &mut streams)?;
        if let Some(influence) = influence {
            streams.0.insert(INFLUENCE.into(), Arc::new(influence));
        }
        Ok(streams)
    }

    /// Hands on the states of `whose`.
    ///
    /// # Errors
    /// As for [`Influence::after`].
    pub fn hand_on(&self, whose: &str, states: &[Act], into: &mut Streams) -> Result<()> {
        for ((name, _), state) in self.graph.carries().zip(states) {
            if !state.data().iter().all(|v| v.is_finite()) {
                let expected = "states that are numbers";
                return Err(Error::expected(ErrorKind::NonFinite, name, expected, "others"));
            }
            into.0.insert(format!("{whose}/{name}"), Arc::new(state.data().to_vec()));
        }
        Ok(())
    }

    /// The tensors that the states follow from.
    pub fn tensors(&self) -> impl Iterator<Item = usize> {
        self.tensors.iter().map(|(tensor, _)| *tensor)
    }

    /// Credit of each number that is carried, one after the other, for all streams: what [`super::local::Descent`] begins with at each of the
    /// nodes that the carries end as.
    pub fn units(&self) -> Vec<Vec<f32>> {
        let (mut first, mut all) = (0, Vec::new());
        for (_, shape) in self.graph.carries() {
            let width: usize = shape.iter().product();
            let mut rows = vec![0.0; self.carried * self.streams * width];
            for number in 0..width {
                for stream in 0..self.streams {
                    rows[((first + number) * self.streams + stream) * width + number] = 1.0;
                }
            }
            first += width;
            all.push(rows);
        }
        all
    }

    /// `A J + B`: `through` is `A`, `(carried × streams, carried)`, and `direct` the credit at the sites of the stages, `(carried × streams, width)`
    /// each, whose maps read what `trace` has, a row for each stream.
    pub fn followed(
        &self,
        through: &[f32],
        before: Option<&[f32]>,
        direct: &[(usize, Vec<f32>)],
        trace: &Trace,
    ) -> Vec<f32> {
        let own = self.carried * self.count;
        let mut all = vec![0.0; self.streams * own];
        all.par_chunks_mut(own.max(1)).enumerate().for_each(|(stream, out)| {
            if let Some(before) = before {
                let rows = (0..self.carried).flat_map(|number| {
                    &through[(number * self.streams + stream) * self.carried..][..self.carried]
                });
                let a: Vec<f32> = rows.copied().collect();
                self.multiply(&a, &before[stream * own..][..own], out);
            }
            for (stage, g) in direct {
                self.add_direct(stream, *stage, g, trace, out);
            }
        });
        all
    }

    /// `out = A J` for one stream.
    fn multiply(&self, a: &[f32], before: &[f32], out: &mut [f32]) {
        let (n, k) = (self.count, self.carried);
        let sparse = a.iter().filter(|v| **v == 0.0).count() * 2 > a.len();
        if sparse {
            for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
                for (v, own) in row.iter().zip(before.chunks_exact(n)).filter(|(v, _)| **v != 0.0) {
                    out.iter_mut().zip(own).for_each(|(o, b)| *o += v * b);
                }
            }
            return;
        }
        product(out, n, a, k, 1, k, &Panels::rows(before, k, n), Start::Zero);
    }

    /// Adds how one stream's states follow from the params of a stage within the step.
    fn add_direct(&self, stream: usize, stage: usize, g: &[f32], trace: &Trace, out: &mut [f32]) {
        let width = self.graph.width(stage);
        for link in self.graph.links(stage) {
            let Some(input) = trace.input(link.node) else { continue };
            let shape = &self.graph.tensors()[link.map.weight].shape;
            let outputs = if link.map.kind == LinkKind::Embed { shape[1] } else { shape[0] };
            let place = |tensor: Option<usize>| {
                self.tensors.iter().find(|(own, _)| Some(*own) == tensor).map(|(_, first)| *first)
            };
            let (weight, bias) = (place(Some(link.map.weight)), place(link.map.bias));
            for number in 0..self.carried {
                let out = &mut out[number * self.count..][..self.count];
                let g = &g[(number * self.streams + stream) * width..][..width];
                for (g, x) in g.chunks_exact(outputs).zip(input.row(stream).chunks_exact(input.channels())) {
                    if let Some(first) = weight {
                        add_weight(link.map.kind, &mut out[first..], g, x);
                    }
                    if let Some(first) = bias {
                        out[first..].iter_mut().zip(g).for_each(|(o, g)| *o += g);
                    }
                }
            }
        }
    }

    /// Adds what losses owe to earlier steps: `credit` is that at the states before, `(streams, carried)`.
    pub fn earn(&self, credit: &[f32], before: &[f32], into: &mut Derivative) {
        let share = 1.0 / self.streams as f32;
        let half = self.streams / 2;
        for (tensor, first) in &self.tensors {
            let size = size_of(self.graph, *tensor);
            let mut halves = [vec![0.0; size], vec![0.0; size]];
            for (row, c) in credit.iter().enumerate().filter(|(_, c)| **c != 0.0) {
                let own = &before[row * self.count + first..][..size];
                let sum = &mut halves[usize::from(row / self.carried >= half)];
                let c = c * share;
                sum.iter_mut().zip(own).for_each(|(s, j)| *s += c * j);
            }
            add(&mut into[*tensor], halves);
        }
    }
}

/// Adds how the answers of a map, whose credit is `g`, follow from its weight, for the row `x` that it reads.
fn add_weight(kind: LinkKind, out: &mut [f32], g: &[f32], x: &[f32]) {
    match kind {
        LinkKind::Norm => out.iter_mut().zip(g.iter().zip(x)).for_each(|(o, (g, x))| *o += g * x),
        LinkKind::Embed => {
            if let Some(row) = out.chunks_exact_mut(g.len()).nth(x[0] as usize).filter(|_| x[0] >= 0.0) {
                row.iter_mut().zip(g).for_each(|(o, g)| *o += g);
            }
        }
        _ => {
            let rows = out.chunks_exact_mut(x.len()).zip(g).filter(|(_, g)| **g != 0.0);
            rows.for_each(|(row, g)| row.iter_mut().zip(x).for_each(|(o, x)| *o += g * x));
        }
    }
}

fn size_of(graph: &Graph, tensor: usize) -> usize {
    graph.tensors()[tensor].shape.iter().product()
}

fn check(graph: &Graph, stages: &[usize]) -> Result<()> {
    let refuse = |expected: &str, found: String| {
        Err(Error::expected(ErrorKind::Model, "method.name", expected.to_owned(), found))
    };
    if graph.carries().next().is_none() {
        return refuse("a model with states that go on from step to step", "one without".into());
    }
    if let Some((name, _)) = graph.norms().next() {
        return refuse(
            "a model whose streams know nothing of each other",
            format!("the normalisation {name}"),
        );
    }
    let (begins, _) = graph.carry_nodes();
    if !graph.leads_to(stages, &begins, &[]).1.is_empty() {
        return refuse("a model that draws nothing by chance", "a sample of what is learned".into());
    }
    let odd = stages
        .iter()
        .flat_map(|stage| graph.links(*stage))
        .find(|link| !link.after.is_empty() || matches!(link.map.kind, LinkKind::Conv | LinkKind::Grouped));
    match odd {
        None => Ok(()),
        Some(link) => {
            let name = &graph.tensors()[link.map.weight].name;
            refuse(
                "linear maps of items, scalings and embeddings",
                format!("{name}, which is of another kind"),
            )
        }
    }
}

fn misfit(size: usize, name: &str, found: Option<&[f32]>) -> Error {
    let (expected, found) = (format!("{size} numbers"), found.map_or(0, <[f32]>::len));
    Error::expected(ErrorKind::Model, format!("streams, {name}"), expected, found)
}
