//! Values by dotted key, each with its place: what a front end has read, checked and filled with defaults.

use super::nearest::{is_section, no_foreign, no_unknown};
use super::{Field, Key, Kind, Preset, Value, join, quoted};
use crate::{Error, ErrorKind, Hint, Place, Result, Segment};
use std::collections::BTreeMap;
use std::fmt::Display;

/// The top-level key that says which version of specs this is written in; its range ends with the version that is known.
const VERSION: &str = "version";

/// A value and where it was given.
#[derive(Clone, Debug)]
pub struct GivenValue {
    /// The value.
    pub value: Value,
    /// Where the value stands: the file and the position in it, or the argument. The key's name comes after it.
    pub at: Place,
    /// Where the key itself stands.
    pub key_at: Place,
    /// The rank among several mistakes: the one with the lowest number is reported first.
    pub order: usize,
}

/// Values by dotted key, each with its place.
#[derive(Clone, Debug, Default)]
pub struct Values {
    whole: Place,
    entries: BTreeMap<String, GivenValue>,
}

// Giving.
impl Values {
    /// An empty set of values of the file `whole`.
    pub fn of(whole: impl Into<Place>) -> Self {
        Self { whole: whole.into(), entries: BTreeMap::new() }
    }

    /// The file that the values are from.
    pub fn whole(&self) -> &Place {
        &self.whole
    }

    /// Sets the dotted key `path`.
    pub fn set(&mut self, path: impl Into<String>, given: GivenValue) {
        self.entries.insert(path.into(), given);
    }

    /// Sets the dotted key `path`, without a place of its own.
    pub fn give(&mut self, path: impl Into<String>, value: Value) {
        let (at, key_at) = (self.whole.clone(), self.whole.clone());
        self.set(path, GivenValue { value, at, key_at, order: 0 });
    }

    /// Sets all keys of a table and of the tables within it that `keys` know, without places of their own.
    pub fn give_all(&mut self, table: &BTreeMap<String, Value>, keys: &[Key]) {
        for (name, value) in table {
            match value {
                Value::Table(inner) if is_section(name, keys) => {
                    inner.iter().for_each(|(key, value)| self.give(join(name, key), value.clone()));
                }
                _ => self.give(name, value.clone()),
            }
        }
    }

    /// Removes a key and returns what it was set to.
    pub fn take(&mut self, path: &str) -> Option<GivenValue> {
        self.entries.remove(path)
    }

    /// A key's value and place.
    pub fn given(&self, path: &str) -> Option<&GivenValue> {
        self.entries.get(path)
    }
}

// Checking.
impl Values {
    /// Refuses what no key accepts and fills the rest with defaults.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] naming the first key that is unknown, belongs elsewhere, is missing or has a value that it does not
    /// accept. If the values are said to be of a later version than the known one, the error says so too.
    pub fn check(&mut self, keys: &[Key]) -> Result<()> {
        let newer = self.is_newer(keys);
        self.check_all(keys).map_err(|e| {
            if newer {
                e.hint(Hint::Then("the spec is of a later version than this program".into()))
            } else {
                e
            }
        })
    }

    fn check_all(&mut self, keys: &[Key]) -> Result<()> {
        no_unknown(self, keys)?;
        for key in keys.iter().filter(|key| key.selects) {
            self.check_or_fill(key)?;
        }
        no_foreign(self, keys)?;
        for key in keys.iter().filter(|key| self.applies(key)).collect::<Vec<_>>() {
            self.check_or_fill(key)?;
        }
        Ok(())
    }

    /// Whether they are said to be of a later version than the known one.
    pub(super) fn is_newer(&self, keys: &[Key]) -> bool {
        let known = keys.iter().find(|key| key.section.is_empty() && key.name == VERSION);
        match (known.map(|key| &key.kind), self.get("", VERSION)) {
            (Some(kind @ Kind::Int(_)), Some(Value::Int(n))) if *n > 0 => {
                kind.refuses(&Value::Int(*n)).is_some()
            }
            _ => false,
        }
    }

    /// Does `key` belong to what has been chosen?
    pub fn applies(&self, key: &Key) -> bool {
        let chosen = |selector| self.text(key.section, selector);
        key.only.as_ref().is_none_or(|only| only.choices.contains(&chosen(only.selector)))
    }

