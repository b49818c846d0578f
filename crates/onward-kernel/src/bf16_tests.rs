use super::*;
use crate::{Isa, at_borders, numbers, with_each_isa};
use proptest::prelude::*;
use std::io::Write;

/// Sizes next to those of tiles, panels, blocks and padding, and primes.
const M: [usize; 14] = [0, 1, 2, 3, 4, 5, 7, 12, 13, 14, 15, 29, 47, 130];
const N: [usize; 12] = [0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 97, 160];
const K: [usize; 11] = [0, 1, 2, 3, 31, 32, 33, 67, 255, 256, 521];

/// The kinds that have instructions of their own.
const KINDS: [Bf16Arithmetic; 2] = [Bf16Arithmetic::Avx512Bf16, Bf16Arithmetic::Amx];

fn product(
    x: &[f32],
    w: &[f32],
    [m, n, k]: [usize; 3],
    c: &mut [f32],
    stride: usize,
    start: Start,
    kind: Bf16Arithmetic,
) {
    let mut rows = Bf16Rows::default();
    rows.pack(x, k, m, k);
    product_bf16(Window::new(c, stride, m, n), &rows, &Bf16Panels::transposed(w, n, k, kind), start);
}

/// What all signs and contents of NaN are taken for.
fn bits(c: &[f32]) -> Vec<u32> {
    c.iter().map(|v| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() }).collect()
}

/// The product by the definition of its kind, each operation in f64 and rounded once.
fn by_definition(x: &[f32], w: &[f32], before: f32, kind: Bf16Arithmetic) -> f32 {
    let flush = emulated::rounded;
    let number = |v: &f32| f64::from(from_bf16(to_bf16(*v)));
    let mut terms: Vec<[f64; 2]> = x.iter().zip(w).map(|(x, w)| [number(x), number(w)]).collect();
    // Zeros up to 32 numbers count: they make the sign of a zero positive.
    terms.resize(terms.len().next_multiple_of(32), [0.0; 2]);
    let flushed = |s: f64, [x, w]: [f64; 2]| flush(flush(x) * flush(w) + s);
    let before = f64::from(before);
    let sum = if kind == Bf16Arithmetic::Amx {
        terms.chunks(32).fold(before, |s, step| {
            let chain =
                |from: usize| step.iter().skip(from).step_by(2).fold(0.0, |s, term| flushed(s, *term));
            flush(flush(s) + flush(chain(0) + chain(1)))
        })
    } else {
        terms.chunks(2).fold(before, |s, pair| flushed(flushed(flush(s), pair[1]), pair[0]))
    };
    sum as f32
}

/// Every path of every kind, and against f64.
fn check([m, n, k]: [usize; 3], salt: u32, start: Start) {
    let (x, w) = (numbers(m * k, salt), numbers(n * k, !salt));
    check_bits(&x, &w, [m, n, k], start, |found, x, w, before| {
        let of = |v: &f32| f64::from(from_bf16(to_bf16(*v)));
        let terms = x.iter().zip(w).map(|(x, w)| of(x) * of(w));
        let (want, size) = terms.fold((before, before.abs()), |(s, t), v| (s + v, t + v.abs()));
        let bound = size * (k + 1) as f64 * 2f64.powi(-23);
        assert!((f64::from(found) - want).abs() <= bound, "{m} × {n} × {k}: {found}, not {want}");
    });
}

