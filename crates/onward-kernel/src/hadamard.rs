//! Walsh–Hadamard transforms: sums along all rows of a Hadamard matrix at once, `n log n` additions instead of `n²`.

use super::multiversion;
use super::product::{Panels, Start, product};

/// Entry `(k, j)` of the Hadamard matrices: `(-1)` to the number of ones that `k` and `j` share.
pub fn hadamard_sign(k: usize, j: usize) -> f32 {
    if (k & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 }
}

multiversion! {
/// The Walsh–Hadamard transform: block `k` becomes `Σₘ H[k, m] · block m`, for blocks of `width` numbers, whose count is a power of two.
pub fn walsh_hadamard(data: &mut [f32], width: usize) {
    let mut part = width;
    // Two of the textbook's rounds at a time: half the ways through memory, the same additions.
    while part * 4 <= data.len() {
        for four in data.chunks_exact_mut(part * 4) {
            let (ab, cd) = four.split_at_mut(part * 2);
            let ((a, b), (c, d)) = (ab.split_at_mut(part), cd.split_at_mut(part));
            for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                let (s, t, u, v) = (*a + *b, *a - *b, *c + *d, *c - *d);
                (*a, *b, *c, *d) = (s + u, t + v, s - u, t - v);
            }
        }
        part *= 4;
    }
    if part * 2 <= data.len() {
        let (a, b) = data.split_at_mut(part);
        for (a, b) in a.iter_mut().zip(b) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}
}

/// Products with rows of a Hadamard matrix: rows `base ± Σᵢ hₖᵢ · oddᵢ · W[:, jᵢ]` for the first `count` rows `hₖ` of a Hadamard matrix, `moved` being the `(jᵢ, oddᵢ)`:
/// row `2k` of `out` with plus, row `2k + 1` with minus, each `stride` numbers after the last.
///
/// `hₖ` with `k < c` (a power of two) repeats after `c` entries, so the terms are first added up in `c` sums, one for each
/// remainder of `i`; their transform gives all products. Cost: one product, `log₂ c` additions per result.
pub fn hadamard_products(
    weights: &Panels,
    moved: &[(u32, f32)],
    base: &[f32],
    count: usize,
    out: &mut [f32],
    stride: usize,
) {
    let width = weights.width();
    let mut sums = vec![0.0; count.next_power_of_two() * width];
    for (panel, base) in base.chunks(width).enumerate() {
        sums_by_remainder(weights.panel(panel), moved, &mut sums, width);
        walsh_hadamard(&mut sums, width);
        for (k, sum) in sums.chunks_exact(width).take(count).enumerate() {
            let (plus, minus) = out[2 * k * stride..].split_at_mut(stride);
            let at = panel * width..panel * width + base.len();
            plus_and_minus(base, sum, &mut plus[at.clone()], &mut minus[at]);
        }
    }
}

/// [`hadamard_products`] for many `rows` of `k` numbers, all of which move: row `s` of `base` and of each block of `out`, whose blocks are
/// `base.len()` numbers. With the bits of [`hadamard_products`]; a product over all rows for each remainder, so the weights come
/// by once.
pub fn hadamard_products_of_rows(weights: &Panels, odd: &[f32], base: &[f32], count: usize, out: &mut [f32]) {
    let (k, n, parts) = (weights.k(), weights.n(), count.next_power_of_two());
    let (rows, size) = (odd.len() / k, parts * n);
    let mut sums = vec![0.0; rows * size];
    for m in 0..parts.min(k) {
        let part = weights.every(parts, m);
        product(&mut sums[m * n..], size, &odd[m..], k, parts, rows, &part, Start::Zero);
    }
    for (s, (sums, base)) in sums.chunks_exact_mut(size).zip(base.chunks_exact(n)).enumerate() {
        walsh_hadamard(sums, n);
        for (pair, sum) in out.chunks_exact_mut(2 * rows * n).zip(sums.chunks_exact(n)).take(count) {
            let (plus, minus) = pair.split_at_mut(rows * n);
            let at = s * n..(s + 1) * n;
            plus_and_minus(base, sum, &mut plus[at.clone()], &mut minus[at]);
        }
    }
}

multiversion! {
/// Both neighbours of rows: `plus = base + change`, `minus = base − change`.
pub fn plus_and_minus(base: &[f32], change: &[f32], plus: &mut [f32], minus: &mut [f32]) {
    for (((b, c), p), m) in base.iter().zip(change).zip(plus).zip(minus) {
        (*p, *m) = (*b + *c, *b - *c);
    }
}
}

multiversion! {
/// `sums[m] = Σ oddᵢ · panel[jᵢ]` over the `i` with remainder `m`, each one chain in ascending `i`.
fn sums_by_remainder(panel: &[f32], moved: &[(u32, f32)], sums: &mut [f32], width: usize) {
    if width == 16 {
        sums_of::<16>(panel, moved, sums);
    } else {
        sums_of::<32>(panel, moved, sums);
    }
}
}

