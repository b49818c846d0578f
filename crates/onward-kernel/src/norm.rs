//! Normalisation over channels, sixteen of them at a time in registers.

/// Channels that are worked on side by side.
const LANES: usize = 16;

super::multiversion! {
/// Adds to `moments` the sum of every channel, then of every channel's squares, over runs of `moments.len() / 2` numbers; in
/// f64 (where squares are exact), run after run.
pub fn add_moments(pixels: &[f32], moments: &mut [f64]) {
    let channels = moments.len() / 2;
    let (sums, squares) = moments.split_at_mut(channels);
    let mut first = 0;
    while first + LANES <= channels {
        let mut sum: [f64; LANES] = std::array::from_fn(|l| sums[first + l]);
        let mut square: [f64; LANES] = std::array::from_fn(|l| squares[first + l]);
        for pixel in pixels.chunks_exact(channels) {
            let pixel = &pixel[first..first + LANES];
            for l in 0..LANES {
                let v = f64::from(pixel[l]);
                sum[l] += v;
                square[l] += v * v;
            }
        }
        sums[first..first + LANES].copy_from_slice(&sum);
        squares[first..first + LANES].copy_from_slice(&square);
        first += LANES;
    }
    if first < channels {
        for pixel in pixels.chunks_exact(channels) {
            for ((v, sum), square) in pixel[first..].iter().zip(&mut sums[first..]).zip(&mut squares[first..]) {
                let v = f64::from(*v);
                *sum += v;
                *square += v * v;
            }
        }
    }
}
}

super::multiversion! {
/// `pixel = γ · ((pixel − mean) · inverse) + β` for every run of `mean.len()` numbers: the bits of `normalise` and then
/// `scale_and_shift`.
pub fn normalise_and_scale(pixels: &mut [f32], mean: &[f32], inverse: &[f32], gamma: &[f32], beta: &[f32]) {
    let channels = mean.len();
    let mut first = 0;
    while first + LANES <= channels {
        let of = |v: &[f32]| -> [f32; LANES] { std::array::from_fn(|l| v[first + l]) };
        let (m, s, g, b) = (of(mean), of(inverse), of(gamma), of(beta));
        for pixel in pixels.chunks_exact_mut(channels) {
            let pixel = &mut pixel[first..first + LANES];
            for l in 0..LANES {
                pixel[l] = g[l].mul_add((pixel[l] - m[l]) * s[l], b[l]);
            }
        }
        first += LANES;
    }
    if first < channels {
        for pixel in pixels.chunks_exact_mut(channels) {
            for (l, v) in pixel.iter_mut().enumerate().skip(first) {
                *v = gamma[l].mul_add((*v - mean[l]) * inverse[l], beta[l]);
            }
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{normalise, numbers, scale_and_shift, with_each_isa};

    #[test]
    fn moments_are_plain_sums_in_order() {
        for (pixels, channels) in [(0, 1), (1, 3), (7, 16), (50, 17), (33, 40)] {
            let data = numbers(pixels * channels, 1);
            let mut want = vec![0f64; 2 * channels];
            for (i, v) in data.iter().enumerate() {
                want[i % channels] += f64::from(*v);
                want[channels + i % channels] += f64::from(*v) * f64::from(*v);
            }
            with_each_isa(|isa| {
                let mut found = vec![0f64; 2 * channels];
                add_moments(&data, &mut found);
                assert_eq!(found, want, "{isa:?}, {pixels} × {channels}");
            });
        }
    }

    #[test]
    fn one_pass_has_the_bits_of_two() {
        for (pixels, channels) in [(1, 3), (7, 16), (50, 17), (33, 40)] {
            let data = numbers(pixels * channels, 1);
            let [mean, inverse, gamma, beta] = [2, 3, 4, 5].map(|salt| numbers(channels, salt));
            with_each_isa(|isa| {
                let (mut one, mut two) = (data.clone(), data.clone());
                normalise_and_scale(&mut one, &mean, &inverse, &gamma, &beta);
                normalise(&mut two, &mean, &inverse);
                scale_and_shift(&mut two, &gamma, &beta);
                assert_eq!(one, two, "{isa:?}, {pixels} × {channels}");
            });
        }
    }
}
