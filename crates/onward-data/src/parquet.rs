//! Parquet tables of numeric columns.

use std::panic::{AssertUnwindSafe, catch_unwind};

use onward::{Error, ErrorKind, Result};
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::metadata::FileMetaData;
use parquet::file::reader::{FileReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;

use super::footer;
use super::gz::MOST;
use super::pages::{CheckedPages, InMemory};
use super::shorten;
use super::table::{Numbers, Table};

/// Runs and dictionaries pack equal numbers without limit; more than this many per byte of file are refused.
pub(super) const NUMBERS_PER_BYTE: u64 = 1 << 16;

/// How many values are decoded at once.
const BATCH: usize = 1 << 14;

/// Reads a Parquet file whose columns are all booleans, integers or floats of 32 or 64 bits, without nulls.
///
/// # Errors
/// [`ErrorKind::Data`] if the file is damaged, a column is not numeric, or a value is null.
pub fn read(bytes: &[u8]) -> Result<Table> {
    // The decoder checks most of what it reads, but not all: some damaged pages make it panic.
    let table = catch_unwind(AssertUnwindSafe(|| read_groups(bytes)));
    table.unwrap_or_else(|_| Err(damaged("damage that its decoder stopped at")))
}

fn read_groups(bytes: &[u8]) -> Result<Table> {
    footer::check(bytes).map_err(damaged)?;
    let reader = SerializedFileReader::new(InMemory::new(bytes)).map_err(damaged)?;
    let meta = reader.metadata().file_metadata();
    let names = column_names(meta)?;
    let most = (MOST / 8).min(NUMBERS_PER_BYTE.saturating_mul(bytes.len() as u64));
    check_size(meta.num_rows(), names.len(), most)?;
    let mut values = Vec::new();
    let rows_of = |values: &[f64]| (values.len() / names.len().max(1)) as i64;
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let left = meta.num_rows() - rows_of(&values);
        match group.metadata().num_rows() {
            rows if (0..=left).contains(&rows) => read_group(&mut values, &names, &*group)?,
            rows => return Err(damaged(format!("a group of {rows} rows where at most {left} are left"))),
        }
    }
    match rows_of(&values) {
        0 => Err(damaged("no rows")),
        rows if rows == meta.num_rows() => {
            let index = index_columns(&names, meta);
            let columns = names.len();
            Ok(Table { names, columns, values: Numbers::Double(values), index, ..Table::default() })
        }
        rows => Err(damaged(format!("{rows} rows instead of {}", meta.num_rows()))),
    }
}

/// The names of a table's columns, all of which are numbers.
pub(super) fn column_names(meta: &FileMetaData) -> Result<Vec<String>> {
    let schema = meta.schema_descr().columns();
    schema.iter().try_for_each(|column| check_column(column))?;
    Ok(schema.iter().map(|column| column.name().to_string()).collect())
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

fn check_column(column: &ColumnDescriptor) -> Result<()> {
    use ConvertedType as C;
    let logical = column.logical_type_ref();
    let number = matches!(
        column.physical_type(),
        Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE
    ) && matches!(logical, None | Some(LogicalType::Integer(_)))
        && matches!(
            column.converted_type(),
            C::NONE
                | C::INT_8
                | C::INT_16
                | C::INT_32
                | C::INT_64
                | C::UINT_8
                | C::UINT_16
                | C::UINT_32
                | C::UINT_64
        );
    let flat = column.max_rep_level() == 0 && column.path().parts().len() == 1;
    if number && flat {
        return Ok(());
    }
    let found = match logical {
        _ if !flat => "nested values".to_string(),
        Some(logical) => shorten(format!("{logical:?}").as_bytes()),
        None => format!("{} {}", column.physical_type(), column.converted_type()),
    };
    let place = format!("column {}", shorten(column.path().string().as_bytes()));
    Err(Error::expected(ErrorKind::Data, place, "booleans, integers, or floats of 32 or 64 bits", found))
}

/// Appends a row group: its columns are decoded one after the other and laid down as rows.
fn read_group(table: &mut Vec<f64>, names: &[String], group: &dyn RowGroupReader) -> Result<()> {
    let columns = names.len();
    let first_row = table.len() / columns.max(1);
    let rows = check_group(group, columns)?;
    let start = table.len();
    let mut values = Vec::new();
    for (column, name) in names.iter().enumerate() {
        values.clear();
        let decoded =
            open_column(group, column).and_then(|mut column| decode(&mut *column, rows, &mut values));
        decoded.map_err(|flaw| flaw.at(name, first_row))?;
        if column == 0 {
            table.resize(start + rows * columns, 0.0);
        }
        for (row, value) in table[start..].chunks_exact_mut(columns).zip(&values) {
            row[column] = *value;
        }
    }
    Ok(())
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
        column.read(BATCH.min(rows - before), out).map_err(|flaw| flaw.behind(before))?;
    }
    Ok(())
}

