//! What `onward explain` says, all of it from the table of keys.

use onward::{Error, ErrorKind, Hint, Result};

use super::{Spec, all_keys};
use onward::schema::{Choice, Key, Kind, Preset, is_section, known_as, quoted, suggestion};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Lines are broken here.
const WIDTH: usize = 100;

/// What a key (`method.sigma`, or just `sigma`) or a table (`method`) means; without one, all keys. A word that other programs use
/// for a key (`lr`) finds it, and any other word the keys whose texts have it.
///
/// # Errors
/// [`ErrorKind::Spec`], with the nearest key, if nothing has that name or word.
pub fn explain(key: Option<&str>) -> Result<String> {
    let keys = all_keys();
    Ok(match find(key, &keys)? {
        Found::All => list(&keys),
        Found::Table(name) => list_section(name, &keys),
        Found::Keys(keys) => keys.into_iter().map(describe).collect::<Vec<_>>().join("\n"),
        Found::Texts(keys) => keys.into_iter().map(line).collect::<BTreeSet<_>>().into_iter().collect(),
    })
}

/// Explains keys to programs: an object per key, with its place, text, values and default.
///
/// # Errors
/// As for [`explain`].
pub fn told(key: Option<&str>) -> Result<Vec<Value>> {
    let keys = all_keys();
    let found: Vec<&Key> = match find(key, &keys)? {
        Found::All => keys.iter().collect(),
        Found::Table(name) => keys.iter().filter(|key| key.section == name).collect(),
        Found::Keys(keys) | Found::Texts(keys) => keys,
    };
    Ok(found.into_iter().map(event).collect())
}

fn event(key: &Key) -> Value {
    let choices = key.kind.choices();
    let choices: Map<String, Value> =
        choices.iter().map(|c| (c.name.to_owned(), tidy(c.doc).into())).collect();
    json!({"event": "key", "key": key.path(), "text": tidy(key.doc), "value": key.kind.to_string(), "choices": choices,
        "default": default(key), "only": key.only.as_ref().map(|_| belonging(key))})
}

/// What a word of `explain` stands for.
enum Found<'a> {
    All,
    Table(&'a str),
    Keys(Vec<&'a Key>),
    /// Those whose texts have the word.
    Texts(Vec<&'a Key>),
}

fn find<'a>(key: Option<&'a str>, keys: &'a [Key]) -> Result<Found<'a>> {
    let Some(wanted) = key.map(|key| key.trim_matches(['[', ']'])) else { return Ok(Found::All) };
    if is_section(wanted, keys) {
        return Ok(Found::Table(wanted));
    }
    let by = |same: &dyn Fn(&Key) -> bool| keys.iter().filter(|key| same(key)).collect::<Vec<_>>();
    let ways = [by(&|key| key.path() == wanted), by(&|key| key.name == wanted), known_as(wanted, keys)];
    if let Some(meant) = ways.into_iter().find(|keys| !keys.is_empty()) {
        return Ok(Found::Keys(meant));
    }
    let texts = with_words(wanted, keys);
    if !texts.is_empty() {
        return Ok(Found::Texts(texts));
    }
    let error = Error::new(ErrorKind::Spec, "unknown key").within(quoted(wanted));
    Err(error.hint(Hint::Then(suggestion(wanted, keys))))
}

/// The keys whose texts, or whose choices' texts, have the words in them: side by side, else anywhere.
fn with_words<'a>(words: &str, keys: &'a [Key]) -> Vec<&'a Key> {
    const SHORTEST: usize = 3;
    let words = words.to_lowercase();
    if words.len() < SHORTEST {
        return Vec::new();
    }
    let having = |wanted: &[&str]| -> Vec<&Key> {
        let has = |text: &str, word: &str| tidy(text).to_lowercase().contains(word);
        let told = |key: &Key, word: &str| {
            has(key.doc, word) || key.kind.choices().iter().any(|c| has(c.name, word) || has(c.doc, word))
        };
        keys.iter().filter(|key| wanted.iter().all(|word| told(key, word))).collect()
    };
    let whole = having(&[words.as_str()]);
    if whole.is_empty() { having(&words.split_whitespace().collect::<Vec<_>>()) } else { whole }
}

