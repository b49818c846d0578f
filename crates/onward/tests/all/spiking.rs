//! Nets of leaky neurons that fire: what comes in, what spikes, what currents earn; and perceptrons with residual connections.

use crate::common::{blobs, local, local_plan, params_of, params_on, threads, trainer};
use onward::evaluate::Local;
use onward::model::{
    Activation, Builder, Coding, Lif, Mlp, Model, Norms, Reduction, RowOp, Shape, SpikeCounts, Spiking, Var,
    WeightInit,
};
use onward::params::{Params, Tensor};
use onward::rule::{Method, RelativeLocal};
use onward::task::Loss;
use std::sync::Arc;

const LIF: Lif = Lif { leak: 0.5, threshold: 0.75 };

fn net(coding: Coding) -> Spiking {
    Spiking { coding, steps: 6, hidden: vec![9, 5], lif: LIF, outputs: 3 }
}

/// The tensors with these numbers, one tensor's behind the other's.
fn at(params: &Params, numbers: &[f32]) -> Params {
    let mut rest = numbers.iter().copied();
    let tensors = params.tensors().iter().map(|t| Tensor {
        data: rest.by_ref().take(t.data.len()).collect::<Vec<_>>().into(),
        name: t.name.clone(),
        shape: t.shape.clone(),
    });
    Params::from_tensors(tensors.collect())
}

/// What spikes of each row of the net's data.
fn counts(net: Spiking, x: Vec<f32>, shape: Shape) -> Vec<Vec<f32>> {
    let counting = SpikeCounts(net.clone());
    let graph = onward::model::Graph::new(&counting, shape).unwrap();
    let evaluator = Local::new(Arc::new(counting), Arc::new(Loss::CrossEntropy), &threads(1));
    let rows = x.len() / shape.iter().product::<usize>();
    let x = onward::model::Act::new(rows, shape, x);
    let answers = evaluator.outputs(&params_on(&graph, 4), x, Norms::Batch).unwrap();
    (0..rows).map(|row| answers.row(row)[net.outputs..].to_vec()).collect()
}

#[test]
fn numbers_come_in_as_their_coding_says() {
    // 1 spikes at the first step, 0 never.
    let x = vec![0.0, 1.0, 0.5, 0.01];
    assert_eq!(counts(net(Coding::Latency), x.clone(), [1, 1, 4])[0][0], 3.0);
    let drawn: f32 = counts(net(Coding::Rate), x.repeat(500), [1, 1, 4]).iter().map(|row| row[0]).sum();
    assert!((drawn / 500.0 - 6.0 * 1.51).abs() < 0.2, "{drawn}");
    // Of currents nothing spikes: the layers alone are counted.
    assert_eq!(counts(net(Coding::Current), x.clone(), [1, 1, 4])[0].len(), 2);
    // The items of a row are the steps, as they are.
    assert_eq!(counts(net(Coding::Items), [x.clone(), x].concat(), [1, 2, 4])[0][0], 3.02);
    assert_eq!(net(Coding::Items).inputs([1, 2, 4]), 4);
}

#[test]
fn the_later_a_latency_the_smaller_the_number() {
    struct Incoming;
    impl Model for Incoming {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let own = Spiking { hidden: vec![1], outputs: 1, ..net(Coding::Latency) };
            let answer = own.build(g)?;
            Ok(answer)
        }
    }
    // One weight of 10 and one threshold: the neuron fires at the step of the number's spike, if any.
    let graph = onward::model::Graph::new(&Incoming, [1, 1, 1]).unwrap();
    let params = at(&params_on(&graph, 1), &[10.0, 0.0, 1.0, 0.0]);
    let evaluator = Local::new(Arc::new(Incoming), Arc::new(Loss::SquaredError), &threads(1));
    let of = |x: f32| onward::model::Act::new(1, [1, 1, 1], vec![x]);
    for wrong in [-0.1, 1.5, f32::NAN] {
        let error = evaluator.outputs(&params, of(wrong), Norms::Batch).err().unwrap().to_string();
        assert!(error.contains("row 0, item 0: expected a number from 0 to 1"), "{error}");
    }
    for (x, share) in [(1.0, 1.0 / 6.0), (0.2, 1.0 / 6.0), (0.0, 0.0)] {
        let x = of(x);
        let answer = evaluator.outputs(&params, x, Norms::Batch).unwrap();
        assert!((answer.data()[0] - share).abs() < 1e-6, "{:?}", answer.data());
    }
}

