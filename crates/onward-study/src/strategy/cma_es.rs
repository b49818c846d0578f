//! CMA-ES: covariance matrix adaptation with cumulative step-size control and negative (active) weights.
//!
//! Hansen, *The CMA evolution strategy: a tutorial* (2016, arXiv 1604.00772); active update: Jastrebski and Arnold (CEC
//! 2006). Candidates are `x_k = m + σ y_k`, `y_k = B D z_k`, `z_k ~ N(0, 1)`, `C = B D² Bᵀ`. With ranks `i` and weights
//! `w_i` (the positive ones sum to 1):
//!
//! ```text
//! m   ← m + σ y_w,                                          y_w = Σ_{w_i > 0} w_i y_i
//! p_σ ← (1 − c_σ) p_σ + √(c_σ (2 − c_σ) μ_eff) · B z_w
//! p_c ← (1 − c_c) p_c + h_σ √(c_c (2 − c_c) μ_eff) · y_w
//! C   ← (1 + c₁(1 − h_σ)c_c(2 − c_c) − c₁ − c_μ Σ w_i) C + c₁ p_c p_cᵀ + c_μ Σ w_i° y_i y_iᵀ
//! σ   ← σ exp((c_σ/d_σ)(‖p_σ‖/χ_n − 1))
//! ```
//!
//! where `w_i° = w_i n/‖z_i‖²` for negative weights. The eigendecomposition is renewed only when `C` has changed by about
//! `1/(2n)` of its size. Defaults are the tutorial's, with `4 + ⌊3 ln n⌋` members and BIPOP restarts, but for σ: c_σ is at
//! most ½, and
//!
//! ```text
//! d_σ = 0.8 + c_σ + 2 max(0, a √((μ_eff − 1)/(n + 1)) − 1),   a = max(1, 3 (1 − 2^{−n/9}))
//! ```
//!
//! has 0.8 for the tutorial's 1 and, after pycma 4, `a`, for which it has 1: large populations then converge more slowly, to
//! better optima (measured in `bench/study.md` and `bench/bbob/README.md`).

use super::super::draws::Draws;
use super::super::eigen::Eigen;
use super::history::History;
use super::ranking::{effective, log_weights, order, usual_members};
use super::restart::{Restarting, Restarts, Runs};
use super::{Setup, Stop, Strategy, count, misfit};
use crate::Result;
use onward_kernel::exp64;
use serde::{Deserialize, Serialize};

/// The settings of CMA-ES.
///
/// ```
/// use onward_study::{CmaEs, Goal, StrategyKind, Restarts, Space, Study};
/// let method = StrategyKind::CmaEs(CmaEs { restarts: Restarts::None, ..CmaEs::default() });
/// let mut study = Study::new(Space::reals(5, 1.0, 0.5)?, Goal::Minimize, 2000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     let ellipsoid = candidate.numbers().enumerate().map(|(i, x)| 10f64.powi(i as i32) * x * x).sum();
///     study.tell(candidate.id, ellipsoid)?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-12));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CmaEs {
    /// Candidates in a generation of the first run; `None` for `4 + ⌊3 ln d⌋`.
    pub members: Option<usize>,
    /// What follows when a run can go no further.
    pub restarts: Restarts,
}

/// More coordinates than this need more than 100 MB for the matrices, and an hour for their decompositions.
const MOST: usize = 2_000;

impl CmaEs {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let n = setup.dimension();
        if n > MOST {
            let expected = format!(
                "`lm-ma-es`, since cma-es keeps (d, d) matrices and takes at most {MOST} coordinates"
            );
            return Err(misfit("name", expected, format!("`cma-es` for {n} coordinates")));
        }
        let members = members_or_usual(self.members, n)?;
        Ok(Box::new(Restarting::new(Dense, setup, self.restarts, members)))
    }
}

/// The given number of members, or the usual one.
pub(super) fn members_or_usual(given: Option<usize>, n: usize) -> Result<usize> {
    count("members", given.unwrap_or_else(|| usual_members(n)), 4, n)
}

#[derive(Clone)]
struct Dense;

impl Runs for Dense {
    type Run = Run;

    fn history(run: &Run) -> &History {
        &run.history
    }

