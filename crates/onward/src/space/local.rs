//! Local credit: what each operation's operands have to do with the loss, from what its answer has to do with it and forward evaluations of
//! that operation alone, from the answer of the model down.
//!
//! With `ĝ` the credit at the answer of an operation `f`, that of number `j` of its operand `x` is
//! `⟨ĝ, f(x + σeⱼ) − f(x − σeⱼ)⟩ / 2σ`: `2d` evaluations of one operation for `d` numbers, and fewer where numbers do not meet in an answer
//! (`model/graph/apart.rs`). A linear map answers to a unit probe in the same way at every place of every row, so that its probes are
//! evaluated once a step, and what they earn everywhere is a product with `ĝ`. At the model's answer `ĝ` is the derivative of the loss itself.
//! For smooth operations this is the derivative up to `O(σ²)`, at a price that grows with the width of operations; for steps it
//! is that of their means over `±σ`.

use super::credit::through_norm;
use super::differences::Differences;
use crate::dataset::WEIGHT;
use crate::kernel::{Precision, fire_credit};
use crate::model::{
    Act, Apart, BufferPools, Chance, Context, Flow, Graph, Groups, Lif, LinkKind, NOWHERE, Norm, Norms,
    Numbers, Statistics, Trace, Weights,
};
use crate::task::{Answers, Grain, Task, worst_for_others};
use crate::threads::prelude::*;
use crate::{Result, choices};
use serde::{Deserialize, Serialize};

/// A question for local credit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalPlan {
    /// The step that names the chance inside the model.
    pub step: u32,
    /// The stages that earn credit, in ascending order.
    pub stages: Vec<usize>,
    /// The size of the perturbation of what is not linear.
    pub sigma: f32,
    /// How the chances of samples earn credit.
    pub samples: Samples,
    /// How often each sample is drawn under [`Samples::LeaveOneOut`], the time in the clean pass included: at least twice.
    pub draws: u32,
    /// How the credit of the stream of a net with residual connections is found by differences of the loss; `None` where it comes down like all other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<Differences>,
}

choices! {
    /// How the chances of a sample inside a model earn credit.
    pub enum Samples default Swaps {
        /// Every value that a number may have is tried, all else being kept: exact given all else, at one evaluation of what follows for each
        /// value of each number.
        Swaps = "swaps",
        /// All numbers are drawn again a few times, each held against the mean of the others (Kool, van Hoof and Welling 2019).
        LeaveOneOut = "leave-one-out",
        /// Swaps where one linear map alone stands between a sample of categories and the answer, so that all of them together cost about as much as a
        /// few evaluations; leave-one-out elsewhere.
        Auto = "auto",
    }
}

/// Columns that are read side by side.
const COLUMNS: usize = 16;
/// Positions of one task.
const POSITIONS: usize = 16;
/// Numbers of a piece of rows: what stays in a core's second-level cache, with all that is worked out of them.
const PIECE_NUMBERS: usize = 1 << 14;

/// A clean pass, on the way back.
pub(crate) struct Descent<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Weights<'a>,
    pub statistics: &'a [Statistics],
    pub flow: &'a Flow,
    /// How many rows of credit there are for each row of the pass, one set of all rows after the other.
    pub times: usize,
    pub trace: &'a Trace,
    pub plan: &'a LocalPlan,
    pub buffer_pools: &'a BufferPools,
    pub task: &'a dyn Task,
    pub answers: Answers<'a>,
    /// The clean loss of each row.
    pub losses: &'a [f32],
    /// What draws samples once more.
    pub chance: Chance,
    /// Nodes whose credit was found otherwise, with it.
    pub known: &'a [(usize, Numbers)],
}

/// Where credit has come to.
pub(crate) enum Reached {
    /// The site of a stage.
    Stage(usize),
    /// A node at which it ends.
    End(usize),
}

