//! Functions of single numbers and of two, and sums over axes: operations without tensors that imported nets are made of.

use crate::kernel::{cos, exp, exp64, ln, sin};
use std::f64::consts::FRAC_2_SQRT_PI;
use std::fmt;

/// A function of one number, for [`super::Builder::apply`]. Beyond its domain it answers with what is not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Function {
    /// `e^x`
    Exp,
    /// The natural logarithm.
    Ln,
    /// The sine of an angle in radians, however large.
    Sin,
    /// The cosine of an angle in radians, however large.
    Cos,
    /// `√x`
    Sqrt,
    /// `x²`
    Square,
    /// `1 / x`
    Reciprocal,
    /// `|x|`
    Absolute,
    /// The error function `2/√π ∫₀ˣ e^(−t²) dt`, to single precision.
    Erf,
    /// `a x + b`
    Affine {
        /// `a`
        scale: f32,
        /// `b`
        shift: f32,
    },
    /// The nearest number from `low` to `high`.
    Clip {
        /// The least.
        low: f32,
        /// The largest.
        high: f32,
    },
    /// `x`, or `slope · x` below 0 (Maas, Hannun and Ng 2013).
    LeakyRelu {
        /// What numbers below 0 are multiplied by.
        slope: f32,
    },
    /// `x`, or `alpha (e^x − 1)` below 0 (Clevert, Unterthiner and Hochreiter 2015, arXiv 1511.07289).
    Elu {
        /// The distance of the value far below 0.
        alpha: f32,
    },
}

impl Function {
    /// Whether its constants make a function.
    pub(super) fn is_sound(self) -> bool {
        match self {
            Self::Affine { scale, shift } => scale.is_finite() && shift.is_finite(),
            Self::Clip { low, high } => low <= high,
            Self::LeakyRelu { slope: constant } | Self::Elu { alpha: constant } => constant.is_finite(),
            _ => true,
        }
    }

    /// Its value.
    fn at(self, x: f32) -> f32 {
        match self {
            Self::Exp => exp(x),
            Self::Ln => logarithm(x),
            Self::Sin => sin(x),
            Self::Cos => cos(x),
            Self::Sqrt => x.sqrt(),
            Self::Square => x * x,
            Self::Reciprocal => 1.0 / x,
            Self::Absolute => x.abs(),
            Self::Erf => erf(x),
            Self::Affine { scale, shift } => x.mul_add(scale, shift),
            Self::Clip { low, high } => x.clamp(low, high),
            Self::LeakyRelu { slope } => {
                if x < 0.0 {
                    slope * x
                } else {
                    x
                }
            }
            Self::Elu { alpha } => {
                if x < 0.0 {
                    alpha * (exp(x) - 1.0)
                } else {
                    x
                }
            }
        }
    }

    /// Every number through it.
    pub(super) fn apply_to(self, x: &mut [f32]) {
        x.iter_mut().for_each(|v| *v = self.at(*v));
    }
}

/// The logarithm of any number; the kernel's is of positive normal ones.
fn logarithm(x: f32) -> f32 {
    if x >= f32::MIN_POSITIVE && x.is_finite() {
        ln(x)
    } else if x > 0.0 && x.is_finite() {
        // Subnormal: 2²⁴ times as much is not.
        ln(x * 16_777_216.0) - 24.0 * std::f32::consts::LN_2
    } else if x == 0.0 {
        f32::NEG_INFINITY
    } else if x > 0.0 {
        x
    } else {
        f32::NAN
    }
}

/// `2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!`, whose terms are all of one sign (Abramowitz and Stegun 1964, 7.1.6).
fn erf(x: f32) -> f32 {
    let z = f64::from(x);
    if z.is_nan() || z.abs() > 4.0 {
        return if z.is_nan() { x } else { x.signum() };
    }
    let (mut term, mut sum, mut n) = (z, z, 1.0);
    while term.abs() > 1e-12 * sum.abs() {
        term *= 2.0 * z * z / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    (FRAC_2_SQRT_PI * exp64(-z * z) * sum) as f32
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exp => write!(f, "exp"),
            Self::Ln => write!(f, "ln"),
            Self::Sin => write!(f, "sin"),
            Self::Cos => write!(f, "cos"),
            Self::Sqrt => write!(f, "square root"),
            Self::Square => write!(f, "square"),
            Self::Reciprocal => write!(f, "reciprocal"),
            Self::Absolute => write!(f, "absolute"),
            Self::Erf => write!(f, "erf"),
            Self::Affine { scale, shift } => write!(f, "{scale} x + {shift}"),
            Self::Clip { low, high } => write!(f, "clip {low}..{high}"),
            Self::LeakyRelu { slope } => write!(f, "leaky relu {slope}"),
            Self::Elu { alpha } => write!(f, "elu {alpha}"),
        }
    }
}