/// Every path of every kind against its definition, to the bit; `near` is shown each number with what it is made of.
fn check_bits(
    x: &[f32],
    w: &[f32],
    [m, n, k]: [usize; 3],
    start: Start,
    near: impl Fn(f32, &[f32], &[f32], f64),
) {
    let stride = n + 3;
    let (first, before) = if start == Start::Add { (0.375, 0.375) } else { (f32::NAN, 0.0) };
    for kind in KINDS {
        let mut want = vec![first; m * stride + 5];
        for (i, row) in want.chunks_mut(stride).enumerate().take(m) {
            for (j, out) in row.iter_mut().enumerate().take(n) {
                let (x, w) = (&x[i * k..][..k], &w[j * k..][..k]);
                *out = by_definition(x, w, before, kind);
                near(*out, x, w, before.into());
            }
        }
        with_each_isa(|isa| {
            let mut c = vec![first; m * stride + 5];
            product(x, w, [m, n, k], &mut c, stride, start, kind);
            assert_eq!(bits(&c), bits(&want), "{m} × {n} × {k} in {kind:?} on {isa:?}");
        });
    }
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

/// Numbers of any size, and what is special among them: zeros, the least normal numbers, subnormal and infinite ones and NaN.
fn any_numbers(n: usize, salt: u32, centre: u32) -> Vec<f32> {
    let number = |i: u32| {
        let word = (i.wrapping_mul(2_654_435_761) ^ salt).wrapping_mul(2_246_822_519);
        let word = (word ^ word >> 15).wrapping_mul(3_266_489_917);
        let exponent = match word >> 8 & 31 {
            0 => 0,
            1 => word >> 13 & 255,
            _ => centre + (word >> 13 & 7),
        };
        let digits = if word & 12 == 0 { 0 } else { word & 0x007f_0000 };
        f32::from_bits(word & 0x8000_0000 | exponent << 23 | digits)
    };
    (0..n as u32).map(number).collect()
}

#[test]
fn instructions_and_their_emulation_agree_on_any_numbers() {
    if Isa::available() < Isa::Amx {
        let words =
            "no AMX here: its products of tiles are compared with their definition in emulation alone";
        writeln!(std::io::stderr(), "{words}").unwrap();
    }
    // Exponents at which products are near one, near the least normal number, below it, and near the largest.
    for (round, centre) in [124, 60, 62, 50, 0, 188].into_iter().cycle().take(60).enumerate() {
        let [m, n, k] = [5, 33, 70 + round % 3];
        let (x, w) = (any_numbers(m * k, round as u32, centre), any_numbers(n * k, !(round as u32), centre));
        check_bits(&x, &w, [m, n, k], if round % 2 == 0 { Start::Zero } else { Start::Add }, |_, _, _, _| ());
    }
}

/// A sum that is below the normal numbers, but rounds to one where there are subnormal ones: flushing asks what it would round to
/// if exponents had no end.
#[test]
fn sums_next_to_the_least_normal_number_are_flushed_as_processors_do() {
    let half = 2f32.powi(-75);
    for (share, flushes) in
        [(0.25, false), (0.5, false), (0.503_906_25, true), (0.75, true), (1.0, true), (1.25, true)]
    {
        for sign in [1.0, -1.0] {
            // Of each pair the second is added first; both lie at even places.
            let x = [sign * 2f32.powi(-63), 0.0, -sign * half * share, 0.0];
            let w = [2f32.powi(-63), 0.0, half, 0.0];
            for kind in KINDS {
                let want = if flushes { 0.0 } else { sign * f32::MIN_POSITIVE };
                with_each_isa(|isa| {
                    let mut c = [f32::NAN];
                    product(&x, &w, [1, 1, 4], &mut c, 1, Start::Zero, kind);
                    assert_eq!(c, [want], "{share} in {kind:?} on {isa:?}");
                });
            }
        }
    }
}

#[test]
fn parts_of_a_product_have_the_bits_of_the_whole() {
    let [m, n, k] = [45, 210, 777];
    let (x, w) = (numbers(m * k, 5), numbers(n * k, 6));
    let mut rows = Bf16Rows::default();
    rows.pack(&x, k, m, k);
    for kind in KINDS {
        let panels = Bf16Panels::transposed(&w, n, k, kind);
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
                assert_eq!(parts, whole, "split at row {at} in {kind:?} on {isa:?}");
            }
        });
    }
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
    let panels = Bf16Panels::transposed(&w, n, k, KINDS[0]);
    let (mut found, mut want) = (vec![f32::NAN; m * n], vec![f32::NAN; m * n]);
    product_bf16(Window::new(&mut found, n, m, n), &strided, &panels, Start::Zero);
    product_bf16(Window::new(&mut want, n, m, n), &copied, &panels, Start::Zero);
    assert_eq!(found, want);
    assert_eq!((strided.m(), strided.k(), strided.row(2)), (m, k, copied.row(2)));
    assert!(strided.row(2)[k..].iter().all(|v| *v == 0) && strided.row(2).len() == 64);
    assert!(strided.stride() >= 128 && strided.row(1).as_ptr().addr() % 64 == 0);
}

