//! Params packed for products, once per step.

use crate::kernel::{Conv3, Filter, Matrix, Precision, Scratch};
use crate::params::{Params, Tensor};
use crate::threads::{self, prelude::*};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of a product that one task works on at most, and what their number is a multiple of: the rows of a block of tiles. How
/// rows are cut does not change any number.
const ROWS: usize = 256;
const BLOCK: usize = 32;

/// Rows of a task: a share for every thread.
fn rows_of_a_task(m: usize) -> usize {
    m.div_ceil(threads::here()).next_multiple_of(BLOCK).clamp(BLOCK, ROWS)
}

/// Scratch that no thread is using.
#[derive(Default)]
pub(super) struct Idle(Mutex<Vec<Scratch>>);

/// Scratch on loan from [`Idle`].
struct Lent<'a> {
    scratch: Scratch,
    from: &'a Idle,
}

impl Idle {
    fn lend(&self) -> Lent<'_> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { scratch: waiting.unwrap_or_default(), from: self }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let scratch = std::mem::take(&mut self.scratch);
        self.from.0.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

/// Params packed for products, once per step.
pub struct Weights<'a> {
    params: &'a Params,
    packing: Packing,
}

/// What [`Weights`] have made of params: kept where the same params are asked for again.
#[derive(Clone)]
pub(crate) struct Packing(Arc<All>);

struct All {
    packed: Vec<Packed>,
    precision: Precision,
    idle: Idle,
}

impl<'a> Weights<'a> {
    /// Packs `params` for products of the given precision.
    pub fn new(params: &'a Params, precision: Precision) -> Self {
        let packed = params.tensors().par_iter().map(|t| Packed::new(t, &t.data, precision)).collect();
        Self::of(params, packed, precision)
    }

    /// `params` for dense probes alone, which read them as they are: nothing is packed.
    pub(crate) fn unpacked(params: &'a Params, precision: Precision) -> Self {
        let packed = params.tensors().iter().map(|_| Packed::Vector).collect();
        Self::of(params, packed, precision)
    }

    fn of(params: &'a Params, packed: Vec<Packed>, precision: Precision) -> Self {
        Self { params, packing: Packing(Arc::new(All { packed, precision, idle: Idle::default() })) }
    }

    /// The same params again, packed before.
    pub(crate) fn with(params: &'a Params, packing: &Packing) -> Self {
        Self { params, packing: packing.clone() }
    }

    /// What was made of the params.
    pub(crate) fn packing(&self) -> Packing {
        self.packing.clone()
    }

    /// The params that were packed.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// The arithmetic of products.
    pub fn precision(&self) -> Precision {
        self.packing.0.precision
    }

    pub(super) fn idle(&self) -> &Idle {
        &self.packing.0.idle
    }

    pub(super) fn packed(&self, tensor: usize) -> &Packed {
        &self.packing.0.packed[tensor]
    }
}

/// One tensor as products want it.
pub(super) enum Packed {
    /// Not the right side of any product.
    Vector,
    /// The weights of a linear map.
    Matrix(Matrix),
    /// The weights of a 3×3 convolution.
    Filter(Filter),
}

impl Packed {
    /// Packs `data`, which has the shape of `tensor`.
    pub(super) fn new(tensor: &Tensor, data: &[f32], precision: Precision) -> Self {
        match tensor.shape.as_slice() {
            [n, 3, 3, c] => Self::Filter(Filter::new(data, *n, *c, precision)),
            [n, k] => Self::Matrix(Matrix::new(data, *n, *k, precision)),
            _ => Self::Vector,
        }
    }

    /// Numbers per position that a product with this gives (0 for vectors).
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Vector => 0,
            Self::Matrix(matrix) => matrix.n(),
            Self::Filter(filter) => filter.n(),
        }
    }

    /// `y = x Wᵀ` at every position of the rows `x`, whose maps are `[height, width]`: a linear map or a convolution.
    pub(super) fn product(&self, [height, width]: [usize; 2], x: &[f32], y: &mut [f32], idle: &Idle) {
        match self {
            Self::Vector => {}
            Self::Matrix(matrix) => {
                let rows = rows_of_a_task(x.len() / matrix.k().max(1));
                let blocks = y.par_chunks_mut(rows * matrix.n()).zip(x.par_chunks(rows * matrix.k()));
                blocks.for_each_init(|| idle.lend(), |own, (y, x)| matrix.product(x, y, &mut own.scratch));
            }
            Self::Filter(filter) => {
                let conv = Conv3 { height, width, channels: filter.channels() };
                let images = y
                    .par_chunks_mut(height * width * filter.n())
                    .zip(x.par_chunks(height * width * conv.channels))
                    .with_min_len(8);
                images.for_each_init(
                    || idle.lend(),
                    |own, (y, x)| filter.convolve(conv, x, y, &mut own.scratch),
                );
            }
        }
    }
}
