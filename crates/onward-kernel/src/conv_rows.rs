//! Convolutions in f32 and bf16 with a run of pixels' sums in registers, where there are 32 of AVX-512's: each number is the chain of
//! fused multiply-adds that a product gives, over the kernel's rows in one go.

use super::bf16::x86::Bf16;
use super::conv::Conv3;
use super::product::{Panels, x86::Avx512};
use super::tile::Dot;
use super::{Bf16Arithmetic, Bf16Panels, Isa, compiled_for};
use std::arch::x86_64::*;

/// What the tiles of one block of sixteen outputs share. Groups are four bytes of neighbouring channels: a number, or two in bf16.
struct Job {
    conv: Conv3,
    /// Groups from one row of the padded image to the next.
    stride: usize,
    padded: *const u32,
    /// The weights of each of the kernel's rows, sixteen to a group.
    weights: [*const u32; 3],
    /// Groups from one line of the weights to the next.
    wide: usize,
    /// Whether a product has groups of zeros after the last one: they make 0 of a sum of -0.
    zeros: bool,
    out: *mut f32,
    /// Outputs: numbers from one pixel of the result to the next.
    n: usize,
    /// Which of the sixteen exist.
    mask: u16,
}

/// [`super::conv3x3`], where the processor and the number of channels suit; says whether.
///
/// # Panics
/// If a slice is too short: a bug in the caller.
pub(super) fn convolve(conv: Conv3, padded: &[f32], weights: &[Panels; 3], out: &mut [f32]) -> bool {
    let run: unsafe fn(&Job) = match conv.channels {
        _ if Isa::detect() < Isa::Avx512 => return false,
        1 => of_numbers::<1>,
        2 => of_numbers::<2>,
        4 => of_numbers::<4>,
        8 => of_numbers::<8>,
        16 => of_numbers::<16>,
        32 => of_numbers::<32>,
        _ => return false,
    };
    let (k, n) = (3 * conv.channels, weights[0].n());
    check(conv, padded.len(), out.len(), n);
    assert!(weights.iter().all(|w| (w.k(), w.n()) == (k, n)), "weights of a convolution");
    let wide = weights[0].width();
    for from in (0..n).step_by(LANES) {
        let weights = [0, 1, 2].map(|dy| weights[dy].panel(from / wide)[from % wide..].as_ptr().cast());
        let job =
            Job::new((conv, conv.channels), padded.as_ptr().cast(), (weights, wide), false, out, (n, from));
        // SAFETY: the features were just detected; the sizes were checked, and panels are filled up to whole vectors.
        unsafe { run(&job) }
    }
    true
}

/// The same in bf16 by AVX-512's products of pairs: what [`super::product_bf16`] gives of all patches. Says whether the processor, the
/// arithmetic and the number of channels suit.
///
/// # Panics
/// If a slice is too short: a bug in the caller.
pub(super) fn convolve_bf16(conv: Conv3, padded: &[u16], weights: &Bf16Panels, out: &mut [f32]) -> bool {
    let pairs = conv.channels / 2;
    let run: unsafe fn(&Job) = match conv.channels {
        _ if Isa::detect() < Isa::Avx512Bf16 || weights.arithmetic() != Bf16Arithmetic::Avx512Bf16 => {
            return false;
        }
        _ if !padded.as_ptr().cast::<u32>().is_aligned() => return false,
        8 => of_pairs::<4>,
        16 => of_pairs::<8>,
        32 => of_pairs::<16>,
        _ => return false,
    };
    let (columns, n) = (&weights.columns, weights.n());
    check(conv, padded.len(), out.len(), n);
    assert_eq!(weights.k(), 9 * conv.channels, "weights of a convolution");
    let wide = columns.width;
    for from in (0..n).step_by(LANES) {
        let panel = &columns.data()[from / wide * columns.groups * wide..][..columns.groups * wide];
        let rows = [0, 1, 2].map(|dy| panel[dy * 3 * pairs * wide + from % wide..].as_ptr());
        let zeros = columns.groups > 9 * pairs;
        let job = Job::new((conv, pairs), padded.as_ptr().cast(), (rows, wide), zeros, out, (n, from));
        // SAFETY: as in `convolve`; channels are even, so that pairs begin where pixels do, at multiples of four bytes.
        unsafe { run(&job) }
    }
    true
}

