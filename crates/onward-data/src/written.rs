//! Tables as files that others read.

#[cfg(feature = "parquet")]
use std::sync::Arc;

use onward::Result;
#[cfg(feature = "parquet")]
use onward::{Error, ErrorKind};
#[cfg(feature = "parquet")]
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    file::properties::WriterProperties,
    file::writer::SerializedFileWriter,
    schema::types::Type,
};

/// The bytes of a Parquet file with these columns, each a name and the texts of its rows. A column whose texts are all whole numbers, or all
/// numbers, exactly as these are written, holds numbers; every other column holds words.
///
/// # Errors
/// [`onward::ErrorKind::Data`] in a program built without the feature `parquet`, saying how it is built with it; [`onward::ErrorKind::Io`].
#[cfg(feature = "parquet")]
pub fn parquet(columns: &[(String, Vec<String>)]) -> Result<Vec<u8>> {
    write(columns, ROWS).map_err(|e| Error::new(ErrorKind::Io, format!("cannot write Parquet: {e}")))
}

/// Says how a program is built that writes Parquet.
///
/// # Errors
/// Always.
#[cfg(not(feature = "parquet"))]
pub fn parquet(_: &[(String, Vec<String>)]) -> Result<Vec<u8>> {
    Err(super::without_parquet())
}

/// Rows of a group, as others write them.
#[cfg(feature = "parquet")]
const ROWS: usize = 1 << 20;

#[cfg(feature = "parquet")]
enum Column {
    Whole(Vec<i64>),
    Numbers(Vec<f64>),
    Words(Vec<ByteArray>),
}

#[cfg(feature = "parquet")]
impl Column {
    fn of(texts: &[String]) -> Self {
        // What would come back otherwise, such as 007, is no number.
        fn exact<T: std::str::FromStr + ToString>(texts: &[String]) -> Option<Vec<T>> {
            let one = |text: &String| text.parse().ok().filter(|number: &T| number.to_string() == *text);
            texts.iter().map(one).collect()
        }
        match (exact(texts), exact(texts)) {
            (Some(whole), _) => Self::Whole(whole),
            (None, Some(numbers)) => Self::Numbers(numbers),
            (None, None) => Self::Words(texts.iter().map(|text| text.as_str().into()).collect()),
        }
    }

    fn declared(&self, name: &str) -> parquet::errors::Result<Type> {
        let (physical, logical) = match self {
            Self::Whole(_) => (Physical::INT64, None),
            Self::Numbers(_) => (Physical::DOUBLE, None),
            Self::Words(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let declared = Type::primitive_type_builder(name, physical).with_logical_type(logical);
        declared.with_repetition(Repetition::REQUIRED).build()
    }
}

#[cfg(feature = "parquet")]
pub(super) fn write(columns: &[(String, Vec<String>)], rows: usize) -> parquet::errors::Result<Vec<u8>> {
    let all: Vec<Column> = columns.iter().map(|(_, texts)| Column::of(texts)).collect();
    let fields = columns.iter().zip(&all).map(|((name, _), column)| column.declared(name).map(Arc::new));
    let fields = fields.collect::<parquet::errors::Result<_>>()?;
    let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build()?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let all_rows = columns.first().map_or(0, |(_, texts)| texts.len());
    for begin in (0..all_rows).step_by(rows) {
        let part = begin..(begin + rows).min(all_rows);
        let mut group = writer.next_row_group()?;
        for column in &all {
            let Some(mut place) = group.next_column()? else { break };
            let part = part.clone();
            match column {
                Column::Whole(all) => place.typed::<Int64Type>().write_batch(&all[part], None, None)?,
                Column::Numbers(all) => place.typed::<DoubleType>().write_batch(&all[part], None, None)?,
                Column::Words(all) => place.typed::<ByteArrayType>().write_batch(&all[part], None, None)?,
            };
            place.close()?;
        }
        group.close()?;
    }
    writer.into_inner()
}

#[cfg(all(test, feature = "parquet"))]
mod tests {
    use super::*;
    use crate::parquet::read;

    #[test]
    fn what_is_written_is_read_again() {
        let texts = |all: [&str; 3]| all.map(String::from).to_vec();
        let columns = [
            ("id".to_owned(), texts(["007", "8", "9"])),
            ("prediction".to_owned(), texts(["Adelie", "a,b", "é"])),
            ("n".to_owned(), texts(["-1", "0", "12"])),
            ("p".to_owned(), texts(["0.25", "1", "0.00000002675041"])),
        ];
        assert_eq!(parquet(&columns).unwrap(), write(&columns, 3).unwrap());
        let table = read(&write(&columns, 2).unwrap()).unwrap();
        assert_eq!(
            (&table.names[..], table.rows()),
            (&["id", "prediction", "n", "p"].map(String::from)[..], 3)
        );
        assert_eq!(table.seen[0].words, ["007", "8", "9"]);
        assert_eq!(table.seen[1].words, ["Adelie", "a,b", "é"]);
        assert_eq!(table.cells(2).collect::<Vec<_>>(), [-1.0, 0.0, 12.0]);
        assert_eq!(table.cells(3).collect::<Vec<_>>(), [0.25, 1.0, 0.000_000_026_750_41]);
    }
}