/// A column of one row group, decoded from its front.
pub(super) trait Column: Send {
    /// Appends the next `rows` numbers.
    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<(), Flaw>;

    /// Passes over the next `rows` numbers: whole pages are not unpacked.
    fn skip(&mut self, rows: usize) -> Result<(), Flaw>;
}

/// A decoder with room for what it decodes at once.
struct Typed<T: DataType, F> {
    reader: ColumnReaderImpl<T>,
    to_f64: F,
    values: Vec<T::T>,
    levels: Vec<i16>,
}

impl<T: DataType, F: Fn(T::T) -> f64 + Send> Column for Typed<T, F> {
    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<(), Flaw> {
        let mut left = rows;
        while left > 0 {
            self.values.clear();
            self.levels.clear();
            let (records, ..) =
                self.reader.read_records(left, Some(&mut self.levels), None, &mut self.values)?;
            if let Some(null) = self.levels.iter().position(|&level| level == 0) {
                return Err(Flaw::Null(rows - left + null));
            }
            if records == 0 || self.values.len() != records {
                return Err(Flaw::Damage(format!(
                    "{} values fewer than rows",
                    left - self.values.len().min(left)
                )));
            }
            out.extend(self.values.drain(..).map(&self.to_f64));
            left -= records;
        }
        Ok(())
    }

    fn skip(&mut self, rows: usize) -> Result<(), Flaw> {
        match self.reader.skip_records(rows)? {
            skipped if skipped == rows => Ok(()),
            skipped => Err(Flaw::Damage(format!("{} values fewer than rows", rows - skipped))),
        }
    }
}

/// The decoder of a group's column.
pub(super) fn open_column(group: &dyn RowGroupReader, column: usize) -> Result<Box<dyn Column>, Flaw> {
    fn typed<T: DataType>(
        reader: ColumnReaderImpl<T>,
        to_f64: impl Fn(T::T) -> f64 + Send + 'static,
    ) -> Result<Box<dyn Column>, Flaw> {
        Ok(Box::new(Typed { reader, to_f64, values: Vec::new(), levels: Vec::new() }))
    }
    let chunk = group.metadata().column(column);
    if chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()) < 0 || chunk.compressed_size() < 0 {
        return Err(Flaw::Damage("a negative offset or size".into()));
    }
    let descriptor = chunk.column_descr_ptr();
    let unsigned = match descriptor.logical_type_ref() {
        Some(LogicalType::Integer(kind)) => !kind.is_signed,
        _ => descriptor.converted_type().to_string().starts_with("UINT"),
    };
    let pages = CheckedPages::new(group.get_column_page_reader(column)?, &descriptor);
    match get_column_reader(descriptor, Box::new(pages)) {
        ColumnReader::BoolColumnReader(r) => typed(r, |v| f64::from(u8::from(v))),
        ColumnReader::Int32ColumnReader(r) if unsigned => typed(r, |v| f64::from(v as u32)),
        ColumnReader::Int32ColumnReader(r) => typed(r, f64::from),
        ColumnReader::Int64ColumnReader(r) if unsigned => typed(r, |v| v as u64 as f64),
        ColumnReader::Int64ColumnReader(r) => typed(r, |v| v as f64),
        ColumnReader::FloatColumnReader(r) => typed(r, f64::from),
        ColumnReader::DoubleColumnReader(r) => typed(r, |v| v),
        _ => Err(Flaw::Damage("a column that is not of its declared type".into())),
    }
}

/// What is wrong with a column.
pub(super) enum Flaw {
    /// No number in this row, counted from where reading began.
    Null(usize),
    /// Bytes that cannot be.
    Damage(String),
}

impl From<ParquetError> for Flaw {
    fn from(error: ParquetError) -> Self {
        Self::Damage(error.to_string())
    }
}

impl Flaw {
    /// The same, told by what began so many rows earlier.
    fn behind(self, rows: usize) -> Self {
        match self {
            Self::Null(row) => Self::Null(rows + row),
            damage => damage,
        }
    }

