//! Symmetric two-point differences on all weights at once.
//!
//! SPSA (Spall 1992) in the memory-free form of MeZO (Malladi et al. 2023, arXiv 2305.17333), averaged over `K` directions:
//! `ĝ = (1/K) Σ (L(w + σz) − L(w − σz))/(2σ) · z`. The symmetric difference is the robust default at kinks (Shamir 2017, arXiv
//! 1507.08752). Perturbed weights are formed layer by layer in scratch; the params are never touched.

use super::{Anneal, Clock, Configured, Heard, Next, Rule, step_along};
use crate::ask::{MemberPlan, ProbePlan, Signs, Spent, Told, check_sigma};
use crate::ledger::{Moves, Scaling, State, Update};
use crate::model::{Graph, WeightSpace};
use crate::noise::Family;
use crate::schema::{self, is};
use crate::{Result, keys};
use std::sync::Arc;

keys! {
    /// The two-point method.
    pub struct TwoPoint: Copy {
        shared
        /// The size of the perturbations.
        sigma: f32 = 0.01;
        preset rate = 0.003;
        preset momentum = 0.9;
        preset scaling = Scaling::None;
        preset schedule = Anneal::Cosine;
        preset final_rate = 0.0;
        /// Pairs of opposite points that are compared in each step.
        directions: u32 = is(16), 1.0..=1e6;
        /// The distribution of the noise.
        noise: Family = is(Family::Sign);
    }
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

impl Configured for TwoPoint {
    fn moves(&self) -> Moves {
        Moves::Noise(self.space())
    }

    fn at_work(&self, _: &Graph) -> Result<Arc<dyn Rule>> {
        Ok(Arc::new(*self))
    }
}

impl Rule for TwoPoint {
    fn check(&self, _: &Graph, _: usize) -> Result<()> {
        schema::fits(self, "method")?;
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

    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        self.plan().cost(graph, clock.batch)
    }
}
