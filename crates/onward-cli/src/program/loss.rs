//! The loss in what a program has printed. `docs/studies.md` has the grammar.
//!
//! What could be meant in two ways is refused with a sentence: a wrong loss does more harm than none.

use super::tail::Kept;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest piece of a program's output in a reason.
const QUOTED: usize = 80;
/// What stands between digits without ending a word: separators of thousands, decimals and times of day.
const JOINS: &str = ",:'’\u{a0}\u{2009}\u{202f}";
/// What else words are made of, besides letters and digits.
const PARTS: &str = "_.+-−%/\\*×^#\u{fffd}";
/// Words that may stand between the loss's name and its number.
const FILLERS: [&str; 3] = ["is", "was", "of"];

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
    object.map(Some).map_err(|e| format!("printed JSON that cannot be read: {e}: `{}`", quoted(last)))
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

fn in_text(line: &str, key: &str) -> Result<f64, String> {
    let words = words(line);
    if let Some(at) = words.iter().rposition(|w| w.to_lowercase() == key.to_lowercase()) {
        let next = words[at + 1..].iter().find(|w| !FILLERS.contains(w)).copied();
        let found = next.map_or_else(|| "nothing".into(), |w| format!("`{}`", quoted(w)));
        return next
            .and_then(number)
            .unwrap_or_else(|| Err(format!("expected a number after `{key}`, found {found}")));
    }
    let Some((word, loss)) = words.iter().rev().find_map(|w| Some((*w, number(w)?))) else {
        return Err(format!("printed no number but `{}`", quoted(line)));
    };
    let loss = loss?;
    if ["±", "+/-", "+-"].iter().any(|sign| line.contains(sign)) {
        let expected = "a deviation may be the last number; `loss` before the other says which it is";
        return Err(format!("`{}`: {expected}", quoted(line)));
    }
    let nothing = words.iter().find(|w| number(w).is_some_and(|n| n.is_ok_and(|n| !n.is_finite())));
    match nothing {
        Some(other) if loss.is_finite() => {
            Err(format!("`{}` beside `{word}`: either could be the loss", quoted(other)))
        }
        _ => Ok(loss),
    }
}

/// The words of a line that hold a letter or a digit.
fn words(line: &str) -> Vec<&str> {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let ends = |at: usize, c: char| {
        let (before, after) = (line[..at].chars().next_back(), line[at + c.len_utf8()..].chars().next());
        let joins = JOINS.contains(c) && digit(before) && digit(after);
        let part = c.is_alphanumeric() || PARTS.contains(c) || (c.is_control() && !c.is_whitespace());
        !(joins || part)
    };
    let mut words = Vec::new();
    let mut first = 0;
    for (at, c) in line.char_indices().filter(|(at, c)| ends(*at, *c)) {
        words.push(&line[first..at]);
        first = at + c.len_utf8();
    }
    words.push(&line[first..]);
    words.retain(|w| w.contains(char::is_alphanumeric));
    words
}

