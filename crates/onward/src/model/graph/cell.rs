//! Recurrent cells over the items of a row, unrolled: each item's step is operations of its own, with the same tensors. So a
//! recurrent tensor has a site at every step, and earns the sum of what it earns there: the exact derivative, with nothing
//! carried back through time, for as many stages as there are items.

use super::builder::{Builder, Var};
use super::node::Op;
use super::rows::Rowwise;
use crate::kernel::{cos, exp, ln64, sigmoid, sin, tanh};
use crate::params::Init;

/// A recurrent cell with tensors. Gates, tensors and equations are PyTorch's (`torch.nn.LSTMCell`, `GRUCell`), so that files load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `i, f, g, o = W x + b + U h + d`; `c ← σ(f) c + σ(i) tanh g`, `h ← σ(o) tanh c` (Hochreiter and Schmidhuber 1997, with the
    /// forget gate of Gers, Schmidhuber and Cummins 2000).
    Lstm,
    /// `r, z, n` of `W x + b` and of `U h + d`; with `r` and `z` the logistic of their sums and `n = tanh(nₓ + r nₕ)`,
    /// `h ← (1 − z) n + z h` (Cho et al. 2014, arXiv 1406.1078).
    Gru,
}

/// A leaky neuron that fires: `v ← v + leak (x − v)`; where `v > threshold` it answers 1 and `v ← 0`, else 0. This is the Euler step
/// of `τ v̇ = x − v` with `leak = dt/τ` (the LIF node of NIR: Pedersen et al. 2024, Nature Communications 15, 8122, at rest at 0 and
/// with resistance 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lif {
    /// `dt/τ`, above 0 and at most 1.
    pub leak: f32,
    /// The membrane's value above which it fires.
    pub threshold: f32,
}

/// What a row's items hand to the items after them, beyond the row's last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Carry {
    /// The cell's name and the part of it, such as `lstm.h`.
    pub name: String,
    /// The node before the first item, zero unless it is given.
    pub begin: usize,
    /// The node after the last one.
    pub end: usize,
}

impl Cell {
    fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

impl Builder {
    /// A recurrent cell that runs over the items of `[1, items, channels]` rows and answers with `[1, items, size]`, its `h` after each. The tensors
    /// are `{name}.weight_ih (gates · size, channels)`, `{name}.weight_hh (gates · size, size)`, `{name}.bias_ih` and `{name}.bias_hh`.
    /// `h` (and `c`) begin with zero and are carries of the graph ([`super::Graph::forward_carrying`]), `{name}.h` and `{name}.c`.
    pub fn cell(&mut self, name: &str, cell: Cell, x: Var, size: usize) -> Var {
        self.unrolled(name, cell, x, None, size)
    }

    /// A cell ([`Builder::cell`]); what it carries on is that after the last of the first `length` items, if that is given.
    pub(super) fn unrolled(
        &mut self,
        name: &str,
        cell: Cell,
        x: Var,
        length: Option<Var>,
        size: usize,
    ) -> Var {
        let [height, items, channels] = x.shape();
        if height != 1 {
            self.fault(name, "[1, items, channels]", format!("{:?}", x.shape()));
            return x;
        }
        let width = size.saturating_mul(cell.gates());
        let tensor = |g: &mut Self, part: &str, shape: Vec<usize>| {
            // A standard deviation of 1/√inputs: with He's a recurrent map would grow.
            let init = match shape[..] {
                [_, inputs] => Init::He { fan_in: inputs.saturating_mul(2) },
                _ => Init::Constant(0.0),
            };
            g.tensor(format!("{name}.{part}"), shape, init)
        };
        let [weight, again] = [("weight_ih", channels), ("weight_hh", size)]
            .map(|(part, n)| tensor(self, part, vec![width, n]));
        let [bias, bias_again] = ["bias_ih", "bias_hh"].map(|part| tensor(self, part, vec![width]));
        let x = self.push(Op::Linear { weight, bias: Some(bias) }, name, &[x], [1, items, width]);
        let state = [1, 1, size];
        let begin = self.carry(format!("{name}.h"), state);
        let mut h = begin;
        let memory = (cell == Cell::Lstm).then(|| self.carry(format!("{name}.c"), state));
        let mut c = memory;
        let (mut all, mut memories) = (Vec::with_capacity(items), Vec::new());
        for item in 0..items {
            let own = self.pick(x, 1, [item]);
            let before = Op::Linear { weight: again, bias: Some(bias_again) };
            let before = self.push(before, name, &[h], [1, 1, width]);
            h = match c {
                Some(memory) => {
                    let z = self.add(own, before);
                    let both = [1, 1, size.saturating_mul(2)];
                    let both = self.push(Op::Rows(Rowwise::Lstm), name, &[z, memory], both);
                    let after = self.channels(both, size..size.saturating_mul(2));
                    c = Some(after);
                    memories.push(after);
                    self.channels(both, 0..size)
                }
                None => self.push(Op::Rows(Rowwise::Gru), name, &[own, before, h], state),
            };
            all.push(h);
        }
        let answer = self.join(1, &all);
        if let Some(length) = length {
            h = self.last_of_items(answer, length);
            c = c.map(|_| {
                let all = self.join(1, &memories);
                self.last_of_items(all, length)
            });
        }
        self.carry_on(begin, h);
        if let (Some(begin), Some(end)) = (memory, c) {
            self.carry_on(begin, end);
        }
        answer
    }

