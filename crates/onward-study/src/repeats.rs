//! What repeated losses of one candidate say: their mean, and how sure it is.

use super::unit::unit_of;

/// The mean of repeated losses with its 95 % interval (Student, *Biometrika* 1908): `m ± t s/√n`.
///
/// ```
/// let mean = onward_study::Repeated::of(&[1.0, 2.0, 3.0]).unwrap_or_default();
/// assert_eq!((mean.mean, mean.count), (2.0, 3));
/// assert!(mean.half_width.is_some_and(|h| (h - 4.302_653 / 3f64.sqrt()).abs() < 1e-5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Repeated {
    /// The mean.
    pub mean: f64,
    /// Half of the interval's width; `None` for a single loss.
    pub half_width: Option<f64>,
    /// The number of losses.
    pub count: usize,
}

impl Repeated {
    /// The mean of these losses; `None` if there are none or if one is not finite.
    pub fn of(losses: &[f64]) -> Option<Self> {
        if losses.is_empty() || losses.iter().any(|l| !l.is_finite()) {
            return None;
        }
        let n = losses.len() as f64;
        // Near 1, and around the first, so that equal losses have exactly their mean and no spread.
        let unit = unit_of(losses.iter().fold(0.0, |m: f64, l| m.max(l.abs())));
        let first = losses[0] * unit;
        let mean = first + losses.iter().map(|l| l * unit - first).sum::<f64>() / n;
        let differences: Vec<f64> = losses.iter().map(|l| l * unit - mean).collect();
        let finer = unit_of(differences.iter().fold(0.0, |m: f64, d| m.max(d.abs())));
        let squares: f64 = differences.iter().map(|d| (d * finer) * (d * finer)).sum();
        let half_width =
            (losses.len() > 1).then(|| quantile(n - 1.0) * ((squares / (n - 1.0) / n).sqrt() / finer) / unit);
        let mean = mean / unit;
        Some(Self { mean, half_width, count: losses.len() })
    }
}

/// The 97.5 % quantile of Student's distribution: from tables up to 10 degrees of freedom, then by the expansion around
/// the normal distribution's (Abramowitz and Stegun 26.7.5), which is right to five digits there.
fn quantile(freedom: f64) -> f64 {
    const TABLE: [f64; 10] = [
        12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
        2.228_139,
    ];
    // Coefficients of powers of 1/freedom, at the normal quantile that comes first.
    const SERIES: [f64; 5] = [1.959964, 2.372271, 2.822499, 2.555850, 1.589534];
    let tabled = TABLE.get(freedom as usize - 1).copied();
    tabled.unwrap_or_else(|| SERIES.iter().rev().fold(0.0, |sum, c| sum / freedom + c))
}

#[cfg(test)]
mod tests {
    use super::super::Draws;
    use super::*;

    #[test]
    fn quantiles_are_those_of_published_tables() {
        let table =
            [(1.0, 12.7062), (10.0, 2.228_14), (11.0, 2.200_985), (20.0, 2.085_963), (120.0, 1.979_93)];
        for (freedom, want) in table {
            assert!((quantile(freedom) - want).abs() < 2e-5, "{freedom}: {}", quantile(freedom));
        }
    }

    #[test]
    fn intervals_hold_the_mean_as_often_as_they_say() {
        let mut held = 0;
        for trial in 0..4000 {
            let mut losses = [0.0; 5];
            Draws::new(1, 0).normal(trial, 0, &mut losses);
            let repeated = Repeated::of(&losses).unwrap();
            held += usize::from(repeated.mean.abs() <= repeated.half_width.unwrap());
        }
        // 95 % of 4000, within four standard errors.
        assert!((3745..=3855).contains(&held), "{held}");
    }

    #[test]
    fn f21_means_of_any_size_have_their_interval() {
        let plain = Repeated::of(&[1.0, 2.0, 4.0]).unwrap();
        for exponent in [-1000, 1020] {
            let scale = 2f64.powi(exponent);
            let scaled = Repeated::of(&[scale, 2.0 * scale, 4.0 * scale]).unwrap();
            assert_eq!(
                (scaled.mean / scale, scaled.half_width.unwrap() / scale),
                (plain.mean, plain.half_width.unwrap())
            );
        }
    }

    #[test]
    fn what_has_no_mean_has_none() {
        assert_eq!(Repeated::of(&[]), None);
        assert_eq!(Repeated::of(&[1.0, f64::NAN]), None);
        assert_eq!(Repeated::of(&[3.5]), Some(Repeated { mean: 3.5, half_width: None, count: 1 }));
        assert_eq!(Repeated::of(&[0.1; 7]), Some(Repeated { mean: 0.1, half_width: Some(0.0), count: 7 }));
    }
}
