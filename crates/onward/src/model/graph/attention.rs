//! Softmax attention. A row's numbers depend on that row alone, and each sum runs in the order of items or channels.

use super::node::Attention;
use crate::kernel::{exp, exp64, ln64, sin_cos_turn};
use crate::model::Act;
use crate::threads::prelude::*;
use std::f64::consts::TAU;

impl Attention {
    /// On queries, keys and values, and on how many items of these there are, if that is told.
    pub(super) fn of(self, inputs: Vec<Act>) -> Act {
        let inputs: Vec<Act> = inputs.into_iter().map(Act::whole).collect();
        let [q, k, v, length @ ..] = &inputs[..] else { return Act::default() };
        let size = q.channels() / self.heads;
        let turns = self.rotary.map(|base| Turns::new(base, q.points().max(k.points()), size));
        let rows = q.rows.max(k.rows).max(v.rows);
        let mut y = Act::new(rows, q.shape, vec![0.0; rows * q.width()]);
        y.data.par_chunks_mut(q.width()).enumerate().for_each(|(row, out)| {
            let of_row = |act: &&Act| act.row(row % act.rows)[0] as usize;
            let there = length.iter().next().as_ref().map_or(k.points(), of_row).min(k.points());
            if there == 0 {
                return;
            }
            let items = [q.points(), there];
            let own = there * k.channels();
            let [q, k, v] = [q, k, v].map(|act| act.row(row % act.rows));
            let [k, v] = [&k[..own], &v[..own]];
            match &turns {
                Some(turns) => {
                    self.row(
                        [&turns.turned(q, items[0]), &turns.turned(k, items[1]), v],
                        items[1],
                        size,
                        out,
                    );
                }
                None => self.row([q, k, v], items[1], size, out),
            }
        });
        y
    }

    /// `others` are the items with keys and values, whose heads may be fewer than those of the queries.
    fn row(self, [q, k, v]: [&[f32]; 3], others: usize, size: usize, out: &mut [f32]) {
        let (width, own) = (self.heads * size, k.len() / others.max(1));
        let shared = width / own;
        let scale = 1.0 / (size as f32).sqrt();
        let mut weights = vec![0.0; others];
        for (i, out) in out.chunks_exact_mut(width).enumerate() {
            let seen = if self.causal { (i + 1).min(others) } else { others };
            for (head, out) in out.chunks_exact_mut(size).enumerate() {
                let q = &q[i * width + head * size..][..size];
                let at = head / shared * size;
                let weights = &mut weights[..seen];
                for (weight, k) in weights.iter_mut().zip(k.chunks_exact(own)) {
                    let product = q.iter().zip(&k[at..]).fold(0.0f32, |s, (q, k)| q.mul_add(*k, s));
                    *weight = product * scale;
                }
                softmax(weights);
                for (weight, v) in weights.iter().zip(v.chunks_exact(own)) {
                    out.iter_mut().zip(&v[at..]).for_each(|(o, v)| *o = weight.mul_add(*v, *o));
                }
            }
        }
    }
}

/// Shares that add up to one.
pub(super) fn softmax(weights: &mut [f32]) {
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for weight in &mut *weights {
        *weight = exp(*weight - largest);
        sum += *weight;
    }
    weights.iter_mut().for_each(|w| *w /= sum);
}

/// Sines and cosines of the rotations of every item's pairs of channels.
struct Turns {
    /// `[item][pair]`
    all: Vec<(f32, f32)>,
    /// Channels of a head.
    size: usize,
}

impl Turns {
    fn new(base: f32, items: usize, size: usize) -> Self {
        let pairs = size / 2;
        let slope = -2.0 * ln64(f64::from(base)) / size as f64;
        let speed: Vec<f64> = (0..pairs).map(|i| exp64(slope * i as f64) / TAU).collect();
        let turn = |item: usize, speed: f64| {
            let turns = item as f64 * speed;
            sin_cos_turn(((turns - turns.floor()) * 4_294_967_296.0) as u64 as u32)
        };
        let all = (0..items).flat_map(|item| speed.iter().map(move |s| turn(item, *s))).collect();
        Self { all, size }
    }

    /// `(x₁ cos − x₂ sin, x₂ cos + x₁ sin)` for the pairs `(x₁, x₂)` of each head of each item of a row.
    fn turned(&self, row: &[f32], items: usize) -> Vec<f32> {
        let (mut y, pairs) = (row.to_vec(), self.size / 2);
        for (item, y) in y.chunks_exact_mut((row.len() / items.max(1)).max(1)).enumerate() {
            let own = &self.all[item * pairs..][..pairs];
            for head in y.chunks_exact_mut(self.size) {
                let (first, second) = head.split_at_mut(pairs);
                for ((a, b), (sin, cos)) in first.iter_mut().zip(second).zip(own) {
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
        y
    }
}
