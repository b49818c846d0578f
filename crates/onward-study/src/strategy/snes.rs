//! SNES: separable natural evolution strategies.
//!
//! Schaul, Glasmachers and Schmidhuber (GECCO 2011); Wierstra et al. (JMLR 2014). With utilities `u_k` by rank
//! (`max(0, ln(λ/2 + 1) − ln i)/Σ − 1/λ`), `x_k = μ + σ ⊙ z_k`:
//!
//! ```text
//! μ ← μ + η_μ σ ⊙ Σ u_k z_k,      σ ← σ ⊙ exp(½ η_σ Σ u_k (z_k² − 1)),      η_μ = 1, η_σ = (3 + ln n)/(5√n)
//! ```

use super::super::draws::Draws;
use super::cma_es::members_or_usual;
use super::ranking::{order, utilities};
use super::stp::positive;
use super::{Setup, Stop, Strategy};
use crate::Result;
use onward_kernel::{exp64, ln64};
use serde::{Deserialize, Serialize};

/// The settings of SNES.
///
/// ```
/// use onward_study::{Goal, StrategyKind, Snes, Space, Study};
/// let mut study = Study::new(Space::reals(10, 1.0, 0.5)?, Goal::Minimize, 2000, 1, StrategyKind::Snes(Snes::default()))?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Snes {
    /// Candidates in a generation; `None` for `4 + ⌊3 ln d⌋`.
    pub members: Option<usize>,
    /// η_σ; `None` for `(3 + ln d)/(5√d)`.
    pub sigma_rate: Option<f64>,
}

impl Snes {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let n = setup.dimension();
        let members = members_or_usual(self.members, n)?;
        let d = n as f64;
        let rate = self.sigma_rate.unwrap_or((3.0 + ln64(d)) / (5.0 * d.sqrt()));
        positive("sigma_rate", rate)?;
        Ok(Box::new(Run {
            setup: setup.clone(),
            utilities: utilities(members),
            rate,
            mean: setup.start.clone(),
            sigma: vec![1.0; n],
            z: vec![0.0; members * n],
        }))
    }
}

#[derive(Clone)]
struct Run {
    setup: Setup,
    utilities: Vec<f64>,
    rate: f64,
    mean: Vec<f64>,
    /// Relative to the space's standard deviations.
    sigma: Vec<f64>,
    /// (λ, n).
    z: Vec<f64>,
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.mean.len();
        for (member, z) in self.z.chunks_exact_mut(n).enumerate() {
            draws.normal(member, 0, z);
            points.extend((0..n).map(|i| self.mean[i] + self.setup.reach(i, self.sigma[i]) * z[i]));
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.mean.len();
        let (mut along, mut square) = (vec![0.0; n], vec![0.0; n]);
        for (member, u) in order(losses).iter().zip(&self.utilities) {
            let z = &self.z[member * n..][..n];
            along.iter_mut().zip(z).for_each(|(a, z)| *a += u * z);
            square.iter_mut().zip(z).for_each(|(s, z)| *s += u * (z * z - 1.0));
        }
        for i in 0..n {
            self.mean[i] += self.setup.reach(i, self.sigma[i]) * along[i];
            // A coordinate that is held at its floor has no use for ever smaller σ.
            let least = self.setup.floor[i] / self.setup.sigma[i];
            self.sigma[i] = (self.sigma[i] * exp64(0.5 * self.rate * square[i])).max(least);
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.mean)
    }

    fn stop(&self) -> Option<Stop> {
        let largest = self.sigma.iter().zip(&self.setup.floor).filter(|(_, f)| **f == 0.0);
        let largest = largest.fold(0.0, |m: f64, (s, _)| m.max(*s));
        self.setup.vanishes(&self.mean, largest).then_some(Stop::SmallSteps)
    }
}
