//! Layered nets of int8: forward passes, local credit from the head down, and learning.

use crate::error::{InputError, Result, within};
use crate::evidence::Test;
use crate::fixed::{Saturated, credit, shifted};
use crate::linear::{CONSTANT, Columns, Linear};
use crate::random::mixed;
use crate::softmax::judge;
use crate::threads::ThreadCount;

/// Most items of a step: more of them could leave 32 bits in a sum of scores.
pub const MOST_ITEMS: usize = 512;

/// A net's shape, and what it is before training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetShape {
    /// Inputs, hidden units of each layer, classes; at least two numbers, each from 1 to 65 536.
    pub widths: Vec<usize>,
    /// Weights begin uniform within ±this; 1 to 127.
    pub spread: u8,
    /// What the initial weights follow from.
    pub seed: u64,
}

impl NetShape {
    /// What the sums of each layer are shifted by: to activations, or of the last one to logits. It follows from the widths and the spread, so that activations
    /// begin with some dozens of units and logits with half a bit.
    pub fn shifts(&self) -> Vec<u32> {
        let (spread, last) = (u32::from(self.spread).max(1).ilog2(), self.widths.len().saturating_sub(2));
        let layers = self.widths.windows(2).enumerate();
        layers
            .map(|(place, pair)| half(pair[0]) + spread.saturating_sub(if place == last { 2 } else { 0 }))
            .collect()
    }

    fn check(&self) -> Result<()> {
        within("spread", usize::from(self.spread), 1..=127)?;
        if self.widths.len() < 2 {
            let found = format!("{} of them", self.widths.len());
            return Err(InputError::expected(
                "widths",
                "the number of inputs and of classes at least",
                found,
            ));
        }
        self.widths.iter().try_for_each(|width| within("widths", *width, 1..=65_536))
    }
}

/// A net: linear maps with a narrowing to 0…127 after each but the last, whose sums are logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerNet {
    pub(crate) layers: Vec<Layer>,
    /// What the layers' shifts follow from, beside their widths.
    pub(crate) spread: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub map: Linear,
    /// Sums are divided by 2^this: to activations, or to logits in units of 1/256 bit.
    pub shift: u32,
    /// Credits at this layer's inputs are divided by 2^this.
    pub credit_shift: u32,
}

/// Half the bits of a number, rounded up: 2^this is about its root.
fn half(of: usize) -> u32 {
    of.max(1).ilog2().div_ceil(2)
}

/// A layer's weights with what is known about them, `(outputs, inputs + 1)` each: the last input is the constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerWeights {
    /// The weights, -127 to 127.
    pub weights: Vec<i8>,
    /// Fading sums of their scores, within ±2^29.
    pub sums: Vec<i32>,
    /// Fading sums of the scores' squares.
    pub squares: Vec<u64>,
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The summed losses of the items before the step, in units of `2^-16` bits.
    pub loss: u64,
    /// Items whose label had the largest logit.
    pub right: usize,
    /// Items of the step.
    pub items: usize,
    /// Weights that moved by one.
    pub moved: u64,
    /// What did not fit.
    pub saturated: Saturated,
}

impl Tally {
    /// Adds what another step has come to.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.right += other.right;
        self.items += other.items;
        self.moved += other.moved;
        self.saturated.add(&other.saturated);
    }
}

/// The numbers of some items on their way up and down a net.
pub(crate) struct Pass {
    pub items: usize,
    /// By layer: what it reads, `(items, stride)`.
    pub inputs: Vec<Vec<i16>>,
    /// By layer: its sums, `(items, outputs)`.
    sums: Vec<Vec<i32>>,
    /// By layer: the credit of its sums, `(items, outputs)`.
    credits: Vec<Vec<i16>>,
    /// Credit of one item's inputs of a layer.
    below: Vec<i64>,
    /// Credit of the net's inputs, `(items, inputs)`, where it is wanted.
    pub bottom: Vec<i16>,
    pub outcome: Tally,
}

impl IntegerNet {
    /// A net before training.
    ///
    /// # Errors
    /// A shape out of range.
    pub fn new(shape: &NetShape) -> Result<Self> {
        shape.check()?;
        let (last, shifts, spread) = (shape.widths.len() - 2, shape.shifts(), shape.spread.ilog2());
        let layer = |(place, pair): (usize, &[usize])| {
            let map = Linear::new(pair[0], pair[1], shape.spread, mixed(shape.seed, place as u64));
            let credit_shift = if place == last { 8 } else { half(pair[1]) + spread };
            Layer { map, shift: shifts[place], credit_shift }
        };
        let layers = shape.widths.windows(2).enumerate().map(layer).collect();
        Ok(Self { layers, spread: shape.spread })
    }

