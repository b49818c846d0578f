//! Numbers as the readers give them: tables with column names, and arrays of any shape.

use super::layout::Layout;
use super::shorten;
use super::survey::MOST_WORDS;
use crate::memory;
use onward::schema::nearest_of;
use onward::{Error, ErrorKind, Hint, Result, Segment};
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// The cell of a value that is missing.
pub(super) const MISSING: f64 = f64::NAN;

/// What the bits of words have in common: they are no numbers, so that no word can be counted with.
const WORD: u64 = 0x7ffc_0000 << 32;

/// The cell of the word with this code.
pub(super) fn word(code: u32) -> f64 {
    f64::from_bits(WORD | u64::from(code))
}

/// The code of the word in a cell, if there is one.
pub(super) fn as_word(cell: f64) -> Option<usize> {
    let bits = cell.to_bits();
    (bits & !u64::from(u32::MAX) == WORD).then_some((bits & u64::from(u32::MAX)) as usize)
}

/// What was seen in a column of a table that may hold more than numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// How many numbers.
    pub numbers: u64,
    /// How many missing values.
    pub missing: u64,
    /// How many words.
    pub worded: u64,
    /// The column's different words; a word's code is its place among them.
    pub words: Vec<String>,
    codes: HashMap<Box<[u8]>, u32>,
    /// The first missing value.
    pub(super) first_missing: Option<Spot>,
    /// The first word.
    pub(super) first_word: Option<Spot>,
    /// Whether there is what can be neither a number nor a word, or more words than are told apart.
    pub(super) odd: bool,
    /// The bits of its different numbers, where these were asked for.
    pub(super) distinct: BTreeSet<u64>,
    /// The column's texts row after row, where these were asked for.
    pub texts: Vec<String>,
    /// The first whole number that double precision does not hold, as it stands in the file.
    pub(super) rounded: Option<String>,
    /// What the column holds, if that is not read.
    pub(super) unread: Option<String>,
}

/// Where something stands, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// The byte that its row begins at while the file is read; then the line, from 1 on, or the row from 0 on.
    pub(super) at: u64,
    pub(super) found: String,
}

impl Seen {
    /// The code of a word; `None` if there are more than are told apart.
    pub(super) fn code(&mut self, field: &[u8]) -> Option<u32> {
        if let Some(code) = self.codes.get(field) {
            return Some(*code);
        }
        if self.words.len() >= MOST_WORDS {
            self.odd = true;
            return None;
        }
        let code = self.words.len() as u32;
        self.words.push(String::from_utf8_lossy(field).into_owned());
        self.codes.insert(field.into(), code);
        Some(code)
    }

    /// Keeps a whole number if double precision rounds it.
    pub(super) fn compare(&mut self, whole: i128) {
        if is_rounded(whole) && self.rounded.is_none() {
            self.rounded = Some(whole.to_string());
        }
    }

    /// Whether each of so many rows has a word of its own.
    pub(super) fn names_rows(&self, rows: u64) -> bool {
        rows > 1 && !self.odd && self.words.len() as u64 == rows
    }

    /// Both first spots, wherever there is one.
    pub(super) fn spots(&mut self) -> impl Iterator<Item = &mut Spot> {
        self.first_missing.iter_mut().chain(&mut self.first_word)
    }
}

/// The numbers of a file, unrounded: in single precision where it holds every number of the file's type.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Floats of 32 bits, integers of at most 16.
    Single(Vec<f32>),
    /// All other types.
    Double(Vec<f64>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Double(Vec::new())
    }
}

impl Numbers {
    /// The number of numbers.
    pub fn count(&self) -> usize {
        match self {
            Self::Single(values) => values.len(),
            Self::Double(values) => values.len(),
        }
    }

    /// The number at an index below [`Numbers::count`].
    pub fn at(&self, index: usize) -> f64 {
        match self {
            Self::Single(values) => f64::from(values[index]),
            Self::Double(values) => values[index],
        }
    }

    /// Iterates over all numbers as f64.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.count()).map(|index| self.at(index))
    }

    /// Those of some rows of so many columns.
    fn rows(&self, rows: &[usize], columns: usize) -> Self {
        fn of<T: Copy>(all: &[T], rows: &[usize], columns: usize) -> Vec<T> {
            rows.iter().flat_map(|row| &all[row * columns..][..columns]).copied().collect()
        }
        match self {
            Self::Single(values) => Self::Single(of(values, rows, columns)),
            Self::Double(values) => Self::Double(of(values, rows, columns)),
        }
    }

    /// The same numbers in another order: the one at `index` comes from `from(index)`.
    pub(super) fn reordered(&self, mut from: impl FnMut(usize) -> usize) -> Self {
        match self {
            Self::Single(values) => Self::Single((0..values.len()).map(|i| values[from(i)]).collect()),
            Self::Double(values) => Self::Double((0..values.len()).map(|i| values[from(i)]).collect()),
        }
    }
}

