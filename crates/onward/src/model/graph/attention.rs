//! Softmax attention. A row's numbers depend on that row alone, and each sum runs in the order of items or channels.

use super::carried::Past;
use super::node::Attention;
use super::rotary::Rotary;
use crate::kernel::{
    Attended, AttentionCredit, AttentionScratch, MOST_QUERIES, attend, attend_credit, exp, sin_cos_turn,
};
use crate::model::Act;
use crate::threads::prelude::*;

impl Attention {
    /// On queries, keys and values, and on how many items there are of these, if that is told. They follow after those of the `past`, if
    /// there is one, and become part of it.
    pub(super) fn of(self, inputs: Vec<Act>, past: Option<&mut Past>) -> Act {
        let mut inputs = inputs.into_iter().map(Act::whole);
        let (Some(mut q), Some(mut k), Some(v)) = (inputs.next(), inputs.next(), inputs.next()) else {
            return Act::default();
        };
        let length = inputs.next();
        let size = q.channels() / self.heads;
        let before = past.as_ref().map_or(vec![0], |past| past.items());
        if let Some(rotary) = self.rotary {
            let turns = Turns::new(rotary, &before, q.points().max(k.points()), size);
            (q, k) = (turns.turned(q, &before), turns.turned(k, &before));
        }
        let there = |row: usize| {
            length.as_ref().map_or(k.points(), |act| act.row(row % act.rows)[0] as usize).min(k.points())
        };
        let rows = [q.rows, k.rows, v.rows, length.as_ref().map_or(1, |act| act.rows), before.len()];
        let rows = rows.into_iter().max().unwrap_or(0);
        let past = past.map(|past| {
            past.append(rows, &k, &v, there);
            &*past
        });
        let mut y = Act::new(rows, q.shape, vec![0.0; rows * q.width()]);
        y.data.par_chunks_mut(q.width()).enumerate().for_each(|(row, out)| {
            let own = there(row) * k.channels();
            let (keys, values) = match past {
                Some(past) => past.row(row),
                None => (&k.row(row % k.rows)[..own], &v.row(row % v.rows)[..own]),
            };
            if !keys.is_empty() {
                let on = Attended { keys, values, stride: k.channels(), scale: 1.0 / (size as f32).sqrt() };
                self.row(q.row(row % q.rows), on, [before[row % before.len()], size], out);
            }
        });
        y
    }

    /// What each number of queries, keys and values earns by what the answers earn, `g`: rows of credit are those of the operands over and over.
    pub(crate) fn credit(self, inputs: &[&Act], g: &[f32]) -> [Vec<f32>; 3] {
        let own = |act: &Act| act.clone().whole();
        let ([mut q, mut k, v], length) =
            ([0, 1, 2].map(|i| own(inputs[i])), inputs.get(3).map(|act| own(act)));
        let (size, answers) = (q.channels() / self.heads, q.width());
        let turns = self.rotary.map(|rotary| Turns::new(rotary, &[0], q.points().max(k.points()), size));
        if let Some(turns) = &turns {
            (q, k) = (turns.turned(q, &[0]), turns.turned(k, &[0]));
        }
        let rows = g.len() / answers.max(1);
        let [mut by_q, mut by_k, mut by_v] = [&q, &k, &v].map(|act| vec![0.0; rows * act.width()]);
        let there = |row: usize| {
            length.as_ref().map_or(k.points(), |act| act.row(row % act.rows)[0] as usize).min(k.points())
        };
        let both = by_k.par_chunks_mut(k.width().max(1)).zip(by_v.par_chunks_mut(v.width().max(1)));
        let each = by_q.par_chunks_mut(answers.max(1)).zip(both).zip(g.par_chunks(answers.max(1)));
        each.enumerate().for_each(|(row, ((by_q, (by_k, by_v)), g))| {
            let rows = [q.row(row % q.rows), k.row(row % k.rows), v.row(row % v.rows), g];
            self.credit_of_row(rows, [there(row), size, k.channels()], [by_q, by_k, by_v]);
        });
        if let Some(turns) = &turns {
            turns.turned_back(&mut by_q, q.width(), q.channels());
            turns.turned_back(&mut by_k, k.width(), k.channels());
        }
        [by_q, by_k, by_v]
    }

    /// One row, a head of keys and values after the other.
    fn credit_of_row(
        self,
        [q, k, v, g]: [&[f32]; 4],
        [there, size, stride]: [usize; 3],
        [by_q, by_k, by_v]: [&mut [f32]; 3],
    ) {
        let (width, shared) = (self.heads * size, self.heads * size / stride);
        let items = q.len() / width;
        if there == 0 {
            return;
        }
        let seen: Vec<usize> = (0..items)
            .flat_map(|item| {
                let sees = if self.causal { (item + 1).min(there) } else { there };
                std::iter::repeat_n(sees, shared)
            })
            .collect();
        let (mut own, mut told) = (vec![0.0; items * shared * size], vec![0.0; items * shared * size]);
        let mut queries = own.clone();
        for head in 0..stride / size {
            let channels = head * shared * size..(head + 1) * shared * size;
            let picked = |from: &[f32], to: &mut [f32]| {
                let rows = from.chunks_exact(width).zip(to.chunks_exact_mut(channels.len()));
                rows.for_each(|(from, to)| to.copy_from_slice(&from[channels.clone()]));
            };
            picked(q, &mut own);
            picked(g, &mut told);
            let at = head * size;
            let on = Attended { keys: &k[at..], values: &v[at..], stride, scale: 1.0 / (size as f32).sqrt() };
            let (mut keys, mut values) = (vec![0.0; there * size], vec![0.0; there * size]);
            let of = AttentionCredit { queries: &mut queries, keys: &mut keys, values: &mut values };
            attend_credit(of, &own, &seen, on, &told);
            let rows = by_q.chunks_exact_mut(width).zip(queries.chunks_exact(channels.len()));
            rows.for_each(|(by_q, own)| by_q[channels.clone()].copy_from_slice(own));
            for (by, own) in [(&mut *by_k, &keys), (&mut *by_v, &values)] {
                let rows = by.chunks_exact_mut(stride).zip(own.chunks_exact(size));
                rows.for_each(|(by, own)| by[at..at + size].copy_from_slice(own));
            }
        }
    }

