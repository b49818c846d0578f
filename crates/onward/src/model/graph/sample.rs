//! Samples inside a graph, drawn otherwise: what would have become of the rest of a row.

use super::chance::Draw;
use super::function::Pairwise;
use super::node::Op;
use super::rows::Rowwise;
use super::run::{Flow, Schedule};
use super::{Graph, Paths, flops};
use crate::model::{Act, Context};
use std::ops::Range;

/// A sample: the node of its chances, and what is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// One of so many categories at each position, by logits.
    Categorical(usize),
    /// 1 or 0 for each number, by probabilities.
    Bernoulli,
}

impl Sample {
    /// The values that each drawn number may have.
    pub fn values(self) -> usize {
        match self {
            Self::Categorical(categories) => categories,
            Self::Bernoulli => 2,
        }
    }
}

/// The linear map behind a sample of categories: its answer is the sum of one column of its weight for each number, and its bias.
pub(crate) struct Linearly {
    /// The tensor of its weight, `(outputs, numbers × values)`.
    pub weight: usize,
    /// Where its answer stands among the model's.
    pub outputs: Range<usize>,
}

/// What follows from a node, to be run again.
pub(crate) struct Rest(Schedule);

impl Graph {
    /// What a node draws, if it is a sample.
    pub(crate) fn sample(&self, node: usize) -> Option<Sample> {
        let inputs = &self.nodes[node].inputs;
        match &self.nodes[node].op {
            Op::Rows(Rowwise::Categorical) => Some(Sample::Categorical(self.nodes[inputs[0]].shape[2])),
            Op::Rows(Rowwise::Combine(Pairwise::Less)) if self.draw(inputs[0]).is_some() => {
                Some(Sample::Bernoulli)
            }
            _ => None,
        }
    }

    /// The node of a sample's chances: logits or probabilities.
    pub(crate) fn chances(&self, sample: usize) -> usize {
        let inputs = &self.nodes[sample].inputs;
        if self.draw(inputs[0]).is_some() { inputs[1] } else { inputs[0] }
    }

    fn draw(&self, node: usize) -> Option<&Draw> {
        match &self.nodes[node].op {
            Op::Noise(draw) if draw.dropped.is_none() => Some(draw),
            _ => None,
        }
    }

    /// A sample drawn once more, by noise of another name.
    pub(crate) fn drawn_again(&self, sample: usize, time: u32, cx: &mut Context<'_>, chances: &Act) -> Act {
        let inputs = self.nodes[sample].inputs.iter().map(|n| match self.draw(*n) {
            Some(draw) => {
                let again = Draw { name: format!("{}, again {time}", draw.name), ..draw.clone() };
                cx.noise(&again, chances.rows(), self.nodes[*n].shape)
            }
            None => chances.clone(),
        });
        let inputs = inputs.collect();
        self.alone(sample, cx, inputs, None)
    }

    /// The only sample of the model, if it has just one.
    pub(crate) fn only_sample(&self) -> Option<usize> {
        let mut all = (0..self.nodes.len()).filter(|n| self.sample(*n).is_some());
        all.next().filter(|_| all.next().is_none())
    }

    /// The linear map behind a sample of categories, where nothing else follows from that but a named part of the model's answer.
    pub(crate) fn linearly_behind(&self, sample: usize) -> Option<Linearly> {
        let Some(Sample::Categorical(_)) = self.sample(sample) else { return None };
        let (mut at, mut hot, mut map) = (sample, false, None);
        loop {
            let mut readers = (0..self.nodes.len()).filter(|n| self.nodes[*n].inputs.contains(&at));
            let next = readers.next().filter(|_| readers.next().is_none())?;
            match &self.nodes[next].op {
                Op::Rows(Rowwise::OneHot) if !hot => hot = true,
                Op::Reshape | Op::Flatten => {}
                Op::Linear { weight, .. } if hot && map.is_none() && self.nodes[at].shape[..2] == [1, 1] => {
                    map = Some(*weight);
                }
                Op::Outputs(parts) => {
                    let place = self.nodes[next].inputs.iter().position(|n| *n == at)?;
                    return Some(Linearly { weight: map?, outputs: parts[place].1.clone() });
                }
                _ => return None,
            }
            at = next;
        }
    }

    /// What follows from a node.
    pub(crate) fn rest(&self, node: usize) -> Rest {
        let paths = Paths::new(&self.nodes, &self.specs, self.output);
        Rest(Schedule::new(&self.nodes, paths.following(node), self.output))
    }

    /// The floating-point operations of a row in what follows from a node.
    pub(crate) fn flops_of_rest(&self, node: usize) -> u64 {
        self.rest(node).0.nodes.iter().map(|n| flops(&self.nodes, &self.specs, *n)).sum()
    }

    /// What the model answers to rows `from..` of a clean pass where `value` stands at a node.
    pub(crate) fn answer_after(
        &self,
        rest: &Rest,
        cx: &mut Context<'_>,
        flow: &Flow,
        from: usize,
        (node, value): (usize, Act),
    ) -> Act {
        let to = from + value.rows();
        let others = rest.0.operands.iter().filter(|n| **n != node);
        let beside: Vec<(usize, Act)> = others.map(|n| (*n, flow.value(*n).slice(from, to))).collect();
        self.with(&rest.0, cx, &beside, Some((node, value))).whole()
    }
}
