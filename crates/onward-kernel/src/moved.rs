//! Weights that are formed on their way into panels.

#[cfg(target_arch = "x86_64")]
use super::bf16::nearest;
use super::transpose::SIDE;
#[cfg(target_arch = "x86_64")]
use super::transpose::{rows, turned};
use super::{dispatch, from_bf16, to_bf16};
use std::ops::Range;

/// Weights on their way: `start + factor · along`, each number rounded once.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// From where: the first row's first number and what follows.
    pub start: &'a [f32],
    /// Numbers from one row of `start` to the next.
    pub stride: usize,
    /// How far.
    pub factor: f32,
    /// Whereto: rows of `length` numbers, one after the other.
    pub along: &'a [f32],
    /// Numbers of each row that move.
    pub length: usize,
}

impl<'a> Moved<'a> {
    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.along.len().checked_div(self.length).unwrap_or(0)
    }

    /// # Panics
    /// If a row is not there, or not whole.
    pub(super) fn check(&self) {
        let (rows, length) = (self.rows(), self.length);
        assert_eq!(rows * length, self.along.len(), "rows of {length} weights");
        let end = if rows == 0 { 0 } else { (rows - 1) * self.stride + length };
        assert!(end <= self.start.len(), "weights and what they move along");
    }

    /// Some of the rows.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        let along = &self.along[rows.start * self.length..rows.end * self.length];
        Self { start: &self.start[(rows.start * self.stride).min(self.start.len())..], along, ..*self }
    }

    /// The numbers `columns` of row `j`, before and beside the way.
    #[inline(always)]
    pub(super) fn row(&self, j: usize, columns: Range<usize>) -> (&'a [f32], &'a [f32]) {
        let part = |from: usize| from + columns.start..from + columns.end;
        (&self.start[part(j * self.stride)], &self.along[part(j * self.length)])
    }

    /// Calls `write` with runs of up to `N` formed numbers: row and first column. Some columns of all rows come first: what is written
    /// to panels stays in the first-level cache.
    #[inline(always)]
    fn each<const N: usize>(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        mut write: impl FnMut(usize, usize, &[f32]),
    ) {
        for from in columns.clone().step_by(N) {
            let many = N.min(columns.end - from);
            for j in rows.clone() {
                let (start, along) = self.row(j, from..from + many);
                let mut moved = [0f32; N];
                for ((m, s), a) in moved.iter_mut().zip(start).zip(along) {
                    *m = self.factor.mul_add(*a, *s);
                }
                write(j, from, &moved[..many]);
            }
        }
    }

    /// Sixteen numbers of row `j` from `column` on.
    ///
    /// # Safety
    /// AVX-512 F was detected, and the caller is compiled for it; the row and its columns are there.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn vector(&self, j: usize, column: usize) -> std::arch::x86_64::__m512 {
        use std::arch::x86_64::*;
        // SAFETY: the caller vouches for the row.
        unsafe {
            let start = _mm512_loadu_ps(self.start.as_ptr().add(j * self.stride + column));
            let along = _mm512_loadu_ps(self.along.as_ptr().add(j * self.length + column));
            _mm512_fmadd_ps(_mm512_set1_ps(self.factor), along, start)
        }
    }
}

/// Writes weights to the columns of a panel in f32, `out[column · width + row]`; the nearest bf16 of each if they are to be `kept` as such.
///
/// # Panics
/// If they are not there or do not fit: a bug in the caller.
pub(super) fn pack_moved(out: &mut [f32], width: usize, weights: Moved<'_>, kept: bool) {
    weights.check();
    let (rows, length) = (weights.rows(), weights.length);
    assert!(rows <= width && out.len() >= length * width, "{rows} rows of {length} in columns of {width}");
    dispatch!((out: &mut [f32], width: usize, weights: Moved<'_>, kept: bool, rows: usize, length: usize) {
        Avx512 => {
            let (high, long) = if kept { (0, 0) } else { (rows / SIDE * SIDE, length / SIDE * SIDE) };
            for k in (0..long).step_by(SIDE) {
                for j in (0..high).step_by(SIDE) {
                    // SAFETY: `dispatch!` detected AVX-512; the block's rows and columns are there in both, as was checked above.
                    unsafe {
                        let columns = turned(rows!(i => weights.vector(j + i, k)));
                        for (i, column) in columns.into_iter().enumerate() {
                            let to = out.as_mut_ptr().add((k + i) * width + j);
                            std::arch::x86_64::_mm512_storeu_ps(to, column);
                        }
                    }
                }
            }
            plain(out, width, weights, kept, high..rows, 0..long);
            plain(out, width, weights, kept, 0..rows, long..length);
        },
        Avx2 => plain(out, width, weights, kept, 0..rows, 0..length),
        _ => plain(out, width, weights, kept, 0..rows, 0..length),
    });
}

#[inline(always)]
fn plain(
    out: &mut [f32],
    width: usize,
    weights: Moved<'_>,
    kept: bool,
    rows: Range<usize>,
    columns: Range<usize>,
) {
    weights.each::<SIDE>(rows, columns, |j, from, moved| {
        for (out, m) in out[from * width..].chunks_exact_mut(width).zip(moved) {
            out[j] = if kept { from_bf16(to_bf16(*m)) } else { *m };
        }
    });
}

