//! 3×3 convolutions with zero padding of one, channels last, as products over windows of a padded image: three
//! neighbouring pixels of a padded row are one contiguous run of `3·channels` numbers, so no patch is ever copied.

use super::hadamard::walsh_hadamard;
use super::product::{Panels, Start, add_to_chains, product, sum_of_chains};

/// The shape of a 3×3 convolution on one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3 {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels per row.
    pub width: usize,
    /// Channels in.
    pub channels: usize,
}

impl Conv3 {
    /// The numbers in one padded image.
    pub fn padded(self) -> usize {
        (self.height + 2) * (self.width + 2) * self.channels
    }

    /// Copies an image into the middle of `padded`, whose border is already zero.
    pub fn pad(self, image: &[f32], padded: &mut [f32]) {
        let row = self.width * self.channels;
        let stride = row + 2 * self.channels;
        for (y, line) in image.chunks_exact(row).enumerate() {
            padded[(y + 1) * stride + self.channels..][..row].copy_from_slice(line);
        }
    }

    /// Where in the padded image the window of output row `y` and kernel row `dy` begins.
    fn window(self, y: usize, dy: usize) -> usize {
        (y + dy) * (self.width + 2) * self.channels
    }
}

/// One image through a convolution: `out (height·width, outputs)`, weights as three panels (one for each kernel row) of
/// `(3·channels) × outputs`.
pub fn conv3x3(shape: Conv3, padded: &[f32], weights: &[Panels; 3], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::conv_rows::convolve(shape, padded, weights, out) {
        return;
    }
    let n = weights[0].n();
    for y in 0..shape.height {
        let row = &mut out[y * shape.width * n..][..shape.width * n];
        for (dy, panel) in weights.iter().enumerate() {
            let start = if dy == 0 { Start::Zero } else { Start::Add };
            product(row, n, &padded[shape.window(y, dy)..], shape.channels, 1, shape.width, panel, start);
        }
    }
}

/// The weights of a convolution by what is left of each channel's number when divided by `parts`.
pub fn by_remainder(weights: &[Panels; 3], parts: usize) -> Vec<[Panels; 3]> {
    (0..parts).map(|m| std::array::from_fn(|dy| weights[dy].every(parts, m))).collect()
}

/// Block `k` of `out` becomes the convolution of `image ∘ hₖ`, for as many rows `hₖ` of a Hadamard matrix as there are
/// `parts` of the weights ([`by_remainder`]); their number is a power of two that divides the channels. As for
/// [`super::hadamard_products`] the work is that of one convolution and some additions.
pub fn conv3x3_hadamard(shape: Conv3, image: &[f32], parts: &[[Panels; 3]], out: &mut [f32]) {
    let size = out.len() / parts.len();
    let part = Conv3 { channels: shape.channels / parts.len(), ..shape };
    let mut padded = vec![0.0; part.padded()];
    for (m, (weights, out)) in parts.iter().zip(out.chunks_exact_mut(size)).enumerate() {
        let own: Vec<f32> = image.chunks_exact(parts.len()).map(|pixel| pixel[m]).collect();
        part.pad(&own, &mut padded);
        conv3x3(part, &padded, weights, out);
    }
    walsh_hadamard(out, size);
}

/// One image through a convolution to a single channel with the kernel `b (3, 3, channels)`: `out (height·width)`.
pub fn conv3x3_single(shape: Conv3, padded: &[f32], b: &[f32], out: &mut [f32]) {
    let run = 3 * shape.channels;
    single(shape, padded, [&b[..run], &b[run..2 * run], &b[2 * run..3 * run]], out);
}

super::multiversion! {
fn single(shape: Conv3, padded: &[f32], b: [&[f32]; 3], out: &mut [f32]) {
    let (width, c) = (shape.width, shape.channels);
    let stride = (width + 2) * c;
    for (y, line) in out.chunks_exact_mut(width).take(shape.height).enumerate() {
        let rows = [0, 1, 2].map(|dy| &padded[(y + dy) * stride..][..stride]);
        if c == 1 {
            single_channel(rows, b, line);
            continue;
        }
        let mut x = 0;
        while x < width {
            x += match width - x {
                8.. if c == 16 => sixteen_channels::<8>(rows, b, x, line),
                4.. if c == 16 => sixteen_channels::<4>(rows, b, x, line),
                1.. if c == 16 => sixteen_channels::<1>(rows, b, x, line),
                _ => pixel(rows, b, x, c, line),
            };
        }
    }
}
}

