//! Products in f32, bf16 and int8 on one thread, next to what the processor can do on registers alone, measured in the same
//! run: billions of operations per second, and the share of that limit.
//!
//!     cargo run --release -p onward-bench --bin precisions
//!
//! Left sides are packed and rounded within the time ("and packing") or before it; right sides are packed before: weights are
//! packed once per step and used by all probes.

use onward::kernel::{
    Bf16Panels, Bf16Rows, Int8Panels, Int8Rows, Panels, Precision, Start, Window, product, product_bf16,
    product_int8_scaled, spin,
};
use onward_bench::{Times, alternately, numbers, print_table};
use std::hint::black_box;

/// m × n × k and rounds.
const SIZES: [([usize; 3], usize); 6] = [
    ([2048, 2048, 2048], 9),
    ([256, 2048, 2048], 41),
    ([32, 4096, 4096], 41),
    ([8, 4096, 4096], 61),
    ([1, 4096, 4096], 81),
    ([1024, 256, 256], 81),
];

fn main() {
    let mut rows = Vec::new();
    for (size, rounds) in SIZES {
        rows.extend(compare(size, rounds));
    }
    print_table(&["work", "type", "Gop/s", "and packing", "registers alone", "share of it", "best"], &rows);
}

/// Rounds of multiply-adds on registers alone.
const ROUNDS: u64 = 30_000;

fn alone(precision: Precision) {
    black_box(spin(precision, ROUNDS));
}

fn compare([m, n, k]: [usize; 3], rounds: usize) -> Vec<Vec<String>> {
    let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
    let (f32s, bf16s, int8s) =
        (Panels::transposed(&w, n, k), Bf16Panels::transposed(&w, n, k), Int8Panels::transposed(&w, n, k));
    let (mut halves, mut bytes) = (Bf16Rows::default(), Int8Rows::default());
    let (mut halves_again, mut bytes_again) = (Bf16Rows::default(), Int8Rows::default());
    halves.pack(&x, k, m, k);
    bytes.pack(&x, k, m, k);
    let [mut a, mut b, mut c, mut d, mut e] = [(); 5].map(|()| vec![0.0; m * n]);
    let times = alternately(
        rounds,
        &mut [
            &mut || alone(Precision::F32),
            &mut || product(black_box(&mut a), n, &x, k, 1, m, &f32s, Start::Zero),
            &mut || alone(Precision::Bf16),
            &mut || product_bf16(Window::new(black_box(&mut b), n, m, n), &halves, &bf16s, Start::Zero),
            &mut || {
                halves_again.pack(&x, k, m, k);
                product_bf16(Window::new(black_box(&mut c), n, m, n), &halves_again, &bf16s, Start::Zero);
            },
            &mut || alone(Precision::Int8),
            &mut || product_int8_scaled(Window::new(black_box(&mut d), n, m, n), &bytes, &int8s, Start::Zero),
            &mut || {
                bytes_again.pack(&x, k, m, k);
                product_int8_scaled(
                    Window::new(black_box(&mut e), n, m, n),
                    &bytes_again,
                    &int8s,
                    Start::Zero,
                );
            },
        ],
    );
    assert!(b == c && d == e);
    let operations = 2.0 * (m * n * k) as f64;
    let row = |precision: Precision, peak: Times, work: Times, packing: Times| {
        let limit = spin(precision, ROUNDS) as f64;
        let rate = |operations: f64, seconds: f64| operations / seconds / 1e9;
        let share = |t: fn(Times) -> f64| rate(operations, t(work)) / rate(limit, t(peak));
        let mut row = vec![format!("{m} × {n} × {k}"), precision.name().to_owned()];
        row.extend([work.median, packing.median].map(|t| format!("{:.0}", rate(operations, t))));
        row.push(format!("{:.0}", rate(limit, peak.median)));
        row.extend([share(|t| t.median), share(|t| t.best)].map(|s| format!("{s:.2}")));
        row
    };
    let [peak_f32, f32, peak_bf16, bf16, bf16_packing, peak_int8, int8, int8_packing] =
        times.try_into().unwrap_or([Times { median: f64::NAN, best: f64::NAN }; 8]);
    vec![
        row(Precision::F32, peak_f32, f32, f32),
        row(Precision::Bf16, peak_bf16, bf16, bf16_packing),
        row(Precision::Int8, peak_int8, int8, int8_packing),
    ]
}
