//! Whether the first row of a CSV file has the names of its columns. What may be names or data is refused, so that no row
//! is lost and no names are trained on.

use csv::ByteRecord;
use std::collections::HashSet;

use super::csv::{Flaw, Header, is_missing, name};
use super::dialect::{Dialect, other_separator, parse};
use super::layout::{is_date, is_dressed};
use super::options::{Decimal, Separator};
use super::shorten;

/// With fewer columns than this, a first row 0, 1, … is as likely data.
const SURE: usize = 4;

/// Whether `record`, the first of its file, is a header; `rest` are the next ones, as far as the file's beginning goes.
pub(super) fn is_header(
    record: &ByteRecord,
    rest: &[ByteRecord],
    header: Header<'_>,
    dialect: Dialect,
) -> Result<bool, Flaw> {
    match header {
        Header::Yes => return Ok(true),
        Header::No => return Ok(false),
        Header::Like(names) if has_all(record, names) => return Ok(true),
        Header::Auto | Header::Like(_) => {}
    }
    let Dialect { separator, decimal } = dialect;
    let numbers = record.iter().filter(|field| is_number(field, decimal)).count();
    let texts = record.iter().filter(|field| is_text(field, decimal)).count();
    let below = Below { record, rest, decimal };
    match (texts, numbers) {
        (0, _) if header == Header::Auto && record.len() > 1 && counts(record, decimal) => {
            if numbers == record.len() && numbers < SURE {
                return Err(unsure(record));
            }
            Ok(true)
        }
        (0, _) => Ok(false),
        (_, 0) => {
            check_texts(record, separator)?;
            // Rows of another length are told of by whoever reads them.
            let is_short = rest.iter().any(|other| other.len() != record.len());
            if rest.is_empty() || is_short || below.has_numbers() {
                Ok(true)
            } else {
                below.words_alone(header)
            }
        }
        _ if counts(record, decimal)
            && record.iter().all(|field| !is_text(field, decimal) || is_word(field))
            && below.has_numbers() =>
        {
            Ok(true)
        }
        _ if below.is_one_of_them(header) => Ok(false),
        _ => Err(neither(record, dialect)),
    }
}

/// A first row and those below it.
struct Below<'a> {
    record: &'a ByteRecord,
    rest: &'a [ByteRecord],
    decimal: Decimal,
}

impl Below<'_> {
    fn column(&self, column: usize) -> impl Iterator<Item = &[u8]> {
        Self::fields(self.rest.iter(), column)
    }

    fn fields<'b>(
        rows: impl Iterator<Item = &'b ByteRecord>,
        column: usize,
    ) -> impl Iterator<Item = &'b [u8]> {
        rows.filter_map(move |record| record.get(column)).filter(|field| !is_missing(field))
    }

    /// Whether a column has numbers alone below its first field; the first row again, as where files were put one behind the other, is no
    /// data.
    fn is_of_numbers(&self, column: usize) -> bool {
        let others = self.rest.iter().filter(|record| *record != self.record);
        let mut fields = Self::fields(others, column).peekable();
        fields.peek().is_some() && fields.all(|field| is_number(field, self.decimal))
    }

    /// Whether numbers stand below a word.
    fn has_numbers(&self) -> bool {
        let words = (0..self.record.len()).filter(|column| is_text(&self.record[*column], self.decimal));
        words.into_iter().any(|column| self.is_of_numbers(column))
    }

    /// Whether a word of the first row stands in its column again.
    fn recurs(&self) -> bool {
        let again = |column: usize| {
            let own = self.record[column].trim_ascii();
            is_text(own, self.decimal) && self.column(column).any(|field| field.trim_ascii() == own)
        };
        (0..self.record.len()).any(again)
    }

    /// Whether a row of words and numbers is like those below it: no word stands above numbers, and one stands in its column again.
    fn is_one_of_them(&self, header: Header<'_>) -> bool {
        !self.has_numbers() && (self.recurs() || header == Header::Like(&[]))
    }

    /// Whether words above words are names: none stands in its column again, though in two columns at least words do.
    fn words_alone(&self, header: Header<'_>) -> Result<bool, Flaw> {
        if let Header::Like(names) = header {
            return Ok(!names.is_empty());
        }
        let repeats = |column: &usize| {
            let mut fields: Vec<&[u8]> = self.column(*column).map(<[u8]>::trim_ascii).collect();
            let all = fields.len();
            fields.sort_unstable();
            fields.dedup();
            2 * fields.len() <= all
        };
        match (self.recurs(), (0..self.record.len()).filter(repeats).count()) {
            (true, _) => Ok(false),
            (false, 2..) => Ok(true),
            (false, _) if self.has_figures() => Ok(true),
            (false, _) => Err(unsure(self.record)),
        }
    }

    /// Whether figures that are no plain numbers (prices, shares, dates) stand below a word.
    fn has_figures(&self) -> bool {
        let is_figure = |field: &[u8]| {
            let text = String::from_utf8_lossy(field.trim_ascii());
            is_dressed(&text) || is_date(&text)
        };
        let of_figures = |column: usize| {
            let mut fields = self.column(column).peekable();
            is_word(&self.record[column]) && fields.peek().is_some() && fields.all(is_figure)
        };
        (0..self.record.len()).any(of_figures)
    }
}

