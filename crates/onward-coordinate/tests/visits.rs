//! Coordinate space: a loss is the same number whatever was kept, and a run the same whatever ran it.
#![allow(clippy::unwrap_used)]

#[path = "../../onward/tests/all/common/mod.rs"]
mod common;

use common::{NoChain, blobs, params_on, shared, small_conv};
use onward::dataset::Dataset;
use onward::ledger::{Entry, Optimizer, State, Update, Visited};
use onward::model::{Activation, Conv, GlobalPool, Graph, Mlp, Model};
use onward::noise::RunKey;
use onward::params::{Params, Storage};
use onward::rule::{LayerOrder, Method, Rso, Sweep};
use onward::space::Choices;
use onward::task::Loss;
use onward_coordinate::{Engine, Recompute};
use std::sync::Arc;

const SEED: u64 = 5;

fn rso() -> Rso {
    Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 }
}

/// Steps `which` of a cycle, one after the other, each applied before the next.
fn run(
    model: Arc<dyn Model>,
    data: &Dataset,
    rso: &Rso,
    recompute: Recompute,
    threads: usize,
    which: impl Iterator<Item = u64>,
) -> (Vec<Choices>, Params) {
    let graph = Graph::new(&*model, data.shape()).unwrap();
    let sweep = Sweep::new(rso, &graph).unwrap();
    let recipe = Method::Rso(rso.clone()).recipe(Optimizer::default(), Storage::F32);
    let mut state = State::new(params_on(&graph, SEED), recipe, RunKey::from_seed(SEED)).unwrap();
    let mut engine = Engine::new(shared(model, Loss::CrossEntropy, threads)).with_recompute(recompute);
    let mut found = Vec::new();
    for (i, step) in which.enumerate() {
        let plan = sweep.plan(step, 1.0, 37);
        let choices = engine.choices(state.key(), state.params(), data, &plan).unwrap();
        let update = Update::Choices(Visited::new(&plan, choices.choices.clone()));
        state
            .apply(&Entry { step: i as u64, loss: choices.loss, rate: 1.0, non_finite: 0, update }, None)
            .unwrap();
        found.push(choices);
    }
    (found, state.params().clone())
}

fn steps(model: &dyn Model, data: &Dataset, rso: &Rso) -> u64 {
    Sweep::new(rso, &Graph::new(model, data.shape()).unwrap()).unwrap().steps()
}

fn nets() -> Vec<(Arc<dyn Model>, Dataset)> {
    let conv = |input, channels: Vec<usize>, average, max, batch_norm, bias, global_pool, activation| {
        let net = Conv {
            input,
            channels,
            average_pool_after: average,
            max_pool_after: max,
            batch_norm,
            bias,
            residual: vec![],
            activation,
            global_pool,
            outputs: 3,
        };
        net.checked().unwrap()
    };
    let (relu, tanh) = (Activation::Relu, Activation::Tanh);
    let average = GlobalPool::Average;
    vec![
        (Arc::new(small_conv()), blobs(80, [6, 6, 2], 4, 1)),
        (
            Arc::new(conv([8, 8, 1], vec![4, 5, 3], vec![0], vec![], true, false, average, relu)),
            blobs(80, [8, 8, 1], 3, 2),
        ),
        (
            Arc::new(conv([7, 5, 1], vec![3, 4], vec![1], vec![], true, false, GlobalPool::Max, relu)),
            blobs(80, [7, 5, 1], 3, 3),
        ),
        (
            Arc::new(conv([4, 4, 3], vec![3, 4], vec![], vec![0], false, true, GlobalPool::None, tanh)),
            blobs(80, [4, 4, 3], 3, 4),
        ),
        (Arc::new(Mlp::new(&[8, 9, 6, 4], relu).unwrap()), blobs(80, [1, 1, 8], 4, 5)),
        (Arc::new(Mlp::new(&[12, 6, 4], tanh).unwrap()), blobs(80, [2, 2, 3], 4, 6)),
    ]
}

/// A whole cycle over each net: several thousand weights, every layer, every kind of tensor.
#[test]
fn what_is_kept_changes_no_loss_and_no_choice() {
    let mut visits = 0;
    for (i, (net, data)) in nets().into_iter().enumerate() {
        for hold in [1, 4] {
            for order in [LayerOrder::LastFirst, LayerOrder::FirstFirst] {
                let rso = Rso { hold, order, ..rso() };
                let all = 0..steps(&*net, &data, &rso);
                let go = |recompute, threads| run(net.clone(), &data, &rso, recompute, threads, all.clone());
                let (changed, params) = go(Recompute::Changed, 2);
                let (dense, dense_params) = go(Recompute::Dense, 1);
                for (step, (a, b)) in changed.iter().zip(&dense).enumerate() {
                    assert_eq!(a.choices, b.choices, "net {i}, step {step}, hold {hold}, {order:?}");
                    assert_eq!(
                        a.loss.to_bits(),
                        b.loss.to_bits(),
                        "net {i}, step {step}, hold {hold}, {order:?}"
                    );
                }
                assert_eq!(params.digest(), dense_params.digest());
                let (_, alone) = go(Recompute::Changed, 1);
                assert_eq!(params.digest(), alone.digest(), "one thread or two, net {i}");
                visits += changed.iter().map(|c| c.choices.len()).sum::<usize>();
            }
        }
    }
    println!("{visits} visits");
    assert!(visits > 1000);
}

/// The losses are those of the model itself: the general way runs its graph.
#[test]
fn the_short_way_and_the_graph_agree() {
    for (i, (net, data)) in nets().into_iter().enumerate() {
        let all = 0..steps(&*net, &data, &rso());
        for step in all.step_by(3) {
            let go = |short: bool| {
                let (only, changed) = (std::iter::once(step), Recompute::Changed);
                if short {
                    run(net.clone(), &data, &rso(), changed, 1, only).0
                } else {
                    run(Arc::new(NoChain(net.clone())), &data, &rso(), changed, 2, only).0
                }
            };
            let (short, own) = (go(true), go(false));
            assert!(
                (short[0].loss - own[0].loss).abs() < 2e-5 * own[0].loss,
                "net {i}, step {step}: {short:?} {own:?}"
            );
        }
    }
}

/// A cache that is made in the middle of a stage holds what one that was kept from its beginning does.
#[test]
fn going_on_with_an_empty_cache_changes_nothing() {
    let (net, data) = nets().remove(1);
    let rso = rso();
    let count = steps(&*net, &data, &rso);
    let (whole, params) = run(net.clone(), &data, &rso, Recompute::Changed, 2, 0..count);
    let graph = Graph::new(&*net, data.shape()).unwrap();
    let sweep = Sweep::new(&rso, &graph).unwrap();
    let recipe = Method::Rso(rso).recipe(Optimizer::default(), Storage::F32);
    let mut state = State::new(params_on(&graph, SEED), recipe, RunKey::from_seed(SEED)).unwrap();
    let evaluator = shared(net, Loss::CrossEntropy, 1);
    for step in 0..count {
        let plan = sweep.plan(step, 1.0, 37);
        let mut engine = Engine::new(evaluator.clone());
        let found = engine.choices(state.key(), state.params(), &data, &plan).unwrap();
        assert_eq!(found, whole[step as usize], "step {step}");
        let update = Update::Choices(Visited::new(&plan, found.choices));
        state.apply(&Entry { step, loss: found.loss, rate: 1.0, non_finite: 0, update }, None).unwrap();
    }
    assert_eq!(state.params().digest(), params.digest());
}
