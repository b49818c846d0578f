//! Strategies that train nets: every one of them makes progress, keeps its books, and follows from its ledger alone.
#![allow(clippy::unwrap_used)]

mod common;

use common::{blobs, plan, trainer};
use onward::ledger::{Incumbent, Search, State, Update};
use onward::model::{Activation, Mlp, Model};
use onward::noise::RunKey;
use onward::params::Params;
use onward::rule::Method;
use onward::train::{Plan, Trainer};

fn net() -> Mlp {
    Mlp::new(&[8, 4], Activation::Relu).unwrap()
}

fn with(name: &str, steps: u64) -> Plan {
    plan(Method::Search(Search::named(name).unwrap()), 1.0, steps, 64)
}

#[test]
fn every_strategy_makes_progress_on_batches() {
    let data = blobs(192, [1, 1, 8], 4, 1);
    let mut complaints = Vec::new();
    for (name, _) in Search::names() {
        let mut trainer = trainer(with(name, 100_000), net(), &data, 2);
        let before = trainer.score(&data).loss;
        while trainer.spent().passes < 3000 {
            trainer.step().unwrap();
        }
        let after = trainer.score(&data).loss;
        println!("{name}: {before} -> {after} in {} steps", trainer.state().step());
        if !(after < 0.5 * before) {
            complaints.push(format!("{name}: {before} -> {after}"));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
