//! Data files: reading them, holding rows out for testing, preparing features.
//!
//! A reader takes bytes and never trusts a length in them. [`open`] gives what the options of a spec's `[data]` tell of: a
//! [`Source`] of training rows, in memory or read as steps need them, and test rows in memory.

mod beside;
mod classes;
pub mod csv;
mod dialect;
#[cfg(test)]
mod field_tests;
mod files;
mod first_row;
#[cfg(feature = "parquet")]
mod footer;
mod gz;
pub mod idx;
pub mod inspect;
mod labelled;
mod layout;
pub mod memory;
pub mod npy;
pub mod npz;
mod options;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
pub mod parquet;
mod part;
mod prepare;
mod read;
mod stream;
mod summary;
mod survey;
pub mod table;
#[cfg(test)]
mod table_tests;
mod targets;
#[cfg(test)]
mod tests;
mod text;
pub mod texts;
pub mod written;
#[cfg(feature = "zstd")]
mod zst;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use onward::ask::Shuffle;
use onward::dataset::{Columns, Dataset, QUERY, Targets, WEIGHT};
use onward::rows::Source;
use onward::words::theirs;
use onward::{Error, ErrorKind, Place, Result};

use beside::further;
use classes::Classes;
pub use layout::Input;
pub use options::{
    Binarise, Categories, Center, ClassWeights, DataOptions, Decimal, Encoding, Format, Guessed, Holdout,
    Labels, Missing, Separator, Target,
};
use part::Part;
pub use prepare::{Preparation, TargetScale};
use read::Trained;
pub use read::expand_home;
pub use stream::{TokenOptions, TokenWidth, Tokens};
pub use summary::{Summary, TokenSummary};
pub use table::Label;
use table::as_word;
use targets::{Rows, check_varied, labels_of};

/// Rows to train on, rows to test on, and how both were prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct Split<T = Dataset> {
    /// The training rows.
    pub train: T,
    /// The test rows.
    pub test: Dataset,
    /// The rows to choose the best step by, if there are any.
    pub validation: Option<Dataset>,
    /// The preparation that new rows need.
    pub preparation: Preparation,
    /// What was read.
    pub summary: Summary,
    /// Notes on assumptions about the data and on rows left out, one sentence each.
    pub notes: Vec<String>,
}

/// One more file's rows, prepared like the training data.
#[derive(Clone, Debug, PartialEq)]
pub struct More {
    /// The features, row after row.
    pub features: Vec<f32>,
    /// The number of rows.
    pub rows: usize,
    /// The answers and what stands beside them: none where sample weights or columns are missing that the options name.
    pub answered: Option<Answered>,
    /// The texts of the columns that say which row it is, by their names.
    pub ids: Vec<(String, Vec<String>)>,
    /// What was not used of the file, one sentence each.
    pub notes: Vec<String>,
}

/// A split whose training rows may lie anywhere, such as in a file, and whose test rows are in memory.
pub type Opened = Split<Arc<dyn Source>>;

/// Opens the data that the options describe, ready to be trained on in this order.
///
/// # Errors
/// As for [`load`].
pub fn open(options: &DataOptions, shuffle: Shuffle) -> Result<Opened> {
    check_options(options)?;
    if options.format.0 == Some(Format::Tokens) {
        return stream::windows::open(options);
    }
    if options.stream == Some(true) {
        return stream::open(options, shuffle);
    }
    let Split { train, test, validation, preparation, summary, notes } = load_checked(options)?;
    Ok(Split { train: Arc::new(train), test, validation, preparation, summary, notes })
}

/// Reads data, holds rows out for testing where the data bring none, and prepares the features.
///
/// # Errors
/// [`ErrorKind::Io`] if a file cannot be read, [`ErrorKind::Data`] if it is not what it should be,
/// [`ErrorKind::Spec`] if the options ask for something impossible.
pub fn load(options: &DataOptions) -> Result<Split> {
    check_options(options)?;
    load_checked(options)
}

