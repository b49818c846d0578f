//! What a file of rows holds, column by column, and which keys of `[data]` suit it.

use std::collections::BTreeSet;
use std::path::Path;

use onward::Result;
use onward::schema::OneOrMore;
use serde::Serialize;

use super::csv::Reading;
use super::files::read_table;
use super::layout::{are_flags, is_clock, is_date, is_dressed};
use super::read::{read_images, read_one, reading_of};
use super::table::{Seen, Table};
use super::{DataOptions, Format};

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// Numbers, not all of them whole.
    Numbers,
    /// Whole numbers.
    WholeNumbers,
    /// Yes and no, or true and false.
    Flags,
    /// Some words, again and again.
    Categories,
    /// A text of its own in most rows.
    Texts,
    /// Dates, or dates with times.
    Dates,
    /// Times of day, or months.
    Times,
    /// Numbers with signs of money, percent or thousands.
    DressedNumbers,
    /// Numbers and words.
    Mixed,
    /// Values of a type that is not read.
    Unread,
    /// No values at all.
    Nothing,
}

impl Sort {
    /// The sort of values in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::WholeNumbers => "whole numbers",
            Self::Flags => "yes or no",
            Self::Categories => "categories",
            Self::Texts => "texts",
            Self::Dates => "dates",
            Self::Times => "times",
            Self::DressedNumbers => "numbers with signs",
            Self::Mixed => "numbers and words",
            Self::Unread => "not read",
            Self::Nothing => "nothing",
        }
    }
}

/// What a column can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// What is predicted.
    Label,
    /// What it is predicted from.
    Feature,
    /// To say which row it is.
    Id,
    /// It only numbers the rows, and is left out by itself.
    Index,
    /// Nothing.
    Ignore,
}

