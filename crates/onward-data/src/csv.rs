//! Text tables: fields parted by commas or something else, with or without a header.

use std::borrow::Cow;
use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};
use onward::{Error, ErrorKind, Result, Segment};

use super::dialect::{Dialect, SAMPLE};
use super::options::Separator;
pub use super::survey::Reading;
use super::survey::Survey;
use super::table::{Numbers, Seen, Table};
use super::{dialect, first_row, shorten, text};
use crate::memory;

/// The meaning of a text table's first row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header<'a> {
    /// Names or numbers, decided by its content; a row that may be either is refused.
    #[default]
    Auto,
    /// The names of the columns.
    Yes,
    /// Numbers like all others.
    No,
    /// Names if it has these among its own: those of the features of the data that this file goes with
    /// (none if those had no header). Otherwise as it looks; numbers alone are data.
    Like(&'a [String]),
}

impl<'a> From<Header<'a>> for Reading<'a> {
    fn from(header: Header<'a>) -> Self {
        Self { header, ..Self::default() }
    }
}

/// Reads a text table: numbers as they are, words and missing values as cells that are no numbers (see [`Table::seen`]).
///
/// # Errors
/// [`ErrorKind::Data`], with line and column (both from 1), if a row has another length than the first, the first row may be a header or
/// not, or there are no rows; without them, if the file's beginning may be read in more than one way.
pub fn read(bytes: &[u8], how: &Reading<'_>) -> Result<Table> {
    // A number takes two characters at least and eight bytes; a line without an end is held once more.
    memory::check("file", "its numbers", 4 * bytes.len() as u128)?;
    let (text, note) = text::decode(bytes, how.encoding)?;
    let begun = Begun::new(&text[..text.len().min(SAMPLE)], how)?;
    let text = begun.readable(text);
    let mut reader = begun.reader(&text[begun.skip..]);
    let (mut record, mut values) = (ByteRecord::new(), Vec::new());
    let (mut table, mut survey) = begun.table(how);
    table.notes.splice(0..0, note);
    let mut is_first = begun.has_header;
    while reader.read_byte_record(&mut record).map_err(malformed)? {
        if std::mem::take(&mut is_first) {
            continue;
        }
        let begin = begun.skip as u64 + record.position().map_or(0, csv::Position::byte);
        let seen = begun.check(&record).and_then(|()| survey.see(&record, begin, &mut values));
        seen.map_err(|flaw| flaw.at(line_of(&text, begin), &table.names))?;
    }
    if values.is_empty() {
        return Err(no_rows(&table));
    }
    survey.seen.iter_mut().flat_map(Seen::spots).for_each(|spot| spot.at = line_of(&text, spot.at) as u64);
    table.values = Numbers::Double(values);
    table.seen = survey.seen;
    table.index = index_columns(&table, if let Header::Like(names) = how.header { names } else { &[] });
    Ok(table)
}

/// What a text table's beginning tells of it.
pub(super) struct Begun {
    pub(super) dialect: Dialect,
    pub(super) has_header: bool,
    /// The bytes of a line before the first row, which says what parts fields.
    pub(super) skip: usize,
    first: ByteRecord,
    notes: Vec<String>,
}

impl Begun {
    /// Of a table that begins with this text.
    ///
    /// # Errors
    /// As for [`dialect::find`] and [`first_row::is_header`].
    pub(super) fn new(beginning: &[u8], how: &Reading<'_>) -> Result<Self> {
        let said = dialect::said(beginning);
        let skip = said.map_or(0, |(_, bytes)| bytes);
        let dialect =
            dialect::find(&beginning[skip..], how.separator.or(said.map(|(own, _)| own)), how.decimal)?;
        let mut records = dialect::records(&beginning[skip..], dialect.separator);
        let first = if records.is_empty() { ByteRecord::new() } else { records.remove(0) };
        let has_header = !first.is_empty()
            && first_row::is_header(&first, &records, how.header, dialect).map_err(|flaw| {
                let begin = skip as u64 + first.position().map_or(0, csv::Position::byte);
                flaw.at(line_of(beginning, begin), &[])
            })?;
        let sure = !has_header || how.header != Header::Auto;
        let note = if sure { None } else { first_row::note(&first, dialect.decimal) };
        let line = said.map(|(separator, _)| {
            format!("the first line says what parts the fields ({:?}), and is no row", separator.name())
        });
        let notes = line.into_iter().chain(note).collect();
        Ok(Self { dialect, has_header, skip, first, notes })
    }

    /// Refuses a header that comes again below the first row, as where files were put one behind the other.
    pub(super) fn check(&self, record: &ByteRecord) -> Result<(), Flaw> {
        if self.has_header && self.first.len() > 1 && *record == self.first {
            let (expected, found) = ("a row of data", "the names of the columns again");
            return Err(Flaw { column: 0, expected: expected.into(), found: found.into() });
        }
        Ok(())
    }

