//! Nets of leaky neurons that fire.

use super::graph::{Lif, Pairwise, Reduction};
use super::{Builder, Model, Shape, Var};
use crate::{Place, Result, choices};

choices! {
    /// How a row's numbers come in, step after step.
    pub enum Coding default Current {
        /// Each number is a current that is the same at every step.
        Current = "current",
        /// Each number, from 0 to 1, is the chance of a spike at every step: drawn anew in each, by noise with a name.
        Rate = "rate",
        /// Each number spikes once: the larger, the sooner; 1 at the first step, 0 never.
        Latency = "latency",
        /// The row's items are the steps, such as counts of events: what they hold comes in as it is.
        Items = "items",
    }
}

/// Layers of leaky neurons that fire ([`Lif`]), each behind a dense layer; the answer is a dense layer's, of what share of the steps each neuron of the
/// last one fired in. The tensors are `fc1.weight`, `fc1.bias`, … and those of `head`.
#[derive(Clone, Debug)]
pub struct Spiking {
    /// How rows come in.
    pub coding: Coding,
    /// Steps of a row; where its items are the steps, this says nothing.
    pub steps: usize,
    /// Neurons of each layer.
    pub hidden: Vec<usize>,
    /// What each neuron is like.
    pub lif: Lif,
    /// The number of outputs.
    pub outputs: usize,
}

impl Model for Spiking {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        Ok(self.layers(g).0)
    }
}

/// A net's answer, and behind it how many spikes a row took: of what comes in (unless that is currents), then of each layer.
#[derive(Clone, Debug)]
pub struct SpikeCounts(pub Spiking);

impl SpikeCounts {
    /// The part of the answer that holds the counts.
    pub const SPIKES: &str = "spikes";
}

impl Model for SpikeCounts {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let (answer, spikes) = self.0.layers(g);
        let counts: Vec<Var> =
            spikes.into_iter().map(|spikes| g.reduce(Reduction::Sum, spikes, &[0, 1, 2])).collect();
        let counts = g.concat(&counts);
        Ok(g.outputs(&[("answer", answer), (Self::SPIKES, counts)]))
    }
}

impl Spiking {
    /// How many numbers of rows of this shape come in at a step.
    pub fn inputs(&self, shape: Shape) -> usize {
        if self.coding == Coding::Items { shape[2] } else { shape.iter().product() }
    }

    /// How many operations a row takes where only spikes are worked on, of so many spikes ([`SpikeCounts`]): for each spike an addition to every
    /// neuron of the next layer; for currents, which are the same at every step, the products of the first layer once.
    pub fn operations(&self, inputs: usize, spikes: &[f32]) -> f64 {
        let next = self.hidden.iter().chain([&self.outputs]);
        let of_currents = if self.coding == Coding::Current { Some(inputs as f32) } else { None };
        let all = of_currents.iter().chain(spikes).zip(next);
        all.map(|(count, next)| f64::from(*count) * *next as f64).sum()
    }

    /// The answer, and what spikes at every step: what comes in, if it does, then each layer.
    fn layers(&self, g: &mut Builder) -> (Var, Vec<Var>) {
        if self.hidden.is_empty() {
            g.fault(Place::key("model", "hidden"), "at least one layer of neurons", "none");
        }
        let x = g.input();
        let (mut x, steps) = self.incoming(g, x);
        let mut spikes = Vec::new();
        if self.coding != Coding::Current {
            spikes.push(x);
        }
        for (layer, width) in self.hidden.iter().enumerate() {
            x = g.linear(&format!("fc{}", layer + 1), x, *width);
            x = g.expand(x, [1, steps, *width]);
            x = g.lif(&format!("lif{}", layer + 1), x, self.lif);
            spikes.push(x);
        }
        let share = g.reduce(Reduction::Mean, x, &[1]);
        (g.linear("head", share, self.outputs), spikes)
    }

    /// What enters the first layer, once where it is the same at every step, and how many steps there are.
    fn incoming(&self, g: &mut Builder, x: Var) -> (Var, usize) {
        let steps = self.steps;
        if self.coding == Coding::Items {
            let [height, items, _] = x.shape();
            if height != 1 {
                g.fault("input", "rows of [1, items, channels]", format!("{:?}", x.shape()));
            }
            return (x, items);
        }
        if self.coding != Coding::Current {
            g.input_within([0.0, 1.0]);
        }
        let x = g.flatten(x);
        let width = x.shape()[2];
        let every = [1, steps, width];
        let x = match self.coding {
            Coding::Rate => {
                let x = g.expand(x, every);
                g.bernoulli("incoming", x)
            }
            Coding::Latency => {
                let x = g.expand(x, every);
                // Step t of n belongs to what is above 1 − (t + 1)/n, and not above 1 − t/n.
                let above = |g: &mut Builder, later: usize| {
                    let edge = |t: usize| 1.0 - (t + later) as f32 / steps as f32;
                    let edges = (0..steps).flat_map(|t| std::iter::repeat_n(edge(t), width));
                    let edges = g.constant(every, edges.collect());
                    g.combine(Pairwise::Less, edges, x)
                };
                let [after, before] = [above(g, 1), above(g, 0)];
                g.combine(Pairwise::Subtract, after, before)
            }
            Coding::Current | Coding::Items => x,
        };
        (x, steps)
    }
}
