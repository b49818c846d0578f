//! The one door for noise: a model asks the context for its products, and the context adds the perturbation of each
//! row's member, or nothing. No model knows that noise exists.

use super::Act;
use crate::kernel::{
    Conv3, Panels, Start, add_outer, conv3x3, conv3x3_single, dot, normalise, product, scale_and_shift,
};
use crate::noise::{Family, Role, RunKey, TensorKey};
use crate::params::{Params, Tensor};
use rayon::prelude::*;

/// Added to variances before the square root.
const NORM_EPSILON: f32 = 1e-5;
/// Positions that a normalisation works on at once.
const PIXELS: usize = 512;
/// Rows of a product that one task works on; the same for any number of threads.
const ROWS: usize = 256;

/// Params packed for products, once per step, with the noise key of each tensor.
pub struct Weights<'a> {
    params: &'a Params,
    packed: Vec<Packed>,
    keys: Vec<TensorKeys>,
}

enum Packed {
    Vector,
    Matrix(Panels),
    Conv([Panels; 3]),
}

/// The noise keys of one tensor in the roles that probes use.
#[derive(Clone, Copy)]
pub struct TensorKeys {
    /// Noise over the whole tensor.
    pub dense: TensorKey,
    /// Output-side factors.
    pub left: TensorKey,
    /// Input-side factors.
    pub right: TensorKey,
}

impl TensorKeys {
    /// The keys of the tensor called `name`.
    pub fn new(key: &RunKey, name: &str) -> Self {
        Self {
            dense: key.tensor(Role::Dense, name),
            left: key.tensor(Role::Left, name),
            right: key.tensor(Role::Right, name),
        }
    }
}

impl<'a> Weights<'a> {
    /// Packs `params`; `key` names the noise of probes on them.
    pub fn new(params: &'a Params, key: &RunKey) -> Self {
        let packed = params.tensors().par_iter().map(|t| pack(t, &t.data)).collect();
        let keys = params.tensors().iter().map(|t| TensorKeys::new(key, &t.name)).collect();
        Self { params, packed, keys }
    }

    /// The params that were packed.
    pub fn params(&self) -> &'a Params {
        self.params
    }
}

fn pack(tensor: &Tensor, data: &[f32]) -> Packed {
    match tensor.shape.as_slice() {
        [n, 3, 3, c] => Packed::Conv(std::array::from_fn(|dy| {
            let rows: Vec<f32> =
                data.chunks_exact(9 * c).flat_map(|o| &o[dy * 3 * c..][..3 * c]).copied().collect();
            Panels::transposed(&rows, *n, 3 * c)
        })),
        [n, k] => Packed::Matrix(Panels::transposed(data, *n, *k)),
        _ => Packed::Vector,
    }
}

/// One member of a population: whose noise, and with which sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Member {
    /// The member's number in the noise.
    pub index: u32,
    /// +1 or -1.
    pub sign: f32,
}

/// What is added to the params while a model runs.
#[derive(Clone, Copy)]
pub struct Probe<'a> {
    /// Whose noise, one after the other in the rows.
    pub members: &'a [Member],
    /// Where and how.
    pub space: WeightSpace,
    /// The size of the perturbation: every weight moves by about this much.
    pub sigma: f32,
    /// The step in the noise.
    pub step: u32,
}

/// Where a weight-space probe acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum WeightSpace {
    /// On every weight alone.
    Dense {
        /// The distribution of the noise.
        noise: Family,
    },
    /// On every matrix along a sum of `rank` outer products (never formed), on every vector alone.
    LowRank {
        /// Outer products per matrix.
        rank: u32,
        /// The distribution of the factors and of the noise on vectors.
        noise: Family,
    },
}

impl WeightSpace {
    /// The distribution of the noise.
    pub fn noise(self) -> Family {
        match self {
            Self::Dense { noise } | Self::LowRank { noise, .. } => noise,
        }
    }

    /// What the noise on a tensor is multiplied by to have unit variance: on matrices in low-rank space the factors' product
    /// and `1/√rank`, else the family's own. Always a power of two, so that steps stay exact: for ranks that are no power of
    /// four the variance is off by at most a factor of two.
    pub fn scale(self, is_matrix: bool) -> f32 {
        match self {
            Self::LowRank { rank, noise } if is_matrix => {
                // log₂ √rank, rounded: in integers, since a system's logarithm may be off in its last bit.
                let halvings = rank.max(1).ilog2().div_ceil(2);
                noise.scale() * noise.scale() / (1u64 << halvings) as f32
            }
            _ => self.noise().scale(),
        }
    }

