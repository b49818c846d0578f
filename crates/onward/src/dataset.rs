//! Data in memory: what a model sees and what it should answer.

use crate::kernel::gather_rows;
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// The targets of rows: class labels or values.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// One class per row, each in `0..classes`.
    Classes {
        /// The classes, one per row.
        labels: Vec<u32>,
        /// How many classes there are.
        classes: usize,
    },
    /// A vector of `width` numbers per row (regression), row after row.
    Values {
        /// The numbers, `rows × width`.
        values: Vec<f32>,
        /// The number of features per row.
        width: usize,
    },
}

impl Targets {
    /// The number of rows that the targets are for.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { values, width } => values.len() / (*width).max(1),
        }
    }

    /// Appends the targets `more`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if they are of another kind or width.
    pub fn joined(mut self, more: &Self) -> Result<Self> {
        match (&mut self, more) {
            (Self::Classes { labels, classes }, Self::Classes { labels: more, classes: n })
                if classes == n =>
            {
                labels.extend(more);
            }
            (Self::Values { values, width }, Self::Values { values: more, width: n }) if width == n => {
                values.extend(more);
            }
            _ => return Err(Error::expected(ErrorKind::Data, "targets", "those of one schema", "others")),
        }
        Ok(self)
    }

    /// The targets of the rows that `indices` name, in that order.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        match self {
            Self::Classes { labels, classes } => Self::Classes {
                labels: indices.iter().map(|&i| labels[i as usize]).collect(),
                classes: *classes,
            },
            Self::Values { values, width } => Self::Values {
                values: indices
                    .iter()
                    .flat_map(|&i| &values[i as usize * width..][..*width])
                    .copied()
                    .collect(),
                width: *width,
            },
        }
    }
}

/// The column of sample weights: the loss of a row is multiplied by its own.
pub const WEIGHT: &str = "weight";
/// The column of queries: rows that are ranked against each other share a number.
pub const QUERY: &str = "query";

/// The token, and target, in the places behind the last item of a row that is shorter than others.
pub const NO_ITEM: f32 = -1.0;
/// The target of an item that a row has, but that nothing is asked about, such as the tokens of a prompt.
pub const UNASKED: f32 = -2.0;

/// Named columns of numbers beside features and targets, one number per row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns(BTreeMap<String, Vec<f64>>);

impl Columns {
    /// Adds the column `name`, or puts it in the place of the one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, values: Vec<f64>) -> Self {
        self.0.insert(name.to_owned(), values);
        self
    }

    /// The column of this name, row after row.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// All columns in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// The columns without the one of this name.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the columns `more`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if they have other names.
    pub fn joined(mut self, more: &Self) -> Result<Self> {
        if !self.0.keys().eq(more.0.keys()) {
            return Err(Error::expected(ErrorKind::Data, "columns", "those of one schema", "others"));
        }
        self.0.values_mut().zip(more.0.values()).for_each(|(own, more)| own.extend(more));
        Ok(self)
    }

    /// The columns' values of the rows that `indices` name, in that order.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let of = |values: &[f64]| indices.iter().map(|&i| values[i as usize]).collect();
        Self(self.iter().map(|(name, values)| (name.to_owned(), of(values))).collect())
    }

    /// Checks that there is a finite number for each of `rows` rows, and that sample weights are not negative. Those of a batch may all be 0: its loss is then 0
    /// for any outputs, and nothing is learned from it.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming column and row.
    pub fn check(&self, rows: usize) -> Result<()> {
        for (name, values) in self.iter() {
            let place = || format!("column {name}");
            let bad = |expected: String, found: String| {
                Err(Error::expected(ErrorKind::Data, place(), expected, found))
            };
            if values.len() != rows {
                return bad(format!("one number for each of {rows} rows"), values.len().to_string());
            }
            let least = if name == WEIGHT { 0.0 } else { f64::MIN };
            if let Some(row) = values.iter().position(|v| !(v.is_finite() && *v >= least)) {
                let expected = if name == WEIGHT { "a finite number, at least 0" } else { "a finite number" };
                return bad(expected.into(), format!("{} in row {row}", values[row]));
            }
        }
        Ok(())
    }

    /// Checks that the rows of a whole data set count for something: not all of their sample weights are 0.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if they are.
    pub fn check_counted(&self) -> Result<()> {
        match self.get(WEIGHT) {
            Some(all) if all.iter().all(|weight| *weight == 0.0) => {
                let place = format!("column {WEIGHT}");
                Err(Error::expected(ErrorKind::Data, place, "a row that counts", "weights of 0 alone"))
            }
            _ => Ok(()),
        }
    }
}