/// One pixel at `x`.
#[inline(always)]
fn pixel(rows: [&[f32]; 3], b: [&[f32]; 3], x: usize, c: usize, out: &mut [f32]) -> usize {
    let mut chains = [0f32; 16];
    for (row, b) in rows.into_iter().zip(b) {
        add_to_chains(&mut chains, &row[x * c..(x + 3) * c], b);
    }
    out[x] = sum_of_chains(chains);
    1
}

/// `P` pixels from `x` on, a chain for each of their sixteen channels.
// Indexed loops over the lanes are what stays in registers.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn sixteen_channels<const P: usize>(rows: [&[f32]; 3], b: [&[f32]; 3], x: usize, out: &mut [f32]) -> usize {
    let mut chains = [[0f32; 16]; P];
    for dy in 0..3 {
        let pixels = &rows[dy].as_chunks::<16>().0[x..][..P + 2];
        // Not unrolled by hand: the compiler then keeps the lanes together.
        for (dx, taps) in b[dy].as_chunks::<16>().0.iter().enumerate() {
            for p in 0..P {
                for l in 0..16 {
                    chains[p][l] = pixels[p + dx][l].mul_add(taps[l], chains[p][l]);
                }
            }
        }
    }
    let out = &mut out[x..][..P];
    for p in 0..P {
        out[p] = sum_of_chains(chains[p]);
    }
    P
}

/// A line of an image with one channel, where three chains of the sixteen are in use: all pixels side by side.
#[inline(always)]
fn single_channel(rows: [&[f32]; 3], b: [&[f32]; 3], out: &mut [f32]) {
    let width = out.len();
    let shifted = |j: usize| rows.map(|row| &row[j..][..width]);
    let [left, middle, right] = [0, 1, 2].map(shifted);
    // Each chain then meets an empty one on the way.
    let chain = |part: &[&[f32]; 3], j: usize, x: usize| {
        part[2][x].mul_add(b[2][j], part[1][x].mul_add(b[1][j], part[0][x].mul_add(b[0][j], 0.0))) + 0.0
    };
    for (x, out) in out.iter_mut().enumerate().take(width) {
        *out = (chain(&left, 0, x) + chain(&right, 2, x)) + chain(&middle, 1, x);
    }
}

