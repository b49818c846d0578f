//! Relative loss: compare the loss here with the loss at a random neighbour, on the same batch, and move towards what
//! responded.
//!
//! With `s = σz`, `z ~ N(0, 1)`, `B` the batch of one generation and `ρ = L(θ + s; B) − L(θ; B)`:
//!
//! ```text
//! accept    A    y = θ + s if ρ < 0
//! pair      A±   y = θ ± s, the lower of the two, if it is below L(θ; B)
//! momentum  B    A with z = √(1 − c²) ξ + c m/‖m‖,   m ← βm + s if the move was taken, else m ← βm
//! graded    C    y = θ − η mean ρ_k/(2σ²) · s_k,     ρ_k = L(θ + s_k; B) − L(θ − s_k; B),   η = σ²/rms(½ρ)
//! sampler   D    C with a σ_i for each coordinate:   log σ_i ← log σ_i − ½ η_σ mean ē_k (z_ki² − 1),
//!                options from softmax(a):            a_j ← a_j − η_a mean ē_k (1{c_k = j} − q_j),
//!                ē_k = the pair's mean loss, centred, in standard deviations
//! ```
//!
//! **The next batch judges.** `y` was chosen because of what `B` got wrong, too: on small batches nearly every pair holds an
//! "improvement", and a step size that follows success grows without bound (`bench/relative-loss.md` has it diverging). So the
//! next generation compares θ and `y` once more, on its own batch, and only that verdict takes the move and lets σ grow:
//!
//! ```text
//! θ ← y if L(y; B') < L(θ; B'),       log σ ← log σ + γ (1{taken} − p),       γ = 1/√(d + 1) for A, A±, B;  0.4 for C, D
//! ```
//!
//! `p` is what a coin would score: ½ where every generation proposes a move (C, D; A± too, since of two opposite steps one is
//! nearly always lower), ¼ where two flips must agree (A, B). So σ rests where moves are right no more often than by chance,
//! which, seen from small steps, is where the slope that a batch can tell is used up by curvature: `σ ~ ‖∇f‖²/(L · noise)`.
//! No constant of the function, no schedule and no budget is needed, and the first σ hardly matters. C and D name the mean of
//! all θ with weights that grow as `t³` (Shamir and Zhang, ICML 2013), since their noise averages.
//!
//! Which theorem covers which level: A on whole data is a (1+1)-ES (Glasmachers 2020; Morinaga et al. 2022) and GLD's template
//! with one radius (Golovin et al. 2020); A± is MiSTP (Boucherouite et al. 2024), of which [`Study::diagnosis`] reports the
//! lemma's noise term; B is momentum as in SMTP (Gorbunov et al. 2020); C is the symmetric two-point estimate of
//! [`MirrorDescent`](super::MirrorDescent) (Duchi et al. 2015; Shamir 2017) without its domains and schedules; D is the score function
//! of SNES and PGPE with losses in place of ranks. The verdict is our own: no theorem is claimed for it.
//!
//! [`Study::diagnosis`]: super::super::Study::diagnosis

mod options;

use super::super::diagnosis::{Diagnosis, Responses};
use super::super::draws::Draws;
use super::super::unit::unit_of;
use super::stp::positive;
use super::{Setup, Stop, Strategy, count, misfit};
use crate::Result;
use onward_kernel::{exp64, ln64};
use options::Options;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// How a move is made from responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A: a step if it is lower.
    Accept,
    /// A±: the lower of two opposite steps if it is lower.
    Pair,
    /// B: A with steps that lean towards those that were taken.
    Momentum,
    /// C: steps weighted by the size of their responses.
    #[default]
    Graded,
    /// D: C that learns its sampling distribution: a scale for each coordinate, probabilities of options.
    Sampler,
}

impl Level {
    /// Whether losses are only ever compared.
    pub(super) fn compares(self) -> bool {
        matches!(self, Self::Accept | Self::Pair | Self::Momentum)
    }
}

/// The settings of relative loss.
///
/// ```
/// use onward_study::{Goal, Level, StrategyKind, RelativeLoss, Space, Study};
/// let method = StrategyKind::RelativeLoss(RelativeLoss { level: Level::Pair, ..RelativeLoss::default() });
/// let mut study = Study::new(Space::reals(3, 1.0, 0.5)?, Goal::Minimize, 6000, 1, method)?;
/// while let Some(candidate) = study.ask() {
///     // A batch of noise that all candidates of a generation share.
///     let noise = ((candidate.generation * 7919) % 101) as f64 / 101.0 - 0.5;
///     study.tell(candidate.id, candidate.numbers().map(|x| (x - 0.2 * noise).powi(2)).sum())?;
/// }
/// let centre = study.centre().unwrap_or_default();
/// assert!(centre.iter().all(|x| x.number().abs() < 0.05), "{centre:?}");
/// // The batches differ by more than the last steps do.
/// assert!(study.diagnosis().is_some_and(|d| d.needs(1) > Some(1)));
/// # Ok::<(), onward_study::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelativeLoss {
    /// How a move is made.
    pub level: Level,
    /// The first σ, relative to the space's standard deviations.
    pub step: f64,
    /// Steps in a generation, each with both signs; `None` for 4, with `sampler` `3 + ⌊ln d⌋`. For `graded` and `sampler`.
    pub directions: Option<usize>,
    /// c, in `0..1`: how far steps lean. For `momentum`.
    pub lean: f64,
    /// β, in `0..1`: how much of the last direction is kept. For `momentum`.
    pub keep: f64,
}

