//! What the items of rows hand on to those that follow: states of recurrent cells, keys and values of attention.

use super::Graph;
use super::node::{Attention, Node, Op};
use crate::model::{Act, Context};
use crate::{Error, ErrorKind, Result};

/// What rows hand on from their items so far to those that follow ([`Graph::forward_carrying`]): the states of recurrent cells, and the keys
/// and values of attention, to which those of new items are added in place. `Carried::default()` stands before the first item.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Rows that were given first; with members each of them has so many.
    rows: usize,
    members: usize,
    pub(super) states: Vec<Act>,
    pub(super) pasts: Vec<Past>,
}

/// Keys and values of an attention, as it compares them: positions have rotated them.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// The attention's node in the graph that ran last.
    pub node: usize,
    /// Numbers of an item's keys.
    channels: usize,
    rows: Vec<[Vec<f32>; 2]>,
}

impl Past {
    /// How many items each row has.
    pub fn items(&self) -> Vec<usize> {
        if self.rows.is_empty() {
            return vec![0];
        }
        self.rows.iter().map(|[keys, _]| keys.len() / self.channels).collect()
    }

    /// Adds the first `there` items of all rows. Where there are fewer rows of some, or fewer before, they repeat.
    pub fn append(&mut self, rows: usize, keys: &Act, values: &Act, there: impl Fn(usize) -> usize) {
        self.repeat(rows);
        for (row, [k, v]) in self.rows.iter_mut().enumerate() {
            let own = there(row) * self.channels;
            k.extend_from_slice(&keys.row(row % keys.rows)[..own]);
            v.extend_from_slice(&values.row(row % values.rows)[..own]);
        }
    }

    /// The keys and values of a row.
    pub fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let [keys, values] = &self.rows[row % self.rows.len()];
        (keys, values)
    }

    /// At least so many rows: what all saw so far becomes each one's own.
    fn repeat(&mut self, rows: usize) {
        let before = self.rows.len();
        for row in before..rows {
            let own = if before == 0 { Default::default() } else { self.rows[row % before].clone() };
            self.rows.push(own);
        }
    }
}

impl Carried {
    /// Rows that each member has.
    pub(crate) fn own_rows(&self) -> usize {
        self.rows
    }

    /// The number of rows that hand on: those of all members.
    pub fn rows(&self) -> usize {
        self.rows * self.members
    }

    /// The states of the cells after the last items, in the order of [`Graph::carries`]; none before the first item.
    pub fn states(&self) -> &[Act] {
        &self.states
    }

    /// Items of each row whose keys and values there are; none where the model has no attention.
    pub fn items(&self) -> Vec<usize> {
        let Some(first) = self.pasts.first() else { return Vec::new() };
        let own = first.items();
        own.iter().copied().cycle().take(self.rows()).collect()
    }

    /// Forgets all but the first `items[r]` items of each row `r`: texts of different lengths, padded behind their ends, then go on each from
    /// its own last item, to the bits that it would have alone.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if there are not so many rows or items, or if the model has cells: their states know no earlier items.
    pub fn keep(&mut self, items: &[usize]) -> Result<()> {
        if !self.states.is_empty() {
            let found = "states of recurrent cells";
            return Err(misfit("keys and values of attention alone, which can be cut", found));
        }
        let known = self.items();
        let fits = known.len() == items.len() && items.iter().zip(&known).all(|(n, all)| n <= all);
        if !fits {
            return Err(misfit(format!("at most {known:?} items"), format!("{items:?}")));
        }
        for past in &mut self.pasts {
            past.repeat(items.len());
            for (row, n) in past.rows.iter_mut().zip(items) {
                row.iter_mut().for_each(|all| all.truncate(n * past.channels));
            }
        }
        Ok(())
    }

    /// Only these rows, in this order, a row perhaps several times: others are done, or one goes on in several ways.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if there are none or there is no such row, or if the rows are those of several members.
    pub fn select(&mut self, rows: &[u32]) -> Result<()> {
        let inside = rows.iter().all(|row| (*row as usize) < self.rows) && !rows.is_empty();
        if self.members != 1 || !inside {
            let expected = format!("some of the {} rows of one member", self.rows);
            return Err(misfit(expected, format!("{rows:?} of {} members", self.members)));
        }
        self.states.iter_mut().for_each(|state| *state = state.select(rows));
        for past in &mut self.pasts {
            let mut uses = vec![0; self.rows];
            rows.iter().for_each(|row| uses[*row as usize] += 1);
            let before = &mut past.rows;
            let one = |row: &u32| {
                let row = *row as usize;
                uses[row] -= 1;
                if uses[row] == 0 { std::mem::take(&mut before[row]) } else { before[row].clone() }
            };
            past.rows = rows.iter().map(one).collect();
        }
        self.rows = rows.len();
        Ok(())
    }

    /// Takes in the rows of another behind its own: rows that began apart then go on side by side, each to the bits that it would have alone.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if either is of several members, or the other of another model: both are left as they were.
    pub fn join(&mut self, other: &mut Self) -> Result<()> {
        if self.rows == 0 || other.rows == 0 {
            if self.rows == 0 {
                *self = std::mem::take(other);
            }
            return Ok(());
        }
        if [self.members, other.members] != [1, 1] {
            let found = format!("{} and {} members", self.members, other.members);
            return Err(misfit("rows of one member", found));
        }
        if !self.like(other) {
            return Err(misfit("what this model carries", "what another's carried"));
        }
        let other = std::mem::take(other);
        for (own, state) in self.states.iter_mut().zip(&other.states) {
            let both = [own.data(), state.data()].concat();
            *own = Act::new(self.rows + other.rows, own.shape, both);
        }
        for (own, mut past) in self.pasts.iter_mut().zip(other.pasts) {
            own.repeat(self.rows);
            past.repeat(other.rows);
            own.rows.append(&mut past.rows);
        }
        self.rows += other.rows;
        Ok(())
    }

