//! Batches whose rows go through the net a few at a time, to the bits that all at once give: rows know nothing of each other, and
//! what is summed over them is summed in their order.

use super::{Batch, Local};
use crate::ask::{Ask, ProbePlan, WeightPlan};
use crate::dataset::{Columns, Targets};
use crate::ledger::State;
use crate::model::{Act, Graph};
use crate::task::{Answers, Grain};
use crate::threads::prelude::*;
use crate::{Error, ErrorKind, Result};

/// What the rows of one piece tell of a member.
enum Part {
    /// The losses of rows.
    Losses(Vec<f32>),
    /// What the model answers, where only the whole batch has a loss.
    Outputs(Vec<f32>),
}

/// What the pieces so far tell of a member.
enum Found {
    Nothing,
    /// The sum of the rows' losses.
    Sum(f64),
    Outputs(Vec<f32>),
    /// A loss that the task cannot tell: neither is the mean.
    Unknown,
}

impl Found {
    fn add(self, part: Option<Part>) -> Self {
        match (self, part) {
            (Self::Unknown, _) | (_, None) => Self::Unknown,
            // As a mean begins: with what an empty sum is.
            (Self::Nothing, Some(Part::Losses(losses))) => {
                Self::Sum(losses.iter().map(|l| f64::from(*l)).sum())
            }
            (Self::Sum(sum), Some(Part::Losses(losses))) => {
                Self::Sum(losses.iter().fold(sum, |sum, loss| sum + f64::from(*loss)))
            }
            (Self::Outputs(mut all), Some(Part::Outputs(more))) => {
                all.extend(more);
                Self::Outputs(all)
            }
            (_, Some(Part::Outputs(all))) => Self::Outputs(all),
            (Self::Outputs(_), Some(Part::Losses(_))) => Self::Unknown,
        }
    }
}

/// The rows of a batch without their features.
struct Seen {
    targets: Targets,
    columns: Columns,
    ids: Vec<u64>,
}

impl Seen {
    fn joined(before: Option<Self>, Batch { targets, columns, ids, .. }: Batch) -> Result<Self> {
        let Some(before) = before else { return Ok(Self { targets, columns, ids: ids.to_vec() }) };
        Ok(Self {
            targets: before.targets.joined(&targets)?,
            columns: before.columns.joined(&columns)?,
            ids: [&before.ids, &ids[..]].concat(),
        })
    }

    fn answers(&self) -> Answers<'_> {
        Answers { ids: Some(&self.ids), ..Answers::all(&self.targets, &self.columns) }
    }
}

impl Local {
    /// The losses that `ask` asks for on a batch that comes in pieces: those that it has in one.
    ///
    /// # Errors
    /// As for [`Local::losses`] and those of the pieces; [`ErrorKind::Spec`] if the question is about more than losses on whole batches.
    pub(super) fn losses_of_pieces(
        &self,
        ask: &Ask,
        state: &State,
        pieces: impl Iterator<Item = Result<Batch>>,
    ) -> Result<Vec<Option<f32>>> {
        let (step, points) = (ask.id.step as u32, state.candidates().unwrap_or_default());
        let plan = match &ask.probes {
            ProbePlan::Members(plan) if plan.share == 0 => {
                Some(plan.at(step)?.scaled(state.streams().scales()))
            }
            ProbePlan::Points => None,
            _ => return Err(not_whole()),
        };
        let (mut all, mut seen, mut graph) = (Vec::<Found>::new(), None, None);
        for piece in pieces {
            let piece = piece?;
            let own = self.meets(state.params(), &piece)?;
            let parts = self.parts(&own, state, &piece, step, plan.as_ref(), &points)?;
            all.resize_with(parts.len(), || Found::Nothing);
            all = all.into_iter().zip(parts).map(|(found, part)| found.add(part)).collect();
            seen = Some(Seen::joined(seen, piece)?);
            graph = Some(own);
        }
        let (Some(seen), Some(graph)) = (seen, graph) else { return Err(no_rows()) };
        self.check_answers(seen.ids.len(), graph.outputs(), seen.answers())?;
        Ok(self.run(|| all.par_chunks(1).map(|found| self.known(&found[0], &graph, &seen)).collect()))
    }

    /// What one piece tells of every member.
    fn parts(
        &self,
        graph: &Graph,
        state: &State,
        piece: &Batch,
        step: u32,
        plan: Option<&WeightPlan>,
        points: &[f64],
    ) -> Result<Vec<Option<Part>>> {
        let (key, params) = (state.key(), state.params());
        let see = |outputs: &Act, answers: Answers<'_>| self.part(outputs, answers);
        if let Some(plan) = plan {
            plan.check(piece.x.rows)?;
            return Ok(self.run(|| self.told_by_members(graph, key, params, piece, plan, &see)));
        }
        self.check_points(params, points)?;
        Ok(self.told_at_points(graph, params, piece, points, &piece.chance(key, step), &see))
    }

    fn part(&self, outputs: &Act, answers: Answers<'_>) -> Option<Part> {
        if self.task.grain() == Grain::Batch {
            return Some(Part::Outputs(outputs.data().to_vec()));
        }
        let mut losses = vec![0.0; outputs.rows()];
        self.task.of_rows(outputs, answers, &mut losses).ok().map(|()| Part::Losses(losses))
    }

    /// The loss of the whole batch.
    fn known(&self, found: &Found, graph: &Graph, seen: &Seen) -> Option<f32> {
        match found {
            Found::Sum(sum) => Some((sum / seen.ids.len() as f64) as f32),
            Found::Outputs(all) => {
                let outputs = Act::new(seen.ids.len(), graph.answer(), all.clone());
                self.known_loss(&outputs, seen.answers())
            }
            Found::Nothing | Found::Unknown => None,
        }
    }
}

/// A question about more than the losses of a whole batch.
fn not_whole() -> Error {
    Error::expected(
        ErrorKind::Spec,
        "train.piece",
        "losses of whole batches to be asked for",
        "another question",
    )
}

fn no_rows() -> Error {
    Error::expected(ErrorKind::Data, "rows", "at least one", 0)
}
