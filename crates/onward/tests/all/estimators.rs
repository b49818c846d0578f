//! What the methods estimate is the derivative: against central differences of f64 forward passes written in the tests.

use crate::common::reference::{Map, Named, Statistics64, conv, cross_entropy, derivative, mlp, named};
use crate::common::{
    Shaped, blobs, cosine, distance, local, naive_sum, params_of, population, threads, two_point, whole, wide,
};
use onward::dataset::Dataset;
use onward::evaluate::Local;
use onward::kernel::Precision;
use onward::ledger::{Moves, Update};
use onward::model::{
    Activation, Builder, Context, Conv, GlobalPool, Mlp, Model, Norms, Shape, TensorKeys, Var, Weights,
};
use onward::noise::{Family, RunKey};
use onward::params::Params;
use onward::rule::{Method, Pairing, Population, Shaping, TwoPoint};
use onward::space::{ActivationPlan, Directions, Focus, LayerPlan, LayerSpace, derivative_at_output};
use onward::task::{Answers, Loss};
use std::sync::Arc;

fn input(data: &Dataset) -> Map {
    Map::new(data.rows(), data.shape(), wide(data.features()))
}

fn plan(stage: usize, space: LayerSpace, pairs: u32, sigma: f32, step: u32) -> ActivationPlan {
    let layers = vec![LayerPlan { stage, space, pairs, sigma }];
    ActivationPlan {
        step,
        layers,
        directions: Directions::Orthogonal,
        noise: Family::Sign,
        focus: None,
        norms: false,
    }
}

/// The estimate of every probed tensor, by name.
fn estimate(evaluator: &Local, params: &Params, data: &Dataset, plan: &ActivationPlan) -> Named {
    let response = evaluator.derivative(&RunKey::from_seed(2), params, &whole(data), plan).unwrap();
    assert_eq!(response.non_finite, 0);
    let sum = |[a, b]: &[Vec<f32>; 2]| a.iter().zip(b).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
    let tensors = params.tensors().iter().zip(&response.derivative);
    tensors.filter_map(|(t, d)| d.as_ref().map(|d| (t.name.clone(), sum(d)))).collect()
}

fn flat(named: &Named) -> Vec<f64> {
    named.values().flatten().copied().collect()
}

fn all_directions(net: &impl Shaped, stage: usize) -> u32 {
    net.graph().width(stage).next_power_of_two() as u32
}

#[test]
fn all_orthogonal_directions_give_the_exact_derivative_of_a_perceptron() {
    let net = Mlp::new(&[6, 7, 5, 3], Activation::Tanh).unwrap();
    let data = blobs(23, [1, 1, 6], 3, 1);
    let params = params_of(&net, 2);
    let evaluator = local(net.clone(), Loss::CrossEntropy, 2);
    let loss = |p: &Named| cross_entropy(&mlp(p, 3, Activation::Tanh, input(&data)), data.targets());
    for stage in 0..3 {
        let own = format!("fc{}.", stage + 1);
        let truth = derivative(&named(&params), |name| name.starts_with(&own), loss);
        let error = |sigma| {
            let found = estimate(
                &evaluator,
                &params,
                &data,
                &plan(stage, LayerSpace::Activation, all_directions(&net, stage), sigma, 5),
            );
            assert_eq!(found.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>());
            for (name, want) in &truth {
                assert!(distance(&found[name], want) < 0.5 * f64::from(sigma), "{name} at σ = {sigma}");
            }
            distance(&flat(&found), &flat(&truth))
        };
        assert!(error(0.01) < 3e-4, "stage {stage}: {}", error(0.01));
        let order = (error(0.4) / error(0.2)).log2();
        assert!((1.5..2.5).contains(&order), "stage {stage}: the error is O(σ^{order}), not O(σ²)");
    }
}

#[test]
fn too_few_directions_do_not() {
    let net = Mlp::new(&[6, 7, 5, 3], Activation::Tanh).unwrap();
    let data = blobs(23, [1, 1, 6], 3, 1);
    let params = params_of(&net, 2);
    let evaluator = local(net.clone(), Loss::CrossEntropy, 1);
    let all = estimate(&evaluator, &params, &data, &plan(0, LayerSpace::Activation, 8, 0.01, 5));
    let half = estimate(&evaluator, &params, &data, &plan(0, LayerSpace::Activation, 4, 0.01, 5));
    assert!(distance(&flat(&half), &flat(&all)) > 0.1);
}

