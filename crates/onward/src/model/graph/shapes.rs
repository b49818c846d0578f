//! Building: numbers moved, cut, joined and summed, and what is worked out of two or more of them.

use super::builder::{Builder, Var};
use super::function::{Function, Pairwise, Reduction};
use super::node::{Op, Shape};
use super::rows::Rowwise;
use crate::params::Init;
use std::ops::Range;

impl Builder {
    /// Applies a function ([`Function`]) to every number.
    pub fn apply(&mut self, function: Function, x: Var) -> Var {
        if !function.is_sound() {
            self.fault("function", "finite constants, the lower first", function);
        }
        self.push(Op::Apply(function), "function", &[x], x.shape)
    }

    /// Applies a function of two numbers element-wise; axes of size 1 repeat.
    pub fn combine(&mut self, pairwise: Pairwise, a: Var, b: Var) -> Var {
        let [a, b] = self.matched([a, b]);
        self.push(Op::Rows(Rowwise::Combine(pairwise)), pairwise.name(), &[a, b], a.shape)
    }

    /// Chooses element-wise: `a` where `which` is not zero, else `b`; axes of size 1 repeat.
    pub fn choose(&mut self, which: Var, a: Var, b: Var) -> Var {
        let all = self.matched([which, a, b]);
        self.push(Op::Rows(Rowwise::Choose), "choose", &all, all[0].shape)
    }

    /// Repeats axes of size 1 until all are of one shape. Only what has to change is copied.
    pub fn matched<const N: usize>(&mut self, all: [Var; N]) -> [Var; N] {
        let largest = |axis: usize| all.iter().map(|v| v.shape[axis]).max().unwrap_or(1);
        let shape = [largest(0), largest(1), largest(2)];
        all.map(|v| if v.shape == shape { v } else { self.expand(v, shape) })
    }

    /// Repeats axes of size 1 so that rows have this shape.
    pub fn expand(&mut self, x: Var, shape: Shape) -> Var {
        if x.shape.iter().zip(shape).any(|(from, to)| *from != to && *from != 1) {
            self.fault("expand", format!("{:?}, axes of 1 being repeated", shape), format!("{:?}", x.shape));
        }
        self.push(Op::Rows(Rowwise::Expand), "expand", &[x], shape)
    }

