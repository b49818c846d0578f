//! Relative loss on small batches: what the rules that it replaces do there, and what it does.

use onward_study::{Candidate, Dimension, Draws, Goal, Level, RelativeLoss, Space, StrategyKind, Study};

const LEVELS: [Level; 5] = [Level::Accept, Level::Pair, Level::Momentum, Level::Graded, Level::Sampler];

fn method(level: Level) -> StrategyKind {
    StrategyKind::RelativeLoss(RelativeLoss { level, ..RelativeLoss::default() })
}

/// Linear regression: d = 20, noise 0.1, optimum about 1.2 from the origin.
struct Regression(Vec<Vec<f64>>);

const D: usize = 20;
const BATCH: usize = 32;

impl Regression {
    fn new() -> Self {
        let truth = (0..D).map(|i| if i % 2 == 0 { 0.3 } else { -0.25 });
        let row = |i| {
            let mut row = vec![0.0; D + 1];
            Draws::new(9, 0).normal(i, 0, &mut row);
            row[D] = 0.1 * row[D] + row.iter().zip(truth.clone()).map(|(x, t)| x * t).sum::<f64>();
            row
        };
        Self((0..2000).map(row).collect())
    }

    fn mean<'a>(theta: &[f64], rows: impl Iterator<Item = &'a Vec<f64>>) -> f64 {
        let half_square = |row: &Vec<f64>| {
            let e = row.iter().zip(theta).map(|(x, t)| x * t).sum::<f64>() - row[D];
            0.5 * e * e
        };
        let (sum, count) = rows.fold((0.0, 0.0), |(s, c), r| (s + half_square(r), c + 1.0));
        sum / count
    }

    /// The loss on the batch of a generation.
    fn on(&self, theta: &[f64], generation: u64) -> f64 {
        let draws = Draws::new(77, generation as u32);
        let pick = |e| (draws.uniform(0, e) * self.0.len() as f64) as usize;
        Self::mean(theta, (0..BATCH).map(|e| &self.0[pick(e)]))
    }

    /// The loss on all rows, of which 0.005 is noise.
    fn on_all(&self, theta: &[f64]) -> f64 {
        Self::mean(theta, self.0.iter())
    }
}

/// Evaluations of a batch in each run.
const EVALUATIONS: u64 = 20_000;

/// The lower of two opposite steps if it is lower, the step's length by the 1/5 rule.
fn naive_pair(problem: &Regression) -> f64 {
    let (mut theta, mut sigma) = (vec![0.0; D], 0.07);
    for generation in 0..EVALUATIONS / 3 {
        let mut z = vec![0.0; D];
        Draws::new(3, generation as u32).normal(0, 0, &mut z);
        let side = |sign: f64| theta.iter().zip(&z).map(|(t, z)| t + sign * sigma * z).collect::<Vec<_>>();
        let all = [theta.clone(), side(1.0), side(-1.0)];
        let losses = all.each_ref().map(|t| problem.on(t, generation));
        let best = (1..3).fold(0, |b, i| if losses[i] < losses[b] { i } else { b });
        theta.clone_from(&all[best]);
        let success = if best > 0 { 1.0 } else { 0.0 };
        sigma *= ((success - 0.2f64) / (D as f64 + 1.0).sqrt()).exp();
    }
    problem.on_all(&theta)
}

fn judged(problem: &Regression, level: Level, step: f64) -> f64 {
    let space = Space::reals(D, 0.0, 0.07 * step).unwrap();
    let mut study = Study::new(space, Goal::Minimize, EVALUATIONS, 3, method(level)).unwrap();
    while let Some(c) = study.ask() {
        study.tell(c.id, problem.on(&c.numbers().collect::<Vec<_>>(), c.generation)).unwrap();
    }
    problem.on_all(&study.centre().unwrap().iter().map(|v| v.number()).collect::<Vec<_>>())
}

#[test]
fn on_batches_of_32_steps_by_success_diverge_and_judged_steps_converge() {
    let problem = Regression::new();
    let naive = naive_pair(&problem);
    assert!(naive > 1e3, "the control must diverge: {naive}");
    for level in LEVELS {
        for step in [0.01, 1.0, 100.0] {
            let loss = judged(&problem, level, step);
            assert!(loss < 0.005 + 0.003, "{level:?}, first step × {step}: {loss}");
        }
    }
}