/// Rows of numbers under column names, row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// One name per column, or none at all.
    pub names: Vec<String>,
    /// The number of columns.
    pub columns: usize,
    /// `rows × columns` numbers.
    pub values: Numbers,
    /// The index columns, which only number the rows and are no features, in ascending order.
    pub index: Vec<usize>,
    /// What was seen in each column; empty where all are numbers by their type.
    pub seen: Vec<Seen>,
    /// Whether flaws are told by their line in the file, and not by their row.
    pub(super) by_line: bool,
    /// Notes on assumptions about the file, one sentence each.
    pub notes: Vec<String>,
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.count() / self.columns.max(1)
    }

    /// What is wrong in a column of the file.
    pub(super) fn flaw(&self, column: usize, spot: &Spot, expected: impl fmt::Display) -> Error {
        if let Some(found) = self.seen.get(column).and_then(|seen| seen.unread.as_ref()) {
            let expected = "numbers or words (data.ignore leaves the column out)";
            return Error::expected(
                ErrorKind::Data,
                format!("column {}", self.name(column)),
                expected,
                found,
            );
        }
        if self.by_line {
            let name = self.names.get(column).map(|name| shorten(name.as_bytes()));
            let place = Segment::Cell { line: spot.at as usize, column: column + 1, name };
            return Error::expected(ErrorKind::Data, place, expected, &spot.found);
        }
        let place = format!("row {} (from 0), column {}", spot.at, self.name(column));
        Error::expected(ErrorKind::Data, place, expected, &spot.found)
    }

    /// What a column is called in messages.
    pub(super) fn name(&self, column: usize) -> String {
        match self.names.get(column) {
            Some(name) => shorten(name.as_bytes()),
            None => format!("{column} (from 0)"),
        }
    }

    /// Finds the label column where none is said: the one named "label", else the last that is no index column and not `taken`.
    ///
    /// # Errors
    /// As for [`Table::column`].
    pub(crate) fn label_column(&self, taken: &[usize]) -> Result<usize> {
        let free = |column: &usize| !self.index.contains(column) && !taken.contains(column);
        let mut named = (0..self.names.len()).filter(|&i| self.names[i] == "label").filter(free);
        match (named.next(), named.next()) {
            (Some(column), None) => Ok(column),
            (None, _) => Ok((0..self.columns).rev().find(free).unwrap_or(0)),
            _ => self.column("label column", &Label::Name("label".into())),
        }
    }

    /// The cells of a column.
    pub(super) fn cells(&self, column: usize) -> impl Iterator<Item = f64> {
        (0..self.rows()).map(move |row| self.values.at(row * self.columns + column))
    }

    /// What a column is called: its name, or its position.
    pub(super) fn called(&self, column: usize) -> String {
        self.names.get(column).cloned().unwrap_or_else(|| column.to_string())
    }

    /// The texts of a column's rows: as they stand in the file, where they were kept.
    pub(super) fn texts(&self, column: usize) -> Vec<String> {
        match self.seen.get(column).filter(|seen| !seen.texts.is_empty()) {
            Some(seen) => seen.texts.clone(),
            None => self.cells(column).map(|cell| cell.to_string()).collect(),
        }
    }

    /// Puts the numbers of categories in the place of what stands in their cells.
    pub(super) fn code(&mut self, layout: &Layout) -> Result<()> {
        let mut cells: Vec<f64> = match std::mem::take(&mut self.values) {
            Numbers::Double(cells) => cells,
            single @ Numbers::Single(_) => single.iter().collect(),
        };
        for (row, cells) in cells.chunks_exact_mut(self.columns.max(1)).enumerate() {
            layout.code(row as u64, cells)?;
        }
        self.values = Numbers::Double(cells);
        Ok(())
    }

    /// Leaves out the rows in which one of these columns has no value; tells how many these are. Words are values.
    pub(super) fn drop_missing(&mut self, used: &[usize]) -> usize {
        let (rows, columns) = (self.rows(), self.columns);
        let is_missing = |cell: f64| cell.is_nan() && as_word(cell).is_none();
        let whole =
            |row: &usize| !used.iter().any(|column| is_missing(self.values.at(row * columns + column)));
        let kept: Vec<usize> = (0..rows).filter(whole).collect();
        if kept.len() < rows {
            self.values = self.values.rows(&kept, columns);
            let texts = |seen: &mut Seen| {
                seen.texts = kept.iter().filter_map(|row| seen.texts.get(*row).cloned()).collect()
            };
            self.seen.iter_mut().for_each(texts);
        }
        rows - kept.len()
    }

    /// This table with another's rows behind its own.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if that has other columns.
    pub(super) fn followed_by(mut self, mut more: Self) -> Result<Self> {
        if self.names != more.names {
            let (expected, found) =
                (format!("the columns of the first part: {}", self.names.join(", ")), more.names.join(", "));
            return Err(Error::expected(ErrorKind::Data, "columns", expected, found));
        }
        let rows = self.rows() as u64;
        let mut codes: Vec<Vec<Option<u32>>> = Vec::new();
        for (own, other) in self.seen.iter_mut().zip(&mut more.seen) {
            codes.push(other.words.iter().map(|word| own.code(word.as_bytes())).collect());
            other.spots().for_each(|spot| spot.at += rows);
            own.numbers += other.numbers;
            own.missing += other.missing;
            own.worded += other.worded;
            own.odd |= other.odd;
            own.texts.append(&mut other.texts);
            own.rounded = own.rounded.take().or(other.rounded.take());
            own.unread = own.unread.take().or(other.unread.take());
            own.first_missing = own.first_missing.take().or(other.first_missing.take());
            own.first_word = own.first_word.take().or(other.first_word.take());
        }
        let columns = self.columns.max(1);
        let cell = |(at, cell): (usize, f64)| match as_word(cell).filter(|_| !codes.is_empty()) {
            Some(code) => codes[at % columns].get(code).copied().flatten().map_or(MISSING, word),
            None => cell,
        };
        let values = self.values.iter().chain(more.values.iter().enumerate().map(cell)).collect();
        self.values = Numbers::Double(values);
        Ok(self)
    }

    /// How many cells of a column are NaN.
    pub(super) fn count_nan(&self, column: usize) -> u64 {
        self.cells(column).filter(|cell| cell.is_nan()).count() as u64
    }

    /// The bits of a column's different numbers.
    pub(super) fn distinct(&self, column: usize) -> BTreeSet<u64> {
        self.cells(column).filter(|cell| cell.is_finite()).map(|cell| (cell + 0.0).to_bits()).collect()
    }

    /// The column that is likely meant by a name that none has, or those that there are.
    fn suggested(&self, name: &str) -> String {
        const MOST: usize = 12;
        if self.names.is_empty() {
            let last = self.columns.saturating_sub(1);
            return format!("there is no header, so columns are said by their positions, 0 to {last}");
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let alike = names.iter().find(|own| own.trim().eq_ignore_ascii_case(name.trim())).copied();
        if let Some(meant) = alike.or_else(|| nearest_of(name, &names).filter(|_| name.chars().count() > 2)) {
            return format!("did you mean {meant:?}?");
        }
        let shown: Vec<String> = names.iter().take(MOST).map(|name| shorten(name.as_bytes())).collect();
        let more = if names.len() > MOST { ", …" } else { "" };
        format!("the columns are {}{more}", shown.join(", "))
    }

    /// Finds the column that `wanted` names; `place` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there is no such column, or if the name stands twice.
    pub fn column(&self, place: &str, wanted: &Label) -> Result<usize> {
        let bad =
            |expected: String, found: &str| Err(Error::expected(ErrorKind::Data, place, expected, found));
        let name = match wanted {
            Label::Position(column) if *column < self.columns => return Ok(*column),
            Label::Position(column) => {
                let expected = format!("a column at position {column} (from 0)");
                return bad(expected, &format!("{} columns", self.columns));
            }
            Label::Name(name) => name,
        };
        let mut named = (0..self.names.len()).filter(|&i| self.names[i] == *name);
        match (named.next(), named.next()) {
            (Some(column), None) => Ok(column),
            (first, _) => {
                let found = if first.is_some() { "two columns of that name" } else { "none" };
                let is_number = name.parse::<usize>().is_ok();
                let hint = if is_number { " (a position is written without quotes)" } else { "" };
                let refused = bad(format!("one column named {name:?}{hint}"), found);
                match first {
                    None if !is_number => refused.map_err(|e| e.hint(Hint::Then(self.suggested(name)))),
                    _ => refused,
                }
            }
        }
    }
}

