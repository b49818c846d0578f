//! What the library must not accept: each of these once gave a wrong answer, or a panic, without a word.

use crate::common::{
    Shaped, blobs, local, loss_of, params_of, plan, population, relative, small_conv, threads, two_point,
    whole,
};
use onward::ErrorKind;
use onward::ask::{MemberPlan, Signs, WeightPlan};
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::model::{
    Act, Activation, Builder, Graph, Member, Mlp, Model, Norms, Statistics, Var, WeightSpace,
};
use onward::noise::{Family, RunKey};
use onward::task::{Answers, Loss};
use onward_coordinate::{Engine, Recompute};

use onward::rule::{LayerOrder, Method, Population, RelativeActivation, Rso, Schedule, Sweep, TwoPoint};
use onward::schema::PerLayer;
use onward::space::{ActivationPlan, CoordinatePlan, Directions, Focus, LayerPlan, LayerSpace};
use onward::threads::Threads;
use onward::train::{Plan, score};
use std::sync::Arc;

fn key() -> RunKey {
    RunKey::from_seed(1)
}

fn net() -> Mlp {
    Mlp::new(&[6, 5, 3], Activation::Relu).unwrap()
}

fn rso() -> Rso {
    Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 }
}

fn weight_plan() -> WeightPlan {
    let members = [1.0, -1.0].map(|sign| Member { index: 0, sign }).to_vec();
    let space = WeightSpace::LowRank { rank: 1, noise: Family::Sign };
    WeightPlan { step: 0, space, sigma: 0.1, members, together: 2, share: 0, scales: vec![] }
}

fn activation_plan() -> ActivationPlan {
    let layer = LayerPlan { stage: 0, space: LayerSpace::Activation, pairs: 2, sigma: 0.1 };
    ActivationPlan {
        step: 0,
        layers: vec![layer],
        directions: Directions::Orthogonal,
        noise: Family::Sign,
        focus: None,
        norms: false,
    }
}

fn coordinate_plan() -> CoordinatePlan {
    Sweep::new(&rso(), &net().graph()).unwrap().plan(0, 1.0, 4)
}

/// One evaluator in two runs of different keys: each run has its own noise, whatever ran before it.
#[test]
fn an_evaluator_has_no_key_of_its_own() {
    let (data, evaluator) = (blobs(30, [1, 1, 6], 3, 1), local(net(), Loss::CrossEntropy, 1));
    let digest = |evaluator: Local, seed| {
        let plan = Plan { seed, ..plan(Method::TwoPoint(two_point(4)), 0.01, 5, 30) };
        let mut trainer = onward_coordinate::trainer(plan, evaluator, data.clone()).unwrap();
        (0..5).for_each(|_| drop(trainer.step().unwrap()));
        trainer.state().params().digest()
    };
    let shared = [1, 2, 1].map(|seed| digest(evaluator.clone(), seed));
    let apart = [1, 2, 1].map(|seed| digest(local(net(), Loss::CrossEntropy, 1), seed));
    assert_eq!(shared, apart);
    assert_ne!(shared[0], shared[1]);
}

/// All ways by which rows and targets reach a model of three outputs.
fn refusals(evaluator: &Local, data: &Dataset) -> Vec<onward::Error> {
    let params = params_of(&net(), 1);
    let batch = whole(data);
    let points: Vec<f64> = vec![0.0; params.count()];
    let outputs = Act::new(data.rows(), [1, 1, 3], vec![0.0; 3 * data.rows()]);
    let trainer = onward_coordinate::trainer(
        plan(Method::Population(population(4)), 0.1, 3, 8),
        evaluator.clone(),
        data.clone(),
    );
    vec![
        trainer.err().unwrap(),
        score(evaluator, &params, &[], data).unwrap_err(),
        evaluator.loss(&outputs, Answers::all(data.targets(), data.columns())).unwrap_err(),
        evaluator.losses(&key(), &params, &batch, &weight_plan()).unwrap_err(),
        evaluator.losses_at(&params, &batch, &points).unwrap_err(),
        evaluator.derivative(&key(), &params, &batch, &activation_plan()).err().unwrap(),
        Engine::new(evaluator.clone()).choices(&key(), &params, data, &coordinate_plan()).unwrap_err(),
    ]
}

