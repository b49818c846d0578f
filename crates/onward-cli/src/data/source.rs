//! From a path to features and answers, whatever the format.

use std::fs;
use std::path::{Path, PathBuf};

use onward::{Error, ErrorKind, Result};

use super::table::{Array, Table};
use super::{DataOptions, Format, csv, gz, idx, npy, npz, parquet};

/// Where the MNIST files can be had.
const MNIST: &str = "the MNIST files are published at yann.lecun.com/exdb/mnist and mirrored by many, \
                     e.g. as the ossci-datasets/mnist archive";

/// Features and, where there are any, what they should be answered with; as read.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) features: Vec<f32>,
    pub(super) shape: [usize; 3],
    pub(super) names: Vec<String>,
    /// Rows × values per row.
    pub(super) answers: Option<Array>,
}

impl Part {
    pub(super) fn width(&self) -> usize {
        self.shape.iter().product()
    }

    pub(super) fn rows(&self) -> usize {
        self.features.len() / self.width().max(1)
    }

    /// Splits a table into features and the label column, if it has one.
    fn from_table(path: &Path, mut table: Table, label: Option<usize>) -> Result<Self> {
        let answers =
            label.map(|column| table.take_column(column)).map(|v| Array { shape: vec![v.len()], values: v });
        if table.columns == 0 {
            return Err(bad("columns", "at least one besides the label", "none").in_file(path));
        }
        let shape = [1, 1, table.columns];
        Ok(Self { path: path.into(), features: table.values, shape, names: table.names, answers })
    }

    /// Rows of vectors, of images, or of images with channels (last).
    fn from_arrays(path: &Path, features: Array, answers: Option<Array>) -> Result<Self> {
        let shape = match features.shape[..] {
            [_] => [1, 1, 1],
            [_, n] => [1, 1, n],
            [_, h, w] => [h, w, 1],
            [_, h, w, c] => [h, w, c],
            _ => {
                return Err(bad(
                    "features",
                    "1 to 4 dimensions, rows first",
                    format!("shape {:?}", features.shape),
                )
                .in_file(path));
            }
        };
        let part = Self { path: path.into(), features: features.values, shape, names: Vec::new(), answers };
        part.check_rows()?;
        Ok(part)
    }

