//! Columns that say which row it is, as texts: whole numbers with all their digits, dates as ISO 8601 writes them.

use onward::words::date;
use onward::{Error, ErrorKind};
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::file::reader::RowGroupReader;
use parquet::schema::types::ColumnDescriptor;

use super::kinds::{Kind, is_unsigned, kind_of, scale_of, unit_of};
use super::{BATCH, Flaw, decode_values, exact, pages_of, table};

/// The texts of so many rows of a group's column; nothing where a value is missing.
pub(super) fn texts_of(
    group: &dyn RowGroupReader,
    column: usize,
    rows: usize,
    out: &mut Vec<String>,
) -> Result<(), Flaw> {
    let (pages, descriptor) = pages_of(group, column)?;
    let (unsigned, scale, kind) = (is_unsigned(&descriptor), scale_of(&descriptor), kind_of(&descriptor));
    let (unit, is_date) = (unit_of(&descriptor), kind == Kind::Other("dates"));
    if let (Kind::Other(found), false, None) = (&kind, is_date, unit) {
        return Err(unnameable(&descriptor, found));
    }
    match get_column_reader(descriptor, pages) {
        ColumnReader::Int32ColumnReader(r) if is_date => all(r, rows, out, |v| date(i64::from(v))),
        ColumnReader::Int32ColumnReader(r) if unsigned => all(r, rows, out, |v| (v as u32).to_string()),
        ColumnReader::Int32ColumnReader(r) => {
            all(r, rows, out, move |v| exact::text(&v.to_be_bytes(), scale.unwrap_or(0)))
        }
        ColumnReader::Int64ColumnReader(r) if unsigned => all(r, rows, out, |v| (v as u64).to_string()),
        ColumnReader::Int64ColumnReader(r) => all(r, rows, out, move |v| match unit {
            Some(unit) => moment(v, unit),
            None => exact::text(&v.to_be_bytes(), scale.unwrap_or(0)),
        }),
        ColumnReader::FixedLenByteArrayColumnReader(r) => all(r, rows, out, move |v| match scale {
            Some(scale) => exact::text(v.data(), scale),
            None => {
                let half = v.data().first_chunk().map(|pair| table::half(u16::from_le_bytes(*pair)));
                half.map_or_else(String::new, |half| half.to_string())
            }
        }),
        ColumnReader::ByteArrayColumnReader(r) => all(r, rows, out, move |v| match scale {
            Some(scale) => exact::text(v.data(), scale),
            None => String::from_utf8_lossy(v.data()).trim().to_owned(),
        }),
        ColumnReader::BoolColumnReader(r) => all(r, rows, out, |v| u8::from(v).to_string()),
        ColumnReader::FloatColumnReader(r) => all(r, rows, out, |v| v.to_string()),
        ColumnReader::DoubleColumnReader(r) => all(r, rows, out, |v| v.to_string()),
        ColumnReader::Int96ColumnReader(_) => Err(Flaw::Damage(format!("values of {}", Type::INT96))),
    }
}

fn unnameable(column: &ColumnDescriptor, found: &str) -> Flaw {
    let place = format!("column {}", crate::shorten(column.name().as_bytes()));
    let expected = "numbers, words, dates or timestamps, to say which row it is (data.id)";
    Flaw::Error(Error::expected(ErrorKind::Data, place, expected, found))
}

/// A moment of so many units since the beginning of 1970, and whether it is of UTC.
fn moment(since: i64, (units, is_utc): (i64, bool)) -> String {
    let (seconds, rest) = (since.div_euclid(units), since.rem_euclid(units));
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let decimals = units.ilog10() as usize;
    let rest = if rest > 0 { format!(".{rest:0decimals$}") } else { String::new() };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}{rest}{}", date(day), if is_utc { "Z" } else { "" })
}

fn all<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    out: &mut Vec<String>,
    text: impl Fn(T::T) -> String,
) -> Result<(), Flaw> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut left = rows;
    while left > 0 {
        let wanted = left.min(BATCH);
        left -= wanted;
        decode_values(&mut reader, wanted, (&mut values, &mut levels), |value| {
            out.push(value.map_or_else(String::new, &text));
            Ok(())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        assert_eq!(moment(1_709_251_199_000, (1_000, true)), "2024-02-29T23:59:59Z");
        assert_eq!(moment(-1, (1_000_000, false)), "1969-12-31T23:59:59.999999");
        assert_eq!(moment(1, (1_000_000_000, true)), "1970-01-01T00:00:00.000000001Z");
    }
}
