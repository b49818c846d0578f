//! The declarations that keys come from.

/// Declares a struct whose fields are keys: `name: Type = preset, range => "hint";`, the comment being the explanation; range
/// and hint (what helps with a mistake) may be left out.
///
/// Lines `.. name: Type, in "section";` come first and nest another [`Part`](crate::schema::Part) (in `""`: in the same table),
/// with `, only …` for some choices alone. Lines `shared name: Type = default;` come next: keys that another part declares for
/// several. Lines `preset name = default;` give defaults to keys of others.
/// `struct Name: Copy` derives `Copy` as well.
#[macro_export]
macro_rules! keys {
    ($(#[doc = $about:literal])+ $vis:vis struct $Name:ident $(: $Derive:ident)? {
        $(.. $(#[doc = $part_doc:literal])+ $part:ident: $Part:ty, in $section:literal $(, only $own:expr)?;)*
        $(shared $(#[doc = $shared_doc:literal])+ $shared:ident: $Shared:ty = $shared_preset:expr;)*
        $(preset $other:ident = $other_preset:expr;)*
        $($(#[doc = $doc:literal])+ $field:ident: $Type:ty = $preset:expr $(, $range:expr)? $(=> $hint:literal)?;)*
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq $(, $Derive)?)]
        $vis struct $Name {
            $($(#[doc = $part_doc])+ pub $part: $Part,)*
            $($(#[doc = $shared_doc])+ pub $shared: $Shared,)*
            $($(#[doc = $doc])+ pub $field: $Type,)*
        }

        impl $Name {
            /// The tables within this one, each with its explanation.
            #[allow(dead_code)]
            pub const TABLES: &[$crate::schema::Choice] =
                &[$($crate::schema::Choice { name: $section, doc: concat!($($part_doc),+) }),*];
        }

        impl $crate::schema::Part for $Name {
            fn keys(section: &'static str, only: Option<$crate::schema::Only>) -> Vec<$crate::schema::Key> {
                let parts: Vec<Vec<$crate::schema::Key>> = vec![$(<$Part as $crate::schema::Part>::keys(
                    $crate::schema::inner(section, $section),
                    [$(Some($own),)? only.clone()].into_iter().next().flatten(),
                )),*];
                let own: Vec<$crate::schema::Key> = vec![$($crate::schema::Key {
                    section,
                    name: stringify!($field),
                    kind: <$Type as $crate::schema::Field>::kind(
                        [$($crate::schema::range($range),)? $crate::schema::ANY][0],
                    ),
                    preset: $preset,
                    only: only.clone(),
                    selects: false,
                    hint: [$($hint,)? ""][0],
                    doc: concat!($($doc),+),
                }),*];
                let mut keys = parts.concat();
                keys.extend(own);
                keys
            }

            fn read(values: &$crate::schema::Values, section: &str) -> $crate::Result<Self> {
                Ok(Self {
                    $($part: $crate::schema::Part::read(values, $crate::schema::inner(section, $section))?,)*
                    $($shared: values.shared(section, stringify!($shared))?,)*
                    $($field: values.field(section, stringify!($field))?,)*
                })
            }

            fn write(&self, section: &'static str) -> Vec<$crate::schema::Setting> {
                let parts: Vec<Vec<$crate::schema::Setting>> =
                    vec![$(self.$part.write($crate::schema::inner(section, $section))),*];
                let own: Vec<Option<$crate::schema::Setting>> = vec![$(
                    $crate::schema::Field::value(&self.$field).map(|value| (section, stringify!($field), value))
                ),*];
                let mut all = parts.concat();
                all.extend(own.into_iter().flatten());
                all
            }

            fn shared(&self, section: &'static str) -> Vec<$crate::schema::Setting> {
                let _ = section;
                let all: Vec<Option<$crate::schema::Setting>> = vec![$(
                    $crate::schema::Field::value(&self.$shared).map(|value| (section, stringify!($shared), value))
                ),*];
                all.into_iter().flatten().collect()
            }

            fn preset(key: &str) -> Option<$crate::schema::Value> {
                match key {
                    $(stringify!($shared) => Some(($shared_preset).into()),)*
                    $(stringify!($other) => Some(($other_preset).into()),)*
                    _ => None,
                }
            }
        }
    };
}

/// Declares an enum with one variant for each value of the key `by`, each holding the struct of the same name with the keys
/// that belong to that value alone. The key is required, or has the `default`.
///
/// A line `.. Name(Keys),` is one variant for many values: those that `Keys::choices()` lists, with
/// defaults from `Keys::preset_of(word, key)`. A line `+ Name(Type),` is a
/// variant that no key can choose. `Keys` and `Type` tell their names by `name()`. With `, each dyn Trait` every variant's struct is a
/// `Trait`, as which `common()` gives it.
#[macro_export]
macro_rules! variants {
    (@each $Name:ident [$($Variant:ident,)+]) => {};
    (@each $Name:ident [$($Variant:ident,)+] $Trait:path) => {
        impl $Name {
            /// What all variants have in common.
            pub fn common(&self) -> &dyn $Trait {
                match self { $(Self::$Variant(own) => own,)+ }
            }
        }
    };
    ($(#[doc = $about:literal])+ $vis:vis enum $Name:ident by $selector:literal $(default $default:literal)? $(, each dyn $Trait:path)? {
        $($(#[doc = $doc:literal])+ $Variant:ident = $name:literal,)+
        $(.. $(#[doc = $many_doc:literal])+ $Many:ident($Keys:ident),)?
        $(+ $(#[doc = $other_doc:literal])+ $Other:ident($Type:ident),)?
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $Name {
            $($(#[doc = $doc])+ $Variant($Variant),)+
            $($(#[doc = $many_doc])+ $Many($Keys),)?
            $($(#[doc = $other_doc])+ $Other($Type),)?
        }

        $crate::variants!(@each $Name [$($Variant,)+ $($Many,)? $($Other,)?] $($Trait)?);

        impl $Name {
            /// The words of the variants that are chosen by one each.
            #[allow(dead_code)]
            pub const SINGLE: &[&str] = &[$($name),+];

            /// The words that can be chosen from, each with what it means.
            pub fn choices() -> Vec<$crate::schema::Choice> {
                #[allow(unused_mut)]
                let mut all = vec![$($crate::schema::Choice { name: $name, doc: concat!($($doc),+) }),+];
                $(all.extend($Keys::choices());)?
                all
            }

            /// The default that the choice of a word gives to a key that choices share.
            #[allow(dead_code)]
            pub fn preset(chosen: &str, key: &str) -> Option<$crate::schema::Value> {
                match chosen {
                    $($name => <$Variant as $crate::schema::Part>::preset(key),)+
                    $(chosen if $Keys::choices().iter().any(|c| c.name == chosen) => $Keys::preset_of(chosen, key),)?
                    _ => None,
                }
            }

            /// The word that chooses this in a spec.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$Variant(_) => $name,)+
                    $(Self::$Many(own) => own.name(),)?
                    $(Self::$Other(own) => own.name(),)?
                }
            }
        }

        impl $crate::schema::Part for $Name {
            fn keys(section: &'static str, only: Option<$crate::schema::Only>) -> Vec<$crate::schema::Key> {
                use $crate::schema::{Key, Kind, Only, Part, Preset};
                let (kind, doc) = (Kind::OneOf(Self::choices()), concat!($($about),+));
                let preset = [$($crate::schema::is($default),)? Preset::Required][0].clone();
                let mut keys =
                    vec![Key { section, name: $selector, kind, preset, only, selects: true, hint: "", doc }];
                $(keys.extend(<$Variant as Part>::keys(
                    section,
                    Some(Only { selector: $selector, choices: vec![$name] }),
                ));)+
                $({
                    let choices = $Keys::choices().iter().map(|choice| choice.name).collect();
                    keys.extend(<$Keys as Part>::keys(section, Some(Only { selector: $selector, choices })));
                })?
                keys
            }

            fn read(values: &$crate::schema::Values, section: &str) -> $crate::Result<Self> {
                use $crate::schema::{Kind, Part, join};
                match values.text(section, $selector) {
                    $($name => Ok(Self::$Variant(<$Variant as Part>::read(values, section)?)),)+
                    $(chosen if $Keys::choices().iter().any(|c| c.name == chosen) => {
                        Ok(Self::$Many(<$Keys as Part>::read(values, section)?))
                    })?
                    _ => Err(values.error(&join(section, $selector), &Kind::OneOf(Self::choices()), "no such key")),
                }
            }

            fn write(&self, section: &'static str) -> Vec<$crate::schema::Setting> {
                let mut out = vec![(section, $selector, $crate::schema::Value::from(self.name()))];
                match self {
                    $(Self::$Variant(own) => out.extend($crate::schema::Part::write(own, section)),)+
                    $(Self::$Many(own) => out.extend($crate::schema::Part::write(own, section)),)?
                    $(Self::$Other(_) => { let _: &$Type; })?
                }
                out
            }

            fn shared(&self, section: &'static str) -> Vec<$crate::schema::Setting> {
                match self {
                    $(Self::$Variant(own) => $crate::schema::Part::shared(own, section),)+
                    $(Self::$Many(own) => $crate::schema::Part::shared(own, section),)?
                    $(Self::$Other(_) => { let _: &$Type; Vec::new() })?
                }
            }
        }
    };
}

/// Declares an enum whose variants are words in specs, with the one that is meant where none is said.
#[macro_export]
macro_rules! choices {
    ($(#[doc = $about:literal])+ $vis:vis enum $Name:ident default $Default:ident {
        $($(#[doc = $doc:literal])+ $Variant:ident = $name:literal,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        $vis enum $Name { $($(#[doc = $doc])+ #[serde(rename = $name)] $Variant,)+ }

        impl $Name {
            /// The word for this in a spec.
            pub fn name(self) -> &'static str {
                match self { $(Self::$Variant => $name,)+ }
            }
        }

        impl Default for $Name {
            fn default() -> Self {
                Self::$Default
            }
        }

        impl From<$Name> for $crate::schema::Value {
            fn from(chosen: $Name) -> Self {
                chosen.name().into()
            }
        }

        impl $crate::schema::Field for $Name {
            fn kind(_: $crate::schema::Range) -> $crate::schema::Kind {
                let choices = vec![$($crate::schema::Choice { name: $name, doc: concat!($($doc),+) }),+];
                $crate::schema::Kind::OneOf(choices)
            }

            fn read(value: Option<&$crate::schema::Value>) -> Option<Self> {
                match value?.as_text()? { $($name => Some(Self::$Variant),)+ _ => None }
            }

            fn value(&self) -> Option<$crate::schema::Value> {
                Some((*self).into())
            }
        }
    };
}
