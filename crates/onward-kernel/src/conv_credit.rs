//! The credit of a 3×3 convolution with sums in registers: sixteen outputs of 24 taps at a time, over all pixels of an image.

use super::conv::Conv3;
use super::isa::Isa;
use std::arch::x86_64::*;

/// Taps whose sums are kept together: neighbours in a row of the kernel.
const TAPS: usize = 24;
/// Outputs of a register.
const LANES: usize = 16;

/// As [`super::accumulate_conv_credit`], with the same bits; `false` if the processor or the sizes do not allow it.
pub(super) fn accumulate(
    shape: Conv3,
    padded: &[f32],
    g: &[f32],
    outputs: usize,
    credit: &mut [f32],
) -> bool {
    let Conv3 { height, width, channels } = shape;
    let run = 3 * channels;
    if Isa::detect() < Isa::Avx512 || !run.is_multiple_of(TAPS) || !outputs.is_multiple_of(LANES) {
        return false;
    }
    assert!(padded.len() >= shape.padded() && g.len() >= height * width * outputs, "sizes of a credit");
    assert!(credit.len() >= 3 * run * outputs, "sizes of a credit");
    let stride = (width + 2) * channels;
    for dy in 0..3 {
        for tap in (0..run).step_by(TAPS) {
            for first in (0..outputs).step_by(LANES) {
                // SAFETY: AVX-512 was detected. Rows `dy..dy + height` of the padded image have `width + 2` pixels, of which each of
                // `width` windows reads numbers `tap..tap + TAPS` of three; `g` and `credit` have their sizes, and of each row
                // of theirs numbers `first..first + LANES` are used.
                unsafe {
                    let (x, g) = (padded.as_ptr().add(dy * stride + tap), g.as_ptr().add(first));
                    let credit = credit.as_mut_ptr().add((dy * run + tap) * outputs + first);
                    sums(shape, x, g, outputs, credit);
                }
            }
        }
    }
    true
}

/// Adds `Σ x[tap] · g` over all pixels to `TAPS` rows of `LANES` numbers.
///
/// # Safety
/// AVX-512 F was detected; see [`accumulate`] for what is read and written.
#[target_feature(enable = "avx512f")]
unsafe fn sums(shape: Conv3, x: *const f32, g: *const f32, outputs: usize, credit: *mut f32) {
    // SAFETY: the caller vouches for the sizes.
    unsafe {
        let mut sums: [__m512; TAPS] = std::array::from_fn(|t| _mm512_loadu_ps(credit.add(t * outputs)));
        for row in 0..shape.height {
            let mut x = x.add(row * (shape.width + 2) * shape.channels);
            let mut g = g.add(row * shape.width * outputs);
            for _ in 0..shape.width {
                let own = _mm512_loadu_ps(g);
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_fmadd_ps(_mm512_set1_ps(*x.add(t)), own, *sum);
                }
                (x, g) = (x.wrapping_add(shape.channels), g.wrapping_add(outputs));
            }
        }
        for (t, sum) in sums.iter().enumerate() {
            _mm512_storeu_ps(credit.add(t * outputs), *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{accumulate_conv_credit, numbers, with_each_isa};
    use super::*;

    #[test]
    fn sums_in_registers_have_the_bits_of_rows_of_products() {
        for (height, width, channels, outputs) in
            [(1, 1, 8, 16), (5, 4, 16, 16), (28, 28, 16, 16), (3, 7, 32, 32), (4, 3, 16, 17), (4, 3, 3, 16)]
        {
            let shape = Conv3 { height, width, channels };
            let (padded, g) = (numbers(shape.padded(), 1), numbers(height * width * outputs, 2));
            let begun = numbers(9 * channels * outputs, 3);
            let mut first = None;
            with_each_isa(|isa| {
                let mut credit = begun.clone();
                accumulate_conv_credit(shape, &padded, &g, outputs, &mut credit);
                let bits: Vec<u32> = credit.iter().map(|v| v.to_bits()).collect();
                assert_eq!(
                    *first.get_or_insert_with(|| bits.clone()),
                    bits,
                    "{shape:?} to {outputs} on {isa:?}"
                );
            });
        }
    }
}