/// A weight for each class that makes all count alike: rows over (classes × rows of the class); 0 for a class without rows.
/// The mean over all rows is 1 where every class has some.
///
/// Rows of classes beyond `classes` count for none.
pub fn balanced(labels: &[u32], classes: usize) -> Vec<f64> {
    let mut counts = vec![0u64; classes];
    for label in labels {
        if let Some(count) = counts.get_mut(*label as usize) {
            *count += 1;
        }
    }
    balanced_of(&counts)
}

/// The weights of [`balanced`] from the number of rows of each class.
pub fn balanced_of(counts: &[u64]) -> Vec<f64> {
    let there = counts.iter().filter(|count| **count > 0).count();
    let rows: u64 = counts.iter().sum();
    let of = |count: &u64| rows as f64 / (there as f64 * *count as f64);
    counts.iter().map(|count| if *count > 0 { of(count) } else { 0.0 }).collect()
}

/// Rows of features with their targets. Images are rows of `height × width × channels`, channels last.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Vec<f32>,
    shape: [usize; 3],
    targets: Targets,
    columns: Columns,
    /// Whether rows of tokens end before others do.
    ragged: bool,
}

/// Numbers that go into a digest together.
const HASHED_AT_ONCE: usize = 1 << 14;

impl Dataset {
    /// A data set of features and targets: `features` holds `rows × (height·width·channels)` numbers, row after row; `shape` is `[height, width, channels]`
    /// (`[1, 1, n]` for plain vectors).
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if the lengths disagree, there are no rows, a feature is not finite, or a label is not below
    /// the number of classes.
    pub fn new(features: Vec<f32>, shape: [usize; 3], targets: Targets) -> Result<Self> {
        let bad = |place: &str, expected: String, found: String| {
            Err(Error::expected(ErrorKind::Data, place, expected, found))
        };
        let rows = targets.rows();
        let width = shape.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis));
        let Some(width) = width.filter(|width| width.checked_mul(rows).is_some()) else {
            return bad("data", "numbers that can be counted".into(), format!("{rows} rows of {shape:?}"));
        };
        if rows == 0 || width == 0 {
            return bad(
                "data",
                "at least one row and one column".into(),
                format!("{rows} rows of {width} columns"),
            );
        }
        if features.len() != rows * width {
            return bad(
                "features",
                format!("{rows} rows × {width} columns"),
                format!("{} numbers", features.len()),
            );
        }
        if let Some(i) = features.iter().position(|v| !v.is_finite()) {
            return bad(
                &format!("row {}, column {}", i / width, i % width),
                "a finite number".into(),
                features[i].to_string(),
            );
        }
        match &targets {
            Targets::Classes { labels, classes } => {
                if let Some(row) = labels.iter().position(|&l| l as usize >= *classes) {
                    return bad(
                        &format!("label of row {row}"),
                        format!("a class in 0..{classes}"),
                        labels[row].to_string(),
                    );
                }
            }
            Targets::Values { values, width } => {
                if *width == 0 || values.len() != rows * width {
                    return bad(
                        "targets",
                        format!("{rows} rows × {width} values"),
                        format!("{} numbers", values.len()),
                    );
                }
                if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                    return bad(
                        &format!("target of row {}", i / width),
                        "a finite number".into(),
                        values[i].to_string(),
                    );
                }
            }
        }
        Ok(Self { features, shape, targets, columns: Columns::default(), ragged: false })
    }

    /// Rows of tokens, each with one target a token: rows of one to `length` items in the shape `[1, length, 1]`, with [`NO_ITEM`] behind
    /// the last.
    ///
    /// ```
    /// use onward::dataset::{Dataset, NO_ITEM};
    ///
    /// // A row of three items, and one of one.
    /// let rows = [(vec![3.0, 1.0, 4.0], vec![1.0, 4.0, 0.0]), (vec![2.0], vec![0.0])];
    /// let data = Dataset::ragged(&rows, 4)?;
    /// assert_eq!(data.row(1), [2.0, NO_ITEM, NO_ITEM, NO_ITEM]);
    /// # Ok::<(), onward::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the row, if it has no item, more than `length` or other than whole numbers from 0 on, or not a target (or [`UNASKED`]) for
    /// each.
    pub fn ragged(rows: &[(Vec<f32>, Vec<f32>)], length: usize) -> Result<Self> {
        let [mut features, mut values] = [(); 2].map(|()| Vec::with_capacity(rows.len() * length));
        for (row, (tokens, targets)) in rows.iter().enumerate() {
            let bad = |expected: String, found: String| {
                Err(Error::expected(ErrorKind::Data, format!("row {row}"), expected, found))
            };
            if !(1..=length).contains(&tokens.len()) {
                return bad(format!("1 to {length} items"), tokens.len().to_string());
            }
            if tokens.len() != targets.len() {
                return bad(format!("{} targets, one an item", tokens.len()), targets.len().to_string());
            }
            let mut both = tokens.iter().chain(targets.iter().filter(|target| **target != UNASKED));
            if let Some(odd) = both.find(|token| !(token.fract() == 0.0 && **token >= 0.0)) {
                return bad("whole numbers from 0 on".into(), odd.to_string());
            }
            for (all, own) in [(&mut features, tokens), (&mut values, targets)] {
                all.extend(own);
                all.resize((row + 1) * length, NO_ITEM);
            }
        }
        let targets = Targets::Values { values, width: length };
        Self::new(features, [1, length, 1], targets).map(Self::with_ends)
    }

    /// Takes it that rows of tokens may end before others do ([`NO_ITEM`]).
    #[must_use]
    pub fn with_ends(self) -> Self {
        Self { ragged: true, ..self }
    }

    /// Whether rows end before others do.
    pub fn is_ragged(&self) -> bool {
        self.ragged
    }

    /// Puts `columns` in the place of the rows' own.
    ///
    /// # Errors
    /// As for [`Columns::check`].
    pub fn with_columns(self, columns: Columns) -> Result<Self> {
        columns.check(self.rows())?;
        Ok(Self { columns, ..self })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.features.len() / self.width()
    }

    /// The number of features per row.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// `[height, width, channels]` of a row.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All features, row after row.
    pub fn features(&self) -> &[f32] {
        &self.features
    }

    /// The features of one row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.width()..][..self.width()]
    }

    /// The targets of the rows.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The columns beside features and targets.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Features, targets and columns.
    pub(crate) fn into_parts(self) -> (Vec<f32>, Targets, Columns) {
        (self.features, self.targets, self.columns)
    }

    /// The features of the rows named by `indices`, in that order, copied.
    pub(crate) fn features_of(&self, indices: &[u32]) -> Vec<f32> {
        gather_rows(&self.features, self.width(), indices)
    }

    /// The rows named by `indices`, in that order, copied.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let features = self.features_of(indices);
        Self {
            features,
            shape: self.shape,
            targets: self.targets.select(indices),
            columns: self.columns.select(indices),
            ragged: self.ragged,
        }
    }

    /// The BLAKE3 digest of shape, features, targets and columns: what a ledger records of its data.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 dataset v1");
        for n in self.shape {
            hash.update(&(n as u64).to_le_bytes());
        }
        add_numbers(&mut hash, &self.features, |v| v.to_le_bytes());
        let kind = match &self.targets {
            Targets::Classes { labels, classes } => {
                add_numbers(&mut hash, labels, |l| l.to_le_bytes());
                *classes as u64
            }
            Targets::Values { values, width } => {
                add_numbers(&mut hash, values, |v| v.to_le_bytes());
                *width as u64
            }
        };
        hash.update(&kind.to_le_bytes());
        for (name, values) in self.columns.iter() {
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            add_numbers(&mut hash, values, |v| v.to_le_bytes());
        }
        *hash.finalize().as_bytes()
    }
}

/// Adds numbers to a digest, many at once: hashing whole blocks is several times faster.
fn add_numbers<T: Copy, const N: usize>(
    hash: &mut blake3::Hasher,
    numbers: &[T],
    bytes: impl Fn(T) -> [u8; N],
) {
    let mut block = Vec::new();
    for part in numbers.chunks(HASHED_AT_ONCE) {
        block.clear();
        block.extend(part.iter().flat_map(|v| bytes(*v)));
        hash.update(&block);
    }
}