impl Descent<'_> {
    /// Gives `earn` the credit at the site of each of the `stages`, the last one first, from `answer`, that at the model's answer: `(rows, width)` each. Returns
    /// how many losses on the way were not finite.
    ///
    /// # Errors
    /// As for [`Graph::apart`].
    pub fn run(&self, stages: &[usize], answer: Numbers, mut earn: impl FnMut(usize, &[f32])) -> Result<u64> {
        self.from([(self.graph.output(), answer)], stages, &[], |at, g| {
            if let Reached::Stage(stage) = at {
                earn(stage, g);
            }
        })
    }

    /// Gives `earn` the credit at the site of each of the `stages` and at the nodes `ends`, below which none is given, from credit at any nodes.
    ///
    /// # Errors
    /// As for [`Descent::run`].
    pub fn from(
        &self,
        answers: impl IntoIterator<Item = (usize, Numbers)>,
        stages: &[usize],
        ends: &[usize],
        mut earn: impl FnMut(Reached, &[f32]),
    ) -> Result<u64> {
        let graph = self.graph;
        let known: Vec<usize> = self.known.iter().map(|(node, _)| *node).collect();
        let (leads, samples) = graph.leads_to(stages, ends, &known);
        let mut credit: Vec<Option<Numbers>> = vec![None; graph.nodes()];
        answers.into_iter().for_each(|(node, g)| give(&mut credit[node], g));
        let mut lost = 0;
        for node in (0..graph.nodes()).rev() {
            if samples.binary_search(&node).is_ok() {
                let (own, lost_here) = self.of_chances(node);
                lost += lost_here;
                give(&mut credit[graph.chances(node)], own);
                continue;
            }
            let own = self.known.iter().find(|(own, _)| *own == node).map(|(_, g)| g.clone());
            let Some(g) = own.or_else(|| credit[node].take()) else { continue };
            if ends.contains(&node) {
                earn(Reached::End(node), &g);
                continue;
            }
            if let Some(stage) = graph.stage_at(node).filter(|stage| stages.contains(stage)) {
                earn(Reached::Stage(stage), &g);
            }
            let down = graph.operands(node).iter().enumerate();
            let mut attended = None;
            for (operand, from) in down.filter(|(_, from)| leads[**from] && !known.contains(from)) {
                let own = self.of_operand(node, operand, &g, &mut attended)?;
                give(&mut credit[*from], own);
            }
        }
        Ok(lost)
    }

    /// Rows of credit.
    fn rows(&self) -> usize {
        self.flow.outputs.rows * self.times
    }

    /// The credit of an operand from that of the answer. Attention earns that of all three at once: `attended` has what is left of it for the node's others.
    fn of_operand(
        &self,
        node: usize,
        operand: usize,
        g: &Numbers,
        attended: &mut Option<[Vec<f32>; 3]>,
    ) -> Result<Numbers> {
        let width: usize = self.graph.shape_of(self.graph.operands(node)[operand]).iter().product();
        Ok(match self.graph.apart(node, operand)? {
            Apart::Nothing => vec![0.0; self.rows() * width].into(),
            Apart::Same => g.clone(),
            Apart::Moved { by_row } => self.moved(node, operand, by_row, g).into(),
            Apart::Linear(kind, channels) => self.through_map(node, (kind, channels), g),
            Apart::Normalised => match self.trace.input(node) {
                Some(normalised) => through_norm(g, normalised, self.trace.factors(node)).into(),
                None => vec![0.0; self.rows() * width].into(),
            },
            Apart::Each => self.by_differences(node, operand, None, g).into(),
            Apart::Groups(groups) => self.by_differences(node, operand, Some(&groups), g).into(),
            Apart::Shares(groups, share) => {
                let mut all = vec![0.0; self.rows() * width];
                all.par_chunks_mut(width.max(1)).zip(g.par_chunks(groups.count.max(1))).for_each(
                    |(own, g)| {
                        for (own, [group, _]) in own.iter_mut().zip(&groups.inputs) {
                            *own = share * g[*group as usize];
                        }
                    },
                );
                all.into()
            }
            Apart::Currents(lif) => self.of_currents(node, lif, g).into(),
            Apart::PositionNorm(norm, epsilon) => {
                let x = self.flow.value(self.graph.operands(node)[operand]);
                through_position_norm(norm, epsilon, x, g).into()
            }
            Apart::Attended(attention) => {
                let own = attended.get_or_insert_with(|| {
                    let operands = self.graph.operands(node).iter();
                    attention.credit(&operands.map(|n| self.flow.value(*n)).collect::<Vec<_>>(), g)
                });
                std::mem::take(&mut own[operand]).into()
            }
        })
    }

    /// Runs neurons that fire with the current of each step moved by `±σ`: what [`Descent::by_differences`] does of any operation, without the steps in
    /// which nothing can differ.
    fn of_currents(&self, node: usize, lif: Lif, g: &[f32]) -> Vec<f32> {
        let [x, v] = [0, 1].map(|operand| self.flow.value(self.graph.operands(node)[operand]));
        let mut all = vec![0.0; self.rows() * x.width()];
        let each = all.par_chunks_mut(x.width().max(1)).zip(g.par_chunks((x.width() + v.width()).max(1)));
        each.enumerate().for_each(|(row, (own, g))| {
            let of = [lif.leak, lif.threshold];
            fire_credit(of, self.plan.sigma, x.row(row % x.rows()), v.row(row % v.rows()), g, own);
        });
        all
    }

    /// Evaluates the node with the numbers of one slot after the other changed by `±σ`; what each number earns by that is divided by the
    /// distance that it was moved.
    fn by_differences(&self, node: usize, operand: usize, groups: Option<&Groups>, g: &[f32]) -> Vec<f32> {
        let inputs: Vec<&Act> = self.graph.operands(node).iter().map(|n| self.flow.value(*n)).collect();
        let (width, answers) = (inputs[operand].width(), g.len() / self.rows().max(1));
        let at_once = (PIECE_NUMBERS / width.max(answers).max(1)).max(1);
        let distinct = self.flow.outputs.rows;
        let mut all = vec![0.0; self.rows() * width];
        // A set of rows after the other; of each the same piece belongs to one task.
        let mut sets: Vec<_> = all.chunks_mut((distinct * width).max(1)).collect();
        let mut pieces: Vec<Vec<&mut [f32]>> = Vec::new();
        for set in &mut sets {
            for (piece, own) in set.chunks_mut((at_once * width).max(1)).enumerate() {
                pieces.resize_with(pieces.len().max(piece + 1), Vec::new);
                pieces[piece].push(own);
            }
        }
        pieces.into_par_iter().enumerate().for_each(|(piece, mut sets)| {
            let first = piece * at_once;
            let rows = sets.first().map_or(0, |own| own.len() / width);
            let clean: Vec<Act> = inputs.iter().map(|x| x.slice(first, first + rows)).collect();
            for slot in 0..groups.map_or(1, |groups| groups.slots) {
                let [plus, minus] = [self.plan.sigma, -self.plan.sigma].map(|by| {
                    let mut changed = clean.clone();
                    changed[operand] = moved_by(&clean[operand], by, groups, slot);
                    self.evaluate(node, changed)
                });
                for (set, own) in sets.iter_mut().enumerate() {
                    let g = &g[(set * distinct + first) * answers..][..rows * answers];
                    let told = plus.data().iter().zip(minus.data()).zip(g);
                    let told = told.map(|((plus, minus), g)| g * (plus - minus));
                    match groups {
                        None => own.iter_mut().zip(told).for_each(|(own, told)| *own = told),
                        Some(groups) => {
                            let told: Vec<f32> = told.collect();
                            let rows = own.chunks_exact_mut(width).zip(told.chunks_exact(answers));
                            rows.for_each(|(own, told)| groups.give(slot, told, own));
                        }
                    }
                }
            }
            for own in sets {
                own.iter_mut().zip(clean[operand].data()).for_each(|(own, x)| {
                    let share = *own / ((x + self.plan.sigma) - (x - self.plan.sigma));
                    *own = if share.is_finite() { share } else { 0.0 };
                });
            }
        });
        all
    }

    fn evaluate(&self, node: usize, operands: Vec<Act>) -> Act {
        self.buffer_pools.with(|buffers| {
            let cx = Context::clean(self.weights, Norms::Fixed(self.statistics));
            self.graph.evaluate(node, &mut cx.with_buffers(buffers.clone()), operands)
        })
    }

    /// Where numbers are only moved: each earns what the answers earn that it is.
    fn moved(&self, node: usize, operand: usize, by_row: bool, g: &[f32]) -> Vec<f32> {
        let rows = if by_row { self.flow.outputs.rows } else { 1 };
        let place = |(i, n): (usize, &usize)| {
            let clean = self.flow.value(*n);
            let places = (1..=clean.width()).map(|place| place as f32);
            match i == operand {
                true => Act::new(rows, clean.shape(), places.collect::<Vec<_>>().repeat(rows)),
                false if by_row => clean.clone(),
                false => Act::new(rows, clean.shape(), vec![0.0; clean.width()]),
            }
        };
        let places = self.graph.operands(node).iter().enumerate().map(place).collect();
        let from = self.evaluate(node, places);
        let width = self.flow.value(self.graph.operands(node)[operand]).width();
        let mut all = vec![0.0; self.rows() * width];
        let each = all.par_chunks_mut(width.max(1)).zip(g.par_chunks(from.width().max(1))).enumerate();
        each.for_each(|(row, (own, g))| {
            for (place, g) in from.row(row % rows).iter().zip(g).filter(|(place, _)| **place > 0.0) {
                own[*place as usize - 1] += g;
            }
        });
        all
    }

    /// Through a linear map: its answers to unit probes of each channel are the weights of the map that scores them.
    fn through_map(&self, node: usize, (kind, channels): (LinkKind, usize), g: &Numbers) -> Numbers {
        let (from, to) = (self.graph.shape_of(self.graph.operands(node)[0]), self.graph.shape_of(node));
        if let Some(columns) = self.columns(node, [from[2], to[2]]) {
            let own = (LinkKind::Linear, &columns[..], [from[2], to[2]]);
            return self.weights.product_with(own, (self.rows(), [to[0], to[1]]), g).into();
        }
        let (shape, groups) = match kind {
            LinkKind::Conv => ([3, 3, channels], 1),
            _ => ([1, 1, from[2]], from[2] / channels.max(1)),
        };
        let width: usize = shape.iter().product();
        let mut units = vec![0.0; channels * width];
        for (channel, row) in units.chunks_exact_mut(width.max(1)).enumerate() {
            // In the middle of a patch.
            let middle = &mut row[width / from[2] / 2 * from[2]..][..from[2]];
            (0..groups).for_each(|group| middle[group * channels + channel] = 1.0);
        }
        let cx = &mut Context::clean(self.weights, Norms::Fixed(self.statistics));
        let told = self.graph.unbiased(node, cx, Act::new(channels, shape, units));
        let own = to[2] / groups.max(1);
        let data: Vec<f32> = match kind {
            LinkKind::Conv => told.data().to_vec(),
            _ => {
                let of = |group: usize| {
                    (0..channels).flat_map(move |c| (0..own).map(move |o| (c, group * own + o)))
                };
                (0..groups).flat_map(of).map(|(c, o)| told.data()[c * to[2] + o]).collect()
            }
        };
        self.weights.product_with((kind, &data, [from[2], own]), (self.rows(), [to[0], to[1]]), g).into()
    }
}

