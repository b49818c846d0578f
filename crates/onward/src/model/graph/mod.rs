//! Models as graphs: what a model's operations are, built once, and what follows from it for probing.
//!
//! A *site* is where a probe acts: the place behind a linear map that all of the map's effect on the loss passes through, and up
//! to which that effect is linear. So the derivative at the site, found by probes, is credited to the map's tensors by a product
//! with its known input. What has to run again behind a site is whatever follows from it; all else keeps its clean value. Maps
//! that meet at one site (a convolution and the shortcut that is added to it) are one *stage*. Nothing of this is promised by
//! a model: it is found here.

mod apart;
mod attention;
mod builder;
mod carried;
mod cell;
mod chance;
mod convolution;
mod function;
mod items;
mod node;
mod patch;
mod ragged;
mod rotary;
mod rows;
mod run;
mod sample;
mod shapes;

pub(crate) use apart::{Apart, Groups, NOWHERE};
pub(crate) use attention::softmax;
pub use builder::{Builder, Model, Var};
pub use carried::Carried;
pub use cell::{Cell, Lif};
pub use chance::Chance;
pub(super) use convolution::of_groups;
pub use function::{Function, Pairwise, Reduction};
pub(crate) use node::Map;
pub(crate) use node::Norm;
pub use node::{Attention, RowOp, Shape};
pub use patch::Patch;
pub use rotary::{RopeScaling, Rotary};
pub use run::Cut;
pub(crate) use run::Flow;
pub(crate) use sample::Sample;
pub use shapes::Adapter;

use crate::model::{Activation, After, IntegerMlp, Norms, Statistics};
use crate::params::{Params, TensorSpec};
use crate::{Error, ErrorKind, Place, Result};
use cell::Carry;
use node::{Node, Op};
use run::Schedule;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A model for inputs of one shape: its operations in an order in which they can run.
pub struct Graph {
    nodes: Vec<Node>,
    specs: Vec<TensorSpec>,
    output: usize,
    stages: Vec<Stage>,
    /// What each tensor's steps are multiplied by.
    rates: Vec<f32>,
    carries: Vec<Carry>,
    /// The last node at and before which no stage learns; 0 if all do.
    learns_after: usize,
    /// Whether answers are the same to the bit whatever stands behind the last items of rows.
    ignores_padding: bool,
    /// What numbers of the input are within, if the model says so.
    within: Option<[f32; 2]>,
    /// The net of whole numbers that is in it, if there is one.
    integers: Option<IntegerMlp>,
    whole: Schedule,
    /// Which nodes' clean values are looked at when something behind a site runs again.
    kept: Vec<bool>,
    /// Whether the only thing that looks at a linear map's answer is a ReLU.
    rectified: Vec<bool>,
}

/// The linear maps that are probed at one site.
struct Stage {
    site: usize,
    links: Vec<Link>,
    /// What the maps' effects pass on their way to the site, and they themselves.
    own: Schedule,
    /// What follows from the site.
    after: Schedule,
    /// All from the first of the maps on.
    rest: Schedule,
    blind_below: Option<f32>,
    flops: u64,
    flops_after: u64,
}

/// A linear map of a stage.
pub(crate) struct Link {
    /// The node of the map.
    pub node: usize,
    pub map: Map,
    /// The linear maps without weights of their own that follow up to the site, in order.
    pub after: Vec<After>,
}

impl Graph {
    /// The graph that `model` builds for inputs of shape `[height, width, channels]`.
    ///
    /// # Errors
    /// Those of [`Model::build`]; [`ErrorKind::Model`] naming the operation or tensor whose shapes do not fit, that stands there twice,
    /// or that does not reach the model's answer.
    pub fn new(model: &dyn Model, input: Shape) -> Result<Self> {
        builder::built(model, input)
    }

