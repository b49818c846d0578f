//! PGPE with ClipUp: policy gradients with parameter-based exploration.
//!
//! Sehnke et al. (Neural Networks 2010); ClipUp: Toklu, Liskowski and Srivastava (PPSN 2020, arXiv 2008.02387). Pairs
//! `μ ± ε`, `ε ~ N(0, σ²)`, with centred ranks r as rewards:
//!
//! ```text
//! g_μ = mean (r⁺ − r⁻)/2 · ε,     v ← clip(m v + a g_μ/‖g_μ‖, v_max),     μ ← μ + v
//! g_σ = mean ((r⁺ + r⁻)/2 − b)(ε² − σ²)/σ,     σ ← σ + a_σ g_σ, no more than a fifth either way     b = mean r
//! ```
//!
//! Made for noisy losses and many dimensions. Its steps have a fixed length, relative here to the distance that the space's
//! standard deviations expect and to how far σ has fallen, so that it can also converge.

use super::super::draws::Draws;
use super::ranking::{centred_rewards, usual_members};
use super::stp::positive;
use super::{Setup, Stop, Strategy, count, misfit};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The settings of PGPE.
///
/// ```
/// use onward_study::{Goal, StrategyKind, Pgpe, Space, Study};
/// let mut study = Study::new(Space::reals(10, 1.0, 0.5)?, Goal::Minimize, 4000, 1, StrategyKind::Pgpe(Pgpe::default()))?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-2));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pgpe {
    /// Candidates in a generation, an even number; `None` for `2 (4 + ⌊3 ln d⌋)`.
    pub members: Option<usize>,
    /// a: the length that a step adds to the velocity, relative to `σ √d`.
    pub rate: f64,
    /// m, in `0..1`.
    pub momentum: f64,
    /// v_max over a.
    pub speed: f64,
    /// a_σ.
    pub sigma_rate: f64,
}

impl Default for Pgpe {
    fn default() -> Self {
        Self { members: None, rate: 0.15, momentum: 0.9, speed: 1.0, sigma_rate: 0.6 }
    }
}

/// The given number of pairs' members, or twice the usual number.
pub(super) fn paired_members(given: Option<usize>, n: usize) -> Result<usize> {
    match given {
        Some(odd) if odd < 4 || odd % 2 == 1 => Err(misfit("members", "an even number of at least 4", odd)),
        _ => count("members", given.unwrap_or_else(|| 2 * usual_members(n)), 4, n),
    }
}

impl Pgpe {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let n = setup.dimension();
        let members = paired_members(self.members, n)?;
        positive("rate", self.rate)?;
        positive("speed", self.speed)?;
        positive("sigma_rate", self.sigma_rate)?;
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(misfit(
                "momentum",
                "a number of at least 0 and below 1",
                format!("{:?}", self.momentum),
            ));
        }
        Ok(Box::new(Run {
            settings: *self,
            setup: setup.clone(),
            mean: setup.start.clone(),
            velocity: vec![0.0; n],
            sigma: vec![1.0; n],
            z: vec![0.0; members / 2 * n],
        }))
    }
}

/// The most that σ may change by in a generation, and its least value relative to the first.
const CLIP: f64 = 0.2;
const LEAST: f64 = 1e-12;

#[derive(Clone)]
struct Run {
    settings: Pgpe,
    setup: Setup,
    mean: Vec<f64>,
    /// In units of the space's standard deviations, as σ.
    velocity: Vec<f64>,
    sigma: Vec<f64>,
    /// ε/σ of each pair, (λ/2, n).
    z: Vec<f64>,
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

impl Run {
    fn move_mean(&mut self, g: &[f64]) {
        let root = (self.mean.len() as f64).sqrt();
        let typical = length(&self.sigma) / root;
        let rate = self.settings.rate * typical * root;
        let size = length(g);
        let step = if size > 0.0 { rate / size } else { 0.0 };
        self.velocity.iter_mut().zip(g).for_each(|(v, g)| *v = self.settings.momentum * *v + step * g);
        let (speed, limit) = (length(&self.velocity), rate * self.settings.speed);
        if speed > limit {
            self.velocity.iter_mut().for_each(|v| *v *= limit / speed);
        }
        for ((m, v), s) in self.mean.iter_mut().zip(&self.velocity).zip(&self.setup.sigma) {
            *m += v * s;
        }
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.mean.len();
        for (pair, z) in self.z.chunks_exact_mut(n).enumerate() {
            draws.normal(pair, 0, z);
            for sign in [1.0, -1.0] {
                let step = |i: usize| sign * self.setup.reach(i, self.sigma[i]) * z[i];
                points.extend((0..n).map(|i| self.mean[i] + step(i)));
            }
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.mean.len();
        let rewards = centred_rewards(losses);
        let (mut g, mut widen) = (vec![0.0; n], vec![0.0; n]);
        for (z, r) in self.z.chunks_exact(n).zip(rewards.chunks_exact(2)) {
            // Centred ranks have mean zero: b = 0.
            let (odd, even) = (0.5 * (r[0] - r[1]), 0.5 * (r[0] + r[1]));
            for (i, z) in z.iter().enumerate() {
                g[i] += odd * z * self.sigma[i];
                widen[i] += even * (z * z - 1.0);
            }
        }
        self.move_mean(&g);
        let share = self.settings.sigma_rate / (losses.len() as f64 / 2.0);
        for ((s, w), f) in self.sigma.iter_mut().zip(&widen).zip(&self.setup.floor) {
            *s *= 1.0 + (share * w).clamp(-CLIP, CLIP);
            *s = s.max(if *f > 0.0 { 1e-2 } else { LEAST });
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.mean)
    }

    fn stop(&self) -> Option<Stop> {
        None
    }
}
