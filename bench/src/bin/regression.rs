//! Linear regression on small batches: what becomes of methods that compare losses there.
//!
//! `regression` prints the table of `bench/relative-loss.md`; further arguments are methods as JSON, one more row each, such as
//! `'{"name": "relative-loss", "level": "pair"}'`. 20 dimensions, 5000 samples, noise 0.1, 5 million samples evaluated.

use onward::study::{Draws, Goal, Level, RelativeLoss, Space, StrategyKind, Study};
use onward::{Error, ErrorKind, Result};
use onward_bench::print_table;

const D: usize = 20;
const SAMPLES: usize = 5000;
const BUDGET: u64 = 5_000_000;
const BATCHES: [usize; 3] = [32, 256, SAMPLES];
const SEEDS: u64 = 7;
/// The length of the first steps; its square is about that of the way there.
const FIRST: f64 = 0.3;
const DISTANCE: f64 = 1.5;

/// `½ mean (x·θ − y)²`, rows `(x, y)`.
struct Problem {
    rows: Vec<[f64; D + 1]>,
    least: f64,
    seed: u64,
}

fn normals<const N: usize>(seed: u64, stream: u32, row: usize) -> [f64; N] {
    let mut z = [0.0; N];
    Draws::new(seed, stream).normal(row, 0, &mut z);
    z
}

impl Problem {
    fn new(seed: u64) -> Self {
        let mut truth: [f64; D] = normals(seed, 0, 0);
        truth.iter_mut().for_each(|t| *t *= (DISTANCE / D as f64).sqrt());
        let row = |i: usize| {
            // (x, noise) becomes (x, y).
            let mut row: [f64; D + 1] = normals(seed, 1, i);
            row[D] = 0.1 * row[D] + row.iter().zip(&truth).map(|(x, t)| x * t).sum::<f64>();
            row
        };
        let mut problem = Self { rows: (0..SAMPLES).map(row).collect(), least: 0.0, seed };
        let mut theta = vec![0.0; D];
        for _ in 0..300 {
            problem.descend(&mut theta);
        }
        problem.least = problem.loss(&theta, None);
        problem
    }

    fn descend(&self, theta: &mut [f64]) {
        let mut g = [0.0; D];
        for row in &self.rows {
            let e = residual(row, theta);
            g.iter_mut().zip(row).for_each(|(g, x)| *g += e * x / SAMPLES as f64);
        }
        theta.iter_mut().zip(g).for_each(|(t, g)| *t -= 0.8 * g);
    }

    /// The samples of a generation's batch, drawn with replacement; all of them if there is room.
    fn batch(&self, size: usize, generation: u64) -> Option<Vec<usize>> {
        let draws = Draws::new(self.seed + 1000, generation as u32);
        let pick = |e| (draws.uniform(0, e) * SAMPLES as f64) as usize;
        (size < SAMPLES).then(|| (0..size).map(pick).collect())
    }

    fn loss(&self, theta: &[f64], batch: Option<&[usize]>) -> f64 {
        let half_square = |row| {
            let e: f64 = residual(row, theta);
            0.5 * e * e
        };
        match batch {
            Some(batch) => {
                batch.iter().map(|i| half_square(&self.rows[*i])).sum::<f64>() / batch.len() as f64
            }
            None => self.rows.iter().map(half_square).sum::<f64>() / SAMPLES as f64,
        }
    }

    fn excess(&self, theta: &[f64]) -> f64 {
        self.loss(theta, None) - self.least
    }
}

fn residual(row: &[f64; D + 1], theta: &[f64]) -> f64 {
    row.iter().zip(theta).map(|(x, t)| x * t).sum::<f64>() - row[D]
}

