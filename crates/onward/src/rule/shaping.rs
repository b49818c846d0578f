//! From losses to integer coefficients.

/// Centred ranks in `[-½, ½]`, the lowest loss at -½; equal losses share the mean of their ranks (the shaping of Salimans
/// et al. 2017, arXiv 1703.03864, with ties made fair).
pub fn centred_ranks(losses: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..losses.len()).collect();
    order.sort_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    let mut ranks = vec![0.0; losses.len()];
    let last = (losses.len().max(2) - 1) as f64;
    let mut from = 0;
    while from < order.len() {
        let same = order[from..].iter().take_while(|i| losses[**i] == losses[order[from]]).count();
        let rank = (2 * from + same - 1) as f64 / 2.0;
        for i in &order[from..from + same] {
            ranks[*i] = rank / last - 0.5;
        }
        from += same;
    }
    ranks
}

/// The z-scores of losses: minus the mean, divided by the standard deviation; all zero if the losses are equal.
pub fn z_scores(losses: &[f32]) -> Vec<f64> {
    let n = losses.len().max(1) as f64;
    let mean = losses.iter().map(|l| f64::from(*l)).sum::<f64>() / n;
    let deviation = (losses.iter().map(|l| (f64::from(*l) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let inverse = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
    losses.iter().map(|l| (f64::from(*l) - mean) * inverse).collect()
}

/// `values ≈ 2^exponent · coefficients` with the largest coefficients for which every partial sum of coefficient times
/// noise stays an integer below 2²⁴ (`largest` is the noise's largest absolute value; `None`: not integers, no such bound).
pub fn quantise(values: &[f64], largest: Option<u32>) -> (i8, Vec<i16>) {
    let sum: f64 = values.iter().map(|v| v.abs()).sum();
    let top = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if !(sum > 0.0 && sum.is_finite()) {
        return (0, vec![0; values.len()]);
    }
    // Rounding adds at most ½ to each coefficient.
    let room =
        largest.map_or(f64::INFINITY, |z| 16_777_215.0 / f64::from(z) - values.len() as f64 / 2.0).max(1.0);
    let unit = (top / 32_767.0).max(sum / room);
    // The smallest power of two not below the unit; exact, since exponents are read off the bits.
    let mut exponent = (((unit.to_bits() >> 52) & 0x7ff) as i32 - 1023).clamp(-126, 126);
    if 2f64.powi(exponent) < unit {
        exponent += 1;
    }
    let inverse = 2f64.powi(-exponent);
    let round = |v: &f64| (v * inverse).round().clamp(-32_767.0, 32_767.0) as i16;
    (exponent as i8, values.iter().map(round).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranks_are_centred_and_ties_are_fair() {
        assert_eq!(centred_ranks(&[3.0, 1.0, 2.0]), [0.5, -0.5, 0.0]);
        assert_eq!(centred_ranks(&[1.0, 0.0, 1.0, 0.0, 1.0]), [0.25, -0.375, 0.25, -0.375, 0.25]);
        assert_eq!(centred_ranks(&[7.0]), [-0.5]);
        assert_eq!(z_scores(&[2.0, 2.0]), [0.0, 0.0]);
        assert_eq!(z_scores(&[1.0, 3.0]), [-1.0, 1.0]);
    }

    proptest! {
        #[test]
        fn sums_stay_below_two_to_the_24(values in prop::collection::vec(-1e3f64..1e3, 1..2000), largest in 1u32..64) {
            let (exponent, coefficients) = quantise(&values, Some(largest));
            let sum: u64 = coefficients.iter().map(|c| u64::from(c.unsigned_abs())).sum();
            prop_assert!(sum * u64::from(largest) < 1 << 24);
            let unit = 2f64.powi(i32::from(exponent));
            for (v, c) in values.iter().zip(&coefficients) {
                prop_assert!((v - f64::from(*c) * unit).abs() <= unit / 2.0 + 1e-9);
            }
        }
    }
}
