//! What a key accepts, and how that and what was found instead are put into words.

use super::{Value, nearest_of};
use std::fmt;
use std::ops::{Bound, RangeBounds};

/// The range of numbers that a key accepts.
pub type Range = (Bound<f64>, Bound<f64>);

/// The range of all numbers.
pub const ANY: Range = (Bound::Unbounded, Bound::Unbounded);

/// A [`Range`] from Rust's own notation, such as `0.0..1.0`.
pub fn range(bounds: impl RangeBounds<f64>) -> Range {
    (bounds.start_bound().cloned(), bounds.end_bound().cloned())
}

/// The range of numbers greater than `low`.
pub fn above(low: f64) -> Range {
    (Bound::Excluded(low), Bound::Unbounded)
}

/// One word that can be chosen, and what it means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The word.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// What a key accepts: type and range together, so that one check and one phrase serve both.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A string.
    Text,
    /// A string that names a file or a folder.
    Path,
    /// One of some words.
    OneOf(Vec<Choice>),
    /// True or false.
    Bool,
    /// A whole number.
    Int(Range),
    /// Any number, which single precision must hold as well.
    Number(Range),
    /// An array.
    Array {
        /// What each entry is.
        each: Box<Kind>,
        /// How many there are to be.
        len: Option<usize>,
    },
    /// One of two kinds.
    Either(Box<Kind>, Box<Kind>),
    /// A table, with what it may hold for each of some words, in words.
    Table(Vec<(String, String)>),
}

impl Kind {
    /// What was found instead, if `value` is not accepted.
    pub fn refuses(&self, value: &Value) -> Option<String> {
        let accepted = match (self, value) {
            (Self::Text, Value::Text(_)) => true,
            (Self::Path, Value::Text(path)) => !path.is_empty(),
            (Self::OneOf(choices), Value::Text(name)) => choices.iter().any(|c| c.name == name),
            (Self::Bool, Value::Bool(_)) | (Self::Table(_), Value::Table(_)) => true,
            (Self::Int(range) | Self::Number(range), Value::Int(n)) => range.contains(&(*n as f64)),
            (Self::Number(range), Value::Float(x)) => {
                let single = f64::from(*x as f32);
                let accepted = x.is_finite() && range.contains(x);
                let held = single.is_finite() && range.contains(&single) && (single == 0.0) == (*x == 0.0);
                if accepted && !held {
                    return Some(format!("{x:?}, which single precision rounds to {single:?}"));
                }
                accepted
            }
            (Self::Array { each, len }, Value::List(entries)) => return each.refuses_entry(*len, entries),
            (Self::Either(one, other), _) => match (one.refuses(value), other.refuses(value)) {
                (Some(one), Some(other)) => return Some(if value.as_list().is_some() { other } else { one }),
                _ => true,
            },
            _ => false,
        };
        (!accepted).then(|| value.found())
    }

    fn refuses_entry(&self, len: Option<usize>, entries: &[Value]) -> Option<String> {
        if len.is_some_and(|len| entries.len() != len) {
            return Some(format!("an array of {}", entries.len()));
        }
        let mut refused = entries.iter().enumerate().filter_map(|(i, entry)| Some((i, self.refuses(entry)?)));
        refused.next().map(|(i, found)| format!("{found} at index {i}"))
    }

    /// The word that was meant by one that is refused, if this is a choice and one is near enough.
    pub(super) fn meant(&self, word: &str) -> Option<&'static str> {
        let names: Vec<&'static str> = self.choices().iter().map(|choice| choice.name).collect();
        nearest_of(word, &names)
    }

    /// The words that can be chosen from, if this is a choice.
    pub fn choices(&self) -> &[Choice] {
        match self {
            Self::OneOf(choices) => choices,
            Self::Array { each, .. } => each.choices(),
            Self::Either(one, _) => one.choices(),
            _ => &[],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("a string"),
            Self::Path => f.write_str("a path"),
            Self::Table(_) => f.write_str("a table"),
            Self::Bool => f.write_str("true or false"),
            Self::Int(range) => write!(f, "an integer{}", in_words(*range)),
            Self::Number(range) => write!(f, "a number{}", in_words(*range)),
            Self::Array { each, len: None } => write!(f, "an array, each entry {each}"),
            Self::Array { each, len: Some(len) } => write!(f, "an array of {len}, each entry {each}"),
            Self::Either(one, other) => write!(f, "{one}, or {other}"),
            Self::OneOf(choices) => {
                let names: Vec<_> = choices.iter().map(|c| format!("{:?}", c.name)).collect();
                write!(f, "one of {}", names.join(", "))
            }
        }
    }
}

fn in_words(range: Range) -> String {
    if let (Bound::Included(low), Bound::Included(high)) = range {
        return format!(" from {low} to {high}");
    }
    let low = match range.0 {
        Bound::Included(x) => format!(" ≥ {x}"),
        Bound::Excluded(x) => format!(" > {x}"),
        Bound::Unbounded => String::new(),
    };
    let high = match range.1 {
        Bound::Included(x) => format!(" ≤ {x}"),
        Bound::Excluded(x) => format!(" < {x}"),
        Bound::Unbounded => String::new(),
    };
    let and = if low.is_empty() || high.is_empty() { "" } else { " and" };
    format!("{low}{and}{high}")
}
