//! How one operation is probed by itself: which of its numbers tell apart what others do, so that one evaluation probes many at once.
//!
//! An answer of an element-wise operation follows from one number of each operand, so that a single probe of all of them tells what each
//! one does. Positions, channels, windows, heads and units of a cell are told apart in the same way: numbers of different *groups* never
//! meet in an answer. What meets is probed one *slot* after the other.

use super::cell::Lif;
use super::function::Reduction;
use super::node::{Attention, Map, Norm, Op};
use super::rows::Rowwise;
use super::run::Flow;
use super::{Graph, Shape};
use crate::model::context::Product;
use crate::model::{Act, Context, LinkKind};
use crate::{Error, ErrorKind, Result};

/// How the credit of an operation's operand follows from that of its answer.
pub(crate) enum Apart {
    /// There is none: the operand says which items there are, or is no number that could be a little larger.
    Nothing,
    /// It is the same, number by number.
    Same,
    /// Each answer is a number of an operand, or none: where they come from is told by one evaluation on places. (Which ones, where another
    /// operand of a row says so.)
    Moved {
        /// Whether the places are each row's own.
        by_row: bool,
    },
    /// A map that is linear: what a probe does is the same at every place of every row, for each of so many channels of a group.
    Linear(LinkKind, usize),
    /// A batch normalisation: but for two means of the batch, a factor for each channel.
    Normalised,
    /// Evaluations with one slot of every group changed, each changed number for itself.
    Each,
    /// The same, where several numbers meet in an answer.
    Groups(Groups),
    /// Each number of a group earns so much of what its one answer earns: it is a sum, or a mean.
    Shares(Groups, f32),
    /// The currents of neurons that fire, each of which is probed from its step on, all neurons at once.
    Currents(Lif),
    /// A normalisation of each position's channels: its own share of what was divided, and what it does to the size of all.
    PositionNorm(Norm, f32),
    /// Queries, keys and values: what each query would answer if it attended more to one item, and what its shares of the items carry to them.
    Attended(Attention),
}

/// The numbers of an operand and of the answer, taken apart.
pub(crate) struct Groups {
    /// The group and the slot of each number of a row of the operand; [`NOWHERE`] for one that no answer follows from.
    pub inputs: Vec<[u32; 2]>,
    /// The group of each number of a row of the answer.
    pub outputs: Vec<u32>,
    pub count: usize,
    pub slots: usize,
}

/// The group of a number that no answer follows from.
pub(crate) const NOWHERE: u32 = u32::MAX;
/// Places are told as numbers that single precision counts.
const MOST_PLACES: usize = 1 << 24;
/// Slots of an operation at most: each is evaluated twice for every row.
const MOST_SLOTS: usize = 1 << 14;

impl Groups {
    fn new(
        width: usize,
        answers: usize,
        input: impl Fn(usize) -> [usize; 2],
        output: impl Fn(usize) -> usize,
    ) -> Self {
        let inputs: Vec<[u32; 2]> = (0..width).map(|i| input(i).map(|n| n as u32)).collect();
        let outputs: Vec<u32> = (0..answers).map(|o| output(o) as u32).collect();
        let slots = inputs.iter().map(|[_, slot]| *slot as usize + 1).max().unwrap_or(0);
        let count = outputs.iter().map(|group| *group as usize + 1).max().unwrap_or(0);
        Self { inputs, outputs, count, slots }
    }

    /// Groups of numbers that stand side by side: so many of the operand and of the answer.
    fn blocks(width: usize, answers: usize, [own, told]: [usize; 2]) -> Self {
        Self::new(width, answers, |i| [i / own, i % own], |o| o / told)
    }

    /// Groups of every `n`th number.
    fn lanes(width: usize, answers: usize, n: usize) -> Self {
        Self::new(width, answers, |i| [i % n, i / n], |o| o % n)
    }
}

impl Graph {
    /// Whether credit passes each node on its way to one of the `stages` or to one of the nodes `ends`, and the samples whose chances lead to one. What is
    /// drawn passes no credit: that of its chances is found by drawing otherwise. Nor does any come down to the nodes `known`, whose credit is.
    pub(crate) fn leads_to(
        &self,
        stages: &[usize],
        ends: &[usize],
        known: &[usize],
    ) -> (Vec<bool>, Vec<usize>) {
        let (mut leads, mut samples) = (vec![false; self.nodes.len()], Vec::new());
        stages.iter().for_each(|stage| leads[self.stages[*stage].site] = true);
        ends.iter().for_each(|node| leads[*node] = true);
        for node in 0..self.nodes.len() {
            let below = self.nodes[node].inputs.iter().any(|n| leads[*n] && !known.contains(n));
            match self.sample(node) {
                Some(_) if below => samples.push(node),
                Some(_) => {}
                None => leads[node] |= below,
            }
        }
        (leads, samples)
    }

