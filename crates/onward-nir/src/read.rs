//! The params of a net, from a NIR file.

use crate::hdf5;
use hdf5_pure::{File, Group};
use onward::model::Spiking;
use onward::params::{Params, Tensor};
use onward::{Error, ErrorKind, Place, Result};
use std::collections::BTreeMap;

/// The params of `net`, for rows of so many numbers, from the bytes of a NIR file: a chain of `Input`, then `Affine` or `Linear` and `LIF` for each layer of the
/// net, then `Affine` or `Linear`, then `Output`. `Flatten` is passed over.
///
/// Resistances, leak voltages and thresholds become part of the weights, each row times `R · threshold / v_threshold` and each bias with `v_leak` added, which
/// leaves spikes as they are (and the bits, where these are 1, 0 and the net's own).
///
/// # Errors
/// [`ErrorKind::Model`] naming what is wrong: bytes that are no NIR file; a node of another kind; nodes that branch, run in a circle or lead nowhere; sizes
/// that are not the net's; neurons that do not begin anew at 0, have time constants of their own, or a threshold that is not above 0; numbers that are not finite.
pub fn read(bytes: &[u8], net: &Spiking, inputs: usize) -> Result<Params> {
    let file = File::from_bytes(bytes.to_vec()).map_err(|e| hdf5(&e))?;
    let graph = file.group("node").map_err(|e| hdf5(&e))?;
    let nodes = graph.group("nodes").map_err(|e| hdf5(&e))?;
    let chain = chain(&graph, &nodes)?;
    let expected = net.hidden.iter().flat_map(|_| ["Affine", "LIF"]).chain(["Affine"]);
    let (expected, found): (Vec<&str>, Vec<&str>) =
        (expected.collect(), chain.iter().map(Node::role).collect());
    if expected != found {
        return Err(wrong("nodes", expected.join(", "), found.join(", ")));
    }
    let (mut tensors, mut from, mut tau) = (Vec::new(), inputs, None);
    for (layer, maps) in chain.chunks(2).enumerate() {
        let neurons = maps.get(1);
        let to = if neurons.is_some() { net.hidden[layer] } else { net.outputs };
        let [mut weight, mut bias] = maps[0].map([to, from])?;
        if let Some(neurons) = neurons {
            let factors = neurons.factors(to, net.lif.threshold, &mut tau)?;
            for (row, (factor, shift)) in factors.iter().enumerate() {
                weight[row * from..(row + 1) * from].iter_mut().for_each(|w| *w *= factor[0]);
                bias[row] = bias[row] * factor[0] + shift * factor[1];
            }
        }
        let name = if neurons.is_some() { format!("fc{}", layer + 1) } else { "head".into() };
        for (part, shape, data) in [("weight", vec![to, from], weight), ("bias", vec![to], bias)] {
            let name = format!("{name}.{part}");
            if let Some(other) = data.iter().find(|v| !v.is_finite()) {
                return Err(Error::expected(ErrorKind::Model, Place::tensor(&name), "finite numbers", other));
            }
            tensors.push(Tensor { name, shape, data: data.into() });
        }
        from = to;
    }
    Ok(Params::from_tensors(tensors))
}

/// A node of the chain.
struct Node {
    name: String,
    kind: String,
    group: Group,
}

impl Node {
    /// What it does in the chain: a map without a bias is one too.
    fn role(&self) -> &str {
        if self.kind == "Linear" { "Affine" } else { &self.kind }
    }

    /// All numbers of one part.
    fn numbers(&self, part: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let place = format!("{}.{part}", self.name);
        let of = |e: hdf5_pure::Error| wrong(&place, format!("numbers of shape {shape:?}"), e);
        let dataset = self.group.dataset(part).map_err(of)?;
        let found = dataset.shape().map_err(of)?;
        if found.iter().map(|side| *side as usize).ne(shape.iter().copied()) {
            return Err(wrong(&place, format!("shape {shape:?}"), format!("{found:?}")));
        }
        // Doubles become singles: what files of Python often hold.
        dataset
            .read_f32()
            .or_else(|_| Ok(dataset.read_f64()?.iter().map(|v| *v as f32).collect()))
            .map_err(of)
    }

