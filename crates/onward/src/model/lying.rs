//! Products with weights that stay in memory as they lie: a few outputs' at a time are packed in scratch and multiplied with all rows. Every
//! number is the same as from weights that were packed whole.

use super::dense::{Forming, outputs_at_once};
use super::weights::Idle;
use crate::kernel::{Epilogue, FEW, Precision, Scratch, Window, product_few};
use crate::params::Tensor;
use crate::threads::{self, prelude::*};

/// Rows that are packed and multiplied at once.
const ROWS: usize = 1024;
/// Parts of a product of few rows for each thread, so that uneven processors end at about the same time.
const PIECES: usize = 4;
/// Bytes of weights that such a part reads at least: fewer are not worth waking a thread for.
const READ: usize = 1 << 18;

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
    if m <= FEW && precision == Precision::F32 {
        // What it takes is the time to read the weights, each once.
        let share = (n / (PIECES * threads::here())).max(READ / (k * tensor.data.dtype().bytes()));
        let columns = share.next_multiple_of(64);
        let parts = Window::new(y, n, m, n).finished_by(epilogue).in_columns(columns);
        let done: Vec<bool> = parts.into_par_iter().map(|part| product_few(&part, x, &laid, k)).collect();
        if done.into_iter().all(|done| done) {
            return;
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Matrix, to_bf16, to_f16};
    use crate::noise::{Family, Role, RunKey};
    use crate::params::{DType, TensorData};
    use crate::threads::Threads;

    fn numbers(n: usize, name: &str) -> Vec<f32> {
        let mut all = vec![0.0; n];
        RunKey::from_seed(1).tensor(Role::Init, name).at(0, 0).fill(Family::Normal, 0, &mut all);
        all
    }

    /// The same weights as each type.
    fn each_type(w: &[f32], outputs: usize) -> Vec<TensorData> {
        let halves = |to: fn(f32) -> u16| w.iter().flat_map(|v| to(*v).to_le_bytes()).collect();
        let bytes = w.iter().map(|v| (v * 30.0) as i8 as u8).collect();
        let scales: Vec<f32> = (0..outputs).map(|i| 0.01 + i as f32 / 1000.0).collect();
        vec![
            w.to_vec().into(),
            TensorData::new(DType::Bf16, halves(to_bf16), &[]).unwrap(),
            TensorData::new(DType::F16, halves(to_f16), &[]).unwrap(),
            TensorData::new(DType::Int8, bytes, &scales).unwrap(),
        ]
    }

    #[test]
    fn products_have_the_bits_of_weights_packed_whole() {
        for [m, n, k] in [[1, 1, 1], [5, 70, 33], [2, 200, 300], [1030, 40, 17]] {
            let (x, bias) = (numbers(m * k, "x"), numbers(n, "bias"));
            for data in each_type(&numbers(n * k, "w"), n) {
                let tensor = Tensor { name: "w".into(), shape: vec![n, k], data };
                for precision in Precision::ALL {
                    let mut whole = Matrix::zeros(n, k, precision);
                    whole.lay(&tensor.data.laid(), 0, &mut Scratch::default());
                    let mut want = vec![0.0; m * n];
                    whole.product(&x, &mut want, &mut Scratch::default());
                    for (i, y) in want.iter_mut().enumerate() {
                        *y = (*y + bias[i % n]).max(0.0);
                    }
                    for threads in [1, 3] {
                        let mut y = vec![f32::NAN; m * n];
                        let epilogue = Epilogue { bias: &bias, relu: true };
                        let (idle, forming) = (Idle::default(), Idle::default());
                        Threads::new(threads).unwrap().run(|| {
                            product(&tensor, precision, (&x, &mut y), epilogue, &idle, &forming);
                        });
                        assert_eq!(y, want, "{m} × {n} × {k}, {precision:?}, {:?}", tensor.data);
                    }
                }
            }
        }
    }
}
