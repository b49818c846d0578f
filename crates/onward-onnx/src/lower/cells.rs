//! Recurrent layers.

use super::Lower;
use crate::constant::{Constant, Numbers};
use crate::fold::shown;
use crate::form::{Form, Seat};
use crate::node::At;
use crate::value::Act;
use onward::Result;
use onward::model::{Cell, Var};

/// The parts of a direction's tensors, as the file has them: one after the other along the first axis.
const PARTS: [&str; 2] = ["ih", "hh"];

/// Items that a layer goes over at most: each is operations of its own.
const MOST_ITEMS: usize = 1 << 12;

impl<'n> Lower<'n, '_> {
    pub(super) fn cell(&mut self, at: At<'n>) -> Result<()> {
        let act = self.act(at, 0)?;
        let (cell, blocks) = kind(at)?;
        let directions: &[bool] = match at.word("direction", "forward")? {
            "forward" => &[false],
            "reverse" => &[true],
            "bidirectional" => &[false, true],
            other => return Err(at.expected("direction forward, reverse or bidirectional", other)),
        };
        let turned = at.int("layout", 0)? != 0;
        let (items, batch) = if turned { (1, 0) } else { (0, 1) };
        if act.axes.len() != 3 || !super::is_batch(&act.axes[batch]) || super::is_batch(&act.axes[items]) {
            return Err(at.expected("items of a batch, each some numbers", shown(&act.dims())));
        }
        self.check_rest(at)?;
        let (weights, again) = (self.known(at, 1)?, self.known(at, 2)?);
        let size = usize::try_from(at.int("hidden_size", 0)?).ok().filter(|n| *n < 1 << 24).unwrap_or(0);
        if act.dims()[items] > MOST_ITEMS {
            return Err(at.expected(format!("at most {MOST_ITEMS} items"), act.dims()[items]));
        }
        let (many, inputs, rows) = (directions.len(), act.dims()[2], blocks.len() * size);
        let biases = self.known_if_any(at, 3)?;
        let none = Constant { dims: vec![many, 2 * rows], numbers: Numbers::Same(0.0) };
        let biases = biases.unwrap_or(none);
        let wanted = [[many, rows, inputs].to_vec(), [many, rows, size].to_vec(), [many, 2 * rows].to_vec()];
        for (known, dims) in [&weights, &again, &biases].into_iter().zip(&wanted) {
            if known.dims != *dims || size == 0 {
                return Err(at.expected(format!("tensors of {}", shown(dims)), shown(&known.dims)));
            }
        }
        let x = self.layout.laid(&act, [&[], &act.axes[items], &act.axes[2]]);
        let mut answers = Vec::new();
        for (index, reverse) in directions.iter().enumerate() {
            let layer = self.layer(at.input(1), at.input(3), at);
            let x = if *reverse { self.backwards(x) } else { x };
            let y = self.layout.g.cell(&layer, cell, x, size);
            for ((known, part), width) in [&weights, &again].into_iter().zip(PARTS).zip([inputs, size]) {
                let (from, length) = (index * rows * width, size * width);
                let form = Form::Blocks { from, length, blocks };
                let input = if part == PARTS[0] { 1 } else { 2 };
                let seat = Seat::of(at, input, &known.dims, form);
                self.keep(format!("{layer}.weight_{part}"), vec![rows, width], known, seat)?;
            }
            for (n, part) in PARTS.into_iter().enumerate() {
                let form = Form::Blocks { from: (2 * index + n) * rows, length: size, blocks };
                let seat = Seat::of(at, 3, &biases.dims, form);
                self.keep(format!("{layer}.bias_{part}"), vec![rows], &biases, seat)?;
            }
            let last = self.layout.g.pick(y, 1, [x.shape()[1] - 1]);
            answers.push((if *reverse { self.backwards(y) } else { y }, last));
        }
        let join =
            |lower: &mut Self, all: Vec<Var>| if many == 1 { all[0] } else { lower.layout.g.concat(&all) };
        let (all, last) = answers.into_iter().unzip();
        let (all, last) = (join(self, all), join(self, last));
        let (ways, numbers) = (self.layout.axis(many), self.layout.axis(size));
        let (time, rows) = (act.axes[items].clone(), act.axes[batch].clone());
        let axes = if turned {
            vec![rows.clone(), time.clone(), ways.clone(), numbers.clone()]
        } else {
            vec![time.clone(), ways.clone(), rows.clone(), numbers.clone()]
        };
        self.give(at, 0, Act { var: all, axes, order: [&time[..], &ways, &numbers].concat() });
        let axes = if turned {
            vec![rows, ways.clone(), numbers.clone()]
        } else {
            vec![ways.clone(), rows, numbers.clone()]
        };
        self.give(at, 1, Act { var: last, axes, order: [ways, numbers].concat() });
        Ok(())
    }

    /// The items of a row, the last one first.
    fn backwards(&mut self, x: Var) -> Var {
        self.layout.g.pick(x, 1, (0..x.shape()[1]).rev())
    }

    /// That a cell asks for nothing beyond what cells do here.
    fn check_rest(&self, at: At<'n>) -> Result<()> {
        for index in 4..8 {
            let zero = match self.known_if_any(at, index)? {
                None => true,
                Some(known) => (5..7).contains(&index) && known.single() == Some(0.0),
            };
            if !zero {
                return Err(at.expected(
                    "whole rows, a beginning of zeros and no peepholes",
                    format!("input {index}"),
                ));
            }
        }
        let memory = at.node.output.get(2).filter(|name| !name.is_empty());
        if let Some(name) = memory.filter(|name| self.net.readers.contains_key(*name)) {
            return Err(at.expected("a memory that nothing else reads", name));
        }
        for name in ["activations", "activation_alpha", "activation_beta", "clip"] {
            if at.node.attribute.iter().any(|a| a.name == name) {
                return Err(at.expected("the cell's own functions, without a clip", name));
            }
        }
        if at.int("input_forget", 0)? != 0
            || (at.node.op_type == "GRU" && at.int("linear_before_reset", 0)? == 0)
        {
            return Err(at.expected("gates of their own, the reset one after its product", "others"));
        }
        Ok(())
    }
}

/// The cell, and where the file has each of the gates that tensors have here.
fn kind(at: At<'_>) -> Result<(Cell, &'static [usize])> {
    match at.node.op_type.as_str() {
        // Input, output, forget, new.
        "LSTM" => Ok((Cell::Lstm, &[0, 2, 3, 1])),
        // Update, reset, new.
        "GRU" => Ok((Cell::Gru, &[1, 0, 2])),
        other => Err(at.expected("LSTM or GRU", other)),
    }
}
