//! What samples say of means: Student's and the binomial distribution, intervals, and tests of paired differences.
//!
//! These are figures for people. Their last bits follow the system's logarithm, so no candidate depends on them.
//!
//! ```
//! use onward_study::statistics::{Difference, t_quantile};
//! assert!((t_quantile(0.975, 7.0) - 2.364_624).abs() < 1e-6);
//! let paired = Difference::paired(&[(0.91, 0.90), (0.93, 0.91), (0.92, 0.92)]).unwrap_or_default();
//! assert_eq!((paired.count, paired.greater, paired.less, paired.ties), (3, 2, 0, 1));
//! assert!((paired.mean - 0.01).abs() < 1e-12 && paired.t_test.is_some_and(|p| (p - 0.2254).abs() < 1e-4));
//! ```

use crate::repeats::Repeated;

/// The logarithm of the gamma function at `x > 0`: Stirling's series, after steps to where it is exact to 1e-13.
fn ln_gamma(x: f64) -> f64 {
    const FAR: f64 = 12.0;
    let (mut at, mut product) = (x, 1.0);
    while at < FAR {
        product *= at;
        at += 1.0;
    }
    let inverse = 1.0 / (at * at);
    // Bernoulli's numbers B₂ₖ/(2k (2k − 1)).
    let series = [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0];
    let tail = series.iter().rev().fold(0.0, |sum, c| sum * inverse + c) / at;
    (at - 0.5) * at.ln() - at + 0.5 * (2.0 * std::f64::consts::PI).ln() + tail - product.ln()
}

/// The regularised incomplete beta function `I_x(a, b)` by its continued fraction (DLMF 8.17.22, evaluated as Lentz does).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast below its middle; beyond, the other tail is computed.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    const TINY: f64 = 1e-300;
    let apart = |v: f64| if v.abs() < TINY { TINY } else { v };
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln();
    let (mut above, mut below, mut fraction) = (1.0, 0.0, 1.0);
    for n in 0..500u32 {
        let m = f64::from(n / 2);
        let term = match n {
            0 => 1.0,
            n if n.is_multiple_of(2) => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        below = 1.0 / apart(1.0 + term * below);
        above = apart(1.0 + term / above);
        fraction *= above * below;
        if (above * below - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front.exp() / a * (fraction - 1.0)
}

/// The probability that Student's variable with `freedom > 0` degrees of freedom is at least as far from 0 as `t`.
#[must_use]
pub fn t_two_sided(t: f64, freedom: f64) -> f64 {
    if t.is_nan() || freedom.is_nan() {
        return f64::NAN;
    }
    if t.is_infinite() {
        return 0.0;
    }
    incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5)
}

/// The quantile of Student's distribution with `freedom > 0` degrees of freedom at `probability`, between 0 and 1.
#[must_use]
pub fn t_quantile(probability: f64, freedom: f64) -> f64 {
    let tail = 2.0 * probability.min(1.0 - probability);
    if tail >= 1.0 {
        return 0.0;
    }
    let mut high = 1.0;
    while t_two_sided(high, freedom) > tail && high < 1e300 {
        high *= 2.0;
    }
    let mut low = 0.0;
    // As many halvings as the digits of a double.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if t_two_sided(middle, freedom) > tail { low = middle } else { high = middle }
    }
    if probability < 0.5 { -high } else { high }
}

/// The exact two-sided sign test: how likely `greater` and `less` differences of each sign, or a split as uneven, are if both
/// signs are as likely. 1 where there are none.
#[must_use]
pub fn sign_test(greater: usize, less: usize) -> f64 {
    let n = greater + less;
    let choose = |k: usize| (1..=k).fold(0.0, |sum, i| sum + (((n - k + i) as f64) / (i as f64)).ln());
    let tail: f64 =
        (0..=greater.min(less)).map(|k| (choose(k) - n as f64 * std::f64::consts::LN_2).exp()).sum();
    (2.0 * tail).min(1.0)
}

/// The adjusted probabilities of several tests (Holm, *Scandinavian Journal of Statistics* 1979): each is held against the same level
/// as one test alone, and the chance of any false finding among all keeps to it.
#[must_use]
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let (mut adjusted, mut least) = (vec![1.0; probabilities.len()], 0.0f64);
    for (rank, at) in order.into_iter().enumerate() {
        least = least.max(probabilities[at] * (probabilities.len() - rank) as f64).min(1.0);
        adjusted[at] = least;
    }
    adjusted
}