impl Descent<'_> {
    /// What a linear map of so many channels to so many answers to unit probes, where that is to the bit what its weight has: in single precision each
    /// answer is a sum of zeros and one number.
    fn columns(&self, node: usize, [channels, answers]: [usize; 2]) -> Option<Vec<f32>> {
        let map = self.graph.map_at(node).filter(|map| map.kind == LinkKind::Linear)?;
        let weight = &self.weights.params().tensors()[map.weight];
        if self.weights.precision() != Precision::F32 || weight.shape != [answers, channels] {
            return None;
        }
        let (w, mut columns) = (weight.data.floats(), vec![0.0; channels * answers]);
        for first in (0..answers).step_by(COLUMNS) {
            for channel in 0..channels {
                let own = &mut columns[channel * answers..][first..answers.min(first + COLUMNS)];
                for (place, v) in own.iter_mut().enumerate() {
                    // A sum that begins with 0 is never -0.
                    *v = w[(first + place) * channels + channel] + 0.0;
                }
            }
        }
        Some(columns)
    }
}

/// Credit through a normalisation of each position's channels by their size `r`: a number that grows by `e` grows by `e / r`, and with its size all
/// channels shrink; of a layer's, the mean is subtracted first.
fn through_position_norm(norm: Norm, epsilon: f32, x: &Act, g: &[f32]) -> Vec<f32> {
    let channels = x.channels().max(1);
    let mut all = g.to_vec();
    let positions = all.par_chunks_mut(channels).enumerate();
    positions.with_min_len(POSITIONS).for_each(|(position, g)| {
        let x = &x.data()[position * channels % x.data().len()..][..channels];
        let mean = |all: &[f32]| match norm {
            Norm::Layer => all.iter().map(|v| f64::from(*v)).sum::<f64>() / channels as f64,
            Norm::Rms => 0.0,
        };
        let (middle, shift) = (mean(x), mean(g));
        let (mut square, mut along) = (0.0, 0.0);
        for (x, g) in x.iter().zip(&*g) {
            let x = f64::from(*x) - middle;
            square += x * x;
            along += x * f64::from(*g);
        }
        let square = square / channels as f64 + f64::from(epsilon);
        let factor = 1.0 / square.sqrt();
        let along = along / (channels as f64 * square);
        for (g, x) in g.iter_mut().zip(x) {
            let own = ((f64::from(*g) - shift - (f64::from(*x) - middle) * along) * factor) as f32;
            *g = if own.is_finite() { own } else { 0.0 };
        }
    });
    all
}

