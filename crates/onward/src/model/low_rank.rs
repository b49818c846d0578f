//! Low-rank probes: one shared product for all members, and for each member's rows `σ (x·b) aᵀ` while they are hot.

use super::context::{Product, member_rows};
use super::{Act, BufferPool, Context, LinkKind, Map, Member, Numbers, Probe, WeightSpace, Weights};
use crate::kernel::{Conv3, Correction, Epilogue, axpy, conv3x3_single, correct, dots};
use crate::threads::prelude::*;
use std::sync::{Mutex, PoisonError};

/// What all members of a step, and some of them, have in common when they see the same rows: found once, by whoever
/// needs it first, until the first noise makes rows differ.
#[derive(Default)]
pub(crate) struct SharedProduct {
    /// The clean product of the first layer.
    product: Kept,
}

/// A neighbourhood of members whose products with the rows they share are found together.
pub(crate) struct Neighbours<'a> {
    pub shared_product: &'a SharedProduct,
    pub members: &'a [Member],
    along: Kept,
}

impl<'a> Neighbours<'a> {
    pub fn new(shared_product: &'a SharedProduct, members: &'a [Member]) -> Self {
        Self { shared_product, members, along: Kept::default() }
    }
}

/// Numbers of one tensor's product. No lock is held while they are found: two threads may both find them, with the same bits.
#[derive(Default)]
struct Kept(Mutex<Option<(usize, Numbers)>>);

impl Kept {
    fn get_or(&self, tensor: usize, find: impl FnOnce() -> Numbers) -> Numbers {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((of, numbers)) = kept
            && of == tensor
        {
            return numbers;
        }
        let found = find();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((tensor, found.clone()));
        found
    }
}

/// Numbers of `t` that neighbours keep at most.
const ALONG: usize = 1 << 18;

/// One direction's factors of one tensor.
struct Factors {
    index: u32,
    /// `(rank, m)`
    a: Vec<f32>,
    /// `(rank, n)`
    b: Vec<f32>,
}

/// One layer under low-rank noise.
struct Layer<'a> {
    weights: &'a Weights<'a>,
    probe: Probe<'a>,
    buffers: &'a BufferPool,
    kind: LinkKind,
    weight: usize,
    bias: Option<usize>,
    relu: bool,
    rank: usize,
    /// `(m, n)` of the weight as a matrix.
    matrix: (usize, usize),
    /// Of a row of the input.
    shape: [usize; 3],
}

/// Where the rows before correction come from.
enum Before {
    /// Each member's own input.
    Rows(Numbers),
    /// The product of the rows that all see, and `t` of the directions of `members`, each `(rank, positions)`.
    Shared { product: Numbers, along: Numbers, members: Vec<u32> },
}

impl Context<'_> {
    /// `y = x (W + σ s Σ a bᵀ)ᵀ + bias`, each member with its own `s`, `a`, `b` and bias.
    pub(super) fn low_rank(&self, product: Product, x: &Act) -> Option<Act> {
        let Product { map: Map { kind, weight, bias }, relu, .. } = product;
        let probe = self.probe.filter(|probe| probe.moves(product.map))?;
        let WeightSpace::LowRank { rank, .. } = probe.space else { return None };
        let matrix = self.weights.params().tensors()[weight].matrix()?;
        let rows = self.rows_per_member;
        let layer = Layer {
            weights: self.weights,
            probe,
            buffers: &self.buffers,
            kind,
            weight,
            bias,
            relu,
            rank: rank as usize,
            matrix,
            shape: x.shape,
        };
        // Later layers of a member that runs alone have as many rows as all members share, but they are its own.
        let neighbours = self.neighbours.filter(|_| !self.noisy);
        let shared = x.rows == rows && (probe.members.len() > 1 || neighbours.is_some());
        let before = if shared { layer.shared(x, neighbours) } else { Before::Rows(x.data.clone()) };
        let shape = [x.shape[0], x.shape[1], matrix.0];
        let width = shape.iter().product::<usize>();
        let mut y =
            Act::of(rows * probe.members.len(), shape, self.buffers.take(rows * probe.members.len() * width));
        layer.run(&before, rows, &mut y.data);
        Some(y)
    }
}