/// Three convolutions with a pool, batch normalisation, biases, and a residual connection past the pool through a 1×1 shortcut.
fn residual_net() -> Conv {
    let net = Conv {
        input: [4, 6, 2],
        channels: vec![3, 3, 4],
        average_pool_after: vec![1],
        max_pool_after: vec![],
        batch_norm: true,
        bias: true,
        residual: vec![None, None, Some(0)],
        activation: Activation::Tanh,
        global_pool: GlobalPool::Average,
        outputs: 3,
    };
    net.checked().unwrap()
}

fn own_tensors(stage: usize) -> impl Fn(&str) -> bool {
    let parts = [
        ["conv1", "norm1", "-", "-"],
        ["conv2", "norm2", "-", "-"],
        ["conv3", "norm3", "shortcut3", "shortcut3norm"],
        ["fc", "-", "-", "-"],
    ];
    move |name| parts[stage].contains(&name.split('.').next().unwrap())
}

/// Stages above the probed one run with the clean batch's statistics by design, so the reference freezes those too; the
/// stage's own normalisations are differentiated through in full, which for the last convolution is the whole truth.
#[test]
fn all_orthogonal_directions_give_the_exact_derivative_of_a_residual_net() {
    let net = residual_net();
    let data = blobs(10, net.input, 3, 3);
    let params = params_of(&net, 4);
    let evaluator = local(net.clone(), Loss::CrossEntropy, 2);
    let mut clean = Statistics64::default();
    let outputs = conv(&net, &named(&params), &mut clean, input(&data));
    let loss = evaluator
        .derivative(
            &RunKey::from_seed(4),
            &params,
            &whole(&data),
            &plan(3, LayerSpace::Activation, 4, 0.01, 0),
        )
        .unwrap()
        .loss;
    assert!((f64::from(loss) - cross_entropy(&outputs, data.targets())).abs() < 1e-5);
    for stage in 0..net.graph().stages() {
        let loss = |p: &Named| {
            let mut statistics = Statistics64 { frozen_from: Some(stage + 1), ..clean.clone() };
            cross_entropy(&conv(&net, p, &mut statistics, input(&data)), data.targets())
        };
        let truth = derivative(&named(&params), own_tensors(stage), loss);
        let pairs = all_directions(&net, stage);
        let found =
            estimate(&evaluator, &params, &data, &plan(stage, LayerSpace::Activation, pairs, 0.01, 1));
        assert_eq!(found.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>());
        for (name, want) in &truth {
            let size = want.iter().map(|v| v * v).sum::<f64>().sqrt();
            let error = found[name].iter().zip(want).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
            // A bias in front of its own normalisation has no derivative at all.
            assert!(error < 2e-3 * size + 2e-5, "{name}: error {error}, size {size}");
        }
    }
}

#[test]
fn low_rank_probes_per_sample_are_unbiased() {
    let net = Mlp::new(&[5, 4, 3], Activation::Tanh).unwrap();
    let data = blobs(32, [1, 1, 5], 3, 5);
    let params = params_of(&net, 6);
    let evaluator = local(net, Loss::CrossEntropy, 2);
    let loss = |p: &Named| cross_entropy(&mlp(p, 2, Activation::Tanh, input(&data)), data.targets());
    for (stage, noise) in [(0, Family::Sign), (1, Family::Sign), (0, Family::Binomial)] {
        let own = format!("fc{}.", stage + 1);
        let truth = derivative(&named(&params), |name| name.starts_with(&own), loss);
        let mut sum = vec![0.0; flat(&truth).len()];
        let steps = 300;
        for step in 0..steps {
            let plan = ActivationPlan { noise, ..plan(stage, LayerSpace::LowRank, 2, 0.05, step) };
            let one = flat(&estimate(&evaluator, &params, &data, &plan));
            sum.iter_mut().zip(&one).for_each(|(s, v)| *s += v / f64::from(steps));
        }
        let (truth, found) = (flat(&truth), cosine(&sum, &flat(&truth)));
        assert!(found > 0.95, "stage {stage}, {noise:?}: cosine {found}");
        let size = sum.iter().zip(&truth).map(|(a, b)| a * b).sum::<f64>()
            / truth.iter().map(|b| b * b).sum::<f64>();
        assert!((size - 1.0).abs() < 0.1, "stage {stage}, {noise:?}: {size} times the derivative along it");
    }
}

