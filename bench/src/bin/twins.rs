//! How noisy the estimates of `online` are at weights that stay as they are: bursts, NRES and PES beside exact influence, on a delay of five.
//!
//! `cargo run --release -p onward-bench --bin twins -- [STEPS]`: a GRU of 32 learns by influence until about 80 % are right, then each estimate is taken over so many steps
//! (3000) of 64 streams. `cosine` is between its mean and the exact derivative's, `size` the mean's along that, `noise` the mean square of a step's deviation over the square of the
//! derivative, and `noise / size²` how many steps a signal-to-noise ratio of one takes.

use onward::Result;
use onward::ask::{Response, Shuffle};
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::ledger::{Optimizer, Scaling};
use onward::model::{Activation, CellKind, Recurrent};
use onward::noise::{Family, Role, RunKey};
use onward::rule::Online;
use onward::space::{LocalPlan, OnlinePlan, Samples, Streams, TwinNoise, TwinPlan};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::{Plan, Trainer};
use std::sync::Arc;

const STREAMS: usize = 64;
const DELAY: usize = 5;

fn copied(steps: usize) -> Result<Dataset> {
    let (rows, key) = (STREAMS * steps, RunKey::from_seed(9).tensor(Role::Init, "bits"));
    let mut x = vec![0.0; rows];
    key.at(0, 0).fill(Family::Sign, 0, &mut x);
    let labels = (0..rows).map(|i| u32::from(i >= DELAY && x[i - DELAY] > 0.0)).collect();
    Dataset::new(x, [1, 1, 1], Targets::Classes { labels, classes: 2 })
}

/// What an estimate says of the cell's tensors in each step.
struct Found {
    mean: Vec<f64>,
    squares: f64,
}

fn taken(
    data: &Dataset,
    steps: usize,
    mut find: impl FnMut(&Batch, u32, &Streams) -> Result<Response>,
) -> Result<Found> {
    let (mut streams, mut mean, mut squares, mut count) = (Streams::default(), Vec::new(), 0.0, 0.0);
    let length = data.rows() / STREAMS;
    for step in 0..steps {
        let rows: Vec<u32> = (0..STREAMS).map(|s| (s * length + step % length) as u32).collect();
        let found = find(&Batch::select(data, &rows), step as u32, &streams)?;
        streams = found.streams;
        // Twins need some time to be in their turn.
        if step < 64 {
            continue;
        }
        let own: Vec<f64> = found.derivative[..4]
            .iter()
            .flatten()
            .flat_map(|[a, b]| a.iter().zip(b).map(|(a, b)| f64::from(a + b)))
            .collect();
        squares += own.iter().map(|v| v * v).sum::<f64>();
        mean.resize(own.len(), 0.0);
        mean.iter_mut().zip(&own).for_each(|(m, v)| *m += v);
        count += 1.0;
    }
    mean.iter_mut().for_each(|m| *m /= count);
    Ok(Found { mean, squares: squares / count })
}

fn main() -> Result<()> {
    let steps: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3000);
    let data = copied(steps)?;
    let net = Recurrent {
        cell: CellKind::Gru,
        units: vec![32],
        hidden: vec![],
        vocabulary: None,
        activation: Activation::Tanh,
        outputs: 2,
    };
    let local = Local::new(Arc::new(net), Arc::new(Loss::CrossEntropy), &Threads::new(1)?).in_streams(true);
    let plan = Plan {
        batch: STREAMS,
        shuffle: Shuffle::Streams,
        optimizer: Optimizer { momentum: 0.9, scaling: Scaling::Adam },
        ..Plan::new(Online::default(), 2000).with_rate(0.003)
    };
    let mut trainer = Trainer::new(plan, local.clone(), data.clone())?;
    let mut running = 1.0f32;
    while running > 0.42 && !trainer.finished() {
        running += 0.02 * (trainer.step()?.entry.loss - running);
    }
    println!("influence for {} steps, loss {running:.3}\n", trainer.state().step());
    let (params, key) = (trainer.state().params(), RunKey::from_seed(2));
    let stages: Vec<usize> = (0..local.graph([1, 1, 1])?.stages()).collect();
    let at = |step: u32, sigma: f32| LocalPlan {
        step,
        stages: stages.clone(),
        sigma,
        samples: Samples::Swaps,
        draws: 2,
        differences: None,
    };
    let exact = taken(&data, steps, |batch, step, streams| {
        local.online_derivative(
            &key,
            params,
            batch,
            &OnlinePlan { local: at(step, 0.01), cut: false },
            streams,
        )
    })?;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let square = dot(&exact.mean, &exact.mean);
    println!("| estimate | cosine of the mean | size | noise | noise / size² |\n|---|---|---|---|---|");
    let tell = |name: &str, found: &Found| {
        let size = dot(&found.mean, &exact.mean) / square;
        let cosine = dot(&found.mean, &exact.mean) / (square * dot(&found.mean, &found.mean)).sqrt();
        let noise = found.squares / square - size * size;
        println!("| {name} | {cosine:.2} | {size:.2} | {noise:.0} | {:.0} |", noise / (size * size));
    };
    tell("influence", &exact);
    let weights = |window| TwinNoise::Weights { window, noise: Family::Sign };
    let kinds = [
        ("bursts of 7", vec![7], TwinNoise::Sites, 0.1),
        ("bursts of 7, σ 0.3", vec![7], TwinNoise::Sites, 0.3),
        ("bursts of 12", vec![12], TwinNoise::Sites, 0.1),
        ("bursts of 4, 8, 16, 32", vec![4, 8, 16, 32], TwinNoise::Sites, 0.1),
        ("NRES, 32", vec![32], weights(0), 0.1),
        ("NRES, 128", vec![128], weights(0), 0.1),
        ("PES, 4 of 32", vec![32], weights(4), 0.1),
        ("PES, 1 of 32", vec![32], weights(1), 0.1),
    ];
    for (name, lengths, place, sigma) in kinds {
        let found = taken(&data, steps, |batch, step, streams| {
            let plan = TwinPlan { local: at(step, sigma), lengths: lengths.clone(), place };
            local.twin_derivative(&key, params, batch, &plan, streams)
        })?;
        tell(name, &found);
    }
    Ok(())
}
