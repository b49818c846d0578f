//! Convolutions: tiles whose rows are windows of an image, so that they overlap.

use super::product::{Tiles, runs};
use super::tile::{Bf16, COLUMNS, Configured, Int8, Kernel, ROWS, Shape};
use crate::Conv3;
use std::ops::Range;

/// What a convolution's tiles share.
pub struct Convolution<'a> {
    /// The image.
    pub conv: Conv3,
    /// The weights: `[panel of width columns][group of four bytes][column]`.
    pub b: &'a [u32],
    /// Columns of a panel.
    pub width: usize,
    /// Groups of a column.
    pub groups: usize,
    /// Columns.
    pub n: usize,
    /// Bytes of `k` that a step takes, at most 64 and a multiple of four.
    pub bytes: usize,
    /// Steps of a sum, at least one.
    pub steps: usize,
    /// Where sums go, pixels `4 · n` bytes apart, if they stay as they are.
    pub out: Option<*mut u8>,
}

/// The left side of one step: windows of a run of pixels.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Step {
    /// The first window.
    pub first: *const u8,
    /// Bytes from one window to the next.
    pub stride: usize,
}

/// Sums of sixteen columns of a run of pixels: those of one pixel follow each other.
#[repr(C, align(64))]
struct Scratch([i32; 2 * ROWS * COLUMNS]);

impl Tiles {
    /// `steps(y, x, list)` writes the steps of the pixels from `(y, x)` on; `finish` is given the sums that have no place to go,
    /// sixteen to a pixel, the number of the first pixel, and the columns.
    ///
    /// # Safety
    /// Each step has windows of as many bytes as the job says, for 32 pixels or what is left of the row; the job's `out` has room for
    /// all sums.
    pub(crate) unsafe fn convolve_int8(
        self,
        job: &Convolution<'_>,
        steps: impl FnMut(usize, usize, &mut [Step]),
        finish: impl FnMut(&[i32], usize, Range<usize>),
    ) {
        // SAFETY: handed on from the caller; `self` shows the permission.
        unsafe { run::<Int8>(job, steps, finish) }
    }

    /// The same in bf16, where sums stay as they are: the job says where they go.
    ///
    /// # Safety
    /// As for [`Tiles::convolve_int8`].
    pub(crate) unsafe fn convolve_bf16(
        self,
        job: &Convolution<'_>,
        steps: impl FnMut(usize, usize, &mut [Step]),
    ) {
        // SAFETY: as above.
        unsafe { run::<Bf16>(job, steps, |_, _, _| {}) }
    }
}

/// # Safety
/// The process may use tiles; otherwise as for [`Tiles::convolve_int8`].
unsafe fn run<K: Kernel>(
    job: &Convolution<'_>,
    mut steps: impl FnMut(usize, usize, &mut [Step]),
    mut finish: impl FnMut(&[i32], usize, Range<usize>),
) {
    let Conv3 { height, width, .. } = job.conv;
    assert!(job.steps * job.bytes / 4 <= job.groups, "{} steps of {} bytes", job.steps, job.bytes);
    let mut scratch = [Scratch([0; 2 * ROWS * COLUMNS]), Scratch([0; 2 * ROWS * COLUMNS])];
    let mut list = vec![Step { first: std::ptr::null(), stride: 0 }; job.steps];
    // SAFETY: handed on from the caller.
    let mut tiles = unsafe { Configured::none() };
    let panel = job.groups * job.width;
    let strides = [4 * job.width, job.bytes * job.width];
    // Sums in the scratch are looked at when the next ones are on their way: until tiles are stored, whoever reads them waits.
    let (mut waiting, mut turn): (Option<(usize, usize, Range<usize>)>, usize) = (None, 0);
    let mut take = |waiting: &mut Option<_>, scratch: &Scratch| {
        if let Some((first, pixels, columns)) = waiting.take() {
            finish(&scratch.0[..pixels * COLUMNS], first, columns);
        }
    };
    for y in 0..height {
        for pixels in runs(0..width, 2 * ROWS) {
            steps(y, pixels.start, &mut list);
            let rows = [pixels.len().min(ROWS), pixels.len().saturating_sub(ROWS)];
            for columns in runs(0..job.n, COLUMNS) {
                let b = &job.b[columns.start / job.width * panel + columns.start % job.width..];
                assert!(
                    b.len() >= panel - columns.start % job.width,
                    "weights of a convolution are too short"
                );
                tiles.set(Shape::Pixels { rows, bytes: job.bytes });
                let first = y * width + pixels.start;
                let out = job.out.map(|out| out.wrapping_add(4 * (first * job.n + columns.start)));
                let own: *mut u8 = (&raw mut scratch[turn].0).cast();
                let (sums, apart) = match out {
                    Some(out) if columns.len() == COLUMNS => (out, 4 * job.n),
                    _ => (own, 4 * COLUMNS),
                };
                // SAFETY: the shape was just configured; the caller vouches for the windows and `out`, the assertions for the
                // weights, and the scratch holds both tiles of sums.
                unsafe { K::pixels(rows[1] > 0, &list, b.as_ptr().cast(), strides, sums, apart) }
                match out {
                    None => {
                        turn = 1 - turn;
                        take(&mut waiting, &scratch[turn]);
                        waiting = Some((first, pixels.len(), columns));
                    }
                    Some(_) if columns.len() == COLUMNS => {}
                    Some(out) => (0..pixels.len()).for_each(|pixel| {
                        let from = own.wrapping_add(4 * COLUMNS * pixel);
                        // SAFETY: as above.
                        unsafe { out.add(4 * job.n * pixel).copy_from(from, 4 * columns.len()) }
                    }),
                }
            }
        }
    }
    take(&mut waiting, &scratch[1 - turn]);
}
