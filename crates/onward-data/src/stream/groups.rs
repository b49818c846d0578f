//! Parquet files read from front to back: each column's pages are unpacked one at a time, however large the row groups are.

use super::watched::Watched;
use super::{PIECE, Rows, Stream};
use crate::footer;
use crate::parquet::{
    self, BATCH, Column, Flaw, Kind, NUMBERS_PER_BYTE, check_group, check_size, damaged, opened,
};
use crate::survey::MOST_WORDS;
use crate::table::{Label, Numbers, Seen, Table};
use crate::{DataOptions, Missing};
use ::parquet::basic::Type;
use ::parquet::errors::{ParquetError, Result as Decoded};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::reader::{ChunkReader, FileReader, Length};
use ::parquet::file::serialized_reader::SerializedFileReader;
use ::parquet::file::statistics::Statistics;
use bytes::Bytes;
use onward::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The bytes behind a footer: its length and the format's name.
const TAIL: u64 = 8;

/// A Parquet file.
pub(super) struct Groups {
    watched: Watched,
    table: Table,
    /// What each column holds.
    kinds: Vec<Kind>,
    /// The first row of each group, and how many rows there are.
    starts: Vec<u64>,
}

impl Groups {
    /// Reads the file's footer and, where there are words, or values may be missing, what is in its columns.
    ///
    /// # Errors
    /// As for [`parquet::read`], but for what only pages tell.
    pub(super) fn open(watched: &Watched, options: &DataOptions) -> Result<Self> {
        let file = watched.open()?;
        let opened = || {
            let mut found = footer_of(watched, &file)?;
            let may_miss = options.missing.unwrap_or_default() != Missing::Error;
            if may_miss
                || options.categorical.is_some()
                || found.kinds.iter().any(|kind| *kind != Kind::Number)
                || found.may_round(&file, options)?
            {
                found.survey(&file, options)?;
            }
            Ok(found)
        };
        let found = unpanicked(opened).map_err(|e| told(watched, &file, e))?;
        watched.check(&file)?;
        Ok(found)
    }
}

impl Groups {
    /// Looks at all that is in the columns, so that the table is known as one in memory is.
    fn survey(&mut self, file: &File, options: &DataOptions) -> Result<()> {
        let reader = reader(&self.watched, file)?;
        let declared = options.categorical.iter().flat_map(|all| &all.0);
        let declared = declared.map(|one| self.table.column("column of data.categorical", one));
        let declared = declared.collect::<Result<Vec<usize>>>()?;
        let mut seen = vec![Seen::default(); self.kinds.len()];
        for (group, first) in self.starts[..self.starts.len() - 1].iter().enumerate() {
            let group = reader.get_row_group(group).map_err(damaged)?;
            let rows = check_group(&*group, self.kinds.len())?;
            for (column, kind) in self.kinds.iter().enumerate() {
                // A decoder of words has what was seen of them.
                let mut decoder = opened(&*group, column, kind, std::mem::take(&mut seen[column]))
                    .map_err(|flaw| self.at(column, flaw))?;
                let (mut values, mut at) = (Vec::new(), 0);
                while at < rows {
                    values.clear();
                    let wanted = BATCH.min(rows - at);
                    decoder.read(wanted, &mut values).map_err(|flaw| self.at(column, flaw))?;
                    let own = decoder.seen();
                    parquet::count(own, kind, *first as usize + at, &values);
                    if declared.contains(&column) && own.distinct.len() <= MOST_WORDS {
                        let numbers = values.iter().filter(|cell| cell.is_finite());
                        own.distinct.extend(numbers.map(|cell| (cell + 0.0).to_bits()));
                    }
                    at += wanted;
                }
                seen[column] = std::mem::take(decoder.seen());
            }
        }
        self.table.seen = seen;
        Ok(())
    }

