//! Products of bytes with i32 sums: exact, so the same on every instruction set.
//!
//! Each row of activations and each output's weights are quantised by themselves ([`quantise`]).

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx::Sums;
use super::epilogue::Finish;
use super::packed::{Columns, Rows, bytes, bytes_mut};
use super::tile::{Dot, Job, run};
use super::{Epilogue, Isa, Laid, Moved, Start, Window, dispatch, quantise, shifted};

/// Numbers of `k` to a group.
const FOUR: usize = 4;
/// The longest sum of products of bytes: `131 071 · 128² < 2³¹`, so that no product of bytes overflows.
pub const LONGEST_INT8: usize = 131_071;

super::multiversion! {
fn sum(q: &[i8]) -> i32 {
    q.iter().map(|q| i32::from(*q)).sum()
}
}

/// The left-hand side of a product: rows of bytes, a scale for each.
#[derive(Clone, Debug, Default)]
pub struct Int8Rows {
    rows: Rows,
    scales: Vec<f32>,
    /// The sum of each row, for instruction sets that add 128 to the other side.
    sums: Vec<i32>,
}

impl Int8Rows {
    /// Replaces what is held by `m` rows of `k` numbers, each row quantised by itself; row `i` begins at
    /// `x[i·row_stride]`.
    ///
    /// # Panics
    /// If `x` is too short: a bug in the caller.
    pub fn pack(&mut self, x: &[f32], row_stride: usize, m: usize, k: usize) {
        self.fill(m, k, |i, q| quantise(q, &x[i * row_stride..][..k]));
    }

    /// Replaces what is held by `m` rows of `k` bytes, taken as they are, with scales of 1.
    ///
    /// # Panics
    /// If `x` is too short: a bug in the caller.
    pub fn pack_bytes(&mut self, x: &[i8], row_stride: usize, m: usize, k: usize) {
        self.from_rows(m, k, 1.0, |i, q| q.copy_from_slice(&x[i * row_stride..][..k]));
    }

    /// Replaces what is held by `m` rows of `k` bytes with one scale: `fill` writes the bytes of row `i`.
    pub fn from_rows(&mut self, m: usize, k: usize, scale: f32, mut fill: impl FnMut(usize, &mut [i8])) {
        self.fill(m, k, |i, q| {
            fill(i, q);
            scale
        });
    }

    fn fill(&mut self, m: usize, k: usize, mut fill: impl FnMut(usize, &mut [i8]) -> f32) {
        self.rows.reshape(m, k, FOUR);
        self.scales.clear();
        self.sums.clear();
        for i in 0..m {
            let row = bytes_mut(self.rows.row_mut(i));
            row[k..].fill(0);
            self.scales.push(fill(i, &mut row[..k]));
            self.sums.push(sum(row));
        }
    }

    /// Row `i`, with zeros up to a multiple of 64 bytes.
    pub fn row(&self, i: usize) -> &[i8] {
        bytes(self.rows.row(i))
    }

    /// The number that a byte 1 of each row stands for.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The number of rows.
    pub fn m(&self) -> usize {
        self.rows.m
    }

    /// The bytes in a row.
    pub fn k(&self) -> usize {
        self.rows.k
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.rows.stride()
    }
}

/// The right-hand side of a product, `k × n` in bytes, packed into panels `[panel][k / 4][column][4]`, and a scale for each
/// column.
#[derive(Clone, Debug, Default)]
pub struct Int8Panels {
    pub(super) columns: Columns,
    scales: Vec<f32>,
}