fn load_checked(options: &DataOptions) -> Result<Split> {
    let read::Read { mut train, mut test, mut validation } = read::read(options)?;
    let shape = choose_shape(options.shape, train.shape, train.width(), &train.path)?;
    check_varied(&train)?;
    let path = train.path.clone();
    let at = |e: Error| e.in_file(&path);
    let classes = classes(options, [Some(&mut train), test.as_mut(), validation.as_mut()]).map_err(at)?;
    let notes = train.layout.notes.clone();
    let summary = Summary::of(&train, &classes);
    let mut train = Rows::from_part(train, options.target, &classes)?;
    let answered = |part: Part| Rows::from_part(part, options.target, &classes);
    let (mut test, mut validation) = (test.map(answered).transpose()?, validation.map(answered).transpose()?);
    let (mut rows, test_rows) = match &test {
        Some(test) => (train.all(), test.all()),
        None => train.hold_out(train.all(), options.test, options).map_err(at)?,
    };
    let mut chosen_by = Vec::new();
    if let Some(wanted) = options.validation {
        let apart = train.hold_out(rows, wanted, options);
        (rows, chosen_by) = apart.map_err(|e| e.within("data.validation").in_file(&path))?;
    }
    rows.truncate(options.limit.unwrap_or(usize::MAX));
    train.fill(&rows, options.missing.unwrap_or_default())?;
    [&mut test, &mut validation].into_iter().flatten().for_each(|more| more.fill_as(&train));
    let test = test.as_ref().unwrap_or(&train);
    let mut preparation = Preparation::fit(options.center, options.scale, train.part(), &rows, shape);
    preparation.classes.clone_from(&classes.names);
    preparation.labels.clone_from(&train.part().labels);
    preparation.binarise = options.binarise;
    let class_weights = train.class_weights(options.class_weights.as_ref(), &rows, classes.count);
    preparation.class_weights = class_weights.map_err(at)?;
    if options.center != Center::None && options.target == Target::Value {
        preparation.targets = train.fit(&rows).map_err(at)?;
    }
    let training = train.dataset(&rows, classes.count, &preparation)?;
    let testing = test.dataset(&test_rows, classes.count, &preparation)?;
    let validation = match &validation {
        Some(own) => Some(own.dataset(&own.all(), classes.count, &preparation)?),
        None if chosen_by.is_empty() => None,
        None => Some(train.dataset(&chosen_by, classes.count, &preparation)?),
    };
    let notes = notes.iter().map(|note| format!("{}: {note}", path.display())).collect();
    let summary = summary.with(training.rows() as u64, validation.as_ref(), &testing);
    Ok(Split { train: training, test: testing, validation, preparation, summary, notes })
}

/// The classes of labels in all parts; none of values.
fn classes(options: &DataOptions, parts: [Option<&mut Part>; 3]) -> Result<Classes> {
    if options.target != Target::Class {
        return Ok(Classes::default());
    }
    let mut keys = BTreeSet::new();
    for part in parts.into_iter().flatten() {
        keys.extend(labels_of(part)?);
    }
    Classes::of(&keys, options.query.is_some())
}

/// The targets of rows and the columns beside them.
pub type Answered = (Targets, Columns);

/// One more file of features, with or without answers, prepared like the training data; its `bytes` if they are not in a file, but came
/// through a pipe. Columns are found by their names, where both files have some. Class labels must be those that the model knows.
///
/// # Errors
/// As [`load`]; also if the columns are not those that the model was trained on.
pub fn load_more(
    path: &Path,
    bytes: Option<&[u8]>,
    options: &DataOptions,
    preparation: &Preparation,
    classes: usize,
) -> Result<More> {
    if options.format.0 == Some(Format::Tokens) {
        return stream::windows::more(path, options);
    }
    let Preparation { inputs, names, labels, .. } = preparation;
    let trained = Trained::new(inputs, names, preparation.width(), labels);
    let mut part = read::read_more(path, bytes, options, &trained, Missing::Error)?;
    let rows: Vec<usize> = (0..part.rows()).collect();
    let features = preparation.features(&part, &rows)?;
    let (ids, notes) = (std::mem::take(&mut part.ids), part.layout.notes.clone());
    let answered = answered(part, options, preparation, &rows, classes).map_err(|e| e.in_file(path))?;
    Ok(More { features, rows: rows.len(), answered, ids, notes })
}

fn answered(
    mut part: Part,
    options: &DataOptions,
    preparation: &Preparation,
    rows: &[usize],
    classes: usize,
) -> Result<Option<Answered>> {
    // Answers whose weights are missing would be counted alike; heads without their columns have none.
    let unweighted = options.weight.is_some() && part.weights.is_none();
    if part.answers.is_none() || unweighted || part.others.len() < further(options).len() {
        return Ok(None);
    }
    let has_answers =
        |answers: &part::Answers| answers.values.iter().all(|v| !v.is_nan() || as_word(*v).is_some());
    if !part.answers.as_ref().is_some_and(has_answers) {
        return Ok(None);
    }
    let classes = Classes { count: classes, names: preparation.classes.clone() };
    if options.target == Target::Class {
        labels_of(&mut part)?;
    }
    let answered = Rows::from_part(part, options.target, &classes)?;
    let targets = answered.targets(rows, classes.count, preparation.targets.as_ref())?;
    Ok(Some((targets, answered.columns(rows, &preparation.class_weights)?)))
}

/// Why a Parquet file is not read.
#[cfg(not(feature = "parquet"))]
fn without_parquet() -> Error {
    let expected = "a program built with Parquet (cargo install --path crates/onward-cli --features parquet)";
    Error::expected(ErrorKind::Data, "format", expected, "one built without that feature")
}