/// What a step of a weight-space method adds to the params, one vector over all tensors.
fn step_along(
    method: &Method,
    evaluator: &Local,
    params: &Params,
    data: &Dataset,
    key: &RunKey,
    step: u32,
) -> Vec<f64> {
    let outcome =
        crate::common::step_of(method, evaluator, params, data, *key, (u64::from(step), 1.0)).unwrap();
    let (Update::Probes { exponent, coefficients }, Moves::Noise(space)) =
        (outcome.entry.update, method.common().moves())
    else {
        panic!("probes")
    };
    let of = |t: &onward::params::Tensor| {
        let scale = f64::from(space.scale(t.shape.len() >= 2)) * 2f64.powi(i32::from(exponent));
        let sum = naive_sum(space, &TensorKeys::new(key, &t.name), &t.shape, step, &coefficients);
        sum.into_iter().map(move |v| v as f64 * scale).collect::<Vec<_>>()
    };
    params.tensors().iter().flat_map(of).collect()
}

/// A linear model with squared error: the loss is quadratic, so symmetric differences are exact.
fn quadratic(seed: u64) -> (Dataset, Params, Local, RunKey, Vec<f64>) {
    let net = Mlp::new(&[8, 4], Activation::Relu).unwrap();
    let data = blobs(16, [1, 1, 8], 4, seed);
    let params = params_of(&net, seed);
    let evaluator = local(net, Loss::SquaredError, 1);
    let onward::dataset::Targets::Classes { labels, .. } = data.targets() else { panic!("classes") };
    let loss = |p: &Named| {
        let outputs = mlp(p, 1, Activation::Relu, input(&data));
        let error =
            |(i, v): (usize, &f64)| (v - f64::from(u8::from(labels[i / 4] as usize == i % 4))).powi(2) / 2.0;
        outputs.data.iter().enumerate().map(error).sum::<f64>() / 16.0
    };
    let truth = derivative(&named(&params), |_| true, loss);
    let downhill = params.tensors().iter().flat_map(|t| truth[&t.name].iter().map(|v| -v)).collect();
    (data, params, evaluator, RunKey::from_seed(seed), downhill)
}

#[test]
fn weight_space_estimates_are_unbiased() {
    let (data, params, evaluator, key, downhill) = quadratic(7);
    let average = |method: Method, steps: u32| {
        let mut sum = vec![0.0; downhill.len()];
        for step in 0..steps {
            let one = step_along(&method, &evaluator, &params, &data, &key, step);
            sum.iter_mut().zip(&one).for_each(|(s, v)| *s += v / f64::from(steps));
        }
        sum
    };
    for noise in [Family::Sign, Family::Binomial] {
        let sum = average(Method::TwoPoint(TwoPoint { noise, ..two_point(16) }), 250);
        assert!(cosine(&sum, &downhill) > 0.98, "two-point, {noise:?}: {}", cosine(&sum, &downhill));
        let size = sum.iter().zip(&downhill).map(|(a, b)| a * b).sum::<f64>()
            / downhill.iter().map(|b| b * b).sum::<f64>();
        assert!((size - 1.0).abs() < 0.06, "two-point, {noise:?}: {size} times the derivative along it");
    }
    for pairing in [Pairing::Antithetic, Pairing::OneSided] {
        for (shaping, rank) in
            [(Shaping::CentredRank, 1), (Shaping::ZScore, 1), (Shaping::ZScore, 4), (Shaping::CentredRank, 2)]
        {
            let method = Method::Population(Population { pairing, shaping, rank, ..population(64) });
            let found = cosine(&average(method, 120), &downhill);
            assert!(found > 0.95, "{pairing:?}, {shaping:?}, rank {rank}: cosine {found}");
        }
    }
}

