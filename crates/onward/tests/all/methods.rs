//! What every method has to do: make progress, answer only to differences of losses, keep its books.

use crate::common::{
    blobs, cosine, local, params_of, plan, population, relative, step_of, threads, trainer, two_point, wide,
};
use onward::ErrorKind;
use onward::dataset::Dataset;
use onward::evaluate::Local;
use onward::ledger::{Optimizer, Scaling, Update};
use onward::model::{Act, Activation, Builder, Conv, GlobalPool, Mlp, Model, RowOp, Shape, Var};
use onward::noise::{Family, RunKey};
use onward::rule::{
    LayerOrder, Layers, Method, Outcome, Pairing, Population, RelativeActivation, RelativeLocal, Rso,
    Shaping, TwoPoint,
};
use onward::schema::PerLayer;
use onward::space::{Directions, LayerSpace};
use onward::task::{Answers, Loss, Task};
use onward::train::{Plan, Trainer};
use std::sync::Arc;

fn net() -> Mlp {
    Mlp::new(&[8, 16, 4], Activation::Relu).unwrap()
}

fn with(method: Method, rate: f32, steps: u64) -> Plan {
    let momentum = if matches!(method, Method::Rso(_)) { 0.0 } else { 0.8 };
    let mut plan = plan(method, rate, steps, 64);
    plan.optimizer = Optimizer { momentum, scaling: Scaling::None };
    plan
}

fn rso() -> Rso {
    Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 }
}

/// Every method in each of its forms, with a rate and steps that are enough for it.
fn registry() -> Vec<Plan> {
    let population = |p: Population, rate| with(Method::Population(Population { sigma: 0.1, ..p }), rate, 60);
    let p = crate::common::population(64);
    let relative = |r: RelativeActivation, steps| with(Method::RelativeActivation(r), 0.1, steps);
    let mut adam = relative(crate::common::relative(4), 40);
    adam.optimizer.scaling = Scaling::Adam;
    adam.schedule.rate = 0.01;
    vec![
        population(p, 0.3),
        population(Population { shaping: Shaping::ZScore, rank: 4, noise: Family::Binomial, ..p }, 0.05),
        population(Population { pairing: Pairing::OneSided, ..p }, 0.3),
        population(Population { shaping: Shaping::ZScore, share: 16, ..p }, 0.02),
        with(Method::TwoPoint(two_point(16)), 0.03, 60),
        with(Method::TwoPoint(TwoPoint { noise: Family::Normal, ..two_point(16) }), 0.03, 60),
        with(Method::TwoPoint(TwoPoint { noise: Family::Binomial, ..two_point(1) }), 0.003, 400),
        relative(crate::common::relative(4), 40),
        relative(
            RelativeActivation {
                draws: Directions::Independent,
                noise: Family::Binomial,
                ..crate::common::relative(4)
            },
            40,
        ),
        relative(
            RelativeActivation { draws: Directions::Blocks, focus: 0.25, ..crate::common::relative(4) },
            40,
        ),
        relative(RelativeActivation { order: Layers::InTurn, ..crate::common::relative(4) }, 60),
        relative(RelativeActivation { space: LayerSpace::LowRank.into(), ..crate::common::relative(4) }, 60),
        with(Method::RelativeLocal(RelativeLocal::default()), 0.1, 40),
        with(Method::RelativeLocal(RelativeLocal { top: 1, ..Default::default() }), 0.1, 40),
        with(Method::Rso(rso()), 1.0, 66),
        with(
            Method::Rso(Rso {
                hold: 4,
                order: LayerOrder::FirstFirst,
                sigma: PerLayer::Each(vec![1.0, 0.5]),
                ..rso()
            }),
            1.0,
            66,
        ),
        adam,
    ]
}