/// The way a column is named: by name or by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// The name of the column.
    Name(String),
    /// The position among all columns of the file, counted from 0.
    Position(usize),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Position(position) => write!(f, "{position}"),
        }
    }
}

/// Numbers of any shape, the last dimension running fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The dimensions; their product is the number of values, and none is 0.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Numbers,
    /// The first whole number that double precision does not hold.
    pub rounded: Option<i128>,
}

impl Array {
    /// Decodes `bytes` as `shape` numbers of one kind; the bytes must be exactly as many.
    pub(super) fn decode(shape: Vec<usize>, number: Number, bytes: &[u8]) -> Result<Self> {
        let declared = declared_len(&shape, number)?;
        if declared != bytes.len() {
            let (expected, found) =
                (format!("{declared} bytes for shape {shape:?}"), format!("{} bytes", bytes.len()));
            return Err(Error::expected(ErrorKind::Data, "numbers", expected, found));
        }
        let values = bytes.chunks_exact(number.size).map(|chunk| number.decode(chunk));
        let count = bytes.len() / number.size;
        let rounded = if number.class == Class::Float || number.size < 8 {
            None
        } else {
            bytes.chunks_exact(number.size).map(|chunk| number.whole(chunk)).find(|whole| is_rounded(*whole))
        };
        let values = if number.fits_single() {
            let mut room = memory::room("numbers", count)?;
            room.extend(values.map(|v| v as f32));
            Numbers::Single(room)
        } else {
            let mut room = memory::room("numbers", count)?;
            room.extend(values);
            Numbers::Double(room)
        };
        Ok(Self { shape, values, rounded })
    }

