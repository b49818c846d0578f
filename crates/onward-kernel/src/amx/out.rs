//! From the scratch, where tiles leave their sums, to the result: by vectors, and past the caches where the result is larger than
//! they are.

use super::super::{Isa, cache::second_level};
use super::product::Job;

/// A line of the caches in bytes.
const LINE: usize = 64;

/// How sums leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Out {
    /// Number by number, for processors whose tiles are emulated.
    Numbers,
    /// By vectors.
    Vectors,
    /// By vectors, in whole lines past the caches.
    Past,
}

impl Out {
    /// What suits the job's result.
    pub fn of(job: &Job) -> Self {
        let whole_lines = (job.c as usize | job.c_stride).is_multiple_of(LINE);
        match Isa::detect() {
            Isa::Portable | Isa::Avx2 => Self::Numbers,
            _ if whole_lines && 4 * job.m * job.n >= second_level() => Self::Past,
            _ => Self::Vectors,
        }
    }

    /// Copies rows and columns of `sums`, whose rows begin `wide` numbers apart, to `c`, whose rows begin `c_stride` bytes apart.
    ///
    /// # Safety
    /// The rows and columns are there in both. Where this is `Past`, rows of `c` begin at whole lines.
    #[inline]
    pub unsafe fn copy(
        self,
        sums: &[i32],
        wide: usize,
        [rows, columns]: [usize; 2],
        c: *mut u8,
        c_stride: usize,
    ) {
        assert!(rows > 0 && (rows - 1) * wide + columns <= sums.len(), "{rows} rows of sums");
        for row in 0..rows {
            // SAFETY: handed on from the caller; vectors are used only where they were detected.
            unsafe {
                let (from, to) = (sums.as_ptr().add(row * wide), c.add(row * c_stride).cast::<i32>());
                match self {
                    Self::Numbers => from.copy_to_nonoverlapping(to, columns),
                    Self::Vectors => vectors::<false>(from, to, columns),
                    Self::Past => vectors::<true>(from, to, columns),
                }
            }
        }
    }

    /// To be called after the last copy: what went past the caches is then ordered before all that follows.
    pub fn done(self) {
        if self == Self::Past {
            // SAFETY: every x86-64 processor has the instruction.
            unsafe { std::arch::x86_64::_mm_sfence() }
        }
    }
}

/// # Safety
/// AVX-512 was detected; `columns` numbers are at `from` and at `to`, which begins a line where `PAST` is set.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn vectors<const PAST: bool>(from: *const i32, to: *mut i32, columns: usize) {
    use std::arch::x86_64::*;
    for j in (0..columns).step_by(16) {
        let left = columns - j;
        // SAFETY: handed on from the caller; the mask leaves out what is not there.
        unsafe {
            if left >= 16 {
                let v = _mm512_loadu_si512(from.add(j).cast());
                if PAST {
                    _mm512_stream_si512(to.add(j).cast(), v);
                } else {
                    _mm512_storeu_si512(to.add(j).cast(), v);
                }
            } else {
                let mask = (1u16 << left) - 1;
                _mm512_mask_storeu_epi32(to.add(j), mask, _mm512_maskz_loadu_epi32(mask, from.add(j)));
            }
        }
    }
}
