//! Learning at every step of streams: against all steps at once, and what must not matter.

use crate::common::{cosine, distance, local_plan, params_on, plan, sum_of_halves, threads};
use onward::ErrorKind;
use onward::ask::Shuffle;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::ledger::{Optimizer, Scaling};
use onward::model::{Act, Activation, Builder, Cell, CellKind, Mlp, Model, Recurrent, Var};
use onward::noise::{Family, Role, RunKey};
use onward::rule::{Method, Online};
use onward::space::{OnlinePlan, Streams};
use onward::task::{ItemCrossEntropy, Loss};
use onward::train::{Plan, Trainer, predict};
use std::sync::Arc;

const STREAMS: usize = 3;
const STEPS: usize = 6;
const CLASSES: usize = 3;

fn net(cell: CellKind, units: &[usize]) -> Recurrent {
    let (units, hidden) = (units.to_vec(), vec![4]);
    Recurrent { cell, units, hidden, vocabulary: None, activation: Activation::Tanh, outputs: CLASSES }
}

/// Two layers of cells of different kinds, the second of which sees the input too, with a scaling behind each.
struct Mixed;

impl Model for Mixed {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let h = g.cell("first", Cell::Lstm, x, 3);
        let h = g.scale("scale", h);
        let both = g.concat(&[h, x]);
        let h = g.diagonal("second", both, 2);
        Ok(g.linear("head", h, CLASSES))
    }
}

/// Numbers `(streams, steps, channels)` and an answer for each.
fn numbers(channels: usize) -> (Vec<f32>, Vec<f32>) {
    let key = RunKey::from_seed(3).tensor(Role::Init, "streams");
    let mut x = vec![0.0; STREAMS * STEPS * channels];
    key.at(0, 0).fill(Family::Normal, 0, &mut x);
    (x, (0..STREAMS * STEPS).map(|i| (i * i % CLASSES) as f32).collect())
}

/// A step's rows: one of each stream.
fn rows(all: &[f32], step: usize) -> Vec<f32> {
    let width = all.len() / (STREAMS * STEPS);
    (0..STREAMS).flat_map(|s| &all[(s * STEPS + step) * width..][..width]).copied().collect()
}

#[test]
fn the_sum_over_steps_is_the_derivative_of_all_steps_at_once() {
    let nets: [(&str, Arc<dyn Model>); 5] = [
        ("gru", Arc::new(net(CellKind::Gru, &[5]))),
        ("lstm", Arc::new(net(CellKind::Lstm, &[4]))),
        ("diagonal", Arc::new(net(CellKind::Diagonal, &[4]))),
        ("two layers", Arc::new(net(CellKind::Gru, &[4, 3]))),
        ("mixed", Arc::new(Mixed)),
    ];
    for (name, net) in nets {
        let (x, y) = numbers(2);
        let local = Local::new(net, Arc::new(ItemCrossEntropy), &threads(2));
        let graph = local.graph([1, STEPS, 2]).unwrap();
        let (params, key) = (params_on(&graph, 2), RunKey::from_seed(1));
        let whole = Batch::new(
            Act::new(STREAMS, [1, STEPS, 2], x.clone()),
            Targets::Values { values: y.clone(), width: STEPS },
        );
        let wanted = local.local_derivative(&key, &params, &whole, &local_plan(&graph)).unwrap();
        let wanted: Vec<f64> = wanted.derivative.iter().flat_map(sum_of_halves).collect();
        let graph = local.graph([1, 1, 2]).unwrap();
        let mut sums = [vec![0.0; wanted.len()], vec![0.0; wanted.len()]];
        for (cut, sum) in [false, true].into_iter().zip(&mut sums) {
            let plan = OnlinePlan { local: local_plan(&graph), cut };
            let mut streams = Streams::default();
            for step in 0..STEPS {
                let batch = Batch::new(
                    Act::new(STREAMS, [1, 1, 2], rows(&x, step)),
                    Targets::Values { values: rows(&y, step), width: 1 },
                );
                let found = local.online_derivative(&key, &params, &batch, &plan, &streams).unwrap();
                streams = found.streams;
                let found: Vec<f64> = found.derivative.iter().flat_map(sum_of_halves).collect();
                sum.iter_mut().zip(found).for_each(|(s, f)| *s += f / STEPS as f64);
            }
        }
        let [found, cut] = sums;
        assert!(distance(&found, &wanted) < 1e-3, "{name}: {}", distance(&found, &wanted));
        // Where credit ends with the step, it is another.
        assert!(cosine(&cut, &wanted) < 0.999, "{name}: {}", cosine(&cut, &wanted));
    }
}

