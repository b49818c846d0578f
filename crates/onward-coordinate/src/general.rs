//! Visits to models that are no chain of known operations: everything from the visited stage's first map on is run again.

use onward::dataset::Dataset;
use onward::evaluate::{Batch, Local};
use onward::model::{Act, Chance, Context, Graph, Norms, Weights};
use onward::noise::RunKey;
use onward::params::{Params, Tensor};
use onward::space::CoordinatePlan;
use onward::task::Wanted;

/// What a stage and all behind it read, in batches.
pub(crate) struct General(Vec<Held>);

struct Held {
    before: Vec<(usize, Act)>,
    wanted: Wanted,
    rows: usize,
    chance: Chance,
}

impl General {
    pub fn new<'a>(
        local: &Local,
        graph: &Graph,
        params: &Params,
        norms: Norms<'_>,
        data: &Dataset,
        batches: impl Iterator<Item = &'a [u32]>,
        (key, plan): (&RunKey, &CoordinatePlan),
    ) -> Self {
        let weights = Weights::new(params, local.precision());
        let one = |rows: &[u32]| {
            let Batch { x, targets, columns, ids } = Batch::select(data, rows);
            let chance = Chance::Step { key: *key, step: plan.cycle, ids };
            let mut cx = Context::clean(&weights, norms).with_chance(chance.clone());
            let wanted = Wanted { targets, columns };
            Held { rows: x.rows(), before: graph.before(plan.stage, &mut cx, x), wanted, chance }
        };
        Self(batches.map(one).collect())
    }

    /// The outputs on a batch for each value of an element, `[world][row]`.
    pub fn outputs(
        &self,
        local: &Local,
        graph: &Graph,
        tensors: &[Tensor],
        plan: &CoordinatePlan,
        [batch, element]: [usize; 2],
        values: &[f32],
    ) -> (Act, Wanted, usize) {
        let Held { before, wanted, rows, chance } = &self.0[batch % self.0.len()];
        let (mut all, mut shape) = (Vec::new(), [1, 1, 0]);
        for value in values {
            let with = |(i, t): (usize, &Tensor)| {
                let mut t = t.clone();
                if i == plan.tensor {
                    t.data.floats_mut()[element] = *value;
                }
                t
            };
            let params = Params::from_tensors(tensors.iter().enumerate().map(with).collect());
            let weights = Weights::new(&params, local.precision());
            let mut cx = Context::clean(&weights, Norms::Batch).with_chance(chance.clone());
            let y = graph.forward_again(plan.stage, &mut cx, before);
            shape = y.shape();
            all.extend_from_slice(y.data());
        }
        (Act::new(values.len() * rows, shape, all), wanted.clone(), *rows)
    }
}
