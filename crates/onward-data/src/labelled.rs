//! Texts that have a class each, for language models: tables with a column of texts, and lines of JSON.

use crate::classes::{Classes, Key};
use crate::part::bad;
use crate::summary::{TokenSummary, listed};
use crate::table::Label;
use crate::targets::{held_count, stratified, turn};
use crate::texts::{Texts, length, whole};
use crate::{DataOptions, Format, Holdout, More, Opened, Preparation, Split, Summary, of_tables, refused};
use csv::ReaderBuilder;
use onward::dataset::{Columns, Dataset, NO_ITEM, Targets};
use onward::{Error, ErrorKind, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The columns that texts are looked for in.
const TEXTS: [&str; 2] = ["sentence", "text"];
/// The column that classes are looked for in.
const CLASS: &str = "label";

/// The number of a class, if it is known.
type Known<'a> = &'a dyn Fn(&Key) -> Option<u32>;

/// What a file has.
struct Labelled {
    /// Each text with the line that it begins in and its class, if the file has classes.
    rows: Vec<(u64, String, Option<Key>)>,
    /// The column of the classes.
    label: String,
}

/// Rows of tokens with their classes.
struct Rows {
    features: Vec<f32>,
    labels: Vec<u32>,
    tokens: u64,
    notes: Vec<String>,
}

/// Opens texts that have classes. Those held out are drawn as of tables.
///
/// # Errors
/// As for [`crate::texts::open`]; [`ErrorKind::Data`] naming file and line of a text or class that is missing, or that training rows do not have.
pub(crate) fn open(options: &DataOptions, texts: &dyn Texts) -> Result<Opened> {
    check(options)?;
    let (path, length) = (&options.path, length(options, texts)?);
    let at = |e: Error| e.in_file(path);
    let train = read(path, None, options)?;
    let keys: BTreeSet<Key> = train.rows.iter().filter_map(|(.., key)| key.clone()).collect();
    let classes = classes(&train, &keys, texts).map_err(at)?;
    let known = |key: &Key| keys.contains(key).then(|| number(key, &classes.names)).flatten();
    let rows = rows(&train, length, texts, Some(&known)).map_err(at)?;
    let width = length;
    let dataset = |rows: &Rows, chosen: &[usize]| {
        let features =
            chosen.iter().flat_map(|row| &rows.features[row * width..][..width]).copied().collect();
        let labels = chosen.iter().map(|row| rows.labels[*row]).collect();
        let targets = Targets::Classes { labels, classes: classes.count };
        Dataset::new(features, [1, width, 1], targets).map(Dataset::with_ends)
    };
    let mut notes: Vec<String> =
        rows.notes.iter().map(|note| format!("{}: {note}", path.display())).collect();
    let mut other = |path: &Path| {
        let own = read(path, None, options)?;
        let own = self::rows(&own, length, texts, Some(&known)).map_err(|e| e.in_file(path))?;
        notes.extend(own.notes.iter().map(|note| format!("{}: {note}", path.display())));
        dataset(&own, &(0..own.labels.len()).collect::<Vec<_>>()).map_err(|e| e.in_file(path))
    };
    let mut left: Vec<usize> = (0..rows.labels.len()).collect();
    let mut held = |wanted: Holdout, key: &str| {
        let (kept, held) = hold_out(&left, wanted, &rows.labels, options).map_err(|e| e.within(key))?;
        left = kept;
        dataset(&rows, &held)
    };
    let test = match &options.test_path {
        Some(path) => other(path)?,
        None => held(options.test, "data.test").map_err(at)?,
    };
    let validation = match (&options.validation_path, options.validation) {
        (Some(path), _) => Some(other(path)?),
        (None, Some(wanted)) => Some(held(wanted, "data.validation").map_err(at)?),
        (None, None) => None,
    };
    left.truncate(options.limit.unwrap_or(usize::MAX));
    let train_rows = dataset(&rows, &left).map_err(at)?;
    let known = TokenSummary { length, ragged: true, vocabulary: texts.sizes().0, count: rows.tokens };
    let summary = Summary {
        tokens: Some(known),
        classes: classes.count,
        class_names: classes.names.clone(),
        label: train.label,
        ..Summary::default()
    };
    let summary = summary.with(train_rows.rows() as u64, validation.as_ref(), &test);
    let preparation = Preparation { classes: classes.names, ..Preparation::none(train_rows.shape()) };
    Ok(Split { train: Arc::new(train_rows), test, validation, preparation, summary, notes })
}

/// The rows of one more file, or of `bytes` that came through a pipe. Classes that it has must be of those `known`; where none are, they are nothing.
///
/// # Errors
/// As for [`open`].
pub(crate) fn more(
    path: &Path,
    bytes: Option<&[u8]>,
    options: &DataOptions,
    texts: &dyn Texts,
    (names, count): (&[String], usize),
) -> Result<More> {
    let (own, length) = (read(path, bytes, options)?, length(options, texts)?);
    let known = |key: &Key| number(key, names).filter(|class| (*class as usize) < count);
    let answered = count > 0 && own.rows.iter().any(|(.., key)| key.is_some());
    let known: Option<Known<'_>> = if answered { Some(&known) } else { None };
    let Rows { features, labels, notes, .. } =
        rows(&own, length, texts, known).map_err(|e| e.in_file(path))?;
    let targets = Targets::Classes { labels, classes: count };
    let answered = answered.then(|| (targets, Columns::default()));
    Ok(More { features, rows: own.rows.len(), answered, ids: Vec::new(), notes })
}

/// The number of a class.
fn number(key: &Key, names: &[String]) -> Option<u32> {
    match key {
        Key::Number(number) if names.is_empty() => u32::try_from(*number).ok(),
        _ => names.iter().position(|name| *name == key.text()).map(|at| at as u32),
    }
}

fn classes(train: &Labelled, keys: &BTreeSet<Key>, texts: &dyn Texts) -> Result<Classes> {
    if keys.len() < 2 {
        let found = match keys.first() {
            Some(key) => format!("{:?} alone", key.text()),
            None => format!("no column {:?}", train.label),
        };
        return Err(bad("classes", "at least two among the training rows", found));
    }
    let all = Classes::of(keys, false)?;
    if let Some(words) = texts.classes().filter(|words| *words != all.count) {
        let names: Vec<String> = keys.iter().map(Key::text).collect();
        let expected = format!("{} words, one for each class ({})", all.count, listed(&names));
        let place = onward::Place::key("model", "label_words");
        return Err(Error::expected(ErrorKind::Spec, place, expected, words));
    }
    Ok(all)
}

/// Which of `rows` are kept and which are held out, as of tables.
fn hold_out(
    rows: &[usize],
    wanted: Holdout,
    labels: &[u32],
    options: &DataOptions,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let held = held_count(wanted, rows.len() as u64)? as usize;
    let mut order: Vec<_> = rows.iter().map(|row| (turn(options.split, *row as u64), *row)).collect();
    order.sort_unstable();
    let chosen: BTreeSet<usize> = if options.stratify == Some(true) {
        stratified(order.iter().map(|(_, row)| (*row, labels[*row])), held).into_iter().collect()
    } else {
        order[..held].iter().map(|(_, row)| *row).collect()
    };
    Ok(rows.iter().partition(|row| !chosen.contains(row)))
}

/// Rows of tokens; with the numbers of their classes where these are `known`.
fn rows(own: &Labelled, length: usize, texts: &dyn Texts, known: Option<Known<'_>>) -> Result<Rows> {
    let mut all = Rows { features: Vec::new(), labels: Vec::new(), tokens: 0, notes: Vec::new() };
    let mut cut = Vec::new();
    for (row, (line, text, key)) in own.rows.iter().enumerate() {
        let place = || format!("line {line}");
        let (tokens, was_cut) = texts.row(text, length).map_err(|e| e.within(place()))?;
        all.tokens += tokens.len() as u64;
        all.features.extend(tokens);
        all.features.resize((row + 1) * length, NO_ITEM);
        if was_cut {
            cut.push(*line);
        }
        let Some(known) = known else { continue };
        let class = key.as_ref().and_then(known);
        let found = || key.as_ref().map_or_else(|| "none".into(), Key::text);
        let wrong = || bad(place(), "a class that the training rows have", found());
        all.labels.push(class.ok_or_else(wrong)?);
    }
    if let Some(first) = cut.first() {
        let (count, of) = (cut.len(), own.rows.len());
        let which = format!("the first in line {first}");
        all.notes.push(format!(
            "{count} of {of} texts are longer than {length} tokens: their ends are cut off ({which})"
        ));
    }
    Ok(all)
}

/// What a file is, by its name or by what is said of it.
fn format(path: &Path, options: &DataOptions) -> Result<Format> {
    match options.format.0 {
        Some(format @ (Format::Csv | Format::Jsonl | Format::Text)) => Ok(format),
        Some(_) => {
            Err(refused("data.format", "\"csv\", \"jsonl\" or \"text\", as texts have classes", "another"))
        }
        None => Ok(match path.extension().and_then(|end| end.to_str()) {
            Some("jsonl" | "ndjson") => Format::Jsonl,
            Some("txt") => Format::Text,
            _ => Format::Csv,
        }),
    }
}

fn read(path: &Path, bytes: Option<&[u8]>, options: &DataOptions) -> Result<Labelled> {
    let (text, label) = (whole(path, bytes)?, label_of(options)?);
    let own = match format(path, options)? {
        Format::Jsonl => lines(&text, options, label),
        Format::Text => Ok(plain(&text, label)),
        _ => table(&text, path, options, label),
    };
    let own = own.map_err(|e| e.in_file(path))?;
    if own.rows.is_empty() {
        return Err(bad("rows", "at least one text", "none").in_file(path));
    }
    Ok(own)
}

/// The name of the column of classes.
fn label_of(options: &DataOptions) -> Result<String> {
    match options.label.as_ref().map(|own| &own.0[..]) {
        None => Ok(CLASS.into()),
        Some([Label::Name(name)]) => Ok(name.clone()),
        Some(_) => Err(refused("data.label", "the name of one column, as texts have a class each", "others")),
    }
}

/// A text a line, without classes.
fn plain(text: &str, label: String) -> Labelled {
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Labelled { rows: rows.map(|(at, line)| (at as u64 + 1, line.to_owned(), None)).collect(), label }
}

fn key_of(text: &str) -> Key {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Key::Number(number),
        _ => Key::Word(text.to_owned()),
    }
}