    fn of(nodes: Vec<Node>, specs: Vec<TensorSpec>, output: usize, everywhere: bool) -> Result<Self> {
        let paths = Paths::new(&nodes, &specs, output);
        let lost = nodes.iter().enumerate().find_map(|(i, n)| n.op.map().filter(|_| !paths.reaches[i]));
        if let Some(Map { weight, .. }) = lost {
            let place = Place::tensor(&specs[weight].name);
            let expected = "a way from its product to the model's answer";
            return Err(Error::expected(
                ErrorKind::Model,
                place,
                expected,
                "none: it could never be trained",
            ));
        }
        let stages = paths.stages(everywhere);
        if stages.is_empty() {
            return Err(Error::expected(ErrorKind::Model, "model", "at least one linear map", "none"));
        }
        let mut kept = vec![false; nodes.len()];
        for stage in &stages {
            let beside = stage.own.operands.iter().chain(&stage.after.operands);
            beside.chain([&stage.site]).for_each(|n| kept[*n] = true);
        }
        let rectified = (0..nodes.len()).map(|n| paths.only_a_relu_reads(n)).collect();
        let whole = Schedule::new(&nodes, paths.all_from(1), output);
        let graph = Self {
            whole,
            specs,
            output,
            stages,
            rates: Vec::new(),
            carries: Vec::new(),
            learns_after: 0,
            ignores_padding: false,
            within: None,
            integers: None,
            kept,
            rectified,
            nodes,
        };
        graph.check_names()?;
        Ok(graph)
    }