    fn check_rows(&self) -> Result<()> {
        match &self.answers {
            Some(answers) if answers.shape.first() != Some(&self.rows()) => {
                let found = format!("shape {:?}", answers.shape);
                Err(bad("labels", format!("one for each of the {} rows", self.rows()), found)
                    .in_file(&self.path))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn bad(
    place: impl std::fmt::Display,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Error {
    Error::expected(ErrorKind::Data, place, expected, found)
}

impl Format {
    /// The format that a path's ending stands for; a folder holds idx files.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if the ending is none that is known.
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            _ if path.is_dir() || stem.ends_with("-ubyte") || stem.ends_with(".idx") => Ok(Self::Idx),
            _ if stem.ends_with(".csv") => Ok(Self::Csv),
            Some("npy") => Ok(Self::Npy),
            Some("npz") => Ok(Self::Npz),
            Some("parquet") => Ok(Self::Parquet),
            _ => {
                let expected = "a file ending in .csv, .csv.gz, .npy, .npz or .parquet, or a folder with the four MNIST files";
                let found = if path.exists() { "neither" } else { "nothing of that name" };
                Err(bad("data", expected, format!("{found}; {MNIST}")).in_file(path))
            }
        }
    }
}

/// Training rows and, where the data have them, test rows.
pub(super) fn read(options: &DataOptions) -> Result<(Part, Option<Part>)> {
    let format = options.format.map_or_else(|| Format::of(&options.path), Ok)?;
    let (train, own_test) = match format {
        Format::Idx => {
            let test = read_folder(&options.path, "t10k")?;
            (read_folder(&options.path, "train")?, Some(test))
        }
        Format::Npz => read_npz_pair(&options.path)?,
        Format::Csv | Format::Npy | Format::Parquet => {
            let table = read_table(&options.path, format)?;
            let label = table.label_column(options.label.as_deref()).map_err(|e| e.in_file(&options.path))?;
            (Part::from_table(&options.path, table, Some(label))?, None)
        }
    };
    let Some(path) = &options.test_path else { return Ok((train, own_test)) };
    if own_test.is_some() {
        return Err(bad(
            "test file",
            format!("none, since {} has a test part", options.path.display()),
            "one",
        )
        .in_file(path));
    }
    let test = read_more(path, options, train.width())?;
    Ok((train, Some(test)))
}

/// One more file, of `width` features; with or without answers.
pub(super) fn read_more(path: &Path, options: &DataOptions, width: usize) -> Result<Part> {
    let part = match Format::of(path).or_else(|error| options.format.ok_or(error))? {
        Format::Idx if path.is_dir() => read_folder(path, "t10k")?,
        Format::Idx => read_images(path)?,
        Format::Npz => {
            let mut arrays = read_npz(path)?;
            let prefix = ["", "_test", "_train"]
                .into_iter()
                .find(|p| arrays.iter().any(|(name, _)| *name == format!("x{p}")));
            npz_part(path, &mut arrays, prefix.unwrap_or(""))?
        }
        format => read_more_table(path, options, format, width)?,
    };
    if part.width() != width {
        return Err(bad("features", format!("{width} per row"), part.width()).in_file(path));
    }
    Ok(part)
}

fn read_more_table(path: &Path, options: &DataOptions, format: Format, width: usize) -> Result<Part> {
    let table = read_table(path, format)?;
    let label = match table.columns {
        columns if columns == width => None,
        columns if columns == width + 1 => {
            Some(table.label_column(options.label.as_deref()).map_err(|e| e.in_file(path))?)
        }
        columns => {
            let expected = format!("{width} features, with or without a label");
            return Err(bad("columns", expected, columns).in_file(path));
        }
    };
    Part::from_table(path, table, label)
}

fn read_table(path: &Path, format: Format) -> Result<Table> {
    let bytes = read_file(path)?;
    let table = match format {
        Format::Csv if is_gz(path) => {
            gz::inflate(&bytes, gz::declared(&bytes)).and_then(|bytes| csv::read(&bytes))
        }
        Format::Csv => csv::read(&bytes),
        Format::Parquet => parquet::read(&bytes),
        _ => npy::read(&bytes).and_then(|array| match array.shape[..] {
            [_, columns] => Ok(Table { names: Vec::new(), columns, values: array.values }),
            _ => Err(bad("array", "rows × columns", format!("shape {:?}", array.shape))),
        }),
    };
    table.map_err(|e| e.in_file(path))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::io("read", path, error))
}

fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

fn read_idx(path: &Path) -> Result<Array> {
    let bytes = read_file(path)?;
    let array = if is_gz(path) { idx::read_gz(&bytes) } else { idx::read(&bytes) };
    array.map_err(|e| e.in_file(path))
}

/// `stem` or `stem.gz` in a folder of the MNIST files.
fn find_idx(folder: &Path, stem: &str) -> Result<PathBuf> {
    let packed = format!("{stem}.gz");
    match [stem, &packed].map(|name| folder.join(name)).into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => {
            let expected = format!("the file {stem} or {packed}");
            let found = if folder.is_dir() { "neither" } else { "no such folder" };
            Err(Error::expected(ErrorKind::Io, "folder", expected, format!("{found}; {MNIST}"))
                .in_file(folder))
        }
    }
}

fn read_folder(folder: &Path, part: &str) -> Result<Part> {
    let images = find_idx(folder, &format!("{part}-images-idx3-ubyte"))?;
    let labels = find_idx(folder, &format!("{part}-labels-idx1-ubyte"))?;
    Part::from_arrays(&images, read_idx(&images)?, Some(read_idx(&labels)?))
}

/// An idx file of images, with the labels from the file beside it if there is one.
fn read_images(path: &Path) -> Result<Part> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name).replace("images-idx3", "labels-idx1");
    let folder = path.parent().unwrap_or(Path::new("."));
    let labels = if name.contains("images-idx3") { find_idx(folder, &stem).ok() } else { None };
    Part::from_arrays(path, read_idx(path)?, labels.map(|labels| read_idx(&labels)).transpose()?)
}

type Arrays = Vec<(&'static str, Array)>;

fn read_npz(path: &Path) -> Result<Arrays> {
    npz::read(&read_file(path)?).map_err(|e| e.in_file(path))
}

fn read_npz_pair(path: &Path) -> Result<(Part, Option<Part>)> {
    let mut arrays = read_npz(path)?;
    let has = |name| arrays.iter().any(|(n, _)| *n == name);
    if !has("x_train") {
        return Ok((npz_part(path, &mut arrays, "")?, None));
    }
    let test = has("x_test").then(|| npz_part(path, &mut arrays, "_test")).transpose()?;
    Ok((npz_part(path, &mut arrays, "_train")?, test))
}

/// Takes the arrays `x{suffix}` and, if it is there, `y{suffix}`.
fn npz_part(path: &Path, arrays: &mut Arrays, suffix: &str) -> Result<Part> {
    let mut take = |letter: &str| {
        let at = arrays.iter().position(|(name, _)| *name == format!("{letter}{suffix}"))?;
        Some(arrays.swap_remove(at).1)
    };
    let Some(features) = take("x") else {
        let found: Vec<_> = arrays.iter().map(|(name, _)| *name).collect();
        return Err(bad("arrays", format!("x{suffix}"), found.join(", ")).in_file(path));
    };
    Part::from_arrays(path, features, take("y"))
}
