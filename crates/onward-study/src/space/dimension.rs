//! One dimension: what may be chosen along it, and its encoding.

use super::grid::{on_grid, tidied};
use crate::{Error, ErrorKind, Result};
use onward_kernel::{exp64, ln64};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether equal steps are equal differences or equal ratios.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spacing {
    /// Equal differences.
    #[default]
    Linear,
    /// Equal ratios: for what is positive and spans orders of magnitude.
    Log,
}

/// The domain of a dimension: the values that it can take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Any number; search begins at `start` with steps of about `scale`.
    Real {
        /// Where search begins.
        start: f64,
        /// How far first candidates lie from there: a standard deviation.
        scale: f64,
    },
    /// A dimension of numbers from `low` to `high`.
    Float {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
        /// What equal steps are.
        spacing: Spacing,
    },
    /// Whole numbers from `low` to `high`, both included.
    Int {
        /// The lowest value.
        low: i64,
        /// The highest value.
        high: i64,
        /// What equal steps are.
        spacing: Spacing,
    },
    /// Numbers from `low` on, equal steps apart.
    Grid {
        /// The lowest value.
        low: f64,
        /// The step between neighbours.
        step: f64,
        /// How many values there are.
        count: u64,
        /// Whether all of them are whole numbers.
        whole: bool,
    },
    /// One of some names.
    Category {
        /// The names.
        options: Vec<String>,
    },
}

/// One named dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dimension {
    /// The name of the dimension, unique in a space.
    pub name: String,
    /// The values that it can take.
    pub kind: Domain,
}

/// One value of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Argument {
    /// A value of a real or float dimension.
    Float(f64),
    /// A value of an int dimension.
    Int(i64),
    /// The index of an option of a category.
    Category(usize),
}

impl Argument {
    /// The value as a number (an option's index for a category).
    pub fn number(self) -> f64 {
        match self {
            Self::Float(v) => v,
            Self::Int(v) => v as f64,
            Self::Category(v) => v as f64,
        }
    }
}

/// Largest magnitude up to which every whole number is an f64.
const EXACT: i64 = 1 << 53;
/// What an option's number is encoded as if it is chosen, and if not.
const CHOSEN: [f64; 2] = [0.75, 0.25];

impl Dimension {
    pub(super) fn new(name: impl Into<String>, kind: Domain) -> Self {
        Self { name: name.into(), kind }
    }

    /// An unbounded dimension, searched from `start` with steps of about `scale`.
    pub fn real(name: impl Into<String>, start: f64, scale: f64) -> Self {
        Self::new(name, Domain::Real { start, scale })
    }

    /// A dimension of numbers from `low` to `high`.
    pub fn float(name: impl Into<String>, low: f64, high: f64) -> Self {
        Self::new(name, Domain::Float { low, high, spacing: Spacing::Linear })
    }

    /// A dimension of positive numbers from `low` to `high`, searched on a log scale.
    pub fn log_float(name: impl Into<String>, low: f64, high: f64) -> Self {
        Self::new(name, Domain::Float { low, high, spacing: Spacing::Log })
    }

    /// A dimension of whole numbers from `low` to `high`.
    pub fn int(name: impl Into<String>, low: i64, high: i64) -> Self {
        Self::new(name, Domain::Int { low, high, spacing: Spacing::Linear })
    }

    /// A dimension of positive whole numbers from `low` to `high`, searched on a log scale.
    pub fn log_int(name: impl Into<String>, low: i64, high: i64) -> Self {
        Self::new(name, Domain::Int { low, high, spacing: Spacing::Log })
    }

    /// A dimension of `count` numbers from `low` on, `step` apart.
    pub fn grid(name: impl Into<String>, low: f64, step: f64, count: u64) -> Self {
        let whole = low.fract() == 0.0 && step.fract() == 0.0;
        Self::new(name, Domain::Grid { low, step, count, whole })
    }

    /// A categorical dimension with these options.
    pub fn category(name: impl Into<String>, options: &[&str]) -> Self {
        Self::new(name, Domain::Category { options: options.iter().map(|o| (*o).to_owned()).collect() })
    }