/// The loss before and after.
fn progress(mut trainer: Trainer, data: &Dataset) -> (f32, f32) {
    let before = trainer.score(data).unwrap().loss;
    while !trainer.finished() {
        let step = trainer.step().unwrap();
        assert!(step.entry.loss.is_finite() && step.entry.non_finite == 0);
    }
    (before, trainer.score(data).unwrap().loss)
}

#[test]
fn every_method_makes_progress() {
    let data = blobs(192, [1, 1, 8], 4, 1);
    for plan in registry() {
        let what = format!("{:?}", plan.method);
        let (before, after) = progress(trainer(plan, net(), &data, 2), &data);
        println!("{before} -> {after}: {what}");
        assert!(after < 0.7 * before, "{before} -> {after}: {what}");
    }
}

#[test]
fn every_method_trains_a_convolutional_net() {
    let conv = Conv {
        input: [6, 6, 1],
        channels: vec![4, 4],
        average_pool_after: vec![0],
        max_pool_after: vec![],
        batch_norm: true,
        bias: false,
        residual: vec![],
        activation: Activation::Relu,
        global_pool: GlobalPool::None,
        outputs: 3,
    };
    let data = blobs(96, conv.input, 3, 2);
    let methods = [
        (Method::Population(Population { sigma: 0.1, ..population(64) }), 0.3),
        (Method::TwoPoint(two_point(16)), 0.03),
        (Method::RelativeActivation(relative(4)), 0.1),
        (Method::RelativeLocal(RelativeLocal::default()), 0.1),
        (Method::Rso(rso()), 1.0),
    ];
    for (method, rate) in methods {
        let what = format!("{method:?}");
        let (before, after) =
            progress(trainer(with(method, rate, 40), conv.clone().checked().unwrap(), &data, 2), &data);
        assert!(after < 0.7 * before, "{before} -> {after}: {what}");
    }
}

/// Nothing to follow but the count of errors.
#[test]
fn weight_space_methods_lower_the_error_count_itself() {
    let data = blobs(192, [1, 1, 8], 4, 3);
    for method in [
        Method::Population(Population { sigma: 0.3, ..population(64) }),
        Method::TwoPoint(TwoPoint { sigma: 0.3, ..two_point(32) }),
    ] {
        let mut plan = with(method, 0.3, 60);
        plan.batch = 192;
        let evaluator = local(net(), Loss::ZeroOne, 2);
        let what = format!("{:?}", plan.method);
        let (before, after) =
            progress(onward_coordinate::trainer(plan, evaluator, data.clone()).unwrap(), &data);
        assert!(after < 0.7 * before, "{before} -> {after}: {what}");
    }
}

/// Cross-entropy and a constant.
struct Raised(f32);

impl Task for Raised {
    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
        Loss::CrossEntropy.losses(outputs, answers, losses)?;
        losses.iter_mut().for_each(|l| *l += self.0);
        Ok(())
    }
}

/// The update as one vector: coefficients, or directions.
fn flat(outcome: Outcome) -> Vec<f64> {
    match outcome.entry.update {
        Update::Probes { exponent, coefficients } => {
            coefficients.iter().map(|c| f64::from(*c) * 2f64.powi(i32::from(exponent))).collect()
        }
        Update::Choices(visited) => visited.choices.iter().map(|c| f64::from(*c)).collect(),
        Update::Rerun { .. } => {
            outcome.direction.unwrap().tensors.iter().flatten().flat_map(|d| wide(d)).collect()
        }
        other => panic!("no direction in {other:?}"),
    }
}

#[test]
fn a_constant_added_to_all_losses_changes_nothing() {
    let data = blobs(32, [1, 1, 8], 4, 4);
    let params = params_of(&net(), 4);
    for plan in registry() {
        let update = |constant| {
            let evaluator = Local::new(Arc::new(net()), Arc::new(Raised(constant)), &threads(1));
            flat(step_of(&plan.method, &evaluator, &params, &data, RunKey::from_seed(4), (3, 0.1)).unwrap())
        };
        let plain = update(0.0);
        for constant in [8.0, -8.0] {
            let raised = update(constant);
            let size =
                (raised.iter().map(|v| v * v).sum::<f64>() / plain.iter().map(|v| v * v).sum::<f64>()).sqrt();
            assert!(
                cosine(&plain, &raised) > 0.999 && (size - 1.0).abs() < 0.01,
                "{:?}: {}, {size}",
                plan.method,
                cosine(&plain, &raised)
            );
        }
    }
}