    /// The text as the reader of records takes it.
    fn readable<'a>(&self, text: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        match self.dialect.separator {
            Separator::Blanks => Cow::Owned(text::single_blanks(&text)),
            _ => text,
        }
    }

    /// A reader of such records.
    pub(super) fn reader<R: Read>(&self, from: R) -> Reader<R> {
        let mut builder = ReaderBuilder::new();
        builder
            .has_headers(false)
            .flexible(true)
            .delimiter(self.dialect.separator.byte())
            .buffer_capacity(1 << 18);
        builder.from_reader(from)
    }

    /// The table that begins so, and what looks at its rows.
    pub(super) fn table(&self, how: &Reading<'_>) -> (Table, Survey) {
        let names: Vec<String> = self.first.iter().filter(|_| self.has_header).map(name).collect();
        let columns = self.first.len();
        let survey = Survey::new(how, self.dialect, &names, columns);
        (Table { names, columns, by_line: true, notes: self.notes.clone(), ..Table::default() }, survey)
    }
}

/// A file without rows.
pub(super) fn no_rows(table: &Table) -> Error {
    let found = if table.columns == 0 { "an empty file" } else { "only a header" };
    Error::expected(ErrorKind::Data, "file", "rows of numbers", found)
}

/// What the reader of records says.
pub(super) fn malformed(error: csv::Error) -> Error {
    Error::expected(ErrorKind::Data, "file", "a table of text", error)
}

pub(super) fn name(field: &[u8]) -> String {
    String::from_utf8_lossy(field.trim_ascii()).into_owned()
}

