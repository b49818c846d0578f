//! Convolutions on the tile unit without patches: pixels of a padded row overlap as the rows of a tile, one tile for each run of
//! neighbouring numbers of `k`.

use super::amx::{Convolution, Step, Tiles, tiles};
use super::conv::Conv3;
use super::{Bf16Arithmetic, Bf16Panels, Int8Panels, Isa};

/// An image in int8, padded, every byte standing for `scale` of it. Says whether the channels and the processor suit.
pub(super) fn int8(conv: Conv3, padded: &[i8], scale: f32, b: &Int8Panels, y: &mut [f32]) -> bool {
    let c = conv.channels;
    // Numbers of a step, and where its window begins: at each row of the kernel, or at each of its pixels.
    let (bytes, taps) = match 3 * c {
        run @ ..=64 if run.is_multiple_of(4) => (run, 3),
        _ if c.is_multiple_of(4) && c <= 64 => (c, 9),
        _ => return false,
    };
    let Some(tiles) = (if Isa::detect() == Isa::Amx { tiles() } else { None }) else { return false };
    check(conv, padded.len(), y.len(), b.k(), b.n());
    let (stride, scales) = ((conv.width + 2) * c, b.scales());
    let job = Convolution {
        conv,
        b: b.columns.data(),
        width: b.width(),
        groups: b.columns.groups,
        n: b.n(),
        bytes,
    };
    let n = b.n();
    // SAFETY: the windows of up to 32 pixels of a row lie in the padded row, whose length was checked.
    unsafe {
        tiles.convolve_int8(
            &job,
            |y, x, steps| {
                steps.extend((0..taps).map(|tap| {
                    let (dy, dx) = (tap / (taps / 3), tap % (taps / 3));
                    Step { first: padded[(y + dy) * stride + (x + dx) * c..].as_ptr().cast(), stride: c }
                }));
            },
            |sums, first, columns| {
                let scales = &scales[columns.clone()];
                scaled(&mut y[first * n + columns.start..], n, sums, scale, scales);
            },
        );
    }
    true
}

/// An image in bf16, padded; `seams` is scratch. Says whether the channels and the processor suit.
///
/// The tile unit adds 32 numbers of `k` at a time, so steps are those of a patch: two pixels of sixteen channels each. Two that
/// do not stand side by side in the image are copied to `seams`, as is the last one, which zeros follow.
pub(super) fn bf16(
    conv: Conv3,
    padded: &[u16],
    b: &Bf16Panels,
    y: &mut [f32],
    seams: &mut Vec<[[u16; 16]; 2]>,
) -> bool {
    let c = conv.channels;
    let Some(tiles) = own_tiles(b) else { return false };
    if c != 16 && !c.is_multiple_of(32) || c == 0 {
        return false;
    }
    check(conv, padded.len(), y.len(), b.k(), b.n());
    let (stride, n) = ((conv.width + 2) * c, b.n());
    let job =
        Convolution { conv, b: b.columns.data(), width: b.width(), groups: b.columns.groups, n, bytes: 64 };
    let finish = |sums: &[i32], first: usize, columns: std::ops::Range<usize>| {
        let out = y[first * n + columns.start..].chunks_mut(n);
        for (out, sums) in out.zip(sums.as_chunks::<16>().0) {
            for (out, sum) in out.iter_mut().zip(&sums[..columns.len()]) {
                *out = f32::from_bits(sum.cast_unsigned());
            }
        }
    };
    let at = |y: usize, x: usize, channel: usize| padded[y * stride + x * c + channel..].as_ptr().cast();
    if c == 16 {
        let pixels = padded.as_chunks::<16>().0;
        let row = |y: usize| &pixels[y * (conv.width + 2)..][..conv.width + 2];
        seams.resize(2 * conv.width, [[0; 16]; 2]);
        let mut made = usize::MAX;
        let steps = |y: usize, x: usize, steps: &mut Vec<Step>| {
            if made != y {
                made = y;
                let [upper, middle, lower] = [row(y), row(y + 1), row(y + 2)];
                let (seam, last) = seams.split_at_mut(conv.width);
                for (i, (seam, last)) in seam.iter_mut().zip(last).enumerate() {
                    *seam = [upper[i + 2], middle[i]];
                    *last = [lower[i + 2], [0; 16]];
                }
            }
            let (beside, apart) = (2 * c, size_of_val(&seams[0]));
            let step = |first, stride| Step { first, stride };
            steps.extend([
                step(at(y, x, 0), beside),
                step(seams[x..].as_ptr().cast(), apart),
                step(at(y + 1, x + 1, 0), beside),
                step(at(y + 2, x, 0), beside),
                step(seams[conv.width + x..].as_ptr().cast(), apart),
            ]);
        };
        // SAFETY: as for `int8`; the seams have a pair for each pixel of a row.
        unsafe { tiles.convolve_bf16(&job, steps, finish) }
    } else {
        let steps =
            |y: usize, x: usize, steps: &mut Vec<Step>| {
                let taps = (0..9).flat_map(|tap| (0..c).step_by(32).map(move |channel| (tap, channel)));
                steps.extend(taps.map(|(tap, channel)| Step {
                    first: at(y + tap / 3, x + tap % 3, channel),
                    stride: 2 * c,
                }));
            };
        // SAFETY: as for `int8`; the seams have a pair for each pixel of a row.
        unsafe { tiles.convolve_bf16(&job, steps, finish) }
    }
    true
}

/// The tile unit, where it is what gives the bits of these weights.
fn own_tiles(b: &Bf16Panels) -> Option<Tiles> {
    (b.arithmetic() == Bf16Arithmetic::Amx && Bf16Arithmetic::Amx.is_native()).then(tiles).flatten()
}

fn check(conv: Conv3, padded: usize, y: usize, k: usize, n: usize) {
    let fit = padded >= conv.padded() && y >= conv.height * conv.width * n && k == 9 * conv.channels;
    assert!(fit, "a convolution's sizes: {conv:?}, {padded} and {y} numbers, {k} × {n}");
}

super::multiversion! {
fn scaled(y: &mut [f32], n: usize, sums: &[i32], scale: f32, columns: &[f32]) {
    for (y, sums) in y.chunks_mut(n).zip(sums.as_chunks::<16>().0) {
        for ((y, s), v) in y.iter_mut().zip(sums).zip(columns) {
            *y = *s as f32 * (scale * v);
        }
    }
}
}
