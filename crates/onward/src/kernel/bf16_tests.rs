use super::*;
use crate::kernel::{at_borders, numbers, with_each_isa};
use proptest::prelude::*;

/// Sizes next to those of tiles, panels, blocks and padding, and primes.
const M: [usize; 14] = [0, 1, 2, 3, 4, 5, 7, 12, 13, 14, 15, 29, 47, 130];
const N: [usize; 12] = [0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 97, 160];
const K: [usize; 11] = [0, 1, 2, 3, 31, 32, 33, 67, 255, 256, 521];

fn product(x: &[f32], w: &[f32], [m, n, k]: [usize; 3], c: &mut [f32], stride: usize, start: Start) {
    let mut rows = Bf16Rows::default();
    rows.pack(x, k, m, k);
    product_bf16(Window::new(c, stride, m, n), &rows, &Bf16Panels::transposed(w, n, k), start);
}

/// Every path against f64, and those with fused multiply-adds against each other, to the bit.
fn check([m, n, k]: [usize; 3], salt: u32, start: Start) {
    let (x, w) = (numbers(m * k, salt), numbers(n * k, !salt));
    let stride = n + 3;
    let first = if start == Start::Add { 0.375 } else { f32::NAN };
    let mut exact: Option<Vec<u32>> = None;
    with_each_isa(|isa| {
        let mut c = vec![first; m * stride + 5];
        product(&x, &w, [m, n, k], &mut c, stride, start);
        for (i, row) in c.chunks(stride).enumerate() {
            let real = if i < m { n } else { 0 };
            assert!(row[real..].iter().all(|v| v.to_bits() == first.to_bits()), "beyond row {i} on {isa:?}");
            for (j, found) in row[..real].iter().enumerate() {
                let of = |v: &[f32], at| f64::from(from_bf16(to_bf16(v[at])));
                let terms = (0..k).map(|kk| of(&x, i * k + kk) * of(&w, j * k + kk));
                let begin = if start == Start::Add { f64::from(first) } else { 0.0 };
                let (want, size) = terms.fold((begin, begin), |(s, t), v| (s + v, t + v.abs()));
                let bound = size * (k + 1) as f64 * 2f64.powi(-23);
                assert!(
                    (f64::from(*found) - want).abs() <= bound,
                    "[{i}, {j}] of {m} × {n} × {k} on {isa:?}: {found}, not {want}"
                );
            }
        }
        if isa < Isa::Avx512Bf16 {
            let bits: Vec<u32> = c.iter().map(|v| v.to_bits()).collect();
            assert_eq!(exact.get_or_insert_with(|| bits.clone()), &bits, "{m} × {n} × {k} on {isa:?}");
        }
    });
}

#[test]
fn products_at_the_borders_of_blocks() {
    at_borders(&M, &N, &K, check);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn products_of_random_shapes(m in 0usize..40, n in 0usize..140, k in 0usize..300, salt: u32, add: bool) {
        check([m, n, k], salt, if add { Start::Add } else { Start::Zero });
    }
}

#[test]
fn parts_of_a_product_have_the_bits_of_the_whole() {
    let [m, n, k] = [45, 210, 777];
    let (x, w) = (numbers(m * k, 5), numbers(n * k, 6));
    let (mut rows, panels) = (Bf16Rows::default(), Bf16Panels::transposed(&w, n, k));
    rows.pack(&x, k, m, k);
    with_each_isa(|isa| {
        let mut whole = vec![f32::NAN; m * n];
        product_bf16(Window::new(&mut whole, n, m, n), &rows, &panels, Start::Zero);
        for at in [0, 1, 2, 17, 44] {
            let mut parts = vec![f32::NAN; m * n];
            let (top, bottom) = Window::new(&mut parts, n, m, n).split_rows(at);
            let (left, right) = bottom.split_columns(3 * panels.width());
            for part in [right, top, left] {
                product_bf16(part, &rows, &panels, Start::Zero);
            }
            assert_eq!(parts, whole, "split at row {at} on {isa:?}");
        }
    });
}

#[test]
fn rows_may_be_strided_and_begin_anywhere() {
    let [m, n, k, stride] = [5, 20, 37, 41];
    let (x, w) = (numbers(m * stride + 1, 5), numbers(n * k, 6));
    let dense: Vec<f32> = x[1..].chunks(stride).take(m).flat_map(|row| &row[..k]).copied().collect();
    let (mut strided, mut copied) = (Bf16Rows::default(), Bf16Rows::default());
    // What was there before must not be seen.
    strided.pack(&numbers(400, 9), 100, 4, 100);
    strided.pack(&x[1..], stride, m, k);
    copied.pack(&dense, k, m, k);
    let mut formed = vec![f32::NAN; m * n];
    let from_rows = Bf16Panels::from_rows(n, k, |j, row| row.copy_from_slice(&w[j * k..][..k]));
    product_bf16(Window::new(&mut formed, n, m, n), &strided, &from_rows, Start::Zero);
    let mut want = vec![f32::NAN; m * n];
    product_bf16(Window::new(&mut want, n, m, n), &copied, &Bf16Panels::transposed(&w, n, k), Start::Zero);
    assert_eq!(formed, want);
    assert_eq!((strided.m(), strided.k(), strided.row(2)), (m, k, copied.row(2)));
    assert!(strided.row(2)[k..].iter().all(|v| *v == 0) && strided.row(2).len() == 64);
    assert!(strided.stride() >= 128 && strided.row(1).as_ptr().addr() % 64 == 0);
}

