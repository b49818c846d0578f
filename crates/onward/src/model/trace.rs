//! What a clean pass leaves behind: the linear maps in a stage's output, and the statistics of normalisations.

use super::Act;
use crate::kernel::all_finite;
use crate::threads::prelude::*;

/// Mean and variance of each channel at one normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The layer's name.
    pub layer: String,
    /// One mean per channel.
    pub mean: Vec<f32>,
    /// One variance per channel.
    pub variance: Vec<f32>,
}

/// Where a normalisation takes its statistics from.
#[derive(Clone, Copy)]
pub enum Norms<'a> {
    /// From the rows at hand, each member's alone.
    Batch,
    /// From statistics taken before: each row stands alone.
    Fixed(&'a [Statistics]),
}

/// Numbers that one task looks at.
const PIECE: usize = 1 << 15;

/// What a clean pass through a stage leaves behind for crediting its output's derivative to its params.
#[derive(Default)]
pub struct Trace {
    /// Linear maps, in the order of their calls.
    pub links: Vec<Link>,
    /// Statistics of normalisations, in the order of their calls.
    pub statistics: Vec<Statistics>,
}

impl Trace {
    /// Puts 0 where an input is not finite: a sample that overflowed earns no credit, and 0 · ∞ must not spoil the others'.
    pub(crate) fn silence_overflow(&mut self) {
        // Numbers that others look at are copied when they are written to: that is for the rare ones that have to be.
        let spoilt = |link: &&mut Link| !link.input.data.par_chunks(PIECE).all(all_finite);
        for link in self.links.iter_mut().filter(spoilt) {
            link.input.data.par_chunks_mut(PIECE).for_each(|piece| {
                piece.iter_mut().for_each(|v| *v = if v.is_finite() { *v } else { 0.0 });
            });
        }
    }
}

/// One linear map that a stage's output contains.
pub struct Link {
    /// What kind of map.
    pub kind: LinkKind,
    /// Its input (for a normalisation: the normalised input).
    pub input: Act,
    /// Index of its weight (for a normalisation: the scale).
    pub weight: usize,
    /// Index of its bias, if there is one.
    pub bias: Option<usize>,
    /// The linear maps without weights of their own that followed, in order.
    pub after: Vec<After>,
}

/// What may follow a linear map inside a stage.
pub enum After {
    /// A 2×2 average pool of maps of this `[height, width]`.
    Pool([usize; 2]),
    /// The normalisation with this index among the links, and the factor per channel that it applied.
    Norm(usize, Vec<f32>),
}

/// The kinds of linear maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// `x Wᵀ + b` at every position.
    Linear,
    /// A 3×3 convolution.
    Conv,
    /// `γ x̂ + β` per channel.
    Norm,
}
