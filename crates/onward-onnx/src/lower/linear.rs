//! Operations with weights: products, convolutions, normalisations, tables.

use super::Lower;
use crate::constant::Constant;
use crate::fold::shown;
use crate::form::{Form, Seat};
use crate::node::At;
use crate::value::{Act, Value};
use onward::Result;
use onward::model::{NORM_EPSILON, Patch};

impl<'n> Lower<'n, '_> {
    pub(super) fn gemm(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        if at.int("transA", 0)? != 0 || act.axes.len() != 2 {
            return Err(at.expected("rows times a matrix", shown(&act.dims())));
        }
        let (alpha, beta) = (at.float("alpha", 1.0)?, at.float("beta", 1.0)?);
        let weight = self.known(at, 1)?.scaled(alpha)?;
        let bias = self.known_if_any(at, 2)?.map(|bias| bias.scaled(beta)).transpose()?;
        let turned = at.int("transB", 0)? != 0;
        let names = [at.input(1), at.input(2)];
        let answer = self.product(at, &act, names, &weight, bias.as_ref(), (at, 2), turned)?;
        self.give(at, 0, answer);
        Ok(())
    }

    pub(super) fn matmul(&mut self, at: At<'n>) -> Result<()> {
        match (self.value(at, 0)?.clone(), self.value(at, 1)?.clone()) {
            (Value::Act(act), Value::Known(weight)) if weight.dims.len() == 2 => {
                let bias = self.bias_after(at, weight.dims[1])?;
                let (biased, name, known) = match &bias {
                    Some((sum, input, known)) => ((*sum, *input), sum.input(*input), Some(known)),
                    None => ((at, 2), None, None),
                };
                let names = [at.input(1), name];
                let answer = self.product(at, &act, names, &weight, known, biased, false)?;
                match bias {
                    Some((sum, ..)) => self.give(sum, 0, answer),
                    None => self.give(at, 0, answer),
                }
                Ok(())
            }
            (Value::Act(a), Value::Act(b)) => {
                let answer = self.products(at, &a, &b)?;
                self.give(at, 0, answer);
                Ok(())
            }
            (a, b) => {
                let found = format!("{} and {}", shown(&a.dims()), shown(&b.dims()));
                Err(at.expected("rows times a matrix, or a product of two that the data change", found))
            }
        }
    }

    /// The sum that follows a product with so many outputs, if all it does is to add a bias: the node, and the bias with its name.
    fn bias_after(&self, at: At<'n>, outputs: usize) -> Result<Option<(At<'n>, usize, Constant)>> {
        let Some(own) = at.node.output.first() else { return Ok(None) };
        let leaves = self.net.graph.output.iter().any(|output| output.name == *own);
        let Some([reader]) = self.net.readers.get(own).map(|all| &all[..]).filter(|_| !leaves) else {
            return Ok(None);
        };
        let sum = At { node: &self.net.graph.node[*reader] };
        if sum.node.op_type != "Add" {
            return Ok(None);
        }
        let other = [0, 1].into_iter().find(|n| sum.input(*n).is_some_and(|name| name != own));
        let known = other.and_then(|n| self.values.get(sum.input(n)?).map(|value| (n, value)));
        Ok(match known {
            Some((n, Value::Known(known))) if known.dims == [outputs] => Some((sum, n, known.clone())),
            _ => None,
        })
    }

    /// `x W + b` over the last axis, the bias standing at `biased`; `turned` where the weight is `(outputs, inputs)` already.
    #[allow(clippy::too_many_arguments)]
    fn product(
        &mut self,
        at: At<'n>,
        act: &Act,
        names: [Option<&str>; 2],
        weight: &Constant,
        bias: Option<&Constant>,
        biased: (At<'n>, usize),
        turned: bool,
    ) -> Result<Act> {
        let ([first, second], dims) = (matrix(at, weight)?, act.dims());
        let (inputs, outputs) = if turned { (second, first) } else { (first, second) };
        let last = dims.len().wrapping_sub(1);
        if dims.last() != Some(&inputs) {
            return Err(at.expected(format!("{inputs} numbers along the last axis"), shown(&dims)));
        }
        let bias = bias.map(|bias| self.bias_of(at, bias, outputs)).transpose()?;
        let layer = self.layer(names[0], names[1], at);
        let (x, rest) = self.layout.channels_last(act, &[last]);
        let y = match &bias {
            Some(_) => self.layout.g.linear(&layer, x, outputs),
            None => self.layout.g.linear_without_bias(&layer, x, outputs),
        };
        let form = if turned { Form::Same } else { Form::Turned([inputs, outputs]) };
        let seat = Seat::of(at, 1, &weight.dims, form);
        self.keep(format!("{layer}.weight"), vec![outputs, inputs], weight, seat)?;
        if let Some(bias) = bias {
            let seat = Seat::of(biased.0, biased.1, &[outputs], Form::Same);
            self.keep(format!("{layer}.bias"), vec![outputs], &bias, seat)?;
        }
        let own = self.layout.axis(outputs);
        let mut axes = act.axes.clone();
        axes[last] = own.clone();
        Ok(Act { var: y, axes, order: [rest, own].concat() })
    }

    /// A bias of so many outputs: one number repeats.
    fn bias_of(&self, at: At<'n>, bias: &Constant, outputs: usize) -> Result<Constant> {
        let rest = bias.dims.len().saturating_sub(1);
        if bias.dims.last() == Some(&outputs) && bias.dims[..rest].iter().all(|n| *n == 1) {
            return Ok(bias.clone());
        }
        match bias.single() {
            Some(value) if bias.dims.iter().all(|n| *n == 1) => {
                Ok(Constant { dims: vec![outputs], numbers: crate::constant::Numbers::Same(value) })
            }
            _ => Err(at.expected(format!("a bias of {outputs} numbers"), shown(&bias.dims))),
        }
    }

    /// The matrix product of two values over their last two axes; those before repeat where they are 1.
    fn products(&mut self, at: At<'n>, a: &Act, b: &Act) -> Result<Act> {
        let (da, db) = (a.dims(), b.dims());
        let odd = || {
            at.expected(
                "matrices that can be multiplied, batch by batch",
                format!("{} and {}", shown(&da), shown(&db)),
            )
        };
        if da.len() < 2 || db.len() < 2 || da[da.len() - 1] != db[db.len() - 2] {
            return Err(odd());
        }
        let (m, n) = (da.len() - 2, db.len() - 1);
        if a.has_batch(&[m, m + 1]) || b.has_batch(&[n - 1, n]) {
            return Err(odd());
        }
        let emptied = |act: &Act, axes: [usize; 2]| {
            let mut act = act.clone();
            axes.into_iter().for_each(|axis| act.axes[axis] = Vec::new());
            act
        };
        // The axes before are matched with the matrices' own left out; atoms of these keep their names in the order.
        let (ea, eb) = (emptied(a, [m, m + 1]), emptied(b, [n - 1, n]));
        let own = |act: &Act, axis: usize| act.axes[axis].clone();
        let (rows, inner, inner_b, columns) = (own(a, m), own(a, m + 1), own(b, n - 1), own(b, n));
        let (ma, mb, names) = self.layout.matched_keeping(at, &ea, &eb)?;
        let renamed =
            |atoms: &[crate::value::Atom]| -> Vec<_> { atoms.iter().map(|atom| names(*atom)).collect() };
        let (inner_b, columns) = (renamed(&inner_b), renamed(&columns));
        let outer: Vec<_> =
            ma.axes.concat().into_iter().filter(|atom| *atom != crate::value::Atom::BATCH).collect();
        let outer_b: Vec<_> =
            mb.axes.concat().into_iter().filter(|atom| *atom != crate::value::Atom::BATCH).collect();
        if !(outer == outer_b || outer.is_empty() || outer_b.is_empty()) {
            return Err(odd());
        }
        let x = self.layout.laid(&ma, [&outer, &rows, &inner]);
        let y = self.layout.laid(&mb, [&outer_b, &inner_b, &columns]);
        let var = self.layout.g.products(x, y);
        let more = if outer.is_empty() { outer_b } else { outer };
        let batches =
            ma.axes.iter().zip(&mb.axes).map(|(a, b)| if a.is_empty() { b.clone() } else { a.clone() });
        let mut axes: Vec<_> = batches.collect();
        let rank = axes.len();
        (axes[rank - 2], axes[rank - 1]) = (rows.clone(), columns.clone());
        Ok(Act { var, axes, order: [more, rows, columns].concat() })
    }

    pub(super) fn conv(&mut self, at: At<'n>) -> Result<()> {
        let (act, weight) = (self.act(at, 0)?, self.known(at, 1)?);
        let (dims, spatial) = (act.dims(), weight.dims.len().saturating_sub(2));
        if !(1..=2).contains(&spatial) || dims.len() != spatial + 2 {
            let found = format!("{} with {}", shown(&dims), shown(&weight.dims));
            return Err(at.expected("a convolution over one axis or two", found));
        }
        let groups = usize::try_from(at.int("group", 1)?).unwrap_or(0);
        let (outputs, own) = (weight.dims[0], weight.dims[1]);
        if Some(dims[1]) != own.checked_mul(groups) {
            let expected = format!("{} channels", own.saturating_mul(groups));
            return Err(at.expected(expected, shown(&dims)));
        }
        let patch = patch(at, &weight.dims[2..], &dims[2..])?;
        let bias = self.known_if_any(at, 2)?.map(|bias| self.bias_of(at, &bias, outputs)).transpose()?;
        let layer = self.layer(at.input(1), at.input(2), at);
        let x = self.image(&act);
        let y = match &bias {
            Some(_) => self.layout.g.convolution(&layer, x, outputs, patch, groups),
            None => self.layout.g.convolution_without_bias(&layer, x, outputs, patch, groups),
        };
        let area = patch.size[0] * patch.size[1];
        let shape = vec![outputs, patch.size[0], patch.size[1], own];
        let seat = Seat::of(at, 1, &weight.dims, Form::Channels { own, area });
        self.keep(format!("{layer}.weight"), shape, &weight, seat)?;
        if let Some(bias) = bias {
            let seat = Seat::of(at, 2, &[outputs], Form::Same);
            self.keep(format!("{layer}.bias"), vec![outputs], &bias, seat)?;
        }
        let answer = self.map_of(&act, y);
        self.give(at, 0, answer);
        Ok(())
    }

    /// An image as rows of height, width and channels; of one axis, that is the width.
    pub(super) fn image(&mut self, act: &Act) -> onward::model::Var {
        let channels = &act.axes[1];
        match &act.axes[2..] {
            [wide] => self.layout.laid(act, [&[], wide, channels]),
            [high, rest @ ..] => self.layout.laid(act, [high, &rest.concat(), channels]),
            [] => act.var,
        }
    }

    /// What an operation on an image answers: a variable whose channels are the second axis.
    pub(super) fn map_of(&mut self, act: &Act, var: onward::model::Var) -> Act {
        let [h, w, c] = var.shape();
        let (high, wide, channels) = (self.layout.axis(h), self.layout.axis(w), self.layout.axis(c));
        let order = [&high[..], &wide, &channels].concat();
        let spatial = if act.axes.len() == 3 { vec![wide] } else { vec![high, wide] };
        Act { var, axes: [vec![act.axes[0].clone(), channels], spatial].concat(), order }
    }

    /// With the statistics of the file: a scale and a shift of each channel, which train.
    pub(super) fn batch_norm(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        if at.int("training_mode", 0)? != 0 {
            return Err(at.expected("a normalisation by the file's statistics", "training_mode"));
        }
        let dims = act.dims();
        let channels = dims.get(1).copied().ok_or_else(|| at.expected("channels", shown(&dims)))?;
        let all: Vec<Constant> = (1..5).map(|n| self.known(at, n)).collect::<Result<_>>()?;
        if let Some(odd) = all.iter().find(|c| c.dims != [channels]) {
            return Err(at.expected(format!("{channels} numbers for the channels"), shown(&odd.dims)));
        }
        let epsilon = at.float("epsilon", 1e-5)?;
        let layer = self.layer(at.input(1), at.input(2), at);
        let (x, rest) = self.layout.channels_last(&act, &[1]);
        let y = self.layout.g.scale(&layer, x);
        if self.keeps {
            let [gamma, beta, mean, variance] = [&all[0], &all[1], &all[2], &all[3]].map(Constant::floats);
            let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
            let scale: Vec<f32> = gamma
                .iter()
                .zip(&variance)
                .map(|(g, v)| (f64::from(*g) / (f64::from(*v) + f64::from(epsilon)).sqrt()) as f32)
                .collect();
            let shift = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
            for (part, data, input) in [("weight", scale, 1), ("bias", shift, 2)] {
                let known =
                    Constant { dims: vec![channels], numbers: crate::constant::Numbers::Floats(data) };
                let seat = Seat::of(at, input, &[channels], Form::Same);
                self.keep(format!("{layer}.{part}"), vec![channels], &known, seat)?;
            }
        }
        let order = [rest, act.axes[1].clone()].concat();
        self.give(at, 0, Act { var: y, axes: act.axes, order });
        Ok(())
    }

    pub(super) fn layer_norm(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let rank = act.axes.len();
        let axes: Vec<usize> = (at.axis(at.int("axis", -1)?, rank)?..rank).collect();
        if act.has_batch(&axes) {
            return Err(at.expected("axes without the batch's", format!("{axes:?}")));
        }
        let epsilon = at.float("epsilon", 1e-5)?;
        if (epsilon - NORM_EPSILON).abs() > 1e-3 * NORM_EPSILON {
            return Err(at.expected(format!("an epsilon of {NORM_EPSILON}"), epsilon));
        }
        let size = act.dims()[axes[0]..].iter().fold(1usize, |n, side| n.saturating_mul(*side));
        let (scale, shift) = (self.known(at, 1)?, self.known_if_any(at, 2)?);
        let layer = self.layer(at.input(1), at.input(2), at);
        let (x, rest) = self.layout.channels_last(&act, &axes);
        let y = self.layout.g.layer_norm(&layer, x);
        let none = Constant { dims: vec![size], numbers: crate::constant::Numbers::Same(0.0) };
        for (part, known, input) in [("weight", scale, 1), ("bias", shift.unwrap_or(none), 2)] {
            if crate::constant::count(&known.dims)? != size {
                return Err(at.expected(format!("{size} numbers to scale and shift by"), shown(&known.dims)));
            }
            let seat = Seat::of(at, input, &known.dims, Form::Same);
            self.keep(format!("{layer}.{part}"), vec![size], &known, seat)?;
        }
        let own = axes.iter().flat_map(|axis| act.axes[*axis].clone());
        let order = rest.into_iter().chain(own).collect();
        self.give(at, 0, Act { var: y, axes: act.axes.clone(), order });
        Ok(())
    }

    /// Rows of a table that trains.
    pub(super) fn table(&mut self, at: At<'n>, table: &Constant, which: &Act) -> Result<()> {
        if table.dims.len() != 2 || at.int("axis", 0)? != 0 {
            return Err(at.expected("rows of a table", shown(&table.dims)));
        }
        let layer = self.layer(at.input(0), None, at);
        let order = which.order.clone();
        let x = self.layout.laid(which, [&[], &order, &[]]);
        let y = self.layout.g.embed(&layer, x, table.dims[0], table.dims[1]);
        let seat = Seat::of(at, 0, &table.dims, Form::Same);
        self.keep(format!("{layer}.weight"), table.dims.clone(), table, seat)?;
        let own = self.layout.axis(table.dims[1]);
        let axes = [which.axes.clone(), vec![own.clone()]].concat();
        self.give(at, 0, Act { var: y, axes, order: [order, own].concat() });
        Ok(())
    }
}

