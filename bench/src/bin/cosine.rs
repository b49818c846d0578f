//! How well each method's estimate points along the true derivative, against what it costs in forward passes.
//!
//!     cargo run --release -p onward-bench --bin cosine [data/digits.csv] [folder for cosine.svg and cosine.png]
//!
//! One net (tanh, 64-64-10) at its initial params, one batch of 256 digits. The true derivative comes from central
//! differences of a forward pass of its own in f64, which shares no code with the engine.

use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::kernel::Precision;
use onward::ledger::{Direction, Optimizer, Scaling, State, Update};
use onward::model::{Act, Activation, Context, Graph, Mlp, Norms, Weights};
use onward::noise::{Family, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rule::{Clock, Layers, Method, Pairing, Population, RelativeActivation, Shaping, TwoPoint};
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace, derivative_at_output};
use onward::task::{Answers, Loss};
use onward::threads::Threads;
use onward_bench::print_table;
use onward_data::{Center, DataOptions, load};
use onward_report::{AxisKind, LinePlot, line_plot, png};
use std::path::PathBuf;
use std::sync::Arc;

const WIDTHS: [usize; 3] = [64, 64, 10];
const ROWS: usize = 256;
const SEEDS: u64 = 5;
const SIGMA: f32 = 0.01;
/// Of the central differences.
const STEP: f64 = 1e-5;

/// One method with `K` draws per step, and what the law says of it; nothing where it says nothing: activation-space
/// estimates are per sample, and their mean over the batch is better than each.
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
        sigma: SIGMA.into(),
        directions: directions.into(),
        space: space.into(),
        draws,
        order: Layers::Together,
        noise: Family::Binomial,
        focus: 1.0,
        ..RelativeActivation::default()
    })
}

fn population(pairing: Pairing, members: u32) -> Method {
    let (shaping, noise) = (Shaping::ZScore, Family::Sign);
    Method::Population(Population {
        sigma: SIGMA,
        members,
        rank: 1,
        pairing,
        shaping,
        noise,
        share: 0,
        ..Population::default()
    })
}

const FEW: &[u32] = &[2, 8, 32, 128, 512];
const MANY: &[u32] = &[2, 8, 32, 128, 512, 2048];

