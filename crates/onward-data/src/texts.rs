//! Texts as data: files are read and rows held out here; what makes rows of tokens of them comes with a language model.

use crate::labelled;
use crate::part::bad;
use crate::summary::TokenSummary;
use crate::{DataOptions, Format, Holdout, More, Opened, Preparation, Split, Summary, of_tables, refused};
use onward::dataset::{Columns, Dataset, NO_ITEM, Targets};
use onward::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What makes rows of tokens of texts.
///
/// Asked once for each file that is opened; its errors, which name places in the text, are told with the file.
pub trait Texts {
    /// The rows of a text, or of lines of JSON where `lines_of_json`, each of at most `length` tokens, in the order of the text.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn rows(
        &self,
        text: &str,
        lines_of_json: bool,
        document_end: Option<&str>,
        length: usize,
    ) -> Result<TextRows>;

    /// Whether a row is a prompt and its targets are what should follow: `TextRows::rows` then has the tokens of both, which need not be as many.
    fn apart(&self) -> bool {
        false
    }

    /// Whether texts have a class each, instead of tokens that follow.
    fn have_classes(&self) -> bool;

    /// How many classes texts have, where the model says that.
    fn classes(&self) -> Option<usize>;

    /// The tokens of a text that has a class, at most `length`, and whether its end was cut off for that.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn row(&self, text: &str, length: usize) -> Result<(Vec<f32>, bool)>;

    /// How many tokens there are, of which a model knows so many in a row.
    fn sizes(&self) -> (u32, usize);
}

/// Rows of tokens that were made of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextRows {
    /// The tokens of each row, and the token that follows each ([`Dataset::ragged`]); or prompts and what should follow them.
    pub rows: Vec<(Vec<f32>, Vec<f32>)>,
    /// Tokens of the text.
    pub tokens: u64,
    /// What was cut or left out, one sentence each.
    pub notes: Vec<String>,
}

/// Tokens of a row where the options do not say how many.
const LENGTH: usize = 128;

/// Tokens of a row at most.
pub(crate) fn length(options: &DataOptions, texts: &dyn Texts) -> Result<usize> {
    let context = texts.sizes().1;
    match options.length {
        Some(length) if length > context => {
            let expected = format!("at most {context}, as the model reads no longer texts");
            Err(refused("data.length", expected, length.to_string()))
        }
        Some(length) => Ok(length),
        None => Ok(LENGTH.min(context)),
    }
}

/// Whether a file has lines of JSON.
fn has_lines(path: &Path, options: &DataOptions) -> Result<bool> {
    match options.format.0 {
        Some(Format::Text) => Ok(false),
        Some(Format::Jsonl) => Ok(true),
        None => match path.extension().and_then(|end| end.to_str()) {
            Some("jsonl" | "ndjson") => Ok(true),
            Some(end @ ("json" | "csv" | "tsv" | "parquet" | "gz" | "zip" | "zst")) => {
                let expected = "\"text\" or \"jsonl\": what such a file is, its name does not tell";
                Err(refused("data.format", expected, format!("none for .{end}")).in_file(path))
            }
            _ => Ok(false),
        },
        Some(_) => {
            let expected = "\"text\" or \"jsonl\", as model.kind is \"language\"";
            Err(refused("data.format", expected, "another"))
        }
    }
}

/// Opens texts, ready to be trained on. Rows that are held out are the last ones.
///
/// # Errors
/// [`ErrorKind::Io`] and [`ErrorKind::Data`], naming the file, for what cannot be read; [`ErrorKind::Spec`] for options that texts have no use for.
pub fn open(options: &DataOptions, texts: &dyn Texts) -> Result<Opened> {
    if texts.have_classes() {
        return labelled::open(options, texts);
    }
    check(options)?;
    let length = length(options, texts)?;
    let (mut rows, mut notes) = (read(&options.path, None, options, texts)?, Vec::new());
    let place = options.path.display();
    notes.extend(rows.notes.iter().map(|note| format!("{place}: {note}")));
    let dataset = |rows: &[(Vec<f32>, Vec<f32>)], path: &Path| {
        dataset(rows, length, texts).map_err(|e| e.in_file(path))
    };
    let other = |path: &PathBuf, notes: &mut Vec<String>| {
        let own = read(path, None, options, texts)?;
        notes.extend(own.notes.iter().map(|note| format!("{}: {note}", path.display())));
        dataset(&own.rows, path)
    };
    let test = match &options.test_path {
        Some(path) => other(path, &mut notes)?,
        None => dataset(&held_out(&mut rows.rows, options.test, "data.test")?, &options.path)?,
    };
    let validation = match (&options.validation_path, options.validation) {
        (Some(path), _) => Some(other(path, &mut notes)?),
        (None, Some(wanted)) => {
            Some(dataset(&held_out(&mut rows.rows, wanted, "data.validation")?, &options.path)?)
        }
        (None, None) => None,
    };
    rows.rows.truncate(options.limit.unwrap_or(usize::MAX));
    let train = dataset(&rows.rows, &options.path)?;
    let known = TokenSummary { length, ragged: true, vocabulary: texts.sizes().0, count: rows.tokens };
    let summary = Summary { tokens: Some(known), ..Summary::default() };
    let summary = summary.with(train.rows() as u64, validation.as_ref(), &test);
    let preparation = Preparation::none(train.shape());
    Ok(Split { train: Arc::new(train), test, validation, preparation, summary, notes })
}