/// What to say of a header in which numbers stand.
pub(super) fn note(record: &ByteRecord, decimal: Decimal) -> Option<String> {
    let numbers: Vec<String> = record.iter().filter(|field| is_number(field, decimal)).map(name).collect();
    let listed = match numbers.as_slice() {
        [] => return None,
        [.., last] if numbers.len() > SURE => format!("{}, {}, …, {last}", numbers[0], numbers[1]),
        _ => numbers.join(", "),
    };
    Some(format!("the first row, with {listed}, is taken for a header (data.header = false makes it data)"))
}

fn is_number(field: &[u8], decimal: Decimal) -> bool {
    parse(field, decimal).is_some() && !is_missing(field)
}

fn is_text(field: &[u8], decimal: Decimal) -> bool {
    parse(field, decimal).is_none() && !is_missing(field)
}

/// Text that can be a name, where a number that is damaged or written in another way cannot.
fn is_word(field: &[u8]) -> bool {
    let name = name(field);
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !name.contains(char::is_control)
}

/// Whether `names` are among the fields; false if there are none.
fn has_all(record: &ByteRecord, names: &[String]) -> bool {
    let fields: HashSet<String> = record.iter().map(name).collect();
    !names.is_empty() && names.iter().all(|name| fields.contains(name))
}

/// Whether the numbers among the fields are 0, 1, … or 1, 2, …, in order or each at its place. A field before them may
/// be empty (as above an index), no other.
fn counts(record: &ByteRecord, decimal: Decimal) -> bool {
    let number = |(place, field): (usize, &[u8])| {
        let digits = field.trim_ascii();
        let plain = digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
        (place, plain.then(|| str::from_utf8(digits).ok()?.parse::<usize>().ok()).flatten())
    };
    let gap = record.iter().skip(1).any(is_missing) && !record.iter().any(|field| is_text(field, decimal));
    let numbers: Vec<(usize, Option<usize>)> =
        record.iter().enumerate().filter(|(_, field)| is_number(field, decimal)).map(number).collect();
    let all = |expected: fn(usize, usize) -> usize| {
        numbers.iter().enumerate().all(|(order, (place, n))| *n == Some(expected(order, *place)))
    };
    !gap && !numbers.is_empty()
        && (all(|order, _| order)
            || all(|order, _| order + 1)
            || all(|_, place| place)
            || all(|_, place| place + 1))
}