    /// The model's tensors, in the order of their first uses.
    pub fn tensors(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// The shape of a row of the model's input.
    pub(crate) fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// The last node at and before which no stage learns; 0 if all do.
    pub(crate) fn learned_behind(&self) -> usize {
        self.learns_after
    }

    /// Whether rows may be cut behind the last item that any of them has ([`Builder::ignores_padding`]).
    pub(crate) fn ignores_padding(&self) -> bool {
        self.ignores_padding
    }

    /// The net of whole numbers that is in it, if there is one; other operations may stand around it.
    pub(crate) fn integers(&self) -> Option<&IntegerMlp> {
        self.integers.as_ref()
    }

    /// The factor of each tensor's steps; 0 for frozen tensors.
    pub fn rates(&self) -> &[f32] {
        &self.rates
    }

    /// Whether a tensor ever changes.
    pub(crate) fn trains(&self, tensor: usize) -> bool {
        self.rates[tensor] != 0.0
    }

    /// Whether any tensor of a stage ever changes.
    pub(crate) fn stage_trains(&self, stage: usize) -> bool {
        let behind = self.stages[stage].site > self.learns_after;
        behind && self.tensors_of(stage).any(|tensor| self.trains(tensor))
    }

    /// The states that a row's items hand on beyond its last item, each with a name and a shape; they begin with zero. (Attention hands on
    /// keys and values, of as many items as there were: [`Carried`].)
    pub fn carries(&self) -> impl Iterator<Item = (&str, Shape)> {
        self.carries.iter().map(|carry| (carry.name.as_str(), self.nodes[carry.begin].shape))
    }

    /// The nodes that rows' carries begin with, and those that they end as, in the order of [`Graph::carries`].
    pub(crate) fn carry_nodes(&self) -> (Vec<usize>, Vec<usize>) {
        self.carries.iter().map(|carry| (carry.begin, carry.end)).unzip()
    }

    /// The number of operations.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The number of outputs per row.
    pub fn outputs(&self) -> usize {
        self.nodes[self.output].shape.iter().product()
    }

    /// The shape of the outputs of a row.
    pub fn answer(&self) -> Shape {
        self.nodes[self.output].shape
    }

    /// The named parts of the model's output, each with its range of a row's numbers. Empty where it has one answer without a name.
    pub fn named_outputs(&self) -> &[(String, Range<usize>)] {
        if let Op::Outputs(parts) = &self.nodes[self.output].op { parts } else { &[] }
    }

    /// The number of stages: linear maps that are probed at one site count as one.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// The number of values per row at the site of a stage.
    pub fn width(&self, stage: usize) -> usize {
        self.shape(stage).iter().product()
    }

    /// The node that is the site of a stage.
    pub(crate) fn site(&self, stage: usize) -> usize {
        self.stages[stage].site
    }

    /// The shape of a row at the site of a stage.
    pub fn shape(&self, stage: usize) -> Shape {
        self.nodes[self.stages[stage].site].shape
    }

    /// Numbers of a row at the site of the stage before, or of the input.
    pub(crate) fn width_before(&self, stage: usize) -> usize {
        stage.checked_sub(1).map_or_else(|| self.nodes[0].shape.iter().product(), |before| self.width(before))
    }

    /// The floating-point operations of one row in the model's products (a multiply-add counts as two).
    pub fn flops(&self) -> u64 {
        self.whole.nodes.iter().map(|n| flops(&self.nodes, &self.specs, *n)).sum()
    }

    /// The floating-point operations of one row in the products behind the site of a stage.
    pub fn flops_after(&self, stage: usize) -> u64 {
        self.stages[stage].flops_after
    }

    /// The floating-point operations of one row in a stage's own products and those behind its site.
    pub fn flops_from(&self, stage: usize) -> u64 {
        self.stages[stage].flops + self.stages[stage].flops_after
    }

    /// The value below which the rest of the model sees no difference between two numbers at the site of a stage.
    pub(crate) fn blind_below(&self, stage: usize) -> Option<f32> {
        self.stages[stage].blind_below
    }

    /// The tensors that the linear maps of a stage use, by their places in [`Graph::tensors`], map after map.
    pub fn tensors_of(&self, stage: usize) -> impl Iterator<Item = usize> {
        self.links(stage).iter().flat_map(|link| link.map.tensors())
    }

    /// The linear maps of a stage.
    pub(crate) fn links(&self, stage: usize) -> &[Link] {
        &self.stages[stage].links
    }

    /// The batch normalisations, in order, each with its channels.
    pub(crate) fn norms(&self) -> impl Iterator<Item = (&str, usize)> {
        self.nodes.iter().filter_map(|n| match &n.op {
            Op::BatchNorm { layer, .. } => Some((layer.as_str(), n.shape[2])),
            _ => None,
        })
    }

    /// A digest of what the model does: BLAKE3 over the JSON of its operations, with what they work on, and its tensors
    /// (`docs/ledger.md`). A run is not gone on with by another model whose tensors happen to look the same.
    pub fn digest(&self) -> [u8; 32] {
        let operations = self.operations().collect();
        let facts = Facts { operations, output: self.output, tensors: &self.specs };
        let mut hasher = blake3::Hasher::new_derive_key("onward 2026 model graph v1");
        // Numbers and names alone: there is nothing in it that JSON could refuse.
        hasher.update(&serde_json::to_vec(&facts).unwrap_or_default());
        *hasher.finalize().as_bytes()
    }

    /// Checks that `params` fit the model and that mapped or foreign memory that they lie in is unchanged.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the tensor that is not, and those of [`crate::params::Memory::check`].
    pub fn check_params(&self, params: &Params) -> Result<()> {
        let tensors = params.tensors();
        if tensors.len() != self.specs.len() {
            let expected = format!("{} tensors", self.specs.len());
            return Err(Error::expected(ErrorKind::Model, "params", expected, tensors.len()));
        }
        for (t, s) in tensors.iter().zip(&self.specs) {
            let size = s.shape.iter().product::<usize>();
            if (&t.name, &t.shape, t.data.len()) != (&s.name, &s.shape, size) {
                let expected = format!("{} of shape {:?}", s.name, s.shape);
                let found = format!("{} of shape {:?} with {} numbers", t.name, t.shape, t.data.len());
                return Err(Error::expected(ErrorKind::Model, "params", expected, found));
            }
        }
        params.check_memory()
    }

    /// Checks that `norms` have statistics for every batch normalisation of the model.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the layer that has none, or others.
    pub fn check_norms(&self, norms: Norms<'_>) -> Result<()> {
        let Norms::Fixed(all) = norms else { return Ok(()) };
        let sound = |s: &Statistics, channels: usize| {
            let fits = |v: &[f32]| v.len() == channels && v.iter().all(|v| v.is_finite());
            fits(&s.mean) && fits(&s.variance) && s.variance.iter().all(|v| *v >= 0.0)
        };
        for (layer, channels) in self.norms() {
            let found = all.iter().find(|s| s.layer == layer);
            if found.is_some_and(|s| sound(s, channels)) {
                continue;
            }
            let of = |s: &Statistics| {
                format!("{} means and {} variances, or not finite ones", s.mean.len(), s.variance.len())
            };
            let found = found.map_or_else(|| "none".to_owned(), of);
            let (place, expected) =
                (format!("normalisation {layer}"), format!("statistics of {channels} channels"));
            return Err(Error::expected(ErrorKind::Model, place, expected, found));
        }
        Ok(())
    }

    /// Statistics are kept by the normalisation's name, noise by the tensor's: names are not empty.
    fn check_names(&self) -> Result<()> {
        let nameless = self.specs.iter().find(|s| s.name.starts_with('.'));
        nameless.map_or(Ok(()), |s| {
            Err(Error::expected(ErrorKind::Model, Place::tensor(&s.name), "a layer with a name", "none"))
        })
    }
}

/// All that a digest is of.
#[derive(Serialize)]
struct Facts<'a> {
    operations: Vec<Operation<'a>>,
    /// The operation that the model answers with.
    output: usize,
    tensors: &'a [TensorSpec],
}

