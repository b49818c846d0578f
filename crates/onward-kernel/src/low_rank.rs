//! What a low-rank probe costs beyond the shared product: rows times a few factors, and the correction that they scale.

use super::epilogue::rectify;
use super::product::{add_to_chains, sum_of_chains};

/// Factors that a row is multiplied with at once.
const FACTORS: usize = 4;

/// Sixteen chains of sums in vectors of one instruction set. Every method is called only where that set was detected.
trait Chains: Copy {
    /// Whether the registers hold those of four rows by four factors.
    const MANY: bool;
    unsafe fn zero() -> Self;
    /// The chains with the products of sixteen pairs added.
    unsafe fn plus(self, x: &[f32; 16], b: &[f32; 16]) -> Self;
    unsafe fn numbers(self) -> [f32; 16];
}

impl Chains for [f32; 16] {
    const MANY: bool = false;
    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 16]
    }
    #[inline(always)]
    unsafe fn plus(mut self, x: &[f32; 16], b: &[f32; 16]) -> Self {
        for l in 0..16 {
            self[l] = x[l].mul_add(b[l], self[l]);
        }
        self
    }
    #[inline(always)]
    unsafe fn numbers(self) -> [f32; 16] {
        self
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    impl super::Chains for __m512 {
        const MANY: bool = true;
        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller has AVX-512; so below.
            unsafe { _mm512_setzero_ps() }
        }
        #[inline(always)]
        unsafe fn plus(self, x: &[f32; 16], b: &[f32; 16]) -> Self {
            // SAFETY: both references are to sixteen numbers.
            unsafe { _mm512_fmadd_ps(_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(b.as_ptr()), self) }
        }
        #[inline(always)]
        unsafe fn numbers(self) -> [f32; 16] {
            let mut numbers = [0.0; 16];
            // SAFETY: there is room for sixteen numbers.
            unsafe { _mm512_storeu_ps(numbers.as_mut_ptr(), self) };
            numbers
        }
    }
}

/// `t[j·stride + p] = Σ x[p, i] · b[j, i]` for rows `x (p, k)` and factors `b (j, k)`, each with the bits of `dot`.
#[allow(unsafe_code)]
pub fn dots(t: &mut [f32], stride: usize, x: &[f32], b: &[f32], k: usize) {
    super::dispatch!((t: &mut [f32], stride: usize, x: &[f32], b: &[f32], k: usize) {
        // SAFETY: `dispatch` has found the instruction set.
        Avx512 => unsafe { all_dots::<std::arch::x86_64::__m512>(t, stride, x, b, k) },
        // SAFETY: as above.
        Avx2 => unsafe { all_dots::<[f32; 16]>(t, stride, x, b, k) },
        // SAFETY: arrays need no instruction set.
        _ => unsafe { all_dots::<[f32; 16]>(t, stride, x, b, k) },
    })
}

/// # Safety
/// The instruction set of `C` was detected.
#[inline(always)]
unsafe fn all_dots<C: Chains>(t: &mut [f32], stride: usize, x: &[f32], b: &[f32], k: usize) {
    let (rows, factors) = (x.len() / k, b.len() / k);
    let mut j = 0;
    while j < factors {
        let many = factors - j >= FACTORS;
        let now = if many { FACTORS } else { 1 };
        let b = &b[j * k..(j + now) * k];
        let mut p = 0;
        while p < rows {
            let left = rows - p;
            let x = &x[p * k..];
            let t = &mut t[j * stride + p..];
            // SAFETY: handed on.
            p += unsafe {
                match (many, left) {
                    (true, 4..) if C::MANY => block::<C, 4, FACTORS>(t, stride, x, b, k),
                    (true, _) => block::<C, 1, FACTORS>(t, stride, x, b, k),
                    (false, 8..) if C::MANY => block::<C, 8, 1>(t, stride, x, b, k),
                    (false, 4..) => block::<C, 4, 1>(t, stride, x, b, k),
                    (false, _) => block::<C, 1, 1>(t, stride, x, b, k),
                }
            };
        }
        j += now;
    }
}

