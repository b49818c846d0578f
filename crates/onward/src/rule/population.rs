//! Low-rank evolution strategies: a population of members `W + σ·a bᵀ` around one shared `W`.
//!
//! EGGROLL (Sarkar et al. 2025, arXiv 2511.16652): `W ← W − η/(Nσ) Σ uᵢ aᵢbᵢᵀ` with shaped losses `uᵢ`; antithetic pairs or
//! one-sided members with a leave-one-out baseline (which halves the error at equal cost where pairs do not help). The
//! population goes through one shared product per layer plus rank-r corrections; no member has weights of its own.

use super::{Anneal, Clock, Configured, Heard, Next, Rule, centred_ranks, step_along, z_scores};
use crate::ask::{MemberPlan, ProbePlan, Signs, Spent, Told, check_sigma, misfit};
use crate::ledger::{Moves, Scaling, State, Update};
use crate::model::{Graph, WeightSpace};
use crate::noise::Family;
use crate::schema::{self, is};
use crate::{Result, choices, keys};
use std::sync::Arc;

choices! {
    /// How members of a population share directions. One-sided, the others' mean loss is a member's baseline.
    pub enum Pairing default Antithetic {
        /// In pairs of opposite sign.
        Antithetic = "antithetic",
        /// Not at all.
        OneSided = "one-sided",
    }
}

choices! {
    /// The transformation of losses into weights of directions.
    pub enum Shaping default CentredRank {
        /// Their ranks, spread evenly around 0.
        CentredRank = "centred-rank",
        /// Their distance to the mean in standard deviations.
        ZScore = "z-score",
    }
}

keys! {
    /// The population method.
    pub struct Population: Copy {
        shared
        /// The size of the perturbations.
        sigma: f32 = 0.05;
        preset rate = 0.02;
        preset momentum = 0.9;
        preset scaling = Scaling::None;
        preset schedule = Anneal::Cosine;
        preset final_rate = 0.0;
        /// How many perturbed nets are evaluated in each step; an antithetic pair counts as two.
        members: u32 = is(512), 2.0..=1e6;
        /// The rank of each weight matrix's perturbation.
        rank: u32 = is(1), 1.0..=64.0;
        /// How members share their noise.
        pairing: Pairing = is(Pairing::Antithetic);
        /// What becomes of the members' losses before they weigh the noise.
        shaping: Shaping = is(Shaping::CentredRank);
        /// The distribution of the noise.
        noise: Family = is(Family::Sign);
        /// How many samples of the batch each member sees; 0 for all.
        share: u32 = is(0), 0.0..=4294967295.0;
    }
}

impl Population {
    pub(super) fn space(&self) -> WeightSpace {
        WeightSpace::LowRank { rank: self.rank, noise: self.noise }
    }

    fn signs(&self) -> Signs {
        match self.pairing {
            Pairing::Antithetic => Signs::Both,
            Pairing::OneSided => Signs::Plus,
        }
    }

    fn plan(&self) -> MemberPlan {
        let (signs, Self { sigma, share, .. }) = (self.signs(), *self);
        let directions = self.members / signs.count() as u32;
        MemberPlan { space: self.space(), sigma, first: 0, directions, signs, share }
    }
}

impl Configured for Population {
    fn moves(&self) -> Moves {
        Moves::Noise(self.space())
    }

    fn at_work(&self, _: &Graph) -> Result<Arc<dyn Rule>> {
        Ok(Arc::new(*self))
    }

    fn check_keys(&self, rows: usize, batch: &str) -> Result<()> {
        if self.pairing == Pairing::Antithetic && self.members % 2 == 1 {
            return Err(misfit("members", "an even number, as pairing is \"antithetic\"", self.members));
        }
        if self.share as usize > rows {
            return Err(misfit("share", format!("at most {batch}"), self.share));
        }
        Ok(())
    }
}

impl Rule for Population {
    fn check(&self, _: &Graph, rows: usize) -> Result<()> {
        schema::fits(self, "method")?;
        self.check_keys(rows, &format!("the batch of {rows}"))?;
        if self.share > 0 && self.shaping == Shaping::CentredRank {
            return Err(misfit(
                "shaping",
                "z-score, since members that see different samples cannot be ranked",
                "centred-rank",
            ));
        }
        check_sigma(&[self.sigma])
    }

    fn ask(&self, _: &State, _: &Clock) -> Result<ProbePlan> {
        Ok(ProbePlan::Members(self.plan()))
    }

    fn tell(&self, state: &State, clock: &Clock, told: Vec<Told>) -> Result<Next> {
        let heard = Heard::of(told, clock.step)?;
        let (places, losses): (Vec<usize>, Vec<Vec<f32>>) = heard.whole(self.signs().count()).unzip();
        let losses = losses.concat();
        let shaped = match self.shaping {
            Shaping::CentredRank => centred_ranks(&losses),
            Shaping::ZScore => z_scores(&losses),
        };
        let n = losses.len() as f64;
        // One-sided, `(uᵢ − mean of the others) / N` equals `(uᵢ − mean) / (N − 1)`.
        let (weights, count): (Vec<f64>, f64) = match self.pairing {
            Pairing::Antithetic => (shaped.chunks_exact(2).map(|u| u[0] - u[1]).collect(), n),
            Pairing::OneSided => (shaped, n - 1.0),
        };
        let factor = -f64::from(clock.factor(state)) / (count.max(1.0) * f64::from(self.sigma));
        let mut values = vec![0.0; self.plan().directions as usize];
        places.iter().zip(&weights).for_each(|(place, w)| values[*place] = w * factor);
        Ok(step_along(&heard, &values, self.space(), clock))
    }

    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        self.plan().cost(graph, clock.batch)
    }
}
