//! What theorems claim, and when a measurement agrees.

use onward::words::{digits, four};
use serde::Serialize;
use std::fmt;

/// Standard errors that a mean may be away from the value that it must have: by chance one in 150 000 is further.
const SURE: f64 = 4.5;
/// Standard errors on either side of a mean that make an interval of 95 %.
const INTERVAL: f64 = 1.96;
/// What rounding may do to a value that must be exact.
const ROUNDING: f64 = 1e-9;

/// A mean of independent measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The mean.
    pub mean: f64,
    /// The standard error of the mean; 0 for what is no mean.
    pub error: f64,
}

impl Measured {
    /// A value without any error.
    pub fn exactly(mean: f64) -> Self {
        Self { mean, error: 0.0 }
    }

    /// The mean of `samples`, at least two of which make a standard error. Without samples, or with one that is not a
    /// number, it is no number: nothing agrees with that.
    pub fn over(samples: &[f64]) -> Self {
        let n = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / n;
        let squares: f64 = samples.iter().map(|s| (s - mean) * (s - mean)).sum();
        let error = if samples.len() < 2 { 0.0 } else { (squares / (n - 1.0) / n).sqrt() };
        Self { mean, error }
    }

    /// The measurement multiplied by a factor.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { mean: self.mean * factor, error: self.error * factor.abs() }
    }

    /// Half of the width of the 95 % interval around the mean.
    pub fn half_width(self) -> f64 {
        INTERVAL * self.error
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            0.0 => f.write_str(&four(self.mean)),
            _ => write!(f, "{} ± {}", four(self.mean), digits(self.half_width(), 2)),
        }
    }
}

/// The claim of a theorem about a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// The number is at most this: the upper end of the 95 % interval must be.
    AtMost(f64),
    /// The number's expectation is exactly `value`: the mean may be 4.5 standard errors away, and the interval of 95 % may reach no
    /// further than the share `within` of the value, so that nothing passes for being noisy.
    Exactly {
        /// The value.
        value: f64,
        /// The precision that is asked of the measurement.
        within: f64,
    },
    /// The number lies between these: the whole 95 % interval must.
    Between(f64, f64),
}

impl Claim {
    /// No claim.
    pub const NONE: Self = Self::Exactly { value: 0.0, within: 0.0 };

    /// The claim that a number is `value` within the relative error `within`.
    pub fn near(value: f64, within: f64) -> Self {
        let reach = value.abs() * within;
        Self::Between(value - reach, value + reach)
    }

    /// The distance from the measurement to the nearest limit, as a share of the allowed range: 1 in the best case,
    /// negative where the claim does not hold, NaN for what is no number.
    pub fn margin(self, measured: Measured) -> f64 {
        let Measured { mean, error } = measured;
        let (low, high) = (mean - INTERVAL * error, mean + INTERVAL * error);
        match self {
            Self::AtMost(bound) => (bound - high) / bound.abs().max(f64::MIN_POSITIVE),
            Self::Between(least, most) => 2.0 * (low - least).min(most - high) / (most - least),
            Self::Exactly { value, within } => {
                let allowed = SURE * error + ROUNDING * value.abs().max(f64::MIN_POSITIVE);
                let precise = 1.0 - measured.half_width() / (within * value.abs());
                // What is measured too roughly does not agree, however near it is.
                let near = 1.0 - (mean - value).abs() / allowed;
                if precise < 0.0 { precise.min(near) } else { near }
            }
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(bound) => write!(f, "≤ {}", four(*bound)),
            Self::Exactly { value, .. } => write!(f, "= {}", four(*value)),
            Self::Between(least, most) => write!(f, "{} … {}", four(*least), four(*most)),
        }
    }
}

/// One number that a theorem makes a claim about, with its measurement.
#[derive(Clone, Serialize)]
pub struct Finding {
    /// The number, in words, and the setting.
    pub what: String,
    /// The claim about it.
    pub claim: Claim,
    /// The measurement.
    pub measured: Measured,
}

impl Finding {
    /// A finding: `what`, its claim and its measurement.
    pub fn new(what: impl Into<String>, claim: Claim, measured: Measured) -> Self {
        Self { what: what.into(), claim, measured }
    }

    /// The margin of the claim ([`Claim::margin`]).
    pub fn margin(&self) -> f64 {
        self.claim.margin(self.measured)
    }

    /// Whether the measurement agrees with the claim.
    pub fn holds(&self) -> bool {
        self.margin() >= 0.0
    }
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds() { "holds" } else { "FAILS" };
        write!(f, "{verdict}: {}: {}, found {}", self.what, self.claim, self.measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(claim: Claim, mean: f64, error: f64) -> bool {
        Finding::new("it", claim, Measured { mean, error }).holds()
    }

    #[test]
    fn a_bound_must_be_kept_by_the_whole_interval() {
        assert!(holds(Claim::AtMost(1.0), 0.9, 0.05) && !holds(Claim::AtMost(1.0), 0.9, 0.06));
        assert!(holds(Claim::Between(1.0, 2.0), 1.5, 0.2) && !holds(Claim::Between(1.0, 2.0), 1.5, 0.3));
        assert!(
            holds(Claim::NONE, 0.0, 0.0) && !holds(Claim::NONE, 1e-300, 0.0) && !holds(Claim::NONE, 1.0, 1.0)
        );
        assert!(holds(Claim::near(-2.0, 0.1), -1.9, 0.0) && !holds(Claim::near(-2.0, 0.1), -1.7, 0.0));
    }

    #[test]
    fn an_exact_value_must_be_met_and_not_by_noise() {
        let claim = Claim::Exactly { value: 10.0, within: 0.05 };
        assert!(holds(claim, 10.4, 0.1) && !holds(claim, 10.5, 0.1) && !holds(claim, 10.0, 1.0));
        assert!(holds(claim, 10.0, 0.0) && !holds(claim, 10.0001, 0.0));
    }

    #[test]
    fn no_number_agrees_with_nothing() {
        let none =
            [Measured::over(&[]), Measured::over(&[1.0, f64::NAN]), Measured::over(&[f64::INFINITY, 1.0])];
        for claim in
            [Claim::AtMost(1.0), Claim::Exactly { value: 1.0, within: 0.1 }, Claim::Between(0.0, 1.0)]
        {
            assert!(none.iter().all(|m| !Finding::new("it", claim, *m).holds()));
        }
    }

    #[test]
    fn means_have_their_errors() {
        let m = Measured::over(&[1.0, 2.0, 3.0, 4.0]);
        assert!((m.mean - 2.5).abs() < 1e-15 && (m.error - (5.0f64 / 12.0).sqrt()).abs() < 1e-15);
        assert_eq!(m.to_string(), "2.5 ± 1.3");
    }
}
