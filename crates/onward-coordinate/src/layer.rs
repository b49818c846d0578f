//! A chain of layers in maps of sixteen samples side by side.

use onward::kernel::{
    Base, Lattice, Lines, MapMoments, Pool, SAMPLES, add_to_all, affine, chains, pool_lines, relu,
};
use onward::model::{Activation, Graph, NORM_EPSILON, Operation};
use onward::params::{Tensor, TensorSpec};
use onward::schema::Field;
use std::ops::Range;

/// Numbers of input maps that one pass over an output map may read, so that they stay near.
const NEAR: usize = 8192;

/// Numbers of the rows that are made together and looked at while they are near: 32 KB.
const STRIP: usize = 8192;

/// A product with what is before it and what is after it: one stage.
pub(crate) struct Layer {
    /// What becomes of each channel that the stage before hands over.
    before: Vec<Before>,
    /// Whether all its positions then become channels.
    flatten: bool,
    /// `[height, width, channels]` of what the stage before hands over.
    source: [usize; 3],
    /// The shape of the product's input.
    pub input: [usize; 3],
    pub weight: usize,
    pub bias: Option<usize>,
    /// Positions of the kernel: 9 or 1.
    pub taps: usize,
    pub outputs: usize,
    /// Whether a 2×2 average pool follows.
    pool: bool,
    /// `γ` and `β` of the normalisation that follows.
    pub norm: Option<[usize; 2]>,
}

/// What may become of each channel before a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Map(Activation),
    MaxPool,
    GlobalAverage,
    GlobalMax,
}

/// The model's stages, if each is a chain of operations with one product in it.
pub(crate) fn layers(graph: &Graph) -> Option<Vec<Layer>> {
    let mut source = graph.operations().next()?.shape;
    let stages = chain(graph)?;
    let layer = |operations: &Vec<Operation<'_>>| {
        let layer = Layer::of(operations, graph.tensors(), source)?;
        source = layer.shape_out();
        Some(layer)
    };
    stages.iter().map(layer).collect()
}

/// The operations of each stage, if every one of them works on the answer of the one before and nothing else.
fn chain(graph: &Graph) -> Option<Vec<Vec<Operation<'_>>>> {
    let all: Vec<_> = graph.operations().collect();
    let follows = |(i, o): (usize, &Operation<'_>)| o.inputs.iter().copied().eq(i.checked_sub(1));
    if graph.output() + 1 != all.len() || !all.iter().enumerate().all(follows) {
        return None;
    }
    let (mut stages, mut open) = (Vec::new(), Vec::new());
    for operation in all.into_iter().skip(1) {
        let site = operation.site_of.is_some();
        open.push(operation);
        if site {
            stages.push(std::mem::take(&mut open));
        }
    }
    open.is_empty().then_some(stages)
}

/// Weights for [`chains`]: where in the input each term begins, and its weights to all outputs.
pub(crate) struct Terms {
    offsets: Vec<usize>,
    weights: Vec<f32>,
    n: usize,
}