    /// The operands of a node.
    pub(crate) fn operands(&self, node: usize) -> &[usize] {
        &self.nodes[node].inputs
    }

    /// The shape of a row of a node's answer.
    pub(crate) fn shape_of(&self, node: usize) -> Shape {
        self.nodes[node].shape
    }

    /// The stage whose site a node is.
    pub(crate) fn stage_at(&self, node: usize) -> Option<usize> {
        self.stages.binary_search_by_key(&node, |stage| stage.site).ok()
    }

    /// How the credit of an operand of a node follows from the node's.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if it does not follow from differences, or from too many of them.
    pub(crate) fn apart(&self, node: usize, operand: usize) -> Result<Apart> {
        let own = &self.nodes[node];
        let shapes: Vec<Shape> = own.inputs.iter().map(|n| self.nodes[*n].shape).collect();
        if let Op::Grouped { weight, .. } = &own.op {
            return Ok(Apart::Linear(LinkKind::Grouped, self.specs[*weight].shape[1..].iter().product()));
        }
        let apart = apart(&own.op, &shapes, own.shape, operand).ok_or_else(|| {
            let expected = "operations whose answers change by little where what they work on does";
            let found = format!("{} of what is learned", own.op);
            Error::expected(ErrorKind::Model, "method.name", expected, found)
        })?;
        let width: usize = shapes[operand].iter().product();
        let (most, found) = match &apart {
            Apart::Groups(groups) => (MOST_SLOTS, groups.slots),
            Apart::Moved { .. } => (MOST_PLACES, width),
            _ => return Ok(apart),
        };
        if found > most {
            let expected = format!("operations that at most {most} probes tell all about");
            let found = format!("{}, which takes {found}", own.op);
            return Err(Error::expected(ErrorKind::Model, "method.name", expected, found));
        }
        Ok(apart)
    }

    /// Whether a stage's site is of a stream: a sum, to which layers add, or an embedding, with which it begins.
    pub(crate) fn is_stream(&self, stage: usize) -> bool {
        matches!(self.nodes[self.stages[stage].site].op, Op::Add | Op::Embed { .. })
    }

    /// The node that is a stage's site.
    pub(crate) fn site_of(&self, stage: usize) -> usize {
        self.stages[stage].site
    }

    /// The map at a node, if there is one.
    pub(crate) fn map_at(&self, node: usize) -> Option<Map> {
        self.nodes[node].op.map()
    }

    /// The floating-point operations of one row in a node's products.
    pub(crate) fn flops_of(&self, node: usize) -> u64 {
        super::flops(&self.nodes, &self.specs, node)
    }

    /// A node alone, on values of its operands.
    pub(crate) fn evaluate(&self, node: usize, cx: &mut Context<'_>, operands: Vec<Act>) -> Act {
        self.alone(node, cx, operands, None).whole()
    }

    /// What the linear map at a node answers, without its bias.
    pub(crate) fn unbiased(&self, node: usize, cx: &mut Context<'_>, x: Act) -> Act {
        match self.nodes[node].op.map() {
            Some(map) if map.kind == LinkKind::Grouped => cx.grouped(node, Map { bias: None, ..map }, x),
            Some(map) => cx.mapped(Product { node, map: Map { bias: None, ..map }, relu: false }, &x),
            None => x,
        }
    }

    /// How many evaluations of a node with its operands changed the credit of an operand takes.
    pub(crate) fn probes_of(&self, node: usize, operand: usize) -> Result<u64> {
        Ok(match self.apart(node, operand)? {
            Apart::Nothing | Apart::Same | Apart::Moved { .. } | Apart::Normalised | Apart::Shares(..) => 0,
            // Each is about what the operation itself costs.
            Apart::PositionNorm(..) | Apart::Attended(_) => 1,
            Apart::Currents(_) => 2 * self.nodes[self.nodes[node].inputs[operand]].shape[1] as u64,
            Apart::Linear(LinkKind::Conv, channels) => 9 * channels as u64,
            Apart::Linear(_, channels) => channels as u64,
            Apart::Each => 2,
            Apart::Groups(groups) => 2 * groups.slots as u64,
        })
    }
}

impl Flow {
    /// The clean value of a node, in a pass that keeps all of them.
    pub(crate) fn value(&self, node: usize) -> &Act {
        self.values[node].as_ref().unwrap_or(&self.outputs)
    }
}

