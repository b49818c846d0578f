//! Building a graph: each call adds one operation, with its shapes checked there and then.

use super::Graph;
use super::cell::Carry;
use super::node::{Attention, Node, Norm, Op, RowOp, Shape};
use crate::model::rate::fits;
use crate::model::{Activation, IntegerMlp, NORM_EPSILON, WeightInit};
use crate::params::{Init, TensorSpec};
use crate::{Error, ErrorKind, Place, Result};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

/// A model, described by code that builds its graph once.
///
/// [`Model::build`] is called whenever the model meets an input of a new shape, on any thread; every side of that shape is at least 1. All that training needs to know (which outputs
/// are linear in which tensor, what has to run again after a change, shapes, costs) is found in the graph; nothing else is
/// asked of a model, and nothing is promised. It must add the same operations each time.
///
/// ```
/// use onward::model::{Activation, Builder, Model, Var};
///
/// struct Skipping;
/// impl Model for Skipping {
///     fn build(&self, g: &mut Builder) -> onward::Result<Var> {
///         let x = g.input();
///         let x = g.linear("in", x, 16);
///         let y = g.map(Activation::Tanh, x);
///         let y = g.linear("middle", y, 16);
///         let y = g.add(x, y);
///         let y = g.map(Activation::Relu, y);
///         Ok(g.linear("out", y, 3))
///     }
/// }
/// let graph = onward::model::Graph::new(&Skipping, [1, 1, 8])?;
/// assert_eq!((graph.outputs(), graph.tensors().len()), (3, 6));
/// # Ok::<(), onward::Error>(())
/// ```
pub trait Model: Send + Sync {
    /// Adds the model's operations to `g`, beginning with [`Builder::input`], and returns what the model answers with. Shapes that do
    /// not fit are noted by the builder and refused after this returns, so no call has to be checked.
    ///
    /// # Errors
    /// Whatever makes the model impossible for this input, told as [`ErrorKind::Spec`] or [`ErrorKind::Model`]: nothing is trained then.
    fn build(&self, g: &mut Builder) -> Result<Var>;
}

/// The output of an operation in a graph: rows of some shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var {
    node: usize,
    pub(super) shape: Shape,
}

impl Var {
    /// `[height, width, channels]` of a row: `[1, 1, n]` for vectors, `[1, items, n]` for items in a row, such as tokens.
    pub fn shape(self) -> Shape {
        self.shape
    }
}

/// A graph under construction, to which operations are added one by one.
pub struct Builder {
    nodes: Vec<Node>,
    specs: Vec<TensorSpec>,
    /// What each tensor's steps are multiplied by.
    rates: Vec<f32>,
    /// Where that is said.
    rates_place: Place,
    carries: Vec<Carry>,
    everywhere: bool,
    learns_after: usize,
    ignores_padding: bool,
    within: Option<[f32; 2]>,
    integers: Option<IntegerMlp>,
    weight_init: WeightInit,
    /// The first thing that does not fit.
    fault: Option<Error>,
}

/// Weights that a model may have: beyond, no machine holds them.
const MOST: usize = 1 << 36;

/// How many numbers the tensors have.
///
/// # Errors
/// [`ErrorKind::Spec`] if they are too many.
fn count_of(specs: &[TensorSpec]) -> Result<usize> {
    let one = |s: &TensorSpec| s.shape.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis));
    let all = specs.iter().try_fold(0usize, |n, spec| n.checked_add(one(spec)?));
    all.filter(|n| *n <= MOST)
        .ok_or_else(|| Error::expected(ErrorKind::Spec, "model", format!("at most {MOST} weights"), "more"))
}

