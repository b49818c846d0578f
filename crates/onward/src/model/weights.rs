//! Params packed for products, once per step.

use super::TensorKeys;
use crate::kernel::{Conv3, Panels, Start, conv3x3, product};
use crate::noise::RunKey;
use crate::params::{Params, Tensor};
use rayon::prelude::*;

/// Rows of a product that one task works on; the same for any number of threads.
const ROWS: usize = 256;

/// Params packed for products, once per step, with the noise keys of each tensor.
pub struct Weights<'a> {
    params: &'a Params,
    packed: Vec<Packed>,
    keys: Vec<TensorKeys>,
}

impl<'a> Weights<'a> {
    /// Packs `params`; `key` names the noise of probes on them.
    pub fn new(params: &'a Params, key: &RunKey) -> Self {
        let packed = params.tensors().par_iter().map(|t| Packed::new(t, &t.data)).collect();
        let keys = params.tensors().iter().map(|t| TensorKeys::new(key, &t.name)).collect();
        Self { params, packed, keys }
    }

    /// `params` for dense probes alone, which read them as they are: nothing is packed.
    pub(crate) fn unpacked(params: &'a Params, key: &RunKey) -> Self {
        let packed = params.tensors().iter().map(|_| Packed::Vector).collect();
        let keys = params.tensors().iter().map(|t| TensorKeys::new(key, &t.name)).collect();
        Self { params, packed, keys }
    }

    /// The params that were packed.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    pub(super) fn packed(&self, tensor: usize) -> &Packed {
        &self.packed[tensor]
    }

    pub(super) fn keys(&self, tensor: usize) -> &TensorKeys {
        &self.keys[tensor]
    }
}

/// One tensor as products want it.
pub(super) enum Packed {
    /// Not the right side of any product.
    Vector,
    /// The weights of a linear map.
    Matrix(Panels),
    /// The three kernel rows of a 3×3 convolution.
    Conv([Panels; 3]),
}

impl Packed {
    /// Packs `data`, which has the shape of `tensor`.
    pub(super) fn new(tensor: &Tensor, data: &[f32]) -> Self {
        match tensor.shape.as_slice() {
            [n, 3, 3, c] => Self::Conv(std::array::from_fn(|dy| {
                let rows: Vec<f32> =
                    data.chunks_exact(9 * c).flat_map(|o| &o[dy * 3 * c..][..3 * c]).copied().collect();
                Panels::transposed(&rows, *n, 3 * c)
            })),
            [n, k] => Self::Matrix(Panels::transposed(data, *n, *k)),
            _ => Self::Vector,
        }
    }

    /// Numbers per position that a product with this takes (0 for vectors).
    pub(super) fn inputs(&self) -> usize {
        match self {
            Self::Vector => 0,
            Self::Matrix(panels) => panels.k(),
            Self::Conv(panels) => panels[0].k() / 3,
        }
    }

    /// Numbers per position that a product with this gives (0 for vectors).
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Vector => 0,
            Self::Matrix(panels) => panels.n(),
            Self::Conv(panels) => panels[0].n(),
        }
    }

    /// `y = x Wᵀ` at every position of the rows `x`, whose maps are `[height, width]`: a linear map or a convolution.
    pub(super) fn product(&self, [height, width]: [usize; 2], x: &[f32], y: &mut [f32]) {
        match self {
            Self::Vector => {}
            Self::Matrix(panels) => linear_rows(panels, x, y),
            Self::Conv(panels) => conv_rows(Conv3 { height, width, channels: self.inputs() }, panels, x, y),
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
