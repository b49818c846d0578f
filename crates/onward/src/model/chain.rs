//! The models that specs can name: multilayer perceptrons and chains of 3×3 convolutions.

use super::outline::count_of;
use super::{Act, Context, Model, Operation};
use crate::choices;
use crate::kernel::{gelu, relu, tanh};
use crate::params::{Init, TensorSpec};
use crate::{Error, ErrorKind, Place, Result};

choices! {
    /// What stands between two linear maps.
    pub enum Activation default Relu {
        /// max(0, x)
        Relu = "relu",
        /// The hyperbolic tangent.
        Tanh = "tanh",
        /// The Gaussian error linear unit.
        Gelu = "gelu",
        /// -1 or 1.
        Sign = "sign",
        /// 0 or 1.
        Step = "step",
    }
}

impl Activation {
    /// Every number through the function.
    #[must_use]
    pub fn apply(self, mut x: Act) -> Act {
        if x.rectified && self == Self::Relu {
            x.links.clear();
            return x;
        }
        x.map_slices(|piece| self.apply_to(piece))
    }

    /// The same in place.
    pub fn apply_to(self, x: &mut [f32]) {
        let each = |x: &mut [f32], f: fn(f32) -> f32| x.iter_mut().for_each(|v| *v = f(*v));
        match self {
            Self::Relu => relu(x),
            Self::Tanh => each(x, tanh),
            Self::Gelu => each(x, gelu),
            Self::Sign => each(x, |v| if v < 0.0 { -1.0 } else { 1.0 }),
            Self::Step => each(x, |v| if v < 0.0 { 0.0 } else { 1.0 }),
        }
    }

    /// The value below which all numbers become the same one.
    fn blind_below(self) -> Option<f32> {
        matches!(self, Self::Relu | Self::Sign | Self::Step).then_some(0.0)
    }
}

/// An error about a key of `[model]`.
fn misfit(key: &str, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Spec, Place::key("model", key), expected, found)
}

fn weight(layer: &str, shape: Vec<usize>) -> TensorSpec {
    // What is too large for a count is refused where the model is made.
    let fan_in = shape[1..].iter().fold(1usize, |n, axis| n.saturating_mul(*axis));
    TensorSpec { name: format!("{layer}.weight"), shape, init: Init::He { fan_in } }
}

fn vector(name: String, n: usize, value: f32) -> TensorSpec {
    TensorSpec { name, shape: vec![n], init: Init::Constant(value) }
}

/// A multilayer perceptron: `fc1`, `fc2`, … with an activation between them.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// Input width, hidden widths, output width.
    widths: Vec<usize>,
    names: Vec<String>,
    activation: Activation,
}

impl Mlp {
    /// Widths from the input to the output.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if a width is zero, there are fewer than two, or more weights than there can be.
    pub fn new(widths: &[usize], activation: Activation) -> Result<Self> {
        if widths.len() < 2 || widths.contains(&0) {
            return Err(Error::expected(
                ErrorKind::Spec,
                "model",
                "two or more widths of at least 1",
                format!("{widths:?}"),
            ));
        }
        let names = (1..widths.len()).map(|i| format!("fc{i}")).collect();
        let net = Self { widths: widths.to_vec(), names, activation };
        count_of(&net.tensors())?;
        Ok(net)
    }
}

impl Model for Mlp {
    fn tensors(&self) -> Vec<TensorSpec> {
        let layers = self.names.iter().zip(self.widths.windows(2));
        layers
            .flat_map(|(name, w)| [weight(name, vec![w[1], w[0]]), vector(format!("{name}.bias"), w[1], 0.0)])
            .collect()
    }

    fn stages(&self) -> usize {
        self.names.len()
    }

    fn stage(&self, stage: usize, cx: &mut Context<'_>, x: Act) -> Act {
        let x = if stage == 0 { x.flatten() } else { self.activation.apply(x) };
        cx.linear(&self.names[stage], &x)
    }

