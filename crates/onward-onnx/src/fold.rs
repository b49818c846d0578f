//! Arithmetic on what is known: exporters write shapes as operations on shapes, and masks as operations on constants.

use crate::constant::{Constant, Numbers, worked};
use crate::node::At;
use crate::proto;
use onward::{Error, Result};

type Binary<T> = fn(T, T) -> Option<T>;

/// What an operation answers whose inputs are all known; `None` if it is none that is worked out here.
///
/// # Errors
/// [`onward::ErrorKind::Model`] naming the operation, if its inputs do not fit together.
pub(crate) fn fold(at: At<'_>, inputs: &[Option<&Constant>]) -> Result<Option<Vec<Constant>>> {
    let one = |index: usize| {
        let known = inputs.get(index).copied().flatten();
        known.ok_or_else(|| at.expected(format!("an input {index}"), "none"))
    };
    let float = |f: fn(f32) -> f32| map(at, one(0)?, f);
    let both = |ints: Binary<i64>, floats: Binary<f32>| pairwise(at, one(0)?, one(1)?, ints, floats);
    let compare = |ints: fn(&i64, &i64) -> bool, floats: fn(&f32, &f32) -> bool| {
        compared(at, one(0)?, one(1)?, ints, floats)
    };
    let answer = match at.node.op_type.as_str() {
        "Identity" => one(0)?.clone(),
        "Cast" => cast(at, one(0)?)?,
        "Sqrt" => float(f32::sqrt)?,
        "Neg" => both_or_negative(at, one(0)?)?,
        "Reciprocal" => float(f32::recip)?,
        "Not" => whole(at, one(0)?, |n| i64::from(n == 0))?,
        "Add" => both(i64::checked_add, |a, b| Some(a + b))?,
        "Sub" => both(i64::checked_sub, |a, b| Some(a - b))?,
        "Mul" => both(i64::checked_mul, |a, b| Some(a * b))?,
        "Div" => both(i64::checked_div, |a, b| Some(a / b))?,
        "Mod" => both(i64::checked_rem_euclid, |_, _| None)?,
        "Min" => both(|a, b| Some(a.min(b)), |a, b| Some(a.min(b)))?,
        "Max" => both(|a, b| Some(a.max(b)), |a, b| Some(a.max(b)))?,
        "And" => both(|a, b| Some(a & b), |_, _| None)?,
        "Or" => both(|a, b| Some(a | b), |_, _| None)?,
        "Equal" => compare(i64::eq, f32::eq)?,
        "Less" => compare(i64::lt, f32::lt)?,
        "LessOrEqual" => compare(i64::le, f32::le)?,
        "Greater" => compare(i64::gt, f32::gt)?,
        "GreaterOrEqual" => compare(i64::ge, f32::ge)?,
        "Where" => choose(at, [one(0)?, one(1)?, one(2)?])?,
        "Shape" => shape(at, &one(0)?.dims)?,
        "Gather" => gather(at, one(0)?, one(1)?)?,
        "Concat" => concat(at, inputs)?,
        "Slice" => slice(at, inputs)?,
        "Unsqueeze" | "Squeeze" | "Reshape" | "Flatten" => {
            let known = one(0)?;
            let dims = reshaped(at, &known.dims, inputs.get(1).copied().flatten())?;
            Constant { dims, numbers: known.numbers.clone() }
        }
        "Transpose" => transpose(at, one(0)?)?,
        "Expand" => {
            let shape = sizes(at, one(1)?)?;
            let dims = broadcast(at, &[&one(0)?.dims, &shape])?;
            spread(one(0)?, &dims)?
        }
        "ConstantOfShape" => {
            let value = at.tensor("value")?;
            let value = value.unwrap_or(Constant { dims: vec![1], numbers: Numbers::Same(0.0) });
            spread(&Constant { dims: Vec::new(), ..value }, &sizes(at, one(0)?)?)?
        }
        "Range" => range(at, [one(0)?, one(1)?, one(2)?])?,
        "Trilu" => triangle(at, one(0)?, inputs.get(1).copied().flatten())?,
        _ => return Ok(None),
    };
    Ok(Some(vec![answer]))
}

/// Sizes of axes that a tensor of whole numbers tells.
fn sizes(at: At<'_>, known: &Constant) -> Result<Vec<usize>> {
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

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis]);
    }
    strides
}