/// Writes the bf16 nearest to weights to the columns of a panel of groups of two, `out[column / 2 · width + row]`. A last number without another
/// stands beside a zero.
///
/// # Panics
/// As for [`pack_moved`].
pub(super) fn pack_moved_bf16(out: &mut [u32], width: usize, weights: Moved<'_>) {
    weights.check();
    let (rows, length) = (weights.rows(), weights.length);
    let groups = length.div_ceil(2);
    assert!(rows <= width && out.len() >= groups * width, "{rows} rows of {length} in columns of {width}");
    dispatch!((out: &mut [u32], width: usize, weights: Moved<'_>, rows: usize, length: usize) {
        Avx512 => {
            let (high, long) = (rows / SIDE * SIDE, length / (2 * SIDE) * 2 * SIDE);
            for k in (0..long).step_by(2 * SIDE) {
                for j in (0..high).step_by(SIDE) {
                    // SAFETY: `dispatch!` detected AVX-512 with words; the block's rows and columns are there in both, as was checked
                    // above: 32 columns are sixteen groups.
                    unsafe {
                        let pairs = rows!(i => {
                            let (left, right) = (weights.vector(j + i, k), weights.vector(j + i, k + SIDE));
                            std::arch::x86_64::_mm512_castsi512_ps(nearest(left, right))
                        });
                        for (i, groups) in turned(pairs).into_iter().enumerate() {
                            let to = out.as_mut_ptr().add((k / 2 + i) * width + j);
                            std::arch::x86_64::_mm512_storeu_ps(to.cast(), groups);
                        }
                    }
                }
            }
            plain_bf16(out, width, weights, high..rows, 0..long);
            plain_bf16(out, width, weights, 0..rows, long..length);
        },
        Avx2 => plain_bf16(out, width, weights, 0..rows, 0..length),
        _ => plain_bf16(out, width, weights, 0..rows, 0..length),
    });
}

#[inline(always)]
fn plain_bf16(out: &mut [u32], width: usize, weights: Moved<'_>, rows: Range<usize>, columns: Range<usize>) {
    weights.each::<{ 2 * SIDE }>(rows, columns, |j, from, moved| {
        for (out, pair) in out[from / 2 * width..].chunks_exact_mut(width).zip(moved.chunks(2)) {
            let half = |i: usize| pair.get(i).map_or(0, |v| u32::from(to_bf16(*v)));
            out[j] = half(0) | half(1) << 16;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    /// Numbers of every kind among ordinary ones.
    fn special(n: usize, salt: u32) -> Vec<f32> {
        let kinds = [f32::NAN, f32::INFINITY, -f32::MAX, 1e-40, f32::from_bits(0x007f_ffff), -0.0];
        let mut all = numbers(n, salt);
        all.iter_mut().step_by(7).zip(kinds.iter().cycle()).for_each(|(v, kind)| *v = *kind);
        all
    }

    #[test]
    fn weights_are_formed_where_they_belong_and_nothing_else_is_written() {
        for (rows, length, stride, width) in [
            (1, 1, 1, 16),
            (16, 16, 20, 16),
            (32, 64, 64, 32),
            (17, 45, 50, 32),
            (31, 99, 128, 32),
            (5, 0, 3, 16),
        ] {
            let (start, along) = (special(rows * stride, 1), numbers(rows * length, 2));
            let factor = 0.37f32;
            let weights = Moved { start: &start, stride, factor, along: &along, length };
            let of = |j: usize, k: usize| factor.mul_add(along[j * length + k], start[j * stride + k]);
            with_each_isa(|isa| {
                for kept in [false, true] {
                    let mut out = vec![-1.0; length * width + 3];
                    pack_moved(&mut out, width, weights, kept);
                    for (at, found) in out.iter().enumerate() {
                        let (k, j) = (at / width, at % width);
                        let want = match (k < length && j < rows, kept) {
                            (false, _) => -1.0,
                            (_, true) => from_bf16(to_bf16(of(j, k))),
                            _ => of(j, k),
                        };
                        let same =
                            found.to_bits() == want.to_bits() || !kept && found.is_nan() && want.is_nan();
                        assert!(same, "{rows} × {length}, {at}: {found} for {want}, {isa:?}");
                    }
                }
                let mut out = vec![7; length.div_ceil(2) * width + 3];
                pack_moved_bf16(&mut out, width, weights);
                for (at, found) in out.iter().enumerate() {
                    let (group, j) = (at / width, at % width);
                    let half = |k: usize| if k < length { u32::from(to_bf16(of(j, k))) } else { 0 };
                    let there = 2 * group < length && j < rows;
                    let want = if there { half(2 * group) | half(2 * group + 1) << 16 } else { 7 };
                    assert_eq!(*found, want, "{rows} × {length} in bf16, {at}, {isa:?}");
                }
            });
        }
    }
}
