//! Running a graph: all of it, or what follows from a change.

use super::carried::{Carried, Past};
use super::node::{Node, Op};
use super::{Graph, Stage};
use crate::Result;
use crate::model::context::Product;
use crate::model::{Act, Context};

/// Nodes to run, in order, so that one of them is there in the end.
pub(super) struct Schedule {
    pub nodes: Vec<usize>,
    /// What they read that is not among them.
    pub operands: Vec<usize>,
    /// How often each node of the graph is read on the way: after the last time its numbers can be given away.
    reads: Vec<u32>,
    last: usize,
}

impl Schedule {
    /// `nodes` ascend; `last` is what is wanted.
    pub fn new(all: &[Node], nodes: Vec<usize>, last: usize) -> Self {
        let mut reads = vec![0; all.len()];
        nodes.iter().flat_map(|n| &all[*n].inputs).for_each(|n| reads[*n] += 1);
        reads[last] += 1;
        let operand = |n: &usize| reads[*n] > 0 && nodes.binary_search(n).is_err();
        let operands = (0..all.len()).filter(operand).collect();
        Self { nodes, operands, reads, last }
    }
}

/// The values of some nodes.
struct Values<'s> {
    all: Vec<Option<Act>>,
    reads: Vec<u32>,
    schedule: &'s Schedule,
    /// What attention goes on from.
    pasts: &'s mut [Past],
    /// Items of each row that there were before; one number if all have as many.
    before: Vec<usize>,
}

impl<'s> Values<'s> {
    fn new(schedule: &'s Schedule) -> Self {
        Self {
            all: vec![None; schedule.reads.len()],
            reads: schedule.reads.clone(),
            schedule,
            pasts: &mut [],
            before: vec![0],
        }
    }

    /// A node's value, which is given away with the last reading of it.
    fn read(&mut self, node: usize) -> Act {
        self.reads[node] = self.reads[node].saturating_sub(1);
        let value = &mut self.all[node];
        let value = if self.reads[node] == 0 { value.take() } else { value.clone() };
        // Schedules name all that their nodes read.
        value.unwrap_or_default()
    }

    fn run(mut self, graph: &Graph, cx: &mut Context<'_>, mut seen: impl FnMut(usize, &mut Act)) -> Act {
        for node in &self.schedule.nodes {
            let mut value = graph.operation(*node, cx, &mut self);
            seen(*node, &mut value);
            self.all[*node] = Some(value);
        }
        self.read(self.schedule.last)
    }
}

/// A clean pass cut at the site of a stage: the values there, and all others that are read behind it.
#[derive(Clone)]
pub struct Cut {
    /// The values at the site, row by row.
    pub site: Act,
    /// Clean values of other nodes.
    beside: Vec<(usize, Act)>,
}

impl Cut {
    /// Rows `from..to`; nothing is copied until it is written to.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        self.each(|act| act.slice(from, to))
    }

    /// The rows that `indices` name, copied.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        self.each(|act| act.select(indices))
    }

    fn each(&self, f: impl Fn(&Act) -> Act) -> Self {
        let beside = self.beside.iter().map(|(n, act)| (*n, f(act))).collect();
        Self { site: f(&self.site), beside }
    }
}

/// The values of a clean pass that may be looked at again.
pub(crate) struct Flow {
    pub(super) values: Vec<Option<Act>>,
    /// What the model answers.
    pub outputs: Act,
}

impl Graph {
    /// The model's outputs for the rows `x`.
    #[must_use]
    pub fn forward(&self, cx: &mut Context<'_>, x: Act) -> Act {
        self.forward_seen(cx, x, |_, _| {})
    }

    /// The model's answers to the rows `x`, whose items go on from what is `carried`, which they become part of. Rows in pieces, down to one
    /// item at a time, have the bits that they have at once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Model`] if the graph has an operation that looks at items to come, or if `carried` is of another graph, or of other
    /// rows or members: it is left as it was.
    pub fn forward_carrying(&self, cx: &mut Context<'_>, x: Act, carried: &mut Carried) -> Result<Act> {
        self.ready(carried, cx, x.rows)?;
        Ok(self.pass_carrying(&self.carrying(), cx, x, carried))
    }