/// `x` with `by` added to the numbers of one slot of every row; to all of them without groups.
fn moved_by(x: &Act, by: f32, groups: Option<&Groups>, slot: usize) -> Act {
    let data = match groups {
        None => x.data().iter().map(|v| v + by).collect(),
        Some(groups) => {
            let slots = groups.inputs.iter().cycle().map(|[_, own]| *own as usize == slot);
            x.data().iter().zip(slots).map(|(v, moves)| if moves { v + by } else { *v }).collect()
        }
    };
    Act::new(x.rows(), x.shape(), data)
}

impl Groups {
    /// Gives each number of a slot what its group was told.
    fn give(&self, slot: usize, told: &[f32], own: &mut [f32]) {
        let mut sums = vec![0.0; self.count];
        told.iter().zip(&self.outputs).for_each(|(told, group)| sums[*group as usize] += told);
        for (own, [group, at]) in own.iter_mut().zip(&self.inputs) {
            if *at as usize == slot && *group != NOWHERE {
                *own = sums.get(*group as usize).copied().unwrap_or(0.0);
            }
        }
    }
}

/// Adds credit to what others gave.
fn give(to: &mut Option<Numbers>, own: Numbers) {
    let Some(sum) = to else {
        *to = Some(own);
        return;
    };
    let pieces = sum.par_chunks_mut(PIECE_NUMBERS).zip(own.par_chunks(PIECE_NUMBERS));
    pieces.for_each(|(sum, own)| sum.iter_mut().zip(own).for_each(|(s, o)| *s += o));
}

