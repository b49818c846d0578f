//! From TOML text and `--set` arguments to a checked [`Spec`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use onward::{Error, ErrorKind, Hint, Place, Result, Segment};
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::kind::{Kind, found, quoted};
use super::table::{Field, Key, Part, Preset, join};
use super::{Spec, all_keys, check, defaults};
use crate::data::expand_home;

/// A spec is small; whatever is larger is something else.
const MOST_BYTES: u64 = 1 << 20;

impl Spec {
    /// Reads and checks the spec at `path` after applying `sets` (each `key=value`) and `seed` in this order.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read, [`ErrorKind::Spec`] if anything in it or in `sets` is not as
    /// `onward explain` says.
    pub fn load(path: &Path, sets: &[String], seed: Option<u64>) -> Result<Self> {
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
        let bad = |expected, found: String| Error::expected(ErrorKind::Spec, path.display(), expected, found);
        if bytes.len() as u64 > MOST_BYTES {
            return Err(bad("a spec of at most 1 MiB", "a larger file".into()));
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            bad("UTF-8 text", format!("the byte {:#04x} at offset {at}", e.as_bytes()[at]))
        })?;
        Self::parse(&text, path, sets, seed)
    }

    /// As [`Spec::load`], from the text of `file`; nothing is read from disk.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] as for [`Spec::load`].
    pub fn parse(text: &str, file: &Path, sets: &[String], seed: Option<u64>) -> Result<Self> {
        let keys = all_keys();
        let mut values = Values::from_toml(text, file, &keys)?;
        for argument in sets {
            values.set(argument, &keys)?;
        }
        if let Some(seed) = seed {
            values.set_seed(seed)?;
        }
        values.check_and_fill(&keys)?;
        let spec = Self::read(&values, "")?;
        check::across_keys(&spec, &values)?;
        Ok(spec)
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    /// From the file, at these byte offsets.
    File { key: usize, value: usize },
    /// From `--set`.
    Set,
    /// From `--seed`.
    Seed,
    /// From nobody.
    Default,
}

#[derive(Debug)]
struct Entry {
    value: Value,
    origin: Origin,
}

/// Values by dotted key, each with its origin.
#[derive(Debug)]
pub struct Values {
    file: PathBuf,
    text: String,
    entries: BTreeMap<String, Entry>,
}

// Reading.
impl Values {
    fn from_toml(text: &str, file: &Path, keys: &[Key]) -> Result<Self> {
        let mut values = Self { file: file.into(), text: text.into(), entries: BTreeMap::new() };
        let document = DeTable::parse(text).map_err(|e| {
            let place = values.at(e.span().map_or(0, |span| span.start));
            Error::new(ErrorKind::Spec, format!("not valid TOML: {}", e.message())).within(place)
        })?;
        values.add_table("", document.get_ref(), keys)?;
        Ok(values)
    }

    fn add_table(&mut self, section: &str, table: &DeTable<'_>, keys: &[Key]) -> Result<()> {
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(inner) if section.is_empty() && is_section(name.get_ref(), keys) => {
                    self.add_table(name.get_ref(), inner, keys)?;
                }
                leaf => {
                    let path = join(section, &unambiguous(name.get_ref()));
                    let origin = Origin::File { key: name.span().start, value: value.span().start };
                    let value = to_value(leaf).map_err(|found| {
                        let place = Place::key("", &path).within(self.at(value.span().start));
                        Error::expected(ErrorKind::Spec, place, "an integer from -2^63 to 2^63 - 1", found)
                    })?;
                    self.entries.insert(path, Entry { value, origin });
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, given: &str, keys: &[Key]) -> Result<()> {
        let Some((path, text)) = given.split_once('=') else {
            let found = quoted(given);
            return Err(Error::expected(ErrorKind::Spec, argument("--set"), "key=value", found));
        };
        let path = path.trim();
        match from_words(text.trim()) {
            Value::Table(table) if is_section(path, keys) => {
                table.into_iter().for_each(|(name, value)| self.set_one(join(path, &name), value));
            }
            value => match path.rsplit_once('.').filter(|(table, _)| is_table(table, keys)) {
                Some((table, name)) => self.set_inside(table, name, value),
                None => self.set_one(path.into(), value),
            },
        }
        Ok(())
    }

    fn set_one(&mut self, path: String, value: Value) {
        // The budget has two spellings: setting one replaces whichever the file has.
        let rival = match path.as_str() {
            "train.steps" => "train.epochs",
            "train.epochs" => "train.steps",
            _ => "",
        };
        if matches!(self.entries.get(rival), Some(Entry { origin: Origin::File { .. }, .. })) {
            self.entries.remove(rival);
        }
        self.entries.insert(path, Entry { value, origin: Origin::Set });
    }

    /// Sets one entry of a key that holds a table.
    fn set_inside(&mut self, path: &str, name: &str, value: Value) {
        let mut table = match self.entries.remove(path) {
            Some(Entry { value: Value::Table(table), .. }) => table,
            _ => toml::Table::new(),
        };
        table.insert(name.into(), value);
        self.set_one(path.into(), Value::Table(table));
    }

    fn set_seed(&mut self, seed: u64) -> Result<()> {
        let value = seed.value().ok_or_else(|| {
            Error::expected(ErrorKind::Spec, argument("--seed"), "an integer from 0 to 2^63 - 1", seed)
        })?;
        self.entries.insert("seed".into(), Entry { value, origin: Origin::Seed });
        Ok(())
    }
}

// Checking.
impl Values {
    fn check_and_fill(&mut self, keys: &[Key]) -> Result<()> {
        check::no_unknown(self, keys)?;
        for key in keys.iter().filter(|key| key.selects) {
            self.check_or_fill(key)?;
        }
        check::no_foreign(self, keys)?;
        for key in keys.iter().filter(|key| self.applies(key)).collect::<Vec<_>>() {
            self.check_or_fill(key)?;
        }
        Ok(())
    }

