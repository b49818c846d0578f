//! Axes and their sizes: shapes that lead to one, shapes as they are asked for, stretches and orders of axes.

use crate::constant::Constant;
use crate::node::At;
use onward::Result;

/// Sizes of axes that a tensor of whole numbers tells.
pub(super) fn sizes(at: At<'_>, known: &Constant) -> Result<Vec<usize>> {
    let whole = known.whole().ok_or_else(|| at.expected("whole numbers", "others"))?;
    let sizes: Option<Vec<usize>> = whole.iter().map(|n| usize::try_from(*n).ok()).collect();
    sizes.ok_or_else(|| at.expected("sizes of axes", format!("{whole:?}")))
}

/// The shape that axes of 1 lead to where they repeat.
pub(crate) fn broadcast(at: At<'_>, all: &[&[usize]]) -> Result<Vec<usize>> {
    let rank = all.iter().map(|dims| dims.len()).max().unwrap_or(0);
    let mut shape = vec![1; rank];
    for dims in all {
        for (to, from) in shape[rank - dims.len()..].iter_mut().zip(*dims) {
            if *to != *from && *to != 1 && *from != 1 {
                return Err(at.expected("shapes that agree, or axes of 1", shapes(all)));
            }
            *to = if *to == 1 { *from } else { *to };
        }
    }
    Ok(shape)
}

/// Shapes as errors show them.
pub(crate) fn shapes(all: &[&[usize]]) -> String {
    all.iter().map(|dims| shown(dims)).collect::<Vec<_>>().join(" and ")
}

/// A shape as errors show it.
pub(crate) fn shown(dims: &[usize]) -> String {
    let side = |n: &usize| match n / BATCH {
        0 => n.to_string(),
        1 => "batch".into(),
        times => format!("{times}·batch"),
    };
    format!("[{}]", dims.iter().map(side).collect::<Vec<_>>().join(", "))
}

/// The size that stands for the batch's in arithmetic on shapes: a prime beyond all axes that nets have, so that what it is a factor of
/// has the batch in it.
pub(crate) const BATCH: usize = (1 << 31) - 1;

pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis]);
    }
    strides
}

/// An index of an axis of so many places, counted from the end where it is below 0.
pub(crate) fn place(at: At<'_>, index: i64, size: usize) -> Result<usize> {
    let from_start = if index < 0 { index.checked_add(size as i64) } else { Some(index) };
    let found = from_start.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < size);
    found.ok_or_else(|| at.expected(format!("a place of {size}"), index))
}

/// What a slice takes of an axis: the first place, and how many in which steps.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub axis: usize,
    pub from: usize,
    pub step: i64,
    pub count: usize,
}

impl Cut {
    /// The places that it takes, in order.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |n| (self.from as i64 + n as i64 * self.step) as usize)
    }
}

