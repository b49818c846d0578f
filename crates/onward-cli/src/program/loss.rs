//! The loss in what a program has printed. `docs/studies.md` has the grammar.
//!
//! What could be meant in two ways is refused with a sentence: a wrong loss does more harm than none.

mod text;

use super::tail::Kept;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;
use text::in_text;

/// Longest piece of a program's output in a reason.
const QUOTED: usize = 80;

/// A loss, and the text that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub loss: f64,
    pub from: String,
    /// All numbers of the JSON object that it stood in.
    pub numbers: BTreeMap<String, f64>,
}

/// The loss in the last line that is not blank, or why there is none. JSON holds it under `key`; in text it is the number
/// after that word, or the last number.
pub fn read(stdout: &Kept, key: &str) -> Result<Reading, String> {
    let text = without_escapes(&String::from_utf8_lossy(&stdout.bytes));
    let text = text.trim_end();
    let begins = text.rfind(['\n', '\r']).map_or(0, |at| at + 1);
    let last = &text[begins..];
    if last.trim().is_empty() {
        return Err("printed nothing".into());
    }
    if stdout.cut && begins == 0 {
        return Err(format!(
            "its last line is longer than the {} KiB that are kept",
            stdout.bytes.len() >> 10
        ));
    }
    check_text(last)?;
    let reading = match json(text, begins)? {
        Some(object) => in_json(&object, key)?,
        None => Reading { loss: in_text(last, key)?, from: quoted(last), numbers: BTreeMap::new() },
    };
    finite(reading.loss).map(|_| reading)
}

/// The losses in so many lines that are not blank, each in its line as the only one is ([`read`]), or why there are none: a line
/// more would have moved every row's loss to another row.
pub fn read_each(stdout: &Kept, key: &str, count: usize) -> Result<Vec<f64>, String> {
    let text = without_escapes(&String::from_utf8_lossy(&stdout.bytes));
    let lines: Vec<&str> = text.split(['\n', '\r']).filter(|line| !line.trim().is_empty()).collect();
    if stdout.cut {
        return Err(format!("printed more than the {} KiB that are kept", stdout.bytes.len() >> 10));
    }
    if lines.len() != count {
        return Err(format!("printed {} lines where {count} rows have a loss each", lines.len()));
    }
    let one = |line: &str| {
        check_text(line)?;
        let loss = match json(line, 0)? {
            Some(object) => in_json(&object, key)?.loss,
            None => in_text(line, key)?,
        };
        finite(loss)
    };
    let each = lines.into_iter().enumerate();
    each.map(|(row, line)| one(line).map_err(|e| format!("row {row}: {e}"))).collect()
}

fn check_text(line: &str) -> Result<(), String> {
    if line.contains('\0') {
        return Err("printed NUL bytes where text was expected (is it UTF-16?)".into());
    }
    Ok(())
}

fn finite(loss: f64) -> Result<f64, String> {
    if loss.is_finite() { Ok(loss) } else { Err(format!("the loss is {loss}")) }
}

/// Text without the escape sequences that colour terminals and name their windows.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            plain.push(c);
            continue;
        }
        let end = match rest.next() {
            Some('[') => rest.find(|c| ('@'..='~').contains(c) || *c == '\n'),
            Some(']' | 'P' | 'X' | '^' | '_') => rest.find(|c| "\u{7}\u{9c}\\\n".contains(*c)),
            Some(' '..='/') => rest.find(|c| ('0'..='~').contains(c) || *c == '\n'),
            one => one,
        };
        // An unfinished one ends with its line.
        plain.extend(end.filter(|c| *c == '\n'));
    }
    plain
}

/// The JSON object that the line from `begins` on is, or ends; `None` if it is plain text.
fn json(text: &str, begins: usize) -> Result<Option<Map<String, Value>>, String> {
    let last = &text[begins..];
    let count = |brace: char| last.matches(brace).count();
    let object = if last.trim_start().starts_with('{') {
        last
    } else if count('}') > count('{') {
        // Printed over several lines: it begins at the margin, what is nested in it does not.
        let first = if text.starts_with('{') { Some(0) } else { None };
        let at = text[..begins].rfind("\n{").map(|at| at + 1).or(first);
        &text
            [at.ok_or_else(|| format!("printed the end of JSON that no line begins: `{}`", quoted(last)))?..]
    } else {
        return Ok(None);
    };
    let object = serde_json::from_str(&with_quoted_tokens(object));
    object
        .map(|Unique(object)| Some(object))
        .map_err(|e| format!("printed JSON that cannot be read: {e}: `{}`", quoted(last)))
}

/// A JSON object in which no name stands twice: of two values for one name, which is meant is anyone's guess.
struct Unique(Map<String, Value>);

impl<'a> Deserialize<'a> for Unique {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'a> Visitor<'a> for Once {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<Unique, A::Error> {
                let mut all = Map::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if all.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` stands in it twice")));
                    }
                    all.insert(name, value);
                }
                Ok(Unique(all))
            }
        }
        from.deserialize_map(Once)
    }
}

/// JSON with the tokens `NaN`, `Infinity` and `-Infinity`, as Python prints them, made strings of that name.
fn with_quoted_tokens(json: &str) -> String {
    let mut quoted = String::with_capacity(json.len());
    let mut rest = json;
    loop {
        let (outside, string) = rest.split_at(rest.find('"').unwrap_or(rest.len()));
        let outside = outside.replace("NaN", "\"NaN\"").replace("Infinity", "\"Infinity\"");
        quoted += &outside.replace("-\"Infinity\"", "\"-Infinity\"");
        let mut escaped = false;
        let end = string.bytes().skip(1).position(|b| {
            let ends = b == b'"' && !escaped;
            escaped = b == b'\\' && !escaped;
            ends
        });
        let Some(end) = end else { return quoted + string };
        quoted += &string[..end + 2];
        rest = &string[end + 2..];
    }
}

fn in_json(object: &Map<String, Value>, key: &str) -> Result<Reading, String> {
    let value = object.get(key).ok_or_else(|| format!("printed JSON without `{key}`"))?;
    let loss = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(word) if ["NaN", "Infinity", "-Infinity"].contains(&word.as_str()) => word.parse().ok(),
        _ => None,
    };
    let loss = loss.ok_or_else(|| format!("`{key}` is no number but {}", quoted(&value.to_string())))?;
    let numbers = object.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    Ok(Reading { loss, from: format!("\"{key}\": {value}"), numbers })
}

fn quoted(text: &str) -> String {
    let text = text.trim();
    let mut short: String = text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > QUOTED {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