impl Layer<'_> {
    /// The clean product of rows of `x`.
    fn clean(&self, x: &[f32], y: &mut [f32]) {
        let maps = [self.shape[0], self.shape[1]];
        self.weights.product(self.weight, self.kind, maps, x, y, Epilogue::default());
    }

    fn points(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    fn factors(&self, index: u32) -> Factors {
        let ((m, n), keys) = (self.matrix, self.probe.keys[self.weight]);
        let (family, step) = (self.probe.space.noise(), self.probe.step);
        let (mut a, mut b) = (vec![0.0; self.rank * m], vec![0.0; self.rank * n]);
        if keys.probed {
            keys.left.at(step, index).fill(family, 0, &mut a);
            keys.right.at(step, index).fill(family, 0, &mut b);
        }
        Factors { index, a, b }
    }

    /// `t (factors, positions)` of the rows `x`, factor `j`'s beginning at `j·stride`.
    fn along(&self, x: &[f32], b: &[f32], t: &mut [f32], stride: usize) {
        let (n, points) = (self.matrix.1, self.points());
        match self.kind {
            LinkKind::Conv => {
                let conv = Conv3 { height: self.shape[0], width: self.shape[1], channels: self.shape[2] };
                let mut padded = self.buffers.take(conv.padded());
                padded.fill(0.0);
                for (i, image) in x.chunks_exact(points * self.shape[2]).enumerate() {
                    conv.pad(image, &mut padded);
                    for (j, b) in b.chunks_exact(n).enumerate() {
                        conv3x3_single(conv, &padded, b, &mut t[j * stride + i * points..][..points]);
                    }
                }
            }
            _ => dots(t, stride, x, b, n),
        }
    }

    /// The clean product of rows that all members see, and their `t`; both kept for the neighbours if there are any.
    fn shared(&self, x: &Act, neighbours: Option<&Neighbours<'_>>) -> Before {
        let positions = x.rows * x.points();
        let product = || {
            let mut y = self.buffers.take(positions * self.matrix.0);
            self.clean(&x.data, &mut y);
            y
        };
        let along = |directions: &[u32]| {
            let mut t = self.buffers.take(directions.len() * self.rank * positions);
            let b: Vec<f32> = directions.iter().flat_map(|index| self.factors(*index).b).collect();
            self.along(&x.data, &b, &mut t, positions);
            t
        };
        let own = directions_of(self.probe.members);
        let Some(neighbours) = neighbours else {
            return Before::Shared { product: product(), along: along(&own), members: own };
        };
        let product = neighbours.shared_product.product.get_or(self.weight, product);
        let all = directions_of(neighbours.members);
        if all.len() * self.rank * positions > ALONG {
            return Before::Shared { product, along: along(&own), members: own };
        }
        let along = neighbours.along.get_or(self.weight, || along(&all));
        Before::Shared { product, along, members: all }
    }

    /// Members in blocks of a few (or one and its rows in blocks), each block a product and its corrections.
    fn run(&self, before: &Before, rows: usize, y: &mut [f32]) {
        let (width_in, width_out) = (self.shape.iter().product::<usize>(), self.points() * self.matrix.0);
        let block = member_rows(self.points(), self.kind);
        let together = (block / rows.max(1)).max(1);
        let size = (together * rows * width_out).max(1);
        y.par_chunks_mut(size).zip(self.probe.members.par_chunks(together)).enumerate().for_each(
            |(i, (y, members))| {
                let mut factors: Vec<Factors> = Vec::with_capacity(together);
                for member in members {
                    if factors.last().is_none_or(|f| f.index != member.index) {
                        factors.push(self.factors(member.index));
                    }
                }
                let first = i * together * rows;
                if let [member] = members {
                    let bias = self.bias(*member);
                    y.par_chunks_mut(block * width_out).enumerate().for_each(|(j, y)| {
                        let from = first + j * block;
                        self.product(before, from * width_in, y);
                        self.correct(before, (from, rows), &factors[0], *member, &bias, y);
                    });
                    return;
                }
                self.product(before, first * width_in, y);
                let mut direction = 0;
                for (j, (member, y)) in members.iter().zip(y.chunks_exact_mut(rows * width_out)).enumerate() {
                    direction += usize::from(factors[direction].index != member.index);
                    let place = (first + j * rows, rows);
                    self.correct(before, place, &factors[direction], *member, &self.bias(*member), y);
                }
            },
        );
    }

    /// The clean product of the rows whose inputs begin at number `from`, unless it is shared.
    fn product(&self, before: &Before, from: usize, y: &mut [f32]) {
        if let Before::Rows(x) = before {
            let len = y.len() / self.matrix.0 * self.shape[2];
            self.clean(&x[from..from + len], y);
        }
    }

    fn bias(&self, member: Member) -> Vec<f32> {
        self.bias.map_or_else(Vec::new, |bias| member_tensor(self.weights, &self.probe, bias, member))
    }

    /// Corrects rows of one member, the first being row `from` of all members' rows, each with `rows`.
    fn correct(
        &self,
        before: &Before,
        (from, rows): (usize, usize),
        factors: &Factors,
        member: Member,
        bias: &[f32],
        y: &mut [f32],
    ) {
        let m = self.matrix.0;
        let factor = self.probe.sigma_of(self.weight) * self.probe.space.scale(true) * member.sign;
        let correction = Correction { t: &[], stride: 0, a: &factors.a, factor, bias, relu: self.relu };
        match before {
            Before::Rows(x) => {
                let (positions, from) = (y.len() / m, from * self.points() * self.shape[2]);
                let x = &x[from..from + positions * self.shape[2]];
                let mut t = self.buffers.take(self.rank * positions);
                self.along(x, &factors.b, &mut t, positions);
                correct(y, None, m, Correction { t: &t, stride: positions, ..correction });
            }
            Before::Shared { product, along, members } => {
                let (positions, first) = (rows * self.points(), from % rows * self.points());
                let direction = members.iter().position(|i| *i == factors.index).unwrap_or(0);
                let t = &along[direction * self.rank * positions + first..];
                let from = Some(&product[first * m..]);
                correct(y, from, m, Correction { t, stride: positions, ..correction });
            }
        }
    }
}

