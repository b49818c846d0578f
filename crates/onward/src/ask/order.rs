//! The order of samples.

use crate::noise::{Role, RunKey};
use crate::schema::{Choice, Field, Kind, Range, Value, range};
use crate::{Error, ErrorKind, Result};

/// The order in which training rows are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shuffle {
    /// All rows are shuffled, anew in every epoch.
    #[default]
    All,
    /// Rows are shuffled within windows of this many rows, anew in every epoch; the windows come in the data's order.
    Window(usize),
    /// Rows come in the data's order, again and again.
    InOrder,
    /// Rows come in the data's order, and none is seen twice.
    Once,
    /// The data are cut into as many streams as a step has samples; each step sees the next row of every one, again and again.
    Streams,
}

impl Field for Shuffle {
    fn kind(_: Range) -> Kind {
        let word = |name, doc| Choice { name, doc };
        let words = vec![
            word("all", "All rows, anew in every epoch."),
            word("in-order", "Not at all: the data's order, again and again."),
            word("once", "Not at all, and no row is seen twice."),
            word("streams", "Not at all: the next row of each of data.streams."),
        ];
        Kind::Either(Box::new(Kind::OneOf(words)), Box::new(Kind::Int(range(1.0..=f64::from(u32::MAX)))))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        match value?.as_text() {
            Some("all") => Some(Self::All),
            Some("in-order") => Some(Self::InOrder),
            Some("once") => Some(Self::Once),
            Some("streams") => Some(Self::Streams),
            _ => usize::read(value).map(Self::Window),
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::All => Some("all".into()),
            Self::Window(rows) => rows.value(),
            Self::InOrder => Some("in-order".into()),
            Self::Once => Some("once".into()),
            Self::Streams => Some("streams".into()),
        }
    }
}

impl Shuffle {
    /// How many samples a step has of so many `rows`, where `batch` are asked for: at most all, but no other number of streams.
    pub(crate) fn batch(self, batch: usize, rows: usize) -> usize {
        if self == Self::Streams { batch } else { batch.min(rows) }
    }

    /// Checks that `steps` batches of `batch` rows can be taken from `rows` rows.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if there are more rows than can be shuffled, a window of none, or too few rows to see each once.
    pub fn check(self, rows: usize, batch: usize, steps: u64) -> Result<()> {
        let bad = |expected: String, found: String| {
            Err(Error::expected(ErrorKind::Spec, "train.shuffle", expected, found))
        };
        let most = u32::MAX as usize;
        match self {
            Self::All if rows > most => bad(
                format!("a window, as more than {most} rows are not shuffled at once"),
                format!("{rows} rows"),
            ),
            Self::Window(window) if !(1..=most).contains(&window) => {
                bad(format!("a window of 1 to {most} rows"), window.to_string())
            }
            Self::Once if steps.saturating_mul(batch as u64) > rows as u64 => {
                let fitting = rows as u64 / batch.max(1) as u64;
                bad(
                    format!("at most {fitting} steps of {batch} samples, to see {rows} rows once"),
                    format!("{steps}"),
                )
            }
            Self::Streams if rows < batch => Err(Error::expected(
                ErrorKind::Spec,
                "data.streams",
                format!("at most {rows}, a row for each"),
                batch,
            )),
            _ => Ok(()),
        }
    }
}

/// The samples that each step sees: a pure function of key and step.
#[derive(Clone, Debug)]
pub struct Order {
    key: RunKey,
    rows: usize,
    shuffle: Shuffle,
    /// The last permutation, and of which epoch and window it is.
    kept: Option<([u64; 2], Vec<u32>)>,
}

impl Order {
    /// The order of `rows` samples (at least one) in the run with this key.
    pub fn new(key: RunKey, rows: usize, shuffle: Shuffle) -> Self {
        Self { key, rows, shuffle, kept: None }
    }

    /// The ids of a step's `batch` samples.
    pub fn batch(&mut self, step: u64, batch: usize) -> Vec<u64> {
        if self.shuffle == Shuffle::Streams {
            // What does not fill all streams evenly is left out.
            let length = (self.rows / batch.max(1)).max(1) as u64;
            return (0..batch as u64).map(|stream| stream * length + step % length).collect();
        }
        let (first, rows) = (step * batch as u64, self.rows as u64);
        (first..first + batch as u64).map(|i| self.at(i / rows, i % rows)).collect()
    }

    fn at(&mut self, epoch: u64, place: u64) -> u64 {
        let size = match self.shuffle {
            Shuffle::InOrder | Shuffle::Once | Shuffle::Streams => return place,
            Shuffle::All => self.rows as u64,
            Shuffle::Window(size) => size as u64,
        };
        let window = place / size;
        let begin = window * size;
        if self.kept.as_ref().is_none_or(|(of, _)| *of != [epoch, window]) {
            let name =
                if self.shuffle == Shuffle::All { "samples".into() } else { format!("window {window}") };
            let noise = self.key.tensor(Role::Shuffle, &name).at(epoch as u32, (epoch >> 32) as u32);
            self.kept =
                Some(([epoch, window], noise.permutation((self.rows as u64 - begin).min(size) as usize)));
        }
        let within = self.kept.as_ref().map_or(0, |(_, permutation)| permutation[(place - begin) as usize]);
        begin + u64::from(within)
    }
}