/// A tensor of the shape `dims` whose numbers are those of `known` at the places that `place` tells.
fn pick(known: &Constant, dims: Vec<usize>, place: impl Fn(&[usize]) -> usize) -> Result<Constant> {
    if let Numbers::Same(_) = known.numbers {
        return Ok(Constant { dims, numbers: known.numbers.clone() });
    }
    let all = worked(&dims)?;
    let steps = strides(&dims);
    let mut index = vec![0; dims.len()];
    let mut places = Vec::with_capacity(all);
    for n in 0..all {
        let each = index.iter_mut().zip(&steps).zip(&dims);
        each.for_each(|((i, step), side)| *i = n / step % side.max(&1));
        places.push(place(&index));
    }
    Ok(Constant {
        dims,
        numbers: match &known.numbers {
            Numbers::Floats(all) => {
                Numbers::Floats(places.iter().map(|n| all.get(*n).copied().unwrap_or(0.0)).collect())
            }
            Numbers::Ints(all) => {
                Numbers::Ints(places.iter().map(|n| all.get(*n).copied().unwrap_or(0)).collect())
            }
            same => same.clone(),
        },
    })
}

/// Axes of 1 repeated until a tensor has this shape.
fn spread(known: &Constant, dims: &[usize]) -> Result<Constant> {
    if known.dims == dims {
        return Ok(known.clone());
    }
    if let (Some(value), false) = (known.single(), known.is_whole() && worked(dims).is_ok()) {
        return Ok(Constant { dims: dims.to_vec(), numbers: Numbers::Same(value) });
    }
    let (steps, own) = (strides(&known.dims), known.dims.clone());
    let skip = dims.len() - own.len();
    pick(known, dims.to_vec(), move |index| {
        let each = index[skip..].iter().zip(&own).zip(&steps);
        each.map(|((i, side), step)| if *side == 1 { 0 } else { i * step }).sum()
    })
}

fn map(at: At<'_>, known: &Constant, f: fn(f32) -> f32) -> Result<Constant> {
    let numbers = match &known.numbers {
        Numbers::Same(value) => Numbers::Same(f(*value)),
        _ => Numbers::Floats(known.floats().map_err(|e| e.within(at.place()))?.into_iter().map(f).collect()),
    };
    Ok(Constant { dims: known.dims.clone(), numbers })
}

fn whole(at: At<'_>, known: &Constant, f: fn(i64) -> i64) -> Result<Constant> {
    let numbers = known.whole().ok_or_else(|| at.expected("whole numbers", "others"))?;
    Ok(Constant { dims: known.dims.clone(), numbers: Numbers::Ints(numbers.into_iter().map(f).collect()) })
}

fn both_or_negative(at: At<'_>, known: &Constant) -> Result<Constant> {
    if known.is_whole() { whole(at, known, i64::wrapping_neg) } else { map(at, known, |x| -x) }
}

fn pairwise(
    at: At<'_>,
    a: &Constant,
    b: &Constant,
    ints: Binary<i64>,
    floats: Binary<f32>,
) -> Result<Constant> {
    let dims = broadcast(at, &[&a.dims, &b.dims])?;
    let none = || at.expected("numbers that this can be worked out of", "others");
    if let (Numbers::Same(a), Numbers::Same(b)) = (&a.numbers, &b.numbers) {
        return Ok(Constant { dims, numbers: Numbers::Same(floats(*a, *b).ok_or_else(none)?) });
    }
    let (a, b) = (spread(a, &dims)?, spread(b, &dims)?);
    let numbers = match (&a.numbers, &b.numbers) {
        (Numbers::Ints(a), Numbers::Ints(b)) => {
            Numbers::Ints(a.iter().zip(b).map(|(a, b)| ints(*a, *b)).collect::<Option<_>>().ok_or_else(none)?)
        }
        _ => {
            let (a, b) = (known_floats(at, &a)?, known_floats(at, &b)?);
            let all = a.iter().zip(&b).map(|(a, b)| floats(*a, *b));
            Numbers::Floats(all.collect::<Option<_>>().ok_or_else(none)?)
        }
    };
    Ok(Constant { dims, numbers })
}

fn known_floats(at: At<'_>, known: &Constant) -> Result<Vec<f32>> {
    known.floats().map_err(|e: Error| e.within(at.place()))
}

fn compared(
    at: At<'_>,
    a: &Constant,
    b: &Constant,
    ints: fn(&i64, &i64) -> bool,
    floats: fn(&f32, &f32) -> bool,
) -> Result<Constant> {
    let dims = broadcast(at, &[&a.dims, &b.dims])?;
    let (a, b) = (spread(a, &dims)?, spread(b, &dims)?);
    let numbers = match (&a.numbers, &b.numbers) {
        (Numbers::Ints(a), Numbers::Ints(b)) => a.iter().zip(b).map(|(a, b)| i64::from(ints(a, b))).collect(),
        _ => {
            let (a, b) = (known_floats(at, &a)?, known_floats(at, &b)?);
            a.iter().zip(&b).map(|(a, b)| i64::from(floats(a, b))).collect()
        }
    };
    Ok(Constant { dims, numbers: Numbers::Ints(numbers) })
}

