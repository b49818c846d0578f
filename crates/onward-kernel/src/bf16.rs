//! Products of bf16 numbers (the upper half of an f32) with f32 sums, by the processors' own instructions for them. (Chains are
//! products of f32: see [`super::Matrix`].)
//!
//! How terms are added is the panels' [`Bf16Arithmetic`]: whatever the tiles, the threads and the processor, the bits of a kind
//! are the same. Where a processor lacks a kind's instructions, they are emulated.

use super::laid::Laid;
use super::moved::pack_moved_bf16;
use super::packed::{Columns, Rows, halves, halves_mut};
use super::tile::Job;
#[cfg(target_arch = "x86_64")]
use super::tile::{Dot, run};
use super::{Bf16Arithmetic, Moved, Start, Window, dispatch};

pub(super) mod emulated;

/// Numbers of `k` to a group.
const PAIR: usize = 2;

/// The bf16 nearest to an f32, ties to even; subnormal numbers are rounded like others, NaN stays NaN (and becomes quiet).
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    (if x.is_nan() { (bits >> 16) | 0x40 } else { rounded }) as u16
}

/// The f32 that is the same number as a bf16.
#[inline(always)]
pub fn from_bf16(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

/// The bf16 nearest to each number, those of `right` behind those of `left`: as [`to_bf16`] has them.
///
/// # Safety
/// AVX-512 F and BW were detected, and the caller is compiled for them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn nearest(
    left: std::arch::x86_64::__m512,
    right: std::arch::x86_64::__m512,
) -> std::arch::x86_64::__m512i {
    use std::arch::x86_64::*;
    // SAFETY: the caller vouches for the instructions; the array is 64 bytes.
    unsafe {
        let upper = _mm512_loadu_si512(UPPER.as_ptr().cast());
        _mm512_permutex2var_epi16(rounded(left), upper, rounded(right))
    }
}

/// Numbers whose upper halves are the bf16 nearest to each.
///
/// # Safety
/// As for [`nearest`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn rounded(x: std::arch::x86_64::__m512) -> std::arch::x86_64::__m512i {
    use std::arch::x86_64::*;
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x40_0000))
    }
}

/// Where the upper half of each of 32 numbers is.
#[cfg(target_arch = "x86_64")]
const UPPER: [i16; 32] = {
    let mut places = [0; 32];
    let mut i = 0;
    while i < 32 {
        places[i] = 2 * i as i16 + 1;
        i += 1;
    }
    places
};

/// Rounds numbers: `out[i]` is the bf16 nearest to `x[i]`.
pub fn round_to_bf16(out: &mut [u16], x: &[f32]) {
    dispatch!((out: &mut [u16], x: &[f32]) {
        Avx512Bf16 => {
            let whole = out.len().min(x.len()) / RUN * RUN;
            let runs = out[..whole].chunks_exact_mut(RUN).zip(x[..whole].chunks_exact(RUN));
            for (out, x) in runs {
                // SAFETY: `dispatch!` detected what it needs; both are runs.
                if !unsafe { round_run(out, x) } {
                    round_each(out, x);
                }
            }
            round_each(&mut out[whole..], &x[whole..]);
        },
        Avx512 => round_each(out, x),
        Avx2 => round_each(out, x),
        _ => round_each(out, x),
    });
}

#[inline(always)]
fn round_each(out: &mut [u16], x: &[f32]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = to_bf16(*x);
    }
}

/// Numbers that one instruction rounds.
const RUN: usize = 32;

/// Rounds a run by the processor's instruction, unless it has subnormal numbers, which that takes for zero.
///
/// # Safety
/// AVX-512 F, DQ and BF16 were detected; both are runs.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bf16")]
#[inline]
unsafe fn round_run(out: &mut [u16], x: &[f32]) -> bool {
    use std::arch::x86_64::*;
    const SUBNORMAL: i32 = 0x20;
    // SAFETY: the caller vouches for the runs.
    unsafe {
        let (first, second) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x.as_ptr().add(16)));
        let subnormal =
            _mm512_fpclass_ps_mask::<SUBNORMAL>(first) | _mm512_fpclass_ps_mask::<SUBNORMAL>(second);
        if subnormal == 0 {
            let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(second, first));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), rounded);
        }
        subnormal == 0
    }
}

