//! Recurrent cells against restatements in f64: passes, members with noise on the weights, estimates against central differences,
//! and rows in pieces.

use crate::common::reference::{Named, derivative, named};
use crate::common::{
    SPACES, assert_near, distance, every_direction, known, local_plan, moved, params_on, plan, threads,
    three_members, whole, wide,
};
use onward::ErrorKind;
use onward::ask::WeightPlan;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Act, Builder, Carried, Cell, Graph, Lif, Model, Norms, Rate, Rated, Var};
use onward::noise::RunKey;
use onward::rule::{Method, Rso};
use onward::task::Loss;
use std::sync::Arc;

const ROWS: usize = 3;
const ITEMS: usize = 4;
const CHANNELS: usize = 3;
const SIZE: usize = 5;

/// A cell, and its state after each item read out.
struct Recurrent(Cell);

impl Model for Recurrent {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let h = g.cell("cell", self.0, x, SIZE);
        Ok(g.linear("out", h, 1))
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What the model answers to the items of a row.
fn reference(p: &Named, cell: Cell, row: &[f32]) -> Vec<f64> {
    let linear = |part: &str, x: &[f64]| -> Vec<f64> {
        let (weight, bias) = (&p[&format!("cell.weight_{part}")], &p[&format!("cell.bias_{part}")]);
        let rows = weight.chunks_exact(x.len()).zip(bias);
        rows.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()).collect()
    };
    let (mut h, mut c) = (vec![0.0; SIZE], vec![0.0; SIZE]);
    let mut answers = Vec::new();
    for x in wide(row).chunks_exact(CHANNELS) {
        let (own, before) = (linear("ih", x), linear("hh", &h));
        for i in 0..SIZE {
            let at = |gate: usize| (own[gate * SIZE + i], before[gate * SIZE + i]);
            let sum = |gate: usize| at(gate).0 + at(gate).1;
            match cell {
                Cell::Lstm => {
                    c[i] = sigmoid(sum(1)) * c[i] + sigmoid(sum(0)) * sum(2).tanh();
                    h[i] = sigmoid(sum(3)) * c[i].tanh();
                }
                Cell::Gru => {
                    let (r, z) = (sigmoid(sum(0)), sigmoid(sum(1)));
                    h[i] = (1.0 - z) * (at(2).0 + r * at(2).1).tanh() + z * h[i];
                }
            }
        }
        let out = p["out.weight"].iter().zip(&h).map(|(w, h)| w * h).sum::<f64>();
        answers.push(out + p["out.bias"][0]);
    }
    answers
}

fn series() -> Dataset {
    let x = (0..ROWS * ITEMS * CHANNELS).map(|i| (i as f32 * 1.37 + 0.3).sin()).collect();
    let values = (0..ROWS * ITEMS).map(|i| (i as f32 * 0.71).cos()).collect();
    Dataset::new(x, [1, ITEMS, CHANNELS], Targets::Values { values, width: ITEMS }).unwrap()
}

fn loss(p: &Named, cell: Cell, data: &Dataset) -> f64 {
    let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
    let row = |r: usize| {
        let y = reference(p, cell, data.row(r));
        y.iter().zip(&values[r * ITEMS..]).map(|(y, v)| (y - f64::from(*v)).powi(2)).sum::<f64>() / 2.0
    };
    (0..ROWS).map(row).sum::<f64>() / ROWS as f64
}

fn evaluator(model: impl Model + 'static) -> Local {
    Local::new(Arc::new(model), Arc::new(Loss::SquaredError), &threads(2))
}

#[test]
fn cells_pass_and_earn_what_they_should() {
    let (data, key) = (series(), RunKey::from_seed(5));
    for cell in [Cell::Lstm, Cell::Gru] {
        let evaluator = evaluator(Recurrent(cell));
        let graph = evaluator.graph(data.shape()).unwrap();
        let params = params_on(&graph, 3);
        let found = evaluator.outputs(&params, whole(&data).x, Norms::Batch).unwrap();
        for row in 0..ROWS {
            let off = distance(&wide(found.row(row)), &reference(&named(&params), cell, data.row(row)));
            assert!(off < 2e-6, "{cell:?}, row {row}: off by {off}");
        }
        let found = evaluator.derivative(&key, &params, &whole(&data), &every_direction(&graph)).unwrap();
        let want = derivative(&named(&params), |_| true, |p| loss(p, cell, &data));
        assert_near(&format!("{cell:?}"), &params, &found.derivative, &want, 5e-3);
        let found = evaluator.local_derivative(&key, &params, &whole(&data), &local_plan(&graph)).unwrap();
        assert_near(&format!("{cell:?}, local"), &params, &found.derivative, &want, 5e-4);
        for space in SPACES {
            let plan = WeightPlan { space, ..three_members() };
            let found = known(evaluator.losses(&key, &params, &whole(&data), &plan));
            for (member, found) in plan.members.iter().zip(found) {
                let want = loss(&named(&moved(&params, &plan, *member, &key)), cell, &data);
                assert!(
                    (f64::from(found) - want).abs() < 1e-5 * want.max(1.0),
                    "{cell:?}: {found}, not {want}"
                );
            }
        }
    }
}

