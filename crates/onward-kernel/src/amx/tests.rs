//! Products against plain loops, on the real unit where there is one and on the emulated one elsewhere.

use super::super::epilogue::Finish;
use super::emulator;
use super::emulator::tests::{BF16, INT8, file, one_dot};
use super::product::{Blocks, Job, Tiles, run};
use super::tile::{Bf16, Int8, Kernel};
use super::{Availability, availability};
use crate::bf16::emulated::{flushed, rounded};
use crate::{Start, from_bf16};
use proptest::prelude::*;

/// The nearest bf16 towards zero.
pub(super) fn bf16(x: f32) -> u16 {
    (x.to_bits() >> 16) as u16
}

/// A number format: how to make its numbers and what the products have to be.
trait Format: Copy + PartialEq + std::fmt::Debug + 'static {
    type Sum: Copy + std::fmt::Debug + PartialEq;
    type Kernel: Kernel;
    /// Numbers to a group of four bytes.
    const GROUP: usize;
    /// What a correct product never reads or leaves.
    const POISON: Self;
    const POISON_SUM: Self::Sum;
    fn zero() -> Self;
    fn from(bits: u32) -> Self;
    fn sum(bits: u32) -> Self::Sum;
    fn zero_sum() -> Self::Sum;
    /// The sum over `k` in the order of the tile unit.
    fn dot(a: &[Self], b: &[Self], before: Self::Sum) -> Self::Sum;
    fn same(a: Self::Sum, b: Self::Sum) -> bool;
}

impl Format for u16 {
    type Sum = f32;
    type Kernel = Bf16;
    const GROUP: usize = 2;
    const POISON: u16 = 0x7FC1;
    const POISON_SUM: f32 = f32::from_bits(0x7FC1_2345);
    fn zero() -> u16 {
        0
    }
    fn from(bits: u32) -> u16 {
        bf16((bits >> 8) as f32 / 8_388_608.0 - 1.0)
    }
    fn sum(bits: u32) -> f32 {
        (bits >> 8) as f32 / 1_048_576.0 - 8.0
    }
    fn zero_sum() -> f32 {
        0.0
    }
    fn dot(a: &[u16], b: &[u16], before: f32) -> f32 {
        let number = |x: u16| f64::from(flushed(from_bf16(x)));
        let chain = |a: &[u16], b: &[u16], odd: usize| {
            let terms = a.iter().zip(b).skip(odd).step_by(2);
            terms.fold(0.0, |s, (a, b)| rounded(number(*a) * number(*b) + s))
        };
        let parts = a.chunks(32).zip(b.chunks(32));
        let sum =
            parts.fold(f64::from(before), |s, (a, b)| rounded(s + rounded(chain(a, b, 0) + chain(a, b, 1))));
        sum as f32
    }
    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits()
    }
}

impl Format for i8 {
    type Sum = i32;
    type Kernel = Int8;
    const GROUP: usize = 4;
    const POISON: i8 = 99;
    const POISON_SUM: i32 = 0x5A5A_5A5A;
    fn zero() -> i8 {
        0
    }
    fn from(bits: u32) -> i8 {
        (bits >> 13) as i8
    }
    fn sum(bits: u32) -> i32 {
        bits as i32 >> 8
    }
    fn zero_sum() -> i32 {
        0
    }
    fn dot(a: &[i8], b: &[i8], before: i32) -> i32 {
        a.iter().zip(b).fold(before, |s, (a, b)| s + i32::from(*a) * i32::from(*b))
    }
    fn same(a: i32, b: i32) -> bool {
        a == b
    }
}

fn hashed(i: usize, salt: u32) -> u32 {
    let x = (i as u32).wrapping_add(salt.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B);
    (x ^ x >> 13).wrapping_mul(0xC2B2_AE35)
}

/// Numbers that end right before a page that nobody may touch, so that reading or writing behind them ends the test.
struct Fenced<T> {
    map: *mut u8,
    bytes: usize,
    numbers: *mut T,
    len: usize,
}

const PAGE: usize = 4096;

impl<T: Copy> Fenced<T> {
    fn new(len: usize, value: T) -> Self {
        let bytes = (len * size_of::<T>()).next_multiple_of(PAGE) + PAGE;
        // SAFETY: a fresh mapping, checked; the numbers fill its end before the last page, aligned as the page is.
        unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let map = libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0).cast::<u8>();
            assert_ne!(map.cast(), libc::MAP_FAILED);
            assert_eq!(libc::mprotect(map.add(bytes - PAGE).cast(), PAGE, libc::PROT_NONE), 0);
            let numbers = map.add(bytes - PAGE - len * size_of::<T>()).cast::<T>();
            (0..len).for_each(|i| numbers.add(i).write(value));
            Self { map, bytes, numbers, len }
        }
    }
}