/// `P` rows times `J` factors; says how many rows there were.
///
/// # Safety
/// The instruction set of `C` was detected.
#[inline(always)]
unsafe fn block<C: Chains, const P: usize, const J: usize>(
    t: &mut [f32],
    stride: usize,
    x: &[f32],
    b: &[f32],
    k: usize,
) -> usize {
    let blocks = k / 16;
    let vectors = |v| -> &[[f32; 16]] { &<[f32]>::as_chunks(v).0[..blocks] };
    let xs: [&[[f32; 16]]; P] = std::array::from_fn(|p| vectors(&x[p * k..]));
    let bs: [&[[f32; 16]]; J] = std::array::from_fn(|j| vectors(&b[j * k..]));
    // SAFETY: the caller vouches for the instruction set; so below.
    let mut chains = [[unsafe { C::zero() }; J]; P];
    for i in 0..blocks {
        for (row, x) in chains.iter_mut().zip(&xs) {
            for (chain, b) in row.iter_mut().zip(&bs) {
                // SAFETY: see above.
                *chain = unsafe { chain.plus(&x[i], &b[i]) };
            }
        }
    }
    for (p, row) in chains.iter().enumerate() {
        for (j, chain) in row.iter().enumerate() {
            // SAFETY: see above.
            let mut own = unsafe { chain.numbers() };
            if blocks * 16 < k {
                let rest = blocks * 16..k;
                add_to_chains(&mut own, &x[p * k..][rest.clone()], &b[j * k..][rest]);
            }
            t[j * stride + p] = sum_of_chains(own);
        }
    }
    P
}

/// The correction of one member's rows: `factor · Σᵣ t[r] aᵣᵀ`.
#[derive(Clone, Copy)]
pub struct Correction<'a> {
    /// Each outer product's `t`, that of row `p` at `r·stride + p`.
    pub t: &'a [f32],
    /// Numbers between two outer products in `t`.
    pub stride: usize,
    /// The left factors `(rank, m)`.
    pub a: &'a [f32],
    /// What all of it is multiplied by.
    pub factor: f32,
    /// Added at last; empty for nothing.
    pub bias: &'a [f32],
    /// Whether the ReLU is taken of all that.
    pub relu: bool,
}

super::multiversion! {
/// `y[p, :] = (from[p, :] + Σᵣ (factor · t[r, p]) · a[r, :]) + bias` for rows of `m` numbers, `r` ascending, or the
/// ReLU of that; `from` is `y` itself where it is `None`.
pub fn correct(y: &mut [f32], from: Option<&[f32]>, m: usize, correction: Correction<'_>) {
    let Correction { t, stride, a, factor, bias, relu } = correction;
    if let (Ok(a), Ok(bias)) = (a.try_into(), <&[f32; 16]>::try_from(if bias.is_empty() { &[-0.0; 16] } else { bias })) {
        sixteen_columns(y, from, m, (t, factor), a, bias);
        if relu {
            rectify(y);
        }
        return;
    }
    let rank = a.len() / m;
    for (p, y) in y.chunks_exact_mut(m).enumerate() {
        for (r, a) in a.chunks_exact(m).enumerate() {
            let c = t[r * stride + p] * factor;
            let bias = if r + 1 == rank { bias } else { &[] };
            match from.filter(|_| r == 0) {
                Some(from) => step(y, &from[p * m..][..m], c, a, bias),
                None => step_in_place(y, c, a, bias),
            }
        }
        // The row is still in the nearest cache.
        if relu {
            rectify(y);
        }
    }
}
}

/// One outer product and sixteen columns: the factors stay in registers. Adding -0 changes nothing.
// Indexed loops over the lanes are what stays in registers.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn sixteen_columns(
    y: &mut [f32],
    from: Option<&[f32]>,
    m: usize,
    (t, factor): (&[f32], f32),
    a: &[f32; 16],
    bias: &[f32; 16],
) {
    let (a, bias) = (*a, *bias);
    // A stride that the compiler does not know keeps it from gathering the same column of many rows.
    let rows = y.chunks_exact_mut(m).zip(t);
    if let Some(from) = from {
        for ((y, t), from) in rows.zip(from.chunks_exact(m)) {
            let (y, from, c) = (&mut y[..16], &from[..16], t * factor);
            for l in 0..16 {
                y[l] = c.mul_add(a[l], from[l]) + bias[l];
            }
        }
    } else {
        for (y, t) in rows {
            let (y, c) = (&mut y[..16], t * factor);
            for l in 0..16 {
                y[l] = c.mul_add(a[l], y[l]) + bias[l];
            }
        }
    }
}

