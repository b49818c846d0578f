//! Learning at every step of streams that never end: nothing waits for later inputs, nothing is kept of earlier ones but states and their influence.
//!
//! Each step sees the next row of every stream (`data.streams`). Its loss earns local credit, as for `relative-local`; what it owes to earlier steps
//! is the credit at the states that it began with, times how these follow from the params (`space/influence.rs`). Params change after each
//! step; the same stream altered after some place leaves them the same up to there, to the bit.

use super::relative_local::{LocalRule, trained};
use super::{Anneal, Configured, Rule};
use crate::ledger::{Moves, Scaling};
use crate::model::Graph;
use crate::schema::{self, is};
use crate::space::{LocalPlan, Samples};
use crate::{Result, keys};
use std::sync::Arc;

keys! {
    /// The online method.
    pub struct Online: Copy {
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
        let (stages, Online { sigma, cut }) = (trained(graph), *self);
        schema::fits(self, "method")?;
        // Nothing is drawn by chance.
        let plan = LocalPlan { step: 0, stages, sigma, samples: Samples::Swaps, draws: 2 };
        LocalRule { plan, of_streams: Some(cut) }.bound(graph)
    }
}