impl Layer {
    fn of(operations: &[Operation<'_>], specs: &[TensorSpec], source: [usize; 3]) -> Option<Self> {
        let words: Vec<&str> = operations.iter().map(|o| o.operation.as_str()).collect();
        let tensors = |at: usize| {
            operations[at].tensors.iter().map(|name| place(specs, name)).collect::<Option<Vec<_>>>()
        };
        let at = operations.iter().position(|o| !o.tensors.is_empty())?;
        let (mut before, after) = (&words[..at], &words[at + 1..]);
        let flatten = before.last() == Some(&"flatten");
        before = &before[..before.len() - usize::from(flatten)];
        let [mut h, mut w, c] = source;
        let mut channelwise = Vec::new();
        for words in before {
            channelwise.push(match *words {
                "max pool 2x2" => {
                    (h, w) = (h / 2, w / 2);
                    Before::MaxPool
                }
                "global average" | "global maximum" => {
                    (h, w) = (1, 1);
                    if *words == "global maximum" { Before::GlobalMax } else { Before::GlobalAverage }
                }
                other => Before::Map(Activation::read(Some(&other.into()))?),
            });
        }
        let input = if flatten { [1, 1, h * w * c] } else { [h, w, c] };
        let taps = match words[at] {
            "linear" => 1,
            "convolution 3x3" => 9,
            _ => return None,
        };
        let (weight, bias) = match tensors(at)?[..] {
            [weight] => (weight, None),
            [weight, bias] => (weight, Some(bias)),
            _ => return None,
        };
        let (pool, rest) = match after {
            ["average pool 2x2", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let norm = match (rest, &tensors(operations.len() - 1)?[..]) {
            ([], _) => None,
            (["batch norm"], [scale, shift]) => Some([*scale, *shift]),
            _ => return None,
        };
        let shape = &specs[weight].shape;
        let (outputs, size) = (*shape.first()?, shape.iter().product::<usize>());
        let fits = size == outputs * taps * input[2];
        let before = channelwise;
        fits.then_some(Self { before, flatten, source, input, weight, bias, taps, outputs, pool, norm })
    }

    /// Whether each channel that the stage before hands over is one channel of the product's input.
    pub fn channelwise(&self) -> bool {
        self.input[2] == self.source[2]
    }

    pub fn shape_out(&self) -> [usize; 3] {
        let halvings = usize::from(self.pool);
        [self.input[0] >> halvings, self.input[1] >> halvings, self.outputs]
    }

    fn border(&self) -> usize {
        usize::from(self.taps == 9)
    }

    pub fn lattice(&self) -> Lattice {
        let [height, width, _] = self.input;
        Lattice { height, width, stride: width + 2 * self.border() }
    }

    /// Numbers of one channel of the input, border included.
    fn padded(&self) -> usize {
        (self.input[0] + 2 * self.border()) * self.lattice().stride * SAMPLES
    }

    /// Numbers of all channels of the input, border included.
    pub fn input_size(&self) -> usize {
        self.padded() * self.input[2]
    }

    /// Numbers of one map of what the stage before hands over.
    pub fn source_map(&self) -> usize {
        self.source[0] * self.source[1] * SAMPLES
    }

    /// Numbers of one map of the product.
    pub fn product_map(&self) -> usize {
        self.input[0] * self.input[1] * SAMPLES
    }

    /// Numbers of one map that the stage hands over.
    pub fn out_map(&self) -> usize {
        let [h, w, _] = self.shape_out();
        h * w * SAMPLES
    }

    /// Pixels before the ones that position `tap` of the kernel meets in `channel`.
    pub fn offset(&self, channel: usize, tap: usize) -> usize {
        let side = if self.taps == 9 { 3 } else { 1 };
        channel * self.padded() / SAMPLES + tap / side * self.lattice().stride + tap % side
    }

    /// Where the weight stands in its tensor `(outputs, taps, channels)`.
    pub fn element(&self, output: usize, tap: usize, channel: usize) -> usize {
        (output * self.taps + tap) * self.input[2] + channel
    }

    /// Terms of the given channels, in this order, to all outputs.
    pub fn terms(&self, tensors: &[Tensor], channels: impl Iterator<Item = usize>) -> Terms {
        let data = tensors[self.weight].data.as_floats().unwrap_or_default();
        let mut terms = Terms { offsets: Vec::new(), weights: Vec::new(), n: self.outputs };
        for (channel, tap) in channels.flat_map(|c| (0..self.taps).map(move |t| (c, t))) {
            terms.offsets.push(self.offset(channel, tap));
            terms.weights.extend((0..self.outputs).map(|o| data[self.element(o, tap, channel)]));
        }
        terms
    }

    /// Terms of all channels to one output, but for those of one weight `(channel, tap)`; cut where the input is large.
    pub fn terms_to(&self, tensors: &[Tensor], output: usize, except: Option<(usize, usize)>) -> Vec<Terms> {
        let data = tensors[self.weight].data.as_floats().unwrap_or_default();
        let together = (NEAR / self.padded()).max(1);
        let channels: Vec<usize> = (0..self.input[2]).collect();
        let part = |channels: &[usize]| {
            let mut terms = Terms { offsets: Vec::new(), weights: Vec::new(), n: 1 };
            for (channel, tap) in channels.iter().flat_map(|c| (0..self.taps).map(move |t| (*c, t))) {
                if except != Some((channel, tap)) {
                    terms.offsets.push(self.offset(channel, tap));
                    terms.weights.push(data[self.element(output, tap, channel)]);
                }
            }
            terms
        };
        channels.chunks(together).map(part).collect()
    }

    /// A product and what comes after it but for the normalisation: `base` (strip after strip; zero if none), `terms`, the
    /// biases (if any), the pool. `then` is given a map, the first of a few of its rows, and those rows, while they are near.
    pub fn run(
        &self,
        terms: &Terms,
        input: &[f32],
        base: Option<&[f32]>,
        biases: &[f32],
        maps: &mut [f32],
        mut then: impl FnMut(usize, usize, &[f32]),
    ) {
        for strip in self.strips(terms.n) {
            let one = strip.len() * self.line();
            let base = base.map_or(Base::Zero, |base| Base::Of(&base[terms.n * strip.start * self.line()..]));
            let (strips, pooled) = maps.split_at_mut(terms.n * one);
            self.add(terms, input, &strip, strips, base);
            for (o, rows) in strips.chunks_exact_mut(one).enumerate() {
                self.close(rows, biases.get(o), pooled, |rows| then(o, self.row_out(strip.start), rows));
            }
        }
    }

    /// The product alone, strip after strip.
    pub fn product(&self, terms: &Terms, input: &[f32], out: &mut [f32]) {
        for strip in self.strips(terms.n) {
            let whole = terms.n * self.line();
            self.add(terms, input, &strip, &mut out[whole * strip.start..whole * strip.end], Base::Zero);
        }
    }

    /// One map of the product: the terms one part after the other.
    pub fn sum(&self, parts: &[Terms], input: &[f32], map: &mut [f32]) {
        for (i, terms) in parts.iter().enumerate() {
            let base = if i == 0 { Base::Zero } else { Base::Own };
            self.add(terms, input, &(0..self.input[0]), map, base);
        }
    }

    fn add(&self, terms: &Terms, input: &[f32], strip: &Range<usize>, out: &mut [f32], base: Base<'_>) {
        let lattice = Lattice { height: strip.len(), ..self.lattice() };
        let input = &input[strip.start * lattice.stride * SAMPLES..];
        chains(lattice, input, &terms.offsets, &terms.weights, terms.n, out, base);
    }

    /// Rows of the product that are made together, of `n` maps: an even number, since a pool takes two.
    fn strips(&self, n: usize) -> impl Iterator<Item = Range<usize>> {
        let height = self.input[0];
        let high = (STRIP / (n * self.line()) / 2 * 2).max(2);
        (0..height).step_by(high).map(move |y| y..(y + high).min(height))
    }

    /// Numbers of a row of the product.
    fn line(&self) -> usize {
        self.input[1] * SAMPLES
    }

    /// Numbers of a row that the stage hands over.
    fn line_out(&self) -> usize {
        self.shape_out()[1] * SAMPLES
    }

    /// The row that the stage hands over, which begins with the product's row `y`.
    fn row_out(&self, y: usize) -> usize {
        y >> usize::from(self.pool)
    }

    /// Rows of map `o` from `y` on to where they stand in what the stage hands over.
    pub fn put(&self, o: usize, y: usize, rows: &[f32], maps: &mut [f32]) {
        maps[o * self.out_map() + y * self.line_out()..][..rows.len()].copy_from_slice(rows);
    }

    /// The sum and the sum of squares of a map that the stage hands over.
    pub fn moments(&self, map: &[f32], samples: usize) -> [f64; 2] {
        let mut moments = MapMoments::default();
        moments.add(map, self.shape_out()[1]);
        moments.of(samples)
    }

    /// The bias (if any) and the pool of a strip.
    pub fn close(&self, rows: &mut [f32], bias: Option<&f32>, pooled: &mut [f32], then: impl FnOnce(&[f32])) {
        if let Some(bias) = bias {
            add_to_all(rows, *bias);
        }
        if !self.pool {
            return then(rows);
        }
        let (line, pairs) = (self.line(), rows.len() / (2 * self.line()));
        let pooled = &mut pooled[..pairs * self.line_out()];
        for (lines, out) in rows.chunks_exact(2 * line).zip(pooled.chunks_exact_mut(self.line_out().max(1))) {
            pool_lines(Pool::Average, SAMPLES, &lines[..line], &lines[line..], out);
        }
        then(pooled);
    }

    /// The layer's biases; none where it has none.
    pub fn biases<'a>(&self, tensors: &'a [Tensor]) -> &'a [f32] {
        self.bias.and_then(|bias| tensors[bias].data.as_floats()).unwrap_or_default()
    }

    /// Whether what the stage before hands over enters row by row.
    pub fn rowwise(&self) -> bool {
        matches!(self.before[..], [] | [Before::Map(Activation::Relu)]) && !self.flatten
    }

    /// Rows from `y` on of one channel that the stage before hands over, normalised by `norm` (`a·v + b`), into their place in
    /// the product's input; of layers that are [`Layer::rowwise`].
    pub fn enter_rows(
        &self,
        channel: usize,
        y: usize,
        rows: &[f32],
        norm: Option<[f32; 2]>,
        input: &mut [f32],
    ) {
        let (out, stride) = self.inside(channel, y, input);
        self.norm_and_relu(rows, self.line(), norm, out, stride);
    }

    /// Brings a whole map that the stage before hands over, normalised, into its place in the product's input, whatever the layer.
    pub fn enter(
        &self,
        channel: usize,
        map: &[f32],
        norm: Option<[f32; 2]>,
        input: &mut [f32],
        spare: &mut [Lines; 2],
    ) {
        if self.rowwise() {
            return self.enter_rows(channel, 0, map, norm, input);
        }
        let rest = &self.before[usize::from(self.relu_first())..];
        let [from, to] = spare;
        self.norm_and_relu(map, map.len(), norm, from.at_least(map.len()), map.len());
        let (mut height, mut width) = (self.source[0], self.source[1]);
        for operation in rest {
            (height, width) = through(operation, [height, width], from, to);
        }
        let from = &from[..height * width * SAMPLES];
        if !self.flatten {
            let (out, stride) = self.inside(channel, 0, input);
            return copy_rows(from, self.line(), out, stride);
        }
        for (position, pixel) in from.chunks_exact(SAMPLES).enumerate() {
            let at = position * self.source[2] + channel;
            input[at * SAMPLES..][..SAMPLES].copy_from_slice(pixel);
        }
    }

    fn relu_first(&self) -> bool {
        self.before.first() == Some(&Before::Map(Activation::Relu))
    }

    fn norm_and_relu(&self, v: &[f32], row: usize, norm: Option<[f32; 2]>, out: &mut [f32], stride: usize) {
        match norm {
            Some(norm) => affine(v, row, norm, self.relu_first(), out, stride),
            None => {
                copy_rows(v, row, out, stride);
                if self.relu_first() {
                    out.chunks_mut(stride).take(v.len() / row).for_each(|line| relu(&mut line[..row]));
                }
            }
        }
    }

    /// The input from row `y` of a channel on, inside the border, and how far its rows are apart.
    fn inside<'i>(&self, channel: usize, y: usize, input: &'i mut [f32]) -> (&'i mut [f32], usize) {
        let stride = self.lattice().stride;
        let at = (y + self.border()) * stride + self.border();
        (&mut input[channel * self.padded()..][..self.padded()][at * SAMPLES..], stride * SAMPLES)
    }
}

