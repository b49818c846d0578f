//! What the sides of a product look like in memory: groups of four bytes (two bf16 or four i8) of consecutive `k`.
//!
//! The right side is `[panel][group][column][4 bytes]` with 32 columns to a panel (16 where there are no more than 16 in
//! all); the left side is rows of groups. `k` and columns are padded with zeros. Panels and rows begin at multiples of 64
//! bytes, so sixteen columns of a group are one AVX-512 register and one row of an AMX tile.

use super::transpose::transpose;
use std::ops::Range;

/// Columns of a full panel: two AVX-512 registers.
pub(super) const WIDE: usize = 32;
/// Columns of a panel when there are no more than these in all.
pub(super) const NARROW: usize = 16;
/// The number of groups is a multiple of this one: 64 bytes.
pub(super) const LINE: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u32; LINE]);

/// Rows of groups, each row beginning at a multiple of 64 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    lines: Vec<Line>,
    /// Lines from one row to the next: an odd number, or rows whose length is a power of two would all fall into the same
    /// few sets of the cache.
    stride: usize,
    /// Rows.
    pub m: usize,
    /// Numbers in a row, without padding.
    pub k: usize,
    /// Groups in a row, with padding.
    pub groups: usize,
}

impl Rows {
    /// Makes room for `m` rows of `k` numbers, `per_group` to a group. What the rows hold is left open.
    pub fn reshape(&mut self, m: usize, k: usize, per_group: usize) {
        (self.m, self.k, self.groups) = (m, k, padded_groups(k, per_group));
        self.stride = (self.groups / LINE) | 1;
        if self.lines.len() < m * self.stride {
            self.lines.resize(m * self.stride, Line([0; LINE]));
        }
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride * size_of::<Line>()
    }

    /// All groups, row after row.
    pub fn data(&self) -> &[u32] {
        flat(&self.lines)
    }

    /// The groups of row `i`, padding included.
    pub fn row(&self, i: usize) -> &[u32] {
        &flat(&self.lines[i * self.stride..(i + 1) * self.stride])[..self.groups]
    }

    /// The groups of row `i`, padding included.
    pub fn row_mut(&mut self, i: usize) -> &mut [u32] {
        &mut flat_mut(&mut self.lines[i * self.stride..(i + 1) * self.stride])[..self.groups]
    }
}

/// The right-hand side of a product, packed.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    lines: Vec<Line>,
    /// Length of each sum, without padding.
    pub k: usize,
    /// Columns, without padding.
    pub n: usize,
    /// Columns of a panel.
    pub width: usize,
    /// Groups of a column, with padding.
    pub groups: usize,
}

impl Columns {
    /// Packs `n` columns of `k` numbers each; `fill` writes all groups of one column.
    pub fn pack(k: usize, n: usize, per_group: usize, fill: impl FnMut(usize, &mut [u32])) -> Self {
        let mut columns = Self::zeros(k, n, per_group);
        columns.set(0..n, per_group, &mut Rows::default(), fill);
        columns
    }

    /// `n` columns of `k` zeros.
    pub fn zeros(k: usize, n: usize, per_group: usize) -> Self {
        let width = if n <= NARROW { NARROW } else { WIDE };
        let groups = padded_groups(k, per_group);
        let lines = vec![Line([0; LINE]); n.div_ceil(width) * groups * width / LINE];
        Self { lines, k, n, width, groups }
    }

    /// Packs some columns, which begin and end with panels; `fill` writes all groups of one column, first to `rows`.
    ///
    /// # Panics
    /// If they do not, or are not all there: a bug in the caller.
    pub fn set(
        &mut self,
        columns: Range<usize>,
        per_group: usize,
        rows: &mut Rows,
        mut fill: impl FnMut(usize, &mut [u32]),
    ) {
        let (width, end) = (self.width, columns.end);
        assert!(end <= self.n && columns.start.is_multiple_of(width), "columns {columns:?} split a panel");
        assert!(end.is_multiple_of(width) || end == self.n, "columns {columns:?} split a panel");
        rows.reshape(width, self.k, per_group);
        for first in columns.step_by(width) {
            let real = width.min(end - first);
            (0..real).for_each(|c| fill(first + c, rows.row_mut(c)));
            self.transpose(first / width, rows, real);
        }
    }

    /// Panel `p` from the rows of its first `real` columns.
    fn transpose(&mut self, p: usize, rows: &Rows, real: usize) {
        let (groups, width) = (self.groups, self.width);
        transpose(
            floats(rows.data()),
            [real, groups, rows.stride() / 4],
            floats_mut(self.panel_mut(p)),
            width,
        );
    }

    /// The groups of panel `p`: its columns of every group.
    pub fn panel_mut(&mut self, p: usize) -> &mut [u32] {
        let size = self.groups * self.width;
        &mut flat_mut(&mut self.lines)[p * size..][..size]
    }

    /// All groups, panel after panel.
    pub fn data(&self) -> &[u32] {
        flat(&self.lines)
    }
}

fn padded_groups(k: usize, per_group: usize) -> usize {
    k.div_ceil(per_group).next_multiple_of(LINE)
}

fn flat(lines: &[Line]) -> &[u32] {
    // SAFETY: a line is exactly sixteen u32 without padding (`repr(C)`).
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE) }
}

fn flat_mut(lines: &mut [Line]) -> &mut [u32] {
    // SAFETY: as above, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) }
}

/// Groups as they are moved about: as numbers that nobody looks at.
fn floats(groups: &[u32]) -> &[f32] {
    // SAFETY: both are four bytes of which every pattern is one.
    unsafe { std::slice::from_raw_parts(groups.as_ptr().cast(), groups.len()) }
}

/// As [`floats`].
fn floats_mut(groups: &mut [u32]) -> &mut [f32] {
    // SAFETY: as for `floats`, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(groups.as_mut_ptr().cast(), groups.len()) }
}

/// Groups as pairs of bf16.
pub(super) fn halves_mut(groups: &mut [u32]) -> &mut [u16] {
    // SAFETY: u16 needs less alignment than u32, every pattern of bits is one, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(groups.as_mut_ptr().cast(), 2 * groups.len()) }
}

/// Groups as pairs of bf16.
pub(super) fn halves(groups: &[u32]) -> &[u16] {
    // SAFETY: as for `halves_mut`, for a shared borrow.
    unsafe { std::slice::from_raw_parts(groups.as_ptr().cast(), 2 * groups.len()) }
}

/// Groups as fours of i8.
pub(super) fn bytes_mut(groups: &mut [u32]) -> &mut [i8] {
    // SAFETY: as for `halves_mut`.
    unsafe { std::slice::from_raw_parts_mut(groups.as_mut_ptr().cast(), 4 * groups.len()) }
}

/// Groups as fours of i8.
pub(super) fn bytes(groups: &[u32]) -> &[i8] {
    // SAFETY: as for `halves`.
    unsafe { std::slice::from_raw_parts(groups.as_ptr().cast(), 4 * groups.len()) }
}
