//! Products of bf16 with the roundings of instructions that a processor lacks, in plain arithmetic.
//!
//! The product of two bf16 is exact in f64, and f64 is so much wider than f32 that a sum of an f32 and such a product, rounded
//! to f64 and then to f32, is the sum rounded once (S. A. Figueroa, When is double rounding innocuous?, 1995): no
//! fused multiply-add of the processor is needed.

use super::super::tile::Job;
use super::{Bf16Arithmetic, PAIR, from_bf16};
use std::slice;

/// Columns whose sums are taken side by side: half of a panel, or a narrow one.
const COLUMNS: usize = 16;
/// Groups to a step: what a tile has of each row.
const STEP: usize = 16;

/// The f32 nearest to a sum, or zero with its sign if that f32, had it any exponent, would be below the normal ones.
#[inline(always)]
pub(crate) fn rounded(sum: f64) -> f64 {
    /// Half-way between the smallest normal number and the next smaller one of as many digits.
    const LEAST: f64 = f32::MIN_POSITIVE as f64 * (1.0 - f32::EPSILON as f64 / 4.0);
    if sum.abs() < LEAST { 0f64.copysign(sum) } else { f64::from(sum as f32) }
}

/// Subnormal numbers count as zero, with their sign.
#[inline(always)]
pub(crate) fn flushed(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0f32.copysign(x) } else { x }
}

/// The two numbers of a group.
#[inline(always)]
pub(crate) fn pair(group: u32) -> [f64; PAIR] {
    [group as u16, (group >> 16) as u16].map(|x| f64::from(flushed(from_bf16(x))))
}

/// Sums of some columns.
type Sums = [f64; COLUMNS];

/// Adds `x · y` to each sum: number `i` of each column's group times that of the left one.
#[inline(always)]
fn add(sums: &mut Sums, left: u32, right: &[u32; COLUMNS], i: usize) {
    let x = pair(left)[i];
    for (sum, group) in sums.iter_mut().zip(right) {
        *sum = rounded(x * pair(*group)[i] + *sum);
    }
}

/// One step of [`Bf16Arithmetic::Avx512Bf16`].
#[inline(always)]
fn add_by_pairs(sums: &mut Sums, left: &[u32; STEP], right: &[[u32; COLUMNS]; STEP]) {
    for (left, right) in left.iter().zip(right) {
        add(sums, *left, right, 1);
        add(sums, *left, right, 0);
    }
}

/// One step of [`Bf16Arithmetic::Amx`].
#[inline(always)]
fn add_by_tiles(sums: &mut Sums, left: &[u32; STEP], right: &[[u32; COLUMNS]; STEP]) {
    let [mut even, mut odd] = [[0.0; COLUMNS]; PAIR];
    for (left, right) in left.iter().zip(right) {
        add(&mut even, *left, right, 0);
        add(&mut odd, *left, right, 1);
    }
    for ((sum, even), odd) in sums.iter_mut().zip(even).zip(odd) {
        *sum = rounded(*sum + rounded(even + odd));
    }
}

/// Runs a job in the given arithmetic, on any machine.
///
/// # Safety
/// The job's pointers cover its sizes, and nothing else reads or writes its `c` meanwhile.
pub(super) unsafe fn run(job: &Job<f32>, arithmetic: Bf16Arithmetic) {
    // SAFETY: handed on from the caller; panels are full.
    let panels = unsafe { slice::from_raw_parts(job.b, job.n.next_multiple_of(job.width) * job.groups) };
    for row in 0..job.m {
        // SAFETY: as above.
        let (left, out) = unsafe {
            (
                slice::from_raw_parts(job.a.add(row * job.row_stride), job.groups),
                slice::from_raw_parts_mut(job.c.add(row * job.c_stride), job.n),
            )
        };
        if !job.accumulate {
            out.fill(0.0);
        }
        for (out, panel) in
            out.chunks_mut(job.width).zip(panels.chunks_exact((job.width * job.groups).max(1)))
        {
            for (half, out) in out.chunks_mut(COLUMNS).enumerate() {
                match arithmetic {
                    _ if job.groups == 0 => {}
                    Bf16Arithmetic::Avx512Bf16 => by_pairs(out, left, panel, job.width, half * COLUMNS),
                    _ => by_tiles(out, left, panel, job.width, half * COLUMNS),
                }
            }
        }
        // SAFETY: the job's bias is as long as its rows.
        unsafe { job.finish.row(out) }
    }
}

super::super::multiversion! {
fn by_pairs(out: &mut [f32], left: &[u32], panel: &[u32], width: usize, first: usize) {
    columns(out, left, panel, width, first, add_by_pairs);
}
}

super::super::multiversion! {
fn by_tiles(out: &mut [f32], left: &[u32], panel: &[u32], width: usize, first: usize) {
    columns(out, left, panel, width, first, add_by_tiles);
}
}

/// Adds to the sums `out` of the columns from `first` on of a panel.
#[inline(always)]
fn columns(
    out: &mut [f32],
    left: &[u32],
    panel: &[u32],
    width: usize,
    first: usize,
    step: impl Fn(&mut Sums, &[u32; STEP], &[[u32; COLUMNS]; STEP]),
) {
    let mut sums = [0.0; COLUMNS];
    sums.iter_mut().zip(&*out).for_each(|(sum, out)| *sum = f64::from(flushed(*out)));
    let steps = left.as_chunks::<STEP>().0.iter().zip(panel.chunks_exact(STEP * width));
    for (left, groups) in steps {
        let mut right = [[0; COLUMNS]; STEP];
        for (right, group) in right.iter_mut().zip(groups.chunks_exact(width)) {
            right.copy_from_slice(&group[first..][..COLUMNS]);
        }
        step(&mut sums, left, &right);
    }
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum as f32);
}
