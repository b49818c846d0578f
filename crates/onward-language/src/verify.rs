//! What a written text is worth: verifiers, and the task that asks them.

use crate::tokenizer::Tokenizer;
use onward::dataset::Targets;
use onward::model::Act;
use onward::task::{Answers, Metric, Task};
use onward::{Error, ErrorKind, Result};
use regex::Regex;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A text that a model wrote, with what it was asked and what it should have written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// What it was to go on from.
    pub prompt: String,
    /// What it should have written, as far as somebody said.
    pub completion: String,
    /// What it wrote.
    pub text: String,
    /// Whether it ended the text itself, and not by running out of tokens.
    pub ended: bool,
}

/// What a text is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// From 0 to 1; higher is better.
    pub reward: f32,
    /// Whether it has the form that was asked for, whatever it says; where that is told.
    pub formed: Option<bool>,
    /// Whether all of it is right; where that is told.
    pub right: Option<bool>,
}

/// Judges texts.
///
/// It is asked for several texts at once, from many threads, and has to say the same of the same text each time. What cannot be known, such as the
/// verdict of a program that took too long, is `None`: it is left out and never guessed.
///
/// ```
/// use onward_language::{Verdict, Verify, Written};
///
/// /// Likes short texts.
/// struct Short;
///
/// impl Verify for Short {
///     fn verdicts(&self, texts: &[Written]) -> Vec<Option<Verdict>> {
///         let reward = |text: &Written| 1.0 / (1.0 + text.text.len() as f32);
///         texts.iter().map(|text| Some(Verdict { reward: reward(text), formed: None, right: None })).collect()
///     }
/// }
/// ```
pub trait Verify: Send + Sync {
    /// The verdict on each of `texts`.
    fn verdicts(&self, texts: &[Written]) -> Vec<Option<Verdict>>;
}

/// What the built-in verifiers look at.
#[derive(Clone, Debug)]
pub enum Look {
    /// The text is the completion, but for spaces around them.
    Exact,
    /// The F1 of the words that text and completion share (Rajpurkar et al. 2016, arXiv 1606.05250).
    F1,
    /// An expression that all of the text matches; its group `answer`, if it has one, is the completion.
    Regex(Regex),
    /// The text is a JSON value whose leaves are those of the completion.
    Json,
}

/// A built-in verifier.
#[derive(Clone, Debug)]
pub struct Builtin {
    /// What is looked at.
    pub look: Look,
    /// The share of the reward that a text of the right form has, from 0 to 1; the rest is for what it says.
    pub form: f32,
}

impl Look {
    /// An expression that all of a text is to match.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if it is none.
    pub fn regex(pattern: &str) -> Result<Self> {
        // What follows the whole text would else be overlooked.
        let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|e| {
            let found = e.to_string().lines().last().unwrap_or_default().to_owned();
            Error::expected(ErrorKind::Spec, "objective.pattern", "a regular expression", found)
        })?;
        Ok(Self::Regex(whole))
    }

    /// Whether a text has the form, and how much of what it says is right.
    fn of(&self, Written { completion, text, ended, .. }: &Written) -> (bool, f32) {
        let (text, wanted) = (text.trim(), completion.trim());
        let same = |text: &str| if text == wanted { 1.0 } else { 0.0 };
        match self {
            Self::Exact => (*ended, same(text)),
            Self::F1 => (*ended, f1(text, wanted)),
            Self::Regex(pattern) => match pattern.captures(text) {
                None => (false, 0.0),
                Some(found) if pattern.capture_names().flatten().any(|name| name == "answer") => {
                    (*ended, same(found.name("answer").map_or("", |group| group.as_str())))
                }
                Some(_) => (*ended, 1.0),
            },
            Self::Json => {
                let leaves = |text: &str| {
                    let mut all = BTreeMap::new();
                    serde_json::from_str(text).ok().map(|value: Value| {
                        leaves(&value, String::new(), &mut all);
                        all
                    })
                };
                let (Some(found), Some(wanted)) = (leaves(text), leaves(wanted)) else { return (false, 0.0) };
                let right = wanted.iter().filter(|(key, value)| found.get(*key) == Some(value)).count();
                let formed = *ended && found.keys().eq(wanted.keys());
                (formed, right as f32 / wanted.len().max(found.len()).max(1) as f32)
            }
        }
    }
}

