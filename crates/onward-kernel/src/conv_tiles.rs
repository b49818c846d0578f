//! Convolutions on the tile unit without patches: pixels of a padded row overlap as the rows of a tile, one tile for each run of
//! neighbouring numbers of `k`.

use super::amx::{Convolution, Step, Tiles, tiles};
use super::conv::Conv3;
use super::{Bf16Arithmetic, Bf16Panels, Int8Panels, Isa};

/// An image in int8, padded, every byte standing for `scale` of it. Says whether the channels and the processor suit.
pub(super) fn int8(conv: Conv3, padded: &[i8], scale: f32, b: &Int8Panels, y: &mut [f32]) -> bool {
    let c = conv.channels;
    // Numbers of a step, and where its window begins: at each row of the kernel, or at each of its pixels.
    let (bytes, taps) = match 3 * c {
        run @ ..=64 if run.is_multiple_of(4) => (run, 3),
        _ if c.is_multiple_of(4) && c <= 64 => (c, 9),
        _ => return false,
    };
    let Some(tiles) = (if Isa::detect() == Isa::Amx { tiles() } else { None }) else { return false };
    check(conv, padded.len(), y.len(), b.k(), b.n());
    let (stride, scales) = ((conv.width + 2) * c, b.scales());
    let job = Convolution {
        conv,
        b: b.columns.data(),
        width: b.width(),
        groups: b.columns.groups,
        n: b.n(),
        bytes,
        steps: taps,
        out: None,
    };
    let n = b.n();
    // SAFETY: the windows of up to 32 pixels of a row lie in the padded row, whose length was checked.
    unsafe {
        tiles.convolve_int8(
            &job,
            |y, x, steps| {
                for (tap, step) in steps.iter_mut().enumerate() {
                    let (dy, dx) = (tap / (taps / 3), tap % (taps / 3));
                    let first = padded[(y + dy) * stride + (x + dx) * c..].as_ptr().cast();
                    *step = Step { first, stride: c };
                }
            },
            |sums, first, columns| {
                let pixels = &mut y[first * n + columns.start..];
                assert!(pixels.len() >= (sums.len() / 16).max(1) * n - n + columns.len(), "room for sums");
                // Where there are tiles there is AVX-512.
                scaled(pixels.as_mut_ptr(), n, sums, scale, &scales[columns]);
            },
        );
    }
    true
}

/// A pixel of sixteen channels in bf16.
type Pixel = [u16; 16];

/// Two pixels that stand together in a sum: a line of the caches.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Pair([Pixel; 2]);

/// Pixels of two rows of results that stand together in a sum and not in the image.
#[derive(Debug, Default)]
pub(super) struct Seams {
    /// The right pixel of the kernel's upper row, and the left one of the row in the middle.
    between: Vec<Pair>,
    /// The right pixel of the lower row, and zeros.
    last: Vec<Pair>,
}

super::multiversion! {
/// Writes the seams of a row of results from its three rows of the padded image.
fn sew(between: &mut [Pair], last: &mut [Pair], rows: [&[Pixel]; 3]) {
    let [upper, middle, lower] = rows;
    for (i, (between, last)) in between.iter_mut().zip(last).enumerate() {
        between.0 = [upper[i + 2], middle[i]];
        last.0[0] = lower[i + 2];
    }
}
}

impl Seams {
    /// Where those of row `y` of the results begin.
    fn of(&self, y: usize, width: usize) -> [*const u8; 2] {
        [&self.between, &self.last].map(|seams| seams[y % 2 * width..].as_ptr().cast())
    }

    /// Makes room for two rows of `width`.
    fn reshape(&mut self, width: usize) {
        // What follows a last pixel is never written, so it stays zero.
        for seams in [&mut self.between, &mut self.last] {
            seams.resize(2 * width, Pair::default());
        }
    }

    /// Makes those of row `y` of the results.
    fn sew(&mut self, conv: Conv3, padded: &[Pixel], y: usize) {
        let own = y % 2 * conv.width..(y % 2 + 1) * conv.width;
        let rows = [y, y + 1, y + 2].map(|y| &padded[y * (conv.width + 2)..][..conv.width + 2]);
        sew(&mut self.between[own.clone()], &mut self.last[own], rows);
    }
}

