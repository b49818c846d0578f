//! What a clean pass leaves behind: what entered the linear maps, and the statistics of normalisations.

use super::Act;
use crate::kernel::all_finite;
use crate::params::Tensor;
use crate::threads::prelude::*;

/// The mean and variance of each channel at one batch normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The name of the normalisation.
    pub layer: String,
    /// One mean per channel.
    pub mean: Vec<f32>,
    /// One variance per channel.
    pub variance: Vec<f32>,
}

impl Statistics {
    /// The statistics as tensors, under the names that PyTorch gives them: `{layer}.running_mean` and `{layer}.running_var`.
    pub fn tensors(&self) -> [Tensor; 2] {
        [("running_mean", &self.mean), ("running_var", &self.variance)].map(|(part, data)| Tensor {
            name: format!("{}.{part}", self.layer),
            shape: vec![data.len()],
            data: data.clone().into(),
        })
    }
}

/// The source of a batch normalisation's statistics.
#[derive(Clone, Copy)]
pub enum Norms<'a> {
    /// The rows of the batch, for each member separately.
    Batch,
    /// Statistics taken before, so that each row is independent of the others.
    Fixed(&'a [Statistics]),
}

/// Numbers that one task looks at.
const PIECE: usize = 1 << 15;

/// The record of a clean pass that is needed to credit derivatives at its sites to the params.
#[derive(Default)]
pub(crate) struct Trace {
    inputs: Vec<Input>,
    /// The last node at and before which nothing is kept; 0 if all is.
    after: usize,
    /// Statistics of batch normalisations, in order.
    pub statistics: Vec<Statistics>,
}

/// What entered a linear map.
struct Input {
    /// The map's node in the graph.
    node: usize,
    /// For a normalisation: the normalised input.
    rows: Act,
    /// For a batch normalisation: the factor per channel that it applied.
    factors: Vec<f32>,
}

impl Trace {
    /// A record of what enters maps behind a node.
    pub fn behind(after: usize) -> Self {
        Self { after, ..Self::default() }
    }

    pub(crate) fn keep(&mut self, node: usize, rows: Act, factors: Vec<f32>) {
        if node > self.after {
            self.inputs.push(Input { node, rows, factors });
        }
    }

    fn of(&self, node: usize) -> Option<&Input> {
        self.inputs.iter().find(|input| input.node == node)
    }

    /// What entered the linear map at `node` (for a normalisation: the normalised input), if it was run.
    pub(crate) fn input(&self, node: usize) -> Option<&Act> {
        self.of(node).map(|input| &input.rows)
    }

    /// The factor per channel that the batch normalisation at `node` applied.
    pub(crate) fn factors(&self, node: usize) -> &[f32] {
        self.of(node).map_or(&[], |input| &input.factors)
    }

    /// Puts 0 where an input is not finite: a sample that overflowed earns no credit, and 0 · ∞ must not spoil the others'.
    pub(crate) fn silence_overflow(&mut self) {
        // Numbers that others look at are copied when they are written to: that is for the rare ones that have to be.
        let spoilt = |input: &&mut Input| !input.rows.data.par_chunks(PIECE).all(all_finite);
        for input in self.inputs.iter_mut().filter(spoilt) {
            input.rows.data.par_chunks_mut(PIECE).for_each(|piece| {
                piece.iter_mut().for_each(|v| *v = if v.is_finite() { *v } else { 0.0 });
            });
        }
    }
}

/// What may follow a linear map on the way to its site.
pub(crate) enum After {
    /// A 2×2 average pool of maps of this `[height, width]`.
    Pool([usize; 2]),
    /// The batch normalisation at this node.
    Norm(usize),
}

/// The kinds of maps that are linear in their tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// `x Wᵀ + b` at every position.
    Linear,
    /// A 3×3 convolution.
    Conv,
    /// `x Wᵀ + b` of groups of channels at every position, each with outputs of its own.
    Grouped,
    /// `γ x̂ + β` per channel.
    Norm,
    /// The row of a matrix that each number names.
    Embed,
}