#[test]
fn the_cosine_of_weight_probes_follows_its_law() {
    let (data, params, evaluator, key, downhill) = quadratic(8);
    let d = downhill.len() as f64;
    for directions in [4, 16, 64, 256] {
        let method = Method::TwoPoint(two_point(directions));
        let steps = 60;
        let mean = (0..steps)
            .map(|s| cosine(&step_along(&method, &evaluator, &params, &data, &key, s), &downhill))
            .sum::<f64>()
            / f64::from(steps);
        let law = 1.0 / (1.0 + (d + 1.0) / f64::from(directions)).sqrt();
        // Signs have a kurtosis of 1, so they do a little better than the law of normal noise.
        assert!((mean - law).abs() < 0.04, "{directions} directions: {mean}, law {law}");
    }
}

#[test]
fn the_cosine_of_activation_probes_follows_its_law() {
    let net = Mlp::new(&[6, 32, 3], Activation::Tanh).unwrap();
    let data = blobs(200, [1, 1, 6], 3, 9);
    let params = params_of(&net, 9);
    let key = RunKey::from_seed(9);
    let weights = Weights::new(&params, Precision::F32);
    let graph = net.graph();
    let cuts = graph.cuts(&mut Context::clean(&weights, Norms::Batch), whole(&data).x);
    let at = |directions, pairs, noise| {
        let plan = ActivationPlan { directions, noise, ..plan(0, LayerSpace::Activation, pairs, 0.01, 3) };
        wide(&derivative_at_output(
            &graph,
            &weights,
            &Loss::CrossEntropy,
            Answers::all(data.targets(), data.columns()),
            &key,
            &plan,
            &plan.layers[0],
            &cuts[0],
            false,
        ))
    };
    let truth = at(Directions::Orthogonal, 32, Family::Sign);
    let mean_cosine = |g: &[f64]| {
        g.chunks_exact(32).zip(truth.chunks_exact(32)).map(|(a, b)| cosine(a, b)).sum::<f64>() / 200.0
    };
    for noise in [Family::Sign, Family::Binomial, Family::Normal] {
        for pairs in [4, 16, 64, 256] {
            let found = mean_cosine(&at(Directions::Independent, pairs, noise));
            let law = 1.0 / (1.0 + 33.0 / f64::from(pairs)).sqrt();
            assert!((found - law).abs() < 0.04, "{noise:?}, {pairs} pairs: {found}, law {law}");
        }
    }
    // Orthogonal directions are looked at once each: √(K/d).
    let found = mean_cosine(&at(Directions::Orthogonal, 8, Family::Sign));
    assert!((found - 0.5).abs() < 0.03, "8 of 32 orthogonal directions: {found}");
}

#[test]
fn blocks_of_single_numbers_give_what_all_orthogonal_directions_give() {
    let data = blobs(12, [6, 6, 1], 3, 4);
    let (input, channels, residual) = ([6, 6, 1], vec![2, 3], vec![]);
    let net = Conv { input, channels, residual, activation: Activation::Relu, ..residual_net() };
    let net = net.checked().unwrap();
    let params = params_of(&net, 4);
    let evaluator = local(net.clone(), Loss::CrossEntropy, 2);
    for stage in 0..3 {
        // A ReLU bends within σ of zero: few numbers lie there.
        let all = plan(stage, LayerSpace::Activation, all_directions(&net, stage), 1e-3, 5);
        let blocks = ActivationPlan { directions: Directions::Blocks, ..all.clone() };
        let truth = flat(&estimate(&evaluator, &params, &data, &all));
        let found = flat(&estimate(&evaluator, &params, &data, &blocks));
        assert!(cosine(&found, &truth) > 0.9999, "stage {stage}: {}", cosine(&found, &truth));
    }
}

