//! Visits to models that are no chain of known operations: everything from the visited stage on is run again.

use crate::dataset::{Dataset, Targets};
use crate::evaluate::{Batch, Local};
use crate::model::{Act, Context, Norms, Weights};
use crate::params::{Params, Tensor};
use crate::space::CoordinatePlan;

/// The activations that enter a stage, in batches.
pub(super) struct General(Vec<Batch>);

impl General {
    pub fn new<'a>(
        local: &Local,
        params: &Params,
        norms: Norms<'_>,
        data: &Dataset,
        batches: impl Iterator<Item = &'a [u32]>,
        stage: usize,
    ) -> Self {
        let weights = Weights::new(params, local.precision);
        let one = |rows: &[u32]| {
            let Batch { x, targets } = Batch::select(data, rows);
            let mut cx = Context::clean(&weights, norms);
            Batch { x: (0..stage).fold(x, |x, s| local.model.stage(s, &mut cx, x)), targets }
        };
        Self(batches.map(one).collect())
    }

    /// The outputs for each value of the element, `[world][row]`.
    pub fn outputs(
        &self,
        local: &Local,
        params: &Params,
        plan: &CoordinatePlan,
        batch: usize,
        element: usize,
        values: &[f32],
    ) -> (Act, Targets, usize) {
        let Batch { x, targets } = &self.0[batch % self.0.len()];
        let (mut all, mut shape) = (Vec::new(), [1, 1, 0]);
        for value in values {
            let with = |(i, t): (usize, &Tensor)| {
                let mut t = t.clone();
                if i == plan.tensor {
                    t.data[element] = *value;
                }
                t
            };
            let params = Params::from_tensors(params.tensors().iter().enumerate().map(with).collect());
            let weights = Weights::new(&params, local.precision);
            let mut cx = Context::clean(&weights, Norms::Batch);
            let y = local.model.forward_from(plan.stage, &mut cx, x.clone());
            shape = y.shape;
            all.extend_from_slice(&y.data);
        }
        (Act::new(values.len() * x.rows, shape, all), targets.clone(), x.rows)
    }
}
