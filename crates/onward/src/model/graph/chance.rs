//! Chance inside a model: samples and dropout. Their noise is a value of the graph like any other, found from the names of run, step,
//! operation and row alone. So all members of a step and both signs of a pair have the same, wherever a row stands and whoever works on it.

use super::builder::{Builder, Var};
use super::function::Pairwise;
use super::node::{Op, Shape};
use super::rows::Rowwise;
use crate::kernel::gumbel;
use crate::model::{Act, Context};
use crate::noise::{Noise, Role, RunKey};
use crate::threads::prelude::*;
use std::fmt;
use std::sync::Arc;

/// The source of randomness inside a model (dropout, samples) during a pass.
#[derive(Clone)]
pub enum Chance {
    /// A step of a run.
    Step {
        /// The run's key.
        key: RunKey,
        /// The step (for visits to one weight after the other, the cycle).
        step: u32,
        /// Which rows the pass is on.
        ids: Arc<[u64]>,
    },
    /// None: dropout is off, and samples are those of step 2³² − 1 of the run with seed 0, each row named by its place; the first has
    /// this one.
    Evaluation(u64),
}

/// What a graph's noise is of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draw {
    /// The noise's name.
    pub name: String,
    /// For dropout the share that is left out.
    pub dropped: Option<f32>,
}

impl Builder {
    /// A Bernoulli sample: 1 with the probability that each number of `x` gives, else 0. The noise is named `name`.
    pub fn bernoulli(&mut self, name: &str, x: Var) -> Var {
        let noise = self.noise(name, None, x.shape());
        self.combine(Pairwise::Less, noise, x)
    }

    /// A channel of each position, counted from 0, with the chances that the channels' logits say: `e^x / Σ e^x`; there are at least two. The noise
    /// is named `name`.
    pub fn categorical(&mut self, name: &str, logits: Var) -> Var {
        if logits.shape()[2] < 2 {
            self.fault(name, "at least two categories to draw from", "one");
        }
        let noise = self.noise(name, None, logits.shape());
        let [h, w, _] = logits.shape();
        self.push(Op::Rows(Rowwise::Categorical), name, &[logits, noise], [h, w, 1])
    }

    /// 1 at the one of `channels` channels that each number of `x` names, which has one channel itself, and 0 at all others; not finite where it names
    /// none.
    pub fn one_hot(&mut self, x: Var, channels: usize) -> Var {
        let [h, w, c] = x.shape();
        if c != 1 {
            self.fault("one-hot", "one channel of whole numbers", format!("shape {:?}", x.shape()));
        }
        self.push(Op::Rows(Rowwise::OneHot), "one-hot", &[x], [h, w, channels])
    }

    /// Leaves out a share of the numbers by chance and divides the others by what is left of one (Srivastava et al. 2014, JMLR 15);
    /// nothing in evaluation. The noise is named `name`.
    pub fn dropout(&mut self, name: &str, x: Var, share: f32) -> Var {
        if !(0.0..1.0).contains(&share) {
            self.fault(name, "a share from 0 to below 1", share);
        }
        let kept = self.noise(name, Some(share), x.shape());
        self.multiply(x, kept)
    }

    fn noise(&mut self, name: &str, dropped: Option<f32>, shape: Shape) -> Var {
        if name.is_empty() || self.has_noise(name) {
            self.fault("noise", "a name of its own", format!("{name:?}"));
        }
        let input = self.input();
        self.push(Op::Noise(Draw { name: name.into(), dropped }), name, &[input], shape)
    }
}

impl Context<'_> {
    /// The chance of the passes.
    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    /// Sets the chance of the passes that follow.
    #[must_use]
    pub fn with_chance(self, chance: Chance) -> Self {
        Self { chance, ..self }
    }

    /// Uniform numbers between 0 and 1 for so many rows, or what dropout multiplies with.
    pub(super) fn noise(&self, draw: &Draw, rows: usize, shape: Shape) -> Act {
        let width = shape.iter().product::<usize>();
        let mut y = Act::new(rows, shape, vec![1.0; rows * width]);
        let (key, step) = match &self.chance {
            Chance::Step { key, step, .. } => (*key, *step),
            Chance::Evaluation(_) if draw.dropped.is_some() => return y,
            Chance::Evaluation(_) => (RunKey::from_seed(0), u32::MAX),
        };
        let key = key.tensor(Role::Sample, &draw.name);
        y.data.par_chunks_mut(width.max(1)).enumerate().for_each(|(row, out)| {
            let id = match &self.chance {
                Chance::Step { ids, .. } => ids[row % ids.len().max(1)],
                Chance::Evaluation(first) => first + row as u64,
            };
            uniform(key.at(step, id as u32), id >> 32, out);
            if let Some(dropped) = draw.dropped {
                let kept = 1.0 / (1.0 - dropped);
                out.iter_mut().for_each(|u| *u = if *u < dropped { 0.0 } else { kept });
            }
        });
        y
    }
}

/// Blocks of noise that are worked out at once.
const BLOCKS: usize = 64;

/// `(⌊w / 2⁹⌋ + ½) · 2⁻²³` of one word after the other, from block `2³² · high` on: above 0 and below 1.
fn uniform(noise: Noise, high: u64, out: &mut [f32]) {
    let mut words = [[0; 4]; BLOCKS];
    for (part, out) in out.chunks_mut(4 * BLOCKS).enumerate() {
        let words = &mut words[..out.len().div_ceil(4)];
        noise.blocks((high << 32) + (part * BLOCKS) as u64, words);
        for (u, word) in out.iter_mut().zip(words.as_flattened()) {
            *u = ((word >> 9) as f32 + 0.5) / 8_388_608.0;
        }
    }
}

/// The channel of each position whose logit and Gumbel noise `−ln(−ln u)` are the largest together, the first of such; what is not a
/// number where a logit is none (Gumbel 1954; Maddison, Tarlow and Minka 2014, arXiv 1411.0030).
pub(super) fn categorical(logits: &[f32], noise: &[f32], out: &mut [f32]) {
    let channels = logits.len() / out.len().max(1);
    let mut noise = noise.to_vec();
    gumbel(&mut noise);
    for ((x, noise), out) in logits.chunks_exact(channels).zip(noise.chunks_exact(channels)).zip(out) {
        let (mut largest, mut at) = (f32::NEG_INFINITY, f32::NAN);
        for (channel, (x, noise)) in x.iter().zip(noise).enumerate() {
            let sum = x + noise;
            if sum > largest {
                (largest, at) = (sum, channel as f32);
            }
        }
        *out = if x.iter().any(|v| v.is_nan()) { f32::NAN } else { at };
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dropped {
            Some(share) => write!(f, "dropout {share}, noise {}", self.name),
            None => write!(f, "noise {}", self.name),
        }
    }
}
