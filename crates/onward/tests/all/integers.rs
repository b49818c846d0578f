//! Nets of whole numbers as a method: that the graph computes what `onward-integer` does, that runs learn, resume and are refused.

use crate::common::{blobs, plan, threads};
use onward::ErrorKind;
use onward::dataset::{Columns, Dataset, Targets};
use onward::evaluate::Local;
use onward::ledger::{Optimizer, Scaling};
use onward::model::{Activation, IntegerMlp, Mlp, Model};
use onward::rule::{Integers, Method};
use onward::settings::{self, Objective};
use onward::task::Loss;
use onward::train::{Plan, Trainer};
use onward_integer::{IntegerNet, LayerWeights, NetShape, ThreadCount};
use std::sync::Arc;

fn net(hidden: &[usize], outputs: usize) -> IntegerMlp {
    IntegerMlp { hidden: hidden.to_vec(), outputs, spread: 6, unit: 32.0 }
}

fn integers(steps: u64, batch: usize) -> Plan {
    let method = Method::Integers(Integers::default());
    let optimizer = Optimizer { momentum: 0.0, scaling: Scaling::None };
    Plan { optimizer, ..plan(method, 1.0, steps, batch) }
}

fn begun(
    plan: Plan,
    model: impl Model + 'static,
    loss: Loss,
    data: &Dataset,
    count: usize,
) -> onward::Result<Trainer> {
    Trainer::new(plan, Local::new(Arc::new(model), Arc::new(loss), &threads(count)), data.clone())
}

#[test]
fn a_net_of_whole_numbers_learns_and_stays_one() {
    let data = blobs(200, [1, 1, 8], 4, 3);
    let mut run = begun(integers(150, 50), net(&[12, 10], 4), Loss::CrossEntropy, &data, 1).unwrap();
    let before = run.score(&data).unwrap().loss;
    while !run.finished() {
        run.step().unwrap();
    }
    let after = run.score(&data).unwrap();
    assert!(after.loss < 0.3 * before, "{before} -> {}", after.loss);
    let weights = run.state().params().tensors().iter().flat_map(|t| t.data.floats().to_vec());
    assert!(weights.into_iter().all(|w| w.fract() == 0.0 && w.abs() <= 127.0));
}

#[test]
fn the_graph_computes_what_the_integers_do() {
    let data = blobs(100, [1, 1, 8], 4, 3);
    let mut run = begun(integers(20, 50), net(&[12], 4), Loss::CrossEntropy, &data, 1).unwrap();
    while !run.finished() {
        run.step().unwrap();
    }
    let layers: Vec<LayerWeights> = run
        .state()
        .params()
        .tensors()
        .iter()
        .map(|t| {
            let weights: Vec<i8> = t.data.floats().iter().map(|w| *w as i8).collect();
            LayerWeights { sums: vec![0; weights.len()], squares: vec![0; weights.len()], weights }
        })
        .collect();
    let alone =
        IntegerNet::of_layers(&NetShape { widths: vec![8, 12, 4], spread: 6, seed: 0 }, &layers).unwrap();
    let rows: Vec<i8> =
        data.features().iter().map(|x| (x * 32.0).clamp(-127.0, 127.0).round_ties_even() as i8).collect();
    let Targets::Classes { labels, .. } = data.targets() else { panic!("classes") };
    let labels: Vec<u8> = labels.iter().map(|l| *l as u8).collect();
    let told = alone.judge(&rows, &labels, ThreadCount::ONE).unwrap();
    let score = run.score(&data).unwrap();
    let bits = f64::from(score.loss) / std::f64::consts::LN_2;
    let integers = told.loss as f64 / 65_536.0 / told.items as f64;
    assert!((bits - integers).abs() < 1e-3 * integers, "{bits} {integers}");
    assert_eq!(score.accuracy, Some(told.right as f32 / told.items as f32));
}

