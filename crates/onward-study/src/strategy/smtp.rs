//! SMTP: stochastic three points with heavy-ball momentum.
//!
//! Gorbunov, Bibi, Sener, Bergou and Richtárik (ICLR 2020, arXiv 1905.13278):
//!
//! ```text
//! v± = β v ± s,   x± = x − γ v±,   z± = x± − γβ/(1 − β) v±,   keep (x, v, z) of the least of f(z), f(z⁺), f(z⁻)
//! ```
//!
//! The analysis lets γ fall slowly; here it follows success (×1.15 and ×0.9) as in STP. Where γ changes, a failure begins
//! anew at the best point (`x ← z`, `v ← 0`): otherwise z± would shrink towards an `x` that is worse than `z`, and nothing
//! would ever be accepted again. Momentum does not pay on well-conditioned functions.

use super::super::draws::Draws;
use super::stp::{check_factors, direction, positive};
use super::{Setup, Stop, Strategy, misfit};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The settings of SMTP.
///
/// ```
/// use onward_study::{Goal, StrategyKind, Smtp, Space, Study};
/// let mut study = Study::new(Space::reals(10, 1.0, 0.5)?, Goal::Minimize, 1500, 1, StrategyKind::Smtp(Smtp::default()))?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The first step γ, relative to the space's standard deviations.
    pub step: f64,
    /// The share of the last direction that is kept, in `0..1`.
    pub momentum: f64,
    /// What a success multiplies the step by.
    pub grow: f64,
    /// What a failure multiplies it by.
    pub shrink: f64,
}

impl Default for Smtp {
    fn default() -> Self {
        Self { step: 0.5, momentum: 0.5, grow: 1.15, shrink: 0.9 }
    }
}

impl Smtp {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("step", self.step)?;
        check_factors(self.grow, self.shrink)?;
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(misfit(
                "momentum",
                "a number of at least 0 and below 1",
                format!("{:?}", self.momentum),
            ));
        }
        let x = setup.start.clone();
        Ok(Box::new(Run {
            settings: *self,
            setup: setup.clone(),
            step: self.step,
            v: vec![0.0; x.len()],
            z: x.clone(),
            x,
            loss: None,
            s: Vec::new(),
            points: Vec::new(),
        }))
    }
}

#[derive(Clone)]
struct Run {
    settings: Smtp,
    setup: Setup,
    step: f64,
    x: Vec<f64>,
    v: Vec<f64>,
    z: Vec<f64>,
    loss: Option<f64>,
    s: Vec<f64>,
    points: Vec<f64>,
}

impl Run {
    /// `β v ± s`.
    fn velocity(&self, sign: f64) -> Vec<f64> {
        self.v.iter().zip(&self.s).map(|(v, s)| self.settings.momentum * v + sign * s).collect()
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        self.s = direction(draws, 0, self.x.len());
        if self.loss.is_none() {
            points.extend_from_slice(&self.z);
        }
        let whole = 1.0 / (1.0 - self.settings.momentum);
        for sign in [1.0, -1.0] {
            let v: Vec<f64> = self.velocity(sign).iter().map(|v| -v * whole).collect();
            self.setup.push(&self.x, self.step, &v, points);
        }
        self.points.clone_from(points);
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.x.len();
        let stay = self.loss.unwrap_or(losses[0]);
        let pair = losses.len() - 2;
        let minus = usize::from(losses[pair + 1] < losses[pair]);
        let success = losses[pair + minus] < stay;
        if success {
            self.v = self.velocity(if minus == 1 { -1.0 } else { 1.0 });
            for (i, x) in self.x.iter_mut().enumerate() {
                *x -= self.setup.reach(i, self.step) * self.v[i];
            }
            self.z.copy_from_slice(&self.points[(pair + minus) * n..][..n]);
        } else {
            self.x.clone_from(&self.z);
            self.v.fill(0.0);
        }
        self.loss = Some(if success { losses[pair + minus] } else { stay });
        self.step *= if success { self.settings.grow } else { self.settings.shrink };
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.z)
    }

    fn remembers(&self) -> bool {
        true
    }

    fn stop(&self) -> Option<Stop> {
        self.setup.vanishes(&self.z, self.step).then_some(Stop::SmallSteps)
    }
}
