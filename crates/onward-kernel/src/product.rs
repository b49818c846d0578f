//! `c = a · b` for a strided `a` and a packed `b`: one register tile of rows × 16 or 32 columns at a time.

use super::laid::{Laid, lay_in_panels};
use super::moved::pack_moved;
use super::packed::{NARROW, WIDE};
use super::tile::{Dot, Job, run};
use super::transpose::transpose;
use super::{Lines, Moved, Window, dispatch};

/// The right-hand side of a product, `k × n`, packed into panels of columns (`[panel][k][width]`), padded with zeros.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    data: Lines,
    k: usize,
    n: usize,
    width: usize,
}

impl Panels {
    /// Packs the transpose of `w`, which is `(n, k)` row after row: the weights of a layer with `n` outputs.
    pub fn transposed(w: &[f32], n: usize, k: usize) -> Self {
        assert_eq!(w.len(), n * k, "weights of {n} × {k}");
        let mut panels = Self::zeros(k, n);
        let width = panels.width;
        for (rows, panel) in w.chunks((width * k).max(1)).zip(panels.data.chunks_mut((width * k).max(1))) {
            transpose(rows, [rows.len() / k.max(1), k, k], panel, width);
        }
        panels
    }

    /// Packs weights of the outputs from `first` on, whole panels, for the inputs from `from` on; the nearest bf16 of each if they are to be
    /// `kept` as such.
    pub(super) fn set(&mut self, [first, from]: [usize; 2], weights: &Moved<'_>, kept: bool) {
        let (k, width, count) = (self.k, self.width, weights.rows());
        for column in (0..count).step_by(width) {
            let panel = &mut self.data[(first + column) * k..][from * width..][..weights.length * width];
            pack_moved(panel, width, weights.part(column..count.min(column + width)), kept);
        }
    }

    /// Packs the rows of `laid` from `first` on; the nearest bf16 of each number if they are to be `kept` as such.
    pub(super) fn lay(&mut self, laid: &Laid<'_>, first: usize, kept: bool, block: &mut Vec<f32>) {
        lay_in_panels(&mut self.data, [self.width, self.k], laid, [first, self.n], kept, block);
    }

    /// Packs a matrix `x`, which is `(k, n)` row after row.
    pub fn rows(x: &[f32], k: usize, n: usize) -> Self {
        assert_eq!(x.len(), n * k, "a matrix of {k} × {n}");
        let mut panels = Self::zeros(k, n);
        let width = panels.width;
        for (kk, row) in x.chunks_exact(n.max(1)).enumerate() {
            for (p, part) in row.chunks(width).enumerate() {
                panels.data[(p * k + kk) * width..][..part.len()].copy_from_slice(part);
            }
        }
        panels
    }

    /// Packs the rows `from`, `from + step`, … of this packed matrix.
    pub fn every(&self, step: usize, from: usize) -> Self {
        let mut part = Self::zeros(self.k.saturating_sub(from).div_ceil(step), self.n);
        let width = self.width;
        let panels = part.data.chunks_exact_mut((part.k * width).max(1));
        for (out, panel) in panels.zip(self.data.chunks_exact((self.k * width).max(1))) {
            let lines = panel.chunks_exact(width).skip(from).step_by(step);
            out.chunks_exact_mut(width).zip(lines).for_each(|(out, line)| out.copy_from_slice(line));
        }
        part
    }

    /// `n` columns of `k` zeros.
    pub(super) fn zeros(k: usize, n: usize) -> Self {
        let width = if n <= NARROW { NARROW } else { WIDE };
        Self { data: Lines::zeros(n.div_ceil(width) * k * width), k, n, width }
    }

    /// Makes it one panel of `k` rows for `n` columns that are yet to be written, in memory that is kept; how wide it is.
    ///
    /// # Panics
    /// If they do not fit one panel: a bug in the caller.
    pub(super) fn reshape(&mut self, k: usize, n: usize) -> usize {
        assert!(n <= WIDE, "{n} columns of one panel");
        (self.k, self.n, self.width) = (k, n, if n <= NARROW { NARROW } else { WIDE });
        self.data.at_least(k * self.width);
        self.width
    }

