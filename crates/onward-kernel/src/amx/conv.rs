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
    /// `steps(y, x, list)` lists the steps of the pixels from `(y, x)` on; `finish` is given their sums, sixteen to a pixel, the
    /// number of the first pixel, and the columns.
    ///
    /// # Safety
    /// Each step has windows of as many bytes as the job says, for 32 pixels or what is left of the row.
    pub(crate) unsafe fn convolve_int8(
        self,
        job: &Convolution<'_>,
        steps: impl FnMut(usize, usize, &mut Vec<Step>),
        finish: impl FnMut(&[i32], usize, Range<usize>),
    ) {
        // SAFETY: handed on from the caller; `self` shows the permission.
        unsafe { run::<Int8>(job, steps, finish) }
    }

    /// The same in bf16; the sums are the bits of f32.
    ///
    /// # Safety
    /// As for [`Tiles::convolve_int8`].
    pub(crate) unsafe fn convolve_bf16(
        self,
        job: &Convolution<'_>,
        steps: impl FnMut(usize, usize, &mut Vec<Step>),
        finish: impl FnMut(&[i32], usize, Range<usize>),
    ) {
        // SAFETY: as above.
        unsafe { run::<Bf16>(job, steps, finish) }
    }
}

/// # Safety
/// The process may use tiles; otherwise as for [`Tiles::convolve_int8`].
unsafe fn run<K: Kernel>(
    job: &Convolution<'_>,
    mut steps: impl FnMut(usize, usize, &mut Vec<Step>),
    mut finish: impl FnMut(&[i32], usize, Range<usize>),
) {
    let Conv3 { height, width, .. } = job.conv;
    let mut scratch = Scratch([0; 2 * ROWS * COLUMNS]);
    let mut list = Vec::new();
    // SAFETY: handed on from the caller.
    let mut tiles = unsafe { Configured::none() };
    let panel = job.groups * job.width;
    for y in 0..height {
        for pixels in runs(0..width, 2 * ROWS) {
            list.clear();
            steps(y, pixels.start, &mut list);
            assert!(list.len() * job.bytes / 4 <= job.groups, "{} steps of {} bytes", list.len(), job.bytes);
            let rows = [pixels.len().min(ROWS), pixels.len().saturating_sub(ROWS)];
            for columns in runs(0..job.n, COLUMNS) {
                let b = &job.b[columns.start / job.width * panel + columns.start % job.width..];
                assert!(
                    b.len() >= panel - columns.start % job.width,
                    "weights of a convolution are too short"
                );
                tiles.set(Shape::Pixels { rows, bytes: job.bytes });
                // SAFETY: the shape was just configured; the caller vouches for the windows, the assertions for the weights, and
                // the scratch holds both tiles of sums.
                unsafe {
                    let sums = (&raw mut scratch.0).cast();
                    K::pixels(
                        rows[1] > 0,
                        &list,
                        b.as_ptr().cast(),
                        [4 * job.width, job.bytes * job.width],
                        sums,
                    );
                }
                finish(&scratch.0[..pixels.len() * COLUMNS], y * width + pixels.start, columns);
            }
        }
    }
}
