//! Files that are not as they should be, each of a kind.
#![allow(clippy::unwrap_used)]

use crate::proto::{self, Attribute, Entry, Graph, Node, Tensor, ValueInfo};
use crate::{Elsewhere, Net};
use onward::{Error, ErrorKind, Result};
use prost::Message;

fn floats(name: &str, dims: &[i64], value: f32) -> Tensor {
    let count = dims.iter().product::<i64>() as usize;
    Tensor {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: proto::FLOAT,
        float_data: vec![value; count],
        ..Tensor::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> Node {
    let input = inputs.iter().map(|name| (*name).to_owned()).collect();
    Node { op_type: op.into(), input, output: vec![output.into()], ..Node::default() }
}

fn value(name: &str, sides: &[i64]) -> ValueInfo {
    let dim = |n: &i64| proto::Dimension { dim_value: Some(*n).filter(|n| *n > 0), dim_param: None };
    let shape = proto::Shape { dim: sides.iter().map(dim).collect() };
    let tensor_type = proto::TensorType { elem_type: proto::FLOAT, shape: Some(shape) };
    ValueInfo { name: name.into(), r#type: Some(proto::Type { tensor_type: Some(tensor_type) }) }
}

/// A product, a function and another product.
fn sound() -> proto::Model {
    let graph = Graph {
        node: vec![
            node("MatMul", &["x", "a.weight"], "y"),
            node("Relu", &["y"], "z"),
            node("MatMul", &["z", "b.weight"], "out"),
        ],
        initializer: vec![floats("a.weight", &[4, 5], 0.5), floats("b.weight", &[5, 3], 0.25)],
        input: vec![value("x", &[0, 4])],
        output: vec![value("out", &[0, 3])],
        ..Graph::default()
    };
    let opset_import = vec![proto::OperatorSet { domain: String::new(), version: 20 }];
    proto::Model { ir_version: 9, graph: Some(graph), opset_import, ..proto::Model::default() }
}

fn nowhere(other: &Elsewhere) -> Result<Vec<u8>> {
    Err(Error::expected(ErrorKind::Io, other.name.clone(), "a file", "none"))
}

/// What is wrong with the sound file once it is changed.
fn refused(change: impl FnOnce(&mut proto::Model)) -> String {
    let mut model = sound();
    change(&mut model);
    let net = Net::read(&model.encode_to_vec(), &mut nowhere);
    net.and_then(|net| net.begin([1, 1, 4]).map(|_| ())).unwrap_err().to_string()
}

fn graph(model: &mut proto::Model) -> &mut Graph {
    model.graph.as_mut().unwrap()
}

#[test]
fn a_sound_file_is_taken() {
    let net = Net::read(&sound().encode_to_vec(), &mut nowhere).unwrap();
    let (graph, params) = net.begin([1, 1, 4]).unwrap();
    assert_eq!((graph.outputs(), params.count()), (3, 35));
    assert_eq!(net.to_bytes(), sound().encode_to_vec());
}

#[test]
fn versions_that_are_not_known_are_named() {
    let error = refused(|m| m.opset_import[0].version = 99);
    assert_eq!(error, "file: expected operations of version 13 to 23 (opset), found version 99");
    assert!(refused(|m| m.opset_import.clear()).contains("ONNX's own operations"));
    assert!(refused(|m| m.functions.push(vec![1])).contains("of its own (functions)"));
}

#[test]
fn operations_that_are_not_known_are_named() {
    let error = refused(|m| graph(m).node[1].op_type = "Unfold".into());
    assert_eq!(error, "Unfold z: expected an operation that there is a way to lower, found Unfold");
    let error = refused(|m| graph(m).node[1].domain = "com.microsoft".into());
    assert_eq!(error, "Relu z: expected one of ONNX's own operations, found one of com.microsoft");
}

#[test]
fn tensors_of_a_wrong_type_or_length_are_named() {
    let error = refused(|m| graph(m).initializer[0].float_data.truncate(7));
    assert_eq!(error, "tensor a.weight: numbers: expected 20 numbers, as its shape [4, 5] has, found 7");
    let error = refused(|m| graph(m).initializer[1].data_type = 8);
    assert!(error.starts_with("tensor b.weight: type: expected numbers of f32, f16"), "{error}");
    let error = refused(|m| graph(m).initializer[1].raw_data = vec![0; 61]);
    assert_eq!(error, "tensor b.weight: numbers: expected whole numbers of 4 bytes, found 61 bytes");
    let error = refused(|m| graph(m).initializer[0].dims[0] = i64::MAX);
    assert!(error.starts_with("tensor a.weight: shape: expected at most"), "{error}");
    let error = refused(|m| graph(m).initializer[0].dims[0] = -4);
    assert!(error.contains("axes of at least 0"), "{error}");
    let error = refused(|m| graph(m).initializer[0].float_data[3] = f32::NAN);
    assert_eq!(error, "tensor a.weight: expected finite numbers, found NaN");
}

#[test]
fn weights_elsewhere_have_to_be_there() {
    let elsewhere = |location: &str, length: &str| {
        let entry = |key: &str, value: &str| Entry { key: key.into(), value: value.into() };
        let external_data = vec![entry("location", location), entry("offset", "8"), entry("length", length)];
        let mut model = sound();
        let first = &mut graph(&mut model).initializer[0];
        *first = Tensor { external_data, data_location: 1, float_data: Vec::new(), ..first.clone() };
        model
    };
    let missing = Net::read(&elsewhere("w.bin", "80").encode_to_vec(), &mut nowhere).unwrap_err();
    assert_eq!(missing.to_string(), "tensor a.weight: w.bin: expected a file, found none");
    let short = |_: &Elsewhere| Ok(vec![0; 79]);
    let error = Net::read(&elsewhere("w.bin", "80").encode_to_vec(), &mut { short }).unwrap_err();
    assert_eq!(error.to_string(), "tensor a.weight: w.bin: expected 80 bytes from 8 on, found 79 bytes");
    for outside in ["../w.bin", "/w.bin", "a/../../w.bin", "", "c:w"] {
        let error =
            Net::read(&elsewhere(outside, "80").encode_to_vec(), &mut |_| Ok(vec![0; 80])).unwrap_err();
        assert!(error.to_string().contains("a file beside the model's"), "{error}");
    }
    let error = Net::read(&elsewhere("w.bin", "many").encode_to_vec(), &mut nowhere).unwrap_err();
    assert!(error.to_string().contains("external data: length: expected a number"), "{error}");
    // Once read, they are in the net.
    let net = Net::read(&elsewhere("w.bin", "80").encode_to_vec(), &mut |_| Ok(vec![0; 80])).unwrap();
    let again = Net::read(&net.to_bytes(), &mut nowhere).unwrap();
    assert_eq!(again.begin([1, 1, 4]).unwrap().1, net.begin([1, 1, 4]).unwrap().1);
}

#[test]
fn graphs_that_are_none_are_named() {
    let error = refused(|m| graph(m).node[0].input[0] = "out".into());
    assert!(error.contains("expected a graph without cycles, found the input"), "{error}");
    let error = refused(|m| graph(m).node[1].input[0] = "w".into());
    assert_eq!(error, "Relu z: expected an input w that something gives, found a dangling variable");
    let error = refused(|m| graph(m).output[0].name = "answer".into());
    assert_eq!(error, "output answer: expected a node that gives it, found none");
    let error = refused(|m| graph(m).node[1].output[0] = "y".into());
    assert!(error.contains("to be the only one that gives y"), "{error}");
    let error = refused(|m| graph(m).input.push(value("more", &[0, 4])));
    assert_eq!(error, "graph: expected one input, found 2 (x, more)");
    assert!(refused(|m| m.graph = None).contains("a graph"));
    assert!(refused(|m| graph(m).output.clear()).contains("expected an output, found none"));
}

#[test]
fn shapes_that_disagree_are_named() {
    let error = refused(|m| graph(m).initializer[1] = floats("b.weight", &[6, 3], 1.0));
    assert_eq!(error, "MatMul out: expected 6 numbers along the last axis, found [batch, 5]");
    let error = refused(|m| graph(m).input[0] = value("x", &[0, 7]));
    assert!(error.starts_with("input x: expected axes that agree after the batch's"), "{error}");
    let error = refused(|m| graph(m).node[1] = node("Add", &["y", "b.weight"], "z"));
    assert!(error.contains("Add z: expected shapes that agree, or axes of 1"), "{error}");
    let error = refused(|m| {
        let shape = Tensor {
            name: "s".into(),
            dims: vec![2],
            data_type: proto::INT64,
            int64_data: vec![-1, 4],
            ..Tensor::default()
        };
        graph(m).initializer.push(shape);
        graph(m).node[1] = node("Reshape", &["y", "s"], "z");
    });
    assert!(error.starts_with("Reshape z: expected a shape of the numbers of [batch, 5]"), "{error}");
    let error = refused(|m| {
        let axis =
            Attribute { name: "axis".into(), i: 7, r#type: proto::INT_ATTRIBUTE, ..Attribute::default() };
        graph(m).node[1] = Node { attribute: vec![axis], ..node("Softmax", &["y"], "z") };
    });
    assert_eq!(error, "Softmax z: expected an axis of 2, found 7");
}

/// Files of PyTorch's, cut everywhere and changed in places, lead to an error or a net: never to a panic or to much memory.
#[test]
fn whatever_a_file_holds_is_answered() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx");
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    for (name, shape) in [
        ("residual-new", [8, 8, 2]),
        ("lstm-new", [1, 6, 4]),
        ("encoder-old", [1, 6, 4]),
        ("transformer-new", [1, 1, 6]),
    ] {
        let good = std::fs::read(format!("{folder}/{name}.onnx")).unwrap();
        let tried =
            |bytes: &[u8]| Net::read(bytes, &mut nowhere).and_then(|net| net.begin(shape).map(|_| ()));
        tried(&good).unwrap();
        for _ in 0..60 {
            let _ = tried(&good[..random(good.len())]);
        }
        assert!(tried(&good[..good.len() / 2]).is_err());
        for _ in 0..1500 {
            let mut bytes = good.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = random(256) as u8;
            }
            let _ = tried(&bytes);
        }
    }
}
