//! Sixteen samples side by side: every number of a map stands with those of fifteen other samples in one run of
//! [`SAMPLES`]. Maps of one channel then lie together, whatever their size fills whole vectors, and work on one channel
//! alone costs its share and no more.

use super::dispatch;
use super::product::Portable;
#[cfg(target_arch = "x86_64")]
use super::product::x86;
use super::tile::Dot;

/// The number of samples that stand side by side.
pub const SAMPLES: usize = 16;

/// The results of [`chains`]: maps of `height × width` pixels, read from maps whose rows are `stride` pixels long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
    /// Pixels from one row of the input to the next.
    pub stride: usize,
}

/// What the chains of [`chains`] go on from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base<'a> {
    /// Zero.
    Zero,
    /// What the result already holds.
    Own,
    /// Maps of the result's shape.
    Of(&'a [f32]),
}

struct Job<'a> {
    lattice: Lattice,
    offsets: &'a [usize],
    weights: *const f32,
    n: usize,
    input: *const f32,
    out: *mut f32,
    /// As many numbers as `out`, which it may be; null for zero.
    base: *const f32,
}

/// `out[o, y, x] = base + Σⱼ weights[j, o] · input[offsets[j] + y·stride + x]` for `n` maps `o`, sixteen samples at once, each
/// number one chain of fused multiply-adds in the order of `offsets` (which count pixels).
///
/// # Panics
/// If a slice is too short for the sizes: a bug in the caller.
pub fn chains(
    lattice: Lattice,
    input: &[f32],
    offsets: &[usize],
    weights: &[f32],
    n: usize,
    out: &mut [f32],
    base: Base<'_>,
) {
    let Lattice { height, width, stride } = lattice;
    assert!(out.len() >= n * height * width * SAMPLES, "maps are too short");
    assert!(weights.len() >= n * offsets.len(), "weights are too few");
    if n * height * width == 0 {
        return;
    }
    let last = (height - 1) * stride + width - 1;
    let furthest = offsets.iter().max().map_or(0, |o| (o + last + 1) * SAMPLES);
    assert!(input.len() >= furthest, "the input is too short");
    let (weights, input, out) = (weights.as_ptr(), input.as_ptr(), out.as_mut_ptr());
    let base = match base {
        Base::Zero => std::ptr::null(),
        Base::Own => out.cast_const(),
        Base::Of(maps) => {
            assert!(maps.len() >= n * height * width * SAMPLES, "maps to begin from are too short");
            maps.as_ptr()
        }
    };
    run_best(&Job { lattice, offsets, weights, n, input, out, base });
}

fn run_best(job: &Job<'_>) {
    dispatch!((job: &Job<'_>) {
        // SAFETY: `dispatch!` detected what it needs; `chains` checked the sizes.
        Avx512 => unsafe { run::<x86::Avx512, 4, 5>(job) },
        // SAFETY: as above.
        Avx2 => unsafe { run::<x86::Avx2, 3, 4>(job) },
        // SAFETY: as above.
        _ => unsafe { run::<Portable, 2, 4>(job) },
    });
}

/// All maps, `O` of them and up to `P` pixels of a row at a time, all pieces of a row of about the same length; a piece of the
/// input is used for all maps before the next.
///
/// # Safety
/// The instruction set of `D` was detected, and the job's pointers reach as far as its sizes say.
#[inline(always)]
unsafe fn run<D: Dot<Number = f32>, const O: usize, const P: usize>(job: &Job<'_>) {
    let Lattice { height, width, .. } = job.lattice;
    // One map alone has room for more chains at once.
    let longest = if job.n == 1 { LONGEST } else { P };
    for y in 0..height {
        let (mut x, mut pieces) = (0, width.div_ceil(longest));
        while x < width {
            let length = (width - x).div_ceil(pieces);
            // SAFETY: each piece lies inside its row.
            unsafe {
                match length {
                    6.. => single::<D>(job, y, x, length),
                    5 => piece::<D, O, 5>(job, y, x),
                    4 => piece::<D, O, 4>(job, y, x),
                    3 => piece::<D, O, 3>(job, y, x),
                    2 => piece::<D, O, 2>(job, y, x),
                    _ => piece::<D, O, 1>(job, y, x),
                }
            }
            x += length;
            pieces -= 1;
        }
    }
}

/// Pixels of one map at once.
const LONGEST: usize = 14;

