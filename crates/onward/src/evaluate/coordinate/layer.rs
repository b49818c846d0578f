//! A chain of layers in maps of sixteen samples side by side.

use crate::kernel::{Base, Lattice, Pool, SAMPLES, add_to_all, affine, chains, pool_lines, relu};
use crate::model::{Activation, Model, NORM_EPSILON, Operation};
use crate::params::{Params, Tensor};

/// Numbers of input maps that one pass over an output map may read, so that they stay near.
const NEAR: usize = 8192;

/// A product with what is before it and what is after it: one stage.
pub(super) struct Layer {
    /// What becomes of each channel that the stage before hands over.
    before: Vec<Operation>,
    /// Whether all its positions then become channels.
    flatten: bool,
    /// `[height, width, channels]` of what the stage before hands over.
    source: [usize; 3],
    /// The same of the product's input.
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

/// The model's stages, if each is a chain of operations with one product in it.
pub(super) fn layers(model: &dyn Model, params: &Params, shape: [usize; 3]) -> Option<Vec<Layer>> {
    let mut source = shape;
    (0..model.stages())
        .map(|stage| {
            let layer = Layer::of(&model.operations(stage)?, params, source)?;
            source = layer.shape_out();
            Some(layer)
        })
        .collect()
}

/// Weights for [`chains`]: where in the input each term begins, and its weights to all outputs.
pub(super) struct Terms {
    offsets: Vec<usize>,
    weights: Vec<f32>,
    n: usize,
}

impl Terms {
    pub fn add(&self, lattice: Lattice, input: &[f32], out: &mut [f32], base: Base<'_>) {
        chains(lattice, input, &self.offsets, &self.weights, self.n, out, base);
    }
}

impl Layer {
    fn of(operations: &[Operation], params: &Params, source: [usize; 3]) -> Option<Self> {
        let at = operations.iter().position(|o| matches!(o, Operation::Linear(_) | Operation::Conv3x3(_)))?;
        let (mut before, after) = (operations[..at].to_vec(), &operations[at + 1..]);
        let flatten = before.last() == Some(&Operation::Flatten);
        before.truncate(before.len() - usize::from(flatten));
        let [mut h, mut w, c] = source;
        for operation in &before {
            match operation {
                Operation::Activation(_) => {}
                Operation::MaxPool => (h, w) = (h / 2, w / 2),
                Operation::GlobalAverage | Operation::GlobalMax => (h, w) = (1, 1),
                _ => return None,
            }
        }
        let input = if flatten { [1, 1, h * w * c] } else { [h, w, c] };
        let (name, taps) = match &operations[at] {
            Operation::Linear(name) => (name, 1),
            Operation::Conv3x3(name) => (name, 9),
            _ => return None,
        };
        let weight = params.find(name, "weight")?;
        let (pool, rest) = match after {
            [Operation::AveragePool, rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let norm = match rest {
            [] => None,
            [Operation::BatchNorm(norm)] => Some([params.find(norm, "weight")?, params.find(norm, "bias")?]),
            _ => return None,
        };
        let outputs = params.tensors()[weight].shape[0];
        let bias = params.find(name, "bias");
        let fits = params.tensors()[weight].data.len() == outputs * taps * input[2];
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
    pub fn terms(&self, params: &Params, channels: impl Iterator<Item = usize>) -> Terms {
        let data = &params.tensors()[self.weight].data;
        let mut terms = Terms { offsets: Vec::new(), weights: Vec::new(), n: self.outputs };
        for (channel, tap) in channels.flat_map(|c| (0..self.taps).map(move |t| (c, t))) {
            terms.offsets.push(self.offset(channel, tap));
            terms.weights.extend((0..self.outputs).map(|o| data[self.element(o, tap, channel)]));
        }
        terms
    }

    /// Terms of all channels to one output, but for those of one weight `(channel, tap)`; cut where the input is large.
    pub fn terms_to(&self, params: &Params, output: usize, except: Option<(usize, usize)>) -> Vec<Terms> {
        let data = &params.tensors()[self.weight].data;
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

    /// A product and what comes after it but for the normalisation, into `out`: `terms`, the biases (if any), the pool.
    pub fn run(
        &self,
        terms: &Terms,
        input: &[f32],
        base: Base<'_>,
        biases: &[f32],
        maps: &mut [f32],
        out: &mut [f32],
    ) {
        let place = if self.pool { &mut maps[..self.product_map() * terms.n] } else { &mut *out };
        terms.add(self.lattice(), input, place, base);
        self.add_biases(place, biases);
        if self.pool {
            self.pool(maps, out);
        }
    }

    /// The biases (if any) and the pool: from `maps` to `out`.
    pub fn close(&self, maps: &mut [f32], biases: &[f32], out: &mut [f32]) {
        self.add_biases(maps, biases);
        if self.pool { self.pool(maps, out) } else { out.copy_from_slice(&maps[..out.len()]) }
    }

    fn add_biases(&self, maps: &mut [f32], biases: &[f32]) {
        for (map, bias) in maps.chunks_exact_mut(self.product_map()).zip(biases) {
            add_to_all(map, *bias);
        }
    }

    fn pool(&self, maps: &[f32], out: &mut [f32]) {
        let line = self.input[1] * SAMPLES;
        let [_, width, _] = self.shape_out();
        let maps = maps.chunks_exact(self.product_map()).zip(out.chunks_exact_mut(self.out_map()));
        for (map, out) in maps {
            for (lines, out) in map.chunks_exact(2 * line).zip(out.chunks_exact_mut(width * SAMPLES)) {
                pool_lines(Pool::Average, SAMPLES, &lines[..line], &lines[line..], out);
            }
        }
    }

    /// The layer's biases; none where it has none.
    pub fn biases<'a>(&self, params: &'a Params) -> &'a [f32] {
        self.bias.map_or(&[], |bias| &params.tensors()[bias].data)
    }

    /// One channel that the stage before hands over, normalised by `norm` (`a·v + b`), into its place in the product's input.
    pub fn enter(
        &self,
        channel: usize,
        map: &[f32],
        norm: Option<[f32; 2]>,
        input: &mut [f32],
        spare: &mut [Vec<f32>; 2],
    ) {
        let relu_first = self.before.first() == Some(&Operation::Activation(Activation::Relu));
        let rest = &self.before[usize::from(relu_first)..];
        let normed = |v: &[f32], out: &mut [f32]| match norm {
            Some([a, b]) => affine(v, a, b, relu_first, out),
            None => {
                out.copy_from_slice(v);
                if relu_first {
                    relu(out);
                }
            }
        };
        if rest.is_empty() && !self.flatten {
            return self.rows(channel, map, input, normed);
        }
        let [from, to] = spare;
        from.resize(map.len(), 0.0);
        normed(map, from);
        let (mut height, mut width) = (self.source[0], self.source[1]);
        for operation in rest {
            (height, width) = through(operation, [height, width], from, to);
        }
        if !self.flatten {
            return self.rows(channel, from, input, |v, out| out.copy_from_slice(v));
        }
        for (position, pixel) in from.chunks_exact(SAMPLES).enumerate() {
            let at = position * self.source[2] + channel;
            input[at * SAMPLES..][..SAMPLES].copy_from_slice(pixel);
        }
    }

    /// The rows of a map, each through `f`, to where they stand inside the border.
    fn rows(&self, channel: usize, map: &[f32], input: &mut [f32], f: impl Fn(&[f32], &mut [f32])) {
        let (row, Lattice { stride, .. }) = (self.input[1] * SAMPLES, self.lattice());
        let input = &mut input[channel * self.padded()..][..self.padded()];
        if self.border() == 0 {
            return f(map, input);
        }
        for (y, line) in map.chunks_exact(row).enumerate() {
            f(line, &mut input[((y + 1) * stride + 1) * SAMPLES..][..row]);
        }
    }
}

/// One map through an operation, from `from` to `from` by way of `to`.
fn through(
    operation: &Operation,
    [h, w]: [usize; 2],
    from: &mut Vec<f32>,
    to: &mut Vec<f32>,
) -> (usize, usize) {
    match operation {
        Operation::Activation(activation) => {
            activation.apply_to(from);
            return (h, w);
        }
        Operation::MaxPool => {
            let line = w * SAMPLES;
            to.resize((h / 2) * (w / 2) * SAMPLES, 0.0);
            for (lines, out) in from.chunks_exact(2 * line).zip(to.chunks_exact_mut((w / 2 * SAMPLES).max(1)))
            {
                pool_lines(Pool::Max, SAMPLES, &lines[..line], &lines[line..], out);
            }
            std::mem::swap(from, to);
            return (h / 2, w / 2);
        }
        Operation::GlobalMax => fold(from, to, f32::NEG_INFINITY, 1.0, f32::max),
        _ => fold(from, to, 0.0, 1.0 / (h * w) as f32, |a, b| a + b),
    }
    std::mem::swap(from, to);
    (1, 1)
}

/// All pixels folded into one.
fn fold(from: &[f32], to: &mut Vec<f32>, start: f32, scale: f32, f: impl Fn(f32, f32) -> f32) {
    let mut all = [start; SAMPLES];
    for pixel in from.as_chunks::<SAMPLES>().0 {
        for l in 0..SAMPLES {
            all[l] = f(all[l], pixel[l]);
        }
    }
    to.clear();
    to.extend(all.map(|v| v * scale));
}

/// `a` and `b` with `a·v + b = γ (v − mean) / √(variance + ε) + β`.
pub(super) fn norm_of(mean: f32, variance: f32, gamma: f32, beta: f32) -> [f32; 2] {
    let a = gamma * (1.0 / (variance + NORM_EPSILON).sqrt());
    [a, beta - mean * a]
}

/// The same from sums over `count` numbers.
pub(super) fn norm_from([sum, squares]: [f64; 2], count: f64, gamma: f32, beta: f32) -> [f32; 2] {
    let mean = sum / count;
    norm_of(mean as f32, (squares / count - mean * mean).max(0.0) as f32, gamma, beta)
}

/// One number of a vector.
pub(super) fn number(tensors: &[Tensor], tensor: usize, i: usize) -> f32 {
    tensors[tensor].data[i]
}