/// A study to the end of the budget; where it is centred then, and what it says about the batch.
fn study(problem: &Problem, method: &StrategyKind, size: usize) -> Result<(f64, Option<f64>)> {
    let space = Space::reals(D, 0.0, FIRST / (D as f64).sqrt())?;
    let mut study = Study::new(space, Goal::Minimize, BUDGET / size as u64, problem.seed, method.clone())?;
    let mut batch = (u64::MAX, None);
    while let Some(c) = study.ask() {
        if batch.0 != c.generation {
            batch = (c.generation, problem.batch(size, c.generation));
        }
        let theta: Vec<f64> = c.numbers().collect();
        study.tell(c.id, problem.loss(&theta, batch.1.as_deref()))?;
    }
    let end = study.centre().or(study.best().map(|b| b.values)).unwrap_or_default();
    let theta: Vec<f64> = end.iter().map(|v| v.number()).collect();
    Ok((problem.excess(&theta), study.diagnosis().map(|d| d.factor())))
}

/// What the steps of a comparison without a judge follow.
#[derive(Clone, Copy)]
enum Rule {
    /// The 1/5 rule.
    Success,
    /// From the first length to a hundredth of it, geometrically.
    Annealed,
    /// The 1/5 rule, where only what exceeds the noise of a comparison is a success. The noise is that between two batches.
    NoiseTest,
}

/// Accept-if-lower as one would write it first: the controls.
struct Control<'a> {
    problem: &'a Problem,
    size: usize,
    level: Level,
    rule: Rule,
    theta: [f64; D],
    momentum: [f64; D],
    /// The length of steps over √D.
    sigma: f64,
    spent: u64,
    generation: u64,
    /// τ²/σ², and on how many moves it was seen.
    noise: f64,
    seen: f64,
}

