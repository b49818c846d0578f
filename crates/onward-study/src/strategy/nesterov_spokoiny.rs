//! Random gradient-free methods of Nesterov and Spokoiny, plain and accelerated.
//!
//! *Random gradient-free minimization of convex functions* (FoCM 2017). With `u ~ N(0, 1)` and
//! `g_μ(x) = (f(x + μu) − f(x))/μ · u`:
//!
//! ```text
//! plain        x ← x − h g_μ(x)                                                     h = 1/(4(n + 4) L)
//! accelerated  α² / θ = (1 − α) γ + α τ =: γ',   y = x + αγ/(γ + ατ) · (v − x),     θ = 1/(16 (n + 4)² L)
//!              x ← y − h g_μ(y),   v ← (1 − λ) v + λ y − θ/α · g_μ(y),              λ = ατ/γ',   γ ← γ'
//! ```
//!
//! (the paper prints `(n + 1)²` in θ; its proof needs `(n + 4)²`). With L given these are the paper's, and its bounds
//! hold. Without, L is begun at twice the curvature that a first symmetric pair shows and doubled, going back to the best
//! point, whenever the loss is above that of the last point (plain) or of the last start (accelerated); the plain method
//! lets it fall by `1/(4(n + 4))` of itself after each step that went well. A point without a finite loss is left for the
//! best one.

use super::super::draws::Draws;
use super::stp::positive;
use super::{Setup, Stop, Strategy, misfit};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The scheme.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// RG: steps against the estimate.
    #[default]
    Plain,
    /// FG: Nesterov's acceleration.
    Accelerated,
}

/// The settings of the methods of Nesterov and Spokoiny.
///
/// ```
/// use onward_study::{Goal, StrategyKind, NesterovSpokoiny, Space, Study};
/// let method = StrategyKind::NesterovSpokoiny(NesterovSpokoiny::default());
/// let mut study = Study::new(Space::reals(5, 1.0, 0.5)?, Goal::Minimize, 2000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NesterovSpokoiny {
    /// The scheme.
    pub scheme: Scheme,
    /// L, the Lipschitz constant of the gradient, in units of the space's standard deviations; `None` to learn it.
    pub smoothness: Option<f64>,
    /// τ ≤ L, strong convexity in the same units: 0 if not known. Only the accelerated scheme uses it.
    pub convexity: f64,
    /// μ, relative to the space's standard deviations.
    pub probe: f64,
}

impl Default for NesterovSpokoiny {
    fn default() -> Self {
        Self { scheme: Scheme::Plain, smoothness: None, convexity: 0.0, probe: 1e-6 }
    }
}

impl NesterovSpokoiny {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("probe", self.probe)?;
        self.smoothness.map_or(Ok(()), |l| positive("smoothness", l))?;
        if !(self.convexity >= 0.0 && self.convexity <= self.smoothness.unwrap_or(f64::MAX)) {
            return Err(misfit(
                "convexity",
                "a number from 0 to the smoothness",
                format!("{:?}", self.convexity),
            ));
        }
        let x: Vec<f64> = setup.start.iter().zip(&setup.sigma).map(|(x, s)| x / s).collect();
        let mut run = Run {
            settings: *self,
            setup: setup.clone(),
            smoothness: self.smoothness.unwrap_or(0.0),
            centre: setup.start.clone(),
            y: x.clone(),
            v: x.clone(),
            best: x.clone(),
            x,
            u: Vec::new(),
            reach: Vec::new(),
            gamma: 0.0,
            bar: f64::INFINITY,
            lowest: f64::INFINITY,
        };
        run.start_again();
        Ok(Box::new(run))
    }
}

/// L, at most: squares of it are never taken, but it is multiplied.
const STEEPEST: f64 = 1e300;

/// All points are in units of the space's standard deviations.
#[derive(Clone)]
struct Run {
    settings: NesterovSpokoiny,
    setup: Setup,
    /// L; 0 until a first pair has shown it.
    smoothness: f64,
    x: Vec<f64>,
    /// Where the estimate is taken: x itself in the plain scheme.
    y: Vec<f64>,
    v: Vec<f64>,
    gamma: f64,
    u: Vec<f64>,
    reach: Vec<f64>,
    /// The loss that must not be exceeded while L is being learned.
    bar: f64,
    lowest: f64,
    best: Vec<f64>,
    /// In the space's encoding: x, or the best y while L is being learned, since that goes back to it.
    centre: Vec<f64>,
}

impl Run {
    fn n(&self) -> f64 {
        self.x.len() as f64
    }

    fn start_again(&mut self) {
        self.x.clone_from(&self.best);
        self.v.clone_from(&self.best);
        self.y.clone_from(&self.best);
        self.gamma = self.smoothness.max(self.settings.convexity);
        self.bar = self.lowest;
    }

