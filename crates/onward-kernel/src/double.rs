//! Elementary functions of f64 on the same terms as those of f32: correctly rounded operations only, the same bits
//! everywhere.

use std::f64::consts::{LN_2, LOG2_E};

/// `e^x`, within 3 ulp on [-708, 709]; 0 below, infinity above, NaN stays.
pub fn exp64(x: f64) -> f64 {
    if x > 709.0 {
        return f64::INFINITY;
    }
    if x < -708.0 {
        return 0.0;
    }
    // The first ends in 21 zero bits, so that its product with an integer below 2¹¹ is exact.
    const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let n = (x * LOG2_E).round();
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor on |r| ≤ ln 2 / 2: the first term left out is below 2⁻⁵⁷.
    let series = (1..=13).rev().fold(1.0, |p, k| 1.0 + p * (r / f64::from(k)));
    series * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// `ln x` for finite `x > 0` (not subnormal), within 3 ulp or 2⁻⁵².
pub fn ln64(x: f64) -> f64 {
    let bits = x.to_bits();
    // The exponent that puts the mantissa into [√½, √2).
    let e = (bits.wrapping_sub(0x3fe6_a09e_667f_3bcd) as i64) >> 52;
    let m = f64::from_bits(bits.wrapping_sub((e << 52) as u64));
    // ln m = 2 artanh((m−1)/(m+1)), whose argument is at most 0.1716.
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let series = (1..=11).rev().fold(0.0, |p, k| z * (1.0 / f64::from(2 * k + 1) + p));
    e as f64 * LN_2 + (s + s + (s + s) * series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_the_system() {
        for i in -7000..7000 {
            let x = f64::from(i) * 0.1 + 0.013;
            assert!((exp64(x) / x.exp() - 1.0).abs() < 1e-15, "exp {x}");
            let y = (x * 0.9).exp();
            assert!((ln64(y) - y.ln()).abs() < 1e-15 * y.ln().abs().max(0.5), "ln {y}");
        }
        assert_eq!((exp64(0.0), exp64(-800.0), exp64(800.0)), (1.0, 0.0, f64::INFINITY));
        assert!(exp64(f64::NAN).is_nan() && ln64(1.0) == 0.0);
    }
}
