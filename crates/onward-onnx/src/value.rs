//! Values on their way: axes as the file has them, numbers as they lie in rows.
//!
//! Rows here are `[height, width, channels]`, axes of files are of any number and in any order, the batch's among them. So a value's axes
//! are made of atoms, and the numbers of a row lie in some order of these. What only renames, cuts or turns axes (`Reshape`,
//! `Transpose`, `Squeeze` and so on) changes the axes alone and costs nothing; numbers move where an operation needs them otherwise.

use crate::constant::Constant;
use crate::fold::{BATCH, shapes, shown};
use crate::node::At;
use onward::Result;
use onward::model::{Builder, Var};

/// A part of an axis: `size` places. The batch's has the size [`BATCH`] and is in no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Atom {
    pub id: u32,
    pub size: usize,
}

impl Atom {
    pub const BATCH: Self = Self { id: 0, size: BATCH };
}

/// What is worked out where the model runs.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub var: Var,
    /// Each axis as its atoms, the last one fastest; none for an axis of 1.
    pub axes: Vec<Vec<Atom>>,
    /// The atoms in the order in which the numbers of a row lie.
    pub order: Vec<Atom>,
}

/// A value of a file.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Known(Constant),
    Act(Act),
}

impl Value {
    /// The sizes of the value's axes.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Known(known) => known.dims.clone(),
            Self::Act(act) => act.dims(),
        }
    }
}

fn size(atoms: &[Atom]) -> usize {
    atoms.iter().fold(1usize, |n, atom| n.saturating_mul(atom.size))
}

impl Act {
    pub fn dims(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| size(axis)).collect()
    }

    /// The value with `var` in place of its variable, whose numbers stand in the same order.
    pub fn with(&self, var: Var) -> Self {
        Self { var, ..self.clone() }
    }

    /// The atoms of all axes but those of `axes`, without the batch's, in the order in which they lie.
    pub fn rest(&self, axes: &[usize]) -> Vec<Atom> {
        let chosen: Vec<Atom> = axes.iter().flat_map(|axis| self.axes[*axis].clone()).collect();
        self.order.iter().filter(|atom| !chosen.contains(atom)).copied().collect()
    }

    /// Whether the batch's axis is among these.
    pub fn has_batch(&self, axes: &[usize]) -> bool {
        axes.iter().any(|axis| self.axes[*axis].contains(&Atom::BATCH))
    }

    fn replace(&mut self, old: Atom, new: &[Atom]) {
        for list in self.axes.iter_mut().chain([&mut self.order]) {
            if let Some(at) = list.iter().position(|atom| *atom == old) {
                list.splice(at..=at, new.iter().copied());
            }
        }
    }
}

/// What gives atoms their names and moves numbers.
pub(crate) struct Layout<'g> {
    pub g: &'g mut Builder,
    next: u32,
}

impl<'g> Layout<'g> {
    pub fn new(g: &'g mut Builder) -> Self {
        Self { g, next: 1 }
    }

    /// An axis of its own; none of 1 has an atom.
    pub fn axis(&mut self, size: usize) -> Vec<Atom> {
        if size == 1 {
            return Vec::new();
        }
        let id = self.next;
        self.next += 1;
        vec![Atom { id, size }]
    }

    /// The variable with its numbers in another shape.
    pub fn shaped(&mut self, var: Var, shape: [usize; 3]) -> Var {
        if var.shape() == shape { var } else { self.g.reshape(var, shape) }
    }

    /// The value as rows whose height, width and channels are these atoms; all that the value has, once.
    pub fn laid(&mut self, act: &Act, groups: [&[Atom]; 3]) -> Var {
        let wanted = groups.concat();
        let var = self.ordered(act.var, &act.order, &wanted);
        self.shaped(var, groups.map(size))
    }

    /// The value as rows with one axis as the channels, all others as the width, as they lie.
    pub fn channels_last(&mut self, act: &Act, channels: &[usize]) -> (Var, Vec<Atom>) {
        let last: Vec<Atom> = channels.iter().flat_map(|axis| act.axes[*axis].clone()).collect();
        let rest = act.rest(channels);
        (self.laid(act, [&[], &rest, &last]), rest)
    }

