//! Strategies: where to look next, given what was found. One file each, with reference, equation and defaults.
//!
//! A strategy works in generations. All candidates of a generation are made before any of its losses is known, so that the
//! order in which losses come, and how many are evaluated at once, change nothing.

mod auto;
mod cma_es;
mod design;
mod gld;
mod history;
mod lm_ma_es;
mod mirror;
mod nesterov_spokoiny;
mod one_plus_one;
mod openai_es;
mod own;
mod pgpe;
mod ranking;
mod relative_loss;
mod restart;
mod sep_cma_es;
mod smtp;
mod snes;
mod stp;
mod two_point;
mod xnes;

pub use auto::Auto;
pub use cma_es::CmaEs;
pub use design::{Random, Sobol};
pub use gld::{GldFast, GldSearch, Radii};
pub use lm_ma_es::LmMaEs;
pub use mirror::Mirror;
pub use nesterov_spokoiny::{NesterovSpokoiny, Scheme};
pub use one_plus_one::OnePlusOne;
pub use openai_es::OpenAiEs;
pub use own::OwnStrategy;
pub use pgpe::Pgpe;
pub use relative_loss::{Level, RelativeLoss};
pub use restart::Restarts;
pub use sep_cma_es::SepCmaEs;
pub use smtp::Smtp;
pub use snes::Snes;
pub use stp::{Decay, Mistp, Stp};
pub use two_point::{Estimator, MirrorDescent};
pub use xnes::Xnes;

use super::diagnosis::Diagnosis;
use super::draws::Draws;
use super::space::Space;
use crate::{Error, ErrorKind, Place, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Copying without knowing the type: implemented for everything that is `Clone`, so nobody has to implement it.
pub trait Copied {
    /// A boxed copy.
    fn copied(&self) -> Box<dyn Strategy>;
}

impl<S: Strategy + Clone + 'static> Copied for S {
    fn copied(&self) -> Box<dyn Strategy> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Strategy> {
    fn clone(&self) -> Self {
        (**self).copied()
    }
}

/// A search strategy in the course of a study: it proposes points and is told their losses.
///
/// [`Strategy::ask`] and [`Strategy::tell`] are called in turn, `ask` first, once for each generation; a last generation that the budget
/// cuts short is not told. [`Strategy::stop`] is asked after each `tell`, the others at any time. What it answers must follow from its
/// setup, the draws and the losses alone: a study is gone on with by telling a new strategy the same losses. There is nothing to fail
/// with: a strategy that can go no further says so by [`Strategy::stop`], and points that are not finite end the study. Copies must go
/// on as the original would.
///
/// ```
/// use onward_study::{Draws, Goal, StrategyKind, OwnStrategy, Setup, Space, Stop, Strategy, Study};
///
/// /// Looks around the best point so far, ever nearer.
/// #[derive(Clone)]
/// struct Nearer {
///     best: Vec<f64>,
///     least: f64,
///     asked: Vec<f64>,
///     size: f64,
/// }
///
/// impl Strategy for Nearer {
///     fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
///         self.asked.resize(self.best.len(), 0.0);
///         draws.normal(0, 0, &mut self.asked);
///         self.asked.iter_mut().zip(&self.best).for_each(|(z, x)| *z = x + self.size * *z);
///         points.extend(&self.asked);
///     }
///     fn tell(&mut self, losses: &[f64]) {
///         if losses[0] < self.least {
///             (self.least, self.best) = (losses[0], self.asked.clone());
///         }
///         self.size *= 0.99;
///     }
///     fn centre(&self) -> Option<&[f64]> {
///         None
///     }
///     fn stop(&self) -> Option<Stop> {
///         (self.size < 1e-9).then_some(Stop::SmallSteps)
///     }
/// }
///
/// let begin = |setup: &Setup| -> onward_study::Result<Box<dyn Strategy>> {
///     Ok(Box::new(Nearer { best: setup.start.clone(), least: f64::INFINITY, asked: Vec::new(), size: setup.sigma[0] }))
/// };
/// let method = StrategyKind::Own(OwnStrategy::new("nearer", begin));
/// let mut study = Study::new(Space::reals(2, 1.0, 1.0)?, Goal::Minimize, 500, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|best| best.loss < 0.01));
/// # Ok::<(), onward_study::Error>(())
/// ```
pub trait Strategy: Send + Sync + Copied {
    /// Puts the next generation's points, one after another, into the empty `points`: at least one.
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>);

    /// Takes the losses of those points, in their order: lower is better, infinite where there was none.
    fn tell(&mut self, losses: &[f64]);

    /// The point that the strategy recommends now, if it has one besides the best candidate so far; a net that it trains has these
    /// params, so there it must have one.
    fn centre(&self) -> Option<&[f64]>;

    /// Whether it compares losses with the one that its [`Strategy::centre`] had in an earlier generation.
    fn remembers(&self) -> bool {
        false
    }

    /// The reason why the strategy can make no further progress, if it cannot.
    fn stop(&self) -> Option<Stop>;

    /// What its comparisons can see on batches of the present size, if it compares and has seen enough to say.
    fn diagnosis(&self) -> Option<Diagnosis> {
        None
    }
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
    /// Steps have grown without limit: the function seems to be unbounded.
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

/// The encoding of a space, which a strategy starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The encoded point where the search begins, (d).
    pub start: Vec<f64>,
    /// The standard deviation of the first candidates, (d).
    pub sigma: Vec<f64>,
    /// The least standard deviation: 0 for continuous coordinates, (d).
    pub floor: Vec<f64>,
    /// The largest distance of points that still differ: infinite where there are no bounds, (d).
    pub extent: Vec<f64>,
    /// The range of coordinates that stand for the options of each category.
    pub options: Vec<Range<usize>>,
}