/// What programs write where there is no number.
pub(super) fn is_missing(field: &[u8]) -> bool {
    const WORDS: [&str; 11] = ["", "?", "-", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"];
    const LONGEST: usize = 4;
    let field = field.trim_ascii();
    // Nearly all fields are numbers, and are not compared with words one by one.
    field.len() <= LONGEST
        && !field.first().is_some_and(u8::is_ascii_digit)
        && WORDS.iter().any(|word| field.eq_ignore_ascii_case(word.as_bytes()))
}

/// The leading columns that only say which row it is. pandas and R write them without a name (pandas reads such a one as
/// "Unnamed: 0"): such a column is left out if its numbers are whole and all different, or if the data that this file goes
/// with has no feature of its name (`known`).
fn index_columns(table: &Table, known: &[String]) -> Vec<usize> {
    let is_index = |&column: &usize| {
        let name = &table.names[column];
        is_nameless(name)
            && if known.is_empty() {
                numbers_rows(table, column) || table.seen[column].names_rows(table.rows() as u64)
            } else {
                !known.contains(name)
            }
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
    pub(super) fn at(self, line: usize, names: &[String]) -> Error {
        let name = names.get(self.column).map(|name| shorten(name.as_bytes()));
        let place = Segment::Cell { line, column: self.column + 1, name };
        Error::expected(ErrorKind::Data, place, self.expected, self.found)
    }
}

/// The line (from 1) of the record that begins behind so many bytes, of which some may be blank lines that were skipped.
fn line_of(bytes: &[u8], begin: u64) -> usize {
    let position = (begin as usize).min(bytes.len());
    let blank = bytes[position..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    1 + bytes[..position + blank].iter().filter(|&&b| b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read(text.as_bytes(), &Reading::default()).unwrap_err().to_string()
    }

    fn table(bytes: &[u8]) -> Table {
        read(bytes, &Reading::default()).unwrap()
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
    fn rows_of_another_length_are_told_by_line_and_column() {
        assert_eq!(
            error("4,2\n\n\r\n3,4,5\n"),
            "line 4, column 3: expected 2 fields in every row, found 3 fields"
        );
        assert_eq!(error("4,2\n3\n"), "line 2, column 2: expected 2 fields in every row, found 1 field");
    }

    #[test]
    fn what_is_no_number_is_kept_with_its_place() {
        let seen = table(b"a,b\n\n1,2\n3,x\n4,NA\n5,x\n").seen.remove(1);
        assert_eq!(
            (seen.numbers, seen.worded, seen.missing, &seen.words[..]),
            (1, 2, 1, &["x".to_owned()][..])
        );
        let place = |spot: Option<super::super::table::Spot>| spot.map(|spot| (spot.at, spot.found));
        assert_eq!(place(seen.first_word), Some((4, "\"x\"".into())));
        assert_eq!(place(seen.first_missing), Some((5, "a missing value, \"NA\"".into())));
        assert!(table(b"1,1\n3\0,1\n").seen[0].odd, "no word has a NUL");
        // Indium fluoride is a word among words, an infinity no number among numbers.
        assert_eq!(table(b"InF,1\nAgF,1\n").seen[0].words, ["InF", "AgF"]);
        assert_eq!(table(b"1,1\ninf,1\n").seen[0].worded, 1);
    }

    #[test]
    fn f05_a_missing_value_is_no_text() {
        for word in ["", "?", "-", "NA", "N/A", "NaN", "nan", "null", "None", " NULL ", "<NA>"] {
            let seen = table(format!("7,{word},3\n").as_bytes()).seen;
            assert_eq!((seen[1].missing, seen[1].worded), (1, 0), "{word}");
        }
        assert_eq!(table(b"a,NA,c\n7,8,9\n").names, ["a", "NA", "c"], "a name among others may be any word");
        let words = ["-9".to_owned(), "Gone".to_owned()];
        let own = Reading { missing: Some(&words), ..Reading::default() };
        let seen = read(b"-9,NA\n3,gone\n-9,x\n", &own).unwrap().seen;
        assert_eq!([seen[0].missing, seen[1].missing, seen[1].worded], [2, 1, 2]);
    }

    #[test]
    fn fields_are_parted_by_what_is_found_or_said() {
        for text in [
            "a;b\n1,5;2\n-0,5;3\n",
            "a\tb\n1.5\t2\n-.5\t3\n",
            "a|b\n1.5|2\n-.5|3\n",
            " a  b\n1.5 \t 2\n-.5   3\n",
        ] {
            let read = table(text.as_bytes());
            assert_eq!(
                (&read.names[..], &read.values),
                (&["a".to_owned(), "b".into()][..], &numbers(&[1.5, 2.0, -0.5, 3.0]))
            );
        }
        let said = Reading { separator: Some(Separator::Semicolon), ..Reading::default() };
        assert_eq!(read(b"1,2;3\n4,5;6\n", &said).unwrap().columns, 2);
        assert!(
            read(b"\x1f\x8b\x08", &Reading::default()).unwrap_err().to_string().contains("packed by gzip")
        );
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
            read(text.as_bytes(), &Header::Like(&names).into()).unwrap().index
        };
        assert_eq!(known(",a,b\n5,5,5\n5,6,6\n", &["a", "b"]), [0], "the data had no such feature");
        assert_eq!(known(",a,b\n1,5,5\n", &["", "a"]), [] as [usize; 0], "the data had one");
    }

    #[test]
    fn a_header_that_comes_again_is_told_by_its_line() {
        let again = "line 4, column 1 (\"a\"): expected a row of data, found the names of the columns again";
        assert_eq!(error("a,b\n1,2\n3,4\na,b\n5,6\n"), again);
        assert_eq!(error("a,kind\n1,x\n3,y\na,kind\n5,x\na,kind\n"), again);
        let named = Reading { header: Header::Yes, ..Reading::default() };
        assert!(read(b"a,b\nx,y\na,b\n", &named).unwrap_err().to_string().starts_with("line 3"));
        // Of one column of words a word may be its name.
        assert_eq!(read(b"a\nx\na\n", &named).unwrap().rows(), 2);
        assert_eq!(table(b"a,b\nx,y\na,b\nx,b\n").names, [""; 0], "words among words");
    }

    #[test]
    fn a_line_that_tells_excel_what_parts_fields_is_no_row() {
        let told = table(b"sep=;\r\na;b\r\n1,5;2\r\n3;x\r\n");
        assert_eq!((&told.names[..], told.rows()), (&["a".to_owned(), "b".into()][..], 2));
        assert_eq!(told.values.at(0), 1.5);
        assert_eq!(told.seen[1].first_word.as_ref().map(|spot| spot.at), Some(4));
        assert!(
            told.notes[0].contains("the first line says what parts the fields (\";\")"),
            "{:?}",
            told.notes
        );
        assert_eq!(table(b"\xef\xbb\xbfsep=,\n1,5\n").values, numbers(&[1.0, 5.0]));
        assert!(error("sep=,\n1,5\n3\n").starts_with("line 3, column 2"), "{}", error("sep=,\n1,5\n3\n"));
    }

    #[test]
    fn refuses_a_file_without_rows() {
        assert_eq!(error(""), "file: expected rows of numbers, found an empty file");
        assert_eq!(error("\n\n"), "file: expected rows of numbers, found an empty file");
        assert_eq!(error("a,b\n"), "file: expected rows of numbers, found only a header");
    }

    #[test]
    fn a_long_field_does_not_fill_the_message() {
        let seen = table(format!("1\n\"{}", "é".repeat(10_000)).as_bytes()).seen.remove(0);
        assert!(seen.first_word.unwrap().found.len() < 200);
    }
}