impl Default for RelativeLoss {
    fn default() -> Self {
        Self { level: Level::default(), step: 1.0, directions: None, lean: 0.3, keep: 0.9 }
    }
}

impl RelativeLoss {
    pub(super) fn begin(&self, setup: &Setup) -> Result<Box<dyn Strategy>> {
        positive("step", self.step)?;
        for (key, value) in [("lean", self.lean), ("keep", self.keep)] {
            if !(0.0..1.0).contains(&value) {
                return Err(misfit(key, "a number of at least 0 and below 1", format!("{value:?}")));
            }
        }
        if let Some(given) = self.directions {
            count("directions", given, 2, setup.dimension())?;
        }
        Ok(Box::new(Run::new(*self, setup)))
    }

    fn directions(&self, d: f64) -> usize {
        match self.level {
            Level::Graded => self.directions.unwrap_or(4),
            Level::Sampler => self.directions.unwrap_or(3 + ln64(d) as usize),
            _ => 1,
        }
    }
}

/// γ of the levels that average.
const GAIN: f64 = 0.4;
/// The weights of θ in the centre grow as this power of their number.
const WEIGHT: f64 = 3.0;
/// A coordinate's σ_i relative to the others', at most and (inverted) at least.
const LONGEST: f64 = 1e6;

#[derive(Clone)]
struct Run {
    settings: RelativeLoss,
    setup: Setup,
    /// What a coin would score, and how much a verdict counts.
    chance: f64,
    gain: f64,
    /// σ, relative to the space's standard deviations, and each coordinate's own factor.
    size: f64,
    scales: Vec<f64>,
    /// θ, and the move that waits to be judged.
    x: Vec<f64>,
    y: Vec<f64>,
    judging: bool,
    /// The move's response on the batch that proposed it, and σ then: the response is relative to it.
    response: f64,
    proposed: f64,
    /// The generation's points, of the levels that compare.
    points: Vec<f64>,
    /// (directions, d).
    z: Vec<f64>,
    /// m, in units of the space's standard deviations.
    momentum: Vec<f64>,
    /// The weighted mean of all θ, and how many there were.
    average: Vec<f64>,
    judged: u64,
    options: Options,
    /// The options of each direction.
    samples: Vec<Vec<usize>>,
    responses: Responses,
}

impl Run {
    fn new(settings: RelativeLoss, setup: &Setup) -> Self {
        let n = setup.dimension();
        let d = n as f64;
        let chance = if matches!(settings.level, Level::Accept | Level::Momentum) { 0.25 } else { 0.5 };
        let gain = if settings.level.compares() { 1.0 / (d + 1.0).sqrt() } else { GAIN };
        let sampled = if settings.level == Level::Sampler { setup.options.as_slice() } else { &[] };
        let mut run = Self {
            settings,
            setup: setup.clone(),
            chance,
            gain,
            size: settings.step,
            scales: vec![1.0; n],
            x: setup.start.clone(),
            y: setup.start.clone(),
            judging: false,
            response: 0.0,
            proposed: settings.step,
            points: Vec::new(),
            z: vec![0.0; settings.directions(d) * n],
            momentum: vec![0.0; n],
            average: setup.start.clone(),
            judged: 0,
            options: Options::new(sampled),
            samples: Vec::new(),
            responses: Responses::default(),
        };
        run.options.write_mode(&mut run.average);
        run
    }

    /// Whether anything but options is searched.
    fn moves(&self) -> bool {
        self.options.coordinates().count() < self.x.len()
    }

    /// How far coordinate `i` goes for `z = 1`.
    fn reach(&self, i: usize) -> f64 {
        self.setup.reach(i, self.size * self.scales[i])
    }