fn norm(v: &[f64; D]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

impl<'a> Control<'a> {
    fn run(problem: &'a Problem, size: usize, level: Level, rule: Rule) -> f64 {
        let sigma = FIRST / (D as f64).sqrt();
        let (theta, momentum) = ([0.0; D], [0.0; D]);
        let mut control = Self {
            problem,
            size,
            level,
            rule,
            theta,
            momentum,
            sigma,
            spent: 0,
            generation: 0,
            noise: 0.0,
            seen: 0.0,
        };
        while control.spent < BUDGET && control.theta.iter().all(|t| t.abs() < 1e100) {
            control.step();
        }
        problem.excess(&control.theta)
    }

    fn losses<const N: usize>(&mut self, points: [&[f64; D]; N]) -> [f64; N] {
        let batch = self.problem.batch(self.size, self.generation);
        self.generation += 1;
        self.spent += (N * self.size) as u64;
        points.map(|p| self.problem.loss(p, batch.as_deref()))
    }

    fn direction(&self) -> [f64; D] {
        let mut z: [f64; D] = normals(self.problem.seed + 2000, self.generation as u32, 0);
        let past = norm(&self.momentum);
        if self.level == Level::Momentum && past > 0.0 {
            let fresh = 0.75f64.sqrt() / norm(&z);
            z.iter_mut().zip(&self.momentum).for_each(|(z, m)| *z = fresh * *z + 0.5 * m / past);
            let factor = (D as f64).sqrt() / norm(&z);
            z.iter_mut().for_each(|z| *z *= factor);
        }
        z
    }

    fn step(&mut self) {
        if let Rule::Annealed = self.rule {
            self.sigma = FIRST / (D as f64).sqrt() * 0.01f64.powf(self.spent as f64 / BUDGET as f64);
        }
        let s = self.direction().map(|z| self.sigma * z);
        let side = |sign: f64| std::array::from_fn(|i| self.theta[i] + sign * s[i]);
        let (theta, plus, minus) = (self.theta, side(1.0), side(-1.0));
        let (sign, rho) = if self.level == Level::Pair {
            let [stay, p, m] = self.losses([&theta, &plus, &minus]);
            if m < p { (-1.0, m - stay) } else { (1.0, p - stay) }
        } else {
            let [stay, p] = self.losses([&theta, &plus]);
            (1.0, p - stay)
        };
        let moved = if sign > 0.0 { plus } else { minus };
        let bar = self.bar(&theta, &moved, rho);
        let accepted = rho < bar;
        if accepted {
            self.theta = moved;
        }
        let added = if accepted { sign } else { 0.0 };
        self.momentum.iter_mut().zip(&s).for_each(|(m, s)| *m = 0.9 * *m + added * s);
        if !matches!(self.rule, Rule::Annealed) {
            let success = f64::from(u8::from(accepted));
            self.sigma *= ((success - 0.2) / (D as f64 + 1.0).sqrt()).exp();
        }
    }

    /// What ρ must be below: 0, or what noise alone would reach.
    fn bar(&mut self, theta: &[f64; D], moved: &[f64; D], rho: f64) -> f64 {
        if !matches!(self.rule, Rule::NoiseTest) || rho >= 0.0 {
            return 0.0;
        }
        let [stay, again] = self.losses([theta, moved]);
        let difference = (rho - (again - stay)) / self.sigma;
        self.seen += 1.0;
        self.noise += (0.5 * difference * difference - self.noise) / self.seen.min(100.0);
        -self.sigma * self.noise.sqrt()
    }
}

/// A number of the table: a median, or that there is none.
fn cell(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    let (middle, worst) = (all[all.len() / 2], all[all.len() - 1]);
    let text = |v: f64| if v < 1e6 { format!("{v:.1e}") } else { "diverges".to_owned() };
    format!("{} ({})", text(middle), text(worst))
}

type Run<'a> = Box<dyn Fn(&Problem, usize) -> Result<f64> + 'a>;

fn controls() -> Vec<(String, Run<'static>)> {
    let mut rows: Vec<(String, Run)> = Vec::new();
    for (rule, words) in [
        (Rule::Success, "the 1/5 rule"),
        (Rule::Annealed, "annealed"),
        (Rule::NoiseTest, "noise test, 1/5 rule"),
    ] {
        for (level, name) in [(Level::Accept, "A"), (Level::Pair, "A±"), (Level::Momentum, "B")] {
            rows.push((
                format!("{name}, {words}"),
                Box::new(move |p, size| Ok(Control::run(p, size, level, rule))),
            ));
        }
    }
    rows
}

fn ours() -> Vec<StrategyKind> {
    let levels = [Level::Accept, Level::Pair, Level::Momentum, Level::Graded, Level::Sampler];
    levels.map(|level| StrategyKind::RelativeLoss(RelativeLoss { level, ..RelativeLoss::default() })).to_vec()
}

fn main() -> Result<()> {
    let mut methods = ours();
    for text in std::env::args().skip(1) {
        let wrong =
            |e| Error::expected(ErrorKind::Spec, "argument", "a method as JSON", format!("{text}: {e}"));
        methods.push(serde_json::from_str(&text).map_err(wrong)?);
    }
    let mut rows = controls();
    for method in &methods {
        let name = serde_json::to_string(method).unwrap_or_default();
        rows.push((name, Box::new(move |p, size| study(p, method, size).map(|r| r.0))));
    }
    let problems: Vec<Problem> = (1..=SEEDS).map(Problem::new).collect();
    let mut table = Vec::new();
    for (name, run) in &rows {
        let mut row = vec![name.clone()];
        for size in BATCHES {
            row.push(cell(problems.iter().map(|p| run(p, size)).collect::<Result<_>>()?));
        }
        table.push(row);
    }
    print_table(&["excess risk, median (worst)", "batch 32", "256", "5000"], &table);
    print_diagnoses(&problems)
}

/// How many times the batch would have to be, for the steps at the end of a run.
fn print_diagnoses(problems: &[Problem]) -> Result<()> {
    let mut table = Vec::new();
    for method in ours().iter().take(3) {
        let mut row = vec![serde_json::to_string(method).unwrap_or_default()];
        for size in BATCHES {
            let all: Vec<_> = problems.iter().map(|p| study(p, method, size)).collect::<Result<_>>()?;
            row.push(cell(all.iter().map(|r| r.1.unwrap_or(f64::NAN)).collect()));
        }
        table.push(row);
    }
    println!();
    print_table(&["the batch should be times", "32", "256", "5000"], &table);
    Ok(())
}
