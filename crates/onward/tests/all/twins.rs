//! Learning at every step of streams from what noise did to twins of their states.

use crate::common::{cosine, local_plan, params_on, plan, sum_of_halves, threads};
use onward::ErrorKind;
use onward::ask::Shuffle;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::ledger::{Optimizer, Scaling};
use onward::model::{Act, Activation, CellKind, Recurrent};
use onward::noise::{Family, Role, RunKey};
use onward::rule::{Method, Online, Past};
use onward::schema::PerLayer;
use onward::space::{LocalPlan, OnlinePlan, Streams, TwinNoise, TwinPlan};
use onward::task::Loss;
use onward::train::{Plan, Trainer};
use std::sync::Arc;

fn net(cell: CellKind, units: usize) -> Recurrent {
    let (units, hidden) = (vec![units], vec![]);
    Recurrent { cell, units, hidden, vocabulary: None, activation: Activation::Tanh, outputs: 2 }
}

/// Bits, each to be answered by the one `delay` steps before.
fn copied(rows: usize, delay: usize) -> Dataset {
    let key = RunKey::from_seed(9).tensor(Role::Init, "bits");
    let mut x = vec![0.0; rows];
    key.at(0, 0).fill(Family::Sign, 0, &mut x);
    let labels = (0..rows).map(|i| u32::from(i >= delay && x[i - delay] > 0.0)).collect();
    Dataset::new(x, [1, 1, 1], Targets::Classes { labels, classes: 2 }).unwrap()
}

#[test]
fn in_the_mean_it_is_the_derivative_as_far_back_as_twins_live() {
    let (streams, steps) = (128, 400);
    let data = copied(streams * steps, 1);
    let local = Local::new(Arc::new(net(CellKind::Gru, 3)), Arc::new(Loss::CrossEntropy), &threads(1));
    let graph = local.graph([1, 1, 1]).unwrap();
    let (params, key) = (params_on(&graph, 2), RunKey::from_seed(1));
    let batch = |step: usize| {
        let rows: Vec<u32> = (0..streams).map(|s| (s * steps + step) as u32).collect();
        Batch::select(&data, &rows)
    };
    let sum = |find: &dyn Fn(&Batch, u32, &Streams) -> onward::ask::Response| {
        let (mut streams, mut sum) = (Streams::default(), Vec::<Vec<f64>>::new());
        for step in 0..steps {
            let found = find(&batch(step), step as u32, &streams);
            let all = found.derivative.iter().map(sum_of_halves);
            match sum.is_empty() {
                true => sum = all.collect(),
                false => sum
                    .iter_mut()
                    .zip(all)
                    .for_each(|(sum, own)| sum.iter_mut().zip(own).for_each(|(s, o)| *s += o)),
            }
            streams = found.streams;
        }
        sum
    };
    let at = |step: u32| LocalPlan { step, sigma: 0.05, ..local_plan(&graph) };
    let wanted = sum(&|batch, step, streams| {
        let plan = OnlinePlan { local: at(step), cut: false };
        local.online_derivative(&key, &params, batch, &plan, streams).unwrap()
    });
    let noise = Family::Sign;
    let kinds = [
        (vec![8], TwinNoise::Sites, 0.97),
        (vec![4, 16], TwinNoise::Sites, 0.95),
        (vec![32], TwinNoise::Weights { window: 0, noise }, 0.9),
        (vec![32], TwinNoise::Weights { window: 8, noise }, 0.8),
    ];
    for (lengths, place, least) in kinds {
        let found = sum(&|batch, step, streams| {
            let plan = TwinPlan { local: at(step), lengths: lengths.clone(), place };
            local.twin_derivative(&key, &params, batch, &plan, streams).unwrap()
        });
        let of_cells = |all: &[Vec<f64>]| all[..4].concat();
        let (own, all) = (of_cells(&found), of_cells(&wanted));
        let size =
            own.iter().zip(&all).map(|(f, w)| f * w).sum::<f64>() / all.iter().map(|w| w * w).sum::<f64>();
        let angle = cosine(&own, &all);
        assert!(
            angle > least && (size - 1.0).abs() < 0.15,
            "{lengths:?}, {place:?}: cosine {angle}, size {size}"
        );
        // The head's is exact.
        assert!(cosine(&found[4..].concat(), &wanted[4..].concat()) > 0.999_999);
    }
}

fn online(credit: Past, lengths: PerLayer<u32>, steps: u64, streams: usize) -> Plan {
    let method = Method::Online(Online { sigma: 0.1, credit, lengths, ..Online::default() });
    Plan {
        optimizer: Optimizer { momentum: 0.9, scaling: Scaling::Adam },
        shuffle: Shuffle::Streams,
        ..plan(method, 0.01, steps, streams)
    }
}

