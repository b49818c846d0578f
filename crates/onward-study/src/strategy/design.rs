//! Points that follow from no loss: what a search has to be better than.
//!
//! `random` draws each dimension uniformly over its box (normally, where there is none); Bergstra and Bengio (JMLR 2012) show how strong that is where few
//! dimensions matter. `sobol` fills the box evenly: Sobol's sequence (1967) in base 2, a dimension for each primitive polynomial, whose
//! first direction numbers and digital shift are drawn, so that every seed has points of its own (Owen, *Journal of Complexity* 1998, on
//! why). Both evaluate the same points for any size of generation.

use super::super::draws::Draws;
use super::{Setup, Stop, Strategy, misfit};
use crate::space::choose;
use crate::{Error, Result};
use onward_kernel::ln64;
use serde::{Deserialize, Serialize};

/// The settings of random search: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Random {}

/// The settings of Sobol's sequence: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sobol {}

/// Points that are made at once.
const MEMBERS: usize = 64;
/// Binary digits of a coordinate.
const BITS: usize = 32;
/// Dimensions that there are polynomials for.
const MOST: usize = 1000;

impl Random {
    pub(super) fn begin(self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        Ok(Box::new(Run { setup: setup.clone(), axes: axes(setup), made: 0, table: None }))
    }
}

impl Sobol {
    pub(super) fn begin(self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let axes = axes(setup);
        if axes.len() > MOST {
            let expected = format!("at most {MOST} dimensions for `sobol`");
            let error: Error = misfit("name", expected, axes.len());
            return Err(error);
        }
        Ok(Box::new(Run { setup: setup.clone(), axes, made: 0, table: Some(Vec::new()) }))
    }
}

/// The first coordinate of each dimension and how many it has: one, or as many as a category has options.
fn axes(setup: &Setup) -> Vec<(usize, usize)> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < setup.dimension() {
        let wide = setup.options.iter().find(|range| range.start == at).map_or(1, ExactSizeIterator::len);
        all.push((at, wide));
        at += wide;
    }
    all
}

#[derive(Clone)]
struct Run {
    setup: Setup,
    axes: Vec<(usize, usize)>,
    made: u32,
    /// Direction numbers and shift of each dimension, once they are drawn; `None` for independent points.
    table: Option<Vec<([u32; BITS], u32)>>,
}

impl Run {
    /// The unit number of dimension `axis` of point `index`.
    fn unit(&self, draws: Draws, index: u32, axis: usize) -> f64 {
        let Some((directions, shift)) = self.table.as_ref().and_then(|table| table.get(axis)) else {
            return draws.uniform(index as usize, axis);
        };
        // The index in Gray's code, so that each point differs from the one before in one direction.
        let gray = index ^ (index >> 1);
        let digits = (0..BITS).filter(|bit| gray >> bit & 1 == 1).fold(*shift, |x, bit| x ^ directions[bit]);
        // In the middle of its cell, so that no end of a box is met exactly.
        (f64::from(digits) + 0.5) / 4_294_967_296.0
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        // Of the first generation always: a point follows from its number alone.
        let draws = draws.at(0);
        if let Some(table) = self.table.as_mut().filter(|table| table.is_empty()) {
            *table = drawn(self.axes.len(), draws);
        }
        for index in self.made..self.made + MEMBERS as u32 {
            for (axis, (first, wide)) in self.axes.iter().enumerate() {
                let u = self.unit(draws, index, axis);
                if *wide > 1 {
                    let at = points.len();
                    points.resize(at + wide, 0.0);
                    choose(((u * *wide as f64) as usize).min(wide - 1), &mut points[at..]);
                } else if self.setup.extent[*first].is_finite() {
                    points.push(u);
                } else {
                    points.push(self.setup.start[*first] + self.setup.sigma[*first] * normal(u));
                }
            }
        }
        self.made += MEMBERS as u32;
    }

    fn tell(&mut self, _: &[f64]) {}

    fn centre(&self) -> Option<&[f64]> {
        None
    }