/// A function of two numbers, for [`super::Builder::combine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pairwise {
    /// `a − b`
    Subtract,
    /// `a / b`
    Divide,
    /// The larger of the two.
    Maximum,
    /// The smaller of the two.
    Minimum,
    /// 1 where `a < b`, else 0.
    Less,
    /// 1 where `a = b`, else 0.
    Equal,
}

impl Pairwise {
    /// Its value; what is not a number stays none, but in a comparison.
    pub(super) fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Subtract => a - b,
            Self::Divide => a / b,
            Self::Maximum => {
                if a > b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Self::Minimum => {
                if a < b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Self::Less => f32::from(u8::from(a < b)),
            Self::Equal => f32::from(u8::from(a == b)),
        }
    }

    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Subtract => "subtract",
            Self::Divide => "divide",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::Less => "less",
            Self::Equal => "equal",
        }
    }
}

/// A reduction of the numbers along axes, for [`super::Builder::reduce`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The largest.
    Largest,
}

impl Reduction {
    /// What it is called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Largest => "largest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_f64() {
        type Truth = fn(f64) -> f64;
        let cases: [(Function, Truth); 11] = [
            (Function::Exp, f64::exp),
            (Function::Sin, f64::sin),
            (Function::Cos, f64::cos),
            (Function::Sqrt, f64::sqrt),
            (Function::Square, |x| x * x),
            (Function::Reciprocal, |x| 1.0 / x),
            (Function::Absolute, f64::abs),
            (Function::Ln, f64::ln),
            (Function::Affine { scale: -0.5, shift: 2.0 }, |x| 2.0 - 0.5 * x),
            (Function::Clip { low: -1.0, high: 2.0 }, |x| x.clamp(-1.0, 2.0)),
            (Function::Elu { alpha: 0.7 }, |x| if x < 0.0 { 0.7 * (x.exp() - 1.0) } else { x }),
        ];
        for (function, truth) in cases {
            for i in -300..300 {
                let x = i as f32 * 0.037 + 0.011;
                let (found, want) = (f64::from(function.at(x)), truth(f64::from(x)));
                let near = (found - want).abs() <= 4e-7 * want.abs().max(1.0);
                assert!(near || (found.is_nan() && want.is_nan()), "{function} of {x}: {found}, not {want}");
            }
        }
        let leaky = Function::LeakyRelu { slope: 0.25 };
        assert_eq!((leaky.at(-2.0), leaky.at(2.0)), (-0.5, 2.0));
        assert_eq!((logarithm(0.0), logarithm(f32::INFINITY)), (f32::NEG_INFINITY, f32::INFINITY));
        assert!((logarithm(1e-40) + 92.1034).abs() < 1e-3 && logarithm(-1.0).is_nan());
    }

    /// Values of Abramowitz and Stegun 1964, table 7.1.
    #[test]
    fn erf_is_that_of_tables() {
        let table = [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_878),
            (1.0, 0.842_700_793),
            (2.0, 0.995_322_265),
        ];
        for (x, want) in table {
            assert!((f64::from(erf(x)) - want).abs() < 6e-8 && erf(-x) == -erf(x), "erf {x}");
        }
        assert_eq!((erf(4.0), erf(9.0), erf(f32::NEG_INFINITY)), (1.0, 1.0, -1.0));
        assert!(erf(f32::NAN).is_nan());
    }

    #[test]
    fn pairs_keep_what_is_no_number() {
        for pairwise in [Pairwise::Maximum, Pairwise::Minimum, Pairwise::Subtract, Pairwise::Divide] {
            assert!(
                pairwise.of(f32::NAN, 1.0).is_nan() && pairwise.of(1.0, f32::NAN).is_nan(),
                "{pairwise:?}"
            );
        }
        let of = |p: Pairwise| [p.of(1.0, 2.0), p.of(2.0, 1.0), p.of(2.0, 2.0)];
        assert_eq!((of(Pairwise::Less), of(Pairwise::Equal)), ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]));
        assert_eq!((of(Pairwise::Maximum), of(Pairwise::Minimum)), ([2.0; 3], [1.0, 1.0, 2.0]));
        assert_eq!((of(Pairwise::Divide), of(Pairwise::Subtract)), ([0.5, 2.0, 1.0], [-1.0, 1.0, 0.0]));
    }
}