    /// The largest absolute value of noise on any tensor, before [`WeightSpace::scale`]; `None` if it is not integer.
    pub fn largest(self) -> Option<u32> {
        let one = self.noise().largest()?;
        Some(if let Self::LowRank { rank, .. } = self { rank * one * one } else { one })
    }
}

/// Mean and variance of each channel at one normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The layer's name.
    pub layer: String,
    /// One mean per channel.
    pub mean: Vec<f32>,
    /// One variance per channel.
    pub variance: Vec<f32>,
}

/// Where a normalisation takes its statistics from.
#[derive(Clone, Copy)]
pub enum Norms<'a> {
    /// From the rows at hand, each member's alone.
    Batch,
    /// From statistics taken before: each row stands alone.
    Fixed(&'a [Statistics]),
}

/// What a clean pass through a stage leaves behind for crediting its output's derivative to its params.
#[derive(Default)]
pub struct Trace {
    /// Linear maps, in the order of their calls.
    pub links: Vec<Link>,
    /// Statistics of normalisations, in the order of their calls.
    pub statistics: Vec<Statistics>,
}

impl Trace {
    /// Puts 0 where an input is not finite: a sample that overflowed earns no credit, and 0 · ∞ must not spoil the others'.
    pub(crate) fn silence_overflow(&mut self) {
        for link in &mut self.links {
            link.input.data.par_chunks_mut(1 << 15).for_each(|piece| {
                piece.iter_mut().for_each(|v| *v = if v.is_finite() { *v } else { 0.0 });
            });
        }
    }
}

/// One linear map that a stage's output contains.
pub struct Link {
    /// What kind of map.
    pub kind: LinkKind,
    /// Its input (for a normalisation: the normalised input).
    pub input: Act,
    /// Index of its weight (for a normalisation: the scale).
    pub weight: usize,
    /// Index of its bias, if there is one.
    pub bias: Option<usize>,
    /// The linear maps without weights of their own that followed, in order.
    pub after: Vec<After>,
}

/// What may follow a linear map inside a stage.
pub enum After {
    /// A 2×2 average pool of maps of this `[height, width]`.
    Pool([usize; 2]),
    /// The normalisation with this index among the links, and the factor per channel that it applied.
    Norm(usize, Vec<f32>),
}

/// The kinds of linear maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// `x Wᵀ + b` at every position.
    Linear,
    /// A 3×3 convolution.
    Conv,
    /// `γ x̂ + β` per channel.
    Norm,
}

/// Runs a model's operations on packed params, adding a probe's noise where there is one.
pub struct Context<'a> {
    weights: &'a Weights<'a>,
    probe: Option<Probe<'a>>,
    rows_per_member: usize,
    norms: Norms<'a>,
    trace: Option<Trace>,
}

impl<'a> Context<'a> {
    /// A context without noise.
    pub fn clean(weights: &'a Weights<'a>, norms: Norms<'a>) -> Self {
        Self { weights, probe: None, rows_per_member: usize::MAX, norms, trace: None }
    }

    /// A context in which each member of `probe` sees `rows_per_member` rows.
    pub fn probing(
        weights: &'a Weights<'a>,
        norms: Norms<'a>,
        probe: Probe<'a>,
        rows_per_member: usize,
    ) -> Self {
        Self { weights, probe: Some(probe), rows_per_member, norms, trace: None }
    }

    /// Keeps a trace from now on.
    pub fn start_trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// Hands out the trace kept since [`Context::start_trace`].
    pub fn take_trace(&mut self) -> Trace {
        self.trace.take().unwrap_or_default()
    }

    fn members(&self) -> usize {
        self.probe.as_ref().map_or(1, |p| p.members.len())
    }

    fn tensor(&self, layer: &str, part: &str) -> usize {
        // A model that asks for a tensor it did not declare is a bug in that model, not bad data.
        self.weights
            .params
            .find(layer, part)
            .unwrap_or_else(|| panic!("the model declares no tensor {layer}.{part}"))
    }

