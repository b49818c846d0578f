//! Each kernel by itself, for watching a change: `cargo bench -p onward-bench --bench kernels` (then `-- noise` for those with that word in their name).
//! Who is ahead of whom, and how far from the machine's limits, is for `onward bench` and the runners in this folder.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use onward::kernel::{Conv3, Filter, Matrix, Precision, Scratch, dot};
use onward::noise::{Family, Role, RunKey};
use onward::rule::quantise;
use onward_bench::numbers;

#[global_allocator]
static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;

fn main() {
    divan::main();
}

/// Rows × outputs × inputs.
const SHAPES: [[usize; 3]; 5] =
    [[2048, 2048, 2048], [256, 2048, 2048], [32, 4096, 4096], [8, 4096, 4096], [128, 256, 256]];

#[divan::bench(args = SHAPES.iter().flat_map(|s| Precision::ALL.map(|p| (p, *s))).map(Case).collect::<Vec<_>>())]
fn product(bencher: Bencher, Case((precision, [m, n, k])): &Case) {
    let (m, n, k) = (*m, *n, *k);
    let (weights, x) = (Matrix::new(&numbers(n * k, 1), n, k, *precision), numbers(m * k, 2));
    let (mut y, mut scratch) = (vec![0f32; m * n], Scratch::default());
    bencher
        .counter(ItemsCount::new(2 * m * n * k))
        .bench_local(|| weights.product(black_box(&x), black_box(&mut y), &mut scratch));
}

#[divan::bench(args = SHAPES.iter().flat_map(|s| Precision::ALL.map(|p| (p, *s))).map(Case).collect::<Vec<_>>())]
fn packing(bencher: Bencher, Case((precision, [_, n, k])): &Case) {
    let w = numbers(n * k, 1);
    bencher
        .counter(BytesCount::new(4 * n * k))
        .bench_local(|| Matrix::new(black_box(&w), *n, *k, *precision));
}

struct Case((Precision, [usize; 3]));

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (precision, [m, n, k]) = self.0;
        write!(f, "{} {m}×{n}×{k}", precision.name())
    }
}

#[divan::bench(args = Precision::ALL.map(Precision::name))]
fn convolution_28_by_28_of_16_channels(bencher: Bencher, name: &str) {
    let precision = Precision::ALL.into_iter().find(|p| p.name() == name).unwrap_or_default();
    let conv = Conv3 { height: 28, width: 28, channels: 16 };
    let filter = Filter::new(&numbers(9 * 16 * 16, 1), 16, 16, precision);
    let (x, mut y, mut scratch) = (numbers(28 * 28 * 16, 2), vec![0f32; 28 * 28 * 16], Scratch::default());
    bencher
        .counter(ItemsCount::new(2usize * 9 * 16 * 16 * 28 * 28))
        .bench_local(|| filter.convolve(conv, black_box(&x), black_box(&mut y), &mut scratch));
}

#[divan::bench(args = [Family::Sign, Family::Binomial, Family::Normal], consts = [1 << 16, 1 << 24])]
fn noise<const N: usize>(bencher: Bencher, family: Family) {
    let noise = RunKey::from_seed(1).tensor(Role::Dense, "w").at(0, 0);
    let mut w = vec![0f32; N];
    bencher.counter(ItemsCount::new(N)).bench_local(|| noise.add_to(family, 0, 0.5, black_box(&mut w)));
}

#[divan::bench(args = [256, 784, 4096])]
fn dot_product(bencher: Bencher, n: usize) {
    let (a, b) = (numbers(n, 1), numbers(n, 2));
    bencher.counter(ItemsCount::new(2 * n)).bench(|| dot(black_box(&a), black_box(&b)));
}

#[divan::bench(args = [64, 1024])]
fn quantising_coefficients(bencher: Bencher, n: usize) {
    let values: Vec<f64> = numbers(n, 1).into_iter().map(f64::from).collect();
    bencher.counter(ItemsCount::new(n)).bench(|| quantise(black_box(&values), Some(1)));
}
