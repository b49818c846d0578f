//! What specs can say, defined once: keys with type, range, default and explanation, from one declaration of a struct.
//!
//! [`keys!`](crate::keys), [`choices!`](crate::choices) and [`variants!`](crate::variants) declare a struct or an enum
//! together with its keys. A front end walks the keys ([`Key`]) to explain them, to name the nearest one and to write a first
//! spec; it reads whatever language specs are written in into [`Values`], each with its place, and these are checked, filled
//! and turned into the structs here.
//!
//! ```
//! use onward_base::schema::{Part, Preset, Value, Values, above, is};
//! use onward_base::keys;
//!
//! keys! {
//!     /// How steps are taken.
//!     pub struct Steps {
//!         /// The learning rate.
//!         rate: f32 = Preset::Required, above(0.0);
//!         /// Samples per step.
//!         batch: usize = is(128), 1.0..;
//!     }
//! }
//!
//! let keys = Steps::keys("train", None);
//! let given = |rate: Value| {
//!     let mut values = Values::default();
//!     values.give("train.rate", rate);
//!     values.check(&keys).and_then(|()| Steps::read(&values, "train"))
//! };
//! assert_eq!(given(Value::Float(0.5))?, Steps { rate: 0.5, batch: 128 });
//! let refused = given(Value::Int(0)).map_err(|e| e.to_string());
//! assert_eq!(refused, Err("train.rate: expected a number > 0, found 0".into()));
//! # Ok::<(), onward_base::Error>(())
//! ```

mod convert;
mod field;
mod kind;
mod macros;
mod nearest;
#[cfg(test)]
mod tests;
mod value;
mod values;

pub use convert::Misfit;
pub use field::{Field, OneOrMore, PerLayer};
pub use kind::{ANY, Choice, Kind, Range, above, range};
pub use nearest::{is_section, known_as, nearest_of, suggestion};
pub use value::{Value, quoted};
pub use values::{GivenValue, Values};

use crate::Result;
use std::collections::BTreeMap;
use std::fmt;

/// The default of a key.
#[derive(Clone)]
pub enum Preset {
    /// It must be set.
    Required,
    /// It must be set where its table is there at all.
    WithTable,
    /// No default: the key is absent.
    Unset,
    /// This value.
    Is(Value),
    /// What follows from the word that another key of the table chooses.
    Chosen {
        /// The other key.
        by: &'static str,
        /// What follows from its word for the key of this name, if anything.
        is: fn(&str, &str) -> Option<Value>,
    },
    /// What follows from keys that stand before it.
    Computed {
        /// In words.
        how: &'static str,
        /// The value.
        is: fn(&Values) -> Option<Value>,
    },
}

impl Preset {
    /// The default of the key `name` where another key chooses `word`.
    pub fn of(&self, word: &str, name: &str) -> Option<Value> {
        match self {
            Self::Is(value) => Some(value.clone()),
            Self::Chosen { is, .. } => is(word, name),
            _ => None,
        }
    }
}

/// A preset with this value as the default.
pub fn is(value: impl Into<Value>) -> Preset {
    Preset::Is(value.into())
}

/// The values of the selecting key (`method.name`, `model.kind`) that a key belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Only {
    /// The selecting key, in the same table.
    pub selector: &'static str,
    /// The values of the selecting key.
    pub choices: Vec<&'static str>,
}

/// Everything there is to know about one key.
#[derive(Clone)]
pub struct Key {
    /// The table of the key; empty at the top level.
    pub section: &'static str,
    /// The name of the key in its table.
    pub name: &'static str,
    /// The values that the key accepts.
    pub kind: Kind,
    /// The default of the key.
    pub preset: Preset,
    /// The choices under which the key exists; `None` for all.
    pub only: Option<Only>,
    /// Whether its value decides which other keys there are.
    pub selects: bool,
    /// A hint for mistakes, beyond the kind; empty for none.
    pub hint: &'static str,
    /// The explanation that `onward explain` prints.
    pub doc: &'static str,
}

impl Key {
    /// The dotted name of the key.
    pub fn path(&self) -> String {
        join(self.section, self.name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path(), self.kind)
    }
}

/// `section.name`, or just `name` at the top.
pub fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.into() } else { format!("{section}.{name}") }
}

/// The table of a part declared `in "section"` within `outer`.
pub fn inner<'a>(outer: &'a str, section: &'a str) -> &'a str {
    if section.is_empty() { outer } else { section }
}

/// The table of a key (empty at the top), its name and its value.
pub type Setting = (&'static str, &'static str, Value);

/// A struct that is filled from several keys. [`keys!`](crate::keys) and [`variants!`](crate::variants) implement it, as the example of
/// [`crate::schema`] shows; by hand it is implemented for what no such declaration can say, such as a list of tables.
///
/// [`Part::keys`] is asked first and must always list the same; values are checked against that list, and only what passed comes to
/// [`Part::read`], whose error is told with the place of the key that it names. [`Part::write`] gives back what `read` takes: settings go
/// through both on their way into a ledger's header and out of it.
pub trait Part: Sized {
    /// The keys, in the order in which they are listed.
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key>;

    /// Reads the struct from values that have been checked.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Spec`] if keys contradict each other.
    fn read(values: &Values, section: &str) -> Result<Self>;

    /// Turns the struct back into values, in the order of the keys.
    fn write(&self, section: &'static str) -> Vec<Setting>;

    /// Those that it shares with other parts, which list them and write them.
    fn shared(&self, _: &'static str) -> Vec<Setting> {
        Vec::new()
    }

    /// The default that it gives to a key that it shares with others.
    fn preset(_: &str) -> Option<Value> {
        None
    }
}

/// Checks that every value of `part`, as keys of `section`, is one that its key accepts.
///
/// # Errors
/// [`crate::ErrorKind::Spec`] naming the key.
pub fn fits<P: Part>(part: &P, section: &'static str) -> Result<()> {
    let mut values = Values::default();
    part.write(section)
        .into_iter()
        .for_each(|(section, name, value)| values.give(join(section, name), value));
    let keys = P::keys(section, None);
    let refused =
        keys.iter().filter_map(|key| Some((key, key.kind.refuses(values.get(section, key.name)?)?)));
    refused.map(|(key, found)| values.error(&key.path(), &key.kind, found)).next().map_or(Ok(()), Err)
}

/// The keys of `part`, with those of the tables within it under the tables' names, as a spec has them.
pub fn written<P: Part>(part: &P) -> BTreeMap<String, Value> {
    let mut whole = BTreeMap::new();
    for (section, name, value) in part.write("") {
        let within = match section {
            "" => &mut whole,
            _ => match whole.entry(section.to_owned()).or_insert_with(|| Value::Table(BTreeMap::new())) {
                Value::Table(within) => within,
                // A key at the top has a table's name: no part declares that.
                _ => continue,
            },
        };
        within.insert(name.to_owned(), value);
    }
    whole
}

/// Keys that are only there together: as soon as one of them is.
impl<P: Part> Part for Option<P> {
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
        P::keys(section, only)
    }

    fn read(values: &Values, section: &str) -> Result<Self> {
        let there = P::keys("", None).iter().any(|key| values.get(section, key.name).is_some());
        if there { P::read(values, section).map(Some) } else { Ok(None) }
    }

    fn write(&self, section: &'static str) -> Vec<Setting> {
        self.as_ref().map(|part| part.write(section)).unwrap_or_default()
    }
}
