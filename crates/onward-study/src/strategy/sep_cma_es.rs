//! sep-CMA-ES: covariance matrix adaptation of the diagonal alone.
//!
//! Ros and Hansen (PPSN 2008): CMA-ES with a diagonal C, whose learning rates may therefore be `(n + 2)/3` times as large.
//! Linear in n in time and memory; for separable functions, and for dimensions where full matrices are too dear.

use super::super::draws::Draws;
use super::cma_es::{Rates, members_or_usual, step_stop};
use super::history::History;
use super::ranking::order;
use super::restart::{Restarting, Restarts, Runs};
use super::{Setup, Stop, Strategy};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The settings of sep-CMA-ES.
///
/// ```
/// use onward_study::{Goal, StrategyKind, SepCmaEs, Space, Study};
/// let method = StrategyKind::SepCmaEs(SepCmaEs::default());
/// let mut study = Study::new(Space::reals(20, 1.0, 0.5)?, Goal::Minimize, 6000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     let ellipsoid = candidate.numbers().enumerate().map(|(i, x)| f64::from(1 << i) * x * x).sum();
///     study.tell(candidate.id, ellipsoid)?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SepCmaEs {
    /// Candidates in a generation of the first run; `None` for `4 + ⌊3 ln d⌋`.
    pub members: Option<usize>,
    /// What follows when a run can go no further.
    pub restarts: Restarts,
}

impl SepCmaEs {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let members = members_or_usual(self.members, setup.dimension())?;
        Ok(Box::new(Restarting::new(Diagonal, setup, self.restarts, members)))
    }
}

#[derive(Clone)]
struct Diagonal;

impl Runs for Diagonal {
    type Run = Run;

    fn history(run: &Run) -> &History {
        &run.history
    }

    fn run(&self, setup: &Setup, members: usize, start: Vec<f64>, factor: f64) -> Run {
        let n = setup.dimension();
        let mut rates = Rates::new(n, members);
        let faster = (n as f64 + 2.0) / 3.0;
        rates.c_1 = (rates.c_1 * faster).min(0.5);
        rates.c_mu = (rates.c_mu * faster).min(1.0 - rates.c_1);
        Run {
            setup: setup.clone(),
            members,
            mean: start,
            sigma: factor,
            first_sigma: factor,
            variance: vec![1.0; n],
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            forgotten: 1.0,
            z: vec![0.0; members * n],
            history: History::new(n, members),
            rates,
            stop: None,
        }
    }
}

#[derive(Clone)]
struct Run {
    setup: Setup,
    rates: Rates,
    members: usize,
    mean: Vec<f64>,
    sigma: f64,
    first_sigma: f64,
    /// The diagonal of C.
    variance: Vec<f64>,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    /// (1 − c_σ)^{2 (generation + 1)}.
    forgotten: f64,
    /// (λ, n).
    z: Vec<f64>,
    history: History,
    stop: Option<Stop>,
}

impl Run {
    fn reach(&self, i: usize) -> f64 {
        self.setup.reach(i, self.sigma * self.variance[i].sqrt())
    }

    fn find_stop(&self) -> Option<Stop> {
        let spread = self.variance.iter().zip(&self.setup.floor).filter(|(_, f)| **f == 0.0);
        let spread = self.sigma * spread.fold(0.0, |m: f64, (v, _)| m.max(*v)).sqrt();
        step_stop(&self.setup, &self.mean, spread, self.first_sigma).or(self.history.stop())
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.mean.len();
        let reach: Vec<f64> = (0..n).map(|i| self.reach(i)).collect();
        for member in 0..self.members {
            let z = &mut self.z[member * n..][..n];
            draws.normal(member, 0, z);
            points.extend(self.mean.iter().zip(&*z).zip(&reach).map(|((m, z), r)| m + r * z));
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.mean.len();
        let order = order(losses);
        let positive = self.rates.weights[..self.rates.parents].to_vec();
        let (mut z, mut squares) = (vec![0.0; n], vec![0.0; n]);
        for (member, w) in order.iter().zip(&positive) {
            for ((z, s), new) in z.iter_mut().zip(&mut squares).zip(&self.z[member * n..][..n]) {
                *z += w * new;
                *s += w * new * new;
            }
        }
        for (i, z) in z.iter().enumerate() {
            self.mean[i] += self.reach(i) * z;
        }
        let Rates { c_c, c_1, c_mu, .. } = self.rates;
        let sigma = &mut self.sigma;
        let stalls = self.rates.move_sigma(&mut self.path_sigma, &mut self.forgotten, &z, sigma);
        let gain = if stalls { 0.0 } else { (c_c * (2.0 - c_c) * self.rates.mu_eff).sqrt() };
        let lost = if stalls { c_1 * c_c * (2.0 - c_c) } else { 0.0 };
        for i in 0..n {
            let v = self.variance[i];
            self.path_c[i] = (1.0 - c_c) * self.path_c[i] + gain * v.sqrt() * z[i];
            let p = self.path_c[i];
            self.variance[i] = (1.0 + lost - c_1 - c_mu) * v + c_1 * p * p + c_mu * v * squares[i];
        }
        self.history.add(losses, &order);
        self.stop = self.stop.or(self.find_stop());
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.mean)
    }

    fn stop(&self) -> Option<Stop> {
        self.stop
    }
}