    /// Reshapes rows: the same numbers in the same order.
    pub fn reshape(&mut self, x: Var, shape: Shape) -> Var {
        let size = |shape: Shape| shape.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis));
        if size(shape) != size(x.shape) {
            let expected = format!("a shape of as many numbers as {:?}", x.shape);
            self.fault("reshape", expected, format!("{shape:?}"));
        }
        self.push(Op::Reshape, "reshape", &[x], shape)
    }

    /// Transposes rows: the axes of `[height, width, channels]` in another order; axis `i` is what axis `axes[i]` was.
    pub fn transpose(&mut self, x: Var, axes: [usize; 3]) -> Var {
        if (0..3).any(|axis| !axes.contains(&axis)) {
            self.fault("transpose", "axes 0, 1 and 2 in some order", format!("{axes:?}"));
            return x;
        }
        self.push(Op::Rows(Rowwise::Transpose(axes)), "transpose", &[x], axes.map(|axis| x.shape[axis]))
    }

    /// Selects places along an axis, in this order and as often as they are named.
    pub fn pick(&mut self, x: Var, axis: usize, places: impl IntoIterator<Item = usize>) -> Var {
        let places: Vec<usize> = places.into_iter().collect();
        let size = x.shape.get(axis).copied().unwrap_or(0);
        if places.is_empty() || places.iter().any(|place| *place >= size) {
            let expected = format!("places along an axis of {:?}", x.shape);
            self.fault("pick", expected, format!("{places:?} along axis {axis}"));
            return x;
        }
        let mut shape = x.shape;
        shape[axis] = places.len();
        self.push(Op::Rows(Rowwise::Pick { axis, places: places.into() }), "pick", &[x], shape)
    }

    /// Splits an axis into parts of these sizes.
    pub fn split(&mut self, x: Var, axis: usize, sizes: &[usize]) -> Vec<Var> {
        let size = x.shape.get(axis).copied().unwrap_or(0);
        if sizes.iter().try_fold(0usize, |n, part| n.checked_add(*part)) != Some(size) {
            let expected = format!("parts of axis {axis} of {:?}", x.shape);
            self.fault("split", expected, format!("{sizes:?}"));
            return vec![x; sizes.len()];
        }
        let mut from = 0;
        let mut part = |size: &usize| {
            from += size;
            self.pick(x, axis, from - size..from)
        };
        sizes.iter().map(&mut part).collect()
    }

    /// Joins values one after another along an axis; the other axes are the same.
    pub fn join(&mut self, axis: usize, all: &[Var]) -> Var {
        let Some(first) = all.first().copied() else {
            self.fault("join", "at least one", 0);
            return self.input();
        };
        let others = |shape: Shape| (0..3).filter(|a| *a != axis).map(|a| shape[a]).collect::<Vec<_>>();
        let odd = all.iter().find(|v| others(v.shape) != others(first.shape));
        if let Some(found) = odd.or((axis > 2).then_some(&first)) {
            let expected = format!("rows like {:?}, but along axis {axis}", first.shape);
            self.fault("join", expected, format!("{:?}", found.shape));
            return first;
        }
        let mut shape = first.shape;
        shape[axis] = all.iter().fold(0usize, |n, v| n.saturating_add(v.shape[axis]));
        self.push(Op::Rows(Rowwise::Join(axis)), "join", all, shape)
    }

    /// The items of `x` that `which` names, with `[height, n, 1]` item numbers for the `[height, items, channels]` of `x`: what is
    /// not finite where a number names none.
    pub fn gather(&mut self, x: Var, which: Var) -> Var {
        if which.shape[0] != x.shape[0] || which.shape[2] != 1 {
            let expected = format!("[{}, n, 1] item numbers", x.shape[0]);
            self.fault("gather", expected, format!("{:?}", which.shape));
        }
        let shape = [x.shape[0], which.shape[1], x.shape[2]];
        self.push(Op::Rows(Rowwise::Gather), "gather", &[x, which], shape)
    }

    /// Reduces some of the axes 0, 1 and 2 to size 1.
    pub fn reduce(&mut self, reduction: Reduction, x: Var, axes: &[usize]) -> Var {
        if axes.is_empty() || axes.iter().any(|axis| *axis > 2) {
            self.fault(reduction.name(), "some of the axes 0, 1 and 2", format!("{axes:?}"));
            return x;
        }
        let over = [0, 1, 2].map(|axis| axes.contains(&axis));
        let shape = [0, 1, 2].map(|axis| if over[axis] { 1 } else { x.shape[axis] });
        self.push(Op::Rows(Rowwise::Reduce { reduction, axes: over }), reduction.name(), &[x], shape)
    }

    /// Products of the matrices `[m, k]` of `a` with those `[k, n]` of `b`, one for each place of the first axis, which repeats where
    /// it is 1: `[h, m, k]` and `[h, k, n]` give `[h, m, n]`.
    pub fn products(&mut self, a: Var, b: Var) -> Var {
        let ([ha, m, k], [hb, l, n]) = (a.shape, b.shape);
        if k != l || (ha != hb && ha != 1 && hb != 1) {
            let expected = format!("[{ha}, {k}, n] for {:?}", a.shape);
            self.fault("matrix product", expected, format!("{:?}", b.shape));
        }
        self.push(Op::Rows(Rowwise::Products), "matrix product", &[a, b], [ha.max(hb), m, n])
    }

    /// `e^x / Σ e^x` over each position's channels.
    pub fn softmax(&mut self, x: Var) -> Var {
        self.push(Op::Rows(Rowwise::Softmax), "softmax", &[x], x.shape)
    }

    /// `x − ln Σ e^x` over each position's channels.
    pub fn log_softmax(&mut self, x: Var) -> Var {
        self.push(Op::Rows(Rowwise::LogSoftmax), "log softmax", &[x], x.shape)
    }

    /// A constant: the same numbers for every row, which never train, such as positions and masks. What trains is the [`Builder::embed`] of constant words.
    pub fn constant(&mut self, shape: Shape, values: Vec<f32>) -> Var {
        if shape.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis)) != Some(values.len()) {
            self.fault("constant", format!("the numbers of {shape:?}"), values.len());
        }
        let input = self.input();
        self.push(Op::Constant(values.into()), "constant", &[input], shape)
    }

    /// Several answers of a model, each under a name: all their numbers as one vector, which `build` returns. Tasks find each by its name
    /// ([`super::Graph::named_outputs`]).
    ///
    /// ```
    /// # use onward::model::{Builder, Graph, Model, Var};
    /// struct Judge;
    /// impl Model for Judge {
    ///     fn build(&self, g: &mut Builder) -> onward::Result<Var> {
    ///         let x = g.input();
    ///         let (class, value) = (g.linear("class", x, 3), g.linear("value", x, 1));
    ///         Ok(g.outputs(&[("class", class), ("value", value)]))
    ///     }
    /// }
    /// let graph = Graph::new(&Judge, [1, 1, 8])?;
    /// assert_eq!(graph.named_outputs(), [("class".into(), 0..3), ("value".into(), 3..4)]);
    /// # Ok::<(), onward::Error>(())
    /// ```
    pub fn outputs(&mut self, all: &[(&str, Var)]) -> Var {
        let (mut flat, mut parts) = (Vec::new(), Vec::<(String, Range<usize>)>::new());
        for (name, x) in all {
            if name.is_empty() || parts.iter().any(|(other, _)| other == name) {
                self.fault("outputs", "names that are there, each once", format!("{name:?}"));
            }
            let x = self.flatten(*x);
            let from = parts.last().map_or(0, |(_, range)| range.end);
            parts.push(((*name).to_owned(), from..from.saturating_add(x.shape[2])));
            flat.push(x);
        }
        let Some((_, last)) = parts.last() else {
            self.fault("outputs", "at least one", 0);
            return self.input();
        };
        let shape = [1, 1, last.end];
        self.push(Op::Outputs(parts), "outputs", &flat, shape)
    }

    /// `y + alpha / rank · B A x`: what a linear map's answer `y` to `x` becomes with a low-rank adapter (Hu et al. 2021, arXiv 2106.09685),
    /// whose tensors are `{name}.lora_A.weight (rank, channels)` and `{name}.lora_B.weight (outputs, rank)`, zero at the beginning.
    pub fn adapter(&mut self, name: &str, x: Var, y: Var, adapter: Adapter) -> Var {
        let first = Init::He { fan_in: x.shape[2].saturating_mul(2) };
        self.adapted(name, x, y, adapter, [first, Init::Constant(0.0)])
    }

    /// [`Builder::adapter`] whose first map is zero at the beginning and whose second is random, its columns of about length 1: what is learned in the `rank`
    /// numbers between them can be probed there.
    pub fn bottleneck(&mut self, name: &str, x: Var, y: Var, adapter: Adapter) -> Var {
        let second = Init::He { fan_in: y.shape[2].saturating_mul(2) };
        self.adapted(name, x, y, adapter, [Init::Constant(0.0), second])
    }

    fn adapted(
        &mut self,
        name: &str,
        x: Var,
        y: Var,
        Adapter { rank, alpha }: Adapter,
        init: [Init; 2],
    ) -> Var {
        let ([h, w, channels], outputs) = (x.shape, y.shape[2]);
        if x.shape[..2] != y.shape[..2] || !alpha.is_finite() {
            let expected = format!("an answer at the positions of {:?} and a finite alpha", x.shape);
            self.fault(name, expected, format!("{:?} and {alpha}", y.shape));
            return y;
        }
        let [first, second] = init;
        let weight = self.tensor(format!("{name}.lora_A.weight"), vec![rank, channels], first);
        let low = self.push(Op::Linear { weight, bias: None }, name, &[x], [h, w, rank]);
        let shape = vec![outputs, rank];
        let weight = self.tensor(format!("{name}.lora_B.weight"), shape, second);
        let change = self.push(Op::Linear { weight, bias: None }, name, &[low], [h, w, outputs]);
        let scale = alpha / rank.max(1) as f32;
        let change = self.apply(Function::Affine { scale, shift: 0.0 }, change);
        self.add(y, change)
    }
}

/// A low-rank adapter of a linear map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapter {
    /// The rank: channels between the adapter's two maps.
    pub rank: usize,
    /// The scale: the adapter's output is multiplied by `alpha / rank`.
    pub alpha: f32,
}
