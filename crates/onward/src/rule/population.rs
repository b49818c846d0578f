//! Low-rank evolution strategies: a population of members `W + σ·a bᵀ` around one shared `W`.
//!
//! EGGROLL (Sarkar et al. 2025, arXiv 2511.16652): `W ← W − η/(Nσ) Σ uᵢ aᵢbᵢᵀ` with shaped losses `uᵢ`; antithetic pairs or
//! one-sided members with a leave-one-out baseline (which halves the error at equal cost where pairs do not help). The
//! population goes through one shared product per layer plus rank-r corrections; no member has weights of its own.

use super::{Clock, Heard, Next, Rule, centred_ranks, step_along, z_scores};
use crate::Result;
use crate::ask::{MOST_MEMBERS, MOST_RANK, MemberPlan, ProbePlan, Signs, Spent, Told, check_sigma, misfit};
use crate::ledger::{State, Update};
use crate::model::{Model, WeightSpace};
use crate::noise::Family;
use serde::{Deserialize, Serialize};

/// How members share directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Each direction with both signs.
    #[default]
    Antithetic,
    /// Each member its own direction; the others' mean loss is its baseline.
    OneSided,
}

/// What losses are turned into before they weigh directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shaping {
    /// Ranks in `[-½, ½]`: blind to the losses' scale and to outliers.
    #[default]
    CentredRank,
    /// Losses less their mean, over their standard deviation.
    ZScore,
}

/// The population method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Population {
    /// The size of the perturbation.
    pub sigma: f32,
    /// Evaluations per step.
    pub members: u32,
    /// Outer products per matrix.
    pub rank: u32,
    /// How members share directions.
    pub pairing: Pairing,
    /// What losses are turned into.
    pub shaping: Shaping,
    /// The distribution of the factors.
    pub noise: Family,
    /// Samples of the batch that a pair (one-sided: a member) sees; 0 for all.
    pub share: u32,
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

impl Rule for Population {
    fn name(&self) -> &str {
        "population"
    }

    fn space(&self) -> Option<WeightSpace> {
        Some(self.space())
    }

    fn check(&self, _: &dyn Model, rows: usize) -> Result<()> {
        let odd = self.pairing == Pairing::Antithetic && self.members % 2 == 1;
        if !(2..=MOST_MEMBERS).contains(&self.members) || odd {
            let expected = format!("an even number of at least 2 (and at most {MOST_MEMBERS})");
            return Err(misfit("members", expected, self.members));
        }
        if self.share > 0 && self.shaping == Shaping::CentredRank {
            return Err(misfit(
                "shaping",
                "z-score, since members that see different samples cannot be ranked",
                "centred-rank",
            ));
        }
        if self.share as usize > rows {
            return Err(misfit("share", format!("at most the batch of {rows}"), self.share));
        }
        if !(1..=MOST_RANK).contains(&self.rank) {
            return Err(misfit("rank", format!("at least 1 (and at most {MOST_RANK})"), self.rank));
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

    fn cost(&self, model: &dyn Model, clock: &Clock, _: &Update) -> Spent {
        self.plan().cost(model, clock.batch)
    }
}