    /// Leaky neurons that fire, one for each channel of `[1, items, channels]` rows, over the items: 1 or 0 for each item. Their
    /// membranes begin at zero and are the carry `{name}.v`, those after the last place of a row that ends before it.
    pub fn lif(&mut self, name: &str, x: Var, lif: Lif) -> Var {
        let [height, items, channels] = x.shape();
        let Lif { leak, threshold } = lif;
        if height != 1 || !(leak > 0.0 && leak <= 1.0) || !threshold.is_finite() {
            let expected = "[1, items, channels], a leak above 0 and at most 1, a finite threshold";
            self.fault(name, expected, format!("{:?} and {lif:?}", x.shape()));
            return x;
        }
        let begin = self.carry(format!("{name}.v"), [1, 1, channels]);
        // The membranes after the last item stand behind the spikes.
        let all =
            self.push(Op::Rows(Rowwise::Lif(lif)), name, &[x, begin], [1, items.saturating_add(1), channels]);
        let end = self.pick(all, 1, [items]);
        self.carry_on(begin, end);
        self.pick(all, 1, 0..items)
    }
}

impl Builder {
    /// A diagonal recurrence of complex numbers over the items of `[1, items, channels]` rows: `h ← λ h + W x + b`, each `h` a number of its own, with
    /// `λ = exp(−exp ν + iθ)` inside the unit circle (the linear recurrent unit of Orvieto et al. 2023, arXiv 2303.06349). It answers with
    /// `[1, items, 2 · units]`: all real parts, then all imaginary ones. The tensors are `{name}.weight (2 · units, channels)`,
    /// `{name}.bias` and `{name}.pole (2 · units)`, what is added to the `ν` and `θ` that it begins with: magnitudes from 0.9 to 0.999 and
    /// angles from 0 to π, spread evenly. `h` is the carry `{name}.h`.
    pub fn diagonal(&mut self, name: &str, x: Var, units: usize) -> Var {
        let [height, items, _] = x.shape();
        if height != 1 || !(1..=1 << 24).contains(&units) {
            self.fault(
                name,
                "[1, items, channels] and 1 to 2^24 units",
                format!("{:?} and {units}", x.shape()),
            );
            return x;
        }
        let state = [1, 1, 2 * units];
        let x = self.linear(name, x, 2 * units);
        let pole = self.tensor(format!("{name}.pole"), vec![2 * units], Init::Constant(0.0));
        let ones = self.constant(state, vec![1.0; 2 * units]);
        let own = self.push(Op::Scale { weight: pole, bias: None }, name, &[ones], state);
        let begin = self.constant(state, poles(units));
        let poles = self.add(begin, own);
        let begin = self.carry(format!("{name}.h"), state);
        let (mut h, mut all) = (begin, Vec::with_capacity(items));
        for item in 0..items {
            let own = if items == 1 { x } else { self.pick(x, 1, [item]) };
            h = self.push(Op::Rows(Rowwise::Diagonal), name, &[own, h, poles], state);
            all.push(h);
        }
        self.carry_on(begin, h);
        if items == 1 { h } else { self.join(1, &all) }
    }
}

/// The `ν` and `θ` that a diagonal recurrence begins with: an additive sequence in both directions, so that no two are alike (Roberts 2018, R₂).
fn poles(units: usize) -> Vec<f32> {
    let spread = |step: f64, i: usize| (0.5 + step * (i + 1) as f64).fract();
    let nu = |i: usize| {
        let magnitude = 0.9 + 0.099 * spread(0.754_877_666_246_692_7, i);
        ln64(-ln64(magnitude)) as f32
    };
    let theta = |i: usize| (std::f64::consts::PI * spread(0.569_840_290_998_053_2, i)) as f32;
    (0..units).map(nu).chain((0..units).map(theta)).collect()
}

/// `h` after a step of a diagonal recurrence on `x`: real parts, then imaginary ones.
pub(super) fn diagonal(x: &[f32], h: &[f32], poles: &[f32], out: &mut [f32]) {
    let n = x.len() / 2;
    for i in 0..n {
        let (magnitude, angle) = (exp(-exp(poles[i])), poles[n + i]);
        let [re, im] = [magnitude * cos(angle), magnitude * sin(angle)];
        out[i] = re * h[i] - im * h[n + i] + x[i];
        out[n + i] = re * h[n + i] + im * h[i] + x[n + i];
    }
}

/// `[h, c]` after a step with gates `z`.
pub(super) fn lstm(z: &[f32], c: &[f32], out: &mut [f32]) {
    let n = c.len();
    let (h, memory) = out.split_at_mut(n);
    for i in 0..n {
        let [input, forget, new, output] = [0, 1, 2, 3].map(|gate| z[gate * n + i]);
        memory[i] = sigmoid(forget) * c[i] + sigmoid(input) * tanh(new);
        h[i] = sigmoid(output) * tanh(memory[i]);
    }
}

/// `h` after a step with gates `x + …` and those of `h` before.
pub(super) fn gru(x: &[f32], again: &[f32], h: &[f32], out: &mut [f32]) {
    let n = h.len();
    for (i, out) in out.iter_mut().enumerate() {
        let both = |gate: usize| (x[gate * n + i], again[gate * n + i]);
        let [(rx, rh), (zx, zh), (nx, nh)] = [both(0), both(1), both(2)];
        let z = sigmoid(zx + zh);
        let new = tanh(nx + sigmoid(rx + rh) * nh);
        *out = (1.0 - z) * new + z * h[i];
    }
}