#[test]
fn panels_lie_in_memory_as_documented() {
    let (n, k) = (37, 35);
    let w = numbers(n * k, 3);
    let panels = Bf16Panels::transposed(&w, n, k, KINDS[0]);
    let data = halves(panels.columns.data());
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

/// Every exponent and sign, with parts that decide which way a number goes, in runs with and without subnormal numbers.
#[test]
fn rounding_has_the_same_bits_on_every_instruction_set() {
    let parts = [
        0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1_7fff, 0x1_8000, 0x2a_5555, 0x7f_7fff, 0x7f_8000, 0x7f_ffff,
    ];
    let all: Vec<f32> =
        (0..512u32).flat_map(|top| parts.map(|part| f32::from_bits(top << 23 | part))).collect();
    let backwards: Vec<f32> = all.iter().rev().copied().collect();
    for x in [&all[..], &backwards, &all[12..12 * 255], &all[5..41], &all[..31], &[]] {
        let want: Vec<u16> = x.iter().map(|v| to_bf16(*v)).collect();
        with_each_isa(|isa| {
            let mut found = vec![7; x.len() + 2];
            round_to_bf16(&mut found, x);
            assert_eq!(found[..x.len()], want, "{isa:?}");
            assert_eq!(found[x.len()..], [7, 7]);
        });
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    let [m, n, k] = [4, 40, 33];
    let mut x = vec![1.0; m * k];
    (x[k + 32], x[2 * k], x[3 * k]) = (f32::NAN, f32::INFINITY, f32::MAX);
    for kind in KINDS {
        with_each_isa(|isa| {
            let mut c = vec![0.0; m * n];
            product(&x, &vec![1.0; n * k], [m, n, k], &mut c, n, Start::Zero, kind);
            assert!(c[..n].iter().all(|v| *v == 33.0), "{kind:?} on {isa:?}");
            assert!(c[n..2 * n].iter().all(|v| v.is_nan()), "{kind:?} on {isa:?}");
            assert!(c[2 * n..].iter().all(|v| *v == f32::INFINITY), "{kind:?} on {isa:?}");
        });
    }
}

#[test]
fn subnormal_numbers_are_flushed() {
    let (tiny, k) = (f32::from_bits(0x0040_0000), 4);
    for kind in KINDS {
        with_each_isa(|isa| {
            let mut c = [f32::NAN];
            product(&vec![tiny; k], &vec![1.0; k], [1, 1, k], &mut c, 1, Start::Zero, kind);
            assert_eq!(c, [0.0], "{kind:?} on {isa:?}");
        });
    }
}

#[test]
#[should_panic(expected = "chains are products of f32")]
fn chains_have_no_panels_of_their_own() {
    let _ = Bf16Panels::transposed(&[0.0; 4], 1, 4, Bf16Arithmetic::Chain);
}

#[test]
#[should_panic(expected = "split a panel")]
fn panels_are_not_split() {
    let mut rows = Bf16Rows::default();
    rows.pack(&[0.0; 4], 4, 1, 4);
    let mut c = [0.0; 40];
    let (left, _) = Window::new(&mut c, 40, 1, 40).split_columns(20);
    product_bf16(left, &rows, &Bf16Panels::transposed(&[0.0; 160], 40, 4, KINDS[0]), Start::Zero);
}

#[test]
#[should_panic(expected = "sums over")]
fn sides_must_agree() {
    let mut rows = Bf16Rows::default();
    rows.pack(&[0.0; 4], 4, 1, 4);
    let panels = Bf16Panels::transposed(&[0.0; 5], 1, 5, KINDS[0]);
    product_bf16(Window::new(&mut [0.0], 1, 1, 1), &rows, &panels, Start::Zero);
}
