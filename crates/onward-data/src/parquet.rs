//! Parquet tables of flat columns.

mod exact;
mod kinds;
mod texts;

use std::panic::{AssertUnwindSafe, catch_unwind};

use onward::{Error, ErrorKind, Result};
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::{ColumnDescPtr, ColumnDescriptor};
use serde_json::Value;

pub(super) use kinds::Kind;
use kinds::{check_packing, is_unsigned, kind_of, scale_of};

use super::gz::MOST;
use super::pages::{CheckedPages, InMemory};
use super::table::{self, Label, MISSING, Numbers, Seen, Spot, Table, as_word};
use super::{footer, memory, shorten};

/// Runs and dictionaries pack equal numbers without limit; more than this many per byte of file are refused.
pub(super) const NUMBERS_PER_BYTE: u64 = 1 << 16;

/// How many values are decoded at once.
pub(super) const BATCH: usize = 1 << 14;

/// Reads a Parquet file of flat columns: numbers, decimals, booleans and words; what else there is in it is told as words are that are none
/// (see [`Table::seen`]).
///
/// # Errors
/// [`ErrorKind::Data`] if the file is damaged or has no rows.
pub fn read(bytes: &[u8]) -> Result<Table> {
    read_with_texts(bytes, &[])
}

/// The same with the texts of these columns, as they stand in the file.
///
/// # Errors
/// As for [`read`], and for a column whose values have no text.
pub(super) fn read_with_texts(bytes: &[u8], texts: &[Label]) -> Result<Table> {
    // The decoder checks most of what it reads, but not all: some damaged pages make it panic.
    let table = catch_unwind(AssertUnwindSafe(|| read_groups(bytes, texts)));
    table.unwrap_or_else(|_| Err(damaged("damage that its decoder stopped at")))
}

fn read_groups(bytes: &[u8], texts: &[Label]) -> Result<Table> {
    footer::check(bytes).map_err(damaged)?;
    let reader = SerializedFileReader::new(InMemory::new(bytes)).map_err(damaged)?;
    let meta = reader.metadata().file_metadata();
    let columns: Vec<(String, Kind)> = columns_of(meta);
    let names: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
    let most = (MOST / 8).min(NUMBERS_PER_BYTE.saturating_mul(bytes.len() as u64));
    check_size(meta.num_rows(), names.len(), most)?;
    let (mut values, mut seen) = (Vec::new(), vec![Seen::default(); columns.len()]);
    let rows_of = |values: &[f64]| (values.len() / names.len().max(1)) as i64;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let left = meta.num_rows() - rows_of(&values);
        match group.metadata().num_rows() {
            rows if (0..=left).contains(&rows) => {
                read_group(&mut values, &columns, &mut seen, &*group)?;
                keep_texts(texts, &names, &mut seen, &*group)?;
            }
            rows => return Err(damaged(format!("a group of {rows} rows where at most {left} are left"))),
        }
    }
    match rows_of(&values) {
        0 => Err(damaged("no rows")),
        rows if rows == meta.num_rows() => {
            let index = index_columns(&names, meta);
            let columns = names.len();
            Ok(Table { names, columns, values: Numbers::Double(values), index, seen, ..Table::default() })
        }
        rows => Err(damaged(format!("{rows} rows instead of {}", meta.num_rows()))),
    }
}

/// The columns of a table, each by the name of its leaf.
pub(super) fn columns_of(meta: &FileMetaData) -> Vec<(String, Kind)> {
    let schema = meta.schema_descr().columns();
    schema.iter().map(|column| (name_of(column), kind_of(column))).collect()
}

fn name_of(column: &ColumnDescriptor) -> String {
    if column.path().parts().len() == 1 { column.name().to_string() } else { column.path().string() }
}

/// The columns that pandas wrote its index into: those that its note in the file names, and those with the names that it
/// gives to an index without one.
pub(super) fn index_columns(names: &[String], meta: &FileMetaData) -> Vec<usize> {
    let note = meta.key_value_metadata().into_iter().flatten().find(|pair| pair.key == "pandas");
    let note: Value =
        note.and_then(|pair| serde_json::from_str(pair.value.as_deref()?).ok()).unwrap_or_default();
    let listed = |name: &str| {
        note["index_columns"].as_array().is_some_and(|index| index.iter().any(|column| column == name))
    };
    let is_index = |name: &str| name.starts_with("__index_level_") || listed(name);
    (0..names.len()).filter(|&column| is_index(&names[column])).collect()
}

