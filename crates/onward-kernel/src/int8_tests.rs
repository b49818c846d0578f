use super::*;
use crate::{at_borders, numbers, with_each_isa};
use proptest::prelude::*;

/// Sizes next to those of tiles, panels, blocks and padding, and primes.
const M: [usize; 14] = [0, 1, 2, 3, 4, 5, 7, 12, 13, 14, 15, 29, 47, 150];
const N: [usize; 12] = [0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 97, 160];
const K: [usize; 12] = [0, 1, 3, 4, 5, 63, 64, 65, 131, 511, 513, 1031];

fn bytes_of(n: usize, salt: u32) -> Vec<i8> {
    (0..n as u32)
        .map(|i| ((i.wrapping_mul(2_654_435_761) ^ salt).wrapping_mul(2_246_822_519) >> 24) as i8)
        .collect()
}

fn exact(x: &[i8], w: &[i8], [i, j, k]: [usize; 3]) -> i32 {
    (0..k).map(|kk| i32::from(x[i * k + kk]) * i32::from(w[j * k + kk])).sum()
}

/// Every path gives exactly the sums, and touches nothing else.
fn check([m, n, k]: [usize; 3], salt: u32, start: Start) {
    let (x, w) = (bytes_of(m * k, salt), bytes_of(n * k, !salt));
    let stride = n + 3;
    let mut rows = Int8Rows::default();
    rows.pack_bytes(&x, k, m, k);
    let panels = Int8Panels::transposed_bytes(&w, n, k);
    let want: Vec<i32> = (0..m * n).map(|at| exact(&x, &w, [at / n, at % n, k])).collect();
    with_each_isa(|isa| {
        let mut c = vec![i32::MIN; m * stride + 5];
        product_int8(Window::new(&mut c, stride, m, n), &rows, &panels, start);
        for (i, row) in c.chunks(stride).enumerate() {
            let real = if i < m { n } else { 0 };
            assert!(row[real..].iter().all(|v| *v == i32::MIN), "beyond row {i} on {isa:?}");
            for (j, found) in row[..real].iter().enumerate() {
                let sum = want[i * n + j];
                let sum = if start == Start::Add { sum.wrapping_add(i32::MIN) } else { sum };
                assert_eq!(*found, sum, "[{i}, {j}] of {m} × {n} × {k} on {isa:?}");
            }
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
    fn products_of_random_shapes(m in 0usize..40, n in 0usize..140, k in 0usize..600, salt: u32, add: bool) {
        check([m, n, k], salt, if add { Start::Add } else { Start::Zero });
    }
}

#[test]
fn the_longest_sums_of_the_largest_bytes_do_not_overflow() {
    let k = LONGEST_INT8;
    for (a, b) in [(-128, -128), (-128, 127), (127, 127)] {
        let mut rows = Int8Rows::default();
        rows.pack_bytes(&vec![a; k], k, 1, k);
        let panels = Int8Panels::transposed_bytes(&vec![b; k], 1, k);
        with_each_isa(|isa| {
            let mut c = [0];
            product_int8(Window::new(&mut c, 1, 1, 1), &rows, &panels, Start::Zero);
            assert_eq!(c, [i32::from(a) * i32::from(b) * k as i32], "{isa:?}");
        });
    }
}

#[test]
#[should_panic(expected = "overflow")]
fn longer_sums_are_refused() {
    let k = LONGEST_INT8 + 1;
    let mut rows = Int8Rows::default();
    rows.pack_bytes(&vec![0; k], k, 1, k);
    let panels = Int8Panels::transposed_bytes(&vec![0; k], 1, k);
    product_int8(Window::new(&mut [0], 1, 1, 1), &rows, &panels, Start::Zero);
}

/// The scaled product is the documented expression to the bit, and near the product of the numbers themselves.
#[test]
fn scaled_products_are_what_is_documented() {
    let [m, n, k] = [37, 75, 301];
    let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
    let mut rows = Int8Rows::default();
    rows.pack(&x, k, m, k);
    let panels = Int8Panels::transposed(&w, n, k);
    let mut sums = vec![0; m * n];
    product_int8(Window::new(&mut sums, n, m, n), &rows, &panels, Start::Zero);
    with_each_isa(|isa| {
        let (mut c, mut more) = (vec![f32::NAN; m * n], vec![0.7; m * n]);
        product_int8_scaled(Window::new(&mut c, n, m, n), &rows, &panels, Start::Zero);
        product_int8_scaled(Window::new(&mut more, n, m, n), &rows, &panels, Start::Add);
        for (at, found) in c.iter().enumerate() {
            let (i, j) = (at / n, at % n);
            let want = sums[at] as f32 * (rows.scales()[i] * panels.scales()[j]);
            assert_eq!(
                (found.to_bits(), more[at].to_bits()),
                (want.to_bits(), (0.7 + want).to_bits()),
                "{isa:?}"
            );
            // Half a step on either side of each product: k · (½ + ½ + ¼/127) / 127 for numbers below 1, and f32's rounding.
            let real: f64 = (0..k).map(|kk| f64::from(x[i * k + kk]) * f64::from(w[j * k + kk])).sum();
            assert!(
                (f64::from(*found) - real).abs() <= 1.01 * k as f64 / 127.0,
                "[{i}, {j}]: {found}, not {real}"
            );
            assert!((f64::from(*found) - real).abs() <= 8.0 * (k as f64).sqrt() / 127.0);
        }
    });
}

#[test]
fn parts_of_a_product_have_the_bits_of_the_whole() {
    let [m, n, k] = [145, 210, 333];
    let (x, w) = (numbers(m * k, 5), numbers(n * k, 6));
    let (mut rows, panels) =
        (Int8Rows::default(), Int8Panels::from_rows(n, k, |j, row| row.copy_from_slice(&w[j * k..][..k])));
    rows.pack(&x, k, m, k);
    with_each_isa(|isa| {
        let mut whole = vec![f32::NAN; m * n];
        product_int8_scaled(Window::new(&mut whole, n, m, n), &rows, &panels, Start::Zero);
        for at in [0, 1, 2, 17, 144] {
            let mut parts = vec![f32::NAN; m * n];
            let (top, bottom) = Window::new(&mut parts, n, m, n).split_rows(at);
            let (left, right) = bottom.split_columns(3 * panels.width());
            for part in [right, top, left] {
                product_int8_scaled(part, &rows, &panels, Start::Zero);
            }
            assert_eq!(parts, whole, "split at row {at} on {isa:?}");
        }
    });
}

#[test]
fn quantising_rounds_to_nearest_on_every_instruction_set() {
    for n in [0, 1, 2, 15, 16, 17, 63, 257] {
        let mut x = numbers(n, n as u32);
        if n > 2 {
            // A largest number of 127 makes the steps whole, so halves are ties.
            (x[0], x[1], x[2]) = (127.0, 2.5, -3.5);
        }
        let largest = x.iter().fold(0f32, |s, v| s.max(v.abs()));
        let want: Vec<i8> = x.iter().map(|v| (v * (127.0 / largest)).round_ties_even() as i8).collect();
        with_each_isa(|isa| {
            let mut q = vec![99; n];
            assert_eq!(quantise(&mut q, &x), largest / 127.0, "{n} numbers on {isa:?}");
            assert_eq!(q, want, "{n} numbers on {isa:?}");
        });
        if n > 2 {
            assert_eq!(want[..3], [127, 2, -4]);
        }
    }
}

#[test]
fn extreme_rows_are_quantised_within_half_a_step_or_marked() {
    with_each_isa(|isa| {
        for largest in [f32::MAX, 1.0, 1.5e-36, f32::MIN_POSITIVE, f32::from_bits(1), 0.0] {
            let x: Vec<f32> = (0..40).map(|i| largest * (i as f32 / 20.0 - 1.0).max(-1.0)).collect();
            let mut q = vec![99; x.len()];
            let scale = quantise(&mut q, &x);
            assert_eq!(scale == 0.0, largest < 1.5e-36, "{largest:e} on {isa:?}");
            let step = f64::from(scale).max(1.5e-36 * 2.0);
            for (x, q) in x.iter().zip(&q) {
                let error = (f64::from(*x) - f64::from(*q) * f64::from(scale)).abs();
                assert!(error <= 0.5001 * step, "{x:e} became {q} · {scale:e} on {isa:?}");
            }
        }
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = numbers(50, 3);
            x[37] = wrong;
            let mut q = vec![99; x.len()];
            assert!(quantise(&mut q, &x).is_nan() && q == [0; 50], "{wrong} on {isa:?}");
        }
    });
}

#[test]
fn what_is_not_finite_marks_its_row_and_its_column() {
    let [m, n, k] = [3, 40, 70];
    let (mut x, mut w) = (vec![1.0; m * k], vec![1.0; n * k]);
    (x[k + 69], w[5 * k]) = (f32::INFINITY, f32::NAN);
    x[2 * k..].fill(0.0);
    let mut rows = Int8Rows::default();
    rows.pack(&x, k, m, k);
    let mut c = vec![7.0; m * n];
    product_int8_scaled(Window::new(&mut c, n, m, n), &rows, &Int8Panels::transposed(&w, n, k), Start::Zero);
    for (at, v) in c.iter().enumerate() {
        let (i, j) = (at / n, at % n);
        assert_eq!(v.is_nan(), i == 1 || j == 5, "[{i}, {j}] is {v}");
        assert!(v.is_nan() || (i == 2 && *v == 0.0) || (v - 70.0).abs() < 1e-4, "[{i}, {j}] is {v}");
    }
}

#[test]
fn panels_lie_in_memory_as_documented() {
    let (n, k) = (37, 67);
    let w = bytes_of(n * k, 3);
    let panels = Int8Panels::transposed_bytes(&w, n, k);
    let data = bytes(panels.columns.data());
    assert_eq!((data.len(), data.as_ptr().addr() % 64), (2 * 32 * 128, 0));
    for panel in 0..2 {
        for kk in 0..128 {
            for column in 0..32 {
                let j = panel * 32 + column;
                let want = if j < n && kk < k { w[j * k + kk] } else { 0 };
                assert_eq!(data[((panel * 32 + kk / 4) * 32 + column) * 4 + kk % 4], want);
            }
        }
    }
}
