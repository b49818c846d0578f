//! Blocks of training rows, worked out by a thread ahead of the steps that need them.

use super::scan::Training;
use super::{PIECE, Rows as Reading, Stream};
use crate::Preparation;
use crate::part::{Layout, bad};
use crate::prepare::not_single;
use crate::targets::{label, target_of};
use onward::dataset::{Dataset, Targets};
use onward::rows::{Rows, Schema, Source};
use onward::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// First rows that are kept: what statistics and scores are taken on, so that they do not turn the stream back.
const KEPT_ROWS: u64 = 2000;

/// Blocks that are kept behind the one that comes next: a batch may lie across two, and be asked for again.
const KEPT_BLOCKS: usize = 2;

/// How a stream's numbers become blocks of rows as the model sees them.
pub(super) struct Recipe {
    stream: Box<dyn Stream>,
    training: Training,
    columns: Layout,
    label: usize,
    preparation: Preparation,
    /// What is subtracted from each feature, and what it is divided by.
    terms: Vec<(f64, f64)>,
    /// 0 if answers are values.
    classes: usize,
    /// Training rows of a block.
    block: u64,
}

impl Recipe {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        training: Training,
        columns: Layout,
        label: usize,
        preparation: Preparation,
        classes: usize,
        block: usize,
    ) -> Self {
        let terms = preparation.terms();
        let block = (block as u64).clamp(1, training.rows);
        Self { stream, training, columns, label, preparation, terms, classes, block }
    }

    fn blocks(&self) -> u64 {
        self.training.rows.div_ceil(self.block)
    }

    /// Rows of raw numbers, which `names` name in the file, as the model sees them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the number that single precision does not hold.
    pub(super) fn dataset(&self, raw: &[f64], names: &[u64]) -> Result<Dataset> {
        let mut rows = Prepared::default();
        for (row, numbers) in names.iter().zip(raw.chunks_exact(self.stream.table().columns)) {
            self.add(&mut rows, *row, numbers)?;
        }
        self.closed(rows)
    }

    /// Adds a row of the file.
    fn add(&self, rows: &mut Prepared, row: u64, numbers: &[f64]) -> Result<()> {
        let begin = rows.features.len();
        let features = self.columns.features.iter().zip(&self.terms);
        rows.features
            .extend(features.map(|(column, terms)| self.preparation.number(numbers[*column], *terms)));
        if let Some(at) = rows.features[begin..].iter().position(|v| !v.is_finite()) {
            return Err(not_single(self.columns.place(row, at), numbers[self.columns.features[at]]));
        }
        let raw = numbers[self.label];
        if self.classes > 0 {
            let label = label(row as usize, raw)?;
            if label as usize >= self.classes {
                let place = format!("label of row {row} (from 0)");
                return Err(bad(place, format!("a class below {}", self.classes), label));
            }
            rows.labels.push(label);
            return Ok(());
        }
        let value = self.preparation.targets.as_ref().map_or(raw, |scale| scale.prepare(0, raw)) as f32;
        if !value.is_finite() {
            return Err(bad(target_of(row as usize), "a number that single precision holds", raw));
        }
        rows.values.push(value);
        Ok(())
    }

    fn closed(&self, rows: Prepared) -> Result<Dataset> {
        let targets = match self.classes {
            0 => Targets::Values { values: rows.values, width: 1 },
            classes => Targets::Classes { labels: rows.labels, classes },
        };
        Dataset::new(rows.features, self.preparation.shape, targets)
    }

    /// The training rows `from..to`, read by what stands before them in the file.
    fn read(&self, reading: &mut dyn Reading, from: u64, to: u64) -> Result<Dataset> {
        // Held rows that stand between this block and the next are passed over with it.
        let end = if to < self.training.rows {
            self.training.in_file(to)
        } else {
            self.training.in_file(to - 1) + 1
        };
        let mut row = self.training.in_file(from);
        let (mut held, mut rows, mut raw) = (self.training.held_from(row), Prepared::default(), Vec::new());
        rows.features.reserve_exact((to - from) as usize * self.terms.len());
        while row < end {
            raw.clear();
            reading.read((end - row).min(PIECE as u64) as usize, &mut raw)?;
            for numbers in raw.chunks_exact(self.stream.table().columns) {
                if held.first() == Some(&row) {
                    held = &held[1..];
                } else {
                    self.add(&mut rows, row, numbers)?;
                }
                row += 1;
            }
        }
        self.closed(rows)
    }

    /// What reads the training rows from `row` on.
    fn reading(&self, row: u64) -> Result<Box<dyn Reading>> {
        self.stream.at(self.training.in_file(row))
    }

    /// Gives one block after the other, from `first` on and round, for as long as somebody takes them.
    fn run(&self, first: u64, give: &SyncSender<Result<Dataset>>) {
        let mut place = first;
        let mut reading = None;
        loop {
            let made = catch_unwind(AssertUnwindSafe(|| self.next(place, &mut reading)));
            let made = made.unwrap_or_else(|_| Err(stopped()));
            let failed = made.is_err();
            if give.send(made).is_err() || failed {
                return;
            }
            place = (place + 1) % self.blocks();
            if place == 0 {
                reading = None;
            }
        }
    }

    fn next(&self, place: u64, reading: &mut Option<Box<dyn Reading>>) -> Result<Dataset> {
        let from = place * self.block;
        let to = (from + self.block).min(self.training.rows);
        let reading = match reading {
            Some(reading) => reading,
            None => reading.insert(self.reading(from)?),
        };
        self.read(&mut **reading, from, to)
    }
}

