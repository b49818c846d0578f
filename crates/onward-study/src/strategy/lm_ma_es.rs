//! LM-MA-ES: limited-memory matrix adaptation.
//!
//! Loshchilov, Glasmachers and Beyer (IEEE Trans. Evol. Comput. 2019, arXiv 1705.06693). The transformation of `z ~ N(0, 1)` is a
//! product of `m = 4 + ⌊3 ln n⌋` rank-one factors made of evolution paths of different memory, so that time and memory are
//! `O(n log n)`:
//!
//! ```text
//! y ← z,  y ← (1 − c_d,j) y + c_d,j p_j (p_jᵀ y)  for j = 1 … m,      x = m + σ y
//! m ← m + σ Σ w_i y_i
//! p_σ ← (1 − c_σ) p_σ + √(μ_eff c_σ (2 − c_σ)) Σ w_i z_i,             σ ← σ exp(½ c_σ (‖p_σ‖²/n − 1))
//! p_j ← (1 − c_c,j) p_j + √(μ_eff c_c,j (2 − c_c,j)) Σ w_i z_i
//! c_σ = 2λ/n,   c_d,j = 1/(1.5^{j−1} n),   c_c,j = λ/(4^{j−1} n)
//! ```
//!
//! The rates are meant for large n; here `c_σ` and `c_c,j` are kept at ½ or below, which matters only below `n = 4λ`.

use super::super::draws::Draws;
use super::cma_es::{members_or_usual, step_stop};
use super::history::History;
use super::ranking::{effective, log_weights, order, usual_members};
use super::restart::{Restarting, Restarts, Runs};
use super::{Setup, Stop, Strategy};
use crate::Result;
use onward_kernel::exp64;
use serde::{Deserialize, Serialize};

/// The settings of LM-MA-ES.
///
/// ```
/// use onward_study::{Goal, LmMaEs, StrategyKind, Space, Study};
/// let method = StrategyKind::LmMaEs(LmMaEs::default());
/// let mut study = Study::new(Space::reals(100, 1.0, 0.5)?, Goal::Minimize, 20_000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LmMaEs {
    /// Candidates in a generation of the first run; `None` for `4 + ⌊3 ln d⌋`.
    pub members: Option<usize>,
    /// What follows when a run can go no further.
    pub restarts: Restarts,
}

impl LmMaEs {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let members = members_or_usual(self.members, setup.dimension())?;
        Ok(Box::new(Restarting::new(Limited, setup, self.restarts, members)))
    }
}

#[derive(Clone)]
struct Limited;

impl Runs for Limited {
    type Run = Run;

    fn history(run: &Run) -> &History {
        &run.history
    }

    fn run(&self, setup: &Setup, members: usize, start: Vec<f64>, factor: f64) -> Run {
        let n = setup.dimension();
        let mut weights = log_weights(members);
        weights.retain(|w| *w > 0.0);
        let sum: f64 = weights.iter().sum();
        let mu_eff = effective(&weights);
        weights.iter_mut().for_each(|w| *w /= sum);
        let (d, l) = (n as f64, members as f64);
        let (mut share, mut rate) = (1.0 / d, l / d);
        let factors = (0..usual_members(n)).map(|_| {
            let factor = Factor { path: vec![0.0; n], share, rate: rate.min(0.5) };
            share /= 1.5;
            rate /= 4.0;
            factor
        });
        Run {
            setup: setup.clone(),
            members,
            weights,
            mu_eff,
            c_sigma: (2.0 * l / d).min(0.5),
            mean: start,
            sigma: factor,
            first_sigma: factor,
            path: vec![0.0; n],
            factors: factors.collect(),
            generations: 0,
            z: vec![0.0; members * n],
            y: vec![0.0; members * n],
            history: History::new(n, members),
            stop: None,
        }
    }
}

/// One factor of the transformation.
#[derive(Clone)]
struct Factor {
    path: Vec<f64>,
    /// c_d and c_c.
    share: f64,
    rate: f64,
}

#[derive(Clone)]
struct Run {
    setup: Setup,
    members: usize,
    weights: Vec<f64>,
    mu_eff: f64,
    c_sigma: f64,
    mean: Vec<f64>,
    sigma: f64,
    first_sigma: f64,
    path: Vec<f64>,
    factors: Vec<Factor>,
    generations: usize,
    /// (λ, n).
    z: Vec<f64>,
    y: Vec<f64>,
    history: History,
    stop: Option<Stop>,
}

fn move_path(path: &mut [f64], z: &[f64], rate: f64, mu_eff: f64) {
    let gain = (mu_eff * rate * (2.0 - rate)).sqrt();
    path.iter_mut().zip(z).for_each(|(p, z)| *p = (1.0 - rate) * *p + gain * z);
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.mean.len();
        let used = self.generations.min(self.factors.len());
        for member in 0..self.members {
            let z = &mut self.z[member * n..][..n];
            draws.normal(member, 0, z);
            let y = &mut self.y[member * n..][..n];
            y.copy_from_slice(z);
            for factor in &self.factors[..used] {
                let along: f64 = factor.path.iter().zip(&*y).map(|(p, y)| p * y).sum();
                let (keep, add) = (1.0 - factor.share, factor.share * along);
                y.iter_mut().zip(&factor.path).for_each(|(y, p)| *y = keep * *y + add * p);
            }
            self.setup.push(&self.mean, self.sigma, y, points);
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.mean.len();
        let order = order(losses);
        let (mut y, mut z) = (vec![0.0; n], vec![0.0; n]);
        for (member, w) in order.iter().zip(&self.weights) {
            let rows = self.y[member * n..][..n].iter().zip(&self.z[member * n..][..n]);
            for ((y, z), (from_y, from_z)) in y.iter_mut().zip(&mut z).zip(rows) {
                *y += w * from_y;
                *z += w * from_z;
            }
        }
        for (i, y) in y.iter().enumerate() {
            self.mean[i] += self.setup.reach(i, self.sigma) * y;
        }
        move_path(&mut self.path, &z, self.c_sigma, self.mu_eff);
        for factor in &mut self.factors {
            move_path(&mut factor.path, &z, factor.rate, self.mu_eff);
        }
        let square: f64 = self.path.iter().map(|p| p * p).sum();
        self.sigma *= exp64((0.5 * self.c_sigma * (square / n as f64 - 1.0)).min(1.0));
        self.generations += 1;
        self.history.add(losses, &order);
        let steps = step_stop(&self.setup, &self.mean, self.sigma, self.first_sigma);
        self.stop = self.stop.or(steps).or(self.history.stop());
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.mean)
    }

    fn stop(&self) -> Option<Stop> {
        self.stop
    }
}
