//! Numbers as the readers give them: tables with column names, and arrays of any shape.

use super::shorten;
use crate::memory;
use onward::{Error, ErrorKind, Result};
use std::fmt;

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
    /// Notes on assumptions about the file, one sentence each.
    pub notes: Vec<String>,
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.values.count() / self.columns.max(1)
    }

    /// What a column is called in messages.
    pub(super) fn name(&self, column: usize) -> String {
        match self.names.get(column) {
            Some(name) => shorten(name.as_bytes()),
            None => format!("{column} (from 0)"),
        }
    }

    /// Finds the label column: the one that `wanted` names, else the one named "label", else the last that is no index column.
    ///
    /// # Errors
    /// As for [`Table::column`].
    pub(crate) fn label_column(&self, wanted: Option<&Label>) -> Result<usize> {
        let Some(wanted) = wanted else {
            let free = |column: &usize| !self.index.contains(column);
            let mut named = (0..self.names.len()).filter(|&i| self.names[i] == "label").filter(free);
            return match (named.next(), named.next()) {
                (Some(column), None) => Ok(column),
                (None, _) => Ok((0..self.columns).rev().find(free).unwrap_or(0)),
                _ => self.column("label column", &Label::Name("label".into())),
            };
        };
        self.column("label column", wanted)
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
                bad(format!("one column named {name:?}{hint}"), found)
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
        let values = if number.fits_single() {
            let mut room = memory::room("numbers", count)?;
            room.extend(values.map(|v| v as f32));
            Numbers::Single(room)
        } else {
            let mut room = memory::room("numbers", count)?;
            room.extend(values);
            Numbers::Double(room)
        };
        Ok(Self { shape, values })
    }
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

/// A kind of number: its class, its size in bytes (1, 2, 4 or 8; floats 4 or 8) and its order of bytes.
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

    fn decode(self, bytes: &[u8]) -> f64 {
        let join = |raw: u64, byte: &u8| raw << 8 | u64::from(*byte);
        let raw = match self.endian {
            Endian::Little => bytes.iter().rev().fold(0, join),
            Endian::Big => bytes.iter().fold(0, join),
        };
        match (self.class, self.size) {
            (Class::Unsigned, _) => raw as f64,
            (Class::Signed, 1) => f64::from(raw as i8),
            (Class::Signed, 2) => f64::from(raw as i16),
            (Class::Signed, 4) => f64::from(raw as i32),
            (Class::Signed, _) => raw as i64 as f64,
            (Class::Float, 4) => f64::from(f32::from_bits(raw as u32)),
            (Class::Float, _) => f64::from_bits(raw),
        }
    }
}