/// Standard normal numbers that name a batch.
fn batch_noise(generation: u64, n: usize) -> Vec<f64> {
    let mut noise = vec![0.0; n];
    Draws::new(123, generation as u32).normal(0, 0, &mut noise);
    noise
}

#[test]
fn the_diagnosis_is_right_where_slope_and_noise_are_known() {
    // ⟨g + ν n_B, x⟩ in 5 dimensions: the theorem asks for 2π d ν²/‖g‖² times the batch.
    let (d, g) = (5, 2.0);
    for (nu, level) in [(0.6, Level::Accept), (0.6, Level::Pair), (1.0, Level::Pair), (0.05, Level::Accept)] {
        let space = Space::reals(d, 0.0, 1.0).unwrap();
        let mut study = Study::new(space, Goal::Minimize, 2000, 4, method(level)).unwrap();
        while let Some(c) = study.ask() {
            let slope = batch_noise(c.generation, d);
            let root = (d as f64).sqrt();
            study.tell(c.id, c.numbers().zip(slope).map(|(x, n)| (g / root + nu * n) * x).sum()).unwrap();
        }
        let seen = study.diagnosis().unwrap();
        let want = std::f64::consts::TAU * d as f64 * nu * nu / (g * g);
        let ratio = seen.factor() / want;
        assert!((0.3..1.1).contains(&ratio), "{level:?}, noise {nu}: {} times, true {want}", seen.factor());
        assert_eq!(seen.needs(1000).is_some(), want > 1.0, "{seen}");
    }
    // What averages has no such limit, and says nothing.
    let mut study =
        Study::new(Space::reals(2, 1.0, 1.0).unwrap(), Goal::Minimize, 500, 1, method(Level::Graded))
            .unwrap();
    while let Some(c) = study.ask() {
        study.tell(c.id, c.numbers().map(|x| x * x).sum()).unwrap();
    }
    assert_eq!(study.diagnosis(), None);
}

#[test]
fn options_are_learned_from_noisy_losses() {
    let spaces =
        [&["a:{0,1,2,3}", "b:{0,1,2}", "c:{0,1,2,3,4}"][..], &["a:{0,1,2,3}", "x:-2..2", "c:{0,1,2}"][..]];
    for space in spaces {
        let dimensions: Vec<Dimension> = space.iter().map(|t| t.parse().unwrap()).collect();
        // One option of each is better by 1; the noise of a candidate has standard deviation 1.
        let loss = |c: &Candidate| {
            let costs = c.values.iter().zip(&dimensions).map(|(v, d)| match d.name.as_str() {
                "x" => (v.number() - 0.5).powi(2),
                "a" => f64::from(u8::from(v.number() != 2.0)),
                _ => f64::from(u8::from(v.number() != 0.0)),
            });
            costs.sum::<f64>() + batch_noise(c.id, 1)[0]
        };
        let right = (0..5).filter(|seed| {
            let space = Space::new(dimensions.clone()).unwrap();
            let mut study = Study::new(space, Goal::Minimize, 4000, *seed, method(Level::Sampler)).unwrap();
            while let Some(c) = study.ask() {
                study.tell(c.id, loss(&c)).unwrap();
            }
            let centre = study.centre().unwrap();
            centre.iter().zip(&dimensions).all(|(v, d)| match d.name.as_str() {
                "x" => (v.number() - 0.5).abs() < 0.4,
                "a" => v.number() == 2.0,
                _ => v.number() == 0.0,
            })
        });
        assert!(right.count() >= 4, "{space:?}");
    }
}

#[test]
fn scales_of_coordinates_are_learned() {
    // Curvatures from 1 to 10⁴.
    let f = |c: &Candidate| -> f64 {
        c.numbers().enumerate().map(|(i, x)| 10f64.powf(4.0 * i as f64 / 9.0) * x * x).sum()
    };
    let median = |level| {
        let mut all: Vec<f64> = (0..5)
            .map(|seed| {
                let space = Space::reals(10, 1.0, 0.3).unwrap();
                let mut study = Study::new(space, Goal::Minimize, 5000, seed, method(level)).unwrap();
                while let Some(c) = study.ask() {
                    study.tell(c.id, f(&c)).unwrap();
                }
                study.best().unwrap().loss
            })
            .collect();
        all.sort_by(f64::total_cmp);
        all[2]
    };
    let (graded, sampler) = (median(Level::Graded), median(Level::Sampler));
    assert!(sampler < 1e-8 && graded > 1e-3, "{sampler} {graded}");
}