/// The values in a JSON value that have no parts, by the way to each.
fn leaves(value: &Value, at: String, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| leaves(value, format!("{at}/{key}"), all));
        }
        Value::Array(list) if !list.is_empty() => {
            list.iter().enumerate().for_each(|(i, value)| leaves(value, format!("{at}/{i}"), all));
        }
        _ => {
            all.insert(at, value.clone());
        }
    }
}

/// The F1 of the words of two texts, letters in lower case; of two without words 1.
fn f1(text: &str, wanted: &str) -> f32 {
    let words = |text: &str| {
        let mut all = BTreeMap::new();
        text.to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .for_each(|word| *all.entry(word.to_owned()).or_insert(0u32) += 1);
        all
    };
    let (found, wanted) = (words(text), words(wanted));
    let count = |words: &BTreeMap<String, u32>| words.values().sum::<u32>();
    let shared: u32 = found.iter().map(|(word, n)| *n.min(wanted.get(word).unwrap_or(&0))).sum();
    match count(&found) + count(&wanted) {
        0 => 1.0,
        all => 2.0 * shared as f32 / all as f32,
    }
}

impl Verify for Builtin {
    fn verdicts(&self, texts: &[Written]) -> Vec<Option<Verdict>> {
        let one = |text: &Written| {
            let (formed, right) = self.look.of(text);
            let reward = self.form * f32::from(formed) + (1.0 - self.form) * right;
            Some(Verdict { reward, formed: Some(formed), right: Some(formed && right == 1.0) })
        };
        texts.iter().map(one).collect()
    }
}

/// One minus the reward of what a model writes for each prompt. Rows answer with the tokens that were written ([`crate::Writing`]), and with the one that ended
/// the text, if one did; targets
/// are the tokens of prompt and completion, each filled up with [`onward::dataset::NO_ITEM`] to half of the targets. Its metric is the reward; texts that were found well-formed, and those found right, are measured
/// beside it. Where a verdict of a batch is not known, neither is its loss.
#[derive(Clone)]
pub struct Rewarded {
    /// Whose tokens they are.
    pub tokenizer: Arc<Tokenizer>,
    /// The tokens that end a text.
    pub end: Vec<u32>,
    /// Who judges.
    pub verify: Arc<dyn Verify>,
}

impl Rewarded {
    /// A row's text, by the tokens that were written and its targets.
    ///
    /// # Errors
    /// As for [`Tokenizer::decode`].
    pub fn text(&self, written: &[f32], targets: &[f32]) -> Result<Written> {
        let tokens = |all: &[f32]| -> Vec<u32> {
            all.iter().take_while(|token| **token >= 0.0).map(|token| *token as u32).collect()
        };
        let (prompt, completion) = targets.split_at(targets.len() / 2);
        let mut all = tokens(written);
        let ended = all.last().is_some_and(|last| self.end.contains(last));
        all.truncate(all.len() - usize::from(ended));
        let mut completion = tokens(completion);
        if completion.last().is_some_and(|last| self.end.contains(last)) {
            completion.pop();
        }
        let prompt = tokens(prompt);
        let text = self.tokenizer.after(&prompt, &all)?;
        let completion = self.tokenizer.after(&prompt, &completion)?;
        Ok(Written { prompt: self.tokenizer.decode(&prompt)?, completion, text, ended })
    }

    /// The texts of rows of outputs.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] for targets that are no prompts; as for [`Rewarded::text`].
    fn texts(&self, outputs: &Act, answers: Answers<'_>) -> Result<Vec<Written>> {
        let Targets::Values { values, width } = answers.targets else {
            return Err(Error::expected(ErrorKind::Data, "targets", "prompts", "classes"));
        };
        let row = |row: usize| self.text(outputs.row(row), &values[answers.sample(row) * width..][..*width]);
        (0..outputs.rows()).map(row).collect()
    }

    fn verdicts(&self, outputs: &Act, answers: Answers<'_>) -> Result<Vec<Option<Verdict>>> {
        Ok(self.verify.verdicts(&self.texts(outputs, answers)?))
    }
}