impl Int8Panels {
    /// Packs the transpose of `w`, which is `(n, k)` row after row: the weights of a layer with `n` outputs, each output
    /// quantised by itself.
    ///
    /// # Panics
    /// If `w` has another length.
    pub fn transposed(w: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "weights of {n} × {k}");
        Self::pack(n, k, |j, q| quantise(q, &w[j * k..][..k]))
    }

    /// Packs weights that are formed row after row: `fill` writes the `k` weights of output `j`.
    pub fn from_rows(n: usize, k: usize, mut fill: impl FnMut(usize, &mut [f32])) -> Self {
        let mut row = vec![0.0; k];
        Self::pack(n, k, |j, q| {
            fill(j, &mut row);
            quantise(q, &row)
        })
    }

    /// Packs the transpose of `w`, which is `(n, k)` row after row, as it is, with scales of 1.
    ///
    /// # Panics
    /// If `w` has another length.
    pub fn transposed_bytes(w: &[i8], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "weights of {n} × {k}");
        Self::pack(n, k, |j, q| {
            q.copy_from_slice(&w[j * k..][..k]);
            1.0
        })
    }

    /// `n` columns of `k` zeros.
    pub(super) fn zeros(k: usize, n: usize) -> Self {
        Self { columns: Columns::zeros(k, n, FOUR), scales: vec![0.0; n] }
    }

    /// Packs the weights of the outputs from `first` on, whole panels; `rows` and `row` are scratch.
    pub(super) fn set(&mut self, first: usize, weights: &Moved<'_>, rows: &mut Int8Rows, row: &mut Vec<f32>) {
        let (k, count) = (self.columns.k, weights.rows());
        row.resize(k, 0.0);
        let Self { columns, scales } = self;
        columns.set(first..first + count, FOUR, &mut rows.rows, |j, groups| {
            let (groups, (start, along)) = (bytes_mut(groups), weights.row(j - first, 0..k));
            shifted(row, start, weights.factor, along);
            scales[j] = quantise(&mut groups[..k], row);
            groups[k..].fill(0);
        });
    }

    /// Packs the rows of `laid` from `first` on, bytes as they are; `rows` and `row` are scratch.
    pub(super) fn lay(&mut self, laid: &Laid<'_>, first: usize, rows: &mut Int8Rows, row: &mut Vec<f32>) {
        let Columns { k, n, .. } = self.columns;
        row.resize(k, 0.0);
        let Self { columns, scales } = self;
        columns.set(0..n, FOUR, &mut rows.rows, |j, groups| {
            let (own, rest) = bytes_mut(groups).split_at_mut(k);
            if let Some((bytes, scale)) = laid.bytes_of(first + j, k) {
                own.iter_mut().zip(bytes).for_each(|(o, b)| *o = b.cast_signed());
                scales[j] = scale;
            } else {
                laid.read((first + j) * k, row);
                scales[j] = quantise(own, row);
            }
            rest.fill(0);
        });
    }

    fn pack(n: usize, k: usize, mut fill: impl FnMut(usize, &mut [i8]) -> f32) -> Self {
        let mut scales = Vec::with_capacity(n);
        let columns =
            Columns::pack(k, n, FOUR, |j, groups| scales.push(fill(j, &mut bytes_mut(groups)[..k])));
        Self { columns, scales }
    }

    /// The number that a byte 1 of each column stands for.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The length of each sum of products.
    pub fn k(&self) -> usize {
        self.columns.k
    }

    /// The number of columns.
    pub fn n(&self) -> usize {
        self.columns.n
    }

    /// The columns of a panel: where the columns of a product may be split.
    pub fn width(&self) -> usize {
        self.columns.width
    }
}

/// `c[i, j] = Σₖ a[i, k] · b[k, j]` (or `+=`, wrapping, with [`Start::Add`]) of the bytes as they are, for the rows and columns
/// that `c` stands for.
///
/// # Panics
/// If `k` is above [`LONGEST_INT8`], the window is not inside the product or begins or ends inside a panel, or the two `k`
/// differ: a bug in the caller.
pub fn product_int8(c: Window<i32>, a: &Int8Rows, b: &Int8Panels, start: Start) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(tiles) = tiles() {
        short_enough(b);
        if let Some(job) = Job::new(&c, c.corner(), &a.rows, &b.columns, start) {
            // SAFETY: `Job::new` checked the sizes.
            unsafe { tiles.run_int8(&job.for_tiles()) }
        }
        return;
    }
    each_block(&c, a, b, |block| store(block, start));
}

/// `c[i, j] = f32(Σₖ a[i, k] · b[k, j]) · (a.scales[i] · b.scales[j])` (or `+=` with [`Start::Add`]), each operation rounded to the
/// nearest f32, for the rows and columns that `c` stands for.
///
/// A row or column that had a number that is not finite is all NaN.
///
/// # Panics
/// As [`product_int8`].
pub fn product_int8_scaled(c: Window<f32>, a: &Int8Rows, b: &Int8Panels, start: Start) {
    let Epilogue { bias, relu } = c.epilogue();
    each_block(&c, a, b, |block| {
        let (rows, columns) = (block.row..block.row + block.m, block.column..block.column + block.n);
        let bias = if bias.is_empty() { bias } else { &bias[columns.clone()] };
        store_scaled(block, &a.scales[rows], &b.scales[columns], start, Epilogue { bias, relu });
    });
}

