//! Credit of the chances of samples inside a model, against the derivative of the mean over all that may be drawn.

use crate::common::reference::{Named, derivative, named};
use crate::common::{
    blobs, cosine, distance, local, local_plan, params_on, plan, sum_of_halves, threads, trainer, whole, wide,
};
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Act, Activation, Builder, Model, Reduction, Var};
use onward::noise::RunKey;
use onward::params::Params;
use onward::rule::{Method, RelativeLocal};
use onward::space::{LocalPlan, Samples};
use onward::task::{Answers, Loss, Task};
use std::sync::Arc;

const INPUTS: usize = 4;
const CLASSES: usize = 3;

/// Categories at some positions, each with a row of a table; a hidden layer reads their sum.
struct Categories {
    positions: usize,
    each: usize,
}

impl Model for Categories {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let logits = g.linear("in", x, self.positions * self.each);
        let logits = g.reshape(logits, [1, self.positions, self.each]);
        let drawn = g.categorical("z", logits);
        let first = (0..self.positions).map(|p| (p * self.each) as f32).collect();
        let first = g.constant([1, self.positions, 1], first);
        let words = g.add(drawn, first);
        let rows = g.embed("table", words, self.positions * self.each, 5);
        let sum = g.reduce(Reduction::Sum, rows, &[1]);
        let hidden = g.map(Activation::Tanh, sum);
        Ok(g.linear("out", hidden, CLASSES))
    }
}

/// Bits, read by a linear map.
struct Bits;

impl Model for Bits {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let p = g.linear("in", x, 3);
        let p = g.map(Activation::Sigmoid, p);
        let drawn = g.bernoulli("z", p);
        Ok(g.linear("out", drawn, CLASSES))
    }
}

fn linear(p: &Named, layer: &str, x: &[f64]) -> Vec<f64> {
    let rows = p[&format!("{layer}.weight")].chunks_exact(x.len()).zip(&p[&format!("{layer}.bias")]);
    rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
}

fn entropy(z: &[f64], label: u32) -> f64 {
    z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[label as usize]
}

/// The mean of `loss` over all choices of one of `each` at so many positions, with the chances `q` of each position.
fn expected(q: &[Vec<f64>], loss: &dyn Fn(&[usize]) -> f64) -> f64 {
    let each = q[0].len();
    let all = each.pow(q.len() as u32);
    let one = |n: usize| {
        let chosen: Vec<usize> = (0..q.len()).map(|p| n / each.pow(p as u32) % each).collect();
        chosen.iter().zip(q).map(|(c, q)| q[*c]).product::<f64>() * loss(&chosen)
    };
    (0..all).map(one).sum()
}

fn mean_of_categories(p: &Named, model: &Categories, data: &Dataset) -> f64 {
    let Targets::Classes { labels, .. } = data.targets() else { return f64::NAN };
    let row = |r: usize| {
        let logits = linear(p, "in", &wide(data.row(r)));
        let q: Vec<Vec<f64>> = logits
            .chunks_exact(model.each)
            .map(|a| a.iter().map(|v| v.exp() / a.iter().map(|v| v.exp()).sum::<f64>()).collect())
            .collect();
        expected(&q, &|chosen| {
            let word =
                |(position, c): (usize, &usize)| &p["table.weight"][(position * model.each + c) * 5..][..5];
            let mut hidden = vec![0.0; 5];
            chosen
                .iter()
                .enumerate()
                .map(word)
                .for_each(|w| hidden.iter_mut().zip(w).for_each(|(h, w)| *h += w));
            hidden.iter_mut().for_each(|h| *h = h.tanh());
            entropy(&linear(p, "out", &hidden), labels[r])
        })
    };
    (0..data.rows()).map(row).sum::<f64>() / data.rows() as f64
}