/// The number that a word is; that it is none if it begins like one; `None` if it is just a word.
fn number(word: &str) -> Option<Result<f64, String>> {
    // The end of a sentence is no part of a number.
    let bare = word.trim_end_matches('.');
    match bare.strip_suffix('%').unwrap_or(bare).parse() {
        Ok(number) => Some(Ok(number)),
        Err(_) => {
            let begins = word.trim_start_matches(|c: char| !c.is_alphanumeric());
            let like = begins.starts_with(char::is_numeric);
            like.then(|| Err(format!("`{}` begins like a number but is none", quoted(word))))
        }
    }
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
mod tests {
    use super::*;

    fn of(text: &[u8], key: &str) -> Result<f64, String> {
        read(&Kept { bytes: text.to_vec(), cut: false }, key).map(|reading| reading.loss)
    }

    #[test]
    fn the_last_number_or_the_key_of_json_is_the_loss() {
        let good: [(&str, f64); 31] = [
            ("0.5", 0.5),
            ("3 4\n5\n\n", 5.0),
            ("loss: 0.25\n", 0.25),
            ("loss=-1e-3, done", -1e-3),
            ("epoch 3 (loss 0.125)", 0.125),
            ("The loss is 7.", 7.0),
            ("warming up\n{\"loss\": 2.5, \"seconds\": 9}\n", 2.5),
            ("{\n  \"loss\": 1,\n  \"n\": [3]\n}\n", 1.0),
            ("log\n{\n  \"a\": {\n    \"b\": 1\n  },\n  \"loss\": 2}\n", 2.0),
            ("{\"loss\":0.1}", 0.1),
            ("{\"loss\":2.2250738585072014e-308}", 2.225_073_858_507_201_4e-308),
            ("{\"a\": \"\\\"NaN {\", \"loss\": 4, \"b\": NaN}", 4.0),
            ("[1, 2]", 2.0),
            ("+4", 4.0),
            ("loss 0.5 ± 0.1", 0.5),
            ("0.30000000000000004", 0.1 + 0.2),
            ("Loss 0.5, accuracy 0.9", 0.5),
            ("loss 3 val loss 4", 4.0),
            ("10/10 - 3s 25ms/step - loss: 0.5 - accuracy: 0.9", 0.5),
            ("loss = 0.5 (3.2s)", 0.5),
            ("a|0.5|", 0.5),
            ("best -> 0.5", 0.5),
            ("$3.5", 3.5),
            ("50 %", 50.0),
            ("INFO:root:0.5", 0.5),
            (".5", 0.5),
            ("[12:30:05] 0.5 on gpu0", 0.5),
            ("\u{1b}(B\u{1b}[m0.5\u{1b}[39;49m\u{1b}[0m", 0.5),
            ("\u{1b}]0;title 7\u{1b}\\0.5", 0.5),
            ("0.5\u{1b}[\n", 0.5),
            ("1% 3\r2% 4\r", 4.0),
        ];
        for (text, want) in good {
            assert_eq!(of(text.as_bytes(), "loss"), Ok(want), "{text}");
        }
        assert_eq!(of(b"{\"loss\": 1, \"error\": 2}", "error"), Ok(2.0));
        assert_eq!(of(b"loss 1 error 2 in 3 s", "error"), Ok(2.0));
    }

    #[test]
    fn each_rows_loss_stands_in_its_line() {
        let of = |text: &str, rows, cut| read_each(&Kept { bytes: text.into(), cut }, "loss", rows);
        assert_eq!(of("\n0.5\nloss 2 in 3 s\n\n{\"loss\":-1}\n", 3, false), Ok(vec![0.5, 2.0, -1.0]));
        let bad = [
            (of("1\n2\n", 3, false), "printed 2 lines where 3 rows have a loss each"),
            (of("1\n2\n3\nmean 2\n", 3, false), "printed 4 lines where 3 rows have a loss each"),
            (of("1\nnan\n", 2, false), "row 1: the loss is NaN"),
            (of("1\n{\"a\":1}\n", 2, false), "row 1: printed JSON without `loss`"),
            (of("one\n2\n", 2, false), "row 0: printed no number but `one`"),
            (of("1\n2\n", 2, true), "printed more than the"),
        ];
        for (found, words) in bad {
            let found = found.unwrap_err();
            assert!(found.starts_with(words), "{found}");
        }
    }

    #[test]
    fn what_is_no_loss_says_what_it_is() {
        let bad: [(&[u8], &str); 14] = [
            (b"", "printed nothing"),
            (b" \n\n", "printed nothing"),
            (b"all done", "printed no number but `all done`"),
            (b"nan", "the loss is NaN"),
            (b"-nan", "the loss is NaN"),
            (b"loss inf", "the loss is inf"),
            (b"loss nan at step 12", "the loss is NaN"),
            (b"-Infinity", "the loss is -inf"),
            (b"{\"los\": 1}", "printed JSON without `loss`"),
            (b"{\"loss\": null}", "`loss` is no number but null"),
            (b"{\"loss\": \"low\"}", "`loss` is no number but \"low\""),
            (b"{\"loss\": -Infinity, \"n\": 7}", "the loss is -inf"),
            (b"1e999", "the loss is inf"),
            (b"\xff\xfe", "printed no number but `\u{fffd}\u{fffd}`"),
        ];
        for (text, want) in bad {
            assert_eq!(of(text, "loss"), Err(want.to_owned()), "{}", String::from_utf8_lossy(text));
        }
        let long = of("x".repeat(500).as_bytes(), "loss").unwrap_err();
        assert!(long.chars().count() < 120, "{long}");
    }

    #[test]
    fn what_could_be_meant_otherwise_is_no_loss() {
        let bad = [
            ("step 3 95.3x", "`95.3x` begins like a number but is none"),
            ("7 1_000.5", "`1_000.5` begins"),
            ("7 **0.25**", "`**0.25**` begins"),
            ("7 1\u{202f}234", "`1\u{202f}234` begins"),
            ("7 2026-11-27", "`2026-11-27` begins"),
            ("7 0.5\u{8}", "`0.5 ` begins"),
            ("7 1.2.3", "`1.2.3` begins"),
            ("3.5\u{fffd}", "begins like"),
            ("1e", "`1e` begins"),
            ("1e400 is too large, 1 is not", "`1e400` beside `1`"),
            ("loss --", "expected a number after `loss`, found nothing"),
            ("step 7 loss -- at step 12", "found `at`"),
            ("loss 1.5×10^-3", "`1.5×10^-3` begins"),
            ("0.5 ± 0.1", "`0.5 ± 0.1`: a deviation"),
            ("mean 0.5 (+/- 0.1)", "a deviation may be the last number"),
            ("{broken 3", "printed JSON that cannot be read: key must be a string"),
            ("{\"loss\": 1} done", "printed JSON that cannot be read: trailing characters"),
            ("{\"loss\": 1}\n}", "cannot be read"),
            ("a: {\"b\": 1,\n\"c\": 2}", "printed the end of JSON that no line begins: `\"c\": 2}`"),
        ];
        for (text, want) in bad {
            let found = of(text.as_bytes(), "loss").unwrap_err();
            assert!(found.contains(want), "{text}: {found}");
        }
        let cut = Kept { bytes: b"7.5, 7.5]}".repeat(1000), cut: true };
        assert!(read(&cut, "loss").unwrap_err().contains("last line is longer than the 9 KiB"));
    }
}