    pub(super) fn complain(&self, expected: impl fmt::Display, found: impl fmt::Display) -> Error {
        Error::expected(ErrorKind::Spec, format!("dimension `{}`", self.name), expected, found)
    }

    pub(super) fn check(&self) -> Result<()> {
        match &self.kind {
            Domain::Real { start, .. } if !start.is_finite() => Err(self.complain("a finite start", start)),
            Domain::Real { scale, .. } if !(scale.is_finite() && *scale > 0.0) => {
                Err(self.complain("a positive scale", scale))
            }
            Domain::Float { low, high, spacing } => self.check_range(*low, *high, *spacing),
            Domain::Int { low, high, .. } if *low < -EXACT || *high > EXACT => {
                Err(self.complain("whole numbers within ±2^53", format!("{low}..{high}")))
            }
            Domain::Int { low, high, spacing } => self.check_range(*low as f64, *high as f64, *spacing),
            Domain::Grid { low, step, count, .. } => self.check_grid(*low, *step, *count),
            Domain::Category { options } => self.check_options(options),
            Domain::Real { .. } => Ok(()),
        }
    }

    fn check_range(&self, low: f64, high: f64, spacing: Spacing) -> Result<()> {
        // Without the zeros that the smallest and largest numbers would have.
        let plain = |x: f64| x == 0.0 || (1e-5..1e16).contains(&x.abs());
        let short = |x: f64| if plain(x) { format!("{x}") } else { format!("{x:?}") };
        let found = format!("{}..{}", short(low), short(high));
        if !(low.is_finite() && high.is_finite()) {
            return Err(self.complain("finite bounds", found));
        }
        if !(high - low).is_finite() {
            return Err(self.complain("bounds less than 1.8e308 apart", format!("{low:e}..{high:e}")));
        }
        if low >= high {
            return Err(self.complain("a low bound below the high one", found));
        }
        if spacing == Spacing::Log && low < f64::MIN_POSITIVE {
            return Err(self.complain("a positive low bound, since it is searched by ratio", found));
        }
        Ok(())
    }

    fn check_grid(&self, low: f64, step: f64, count: u64) -> Result<()> {
        if !(step.is_finite() && step > 0.0) {
            return Err(self.complain("a positive step", step));
        }
        if !(2..=EXACT as u64).contains(&count) {
            return Err(self.complain("a grid of 2 to 2^53 values", count));
        }
        self.check_range(low, low + step * (count - 1) as f64, Spacing::Linear)
    }

    fn check_options(&self, options: &[String]) -> Result<()> {
        if options.len() < 2 {
            return Err(self.complain("at least 2 options", options.len()));
        }
        if options.iter().any(String::is_empty) {
            return Err(self.complain("options with names", "an empty one"));
        }
        match options.iter().enumerate().find(|(i, o)| options[..*i].contains(o)) {
            Some((_, twice)) => Err(self.complain("different options", format!("`{twice}` twice"))),
            None => Ok(()),
        }
    }

    /// The number of coordinates in the encoding.
    pub(super) fn width(&self) -> usize {
        if let Domain::Category { options } = &self.kind { options.len() } else { 1 }
    }

    /// The ends of the encoded box before it is brought to [0, 1], in logarithms for `log`.
    pub(super) fn ends(&self) -> (f64, f64) {
        let (low, high, spacing) = match self.kind {
            Domain::Float { low, high, spacing } => (low, high, spacing),
            Domain::Int { low, high, spacing } => (low as f64 - 0.5, high as f64 + 0.5, spacing),
            Domain::Grid { count, .. } => (-0.5, count as f64 - 0.5, Spacing::Linear),
            Domain::Real { .. } | Domain::Category { .. } => (0.0, 1.0, Spacing::Linear),
        };
        match spacing {
            Spacing::Linear => (low, high),
            Spacing::Log => (ln64(low), ln64(high)),
        }
    }

