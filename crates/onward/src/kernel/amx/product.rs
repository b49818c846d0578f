//! Whole products: blocks of columns, rows and `k`, cut so that what is read again is still in a cache.

use std::ops::Range;

use super::super::Start;
use super::tile::{Bf16, Block, COLUMNS, Configured, Int8, Kernel, ROW, ROWS, Shape};
use super::{Availability, availability};

/// One product by addresses: `c (m, n) = a (m, k) · b (k, n)`, or `+=`.
///
/// Both number formats share it, since 64 bytes of `k` are one step of either: 32 bf16 or 64 int8.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Sums, row after row: f32 for bf16, i32 for int8.
    pub c: *mut u8,
    /// Bytes from one row of `c` to the next.
    pub c_stride: usize,
    /// Left side, row after row.
    pub a: *const u8,
    /// Bytes from one row of `a` to the next, at least 64 · `steps`.
    pub a_stride: usize,
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Right side: `[panel of width columns][group][column][4 bytes]`; a group is 2 bf16 or 4 int8 that follow each
    /// other in `k`.
    pub b: *const u8,
    /// Columns of `c`; panels are full, with anything in the columns beyond `n`.
    pub n: usize,
    /// Columns of a panel: 32, or 16 if `n` is at most 16.
    pub width: usize,
    /// `k` in steps of 64 bytes: `a` and `b` are padded with zeros to whole steps.
    pub steps: usize,
    /// What the sums start from.
    pub start: Start,
}

/// Sizes of the blocks that a product is cut into. They change its speed, never its bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Steps of `k`: a panel's share (2 KB a step) and the share of 32 rows of `a` lie in the first-level cache together.
    pub steps: usize,
    /// Rows, a multiple of 32, and panels: their shares of `a`, `b` and `c` lie in the second-level cache together.
    pub rows: usize,
    pub panels: usize,
}

impl Blocks {
    pub(super) const FOR_CACHES: Self = Self { steps: 8, rows: 256, panels: 8 };
}

/// Shows that this process may use tiles: its products exist only through it.
#[derive(Clone, Copy, Debug)]
pub struct Tiles(());

impl Tiles {
    /// Where [`availability`] says so.
    pub fn detect() -> Option<Self> {
        (availability() == Availability::Usable).then_some(Self(()))
    }

    /// The real ones, or else the emulated ones.
    #[cfg(test)]
    pub(crate) fn real_or_emulated() -> Self {
        Self::detect().unwrap_or_else(|| {
            super::emulator::install();
            Self(())
        })
    }

    /// bf16 × bf16 summed in f32 (see the module for the order).
    ///
    /// # Safety
    /// All that `job` describes is there: `m` rows of `a` of `64 · steps` bytes, whole panels of `b`, and `m` rows of `c` of
    /// `n` numbers, which nothing else reads or writes meanwhile.
    pub unsafe fn run_bf16(self, job: &Job) {
        // SAFETY: handed on from the caller; `self` shows the permission.
        unsafe { run::<Bf16>(job, Blocks::FOR_CACHES) }
    }

    /// int8 × int8 summed in i32, exact modulo 2³²: no sum overflows while `k` ≤ 131 071.
    ///
    /// # Safety
    /// As for [`Tiles::run_bf16`].
    pub unsafe fn run_int8(self, job: &Job) {
        // SAFETY: as above.
        unsafe { run::<Int8>(job, Blocks::FOR_CACHES) }
    }

    /// [`Tiles::run_bf16`] on slices: `a` is `(m, a_stride)` with `k` of each row used, `b` panels of `(k, n)`, both as bf16
    /// bits; `c` is `(m, c_stride)` with `n` of each row written. `k` is a multiple of 32.
    ///
    /// # Panics
    /// If a slice is too short for the sizes: a bug in the caller, never a matter of data.
    #[allow(clippy::too_many_arguments)]
    pub fn product_bf16(
        self,
        c: &mut [f32],
        c_stride: usize,
        a: &[u16],
        a_stride: usize,
        m: usize,
        b: &[u16],
        k: usize,
        n: usize,
        start: Start,
    ) {
        if let Some(job) = checked(c, c_stride, a, a_stride, m, b, k, n, start) {
            // SAFETY: the sizes were checked.
            unsafe { self.run_bf16(&job) }
        }
    }

    /// [`Tiles::run_int8`] on slices, laid out as for [`Tiles::product_bf16`]. `k` is a multiple of 64.
    ///
    /// # Panics
    /// As for [`Tiles::product_bf16`].
    #[allow(clippy::too_many_arguments)]
    pub fn product_int8(
        self,
        c: &mut [i32],
        c_stride: usize,
        a: &[i8],
        a_stride: usize,
        m: usize,
        b: &[i8],
        k: usize,
        n: usize,
        start: Start,
    ) {
        if let Some(job) = checked(c, c_stride, a, a_stride, m, b, k, n, start) {
            // SAFETY: the sizes were checked.
            unsafe { self.run_int8(&job) }
        }
    }
}

