//! Weights as they lie in memory or in a file: of any type, at any address.

use super::{from_bf16, keep_bf16, multiversion, transpose::transpose};

/// Numbers one after the other, of a type that need not be the one that is counted in. Bytes are in little-endian order.
#[derive(Clone, Copy, Debug)]
pub enum Laid<'a> {
    /// Single precision, ready for use.
    Floats(&'a [f32]),
    /// Single precision at any address.
    F32(&'a [[u8; 4]]),
    /// bfloat16.
    Bf16(&'a [[u8; 2]]),
    /// Half precision.
    F16(&'a [[u8; 2]]),
    /// Bytes of −128..127. The numbers are cut into as many runs of one length as there are scales, and `q` stands for `q · scale`.
    Int8(&'a [u8], &'a [f32]),
}

impl<'a> Laid<'a> {
    /// The number of numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::Floats(all) => all.len(),
            Self::F32(all) => all.len(),
            Self::Bf16(all) | Self::F16(all) => all.len(),
            Self::Int8(all, _) => all.len(),
        }
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the numbers from `first` on to `out`: exactly, but for bytes, whose products with their scale are rounded once.
    ///
    /// # Panics
    /// If they are not there: a bug in the caller.
    pub fn read(&self, first: usize, out: &mut [f32]) {
        let end = first + out.len();
        match self {
            Self::Floats(all) => out.copy_from_slice(&all[first..end]),
            Self::F32(all) => widen_f32(out, &all[first..end]),
            Self::Bf16(all) => widen_bf16(out, &all[first..end]),
            Self::F16(all) => widen_f16(out, &all[first..end]),
            Self::Int8(all, scales) => {
                let run = (all.len() / scales.len().max(1)).max(1);
                let mut at = first;
                while at < end {
                    let to = ((at / run + 1) * run).min(end);
                    widen_int8(&mut out[at - first..to - first], &all[at..to], scales[at / run]);
                    at = to;
                }
            }
        }
    }

    /// The bytes of row `row` of `k` and what they are multiplied by, if the numbers are bytes and the row has one scale.
    pub(super) fn bytes_of(&self, row: usize, k: usize) -> Option<(&'a [u8], f32)> {
        let Self::Int8(all, scales) = self else { return None };
        let run = all.len() / scales.len().max(1);
        (k > 0 && run.is_multiple_of(k)).then(|| (&all[row * k..][..k], scales[row * k / run]))
    }
}

/// Numbers of a row that are turned at once.
const RUN: usize = 256;

/// Writes the rows of `k` numbers from `first` on, `count` of them, to panels of `width` columns in f32; the nearest bf16 of each if they
/// are to be `kept` as such. `block` is scratch.
pub(super) fn lay_in_panels(
    panels: &mut [f32],
    [width, k]: [usize; 2],
    laid: &Laid<'_>,
    [first, count]: [usize; 2],
    kept: bool,
    block: &mut Vec<f32>,
) {
    for (panel, from) in panels.chunks_exact_mut((width * k).max(1)).zip((0..count).step_by(width)) {
        let rows = width.min(count - from);
        for column in (0..k).step_by(RUN) {
            let length = RUN.min(k - column);
            block.resize(2 * width * RUN, 0.0);
            let (numbers, near) = block.split_at_mut(width * RUN);
            let numbers = &mut numbers[..rows * length];
            for (row, out) in numbers.chunks_exact_mut(length).enumerate() {
                laid.read((first + from + row) * k + column, out);
            }
            let numbers = if kept {
                keep_bf16(&mut near[..rows * length], numbers);
                &near[..rows * length]
            } else {
                numbers
            };
            transpose(numbers, [rows, length, length], &mut panel[column * width..][..length * width], width);
        }
    }
}

multiversion! {
fn widen_f32(out: &mut [f32], x: &[[u8; 4]]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = f32::from_le_bytes(*x);
    }
}
}

multiversion! {
fn widen_bf16(out: &mut [f32], x: &[[u8; 2]]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = from_bf16(u16::from_le_bytes(*x));
    }
}
}

