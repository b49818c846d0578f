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
use onward_kernel::ln64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;

mod dimension;
mod grid;
mod written;

pub(super) use dimension::choose;
pub use dimension::{Argument, Dimension, Domain, Spacing};

/// The initial standard deviation in a box of width 1.
const BOX_SIGMA: f64 = 0.25;

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
