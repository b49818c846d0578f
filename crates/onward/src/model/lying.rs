//! Products with weights that stay in memory as they lie: a few outputs' at a time are packed in scratch and multiplied with all rows. Every
//! number is the same as from weights that were packed whole.

use super::dense::{Forming, outputs_at_once};
use super::weights::Idle;
use crate::kernel::{Epilogue, Precision, Scratch, Window};
use crate::params::Tensor;
use crate::threads::prelude::*;

/// Rows that are packed and multiplied at once.
const ROWS: usize = 1024;

/// `y = x Wᵀ`, finished by `epilogue`; nothing for a tensor that is no matrix.
pub(super) fn product(
    tensor: &Tensor,
    precision: Precision,
    (x, y): (&[f32], &mut [f32]),
    epilogue: Epilogue<'_>,
    idle: &Idle,
    forming: &Idle<Forming>,
) {
    let Some((n, k)) = tensor.matrix().filter(|(n, k)| n * k > 0) else { return };
    let (m, laid) = (y.len() / n, tensor.data.laid());
    let pack = |x: &[f32]| {
        let mut scratch = idle.lend();
        scratch.pack(x, x.len() / k, k, precision);
        scratch
    };
    let pieces: Vec<_> = x.par_chunks(ROWS * k).map(pack).collect();
    let outputs = Window::new(y, n, m, n).in_columns(outputs_at_once(n, k, precision));
    outputs.into_par_iter().for_each(|mut block| {
        let mut forming = forming.lend();
        let (first, count) = (block.columns().start, block.columns().len());
        let Some((matrix, scratch)) = forming.one([count, k], precision) else { return };
        matrix.lay(&laid, first, scratch);
        let bias = epilogue.bias.get(first..first + count).unwrap_or(&[]);
        for (i, (x, packed)) in x.chunks(ROWS * k).zip(&pieces).enumerate() {
            let (part, rest) = block.split_rows((i * ROWS + x.len() / k).min(m));
            block = rest;
            let packed: &Scratch = packed;
            matrix.product_part(x, part.of_another().finished_by(Epilogue { bias, ..epilogue }), packed);
        }
    });
}