pub(super) fn damaged(found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Data, "Parquet file", "a whole table", found)
}

/// That a table declares no more than `most` numbers.
pub(super) fn check_size(rows: i64, columns: usize, most: u64) -> Result<()> {
    match u64::try_from(rows).ok().and_then(|rows| rows.checked_mul(columns as u64)) {
        Some(numbers) if numbers <= most => Ok(()),
        _ => Err(damaged(format!(
            "{rows} rows of {columns} columns declared, where {most} numbers can be at most"
        ))),
    }
}

/// Keeps the texts of a group's columns.
fn keep_texts(
    wanted: &[Label],
    names: &[String],
    seen: &mut [Seen],
    group: &dyn RowGroupReader,
) -> Result<()> {
    let rows = check_group(group, names.len())?;
    for (column, name) in names.iter().enumerate() {
        let is_wanted = |label: &Label| match label {
            Label::Name(own) => own == name,
            Label::Position(position) => *position == column,
        };
        if wanted.iter().any(is_wanted) {
            let kept = texts::texts_of(group, column, rows, &mut seen[column].texts);
            kept.map_err(|flaw| flaw.at(name))?;
        }
    }
    Ok(())
}

/// Appends a row group: its columns are decoded one after the other and laid down as rows.
fn read_group(
    table: &mut Vec<f64>,
    names: &[(String, Kind)],
    seen: &mut [Seen],
    group: &dyn RowGroupReader,
) -> Result<()> {
    let columns = names.len();
    let first_row = table.len() / columns.max(1);
    let rows = check_group(group, columns)?;
    let start = table.len();
    let mut values = Vec::new();
    if names.iter().any(|(_, kind)| matches!(kind, Kind::Other(_))) {
        // Of what is not read, memory grows with what is declared.
        memory::check("file", "its numbers", 8 * (rows * columns) as u128)?;
    }
    for (column, (name, kind)) in names.iter().enumerate() {
        values.clear();
        let decoded =
            opened(group, column, kind, std::mem::take(&mut seen[column])).and_then(|mut decoder| {
                let decoded = decode(&mut *decoder, rows, &mut values);
                seen[column] = std::mem::take(decoder.seen());
                decoded
            });
        decoded.map_err(|flaw| flaw.at(name))?;
        if column == 0 {
            table.resize(start + rows * columns, 0.0);
        }
        count(&mut seen[column], kind, first_row, &values);
        for (row, value) in table[start..].chunks_exact_mut(columns).zip(&values) {
            row[column] = *value;
        }
    }
    Ok(())
}

/// Keeps what was seen in the rows from this one on of a column of this kind.
pub(super) fn count(seen: &mut Seen, kind: &Kind, first_row: usize, values: &[f64]) {
    if let Kind::Other(found) = kind {
        seen.first_word.get_or_insert_with(|| Spot { at: 0, found: (*found).into() });
        seen.unread = Some((*found).into());
        seen.odd = true;
        return;
    }
    for (row, value) in values.iter().enumerate() {
        let at = (first_row + row) as u64;
        if let Some(code) = as_word(*value).filter(|code| *code < seen.words.len()) {
            seen.worded += 1;
            let word = &seen.words[code];
            seen.first_word.get_or_insert_with(|| Spot { at, found: shorten(word.as_bytes()) });
        } else if value.is_nan() {
            seen.missing += 1;
            seen.first_missing
                .get_or_insert_with(|| Spot { at, found: "a missing value, null or NaN".into() });
        } else {
            seen.numbers += 1;
        }
    }
}

/// The rows of a group, which has to have so many columns.
pub(super) fn check_group(group: &dyn RowGroupReader, columns: usize) -> Result<usize> {
    if group.num_columns() != columns {
        return Err(damaged(format!("a row group of {} columns", group.num_columns())));
    }
    usize::try_from(group.metadata().num_rows()).map_err(damaged)
}

/// Decodes exactly `rows` numbers; memory grows with what is decoded, not with what is declared.
fn decode(column: &mut dyn Column, rows: usize, out: &mut Vec<f64>) -> Result<(), Flaw> {
    while out.len() < rows {
        let before = out.len();
        column.read(BATCH.min(rows - before), out)?;
    }
    Ok(())
}

/// A column of one row group, decoded from its front.
pub(super) trait Column: Send {
    /// What was seen in it: words are added as they are decoded, all else is counted by who reads.
    fn seen(&mut self) -> &mut Seen;

