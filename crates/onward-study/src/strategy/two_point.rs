//! Two-point estimators with mirror descent: Duchi, Jordan, Wainwright and Wibisono; Shamir.
//!
//! Duchi et al. (IEEE Trans. Inf. Theory 2015, arXiv 1312.2139) and Shamir (JMLR 2017, arXiv 1507.08752). With `E ZZᵀ = 1`:
//!
//! ```text
//! symmetric   g = (f(θ + δz) − f(θ − δz))/(2δ) · z                                 δ_t = δ/√t       (Shamir: any δ will do)
//! smooth      g = (f(θ + uz) − f(θ))/u · z                                         u_t = u/t
//! non-smooth  g = (f(θ + u₁z₁ + u₂z₂) − f(θ + u₁z₁))/u₂ · z₂                       u₁ = u/t, u₂ = u/(d² t²)
//! ```
//!
//! then a mirror step with `α_t = a R/(2 G √(d t))`, where `E‖g‖² ≈ d G²`: unless the gradient's bound `G` is given, `√(d t) G` is
//! learned as `√(Σ_{s ≤ t} ‖g_s‖²)`. The centre is the average of all iterates, which the theorems are about. Both
//! evaluations of a pair share a generation, so noise that is common to a generation cancels.
//!
//! Probe sizes are relative to the space's standard deviations and never below `1e-7` of them, where rounding would win. A
//! slope that is not finite counts as a typical one away from the bad side; two bad sides bring θ half-way back to
//! the centre.

use super::super::draws::Draws;
use super::super::unit::Unit;
use super::mirror::Mirror;
use super::stp::positive;
use super::{Setup, Stop, Strategy};
use crate::Result;
use serde::{Deserialize, Serialize};

/// Which pair is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// Both sides: robust at kinks, exact on quadratics.
    #[default]
    Symmetric,
    /// One side, probes shrinking as 1/t: Duchi et al. for smooth functions.
    Smooth,
    /// One side of a point that is itself perturbed: Duchi et al. for functions with kinks.
    NonSmooth,
}

/// The settings of mirror descent from two points.
///
/// ```
/// use onward_study::{Goal, StrategyKind, Mirror, Space, Study, MirrorDescent};
/// // Weights of a mixture: the best puts three quarters on the first of four.
/// let method = StrategyKind::MirrorDescent(MirrorDescent { mirror: Mirror::Simplex, ..MirrorDescent::default() });
/// let mut study = Study::new(Space::reals(4, 0.25, 1.0)?, Goal::Minimize, 2000, 1, method)?;
/// let best = [0.75, 0.25, 0.0, 0.0];
/// while let Some(candidate) = study.ask() {
///     study.tell(candidate.id, candidate.numbers().zip(best).map(|(x, b)| (x - b).powi(2)).sum())?;
/// }
/// let centre = study.centre().unwrap_or_default();
/// assert!(centre.iter().zip(best).all(|(x, b)| (x.number() - b).abs() < 0.05), "{centre:?}");
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MirrorDescent {
    /// Which pair is evaluated.
    pub estimator: Estimator,
    /// The domain and its geometry.
    pub mirror: Mirror,
    /// The size of the first probe, δ or u.
    pub probe: f64,
    /// The factor a of the step size.
    pub rate: f64,
    /// A bound G on the gradient's norm, in units of the space's standard deviations; `None` to learn it.
    pub gradient: Option<f64>,
}

impl Default for MirrorDescent {
    fn default() -> Self {
        Self {
            estimator: Estimator::Symmetric,
            mirror: Mirror::Euclidean,
            probe: 0.1,
            rate: 1.0,
            gradient: None,
        }
    }
}

impl MirrorDescent {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("probe", self.probe)?;
        positive("rate", self.rate)?;
        self.gradient.map_or(Ok(()), |g| positive("gradient", g))?;
        self.mirror.check(setup)?;
        let units = self.mirror.units(setup);
        let theta: Vec<f64> = setup.start.iter().zip(&units).map(|(x, u)| x / u).collect();
        let n = theta.len();
        Ok(Box::new(Run {
            settings: *self,
            setup: setup.clone(),
            middle: theta.clone(),
            average: setup.start.clone(),
            theta,
            units,
            z: vec![0.0; n],
            reach: vec![0.0; n],
            rounds: 0,
            unit: Unit::default(),
            squares: 0.0,
            size: 0.0,
            slopes: 0.0,
            counted: 0,
        }))
    }
}

/// Probes below this, relative to the first candidates' spread, would measure rounding.
const SMALLEST_PROBE: f64 = 1e-7;

