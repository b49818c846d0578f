//! Local credit: against central differences of f64 forward passes, probes of all kinds of operations, steps, and what it refuses.

use crate::common::reference::{Map, Named, Statistics64, conv, cross_entropy, derivative, mlp, named};
use crate::common::{
    Shaped, blobs, cosine, distance, local, local_plan, params_of, params_on, plan, small_conv, step_of,
    sum_of_halves, threads, trainer, whole, wide,
};
use onward::ErrorKind;
use onward::dataset::{Columns, Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::model::{Act, Activation, Builder, Conv, Mlp, Model, RowOp, Shape, Var};
use onward::noise::RunKey;
use onward::params::Params;
use onward::rule::{Method, RelativeLocal};
use onward::space::LocalPlan;
use onward::task::{Answers, Grain, ItemCrossEntropy, Loss, Task};
use std::sync::Arc;

fn method(top: u32) -> Method {
    Method::RelativeLocal(RelativeLocal { sigma: 0.003, top, ..Default::default() })
}

fn input(data: &Dataset) -> Map {
    Map::new(data.rows(), data.shape(), wide(data.features()))
}

/// The credit of every tensor, one after the other.
pub fn found(evaluator: &Local, params: &Params, data: &Dataset, plan: &LocalPlan) -> Vec<f64> {
    let key = RunKey::from_seed(1);
    let response = evaluator.local_derivative(&key, params, &whole(data), plan).unwrap();
    response.derivative.iter().flat_map(sum_of_halves).collect()
}

#[test]
fn perceptrons_earn_the_derivative_and_the_error_falls_with_the_square_of_sigma() {
    let widths = [6, 7, 5, 4, 3];
    let net = Mlp::new(&widths, Activation::Tanh).unwrap();
    let (data, params) = (blobs(23, [1, 1, 6], 3, 1), params_of(&net, 2));
    let loss = |p: &Named| cross_entropy(&mlp(p, 4, Activation::Tanh, input(&data)), data.targets());
    let truth = derivative(&named(&params), |_| true, loss);
    let truth: Vec<f64> = params.tensors().iter().flat_map(|t| truth[&t.name].clone()).collect();
    let evaluator = local(net.clone(), Loss::CrossEntropy, 2);
    let off = |sigma| {
        let plan = LocalPlan { sigma, ..local_plan(&net.graph()) };
        distance(&found(&evaluator, &params, &data, &plan), &truth)
    };
    assert!(off(0.01) < 1e-4, "{}", off(0.01));
    let order = (off(0.4) / off(0.2)).log2();
    assert!((1.5..2.5).contains(&order), "the error is O(σ^{order}), not O(σ²)");
}

/// Convolutions with pools, residuals and statistics of the batch, which are differentiated through.
#[test]
fn convolutions_with_statistics_of_the_batch_earn_the_derivative() {
    let residual = Conv {
        input: [5, 6, 2],
        channels: vec![3, 3, 4],
        average_pool_after: vec![0],
        max_pool_after: vec![],
        residual: vec![None, Some(0), Some(0)],
        activation: Activation::Tanh,
        ..small_conv()
    };
    let net = residual.checked().unwrap();
    let (data, params) = (blobs(10, net.input, 3, 3), params_of(&net, 4));
    let loss =
        |p: &Named| cross_entropy(&conv(&net, p, &mut Statistics64::default(), input(&data)), data.targets());
    let truth = derivative(&named(&params), |_| true, loss);
    let evaluator = local(net.clone(), Loss::CrossEntropy, 2);
    let key = RunKey::from_seed(4);
    let response =
        evaluator.local_derivative(&key, &params, &whole(&data), &local_plan(&net.graph())).unwrap();
    for (tensor, own) in params.tensors().iter().zip(&response.derivative) {
        let (own, want) = (sum_of_halves(own), &truth[&tensor.name]);
        let far = own.iter().zip(want).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let size = want.iter().map(|v| v * v).sum::<f64>().sqrt();
        // A bias in front of its own normalisation has no derivative at all.
        assert!(far < 2e-3 * size + 2e-5, "{}: off by {far} of {size}", tensor.name);
        assert!(size < 1e-4 || cosine(&own, want) > 0.9999, "{}", tensor.name);
    }
}

/// Evaluates what it is told to look like, once more.
struct Doubled;

impl RowOp for Doubled {
    fn name(&self) -> &str {
        "doubled 1"
    }
    fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
        Ok(inputs[0])
    }
    fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
        output.iter_mut().zip(inputs[0]).for_each(|(o, x)| *o = 2.0 * x);
    }
}

