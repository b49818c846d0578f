//! Operations without tensors that turn a row of each operand into a row of the answer: places moved and picked, sums over axes,
//! products of two, softmax. Every number of a row follows from that row alone, by sums in the order of places.

use super::attention::softmax;
use super::cell::{self, Lif};
use super::chance::categorical;
use super::function::{Pairwise, Reduction};
use super::node::Shape;
use super::patch::Patch;
use crate::kernel::{Panels, Start, exp64, fire, ln64, product};
use crate::model::Act;
use crate::threads::prelude::*;
use std::fmt;
use std::sync::Arc;

/// What becomes of a row of each operand.
#[derive(Clone)]
pub(crate) enum Rowwise {
    /// Axis `i` of the answer is axis `axes[i]` of the operand.
    Transpose([usize; 3]),
    /// These places along an axis.
    Pick { axis: usize, places: Arc<[usize]> },
    /// The places of all operands along an axis, one after the other.
    Join(usize),
    /// Axes of 1 repeated.
    Expand,
    /// Numbers along axes made one.
    Reduce { reduction: Reduction, axes: [bool; 3] },
    /// The items of the first operand that the second names.
    Gather,
    /// Matrix products, one for each place of the first axis.
    Products,
    /// A function of two numbers, place by place.
    Combine(Pairwise),
    /// The second where the first is not zero, else the third.
    Choose,
    /// Shares of the channels that add up to one.
    Softmax,
    /// Logarithms of these.
    LogSoftmax,
    /// The channels of all places of patches, group after group.
    Patches { patch: Patch, groups: usize },
    /// A step of [`super::cell::Cell::Lstm`] from gates and `c`.
    Lstm,
    /// A step of [`super::cell::Cell::Gru`] from both gates and `h`.
    Gru,
    /// A step of [`Builder::diagonal`](super::Builder::diagonal) from what comes in, `h`, and what the factors follow from.
    Diagonal,
    /// All steps of leaky neurons.
    Lif(Lif),
    /// A channel by chance, from logits and noise.
    Categorical,
    /// 1 at the channel that a number names, 0 at all others.
    OneHot,
    /// Each channel of the places of patches made one.
    Pool { reduction: Reduction, patch: Patch },
}

/// Rows of one task.
const ROWS: usize = 4;

impl Rowwise {
    /// The rows of the answer, whose shape is `shape`. Where operands have fewer rows than others, they repeat.
    pub(super) fn of(&self, inputs: Vec<Act>, shape: Shape) -> Act {
        let inputs: Vec<Act> = inputs.into_iter().map(Act::whole).collect();
        let rows = inputs.iter().map(Act::rows).max().unwrap_or(0);
        let shapes: Vec<Shape> = inputs.iter().map(Act::shape).collect();
        let width: usize = shape.iter().product();
        let mut y = Act::new(rows, shape, vec![0.0; rows * width]);
        y.data.par_chunks_mut(width.max(1)).enumerate().with_min_len(ROWS).for_each(|(row, out)| {
            let own: Vec<&[f32]> = inputs.iter().map(|act| act.row(row % act.rows)).collect();
            self.row(&shapes, &own, shape, out);
        });
        y
    }

    /// Whether an item of the answer follows from items at other places. Sums and items that are named may be of lengths, and cells take
    /// items apart.
    pub(super) fn mixes_items(&self) -> bool {
        match self {
            Self::Transpose(axes) => axes[1] != 1,
            Self::Reduce { axes, reduction } => axes[1] && *reduction != Reduction::Sum,
            Self::Products | Self::Patches { .. } | Self::Pool { .. } => true,
            _ => false,
        }
    }

