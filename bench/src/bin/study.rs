//! What a study costs: evaluations that a method needs on common functions, and time between evaluations.
//!
//! `study evaluations METHOD …` prints the median of 21 runs; `study overhead METHOD …` the time that asking and telling
//! takes per evaluation. The functions are those of `bench/study.py`, which runs pycma on them.

use onward::study::{Candidate, Goal, Space, StrategyKind, Study};
use onward::{Error, ErrorKind, Result};
use onward_bench::{Times, print_table, seconds};

const RUNS: u64 = 21;
const TARGET: f64 = 1e-8;

/// A function with its optimum at a place of its own for each instance.
struct Problem {
    name: &'static str,
    optimum: Vec<f64>,
    /// An orthogonal matrix as rows.
    rotation: Option<Vec<Vec<f64>>>,
}

impl Problem {
    fn new(name: &'static str, n: usize, instance: u64) -> Self {
        let optimum =
            (0..n).map(|i| 4.0 * (12.9898 * (i as f64 + 1.0) + 78.233 * (instance as f64 + 1.0)).sin());
        let rotation = (name == "rotated ellipsoid").then(|| rotation(n, instance));
        Self { name, optimum: optimum.collect(), rotation }
    }

    fn value(&self, c: &Candidate) -> f64 {
        let mut x: Vec<f64> = c.numbers().zip(&self.optimum).map(|(x, o)| x - o).collect();
        if let Some(rows) = &self.rotation {
            x = rows.iter().map(|r| r.iter().zip(&x).map(|(r, x)| r * x).sum()).collect();
        }
        let last = (x.len() - 1) as f64;
        match self.name {
            "sphere" => x.iter().map(|x| x * x).sum(),
            "Rosenbrock" => {
                let y: Vec<f64> = x.iter().map(|x| x * (last.sqrt() / 8.0).max(1.0) + 1.0).collect();
                y.windows(2).map(|p| 100.0 * (p[0] * p[0] - p[1]).powi(2) + (p[0] - 1.0).powi(2)).sum()
            }
            _ => x.iter().enumerate().map(|(i, x)| 10f64.powf(6.0 * i as f64 / last) * x * x).sum(),
        }
    }
}

/// Gram and Schmidt on a matrix of sines.
fn rotation(n: usize, instance: u64) -> Vec<Vec<f64>> {
    let entry = |i: usize, j: usize| (1.7 * ((i * n + j) as f64 + 1.0).powf(1.3) + instance as f64).sin();
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for i in 0..n {
        let mut row: Vec<f64> = (0..n).map(|j| entry(i, j)).collect();
        for _ in 0..2 {
            for other in &rows {
                let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let length = row.iter().map(|a| a * a).sum::<f64>().sqrt();
        row.iter_mut().for_each(|a| *a /= length);
        rows.push(row);
    }
    rows
}

/// Evaluations until the target is reached; `None` if the budget was not enough.
fn evaluations(problem: &Problem, method: &StrategyKind, seed: u64) -> Result<Option<u64>> {
    let n = problem.optimum.len();
    let mut study =
        Study::new(Space::reals(n, 0.0, 2.0)?, Goal::Minimize, 5000 * n as u64, seed, method.clone())?;
    while let Some(c) = study.ask() {
        let value = problem.value(&c);
        study.tell(c.id, value)?;
        if value <= TARGET {
            return Ok(Some(study.told()));
        }
    }
    Ok(None)
}

fn print_evaluations(methods: &[StrategyKind]) -> Result<()> {
    let mut header = vec!["function", "d"];
    header.extend(methods.iter().map(StrategyKind::name));
    let mut rows = Vec::new();
    for name in ["sphere", "ellipsoid", "Rosenbrock", "rotated ellipsoid"] {
        for n in [5, 10, 20] {
            let mut row = vec![name.to_owned(), n.to_string()];
            for method in methods {
                let mut all = (0..RUNS)
                    .map(|i| {
                        evaluations(&Problem::new(name, n, i), method, i + 1).map(|e| e.unwrap_or(u64::MAX))
                    })
                    .collect::<Result<Vec<u64>>>()?;
                all.sort_unstable();
                let solved = all.iter().filter(|e| **e < u64::MAX).count();
                let middle = all[all.len() / 2];
                let middle = if middle == u64::MAX { "–".to_owned() } else { middle.to_string() };
                row.push(format!("{middle} ({solved}/{RUNS})"));
            }
            rows.push(row);
        }
    }
    print_table(&header, &rows);
    Ok(())
}

fn print_overhead(methods: &[StrategyKind]) -> Result<()> {
    let mut rows = Vec::new();
    for method in methods {
        for n in [2, 10, 40] {
            let all = (0..9).map(|seed| per_evaluation(method, n, seed)).collect::<Result<_>>()?;
            let Times { median, best } = Times::of(all);
            rows.push(vec![
                method.name().into(),
                n.to_string(),
                format!("{:.2}", median * 1e6),
                format!("{:.2}", best * 1e6),
            ]);
        }
    }
    print_table(&["method", "d", "µs per evaluation, median of 9", "least"], &rows);
    Ok(())
}

/// Seconds between evaluations of a sphere, the sphere's own included.
fn per_evaluation(method: &StrategyKind, n: usize, seed: u64) -> Result<f64> {
    const BUDGET: u64 = 5000;
    let mut study = Study::new(Space::reals(n, 1.0, 0.5)?, Goal::Minimize, BUDGET, seed, method.clone())?;
    let mut outcome = Ok(());
    let spent = seconds(|| {
        while let Some(c) = study.ask() {
            outcome = study.tell(c.id, c.numbers().map(|x| x * x).sum());
        }
    });
    outcome.map(|()| spent / study.told() as f64)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names = arguments.get(1..).unwrap_or_default();
    let methods: Vec<StrategyKind> = if names.is_empty() {
        vec![StrategyKind::named("cma-es")?]
    } else {
        names.iter().map(|n| StrategyKind::named(n)).collect::<Result<_>>()?
    };
    match arguments.first().map(String::as_str) {
        Some("evaluations") => print_evaluations(&methods),
        Some("overhead") => print_overhead(&methods),
        other => Err(Error::expected(
            ErrorKind::Spec,
            "first argument",
            "`evaluations` or `overhead`",
            format!("{other:?}"),
        )),
    }
}