/// PyTorch's names and shapes.
#[test]
fn cells_have_the_tensors_that_files_have() {
    let of = |cell| -> Vec<(String, Vec<usize>)> {
        let graph = Graph::new(&Recurrent(cell), [1, ITEMS, CHANNELS]).unwrap();
        graph.tensors().iter().take(4).map(|t| (t.name.clone(), t.shape.clone())).collect()
    };
    let want = |gates: usize| {
        let of = |part: &str, shape: &[usize]| (format!("cell.{part}"), shape.to_vec());
        let n = gates * SIZE;
        [
            of("weight_ih", &[n, CHANNELS]),
            of("weight_hh", &[n, SIZE]),
            of("bias_ih", &[n]),
            of("bias_hh", &[n]),
        ]
    };
    assert_eq!((of(Cell::Lstm), of(Cell::Gru)), (want(4).to_vec(), want(3).to_vec()));
}

const LIF: Lif = Lif { leak: 0.4, threshold: 0.3 };

struct Spiking;

impl Model for Spiking {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let x = g.linear("in", x, SIZE);
        let x = g.lif("lif", x, LIF);
        Ok(g.linear("out", x, 1))
    }
}

#[test]
fn leaky_neurons_fire_as_they_do_in_f64() {
    let data = series();
    let evaluator = evaluator(Spiking);
    let params = params_on(&evaluator.graph(data.shape()).unwrap(), 3);
    let p = named(&params);
    let found = evaluator.outputs(&params, whole(&data).x, Norms::Batch).unwrap();
    let mut fired = 0;
    for row in 0..ROWS {
        let mut v = [0.0; SIZE];
        for (item, x) in wide(data.row(row)).chunks_exact(CHANNELS).enumerate() {
            let mut want = p["out.bias"][0];
            for (i, v) in v.iter_mut().enumerate() {
                let w = &p["in.weight"][i * CHANNELS..][..CHANNELS];
                let x = p["in.bias"][i] + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
                *v += f64::from(LIF.leak) * (x - *v);
                if *v > f64::from(LIF.threshold) {
                    (*v, want, fired) = (0.0, want + p["out.weight"][i], fired + 1);
                }
            }
            assert!((f64::from(found.row(row)[item]) - want).abs() < 1e-6, "row {row}, item {item}");
        }
    }
    assert!((5..ROWS * ITEMS * SIZE - 5).contains(&fired), "{fired} spikes");
}

#[test]
fn rows_in_pieces_give_the_same_bits() {
    let data = series();
    let models: [(Arc<dyn Model>, usize); 3] =
        [(Arc::new(Recurrent(Cell::Lstm)), 2), (Arc::new(Recurrent(Cell::Gru)), 1), (Arc::new(Spiking), 1)];
    for (model, carries) in models {
        let evaluator = Local::new(model, Arc::new(Loss::SquaredError), &threads(2));
        let graph = evaluator.graph(data.shape()).unwrap();
        assert_eq!(graph.carries().count(), carries);
        let params = params_on(&graph, 3);
        let at_once = evaluator.outputs(&params, whole(&data).x, Norms::Batch).unwrap();
        let piece = |from: usize, to: usize| {
            let rows = (0..ROWS).flat_map(|r| data.row(r)[from * CHANNELS..to * CHANNELS].to_vec());
            Act::new(ROWS, [1, to - from, CHANNELS], rows.collect())
        };
        let (mut carried, mut answers) = (Carried::default(), vec![Vec::new(); ROWS]);
        for (from, to) in [(0, 1), (1, 3), (3, ITEMS)] {
            let found =
                evaluator.outputs_carrying(&params, piece(from, to), Norms::Batch, &mut carried).unwrap();
            answers.iter_mut().enumerate().for_each(|(r, all)| all.extend_from_slice(found.row(r)));
        }
        for (row, answers) in answers.iter().enumerate() {
            assert_eq!(answers, at_once.row(row));
        }
        let one = piece(0, 1).slice(0, 1);
        let error =
            evaluator.outputs_carrying(&params, one, Norms::Batch, &mut carried).unwrap_err().to_string();
        assert!(error.contains("carries: expected 3 rows, found 1"), "{error}");
    }
}

/// What enters a stage is kept between visits; a recurrent tensor enters many.
#[test]
fn visits_to_recurrent_tensors_are_refused() {
    let rso = Rso { sigma: 1.0.into(), decay: 0.0, hold: 1, order: onward::rule::LayerOrder::LastFirst };
    let error = onward_coordinate::trainer(
        plan(Method::Rso(rso), 0.1, 3, 3),
        evaluator(Recurrent(Cell::Gru)),
        series(),
    )
    .err()
    .unwrap();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("tensor cell.weight_hh: expected one use"), "{error}");
    // Where the cell stays as it is, its readout is visited like any other.
    let rates = vec![Rate { tensors: "cell*".into(), factor: 0.0 }];
    let model = Rated { model: Arc::new(Recurrent(Cell::Gru)), rates };
    let rso = Rso { sigma: 1.0.into(), decay: 0.0, hold: 1, order: onward::rule::LayerOrder::LastFirst };
    let mut trainer =
        onward_coordinate::trainer(plan(Method::Rso(rso), 1.0, 2, 3), evaluator(model), series()).unwrap();
    assert!(trainer.step().unwrap().entry.loss.is_finite() && trainer.round() == Some(2));
}
