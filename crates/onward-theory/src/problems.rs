//! Functions whose constants are known, and the one-layer net whose loss is such a function.

use super::lab::{dot, square};
use crate::Result;
use onward::dataset::{Dataset, Targets};
use onward::evaluate::{Batch, Local};
use onward::kernel::{exp64, ln64};
use onward::ledger::{Optimizer, Scaling, State};
use onward::model::{Activation, Graph, Mlp};
use onward::noise::{Family, Role, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rule::{Clock, Method, TwoPoint};
use onward::threads::Threads;
use std::sync::Arc;

/// `½ Σ h_i x_i²` with h evenly spaced from `low` to `high`: strongly convex with `low`, smooth with `high`, least at 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quadratic {
    pub low: f64,
    pub high: f64,
}

impl Quadratic {
    fn curvature(&self, i: usize, n: usize) -> f64 {
        self.low + (self.high - self.low) * i as f64 / (n - 1).max(1) as f64
    }

    pub fn value(&self, x: &[f64]) -> f64 {
        x.iter().enumerate().map(|(i, v)| 0.5 * self.curvature(i, x.len()) * v * v).sum()
    }

    pub fn gradient(&self, x: &[f64]) -> Vec<f64> {
        x.iter().enumerate().map(|(i, v)| self.curvature(i, x.len()) * v).collect()
    }
}

/// Nesterov's chain, hard for every method that knows gradients: smooth with 4, not strongly convex. Least at
/// `x_i = 1 − i/(n + 1)`.
pub(crate) fn chain(x: &[f64]) -> f64 {
    let ends = x.first().zip(x.last()).map_or(0.0, |(a, b)| a * a + b * b - 2.0 * a);
    let links: f64 = x.windows(2).map(|w| (w[0] - w[1]) * (w[0] - w[1])).sum();
    0.5 * (ends + links)
}

/// The chain's least value and the squared distance of that point from 0.
pub(crate) fn chain_least(n: usize) -> (f64, f64) {
    let x: Vec<f64> = (1..=n).map(|i| 1.0 - i as f64 / (n as f64 + 1.0)).collect();
    (chain(&x), square(&x))
}

/// `ln(1 + e^m)` without overflow.
pub(crate) fn soft_plus(m: f64) -> f64 {
    m.max(0.0) + ln64(1.0 + exp64(-m.abs()))
}

/// `Σ ln cosh x_i`: smooth with 1, bent less and less away from 0.
pub(crate) fn log_cosh(x: &[f64]) -> f64 {
    x.iter().map(|x| soft_plus(2.0 * x) - x - std::f64::consts::LN_2).sum()
}

/// Rows of length 1, each times its label: the data of a linear classifier.
pub(crate) struct Rows {
    d: usize,
    rows: Vec<f64>,
}

/// Losses of a linear classifier by its margin: convex, with slopes of at most 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Margin {
    /// `ln(1 + e^{−m})`, smooth with ¼.
    Logistic,
    /// `max(0, 1 − m)`.
    Hinge,
}

impl Margin {
    pub fn loss(self, m: f64) -> f64 {
        match self {
            Self::Logistic => soft_plus(-m),
            Self::Hinge => (1.0 - m).max(0.0),
        }
    }

    fn slope(self, m: f64) -> f64 {
        match self {
            Self::Logistic => -1.0 / (1.0 + exp64(m)),
            Self::Hinge => {
                if m < 1.0 {
                    -1.0
                } else {
                    0.0
                }
            }
        }
    }
}

impl Rows {
    pub const COUNT: usize = 400;

    /// Normal directions; the label is that of a random plane, and one in ten is wrong.
    pub fn new(d: usize, seed: u64) -> Self {
        let draw = |name: &str, n: usize| {
            let mut z = vec![0.0; n];
            RunKey::from_seed(seed).tensor(Role::Init, name).at(0, 0).fill(Family::Normal, 0, &mut z);
            z.iter().map(|z| f64::from(*z)).collect::<Vec<f64>>()
        };
        let (mut rows, plane) = (draw("rows", Self::COUNT * d), draw("plane", d));
        for (i, row) in rows.chunks_exact_mut(d).enumerate() {
            let right = dot(row, &plane) > 0.0;
            let length = square(row).sqrt();
            let label = if right == (i % 10 != 0) { 1.0 } else { -1.0 };
            row.iter_mut().for_each(|v| *v *= label / length);
        }
        Self { d, rows }
    }

