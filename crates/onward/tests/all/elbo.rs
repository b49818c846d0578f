//! Variational bounds: losses and their derivatives against f64, credit against the mean over all that may be drawn, bounds of many samples
//! against the likelihood.

use crate::common::reference::{Named, derivative, named};
use crate::common::{cosine, distance, local_plan, params_on, plan, sum_of_halves, threads, whole, wide};
use onward::Result;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Act, Activation, Builder, Graph, Mlp, Model, Vae, Var};
use onward::noise::{Family, Role, RunKey};
use onward::params::{Params, Tensor};
use onward::rule::{Method, RelativeLocal};
use onward::space::{LocalPlan, Samples};
use onward::task::{Answers, Elbo, ItemCrossEntropy, Loss, Task};
use onward::train::predict;
use std::sync::Arc;

const PIXELS: usize = 5;
const LATENTS: usize = 2;
const VALUES: usize = 3;

fn net(decoder: &[usize]) -> Vae {
    Vae {
        encoder: Vec::new(),
        decoder: decoder.to_vec(),
        latents: LATENTS,
        values: VALUES,
        activation: Activation::Tanh,
    }
}

fn bits(rows: usize) -> Dataset {
    let mut noise = vec![0.0; rows * PIXELS];
    RunKey::from_seed(2).tensor(Role::Init, "bits").at(0, 0).fill(Family::Normal, 0, &mut noise);
    let bits = noise.iter().map(|v| f32::from(u8::from(*v > 0.3))).collect();
    Dataset::new(bits, [1, 1, PIXELS], Targets::Classes { labels: vec![0; rows], classes: 1 }).unwrap()
}

fn graph(model: &dyn Model) -> Graph {
    Graph::new(model, [1, 1, PIXELS]).unwrap()
}

fn evaluator(model: impl Model + 'static) -> Local {
    let elbo = Elbo::of(&graph(&model), 0).unwrap();
    Local::new(Arc::new(model), Arc::new(elbo), &threads(2))
}

fn linear(p: &Named, layer: &str, x: &[f64]) -> Vec<f64> {
    let rows = p[&format!("{layer}.weight")].chunks_exact(x.len()).zip(&p[&format!("{layer}.bias")]);
    rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
}

fn shares(a: &[f64]) -> Vec<f64> {
    let sum: f64 = a.iter().map(|v| v.exp()).sum();
    a.iter().map(|v| v.exp() / sum).collect()
}

fn surprise(y: &[f64], x: &[f64]) -> f64 {
    y.iter().zip(x).map(|(y, x)| y.exp().ln_1p() - x * y).sum()
}

fn divergence(a: &[f64]) -> f64 {
    let each = |a: &[f64]| shares(a).iter().map(|q| q * (q * VALUES as f64).ln()).sum::<f64>();
    a.chunks_exact(VALUES).map(each).sum()
}

/// For each way to draw: its chance, and the surprise of a row's pixels then.
fn all_draws(p: &Named, hidden: bool, x: &[f64]) -> (Vec<f64>, Vec<(f64, f64)>) {
    let logits = linear(p, "encoder1", x);
    let q: Vec<Vec<f64>> = logits.chunks_exact(VALUES).map(shares).collect();
    let one = |n: usize| {
        let chosen = [n % VALUES, n / VALUES];
        let mut hot = vec![0.0; LATENTS * VALUES];
        chosen.iter().enumerate().for_each(|(latent, z)| hot[latent * VALUES + z] = 1.0);
        let mut y = linear(p, "decoder1", &hot);
        if hidden {
            y.iter_mut().for_each(|v| *v = v.tanh());
            y = linear(p, "decoder2", &y);
        }
        (q[0][chosen[0]] * q[1][chosen[1]], surprise(&y, x))
    };
    (logits, (0..VALUES * VALUES).map(one).collect())
}

fn mean_loss(p: &Named, hidden: bool, data: &Dataset) -> f64 {
    let row = |r: usize| {
        let (logits, draws) = all_draws(p, hidden, &wide(data.row(r)));
        divergence(&logits) + draws.iter().map(|(q, surprise)| q * surprise).sum::<f64>()
    };
    (0..data.rows()).map(row).sum::<f64>() / data.rows() as f64
}

