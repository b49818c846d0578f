//! How well each method's estimate points along the true derivative, against what it costs in forward passes.
//!
//!     cargo run --release -p onward-bench --bin cosine [data/digits.csv] [folder for cosine.svg and cosine.png]
//!
//! One net (tanh, 64-64-10) at its initial params, one batch of 256 digits. The true derivative comes from central
//! differences of a forward pass of its own in f64, which shares no code with the engine.

use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::ledger::{Entry, Optimizer, Scaling, State, Update};
use onward::model::{Activation, Mlp, Model};
use onward::noise::{Family, RunKey};
use onward::objective::{Loss, Objective};
use onward::params::{Params, Tensor};
use onward::rule::{At, Method, Order, Pairing, Population, RelativeActivation, Shaping, TwoPoint};
use onward::space::{Directions, LayerSpace};
use onward_bench::print_table;
use onward_cli::data::{Center, DataOptions, load};
use onward_cli::report::{AxisKind, LinePlot, line_plot, png};
use std::path::PathBuf;
use std::sync::Arc;

const WIDTHS: [usize; 3] = [64, 64, 10];
const ROWS: usize = 256;
const SEEDS: u64 = 5;
const SIGMA: f32 = 0.01;

/// One method with `K` draws per step, and the dimension that the law should use for it.
struct Case {
    name: &'static str,
    draws: &'static [u32],
    method: fn(u32) -> Method,
    law: fn(u32) -> Option<f64>,
}

/// `1/√(1 + (d+1)/K)`: the cosine between a vector of `d` dimensions and its estimate from `K` random directions.
fn law(d: usize, draws: u32) -> Option<f64> {
    Some(1.0 / (1.0 + (d + 1) as f64 / f64::from(draws)).sqrt())
}

fn weights() -> usize {
    WIDTHS.windows(2).map(|w| w[1] * (w[0] + 1)).sum()
}

fn relative(draws: Directions, space: LayerSpace, directions: u32) -> Method {
    Method::RelativeActivation(RelativeActivation {
        sigma: vec![SIGMA],
        directions: vec![directions],
        spaces: vec![space],
        draws,
        order: Order::Together,
        noise: Family::Binomial,
        layers: 2,
    })
}

fn population(pairing: Pairing, members: u32) -> Method {
    let (shaping, noise) = (Shaping::ZScore, Family::Sign);
    Method::Population(Population { sigma: SIGMA, members, rank: 1, pairing, shaping, noise, share: 0 })
}

const FEW: &[u32] = &[2, 8, 32, 128, 512];
const MANY: &[u32] = &[2, 8, 32, 128, 512, 2048];

const CASES: [Case; 6] = [
    Case {
        name: "activation, orthogonal",
        draws: &[2, 4, 8, 16, 32, 64],
        method: |k| relative(Directions::Orthogonal, LayerSpace::Activation, k),
        law: |_| None,
    },
    Case {
        name: "activation, independent",
        draws: FEW,
        method: |k| relative(Directions::Independent, LayerSpace::Activation, k),
        law: |k| law(WIDTHS[1], k),
    },
    Case {
        name: "low-rank per sample",
        draws: FEW,
        method: |k| relative(Directions::Independent, LayerSpace::LowRank, k),
        law: |_| None,
    },
    Case {
        name: "population, one-sided",
        draws: MANY,
        method: |k| population(Pairing::OneSided, k),
        law: |k| law(weights(), k),
    },
    Case {
        name: "population, pairs",
        draws: MANY,
        method: |k| population(Pairing::Antithetic, 2 * k),
        law: |k| law(weights(), k),
    },
    Case {
        name: "two-point",
        draws: MANY,
        method: |k| Method::TwoPoint(TwoPoint { sigma: SIGMA, directions: k, noise: Family::Binomial }),
        law: |k| law(weights(), k),
    },
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "data/digits.csv".into());
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "bench".into()));
    let split = load(&DataOptions { center: Center::Standardize, ..DataOptions::new(path) })?;
    let data = split.train.select(&(0..ROWS as u32).collect::<Vec<_>>());
    let model = Arc::new(Mlp::new(&WIDTHS, Activation::Tanh)?);
    let params = Params::init(&model.tensors(), &RunKey::from_seed(1));
    let truth = true_derivative(params.tensors(), &data);

    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    for case in &CASES {
        let mut curve = Vec::new();
        for &draws in case.draws {
            let method = (case.method)(draws);
            let mut found = [0.0; 2];
            for seed in 1..=SEEDS {
                let estimate = estimate(&method, model.clone(), &params, &data, seed)?;
                let first = WIDTHS[0] * WIDTHS[1];
                found[0] += cosine(&estimate, &truth) / SEEDS as f64;
                found[1] += cosine(&estimate[..first], &truth[..first]) / SEEDS as f64;
            }
            let passes = method.cost(&*model, 0, ROWS).samples / ROWS as u64;
            curve.push((passes as f64, found[0]));
            let law = (case.law)(draws).map_or_else(|| "–".into(), |l| format!("{l:.3}"));
            let numbers = found.map(|c| format!("{c:.3}"));
            let [all, first] = numbers;
            rows.push(vec![case.name.into(), draws.to_string(), passes.to_string(), all, first, law]);
        }
        curves.push((case.name.to_owned(), curve));
    }
    let header = [
        "method",
        "draws K",
        "passes per sample",
        "cosine, all params",
        "cosine, fc1.weight",
        "law 1/√(1+(d+1)/K)",
    ];
    print_table(&header, &rows);
    draw(&folder, &curves)
}

