//! No work runs on threads that nobody asked for: an evaluator of one thread is one thread more, whatever it does.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

#[path = "all/common/mod.rs"]
mod common;

use common::{Shaped, blobs, plan, population, relative, small_conv, two_point};
use onward::dataset::Dataset;
use onward::kernel::Precision;
use onward::ledger::{Entry, Optimizer, Scaling, Search, State, Update};
use onward::model::{Act, Context, Graph, Norms, Weights};
use onward::noise::RunKey;
use onward::params::{Params, Storage};
use onward::rule::{LayerOrder, Method, Rso, Sweep};
use onward::threads::each_chunk;
use onward::train::Trainer;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// What works in parallel, called on a thread of no handle.
fn on_this_thread(data: &Dataset) {
    let (graph, key) = (small_conv().graph(), RunKey::from_seed(1));
    let params = Params::init(graph.tensors(), &key);
    let weights = Weights::new(&params, Precision::F32);
    let mut cx = Context::clean(&weights, Norms::Batch);
    cx.start_trace();
    let x = Act::new(data.rows(), data.shape(), data.features().to_vec());
    let _ = graph.forward(&mut cx, x);
    for (method, optimizer) in [
        (Method::Population(population(4)), Optimizer { momentum: 0.9, scaling: Scaling::Adam }),
        (Method::TwoPoint(two_point(2)), Optimizer::default()),
    ] {
        let mut state = State::new(params.clone(), method.recipe(optimizer, Storage::Bf16), key).unwrap();
        let update = Update::Probes { exponent: -9, coefficients: vec![3, -1] };
        state.apply(&Entry { step: 0, loss: 1.0, rate: 0.1, non_finite: 0, update }, None).unwrap();
    }
    assert_eq!(each_chunk(&mut [0u8; 10], 4, |place, piece| (place, piece.len())), [(0, 4), (1, 4), (2, 2)]);
}

#[test]
fn nothing_runs_on_a_pool_that_nobody_sized() {
    let data = blobs(40, [6, 6, 2], 4, 1);
    let rso = Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 };
    let before = threads();
    // Larger than one piece of element-wise work, from a thread of no pool.
    let wide = onward::model::Mlp::new(&[72, 70_000, 2], onward::model::Activation::Relu).unwrap();
    Sweep::new(&rso, &Graph::new(&wide, [6, 6, 2]).unwrap()).unwrap();
    assert_eq!(threads(), before, "a list of visits needs no threads");
    let methods = [
        Method::Rso(rso),
        Method::Population(population(8)),
        Method::TwoPoint(two_point(2)),
        Method::RelativeActivation(relative(4)),
        Method::Search(Search::named("snes").unwrap()),
    ];
    // Kept, since threads end some time after their pool.
    let mut kept = Vec::new();
    for method in methods {
        let name = method.name().to_owned();
        let mut trainer: Trainer = common::trainer(plan(method, 0.1, 4, 20), small_conv(), &data, 1);
        (0..4).for_each(|_| drop(trainer.step().unwrap()));
        trainer.score(&data).unwrap();
        trainer.header([0; 32]);
        kept.push(trainer);
        assert_eq!(threads(), before + kept.len(), "{name}");
    }
    on_this_thread(&data);
    assert_eq!(threads(), before + kept.len(), "what is called outside of a handle's threads");
    // The process-wide pool can be begun only once: nothing has done so by now.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
}