super::multiversion! {
/// `out[i]` is the bf16 nearest to `x[i]`, as an f32.
pub fn keep_bf16(out: &mut [f32], x: &[f32]) {
    for (o, x) in out.iter_mut().zip(x) {
        *o = from_bf16(to_bf16(*x));
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

    /// The number of rows.
    pub fn m(&self) -> usize {
        self.0.m
    }

    /// The numbers in a row.
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
    pub(super) columns: Columns,
    arithmetic: Bf16Arithmetic,
}

impl Bf16Panels {
    /// Packs the transpose of `w`, which is `(n, k)` row after row: the weights of a layer with `n` outputs.
    ///
    /// # Panics
    /// If `w` has another length, or for chains, which have no panels of their own: bugs in the caller.
    pub fn transposed(w: &[f32], n: usize, k: usize, arithmetic: Bf16Arithmetic) -> Self {
        assert_eq!(w.len(), n * k, "weights of {n} × {k}");
        assert_ne!(arithmetic, Bf16Arithmetic::Chain, "chains are products of f32");
        let fill = |j: usize, groups: &mut [u32]| round_to_bf16(halves_mut(groups), &w[j * k..][..k]);
        Self { columns: Columns::pack(k, n, PAIR, fill), arithmetic }
    }

    /// `n` columns of `k` zeros.
    pub(super) fn zeros(k: usize, n: usize, arithmetic: Bf16Arithmetic) -> Self {
        Self { columns: Columns::zeros(k, n, PAIR), arithmetic }
    }

    /// Packs weights of the outputs from `first` on, whole panels, for the inputs from `from` on.
    pub(super) fn set(&mut self, [first, from]: [usize; 2], weights: &Moved<'_>) {
        let (width, count) = (self.columns.width, weights.rows());
        for column in (0..count).step_by(width) {
            let panel = &mut self.columns.panel_mut((first + column) / width)[from / PAIR * width..];
            pack_moved_bf16(panel, width, weights.part(column..count.min(column + width)));
        }
    }

    /// Packs the rows of `laid` from `first` on; `rows` and `row` are scratch.
    pub(super) fn lay(&mut self, laid: &Laid<'_>, first: usize, rows: &mut Bf16Rows, row: &mut Vec<f32>) {
        let Columns { k, n, .. } = self.columns;
        row.resize(k, 0.0);
        self.columns.set(0..n, PAIR, &mut rows.0, |j, groups| {
            let (own, rest) = halves_mut(groups).split_at_mut(k);
            let from = (first + j) * k;
            match laid {
                Laid::Bf16(all) => {
                    own.iter_mut().zip(&all[from..from + k]).for_each(|(o, b)| *o = u16::from_le_bytes(*b));
                }
                other => {
                    other.read(from, row);
                    round_to_bf16(own, row);
                }
            }
            rest.fill(0);
        });
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
    if b.arithmetic == Bf16Arithmetic::Amx {
        run_tiles(&job);
    } else {
        run_pairs(&job);
    }
}

/// [`Bf16Arithmetic::Avx512Bf16`].
fn run_pairs(job: &Job<f32>) {
    dispatch!((job: &Job<f32>) {
        // SAFETY: `dispatch!` detected what it needs; `Job::new` checked the sizes.
        Avx512Bf16 => unsafe { run::<x86::Bf16, 14, 2>(job) },
        // SAFETY: as above.
        _ => unsafe { emulated::run(job, Bf16Arithmetic::Avx512Bf16) },
    });
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

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::Dot;
    use std::arch::x86_64::*;

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