/// Rows as the model sees them, and their answers.
#[derive(Default)]
struct Prepared {
    features: Vec<f32>,
    labels: Vec<u32>,
    values: Vec<f32>,
}

/// A thread of ours ended without a word.
fn stopped() -> Error {
    Error::new(ErrorKind::Data, "the reader of the data stopped at damage that it does not know")
}

/// Training rows that are read as they are needed.
pub(super) struct Streamed {
    recipe: Arc<Recipe>,
    schema: Schema,
    digest: [u8; 32],
    first: Dataset,
    ahead: Mutex<Ahead>,
}

/// The blocks that were used last, and the thread that makes the next.
#[derive(Default)]
struct Ahead {
    kept: Vec<(u64, Arc<Dataset>)>,
    running: Option<Running>,
}

/// A thread that makes blocks.
struct Running {
    /// The block that it gives next.
    next: u64,
    blocks: Receiver<Result<Dataset>>,
    thread: JoinHandle<()>,
}

impl Streamed {
    /// The training rows of `recipe`, whose file's bytes have this digest.
    ///
    /// # Errors
    /// What is wrong with the first rows.
    pub(super) fn new(recipe: Recipe, bytes: &[u8; 32]) -> Result<Self> {
        let kept = recipe.training.rows.min(KEPT_ROWS);
        let first = recipe.read(&mut *recipe.reading(0)?, 0, kept)?;
        let schema = Schema { count: recipe.training.rows, ..Schema::of(&first) };
        let digest = recipe.digest(bytes)?;
        Ok(Self { recipe: Arc::new(recipe), schema, digest, first, ahead: Mutex::default() })
    }
}

impl Recipe {
    /// Of all that the training rows follow from.
    fn digest(&self, bytes: &[u8; 32]) -> Result<[u8; 32]> {
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 streamed rows v1");
        hash.update(bytes);
        let preparation = serde_json::to_vec(&self.preparation);
        let preparation = preparation.map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        hash.update(&(preparation.len() as u64).to_le_bytes()).update(&preparation);
        for number in [self.label as u64, self.classes as u64, self.training.rows] {
            hash.update(&number.to_le_bytes());
        }
        for held in self.training.held_from(0) {
            hash.update(&held.to_le_bytes());
        }
        Ok(*hash.finalize().as_bytes())
    }
}

impl Ahead {
    /// A block, from what is kept or from the thread, which is begun anew where it has not come to it.
    fn block(&mut self, place: u64, recipe: &Arc<Recipe>) -> Result<Arc<Dataset>> {
        if let Some((_, block)) = self.kept.iter().find(|(kept, _)| *kept == place) {
            return Ok(Arc::clone(block));
        }
        if self.running.as_ref().is_none_or(|running| running.next != place) {
            self.end();
            self.running = Some(Running::new(place, recipe)?);
        }
        let Some(running) = &mut self.running else { return Err(stopped()) };
        let made = running.blocks.recv().unwrap_or_else(|_| Err(stopped()));
        running.next = (place + 1) % recipe.blocks();
        let made = Arc::new(made.inspect_err(|_| self.end())?);
        self.kept.push((place, Arc::clone(&made)));
        Ok(made)
    }

    /// Forgets all blocks but the last ones.
    fn tidy(&mut self) {
        let many = self.kept.len().saturating_sub(KEPT_BLOCKS);
        self.kept.drain(..many);
    }

    /// Ends the thread, once it is done with the block that it is at.
    fn end(&mut self) {
        if let Some(Running { blocks, thread, .. }) = self.running.take() {
            drop(blocks);
            // It panics in what is caught alone.
            let _ = thread.join();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.end();
    }
}

impl Running {
    fn new(next: u64, recipe: &Arc<Recipe>) -> Result<Self> {
        // One block waits while another is made: handing over means that the next one begins.
        let (give, blocks) = sync_channel(0);
        let recipe = Arc::clone(recipe);
        let thread =
            thread::Builder::new().name("reading ahead".into()).spawn(move || recipe.run(next, &give));
        let thread = thread.map_err(|e| Error::new(ErrorKind::Io, format!("cannot start a thread: {e}")))?;
        Ok(Self { next, blocks, thread })
    }
}

impl Source for Streamed {
    fn schema(&self) -> Schema {
        self.schema
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn read(&self, ids: &[u64]) -> Result<Rows> {
        let rows = self.recipe.training.rows;
        if let Some(id) = ids.iter().find(|id| **id >= rows) {
            return Err(bad("id of a row", format!("one below {rows}"), id));
        }
        if ids.iter().all(|id| *id < self.first.rows() as u64) {
            return self.first.read(ids);
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let size = self.recipe.block;
        let mut features = Vec::with_capacity(ids.len() * self.recipe.terms.len());
        let mut targets: Option<Targets> = None;
        for part in ids.chunk_by(|a, b| a / size == b / size) {
            let block = ahead.block(part[0] / size, &self.recipe)?;
            let within: Vec<u32> = part.iter().map(|id| (id % size) as u32).collect();
            within.iter().for_each(|row| features.extend_from_slice(block.row(*row as usize)));
            let more = block.targets().select(&within);
            targets = Some(match targets {
                None => more,
                Some(before) => before.joined(&more)?,
            });
        }
        ahead.tidy();
        let none = || bad("ids of rows", "at least one", "none");
        Rows::new(ids, Dataset::new(features, self.schema.shape(), targets.ok_or_else(none)?)?)
    }
}
