//! Products of bf16 numbers (the upper half of an f32) with f32 sums.
//!
//! How its terms are added is the panels' [`Bf16Arithmetic`]: whatever the tiles, the threads and the processor, the bits of a
//! kind are the same. Where a processor lacks a kind's instructions, they are emulated.

use super::packed::{Columns, Rows, halves, halves_mut};
use super::tile::{Dot, Job, run};
use super::{Bf16Arithmetic, Isa, Start, Window};

pub(super) mod emulated;

/// Numbers of `k` to a group.
const PAIR: usize = 2;

/// The nearest bf16, ties to even; subnormal numbers are rounded like others, NaN stays NaN (and becomes quiet).
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if x.is_nan() { (bits >> 16) | 0x40 } else { rounded }) as u16
}

/// The same number as an f32.
#[inline(always)]
pub fn from_bf16(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

super::multiversion! {
/// `out[i]` is the bf16 nearest to `x[i]`.
pub fn round_to_bf16(out: &mut [u16], x: &[f32]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = to_bf16(*x);
    }
}
}

/// The left-hand side of a product: rows of bf16.
#[derive(Clone, Debug, Default)]
pub struct Bf16Rows(Rows);

impl Bf16Rows {
    /// Replaces what is held by `m` rows of `k` numbers, each rounded to bf16; row `i` begins at `x[i·row_stride]`.
    ///
    /// # Panics
    /// If `x` is too short: a bug in the caller.
    pub fn pack(&mut self, x: &[f32], row_stride: usize, m: usize, k: usize) {
        self.from_rows(m, k, |i, row| round_to_bf16(row, &x[i * row_stride..][..k]));
    }

    /// Replaces what is held by `m` rows of `k` numbers: `fill` writes row `i`.
    pub fn from_rows(&mut self, m: usize, k: usize, mut fill: impl FnMut(usize, &mut [u16])) {
        self.0.reshape(m, k, PAIR);
        for i in 0..m {
            let row = halves_mut(self.0.row_mut(i));
            fill(i, &mut row[..k]);
            row[k..].fill(0);
        }
    }

    /// Row `i`, with zeros up to a multiple of 32 numbers.
    pub fn row(&self, i: usize) -> &[u16] {
        halves(self.0.row(i))
    }

    /// Rows.
    pub fn m(&self) -> usize {
        self.0.m
    }

    /// Numbers in a row.
    pub fn k(&self) -> usize {
        self.0.k
    }

    /// Bytes from one row to the next.
    pub fn stride(&self) -> usize {
        self.0.stride()
    }
}

/// The right-hand side of a product, `k × n` in bf16, packed into panels `[panel][k / 2][column][2]`.
#[derive(Clone, Debug)]
pub struct Bf16Panels {
    columns: Columns,
    arithmetic: Bf16Arithmetic,
}

impl Bf16Panels {
    /// Packs the transpose of `w`, which is `(n, k)` row after row: the weights of a layer with `n` outputs.
    ///
    /// # Panics
    /// If `w` has another length.
    pub fn transposed(w: &[f32], n: usize, k: usize, arithmetic: Bf16Arithmetic) -> Self {
        assert_eq!(w.len(), n * k, "weights of {n} × {k}");
        let fill = |j: usize, groups: &mut [u32]| round_to_bf16(halves_mut(groups), &w[j * k..][..k]);
        Self { columns: Columns::pack(k, n, PAIR, fill), arithmetic }
    }

    /// Length of each sum.
    pub fn k(&self) -> usize {
        self.columns.k
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.columns.n
    }

    /// Columns of a panel: where the columns of a product may be split.
    pub fn width(&self) -> usize {
        self.columns.width
    }

    /// How products with these are added.
    pub fn arithmetic(&self) -> Bf16Arithmetic {
        self.arithmetic
    }
}

