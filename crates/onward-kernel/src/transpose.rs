//! Rows that become columns, sixteen by sixteen numbers at a time in registers.

use super::dispatch;

/// Rows and columns of a block.
pub(super) const SIDE: usize = 16;

/// An array of [`SIDE`] registers, written out: what is large in a loop or in `from_fn` may stay a loop over an array in memory,
/// whatever else happens to be compiled beside it.
#[cfg(target_arch = "x86_64")]
macro_rules! rows {
    ($row:ident => $one:expr) => { $crate::transpose::rows!($row: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 => $one) };
    ($row:ident: $($i:literal)* => $one:expr) => { [$({ let $row = $i; $one }),*] };
}
#[cfg(target_arch = "x86_64")]
pub(super) use rows;

/// `out[k · width + j] = rows[j · stride + k]` for `count` rows of `length` numbers, of which there are at most `width`; the rest of `out`
/// stays as it is.
///
/// # Panics
/// If `out` or `rows` is too short: a bug in the caller.
pub(super) fn transpose(rows: &[f32], [count, length, stride]: [usize; 3], out: &mut [f32], width: usize) {
    assert!(count <= width && out.len() >= length * width, "{count} rows of {length} in columns of {width}");
    assert!(count == 0 || (count - 1) * stride + length <= rows.len(), "{count} rows of {length}");
    dispatch!((rows: &[f32], length: usize, stride: usize, out: &mut [f32], width: usize, count: usize) {
        Avx512 => {
            let (high, long) = (count / SIDE * SIDE, length / SIDE * SIDE);
            for k in (0..long).step_by(SIDE) {
                for j in (0..high).step_by(SIDE) {
                    // SAFETY: `dispatch!` detected AVX-512; rows `j..j + 16` have numbers `k..k + 16`, and `out` has `length · width`
                    // numbers with `width` at least `j + 16`.
                    unsafe { block(rows.as_ptr().add(j * stride + k), stride, out.as_mut_ptr().add(k * width + j), width) }
                }
            }
            plain(rows, stride, out, width, high..count, 0..long);
            plain(rows, stride, out, width, 0..count, long..length);
        },
        _ => plain(rows, stride, out, width, 0..count, 0..length),
    });
}

/// A few columns of all rows at a time: what is written stays in the first-level cache.
fn plain(
    rows: &[f32],
    stride: usize,
    out: &mut [f32],
    width: usize,
    own: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) {
    for from in columns.clone().step_by(SIDE) {
        let to = (from + SIDE).min(columns.end);
        for j in own.clone() {
            let part = out[from * width..to * width].chunks_exact_mut(width);
            part.zip(&rows[j * stride + from..][..to - from]).for_each(|(out, v)| out[j] = *v);
        }
    }
}

/// One block of sixteen rows `stride` numbers apart, to sixteen rows `width` numbers apart.
///
/// # Safety
/// AVX-512 F was detected, and both blocks may be accessed.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn block(from: *const f32, stride: usize, to: *mut f32, width: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller vouches for the blocks and the instructions.
    unsafe {
        let columns = turned(rows!(i => _mm512_loadu_ps(from.add(i * stride))));
        for (i, column) in columns.into_iter().enumerate() {
            _mm512_storeu_ps(to.add(i * width), column);
        }
    }
}

/// The columns of sixteen rows: number `j` of result `i` is number `i` of row `j`.
///
/// # Safety
/// AVX-512 F was detected, and the caller is compiled for it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn turned(r: [std::arch::x86_64::__m512; SIDE]) -> [std::arch::x86_64::__m512; SIDE] {
    use std::arch::x86_64::*;
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        // Pairs of rows, then of pairs: four numbers of a column come together in each quarter of a register.
        let s = rows!(i => {
            let (a, b) = (r[i & !1], r[i | 1]);
            if i & 1 == 0 { _mm512_unpacklo_ps(a, b) } else { _mm512_unpackhi_ps(a, b) }
        });
        let s = rows!(i => {
            let at = i & !3 | i >> 1 & 1;
            let (a, b) = (_mm512_castps_pd(s[at]), _mm512_castps_pd(s[at | 2]));
            _mm512_castpd_ps(if i & 1 == 0 { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
        });
        // Then the quarters: column `4q + c` is quarter `q` of registers `c`, `4 + c`, `8 + c` and `12 + c`.
        let halves = rows!(i => {
            let at = (i & 4) << 1 | i & 3;
            let (a, b) = (s[at], s[at | 4]);
            if i & 8 == 0 { _mm512_shuffle_f32x4::<0x44>(a, b) } else { _mm512_shuffle_f32x4::<0xee>(a, b) }
        });
        rows!(i => {
            let (a, b) = (halves[i & !4], halves[i | 4]);
            if i & 4 == 0 { _mm512_shuffle_f32x4::<0x88>(a, b) } else { _mm512_shuffle_f32x4::<0xdd>(a, b) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::with_each_isa;

    #[test]
    fn every_number_is_where_it_belongs_and_nothing_else_is_written() {
        for (count, length, width) in [
            (0, 5, 16),
            (1, 1, 1),
            (3, 40, 16),
            (16, 16, 16),
            (32, 33, 32),
            (17, 47, 32),
            (31, 100, 32),
            (16, 784, 16),
        ] {
            let stride = length + count % 3;
            let rows: Vec<f32> = (0..count * stride).map(|i| i as f32).collect();
            with_each_isa(|isa| {
                let mut out = vec![-1.0; length * width + 3];
                transpose(&rows, [count, length, stride], &mut out, width);
                for (at, found) in out.iter().enumerate() {
                    let (k, j) = (at / width, at % width);
                    let want = if k < length && j < count { (j * stride + k) as f32 } else { -1.0 };
                    assert_eq!(*found, want, "{count} × {length} in {width}, {at}, {isa:?}");
                }
            });
        }
    }
}