#[test]
fn rows_that_are_no_steps_are_refused() {
    let refused = |net: Spiking, shape: Shape, words: &str| {
        let error = onward::model::Graph::new(&net, shape).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(net(Coding::Items), [4, 4, 1], "[1, items, channels]");
    for coding in [Coding::Items, Coding::Current] {
        refused(Spiking { hidden: vec![], ..net(coding) }, [1, 2, 4], "at least one layer of neurons");
    }
    refused(
        Spiking { lif: Lif { leak: 0.0, threshold: 1.0 }, ..net(Coding::Current) },
        [1, 1, 4],
        "a leak above 0",
    );
    refused(
        Spiking { lif: Lif { leak: 0.5, threshold: f32::NAN }, ..net(Coding::Current) },
        [1, 1, 4],
        "a finite threshold",
    );
}

/// Neurons that fire earn by the steps in which something differs what any Rust code that did the same would earn by all of them.
#[test]
fn currents_earn_what_they_would_in_code_that_nothing_is_known_of() {
    struct Neurons(usize);
    impl RowOp for Neurons {
        fn name(&self) -> &str {
            "neurons"
        }
        fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
            Ok(inputs[0])
        }
        fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
            let mut v = vec![0.0f32; self.0];
            for (x, out) in inputs[0].chunks(self.0).zip(output.chunks_mut(self.0)) {
                for ((x, v), out) in x.iter().zip(&mut v).zip(out) {
                    *v += LIF.leak * (x - *v);
                    *out = f32::from(u8::from(*v > LIF.threshold));
                    *v *= 1.0 - *out;
                }
            }
        }
    }
    struct Net(bool);
    impl Model for Net {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let x = g.linear("in", x, 7);
            let x = g.expand(x, [1, 5, 7]);
            let x = if self.0 { g.lif("neurons", x, LIF) } else { g.host(Arc::new(Neurons(7)), &[x]) };
            let x = g.reduce(Reduction::Mean, x, &[1]);
            Ok(g.linear("out", x, 3))
        }
    }
    let data = blobs(40, [1, 1, 6], 3, 2);
    let found = |known: bool| {
        let evaluator = Local::new(Arc::new(Net(known)), Arc::new(Loss::CrossEntropy), &threads(2));
        let graph = evaluator.graph(data.shape()).unwrap();
        let mut plan = local_plan(&graph);
        plan.sigma = 0.5;
        crate::local_credit::found(&evaluator, &params_on(&graph, 3), &data, &plan)
    };
    let (known, host) = (found(true), found(false));
    assert_eq!(known, host);
    assert!(known.iter().any(|v| *v != 0.0));
}

#[test]
fn a_spiking_net_learns() {
    let data = blobs(120, [1, 1, 6], 3, 5);
    let rule = Method::RelativeLocal(RelativeLocal { sigma: 1.0, ..Default::default() });
    let net = Spiking { hidden: vec![24], ..net(Coding::Current) };
    let mut trainer = trainer(crate::common::plan(rule, 0.1, 60, 40), net, &data, 1);
    let before = trainer.score(&data).unwrap().loss;
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    let after = trainer.score(&data).unwrap().loss;
    assert!(after < 0.4 * before, "{before} -> {after}");
}

/// A perceptron whose hidden layers all answer with nothing hands on what entered them, and its initial weights are of the size that was asked for.
#[test]
fn residual_layers_add_what_enters_them() {
    let net = || Mlp::new(&[3, 64, 64, 64, 2], Activation::Tanh).unwrap();
    let params = params_of(&net().residual(true), 1);
    let zeros = |name: &str| name.starts_with("fc2") || name.starts_with("fc3");
    let numbers =
        |t: &Tensor| t.data.iter().map(|v| if zeros(&t.name) { 0.0 } else { v }).collect::<Vec<_>>();
    let residual = at(&params, &params.tensors().iter().flat_map(numbers).collect::<Vec<_>>());
    let shallow = Mlp::new(&[3, 64, 2], Activation::Tanh).unwrap();
    let own: Vec<f32> = residual
        .tensors()
        .iter()
        .filter(|t| !zeros(&t.name))
        .flat_map(|t| t.data.iter().collect::<Vec<_>>())
        .collect();
    let x = || onward::model::Act::new(2, [1, 1, 3], vec![0.3, -1.0, 0.2, 2.0, 0.1, -0.4]);
    let answer = |evaluator: Local, params: &Params| {
        evaluator.outputs(params, x(), Norms::Batch).unwrap().data().to_vec()
    };
    let same = at(&params_of(&shallow, 1), &own);
    let expected = answer(local(shallow, Loss::CrossEntropy, 1), &same);
    assert_eq!(answer(local(net().residual(true), Loss::CrossEntropy, 1), &residual), expected);
    let spread = |init: WeightInit| {
        let params = params_of(&net().init(init), 1);
        let weights: Vec<f32> = params.tensors()[2].data.iter().collect();
        (weights.iter().map(|w| f64::from(w * w)).sum::<f64>() / weights.len() as f64).sqrt() * 8.0
    };
    assert!(
        (spread(WeightInit::Lecun) - 1.0).abs() < 0.05 && (spread(WeightInit::He) - 2f64.sqrt()).abs() < 0.07
    );
}
