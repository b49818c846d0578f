//! Whether the first row of a CSV file has the names of its columns. What may be names or data is refused, so that no row
//! is lost and no names are trained on.

use csv::ByteRecord;

use super::csv::{Flaw, Header, is_missing, name, parse};
use super::shorten;

/// With fewer columns than this, a first row 0, 1, … is as likely data.
const SURE: usize = 4;

/// Whether `record`, the first of its file, is a header.
pub(super) fn is_header(record: &ByteRecord, header: Header<'_>) -> Result<bool, Flaw> {
    match header {
        Header::Yes => return Ok(true),
        Header::No => return Ok(false),
        Header::Like(names) if has_all(record, names) => return Ok(true),
        Header::Auto | Header::Like(_) => {}
    }
    let count = |is: fn(&[u8]) -> bool| record.iter().filter(|field| is(field)).count();
    let (numbers, texts) = (count(is_number), count(is_text));
    match (texts, numbers) {
        (0, _) if header == Header::Auto && record.len() > 1 && counts(record) => {
            if numbers == record.len() && numbers < SURE {
                return Err(unsure(record));
            }
            Ok(true)
        }
        (0, _) => Ok(false),
        (_, 0) => check_texts(record).map(|()| true),
        _ if counts(record) && record.iter().all(|field| !is_text(field) || is_word(field)) => Ok(true),
        _ => Err(neither(record)),
    }
}

/// What to say of a header in which numbers stand.
pub(super) fn note(record: &ByteRecord) -> Option<String> {
    let numbers: Vec<String> = record.iter().filter(|field| is_number(field)).map(name).collect();
    let listed = match numbers.as_slice() {
        [] => return None,
        [.., last] if numbers.len() > SURE => format!("{}, {}, …, {last}", numbers[0], numbers[1]),
        _ => numbers.join(", "),
    };
    Some(format!("the first row, with {listed}, is taken for a header (data.header = false makes it data)"))
}

fn is_number(field: &[u8]) -> bool {
    parse(field).is_some() && !is_missing(field)
}

fn is_text(field: &[u8]) -> bool {
    parse(field).is_none() && !is_missing(field)
}

/// Text that can be a name, where a number that is damaged or written in another way cannot.
fn is_word(field: &[u8]) -> bool {
    let name = name(field);
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && !name.contains(char::is_control)
}

/// Whether `names` are among the fields, in this order; false if there are none.
fn has_all(record: &ByteRecord, names: &[String]) -> bool {
    let mut fields = record.iter().map(name);
    !names.is_empty() && names.iter().all(|name| fields.any(|field| field == *name))
}

/// Whether the numbers among the fields are 0, 1, … or 1, 2, …, in order or each at its place. A field before them may
/// be empty (as above an index), no other.
fn counts(record: &ByteRecord) -> bool {
    let number = |(place, field): (usize, &[u8])| {
        let digits = field.trim_ascii();
        let plain = digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
        (place, plain.then(|| str::from_utf8(digits).ok()?.parse::<usize>().ok()).flatten())
    };
    let gap = record.iter().skip(1).any(is_missing) && !record.iter().any(is_text);
    let numbers: Vec<(usize, Option<usize>)> =
        record.iter().enumerate().filter(|(_, field)| is_number(field)).map(number).collect();
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
fn check_texts(record: &ByteRecord) -> Result<(), Flaw> {
    for (column, field) in record.iter().enumerate() {
        if field.contains(&0) {
            return Err(Flaw { column, expected: "text without NUL bytes".into(), found: shorten(field) });
        }
        Flaw::of_separator(column, field).map_or(Ok(()), Err)?;
    }
    Ok(())
}

/// The complaint about a first row of words and numbers, at its first word.
fn neither(record: &ByteRecord) -> Flaw {
    let fields = || record.iter().enumerate();
    // A number that is damaged says more than a word that may be a name.
    let damaged = fields().find(|(_, field)| is_text(field) && !is_word(field));
    let (column, field) = damaged.or_else(|| fields().find(|(_, field)| is_text(field))).unwrap_or_default();
    let expected = "a number, since others stand beside it (data.header = true if these are names)".into();
    Flaw::of_separator(column, field).unwrap_or(Flaw { column, expected, found: shorten(field) })
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
        read(text.as_bytes(), header).map_or_else(|e| e.to_string(), |table| table.names.join(","))
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
        assert!(note(&row).is_some_and(|note| note.contains("0, 1, …, 4")));
        assert_eq!(note(&ByteRecord::from(vec!["a", "b"])), None);
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
    fn a_file_that_goes_with_others_has_their_header() {
        let known: Vec<String> = ["0", "1", "3"].map(String::from).to_vec();
        assert_eq!(names("0,1,3", Header::Like(&known)), "0,1,3");
        assert_eq!(names("0,1,2,3", Header::Like(&known)), "0,1,2,3");
        assert_eq!(names("0,1,2", Header::Like(&known)), "", "numbers alone are data");
        assert_eq!(names("0,1,2,3", Header::Like(&[])), "");
        assert_eq!(names("b,a,c", Header::Like(&known)), "b,a,c", "whose names are then compared");
    }
}