/// Equal losses say nothing, so nothing moves.
#[test]
fn equal_losses_move_nothing() {
    struct Flat;
    impl Task for Flat {
        fn losses(&self, _: &Act, _: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
            losses.fill(2.5);
            Ok(())
        }
    }
    let data = blobs(32, [1, 1, 8], 4, 5);
    let evaluator = Local::new(Arc::new(net()), Arc::new(Flat), &threads(1));
    for plan in registry() {
        let params = params_of(&net(), 5);
        let outcome =
            step_of(&plan.method, &evaluator, &params, &data, RunKey::from_seed(5), (0, 0.1)).unwrap();
        assert_eq!((outcome.entry.loss, outcome.entry.non_finite), (2.5, 0));
        assert!(flat(outcome).iter().all(|v| *v == 0.0), "{:?}", plan.method);
    }
}

/// The books agree with what the model saw.
#[test]
fn what_was_spent_is_counted_exactly() {
    use std::sync::atomic::{AtomicU64, Ordering};
    /// Passes its rows on and counts them.
    struct Counter(Arc<AtomicU64>);
    impl RowOp for Counter {
        fn name(&self) -> &str {
            "counter 1"
        }
        fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
            Ok(inputs[0])
        }
        fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
            self.0.fetch_add(1, Ordering::Relaxed);
            output.copy_from_slice(inputs[0]);
        }
    }
    /// Two layers, between which rows are counted.
    struct Counted(Arc<AtomicU64>);
    impl Model for Counted {
        fn build(&self, g: &mut Builder) -> onward::Result<Var> {
            let x = g.input();
            let x = g.linear("fc1", x, 6);
            let x = g.map(Activation::Relu, x);
            let x = g.host(Arc::new(Counter(self.0.clone())), &[x]);
            Ok(g.linear("fc2", x, 4))
        }
    }
    let data = blobs(100, [1, 1, 8], 4, 6);
    let [first, second] = [2 * 8 * 6, 2 * 6 * 4];
    for mut plan in registry() {
        let what = format!("{:?}", plan.method);
        plan.schedule.steps = 3;
        let clean = 3 * plan.batch.min(100) as u64;
        let whole_batches = (100 / plan.batch * plan.batch) as u64;
        let seen = Arc::new(AtomicU64::new(0));
        let evaluator =
            Local::new(Arc::new(Counted(seen.clone())), Arc::new(Loss::CrossEntropy), &threads(2));
        let mut trainer = onward_coordinate::trainer(plan, evaluator, data.clone()).unwrap();
        while !trainer.finished() {
            trainer.step().unwrap();
        }
        let (seen, spent) = (seen.load(Ordering::Relaxed), trainer.spent());
        let flops = match trainer.method() {
            // Probes behind the first layer do not run it again; all that is seen runs the second.
            Method::RelativeActivation(r) if r.space == LayerSpace::Activation.into() => {
                first * clean + second * seen
            }
            // Noise on weights runs its layer again, the second from where it begins.
            Method::RelativeActivation(_) => first * seen + second * (2 * seen - clean),
            // A probe of a map runs it alone, once for each of its inputs; the counter has none.
            Method::RelativeLocal(r) if r.top == 0 => (first + 7 * second) * clean,
            Method::RelativeLocal(_) => (first + second) * clean,
            // What enters a layer is kept, found for whole batches when its turn comes.
            Method::Rso(r) => {
                let kept = if r.order == LayerOrder::LastFirst { whole_batches } else { 0 };
                first * seen + second * (spent.samples - kept)
            }
            _ => (first + second) * seen,
        };
        assert_eq!(spent.flops, flops, "{what}");
    }
}

