//! Params and the optimizer's memory: snapshots, refusals, and losses that are no numbers.

use crate::common::{
    blobs, known, local, params_of, plan, population, relative, step_of, threads, trainer, two_point, whole,
};
use onward::ErrorKind;
use onward::ask::{Told, WeightPlan};
use onward::dataset::Targets;
use onward::evaluate::Local;
use onward::ledger::{Direction, Entry, Moves, Optimizer, Recipe, Scaling, State, Update, Visited};
use onward::model::{Act, Activation, Member, Mlp, WeightSpace};
use onward::noise::{Family, RunKey};
use onward::params::{Params, Storage};
use onward::rule::{Heard, Method, RelativeActivation};
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace};
use onward::task::{Answers, Grain, Loss, Task};
use onward::train::Trainer;
use std::sync::Arc;

fn net() -> Mlp {
    Mlp::new(&[6, 9, 3], Activation::Relu).unwrap()
}

fn optimizers() -> [Optimizer; 3] {
    [(0.0, Scaling::None), (0.9, Scaling::None), (0.8, Scaling::Adam)]
        .map(|(momentum, scaling)| Optimizer { momentum, scaling })
}

fn methods() -> [Method; 3] {
    [
        Method::Population(population(8)),
        Method::TwoPoint(two_point(2)),
        Method::RelativeActivation(relative(3)),
    ]
}

fn training(method: &Method, optimizer: Optimizer) -> Trainer {
    let mut plan = plan(method.clone(), 0.02, 20, 16);
    plan.optimizer = optimizer;
    trainer(plan, net(), &blobs(40, [1, 1, 6], 3, 1), 1)
}

#[test]
fn a_run_goes_on_from_a_snapshot_with_the_same_bits() {
    for (method, optimizer) in methods().iter().flat_map(|m| optimizers().map(|o| (m, o))) {
        let mut whole = training(method, optimizer);
        let mut records: Vec<_> = (0..7).map(|_| whole.step().unwrap().entry).collect();
        let chains: Vec<[u8; 32]> = (0..8).map(|step| [step; 32]).collect();
        let snapshot = whole.state().to_snapshot(&chains[7]).unwrap();
        let mut resumed = training(method, optimizer);
        resumed.restore(&snapshot, &records, &chains).unwrap();
        assert_eq!((resumed.state(), resumed.spent()), (whole.state(), whole.spent()));
        while !whole.finished() {
            records.push(whole.step().unwrap().entry);
            assert_eq!(Some(&resumed.step().unwrap().entry), records.last());
        }
        assert_eq!((resumed.state(), resumed.spent()), (whole.state(), whole.spent()));
        let mut caught_up = training(method, optimizer);
        records.iter().for_each(|r| caught_up.retake(r).unwrap());
        assert_eq!(caught_up.state(), whole.state());
    }
}

