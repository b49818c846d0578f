//! The population method from top to bottom, without the engine: low-rank sign noise, antithetic pairs, centred ranks
//! as integers, momentum. Then the engine does the same run, and both must leave the same ledger, byte for byte.
//!
//! From the library come only the noise's words, the data set and the ledger's types. Everything is naive, one number
//! at a time, in the order of the engine's documentation; so the bits agree.

use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::ledger::{Entry, Ledger, Optimizer, Scaling, Update};
use onward::model::{Activation, Mlp};
use onward::noise::{Family, Noise, Role, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rule::{Anneal, Method, Pairing, Population, Schedule, Shaping};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::{Plan, Trainer, hex};
use std::sync::Arc;

const SEED: u64 = 7;
const WIDTHS: [usize; 3] = [20, 12, 3]; // inputs, hidden, classes
const ROWS: usize = 90;
const BATCH: usize = 32;
const STEPS: u64 = 60;
const MEMBERS: u32 = 40; // 20 directions, each with both signs
const SIGMA: f32 = 0.1;
const RATE: f32 = 0.02;
const MOMENTUM: f32 = 0.75;

/// Noise element `e` is bit `e % 32` of word `e / 32 % 4` of block `e / 128`; a one is -1.
fn signs(noise: Noise, n: usize) -> Vec<f32> {
    let bit = |e: usize| noise.words(e as u64 / 128)[e / 32 % 4] >> (e % 32) & 1;
    (0..n).map(|e| if bit(e) == 1 { -1.0 } else { 1.0 }).collect()
}

/// Three classes of points around three centres, all from the noise of another key.
fn three_classes() -> onward::Result<Dataset> {
    let key = RunKey::from_seed(2026);
    let word = |name, row: usize, e: usize| key.tensor(Role::Init, name).at(0, row as u32).words(e as u64)[0];
    let uniform = |name, row, e| word(name, row, e) as f32 / 2_147_483_648.0 - 1.0;
    let labels: Vec<u32> = (0..ROWS as u32).map(|row| row % 3).collect();
    let feature = |row: usize, e| uniform("centre", row % 3, e) + 1.5 * uniform("point", row, e);
    let features = (0..ROWS).flat_map(|row| (0..WIDTHS[0]).map(move |e| feature(row, e))).collect();
    Dataset::new(features, [1, 1, WIDTHS[0]], Targets::Classes { labels, classes: WIDTHS[2] })
}

/// The samples of a step: every epoch is a permutation of its own, and batches run on from one into the next.
fn batch(key: &RunKey, step: u64) -> Vec<usize> {
    let order = |epoch: usize| {
        let noise = key.tensor(Role::Shuffle, "samples").at(epoch as u32, 0);
        let mut rows: Vec<usize> = (0..ROWS).collect();
        rows.sort_by_key(|row| (noise.words(*row as u64)[0], noise.words(*row as u64)[1], *row));
        rows
    };
    let first = step as usize * BATCH;
    (first..first + BATCH).map(|i| order(i / ROWS)[i % ROWS]).collect()
}

/// One row through one layer of one member: `(W + σ·a bᵀ) x + (bias + σ·z)`; the member's weights are never formed.
fn layer(key: &RunKey, weight: &Tensor, bias: &Tensor, probe: (u32, u32, f32), x: &[f32]) -> Vec<f32> {
    let (step, direction, sign) = probe; // which member: whose noise, and +1 or -1
    let noise = |role, of: &Tensor, n| signs(key.tensor(role, &of.name).at(step, direction), n);
    let (a, b) = (noise(Role::Left, weight, bias.data.len()), noise(Role::Right, weight, x.len()));
    let z = noise(Role::Dense, bias, bias.data.len());
    let along = dot(x, &b) * (SIGMA * sign); // one number for all outputs
    let (weights, biases) = (weight.data.floats(), bias.data.floats());
    let output = |i: usize| {
        let row = &weights[i * x.len()..][..x.len()];
        let shared = x.iter().zip(row).fold(0.0, |sum, (x, w)| x.mul_add(*w, sum));
        along.mul_add(a[i], shared) + (biases[i] + z[i] * (SIGMA * sign))
    };
    (0..bias.data.len()).map(output).collect()
}

/// Sixteen interleaved sums, folded in halves.
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for (i, (x, y)) in x.iter().zip(y).enumerate() {
        lanes[i % 16] = x.mul_add(*y, lanes[i % 16]);
    }
    [8, 4, 2, 1].iter().for_each(|half| (0..*half).for_each(|i| lanes[i] += lanes[i + half]));
    lanes[0]
}

