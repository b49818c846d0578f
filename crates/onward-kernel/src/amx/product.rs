//! Whole products: blocks of columns, rows and `k`, cut so that what is read again is still in a cache.

use std::ops::Range;

use super::super::epilogue::Finish;
use super::super::{Start, cache::second_level};
use super::out::Out;
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
    /// What becomes of sums in f32 on their way out, from the first column on.
    pub(in super::super) finish: Finish,
}

/// How much of the right side is multiplied with all rows before the next part of it is touched. It changes a product's speed,
/// never its bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Bytes of panels, at least two whole panels.
    pub panels: usize,
    /// Steps of `k` that a panel is cut into where all of the product lies in the second-level cache: then a cut panel stays in the
    /// first, and sums come back to tiles from the second. Otherwise `k` is not cut.
    pub steps: Option<usize>,
}

/// Steps of a panel that stay in the first-level cache: 16 KB.
const STEPS: usize = 8;

impl Blocks {
    /// Half of the second-level cache: the panels stay there while the rows come by. If the rows fit into the other half they
    /// stay too, and a quarter is enough for the panels, or an eighth where the rows need more than that: more would push the rows out.
    pub(super) fn of(job: &Job) -> Self {
        let (cache, rows, sums) = (second_level(), job.m * job.a_stride, 4 * job.m * job.n);
        let right = job.n * job.steps * ROW;
        Self {
            panels: match rows {
                _ if rows <= cache / 4 => cache / 4,
                _ if rows <= cache / 2 => cache / 8,
                _ => cache / 2,
            },
            steps: (job.m > 4 * ROWS && job.steps > 2 * STEPS && rows + right + sums <= cache * 3 / 4)
                .then_some(STEPS),
        }
    }
}

/// Sums of some rows and columns of a product on their way out: those of row `i` begin at `numbers[i · wide]`.
pub struct Sums<'a> {
    /// The sums, and between the rows whatever.
    pub numbers: &'a [i32; SUMS],
    /// Numbers from one row to the next.
    pub wide: usize,
    /// Rows of the product.
    pub rows: Range<usize>,
    /// Columns of the product.
    pub columns: Range<usize>,
}

/// Sums that four tiles hold.
const SUMS: usize = 4 * ROWS * COLUMNS;

/// Where tiles of sums are stored before they go out, row by row: tiles stored to rows that lie far apart in memory are several
/// times slower.
#[repr(C, align(64))]
struct Scratch([i32; SUMS]);

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
        unsafe { run::<Bf16>(job, Blocks::of(job), None) }
    }

    /// int8 × int8 summed in i32, exact modulo 2³²: no sum overflows while `k` ≤ 131 071.
    ///
    /// # Safety
    /// As for [`Tiles::run_bf16`].
    pub unsafe fn run_int8(self, job: &Job) {
        // SAFETY: as above.
        unsafe { run::<Int8>(job, Blocks::of(job), None) }
    }

    /// The sums of [`Tiles::run_int8`] given to `taker` in parts that make up the product; `c` is not touched.
    ///
    /// # Safety
    /// As for [`Tiles::run_bf16`], but for `c`.
    pub(in super::super) unsafe fn each_int8(self, job: &Job, taker: &mut dyn FnMut(Sums<'_>)) {
        // SAFETY: as above; `c` is read and written only where there is no taker.
        unsafe { run::<Int8>(job, Blocks::of(job), Some(taker)) }
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
        finish: Finish::NONE,
    })
}

/// `range` in runs of at most `length`.
pub(super) fn runs(range: Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(length).map(move |from| from..range.end.min(from + length))
}

