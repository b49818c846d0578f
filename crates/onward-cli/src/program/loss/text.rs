//! The loss in a line that is no JSON.
//!
//! A number counts only where nothing beside it could change it: signs and separators that may stand there are listed, all others
//! are refused.

use super::quoted;

/// What stands between digits without ending a word: separators of thousands, decimals and times of day.
const JOINS: &str = ",:'’\u{a0}\u{2009}\u{202f}";
/// What else words are made of, besides letters and digits.
const PARTS: &str = "_.+-−%/\\*×^#\u{fffd}";
/// Words that may stand between the loss's name and its number.
const FILLERS: [&str; 3] = ["is", "was", "of"];
/// What may stand between a number and the word before it, besides blanks.
const BEFORE: &str = ":=,;|│┃&!…()[]{}\"'`$€£¥";
/// Arrows may stand there too; what they are made of may not.
const ARROWS: [&str; 3] = ["->", "=>", "→"];
/// Signs that make one number of two.
const OPERATORS: &str = "+-−–—*×·⋅/÷^";
/// Signs of a deviation, which stands after what it is of.
const DEVIATIONS: [&str; 3] = ["±", "+/-", "+-"];

/// A word of a line, with what stands between its neighbours and itself.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    before: &'a str,
    after: &'a str,
}

/// The number after the last mention of `key`, or the last number of a line.
pub fn in_text(line: &str, key: &str) -> Result<f64, String> {
    found(line, key).map_err(|why| {
        let whole = quoted(line);
        if why.contains(&whole) { why } else { format!("{why}, in `{whole}`") }
    })
}

fn found(line: &str, key: &str) -> Result<f64, String> {
    let words = words(line);
    let is_key = |word: &Word<'_>| word.text.to_lowercase() == key.to_lowercase();
    let mentions: Vec<usize> = (0..words.len()).filter(|at| is_key(&words[*at])).collect();
    let Some(last) = mentions.last() else { return last_number(line, &words) };
    let loss = after_key(&words, *last, key)?;
    // Earlier mentions may be of something else, but not of another number.
    let numbered =
        |at: &&usize| value_of(&words, **at).is_some_and(|next| number(words[next].text).is_some());
    for at in mentions.iter().filter(numbered) {
        let other = after_key(&words, *at, key)?;
        if other != loss && !(other.is_nan() && loss.is_nan()) {
            return Err(format!("{other} and {loss} stand after `{key}`"));
        }
    }
    Ok(loss)
}