/// An error about a key, by its whole name.
fn refused(key: &str, expected: impl Display, found: impl Display) -> Error {
    Error::expected(ErrorKind::Spec, Place::key("", key), expected, found)
}

fn check_options(options: &DataOptions) -> Result<()> {
    let bad = |key, expected, found: String| Err(refused(key, expected, found));
    if !options.scale.is_normal() {
        return bad("data.scale", "a finite number other than 0", options.scale.to_string());
    }
    match options.test {
        Holdout::Fraction(part) if !(part > 0.0 && part < 1.0) => {
            return bad("data.test", "a fraction between 0 and 1", part.to_string());
        }
        Holdout::Rows(0) => return bad("data.test", "at least one row", "0".into()),
        _ => {}
    }
    check_parts(options)?;
    let taken =
        further(options).iter().map(ToString::to_string).find(|name| [WEIGHT, QUERY].contains(&&**name));
    if let Some(name) = taken {
        let expected = "another name, or the column's position";
        return bad("data.columns", expected, format!("{name:?}, which has a meaning of its own"));
    }
    let of_tokens = [
        ("data.vocabulary", options.vocabulary.is_some()),
        ("data.length", options.length.is_some()),
        ("data.end_of_text", options.end_of_text.is_some()),
        ("data.wide_tokens", options.wide_tokens.is_some()),
        ("data.ragged", options.ragged.is_some()),
        ("data.padding", options.padding.is_some()),
        ("data.document_end", options.document_end.is_some()),
    ];
    if options.format.0 != Some(Format::Tokens)
        && let Some((key, _)) = of_tokens.into_iter().find(|(_, said)| *said)
    {
        return bad(key, "no such key, as data.format is not \"tokens\"", "one".into());
    }
    let of_texts = [("data.text", options.text.is_some()), ("data.template", options.template.is_some())];
    if let Some((key, _)) = of_texts.into_iter().find(|(_, said)| *said) {
        return bad(key, "no such key, as no language model reads the data", "one".into());
    }
    match options.limit {
        Some(0) => bad("data.limit", "at least one row", "0".into()),
        _ => Ok(()),
    }
}

