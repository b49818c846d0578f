//! Chance inside models: samples and dropout, named by run, step, operation and row.

use crate::common::reference::{Named, derivative, named};
use crate::common::{
    SPACES, assert_near, every_direction, known, moved, params_on, plan, population, threads, three_members,
    whole, wide,
};
use onward::ask::WeightPlan;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::model::{Act, Activation, Builder, Model, Norms, Var};
use onward::noise::{Role, RunKey};
use onward::rule::Method;
use onward::task::Loss;
use onward::train::{Trainer, predict};
use std::sync::Arc;

const WIDTH: usize = 6;
const DROPPED: f32 = 0.3;

struct Dropping;

impl Model for Dropping {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, WIDTH);
        let x = g.map(Activation::Tanh, x);
        let x = g.dropout("drop", x, DROPPED);
        Ok(g.linear("out", x, 1))
    }
}

/// Element `e` of the noise of a row, as `docs/noise.md` has it.
fn uniform(key: &RunKey, name: &str, step: u32, id: u64, e: u64) -> f64 {
    let words = key.tensor(Role::Sample, name).at(step, id as u32).words((id >> 32 << 32) + e / 4);
    (f64::from(words[e as usize % 4] >> 9) + 0.5) / 8_388_608.0
}

/// The answer to a row; `kept` is what dropout multiplies each number with.
fn reference(p: &Named, row: &[f32], kept: impl Fn(u64) -> f64) -> f64 {
    let x = wide(row);
    let hidden = |o: usize| {
        let w = &p["in.weight"][o * x.len()..][..x.len()];
        (p["in.bias"][o] + w.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>()).tanh() * kept(o as u64)
    };
    p["out.bias"][0] + (0..WIDTH).map(|o| p["out.weight"][o] * hidden(o)).sum::<f64>()
}

fn data(rows: usize) -> Dataset {
    let x = (0..rows * 4).map(|i| (i as f32 * 1.37 + 0.3).sin()).collect();
    let values = (0..rows).map(|i| (i as f32 * 0.71).cos()).collect();
    Dataset::new(x, [1, 1, 4], Targets::Values { values, width: 1 }).unwrap()
}

fn evaluator(model: impl Model + 'static) -> Local {
    Local::new(Arc::new(model), Arc::new(Loss::SquaredError), &threads(2))
}

/// The mean loss of rows under the dropout of a step.
fn loss(p: &Named, data: &Dataset, rows: &[u32], key: &RunKey, step: u32) -> f64 {
    let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
    let one = |r: &u32| {
        let kept = |e| {
            if uniform(key, "drop", step, u64::from(*r), e) < f64::from(DROPPED) { 0.0 } else { 1.0 / 0.7 }
        };
        let y = reference(p, data.row(*r as usize), kept);
        (y - f64::from(values[*r as usize])).powi(2) / 2.0
    };
    rows.iter().map(one).sum::<f64>() / rows.len() as f64
}

#[test]
fn dropout_is_the_same_for_all_members_and_another_for_each_row_and_step() {
    let (data, key, evaluator) = (data(9), RunKey::from_seed(5), evaluator(Dropping));
    let params = params_on(&evaluator.graph(data.shape()).unwrap(), 3);
    // Rows in an order of their own, one of them twice.
    let rows = [7, 2, 0, 5, 2, 8];
    let batch = Batch::select(&data, &rows);
    for space in SPACES {
        let plan = WeightPlan { space, ..three_members() };
        let found = known(evaluator.losses(&key, &params, &batch, &plan));
        for (member, found) in plan.members.iter().zip(found) {
            let want = loss(&named(&moved(&params, &plan, *member, &key)), &data, &rows, &key, plan.step);
            assert!((f64::from(found) - want).abs() < 1e-5 * want.max(1.0), "{found}, not {want}");
        }
        // Each direction's own third of the batch.
        let shared = WeightPlan { share: 2, ..plan.clone() };
        let found = known(evaluator.losses(&key, &params, &batch, &shared));
        for (member, found) in plan.members.iter().zip(found) {
            let own = &rows[member.index as usize % 3 * 2..][..2];
            let want = loss(&named(&moved(&params, &plan, *member, &key)), &data, own, &key, plan.step);
            assert!((f64::from(found) - want).abs() < 1e-5 * want.max(1.0), "share: {found}, not {want}");
        }
    }
    let other = |step, key: u64| {
        let plan = WeightPlan { step, ..three_members() };
        evaluator.losses(&RunKey::from_seed(key), &params, &batch, &plan).unwrap()
    };
    assert!(other(2, 5) == other(2, 5) && other(3, 5) != other(2, 5) && other(2, 6) != other(2, 5));
}

