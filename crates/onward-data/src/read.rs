//! From paths to rows: which format a file has, what the options say of it, and which files belong together.

use super::beside::{Beside, count_beside};
use super::csv::{Header, Reading};
use super::files::{Packing, packed, packing, parsed, parts_of, read_file, read_table};
use super::layout::{Input, Layout};
use super::part::{Part, bad};
use super::table::{Array, Label, Table};
use super::texts::without_a_model;
use super::{DataOptions, Format, Labels, Missing, idx, npz, refused};
use onward::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

const ANY_NAME: &str = "data.format says what a file is, whatever its name; of another kind it has to be written anew, as one of these";
/// Where the MNIST files can be had.
const MNIST: &str = "the MNIST files are published at yann.lecun.com/exdb/mnist and mirrored by many, \
                     e.g. as the ossci-datasets/mnist archive";

/// What the options say of a text table that is trained on.
pub(super) fn reading_of(options: &DataOptions) -> Reading<'_> {
    let all = |labels: &Option<Labels>| labels.as_ref().map_or_else(Vec::new, |all| all.0.clone());
    Reading {
        header: match options.header.0 {
            None => Header::Auto,
            Some(true) => Header::Yes,
            Some(false) => Header::No,
        },
        separator: options.separator,
        decimal: options.decimal,
        encoding: options.encoding,
        missing: options.missing_words.as_ref().map(|words| &words.0[..]),
        skipped: [all(&options.ignore), all(&options.id)].concat(),
        texts: Vec::new(),
        categorical: all(&options.categorical),
    }
}

/// Replaces `~/` at the beginning of a path by the user's home folder, where the system names it.
pub fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) if !home.as_os_str().is_empty() => home.join(rest),
        _ => path.into(),
    }
}

/// Refuses columns of arrays, which have none but features and answers.
fn check_arrays(options: &DataOptions, path: &Path) -> Result<()> {
    let several = options.label.as_ref().is_some_and(|labels| labels.0.len() > 1);
    let said = [
        ("data.weight", options.weight.is_some()),
        ("data.query", options.query.is_some()),
        ("data.columns", options.columns.is_some()),
        ("data.ignore", options.ignore.is_some()),
        ("data.id", options.id.is_some()),
        ("data.categorical", options.categorical.is_some()),
        ("data.missing", options.missing.is_some()),
        ("data.label", several),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        None => Ok(()),
        Some((key, _)) => {
            let (expected, found) = ("a table, whose columns it can name", "arrays");
            Err(refused(key, expected, found).in_file(path))
        }
    }
}

/// The endings of text tables.
const TEXT: [&str; 6] = [".csv", ".tsv", ".tab", ".txt", ".data", ".dat"];

impl Format {
    /// The format that a path's extension stands for; a folder holds idx files.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if the ending is none that is known.
    pub fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let stem = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            _ if path.is_dir() && !parts_of(path).is_empty() => Ok(Self::Parquet),
            _ if path.is_dir() || stem.ends_with("-ubyte") || stem.ends_with(".idx") => Ok(Self::Idx),
            _ if TEXT.iter().any(|ending| stem.ends_with(ending)) => Ok(Self::Csv),
            Some("npy") => Ok(Self::Npy),
            Some("npz") => Ok(Self::Npz),
            Some("parquet" | "pq") => Ok(Self::Parquet),
            _ => {
                let expected = "a file ending in .csv, .tsv, .txt, .data or .dat (also with .gz or .zst behind), .npy, .npz, .parquet or .pq, or a \
                                folder with the four MNIST files";
                let found = match name.rsplit_once('.') {
                    _ if !path.exists() => format!("nothing of that name; {MNIST}"),
                    Some((_, ending)) => format!("one ending in .{ending}; {ANY_NAME}"),
                    None => format!("one without an ending; {ANY_NAME}"),
                };
                Err(bad("data", expected, found).in_file(path))
            }
        }
    }
}

/// What the options' files hold.
pub(super) struct Read {
    pub(super) train: Part,
    /// Test rows, where the data have them.
    pub(super) test: Option<Part>,
    /// Rows to choose the best step by, where they have a file of their own.
    pub(super) validation: Option<Part>,
}

/// Reads all files that the options name.
pub(super) fn read(options: &DataOptions) -> Result<Read> {
    let (train, own_test) = read_one(options)?;
    if let (Some(path), true) = (&options.test_path, own_test.is_some()) {
        let expected = format!("none, since {} has a test part", options.path.display());
        return Err(bad("test file", expected, "one").in_file(path));
    }
    let more = |path: &Path| {
        let trained = Trained::of(&train.layout, &train.labels);
        read_more(path, None, options, &trained, options.missing.unwrap_or_default())
    };
    let test = options.test_path.as_deref().map(more).transpose()?.or(own_test);
    let validation = options.validation_path.as_deref().map(more).transpose()?;
    Ok(Read { train, test, validation })
}

