//! Strategies: where to look next, given what was found. One file each, with reference, equation and defaults.
//!
//! A strategy works in generations. All candidates of a generation are made before any of its losses is known, so that the
//! order in which losses come, and how many are evaluated at once, change nothing.

mod cma_es;
mod ranking;
mod restart;

pub use cma_es::CmaEs;
pub use restart::Restarts;

use super::draws::Draws;
use super::space::Space;
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A strategy in the course of a study. Its state follows from its settings, the draws and the losses alone.
pub trait Strategy: Send {
    /// Puts the next generation's points, one after another, into the empty `points`: at least one.
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>);

    /// Takes the losses of those points, in their order: lower is better, infinite where there was none.
    fn tell(&mut self, losses: &[f64]);

    /// The point that the strategy would name now, if it has one besides the best candidate seen.
    fn centre(&self) -> Option<&[f64]>;

    /// Why it can go no further.
    fn stop(&self) -> Option<Stop>;
}

/// Why a study has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// All evaluations of the budget have been asked for.
    Budget,
    /// Steps have become too small to matter.
    SmallSteps,
    /// The losses of many generations in a row hardly differ.
    Flat,
    /// The losses have not become better for a long time.
    Stagnation,
    /// The search distribution has become too long and thin for its arithmetic.
    IllConditioned,
    /// Steps have grown beyond all measure: the function seems to have no bound.
    Unbounded,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "all evaluations of the budget have been asked for",
            Self::SmallSteps => "steps have become too small to matter: it has converged",
            Self::Flat => "the losses of many generations hardly differ: it has converged, or the function is flat",
            Self::Stagnation => "the losses have not become better for a long time",
            Self::IllConditioned => {
                "the search distribution has become too long and thin to be computed with (condition above 1e14)"
            }
            Self::Unbounded => "steps have grown 1e20-fold: the function seems to have no bound",
        })
    }
}

/// What a strategy begins with: the space's encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Where search begins, (d).
    pub start: Vec<f64>,
    /// The standard deviation of the first candidates, (d).
    pub sigma: Vec<f64>,
    /// The least standard deviation: 0 for continuous coordinates, (d).
    pub floor: Vec<f64>,
}

impl Setup {
    /// The setup of a space.
    pub fn of(space: &Space) -> Self {
        Self { start: space.start(), sigma: space.sigma(), floor: space.floor() }
    }

    /// The number of coordinates.
    pub fn dimension(&self) -> usize {
        self.start.len()
    }

    /// By how much a step of standard deviation `size` along coordinate `i` is to be widened, for integers to be left.
    fn widening(&self, i: usize, size: f64) -> f64 {
        if self.floor[i] > size { self.floor[i] / size } else { 1.0 }
    }
}

/// The strategies that specs can name, with their settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Method {
    /// Chosen from dimension, budget and noise.
    Auto(Auto),
    /// Covariance matrix adaptation.
    CmaEs(CmaEs),
}

/// What is known beforehand for the choice of a strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auto {
    /// Whether the same candidate can get different losses.
    pub noisy: bool,
}

impl Method {
    /// Every strategy with its defaults, [`Method::Auto`] first.
    pub fn all() -> Vec<Self> {
        vec![Self::Auto(Auto::default()), Self::CmaEs(CmaEs::default())]
    }

    /// The strategy of this name with its defaults.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] listing the names that there are.
    pub fn named(name: &str) -> Result<Self> {
        let all = Self::all();
        let names: Vec<&str> = all.iter().map(Self::name).collect();
        let expected = format!("one of {}", names.join(", "));
        let at = names.iter().position(|n| *n == name);
        at.map(|i| all[i].clone())
            .ok_or_else(|| Error::expected(ErrorKind::Spec, "method", expected, format!("`{name}`")))
    }

    /// The name in specs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Auto(_) => "auto",
            Self::CmaEs(_) => "cma-es",
        }
    }

    /// Whether the strategy sees losses only through comparisons, so that any increasing transform changes nothing.
    pub fn is_rank_based(&self) -> bool {
        match self {
            Self::Auto(_) | Self::CmaEs(_) => true,
        }
    }

    /// Resolves [`Method::Auto`] and says why.
    pub(super) fn choose(self, space: &Space, budget: u64) -> (Self, String) {
        match self {
            Self::Auto(_) => (Self::CmaEs(CmaEs::default()), format!("{} {budget}", space.width())),
            given => (given, "asked for".into()),
        }
    }

    /// The strategy before its first generation.
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        match self {
            Self::Auto(_) => Err(misfit("name", "a strategy", "auto")),
            Self::CmaEs(m) => m.begin(setup),
        }
    }
}

/// An error about a setting of a method.
fn misfit(key: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Error {
    Error::expected(ErrorKind::Spec, format!("method.{key}"), expected, found)
}