/// Which ways lead through a graph.
struct Paths<'a> {
    nodes: &'a [Node],
    specs: &'a [TensorSpec],
    output: usize,
    /// The nodes that read each node.
    readers: Vec<Vec<usize>>,
    /// Whether a way leads to the output.
    reaches: Vec<bool>,
}

impl<'a> Paths<'a> {
    fn new(nodes: &'a [Node], specs: &'a [TensorSpec], output: usize) -> Self {
        let mut readers = vec![Vec::new(); nodes.len()];
        for (i, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|n| readers[*n].push(i));
        }
        let mut reaches = vec![false; nodes.len()];
        reaches[output] = true;
        for node in (0..output).rev() {
            reaches[node] = readers[node].iter().any(|r| reaches[*r]);
        }
        Self { nodes, specs, output, readers, reaches }
    }

    /// The nodes from `first` on from which a way leads to the output.
    fn all_from(&self, first: usize) -> Vec<usize> {
        (first..self.nodes.len()).filter(|n| self.reaches[*n]).collect()
    }

    fn readers(&self, node: usize) -> Vec<usize> {
        self.readers[node].iter().copied().filter(|r| self.reaches[*r]).collect()
    }

    fn only_a_relu_reads(&self, node: usize) -> bool {
        let relu = |n: usize| matches!(self.nodes[n].op, Op::Map(Activation::Relu));
        let linear = matches!(self.nodes[node].op, Op::Linear { .. });
        linear && node != self.output && matches!(self.readers(node)[..], [reader] if relu(reader))
    }

    /// From a linear map on to the last place that all of its effect passes, being linear up to there: that place, the nodes on
    /// the way, and how to come back.
    fn way_to_site(&self, map: usize) -> (usize, Vec<usize>, Vec<After>) {
        let (mut site, mut way, mut after) = (map, vec![map], Vec::new());
        while site != self.output
            && let [next] = self.readers(site)[..]
            && self.nodes[next].op.passes()
        {
            match self.nodes[next].op {
                Op::AveragePool => after.push({
                    let [h, w, _] = self.nodes[site].shape;
                    After::Pool([h, w])
                }),
                Op::BatchNorm { .. } => after.push(After::Norm(next)),
                _ => {}
            }
            way.push(next);
            site = next;
        }
        (site, way, after)
    }

    /// The nodes that follow from `site` and from which a way leads to the output, in order.
    fn following(&self, site: usize) -> Vec<usize> {
        let mut follows = vec![false; self.nodes.len()];
        follows[site] = true;
        for i in site + 1..self.nodes.len() {
            follows[i] = self.reaches[i] && self.nodes[i].inputs.iter().any(|n| follows[*n]);
        }
        (site + 1..self.nodes.len()).filter(|n| follows[*n]).collect()
    }

    /// The stages, in the order of their sites.
    fn stages(&self, everywhere: bool) -> Vec<Stage> {
        let mut at: BTreeMap<usize, (Vec<Link>, BTreeSet<usize>)> = BTreeMap::new();
        for node in self.all_from(0) {
            let Some(map) = self.nodes[node].op.map() else { continue };
            let (site, way, after) = self.way_to_site(node);
            let (links, own) = at.entry(site).or_default();
            links.push(Link { node, map, after });
            own.extend(way);
        }
        let stage = |(site, (links, own)): (usize, (Vec<Link>, BTreeSet<usize>))| {
            let flops =
                |schedule: &Schedule| schedule.nodes.iter().map(|n| flops(self.nodes, self.specs, *n)).sum();
            let rest = self.all_from(links[0].node.max(1));
            let own = Schedule::new(self.nodes, own.into_iter().collect(), site);
            let after = Schedule::new(self.nodes, self.following(site), self.output);
            let rest = Schedule::new(self.nodes, rest, self.output);
            let (flops, flops_after) = (flops(&own), flops(&after));
            let blind_below = if everywhere { None } else { self.blind_below(site) };
            Stage { site, links, own, after, rest, blind_below, flops, flops_after }
        };
        at.into_iter().map(stage).collect()
    }

    /// The value below which no reader of a node sees a difference.
    fn blind_below(&self, node: usize) -> Option<f32> {
        let floor = |reader: usize| match self.nodes[reader].op {
            Op::Map(activation) => activation.blind_below(),
            _ => None,
        };
        let mut floors = self.readers(node).into_iter().map(floor);
        let first = floors.next()??;
        (node != self.output && floors.all(|f| f == Some(first))).then_some(first)
    }
}

