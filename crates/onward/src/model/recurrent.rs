//! Recurrent nets: cells over the items of a row, whose states go on from row to row in streams.

use super::{Activation, Builder, Cell, Model, Var};
use crate::{Result, choices};

choices! {
    /// The kind of a recurrent cell.
    pub enum CellKind default Gru {
        /// A gated recurrent unit (Cho et al. 2014).
        Gru = "gru",
        /// A long short-term memory (Hochreiter and Schmidhuber 1997).
        Lstm = "lstm",
        /// A diagonal recurrence of complex numbers, each on its own (Orvieto et al. 2023): what it remembers is linear, so it learns long delays.
        Diagonal = "diagonal",
    }
}

/// Recurrent cells one behind the other, then dense layers at each item: `[1, items, channels]` rows, or tokens, are answered at every item.
#[derive(Clone, Debug)]
pub struct Recurrent {
    /// The kind of the cells.
    pub cell: CellKind,
    /// The units of each layer of cells.
    pub units: Vec<usize>,
    /// The widths of the dense layers behind them.
    pub hidden: Vec<usize>,
    /// Tokens that rows are of: each is embedded into as many numbers as the first layer has units. `None` for rows of numbers.
    pub vocabulary: Option<usize>,
    /// The activation behind each dense layer but the last.
    pub activation: Activation,
    /// Numbers that each item is answered with.
    pub outputs: usize,
}

impl Model for Recurrent {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let mut x = g.input();
        if let Some(words) = self.vocabulary {
            x = g.embed("embed", x, words, self.units.first().copied().unwrap_or(1));
        }
        for (layer, units) in self.units.iter().enumerate() {
            let name = format!("cell{}", layer + 1);
            x = match self.cell {
                CellKind::Gru => g.cell(&name, Cell::Gru, x, *units),
                CellKind::Lstm => g.cell(&name, Cell::Lstm, x, *units),
                CellKind::Diagonal => g.diagonal(&name, x, *units),
            };
        }
        for (layer, width) in self.hidden.iter().enumerate() {
            x = g.linear(&format!("dense{}", layer + 1), x, *width);
            x = g.map(self.activation, x);
        }
        Ok(g.linear("head", x, self.outputs))
    }
}