impl<T> std::ops::Deref for Fenced<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `new` wrote all of them.
        unsafe { std::slice::from_raw_parts(self.numbers, self.len) }
    }
}

impl<T> std::ops::DerefMut for Fenced<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.numbers, self.len) }
    }
}

impl<T> Drop for Fenced<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made; nothing borrows from it any more.
        unsafe { libc::munmap(self.map.cast(), self.bytes) };
    }
}

/// A product's matrices, with poison between the rows and fences behind them.
struct Case<T: Format> {
    m: usize,
    n: usize,
    k: usize,
    a: Fenced<T>,
    a_stride: usize,
    /// `(n, k)`, row after row.
    w: Vec<T>,
    b: Fenced<T>,
    before: Vec<T::Sum>,
    c_stride: usize,
}

impl<T: Format> Case<T> {
    /// `gap`: unused numbers between rows.
    fn new(m: usize, n: usize, k: usize, gap: usize) -> Self {
        let padded = k.next_multiple_of(16 * T::GROUP);
        let (a_stride, c_stride) = (padded + gap, n + gap);
        let mut a = Fenced::new(m.saturating_sub(1) * a_stride + if m > 0 { padded } else { 0 }, T::POISON);
        for (i, row) in a.chunks_mut(a_stride.max(1)).enumerate() {
            row[..padded].fill(T::zero());
            (0..k).for_each(|kk| row[kk] = T::from(hashed(i * k + kk, 1)));
        }
        let w: Vec<T> = (0..n * k).map(|i| T::from(hashed(i, 2))).collect();
        let width = if n <= 16 { 16 } else { 32 };
        let mut b = Fenced::new(n.div_ceil(width) * width * padded, T::zero());
        for j in 0..n {
            for kk in 0..k {
                let group = (j / width) * (padded / T::GROUP) + kk / T::GROUP;
                b[(group * width + j % width) * T::GROUP + kk % T::GROUP] = w[j * k + kk];
            }
        }
        let before = (0..m * n).map(|i| T::sum(hashed(i, 3))).collect();
        Self { m, n, k, a, a_stride, w, b, before, c_stride }
    }

    fn sums(&self) -> Fenced<T::Sum> {
        let len = self.m.saturating_sub(1) * self.c_stride + if self.m > 0 { self.n } else { 0 };
        let mut c = Fenced::new(len, T::POISON_SUM);
        for i in 0..self.m {
            c[i * self.c_stride..][..self.n].copy_from_slice(&self.before[i * self.n..][..self.n]);
        }
        c
    }

    fn job(&self, c: &mut [T::Sum], start: Start) -> Job {
        Job {
            c: c.as_mut_ptr().cast(),
            c_stride: 4 * self.c_stride,
            a: self.a.as_ptr().cast(),
            a_stride: self.a_stride * size_of::<T>(),
            m: self.m,
            b: self.b.as_ptr().cast(),
            n: self.n,
            width: if self.n <= 16 { 16 } else { 32 },
            steps: self.k.div_ceil(16 * T::GROUP),
            start,
            finish: Finish::NONE,
        }
    }

    /// Every sum against the plain loop, everything else untouched.
    fn check(&self, c: &[T::Sum], start: Start) {
        let what = format!("({}, {}, {}) {start:?}", self.m, self.n, self.k);
        for (at, c) in c.iter().enumerate() {
            let (i, j) = (at / self.c_stride, at % self.c_stride);
            let want = if j < self.n {
                let before = if start == Start::Add { self.before[i * self.n + j] } else { T::zero_sum() };
                let (a, b) = (&self.a[i * self.a_stride..][..self.k], &self.w[j * self.k..][..self.k]);
                T::dot(a, b, before)
            } else {
                T::POISON_SUM
            };
            assert!(T::same(*c, want), "{what} at ({i}, {j}): {c:?}, not {want:?}");
        }
    }
}