fn choose(at: At<'_>, [which, a, b]: [&Constant; 3]) -> Result<Constant> {
    let dims = broadcast(at, &[&which.dims, &a.dims, &b.dims])?;
    let which = spread(which, &dims)?.whole().ok_or_else(|| at.expected("truth values", "others"))?;
    let (a, b) = (spread(a, &dims)?, spread(b, &dims)?);
    let numbers = match (&a.numbers, &b.numbers) {
        (Numbers::Ints(a), Numbers::Ints(b)) => {
            let all = which.iter().zip(a.iter().zip(b));
            Numbers::Ints(all.map(|(which, (a, b))| if *which != 0 { *a } else { *b }).collect())
        }
        _ => {
            let (a, b) = (known_floats(at, &a)?, known_floats(at, &b)?);
            let all = which.iter().zip(a.iter().zip(&b));
            Numbers::Floats(all.map(|(which, (a, b))| if *which != 0 { *a } else { *b }).collect())
        }
    };
    Ok(Constant { dims, numbers })
}

fn cast(at: At<'_>, known: &Constant) -> Result<Constant> {
    let to = at.int("to", 0)? as i32;
    let numbers = match to {
        proto::FLOAT | proto::DOUBLE | proto::FLOAT16 | proto::BFLOAT16 => match &known.numbers {
            Numbers::Ints(all) => Numbers::Floats(all.iter().map(|n| *n as f32).collect()),
            other => other.clone(),
        },
        proto::INT64 | proto::INT32 => match &known.numbers {
            Numbers::Floats(all) => Numbers::Ints(all.iter().map(|v| *v as i64).collect()),
            other => other.clone(),
        },
        proto::BOOL => match &known.numbers {
            Numbers::Ints(all) => Numbers::Ints(all.iter().map(|n| i64::from(*n != 0)).collect()),
            _ => {
                let all = known_floats(at, known)?;
                Numbers::Ints(all.iter().map(|v| i64::from(*v != 0.0)).collect())
            }
        },
        other => return Err(at.expected("a cast to f32, int32, int64 or truth values", other)),
    };
    Ok(Constant { dims: known.dims.clone(), numbers })
}

/// The sizes of some axes of a shape.
pub(crate) fn shape(at: At<'_>, dims: &[usize]) -> Result<Constant> {
    let rank = dims.len() as i64;
    let bound = |n: i64| (if n < 0 { n.saturating_add(rank) } else { n }).clamp(0, rank) as usize;
    let (start, end) = (bound(at.int("start", 0)?), bound(at.int("end", i64::MAX)?));
    let sizes = dims.get(start..end.max(start)).unwrap_or_default();
    Ok(Constant::ints(sizes.iter().map(|n| *n as i64).collect()))
}

/// An index of an axis of so many places, counted from the end where it is below 0.
pub(crate) fn place(at: At<'_>, index: i64, size: usize) -> Result<usize> {
    let from_start = if index < 0 { index.checked_add(size as i64) } else { Some(index) };
    let found = from_start.and_then(|n| usize::try_from(n).ok()).filter(|n| *n < size);
    found.ok_or_else(|| at.expected(format!("a place of {size}"), index))
}

fn gather(at: At<'_>, known: &Constant, which: &Constant) -> Result<Constant> {
    let axis = at.axis(at.int("axis", 0)?, known.dims.len())?;
    let whole = which.whole().ok_or_else(|| at.expected("whole numbers", "others"))?;
    let places: Vec<usize> = whole.iter().map(|n| place(at, *n, known.dims[axis])).collect::<Result<_>>()?;
    let dims = [&known.dims[..axis], &which.dims, &known.dims[axis + 1..]].concat();
    let (steps, inner) = (strides(&known.dims), strides(&which.dims));
    let rank = which.dims.len();
    pick(known, dims, move |index| {
        let chosen: usize = index[axis..axis + rank].iter().zip(&inner).map(|(i, step)| i * step).sum();
        let before: usize = index[..axis].iter().zip(&steps).map(|(i, step)| i * step).sum();
        let after = index[axis + rank..].iter().zip(&steps[axis + 1..]).map(|(i, step)| i * step);
        before + places.get(chosen).copied().unwrap_or(0) * steps[axis] + after.sum::<usize>()
    })
}