/// The difference of two means, with its 95 % interval and what tests say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// The mean of the first less that of the second.
    pub mean: f64,
    /// Half of the 95 % interval's width; `None` for fewer than two pairs.
    pub half_width: Option<f64>,
    /// Pairs; unpaired, the size of the smaller sample.
    pub count: usize,
    /// Whether each value has a partner.
    pub paired: bool,
    /// Pairs whose first value is the greater.
    pub greater: usize,
    /// Pairs whose first value is the less.
    pub less: usize,
    /// Pairs of equal values: the sign test leaves them out.
    pub ties: usize,
    /// The two-sided t test: how likely a difference as large is by chance. `None` for fewer than two pairs.
    pub t_test: Option<f64>,
    /// The exact two-sided sign test of the pairs that are no ties.
    pub sign_test: Option<f64>,
}

impl Difference {
    /// The difference over pairs; `None` if there are none or one is not finite.
    #[must_use]
    pub fn paired(pairs: &[(f64, f64)]) -> Option<Self> {
        let all: Vec<f64> = pairs.iter().map(|(a, b)| a - b).collect();
        let mean = Repeated::of(&all)?;
        let freedom = (all.len() as f64 - 1.0).max(1.0);
        let [greater, less] =
            [|d: &&f64| **d > 0.0, |d: &&f64| **d < 0.0].map(|of| all.iter().filter(of).count());
        let t_test = mean.half_width.map(|half| p_of(mean.mean, half / t_quantile(0.975, freedom), freedom));
        Some(Self {
            mean: mean.mean,
            half_width: mean.half_width,
            count: all.len(),
            paired: true,
            greater,
            less,
            ties: all.len() - greater - less,
            t_test,
            sign_test: Some(sign_test(greater, less)),
        })
    }

    /// The difference of two samples whose values have no partners and need not vary alike (Welch, *Biometrika* 1947); `None` if one is
    /// empty or not finite.
    #[must_use]
    pub fn unpaired(a: &[f64], b: &[f64]) -> Option<Self> {
        let (of_a, of_b) = (Repeated::of(a)?, Repeated::of(b)?);
        // The square of a mean's standard error.
        let variance = |of: &Repeated| {
            let freedom = of.count as f64 - 1.0;
            of.half_width.map(|half| (half / t_quantile(0.975, freedom)).powi(2))
        };
        let mean = of_a.mean - of_b.mean;
        let count = of_a.count.min(of_b.count);
        let plain = Self { mean, count, ..Self::default() };
        let Some((va, vb)) = variance(&of_a).zip(variance(&of_b)) else { return Some(plain) };
        let share = va.powi(2) / (of_a.count as f64 - 1.0) + vb.powi(2) / (of_b.count as f64 - 1.0);
        let freedom = if share > 0.0 { (va + vb).powi(2) / share } else { (a.len() + b.len() - 2) as f64 };
        let error = (va + vb).sqrt();
        let half_width = Some(t_quantile(0.975, freedom) * error);
        Some(Self { half_width, t_test: Some(p_of(mean, error, freedom)), ..plain })
    }
}

/// How likely a mean as far from 0 is by chance. Without any spread it is certain or impossible.
fn p_of(mean: f64, error: f64, freedom: f64) -> f64 {
    if mean == 0.0 { 1.0 } else { t_two_sided(mean / error, freedom) }
}

/// The mean of numbers; 0 of none. Differences from the first are summed, so that the mean of equal numbers is that number.
pub fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let first = values.clone().next().unwrap_or(0.0);
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), v| (sum + (v - first), count + 1));
    first + sum / count.max(1) as f64
}

