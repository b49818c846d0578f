//! The models that specs can name: multilayer perceptrons and chains of 3×3 convolutions.

use super::{Act, Builder, Model, Var};
use crate::choices;
use crate::kernel::{gelu, gelu_erf, relu, sigmoid, silu, softplus, tanh};
use crate::{Error, ErrorKind, Place, Result};

choices! {
    /// An activation function between two linear maps.
    pub enum Activation default Relu {
        /// max(0, x)
        Relu = "relu",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// The Gaussian error linear unit.
        Gelu = "gelu",
        /// The same by the error function instead of tanh.
        GeluErf = "gelu-erf",
        /// x times the logistic function of x
        Silu = "silu",
        /// The logistic function.
        Sigmoid = "sigmoid",
        /// ln(1 + e^x)
        Softplus = "softplus",
        /// -1 or 1.
        Sign = "sign",
        /// 0 or 1.
        Step = "step",
    }
}

impl Activation {
    /// Applies the function to every number.
    #[must_use]
    pub fn apply(self, x: Act) -> Act {
        if x.rectified && self == Self::Relu {
            return x;
        }
        x.map_slices(|piece| self.apply_to(piece))
    }

    /// Applies the function to every number in place.
    pub fn apply_to(self, x: &mut [f32]) {
        let each = |x: &mut [f32], f: fn(f32) -> f32| x.iter_mut().for_each(|v| *v = f(*v));
        match self {
            Self::Relu => relu(x),
            Self::Tanh => each(x, tanh),
            Self::Gelu => each(x, gelu),
            Self::GeluErf => gelu_erf(x),
            Self::Silu => each(x, silu),
            Self::Sigmoid => each(x, sigmoid),
            Self::Softplus => each(x, softplus),
            Self::Sign => each(x, |v| if v < 0.0 { -1.0 } else { 1.0 }),
            Self::Step => each(x, |v| if v < 0.0 { 0.0 } else { 1.0 }),
        }
    }

    /// The value below which all numbers become the same one.
    pub(super) fn blind_below(self) -> Option<f32> {
        matches!(self, Self::Relu | Self::Sign | Self::Step).then_some(0.0)
    }
}

/// An error about a key of `[model]`.
fn misfit(key: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Spec, Place::key("model", key), expected, found)
}

choices! {
    /// The standard deviation of the initial weights of a linear map.
    pub enum WeightInit default He {
        /// √(2 / inputs), which keeps the size of what passes a ReLU (He et al. 2015).
        He = "he",
        /// 1 / √inputs, which keeps the size of what passes tanh near zero (LeCun et al. 1998).
        Lecun = "lecun",
    }
}

/// A multilayer perceptron: `fc1`, `fc2`, … with an activation between them.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// Input width, hidden widths, output width.
    widths: Vec<usize>,
    activation: Activation,
    residual: bool,
    init: WeightInit,
}

impl Mlp {
    /// A perceptron with layers of these widths, from the input to the output.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if a width is zero or there are fewer than two.
    pub fn new(widths: &[usize], activation: Activation) -> Result<Self> {
        if widths.len() < 2 || widths.contains(&0) {
            return Err(Error::expected(
                ErrorKind::Spec,
                "model",
                "two or more widths of at least 1",
                format!("{widths:?}"),
            ));
        }
        Ok(Self { widths: widths.to_vec(), activation, residual: false, init: WeightInit::He })
    }

    /// Whether what enters a hidden layer is added to what it answers, wherever both are of one width: `x ← x + W φ(x) + b`
    /// (He et al. 2016, arXiv 1603.05027).
    #[must_use]
    pub fn residual(mut self, residual: bool) -> Self {
        self.residual = residual;
        self
    }

    /// Sets how large the initial weights are.
    #[must_use]
    pub fn init(mut self, init: WeightInit) -> Self {
        self.init = init;
        self
    }

    /// The number of values in a row of the input.
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }
}

impl Model for Mlp {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let mut x = g.flatten(x);
        if x.shape()[2] != self.widths[0] {
            let found = format!("rows of {}", x.shape()[2]);
            return Err(Error::expected(
                ErrorKind::Model,
                "input",
                format!("rows of {}", self.widths[0]),
                found,
            ));
        }
        if self.residual {
            g.probe_everywhere();
        }
        g.weight_init(self.init);
        for (layer, width) in self.widths.iter().enumerate().skip(1) {
            let before = x;
            if layer > 1 {
                x = g.map(self.activation, x);
            }
            x = g.linear(&format!("fc{layer}"), x, *width);
            let hidden = 1 < layer && layer + 1 < self.widths.len();
            if self.residual && hidden && before.shape() == x.shape() {
                x = g.add(before, x);
            }
        }
        Ok(x)
    }
}

choices! {
    /// The pooling that turns the last feature map into the dense layer's input.
    pub enum GlobalPool default Average {
        /// Each channel's average.
        Average = "average",
        /// Each channel's maximum.
        Max = "max",
        /// Nothing: every value is an input.
        None = "none",
    }
}

/// A chain of 3×3 convolutions `conv1`, `conv2`, … (each with its `norm`), then `fc`.
#[derive(Clone, Debug)]
pub struct Conv {
    /// `[height, width, channels]` of the input.
    pub input: [usize; 3],
    /// Output channels of each convolution.
    pub channels: Vec<usize>,
    /// Convolutions (counted from 0) followed by a 2×2 average pool.
    pub average_pool_after: Vec<usize>,
    /// Convolutions followed by a 2×2 max pool (after the activation).
    pub max_pool_after: Vec<usize>,
    /// Whether each convolution is followed by batch normalisation.
    pub batch_norm: bool,
    /// Whether convolutions and `fc` have biases.
    pub bias: bool,
    /// For each convolution, the earlier one whose output is added to its own, averaged by 2×2 as often as there are pools between; empty for
    /// none at all.
    pub residual: Vec<Option<usize>>,
    /// The activation after every layer but the last.
    pub activation: Activation,
    /// The pooling before `fc`.
    pub global_pool: GlobalPool,
    /// The number of outputs.
    pub outputs: usize,
}