impl Setup {
    /// The setup of a space.
    pub fn of(space: &Space) -> Self {
        Self {
            start: space.start(),
            sigma: space.sigma(),
            floor: space.floor(),
            extent: space.extent(),
            options: space.options(),
        }
    }

    /// The number of coordinates.
    pub fn dimension(&self) -> usize {
        self.start.len()
    }

    /// The standard deviation of coordinate `i` for steps of relative size `size` (1: as in the first candidates), but never
    /// so small that a whole number could not be left.
    fn reach(&self, i: usize, size: f64) -> f64 {
        (self.sigma[i] * size).max(self.floor[i])
    }

    /// `at + reach · z` for each coordinate, added to `points`.
    fn push(&self, at: &[f64], size: f64, z: &[f64], points: &mut Vec<f64>) {
        points.extend(at.iter().zip(z).enumerate().map(|(i, (x, z))| x + self.reach(i, size) * z));
    }

    /// The relative size from which on steps in no coordinate say anything new.
    fn largest(&self) -> f64 {
        self.extent.iter().zip(&self.sigma).map(|(e, s)| e / s).fold(0.0, f64::max)
    }

    /// Whether steps of this size no longer change any continuous coordinate.
    fn vanishes(&self, at: &[f64], size: f64) -> bool {
        let mut continuous = (0..at.len()).filter(|i| self.floor[*i] == 0.0).peekable();
        continuous.peek().is_some() && continuous.all(|i| at[i] + 0.1 * self.sigma[i] * size == at[i])
    }
}

/// One row per strategy that specs can name: its settings' type, and its name.
macro_rules! methods {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal),* $(,)?) => {
        /// The strategies that specs can name, with their settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name", remote = "Self")]
        pub enum StrategyKind {
            /// The strategy is chosen from dimension, budget and noise.
            #[serde(rename = "auto")]
            Auto(Auto),
            $($(#[doc = $doc])* #[serde(rename = $name)] $variant($variant),)*
            /// The caller's own, which specs cannot name.
            #[serde(skip)]
            Own(OwnStrategy),
        }

        impl StrategyKind {
            /// The name and description of every strategy but [`StrategyKind::Auto`].
            pub const NAMES: &[(&str, &str)] = &[$(($name, concat!($($doc),*))),*];

            /// Every strategy with its defaults, [`StrategyKind::Auto`] first.
            pub fn all() -> Vec<Self> {
                vec![Self::Auto(Auto::default()), $(Self::$variant($variant::default())),*]
            }

            /// The name in specs.
            pub fn name(&self) -> &'static str {
                match self {
                    Self::Auto(_) => "auto",
                    $(Self::$variant(_) => $name,)*
                    Self::Own(own) => own.name(),
                }
            }

            /// The strategy before its first generation.
            pub fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
                match self {
                    Self::Auto(_) => Err(misfit("name", "a strategy", "auto")),
                    $(Self::$variant(settings) => settings.begin(setup),)*
                    Self::Own(own) => own.begin(setup),
                }
            }
        }
    };
}

