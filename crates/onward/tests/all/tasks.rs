//! Tasks in training: losses of rows with weights lead where central differences do, and what only a batch has is trained by every
//! method that acts on weights.

use crate::common::reference::{Map, Named, derivative, mlp, named};
use crate::common::{blobs, cosine, local, params_of, plan, population, relative, threads, two_point, wide};
use onward::ErrorKind;
use onward::ask::{Queries, Shuffle};
use onward::dataset::{Columns, Dataset, QUERY, Targets, WEIGHT, balanced};
use onward::evaluate::{Batch, Local};
use onward::ledger::Search;
use onward::model::{Act, Activation, Mlp};
use onward::noise::{Family, RunKey};
use onward::rule::{LayerOrder, Method, Rso};
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace};
use onward::task::{Answers, Auc, Average, F1, Grain, Loss, Ndcg, Task};
use onward::train::Trainer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const ROWS: usize = 12;

fn net() -> Mlp {
    Mlp::new(&[5, 4, 3], Activation::Tanh).unwrap()
}

/// Rows with three numbers each, weighted.
fn weighted(labels: bool) -> Dataset {
    let value = |i: usize| ((i * 29 % 17) as f32 / 4.0 - 2.0) * 0.7;
    let one = |i: usize| if labels { f32::from(u8::from(value(i) > 0.0)) } else { value(i) };
    let targets = Targets::Values { values: (0..ROWS * 3).map(one).collect(), width: 3 };
    let features = blobs(ROWS, [1, 1, 5], 3, 2).features().to_vec();
    let weights = (0..ROWS).map(|i| (i % 4) as f64 * 0.5).collect();
    let data = Dataset::new(features, [1, 1, 5], targets).unwrap();
    data.with_columns(Columns::default().with(WEIGHT, weights)).unwrap()
}

fn input(data: &Dataset) -> Map {
    Map { rows: data.rows(), h: 1, w: 1, c: 5, data: wide(data.features()) }
}

/// The weighted mean loss in f64.
fn mean_loss(data: &Dataset, outputs: &Map, of: impl Fn(f64, f64) -> f64) -> f64 {
    let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
    let weights = data.columns().get(WEIGHT).unwrap();
    let each = outputs.data.iter().zip(values).enumerate();
    each.map(|(i, (x, t))| weights[i / 3] * of(*x, f64::from(*t))).sum::<f64>() / ROWS as f64
}