    /// Counts only the first `k` rows of its one panel from now on, or more of those that were written.
    pub(super) fn cut(&mut self, k: usize) {
        self.k = k;
    }

    /// The numbers of its one panel, row after row, padding included.
    pub(super) fn numbers(&self) -> &[f32] {
        &self.data[..self.k * self.width]
    }

    /// The same, to be written.
    pub(super) fn numbers_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.k * self.width]
    }

    /// The rows of the packed matrix: the length of each sum.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The columns of the packed matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The columns of a panel, padding included: where the columns of a product may be split.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Panel `index`: its `width` columns of every row.
    pub(super) fn panel(&self, index: usize) -> &[f32] {
        &self.data[index * self.k * self.width..][..self.k * self.width]
    }
}

pub(super) struct Portable;
impl Dot for Portable {
    type Number = f32;
    type Sums = [f32; 4];
    type Left = f32;
    type Right = [f32; 4];
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
    unsafe fn left(p: *const u32) -> f32 {
        // SAFETY: the caller owns a group, here one number, at `p`.
        f32::from_bits(unsafe { *p })
    }
    #[inline(always)]
    unsafe fn right(p: *const u32) -> [f32; 4] {
        // SAFETY: the caller owns four groups at `p`.
        unsafe { Self::load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn add(sums: [f32; 4], left: f32, right: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| left.mul_add(right[i], sums[i]))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::Dot;
    use std::arch::x86_64::*;

    macro_rules! simd {
        ($name:ident, $vector:ty, $lanes:literal, $zero:ident, $load:ident, $store:ident, $splat:ident, $fma:ident) => {
            pub struct $name;
            impl Dot for $name {
                type Number = f32;
                type Sums = $vector;
                type Left = $vector;
                type Right = $vector;
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn zero() -> $vector {
                    // SAFETY: the caller has detected the feature.
                    unsafe { $zero() }
                }
                #[inline(always)]
                unsafe fn load(p: *const f32) -> $vector {
                    // SAFETY: the caller owns the numbers at `p` and has detected the feature.
                    unsafe { $load(p) }
                }
                #[inline(always)]
                unsafe fn store(p: *mut f32, v: $vector) {
                    // SAFETY: as for `load`.
                    unsafe { $store(p, v) }
                }
                #[inline(always)]
                unsafe fn left(p: *const u32) -> $vector {
                    // SAFETY: as for `load`, for one number.
                    unsafe { $splat(*p.cast()) }
                }
                #[inline(always)]
                unsafe fn right(p: *const u32) -> $vector {
                    // SAFETY: as for `load`.
                    unsafe { $load(p.cast()) }
                }
                #[inline(always)]
                unsafe fn add(sums: $vector, left: $vector, right: $vector) -> $vector {
                    // SAFETY: the caller has detected the feature.
                    unsafe { $fma(left, right, sums) }
                }
            }
        };
    }
    simd!(
        Avx512,
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps
    );
    simd!(
        Avx2,
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_fmadd_ps
    );
}

/// `c[i, j] = Σₖ a[i, k] · b[k, j]` (or `+=` with [`Start::Add`]); `a[i, k]` is `a[i·row_stride + k·k_stride]`, `c[i, j]` is
/// `c[i·c_stride + j]`.
///
/// # Panics
/// If a slice is too short for the sizes: a bug in the caller, never a matter of data.
#[allow(clippy::too_many_arguments)]
pub fn product(
    c: &mut [f32],
    c_stride: usize,
    a: &[f32],
    row_stride: usize,
    k_stride: usize,
    m: usize,
    b: &Panels,
    start: Start,
) {
    product_part(Window::new(c, c_stride, m, b.n), a, row_stride, k_stride, b, start);
}

/// [`product`] for the rows and columns that `c` stands for: row 0 of the whole begins at `a[0]`.
///
/// # Panics
/// If `a` is too short, or the window is not inside the product or begins or ends inside a panel: a bug in the caller.
pub fn product_part(c: Window<f32>, a: &[f32], row_stride: usize, k_stride: usize, b: &Panels, start: Start) {
    let (rows, columns) = (c.rows(), c.columns());
    if rows.is_empty() || columns.is_empty() {
        return;
    }
    assert!(
        b.k == 0 || (rows.end - 1) * row_stride + (b.k - 1) * k_stride < a.len(),
        "left side of a product is too short"
    );
    let split = |j: usize| j.is_multiple_of(b.width) || j == b.n;
    assert!(
        columns.end <= b.n && split(columns.start) && split(columns.end),
        "columns {columns:?} split a panel"
    );
    assert!(b.data.len() >= b.n.div_ceil(b.width) * b.k * b.width, "right side of a product is too short");
    let job = Job {
        c: c.corner(),
        c_stride: c.stride(),
        a: a.as_ptr().wrapping_add(rows.start * row_stride).cast(),
        row_stride,
        k_stride,
        m: rows.len(),
        b: b.data[columns.start * b.k..].as_ptr().cast(),
        groups: b.k,
        n: columns.len(),
        width: b.width,
        accumulate: start == Start::Add,
        finish: c.finish(),
    };
    run_best(&job);
}

/// What the sums of a product start from: zero, or what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From zero.
    Zero,
    /// From what the result already holds.
    Add,
}

fn run_best(job: &Job<f32>) {
    dispatch!((job: &Job<f32>) {
        // SAFETY: `dispatch!` detected what it needs; `product` checked the sizes.
        Avx512 => unsafe { run::<x86::Avx512, 12, 2>(job) },
        // SAFETY: as above.
        Avx2 => unsafe { run::<x86::Avx2, 6, 2>(job) },
        // SAFETY: as above.
        _ => unsafe { run::<Portable, 2, 4>(job) },
    });
}

/// `c (m, n) += aᵀ · b` for `a (k, m)` and `b (k, n)`, all row after row: a sum of outer products.
pub fn transposed_product(c: &mut [f32], a: &[f32], m: usize, b: &Panels) {
    product(c, b.n(), a, 1, m, m, b, Start::Add);
}

/// Adds `a[i]·b[i]` to chain `i % 16` of sixteen chains of fused multiply-adds.
#[inline(always)]
pub(super) fn add_to_chains(chains: &mut [f32; 16], a: &[f32], b: &[f32]) {
    let (a16, b16) = (a.chunks_exact(16), b.chunks_exact(16));
    let (a_rest, b_rest) = (a16.remainder(), b16.remainder());
    for (a, b) in a16.zip(b16) {
        for i in 0..16 {
            chains[i] = a[i].mul_add(b[i], chains[i]);
        }
    }
    for (i, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        chains[i] = a.mul_add(*b, chains[i]);
    }
}

/// The sixteen chains added up pairwise: the same bits everywhere.
#[inline(always)]
pub(super) fn sum_of_chains(mut chains: [f32; 16]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            chains[i] += chains[i + half];
        }
    }
    chains[0]
}

