//! Dense probes: a few outputs' weights at a time are read once, perturbed in scratch for every member of a direction, and
//! multiplied with all rows. The params are never written to.

use super::context::{member_rows, slice_of_rows};
use super::low_rank::member_tensor;
use super::weights::Packed;
use super::{Act, Context, LinkKind, Member, WeightSpace};
use crate::kernel::{Columns, add_bias, columns, shifted};
use crate::params::Tensor;
use crate::threads::prelude::*;

/// Outputs whose weights are perturbed at once, and rows that they are multiplied with at once: scratch that stays in a
/// second-level cache.
const OUTPUTS: usize = 64;
const ROWS: usize = 64;

impl Context<'_> {
    /// `y = x (W + σ s z)ᵀ + bias`, each member with its own noise on the bias too.
    pub(super) fn dense(&self, kind: LinkKind, weight: usize, bias: Option<usize>, x: &Act) -> Option<Act> {
        let probe = self.probe?;
        let WeightSpace::Dense { .. } = probe.space else { return None };
        let (m, _) = self.weights.params().tensors()[weight].matrix()?;
        let shape = [x.shape[0], x.shape[1], m];
        let rows = self.rows_per_member * probe.members.len();
        let mut y = Act::of(rows, shape, self.home.take(rows * shape.iter().product::<usize>()));
        let of = |member: &Member| {
            bias.map_or_else(Vec::new, |bias| member_tensor(self.weights, &probe, bias, *member))
        };
        let biases: Vec<Vec<f32>> = probe.members.iter().map(of).collect();
        if kind == LinkKind::Linear {
            let blocks = columns(&mut y.data, m, OUTPUTS);
            blocks.into_par_iter().enumerate().for_each(|(i, block)| {
                self.perturbed_outputs(weight, &biases, x, i * OUTPUTS, block);
            });
        } else {
            self.perturbed_convolutions(weight, &biases, x, &mut y);
        }
        Some(y)
    }

    /// The outputs from `first` on, for all members.
    fn perturbed_outputs(
        &self,
        weight: usize,
        biases: &[Vec<f32>],
        x: &Act,
        first: usize,
        mut out: Columns<'_>,
    ) {
        let Some(probe) = self.probe else { return };
        let tensor = &self.weights.params().tensors()[weight];
        let Some((m, k)) = tensor.matrix() else { return };
        let count = OUTPUTS.min(m - first);
        let clean = &tensor.data[first * k..(first + count) * k];
        let mut noise = self.home.take(clean.len());
        let mut own = self.home.take(clean.len());
        let mut drawn = None;
        let part = Tensor { name: String::new(), shape: vec![count, k], data: Vec::new() };
        let positions = self.rows_per_member * x.points();
        for (i, (member, bias)) in probe.members.iter().zip(biases).enumerate() {
            if drawn != Some(member.index) {
                let source = probe.keys[weight].dense.at(probe.step, member.index);
                source.fill(probe.space.noise(), (first * k) as u64, &mut noise);
                drawn = Some(member.index);
            }
            shifted(&mut own, clean, probe.sigma * member.sign * probe.space.scale(false), &noise);
            let packed = Packed::new(&part, &own, self.weights.precision());
            let input = slice_of_rows(x, self.rows_per_member, i);
            let mut y = self.home.take(ROWS * count);
            for (block, input) in input.chunks(ROWS * k).enumerate() {
                let rows = input.len() / k;
                packed.product([1, 1], input, &mut y[..rows * count], self.weights.idle());
                for (j, y) in y.chunks_exact_mut(count).take(rows).enumerate() {
                    add_bias(y, bias.get(first..first + count).unwrap_or(&[]));
                    out.row(i * positions + block * ROWS + j).copy_from_slice(y);
                }
            }
        }
    }

    fn perturbed_convolutions(&self, weight: usize, biases: &[Vec<f32>], x: &Act, y: &mut Act) {
        let Some(probe) = self.probe else { return };
        let rows = self.rows_per_member;
        let block = member_rows(x.points(), LinkKind::Conv);
        let (width_in, width_out) = (x.width(), y.width());
        let members =
            probe.members.par_iter().zip(biases).zip(y.data.par_chunks_mut((rows * width_out).max(1)));
        members.enumerate().for_each(|(i, ((member, bias), y))| {
            let own = member_tensor(self.weights, &probe, weight, *member);
            let packed =
                Packed::new(&self.weights.params().tensors()[weight], &own, self.weights.precision());
            let input = slice_of_rows(x, rows, i);
            let blocks = y.par_chunks_mut(block * width_out).zip(input.par_chunks(block * width_in));
            blocks.for_each(|(y, input)| {
                packed.product([x.shape[0], x.shape[1]], input, y, self.weights.idle());
                add_bias(y, bias);
            });
        });
    }
}