impl Task for Rewarded {
    fn check(&self, _: usize, answers: Answers<'_>) -> Result<()> {
        match answers.targets {
            Targets::Values { width, .. } if width.is_multiple_of(2) => Ok(()),
            _ => Err(Error::expected(ErrorKind::Data, "targets", "prompts and completions", "others")),
        }
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        let verdicts = self.verdicts(outputs, answers)?;
        for (row, (loss, verdict)) in losses.iter_mut().zip(&verdicts).enumerate() {
            let Some(verdict) = verdict else {
                let place = format!("reward of row {row}");
                return Err(Error::expected(ErrorKind::Evaluator, place, "one that is known", "none"));
            };
            *loss = 1.0 - verdict.reward;
        }
        Ok(())
    }

    fn measures(&self, outputs: &Act, answers: Answers<'_>) -> Vec<(String, f64)> {
        let Ok(verdicts) = self.verdicts(outputs, answers) else { return Vec::new() };
        let known: Vec<&Verdict> = verdicts.iter().flatten().collect();
        let share = |name: &str, of: fn(&Verdict) -> Option<bool>| {
            let all: Vec<bool> = known.iter().filter_map(|verdict| of(verdict)).collect();
            let held = all.iter().filter(|held| **held).count();
            (!all.is_empty()).then(|| (name.to_owned(), held as f64 / all.len() as f64))
        };
        let unknown = (verdicts.len() - known.len()) as f64;
        let unknown = (unknown > 0.0).then(|| ("unknown".to_owned(), unknown));
        [share("well_formed", |v| v.formed), share("right", |v| v.right), unknown]
            .into_iter()
            .flatten()
            .collect()
    }

    fn metric(&self, loss: f32) -> Option<Metric> {
        Some(Metric { name: "reward".into(), value: 1.0 - loss })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(look: Look, text: &str, completion: &str) -> (f32, bool, bool) {
        let written =
            Written { prompt: String::new(), completion: completion.into(), text: text.into(), ended: true };
        let all = Builtin { look, form: 0.25 }.verdicts(&[written]);
        let Verdict { reward, formed, right } = all[0].unwrap();
        (reward, formed.unwrap(), right.unwrap())
    }

    #[test]
    fn form_and_content_are_told_apart() {
        assert_eq!(verdict(Look::Exact, " yes\n", "yes"), (1.0, true, true));
        assert_eq!(verdict(Look::Exact, "no", "yes"), (0.25, true, false));
        assert_eq!(
            verdict(Look::F1, "The cat, the dog", "the cat"),
            (0.25 + 0.75 * (4.0 / 6.0), true, false)
        );
        let wanted = r#"{"name": "f", "arguments": {"a": 1, "b": [2, 3]}}"#;
        assert_eq!(
            verdict(Look::Json, r#"{"arguments":{"b":[2,3],"a":1},"name":"f"}"#, wanted),
            (1.0, true, true)
        );
        let half = verdict(Look::Json, r#"{"name": "f", "arguments": {"a": 2, "b": [2, 4]}}"#, wanted);
        assert_eq!(half, (0.25 + 0.75 * 0.5, true, false));
        // A key more or less is another form; a value of another type is another value.
        assert_eq!(verdict(Look::Json, r#"{"name": "f"}"#, wanted), (0.75 * 0.25, false, false));
        assert_eq!(verdict(Look::Json, r#"{"a": "1"}"#, r#"{"a": 1}"#), (0.25, true, false));
        assert_eq!(verdict(Look::Json, "{", "{}"), (0.0, false, false));
        let pattern = || Look::regex(r"Answer: (?P<answer>\d+)\.").unwrap();
        assert_eq!(verdict(pattern(), "Answer: 12.", "12"), (1.0, true, true));
        assert_eq!(verdict(pattern(), "Answer: 13.", "12"), (0.25, true, false));
        assert_eq!(verdict(pattern(), "Answer: 12. Or 13.", "12"), (0.0, false, false));
        assert!(
            Look::regex("(").unwrap_err().to_string().starts_with("objective.pattern: expected a regular")
        );
    }

    #[test]
    fn a_text_that_was_cut_off_has_no_form() {
        let cut =
            Written { prompt: String::new(), completion: "yes".into(), text: "yes".into(), ended: false };
        let all = Builtin { look: Look::Exact, form: 0.25 }.verdicts(&[cut]);
        assert_eq!(all[0], Some(Verdict { reward: 0.75, formed: Some(false), right: Some(false) }));
    }
}
