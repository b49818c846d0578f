//! How a text table is written: what parts its fields, what stands before decimals. Both are said, or found in the table's beginning,
//! where one way alone makes sense of it; otherwise the error names the key that settles it.

use csv::{ByteRecord, ReaderBuilder};
use onward::{Error, ErrorKind, Result};

use super::csv::is_missing;
use super::options::{Decimal, Separator};
use super::text::single_blanks;

/// Bytes of a file's beginning that are looked at.
pub(super) const SAMPLE: usize = 256 << 10;

/// What parts the fields, and what stands before decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) separator: Separator,
    pub(super) decimal: Decimal,
}

/// A sample read with one separator.
struct Tried {
    separator: Separator,
    /// How many records have as many fields as most have, which are at least two.
    regular: usize,
    records: usize,
    /// Whether no field looks as if something else parts numbers in it.
    clean: bool,
    numbers: usize,
    /// Numbers with a comma, with a point, and those whose comma may part thousands.
    commas: usize,
    points: usize,
    thousands: usize,
}

/// The dialect of a table that begins with this text.
///
/// # Errors
/// [`ErrorKind::Data`] naming the key to set, where it may be one or the other.
pub(super) fn find(
    beginning: &[u8],
    separator: Option<Separator>,
    decimal: Option<Decimal>,
) -> Result<Dialect> {
    let tried = match separator {
        Some(separator) => Tried::of(beginning, separator),
        None => separated(beginning)?,
    };
    let decimal = match decimal {
        Some(decimal) => decimal,
        None => tried.decimal()?,
    };
    Ok(Dialect { separator: tried.separator, decimal })
}

/// What a first line `sep=;`, by which Excel is told, says of the fields; and how many bytes that line takes.
pub(super) fn said(text: &[u8]) -> Option<(Separator, usize)> {
    let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
    let line = text[..end].trim_ascii_end();
    let quoted = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\""));
    // Of a tab nothing is left at the line's end.
    let own = match quoted.unwrap_or(line).split_at_checked(4)? {
        (word, own) if word.eq_ignore_ascii_case(b"sep=") => own,
        _ => return None,
    };
    let is = |separator: &Separator| match own {
        [] => *separator == Separator::Tab && text[..end].contains(&b'\t'),
        [byte] => *byte == separator.byte() && *separator != Separator::Blanks,
        _ => false,
    };
    Separator::ALL.into_iter().find(is).map(|separator| (separator, end))
}

fn separated(beginning: &[u8]) -> Result<Tried> {
    let all: Vec<Tried> =
        Separator::ALL.into_iter().map(|separator| Tried::of(beginning, separator)).collect();
    let mut sound: Vec<&Tried> = all
        .iter()
        .filter(|tried| tried.records > 0 && tried.regular == tried.records && tried.clean)
        .collect();
    if sound.len() > 1 {
        // Words have blanks between them anywhere.
        sound.retain(|tried| tried.separator != Separator::Blanks);
    }
    if sound.iter().any(|tried| tried.separator == Separator::Tab) {
        // No text has a tab in it by chance, and the same number in each row.
        sound.retain(|tried| tried.separator == Separator::Tab);
    }
    if sound.len() > 1 && sound.iter().any(|tried| tried.numbers > 0) {
        sound.retain(|tried| tried.numbers > 0);
    }
    let chosen = match sound[..] {
        [one] => one.separator,
        // No way makes sense of it all: what is wrong is told as of the one that comes nearest.
        [] => {
            let nearest =
                all.iter().rev().max_by_key(|tried| (tried.clean && tried.regular > 0, tried.regular));
            nearest.filter(|tried| tried.regular > 0).map_or(Separator::Comma, |tried| tried.separator)
        }
        _ => {
            let found: Vec<String> =
                sound.iter().map(|tried| format!("{:?}", tried.separator.name())).collect();
            return Err(unsure("data.separator", "what parts the fields", &found.join(" or ")));
        }
    };
    match all.into_iter().find(|tried| tried.separator == chosen) {
        Some(tried) => Ok(tried),
        None => Ok(Tried::of(beginning, chosen)),
    }
}