    fn operations(&self, stage: usize) -> Option<Vec<Operation>> {
        let first = if stage == 0 { Operation::Flatten } else { Operation::Activation(self.activation) };
        Some(vec![first, Operation::Linear(self.names[stage].clone())])
    }

    fn by_operations(&self, _: usize) -> bool {
        true
    }

    fn width(&self, stage: usize) -> usize {
        self.widths[stage + 1]
    }

    fn flops(&self, stage: usize) -> u64 {
        2 * (self.widths[stage] * self.widths[stage + 1]) as u64
    }

    fn blind_below(&self, stage: usize) -> Option<f32> {
        self.activation.blind_below().filter(|_| stage + 1 < self.stages())
    }
}

choices! {
    /// What turns the last feature map into the dense layer's input.
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
    /// For each convolution, the earlier one whose output is added to its own; empty for none at all.
    pub residual: Vec<Option<usize>>,
    /// What stands between two layers.
    pub activation: Activation,
    /// What comes before `fc`.
    pub global_pool: GlobalPool,
    /// Numbers that the net answers with.
    pub outputs: usize,
}

impl Conv {
    /// Checks what needs no input: that the lists of layers fit each other.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] saying which list does not fit.
    pub fn check_layers(&self) -> Result<()> {
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
        let mut open: Option<usize> = None;
        for (layer, source) in self.residual.iter().enumerate() {
            let Some(source) = *source else { continue };
            let overlaps = open.is_some_and(|end| source < end);
            let fits =
                source < layer && !overlaps && self.shape_out(source)[..2] == self.shape_out(layer)[..2];
            if !fits {
                let expected = "an earlier convolution of the same size, not inside another residual";
                return Err(misfit("residual", format!("for layer {layer} {expected}"), source));
            }
            open = Some(layer);
        }
        count_of(&self.tensors())?;
        Ok(self)
    }

    /// The shape of the input of convolution `layer`'s successor: after its pools.
    fn shape_after(&self, layer: usize) -> [usize; 3] {
        let pools = |list: &[usize]| list.iter().filter(|i| **i <= layer).count();
        let shift = pools(&self.average_pool_after) + pools(&self.max_pool_after);
        let halved = |n: usize| n.checked_shr(shift as u32).unwrap_or(0);
        [halved(self.input[0]), halved(self.input[1]), self.channels[layer]]
    }

    /// The shape of what convolution `layer`'s stage hands over: a max pool belongs to the next one, after the activation.
    fn shape_out(&self, layer: usize) -> [usize; 3] {
        let [h, w, _] = self.shape_into(layer);
        let halvings = usize::from(self.average_pool_after.contains(&layer));
        [h >> halvings, w >> halvings, self.channels[layer]]
    }

    fn shape_into(&self, layer: usize) -> [usize; 3] {
        if layer == 0 { self.input } else { self.shape_after(layer - 1) }
    }

    fn source(&self, layer: usize) -> Option<usize> {
        self.residual.get(layer).copied().flatten()
    }

    fn fc_inputs(&self) -> usize {
        let [h, w, c] = self.shape_after(self.channels.len() - 1);
        if self.global_pool == GlobalPool::None { h.saturating_mul(w).saturating_mul(c) } else { c }
    }

    fn needs_shortcut(&self, layer: usize) -> bool {
        self.source(layer).is_some_and(|s| self.channels[s] != self.channels[layer])
    }

    fn norm(&self, cx: &mut Context<'_>, layer: &str, x: Act) -> Act {
        if self.batch_norm { cx.batch_norm(layer, x) } else { x }
    }

