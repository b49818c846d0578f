//! Texts that end where one of some texts would begin.

use crate::tokenizer::{Spoken, Tokenizer};
use onward::Result;

/// A text that grows by tokens up to the first of some texts, which is no part of it.
#[derive(Clone, Debug)]
pub struct SpokenUntil<'a> {
    spoken: Spoken<'a>,
    stops: Vec<String>,
    /// What may be the beginning of one of them, and so is not told yet.
    held: String,
    stopped: bool,
}

impl Tokenizer {
    /// What tokens that come one by one add to a text that begins with those `before`, up to the first of the texts `stops` (empty ones never come).
    pub fn stream_until(&self, before: &[u32], stops: &[String]) -> SpokenUntil<'_> {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        SpokenUntil { spoken: self.stream(before), stops, held: String::new(), stopped: false }
    }
}

impl SpokenUntil<'_> {
    /// What a token adds: nothing while that may be part of a letter or of a text that stops this one.
    ///
    /// # Errors
    /// As for [`Tokenizer::decode`].
    pub fn add(&mut self, token: u32) -> Result<String> {
        let more = self.spoken.add(token)?;
        Ok(self.told(&more))
    }

    /// Whether it has come to an end: nothing is added any more.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// What is left at the end, whole letters or not.
    ///
    /// # Errors
    /// As for [`Tokenizer::decode`].
    pub fn rest(&mut self) -> Result<String> {
        let more = self.spoken.rest()?;
        let mut told = self.told(&more);
        if !self.stopped {
            told.push_str(&std::mem::take(&mut self.held));
        }
        Ok(told)
    }

    fn told(&mut self, more: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(more);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let begins = |rest: &str| self.stops.iter().any(|stop| stop.starts_with(rest));
        let at = self.held.char_indices().map(|(at, _)| at).find(|at| begins(&self.held[*at..]));
        let waits = self.held.split_off(at.unwrap_or(self.held.len()));
        std::mem::replace(&mut self.held, waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tokenizer of single letters.
    fn letters() -> Tokenizer {
        let vocabulary: Vec<String> = ('a'..='z')
            .chain(['\n', ' '])
            .enumerate()
            .map(|(i, c)| format!("{:?}:{i}", c.to_string()))
            .collect();
        let text = format!(
            r#"{{"version":"1.0","model":{{"type":"BPE","vocab":{{{}}},"merges":[]}},"decoder":{{"type":"Fuse"}}}}"#,
            vocabulary.join(",")
        );
        Tokenizer::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn texts_end_before_the_first_text_that_stops_them() {
        let tokenizer = letters();
        for (text, stops, want) in [
            ("abcabd", &["abd"][..], "abc"),
            ("aaab", &["aab"], "a"),
            ("hello\n\nworld", &["\n\n", "x"], "hello"),
            ("hello", &["lox", ""], "hello"),
            ("xyz", &["x"], ""),
            ("plain", &[], "plain"),
        ] {
            let stops: Vec<String> = stops.iter().map(|s| (*s).to_owned()).collect();
            let mut spoken = tokenizer.stream_until(&[], &stops);
            let mut told = String::new();
            for token in tokenizer.encode(text, false).unwrap() {
                told += &spoken.add(token).unwrap();
                assert!(want.starts_with(&told), "{told:?} of {want:?}");
            }
            let stopped = spoken.stopped();
            told += &spoken.rest().unwrap();
            assert_eq!(
                (told.as_str(), stopped),
                (want, stops.iter().any(|s| !s.is_empty() && text.contains(s)))
            );
        }
    }
}
