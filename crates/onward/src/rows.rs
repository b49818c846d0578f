//! Rows as steps need them, and what they are read from.

use crate::dataset::{Dataset, Targets};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The number of rows of a source and the form of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// The number of rows.
    pub count: u64,
    /// The shape `[height, width, channels]` of a row.
    pub shape: [u64; 3],
    /// The form of a row's target.
    pub targets: TargetsSchema,
}

/// The form of a row's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetsSchema {
    /// A class label below this number of classes.
    Classes(u64),
    /// This many values.
    Values(u64),
    /// A value for each of at most so many items: rows end before others do ([`crate::dataset::NO_ITEM`]).
    Ragged(u64),
}

impl Schema {
    /// The schema of rows in memory.
    pub fn of(data: &Dataset) -> Self {
        let targets = match data.targets() {
            Targets::Classes { classes, .. } => TargetsSchema::Classes(*classes as u64),
            Targets::Values { width, .. } if data.is_ragged() => TargetsSchema::Ragged(*width as u64),
            Targets::Values { width, .. } => TargetsSchema::Values(*width as u64),
        };
        Self { count: data.rows() as u64, shape: data.shape().map(|n| n as u64), targets }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// The shape `[height, width, channels]` of a row.
    pub fn shape(&self) -> [usize; 3] {
        self.shape.map(|n| n as usize)
    }

    /// The number of outputs that a row needs: one per class or value.
    pub fn outputs(&self) -> usize {
        let (TargetsSchema::Classes(n) | TargetsSchema::Values(n) | TargetsSchema::Ragged(n)) = self.targets;
        n as usize
    }

    /// Whether rows end before others do.
    pub fn is_ragged(&self) -> bool {
        matches!(self.targets, TargetsSchema::Ragged(_))
    }
}

/// Rows that were read from a source, with their ids there.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    ids: Arc<[u64]>,
    data: Dataset,
}

impl Rows {
    /// The rows of `data` with one id each.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there are more or fewer ids than rows.
    pub fn new(ids: impl Into<Arc<[u64]>>, data: Dataset) -> Result<Self> {
        let ids = ids.into();
        if ids.len() != data.rows() {
            let expected = format!("one for each of {} rows", data.rows());
            return Err(Error::expected(ErrorKind::Data, "ids of rows", expected, ids.len()));
        }
        Ok(Self { ids, data })
    }

    /// The ids of the rows in their source.
    pub fn ids(&self) -> &Arc<[u64]> {
        &self.ids
    }

    /// The contents of the rows.
    pub fn data(&self) -> &Dataset {
        &self.data
    }

    /// The ids and the contents of the rows.
    pub fn into_parts(self) -> (Arc<[u64]>, Dataset) {
        (self.ids, self.data)
    }
}

/// Rows that a run is trained or scored on, wherever they lie: in memory ([`Dataset`]), in files that are larger, elsewhere.
///
/// A run asks for the schema and the digest when it begins, then for the rows of one batch after the other, in the order that key and
/// step give ([`crate::ask::Order`]); the first 2000 rows are asked for now and then, for statistics and scores. The same ids must give the
/// same bits for as long as the run lasts and whenever it is resumed, whoever asked for what before: reading ahead is an
/// implementation's own affair. An error ends the step, which leaves no trace; the run can be resumed. Rows of tokens may end before others do
/// ([`TargetsSchema::Ragged`]): they are read as [`Dataset::ragged`] gives them.
///
/// ```
/// use onward::dataset::{Dataset, Targets};
/// use onward::rows::{Rows, Schema, Source, TargetsSchema};
///
/// /// Row `i` is `[i, i²]` scaled to 0..1, and its class says whether `i` is odd.
/// struct Squares(u64);
///
/// impl Source for Squares {
///     fn schema(&self) -> Schema {
///         Schema { count: self.0, shape: [1, 1, 2], targets: TargetsSchema::Classes(2) }
///     }
///     fn digest(&self) -> [u8; 32] {
///         *blake3::hash(&self.0.to_le_bytes()).as_bytes()
///     }
///     fn read(&self, ids: &[u64]) -> onward::Result<Rows> {
///         let share = |i: u64| i as f32 / self.0 as f32;
///         let features = ids.iter().flat_map(|&i| [share(i), share(i) * share(i)]).collect();
///         let labels = ids.iter().map(|i| (i % 2) as u32).collect();
///         Rows::new(ids, Dataset::new(features, [1, 1, 2], Targets::Classes { labels, classes: 2 })?)
///     }
/// }
/// assert_eq!(Squares(10).read(&[5])?.data().row(0), [0.5, 0.25]);
/// # Ok::<(), onward::Error>(())
/// ```
pub trait Source: Send + Sync {
    /// The number of rows and the form of each; it never changes.
    fn schema(&self) -> Schema;

    /// The digest of the data, which differs wherever any row that can be read differs.
    fn digest(&self) -> [u8; 32];

    /// Reads the rows that `ids` name, in that order; an id may occur more than once. Each is below [`Schema::count`], and there is at
    /// least one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Data`] naming file and place, if the rows cannot be read or are not what they were.
    fn read(&self, ids: &[u64]) -> Result<Rows>;

    /// All rows, where they lie in memory: what visits them all again and again needs them there.
    fn resident(&self) -> Option<&Dataset> {
        None
    }

    /// The first row of each query, in ascending order, and the number of all rows, where rows that do not lie in memory have queries
    /// ([`crate::dataset::QUERY`]): those of one stand side by side then.
    fn queries(&self) -> Option<Arc<[u64]>> {
        None
    }
}

impl Source for Dataset {
    fn schema(&self) -> Schema {
        Schema::of(self)
    }

    fn digest(&self) -> [u8; 32] {
        Self::digest(self)
    }

    fn read(&self, ids: &[u64]) -> Result<Rows> {
        let rows = self.rows() as u64;
        if let Some(id) = ids.iter().find(|id| **id >= rows) {
            return Err(Error::expected(ErrorKind::Data, "id of a row", format!("one below {rows}"), id));
        }
        let indices: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
        Rows::new(ids, self.select(&indices))
    }

    fn resident(&self) -> Option<&Dataset> {
        Some(self)
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn schema(&self) -> Schema {
        (**self).schema()
    }

    fn digest(&self) -> [u8; 32] {
        (**self).digest()
    }

    fn read(&self, ids: &[u64]) -> Result<Rows> {
        (**self).read(ids)
    }

    fn resident(&self) -> Option<&Dataset> {
        (**self).resident()
    }

    fn queries(&self) -> Option<Arc<[u64]>> {
        (**self).queries()
    }
}

impl dyn Source + '_ {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.schema().rows()
    }

    /// The first rows, at most `count` of them.
    ///
    /// # Errors
    /// As for [`Source::read`].
    pub fn first(&self, count: usize) -> Result<Rows> {
        let ids: Vec<u64> = (0..self.rows().min(count) as u64).collect();
        self.read(&ids)
    }
}
