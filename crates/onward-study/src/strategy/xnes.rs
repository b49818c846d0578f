//! xNES: exponential natural evolution strategies.
//!
//! Glasmachers, Schaul, Yi, Wierstra and Schmidhuber (GECCO 2010). `x_k = μ + σ B z_k`, utilities as in SNES:
//!
//! ```text
//! μ ← μ + σ B Σ u_k z_k,      G = Σ u_k (z_k z_kᵀ − 1),      g = tr G / n,
//! σ ← σ exp(½ η g),           B ← B exp(½ η (G − g·1)),      η = (9 + 3 ln n)/(5 n √n)
//! ```
//!
//! with the exponential of a matrix, by its eigenvalues: every generation costs `O(n³)`.

use super::super::draws::Draws;
use super::super::eigen::Eigen;
use super::cma_es::members_or_usual;
use super::ranking::{order, utilities};
use super::stp::positive;
use super::{Setup, Stop, Strategy, misfit};
use crate::Result;
use onward_kernel::{exp64, ln64};
use serde::{Deserialize, Serialize};

/// The settings of xNES.
///
/// ```
/// use onward_study::{Goal, StrategyKind, Space, Study, Xnes};
/// let mut study = Study::new(Space::reals(5, 1.0, 0.5)?, Goal::Minimize, 3000, 1, StrategyKind::Xnes(Xnes::default()))?;
/// while let Some(candidate) = study.ask() {
///     // A valley along the diagonal.
///     let x: Vec<f64> = candidate.numbers().collect();
///     let sum: f64 = x.iter().sum();
///     study.tell(candidate.id, x.iter().map(|x| 50.0 * x * x).sum::<f64>() - 9.0 * sum * sum)?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Xnes {
    /// Candidates in a generation; `None` for `4 + ⌊3 ln d⌋`.
    pub members: Option<usize>,
    /// η; `None` for `(9 + 3 ln d)/(5 d √d)`.
    pub rate: Option<f64>,
}

/// More coordinates than this take seconds per generation.
const MOST: usize = 500;

impl Xnes {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        let n = setup.dimension();
        if n > MOST {
            let expected =
                format!("`snes`, since xnes keeps (d, d) matrices and takes at most {MOST} coordinates");
            return Err(misfit("name", expected, format!("`xnes` for {n} coordinates")));
        }
        let members = members_or_usual(self.members, n)?;
        let d = n as f64;
        let rate = self.rate.unwrap_or((9.0 + 3.0 * ln64(d)) / (5.0 * d * d.sqrt()));
        positive("rate", rate)?;
        Ok(Box::new(Run {
            setup: setup.clone(),
            utilities: utilities(members),
            rate,
            mean: setup.start.clone(),
            sigma: 1.0,
            shape: Eigen::identity(n).vectors,
            z: vec![0.0; members * n],
            stop: None,
        }))
    }
}

#[derive(Clone)]
struct Run {
    setup: Setup,
    utilities: Vec<f64>,
    rate: f64,
    mean: Vec<f64>,
    sigma: f64,
    /// Bᵀ, (n, n): row k is what z_k is multiplied by.
    shape: Vec<f64>,
    /// (λ, n).
    z: Vec<f64>,
    stop: Option<Stop>,
}

impl Run {
    /// `B z`.
    fn shaped(&self, z: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; z.len()];
        for (row, z) in self.shape.chunks_exact(z.len()).zip(z) {
            y.iter_mut().zip(row).for_each(|(y, r)| *y += z * r);
        }
        y
    }

    /// The standard deviation of each coordinate: the lengths of B's rows.
    fn spread(&self) -> Vec<f64> {
        let mut squares = vec![0.0; self.mean.len()];
        for row in self.shape.chunks_exact(squares.len()) {
            squares.iter_mut().zip(row).for_each(|(s, r)| *s += r * r);
        }
        squares.iter().map(|s| self.sigma * s.sqrt()).collect()
    }

    /// What `σ y` is multiplied by to be a step in each coordinate.
    fn units(&self) -> Vec<f64> {
        let spread = self.spread();
        spread.iter().enumerate().map(|(i, s)| self.setup.reach(i, *s) / s * self.sigma).collect()
    }

    /// `B ← B exp(m)` for a symmetric m.
    fn shape_by(&mut self, m: &[f64]) {
        let n = self.mean.len();
        let Some(Eigen { values, vectors }) = Eigen::of(m, n) else {
            self.stop = Some(Stop::IllConditioned);
            return;
        };
        // Bᵀ ← exp(m) Bᵀ = Σ e^λ v (vᵀ Bᵀ).
        let mut next = vec![0.0; n * n];
        for (value, v) in values.iter().zip(vectors.chunks_exact(n)) {
            let mut along = vec![0.0; n];
            for (row, v) in self.shape.chunks_exact(n).zip(v) {
                along.iter_mut().zip(row).for_each(|(a, r)| *a += v * r);
            }
            let grown = exp64(*value);
            for (row, v) in next.chunks_exact_mut(n).zip(v) {
                row.iter_mut().zip(&along).for_each(|(r, a)| *r += grown * v * a);
            }
        }
        self.shape = next;
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.mean.len();
        let units = self.units();
        for member in 0..self.utilities.len() {
            let z = &mut self.z[member * n..][..n];
            draws.normal(member, 0, z);
            let y = self.shaped(&self.z[member * n..][..n]);
            points.extend(self.mean.iter().zip(&y).zip(&units).map(|((m, y), u)| m + u * y));
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.mean.len();
        let (mut along, mut g) = (vec![0.0; n], vec![0.0; n * n]);
        for (member, u) in order(losses).iter().zip(&self.utilities) {
            let z = &self.z[member * n..][..n];
            along.iter_mut().zip(z).for_each(|(a, z)| *a += u * z);
            for (i, row) in g.chunks_exact_mut(n).enumerate() {
                row.iter_mut().zip(z).for_each(|(g, zj)| *g += u * z[i] * zj);
            }
        }
        // Σ u = 0, so that the unit matrices cancel but for rounding.
        let trace = (0..n).map(|i| g[i * n + i]).sum::<f64>() / n as f64;
        let (y, units) = (self.shaped(&along), self.units());
        self.mean.iter_mut().zip(&y).zip(&units).for_each(|((m, y), u)| *m += u * y);
        (0..n).for_each(|i| g[i * n + i] -= trace);
        g.iter_mut().for_each(|g| *g *= 0.5 * self.rate);
        self.sigma *= exp64(0.5 * self.rate * trace);
        self.shape_by(&g);
        let largest = self.spread().iter().fold(0.0, |m: f64, s| m.max(*s));
        if self.setup.vanishes(&self.mean, largest) {
            self.stop = Some(Stop::SmallSteps);
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.mean)
    }

    fn stop(&self) -> Option<Stop> {
        self.stop
    }
}
