//! Arithmetic on what is known: exporters write shapes as operations on shapes, and masks as operations on constants.

mod axes;

pub(crate) use axes::{BATCH, axes, broadcast, cuts, order, place, reshaped, shapes, shown};

use crate::constant::{Constant, Numbers, worked};
use crate::node::At;
use crate::proto;
use axes::{sizes, strides};
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