/// `c[i, j] = Σₖ a[i, k] · b[k, j]` (or `+=` with [`Start::Add`]) for the rows and columns that `c` stands for.
///
/// The error against exact sums of the same bf16 numbers is at most `(k + 1) · 2⁻²³ · Σₖ |a·b|`, and `k · 2⁻¹²⁵` where
/// subnormal numbers are flushed. Infinities and NaN spread as in f32.
///
/// # Panics
/// If the window is not inside the product or begins or ends inside a panel, or the two `k` differ: a bug in the caller.
pub fn product_bf16(c: Window<f32>, a: &Bf16Rows, b: &Bf16Panels, start: Start) {
    let Some(job) = Job::new(&c, c.corner(), &a.0, &b.columns, start) else { return };
    match b.arithmetic {
        Bf16Arithmetic::Chain => run_chains(&job),
        Bf16Arithmetic::Avx512Bf16 => run_pairs(&job),
        Bf16Arithmetic::Amx => run_tiles(&job),
    }
}

/// [`Bf16Arithmetic::Chain`].
fn run_chains(job: &Job<f32>) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512(job: &Job<f32>) {
            // SAFETY: called only after detection; `Job::new` checked the sizes.
            unsafe { run::<x86::Avx512, 12, 2>(job) }
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(job: &Job<f32>) {
            // SAFETY: as above.
            unsafe { run::<x86::Avx2, 4, 2>(job) }
        }
        match Isa::detect() {
            Isa::Portable => {}
            // SAFETY: the features were just detected.
            Isa::Avx2 => return unsafe { avx2(job) },
            // SAFETY: as above; every other one has AVX-512.
            _ => return unsafe { avx512(job) },
        }
    }
    // SAFETY: the portable vectors need no feature; `Job::new` checked the sizes.
    unsafe { run::<Portable, 2, 4>(job) }
}

/// [`Bf16Arithmetic::Avx512Bf16`].
fn run_pairs(job: &Job<f32>) {
    #[cfg(target_arch = "x86_64")]
    if Bf16Arithmetic::Avx512Bf16.is_native() {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")]
        fn avx512bf16(job: &Job<f32>) {
            // SAFETY: called only after detection; `Job::new` checked the sizes.
            unsafe { run::<x86::Bf16, 14, 2>(job) }
        }
        // SAFETY: the features were just detected.
        return unsafe { avx512bf16(job) };
    }
    // SAFETY: `Job::new` checked the sizes.
    unsafe { emulated::run(job, Bf16Arithmetic::Avx512Bf16) }
}

/// [`Bf16Arithmetic::Amx`].
fn run_tiles(job: &Job<f32>) {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if Bf16Arithmetic::Amx.is_native()
        && let Some(tiles) = super::amx::tiles()
    {
        // SAFETY: `Job::new` checked the sizes.
        unsafe { tiles.run_bf16(&job.for_tiles()) };
        return;
    }
    // SAFETY: `Job::new` checked the sizes.
    unsafe { emulated::run(job, Bf16Arithmetic::Amx) }
}