    fn run(&self, setup: &Setup, members: usize, start: Vec<f64>, factor: f64) -> Run {
        Run::new(setup, members, start, factor)
    }
}

/// Learning rates and weights: functions of n and λ alone.
#[derive(Clone)]
pub(super) struct Rates {
    /// By rank; the negative ones last.
    pub weights: Vec<f64>,
    /// How many are positive.
    pub parents: usize,
    pub mu_eff: f64,
    c_sigma: f64,
    d_sigma: f64,
    pub c_c: f64,
    pub c_1: f64,
    pub c_mu: f64,
    /// E‖N(0, 1)‖.
    chi: f64,
}

/// What remains of d_σ in small populations: the tutorial's 1 is 3 to 15 % slower on spheres and no faster elsewhere
/// (`bench/study.md`).
const DAMPING: f64 = 0.8;
/// How much more than after the tutorial large populations damp σ, in many dimensions, and in how many it is half of that.
const LARGE_DAMPING: f64 = 3.0;
const LARGE_DAMPING_HALF: f64 = 9.0;
const LARGEST_C_SIGMA: f64 = 0.5;

impl Rates {
    pub fn new(n: usize, members: usize) -> Self {
        let d = n as f64;
        let mut weights = log_weights(members);
        let parents = weights.iter().filter(|w| **w > 0.0).count();
        let mu_eff = effective(&weights[..parents]);
        let c_sigma = ((mu_eff + 2.0) / (d + mu_eff + 5.0)).min(LARGEST_C_SIGMA);
        let more = LARGE_DAMPING * (1.0 - exp64(-d / LARGE_DAMPING_HALF * std::f64::consts::LN_2));
        let large = more.max(1.0) * ((mu_eff - 1.0) / (d + 1.0)).sqrt() - 1.0;
        let d_sigma = DAMPING + 2.0 * large.max(0.0) + c_sigma;
        let c_c = (4.0 + mu_eff / d) / (d + 4.0 + 2.0 * mu_eff / d);
        let c_1 = 2.0 / ((d + 1.3) * (d + 1.3) + mu_eff);
        let c_mu =
            (1.0 - c_1).min(2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((d + 2.0) * (d + 2.0) + mu_eff));
        let positive: f64 = weights[..parents].iter().sum();
        let negative: f64 = -weights[parents..].iter().sum::<f64>();
        let mu_eff_negative = effective(&weights[parents..]);
        // How much the negative weights may weigh, for C to stay positive and learning to stay steady.
        let most = (1.0 + c_1 / c_mu)
            .min(1.0 + 2.0 * mu_eff_negative / (mu_eff + 2.0))
            .min((1.0 - c_1 - c_mu) / (d * c_mu));
        weights[..parents].iter_mut().for_each(|w| *w /= positive);
        if negative > 0.0 {
            weights[parents..].iter_mut().for_each(|w| *w *= most / negative);
        }
        let chi = d.sqrt() * (1.0 - 1.0 / (4.0 * d) + 1.0 / (21.0 * d * d));
        Self { weights, parents, mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu, chi }
    }

    /// Moves p_σ by `step` = C^{−½} y_w and σ by its length; whether p_c is to stall (h_σ = 0) since p_σ is long.
    /// `forgotten` is (1 − c_σ)^{2 generations}.
    pub fn move_sigma(&self, path: &mut [f64], forgotten: &mut f64, step: &[f64], sigma: &mut f64) -> bool {
        let Self { mu_eff, c_sigma, d_sigma, chi, .. } = *self;
        let gain = (c_sigma * (2.0 - c_sigma) * mu_eff).sqrt();
        path.iter_mut().zip(step).for_each(|(p, s)| *p = (1.0 - c_sigma) * *p + gain * s);
        *forgotten *= (1.0 - c_sigma) * (1.0 - c_sigma);
        let length = path.iter().map(|p| p * p).sum::<f64>().sqrt();
        // At most e-fold in one generation.
        *sigma *= exp64((c_sigma / d_sigma * (length / chi - 1.0)).min(1.0));
        length / (1.0 - *forgotten).sqrt() >= (1.4 + 2.0 / (path.len() as f64 + 1.0)) * chi
    }
}

