//! STP and MiSTP: stochastic three points.
//!
//! Bergou, Gorbunov and Richtárik (SIAM J. Optim. 2020, arXiv 1902.03591): with `s` uniform on the sphere,
//! `x ← argmin { f(x), f(x + α s), f(x − α s) }`. MiSTP (Boucherouite, Malinovsky, Richtárik and Bergou, AAAI 2024) takes
//! all three values anew on the same random batch (here: in one generation), which is what noisy losses need: a lucky
//! incumbent does not stay for ever, but the noise of a comparison does not average out either.
//!
//! STP adapts α by success (×1.15 and ×0.9, so that one try in four succeeds). MiSTP must not: a pair compared on a small
//! batch nearly always "improves" on it, and α would grow without bound. It takes `α / √(k + 1)`.

use super::super::draws::Draws;
use super::{Setup, Stop, Strategy, misfit};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The settings of STP.
///
/// ```
/// use onward::study::{Goal, Method, Space, Stp, Study};
/// let mut study = Study::new(Space::reals(10, 1.0, 0.5)?, Goal::Minimize, 1000, 1, Method::Stp(Stp::default()))?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
/// use onward::study::{Goal, Method, Mistp, Space, Study};
/// let mut study = Study::new(Space::reals(3, 1.0, 0.5)?, Goal::Minimize, 3000, 1, Method::Mistp(Mistp::default()))?;
/// while let Some(candidate) = study.ask() {
///     // Noise that all candidates of a generation share.
///     let noise = ((candidate.generation * 7919) % 101) as f64 / 101.0;
///     study.tell(candidate.id, candidate.numbers().map(|x| (x - 0.01 * noise).powi(2)).sum::<f64>() + noise)?;
/// }
/// let centre = study.centre().unwrap_or_default();
/// assert!(centre.iter().all(|x| x.number().abs() < 0.1));
/// # Ok::<(), onward::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mistp {
    /// The first step, relative to the space's standard deviations.
    pub step: f64,
}

impl Default for Mistp {
    fn default() -> Self {
        Self { step: 1.0 }
    }
}

/// Refuses what is no positive number.
pub(super) fn positive(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(misfit(key, "a positive number", value)) }
}

/// Refuses step factors that do not grow after a success or do not shrink after a failure.
pub(super) fn check_factors(grow: f64, shrink: f64) -> Result<()> {
    if !(grow.is_finite() && grow >= 1.0) {
        return Err(misfit("grow", "a number of at least 1", grow));
    }
    if !(shrink > 0.0 && shrink <= 1.0) {
        return Err(misfit("shrink", "a number above 0 and at most 1", shrink));
    }
    Ok(())
}

impl Stp {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("step", self.step)?;
        check_factors(self.grow, self.shrink)?;
        let pace = Pace::BySuccess { grow: self.grow, shrink: self.shrink };
        Ok(Box::new(ThreePoints::new(setup, self.step, pace)))
    }
}

impl Mistp {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("step", self.step)?;
        Ok(Box::new(ThreePoints::new(setup, self.step, Pace::Root)))
    }
}

/// How the step changes.
enum Pace {
    /// STP: the incumbent's loss is kept.
    BySuccess { grow: f64, shrink: f64 },
    /// MiSTP: the first step over √(k + 1), the incumbent evaluated anew.
    Root,
}

struct ThreePoints {
    setup: Setup,
    pace: Pace,
    first_step: f64,
    step: f64,
    iterations: u64,
    x: Vec<f64>,
    /// The incumbent's loss, if it is known and kept.
    loss: Option<f64>,
    /// The points of this generation, the incumbent first if it is among them.
    points: Vec<f64>,
}

impl ThreePoints {
    fn new(setup: &Setup, step: f64, pace: Pace) -> Self {
        let x = setup.start.clone();
        Self {
            setup: setup.clone(),
            pace,
            first_step: step,
            step,
            iterations: 0,
            x,
            loss: None,
            points: Vec::new(),
        }
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

impl Strategy for ThreePoints {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let mut s = direction(draws, 0, self.x.len());
        if self.loss.is_none() {
            points.extend_from_slice(&self.x);
        }
        for _ in 0..2 {
            self.setup.push(&self.x, self.step, &s, points);
            s.iter_mut().for_each(|s| *s = -*s);
        }
        self.points.clone_from(points);
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.x.len();
        let stay = self.loss.unwrap_or(losses[0]);
        let best = (1..losses.len()).fold(0, |b, i| if losses[i] < losses[b] { i } else { b });
        let success = losses[best] < stay;
        if success {
            self.x.copy_from_slice(&self.points[best * n..][..n]);
        }
        self.iterations += 1;
        match self.pace {
            Pace::BySuccess { grow, shrink } => {
                self.loss = Some(if success { losses[best] } else { stay });
                self.step *= if success { grow } else { shrink };
            }
            Pace::Root => self.step = self.first_step / (self.iterations as f64 + 1.0).sqrt(),
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.x)
    }

    fn stop(&self) -> Option<Stop> {
        self.setup.vanishes(&self.x, self.step).then_some(Stop::SmallSteps)
    }
}