struct Portable;
impl Dot for Portable {
    type Number = f32;
    type Sums = [f32; 4];
    type Left = [f32; PAIR];
    type Right = [[f32; 4]; PAIR];
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> [f32; 4] {
        [0.0; 4]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> [f32; 4] {
        // SAFETY: the caller owns four numbers at `p`.
        unsafe { p.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: [f32; 4]) {
        // SAFETY: the caller owns four numbers at `p`.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn left(p: *const u32) -> [f32; PAIR] {
        // SAFETY: the caller owns a group at `p`: two bf16, the first `k` first.
        unsafe { p.cast::<[u16; PAIR]>().read() }.map(from_bf16)
    }
    #[inline(always)]
    unsafe fn right(p: *const u32) -> [[f32; 4]; PAIR] {
        // SAFETY: the caller owns four groups at `p`.
        let groups = unsafe { p.cast::<[[u16; PAIR]; 4]>().read() };
        let mut columns = [[0.0; 4]; PAIR];
        for (i, group) in groups.into_iter().enumerate() {
            for (column, x) in columns.iter_mut().zip(group) {
                column[i] = from_bf16(x);
            }
        }
        columns
    }
    #[inline(always)]
    unsafe fn add(mut sums: [f32; 4], left: [f32; PAIR], right: [[f32; 4]; PAIR]) -> [f32; 4] {
        for (x, column) in left.into_iter().zip(right) {
            for (sum, y) in sums.iter_mut().zip(column) {
                *sum = emulated::fused(x, y, *sum);
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Dot, PAIR};
    use std::arch::x86_64::*;

    /// Pairs widened to f32 by shifts, then two fused multiply-adds in ascending `k`.
    macro_rules! by_shifts {
        ($name:ident, $floats:ty, $lanes:literal, $zero:ident, $load:ident, $store:ident, $fma:ident,
         $load_groups:ident, $splat:ident, $shift:ident, $and:ident, $cast:ident) => {
            pub struct $name;
            impl Dot for $name {
                type Number = f32;
                type Sums = $floats;
                type Left = [$floats; PAIR];
                type Right = [$floats; PAIR];
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> $floats {
                    // SAFETY: the caller has detected the feature.
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn load(p: *const f32) -> $floats {
                    // SAFETY: the caller owns the numbers at `p` and has detected the feature.
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(p: *mut f32, v: $floats) {
                    // SAFETY: as for `load`.
                    unsafe { $store(p, v) }
                }
                #[inline(always)]
                unsafe fn left(p: *const u32) -> [$floats; PAIR] {
                    // SAFETY: the caller owns a group at `p` and has detected the feature.
                    unsafe {
                        let group = *p;
                        [
                            $cast($splat((group << 16).cast_signed())),
                            $cast($splat((group & 0xffff_0000).cast_signed())),
                        ]
                    }
                }
                #[inline(always)]
                unsafe fn right(p: *const u32) -> [$floats; PAIR] {
                    // SAFETY: as for `load`, with a group per lane.
                    unsafe {
                        let groups = $load_groups(p.cast());
                        let upper = $and(groups, $splat(0xffff_0000u32.cast_signed()));
                        [$cast($shift::<16>(groups)), $cast(upper)]
                    }
                }
                #[inline(always)]
                unsafe fn add(sums: $floats, left: [$floats; PAIR], right: [$floats; PAIR]) -> $floats {
                    // SAFETY: the caller has detected the feature.
                    unsafe { $fma(left[1], right[1], $fma(left[0], right[0], sums)) }
                }
            }
        };
    }
    by_shifts!(
        Avx512,
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_loadu_si512,
        _mm512_set1_epi32,
        _mm512_slli_epi32,
        _mm512_and_si512,
        _mm512_castsi512_ps
    );
    by_shifts!(
        Avx2,
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        _mm256_loadu_si256,
        _mm256_set1_epi32,
        _mm256_slli_epi32,
        _mm256_and_si256,
        _mm256_castsi256_ps
    );

    /// `vdpbf16ps`: one instruction for a pair.
    pub struct Bf16;
    impl Dot for Bf16 {
        type Number = f32;
        type Sums = __m512;
        type Left = __m512bh;
        type Right = __m512bh;
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: the caller has detected the feature.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m512 {
            // SAFETY: the caller owns sixteen numbers at `p` and has detected the feature.
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m512) {
            // SAFETY: as for `load`.
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn left(p: *const u32) -> __m512bh {
            // SAFETY: the caller owns a group at `p`; both vectors are 512 bits.
            unsafe { std::mem::transmute(_mm512_set1_epi32((*p).cast_signed())) }
        }
        #[inline(always)]
        unsafe fn right(p: *const u32) -> __m512bh {
            // SAFETY: the caller owns sixteen groups at `p`; both vectors are 512 bits.
            unsafe { std::mem::transmute(_mm512_loadu_si512(p.cast())) }
        }
        #[inline(always)]
        unsafe fn add(sums: __m512, left: __m512bh, right: __m512bh) -> __m512 {
            // SAFETY: the caller has detected the feature.
            unsafe { _mm512_dpbf16_ps(sums, left, right) }
        }
    }
}

#[cfg(test)]
#[path = "bf16_tests.rs"]
mod tests;
