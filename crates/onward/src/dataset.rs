//! Data in memory: what a model sees and what it should answer.

use crate::kernel::gather_rows;
use crate::{Error, ErrorKind, Result};

/// What each row should be answered with.
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
        /// Numbers per row.
        width: usize,
    },
}

impl Targets {
    /// How many rows they are for.
    pub fn rows(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { values, width } => values.len() / (*width).max(1),
        }
    }

    /// These, and `more` after them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if they are of another kind or width.
    pub(crate) fn joined(mut self, more: &Self) -> Result<Self> {
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

    /// Those of the rows that `indices` name.
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

/// Rows of features with their targets. Images are rows of `height × width × channels`, channels last.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    features: Vec<f32>,
    shape: [usize; 3],
    targets: Targets,
}

/// Numbers that go into a digest together.
const HASHED_AT_ONCE: usize = 1 << 14;

impl Dataset {
    /// `features` holds `rows × (height·width·channels)` numbers, row after row; `shape` is `[height, width, channels]`
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
        Ok(Self { features, shape, targets })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.features.len() / self.width()
    }

    /// Numbers per row.
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

    /// What the rows should be answered with.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Features and targets.
    pub(crate) fn into_parts(self) -> (Vec<f32>, Targets) {
        (self.features, self.targets)
    }

    /// The features of the rows named by `indices`, in that order, copied.
    pub(crate) fn features_of(&self, indices: &[u32]) -> Vec<f32> {
        gather_rows(&self.features, self.width(), indices)
    }

    /// The rows named by `indices`, in that order, copied.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let features = self.features_of(indices);
        Self { features, shape: self.shape, targets: self.targets.select(indices) }
    }

    /// BLAKE3 over shape, features and targets: what a run remembers of its data.
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
        *hash.finalize().as_bytes()
    }
}

/// Adds numbers to a digest, many at once: hashing whole blocks is several times faster.
fn add_numbers<T: Copy>(hash: &mut blake3::Hasher, numbers: &[T], bytes: impl Fn(T) -> [u8; 4]) {
    let mut block = Vec::new();
    for part in numbers.chunks(HASHED_AT_ONCE) {
        block.clear();
        block.extend(part.iter().flat_map(|v| bytes(*v)));
        hash.update(&block);
    }
}