#[test]
fn derivatives_of_weighted_losses_are_those_of_central_differences() {
    let huber = |d: f64| if d.abs() <= 0.5 { d * d / 2.0 } else { 0.5 * (d.abs() - 0.25) };
    type Of<'a> = &'a dyn Fn(f64, f64) -> f64;
    let cases: [(Loss, bool, Of<'_>); 4] = [
        (Loss::SquaredError, false, &|x, t| (x - t).powi(2) / 2.0),
        (Loss::AbsoluteError, false, &|x, t| (x - t).abs()),
        (Loss::Huber { delta: 0.5 }, false, &|x, t| huber(x - t)),
        (Loss::SigmoidCrossEntropy, true, &|x, t| {
            t * (1.0 + (-x).exp()).ln() + (1.0 - t) * (1.0 + x.exp()).ln()
        }),
    ];
    for (loss, labels, of) in cases {
        let data = weighted(labels);
        let params = params_of(&net(), 3);
        let truth = derivative(
            &named(&params),
            |_| true,
            |p: &Named| mean_loss(&data, &mlp(p, 2, Activation::Tanh, input(&data)), of),
        );
        let evaluator = local(net(), loss, 2);
        let batch = Batch::select(&data, &(0..ROWS as u32).collect::<Vec<_>>());
        let layer = |stage| LayerPlan { stage, space: LayerSpace::Activation, pairs: 4, sigma: 0.001 };
        let plan = ActivationPlan {
            step: 0,
            layers: vec![layer(0), layer(1)],
            directions: Directions::Orthogonal,
            noise: Family::Sign,
            focus: None,
            norms: false,
        };
        let found = evaluator.derivative(&RunKey::from_seed(1), &params, &batch, &plan).unwrap();
        let want = mean_loss(&data, &mlp(&named(&params), 2, Activation::Tanh, input(&data)), of);
        assert!((f64::from(found.loss) - want).abs() < 1e-5, "{loss:?}: {} {want}", found.loss);
        for (tensor, halves) in params.tensors().iter().zip(&found.derivative) {
            let [a, b] = halves.as_ref().unwrap();
            let sum: Vec<f64> = wide(a).iter().zip(wide(b)).map(|(a, b)| a + b).collect();
            let found = cosine(&sum, &truth[&tensor.name]);
            assert!(found > 0.999, "{loss:?}, {}: cosine {found}", tensor.name);
            assert!(crate::common::distance(&sum, &truth[&tensor.name]) < 0.02, "{loss:?}, {}", tensor.name);
        }
    }
}

/// Rows in order, the first four of which count for nothing; the loss there is not even finite.
fn four_of_no_weight() -> Dataset {
    let data = blobs(ROWS, [1, 1, 5], 3, 2);
    let mut features = data.features().to_vec();
    features[..20].fill(1e38);
    let weights = (0..ROWS).map(|row| if row < 4 { 0.0 } else { 1.5 }).collect();
    let data = Dataset::new(features, [1, 1, 5], data.targets().clone()).unwrap();
    data.with_columns(Columns::default().with(WEIGHT, weights)).unwrap()
}

#[test]
fn a_batch_of_rows_without_weight_is_a_step_that_changes_nothing() {
    let focused = onward::rule::RelativeActivation { focus: 0.5, ..relative(4) };
    let parted =
        onward::rule::Population { share: 2, shaping: onward::rule::Shaping::ZScore, ..population(8) };
    let methods = [
        Method::RelativeActivation(relative(4)),
        Method::RelativeActivation(focused),
        Method::Population(population(8)),
        Method::Population(parted),
        Method::TwoPoint(two_point(4)),
        Method::Search(Search::named("snes").unwrap()),
    ];
    for (place, method) in methods.into_iter().enumerate() {
        for piece in [None, Some(3)].into_iter().take(if [2, 4, 5].contains(&place) { 2 } else { 1 }) {
            let plan = onward::train::Plan { shuffle: Shuffle::InOrder, ..plan(method.clone(), 0.05, 6, 4) };
            let local = local(net(), Loss::CrossEntropy, 1).in_pieces(piece);
            let mut trainer = Trainer::new(plan, local, four_of_no_weight()).unwrap();
            for step in 0..6 {
                let before = trainer.state().params().digest();
                let found = trainer.step().unwrap();
                let (loss, same) = (found.entry.loss, before == trainer.state().params().digest());
                let of_search = matches!(method, Method::Search(_));
                assert_eq!((loss == 0.0, found.entry.non_finite), (step % 3 == 0, 0), "{place}, {step}");
                assert!(of_search || same == (step % 3 == 0), "{place}, {step}");
            }
        }
    }
    // Of all rows, some have to count.
    let none = Columns::default().with(WEIGHT, vec![0.0; ROWS]);
    let data = blobs(ROWS, [1, 1, 5], 3, 2).with_columns(none).unwrap();
    let plan = plan(Method::TwoPoint(two_point(4)), 0.05, 6, 4);
    let error = Trainer::new(plan, local(net(), Loss::CrossEntropy, 1), data).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "column weight: expected a row that counts, found weights of 0 alone");
}

