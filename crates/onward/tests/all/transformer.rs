//! A transformer as a graph: forward passes against a restatement in f64, and every tensor's estimate from all orthogonal
//! directions against central differences of that.

use crate::common::reference::{Named, derivative, named};
use crate::common::{assert_near, cosine, distance, every_direction, local_plan, params_on, threads, wide};
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::model::{Act, Activation, Attention, Builder, Model, Norms, Var};
use onward::noise::RunKey;
use onward::task::{Answers, Grain, Task};
use std::sync::Arc;

const ITEMS: usize = 5;
const WORDS: usize = 7;
const WIDTH: usize = 8;
const HEADS: usize = 2;
const INNER: usize = 12;
const BASE: f32 = 50.0;

/// Blocks before their norms, with grouped heads, rotary positions and gated layers; the head is the embedding. Even blocks have RMS
/// norms, odd ones layer norms.
pub struct Transformer {
    pub blocks: usize,
}

impl Model for Transformer {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let words = g.input();
        let mut x = g.embed("words", words, WORDS, WIDTH);
        for block in 0..self.blocks {
            let name = |part: &str| format!("{block}.{part}");
            let norm = |g: &mut Builder, part: &str, x| match block % 2 {
                0 => g.rms_norm(&name(part), x),
                _ => g.layer_norm(&name(part), x),
            };
            let y = norm(g, "norm1", x);
            let q = g.linear(&name("q"), y, WIDTH);
            let k = g.linear_without_bias(&name("k"), y, WIDTH / HEADS);
            let v = g.linear_without_bias(&name("v"), y, WIDTH / HEADS);
            let y =
                g.attention([q, k, v], Attention { heads: HEADS, causal: true, rotary: Some(BASE.into()) });
            let y = g.linear_without_bias(&name("o"), y, WIDTH);
            x = g.add(x, y);
            let y = norm(g, "norm2", x);
            let gate = g.linear_without_bias(&name("gate"), y, INNER);
            let gate = g.map(Activation::Silu, gate);
            let up = g.linear_without_bias(&name("up"), y, INNER);
            let y = g.multiply(gate, up);
            let y = g.linear_without_bias(&name("down"), y, WIDTH);
            x = g.add(x, y);
        }
        let x = g.rms_norm("norm", x);
        Ok(g.linear_tied("words", x))
    }
}

/// `ln Σ exp − the right one`, of each item.
struct NextWord;

impl Task for NextWord {
    fn grain(&self) -> Grain {
        Grain::Item
    }
    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> onward::Result<()> {
        let Targets::Values { values, .. } = answers.targets else { return Ok(()) };
        for (row, losses) in losses.chunks_exact_mut(ITEMS).enumerate() {
            let words = &values[answers.sample(row) * ITEMS..];
            let items = outputs.row(row).chunks_exact(WORDS).zip(words);
            losses.iter_mut().zip(items).for_each(|(l, (z, w))| *l = surprise(&wide(z), *w as usize) as f32);
        }
        Ok(())
    }
}

fn surprise(z: &[f64], word: usize) -> f64 {
    let top = z.iter().copied().fold(f64::MIN, f64::max);
    top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln() - z[word]
}

pub fn sentences(rows: usize) -> Dataset {
    let word = |i: usize| ((i * i * 31 + i * 7 + 3) % 89 % WORDS) as f32;
    let words: Vec<f32> = (0..rows * ITEMS).map(word).collect();
    let next = (0..rows * ITEMS).map(|i| word(i + 1)).collect();
    Dataset::new(words, [1, ITEMS, 1], Targets::Values { values: next, width: ITEMS }).unwrap()
}

/// `W x + b` for each item.
fn linear(p: &Named, layer: &str, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (weight, bias) = (&p[&format!("{layer}.weight")], p.get(&format!("{layer}.bias")));
    let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
    let one = |x: &Vec<f64>| {
        let rows = weight.chunks_exact(x.len()).enumerate();
        rows.map(|(o, w)| dot(w, x) + bias.map_or(0.0, |b| b[o])).collect()
    };
    x.iter().map(one).collect()
}

fn norm(p: &Named, layer: &str, rms: bool, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (scale, shift) = (&p[&format!("{layer}.weight")], p.get(&format!("{layer}.bias")));
    let one = |x: &Vec<f64>| {
        let n = x.len() as f64;
        let mean = if rms { 0.0 } else { x.iter().sum::<f64>() / n };
        let size = (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + 1e-5).sqrt();
        let at = |(i, v): (usize, &f64)| (v - mean) / size * scale[i] + shift.map_or(0.0, |s| s[i]);
        x.iter().enumerate().map(at).collect()
    };
    x.iter().map(one).collect()
}

fn turned(x: &[f64], item: usize) -> Vec<f64> {
    let half = x.len() / 2;
    let angle = |i: usize| item as f64 * f64::from(BASE).powf(-2.0 * i as f64 / x.len() as f64);
    let mut y = x.to_vec();
    for i in 0..half {
        let (sin, cos) = angle(i).sin_cos();
        (y[i], y[i + half]) = (x[i] * cos - x[i + half] * sin, x[i + half] * cos + x[i] * sin);
    }
    y
}