/// A key's place and first sentence.
fn line(key: &Key) -> String {
    let entry = wrap(&summary(key), "                          ");
    format!("{:<25} {}", key.path(), entry.trim_start())
}

fn list(keys: &[Key]) -> String {
    let tables = Spec::TABLES.iter().map(|table| format!("\n{}", list_section(table.name, keys)));
    format!("{}{}", list_section("", keys), tables.collect::<String>())
}

fn list_section(section: &str, keys: &[Key]) -> String {
    let about = Spec::TABLES.iter().find(|table| table.name == section);
    let mut text = about.map_or(String::new(), |table| format!("[{section}]  {}\n", tidy(table.doc)));
    let mut only = None;
    for key in keys.iter().filter(|key| key.section == section) {
        if key.only != only {
            only.clone_from(&key.only);
            text += &wrap(&format!("{}:", belonging(key)), "  ");
        }
        let entry = wrap(&format!("{} ({})", summary(key), default(key)), "                    ");
        text += &format!("    {:<15} {}", key.name, entry.trim_start());
    }
    text
}

/// The first sentence of a key's explanation.
fn summary(key: &Key) -> String {
    let doc = tidy(key.doc);
    let end = doc.find(". ").or(doc.find("; ")).unwrap_or(doc.trim_end_matches('.').len());
    doc[..end].into()
}

fn describe(key: &Key) -> String {
    let mut text = format!("{}\n{}", key.path(), wrap(&tidy(key.doc), "  "));
    text += &wrap(&format!("Value: {}; {}.", key.kind, default(key)), "  ");
    for Choice { name, doc } in key.kind.choices() {
        text += &wrap(&format!("{name:?}: {}", tidy(doc)), "    ");
    }
    if let Kind::Table(words) = &key.kind {
        for (word, doc) in words {
            text += &wrap(&format!("{word:?}: {doc}"), "    ");
        }
    }
    if key.only.is_some() {
        text += &wrap(&format!("Only {}.", belonging(key)), "  ");
    }
    text
}

fn belonging(key: &Key) -> String {
    let Some(only) = &key.only else { return "always".into() };
    let choices: Vec<_> = only.choices.iter().map(|choice| format!("{choice:?}")).collect();
    format!("for {}.{} = {}", key.section, only.selector, choices.join(" or "))
}

/// What a key is worth when nobody sets it.
pub fn default(key: &Key) -> String {
    match &key.preset {
        Preset::Required => "required".into(),
        Preset::WithTable => format!("required with [{}]", key.section),
        Preset::Unset => "optional".into(),
        Preset::Is(value) => format!("default {value}"),
        Preset::Computed { how, .. } => format!("default: {how}"),
        Preset::Chosen { by, .. } => format!("default {}", default_per_choice(key, by)),
    }
}

/// One value if all choices agree, otherwise each with its choices.
fn default_per_choice(key: &Key, by: &str) -> String {
    let keys = all_keys();
    let selector = keys.iter().find(|selector| selector.section == key.section && selector.name == by);
    let choices =
        selector.map_or(&[][..], |selector| selector.kind.choices()).iter().map(|choice| choice.name);
    let methods = choices.filter(|name| key.only.as_ref().is_none_or(|only| only.choices.contains(name)));
    let value = |method| key.preset.of(method, key.name).map_or("none".into(), |value| value.to_string());
    // Each value with the methods that have it, in the order of the first of them.
    let mut values: Vec<(String, Vec<&str>)> = Vec::new();
    for method in methods {
        let value = value(method);
        match values.iter_mut().find(|(known, _)| *known == value) {
            Some((_, methods)) => methods.push(method),
            None => values.push((value, vec![method])),
        }
    }
    match values.as_slice() {
        [(value, _)] => value.clone(),
        _ => {
            let each = values.iter().map(|(value, methods)| format!("{value} for {}", methods.join(", ")));
            each.collect::<Vec<_>>().join("; ")
        }
    }
}

/// A comment's lines as one.
pub fn tidy(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `text` in lines that open with `indent`.
pub fn wrap(text: &str, indent: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && (indent.len() + line.chars().count() + 1 + word.chars().count()) > WIDTH {
            lines += &format!("{indent}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    format!("{lines}{indent}{line}\n")
}
