//! Data files: reading them, holding rows out for testing, preparing features.

pub mod csv;
mod gz;
pub mod idx;
pub mod npy;
pub mod npz;
mod pages;
pub mod parquet;
mod prepare;
mod source;
pub mod table;
mod targets;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use onward::dataset::{Dataset, Targets};
use onward::{Error, ErrorKind, Result};

pub use prepare::{Center, Preparation};
use source::{Part, bad};
use targets::Rows;

/// How to read data: paths already resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct DataOptions {
    /// The file, or the folder of the four MNIST files.
    pub path: PathBuf,
    /// A file of test rows; without it some rows are held out.
    pub test_path: Option<PathBuf>,
    /// The format; without it the path's ending tells.
    pub format: Option<Format>,
    /// The label column of a table: its name or its index from 0. Without it the one named "label", else the last.
    pub label: Option<String>,
    /// `[height, width, channels]` of a row; without it what the file says.
    pub shape: Option<[usize; 3]>,
    /// Every feature is multiplied by it.
    pub scale: f32,
    /// What is subtracted then.
    pub center: Center,
    /// How many rows are held out when the data bring no test rows.
    pub test: Holdout,
    /// Decides which rows those are.
    pub split_key: u64,
    /// What the answers are.
    pub target: Target,
    /// Use only the first so many training rows.
    pub limit: Option<usize>,
}

impl DataOptions {
    /// The defaults: features as they are, class labels, a fifth of the rows held out.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            test_path: None,
            format: None,
            label: None,
            shape: None,
            scale: 1.0,
            center: Center::None,
            test: Holdout::Fraction(0.2),
            split_key: 0,
            target: Target::Class,
            limit: None,
        }
    }
}

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values, also packed with gzip.
    Csv,
    /// The files of MNIST, also packed with gzip.
    Idx,
    /// One NumPy array of rows × columns.
    Npy,
    /// NumPy arrays named x and y, or x_train, y_train, x_test and y_test; images have their channels last.
    Npz,
    /// A Parquet table of numeric columns.
    Parquet,
}

/// What is held out for testing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Holdout {
    /// This part of the rows, between 0 and 1.
    Fraction(f64),
    /// So many rows.
    Rows(usize),
}

/// What the answers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Class labels: whole numbers from 0.
    #[default]
    Class,
    /// Numbers to be predicted.
    Value,
}

/// Rows to train on, rows to test on, and how both were prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The training rows.
    pub train: Dataset,
    /// The test rows.
    pub test: Dataset,
    /// How new rows have to be prepared.
    pub preparation: Preparation,
}

/// Reads data, holds rows out for testing where the data bring none, and prepares the features.
///
/// # Errors
/// [`ErrorKind::Io`] if a file cannot be read, [`ErrorKind::Data`] if it is not what it should be,
/// [`ErrorKind::Spec`] if the options ask for something impossible.
pub fn load(options: &DataOptions) -> Result<Split> {
    check_options(options)?;
    let (train, test) = source::read(options)?;
    let shape = choose_shape(options.shape, &train)?;
    if let Some(test) = &test {
        check_names(&train.names, test)?;
    }
    let (path, names) = (train.path.clone(), train.names.clone());
    let train = Rows::from_part(train, options.target)?;
    let (mut train, mut test) = match test {
        Some(test) => (train, Rows::from_part(test, options.target)?),
        None => train.hold_out(options.test, options.split_key).map_err(|e| e.in_file(&path))?,
    };
    let classes = train.classes().max(test.classes());
    train.truncate(options.limit.unwrap_or(usize::MAX));
    let preparation = Preparation::fit(options.center, options.scale, &train.features, shape, names);
    let finish = |rows: &mut Rows| {
        preparation.apply(&mut rows.features)?;
        Dataset::new(std::mem::take(&mut rows.features), shape, rows.take_targets(classes))
    };
    let train = finish(&mut train).map_err(|e| e.in_file(&path))?;
    let test = finish(&mut test).map_err(|e| e.in_file(options.test_path.as_ref().unwrap_or(&path)))?;
    Ok(Split { train, test, preparation })
}

/// One more file of features, with or without answers, prepared like the training data: the features row after row,
/// the number of rows, the answers. Class labels must be below `classes`.
///
/// # Errors
/// As [`load`]; also if the columns are not those that the model was trained on.
pub fn load_more(
    path: &Path,
    options: &DataOptions,
    preparation: &Preparation,
    classes: usize,
) -> Result<(Vec<f32>, usize, Option<Targets>)> {
    let mut part = source::read_more(path, options, preparation.width())?;
    check_names(&preparation.names, &part)?;
    let rows = part.rows();
    if part.answers.is_some() {
        let mut rows_of = Rows::from_part(part, options.target)?;
        preparation.apply(&mut rows_of.features).map_err(|e| e.in_file(path))?;
        rows_of.check_classes(classes).map_err(|e| e.in_file(path))?;
        let targets = rows_of.take_targets(classes);
        return Ok((rows_of.features, rows, Some(targets)));
    }
    preparation.apply(&mut part.features).map_err(|e| e.in_file(path))?;
    Ok((part.features, rows, None))
}

fn check_options(options: &DataOptions) -> Result<()> {
    let bad = |place, expected, found: String| Err(Error::expected(ErrorKind::Spec, place, expected, found));
    if !options.scale.is_normal() {
        return bad("scale", "a finite number other than 0", options.scale.to_string());
    }
    match options.test {
        Holdout::Fraction(part) if !(part > 0.0 && part < 1.0) => {
            return bad("test", "a fraction between 0 and 1", part.to_string());
        }
        Holdout::Rows(0) => return bad("test", "at least one row", "0".into()),
        _ => {}
    }
    match options.limit {
        Some(0) => bad("limit", "at least one row", "0".into()),
        _ => Ok(()),
    }
}

fn choose_shape(wanted: Option<[usize; 3]>, part: &Part) -> Result<[usize; 3]> {
    let Some(shape) = wanted else { return Ok(part.shape) };
    if shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n)) == Some(part.width()) {
        return Ok(shape);
    }
    let (expected, found) =
        (format!("height × width × channels of {} features", part.width()), format!("{shape:?}"));
    Err(Error::expected(ErrorKind::Spec, "shape", expected, found).in_file(&part.path))
}

/// Columns in another order would be silently wrong, so where both files name them, the names must agree.
fn check_names(trained: &[String], part: &Part) -> Result<()> {
    if trained.is_empty() || part.names.is_empty() {
        return Ok(());
    }
    match trained.iter().zip(&part.names).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(at) => {
            let (expected, found) = (shorten(trained[at].as_bytes()), shorten(part.names[at].as_bytes()));
            Err(bad(format!("feature column {at} (from 0)"), format!("{expected} as in training"), found)
                .in_file(&part.path))
        }
    }
}

/// Bytes of a file, quoted for a message and not too long.
fn shorten(bytes: &[u8]) -> String {
    const LONGEST: usize = 40;
    let text: String =
        String::from_utf8_lossy(&bytes[..bytes.len().min(4 * LONGEST)]).chars().take(LONGEST).collect();
    let dots = if bytes.len() > text.len() { "…" } else { "" };
    format!("{text:?}{dots}")
}
