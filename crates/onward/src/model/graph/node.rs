//! What a graph is made of.

use super::chance::Draw;
use super::function::Function;
use super::rotary::Rotary;
use super::rows::Rowwise;
use crate::Result;
use crate::model::{Activation, LinkKind, NORM_EPSILON};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// `[height, width, channels]` of a row: `[1, 1, n]` for vectors, `[1, items, n]` for items in a row, such as tokens.
pub type Shape = [usize; 3];

/// One operation, with what it works on and the shape of a row of its answer.
pub(crate) struct Node {
    pub op: Op,
    /// Nodes before this one.
    pub inputs: Vec<usize>,
    pub shape: Shape,
}

/// The kinds of operations; tensors by their index.
#[derive(Clone)]
pub(crate) enum Op {
    Input,
    Map(Activation),
    MaxPool,
    AveragePool,
    GlobalAverage,
    GlobalMax,
    Flatten,
    Linear {
        weight: usize,
        bias: Option<usize>,
    },
    Conv3x3 {
        weight: usize,
        bias: Option<usize>,
    },
    Grouped {
        weight: usize,
        bias: Option<usize>,
    },
    Embed {
        weight: usize,
    },
    BatchNorm {
        layer: String,
        weight: usize,
        bias: usize,
    },
    Normalise(Norm, f32),
    Scale {
        weight: usize,
        bias: Option<usize>,
    },
    Add,
    Multiply,
    Concat,
    Channels(Range<usize>),
    Attention(Attention),
    Apply(Function),
    Reshape,
    Constant(Arc<[f32]>),
    /// The number of each item among all of its row, those of pieces before it included.
    Positions,
    Carry(String),
    Noise(Draw),
    /// What the model answers with, one named part after the other.
    Outputs(Vec<(String, Range<usize>)>),
    Rows(Rowwise),
    Host(Arc<dyn RowOp>),
}

/// The kind of normalisation over the channels of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Their standard deviation, their mean being subtracted first.
    Layer,
    /// Their root mean square.
    Rms,
}

/// The settings of an attention operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// The number of heads that the queries' channels are split into.
    pub heads: usize,
    /// Whether an item attends only to itself and the items before it.
    pub causal: bool,
    /// The rotations by which queries and keys know their positions; `None` for no positions.
    pub rotary: Option<Rotary>,
}

/// A custom operation on rows, in Rust code.
///
/// [`RowOp::name`] and [`RowOp::shape`] are asked where the graph is built, whose error ends that; [`RowOp::run`] is called in every forward
/// pass, for clean rows and for those that probes have moved, and cannot fail: it answers with what is not finite where there is no answer.
///
/// ```
/// # use onward::model::{RowOp, Shape};
/// /// The first of two rows where the gate's first number is the larger, else the second.
/// struct Choose;
/// impl RowOp for Choose {
///     fn name(&self) -> &str {
///         "choose 1"
///     }
///     fn shape(&self, inputs: &[Shape]) -> onward::Result<Shape> {
///         Ok(inputs[1])
///     }
///     fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
///         output.copy_from_slice(inputs[if inputs[0][0] > inputs[0][1] { 1 } else { 2 }]);
///     }
/// }
/// ```
pub trait RowOp: Send + Sync {
    /// A name that changes with what the operation does, such as `"top-k 2"`: the graph's digest tells two models apart by it.
    fn name(&self) -> &str;

    /// The shape of a row of the answer, from those of the inputs; asked where the graph is built.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Model`] if inputs of these shapes make no sense.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape>;

    /// One row of the answer, from a row of each input. Called from many threads for rows in any order: what it answers may depend on
    /// nothing else. Numbers that are not finite are allowed and count as the worst loss in the end.
    fn run(&self, inputs: &[&[f32]], output: &mut [f32]);
}

/// A use of tensors by a linear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    pub kind: LinkKind,
    /// Index of its weight (for a normalisation: the scale).
    pub weight: usize,
    /// Index of its bias, if there is one.
    pub bias: Option<usize>,
}

impl Map {
    /// The tensors of a map: its weight, then its bias if it has one.
    pub fn tensors(self) -> impl Iterator<Item = usize> {
        std::iter::once(self.weight).chain(self.bias)
    }
}

impl Op {
    /// The tensors, if there are any: then the answer is a linear function of them.
    pub fn map(&self) -> Option<Map> {
        let (kind, weight, bias) = match *self {
            Self::Linear { weight, bias } => (LinkKind::Linear, weight, bias),
            Self::Conv3x3 { weight, bias } => (LinkKind::Conv, weight, bias),
            Self::Grouped { weight, bias } => (LinkKind::Grouped, weight, bias),
            Self::Embed { weight } => (LinkKind::Embed, weight, None),
            Self::BatchNorm { weight, bias, .. } => (LinkKind::Norm, weight, Some(bias)),
            Self::Scale { weight, bias } => (LinkKind::Norm, weight, bias),
            _ => return None,
        };
        Some(Map { kind, weight, bias })
    }

    /// Whether a probe behind the operation tells what one before it would have told: it is linear in its input, and how it undoes
    /// itself is known. (Of a batch normalisation what the batch's statistics cancel is taken out.)
    pub fn passes(&self) -> bool {
        matches!(self, Self::Add | Self::AveragePool | Self::Flatten | Self::BatchNorm { .. })
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => write!(f, "input"),
            Self::Map(activation) => write!(f, "{}", activation.name()),
            Self::MaxPool => write!(f, "max pool 2x2"),
            Self::AveragePool => write!(f, "average pool 2x2"),
            Self::GlobalAverage => write!(f, "global average"),
            Self::GlobalMax => write!(f, "global maximum"),
            Self::Flatten => write!(f, "flatten"),
            Self::Linear { .. } => write!(f, "linear"),
            Self::Conv3x3 { .. } => write!(f, "convolution 3x3"),
            Self::Grouped { .. } => write!(f, "linear in groups"),
            Self::Embed { .. } => write!(f, "embedding"),
            Self::BatchNorm { .. } => write!(f, "batch norm"),
            Self::Normalise(norm, epsilon) => {
                let name = if *norm == Norm::Layer { "layer norm" } else { "rms norm" };
                if *epsilon == NORM_EPSILON {
                    write!(f, "{name}")
                } else {
                    write!(f, "{name}, epsilon {epsilon}")
                }
            }
            Self::Scale { .. } => write!(f, "scale"),
            Self::Add => write!(f, "add"),
            Self::Multiply => write!(f, "multiply"),
            Self::Concat => write!(f, "concat"),
            Self::Channels(range) => write!(f, "channels {}..{}", range.start, range.end),
            Self::Attention(Attention { heads, causal, rotary }) => {
                write!(f, "{}attention, {heads} heads", if *causal { "causal " } else { "" })?;
                rotary.map_or(Ok(()), |rotary| write!(f, ", {rotary}"))
            }
            Self::Apply(function) => write!(f, "{function}"),
            Self::Reshape => write!(f, "reshape"),
            Self::Constant(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                write!(f, "constant {}", blake3::hash(&bytes).to_hex())
            }
            Self::Positions => write!(f, "positions"),
            Self::Carry(name) => write!(f, "carry {name}"),
            Self::Noise(draw) => write!(f, "{draw}"),
            Self::Outputs(parts) => {
                let named =
                    parts.iter().map(|(name, range)| format!("{name} {}..{}", range.start, range.end));
                write!(f, "outputs {}", named.collect::<Vec<_>>().join(", "))
            }
            Self::Rows(rowwise) => write!(f, "{rowwise}"),
            Self::Host(op) => write!(f, "host {}", op.name()),
        }
    }
}