/// The graph that `model` builds for inputs of the given shape.
pub(super) fn built(model: &dyn Model, input: Shape) -> Result<Graph> {
    let size = input.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis));
    if size.is_none_or(|size| !(1..=MOST).contains(&size)) {
        let (expected, found) = ("[height, width, channels] of at least 1", format!("{input:?}"));
        return Err(Error::expected(ErrorKind::Model, "model input", expected, found));
    }
    let first = Node { op: Op::Input, inputs: Vec::new(), shape: input };
    let mut builder = Builder {
        nodes: vec![first],
        specs: Vec::new(),
        rates: Vec::new(),
        rates_place: "rates".into(),
        carries: Vec::new(),
        everywhere: false,
        learns_after: 0,
        ignores_padding: false,
        within: None,
        integers: None,
        weight_init: WeightInit::He,
        fault: None,
    };
    let output = model.build(&mut builder)?;
    builder.operands("the model's answer", &[output]);
    let Builder {
        nodes,
        specs,
        rates,
        rates_place,
        carries,
        everywhere,
        learns_after,
        ignores_padding,
        within,
        integers,
        fault,
        ..
    } = builder;
    if let Some(fault) = fault {
        return Err(fault);
    }
    count_of(&specs)?;
    if !rates.is_empty() && rates.iter().all(|rate| *rate == 0.0) {
        let expected = "at least one tensor whose rate is not 0";
        return Err(Error::expected(
            ErrorKind::Model,
            rates_place,
            expected,
            "none: nothing would be trained",
        ));
    }
    let graph = Graph::of(nodes, specs, output.node, everywhere)?;
    Ok(Graph { rates, carries, learns_after, ignores_padding, within, integers, ..graph })
}

impl Builder {
    /// The model's input: a row of the data.
    pub fn input(&mut self) -> Var {
        Var { node: 0, shape: self.nodes[0].shape }
    }

    /// Says that the operations so far are those of a net of whole numbers.
    pub(crate) fn of_integers(&mut self, own: &IntegerMlp) {
        self.integers = Some(own.clone());
    }

    /// The model's input has numbers from `low` to `high` alone: rows of others are refused, in training and after.
    pub fn input_within(&mut self, [low, high]: [f32; 2]) {
        self.within = Some([low, high]);
    }

    /// `y = x Wᵀ + b` at every position, with the tensors `{name}.weight (outputs, channels)` and `{name}.bias (outputs)`.
    pub fn linear(&mut self, name: &str, x: Var, outputs: usize) -> Var {
        self.product(name, x, outputs, &[], true)
    }

    /// [`Builder::linear`] without a bias.
    pub fn linear_without_bias(&mut self, name: &str, x: Var, outputs: usize) -> Var {
        self.product(name, x, outputs, &[], false)
    }

    /// `y = x Eᵀ` with the tensor `{name}.weight` of an [`Builder::embed`] before: what reads tokens also tells them (Press and
    /// Wolf 2017, arXiv 1608.05859). The tensor gets the sum of what both uses earn, and one noise.
    pub fn linear_tied(&mut self, name: &str, x: Var) -> Var {
        let tensor = format!("{name}.weight");
        let Some(weight) = self.specs.iter().position(|s| s.name == tensor && s.shape.len() == 2) else {
            let known: Vec<&str> = self.specs.iter().map(|s| s.name.as_str()).collect();
            let found = if known.is_empty() { "none".into() } else { known.join(", ") };
            self.fault(Place::tensor(&tensor), "a matrix that an operation before has", found);
            return x;
        };
        let shape = self.specs[weight].shape.clone();
        if shape[1] != x.shape[2] {
            let expected = format!("{} inputs, as its input of shape {:?} has", x.shape[2], x.shape);
            self.fault(Place::tensor(&tensor), expected, format!("shape {shape:?}"));
        }
        let [h, w, _] = x.shape;
        self.push(Op::Linear { weight, bias: None }, &tensor, &[x], [h, w, shape[0]])
    }

    /// A dense layer without a bias whose weights begin as whole numbers: `{name}.weight (outputs, inputs)`.
    pub(in crate::model) fn linear_of_whole(
        &mut self,
        name: &str,
        x: Var,
        outputs: usize,
        spread: u8,
    ) -> Var {
        let [h, w, c] = x.shape;
        let weight = self.tensor(format!("{name}.weight"), vec![outputs, c], Init::Whole { spread });
        self.push(Op::Linear { weight, bias: None }, name, &[x], [h, w, outputs])
    }

