//! CSV files read from front to back.

use super::watched::Watched;
use super::{Rows, Stream, refusal};
use crate::csv::{Begun, Reading, is_nameless, malformed, no_rows};
use crate::dialect::SAMPLE;
use crate::survey::Survey;
use crate::table::{Seen, Table};
use crate::{Encoding, Separator, text};
use csv::{ByteRecord, Reader};
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
    begun: Begun,
    /// What was seen in all rows: words have their codes from it.
    survey: Survey,
}

impl Lines {
    /// Counts the file's rows and finds out what its columns are called.
    ///
    /// # Errors
    /// As for [`crate::csv::read`], but for what is wrong with numbers; [`ErrorKind::Data`] if a column without a name may number the rows or not.
    pub(super) fn open(watched: &Watched, how: &Reading<'_>) -> Result<Self> {
        let file = watched.open()?;
        let found = Self::counted(watched, &file, how);
        watched.check(&file)?;
        found.map_err(|e| e.in_file(watched.path()))
    }

    fn counted(watched: &Watched, file: &File, how: &Reading<'_>) -> Result<Self> {
        let begun = begun(watched, file, how)?;
        let mut reader = reader(watched, file, begun.skip as u64, &begun)?;
        let (mut table, mut survey) = begun.table(how);
        let nameless = table.names.iter().take_while(|name| is_nameless(name)).count();
        let mut counters = vec![Counter::default(); nameless.min(table.columns.saturating_sub(1))];
        let (mut record, mut cells, mut has_header) = (ByteRecord::new(), Vec::new(), begun.has_header);
        let (mut rows, mut begins) = (0, Vec::new());
        while reader.read_byte_record(&mut record).map_err(malformed)? {
            if std::mem::take(&mut has_header) {
                continue;
            }
            let begin = begun.skip as u64 + record.position().map_or(0, csv::Position::byte);
            cells.clear();
            if let Err(flaw) = begun.check(&record).and_then(|()| survey.see(&record, begin, &mut cells)) {
                return Err(flaw.at(line_of(watched, file, begin)?, &table.names));
            }
            counters.iter_mut().zip(&cells).for_each(|(counter, cell)| counter.see(*cell));
            if rows % EVERY == 0 {
                begins.push(begin);
            }
            rows += 1;
        }
        if rows == 0 {
            return Err(no_rows(&table));
        }
        for (column, counter) in counters.iter().enumerate() {
            match counter.numbers_rows() {
                _ if survey.seen[column].names_rows(rows) => table.index.push(column),
                Some(true) => table.index.push(column),
                Some(false) => break,
                None => {
                    let expected = "a name, or whole numbers that rise from row to row (a number of the row)";
                    let place = format!("column {column} (from 0)");
                    return Err(Error::expected(ErrorKind::Data, place, expected, "no name and others"));
                }
            }
        }
        for spot in survey.seen.iter_mut().flat_map(Seen::spots) {
            spot.at = line_of(watched, file, spot.at)? as u64;
        }
        table.seen.clone_from(&survey.seen);
        Ok(Self { watched: watched.clone(), table, rows, begins, begun, survey })
    }
}

/// What the file's beginning tells.
fn begun(watched: &Watched, file: &File, how: &Reading<'_>) -> Result<Begun> {
    let io = |e| Error::io("read", watched.path(), e);
    let mut file = file.try_clone().map_err(io)?;
    file.rewind().map_err(io)?;
    let mut first = Vec::new();
    (&file).take(SAMPLE as u64).read_to_end(&mut first).map_err(io)?;
    text::check(&first)?;
    let encoding = how.encoding.or_else(|| text::guess(&first));
    let refuse = |key, expected, found: &str| Err(refusal(watched.path(), key, expected, found));
    if let Some(other @ (Encoding::Utf16 | Encoding::Latin1)) = encoding {
        return refuse("data.encoding", "\"utf-8\"", &format!("{:?}", other.name()));
    }
    let mut begun = Begun::new(text::unmarked(&first), how)?;
    if begun.skip > 0 {
        begun.skip += first.len() - text::unmarked(&first).len();
    }
    if begun.dialect.separator == Separator::Blanks {
        return refuse("data.separator", "one that is a single character", "\"blanks\"");
    }
    Ok(begun)
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
    fn see(&mut self, value: f64) {
        self.other |= value.fract() != 0.0 || value < 0.0 || value.is_nan() || self.last == Some(value);
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
fn reader(watched: &Watched, file: &File, from: u64, begun: &Begun) -> Result<Reader<File>> {
    let io = |e| Error::io("read", watched.path(), e);
    let mut file = file.try_clone().map_err(io)?;
    file.seek(SeekFrom::Start(from)).map_err(io)?;
    Ok(begun.reader(file))
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
        let reader = reader(&self.watched, &file, base, &self.begun)?;
        let mut records = Records {
            watched: self.watched.clone(),
            file,
            reader,
            base,
            names: self.table.names.clone(),
            survey: self.survey.clone(),
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
    survey: Survey,
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
            let begin = self.base + self.record.position().map_or(0, csv::Position::byte);
            if let Err(flaw) = self.survey.see(&self.record, begin, out) {
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
