//! Probes on weights, what probes cost, and the bounds that all plans keep.

use crate::model::{Graph, Member, TensorKeys, WeightSpace};
use crate::noise::RunKey;
use crate::params::Params;
use crate::space::{
    ActivationPlan, Influence, LayerSpace, LocalPlan, OnlinePlan, Samples, TwinNoise, TwinPlan,
};
use crate::{Error, ErrorKind, Place, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// Members of a step at most, twice as many as directions: with more, sums of integers could not be exact.
pub(crate) const MOST_MEMBERS: u32 = 1 << 22;
/// Outer products of a matrix's noise at most.
pub(crate) const MOST_RANK: u32 = 1 << 16;

/// An error about a key of `[method]`.
pub(crate) fn misfit(key: &str, expected: impl Display, found: impl Display) -> Error {
    Error::expected(ErrorKind::Spec, Place::key("method", key), expected, found)
}

/// Refuses perturbations that no difference can be divided by.
pub(crate) fn check_sigma(all: &[f32]) -> Result<()> {
    let bad = all.iter().find(|s| !(s.is_finite() && **s > 0.0));
    bad.map_or(Ok(()), |s| Err(misfit("sigma", "a positive number", s)))
}

/// The cost of training so far, counted exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Forward passes: evaluations of a whole batch or of a member's share of it, from any stage on.
    pub passes: u64,
    /// Samples that went through these passes.
    pub samples: u64,
    /// Floating-point operations of these passes.
    pub flops: u64,
    /// Losses that were not finite.
    pub non_finite: u64,
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.passes += other.passes;
        self.samples += other.samples;
        self.flops += other.flops;
        self.non_finite += other.non_finite;
    }
}

/// The signs that each direction is evaluated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signs {
    /// Both signs, one after the other: members `2i` and `2i + 1` are `+zᵢ` and `−zᵢ`.
    Both,
    /// The plus sign alone: member `i` is `+zᵢ`.
    Plus,
}

impl Signs {
    /// The number of members per direction.
    pub fn count(self) -> usize {
        match self {
            Self::Both => 2,
            Self::Plus => 1,
        }
    }
}

/// Probes on the weights, named by their number: direction `i` is the noise of member `i` at the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberPlan {
    /// The space that the probes act in.
    pub space: WeightSpace,
    /// The size of the perturbation.
    pub sigma: f32,
    /// The number of the first direction.
    pub first: u32,
    /// The number of directions.
    pub directions: u32,
    /// The signs that each direction is evaluated with.
    pub signs: Signs,
    /// Samples of the batch that a direction sees; 0 for all.
    pub share: u32,
}

impl MemberPlan {
    /// The number of members.
    pub fn members(&self) -> usize {
        self.directions as usize * self.signs.count()
    }

    /// The plan with its members listed one by one.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if there are none, or more than there can be: a question may come from anywhere.
    pub fn at(&self, step: u32) -> Result<WeightPlan> {
        let (members, last) = (self.members(), self.first.checked_add(self.directions));
        let Some(last) = last.filter(|_| (1..=MOST_MEMBERS as usize).contains(&members)) else {
            let found = format!("{members} from {} on", self.first);
            return Err(misfit("members", format!("1 to {MOST_MEMBERS}, numbered below 2^32"), found));
        };
        let signs: &[f32] = if self.signs == Signs::Both { &[1.0, -1.0] } else { &[1.0] };
        let of = |index| signs.iter().map(move |sign| Member { index, sign: *sign });
        Ok(WeightPlan {
            step,
            space: self.space,
            sigma: self.sigma,
            members: (self.first..last).flat_map(of).collect(),
            together: self.signs.count(),
            share: self.share as usize,
            scales: Vec::new(),
        })
    }

    /// What running the plan on a batch of `rows` costs.
    pub fn cost(&self, graph: &Graph, rows: usize) -> Spent {
        let samples = if self.share == 0 { rows as u64 } else { u64::from(self.share) };
        whole_passes(graph, self.members() as u64, samples)
    }
}

/// Probes on the weights, member by member.
#[derive(Clone, Debug)]
pub struct WeightPlan {
    /// The step that names the noise.
    pub step: u32,
    /// The space that the probes act in.
    pub space: WeightSpace,
    /// The size of the perturbation.
    pub sigma: f32,
    /// The members, in order.
    pub members: Vec<Member>,
    /// How many neighbouring members see the same samples (2 for antithetic pairs).
    pub together: usize,
    /// Samples of the batch that a member sees; 0 for all.
    pub share: usize,
    /// What the size of the perturbation is multiplied by for each tensor; none for 1 everywhere.
    pub scales: Vec<f32>,
}

impl WeightPlan {
    /// The plan with scales that were learned for the tensors' perturbations.
    #[must_use]
    pub fn scaled(self, scales: &[f32]) -> Self {
        Self { scales: scales.to_vec(), ..self }
    }

    /// Each tensor's noise: none on those that never change.
    pub(crate) fn keys(&self, key: &RunKey, params: &Params, graph: &Graph) -> Vec<TensorKeys> {
        let mut all = TensorKeys::of_trained(key, params, graph);
        all.iter_mut().zip(&self.scales).for_each(|(keys, scale)| keys.scale = *scale);
        all
    }
}

