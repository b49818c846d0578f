//! What repeated losses of one candidate say: their mean, and how sure it is.

use super::statistics::t_quantile;
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
        let half_width = (losses.len() > 1)
            .then(|| t_quantile(0.975, n - 1.0) * ((squares / (n - 1.0) / n).sqrt() / finer) / unit);
        let mean = mean / unit;
        Some(Self { mean, half_width, count: losses.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Draws;
    use super::*;

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