/// The keys that tables alone have a use for, and whether each is given.
fn of_tables(options: &DataOptions) -> [(&'static str, bool); 18] {
    [
        ("data.label", options.label.is_some()),
        ("data.weight", options.weight.is_some()),
        ("data.query", options.query.is_some()),
        ("data.columns", options.columns.is_some()),
        ("data.class_weights", options.class_weights.is_some()),
        ("data.header", options.header.0.is_some()),
        ("data.separator", options.separator.is_some()),
        ("data.decimal", options.decimal.is_some()),
        ("data.encoding", options.encoding.is_some()),
        ("data.missing", options.missing.is_some()),
        ("data.ignore", options.ignore.is_some()),
        ("data.id", options.id.is_some()),
        ("data.categorical", options.categorical.is_some()),
        ("data.target", options.target != Target::Class),
        ("data.scale", options.scale != 1.0),
        ("data.center", matches!(options.center, Center::Mean | Center::Standardize)),
        ("data.shape", options.shape.is_some()),
        ("data.stream", options.stream.is_some()),
    ]
}

/// Checks, before a run begins, that no file is both trained on and judged on, under whatever name.
///
/// # Errors
/// [`ErrorKind::Spec`] naming the key of the second.
pub fn check_apart(options: &DataOptions) -> Result<()> {
    let [test, best] = [&options.test_path, &options.validation_path];
    let pairs = [
        ("data.test_path", test.as_ref(), "data.path", Some(&options.path), "data.test"),
        ("data.validation_path", best.as_ref(), "data.path", Some(&options.path), "data.validation"),
        ("data.validation_path", best.as_ref(), "data.test_path", test.as_ref(), "data.validation"),
    ];
    for (key, path, other_key, other, holds_out) in pairs {
        let (Some(path), Some(other)) = (path, other) else { continue };
        if files::are_same(path, other) {
            let expected = format!("other rows than those of {other_key}");
            let found = format!("{}, which is the same as {}", path.display(), other.display());
            let way = format!("leave out {key}; {holds_out} = 0.1 holds out a tenth of the rows");
            return Err(refused(key, expected, found).hint(onward::Hint::Then(way)));
        }
    }
    Ok(())
}

/// Checks, before a run begins, that the rows of one file are not those of another of its files in another form, and that no part of an archive or
/// folder is taken twice. Rows that are read as they are needed are not compared.
///
/// # Errors
/// [`ErrorKind::Spec`] naming the key of the second.
pub fn check_rows_apart(options: &DataOptions, split: &Opened) -> Result<()> {
    let Split { train, test, validation, .. } = split;
    let (train, validation) = (train.resident(), validation.as_ref());
    let test = Some(test).filter(|_| options.test_path.is_some() || options.validation_path.is_some());
    let chosen_by = validation.filter(|_| options.validation_path.is_some());
    let tested = if options.test_path.is_some() { "data.test_path" } else { "data.path, its test part" };
    let pairs = [
        ("data.test_path", test.filter(|_| options.test_path.is_some()), "data.path", train),
        ("data.validation_path", chosen_by, "data.path", train),
        ("data.validation_path", chosen_by, tested, test),
    ];
    for (key, rows, other_key, others) in pairs {
        if rows.zip(others).is_some_and(|(rows, others)| begin_alike(rows, others)) {
            let expected = format!("other rows than those of {other_key}");
            return Err(refused(key, expected, "the same rows, in the same order"));
        }
    }
    Ok(())
}

/// Whether the fewer of these rows are the first of the others, with the same answers; a handful may be by chance.
fn begin_alike(rows: &Dataset, others: &Dataset) -> bool {
    const HANDFUL: usize = 10;
    let common = rows.rows().min(others.rows());
    let first = |data: &Dataset| data.select(&(0..common as u32).collect::<Vec<_>>());
    rows.shape() == others.shape()
        && (common >= HANDFUL || rows.rows() == others.rows())
        && rows.features()[..common * rows.width()] == others.features()[..common * rows.width()]
        && first(rows).targets() == first(others).targets()
}

/// That the parts which rows are held out for can be had.
fn check_parts(options: &DataOptions) -> Result<()> {
    let bad = |key, expected, found: String| Err(refused(key, expected, found));
    match options.validation {
        Some(Holdout::Fraction(part)) if !(part > 0.0 && part < 1.0) => {
            return bad("data.validation", "a fraction between 0 and 1", part.to_string());
        }
        Some(Holdout::Rows(0)) => return bad("data.validation", "at least one row", "0".into()),
        _ => {}
    }
    if options.validation.is_some() && options.validation_path.is_some() {
        let expected = "rows that are held out, or data.validation_path, not both";
        return bad("data.validation", expected, "both".into());
    }
    if options.streams.is_some() {
        let said = [
            ("data.stream", options.stream == Some(true)),
            ("data.stratify", options.stratify == Some(true)),
            ("data.query", options.query.is_some()),
        ];
        if let Some((key, _)) = said.into_iter().find(|(_, said)| *said) {
            return bad(
                key,
                "no such key, as data.streams says that rows are in the order of time",
                "one".into(),
            );
        }
    }
    let elsewhere = options.stream == Some(true) || options.format.0 == Some(Format::Tokens);
    if elsewhere && options.binarise.is_some() {
        let expected = "no such key, as rows are read as they are needed, or are of tokens";
        return bad("data.binarise", expected, "one".into());
    }
    if elsewhere && options.stratify.is_some() {
        let expected =
            "no such key: rows that are read as they are needed, or are of tokens, are held out by chance";
        return bad("data.stratify", expected, "one".into());
    }
    if options.stratify != Some(true) {
        return Ok(());
    }
    if options.target != Target::Class || options.query.is_some() {
        return bad("data.stratify", "classes, and no queries, whose rows stay together", "others".into());
    }
    if options.test_path.is_some() && options.validation.is_none() {
        return bad(
            "data.stratify",
            "rows that are held out (data.test_path has the test rows)",
            "none".into(),
        );
    }
    Ok(())
}

/// The shape that is wanted of rows of so many features, or the one that the file has.
fn choose_shape(
    wanted: Option<[usize; 3]>,
    own: [usize; 3],
    width: usize,
    path: &Path,
) -> Result<[usize; 3]> {
    let Some(shape) = wanted else { return Ok(own) };
    if shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n)) == Some(width) {
        return Ok(shape);
    }
    let (expected, found) = (format!("height × width × channels of {width} features"), format!("{shape:?}"));
    Err(refused("data.shape", expected, found).in_file(path))
}

/// Bytes of a file, quoted for a message and not too long.
fn shorten(bytes: &[u8]) -> String {
    let (text, dots) = beginning(bytes);
    format!("{text:?}{dots}")
}

/// A name of theirs in a list, not too long.
fn in_list(name: &str) -> String {
    let (text, dots) = beginning(name.as_bytes());
    theirs(&text.replace(char::is_control, " ")).into_owned() + dots
}

/// As many letters as a message has room for, and what says that there are more.
fn beginning(bytes: &[u8]) -> (String, &'static str) {
    const LONGEST: usize = 40;
    let text: String =
        String::from_utf8_lossy(&bytes[..bytes.len().min(4 * LONGEST)]).chars().take(LONGEST).collect();
    let dots = if bytes.len() > text.len() { "…" } else { "" };
    (text, dots)
}