/// A row of words is a header, unless they are numbers that something else separates, or no text.
fn check_texts(record: &ByteRecord, separator: Separator) -> Result<(), Flaw> {
    for (column, field) in record.iter().enumerate() {
        if field.contains(&0) {
            return Err(Flaw { column, expected: "text without NUL bytes".into(), found: shorten(field) });
        }
        of_separator(column, field, separator).map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// The complaint about a field in which numbers stand that something else parts.
fn of_separator(column: usize, field: &[u8], own: Separator) -> Option<Flaw> {
    let separator = other_separator(field, own)?;
    let expected = format!("numbers parted by {:?} (data.separator), not by {separator:?}", own.name());
    Some(Flaw { column, expected, found: shorten(field) })
}

/// The complaint about a first row of words and numbers, at its first word.
fn neither(record: &ByteRecord, Dialect { separator, decimal }: Dialect) -> Flaw {
    let texts = || record.iter().enumerate().filter(|(_, field)| is_text(field, decimal));
    // A number that is damaged says more than a word that may be a name.
    let damaged = texts().find(|(_, field)| !is_word(field));
    let (column, field) = damaged.or_else(|| texts().next()).unwrap_or_default();
    let expected =
        "a number, since others stand beside it (data.header = true if these are names, false if they are data)".into();
    of_separator(column, field, separator).unwrap_or(Flaw { column, expected, found: shorten(field) })
}

fn unsure(record: &ByteRecord) -> Flaw {
    let found = record.iter().map(name).collect::<Vec<_>>().join(",");
    let expected = "data.header = true or false, since these may be names or data".into();
    Flaw { column: 0, expected, found }
}

#[cfg(test)]
mod tests {
    use super::super::csv::read;
    use super::*;

    /// The names that a file's first row was taken for, or the complaint.
    fn names(first: &str, header: Header<'_>) -> String {
        let columns = first.split(',').count();
        let text = format!("{first}\n{}\n", vec!["7"; columns].join(","));
        read(text.as_bytes(), &header.into()).map_or_else(|e| e.to_string(), |table| table.names.join(","))
    }

    #[test]
    fn f04_a_first_row_that_counts_is_a_header() {
        for first in
            ["0,1,2,3", "1,2,3,4", "0,1,2,3,4,5,6,7,8,9,10", ",0,1", "label,0,1,2", "0,1,2,label", "x,1,y,3"]
        {
            assert_eq!(names(first, Header::Auto), first);
            assert_eq!(names(first, Header::Yes), first);
        }
        for first in ["0,1,2,4", "5,1,2,3", "0,1,2,3.5", "00,1,2,3", "2,3,4,5"] {
            assert_eq!(names(first, Header::Auto), "");
        }
        assert_eq!(names("0,1,2,3", Header::No), "");
        let row = ByteRecord::from(vec!["0", "1", "2", "3", "4"]);
        assert!(note(&row, Decimal::Point).is_some_and(|note| note.contains("0, 1, …, 4")));
        assert_eq!(note(&ByteRecord::from(vec!["a", "b"]), Decimal::Point), None);
    }

    #[test]
    fn f04_few_columns_may_be_either() {
        for first in ["0,1", "1,2", "0,1,2", "1,2,3"] {
            let found = names(first, Header::Auto);
            assert!(
                found.starts_with("line 1") && found.contains("expected data.header = true or false"),
                "{found}"
            );
            assert_eq!(names(first, Header::No), "");
        }
    }

    #[test]
    fn r13_a_first_row_with_a_bad_field_is_not_lost() {
        for (first, column) in [
            ("0x10,2,0", 1),
            ("5,3\0,1", 2),
            ("1O,0,1", 1),
            ("pear,2,0", 1),
            ("5.1,3.5,setosa", 3),
            ("x,2018,2019", 1),
        ] {
            let found = names(first, Header::Auto);
            let place = format!("line 1, column {column}: expected a number");
            assert!(found.starts_with(&place) && found.contains("data.header"), "{found}");
        }
        assert_eq!(names("x,2018,2019", Header::Yes), "x,2018,2019");
    }

    #[test]
    fn a_word_above_prices_or_dates_is_a_name() {
        let read = |text: &str| read(text.as_bytes(), &Header::Auto.into());
        for text in
            ["price,y\n$5.50,no\n$6.75,yes\n", "share,y\n5%,no\n7%,yes\n", "x;y\n1.234,56;a\n7.000,10;b\n"]
        {
            assert_eq!(read(text).unwrap().names.len(), 2, "{text}");
        }
        assert!(read("pear,no\n$5.50,no\n").unwrap().names.is_empty(), "a word that comes again is none");
        assert!(read("x,y\na,b\nc,d\n").unwrap_err().to_string().contains("data.header"));
    }

    #[test]
    fn a_file_that_goes_with_others_has_their_header() {
        let known: Vec<String> = ["0", "1", "3"].map(String::from).to_vec();
        assert_eq!(names("0,1,3", Header::Like(&known)), "0,1,3");
        assert_eq!(names("0,1,2,3", Header::Like(&known)), "0,1,2,3");
        assert_eq!(names("0,1,2", Header::Like(&known)), "", "numbers alone are data");
        assert_eq!(names("0,1,2,3", Header::Like(&[])), "");
        assert_eq!(names("b,a,c", Header::Like(&known)), "b,a,c", "whose names are then compared");
    }
}