/// The credit at a model's answer, `(rows, width)`: the derivative of each row's loss times its weight, told by the task or by probes of the
/// outputs; and how many losses of these were not finite.
pub(crate) fn credit_at_answer(
    task: &dyn Task,
    outputs: &Act,
    answers: Answers<'_>,
    sigma: f32,
) -> (Vec<f32>, u64) {
    let mut g = vec![0.0; outputs.data().len()];
    let lost = if task.derivative(outputs, answers, &mut g) {
        0
    } else {
        by_probes(task, outputs, answers, sigma, &mut g)
    };
    let items = if task.grain() == Grain::Item { outputs.points().max(1) } else { 1 };
    let weights = answers.columns.get(WEIGHT);
    for (row, g) in g.chunks_exact_mut(outputs.width().max(1)).enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[answers.sample(row)] as f32);
        if weight == 0.0 || !g.iter().all(|v| v.is_finite()) {
            g.fill(0.0);
        } else {
            g.iter_mut().for_each(|v| *v *= weight / items as f32);
        }
    }
    (g, lost)
}

/// The derivative of each loss by its outputs, one after the other changed by `±σ`; a loss that is not finite counts as the worst finite one.
fn by_probes(task: &dyn Task, outputs: &Act, answers: Answers<'_>, sigma: f32, g: &mut [f32]) -> u64 {
    let slots = if task.grain() == Grain::Item { outputs.channels() } else { outputs.width() };
    let count = outputs.data().len() / slots.max(1);
    let losses = |slot: usize, by: f32| {
        let mut changed = outputs.clone();
        changed.data_mut().chunks_exact_mut(slots).for_each(|own| own[slot] += by);
        let mut losses = vec![0.0; count];
        if task.losses(&changed, answers, &mut losses).is_err() {
            losses.fill(f32::NAN);
        }
        losses
    };
    let all: Vec<[Vec<f32>; 2]> =
        (0..slots).into_par_iter().map(|slot| [losses(slot, sigma), losses(slot, -sigma)]).collect();
    let mut lost = 0;
    for (i, (g, x)) in g.chunks_exact_mut(slots).zip(outputs.data().chunks_exact(slots)).enumerate() {
        let mut told: Vec<f32> = all.iter().flatten().map(|losses| losses[i]).collect();
        lost += worst_for_others(&mut told).unwrap_or_else(|| {
            told.fill(0.0);
            told.len() as u64
        });
        for ((g, x), told) in g.iter_mut().zip(x).zip(told.chunks_exact(2)) {
            *g = (told[0] - told[1]) / ((x + sigma) - (x - sigma));
        }
    }
    lost
}