#[test]
fn labels_beyond_the_outputs_are_refused_wherever_they_enter() {
    let targets =
        Targets::Classes { labels: (0..12).map(|i| if i == 7 { 5 } else { i % 3 }).collect(), classes: 6 };
    let data = Dataset::new(blobs(12, [1, 1, 6], 3, 1).features().to_vec(), [1, 1, 6], targets).unwrap();
    for loss in [Loss::CrossEntropy, Loss::ZeroOne, Loss::SquaredError] {
        for (i, error) in refusals(&local(net(), loss, 1), &data).into_iter().enumerate() {
            assert_eq!(error.kind(), ErrorKind::Data, "{i}: {error}");
            let words =
                "label of row 7: expected a class that one of the model's 3 outputs stands for, found 5";
            assert_eq!(error.to_string(), words, "{i}");
        }
    }
}

#[test]
fn values_of_another_width_are_refused_wherever_they_enter() {
    let features = blobs(12, [1, 1, 6], 3, 1).features().to_vec();
    for width in [1, 2, 4] {
        let targets = Targets::Values { values: vec![0.5; 12 * width], width };
        let data = Dataset::new(features.clone(), [1, 1, 6], targets).unwrap();
        for error in refusals(&local(net(), Loss::SquaredError, 1), &data) {
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            assert!(error.to_string().starts_with("targets: expected 3 values a row"), "{error}");
        }
    }
    let none = Targets::Values { values: vec![], width: 0 };
    assert!(Dataset::new(vec![1.0], [1, 1, 1], none).is_err());
    assert!(
        Dataset::new(vec![], [usize::MAX, 2, 2], Targets::Classes { labels: vec![0], classes: 1 }).is_err()
    );
}

#[test]
fn targets_for_other_rows_are_refused() {
    let data = blobs(12, [1, 1, 6], 3, 1);
    let (evaluator, params) = (local(net(), Loss::CrossEntropy, 1), params_of(&net(), 1));
    let x = whole(&data).x;
    for labels in [vec![], vec![0; 11], vec![0; 13]] {
        let batch = Batch::new(x.clone(), Targets::Classes { labels, classes: 3 });
        let found = [
            evaluator.losses(&key(), &params, &batch, &weight_plan()).err(),
            evaluator.losses_at(&params, &batch, &vec![0.0; params.count()]).err(),
            evaluator.derivative(&key(), &params, &batch, &activation_plan()).err(),
        ];
        assert!(found.iter().all(|e| e.as_ref().is_some_and(|e| e.kind() == ErrorKind::Data)), "{found:?}");
    }
    let batch = Batch::new(Act::new(0, [1, 1, 6], vec![]), data.targets().clone());
    assert!(evaluator.losses(&key(), &params, &batch, &weight_plan()).is_err());
    assert!(evaluator.outputs(&params, batch.x, Norms::Batch).is_err());
}

/// A task of one's own decides itself what it can answer; an accuracy is told where there is one.
#[test]
fn one_output_may_answer_two_classes_but_has_no_accuracy() {
    struct Logistic;
    impl onward::task::Task for Logistic {
        fn losses(
            &self,
            outputs: &Act,
            answers: onward::task::Answers<'_>,
            losses: &mut [f32],
        ) -> onward::Result<()> {
            let Targets::Classes { labels, .. } = answers.targets else { return Ok(()) };
            for (row, loss) in losses.iter_mut().enumerate() {
                let sign = if labels[answers.sample(row)] == 1 { 1.0 } else { -1.0 };
                *loss = (1.0 - sign * outputs.row(row)[0]).max(0.0);
            }
            Ok(())
        }
    }
    let data = blobs(20, [1, 1, 6], 2, 1);
    let net = Mlp::new(&[6, 4, 1], Activation::Tanh).unwrap();
    let evaluator = Local::new(Arc::new(net), Arc::new(Logistic), &threads(1));
    let mut trainer = onward_coordinate::trainer(
        plan(Method::RelativeActivation(relative(2)), 0.1, 4, 20),
        evaluator,
        data.clone(),
    )
    .unwrap();
    (0..4).for_each(|_| drop(trainer.step().unwrap()));
    assert_eq!(trainer.score(&data).unwrap().accuracy, None);
}