    /// Whether another could be of the same model.
    fn like(&self, other: &Self) -> bool {
        let states = self.states.iter().map(|s| s.shape).eq(other.states.iter().map(|s| s.shape));
        states && self.pasts.iter().map(|p| p.channels).eq(other.pasts.iter().map(|p| p.channels))
    }
}

impl Node {
    /// Whether the answer for an item follows from items after it too, which pieces of rows do not have, or from its place among all.
    fn looks_around(&self, input: [usize; 3]) -> bool {
        let several = input[0] * input[1] > 1;
        match &self.op {
            Op::Attention(Attention { causal, .. }) => !causal,
            Op::Constant(_) => self.shape[1] > 1,
            Op::Flatten | Op::GlobalAverage | Op::GlobalMax => several,
            Op::MaxPool | Op::AveragePool | Op::Conv3x3 { .. } => several,
            Op::Rows(rowwise) => several && rowwise.mixes_items(),
            _ => false,
        }
    }
}

fn misfit(expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Model, "carries", expected, found)
}

impl Graph {
    /// Whether one of the nodes `ends` is, or follows from, each node.
    pub(super) fn lead_to(&self, ends: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut leads = vec![false; self.nodes.len()];
        ends.into_iter().for_each(|node| leads[node] = true);
        for node in (0..self.nodes.len()).rev() {
            if leads[node] {
                self.nodes[node].inputs.iter().for_each(|n| leads[*n] = true);
            }
        }
        leads
    }

    /// The stages that what rows carry on follows from.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if it follows from a map of one by another way than through the stage's site.
    pub(crate) fn stages_of_carries(&self) -> Result<Vec<usize>> {
        let leads = self.lead_to(self.carries.iter().map(|carry| carry.end));
        let mut all = Vec::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let own = &stage.own.nodes;
            let inside = |node: &usize| *node != stage.site && own.contains(node);
            let around = (0..self.nodes.len()).find(|reader| {
                leads[*reader] && !own.contains(reader) && self.nodes[*reader].inputs.iter().any(inside)
            });
            if let Some(reader) = around {
                let expected = "states that follow from each sum of maps as the model's answer does";
                return Err(misfit(expected, format!("{} of one of its parts", self.nodes[reader].op)));
            }
            if leads[stage.site] {
                all.push(index);
            }
        }
        Ok(all)
    }

    /// That each item's answer follows from items up to it.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the operation that looks at others.
    fn check_in_order(&self) -> Result<()> {
        let is = |wanted: fn(&Op) -> bool| self.nodes.iter().any(|node| wanted(&node.op));
        if is(|op| matches!(op, Op::Positions)) && !is(|op| matches!(op, Op::Attention(_))) {
            return Err(misfit("an attention, which counts items", "positions without"));
        }
        let shape = |node: &Node| node.inputs.first().map_or(node.shape, |n| self.nodes[*n].shape);
        let around = self.nodes.iter().find(|node| node.looks_around(shape(node)));
        around.map_or(Ok(()), |node| {
            Err(misfit("operations that need items up to their own alone", node.op.to_string()))
        })
    }

    /// Readies `carried` for `rows` of input in this context: as it is before the first item, if nothing was carried yet.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the graph has operations that look at items to come, or `carried` is of other rows, members or another
    /// graph.
    pub(super) fn ready(&self, carried: &mut Carried, cx: &Context<'_>, rows: usize) -> Result<()> {
        self.check_in_order()?;
        let members = cx.probe.map_or(1, |probe| probe.members.len());
        if carried.rows == 0 {
            *carried = self.before_first(rows, members);
        }
        let all = carried.rows();
        if ![carried.rows, all].contains(&rows) {
            let own =
                if carried.members > 1 { format!(", or {all}: each member's own") } else { String::new() };
            return Err(misfit(format!("{} rows{own}", carried.rows), rows));
        }
        if members != carried.members {
            return Err(misfit(format!("{} members", carried.members), members));
        }
        let before = self.before_first(0, members);
        if !carried.like(&before) {
            return Err(misfit("what this model carries", "what another's carried"));
        }
        // Graphs of fewer items have fewer nodes.
        carried.pasts.iter_mut().zip(&before.pasts).for_each(|(past, own)| past.node = own.node);
        Ok(())
    }

    /// What so many rows hand on before their first item: states of zero, no keys and values.
    #[must_use]
    pub fn carried(&self, rows: usize) -> Carried {
        self.before_first(rows, 1)
    }

    fn before_first(&self, rows: usize, members: usize) -> Carried {
        let zero = |(_, shape): (&str, [usize; 3])| {
            Act::new(rows, shape, vec![0.0; rows * shape.iter().product::<usize>()])
        };
        let past = |(node, own): (usize, &Node)| {
            let channels = |key: &usize| self.nodes[*key].shape[2];
            matches!(own.op, Op::Attention(_)).then(|| Past {
                node,
                channels: own.inputs.get(1).map_or(1, channels),
                rows: Vec::new(),
            })
        };
        let pasts = self.nodes.iter().enumerate().filter_map(past).collect();
        Carried { rows, members, states: self.carries().map(zero).collect(), pasts }
    }
}