methods! {
    /// Covariance matrix adaptation.
    CmaEs = "cma-es",
    /// Covariance matrix adaptation of the diagonal alone.
    SepCmaEs = "sep-cma-es",
    /// Limited-memory matrix adaptation, for many dimensions.
    LmMaEs = "lm-ma-es",
    /// Separable natural evolution strategies.
    Snes = "snes",
    /// Exponential natural evolution strategies.
    Xnes = "xnes",
    /// Parameter-based exploration with ClipUp.
    Pgpe = "pgpe",
    /// Smoothed gradient with Adam.
    OpenAiEs = "open-ai-es",
    /// (1+1)-ES with the 1/5 rule.
    OnePlusOne = "one-plus-one",
    /// Stochastic three points.
    Stp = "stp",
    /// Stochastic three points, all evaluated anew each time.
    Mistp = "mistp",
    /// Stochastic three points with momentum.
    Smtp = "smtp",
    /// Gradientless descent with a sweep of radii.
    GldSearch = "gld-search",
    /// Gradientless descent for a bounded condition number.
    GldFast = "gld-fast",
    /// Two-point estimates with mirror descent.
    MirrorDescent = "two-point",
    /// Random gradient-free steps, plain or accelerated.
    NesterovSpokoiny = "nesterov-spokoiny",
    /// Losses relative to random neighbours' on the same batch, moves judged on the next.
    RelativeLoss = "relative-loss",
    /// Independent points anywhere, to compare with.
    Random = "random",
    /// Points that fill the space evenly, to compare with.
    Sobol = "sobol",
}

impl Serialize for StrategyKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Own(own) => BTreeMap::from([("name", own.name())]).serialize(serializer),
            known => Self::serialize(known, serializer),
        }
    }
}

/// Through one kind of value: so what reads every strategy's settings is compiled once, not for every format.
impl<'de> Deserialize<'de> for StrategyKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::deserialize(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl StrategyKind {
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

    /// Whether the strategy sees losses only through comparisons, so that any increasing transform changes nothing.
    pub fn is_rank_based(&self) -> bool {
        match self {
            Self::MirrorDescent(_) | Self::NesterovSpokoiny(_) => false,
            Self::RelativeLoss(m) => m.level.compares(),
            _ => true,
        }
    }

    /// Whether its points follow from no loss: a generation of them can be cut anywhere.
    pub fn is_design(&self) -> bool {
        matches!(self, Self::Random(_) | Self::Sobol(_))
    }

    /// Whether the strategy can search whole numbers and options. What divides differences of losses by ever smaller
    /// probes cannot: between two steps of a staircase there is no difference.
    pub fn takes_steps(&self) -> bool {
        match self {
            Self::MirrorDescent(m) => m.estimator == Estimator::Symmetric,
            Self::NesterovSpokoiny(_) => false,
            _ => true,
        }
    }

    /// Refuses spaces that the strategy cannot search.
    pub(super) fn check(&self, space: &Space) -> Result<()> {
        let stepped = space.dimensions().iter().find(|d| d.is_stepped());
        match stepped {
            Some(dimension) if !self.takes_steps() => {
                let expected = "a strategy for whole numbers and options, such as `auto`";
                Err(misfit("name", expected, format!("`{}` for dimension `{}`", self.name(), dimension.name)))
            }
            _ => Ok(()),
        }
    }

    /// Resolves [`StrategyKind::Auto`] and says why.
    pub(super) fn choose(self, space: &Space, budget: u64) -> (Self, String) {
        match self {
            Self::Auto(hints) => hints.choose(space, budget),
            given => (given, "it was asked for".into()),
        }
    }
}

/// The most candidates of a generation.
const MOST_MEMBERS: usize = 1_000_000;
/// The most numbers that all candidates of a generation have together: 16 GiB.
const MOST_NUMBERS: usize = 1 << 31;

/// The number of a generation's candidates (or of their directions, for `key`), if it is at least `least` and their `n`
/// numbers each can be held.
fn count(key: &str, given: usize, least: usize, n: usize) -> Result<usize> {
    let most = MOST_MEMBERS.min(MOST_NUMBERS / n.max(1));
    if (least..=most).contains(&given) {
        return Ok(given);
    }
    Err(misfit(key, format!("a number from {least} to {most} for {n} coordinates"), given))
}

/// An error about a setting of a method.
fn misfit(key: &str, expected: impl fmt::Display, found: impl fmt::Display) -> Error {
    Error::expected(ErrorKind::Spec, Place::key("method", key), expected, found)
}