    fn check_or_fill(&mut self, key: &Key) -> Result<()> {
        let path = key.path();
        if !self.entries.contains_key(&path) {
            let Some(value) = self.preset(key)? else { return Ok(()) };
            self.give(path.clone(), value);
        }
        self.make_whole(&path, &key.kind);
        match self.get("", &path).and_then(|value| key.kind.refuses(value)) {
            Some(found) => {
                let error = hinted(self.error(&path, &key.kind, found), key);
                Err(match key.kind.meant(self.text("", &path)) {
                    Some(choice) => error.hint(Hint::Then(format!("did you mean {choice:?}?"))),
                    None => error,
                })
            }
            None => Ok(()),
        }
    }

    /// Takes a number such as 1e6 for a whole one where only that is accepted.
    fn make_whole(&mut self, path: &str, kind: &Kind) {
        const LARGEST: f64 = (1_u64 << 53) as f64;
        // Where fractions are accepted too, 1.0 may be one.
        let (Kind::Int(_), Some(given)) = (kind, self.entries.get_mut(path)) else { return };
        if let Value::Float(x) = given.value
            && x.fract() == 0.0
            && x.abs() <= LARGEST
        {
            given.value = Value::Int(x as i64);
        }
    }

    fn preset(&self, key: &Key) -> Result<Option<Value>> {
        match &key.preset {
            Preset::Required => Err(self.missing(key)),
            Preset::WithTable if self.has_section(key.section) => Err(self.missing(key)),
            Preset::WithTable | Preset::Unset => Ok(None),
            Preset::Is(value) => Ok(Some(value.clone())),
            Preset::Chosen { by, .. } => Ok(key.preset.of(self.text(key.section, by), key.name)),
            Preset::Computed { is, .. } => Ok(is(self)),
        }
    }
}

// Looking up.
impl Values {
    /// All dotted keys, in the order in which mistakes are reported.
    pub fn paths(&self) -> Vec<&str> {
        let mut paths: Vec<_> = self.entries.iter().collect();
        paths.sort_by_key(|(_, given)| given.order);
        paths.into_iter().map(|(path, _)| path.as_str()).collect()
    }

    /// The value of a key, if it has one.
    pub fn get(&self, section: &str, name: &str) -> Option<&Value> {
        self.entries.get(&join(section, name)).map(|given| &given.value)
    }

    /// The value of a key that holds a word; empty if it holds none.
    pub fn text(&self, section: &str, name: &str) -> &str {
        self.get(section, name).and_then(Value::as_text).unwrap_or_default()
    }

    /// Is any key of `section` set?
    fn has_section(&self, section: &str) -> bool {
        let prefix = join(section, "");
        self.entries.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
    }

    /// The typed value of a key.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if it has not been checked.
    pub fn field<T: Field>(&self, section: &str, name: &str) -> Result<T> {
        let value = self.get(section, name);
        T::read(value).ok_or_else(|| {
            let found = value.map_or("nothing".into(), Value::found);
            self.error(&join(section, name), T::kind(super::ANY), found)
        })
    }

    /// The typed value of a key that several parts share, some of which take one number for all layers alone.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if this part is one of those.
    pub fn shared<T: Field>(&self, section: &str, name: &str) -> Result<T> {
        T::read(self.get(section, name))
            .ok_or_else(|| self.error(&join(section, name), "one number for all layers", "one per layer"))
    }
}

// Complaining.
impl Values {
    /// The error about the value of `path`.
    pub fn error(&self, path: &str, expected: impl Display, found: impl Display) -> Error {
        Error::expected(ErrorKind::Spec, self.place(path), expected, found)
    }

    /// Puts the place that the key of an error has here before the error.
    pub fn placed(&self, error: Error) -> Error {
        match error.key().and_then(|key| self.entries.get(key)) {
            Some(given) => error.within(given.at.clone()),
            None => error.within(self.whole.clone()),
        }
    }

    /// The error about a key that has to be there.
    fn missing(&self, key: &Key) -> Error {
        hinted(self.error(&key.path(), &key.kind, "no such key"), key)
    }

    /// Where the value of `path` stands, and `path`.
    fn place(&self, path: &str) -> Place {
        let at = self.entries.get(path).map_or(&self.whole, |given| &given.at);
        Place::key("", path).within(at.clone())
    }

    /// Where the key `path` itself stands, and `path`.
    pub(super) fn place_of_key(&self, path: &str) -> Place {
        let plain = (1..=60).contains(&path.len()) && path.chars().all(|c| c.is_ascii_graphic());
        let shown = Segment::Key(if plain { path.into() } else { quoted(path) });
        let at = self.entries.get(path).map_or(&self.whole, |given| &given.key_at);
        Place::from(shown).within(at.clone())
    }
}

fn hinted(error: Error, key: &Key) -> Error {
    if key.hint.is_empty() { error } else { error.hint(Hint::Expecting(key.hint.into())) }
}
