//! Elementary functions from additions, multiplications, divisions and square roots alone: each of those is correctly
//! rounded by IEEE 754, nothing is contracted, so the bits are the same everywhere. All of them vectorise.

use std::f32::consts::{FRAC_PI_2, FRAC_PI_4, LN_2};

/// `e^x`, within 2 ulp on [-87, 88]; 0 below, infinity above, NaN stays.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer without a library call.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let n = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor on |r| ≤ ln 2 / 2: the first term left out is below 2⁻²⁶.
    let p = 1.0
        + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
    let scale = f32::from_bits((((n as i32) + 127) << 23) as u32);
    let y = p * scale;
    if x > 88.0 {
        f32::INFINITY
    } else if x < -87.0 {
        0.0
    } else {
        y
    }
}

/// `ln x` for finite `x > 0` (not subnormal), within 2 ulp.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    // The exponent that puts the mantissa into [√½, √2).
    let shifted = bits.wrapping_sub(0x3f35_04f3);
    let e = (shifted as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((e << 23) as u32));
    // ln m = 2 artanh((m−1)/(m+1)), whose argument is at most 0.1716.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0))));
    let high = s + s;
    (e as f32) * LN_2 + (high + high * series)
}

/// Sine and cosine of `2π · turn / 2³²`, within 2⁻²² absolutely.
#[inline(always)]
pub fn sin_cos_turn(turn: u32) -> (f32, f32) {
    // The nearest quarter turn, and what is left of it in [-1/8, 1/8) turns.
    let quarter = turn.wrapping_add(1 << 29) >> 30;
    let rest = turn.wrapping_sub(quarter << 30) as i32;
    let x = (rest as f32) * (FRAC_PI_2 / 1_073_741_824.0);
    let z = x * x;
    let (sin, cos) = (sine(x, z), cosine(z));
    let (a, b) = if quarter & 1 == 0 { (sin, cos) } else { (cos, sin) };
    let sin_sign = (quarter & 2) << 30;
    let cos_sign = ((quarter.wrapping_add(1)) & 2) << 30;
    (f32::from_bits(a.to_bits() ^ sin_sign), f32::from_bits(b.to_bits() ^ cos_sign))
}

/// The first 256 bits behind the point of `1 / 2π`.
const ROUND: [u64; 4] =
    [0x28be_60db_9391_054a, 0x7f09_d5f4_7d4d_3770, 0x36d8_a566_4f10_e410, 0x7f94_58ea_f7ae_f158];

/// What angle `x`, a finite number, stands at, in 2³²-ths of a turn: to the last of these, however large it is (Payne and Hanek 1983).
fn turn_of(x: f32) -> u32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23 & 0xff).max(1) as i32 - 150;
    let hidden = if bits >> 23 & 0xff == 0 { 0 } else { 1 << 23 };
    let mantissa = u128::from(bits & 0x007f_ffff | hidden);
    // Bits of 1/2π that weigh 2⁻¹ to 2⁻⁹⁶ times 2⁻ᵉ: those before give whole turns, those behind less than a 2⁶⁸-th of one.
    let word = |i: i32| usize::try_from(i).ok().and_then(|i| ROUND.get(i)).map_or(0, |w| u128::from(*w));
    let (first, inside) = (exponent.div_euclid(64), exponent.rem_euclid(64));
    let window = word(first) << 64 | word(first + 1);
    let window = (window << inside) | (word(first + 2) << inside >> 64);
    let turn = (mantissa.wrapping_mul(window >> 32) >> 64) as u32;
    if x < 0.0 { turn.wrapping_neg() } else { turn }
}

/// `sin x`, within 2⁻²² absolutely, and within 2 ulp for `|x| ≤ π/4`; of what is not finite it is none.
#[inline]
pub fn sin(x: f32) -> f32 {
    if x.abs() <= FRAC_PI_4 {
        return sine(x, x * x);
    }
    if x.is_finite() { sin_cos_turn(turn_of(x)).0 } else { f32::NAN }
}

/// `cos x`, within 2⁻²² absolutely; of what is not finite it is none.
#[inline]
pub fn cos(x: f32) -> f32 {
    if x.abs() <= FRAC_PI_4 {
        return cosine(x * x);
    }
    if x.is_finite() { sin_cos_turn(turn_of(x)).1 } else { f32::NAN }
}

/// Taylor on `|x| ≤ π/4`, with `z = x²`.
#[inline(always)]
fn sine(x: f32, z: f32) -> f32 {
    x + x * z * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5_040.0 + z * (1.0 / 362_880.0))))
}

/// As [`sine`].
#[inline(always)]
fn cosine(z: f32) -> f32 {
    1.0 + z * (-0.5 + z * (1.0 / 24.0 + z * (-1.0 / 720.0 + z * (1.0 / 40_320.0))))
}

