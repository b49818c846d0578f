//! Models of text, byte by byte, that learn at every byte of many streams.

use crate::cell::{Cell, Stream};
use crate::error::{InputError, Result, within};
use crate::evidence::Test;
use crate::fixed::Saturated;
use crate::net::{IntegerNet, MOST_ITEMS, NetShape, Tally};
use crate::random::mixed;
use crate::threads::ThreadCount;

/// The shape of a model of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesShape {
    /// How many different bytes there are; 2 to 256.
    pub symbols: usize,
    /// Units of the minGRU; 1 to 4096.
    pub units: usize,
    /// How many bytes its values read, the present one among them; 1 to 16.
    pub window: usize,
    /// Units of the layers between states and logits; may be none.
    pub hidden: Vec<usize>,
    /// The values of the cell begin uniform within ±this; 1 to 127.
    pub spread: u8,
    /// The weights of the layers begin uniform within ±this; 1 to 127.
    pub head_spread: u8,
    /// What the initial weights follow from.
    pub seed: u64,
}

/// A minGRU, layers, and a head with a logit for each byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes {
    pub(crate) cell: Cell,
    pub(crate) head: IntegerNet,
}

impl Bytes {
    /// A model before training.
    ///
    /// # Errors
    /// A shape out of range.
    pub fn new(shape: &BytesShape) -> Result<Self> {
        within("symbols", shape.symbols, 2..=256)?;
        within("units", shape.units, 1..=4096)?;
        within("window", shape.window, 1..=16)?;
        within("spread", usize::from(shape.spread), 1..=127)?;
        let mut widths = vec![shape.units];
        widths.extend(&shape.hidden);
        widths.push(shape.symbols);
        let head = IntegerNet::new(&NetShape { widths, spread: shape.head_spread, seed: shape.seed })?;
        let cell = Cell::new(shape.symbols, shape.units, shape.window, shape.spread, shape.seed);
        Ok(Self { cell, head })
    }

    /// How many weights there are.
    pub fn weights(&self) -> usize {
        self.cell.tables.len() + self.head.weights()
    }

    /// A number that tells models apart: FNV-1a of all weights.
    pub fn digest(&self) -> u64 {
        let all = self.cell.tables.iter();
        all.fold(self.head.digest(), |hash, w| (hash ^ u64::from(*w as u8)).wrapping_mul(0x100_0000_01b3))
    }

    /// Streams to learn from, before their first byte.
    ///
    /// # Errors
    /// None of them, or more than [`MOST_ITEMS`].
    pub fn streams(&self, count: usize) -> Result<Vec<Stream>> {
        within("streams", count, 1..=MOST_ITEMS)?;
        Ok((0..count as u64).map(|key| self.cell.stream(mixed(0, key), true)).collect())
    }

    /// One byte of every stream: the next is foretold, the answer judged, and weights move.
    ///
    /// `now` and `next` have one symbol for each stream.
    ///
    /// # Errors
    /// Symbols that do not fit.
    pub fn step(
        &mut self,
        streams: &mut [Stream],
        now: &[u8],
        next: &[u8],
        test: Test,
        threads: ThreadCount,
    ) -> Result<Tally> {
        self.check(streams.len(), now, "now")?;
        self.check(streams.len(), next, "next")?;
        let (model, mut rest, mut parts) = (&*self, streams, Vec::new());
        for piece in threads.pieces(now.len()) {
            let (own, others) = rest.split_at_mut(piece.len());
            rest = others;
            parts.push((own, piece));
        }
        let done = threads.each(parts, |(streams, piece)| {
            let mut pass = model.head.pass(streams.len());
            let mut scores = vec![0; model.cell.tables.len()];
            let mut counts = Saturated::default();
            for (place, (stream, item)) in streams.iter_mut().zip(piece.clone()).enumerate() {
                let row = pass.row(place, &model.head);
                model.cell.read(stream, usize::from(now[item]), row, &mut counts);
            }
            model.head.up(&mut pass);
            model.head.down(&mut pass, &next[piece], true);
            for (stream, credit) in streams.iter_mut().zip(pass.bottom.chunks_exact(model.cell.units)) {
                model.cell.follow(stream, credit, &mut scores, &mut counts);
            }
            pass.outcome.saturated.add(&counts);
            (pass, scores)
        });
        let (passes, mut all): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        let mut scores = all.swap_remove(0);
        all.iter().for_each(|own| scores.iter_mut().zip(own).for_each(|(s, o)| *s += o));
        let mut total = self.head.learn(&passes, test, threads);
        total.moved += self.cell.learn(&scores, test, &mut total.saturated);
        Ok(total)
    }

    /// The bits of a text, read once from its beginning; its first symbol is given.
    ///
    /// # Errors
    /// A symbol that the model does not know; a text of less than two.
    pub fn judge(&self, text: &[u8]) -> Result<Tally> {
        if text.len() < 2 {
            return Err(InputError::expected("text", "two symbols at least", text.len()));
        }
        self.check(text.len(), text, "text")?;
        let (mut stream, mut total) = (self.cell.stream(0, false), Tally::default());
        // The states follow one after the other; what is said of them is found for many at once.
        for (now, next) in text.chunks(MOST_ITEMS).zip(text[1..].chunks(MOST_ITEMS)) {
            let mut pass = self.head.pass(next.len());
            let mut counts = Saturated::default();
            for (place, symbol) in now.iter().take(next.len()).enumerate() {
                self.cell.read(&mut stream, usize::from(*symbol), pass.row(place, &self.head), &mut counts);
            }
            self.head.up(&mut pass);
            self.head.head(&mut pass, next);
            total.add(&pass.outcome);
            total.saturated.add(&counts);
        }
        Ok(total)
    }

    fn check(&self, count: usize, symbols: &[u8], place: &str) -> Result<()> {
        if symbols.len() != count {
            return Err(InputError::expected(
                place,
                format!("{count} symbols, one for each stream"),
                symbols.len(),
            ));
        }
        match symbols.iter().position(|s| usize::from(*s) >= self.cell.symbols) {
            None => Ok(()),
            Some(at) => {
                let expected = format!("a symbol from 0 to {}", self.cell.symbols - 1);
                Err(InputError::expected(format!("{place}, number {}", at + 1), expected, symbols[at]))
            }
        }
    }
}