    /// What a stage does but for what residual connections add.
    fn list(&self, stage: usize) -> Vec<Operation> {
        let mut list = Vec::new();
        if stage > 0 {
            list.push(Operation::Activation(self.activation));
            if self.max_pool_after.contains(&(stage - 1)) {
                list.push(Operation::MaxPool);
            }
        }
        if stage == self.channels.len() {
            list.push(match self.global_pool {
                GlobalPool::Average => Operation::GlobalAverage,
                GlobalPool::Max => Operation::GlobalMax,
                GlobalPool::None => Operation::Flatten,
            });
            list.push(Operation::Linear("fc".into()));
            return list;
        }
        list.push(Operation::Conv3x3(format!("conv{}", stage + 1)));
        if self.average_pool_after.contains(&stage) {
            list.push(Operation::AveragePool);
        }
        if self.batch_norm {
            list.push(Operation::BatchNorm(format!("norm{}", stage + 1)));
        }
        list
    }

    fn convolution(&self, layer: usize, cx: &mut Context<'_>, mut x: Act) -> Act {
        let mut carried = x.carried.take();
        if layer > 0 && self.residual.contains(&Some(layer - 1)) {
            carried = Some(Box::new(Act { carried: None, links: Vec::new(), ..x.clone() }));
        }
        let mut y = self.list(layer).iter().fold(x, |x, operation| operation.run(cx, x));
        if self.source(layer).is_some()
            && let Some(source) = carried.take()
        {
            let shortcut = if self.needs_shortcut(layer) {
                let name = format!("shortcut{}", layer + 1);
                let s = cx.linear(&name, &source);
                self.norm(cx, &format!("{name}norm"), s)
            } else {
                *source
            };
            y = y.plus(&shortcut);
        }
        y.carried = carried;
        y
    }
}

impl Model for Conv {
    fn tensors(&self) -> Vec<TensorSpec> {
        let mut all = Vec::new();
        let mut layer = |name: String, norm: String, shape: Vec<usize>| {
            let n = shape[0];
            all.push(weight(&name, shape));
            if self.bias {
                all.push(vector(format!("{name}.bias"), n, 0.0));
            }
            if self.batch_norm {
                all.push(vector(format!("{norm}.weight"), n, 1.0));
                all.push(vector(format!("{norm}.bias"), n, 0.0));
            }
        };
        for (i, n) in self.channels.iter().enumerate() {
            layer(format!("conv{}", i + 1), format!("norm{}", i + 1), vec![*n, 3, 3, self.shape_into(i)[2]]);
            if self.needs_shortcut(i) {
                let from = self.source(i).map_or(0, |s| self.channels[s]);
                layer(format!("shortcut{}", i + 1), format!("shortcut{}norm", i + 1), vec![*n, from]);
            }
        }
        all.push(weight("fc", vec![self.outputs, self.fc_inputs()]));
        if self.bias {
            all.push(vector("fc.bias".into(), self.outputs, 0.0));
        }
        all
    }

    fn stages(&self) -> usize {
        self.channels.len() + 1
    }

    fn stage(&self, stage: usize, cx: &mut Context<'_>, x: Act) -> Act {
        if stage < self.channels.len() {
            return self.convolution(stage, cx, x);
        }
        self.list(stage).iter().fold(x, |x, operation| operation.run(cx, x))
    }

    fn by_operations(&self, _: usize) -> bool {
        true
    }

    fn operations(&self, stage: usize) -> Option<Vec<Operation>> {
        self.residual.iter().all(Option::is_none).then(|| self.list(stage))
    }

    fn width(&self, stage: usize) -> usize {
        if stage == self.channels.len() {
            return self.outputs;
        }
        self.shape_out(stage).iter().product()
    }

    fn flops(&self, stage: usize) -> u64 {
        if stage == self.channels.len() {
            return 2 * (self.fc_inputs() * self.outputs) as u64;
        }
        let [h, w, c] = self.shape_into(stage);
        let shortcut =
            if self.needs_shortcut(stage) { self.source(stage).map_or(0, |s| self.channels[s]) } else { 0 };
        2 * (h * w * self.channels[stage] * (9 * c + shortcut)) as u64
    }

    fn blind_below(&self, stage: usize) -> Option<f32> {
        // A residual connection carries a stage's output past the activation.
        let plain = self.residual.iter().all(Option::is_none) && stage < self.channels.len();
        self.activation.blind_below().filter(|_| plain)
    }
}