    /// A 3×3 convolution with zero padding of one: `{name}.weight (outputs, 3, 3, channels)` and `{name}.bias (outputs)`.
    pub fn conv3x3(&mut self, name: &str, x: Var, outputs: usize) -> Var {
        self.product(name, x, outputs, &[3, 3], true)
    }

    /// [`Builder::conv3x3`] without a bias.
    pub fn conv3x3_without_bias(&mut self, name: &str, x: Var, outputs: usize) -> Var {
        self.product(name, x, outputs, &[3, 3], false)
    }

    fn product(&mut self, name: &str, x: Var, outputs: usize, kernel: &[usize], biased: bool) -> Var {
        let [h, w, c] = x.shape;
        let shape = [&[outputs], kernel, &[c]].concat();
        let fan_in = shape[1..].iter().fold(1usize, |n, axis| n.saturating_mul(*axis));
        let fan_in = match self.weight_init {
            WeightInit::He => fan_in,
            WeightInit::Lecun => fan_in.saturating_mul(2),
        };
        let weight = self.tensor(format!("{name}.weight"), shape, Init::He { fan_in });
        let bias = biased.then(|| self.tensor(format!("{name}.bias"), vec![outputs], Init::Constant(0.0)));
        let op = if kernel.is_empty() { Op::Linear { weight, bias } } else { Op::Conv3x3 { weight, bias } };
        self.push(op, name, &[x], [h, w, outputs])
    }

    /// Row `t` of the tensor `{name}.weight (words, width)` for every number `t` of `x`, which has one channel. Zeros stand for
    /// [`crate::dataset::NO_ITEM`]; other numbers that are not whole or not below `words` are refused in the model's input, and not finite
    /// afterwards where the model works them out.
    pub fn embed(&mut self, name: &str, x: Var, words: usize, width: usize) -> Var {
        if x.shape[2] != 1 || words > 1 << 24 {
            let expected = "one channel of whole numbers below 2^24";
            self.fault(name, expected, format!("shape {:?} and {words} words", x.shape));
        }
        let weight = self.tensor(format!("{name}.weight"), vec![words, width], Init::He { fan_in: width });
        self.push(Op::Embed { weight }, name, &[x], [x.shape[0], x.shape[1], width])
    }

    /// The number of each item of `x` among all of its row, from 0 on: `[1, items, 1]`. Rows in pieces go on counting, by the keys and values that their
    /// attention has kept.
    pub fn positions(&mut self, x: Var) -> Var {
        if x.shape[0] != 1 {
            self.fault("positions", "[1, items, channels]", format!("{:?}", x.shape));
        }
        self.push(Op::Positions, "positions", &[x], [1, x.shape[1], 1])
    }

    /// Subtracts the mean and divides by the standard deviation of each channel over rows and positions, then `γ x̂ + β` with
    /// `{name}.weight` and `{name}.bias` (Ioffe and Szegedy 2015, arXiv 1502.03167).
    pub fn batch_norm(&mut self, name: &str, x: Var) -> Var {
        let [weight, bias] = self.scale_and_shift(name, x);
        self.push(Op::BatchNorm { layer: name.to_owned(), weight, bias }, name, &[x], x.shape)
    }

    /// Subtracts the mean and divides by the standard deviation of each position's channels, then `γ x̂ + β` with `{name}.weight` and
    /// `{name}.bias` (Ba, Kiros and Hinton 2016, arXiv 1607.06450).
    pub fn layer_norm(&mut self, name: &str, x: Var) -> Var {
        self.layer_norm_with(name, x, NORM_EPSILON)
    }

    /// [`Builder::layer_norm`] with `epsilon` added to the variance, instead of 1e-5.
    pub fn layer_norm_with(&mut self, name: &str, x: Var, epsilon: f32) -> Var {
        let [weight, bias] = self.scale_and_shift(name, x);
        let y = self.normalise(Norm::Layer, name, x, epsilon);
        self.push(Op::Scale { weight, bias: Some(bias) }, name, &[y], x.shape)
    }