/// The number that as many are above as below; halfway between two of them, if there are two; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_published_tables() {
        let table = [
            (0.975, 1.0, 12.706_205),
            (0.975, 2.0, 4.302_653),
            (0.975, 7.0, 2.364_624),
            (0.975, 10.0, 2.228_139),
            (0.975, 11.0, 2.200_985),
            (0.975, 120.0, 1.979_930),
            (0.995, 5.0, 4.032_143),
            (0.95, 3.0, 2.353_363),
            (0.9995, 1.0, 636.619_249),
            (0.025, 30.0, -2.042_272),
            (0.5, 4.0, 0.0),
        ];
        for (probability, freedom, want) in table {
            let found = t_quantile(probability, freedom);
            assert!((found - want).abs() < 1e-6, "{probability} {freedom}: {found}");
        }
        assert!((t_quantile(0.975, 1e7) - 1.959_964).abs() < 1e-5);
    }

    #[test]
    fn tails_are_those_of_the_closed_forms() {
        for t in [0.0, 0.3, 1.0, 4.5, 60.0, 1e6] {
            // One degree of freedom is Cauchy's distribution; two have a root alone.
            let one = 1.0 - 2.0 / std::f64::consts::PI * f64::atan(t);
            let two = 1.0 - t / (2.0 + t * t).sqrt();
            for (freedom, want) in [(1.0, one), (2.0, two)] {
                let found = t_two_sided(t, freedom);
                assert!((found - want).abs() < 1e-12 + 1e-9 * want, "{t} {freedom}: {found} {want}");
            }
        }
        assert!((t_two_sided(2.5, 6.0) - 0.046_528).abs() < 1e-6);
        assert_eq!((t_two_sided(f64::INFINITY, 3.0), t_two_sided(f64::NAN, 3.0).is_nan()), (0.0, true));
    }

    #[test]
    fn signs_are_tested_exactly() {
        let cases = [(6, 0, 2.0 / 64.0), (5, 0, 2.0 / 32.0), (7, 1, 18.0 / 256.0), (4, 4, 1.0), (0, 0, 1.0)];
        for (greater, less, want) in cases {
            assert!((sign_test(greater, less) - want).abs() < 1e-12, "{greater} {less}");
            assert!((sign_test(less, greater) - want).abs() < 1e-12);
        }
    }

    #[test]
    fn several_tests_are_held_to_one_level() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!((holm(&[0.2]), holm(&[])), (vec![0.2], vec![]));
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }

    /// Gosset's own example (Student 1908): the hours of sleep that two drugs added for ten patients.
    #[test]
    fn paired_differences_are_those_of_the_first_published_example() {
        let one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let two = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let pairs: Vec<(f64, f64)> = two.into_iter().zip(one).collect();
        let found = Difference::paired(&pairs).unwrap();
        assert!((found.mean - 1.58).abs() < 1e-12);
        assert!((found.half_width.unwrap() - (2.459_886 - 0.700_114) / 2.0).abs() < 1e-5);
        assert!((found.t_test.unwrap() - 0.002_833).abs() < 1e-6);
        assert_eq!((found.greater, found.less, found.ties, found.count), (9, 0, 1, 10));
        // The tie is no evidence for either side: nine of nine.
        assert!((found.sign_test.unwrap() - 2.0 / 512.0).abs() < 1e-12);
        let apart = Difference::unpaired(&two, &one).unwrap();
        assert!((apart.t_test.unwrap() - 0.079_394).abs() < 1e-6, "{apart:?}");
        assert!((apart.half_width.unwrap() - (3.365_483 + 0.205_483) / 2.0).abs() < 1e-5);
        assert!(!apart.paired && apart.sign_test.is_none());
    }

    #[test]
    fn what_cannot_be_tested_is_not() {
        assert_eq!(Difference::paired(&[]), None);
        assert_eq!(Difference::paired(&[(1.0, f64::NAN)]), None);
        let one = Difference::paired(&[(2.0, 1.0)]).unwrap();
        assert_eq!((one.half_width, one.t_test, one.sign_test), (None, None, Some(1.0)));
        let same = Difference::paired(&[(1.0, 1.0); 8]).unwrap();
        assert_eq!((same.half_width, same.t_test, same.sign_test), (Some(0.0), Some(1.0), Some(1.0)));
        let sure = Difference::paired(&[(2.0, 1.0); 8]).unwrap();
        assert_eq!(sure.t_test, Some(0.0));
        assert_eq!(Difference::unpaired(&[1.0], &[2.0, 3.0]).unwrap().t_test, None);
    }
}
