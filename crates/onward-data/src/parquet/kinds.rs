//! What the columns of a Parquet table hold: numbers, words, or what is not read, in words.

use onward::{Error, ErrorKind};
use parquet::basic::{Compression, ConvertedType, LogicalType, TimeUnit, Type};
use parquet::schema::types::ColumnDescriptor;

use super::Flaw;

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Number,
    Words,
    /// What is not read, in words.
    Other(&'static str),
}

/// Bytes that have no meaning of their own.
const BYTES: &str = "bytes without a meaning";

pub(super) fn kind_of(column: &ColumnDescriptor) -> Kind {
    use ConvertedType as C;
    if column.max_rep_level() > 0 || column.path().parts().len() > 1 {
        return Kind::Other("nested values");
    }
    let (logical, converted, physical) =
        (column.logical_type_ref(), column.converted_type(), column.physical_type());
    let is_byte_array = matches!(physical, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY);
    if scale_of(column).is_some() {
        return Kind::Number;
    }
    match (logical, converted) {
        (Some(LogicalType::Decimal(_)), _) | (None, C::DECIMAL) => {
            Kind::Other("decimals of a negative scale")
        }
        (Some(LogicalType::Float16), _) if physical == Type::FIXED_LEN_BYTE_ARRAY => Kind::Number,
        (Some(LogicalType::String | LogicalType::Enum), _) | (None, C::UTF8 | C::ENUM)
            if physical == Type::BYTE_ARRAY =>
        {
            Kind::Words
        }
        // Of no type are columns that have no value at all.
        (None | Some(LogicalType::Integer(_) | LogicalType::Unknown), _)
            if !is_byte_array && physical != Type::INT96 && !is_time(converted) =>
        {
            Kind::Number
        }
        (Some(LogicalType::Date), _) | (None, C::DATE) => Kind::Other("dates"),
        (Some(LogicalType::Time(_)), _) | (None, C::TIME_MILLIS | C::TIME_MICROS) => {
            Kind::Other("times of day")
        }
        (Some(LogicalType::Timestamp(_)), _) | (None, C::TIMESTAMP_MILLIS | C::TIMESTAMP_MICROS) => {
            Kind::Other("timestamps")
        }
        (None, C::INTERVAL) => Kind::Other("intervals of time"),
        (Some(LogicalType::Json), _) | (None, C::JSON) => Kind::Other("JSON"),
        (Some(LogicalType::Bson), _) | (None, C::BSON) => Kind::Other("BSON"),
        (Some(LogicalType::Uuid), _) => Kind::Other("UUIDs"),
        (Some(LogicalType::Geometry(_) | LogicalType::Geography(_)), _) => Kind::Other("shapes on a map"),
        (None, _) if physical == Type::INT96 => Kind::Other("timestamps (INT96)"),
        (None, _) if is_byte_array => Kind::Other(BYTES),
        _ => Kind::Other("values of a type that is not known"),
    }
}

fn is_time(converted: ConvertedType) -> bool {
    use ConvertedType as C;
    let times = [C::DATE, C::TIME_MILLIS, C::TIME_MICROS, C::TIMESTAMP_MILLIS, C::TIMESTAMP_MICROS];
    times.contains(&converted)
}

/// The digits behind the point of decimals; none of other numbers.
pub(super) fn scale_of(column: &ColumnDescriptor) -> Option<u32> {
    let scale = match column.logical_type_ref() {
        Some(LogicalType::Decimal(decimal)) => decimal.scale,
        None if column.converted_type() == ConvertedType::DECIMAL => column.type_scale(),
        _ => return None,
    };
    u32::try_from(scale).ok()
}

/// Whether a column's whole numbers have no sign.
pub(super) fn is_unsigned(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(LogicalType::Integer(kind)) => !kind.is_signed,
        _ => column.converted_type().to_string().starts_with("UINT"),
    }
}

/// The units in a second of a column of timestamps, and whether these are of UTC.
pub(super) fn unit_of(column: &ColumnDescriptor) -> Option<(i64, bool)> {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Timestamp(own)), _) => {
            let unit = match own.unit {
                TimeUnit::MILLIS => 1_000,
                TimeUnit::MICROS => 1_000_000,
                TimeUnit::NANOS => 1_000_000_000,
            };
            Some((unit, own.is_adjusted_to_u_t_c))
        }
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some((1_000, true)),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some((1_000_000, true)),
        _ => None,
    }
}

/// Refuses pages that this program cannot unpack.
pub(super) fn check_packing(name: &str, packing: Compression) -> Result<(), Flaw> {
    let found = match packing {
        Compression::BROTLI(_) if !cfg!(feature = "brotli") => "Brotli",
        Compression::LZO => "LZO",
        _ => return Ok(()),
    };
    let way = if found == "Brotli" {
        ", or a program built to read Brotli (cargo install --path crates/onward-cli --features brotli)"
    } else {
        ""
    };
    let expected = format!("pages packed by gzip, LZ4, Snappy or Zstandard, or not at all{way}");
    let place = format!("column {}", crate::shorten(name.as_bytes()));
    Err(Flaw::Error(Error::expected(ErrorKind::Data, place, expected, found)))
}