    pub(super) fn at(self, column: &str, first_row: usize) -> Error {
        let column = shorten(column.as_bytes());
        let (place, expected, found) = match self {
            Self::Null(row) => {
                (format!("row {} (from 0), column {column}", first_row + row), "a number", "null".into())
            }
            Self::Damage(found) => (format!("column {column}"), "undamaged pages", found),
        };
        Error::expected(ErrorKind::Data, place, expected, found)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use parquet::basic::{Compression, GzipLevel, ZstdLevel};
    use parquet::data_type::{DoubleType, FloatType, Int32Type, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    const SCHEMA: &str = "message m { required float a; optional double b; required int32 c (INTEGER(8, false)); optional int64 label; }";

    /// A Parquet file of `rows` rows a, b, c, label in each of two groups; `None` leaves a null in b of row 1.
    pub(crate) fn parquet(compression: Compression, rows: i32, b: Option<f64>) -> Vec<u8> {
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        for _ in 0..2 {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let a: Vec<_> = (0..rows).map(|v| v as f32 / 2.0).collect();
            column.typed::<FloatType>().write_batch(&a, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let mut levels = vec![1; rows as usize];
            levels[1] = i16::from(b.is_some());
            let b: Vec<_> = (0..rows).map(f64::from).filter(|&v| b.is_some() || v != 1.0).collect();
            column.typed::<DoubleType>().write_batch(&b, Some(&levels), None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let c: Vec<_> = (0..rows).map(|v| 200 + v % 3).collect();
            column.typed::<Int32Type>().write_batch(&c, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let label: Vec<_> = (0..rows).map(|v| i64::from(v % 2)).collect();
            column.typed::<Int64Type>().write_batch(&label, Some(&vec![1; rows as usize]), None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    /// A Parquet file of these rows under these names, in groups of so many rows and pages of a few.
    pub(crate) fn numbers_file<const N: usize>(
        names: &[&str; N],
        rows: &[[f64; N]],
        group: usize,
    ) -> Vec<u8> {
        let builder = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let builder = builder.set_data_page_row_count_limit(100).set_write_batch_size(50);
        let columns: String = names.iter().map(|name| format!("required double {name}; ")).collect();
        let schema = Arc::new(parse_message_type(&format!("message m {{ {columns} }}")).unwrap());
        let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(builder.build())).unwrap();
        for rows in rows.chunks(group) {
            let mut group = writer.next_row_group().unwrap();
            for at in 0..N {
                let values: Vec<f64> = rows.iter().map(|row| row[at]).collect();
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<DoubleType>().write_batch(&values, None, None).unwrap();
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[test]
    fn reads_the_common_compressions() {
        let packings = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::LZ4_RAW,
            Compression::ZSTD(ZstdLevel::default()),
        ];
        for packing in packings {
            let table = read(&parquet(packing, 5, Some(1.0))).unwrap();
            assert_eq!(table.names, ["a", "b", "c", "label"]);
            assert_eq!(table.rows(), 10);
            let values: Vec<f64> = table.values.iter().collect();
            assert_eq!(values[12..20], [1.5, 3.0, 200.0, 1.0, 2.0, 4.0, 201.0, 0.0]);
            assert_eq!(values[..20], values[20..]);
        }
    }

    #[test]
    fn reads_more_than_a_batch() {
        let rows = 2 * BATCH + 7;
        let table = read(&parquet(Compression::SNAPPY, rows as i32, Some(1.0))).unwrap();
        assert_eq!(table.rows(), 2 * rows);
        assert!((0..2 * rows).all(|row| table.values.at(4 * row + 1) == (row % rows) as f64));
    }

    #[test]
    fn refuses_nulls_and_text() {
        let error = read(&parquet(Compression::SNAPPY, 5, None)).unwrap_err().to_string();
        assert_eq!(error, "row 1 (from 0), column \"b\": expected a number, found null");
        let columns = [
            "required binary t (UTF8);",
            "required int32 t (DATE);",
            "required int64 t (DECIMAL(10, 2));",
            "required int96 t;",
            "repeated int32 t;",
            "required group t { required int32 u; }",
        ];
        for column in columns {
            let schema = Arc::new(parse_message_type(&format!("message m {{ {column} }}")).unwrap());
            let writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
            let error = read(&writer.into_inner().unwrap()).unwrap_err().to_string();
            assert!(error.starts_with("column \"t") && error.contains("expected booleans"), "{error}");
        }
    }

    #[test]
    fn refuses_every_truncation() {
        let bytes = parquet(Compression::SNAPPY, 3, Some(1.0));
        (0..bytes.len()).for_each(|end| assert!(read(&bytes[..end]).is_err(), "cut at {end}"));
        assert!(read(&[]).is_err());
    }

    #[test]
    fn survives_every_flipped_byte() {
        let bytes = parquet(Compression::SNAPPY, 3, Some(1.0));
        let whole = read(&bytes).unwrap();
        let same = |at: usize| {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x55;
            read(&flipped).is_ok_and(|table| table == whole)
        };
        assert!((0..bytes.len()).filter(|&at| same(at)).count() < bytes.len() / 2, "most bytes matter");
    }

    #[test]
    fn refuses_more_numbers_than_a_file_can_mean() {
        assert!(check_size(1 << 40, 4, 1 << 26).is_err());
        assert!(check_size(-1, 4, 1000).is_err());
        assert!(check_size(i64::MAX, usize::MAX, u64::MAX).is_err());
        assert!(check_size(60_000, 785, 1 << 30).is_ok());
    }
}
