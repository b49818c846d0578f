//! Dense probes: a few outputs' weights at a time are read once, perturbed in scratch for every member of a direction, and
//! multiplied with all rows. The params are never written to.

use super::context::{Product, member_rows, slice_of_rows};
use super::low_rank::member_tensor;
use super::weights::{Lent, Packed};
use super::{Act, Context, LinkKind, Map, Member, Probe, WeightSpace};
use crate::kernel::{Epilogue, Matrix, Moved, Precision, Scratch, Window, ask_for, second_level};
use crate::params::Tensor;
use crate::threads::{self, prelude::*};

/// Pieces of outputs for each thread, so that uneven processors end at about the same time.
const PIECES: usize = 4;
/// Outputs of such a piece at least.
const OUTPUTS: usize = 64;
/// Outputs whose noise is made at once: a panel.
const SLICE: usize = 32;
/// Inputs for which it is: then all of it stays in the first-level cache.
const INPUTS: usize = 256;

/// Weights of one direction's members that are being formed.
#[derive(Default)]
pub(super) struct Forming {
    noise: Vec<f32>,
    /// Weights that do not lie as f32.
    wide: Vec<f32>,
    /// Matrices of a few shapes, those of one shape together; the shape used last stands last.
    matrices: Vec<Vec<Matrix>>,
    scratch: Scratch,
}

/// Shapes that are kept at most.
const SHAPES: usize = 4;

impl Forming {
    /// Makes the last of the matrices `many` of the given shape.
    fn shape(&mut self, many: usize, [n, k]: [usize; 2], precision: Precision) {
        let fits = |m: &Matrix| (m.n(), m.k(), m.precision()) == (n, k, precision);
        let known = self.matrices.iter().position(|all| all.len() >= many && all.iter().all(fits));
        let last = match known {
            Some(at) => self.matrices.remove(at),
            None => (0..many).map(|_| Matrix::zeros(n, k, precision)).collect(),
        };
        if self.matrices.len() == SHAPES {
            self.matrices.remove(0);
        }
        self.matrices.push(last);
    }

    /// A matrix of the given shape, and scratch.
    pub fn one(&mut self, shape: [usize; 2], precision: Precision) -> Option<(&mut Matrix, &mut Scratch)> {
        self.shape(1, shape, precision);
        Some((self.matrices.last_mut()?.first_mut()?, &mut self.scratch))
    }
}

/// A linear map under dense noise.
struct Layer<'a> {
    probe: Probe<'a>,
    product: Product,
    tensor: &'a Tensor,
    /// Each member's.
    biases: Vec<Vec<f32>>,
    x: &'a Act,
    /// The rows that all members see, or each one's, packed.
    packed: Vec<Lent<'a, Scratch>>,
    /// Positions of a member.
    positions: usize,
}

impl Context<'_> {
    /// `y = x (W + σ s z)ᵀ + bias`, each member with its own noise on the bias too.
    pub(super) fn dense(&self, product: Product, x: &Act) -> Option<Act> {
        let Map { kind, weight, bias } = product.map;
        let probe = self.probe.filter(|probe| probe.moves(product.map))?;
        let WeightSpace::Dense { .. } = probe.space else { return None };
        let (weights, precision) = (self.weights, self.weights.precision());
        let tensor = &weights.params().tensors()[weight];
        let (m, k) = tensor.matrix()?;
        let shape = [x.shape[0], x.shape[1], m];
        let rows = self.rows_per_member * probe.members.len();
        let mut y = Act::of(rows, shape, self.buffers.take(rows * shape.iter().product::<usize>()));
        let of = |member: &Member| {
            bias.map_or_else(Vec::new, |bias| member_tensor(self.weights, &probe, bias, *member))
        };
        let biases: Vec<Vec<f32>> = probe.members.iter().map(of).collect();
        if kind == LinkKind::Conv {
            self.perturbed_convolutions(weight, &biases, x, &mut y);
            return Some(y);
        }
        let positions = self.rows_per_member * x.points();
        let pack = |i: usize| {
            let mut scratch = weights.idle().lend();
            scratch.pack(slice_of_rows(x, self.rows_per_member, i), positions, k, precision);
            scratch
        };
        let packed = (0..x.rows / self.rows_per_member.max(1)).into_par_iter().map(pack).collect();
        let layer = Layer { probe, product, tensor, biases, x, packed, positions };
        let all = Window::new(&mut y.data, m, rows * x.points(), m);
        all.in_columns(outputs_at_once(m, k, precision)).into_par_iter().for_each(|block| {
            layer.outputs(&mut weights.forming().lend(), precision, block);
        });
        Some(y)
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
            let packed = Packed::of(&self.weights.params().tensors()[weight], &own, self.weights.precision());
            let input = slice_of_rows(x, rows, i);
            let blocks = y.par_chunks_mut(block * width_out).zip(input.par_chunks(block * width_in));
            blocks.for_each(|(y, input)| {
                packed.product(
                    [x.shape[0], x.shape[1]],
                    input,
                    y,
                    Epilogue { bias, relu: false },
                    self.weights.idle(),
                );
            });
        });
    }
}

