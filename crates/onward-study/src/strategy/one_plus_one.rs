//! (1+1)-ES with the 1/5 success rule.
//!
//! Rechenberg (1973); the rule in the form of Kern et al. (Natural Computing 2004): `y = x + σ z`; `x ← y` if
//! `f(y) ≤ f(x)`; `σ ← σ exp((1{f(y) < f(x)} − 1/5)/√(n + 1))`, but where `f(y) = f(x)`, which says nothing about σ: on a
//! plateau it would grow for ever. In bounds it grows to their distance and no further. Linear convergence on strongly convex functions with
//! Lipschitz gradient and their monotone transforms, without knowing any constant: Morinaga, Fukuchi, Sakuma and Akimoto
//! (arXiv 2209.12467); convergence to critical points in general: Glasmachers (ECJ 2020, arXiv 1706.02887).

use super::super::draws::Draws;
use super::stp::positive;
use super::{Setup, Stop, Strategy};
use crate::Result;
use onward_kernel::exp64;
use serde::{Deserialize, Serialize};

/// The settings of the (1+1)-ES.
///
/// ```
/// use onward_study::{Goal, StrategyKind, OnePlusOne, Space, Study};
/// let method = StrategyKind::OnePlusOne(OnePlusOne::default());
/// let mut study = Study::new(Space::reals(10, 1.0, 0.5)?, Goal::Minimize, 1000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnePlusOne {
    /// The first σ, relative to the space's standard deviations.
    pub step: f64,
}

impl Default for OnePlusOne {
    fn default() -> Self {
        Self { step: 1.0 }
    }
}

impl OnePlusOne {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("step", self.step)?;
        let x = setup.start.clone();
        Ok(Box::new(Run { setup: setup.clone(), sigma: self.step, x, loss: None, y: Vec::new() }))
    }
}

/// The rate of success that leaves σ as it is.
const SUCCESS: f64 = 0.2;

#[derive(Clone)]
struct Run {
    setup: Setup,
    sigma: f64,
    x: Vec<f64>,
    loss: Option<f64>,
    y: Vec<f64>,
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        if self.loss.is_none() {
            points.extend_from_slice(&self.x);
        } else {
            let mut z = vec![0.0; self.x.len()];
            draws.normal(0, 0, &mut z);
            self.setup.push(&self.x, self.sigma, &z, points);
        }
        self.y.clone_from(points);
    }

    fn tell(&mut self, losses: &[f64]) {
        let Some(stay) = self.loss else {
            self.loss = Some(losses[0]);
            return;
        };
        if losses[0] <= stay {
            self.x.copy_from_slice(&self.y);
            self.loss = Some(losses[0]);
        }
        if losses[0] == stay {
            return;
        }
        let success = f64::from(u8::from(losses[0] < stay));
        let damping = (self.x.len() as f64 + 1.0).sqrt();
        self.sigma = (self.sigma * exp64((success - SUCCESS) / damping)).min(self.setup.largest());
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.x)
    }

    fn remembers(&self) -> bool {
        true
    }

    fn stop(&self) -> Option<Stop> {
        self.setup.vanishes(&self.x, self.sigma).then_some(Stop::SmallSteps)
    }
}