/// Six to [`LONGEST`] pixels from `(y, x)` on, of the one map there is.
///
/// # Safety
/// As for [`piece`].
#[inline(always)]
unsafe fn single<D: Dot<Number = f32>>(job: &Job<'_>, y: usize, x: usize, length: usize) {
    // SAFETY: the pixels lie in one row, and the map is the job's.
    unsafe {
        match length {
            14 => tile::<D, 1, 14>(job, y, x, 0),
            13 => tile::<D, 1, 13>(job, y, x, 0),
            12 => tile::<D, 1, 12>(job, y, x, 0),
            11 => tile::<D, 1, 11>(job, y, x, 0),
            10 => tile::<D, 1, 10>(job, y, x, 0),
            9 => tile::<D, 1, 9>(job, y, x, 0),
            8 => tile::<D, 1, 8>(job, y, x, 0),
            7 => tile::<D, 1, 7>(job, y, x, 0),
            _ => tile::<D, 1, 6>(job, y, x, 0),
        }
    }
}

/// `P` pixels from `(y, x)` on, of all maps.
///
/// # Safety
/// As for [`run`]; the pixels lie in one row.
#[inline(always)]
unsafe fn piece<D: Dot<Number = f32>, const O: usize, const P: usize>(job: &Job<'_>, y: usize, x: usize) {
    let mut o = 0;
    // SAFETY: the maps from `o` on are those of the job.
    unsafe {
        while o + O <= job.n {
            tile::<D, O, P>(job, y, x, o);
            o += O;
        }
        while o < job.n {
            tile::<D, 1, P>(job, y, x, o);
            o += 1;
        }
    }
}

/// Pixels from the last ones of a tile to those that are asked for: 12 KB.
const AHEAD: usize = 200;

/// `P` pixels of `O` maps.
///
/// # Safety
/// As for [`piece`]; the maps `o..o + O` are the job's.
// Indexed loops over the tile are what stays in registers.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn tile<D: Dot<Number = f32>, const O: usize, const P: usize>(
    job: &Job<'_>,
    y: usize,
    x: usize,
    o: usize,
) {
    let Lattice { height, width, stride } = job.lattice;
    for part in (0..SAMPLES).step_by(D::LANES) {
        // SAFETY: offsets, pixels and maps are inside what `chains` checked; a pixel has `SAMPLES` numbers.
        unsafe {
            let input = job.input.add((y * stride + x) * SAMPLES + part);
            let at = |i: usize, p: usize| (((o + i) * height + y) * width + x + p) * SAMPLES + part;
            let mut sums = [[D::zero(); P]; O];
            if !job.base.is_null() {
                for i in 0..O {
                    for p in 0..P {
                        let from = job.base.add(at(i, p));
                        sums[i][p] = D::load(from);
                        // The next rows' maps begin where this call's end.
                        D::prefetch(from.wrapping_add(job.n * height * width * SAMPLES).cast());
                    }
                }
            }
            // One map alone waits for its input: each number comes from far away and is used but nine times.
            if let (true, Some(last)) = (O == 1, job.offsets.last()) {
                for p in 0..P {
                    D::prefetch(input.wrapping_add((last + p + AHEAD) * SAMPLES).cast());
                }
            }
            for (j, offset) in job.offsets.iter().enumerate() {
                let from = input.add(offset * SAMPLES);
                let pixels: [D::Right; P] = std::array::from_fn(|p| D::right(from.add(p * SAMPLES).cast()));
                let weights = job.weights.add(j * job.n + o);
                for i in 0..O {
                    let weight = D::left(weights.add(i).cast());
                    for p in 0..P {
                        sums[i][p] = D::add(sums[i][p], weight, pixels[p]);
                    }
                }
            }
            for i in 0..O {
                for p in 0..P {
                    D::store(job.out.add(at(i, p)), sums[i][p]);
                }
            }
        }
    }
}

super::multiversion! {
/// `out = w · input + prefix` pixel by pixel, one fused multiply-add each: a last term for one map.
pub fn last_tap(lattice: Lattice, input: &[f32], w: f32, prefix: &[f32], out: &mut [f32]) {
    let row = lattice.width * SAMPLES;
    for y in 0..lattice.height {
        let input = &input[y * lattice.stride * SAMPLES..][..row];
        let prefix = &prefix[y * row..][..row];
        for ((o, p), v) in out[y * row..][..row].iter_mut().zip(prefix).zip(input) {
            *o = w.mul_add(*v, *p);
        }
    }
}
}

super::multiversion! {
/// Adds one number to all: `v = v + bias`.
pub fn add_to_all(v: &mut [f32], bias: f32) {
    for v in v {
        *v += bias;
    }
}
}

super::multiversion! {
/// Rows of `row` numbers: `out = a · v + b`, fused; with `relu`, what is not above 0 becomes 0. Those of `out` begin `stride`
/// numbers apart.
pub fn affine(v: &[f32], row: usize, norm: [f32; 2], relu: bool, out: &mut [f32], stride: usize) {
    let [a, b] = norm;
    for (v, out) in v.chunks_exact(row.max(1)).zip(out.chunks_mut(stride.max(1))) {
        if relu {
            for (o, v) in out.iter_mut().zip(v) {
                let y = a.mul_add(*v, b);
                *o = if y > 0.0 { y } else { 0.0 };
            }
        } else {
            for (o, v) in out.iter_mut().zip(v) {
                *o = a.mul_add(*v, b);
            }
        }
    }
}
}