#[test]
fn losses_and_derivatives_are_those_of_f64() {
    let graph = graph(&net(&[]));
    let elbo = Elbo::of(&graph, 0).unwrap();
    let (words, rows) = (LATENTS * VALUES, 3);
    let width = 2 * PIXELS + words;
    let mut numbers = vec![0.0; rows * width];
    RunKey::from_seed(4).tensor(Role::Init, "outputs").at(0, 0).fill(Family::Normal, 0, &mut numbers);
    let data = bits(rows);
    for (row, own) in numbers.chunks_exact_mut(width).enumerate() {
        own.iter_mut().for_each(|v| *v *= 3.0);
        own[PIXELS + words..].copy_from_slice(data.row(row));
    }
    let outputs = Act::new(rows, [1, 1, width], numbers);
    let answers = Answers::all(data.targets(), data.columns());
    let (mut losses, mut by_outputs) = (vec![0.0; rows], vec![0.0; rows * width]);
    elbo.check(width, answers).unwrap();
    elbo.losses(&outputs, answers, &mut losses).unwrap();
    assert!(elbo.derivative(&outputs, answers, &mut by_outputs));
    for row in 0..rows {
        let own = wide(outputs.row(row));
        let x = wide(data.row(row));
        let loss = |own: &[f64]| surprise(&own[..PIXELS], &x) + divergence(&own[PIXELS..][..words]);
        assert!((f64::from(losses[row]) - loss(&own)).abs() < 1e-5, "{} and {}", losses[row], loss(&own));
        for at in 0..PIXELS + words {
            let moved = |by: f64| {
                let mut own = own.clone();
                own[at] += by;
                loss(&own)
            };
            let want = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            let found = f64::from(by_outputs[row * width + at]);
            assert!((found - want).abs() < 1e-5, "row {row}, output {at}: {found}, not {want}");
        }
        assert!(by_outputs[row * width + PIXELS + words..][..PIXELS].iter().all(|v| *v == 0.0));
    }
}

/// The mean credit over so many steps, each with draws of its own.
fn credit(evaluator: &Local, params: &Params, data: &Dataset, plan: &LocalPlan, steps: u32) -> Named {
    let mut sums: Vec<Vec<f64>> = params.tensors().iter().map(|t| vec![0.0; t.data.len()]).collect();
    for step in 0..steps {
        let plan = LocalPlan { step, ..plan.clone() };
        let response =
            evaluator.local_derivative(&RunKey::from_seed(3), params, &whole(data), &plan).unwrap();
        for (sum, own) in sums.iter_mut().zip(&response.derivative) {
            sum.iter_mut().zip(sum_of_halves(own)).for_each(|(s, o)| *s += o / f64::from(steps));
        }
    }
    params.tensors().iter().map(|t| t.name.clone()).zip(sums).collect()
}

/// With a linear decoder (swaps) and with a hidden layer in it (leave-one-out).
#[test]
fn credit_is_that_of_the_mean_over_draws() {
    let data = bits(6);
    for (hidden, steps, least) in [(vec![], 400, 0.995), (vec![4], 1500, 0.98)] {
        let own = evaluator(net(&hidden));
        let graph = own.graph(data.shape()).unwrap();
        let params = params_on(&graph, 3);
        let is_hidden = !hidden.is_empty();
        let truth = derivative(&named(&params), |_| true, |p| mean_loss(p, is_hidden, &data));
        let plan = LocalPlan { samples: Samples::Auto, ..local_plan(&graph) };
        let found = credit(&own, &params, &data, &plan, steps);
        for (name, want) in &truth {
            let (cos, off) = (cosine(&found[name], want), distance(&found[name], want));
            assert!(cos > least && off < 0.25, "{hidden:?}, {name}: cosine {cos}, off by {off}");
        }
    }
}

/// The same task, of which nothing but losses and their derivatives is known.
struct Opaque(Elbo);

impl Task for Opaque {
    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        self.0.losses(outputs, answers, losses)
    }
    fn derivative(&self, outputs: &Act, answers: Answers<'_>, by_outputs: &mut [f32]) -> bool {
        self.0.derivative(outputs, answers, by_outputs)
    }
}

/// All swaps at once are one after the other, sample weights included.
#[test]
fn swaps_of_columns_are_those_of_whole_passes() {
    let data = bits(6);
    let weights = data.columns().clone().with("weight", vec![1.0, 0.0, 2.5, 1.0, 1.0, 0.5]);
    let data = data.with_columns(weights).unwrap();
    let own = evaluator(net(&[]));
    let graph = own.graph(data.shape()).unwrap();
    let opaque = Opaque(Elbo::of(&graph, 0).unwrap());
    let slow = Local::new(Arc::new(net(&[])), Arc::new(opaque), &threads(1));
    let (params, plan) = (params_on(&graph, 5), local_plan(&graph));
    let (found, want) = (credit(&own, &params, &data, &plan, 3), credit(&slow, &params, &data, &plan, 3));
    for (name, want) in &want {
        assert!(distance(&found[name], want) < 2e-5, "{name}: {}", distance(&found[name], want));
    }
}

