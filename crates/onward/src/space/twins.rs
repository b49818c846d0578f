//! Twins: beside each stream's states a second set that noise has moved. What the noise did is what the two lose at every later step, so credit reaches back
//! without a trace of anything: no influence, no earlier inputs but those of the one step that the noise was in.
//!
//! *Bursts* (node perturbation): every `R` steps of a stream its twin begins anew from the clean states, with signs `a` of size `σ` at the sites of the maps
//! that states follow from; for `R` steps it goes on without noise, and at each the difference of losses earns `R (ℓ̃ − ℓ)/σ · a uᵀ`, `u` being what the maps
//! read in the step of the burst. Streams begin in turn, so that at each step one in `R` tells of credit from `0, 1, … R − 1` steps back: in the mean the sum
//! of all these.
//!
//! *Episodes* (evolution strategies in weight space): two twins of each stream go on with params `w ± σz`, the same `z` for an episode of `L` steps (NRES: Li et al.
//! 2023, arXiv 2304.12180; ES-Single: Vicol 2023), `(ℓ₊ − ℓ₋)/2σ · z` at every step; or with new `z` for each window of `K` steps and the sum of those so far in
//! its place (PES: Vicol, Metz and Sohl-Dickstein 2021, arXiv 2112.13835).

use super::influence::Streams;
use super::local::LocalPlan;
use crate::model::{Act, Graph, Trace};
use crate::noise::{Family, Role, RunKey};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A question for the derivative of the next rows of streams, from what noise did to their twins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwinPlan {
    /// What earns credit, the size of the noise, and the step. Stages that no states follow from earn local credit.
    pub local: LocalPlan,
    /// How many steps twins live, those of one stream after the other in turn; at least one number, each at least 1.
    pub lengths: Vec<u32>,
    /// Where the noise is.
    pub place: TwinNoise,
}

/// Where the noise of twins is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TwinNoise {
    /// At the sites of the maps that states follow from, in the first step of a twin.
    Sites,
    /// On the weights of these maps, in all its steps.
    Weights {
        /// How many steps have the same noise; 0 for all of a twin's.
        window: u32,
        /// The distribution of the noise.
        noise: Family,
    },
}

/// Where a stream's twin stands in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    /// Steps since its first.
    pub steps: u32,
    /// Its first step; `None` if that was before the run's.
    pub begun: Option<u32>,
    /// How many steps it lives.
    pub length: u32,
}

impl TwinPlan {
    /// The twins of so many streams in the plan's step.
    pub(crate) fn ages(&self, streams: usize) -> Vec<Age> {
        let kinds = self.lengths.len().max(1);
        let one = |stream: usize| {
            let length = self.lengths.get(stream % kinds).copied().unwrap_or(1).max(1);
            let offset = (stream / kinds) as u32 % length;
            let steps = (self.local.step % length + offset) % length;
            Age { steps, begun: self.local.step.checked_sub(steps), length }
        };
        (0..streams).map(one).collect()
    }
}

/// The signs of each stream's latest burst at the site of a stage, `(streams, width)`: 0 where there was none.
pub(crate) fn signs(key: &RunKey, graph: &Graph, stage: usize, ages: &[Age]) -> Vec<f32> {
    let (width, name) = (graph.width(stage), format!("stage {stage}, twin"));
    let key = key.tensor(Role::Activation, &name);
    let mut all = vec![0.0; ages.len() * width];
    for (stream, (age, own)) in ages.iter().zip(all.chunks_exact_mut(width.max(1))).enumerate() {
        if let Some(begun) = age.begun {
            key.at(begun, stream as u32).fill(Family::Sign, 0, own);
        }
    }
    all
}

/// What the maps of `stages` read in the step of each stream's latest burst: `trace` is of the present one.
pub(crate) fn read_at_bursts(
    graph: &Graph,
    stages: &[usize],
    (ages, trace, before): (&[Age], &Trace, &Streams),
) -> Trace {
    let mut all = Trace::default();
    for link in stages.iter().flat_map(|stage| graph.links(*stage)) {
        let Some(now) = trace.input(link.node) else { continue };
        let (mut rows, width) = (now.data().to_vec(), now.width());
        let earlier = before.get(&burst(link.node)).filter(|earlier| earlier.len() == rows.len());
        for (stream, own) in rows.chunks_exact_mut(width.max(1)).enumerate() {
            if ages.get(stream).is_some_and(|age| age.steps > 0) {
                match earlier {
                    Some(earlier) => own.copy_from_slice(&earlier[stream * width..][..width]),
                    None => own.fill(0.0),
                }
            }
        }
        all.keep(link.node, Act::new(now.rows(), now.shape(), rows), Vec::new());
    }
    all
}

/// Hands on what [`read_at_bursts`] found.
pub(crate) fn hand_on(graph: &Graph, stages: &[usize], read: &Trace, into: &mut Streams) {
    for link in stages.iter().flat_map(|stage| graph.links(*stage)) {
        if let Some(rows) = read.input(link.node) {
            into.0.insert(burst(link.node), Arc::new(rows.data().to_vec()));
        }
    }
}

/// The name of what the map at a node read in the step of a burst.
fn burst(node: usize) -> String {
    format!("burst/{node}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Samples;

    #[test]
    fn streams_begin_in_turn_and_lengths_are_mixed() {
        let plan = |step: u32, lengths: &[u32]| {
            let local = LocalPlan {
                step,
                stages: vec![],
                sigma: 0.1,
                samples: Samples::Swaps,
                draws: 2,
                differences: None,
            };
            TwinPlan { local, lengths: lengths.to_vec(), place: TwinNoise::Sites }
        };
        // At each step as many streams are at each age.
        for step in [0, 5, 6, u32::MAX] {
            let mut ages: Vec<u32> = plan(step, &[4]).ages(8).iter().map(|age| age.steps).collect();
            ages.sort_unstable();
            assert_eq!(ages, [0, 0, 1, 1, 2, 2, 3, 3], "{step}");
        }
        let mixed = plan(7, &[1, 3]).ages(6);
        assert_eq!(mixed.iter().map(|age| age.length).collect::<Vec<_>>(), [1, 3, 1, 3, 1, 3]);
        assert_eq!(mixed.iter().map(|age| age.steps).collect::<Vec<_>>(), [0, 1, 0, 2, 0, 0]);
        assert_eq!(mixed[3].begun, Some(5));
        assert_eq!(plan(0, &[4]).ages(2)[1].begun, None);
    }
}