    fn stop(&self) -> Option<Stop> {
        None
    }
}

/// The normal quantile of a probability, to three digits (Tukey's lambda would do as well): enough for where to look.
fn normal(u: f64) -> f64 {
    let u = u.clamp(1e-12, 1.0 - 1e-12);
    // The logistic quantile, brought to unit variance.
    ln64(u / (1.0 - u)) * 0.551_329
}

/// Direction numbers and a shift for each dimension. The first is van der Corput's sequence.
fn drawn(dimensions: usize, draws: Draws) -> Vec<([u32; BITS], u32)> {
    let mut polynomials = (2u32..).filter(|p| is_primitive(*p));
    let word = |axis: usize, element: usize| {
        (draws.uniform(u32::MAX as usize, BITS * axis + element) * 4_294_967_296.0) as u32
    };
    let one = |axis: usize| {
        let mut directions = [0u32; BITS];
        let polynomial = if axis == 0 { 1 } else { polynomials.next().unwrap_or(3) };
        let degree = BITS - 1 - polynomial.leading_zeros() as usize;
        for bit in 0..BITS {
            directions[bit] = if bit < degree.max(1) || axis == 0 {
                // Odd, and below 2^(bit + 1): as fractions, the leading digit of each is its own.
                let drawn = if axis == 0 { 1 } else { word(axis, bit + 1) % (1 << bit).max(1) * 2 + 1 };
                drawn << (BITS - 1 - bit)
            } else {
                let before = directions[bit - degree];
                let tail =
                    (1..degree).filter(|k| polynomial >> (degree - k) & 1 == 1).map(|k| directions[bit - k]);
                tail.fold(before ^ (before >> degree), |sum, d| sum ^ d)
            };
        }
        (directions, word(axis, 0))
    };
    (0..dimensions).map(one).collect()
}

