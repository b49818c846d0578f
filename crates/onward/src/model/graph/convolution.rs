//! General convolutions: patches gathered, then a product with them; groups of channels each with outputs of their own.

use super::builder::{Builder, Var};
use super::function::Reduction;
use super::node::{Norm, Op};
use super::patch::Patch;
use super::rows::Rowwise;
use crate::kernel::{Panels, Start, add_bias, product};
use crate::model::low_rank::formed_tensor;
use crate::model::{Act, Context, Map, NORM_EPSILON};
use crate::params::Init;
use crate::threads::prelude::*;

impl Builder {
    /// A convolution of patches of any kind: `{name}.weight (outputs, height, width, channels / groups)` and `{name}.bias (outputs)`.
    /// Group `i` of the outputs sees group `i` of the channels. (Groups are multiplied in single precision.)
    pub fn convolution(&mut self, name: &str, x: Var, outputs: usize, patch: Patch, groups: usize) -> Var {
        self.convolve(name, x, outputs, patch, groups, true)
    }

    /// [`Builder::convolution`] without a bias.
    pub fn convolution_without_bias(
        &mut self,
        name: &str,
        x: Var,
        outputs: usize,
        patch: Patch,
        groups: usize,
    ) -> Var {
        self.convolve(name, x, outputs, patch, groups, false)
    }

    fn convolve(
        &mut self,
        name: &str,
        x: Var,
        outputs: usize,
        patch: Patch,
        groups: usize,
        biased: bool,
    ) -> Var {
        let channels = x.shape[2];
        if groups == 0 || !channels.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let expected = format!("groups that {channels} channels and {outputs} outputs can be cut into");
            self.fault(name, expected, groups);
            return x;
        }
        let Some([h, w]) = patch.places(x.shape) else {
            self.fault(name, format!("patches that fit into {:?}", x.shape), patch);
            return x;
        };
        let same = Patch { padding: [1; 4], ..Patch::of([3, 3]) };
        if groups == 1 && patch == same {
            return if biased {
                self.conv3x3(name, x, outputs)
            } else {
                self.conv3x3_without_bias(name, x, outputs)
            };
        }
        let shape = vec![outputs, patch.size[0], patch.size[1], channels / groups];
        let fan_in = patch.area().saturating_mul(channels / groups);
        let weight = self.tensor(format!("{name}.weight"), shape, Init::He { fan_in });
        let bias = biased.then(|| self.tensor(format!("{name}.bias"), vec![outputs], Init::Constant(0.0)));
        let x = if patch == Patch::of([1, 1]) {
            x
        } else {
            let shape = [h, w, fan_in.saturating_mul(groups)];
            self.push(Op::Rows(Rowwise::Patches { patch, groups }), name, &[x], shape)
        };
        let op = if groups == 1 { Op::Linear { weight, bias } } else { Op::Grouped { weight, bias } };
        self.push(op, name, &[x], [h, w, outputs])
    }

    /// Each channel of the places of each patch made one ([`Reduction::Largest`], [`Reduction::Mean`] with the padding's zeros, or
    /// their sum).
    pub fn pool(&mut self, reduction: Reduction, x: Var, patch: Patch) -> Var {
        // A patch of padding alone has no largest.
        let inside = (0..2).all(|axis| {
            let reach = (patch.size[axis].max(1) - 1).saturating_mul(patch.dilation[axis]);
            patch.padding[axis] <= reach && patch.padding[axis + 2] <= reach
        });
        let Some([h, w]) = patch.places(x.shape).filter(|_| inside) else {
            let expected = format!("patches that fit into {:?}, with less padding than they reach", x.shape);
            self.fault("pool", expected, patch);
            return x;
        };
        self.push(Op::Rows(Rowwise::Pool { reduction, patch }), "pool", &[x], [h, w, x.shape[2]])
    }

    /// Subtracts the mean and divides by the standard deviation of each group of channels over all positions of a row, then `γ x̂ + β`
    /// for each channel with `{name}.weight` and `{name}.bias` (Wu and He 2018, arXiv 1803.08494).
    pub fn group_norm(&mut self, name: &str, x: Var, groups: usize) -> Var {
        let [h, w, c] = x.shape;
        if groups == 0 || !c.is_multiple_of(groups) {
            self.fault(name, format!("groups that {c} channels can be cut into"), groups);
            return x;
        }
        let [weight, bias] = self.scale_and_shift(name, x);
        // Each group's numbers stand as the channels of one position.
        let y = self.reshape(x, [h.saturating_mul(w), groups, c / groups]);
        let y = self.transpose(y, [1, 0, 2]);
        let y = self.reshape(y, [1, groups, (c / groups).saturating_mul(h).saturating_mul(w)]);
        let y = self.push(Op::Normalise(Norm::Layer, NORM_EPSILON), name, &[y], y.shape);
        let y = self.reshape(y, [groups, h.saturating_mul(w), c / groups]);
        let y = self.transpose(y, [1, 0, 2]);
        let y = self.reshape(y, x.shape);
        self.push(Op::Scale { weight, bias: Some(bias) }, name, &[y], x.shape)
    }
}

impl Context<'_> {
    /// The products of each group of a position's channels with the weights of its own outputs.
    pub(super) fn grouped(&mut self, node: usize, map: Map, x: Act) -> Act {
        let x = self.rows_for(map, x.whole());
        let tensor = &self.weights.params().tensors()[map.weight];
        let Some((outputs, k)) = tensor.matrix() else { return x };
        let data = tensor.data.floats();
        let member = self.rows_per_member.min(x.rows).max(1);
        let shape = [x.shape[0], x.shape[1], outputs];
        let mut y = Act::of(x.rows, shape, self.buffers.take(x.rows * shape.iter().product::<usize>()));
        let [wide, narrow] = [y.width(), x.width()].map(|width| member * width);
        let pieces = y.data.par_chunks_mut(wide).zip(x.data.par_chunks(narrow));
        pieces.enumerate().for_each(|(i, (y, x))| {
            let own = self.probe.as_ref().and_then(|probe| Some((probe, probe.members.get(i)?)));
            let formed = own.map(|(probe, member)| formed_tensor(self.weights, probe, map.weight, *member));
            of_groups(formed.as_deref().unwrap_or(&data), [outputs, k], x, y);
            if let Some(bias) = map.bias {
                add_bias(y, &self.vector(bias, i));
            }
        });
        if let Some(trace) = &mut self.trace {
            trace.keep(node, x, Vec::new());
        }
        y
    }
}

/// `y (positions, outputs)` of `x (positions, groups · k)`.
pub(in crate::model) fn of_groups(weights: &[f32], [outputs, k]: [usize; 2], x: &[f32], y: &mut [f32]) {
    let positions = y.len() / outputs;
    let groups = x.len() / (positions * k).max(1);
    let own = outputs / groups.max(1);
    for group in 0..groups {
        let panels = Panels::transposed(&weights[group * own * k..][..own * k], own, k);
        let (x, y) = (&x[group * k..], &mut y[group * own..]);
        product(y, outputs, x, groups * k, 1, positions, &panels, Start::Zero);
    }
}
