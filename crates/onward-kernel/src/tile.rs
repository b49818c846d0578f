//! The loops of a product, for any kind of number: register tiles of rows × one panel (or several panels, where there are
//! few rows), in blocks that stay in the nearest caches. Each sum is taken in ascending `k`, whatever the blocks.

use super::cache::second_level;
use super::epilogue::{Finish, Number};
use super::packed::{Columns, LINE, Rows, WIDE};
use super::{Start, Window};
use std::mem::MaybeUninit;

/// Vectors of one instruction set and what it does with a group: four bytes of consecutive `k`. Every method is called
/// only where that instruction set was detected, with pointers to as many numbers as it takes.
pub(super) trait Dot {
    /// What sums are kept in.
    type Number: Number;
    /// `LANES` sums.
    type Sums: Copy;
    /// One group of the left side, ready to be multiplied by any column's.
    type Left: Copy;
    /// A group of each of `LANES` columns.
    type Right: Copy;
    const LANES: usize;
    unsafe fn zero() -> Self::Sums;
    unsafe fn load(p: *const Self::Number) -> Self::Sums;
    unsafe fn store(p: *mut Self::Number, v: Self::Sums);
    unsafe fn left(p: *const u32) -> Self::Left;
    unsafe fn right(p: *const u32) -> Self::Right;
    unsafe fn add(sums: Self::Sums, left: Self::Left, right: Self::Right) -> Self::Sums;
    /// Asks for the line at `p`, which need not be valid.
    #[inline(always)]
    fn prefetch(p: *const u32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 has the instruction, and it never faults.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }
}

/// One product, or a part of one, as raw parts. Strides count numbers of `c` and groups of `a` and `b`.
#[derive(Clone, Copy)]
pub(super) struct Job<N> {
    pub c: *mut N,
    pub c_stride: usize,
    pub a: *const u32,
    pub row_stride: usize,
    pub k_stride: usize,
    pub m: usize,
    /// The first panel.
    pub b: *const u32,
    pub groups: usize,
    /// Columns from the first panel on.
    pub n: usize,
    pub width: usize,
    /// Whether sums start from what `c` holds.
    pub accumulate: bool,
    /// What becomes of the sums, from the first column on.
    pub finish: Finish,
}

impl<N> Job<N> {
    /// The job from its column `j` on.
    ///
    /// # Safety
    /// The job has that column; it begins a panel, or inside one only columns of this panel follow.
    #[inline(always)]
    unsafe fn at_column(&self, j: usize) -> Self {
        let panel = j / self.width;
        let b = panel * self.groups * self.width + j % self.width;
        // SAFETY: the caller vouches for the column.
        unsafe {
            Self { c: self.c.add(j), b: self.b.add(b), n: self.n - j, finish: self.finish.after(j), ..*self }
        }
    }

