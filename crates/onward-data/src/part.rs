//! From a path to features and answers, whatever the format.

use std::fs;
use std::path::{Path, PathBuf};

use onward::dataset::{QUERY, WEIGHT};
use onward::{Error, ErrorKind, Place, Result};

use super::csv::Header;
use super::table::{Array, Label, Numbers, Table};
use super::targets::check_beside;
use super::{DataOptions, Format, Labels, csv, gz, idx, npy, npz, shorten};

/// Where the MNIST files can be had.
const MNIST: &str = "the MNIST files are published at yann.lecun.com/exdb/mnist and mirrored by many, \
                     e.g. as the ossci-datasets/mnist archive";

/// Features and, where there are any, what they should be answered with; as read.
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// All that the file has, `stride` numbers per row.
    numbers: Numbers,
    stride: usize,
    /// Which of a row's numbers are features.
    columns: Vec<usize>,
    pub(super) shape: [usize; 3],
    /// The names of the features; none if the file has none.
    pub(super) names: Vec<String>,
    pub(super) answers: Option<Answers>,
    /// Sample weights, if there are any.
    pub(super) weights: Option<Vec<f64>>,
    /// Queries, if there are any.
    pub(super) queries: Option<Vec<f64>>,
    /// Further columns by their names.
    pub(super) others: Vec<(String, Vec<f64>)>,
    /// What the user may want otherwise, one sentence each.
    pub(super) notes: Vec<String>,
}

/// What rows should be answered with, as read.
pub(super) struct Answers {
    /// Rows × values per row.
    pub(super) values: Vec<f64>,
    /// How many there should be rows for.
    pub(super) rows: usize,
    /// Where in the file they stand.
    pub(super) place: String,
}

impl Part {
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn rows(&self) -> usize {
        self.numbers.count() / self.stride.max(1)
    }

    /// One feature of one row, both counted from 0.
    pub(super) fn feature(&self, row: usize, feature: usize) -> f64 {
        self.numbers.at(row * self.stride + self.columns[feature])
    }

    /// Where in the file that is, in words.
    pub(super) fn place(&self, row: usize, feature: usize) -> String {
        cell(row as u64, self.columns[feature], self.names.get(feature))
    }

    /// Splits a table into features and columns that are none.
    fn from_table(path: &Path, table: Table, beside: &Beside) -> Result<Self> {
        let Layout { features: columns, names, notes } =
            Layout::of(path, &table, |column| beside.has(column))?;
        let numbers = |columns: &[usize]| -> Vec<f64> {
            let of_row = |row| columns.iter().map(move |column| row * table.columns + column);
            (0..table.rows()).flat_map(of_row).map(|at| table.values.at(at)).collect()
        };
        let answers = (!beside.labels.is_empty()).then(|| Answers {
            values: numbers(&beside.labels),
            rows: table.rows(),
            place: beside.answers(&table),
        });
        let (weights, queries) =
            (beside.weight.map(|column| numbers(&[column])), beside.query.map(|column| numbers(&[column])));
        let others = beside.others.iter().map(|(name, column)| (name.clone(), numbers(&[*column]))).collect();
        Ok(Self {
            path: path.into(),
            shape: [1, 1, columns.len()],
            stride: table.columns,
            columns,
            names,
            answers,
            weights,
            queries,
            others,
            notes,
            numbers: table.values,
        })
    }

    /// Checks what stands beside the rows: sample weights, queries and further columns.
    pub(super) fn check_beside(&self) -> Result<()> {
        let others = self.others.iter().map(|(name, values)| (name.as_str(), values));
        let own = [(QUERY, &self.queries), (WEIGHT, &self.weights)];
        let mut all =
            others.chain(own.into_iter().filter_map(|(name, values)| Some((name, values.as_ref()?))));
        all.try_for_each(|(name, values)| {
            values.iter().enumerate().try_for_each(|(row, value)| check_beside(name, row, *value))
        })
    }

