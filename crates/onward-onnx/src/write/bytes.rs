//! Products in 8-bit integers, operation by operation as they are rounded here: sums are exact, so all of it is.
//!
//! Bytes are written without signs around 128, since some processors' instructions for bytes of two kinds saturate.

use super::sheet::{Layout, Sheet, Value};
use crate::proto;
use onward::Result;
use onward::kernel::quantise;
use onward::model::Shape;

/// The byte that stands for 0.
const ZERO: u8 = 128;
/// Below, a scale is 0 and so are the bytes.
const LEAST: f32 = f32::MIN_POSITIVE;

impl Sheet {
    fn number(&mut self, value: f32) -> String {
        self.floats("number", &[], vec![value])
    }

    fn zero(&mut self) -> String {
        self.raw("zero", &[], vec![ZERO])
    }

    /// Rounded to bytes, the numbers along `axes` together: the bytes, what one of them stands for, and whether that is nothing at all.
    fn quantised(&mut self, x: &str, axes: &[i64]) -> [String; 3] {
        let magnitude = self.node("Abs", &[x]);
        let largest = self.reduced("ReduceMax", &magnitude, axes, true);
        let most = self.number(127.0);
        let scale = self.node("Div", &[&largest, &most]);
        let inverse = self.node("Div", &[&most, &largest]);
        // Where all numbers are next to 0, nothing is left of them.
        let (least, none) = (self.number(LEAST), self.number(0.0));
        let tiny = self.node("Less", &[&scale, &least]);
        let inverse = self.node("Where", &[&tiny, &none, &inverse]);
        let scaled = self.node("Mul", &[x, &inverse]);
        let whole = self.node("Round", &[&scaled]);
        let shift = self.number(f32::from(ZERO));
        let above = self.node("Add", &[&whole, &shift]);
        let bytes = self.node("Cast", &[&above]);
        self.set_int("to", proto::UINT8.into());
        [bytes, scale, tiny]
    }

    /// Weights of so many outputs as bytes, in an order that `place` tells, and what those of each output stand for.
    fn weights(
        &mut self,
        name: &str,
        data: &[f32],
        outputs: usize,
        dims: &[usize],
        place: impl Fn(usize) -> usize,
    ) -> (String, Vec<f32>) {
        let k = data.len() / outputs.max(1);
        let mut bytes = vec![0i8; data.len()];
        let rows = bytes.chunks_exact_mut(k.max(1)).zip(data.chunks_exact(k.max(1)));
        let scales = rows.map(|(bytes, row)| quantise(bytes, row)).collect();
        let ordered = (0..data.len()).map(|n| bytes[place(n)].cast_unsigned().wrapping_add(ZERO)).collect();
        (self.raw(name, dims, ordered), scales)
    }

    /// `x Wᵀ + b` of rows whose numbers lie along the last axis, each row rounded by itself.
    pub fn product_of_bytes(
        &mut self,
        x: &str,
        name: &str,
        data: &[f32],
        [outputs, k]: [usize; 2],
        bias: Option<&str>,
    ) -> String {
        let [bytes, scale, tiny] = self.quantised(x, &[-1]);
        let place = |n: usize| n % outputs * k + n / outputs;
        let (weights, scales) = self.weights(name, data, outputs, &[k, outputs], place);
        let zero = self.zero();
        let sums = self.node("MatMulInteger", &[&bytes, &weights, &zero, &zero]);
        let scales = self.floats(&format!("{name}.scale"), &[outputs], scales);
        self.unscaled(&sums, [&scale, &tiny], &scales, bias)
    }

    /// `f32(sum) · (scale of the row · scale of the output) + b`, each rounded. What stands between the scales' product and the other one
    /// keeps onnxruntime from making one operation of them all, which takes one scale for all rows.
    fn unscaled(&mut self, sums: &str, [row, tiny]: [&str; 2], outputs: &str, bias: Option<&str>) -> String {
        let sums = self.node("Cast", &[sums]);
        self.set_int("to", proto::FLOAT.into());
        let scales = self.node("Mul", &[row, outputs]);
        let none = self.number(0.0);
        let scales = self.node("Where", &[tiny, &none, &scales]);
        let y = self.node("Mul", &[&sums, &scales]);
        match bias {
            Some(bias) => self.node("Add", &[&y, bias]),
            None => y,
        }
    }