#[test]
fn foreign_snapshots_are_refused_and_change_nothing() {
    let [plain, momentum, adam] = optimizers();
    let method = &methods()[0];
    let taken = |model: &Mlp, optimizer| {
        let recipe = Recipe { moves: Moves::Directions, optimizer, storage: Storage::F32, rates: vec![] };
        State::new(params_of(model, 5), recipe, RunKey::from_seed(5)).unwrap().to_snapshot(&[0; 32]).unwrap()
    };
    let other = Mlp::new(&[6, 8, 3], Activation::Relu).unwrap();
    let deeper = Mlp::new(&[6, 9, 3, 3], Activation::Relu).unwrap();
    let model_alone = params_of(&net(), 5).to_safetensors(&[], &[]).unwrap();
    let own = taken(&net(), momentum);
    let foreign = [
        ("another width", taken(&other, momentum)),
        ("another depth", taken(&deeper, momentum)),
        ("no momentum", taken(&net(), plain)),
        ("squares besides", taken(&net(), adam)),
        ("a model, not a snapshot", model_alone),
        ("half a snapshot", own[..own.len() / 2].to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, bytes) in foreign {
        let mut trainer = training(method, momentum);
        trainer.step().unwrap();
        let before = trainer.state().clone();
        let error = trainer.restore(&bytes, &[], &[[0; 32]]).map_err(|e| e.kind());
        assert_eq!(error, Err(ErrorKind::Model), "{what}");
        assert_eq!(*trainer.state(), before, "{what}");
    }
    assert!(training(method, momentum).restore(&own, &[], &[[0; 32]]).is_ok());
}

#[test]
fn r04_a_snapshot_of_another_ledger_is_refused_and_changes_nothing() {
    for method in &methods() {
        let mut whole = training(method, optimizers()[1]);
        let records: Vec<_> = (0..2).map(|_| whole.step().unwrap().entry).collect();
        let own = [[0; 32], [1; 32], [2; 32]];
        let snapshot = whole.state().to_snapshot(&own[2]).unwrap();
        let bare = whole.state().params().to_safetensors(&[], &[]).unwrap();
        assert!(Params::metadata_from_safetensors(&bare).unwrap().is_empty());
        for (what, chains) in [
            ("another run", vec![[0; 32], [1; 32], [3; 32]]),
            ("another step", vec![[0; 32], [2; 32], [1; 32]]),
            ("a ledger that ends before", own[..2].to_vec()),
            ("no ledger", Vec::new()),
        ] {
            let mut trainer = training(method, optimizers()[1]);
            let before = trainer.state().clone();
            let error = trainer.restore(&snapshot, &records, &chains).map_err(|e| e.kind());
            assert_eq!((error, trainer.state()), (Err(ErrorKind::Damage), &before), "{what}");
        }
    }
}

#[test]
fn entries_that_do_not_fit_change_nothing() {
    let recipe = |moves| Recipe { moves, optimizer: optimizers()[1], storage: Storage::F32, rates: vec![] };
    let space = || Moves::Noise(WeightSpace::Dense { noise: Family::Sign });
    let coordinate = || Moves::Noise(WeightSpace::Coordinate);
    let entry = |step, update| Entry { step, loss: 0.0, rate: 1.0, non_finite: 0, update };
    let probes = || Update::Probes { exponent: -3, coefficients: vec![1, 2] };
    let visited = |tensor, first, choices| {
        Update::Choices(Visited { tensor, first, cycle: 0, sigma: 0.1, keep: 1.0, choices })
    };
    let bad = [
        (space(), entry(1, probes())),
        (Moves::Directions, entry(0, probes())),
        (space(), entry(0, Update::Rerun { digest: None })),
        (Moves::Directions, entry(0, Update::Rerun { digest: None })),
        (space(), entry(0, visited(0, 0, vec![0]))),
        (coordinate(), entry(0, probes())),
        (coordinate(), entry(0, visited(99, 0, vec![0]))),
        (coordinate(), entry(0, visited(0, u64::MAX, vec![0]))),
        (coordinate(), entry(0, visited(0, 0, vec![1, 2]))),
    ];
    for (moves, entry) in bad {
        let mut state = State::new(params_of(&net(), 6), recipe(moves), RunKey::from_seed(6)).unwrap();
        let before = state.clone();
        assert_eq!(state.apply(&entry, None).map_err(|e| e.kind()), Err(ErrorKind::Ledger), "{entry:?}");
        assert_eq!(state, before);
    }
    let rerun = entry(0, Update::Rerun { digest: None });
    for (moves, direction) in [
        (space(), vec![None; 4]),
        (Moves::Directions, vec![None; 3]),
        (Moves::Directions, vec![None, None, None, Some(vec![0.0; 4])]),
    ] {
        let mut state = State::new(params_of(&net(), 6), recipe(moves), RunKey::from_seed(6)).unwrap();
        let (before, direction) = (state.clone(), Direction::from(direction));
        let found = state.apply(&rerun, Some(&direction)).map_err(|e| e.kind());
        assert_eq!((found, &state), (Err(ErrorKind::Ledger), &before), "{direction:?}");
    }
}

/// Cross-entropy, less 1000, and not a number wherever `lost` says so of sample and loss.
struct Sometimes<F>(F);

impl<F: Fn(usize, f32) -> bool + Send + Sync> Task for Sometimes<F> {
    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
        Loss::CrossEntropy.losses(outputs, answers, losses)?;
        for (row, loss) in losses.iter_mut().enumerate() {
            let lost = (self.0)(answers.sample(row), *loss);
            *loss = if lost { [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][row % 3] } else { *loss - 1000.0 };
        }
        Ok(())
    }
}