    pub(super) fn decode(&self, encoded: &[f64], (from, to): (f64, f64)) -> Argument {
        let inside = || from + (to - from) * reflected(encoded[0]);
        match self.kind {
            Domain::Real { .. } => Argument::Float(encoded[0]),
            Domain::Float { low, high, spacing: Spacing::Linear } => {
                Argument::Float(inside().clamp(low, high))
            }
            Domain::Float { low, high, spacing: Spacing::Log } => {
                Argument::Float(exp64(inside()).clamp(low, high))
            }
            Domain::Int { low, high, spacing: Spacing::Linear } => {
                Argument::Int((inside().round() as i64).clamp(low, high))
            }
            Domain::Int { low, high, spacing: Spacing::Log } => {
                Argument::Int((exp64(inside()).round() as i64).clamp(low, high))
            }
            Domain::Grid { low, step, count, whole } => {
                let value = low + step * inside().round().clamp(0.0, (count - 1) as f64);
                if whole { Argument::Int(value as i64) } else { Argument::Float(tidied(value, step)) }
            }
            Domain::Category { .. } => {
                // Reflected, so that no option gets so far ahead that the others never win again.
                let of = |i: usize| reflected(encoded[i]);
                let best = (1..encoded.len()).fold(0, |b, i| if of(i) > of(b) { i } else { b });
                Argument::Category(best)
            }
        }
    }

    pub(super) fn encode(&self, value: Argument, (from, to): (f64, f64), out: &mut Vec<f64>) -> Result<()> {
        let unit = |v: f64| ((v - from) / (to - from)).clamp(0.0, 1.0);
        match (&self.kind, value) {
            (Domain::Real { .. }, Argument::Float(v)) if v.is_finite() => out.push(v),
            (Domain::Float { low, high, spacing }, Argument::Float(v)) if (*low..=*high).contains(&v) => {
                out.push(unit(if *spacing == Spacing::Log { ln64(v) } else { v }));
            }
            (Domain::Int { low, high, spacing }, Argument::Int(v)) if (*low..=*high).contains(&v) => {
                let v = v as f64;
                out.push(unit(if *spacing == Spacing::Log { ln64(v) } else { v }));
            }
            (Domain::Grid { low, step, count, whole }, Argument::Int(_) | Argument::Float(_))
                if *whole == matches!(value, Argument::Int(_))
                    && on_grid(value.number(), *low, *step, *count) =>
            {
                out.push(unit(((value.number() - low) / step).round()));
            }
            (Domain::Category { options }, Argument::Category(c)) if c < options.len() => {
                let first = out.len();
                out.resize(first + options.len(), 0.0);
                choose(c, &mut out[first..]);
            }
            _ => return Err(self.complain("a value of its kind within its bounds", format!("{value:?}"))),
        }
        Ok(())
    }

    /// Whether its values are whole numbers or options.
    pub fn is_stepped(&self) -> bool {
        !matches!(self.kind, Domain::Real { .. } | Domain::Float { .. })
    }

    /// The step between neighbours in the encoding (the geometric middle's for `log`), or `None` if continuous.
    pub(super) fn grain(&self) -> Option<f64> {
        let (from, to) = self.ends();
        match self.kind {
            Domain::Int { spacing: Spacing::Linear, .. } | Domain::Grid { .. } => Some(1.0 / (to - from)),
            Domain::Int { spacing: Spacing::Log, .. } => {
                let middle = exp64(0.5 * (from + to)).max(1.0);
                Some((ln64(middle + 0.5) - ln64(middle - 0.5)) / (to - from))
            }
            Domain::Category { .. } => Some(1.0),
            Domain::Real { .. } | Domain::Float { .. } => None,
        }
    }
}

/// Encodes an option of a category.
pub fn choose(option: usize, out: &mut [f64]) {
    out.iter_mut().enumerate().for_each(|(i, o)| *o = CHOSEN[usize::from(i != option)]);
}

/// The triangle wave that is the identity on [0, 1].
fn reflected(u: f64) -> f64 {
    let wrapped = u - 2.0 * (0.5 * u).floor();
    if wrapped > 1.0 { 2.0 - wrapped } else { wrapped }
}