/// Sums of some rows and columns, and where in `c` they go.
#[derive(Clone, Copy)]
struct Block<'a, T> {
    sums: &'a [i32],
    /// Numbers from one row of sums to the next.
    wide: usize,
    /// By how much the sums of each row are too large.
    excess: &'a [i32],
    times: i32,
    row: usize,
    column: usize,
    m: usize,
    n: usize,
    c: *mut T,
    c_stride: usize,
}

impl<T> Block<'_, T> {
    /// Calls `finish(row of c, sums, excess, row)` for each row.
    #[inline(always)]
    fn each_row(&self, mut finish: impl FnMut(&mut [T], &[i32], i32, usize)) {
        for r in 0..self.m {
            let sums = &self.sums[r * self.wide..][..self.n];
            // SAFETY: `each_block` took `c` from a window that has these rows and columns, and borrows it exclusively.
            let c = unsafe { std::slice::from_raw_parts_mut(self.c.add(r * self.c_stride), self.n) };
            finish(c, sums, self.times.wrapping_mul(self.excess[r]), r);
        }
    }
}

super::multiversion! {
fn store(block: Block<i32>, start: Start) {
    block.each_row(|c, sums, excess, _| for (c, s) in c.iter_mut().zip(sums) {
        let from = if start == Start::Add { *c } else { 0 };
        *c = from.wrapping_add(s.wrapping_sub(excess));
    });
}
}

super::multiversion! {
fn store_scaled(block: Block<f32>, rows: &[f32], columns: &[f32], start: Start, epilogue: Epilogue<'_>) {
    let finish = Finish::of(epilogue, 0, columns.len());
    block.each_row(|c, sums, excess, r| {
        let value = |s: &i32, v: &f32| s.wrapping_sub(excess) as f32 * (rows[r] * v);
        match start {
            Start::Zero => c.iter_mut().zip(sums).zip(columns).for_each(|((c, s), v)| *c = value(s, v)),
            Start::Add => c.iter_mut().zip(sums).zip(columns).for_each(|((c, s), v)| *c += value(s, v)),
        }
        // SAFETY: the bias was cut to the block's columns.
        unsafe { finish.row(c) }
    });
}
}

/// Sums that are finished together: they stay in the nearest cache.
const BLOCK: usize = 4096;

fn short_enough(b: &Int8Panels) {
    assert!(b.k() <= LONGEST_INT8, "sums of {} products of bytes overflow", b.k());
}

/// The tile unit, where it is the best there is.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tiles() -> Option<super::amx::Tiles> {
    if Isa::detect() == Isa::Amx { super::amx::tiles() } else { None }
}

/// Calls `finish` for blocks that make up all of `c`.
fn each_block<T>(c: &Window<T>, a: &Int8Rows, b: &Int8Panels, finish: impl Fn(Block<T>)) {
    short_enough(b);
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if let Some(tiles) = tiles() {
        return each_block_of_tiles(tiles, c, a, b, finish);
    }
    let mut sums = [0i32; BLOCK];
    let Some(whole) = Job::new(c, sums.as_mut_ptr(), &a.rows, &b.columns, Start::Zero) else { return };
    let (rows, columns, width) = (c.rows(), c.columns(), b.width());
    // Blocks of almost equal heights, and with few rows several panels.
    let high = rows.len().div_ceil(rows.len().div_ceil(BLOCK / width));
    let wide = (BLOCK / high / width * width).min(columns.len().next_multiple_of(width));
    for row in rows.clone().step_by(high) {
        for column in columns.clone().step_by(wide) {
            let (m, n) = (high.min(rows.end - row), wide.min(columns.end - column));
            let (i, j) = (row - rows.start, column - columns.start);
            // SAFETY: row `i` and the panel of column `j` are inside, as `Job::new` checked.
            let (a_part, b_part) =
                unsafe { (whole.a.add(i * whole.row_stride), whole.b.add(j * whole.groups)) };
            run_best(&Job { c: sums.as_mut_ptr(), c_stride: wide, a: a_part, b: b_part, m, n, ..whole });
            let at = c.corner().wrapping_add(i * c.stride() + j);
            let excess = &a.sums[row..row + m];
            let (times, sums, c_stride) = (added(), &sums[..], c.stride());
            finish(Block { sums, wide, excess, times, row, column, m, n, c: at, c_stride });
        }
    }
}