fn at(task: impl Task + 'static) -> Local {
    Local::new(Arc::new(net()), Arc::new(task), &threads(2))
}

fn all_finite(params: &Params) -> bool {
    params.tensors().iter().all(|t| t.data.iter().all(|v| v.is_finite()))
}

#[test]
fn losses_that_are_no_numbers_are_the_worst_counted_and_never_spread() {
    let data = blobs(16, [1, 1, 6], 3, 2);
    let params = params_of(&net(), 3);
    let clean = at(Sometimes(|_, _| false));
    let space = WeightSpace::LowRank { rank: 1, noise: Family::Sign };
    let members = (0..10).map(|index| Member { index, sign: 1.0 }).collect();
    let plan = WeightPlan { step: 0, space, sigma: 0.3, members, together: 1, share: 0, scales: vec![] };
    let sound = known(clean.losses(&RunKey::from_seed(3), &params, &whole(&data), &plan));
    // A task of whole batches that fails for the members above the median.
    let mut sorted = sound.clone();
    sorted.sort_by(f32::total_cmp);
    let limit = sorted[5];
    struct Above(f32);
    impl Task for Above {
        fn grain(&self) -> Grain {
            Grain::Batch
        }
        fn losses(&self, outputs: &Act, answers: Answers<'_>, loss: &mut [f32]) -> onward::Result<()> {
            let mut losses = vec![0.0; outputs.rows()];
            Sometimes(|_, _| false).losses(outputs, answers, &mut losses)?;
            let mean = (losses.iter().map(|l| f64::from(*l)).sum::<f64>() / losses.len() as f64) as f32;
            loss.fill(if mean > self.0 { f32::NAN } else { mean });
            Ok(())
        }
    }
    let found = at(Above(limit)).losses(&RunKey::from_seed(3), &params, &whole(&data), &plan).unwrap();
    let heard = Heard::of(vec![Told::Losses(found)], 0).unwrap();
    assert_eq!((heard.non_finite, heard.missing), (4, 0));
    for (found, sound) in heard.losses.iter().zip(&sound) {
        assert_eq!(*found, Some(if *sound > limit { limit } else { *sound }));
    }
}

#[test]
fn samples_without_a_loss_earn_no_credit_and_spoil_no_other() {
    let data = blobs(16, [1, 1, 6], 3, 2);
    let params = params_of(&net(), 3);
    let layers = vec![LayerPlan { stage: 0, space: LayerSpace::Activation, pairs: 16, sigma: 0.01 }];
    let plan = ActivationPlan {
        step: 0,
        layers,
        directions: Directions::Orthogonal,
        noise: Family::Sign,
        focus: None,
        norms: false,
    };
    let derivative = |evaluator: Local, data: &onward::dataset::Dataset| {
        evaluator.derivative(&RunKey::from_seed(3), &params, &whole(data), &plan).unwrap()
    };
    let lost = derivative(at(Sometimes(|sample, _| sample == 5)), &data);
    assert_eq!(lost.non_finite, 1 + 2 * 16);
    let without = data.select(&(0..16).filter(|i| *i != 5).collect::<Vec<_>>());
    let rest = derivative(at(Loss::CrossEntropy), &without);
    let sum = |d: &onward::ask::Response| -> Vec<f64> {
        let halves = d.derivative.iter().flatten();
        halves.flat_map(|[a, b]| a.iter().zip(b).map(|(a, b)| f64::from(a + b)).collect::<Vec<_>>()).collect()
    };
    let scaled: Vec<f64> = sum(&rest).iter().map(|v| v * 15.0 / 16.0).collect();
    assert!(
        crate::common::distance(&sum(&lost), &scaled) < 0.05,
        "{}",
        crate::common::distance(&sum(&lost), &scaled)
    );
}