    fn map(&self, shape: [usize; 2]) -> Result<[Vec<f32>; 2]> {
        let weight = self.numbers("weight", &shape)?;
        let bias =
            if self.kind == "Linear" { vec![0.0; shape[0]] } else { self.numbers("bias", &shape[..1])? };
        Ok([weight, bias])
    }

    /// For each neuron what its map's weights are multiplied by, with what `v_leak` is, and `v_leak`.
    fn factors(&self, count: usize, threshold: f32, tau: &mut Option<f32>) -> Result<Vec<([f32; 2], f32)>> {
        let of = |part: &str| self.numbers(part, &[count]);
        let [taus, r, leak, above] = [of("tau")?, of("r")?, of("v_leak")?, of("v_threshold")?];
        let anew = if self.group.dataset("v_reset").is_ok() { of("v_reset")? } else { vec![0.0; count] };
        let place = |part: &str| format!("{}.{part}", self.name);
        if let Some(other) = anew.iter().find(|v| **v != 0.0) {
            return Err(wrong(&place("v_reset"), "0", other));
        }
        let first = *tau.get_or_insert(taus.first().copied().unwrap_or(1.0));
        if let Some(other) = taus.iter().find(|own| **own != first || own.is_nan() || **own <= 0.0) {
            return Err(wrong(&place("tau"), format!("{first}, one time constant for all neurons"), other));
        }
        if let Some(other) = above.iter().find(|v| v.is_nan() || **v <= 0.0) {
            return Err(wrong(&place("v_threshold"), "a number above 0", other));
        }
        let each = r.iter().zip(&leak).zip(&above).map(|((r, leak), above)| {
            let to = threshold / above;
            ([r * to, to], *leak)
        });
        Ok(each.collect())
    }
}

/// The nodes between input and output, in order.
fn chain(graph: &Group, nodes: &Group) -> Result<Vec<Node>> {
    let names = nodes.groups().map_err(|e| hdf5(&e))?;
    let mut all = BTreeMap::new();
    for name in names {
        let group = nodes.group(&name).map_err(|e| hdf5(&e))?;
        let kind = group.dataset("type").and_then(|d| d.read_string()).map_err(|e| hdf5(&e))?;
        let kind = kind.into_iter().next().unwrap_or_default();
        if !["Input", "Output", "Affine", "Linear", "LIF", "Flatten"].contains(&kind.as_str()) {
            let expected = "Input, Output, Affine, Linear, LIF or Flatten";
            return Err(wrong(&name, expected, kind));
        }
        all.insert(name.clone(), Node { name, kind, group });
    }
    let ends = graph.dataset("edges").and_then(|d| d.read_string()).map_err(|e| hdf5(&e))?;
    let mut after: BTreeMap<&str, &str> = BTreeMap::new();
    for edge in ends.chunks_exact(2) {
        if let Some(other) = after.insert(&edge[0], &edge[1]) {
            return Err(wrong(
                "edges",
                format!("one behind {}", edge[0]),
                format!("{other} and {}", edge[1]),
            ));
        }
    }
    let mut kinds = all.values().filter(|node| node.kind == "Input").map(|node| node.name.clone());
    let (Some(mut at), None) = (kinds.next(), kinds.next()) else {
        return Err(wrong("nodes", "one Input", "none or several"));
    };
    let mut chain = Vec::new();
    all.remove(&at);
    loop {
        let Some(next) = after.get(at.as_str()) else {
            return Err(wrong("edges", format!("one behind {at}"), "none"));
        };
        // What the chain has come by is not there any more.
        let Some(node) = all.remove(*next) else {
            let found = format!("an edge from {at} to {next}, which is none or closes a circle");
            return Err(wrong("edges", "a chain of nodes", found));
        };
        at = node.name.clone();
        match node.kind.as_str() {
            "Output" => break,
            "Flatten" => {}
            _ => chain.push(node),
        }
    }
    match all.keys().next() {
        None => Ok(chain),
        Some(other) => Err(wrong("nodes", "a chain from Input to Output", format!("{other} beside it"))),
    }
}

fn wrong(place: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Model, place, expected, found)
}