fn draw(
    folder: &std::path::Path,
    curves: &[(String, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let plot = LinePlot {
        title: "Estimate against true derivative".into(),
        x_label: "forward passes per sample".into(),
        y_label: "cosine".into(),
        x: AxisKind::Log,
        ..LinePlot::default()
    };
    let scene = line_plot(&plot, curves);
    std::fs::write(folder.join("cosine.svg"), scene.svg())?;
    std::fs::write(folder.join("cosine.png"), png(&scene, 1200)?)?;
    Ok(())
}

/// What the method takes for the derivative, all tensors in a row.
fn estimate(
    method: &Method,
    model: Arc<Mlp>,
    params: &Params,
    data: &Dataset,
    seed: u64,
) -> onward::Result<Vec<f64>> {
    let (key, indices) = (RunKey::from_seed(seed), (0..ROWS as u32).collect::<Vec<_>>());
    let evaluator = Local::new(model, Objective::PerSample(Arc::new(Loss::CrossEntropy)), key, 1)?;
    let at = At { step: 0, rate: 1.0, scaling: Scaling::None };
    let outcome = evaluator.run(|| method.step(&evaluator, params, &Batch::select(data, &indices), at))?;
    let directions: Vec<Vec<f32>> = match outcome.update {
        Update::Direction(all) => all.into_iter().map(Option::unwrap_or_default).collect(),
        update @ Update::Probes { .. } => {
            // Applied to params of zero, an entry leaves nothing but its direction.
            let zeros =
                params.tensors().iter().map(|t| Tensor { data: vec![0.0; t.data.len()], ..t.clone() });
            let mut state = State::new(
                Params::from_tensors(zeros.collect()),
                method.recipe(Optimizer { momentum: 0.0, scaling: Scaling::None }),
                key,
            );
            state.apply(&Entry { step: 0, loss: outcome.loss, rate: 1.0, non_finite: 0, update })?;
            state.params().tensors().iter().map(|t| t.data.clone()).collect()
        }
    };
    Ok(directions.concat().into_iter().map(|d| -f64::from(d)).collect())
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Central differences by every single param.
fn true_derivative(tensors: &[Tensor], data: &Dataset) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let mut net: Vec<Vec<f64>> =
        tensors.iter().map(|t| t.data.iter().map(|v| f64::from(*v)).collect()).collect();
    let mut derivative = Vec::new();
    for tensor in 0..net.len() {
        for i in 0..net[tensor].len() {
            let kept = net[tensor][i];
            let mut at = |value: f64| {
                net[tensor][i] = value;
                mean_loss(&net, data)
            };
            let difference = at(kept + STEP) - at(kept - STEP);
            net[tensor][i] = kept;
            derivative.push(difference / (2.0 * STEP));
        }
    }
    derivative
}

/// The mean cross-entropy of the net in f64.
fn mean_loss(net: &[Vec<f64>], data: &Dataset) -> f64 {
    let Targets::Classes { labels, .. } = data.targets() else { return f64::NAN };
    let mut total = 0.0;
    for (row, label) in labels.iter().enumerate() {
        let x: Vec<f64> = data.row(row).iter().map(|v| f64::from(*v)).collect();
        let hidden: Vec<f64> = affine(&net[0], &net[1], &x).into_iter().map(f64::tanh).collect();
        let z = affine(&net[2], &net[3], &hidden);
        let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        total += top + z.iter().map(|v| (v - top).exp()).sum::<f64>().ln() - z[*label as usize];
    }
    total / labels.len() as f64
}

/// `W x + b`, four sums at a time per row.
fn affine(weight: &[f64], bias: &[f64], x: &[f64]) -> Vec<f64> {
    let row = |(w, b): (&[f64], &f64)| {
        let mut sums = [0f64; 4];
        for (w, x) in w.chunks_exact(4).zip(x.chunks_exact(4)) {
            (0..4).for_each(|i| sums[i] += w[i] * x[i]);
        }
        b + (sums[0] + sums[1]) + (sums[2] + sums[3])
    };
    weight.chunks_exact(x.len()).zip(bias).map(row).collect()
}