    /// The rows and columns that `window` stands for; `None` where there are none. Sums go to `c`, rows as far apart as the
    /// window's.
    ///
    /// # Panics
    /// If the window is not inside the product, begins or ends inside a panel, or the two `k` differ.
    pub fn new<T>(window: &Window<T>, c: *mut N, a: &Rows, b: &Columns, start: Start) -> Option<Self> {
        let (rows, columns) = (window.rows(), window.columns());
        if rows.is_empty() || columns.is_empty() {
            return None;
        }
        assert!(a.k == b.k && a.groups == b.groups, "sums over {} and {} numbers", a.k, b.k);
        assert!(rows.end <= a.m && columns.end <= b.n, "the window is larger than the product");
        let split = |j: usize| j.is_multiple_of(b.width) || j == b.n;
        assert!(split(columns.start) && split(columns.end), "columns {columns:?} split a panel");
        let first = columns.start * b.groups;
        assert!(b.data().len() >= first + columns.len().next_multiple_of(b.width) * b.groups);
        Some(Self {
            c,
            c_stride: window.stride(),
            a: a.data()[rows.start * a.stride() / 4..].as_ptr(),
            row_stride: a.stride() / 4,
            k_stride: 1,
            m: rows.len(),
            b: b.data()[first..].as_ptr(),
            groups: b.groups,
            n: columns.len(),
            width: b.width,
            accumulate: start == Start::Add,
            finish: window.finish(),
        })
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
impl<N> Job<N> {
    /// The job as the tile unit takes it.
    pub fn for_tiles(&self) -> super::amx::Job {
        super::amx::Job {
            c: self.c.cast(),
            c_stride: self.c_stride * size_of::<N>(),
            a: self.a.cast(),
            a_stride: self.row_stride * 4,
            m: self.m,
            b: self.b.cast(),
            n: self.n,
            width: self.width,
            steps: self.groups / super::packed::LINE,
            start: if self.accumulate { Start::Add } else { Start::Zero },
            finish: self.finish,
        }
    }
}

impl<N> Job<N> {
    /// Where vector `v` of panel `p` in row `r` of the sums begins.
    #[inline(always)]
    fn sums_at<S: Dot<Number = N>>(&self, r: usize, p: usize, v: usize) -> *mut N {
        let own = p.wrapping_mul(self.width).wrapping_add(v.wrapping_mul(S::LANES));
        self.c.wrapping_add(r.wrapping_mul(self.c_stride).wrapping_add(own))
    }
}

/// Rows of the highest tile.
const HIGHEST: usize = 14;
/// How far ahead of its use the right side is asked for: 16 KB. From memory it comes through once, so nothing else would.
const AHEAD: usize = 4096;
/// How a product is cut; this decides which chain runs when, never what it gives.
struct Cut {
    /// Groups of rows that stay near while all panels pass.
    rows: usize,
    /// Groups of a panel that stay in the second-level cache while all row tiles pass. Shorter blocks load and store sums more
    /// often, and were no faster.
    block: usize,
}

impl Cut {
    /// For a right side of so many groups. A large second-level cache (2 MB) holds a panel (or 1 MB of a longer one) while all
    /// rows pass it: so weights come from memory once. If it holds all panels at once, 384 KB of rows stay there too. Elsewhere
    /// 2 MB of rows stay in the third level, which is near on such processors, and 128 KB of a panel in the second.
    fn for_caches(right: usize) -> Self {
        match second_level() / size_of::<u32>() {
            large @ LARGE.. => {
                let rows = if right <= large / 2 { large * 3 / 16 } else { usize::MAX };
                Self { rows, block: large / 2 / WIDE }
            }
            _ => Self { rows: 512 * 1024, block: 1024 },
        }
    }

    /// Blocks that `m` rows are cut into.
    fn blocks(&self, m: usize, row_stride: usize, tile: usize) -> usize {
        m.div_ceil((self.rows / row_stride.max(1)).max(tile))
    }
}

/// Groups in a second-level cache that a long panel and passing rows fit into together.
const LARGE: usize = (2 << 20) / size_of::<u32>();

/// The odd multiples of a stride up to row `R`, in bytes and hidden from the compiler: with [`row_offset`] every row is one
/// address of base and scaled offset. Left to itself the compiler walks from row to row with an addition each, and that
/// chain is as long as the products'.
#[inline(always)]
fn odd_multiples<const R: usize>(row_stride: usize) -> [usize; R] {
    let mut odd = [0; R];
    for (i, bytes) in odd.iter_mut().enumerate().take(R / 2) {
        *bytes = std::hint::black_box((2 * i + 1) * row_stride * size_of::<u32>());
    }
    odd
}

/// Where row `r` begins.
#[inline(always)]
fn row_offset<const R: usize>(odd: &[usize; R], r: usize) -> usize {
    if r == 0 { 0 } else { odd[(r >> r.trailing_zeros()) / 2] << r.trailing_zeros() }
}

/// `R` rows × `P` panels, `V` vectors of each, over the job's groups; `c`, `a` and `b` are those of the tile.
///
/// # Safety
/// The instruction set of `S` was detected, and the tile lies inside the job's matrices.
// Indices, and sums that may wrap (the job's pointers are checked where it is made): this has the most instances of all functions, and
// iterators and checked sums are a third of what there is to compile of it in debug builds.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn tile<S: Dot, const R: usize, const V: usize, const P: usize>(job: &Job<S::Number>, panel: usize) {
    // SAFETY: the caller vouches for the tile.
    unsafe {
        let mut sums = [[[S::zero(); V]; P]; R];
        if job.accumulate {
            for r in 0..R {
                for p in 0..P {
                    for v in 0..V {
                        sums[r][p][v] = S::load(job.sums_at::<S>(r, p, v));
                    }
                }
            }
        }
        let (mut a, mut b) = (job.a, job.b);
        let odd = odd_multiples::<R>(job.row_stride);
        for _ in 0..job.groups {
            let mut right = [[S::right(b); V]; P];
            for p in 0..P {
                let b = b.wrapping_add(p.wrapping_mul(panel));
                for line in 0..(V * S::LANES).div_ceil(LINE) {
                    S::prefetch(b.wrapping_add(line * LINE + AHEAD));
                }
                for v in 0..V {
                    right[p][v] = S::right(b.wrapping_add(v * S::LANES));
                }
            }
            for r in 0..R {
                let left = S::left(a.wrapping_byte_add(row_offset(&odd, r)));
                for p in 0..P {
                    for v in 0..V {
                        sums[r][p][v] = S::add(sums[r][p][v], left, right[p][v]);
                    }
                }
            }
            a = a.wrapping_add(job.k_stride);
            b = b.wrapping_add(job.width);
        }
        for r in 0..R {
            for p in 0..P {
                for v in 0..V {
                    S::store(job.sums_at::<S>(r, p, v), sums[r][p][v]);
                }
            }
        }
    }
}

/// A tile of `job.m` rows: the one compiled for that number.
///
/// # Safety
/// As for [`tile`]; `job.m ≤ R`.
#[inline(always)]
unsafe fn rows_of<S: Dot, const R: usize, const V: usize, const P: usize>(
    job: &Job<S::Number>,
    panel: usize,
) {
    macro_rules! dispatch {
        ($($rows:literal)*) => {
            match job.m {
                // SAFETY: handed on.
                $($rows if const { $rows <= R } => unsafe { tile::<S, $rows, V, P>(job, panel) },)*
                _ => {}
            }
        };
    }
    dispatch!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}

/// A tile whose columns may end inside a vector: then it works on a copy.
///
/// # Safety
/// As for [`rows_of`], but of the tile's columns only the first `columns` exist in `c` (where there is one panel). After the
/// `last` groups the sums are finished.
#[inline(always)]
unsafe fn clipped<S: Dot, const R: usize, const V: usize, const P: usize>(
    job: &Job<S::Number>,
    panel: usize,
    columns: usize,
    last: bool,
) {
    let mut copy = [const { MaybeUninit::<S::Number>::uninit() }; HIGHEST * WIDE];
    let whole = P > 1 || columns == V * S::LANES;
    // SAFETY: only the columns that exist are read and written; the copy has room for the highest tile.
    unsafe {
        let inner = if whole { *job } else { Job { c: copy.as_mut_ptr().cast(), c_stride: WIDE, ..*job } };
        for r in 0..if whole || !job.accumulate { 0 } else { job.m } {
            std::ptr::copy_nonoverlapping(job.c.add(r * job.c_stride), inner.c.add(r * WIDE), columns);
        }
        rows_of::<S, R, V, P>(&inner, panel);
        if last && !job.finish.is_none() {
            let columns = if P > 1 { P * job.width } else { columns };
            for r in 0..job.m {
                S::Number::finish(inner.c.add(r * inner.c_stride), columns, job.finish);
            }
        }
        for r in 0..if whole { 0 } else { job.m } {
            std::ptr::copy_nonoverlapping(inner.c.add(r * WIDE), job.c.add(r * job.c_stride), columns);
        }
    }
}

/// All rows of the job, for `V` vectors of columns of each of `P` panels; of the columns, `columns` exist in `c`.
///
/// # Safety
/// As for [`tile`].
#[inline(always)]
unsafe fn strip<S: Dot, const R: usize, const V: usize, const P: usize>(
    job: &Job<S::Number>,
    columns: usize,
) {
    let panel = job.groups * job.width;
    let tiles = job.m.div_ceil(R);
    let block = if tiles == 1 { usize::MAX } else { Cut::for_caches(job.n * job.groups).block };
    let mut done = 0;
    // A product over nothing still has to set what it starts from: one block of no groups.
    while done < job.groups || done == 0 {
        let groups = block.min(job.groups - done);
        let last = done + groups == job.groups;
        let mut row = 0;
        for t in 0..tiles {
            // Tiles of almost equal heights: a low one would wait for its own sums.
            let m = (job.m - row) / (tiles - t);
            // SAFETY: rows stay below `m`, groups below the job's.
            unsafe {
                let part = Job {
                    c: job.c.add(row * job.c_stride),
                    a: job.a.add(row * job.row_stride + done * job.k_stride),
                    b: job.b.add(done * job.width),
                    m,
                    groups,
                    accumulate: job.accumulate || done > 0,
                    ..*job
                };
                clipped::<S, R, V, P>(&part, panel, columns, last);
            }
            row += m;
        }
        done = done.saturating_add(block);
    }
}

/// Runs a job with tiles of up to `R` rows × `V` vectors of a full panel.
///
/// # Safety
/// The instruction set of `S` was detected; the job's pointers cover its sizes.
#[inline(always)]
pub(super) unsafe fn run<S: Dot, const R: usize, const V: usize>(job: &Job<S::Number>) {
    let blocks = Cut::for_caches(job.n * job.groups).blocks(job.m, job.row_stride, R);
    let mut row = 0;
    for block in 0..blocks {
        let m = (job.m - row) / (blocks - block);
        // SAFETY: rows stay below the job's.
        unsafe {
            let (a, c) = (job.a.add(row * job.row_stride), job.c.add(row * job.c_stride));
            run_rows::<S, R, V>(&Job { a, c, m, ..*job });
        }
        row += m;
    }
}

/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn run_rows<S: Dot, const R: usize, const V: usize>(job: &Job<S::Number>) {
    let (mut panel, whole) = (0, V * S::LANES == job.width);
    while panel * job.width < job.n {
        let left = job.n - panel * job.width;
        // SAFETY: panels stay inside the job's columns; padded panels hold whole vectors.
        unsafe {
            let part = job.at_column(panel * job.width);
            // With few rows the sums of one panel would wait for each other: several panels at once.
            if whole && R >= 12 && job.m <= 3 && left >= 4 * job.width {
                strip::<S, 3, V, 4>(&part, 0);
                panel += 4;
            } else if whole && R >= 12 && job.m <= 6 && left >= 2 * job.width {
                strip::<S, 6, V, 2>(&part, 0);
                panel += 2;
            } else {
                run_panel::<S, R, V>(&part);
                panel += 1;
            }
        }
    }
}

/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn run_panel<S: Dot, const R: usize, const V: usize>(job: &Job<S::Number>) {
    let real = job.n.min(job.width);
    let mut inside = 0;
    while inside < real {
        let left = real - inside;
        // SAFETY: vectors stay inside the panel's width.
        unsafe {
            let part = job.at_column(inside);
            if left > S::LANES && inside + V * S::LANES <= job.width {
                strip::<S, R, V, 1>(&part, left.min(V * S::LANES));
                inside += V * S::LANES;
            } else {
                strip::<S, R, 1, 1>(&part, left.min(S::LANES));
                inside += S::LANES;
            }
        }
    }
}
