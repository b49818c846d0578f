//! Long rows in pieces: passes over some items that go on from all before.

use super::Local;
use crate::ask::WeightPlan;
use crate::model::{Act, Carried, Context, Norms, Probe, WeightSpace};
use crate::noise::RunKey;
use crate::params::Params;
use crate::{Error, ErrorKind, Result};

impl Local {
    /// The model's outputs on `x`, items of rows that go on from what is `carried` (`Carried::default()` before the first) and become part of
    /// it. Keys and values are added to those before, in place, so a step of one item costs what this item needs. Long rows give the same
    /// bits in pieces as at once.
    ///
    /// ```
    /// # use onward::evaluate::Local;
    /// # use onward::model::{Act, Carried, Norms};
    /// # use onward::params::Params;
    /// /// The last number of each step, given back as the next one.
    /// fn go_on(local: &Local, params: &Params, start: Act, steps: usize) -> onward::Result<Vec<f32>> {
    ///     let (mut carried, mut x, mut all) = (Carried::default(), start, Vec::new());
    ///     for _ in 0..steps {
    ///         let y = local.outputs_carrying(params, x, Norms::Batch, &mut carried)?;
    ///         let next = y.data().last().copied().unwrap_or_default();
    ///         all.push(next);
    ///         x = Act::new(1, [1, 1, 1], vec![next]);
    ///     }
    ///     Ok(all)
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`Local::outputs`]; [`ErrorKind::Model`] if an operation looks at items to come, as attention that is not causal does, or if
    /// what is carried is of other rows or another model. An operation of one's own ([`crate::model::RowOp`]) is taken at its word.
    pub fn outputs_carrying(
        &self,
        params: &Params,
        x: Act,
        norms: Norms<'_>,
        carried: &mut Carried,
    ) -> Result<Act> {
        let graph = self.fitting(params, &x)?;
        graph.check_norms(norms)?;
        self.run(|| {
            let weights = self.packed(params);
            graph.forward_carrying(&mut Context::clean(&weights, norms), x, carried)
        })
    }

    /// The outputs of all members of `plan`, one member's rows after the other's, going on as in [`Local::outputs_carrying`]. The first rows
    /// are seen by all members; later ones too, or they are each member's own: as many times as many, in the order of outputs.
    ///
    /// # Errors
    /// As for [`Local::outputs_carrying`] and [`Local::losses`]; [`ErrorKind::Spec`] if members are to see shares of the rows.
    pub fn outputs_of_members_carrying(
        &self,
        key: &RunKey,
        params: &Params,
        x: Act,
        plan: &WeightPlan,
        carried: &mut Carried,
    ) -> Result<Act> {
        let graph = self.fitting(params, &x)?;
        plan.check(x.rows)?;
        if plan.share != 0 {
            let expected = "0: what is carried is of rows that all members see";
            return Err(Error::expected(ErrorKind::Spec, "share", expected, plan.share));
        }
        let keys = plan.keys(key, params, &graph);
        let WeightPlan { space, sigma, step, members, .. } = plan;
        let probe = Probe { keys: &keys, members, space: *space, sigma: *sigma, step: *step };
        let rows = if carried.own_rows() == 0 { x.rows } else { carried.own_rows() };
        self.run(|| {
            let weights = match space {
                WeightSpace::Dense { .. } => self.for_dense(params, &keys),
                WeightSpace::LowRank { .. } | WeightSpace::Coordinate => self.packed(params),
            };
            let mut cx = Context::probing(&weights, Norms::Batch, probe, rows);
            graph.forward_carrying(&mut cx, x, carried)
        })
    }
}