/// `tanh x`, within 2⁻²² absolutely.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp(-2.0 * x.abs());
    let y = (1.0 - e) / (1.0 + e);
    if x < 0.0 { -y } else { y }
}

/// The Gaussian error linear unit in its tanh form (Hendrycks and Gimpel 2016, arXiv 1606.08415).
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x)))
}

/// The Gaussian error linear unit `x Φ(x)` by the error function (Hendrycks and Gimpel 2016, arXiv 1606.08415), within 2⁻²¹ absolutely: `Φ(−|x|)` is Hastings'
/// approximation (Abramowitz and Stegun 1964, 7.1.26), which is within 1.5e-7 of the error function, and nothing is cancelled below 0.
#[inline(always)]
pub(crate) fn gelu_erf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let sum =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    let tail = 0.5 * sum * exp(-z * z);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

/// The logistic function `1/(1 + e^(−x))`, within 2⁻²² absolutely.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// `x` times its [`sigmoid`] (Elfwing, Uchibe and Doya 2018, arXiv 1702.03118).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// `ln(1 + e^x)`.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    x.max(0.0) + ln(1.0 + exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The normal distribution, by the series of the error function; beyond 6, where its ends are below 1e-8, as at the ends.
    fn normal(x: f64) -> f64 {
        if x.abs() > 6.0 {
            return if x > 0.0 { 1.0 } else { 0.0 };
        }
        let (z, mut term, mut sum) = (x / std::f64::consts::SQRT_2, 1.0, 0.0);
        for n in 0..200 {
            sum += term / f64::from(2 * n + 1);
            term *= -z * z / f64::from(n + 1);
        }
        0.5 + z * sum / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn functions_agree_with_f64() {
        for i in -870..880 {
            let x = i as f32 * 0.1 + 0.013;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) / want - 1.0).abs() < 3e-7, "exp {x}");
        }
        for i in 1..20_000 {
            let x = i as f32 * 0.37e-2;
            let want = f64::from(x).ln();
            assert!((f64::from(ln(x)) - want).abs() < 3e-7 * want.abs().max(0.3), "ln {x}");
            assert!((f64::from(tanh(x - 20.0)) - f64::from(x - 20.0).tanh()).abs() < 3e-7);
        }
        for i in 0..4096u32 {
            let turn = i.wrapping_mul(1_048_583);
            let angle = f64::from(turn) / 4_294_967_296.0 * std::f64::consts::TAU;
            let (s, c) = sin_cos_turn(turn);
            assert!(
                (f64::from(s) - angle.sin()).abs() < 2.5e-7 && (f64::from(c) - angle.cos()).abs() < 2.5e-7,
                "{turn}"
            );
        }
        // Through all exponents, both signs, and near multiples of a quarter turn.
        let all = (0..0x7f80_0000u32).step_by(40_009).map(f32::from_bits);
        let near = (1..400).map(|i| i as f32 * FRAC_PI_2);
        for x in all.chain(near).flat_map(|x| [x, -x]) {
            let wide = f64::from(x);
            let (s, c) = (f64::from(sin(x)), f64::from(cos(x)));
            assert!((s - wide.sin()).abs() < 2.5e-7 && (c - wide.cos()).abs() < 2.5e-7, "{x}: {s} and {c}");
            let small = wide.abs() <= std::f64::consts::FRAC_PI_4 && x.is_normal();
            assert!(!small || (s - wide.sin()).abs() <= 2.4e-7 * wide.abs(), "sin {x}: {s}");
        }
        assert!(sin(f32::INFINITY).is_nan() && cos(f32::NAN).is_nan());
        assert_eq!((sin(0.0), cos(0.0)), (0.0, 1.0));
        for i in -4000..4000 {
            let x = i as f32 * 0.01 + 0.003;
            let wide = f64::from(x);
            let logistic = 1.0 / (1.0 + (-wide).exp());
            assert!((f64::from(sigmoid(x)) - logistic).abs() < 3e-7, "sigmoid {x}");
            assert!((f64::from(gelu_erf(x)) - wide * normal(wide)).abs() < 4.8e-7, "gelu {x}");
            assert!((f64::from(silu(x)) - wide * logistic).abs() < 4e-7 * wide.abs().max(1.0), "silu {x}");
            assert!(
                (f64::from(softplus(x)) - wide.exp().ln_1p()).abs() < 4e-7 * wide.abs().max(1.0),
                "softplus {x}"
            );
        }
        assert_eq!([sigmoid(-1e30), sigmoid(1e30), silu(-1e30), softplus(1e30)], [0.0, 1.0, 0.0, 1e30]);
        assert!(sigmoid(f32::NAN).is_nan() && silu(f32::NAN).is_nan());
        assert_eq!((exp(-200.0), exp(200.0), exp(0.0)), (0.0, f32::INFINITY, 1.0));
        assert!(exp(f32::NAN).is_nan());
    }
}
