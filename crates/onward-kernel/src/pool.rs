//! 2×2 pooling of lines of pixels.

/// What a 2×2 pool makes of four pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Their mean.
    Average,
    /// The largest, channel by channel.
    Max,
}

super::multiversion! {
/// Pools two lines to one: `out`, pixels of `channels` numbers, from the two lines above and below each.
pub fn pool_lines(pool: Pool, channels: usize, top: &[f32], bottom: &[f32], out: &mut [f32]) {
    let pairs = top.chunks_exact(2 * channels).zip(bottom.chunks_exact(2 * channels));
    for (out, (top, bottom)) in out.chunks_exact_mut(channels).zip(pairs) {
        let ((a, b), (c, d)) = (top.split_at(channels), bottom.split_at(channels));
        let four = a.iter().zip(b).zip(c.iter().zip(d));
        match pool {
            Pool::Average => out.iter_mut().zip(four).for_each(|(o, ((a, b), (c, d)))| *o = ((a + b) + (c + d)) * 0.25),
            Pool::Max => out.iter_mut().zip(four).for_each(|(o, ((a, b), (c, d)))| *o = a.max(*b).max(c.max(*d))),
        }
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_pixels_become_one() {
        for channels in [1, 3, 16, 17] {
            let line = |salt: usize| -> Vec<f32> {
                (0..5 * channels).map(|i| ((i * 37 + salt) % 23) as f32 - 11.0).collect()
            };
            let (top, bottom) = (line(0), line(5));
            crate::with_each_isa(|isa| {
                let (mut mean, mut largest) = (vec![0.0; 2 * channels], vec![0.0; 2 * channels]);
                pool_lines(Pool::Average, channels, &top, &bottom, &mut mean);
                pool_lines(Pool::Max, channels, &top, &bottom, &mut largest);
                for i in 0..2 * channels {
                    let at = i / channels * 2 * channels + i % channels;
                    let four = [top[at], top[at + channels], bottom[at], bottom[at + channels]];
                    assert_eq!(mean[i], four.iter().sum::<f32>() / 4.0, "{isa:?}");
                    assert_eq!(largest[i], four.into_iter().fold(f32::MIN, f32::max), "{isa:?}");
                }
            });
        }
    }
}