#[derive(Clone)]
struct Run {
    settings: MirrorDescent,
    setup: Setup,
    theta: Vec<f64>,
    /// Where θ began, for the box.
    middle: Vec<f64>,
    /// The mean of all iterates, in the space's encoding.
    average: Vec<f64>,
    units: Vec<f64>,
    z: Vec<f64>,
    /// The probe's size in each coordinate of θ.
    reach: Vec<f64>,
    rounds: u64,
    /// Of differences of losses, and so of slopes and gradients: whatever their size, they can be squared.
    unit: Unit,
    /// Σ ‖g‖².
    squares: f64,
    /// The probe's relative size in this round.
    size: f64,
    /// Σ (finite slopes)² and their number.
    slopes: f64,
    counted: u64,
}

impl Run {
    fn draw(&self, draws: Draws, candidate: usize, z: &mut [f64]) {
        if self.settings.mirror.probes_by_signs() {
            draws.signs(candidate, z);
        } else {
            draws.sphere(candidate, 0, z);
            let root = (z.len() as f64).sqrt();
            z.iter_mut().for_each(|z| *z *= root);
        }
    }

    /// The probe's size in coordinate `i` of θ: enough to leave a whole number.
    fn reach(&self, i: usize, size: f64) -> f64 {
        let size = size.max(SMALLEST_PROBE) * self.settings.mirror.probe(self.theta.len());
        (size * self.units[i]).max(self.setup.floor[i]) / self.units[i]
    }

    fn push(&self, from: &[f64], sign: f64, points: &mut Vec<f64>) {
        let probe = self.z.iter().zip(&self.reach).map(|(z, r)| sign * z * r);
        points.extend(from.iter().zip(probe).zip(&self.units).map(|((t, p), u)| (t + p) * u));
    }

    /// The difference of two losses, in its unit, over the probe's size; of typical size if one is not finite, `None` if neither is.
    fn slope(&mut self, one: f64, other: f64) -> Option<f64> {
        let typical = (self.slopes / self.counted.max(1) as f64).sqrt();
        match (one.is_finite(), other.is_finite()) {
            (true, true) => {
                let half = 0.5 * one - 0.5 * other;
                let share = self.unit.see(half.abs());
                self.squares *= share * share;
                self.slopes *= share * share;
                let slope = 2.0 * (half * self.unit.get()) / self.size;
                self.slopes += slope * slope;
                self.counted += 1;
                Some(slope)
            }
            (true, false) => Some(-typical),
            (false, true) => Some(typical),
            (false, false) => None,
        }
    }

    fn alpha(&mut self, g: &[f64]) -> f64 {
        let d = self.theta.len();
        let norm = self.settings.mirror.norm(g);
        self.squares += norm * norm;
        let scale = match self.settings.gradient {
            Some(bound) => bound * self.unit.get() * (d as f64 * self.rounds as f64).sqrt(),
            None => self.squares.sqrt(),
        };
        if scale > 0.0 { self.settings.rate * self.settings.mirror.radius(d) / (2.0 * scale) } else { 0.0 }
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let t = (self.rounds + 1) as f64;
        let n = self.theta.len();
        let probe = self.settings.probe;
        self.size = match self.settings.estimator {
            Estimator::Symmetric => probe / t.sqrt(),
            Estimator::Smooth => probe / t,
            Estimator::NonSmooth => probe / ((n * n) as f64 * t * t),
        };
        let mut z = vec![0.0; n];
        let mut from = self.theta.clone();
        if self.settings.estimator == Estimator::NonSmooth {
            self.draw(draws, 1, &mut z);
            from.iter_mut().enumerate().for_each(|(i, f)| *f += self.reach(i, probe / t) * z[i]);
        }
        self.draw(draws, 0, &mut z);
        self.z = z;
        for i in 0..n {
            self.reach[i] = self.reach(i, self.size);
        }
        self.push(&from, 1.0, points);
        let other = if self.settings.estimator == Estimator::Symmetric { -1.0 } else { 0.0 };
        self.push(&from, other, points);
    }

    fn tell(&mut self, losses: &[f64]) {
        self.rounds += 1;
        let share = 1.0 / self.rounds as f64;
        for ((a, t), u) in self.average.iter_mut().zip(&self.theta).zip(&self.units) {
            *a += (t * u - *a) * share;
        }
        let Some(slope) = self.slope(losses[0], losses[1]) else {
            for ((t, a), u) in self.theta.iter_mut().zip(&self.average).zip(&self.units) {
                *t = 0.5 * (*t + a / u);
            }
            return;
        };
        let sides = if self.settings.estimator == Estimator::Symmetric { 2.0 } else { 1.0 };
        let g: Vec<f64> =
            self.z.iter().zip(&self.reach).map(|(z, r)| slope * self.size / (sides * r) * z).collect();
        let alpha = self.alpha(&g);
        self.settings.mirror.step(&mut self.theta, &g, alpha, &self.middle);
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(&self.average)
    }

    fn stop(&self) -> Option<Stop> {
        None
    }
}