#[test]
fn a_weight_of_two_is_the_row_twice_and_one_of_zero_none() {
    let data = blobs(6, [1, 1, 5], 3, 4);
    let params = params_of(&net(), 3);
    let evaluator = local(net(), Loss::CrossEntropy, 1);
    let loss = |data: &Dataset| {
        let x = Act::new(data.rows(), [1, 1, 5], data.features().to_vec());
        let outputs = evaluator.outputs(&params, x, onward::model::Norms::Batch).unwrap();
        f64::from(evaluator.loss(&outputs, Answers::all(data.targets(), data.columns())).unwrap())
    };
    let weights = Columns::default().with(WEIGHT, vec![2.0, 0.0, 1.0, 1.0, 0.0, 2.0]);
    let twice = data.select(&[0, 0, 2, 3, 5, 5]);
    assert!((loss(&data.clone().with_columns(weights).unwrap()) - loss(&twice)).abs() < 1e-6);
    // Those of the balanced classes have the mean 1.
    let weights = balanced(&[0, 0, 0, 1], 2);
    assert_eq!((weights[0], weights[1]), (4.0 / 6.0, 2.0));
    assert_eq!(balanced(&[1, 1], 3), [0.0, 1.0, 0.0]);
}

#[test]
fn columns_belong_to_the_digest_and_none_leave_it_as_it_was() {
    let data = blobs(6, [1, 1, 5], 3, 4);
    let with = |name: &str, first: f64| {
        let values = (0..6).map(|i| if i == 0 { first } else { 1.0 }).collect();
        data.clone().with_columns(Columns::default().with(name, values)).unwrap().digest()
    };
    let all = [data.digest(), with(WEIGHT, 1.0), with(WEIGHT, 2.0), with(QUERY, 1.0)];
    assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
    assert_eq!(data.clone().with_columns(Columns::default()).unwrap().digest(), all[0]);
}

/// Two classes, of which one is rare; queries of eight rows.
fn rare() -> Dataset {
    let whole = blobs(160, [1, 1, 5], 2, 6);
    let rows: Vec<u32> = (0..160).filter(|row| row % 2 == 0 || row % 8 == 1).collect();
    let data = whole.select(&rows);
    let queries = (0..data.rows()).map(|row| (row / 8) as f64).collect();
    data.with_columns(Columns::default().with(QUERY, queries)).unwrap()
}

#[test]
fn what_steps_on_whole_queries_cost_is_of_the_rows_that_they_saw() {
    let net = Mlp::new(&[5, 1], Activation::Tanh).unwrap();
    let evaluator = Local::new(Arc::new(net), Arc::new(Ndcg { k: 3 }), &threads(1));
    let plan = plan(Method::Population(population(4)), 0.1, 3, 21);
    let queries = Queries::of(&rare(), RunKey::from_seed(plan.seed), Shuffle::All).unwrap();
    let rows: Vec<usize> = (0..3).map(|step| queries.batch(step, 21).len()).collect();
    let mut trainer = onward_coordinate::trainer(plan, evaluator, rare()).unwrap();
    (0..3).for_each(|_| drop(trainer.step().unwrap()));
    assert_eq!(trainer.spent().samples, 4 * rows.iter().sum::<usize>() as u64);
    assert!(rows.iter().all(|rows| rows % 8 == 0), "{rows:?}");
}

fn search(name: &str) -> Method {
    Method::Search(Search::named(name).unwrap())
}

fn rso() -> Method {
    Method::Rso(Rso { sigma: 1.0.into(), decay: 0.0, order: LayerOrder::LastFirst, hold: 1 })
}

/// What training does to a task's metric on all rows.
fn learned(task: impl Task + 'static, outputs: usize, method: Method, rate: f32, steps: u64) -> (f32, f32) {
    let data = rare();
    let net = Mlp::new(&[5, outputs], Activation::Tanh).unwrap();
    let evaluator = Local::new(Arc::new(net), Arc::new(task), &threads(2));
    let mut plan = plan(method, rate, steps, 48);
    plan.seed = 3;
    let mut trainer = onward_coordinate::trainer(plan, evaluator, data.clone()).unwrap();
    let metric = |trainer: &Trainer| trainer.score(&data).unwrap().metric.unwrap().value;
    let before = metric(&trainer);
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    (before, metric(&trainer))
}