    /// What to say of numbers that double precision rounds.
    pub(super) fn note(&self, place: &str) -> Option<String> {
        self.rounded.map(|number| rounded(place, number))
    }
}

/// Whether double precision holds another number in the place of a whole one.
fn is_rounded(whole: i128) -> bool {
    // Up to here all are exact, and nearly all numbers are.
    const EXACT: u128 = 1 << 53;
    whole.unsigned_abs() > EXACT && whole as f64 as i128 != whole
}

/// What to say of whole numbers in this place that double precision rounds.
pub(super) fn rounded(place: &str, number: impl fmt::Display) -> String {
    format!(
        "{place} has whole numbers such as {number}, which are rounded to those of double precision (exact up to 2^53)"
    )
}

/// How many bytes `shape` numbers of a kind take.
pub(super) fn declared_len(shape: &[usize], number: Number) -> Result<usize> {
    match shape.iter().try_fold(number.size, |product, &n| product.checked_mul(n)) {
        Some(len) if len > 0 => Ok(len),
        len => {
            let found = if len.is_some() { "a dimension of 0" } else { "more than memory can address" };
            Err(Error::expected(
                ErrorKind::Data,
                format!("shape {shape:?}"),
                "at least one number and not too many",
                found,
            ))
        }
    }
}

/// The number that these 16 bits mean.
pub(super) fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction / f64::from(1_u32 << 24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) / f64::from(1_u32 << 25) * f64::from(1_u32 << exponent),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Unsigned,
    Signed,
    Float,
}

/// Which end of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Endian {
    Little,
    Big,
}

/// A kind of number: its class, its size in bytes (1, 2, 4 or 8; floats 2, 4 or 8) and its order of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) class: Class,
    pub(super) size: usize,
    pub(super) endian: Endian,
}

impl Number {
    /// Whether single precision holds every number of this kind.
    fn fits_single(self) -> bool {
        self.size <= if self.class == Class::Float { 4 } else { 2 }
    }

    /// Its bytes, the highest first.
    fn raw(self, bytes: &[u8]) -> u64 {
        let join = |raw: u64, byte: &u8| raw << 8 | u64::from(*byte);
        match self.endian {
            Endian::Little => bytes.iter().rev().fold(0, join),
            Endian::Big => bytes.iter().fold(0, join),
        }
    }

    /// A whole number of eight bytes.
    fn whole(self, bytes: &[u8]) -> i128 {
        let raw = self.raw(bytes);
        if self.class == Class::Signed { i128::from(raw as i64) } else { i128::from(raw) }
    }

    fn decode(self, bytes: &[u8]) -> f64 {
        let raw = self.raw(bytes);
        match (self.class, self.size) {
            (Class::Unsigned, _) => raw as f64,
            (Class::Signed, 1) => f64::from(raw as i8),
            (Class::Signed, 2) => f64::from(raw as i16),
            (Class::Signed, 4) => f64::from(raw as i32),
            (Class::Signed, _) => raw as i64 as f64,
            (Class::Float, 2) => half(raw as u16),
            (Class::Float, 4) => f64::from(f32::from_bits(raw as u32)),
            (Class::Float, _) => f64::from_bits(raw),
        }
    }
}
