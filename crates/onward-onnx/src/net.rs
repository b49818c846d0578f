//! A file as a model.

use crate::constant::{Constant, Others};
use crate::form::Seat;
use crate::lower::Lower;
use crate::node::At;
use crate::proto;
use onward::model::{Builder, Graph, Model, Shape, Var};
use onward::params::{Params, Tensor};
use onward::{Error, ErrorKind, Result};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

/// The versions of ONNX's operations that are known here.
const KNOWN: RangeInclusive<i64> = 13..=23;

/// A net of an ONNX file.
#[derive(Debug)]
pub struct Net {
    /// The file without its graph.
    pub(crate) frame: proto::Model,
    /// All that it needs is in it.
    pub(crate) graph: proto::Graph,
    /// Tensors that the file holds, by their names.
    pub(crate) tensors: BTreeMap<String, Constant>,
    /// The names of those of its outputs that the model answers with.
    pub(crate) outputs: Vec<String>,
    /// The numbers of nodes that these need, in an order in which they can run.
    pub(crate) order: Vec<usize>,
    /// How many nodes read each value.
    pub(crate) readers: BTreeMap<String, Vec<usize>>,
}

/// The values that a lowering gave to the model's tensors, as far as they are known.
pub(crate) type Kept = BTreeMap<String, (Tensor, Seat)>;

impl Net {
    /// The net in the bytes of an ONNX file. Weights in other files are read by `others`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming what is wrong: bytes that are no ONNX file, or end too early; operations of a version that is not
    /// known; a tensor whose numbers are not those of its shape or that are of a type that is not read; values that no node gives, or
    /// that need themselves. Those of `others`.
    pub fn read(bytes: &[u8], others: &mut Others<'_>) -> Result<Self> {
        let mut frame = proto::Model::decode(bytes).map_err(|e| {
            let found = format!("{} bytes that are not, or not all of one: {e}", bytes.len());
            Error::expected(ErrorKind::Model, "file", "an ONNX model", found)
        })?;
        check_version(&frame)?;
        let Some(mut graph) = frame.graph.take() else {
            return Err(Error::expected(ErrorKind::Model, "file", "an ONNX model with a graph", "none"));
        };
        if !graph.sparse_initializer.is_empty() {
            return Err(Error::expected(ErrorKind::Model, "initializers", "dense ones", "sparse ones"));
        }
        let mut tensors = BTreeMap::new();
        for tensor in &mut graph.initializer {
            tensors.insert(tensor.name.clone(), Constant::read_in(tensor, others)?);
        }
        let first = graph.output.first().map(|output| output.name.clone());
        let first = first.ok_or_else(|| Error::expected(ErrorKind::Model, "graph", "an output", "none"))?;
        let (outputs, order, readers) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { frame, graph, tensors, outputs, order, readers }.answering(&[&first])
    }

    /// The names of all outputs of the file.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.graph.output.iter().map(|output| output.name.as_str())
    }

    /// The net answering with these of its outputs, by their names, instead of the first alone. Of several the graph has one part each, which heads
    /// find by name ([`Graph::named_outputs`]).
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the file has no such output, or as for [`Net::read`] for what they need.
    pub fn answering(self, names: &[&str]) -> Result<Self> {
        if let Some(other) = names.iter().find(|name| self.outputs().all(|own| own != **name)) {
            let known = self.outputs().collect::<Vec<_>>().join(", ");
            return Err(Error::expected(ErrorKind::Model, "outputs", format!("some of {known}"), other));
        }
        let order = order(&self.graph, &self.tensors, names)?;
        let mut readers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for node in &order {
            for name in &self.graph.node[*node].input {
                readers.entry(name.clone()).or_default().push(*node);
            }
        }
        let mut outputs: Vec<String> = Vec::new();
        for name in names {
            if outputs.iter().all(|other| other != name) {
                outputs.push((*name).to_owned());
            }
        }
        Ok(Self { outputs, order, readers, ..self })
    }

    /// The bytes of a file of this net alone: weights in other files are in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        proto::Model { graph: Some(self.graph.clone()), ..self.frame.clone() }.encode_to_vec()
    }

    /// The net's graph on rows of shape `[height, width, channels]`, and the params that the file gives it.
    ///
    /// # Errors
    /// As for [`Graph::new`]; [`ErrorKind::Model`] naming the operation that cannot be done, or whose shapes do not fit.
    pub fn begin(&self, input: Shape) -> Result<(Graph, Params)> {
        let (graph, mut kept) = self.kept(input)?;
        let tensor = |name: &str| kept.remove(name).map(|(tensor, _)| tensor);
        let tensors: Option<Vec<Tensor>> =
            graph.tensors().iter().map(|spec| spec.name.as_str()).map(tensor).collect();
        let params = Params::from_tensors(tensors.ok_or_else(|| {
            Error::expected(ErrorKind::Model, "file", "the numbers of its weights", "a file without them")
        })?);
        graph.check_params(&params)?;
        Ok((graph, params))
    }

    /// The net's graph, and what each of its tensors is in the file.
    pub(crate) fn kept(&self, input: Shape) -> Result<(Graph, Kept)> {
        let watched = Watched { net: self, kept: Mutex::default() };
        let graph = Graph::new(&watched, input)?;
        let kept = watched.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((graph, kept))
    }
}