    /// How many weights there are, biases among them.
    pub fn weights(&self) -> usize {
        self.layers.iter().map(|l| l.map.outputs * (l.map.inputs + 1)).sum()
    }

    /// Inputs, hidden units of each layer, classes.
    pub(crate) fn widths(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.inputs()).chain(self.layers.iter().map(|layer| layer.map.outputs))
    }

    /// How many numbers a row of inputs has.
    pub fn inputs(&self) -> usize {
        self.layers[0].map.inputs
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.top().map.outputs
    }

    /// The weights of a layer, `(outputs, inputs)`, without biases.
    pub fn layer(&self, layer: usize) -> Vec<&[i8]> {
        let map = &self.layers[layer].map;
        map.weights.chunks_exact(map.stride).map(|row| &row[..map.inputs]).collect()
    }

    /// Every layer's weights with what is known about them.
    pub fn to_layers(&self) -> Vec<LayerWeights> {
        let one = |Layer { map, .. }: &Layer| LayerWeights {
            weights: unpadded(&map.weights, map),
            sums: unpadded(&map.evidence.sums, map),
            squares: unpadded(&map.evidence.squares, map),
        };
        self.layers.iter().map(one).collect()
    }

    /// A net of this shape with these weights.
    ///
    /// # Errors
    /// A shape out of range, or layers that are not of the shape; a weight of -128.
    pub fn of_layers(shape: &NetShape, layers: &[LayerWeights]) -> Result<Self> {
        let mut net = Self::new(shape)?;
        if layers.len() != net.layers.len() {
            return Err(InputError::expected("layers", net.layers.len(), layers.len()));
        }
        for (number, (own, Layer { map, .. })) in layers.iter().zip(&mut net.layers).enumerate() {
            let size = map.outputs * (map.inputs + 1);
            let place = format!("layer {}", number + 1);
            for found in [own.weights.len(), own.sums.len(), own.squares.len()] {
                if found != size {
                    return Err(InputError::expected(place, format!("{size} numbers"), found));
                }
            }
            if own.weights.contains(&-128) {
                return Err(InputError::expected(place, "weights from -127 to 127", -128));
            }
            let (inputs, stride) = (map.inputs, map.stride);
            padded(&own.weights, &mut map.weights, inputs, stride);
            padded(&own.sums, &mut map.evidence.sums, inputs, stride);
            padded(&own.squares, &mut map.evidence.squares, inputs, stride);
        }
        Ok(net)
    }

    /// A number that tells nets apart: FNV-1a of all weights.
    pub fn digest(&self) -> u64 {
        let all = self.layers.iter().flat_map(|l| &l.map.weights);
        all.fold(0xcbf2_9ce4_8422_2325, |hash, w| (hash ^ u64::from(*w as u8)).wrapping_mul(0x100_0000_01b3))
    }

    /// One step: the rows' losses, local credit, and moves of ±1.
    ///
    /// `rows` is `(items, inputs)`, -127 to 127, of 1 to [`MOST_ITEMS`] items; `labels` their classes.
    ///
    /// # Errors
    /// Rows or labels that do not fit the net.
    pub fn step(&mut self, rows: &[i8], labels: &[u8], test: Test, threads: ThreadCount) -> Result<Tally> {
        self.check(rows, labels)?;
        let net = &*self;
        let passes = threads.each(threads.pieces(labels.len()), |items| {
            let mut pass = net.pass(items.len());
            pass.read(&rows[items.start * net.inputs()..], net);
            net.up(&mut pass);
            net.down(&mut pass, &labels[items], false);
            pass
        });
        Ok(self.learn(&passes, test, threads))
    }

    /// The losses of rows, without learning; arguments as for [`IntegerNet::step`], of any number of items.
    ///
    /// # Errors
    /// Rows or labels that do not fit the net.
    pub fn judge(&self, rows: &[i8], labels: &[u8], threads: ThreadCount) -> Result<Tally> {
        let (inputs, mut total) = (self.inputs(), Tally::default());
        for (rows, labels) in rows.chunks(inputs * MOST_ITEMS).zip(labels.chunks(MOST_ITEMS)) {
            self.check(rows, labels)?;
            let done = threads.each(threads.pieces(labels.len()), |items| {
                let mut pass = self.pass(items.len());
                pass.read(&rows[items.start * inputs..], self);
                self.up(&mut pass);
                self.head(&mut pass, &labels[items]);
                pass.outcome
            });
            done.iter().for_each(|own| total.add(own));
        }
        Ok(total)
    }

    pub(crate) fn top(&self) -> &Layer {
        &self.layers[self.layers.len() - 1]
    }

    /// Space for so many items.
    pub(crate) fn pass(&self, items: usize) -> Pass {
        let maps = || self.layers.iter().map(|layer| &layer.map);
        let row = |map: &Linear| {
            let mut rows = vec![0; items * map.stride];
            rows.iter_mut().skip(map.inputs).step_by(map.stride).for_each(|one| *one = CONSTANT);
            rows
        };
        Pass {
            items,
            inputs: maps().map(row).collect(),
            sums: maps().map(|map| vec![0; items * map.outputs]).collect(),
            credits: maps().map(|map| vec![0; items * map.outputs]).collect(),
            below: vec![0; maps().map(|map| map.stride).max().unwrap_or(0)],
            bottom: vec![0; items * self.inputs()],
            outcome: Tally::default(),
        }
    }

    /// The forward pass, up to the sums of the head.
    pub(crate) fn up(&self, pass: &mut Pass) {
        for (place, Layer { map, shift, .. }) in self.layers.iter().enumerate() {
            let (own, above) = pass.inputs.split_at_mut(place + 1);
            map.answer(&own[place], &mut pass.sums[place]);
            let (Some(above), Some(next)) = (above.first_mut(), self.layers.get(place + 1)) else { continue };
            let rows =
                above.chunks_exact_mut(next.map.stride).zip(pass.sums[place].chunks_exact(map.outputs));
            for (above, sums) in rows {
                for (a, sum) in above.iter_mut().zip(sums) {
                    let whole = shifted(i64::from(*sum), *shift);
                    pass.outcome.saturated.activations += u64::from(whole > 127);
                    *a = narrowed(whole);
                }
            }
        }
    }

    /// The losses, and the credit of the logits.
    pub(crate) fn head(&self, pass: &mut Pass, labels: &[u8]) {
        let (top, place) = (self.top(), self.layers.len() - 1);
        let sums = pass.sums[place].chunks_exact_mut(top.map.outputs);
        let rows = sums.zip(pass.credits[place].chunks_exact_mut(top.map.outputs));
        for ((sums, credits), label) in rows.zip(labels) {
            sums.iter_mut().for_each(|sum| *sum = shifted(i64::from(*sum), top.shift) as i32);
            let judged = judge(sums, usize::from(*label), credits);
            pass.outcome.loss += judged.loss;
            pass.outcome.right += usize::from(judged.right);
            pass.outcome.items += 1;
        }
    }

    /// Local credit from the head down; where wanted also that of the net's inputs, before any narrowing.
    pub(crate) fn down(&self, pass: &mut Pass, labels: &[u8], bottom: bool) {
        self.head(pass, labels);
        for (place, layers) in self.layers.windows(2).enumerate().rev() {
            let [under, layer] = layers else { continue };
            let (lower, upper) = pass.credits.split_at_mut(place + 1);
            let own = upper[0].chunks_exact(layer.map.outputs);
            let lower = lower[place].chunks_exact_mut(under.map.outputs);
            let sums = pass.sums[place].chunks_exact(under.map.outputs);
            for ((own, lower), sums) in own.zip(lower).zip(sums) {
                let below = &mut pass.below[..layer.map.inputs];
                layer.map.credit(own, below);
                for ((c, below), sum) in lower.iter_mut().zip(below).zip(sums) {
                    // The narrowing alone, at the sum ± one unit of what it gives: a change of 0, 1 or 2.
                    let (sum, unit) = (i64::from(*sum), 1 << under.shift);
                    let at = |sum| narrowed(shifted(sum, under.shift));
                    let change = i64::from(at(sum + unit) - at(sum - unit));
                    *c =
                        credit(shifted(*below * change, layer.credit_shift + 1), &mut pass.outcome.saturated);
                }
            }
        }
        if bottom {
            let Layer { map, credit_shift, .. } = &self.layers[0];
            let rows =
                pass.credits[0].chunks_exact(map.outputs).zip(pass.bottom.chunks_exact_mut(map.inputs));
            for (own, bottom) in rows {
                let below = &mut pass.below[..map.inputs];
                map.credit(own, below);
                for (c, below) in bottom.iter_mut().zip(below) {
                    *c = credit(shifted(*below, *credit_shift), &mut pass.outcome.saturated);
                }
            }
        }
    }

    /// Learns from items that went up and down.
    pub(crate) fn learn(&mut self, passes: &[Pass], test: Test, threads: ThreadCount) -> Tally {
        let mut total = Tally::default();
        passes.iter().for_each(|pass| total.add(&pass.outcome));
        let items: usize = passes.iter().map(|pass| pass.items).sum();
        for (place, Layer { map, .. }) in self.layers.iter_mut().enumerate() {
            let inputs = columns(passes, items, map.stride, |pass| &pass.inputs[place]);
            let credits = columns(passes, items, map.outputs, |pass| &pass.credits[place]);
            let columns = Columns { inputs: &inputs, credits: &credits, items: items.next_multiple_of(8) };
            total.moved += map.learn(&columns, test, threads, &mut total.saturated);
        }
        total
    }

    fn check(&self, rows: &[i8], labels: &[u8]) -> Result<()> {
        within("items of a step", labels.len(), 1..=MOST_ITEMS)?;
        let size = labels.len() * self.inputs();
        if rows.len() != size {
            let expected = format!("{size} numbers for {} items", labels.len());
            return Err(InputError::expected("rows", expected, rows.len()));
        }
        if let Some(at) = rows.iter().position(|v| *v == -128) {
            let place = format!("rows, item {}, number {}", at / self.inputs() + 1, at % self.inputs() + 1);
            return Err(InputError::expected(place, "-127 to 127", -128));
        }
        match labels.iter().position(|label| usize::from(*label) >= self.classes()) {
            None => Ok(()),
            Some(at) => {
                let expected = format!("a class from 0 to {}", self.classes() - 1);
                Err(InputError::expected(format!("labels, item {}", at + 1), expected, labels[at]))
            }
        }
    }
}