fn check<T: Format>(m: usize, n: usize, k: usize, gap: usize, blocks: Blocks) {
    Tiles::real_or_emulated();
    let case = Case::<T>::new(m, n, k, gap);
    for start in [Start::Zero, Start::Add] {
        let mut c = case.sums();
        // SAFETY: the case has what its job says.
        unsafe { run::<T::Kernel>(&case.job(&mut c, start), blocks, None) };
        case.check(&c, start);
    }
    assert!(!emulator::configured(), "tiles are released");
}

const SMALL: Blocks = Blocks { panels: 0, steps: Some(1) };
const LARGE: Blocks = Blocks { panels: 1 << 20, steps: None };

#[test]
fn products_at_the_edges_of_tiles() {
    for m in [1, 2, 15, 16, 17, 31, 32, 33] {
        for n in [1, 15, 16, 17, 32, 33, 48, 49, 64, 71] {
            check::<u16>(m, n, 37, 0, SMALL);
            check::<i8>(m, n, 67, 0, SMALL);
        }
    }
}

#[test]
fn products_at_the_edges_of_steps() {
    for k in [0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 193] {
        check::<u16>(19, 35, k, 3, SMALL);
        check::<i8>(19, 35, k, 3, SMALL);
        check::<u16>(5, 131, k, 1, SMALL);
        check::<i8>(5, 131, k, 1, SMALL);
    }
}

