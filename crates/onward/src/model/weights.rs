//! Params packed for products, once per step.

use super::TensorKeys;
use crate::kernel::{Conv3, Matrix, Panels, Precision, Scratch, conv3x3};
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
    precision: Precision,
}

impl<'a> Weights<'a> {
    /// Packs `params` for products of the given precision; `key` names the noise of probes on them.
    pub fn new(params: &'a Params, key: &RunKey, precision: Precision) -> Self {
        let packed = params.tensors().par_iter().map(|t| Packed::new(t, &t.data, precision)).collect();
        let keys = params.tensors().iter().map(|t| TensorKeys::new(key, &t.name)).collect();
        Self { params, packed, keys, precision }
    }

    /// The params that were packed.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// The arithmetic of products.
    pub fn precision(&self) -> Precision {
        self.precision
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
    Matrix(Matrix),
    /// The three kernel rows of a 3×3 convolution in single precision.
    Conv([Panels; 3]),
    /// A 3×3 convolution as a product with patches.
    Patches(Matrix),
}

impl Packed {
    /// Packs `data`, which has the shape of `tensor`.
    pub(super) fn new(tensor: &Tensor, data: &[f32], precision: Precision) -> Self {
        match tensor.shape.as_slice() {
            [n, 3, 3, c] if precision == Precision::F32 => Self::Conv(std::array::from_fn(|dy| {
                let rows: Vec<f32> =
                    data.chunks_exact(9 * c).flat_map(|o| &o[dy * 3 * c..][..3 * c]).copied().collect();
                Panels::transposed(&rows, *n, 3 * c)
            })),
            [n, 3, 3, c] => Self::Patches(Matrix::new(data, *n, 9 * c, precision)),
            [n, k] => Self::Matrix(Matrix::new(data, *n, *k, precision)),
            _ => Self::Vector,
        }
    }

    /// Numbers per position that a product with this takes (0 for vectors).
    pub(super) fn inputs(&self) -> usize {
        match self {
            Self::Vector => 0,
            Self::Matrix(matrix) => matrix.k(),
            Self::Conv(panels) => panels[0].k() / 3,
            Self::Patches(matrix) => matrix.k() / 9,
        }
    }

    /// Numbers per position that a product with this gives (0 for vectors).
    pub(super) fn outputs(&self) -> usize {
        match self {
            Self::Vector => 0,
            Self::Matrix(matrix) | Self::Patches(matrix) => matrix.n(),
            Self::Conv(panels) => panels[0].n(),
        }
    }

    /// `y = x Wᵀ` at every position of the rows `x`, whose maps are `[height, width]`: a linear map or a convolution.
    pub(super) fn product(&self, [height, width]: [usize; 2], x: &[f32], y: &mut [f32]) {
        let conv = Conv3 { height, width, channels: self.inputs() };
        match self {
            Self::Vector => {}
            Self::Matrix(matrix) => linear_rows(matrix, x, y),
            Self::Conv(panels) => {
                by_image(
                    conv,
                    panels[0].n(),
                    x,
                    y,
                    || vec![0.0; conv.padded()],
                    |padded, x, y| {
                        conv.pad(x, padded);
                        conv3x3(conv, padded, panels, y);
                    },
                );
            }
            Self::Patches(matrix) => {
                by_image(conv, matrix.n(), x, y, Scratch::default, |scratch, x, y| {
                    matrix.convolve(conv, x, y, scratch);
                });
            }
        }
    }
}

fn linear_rows(matrix: &Matrix, x: &[f32], y: &mut [f32]) {
    let blocks = y.par_chunks_mut(ROWS * matrix.n()).zip(x.par_chunks(ROWS * matrix.k()));
    blocks.for_each_init(Scratch::default, |scratch, (y, x)| matrix.product(x, y, scratch));
}

/// Runs `f(scratch, image, output)` for every image.
fn by_image<S>(
    conv: Conv3,
    outputs: usize,
    x: &[f32],
    y: &mut [f32],
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, &[f32], &mut [f32]) + Sync + Send,
) {
    let points = conv.height * conv.width;
    let images = y.par_chunks_mut(points * outputs).zip(x.par_chunks(points * conv.channels)).with_min_len(8);
    images.for_each_init(scratch, |scratch, (y, x)| f(scratch, x, y));
}