    /// Numbers that lie as `from` says, put as `to` says. Each turn puts one more run of atoms where it belongs.
    fn ordered(&mut self, mut var: Var, from: &[Atom], to: &[Atom]) -> Var {
        let mut now = from.to_vec();
        while now != to {
            let fixed = now.iter().zip(to).take_while(|(a, b)| a == b).count();
            let Some(first) = now.iter().position(|atom| *atom == to[fixed]) else { return var };
            let run = now[first..].iter().zip(&to[fixed..]).take_while(|(a, b)| a == b).count();
            let (before, between) = (&now[..fixed], &now[fixed..first]);
            let (moved, behind) = (&now[first..first + run], &now[first + run..]);
            if before.is_empty() {
                var = self.shaped(var, [between, moved, behind].map(size));
                var = self.g.transpose(var, [1, 0, 2]);
                now = [moved, between, behind].concat();
            } else {
                var = self.shaped(var, [size(before), size(between), size(moved) * size(behind)]);
                var = self.g.transpose(var, [0, 2, 1]);
                now = [before, moved, behind, between].concat();
            }
        }
        var
    }

    /// The value with its numbers in the order of its axes, each axis one atom again.
    fn settled(&mut self, act: &Act) -> Act {
        let wanted: Vec<Atom> = act.axes.concat().into_iter().filter(|a| *a != Atom::BATCH).collect();
        let var = self.ordered(act.var, &act.order, &wanted);
        Act { var, order: wanted, ..act.clone() }
    }

