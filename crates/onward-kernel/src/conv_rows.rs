//! f32 convolutions with a run of pixels' sums in registers, where there are 32 of AVX-512's: each number is the chain of fused
//! multiply-adds that three products over the kernel's rows give, in one go.

use super::Isa;
use super::conv::Conv3;
use super::product::Panels;
use std::arch::x86_64::*;

/// What the tiles of one block of sixteen outputs share.
struct Job {
    conv: Conv3,
    /// Numbers from one row of the padded image to the next.
    stride: usize,
    padded: *const f32,
    weights: [*const f32; 3],
    /// Numbers from one line of the weights to the next.
    wide: usize,
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
        1 => run::<1>,
        2 => run::<2>,
        4 => run::<4>,
        8 => run::<8>,
        16 => run::<16>,
        32 => run::<32>,
        _ => return false,
    };
    let (k, n) = (3 * conv.channels, weights[0].n());
    let pixels = conv.height * conv.width;
    assert!(padded.len() >= conv.padded() && out.len() >= pixels * n, "a convolution's slices are too short");
    assert!(weights.iter().all(|w| (w.k(), w.n()) == (k, n)), "weights of a convolution");
    for from in (0..n).step_by(LANES) {
        let wide = weights[0].width();
        let job = Job {
            conv,
            stride: (conv.width + 2) * conv.channels,
            padded: padded.as_ptr(),
            weights: [0, 1, 2].map(|dy| weights[dy].panel(from / wide)[from % wide..].as_ptr()),
            wide,
            out: out[from..].as_mut_ptr(),
            n,
            mask: u16::MAX >> (LANES - (n - from).min(LANES)),
        };
        // SAFETY: the features were just detected; the sizes were checked, and panels are filled up to whole vectors.
        unsafe { run(&job) }
    }
    true
}

/// Numbers of a vector.
const LANES: usize = 16;

/// All pixels: whole rows of 28 or 14, narrow rows two at a time.
///
/// # Safety
/// AVX-512 was detected, and the job's pointers reach as far as its sizes say.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn run<const C: usize>(job: &Job) {
    let Conv3 { height, width, .. } = job.conv;
    let mut y = 0;
    while y < height {
        let two = width < 14 && y + 1 < height;
        let mut x = 0;
        while x < width {
            // SAFETY: rows and pixels lie inside.
            x += unsafe {
                match (two, width - x) {
                    (false, 28..) => tile::<C, 1, 28>(job, y, x),
                    (false, 14..) => tile::<C, 1, 14>(job, y, x),
                    (false, 7..) => tile::<C, 1, 7>(job, y, x),
                    (true, 7..) => tile::<C, 2, 7>(job, y, x),
                    (false, 3..) => tile::<C, 1, 3>(job, y, x),
                    (true, 3..) => tile::<C, 2, 3>(job, y, x),
                    (false, _) => tile::<C, 1, 1>(job, y, x),
                    (true, _) => tile::<C, 2, 1>(job, y, x),
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
unsafe fn tile<const C: usize, const R: usize, const P: usize>(job: &Job, y: usize, x: usize) -> usize {
    // SAFETY: windows of `3 × 3C` numbers begin at each pixel of the padded image; the caller vouches for the rest.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); P]; R];
        for dy in 0..3 {
            let mut a = job.padded.add((y + dy) * job.stride + x * C);
            let mut b = job.weights[dy];
            for _ in 0..3 * C {
                let w = _mm512_loadu_ps(b);
                for r in 0..R {
                    for p in 0..P {
                        let v = _mm512_set1_ps(*a.add(r * job.stride + p * C));
                        sums[r][p] = _mm512_fmadd_ps(v, w, sums[r][p]);
                    }
                }
                a = a.add(1);
                b = b.add(job.wide);
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
