//! Nets of bytes: weights, activations and sums are whole numbers, which single precision holds exactly.

use super::{Builder, Graph, Model, RowOp, Shape, Var};
use crate::{Error, ErrorKind, Place, Result};
use onward_integer::{CONSTANT, LOGIT, NetShape};
use std::sync::Arc;

/// Inputs of a layer at most: the sum of so many products of bytes, and of the constant's, is exact in single precision.
const MOST_INPUTS: usize = (1 << 24) / (127 * 127) - 1;

/// A net of dense layers whose weights and activations are whole numbers within ±127, as `onward-integer` has them: inputs are multiplied by `unit` and rounded, sums
/// shifted and held within 0 and 127 behind every layer but the last, whose sums become logits. Its passes are those of [`onward_integer::IntegerNet`], to the
/// last bit, as long as its weights are whole numbers.
#[derive(Clone, Debug)]
pub struct IntegerMlp {
    /// The widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// How many numbers it answers with.
    pub outputs: usize,
    /// About how far from 0 weights begin; 1 to 127.
    pub spread: u8,
    /// What one unit of the input is in whole numbers.
    pub unit: f32,
}

impl IntegerMlp {
    /// The net that a graph is of.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the graph is of another kind of net.
    pub(crate) fn of(graph: &Graph) -> Result<Self> {
        let alone = |own: &Self| Ok(Graph::new(own, graph.input_shape())?.digest() == graph.digest());
        match graph.integers() {
            Some(own) if alone(own)? => Ok(own.clone()),
            _ => {
                let expected = "a net of whole numbers (model.kind = \"integer\")";
                Err(Error::expected(ErrorKind::Model, Place::key("method", "name"), expected, "another"))
            }
        }
    }

    /// The net's shape for rows of so many numbers.
    pub(crate) fn shape(&self, inputs: usize) -> NetShape {
        let widths = [&[inputs], self.hidden.as_slice(), &[self.outputs]].concat();
        NetShape { widths, spread: self.spread, seed: 0 }
    }

    /// Rows as whole numbers.
    pub(crate) fn bytes(&self, features: &[f32]) -> Vec<i8> {
        features.iter().map(|x| whole(*x, self.unit) as i8).collect()
    }
}

/// The nearest whole number within ±127; 0 for what is no number.
fn whole(x: f32, unit: f32) -> f32 {
    let held = (x * unit).clamp(-127.0, 127.0);
    if held.is_nan() { 0.0 } else { held.round_ties_even() }
}

impl Model for IntegerMlp {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let mut x = g.flatten(x);
        let shape = self.shape(x.shape()[2]);
        if let Some(wide) = shape.widths[..shape.widths.len() - 1].iter().find(|width| **width > MOST_INPUTS)
        {
            let expected = format!("at most {MOST_INPUTS} inputs of a layer, so that sums are exact");
            return Err(Error::expected(ErrorKind::Model, Place::key("model", "hidden"), expected, wide));
        }
        // The name is part of the graph's digest: what the params begin as belongs to it.
        let name = format!("bytes of 1/{}, weights begin within {}", self.unit, self.spread);
        x = g.host(Arc::new(Narrowing { name, kind: Kind::Begin(self.unit) }), &[x]);
        let shifts = shape.shifts();
        for (layer, (width, shift)) in shape.widths[1..].iter().zip(&shifts).enumerate() {
            x = g.linear_of_whole(&format!("fc{}", layer + 1), x, *width, self.spread);
            let last = layer + 1 == shifts.len();
            let kind = if last { Kind::Logits(*shift) } else { Kind::Between(*shift) };
            let name = format!("{} {shift}", if last { "logits" } else { "narrow" });
            x = g.host(Arc::new(Narrowing { name, kind }), &[x]);
        }
        g.of_integers(self);
        Ok(x)
    }
}

/// What is between the layers.
struct Narrowing {
    name: String,
    kind: Kind,
}

enum Kind {
    /// Inputs become whole numbers; the constant comes behind them.
    Begin(f32),
    /// Sums become activations; the constant comes behind them.
    Between(u32),
    /// Sums become logits to base e.
    Logits(u32),
}

impl RowOp for Narrowing {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let [h, w, c] = inputs[0];
        Ok([h, w, if matches!(self.kind, Kind::Logits(_)) { c } else { c + 1 }])
    }

    fn run(&self, inputs: &[&[f32]], output: &mut [f32]) {
        let shifted = |sum: f32, shift: u32| onward_integer::fixed::shifted(sum as i64, shift) as f32;
        let of = |x: f32| match self.kind {
            Kind::Begin(unit) => whole(x, unit),
            Kind::Between(shift) => shifted(x, shift).clamp(0.0, 127.0),
            Kind::Logits(shift) => shifted(x, shift) * (std::f32::consts::LN_2 / LOGIT as f32),
        };
        output.iter_mut().zip(inputs[0]).for_each(|(out, x)| *out = of(*x));
        if let Some(constant) = output.get_mut(inputs[0].len()) {
            *constant = f32::from(CONSTANT);
        }
    }
}
