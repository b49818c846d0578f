//! What a key can hold, before it is known whether it may.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// The value of a key, in whatever language specs are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A setting that is not set. Keys hold none; it stands where settings of a strategy are listed.
    Unset,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Self>),
    /// A table.
    Table(BTreeMap<String, Self>),
    /// A value that no key accepts, such as a date, in words.
    Other(String),
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The entries, if it is an array.
    pub fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(entries) = self { Some(entries) } else { None }
    }

    /// The entries, if it is a table.
    pub fn as_table(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Table(entries) = self { Some(entries) } else { None }
    }

    /// Whether all numbers in it are finite.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Float(x) => x.is_finite(),
            Self::List(all) => all.iter().all(Self::is_finite),
            Self::Table(table) => table.values().all(Self::is_finite),
            _ => true,
        }
    }

    /// The value as errors name it.
    pub fn found(&self) -> String {
        match self {
            Self::Unset => "nothing".into(),
            Self::Text(text) => format!("the string {}", quoted(text)),
            Self::List(entries) => format!("an array of {}", entries.len()),
            Self::Table(_) => "a table".into(),
            Self::Float(x) => format!("{x:?}"),
            Self::Int(n) => n.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Other(words) => words.clone(),
        }
    }
}

/// `text` in quotes and escaped, its tail cut where it is long.
pub fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// As in a spec.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, all: Vec<String>| f.write_str(&all.join(", "));
        match self {
            Self::Unset => f.write_str("none"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(n) => write!(f, "{n}"),
            // In full, and never like a whole number.
            Self::Float(x) if x.is_finite() && x.fract() == 0.0 => write!(f, "{x}.0"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Other(words) => f.write_str(words),
            Self::List(all) => {
                f.write_str("[")?;
                list(f, all.iter().map(ToString::to_string).collect())?;
                f.write_str("]")
            }
            Self::Table(table) => {
                f.write_str("{ ")?;
                list(f, table.iter().map(|(key, value)| format!("{key} = {value}")).collect())?;
                f.write_str(" }")
            }
        }
    }
}

macro_rules! from {
    ($($Type:ty => |$value:ident| $made:expr;)+) => {$(
        impl From<$Type> for Value {
            fn from($value: $Type) -> Self {
                $made
            }
        }
    )+};
}

from! {
    bool => |b| Self::Bool(b);
    i64 => |n| Self::Int(n);
    i32 => |n| Self::Int(n.into());
    u32 => |n| Self::Int(n.into());
    f64 => |x| Self::Float(x);
    f32 => |x| Self::Float(widened(x));
    &str => |text| Self::Text(text.into());
    String => |text| Self::Text(text);
    &Path => |path| Self::Text(path.to_string_lossy().into_owned());
    Vec<Self> => |all| Self::List(all);
    BTreeMap<String, Self> => |table| Self::Table(table);
}

/// The number that the shortest digits of `x` stand for: 0.1 for 0.1 in single precision.
pub(super) fn widened(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| f64::from(x))
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unset => to.serialize_none(),
            Self::Bool(b) => to.serialize_bool(*b),
            Self::Int(n) => to.serialize_i64(*n),
            Self::Float(x) => to.serialize_f64(*x),
            Self::Text(text) | Self::Other(text) => to.serialize_str(text),
            Self::List(all) => {
                let mut list = to.serialize_seq(Some(all.len()))?;
                all.iter().try_for_each(|entry| list.serialize_element(entry))?;
                list.end()
            }
            Self::Table(table) => {
                let mut map = to.serialize_map(Some(table.len()))?;
                table.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl<'de> de::Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what a key can hold")
    }

    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(Value::Int(n))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(i64::try_from(n).map_or(Value::Other(n.to_string()), Value::Int))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(Value::Float(x))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Unset)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Unset)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Value::deserialize(from)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = all.next_element()? {
            list.push(entry);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut all: A) -> Result<Value, A::Error> {
        let mut table = BTreeMap::new();
        while let Some((key, value)) = all.next_entry::<String, Value>()? {
            if table.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {} twice", quoted(&key))));
            }
            table.insert(key, value);
        }
        Ok(Value::Table(table))
    }
}
