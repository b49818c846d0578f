//! The first record of every ledger, which describes the run.

use super::earlier::SecondHeader;
use super::{Moves, Numerics, Recipe, digest};
use crate::ask::{Augment, Shuffle};
use crate::params::{DType, Params, Storage, TensorSpec};
use crate::rows::Schema;
use crate::schema::{Field, Part, Value, Values, join};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::collections::BTreeMap;
use std::fmt;

/// The first record of every ledger, which describes the run. Its JSON is what the ledger keeps: all facts, each under its name, `null` where a
/// fact is not known (those that earlier format versions did not have, and what only some callers know).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of this library that began the run.
    #[serde(deserialize_with = "known")]
    pub version: Option<String>,
    /// The kind of evaluator that the run was begun with.
    #[serde(deserialize_with = "known")]
    pub evaluator: Option<String>,
    /// The numerics of that evaluator: what can be promised of its results.
    #[serde(deserialize_with = "known")]
    pub numerics: Option<Numerics>,
    /// The seed that all noise is derived from.
    pub seed: u64,
    /// The budget in steps.
    pub steps: u64,
    /// Always "minimize": losses are lower-is-better.
    pub goal: String,
    /// The method's name.
    pub method: String,
    /// The recipe by which entries become steps.
    pub recipe: Recipe,
    /// All else that determines the run, in the words of specs: tables of keys ([`crate::schema::written`]).
    #[serde(deserialize_with = "tables")]
    pub settings: Option<BTreeMap<String, Value>>,
    /// The digest of the model.
    #[serde(deserialize_with = "known")]
    pub model: Option<ModelDigest>,
    /// Names and shapes of the params, in order.
    pub tensors: Vec<TensorHeader>,
    /// The types of tensors that are not stored as the recipe says: frozen ones, which keep their type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub types: BTreeMap<String, DType>,
    /// The schema of the training data.
    #[serde(deserialize_with = "known")]
    pub rows: Option<Schema>,
    /// The digest of the training data.
    #[serde(with = "digest")]
    pub data: [u8; 32],
    /// The digest of the test data, where it is known.
    #[serde(with = "digest::optional")]
    pub test: Option<[u8; 32]>,
    /// The digest of the validation data, where there are some.
    #[serde(default, with = "digest::optional", skip_serializing_if = "Option::is_none")]
    pub validation: Option<[u8; 32]>,
    /// The digest of the base params.
    #[serde(with = "digest")]
    pub base: [u8; 32],
    /// The BLAKE3 digest of the spec as run.
    #[serde(with = "digest")]
    pub spec: [u8; 32],
    /// The BLAKE3 digest of the run's `interface.json`, where it is known.
    #[serde(with = "digest::optional")]
    pub interface: Option<[u8; 32]>,
}

/// A value that may be `null`, but whose key may not be missing.
pub(super) fn known<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// Tables of keys, in which nothing stands twice and everything is what keys can hold.
fn tables<'de, D: Deserializer<'de>>(from: D) -> Result<Option<BTreeMap<String, Value>>, D::Error> {
    match Option::<Value>::deserialize(from)? {
        None => Ok(None),
        Some(Value::Table(tables)) if tables.values().all(is_writable) => Ok(Some(tables)),
        Some(_) => Err(D::Error::custom("settings that are no tables of what keys can hold")),
    }
}

/// Whether a value is written as it was read: a whole number beyond 64 bits with a sign is not.
fn is_writable(value: &Value) -> bool {
    match value {
        Value::Other(_) => false,
        Value::List(all) => all.iter().all(is_writable),
        Value::Table(table) => table.values().all(is_writable),
        _ => true,
    }
}

/// The name and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorHeader {
    /// The name.
    pub name: String,
    /// The shape, outermost first.
    pub shape: Vec<u64>,
}

impl TensorHeader {
    fn of(name: &str, shape: &[usize]) -> Self {
        Self { name: name.to_owned(), shape: shape.iter().map(|n| *n as u64).collect() }
    }

    /// The names and shapes of the tensors of `params`, in order.
    pub fn all(params: &Params) -> Vec<Self> {
        params.tensors().iter().map(|t| Self::of(&t.name, &t.shape)).collect()
    }

    /// The names and shapes of the tensors that a model declares, in order.
    pub fn declared(tensors: &[TensorSpec]) -> Vec<Self> {
        tensors.iter().map(|t| Self::of(&t.name, &t.shape)).collect()
    }
}

/// The types of tensors that do not lie as `storage` has them.
pub(crate) fn types(params: &Params, storage: Storage) -> BTreeMap<String, DType> {
    let others = params.tensors().iter().filter(|t| t.data.dtype() != storage.dtype());
    others.map(|t| (t.name.clone(), t.data.dtype())).collect()
}

/// A digest of a model, under the name of the way it is computed: digests of different ways cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelDigest {
    /// The digest of the model's graph ([`crate::model::Graph::digest`]).
    Graph(#[serde(with = "digest")] [u8; 32]),
}

impl fmt::Display for ModelDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Graph(digest) = self;
        f.write_str(&blake3::Hash::from_bytes(*digest).to_hex())
    }
}

/// The version of this library, as headers record it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether `version` is of a later program than this one.
fn is_later(version: &str) -> bool {
    let parts =
        |v: &str| -> Vec<u64> { v.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect() };
    parts(version) > parts(VERSION)
}

impl Header {
    /// Whether all later params follow from base params and records, without the data.
    pub fn is_complete(&self) -> bool {
        self.recipe.moves != Moves::Directions
    }

