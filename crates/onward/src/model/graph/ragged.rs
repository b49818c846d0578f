//! Building: rows of tokens that end before others do. Behind a row's last item stand places without any
//! ([`crate::dataset::NO_ITEM`]), and what is answered at its items has the bits that the row has alone, whatever their number.
//!
//! What looks back or at one item (linear maps, norms of channels, causal attention, cells) needs nothing for that. What looks at
//! all items of a row is told their number here.

use super::builder::{Builder, Var};
use super::cell::Cell;
use super::function::{Pairwise, Reduction};
use super::node::Attention;

impl Builder {
    /// How many items the rows `x` of tokens have: `[1, 1, 1]` of the `[1, items, 1]` of the input.
    ///
    /// ```
    /// # use onward::dataset::Dataset;
    /// # use onward::model::{Activation, Builder, Model, Var};
    /// /// Says what a text is about, however long it is.
    /// struct Reader;
    /// impl Model for Reader {
    ///     fn build(&self, g: &mut Builder) -> onward::Result<Var> {
    ///         let x = g.input();
    ///         let length = g.length(x);
    ///         let x = g.embed("words", x, 100, 16);
    ///         let x = g.mean_of_items(x, length);
    ///         Ok(g.linear("topic", x, 5))
    ///     }
    /// }
    /// # onward::model::Graph::new(&Reader, [1, 12, 1])?;
    /// # Ok::<(), onward::Error>(())
    /// ```
    pub fn length(&mut self, x: Var) -> Var {
        let there = self.there(x);
        self.reduce(Reduction::Sum, there, &[1])
    }

    /// 1 at the items of the rows `x` of tokens, 0 behind them.
    fn there(&mut self, x: Var) -> Var {
        if x.shape()[0] != 1 || x.shape()[2] != 1 {
            self.fault("length", "[1, items, 1] tokens", format!("{:?}", x.shape()));
        }
        let zero = self.constant([1, 1, 1], vec![0.0]);
        let none = self.combine(Pairwise::Less, x, zero);
        self.combine(Pairwise::Equal, none, zero)
    }

    /// 1 at the first `length` of so many items, 0 behind them.
    fn up_to(&mut self, length: Var, items: usize) -> Var {
        let places = self.constant([1, items, 1], (0..items).map(|item| item as f32).collect());
        self.combine(Pairwise::Less, places, length)
    }

    /// [`Builder::attention`] to the first `length` items alone ([`Builder::length`] of the rows that keys and values come from).
    pub fn attention_within(&mut self, qkv: [Var; 3], length: Var, attention: Attention) -> Var {
        self.check_length("attention", length);
        self.attends(qkv, Some(length), attention)
    }

    /// The mean over the first `length` items of `[1, items, channels]` rows.
    pub fn mean_of_items(&mut self, x: Var, length: Var) -> Var {
        self.check_length("mean of items", length);
        let (there, zero) = (self.up_to(length, x.shape()[1]), self.constant([1, 1, 1], vec![0.0]));
        let own = self.choose(there, x, zero);
        let sum = self.reduce(Reduction::Sum, own, &[1]);
        self.combine(Pairwise::Divide, sum, length)
    }

    /// The last of the first `length` items of `[1, items, channels]` rows.
    pub fn last_of_items(&mut self, x: Var, length: Var) -> Var {
        self.check_length("last of items", length);
        let one = self.constant([1, 1, 1], vec![1.0]);
        let last = self.combine(Pairwise::Subtract, length, one);
        self.gather(x, last)
    }

    /// `[1, items, channels]` rows whose first `length` items come in reverse, for cells that go backwards; those behind stay where they are.
    pub fn reversed_items(&mut self, x: Var, length: Var) -> Var {
        self.check_length("reversed items", length);
        let items = x.shape()[1];
        let places = |from: f32, step: f32| (0..items).map(|item| from + step * item as f32).collect();
        let (own, back) = (places(0.0, 1.0), places(1.0, 1.0));
        let [own, back] = [own, back].map(|places| self.constant([1, items, 1], places));
        let (there, from) = (self.up_to(length, items), self.combine(Pairwise::Subtract, length, back));
        let which = self.choose(there, from, own);
        self.gather(x, which)
    }

    /// [`Builder::cell`] over rows that end before others do: what it carries on is that after the last of the first `length` items.
    pub fn cell_within(&mut self, name: &str, cell: Cell, x: Var, length: Var, size: usize) -> Var {
        self.check_length(name, length);
        self.unrolled(name, cell, x, Some(length), size)
    }

    fn check_length(&mut self, place: &str, length: Var) {
        if length.shape() != [1; 3] {
            self.fault(place, "a length of shape [1, 1, 1]", format!("{:?}", length.shape()));
        }
    }
}
