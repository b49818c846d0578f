//! Comma-separated numbers, with or without a header.

use csv::{ByteRecord, ReaderBuilder};
use onward::{Error, ErrorKind, Result};

use super::shorten;
use super::table::Table;
use crate::memory;

/// Reads comma-separated numbers. A first row with any text in it is the header.
///
/// # Errors
/// [`ErrorKind::Data`], with line and column (both from 1), if a row has another length than the first, a field is not
/// a finite number, or there are no rows.
pub fn read(bytes: &[u8]) -> Result<Table> {
    // A number takes two characters at least and four bytes; a line without an end is held once more.
    memory::check("file", "its numbers", 2 * bytes.len() as u128)?;
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut table = Table::default();
    let malformed = |error| Error::expected(ErrorKind::Data, "file", "comma-separated values", error);
    while reader.read_byte_record(&mut record).map_err(malformed)? {
        if table.columns == 0 {
            table.columns = record.len();
            if record.iter().any(is_text) {
                table.names = record
                    .iter()
                    .map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned())
                    .collect();
                continue;
            }
        }
        push_row(&mut table, &record).map_err(|flaw| flaw.at(line_of(bytes, &record), &table.names))?;
    }
    if table.values.is_empty() {
        let found = if table.columns == 0 { "an empty file" } else { "only a header" };
        return Err(Error::expected(ErrorKind::Data, "file", "rows of numbers", found));
    }
    Ok(table)
}

/// An empty field is no text: it is a number that is missing.
fn is_text(field: &[u8]) -> bool {
    !field.trim_ascii().is_empty() && parse(field).is_none()
}

fn parse(field: &[u8]) -> Option<f32> {
    str::from_utf8(field.trim_ascii()).ok()?.parse().ok()
}

fn push_row(table: &mut Table, record: &ByteRecord) -> Result<(), Flaw> {
    if record.len() != table.columns {
        let column = record.len().min(table.columns);
        let found = format!("{} fields", record.len());
        return Err(Flaw { column, expected: format!("{} fields in every row", table.columns), found });
    }
    for (column, field) in record.iter().enumerate() {
        match parse(field) {
            Some(value) if value.is_finite() => table.values.push(value),
            _ => return Err(Flaw { column, expected: "a finite number".into(), found: shorten(field) }),
        }
    }
    Ok(())
}

struct Flaw {
    column: usize,
    expected: String,
    found: String,
}

impl Flaw {
    fn at(self, line: usize, names: &[String]) -> Error {
        let name =
            names.get(self.column).map(|name| format!(" ({})", shorten(name.as_bytes()))).unwrap_or_default();
        let place = format!("line {line}, column {}{name}", self.column + 1);
        Error::expected(ErrorKind::Data, place, self.expected, self.found)
    }
}

/// The line (from 1) that a record starts at. Its position may lie before blank lines that were skipped.
fn line_of(bytes: &[u8], record: &ByteRecord) -> usize {
    let position = record.position().map_or(0, |p| p.byte() as usize).min(bytes.len());
    let blank = bytes[position..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    1 + bytes[..position + blank].iter().filter(|&&b| b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_with_and_without_header() {
        let bare = read(b"1,2.5\n\n-3e1, 4\r\n").unwrap();
        assert_eq!(bare, Table { names: vec![], columns: 2, values: vec![1.0, 2.5, -30.0, 4.0] });
        let named = read(b"\xef\xbb\xbf0, label \n5,1\n").unwrap();
        assert_eq!(
            named,
            Table { names: vec!["0".into(), "label".into()], columns: 2, values: vec![5.0, 1.0] }
        );
    }

    #[test]
    fn names_line_and_column_of_every_flaw() {
        let text = "line 4, column 2 (\"b\"): expected a finite number, found \"x\"";
        assert_eq!(error("a,b\n\n1,2\n3,x\n"), text);
        assert_eq!(
            error("1,2\n\n\r\n3,4,5\n"),
            "line 4, column 3: expected 2 fields in every row, found 3 fields"
        );
        assert_eq!(error("1,2\n3\n"), "line 2, column 2: expected 2 fields in every row, found 1 fields");
        assert_eq!(error("1,,3\n"), "line 1, column 2: expected a finite number, found \"\"");
        for text in ["NaN", "inf", "-infinity", "1e50"] {
            assert_eq!(
                error(&format!("{text},1")),
                format!("line 1, column 1: expected a finite number, found {text:?}")
            );
        }
        assert!(read(b"1,2\n3,\xff\n").unwrap_err().to_string().starts_with("line 2, column 2: "));
    }

    #[test]
    fn refuses_a_file_without_rows() {
        assert_eq!(error(""), "file: expected rows of numbers, found an empty file");
        assert_eq!(error("\n\n"), "file: expected rows of numbers, found an empty file");
        assert_eq!(error("a,b\n"), "file: expected rows of numbers, found only a header");
    }

    #[test]
    fn a_long_field_does_not_fill_the_message() {
        assert!(error(&format!("1\n\"{}", "é".repeat(10_000))).len() < 200);
    }
}
