//! Whether model, params, data and plans fit together: asked before anything is worked out, where they first meet.

use super::{Batch, Local};
use crate::ask::{MOST_MEMBERS, MOST_RANK, WeightPlan, check_sigma, misfit};
use crate::dataset::Dataset;
use crate::model::{Act, Graph, WeightSpace};
use crate::params::Params;
use crate::rows::Source;
use crate::space::{ActivationPlan, Focus, TwinPlan};
use crate::task::Answers;
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
        check_sigma(&self.scales)?;
        check_sigma(&[self.sigma])
    }
}

impl ActivationPlan {
    pub(super) fn check(&self, graph: &Graph, rows: usize) -> Result<()> {
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
            if layer.stage >= graph.stages() {
                return Err(misfit("layers", format!("stages in 0..{}", graph.stages()), layer.stage));
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

impl TwinPlan {
    pub(super) fn check(&self, graph: &Graph) -> Result<()> {
        self.local.check(graph)?;
        if self.lengths.is_empty() || self.lengths.contains(&0) {
            return Err(misfit(
                "lengths",
                "at least one number, each at least 1",
                format!("{:?}", self.lengths),
            ));
        }
        Ok(())
    }
}

/// Graphs that are kept, of the shapes that were asked for last.
const MOST_GRAPHS: usize = 64;

impl Local {
    /// The model's graph for inputs of this shape.
    ///
    /// # Errors
    /// As for [`Graph::new`].
    pub fn graph(&self, shape: [usize; 3]) -> Result<Arc<Graph>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, graph)) = known().iter().find(|(of, _)| *of == shape) {
            return Ok(Arc::clone(graph));
        }
        let graph = Arc::new(Graph::new(&*self.model, shape)?);
        let mut all = known();
        if all.len() == MOST_GRAPHS {
            all.remove(0);
        }
        all.push((shape, Arc::clone(&graph)));
        Ok(graph)
    }

    /// The same for rows `x` and params, which have to be the model's.
    pub(super) fn fitting(&self, params: &Params, x: &Act) -> Result<Arc<Graph>> {
        if x.rows == 0 {
            return Err(Error::expected(ErrorKind::Data, "rows", "at least one", 0));
        }
        let graph = self.graph(x.shape)?;
        graph.check_params(params)?;
        graph.check_input(&x.data)?;
        Ok(graph)
    }

    /// The graph for a batch that can be evaluated at `params`.
    pub(super) fn meets(&self, params: &Params, batch: &Batch) -> Result<Arc<Graph>> {
        let graph = self.fitting(params, &batch.x)?;
        self.check_answers(batch.x.rows, graph.outputs(), batch.answers())?;
        Ok(graph)
    }

    /// The graph for rows of `source`, which the model can be trained or scored on; of one that lies elsewhere the first row is looked at.
    ///
    /// # Errors
    /// As for [`Local::check_data`], and those of [`Source::read`]; [`ErrorKind::Model`] if rows end before others do and the model normalises
    /// over them.
    pub(crate) fn check_source(&self, source: &dyn Source) -> Result<Arc<Graph>> {
        let graph = match source.resident() {
            Some(data) => self.check_data(data),
            None => self.check_rows(source.first(1)?.data()),
        }?;
        if let Some((layer, _)) = graph.norms().next().filter(|_| source.schema().is_ragged()) {
            let expected = "no batch normalisation, which would count what stands behind the ends of rows";
            return Err(Error::expected(
                ErrorKind::Model,
                "model",
                expected,
                format!("the normalisation {layer}"),
            ));
        }
        Ok(graph)
    }

    /// The model's graph for `data`, after a check that the model can be trained or scored on it.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] or [`ErrorKind::Data`] naming what does not fit.
    pub fn check_data(&self, data: &Dataset) -> Result<Arc<Graph>> {
        let graph = self.check_rows(data)?;
        data.columns().check_counted()?;
        self.task.check_all(Answers::all(data.targets(), data.columns()))?;
        Ok(graph)
    }

    fn check_rows(&self, data: &Dataset) -> Result<Arc<Graph>> {
        let graph = self.graph(data.shape())?;
        let answers = Answers::all(data.targets(), data.columns());
        self.check_answers(data.rows(), graph.outputs(), answers)?;
        graph.check_input(data.features())?;
        Ok(graph)
    }

    pub(super) fn check_answers(&self, rows: usize, outputs: usize, answers: Answers<'_>) -> Result<()> {
        let found = answers.targets.rows();
        if found != rows || rows == 0 {
            let expected = format!("one for each of {rows} rows (at least one)");
            return Err(Error::expected(ErrorKind::Data, "targets", expected, found));
        }
        answers.columns.check(rows)?;
        self.task.check(outputs, answers)
    }
}