    /// Takes in the rows `x` as [`Graph::forward_carrying`] does where their answers are not asked for: what only those follow from, such as a
    /// language model's head, does not run.
    ///
    /// # Errors
    /// As for [`Graph::forward_carrying`].
    pub fn carry(&self, cx: &mut Context<'_>, x: Act, carried: &mut Carried) -> Result<()> {
        self.ready(carried, cx, x.rows)?;
        let ends = self.carries.iter().map(|carry| carry.end);
        let ends: Vec<usize> = ends.chain(carried.pasts.iter().map(|past| past.node)).collect();
        if let Some(last) = ends.iter().copied().max() {
            self.pass_carrying(&self.leading_to(&ends, last), cx, x, carried);
        }
        Ok(())
    }

    /// A pass over what `schedule` says, from what is `carried`, which is ready for it.
    fn pass_carrying(&self, schedule: &Schedule, cx: &mut Context<'_>, x: Act, carried: &mut Carried) -> Act {
        let mut values = Values::new(schedule);
        values.all[0] = Some(x);
        for (carry, act) in self.carries.iter().zip(std::mem::take(&mut carried.states)) {
            values.all[carry.begin] = Some(act);
        }
        values.before = carried.pasts.first().map_or(vec![0], Past::items);
        values.pasts = &mut carried.pasts;
        let mut after = vec![Act::default(); self.carries.len()];
        let outputs = values.run(self, cx, |node, value| {
            let ends = self.carries.iter().zip(&mut after).filter(|(carry, _)| carry.end == node);
            ends.for_each(|(_, after)| *after = value.clone());
        });
        carried.states = after;
        outputs
    }

    fn forward_seen(&self, cx: &mut Context<'_>, x: Act, mut seen: impl FnMut(usize, &Act)) -> Act {
        let mut values = Values::new(&self.whole);
        values.all[0] = Some(x);
        values.run(self, cx, |node, value| seen(node, value))
    }

    /// A pass that keeps what runs behind the stages' sites read.
    pub(crate) fn flow(&self, cx: &mut Context<'_>, x: Act) -> Flow {
        let mut values = vec![None; self.nodes.len()];
        values[0] = self.kept[0].then(|| x.clone());
        let outputs = self.forward_seen(cx, x, |node, value| {
            if self.kept[node] {
                values[node] = Some(value.clone());
            }
        });
        Flow { values, outputs }
    }

    /// A pass that keeps every value.
    pub(crate) fn flow_of_all(&self, cx: &mut Context<'_>, x: Act) -> Flow {
        let mut values = vec![None; self.nodes.len()];
        values[0] = Some(x.clone());
        let outputs = self.forward_seen(cx, x, |node, value| values[node] = Some(value.clone()));
        Flow { values, outputs }
    }

    /// A pass that keeps every value which operations read that something may be learned behind ([`super::Builder::learns_after`]).
    pub(crate) fn flow_of_learned(&self, cx: &mut Context<'_>, x: Act) -> Flow {
        let mut kept = vec![false; self.nodes.len()];
        for (node, own) in self.nodes.iter().enumerate().skip(self.learns_after) {
            kept[node] = true;
            own.inputs.iter().for_each(|operand| kept[*operand] = true);
        }
        let mut values = vec![None; self.nodes.len()];
        values[0] = kept[0].then(|| x.clone());
        let outputs = self.forward_seen(cx, x, |node, value| {
            if kept[node] {
                values[node] = Some(value.clone());
            }
        });
        Flow { values, outputs }
    }

    /// The same for rows that go on from the `states` of the carries, with the states after them.
    pub(crate) fn flow_from(&self, cx: &mut Context<'_>, x: Act, states: Vec<Act>) -> (Flow, Vec<Act>) {
        let schedule = self.carrying();
        let (mut all, mut values) = (vec![None; self.nodes.len()], Values::new(&schedule));
        all[0] = Some(x.clone());
        values.all[0] = Some(x);
        for (carry, state) in self.carries.iter().zip(states) {
            all[carry.begin] = Some(state.clone());
            values.all[carry.begin] = Some(state);
        }
        let outputs = values.run(self, cx, |node, value| all[node] = Some(value.clone()));
        let after = self.carries.iter().map(|carry| all[carry.end].clone().unwrap_or_default()).collect();
        (Flow { values: all, outputs }, after)
    }

