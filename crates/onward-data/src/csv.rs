//! Comma-separated numbers, with or without a header.

use csv::{ByteRecord, ReaderBuilder};
use onward::{Error, ErrorKind, Result, Segment};

use super::table::{Numbers, Table};
use super::{first_row, shorten};
use crate::memory;

/// The meaning of a CSV file's first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// Names or numbers, decided by its content; a row that may be either is refused.
    Auto,
    /// The names of the columns.
    Yes,
    /// Numbers like all others.
    No,
    /// Names if it has these among its own, in this order: those of the features of the data that this file goes with
    /// (none if those had no header). Otherwise as it looks; numbers alone are data.
    Like(&'a [String]),
}

/// Reads comma-separated numbers.
///
/// # Errors
/// [`ErrorKind::Data`], with line and column (both from 1), if a row has another length than the first, a field is missing
/// or not a finite number, the first row may be a header or not, or there are no rows.
pub fn read(bytes: &[u8], header: Header<'_>) -> Result<Table> {
    check_text(bytes)?;
    // A number takes two characters at least and eight bytes; a line without an end is held once more.
    memory::check("file", "its numbers", 4 * bytes.len() as u128)?;
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    let (mut table, mut values) = (Table::default(), Vec::new());
    while reader.read_byte_record(&mut record).map_err(malformed)? {
        let in_line = |flaw: Flaw, names: &[String]| flaw.at(line_of(bytes, &record), names);
        if table.columns == 0 {
            table.columns = record.len();
            if first_row::is_header(&record, header).map_err(|flaw| in_line(flaw, &[]))? {
                table.names = record.iter().map(name).collect();
                table.notes.extend(first_row::note(&record).filter(|_| header == Header::Auto));
                continue;
            }
        }
        push_row(&mut values, table.columns, &record).map_err(|flaw| in_line(flaw, &table.names))?;
    }
    if values.is_empty() {
        let found = if table.columns == 0 { "an empty file" } else { "only a header" };
        return Err(Error::expected(ErrorKind::Data, "file", "rows of numbers", found));
    }
    table.values = Numbers::Double(values);
    table.index = index_columns(&table, if let Header::Like(names) = header { names } else { &[] });
    Ok(table)
}

/// What the reader of records says.
pub(super) fn malformed(error: csv::Error) -> Error {
    Error::expected(ErrorKind::Data, "file", "comma-separated values", error)
}

/// Refuses what is no text at all, or in an encoding where commas are not single bytes.
pub(super) fn check_text(bytes: &[u8]) -> Result<()> {
    let found = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        [0x1f, 0x8b, ..] => "bytes packed by gzip (the file's name has to end in .csv.gz then)",
        _ => return Ok(()),
    };
    Err(Error::expected(ErrorKind::Data, "file", "text in UTF-8 or ASCII", found))
}

pub(super) fn name(field: &[u8]) -> String {
    String::from_utf8_lossy(field.trim_ascii()).into_owned()
}

pub(super) fn parse(field: &[u8]) -> Option<f64> {
    str::from_utf8(field.trim_ascii()).ok()?.parse().ok()
}