/// A weight that reaches the answer past its own non-linearity, through another layer, and beside it: each is credited for all of
/// what it does.
#[test]
fn what_goes_round_a_non_linearity_is_credited_in_full() {
    struct Beside;
    impl Model for Beside {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let a = g.linear_without_bias("a", x, 5);
            let bent = g.map(Activation::Tanh, a);
            let c = g.linear_without_bias("c", bent, 5);
            let bent = g.map(Activation::Tanh, c);
            let y = g.add(a, bent);
            let y = g.map(Activation::Tanh, y);
            Ok(g.linear_without_bias("b", y, 3))
        }
    }
    let data = blobs(20, [1, 1, 6], 3, 1);
    let evaluator = local(Beside, Loss::CrossEntropy, 1);
    let params = crate::common::params_on(&evaluator.graph([1, 1, 6]).unwrap(), 1);
    let layer = |stage| LayerPlan { stage, space: LayerSpace::Activation, pairs: 8, sigma: 0.01 };
    let plan = ActivationPlan { layers: (0..3).map(layer).collect(), ..activation_plan() };
    let found = evaluator.derivative(&key(), &params, &whole(&data), &plan).unwrap().derivative;
    let loss = |p: &onward::params::Params| {
        let outputs = evaluator.outputs(p, whole(&data).x, Norms::Batch).unwrap();
        loss_of(&evaluator, &outputs, &data)
    };
    for (t, tensor) in params.tensors().iter().enumerate() {
        let [first, second] = found[t].as_ref().unwrap();
        for i in 0..tensor.data.len() {
            let at = |h: f32| {
                let mut all = params.tensors().to_vec();
                all[t].data.floats_mut()[i] += h;
                loss(&onward::params::Params::from_tensors(all))
            };
            let (want, found) = ((at(0.01) - at(-0.01)) / 0.02, first[i] + second[i]);
            assert!((want - found).abs() < 2e-3, "{}[{i}]: {found}, not {want}", tensor.name);
        }
    }
}

#[test]
fn fixed_statistics_that_do_not_fit_are_refused() {
    let (net, data) = (small_conv(), blobs(20, [6, 6, 2], 4, 1));
    let (evaluator, params) = (local(net, Loss::CrossEntropy, 1), params_of(&small_conv(), 1));
    let x = whole(&data).x;
    let good = evaluator.statistics(&params, x.clone()).unwrap();
    let outputs = |s: &[Statistics]| evaluator.outputs(&params, x.clone(), Norms::Fixed(s));
    assert!(outputs(&good).is_ok());
    let changed = |change: fn(&mut Vec<Statistics>)| {
        let mut all = good.clone();
        change(&mut all);
        all
    };
    let bad = [
        changed(|s| s.clear()),
        changed(|s| _ = s.pop()),
        changed(|s| s[1].layer.push('x')),
        changed(|s| _ = s[1].mean.pop()),
        changed(|s| s[1].variance.push(1.0)),
        changed(|s| s[0].variance[0] = -1.0),
        changed(|s| s[2].mean[0] = f32::NAN),
    ];
    for statistics in &bad {
        let error = outputs(statistics).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(error.to_string().starts_with("normalisation norm"), "{error}");
        assert!(score(&evaluator, &params, statistics, &data).is_err());
    }
}