    /// A 3×3 convolution of images, each rounded as a whole.
    pub fn convolution_of_bytes(
        &mut self,
        x: &Value,
        name: &str,
        data: &[f32],
        [outputs, channels]: [usize; 2],
        bias: Option<&str>,
        shape: Shape,
    ) -> Result<Value> {
        let x = self.laid(x, Layout::First);
        let [bytes, scale, tiny] = self.quantised(&x.name, &[1, 2, 3]);
        let place = |n: usize| (n / (9 * channels) * 9 + n % 9) * channels + n / 9 % channels;
        let (weights, scales) = self.weights(name, data, outputs, &[outputs, channels, 3, 3], place);
        let zero = self.zero();
        let sums = self.node("ConvInteger", &[&bytes, &weights, &zero, &zero]);
        self.set_ints("kernel_shape", vec![3, 3]);
        self.set_ints("pads", vec![1; 4]);
        let scales = self.floats(&format!("{name}.scale"), &[1, outputs, 1, 1], scales);
        let bias = bias.map(|bias| {
            let sides = self.ints(vec![1, outputs as i64, 1, 1]);
            self.node("Reshape", &[bias, &sides])
        });
        let name = self.unscaled(&sums, [&scale, &tiny], &scales, bias.as_deref());
        Ok(Value { name, layout: Layout::First, shape })
    }

    /// A batch normalisation by fixed statistics, rounded as here: `(x − mean) · (1/√(var + ε))`, then `γ x̂ + β`.
    pub fn exact_norm(
        &mut self,
        x: &Value,
        layer: &str,
        [gamma, beta, mean, variance]: [(&str, Vec<f32>); 4],
    ) -> Value {
        let inverse = variance.1.iter().map(|v| 1.0 / (v + onward::model::NORM_EPSILON).sqrt()).collect();
        let channels = gamma.1.len();
        let dims = match x.layout {
            Layout::First => vec![channels, 1, 1],
            Layout::Plain | Layout::Last => vec![channels],
        };
        let all = [gamma, beta, mean, ("inverse", inverse)];
        let [gamma, beta, mean, inverse] =
            all.map(|(part, data)| self.floats(&format!("{layer}.{part}"), &dims, data));
        let y = self.node("Sub", &[&x.name, &mean]);
        let y = self.node("Mul", &[&y, &inverse]);
        // A product and a sum with one rounding: in double precision the product has none.
        let [y, gamma, beta] = [&y, &gamma, &beta].map(|name| {
            let wide = self.node("Cast", &[name]);
            self.set_int("to", proto::DOUBLE.into());
            wide
        });
        let y = self.node("Mul", &[&y, &gamma]);
        let y = self.node("Add", &[&y, &beta]);
        let y = self.node("Cast", &[&y]);
        self.set_int("to", proto::FLOAT.into());
        x.with(y)
    }
    /// A 2×2 pool by the mean, summed in pairs as here.
    pub fn exact_halves(&mut self, x: &Value, shape: Shape) -> Value {
        let x = self.laid(x, Layout::First);
        let [h, w] = [shape[0], shape[1]].map(|n| 2 * n as i64);
        let (axes, steps) = (self.ints(vec![2, 3]), self.ints(vec![2, 2]));
        let ends = self.ints(vec![h, w]);
        let [a, b, c, d] = [[0, 0], [0, 1], [1, 0], [1, 1]].map(|from| {
            let starts = self.ints(from.to_vec());
            self.node("Slice", &[&x.name, &starts, &ends, &axes, &steps])
        });
        let (top, bottom) = (self.node("Add", &[&a, &b]), self.node("Add", &[&c, &d]));
        let sum = self.node("Add", &[&top, &bottom]);
        let quarter = self.number(0.25);
        let y = Value { name: self.node("Mul", &[&sum, &quarter]), layout: Layout::First, shape };
        if shape[0] * shape[1] == 1 { self.laid(&y, Layout::Plain) } else { y }
    }

    /// Each channel's mean, summed place after place as here.
    pub fn exact_mean(&mut self, x: &Value, shape: Shape) -> Value {
        let [h, w, c] = x.shape;
        if x.layout == Layout::Plain {
            return x.clone();
        }
        let (x, places) = (self.laid(x, Layout::Last), (h * w) as i64);
        let sides = self.ints(vec![0, places, c as i64]);
        let flat = self.node("Reshape", &[&x.name, &sides]);
        let axis = self.ints(vec![1]);
        let sums = self.node("CumSum", &[&flat, &axis]);
        let [from, to] = [places - 1, places].map(|n| self.ints(vec![n]));
        let last = self.node("Slice", &[&sums, &from, &to, &axis]);
        let sides = self.ints(vec![0, c as i64]);
        let last = self.node("Reshape", &[&last, &sides]);
        let scale = self.number(1.0 / (h * w) as f32);
        Value { name: self.node("Mul", &[&last, &scale]), layout: Layout::Plain, shape }
    }
}