    /// Appends the next `rows` numbers.
    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<(), Flaw>;

    /// Passes over the next `rows` numbers: whole pages are not unpacked.
    fn skip(&mut self, rows: usize) -> Result<(), Flaw>;
}

/// The decoder of a group's column of this kind, in whose rows so much was seen before.
pub(super) fn opened(
    group: &dyn RowGroupReader,
    column: usize,
    kind: &Kind,
    seen: Seen,
) -> Result<Box<dyn Column>, Flaw> {
    match kind {
        Kind::Number => open_column(group, column, seen),
        Kind::Words => open_words(group, column, seen),
        Kind::Other(_) => Ok(Box::new(Nothing(seen))),
    }
}

/// A column of what is not read.
struct Nothing(Seen);

impl Column for Nothing {
    fn seen(&mut self) -> &mut Seen {
        &mut self.0
    }

    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<(), Flaw> {
        out.resize(out.len() + rows, MISSING);
        Ok(())
    }

    fn skip(&mut self, _: usize) -> Result<(), Flaw> {
        Ok(())
    }
}

/// A decoder with room for what it decodes at once.
struct Typed<T: DataType, F> {
    seen: Seen,
    reader: ColumnReaderImpl<T>,
    number: F,
    values: Vec<T::T>,
    levels: Vec<i16>,
}

impl<T: DataType, F: Fn(T::T, &mut Seen) -> Result<f64, Flaw> + Send> Column for Typed<T, F> {
    fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }

    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<(), Flaw> {
        let Self { seen, reader, number, values, levels } = self;
        out.reserve(rows);
        decode_values(reader, rows, (values, levels), |value| {
            out.push(value.map_or(Ok(MISSING), |value| number(value, seen))?);
            Ok(())
        })
    }

    fn skip(&mut self, rows: usize) -> Result<(), Flaw> {
        match self.reader.skip_records(rows)? {
            skipped if skipped == rows => Ok(()),
            skipped => Err(Flaw::Damage(format!("{} values fewer than rows", rows - skipped))),
        }
    }
}

/// Takes the next `rows` values of a column one after the other, `None` where one is missing; with room for those that are decoded at once.
fn decode_values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    (values, levels): (&mut Vec<T::T>, &mut Vec<i16>),
    mut take: impl FnMut(Option<T::T>) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    let mut left = rows;
    while left > 0 {
        values.clear();
        levels.clear();
        let (records, ..) = reader.read_records(left, Some(levels), None, values)?;
        let there =
            if levels.is_empty() { records } else { levels.iter().filter(|level| **level > 0).count() };
        if records == 0 || values.len() != there || records.max(levels.len()) != records {
            return Err(Flaw::Damage(format!("{} values fewer than rows", left - values.len().min(left))));
        }
        let mut decoded = values.drain(..);
        if there == records {
            decoded.try_for_each(|value| take(Some(value)))?;
        } else {
            for level in &*levels {
                take(if *level > 0 { decoded.next() } else { None })?;
            }
        }
        left -= records;
    }
    Ok(())
}

/// A decoder of values, each of which is a number.
fn typed<T: DataType>(
    reader: ColumnReaderImpl<T>,
    seen: Seen,
    to_f64: impl Fn(T::T) -> f64 + Send + 'static,
) -> Result<Box<dyn Column>, Flaw> {
    compared(reader, seen, move |value, _| to_f64(value))
}

/// The same where it is to be told which of the numbers are rounded.
fn compared<T: DataType>(
    reader: ColumnReaderImpl<T>,
    seen: Seen,
    to_f64: impl Fn(T::T, &mut Seen) -> f64 + Send + 'static,
) -> Result<Box<dyn Column>, Flaw> {
    let number = move |value, seen: &mut Seen| Ok(to_f64(value, seen));
    Ok(Box::new(Typed { seen, reader, number, values: Vec::new(), levels: Vec::new() }))
}

/// A whole number, which may be rounded.
fn of_whole(whole: i128, seen: &mut Seen) -> f64 {
    seen.compare(whole);
    whole as f64
}

/// A decimal, the highest byte first.
fn of_decimal(bytes: &[u8], scale: u32, seen: &mut Seen) -> f64 {
    if scale == 0 && bytes.len() <= 16 {
        seen.compare(exact::whole(bytes));
    }
    exact::nearest(bytes, scale)
}