/// Bits, each to be answered by the one `delay` steps before.
fn copied(rows: usize, delay: usize) -> Dataset {
    let key = RunKey::from_seed(9).tensor(Role::Init, "bits");
    let mut x = vec![0.0; rows];
    key.at(0, 0).fill(Family::Sign, 0, &mut x);
    let labels = (0..rows).map(|i| u32::from(i >= delay && x[i - delay] > 0.0)).collect();
    Dataset::new(x, [1, 1, 1], Targets::Classes { labels, classes: 2 }).unwrap()
}

fn online(cut: bool, steps: u64, streams: usize) -> Plan {
    let method = Method::Online(Online { sigma: 0.01, cut, ..Online::default() });
    Plan {
        optimizer: Optimizer { momentum: 0.9, scaling: Scaling::Adam },
        shuffle: Shuffle::Streams,
        ..plan(method, 0.01, steps, streams)
    }
}

fn begun(plan: Plan, cell: CellKind, data: &Dataset, count: usize) -> Trainer {
    let net = Recurrent { hidden: vec![], outputs: 2, ..net(cell, &[6]) };
    let local = Local::new(Arc::new(net), Arc::new(Loss::CrossEntropy), &threads(count)).in_streams(true);
    Trainer::new(plan, local, data.clone()).unwrap()
}

fn mean_of_last(trainer: &mut Trainer, steps: u64, last: usize) -> f32 {
    let losses: Vec<f32> = (0..steps).map(|_| trainer.step().unwrap().entry.loss).collect();
    losses[losses.len() - last..].iter().sum::<f32>() / last as f32
}

#[test]
fn a_delay_is_learned_and_is_not_where_credit_ends_with_the_step() {
    let data = copied(4000, 2);
    for cell in [CellKind::Gru, CellKind::Diagonal] {
        let mut whole = begun(online(false, 400, 8), cell, &data, 1);
        let learned = mean_of_last(&mut whole, 400, 50);
        let cut = mean_of_last(&mut begun(online(true, 400, 8), cell, &data, 1), 400, 50);
        assert!(learned < 0.25, "{cell:?}: {learned}");
        assert!(cut > 1.5 * learned, "{cell:?}: {cut} with credit of one step, {learned} with all");
        // The rows behind are answered in their order, each with the states that those before it led to.
        let score = whole.score(&copied(500, 2)).unwrap();
        assert!(score.accuracy.unwrap() > 0.9, "{cell:?}: {:?}", score.accuracy);
    }
}

#[test]
fn what_comes_later_changes_nothing_before_it_and_threads_change_nothing() {
    let data = copied(800, 1);
    let mut features = data.features().to_vec();
    // Stream 1 is other from its 31st row on.
    features[200 + 30..300].iter_mut().for_each(|x| *x = -*x);
    let altered = Dataset::new(features, [1, 1, 1], data.targets().clone()).unwrap();
    let mut runs = [(&data, 1), (&altered, 1), (&data, 2)]
        .map(|(data, count)| begun(online(false, 60, 4), CellKind::Lstm, data, count));
    for step in 0..60 {
        runs.iter_mut().for_each(|run| drop(run.step().unwrap()));
        let [one, other, two] = runs.each_ref().map(|run| run.state().params().digest());
        assert_eq!(one, two, "threads at step {step}");
        assert_eq!(one == other, step < 30, "step {step}");
    }
}

#[test]
fn a_snapshot_has_the_states_and_their_influence() {
    let data = copied(400, 1);
    let mut run = begun(online(false, 40, 4), CellKind::Gru, &data, 1);
    let mut entries = Vec::new();
    for _ in 0..20 {
        entries.push(run.step().unwrap().entry);
    }
    let chains: Vec<[u8; 32]> = (0..41).map(|i| [i; 32]).collect();
    let snapshot = run.state().to_snapshot(&chains[20]).unwrap();
    let mut again = begun(online(false, 40, 4), CellKind::Gru, &data, 1);
    again.restore(&snapshot, &entries, &chains).unwrap();
    assert_eq!(again.state(), run.state());
    for _ in 0..20 {
        let losses = [&mut run, &mut again].map(|run| run.step().unwrap().entry.loss.to_bits());
        assert_eq!(losses[0], losses[1]);
    }
    assert_eq!(run.state(), again.state());
}