    /// Does `key` belong to what has been chosen?
    pub fn applies(&self, key: &Key) -> bool {
        key.only.is_none_or(|only| only.choices.contains(&self.text(key.section, only.selector)))
    }

    fn check_or_fill(&mut self, key: &Key) -> Result<()> {
        let path = key.path();
        if !self.entries.contains_key(&path) {
            let Some(value) = self.preset(key)? else { return Ok(()) };
            self.entries.insert(path.clone(), Entry { value, origin: Origin::Default });
        }
        let Some(entry) = self.entries.get(&path) else { return Ok(()) };
        if let Some(found) = key.kind.refuses(&entry.value) {
            return Err(hinted(self.error(&path, &key.kind, found), &path));
        }
        if key.kind == Kind::Path {
            self.make_absolute(&path)?;
        }
        Ok(())
    }

    fn preset(&self, key: &Key) -> Result<Option<Value>> {
        match key.preset {
            Preset::Required => Err(self.missing(&key.path(), &key.kind)),
            Preset::WithTable if self.has_section(key.section) => Err(self.missing(&key.path(), &key.kind)),
            Preset::WithTable | Preset::Unset => Ok(None),
            Preset::Is(text) => Ok(Some(from_words(text))),
            Preset::PerMethod => {
                Ok(defaults::of_method(self.text("method", "name"), key.name).map(from_words))
            }
            Preset::Computed(_) => Ok(self.computed(&key.path())),
        }
    }

    /// Defaults that follow from the file's name or from keys that precede `path` in the table.
    fn computed(&self, path: &str) -> Option<Value> {
        match path {
            "name" => Some(Value::String(check::name_from(&self.file))),
            "model.bias" => Some(Value::Boolean(!self.get("model", "batch_norm")?.as_bool()?)),
            "model.residual" => {
                let layers = self.get("model", "channels")?.as_array()?.len();
                Some(Value::Array(vec![Value::Integer(-1); layers]))
            }
            _ => None,
        }
    }

    /// A path from the file counts from the file's folder, one from an argument from the current folder.
    fn make_absolute(&mut self, path: &str) -> Result<()> {
        let Some(Entry { value: Value::String(text), origin }) = self.entries.get(path) else {
            return Ok(());
        };
        let folder = match origin {
            Origin::File { .. } => self.file.parent().unwrap_or(Path::new("")),
            _ => Path::new(""),
        };
        let joined = folder.join(expand_home(Path::new(text)));
        let absolute = std::path::absolute(&joined).map_err(|e| Error::io("find", &joined, e))?;
        let Some(text) = absolute.to_str() else {
            return Err(self.error(path, "a path in UTF-8", absolute.display()));
        };
        let (value, origin) = (Value::String(text.into()), *origin);
        self.entries.insert(path.into(), Entry { value, origin });
        Ok(())
    }
}

// Looking up.
impl Values {
    /// All dotted keys, those of the arguments first, then in the order of the file.
    pub fn paths(&self) -> Vec<&str> {
        let mut paths: Vec<_> = self.entries.iter().collect();
        paths.sort_by_key(|(_, entry)| match entry.origin {
            Origin::File { key, .. } => key + 1,
            _ => 0,
        });
        paths.into_iter().map(|(path, _)| path.as_str()).collect()
    }