fn concat(at: At<'_>, inputs: &[Option<&Constant>]) -> Result<Constant> {
    let all: Vec<&Constant> = inputs.iter().copied().flatten().collect();
    let first = all.first().ok_or_else(|| at.expected("at least one input", "none"))?;
    let axis = at.axis(at.int("axis", 0)?, first.dims.len())?;
    let others = |dims: &[usize]| [&dims[..axis], &dims[axis + 1..]].concat();
    let fits = |c: &&Constant| c.dims.len() == first.dims.len() && others(&c.dims) == others(&first.dims);
    if let Some(odd) = all.iter().find(|c| !fits(c)) {
        return Err(at.expected("shapes that agree", shapes(&[&first.dims, &odd.dims])));
    }
    let mut dims = first.dims.clone();
    dims[axis] = all.iter().fold(0usize, |n, c| n.saturating_add(c.dims[axis]));
    // With a 0 among the others there are no numbers, however many rows there are.
    let rows = if worked(&dims)? == 0 { 0 } else { first.dims[..axis].iter().product() };
    if all.iter().all(|c| c.is_whole()) {
        let parts: Vec<Vec<i64>> = all.iter().filter_map(|c| c.whole()).collect();
        return Ok(Constant { dims, numbers: Numbers::Ints(rows_together(&parts, rows)) });
    }
    let parts: Vec<Vec<f32>> = all.iter().map(|c| known_floats(at, c)).collect::<Result<_>>()?;
    Ok(Constant { dims, numbers: Numbers::Floats(rows_together(&parts, rows)) })
}

fn rows_together<T: Copy>(parts: &[Vec<T>], rows: usize) -> Vec<T> {
    let row = |n: usize| {
        parts.iter().flat_map(move |part| {
            let width = part.len() / rows.max(1);
            part.iter().skip(n * width).take(width).copied()
        })
    };
    (0..rows).flat_map(row).collect()
}

/// What a slice takes of an axis: the first place, and how many in which steps.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub axis: usize,
    pub from: usize,
    pub step: i64,
    pub count: usize,
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

impl Cut {
    /// The places that it takes, in order.
    pub fn places(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |n| (self.from as i64 + n as i64 * self.step) as usize)
    }
}

fn slice(at: At<'_>, inputs: &[Option<&Constant>]) -> Result<Constant> {
    let known = inputs.first().copied().flatten().ok_or_else(|| at.expected("an input 0", "none"))?;
    let cuts = cuts(at, &known.dims, inputs)?;
    let mut dims = known.dims.clone();
    cuts.iter().for_each(|cut| dims[cut.axis] = cut.count);
    let steps = strides(&known.dims);
    pick(known, dims, move |index| {
        let each = index.iter().zip(&steps).enumerate();
        let place = |axis: usize, i: usize| {
            cuts.iter()
                .rev()
                .find(|c| c.axis == axis)
                .map_or(i, |c| (c.from as i64 + i as i64 * c.step) as usize)
        };
        each.map(|(axis, (i, step))| place(axis, *i) * step).sum()
    })
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
pub(crate) fn product(at: At<'_>, dims: &[usize]) -> Result<usize> {
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

fn transpose(at: At<'_>, known: &Constant) -> Result<Constant> {
    let order = order(at, known.dims.len())?;
    let steps = strides(&known.dims);
    let dims = order.iter().map(|axis| known.dims[*axis]).collect();
    pick(known, dims, move |index| index.iter().zip(&order).map(|(i, axis)| i * steps[*axis]).sum())
}

fn range(at: At<'_>, all: [&Constant; 3]) -> Result<Constant> {
    let one = |c: &Constant| c.whole().filter(|n| n.len() == 1).map(|n| n[0]);
    let [Some(from), Some(to), Some(step)] = all.map(one) else {
        return Err(at.expected("a range of whole numbers", "another"));
    };
    let (span, each) = if step >= 0 { (to.checked_sub(from), step) } else { (from.checked_sub(to), -step) };
    let count = span.filter(|_| each > 0).map(|span| (span.max(0) as u64).div_ceil(each as u64));
    let count = count.filter(|n| *n <= 1 << 24).ok_or_else(|| at.expected("a range that ends", "another"))?;
    Ok(Constant::ints((0..count as i64).map(|n| from + n * step).collect()))
}

fn triangle(at: At<'_>, known: &Constant, by: Option<&Constant>) -> Result<Constant> {
    let upper = at.int("upper", 1)? != 0;
    let by = by.and_then(Constant::whole).and_then(|n| n.first().copied()).unwrap_or(0);
    let rank = known.dims.len();
    if rank < 2 {
        return Err(at.expected("a matrix", shown(&known.dims)));
    }
    let all = worked(&known.dims)?;
    let (rows, columns) = (known.dims[rank - 2], known.dims[rank - 1]);
    let kept = |n: usize| {
        let (i, j) = ((n / columns.max(1) % rows.max(1)) as i64, (n % columns.max(1)) as i64);
        if upper { j - i >= by } else { j - i <= by }
    };
    let numbers = match &known.numbers {
        Numbers::Ints(numbers) => {
            Numbers::Ints(numbers.iter().enumerate().map(|(n, v)| if kept(n) { *v } else { 0 }).collect())
        }
        _ => {
            let numbers = known_floats(at, known)?;
            Numbers::Floats((0..all).map(|n| if kept(n) { numbers[n] } else { 0.0 }).collect())
        }
    };
    Ok(Constant { dims: known.dims.clone(), numbers })
}
