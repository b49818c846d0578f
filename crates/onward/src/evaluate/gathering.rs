//! One answer from many workers, whose parts come late, twice, in any order, or never.

use super::Quorum;
use crate::ask::{Answer, Ask, AskId, ProbePlan, Told};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A part of an answer: the losses of some of the members that an [`Ask`] asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnswerPart {
    /// The question.
    pub to: AskId,
    /// The index of the first member in the question.
    pub first: u64,
    /// The losses of the members, finite or not.
    pub losses: Vec<f32>,
}

/// Collects the parts of one answer, in any order.
#[derive(Clone, Debug)]
pub struct Gathering {
    to: AskId,
    losses: Vec<Option<f32>>,
}

impl Gathering {
    /// Starts collecting the answer to `ask`; `candidates` is the number of points that the state has.
    ///
    /// # Errors
    /// [`ErrorKind::Evaluator`] if the question is not for losses, which alone come in parts.
    pub fn new(ask: &Ask, candidates: usize) -> Result<Self> {
        let count = ask.losses(candidates).ok_or_else(|| {
            let place = format!("question of step {}", ask.id.step);
            Error::expected(ErrorKind::Evaluator, place, "one for losses", "another kind")
        })?;
        Ok(Self { to: ask.id, losses: vec![None; count] })
    }

    /// Takes a part and returns how many of its losses were new: none if it came before, or is for a question that the run has left behind.
    ///
    /// # Errors
    /// [`ErrorKind::Evaluator`] if it is for another run or a question to come, is of members that were not asked for, or tells another
    /// loss of a member than was told before; nothing of it is then taken.
    pub fn add(&mut self, part: &AnswerPart) -> Result<usize> {
        let bad = |expected: String, found: String| {
            let place = format!("part of the answer to step {}", self.to.step);
            Err(Error::expected(ErrorKind::Evaluator, place, expected, found))
        };
        if part.to.run != self.to.run {
            return bad("one of the same run".into(), "one of another".into());
        }
        let at = |id: AskId| (id.step, id.part);
        if at(part.to) < at(self.to) {
            return Ok(0);
        }
        if at(part.to) > at(self.to) {
            return bad("one to a question that was asked".into(), format!("one to step {}", part.to.step));
        }
        let first = usize::try_from(part.first).unwrap_or(usize::MAX);
        let end = first.saturating_add(part.losses.len());
        let Some(own) = self.losses.get_mut(first..end) else {
            return bad(format!("members below {}", self.losses.len()), format!("members {first} to {end}"));
        };
        // By their bits: what is not a number is told twice alike as well.
        let other = |(own, new): (&Option<f32>, &f32)| own.is_some_and(|own| own.to_bits() != new.to_bits());
        if let Some(place) = own.iter().zip(&part.losses).position(other) {
            let (told, new) = (own[place].unwrap_or(f32::NAN), part.losses[place]);
            let expected = format!("the loss {told} of member {} again", first + place);
            return bad(expected, format!("{new}"));
        }
        let mut fresh = 0;
        for (own, new) in own.iter_mut().zip(&part.losses) {
            fresh += usize::from(own.replace(*new).is_none());
        }
        Ok(fresh)
    }

    /// Members whose losses have not come yet.
    pub fn missing(&self) -> Vec<Range<usize>> {
        let mut all: Vec<Range<usize>> = Vec::new();
        for i in (0..self.losses.len()).filter(|i| self.losses[*i].is_none()) {
            match all.last_mut() {
                Some(last) if last.end == i => last.end = i + 1,
                _ => all.push(i..i + 1),
            }
        }
        all
    }

    /// Whether enough losses are there.
    pub fn is_enough(&self, enough: Quorum) -> bool {
        let there = self.losses.iter().flatten().count();
        match enough {
            Quorum::All => there == self.losses.len(),
            Quorum::AtLeast(count) => there >= count.min(self.losses.len()),
        }
    }

    /// The answer with the losses that have come so far.
    pub fn answer(self) -> Answer {
        Answer { to: self.to, told: Told::Losses(self.losses) }
    }
}

impl Ask {
    /// The question cut down to some of its directions, to be sent to a worker; an [`AnswerPart`] of its answer has the same name. `None` if the
    /// question is not for members.
    pub fn of_directions(&self, directions: Range<u32>) -> Option<Self> {
        let ProbePlan::Members(plan) = self.probes else { return None };
        let first = plan.first + directions.start;
        let part = crate::ask::MemberPlan { first, directions: directions.len() as u32, ..plan };
        Some(Self { probes: ProbePlan::Members(part), ..self.clone() })
    }
}
