//! Strategies that train nets: every one of them makes progress, keeps its books, and follows from its ledger alone.

use crate::common::{Shaped, blobs, known, local, plan, threads, trainer, whole};
use onward::ErrorKind;
use onward::dataset::Dataset;
use onward::evaluate::Local;
use onward::ledger::{
    Entry, Incumbent, Ledger, Moves, Optimizer, Recipe, Scaling, Search, State, Update, read,
};
use onward::model::{Act, Activation, Mlp, Norms};
use onward::noise::RunKey;
use onward::params::{Params, Storage, Tensor};
use onward::rule::{Method, Schedule};
use onward::task::{Answers, Loss, Task};
use onward::train::{Plan, Trainer};
use std::sync::Arc;

fn net() -> Mlp {
    Mlp::new(&[8, 4], Activation::Relu).unwrap()
}

fn data() -> Dataset {
    blobs(192, [1, 1, 8], 4, 1)
}

fn searching(search: Search, steps: u64) -> Plan {
    plan(Method::Search(search), 1.0, steps, 64)
}

fn with(name: &str, steps: u64) -> Plan {
    searching(Search::named(name).unwrap(), steps)
}

/// Strategies whose steps grow where a small batch is easily improved on, or that go back where the next one is harder.
const NEED_ALL_ROWS: [&str; 4] = ["one-plus-one", "stp", "smtp", "nesterov-spokoiny"];

fn names() -> impl Iterator<Item = &'static str> {
    Search::names().map(|(name, _)| name)
}

/// The loss on all rows before and after so many evaluations.
fn progress(mut trainer: Trainer, evaluations: u64) -> (f32, f32) {
    let before = trainer.score(&data()).unwrap().loss;
    while trainer.spent().passes < evaluations {
        trainer.step().unwrap();
    }
    (before, trainer.score(&data()).unwrap().loss)
}