super::multiversion! {
/// `Σ a[i]·b[i]` in sixteen interleaved chains of fused multiply-adds, added up pairwise: the same bits everywhere.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut chains = [0f32; 16];
    add_to_chains(&mut chains, a, b);
    sum_of_chains(chains)
}
}

super::multiversion! {
/// `y[row, :] += t[row] · a` for every row of `y`, whose rows are as long as `a`.
pub fn add_outer(y: &mut [f32], t: &[f32], a: &[f32]) {
    for (row, t) in y.chunks_exact_mut(a.len()).zip(t) {
        for (y, a) in row.iter_mut().zip(a) {
            *y = t.mul_add(*a, *y);
        }
    }
}
}

super::multiversion! {
/// `y += c · x`, each number with one rounding.
pub fn axpy(y: &mut [f32], c: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = c.mul_add(*x, *y);
    }
}
}

super::multiversion! {
/// `out = z + c · a`, each number with one rounding.
pub fn shifted(out: &mut [f32], z: &[f32], c: f32, a: &[f32]) {
    for ((o, z), a) in out.iter_mut().zip(z).zip(a) {
        *o = c.mul_add(*a, *z);
    }
}
}

super::multiversion! {
/// `pixel = γ · pixel + β` for every run of `γ.len()` numbers.
pub fn scale_and_shift(pixels: &mut [f32], gamma: &[f32], beta: &[f32]) {
    for pixel in pixels.chunks_exact_mut(gamma.len()) {
        for ((v, g), b) in pixel.iter_mut().zip(gamma).zip(beta) {
            *v = g.mul_add(*v, *b);
        }
    }
}
}