/// What is done with sums instead of storing them to `c`.
pub(super) type Taker<'a> = &'a mut dyn FnMut(Sums<'_>);

/// Panels that stay in the second-level cache outside, rows inside, and of both all steps of `k`: each sum leaves the tiles once. (A
/// small product may be cut along `k` too.)
///
/// # Safety
/// The process may use tiles, and all that `job` describes is there (of `c` nothing if there is a `taker`).
pub(super) unsafe fn run<K: Kernel>(job: &Job, blocks: Blocks, taker: Option<Taker<'_>>) {
    let panel = (job.steps * ROWS * 4 * job.width).max(1);
    // An even number: strips take two at once.
    let at_once = (blocks.panels / panel).max(2) & !1;
    // SAFETY: handed on from the caller.
    let tiles = unsafe { Configured::none() };
    let mut work = Work { job, tiles, scratch: Scratch([0; SUMS]), out: Out::of(job), taker };
    let (at_once, cut) = match blocks.steps {
        Some(steps) if work.taker.is_none() => (1, steps),
        _ => (at_once, job.steps.max(1)),
    };
    for panels in runs(0..job.n.div_ceil(job.width), at_once) {
        for steps in runs(0..job.steps.max(1), cut) {
            for rows in runs(0..job.m, 2 * ROWS) {
                // SAFETY: handed on from the caller; the ranges are parts of the job's.
                unsafe { work.row::<K>(rows, panels.clone(), steps.clone()) }
            }
        }
    }
    work.out.done();
}

/// A product under way.
struct Work<'a, 'f> {
    job: &'a Job,
    tiles: Configured,
    scratch: Scratch,
    out: Out,
    taker: Option<Taker<'f>>,
}

impl Work<'_, '_> {
    /// Up to 32 rows against some panels.
    ///
    /// # Safety
    /// The process may use tiles; ranges lie inside of the job, whose matrices are there.
    unsafe fn row<K: Kernel>(&mut self, rows: Range<usize>, panels: Range<usize>, steps: Range<usize>) {
        let (width, n) = (self.job.width, self.job.n);
        let columns = |panel: usize| panel * width..n.min((panel + 1) * width);
        let skinny = rows.len() <= ROWS && width == 2 * COLUMNS;
        let mut panel = panels.start;
        while panel < panels.end {
            let strip = skinny && panel + 1 < panels.end && columns(panel + 1).len() == width;
            let (shape, columns) = if strip {
                (Shape::Strip { rows: rows.len() }, panel * width..(panel + 2) * width)
            } else {
                let columns = columns(panel);
                let parts = [halves(rows.len(), ROWS), halves(columns.len(), COLUMNS)];
                (Shape::Square { rows: parts[0], columns: parts[1] }, columns)
            };
            // SAFETY: handed on from the caller; the shape has the rows and columns that are left.
            unsafe { self.block::<K>(shape, rows.clone(), columns, steps.clone()) }
            panel += 1 + usize::from(strip);
        }
    }

    /// # Safety
    /// As for [`Work::row`]; the rows and columns are the shape's.
    unsafe fn block<K: Kernel>(
        &mut self,
        shape: Shape,
        rows: Range<usize>,
        columns: Range<usize>,
        steps: Range<usize>,
    ) {
        let Self { job, tiles, scratch, out, taker } = self;
        let (group, panel) = (4 * job.width, columns.start / job.width);
        let b_panel = job.steps * ROWS * group;
        let add = steps.start > 0 || job.start == Start::Add && taker.is_none();
        // What comes back to the tiles, now or later, has no way through the scratch.
        let direct = add || steps.len() < job.steps;
        let wide = if matches!(shape, Shape::Strip { .. }) { 4 * COLUMNS } else { 2 * COLUMNS };
        tiles.set(shape);
        // SAFETY: rows, columns and panel lie inside of the job; the shape was just configured; the scratch holds all sums of
        // four tiles, each row `wide` of them.
        unsafe {
            let c = job.c.wrapping_add(rows.start * job.c_stride + 4 * columns.start);
            let block = Block {
                a: job.a.add(rows.start * job.a_stride + steps.start * ROW),
                a_stride: job.a_stride,
                b: job.b.add(panel * b_panel + steps.start * ROWS * group),
                b_stride: group,
                b_panel,
                steps: steps.len(),
                c: if direct { c } else { (&raw mut scratch.0).cast() },
                c_stride: if direct { job.c_stride } else { 4 * wide },
                add,
                far: rows.start == 0,
            };
            // Over no steps at all the sums are the zeros that the scratch holds from the start.
            if job.steps > 0 {
                K::block(shape, &block);
            }
            let finish = job.finish.after(columns.start);
            let size = [rows.len(), columns.len()];
            match taker {
                _ if direct && steps.end < job.steps => {}
                _ if direct => out.in_place(size, c, job.c_stride, finish),
                Some(taker) => taker(Sums { numbers: &scratch.0, wide, rows, columns }),
                None => out.copy(&scratch.0, wide, size, c, job.c_stride, finish),
            }
        }
    }
}

/// `count`, at most twice `full`, as the parts of two tiles.
fn halves(count: usize, full: usize) -> [usize; 2] {
    [count.min(full), count.saturating_sub(full)]
}