    /// The value of a key, if it has one.
    pub fn get(&self, section: &str, name: &str) -> Option<&Value> {
        self.entries.get(&join(section, name)).map(|entry| &entry.value)
    }

    /// The value of a key that holds a word; empty if it holds none.
    pub fn text(&self, section: &str, name: &str) -> &str {
        self.get(section, name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Is any key of `section` set?
    pub fn has_section(&self, section: &str) -> bool {
        let prefix = join(section, "");
        self.entries.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
    }

    /// The typed value of a key.
    pub fn field<T: Field>(&self, section: &str, name: &str) -> Result<T> {
        let value = self.get(section, name);
        T::read(value).ok_or_else(|| {
            let found = value.map_or("nothing".into(), found);
            self.error(&join(section, name), T::kind(super::ANY), found)
        })
    }
}

// Complaining.
impl Values {
    /// The error about the value of `path`.
    pub fn error(&self, path: &str, expected: impl Display, found: impl Display) -> Error {
        Error::expected(ErrorKind::Spec, self.place(path), expected, found)
    }

    /// The error about a key that has to be there.
    pub fn missing(&self, path: &str, kind: &Kind) -> Error {
        hinted(self.error(path, kind, "no such key"), path)
    }

    /// Where the value of `path` stands, and `path`.
    fn place(&self, path: &str) -> Place {
        let key = Place::key("", path);
        match self.entries.get(path).map(|entry| entry.origin) {
            Some(Origin::File { value, .. }) => key.within(self.at(value)),
            Some(Origin::Set) => key.within(argument("--set")),
            Some(Origin::Seed) => argument("--seed").into(),
            Some(Origin::Default) | None => key.within(self.file.as_path()),
        }
    }

    /// Where the key `path` itself stands, and `path`.
    pub fn place_of_key(&self, path: &str) -> Place {
        let plain = (1..=60).contains(&path.len()) && path.chars().all(|c| c.is_ascii_graphic());
        let shown = Segment::Key(if plain { path.into() } else { quoted(path) });
        Place::from(shown).within(match self.entries.get(path).map(|entry| entry.origin) {
            Some(Origin::File { key, .. }) => self.at(key),
            _ => argument("--set").into(),
        })
    }

    /// `file:line:column` of a byte offset.
    fn at(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        [Segment::File(self.file.clone()), Segment::Position { line, column }].into()
    }
}

fn argument(name: &str) -> Segment {
    Segment::Argument(name.into())
}

/// Adds what helps with a mistake in `path`, beyond its kind.
fn hinted(error: Error, path: &str) -> Error {
    let hint = match path {
        "seed" => "in the spec or by --seed",
        "train.steps" | "train.epochs" => "the budget must be at least 1 step",
        _ => return error,
    };
    error.hint(Hint::Expecting(hint.into()))
}

/// A key's name as a part of a path: a name with a dot in it is no path.
fn unambiguous(name: &str) -> Cow<'_, str> {
    if name.contains('.') { format!("'{name}'").into() } else { name.into() }
}

/// Is `path` the name of a table?
pub fn is_section(path: &str, keys: &[Key]) -> bool {
    !path.is_empty() && keys.iter().any(|key| key.section == path)
}

/// Is `path` a key that holds a table?
fn is_table(path: &str, keys: &[Key]) -> bool {
    keys.iter().any(|key| matches!(key.kind, Kind::Table(_)) && key.path() == path)
}

/// An argument as TOML, or as a string where it is none.
pub fn from_words(text: &str) -> Value {
    let parsed = DeValue::parse(text).ok().and_then(|value| to_value(value.get_ref()).ok());
    parsed.unwrap_or_else(|| Value::String(text.into()))
}

/// From the parser's value; the text of an integer that is too large otherwise.
fn to_value(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(n) => {
            Value::Integer(i64::from_str_radix(n.as_str(), n.radix()).map_err(|_| cut(&n.to_string()))?)
        }
        // Rust reads every float that TOML has; one too large is infinite, which no key takes.
        DeValue::Float(x) => Value::Float(x.as_str().parse().map_err(|_| cut(x.as_str()))?),
        DeValue::Boolean(b) => Value::Boolean(*b),
        DeValue::Datetime(date) => Value::Datetime(*date),
        DeValue::Array(entries) => {
            Value::Array(entries.iter().map(|entry| to_value(entry.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let pair = |(name, value): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                Ok((name.get_ref().to_string(), to_value(value.get_ref())?))
            };
            Value::Table(table.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

fn cut(digits: &str) -> String {
    digits.chars().take(60).collect()
}