/// Rows of `row` numbers to where rows are `stride` numbers apart.
fn copy_rows(from: &[f32], row: usize, to: &mut [f32], stride: usize) {
    for (from, to) in from.chunks_exact(row).zip(to.chunks_mut(stride)) {
        to[..row].copy_from_slice(from);
    }
}

/// One map through an operation, from `from` to `from` by way of `to`.
fn through(operation: &Before, [h, w]: [usize; 2], from: &mut Lines, to: &mut Lines) -> (usize, usize) {
    let map = &mut from[..h * w * SAMPLES];
    match operation {
        Before::Map(activation) => {
            activation.apply_to(map);
            return (h, w);
        }
        Before::MaxPool => {
            let line = w * SAMPLES;
            let out = to.at_least((h / 2) * (w / 2) * SAMPLES).chunks_exact_mut((w / 2 * SAMPLES).max(1));
            for (lines, out) in map.chunks_exact(2 * line).zip(out) {
                pool_lines(Pool::Max, SAMPLES, &lines[..line], &lines[line..], out);
            }
            std::mem::swap(from, to);
            return (h / 2, w / 2);
        }
        Before::GlobalMax => fold(map, to, f32::NEG_INFINITY, 1.0, f32::max),
        Before::GlobalAverage => fold(map, to, 0.0, 1.0 / (h * w) as f32, |a, b| a + b),
    }
    std::mem::swap(from, to);
    (1, 1)
}