/// Floating-point operations of a row through a node's products.
fn flops(nodes: &[Node], specs: &[TensorSpec], node: usize) -> u64 {
    let Node { op, inputs, shape } = &nodes[node];
    let size: usize = shape.iter().product();
    let work = match op {
        Op::Linear { .. } => size * nodes[inputs[0]].shape[2],
        // Each output sees the channels of its own group.
        Op::Grouped { weight, .. } => size * specs[*weight].shape[1..].iter().product::<usize>(),
        Op::Conv3x3 { .. } => 9 * size * nodes[inputs[0]].shape[2],
        Op::Attention(_) => 2 * size * nodes[inputs[1]].shape[1],
        Op::Rows(rowwise) => rowwise.flops(nodes[inputs[0]].shape, *shape),
        _ => 0,
    };
    2 * work as u64
}

/// A read-only view of one operation of a graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operation<'a> {
    /// The kind of operation, in words.
    pub operation: String,
    /// The indices of the operations that it reads, counted from 0.
    pub inputs: &'a [usize],
    /// The names of its tensors: the weight, then the bias if there is one.
    pub tensors: Vec<&'a str>,
    /// The shape of a row of its output.
    pub shape: Shape,
    /// The floating-point operations per row.
    #[serde(skip)]
    pub flops: u64,
    /// The stage whose site the operation is, if it is one.
    #[serde(skip)]
    pub site_of: Option<usize>,
}

impl Graph {
    /// The index of the operation whose output is the model's.
    pub fn output(&self) -> usize {
        self.output
    }

    /// The operations, in an order in which they can run; the first is the input.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.nodes.iter().enumerate().map(|(i, node)| {
            let tensors = node.op.map().into_iter().flat_map(Map::tensors);
            Operation {
                operation: node.op.to_string(),
                inputs: &node.inputs,
                tensors: tensors.map(|t| self.specs[t].name.as_str()).collect(),
                shape: node.shape,
                flops: flops(&self.nodes, &self.specs, i),
                site_of: self.stages.iter().position(|s| s.site == i),
            }
        })
    }
}
