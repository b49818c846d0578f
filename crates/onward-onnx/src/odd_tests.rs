//! Files that are sound and unusual: they answer as they should, and go out and in again without a change.
#![allow(clippy::unwrap_used)]

use crate::Net;
use crate::proto::{self, Attribute, Graph, Model, Node, Tensor};
use crate::tests::{floats, node, nowhere, sound, value};
use onward::evaluate::Local;
use onward::model::{Act, Norms, Shape};
use onward::params::Params;
use onward::task::Loss;
use onward::threads::Threads;
use prost::Message;
use std::sync::Arc;

/// Rows of these numbers, as the net with its own weights answers them, or those.
fn answers(net: Net, params: Option<&Params>, shape: Shape, x: &[f32]) -> Vec<f32> {
    let own = net.begin(shape).unwrap().1;
    let local = Local::new(Arc::new(net), Arc::new(Loss::SquaredError), &Threads::new(1).unwrap());
    let rows = Act::new(x.len() / shape.iter().product::<usize>(), shape, x.to_vec());
    local.outputs(params.unwrap_or(&own), rows, Norms::Batch).unwrap().data().to_vec()
}

/// What the file answers, which it must still do when it was trained, written and read again, and then be written as the same bytes.
fn there_and_back(file: &Model, shape: Shape, x: &[f32]) -> Vec<f32> {
    let read = |bytes: &[u8]| Net::read(bytes, &mut nowhere).unwrap();
    let net = read(&file.encode_to_vec());
    let mut params = net.begin(shape).unwrap().1;
    let moved = params.tensors().iter().map(|tensor| {
        let data: Vec<f32> =
            tensor.data.iter().enumerate().map(|(n, v)| v + 0.125 * (n % 3) as f32).collect();
        onward::params::Tensor { data: data.into(), ..tensor.clone() }
    });
    let first = answers(read(&file.encode_to_vec()), None, shape, x);
    params = Params::from_tensors(moved.collect());
    let wanted = answers(read(&file.encode_to_vec()), Some(&params), shape, x);
    let written = net.with(shape, &params, &[]).unwrap();
    let again = read(&written);
    let params = again.begin(shape).unwrap().1;
    assert_eq!(answers(read(&written), None, shape, x), wanted);
    let stays = again.with(shape, &params, &[]).unwrap() == written;
    assert!(stays, "what is written does not stay as it is");
    first
}

fn file(nodes: Vec<Node>, initializer: Vec<Tensor>, input: &[i64], output: &[i64]) -> Model {
    let (input, output) = (vec![value("x", input)], vec![value("out", output)]);
    Model { graph: Some(Graph { node: nodes, initializer, input, output, ..Graph::default() }), ..sound() }
}

fn whole(name: &str, numbers: &[i64]) -> Tensor {
    let dims = vec![numbers.len() as i64];
    Tensor {
        name: name.into(),
        dims,
        data_type: proto::INT64,
        int64_data: numbers.to_vec(),
        ..Tensor::default()
    }
}