/// The names that a text's column may have.
fn text_names(options: &DataOptions) -> Vec<&str> {
    options.text.as_deref().map_or(TEXTS.to_vec(), |name| vec![name])
}

fn lines(text: &str, options: &DataOptions, label: String) -> Result<Labelled> {
    let names = text_names(options);
    let one = |(at, line): (usize, &str)| {
        let place = format!("line {}", at + 1);
        let wrong = |expected: String, found: String| bad(place.clone(), expected, found);
        let object: serde_json::Map<String, Value> =
            serde_json::from_str(line).map_err(|e| wrong("a JSON object".into(), e.to_string()))?;
        let text = names.iter().find_map(|name| object.get(*name)?.as_str());
        let Some(text) = text else {
            return Err(wrong(format!("a text under {}", names.join(" or ")), keys_of(&object)));
        };
        let key = match object.get(&label) {
            None | Some(Value::Null) => None,
            Some(Value::String(word)) => Some(key_of(word)),
            Some(Value::Bool(own)) => Some(Key::Word(own.to_string())),
            Some(Value::Number(own)) if own.is_i64() => own.as_i64().map(Key::Number),
            Some(other) => return Err(wrong(format!("a class under {label}"), other.to_string())),
        };
        Ok((at as u64 + 1, text.to_owned(), key))
    };
    let rows = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(one);
    Ok(Labelled { rows: rows.collect::<Result<_>>()?, label })
}

