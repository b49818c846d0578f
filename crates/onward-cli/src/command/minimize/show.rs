//! Numbers, values and what programs said, in words.

use onward::study::{Dimension, Domain, Spacing};
use onward::words::{digits, theirs};
use serde_json::{Map, Value};

/// Significant digits of arguments, which people copy.
const DIGITS: i32 = 8;
/// Values that a line shows.
const VALUES: usize = 12;
/// Lines of a program's last words, and characters of each.
const LINES: usize = 6;
const LINE: usize = 160;

/// An argument in as many digits as it takes to use it again.
pub fn argument(value: f64) -> String {
    digits(value, DIGITS)
}

/// Values by name in the order of `names`.
pub fn values<'a>(names: impl Iterator<Item = &'a String>, values: &Map<String, Value>) -> String {
    let one = |name: &String| {
        let value = match values.get(name) {
            Some(Value::String(word)) => theirs(word).into_owned(),
            Some(Value::Number(n)) if n.is_f64() => argument(n.as_f64().unwrap_or_default()),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        format!("{name}={value}")
    };
    let mut words: Vec<String> = names.map(one).collect();
    if words.len() > VALUES {
        let more = words.len() - VALUES;
        words.truncate(VALUES);
        words.push(format!("and {more} more"));
    }
    words.join(" ")
}

/// Dimensions as they were understood.
pub fn dimensions(all: &[Dimension]) -> String {
    let mut words: Vec<String> = all.iter().take(VALUES).map(dimension).collect();
    if all.len() > VALUES {
        words.push(format!("and {} more", all.len() - VALUES));
    }
    words.join(", ")
}

fn dimension(dimension: &Dimension) -> String {
    let range = |low: String, high: String, spacing: Spacing, of: &str| {
        let ratio = if spacing == Spacing::Log { " by ratio" } else { "" };
        format!("{}: {of}{low} to {high}{ratio}", dimension.name)
    };
    match &dimension.kind {
        Domain::Float { low, high, spacing } => range(argument(*low), argument(*high), *spacing, ""),
        Domain::Int { low, high, spacing } => {
            range(low.to_string(), high.to_string(), *spacing, "whole numbers ")
        }
        Domain::Grid { low, step, count, .. } => {
            let high = low + step * (count - 1) as f64;
            format!(
                "{}: {} to {} in steps of {}",
                dimension.name,
                argument(*low),
                argument(high),
                argument(*step)
            )
        }
        Domain::Category { options } => format!("{}: one of {}", dimension.name, options.join(" ")),
        Domain::Real { start, scale } => {
            format!("{}: from {start} in steps of {scale}", dimension.name)
        }
    }
}

/// JSON on one line.
pub fn json(values: &Map<String, Value>) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

/// The last line of what a program wrote that is not blank.
pub fn last_line(bytes: &[u8]) -> Option<String> {
    let lines = last_lines(bytes);
    lines.lines().last().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// The last lines of what a program wrote, indented.
pub fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    let line = |line: &&str| {
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        format!("  {}", line.chars().take(LINE).map(clean).collect::<String>())
    };
    last.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f24_dimensions_are_told_as_understood() {
        let of = |text: &[&str]| dimensions(&text.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>());
        let all = of(&["x:-5..5e1", "lr:1e-5..1e-1 log", "n:1..64 int", "a:{b,c}"]);
        assert_eq!(all, "x: -5 to 50, lr: 1e-5 to 0.1 by ratio, n: whole numbers 1 to 64, a: one of b c");
        let many: Vec<String> = (0..14).map(|i| format!("x{i}:0..1")).collect();
        assert!(
            of(&many.iter().map(String::as_str).collect::<Vec<_>>()).ends_with("x11: 0 to 1, and 2 more")
        );
    }

    #[test]
    fn lists_say_what_they_leave_out() {
        let names: Vec<String> = (0..20).map(|i| format!("x{i}")).collect();
        let map: Map<String, Value> = names.iter().map(|n| (n.clone(), 0.5.into())).collect();
        assert!(values(names.iter(), &map).ends_with("x11=0.5 and 8 more"));
        let text: String = (0..20).map(|i| format!("line {i}\n\n")).collect();
        assert!(last_lines(text.as_bytes()).starts_with("  line 14\n") && last_lines(b"").is_empty());
    }
}
