//! Symmetric two-point differences on all weights at once.
//!
//! SPSA (Spall 1992) in the memory-free form of MeZO (Malladi et al. 2023, arXiv 2305.17333), averaged over `K` directions:
//! `ĝ = (1/K) Σ (L(w + σz) − L(w − σz))/(2σ) · z`. The symmetric difference is the robust default at kinks (Shamir 2017, arXiv
//! 1507.08752). Perturbed weights are formed layer by layer in scratch; the params are never touched.

use super::{Clock, Heard, Next, Rule, step_along};
use crate::Result;
use crate::ask::{MOST_MEMBERS, MemberPlan, ProbePlan, Signs, Spent, Told, check_sigma, misfit};
use crate::ledger::{State, Update};
use crate::model::{Model, WeightSpace};
use crate::noise::Family;

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

    fn plan(&self) -> MemberPlan {
        let Self { sigma, directions, .. } = *self;
        MemberPlan { space: self.space(), sigma, first: 0, directions, signs: Signs::Both, share: 0 }
    }
}

impl Rule for TwoPoint {
    fn name(&self) -> &str {
        "two-point"
    }

    fn space(&self) -> Option<WeightSpace> {
        Some(self.space())
    }

    fn check(&self, _: &dyn Model, _: usize) -> Result<()> {
        let most = MOST_MEMBERS / 2;
        if !(1..=most).contains(&self.directions) {
            return Err(misfit("directions", format!("at least 1 (and at most {most})"), self.directions));
        }
        check_sigma(&[self.sigma])
    }

    fn ask(&self, _: &State, _: &Clock) -> Result<ProbePlan> {
        Ok(ProbePlan::Members(self.plan()))
    }

    fn tell(&self, state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
        let heard = Heard::of(told, clock.step)?;
        let count = heard.whole(2).count().max(1);
        let factor = -f64::from(clock.factor(state)) / (2.0 * f64::from(self.sigma) * count as f64);
        let mut values = vec![0.0; self.directions as usize];
        for (direction, l) in heard.whole(2) {
            values[direction] = (f64::from(l[0]) - f64::from(l[1])) * factor;
        }
        Ok(step_along(&heard, &values, self.space(), clock))
    }

    fn cost(&self, model: &dyn Model, clock: &Clock, _: &Update) -> Spent {
        self.plan().cost(model, clock.batch)
    }
}
