//! The loss in what a program has printed.

use serde_json::{Map, Value};

/// Longest piece of a program's output in a reason.
const QUOTED: usize = 80;

/// The loss, or why there is none. A JSON object, on the last line or on all lines together, holds it under `key`; else it
/// is the last number.
pub fn read(stdout: &[u8], key: &str) -> Result<f64, String> {
    let text = String::from_utf8_lossy(stdout);
    let Some(last) = text.lines().rev().find(|line| !line.trim().is_empty()) else {
        return Err("printed nothing".into());
    };
    let loss = match object(last).or_else(|| object(&text)) {
        Some(object) => in_json(&object, key)?,
        None => last_number(&text).ok_or_else(|| format!("printed no number but `{}`", quoted(last)))?,
    };
    if loss.is_finite() { Ok(loss) } else { Err(format!("the loss is {loss}")) }
}

fn object(text: &str) -> Option<Map<String, Value>> {
    // Braces first: most programs print numbers, and no number is an object.
    text.trim().starts_with('{').then(|| serde_json::from_str(text.trim()).ok()).flatten()
}

fn in_json(object: &Map<String, Value>, key: &str) -> Result<f64, String> {
    match object.get(key) {
        Some(Value::Number(n)) => n.as_f64().ok_or_else(|| format!("`{key}` is {n}")),
        Some(other) => Err(format!("`{key}` is no number but {}", quoted(&other.to_string()))),
        None => Err(format!("printed JSON without `{key}`")),
    }
}

/// The last word that is a number; words end at blanks and at `= : , ; ( ) [ ]` and quotes.
fn last_number(text: &str) -> Option<f64> {
    let ends = |c: char| c.is_whitespace() || "=:,;()[]\"'".contains(c);
    text.rsplit(ends).find_map(|word| {
        // The end of a sentence is no part of a number.
        word.trim_end_matches('.').parse().ok()
    })
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

    #[test]
    fn the_last_number_or_the_key_of_json_is_the_loss() {
        let good: [(&str, f64); 15] = [
            ("0.5", 0.5),
            ("3 4\n5\n\n", 5.0),
            ("loss: 0.25\n", 0.25),
            ("loss=-1e-3, done", -1e-3),
            ("epoch 3 (loss 0.125)", 0.125),
            ("The loss is 7.", 7.0),
            ("warming up\n{\"loss\": 2.5, \"seconds\": 9}\n", 2.5),
            ("{\n  \"loss\": 1,\n  \"n\": [3]\n}\n", 1.0),
            ("{\"loss\":0.1}", 0.1),
            ("{\"loss\":2.2250738585072014e-308}", 2.225_073_858_507_201_4e-308),
            ("{broken 3", 3.0),
            ("[1, 2]", 2.0),
            ("+4", 4.0),
            ("0.30000000000000004", 0.1 + 0.2),
            ("1e400 is too large, 1 is not", 1.0),
        ];
        for (text, want) in good {
            assert_eq!(read(text.as_bytes(), "loss"), Ok(want), "{text}");
        }
        assert_eq!(read(b"{\"loss\": 1, \"error\": 2}", "error"), Ok(2.0));
    }

    #[test]
    fn what_is_no_loss_says_what_it_is() {
        let bad: [(&[u8], &str); 12] = [
            (b"", "printed nothing"),
            (b" \n\n", "printed nothing"),
            (b"all done", "printed no number but `all done`"),
            (b"nan", "the loss is NaN"),
            (b"-nan", "the loss is NaN"),
            (b"loss inf", "the loss is inf"),
            (b"-Infinity", "the loss is -inf"),
            (b"{\"los\": 1}", "printed JSON without `loss`"),
            (b"{\"loss\": null}", "`loss` is no number but null"),
            (b"{\"loss\": \"low\"}", "`loss` is no number but \"low\""),
            (b"1e999", "the loss is inf"),
            (b"\xff\xfe", "printed no number but `\u{fffd}\u{fffd}`"),
        ];
        for (text, want) in bad {
            assert_eq!(read(text, "loss"), Err(want.to_owned()), "{}", String::from_utf8_lossy(text));
        }
        let long = read("x".repeat(500).as_bytes(), "loss").unwrap_err();
        assert!(long.chars().count() < 120, "{long}");
    }
}