/// What a slice of a tensor of this shape takes of its axes.
pub(crate) fn cuts(at: At<'_>, dims: &[usize], inputs: &[Option<&Constant>]) -> Result<Vec<Cut>> {
    let numbers = |index: usize| {
        let known = inputs.get(index).copied().flatten();
        known.map(|c| c.whole().ok_or_else(|| at.expected("whole numbers", "others"))).transpose()
    };
    let none = || at.expected("starts and ends that are known", "others");
    let (starts, ends) = (numbers(1)?.ok_or_else(none)?, numbers(2)?.ok_or_else(none)?);
    let axes = numbers(3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = numbers(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(at.expected("a start, an end and a step for each axis", "others"));
    }
    let one = |i: usize| {
        let (axis, step) = (at.axis(axes[i], dims.len())?, steps[i]);
        let size = dims[axis] as i64;
        if size == 0 {
            return Ok(Cut { axis, from: 0, step: 1, count: 0 });
        }
        let turned = |n: i64| if n < 0 { n.saturating_add(size) } else { n };
        let (from, count) = match step {
            0 => return Err(at.expected("steps that are not 0", 0)),
            1.. => {
                let (from, to) = (turned(starts[i]).clamp(0, size), turned(ends[i]).clamp(0, size));
                (from, (to - from).max(0).unsigned_abs().div_ceil(step.unsigned_abs()))
            }
            _ => {
                let (from, to) = (turned(starts[i]).clamp(0, size - 1), turned(ends[i]).clamp(-1, size - 1));
                (from, (from - to).max(0).unsigned_abs().div_ceil(step.unsigned_abs()))
            }
        };
        Ok(Cut { axis, from: from.max(0) as usize, step, count: count as usize })
    };
    (0..starts.len()).map(one).collect()
}

/// The axes that an operation names, among its settings or as its input.
pub(crate) fn axes(at: At<'_>, known: Option<&Constant>) -> Result<Option<Vec<i64>>> {
    if let Some(axes) = at.ints("axes")? {
        return Ok(Some(axes.to_vec()));
    }
    known.map(|c| c.whole().ok_or_else(|| at.expected("axes that are whole numbers", "others"))).transpose()
}

/// The shape that `Reshape`, `Flatten`, `Squeeze` or `Unsqueeze` makes of one.
pub(crate) fn reshaped(at: At<'_>, dims: &[usize], known: Option<&Constant>) -> Result<Vec<usize>> {
    match at.node.op_type.as_str() {
        "Reshape" => {
            let known = known.and_then(Constant::whole);
            let wanted = known.ok_or_else(|| at.expected("a shape that is known", "another"))?;
            as_told(at, dims, &wanted)
        }
        "Flatten" => {
            let axis = at.int("axis", 1)?;
            let axis = if axis == dims.len() as i64 { dims.len() } else { at.axis(axis, dims.len())? };
            Ok(vec![product(at, &dims[..axis])?, product(at, &dims[axis..])?])
        }
        "Squeeze" => {
            let axes = match axes(at, known)? {
                Some(axes) => axes.iter().map(|a| at.axis(*a, dims.len())).collect::<Result<Vec<_>>>()?,
                None => (0..dims.len()).filter(|axis| dims[*axis] == 1).collect(),
            };
            if axes.iter().any(|axis| dims[*axis] != 1) {
                return Err(at.expected("axes of 1", shown(dims)));
            }
            Ok((0..dims.len()).filter(|axis| !axes.contains(axis)).map(|axis| dims[axis]).collect())
        }
        _ => {
            let axes = axes(at, known)?.ok_or_else(|| at.expected("axes that are known", "others"))?;
            let rank = dims.len() + axes.len();
            let axes = axes.iter().map(|a| at.axis(*a, rank)).collect::<Result<Vec<_>>>()?;
            let mut rest = dims.iter().copied();
            Ok((0..rank)
                .map(|axis| if axes.contains(&axis) { 1 } else { rest.next().unwrap_or(1) })
                .collect())
        }
    }
}

/// A product of sizes of axes, of which one at most is the batch's.
fn product(at: At<'_>, dims: &[usize]) -> Result<usize> {
    let all = dims.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
    let batches = all.filter(|n| *n < BATCH * BATCH);
    batches.ok_or_else(|| at.expected("axes of which one is the batch's", shown(dims)))
}

/// The shape that a `Reshape` asks for: 0 is the size that stands there, −1 what is left.
fn as_told(at: At<'_>, dims: &[usize], wanted: &[i64]) -> Result<Vec<usize>> {
    let keeps = at.int("allowzero", 0)? == 0;
    let bad = || at.expected(format!("a shape of the numbers of {}", shown(dims)), format!("{wanted:?}"));
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, side) in wanted.iter().enumerate() {
        shape.push(match side {
            0 if keeps => dims.get(axis).copied().ok_or_else(bad)?,
            -1 => 0,
            _ => usize::try_from(*side).map_err(|_| bad())?,
        });
    }
    let all = product(at, dims)?;
    let open: Vec<usize> = (0..wanted.len()).filter(|axis| wanted[*axis] == -1).collect();
    let known: Vec<usize> = (0..wanted.len()).filter(|axis| wanted[*axis] != -1).map(|a| shape[a]).collect();
    let told = product(at, &known)?;
    match open[..] {
        [] => Ok(shape),
        [axis] if told > 0 && all.is_multiple_of(told) => {
            shape[axis] = all / told;
            Ok(shape)
        }
        _ => Err(bad()),
    }
}

/// The order of axes that a `Transpose` of so many asks for.
pub(crate) fn order(at: At<'_>, rank: usize) -> Result<Vec<usize>> {
    let Some(order) = at.ints("perm")? else { return Ok((0..rank).rev().collect()) };
    let order = order.iter().map(|axis| at.axis(*axis, rank)).collect::<Result<Vec<_>>>()?;
    if order.len() != rank || (0..rank).any(|axis| !order.contains(&axis)) {
        return Err(at.expected(format!("an order of {rank} axes"), format!("{order:?}")));
    }
    Ok(order)
}
