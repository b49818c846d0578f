//! The library's products and convolutions on one thread, next to the `gemm` crate in the same run: GFLOP per second.
//!
//!     cargo run --release -p onward-bench --bin products
//!
//! Weights are packed once per step and used by all probes, so "packed" leaves packing out and "with packing" has it in.
//! The peer's convolution is what a library without one needs: patches copied, then one product for all images.

use onward::kernel::{Conv3, Panels, Start, conv3x3, product};
use onward_bench::{Times, alternately, numbers, print_table};
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;

const CHANNELS: usize = 16;
const IMAGES: usize = 32;

fn main() {
    let mut rows = Vec::new();
    for (m, n, k, rounds) in
        [(1024, 256, 784, 41), (1024, 256, 256, 81), (1024, 10, 256, 161), (2048, 2048, 2048, 5)]
    {
        rows.push(compare_products(m, n, k, rounds));
    }
    for side in [28, 14, 7] {
        rows.push(compare_convolutions(side, 41));
    }
    let header = ["work", "packed", "with packing", "gemm crate", "packed / gemm, medians", "best"];
    print_table(&header, &rows);
}

/// GFLOP/s as medians, and the ratios of the first column to the last.
fn row(name: String, flops: f64, times: &[Times]) -> Vec<String> {
    let mut row = vec![name];
    row.extend(times.iter().map(|t| format!("{:.1}", flops / t.median / 1e9)));
    let (ours, peer) = (times[0], times[times.len() - 1]);
    row.extend([peer.median / ours.median, peer.best / ours.best].map(|ratio| format!("{ratio:.2}")));
    row
}

fn compare_products(m: usize, n: usize, k: usize, rounds: usize) -> Vec<String> {
    let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
    let panels = Panels::transposed(&w, n, k);
    let [mut packed, mut packing, mut peer] = [(); 3].map(|()| vec![0.0; m * n]);
    let times = alternately(
        rounds,
        &mut [
            &mut || product(black_box(&mut packed), n, &x, k, 1, m, &panels, Start::Zero),
            &mut || {
                let panels = Panels::transposed(&w, n, k);
                product(black_box(&mut packing), n, &x, k, 1, m, &panels, Start::Zero);
            },
            &mut || gemm_transposed(black_box(&mut peer), &x, &w, [m, n, k]),
        ],
    );
    assert_eq!(packed, packing);
    assert!(close(&packed, &peer, k), "the two products differ");
    row(format!("{m} × {n} × {k}"), 2.0 * (m * n * k) as f64, &times)
}

fn compare_convolutions(side: usize, rounds: usize) -> Vec<String> {
    let conv = Conv3 { height: side, width: side, channels: CHANNELS };
    let (size, taps) = (side * side * CHANNELS, 9 * CHANNELS);
    let (images, w) = (numbers(IMAGES * size, 3), numbers(CHANNELS * taps, 4));
    let pack = || -> [Panels; 3] {
        std::array::from_fn(|dy| {
            let part = |o| &w[o * taps + dy * 3 * CHANNELS..][..3 * CHANNELS];
            let rows: Vec<f32> = (0..CHANNELS).flat_map(part).copied().collect();
            Panels::transposed(&rows, CHANNELS, 3 * CHANNELS)
        })
    };
    let all = |panels: &[Panels; 3], out: &mut [f32]| {
        let mut padded = vec![0.0; conv.padded()];
        for (out, image) in out.chunks_exact_mut(size).zip(images.chunks_exact(size)) {
            conv.pad(image, &mut padded);
            conv3x3(conv, &padded, panels, out);
        }
    };
    let panels = pack();
    let [mut packed, mut packing, mut peer] = [(); 3].map(|()| vec![0.0; IMAGES * size]);
    let mut patches = vec![0.0; IMAGES * side * side * taps];
    let times = alternately(
        rounds,
        &mut [
            &mut || all(&panels, black_box(&mut packed)),
            &mut || all(&pack(), black_box(&mut packing)),
            &mut || {
                copy_patches(conv, &images, &mut patches);
                gemm_transposed(black_box(&mut peer), &patches, &w, [IMAGES * side * side, CHANNELS, taps]);
            },
        ],
    );
    assert_eq!(packed, packing);
    assert!(close(&packed, &peer, taps), "the two convolutions differ");
    let flops = 2.0 * (IMAGES * size * taps) as f64;
    row(format!("3×3 convolution, {IMAGES} images {side}×{side}, {CHANNELS} → {CHANNELS}"), flops, &times)
}

/// Each pixel's 3×3 neighbourhood as one row.
fn copy_patches(conv: Conv3, images: &[f32], patches: &mut [f32]) {
    let (size, run) = (conv.height * conv.width * conv.channels, 3 * conv.channels);
    let stride = (conv.width + 2) * conv.channels;
    let mut padded = vec![0.0; conv.padded()];
    for (patches, image) in patches.chunks_exact_mut(9 * size).zip(images.chunks_exact(size)) {
        conv.pad(image, &mut padded);
        for (pixel, patch) in patches.chunks_exact_mut(3 * run).enumerate() {
            let (y, x) = (pixel / conv.width, pixel % conv.width);
            for (dy, part) in patch.chunks_exact_mut(run).enumerate() {
                part.copy_from_slice(&padded[(y + dy) * stride + x * conv.channels..][..run]);
            }
        }
    }
}

fn close(a: &[f32], b: &[f32], k: usize) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * k as f32)
}

/// `c (m, n) = x (m, k) · wᵀ` for `w (n, k)`, by the `gemm` crate.
#[allow(unsafe_code)]
fn gemm_transposed(c: &mut [f32], x: &[f32], w: &[f32], [m, n, k]: [usize; 3]) {
    assert!(c.len() == m * n && x.len() == m * k && w.len() == n * k);
    let stride = |s: usize| s as isize;
    // SAFETY: the lengths were just checked, and the strides stay inside them.
    unsafe {
        let (c, x, w) = (c.as_mut_ptr(), x.as_ptr(), w.as_ptr());
        let (rows, columns, one) = (stride(n), stride(k), 1);
        gemm::gemm(
            m,
            n,
            k,
            c,
            one,
            rows,
            false,
            x,
            one,
            columns,
            w,
            columns,
            one,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
