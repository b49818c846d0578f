//! One input, one hidden unit, one output, one row: every method trains the smallest nets, or says why it cannot.

use crate::common::{NoChain, local, plan, population, shared, two_point};
use onward::dataset::{Dataset, Targets};
use onward::ledger::Search;
use onward::model::{Activation, Conv, GlobalPool, Mlp, Model};
use onward::noise::Family;
use onward::rule::{LayerOrder, Layers, Method, Pairing, Population, RelativeActivation, Rso, Shaping};
use onward::space::{Directions, LayerSpace};
use onward::task::Loss;
use std::sync::Arc;

/// Every method, strategies included.
fn methods() -> Vec<Method> {
    let mut all = vec![
        Method::Population(population(6)),
        Method::Population(Population { pairing: Pairing::OneSided, rank: 3, ..population(5) }),
        Method::Population(Population { shaping: Shaping::ZScore, share: 1, ..population(6) }),
        Method::TwoPoint(two_point(2)),
        Method::TwoPoint(onward::rule::TwoPoint { noise: Family::Normal, ..two_point(1) }),
    ];
    for (order, hold) in [(LayerOrder::LastFirst, 1), (LayerOrder::FirstFirst, 3)] {
        all.push(Method::Rso(Rso { sigma: 1.0.into(), decay: 1e-4, order, hold }));
    }
    for space in [LayerSpace::Activation, LayerSpace::LowRank] {
        for order in [Layers::Together, Layers::InTurn] {
            for draws in [Directions::Orthogonal, Directions::Independent, Directions::Blocks] {
                all.push(Method::RelativeActivation(RelativeActivation {
                    space: space.into(),
                    order,
                    draws,
                    ..crate::common::relative(3)
                }));
            }
        }
    }
    all.extend(Search::names().map(|(name, _)| Method::Search(Search::named(name).unwrap())));
    all
}

/// Rows whose targets are numbers, or classes that are all the same where there is one.
fn rows(rows: usize, shape: [usize; 3], outputs: usize, values: bool) -> Dataset {
    let width = shape.iter().product::<usize>();
    let wave = |i: usize| (i as f32 * 1.7 + 0.3).sin();
    let targets = if values {
        Targets::Values { values: (0..rows * outputs).map(|i| wave(i * 3)).collect(), width: outputs }
    } else {
        Targets::Classes { labels: (0..rows).map(|i| (i % outputs) as u32).collect(), classes: outputs }
    };
    Dataset::new((0..rows * width).map(wave).collect(), shape, targets).unwrap()
}

/// A few steps of every method on `data`, in batches of `batch`, on one thread and on two: the same losses.
fn train_all(model: &Arc<dyn Model>, data: &Dataset, batch: usize, what: &str) {
    let losses = if matches!(data.targets(), Targets::Values { .. }) {
        vec![Loss::SquaredError]
    } else {
        vec![Loss::CrossEntropy, Loss::ZeroOne, Loss::SquaredError]
    };
    for loss in losses {
        for method in methods() {
            let what = format!("{what}, {loss:?}, {method:?}, batches of {batch}");
            let steps = if matches!(method, Method::Rso(_)) { 7 } else { 3 };
            let run = |threads| {
                let evaluator = shared(Arc::clone(model), loss, threads);
                let trainer = onward_coordinate::trainer(
                    plan(method.clone(), 0.01, steps, batch),
                    evaluator,
                    data.clone(),
                );
                let mut trainer = match trainer {
                    Ok(trainer) => trainer,
                    Err(e) => {
                        // Two halves of a batch are compared.
                        assert!(
                            batch.min(data.rows()) == 1 && e.to_string().contains("at least 2 samples"),
                            "{what}: {e}"
                        );
                        return Vec::new();
                    }
                };
                let mut found = Vec::new();
                while !trainer.finished() {
                    let step = trainer.step().unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert!(step.entry.loss.is_finite(), "{what}: {}", step.entry.loss);
                    found.push(step.entry.loss.to_bits());
                }
                trainer.score(data).unwrap_or_else(|e| panic!("{what}: {e}"));
                found
            };
            let one = run(1);
            if batch > 1 {
                assert_eq!(one, run(2), "{what}");
            }
        }
    }
}

#[test]
fn f01_every_method_trains_nets_of_one_input_one_unit_and_one_output() {
    for [inputs, hidden, outputs] in [[1, 1, 1], [3, 1, 1], [1, 3, 1], [1, 1, 2]] {
        for net in [vec![inputs, hidden, outputs], vec![inputs, outputs], vec![inputs, hidden, 1, outputs]] {
            let model: Arc<dyn Model> = Arc::new(Mlp::new(&net, Activation::Tanh).unwrap());
            for values in [true, false] {
                let data = rows(9, [1, 1, inputs], outputs, values);
                for batch in [4, 1] {
                    train_all(&model, &data, batch, &format!("{net:?}"));
                }
            }
        }
    }
}

#[test]
fn f01_one_row_is_a_batch() {
    let model: Arc<dyn Model> = Arc::new(Mlp::new(&[2, 2, 1], Activation::Relu).unwrap());
    train_all(&model, &rows(1, [1, 1, 2], 1, true), 16, "one row");
}

#[test]
fn f01_convolutions_of_one_channel_answer_one_number() {
    for (size, norm, pool) in
        [(1, false, GlobalPool::Average), (4, true, GlobalPool::None), (3, true, GlobalPool::Max)]
    {
        let net = Conv {
            input: [size, size, 1],
            channels: vec![1, 1],
            average_pool_after: if size == 4 { vec![0] } else { vec![] },
            max_pool_after: vec![],
            batch_norm: norm,
            bias: !norm,
            residual: vec![],
            activation: Activation::Relu,
            global_pool: pool,
            outputs: 1,
        };
        let model: Arc<dyn Model> = Arc::new(net.checked().unwrap());
        train_all(&model, &rows(6, [size, size, 1], 1, true), 3, &format!("{size} × {size}"));
    }
}

#[test]
fn f01_stages_of_one_output_need_no_chain() {
    let net: Arc<dyn Model> = Arc::new(Mlp::new(&[3, 1, 1], Activation::Relu).unwrap());
    let data = rows(8, [1, 1, 3], 1, true);
    let rso = || Method::Rso(Rso { sigma: 1.0.into(), decay: 0.0, order: LayerOrder::LastFirst, hold: 2 });
    let run = |model: &dyn Fn() -> onward::evaluate::Local| {
        let mut trainer = onward_coordinate::trainer(plan(rso(), 1.0, 8, 4), model(), data.clone()).unwrap();
        (0..8).for_each(|_| drop(trainer.step().unwrap()));
        trainer.state().params().digest()
    };
    let chain = run(&|| shared(Arc::clone(&net), Loss::SquaredError, 1));
    let general = run(&|| local(NoChain(Arc::clone(&net)), Loss::SquaredError, 1));
    assert_eq!(chain, general);
}