/// The word that is to be the number of the key that is word `at`.
fn value_of(words: &[Word<'_>], at: usize) -> Option<usize> {
    (at + 1..words.len()).find(|next| !FILLERS.contains(&words[*next].text))
}

/// The number after the mention of the key that is word `at`.
fn after_key(words: &[Word<'_>], at: usize, key: &str) -> Result<f64, String> {
    let next = value_of(words, at);
    let told = next.map_or_else(|| "nothing".into(), |next| format!("`{}`", quoted(words[next].text)));
    let loss = next.and_then(|next| number(words[next].text));
    let loss = loss.unwrap_or_else(|| Err(format!("expected a number after `{key}`, found {told}")))?;
    next.map_or(Ok(loss), |next| alone(words, next).map(|()| loss))
}

fn last_number(line: &str, words: &[Word<'_>]) -> Result<f64, String> {
    let numbers = || words.iter().enumerate().filter_map(|(at, w)| Some((at, number(w.text)?)));
    let Some((at, loss)) = numbers().next_back() else {
        return Err(format!("printed no number but `{}`", quoted(line)));
    };
    let (loss, word) = (loss?, words[at]);
    if DEVIATIONS.iter().any(|sign| line.contains(sign)) {
        return Err(either("a deviation may be the last number"));
    }
    alone(words, at)?;
    let in_brackets = word.before.trim_end().ends_with('(') && word.after.trim_start().starts_with(')');
    if in_brackets && numbers().count() > 1 {
        return Err(either(&format!("({}) after another number may be its deviation", word.text)));
    }
    match numbers().find(|(_, n)| n.as_ref().is_ok_and(|n| !n.is_finite())) {
        Some((other, _)) if loss.is_finite() => {
            let other = quoted(words[other].text);
            Err(format!("`{other}` beside `{}`: either could be the loss", word.text))
        }
        _ => Ok(loss),
    }
}

fn either(why: &str) -> String {
    format!("{why}; `loss` before the other says which it is")
}

/// Whether the number that is word `at` is all of it: neither a sign before it, nor an operator, an exponent, a fraction or a group of digits
/// beside it.
fn alone(words: &[Word<'_>], at: usize) -> Result<(), String> {
    let word = words[at];
    let before = ARROWS.iter().fold(word.before.to_owned(), |text, arrow| text.replace(arrow, " "));
    let strange = |c: &char| !c.is_whitespace() && !BEFORE.contains(*c);
    if let Some(sign) = before.chars().find(strange) {
        return Err(format!("`{sign}` before `{}` may change it", word.text));
    }
    if let Some(beside) = at.checked_sub(1).filter(|left| continues(words, *left, at)) {
        return Err(joined(words[beside].text, word.text));
    }
    match at + 1 {
        next if next < words.len() && continues(words, at, next) => Err(joined(word.text, words[next].text)),
        _ => Ok(()),
    }
}

fn joined(one: &str, other: &str) -> String {
    format!("`{one}` and `{other}` may be one number")
}

/// Whether a number and the word after it may be one number.
fn continues(words: &[Word<'_>], at: usize, next: usize) -> bool {
    let (word, other) = (words[at].text, words[next].text);
    let whole = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = word.trim_start_matches(['+', '-']);
    if number(word).is_none() {
        return false;
    }
    let gap = words[at].after;
    if gap.chars().all(char::is_whitespace) {
        let [group, rest] = other.split_once(['.', ',']).map_or([other, ""], |(group, rest)| [group, rest]);
        let thousands = (1..=3).contains(&unsigned.len())
            && !unsigned.starts_with('0')
            && whole(unsigned)
            && group.len() == 3
            && whole(group);
        // Columns are further apart, or a tab is.
        let narrow = gap.chars().count() == 1 && gap != "\t";
        let fraction = whole(unsigned) && other.split_once('/').is_some_and(|(a, b)| whole(a) && whole(b));
        let power = other.strip_prefix(['e', 'E', 'd', 'D']).is_some_and(|power| {
            let digits = power.trim_start_matches(['+', '-', '−']);
            power.len() > digits.len() && whole(digits)
        });
        let vulgar = other.starts_with(|c: char| c.is_numeric() && !c.is_ascii_digit());
        let times = ["x", "X", "**", "·"].contains(&other)
            && words.get(next + 1).is_some_and(|factor| number(factor.text).is_some());
        return narrow && thousands && (rest.is_empty() || whole(rest))
            || fraction
            || power
            || vulgar
            || times;
    }
    let operator = gap.trim().chars().all(|c| OPERATORS.contains(c));
    operator && !DEVIATIONS.contains(&gap.trim()) && number(other).is_some()
}

/// The words of a line that hold a letter or a digit.
fn words(line: &str) -> Vec<Word<'_>> {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let ends = |at: usize, c: char| {
        let (before, after) = (line[..at].chars().next_back(), line[at + c.len_utf8()..].chars().next());
        let joins = JOINS.contains(c) && digit(before) && digit(after);
        let part = c.is_alphanumeric() || PARTS.contains(c) || (c.is_control() && !c.is_whitespace());
        !(joins || part)
    };
    let breaks = line.char_indices().filter(|(at, c)| ends(*at, *c)).map(|(at, c)| (at, at + c.len_utf8()));
    let (mut ranges, mut first) = (Vec::new(), 0);
    for (end, next) in breaks.chain([(line.len(), line.len())]) {
        ranges.push(first..end);
        first = next;
    }
    ranges.retain(|range| line[range.clone()].contains(char::is_alphanumeric));
    let word = |at: usize| {
        let end = |at: usize| ranges.get(at).map_or(line.len(), |range| range.start);
        let begin = at.checked_sub(1).map_or(0, |at| ranges[at].end);
        let std::ops::Range { start, end: stop } = ranges[at].clone();
        Word { text: &line[start..stop], before: &line[begin..start], after: &line[stop..end(at + 1)] }
    };
    (0..ranges.len()).map(word).collect()
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