#[test]
fn every_strategy_makes_progress() {
    let mut complaints = Vec::new();
    for name in names() {
        let mut plan = with(name, 100_000);
        if NEED_ALL_ROWS.contains(&name) {
            plan.batch = 192;
        }
        let (before, after) = progress(trainer(plan, net(), &data(), 2), 3000);
        println!("{name}: {before} -> {after}");
        if after.is_nan() || after >= 0.5 * before {
            complaints.push(format!("{name}: {before} -> {after}"));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_convolutional_net_is_searched_like_any_other() {
    let data = blobs(96, [6, 6, 2], 4, 2);
    let mut trainer = trainer(with("snes", 150), crate::common::small_conv(), &data, 2);
    let before = trainer.score(&data).unwrap().loss;
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    let after = trainer.score(&data).unwrap().loss;
    assert!(after < 0.7 * before, "{before} -> {after}");
}

/// What was chosen for an easy batch stays for ever where its loss is remembered.
#[test]
fn incumbents_compared_anew_go_on_where_remembered_ones_stay() {
    for name in ["gld-search", "gld-fast"] {
        let after = |incumbent| {
            let mut plan = searching(Search { incumbent, ..Search::named(name).unwrap() }, 100_000);
            plan.batch = 8;
            progress(trainer(plan, net(), &data(), 1), 3000).1
        };
        let (anew, remembered) = (after(Incumbent::Anew), after(Incumbent::Remembered));
        println!("{name}: {anew} anew, {remembered} remembered");
        assert!(anew < 0.5 * remembered, "{name}: {anew} anew, {remembered} remembered");
    }
}

#[test]
fn every_number_of_threads_leaves_the_same_ledger() {
    let data = data();
    for name in names() {
        let [one, three] = [1, 3].map(|threads| {
            let mut trainer = trainer(with(name, 12), net(), &data, threads);
            let records: Vec<_> = (0..12).map(|_| trainer.step().unwrap().entry).collect();
            (records, trainer.state().params().digest(), trainer.spent())
        });
        assert!(one == three, "{name}");
    }
}

/// A ledger's file, read again, leads to the params without data; a run that takes its records goes on as the first one.
#[test]
fn the_ledger_alone_leads_to_the_params_and_a_resumed_run_goes_on_with_the_same_bits() {
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    for name in names() {
        let mut whole = trainer(with(name, 30), net(), &data, 1);
        let path = folder.path().join(name);
        let header = whole.header([3; 32]);
        let mut ledger = Ledger::create(&path, &header).unwrap();
        for _ in 0..20 {
            ledger.append(&whole.step().unwrap().entry).unwrap();
        }
        ledger.sync().unwrap();
        let reading = read(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((&reading.header, reading.header.method.as_str()), (&header, name));
        assert!(header.is_complete());
        let base = Params::init(net().graph().tensors(), &RunKey::from_seed(header.seed));
        assert_eq!(base.digest(), header.base);
        let mut state = State::of(&reading.header, base).unwrap();
        reading.records.iter().for_each(|r| _ = state.apply(r, None).unwrap());
        assert_eq!(&state, whole.state(), "{name}");
        assert_ne!(state.params().digest(), header.base, "{name}");
        let mut resumed = trainer(with(name, 30), net(), &data, 2);
        reading.records.iter().for_each(|r| resumed.retake(r).unwrap());
        while !whole.finished() {
            assert_eq!(whole.step().unwrap().entry, resumed.step().unwrap().entry, "{name}");
        }
        assert_eq!((resumed.state(), resumed.spent()), (whole.state(), whole.spent()), "{name}");
    }
}

/// Params with the numbers of one candidate.
fn at(params: &Params, point: &[f64]) -> Params {
    let mut rest = point.iter().map(|v| *v as f32);
    let moved = |t: &Tensor| Tensor { data: rest.by_ref().take(t.data.len()).collect(), ..t.clone() };
    Params::from_tensors(params.tensors().iter().map(moved).collect())
}

#[test]
fn a_candidate_has_the_loss_of_a_clean_forward_pass_and_the_params_go_to_the_best() {
    let data = blobs(64, [1, 1, 8], 4, 1);
    let batch = whole(&data);
    let evaluator = local(net(), Loss::CrossEntropy, 2);
    let mut trainer = trainer(with("mistp", 5), net(), &data, 2);
    while !trainer.finished() {
        let state = trainer.state();
        let points = state.candidates().unwrap();
        assert_eq!(points.len(), 3 * state.params().count());
        let candidates: Vec<Params> =
            points.chunks_exact(state.params().count()).map(|p| at(state.params(), p)).collect();
        let found = known(evaluator.losses_at(state.params(), &batch, &points));
        for (candidate, loss) in candidates.iter().zip(&found) {
            let outputs = evaluator.outputs(candidate, batch.x.clone(), Norms::Batch).unwrap();
            assert_eq!(
                evaluator.loss(&outputs, Answers::all(&batch.targets, &batch.columns)).unwrap().to_bits(),
                loss.to_bits()
            );
        }
        let best = (0..3).min_by(|a, b| found[*a].total_cmp(&found[*b])).unwrap();
        trainer.step().unwrap();
        assert_eq!(*trainer.state().params(), candidates[best]);
    }
}

/// Cross-entropy that is not a number where the first output is large.
struct Fails(f32);

impl Task for Fails {
    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
        Loss::CrossEntropy.losses(outputs, answers, losses)?;
        if outputs.data()[0] > self.0 {
            losses.fill([f32::NAN, f32::INFINITY, f32::NEG_INFINITY][answers.count % 3]);
        }
        Ok(())
    }
}

fn failing(name: &str, above: f32) -> Trainer {
    let evaluator = Local::new(Arc::new(net()), Arc::new(Fails(above)), &threads(2));
    Trainer::new(with(name, 100_000), evaluator, data()).unwrap()
}

#[test]
fn losses_that_are_no_numbers_are_the_worst_counted_and_never_spread() {
    let mut complaints = Vec::new();
    for name in names() {
        let mut trainer = failing(name, 2.5);
        let mut lost = 0;
        while trainer.spent().passes < 1500 {
            let record = trainer.step().unwrap().entry;
            let Update::Losses(losses) = record.update else { panic!("{name}") };
            assert!(losses.iter().all(|l| l.is_finite() || *l == f32::INFINITY), "{name}: {losses:?}");
            lost += losses.iter().filter(|l| l.is_infinite()).count() as u64;
        }
        assert_eq!(trainer.spent().non_finite, lost, "{name}");
        let sound = trainer.state().params().tensors().iter().all(|t| t.data.iter().all(|w| w.is_finite()));
        // A small step after the other, it does not come so far.
        if (lost == 0 && name != "nesterov-spokoiny") || !sound {
            complaints.push(format!("{name}: {lost} lost, sound params: {sound}"));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_start_without_any_loss_is_an_error() {
    for name in ["snes", "stp"] {
        let error = failing(name, f32::NEG_INFINITY).step().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        assert_eq!(error.to_string(), "objective at step 0: expected at least one finite loss, found inf");
    }
}

#[test]
fn every_evaluation_is_counted() {
    let data = data();
    for name in names() {
        let mut trainer = trainer(with(name, 9), net(), &data, 1);
        let mut losses = 0;
        while !trainer.finished() {
            let Update::Losses(found) = trainer.step().unwrap().entry.update else { panic!("{name}") };
            losses += found.len() as u64;
        }
        let spent = trainer.spent();
        let flops = losses * 64 * net().graph().flops();
        assert_eq!((spent.passes, spent.samples, spent.flops), (losses, losses * 64, flops), "{name}");
    }
}

#[test]
fn params_in_bf16_are_searched_in_full_precision() {
    let mut plan = with("snes", 200);
    plan.storage = Storage::Bf16;
    let mut trainer = trainer(plan, net(), &data(), 1);
    let before = trainer.score(&data()).unwrap().loss;
    while !trainer.finished() {
        assert!(trainer.step().unwrap().rounding.is_some());
    }
    let halves =
        trainer.state().params().tensors().iter().all(|t| t.data.iter().all(|w| w.to_bits() << 16 == 0));
    assert!(halves && trainer.score(&data()).unwrap().loss < 0.5 * before);
}

#[test]
fn entries_that_do_not_fit_change_nothing() {
    let params = || Params::init(net().graph().tensors(), &RunKey::from_seed(1));
    let snes = Search::named("snes").unwrap();
    let state = |moves| {
        let optimizer = Optimizer { momentum: 0.0, scaling: Scaling::None };
        State::new(
            params(),
            Recipe { moves, optimizer, storage: Storage::F32, rates: vec![] },
            RunKey::from_seed(1),
        )
        .unwrap()
    };
    let search = || state(Moves::Search(snes.clone()));
    let other = state(Moves::Directions);
    let members = search().candidates().unwrap().len() / params().count();
    let entry = |step, update| Entry { step, loss: 0.0, rate: 1.0, non_finite: 0, update };
    for (mut state, entry) in [
        (search(), entry(1, Update::Losses(vec![0.5; members]))),
        (search(), entry(0, Update::Losses(vec![0.5; members - 1]))),
        (search(), entry(0, Update::Losses(vec![]))),
        (search(), entry(0, Update::Rerun { digest: None })),
        (search(), entry(0, Update::Probes { exponent: 0, coefficients: vec![1] })),
        (other, entry(0, Update::Losses(vec![0.5; members]))),
    ] {
        let before = state.clone();
        assert_eq!(state.apply(&entry, None).map_err(|e| e.kind()), Err(ErrorKind::Ledger), "{entry:?}");
        assert_eq!(state, before);
    }
    let mut state = search();
    let error = state.restore(&search().to_snapshot(&[0; 32]).unwrap(), &[[0; 32]]).unwrap_err();
    assert_eq!((error.kind(), &state), (ErrorKind::Model, &search()));
}

#[test]
fn searches_that_cannot_work_are_refused_with_what_to_use_instead() {
    let named = |name: &str, json: &str| {
        let strategy = serde_json::from_str(json).unwrap();
        Search { strategy, ..Search::named(name).unwrap() }
    };
    let begin = |search: Search, net: Mlp, data: &Dataset| {
        let evaluator = local(net, Loss::CrossEntropy, 1);
        Trainer::new(searching(search, 5), evaluator, data.clone()).map(|_| ()).unwrap_err()
    };
    let wide = blobs(20, [1, 1, 60], 4, 7);
    let large = || Mlp::new(&[60, 40, 4], Activation::Relu).unwrap();
    let small = blobs(20, [1, 1, 8], 4, 7);
    for (error, words) in [
        (begin(Search::named("cma-es").unwrap(), large(), &wide), "method.name: expected `lm-ma-es`, "),
        (begin(Search::named("xnes").unwrap(), large(), &wide), "method.name: expected `snes`, "),
        (
            begin(named("snes", r#"{"name": "snes", "members": 3}"#), net(), &small),
            "method.settings.members: expected a number from 4 to 1000000",
        ),
        (
            begin(named("stp", r#"{"name": "stp", "shrink": 1.5}"#), net(), &small),
            "method.settings.shrink: expected a number above 0",
        ),
        (
            begin(Search { sigma: 0.0, ..Search::named("stp").unwrap() }, net(), &small),
            "method.sigma: expected a positive number, found 0",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Spec);
        assert!(error.to_string().starts_with(words), "{error}");
    }
    assert!(Search::named("adam").unwrap_err().to_string().contains("expected one of "));
    let plan = Plan { schedule: Schedule { steps: 0, ..with("stp", 1).schedule }, ..with("stp", 1) };
    assert!(Trainer::new(plan, local(net(), Loss::CrossEntropy, 1), small).is_err());
}
