//! Parquet files, made and read.

use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{
    ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type,
    Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;

use super::kinds::kind_of;
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
pub(crate) fn numbers_file<const N: usize>(names: &[&str; N], rows: &[[f64; N]], group: usize) -> Vec<u8> {
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
fn nulls_are_missing_values() {
    let table = read(&parquet(Compression::SNAPPY, 5, None)).unwrap();
    assert_eq!((table.seen[1].missing, table.seen[1].numbers), (2, 8));
    assert!(table.values.at(4 + 1).is_nan() && table.values.at(2 * 4 + 1) == 2.0);
    assert_eq!(table.seen[1].first_missing.as_ref().map(|spot| spot.at), Some(1));
}

/// A file of one column of byte arrays.
fn bytes_file(column: &str, values: &[&[u8]], levels: Option<&[i16]>) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message m {{ {column} }}")).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let is_fixed = column.contains("fixed");
    let mut column = group.next_column().unwrap().unwrap();
    if is_fixed {
        let values: Vec<_> = values.iter().map(|v| FixedLenByteArray::from(v.to_vec())).collect();
        column.typed::<FixedLenByteArrayType>().write_batch(&values, levels, None).unwrap();
    } else {
        let values: Vec<_> = values.iter().map(|v| ByteArray::from(v.to_vec())).collect();
        column.typed::<ByteArrayType>().write_batch(&values, levels, None).unwrap();
    }
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn words_decimals_and_halves_are_read() {
    let words =
        read(&bytes_file("optional binary t (UTF8);", &[b"red", b"blue", b"red"], Some(&[1, 0, 1, 1])))
            .unwrap();
    assert_eq!(
        (&words.seen[0].words[..], words.seen[0].missing),
        (&["red".to_owned(), "blue".into()][..], 1)
    );
    assert_eq!(words.seen[0].worded, 3);
    let decimals = [&[0, 123][..], &[255, 133]];
    let table =
        read(&bytes_file("required fixed_len_byte_array(2) t (DECIMAL(4, 2));", &decimals, None)).unwrap();
    assert_eq!(table.values, Numbers::Double(vec![1.23, -1.23]));
    let halves = [&[0, 0x3c][..], &[0, 0xc1]];
    let table = read(&bytes_file("required fixed_len_byte_array(2) t (FLOAT16);", &halves, None)).unwrap();
    assert_eq!(table.values, Numbers::Double(vec![1.0, -2.5]));
}

#[test]
fn what_is_not_read_says_what_it_is() {
    for (column, found) in [
        ("required int32 t (DATE);", "dates"),
        ("required int64 t (TIMESTAMP(MICROS, true));", "timestamps"),
        ("required int64 t (TIMESTAMP_MILLIS);", "timestamps"),
        ("required int32 t (TIME(MILLIS, true));", "times of day"),
        ("required fixed_len_byte_array(16) t (UUID);", "UUIDs"),
        ("required binary t (JSON);", "JSON"),
        ("required binary t;", "bytes without a meaning"),
        ("required int96 t;", "timestamps (INT96)"),
        ("repeated int32 t;", "nested values"),
        ("required group t { required int32 u; }", "nested values"),
    ] {
        let schema = parse_message_type(&format!("message m {{ {column} }}")).unwrap();
        let descriptor = SchemaDescriptor::new(Arc::new(schema));
        assert!(kind_of(&descriptor.column(0)) == Kind::Other(found), "{column}");
    }
}

#[test]
fn decimals_of_any_length_are_the_nearest_numbers() {
    let wide = |whole: i128| {
        let sign = if whole < 0 { 255 } else { 0 };
        [vec![sign; 16], whole.to_be_bytes().to_vec()].concat()
    };
    let all = [123_456, -5, 12_345_678_901_234_567_890].map(wide);
    let all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let table =
        read(&bytes_file("required fixed_len_byte_array(32) t (DECIMAL(70, 4));", &all, None)).unwrap();
    assert_eq!(table.values, Numbers::Double(vec![12.3456, -0.0005, 1_234_567_890_123_456.8]));
    let table =
        read(&bytes_file("required fixed_len_byte_array(32) t (DECIMAL(70, 30));", &all, None)).unwrap();
    assert_eq!(table.values, Numbers::Double(vec![1.23456e-25, -5e-30, 1.234_567_890_123_456_8e-11]));
    assert_eq!((table.seen[0].missing, table.seen[0].numbers), (0, 3));
}

/// A file of a column of whole numbers, one of timestamps and one of words.
fn named_rows() -> Vec<u8> {
    let schema = "message m { required int64 id; required int64 when (TIMESTAMP(MILLIS, true)); required binary w (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for values in [[9_007_199_254_740_993, 5], [1_709_251_199_000, 0]] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    let words = [ByteArray::from("b 1"), ByteArray::from("a")];
    column.typed::<ByteArrayType>().write_batch(&words, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn names_of_rows_are_texts_with_all_their_digits() {
    let all: Vec<Label> = ["id", "when", "w"].map(|name| Label::Name(name.into())).to_vec();
    let table = read_with_texts(&named_rows(), &all).unwrap();
    assert_eq!(table.texts(0), ["9007199254740993", "5"]);
    assert_eq!(table.texts(1), ["2024-02-29T23:59:59Z", "1970-01-01T00:00:00Z"]);
    assert_eq!(table.texts(2), ["b 1", "a"]);
    assert_eq!(table.seen[0].rounded.as_deref(), Some("9007199254740993"), "as a number it is rounded");
    let bytes = bytes_file("required binary t;", &[b"x"], None);
    let refused = read_with_texts(&bytes, &[Label::Position(0)]).unwrap_err().to_string();
    assert!(refused.contains("data.id") && refused.ends_with("found bytes without a meaning"), "{refused}");
}

#[test]
fn what_no_column_can_be_of_is_told_without_a_row() {
    let table = read(&named_rows()).unwrap();
    let spot = table.seen[1].first_word.clone().unwrap();
    let expected =
        "column \"when\": expected numbers or words (data.ignore leaves the column out), found timestamps";
    assert_eq!(table.flaw(1, &spot, "").to_string(), expected);
}

#[cfg(not(feature = "brotli"))]
#[test]
fn pages_that_cannot_be_unpacked_say_which_program_can() {
    let bytes = numbers_file(&["a"], &[[1.0], [2.0]], 2);
    // The codec is a number of the footer: Snappy is 1, Brotli 4.
    let codec = |at: usize| {
        let mut other = bytes.clone();
        other[at] = 8;
        read(&other).err().map(|e| e.to_string()).filter(|e| e.contains("Brotli"))
    };
    let said = (0..bytes.len()).filter(|at| bytes[*at] == 2).find_map(codec).unwrap();
    assert!(
        said.starts_with("column \"a\": expected pages packed by gzip, LZ4, Snappy or Zstandard"),
        "{said}"
    );
    assert!(said.contains("--features brotli") && said.ends_with("found Brotli"), "{said}");
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
