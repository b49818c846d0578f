//! Numbers as bytes and a scale: `q = round(x · (127 / max|x|))`, ties to even, stands for `q · scale` with `scale = max|x| / 127`.

/// Rounds `x` to bytes of −127..127 and returns the scale: `x[i] ≈ scale · q[i]`, all by correctly rounded operations.
///
/// Where no number is as large as `127 · 2⁻¹²⁶`, the scale and all bytes are 0. Where a number is infinite or NaN, the scale is
/// NaN (and the bytes are 0), so that whatever is multiplied by it is NaN.
#[inline]
pub fn quantise(q: &mut [i8], x: &[f32]) -> f32 {
    let quantised = Quantised::of(x);
    quantised.round(q, x);
    quantised.scale
}

/// How numbers that share a scale are rounded to bytes, as [`quantise`] tells.
#[derive(Clone, Copy)]
pub(super) struct Quantised {
    /// What a byte of 1 stands for.
    pub scale: f32,
    /// What numbers are multiplied by; none where all bytes are 0.
    inverse: Option<f32>,
}

impl Quantised {
    /// The scale of all of `x`.
    pub fn of(x: &[f32]) -> Self {
        // Magnitudes compare like integers; what is not finite is above all that is.
        let largest = largest(x);
        let scale = f32::from_bits(largest) / 127.0;
        if largest >= 0x7f80_0000 {
            Self { scale: f32::NAN, inverse: None }
        } else if scale < f32::MIN_POSITIVE {
            Self { scale: 0.0, inverse: None }
        } else {
            Self { scale, inverse: Some(127.0 / f32::from_bits(largest)) }
        }
    }

    /// Rounds some of the numbers.
    pub fn round(self, q: &mut [i8], x: &[f32]) {
        match self.inverse {
            Some(inverse) => round(q, x, inverse),
            None => q.fill(0),
        }
    }
}

super::multiversion! {
/// The bits of the largest magnitude.
fn largest(x: &[f32]) -> u32 {
    x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff))
}
}

super::multiversion! {
fn round(q: &mut [i8], x: &[f32], inverse: f32) {
    // Adding 1.5·2²³ rounds to the nearest integer, ties to even, and leaves it in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse + ROUND).to_bits() as i8;
    }
}
}