fn check(conv: Conv3, padded: usize, out: usize, n: usize) {
    let fits = padded >= conv.padded() && out >= conv.height * conv.width * n;
    assert!(fits, "a convolution's slices are too short");
}

impl Job {
    fn new(
        (conv, groups): (Conv3, usize),
        padded: *const u32,
        (weights, wide): ([*const u32; 3], usize),
        zeros: bool,
        out: &mut [f32],
        (n, from): (usize, usize),
    ) -> Self {
        let (stride, out) = ((conv.width + 2) * groups, out[from..].as_mut_ptr());
        let mask = u16::MAX >> (LANES - (n - from).min(LANES));
        Self { conv, stride, padded, weights, wide, zeros, out, n, mask }
    }
}

compiled_for! { Avx512
/// A group of each pixel for each of `G` channels.
///
/// # Safety
/// As for [`run`].
unsafe fn of_numbers<const G: usize>(job: &Job) {
    // SAFETY: handed on.
    unsafe { run::<Avx512, G>(job) }
}
}

compiled_for! { Avx512Bf16
/// A group of each pixel for each of `G` pairs of channels.
///
/// # Safety
/// As for [`run`].
unsafe fn of_pairs<const G: usize>(job: &Job) {
    // SAFETY: handed on.
    unsafe { run::<Bf16, G>(job) }
}
}

/// Numbers of a vector.
const LANES: usize = 16;

/// All pixels: whole runs of 28, narrower rows two at a time.
///
/// # Safety
/// The instruction set of `D` was detected, and the job's pointers reach as far as its sizes say.
#[inline(always)]
unsafe fn run<D: Dot<Number = f32, Sums = __m512>, const G: usize>(job: &Job) {
    let Conv3 { height, width, .. } = job.conv;
    let mut y = 0;
    while y < height {
        let two = width < 28 && y + 1 < height;
        let mut x = 0;
        while x < width {
            // SAFETY: rows and pixels lie inside.
            x += unsafe {
                match (two, width - x) {
                    (false, 28..) => tile::<D, G, 1, 28>(job, y, x),
                    (false, 14..) => tile::<D, G, 1, 14>(job, y, x),
                    (false, 7..) => tile::<D, G, 1, 7>(job, y, x),
                    (true, 14..) => tile::<D, G, 2, 14>(job, y, x),
                    (true, 7..) => tile::<D, G, 2, 7>(job, y, x),
                    (false, 3..) => tile::<D, G, 1, 3>(job, y, x),
                    (true, 3..) => tile::<D, G, 2, 3>(job, y, x),
                    (false, _) => tile::<D, G, 1, 1>(job, y, x),
                    (true, _) => tile::<D, G, 2, 1>(job, y, x),
                }
            };
        }
        y += 1 + usize::from(two);
    }
}

/// `R` rows of `P` pixels from `(y, x)` on; says how many pixels.
///
/// # Safety
/// As for [`run`]; the pixels lie inside.
// Indexed loops over the tile are what stays in registers.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn tile<D: Dot<Number = f32, Sums = __m512>, const G: usize, const R: usize, const P: usize>(
    job: &Job,
    y: usize,
    x: usize,
) -> usize {
    // SAFETY: windows of `3 × 3G` groups begin at each pixel of the padded image; the caller vouches for the rest.
    unsafe {
        let mut sums = [[D::zero(); P]; R];
        for dy in 0..3 {
            let mut a = job.padded.add((y + dy) * job.stride + x * G);
            let mut b = job.weights[dy];
            for _ in 0..3 * G {
                let w = D::right(b);
                for r in 0..R {
                    for p in 0..P {
                        let v = D::left(a.add(r * job.stride + p * G));
                        sums[r][p] = D::add(sums[r][p], v, w);
                    }
                }
                a = a.add(1);
                b = b.add(job.wide);
            }
        }
        if job.zeros {
            let none = [0u32; LANES];
            let (left, right) = (D::left(none.as_ptr()), D::right(none.as_ptr()));
            for r in 0..R {
                for p in 0..P {
                    sums[r][p] = D::add(sums[r][p], left, right);
                }
            }
        }
        for r in 0..R {
            for p in 0..P {
                let at = job.out.add(((y + r) * job.conv.width + x + p) * job.n);
                _mm512_mask_storeu_ps(at, job.mask, sums[r][p]);
            }
        }
    }
    P
}
