//! What the fields of a text table hold, found while its records pass by: the same for tables in memory and for streams.

use csv::ByteRecord;
use onward::words::counted;

use super::csv::{Flaw, Header, is_missing};
use super::dialect::{Dialect, parse};
use super::options::{Decimal, Encoding, Separator};
use super::shorten;
use super::table::{Label, MISSING, Seen, Spot, word};

/// What is known of a text table before it is read.
#[derive(Clone, Debug, Default)]
pub struct Reading<'a> {
    /// The meaning of its first row.
    pub header: Header<'a>,
    /// What parts its fields, if that is said.
    pub separator: Option<Separator>,
    /// What stands before decimals, if that is said.
    pub decimal: Option<Decimal>,
    /// How its letters are written, if that is said.
    pub encoding: Option<Encoding>,
    /// The words for missing values, if these are said.
    pub missing: Option<&'a [String]>,
    /// Columns that nothing is read of.
    pub skipped: Vec<Label>,
    /// Columns whose texts are kept as they are.
    pub texts: Vec<Label>,
    /// Columns whose different numbers are wanted.
    pub categorical: Vec<Label>,
}

/// What becomes of a column's fields.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Value,
    Skipped,
    Text,
    Categorical,
}

/// Different words, or numbers, of a column that are told apart.
pub(super) const MOST_WORDS: usize = 1 << 16;

/// Turns records into cells and keeps what was seen in them.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    decimal: Decimal,
    missing: Option<Vec<Vec<u8>>>,
    roles: Vec<Role>,
    /// For each column.
    pub(super) seen: Vec<Seen>,
}

impl Survey {
    /// Of a table with so many columns, which these names have if there are any.
    pub(super) fn new(how: &Reading<'_>, dialect: Dialect, names: &[String], columns: usize) -> Self {
        let is = |all: &[Label], column: usize| {
            all.iter().any(|one| match one {
                Label::Position(position) => *position == column,
                Label::Name(name) => names.get(column) == Some(name),
            })
        };
        let role = |column| match () {
            () if is(&how.texts, column) => Role::Text,
            () if is(&how.skipped, column) => Role::Skipped,
            () if is(&how.categorical, column) => Role::Categorical,
            () => Role::Value,
        };
        Self {
            decimal: dialect.decimal,
            missing: how
                .missing
                .map(|words| words.iter().map(|word| word.to_ascii_lowercase().into_bytes()).collect()),
            roles: (0..columns).map(role).collect(),
            seen: vec![Seen::default(); columns],
        }
    }

    /// Appends a record's cells; it begins behind so many bytes.
    pub(super) fn see(&mut self, record: &ByteRecord, begin: u64, out: &mut Vec<f64>) -> Result<(), Flaw> {
        let columns = self.roles.len();
        if record.len() != columns {
            let column = record.len().min(columns);
            let (expected, found) = (counted(columns, "field"), counted(record.len(), "field"));
            return Err(Flaw { column, expected: format!("{expected} in every row"), found });
        }
        for (column, field) in record.iter().enumerate() {
            let cell = match self.roles[column] {
                Role::Value => self.cell(column, field, begin),
                Role::Skipped => MISSING,
                Role::Text => {
                    self.seen[column].texts.push(String::from_utf8_lossy(field.trim_ascii()).into_owned());
                    MISSING
                }
                Role::Categorical => {
                    let cell = self.cell(column, field, begin);
                    let seen = &mut self.seen[column];
                    if cell.is_finite() && seen.distinct.len() <= MOST_WORDS {
                        seen.distinct.insert((cell + 0.0).to_bits());
                    }
                    cell
                }
            };
            out.push(cell);
        }
        Ok(())
    }

    fn cell(&mut self, column: usize, field: &[u8], begin: u64) -> f64 {
        let seen = &mut self.seen[column];
        match parse(field, self.decimal) {
            Some(value) if value.is_finite() && self.missing.is_none() => {
                seen.number(value, field);
                value
            }
            parsed => {
                let spot = |found: String| Spot { at: begin, found };
                if self.missing.as_ref().map_or_else(|| is_missing(field), |words| is_one(field, words)) {
                    seen.missing += 1;
                    let quoted = || spot(format!("a missing value, {}", shorten(field.trim_ascii())));
                    seen.first_missing.get_or_insert_with(quoted);
                    return MISSING;
                }
                if let Some(value) = parsed.filter(|value| value.is_finite()) {
                    seen.number(value, field);
                    return value;
                }
                seen.first_word.get_or_insert_with(|| spot(shorten(field.trim_ascii())));
                seen.worded += 1;
                seen.odd |= field.contains(&0);
                seen.code(field.trim_ascii()).map_or(MISSING, word)
            }
        }
    }
}

impl Seen {
    /// Counts a number, which stands so in the file.
    fn number(&mut self, value: f64, field: &[u8]) {
        const LARGE: f64 = 1e15;
        self.numbers += 1;
        if value.abs() >= LARGE
            && let Some(whole) = str::from_utf8(field.trim_ascii()).ok().and_then(|f| f.parse().ok())
        {
            self.compare(whole);
        }
    }
}

fn is_one(field: &[u8], words: &[Vec<u8>]) -> bool {
    let field = field.trim_ascii();
    words.iter().any(|word| field.eq_ignore_ascii_case(word))
}