    /// Divides each position's channels by their root mean square, then multiplies with `{name}.weight` (Zhang and Sennrich 2019,
    /// arXiv 1910.07467).
    pub fn rms_norm(&mut self, name: &str, x: Var) -> Var {
        self.rms_norm_with(name, x, NORM_EPSILON)
    }

    /// [`Builder::rms_norm`] with `epsilon` added to the mean of squares, instead of 1e-5.
    pub fn rms_norm_with(&mut self, name: &str, x: Var, epsilon: f32) -> Var {
        let weight = self.tensor(format!("{name}.weight"), vec![x.shape[2]], Init::Constant(1.0));
        let y = self.normalise(Norm::Rms, name, x, epsilon);
        self.push(Op::Scale { weight, bias: None }, name, &[y], x.shape)
    }

    fn normalise(&mut self, norm: Norm, name: &str, x: Var, epsilon: f32) -> Var {
        if !(epsilon >= 0.0 && epsilon.is_finite()) {
            self.fault(name, "an epsilon of at least 0", epsilon);
        }
        self.push(Op::Normalise(norm, epsilon), name, &[x], x.shape)
    }

    /// `γ x + β` of each channel, with `{name}.weight` and `{name}.bias`.
    pub fn scale(&mut self, name: &str, x: Var) -> Var {
        let [weight, bias] = self.scale_and_shift(name, x);
        self.push(Op::Scale { weight, bias: Some(bias) }, name, &[x], x.shape)
    }

    pub(super) fn scale_and_shift(&mut self, name: &str, x: Var) -> [usize; 2] {
        let mut one = |part: &str, value| {
            self.tensor(format!("{name}.{part}"), vec![x.shape[2]], Init::Constant(value))
        };
        [one("weight", 1.0), one("bias", 0.0)]
    }

    /// Applies an activation function to every number.
    pub fn map(&mut self, activation: Activation, x: Var) -> Var {
        self.push(Op::Map(activation), "map", &[x], x.shape)
    }

    /// 2×2 pooling by the largest, with stride 2; an odd last row or column is left out.
    pub fn max_pool(&mut self, x: Var) -> Var {
        self.halve(Op::MaxPool, x)
    }

    /// 2×2 pooling by the mean, with stride 2; an odd last row or column is left out.
    pub fn average_pool(&mut self, x: Var) -> Var {
        self.halve(Op::AveragePool, x)
    }

    fn halve(&mut self, op: Op, x: Var) -> Var {
        let [h, w, c] = x.shape;
        self.push(op, "pool", &[x], [h / 2, w / 2, c])
    }

    /// The mean of each channel over all positions.
    pub fn global_average(&mut self, x: Var) -> Var {
        self.push(Op::GlobalAverage, "global average", &[x], [1, 1, x.shape[2]])
    }

    /// The largest value of each channel over all positions.
    pub fn global_max(&mut self, x: Var) -> Var {
        self.push(Op::GlobalMax, "global maximum", &[x], [1, 1, x.shape[2]])
    }

    /// Flattens each row to one vector.
    pub fn flatten(&mut self, x: Var) -> Var {
        let size = x.shape.iter().fold(1usize, |n, axis| n.saturating_mul(*axis));
        self.push(Op::Flatten, "flatten", &[x], [1, 1, size])
    }

    /// The element-wise sum of two values of one shape.
    pub fn add(&mut self, a: Var, b: Var) -> Var {
        self.both(Op::Add, "sum", a, b)
    }

    /// The element-wise product of two values of one shape.
    pub fn multiply(&mut self, a: Var, b: Var) -> Var {
        self.both(Op::Multiply, "product", a, b)
    }

    fn both(&mut self, op: Op, what: &str, a: Var, b: Var) -> Var {
        if a.shape != b.shape {
            let expected = format!("two of one shape, {:?}", a.shape);
            self.fault(what, expected, format!("{:?}", b.shape));
        }
        self.push(op, what, &[a, b], a.shape)
    }

