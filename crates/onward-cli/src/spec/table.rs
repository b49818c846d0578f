//! The machinery of the one table of keys: a struct of [`Spec`](super::Spec) is declared once, through the macros below,
//! and its fields, their documentation, checks, defaults, explanations and TOML all come from that declaration.

use std::path::PathBuf;

use onward::Result;
use toml::Value;

use super::kind::{Kind, Range};
use super::parse::Values;

/// What a key is worth when nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Preset {
    /// It must be set.
    Required,
    /// It must be set where its table is there at all.
    WithTable,
    /// Nothing: the key stays out.
    Unset,
    /// This, in TOML (a bare word is a string).
    Is(&'static str),
    /// What [`super::defaults`] says for the chosen method.
    PerMethod,
    /// What [`Values::computed`] derives from other keys; the text says what that is.
    Computed(&'static str),
}

/// The values of the selecting key (`method.name`, `model.kind`) that a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Only {
    pub selector: &'static str,
    pub choices: &'static [&'static str],
}

/// Everything there is to know about one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub preset: Preset,
    pub only: Option<Only>,
    /// Does this key's value decide which other keys there are?
    pub selects: bool,
    pub doc: &'static str,
}

impl Key {
    /// The dotted name.
    pub fn path(&self) -> String {
        join(self.section, self.name)
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

/// A type that one key can hold.
pub trait Field: Sized {
    /// What the key accepts when its numbers are to lie in `range`.
    fn kind(range: Range) -> Kind;
    /// From a value that [`Kind::refuses`] let through (`None`: from an absent key).
    fn read(value: Option<&Value>) -> Option<Self>;
    /// Back to TOML; `None` where the key stays out.
    fn value(&self) -> Option<Value>;
}

/// The table of a key (empty at the top), its name and its value.
pub type Setting = (&'static str, &'static str, Value);

/// A type that several keys fill.
pub trait Part: Sized {
    /// The keys, in the order in which they are listed.
    fn keys(section: &'static str, only: Option<Only>) -> Vec<Key>;
    /// From values that have been checked.
    fn read(values: &Values, section: &str) -> Result<Self>;
    /// Back to TOML, in the order of the keys.
    fn write(&self, section: &'static str) -> Vec<Setting>;
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

/// Declares a struct whose fields are keys: `name: Type = preset, range;`, the comment being the explanation.
/// Lines `.. name: Type, in "section";` come first and nest another [`Part`] (in `""`: in the same section), with
/// `, only …` for some choices alone.
macro_rules! keys {
    ($(#[doc = $about:literal])+ $vis:vis struct $Name:ident {
        $(.. $(#[doc = $part_doc:literal])+ $part:ident: $Part:ty, in $section:literal $(, only $own:expr)?;)*
        $($(#[doc = $doc:literal])+ $field:ident: $Type:ty = $preset:expr $(, $range:expr)?;)*
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $Name {
            $($(#[doc = $part_doc])+ pub $part: $Part,)*
            $($(#[doc = $doc])+ pub $field: $Type,)*
        }

        impl $Name {
            /// The tables within this one, each with its explanation.
            #[allow(dead_code)]
            pub(super) const TABLES: &[Choice] = &[$(Choice { name: $section, doc: concat!($($part_doc),+) }),*];
        }

        impl Part for $Name {
            fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
                let own = vec![$(Key {
                    section,
                    name: stringify!($field),
                    kind: <$Type as Field>::kind([$(range($range),)? ANY][0]),
                    preset: $preset,
                    only,
                    selects: false,
                    doc: concat!($($doc),+),
                }),*];
                [$(<$Part as Part>::keys(inner(section, $section), [$(Some($own),)? only][0]),)* own].concat()
            }

            fn read(values: &Values, section: &str) -> Result<Self> {
                Ok(Self {
                    $($part: Part::read(values, inner(section, $section))?,)*
                    $($field: values.field(section, stringify!($field))?,)*
                })
            }

            fn write(&self, section: &'static str) -> Vec<Setting> {
                let own = [$((section, stringify!($field), self.$field.value())),*];
                let own = own.into_iter().filter_map(|(table, name, value)| Some((table, name, value?)));
                [$(self.$part.write(inner(section, $section)),)* own.collect::<Vec<_>>()].concat()
            }
        }
    };
}

/// Declares an enum with one variant for each value of the key `$selector`, each holding the struct of the same name
/// with the keys that belong to that value alone. A last line `.. Name(Keys)` is one variant for many values: those that
/// `Keys` lists.
macro_rules! variants {
    ($(#[doc = $about:literal])+ pub enum $Name:ident by $selector:literal {
        $($(#[doc = $doc:literal])+ $Variant:ident = $name:literal,)+
        $(.. $(#[doc = $many_doc:literal])+ $Many:ident($Keys:ident),)?
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub enum $Name {
            $($(#[doc = $doc])+ $Variant($Variant),)+
            $($(#[doc = $many_doc])+ $Many($Keys),)?
        }

        impl $Name {
            /// The words of the variants that are chosen by one each.
            #[allow(dead_code)]
            pub const SINGLE: &[&str] = &[$($name),+];

            fn choices() -> Vec<Choice> {
                let single = vec![$(Choice { name: $name, doc: concat!($($doc),+) }),+];
                [single, $($Keys::choices(),)?].concat()
            }

            /// The word that chooses this in a spec.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$Variant(_) => $name,)+
                    $(Self::$Many(keys) => { let $Keys { name, .. } = keys; name })?
                }
            }
        }

        impl Part for $Name {
            fn keys(section: &'static str, only: Option<Only>) -> Vec<Key> {
                let kind = Kind::OneOf(Self::choices());
                let doc = concat!($($about),+);
                let mut keys = vec![Key { section, name: $selector, kind, preset: Preset::Required, only, selects: true, doc }];
                $(keys.extend($Variant::keys(section, Some(Only { selector: $selector, choices: &[$name] })));)+
                $(keys.extend($Keys::keys(section, Some($Keys::only())));)?
                keys
            }

            fn read(values: &Values, section: &str) -> Result<Self> {
                match values.text(section, $selector) {
                    $($name => Ok(Self::$Variant($Variant::read(values, section)?)),)+
                    $(chosen if $Keys::choices().iter().any(|c| c.name == chosen) => {
                        Ok(Self::$Many($Keys::read(values, section)?))
                    })?
                    _ => Err(values.missing(&join(section, $selector), &Kind::OneOf(Self::choices()))),
                }
            }

            fn write(&self, section: &'static str) -> Vec<Setting> {
                let mut out = vec![(section, $selector, Value::String(self.name().into()))];
                match self {
                    $(Self::$Variant(own) => out.extend(own.write(section)),)+
                    $(Self::$Many(own) => { let own: &$Keys = own; out.extend(own.write(section)) })?
                }
                out
            }
        }
    };
}

/// Declares a mode: an enum whose variants are words in the spec.
macro_rules! modes {
    ($(#[doc = $about:literal])+ pub enum $Name:ident {
        $($(#[doc = $doc:literal])+ $Variant:ident = $name:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $Name { $($(#[doc = $doc])+ $Variant,)+ }

        impl $Name {
            /// The word for this in a spec.
            pub fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }
        }

        impl Field for $Name {
            fn kind(_: Range) -> Kind {
                Kind::OneOf(vec![$(Choice { name: $name, doc: concat!($($doc),+) }),+])
            }

            fn read(value: Option<&Value>) -> Option<Self> {
                match value?.as_str()? { $($name => Some(Self::$Variant),)+ _ => None }
            }

            fn value(&self) -> Option<Value> {
                Some(Value::String(self.name().into()))
            }
        }
    };
}

pub(super) use {keys, modes, variants};

/// `Field` for a whole-number type.
macro_rules! integer_field {
    ($($Type:ty),+) => {$(
        impl Field for $Type {
            fn kind(range: Range) -> Kind {
                Kind::Int(range)
            }

            fn read(value: Option<&Value>) -> Option<Self> {
                Self::try_from(value?.as_integer()?).ok()
            }

            fn value(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::Integer)
            }
        }
    )+};
}

integer_field!(u64, usize);

impl Field for f64 {
    fn kind(range: Range) -> Kind {
        Kind::Number(range)
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        let value = value?;
        value.as_float().or_else(|| value.as_integer().map(|n| n as f64))
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }
}

impl Field for bool {
    fn kind(_: Range) -> Kind {
        Kind::Bool
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_bool()
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

impl Field for String {
    fn kind(_: Range) -> Kind {
        Kind::Text
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_str().map(Into::into)
    }

    fn value(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

impl Field for PathBuf {
    fn kind(_: Range) -> Kind {
        Kind::Path
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_str().map(Into::into)
    }

    fn value(&self) -> Option<Value> {
        Some(Value::String(self.to_string_lossy().into_owned()))
    }
}

impl<T: Field> Field for Option<T> {
    fn kind(range: Range) -> Kind {
        T::kind(range)
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        if value.is_none() { Some(None) } else { T::read(value).map(Some) }
    }

    fn value(&self) -> Option<Value> {
        self.as_ref().and_then(T::value)
    }
}

impl<T: Field> Field for Vec<T> {
    fn kind(range: Range) -> Kind {
        Kind::Array { each: Box::new(T::kind(range)), len: None }
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        value?.as_array()?.iter().map(|entry| T::read(Some(entry))).collect()
    }

    fn value(&self) -> Option<Value> {
        Some(Value::Array(self.iter().filter_map(T::value).collect()))
    }
}

impl<const N: usize> Field for [usize; N] {
    fn kind(range: Range) -> Kind {
        Kind::Array { each: Box::new(usize::kind(range)), len: Some(N) }
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        Vec::read(value)?.try_into().ok()
    }

    fn value(&self) -> Option<Value> {
        self.to_vec().value()
    }
}
