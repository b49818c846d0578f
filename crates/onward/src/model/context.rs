//! The one door for noise: a model asks the context for its products, and the context adds the perturbation of each
//! row's member, or nothing. No model knows that noise exists.

use super::weights::Packed;
use super::{Act, After, Link, LinkKind, Norms, Probe, Statistics, Trace, WeightSpace, Weights};
use crate::kernel::{Conv3, add_outer, conv3x3_single, dot, normalise, scale_and_shift};
use rayon::prelude::*;

/// Added to variances before the square root.
const NORM_EPSILON: f32 = 1e-5;
/// Positions that a normalisation works on at once.
const PIXELS: usize = 512;

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
        self.mapped(LinkKind::Linear, layer, x, |input, b, t| {
            t.iter_mut().zip(input.chunks_exact(b.len())).for_each(|(t, x)| *t = dot(x, b));
        })
    }

    /// A 3×3 convolution with zero padding of one: `{layer}.weight (out, 3, 3, in)` and, if declared, `{layer}.bias (out)`.
    ///
    /// # Panics
    /// As for [`Context::linear`].
    #[must_use]
    pub fn conv3x3(&mut self, layer: &str, x: &Act) -> Act {
        let conv = Conv3 { height: x.shape[0], width: x.shape[1], channels: x.channels() };
        let mut padded = vec![0.0; conv.padded()];
        self.mapped(LinkKind::Conv, layer, x, |input, b, t| {
            for (image, t) in input.chunks_exact(x.width()).zip(t.chunks_exact_mut(x.points())) {
                conv.pad(image, &mut padded);
                conv3x3_single(conv, &padded, b, t);
            }
        })
    }

    /// A product with weights and the probe's noise on them; `project` maps rows with a factor of the weights' input side.
    fn mapped(
        &mut self,
        kind: LinkKind,
        layer: &str,
        x: &Act,
        project: impl FnMut(&[f32], &[f32], &mut [f32]),
    ) -> Act {
        let weight = self.tensor(layer, "weight");
        let packed = self.weights.packed(weight);
        let kind_of_weights = match packed {
            Packed::Vector => None,
            Packed::Matrix(_) => Some(LinkKind::Linear),
            Packed::Filter(_) => Some(LinkKind::Conv),
        };
        assert_eq!(kind_of_weights, Some(kind), "the kind of {layer}.weight");
        assert_eq!(packed.inputs(), x.channels(), "channels into {layer}");
        let shape = [x.shape[0], x.shape[1], packed.outputs()];
        let mut y = if let Some(Probe { space: WeightSpace::Dense { .. }, .. }) = self.probe {
            self.by_member(weight, x, shape)
        } else {
            let mut y = vec![0.0; x.rows * shape.iter().product::<usize>()];
            packed.product([x.shape[0], x.shape[1]], &x.data, &mut y);
            let mut y = self.replicate(Act::new(x.rows, shape, y));
            self.low_rank(weight, x, &mut y, project);
            y
        };
        self.finish(kind, layer, weight, x, &mut y);
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
        x: &Act,
        y: &mut Act,
        mut project: impl FnMut(&[f32], &[f32], &mut [f32]),
    ) {
        let Some(probe) = self.probe else { return };
        let WeightSpace::LowRank { rank, .. } = probe.space else { return };
        let Some((m, n)) = self.weights.params().tensors()[weight].matrix() else { return };
        let keys = self.weights.keys(weight);
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

    /// The product with each member's own weights, formed in scratch from the shared ones and the member's noise.
    fn by_member(&self, weight: usize, x: &Act, shape: [usize; 3]) -> Act {
        let members = self.members();
        let shared = x.rows == self.rows_per_member;
        let rows = self.rows_per_member * members;
        let mut y = Act::new(rows, shape, vec![0.0; rows * shape.iter().product::<usize>()]);
        let (size_in, size_out) = (self.rows_per_member * x.width(), self.rows_per_member * y.width());
        for (i, out) in y.data.chunks_exact_mut(size_out).enumerate() {
            let tensor = &self.weights.params().tensors()[weight];
            let own = Packed::new(tensor, &self.vector(weight, i), self.weights.precision());
            let input = &x.data[if shared { 0 } else { i * size_in }..][..size_in];
            own.product([x.shape[0], x.shape[1]], input, out);
        }
        y
    }

    /// A tensor with the dense noise of the `member`-th member added.
    fn vector(&self, tensor: usize, member: usize) -> Vec<f32> {
        let mut data = self.weights.params().tensors()[tensor].data.clone();
        if let Some(probe) = self.probe
            && let Some(member) = probe.members.get(member)
        {
            let noise = self.weights.keys(tensor).dense.at(probe.step, member.index);
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
        let bias = self.weights.params().find(layer, "bias");
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