/// The sum and the sum of squares over the pixels of one map, row after row: those of a row in f32, rows and samples in f64, all
/// in ascending order.
#[derive(Clone, Copy, Default)]
pub struct MapMoments([[f64; SAMPLES]; 2]);

impl MapMoments {
    /// Goes on with rows of `width` pixels.
    pub fn add(&mut self, rows: &[f32], width: usize) {
        add_map_moments(rows, width, &mut self.0);
    }

    /// The sums of the first `samples` samples together.
    pub fn of(&self, samples: usize) -> [f64; 2] {
        self.0.map(|lanes| lanes[..samples].iter().sum())
    }
}

super::multiversion! {
fn add_map_moments(rows: &[f32], width: usize, sums: &mut [[f64; SAMPLES]; 2]) {
    for row in rows.chunks_exact((width * SAMPLES).max(1)) {
        let mut own = [[0f32; SAMPLES]; 2];
        for pixel in row.as_chunks::<SAMPLES>().0 {
            for l in 0..SAMPLES {
                own[0][l] += pixel[l];
                own[1][l] = pixel[l].mul_add(pixel[l], own[1][l]);
            }
        }
        for l in 0..SAMPLES {
            sums[0][l] += f64::from(own[0][l]);
            sums[1][l] += f64::from(own[1][l]);
        }
    }
}
}

super::multiversion! {
/// Sixteen rows of `width` numbers (fewer are filled up with zeros) as `width` runs of sixteen.
pub fn side_by_side(rows: &[f32], width: usize, out: &mut [f32]) {
    for (i, run) in out.as_chunks_mut::<SAMPLES>().0.iter_mut().enumerate().take(width) {
        for (l, v) in run.iter_mut().enumerate() {
            *v = rows.get(l * width + i).copied().unwrap_or(0.0);
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    #[test]
    fn every_number_is_one_chain_in_the_order_of_the_offsets() {
        for (height, width, stride, n, offsets) in [
            (1, 1, 1, 1, vec![0]),
            (3, 7, 9, 4, vec![20, 0, 3]),
            (2, 8, 10, 5, vec![1, 2, 11, 40, 5]),
            (4, 28, 30, 3, vec![0, 31, 60]),
            (2, 28, 30, 1, vec![3, 31, 62]),
            (2, 23, 25, 1, vec![3, 31]),
            (2, 13, 13, 10, vec![26, 0, 52, 13]),
            (5, 3, 5, 9, vec![]),
        ] {
            let lattice = Lattice { height, width, stride };
            let reach = offsets.iter().max().unwrap_or(&0) + height * stride;
            let (input, weights) = (numbers(reach * SAMPLES, 1), numbers(n * offsets.len(), 2));
            let (before, other) =
                (numbers(n * height * width * SAMPLES, 3), numbers(n * height * width * SAMPLES, 4));
            for base in [Base::Zero, Base::Own, Base::Of(&other)] {
                let want = |i: usize| {
                    let (pixel, l) = (i / SAMPLES, i % SAMPLES);
                    let (o, y, x) = (pixel / (height * width), pixel / width % height, pixel % width);
                    let first = match base {
                        Base::Zero => 0.0,
                        Base::Own => before[i],
                        Base::Of(other) => other[i],
                    };
                    offsets.iter().enumerate().fold(first, |s, (j, offset)| {
                        let v = input[(offset + y * stride + x) * SAMPLES + l];
                        weights[j * n + o].mul_add(v, s)
                    })
                };
                with_each_isa(|isa| {
                    let mut out = before.clone();
                    chains(lattice, &input, &offsets, &weights, n, &mut out, base);
                    for (i, found) in out.iter().enumerate() {
                        assert_eq!(found.to_bits(), want(i).to_bits(), "{i} of {lattice:?} on {isa:?}");
                    }
                });
            }
        }
    }

    #[test]
    fn moments_leave_out_what_is_no_sample() {
        let map = numbers(6 * SAMPLES, 1);
        with_each_isa(|isa| {
            let mut moments = MapMoments::default();
            let (first, second) = map.split_at(3 * SAMPLES);
            moments.add(first, 3);
            moments.add(second, 3);
            let [sum, squares] = moments.of(5);
            let own = (0..6).flat_map(|p| (0..5).map(move |l| p * SAMPLES + l)).map(|i| f64::from(map[i]));
            let (a, b) = own.fold((0.0, 0.0), |(a, b), v| (a + v, b + v * v));
            assert!((sum - a).abs() < 1e-5 && (squares - b).abs() < 1e-5, "{isa:?}");
        });
    }
}