impl Use {
    /// The use in one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Feature => "feature",
            Self::Id => "id",
            Self::Index => "index",
            Self::Ignore => "ignore",
        }
    }
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Column {
    /// The column's name, or its position from 0 on.
    pub name: String,
    /// What its values are.
    pub sort: Sort,
    /// Rows without a value.
    pub missing: u64,
    /// Different values.
    pub distinct: usize,
    /// The least and the largest number, if there are any.
    pub range: Option<[f64; 2]>,
    /// Some of its words, if there are any.
    pub words: Vec<String>,
    /// What it can be used for.
    pub suggested: Use,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspected {
    /// The number of rows.
    pub rows: usize,
    /// Whether its columns have names.
    pub header: bool,
    /// The columns, in their order.
    pub columns: Vec<Column>,
    /// Keys of specs with the values that suit it, as TOML.
    pub keys: Vec<(String, String)>,
    /// What was assumed, one sentence each.
    pub notes: Vec<String>,
}

/// Names that people give to what is predicted.
const LABELS: [&str; 14] = [
    "label",
    "labels",
    "target",
    "class",
    "classes",
    "y",
    "species",
    "outcome",
    "diagnosis",
    "survived",
    "category",
    "variety",
    "response",
    "output",
];

/// Looks at all rows of a file.
///
/// # Errors
/// As for [`super::load`], but for what is wrong with single columns; [`onward::ErrorKind::Data`] for files of tokens.
pub fn inspect(options: &DataOptions) -> Result<Inspected> {
    let path = &options.path;
    let format = options.format.0.map_or_else(|| Format::of(path), Ok)?;
    match format {
        Format::Idx | Format::Npz => return arrays(options, format),
        Format::Tokens => {
            let expected = "a table or arrays; what tokens mean their file does not tell";
            return Err(super::part::bad("data", expected, "\"tokens\"").in_file(path));
        }
        Format::Text | Format::Jsonl => return Err(crate::texts::without_a_model(path)),
        Format::Csv | Format::Npy | Format::Parquet => {}
    }
    let how = Reading { skipped: Vec::new(), ..reading_of(options) };
    let table = read_table(path, format, &how)?;
    of(&table, path, options).map_err(|e| e.in_file(path))
}

/// Looks at rows that lie in arrays: images, or vectors without names.
fn arrays(options: &DataOptions, format: Format) -> Result<Inspected> {
    let alone = format == Format::Idx && options.path.is_file();
    let (train, test) = if alone { (read_images(&options.path)?, None) } else { read_one(options)? };
    // Files of MNIST's kind are trained on as a folder.
    let home = options.path.parent().filter(|_| alone).unwrap_or(&options.path);
    let cells = || (0..train.rows()).flat_map(|row| (0..train.width()).map(move |at| (row, at)));
    let cells = || cells().map(|(row, at)| train.feature(row, at));
    let (least, most) = (cells().fold(f64::MAX, f64::min), cells().fold(f64::MIN, f64::max));
    let [height, width, channels] = train.shape;
    let is_image = height * width > 1;
    let mut notes = vec![match is_image {
        true => format!(
            "each row is an image of {height} × {width} × {channels}, its numbers from {least} to {most}"
        ),
        false => format!("each row has {channels} features, from {least} to {most}"),
    }];
    let mut keys = vec![("data.path".to_owned(), format!("{:?}", home.display().to_string()))];
    if is_image && least >= 0.0 && most > 16.0 && most <= 255.0 {
        keys.push(("data.scale".into(), "0.00392156862745098".into()));
    }
    match &train.answers {
        None => notes.push("there are no labels, so nothing can be learned from it".into()),
        Some(answers) => {
            let wide = answers.values.len() / answers.rows.max(1);
            let distinct: BTreeSet<u64> = answers.values.iter().map(|v| (v + 0.0).to_bits()).collect();
            let whole = answers.values.iter().all(|v| v.fract() == 0.0);
            if whole && distinct.len() <= most_classes(train.rows()) {
                let classes = if wide > 1 { wide } else { distinct.len() };
                notes.push(format!("{classes} classes in {}", answers.place));
            } else {
                notes.push(format!("values in {}", answers.place));
                keys.extend(of_values());
            }
        }
    }
    if let Some(test) = test {
        notes.push(format!("{} more rows to test with", test.rows()));
    }
    Ok(Inspected { rows: train.rows(), header: false, columns: Vec::new(), keys, notes })
}

/// Up to so many whole numbers in the answers to so many rows are classes: most of these have to come again.
fn most_classes(rows: usize) -> usize {
    20.max(rows / 20).min(200).min(rows / 2).max(2)
}

/// The keys of answers that are values.
fn of_values() -> [(String, String); 2] {
    [("data.target".into(), "\"value\"".into()), ("objective.loss".into(), "\"squared-error\"".into())]
}

fn of(table: &Table, path: &Path, options: &DataOptions) -> Result<Inspected> {
    let mut columns: Vec<Column> = (0..table.columns).map(|column| described(table, column)).collect();
    suggest(&mut columns, table);
    let said = [(&options.label, Use::Label), (&options.id, Use::Id), (&options.ignore, Use::Ignore)];
    let mut wanted = Vec::new();
    for (labels, used) in said {
        for label in labels.iter().flat_map(|all| &all.0) {
            wanted.push((table.column("column", label)?, used));
        }
    }
    wanted.iter().for_each(|(column, used)| columns[*column].suggested = *used);
    if options.label.is_none() {
        choose_label(&mut columns);
    }
    let keys = keys(&columns, table, path, options);
    Ok(Inspected {
        rows: table.rows(),
        header: !table.names.is_empty(),
        columns,
        keys,
        notes: table.notes.clone(),
    })
}

fn described(table: &Table, column: usize) -> Column {
    let none = Seen::default();
    let seen = table.seen.get(column).unwrap_or(&none);
    let numbers = table.distinct(column);
    let all = || numbers.iter().copied().map(f64::from_bits);
    let range =
        (!numbers.is_empty()).then(|| [all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max)]);
    let missing = if table.seen.is_empty() { table.count_nan(column) } else { seen.missing };
    let mut words: Vec<String> = seen.words.iter().take(1000).cloned().collect();
    words.sort_unstable();
    words.truncate(6);
    words.extend(seen.unread.clone());
    Column {
        name: table.called(column),
        sort: sort(seen, numbers.len(), all().all(|v| v.fract() == 0.0)),
        missing,
        distinct: numbers.len() + seen.words.len(),
        range,
        words,
        suggested: Use::Feature,
    }
}