#[test]
fn what_only_a_batch_has_is_trained_by_every_method_on_weights() {
    for (method, rate, steps) in [
        (two_point_wide(), 0.3, 80),
        (population_wide(), 0.3, 60),
        (search("snes"), 1.0, 40),
        (search("xnes"), 1.0, 40),
        (rso(), 1.0, 200),
    ] {
        let name = method.name().to_owned();
        let auc = learned(Auc, 1, method.clone(), rate, steps);
        assert!(auc.1 > 0.95 && auc.1 > auc.0, "{name}, auc: {auc:?}");
        let f1 = learned(F1 { average: Average::Binary }, 2, method.clone(), rate, steps);
        assert!(f1.1 > 0.8 && f1.1 > f1.0, "{name}, f1: {f1:?}");
    }
}

fn two_point_wide() -> Method {
    Method::TwoPoint(onward::rule::TwoPoint { sigma: 0.1, ..two_point(16) })
}

fn population_wide() -> Method {
    Method::Population(onward::rule::Population { sigma: 0.1, ..population(32) })
}

#[test]
fn methods_on_activations_refuse_what_only_a_batch_has_before_the_first_step() {
    for task in [Arc::new(Auc) as Arc<dyn Task>, Arc::new(F1::default()), Arc::new(Ndcg { k: 3 })] {
        let outputs = if task.metric(0.0).unwrap().name == "f1" { 2 } else { 1 };
        let net = Mlp::new(&[5, outputs], Activation::Tanh).unwrap();
        let evaluator = Local::new(Arc::new(net), task, &threads(1));
        let plan = plan(Method::RelativeActivation(relative(4)), 0.1, 3, 16);
        let error = onward_coordinate::trainer(plan, evaluator, rare()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec, "{error}");
        assert!(error.to_string().contains("use a weight-space method"), "{error}");
    }
}

/// Every third loss is not known.
struct Forgets(AtomicU64, u64);

impl Task for Forgets {
    fn grain(&self) -> Grain {
        Grain::Batch
    }
    fn losses(&self, outputs: &Act, _: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
        losses.fill(outputs.data().iter().map(|v| v * v).sum());
        match self.0.fetch_add(1, Ordering::Relaxed) % self.1 {
            0 => Err(onward::Error::new(ErrorKind::Evaluator, "the scorer did not answer")),
            _ => Ok(()),
        }
    }
}

#[test]
fn losses_that_a_task_cannot_tell_are_left_out_and_never_zero() {
    let data = blobs(16, [1, 1, 5], 3, 4);
    let trainer = |every, method| {
        let evaluator = Local::new(Arc::new(net()), Arc::new(Forgets(AtomicU64::new(0), every)), &threads(1));
        onward_coordinate::trainer(plan(method, 0.001, 30, 16), evaluator, data.clone()).unwrap()
    };
    for (method, asked) in [(Method::TwoPoint(two_point(8)), 16), (Method::Population(population(12)), 12)] {
        let mut some = trainer(3, method.clone());
        let first = some.step().unwrap();
        assert_eq!((first.missing, first.entry.non_finite), (u64::div_ceil(asked, 3), 0));
        let before = first.entry.loss;
        let after = (0..29).map(|_| some.step().unwrap().entry.loss).last().unwrap();
        assert!(after > 0.0 && after < before, "{before} {after}");
        let error = trainer(1, method).step().map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Evaluator, "no divergence");
        assert!(error.to_string().contains("at least one loss that is known, found none"), "{error}");
    }
    let mut score = trainer(1, Method::TwoPoint(two_point(8)));
    assert!(score.score(&data).unwrap().loss.is_nan());
    assert!(score.step().is_err());
}
