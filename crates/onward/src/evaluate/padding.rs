//! Rows of tokens without the places that none of them has an item in, for nets that ignore these ([`crate::model::Builder::ignores_padding`]): what they
//! answer and what they learn keeps its bits, as nothing is added to sums but zeros.

use super::Local;
use crate::Result;
use crate::dataset::NO_ITEM;
use crate::model::{Act, Context, Graph, Norms, Statistics};
use crate::params::Params;
use crate::rows::Source;

/// Lengths are multiples of this, so that there are not as many graphs as lengths.
const UNIT: usize = 4;
/// Items of rows that are answered at once outside training.
const AT_ONCE: usize = 4096;

/// How many items a row has.
fn length(row: &[f32]) -> usize {
    row.iter().rposition(|item| *item != NO_ITEM).map_or(0, |last| last + 1)
}

/// Some of the rows of `features`, `items` each, without the places behind `length`, in whole units.
fn cut<'a>(rows: impl ExactSizeIterator<Item = &'a [f32]>, items: usize, length: usize) -> Act {
    let length = length.next_multiple_of(UNIT).clamp(1, items);
    let count = rows.len();
    Act::new(count, [1, length, 1], rows.flat_map(|row| &row[..length]).copied().collect())
}

impl Local {
    /// The rows of a batch, without the places behind the last item that any of them has where the net ignores these.
    pub(super) fn without_padding(&self, x: Act) -> Result<Act> {
        let items = x.shape()[1];
        if x.rows() == 0 || !self.graph(x.shape())?.ignores_padding() {
            return Ok(x);
        }
        let longest = x.data().chunks_exact(items).map(length).max().unwrap_or(0);
        Ok(cut(x.data().chunks_exact(items), items, longest))
    }

    /// The ids of a batch's rows, each half of it by their lengths where the net ignores padding: pieces of it then have rows of about one length. The
    /// halves stay what they are, as their angle tells signal from noise.
    pub(super) fn by_length(&self, mut ids: Vec<u64>, data: &dyn Source) -> Result<Vec<u64>> {
        if !self.graph(data.schema().shape())?.ignores_padding() {
            return Ok(ids);
        }
        let rows = data.read(&ids)?;
        let mut order: Vec<usize> = (0..ids.len()).collect();
        let (first, second) = order.split_at_mut(ids.len() / 2);
        [first, second].into_iter().for_each(|half| half.sort_by_key(|row| length(rows.data().row(*row))));
        let by_place = ids.clone();
        ids.iter_mut().zip(order).for_each(|(id, row)| *id = by_place[row]);
        Ok(ids)
    }

    /// What a net that ignores padding answers to rows, those of about one length at once.
    pub(super) fn outputs_by_length(
        &self,
        params: &Params,
        features: &[f32],
        graph: &Graph,
        statistics: &[Statistics],
    ) -> Result<Vec<f32>> {
        let (items, width) = (graph.input_shape()[1], graph.outputs());
        let rows: Vec<&[f32]> = features.chunks_exact(items).collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|row| length(rows[*row]));
        let mut outputs = vec![0.0; rows.len() * width];
        let weights = self.packed(params);
        let mut left = &order[..];
        while let Some(shortest) = left.first() {
            let most = (AT_ONCE / length(rows[*shortest]).max(1)).clamp(1, left.len());
            let (own, rest) = left.split_at(most);
            left = rest;
            let longest = own.last().map_or(0, |row| length(rows[*row]));
            let x = cut(own.iter().map(|row| rows[*row]), items, longest);
            let graph = self.graph(x.shape())?;
            graph.check_input(x.data())?;
            let answers =
                self.run(|| graph.forward(&mut Context::clean(&weights, Norms::Fixed(statistics)), x));
            for (row, answer) in own.iter().zip(answers.data().chunks_exact(width)) {
                outputs[row * width..][..width].copy_from_slice(answer);
            }
        }
        Ok(outputs)
    }
}