impl Conv {
    /// Checks that the lists of layers fit each other, which needs no input.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] saying which list does not fit.
    pub(crate) fn check_layers(&self) -> Result<()> {
        let layers = self.channels.len();
        if layers == 0 || self.channels.contains(&0) {
            let (expected, found) = match layers {
                0 => ("at least one layer", "an array of 0".into()),
                _ => ("at least one channel in each layer", format!("{:?}", self.channels)),
            };
            return Err(misfit("channels", expected, found));
        }
        let mut pooled = vec![false; layers];
        for (key, after) in
            [("pool_after", &self.average_pool_after), ("max_pool_after", &self.max_pool_after)]
        {
            for &layer in after {
                match pooled.get_mut(layer) {
                    None => return Err(misfit(key, format!("layers below {layers}"), layer)),
                    Some(true) => {
                        return Err(misfit(
                            key,
                            "one pool after a layer",
                            format!("two after layer {layer}"),
                        ));
                    }
                    Some(pooled) => *pooled = true,
                }
            }
        }
        if !self.residual.is_empty() && self.residual.len() != layers {
            let expected = format!("one entry for each of the {layers} layers of model.channels");
            return Err(misfit("residual", expected, format!("an array of {}", self.residual.len())));
        }
        let from_later =
            |(layer, source): (usize, &Option<usize>)| source.filter(|s| *s >= layer).map(|s| (layer, s));
        match self.residual.iter().enumerate().find_map(from_later) {
            Some((layer, source)) => {
                let expected = format!("-1 or a layer before layer {layer}");
                Err(misfit("residual", expected, format!("{source} at index {layer}")))
            }
            None => Ok(()),
        }
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] saying which part does not fit.
    pub fn checked(self) -> Result<Self> {
        self.check_layers()?;
        let layers = self.channels.len();
        let bad = |place: Place, expected: &str, found: String| {
            Err(Error::expected(ErrorKind::Spec, place, expected, found))
        };
        if self.input[2] == 0 || self.outputs == 0 {
            let found = format!("{} and {}", self.input[2], self.outputs);
            return bad("model".into(), "at least one channel in and one number out", found);
        }
        let [h, w, _] = self.shape_after(layers - 1);
        if h == 0 || w == 0 {
            return bad("model".into(), "at least one pixel left after pooling", format!("{h} × {w}"));
        }
        Ok(self)
    }

    /// The shape of the input of convolution `layer`'s successor: after its pools.
    fn shape_after(&self, layer: usize) -> [usize; 3] {
        let pools = |list: &[usize]| list.iter().filter(|i| **i <= layer).count();
        let shift = pools(&self.average_pool_after) + pools(&self.max_pool_after);
        let halved = |n: usize| n.checked_shr(shift as u32).unwrap_or(0);
        [halved(self.input[0]), halved(self.input[1]), self.channels[layer]]
    }

    fn source(&self, layer: usize) -> Option<usize> {
        self.residual.get(layer).copied().flatten()
    }

    /// A linear map, with what belongs to it.
    fn layer(&self, g: &mut Builder, name: &str, x: Var, outputs: usize, convolves: bool) -> Var {
        match (convolves, self.bias) {
            (true, true) => g.conv3x3(name, x, outputs),
            (true, false) => g.conv3x3_without_bias(name, x, outputs),
            (false, true) => g.linear(name, x, outputs),
            (false, false) => g.linear_without_bias(name, x, outputs),
        }
    }

    fn norm(&self, g: &mut Builder, name: &str, x: Var) -> Var {
        if self.batch_norm { g.batch_norm(name, x) } else { x }
    }
}

impl Model for Conv {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        self.check_layers()?;
        if self.residual.iter().any(Option::is_some) {
            g.probe_everywhere();
        }
        let mut x = g.input();
        if x.shape() != self.input {
            let (expected, found) = (format!("{:?}", self.input), format!("{:?}", x.shape()));
            return Err(Error::expected(ErrorKind::Model, "input", expected, found));
        }
        let mut layers: Vec<Var> = Vec::new();
        for (layer, channels) in self.channels.iter().enumerate() {
            let number = layer + 1;
            x = self.layer(g, &format!("conv{number}"), x, *channels, true);
            if self.average_pool_after.contains(&layer) {
                x = g.average_pool(x);
            }
            x = self.norm(g, &format!("norm{number}"), x);
            if let Some(source) = self.source(layer) {
                let mut shortcut = layers[source];
                while shortcut.shape()[..2] != x.shape()[..2] {
                    shortcut = g.average_pool(shortcut);
                }
                if self.channels[source] != *channels {
                    let name = format!("shortcut{number}");
                    shortcut = self.layer(g, &name, shortcut, *channels, false);
                    shortcut = self.norm(g, &format!("{name}norm"), shortcut);
                }
                x = g.add(x, shortcut);
            }
            layers.push(x);
            x = g.map(self.activation, x);
            if self.max_pool_after.contains(&layer) {
                x = g.max_pool(x);
            }
        }
        let x = match self.global_pool {
            GlobalPool::Average => g.global_average(x),
            GlobalPool::Max => g.global_max(x),
            GlobalPool::None => g.flatten(x),
        };
        Ok(self.layer(g, "fc", x, self.outputs, false))
    }
}