    fn row(&self, shapes: &[Shape], inputs: &[&[f32]], shape: Shape, out: &mut [f32]) {
        let (x, from) = (inputs[0], shapes[0]);
        match self {
            Self::Transpose(axes) => {
                let steps = strides(from);
                copy_along(x, axes.map(|axis| steps[axis]), shape, out);
            }
            Self::Expand => {
                let steps = strides(from);
                let repeated = |axis: usize| if from[axis] == 1 { 0 } else { steps[axis] };
                copy_along(x, [repeated(0), repeated(1), repeated(2)], shape, out);
            }
            Self::Pick { axis, places } => {
                let (run, n) = (strides(from)[*axis], from[*axis]);
                for (x, out) in x.chunks_exact(run * n).zip(out.chunks_exact_mut(run * places.len())) {
                    for (place, out) in places.iter().zip(out.chunks_exact_mut(run)) {
                        out.copy_from_slice(&x[place * run..][..run]);
                    }
                }
            }
            Self::Join(axis) => {
                let run = |shape: &Shape| shape[*axis..].iter().product::<usize>();
                let mut at = 0;
                for (x, own) in inputs.iter().zip(shapes) {
                    let blocks = x.chunks_exact(run(own)).zip(out.chunks_exact_mut(run(&shape)));
                    blocks.for_each(|(x, out)| out[at..at + x.len()].copy_from_slice(x));
                    at += run(own);
                }
            }
            Self::Reduce { reduction, axes } => reduce(*reduction, *axes, x, from, out),
            Self::Gather => gather(x, inputs[1], from, out),
            Self::Products => {
                let ([first, m, k], [second, _, n]) = (from, shapes[1]);
                for (place, out) in out.chunks_exact_mut(m * n).enumerate() {
                    let a = &x[place % first * m * k..][..m * k];
                    let b = &inputs[1][place % second * k * n..][..k * n];
                    product(out, n, a, k, 1, m, &Panels::rows(b, k, n), Start::Zero);
                }
            }
            Self::Combine(pairwise) => {
                out.iter_mut().zip(x).zip(inputs[1]).for_each(|((o, a), b)| *o = pairwise.of(*a, *b));
            }
            Self::Choose => {
                let both = inputs[1].iter().zip(inputs[2]);
                for ((o, which), (a, b)) in out.iter_mut().zip(x).zip(both) {
                    *o = if *which != 0.0 { *a } else { *b };
                }
            }
            Self::Patches { patch, groups } => patch.gather(*groups, x, from, out),
            Self::Pool { reduction, patch } => patch.pool(*reduction, x, from, out),
            Self::Lstm => cell::lstm(x, inputs[1], out),
            Self::Gru => cell::gru(x, inputs[1], inputs[2], out),
            Self::Diagonal => cell::diagonal(x, inputs[1], inputs[2], out),
            Self::Categorical => categorical(x, inputs[1], out),
            Self::OneHot => one_hot(x, out),
            Self::Lif(lif) => fire([lif.leak, lif.threshold], x, inputs[1], out),
            Self::Softmax => {
                out.copy_from_slice(x);
                out.chunks_exact_mut(shape[2]).for_each(softmax);
            }
            Self::LogSoftmax => {
                for (x, out) in x.chunks_exact(shape[2]).zip(out.chunks_exact_mut(shape[2])) {
                    let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let sum: f64 = x.iter().map(|v| exp64(f64::from(*v - top))).sum();
                    let whole = f64::from(top) + ln64(sum);
                    out.iter_mut().zip(x).for_each(|(o, v)| *o = (f64::from(*v) - whole) as f32);
                }
            }
        }
    }

    /// Floating-point operations of a row of the answer.
    pub(super) fn flops(&self, first: Shape, shape: Shape) -> usize {
        match self {
            Self::Products => shape.iter().product::<usize>() * first[2],
            _ => 0,
        }
    }
}

/// Numbers from one place to the next along each axis.
fn strides([_, w, c]: Shape) -> [usize; 3] {
    [w * c, c, 1]
}

/// The numbers of `x` that are `steps` apart along the axes of `shape`.
fn copy_along(x: &[f32], steps: [usize; 3], [h, w, c]: Shape, out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(w * c).enumerate().take(h) {
        for (j, out) in out.chunks_exact_mut(c).enumerate() {
            let at = i * steps[0] + j * steps[1];
            out.iter_mut().enumerate().for_each(|(k, o)| *o = x[at + k * steps[2]]);
        }
    }
}