/// Rows and columns of a matrix.
fn matrix(at: At<'_>, known: &Constant) -> Result<[usize; 2]> {
    <[usize; 2]>::try_from(&known.dims[..])
        .map_err(|_| at.expected("a matrix of weights", shown(&known.dims)))
}

/// The patches of a convolution or a pool of this size over axes of these sides.
pub(super) fn patch(at: At<'_>, size: &[usize], sides: &[usize]) -> Result<Patch> {
    let rank = size.len();
    let numbers = |name: &str, count: usize, default: i64| -> Result<Vec<usize>> {
        let told = at.ints(name)?.map_or_else(|| vec![default; count], <[i64]>::to_vec);
        let all: Option<Vec<usize>> = told.iter().map(|n| usize::try_from(*n).ok()).collect();
        all.filter(|all| all.len() == count)
            .ok_or_else(|| at.expected(format!("{count} sizes in {name}"), format!("{told:?}")))
    };
    if let Some(told) = at.ints("kernel_shape")?
        && !told.iter().eq(size.iter().map(|n| *n as i64).collect::<Vec<_>>().iter())
    {
        return Err(at.expected(format!("kernel_shape {size:?}, as its weight has"), format!("{told:?}")));
    }
    let (stride, dilation) = (numbers("strides", rank, 1)?, numbers("dilations", rank, 1)?);
    let padding = match at.word("auto_pad", "NOTSET")? {
        "NOTSET" | "" => numbers("pads", 2 * rank, 0)?,
        "VALID" => vec![0; 2 * rank],
        word @ ("SAME_UPPER" | "SAME_LOWER") => {
            let total = |n: usize| {
                let reach = size[n].saturating_sub(1).saturating_mul(dilation[n]).saturating_add(1);
                let places = sides[n].div_ceil(stride[n].max(1));
                (places.saturating_sub(1) * stride[n]).saturating_add(reach).saturating_sub(sides[n])
            };
            let all: Vec<usize> = (0..rank).map(total).collect();
            let less = |n: &usize| n / 2;
            let more = |n: &usize| n.div_ceil(2);
            let (before, after): (Vec<_>, Vec<_>) = if word == "SAME_UPPER" {
                (all.iter().map(less).collect(), all.iter().map(more).collect())
            } else {
                (all.iter().map(more).collect(), all.iter().map(less).collect())
            };
            [before, after].concat()
        }
        other => return Err(at.expected("auto_pad NOTSET, VALID, SAME_UPPER or SAME_LOWER", other)),
    };
    let two = |all: &[usize], one: usize| match *all {
        [wide] => [one, wide],
        [high, wide, ..] => [high, wide],
        [] => [one; 2],
    };
    let (before, after) = (two(&padding[..rank], 0), two(&padding[rank..], 0));
    Ok(Patch {
        size: two(size, 1),
        stride: two(&stride, 1),
        dilation: two(&dilation, 1),
        padding: [before[0], before[1], after[0], after[1]],
    })
}