    /// Rows of vectors, of images, or of images with channels (last); `place` is where the answers stand.
    fn from_arrays(path: &Path, features: Array, answers: Option<Array>, place: &str) -> Result<Self> {
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
        let stride = shape.iter().product();
        let rows = features.shape[0];
        if let Some(answers) = answers.as_ref().filter(|answers| answers.shape.first() != Some(&rows)) {
            let found = format!("shape {:?}", answers.shape);
            return Err(bad("labels", format!("one for each of the {rows} rows"), found).in_file(path));
        }
        let answers =
            answers.map(|a| Answers { values: a.values.iter().collect(), rows, place: place.into() });
        Ok(Self {
            path: path.into(),
            numbers: features.values,
            stride,
            columns: (0..stride).collect(),
            shape,
            names: Vec::new(),
            answers,
            weights: None,
            queries: None,
            others: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Refuses features that are no numbers.
    fn check_finite(self) -> Result<Self> {
        let width = self.width();
        let at = (0..self.rows() * width).find(|at| !self.feature(at / width, at % width).is_finite());
        match at.map(|at| (at / width, at % width)) {
            None => Ok(self),
            Some((row, feature)) => {
                let found = self.feature(row, feature);
                Err(bad(self.place(row, feature), "a finite number", found).in_file(&self.path))
            }
        }
    }
}

/// Which columns of a table are features.
pub(super) struct Layout {
    /// Their places among all columns.
    pub(super) features: Vec<usize>,
    /// Their names; none if the table has none.
    pub(super) names: Vec<String>,
    /// What the user may want otherwise, one sentence each.
    pub(super) notes: Vec<String>,
}

impl Layout {
    /// All of a table's columns but those with a use of their own and those that only say which row it is.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there are none.
    pub(super) fn of(path: &Path, table: &Table, is_used: impl Fn(usize) -> bool) -> Result<Self> {
        let left_out = |column: &usize| table.index.contains(column) && !is_used(*column);
        let mut notes = table.notes.clone();
        let said =
            |column| format!("column {} only says which row it is, and is left out", table.name(column));
        notes.extend((0..table.columns).filter(left_out).map(said));
        let is_feature = |column: &usize| !is_used(*column) && !left_out(column);
        let features: Vec<usize> = (0..table.columns).filter(is_feature).collect();
        if features.is_empty() {
            return Err(bad("columns", "at least one besides the label", "none").in_file(path));
        }
        let names = features.iter().filter_map(|&column| table.names.get(column)).cloned().collect();
        Ok(Self { features, names, notes })
    }

    /// Where in the file a row's feature is, in words.
    pub(super) fn place(&self, row: u64, feature: usize) -> String {
        cell(row, self.features[feature], self.names.get(feature))
    }
}

/// Where in a file a number is, in words.
fn cell(row: u64, column: usize, name: Option<&String>) -> String {
    match name {
        Some(name) => format!("row {row} (from 0), column {}", shorten(name.as_bytes())),
        None => format!("row {row}, column {column} (from 0)"),
    }
}

/// What the first row of a CSV file is, as far as the options say.
pub(super) fn header_of(options: &DataOptions) -> Header<'static> {
    match options.header.0 {
        None => Header::Auto,
        Some(true) => Header::Yes,
        Some(false) => Header::No,
    }
}

/// Replaces `~/` at the beginning of a path by the user's home folder, where the system names it.
pub fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) if !home.as_os_str().is_empty() => home.join(rest),
        _ => path.into(),
    }
}

/// Which columns of a table are no features.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) labels: Vec<usize>,
    pub(super) weight: Option<usize>,
    pub(super) query: Option<usize>,
    /// With the names that the options give them.
    pub(super) others: Vec<(String, usize)>,
}

impl Beside {
    /// Where the answers stand, in words.
    pub(super) fn answers(&self, table: &Table) -> String {
        let words: Vec<String> = self.labels.iter().map(|column| table.name(*column)).collect();
        format!("column{} {}", if words.len() > 1 { "s" } else { "" }, words.join(", "))
    }