/// Whether a polynomial over two elements, its coefficients as bits, is primitive: x has the order 2^degree − 1.
fn is_primitive(polynomial: u32) -> bool {
    let degree = 31 - polynomial.leading_zeros();
    if polynomial & 1 == 0 || degree == 0 {
        return false;
    }
    let order = (1u32 << degree) - 1;
    let mut power = 1u32;
    for k in 1..=order {
        power <<= 1;
        if power >> degree & 1 == 1 {
            power ^= polynomial;
        }
        if power == 1 {
            return k == order;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Argument, Goal, Space, StrategyKind, Study};

    fn points(name: &str, space: &Space, count: u64, seed: u64) -> Vec<Vec<Argument>> {
        let mut study =
            Study::new(space.clone(), Goal::Minimize, count, seed, StrategyKind::named(name).unwrap())
                .unwrap();
        let mut all = Vec::new();
        while let Some(candidate) = study.ask() {
            study.tell(candidate.id, f64::NAN).unwrap();
            all.push(candidate.values);
        }
        all
    }

    #[test]
    fn primitive_polynomials_are_the_known_ones() {
        let known: Vec<u32> = (2..64).filter(|p| is_primitive(*p)).collect();
        assert_eq!(known, [3, 7, 11, 13, 19, 25, 37, 41, 47, 55, 59, 61]);
    }

    #[test]
    fn sobol_puts_one_point_in_each_piece_of_every_dimension() {
        let space =
            Space::new(["a:0..1", "b:0..1", "c:0..1", "d:0..1", "e:0..1"].map(|d| d.parse().unwrap()))
                .unwrap();
        for seed in [1, 2] {
            let all = points("sobol", &space, 256, seed);
            for axis in 0..5 {
                let mut pieces: Vec<u32> = all.iter().map(|p| (p[axis].number() * 256.0) as u32).collect();
                pieces.sort_unstable();
                assert_eq!(pieces, (0..256).collect::<Vec<u32>>(), "dimension {axis}");
            }
        }
        assert_ne!(points("sobol", &space, 4, 1), points("sobol", &space, 4, 2));
    }

    #[test]
    fn designs_visit_all_kinds_of_values_evenly_and_any_budget_will_do() {
        let space = Space::new(["x:-5..5", "n:1..4 int", "g:0..10:5", "c:{p,q}"].map(|d| d.parse().unwrap()))
            .unwrap();
        for name in ["random", "sobol"] {
            let all = points(name, &space, 1000, 3);
            let count = |axis: usize, value: Argument| all.iter().filter(|p| p[axis] == value).count();
            for n in 1..=4 {
                assert!((150..350).contains(&count(1, Argument::Int(n))), "{name}");
            }
            assert!(
                (250..420).contains(&count(2, Argument::Int(5))),
                "{name}: {}",
                count(2, Argument::Int(5))
            );
            assert!((400..600).contains(&count(3, Argument::Category(1))), "{name}");
            let mean = all.iter().map(|p| p[0].number()).sum::<f64>() / 1000.0;
            assert!(mean.abs() < 0.5, "{name} {mean}");
            assert_eq!(points(name, &space, 3, 3), all[..3]);
        }
        let free = points("random", &Space::reals(2, 1.0, 0.5).unwrap(), 2000, 1);
        let mean = free.iter().map(|p| p[0].number()).sum::<f64>() / 2000.0;
        let spread = (free.iter().map(|p| (p[0].number() - mean).powi(2)).sum::<f64>() / 2000.0).sqrt();
        assert!((mean - 1.0).abs() < 0.05 && (spread - 0.5).abs() < 0.05, "{mean} {spread}");
    }

    #[test]
    fn a_search_begins_where_it_is_told_to() {
        let space = Space::new(["x:-5..5", "n:0..10:2"].map(|d| d.parse().unwrap())).unwrap();
        let method = StrategyKind::named("one-plus-one").unwrap();
        let study = Study::new(space, Goal::Minimize, 10, 1, method).unwrap();
        let start = vec![Argument::Float(3.5), Argument::Int(8)];
        let mut study = study.starting_at(start.clone()).unwrap();
        let first = study.ask().unwrap();
        assert!((first.values[0].number() - 3.5).abs() < 1e-12 && first.values[1] == start[1]);
        study.tell(0, 1.0).unwrap();
        let mut again = Study::resume(study.record().clone()).unwrap();
        assert_eq!(again.ask(), study.ask());
        let error = study.starting_at(start).err().unwrap().to_string();
        assert!(error.starts_with("start: expected a study that was told nothing yet"), "{error}");
    }

    #[test]
    fn grids_are_whole_where_their_bounds_and_step_are() {
        let grid = |text: &str| -> Vec<Argument> {
            let space = Space::new([text.parse().unwrap()]).unwrap();
            (0..=20).map(|i| space.decode(&[f64::from(i) / 20.0])[0]).collect()
        };
        let mut whole = grid("a:0..10:5");
        whole.dedup();
        assert_eq!(whole, [Argument::Int(0), Argument::Int(5), Argument::Int(10)]);
        let mut parts = grid("a:0..0.3:0.1");
        parts.dedup();
        assert_eq!(parts, [0.0, 0.1, 0.2, 0.3].map(Argument::Float));
        let space = Space::new(["a:0..0.3:0.1".parse().unwrap()]).unwrap();
        let encoded = space.encode(&[Argument::Float(0.2)]).unwrap();
        assert_eq!(space.decode(&encoded), [Argument::Float(0.2)]);
        assert!(space.encode(&[Argument::Float(0.25)]).is_err());
        for (bad, words) in [
            ("a:0..10:3", "a high bound that steps of 3 from 0 reach, found 10"),
            ("a:0..1:0", "the step 0, which is not above 0"),
            ("a:0..1:0.5 log", "a step beside `log`"),
            ("a:0..1:0.5 int", "`0.5`, which is no integer"),
            ("a:0..1:x", "`x`, which is no number"),
        ] {
            let error = bad.parse::<crate::Dimension>().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let error = Space::new(["a:1..0:0.5".parse().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("a grid of 2 to 2^53 values"), "{error}");
    }
}