/// A task without a derivative of its own earns it from probes of the outputs, items apart; so do heads with weights of samples.
#[test]
fn tasks_without_a_derivative_are_probed() {
    struct Plain<T>(T, Grain);
    impl<T: Task> Task for Plain<T> {
        fn grain(&self) -> Grain {
            self.1
        }
        fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
            self.0.losses(outputs, answers, losses)
        }
    }
    let net = Mlp::new(&[6, 7, 3], Activation::Tanh).unwrap();
    let params = params_of(&net, 2);
    let classes = blobs(12, [1, 1, 6], 3, 1);
    let numbers: Vec<f32> = (0..36).map(|i| (i as f32 * 0.7).sin().abs()).collect();
    let values = Targets::Values { values: numbers, width: 3 };
    let values = Dataset::new(classes.features().to_vec(), [1, 1, 6], values).unwrap();
    let weights: Vec<f64> = (0..12).map(|i| f64::from(i % 4)).collect();
    let weighted = classes.clone().with_columns(Columns::default().with("weight", weights)).unwrap();
    for (loss, data) in [
        (Loss::CrossEntropy, &classes),
        (Loss::CrossEntropy, &weighted),
        (Loss::SquaredError, &classes),
        (Loss::SquaredError, &values),
        (Loss::SigmoidCrossEntropy, &values),
    ] {
        let known = Local::new(Arc::new(net.clone()), Arc::new(loss), &threads(1));
        let probed = Local::new(Arc::new(net.clone()), Arc::new(Plain(loss, Grain::Row)), &threads(1));
        let plan = local_plan(&net.graph());
        let [known, probed] = [known, probed].map(|local| found(&local, &params, data, &plan));
        assert!(distance(&probed, &known) < 1e-4, "{loss:?}: {}", distance(&probed, &known));
    }
}

/// The items of a row are answered apart, and so are their probes; what stands behind the end of a row earns nothing.
#[test]
fn items_earn_what_their_own_answers_do() {
    struct Items;
    impl Task for Items {
        fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
            ItemCrossEntropy.losses(outputs, answers, losses)
        }
    }
    let rows: Vec<(Vec<f32>, Vec<f32>)> = [3usize, 2, 3, 1]
        .iter()
        .map(|length| {
            let x = (0..*length).map(|i| ((7 * i + 3 * length) % 5) as f32).collect();
            (x, (0..*length).map(|i| ((i + length) % 4) as f32).collect())
        })
        .collect();
    let data = Dataset::ragged(&rows, 3).unwrap();
    struct PerItem;
    impl Model for PerItem {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let x = g.linear("in", x, 5);
            let x = g.map(Activation::Tanh, x);
            Ok(g.linear("out", x, 4))
        }
    }
    let [known, probed]: [Arc<dyn Task>; 2] = [Arc::new(ItemCrossEntropy), Arc::new(Items)];
    let [known, probed] = [known, probed].map(|task| {
        let evaluator = Local::new(Arc::new(PerItem), task, &threads(1));
        let graph = evaluator.graph(data.shape()).unwrap();
        found(&evaluator, &params_on(&graph, 3), &data, &local_plan(&graph))
    });
    assert!(distance(&probed, &known) < 1e-4, "{}", distance(&probed, &known));
}

/// Between two linear maps: an operation in Rust code, neurons that fire, steps.
struct Between(fn(&mut Builder, Var) -> Var);

impl Model for Between {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, 6);
        let x = (self.0)(g, x);
        Ok(g.linear("out", x, 4))
    }
}

#[test]
fn operations_in_rust_code_are_probed_number_by_number() {
    let data = blobs(9, [1, 1, 6], 3, 1);
    let credit = |build: fn(&mut Builder, Var) -> Var| {
        let evaluator = local(Between(build), Loss::CrossEntropy, 2);
        let graph = evaluator.graph(data.shape()).unwrap();
        found(&evaluator, &params_on(&graph, 3), &data, &local_plan(&graph))
    };
    let doubled = credit(|g, x| g.host(Arc::new(Doubled), &[x]));
    let added = credit(|g, x| g.add(x, x));
    assert!(distance(&doubled, &added) < 1e-4, "{}", distance(&doubled, &added));
}

/// Of steps the differences are those of their means over ±σ: nothing far from the step, 1/2σ within.
#[test]
fn steps_earn_what_their_means_do() {
    struct Stepped;
    impl Model for Stepped {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let x = g.linear_without_bias("in", x, 1);
            Ok(g.map(Activation::Step, x))
        }
    }
    let rows = vec![0.2, -0.4, 3.0, -2.0];
    let data = Dataset::new(rows, [1, 1, 1], Targets::Values { values: vec![0.0; 4], width: 1 }).unwrap();
    let evaluator = local(Stepped, Loss::SquaredError, 1);
    let graph = evaluator.graph(data.shape()).unwrap();
    let mut params = params_on(&graph, 3).tensors().to_vec();
    params[0].data = vec![1.0].into();
    let plan = LocalPlan { sigma: 0.5, ..local_plan(&graph) };
    // Answers 1, 0, 1, 0 with targets 0: the first alone is within ±σ of the step and wrong.
    let found = found(&evaluator, &Params::from_tensors(params), &data, &plan);
    assert!((found[0] - 0.2 / 4.0).abs() < 1e-6, "{found:?}");
}

