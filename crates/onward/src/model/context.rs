//! The one door for noise: a model asks the context for its products, and the context adds the perturbation of each
//! row's member, or nothing. No model knows that noise exists.

use super::outline::Dry;
use super::{Act, After, Home, Link, LinkKind, Neighbours, Norms, Probe, Trace, Weights};
use crate::kernel::Epilogue;

/// Positions that a product works on at once, its bias and corrections following while they are hot; the same for any
/// number of threads.
const POSITIONS: usize = 256;
/// Of a convolution, whose work per position is smaller.
const PIXELS: usize = 4096;

/// What a product with weights is asked for.
#[derive(Clone, Copy)]
pub(super) struct Map {
    pub kind: LinkKind,
    /// Index of the weight.
    pub weight: usize,
    /// Index of the bias, if there is one.
    pub bias: Option<usize>,
    /// Whether the ReLU of the result is wanted.
    pub relu: bool,
}

/// Runs a model's operations on packed params, adding a probe's noise where there is one.
pub struct Context<'a> {
    pub(super) weights: &'a Weights<'a>,
    pub(super) probe: Option<Probe<'a>>,
    pub(super) rows_per_member: usize,
    pub(super) norms: Norms<'a>,
    pub(super) trace: Option<Trace>,
    /// On a dry run: what was asked for.
    pub(super) dry: Option<Dry>,
    pub(super) home: Home,
    pub(super) neighbours: Option<&'a Neighbours<'a>>,
    /// Whether noise was added already: until then all members' rows are the same.
    pub(super) noisy: bool,
    /// Whether the ReLU of the next linear map is all that is looked at.
    pub(super) relu_follows: bool,
}

impl<'a> Context<'a> {
    /// A context without noise.
    pub fn clean(weights: &'a Weights<'a>, norms: Norms<'a>) -> Self {
        let (home, neighbours) = (Home::keeping(), None);
        Self {
            weights,
            probe: None,
            rows_per_member: usize::MAX,
            norms,
            trace: None,
            dry: None,
            home,
            neighbours,
            noisy: false,
            relu_follows: false,
        }
    }

    /// A context in which each member of `probe` sees `rows_per_member` rows.
    pub fn probing(
        weights: &'a Weights<'a>,
        norms: Norms<'a>,
        probe: Probe<'a>,
        rows_per_member: usize,
    ) -> Self {
        Self { probe: Some(probe), rows_per_member, ..Self::clean(weights, norms) }
    }

    /// The same with buffers from `home`.
    #[must_use]
    pub fn with_home(self, home: Home) -> Self {
        Self { home, ..self }
    }

    /// The same for members that are some of `neighbours`, all of which see the same rows.
    #[must_use]
    pub(crate) fn among(self, neighbours: &'a Neighbours<'a>) -> Self {
        Self { neighbours: Some(neighbours), ..self }
    }

    /// Keeps a trace from now on.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// Hands out the trace kept since [`Context::start_trace`].
    pub fn take_trace(&mut self) -> Trace {
        self.trace.take().unwrap_or_default()
    }

    pub(super) fn tensor(&self, layer: &str, part: &str) -> usize {
        // A model that asks for a tensor it did not declare is a bug in that model, not bad data.
        self.weights
            .params()
            .find(layer, part)
            .unwrap_or_else(|| panic!("the model declares no tensor {layer}.{part}"))
    }

    /// `y = x Wᵀ + b` at every position, with `{layer}.weight (out, in)` and, if the model declares it, `{layer}.bias (out)`.
    ///
    /// # Panics
    /// If the model did not declare the weight or `x` has another number of channels: bugs in the model.
    #[must_use]
    pub fn linear(&mut self, layer: &str, x: &Act) -> Act {
        self.mapped(LinkKind::Linear, layer, x)
    }

    /// A 3×3 convolution with zero padding of one: `{layer}.weight (out, 3, 3, in)` and, if declared, `{layer}.bias (out)`.
    ///
    /// # Panics
    /// As for [`Context::linear`].
    #[must_use]
    pub fn conv3x3(&mut self, layer: &str, x: &Act) -> Act {
        self.mapped(LinkKind::Conv, layer, x)
    }

