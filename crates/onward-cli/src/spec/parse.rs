//! From TOML text and `--set` arguments to a checked [`Spec`].

use super::{Spec, all_keys};
use onward::schema::{Field, GivenValue, Key, Kind, Part, Value, Values, is_section, join, quoted};
use onward::{Error, ErrorKind, Hint, Place, Result, Segment};
use onward_data::{Format, expand_home};
use onward_run::catalogue::is_run;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// A spec is small; whatever is larger is something else.
const MOST_BYTES: u64 = 1 << 20;

impl Spec {
    /// Reads and checks the spec at `path` after applying `sets` (each `key=value`) and `seed` in this order.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read, [`ErrorKind::Spec`] if anything in it or in `sets` is not as
    /// `onward explain` says.
    pub fn load(path: &Path, sets: &[String], seed: Option<u64>) -> Result<Self> {
        Self::parse(&text(path)?, path, sets, seed)
    }

    /// Tells an error of what [`Spec::load`] read with these arguments at the key that the error names, or in the file.
    pub fn placed(error: Error, path: &Path, sets: &[String], seed: Option<u64>) -> Error {
        if error.key().is_none() || error.file().is_some() {
            return error.in_file(path);
        }
        let keys = all_keys();
        match text(path).and_then(|text| given(&text, path, sets, seed, &keys)) {
            Ok(values) => values.placed(error),
            Err(_) => error.in_file(path),
        }
    }

    /// As [`Spec::load`], from the text of `file`; nothing is read from disk.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] as for [`Spec::load`].
    pub fn parse(text: &str, file: &Path, sets: &[String], seed: Option<u64>) -> Result<Self> {
        let keys = all_keys();
        let mut values = given(text, file, sets, seed, &keys)?;
        let has_batch = values.given("train.batch").is_some();
        values.check(&keys)?;
        let mut spec = Self::read(&values, "")?;
        spec.order(&values, has_batch)?;
        spec.check(&values)?;
        Ok(spec)
    }
}

/// The text of the spec at `path`.
fn text(path: &Path) -> Result<String> {
    not_another(path)?;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    let bad = |expected, found: String| Error::expected(ErrorKind::Spec, path.display(), expected, found);
    if bytes.len() as u64 > MOST_BYTES {
        return Err(bad("a spec of at most 1 MiB", "a larger file".into()));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        bad("UTF-8 text", format!("the byte {:#04x} at offset {at}", e.as_bytes()[at]))
    })
}

/// Refuses what is plainly no spec but something that another command takes, with that command.
fn not_another(path: &Path) -> Result<()> {
    let shown = path.display();
    let (found, way) = if path.is_dir() && is_run(path) {
        (
            "a run",
            format!(
                "`onward resume {shown}` goes on with it, `onward train {shown}/spec.toml --name NAME` begins it anew"
            ),
        )
    } else if path.is_dir() {
        ("a folder", "`onward train FOLDER/spec.toml` takes the spec in one".into())
    } else if path.is_file() && Format::of(path).is_ok_and(|format| format != Format::Idx) && !is_toml(path) {
        ("data", format!("`onward init --data {shown} my.toml` writes one for it"))
    } else {
        return Ok(());
    };
    Err(Error::expected(ErrorKind::Spec, shown, "a spec, a TOML file", found).hint(Hint::Then(way)))
}

/// Whether a file is TOML whatever its name says, such as a spec in a `.txt`.
fn is_toml(path: &Path) -> bool {
    let small = path.metadata().is_ok_and(|at| at.len() <= MOST_BYTES);
    let text = std::fs::read_to_string(path).ok().filter(|_| small);
    text.is_some_and(|text| text.parse::<toml::Table>().is_ok())
}

/// The values of a spec's text and of the arguments, unchecked.
fn given(text: &str, file: &Path, sets: &[String], seed: Option<u64>, keys: &[Key]) -> Result<Values> {
    let mut reader = Reader { file, text, keys, values: Values::of(file) };
    reader.read_toml()?;
    sets.iter().try_for_each(|argument| reader.set(argument))?;
    seed.map_or(Ok(()), |seed| reader.set_seed(seed))?;
    reader.make_paths_absolute()?;
    Ok(reader.values)
}

/// Reads values and their places.
struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    keys: &'a [Key],
    values: Values,
}