/// What programs write where there is no number.
pub(super) fn is_missing(field: &[u8]) -> bool {
    const WORDS: [&str; 11] = ["", "?", "-", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"];
    let field = field.trim_ascii();
    WORDS.iter().any(|word| field.eq_ignore_ascii_case(word.as_bytes()))
}

/// The separator of a field in which numbers stand apart by something else than commas.
fn other_separator(field: &[u8]) -> Option<char> {
    let field = field.trim_ascii();
    let apart = |separator: &u8| {
        let mut parts = field.split(|byte| byte == separator);
        field.contains(separator) && parts.all(|part| is_missing(part) || parse(part).is_some())
    };
    [b';', b'\t', b'|', b' '].into_iter().find(apart).map(char::from)
}

pub(super) fn push_row(values: &mut Vec<f64>, columns: usize, record: &ByteRecord) -> Result<(), Flaw> {
    if record.len() != columns {
        let column = record.len().min(columns);
        let found = format!("{} fields", record.len());
        return Err(Flaw { column, expected: format!("{columns} fields in every row"), found });
    }
    for (column, field) in record.iter().enumerate() {
        match parse(field) {
            Some(value) if value.is_finite() => values.push(value),
            _ => return Err(Flaw::no_number(column, field)),
        }
    }
    Ok(())
}

/// The leading columns that only say which row it is. pandas and R write them without a name (pandas reads such a one as
/// "Unnamed: 0"): such a column is left out if its numbers are whole and all different, or if the data that this file goes
/// with has no feature of its name (`known`).
fn index_columns(table: &Table, known: &[String]) -> Vec<usize> {
    let is_index = |&column: &usize| {
        let name = &table.names[column];
        is_nameless(name)
            && if known.is_empty() { numbers_rows(table, column) } else { !known.contains(name) }
    };
    (0..table.names.len().saturating_sub(1)).take_while(is_index).collect()
}

/// Whether programs write a column of row numbers under this name.
pub(super) fn is_nameless(name: &str) -> bool {
    name.is_empty() || name.starts_with("Unnamed: ")
}

/// Whether a column's numbers are whole, not below 0, and all different.
fn numbers_rows(table: &Table, column: usize) -> bool {
    let mut seen: Vec<f64> = table.values.iter().skip(column).step_by(table.columns).collect();
    seen.sort_unstable_by(f64::total_cmp);
    seen.iter().all(|v| v.fract() == 0.0 && *v >= 0.0) && seen.windows(2).all(|pair| pair[0] < pair[1])
}

/// What is wrong with a row, and in which column.
pub(super) struct Flaw {
    pub(super) column: usize,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Flaw {
    fn no_number(column: usize, field: &[u8]) -> Self {
        let quoted = shorten(field.trim_ascii());
        let found = if is_missing(field) { format!("a missing value, {quoted}") } else { quoted };
        Self::of_separator(column, field).unwrap_or(Self {
            column,
            expected: "a finite number".into(),
            found,
        })
    }

    /// The complaint about a field in which numbers stand that something else than commas separates.
    pub(super) fn of_separator(column: usize, field: &[u8]) -> Option<Self> {
        let separator = other_separator(field)?;
        let expected = format!("numbers separated by commas, not by {separator:?}");
        Some(Self { column, expected, found: shorten(field) })
    }

    pub(super) fn at(self, line: usize, names: &[String]) -> Error {
        let name = names.get(self.column).map(|name| shorten(name.as_bytes()));
        let place = Segment::Cell { line, column: self.column + 1, name };
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
        read(text.as_bytes(), Header::Auto).unwrap_err().to_string()
    }

    fn table(bytes: &[u8]) -> Table {
        read(bytes, Header::Auto).unwrap()
    }

    fn numbers(values: &[f64]) -> Numbers {
        Numbers::Double(values.to_vec())
    }

    #[test]
    fn reads_with_and_without_header() {
        let bare = table(b"1,2.5\n\n-3e1, 4\r\n");
        assert_eq!((&bare.names[..], &bare.values), (&[][..], &numbers(&[1.0, 2.5, -30.0, 4.0])));
        let named = table(b"\xef\xbb\xbf0, label \n5,1\n");
        assert_eq!(
            (&named.names[..], &named.values),
            (&["0".into(), "label".into()][..], &numbers(&[5.0, 1.0]))
        );
    }

    #[test]
    fn names_line_and_column_of_every_flaw() {
        let text = "line 4, column 2 (\"b\"): expected a finite number, found \"x\"";
        assert_eq!(error("a,b\n\n1,2\n3,x\n"), text);
        assert_eq!(
            error("4,2\n\n\r\n3,4,5\n"),
            "line 4, column 3: expected 2 fields in every row, found 3 fields"
        );
        assert_eq!(error("4,2\n3\n"), "line 2, column 2: expected 2 fields in every row, found 1 fields");
        for text in ["inf", "-infinity", "1e400"] {
            assert_eq!(
                error(&format!("{text},1")),
                format!("line 1, column 1: expected a finite number, found {text:?}")
            );
        }
        assert!(
            read(b"4,2\n3,\xff\n", Header::Auto).unwrap_err().to_string().starts_with("line 2, column 2: ")
        );
    }

    #[test]
    fn f05_a_missing_value_is_no_text() {
        for word in ["", "?", "-", "NA", "N/A", "NaN", "nan", "null", "None", " NULL ", "<NA>"] {
            let found = format!("expected a finite number, found a missing value, {:?}", word.trim());
            assert_eq!(error(&format!("7,{word},3\n")), format!("line 1, column 2: {found}"));
            assert_eq!(error(&format!("a,b,c\n7,{word},3\n")), format!("line 2, column 2 (\"b\"): {found}"));
        }
        assert_eq!(table(b"a,NA,c\n7,8,9\n").names, ["a", "NA", "c"], "a name among others may be any word");
    }

    #[test]
    fn other_separators_are_said() {
        for (text, separator) in
            [("1;2\n", "';'"), ("1\t2\n", "'\\t'"), ("1|2\n", "'|'"), ("1 2\n", "' '"), ("1,5;2,5", "';'")]
        {
            let expected = format!("expected numbers separated by commas, not by {separator}");
            assert!(error(text).contains(&expected), "{}", error(text));
        }
        assert!(
            error("a;b\n1;2\n")
                .starts_with("line 2, column 1 (\"a;b\"): expected numbers separated by commas")
        );
        assert!(read(b"\xff\xfea\0", Header::Auto).unwrap_err().to_string().contains("found UTF-16"));
        assert!(read(b"\x1f\x8b\x08", Header::Auto).unwrap_err().to_string().contains("packed by gzip"));
    }

    #[test]
    fn f06_an_unnamed_column_of_row_numbers_is_told_apart() {
        let index = |text: &str| table(text.as_bytes()).index;
        assert_eq!(index(",a,b\n0,5,5\n1,6,6\n2,7,7\n"), [0]);
        assert_eq!(index("Unnamed: 0.1,Unnamed: 0,a\n2,3,5\n0,1,6\n"), [0, 1]);
        assert_eq!(index("\"\",a\n\"1\",5\n\"2\",6\n"), [0]);
        assert_eq!(index(",a\n0.5,5\n1,6\n"), [] as [usize; 0], "not whole");
        assert_eq!(index(",a\n1,5\n1,6\n"), [] as [usize; 0], "not different");
        assert_eq!(index("a,b\n0,5\n1,6\n"), [] as [usize; 0], "named");
        let known = |text: &str, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
            read(text.as_bytes(), Header::Like(&names)).unwrap().index
        };
        assert_eq!(known(",a,b\n5,5,5\n5,6,6\n", &["a", "b"]), [0], "the data had no such feature");
        assert_eq!(known(",a,b\n1,5,5\n", &["", "a"]), [] as [usize; 0], "the data had one");
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