/// The worst finite loss stands in for one that is none, whatever the losses' sign.
#[test]
fn a_lost_probe_counts_as_the_worst_of_its_sample() {
    let data = blobs(16, [1, 1, 6], 3, 2);
    let params = params_of(&net(), 3);
    let layers = vec![LayerPlan { stage: 1, space: LayerSpace::Activation, pairs: 4, sigma: 0.5 }];
    let plan = ActivationPlan {
        step: 0,
        layers,
        directions: Directions::Orthogonal,
        noise: Family::Sign,
        focus: None,
        norms: false,
    };
    let size = |evaluator: Local| {
        let response = evaluator.derivative(&RunKey::from_seed(3), &params, &whole(&data), &plan).unwrap();
        let largest =
            response.derivative.iter().flatten().flatten().flatten().fold(0.0f32, |m, v| m.max(v.abs()));
        (largest, response.non_finite)
    };
    let (clean, none) = size(at(Sometimes(|_, _| false)));
    let (found, some) = size(at(Sometimes(|_, loss| loss > 2.0)));
    assert!(none == 0 && some > 4, "{some} lost");
    assert!(found < 2.0 * clean, "an estimate of {found} where {clean} is right");
}

/// A sample so large that a layer's output overflows has no loss; its infinite activations must not reach the weights.
#[test]
fn an_overflowing_sample_does_not_reach_the_weights() {
    let small = blobs(16, [1, 1, 6], 3, 2);
    let mut features = small.features().to_vec();
    features[6 * 4..6 * 5].fill(3e38);
    let data = onward::dataset::Dataset::new(features, small.shape(), small.targets().clone()).unwrap();
    for spaces in [LayerSpace::Activation, LayerSpace::LowRank] {
        let method = Method::RelativeActivation(RelativeActivation { space: spaces.into(), ..relative(4) });
        let mut trainer = trainer(plan(method, 0.05, 5, 16), net(), &data, 1);
        for _ in 0..5 {
            assert!(trainer.step().unwrap().entry.non_finite > 0);
            assert!(all_finite(trainer.state().params()), "{spaces:?}");
        }
    }
}

#[test]
fn no_finite_loss_at_all_is_an_error() {
    let data = blobs(16, [1, 1, 6], 3, 2);
    let params = params_of(&net(), 3);
    let evaluator = at(Sometimes(|_, _| true));
    for method in methods() {
        let error = step_of(&method, &evaluator, &params, &data, RunKey::from_seed(3), (0, 0.1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite, "{}", method.name());
        assert!(
            error.to_string().contains("step 0") && error.to_string().contains("at least one finite loss"),
            "{error}"
        );
        let plan = plan(method, 0.1, 3, 16);
        let evaluator = Local::new(Arc::new(net()), Arc::new(Sometimes(|_, _| true)), &threads(1));
        let mut trainer = Trainer::new(plan, evaluator, data.clone()).unwrap();
        let before = trainer.state().clone();
        assert!(trainer.step().is_err());
        assert_eq!(*trainer.state(), before);
    }
}

/// One loss for a whole batch cannot be split over rows.
#[test]
fn activation_space_needs_losses_of_rows() {
    struct Metric;
    impl Task for Metric {
        fn grain(&self) -> Grain {
            Grain::Batch
        }
        fn losses(&self, outputs: &Act, _: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
            losses.fill(outputs.data().iter().sum());
            Ok(())
        }
    }
    let data = blobs(8, [1, 1, 6], 3, 2);
    assert!(matches!(data.targets(), Targets::Classes { .. }));
    let evaluator = at(Metric);
    let params = params_of(&net(), 3);
    let kinds = methods().map(|m| {
        let outcome = step_of(&m, &evaluator, &params, &data, RunKey::from_seed(3), (0, 0.1));
        outcome.map(|_| ()).map_err(|e| e.kind())
    });
    assert_eq!(kinds, [Ok(()), Ok(()), Err(ErrorKind::Spec)]);
    let _ = local(net(), Loss::CrossEntropy, 1);
}
