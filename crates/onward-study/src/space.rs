//! What may be chosen: named dimensions, and their encoding as the real vector that strategies move.
//!
//! | dimension | encoded as | decoded by |
//! |---|---|---|
//! | real | one number, the value itself | nothing |
//! | float | one number, the box as [0, 1] | reflecting into [0, 1], then linear or (`log`) geometric |
//! | int | one number, the box widened by ½ on either side as [0, 1] | the same, then rounding |
//! | grid | one number, its values counted, the box widened by ½ on either side as [0, 1] | the same as for an int |
//! | category | one number per option | reflecting into [0, 1], then the largest wins |
//!
//! Reflection keeps every candidate inside its bounds and leaves what is inside untouched. A cloud of points around the
//! encoding of a category is a distribution over its options, which a strategy learns as it learns any mean (a probit
//! model). So that neither integers nor options freeze while continuous dimensions still converge, [`Space::floor`] gives
//! the standard deviation below which a strategy does not let a coordinate fall.

use crate::{Error, ErrorKind, Result};
use onward_kernel::{exp64, ln64};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

mod grid;
mod written;

use grid::{on_grid, tidied};

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
/// The initial standard deviation in a box of width 1.
const BOX_SIGMA: f64 = 0.25;
/// What an option's number is encoded as if it is chosen, and if not.
const CHOSEN: [f64; 2] = [0.75, 0.25];

