//! The one door for noise: a graph asks the context for its products, and the context adds the perturbation of each
//! row's member, or nothing. No model knows that noise exists.

use super::{Act, BufferPool, Chance, LinkKind, Map, Neighbours, Norms, Probe, Trace, Weights};
use crate::kernel::Epilogue;

/// Positions that a product works on at once, its bias and corrections following while they are hot; the same for any
/// number of threads.
const POSITIONS: usize = 256;
/// Of a convolution, whose work per position is smaller.
const PIXELS: usize = 4096;

/// What a product with weights is asked for.
#[derive(Clone, Copy)]
pub(super) struct Product {
    /// The graph's node.
    pub node: usize,
    pub map: Map,
    /// Whether the ReLU of the result is all that is looked at.
    pub relu: bool,
}

/// Runs a model's operations on packed params, adding a probe's noise where there is one.
pub struct Context<'a> {
    pub(super) weights: &'a Weights<'a>,
    pub(super) probe: Option<Probe<'a>>,
    pub(super) rows_per_member: usize,
    pub(super) norms: Norms<'a>,
    pub(super) trace: Option<Trace>,
    pub(super) buffers: BufferPool,
    pub(super) neighbours: Option<&'a Neighbours<'a>>,
    /// The chance inside the model.
    pub(super) chance: Chance,
    /// Whether noise was added already: until then all members' rows are the same.
    pub(super) noisy: bool,
}

impl<'a> Context<'a> {
    /// A context without noise.
    pub fn clean(weights: &'a Weights<'a>, norms: Norms<'a>) -> Self {
        let (buffers, neighbours) = (BufferPool::keeping(), None);
        Self {
            weights,
            probe: None,
            rows_per_member: usize::MAX,
            norms,
            trace: None,
            buffers,
            neighbours,
            chance: Chance::Evaluation(0),
            noisy: false,
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

    /// The same context with buffers from a pool.
    #[must_use]
    pub(crate) fn with_buffers(self, buffers: BufferPool) -> Self {
        Self { buffers, ..self }
    }

    /// The same for members that are some of `neighbours`, all of which see the same rows.
    #[must_use]
    pub(crate) fn among(self, neighbours: &'a Neighbours<'a>) -> Self {
        Self { neighbours: Some(neighbours), ..self }
    }

    /// How many members there are; 1 where there is no probe.
    pub fn members(&self) -> usize {
        self.probe.as_ref().map_or(1, |probe| probe.members.len())
    }

    /// Starts keeping a trace.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// The same where nothing is asked of maps at and before a node.
    pub(crate) fn start_trace_behind(&mut self, node: usize) {
        self.trace = Some(Trace::behind(node));
    }

    /// Returns the trace kept since [`Context::start_trace`].
    pub(crate) fn take_trace(&mut self) -> Trace {
        self.trace.take().unwrap_or_default()
    }

    /// A product with weights and the probe's noise on them. What a graph asks for fits: it was checked where it was built.
    pub(super) fn mapped(&mut self, product: Product, x: &Act) -> Act {
        let Product { node, map, relu } = product;
        if let Some(spread) = &x.spread {
            if self.probe.is_some() || self.trace.is_some() {
                return self.mapped(product, &x.clone().whole());
            }
            let even = Act { spread: None, ..x.clone() };
            let base = self.mapped(Product { relu: false, ..product }, &even);
            return self.weights.packed(map.weight, map.kind, |packed| {
                spread.through(packed, self.weights.idle(), &self.buffers, x.shape, &base)
            });
        }
        let relu = relu && self.trace.is_none() && map.kind == LinkKind::Linear;
        let product = Product { relu, ..product };
        let noisy = self.dense(product, x).or_else(|| self.low_rank(product, x));
        self.noisy |= noisy.is_some();
        let mut y = noisy.unwrap_or_else(|| self.shared_by_all(product, x));
        y.rectified = relu;
        if let Some(trace) = &mut self.trace {
            trace.keep(node, x.clone(), Vec::new());
        }
        y
    }

    /// The product with the weights as they are.
    fn shared_by_all(&self, Product { map: Map { kind, weight, bias }, relu, .. }: Product, x: &Act) -> Act {
        let tensors = self.weights.params().tensors();
        let bias = bias.map(|bias| tensors[bias].data.floats());
        let epilogue = Epilogue { bias: bias.as_deref().unwrap_or_default(), relu };
        let outputs = tensors[weight].matrix().map_or(0, |(outputs, _)| outputs);
        let shape = [x.shape[0], x.shape[1], outputs];
        let mut y = Act::of(x.rows, shape, self.buffers.take(x.rows * shape.iter().product::<usize>()));
        self.weights.product(weight, kind, [shape[0], shape[1]], &x.data, &mut y.data, epilogue);
        y
    }

    /// The rows `x` for a map: every member's own, if the probe moves the map's tensors.
    pub(super) fn rows_for(&mut self, map: Map, x: Act) -> Act {
        if self.probe.is_some_and(|probe| !probe.moves(map)) { x } else { self.each_with_own_rows(x) }
    }

    /// Every member with rows of its own, from where its noise makes them differ on.
    fn each_with_own_rows(&mut self, x: Act) -> Act {
        let members = self.members();
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
