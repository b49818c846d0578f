//! Operations that rename, cut, join and pick axes.

use super::Lower;
use crate::constant::{Constant, Numbers};
use crate::fold::{self, BATCH, shapes, shown};
use crate::node::At;
use crate::value::{Act, Atom, Value};
use onward::Result;
use onward::model::Var;

impl<'n> Lower<'n, '_> {
    pub(super) fn reshape(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let known = self.known_if_any(at, 1)?.map(|known| self.with_batch(at, &act, known));
        let dims = fold::reshaped(at, &act.dims(), known.as_ref())?;
        let answer = self.layout.reshaped(at, &act, &dims)?;
        self.give(at, 0, answer);
        Ok(())
    }

    /// A shape whose first axis is the batch's where it is as long as the file says that batches are: any may be given here.
    fn with_batch(&self, at: At<'n>, act: &Act, mut shape: Constant) -> Constant {
        if at.node.op_type == "Reshape"
            && let Numbers::Ints(all) = &mut shape.numbers
            && let (Some(first), Some(batch)) = (all.first_mut(), self.batch)
            && act.axes.first().is_some_and(|axis| super::is_batch(axis))
            && *first == batch
        {
            *first = BATCH as i64;
        }
        shape
    }

    pub(super) fn transpose(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let order = fold::order(at, act.axes.len())?;
        let axes = order.iter().map(|axis| act.axes[*axis].clone()).collect();
        self.give(at, 0, Act { axes, ..act });
        Ok(())
    }

    /// The value with an axis between what lies before it and what lies behind it.
    pub(super) fn around(&mut self, at: At<'n>, act: &Act, axes: &[usize]) -> Result<Around> {
        if act.has_batch(axes) {
            return Err(at.expected("axes without the batch's", shown(&act.dims())));
        }
        let own: Vec<Atom> = axes.iter().flat_map(|axis| act.axes[*axis].clone()).collect();
        let rest = act.rest(axes);
        let first = act.order.iter().position(|atom| own.contains(atom)).unwrap_or(act.order.len());
        let together = act.order.get(first..first + own.len()).is_some_and(|run| run == own);
        let split = if together { first } else { rest.len() };
        let (before, behind) = (rest[..split].to_vec(), rest[split..].to_vec());
        let var = self.layout.laid(act, [&before, &own, &behind]);
        Ok(Around { var, before, behind })
    }

    /// Some places along an axis; none of `axis` are left where `keeps` is not set.
    fn pick(&mut self, at: At<'n>, act: &Act, axis: usize, places: Vec<usize>, keeps: bool) -> Result<Act> {
        let size = act.dims()[axis];
        if places.is_empty() {
            return Err(at.expected("at least one place", "none"));
        }
        if places.iter().copied().eq(0..size) {
            return Ok(act.clone());
        }
        let Around { var, before, behind } = self.around(at, act, &[axis])?;
        let count = places.len();
        let var = self.layout.g.pick(var, 1, places);
        let own = self.layout.axis(count);
        let mut axes = act.axes.clone();
        if keeps {
            axes[axis].clone_from(&own);
        } else {
            axes.remove(axis);
        }
        Ok(Act { var, axes, order: [before, own, behind].concat() })
    }

    pub(super) fn gather(&mut self, at: At<'n>) -> Result<()> {
        let (from, which) = (self.value(at, 0)?.clone(), self.value(at, 1)?.clone());
        match (from, which) {
            (Value::Known(table), Value::Act(which)) => self.table(at, &table, &which),
            (Value::Act(act), Value::Known(which)) => {
                let axis = at.axis(at.int("axis", 0)?, act.axes.len())?;
                let size = act.dims()[axis];
                let whole = which.whole().filter(|_| which.dims.len() < 2);
                let whole = whole.ok_or_else(|| at.expected("places along an axis", shown(&which.dims)))?;
                if act.has_batch(&[axis]) {
                    return Err(at.expected("an axis without the batch's", shown(&act.dims())));
                }
                let places = whole.iter().map(|n| fold::place(at, *n, size)).collect::<Result<Vec<_>>>()?;
                let keeps = which.dims.len() == 1;
                let answer = if size == 1 && !keeps {
                    let mut act = act;
                    act.axes.remove(axis);
                    act
                } else {
                    self.pick(at, &act, axis, places, keeps)?
                };
                self.give(at, 0, answer);
                Ok(())
            }
            (a, b) => {
                Err(at.expected("rows of a table, or places along an axis", shapes(&[&a.dims(), &b.dims()])))
            }
        }
    }

    pub(super) fn slice(&mut self, at: At<'n>) -> Result<()> {
        let mut act = self.act(at, 0)?;
        let known: Vec<Option<Constant>> = (0..5)
            .map(|n| if n == 0 { Ok(None) } else { self.known_if_any(at, n) })
            .collect::<Result<_>>()?;
        let known: Vec<Option<&Constant>> = known.iter().map(Option::as_ref).collect();
        for cut in fold::cuts(at, &act.dims(), &known)? {
            if cut.from == 0 && cut.step == 1 && cut.count == act.dims()[cut.axis] {
                continue;
            }
            crate::constant::worked(&[cut.count]).map_err(|e| e.within(at.place()))?;
            if act.has_batch(&[cut.axis]) {
                return Err(at.expected("an axis without the batch's", shown(&act.dims())));
            }
            act = self.pick(at, &act, cut.axis, cut.places().collect(), true)?;
        }
        self.give(at, 0, act);
        Ok(())
    }

    pub(super) fn split(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let axis = at.axis(at.int("axis", 0)?, act.axes.len())?;
        let (size, parts) = (act.dims()[axis], at.node.output.len());
        crate::constant::worked(&[size]).map_err(|e| e.within(at.place()))?;
        let sizes = match self.known_if_any(at, 1)?.and_then(|c| c.whole()) {
            Some(told) => told.iter().filter_map(|n| usize::try_from(*n).ok()).collect(),
            None => {
                let one = size.div_ceil(parts.max(1));
                (0..parts).map(|n| one.min(size.saturating_sub(n * one))).collect::<Vec<_>>()
            }
        };
        if sizes.len() != parts || sizes.iter().try_fold(0usize, |n, part| n.checked_add(*part)) != Some(size)
        {
            return Err(at.expected(format!("{parts} parts of {size}"), format!("{sizes:?}")));
        }
        let mut from = 0;
        for (index, part) in sizes.into_iter().enumerate() {
            let answer = self.pick(at, &act, axis, (from..from + part).collect(), true)?;
            from += part;
            self.give(at, index, answer);
        }
        Ok(())
    }

    pub(super) fn concat(&mut self, at: At<'n>) -> Result<()> {
        let values =
            (0..at.node.input.len()).map(|n| self.value(at, n).cloned()).collect::<Result<Vec<_>>>()?;
        let acts = values.iter().map(|v| self.as_act(at, v)).collect::<Result<Vec<_>>>()?;
        let first = acts.first().ok_or_else(|| at.expected("at least one input", "none"))?.clone();
        let axis = at.axis(at.int("axis", 0)?, first.axes.len())?;
        let others = |act: &Act| [&act.dims()[..axis], &act.dims()[axis + 1..]].concat();
        let rank = first.axes.len();
        if let Some(odd) = acts.iter().find(|a| a.axes.len() != rank || others(a) != others(&first)) {
            return Err(at.expected("shapes that agree", shapes(&[&first.dims(), &odd.dims()])));
        }
        let Around { var, before, behind } = self.around(at, &first, &[axis])?;
        let mut vars = vec![var];
        for act in &acts[1..] {
            let (mut open, mut other) = (first.clone(), act.clone());
            let own = other.axes[axis].clone();
            (open.axes[axis], other.axes[axis]) = (Vec::new(), Vec::new());
            let (same, other, names) = self.layout.matched_keeping(at, &open, &other)?;
            if same.axes != open.axes {
                return Err(at.expected("axes that were cut alike", shapes(&[&first.dims(), &act.dims()])));
            }
            let own: Vec<Atom> = own.into_iter().map(&names).collect();
            vars.push(self.layout.laid(&other, [&before, &own, &behind]));
        }
        let var = self.layout.g.join(1, &vars);
        let own = self.layout.axis(var.shape()[1]);
        let mut axes = first.axes.clone();
        axes[axis].clone_from(&own);
        self.give(at, 0, Act { var, axes, order: [before, own, behind].concat() });
        Ok(())
    }

    pub(super) fn expand(&mut self, at: At<'n>) -> Result<()> {
        let (act, shape) = (self.act(at, 0)?, self.known(at, 1)?);
        let wanted: Option<Vec<usize>> =
            shape.whole().and_then(|all| all.iter().map(|n| usize::try_from(*n).ok()).collect());
        let wanted = wanted.ok_or_else(|| at.expected("sizes of axes", "others"))?;
        let dims = fold::broadcast(at, &[&act.dims(), &wanted])?;
        if dims == act.dims() {
            self.give(at, 0, act);
            return Ok(());
        }
        let sides: Vec<usize> = dims.iter().map(|n| if super::has_batch(*n) { 1 } else { *n }).collect();
        let count = crate::constant::worked(&sides)?;
        let zeros = Constant { dims: sides, numbers: crate::constant::Numbers::Floats(vec![0.0; count]) };
        let zeros = self.as_act(at, &Value::Known(zeros))?;
        let ([a, b], answer) = self.layout.aligned(at, &act, &zeros)?;
        let [a, b] = self.layout.g.matched([a, b]);
        let var = self.layout.g.add(a, b);
        self.give(at, 0, answer.with(var));
        Ok(())
    }

    /// A value as one that is worked out, whatever it is: constants become constant rows.
    pub(super) fn as_act(&mut self, at: At<'n>, value: &Value) -> Result<Act> {
        let known = match value {
            Value::Act(act) => return Ok(act.clone()),
            Value::Known(known) => known,
        };
        let values = known.floats().map_err(|e| e.within(at.place()))?;
        if values.is_empty() {
            return Err(at.expected("at least one number", shown(&known.dims)));
        }
        let width = known.dims.last().copied().unwrap_or(1);
        let var = self.layout.g.constant([1, values.len() / width, width], values);
        Ok(self.standing(&known.dims, var))
    }

    /// Rows without a batch whose numbers lie in the order of axes of these sides.
    pub(super) fn standing(&mut self, dims: &[usize], var: Var) -> Act {
        let axes: Vec<Vec<Atom>> = dims.iter().map(|n| self.layout.axis(*n)).collect();
        let order = axes.concat();
        Act { var, axes, order }
    }
}

/// A value with some axes between others.
pub(super) struct Around {
    pub var: Var,
    pub before: Vec<Atom>,
    pub behind: Vec<Atom>,
}