    /// The value with other axes over the same numbers.
    pub fn reshaped(&mut self, at: At<'_>, act: &Act, dims: &[usize]) -> Result<Act> {
        let (told, all) = (dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d)), act.dims());
        let same = all.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if told.is_none() || told != same {
            return Err(at.expected(format!("a shape of the numbers of {}", shown(&all)), shown(dims)));
        }
        if let Some(cut) = self.cut(act, dims) {
            return Ok(cut);
        }
        // Where the axes cannot be cut as they are, their numbers in order can, if nothing but the batch divides them.
        let mut settled = self.settled(act);
        let mut axes: Vec<Vec<Atom>> = Vec::new();
        let flat: Vec<Atom> = settled.axes.concat();
        for part in flat.split(|atom| *atom == Atom::BATCH) {
            let joined = self.axis(size(part));
            if !axes.is_empty() {
                axes.push(vec![Atom::BATCH]);
            }
            axes.push(joined);
        }
        settled.order = axes.iter().flatten().filter(|a| **a != Atom::BATCH).copied().collect();
        settled.axes = axes;
        self.cut(&settled, dims).ok_or_else(|| {
            at.expected(format!("axes that {} can be cut into without the batch's", shown(&all)), shown(dims))
        })
    }

    /// The value with its axes cut and joined anew, if that can be done without moving numbers.
    fn cut(&mut self, act: &Act, dims: &[usize]) -> Option<Act> {
        let mut act = act.clone();
        let mut rest: Vec<Atom> = act.axes.concat();
        rest.reverse();
        let mut axes = Vec::with_capacity(dims.len());
        for side in dims {
            let (mut open, mut axis) = (*side, Vec::new());
            while open > 1 {
                let atom = rest.pop()?;
                if open.is_multiple_of(atom.size) {
                    open /= atom.size;
                    axis.push(atom);
                } else if atom != Atom::BATCH && atom.size.is_multiple_of(open) {
                    let (first, second) = (self.axis(open), self.axis(atom.size / open));
                    act.replace(atom, &[&first[..], &second].concat());
                    axis.extend(first);
                    rest.extend(second);
                    open = 1;
                } else {
                    return None;
                }
            }
            axes.push(axis);
        }
        act.axes = axes;
        rest.is_empty().then_some(act)
    }

    /// Two values with axes of one number, cut alike where both have them: `b`'s atoms are `a`'s where they stand for the same places.
    pub fn matched(&mut self, at: At<'_>, a: &Act, b: &Act) -> Result<(Act, Act)> {
        self.matched_keeping(at, a, b).map(|(a, b, _)| (a, b))
    }

    /// Matches two values as [`Self::matched`] does, and tells the new name of each atom of `b` whose axis was not matched.
    pub fn matched_keeping(
        &mut self,
        at: At<'_>,
        a: &Act,
        b: &Act,
    ) -> Result<(Act, Act, impl Fn(Atom) -> Atom + use<>)> {
        let (mut a, mut b) = (a.clone(), b.clone());
        let odd = |a: &Act, b: &Act| {
            at.expected("shapes that agree, or axes of 1", shapes(&[&a.dims(), &b.dims()]))
        };
        let rank = a.axes.len().max(b.axes.len());
        for act in [&mut a, &mut b] {
            let missing = rank - act.axes.len();
            act.axes.splice(0..0, vec![Vec::new(); missing]);
        }
        // One value may stand on both sides, turned about: its atoms get names of their own first.
        let mut names: Vec<(Atom, Atom)> = Vec::new();
        for atom in b.order.clone() {
            let own = self.axis(atom.size);
            b.replace(atom, &own);
            names.extend(own.first().map(|own| (atom, *own)));
        }
        for axis in 0..rank {
            let mut n = 0;
            while !a.axes[axis].is_empty() && !b.axes[axis].is_empty() {
                let (Some(one), Some(two)) = (a.axes[axis].get(n).copied(), b.axes[axis].get(n).copied())
                else {
                    if a.axes[axis].len() == b.axes[axis].len() {
                        break;
                    }
                    return Err(odd(&a, &b));
                };
                if one.size != two.size {
                    let (large, small, act) =
                        if one.size > two.size { (one, two, &mut a) } else { (two, one, &mut b) };
                    if large == Atom::BATCH || small == Atom::BATCH || !large.size.is_multiple_of(small.size)
                    {
                        return Err(odd(&a, &b));
                    }
                    let parts = [self.axis(small.size), self.axis(large.size / small.size)].concat();
                    act.replace(large, &parts);
                    continue;
                }
                b.replace(two, &[one]);
                n += 1;
            }
        }
        let named =
            move |atom: Atom| names.iter().find(|(old, _)| *old == atom).map_or(atom, |(_, new)| *new);
        Ok((a, b, named))
    }

    /// Two matched values as variables that one operation can take, of shapes that agree but for axes of 1, and the axes and the order of its
    /// answer.
    pub fn aligned(&mut self, at: At<'_>, a: &Act, b: &Act) -> Result<([Var; 2], Act)> {
        let (a, b) = self.matched(at, a, b)?;
        let axes = a.axes.iter().zip(&b.axes).map(|(a, b)| if a.is_empty() { b.clone() } else { a.clone() });
        let axes: Vec<Vec<Atom>> = axes.collect();
        let (more, less) = if a.order.len() >= b.order.len() { (&a, &b) } else { (&b, &a) };
        let others = less.order.iter().filter(|atom| !more.order.contains(atom));
        let order: Vec<Atom> = others.chain(&more.order).copied().collect();
        // Runs of atoms that the same of both have.
        let mut runs: Vec<([bool; 2], Vec<Atom>)> = Vec::new();
        for atom in &order {
            let has = [a.order.contains(atom), b.order.contains(atom)];
            match runs.last_mut() {
                Some((same, run)) if *same == has => run.push(*atom),
                _ => runs.push((has, vec![*atom])),
            }
        }
        if runs.len() > 3 {
            return Err(at.expected("axes of 1 that lie together", shapes(&[&a.dims(), &b.dims()])));
        }
        if let [([true, true], run)] = &runs[..] {
            // They keep the shape of the first.
            let shape = more.var.shape();
            let vars = [&a, &b].map(|act| {
                let var = self.ordered(act.var, &act.order, run);
                self.shaped(var, shape)
            });
            return Ok((vars, Act { var: vars[0], axes, order }));
        }
        let mut vars = [a.var, b.var];
        for (which, act) in [&a, &b].into_iter().enumerate() {
            let own: Vec<Atom> = order.iter().filter(|atom| act.order.contains(atom)).copied().collect();
            let mut shape = [1; 3];
            let skip = 3 - runs.len();
            for (side, (has, run)) in shape[skip..].iter_mut().zip(&runs) {
                *side = if has[which] { size(run) } else { 1 };
            }
            let var = self.ordered(act.var, &act.order, &own);
            vars[which] = self.shaped(var, shape);
        }
        Ok((vars, Act { var: vars[0], axes, order }))
    }
}