fn unsure(key: &str, what: &str, found: &str) -> Error {
    let expected = format!("{key} to say {what}, since the file may be read in more than one way");
    Error::expected(ErrorKind::Data, "file", expected, found)
}

impl Tried {
    fn of(beginning: &[u8], separator: Separator) -> Self {
        let records = records(beginning, separator);
        let mut lengths: Vec<usize> = records.iter().map(ByteRecord::len).filter(|len| *len > 1).collect();
        lengths.sort_unstable();
        let regular = lengths.chunk_by(|a, b| a == b).map(<[usize]>::len).max().unwrap_or(0);
        let mut tried = Self {
            separator,
            regular,
            records: records.len(),
            clean: true,
            numbers: 0,
            commas: 0,
            points: 0,
            thousands: 0,
        };
        records.iter().flatten().for_each(|field| tried.see(field.trim_ascii()));
        tried
    }

    fn see(&mut self, field: &[u8]) {
        if is_missing(field) {
            return;
        }
        let point = parse(field, Decimal::Point);
        // Without either sign a number is the same in both ways.
        let either = field.contains(&b',') || field.contains(&b'.');
        let comma = if either { parse(field, Decimal::Comma) } else { point };
        self.numbers += usize::from(point.or(comma).is_some());
        match (point, comma) {
            (Some(_), None) => self.points += 1,
            (None, Some(_)) => {
                self.commas += 1;
                self.thousands += usize::from(may_part_thousands(field));
            }
            (None, None) if is_grouped(field) => {}
            (None, None) => self.clean &= other_separator(field, self.separator).is_none(),
            (Some(_), Some(_)) => {}
        }
    }

    fn decimal(&self) -> Result<Decimal> {
        match (self.separator, self.commas, self.points) {
            // In quotes a comma parts thousands, if anything.
            (Separator::Comma, ..) | (_, 0, _) => Ok(Decimal::Point),
            (_, commas, 0) if commas > self.thousands => Ok(Decimal::Comma),
            (_, commas, points) => {
                let found = format!("{commas} numbers with a comma and {points} with a point");
                Err(unsure("data.decimal", "what stands before decimals", &found))
            }
        }
    }
}

/// Whether a number with a comma may have it between its thousands.
fn may_part_thousands(field: &[u8]) -> bool {
    let digits = field.strip_prefix(b"-").or(field.strip_prefix(b"+")).unwrap_or(field);
    let mut parts = digits.split(|byte| *byte == b',');
    let first = parts.next().unwrap_or_default();
    let is_three = |part: &[u8]| part.len() == 3 && part.iter().all(u8::is_ascii_digit);
    let leads = (1..=3).contains(&first.len()) && first.iter().all(u8::is_ascii_digit) && first[0] != b'0';
    leads && parts.all(is_three)
}

/// Whether a field is a number with one sign between its thousands and the other before its decimals.
fn is_grouped(field: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(field) else { return false };
    let is = |group: char, decimal: char| {
        let Some((whole, decimals)) = text.rsplit_once(decimal) else { return false };
        let grouped = whole.contains(group) && may_part_thousands(whole.replace(group, ",").as_bytes());
        grouped && decimals.bytes().all(|byte| byte.is_ascii_digit())
    };
    is('.', ',') || is(',', '.')
}

/// The number that a field means.
pub(super) fn parse(field: &[u8], decimal: Decimal) -> Option<f64> {
    let text = str::from_utf8(field.trim_ascii()).ok()?;
    match decimal {
        Decimal::Point => text.parse().ok(),
        Decimal::Comma if text.contains('.') => None,
        Decimal::Comma if text.contains(',') => text.replacen(',', ".", 1).parse().ok(),
        Decimal::Comma => text.parse().ok(),
    }
}