impl Dimension {
    fn new(name: impl Into<String>, kind: Domain) -> Self {
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

    fn complain(&self, expected: impl fmt::Display, found: impl fmt::Display) -> Error {
        Error::expected(ErrorKind::Spec, format!("dimension `{}`", self.name), expected, found)
    }

    fn check(&self) -> Result<()> {
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
    fn width(&self) -> usize {
        if let Domain::Category { options } = &self.kind { options.len() } else { 1 }
    }

    /// The ends of the encoded box before it is brought to [0, 1], in logarithms for `log`.
    fn ends(&self) -> (f64, f64) {
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

    fn decode(&self, encoded: &[f64], (from, to): (f64, f64)) -> Argument {
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

    fn encode(&self, value: Argument, (from, to): (f64, f64), out: &mut Vec<f64>) -> Result<()> {
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
    fn grain(&self) -> Option<f64> {
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
pub(super) fn choose(option: usize, out: &mut [f64]) {
    out.iter_mut().enumerate().for_each(|(i, o)| *o = CHOSEN[usize::from(i != option)]);
}

/// The triangle wave that is the identity on [0, 1].
fn reflected(u: f64) -> f64 {
    let wrapped = u - 2.0 * (0.5 * u).floor();
    if wrapped > 1.0 { 2.0 - wrapped } else { wrapped }
}

/// Named dimensions, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Dimension>", into = "Vec<Dimension>")]
pub struct Space {
    dimensions: Vec<Dimension>,
    /// [`Dimension::ends`] of each, since logarithms take time.
    ends: Vec<(f64, f64)>,
}

impl Space {
    /// A space of these dimensions.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] naming the first dimension that is impossible, or if there is none.
    pub fn new(dimensions: impl Into<Vec<Dimension>>) -> Result<Self> {
        let dimensions = dimensions.into();
        if dimensions.is_empty() {
            return Err(Error::expected(ErrorKind::Spec, "space", "at least 1 dimension", 0));
        }
        let mut names = BTreeSet::new();
        for (i, dimension) in dimensions.iter().enumerate() {
            if dimension.name.is_empty() {
                return Err(Error::expected(ErrorKind::Spec, format!("dimension {i}"), "a name", "none"));
            }
            if !names.insert(&dimension.name) {
                return Err(dimension.complain("a name of its own", "another dimension with this one"));
            }
            dimension.check()?;
        }
        let ends = dimensions.iter().map(Dimension::ends).collect();
        Ok(Self { dimensions, ends })
    }

    /// `n` unbounded dimensions `x1 … xn` from the same start and scale.
    ///
    /// # Errors
    /// As for [`Space::new`].
    pub fn reals(n: usize, start: f64, scale: f64) -> Result<Self> {
        Self::new((1..=n).map(|i| Dimension::real(format!("x{i}"), start, scale)).collect::<Vec<_>>())
    }

    /// The dimensions.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// The number of coordinates in the encoding.
    pub fn width(&self) -> usize {
        self.dimensions.iter().map(Dimension::width).sum()
    }

    /// Whether some dimension is whole numbers or options.
    pub fn is_mixed(&self) -> bool {
        self.dimensions.iter().any(Dimension::is_stepped)
    }

    /// The values that an encoded point stands for.
    pub fn decode(&self, encoded: &[f64]) -> Vec<Argument> {
        let mut at = 0;
        let each = self.dimensions.iter().zip(&self.ends).map(|(dimension, ends)| {
            let from = at;
            at += dimension.width();
            dimension.decode(&encoded[from..at], *ends)
        });
        each.collect()
    }

    /// An encoded point that decodes to `values` (to within rounding, for floats).
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] naming the dimension whose value is of another kind or out of bounds.
    pub fn encode(&self, values: &[Argument]) -> Result<Vec<f64>> {
        if values.len() != self.dimensions.len() {
            return Err(Error::expected(
                ErrorKind::Spec,
                "values",
                format!("{} of them", self.dimensions.len()),
                values.len(),
            ));
        }
        let mut encoded = Vec::with_capacity(self.width());
        for ((dimension, ends), value) in self.dimensions.iter().zip(&self.ends).zip(values) {
            dimension.encode(*value, *ends, &mut encoded)?;
        }
        Ok(encoded)
    }

    /// The encoded point where the search begins: the middle of every box, no preference among options.
    pub fn start(&self) -> Vec<f64> {
        self.each(|d| match d.kind {
            Domain::Real { start, .. } => start,
            _ => 0.5,
        })
    }

    /// The standard deviation of the first candidates, one per encoded coordinate.
    pub fn sigma(&self) -> Vec<f64> {
        self.each(|d| match d.kind {
            Domain::Real { scale, .. } => scale,
            _ => BOX_SIGMA,
        })
    }

    /// The least standard deviation of each coordinate: 0 if continuous; else such that a candidate in the middle of a
    /// whole number leaves it in about one of as many coordinates as have steps.
    pub fn floor(&self) -> Vec<f64> {
        let stepped = self.dimensions.iter().filter(|d| d.is_stepped()).map(Dimension::width).sum::<usize>();
        // P(|z| > t) is about exp(−t²/2).
        let share = 0.5 / (2.0 * ln64(2.0 + 2.0 * stepped as f64)).sqrt();
        self.each(|d| d.grain().map_or(0.0, |g| g * share))
    }

    /// The largest distance of encoded points that decode to different values, per coordinate: 1 in a box, infinite without one.
    pub fn extent(&self) -> Vec<f64> {
        self.each(|d| if matches!(d.kind, Domain::Real { .. }) { f64::INFINITY } else { 1.0 })
    }

    /// The range of encoded coordinates that stand for the options of each category.
    pub fn options(&self) -> Vec<Range<usize>> {
        let mut at = 0;
        let all = self.dimensions.iter().map(|d| {
            at += d.width();
            (d, at - d.width()..at)
        });
        all.filter(|(d, _)| matches!(d.kind, Domain::Category { .. })).map(|(_, range)| range).collect()
    }

    fn each(&self, of: impl Fn(&Dimension) -> f64) -> Vec<f64> {
        self.dimensions.iter().flat_map(|d| std::iter::repeat_n(of(d), d.width())).collect()
    }
}

impl TryFrom<Vec<Dimension>> for Space {
    type Error = Error;

    fn try_from(dimensions: Vec<Dimension>) -> Result<Self> {
        Self::new(dimensions)
    }
}

impl From<Space> for Vec<Dimension> {
    fn from(space: Space) -> Self {
        space.dimensions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mixed() -> Space {
        let text =
            ["x:-5..5", "lr:1e-5..1e-1 log", "n:1..64 int", "m:3..3000 log int", "act:{relu,tanh,gelu}"];
        let mut all: Vec<Dimension> = text.iter().map(|t| t.parse().unwrap()).collect();
        all.push(Dimension::real("free", 2.0, 3.0));
        Space::new(all).unwrap()
    }

    #[test]
    fn impossible_spaces_are_refused_by_name() {
        let cases: [(&[&str], &str); 14] = [
            (&[], "space: expected at least 1 dimension, found 0"),
            (&["x:5..-5"], "dimension `x`: expected a low bound below the high one, found 5..-5"),
            (&["x:1..1"], "dimension `x`: expected a low bound below the high one, found 1..1"),
            (&["lr:0..1 log"], "positive low bound, since it is searched by ratio, found 0..1"),
            (&["n:-3..4 int log"], "dimension `n`: expected a positive low bound"),
            (&["x:0..inf"], "dimension `x`: expected finite bounds, found 0..inf"),
            (&["x:NaN..1"], "dimension `x`: expected finite bounds"),
            (
                &["x:-1e308..1.7e308"],
                "dimension `x`: expected bounds less than 1.8e308 apart, found -1e308..1.7e308",
            ),
            (&["a:{one}"], "dimension `a`: expected at least 2 options, found 1"),
            (&["a:{ }"], "dimension `a`: expected at least 2 options, found 0"),
            (&["a:{b,,c}"], "dimension `a`: expected options with names, found an empty one"),
            (&["a:{b,b}"], "dimension `a`: expected different options, found `b` twice"),
            (&["x:0..1", "x:0..2"], "dimension `x`: expected a name of its own"),
            (&["n:0..9007199254740993 int"], "dimension `n`: expected whole numbers within ±2^53"),
        ];
        for (text, want) in cases {
            let all: Vec<Dimension> = text.iter().map(|t| t.parse().unwrap()).collect();
            let error = Space::new(all).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
            assert_eq!(error.kind(), ErrorKind::Spec);
        }
        for text in
            ["x", "x:", "x:1", "x:1..b", "n:1..2.5 int", "x:1..2 cubic", "a:{b,c", "x:-5...5", "x:0...5"]
        {
            let error = text.parse::<Dimension>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("expected NAME:LOW..HIGH"), "{error}");
        }
        for (start, scale) in [(f64::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, f64::INFINITY)] {
            assert!(Space::reals(2, start, scale).is_err());
        }
    }

    proptest! {
        #[test]
        fn candidates_stay_inside_and_values_come_back(u in proptest::collection::vec(-4.0..4.0f64, 8)) {
            let space = mixed();
            prop_assert_eq!(space.width(), 8);
            let values = space.decode(&u);
            prop_assert!((-5.0..=5.0).contains(&values[0].number()));
            prop_assert!((1e-5..=1e-1).contains(&values[1].number()));
            prop_assert!((1.0..=64.0).contains(&values[2].number()) && (3.0..=3000.0).contains(&values[3].number()));
            let again = space.decode(&space.encode(&values).unwrap());
            for (a, b) in values.iter().zip(&again) {
                match (a, b) {
                    (Argument::Float(a), Argument::Float(b)) => prop_assert!((a - b).abs() <= 1e-12 * a.abs().max(1.0)),
                    _ => prop_assert_eq!(a, b),
                }
            }
        }
    }

    #[test]
    fn whole_numbers_share_the_box_evenly_and_ends_are_reached() {
        let space = Space::new(["n:1..4 int".parse().unwrap()]).unwrap();
        let mut count = [0; 5];
        for i in 0..4000 {
            count[space.decode(&[(f64::from(i) + 0.5) / 4000.0])[0].number() as usize] += 1;
        }
        assert_eq!(count, [0, 1000, 1000, 1000, 1000]);
        let space = mixed();
        let ends = |u: f64| space.decode(&[u, u, u, u, 1.0, 0.0, 0.0, 0.0]);
        let want = [
            Argument::Float(-5.0),
            Argument::Float(1e-5),
            Argument::Int(1),
            Argument::Int(3),
            Argument::Category(0),
        ];
        assert_eq!(ends(0.0)[..5], want);
        let want = [
            Argument::Float(5.0),
            Argument::Float(1e-1),
            Argument::Int(64),
            Argument::Int(3000),
            Argument::Category(0),
        ];
        assert_eq!(ends(1.0)[..5], want);
    }

    #[test]
    fn values_of_another_kind_are_refused_by_name() {
        let space = mixed();
        let mut values = space.decode(&space.start());
        values[2] = Argument::Float(3.0);
        let error = space.encode(&values).unwrap_err().to_string();
        assert!(error.contains("dimension `n`"), "{error}");
        assert!(space.encode(&values[1..]).is_err());
    }

    #[test]
    fn a_space_is_checked_when_it_is_read() {
        let json = serde_json::to_string(&mixed()).unwrap();
        assert_eq!(serde_json::from_str::<Space>(&json).unwrap(), mixed());
        let reversed = json.replace("-5.0", "50.0");
        assert!(serde_json::from_str::<Space>(&reversed).unwrap_err().to_string().contains("dimension `x`"));
    }
}