    pub fn row(&self, i: usize) -> &[f64] {
        &self.rows[i % Self::COUNT * self.d..][..self.d]
    }

    /// The mean loss over all rows.
    pub fn value(&self, margin: Margin, x: &[f64]) -> f64 {
        let sum: f64 = self.rows.chunks_exact(self.d).map(|row| margin.loss(dot(row, x))).sum();
        sum / Self::COUNT as f64
    }

    fn gradient(&self, margin: Margin, x: &[f64]) -> Vec<f64> {
        let mut g = vec![0.0; self.d];
        for row in self.rows.chunks_exact(self.d) {
            let slope = margin.slope(dot(row, x)) / Self::COUNT as f64;
            g.iter_mut().zip(row).for_each(|(g, a)| *g += slope * a);
        }
        g
    }

    /// A lower bound on the least mean loss over the box `|x_i| ≤ half`. By convexity `f(y) ≥ f(x) + ⟨∇f(x), y − x⟩` for
    /// every y, so the least of the right side over the box, or of the mean of such right sides, bounds f from below
    /// wherever x is; x is brought near to the optimum by projected gradient steps, with the derivative, which the checked
    /// methods do not have.
    pub fn least(&self, margin: Margin, half: f64) -> f64 {
        let mut x = vec![0.0; self.d];
        let (mut best, mut level, mut slope) = (f64::NEG_INFINITY, 0.0, vec![0.0; self.d]);
        let lowest = |level: f64, slope: &[f64]| level - half * slope.iter().map(|g| g.abs()).sum::<f64>();
        for t in 1..=3000 {
            let g = self.gradient(margin, &x);
            let here = self.value(margin, &x) - dot(&g, &x);
            // Weights 1, 2, 3 …: later points are better.
            let share = 2.0 / (f64::from(t) + 1.0);
            level += share * (here - level);
            slope.iter_mut().zip(&g).for_each(|(s, g)| *s += share * (g - *s));
            best = best.max(lowest(here, &g)).max(lowest(level, &slope));
            // The Hessian of the mean logistic loss is at most ¼ of the rows' largest second moment: about 1/d.
            let step = match margin {
                Margin::Logistic => self.d as f64,
                Margin::Hinge => {
                    2.0 * half * (self.d as f64 / f64::from(t)).sqrt() / square(&g).sqrt().max(0.1)
                }
            };
            x.iter_mut().zip(&g).for_each(|(x, g)| *x = (*x - step * g).clamp(-half, half));
        }
        best
    }
}

/// A net of one linear layer, all of it zero, with squared error on random rows: its loss is a quadratic of the weights, so
/// symmetric differences are exact, and a step from zero leaves the estimate itself in the params, unrounded by others.
pub(crate) struct LinearNet {
    evaluator: Local,
    params: Params,
    batch: Batch,
    /// Of the mean loss by all params in their order.
    pub gradient: Vec<f64>,
}

const BATCH: usize = 16;

impl LinearNet {
    pub fn new(inputs: usize, outputs: usize, seed: u64) -> Result<Self> {
        let key = RunKey::from_seed(seed);
        let draw = |name: &str, n: usize| {
            let mut z = vec![0.0; n];
            key.tensor(Role::Init, name).at(0, 0).fill(Family::Normal, 0, &mut z);
            z
        };
        let (x, y) = (draw("x", BATCH * inputs), draw("y", BATCH * outputs));
        let net = Mlp::new(&[inputs, outputs], Activation::Relu)?;
        let tensors = Params::init(Graph::new(&net, [1, 1, inputs])?.tensors(), &key).tensors().to_vec();
        let zeros = |t: Tensor| Tensor { data: vec![0.0; t.data.len()].into(), ..t };
        let params = Params::from_tensors(tensors.into_iter().map(zeros).collect());
        let gradient =
            params.tensors().iter().flat_map(|t| squared_error_gradient(&x, &y, &t.shape)).collect();
        let data = Dataset::new(x, [1, 1, inputs], Targets::Values { values: y, width: outputs })?;
        let task = Arc::new(onward::task::Loss::SquaredError);
        Ok(Self {
            evaluator: Local::new(Arc::new(net), task, &Threads::new(1)?),
            params,
            batch: Batch::select(&data, &(0..BATCH as u32).collect::<Vec<_>>()),
            gradient,
        })
    }

