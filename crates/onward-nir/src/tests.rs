use crate::{read, write};
use hdf5_pure::File;
use onward::model::{Coding, Graph, Lif, Spiking};
use onward::noise::RunKey;
use onward::params::Params;

fn net() -> Spiking {
    let lif = Lif { leak: 0.3, threshold: 0.75 };
    Spiking { coding: Coding::Latency, steps: 5, hidden: vec![6, 4], lif, outputs: 3 }
}

fn params() -> Params {
    let graph = Graph::new(&net(), [1, 1, 7]).expect("a net");
    Params::init(graph.tensors(), &RunKey::from_seed(2))
}

fn file() -> Vec<u8> {
    write(&net(), 7, &params(), &[("onward.run", "spikes".into())]).expect("a file")
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(read(&file(), &net(), 7).expect("the net"), params());
    let written = File::from_bytes(file()).expect("HDF5");
    let one = |path: &str| written.dataset(path).expect(path).read_string().expect(path)[0].clone();
    assert_eq!((one("version"), one("node/nodes/lif2/type")), ("1.0".into(), "LIF".into()));
    assert_eq!(one("node/metadata/onward.run"), "spikes");
    let edges = written.dataset("node/edges").expect("edges");
    assert_eq!(edges.shape().expect("a shape"), [6, 2]);
    assert_eq!(edges.read_string().expect("names")[..4], ["input", "fc1", "fc1", "lif1"]);
}

/// What a reader who knows neither leak nor threshold of its own is told.
#[test]
fn neurons_of_other_kinds_become_part_of_the_weights() {
    let other = Spiking { lif: Lif { leak: 0.3, threshold: 1.5 }, ..net() };
    let (read, own) = (read(&file(), &other, 7).expect("the net"), params());
    let first = |params: &Params, tensor: usize| params.tensors()[tensor].data.at(0);
    assert_eq!(first(&read, 0), 2.0 * first(&own, 0));
    assert_eq!(first(&read, 4), first(&own, 4));
}

#[test]
fn what_is_no_chain_of_such_layers_is_refused() {
    let refused = |bytes: &[u8], net: &Spiking, inputs: usize, words: &str| {
        let error = read(bytes, net, inputs).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(b"none", &net(), 7, "a NIR file (HDF5)");
    refused(&file()[..file().len() / 2], &net(), 7, "a NIR file (HDF5)");
    refused(&file(), &net(), 8, "fc1.weight: expected shape [6, 8], found [6, 7]");
    let shallow = Spiking { hidden: vec![6], ..net() };
    refused(&file(), &shallow, 7, "expected Affine, LIF, Affine, found Affine, LIF, Affine, LIF, Affine");
    let bytes = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = file();
        let at: Vec<usize> = bytes
            .windows(from.len())
            .enumerate()
            .filter(|(_, w)| *w == from.as_bytes())
            .map(|(i, _)| i)
            .collect();
        at.iter().for_each(|at| bytes[*at..at + to.len()].copy_from_slice(to.as_bytes()));
        bytes
    };
    refused(
        &bytes("Affine", "Conv2d"),
        &net(),
        7,
        "expected Input, Output, Affine, Linear, LIF or Flatten, found Conv2d",
    );
}
