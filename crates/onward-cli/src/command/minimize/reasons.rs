//! Why evaluations failed, those alike counted together.

use super::journal::Entry;
use super::view::why;
use onward::words::counted;
use serde::Serialize;
use std::collections::BTreeMap;

/// Reasons that a line tells.
const TOLD: usize = 3;

/// Failures by what was said, whatever numbers it had.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(into = "BTreeMap<String, u64>")]
pub struct Reasons(BTreeMap<String, Alike>);

/// Failures whose reasons differ in numbers at most.
#[derive(Clone, Debug, Default)]
struct Alike {
    count: u64,
    /// What was said, as long as it is the same each time.
    same: Option<String>,
}

impl Reasons {
    /// Counts an evaluation that failed.
    pub fn add(&mut self, entry: &Entry) {
        let said = why(entry);
        let alike = self.0.entry(kind(entry)).or_insert_with(|| Alike { count: 0, same: Some(said.clone()) });
        alike.count += 1;
        alike.same = alike.same.take().filter(|same| *same == said);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.values().map(|alike| alike.count).sum()
    }

    /// Whether all of them are such.
    pub fn all(&self, is: impl Fn(&str) -> bool) -> bool {
        self.0.keys().all(|reason| is(reason))
    }

    /// Reasons with their counts, the most frequent first.
    pub fn words(&self) -> String {
        let told: BTreeMap<String, u64> = self.clone().into();
        let mut all: Vec<(&String, &u64)> = told.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let more = all.len().saturating_sub(TOLD);
        let mut words: Vec<String> =
            all.iter().take(TOLD).map(|(reason, count)| format!("{reason}: {count}")).collect();
        if more > 0 {
            words.push(counted(more, "other reason"));
        }
        words.join("; ")
    }
}

impl From<Reasons> for BTreeMap<String, u64> {
    fn from(reasons: Reasons) -> Self {
        let mut counts = Self::new();
        for (kind, alike) in reasons.0 {
            *counts.entry(alike.same.unwrap_or(kind)).or_default() += alike.count;
        }
        counts
    }
}

/// What failures that are counted together have in common.
pub fn kind(entry: &Entry) -> String {
    let reason = entry.failed.as_deref().unwrap_or_default();
    entry.said.as_deref().map_or_else(|| reason.into(), |said| format!("{reason}: {}", without_numbers(said)))
}

/// A text with its numbers left out.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let in_word = plain.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let is_signed = ['-', '+'].contains(&c) && rest.peek().is_some_and(char::is_ascii_digit);
        if in_word || !(c.is_ascii_digit() || is_signed) {
            plain.push(c);
            continue;
        }
        let mut last = c;
        while let Some(next) = rest.next_if(|next| {
            next.is_ascii_digit() || ['.', 'e'].contains(next) || ['-', '+'].contains(next) && last == 'e'
        }) {
            last = next;
        }
        plain.push('N');
        // What ends a sentence is no part of its last number.
        if last == '.' {
            plain.push(last);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::minimize::journal::Phase;

    fn failed(said: &str) -> Entry {
        Entry {
            id: 0,
            phase: Phase::Search,
            generation: 0,
            values: serde_json::Map::new(),
            loss: None,
            seconds: 0.0,
            failed: Some("exit status: 1".into()),
            said: Some(said.into()),
            violation: None,
        }
    }

    fn told(all: &[&str]) -> String {
        let mut reasons = Reasons::default();
        all.iter().for_each(|said| reasons.add(&failed(said)));
        assert_eq!(reasons.count(), all.len() as u64);
        reasons.words()
    }

    #[test]
    fn what_is_always_the_same_is_told_as_it_was_said() {
        assert_eq!(told(&["a + b > 3", "a + b > 3"]), "exit status: 1: a + b > 3: 2");
        assert_eq!(
            told(&["x2 is -0.5e-3, not 1.", "x2 is 2, not 1."]),
            "exit status: 1: x2 is N, not N.: 2",
            "a sign and an exponent belong to their number, a digit of a name does not"
        );
        assert_eq!(
            told(&["b", "c", "b", "d", "e"]),
            "exit status: 1: b: 2; exit status: 1: c: 1; exit status: 1: d: 1; 1 other reason"
        );
    }
}
