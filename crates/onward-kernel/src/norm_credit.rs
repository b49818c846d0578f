//! A normalisation's input from its output's point of view: what the derivative becomes on the way, sixteen channels at a time in
//! registers.

/// Channels that are worked on side by side.
const LANES: usize = 16;

super::multiversion! {
/// Adds to `moments` the sum of every channel of `g`, then of every channel's products with `x`, over runs of
/// `moments.len() / 2` numbers; in f64 (where products are exact), run after run.
pub fn add_moments_along(g: &[f32], x: &[f32], moments: &mut [f64]) {
    let channels = moments.len() / 2;
    let (sums, along) = moments.split_at_mut(channels);
    let mut first = 0;
    while first + LANES <= channels {
        let mut sum: [f64; LANES] = std::array::from_fn(|l| sums[first + l]);
        let mut product: [f64; LANES] = std::array::from_fn(|l| along[first + l]);
        for (g, x) in g.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            let (g, x) = (&g[first..first + LANES], &x[first..first + LANES]);
            for l in 0..LANES {
                sum[l] += f64::from(g[l]);
                product[l] += f64::from(g[l]) * f64::from(x[l]);
            }
        }
        sums[first..first + LANES].copy_from_slice(&sum);
        along[first..first + LANES].copy_from_slice(&product);
        first += LANES;
    }
    if first < channels {
        for (g, x) in g.chunks_exact(channels).zip(x.chunks_exact(channels)) {
            for l in first..channels {
                sums[l] += f64::from(g[l]);
                along[l] += f64::from(g[l]) * f64::from(x[l]);
            }
        }
    }
}
}

super::multiversion! {
/// `g = factor · (g − mean − x · along)` for every run of `factors.len()` numbers.
pub fn without_moments(g: &mut [f32], x: &[f32], factors: &[f32], mean: &[f32], along: &[f32]) {
    let channels = factors.len();
    for (g, x) in g.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
        for ((((g, x), f), m), a) in g.iter_mut().zip(x).zip(factors).zip(mean).zip(along) {
            *g = f * (*g - m - x * a);
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    #[test]
    fn moments_and_what_is_left_have_the_bits_of_their_definitions() {
        for (pixels, channels) in [(0, 1), (1, 3), (7, 16), (50, 17), (33, 40)] {
            let (g, x) = (numbers(pixels * channels, 1), numbers(pixels * channels, 2));
            let mut want = vec![0f64; 2 * channels];
            for (i, (g, x)) in g.iter().zip(&x).enumerate() {
                want[i % channels] += f64::from(*g);
                want[channels + i % channels] += f64::from(*g) * f64::from(*x);
            }
            let [factors, mean, along] = [3, 4, 5].map(|salt| numbers(channels, salt));
            let left = |i: usize| {
                let k = i % channels;
                // Kept apart, so that nothing can be fused.
                factors[k] * (g[i] - mean[k] - std::hint::black_box(x[i] * along[k]))
            };
            with_each_isa(|isa| {
                let mut found = vec![0f64; 2 * channels];
                add_moments_along(&g, &x, &mut found);
                assert_eq!(found, want, "{isa:?}, {pixels} × {channels}");
                let mut rest = g.clone();
                without_moments(&mut rest, &x, &factors, &mean, &along);
                assert!(rest.iter().enumerate().all(|(i, v)| v.to_bits() == left(i).to_bits()), "{isa:?}");
            });
        }
    }
}