    /// The run's identity in questions and answers: a digest of everything that losses depend on.
    pub fn run(&self) -> [u8; 32] {
        let facts = Self {
            version: None,
            evaluator: None,
            numerics: None,
            spec: [0; 32],
            interface: None,
            test: None,
            validation: None,
            ..self.clone()
        };
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 run name v2");
        // A header that cannot be written has no ledger either; its run still has a name.
        hash.update(&serde_json::to_vec(&facts).unwrap_or_default());
        *hash.finalize().as_bytes()
    }

    /// How the run's rows are shuffled, as its settings say; all of them where these do not.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if it is none that settings can have.
    pub fn shuffle(&self) -> Result<Shuffle> {
        let train = self.settings.as_ref().and_then(|tables| tables.get("train")?.as_table());
        let Some(told) = train.and_then(|train| train.get("shuffle")) else { return Ok(Shuffle::All) };
        let bad = || {
            let place = "train.shuffle in the ledger's header";
            Error::expected(ErrorKind::Damage, place, "a way to shuffle", format!("{told:?}"))
        };
        Shuffle::read(Some(told)).ok_or_else(bad)
    }

    /// How the run's images are changed anew in every step, as its settings say; not at all where these do not.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if it is in no way that settings can have.
    pub fn augment(&self) -> Result<Augment> {
        let told = self.settings.as_ref().and_then(|tables| tables.get("augment")).and_then(Value::as_table);
        let (keys, mut values) = (Augment::keys("augment", None), Values::default());
        for (name, value) in told.into_iter().flatten() {
            values.give(join("augment", name), value.clone());
        }
        let read = values.check(&keys).and_then(|()| Augment::read(&values, "augment"));
        read.map_err(|e| e.within("settings in the ledger's header").as_kind(ErrorKind::Damage))
    }

    /// The version that began the run, if it is later than this program's: it may know more.
    pub fn later_version(&self) -> Option<&str> {
        self.version.as_deref().filter(|version| is_later(version))
    }

    /// Checks that this header of a new ledger is that of the run which `begun` is the header of: the facts that both know are the
    /// same. Who began it, by which evaluator, makes no difference. Keys of settings that `begun` does not have are later than its program.
    ///
    /// # Errors
    /// [`ErrorKind::Ledger`] naming the first key that differs.
    pub fn check_begun(&self, begun: &Self) -> Result<()> {
        let bad =
            |e: serde_json::Error| Error::new(ErrorKind::Ledger, format!("cannot encode a header: {e}"));
        let (now, then) =
            (serde_json::to_value(self).map_err(bad)?, serde_json::to_value(begun).map_err(bad)?);
        for (key, then) in then.as_object().into_iter().flatten() {
            let about_its_begin = ["version", "evaluator"].contains(&key.as_str());
            if about_its_begin || then.is_null() {
                continue;
            }
            if let Some((place, began, now)) = difference(key, then, &now[key]) {
                let place = format!("{place} in the ledger's header");
                let expected = format!("{now}, to which the spec leads");
                return Err(Error::expected(ErrorKind::Ledger, place, expected, began));
            }
        }
        Ok(())
    }
}

/// Where `then` has what `now` has not: the dotted key, and both values.
fn difference(
    key: &str,
    then: &serde_json::Value,
    now: &serde_json::Value,
) -> Option<(String, String, String)> {
    if let (Some(then), Some(now)) = (then.as_object(), now.as_object()) {
        let none = serde_json::Value::Null;
        return then.iter().find_map(|(name, then)| {
            difference(&format!("{key}.{name}"), then, now.get(name).unwrap_or(&none))
        });
    }
    let shown = |value: &serde_json::Value| Some(value.to_string()).filter(|text| text.len() <= 80);
    (then != now).then(|| {
        let (then, now) = (shown(then), shown(now));
        (key.to_owned(), then.unwrap_or("another value".into()), now.unwrap_or("a value".into()))
    })
}

/// A header's JSON, once it is certain that the same is read from it: a number that JSON has no word for is an error.
pub(super) fn to_json(header: &Header) -> Result<String> {
    let bad = |what: String| Error::new(ErrorKind::Ledger, format!("cannot encode a header: {what}"));
    let json = serde_json::to_string(header).map_err(|e| bad(e.to_string()))?;
    let back: Header = serde_json::from_str(&json).map_err(|e| bad(e.to_string()))?;
    if back == *header { Ok(json) } else { Err(bad("it holds what JSON has no word for".into())) }
}

/// What is wrong with a header: what was expected and found, and whether that may be no damage but the work of a later program.
pub(super) struct Wrong {
    pub expected: String,
    pub found: String,
    pub later: bool,
}

impl Wrong {
    pub fn damage(expected: &str, found: impl fmt::Display) -> Self {
        Self { expected: expected.into(), found: found.to_string(), later: false }
    }
}

/// What a header's record has to be.
const OWN: &str = "a header of this version";

/// The header in the JSON of a ledger of this format version.
pub(super) fn from_json(json: &str, version: u16) -> Result<Header, Wrong> {
    if version == 2 {
        let second: SecondHeader = serde_json::from_str(json).map_err(|e| Wrong::damage(OWN, e))?;
        return second.header().map_err(|found| Wrong::damage(OWN, found));
    }
    serde_json::from_str(json).map_err(|e| {
        /// What of a header can be read whoever wrote it.
        #[derive(Deserialize)]
        struct Any {
            version: Option<String>,
        }
        let by = serde_json::from_str(json).ok().and_then(|any: Any| any.version);
        match by.filter(|by| is_later(by)) {
            Some(by) => Wrong {
                expected: format!("a header that onward {VERSION} knows"),
                found: format!("one of onward {by}: {e}"),
                later: true,
            },
            None => Wrong::damage(OWN, e),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(is_later("99.0.0") && is_later("0.1000.0") && is_later("1.0.0-beta"));
        assert!(!is_later(VERSION) && !is_later("0.0.9") && !is_later("") && !is_later("unknown"));
    }
}