/// The same with tiles, whose sums pass by in a scratch of their own.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn each_block_of_tiles<T>(
    tiles: super::amx::Tiles,
    c: &Window<T>,
    a: &Int8Rows,
    b: &Int8Panels,
    finish: impl Fn(Block<T>),
) {
    let Some(job) = Job::new(c, std::ptr::null_mut::<i32>(), &a.rows, &b.columns, Start::Zero) else {
        return;
    };
    let (first_row, first_column) = (c.rows().start, c.columns().start);
    let mut part = |Sums { numbers, wide, rows, columns }: Sums<'_>| {
        let at = c.corner().wrapping_add(rows.start * c.stride() + columns.start);
        let (row, column) = (first_row + rows.start, first_column + columns.start);
        let (m, n) = (rows.len(), columns.len());
        let excess = &a.sums[row..row + m];
        finish(Block {
            sums: numbers,
            wide,
            excess,
            times: 0,
            row,
            column,
            m,
            n,
            c: at,
            c_stride: c.stride(),
        });
    };
    // SAFETY: `Job::new` checked the sizes; nothing is written to its `c`.
    unsafe { tiles.each_int8(&job.for_tiles(), &mut part) }
}

/// What [`run_best`] adds to every byte of the right side: each sum is too large by that times the sum of its row.
fn added() -> i32 {
    match Isa::detect() {
        Isa::Avx512Vnni | Isa::Avx512Bf16 => 128,
        Isa::Portable | Isa::Avx2 | Isa::Avx512 | Isa::Amx => 0,
    }
}

fn run_best(job: &Job<i32>) {
    dispatch!((job: &Job<i32>) {
        // SAFETY: `dispatch!` detected what it needs; `Job::new` checked the sizes.
        Avx512Vnni => unsafe { run::<x86::Vnni, 14, 2>(job) },
        // SAFETY: as above.
        Avx512 => unsafe { run::<x86::Avx512, 12, 2>(job) },
        // SAFETY: as above.
        Avx2 => unsafe { run::<x86::Avx2, 4, 2>(job) },
        // SAFETY: as above.
        _ => unsafe { run::<Portable, 2, 4>(job) },
    });
}