/// What passes of so many samples each through all stages cost.
pub(crate) fn whole_passes(graph: &Graph, passes: u64, samples: u64) -> Spent {
    let samples = passes * samples;
    Spent { passes, samples, flops: samples * graph.flops(), non_finite: 0 }
}

impl ActivationPlan {
    /// What running the plan on a batch of `rows` costs, without the clean pass.
    pub fn cost(&self, graph: &Graph, rows: usize) -> Spent {
        let rows = self.focus.as_ref().map_or(rows, |f| f.rows.len()) as u64;
        let mut spent = Spent::default();
        for layer in &self.layers {
            let passes = 2 * u64::from(layer.pairs);
            let flops = match layer.space {
                LayerSpace::Activation => graph.flops_after(layer.stage),
                LayerSpace::LowRank => graph.flops_from(layer.stage),
            };
            let samples = passes * rows;
            spent += Spent { passes, samples, flops: samples * flops, non_finite: 0 };
        }
        spent
    }
}

impl LocalPlan {
    /// What the plan costs on a batch of `rows`, without the clean pass: each evaluation of an operation counts as a pass, of its own operations.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming an operation that credit cannot pass.
    pub fn cost(&self, graph: &Graph, rows: usize) -> Result<Spent> {
        let mut spent = Spent::default();
        if let Some(how) = self.differences {
            let draws = u64::from(how.draws);
            for place in how.places(graph, &self.stages) {
                let (samples, flops) = (draws * rows as u64, draws * rows as u64 * graph.flops_after(place));
                spent += Spent { passes: draws, samples, flops, non_finite: 0 };
            }
        }
        spent += self.cost_from(&[graph.output()], graph, rows, &self.stages, &[])?;
        Ok(spent)
    }

    fn cost_from(
        &self,
        from: &[usize],
        graph: &Graph,
        rows: usize,
        stages: &[usize],
        ends: &[usize],
    ) -> Result<Spent> {
        let known: Vec<usize> = match self.differences {
            Some(how) => {
                how.places(graph, &self.stages).into_iter().map(|place| graph.site_of(place)).collect()
            }
            None => Vec::new(),
        };
        let (leads, samples) = graph.leads_to(stages, ends, &known);
        let mut spent = Spent::default();
        for sample in samples.iter().copied() {
            let numbers: usize = graph.shape_of(sample).iter().product();
            let values = graph.sample(sample).map_or(0, |kind| kind.values());
            // What was drawn has the loss of the clean pass.
            let passes = match self.samples.at(graph, sample) {
                Samples::Swaps | Samples::Auto => (numbers * values.saturating_sub(1)) as u64,
                Samples::LeaveOneOut => u64::from(self.draws.saturating_sub(1)),
            };
            let rows = passes * rows as u64;
            spent +=
                Spent { passes, samples: rows, flops: rows * graph.flops_of_rest(sample), non_finite: 0 };
        }
        let mut reached = vec![false; graph.nodes()];
        from.iter().chain(&known).for_each(|node| reached[*node] = true);
        for node in (0..graph.nodes()).rev().filter(|node| !ends.contains(node)) {
            if samples.contains(&node) {
                reached[graph.chances(node)] = true;
                continue;
            }
            let down = graph.operands(node).iter().enumerate();
            let down = down.filter(|(_, from)| leads[**from] && !known.contains(from));
            for (operand, from) in down.filter(|_| reached[node]).collect::<Vec<_>>() {
                reached[*from] = true;
                let (passes, rows) = (graph.probes_of(node, operand)?, rows as u64);
                let (samples, flops) = (passes * rows, passes * rows * graph.flops_of(node));
                spent += Spent { passes, samples, flops, non_finite: 0 };
            }
        }
        Ok(spent)
    }
}

impl TwinPlan {
    /// What a step of so many streams costs, without the clean pass: that of the twins counts as one or two of all streams.
    ///
    /// # Errors
    /// As for [`OnlinePlan::cost`].
    pub fn cost(&self, graph: &Graph, streams: usize) -> Result<Spent> {
        let influence = Influence::new(graph, &self.local.stages, streams)?;
        let (begins, heads) = (graph.carry_nodes().0, self.local.stages.iter().copied());
        let heads: Vec<usize> = heads.filter(|stage| !influence.stages.contains(stage)).collect();
        let mut spent = self.local.cost_from(&[graph.output()], graph, streams, &heads, &begins)?;
        let twins = if self.place == TwinNoise::Sites { 1 } else { 2 };
        spent += whole_passes(graph, twins, streams as u64);
        Ok(spent)
    }
}

impl OnlinePlan {
    /// What a step of so many streams costs, without the clean pass: each evaluation of an operation counts as a pass, of its own operations.
    ///
    /// # Errors
    /// As for [`LocalPlan::cost`]; [`ErrorKind::Model`] if influence cannot pass the model.
    pub fn cost(&self, graph: &Graph, streams: usize) -> Result<Spent> {
        let stages = &self.local.stages;
        let influence = Influence::new(graph, stages, streams)?;
        let ((begins, ends), carried) = (graph.carry_nodes(), influence.carried);
        let mut spent = self.local.cost_from(&[graph.output()], graph, streams, stages, &begins)?;
        if !self.cut {
            spent += self.local.cost_from(&ends, graph, streams * carried, &influence.stages, &begins)?;
            spent.flops += 2 * (streams * carried * carried * influence.count) as u64;
        }
        Ok(spent)
    }
}