#[test]
fn probes_of_some_samples_give_on_average_what_all_give() {
    let net = Mlp::new(&[6, 8, 3], Activation::Relu).unwrap();
    let data = blobs(24, [1, 1, 6], 3, 2);
    let params = params_of(&net, 2);
    let evaluator = local(net, Loss::CrossEntropy, 2);
    let both = |step, share| {
        let layer = |stage, pairs| LayerPlan { stage, space: LayerSpace::Activation, pairs, sigma: 0.01 };
        let (directions, noise) = (Directions::Orthogonal, Family::Sign);
        let of = |layers, focus, norms| {
            let plan = ActivationPlan { step, layers, directions, noise, focus, norms };
            evaluator.derivative(&RunKey::from_seed(2), &params, &whole(&data), &plan).unwrap()
        };
        let last = of(vec![layer(1, 4)], None, true);
        let focus = (share < 24).then(|| Focus::choose(&last.norms, share, &RunKey::from_seed(2), step));
        let rest = of(vec![layer(0, 8)], focus, false);
        let tensors = rest.derivative.into_iter().zip(last.derivative).map(|(a, b)| a.or(b));
        let sum =
            |[a, b]: [Vec<f32>; 2]| a.iter().zip(&b).map(|(a, b)| f64::from(*a + *b)).collect::<Vec<_>>();
        tensors.flatten().flat_map(sum).collect::<Vec<f64>>()
    };
    let truth = both(0, 24);
    let steps = 400;
    let mut mean = vec![0.0; truth.len()];
    for step in 0..steps {
        let one = both(step, 6);
        mean.iter_mut().zip(&one).for_each(|(m, v)| *m += v / f64::from(steps));
    }
    let off: f64 = mean.iter().zip(&truth).map(|(m, t)| (m - t) * (m - t)).sum();
    let size: f64 = truth.iter().map(|t| t * t).sum();
    assert!(off < 0.01 * size, "off by {} of {size}", off);
}

/// Two linear layers of one shape and nothing between them.
struct TwoLinear;

impl Model for TwoLinear {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear_without_bias("fc1", x, 4);
        Ok(g.linear_without_bias("fc2", x, 4))
    }
}

impl Shaped for TwoLinear {
    fn input(&self) -> Shape {
        [1, 1, 4]
    }
}

/// Where two layers of one shape share their noise, the estimate of either is that of their sum: a cosine of about 0.7
/// however many members there are.
#[test]
fn layers_of_one_shape_do_not_share_noise() {
    let data = blobs(12, [1, 1, 4], 4, 10);
    let params = Params::init(TwoLinear.graph().tensors(), &RunKey::from_seed(10));
    let loss = |p: &Named| {
        let mut x = input(&data);
        x = mlp(&rename(p, "fc1"), 1, Activation::Relu, x);
        cross_entropy(&mlp(&rename(p, "fc2"), 1, Activation::Relu, x), data.targets())
    };
    let truth = derivative(&named(&params), |_| true, loss);
    let (first, second) = (&truth["fc1.weight"], &truth["fc2.weight"]);
    let unit =
        |v: &[f64]| v.iter().map(|x| x / v.iter().map(|x| x * x).sum::<f64>().sqrt()).collect::<Vec<_>>();
    let tied: Vec<f64> = unit(first).iter().zip(unit(second)).map(|(a, b)| a + b).collect();
    assert!(
        cosine(&tied, first) < 0.85,
        "the two derivatives are too alike for this test: {}",
        cosine(&tied, first)
    );
    let evaluator = Local::new(Arc::new(TwoLinear), Arc::new(Loss::CrossEntropy), &threads(2));
    let methods = [
        Method::TwoPoint(two_point(2000)),
        Method::Population(Population { shaping: Shaping::ZScore, ..population(4000) }),
    ];
    for method in methods {
        let step = step_along(&method, &evaluator, &params, &data, &RunKey::from_seed(10), 0);
        for (name, truth, step) in [("fc1", first, &step[..16]), ("fc2", second, &step[16..])] {
            let found = -cosine(step, truth);
            assert!(found >= 0.98, "{}, {name}: cosine {found}", method.name());
        }
    }
}

fn rename(p: &Named, layer: &str) -> Named {
    Named::from([("fc1.weight".into(), p[&format!("{layer}.weight")].clone())])
}
