//! OpenAI-ES: a gradient of the smoothed loss from antithetic pairs, with Adam.
//!
//! Salimans, Ho, Chen, Sidor and Sutskever (2017, arXiv 1703.03864): `g = 1/(λσ) Σ (r⁺ − r⁻) z` with centred ranks r and a
//! fixed σ; the step is Adam's (Kingma and Ba 2015, β = 0.9, 0.999, ε = 1e-8), here with a rate that falls as `1/√t`, as its
//! analysis asks. Made for noisy losses and many dimensions: with σ fixed it finds the optimum of the smoothed loss, no
//! finer.

use super::super::draws::Draws;
use super::pgpe::paired_members;
use super::ranking::centred_rewards;
use super::stp::positive;
use super::{Setup, Stop, Strategy};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The settings of OpenAI-ES.
///
/// ```
/// use onward_study::{Goal, StrategyKind, OpenAiEs, Space, Study};
/// let method = StrategyKind::OpenAiEs(OpenAiEs::default());
/// let mut study = Study::new(Space::reals(10, 1.0, 0.5)?, Goal::Minimize, 4000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// let centre = study.centre().unwrap_or_default();
/// assert!(centre.iter().map(|x| x.number().powi(2)).sum::<f64>() < 1e-2);
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpenAiEs {
    /// Candidates in a generation, an even number; `None` for `2 (4 + ⌊3 ln d⌋)`.
    pub members: Option<usize>,
    /// σ, relative to the space's standard deviations.
    pub sigma: f64,
    /// Adam's first rate, in the same units.
    pub rate: f64,
}

impl Default for OpenAiEs {
    fn default() -> Self {
        Self { members: None, sigma: 0.1, rate: 0.3 }
    }
}

impl OpenAiEs {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let n = setup.dimension();
        let members = paired_members(self.members, n)?;
        positive("sigma", self.sigma)?;
        positive("rate", self.rate)?;
        Ok(Box::new(Run {
            settings: *self,
            setup: setup.clone(),
            mean: setup.start.clone(),
            z: vec![0.0; members / 2 * n],
            momentum: vec![0.0; n],
            squares: vec![0.0; n],
            steps: 0,
            forgotten: (1.0, 1.0),
        }))
    }
}

const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

#[derive(Clone)]
struct Run {
    settings: OpenAiEs,
    setup: Setup,
    mean: Vec<f64>,
    /// (λ/2, n).
    z: Vec<f64>,
    momentum: Vec<f64>,
    squares: Vec<f64>,
    steps: u64,
    /// β₁^t, β₂^t.
    forgotten: (f64, f64),
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.mean.len();
        for (pair, z) in self.z.chunks_exact_mut(n).enumerate() {
            draws.normal(pair, 0, z);
            self.setup.push(&self.mean, self.settings.sigma, z, points);
            let step = |i: usize| self.setup.reach(i, self.settings.sigma) * z[i];
            points.extend((0..n).map(|i| self.mean[i] - step(i)));
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.mean.len();
        let rewards = centred_rewards(losses);
        let mut g = vec![0.0; n];
        for (z, r) in self.z.chunks_exact(n).zip(rewards.chunks_exact(2)) {
            g.iter_mut().zip(z).for_each(|(g, z)| *g += (r[0] - r[1]) * z);
        }
        self.steps += 1;
        self.forgotten = (self.forgotten.0 * BETA.0, self.forgotten.1 * BETA.1);
        let rate = self.settings.rate / (self.steps as f64).sqrt();
        let scale = 1.0 / (losses.len() as f64 * self.settings.sigma);
        for (i, g) in g.iter().enumerate() {
            let g = g * scale;
            self.momentum[i] += (1.0 - BETA.0) * (g - self.momentum[i]);
            self.squares[i] += (1.0 - BETA.1) * (g * g - self.squares[i]);
            let m = self.momentum[i] / (1.0 - self.forgotten.0);
            let v = self.squares[i] / (1.0 - self.forgotten.1);
            self.mean[i] += rate * self.setup.sigma[i] * m / (v.sqrt() + EPSILON);
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.mean)
    }

    fn stop(&self) -> Option<Stop> {
        None
    }
}