#[test]
fn counts_of_nothing_and_of_too_much_are_errors() {
    let data = blobs(20, [1, 1, 6], 3, 1);
    let (evaluator, params, batch) =
        (local(net(), Loss::CrossEntropy, 1), params_of(&net(), 1), whole(&data));
    let space = |rank| WeightSpace::LowRank { rank, noise: Family::Binomial };
    let weights = [
        WeightPlan { together: 0, ..weight_plan() },
        WeightPlan { together: usize::MAX, ..weight_plan() },
        WeightPlan { members: vec![], ..weight_plan() },
        WeightPlan { share: 21, ..weight_plan() },
        WeightPlan { share: usize::MAX, ..weight_plan() },
        WeightPlan { space: space(0), ..weight_plan() },
        WeightPlan { space: space(u32::MAX), ..weight_plan() },
        WeightPlan { space: WeightSpace::Coordinate, ..weight_plan() },
        WeightPlan { sigma: 0.0, ..weight_plan() },
        WeightPlan { sigma: f32::NAN, ..weight_plan() },
    ];
    for plan in weights {
        let found = evaluator.losses(&key(), &params, &batch, &plan).map_err(|e| e.kind());
        assert_eq!(found, Err(ErrorKind::Spec), "{plan:?}");
    }
    let layer = activation_plan().layers[0];
    let focus = |rows: &[u32], weights: &[f32]| Some(Focus { rows: rows.into(), weights: weights.into() });
    let activations = [
        ActivationPlan { layers: vec![LayerPlan { stage: 2, ..layer }], ..activation_plan() },
        ActivationPlan { layers: vec![LayerPlan { pairs: 0, ..layer }], ..activation_plan() },
        ActivationPlan { layers: vec![LayerPlan { pairs: u32::MAX, ..layer }], ..activation_plan() },
        ActivationPlan { layers: vec![LayerPlan { sigma: 0.0, ..layer }], ..activation_plan() },
        ActivationPlan { focus: focus(&[], &[]), ..activation_plan() },
        ActivationPlan { focus: focus(&[3, 3], &[1.0, 1.0]), ..activation_plan() },
        ActivationPlan { focus: focus(&[1, u32::MAX], &[1.0, 1.0]), ..activation_plan() },
        ActivationPlan { focus: focus(&[1, 2], &[1.0]), ..activation_plan() },
        ActivationPlan { focus: focus(&[1, 2], &[1.0, f32::NAN]), ..activation_plan() },
    ];
    for plan in activations {
        let found = evaluator.derivative(&key(), &params, &batch, &plan).map(|_| ()).map_err(|e| e.kind());
        assert_eq!(found, Err(ErrorKind::Spec), "{plan:?}");
    }
    let good = coordinate_plan();
    let coordinates = [
        CoordinatePlan { stage: 2, ..good.clone() },
        CoordinatePlan { tensor: 0, ..good.clone() },
        CoordinatePlan { tensor: 99, ..good.clone() },
        CoordinatePlan { elements: 0..0, ..good.clone() },
        CoordinatePlan { elements: 0..16, ..good.clone() },
        CoordinatePlan { hold: 0, ..good.clone() },
        CoordinatePlan { batch: 0, ..good.clone() },
        CoordinatePlan { sigma: f32::INFINITY, ..good.clone() },
        CoordinatePlan { keep: f32::NAN, ..good.clone() },
    ];
    for recompute in [Recompute::Changed, Recompute::Dense] {
        for plan in &coordinates {
            let mut engine = Engine::new(evaluator.clone()).with_recompute(recompute);
            let found = engine.choices(&key(), &params, &data, plan).map(|_| ()).map_err(|e| e.kind());
            assert_eq!(found, Err(ErrorKind::Spec), "{plan:?}");
        }
    }
    for points in [vec![], vec![0.0; params.count() - 1], vec![0.0; params.count() + 1]] {
        assert!(evaluator.losses_at(&params, &batch, &points).is_err(), "{} numbers", points.len());
    }
    for count in [0, usize::MAX] {
        assert_eq!(Threads::new(count).map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::Spec));
    }
}

