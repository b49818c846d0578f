//! The losses of whole sets of params.

use super::{Batch, Local};
use crate::model::{Chance, Context, Graph, Norms};
use crate::params::Params;
use crate::threads::prelude::*;

impl Local {
    /// The mean loss at every one of `points`, each all params in order; finite or not, `None` if not known.
    pub(super) fn losses_at_points(
        &self,
        graph: &Graph,
        params: &Params,
        batch: &Batch,
        points: &[f64],
        chance: &Chance,
    ) -> Vec<Option<f32>> {
        let one = |point: &[f64]| {
            let candidate = params.moved_to(point);
            let weights = self.packed(&candidate);
            let mut cx = Context::clean(&weights, Norms::Batch).with_chance(chance.clone());
            let outputs = graph.forward(&mut cx, batch.x.clone());
            self.known_loss(&outputs, batch.answers())
        };
        self.run(|| points.par_chunks_exact(params.count().max(1)).map(one).collect())
    }
}