const CASES: [Case; 6] = [
    Case {
        name: "orthogonal",
        draws: &[2, 4, 8, 16, 32, 64],
        method: |k| relative(Directions::Orthogonal, LayerSpace::Activation, k),
        law: |_| None,
    },
    Case {
        name: "independent",
        draws: FEW,
        method: |k| relative(Directions::Independent, LayerSpace::Activation, k),
        law: |_| None,
    },
    Case {
        name: "low-rank/sample",
        draws: FEW,
        method: |k| relative(Directions::Independent, LayerSpace::LowRank, k),
        law: |_| None,
    },
    Case {
        name: "one-sided",
        draws: MANY,
        method: |k| population(Pairing::OneSided, k),
        law: |k| law(weights(), k),
    },
    Case {
        name: "pairs",
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
    let graph = Graph::new(&*model, data.shape())?;
    let params = Params::init(graph.tensors(), &RunKey::from_seed(1));
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
            let rule = method.rule(&graph, ROWS)?;
            let cost = rule.cost(&graph, &Clock::alone(0, 1.0, ROWS), &Update::Rerun { digest: None });
            let passes = cost.samples / ROWS as u64;
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
    println!();
    let samples = one_sample(&graph, &params, &data);
    print_table(&["draws K", "independent", "law 1/√(1+(d+1)/K), d = 64", "orthogonal"], &samples);
    std::fs::create_dir_all(&folder)?;
    draw(&folder, "cosine", "Estimate against true derivative", "forward passes per sample", &curves)?;
    // Columns of both tables against their draws; cells without a number are left out.
    let column = |rows: &[Vec<String>], draws: usize, column: usize| -> Vec<(f64, f64)> {
        let numbers = rows.iter().filter_map(|r| Some((r[draws].parse().ok()?, r[column].parse().ok()?)));
        numbers.collect()
    };
    let pairs: Vec<Vec<String>> = rows.into_iter().filter(|r| r[0] == "pairs").collect();
    let curves = [
        ("orthogonal".to_owned(), column(&samples, 0, 3)),
        ("independent".to_owned(), column(&samples, 0, 1)),
        ("law, d = 64".to_owned(), column(&samples, 0, 2)),
        ("population".to_owned(), column(&pairs, 1, 3)),
        ("law, d = 4 810".to_owned(), column(&pairs, 1, 5)),
    ];
    draw(&folder, "law", "The law 1/√(1+(d+1)/K)", "draws K", &curves)
}

/// The cosine of each sample's own estimate at the first layer's output, averaged over samples: what the law is about.
fn one_sample(graph: &Graph, params: &Params, data: &Dataset) -> Vec<Vec<String>> {
    let key = RunKey::from_seed(1);
    let weights = Weights::new(params, Precision::F32);
    let x = Act::new(ROWS, data.shape(), data.features().to_vec());
    let cuts = graph.cuts(&mut Context::clean(&weights, Norms::Batch), x);
    let net: Vec<Vec<f64>> = params.tensors().iter().map(|t| wide(&t.data.floats())).collect();
    let truth: Vec<Vec<f64>> = (0..ROWS).map(|row| true_derivative_at_output(&net, data, row)).collect();
    let found = |directions, pairs| {
        let layer = LayerPlan { stage: 0, space: LayerSpace::Activation, pairs, sigma: SIGMA };
        let plan = ActivationPlan {
            step: 0,
            layers: vec![layer],
            directions,
            noise: Family::Binomial,
            focus: None,
            norms: false,
        };
        let (loss, cut) = (Loss::CrossEntropy, &cuts[0]);
        let answers = Answers::all(data.targets(), data.columns());
        let g = derivative_at_output(graph, &weights, &loss, answers, &key, &plan, &layer, cut, false);
        let cosines = g.chunks_exact(WIDTHS[1]).zip(&truth).map(|(g, t)| cosine(&wide(g), t));
        format!("{:.3}", cosines.sum::<f64>() / ROWS as f64)
    };
    let row = |k: &u32| {
        let orthogonal =
            if *k as usize <= WIDTHS[1] { found(Directions::Orthogonal, *k) } else { "–".into() };
        let law = law(WIDTHS[1], *k).map_or_else(String::new, |l| format!("{l:.3}"));
        vec![k.to_string(), found(Directions::Independent, *k), law, orthogonal]
    };
    [2, 8, 32, 64, 128, 512].iter().map(row).collect()
}

fn draw(
    folder: &std::path::Path,
    name: &str,
    title: &str,
    x_label: &str,
    curves: &[(String, Vec<(f64, f64)>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let plot = LinePlot {
        title: title.into(),
        x_label: x_label.into(),
        y_label: "cosine".into(),
        x: AxisKind::Log,
        ..LinePlot::default()
    };
    let scene = line_plot(&plot, curves);
    std::fs::write(folder.join(format!("{name}.svg")), scene.svg())?;
    std::fs::write(folder.join(format!("{name}.png")), png(&scene, 1200)?)?;
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
    let evaluator = Local::new(model, Arc::new(Loss::CrossEntropy), &Threads::new(1)?);
    let recipe = method.recipe(Optimizer { momentum: 0.0, scaling: Scaling::None }, Storage::F32);
    let state = State::new(params.clone(), recipe.clone(), key)?;
    let batch = Batch::select(data, &indices);
    let outcome = evaluator.step(method, &state, &batch, &Clock::alone(0, 1.0, ROWS))?;
    let directions: Vec<Vec<f32>> = match outcome.direction {
        Some(Direction { tensors, .. }) => tensors.into_iter().map(Option::unwrap_or_default).collect(),
        None => {
            // Applied to params of zero, an entry leaves nothing but its direction.
            let zeros =
                params.tensors().iter().map(|t| Tensor { data: vec![0.0; t.data.len()].into(), ..t.clone() });
            let mut state = State::new(Params::from_tensors(zeros.collect()), recipe, key)?;
            state.apply(&outcome.entry, None)?;
            state.params().tensors().iter().map(|t| t.data.floats().into_owned()).collect()
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
    let mut net: Vec<Vec<f64>> = tensors.iter().map(|t| wide(&t.data.floats())).collect();
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
    let one = |(row, label)| loss_from(net, &affine(&net[0], &net[1], &wide(data.row(row))), label);
    labels(data).iter().copied().enumerate().map(one).sum::<f64>() / data.rows() as f64
}

/// One sample's loss from the first layer's output on.
fn loss_from(net: &[Vec<f64>], first: &[f64], label: u32) -> f64 {
    let hidden: Vec<f64> = first.iter().map(|v| v.tanh()).collect();
    let z = affine(&net[2], &net[3], &hidden);
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + z.iter().map(|v| (v - top).exp()).sum::<f64>().ln() - z[label as usize]
}

/// Central differences of one sample's loss by each number of the first layer's output.
fn true_derivative_at_output(net: &[Vec<f64>], data: &Dataset, row: usize) -> Vec<f64> {
    let (mut z, label) = (affine(&net[0], &net[1], &wide(data.row(row))), labels(data)[row]);
    let mut derivative = Vec::new();
    for i in 0..z.len() {
        let kept = z[i];
        let [up, down] = [STEP, -STEP].map(|step| {
            z[i] = kept + step;
            loss_from(net, &z, label)
        });
        z[i] = kept;
        derivative.push((up - down) / (2.0 * STEP));
    }
    derivative
}

fn labels(data: &Dataset) -> &[u32] {
    match data.targets() {
        Targets::Classes { labels, .. } => labels,
        Targets::Values { .. } => &[],
    }
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|v| f64::from(*v)).collect()
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
