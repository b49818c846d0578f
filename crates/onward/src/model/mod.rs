//! Models: plain forward code over a [`Context`], cut into stages.
//!
//! A stage ends with a linear map (a product, a convolution, pooling, a normalisation, or a sum of such): its output is
//! where activation-space probes act, and the next stage begins with the non-linearity. So any suffix of a model can be
//! run from a stage's cached output.

mod act;
mod chain;
mod context;
mod dense;
mod digest;
mod low_rank;
mod norm;
mod numbers;
mod operation;
mod outline;
mod probe;
mod spread;
mod trace;
mod weights;

pub use act::Act;
pub use chain::{Activation, Conv, GlobalPool, Mlp};
pub use context::Context;
pub(crate) use low_rank::{Crowd, Neighbours};
pub(crate) use norm::NORM_EPSILON;
pub(crate) use numbers::Homes;
pub use numbers::{Home, Numbers};
pub use operation::Operation;
pub(crate) use outline::{Map, Outline};
pub use probe::{Member, Probe, TensorKeys, WeightSpace};
pub(crate) use spread::{Pairs, Spread};
pub use trace::{After, Link, LinkKind, Norms, Statistics, Trace};
pub use weights::Weights;
pub(crate) use weights::{Packing, Spare};

use crate::params::TensorSpec;

/// A model as a chain of stages.
///
/// What is declared and what the stages do are compared when a trainer or evaluator first meets an input's shape: one row of
/// zeros is sent through all stages. An error then names the stage and the tensor where names, shapes, widths or counts
/// differ. So a stage asks for all its tensors whatever its input is, and chooses afterwards.
pub trait Model: Send + Sync {
    /// The tensors that the stages ask the context for, each by at least one stage.
    fn tensors(&self) -> Vec<TensorSpec>;
    /// How many stages there are.
    fn stages(&self) -> usize;
    /// Stage `stage` on the rows `x`: the model's input for stage 0, else the output of the stage before.
    fn stage(&self, stage: usize, cx: &mut Context<'_>, x: Act) -> Act;
    /// Numbers in one row of a stage's output.
    fn width(&self, stage: usize) -> usize;
    /// Floating-point operations of one row through one stage (a multiply-add counts as two): those of its products at least.
    fn flops(&self, stage: usize) -> u64;
    /// The value below which the rest of the model sees no difference between two numbers of a stage's output (0 where a
    /// ReLU comes next); `None` where there is none.
    fn blind_below(&self, _stage: usize) -> Option<f32> {
        None
    }

    /// Whether the stage works on its input through the operations of [`Act`] and [`Context`] alone and never looks at its
    /// numbers or rows itself. Then the context may hand it few rows that stand for many, which is many times faster.
    fn by_operations(&self, stage: usize) -> bool {
        let _ = stage;
        false
    }

    /// What the stage does as a list of operations, where it is nothing but that; running them one after the other gives the
    /// bits of [`Model::stage`]. A model without such lists is only slower under methods that change one weight at a time.
    fn operations(&self, stage: usize) -> Option<Vec<Operation>> {
        let _ = stage;
        None
    }

    /// All stages from `first` on.
    fn forward_from(&self, first: usize, cx: &mut Context<'_>, x: Act) -> Act {
        (first..self.stages()).fold(x, |x, stage| {
            cx.relu_follows = stage + 1 < self.stages() && relu_follows(self, stage);
            let y = self.stage(stage, cx, x);
            cx.relu_follows = false;
            y
        })
    }
}

/// Whether a stage ends with its only linear map and the next one begins with a ReLU: the map's product may take it then.
fn relu_follows<M: Model + ?Sized>(model: &M, stage: usize) -> bool {
    let linear = |o: &Operation| matches!(o, Operation::Linear(_));
    model
        .operations(stage)
        .is_some_and(|list| list.last().is_some_and(linear) && list.iter().filter(|o| linear(o)).count() == 1)
        && model
            .operations(stage + 1)
            .is_some_and(|list| list.first() == Some(&Operation::Activation(Activation::Relu)))
}