#[test]
fn products_at_the_edges_of_blocks() {
    for (m, n) in [(0, 7), (7, 0), (0, 0)] {
        check::<u16>(m, n, 32, 0, LARGE);
        check::<i8>(m, n, 64, 0, LARGE);
    }
    let steps = 8; // more than one cut
    check::<u16>(257, 289, 32 * steps + 1, 5, LARGE);
    check::<i8>(289, 257, 64 * steps + 1, 5, LARGE);
    for m in [32, 33, 63, 64, 65, 97] {
        check::<u16>(m, 127, 129, 0, SMALL);
        check::<i8>(m, 127, 257, 0, SMALL);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn products_of_any_size(m in 0usize..70, n in 0usize..140, k in 0usize..200, gap in 0usize..40, panels in 0usize..6, steps in 0usize..4) {
        let blocks = Blocks { panels: panels << 12, steps: (steps > 0).then_some(steps) };
        check::<u16>(m, n, k, gap, blocks);
        check::<i8>(m, n, k, gap, blocks);
    }
}

#[test]
fn availability_is_what_the_system_says() {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    let has = |name: &str| flags.split_whitespace().any(|f| f == name);
    let all = ["amx_tile", "amx_bf16", "amx_int8"].into_iter().all(has);
    match availability() {
        Availability::Usable | Availability::NotPermitted(_) => assert!(all, "{flags}"),
        Availability::Absent | Availability::NotEnabled => assert!(!all, "{flags}"),
    }
    assert_eq!(Tiles::detect().is_some(), availability() == Availability::Usable);
    assert_eq!(availability(), super::ask(), "the kept answer");
    let refused = Availability::NotPermitted(95).to_string();
    assert!(refused.starts_with("AMX present but not permitted: ") && refused.contains("95"), "{refused}");
}

#[test]
fn the_unit_and_the_emulator_agree() {
    let tiles = Tiles::real_or_emulated();
    // Small whole numbers, so that every bf16 sum is exact in any order.
    let a: Vec<u16> = (0..512).map(|i| bf16((hashed(i, 5) % 17) as f32 - 8.0)).collect();
    let b: Vec<u16> = (0..512).map(|i| bf16((hashed(i, 6) % 17) as f32 - 8.0)).collect();
    let (mut c, mut want) = ([3f32; 256], [3f32; 256]);
    tiles.product_bf16(&mut c, 16, &a, 32, 16, &b, 32, 16, Start::Add);
    one_dot(&mut file(16, 16, 16), BF16, &mut want, &a, &b, [64; 3]);
    assert_eq!(c, want);
    let a: Vec<i8> = (0..1024).map(|i| hashed(i, 7) as i8).collect();
    let b: Vec<i8> = (0..1024).map(|i| hashed(i, 8) as i8).collect();
    let (mut c, mut want) = ([i32::MAX; 256], [i32::MAX; 256]);
    tiles.product_int8(&mut c, 16, &a, 64, 16, &b, 64, 16, Start::Add);
    one_dot(&mut file(16, 16, 16), INT8, &mut want, &a, &b, [64; 3]);
    assert_eq!(c, want);
}

#[test]
fn bf16_sums_keep_to_the_bound() {
    let tiles = Tiles::real_or_emulated();
    let case = Case::<u16>::new(37, 45, 501, 0);
    let mut c = case.sums();
    // SAFETY: the case has what its job says.
    unsafe { tiles.run_bf16(&case.job(&mut c, Start::Zero)) };
    let wide = |x: u16| f64::from(f32::from_bits(u32::from(x) << 16));
    // Roundings on a term's way: 16 in its chain, two after it, one for each further step.
    let roundings = 16 + 2 + 501usize.div_ceil(32);
    for i in 0..case.m {
        for j in 0..case.n {
            let (a, w) = (&case.a[i * case.a_stride..][..case.k], &case.w[j * case.k..][..case.k]);
            let terms = || a.iter().zip(w).map(|(a, w)| wide(*a) * wide(*w));
            let bound = roundings as f64 * 2f64.powi(-24) * terms().map(f64::abs).sum::<f64>();
            let error = (f64::from(c[i * case.c_stride + j]) - terms().sum::<f64>()).abs();
            assert!(error <= bound, "({i}, {j}): {error:e} above {bound:e}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_blocks_rows_or_threads() {
    let tiles = Tiles::real_or_emulated();
    let case = Case::<u16>::new(71, 83, 300, 2);
    let bits = |c: &[f32]| c.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let (mut whole, mut blocks) = (case.sums(), case.sums());
    // SAFETY: the case has what its jobs say.
    unsafe {
        tiles.run_bf16(&case.job(&mut whole, Start::Add));
        run::<Bf16>(&case.job(&mut blocks, Start::Add), SMALL, None);
    }
    assert_eq!(bits(&whole), bits(&blocks));
    let mut parts = case.sums();
    std::thread::scope(|threads| {
        for (i, c) in parts.chunks_mut(9 * case.c_stride).enumerate() {
            let a = &case.a[9 * i * case.a_stride..];
            let (b, n, c_stride, a_stride) = (&case.b[..], case.n, case.c_stride, case.a_stride);
            let rows = c.len().div_ceil(c_stride);
            threads.spawn(move || tiles.product_bf16(c, c_stride, a, a_stride, rows, b, 320, n, Start::Add));
        }
    });
    assert_eq!(bits(&whole), bits(&parts));
}

#[test]
fn no_more_tile_instructions_than_needed() {
    let tiles = Tiles::real_or_emulated();
    if availability() == Availability::Usable {
        return; // nobody counts them there
    }
    // One configuration and one release; for each block of 2 × 2 or 1 × 4 tiles four stores, and so many loads and
    // products a step.
    for (m, n, blocks, a_step) in [(32, 32, 1, 8), (32, 96, 3, 8), (7, 128, 2, 9), (16, 64, 1, 9)] {
        let steps = 19; // so few rows are not cut along k
        let case = Case::<i8>::new(m, n, 64 * steps, 0);
        let mut c = case.sums();
        let before = emulator::carried_out();
        // SAFETY: the case has what its job says.
        unsafe { tiles.run_int8(&case.job(&mut c, Start::Zero)) };
        let each = 4 + a_step * steps as u64 + 4;
        assert_eq!(emulator::carried_out() - before, 2 + blocks * each, "({m}, {n})");
    }
}

#[test]
#[should_panic(expected = "result of a product is too short")]
fn short_results_are_refused() {
    Tiles::real_or_emulated().product_int8(
        &mut [0; 32],
        17,
        &[0; 128],
        64,
        2,
        &[0; 2048],
        64,
        17,
        Start::Zero,
    );
}

#[test]
#[should_panic(expected = "left side of a product is too short")]
fn short_left_sides_are_refused() {
    Tiles::real_or_emulated().product_int8(
        &mut [0; 34],
        17,
        &[0; 127],
        64,
        2,
        &[0; 2048],
        64,
        17,
        Start::Zero,
    );
}

#[test]
#[should_panic(expected = "right side of a product is too short")]
fn short_right_sides_are_refused() {
    Tiles::real_or_emulated().product_int8(
        &mut [0; 34],
        17,
        &[0; 128],
        64,
        2,
        &[0; 2047],
        64,
        17,
        Start::Zero,
    );
}

#[test]
#[should_panic(expected = "k is not padded")]
fn unpadded_sides_are_refused() {
    Tiles::real_or_emulated().product_bf16(&mut [0.0; 1], 1, &[0; 31], 31, 1, &[0; 512], 31, 1, Start::Zero);
}
