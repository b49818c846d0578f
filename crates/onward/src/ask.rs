//! What a run asks in each step, and what it is told: small values that can be sent anywhere.
//!
//! An [`Ask`], the ledger's header and its entries so far are all that an evaluator needs to know; it answers with losses (or what
//! follows from losses where they are too many), never with params.

mod augment;
mod order;
mod plan;
mod queries;

pub use augment::Augment;
pub use order::{Order, Shuffle};
pub(crate) use plan::{MOST_MEMBERS, MOST_RANK, check_sigma, misfit, whole_passes};
pub use plan::{MemberPlan, Signs, Spent, WeightPlan};
pub use queries::Queries;

use crate::space::{
    ActivationPlan, Choices, CoordinatePlan, Derivative, LocalPlan, OnlinePlan, Streams, TwinPlan,
};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The identity of one question of one run, so that no answer is taken for that to another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskId {
    /// The run, as [`crate::ledger::Header::run`] names it.
    pub run: [u8; 32],
    /// The step, counted from 0.
    pub step: u64,
    /// The number of the question within its step, counted from 0.
    pub part: u32,
}

/// One question of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// The identity of the question.
    pub id: AskId,
    /// Samples of the step's batch; which ones they are follows from the run's key and the step ([`Order`]).
    pub batch: u64,
    /// The evaluations that the question asks for.
    pub probes: ProbePlan,
}

/// A question for a step of one, worked out with integers alone, of the weights whose evidence is significant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegerPlan {
    /// Sixteen times the square of the normal quantile that the evidence is tested by.
    pub threshold: u64,
    /// Scores count for about two to the power of so many steps.
    pub memory: u32,
}

/// The evaluations that a question asks for, at the params after all entries so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ProbePlan {
    /// Losses of the batch with noise on the weights, one per member.
    Members(MemberPlan),
    /// Losses of the batch at a search's candidates, which follow from the state.
    Points,
    /// The derivative of the batch's mean loss by the params of some stages, estimated at their outputs.
    Sites(ActivationPlan),
    /// Visits to one number after the other, each seeing what the ones before it left.
    Visits(CoordinatePlan),
    /// The derivative of the batch's mean loss by the params of some stages, from local credit at their outputs.
    Local(LocalPlan),
    /// The same for the next rows of streams, whose states go on, with credit for what earlier steps did to these.
    Online(OnlinePlan),
    /// The derivative for the next rows of streams, from what noise did to twins of their states.
    Twins(TwinPlan),
    /// What each weight of a net of whole numbers is to move by, and what is then known about it.
    Integers(IntegerPlan),
}

/// The result of an evaluator's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// Answers [`ProbePlan::Members`] and [`ProbePlan::Points`]: the mean loss of each, in their order, finite or not; `None` if it never
    /// came.
    Losses(Vec<Option<f32>>),
    /// Answers [`ProbePlan::Sites`], [`ProbePlan::Local`], [`ProbePlan::Online`], [`ProbePlan::Twins`] and [`ProbePlan::Integers`].
    Response(Response),
    /// Answers [`ProbePlan::Visits`].
    Choices(Choices),
}

/// The estimate from probes at the sites of stages, or from local credit there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The clean mean loss of the batch.
    pub loss: f32,
    /// The estimated derivative of that loss.
    pub derivative: Derivative,
    /// The norm of each sample's derivative at the output of the last stage, where the plan asks for it; else empty.
    pub norms: Vec<f64>,
    /// What a pair of probes costs at each of a plan's layers, in their order: how far the mean of its two losses lies above that without noise. Empty where no layers
    /// were probed.
    pub costs: Vec<f64>,
    /// Losses that were not finite; those of the clean pass count in the step's first question alone.
    pub non_finite: u64,
    /// Whole numbers that did not fit and were held at the end of their range.
    #[serde(default)]
    pub saturated: u64,
    /// What streams hand on to the next step; nothing where rows stand alone.
    pub streams: Streams,
}

/// An answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question that this answers.
    pub to: AskId,
    /// The result of an evaluator's work.
    pub told: Told,
}

impl Ask {
    /// How many losses an answer has, if it is losses; `candidates` are those of the state.
    pub(crate) fn losses(&self, candidates: usize) -> Option<usize> {
        match &self.probes {
            ProbePlan::Members(plan) => Some(plan.members()),
            ProbePlan::Points => Some(candidates),
            ProbePlan::Sites(_)
            | ProbePlan::Visits(_)
            | ProbePlan::Local(_)
            | ProbePlan::Online(_)
            | ProbePlan::Twins(_)
            | ProbePlan::Integers(_) => None,
        }
    }

    /// Takes an answer for one to this question; `candidates` are how many points the state has.
    ///
    /// # Errors
    /// [`ErrorKind::Evaluator`] if it is for another run, step or question, of another kind, or has too few or too many losses.
    pub fn accept(&self, answer: Answer, candidates: usize) -> Result<Told> {
        let place = || format!("answer to step {}", self.id.step);
        let bad = |expected: String, found: String| {
            Err(Error::expected(ErrorKind::Evaluator, place(), expected, found))
        };
        let (want, to) = (self.id, answer.to);
        if to.run != want.run {
            return bad(format!("one of run {}", short(&want.run)), format!("one of run {}", short(&to.run)));
        }
        if (to.step, to.part) != (want.step, want.part) {
            let named = |id: AskId| format!("question {} of step {}", id.part, id.step);
            return bad(format!("one to {}", named(want)), format!("one to {}", named(to)));
        }
        match (&answer.told, &self.probes) {
            (Told::Losses(losses), ProbePlan::Members(_) | ProbePlan::Points) => {
                let count = self.losses(candidates).unwrap_or_default();
                if losses.len() != count {
                    return bad(format!("{count} losses"), format!("{}", losses.len()));
                }
            }
            (
                Told::Response(response),
                ProbePlan::Sites(_)
                | ProbePlan::Local(_)
                | ProbePlan::Online(_)
                | ProbePlan::Twins(_)
                | ProbePlan::Integers(_),
            ) => {
                let norms = match &self.probes {
                    ProbePlan::Sites(plan) if plan.norms => self.batch as usize,
                    _ => 0,
                };
                if response.norms.len() != norms {
                    return bad(format!("{norms} norms"), format!("{}", response.norms.len()));
                }
                let costs = if let ProbePlan::Sites(plan) = &self.probes { plan.layers.len() } else { 0 };
                if response.costs.len() != costs {
                    return bad(format!("{costs} costs"), format!("{}", response.costs.len()));
                }
            }
            (Told::Choices(found), ProbePlan::Visits(plan)) => {
                if found.choices.len() != plan.elements.len() {
                    let expected = format!("{} choices", plan.elements.len());
                    return bad(expected, format!("{}", found.choices.len()));
                }
            }
            (told, _) => return bad("an answer of the question's kind".into(), told.kind().into()),
        }
        Ok(answer.told)
    }
}

impl Told {
    fn kind(&self) -> &'static str {
        match self {
            Self::Losses(_) => "losses",
            Self::Response(_) => "a derivative",
            Self::Choices(_) => "choices",
        }
    }
}

fn short(run: &[u8; 32]) -> String {
    run[..4].iter().map(|b| format!("{b:02x}")).collect()
}