    /// `y = x Wᵀ + b` at every position, with `{layer}.weight (out, in)` and, if the model declares it, `{layer}.bias (out)`.
    ///
    /// # Panics
    /// If the model did not declare the weight or `x` has another number of channels: bugs in the model.
    #[must_use]
    pub fn linear(&mut self, layer: &str, x: &Act) -> Act {
        let weight = self.tensor(layer, "weight");
        let Packed::Matrix(panels) = &self.weights.packed[weight] else {
            panic!("{layer}.weight is no matrix")
        };
        assert_eq!(panels.k(), x.channels(), "channels into {layer}");
        let shape = [x.shape[0], x.shape[1], panels.n()];
        let mut y = match self.probe {
            Some(Probe { space: WeightSpace::Dense { .. }, .. }) => {
                self.by_member(weight, x, shape, |packed, x, y| {
                    let Packed::Matrix(panels) = packed else { unreachable!("packed as a matrix above") };
                    linear_rows(panels, x, y);
                })
            }
            probe => {
                let mut y = vec![0.0; x.rows * shape.iter().product::<usize>()];
                linear_rows(panels, &x.data, &mut y);
                let mut y = self.replicate(Act::new(x.rows, shape, y));
                if let Some(Probe { space: WeightSpace::LowRank { rank, .. }, .. }) = probe {
                    self.low_rank(weight, rank, x, &mut y, |input, b, t| {
                        t.iter_mut().zip(input.chunks_exact(b.len())).for_each(|(t, x)| *t = dot(x, b));
                    });
                }
                y
            }
        };
        self.finish(LinkKind::Linear, layer, weight, x, &mut y);
        y
    }

    /// A 3×3 convolution with zero padding of one: `{layer}.weight (out, 3, 3, in)` and, if declared, `{layer}.bias (out)`.
    ///
    /// # Panics
    /// As for [`Context::linear`].
    #[must_use]
    pub fn conv3x3(&mut self, layer: &str, x: &Act) -> Act {
        let weight = self.tensor(layer, "weight");
        let Packed::Conv(panels) = &self.weights.packed[weight] else {
            panic!("{layer}.weight is no 3×3 convolution")
        };
        assert_eq!(panels[0].k(), 3 * x.channels(), "channels into {layer}");
        let conv = Conv3 { height: x.shape[0], width: x.shape[1], channels: x.channels() };
        let shape = [x.shape[0], x.shape[1], panels[0].n()];
        let mut y = match self.probe {
            Some(Probe { space: WeightSpace::Dense { .. }, .. }) => {
                self.by_member(weight, x, shape, |packed, x, y| {
                    let Packed::Conv(panels) = packed else { unreachable!("packed as a convolution above") };
                    conv_rows(conv, panels, x, y);
                })
            }
            probe => {
                let mut y = vec![0.0; x.rows * shape.iter().product::<usize>()];
                conv_rows(conv, panels, &x.data, &mut y);
                let mut y = self.replicate(Act::new(x.rows, shape, y));
                if let Some(Probe { space: WeightSpace::LowRank { rank, .. }, .. }) = probe {
                    let mut padded = vec![0.0; conv.padded()];
                    self.low_rank(weight, rank, x, &mut y, |input, b, t| {
                        for (image, t) in
                            input.chunks_exact(x.shape.iter().product()).zip(t.chunks_exact_mut(x.points()))
                        {
                            conv.pad(image, &mut padded);
                            conv3x3_single(conv, &padded, b, t);
                        }
                    });
                }
                y
            }
        };
        self.finish(LinkKind::Conv, layer, weight, x, &mut y);
        y
    }