    /// Those that the options say; without a word on labels, the table's own label column.
    pub(super) fn of(options: &DataOptions, table: &Table) -> Result<Self> {
        let labels = match &options.label {
            None => vec![table.label_column(None)?],
            Some(all) => all.0.iter().map(|one| table.column("label column", one)).collect::<Result<_>>()?,
        };
        let one = |key: &str, wanted: Option<&Label>| {
            wanted.map(|wanted| table.column(&format!("{key} column"), wanted)).transpose()
        };
        let (weight, query) =
            (one("weight", options.weight.as_ref())?, one("query", options.query.as_ref())?);
        let others =
            further(options).iter().map(|wanted| Ok((wanted.to_string(), table.column("column", wanted)?)));
        let own = Self { labels, weight, query, others: others.collect::<Result<_>>()? };
        let mut all: Vec<usize> = own.all().collect();
        all.sort_unstable();
        match all.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(own),
            Some(pair) => {
                let found = format!("column {} (from 0) twice", pair[0]);
                Err(bad("columns", "a use of its own for each", found))
            }
        }
    }

    /// Those of `names` that a table has, without the others.
    fn there(options: &DataOptions, table: &Table) -> Result<Self> {
        let has = |wanted: &Label| matches!(wanted, Label::Name(name) if table.names.contains(name));
        let default = Labels(vec![Label::Name("label".into())]);
        let labels = &options.label.as_ref().unwrap_or(&default).0;
        let labels = if labels.iter().all(has) { labels.as_slice() } else { &[] };
        let one = |key: &str, wanted: Option<&Label>| {
            let wanted = wanted.filter(|wanted| has(wanted));
            wanted.map(|wanted| table.column(&format!("{key} column"), wanted)).transpose()
        };
        Ok(Self {
            labels: labels.iter().map(|one| table.column("label column", one)).collect::<Result<_>>()?,
            weight: one("weight", options.weight.as_ref())?,
            query: one("query", options.query.as_ref())?,
            others: further(options)
                .iter()
                .filter(|wanted| has(wanted))
                .map(|wanted| Ok((wanted.to_string(), table.column("column", wanted)?)))
                .collect::<Result<_>>()?,
        })
    }

    fn all(&self) -> impl Iterator<Item = usize> + '_ {
        let others = self.others.iter().map(|(_, column)| *column);
        self.labels.iter().copied().chain(self.weight).chain(self.query).chain(others)
    }

    pub(super) fn has(&self, column: usize) -> bool {
        self.all().any(|own| own == column)
    }
}

/// How many columns are no features, if all are there.
fn count_beside(options: &DataOptions) -> usize {
    let labels = options.label.as_ref().map_or(1, |labels| labels.0.len());
    labels
        + usize::from(options.weight.is_some())
        + usize::from(options.query.is_some())
        + further(options).len()
}

/// The further columns that the options name.
pub(super) fn further(options: &DataOptions) -> &[Label] {
    options.columns.as_ref().map_or(&[], |all| &all.0)
}

/// Refuses columns of arrays, which have none but features and answers.
fn check_arrays(options: &DataOptions, path: &Path) -> Result<()> {
    let several = options.label.as_ref().is_some_and(|labels| labels.0.len() > 1);
    let said = [
        ("data.weight", options.weight.is_some()),
        ("data.query", options.query.is_some()),
        ("data.columns", options.columns.is_some()),
        ("data.label", several),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        None => Ok(()),
        Some((key, _)) => {
            let (expected, found) = ("a table, whose columns it can name", "arrays");
            Err(Error::expected(ErrorKind::Spec, key, expected, found).in_file(path))
        }
    }
}

pub(super) fn bad(
    place: impl Into<Place>,
    expected: impl std::fmt::Display,
    found: impl std::fmt::Display,
) -> Error {
    Error::expected(ErrorKind::Data, place, expected, found)
}

impl Format {
    /// The format that a path's extension stands for; a folder holds idx files.
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
    let format = options.format.0.map_or_else(|| Format::of(&options.path), Ok)?;
    if matches!(format, Format::Idx | Format::Npz) {
        check_arrays(options, &options.path)?;
    }
    let (train, own_test) = match format {
        Format::Idx => {
            let test = read_folder(&options.path, "t10k")?;
            (read_folder(&options.path, "train")?, Some(test))
        }
        Format::Npz => read_npz_pair(&options.path)?,
        Format::Csv | Format::Npy | Format::Parquet => {
            let table = read_table(&options.path, format, header_of(options))?;
            let beside = Beside::of(options, &table).map_err(|e| e.in_file(&options.path))?;
            (Part::from_table(&options.path, table, &beside)?, None)
        }
        Format::Tokens => return Err(no_table(&options.path)),
    };
    let (train, own_test) = (train.check_finite()?, own_test.map(Part::check_finite).transpose()?);
    let Some(path) = &options.test_path else { return Ok((train, own_test)) };
    if own_test.is_some() {
        return Err(bad(
            "test file",
            format!("none, since {} has a test part", options.path.display()),
            "one",
        )
        .in_file(path));
    }
    let test = read_more(path, options, train.width(), &train.names)?;
    Ok((train, Some(test)))
}