#[test]
fn the_bound_of_many_samples_is_near_the_likelihood() {
    let data = bits(200);
    for hidden in [vec![], vec![4]] {
        let own = evaluator(net(&hidden));
        let graph = own.graph(data.shape()).unwrap();
        // Chances that are far from none: else a few draws would weigh more than all others.
        let calm = |t: &Tensor| match t.name.starts_with("encoder") {
            true => Tensor { data: t.data.iter().map(|v| 0.2 * v).collect(), ..t.clone() },
            false => t.clone(),
        };
        let params = Params::from_tensors(params_on(&graph, 3).tensors().iter().map(calm).collect());
        let p = named(&params);
        let likelihood = |r: usize| {
            let (_, draws) = all_draws(&p, !hidden.is_empty(), &wide(data.row(r)));
            let sum: f64 = draws.iter().map(|(_, surprise)| (-surprise).exp()).sum();
            -(sum / draws.len() as f64).ln()
        };
        let mean = |bounds: &[f32]| bounds.iter().map(|v| f64::from(*v)).sum::<f64>() / bounds.len() as f64;
        let many = own.bound(&params, &[], &data, 1000).unwrap();
        let truth: Vec<f64> = (0..data.rows()).map(likelihood).collect();
        for (row, (found, want)) in many.iter().zip(&truth).enumerate() {
            assert!((f64::from(*found) - want).abs() < 0.25, "row {row}: {found}, not {want}");
        }
        assert!((mean(&many) - truth.iter().sum::<f64>() / truth.len() as f64).abs() < 0.02);
        let single = own.bound(&params, &[], &data, 1).unwrap();
        assert!(mean(&single) > mean(&many));
        let alone = Local::new(Arc::new(net(&hidden)), Arc::new(Elbo::of(&graph, 0).unwrap()), &threads(1));
        assert_eq!(
            alone.bound(&params, &[], &data, 20).unwrap(),
            own.bound(&params, &[], &data, 20).unwrap()
        );
    }
}

#[test]
fn both_credits_learn() {
    let data = bits(64);
    for hidden in [vec![], vec![6]] {
        let method = RelativeLocal { samples: Samples::Auto, ..Default::default() };
        let plan = plan(Method::RelativeLocal(method), 0.2, 150, 32);
        let mut trainer = onward_coordinate::trainer(plan, evaluator(net(&hidden)), data.clone()).unwrap();
        let before = trainer.score(&data).unwrap();
        assert!(before.accuracy.is_none() && before.measures.is_empty());
        while !trainer.finished() {
            trainer.step().unwrap();
        }
        let after = trainer.score(&data).unwrap().loss;
        assert!(after < 0.93 * before.loss, "{hidden:?}: {} -> {after}", before.loss);
    }
}

fn refusal(model: &dyn Model) -> String {
    let graph = Graph::new(model, [1, 1, PIXELS]);
    graph.and_then(|graph| Elbo::of(&graph, 0)).unwrap_err().to_string()
}

/// Draws bits, or nothing at all, or answers with too few parts.
enum Odd {
    Bits,
    Nothing,
    Unnamed,
}

impl Model for Odd {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let a = g.linear("in", x, PIXELS);
        let drawn = match self {
            Self::Bits => {
                let p = g.map(Activation::Sigmoid, a);
                g.bernoulli("z", p)
            }
            _ => a,
        };
        let y = g.linear("out", drawn, PIXELS);
        let parts = [(Vae::RECONSTRUCTION, y), (Vae::CHANCES, a), (Vae::INPUT, x)];
        Ok(if matches!(self, Self::Unnamed) { y } else { g.outputs(&parts) })
    }
}