/// The job of slices of sums `C` and of numbers `T`, or nothing if there are no sums.
#[allow(clippy::too_many_arguments)]
fn checked<C, T>(
    c: &mut [C],
    c_stride: usize,
    a: &[T],
    a_stride: usize,
    m: usize,
    b: &[T],
    k: usize,
    n: usize,
    start: Start,
) -> Option<Job> {
    let size = size_of::<T>();
    assert!((k * size).is_multiple_of(ROW), "k is not padded");
    if m == 0 || n == 0 {
        return None;
    }
    let width = if n <= COLUMNS { COLUMNS } else { 2 * COLUMNS };
    assert!(a_stride >= k && (m - 1) * a_stride + k <= a.len(), "left side of a product is too short");
    assert!(c_stride >= n && (m - 1) * c_stride + n <= c.len(), "result of a product is too short");
    assert!(b.len() >= n.div_ceil(width) * width * k, "right side of a product is too short");
    Some(Job {
        c: c.as_mut_ptr().cast(),
        c_stride: c_stride * size_of::<C>(),
        a: a.as_ptr().cast(),
        a_stride: a_stride * size,
        m,
        b: b.as_ptr().cast(),
        n,
        width,
        steps: k * size / ROW,
        start,
    })
}

/// `range` in runs of at most `length`.
fn runs(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |from| from..range.end.min(from + length))
}

/// # Safety
/// The process may use tiles, and all that `job` describes is there.
pub(super) unsafe fn run<K: Kernel>(job: &Job, blocks: Blocks) {
    if job.steps == 0 {
        // SAFETY: handed on from the caller.
        return unsafe { without_terms(job) };
    }
    // Where rows fit into one block nothing is read again, and cutting `k` would only move sums back and forth.
    let steps_at_once = if job.m <= 2 * ROWS { job.steps } else { blocks.steps };
    // SAFETY: handed on from the caller.
    let mut tiles = unsafe { Configured::none() };
    for panels in runs(0..job.n.div_ceil(job.width), blocks.panels) {
        for rows in runs(0..job.m, blocks.rows) {
            for steps in runs(0..job.steps, steps_at_once) {
                let part = Part { rows: rows.clone(), steps };
                // SAFETY: handed on from the caller; the ranges are parts of the job's.
                unsafe { part.run::<K>(job, &mut tiles, panels.clone()) }
            }
        }
    }
}

/// Sums of no terms.
///
/// # Safety
/// The job's `c` is there.
unsafe fn without_terms(job: &Job) {
    if job.start == Start::Zero {
        for row in 0..job.m {
            // SAFETY: each row holds `n` sums of four bytes.
            unsafe { job.c.add(row * job.c_stride).write_bytes(0, 4 * job.n) }
        }
    }
}

/// Some rows, over some steps of `k`.
struct Part {
    rows: Range<usize>,
    steps: Range<usize>,
}

impl Part {
    /// The part against some panels. A panel's share of `k` is read once for each 32 rows, so panels are the outer loop.
    ///
    /// # Safety
    /// The process may use tiles; ranges lie inside of the job, whose matrices are there.
    unsafe fn run<K: Kernel>(&self, job: &Job, tiles: &mut Configured, panels: Range<usize>) {
        let columns = |panel: usize| (job.n - panel * job.width).min(job.width);
        let skinny = self.rows.len() <= ROWS && job.width == 2 * COLUMNS;
        let mut panel = panels.start;
        while panel < panels.end {
            // SAFETY: handed on from the caller; shapes have the rows and columns that are left.
            unsafe {
                if skinny && panel + 1 < panels.end && columns(panel + 1) == job.width {
                    let shape = Shape::Strip { rows: self.rows.len() };
                    self.block::<K>(job, tiles, shape, panel, self.rows.start);
                    panel += 2;
                    continue;
                }
                let columns = halves(columns(panel), COLUMNS);
                for rows in runs(self.rows.clone(), 2 * ROWS) {
                    let shape = Shape::Square { rows: halves(rows.len(), ROWS), columns };
                    self.block::<K>(job, tiles, shape, panel, rows.start);
                }
                panel += 1;
            }
        }
    }

    /// # Safety
    /// As for [`Part::run`]; the shape's rows and columns exist from `row` and `panel` on.
    unsafe fn block<K: Kernel>(
        &self,
        job: &Job,
        tiles: &mut Configured,
        shape: Shape,
        panel: usize,
        row: usize,
    ) {
        let group = 4 * job.width;
        let b_panel = job.steps * ROWS * group;
        tiles.set(shape);
        // SAFETY: row, panel and step lie inside of the job; the shape was just configured.
        unsafe {
            let block = Block {
                a: job.a.add(row * job.a_stride + self.steps.start * ROW),
                a_stride: job.a_stride,
                b: job.b.add(panel * b_panel + self.steps.start * ROWS * group),
                b_stride: group,
                b_panel,
                steps: self.steps.len(),
                c: job.c.add(row * job.c_stride + panel * group),
                c_stride: job.c_stride,
                add: job.start == Start::Add || self.steps.start > 0,
            };
            K::block(shape, &block);
        }
    }
}

/// `count`, at most twice `full`, as the parts of two tiles.
fn halves(count: usize, full: usize) -> [usize; 2] {
    [count.min(full), count.saturating_sub(full)]
}