#[inline(always)]
fn sums_of<const W: usize>(panel: &[f32], moved: &[(u32, f32)], sums: &mut [f32]) {
    let (panel, sums) = (panel.as_chunks::<W>().0, sums.as_chunks_mut::<W>().0);
    let step = sums.len();
    for (m, sum) in sums.iter_mut().enumerate() {
        let mut chains = [0f32; W];
        // Not `step_by`, whose iterator is left as a call without the vectors' features.
        let mut i = m;
        while i < moved.len() {
            let (j, x) = moved[i];
            for (chain, w) in chains.iter_mut().zip(&panel[j as usize]) {
                *chain = x.mul_add(*w, *chain);
            }
            i += step;
        }
        *sum = chains;
    }
}

#[cfg(test)]
mod tests {
    use super::super::with_each_isa;
    use super::*;

    fn number(i: usize) -> f32 {
        ((i * 7919) % 193) as f32 / 96.0 - 1.0
    }

    #[test]
    fn transforms_agree_with_the_matrix_on_every_instruction_set() {
        for (blocks, width) in [(1, 3), (2, 1), (4, 5), (8, 16), (32, 2), (64, 1)] {
            let data: Vec<f32> = (0..blocks * width).map(number).collect();
            let mut first = None;
            with_each_isa(|isa| {
                let mut found = data.clone();
                walsh_hadamard(&mut found, width);
                for (at, found) in found.iter().enumerate() {
                    let (k, i) = (at / width, at % width);
                    let want: f64 = (0..blocks)
                        .map(|m| f64::from(hadamard_sign(k, m)) * f64::from(data[m * width + i]))
                        .sum();
                    assert!((f64::from(*found) - want).abs() < 1e-5, "{blocks} × {width}, {isa:?}");
                }
                assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{isa:?}");
            });
        }
    }

    #[test]
    fn products_along_a_hadamard_matrix_agree_with_one_product_each() {
        for (n, k, count) in [(1, 1, 1), (10, 7, 3), (16, 16, 16), (33, 20, 5), (70, 64, 64), (5, 40, 33)] {
            let w: Vec<f32> = (0..n * k).map(number).collect();
            // Columns out of order, and the last perhaps twice.
            let odd: Vec<f32> = (0..k).map(|i| number(i + 5)).collect();
            let moved: Vec<(u32, f32)> =
                odd.iter().enumerate().map(|(i, o)| ((i ^ 1).min(k - 1) as u32, *o)).collect();
            let base: Vec<f32> = (0..n).map(|i| number(i + 11)).collect();
            let (panels, stride) = (Panels::transposed(&w, n, k), n + 2);
            let mut first = None;
            with_each_isa(|isa| {
                let mut out = vec![f32::NAN; 2 * count * stride];
                hadamard_products(&panels, &moved, &base, count, &mut out, stride);
                for d in 0..count {
                    let mut x = vec![0f32; k];
                    moved
                        .iter()
                        .enumerate()
                        .for_each(|(i, (j, o))| x[*j as usize] += o * hadamard_sign(d, i));
                    let mut change = vec![0.0; n];
                    product(&mut change, n, &x, k, 1, 1, &panels, Start::Zero);
                    for j in 0..n {
                        let (plus, minus) = (out[2 * d * stride + j], out[(2 * d + 1) * stride + j]);
                        assert!((plus - base[j] - change[j]).abs() < 3e-5, "{n} × {k}, {d}, {isa:?}");
                        assert!((minus - base[j] + change[j]).abs() < 3e-5, "{n} × {k}, {d}, {isa:?}");
                    }
                }
                let bits: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
                assert_eq!(*first.get_or_insert_with(|| bits.clone()), bits, "{isa:?}");
            });
        }
    }

    #[test]
    fn many_rows_together_have_the_bits_of_each_alone() {
        for (rows, n, k, count) in
            [(1, 1, 1, 1), (5, 33, 20, 3), (40, 16, 64, 64), (9, 70, 257, 16), (3, 5, 7, 12)]
        {
            let w: Vec<f32> = (0..n * k).map(number).collect();
            let odd: Vec<f32> = (0..rows * k).map(|i| number(i + 5)).collect();
            let base: Vec<f32> = (0..rows * n).map(|i| number(i + 11)).collect();
            let panels = Panels::transposed(&w, n, k);
            with_each_isa(|isa| {
                let [mut each, mut all] = [(); 2].map(|()| vec![f32::NAN; 2 * count * rows * n]);
                for s in 0..rows {
                    let moved: Vec<(u32, f32)> = (0..k).map(|j| (j as u32, odd[s * k + j])).collect();
                    let own = &base[s * n..][..n];
                    hadamard_products(&panels, &moved, own, count, &mut each[s * n..], rows * n);
                }
                hadamard_products_of_rows(&panels, &odd, &base, count, &mut all);
                let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&each), bits(&all), "{rows} × {n} × {k}, {count} on {isa:?}");
            });
        }
    }
}