super::multiversion! {
/// `pixel = (pixel − mean) · inverse` for every run of `mean.len()` numbers.
pub fn normalise(pixels: &mut [f32], mean: &[f32], inverse: &[f32]) {
    for pixel in pixels.chunks_exact_mut(mean.len()) {
        for ((v, m), s) in pixel.iter_mut().zip(mean).zip(inverse) {
            *v = (*v - m) * s;
        }
    }
}
}

super::multiversion! {
/// The Gaussian error linear unit `x Φ(x)` of numbers in place, by the error function; within 2⁻²¹ absolutely.
pub fn gelu_erf(x: &mut [f32]) {
    x.iter_mut().for_each(|v| *v = crate::math::gelu_erf(*v));
}
}

super::multiversion! {
/// Rectifies numbers in place: `max(x, 0)`; what is not a number becomes 0.
pub fn relu(x: &mut [f32]) {
    super::epilogue::rectify(x);
}
}

super::multiversion! {
/// `out += Σ x ∘ y` over runs of `out.len()` numbers.
pub fn add_products(out: &mut [f32], x: &[f32], y: &[f32]) {
    for (x, y) in x.chunks_exact(out.len()).zip(y.chunks_exact(out.len())) {
        for ((o, x), y) in out.iter_mut().zip(x).zip(y) {
            *o = x.mul_add(*y, *o);
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    /// On every instruction set, so all of them give the same bits.
    #[test]
    fn products_are_one_chain_of_fused_multiply_adds() {
        for (m, n, k) in [
            (1, 1, 1),
            (3, 10, 7),
            (8, 32, 64),
            (9, 33, 5),
            (14, 16, 48),
            (29, 47, 13),
            (16, 49, 100),
            (5, 17, 0),
            (2, 131, 257),
            (6, 70, 30),
            (31, 33, 521),
            (131, 130, 512),
        ] {
            let (a, w) = (numbers(m * k, 1), numbers(n * k, 2));
            let across: Vec<f32> = (0..k * m).map(|i| a[(i % m) * k + i / m]).collect();
            let down: Vec<f32> = (0..k * n).map(|i| w[(i % n) * k + i / n]).collect();
            let want: Vec<f32> = (0..m * n)
                .map(|at| {
                    let (i, j) = (at / n, at % n);
                    (0..k).fold(7.0f32, |s, kk| a[i * k + kk].mul_add(w[j * k + kk], s))
                })
                .collect();
            with_each_isa(|isa| {
                let mut c = vec![7.0; m * n];
                product(&mut c, n, &a, k.max(1), 1, m, &Panels::transposed(&w, n, k), Start::Add);
                assert_eq!(c, want, "({m}, {n}, {k}) on {isa:?}");
                c.fill(7.0);
                transposed_product(&mut c, &across, m, &Panels::rows(&down, k, n));
                assert_eq!(c, want, "({m}, {n}, {k}) transposed on {isa:?}");
            });
        }
    }

    #[test]
    fn only_the_result_is_written_and_nothing_of_it_read() {
        let (m, n, k, stride) = (29, 75, 41, 80);
        let (a, w) = (numbers(m * k + 1, 3), numbers(n * k, 4));
        with_each_isa(|isa| {
            let mut c = vec![f32::NAN; m * stride];
            product(&mut c, stride, &a[1..], k, 1, m, &Panels::transposed(&w, n, k), Start::Zero);
            for (i, row) in c.chunks_exact(stride).enumerate() {
                let want = |j| (0..k).fold(0f32, |s, kk| a[1 + i * k + kk].mul_add(w[j * k + kk], s));
                assert!((0..n).all(|j| row[j] == want(j)), "row {i} on {isa:?}");
                assert!(row[n..].iter().all(|v| v.is_nan()), "beyond row {i} on {isa:?}");
            }
        });
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn short_slices_are_refused() {
        product(&mut [0.0; 3], 2, &[0.0; 4], 2, 1, 2, &Panels::rows(&[0.0; 4], 2, 2), Start::Zero);
    }
}
