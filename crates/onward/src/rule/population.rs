//! Low-rank evolution strategies: a population of members `W + σ·a bᵀ` around one shared `W`.
//!
//! EGGROLL (Sarkar et al. 2025, arXiv 2511.16652): `W ← W − η/(Nσ) Σ uᵢ aᵢbᵢᵀ` with shaped losses `uᵢ`; antithetic pairs or
//! one-sided members with a leave-one-out baseline (which halves the error at equal cost where pairs do not help). The
//! population goes through one shared product per layer plus rank-r corrections; no member has weights of its own.

use super::scales::{costs_of_noise, learned, scale_of};
use super::{
    Anneal, Clock, Configured, Heard, Next, Outcome, Rule, Scales, centred_ranks, step_along, z_scores,
};
use crate::ask::{MemberPlan, ProbePlan, Signs, Spent, Told, check_sigma, misfit};
use crate::ledger::{Moves, Scaling, State, Update};
use crate::model::{Graph, TensorKeys, WeightSpace};
use crate::noise::Family;
use crate::params::Tensor;
use crate::schema::{self, is};
use crate::space::NoisyTensor;
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
        /// Whether the sizes of perturbations of tensors relative to each other are learned, and what steps are then.
        scales: Scales = is(Scales::Fixed);
        /// How fast they are learned.
        scale_rate: f32 = is(0.3), 0.0..=10.0;
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

impl Population {
    fn shaped(&self, losses: &[f32]) -> Vec<f64> {
        match self.shaping {
            Shaping::CentredRank => centred_ranks(losses),
            Shaping::ZScore => z_scores(losses),
        }
    }

    /// The step with a factor for each tensor, and the scales that follow it: `means` are the mean losses of the directions at `places`.
    fn scaled(
        &self,
        mut step: Next,
        state: &State,
        clock: &Clock,
        (places, means): (&[usize], &[f32]),
    ) -> Next {
        let Next::Step(Outcome { entry, .. }) = &mut step else { return step };
        let Update::Probes { exponent, coefficients } = &mut entry.update else { return step };
        // Ranks are spread evenly: this is their standard deviation.
        let unit = if self.shaping == Shaping::CentredRank { 12f64.sqrt() } else { 1.0 };
        let losses: Vec<f64> = self.shaped(means).into_iter().map(|l| l * unit).collect();
        let (params, before) = (state.params(), state.streams().scales());
        let trained = |(i, t): (usize, &Tensor)| {
            let keys = TensorKeys::new(state.key(), &t.name);
            (state.recipe().rate(i) != 0.0).then(|| NoisyTensor {
                keys,
                matrix: t.matrix(),
                size: t.data.len(),
            })
        };
        let tensors: Vec<_> = params.tensors().iter().enumerate().map(trained).collect();
        let costs = costs_of_noise(&tensors, self.space(), clock.step as u32, (places, &losses));
        let factor = |tensor: usize| match (self.scales, scale_of(before, tensor)) {
            (Scales::Natural, scale) => scale,
            (_, scale) => 1.0 / scale,
        };
        entry.update = Update::Scaled {
            exponent: *exponent,
            coefficients: std::mem::take(coefficients),
            factors: (0..tensors.len()).map(factor).collect(),
            scales: learned(before, &costs, self.scale_rate),
        };
        step
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
        if self.scales != Scales::Fixed && self.noise == Family::Sign {
            let expected = "binomial or normal, as sizes are learned from perturbations of different lengths";
            return Err(misfit("noise", expected, self.noise.name()));
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
        let shaped = self.shaped(&losses);
        let n = losses.len() as f64;
        // One-sided, `(uᵢ − mean of the others) / N` equals `(uᵢ − mean) / (N − 1)`.
        let (weights, count): (Vec<f64>, f64) = match self.pairing {
            Pairing::Antithetic => (shaped.chunks_exact(2).map(|u| u[0] - u[1]).collect(), n),
            Pairing::OneSided => (shaped, n - 1.0),
        };
        let factor = -f64::from(clock.factor(state)) / (count.max(1.0) * f64::from(self.sigma));
        let mut values = vec![0.0; self.plan().directions as usize];
        places.iter().zip(&weights).for_each(|(place, w)| values[*place] = w * factor);
        let step = step_along(&heard, &values, self.space(), clock);
        if self.scales == Scales::Fixed {
            return Ok(step);
        }
        let signs = self.signs().count();
        let means: Vec<f32> =
            losses.chunks_exact(signs).map(|l| l.iter().sum::<f32>() / signs as f32).collect();
        Ok(self.scaled(step, state, clock, (&places, &means)))
    }

    fn cost(&self, graph: &Graph, clock: &Clock, _: &Update) -> Spent {
        self.plan().cost(graph, clock.batch)
    }
}