#[test]
fn threads_change_nothing_and_a_snapshot_has_the_evidence() {
    let data = blobs(100, [1, 1, 8], 4, 3);
    let mut runs =
        [1, 2].map(|count| begun(integers(20, 50), net(&[12], 4), Loss::CrossEntropy, &data, count).unwrap());
    let chains: Vec<[u8; 32]> = (0..21).map(|i| [i; 32]).collect();
    let (mut entries, mut snapshot) = (Vec::new(), Vec::new());
    for step in 0..20 {
        let [entry, two] = runs.each_mut().map(|run| run.step().unwrap().entry);
        assert_eq!(entry, two);
        if step < 10 {
            entries.push(entry);
        }
        if step == 9 {
            snapshot = runs[0].state().to_snapshot(&chains[10]).unwrap();
        }
    }
    let mut again = begun(integers(20, 50), net(&[12], 4), Loss::CrossEntropy, &data, 1).unwrap();
    again.restore(&snapshot, &entries, &chains).unwrap();
    while !again.finished() {
        again.step().unwrap();
    }
    assert_eq!(runs[0].state(), runs[1].state());
    assert_eq!(again.state(), runs[0].state());
}

#[test]
fn what_does_not_fit_is_counted() {
    let data = blobs(50, [1, 1, 8], 4, 3);
    let counts = [32.0, 127.0].map(|unit| {
        let model = IntegerMlp { spread: 127, unit, ..net(&[12], 4) };
        begun(integers(1, 50), model, Loss::CrossEntropy, &data, 1).unwrap().step().unwrap().saturated
    });
    assert!(counts[0] < counts[1] && counts[1] < 1 << 32, "{counts:?}");
}

#[test]
fn what_integers_cannot_do_is_refused() {
    let data = blobs(600, [1, 1, 8], 4, 3);
    let told = |found: onward::Result<Trainer>| {
        // Before a step is taken.
        let error = found.map(drop).unwrap_err();
        (error.kind(), error.to_string())
    };
    let cross = Loss::CrossEntropy;
    let (kind, said) =
        told(begun(integers(5, 50), Mlp::new(&[8, 3, 4], Activation::Relu).unwrap(), cross, &data, 1));
    assert_eq!(kind, ErrorKind::Model);
    assert_eq!(
        said,
        "method.name: expected a net of whole numbers (model.kind = \"integer\"), found another"
    );
    let with = |rate: f32, momentum: f32, batch: usize| {
        let mut plan = integers(5, batch);
        plan.schedule.rate = rate;
        plan.optimizer.momentum = momentum;
        told(begun(plan, net(&[3], 4), Loss::CrossEntropy, &data, 1)).1
    };
    assert_eq!(with(0.5, 0.0, 50), "method.rate: expected 1: a weight moves by one, found 0.5");
    assert_eq!(with(1.0, 0.9, 50), "method.momentum: expected 0: a weight moves by one, found 0.9");
    assert!(with(1.0, 0.0, 600).contains("512"), "{}", with(1.0, 0.0, 600));
    let (kind, said) = told(begun(integers(5, 50), net(&[2000, 3], 4), Loss::CrossEntropy, &data, 1));
    assert_eq!(kind, ErrorKind::Model);
    assert_eq!(
        said,
        "model.hidden: expected at most 1039 inputs of a layer, so that sums are exact, found 2000"
    );
    let (_, said) = told(begun(integers(5, 50), net(&[3], 4), Loss::ZeroOne, &data, 1));
    assert!(said.starts_with("objective.loss: expected \"cross-entropy\" of one"), "{said}");
    let method = Method::Integers(Integers::default());
    let objective = Objective::ZeroOne(settings::Nothing {});
    let said = objective.check(&method).unwrap_err().to_string();
    assert!(said.ends_with("as method.name is \"integers\", found \"zero-one\""), "{said}");
    let (features, targets) = (data.features().to_vec(), data.targets().clone());
    let weighted = Dataset::new(features, [1, 1, 8], targets).unwrap();
    let columns = Columns::default().with("weight", vec![1.0; 600]);
    let weighted = weighted.with_columns(columns).unwrap();
    let (_, said) = told(begun(integers(5, 50), net(&[3], 4), Loss::CrossEntropy, &weighted, 1));
    assert!(said.ends_with("found rows with columns beside them, such as weights"), "{said}");
    // A batch of one is none of these.
    begun(integers(3, 1), net(&[3], 4), Loss::CrossEntropy, &data, 1).unwrap().step().unwrap();
}
