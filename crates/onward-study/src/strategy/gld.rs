//! GLD: gradientless descent, a step of every size at once.
//!
//! Golovin, Karro, Kochanski, Lee, Song and Zhang (ICLR 2020, arXiv 1911.06317). One iteration draws `v_k` from `r_k 𝒟` for
//! a row of radii and moves to the least of `f(x)`, `f(x + v_k)`. Only comparisons count.
//!
//! - *GLD-Search* needs no constant: `r_k = 2^{−k} R`, `k = 0 … ⌈log₂(R/r)⌉`.
//! - *GLD-Fast* takes a bound Q on the condition number: `r_k = 2^{−k} R`, `k = −K … K`, `K = ⌈log₂(4√Q)⌉`, and halves `R`
//!   every `H` iterations. The paper's `H = n Q log₂ Q` waits far too long (six times the evaluations of GLD-Search on a
//!   quadratic with Q = 8); the default here is `H = n log₂ Q`.
//!
//! Radii are lengths of whole steps, in units of the space's standard deviations. A step of length `r` in `n` dimensions
//! moves only `r √(k/n)` inside of a `k`-dimensional subspace: where the loss is known to depend on about `k` directions,
//! `effective` scales the radii by `√(n/k)`, and evaluations do not grow with `n`.

use super::super::draws::Draws;
use super::stp::positive;
use super::{Setup, Stop, Strategy, misfit};
use crate::Result;
use onward_kernel::ln64;
use serde::{Deserialize, Serialize};

/// The distribution 𝒟 of a step of radius 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Radii {
    /// Uniform on the unit sphere.
    #[default]
    Sphere,
    /// Normal with variance 1/n in each coordinate.
    Gaussian,
}

/// The settings of GLD-Search.
///
/// ```
/// use onward_study::{GldSearch, Goal, StrategyKind, Space, Study};
/// let method = StrategyKind::GldSearch(GldSearch::default());
/// let mut study = Study::new(Space::reals(5, 1.0, 0.5)?, Goal::Minimize, 3000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GldSearch {
    /// The largest radius R; `None` for `2 √n`, twice the distance that the space's standard deviations expect.
    pub largest: Option<f64>,
    /// The smallest radius over the largest, r/R.
    pub smallest: f64,
    /// 𝒟.
    pub steps: Radii,
    /// Directions that the loss depends on, about; `None` for all.
    pub effective: Option<f64>,
}

impl Default for GldSearch {
    fn default() -> Self {
        Self { largest: None, smallest: 1.0 / 65_536.0, steps: Radii::Sphere, effective: None }
    }
}

/// The settings of GLD-Fast.
///
/// ```
/// use onward_study::{GldFast, Goal, StrategyKind, Space, Study};
/// let method = StrategyKind::GldFast(GldFast { condition: 4.0, ..GldFast::default() });
/// let mut study = Study::new(Space::reals(5, 1.0, 0.5)?, Goal::Minimize, 3000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().map(|x| x * x).sum())?;
/// }
/// assert!(study.best().is_some_and(|b| b.loss < 1e-6));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GldFast {
    /// The first R; `None` for `2 √n`.
    pub largest: Option<f64>,
    /// The bound Q on the condition number, at least 2.
    pub condition: f64,
    /// H / (n log₂ Q); the paper's is Q.
    pub halving: f64,
    /// 𝒟.
    pub steps: Radii,
    /// Directions that the loss depends on, about; `None` for all.
    pub effective: Option<f64>,
}

impl Default for GldFast {
    fn default() -> Self {
        Self { largest: None, condition: 8.0, halving: 1.0, steps: Radii::Sphere, effective: None }
    }
}

/// R, widened to what reaches the effective directions.
fn radius(largest: Option<f64>, effective: Option<f64>, n: usize) -> Result<f64> {
    let n = n as f64;
    let largest = largest.unwrap_or(2.0 * n.sqrt());
    positive("largest", largest)?;
    let directions = effective.unwrap_or(n);
    if !(directions >= 1.0 && directions <= n) {
        return Err(misfit("effective", format!("a number from 1 to {n}"), format!("{directions:?}")));
    }
    Ok(largest * (n / directions).sqrt())
}

fn log2(x: f64) -> f64 {
    ln64(x) / std::f64::consts::LN_2
}

impl GldSearch {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        if !(self.smallest > 1e-15 && self.smallest <= 1.0) {
            return Err(misfit(
                "smallest",
                "a number above 1e-15 and at most 1",
                format!("{:?}", self.smallest),
            ));
        }
        let largest = radius(self.largest, self.effective, setup.dimension())?;
        let radii = log2(1.0 / self.smallest).ceil() as usize + 1;
        Ok(Box::new(Run::new(setup, largest, radii, self.steps, u64::MAX)))
    }
}

impl GldFast {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        if !(self.condition >= 2.0 && self.condition <= 1e12) {
            return Err(misfit("condition", "a number from 2 to 1e12", format!("{:?}", self.condition)));
        }
        positive("halving", self.halving)?;
        let n = setup.dimension();
        let k = log2(4.0 * self.condition.sqrt()).ceil();
        let wait = (self.halving * n as f64 * log2(self.condition)).ceil();
        let largest = radius(self.largest, self.effective, n)? * 2f64.powi(k as i32);
        Ok(Box::new(Run::new(setup, largest, 2 * k as usize + 1, self.steps, wait.max(1.0) as u64)))
    }
}

#[derive(Clone)]
struct Run {
    setup: Setup,
    steps: Radii,
    /// The largest radius and how many there are, each half of the one before.
    largest: f64,
    radii: usize,
    /// Iterations from one halving of all radii to the next.
    wait: u64,
    iterations: u64,
    x: Vec<f64>,
    loss: Option<f64>,
    points: Vec<f64>,
}

impl Run {
    fn new(setup: &Setup, largest: f64, radii: usize, steps: Radii, wait: u64) -> Self {
        let x = setup.start.clone();
        Self {
            setup: setup.clone(),
            steps,
            largest,
            radii,
            wait,
            iterations: 0,
            x,
            loss: None,
            points: Vec::new(),
        }
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        if self.loss.is_none() {
            points.extend_from_slice(&self.x);
        }
        let root = (self.x.len() as f64).sqrt();
        let mut v = vec![0.0; self.x.len()];
        let mut radius = self.largest;
        for k in 0..self.radii {
            match self.steps {
                Radii::Sphere => {
                    draws.sphere(k, 0, &mut v);
                    v.iter_mut().for_each(|v| *v *= root);
                }
                Radii::Gaussian => draws.normal(k, 0, &mut v),
            }
            self.setup.push(&self.x, radius / root, &v, points);
            radius *= 0.5;
        }
        self.points.clone_from(points);
    }

    fn tell(&mut self, losses: &[f64]) {
        let n = self.x.len();
        let stay = self.loss.unwrap_or(losses[0]);
        let best = (1..losses.len()).fold(0, |b, i| if losses[i] < losses[b] { i } else { b });
        if losses[best] < stay {
            self.x.copy_from_slice(&self.points[best * n..][..n]);
        }
        self.loss = Some(stay.min(losses[best]));
        self.iterations += 1;
        if self.iterations.is_multiple_of(self.wait) {
            self.largest *= 0.5;
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.x)
    }

    fn remembers(&self) -> bool {
        true
    }

    fn stop(&self) -> Option<Stop> {
        self.setup.vanishes(&self.x, self.largest).then_some(Stop::SmallSteps)
    }
}