fn keys_of(object: &serde_json::Map<String, Value>) -> String {
    let names: Vec<String> = object.keys().cloned().collect();
    if names.is_empty() { "no keys".into() } else { listed(&names) }
}

fn table(text: &str, path: &Path, options: &DataOptions, label: String) -> Result<Labelled> {
    let separator = match options.separator {
        Some(separator) => separator.byte(),
        None if path.extension().is_some_and(|end| end == "tsv") => b'\t',
        None => {
            let first = text.lines().next().unwrap_or_default();
            if first.contains('\t') && !first.contains(',') { b'\t' } else { b',' }
        }
    };
    // Between tabs quotes are letters like others.
    let quotes = separator != b'\t';
    let mut reader = ReaderBuilder::new().delimiter(separator).quoting(quotes).from_reader(text.as_bytes());
    let malformed = |e: csv::Error| {
        let place = e.position().map_or_else(|| "table".into(), |at| format!("line {}", at.line()));
        bad(place, "as many fields as there are columns", e)
    };
    let header: Vec<String> = reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
    let place_of = |name: &str| header.iter().position(|own| own == name);
    let names = text_names(options);
    let Some(text_at) = names.iter().find_map(|name| place_of(name)) else {
        let expected = format!("a column {} (data.text names another)", names.join(" or "));
        return Err(bad("line 1", expected, listed(&header)));
    };
    let label_at = place_of(&label);
    if label_at.is_none() && options.label.is_some() {
        return Err(bad("line 1", format!("a column {label}, as data.label says"), listed(&header)));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |at: usize| record.get(at).unwrap_or_default();
        let key = label_at.map(|at| field(at).trim()).filter(|own| !own.is_empty()).map(key_of);
        if label_at.is_some() && key.is_none() {
            return Err(bad(format!("line {line}"), format!("a class in column {label}"), "none"));
        }
        rows.push((line, field(text_at).to_owned(), key));
    }
    Ok(Labelled { rows, label })
}

fn check(options: &DataOptions) -> Result<()> {
    let used = ["data.label", "data.separator"];
    let others = [
        ("data.streams", options.streams.is_some()),
        ("data.vocabulary", options.vocabulary.is_some()),
        ("data.document_end", options.document_end.is_some()),
        ("data.end_of_text", options.end_of_text.is_some()),
        ("data.ragged", options.ragged.is_some()),
        ("data.padding", options.padding.is_some()),
        ("data.binarise", options.binarise.is_some()),
    ];
    let own = of_tables(options).into_iter().filter(|(key, _)| !used.contains(key)).chain(others);
    match own.into_iter().find(|(_, said)| *said) {
        Some((key, _)) => Err(refused(key, "no such key, as data are texts with classes", "one")),
        None => Ok(()),
    }
}
