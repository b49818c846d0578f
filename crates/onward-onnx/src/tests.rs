//! Files that are not as they should be, each of a kind.
#![allow(clippy::unwrap_used)]

use crate::proto::{self, Attribute, Entry, Graph, Node, Tensor, ValueInfo};
use crate::{Elsewhere, Net};
use onward::{Error, ErrorKind, Result};
use prost::Message;

pub(super) fn floats(name: &str, dims: &[i64], value: f32) -> Tensor {
    let count = dims.iter().product::<i64>() as usize;
    Tensor {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: proto::FLOAT,
        float_data: vec![value; count],
        ..Tensor::default()
    }
}

pub(super) fn node(op: &str, inputs: &[&str], output: &str) -> Node {
    let input = inputs.iter().map(|name| (*name).to_owned()).collect();
    Node { op_type: op.into(), input, output: vec![output.into()], ..Node::default() }
}

pub(super) fn value(name: &str, sides: &[i64]) -> ValueInfo {
    let dim = |n: &i64| proto::Dimension { dim_value: Some(*n).filter(|n| *n > 0), dim_param: None };
    let shape = proto::Shape { dim: sides.iter().map(dim).collect() };
    let tensor_type = proto::TensorType { elem_type: proto::FLOAT, shape: Some(shape) };
    ValueInfo { name: name.into(), r#type: Some(proto::Type { tensor_type: Some(tensor_type) }) }
}

/// A product, a function and another product.
pub(super) fn sound() -> proto::Model {
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

pub(super) fn nowhere(other: &Elsewhere) -> Result<Vec<u8>> {
    Err(Error::expected(ErrorKind::Io, other.name.clone(), "a file", "none"))
}

/// What is wrong with the sound file once it is changed.
fn refused(change: impl FnOnce(&mut proto::Model)) -> String {
    let mut model = sound();
    change(&mut model);
    let net = Net::read(&model.encode_to_vec(), &mut nowhere);
    net.and_then(|net| net.begin([1, 1, 4]).map(|_| ())).unwrap_err().to_string()
}

pub(super) fn graph(model: &mut proto::Model) -> &mut Graph {
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

/// A product, whose sine is an answer, and another product of its cosine.
fn of_two() -> proto::Model {
    let mut model = sound();
    let graph = graph(&mut model);
    graph.node[1] = node("Cos", &["y"], "z");
    graph.node.push(node("Sin", &["y"], "wave"));
    graph.output.push(value("wave", &[0, 5]));
    graph.initializer[0].float_data = (0..20).map(|i| (i as f32 * 0.9).sin()).collect();
    graph.initializer[1].float_data = (0..15).map(|i| (i as f32 * 1.3).cos()).collect();
    model
}

#[test]
fn all_outputs_of_a_file_are_answers() {
    let file = of_two().encode_to_vec();
    let read = || Net::read(&file, &mut nowhere).unwrap();
    assert_eq!(read().outputs().collect::<Vec<_>>(), ["out", "wave"]);
    let x: Vec<f32> = (0..12).map(|i| i as f32 * 0.4 - 2.0).collect();
    let threads = onward::threads::Threads::new(1).unwrap();
    let told = |net: Net, params: &onward::params::Params| {
        let task = std::sync::Arc::new(onward::task::Loss::SquaredError);
        let local = onward::evaluate::Local::new(std::sync::Arc::new(net), task, &threads);
        let rows = onward::model::Act::new(3, [1, 1, 4], x.clone());
        local.outputs(params, rows, onward::model::Norms::Batch).unwrap().data().to_vec()
    };
    let net = read().answering(&["wave", "out", "wave"]).unwrap();
    let (graph, params) = net.begin([1, 1, 4]).unwrap();
    assert_eq!(graph.named_outputs(), [("wave".into(), 0..5), ("out".into(), 5..8)]);
    let found = told(net, &params);
    for (row, found) in found.chunks(8).enumerate() {
        let product = |x: &[f64], w: &[f32], n: usize| -> Vec<f64> {
            (0..n).map(|o| x.iter().enumerate().map(|(k, x)| x * f64::from(w[k * n + o])).sum()).collect()
        };
        let weights = of_two().graph.unwrap().initializer;
        let row: Vec<f64> = x[row * 4..][..4].iter().map(|v| f64::from(*v)).collect();
        let y = product(&row, &weights[0].float_data, 5);
        let cosines: Vec<f64> = y.iter().map(|y| y.cos()).collect();
        let want = y.iter().map(|y| y.sin()).chain(product(&cosines, &weights[1].float_data, 3));
        for (found, want) in found.iter().zip(want) {
            assert!((f64::from(*found) - want).abs() < 2e-6, "{found}, not {want}");
        }
    }
    // Back into its own graph, and written from ours: the same outputs, of the same bits.
    let net = read().answering(&["wave", "out"]).unwrap();
    let back = net.with([1, 1, 4], &params, &[]).unwrap();
    let written = crate::write(&graph, &params, &[], onward::kernel::Precision::F32, &[]).unwrap();
    for file in [back, written] {
        let net = Net::read(&file, &mut nowhere).unwrap().answering(&["wave", "out"]).unwrap();
        assert_eq!(net.outputs().count(), 2);
        let params = net.begin([1, 1, 4]).unwrap().1;
        assert_eq!(told(net, &params), found);
    }
    // As before, the first is the answer where nothing is said.
    let (first, params) = read().begin([1, 1, 4]).unwrap();
    assert_eq!((first.outputs(), first.named_outputs().len()), (3, 0));
    let alone = read().with([1, 1, 4], &params, &[]).unwrap();
    assert_eq!(Net::read(&alone, &mut nowhere).unwrap().outputs().collect::<Vec<_>>(), ["out"]);
    let error = read().answering(&["out", "value"]).unwrap_err().to_string();
    assert_eq!(error, "outputs: expected some of out, wave, found value");
}

#[test]
fn an_output_that_has_the_name_of_another_value_is_not_written() {
    struct Named;
    impl onward::model::Model for Named {
        fn build(&self, g: &mut onward::model::Builder) -> Result<onward::model::Var> {
            let x = g.input();
            let y = g.linear("a", x, 2);
            Ok(g.outputs(&[("a.bias", y), ("input", x)]))
        }
    }
    let graph = onward::model::Graph::new(&Named, [1, 1, 4]).unwrap();
    let params = onward::params::Params::init(graph.tensors(), &onward::noise::RunKey::from_seed(1));
    let error = crate::write(&graph, &params, &[], onward::kernel::Precision::F32, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "output a.bias: expected a name that no other value of the file has, found one"
    );
}