/// `None` where no difference says anything.
fn apart(op: &Op, shapes: &[Shape], shape: Shape, operand: usize) -> Option<Apart> {
    let size = |shape: Shape| -> usize { shape.iter().product() };
    let (from, channels) = (shapes[operand], shapes[operand][2]);
    let (width, answers) = (size(from), size(shape));
    let whole = || Groups::new(width, answers, |i| [0, i], |_| 0);
    Some(match op {
        Op::Input | Op::Constant(_) | Op::Positions | Op::Carry(_) | Op::Noise(_) => Apart::Nothing,
        Op::Add | Op::Flatten | Op::Reshape => Apart::Same,
        Op::Concat | Op::Channels(_) | Op::Outputs(_) => Apart::Moved { by_row: false },
        Op::Linear { .. } => Apart::Linear(LinkKind::Linear, channels),
        Op::Conv3x3 { .. } => Apart::Linear(LinkKind::Conv, channels),
        Op::Grouped { .. } => Apart::Linear(LinkKind::Grouped, channels),
        Op::BatchNorm { .. } => Apart::Normalised,
        Op::Map(_) | Op::Apply(_) | Op::Scale { .. } | Op::Multiply => Apart::Each,
        Op::MaxPool | Op::AveragePool => Apart::Groups(windows(from, shape)),
        Op::GlobalAverage | Op::GlobalMax => Apart::Groups(Groups::lanes(width, answers, channels)),
        Op::Normalise(norm, epsilon) => Apart::PositionNorm(*norm, *epsilon),
        Op::Attention(attention) => match operand {
            0..=2 => Apart::Attended(*attention),
            _ => Apart::Nothing,
        },
        Op::Host(_) => Apart::Groups(whole()),
        Op::Embed { .. } => return None,
        Op::Rows(rowwise) => return of_rows(rowwise, shapes, shape, operand),
    })
}

fn of_rows(rowwise: &Rowwise, shapes: &[Shape], shape: Shape, operand: usize) -> Option<Apart> {
    let size = |shape: Shape| -> usize { shape.iter().product() };
    let (from, channels) = (shapes[operand], shapes[operand][2]);
    let (width, answers) = (size(from), size(shape));
    Some(match rowwise {
        Rowwise::Transpose(_)
        | Rowwise::Pick { .. }
        | Rowwise::Join(_)
        | Rowwise::Expand
        | Rowwise::Patches { .. } => Apart::Moved { by_row: false },
        Rowwise::Gather if operand == 0 => Apart::Moved { by_row: true },
        Rowwise::Combine(_) | Rowwise::Choose => Apart::Each,
        Rowwise::Softmax | Rowwise::LogSoftmax => {
            Apart::Groups(Groups::blocks(width, answers, [channels; 2]))
        }
        Rowwise::Lif(lif) if operand == 0 => Apart::Currents(*lif),
        Rowwise::Lstm | Rowwise::Gru | Rowwise::Lif(_) => {
            let units = shapes[if matches!(rowwise, Rowwise::Gru) { 2 } else { 1 }][2];
            Apart::Groups(Groups::lanes(width, answers, units))
        }
        Rowwise::Diagonal => Apart::Groups(Groups::lanes(width, answers, answers / 2)),
        Rowwise::Pool { .. } => Apart::Groups(Groups::lanes(width, answers, channels)),
        Rowwise::Reduce { axes, reduction } => {
            let groups = reduced(from, *axes, answers);
            match reduction {
                Reduction::Sum => Apart::Shares(groups, 1.0),
                Reduction::Mean => Apart::Shares(groups, answers as f32 / width.max(1) as f32),
                _ => Apart::Groups(groups),
            }
        }
        Rowwise::Products => {
            let (places, own, told) = (from[0], from[1] * channels, shape[1] * shape[2]);
            Apart::Groups(Groups::new(width, answers, |i| [i / own, i % own], |o| o / told % places))
        }
        // A number of a channel or of an item is another one or none.
        Rowwise::Categorical | Rowwise::OneHot | Rowwise::Gather => return None,
    })
}

/// The 2×2 windows of each channel.
fn windows([h, w, c]: Shape, [height, width, _]: Shape) -> Groups {
    let input = |i: usize| {
        let [y, x, channel] = [i / (w * c), i / c % w, i % c];
        let inside = y / 2 < height && x / 2 < width;
        let group = if inside { ((y / 2) * width + x / 2) * c + channel } else { NOWHERE as usize };
        [group, y % 2 * 2 + x % 2]
    };
    Groups::new(h * w * c, height * width * c, input, |o| o)
}

/// The numbers that are made one.
fn reduced([h, w, c]: Shape, axes: [bool; 3], answers: usize) -> Groups {
    let place = |i: usize| [i / (w * c), i / c % w, i % c];
    let along = |i: usize, these: bool| {
        let sizes = [h, w, c];
        (0..3).filter(|axis| axes[*axis] == these).fold(0, |n, axis| n * sizes[axis] + place(i)[axis])
    };
    Groups::new(h * w * c, answers, |i| [along(i, false), along(i, true)], |o| o)
}