/// The decoder of a group's column of words: each is its code's number, new ones are added to those that were seen.
fn open_words(group: &dyn RowGroupReader, column: usize, seen: Seen) -> Result<Box<dyn Column>, Flaw> {
    let (pages, descriptor) = pages_of(group, column)?;
    let ColumnReader::ByteArrayColumnReader(reader) = get_column_reader(descriptor, pages) else {
        return Err(Flaw::Damage("a column that is not of its declared type".into()));
    };
    let number = |word: ByteArray, seen: &mut Seen| {
        let text = str::from_utf8(word.data()).map_err(|e| Flaw::Damage(e.to_string()))?;
        Ok(seen.code(text.trim().as_bytes()).map_or(MISSING, table::word))
    };
    Ok(Box::new(Typed { seen, reader, number, values: Vec::new(), levels: Vec::new() }))
}

/// The decoder of a group's column of numbers.
fn open_column(group: &dyn RowGroupReader, column: usize, seen: Seen) -> Result<Box<dyn Column>, Flaw> {
    let (pages, descriptor) = pages_of(group, column)?;
    let (unsigned, scale) = (is_unsigned(&descriptor), scale_of(&descriptor));
    match (get_column_reader(descriptor, pages), scale) {
        (ColumnReader::Int32ColumnReader(r), Some(scale)) => {
            typed(r, seen, move |v| exact::nearest(&v.to_be_bytes(), scale))
        }
        (ColumnReader::Int64ColumnReader(r), Some(scale)) => {
            compared(r, seen, move |v, seen| of_decimal(&v.to_be_bytes(), scale, seen))
        }
        (ColumnReader::FixedLenByteArrayColumnReader(r), Some(scale)) => {
            compared(r, seen, move |v, seen| of_decimal(v.data(), scale, seen))
        }
        (ColumnReader::ByteArrayColumnReader(r), Some(scale)) => {
            compared(r, seen, move |v, seen| of_decimal(v.data(), scale, seen))
        }
        (ColumnReader::FixedLenByteArrayColumnReader(r), None) => typed(r, seen, |v| {
            v.data().first_chunk().map_or(MISSING, |pair| table::half(u16::from_le_bytes(*pair)))
        }),
        (ColumnReader::BoolColumnReader(r), None) => typed(r, seen, |v| f64::from(u8::from(v))),
        (ColumnReader::Int32ColumnReader(r), None) if unsigned => typed(r, seen, |v| f64::from(v as u32)),
        (ColumnReader::Int32ColumnReader(r), None) => typed(r, seen, f64::from),
        (ColumnReader::Int64ColumnReader(r), None) if unsigned => {
            compared(r, seen, |v, seen| of_whole(i128::from(v as u64), seen))
        }
        (ColumnReader::Int64ColumnReader(r), None) => {
            compared(r, seen, |v, seen| of_whole(i128::from(v), seen))
        }
        (ColumnReader::FloatColumnReader(r), None) => typed(r, seen, f64::from),
        (ColumnReader::DoubleColumnReader(r), None) => typed(r, seen, |v| v),
        _ => Err(Flaw::Damage("a column that is not of its declared type".into())),
    }
}

/// The checked pages of a group's column.
fn pages_of(group: &dyn RowGroupReader, column: usize) -> Result<(Box<dyn PageReader>, ColumnDescPtr), Flaw> {
    let chunk = group.metadata().column(column);
    if chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()) < 0 || chunk.compressed_size() < 0 {
        return Err(Flaw::Damage("a negative offset or size".into()));
    }
    let descriptor = chunk.column_descr_ptr();
    check_packing(descriptor.name(), chunk.compression())?;
    let pages = CheckedPages::new(group.get_column_page_reader(column)?, &descriptor);
    Ok((Box::new(pages), descriptor))
}

/// What is wrong with a column.
pub(super) enum Flaw {
    /// Bytes that cannot be.
    Damage(String),
    /// What else went wrong.
    Error(Error),
}

impl From<ParquetError> for Flaw {
    fn from(error: ParquetError) -> Self {
        Self::Damage(error.to_string())
    }
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Flaw {
    pub(super) fn at(self, column: &str) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Damage(found) => {
                let place = format!("column {}", shorten(column.as_bytes()));
                Error::expected(ErrorKind::Data, place, "undamaged pages", found)
            }
        }
    }
}

#[cfg(test)]
#[path = "parquet_tests.rs"]
pub(super) mod tests;