/// All pixels folded into one.
fn fold(from: &[f32], to: &mut Lines, start: f32, scale: f32, f: impl Fn(f32, f32) -> f32) {
    let mut all = [start; SAMPLES];
    for pixel in from.as_chunks::<SAMPLES>().0 {
        all.iter_mut().zip(pixel).for_each(|(a, v)| *a = f(*a, *v));
    }
    to.at_least(SAMPLES).copy_from_slice(&all.map(|v| v * scale));
}

/// `a` and `b` with `a·v + b = γ (v − mean) / √(variance + ε) + β`.
pub(crate) fn norm_of(mean: f32, variance: f32, gamma: f32, beta: f32) -> [f32; 2] {
    let a = gamma * (1.0 / (variance + NORM_EPSILON).sqrt());
    [a, beta - mean * a]
}

/// The same from sums over `count` numbers.
pub(crate) fn norm_from([sum, squares]: [f64; 2], count: f64, gamma: f32, beta: f32) -> [f32; 2] {
    let mean = sum / count;
    norm_of(mean as f32, (squares / count - mean * mean).max(0.0) as f32, gamma, beta)
}

/// Where the tensor of this name stands.
fn place(specs: &[TensorSpec], name: &str) -> Option<usize> {
    specs.iter().position(|spec| spec.name == name)
}

/// One number of a vector.
pub(crate) fn number(tensors: &[Tensor], tensor: usize, i: usize) -> f32 {
    tensors[tensor].data.at(i)
}