/// A member's mean loss over the batch: half the squared distance of its answers to one-hot labels.
fn member_loss(key: &RunKey, net: &[Tensor], probe: (u32, u32, f32), data: &Dataset, rows: &[usize]) -> f32 {
    let Targets::Classes { labels, .. } = data.targets() else { unreachable!("made with classes") };
    let loss = |row: usize| {
        let mut hidden = layer(key, &net[0], &net[1], probe, data.row(row));
        hidden.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { 0.0 });
        let answer = layer(key, &net[2], &net[3], probe, &hidden);
        let target = |class: usize| if class as u32 == labels[row] { 1.0 } else { 0.0 };
        answer.iter().enumerate().map(|(class, v)| v - target(class)).fold(0.0, |sum, d| sum + d * d) * 0.5
    };
    (rows.iter().map(|row| f64::from(loss(*row))).sum::<f64>() / rows.len() as f64) as f32
}

/// Ranks from -½ (the lowest loss) to ½; equal losses share the mean of their ranks.
fn centred_ranks(losses: &[f32]) -> Vec<f64> {
    let rank = |loss: &f32| {
        let below = losses.iter().filter(|other| *other < loss).count();
        let same = losses.iter().filter(|other| *other == loss).count();
        (2 * below + same - 1) as f64 / 2.0 / (losses.len() - 1) as f64 - 0.5
    };
    losses.iter().map(rank).collect()
}

/// `values ≈ 2^exponent · integers`, the integers as fine as i16 allows, the sum of their sizes below 2²⁴: so every
/// sum of them times ±1 is exact in f32, in any order.
fn quantise(values: &[f64]) -> (i8, Vec<i16>) {
    let largest = values.iter().fold(0f64, |top, v| top.max(v.abs()));
    let sum: f64 = values.iter().map(|v| v.abs()).sum();
    if sum == 0.0 {
        return (0, vec![0; values.len()]);
    }
    let unit = (largest / 32_767.0).max(sum / (16_777_215.0 - values.len() as f64 / 2.0));
    let exponent = (-126..=126).find(|e| 2f64.powi(*e) >= unit).unwrap_or(126);
    (exponent as i8, values.iter().map(|v| (v / 2f64.powi(exponent)).round() as i16).collect())
}

/// `Σ c·z` for one tensor, `z` being `a bᵀ` for a matrix and a sign per number for a vector.
fn sum_of_probes(key: &RunKey, tensor: &Tensor, step: u32, coefficients: &[i16]) -> Vec<f32> {
    let mut sum = vec![0f32; tensor.data.len()];
    for (direction, c) in coefficients.iter().enumerate() {
        let noise = |role, n| signs(key.tensor(role, &tensor.name).at(step, direction as u32), n);
        let z = match tensor.shape[..] {
            [m, n] => {
                let (a, b) = (noise(Role::Left, m), noise(Role::Right, n));
                a.iter().flat_map(|a| b.iter().map(move |b| a * b)).collect()
            }
            _ => noise(Role::Dense, sum.len()),
        };
        sum.iter_mut().zip(z).for_each(|(sum, z)| *sum += f32::from(*c) * z);
    }
    sum
}