impl Pass {
    /// Takes what the net reads from the first rows of `rows`, `(items, inputs)`.
    fn read(&mut self, rows: &[i8], net: &IntegerNet) {
        let map = &net.layers[0].map;
        for (own, row) in self.inputs[0].chunks_exact_mut(map.stride).zip(rows.chunks_exact(map.inputs)) {
            own.iter_mut().zip(row).for_each(|(x, v)| *x = i16::from(*v));
        }
    }

    /// What the net reads of one item, bytes, widened.
    pub fn row(&mut self, item: usize, net: &IntegerNet) -> &mut [i16] {
        let map = &net.layers[0].map;
        &mut self.inputs[0][item * map.stride..][..map.inputs]
    }
}

/// The numbers of a map's weights without those that fill rows up.
fn unpadded<T: Copy>(all: &[T], map: &Linear) -> Vec<T> {
    all.chunks_exact(map.stride).flat_map(|row| &row[..=map.inputs]).copied().collect()
}

fn padded<T: Copy>(own: &[T], all: &mut [T], inputs: usize, stride: usize) {
    for (row, own) in all.chunks_exact_mut(stride).zip(own.chunks_exact(inputs + 1)) {
        row[..=inputs].copy_from_slice(own);
    }
}

/// The narrowing between layers.
#[inline]
fn narrowed(whole: i64) -> i16 {
    whole.clamp(0, 127) as i16
}

/// `(items, width)` of several passes as `(width, items)`, with zeros up to a multiple of 8 items.
fn columns(passes: &[Pass], items: usize, width: usize, of: impl Fn(&Pass) -> &Vec<i16>) -> Vec<i16> {
    let padded = items.next_multiple_of(8);
    let mut all = vec![0; width * padded];
    let rows = passes.iter().flat_map(|pass| of(pass).chunks_exact(width));
    for (item, row) in rows.enumerate() {
        for (value, out) in row.iter().zip(all.iter_mut().skip(item).step_by(padded)) {
            *out = *value;
        }
    }
    all
}