#[test]
fn estimates_are_those_under_the_dropout_of_the_step() {
    let (data, key, evaluator) = (data(5), RunKey::from_seed(5), evaluator(Dropping));
    let graph = evaluator.graph(data.shape()).unwrap();
    let params = params_on(&graph, 3);
    let plan = every_direction(&graph);
    let found = evaluator.derivative(&key, &params, &whole(&data), &plan).unwrap();
    let want = derivative(&named(&params), |_| true, |p| loss(p, &data, &[0, 1, 2, 3, 4], &key, plan.step));
    assert_near("chance", &params, &found.derivative, &want, 3e-3);
}

#[test]
fn nothing_is_dropped_in_evaluation() {
    let (data, evaluator) = (data(5), evaluator(Dropping));
    let params = params_on(&evaluator.graph(data.shape()).unwrap(), 3);
    let found = evaluator.outputs(&params, whole(&data).x, Norms::Batch).unwrap();
    for row in 0..5 {
        let want = reference(&named(&params), data.row(row), |_| 1.0);
        assert!((f64::from(found.row(row)[0]) - want).abs() < 1e-6);
    }
}

#[test]
fn threads_make_no_difference_to_a_run_with_chance() {
    let entries = |count: usize| {
        let local = Local::new(Arc::new(Dropping), Arc::new(Loss::SquaredError), &threads(count));
        let plan = plan(Method::Population(population(8)), 0.05, 3, 16);
        let mut trainer = Trainer::new(plan, local, data(40)).unwrap();
        (0..3).map(|_| trainer.step().unwrap().entry).collect::<Vec<_>>()
    };
    assert_eq!(entries(1), entries(2));
}

/// A coin and a die for each position, thrown with the chances that the input says.
struct Thrown;

impl Model for Thrown {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, 4);
        let p = g.map(Activation::Sigmoid, x);
        let coins = g.bernoulli("coins", p);
        let face = g.categorical("die", x);
        Ok(g.outputs(&[("coins", coins), ("face", face)]))
    }
}

#[test]
fn samples_have_the_chances_that_they_should() {
    let rows = 4000;
    let evaluator = evaluator(Thrown);
    let graph = evaluator.graph([1, 1, 1]).unwrap();
    assert_eq!(graph.named_outputs(), [("coins".into(), 0..4), ("face".into(), 4..5)]);
    let params = params_on(&graph, 3);
    let x = Act::new(rows, [1, 1, 1], vec![0.5; rows]);
    let found = evaluator.outputs(&params, x.clone(), Norms::Batch).unwrap();
    let p = named(&params);
    let logits: Vec<f64> = (0..4).map(|o| p["in.weight"][o] * 0.5 + p["in.bias"][o]).collect();
    let all: f64 = logits.iter().map(|v| v.exp()).sum();
    let share =
        |hit: &dyn Fn(&[f32]) -> bool| (0..rows).filter(|r| hit(found.row(*r))).count() as f64 / rows as f64;
    for (o, logit) in logits.iter().enumerate() {
        let (coin, face) = (1.0 / (1.0 + (-logit).exp()), logit.exp() / all);
        // Five standard deviations.
        let near =
            |found: f64, want: f64| (found - want).abs() < 5.0 * (want * (1.0 - want) / rows as f64).sqrt();
        assert!(near(share(&|row| row[o] == 1.0), coin), "coin {o}");
        assert!(near(share(&|row| row[4] == o as f32), face), "face {o}");
    }
    // Evaluation has one set of samples, whoever works on however many rows.
    let again = predict(&evaluator, &params, &[], &vec![0.5; rows], [1, 1, 1]).unwrap();
    assert_eq!(again, found.data());
    let key = RunKey::from_seed(0);
    let coin = |e: u64| uniform(&key, "coins", u32::MAX, 7, e) < 1.0 / (1.0 + (-logits[e as usize]).exp());
    assert_eq!((0..4).map(|e| f32::from(u8::from(coin(e)))).collect::<Vec<_>>(), found.row(7)[..4]);
}