#[test]
fn plans_of_nothing_and_of_too_much_are_errors() {
    let data = blobs(20, [1, 1, 6], 3, 1);
    let people = |p: Population| Method::Population(p);
    let relative = |r: RelativeActivation| Method::RelativeActivation(r);
    let r = || crate::common::relative(4);
    let methods = [
        people(Population { members: 0, ..population(4) }),
        people(Population { members: 3, ..population(4) }),
        people(Population { members: u32::MAX - 1, ..population(4) }),
        people(Population { rank: 0, ..population(4) }),
        people(Population { rank: u32::MAX, ..population(4) }),
        people(Population { share: u32::MAX, ..population(4) }),
        people(Population { sigma: -1.0, ..population(4) }),
        Method::TwoPoint(TwoPoint { directions: 0, ..two_point(4) }),
        Method::TwoPoint(TwoPoint { directions: u32::MAX, ..two_point(4) }),
        relative(RelativeActivation { directions: 0.into(), ..r() }),
        relative(RelativeActivation { directions: u32::MAX.into(), ..r() }),
        relative(RelativeActivation { directions: PerLayer::Each(vec![]), ..r() }),
        relative(RelativeActivation { sigma: PerLayer::Each(vec![]), ..r() }),
        relative(RelativeActivation { space: PerLayer::Each(vec![]), ..r() }),
        relative(RelativeActivation { focus: f32::NAN, ..r() }),
        Method::Rso(Rso { hold: 0, ..rso() }),
        Method::Rso(Rso { sigma: PerLayer::Each(vec![]), ..rso() }),
        Method::Rso(Rso { decay: 1.0, ..rso() }),
    ];
    let sound = || plan(Method::Population(population(4)), 0.1, 3, 8);
    let with = |schedule: Schedule| Plan { schedule, ..sound() };
    let mut plans: Vec<Plan> = methods.into_iter().map(|method| plan(method, 0.1, 3, 8)).collect();
    plans.extend([
        Plan { batch: 0, ..sound() },
        with(Schedule { steps: 0, ..sound().schedule }),
        with(Schedule { steps: u64::MAX, ..sound().schedule }),
        with(Schedule { rate: f32::NAN, ..sound().schedule }),
        with(Schedule { final_share: f32::INFINITY, ..sound().schedule }),
    ]);
    for momentum in [-0.5, 1.0, f32::NAN] {
        let mut plan = sound();
        plan.optimizer.momentum = momentum;
        plans.push(plan);
    }
    for plan in plans {
        let what = format!("{plan:?}");
        let found = onward_coordinate::trainer(plan, local(net(), Loss::CrossEntropy, 1), data.clone());
        assert_eq!(found.map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::Spec), "{what}");
    }
    let sound = Plan { batch: usize::MAX, digest_every: 0, ..sound() };
    onward_coordinate::trainer(sound, local(net(), Loss::CrossEntropy, 1), data).unwrap().step().unwrap();
}

#[test]
fn models_of_nothing_and_of_too_much_are_errors() {
    for widths in [&[][..], &[3], &[3, 0, 2], &[usize::MAX, 2], &[1 << 40, 1 << 40], &[1 << 30, 1 << 30]] {
        let graph = Mlp::new(widths, Activation::Relu).and_then(|net| Graph::new(&net, [1, 1, net.inputs()]));
        assert!(graph.is_err(), "{widths:?}");
    }
    let conv = small_conv();
    let bad = [
        onward::model::Conv { channels: vec![], ..conv.clone() },
        onward::model::Conv { channels: vec![5, 0, 7], ..conv.clone() },
        onward::model::Conv { channels: vec![usize::MAX, 5, 7], ..conv.clone() },
        onward::model::Conv { input: [6, 6, 0], ..conv.clone() },
        onward::model::Conv { input: [0, 6, 2], ..conv.clone() },
        onward::model::Conv { outputs: 0, ..conv.clone() },
        onward::model::Conv { average_pool_after: vec![3], ..conv.clone() },
        onward::model::Conv { average_pool_after: vec![1; 100], ..conv.clone() },
        onward::model::Conv { max_pool_after: vec![0, 0], ..conv.clone() },
        onward::model::Conv { residual: vec![None], ..conv.clone() },
        onward::model::Conv { residual: vec![None, Some(1), None], ..conv.clone() },
    ];
    for net in bad {
        let what = format!("{net:?}");
        let graph = net.checked().and_then(|net| Graph::new(&net, net.input));
        let kind = graph.map(|_| ()).map_err(|e| e.kind());
        assert!(matches!(kind, Err(ErrorKind::Spec | ErrorKind::Model)), "{what}: {kind:?}");
    }
    assert!(Graph::new(&net(), [1, 1, 7]).is_err());
    assert!(Graph::new(&net(), [0, 1, 6]).is_err());
}