struct Portable;
impl Dot for Portable {
    type Number = i32;
    type Sums = [i32; 4];
    type Left = [i32; FOUR];
    type Right = [[i32; 4]; FOUR];
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> [i32; 4] {
        [0; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> [i32; 4] {
        // SAFETY: the caller owns four numbers at `p`.
        unsafe { p.cast::<[i32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut i32, v: [i32; 4]) {
        // SAFETY: the caller owns four numbers at `p`.
        unsafe { p.cast::<[i32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn left(p: *const u32) -> [i32; FOUR] {
        // SAFETY: the caller owns a group at `p`: four bytes, the first `k` first.
        unsafe { p.cast::<[i8; FOUR]>().read() }.map(i32::from)
    }
    #[inline(always)]
    unsafe fn right(p: *const u32) -> [[i32; 4]; FOUR] {
        // SAFETY: the caller owns four groups at `p`.
        let groups = unsafe { p.cast::<[[i8; FOUR]; 4]>().read() };
        let mut columns = [[0; 4]; FOUR];
        for (i, group) in groups.into_iter().enumerate() {
            for (column, x) in columns.iter_mut().zip(group) {
                column[i] = i32::from(x);
            }
        }
        columns
    }
    #[inline(always)]
    unsafe fn add(mut sums: [i32; 4], left: [i32; FOUR], right: [[i32; 4]; FOUR]) -> [i32; 4] {
        for (x, column) in left.into_iter().zip(right) {
            for (sum, y) in sums.iter_mut().zip(column) {
                *sum += x * y;
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Dot;
    use std::arch::x86_64::*;

    /// What all of these share: i32 sums, loaded and stored as they are.
    macro_rules! sums {
        ($integers:ty, $lanes:literal, $zero:ident, $load:ident, $store:ident) => {
            type Number = i32;
            type Sums = $integers;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn zero() -> $integers {
                // SAFETY: the caller has detected the feature.
                unsafe { $zero() }
            }
            #[inline(always)]
            unsafe fn load(p: *const i32) -> $integers {
                // SAFETY: the caller owns the numbers at `p` and has detected the feature.
                unsafe { $load(p.cast()) }
            }
            #[inline(always)]
            unsafe fn store(p: *mut i32, v: $integers) {
                // SAFETY: as for `load`.
                unsafe { $store(p.cast(), v) }
            }
        };
    }

    /// Bytes widened to pairs of i16 (of each four the even ones, then the odd ones), two multiply-adds of pairs.
    macro_rules! by_pairs {
        ($name:ident, $integers:ty, $lanes:literal, $zero:ident, $load:ident, $store:ident,
         $splat:ident, $left_shift:ident, $right_shift:ident, $madd:ident, $add:ident) => {
            pub struct $name;
            impl $name {
                #[inline(always)]
                unsafe fn widen(bytes: $integers) -> [$integers; 2] {
                    // SAFETY: the caller has detected the feature.
                    unsafe { [$right_shift::<8>($left_shift::<8>(bytes)), $right_shift::<8>(bytes)] }
                }
            }
            impl Dot for $name {
                sums!($integers, $lanes, $zero, $load, $store);
                type Left = [$integers; 2];
                type Right = [$integers; 2];
                #[inline(always)]
                unsafe fn left(p: *const u32) -> [$integers; 2] {
                    // SAFETY: the caller owns a group at `p` and has detected the feature.
                    unsafe { Self::widen($splat((*p).cast_signed())) }
                }
                #[inline(always)]
                unsafe fn right(p: *const u32) -> [$integers; 2] {
                    // SAFETY: the caller owns a group per lane at `p` and has detected the feature.
                    unsafe { Self::widen($load(p.cast())) }
                }
                #[inline(always)]
                unsafe fn add(sums: $integers, left: [$integers; 2], right: [$integers; 2]) -> $integers {
                    // SAFETY: the caller has detected the feature.
                    unsafe { $add($add(sums, $madd(left[0], right[0])), $madd(left[1], right[1])) }
                }
            }
        };
    }
    by_pairs!(
        Avx512,
        __m512i,
        16,
        _mm512_setzero_si512,
        _mm512_loadu_si512,
        _mm512_storeu_si512,
        _mm512_set1_epi32,
        _mm512_slli_epi16,
        _mm512_srai_epi16,
        _mm512_madd_epi16,
        _mm512_add_epi32
    );
    by_pairs!(
        Avx2,
        __m256i,
        8,
        _mm256_setzero_si256,
        _mm256_loadu_si256,
        _mm256_storeu_si256,
        _mm256_set1_epi32,
        _mm256_slli_epi16,
        _mm256_srai_epi16,
        _mm256_madd_epi16,
        _mm256_add_epi32
    );

    /// `vpdpbusd`: one instruction for four products of an unsigned byte and a signed one. Adding 128 makes the right side
    /// unsigned; sums wrap, so what that adds can be taken away at the end.
    pub struct Vnni;
    impl Dot for Vnni {
        sums!(__m512i, 16, _mm512_setzero_si512, _mm512_loadu_si512, _mm512_storeu_si512);
        type Left = __m512i;
        type Right = __m512i;
        #[inline(always)]
        unsafe fn left(p: *const u32) -> __m512i {
            // SAFETY: the caller owns a group at `p` and has detected the feature.
            unsafe { _mm512_set1_epi32((*p).cast_signed()) }
        }
        #[inline(always)]
        unsafe fn right(p: *const u32) -> __m512i {
            // SAFETY: the caller owns sixteen groups at `p` and has detected the feature.
            unsafe { _mm512_xor_si512(_mm512_loadu_si512(p.cast()), _mm512_set1_epi8(-128)) }
        }
        #[inline(always)]
        unsafe fn add(sums: __m512i, left: __m512i, right: __m512i) -> __m512i {
            // SAFETY: the caller has detected the feature.
            unsafe { _mm512_dpbusd_epi32(sums, right, left) }
        }
    }
}

#[cfg(test)]
#[path = "int8_tests.rs"]
mod tests;
