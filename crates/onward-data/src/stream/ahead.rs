//! Blocks of training rows, worked out by a thread ahead of the steps that need them.

use super::scan::Training;
use super::{PIECE, Rows as Reading, Stream};
use crate::Preparation;
use crate::beside::Beside;
use crate::classes::Coder;
use crate::layout::Layout;
use crate::part::bad;
use crate::prepare::not_single;
use crate::targets::target_of;
use onward::dataset::{Columns, Dataset, QUERY, Targets, WEIGHT};
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
    beside: Beside,
    preparation: Preparation,
    /// What is subtracted from each feature, and what it is divided by.
    terms: Vec<(f64, f64)>,
    /// 0 if answers are values.
    classes: usize,
    coder: Coder,
    /// The mean of the training rows' weights; 0 where all count alike.
    weight: f64,
    /// Training rows of a block.
    block: u64,
}

impl Recipe {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        training: Training,
        (columns, beside): (Layout, Beside),
        preparation: Preparation,
        (classes, coder, weight): (usize, Coder, f64),
        block: usize,
    ) -> Self {
        let terms = preparation.terms();
        let block = (block as u64).clamp(1, training.rows);
        Self { stream, training, columns, beside, preparation, terms, classes, coder, weight, block }
    }

    fn blocks(&self) -> u64 {
        self.training.rows.div_ceil(self.block)
    }

    /// Rows of raw numbers, which `names` name in the file, as the model is tested with them: their weights have a mean of their own.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the number that single precision does not hold; as for [`Columns::check_counted`].
    pub(super) fn test(&self, raw: &[f64], names: &[u64]) -> Result<Dataset> {
        let mut rows = Prepared::default();
        for (row, numbers) in names.iter().zip(raw.chunks_exact(self.stream.table().columns)) {
            self.add(&mut rows, *row, numbers)?;
        }
        let mean = rows.weights.iter().sum::<f64>() / rows.weights.len() as f64;
        if self.is_weighted() && mean == 0.0 {
            Columns::default().with(WEIGHT, rows.weights.clone()).check_counted()?;
        }
        self.closed(rows, mean)
    }

    fn is_weighted(&self) -> bool {
        self.weight != 0.0
    }

    /// Adds a row of the file.
    fn add(&self, rows: &mut Prepared, row: u64, numbers: &[f64]) -> Result<()> {
        let begin = rows.features.len();
        let features = self.columns.features.iter().zip(&self.terms);
        rows.features
            .extend(features.map(|(f, terms)| self.preparation.number(f.of(numbers[f.column]), *terms)));
        if let Some(at) = rows.features[begin..].iter().position(|v| !v.is_finite()) {
            let feature = self.columns.features[at];
            return Err(not_single(self.columns.place(row, at), feature.of(numbers[feature.column])));
        }
        let beside = &self.beside;
        rows.queries.extend(beside.query.map(|column| numbers[column]));
        rows.others.extend(beside.others.iter().map(|(_, column)| numbers[*column]));
        if self.is_weighted() {
            let weight = beside.weight_of(row, numbers, &self.preparation.class_weights, &self.coder)?;
            rows.weights.push(weight);
        }
        for (answer, column) in beside.labels.iter().enumerate() {
            self.add_answer(rows, row, answer, numbers[*column])?;
        }
        Ok(())
    }

    /// Adds one number that a row is answered with.
    fn add_answer(&self, rows: &mut Prepared, row: u64, answer: usize, raw: f64) -> Result<()> {
        if self.classes > 0 {
            rows.labels.push(self.coder.class(row as usize, raw)?);
            return Ok(());
        }
        let scale = self.preparation.targets.as_ref();
        let value = scale.map_or(raw, |scale| scale.prepare(answer, raw)) as f32;
        if !value.is_finite() {
            return Err(bad(target_of(row as usize), "a number that single precision holds", raw));
        }
        rows.values.push(value);
        Ok(())
    }

    /// The rows, whose weights have this mean.
    fn closed(&self, rows: Prepared, mean: f64) -> Result<Dataset> {
        let targets = match self.classes {
            0 => Targets::Values { values: rows.values, width: self.beside.labels.len() },
            classes => Targets::Classes { labels: rows.labels, classes },
        };
        let mut columns = Columns::default();
        if self.beside.query.is_some() {
            columns = columns.with(QUERY, rows.queries);
        }
        let others = self.beside.others.len();
        for (at, (name, _)) in self.beside.others.iter().enumerate() {
            columns = columns.with(name, rows.others.iter().skip(at).step_by(others).copied().collect());
        }
        if self.is_weighted() {
            columns = columns.with(WEIGHT, rows.weights.iter().map(|weight| weight / mean).collect());
        }
        Dataset::new(rows.features, self.preparation.shape, targets)?.with_columns(columns)
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
            for numbers in raw.chunks_exact_mut(self.stream.table().columns) {
                if held.first() == Some(&row) {
                    held = &held[1..];
                } else {
                    self.columns.code(row, numbers)?;
                    self.add(&mut rows, row, numbers)?;
                }
                row += 1;
            }
        }
        self.closed(rows, self.weight)
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
    /// As the file and the classes have them.
    weights: Vec<f64>,
    queries: Vec<f64>,
    /// Row after row.
    others: Vec<f64>,
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
    queries: Option<Arc<[u64]>>,
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
    /// The training rows of `recipe`, whose file's bytes have this digest, and whose queries begin so.
    ///
    /// # Errors
    /// What is wrong with the first rows.
    pub(super) fn new(recipe: Recipe, bytes: &[u8; 32], queries: Option<Arc<[u64]>>) -> Result<Self> {
        let kept = recipe.training.rows.min(KEPT_ROWS);
        let first = recipe.read(&mut *recipe.reading(0)?, 0, kept)?;
        let schema = Schema { count: recipe.training.rows, ..Schema::of(&first) };
        let digest = recipe.digest(bytes)?;
        Ok(Self { recipe: Arc::new(recipe), schema, digest, first, queries, ahead: Mutex::default() })
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
        let Beside { labels, weight, query, others, .. } = &self.beside;
        for number in [labels[0] as u64, self.classes as u64, self.training.rows] {
            hash.update(&number.to_le_bytes());
        }
        for held in self.training.held_from(0) {
            hash.update(&held.to_le_bytes());
        }
        if labels.len() > 1 || weight.or(*query).is_some() || !others.is_empty() {
            let beside = serde_json::to_vec(&(labels, weight, query, others));
            hash.update(&beside.map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?);
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
        let mut answers: Option<(Targets, Columns)> = None;
        for part in ids.chunk_by(|a, b| a / size == b / size) {
            let block = ahead.block(part[0] / size, &self.recipe)?;
            let within: Vec<u32> = part.iter().map(|id| (id % size) as u32).collect();
            within.iter().for_each(|row| features.extend_from_slice(block.row(*row as usize)));
            let (targets, columns) = (block.targets().select(&within), block.columns().select(&within));
            answers = Some(match answers {
                None => (targets, columns),
                Some((before, beside)) => (before.joined(&targets)?, beside.joined(&columns)?),
            });
        }
        ahead.tidy();
        let (targets, columns) = answers.ok_or_else(|| bad("ids of rows", "at least one", "none"))?;
        Rows::new(ids, Dataset::new(features, self.schema.shape(), targets)?.with_columns(columns)?)
    }

    fn queries(&self) -> Option<Arc<[u64]>> {
        self.queries.clone()
    }
}