/// The whole algorithm: from the base params and the data to the trained params and the records of all steps.
fn train(base: &Params, data: &Dataset) -> (Params, Vec<Entry>) {
    let key = RunKey::from_seed(SEED);
    let mut net = base.tensors().to_vec();
    let mut momentum: Vec<Vec<f32>> = net.iter().map(|t| vec![0.0; t.data.len()]).collect();
    let mut records = Vec::new();
    for step in 0..STEPS {
        let rows = batch(&key, step);
        let probe = |i: u32| (step as u32, i / 2, [1.0, -1.0][i as usize % 2]);
        let losses: Vec<f32> = (0..MEMBERS).map(|i| member_loss(&key, &net, probe(i), data, &rows)).collect();
        let rate = RATE * (1.0 - (step as f64 / STEPS as f64) as f32);
        let factor = -f64::from(rate) / (f64::from(MEMBERS) * f64::from(SIGMA));
        let ranks = centred_ranks(&losses);
        let values: Vec<f64> = ranks.chunks_exact(2).map(|u| (u[0] - u[1]) * factor).collect();
        let (exponent, coefficients) = quantise(&values);
        for (tensor, momentum) in net.iter_mut().zip(&mut momentum) {
            let sum = sum_of_probes(&key, tensor, step as u32, &coefficients);
            for ((w, m), s) in tensor.data.floats_mut().iter_mut().zip(momentum).zip(sum) {
                *m = MOMENTUM * *m + s * 2f32.powi(i32::from(exponent));
                *w += *m;
            }
        }
        let loss = (losses.iter().map(|l| f64::from(*l)).sum::<f64>() / f64::from(MEMBERS)) as f32;
        let update = Update::Probes { exponent, coefficients };
        records.push(Entry { step, loss, rate, non_finite: 0, update });
    }
    (Params::from_tensors(net), records)
}

/// The same run by the engine.
fn engine(data: Dataset) -> onward::Result<Trainer> {
    let (pairing, shaping) = (Pairing::Antithetic, Shaping::CentredRank);
    let (sigma, members, noise) = (SIGMA, MEMBERS, Family::Sign);
    let method = Method::Population(Population {
        sigma,
        members,
        rank: 1,
        noise,
        pairing,
        shaping,
        share: 0,
        ..Default::default()
    });
    let schedule = Schedule { rate: RATE, anneal: Anneal::Linear, final_share: 0.0, warmup: 0, steps: STEPS };
    let optimizer = Optimizer { momentum: MOMENTUM, scaling: Scaling::None };
    let plan = Plan {
        seed: SEED,
        method,
        schedule,
        optimizer,
        storage: Storage::F32,
        batch: BATCH,
        shuffle: Default::default(),
        augment: Default::default(),
        digest_every: 1,
    };
    let task = Arc::new(Loss::SquaredError);
    let model = Arc::new(Mlp::new(&WIDTHS, Activation::Relu)?);
    Trainer::new(plan, Local::new(model, task, &Threads::new(2)?), data)
}

#[cfg_attr(test, test)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (data, folder) = (three_classes()?, tempfile::tempdir()?);
    let mut engine = engine(data.clone())?;
    let (params, records) = train(engine.state().params(), &data);
    let files = ["ours", "engine"].map(|name| folder.path().join(name));
    let header = engine.header([0; 32]);
    let (mut ours, mut theirs) = (Ledger::create(&files[0], &header)?, Ledger::create(&files[1], &header)?);
    for record in &records {
        let step = engine.step()?.entry;
        assert_eq!(*record, step);
        ours.append(record)?;
        theirs.append(&step)?;
    }
    ours.sync().and(theirs.sync())?;
    assert_eq!(std::fs::read(&files[0])?, std::fs::read(&files[1])?);
    assert_eq!(params.digest(), engine.state().params().digest());
    let score = engine.score(&data)?;
    println!("loss {} -> {}; digest {}", records[0].loss, score.loss, hex(&params.digest()));
    assert!(score.loss < records[0].loss / 2.0, "the net has learnt nothing");
    Ok(())
}
