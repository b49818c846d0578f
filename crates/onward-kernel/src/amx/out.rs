//! From the scratch, where tiles leave their sums, to the result: by vectors, and past the caches where the result is larger than
//! they are.

use super::super::epilogue::{Finish, Number};
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
            // Where only some columns of long rows are written, others write the rest: together they are larger than the cache.
            _ if whole_lines && job.m * job.c_stride >= second_level() => Self::Past,
            _ => Self::Vectors,
        }
    }

    /// Copies rows and columns of `sums`, whose rows begin `wide` numbers apart, to `c`, whose rows begin `c_stride` bytes apart, and
    /// finishes them on the way.
    ///
    /// # Safety
    /// The rows and columns are there in both and in the bias; what is finished is f32. Where this is `Past`, rows of `c` begin at
    /// whole lines.
    #[inline]
    pub unsafe fn copy(
        self,
        sums: &[i32],
        wide: usize,
        [rows, columns]: [usize; 2],
        c: *mut u8,
        c_stride: usize,
        finish: Finish,
    ) {
        assert!(rows > 0 && (rows - 1) * wide + columns <= sums.len(), "{rows} rows of sums");
        for row in 0..rows {
            // SAFETY: handed on from the caller; vectors are used only where they were detected.
            unsafe {
                let (from, to) = (sums.as_ptr().add(row * wide), c.add(row * c_stride).cast::<i32>());
                match self {
                    Self::Numbers => {
                        from.copy_to_nonoverlapping(to, columns);
                        numbers(to.cast(), columns, finish);
                    }
                    Self::Vectors => vectors::<false>(from, to, columns, finish),
                    Self::Past => vectors::<true>(from, to, columns, finish),
                }
            }
        }
    }

    /// Finishes rows and columns that are in `c` already.
    ///
    /// # Safety
    /// As for [`Out::copy`].
    pub unsafe fn in_place(self, [rows, columns]: [usize; 2], c: *mut u8, c_stride: usize, finish: Finish) {
        for row in 0..if finish.is_none() { 0 } else { rows } {
            // SAFETY: handed on from the caller; vectors are used only where they were detected.
            unsafe {
                let c = c.add(row * c_stride);
                match self {
                    Self::Numbers => numbers(c.cast(), columns, finish),
                    Self::Vectors | Self::Past => vectors::<false>(c.cast(), c.cast(), columns, finish),
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
/// `columns` numbers are at `c` and in the bias.
unsafe fn numbers(c: *mut f32, columns: usize, finish: Finish) {
    // SAFETY: handed on from the caller.
    unsafe { f32::finish(c, columns, finish) }
}

/// # Safety
/// AVX-512 was detected; `columns` numbers are at `from`, in the bias and at `to`, which begins a line where `PAST` is set.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn vectors<const PAST: bool>(from: *const i32, to: *mut i32, columns: usize, finish: Finish) {
    use std::arch::x86_64::*;
    // Numbers of i32 have no bias and no ReLU, so they pass unchanged.
    let finished = |v: __m512i, bias: __m512| {
        let mut sums = _mm512_castsi512_ps(v);
        if !finish.is_none() {
            sums = if finish.bias(0).is_some() { _mm512_add_ps(sums, bias) } else { sums };
            // Where a sum is not a number, the second of the two is taken.
            sums = if finish.relu { _mm512_max_ps(sums, _mm512_setzero_ps()) } else { sums };
        }
        _mm512_castps_si512(sums)
    };
    for j in (0..columns).step_by(16) {
        let left = columns - j;
        // SAFETY: handed on from the caller; the mask leaves out what is not there.
        unsafe {
            if left >= 16 {
                let bias = finish.bias(j).map_or(_mm512_setzero_ps(), |bias| _mm512_loadu_ps(bias));
                let v = finished(_mm512_loadu_si512(from.add(j).cast()), bias);
                if PAST {
                    _mm512_stream_si512(to.add(j).cast(), v);
                } else {
                    _mm512_storeu_si512(to.add(j).cast(), v);
                }
            } else {
                let mask = (1u16 << left) - 1;
                let bias = finish.bias(j);
                let bias = bias.map_or(_mm512_setzero_ps(), |bias| _mm512_maskz_loadu_ps(mask, bias));
                let v = finished(_mm512_maskz_loadu_epi32(mask, from.add(j)), bias);
                _mm512_mask_storeu_epi32(to.add(j), mask, v);
            }
        }
    }
}