/// A residual connection around a stage that a max pool follows: sizes are those before the pool.
#[test]
fn a_residual_may_end_before_a_max_pool() {
    let net = onward::model::Conv {
        residual: vec![None, Some(0), None],
        max_pool_after: vec![1],
        average_pool_after: vec![],
        ..small_conv()
    };
    let data = blobs(20, [6, 6, 2], 4, 1);
    for method in [Method::RelativeActivation(relative(4)), Method::Population(population(4))] {
        let mut trainer =
            crate::common::trainer(plan(method, 0.1, 3, 20), net.clone().checked().unwrap(), &data, 1);
        (0..3).for_each(|_| drop(trainer.step().unwrap()));
    }
}

/// A tensor that two stages use has the derivative of both uses; in coordinate space it is refused.
#[test]
fn a_tensor_in_two_places_is_credited_for_both() {
    struct Tied;
    impl Model for Tied {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let x = g.linear_without_bias("w", x, 6);
            let x = g.map(Activation::Tanh, x);
            Ok(g.linear_tied("w", x))
        }
    }
    let data = blobs(12, [1, 1, 6], 6, 1);
    let graph = Graph::new(&Tied, [1, 1, 6]).unwrap();
    let (evaluator, params) = (local(Tied, Loss::CrossEntropy, 1), crate::common::params_on(&graph, 1));
    let batch = whole(&data);
    let layers = |stages: &[usize]| {
        let layer = |s: &usize| LayerPlan { stage: *s, space: LayerSpace::Activation, pairs: 8, sigma: 0.01 };
        ActivationPlan { layers: stages.iter().map(layer).collect(), ..activation_plan() }
    };
    let sum = |stages: &[usize]| -> Vec<f32> {
        let mut found = evaluator.derivative(&key(), &params, &batch, &layers(stages)).unwrap().derivative;
        let [a, b] = found[0].take().unwrap();
        a.iter().zip(&b).map(|(a, b)| a + b).collect()
    };
    let (first, second, both) = (sum(&[0]), sum(&[1]), sum(&[0, 1]));
    for i in 0..36 {
        assert!(
            (first[i] + second[i] - both[i]).abs() < 1e-5,
            "{i}: {} + {} and {}",
            first[i],
            second[i],
            both[i]
        );
    }
    assert_eq!(Sweep::new(&rso(), &graph).map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::Model));
}

/// A question of more members than there can be is refused before room is made for them.
#[test]
fn members_beyond_counting_are_refused_before_they_are_listed() {
    let space = WeightSpace::LowRank { rank: 1, noise: Family::Sign };
    let plan =
        |first, directions| MemberPlan { space, sigma: 0.1, first, directions, signs: Signs::Both, share: 0 };
    for (first, directions) in [(0, 0), (0, u32::MAX), (u32::MAX, 2), (0, 1 << 22)] {
        let error = plan(first, directions).at(0).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec, "{first} {directions}: {error}");
    }
    assert_eq!(plan(u32::MAX - 2, 2).at(0).unwrap().members.len(), 4);
}