impl Layer<'_> {
    /// Some outputs of all members.
    fn outputs(&self, forming: &mut Forming, precision: Precision, mut out: Window<'_, f32>) {
        let (first, count) = (out.columns().start, out.columns().len());
        let rows_of = |member: usize| if self.packed.len() == 1 { 0 } else { member };
        let mut member = 0;
        for direction in self.probe.members.chunk_by(|a, b| a.index == b.index) {
            self.form(forming, precision, direction, first, count);
            for matrix in forming.matrices.last().into_iter().flatten().take(direction.len()) {
                let (y, rest) = out.split_rows((member + 1) * self.positions);
                out = rest;
                let bias = self.biases[member].get(first..first + count).unwrap_or(&[]);
                let y = y.of_another().finished_by(Epilogue { bias, relu: self.product.relu });
                let x = slice_of_rows(self.x, self.positions / self.x.points().max(1), rows_of(member));
                matrix.product_part(x, y, &self.packed[rows_of(member)]);
                member += 1;
            }
        }
    }

    /// The weights of the outputs from `first` on, for the members of one direction.
    fn form(
        &self,
        forming: &mut Forming,
        precision: Precision,
        direction: &[Member],
        first: usize,
        count: usize,
    ) {
        let (Probe { keys, space, step, .. }, Some((_, k))) = (self.probe, self.tensor.matrix()) else {
            return;
        };
        let sigma = self.probe.sigma_of(self.product.map.weight);
        forming.shape(direction.len(), [count, k], precision);
        let Forming { noise, wide, matrices, scratch } = forming;
        let laid = self.tensor.data.as_floats();
        let Some(matrices) = matrices.last_mut() else { return };
        let Some(at_once) = matrices.first().map(|m| m.inputs_at_once(INPUTS)) else { return };
        let keys = keys[self.product.map.weight];
        let source = keys.dense.at(step, direction[0].index);
        for from in (0..count).step_by(SLICE) {
            let rows = first + from..first + count.min(from + SLICE);
            for column in (0..k).step_by(at_once) {
                let (at, length) = (rows.start * k + column, at_once.min(k - column));
                noise.resize(rows.len() * length, 0.0);
                for (row, noise) in rows.clone().zip(noise.chunks_exact_mut(length)) {
                    if let Some(laid) = laid {
                        ask_for(&laid[row * k + column..][..length]);
                    }
                    if keys.probed {
                        source.fill(space.noise(), (row * k + column) as u64, noise);
                    } else {
                        noise.fill(0.0);
                    }
                }
                let (start, stride) = match laid {
                    Some(laid) => (&laid[at..], k),
                    None => {
                        wide.resize(rows.len() * length, 0.0);
                        for (row, wide) in rows.clone().zip(wide.chunks_exact_mut(length)) {
                            self.tensor.data.read(row * k + column, wide);
                        }
                        (&wide[..], length)
                    }
                };
                for (member, matrix) in direction.iter().zip(matrices.iter_mut()) {
                    let factor = sigma * member.sign * space.scale(false);
                    let weights = Moved { start, stride, factor, along: noise, length };
                    matrix.set([from, column], weights, scratch);
                }
            }
        }
    }
}

/// Outputs whose weights are formed and multiplied at once: half of a second-level cache, where they stay while all rows pass.
pub(super) fn outputs_at_once(m: usize, k: usize, precision: Precision) -> usize {
    let fit = second_level() / 2 / (precision.bytes() * k).max(1);
    fit.min(m / (PIECES * threads::here())).max(OUTPUTS).next_multiple_of(SLICE)
}