fn sort(seen: &Seen, numbers: usize, whole: bool) -> Sort {
    let all = |is: fn(&str) -> bool| seen.words.iter().all(|word| is(word));
    match (numbers, seen.words.len()) {
        (0, 0) if seen.unread.is_some() => Sort::Unread,
        (0, 0) => Sort::Nothing,
        (_, 0) => {
            if whole {
                Sort::WholeNumbers
            } else {
                Sort::Numbers
            }
        }
        (1.., _) => Sort::Mixed,
        _ if seen.odd => Sort::Texts,
        _ if are_flags(&seen.words) => Sort::Flags,
        _ if all(is_date) => Sort::Dates,
        _ if all(is_clock) => Sort::Times,
        _ if all(is_dressed) => Sort::DressedNumbers,
        _ if seen.are_categories() => Sort::Categories,
        _ => Sort::Texts,
    }
}

/// Says what each column can be used for.
fn suggest(columns: &mut [Column], table: &Table) {
    let rows = table.rows();
    for (at, column) in columns.iter_mut().enumerate() {
        let lower = column.name.to_ascii_lowercase();
        let says_id =
            lower == "id" || lower.ends_with("_id") || lower.ends_with(" id") || column.name.ends_with("Id");
        let each_its_own = column.distinct == rows && column.missing == 0;
        column.suggested = match column.sort {
            _ if table.index.contains(&at) => Use::Index,
            Sort::WholeNumbers | Sort::Texts | Sort::Categories if says_id && each_its_own => Use::Id,
            Sort::Texts
            | Sort::Dates
            | Sort::Times
            | Sort::DressedNumbers
            | Sort::Mixed
            | Sort::Unread
            | Sort::Nothing => Use::Ignore,
            _ if column.distinct < 2 => Use::Ignore,
            _ => Use::Feature,
        };
    }
}

/// The column that is likely predicted: by its name, or the last one that can be.
fn choose_label(columns: &mut [Column]) {
    let free = |column: &Column| column.suggested == Use::Feature;
    let named = |name: &&str| {
        columns.iter().position(|column| free(column) && column.name.eq_ignore_ascii_case(name))
    };
    let label = LABELS.iter().find_map(named).or_else(|| columns.iter().rposition(free));
    if let Some(label) = label {
        columns[label].suggested = Use::Label;
    }
}

/// The keys that suit these columns.
fn keys(columns: &[Column], table: &Table, path: &Path, options: &DataOptions) -> Vec<(String, String)> {
    let named = |at: usize| match table.names.get(at) {
        Some(name) if table.names.iter().filter(|other| *other == name).count() == 1 => format!("{name:?}"),
        _ => at.to_string(),
    };
    let all = |wanted: Use| -> Vec<String> {
        (0..columns.len()).filter(|at| columns[*at].suggested == wanted).map(named).collect()
    };
    let mut keys = vec![("data.path".to_owned(), format!("{:?}", path.display().to_string()))];
    for (key, value) in [
        ("separator", options.separator.map(super::Separator::name)),
        ("decimal", options.decimal.map(super::Decimal::name)),
        ("encoding", options.encoding.map(super::Encoding::name)),
    ] {
        keys.extend(value.map(|value| (format!("data.{key}"), format!("{value:?}"))));
    }
    if let Some(header) = options.header.0 {
        keys.push(("data.header".into(), header.to_string()));
    }
    if let Some(OneOrMore(words)) = &options.missing_words {
        keys.push(("data.missing_words".into(), format!("{words:?}")));
    }
    let label = columns.iter().position(|column| column.suggested == Use::Label);
    for (key, wanted) in [("data.label", Use::Label), ("data.id", Use::Id), ("data.ignore", Use::Ignore)] {
        match &all(wanted)[..] {
            [] => {}
            [one] => keys.push((key.into(), one.clone())),
            many => keys.push((key.into(), format!("[{}]", many.join(", ")))),
        }
    }
    let lacks = |wanted: Use| columns.iter().any(|column| column.suggested == wanted && column.missing > 0);
    if lacks(Use::Label) || lacks(Use::Feature) {
        keys.push(("data.missing".into(), "\"mean\"".into()));
    }
    if let Some(label) = label.map(|at| &columns[at]) {
        let is_value = match label.sort {
            Sort::Numbers => true,
            Sort::WholeNumbers => label.distinct > most_classes(table.rows()),
            _ => false,
        };
        if is_value {
            keys.extend(of_values());
        }
    }
    keys
}