    /// Concatenates the channels of all values at each position.
    pub fn concat(&mut self, all: &[Var]) -> Var {
        let Some(first) = all.first().copied() else {
            self.fault("concat", "at least one", 0);
            return self.input();
        };
        if let Some(other) = all.iter().find(|v| v.shape[..2] != first.shape[..2]) {
            self.fault("concat", format!("positions {:?}", &first.shape[..2]), format!("{:?}", other.shape));
        }
        let channels = all.iter().fold(0usize, |n, v| n.saturating_add(v.shape[2]));
        self.push(Op::Concat, "concat", all, [first.shape[0], first.shape[1], channels])
    }

    /// A range of channels at each position.
    pub fn channels(&mut self, x: Var, range: Range<usize>) -> Var {
        if range.is_empty() || range.end > x.shape[2] {
            self.fault("channels", format!("some of 0..{}", x.shape[2]), format!("{range:?}"));
            return x;
        }
        let [h, w, _] = x.shape;
        let n = range.len();
        self.push(Op::Channels(range), "channels", &[x], [h, w, n])
    }

    /// Softmax attention of queries on keys and values (Vaswani et al. 2017, arXiv 1706.03762), all `[1, items, channels]`: `heads`
    /// heads of the queries' channels share the heads that keys and values have (Ainslie et al. 2023, arXiv 2305.13245).
    pub fn attention(&mut self, qkv: [Var; 3], attention: Attention) -> Var {
        self.attends(qkv, None, attention)
    }

    pub(super) fn attends(&mut self, [q, k, v]: [Var; 3], length: Option<Var>, attention: Attention) -> Var {
        let size = q.shape[2] / attention.heads.max(1);
        let whole = |n: usize| size > 0 && n > 0 && n.is_multiple_of(size);
        let groups = k.shape[2] / size.max(1);
        let fits = attention.heads > 0
            && q.shape[2] == attention.heads * size
            && whole(k.shape[2])
            && attention.heads.is_multiple_of(groups.max(1))
            && k.shape == v.shape
            && [q.shape[0], k.shape[0]] == [1; 2]
            && (q.shape[1] == k.shape[1] || !(attention.causal || attention.rotary.is_some()));
        let even = attention.rotary.is_none_or(|rotary| size.is_multiple_of(2) && rotary.is_sound());
        if !(fits && even) {
            let expected = format!(
                "[1, items, channels] of {} equal heads that share those of keys and values (an even number of channels each where positions rotate them)",
                attention.heads
            );
            self.fault("attention", expected, format!("{:?}, {:?} and {:?}", q.shape, k.shape, v.shape));
        }
        let operands: Vec<Var> = [q, k, v].into_iter().chain(length).collect();
        self.push(Op::Attention(attention), "attention", &operands, q.shape)
    }

    /// Any Rust code on rows ([`RowOp`]). It is no linear map: what it reads is probed before it.
    pub fn host(&mut self, op: Arc<dyn RowOp>, inputs: &[Var]) -> Var {
        let shapes: Vec<Shape> = inputs.iter().map(|v| v.shape).collect();
        let name = op.name().to_owned();
        match op.shape(&shapes) {
            Ok(shape) => self.push(Op::Host(op), &name, inputs, shape),
            Err(error) => {
                self.fault.get_or_insert(error);
                self.input()
            }
        }
    }

    /// Multiplies the steps of the tensors so far whose names are as `pattern` says, in which `*` stands for any characters. With 0 they
    /// stay as they are to the byte, and nothing is spent on probing them.
    pub fn rate(&mut self, pattern: &str, factor: f32) {
        if !(factor >= 0.0 && factor.is_finite()) {
            self.fault(self.rates_place.clone(), "a factor of at least 0", format!("{factor} for {pattern}"));
        }
        let meant: Vec<usize> =
            (0..self.specs.len()).filter(|i| fits(pattern, &self.specs[*i].name)).collect();
        if meant.is_empty() {
            let known: Vec<&str> = self.specs.iter().map(|s| s.name.as_str()).collect();
            let expected = format!("a pattern of some of {}", known.join(", "));
            self.fault(self.rates_place.clone(), expected, pattern);
        }
        meant.into_iter().for_each(|i| self.rates[i] = factor);
    }

