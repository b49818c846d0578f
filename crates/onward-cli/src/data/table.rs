//! Numbers as the readers give them: tables with column names, and arrays of any shape.

use crate::memory;
use onward::{Error, ErrorKind, Result};

/// Rows of numbers under column names, row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// One name per column, or none at all.
    pub names: Vec<String>,
    /// Numbers per row.
    pub columns: usize,
    /// `rows × columns` numbers.
    pub values: Vec<f32>,
}

impl Table {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// The column that `wanted` names (a name, or else an index from 0); without it the one named "label", else the
    /// last.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if there is no such column, or if the name stands twice.
    pub fn label_column(&self, wanted: Option<&str>) -> Result<usize> {
        let mut named = (0..self.names.len()).filter(|&i| self.names[i] == wanted.unwrap_or("label"));
        let found = match (named.next(), named.next(), wanted) {
            (Some(_), Some(_), _) => "two columns of that name".to_string(),
            (Some(column), None, _) => return Ok(column),
            (None, _, None) => return Ok(self.columns.saturating_sub(1)),
            (None, _, Some(wanted)) => match wanted.parse() {
                Ok(column) if column < self.columns => return Ok(column),
                _ => format!("{} columns and none such", self.columns),
            },
        };
        let wanted = wanted.unwrap_or("label");
        Err(Error::expected(
            ErrorKind::Data,
            "label column",
            format!("one column {wanted:?} (a name or an index from 0)"),
            found,
        ))
    }

    /// Takes `column` out and returns its numbers.
    pub fn take_column(&mut self, column: usize) -> Vec<f32> {
        let columns = self.columns;
        let taken = self.values.iter().skip(column).step_by(columns.max(1)).copied().collect();
        let mut at = 0;
        self.values.retain(|_| {
            let keep = at != column;
            at = (at + 1) % columns;
            keep
        });
        if column < self.names.len() {
            self.names.remove(column);
        }
        self.columns -= 1;
        taken
    }
}

/// Numbers of any shape, the last dimension running fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The dimensions; their product is the number of values, and none is 0.
    pub shape: Vec<usize>,
    /// The numbers.
    pub values: Vec<f32>,
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
        let mut values = memory::room("numbers", bytes.len() / number.size)?;
        values.extend(bytes.chunks_exact(number.size).map(|chunk| number.decode(chunk)));
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
    fn decode(self, bytes: &[u8]) -> f32 {
        let join = |raw: u64, byte: &u8| raw << 8 | u64::from(*byte);
        let raw = match self.endian {
            Endian::Little => bytes.iter().rev().fold(0, join),
            Endian::Big => bytes.iter().fold(0, join),
        };
        match (self.class, self.size) {
            (Class::Unsigned, _) => raw as f32,
            (Class::Signed, 1) => f32::from(raw as i8),
            (Class::Signed, 2) => f32::from(raw as i16),
            (Class::Signed, 4) => raw as i32 as f32,
            (Class::Signed, _) => raw as i64 as f32,
            (Class::Float, 4) => f32::from_bits(raw as u32),
            (Class::Float, _) => f64::from_bits(raw) as f32,
        }
    }
}