    /// α, the positive root of `α²/θ = (1 − α)γ + ατ`.
    fn alpha(&self) -> f64 {
        let theta = self.theta();
        let (tau, gamma) = (self.settings.convexity, self.gamma);
        let b = theta * (gamma - tau);
        0.5 * ((b * b + 4.0 * theta * gamma).sqrt() - b)
    }

    fn theta(&self) -> f64 {
        1.0 / (16.0 * (self.n() + 4.0) * (self.n() + 4.0) * self.smoothness)
    }

    fn place_y(&mut self) {
        if self.settings.scheme == Scheme::Accelerated && self.smoothness > 0.0 {
            let alpha = self.alpha();
            let share = alpha * self.gamma / (self.gamma + alpha * self.settings.convexity);
            for ((y, x), v) in self.y.iter_mut().zip(&self.x).zip(&self.v) {
                *y = x + share * (v - x);
            }
        } else {
            self.y.clone_from(&self.x);
        }
    }

    fn step(&mut self, response: f64) {
        let g: Vec<f64> = self.u.iter().zip(&self.reach).map(|(u, r)| response / r * u).collect();
        let h = 1.0 / (4.0 * (self.n() + 4.0) * self.smoothness);
        self.x.clone_from(&self.y);
        self.x.iter_mut().zip(&g).for_each(|(x, g)| *x -= h * g);
        if self.settings.scheme == Scheme::Accelerated {
            let (alpha, theta, tau) = (self.alpha(), self.theta(), self.settings.convexity);
            self.gamma = (1.0 - alpha) * self.gamma + alpha * tau;
            let lambda = alpha * tau / self.gamma;
            for ((v, y), g) in self.v.iter_mut().zip(&self.y).zip(&g) {
                *v += lambda * (y - *v) - theta / alpha * g;
            }
        }
    }

    /// L from `f(y)`, `f(y + ru)`, `f(y − ru)`.
    fn see_curvature(&mut self, losses: &[f64]) {
        let length: f64 = self.u.iter().zip(&self.reach).map(|(u, r)| u * r * u * r).sum();
        let curvature = (losses[1] - losses[0]) + (losses[2] - losses[0]);
        let seen = if curvature.is_finite() { 2.0 * curvature.abs() / length } else { 0.0 };
        // A straight line has none: then the slope over the spread is what steps must be measured by.
        let slope =
            if losses.iter().all(|l| l.is_finite()) { (losses[1] - losses[2]).abs() / length } else { 0.0 };
        let seen = seen.max(1e-3 * slope);
        if seen > 0.0 && seen.is_finite() {
            self.smoothness = seen;
            self.start_again();
        }
    }

    fn learns(&self) -> bool {
        self.settings.smoothness.is_none()
    }

    fn place_centre(&mut self) {
        let at = if self.learns() { &self.best } else { &self.x };
        self.centre = at.iter().zip(&self.setup.sigma).map(|(x, s)| x * s).collect();
    }

    fn follow(&mut self, losses: &[f64]) {
        if losses[0] < self.lowest {
            self.lowest = losses[0];
            self.best.clone_from(&self.y);
        }
        if self.smoothness == 0.0 {
            self.see_curvature(losses);
            return;
        }
        if losses[0].is_infinite() || (self.learns() && losses[0] > self.bar) {
            // An accident, or a step over a cliff, says nothing about L.
            if losses[0].is_finite() {
                self.smoothness = (2.0 * self.smoothness).min(STEEPEST);
            }
            self.start_again();
            return;
        }
        if self.settings.scheme == Scheme::Plain {
            self.bar = losses[0];
            if self.learns() {
                self.smoothness *= 1.0 - 0.25 / (self.n() + 4.0);
            }
        }
        let response = losses[1] - losses[0];
        if response.is_finite() {
            self.step(response);
        }
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.x.len();
        let first = self.smoothness == 0.0;
        let size = if first { 1.0 } else { self.settings.probe };
        self.place_y();
        self.u.resize(n, 0.0);
        draws.normal(0, 0, &mut self.u);
        self.reach = (0..n).map(|i| self.setup.reach(i, size) / self.setup.sigma[i]).collect();
        let signs: &[f64] = if first { &[0.0, 1.0, -1.0] } else { &[0.0, 1.0] };
        for sign in signs {
            let probe = self.u.iter().zip(&self.reach).map(|(u, r)| sign * u * r);
            points.extend(self.y.iter().zip(probe).zip(&self.setup.sigma).map(|((y, p), s)| (y + p) * s));
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        self.follow(losses);
        self.place_centre();
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.centre)
    }

    fn stop(&self) -> Option<Stop> {
        None
    }
}