    /// `tip + sign · s`.
    fn neighbour<'a>(&'a self, tip: &'a [f64], z: &'a [f64], sign: f64) -> impl Iterator<Item = f64> + 'a {
        tip.iter().zip(z).enumerate().map(move |(i, (t, z))| t + sign * self.reach(i) * z)
    }

    /// Turns z towards what was taken before, and gives it the length √d.
    fn lean(&mut self) {
        let (length, past) = (norm(&self.z), norm(&self.momentum));
        if past == 0.0 || length == 0.0 {
            return;
        }
        let c = self.settings.lean;
        let (fresh, old) = ((1.0 - c * c).sqrt() / length, c / past);
        self.z.iter_mut().zip(&self.momentum).for_each(|(z, m)| *z = fresh * *z + old * m);
        let factor = (self.x.len() as f64).sqrt() / norm(&self.z);
        self.z.iter_mut().for_each(|z| *z *= factor);
    }

    fn draw(&mut self, draws: Draws) {
        let n = self.x.len();
        for (direction, z) in self.z.chunks_exact_mut(n).enumerate() {
            draws.normal(direction, 0, z);
            self.options.coordinates().for_each(|i| z[i] = 0.0);
        }
        if self.settings.level == Level::Momentum {
            self.lean();
        }
        let directions = self.z.len() / n;
        // Candidates' numbers beyond those of the directions.
        let sample = |k| self.options.sample(draws, directions + k);
        self.samples = (0..directions).map(sample).collect();
    }

    fn adapt(&mut self, taken: bool) {
        self.size *= exp64(self.gain * (f64::from(u8::from(taken)) - self.chance));
        if self.settings.level == Level::Momentum {
            self.momentum.iter_mut().for_each(|m| *m *= self.settings.keep);
        }
    }

    /// A, A± and B: the losses of θ, of the move that is judged (if any), and of neighbours of the later of these.
    fn compare(&mut self, losses: &[f64]) {
        let (base, size) = (usize::from(self.judging), self.size);
        if self.judging && !self.judge(losses[0], losses[1]) {
            // What was seen next to a point that is left again leads nowhere.
            return;
        }
        let first = base + 1;
        let best =
            if losses.len() > first + 1 && losses[first + 1] < losses[first] { first + 1 } else { first };
        if losses[best] < losses[base] {
            let n = self.x.len();
            self.y.copy_from_slice(&self.points[best * n..][..n]);
            self.response = (losses[best] - losses[base]) / size;
            self.proposed = size;
            self.judging = true;
        } else {
            self.adapt(false);
        }
    }

    /// C and D.
    fn grade(&mut self, losses: &[f64]) {
        let n = self.x.len();
        let (odd, even) = if self.moves() { halves(losses) } else { (Vec::new(), centred(losses)) };
        let weighed: Vec<f64> = (0..n).map(|i| mean_product(&odd, &self.z, n, i, |z| z)).collect();
        self.y = self.neighbour(&self.x, &weighed, -1.0).collect();
        self.judging = odd.iter().any(|o| *o != 0.0);
        if self.moves() && !self.judging {
            self.adapt(false);
        }
        if self.settings.level == Level::Sampler {
            self.options.learn(&self.samples, &even);
            self.rescale(&even);
            self.options.write_mode(&mut self.average);
        }
    }

    /// σ_i, relative to each other: their common size is left to the verdict.
    fn rescale(&mut self, even: &[f64]) {
        let n = self.x.len();
        let d = n as f64;
        let rate = (3.0 + ln64(d)) / (5.0 * d.sqrt());
        let mut widen: Vec<f64> =
            (0..n).map(|i| mean_product(even, &self.z, n, i, |z| z * z - 1.0)).collect();
        let mean = widen.iter().sum::<f64>() / d;
        widen.iter_mut().for_each(|w| *w -= mean);
        for (s, w) in self.scales.iter_mut().zip(&widen) {
            *s = (*s * exp64(-0.5 * rate * w)).clamp(1.0 / LONGEST, LONGEST);
        }
    }

    /// The losses of θ and of the move on a batch that knows neither. Whether the move is taken.
    fn judge(&mut self, stay: f64, moved: f64) -> bool {
        self.judging = false;
        // Equal losses, as on a staircase, are no verdict: the move is free.
        let order = if moved.is_finite() { moved.total_cmp(&stay) } else { Ordering::Greater };
        let taken = order != Ordering::Greater;
        if self.settings.level.compares() {
            self.responses.see(self.response, (moved - stay) / self.proposed);
        }
        if order != Ordering::Equal {
            self.adapt(taken);
        }
        if taken {
            if self.settings.level == Level::Momentum {
                let way = self.y.iter().zip(&self.x).zip(&self.setup.sigma);
                self.momentum.iter_mut().zip(way).for_each(|(m, ((y, x), s))| *m += (y - x) / s);
            }
            std::mem::swap(&mut self.x, &mut self.y);
        }
        self.judged += 1;
        let share = (WEIGHT + 1.0) / (self.judged as f64 + WEIGHT);
        self.average.iter_mut().zip(&self.x).for_each(|(a, x)| *a += share * (x - *a));
        self.options.write_mode(&mut self.average);
        taken
    }

    /// θ and the move, with the same options.
    fn push_judged(&self, draws: Draws, points: &mut Vec<f64>) {
        points.extend_from_slice(&self.x);
        points.extend_from_slice(&self.y);
        let sample = self.options.sample(draws, 0);
        points.chunks_exact_mut(self.x.len()).for_each(|p| self.options.write(&sample, p));
    }
}