/// Limits of a run: of steps relative to the first, of the condition number.
const SMALLEST_STEP: f64 = 1e-12;
const LARGEST_CONDITION: f64 = 1e14;
const LARGEST_STEP: f64 = 1e20;

/// One run.
#[derive(Clone)]
struct Run {
    setup: Setup,
    rates: Rates,
    members: usize,
    mean: Vec<f64>,
    sigma: f64,
    first_sigma: f64,
    /// C, all of it, (n, n).
    covariance: Vec<f64>,
    /// √C's eigenvalues and its eigenvectors as rows.
    roots: Vec<f64>,
    vectors: Vec<f64>,
    generations_since: usize,
    lazy: usize,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    /// (1 − c_σ)^{2 (generation + 1)}.
    forgotten: f64,
    /// What a unit of y moves each coordinate by, in this generation.
    reach: Vec<f64>,
    /// z and y of the generation, (λ, n) each.
    z: Vec<f64>,
    y: Vec<f64>,
    history: History,
    stop: Option<Stop>,
}

impl Run {
    fn new(setup: &Setup, members: usize, start: Vec<f64>, factor: f64) -> Self {
        let n = setup.dimension();
        let rates = Rates::new(n, members);
        let lazy = (0.5 / ((rates.c_1 + rates.c_mu) * n as f64)).ceil() as usize;
        let identity = Eigen::identity(n);
        Self {
            setup: setup.clone(),
            members,
            mean: start,
            sigma: factor,
            first_sigma: factor,
            covariance: identity.vectors.clone(),
            roots: identity.values,
            vectors: identity.vectors,
            generations_since: 0,
            lazy: lazy.max(1),
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            forgotten: 1.0,
            reach: vec![0.0; n],
            z: vec![0.0; members * n],
            y: vec![0.0; members * n],
            history: History::new(n, members),
            rates,
            stop: None,
        }
    }

    /// What one unit of y moves coordinate `i` by, without σ: more where an integer would else never change.
    fn unit(&self, i: usize) -> f64 {
        let n = self.mean.len();
        let unit = self.setup.sigma[i];
        if self.setup.floor[i] == 0.0 {
            return unit;
        }
        let spread = self.covariance[i * n + i].sqrt();
        self.setup.reach(i, self.sigma * spread) / (self.sigma * spread)
    }

    /// `Σ_k coefficients[k] · row k`, added to `out`.
    fn add_rows(rows: &[f64], coefficients: impl Iterator<Item = f64>, out: &mut [f64]) {
        for (row, c) in rows.chunks_exact(out.len()).zip(coefficients) {
            out.iter_mut().zip(row).for_each(|(o, r)| *o += c * r);
        }
    }

    fn move_mean(&mut self, order: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let n = self.mean.len();
        let (mut y, mut z) = (vec![0.0; n], vec![0.0; n]);
        for (member, w) in order.iter().zip(&self.rates.weights[..self.rates.parents]) {
            Self::add_rows(&self.y[member * n..][..n], std::iter::once(*w), &mut y);
            Self::add_rows(&self.z[member * n..][..n], std::iter::once(*w), &mut z);
        }
        self.mean.iter_mut().zip(&y).zip(&self.reach).for_each(|((m, y), r)| *m += r * y);
        (y, z)
    }

    /// Moves both paths and σ; whether p_c stalls.
    fn move_paths(&mut self, y: &[f64], z: &[f64]) -> bool {
        let mut step = vec![0.0; z.len()];
        Self::add_rows(&self.vectors, z.iter().copied(), &mut step);
        let stalls = self.rates.move_sigma(&mut self.path_sigma, &mut self.forgotten, &step, &mut self.sigma);
        let Rates { mu_eff, c_c, .. } = self.rates;
        let gain = if stalls { 0.0 } else { (c_c * (2.0 - c_c) * mu_eff).sqrt() };
        self.path_c.iter_mut().zip(y).for_each(|(p, y)| *p = (1.0 - c_c) * *p + gain * y);
        stalls
    }

