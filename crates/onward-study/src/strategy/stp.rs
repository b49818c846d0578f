//! STP and MiSTP: stochastic three points.
//!
//! Bergou, Gorbunov and Richtárik (SIAM J. Optim. 2020, arXiv 1902.03591): with `s` uniform on the sphere,
//! `x ← argmin { f(x), f(x + α s), f(x − α s) }`. MiSTP (Boucherouite, Malinovsky, Richtárik and Bergou, AAAI 2024) takes
//! all three values anew on the same random batch (here: in one generation), which is what noisy losses need: a lucky
//! incumbent does not stay for ever, but the noise of a comparison does not average out either.
//!
//! Of two opposite steps at most one improves a convex function, so STP looks at the second only after the first has failed:
//! one evaluation in nine is saved. It adapts α by success (×1.15, ×0.9: 43 % of pairs succeed). MiSTP must not: a pair compared on a small
//! batch nearly always "improves" on it, and α would grow without bound. It takes `α / √(k + 1)`, or the constant α of the theorems.

use super::super::draws::Draws;
use super::{Setup, Stop, Strategy, misfit};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The settings of STP.
///
/// ```
/// use onward_study::{Goal, StrategyKind, Space, Stp, Study};
/// let mut study = Study::new(Space::reals(10, 1.0, 0.5)?, Goal::Minimize, 1000, 1, StrategyKind::Stp(Stp::default()))?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stp {
    /// The first step, relative to the space's standard deviations.
    pub step: f64,
    /// What a success multiplies the step by.
    pub grow: f64,
    /// What a failure multiplies it by.
    pub shrink: f64,
}

impl Default for Stp {
    fn default() -> Self {
        Self { step: 1.0, grow: 1.15, shrink: 0.9 }
    }
}

/// The settings of MiSTP.
///
/// ```
/// use onward_study::{Goal, StrategyKind, Mistp, Space, Study};
/// let mut study = Study::new(Space::reals(3, 1.0, 0.5)?, Goal::Minimize, 3000, 1, StrategyKind::Mistp(Mistp::default()))?;
/// while let Some(candidate) = study.ask() {
///     // Noise that all candidates of a generation share.
///     let noise = ((candidate.generation * 7919) % 101) as f64 / 101.0;
///     study.tell(candidate.id, candidate.numbers().map(|x| (x - 0.01 * noise).powi(2)).sum::<f64>() + noise)?;
/// }
/// let centre = study.centre().unwrap_or_default();
/// assert!(centre.iter().all(|x| x.number().abs() < 0.1));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mistp {
    /// The first step, relative to the space's standard deviations.
    pub step: f64,
    /// How steps go on.
    pub decay: Decay,
}

/// How the steps of MiSTP go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// As `1/√k`: nearer and nearer.
    #[default]
    Root,
    /// Unchanged: fast to a distance that the step decides.
    None,
}

impl Default for Mistp {
    fn default() -> Self {
        Self { step: 1.0, decay: Decay::Root }
    }
}

/// Refuses what is no positive number.
pub(super) fn positive(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(misfit(key, "a positive number", format!("{value:?}")))
    }
}

/// Refuses step factors that do not grow after a success or do not shrink after a failure.
pub(super) fn check_factors(grow: f64, shrink: f64) -> Result<()> {
    if !(grow.is_finite() && grow >= 1.0) {
        return Err(misfit("grow", "a number of at least 1", format!("{grow:?}")));
    }
    if !(shrink > 0.0 && shrink <= 1.0) {
        return Err(misfit("shrink", "a number above 0 and at most 1", format!("{shrink:?}")));
    }
    Ok(())
}

impl Stp {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("step", self.step)?;
        check_factors(self.grow, self.shrink)?;
        let x = setup.start.clone();
        let s = vec![0.0; x.len()];
        let run = Run {
            settings: *self,
            setup: setup.clone(),
            step: self.step,
            x,
            loss: None,
            s,
            second: false,
            y: Vec::new(),
        };
        Ok(Box::new(run))
    }
}

impl Mistp {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("step", self.step)?;
        let x = setup.start.clone();
        Ok(Box::new(Anew { settings: *self, setup: setup.clone(), iterations: 0, x, points: Vec::new() }))
    }
}

/// A direction whose coordinates have unit variance, uniform on the sphere.
pub(super) fn direction(draws: Draws, candidate: usize, n: usize) -> Vec<f64> {
    let mut s = vec![0.0; n];
    draws.sphere(candidate, 0, &mut s);
    let root = (n as f64).sqrt();
    s.iter_mut().for_each(|s| *s *= root);
    s
}

/// STP.
#[derive(Clone)]
struct Run {
    settings: Stp,
    setup: Setup,
    step: f64,
    x: Vec<f64>,
    loss: Option<f64>,
    /// The direction, and whether its opposite is being tried.
    s: Vec<f64>,
    second: bool,
    y: Vec<f64>,
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        if self.loss.is_none() {
            points.extend_from_slice(&self.x);
        } else {
            if self.second {
                self.s.iter_mut().for_each(|s| *s = -*s);
            } else {
                self.s = direction(draws, 0, self.x.len());
            }
            self.setup.push(&self.x, self.step, &self.s, points);
        }
        self.y.clone_from(points);
    }

    fn tell(&mut self, losses: &[f64]) {
        let Some(stay) = self.loss else {
            self.loss = Some(losses[0]);
            return;
        };
        if losses[0] < stay {
            self.x.copy_from_slice(&self.y);
            self.loss = Some(losses[0]);
            self.step *= self.settings.grow;
            self.second = false;
        } else {
            self.step *= if self.second { self.settings.shrink } else { 1.0 };
            self.second = !self.second;
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.x)
    }

    fn remembers(&self) -> bool {
        true
    }

    fn stop(&self) -> Option<Stop> {
        self.setup.vanishes(&self.x, self.step).then_some(Stop::SmallSteps)
    }
}

/// MiSTP: three points anew each time.
#[derive(Clone)]
struct Anew {
    settings: Mistp,
    setup: Setup,
    iterations: u64,
    x: Vec<f64>,
    points: Vec<f64>,
}

impl Anew {
    fn step(&self) -> f64 {
        match self.settings.decay {
            Decay::Root => self.settings.step / (self.iterations as f64 + 1.0).sqrt(),
            Decay::None => self.settings.step,
        }
    }
}

impl Strategy for Anew {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let mut s = direction(draws, 0, self.x.len());
        points.extend_from_slice(&self.x);
        for _ in 0..2 {
            self.setup.push(&self.x, self.step(), &s, points);
            s.iter_mut().for_each(|s| *s = -*s);
        }
        self.points.clone_from(points);
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.x.len();
        let best = (1..3).fold(0, |b, i| if losses[i] < losses[b] { i } else { b });
        self.x.copy_from_slice(&self.points[best * n..][..n]);
        self.iterations += 1;
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.x)
    }

    fn stop(&self) -> Option<Stop> {
        self.setup.vanishes(&self.x, self.step()).then_some(Stop::SmallSteps)
    }
}