/// Adds one image's share of `Σ g xᵀ` to `credit`, which is `(9·channels, outputs)`; `g` is `(height·width, outputs)`.
pub fn accumulate_conv_credit(shape: Conv3, padded: &[f32], g: &[f32], outputs: usize, credit: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::conv_credit::accumulate(shape, padded, g, outputs, credit) {
        return;
    }
    let run = 3 * shape.channels;
    for y in 0..shape.height {
        let rows =
            Panels::rows(&g[y * shape.width * outputs..][..shape.width * outputs], shape.width, outputs);
        for dy in 0..3 {
            let part = &mut credit[dy * run * outputs..][..run * outputs];
            product(part, outputs, &padded[shape.window(y, dy)..], 1, shape.channels, run, &rows, Start::Add);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_along_a_hadamard_matrix_agree_with_one_each() {
        use super::super::hadamard::hadamard_sign;
        let shape = Conv3 { height: 4, width: 5, channels: 8 };
        let number = |i: usize| ((i * 7919) % 97) as f32 / 48.0 - 1.0;
        let image: Vec<f32> = (0..4 * 5 * 8).map(number).collect();
        let weights: [Panels; 3] = std::array::from_fn(|dy| {
            Panels::transposed(&(0..3 * 24).map(|i| number(i + 31 * dy)).collect::<Vec<f32>>(), 3, 24)
        });
        for parts in [1, 2, 8] {
            let mut found = vec![f32::NAN; parts * 60];
            conv3x3_hadamard(shape, &image, &by_remainder(&weights, parts), &mut found);
            for (k, found) in found.chunks_exact(60).enumerate() {
                let signed: Vec<f32> =
                    image.iter().enumerate().map(|(j, v)| v * hadamard_sign(k, j % parts)).collect();
                let (mut padded, mut want) = (vec![0.0; shape.padded()], vec![0.0; 60]);
                shape.pad(&signed, &mut padded);
                conv3x3(shape, &padded, &weights, &mut want);
                assert!(found.iter().zip(&want).all(|(a, b)| (a - b).abs() < 3e-5), "{k} of {parts}");
            }
        }
    }

    #[test]
    fn convolution_and_credit_agree_with_the_definition() {
        let shape = Conv3 { height: 5, width: 4, channels: 3 };
        let outputs = 2;
        let number = |i: usize| ((i * 7919) % 97) as f32 / 48.0 - 1.0;
        let image: Vec<f32> = (0..5 * 4 * 3).map(number).collect();
        let weights: Vec<f32> = (0..outputs * 27).map(|i| number(i + 13)).collect();
        let mut padded = vec![0.0; shape.padded()];
        shape.pad(&image, &mut padded);
        let panels: [Panels; 3] = std::array::from_fn(|dy| {
            let part: Vec<f32> =
                (0..outputs).flat_map(|o| weights[o * 27 + dy * 9..][..9].to_vec()).collect();
            Panels::transposed(&part, outputs, 9)
        });
        let mut out = vec![0.0; 20 * outputs];
        conv3x3(shape, &padded, &panels, &mut out);
        let mut one = vec![0.0; 20];
        conv3x3_single(shape, &padded, &weights[27..], &mut one);
        let mut credit = vec![0.0; 27 * outputs];
        accumulate_conv_credit(shape, &padded, &out, outputs, &mut credit);
        let pixel = |y: isize, x: isize, c: usize| {
            if (0..5).contains(&y) && (0..4).contains(&x) {
                image[(y as usize * 4 + x as usize) * 3 + c]
            } else {
                0.0
            }
        };
        let mut want_credit = vec![0f64; 27 * outputs];
        for y in 0..5 {
            for x in 0..4 {
                for o in 0..outputs {
                    let mut want = 0f64;
                    for tap in 0..27 {
                        let (dy, dx, c) = (tap / 9, tap / 3 % 3, tap % 3);
                        let v = pixel(y + dy as isize - 1, x + dx as isize - 1, c);
                        want += f64::from(v) * f64::from(weights[o * 27 + tap]);
                        want_credit[tap * outputs + o] +=
                            f64::from(v) * f64::from(out[(y as usize * 4 + x as usize) * outputs + o]);
                    }
                    assert!(
                        (f64::from(out[(y as usize * 4 + x as usize) * outputs + o]) - want).abs() < 1e-5
                    );
                    if o == 1 {
                        assert!((f64::from(one[y as usize * 4 + x as usize]) - want).abs() < 1e-5);
                    }
                }
            }
        }
        assert!(credit.iter().zip(&want_credit).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4));
    }

    #[test]
    fn single_channels_have_the_bits_of_sixteen_chains() {
        let numbers = |n: usize, salt: u32| -> Vec<f32> {
            (0..n as u32)
                .map(|i| ((i.wrapping_mul(2_654_435_761) ^ salt) >> 8) as f32 / 8_388_608.0 - 1.0)
                .collect()
        };
        for (height, width, channels) in
            [(3, 29, 1), (2, 1, 1), (4, 7, 3), (2, 13, 16), (3, 9, 32), (2, 5, 17)]
        {
            let shape = Conv3 { height, width, channels };
            let (padded, b) = (numbers(shape.padded(), 1), numbers(9 * channels, 2));
            crate::with_each_isa(|isa| {
                let mut found = vec![f32::NAN; height * width];
                conv3x3_single(shape, &padded, &b, &mut found);
                for (i, found) in found.iter().enumerate() {
                    let mut chains = [0f32; 16];
                    for dy in 0..3 {
                        let from = shape.window(i / width, dy) + i % width * channels;
                        let b = &b[dy * 3 * channels..][..3 * channels];
                        add_to_chains(&mut chains, &padded[from..from + 3 * channels], b);
                    }
                    assert_eq!(
                        found.to_bits(),
                        sum_of_chains(chains).to_bits(),
                        "{isa:?} {shape:?} pixel {i}"
                    );
                }
            });
        }
    }
}