#[test]
fn panels_lie_in_memory_as_documented() {
    let (n, k) = (37, 35);
    let w = numbers(n * k, 3);
    let panels = Bf16Panels::transposed(&w, n, k);
    let data = halves(panels.0.data());
    assert_eq!((data.len(), data.as_ptr().addr() % 64), (2 * 32 * 64, 0));
    for panel in 0..2 {
        for kk in 0..64 {
            for column in 0..32 {
                let j = panel * 32 + column;
                let want = if j < n && kk < k { to_bf16(w[j * k + kk]) } else { 0 };
                assert_eq!(data[((panel * 32 + kk / 2) * 32 + column) * 2 + kk % 2], want);
            }
        }
    }
}

#[test]
fn rounding_is_to_nearest_with_ties_to_even() {
    let nearest = |x: f32| {
        // The two neighbours, by truncation in each direction, compared in f64.
        let low = (x.to_bits() >> 16) as u16;
        let [a, b] = [low, low + 1].map(|v| (f64::from(from_bf16(v)) - f64::from(x)).abs());
        if a < b || (a == b && low.is_multiple_of(2)) { low } else { low + 1 }
    };
    for i in 0..200_000u32 {
        let bits = i.wrapping_mul(2_654_435_761);
        let x = f32::from_bits(if i % 4 == 0 { bits & 0xffff_8000 } else { bits });
        if x.is_finite() && x.abs() < 3.3e38 {
            assert_eq!(to_bf16(x), nearest(x), "{x:e}");
        }
    }
    assert_eq!(to_bf16(f32::MAX), 0x7f80);
    assert_eq!([f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0].map(to_bf16), [0x7f80, 0xff80, 0, 0x8000]);
    for nan in [0x7f80_0001, 0xff80_0001, 0x7fff_ffff, 0xffff_ffff] {
        assert!(from_bf16(to_bf16(f32::from_bits(nan))).is_nan());
    }
    let x: Vec<f32> = (0..99_991u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761))).collect();
    let want: Vec<u16> = x.iter().map(|x| to_bf16(*x)).collect();
    with_each_isa(|isa| {
        let mut found = vec![1; x.len()];
        round_to_bf16(&mut found, &x);
        assert_eq!(found, want, "{isa:?}");
    });
}

#[test]
fn what_is_not_finite_stays_so() {
    let [m, n, k] = [4, 40, 33];
    let mut x = vec![1.0; m * k];
    (x[k + 32], x[2 * k], x[3 * k]) = (f32::NAN, f32::INFINITY, f32::MAX);
    with_each_isa(|isa| {
        let mut c = vec![0.0; m * n];
        product(&x, &vec![1.0; n * k], [m, n, k], &mut c, n, Start::Zero);
        assert!(c[..n].iter().all(|v| *v == 33.0), "{isa:?}");
        assert!(c[n..2 * n].iter().all(|v| v.is_nan()), "{isa:?}");
        assert!(c[2 * n..].iter().all(|v| *v == f32::INFINITY), "{isa:?}");
    });
}

#[test]
fn subnormal_numbers_are_kept_or_flushed_but_nothing_else() {
    let (tiny, k) = (f32::from_bits(0x0040_0000), 4);
    with_each_isa(|isa| {
        let mut c = [f32::NAN];
        product(&vec![tiny; k], &vec![1.0; k], [1, 1, k], &mut c, 1, Start::Zero);
        let want = if isa >= Isa::Avx512Bf16 { 0.0 } else { 4.0 * tiny };
        assert_eq!(c, [want], "{isa:?}");
    });
}

#[test]
#[should_panic(expected = "split a panel")]
fn panels_are_not_split() {
    let mut rows = Bf16Rows::default();
    rows.pack(&[0.0; 4], 4, 1, 4);
    let mut c = [0.0; 40];
    let (left, _) = Window::new(&mut c, 40, 1, 40).split_columns(20);
    product_bf16(left, &rows, &Bf16Panels::transposed(&[0.0; 160], 40, 4), Start::Zero);
}

#[test]
#[should_panic(expected = "sums over")]
fn sides_must_agree() {
    let mut rows = Bf16Rows::default();
    rows.pack(&[0.0; 4], 4, 1, 4);
    let panels = Bf16Panels::transposed(&[0.0; 5], 1, 5);
    product_bf16(Window::new(&mut [0.0], 1, 1, 1), &rows, &panels, Start::Zero);
}