#[test]
fn what_is_no_bound_is_refused() {
    let one = refusal(&Vae { values: 1, ..net(&[]) });
    assert_eq!(one, "latents: expected at least two categories to draw from, found one");
    assert!(refusal(&Odd::Unnamed).contains("found one without names"));
    for odd in [Odd::Bits, Odd::Nothing] {
        assert!(refusal(&odd).contains("expected a model that draws one set of categories, found another"));
    }
    let data = bits(4);
    let items = Local::new(Arc::new(net(&[])), Arc::new(ItemCrossEntropy), &threads(1));
    let error = items.check_data(&data).err().unwrap().to_string();
    assert_eq!(error, "targets: expected a class for each item of a row, as values, found one class a row");
    let elbo = Elbo::of(&graph(&net(&[])), 0).unwrap();
    let other = Vae { latents: 3, ..net(&[]) };
    let error = Local::new(Arc::new(other), Arc::new(elbo), &threads(1)).check_data(&data).err().unwrap();
    assert_eq!(
        error.to_string(),
        "outputs: expected the 16 numbers of the model that the bound is of, found 19"
    );
    let own = evaluator(net(&[]));
    let params = params_on(&own.graph(data.shape()).unwrap(), 1);
    assert!(own.bound(&params, &[], &data, 0).unwrap_err().to_string().contains("at least one sample"));
}

/// One row is a batch; logits and table that are no numbers teach nothing.
#[test]
fn one_row_and_numbers_that_are_none() {
    let data = bits(1);
    let own = evaluator(net(&[]));
    let graph = own.graph(data.shape()).unwrap();
    let params = params_on(&graph, 3);
    let found = credit(&own, &params, &data, &local_plan(&graph), 1);
    assert!(found["encoder1.weight"].iter().any(|v| *v != 0.0));
    for spoilt in ["encoder1.bias", "decoder1.weight"] {
        let mut tensors = params.tensors().to_vec();
        let at = tensors.iter().position(|t| t.name == spoilt).unwrap();
        tensors[at].data.floats_mut()[0] = f32::NAN;
        let (key, params) = (RunKey::from_seed(3), Params::from_tensors(tensors));
        let error = own.local_derivative(&key, &params, &whole(&data), &local_plan(&graph)).unwrap_err();
        assert!(error.to_string().contains("at least one finite loss"), "{spoilt}: {error}");
    }
}

/// Rows told again are what the evaluation answers; a changed latent has the decoder's column instead of the likeliest one.
#[test]
fn what_is_generated_is_what_the_decoder_says() {
    let (model, data) = (net(&[]), bits(20));
    let params = params_on(&graph(&model), 3);
    let evaluator = evaluator(model);
    let all = evaluator.generated(&params, &[], &data).unwrap().unwrap();
    assert_eq!(
        (all.shape, all.told.len(), all.drawn.len(), all.changed.len()),
        ([1, 1, PIXELS], 10, 40, LATENTS)
    );
    let outputs = predict(&evaluator, &params, &[], data.features(), data.shape()).unwrap();
    let share = |y: f32| 1.0 / (1.0 + (-f64::from(y)).exp());
    for (told, (row, out)) in
        all.told.iter().zip(data.features().chunks(PIXELS).zip(outputs.chunks(outputs.len() / 20)))
    {
        assert_eq!(told[0], row);
        let far = told[1].iter().zip(out).map(|(p, y)| (f64::from(*p) - share(*y)).abs());
        assert!(far.fold(0.0, f64::max) < 1e-6);
    }
    let p = named(&params);
    let x: Vec<f64> = data.features()[..PIXELS].iter().map(|v| f64::from(*v)).collect();
    let q: Vec<Vec<f64>> = linear(&p, "encoder1", &x).chunks(VALUES).map(shares).collect();
    let best = |q: &[f64]| (0..q.len()).max_by(|a, b| q[*a].total_cmp(&q[*b])).unwrap();
    for (latent, rows) in &all.changed {
        assert_eq!(rows.len(), VALUES);
        for (value, row) in rows.iter().enumerate() {
            let mut hot = vec![0.0; LATENTS * VALUES];
            (0..LATENTS).for_each(|own| {
                let z = if own == *latent { value } else { best(&q[own]) };
                hot[own * VALUES + z] = 1.0;
            });
            let far = linear(&p, "decoder1", &hot);
            let far = far.iter().zip(row).map(|(y, p)| (share(*y as f32) - f64::from(*p)).abs());
            assert!(far.fold(0.0, f64::max) < 1e-5);
        }
    }
    // Nothing is generated where nothing is drawn.
    let plain = Mlp::new(&[PIXELS, 2], Activation::Relu).unwrap();
    let params = params_on(&graph(&plain), 1);
    let plain = Local::new(Arc::new(plain), Arc::new(Loss::CrossEntropy), &threads(1));
    assert!(plain.generated(&params, &[], &data).unwrap().is_none());
}
