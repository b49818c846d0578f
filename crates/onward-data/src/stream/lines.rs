//! CSV files read from front to back.

use super::watched::Watched;
use super::{Rows, Stream};
use crate::csv::{Flaw, Header, check_text, is_nameless, malformed, name, parse, push_row};
use crate::first_row;
use crate::table::Table;
use csv::{ByteRecord, Reader, ReaderBuilder};
use onward::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

/// Rows between two whose places in the file are known.
const EVERY: u64 = 1 << 12;

/// A CSV file, not packed.
pub(super) struct Lines {
    watched: Watched,
    table: Table,
    rows: u64,
    /// The bytes that lie before every so many rows.
    begins: Vec<u64>,
}

impl Lines {
    /// Counts the file's rows and finds out what its columns are called.
    ///
    /// # Errors
    /// As for [`crate::csv::read`], but for what is wrong with numbers; [`ErrorKind::Data`] if a column without a name may number the rows or not.
    pub(super) fn open(watched: &Watched, header: Header<'_>) -> Result<Self> {
        let file = watched.open()?;
        let found = Self::counted(watched, &file, header);
        watched.check(&file)?;
        found.map_err(|e| e.in_file(watched.path()))
    }

    fn counted(watched: &Watched, file: &File, header: Header<'_>) -> Result<Self> {
        let mut reader = reader(watched, file, 0)?;
        let (mut record, mut table) = (ByteRecord::new(), Table::default());
        let (mut rows, mut begins, mut counters) = (0, Vec::new(), Vec::new());
        while reader.read_byte_record(&mut record).map_err(malformed)? {
            let begin = record.position().map_or(0, csv::Position::byte);
            let told = |flaw: Flaw, names: &[String]| Ok(flaw.at(line_of(watched, file, begin)?, names));
            if table.columns == 0 {
                table.columns = record.len();
                match first_row::is_header(&record, header) {
                    Err(flaw) => return Err(told(flaw, &[]).unwrap_or_else(|e| e)),
                    Ok(false) => {}
                    Ok(true) => {
                        table.names = record.iter().map(name).collect();
                        table.notes.extend(first_row::note(&record).filter(|_| header == Header::Auto));
                        let nameless = table.names.iter().take_while(|name| is_nameless(name)).count();
                        counters = vec![Counter::default(); nameless.min(table.columns.saturating_sub(1))];
                        continue;
                    }
                }
            }
            counters.iter_mut().zip(&record).for_each(|(counter, field)| counter.see(parse(field)));
            if rows % EVERY == 0 {
                begins.push(begin);
            }
            rows += 1;
        }
        if rows == 0 {
            let found = if table.columns == 0 { "an empty file" } else { "only a header" };
            return Err(Error::expected(ErrorKind::Data, "file", "rows of numbers", found));
        }
        for (column, counter) in counters.iter().enumerate() {
            match counter.numbers_rows() {
                Some(true) => table.index.push(column),
                Some(false) => break,
                None => {
                    let expected = "a name, or whole numbers that rise from row to row (a number of the row)";
                    let place = format!("column {column} (from 0)");
                    return Err(Error::expected(ErrorKind::Data, place, expected, "no name and others"));
                }
            }
        }
        Ok(Self { watched: watched.clone(), table, rows, begins })
    }
}

/// Whether a column's numbers number the rows.
#[derive(Clone, Default)]
struct Counter {
    last: Option<f64>,
    /// Whether they were no whole numbers, or the same twice.
    other: bool,
    falls: bool,
}

impl Counter {
    fn see(&mut self, value: Option<f64>) {
        let Some(value) = value else { return };
        self.other |= value.fract() != 0.0 || value < 0.0 || self.last == Some(value);
        self.falls |= self.last.is_some_and(|last| value < last);
        self.last = Some(value);
    }

    /// `None` if that takes all numbers at once to tell.
    fn numbers_rows(&self) -> Option<bool> {
        match (self.other, self.falls) {
            (true, _) => Some(false),
            (false, false) => Some(true),
            (false, true) => None,
        }
    }
}

/// A reader of the records behind so many bytes.
fn reader(watched: &Watched, file: &File, begin: u64) -> Result<Reader<File>> {
    let io = |e| Error::io("read", watched.path(), e);
    let mut file = file.try_clone().map_err(io)?;
    file.seek(SeekFrom::Start(begin)).map_err(io)?;
    if begin == 0 {
        let mut first = Vec::new();
        (&file).take(4).read_to_end(&mut first).map_err(io)?;
        check_text(&first)?;
        file.rewind().map_err(io)?;
    }
    Ok(ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 18).from_reader(file))
}

/// The line (from 1) of the record behind so many bytes, of which some may be blank lines.
fn line_of(watched: &Watched, file: &File, begin: u64) -> Result<usize> {
    let io = |e| Error::io("read", watched.path(), e);
    let mut file = file.try_clone().map_err(io)?;
    file.rewind().map_err(io)?;
    let (mut file, mut at, mut line) = (BufReader::new(file), 0, 1);
    loop {
        let bytes = file.fill_buf().map_err(io)?;
        let before = bytes.len().min((begin - at) as usize);
        let blank = bytes[before..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let passed = before + blank;
        line += bytes[..passed].iter().filter(|b| **b == b'\n').count();
        if passed < bytes.len() || bytes.is_empty() {
            return Ok(line);
        }
        at += before as u64;
        file.consume(passed);
    }
}

impl Stream for Lines {
    fn table(&self) -> &Table {
        &self.table
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn at(&self, row: u64) -> Result<Box<dyn Rows>> {
        let file = self.watched.open()?;
        let base = self.begins.get((row / EVERY) as usize).copied().unwrap_or_default();
        let reader = reader(&self.watched, &file, base)?;
        let (names, columns) = (self.table.names.clone(), self.table.columns);
        let mut records = Records {
            watched: self.watched.clone(),
            file,
            reader,
            base,
            names,
            columns,
            record: ByteRecord::new(),
        };
        for _ in 0..row % EVERY {
            records.next()?;
        }
        Ok(Box::new(records))
    }
}

/// Records of a file from some byte on.
struct Records {
    watched: Watched,
    file: File,
    reader: Reader<File>,
    base: u64,
    names: Vec<String>,
    columns: usize,
    record: ByteRecord,
}

impl Records {
    fn next(&mut self) -> Result<()> {
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.watched.check(&self.file)?;
                Err(Error::expected(ErrorKind::Data, "file", "as many rows as before", "its end"))
            }
            Err(error) => Err(malformed(error)),
        }
    }

    fn rows(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<()> {
        for _ in 0..rows {
            self.next()?;
            if let Err(flaw) = push_row(out, self.columns, &self.record) {
                let begin = self.base + self.record.position().map_or(0, csv::Position::byte);
                return Err(flaw.at(line_of(&self.watched, &self.file, begin)?, &self.names));
            }
        }
        Ok(())
    }
}

impl Rows for Records {
    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<()> {
        let read = self.rows(rows, out);
        self.watched.check(&self.file)?;
        read.map_err(|e| e.in_file(self.watched.path()))
    }
}