multiversion! {
fn widen_f16(out: &mut [f32], x: &[[u8; 2]]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = from_f16(u16::from_le_bytes(*x));
    }
}
}

multiversion! {
fn widen_int8(out: &mut [f32], x: &[u8], scale: f32) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = f32::from(x.cast_signed()) * scale;
    }
}
}

/// The f32 that is the same number as one of half precision (5 bits of exponent, 10 of fraction).
#[inline(always)]
pub fn from_f16(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15) << 31, bits >> 10 & 0x1f, bits & 0x3ff);
    match exponent {
        // Below the least normal number fractions count in steps of 2⁻²⁴.
        0 => f32::from_bits((f32::from(fraction) * LEAST).to_bits() | sign),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | u32::from(fraction) << 13),
        _ => f32::from_bits(sign | (u32::from(exponent) + 112) << 23 | u32::from(fraction) << 13),
    }
}

/// The least half precision above zero, 2⁻²⁴.
const LEAST: f32 = f32::from_bits((127 - 24) << 23);
/// The least normal one, 2⁻¹⁴.
const NORMAL: f32 = f32::from_bits((127 - 14) << 23);
/// The greatest one.
const GREATEST: f32 = 65_504.0;

/// The number of half precision nearest to an f32, ties to even: infinite from 65 520 on; NaN stays NaN.
pub fn to_f16(x: f32) -> u16 {
    let (bits, sign) = (x.to_bits() & 0x7fff_ffff, (x.to_bits() >> 16 & 0x8000) as u16);
    let size = f32::from_bits(bits);
    let near = if x.is_nan() {
        0x7e00
    } else if size >= 65_520.0 {
        0x7c00
    } else if size < NORMAL {
        // Adding 1.5·2²³ rounds to the nearest integer, ties to even, and leaves it in the lowest bits.
        (size / LEAST + 12_582_912.0).to_bits() & 0x7ff
    } else {
        ((bits + 0xfff + (bits >> 13 & 1)) >> 13) - (112 << 10)
    };
    near as u16 | sign
}

multiversion! {
/// Rounds each value to one of its two neighbours in half precision, the outer one with the chance that 16 bits of `words` decide: the
/// low half of a word for even places, the high half for odd ones. What is not finite stays; beyond 65 504 there is no neighbour, and
/// finite values stay there. (Below 2⁻¹⁴ what is cut off counts to 2⁻⁴⁰.)
pub fn round_by_f16(words: &[u32], values: &mut [f32]) {
    for (i, value) in values.iter_mut().enumerate() {
        let word = words[i / 2];
        *value = rounded(*value, if i % 2 == 0 { word & 0xffff } else { word >> 16 });
    }
}
}

#[inline(always)]
fn rounded(value: f32, chance: u32) -> f32 {
    if !value.is_finite() {
        return value;
    }
    let size = value.abs();
    let near = if size < NORMAL {
        let steps = size / LEAST;
        let whole = steps.floor();
        let up = (steps - whole) * 65_536.0 + chance as f32 >= 65_536.0;
        (whole + f32::from(u8::from(up))) * LEAST
    } else {
        f32::from_bits((size.to_bits() + (chance >> 3)) & !0x1fff).min(GREATEST)
    };
    near.copysign(value)
}

/// Bytes that stand for f32 in little-endian order, as such; `None` where they do not begin at a multiple of four or end with a whole
/// number, and on machines of another order.
pub fn floats_in(bytes: &[u8]) -> Option<&[f32]> {
    // SAFETY: every pattern of four bytes is an f32, and `align_to` sees to addresses.
    let (before, floats, after) = unsafe { bytes.align_to::<f32>() };
    (before.is_empty() && after.is_empty() && cfg!(target_endian = "little")).then_some(floats)
}