/// Sums in double precision, in the order of places.
fn reduce(reduction: Reduction, axes: [bool; 3], x: &[f32], [h, w, c]: Shape, out: &mut [f32]) {
    let start = if reduction == Reduction::Largest { f64::NEG_INFINITY } else { 0.0 };
    let kept = [h, w, c].iter().zip(axes).map(|(n, gone)| if gone { 1 } else { *n }).collect::<Vec<_>>();
    let step = |axis: usize, place: usize| if axes[axis] { 0 } else { place };
    let mut sums = vec![start; out.len()];
    for (place, v) in x.iter().map(|v| f64::from(*v)).enumerate() {
        let [i, j, k] = [step(0, place / (w * c)), step(1, place / c % w), step(2, place % c)];
        let sum = &mut sums[(i * kept[1] + j) * kept[2] + k];
        *sum = match reduction {
            Reduction::Largest => {
                if v > *sum || v.is_nan() {
                    v
                } else {
                    *sum
                }
            }
            Reduction::Sum | Reduction::Mean => *sum + v,
        };
    }
    let count = (x.len() / out.len().max(1)) as f64;
    let share = if reduction == Reduction::Mean { count } else { 1.0 };
    out.iter_mut().zip(sums).for_each(|(o, sum)| *o = (sum / share) as f32);
}

/// A 1 at the channel that each of `x` names; not finite where it names none.
fn one_hot(x: &[f32], out: &mut [f32]) {
    let channels = out.len() / x.len().max(1);
    for (named, out) in x.iter().zip(out.chunks_exact_mut(channels.max(1))) {
        let known = *named >= 0.0 && *named < channels as f32 && named.fract() == 0.0;
        out.fill(if known { 0.0 } else { f32::NAN });
        if known {
            out[*named as usize] = 1.0;
        }
    }
}

/// The items that `which` names; what is not finite where it names none.
fn gather(x: &[f32], which: &[f32], [h, w, c]: Shape, out: &mut [f32]) {
    let items = which.len() / h;
    for (place, (out, item)) in out.chunks_exact_mut(c).zip(which).enumerate() {
        if *item >= 0.0 && *item < w as f32 && item.fract() == 0.0 {
            out.copy_from_slice(&x[(place / items * w + *item as usize) * c..][..c]);
        } else {
            out.fill(f32::NAN);
        }
    }
}

impl fmt::Display for Rowwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transpose(axes) => write!(f, "transpose {axes:?}"),
            Self::Pick { axis, places } => write!(f, "pick along axis {axis}: {places:?}"),
            Self::Join(axis) => write!(f, "join along axis {axis}"),
            Self::Expand => write!(f, "expand"),
            Self::Reduce { reduction, axes } => {
                let over: Vec<usize> = (0..3).filter(|axis| axes[*axis]).collect();
                write!(f, "{} over axes {over:?}", reduction.name())
            }
            Self::Gather => write!(f, "gather"),
            Self::Products => write!(f, "matrix product"),
            Self::Combine(pairwise) => write!(f, "{}", pairwise.name()),
            Self::Choose => write!(f, "choose"),
            Self::Softmax => write!(f, "softmax"),
            Self::LogSoftmax => write!(f, "log softmax"),
            Self::Lstm => write!(f, "lstm step"),
            Self::Categorical => write!(f, "categorical"),
            Self::OneHot => write!(f, "one-hot"),
            Self::Gru => write!(f, "gru step"),
            Self::Diagonal => write!(f, "diagonal step"),
            Self::Lif(Lif { leak, threshold }) => write!(f, "lif, leak {leak}, threshold {threshold}"),
            Self::Patches { patch, groups } => write!(f, "patches {patch}, groups {groups}"),
            Self::Pool { reduction, patch } => write!(f, "{} of patches {patch}", reduction.name()),
        }
    }
}