impl Reader<'_> {
    fn read_toml(&mut self) -> Result<()> {
        let document = DeTable::parse(self.text).map_err(|e| {
            let place = self.at(e.span().map_or(0, |span| span.start));
            Error::new(ErrorKind::Spec, format!("not valid TOML: {}", e.message())).within(place)
        })?;
        self.add_table("", document.get_ref())
    }

    fn add_table(&mut self, section: &str, table: &DeTable<'_>) -> Result<()> {
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(inner) if section.is_empty() && is_section(name.get_ref(), self.keys) => {
                    self.add_table(name.get_ref(), inner)?;
                }
                leaf => {
                    let path = join(section, &unambiguous(name.get_ref()));
                    let (at, key_at) = (self.at(value.span().start), self.at(name.span().start));
                    let value = to_value(leaf).map_err(|found| {
                        let place = Place::key("", &path).within(at.clone());
                        Error::expected(ErrorKind::Spec, place, "an integer from -2^63 to 2^63 - 1", found)
                    })?;
                    self.values.set(path, GivenValue { value, at, key_at, order: name.span().start + 1 });
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, given: &str) -> Result<()> {
        let Some((path, text)) = given.split_once('=') else {
            let found = quoted(given);
            return Err(Error::expected(ErrorKind::Spec, argument("--set"), "key=value", found));
        };
        let path = path.trim();
        match from_words(text.trim()) {
            Value::Table(table) if is_section(path, self.keys) => {
                table.into_iter().for_each(|(name, value)| self.set_one(join(path, &name), value));
            }
            value => match path.rsplit_once('.').filter(|(table, _)| self.is_table(table)) {
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
        if self.values.given(rival).is_some_and(|given| given.order > 0) {
            self.values.take(rival);
        }
        self.values.set(path, from_argument("--set", value));
    }

    /// Sets one entry of a key that holds a table.
    fn set_inside(&mut self, path: &str, name: &str, value: Value) {
        let mut table = match self.values.take(path) {
            Some(GivenValue { value: Value::Table(table), .. }) => table,
            _ => BTreeMap::new(),
        };
        table.insert(name.into(), value);
        self.set_one(path.into(), Value::Table(table));
    }

    fn set_seed(&mut self, seed: u64) -> Result<()> {
        let value = seed.value().ok_or_else(|| {
            Error::expected(ErrorKind::Spec, argument("--seed"), "an integer from 0 to 2^63 - 1", seed)
        })?;
        self.values.set("seed", from_argument("--seed", value));
        Ok(())
    }

    /// Is `path` a key that holds a table?
    fn is_table(&self, path: &str) -> bool {
        self.keys.iter().any(|key| matches!(key.kind, Kind::Table(_)) && key.path() == path)
    }

    /// A path from the file counts from the file's folder, one from an argument from the current folder.
    fn make_paths_absolute(&mut self) -> Result<()> {
        for path in self.keys.iter().filter(|key| key.kind == Kind::Path).map(Key::path) {
            let Some(given) = self.values.given(&path) else { continue };
            let Some(text) = given.value.as_text().filter(|text| !text.is_empty()) else { continue };
            let in_file = given.order > 0;
            let folder = if in_file { self.file.parent().unwrap_or(Path::new("")) } else { Path::new("") };
            let joined = folder.join(expand_home(Path::new(text)));
            let absolute = std::path::absolute(&joined).map_err(|e| Error::io("find", &joined, e))?;
            let Some(text) = absolute.to_str() else {
                return Err(self.values.error(&path, "a path in UTF-8", absolute.display()));
            };
            let given = GivenValue { value: text.into(), ..given.clone() };
            self.values.set(path, given);
        }
        Ok(())
    }

    /// `file:line:column` of a byte offset.
    fn at(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        [Segment::File(self.file.into()), Segment::Position { line, column }].into()
    }
}

fn argument(name: &str) -> Segment {
    Segment::Argument(name.into())
}

fn from_argument(name: &str, value: Value) -> GivenValue {
    GivenValue { value, at: argument(name).into(), key_at: argument(name).into(), order: 0 }
}

/// A key's name as a part of a path: a name with a dot in it is no path.
fn unambiguous(name: &str) -> Cow<'_, str> {
    if name.contains('.') { format!("'{name}'").into() } else { name.into() }
}

/// An argument as TOML, or as a string where it is none.
pub fn from_words(text: &str) -> Value {
    let Ok(parsed) = DeValue::parse(text) else { return text.into() };
    to_value(parsed.get_ref()).unwrap_or_else(|digits| Value::Other(format!("{digits}, beyond 2^63 - 1")))
}

/// From the parser's value; the text of an integer that is too large otherwise.
fn to_value(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(n) => {
            Value::Int(i64::from_str_radix(n.as_str(), n.radix()).map_err(|_| cut(&n.to_string()))?)
        }
        // Rust reads every float that TOML has; one too large is infinite, which no key takes.
        DeValue::Float(x) => Value::Float(x.as_str().parse().map_err(|_| cut(x.as_str()))?),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(date) => Value::Other(format!("the date {date}")),
        DeValue::Array(entries) => {
            Value::List(entries.iter().map(|entry| to_value(entry.get_ref())).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            let pair = |(name, value): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                Ok((name.get_ref().to_string(), to_value(value.get_ref())?))
            };
            Value::Table(table.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

/// As TOML writes it; `None` for what is not set.
pub fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Unset | Value::Other(_) => return None,
        Value::Bool(b) => toml::Value::Boolean(*b),
        Value::Int(n) => toml::Value::Integer(*n),
        Value::Float(x) => toml::Value::Float(*x),
        Value::Text(text) => toml::Value::String(text.clone()),
        Value::List(all) => toml::Value::Array(all.iter().filter_map(to_toml).collect()),
        Value::Table(table) => toml::Value::Table(
            table.iter().filter_map(|(key, value)| Some((key.clone(), to_toml(value)?))).collect(),
        ),
    })
}

fn cut(digits: &str) -> String {
    digits.chars().take(60).collect()
}