    /// Uses of tensors up to `x` earn nothing: what learns by activations learns behind it alone, also a tensor that is used before it too.
    pub fn learns_after(&mut self, x: Var) {
        let node = self.operands("learns after", &[x]);
        self.learns_after = node[0];
    }

    /// Says that answers are the same to the bit however many places without items ([`crate::dataset::NO_ITEM`]) stand behind the last of a row, and that the
    /// net's tensors are the same for rows of any length: batches of such rows `[1, items, 1]` are evaluated without the places in which none of their rows
    /// has an item. What is answered has to be of rows, not of items.
    pub fn ignores_padding(&mut self) {
        self.ignores_padding = true;
    }

    /// The rates that come are those of settings.
    pub(in crate::model) fn rates_of_settings(&mut self) {
        self.rates_place = Place::key("train", "rates");
    }

    /// Initial weights of linear maps and convolutions made from here on are of this size.
    pub fn weight_init(&mut self, init: WeightInit) {
        self.weight_init = init;
    }

    /// Probes move all numbers of all sites, also those that the function after them cannot tell from their neighbours (a ReLU
    /// those below zero). Nets with residual connections have been probed so since they could be named in specs.
    pub(in crate::model) fn probe_everywhere(&mut self) {
        self.everywhere = true;
    }

    /// Whether a name of noise is taken.
    pub(super) fn has_noise(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| matches!(&node.op, Op::Noise(draw) if draw.name == name))
    }

    /// What items before a row's first would have handed to it: zero, unless it is given.
    pub(super) fn carry(&mut self, name: String, shape: Shape) -> Var {
        let input = self.input();
        if self.carries.iter().any(|carry| carry.name == name) {
            self.fault(name.as_str(), "a name of its own", "one that a carry before has");
        }
        let begin = self.push(Op::Carry(name.clone()), &name, &[input], shape);
        self.carries.push(Carry { name, begin: begin.node, end: begin.node });
        begin
    }

    /// What becomes of a carry.
    pub(super) fn carry_on(&mut self, begin: Var, end: Var) {
        let own = self.carries.iter_mut().filter(|carry| carry.begin == begin.node);
        own.for_each(|carry| carry.end = end.node);
    }

    pub(super) fn tensor(&mut self, name: String, shape: Vec<usize>, init: Init) -> usize {
        if self.specs.iter().any(|s| s.name == name) {
            self.fault(Place::tensor(&name), "a name of its own", "one that an operation before has");
        } else if shape.contains(&0) {
            self.fault(Place::tensor(&name), "a shape of axes of at least 1", format!("{shape:?}"));
        }
        self.specs.push(TensorSpec { name, shape, init });
        self.rates.push(1.0);
        self.specs.len() - 1
    }

    /// The indices of operands, which have to be of this graph.
    fn operands(&mut self, what: &str, all: &[Var]) -> Vec<usize> {
        for var in all {
            if self.nodes.get(var.node).is_none_or(|node| node.shape != var.shape) {
                self.fault(what, "what operations of this graph gave", "what another graph's gave");
                return vec![0; all.len()];
            }
        }
        all.iter().map(|v| v.node).collect()
    }

    pub(super) fn push(&mut self, op: Op, what: &str, inputs: &[Var], shape: Shape) -> Var {
        let inputs = self.operands(what, inputs);
        let size = shape.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis));
        if size.is_none_or(|n| !(1..=MOST).contains(&n)) {
            self.fault(what, format!("rows of 1 to {MOST} numbers"), format!("{shape:?}"));
        }
        self.nodes.push(Node { op, inputs, shape });
        Var { node: self.nodes.len() - 1, shape }
    }

    pub(in crate::model) fn fault(
        &mut self,
        place: impl Into<Place>,
        expected: impl Display,
        found: impl Display,
    ) {
        let place = place.into();
        self.fault.get_or_insert_with(|| Error::expected(ErrorKind::Model, place, expected, found));
    }
}