    /// The estimate by which a first step of the method would go, under the noise of another seed.
    pub fn estimate(&self, rule: TwoPoint, seed: u64) -> Result<Vec<f64>> {
        let (key, method) = (RunKey::from_seed(seed), Method::TwoPoint(rule));
        let optimizer = Optimizer { momentum: 0.0, scaling: Scaling::None };
        let mut state = State::new(self.params.clone(), method.recipe(optimizer, Storage::F32), key)?;
        let outcome = self.evaluator.step(&method, &state, &self.batch, &Clock::alone(0, 1.0, BATCH))?;
        state.apply(&outcome.entry, outcome.direction.as_ref())?;
        Ok(state.params().tensors().iter().flat_map(|t| t.data.iter()).map(|w| -f64::from(w)).collect())
    }
}

/// The derivative, at zero, of the mean over rows of half the squared distance between `W x + b` and `y` by one of `W`, `b`.
fn squared_error_gradient(x: &[f32], y: &[f32], shape: &[usize]) -> Vec<f64> {
    let (outputs, inputs) = (shape[0], x.len() / BATCH);
    let rows = || y.chunks_exact(outputs).zip(x.chunks_exact(inputs));
    let mean = |term: &dyn Fn(&[f32], &[f32]) -> f32| -> f64 {
        rows().map(|(y, x)| f64::from(-term(y, x))).sum::<f64>() / BATCH as f64
    };
    match shape {
        [_] => (0..outputs).map(|j| mean(&|y, _| y[j])).collect(),
        _ => (0..outputs * inputs).map(|i| mean(&|y, x| y[i / inputs] * x[i % inputs])).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_central_differences() {
        let rows = Rows::new(7, 3);
        let x: Vec<f64> = (0..7).map(|i| 0.3 * f64::from(i) - 1.0).collect();
        let quadratic = Quadratic { low: 1.0, high: 8.0 };
        let slope = |f: &dyn Fn(&[f64]) -> f64, i: usize| {
            let moved =
                |by: f64| x.iter().enumerate().map(|(j, v)| if i == j { v + by } else { *v }).collect();
            let (up, down): (Vec<f64>, Vec<f64>) = (moved(1e-5), moved(-1e-5));
            (f(&up) - f(&down)) / 2e-5
        };
        for i in 0..7 {
            let logistic = slope(&|x| rows.value(Margin::Logistic, x), i);
            assert!((logistic - rows.gradient(Margin::Logistic, &x)[i]).abs() < 1e-8);
            assert!((slope(&|x| quadratic.value(x), i) - quadratic.gradient(&x)[i]).abs() < 1e-8);
        }
        assert!((log_cosh(&[0.7, -2.0]) - 0.7f64.cosh().ln() - 2f64.cosh().ln()).abs() < 1e-12);
    }

    #[test]
    fn the_chain_is_least_where_it_says_and_least_values_are_below_all_and_near() {
        let (least, _) = chain_least(6);
        assert!((least + 0.5 * (1.0 - 1.0 / 7.0)).abs() < 1e-12);
        let x: Vec<f64> = (1..=6).map(|i| 1.0 - f64::from(i) / 7.0 + 1e-3).collect();
        assert!(chain(&x) > least);
        let rows = Rows::new(10, 1);
        for (margin, near) in [(Margin::Logistic, 1e-6), (Margin::Hinge, 0.02)] {
            let bound = rows.least(margin, 0.5);
            let mut x = vec![0.0; 10];
            for t in 1..=3000 {
                let g = rows.gradient(margin, &x);
                let step = 5.0 / f64::from(t).sqrt();
                x.iter_mut().zip(&g).for_each(|(x, g)| *x = (*x - step * g).clamp(-0.5, 0.5));
            }
            let found = rows.value(margin, &x);
            assert!(found >= bound && found - bound < near, "{margin:?}: {found}, bound {bound}");
        }
    }
}