    /// One row's queries, the first of which stands at the item `first`.
    fn row(self, q: &[f32], on: Attended<'_>, [first, size]: [usize; 2], out: &mut [f32]) {
        let (width, shared) = (self.heads * size, self.heads * size / on.stride);
        let items = MOST_QUERIES / shared.min(MOST_QUERIES);
        let blocks = q.par_chunks(items * width).zip(out.par_chunks_mut(items * width)).enumerate();
        blocks.for_each_init(AttentionScratch::default, |scratch, (block, (q, out))| {
            self.block(q, on, [first + block * items, size, shared], scratch, out);
        });
    }

    /// The queries of some items. Those of a head of keys and values, whose channels stand side by side, are worked on together.
    fn block(
        self,
        q: &[f32],
        on: Attended<'_>,
        [first, size, shared]: [usize; 3],
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        let (width, others) = (self.heads * size, on.keys.len() / on.stride);
        let mut queries = Vec::new();
        let (mut answers, mut seen) = (Vec::new(), Vec::new());
        for head in (0..self.heads).step_by(shared) {
            let at = head / shared * size;
            let on = Attended { keys: &on.keys[at..], values: &on.values[at..], ..on };
            for head in (head..head + shared).step_by(MOST_QUERIES) {
                let count = (shared - head % shared).min(MOST_QUERIES);
                let own = head * size..(head + count) * size;
                queries.clear();
                seen.clear();
                for (item, q) in q.chunks_exact(width).enumerate() {
                    queries.extend_from_slice(&q[own.clone()]);
                    let sees = if self.causal { (first + item + 1).min(others) } else { others };
                    seen.extend(std::iter::repeat_n(sees, count));
                }
                answers.resize(queries.len(), 0.0);
                attend(&mut answers, &queries, &seen, on, scratch);
                let rows = out.chunks_exact_mut(width).zip(answers.chunks_exact(own.len()));
                rows.for_each(|(out, answers)| out[own.clone()].copy_from_slice(answers));
            }
        }
    }
}

/// Shares that add up to one, in place of their logits.
pub(crate) fn softmax(weights: &mut [f32]) {
    let largest = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for weight in &mut *weights {
        *weight = exp(*weight - largest);
        sum += *weight;
    }
    weights.iter_mut().for_each(|w| *w /= sum);
}

/// Sines and cosines of the rotations of some items' pairs of channels.
struct Turns {
    /// `[item][pair]`
    all: Vec<(f32, f32)>,
    /// The numbers of the items, ascending.
    items: Vec<usize>,
    /// Channels of a head.
    size: usize,
}

impl Turns {
    /// Of so many items from each of the numbers `begin` on.
    fn new(rotary: Rotary, begin: &[usize], count: usize, size: usize) -> Self {
        let mut begins = begin.to_vec();
        begins.sort_unstable();
        let mut items: Vec<usize> = Vec::new();
        for begin in begins {
            // What rows share is found once.
            let from = items.last().map_or(begin, |last| begin.max(last + 1));
            items.extend(from..begin + count);
        }

        let (speed, by) = (rotary.speeds(size), rotary.size());
        let turn = |item: usize, speed: f64| {
            let turns = item as f64 * speed;
            let (sin, cos) = sin_cos_turn(((turns - turns.floor()) * 4_294_967_296.0) as u64 as u32);
            if by == 1.0 { (sin, cos) } else { (sin * by, cos * by) }
        };
        let all = items.iter().flat_map(|item| speed.iter().map(|s| turn(*item, *s))).collect();
        Self { all, items, size }
    }

    /// `(x₁ cos − x₂ sin, x₂ cos + x₁ sin)` for the pairs `(x₁, x₂)` of each head of each item of all rows, row `r` of which begins at item
    /// `begin[r]`; there are as many rows as of these, or they repeat.
    fn turned(&self, act: Act, begin: &[usize]) -> Act {
        let missing = begin.len() > act.rows && begin.iter().any(|b| *b != begin[0]);
        let mut y = if missing { act.repeat(begin.len() / act.rows.max(1)) } else { act };
        let channels = y.channels();
        y.rectified = false;
        y.data.par_chunks_mut(y.shape.iter().product()).enumerate().for_each(|(row, y)| {
            let first = self.items.partition_point(|item| *item < begin[row % begin.len()]);
            self.turn(y, channels, first, 1.0);
        });
        y
    }

    /// What numbers of rows of this width earn, from what they earn once turned.
    fn turned_back(&self, g: &mut [f32], width: usize, channels: usize) {
        g.par_chunks_mut(width.max(1)).for_each(|g| self.turn(g, channels, 0, -1.0));
    }

    /// Turns the pairs of a row whose items begin with that at place `first`, the other way round where `way` is −1.
    fn turn(&self, row: &mut [f32], channels: usize, first: usize, way: f32) {
        let pairs = self.size / 2;
        for (item, y) in row.chunks_exact_mut(channels).enumerate() {
            let own = &self.all[(first + item) * pairs..][..pairs];
            for head in y.chunks_exact_mut(self.size) {
                let (first, second) = head.split_at_mut(pairs);
                for ((a, b), (sin, cos)) in first.iter_mut().zip(second).zip(own) {
                    let sin = way * sin;
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}
