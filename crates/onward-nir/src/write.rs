//! A net as a NIR file.

use crate::hdf5;
use hdf5_pure::{DatasetBuilder, FileBuilder, GroupBuilder};
use onward::model::{Lif, Spiking};
use onward::params::{Params, Tensor};
use onward::{Error, ErrorKind, Place, Result};

/// The length of a step in a file, in seconds.
pub const STEP: f64 = 1.0 / 1024.0;
/// The version of NIR that files are of.
const VERSION: &str = "1.0";

/// The bytes of a NIR file of a net with these params, for rows of so many numbers; `metadata` stands beside the graph.
///
/// # Errors
/// [`ErrorKind::Model`] naming a tensor that the net needs and the params lack, or whose shape is not the net's.
pub fn write(net: &Spiking, inputs: usize, params: &Params, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut file = FileBuilder::new();
    text(file.create_dataset("version"), VERSION)?;
    let mut graph = file.create_group("node");
    text(graph.create_dataset("type"), "NIRGraph")?;
    let mut nodes = graph.create_group("nodes");
    let mut chain = Vec::new();
    let width = |n: usize| vec![n as i64];
    node(&mut nodes, "input", "Input", &mut chain, |n| {
        n.create_dataset("shape").with_i64_data(&width(inputs));
        Ok(())
    })?;
    let mut from = inputs;
    for (layer, neurons) in net.hidden.iter().enumerate() {
        let name = format!("fc{}", layer + 1);
        node(&mut nodes, &name, "Affine", &mut chain, |n| affine(n, params, &name, [*neurons, from]))?;
        node(&mut nodes, &format!("lif{}", layer + 1), "LIF", &mut chain, |n| {
            neurons_of(n, net.lif, *neurons);
            Ok(())
        })?;
        from = *neurons;
    }
    node(&mut nodes, "head", "Affine", &mut chain, |n| affine(n, params, "head", [net.outputs, from]))?;
    node(&mut nodes, "output", "Output", &mut chain, |n| {
        n.create_dataset("shape").with_i64_data(&width(net.outputs));
        Ok(())
    })?;
    graph.add_group(nodes.finish());
    let edges: Vec<&str> = chain.windows(2).flatten().map(String::as_str).collect();
    graph.create_dataset("edges").with_vlen_strings(&edges).with_shape(&[edges.len() as u64 / 2, 2]);
    let mut beside = graph.create_group("metadata");
    beside.create_dataset("dt").with_f64_data(&[STEP]).with_shape(&[]);
    for (key, value) in metadata {
        text(beside.create_dataset(key), value)?;
    }
    graph.add_group(beside.finish());
    file.add_group(graph.finish());
    file.finish().map_err(|e| hdf5(&e))
}

/// A node of the chain, with its type and what `fill` says of it.
fn node(
    nodes: &mut GroupBuilder,
    name: &str,
    kind: &str,
    chain: &mut Vec<String>,
    fill: impl FnOnce(&mut GroupBuilder) -> Result<()>,
) -> Result<()> {
    let mut own = nodes.create_group(name);
    text(own.create_dataset("type"), kind)?;
    fill(&mut own)?;
    nodes.add_group(own.finish());
    chain.push(name.to_owned());
    Ok(())
}

/// One string.
fn text(dataset: &mut DatasetBuilder, value: &str) -> Result<()> {
    dataset.with_vlen_strings(&[value]).with_shape(&[]);
    Ok(())
}

fn affine(node: &mut GroupBuilder, params: &Params, name: &str, shape: [usize; 2]) -> Result<()> {
    let weight = tensor(params, &format!("{name}.weight"), &shape)?;
    let bias = tensor(params, &format!("{name}.bias"), &shape[..1])?;
    let sides = shape.map(|n| n as u64);
    node.create_dataset("weight").with_f32_data(&weight.data.floats()).with_shape(&sides);
    node.create_dataset("bias").with_f32_data(&bias.data.floats());
    Ok(())
}

fn tensor<'a>(params: &'a Params, name: &str, shape: &[usize]) -> Result<&'a Tensor> {
    let own = params.tensors().iter().find(|t| t.name == name);
    match own {
        Some(own) if own.shape == shape => Ok(own),
        other => {
            let found = other.map_or("none".into(), |t| format!("shape {:?}", t.shape));
            Err(Error::expected(ErrorKind::Model, Place::tensor(name), format!("shape {shape:?}"), found))
        }
    }
}

/// What each of so many neurons is like: at rest at 0, with resistance 1, anew at 0.
fn neurons_of(node: &mut GroupBuilder, lif: Lif, count: usize) {
    let tau = (STEP / f64::from(lif.leak)) as f32;
    for (name, value) in
        [("tau", tau), ("r", 1.0), ("v_leak", 0.0), ("v_reset", 0.0), ("v_threshold", lif.threshold)]
    {
        node.create_dataset(name).with_f32_data(&vec![value; count]);
    }
}
