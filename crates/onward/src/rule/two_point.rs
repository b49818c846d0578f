//! Symmetric two-point differences on all weights at once.
//!
//! SPSA (Spall 1992) in the memory-free form of MeZO (Malladi et al. 2023, arXiv 2305.17333), averaged over `K` directions:
//! `ĝ = (1/K) Σ (L(w + σz) − L(w − σz))/(2σ) · z`. The symmetric difference is the robust default at kinks (Shamir 2017, arXiv
//! 1507.08752). Perturbed weights are formed layer by layer in scratch; the params are never touched.

use super::{At, Outcome, misfit, step_along};
use crate::Result;
use crate::evaluate::{Batch, Evaluator, MOST_MEMBERS, WeightPlan, check_sigma};
use crate::model::{Member, WeightSpace};
use crate::noise::Family;
use crate::params::Params;

/// The two-point method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoPoint {
    /// The size of the perturbation.
    pub sigma: f32,
    /// Directions per step, each evaluated with both signs.
    pub directions: u32,
    /// The distribution of the noise.
    pub noise: Family,
}

impl TwoPoint {
    pub(super) fn space(&self) -> WeightSpace {
        WeightSpace::Dense { noise: self.noise }
    }

    pub(super) fn check(&self) -> Result<()> {
        let most = MOST_MEMBERS / 2;
        if !(1..=most).contains(&self.directions) {
            return Err(misfit("directions", format!("at least 1 (and at most {most})"), self.directions));
        }
        check_sigma(&[self.sigma])
    }

    pub(super) fn plan(&self, step: u32) -> WeightPlan {
        let members =
            (0..self.directions).flat_map(|index| [1.0, -1.0].map(|sign| Member { index, sign })).collect();
        WeightPlan { step, space: self.space(), sigma: self.sigma, members, together: 2, share: 0 }
    }

    pub(super) fn run(
        &self,
        evaluator: &dyn Evaluator,
        params: &Params,
        batch: &Batch,
        at: At,
    ) -> Result<Outcome> {
        let found = evaluator.losses(&at.key, params, batch, &self.plan(at.step))?;
        let factor = -f64::from(at.factor()) / (2.0 * f64::from(self.sigma) * f64::from(self.directions));
        let pairs = found.losses.chunks_exact(2);
        let values: Vec<f64> = pairs.map(|l| (f64::from(l[0]) - f64::from(l[1])) * factor).collect();
        Ok(step_along(&found, &values, self.space()))
    }
}