/// An image in bf16, padded; `seams` is scratch. Says whether the channels and the processor suit.
///
/// The tile unit adds 32 numbers of `k` at a time, so steps are those of a patch: two pixels of sixteen channels each. Two that
/// do not stand side by side in the image are copied to `seams`, as is the last one, which zeros follow: a row of results ahead, since
/// tiles wait for what was just written.
pub(super) fn bf16(conv: Conv3, padded: &[u16], b: &Bf16Panels, y: &mut [f32], seams: &mut Seams) -> bool {
    let c = conv.channels;
    let Some(tiles) = own_tiles(b) else { return false };
    if c != 16 && !c.is_multiple_of(32) || c == 0 {
        return false;
    }
    check(conv, padded.len(), y.len(), b.k(), b.n());
    let (stride, n) = ((conv.width + 2) * c, b.n());
    let job = Convolution {
        conv,
        b: b.columns.data(),
        width: b.width(),
        groups: b.columns.groups,
        n,
        bytes: 64,
        steps: if c == 16 { 5 } else { 9 * c / 32 },
        out: Some(y.as_mut_ptr().cast()),
    };
    let at = |y: usize, x: usize, channel: usize| padded[y * stride + x * c + channel..].as_ptr().cast();
    if c == 16 {
        let pixels = padded.as_chunks::<16>().0;
        seams.reshape(conv.width);
        let mut made = 0;
        let steps = |y: usize, x: usize, steps: &mut [Step]| {
            while made < conv.height.min(y + 2) {
                seams.sew(conv, pixels, made);
                made += 1;
            }
            let (beside, apart) = (2 * c, size_of::<Pair>());
            let [between, last] = seams.of(y, conv.width).map(|seams| seams.wrapping_add(x * apart));
            let step = |first, stride| Step { first, stride };
            steps.copy_from_slice(&[
                step(at(y, x, 0), beside),
                step(between, apart),
                step(at(y + 1, x + 1, 0), beside),
                step(at(y + 2, x, 0), beside),
                step(last, apart),
            ]);
        };
        // SAFETY: as for `int8`; the seams have a pair for each pixel of a row.
        unsafe { tiles.convolve_bf16(&job, steps) }
    } else {
        let steps = |y: usize, x: usize, steps: &mut [Step]| {
            for (i, step) in steps.iter_mut().enumerate() {
                let (tap, channel) = (i / (c / 32), i % (c / 32) * 32);
                *step = Step { first: at(y + tap / 3, x + tap % 3, channel), stride: 2 * c };
            }
        };
        // SAFETY: as for `int8`; the seams have a pair for each pixel of a row.
        unsafe { tiles.convolve_bf16(&job, steps) }
    }
    true
}

/// The tile unit, where it is what gives the bits of these weights.
fn own_tiles(b: &Bf16Panels) -> Option<Tiles> {
    (b.arithmetic() == Bf16Arithmetic::Amx && Bf16Arithmetic::Amx.is_native()).then(tiles).flatten()
}

fn check(conv: Conv3, padded: usize, y: usize, k: usize, n: usize) {
    let fit = padded >= conv.padded() && y >= conv.height * conv.width * n && k == 9 * conv.channels;
    assert!(fit, "a convolution's sizes: {conv:?}, {padded} and {y} numbers, {k} × {n}");
}

/// Sums of sixteen columns of a run of pixels, those of `columns` scaled: those of a pixel stand `n` numbers after the last one's.
///
/// # Safety
/// AVX-512 F was detected; there are at most sixteen columns, and `y` has room for all of each pixel.
#[target_feature(enable = "avx512f")]
unsafe fn scaled(y: *mut f32, n: usize, sums: &[i32], scale: f32, columns: &[f32]) {
    use std::arch::x86_64::*;
    let mask = u16::MAX >> (16 - columns.len());
    // SAFETY: handed on from the caller; the mask leaves out what is not there.
    unsafe {
        let scales = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_maskz_loadu_ps(mask, columns.as_ptr()));
        for (pixel, sums) in sums.as_chunks::<16>().0.iter().enumerate() {
            let sums = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums.as_ptr().cast()));
            _mm512_mask_storeu_ps(y.add(pixel * n), mask, _mm512_mul_ps(sums, scales));
        }
    }
}
