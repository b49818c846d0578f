//! Between [`Value`]s and what serde knows.

use super::Value;
use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer};
use serde::ser::{self, Impossible};
use serde::{Serialize, Serializer, forward_to_deserialize_any};
use std::collections::BTreeMap;
use std::fmt;

/// Serde's message about a value that does not fit a type.
#[derive(Debug)]
pub struct Misfit(String);

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misfit {}

impl ser::Error for Misfit {
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self(words.to_string())
    }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(words: T) -> Self {
        Self(words.to_string())
    }
}

impl Value {
    /// Serialises anything with serde into a value; `None` becomes [`Value::Unset`].
    ///
    /// # Errors
    /// In serde's words, if a part of it is none that keys have: bytes, or a map whose keys are no text.
    pub fn of(from: &impl Serialize) -> Result<Self, Misfit> {
        from.serialize(Writer)
    }

    /// Deserialises this value with serde.
    ///
    /// # Errors
    /// In serde's words, if it does not fit.
    pub fn into<T: DeserializeOwned>(self) -> Result<T, Misfit> {
        T::deserialize(self)
    }
}

struct Writer;

/// What numbers and words become.
macro_rules! plain {
    ($($name:ident($Type:ty) => |$value:ident| $made:expr;)+) => {$(
        fn $name(self, $value: $Type) -> Result<Value, Misfit> {
            Ok($made)
        }
    )+};
}

/// What no key holds.
macro_rules! never {
    ($($name:ident($($Type:ty),*);)+) => {$(
        fn $name(self, $(_: $Type),*) -> Result<Value, Misfit> {
            Err(Misfit(concat!("no key holds this: ", stringify!($name)).into()))
        }
    )+};
}

fn whole(n: impl TryInto<i64> + Copy + fmt::Display) -> Value {
    n.try_into().map_or(Value::Other(n.to_string()), Value::Int)
}

impl Serializer for Writer {
    type Ok = Value;
    type Error = Misfit;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = Impossible<Value, Misfit>;
    type SerializeTupleVariant = Impossible<Value, Misfit>;
    type SerializeMap = Table;
    type SerializeStruct = Table;
    type SerializeStructVariant = Impossible<Value, Misfit>;

    plain! {
        serialize_bool(bool) => |b| b.into();
        serialize_i8(i8) => |n| whole(n);
        serialize_i16(i16) => |n| whole(n);
        serialize_i32(i32) => |n| whole(n);
        serialize_i64(i64) => |n| whole(n);
        serialize_u8(u8) => |n| whole(n);
        serialize_u16(u16) => |n| whole(n);
        serialize_u32(u32) => |n| whole(n);
        serialize_u64(u64) => |n| whole(n);
        serialize_f32(f32) => |x| x.into();
        serialize_f64(f64) => |x| x.into();
        serialize_char(char) => |c| c.to_string().into();
        serialize_str(&str) => |text| text.into();
    }

    never! {
        serialize_bytes(&[u8]);
        serialize_unit_struct(&'static str);
    }

    fn serialize_none(self) -> Result<Value, Misfit> {
        Ok(Value::Unset)
    }

    fn serialize_unit(self) -> Result<Value, Misfit> {
        Ok(Value::Unset)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Misfit> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Misfit> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Value, Misfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Misfit> {
        Ok(Value::Table(BTreeMap::from([(variant.into(), value.serialize(self)?)])))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List, Misfit> {
        Ok(List(Vec::new()))
    }

    fn serialize_tuple(self, _: usize) -> Result<List, Misfit> {
        Ok(List(Vec::new()))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Table, Misfit> {
        Ok(Table::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Table, Misfit> {
        Ok(Table::default())
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Misfit> {
        Err(Misfit(format!("no key holds a tuple: {name}")))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Misfit> {
        Err(Misfit(format!("no key holds a tuple: {name}")))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Misfit> {
        Err(Misfit(format!("a choice with parts needs a tag: {name}")))
    }
}

struct List(Vec<Value>);

impl ser::SerializeSeq for List {
    type Ok = Value;
    type Error = Misfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Misfit> {
        self.0.push(value.serialize(Writer)?);
        Ok(())
    }

    fn end(self) -> Result<Value, Misfit> {
        Ok(Value::List(self.0))
    }
}

impl ser::SerializeTuple for List {
    type Ok = Value;
    type Error = Misfit;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Misfit> {
        ser::SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Result<Value, Misfit> {
        Ok(Value::List(self.0))
    }
}

#[derive(Default)]
struct Table {
    entries: BTreeMap<String, Value>,
    key: Option<String>,
}

impl ser::SerializeStruct for Table {
    type Ok = Value;
    type Error = Misfit;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Misfit> {
        self.entries.insert(key.into(), value.serialize(Writer)?);
        Ok(())
    }

    fn end(self) -> Result<Value, Misfit> {
        Ok(Value::Table(self.entries))
    }
}

impl ser::SerializeMap for Table {
    type Ok = Value;
    type Error = Misfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Misfit> {
        match key.serialize(Writer)? {
            Value::Text(key) => self.key = Some(key),
            other => return Err(Misfit(format!("a key has to be text, not {other}"))),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Misfit> {
        let key = self.key.take().unwrap_or_default();
        self.entries.insert(key, value.serialize(Writer)?);
        Ok(())
    }

    fn end(self) -> Result<Value, Misfit> {
        Ok(Value::Table(self.entries))
    }
}

impl<'de> de::Deserializer<'de> for Value {
    type Error = Misfit;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Self::Unset => visitor.visit_none(),
            Self::Bool(b) => visitor.visit_bool(b),
            Self::Int(n) => visitor.visit_i64(n),
            Self::Float(x) => visitor.visit_f64(x),
            Self::Text(text) | Self::Other(text) => visitor.visit_string(text),
            Self::List(all) => {
                let mut all = SeqDeserializer::new(all.into_iter());
                let value = visitor.visit_seq(&mut all)?;
                all.end().map(|()| value)
            }
            Self::Table(table) => {
                let mut table = MapDeserializer::new(table.into_iter());
                let value = visitor.visit_map(&mut table)?;
                table.end().map(|()| value)
            }
        }
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self == Self::Unset { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self {
            Self::Text(text) => {
                let word: StringDeserializer<Misfit> = text.into_deserializer();
                word.deserialize_enum(name, variants, visitor)
            }
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, Misfit> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