/// Rows of the options' path and, where these have some, test rows.
pub(super) fn read_one(options: &DataOptions) -> Result<(Part, Option<Part>)> {
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
            let table = read_table(&options.path, format, &reading_of(options))?;
            (understood(options, table).map_err(|e| e.in_file(&options.path))?, None)
        }
        Format::Tokens => return Err(no_table(&options.path)),
        Format::Text | Format::Jsonl => return Err(without_a_model(&options.path)),
    };
    Ok((train.check_finite()?, own_test.map(Part::check_finite).transpose()?))
}

/// A table to be trained on, as the options say and as it looks.
fn understood(options: &DataOptions, table: Table) -> Result<Part> {
    let beside = Beside::of(options, &table, &[])?;
    beside.check(&table, options)?;
    let layout = Layout::of(&table, &beside, options)?;
    let labels = beside.unsaid_labels(options, &table);
    let mut part =
        Part::from_table(&options.path, table, &beside, layout, options.missing.unwrap_or_default())?;
    part.labels = labels;
    Ok(part)
}

/// What a model was trained on.
pub(super) struct Trained {
    /// The columns that features are made of.
    inputs: Vec<Input>,
    /// Whether these have names.
    named: bool,
    /// The names of the label columns that the options do not say.
    labels: Vec<String>,
}

impl Trained {
    pub(super) fn of(layout: &Layout, labels: &[String]) -> Self {
        Self::new(&layout.inputs, &layout.names, layout.features.len(), labels)
    }

    /// Of what is kept of a preparation.
    pub(super) fn new(inputs: &[Input], names: &[String], width: usize, labels: &[String]) -> Self {
        let inputs = match inputs {
            [] if names.is_empty() => (0..width).map(|place| Input::of(place.to_string())).collect(),
            [] => names.iter().cloned().map(Input::of).collect(),
            kept => kept.to_vec(),
        };
        Self { inputs, named: !names.is_empty(), labels: labels.to_vec() }
    }
}

/// Tokens are windows of a file, which is read as they are needed.
fn no_table(path: &Path) -> Error {
    let expected = "a table or arrays, to be read at once";
    refused("data.format", expected, "\"tokens\"").in_file(path)
}

/// One more file with the columns that a model was trained on; with or without answers.
pub(super) fn read_more(
    path: &Path,
    bytes: Option<&[u8]>,
    options: &DataOptions,
    trained: &Trained,
    missing: Missing,
) -> Result<Part> {
    let format = match bytes {
        Some([b'P', b'A', b'R', b'1', ..]) => Format::Parquet,
        Some([0x93, b'N', ..]) => Format::Npy,
        Some(_) => Format::Csv,
        None => Format::of(path).or_else(|error| options.format.0.ok_or(error))?,
    };
    let part = match format {
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
        Format::Text | Format::Jsonl => return Err(without_a_model(path)),
        format => {
            let names: Vec<String> = match trained.named {
                true => trained.inputs.iter().map(|input| input.name.clone()).collect(),
                false => Vec::new(),
            };
            let texts = options.id.as_ref().map_or_else(Vec::new, |all| all.0.clone());
            let skipped = options.ignore.as_ref().map_or_else(Vec::new, |all| all.0.clone());
            let how = Reading { header: Header::Like(&names), texts, skipped, ..reading_of(options) };
            let table = match bytes {
                Some(bytes) => parsed(bytes, format, packed(bytes), &how).map_err(|e| e.in_file(path))?,
                None => read_table(path, format, &how)?,
            };
            known(path, options, table, trained, missing).map_err(|e| e.in_file(path))?
        }
    };
    let width: usize = trained.inputs.iter().map(Input::width).sum();
    if part.width() != width {
        return Err(bad("features", format!("{width} per row"), part.width()).in_file(path));
    }
    part.check_finite()
}