/// Numbers as the bytes that they are here.
pub fn bytes_in(floats: &[f32]) -> &[u8] {
    // SAFETY: an f32 is four bytes without padding, and bytes may stand anywhere.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bf16Arithmetic, Matrix, Precision, Scratch, numbers, quantise, to_bf16, with_each_isa};

    /// The same numbers in each type, and what they then are.
    fn each_type(w: &[f32], n: usize, check: impl Fn(Laid<'_>, &[f32])) {
        let f32s: Vec<[u8; 4]> = w.iter().map(|v| v.to_le_bytes()).collect();
        check(Laid::Floats(w), w);
        check(Laid::F32(&f32s), w);
        let halves: Vec<u16> = w.iter().map(|v| to_bf16(*v)).collect();
        let bytes: Vec<[u8; 2]> = halves.iter().map(|v| v.to_le_bytes()).collect();
        check(Laid::Bf16(&bytes), &halves.iter().map(|v| from_bf16(*v)).collect::<Vec<_>>());
        let halves: Vec<u16> = w.iter().map(|v| to_f16(*v)).collect();
        let bytes: Vec<[u8; 2]> = halves.iter().map(|v| v.to_le_bytes()).collect();
        check(Laid::F16(&bytes), &halves.iter().map(|v| from_f16(*v)).collect::<Vec<_>>());
        let (mut q, mut scales) = (vec![0i8; w.len()], Vec::new());
        let run = w.len() / n;
        for (q, w) in q.chunks_exact_mut(run).zip(w.chunks_exact(run)) {
            scales.push(quantise(q, w));
        }
        let wide = q.iter().enumerate().map(|(i, q)| f32::from(*q) * scales[i / run]).collect::<Vec<_>>();
        let bytes: Vec<u8> = q.iter().map(|q| q.cast_unsigned()).collect();
        check(Laid::Int8(&bytes, &scales), &wide);
    }

    #[test]
    fn numbers_of_every_type_are_read_from_anywhere() {
        each_type(&numbers(12 * 25, 3), 12, |laid, wide| {
            assert_eq!((laid.len(), laid.is_empty()), (wide.len(), false));
            for (first, length) in [(0, 300), (7, 1), (20, 60), (299, 1), (5, 0)] {
                let mut out = vec![f32::NAN; length];
                laid.read(first, &mut out);
                assert_eq!(out, wide[first..first + length], "{laid:?}");
            }
        });
    }

    #[test]
    fn matrices_are_laid_from_every_type_as_if_it_were_widened_first() {
        for (n, k) in [(1, 1), (16, 40), (70, 300), (33, 259)] {
            each_type(&numbers(n * k, 5), n, |laid, wide| {
                for precision in Precision::ALL {
                    with_each_isa(|isa| {
                        let mut scratch = Scratch::default();
                        let (from, part) = if n > 32 { (32, n - 32) } else { (0, n) };
                        let mut own = Matrix::zeros(part, k, precision);
                        own.lay(&laid, from, &mut scratch);
                        let plain = Matrix::new(&wide[from * k..], part, k, precision);
                        let (x, mut y, mut want) =
                            (numbers(3 * k, 9), vec![0.0; 3 * part], vec![0.0; 3 * part]);
                        own.product(&x, &mut y, &mut scratch);
                        plain.product(&x, &mut want, &mut scratch);
                        // Bytes are taken as they are, so their scales may differ by a rounding from those found again.
                        let bytes = matches!(laid, Laid::Int8(..)) && precision == Precision::Int8;
                        let near = |(a, b): (&f32, &f32)| {
                            if bytes { (a - b).abs() <= 1e-5 * k as f32 } else { a == b }
                        };
                        assert!(y.iter().zip(&want).all(near), "{n} × {k}, {precision:?}, {isa:?}");
                    });
                }
            });
        }
    }

    #[test]
    fn bytes_with_their_scales_are_multiplied_as_they_are() {
        let (bytes, scales) = ([100u8, 3u8.wrapping_neg(), 1, 2], [0.5, 0.25]);
        let mut matrix = Matrix::zeros(2, 2, Precision::Int8);
        matrix.lay(&Laid::Int8(&bytes, &scales), 0, &mut Scratch::default());
        let mut y = [0.0; 2];
        matrix.product(&[127.0, 127.0], &mut y, &mut Scratch::default());
        assert_eq!(y, [127.0 * 97.0 * 0.5, 127.0 * 3.0 * 0.25]);
    }

    #[test]
    fn numbers_of_half_precision_are_widened_exactly() {
        let known = [(0x0000, 0.0), (0x8000, -0.0), (0x0001, 5.960_464_5e-8), (0x03ff, 6.097_555e-5)];
        let normal = [(0x0400, 6.103_515_6e-5), (0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95)];
        let largest = [(0x7bff, 65504.0), (0x7c00, f32::INFINITY), (0xfc00, f32::NEG_INFINITY)];
        for (bits, number) in known.into_iter().chain(normal).chain(largest) {
            assert_eq!(from_f16(bits).to_bits(), f32::to_bits(number), "{bits:#06x}");
        }
        assert!(from_f16(0x7e00).is_nan());
    }

    #[test]
    fn half_precision_is_rounded_to_the_nearest() {
        for bits in 0..=u16::MAX {
            let wide = from_f16(bits);
            assert!(wide.is_nan() || to_f16(wide) == bits, "{bits:#x}");
        }
        let cases =
            [(1.0f32, 0x3c00), (65_519.9, 0x7bff), (65_520.0, 0x7c00), (-1e9, 0xfc00), (LEAST / 2.0, 0)];
        for (x, want) in cases {
            assert_eq!(to_f16(x), want, "{x}");
        }
        assert_eq!(
            (to_f16(LEAST * 0.5001), to_f16(LEAST * 1.5), to_f16(NORMAL - LEAST / 4.0)),
            (1, 2, 0x400)
        );
        assert_eq!((to_f16(1.0 + 1.0 / 2048.0), to_f16(1.0 + 3.0 / 2048.0)), (0x3c00, 0x3c02));
        assert!(from_f16(to_f16(f32::NAN)).is_nan());
    }

    #[test]
    fn half_precision_by_chance_is_right_in_the_mean() {
        for value in [1.0003f32, -0.1234, 3e-5, -4.7e-6, 1234.56, 3.0 * LEAST + LEAST / 64.0] {
            let mut sum = 0f64;
            let (low, high) = (from_f16(to_f16(value)), 2.0 * value.abs().max(NORMAL) / 2048.0);
            for chance in 0..=0xffffu32 {
                let mut one = [value];
                round_by_f16(&[chance], &mut one);
                assert_eq!(from_f16(to_f16(one[0])), one[0], "a number of half precision");
                assert!((one[0] - low).abs() <= high, "{value}: a neighbour");
                sum += f64::from(one[0]);
            }
            let off = (sum / 65_536.0 - f64::from(value)).abs();
            assert!(off <= f64::from(value.abs().max(NORMAL)) / 2048.0 / 8192.0, "{value}: {off}");
        }
        let mut odd = [f32::INFINITY, -70_000.0, f32::NAN, 65_503.0];
        round_by_f16(&[u32::MAX; 2], &mut odd);
        assert_eq!((odd[0], odd[1], odd[3]), (f32::INFINITY, -GREATEST, GREATEST));
        assert!(odd[2].is_nan());
    }

    #[test]
    fn bytes_are_floats_where_they_may_be() {
        let floats = numbers(5, 1);
        let bytes = bytes_in(&floats);
        assert_eq!(floats_in(bytes), Some(&floats[..]));
        assert_eq!((floats_in(&bytes[1..5]), floats_in(&bytes[..6])), (None, None));
        let chain = Precision::Bf16(Bf16Arithmetic::Chain);
        assert!(Laid::Int8(&[], &[]).is_empty() && Matrix::zeros(0, 0, chain).n() == 0);
    }
}
