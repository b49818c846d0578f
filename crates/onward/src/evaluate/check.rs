//! Whether model, params, data and plans fit together: asked before anything is worked out, where they first meet.

use super::{Batch, Local};
use crate::ask::{MOST_MEMBERS, MOST_RANK, WeightPlan, check_sigma, misfit};
use crate::dataset::{Dataset, Targets};
use crate::ledger::ModelDigest;
use crate::model::{Act, Map, Model, Outline, WeightSpace};
use crate::params::Params;
use crate::space::{ActivationPlan, CoordinatePlan, Focus};
use crate::{Error, ErrorKind, Result};
use std::sync::{Arc, PoisonError};

impl WeightPlan {
    pub(super) fn check(&self, rows: usize) -> Result<()> {
        if self.members.is_empty() || self.members.len() > MOST_MEMBERS as usize {
            return Err(misfit("members", format!("1 to {MOST_MEMBERS}"), self.members.len()));
        }
        if !(1..=MOST_MEMBERS as usize).contains(&self.together) {
            return Err(misfit("together", format!("1 to {MOST_MEMBERS}"), self.together));
        }
        if self.share > rows {
            return Err(misfit("share", format!("at most the batch of {rows}"), self.share));
        }
        match self.space {
            WeightSpace::LowRank { rank, .. } if !(1..=MOST_RANK).contains(&rank) => {
                return Err(misfit("rank", format!("1 to {MOST_RANK}"), rank));
            }
            WeightSpace::Coordinate => {
                return Err(misfit("space", "dense or low-rank noise", "one weight at a time"));
            }
            _ => {}
        }
        check_sigma(&[self.sigma])
    }
}

impl ActivationPlan {
    pub(super) fn check(&self, model: &dyn Model, rows: usize) -> Result<()> {
        if let Some(Focus { rows: chosen, weights }) = &self.focus {
            let ascending = chosen.windows(2).all(|w| w[0] < w[1]);
            let inside = chosen.last().is_some_and(|last| (*last as usize) < rows);
            if !(ascending
                && inside
                && weights.len() == chosen.len()
                && weights.iter().all(|w| w.is_finite()))
            {
                let expected = format!("ascending rows below {rows}, each with a weight");
                return Err(misfit("focus", expected, "others"));
            }
        }
        for layer in &self.layers {
            if layer.stage >= model.stages() {
                return Err(misfit("layers", format!("stages in 0..{}", model.stages()), layer.stage));
            }
            // Each sample's noise has a number of its own.
            if layer.pairs == 0 || rows as u64 * u64::from(layer.pairs) > u64::from(u32::MAX) {
                let expected = format!("at least 1, and below 2^32 with all {rows} samples");
                return Err(misfit("directions", expected, layer.pairs));
            }
            check_sigma(&[layer.sigma])?;
        }
        Ok(())
    }
}

impl CoordinatePlan {
    pub(super) fn check(&self, outline: &Outline) -> Result<()> {
        let stage = outline.maps.get(self.stage);
        let own = |m: &Map| m.weight == self.tensor || m.bias == Some(self.tensor);
        if !stage.is_some_and(|maps| maps.iter().any(own)) {
            let found = format!("tensor {} of stage {}", self.tensor, self.stage);
            return Err(misfit("tensor", "one that the visited stage asks for", found));
        }
        let size: usize = outline.specs[self.tensor].shape.iter().product();
        if self.elements.is_empty() || self.elements.end > size {
            return Err(misfit("elements", format!("some of 0..{size}"), format!("{:?}", self.elements)));
        }
        if self.hold == 0 || self.batch == 0 {
            return Err(misfit("hold", "visits and samples, at least 1 each", 0));
        }
        if !self.keep.is_finite() {
            return Err(misfit("decay", "a number", self.keep));
        }
        check_sigma(&[self.sigma])
    }
}

/// One row of the data: what a model's input looks like.
pub(super) fn row_of(data: &Dataset) -> Act {
    Act::new(1, data.shape(), data.row(0).to_vec())
}

impl Local {
    /// What the model does with inputs of this shape.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the stage or tensor where what it declares and what it does differ.
    pub(crate) fn outline(&self, shape: [usize; 3]) -> Result<Arc<Outline>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, outline)) = &*known()
            && *of == shape
        {
            return Ok(Arc::clone(outline));
        }
        let outline = Arc::new(Outline::of(&*self.model, shape)?);
        *known() = Some((shape, Arc::clone(&outline)));
        Ok(outline)
    }

    /// A digest of what the model does with inputs of this shape, for the ledger's header: of its tensors, stages and operations, as far
    /// as it tells them. That of two models differs wherever their [`Model::operations`] do.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the stage or tensor where what the model declares and what it does differ.
    pub fn digest(&self, shape: [usize; 3]) -> Result<ModelDigest> {
        Ok(ModelDigest::Outline(self.outline(shape)?.digest(&*self.model, shape)))
    }

    /// The outline for rows `x` and params, which have to be the model's.
    pub(super) fn fitting(&self, params: &Params, x: &Act) -> Result<Arc<Outline>> {
        if x.rows == 0 {
            return Err(Error::expected(ErrorKind::Data, "rows", "at least one", 0));
        }
        let outline = self.outline(x.shape)?;
        outline.check_params(params)?;
        Ok(outline)
    }

    /// That a batch can be evaluated at `params`.
    pub(super) fn meets(&self, params: &Params, batch: &Batch) -> Result<()> {
        let outline = self.fitting(params, &batch.x)?;
        self.check_targets(batch.x.rows, outline.outputs, &batch.targets)
    }

    /// That the model can be trained or scored on `data`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] or [`ErrorKind::Data`] naming what does not fit.
    pub(crate) fn check_data(&self, data: &Dataset) -> Result<()> {
        let outline = self.outline(data.shape())?;
        self.check_targets(data.rows(), outline.outputs, data.targets())
    }

    pub(super) fn check_targets(&self, rows: usize, outputs: usize, targets: &Targets) -> Result<()> {
        if targets.rows() != rows || rows == 0 {
            let expected = format!("one for each of {rows} rows (at least one)");
            return Err(Error::expected(ErrorKind::Data, "targets", expected, targets.rows()));
        }
        self.objective.check(outputs, targets)
    }
}
