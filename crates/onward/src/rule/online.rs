//! Learning at every step of streams that never end: nothing waits for later inputs, nothing is kept of earlier ones but states and their influence.
//!
//! Each step sees the next row of every stream (`data.streams`). Its loss earns local credit, as for `relative-local`; what it owes to earlier steps
//! is the credit at the states that it began with, times how these follow from the params (`space/influence.rs`). Params change after each
//! step; the same stream altered after some place leaves them the same up to there, to the bit. For many streams, or cells too large for that, credit comes from noise
//! and what it did to twins of the states (`space/twins.rs`).

use super::relative_local::{Asks, LocalRule, trained};
use super::{Anneal, Configured, Rule};
use crate::ask::misfit;
use crate::ledger::{Moves, Scaling};
use crate::model::Graph;
use crate::noise::Family;
use crate::schema::{self, PerLayer, is};
use crate::space::{LocalPlan, Samples, TwinNoise};
use crate::{Result, choices, keys};
use std::sync::Arc;

choices! {
    /// How credit reaches earlier steps of streams.
    pub enum Past default Influence {
        /// By the exact influence of all params on all states: for small cells.
        Influence = "influence",
        /// By bursts of noise at the cells' maps, and what twins of the states that saw them lose later: for many streams.
        Bursts = "bursts",
        /// By noise on the cells' weights for whole episodes of twins: for comparison, and for cells that cannot be looked into.
        Episodes = "episodes",
    }
}

keys! {
    /// The online method.
    pub struct Online {
        shared
        /// The size of the perturbations.
        sigma: f32 = 0.01;
        preset rate = 0.003;
        preset momentum = 0.9;
        preset scaling = Scaling::Adam;
        preset schedule = Anneal::Constant;
        preset final_rate = 1.0;
        /// Does credit end with the step? The states go on, but what they owe to earlier steps earns nothing: what truncated backpropagation through one
        /// step knows.
        cut: bool = is(false);
        /// How credit reaches earlier steps.
        credit: Past = is(Past::Influence);
        /// Of bursts and episodes: how many steps a twin lives, which is how far credit reaches: one number, or several that the streams take in turn.
        lengths: PerLayer<u32> = is(8), 1.0..=1e6;
        /// Of episodes: how many steps have the same noise; 0 for the whole episode.
        window: u32 = is(0), 0.0..=1e6;
        /// Of episodes: the distribution of the noise.
        noise: Family = is(Family::Sign);
    }
}

impl Configured for Online {
    fn moves(&self) -> Moves {
        Moves::Directions
    }

    fn in_streams(&self) -> bool {
        true
    }

    fn at_work(&self, graph: &Graph) -> Result<Arc<dyn Rule>> {
        let (stages, Online { sigma, cut, window, noise, .. }) = (trained(graph), self.clone());
        schema::fits(self, "method")?;
        let lengths = if cut { vec![1] } else { self.lengths.values().to_vec() };
        if lengths.is_empty() {
            return Err(misfit("lengths", "at least one number", "none"));
        }
        let asks = match self.credit {
            Past::Influence => Asks::Streams { cut },
            Past::Bursts => Asks::Twins(lengths, TwinNoise::Sites),
            Past::Episodes => Asks::Twins(lengths, TwinNoise::Weights { window, noise }),
        };
        // Nothing is drawn by chance.
        let plan = LocalPlan { step: 0, stages, sigma, samples: Samples::Swaps, draws: 2, differences: None };
        LocalRule { plan, asks }.bound(graph)
    }
}
