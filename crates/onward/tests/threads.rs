//! No work runs on threads that nobody asked for: an evaluator of one thread is one thread more, whatever it does.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{blobs, plan, population, relative, small_conv, two_point};
use onward::ledger::Search;
use onward::rule::{LayerOrder, Method, Rso, Sweep};
use onward::train::Trainer;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn nothing_runs_on_a_pool_that_nobody_sized() {
    let data = blobs(40, [6, 6, 2], 4, 1);
    let rso = Rso { sigma: vec![1.0], decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 };
    let before = threads();
    // Larger than one piece of element-wise work, from a thread of no pool.
    let wide = onward::model::Mlp::new(&[72, 70_000, 2], onward::model::Activation::Relu).unwrap();
    Sweep::new(&rso, &wide, [6, 6, 2]).unwrap();
    assert_eq!(threads(), before, "a list of visits needs no threads");
    let methods = [
        Method::Rso(rso),
        Method::Population(population(8)),
        Method::TwoPoint(two_point(2)),
        Method::RelativeActivation(relative(4, 4)),
        Method::Search(Search::named("snes").unwrap()),
    ];
    // Kept, since threads end some time after their pool.
    let mut kept = Vec::new();
    for method in methods {
        let name = method.name();
        let mut trainer: Trainer = common::trainer(plan(method, 0.1, 4, 20), small_conv(), &data, 1);
        (0..4).for_each(|_| drop(trainer.step().unwrap()));
        trainer.score(&data).unwrap();
        trainer.header([0; 32]);
        kept.push(trainer);
        assert_eq!(threads(), before + kept.len(), "{name}");
    }
}