/// Tokens are windows of a file, which is read as they are needed.
fn no_table(path: &Path) -> Error {
    let expected = "a table or arrays, to be read at once";
    Error::expected(ErrorKind::Spec, "data.format", expected, "\"tokens\"").in_file(path)
}

/// One more file, of `width` features that the training data name so; with or without answers.
pub(super) fn read_more(path: &Path, options: &DataOptions, width: usize, names: &[String]) -> Result<Part> {
    let part = match Format::of(path).or_else(|error| options.format.0.ok_or(error))? {
        Format::Idx if path.is_dir() => read_folder(path, "t10k")?,
        Format::Idx => read_images(path)?,
        Format::Npz => {
            let mut arrays = read_npz(path)?;
            let prefix = ["", "_test", "_train"]
                .into_iter()
                .find(|p| arrays.iter().any(|(name, _)| *name == format!("x{p}")));
            npz_part(path, &mut arrays, prefix.unwrap_or(""))?
        }
        Format::Tokens => return Err(no_table(path)),
        format => {
            let table = read_table(path, format, Header::Like(names))?;
            read_more_table(path, options, table, width)?
        }
    };
    if part.width() != width {
        return Err(bad("features", format!("{width} per row"), part.width()).in_file(path));
    }
    part.check_finite()
}

fn read_more_table(path: &Path, options: &DataOptions, table: Table, width: usize) -> Result<Part> {
    let columns = table.columns - table.index.len();
    let beside = if columns == width {
        Beside::default()
    } else if columns == width + count_beside(options) {
        Beside::of(options, &table).map_err(|e| e.in_file(path))?
    } else {
        let there = Beside::there(options, &table).map_err(|e| e.in_file(path))?;
        if columns != width + there.all().count() {
            let expected = format!("{width} features, with or without a label");
            return Err(bad("columns", expected, columns).in_file(path));
        }
        there
    };
    Part::from_table(path, table, &beside)
}

fn read_table(path: &Path, format: Format, header: Header<'_>) -> Result<Table> {
    let bytes = read_file(path)?;
    let table = match format {
        Format::Csv if is_gz(path) => gz::inflate_all(&bytes).and_then(|bytes| csv::read(&bytes, header)),
        Format::Csv => csv::read(&bytes, header),
        #[cfg(feature = "parquet")]
        Format::Parquet => super::parquet::read(&bytes),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => Err(super::without_parquet()),
        _ => npy::read(&bytes).and_then(|array| match array.shape[..] {
            [_, columns] => Ok(Table { columns, values: array.values, ..Table::default() }),
            _ => Err(bad("array", "rows × columns", format!("shape {:?}", array.shape))),
        }),
    };
    table.map_err(|e| e.in_file(path))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::io("read", path, error))
}

pub(super) fn is_gz(path: &Path) -> bool {
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
    let place = format!("file {}", labels.display());
    Part::from_arrays(&images, read_idx(&images)?, Some(read_idx(&labels)?), &place)
}

/// An idx file of images, with the labels from the file beside it if there is one.
fn read_images(path: &Path) -> Result<Part> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name).replace("images-idx3", "labels-idx1");
    let folder = path.parent().unwrap_or(Path::new("."));
    let labels = if name.contains("images-idx3") { find_idx(folder, &stem).ok() } else { None };
    Part::from_arrays(path, read_idx(path)?, labels.map(|labels| read_idx(&labels)).transpose()?, "labels")
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
    Part::from_arrays(path, features, take("y"), &format!("array y{suffix}"))
}