fn with_int(node: Node, name: &str, i: i64) -> Node {
    let attribute = Attribute { name: name.into(), i, r#type: proto::INT_ATTRIBUTE, ..Attribute::default() };
    Node { attribute: vec![attribute], ..node }
}

#[test]
fn a_sum_over_a_whole_row_is_taken_to_its_numbers() {
    let nodes = vec![
        node("ReduceSum", &["x", "axes"], "sum"),
        node("Mul", &["x", "sum"], "y"),
        node("MatMul", &["y", "w"], "out"),
    ];
    let file = file(nodes, vec![whole("axes", &[1]), floats("w", &[4, 1], 0.5)], &[0, 4], &[0, 1]);
    let x = [1.0, 2.0, 3.0, 4.0, -1.0, 1.0, 0.5, 0.0];
    assert_eq!(there_and_back(&file, [1, 1, 4], &x), [50.0, 0.125]);
}

#[test]
fn weights_that_are_called_inputs_are_weights() {
    let mut model = sound();
    let graph = model.graph.as_mut().unwrap();
    graph.input.extend([value("a.weight", &[4, 5]), value("b.weight", &[5, 3])]);
    assert_eq!(there_and_back(&model, [1, 1, 4], &[1.0, 2.0, -1.0, 0.0]), [1.25; 3]);
    let net = Net::read(&model.encode_to_vec(), &mut nowhere).unwrap();
    let params = net.begin([1, 1, 4]).unwrap().1;
    let written = Model::decode(&net.with([1, 1, 4], &params, &[]).unwrap()[..]).unwrap();
    assert_eq!(written.graph.unwrap().input.len(), 1);
}

#[test]
fn weights_that_are_cast_to_floats_train_and_are_written_as_floats() {
    let mut model = sound();
    let graph = model.graph.as_mut().unwrap();
    let first = &mut graph.initializer[0];
    // One half, of half precision.
    *first = Tensor {
        data_type: proto::FLOAT16,
        float_data: Vec::new(),
        int32_data: vec![0x3800; 20],
        ..first.clone()
    };
    graph.node[0].input[1] = "wide".into();
    graph.node.insert(0, with_int(node("Cast", &["a.weight"], "wide"), "to", proto::FLOAT.into()));
    assert_eq!(there_and_back(&model, [1, 1, 4], &[1.0, 2.0, -1.0, 0.0]), [1.25; 3]);
    // One that is worked with in half precision would be of two types.
    let graph = model.graph.as_mut().unwrap();
    graph.node[1].input[1] = "a.weight".into();
    let net = Net::read(&model.encode_to_vec(), &mut nowhere).unwrap();
    let params = net.begin([1, 1, 4]).unwrap().1;
    let error = net.with([1, 1, 4], &params, &[]).unwrap_err().to_string();
    assert_eq!(error, "tensor a.weight: expected weights in f32, to write others there, found another type");
}

#[test]
fn a_shape_with_the_files_own_number_of_rows_is_of_any_number() {
    for rows in [1, 3] {
        let nodes = vec![node("Reshape", &["x", "shape"], "y"), node("MatMul", &["y", "w"], "out")];
        let tensors = vec![whole("shape", &[rows, -1]), floats("w", &[4, 2], 0.5)];
        let file = file(nodes, tensors, &[rows, 2, 2], &[rows, 2]);
        let x = [1.0, 2.0, 3.0, 4.0, -1.0, 1.0, 0.5, 0.0];
        assert_eq!(there_and_back(&file, [1, 2, 2], &x), [5.0, 5.0, 0.25, 0.25]);
    }
}

/// Two cells that say nothing but their last state, over one item each.
#[test]
fn cells_over_one_item_keep_weights_of_their_own() {
    let cell = |weights: [&str; 2], output: &str| {
        let cell = Node {
            output: vec![String::new(), output.into()],
            ..node("LSTM", &["t", weights[0], weights[1]], "")
        };
        with_int(cell, "hidden_size", 2)
    };
    let turned = Attribute {
        name: "perm".into(),
        ints: vec![1, 0, 2],
        r#type: proto::INTS_ATTRIBUTE,
        ..Attribute::default()
    };
    let nodes = vec![
        Node { attribute: vec![turned], ..node("Transpose", &["x"], "t") },
        cell(["a", "ra"], "one"),
        cell(["b", "rb"], "two"),
        node("Add", &["one", "two"], "sum"),
        node("Squeeze", &["sum", "axes"], "y"),
        node("MatMul", &["y", "w"], "out"),
    ];
    let tensors = vec![
        floats("a", &[1, 8, 3], 0.5),
        floats("ra", &[1, 8, 2], 0.25),
        floats("b", &[1, 8, 3], -0.75),
        floats("rb", &[1, 8, 2], 0.5),
        whole("axes", &[0]),
        floats("w", &[2, 1], 1.0),
    ];
    let file = file(nodes, tensors, &[0, 1, 3], &[0, 1]);
    let found = there_and_back(&file, [1, 1, 3], &[1.0, -0.5, 0.25]);
    let lstm = |s: f64| (s.tanh() / (1.0 + (-s).exp())).tanh() / (1.0 + (-s).exp());
    let wanted = 2.0 * (lstm(0.75 * 0.5) + lstm(0.75 * -0.75));
    assert!((f64::from(found[0]) - wanted).abs() < 1e-6, "{found:?} is not {wanted}");
}

#[test]
fn numbers_are_chosen_by_comparisons_and_by_masks() {
    let nodes = vec![
        node("MatMul", &["x", "w"], "y"),
        node("Less", &["y", "bound"], "low"),
        node("Where", &["low", "floor", "y"], "z"),
        node("Where", &["mask", "z", "y"], "v"),
        node("MatMul", &["v", "o"], "out"),
    ];
    let mask = Tensor {
        data_type: proto::BOOL,
        int64_data: Vec::new(),
        int32_data: vec![1, 0],
        ..whole("mask", &[1, 0])
    };
    let mut w = floats("w", &[2, 2], 0.0);
    w.float_data = vec![1.0, 0.0, 0.0, 1.0];
    let tensors =
        vec![w, floats("bound", &[], 0.5), floats("floor", &[1, 2], -2.0), mask, floats("o", &[2, 1], 1.0)];
    let file = file(nodes, tensors, &[0, 2], &[0, 1]);
    let x = [0.25, 0.25, 0.75, 3.0];
    assert_eq!(there_and_back(&file, [1, 1, 2], &x), [-2.0 + 0.25, 0.75 + 3.0]);
}

#[test]
fn weights_in_double_precision_are_refused_where_a_run_begins() {
    let mut model = sound();
    let read = |model: &Model| Net::read(&model.encode_to_vec(), &mut nowhere).unwrap();
    read(&model).check_writable().unwrap();
    let first = &mut model.graph.as_mut().unwrap().initializer[0];
    let raw_data = [0.5f64.to_le_bytes(); 20].concat();
    *first = Tensor { data_type: proto::DOUBLE, float_data: Vec::new(), raw_data, ..first.clone() };
    let told = read(&model).check_writable().unwrap_err().to_string();
    assert_eq!(
        told,
        "tensor a.weight: expected weights in f32, found f64 (in PyTorch, net.float() before the export)"
    );
}
