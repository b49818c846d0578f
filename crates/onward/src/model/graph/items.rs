//! Operations at single positions: lookups, normalisation and scale of channels, sums and products of two, cuts and joints of
//! channels, and code of one's own. Where operands have fewer rows than others, they repeat: one clean row for all members.

use super::Graph;
use super::node::{Norm, Op, RowOp, Shape};
use crate::dataset::NO_ITEM;
use crate::model::low_rank::add_noise_of_row;
use crate::model::{Act, Context, LinkKind, Map};
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Result};
use std::ops::Range;

/// Rows of one task.
const ROWS: usize = 16;

/// Whether `word` is the number of one of so many words.
fn names(word: f32, words: usize) -> bool {
    word >= 0.0 && word < words as f32 && word.fract() == 0.0
}

impl Graph {
    /// Checks that what embeddings look up in the model's input, rows of which lie in `x`, names words that they have, or none ([`NO_ITEM`]); and that
    /// all numbers are within what the model takes ([`super::Builder::input_within`]).
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming row, item and tensor.
    pub(crate) fn check_input(&self, x: &[f32]) -> Result<()> {
        let tables = self.nodes.iter().filter_map(|node| match node.op {
            Op::Embed { weight } if matches!(self.nodes[node.inputs[0]].op, Op::Input) => {
                Some(&self.specs[weight])
            }
            _ => None,
        });
        let items = self.nodes[0].shape.iter().product::<usize>().max(1);
        if let Some([low, high]) = self.within
            && let Some(at) = x.iter().position(|v| !(low..=high).contains(v))
        {
            let place = format!("row {}, item {}", at / items, at % items);
            let expected = format!(
                "a number from {low} to {high}, as the model takes no others (data.scale and data.center say what becomes of the file's)"
            );
            return Err(Error::expected(ErrorKind::Data, place, expected, x[at]));
        }
        for table in tables {
            let words = table.shape[0];
            if let Some(at) = x.iter().position(|word| *word != NO_ITEM && !names(*word, words)) {
                let place = format!("row {}, item {}", at / items, at % items);
                let expected = format!("one of the {words} words of {}, numbered from 0", table.name);
                return Err(Error::expected(ErrorKind::Data, place, expected, x[at]));
            }
        }
        Ok(())
    }
}

impl Context<'_> {
    /// The row of a matrix that each number of `x` names: zeros where there is no item, not finite where else it names none.
    pub(super) fn embed(&mut self, node: usize, weight: usize, x: &Act) -> Act {
        let table = &self.weights.params().tensors()[weight];
        let (words, width) = (table.shape[0], table.shape[1]);
        let own = self.rows_for(Map { kind: LinkKind::Embed, weight, bias: None }, x.clone());
        let shape = [x.shape[0], x.shape[1], width];
        let mut y = Act::of(own.rows, shape, self.buffers.take(own.data.len() * width));
        let per_member = self.rows_per_member.min(own.rows).max(1) * own.width();
        let places = y.data.par_chunks_mut(width).zip(own.data.par_chunks(1)).enumerate();
        places.with_min_len(ROWS).for_each(|(place, (out, word))| {
            let word = word[0];
            if word == NO_ITEM {
                out.fill(0.0);
                return;
            }
            if !names(word, words) {
                out.fill(f32::NAN);
                return;
            }
            let word = word as usize;
            table.data.read(word * width, out);
            if let Some(probe) = &self.probe
                && let Some(member) = probe.members.get(place / per_member)
            {
                add_noise_of_row(self.weights, probe, weight, *member, word, out);
            }
        });
        if let Some(trace) = &mut self.trace {
            trace.keep(node, own, Vec::new());
        }
        y
    }

    /// `γ x + β` for each position's channels.
    pub(super) fn scaled(&mut self, node: usize, weight: usize, bias: Option<usize>, x: Act) -> Act {
        let mut y = self.rows_for(Map { kind: LinkKind::Norm, weight, bias }, x);
        if let Some(trace) = &mut self.trace {
            trace.keep(node, y.clone(), Vec::new());
        }
        let channels = y.channels();
        let member = (self.rows_per_member.min(y.rows).max(1) * y.width()).max(1);
        for (i, block) in y.data.chunks_mut(member).enumerate() {
            let (gamma, beta) = (self.vector(weight, i), bias.map(|bias| self.vector(bias, i)));
            block.par_chunks_mut(channels).with_min_len(ROWS).for_each(|x| match &beta {
                Some(beta) => {
                    x.iter_mut().zip(&gamma).zip(beta).for_each(|((x, g), b)| *x = x.mul_add(*g, *b));
                }
                None => x.iter_mut().zip(&gamma).for_each(|(x, g)| *x *= g),
            });
        }
        y.rectified = false;
        y
    }
}