    /// The model's answers for rows that go on from `states`, and the states after them, where something is added to the values of the nodes that are `moved`.
    pub(crate) fn forward_moved(
        &self,
        cx: &mut Context<'_>,
        x: Act,
        states: Vec<Act>,
        moved: &[(usize, Act)],
    ) -> (Act, Vec<Act>) {
        let schedule = self.carrying();
        let mut values = Values::new(&schedule);
        values.all[0] = Some(x);
        let mut after = vec![Act::default(); self.carries.len()];
        for (carry, state) in self.carries.iter().zip(states) {
            values.all[carry.begin] = Some(state);
        }
        let outputs = values.run(self, cx, |node, value| {
            if let Some((_, by)) = moved.iter().find(|(own, _)| *own == node) {
                *value = std::mem::take(value).plus(by);
            }
            let ends = self.carries.iter().zip(&mut after).filter(|(carry, _)| carry.end == node);
            ends.for_each(|(_, after)| *after = value.clone());
        });
        (outputs, after)
    }

    /// What runs where states are given: all that the answer and the states after it follow from.
    fn carrying(&self) -> Schedule {
        let ends: Vec<usize> = self.carries.iter().map(|carry| carry.end).chain([self.output]).collect();
        self.leading_to(&ends, self.output)
    }

    /// What runs where states are given so that these nodes' values are there; that of the `last` is wanted.
    fn leading_to(&self, ends: &[usize], last: usize) -> Schedule {
        let needed = self.lead_to(ends.iter().copied());
        let begins = |n: &usize| self.carries.iter().any(|carry| carry.begin == *n);
        let nodes = (1..self.nodes.len()).filter(|n| needed[*n] && !begins(n)).collect();
        Schedule::new(&self.nodes, nodes, last)
    }

    /// A clean pass cut at each stage's site.
    pub fn cuts(&self, cx: &mut Context<'_>, x: Act) -> Vec<Cut> {
        let flow = self.flow(cx, x);
        (0..self.stages.len()).map(|stage| self.cut(&flow, stage)).collect()
    }

    /// A clean pass cut at the site of a stage.
    pub(crate) fn cut(&self, flow: &Flow, stage: usize) -> Cut {
        let Stage { site, after, .. } = &self.stages[stage];
        let of = |node: usize| flow.values[node].clone().unwrap_or_default();
        let beside = after.operands.iter().filter(|n| *n != site);
        Cut { site: of(*site), beside: beside.map(|n| (*n, of(*n))).collect() }
    }

    /// The same with what the stage's own maps read.
    pub(crate) fn cut_with_own(&self, flow: &Flow, stage: usize) -> Cut {
        let mut cut = self.cut(flow, stage);
        for node in &self.stages[stage].own.operands {
            if cut.beside.iter().all(|(n, _)| n != node) {
                cut.beside.push((*node, flow.values[*node].clone().unwrap_or_default()));
            }
        }
        cut
    }

    /// What the model answers where `z` stands at the site of a stage, all beside it as in `cut`: that has the rows which `z`
    /// has, or each of them for several of those, over and over.
    #[must_use]
    pub(crate) fn forward_after(&self, stage: usize, cx: &mut Context<'_>, cut: &Cut, z: Act) -> Act {
        let Stage { site, after, .. } = &self.stages[stage];
        self.with(after, cx, &cut.beside, Some((*site, z)))
    }

    /// The values at the site of a stage, whose own maps run again on `times` copies of each row of a
    /// [`Graph::cut_with_own`].
    #[must_use]
    pub(crate) fn own_again(&self, stage: usize, cx: &mut Context<'_>, cut: &Cut, times: usize) -> Act {
        let own = &self.stages[stage].own;
        let read = cut.beside.iter().filter(|(n, _)| own.operands.contains(n));
        let repeated: Vec<_> = read.map(|(n, act)| (*n, act.repeat(times))).collect();
        self.with(own, cx, &repeated, None)
    }

    pub(super) fn with(
        &self,
        schedule: &Schedule,
        cx: &mut Context<'_>,
        beside: &[(usize, Act)],
        changed: Option<(usize, Act)>,
    ) -> Act {
        let mut values = Values::new(schedule);
        for (node, act) in beside.iter().filter(|(n, _)| schedule.operands.contains(n)) {
            values.all[*node] = Some(act.clone());
        }
        if let Some((node, act)) = changed {
            values.all[node] = Some(act);
        }
        values.run(self, cx, |_, _| {})
    }