fn attention(q: &[Vec<f64>], k: &[Vec<f64>], v: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let size = WIDTH / HEADS;
    let one = |i: usize| {
        let head = |h: usize| {
            let q = turned(&q[i][h * size..][..size], i);
            let score = |j: usize| {
                let k = turned(&k[j], j);
                q.iter().zip(&k).map(|(q, k)| q * k).sum::<f64>() / (size as f64).sqrt()
            };
            let scores: Vec<f64> = (0..=i).map(score).collect();
            let sum: f64 = scores.iter().map(|s| s.exp()).sum();
            (0..size)
                .map(move |c| (0..=i).map(|j| scores[j].exp() / sum * v[j][c]).sum::<f64>())
                .collect::<Vec<_>>()
        };
        (0..HEADS).flat_map(head).collect()
    };
    (0..q.len()).map(one).collect()
}

fn sum(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
}

/// The logits of every item of a sentence.
fn reference(p: &Named, blocks: usize, words: &[f32]) -> Vec<Vec<f64>> {
    let table = &p["words.weight"];
    let mut x: Vec<Vec<f64>> = words.iter().map(|w| table[*w as usize * WIDTH..][..WIDTH].to_vec()).collect();
    for block in 0..blocks {
        let name = |part: &str| format!("{block}.{part}");
        let y = norm(p, &name("norm1"), block % 2 == 0, &x);
        let [q, k, v] = ["q", "k", "v"].map(|part| linear(p, &name(part), &y));
        x = sum(&x, &linear(p, &name("o"), &attention(&q, &k, &v)));
        let y = norm(p, &name("norm2"), block % 2 == 0, &x);
        let [gate, up] = ["gate", "up"].map(|part| linear(p, &name(part), &y));
        let gated: Vec<Vec<f64>> = gate
            .iter()
            .zip(&up)
            .map(|(g, u)| g.iter().zip(u).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect())
            .collect();
        x = sum(&x, &linear(p, &name("down"), &gated));
    }
    let x = norm(p, "norm", true, &x);
    x.iter()
        .map(|x| table.chunks_exact(WIDTH).map(|e| e.iter().zip(x).map(|(e, x)| e * x).sum()).collect())
        .collect()
}

fn reference_loss(p: &Named, blocks: usize, data: &Dataset) -> f64 {
    let Targets::Values { values, .. } = data.targets() else { return f64::NAN };
    let sentence = |row: usize| -> f64 {
        let logits = reference(p, blocks, data.row(row));
        logits.iter().zip(&values[row * ITEMS..]).map(|(z, word)| surprise(z, *word as usize)).sum()
    };
    (0..data.rows()).map(sentence).sum::<f64>() / (data.rows() * ITEMS) as f64
}

fn evaluator(blocks: usize, count: usize) -> Local {
    Local::new(Arc::new(Transformer { blocks }), Arc::new(NextWord), &threads(count))
}

fn whole(data: &Dataset) -> Batch {
    Batch::select(data, &(0..data.rows() as u32).collect::<Vec<_>>())
}

#[test]
fn passes_are_those_in_f64() {
    let (data, evaluator) = (sentences(6), evaluator(3, 2));
    let params = params_on(&evaluator.graph(data.shape()).unwrap(), 3);
    let found = evaluator.outputs(&params, whole(&data).x, Norms::Batch).unwrap();
    for row in 0..data.rows() {
        let want = reference(&named(&params), 3, data.row(row)).concat();
        let off = distance(&wide(found.row(row)), &want);
        assert!(off < 1e-5, "row {row}: off by {off}");
    }
}

/// Every tensor of six blocks, the embedding with what it earns as the head too.
#[test]
fn all_orthogonal_directions_give_the_derivative_of_every_tensor() {
    let (data, evaluator) = (sentences(4), evaluator(6, 2));
    let graph = evaluator.graph(data.shape()).unwrap();
    let params = params_on(&graph, 4);
    let plan = every_direction(&graph);
    let found = evaluator.derivative(&RunKey::from_seed(5), &params, &whole(&data), &plan).unwrap();
    let loss = |p: &Named| reference_loss(p, 6, &data);
    assert!((f64::from(found.loss) - loss(&named(&params))).abs() < 1e-5);
    let truth = derivative(&named(&params), |_| true, loss);
    let local = evaluator
        .local_derivative(&RunKey::from_seed(5), &params, &whole(&data), &local_plan(&graph))
        .unwrap();
    assert_near("local", &params, &local.derivative, &truth, 1e-3);
    let mut worst: f64 = 1.0;
    for (tensor, own) in params.tensors().iter().zip(&found.derivative) {
        let [a, b] = own.as_ref().unwrap_or_else(|| panic!("{} earns nothing", tensor.name));
        let own: Vec<f64> = a.iter().zip(b).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
        let (want, name) = (&truth[&tensor.name], &tensor.name);
        let (cos, off) = (cosine(&own, want), distance(&own, want));
        assert!(cos >= 0.999 && off < 0.02, "{name}: cosine {cos}, off by {off}");
        worst = worst.min(cos);
    }
    println!("{} tensors, the worst cosine {worst:.6}", params.tensors().len());
}