fn begun(plan: Plan, cell: CellKind, data: &Dataset, count: usize) -> Trainer {
    let local = Local::new(Arc::new(net(cell, 6)), Arc::new(Loss::CrossEntropy), &threads(count));
    Trainer::new(plan, local.in_streams(true), data.clone()).unwrap()
}

#[test]
fn a_delay_is_learned_and_is_not_where_the_twin_is_cut() {
    let data = copied(20_000, 2);
    for (credit, length, most) in [(Past::Bursts, 5, 0.3), (Past::Episodes, 64, 0.5)] {
        let learned = |length: u32| {
            let mut run = begun(online(credit, length.into(), 800, 64), CellKind::Gru, &data, 1);
            let losses: Vec<f32> = (0..800).map(|_| run.step().unwrap().entry.loss).collect();
            (losses[750..].iter().sum::<f32>() / 50.0, run)
        };
        let (whole, run) = learned(length);
        let (cut, _) = learned(1);
        assert!(whole < most && cut > 1.2 * whole, "{credit:?}: {whole}, cut {cut}");
        // The rows behind are answered in their order.
        let score = run.score(&copied(500, 2)).unwrap();
        assert!(
            credit == Past::Episodes || score.accuracy.unwrap() > 0.9,
            "{credit:?}: {:?}",
            score.accuracy
        );
    }
}

#[test]
fn what_comes_later_changes_nothing_before_it_and_threads_change_nothing() {
    let data = copied(800, 1);
    let mut features = data.features().to_vec();
    // Stream 1 is other from its 31st row on.
    features[200 + 30..300].iter_mut().for_each(|x| *x = -*x);
    let altered = Dataset::new(features, [1, 1, 1], data.targets().clone()).unwrap();
    for credit in [Past::Bursts, Past::Episodes] {
        let plan = || online(credit, PerLayer::Each(vec![3, 8]), 60, 4);
        let mut runs = [(&data, 1), (&altered, 1), (&data, 2)]
            .map(|(data, count)| begun(plan(), CellKind::Lstm, data, count));
        for step in 0..60 {
            runs.iter_mut().for_each(|run| drop(run.step().unwrap()));
            let [one, other, two] = runs.each_ref().map(|run| run.state().params().digest());
            assert_eq!(one, two, "threads at step {step}");
            assert_eq!(one == other, step < 30, "step {step}");
        }
    }
}

#[test]
fn a_snapshot_has_the_twins() {
    let data = copied(400, 1);
    let chains: Vec<[u8; 32]> = (0..41).map(|i| [i; 32]).collect();
    for credit in [Past::Bursts, Past::Episodes] {
        for cell in [CellKind::Gru, CellKind::Lstm, CellKind::Diagonal] {
            let plan = || online(credit, 7.into(), 40, 4);
            let mut run = begun(plan(), cell, &data, 1);
            let entries: Vec<_> = (0..20).map(|_| run.step().unwrap().entry).collect();
            let snapshot = run.state().to_snapshot(&chains[20]).unwrap();
            let mut again = begun(plan(), cell, &data, 1);
            again.restore(&snapshot, &entries, &chains).unwrap();
            assert_eq!(again.state(), run.state());
            for _ in 0..20 {
                let losses = [&mut run, &mut again].map(|run| run.step().unwrap().entry.loss.to_bits());
                assert_eq!(losses[0], losses[1]);
            }
            assert_eq!(run.state(), again.state());
        }
    }
}

#[test]
fn twins_that_never_live_are_refused() {
    let local = Local::new(Arc::new(net(CellKind::Gru, 3)), Arc::new(Loss::CrossEntropy), &threads(1));
    let graph = local.graph([1, 1, 1]).unwrap();
    let (params, key, data) = (params_on(&graph, 2), RunKey::from_seed(1), copied(4, 1));
    let batch = Batch::new(Act::new(2, [1, 1, 1], vec![1.0, -1.0]), Batch::select(&data, &[0, 1]).targets);
    for lengths in [vec![], vec![3, 0]] {
        let plan = TwinPlan { local: local_plan(&graph), lengths, place: TwinNoise::Sites };
        let error = local.twin_derivative(&key, &params, &batch, &plan, &Streams::default()).unwrap_err();
        assert!(error.kind() == ErrorKind::Spec && error.to_string().contains("lengths"), "{error}");
    }
    let refused =
        Trainer::new(online(Past::Bursts, PerLayer::Each(vec![]), 5, 2), local.in_streams(true), data);
    assert!(refused.is_err());
}