#[inline(always)]
fn step(y: &mut [f32], from: &[f32], c: f32, a: &[f32], bias: &[f32]) {
    let all = y.iter_mut().zip(from).zip(a);
    if bias.is_empty() {
        all.for_each(|((y, from), a)| *y = c.mul_add(*a, *from));
    } else {
        all.zip(bias).for_each(|(((y, from), a), b)| *y = c.mul_add(*a, *from) + b);
    }
}

#[inline(always)]
fn step_in_place(y: &mut [f32], c: f32, a: &[f32], bias: &[f32]) {
    let all = y.iter_mut().zip(a);
    if bias.is_empty() {
        all.for_each(|(y, a)| *y = c.mul_add(*a, *y));
    } else {
        all.zip(bias).for_each(|((y, a), b)| *y = c.mul_add(*a, *y) + b);
    }
}

super::multiversion! {
/// Adds `bias` to every run of `bias.len()` numbers.
pub fn add_bias(y: &mut [f32], bias: &[f32]) {
    if bias.is_empty() {
        return;
    }
    for y in y.chunks_exact_mut(bias.len()) {
        for (y, b) in y.iter_mut().zip(bias) {
            *y += b;
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dot, numbers, with_each_isa};

    #[test]
    fn rows_times_factors_have_the_bits_of_dot() {
        for (rows, factors, k) in [(0, 3, 5), (1, 1, 1), (3, 4, 16), (4, 5, 17), (9, 9, 100), (21, 2, 37)] {
            let (x, b) = (numbers(rows * k, 1), numbers(factors * k, 2));
            with_each_isa(|isa| {
                let mut t = vec![f32::NAN; factors * (rows + 2)];
                dots(&mut t, rows + 2, &x, &b, k);
                for j in 0..factors {
                    for p in 0..rows {
                        let want = dot(&x[p * k..][..k], &b[j * k..][..k]);
                        assert_eq!(
                            t[j * (rows + 2) + p].to_bits(),
                            want.to_bits(),
                            "{isa:?} {rows} {factors} {k}"
                        );
                    }
                    assert!(t[j * (rows + 2) + rows..][..2].iter().all(|v| v.is_nan()), "wrote between rows");
                }
            });
        }
    }

    #[test]
    fn corrections_are_chains_over_the_rank_and_then_the_bias() {
        for (rows, m, rank, with_bias) in [
            (1, 1, 1, true),
            (3, 17, 1, false),
            (5, 33, 4, true),
            (2, 16, 3, false),
            (7, 16, 1, true),
            (3, 16, 1, false),
        ] {
            let (t, a) = (numbers(rank * rows, 3), numbers(rank * m, 4));
            let bias = numbers(if with_bias { m } else { 0 }, 5);
            let from = numbers(rows * m, 6);
            let correction =
                Correction { t: &t, stride: rows, a: &a, factor: -0.3, bias: &bias, relu: false };
            with_each_isa(|isa| {
                let mut in_place = from.clone();
                correct(&mut in_place, None, m, correction);
                let mut copied = vec![f32::NAN; rows * m];
                correct(&mut copied, Some(&from), m, correction);
                assert_eq!(in_place, copied);
                let mut rectified = vec![f32::NAN; rows * m];
                correct(&mut rectified, Some(&from), m, Correction { relu: true, ..correction });
                let want = |v: &f32| if *v > 0.0 { v.to_bits() } else { 0 };
                assert!(rectified.iter().zip(&copied).all(|(r, c)| r.to_bits() == want(c)), "{isa:?}");
                for (i, found) in copied.iter().enumerate() {
                    let (p, j) = (i / m, i % m);
                    let sum =
                        (0..rank).fold(from[i], |s, r| (t[r * rows + p] * -0.3).mul_add(a[r * m + j], s));
                    let want = if with_bias { sum + bias[j] } else { sum };
                    assert_eq!(found.to_bits(), want.to_bits(), "{isa:?} row {p} column {j} rank {rank}");
                }
            });
        }
    }
}