/// The numbers of members' directions, pairs counted once.
fn directions_of(members: &[Member]) -> Vec<u32> {
    let mut all: Vec<u32> = members.iter().map(|m| m.index).collect();
    all.dedup();
    all
}

/// A tensor with the dense noise of one member added.
pub(super) fn member_tensor(
    weights: &Weights<'_>,
    probe: &Probe<'_>,
    tensor: usize,
    member: Member,
) -> Vec<f32> {
    let mut data = weights.params().tensors()[tensor].data.floats().into_owned();
    if !probe.keys[tensor].probed {
        return data;
    }
    let noise = probe.keys[tensor].dense.at(probe.step, member.index);
    let factor = probe.sigma_of(tensor) * member.sign * probe.space.scale(false);
    noise.add_to(probe.space.noise(), 0, factor, &mut data);
    data
}

/// A tensor with the noise of one member added, low-rank noise too: for products that have no way around forming it.
pub(super) fn formed_tensor(
    weights: &Weights<'_>,
    probe: &Probe<'_>,
    tensor: usize,
    member: Member,
) -> Vec<f32> {
    let t = &weights.params().tensors()[tensor];
    let (WeightSpace::LowRank { rank, noise }, Some((rows, columns)), true) =
        (probe.space, t.matrix(), probe.keys[tensor].probed)
    else {
        return member_tensor(weights, probe, tensor, member);
    };
    let (keys, rank) = (probe.keys[tensor], rank as usize);
    let (mut left, mut right) = (vec![0.0; rank * rows], vec![0.0; rank * columns]);
    keys.left.at(probe.step, member.index).fill(noise, 0, &mut left);
    keys.right.at(probe.step, member.index).fill(noise, 0, &mut right);
    let factor = probe.sigma_of(tensor) * member.sign * probe.space.scale(true);
    let mut data = t.data.floats().into_owned();
    for (left, right) in left.chunks_exact(rows).zip(right.chunks_exact(columns)) {
        for (row, a) in data.chunks_exact_mut(columns).zip(left) {
            axpy(row, factor * a, right);
        }
    }
    data
}

/// Adds one member's noise on row `row` of a matrix.
pub(super) fn add_noise_of_row(
    weights: &Weights<'_>,
    probe: &Probe<'_>,
    tensor: usize,
    member: Member,
    row: usize,
    out: &mut [f32],
) {
    let matrix = weights.params().tensors()[tensor].matrix().filter(|_| probe.keys[tensor].probed);
    let Some((rows, columns)) = matrix else { return };
    let (keys, family) = (probe.keys[tensor], probe.space.noise());
    let factor = probe.sigma_of(tensor) * member.sign;
    let WeightSpace::LowRank { rank, .. } = probe.space else {
        let noise = keys.dense.at(probe.step, member.index);
        return noise.add_to(family, (row * columns) as u64, factor * probe.space.scale(false), out);
    };
    let factor = factor * probe.space.scale(true);
    let mut right = vec![0.0; rank as usize * columns];
    keys.right.at(probe.step, member.index).fill(family, 0, &mut right);
    for (r, right) in right.chunks_exact(columns).enumerate() {
        let mut left = [0.0];
        keys.left.at(probe.step, member.index).fill(family, (r * rows + row) as u64, &mut left);
        out.iter_mut().zip(right).for_each(|(o, b)| *o = (factor * left[0]).mul_add(*b, *o));
    }
}