/// The separator of a field in which numbers stand apart by another than `own`.
pub(super) fn other_separator(field: &[u8], own: Separator) -> Option<char> {
    let field = field.trim_ascii();
    let apart = |separator: &u8| {
        let mut parts = field.split(|byte| byte == separator);
        field.contains(separator)
            && parts.all(|part| is_missing(part) || parse(part, Decimal::Point).is_some())
    };
    let others = [b';', b'\t', b'|', b' ', b','].into_iter().filter(|byte| *byte != own.byte());
    others.filter(|byte| own != Separator::Comma || *byte != b',').find(apart).map(char::from)
}

/// The records of a text's beginning, without the last one, which may be cut.
pub(super) fn records(beginning: &[u8], separator: Separator) -> Vec<ByteRecord> {
    let cut = beginning.len() >= SAMPLE;
    let collapsed;
    let text = match separator {
        Separator::Blanks => {
            collapsed = single_blanks(beginning);
            &collapsed[..]
        }
        _ => beginning,
    };
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator.byte()).from_reader(text);
    let mut records: Vec<ByteRecord> = reader.byte_records().map_while(std::result::Result::ok).collect();
    if cut && records.len() > 1 {
        records.pop();
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        match find(text.as_bytes(), None, None) {
            Ok(Dialect { separator, decimal }) => format!("{} {}", separator.name(), decimal.name()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_parts_fields_is_found() {
        for (text, expected) in [
            ("1,2\n3,4\n", ", ."),
            ("1;2\n3;4\n", "; ."),
            ("a;b\n1,5;2\n-3,25;4\n", "; ,"),
            ("1\t2.5\n3\t4\n", "tab ."),
            ("New York\t2,5\nRome\t3,75\n", "tab ,"),
            ("1|2\n3|4\n", "| ."),
            ("  1   2.5\n 3 4 \n", "blanks ."),
            ("18.0   8   307.0\t\"a b\"\n15.0   8   350.0\t\"c d\"\n", "blanks ."),
            ("1, 2, 3\n4, 5, 6\n", ", ."),
            ("name,city\nx y,a b\nz w,c d\n", ", ."),
            ("\"a;b\",1\n\"c;d\",2\n", ", ."),
            ("x;y\n1.234,56;yes\n-2.000,00;no\n", "; ."),
            ("1\n2\n", ", ."),
            ("", ", ."),
        ] {
            assert_eq!(found(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_first_line_for_excel_says_what_parts_fields() {
        for (text, expected) in [
            ("sep=;\r\n1;2\n", Some((Separator::Semicolon, 7))),
            ("SEP=,\na,b\n", Some((Separator::Comma, 6))),
            ("\"sep=|\"\n1|2\n", Some((Separator::Bar, 8))),
            ("sep=\t\n1\t2\n", Some((Separator::Tab, 6))),
            ("sep=;", Some((Separator::Semicolon, 5))),
            ("sep=\n1\n", None),
            ("sep=x\n1\n", None),
            ("sepal;b\n1;2\n", None),
            ("", None),
        ] {
            assert_eq!(said(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_may_be_read_in_two_ways_names_the_key() {
        assert!(found("a;x,b\nc;y,d\n").contains("data.separator"), "{}", found("a;x,b\nc;y,d\n"));
        for text in ["1,234;2\n5,678;3\n", "1,5;2.5\n2,5;3.5\n"] {
            assert!(found(text).contains("data.decimal"), "{}", found(text));
        }
        let said = find(b"1,234;2\n5,678;3\n", None, Some(Decimal::Comma)).unwrap();
        assert_eq!((said.separator, parse(b"1,234", said.decimal)), (Separator::Semicolon, Some(1.234)));
        assert_eq!(found("1;2\n3;4;5\n6;7\n"), "; .", "a flaw is told as of what comes nearest");
    }
}