    /// What the operations from the first map of a stage on read of those before it: found once, for [`Graph::forward_again`].
    #[must_use]
    pub fn before(&self, stage: usize, cx: &mut Context<'_>, x: Act) -> Vec<(usize, Act)> {
        let rest = &self.stages[stage].rest;
        let nodes = self.whole.nodes.iter().copied().filter(|n| rest.nodes.binary_search(n).is_err());
        let Some(last) = rest.operands.iter().copied().max() else { return Vec::new() };
        let schedule = Schedule::new(&self.nodes, nodes.collect(), last);
        let mut kept: Vec<(usize, Act)> = Vec::new();
        if rest.operands.contains(&0) {
            kept.push((0, x.clone()));
        }
        let mut values = Values::new(&schedule);
        values.all[0] = Some(x);
        let _ = values.run(self, cx, |node, value| {
            if rest.operands.contains(&node) {
                kept.push((node, value.clone()));
            }
        });
        kept
    }

    /// What the model answers when all from the first map of a stage on runs again, on what [`Graph::before`] found.
    #[must_use]
    pub fn forward_again(&self, stage: usize, cx: &mut Context<'_>, before: &[(usize, Act)]) -> Act {
        self.with(&self.stages[stage].rest, cx, before, None)
    }

    /// One node.
    fn operation(&self, node: usize, cx: &mut Context<'_>, values: &mut Values<'_>) -> Act {
        let inputs: Vec<Act> = self.nodes[node].inputs.iter().map(|n| values.read(*n)).collect();
        if matches!(self.nodes[node].op, Op::Positions) {
            return positions(inputs.first().map_or(0, |x| x.rows), &values.before, self.nodes[node].shape);
        }
        let past = values.pasts.iter_mut().find(|past| past.node == node);
        self.alone(node, cx, inputs, past)
    }

    /// One node on values of its operands.
    pub(super) fn alone(
        &self,
        node: usize,
        cx: &mut Context<'_>,
        inputs: Vec<Act>,
        past: Option<&mut Past>,
    ) -> Act {
        let Node { op, shape, .. } = &self.nodes[node];
        let mut inputs = inputs.into_iter();
        let first = inputs.next().unwrap_or_default();
        let mut second = || inputs.next().unwrap_or_default();
        match op {
            Op::Linear { .. } | Op::Conv3x3 { .. } => match op.map() {
                Some(map) => cx.mapped(Product { node, map, relu: self.rectified[node] }, &first),
                None => first,
            },
            Op::Grouped { .. } => match op.map() {
                Some(map) => cx.grouped(node, map, first),
                None => first,
            },
            Op::Map(activation) => activation.apply(first),
            Op::MaxPool => first.max_pool(),
            Op::AveragePool => first.average_pool(),
            Op::GlobalAverage => first.global_average(),
            Op::GlobalMax => first.global_max(),
            Op::Flatten => first.flatten(),
            Op::BatchNorm { layer, weight, bias } => cx.batch_norm(node, layer, [*weight, *bias], first),
            Op::Embed { weight } => cx.embed(node, *weight, &first.whole()),
            Op::Normalise(norm, epsilon) => first.normalised(*norm, *epsilon),
            Op::Scale { weight, bias } => cx.scaled(node, *weight, *bias, first.whole()),
            Op::Add => first.plus(&second()),
            Op::Multiply => first.times(&second()),
            Op::Channels(range) => first.channels_of(range.clone()),
            Op::Concat | Op::Outputs(_) => Act::side_by_side(with(first, inputs), *shape),
            Op::Attention(attention) => attention.of(with(first, inputs), past),
            Op::Apply(function) => first.map_slices(|piece| function.apply_to(piece)),
            Op::Reshape => first.shaped(*shape),
            Op::Constant(values) => Act::new(first.rows, *shape, values.repeat(first.rows)),
            Op::Carry(_) => {
                Act::new(first.rows, *shape, vec![0.0; first.rows * shape.iter().product::<usize>()])
            }
            Op::Noise(draw) => cx.noise(draw, first.rows, *shape),
            Op::Rows(rowwise) => rowwise.of(with(first, inputs), *shape),
            Op::Host(op) => Act::by_rows(&**op, with(first, inputs), *shape),
            Op::Positions => positions(first.rows, &[0], *shape),
            Op::Input => first,
        }
    }
}

/// The numbers of the items of so many rows, of which there were some `before`.
fn positions(rows: usize, before: &[usize], shape: [usize; 3]) -> Act {
    let rows = rows.max(before.len());
    let numbers = (0..rows).flat_map(|row| (0..shape[1]).map(move |item| before[row % before.len()] + item));
    Act::new(rows, shape, numbers.map(|n| n as f32).collect())
}

/// All operands, from the first on.
fn with(first: Act, others: impl Iterator<Item = Act>) -> Vec<Act> {
    std::iter::once(first).chain(others).collect()
}