impl Strategy for Run {
    fn ask(&mut self, draws: Draws, points: &mut Vec<f64>) {
        let n = self.x.len();
        if self.judging {
            self.push_judged(draws, points);
            if !self.settings.level.compares() {
                return;
            }
        } else if self.settings.level.compares() {
            points.extend_from_slice(&self.x);
        }
        self.draw(draws);
        let tip = if self.judging { &self.y } else { &self.x };
        let one_sided = matches!(self.settings.level, Level::Accept | Level::Momentum) || !self.moves();
        let signs: &[f64] = if one_sided { &[1.0] } else { &[1.0, -1.0] };
        for (z, sample) in self.z.chunks_exact(n).zip(&self.samples) {
            for sign in signs {
                let first = points.len();
                points.extend(self.neighbour(tip, z, *sign));
                self.options.write(sample, &mut points[first..]);
            }
        }
        if self.settings.level.compares() {
            self.points.clone_from(points);
        }
    }

    fn tell(&mut self, losses: &[f64]) {
        if self.settings.level.compares() {
            self.compare(losses);
        } else if self.judging {
            self.judge(losses[0], losses[1]);
        } else {
            self.grade(losses);
        }
    }

    fn centre(&self) -> Option<&[f64]> {
        Some(if self.settings.level.compares() { &self.x } else { &self.average })
    }

    fn stop(&self) -> Option<Stop> {
        let largest = self.scales.iter().fold(0.0, |m: f64, s| m.max(*s));
        self.setup.vanishes(&self.x, self.size * largest).then_some(Stop::SmallSteps)
    }

    fn diagnosis(&self) -> Option<Diagnosis> {
        self.responses.diagnosis(self.size)
    }
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// `mean_k weight_k · of(z_ki)`.
fn mean_product(weights: &[f64], z: &[f64], n: usize, i: usize, of: impl Fn(f64) -> f64) -> f64 {
    let sum: f64 = weights.iter().enumerate().map(|(k, w)| w * of(z[k * n + i])).sum();
    sum / weights.len().max(1) as f64
}

/// Brings values to a mean square of 1; zeros stay.
fn unit(mut v: Vec<f64>) -> Vec<f64> {
    scale(&mut v);
    let root = norm(&v) / (v.len() as f64).sqrt();
    if root > 0.0 {
        v.iter_mut().for_each(|v| *v /= root);
    }
    v
}

/// Brings values near 1 by a power of two, so that they can be added and squared whatever their size.
fn scale(v: &mut [f64]) {
    let unit = unit_of(v.iter().fold(0.0, |m: f64, v| m.max(v.abs())));
    v.iter_mut().for_each(|v| *v *= unit);
}

/// Losses less their mean, in standard deviations. One that is not finite counts as the worst.
fn centred(losses: &[f64]) -> Vec<f64> {
    let finite = losses.iter().copied().filter(|l| l.is_finite());
    let worst = finite.fold(f64::NEG_INFINITY, f64::max);
    if worst == f64::NEG_INFINITY {
        return vec![0.0; losses.len()];
    }
    let mut bounded: Vec<f64> = losses.iter().map(|l| if l.is_finite() { *l } else { worst }).collect();
    scale(&mut bounded);
    let mean = bounded.iter().sum::<f64>() / losses.len() as f64;
    bounded.iter_mut().for_each(|l| *l -= mean);
    unit(bounded)
}

/// Half the differences and the means of pairs, brought to a mean square of 1 (means are centred first). Where one side is not
/// finite the difference is as large as the largest, where neither is there is none.
fn halves(losses: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let pairs = || losses.chunks_exact(2);
    let both = |p: &[f64]| p[0].is_finite() && p[1].is_finite();
    let half = |p: &[f64]| 0.5 * p[0] - 0.5 * p[1];
    let largest = pairs().filter(|p| both(p)).map(|p| half(p).abs()).fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let odd = pairs().map(|p| match (p[0].is_finite(), p[1].is_finite()) {
        (true, true) => half(p),
        (true, false) => -largest,
        (false, true) => largest,
        (false, false) => 0.0,
    });
    let means: Vec<f64> = pairs().map(|p| 0.5 * p[0] + 0.5 * p[1]).collect();
    (unit(odd.collect()), centred(&means))
}