impl Act {
    /// Each position's channels divided by their size.
    pub(super) fn normalised(self, norm: Norm, epsilon: f32) -> Self {
        let channels = self.channels();
        let mut y = self.whole();
        y.rectified = false;
        y.data.par_chunks_mut(channels.max(1)).with_min_len(ROWS).for_each(|x| {
            let n = x.len() as f64;
            let mean = match norm {
                Norm::Layer => x.iter().map(|v| f64::from(*v)).sum::<f64>() / n,
                Norm::Rms => 0.0,
            };
            let square = |v: &f32| (f64::from(*v) - mean) * (f64::from(*v) - mean);
            let variance = x.iter().map(square).sum::<f64>() / n;
            let factor = 1.0 / (variance + f64::from(epsilon)).sqrt();
            x.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) * factor) as f32);
        });
        y
    }

    /// The product, number by number.
    pub(super) fn times(self, other: &Self) -> Self {
        if self.spread.is_some() || other.spread.is_some() {
            return self.whole().times(&other.clone().whole());
        }
        if other.rows > self.rows {
            return other.clone().times(&self);
        }
        let mut y = self;
        y.rectified = false;
        for block in y.data.chunks_mut(other.data.len().max(1)) {
            block.iter_mut().zip(other.data.iter()).for_each(|(a, b)| *a *= *b);
        }
        y
    }

    /// Some channels of each position.
    pub(super) fn channels_of(self, range: Range<usize>) -> Self {
        let x = self.whole();
        let picked = x.data.chunks_exact(x.channels()).flat_map(|x| &x[range.clone()]).copied().collect();
        Self::new(x.rows, [x.shape[0], x.shape[1], range.len()], picked)
    }

    /// All channels of each position.
    pub(super) fn side_by_side(all: Vec<Self>, shape: Shape) -> Self {
        let all: Vec<Self> = all.into_iter().map(Self::whole).collect();
        let rows = all.iter().map(Self::rows).max().unwrap_or(0);
        let mut data = Vec::with_capacity(rows * shape.iter().product::<usize>());
        for place in 0..rows * shape[0] * shape[1] {
            for part in &all {
                let c = part.channels();
                data.extend_from_slice(&part.data[place * c % part.data.len()..][..c]);
            }
        }
        Self::new(rows, shape, data)
    }

    /// Each row through code of someone's own.
    pub(super) fn by_rows(op: &dyn RowOp, all: Vec<Self>, shape: Shape) -> Self {
        let all: Vec<Self> = all.into_iter().map(Self::whole).collect();
        let rows = all.iter().map(Self::rows).max().unwrap_or(0);
        let width: usize = shape.iter().product();
        let mut y = Self::new(rows, shape, vec![0.0; rows * width]);
        y.data.par_chunks_mut(width).enumerate().with_min_len(ROWS).for_each(|(row, out)| {
            let inputs: Vec<&[f32]> = all.iter().map(|act| act.row(row % act.rows)).collect();
            op.run(&inputs, out);
        });
        y
    }
}
