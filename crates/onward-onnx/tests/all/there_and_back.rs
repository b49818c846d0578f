//! Models written as ONNX files and read again answer as before.

use onward::ErrorKind;
use onward::evaluate::Local;
use onward::kernel::Precision;
use onward::model::{
    Act, Activation, Attention, Builder, Conv, GlobalPool, Graph, Mlp, Model, Statistics, Var,
};
use onward::noise::RunKey;
use onward::params::{Params, Tensor};
use onward::task::Loss;
use onward::threads::Threads;
use onward_onnx::{Net, write};
use std::path::PathBuf;
use std::sync::Arc;

fn local(model: Arc<dyn Model>) -> Local {
    Local::new(model, Arc::new(Loss::CrossEntropy), &Threads::new(1).unwrap())
}

/// Numbers from −1 to 1 without a pattern that matters.
fn numbers(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|n| ((n * 7919 + salt * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Params without a zero among them.
fn params(graph: &Graph) -> Params {
    let base = Params::init(graph.tensors(), &RunKey::from_seed(3));
    let moved = base.tensors().iter().enumerate().map(|(salt, t)| {
        let noise = numbers(t.data.len(), salt);
        let data = t.data.iter().zip(&noise).map(|(v, z)| 0.5 * v + 0.2 * z + 0.01).collect();
        Tensor { data, ..t.clone() }
    });
    Params::from_tensors(moved.collect())
}

/// The largest distance between what a model answers and what its file does.
fn distance(model: Arc<dyn Model>, shape: [usize; 3]) -> f32 {
    let graph = Graph::new(&*model, shape).unwrap();
    let (params, local) = (params(&graph), local(Arc::clone(&model)));
    let rows = numbers(6 * shape.iter().product::<usize>(), 17);
    let all = Act::new(6, shape, rows.clone());
    let statistics: Vec<Statistics> = local.statistics(&params, all).unwrap();
    let before = onward::train::predict(&local, &params, &statistics, &rows, shape).unwrap();
    let file = write(&graph, &params, &statistics, Precision::F32, &[("onward.run", "x".into())]).unwrap();
    assert_eq!(
        file,
        write(&graph, &params, &statistics, Precision::F32, &[("onward.run", "x".into())]).unwrap()
    );
    let net = Net::read(&file, &mut |_| panic!("there is no other file")).unwrap();
    let (_, read) = net.begin(shape).unwrap();
    let after = onward::train::predict(&self::local(Arc::new(net)), &read, &[], &rows, shape).unwrap();
    assert_eq!(before.len(), after.len());
    before.iter().zip(&after).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn nets_that_specs_name_come_back() {
    let functions =
        [Activation::Relu, Activation::Tanh, Activation::Gelu, Activation::Silu, Activation::Softplus];
    for activation in functions {
        let distance = distance(Arc::new(Mlp::new(&[12, 9, 7, 4], activation).unwrap()), [2, 3, 2]);
        assert!(distance < 1e-5, "{activation:?}: {distance}");
    }
    for (pool, batch_norm) in
        [(GlobalPool::Average, true), (GlobalPool::Max, false), (GlobalPool::None, true)]
    {
        let conv = Conv {
            input: [8, 6, 2],
            channels: vec![3, 3, 4, 4],
            average_pool_after: vec![1],
            max_pool_after: vec![2],
            batch_norm,
            bias: !batch_norm,
            residual: vec![None, Some(0), None, Some(2)],
            activation: Activation::Relu,
            global_pool: pool,
            outputs: 5,
        };
        let Ok(conv) = conv.checked() else { continue };
        let distance = distance(Arc::new(conv), [8, 6, 2]);
        assert!(distance < 1e-5, "{pool:?}: {distance}");
    }
}

/// Items with norms, tables, cut and joined channels.
struct Items;

impl Model for Items {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, 6);
        let y = g.layer_norm("norm", x);
        let y = g.linear_without_bias("middle", y, 6);
        let y = g.rms_norm("rms", y);
        let (a, b) = (g.channels(y, 0..2), g.channels(y, 2..6));
        let y = g.concat(&[b, a]);
        let x = g.add(x, y);
        let x = g.multiply(x, y);
        let x = g.global_average(x);
        Ok(g.linear("out", x, 3))
    }
}

#[test]
fn a_net_over_items_comes_back() {
    let distance = distance(Arc::new(Items), [1, 5, 4]);
    assert!(distance < 1e-5, "{distance}");
}

/// An operation that there is no way to write.
struct Attending;

impl Model for Attending {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, 4);
        let x = g.attention([x, x, x], Attention { heads: 2, causal: true, rotary: None });
        let x = g.global_average(x);
        Ok(g.linear("out", x, 3))
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let graph = Graph::new(&Attending, [1, 5, 4]).unwrap();
    let error = write(&graph, &params(&graph), &[], Precision::F32, &[]).unwrap_err();
    assert!(error.to_string().ends_with("found causal attention, 2 heads"), "{error}");
    let mlp = Mlp::new(&[3, 2], Activation::Relu).unwrap();
    let graph = Graph::new(&mlp, [1, 1, 3]).unwrap();
    let error = write(&graph, &params(&graph), &[], Precision::bf16(), &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Spec);
    assert!(error.to_string().contains("expected f32 or int8"), "{error}");
}

/// A file's net goes back into its own graph, with params that each place has for itself.
#[test]
fn nets_of_files_go_back_into_them() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/onnx");
    let nets = [
        ("mlp", [1, 1, 8]),
        ("residual", [8, 8, 2]),
        ("lstm", [1, 6, 4]),
        ("lstm-both", [1, 6, 4]),
        ("gru", [1, 6, 4]),
        ("transformer", [1, 1, 6]),
        ("encoder", [1, 6, 4]),
    ];
    for (name, by, shape) in nets.iter().flat_map(|(name, shape)| ["new", "old"].map(|by| (name, by, *shape)))
    {
        let read = |bytes: &[u8]| Net::read(bytes, &mut |_| panic!("there is no other file")).unwrap();
        let net = read(&std::fs::read(folder.join(format!("{name}-{by}.onnx"))).unwrap());
        let (graph, first) = net.begin(shape).unwrap();
        let params = params(&graph);
        assert_ne!(first, params);
        let again = read(&net.with(shape, &params, &[("onward.run", "x".into())]).unwrap());
        let (other, back) = again.begin(shape).unwrap();
        let data = |params: &Params| {
            params.tensors().iter().map(|t| t.data.floats().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(data(&back), data(&params), "{name} by the {by} exporter");
        assert_eq!(other.flops(), graph.flops());
    }
}
