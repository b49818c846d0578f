//! The losses of whole sets of params.

use super::members::See;
use super::{Batch, Local};
use crate::model::{Chance, Context, Graph, Norms};
use crate::params::Params;
use crate::threads::prelude::*;

impl Local {
    /// What `see` makes of the outputs at every one of `points`, each all params in order.
    pub(super) fn told_at_points<T: Send>(
        &self,
        graph: &Graph,
        params: &Params,
        batch: &Batch,
        points: &[f64],
        chance: &Chance,
        see: &See<'_, T>,
    ) -> Vec<T> {
        let one = |point: &[f64]| {
            let candidate = params.moved_to(point);
            let weights = self.packed(&candidate);
            let mut cx = Context::clean(&weights, Norms::Batch).with_chance(chance.clone());
            let outputs = self.answers(graph, &mut cx, batch.x.clone());
            see(&outputs, batch.answers())
        };
        self.run(|| points.par_chunks_exact(params.count().max(1)).map(one).collect())
    }
}