#[test]
fn rows_in_pieces_of_time_are_answered_as_at_once() {
    let data = copied(50, 1);
    let run = begun(online(false, 1, 4), CellKind::Lstm, &data, 1);
    let params = run.state().params();
    let found = predict(run.local(), params, &[], data.features(), [1, 1, 1]).unwrap();
    let net = Recurrent { hidden: vec![], outputs: 2, ..net(CellKind::Lstm, &[6]) };
    let alone = Local::new(Arc::new(net), Arc::new(ItemCrossEntropy), &threads(1));
    let whole = predict(&alone, params, &[], data.features(), [1, 50, 1]).unwrap();
    assert_eq!(found, whole);
}

#[test]
fn what_cannot_be_learned_online_is_refused() {
    let data = copied(40, 1);
    let refused = |plan: Plan, net: Arc<dyn Model>| {
        let local = Local::new(net, Arc::new(Loss::CrossEntropy), &threads(1));
        let error = Trainer::new(plan, local, data.clone()).err().unwrap();
        (error.kind(), error.to_string())
    };
    let cells = || Arc::new(Recurrent { hidden: vec![], outputs: 2, ..net(CellKind::Gru, &[3]) });
    let (kind, told) =
        refused(online(false, 5, 4), Arc::new(Mlp::new(&[1, 3, 2], Activation::Tanh).unwrap()));
    assert!(kind == ErrorKind::Model && told.contains("states that go on from step to step"), "{told}");
    let (kind, told) = refused(Plan { shuffle: Shuffle::All, ..online(false, 5, 4) }, cells());
    assert!(kind == ErrorKind::Spec && told.contains("data.streams"), "{told}");
    let (kind, told) = refused(
        Plan { shuffle: Shuffle::Streams, ..plan(crate::common::relative(2).into(), 0.1, 5, 4) },
        cells(),
    );
    assert!(kind == ErrorKind::Spec && told.contains("data.streams"), "{told}");
    struct Normalised;
    impl Model for Normalised {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let h = g.cell("cell", Cell::Gru, x, 3);
            let h = g.batch_norm("norm", h);
            Ok(g.linear("head", h, 2))
        }
    }
    let (kind, told) = refused(online(false, 5, 4), Arc::new(Normalised));
    assert!(kind == ErrorKind::Model && told.contains("the normalisation norm"), "{told}");
    // States of other streams.
    let local = Local::new(cells(), Arc::new(Loss::CrossEntropy), &threads(1));
    let graph = local.graph([1, 1, 1]).unwrap();
    let (params, key) = (params_on(&graph, 2), RunKey::from_seed(1));
    let plan = OnlinePlan { local: local_plan(&graph), cut: false };
    let of = |rows: &[u32], streams: &Streams| {
        local.online_derivative(&key, &params, &Batch::select(&data, rows), &plan, streams)
    };
    let three = of(&[0, 1, 2], &Streams::default()).unwrap().streams;
    let told = of(&[0, 1], &three).unwrap_err().to_string();
    assert!(told.contains("streams") && told.contains("expected 6 numbers"), "{told}");
    // A state that is no number ends the run.
    let broken = Dataset::new(
        vec![f32::MAX, f32::MAX],
        [1, 1, 1],
        Targets::Classes { labels: vec![0, 1], classes: 2 },
    );
    if let Ok(broken) = broken {
        let net = Recurrent { hidden: vec![], outputs: 2, ..net(CellKind::Diagonal, &[3]) };
        let local = Local::new(Arc::new(net), Arc::new(Loss::CrossEntropy), &threads(1));
        let graph = local.graph([1, 1, 1]).unwrap();
        let params = params_on(&graph, 2);
        let plan = OnlinePlan { local: local_plan(&graph), cut: false };
        let batch = Batch::select(&broken, &[0, 1]);
        let once = local.online_derivative(&key, &params, &batch, &plan, &Streams::default());
        let twice =
            once.and_then(|found| local.online_derivative(&key, &params, &batch, &plan, &found.streams));
        assert!(twice.is_err_and(|e| e.kind() == ErrorKind::NonFinite));
    }
}
