//! Theorems as running checks: what is proved about the methods, held against what the methods do.
//!
//! A [`Check`] is a theorem's name, its source, the statement, and a run: it puts the strategies, the noise and the
//! evaluator of this library (never a copy of them) where the theorem's assumptions hold, measures, and compares with the
//! bound. Statements and derivations are in `docs/theory.md`; `onward verify-theory` prints and draws what is found.
//!
//! ```
//! use onward_theory::{Effort, Lab, checks};
//! let lab = Lab { seed: 1, effort: Effort::Quick };
//! let check = &checks()[0];
//! let outcome = check.run(&lab)?;
//! assert!(outcome.holds(), "{}: {:?}", check.name, outcome.findings);
//! # Ok::<(), onward::Error>(())
//! ```
//!
//! What is random in a check follows from the lab's seed alone, so a check gives the same numbers again, on any number of
//! threads.

mod claim;
mod cosine;
mod gld;
mod invariance;
mod kinks;
mod lab;
mod local;
mod mirror_descent;
mod moments;
mod nesterov_spokoiny;
mod one_plus_one;
mod problems;
mod smooth;
mod three_points;
mod unbiased;

pub use claim::{Claim, Finding, Measured};
pub use lab::{Effort, Lab};

use onward::Result;

/// A theorem that can be checked by measurement.
pub struct Check {
    /// The subject, in a few words.
    pub name: &'static str,
    /// The source of the theorem.
    pub source: &'static str,
    /// The statement of the theorem, in a sentence.
    pub statement: &'static str,
    run: fn(&Lab) -> Result<Evidence>,
}

impl Check {
    /// Measures. In parallel where it is called in [`onward::threads::Threads::run`].
    ///
    /// # Errors
    /// Those of the parts that are run; a bound that does not hold is no error but an [`Evidence`].
    pub fn run(&self, lab: &Lab) -> Result<Evidence> {
        (self.run)(lab)
    }
}

/// The findings of a check.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The findings, one for each number that the theorem makes a claim about.
    pub findings: Vec<Finding>,
    /// A plot of the measurements, if there is one.
    pub figure: Option<Figure>,
}

impl Evidence {
    /// Whether all findings agree with the theorem.
    pub fn holds(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(Finding::holds)
    }
}

/// Curves for a plot.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The name of the plot's file without extension.
    pub file: &'static str,
    /// The heading of the plot.
    pub title: &'static str,
    /// The label of the x axis.
    pub x: &'static str,
    /// The label of the y axis.
    pub y: &'static str,
    /// Whether the x axis and the y axis are logarithmic.
    pub log: [bool; 2],
    /// The curves of the plot.
    pub curves: Vec<Curve>,
}

/// One curve of a [`Figure`].
#[derive(Clone, Debug)]
pub struct Curve {
    /// The name of the curve; curves of one name belong together.
    pub name: String,
    /// The origin of the curve: measurement or theory.
    pub origin: Provenance,
    /// The points of the curve, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// The origin of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Measurements.
    Measured,
    /// A bound or a law.
    Theory,
}

impl Curve {
    fn new(name: impl Into<String>, origin: Provenance, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), origin, points }
    }
}

/// All checks, in the order of `docs/theory.md`.
pub fn checks() -> Vec<Check> {
    let mut all = Vec::new();
    all.extend(moments::CHECKS);
    all.extend(unbiased::CHECKS);
    all.extend(cosine::CHECKS);
    all.extend(local::CHECKS);
    all.extend(nesterov_spokoiny::CHECKS);
    all.extend(smooth::CHECKS);
    all.extend(kinks::CHECKS);
    all.extend(mirror_descent::CHECKS);
    all.extend(three_points::CHECKS);
    all.extend(one_plus_one::CHECKS);
    all.extend(gld::CHECKS);
    all.extend(invariance::CHECKS);
    all
}