/// A table whose columns are those that a model was trained on, by their names where both have some; else by their number.
fn known(
    path: &Path,
    options: &DataOptions,
    table: Table,
    trained: &Trained,
    missing: Missing,
) -> Result<Part> {
    let width = trained.inputs.len();
    let named = trained.named && !table.names.is_empty();
    let mut named_labels = options.clone();
    if named && options.label.is_none() && !trained.labels.is_empty() {
        named_labels.label = Some(Labels(trained.labels.iter().cloned().map(Label::Name).collect()));
    }
    let options = &named_labels;
    let there = table.columns - table.index.len();
    let beside = if there == width && !named {
        Beside::default()
    } else if there == width + count_beside(options) && (!named || Beside::has_labels(options, &table)) {
        let is_feature =
            |column: &usize| trained.inputs.iter().any(|i| named && i.name == table.names[*column]);
        Beside::of(options, &table, &(0..table.columns).filter(is_feature).collect::<Vec<_>>())?
    } else {
        let beside = Beside::there(options, &table)?;
        if !named && there != width + beside.count() {
            return Err(bad("columns", format!("{width} features, with or without a label"), there));
        }
        beside
    };
    let free: Vec<usize> =
        (0..table.columns).filter(|column| !beside.has(*column) && !table.index.contains(column)).collect();
    let columns = if named { by_name(&table, &free, trained)? } else { free.clone() };
    let mut layout = Layout::known(&table, &trained.inputs, columns.clone(), missing)?;
    beside.check(&table, options)?;
    let extra: Vec<String> =
        free.iter().filter(|column| !columns.contains(column)).map(|c| table.name(*c)).collect();
    if !extra.is_empty() {
        let (s, are) = if extra.len() > 1 { ("s", "are") } else { ("", "is") };
        layout.notes.push(format!(
            "column{s} {} {are} none that the model was trained on, and not used",
            extra.join(", ")
        ));
    }
    Part::from_table(path, table, &beside, layout, missing)
}

/// The places of the columns that a model was trained on, among those that are free.
fn by_name(table: &Table, free: &[usize], trained: &Trained) -> Result<Vec<usize>> {
    let names = free.iter().map(|column| table.names[*column].as_str());
    if names.eq(trained.inputs.iter().map(|input| input.name.as_str())) {
        return Ok(free.to_vec());
    }
    trained.inputs.iter().map(|input| table.column("columns", &Label::Name(input.name.clone()))).collect()
}

fn read_idx(path: &Path) -> Result<Array> {
    let bytes = read_file(path)?;
    let array = if packing(path) == Packing::Gzip { idx::read_gz(&bytes) } else { idx::read(&bytes) };
    array.map_err(|e| e.in_file(path))
}

/// The file of a part's images or labels in a folder of the MNIST files: under its official name (`train-images-idx3-ubyte`), the same with
/// a dot (`train-images.idx3-ubyte`) or an ending (`.ubyte`, `.idx`), any of them packed (`.gz`).
fn find_idx(folder: &Path, part: &str, what: &str, dimensions: u8) -> Result<PathBuf> {
    let stem = format!("{part}-{what}-idx{dimensions}-ubyte");
    let plain = [
        stem.clone(),
        format!("{part}-{what}.idx{dimensions}-ubyte"),
        format!("{part}-{what}-idx{dimensions}.ubyte"),
        format!("{part}-{what}.idx{dimensions}"),
        format!("{part}-{what}.idx"),
        format!("{stem}.ubyte"),
        format!("{stem}.idx"),
        format!("{part}-{what}-ubyte"),
    ];
    let all: Vec<PathBuf> =
        plain.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]).collect();
    // Some who unpack the files get a folder of that name for each, with the file in it.
    let inside =
        |path: &PathBuf| path.file_name().map(|name| path.join(name)).filter(|inner| inner.is_file());
    let found = all.iter().find(|path| path.is_file()).cloned().or_else(|| all.iter().find_map(inside));
    found.ok_or_else(|| {
        let expected = format!("the file {stem} or {stem}.gz");
        let found = if folder.is_dir() { "neither" } else { "no such folder" };
        Error::expected(ErrorKind::Io, "folder", expected, format!("{found}; {MNIST}")).in_file(folder)
    })
}

fn read_folder(folder: &Path, part: &str) -> Result<Part> {
    // The letters' and fashions' copies say "test".
    let part = if part == "t10k"
        && find_idx(folder, part, "images", 3).is_err()
        && find_idx(folder, "test", "images", 3).is_ok()
    {
        "test"
    } else {
        part
    };
    let images = find_idx(folder, part, "images", 3)?;
    let labels = find_idx(folder, part, "labels", 1)?;
    let place = format!("file {}", labels.display());
    Part::from_arrays(&images, read_idx(&images)?, Some(read_idx(&labels)?), &place)
}

/// An idx file of images, with the labels from the file beside it if there is one.
pub(super) fn read_images(path: &Path) -> Result<Part> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = path.parent().unwrap_or(Path::new("."));
    let part = name.split_once("-images").map(|(part, _)| part.to_owned());
    let labels = part.and_then(|part| find_idx(folder, &part, "labels", 1).ok());
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