    /// Whether columns that are used may have whole numbers that double precision rounds, as far as the file's footer tells.
    fn may_round(&self, file: &File, options: &DataOptions) -> Result<bool> {
        const EXACT: u64 = 1 << 53;
        let reader = reader(&self.watched, file)?;
        let unused: Vec<&Label> = options.ignore.iter().chain(&options.id).flat_map(|all| &all.0).collect();
        let unused: Vec<usize> =
            unused.iter().filter_map(|label| self.table.column("", label).ok()).collect();
        let groups = reader.metadata().row_groups().iter();
        let mut chunks = groups.flat_map(|group| group.columns().iter().enumerate());
        let may = |(column, chunk): (usize, &ColumnChunkMetaData)| {
            if chunk.column_type() != Type::INT64 || unused.contains(&column) {
                return false;
            }
            let sound = |end: Option<&i64>| end.is_some_and(|end| end.unsigned_abs() <= EXACT);
            match chunk.statistics() {
                Some(Statistics::Int64(own)) => !sound(own.min_opt()) || !sound(own.max_opt()),
                _ => true,
            }
        };
        Ok(chunks.any(may))
    }

    fn at(&self, column: usize, flaw: Flaw) -> Error {
        flaw.at(&self.table.names[column])
    }
}

fn footer_of(watched: &Watched, file: &File) -> Result<Groups> {
    let reader = reader(watched, file)?;
    let meta = reader.metadata().file_metadata();
    let (names, kinds): (Vec<String>, Vec<Kind>) = parquet::columns_of(meta).into_iter().unzip();
    check_size(meta.num_rows(), names.len(), NUMBERS_PER_BYTE.saturating_mul(watched.size()))?;
    let mut starts = vec![0];
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let rows = check_group(&*group, names.len())? as u64;
        starts.push(starts.last().map_or(0, |start| start + rows));
    }
    match (starts.last().copied().unwrap_or_default(), meta.num_rows() as u64) {
        (0, _) => return Err(damaged("no rows")),
        (rows, declared) if rows != declared => {
            return Err(damaged(format!("{rows} rows instead of {declared}")));
        }
        _ => {}
    }
    let index = parquet::index_columns(&names, meta);
    let columns = names.len();
    let table = Table { names, columns, values: Numbers::default(), index, ..Table::default() };
    Ok(Groups { watched: watched.clone(), table, kinds, starts })
}

/// The decoder checks most of what it reads, but not all: some damaged pages make it panic.
fn unpanicked<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| Err(damaged("damage that its decoder stopped at")))
}

/// What is wrong, in the file's name: that it was written to, if that may be why.
fn told(watched: &Watched, file: &File, error: Error) -> Error {
    watched.check(file).err().unwrap_or_else(|| error.in_file(watched.path()))
}

/// A decoder of the file, whose footer was checked.
fn reader(watched: &Watched, file: &File) -> Result<SerializedFileReader<Chunks>> {
    let io = |e| Error::io("read", watched.path(), e);
    let chunks = Chunks { file: file.try_clone().map_err(io)?, size: watched.size() };
    let mut end = chunks
        .get_bytes(watched.size().saturating_sub(TAIL), TAIL.min(watched.size()) as usize)
        .map_err(damaged)?;
    if let Some(length) = end.first_chunk::<4>().map(|length| u64::from(u32::from_le_bytes(*length))) {
        let whole = (length + TAIL).min(watched.size());
        end = chunks.get_bytes(watched.size() - whole, whole as usize).map_err(damaged)?;
    }
    footer::check(&end).map_err(damaged)?;
    SerializedFileReader::new(chunks).map_err(damaged)
}

impl Stream for Groups {
    fn table(&self) -> &Table {
        &self.table
    }

    fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    fn at(&self, row: u64) -> Result<Box<dyn Rows>> {
        let file = self.watched.open()?;
        let group = self.starts.partition_point(|start| *start <= row).saturating_sub(1);
        let opened = unpanicked(|| {
            let reader = reader(&self.watched, &file)?;
            let watched = self.watched.clone();
            let open =
                Open { file: file.try_clone().map_err(|e| Error::io("read", watched.path(), e))?, watched };
            let (table, kinds) = (self.table.clone(), self.kinds.clone());
            let mut rows = Group {
                open,
                reader,
                table,
                kinds,
                group,
                row,
                left: 0,
                columns: Vec::new(),
                values: Vec::new(),
            };
            if row < self.rows() {
                rows.enter((row - self.starts[group]) as usize)?;
            }
            Ok(rows)
        });
        Ok(Box::new(opened.map_err(|e| told(&self.watched, &file, e))?))
    }
}

/// A handle on the file.
struct Open {
    watched: Watched,
    file: File,
}

/// Rows of a group, and of those behind it.
struct Group {
    open: Open,
    reader: SerializedFileReader<Chunks>,
    /// Without its numbers.
    table: Table,
    kinds: Vec<Kind>,
    /// The group that comes next.
    group: usize,
    /// The next row of the file.
    row: u64,
    /// Rows left of the group whose columns are open.
    left: usize,
    columns: Vec<Box<dyn Column>>,
    /// Of one column.
    values: Vec<f64>,
}

impl Group {
    /// Opens the next group behind its first rows.
    fn enter(&mut self, behind: usize) -> Result<()> {
        let group = self.reader.get_row_group(self.group).map_err(damaged)?;
        let rows = check_group(&*group, self.kinds.len())?;
        self.columns.clear();
        let none = Seen::default();
        for (column, name) in self.table.names.iter().enumerate() {
            let seen = self.table.seen.get(column).unwrap_or(&none).clone();
            let opened = opened(&*group, column, &self.kinds[column], seen).and_then(|mut column| {
                column.skip(behind)?;
                Ok(column)
            });
            self.columns.push(opened.map_err(|flaw: Flaw| flaw.at(name))?);
        }
        self.left = rows.saturating_sub(behind);
        self.group += 1;
        Ok(())
    }

    fn pieces(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<()> {
        let mut wanted = rows;
        while wanted > 0 {
            if self.left == 0 {
                self.enter(0)?;
                continue;
            }
            let rows = wanted.min(self.left).min(PIECE);
            self.piece(rows, out)?;
            (wanted, self.left, self.row) = (wanted - rows, self.left - rows, self.row + rows as u64);
        }
        Ok(())
    }

    fn piece(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<()> {
        let (start, columns) = (out.len(), self.columns.len());
        out.resize(start + rows * columns, 0.0);
        for (at, (column, name)) in self.columns.iter_mut().zip(&self.table.names).enumerate() {
            self.values.clear();
            column.read(rows, &mut self.values).map_err(|flaw| flaw.at(name))?;
            for (row, value) in out[start..].chunks_exact_mut(columns).zip(&self.values) {
                row[at] = *value;
            }
        }
        Ok(())
    }
}

impl Rows for Group {
    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<()> {
        let read = unpanicked(|| self.pieces(rows, out));
        let Open { watched, file } = &self.open;
        watched.check(file)?;
        read.map_err(|e| e.in_file(watched.path()))
    }
}

/// A file that answers every lying offset with an error.
struct Chunks {
    file: File,
    size: u64,
}

impl Chunks {
    fn at(&self, start: u64) -> Decoded<File> {
        if start > self.size {
            return Err(ParquetError::EOF(format!("offset {start} lies behind the end of the file")));
        }
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(start))?;
        Ok(file)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Decoded<Self::T> {
        // Headers of pages are short.
        Ok(BufReader::with_capacity(512, self.at(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Decoded<Bytes> {
        let mut file = self.at(start)?;
        let missing = || {
            ParquetError::EOF(format!("{length} bytes at offset {start} reach behind the end of the file"))
        };
        if length as u64 > self.size - start {
            return Err(missing());
        }
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(|_| missing())?;
        Ok(bytes.into())
    }
}