    /// Subtracts the mean and divides by the standard deviation of each channel over rows and positions, then
    /// `γ x̂ + β` with `{layer}.weight` and `{layer}.bias` (Ioffe and Szegedy 2015, arXiv 1502.03167).
    ///
    /// # Panics
    /// If the model did not declare the tensors: a bug in the model.
    #[must_use]
    pub fn batch_norm(&mut self, layer: &str, mut x: Act) -> Act {
        let (weight, bias) = (self.tensor(layer, "weight"), self.tensor(layer, "bias"));
        let channels = x.channels();
        let block = x.rows.min(self.rows_per_member).max(1) * x.width();
        let links = std::mem::take(&mut x.links);
        for (member, block) in x.data.chunks_mut(block).enumerate() {
            let fixed = match self.norms {
                Norms::Fixed(all) => all.iter().find(|s| s.layer == layer).cloned(),
                Norms::Batch => None,
            };
            let statistics = fixed.unwrap_or_else(|| statistics_of(layer, block, channels));
            let inverse = inverse_deviation(&statistics);
            let (gamma, beta) = (self.vector(weight, member), self.vector(bias, member));
            let mut normalised = self.trace.as_ref().map(|_| Vec::with_capacity(block.len()));
            if let Some(normalised) = &mut normalised {
                block
                    .par_chunks_mut(channels * PIXELS)
                    .for_each(|piece| normalise(piece, &statistics.mean, &inverse));
                normalised.extend_from_slice(block);
                block
                    .par_chunks_mut(channels * PIXELS)
                    .for_each(|piece| scale_and_shift(piece, &gamma, &beta));
            } else {
                // The same operations while each piece is in the first-level cache.
                block.par_chunks_mut(channels * PIXELS).for_each(|piece| {
                    normalise(piece, &statistics.mean, &inverse);
                    scale_and_shift(piece, &gamma, &beta);
                });
            }
            if let (Some(normalised), Some(trace)) = (normalised, &mut self.trace) {
                let index = trace.links.len();
                let factors: Vec<f32> = gamma.iter().zip(&inverse).map(|(g, i)| g * i).collect();
                for link in &links {
                    trace.links[*link].after.push(After::Norm(index, factors.clone()));
                }
                let input = Act::new(x.rows, x.shape, normalised);
                let kind = LinkKind::Norm;
                trace.links.push(Link { kind, input, weight, bias: Some(bias), after: Vec::new() });
                trace.statistics.push(statistics);
                x.links.clone_from(&links);
                x.links.push(index);
            }
        }
        x
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

    /// Repeats rows that all members share, once for each.
    fn replicate(&self, mut y: Act) -> Act {
        let members = self.members();
        if members > 1 && y.rows == self.rows_per_member {
            y.data = y.data.repeat(members);
            y.rows *= members;
        }
        y
    }

    /// Adds `σ · s · t · a` to each member's rows, `t` being the input's product with the member's right factor.
    fn low_rank(
        &self,
        weight: usize,
        rank: u32,
        x: &Act,
        y: &mut Act,
        mut project: impl FnMut(&[f32], &[f32], &mut [f32]),
    ) {
        let Some(probe) = self.probe else { return };
        let Some((m, n)) = self.weights.params.tensors()[weight].matrix() else { return };
        let keys = &self.weights.keys[weight];
        let family = probe.space.noise();
        let points = self.rows_per_member * x.points();
        let (mut a, mut b, mut t) = (vec![0.0; m], vec![0.0; n], vec![0.0; points]);
        let shared = x.rows == self.rows_per_member;
        let scale = probe.sigma * probe.space.scale(true);
        for (i, (member, out)) in probe.members.iter().zip(y.data.chunks_exact_mut(points * m)).enumerate() {
            let size = self.rows_per_member * x.width();
            let input = &x.data[if shared { 0 } else { i * size }..][..size];
            for r in 0..u64::from(rank) {
                keys.left.at(probe.step, member.index).fill(family, r * m as u64, &mut a);
                keys.right.at(probe.step, member.index).fill(family, r * n as u64, &mut b);
                project(input, &b, &mut t);
                t.iter_mut().for_each(|t| *t *= scale * member.sign);
                add_outer(out, &t, &a);
            }
        }
    }

    /// Runs `f` on each member's own weights, formed in scratch from the shared ones and the member's noise.
    fn by_member(
        &self,
        weight: usize,
        x: &Act,
        shape: [usize; 3],
        f: impl Fn(&Packed, &[f32], &mut [f32]),
    ) -> Act {
        let members = self.members();
        let shared = x.rows == self.rows_per_member;
        let rows = self.rows_per_member * members;
        let mut y = Act::new(rows, shape, vec![0.0; rows * shape.iter().product::<usize>()]);
        let (size_in, size_out) = (self.rows_per_member * x.width(), self.rows_per_member * y.width());
        for (i, out) in y.data.chunks_exact_mut(size_out).enumerate() {
            let own = pack(&self.weights.params.tensors()[weight], &self.vector(weight, i));
            f(&own, &x.data[if shared { 0 } else { i * size_in }..][..size_in], out);
        }
        y
    }

    /// A tensor with the dense noise of the `member`-th member added.
    fn vector(&self, tensor: usize, member: usize) -> Vec<f32> {
        let mut data = self.weights.params.tensors()[tensor].data.clone();
        if let Some(probe) = self.probe
            && let Some(member) = probe.members.get(member)
        {
            let noise = self.weights.keys[tensor].dense.at(probe.step, member.index);
            noise.add_to(
                probe.space.noise(),
                0,
                probe.sigma * member.sign * probe.space.scale(false),
                &mut data,
            );
        }
        data
    }

    /// Adds the bias, if the model declares one, and keeps the trace.
    fn finish(&mut self, kind: LinkKind, layer: &str, weight: usize, x: &Act, y: &mut Act) {
        let bias = self.weights.params.find(layer, "bias");
        if let Some(bias) = bias {
            let block = y.rows.min(self.rows_per_member).max(1) * y.width();
            for (member, block) in y.data.chunks_mut(block).enumerate() {
                let bias = self.vector(bias, member);
                for pixel in block.chunks_exact_mut(bias.len()) {
                    pixel.iter_mut().zip(&bias).for_each(|(v, b)| *v += *b);
                }
            }
        }
        y.carried.clone_from(&x.carried);
        if let Some(trace) = &mut self.trace {
            y.links = vec![trace.links.len()];
            let input = Act { carried: None, ..x.clone() };
            trace.links.push(Link { kind, input, weight, bias, after: Vec::new() });
        }
    }
}

fn linear_rows(panels: &Panels, x: &[f32], y: &mut [f32]) {
    let (k, n) = (panels.k(), panels.n());
    y.par_chunks_mut(ROWS * n).zip(x.par_chunks(ROWS * k)).for_each(|(y, x)| {
        product(y, n, x, k, 1, y.len() / n, panels, Start::Zero);
    });
}

fn conv_rows(conv: Conv3, panels: &[Panels; 3], x: &[f32], y: &mut [f32]) {
    let (size_in, size_out) =
        (conv.height * conv.width * conv.channels, conv.height * conv.width * panels[0].n());
    let work = |padded: &mut Vec<f32>, (y, x): (&mut [f32], &[f32])| {
        conv.pad(x, padded);
        conv3x3(conv, padded, panels, y);
    };
    let images = y.par_chunks_mut(size_out).zip(x.par_chunks(size_in)).with_min_len(8);
    images.for_each_init(|| vec![0.0; conv.padded()], work);
}

/// Mean and variance of each channel. Partial sums run over pieces whose size does not depend on the threads.
fn statistics_of(layer: &str, data: &[f32], channels: usize) -> Statistics {
    let pixels = (data.len() / channels) as f64;
    let sums: Vec<Vec<[f64; 2]>> = data
        .par_chunks(channels * 4096)
        .map(|piece| {
            let mut sums = vec![[0f64; 2]; channels];
            for pixel in piece.chunks_exact(channels) {
                for (s, v) in sums.iter_mut().zip(pixel) {
                    let v = f64::from(*v);
                    *s = [s[0] + v, s[1] + v * v];
                }
            }
            sums
        })
        .collect();
    let mut total = vec![[0f64; 2]; channels];
    for piece in &sums {
        total.iter_mut().zip(piece).for_each(|(t, s)| *t = [t[0] + s[0], t[1] + s[1]]);
    }
    let mean: Vec<f64> = total.iter().map(|s| s[0] / pixels).collect();
    let variance = total.iter().zip(&mean).map(|(s, m)| (s[1] / pixels - m * m).max(0.0) as f32).collect();
    Statistics { layer: layer.to_owned(), mean: mean.iter().map(|m| *m as f32).collect(), variance }
}

/// `1 / √(variance + ε)` of each channel.
fn inverse_deviation(statistics: &Statistics) -> Vec<f32> {
    statistics.variance.iter().map(|v| 1.0 / (v + NORM_EPSILON).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_rank_noise_is_scaled_by_the_power_of_two_next_to_the_root_of_its_rank() {
        for rank in 1..2000u32 {
            let scale = WeightSpace::LowRank { rank, noise: Family::Sign }.scale(true);
            assert_eq!(scale.to_bits() & 0x007f_ffff, 0, "rank {rank}: a power of two");
            let variance = f64::from(rank) * f64::from(scale).powi(2);
            assert!((0.5..2.0).contains(&variance), "rank {rank}: variance {variance}");
        }
        let scale = |rank, noise| WeightSpace::LowRank { rank, noise }.scale(true);
        assert_eq!([1, 2, 4, 7, 8].map(|r| scale(r, Family::Sign)), [1.0, 0.5, 0.5, 0.5, 0.25]);
        assert_eq!((scale(4, Family::Binomial), scale(u32::MAX, Family::Sign)), (0.125, 2f32.powi(-16)));
    }
}