/// Rows of tokens as data. Of prompts the targets are the tokens of prompt and completion, each filled up to `length`.
fn dataset(rows: &[(Vec<f32>, Vec<f32>)], length: usize, texts: &dyn Texts) -> Result<Dataset> {
    if !texts.apart() {
        return Dataset::ragged(rows, length);
    }
    let filled = |tokens: &[f32]| {
        let mut all = tokens.to_vec();
        all.resize(length, NO_ITEM);
        all
    };
    let features = rows.iter().flat_map(|(prompt, _)| filled(prompt)).collect();
    let values =
        rows.iter().flat_map(|(prompt, wanted)| [filled(prompt), filled(wanted)]).flatten().collect();
    let targets = Targets::Values { values, width: 2 * length };
    Dataset::new(features, [1, length, 1], targets).map(Dataset::with_ends)
}

/// All rows of one more file, or of `bytes` that came through a pipe; texts that have a class each may have one of `classes`, by name or by number.
///
/// # Errors
/// As for [`open`].
pub fn more(
    path: &Path,
    bytes: Option<&[u8]>,
    options: &DataOptions,
    texts: &dyn Texts,
    classes: (&[String], usize),
) -> Result<More> {
    if texts.have_classes() {
        return labelled::more(path, bytes, options, texts, classes);
    }
    let own = read(path, bytes, options, texts)?;
    let data = dataset(&own.rows, length(options, texts)?, texts).map_err(|e| e.in_file(path))?;
    let answered = Some((data.targets().clone(), Columns::default()));
    let features = data.features().to_vec();
    Ok(More { features, rows: data.rows(), answered, ids: Vec::new(), notes: own.notes })
}

fn read(path: &Path, bytes: Option<&[u8]>, options: &DataOptions, texts: &dyn Texts) -> Result<TextRows> {
    let lines = has_lines(path, options)?;
    let text = whole(path, bytes)?;
    let end = options.document_end.as_deref();
    texts.rows(&text, lines, end, length(options, texts)?).map_err(|e| e.in_file(path))
}

/// The text of a file, or of `bytes`.
pub(crate) fn whole(path: &Path, bytes: Option<&[u8]>) -> Result<String> {
    let read = match bytes {
        Some(bytes) => bytes.to_vec(),
        None => std::fs::read(path).map_err(|e| Error::io("read", path, e))?,
    };
    let mut text = String::from_utf8(read).map_err(|e| {
        let place = format!("byte {}", e.utf8_error().valid_up_to());
        bad(place, "text in UTF-8", "another byte").in_file(path)
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// Takes the last rows.
fn held_out(
    rows: &mut Vec<(Vec<f32>, Vec<f32>)>,
    wanted: Holdout,
    key: &'static str,
) -> Result<Vec<(Vec<f32>, Vec<f32>)>> {
    let count = match wanted {
        Holdout::Fraction(share) => ((share * rows.len() as f64).round() as usize).max(1),
        Holdout::Rows(count) => count,
    };
    if count >= rows.len() {
        let expected = format!("fewer than the {} rows that there are", rows.len());
        return Err(refused(key, expected, count.to_string()));
    }
    Ok(rows.split_off(rows.len() - count))
}

fn check(options: &DataOptions) -> Result<()> {
    let unused = [
        ("data.streams", options.streams.is_some()),
        ("data.vocabulary", options.vocabulary.is_some()),
        ("data.end_of_text", options.end_of_text.is_some()),
        ("data.wide_tokens", options.wide_tokens.is_some()),
        ("data.ragged", options.ragged.is_some()),
        ("data.padding", options.padding.is_some()),
        ("data.binarise", options.binarise.is_some()),
        ("data.stratify", options.stratify.is_some()),
        ("data.text", options.text.is_some()),
        ("data.template", options.template.is_some()),
    ];
    if options.document_end.as_deref() == Some("") {
        return Err(refused("data.document_end", "some letters", "none"));
    }
    match of_tables(options).into_iter().chain(unused).find(|(_, said)| *said) {
        Some((key, _)) => Err(refused(key, "no such key, as data are texts", "one")),
        None => Ok(()),
    }
}

/// That texts are asked for where nothing makes rows of them.
pub(crate) fn without_a_model(path: &Path) -> Error {
    let expected = "another, as no language model (model.kind = \"language\") makes rows of texts";
    Error::expected(ErrorKind::Spec, onward::Place::key("data", "format"), expected, "texts").in_file(path)
}