/// A model that keeps the values of its tensors when it is built.
struct Watched<'a> {
    net: &'a Net,
    kept: Mutex<Kept>,
}

impl Model for Watched<'_> {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let (var, kept) = Lower::new(self.net, g, true).run()?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(var)
    }
}

impl Model for Net {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        Lower::new(self, g, false).run().map(|(var, _)| var)
    }
}

fn check_version(model: &proto::Model) -> Result<()> {
    let own = model.opset_import.iter().find(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    let Some(own) = own else {
        return Err(Error::expected(ErrorKind::Model, "file", "ONNX's own operations", "none"));
    };
    if !KNOWN.contains(&own.version) {
        let expected = format!("operations of version {} to {} (opset)", KNOWN.start(), KNOWN.end());
        return Err(Error::expected(ErrorKind::Model, "file", expected, format!("version {}", own.version)));
    }
    if !model.functions.is_empty() {
        let found = format!("{} of its own (functions)", model.functions.len());
        return Err(Error::expected(ErrorKind::Model, "file", "ONNX's own operations", found));
    }
    Ok(())
}

/// The nodes that these outputs need, each after those whose answers it reads.
pub(crate) fn order(
    graph: &proto::Graph,
    tensors: &BTreeMap<String, Constant>,
    outputs: &[&str],
) -> Result<Vec<usize>> {
    let mut makers: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if tensors.contains_key(name) || makers.insert(name, index).is_some() {
                return Err(At { node }.expected(format!("to be the only one that gives {name}"), "another"));
            }
        }
    }
    let known: BTreeSet<&str> =
        tensors.keys().map(String::as_str).chain(graph.input.iter().map(|i| i.name.as_str())).collect();
    let mut last = Vec::new();
    for output in outputs.iter().rev() {
        let Some(maker) = makers.get(output) else {
            let found = if known.contains(output) { "an input or a tensor" } else { "none" };
            let place = format!("output {output}");
            return Err(Error::expected(ErrorKind::Model, place, "a node that gives it", found));
        };
        last.push((*maker, false));
    }
    // Depth first, without recursion: files are as deep as they like.
    let (mut open, mut done) = (vec![false; graph.node.len()], vec![false; graph.node.len()]);
    let (mut order, mut stack) = (Vec::new(), last);
    while let Some((index, left)) = stack.pop() {
        let node = &graph.node[index];
        if left {
            (open[index], done[index]) = (false, true);
            order.push(index);
            continue;
        }
        if done[index] {
            continue;
        }
        open[index] = true;
        stack.push((index, true));
        for name in node.input.iter().map(String::as_str).filter(|name| !name.is_empty()) {
            match makers.get(name) {
                Some(maker) if open[*maker] => {
                    return Err(At { node }.expected(
                        "a graph without cycles",
                        format!("the input {name}, which needs this node's own answer"),
                    ));
                }
                Some(maker) if !done[*maker] => stack.push((*maker, false)),
                Some(_) => {}
                None if known.contains(name) => {}
                None => {
                    return Err(At { node }
                        .expected(format!("an input {name} that something gives"), "a dangling variable"));
                }
            }
        }
    }
    Ok(order)
}
