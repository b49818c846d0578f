//! Functions of one number and of two, pools, sums over axes, softmax.

use super::linear::patch;
use super::shape::Around;
use super::{Lower, is_made_up};
use crate::constant::{Constant, Numbers};
use crate::fold::{self, shown};
use crate::form::{Form, Seat};
use crate::node::At;
use crate::value::{Act, Value};
use onward::Result;
use onward::model::{Activation, Function, Pairwise, Patch, Reduction, Var};

/// Beyond, a number is a mask's and no weight.
const MASKED: f32 = 1e9;

impl<'n> Lower<'n, '_> {
    /// A function of single numbers; whether the operation is one.
    pub(super) fn function(&mut self, at: At<'n>) -> Result<bool> {
        let map = |lower: &mut Self, activation| lower.each(at, |g, x| g.map(activation, x));
        let apply = |lower: &mut Self, function| lower.each(at, |g, x| g.apply(function, x));
        match at.node.op_type.as_str() {
            "Relu" => map(self, Activation::Relu)?,
            "Tanh" => map(self, Activation::Tanh)?,
            "Sigmoid" => map(self, Activation::Sigmoid)?,
            "Softplus" => map(self, Activation::Softplus)?,
            "Gelu" => match at.word("approximate", "none")? {
                "none" => self.each(at, exact_gelu)?,
                "tanh" => map(self, Activation::Gelu)?,
                other => return Err(at.expected("approximate none or tanh", other)),
            },
            "Erf" => apply(self, Function::Erf)?,
            "Exp" => apply(self, Function::Exp)?,
            "Log" => apply(self, Function::Ln)?,
            "Sin" => apply(self, Function::Sin)?,
            "Cos" => apply(self, Function::Cos)?,
            "Sqrt" => apply(self, Function::Sqrt)?,
            "Abs" => apply(self, Function::Absolute)?,
            "Reciprocal" => apply(self, Function::Reciprocal)?,
            "Neg" => apply(self, Function::Affine { scale: -1.0, shift: 0.0 })?,
            "LeakyRelu" => apply(self, Function::LeakyRelu { slope: at.float("alpha", 0.01)? })?,
            "Elu" => apply(self, Function::Elu { alpha: at.float("alpha", 1.0)? })?,
            "HardSigmoid" => {
                let (scale, shift) = (at.float("alpha", 0.2)?, at.float("beta", 0.5)?);
                self.each(at, |g, x| {
                    let y = g.apply(Function::Affine { scale, shift }, x);
                    g.apply(Function::Clip { low: 0.0, high: 1.0 }, y)
                })?;
            }
            "Clip" => {
                let bound = |lower: &Self, n| {
                    let known = lower.known_if_any(at, n)?;
                    known
                        .map(|c| c.single().ok_or_else(|| at.expected("a bound", shown(&c.dims))))
                        .transpose()
                };
                let (low, high) = (bound(self, 1)?.unwrap_or(f32::MIN), bound(self, 2)?.unwrap_or(f32::MAX));
                apply(self, Function::Clip { low, high })?;
            }
            "Pow" => {
                let power = self.known(at, 1)?.single();
                match power {
                    Some(2.0) => apply(self, Function::Square)?,
                    Some(0.5) => apply(self, Function::Sqrt)?,
                    Some(1.0) => self.each(at, |_, x| x)?,
                    Some(3.0) => self.each(at, |g, x| {
                        let square = g.apply(Function::Square, x);
                        g.multiply(square, x)
                    })?,
                    other => return Err(at.expected("a power of 0.5, 1, 2 or 3", format!("{other:?}"))),
                }
            }
            // Numbers have one type here; those that are cut off would be others, but where they only pick rows of a table.
            "Cast" if at.int("to", 0)? == i64::from(crate::proto::FLOAT) || self.only_picks(at) => {
                self.each(at, |_, x| x)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether all that looks at a node's answer takes it for places in a table.
    fn only_picks(&self, at: At<'n>) -> bool {
        let own = at.node.output.first();
        let readers = own.and_then(|name| self.net.readers.get(name)).map(Vec::as_slice).unwrap_or_default();
        let picks = |reader: &usize| {
            let node = &self.net.graph.node[*reader];
            node.op_type == "Gather" && node.input.get(1) == own && node.input.first() != own
        };
        !readers.is_empty() && readers.iter().all(picks)
    }

    fn each(&mut self, at: At<'n>, f: impl FnOnce(&mut onward::model::Builder, Var) -> Var) -> Result<()> {
        let act = self.act(at, 0)?;
        let var = f(self.layout.g, act.var);
        self.give(at, 0, act.with(var));
        Ok(())
    }

    pub(super) fn pairwise(&mut self, at: At<'n>) -> Result<()> {
        if at.node.input.len() != 2 {
            return Err(at.expected("two inputs", at.node.input.len()));
        }
        let op = at.node.op_type.as_str();
        let (a, b) = (self.value(at, 0)?.clone(), self.value(at, 1)?.clone());
        let answer = match (&a, &b) {
            (Value::Act(act), Value::Known(known)) => self.with_constant(at, act, known, false)?,
            (Value::Known(known), Value::Act(act)) => self.with_constant(at, act, known, true)?,
            _ => None,
        };
        if let Some(answer) = answer {
            self.give(at, 0, answer);
            return Ok(());
        }
        let (a, b) = (self.operand(at, 0, &a)?, self.operand(at, 1, &b)?);
        let (vars, answer) = self.layout.aligned(at, &a, &b)?;
        let g = &mut *self.layout.g;
        let both = |g: &mut onward::model::Builder, op: fn(&mut onward::model::Builder, Var, Var) -> Var| {
            let [a, b] = g.matched(vars);
            op(g, a, b)
        };
        let var = match op {
            "Add" => both(g, |g, a, b| g.add(a, b)),
            "Mul" => both(g, |g, a, b| g.multiply(a, b)),
            "Sub" => g.combine(Pairwise::Subtract, vars[0], vars[1]),
            "Div" => g.combine(Pairwise::Divide, vars[0], vars[1]),
            "Min" => g.combine(Pairwise::Minimum, vars[0], vars[1]),
            "Less" => g.combine(Pairwise::Less, vars[0], vars[1]),
            "Greater" => g.combine(Pairwise::Less, vars[1], vars[0]),
            "Equal" => g.combine(Pairwise::Equal, vars[0], vars[1]),
            _ => g.combine(Pairwise::Maximum, vars[0], vars[1]),
        };
        self.give(at, 0, answer.with(var));
        Ok(())
    }

    /// Numbers of one value or of another, as a third says.
    pub(super) fn choose(&mut self, at: At<'n>) -> Result<()> {
        let values = [0, 1, 2].map(|n| self.value(at, n).cloned());
        let [which, a, b] = values;
        let [which, a, b] = [self.as_act(at, &which?)?, self.operand(at, 1, &a?)?, self.operand(at, 2, &b?)?];
        let (vars, answer) = self.layout.aligned(at, &which, &a)?;
        let [which, a] = self.layout.g.matched(vars).map(|var| answer.with(var));
        let ([which, other], answer) = self.layout.aligned(at, &which, &b)?;
        let ([a, _], _) = self.layout.aligned(at, &a, &b)?;
        let var = self.layout.g.choose(which, a, other);
        self.give(at, 0, answer.with(var));
        Ok(())
    }

    /// What needs no rows of constants: one number for all.
    fn with_constant(&mut self, at: At<'n>, act: &Act, known: &Constant, first: bool) -> Result<Option<Act>> {
        let wider = known.dims.len() > act.axes.len();
        let Some(value) =
            known.single().filter(|v| v.is_finite() && !wider && known.dims.iter().all(|n| *n == 1))
        else {
            return Ok(None);
        };
        let affine = |scale, shift| Some(Function::Affine { scale, shift });
        let function = match (at.node.op_type.as_str(), first) {
            ("Add", _) => affine(1.0, value),
            ("Mul", _) => affine(value, 0.0),
            ("Sub", false) => affine(1.0, -value),
            ("Sub", true) => affine(-1.0, value),
            ("Div", false) if value != 0.0 => affine(1.0 / value, 0.0),
            ("Min", _) => Some(Function::Clip { low: f32::MIN, high: value }),
            ("Max", _) => Some(Function::Clip { low: value, high: f32::MAX }),
            _ => None,
        };
        Ok(function.map(|function| act.with(self.layout.g.apply(function, act.var))))
    }

    /// What an operation on two values reads: a tensor of the file's own trains, other constants do not.
    fn operand(&mut self, at: At<'n>, index: usize, value: &Value) -> Result<Act> {
        let (Value::Known(known), Some(name)) = (value, at.input(index)) else {
            return self.as_act(at, value);
        };
        let numbers = crate::constant::count(&known.dims).unwrap_or(0);
        let weight = match &known.numbers {
            Numbers::Floats(all) => all.iter().all(|v| v.abs() < MASKED),
            _ => false,
        };
        if !(weight && numbers > 1 && self.weights.contains(name) && !is_made_up(name)) {
            return self.as_act(at, value);
        }
        // A table whose rows are read in order.
        let width = known.dims.last().copied().unwrap_or(1);
        let rows = numbers / width;
        let layer = self.layer(Some(name), None, at);
        let which = self.layout.g.constant([1, rows, 1], (0..rows).map(|n| n as f32).collect());
        let var = self.layout.g.embed(&layer, which, rows, width);
        let seat = Seat::of(at, index, &known.dims, Form::Same);
        self.keep(format!("{layer}.weight"), vec![rows, width], known, seat)?;
        Ok(self.standing(&known.dims, var))
    }

    pub(super) fn softmax(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let axis = at.axis(at.int("axis", -1)?, act.axes.len())?;
        if act.has_batch(&[axis]) {
            return Err(at.expected("an axis without the batch's", shown(&act.dims())));
        }
        let (x, rest) = self.layout.channels_last(&act, &[axis]);
        let g = &mut *self.layout.g;
        let var = if at.node.op_type == "Softmax" { g.softmax(x) } else { g.log_softmax(x) };
        let order = [rest, act.axes[axis].clone()].concat();
        self.give(at, 0, Act { var, axes: act.axes, order });
        Ok(())
    }

    pub(super) fn pool(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let (dims, size) = (act.dims(), at.ints("kernel_shape")?.unwrap_or_default());
        let size: Vec<usize> = size.iter().filter_map(|n| usize::try_from(*n).ok()).collect();
        if !(1..=2).contains(&size.len()) || dims.len() != size.len() + 2 || at.int("ceil_mode", 0)? != 0 {
            let expected = "a pool over one axis or two, whole patches alone";
            return Err(at.expected(expected, format!("{} by {size:?}", shown(&dims))));
        }
        let patch = patch(at, &size, &dims[2..])?;
        let largest = at.node.op_type == "MaxPool";
        if !largest && patch.padding != [0; 4] && at.int("count_include_pad", 0)? == 0 {
            return Err(at.expected("means that count the padding", "count_include_pad 0"));
        }
        let x = self.image(&act);
        let halves = Patch { stride: [2, 2], ..Patch::of([2, 2]) };
        let g = &mut *self.layout.g;
        let y = match (patch == halves, largest) {
            (true, true) => g.max_pool(x),
            (true, false) => g.average_pool(x),
            (false, true) => g.pool(Reduction::Largest, x, patch),
            (false, false) => g.pool(Reduction::Mean, x, patch),
        };
        let answer = self.map_of(&act, y);
        self.give(at, 0, answer);
        Ok(())
    }

    /// Numbers along axes made one.
    pub(super) fn reduce(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let rank = act.axes.len();
        let (reduction, axes, keeps) = match at.node.op_type.as_str() {
            "GlobalAveragePool" => (Reduction::Mean, (2..rank).collect(), true),
            "GlobalMaxPool" => (Reduction::Largest, (2..rank).collect(), true),
            op => {
                let known = self.known_if_any(at, 1)?;
                let told = fold::axes(at, known.as_ref())?.filter(|axes| !axes.is_empty());
                let told = told.ok_or_else(|| at.expected("axes", "none: that is all, the batch's too"))?;
                let axes = told.iter().map(|a| at.axis(*a, rank)).collect::<Result<Vec<_>>>()?;
                let reduction = match op {
                    "ReduceMean" => Reduction::Mean,
                    "ReduceMax" => Reduction::Largest,
                    _ => Reduction::Sum,
                };
                (reduction, axes, at.int("keepdims", 1)? != 0)
            }
        };
        let axes: Vec<usize> = (0..rank).filter(|axis| axes.contains(axis)).collect();
        let Around { var, before, behind } = self.around(at, &act, &axes)?;
        let g = &mut *self.layout.g;
        let var = match reduction {
            Reduction::Mean if before.is_empty() => g.global_average(var),
            Reduction::Largest if before.is_empty() => g.global_max(var),
            _ => g.reduce(reduction, var, &[1]),
        };
        let left = (0..rank).filter(|axis| keeps || !axes.contains(axis));
        let left = left.map(|axis| if axes.contains(&axis) { Vec::new() } else { act.axes[axis].clone() });
        self.give(at, 0, Act { var, axes: left.collect(), order: [before, behind].concat() });
        Ok(())
    }
}

/// `x/2 · (1 + erf(x / √2))` (Hendrycks and Gimpel 2016, arXiv 1606.08415).
fn exact_gelu(g: &mut onward::model::Builder, x: Var) -> Var {
    let part = g.apply(Function::Affine { scale: std::f32::consts::FRAC_1_SQRT_2, shift: 0.0 }, x);
    let part = g.apply(Function::Erf, part);
    let part = g.apply(Function::Affine { scale: 0.5, shift: 0.5 }, part);
    g.multiply(x, part)
}
