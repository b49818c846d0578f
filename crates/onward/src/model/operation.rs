//! What a stage does, as a list: for evaluators that work out only what a change of one weight changes.

use super::{Act, Activation, Context};

/// One operation on whole rows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Every number through a function.
    Activation(Activation),
    /// 2×2 pooling by the largest.
    MaxPool,
    /// 2×2 pooling by the mean.
    AveragePool,
    /// Each channel's mean over its positions.
    GlobalAverage,
    /// Each channel's largest.
    GlobalMax,
    /// All positions side by side.
    Flatten,
    /// [`Context::linear`] with the layer of this name.
    Linear(String),
    /// [`Context::conv3x3`].
    Conv3x3(String),
    /// [`Context::batch_norm`].
    BatchNorm(String),
}

impl Operation {
    /// The operation on `x`.
    ///
    /// # Panics
    /// As the operation of the context does.
    #[must_use]
    pub fn run(&self, cx: &mut Context<'_>, x: Act) -> Act {
        match self {
            Self::Activation(activation) => activation.apply(x),
            Self::MaxPool => x.max_pool(),
            Self::AveragePool => cx.average_pool(&x),
            Self::GlobalAverage => x.global_average(),
            Self::GlobalMax => x.global_max(),
            Self::Flatten => x.flatten(),
            Self::Linear(layer) => cx.linear(layer, &x),
            Self::Conv3x3(layer) => cx.conv3x3(layer, &x),
            Self::BatchNorm(layer) => cx.batch_norm(layer, x),
        }
    }
}