    /// A product with weights and the probe's noise on them.
    fn mapped(&mut self, kind: LinkKind, layer: &str, x: &Act) -> Act {
        if let Some(y) = self.dry_map(kind, layer, x) {
            return y;
        }
        let relu = std::mem::take(&mut self.relu_follows) && self.trace.is_none() && x.spread.is_none();
        if let Some(spread) = &x.spread {
            if self.probe.is_some() || self.trace.is_some() {
                return self.mapped(kind, layer, &x.clone().whole());
            }
            let even = Act { spread: None, ..x.clone() };
            let base = self.mapped(kind, layer, &even);
            let packed = self.weights.packed(self.tensor(layer, "weight"));
            return spread.through(packed, self.weights.idle(), x.shape, &base);
        }
        let weight = self.tensor(layer, "weight");
        let bias = self.weights.params().find(layer, "bias");
        let (kind_of_weights, channels) = match self.weights.params().tensors()[weight].shape.as_slice() {
            [_, 3, 3, c] => (Some(LinkKind::Conv), *c),
            [_, k] => (Some(LinkKind::Linear), *k),
            _ => (None, 0),
        };
        assert_eq!(kind_of_weights, Some(kind), "the kind of {layer}.weight");
        assert_eq!(channels, x.channels(), "channels into {layer}");
        let relu = relu && kind == LinkKind::Linear;
        let map = Map { kind, weight, bias, relu };
        let noisy = self.dense(map, x).or_else(|| self.low_rank(map, x));
        self.noisy |= noisy.is_some();
        let mut y = noisy.unwrap_or_else(|| self.shared_by_all(map, x));
        y.rectified = relu;
        y.carried.clone_from(&x.carried);
        if let Some(trace) = &mut self.trace {
            y.links = vec![trace.links.len()];
            let input = Act { carried: None, ..x.clone() };
            trace.links.push(Link { kind, input, weight, bias, after: Vec::new() });
        }
        y
    }

    /// The product with the weights as they are.
    fn shared_by_all(&self, Map { weight, bias, relu, .. }: Map, x: &Act) -> Act {
        let packed = self.weights.packed(weight);
        let shape = [x.shape[0], x.shape[1], packed.outputs()];
        let mut y = Act::of(x.rows, shape, self.home.take(x.rows * shape.iter().product::<usize>()));
        let bias = bias.map_or(&[][..], |bias| &self.weights.params().tensors()[bias].data);
        let epilogue = Epilogue { bias, relu };
        packed.product([shape[0], shape[1]], &x.data, &mut y.data, epilogue, self.weights.idle());
        y
    }

    /// 2×2 average pooling, itself a linear map: a stage may end with it.
    #[must_use]
    pub fn average_pool(&mut self, x: &Act) -> Act {
        let mut y = x.average_pool();
        if let Some(trace) = &mut self.trace {
            for link in &x.links {
                trace.links[*link].after.push(After::Pool([x.shape[0], x.shape[1]]));
            }
            y.links.clone_from(&x.links);
        }
        y
    }

    /// Every member with rows of its own, from where its noise makes them differ on.
    pub(super) fn each_with_own_rows(&mut self, x: Act) -> Act {
        let members = self.probe.as_ref().map_or(1, |p| p.members.len());
        self.noisy |= self.probe.is_some();
        if members > 1 && x.rows == self.rows_per_member { x.repeat(members) } else { x }
    }
}

/// Rows that a product works on at once.
pub(super) fn member_rows(points: usize, kind: LinkKind) -> usize {
    let positions = if kind == LinkKind::Conv { PIXELS } else { POSITIONS };
    (positions / points.max(1)).max(1)
}

/// The rows of one member: its own, or those that all see.
pub(super) fn slice_of_rows(x: &Act, rows: usize, member: usize) -> &[f32] {
    let first = if x.rows == rows { 0 } else { member * rows };
    &x.data[first * x.width()..(first + rows) * x.width()]
}