fn mean_of_bits(p: &Named, data: &Dataset) -> f64 {
    let Targets::Classes { labels, .. } = data.targets() else { return f64::NAN };
    let row = |r: usize| {
        let on = linear(p, "in", &wide(data.row(r))).into_iter().map(|a| 1.0 / (1.0 + (-a).exp()));
        let q: Vec<Vec<f64>> = on.map(|on| vec![1.0 - on, on]).collect();
        expected(&q, &|bits| {
            let z: Vec<f64> = bits.iter().map(|b| *b as f64).collect();
            entropy(&linear(p, "out", &z), labels[r])
        })
    };
    (0..data.rows()).map(row).sum::<f64>() / data.rows() as f64
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

fn rows(count: usize) -> Dataset {
    blobs(count, [1, 1, INPUTS], CLASSES, 5)
}

/// With one number drawn there is nothing left to chance above its own: swaps are exact in one step.
#[test]
fn swaps_of_one_number_are_exact() {
    let (data, model) = (rows(7), Categories { positions: 1, each: 4 });
    let evaluator = local(Categories { positions: 1, each: 4 }, Loss::CrossEntropy, 2);
    let graph = evaluator.graph(data.shape()).unwrap();
    let params = params_on(&graph, 3);
    let truth =
        derivative(&named(&params), |name| name.starts_with("in."), |p| mean_of_categories(p, &model, &data));
    let found = credit(&evaluator, &params, &data, &local_plan(&graph), 1);
    for (name, want) in &truth {
        assert!(distance(&found[name], want) < 1e-4, "{name}: {}", distance(&found[name], want));
    }
}

#[test]
fn credit_of_chances_is_that_of_the_mean_over_draws() {
    let (data, model) = (rows(6), Categories { positions: 2, each: 3 });
    let evaluator = local(Categories { positions: 2, each: 3 }, Loss::CrossEntropy, 2);
    let graph = evaluator.graph(data.shape()).unwrap();
    let params = params_on(&graph, 3);
    let truth = derivative(&named(&params), |_| true, |p| mean_of_categories(p, &model, &data));
    let bits = local(Bits, Loss::CrossEntropy, 2);
    let graph_of_bits = bits.graph(data.shape()).unwrap();
    let params_of_bits = params_on(&graph_of_bits, 3);
    let truth_of_bits = derivative(&named(&params_of_bits), |_| true, |p| mean_of_bits(p, &data));
    for (samples, steps, least) in [(Samples::Swaps, 400, 0.995), (Samples::LeaveOneOut, 1500, 0.98)] {
        for (evaluator, graph, params, truth) in
            [(&evaluator, &graph, &params, &truth), (&bits, &graph_of_bits, &params_of_bits, &truth_of_bits)]
        {
            let plan = LocalPlan { samples, draws: 4, ..local_plan(graph) };
            let found = credit(evaluator, params, &data, &plan, steps);
            for (name, want) in truth {
                let (cos, length) = (cosine(&found[name], want), distance(&found[name], want));
                assert!(cos > least && length < 0.25, "{samples:?}, {name}: cosine {cos}, off by {length}");
            }
        }
    }
}

/// What is drawn says which class it is, by whichever credit.
#[test]
fn models_with_samples_inside_learn() {
    let data = blobs(192, [1, 1, INPUTS], CLASSES, 1);
    for samples in [Samples::Swaps, Samples::LeaveOneOut] {
        let rule = Method::RelativeLocal(RelativeLocal { samples, ..Default::default() });
        let mut trainer = trainer(plan(rule, 0.3, 80, 64), Categories { positions: 2, each: 4 }, &data, 2);
        let before = trainer.score(&data).unwrap().loss;
        while !trainer.finished() {
            trainer.step().unwrap();
        }
        let after = trainer.score(&data).unwrap().loss;
        assert!(after < 0.4 * before, "{samples:?}: {before} -> {after}");
    }
}

/// A batch of one, and chances that are no numbers: these earn nothing.
#[test]
fn one_row_and_logits_that_are_no_numbers() {
    let data = rows(1);
    let evaluator = local(Categories { positions: 2, each: 3 }, Loss::CrossEntropy, 1);
    let graph = evaluator.graph(data.shape()).unwrap();
    let params = params_on(&graph, 3);
    let found = credit(&evaluator, &params, &data, &local_plan(&graph), 1);
    assert!(found["in.weight"].iter().any(|v| *v != 0.0));
    let mut spoilt = params.tensors().to_vec();
    let bias = spoilt.iter().position(|t| t.name == "in.bias").unwrap();
    spoilt[bias].data.floats_mut()[0] = f32::NAN;
    let error = evaluator
        .local_derivative(
            &RunKey::from_seed(3),
            &Params::from_tensors(spoilt),
            &whole(&data),
            &local_plan(&graph),
        )
        .unwrap_err();
    assert!(error.to_string().contains("expected at least one finite loss, found NaN"), "{error}");
}

/// A number from 0 to 3, which is the answer.
struct Chosen;

impl Model for Chosen {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let logits = g.linear("in", x, 4);
        Ok(g.categorical("z", logits))
    }
}

/// A loss for each number.
struct Priced([f32; 4]);

impl Task for Priced {
    fn losses(&self, outputs: &Act, _: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
        losses.iter_mut().zip(outputs.data()).for_each(|(loss, z)| *loss = self.0[*z as usize]);
        Ok(())
    }
    fn derivative(&self, _: &Act, _: Answers<'_>, by_outputs: &mut [f32]) -> bool {
        by_outputs.fill(0.0);
        true
    }
}

/// A loss that is not finite counts as the worst of its row, and each is counted once: for swaps that is one a row, whatever was drawn.
#[test]
fn losses_of_other_draws_that_are_not_finite_are_the_worst_and_counted() {
    let data = rows(40);
    for samples in [Samples::Swaps, Samples::LeaveOneOut] {
        let told = |priced| {
            let evaluator = Local::new(Arc::new(Chosen), Arc::new(Priced(priced)), &threads(2));
            let graph = evaluator.graph(data.shape()).unwrap();
            let plan = LocalPlan { samples, draws: 4, ..local_plan(&graph) };
            let key = RunKey::from_seed(3);
            evaluator.local_derivative(&key, &params_on(&graph, 3), &whole(&data), &plan).unwrap()
        };
        let sound = told([1.0, 2.0, 3.0, 3.0]);
        assert_eq!(sound.non_finite, 0);
        for spoilt in [f32::NAN, f32::INFINITY] {
            let spoilt = told([1.0, 2.0, spoilt, 3.0]);
            let counted = spoilt.non_finite;
            match samples {
                Samples::Swaps => {
                    assert_eq!(counted, 40);
                    assert!(spoilt.derivative == sound.derivative);
                }
                Samples::LeaveOneOut | Samples::Auto => assert!((1..160).contains(&counted), "{counted}"),
            }
        }
    }
}

/// What a probability of 1 draws has a finite credit, under leaving one out too.
#[test]
fn certain_draws_lose_nothing() {
    let data = rows(5);
    let evaluator = local(Bits, Loss::CrossEntropy, 1);
    let graph = evaluator.graph(data.shape()).unwrap();
    let mut certain = params_on(&graph, 3).tensors().to_vec();
    certain[1].data = vec![200.0, -200.0, 0.0].into();
    for samples in [Samples::Swaps, Samples::LeaveOneOut] {
        let plan = LocalPlan { samples, draws: 4, ..local_plan(&graph) };
        let params = Params::from_tensors(certain.clone());
        let key = RunKey::from_seed(3);
        let response = evaluator.local_derivative(&key, &params, &whole(&data), &plan).unwrap();
        assert_eq!(response.non_finite, 0);
    }
}