    fn move_covariance(&mut self, order: &[usize], stalls: bool) {
        let Rates { c_c, c_1, c_mu, .. } = self.rates;
        let n = self.mean.len();
        let sum: f64 = self.rates.weights.iter().sum();
        let lost = if stalls { c_1 * c_c * (2.0 - c_c) } else { 0.0 };
        let keep = 1.0 + lost - c_1 - c_mu * sum;
        self.covariance.iter_mut().for_each(|c| *c *= keep);
        let mut add = |v: &[f64], by: f64| {
            for (i, row) in self.covariance.chunks_exact_mut(n).enumerate() {
                let by = by * v[i];
                row[..=i].iter_mut().zip(v).for_each(|(c, v)| *c += by * v);
            }
        };
        add(&self.path_c, c_1);
        for (member, w) in order.iter().zip(&self.rates.weights) {
            let by = if *w >= 0.0 {
                *w
            } else {
                let length: f64 = self.z[member * n..][..n].iter().map(|z| z * z).sum();
                w * n as f64 / length.max(f64::MIN_POSITIVE)
            };
            add(&self.y[member * n..][..n], c_mu * by);
        }
        for i in 0..n {
            for j in 0..i {
                self.covariance[j * n + i] = self.covariance[i * n + j];
            }
        }
    }

    fn decompose(&mut self) {
        let n = self.mean.len();
        self.generations_since = 0;
        let Some(Eigen { values, vectors }) = Eigen::of(&self.covariance, n) else {
            self.stop = Some(Stop::IllConditioned);
            return;
        };
        let (least, most) = values.iter().fold((f64::INFINITY, 0f64), |(l, m), v| (l.min(*v), m.max(*v)));
        if !(least > 0.0 && most <= LARGEST_CONDITION * least) {
            self.stop = Some(Stop::IllConditioned);
            return;
        }
        self.roots = values.iter().map(|v| v.sqrt()).collect();
        self.vectors = vectors;
    }

    fn find_stop(&self) -> Option<Stop> {
        let n = self.mean.len();
        let continuous = (0..n).filter(|i| self.setup.floor[*i] == 0.0);
        let spread = continuous.map(|i| self.covariance[i * n + i].sqrt().max(self.path_c[i].abs()));
        let spread = spread.fold(0.0, f64::max);
        step_stop(&self.setup, &self.mean, self.sigma * spread, self.first_sigma).or(self.history.stop())
    }
}

/// Whether steps of relative size `spread`, the largest of all continuous coordinates, have become too small or too large.
pub(super) fn step_stop(setup: &Setup, mean: &[f64], spread: f64, first: f64) -> Option<Stop> {
    if spread > LARGEST_STEP * first {
        return Some(Stop::Unbounded);
    }
    let small = spread < SMALLEST_STEP * first && setup.floor.contains(&0.0);
    (small || setup.vanishes(mean, spread)).then_some(Stop::SmallSteps)
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.mean.len();
        if self.generations_since >= self.lazy {
            self.decompose();
        }
        for i in 0..n {
            self.reach[i] = self.sigma * self.unit(i);
        }
        for member in 0..self.members {
            let z = &mut self.z[member * n..][..n];
            draws.normal(member, 0, z);
            let y = &mut self.y[member * n..][..n];
            y.fill(0.0);
            Self::add_rows(&self.vectors, z.iter().zip(&self.roots).map(|(z, d)| z * d), y);
            points.extend(self.mean.iter().zip(y).zip(&self.reach).map(|((m, y), r)| m + r * *y));
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        let order = order(losses);
        let (y, z) = self.move_mean(&order);
        let stalls = self.move_paths(&y, &z);
        self.move_covariance(&order, stalls);
        self.generations_since += 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damping_is_that_of_pycma_but_for_small_populations() {
        // (n, λ, d_σ of pycma 4.5.0 less its c_σ): ours is 0.2 less.
        let rows = [(5, 8, 1.0), (10, 40, 2.120), (20, 12, 1.0), (20, 96, 4.137), (40, 480, 8.898)];
        for (n, members, expected) in rows {
            let Rates { c_sigma, d_sigma, .. } = Rates::new(n, members);
            assert!((d_sigma - c_sigma + 0.2 - expected).abs() < 2e-3, "{n} {members}: {d_sigma} {c_sigma}");
            assert!(c_sigma <= 0.5);
        }
    }
}