#[test]
fn plans_that_cannot_work_are_refused() {
    let data = blobs(20, [1, 1, 8], 4, 7);
    let p = population(8);
    let r = relative(4);
    let good = || with(Method::Population(p), 0.1, 5);
    let bad = [
        ("steps", Plan { schedule: onward::rule::Schedule { steps: 0, ..good().schedule }, ..good() }),
        ("batch", Plan { batch: 0, ..good() }),
        ("members", with(Method::Population(Population { members: 0, ..p }), 0.1, 5)),
        ("members", with(Method::Population(Population { members: 7, ..p }), 0.1, 5)),
        ("share", with(Method::Population(Population { share: 21, shaping: Shaping::ZScore, ..p }), 0.1, 5)),
        ("shaping", with(Method::Population(Population { share: 4, ..p }), 0.1, 5)),
        (
            "sigma",
            with(
                Method::RelativeActivation(RelativeActivation {
                    sigma: PerLayer::Each(vec![0.1; 3]),
                    ..r.clone()
                }),
                0.1,
                5,
            ),
        ),
        (
            "directions",
            with(
                Method::RelativeActivation(RelativeActivation { directions: 0.into(), ..r.clone() }),
                0.1,
                5,
            ),
        ),
        ("focus", with(Method::RelativeActivation(RelativeActivation { focus: 0.0, ..r.clone() }), 0.1, 5)),
        (
            "focus",
            with(
                Method::RelativeActivation(RelativeActivation {
                    focus: 0.5,
                    order: Layers::InTurn,
                    ..r.clone()
                }),
                0.1,
                5,
            ),
        ),
        (
            "focus",
            with(
                Method::RelativeActivation(RelativeActivation {
                    focus: 0.5,
                    directions: PerLayer::Each(vec![4, 0]),
                    ..r.clone()
                }),
                0.1,
                5,
            ),
        ),
        ("directions", with(Method::TwoPoint(two_point(0)), 0.1, 5)),
        ("hold", with(Method::Rso(Rso { hold: 0, ..rso() }), 1.0, 5)),
        ("decay", with(Method::Rso(Rso { decay: 1.0, ..rso() }), 1.0, 5)),
        ("sigma", with(Method::Rso(Rso { sigma: PerLayer::Each(vec![0.1; 3]), ..rso() }), 1.0, 5)),
        (
            "momentum",
            Plan {
                optimizer: Optimizer { momentum: 0.5, scaling: Scaling::None },
                ..with(Method::Rso(rso()), 1.0, 5)
            },
        ),
        ("sigma", with(Method::RelativeLocal(RelativeLocal { sigma: 0.0, ..Default::default() }), 0.1, 5)),
        ("times", with(Method::RelativeLocal(RelativeLocal { times: 1, ..Default::default() }), 0.1, 5)),
        ("rank", with(Method::Population(Population { rank: 0, ..p }), 0.1, 5)),
        ("sigma", with(Method::Population(Population { sigma: 0.0, ..p }), 0.1, 5)),
        ("sigma", with(Method::TwoPoint(TwoPoint { sigma: f32::NAN, ..two_point(1) }), 0.1, 5)),
        (
            "sigma",
            with(
                Method::RelativeActivation(RelativeActivation {
                    sigma: PerLayer::Each(vec![0.1, -0.1]),
                    ..relative(4)
                }),
                0.1,
                5,
            ),
        ),
    ];
    for (key, plan) in bad {
        let evaluator = local(net(), Loss::CrossEntropy, 1);
        let error = onward_coordinate::trainer(plan, evaluator, data.clone()).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec, "{key}");
        assert!(error.to_string().contains(key), "{key}: {error}");
    }
}