#[test]
fn nets_of_steps_and_of_neurons_that_fire_learn() {
    let data = blobs(192, [1, 1, 8], 4, 1);
    let nets: [fn(&mut Builder, Var) -> Var; 2] = [
        |g, x| g.map(Activation::Sign, x),
        |g, x| {
            let shape = x.shape();
            let x = g.reshape(x, [1, 1, shape[2]]);
            let again = g.join(1, &[x, x, x]);
            let spikes = g.lif("lif", again, onward::model::Lif { leak: 0.5, threshold: 0.3 });
            let sum = g.reduce(onward::model::Reduction::Sum, spikes, &[1]);
            g.reshape(sum, shape)
        },
    ];
    for net in nets {
        let rule = Method::RelativeLocal(RelativeLocal { sigma: 0.5, ..Default::default() });
        let mut trainer = trainer(plan(rule, 0.2, 60, 64), Between(net), &data, 1);
        let before = trainer.score(&data).unwrap().loss;
        while !trainer.finished() {
            trainer.step().unwrap();
        }
        let after = trainer.score(&data).unwrap().loss;
        assert!(after < 0.5 * before, "{before} -> {after}");
    }
}

/// The top layers alone earn what they earn among all.
#[test]
fn the_top_earns_what_it_earns_in_the_whole() {
    let net = small_conv();
    let (data, params) = (blobs(8, net.input, 4, 3), params_of(&net, 4));
    let evaluator = local(net, Loss::CrossEntropy, 2);
    let directions = |top| {
        let outcome =
            step_of(&method(top), &evaluator, &params, &data, RunKey::from_seed(1), (0, 0.1)).unwrap();
        outcome.direction.unwrap().tensors
    };
    let (all, two) = (directions(0), directions(2));
    let earns: Vec<bool> = two.iter().map(Option::is_some).collect();
    assert!(earns.iter().any(|e| *e) && earns.iter().any(|e| !*e));
    for (all, two) in all.iter().zip(&two).filter(|(_, two)| two.is_some()) {
        assert_eq!(all, two);
    }
    assert_eq!(directions(99), all);
}

#[test]
fn threads_and_pieces_give_the_same_bits() {
    let net = Mlp::new(&[8, 16, 4], Activation::Gelu).unwrap();
    let data = blobs(70, [1, 1, 8], 4, 1);
    let digest = |threads, piece| {
        let evaluator = local(net.clone(), Loss::CrossEntropy, threads).in_pieces(piece);
        let mut trainer =
            onward_coordinate::trainer(plan(method(0), 0.1, 4, 70), evaluator, data.clone()).unwrap();
        while !trainer.finished() {
            trainer.step().unwrap();
        }
        trainer.state().params().digest()
    };
    let one = digest(1, None);
    assert!([digest(3, None), digest(1, Some(9)), digest(2, Some(32))].iter().all(|other| *other == one));
}

/// A sample that overflows earns nothing; the others earn what they do without it.
#[test]
fn samples_that_overflow_earn_nothing() {
    let net = Mlp::new(&[6, 7, 3], Activation::Relu).unwrap();
    let (data, params) = (blobs(4, [1, 1, 6], 3, 1), params_of(&net, 2));
    let evaluator = local(net.clone(), Loss::CrossEntropy, 1);
    let mut x = data.features().to_vec();
    x[..6].fill(f32::MAX);
    let spoilt = Batch::new(Act::new(4, [1, 1, 6], x), data.targets().clone());
    let response = evaluator
        .local_derivative(&RunKey::from_seed(1), &params, &spoilt, &local_plan(&net.graph()))
        .unwrap();
    let rest = Batch::select(&data, &[1, 2, 3]);
    let alone =
        evaluator.local_derivative(&RunKey::from_seed(1), &params, &rest, &local_plan(&net.graph())).unwrap();
    assert_eq!(response.non_finite, 1);
    for (with, without) in response.derivative.iter().zip(&alone.derivative) {
        let (with, without) = (sum_of_halves(with), sum_of_halves(without));
        assert!(with.iter().all(|v| v.is_finite()));
        let scaled: Vec<f64> = without.iter().map(|v| v * 0.75).collect();
        assert!(distance(&with, &scaled) < 1e-5);
    }
}

#[test]
fn what_has_no_credit_is_refused_with_the_reason() {
    fn refused(model: impl Model + 'static, shape: Shape) -> onward::Error {
        let evaluator = local(model, Loss::CrossEntropy, 1);
        let graph = evaluator.graph(shape).unwrap();
        method(0).rule(&graph, 8).map(|_| ()).unwrap_err()
    }
    struct Named;
    impl Model for Named {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let x = g.linear("in", x, 1);
            Ok(g.embed("table", x, 6, 3))
        }
    }
    let error = refused(Named, [1, 1, 6]);
    assert_eq!(error.kind(), ErrorKind::Model);
    let expected = "method.name: expected operations whose answers change by little where what they work on does, found \
                    embedding of what is learned";
    assert_eq!(error.to_string(), expected);
    struct Wide;
    impl Model for Wide {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let x = g.linear("in", x, 20_000);
            let x = g.host(Arc::new(Doubled), &[x]);
            Ok(g.linear("out", x, 3))
        }
    }
    let error = refused(Wide, [1, 1, 2]).to_string();
    assert!(
        error.contains("at most 16384 probes") && error.contains("host doubled 1, which takes 20000"),
        "{error}"
    );
}
