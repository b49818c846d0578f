//! The first record of every ledger: what the run is.

use super::{Optimizer, Recipe, Search};
use crate::model::WeightSpace;
use crate::params::Storage;
use crate::study;
use serde::{Deserialize, Serialize};

/// The first record of every ledger: what the run is. Its JSON is what the ledger keeps: all facts, each under its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The seed that all noise follows from.
    pub seed: u64,
    /// The budget in steps.
    pub steps: u64,
    /// Always "minimize": losses are lower-is-better.
    pub goal: String,
    /// The method's name.
    pub method: String,
    /// How entries become steps.
    pub recipe: Recipe,
    /// The search that the params follow, if they do.
    #[serde(with = "versioned")]
    pub search: Option<Search>,
    /// The arithmetic of the forward passes' products; not known of runs that were begun under format version 1.
    pub arithmetic: Option<String>,
    /// BLAKE3 of the spec as run.
    #[serde(with = "digest")]
    pub spec: [u8; 32],
    /// BLAKE3 of what the model expects and answers, as the run's folder has it, where that is known.
    #[serde(with = "digest::optional")]
    pub interface: Option<[u8; 32]>,
    /// Digest of the training data.
    #[serde(with = "digest")]
    pub data: [u8; 32],
    /// Digest of the test data, where they are known.
    #[serde(with = "digest::optional")]
    pub test: Option<[u8; 32]>,
    /// Digest of the base params.
    #[serde(with = "digest")]
    pub base: [u8; 32],
    /// Names and shapes of the params, in order.
    pub tensors: Vec<TensorHeader>,
}

/// Name and shape of one tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorHeader {
    /// The name.
    pub name: String,
    /// The shape, outermost first.
    pub shape: Vec<u64>,
}

impl Header {
    /// Whether base params and records lead to all later params, without data.
    pub fn is_complete(&self) -> bool {
        self.recipe.space.is_some() || self.search.is_some()
    }

    /// The name of the run in questions and answers: a digest of all that losses follow from.
    pub fn run(&self) -> [u8; 32] {
        let facts = Self { spec: [0; 32], interface: None, test: None, arithmetic: None, ..self.clone() };
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 run name v1");
        // A header that cannot be written has no ledger either; its run still has a name.
        hash.update(&serde_json::to_vec(&facts).unwrap_or_default());
        *hash.finalize().as_bytes()
    }

    /// `self` without the facts that `other` does not know, for comparison with it.
    #[must_use]
    pub fn as_far_as(&self, other: &Self) -> Self {
        let mut known = self.clone();
        known.arithmetic = known.arithmetic.filter(|_| other.arithmetic.is_some());
        known.interface = known.interface.filter(|_| other.interface.is_some());
        known.test = known.test.filter(|_| other.test.is_some());
        known
    }
}

/// A header as format version 1 has it: the fields in this order, without their names.
#[derive(Serialize, Deserialize)]
pub(super) struct FirstHeader {
    seed: u64,
    steps: u64,
    goal: String,
    method: String,
    space: Option<WeightSpace>,
    optimizer: Optimizer,
    spec: [u8; 32],
    data: [u8; 32],
    base: [u8; 32],
    tensors: Vec<TensorHeader>,
}

impl FirstHeader {
    /// The header; storage and search stood beside it.
    pub(super) fn with(self, storage: Storage, search: Option<Search>) -> Header {
        Header {
            seed: self.seed,
            steps: self.steps,
            goal: self.goal,
            method: self.method,
            recipe: Recipe { space: self.space, optimizer: self.optimizer, storage },
            search,
            arithmetic: None,
            spec: self.spec,
            interface: None,
            data: self.data,
            test: None,
            base: self.base,
            tensors: self.tensors,
        }
    }
}

/// A search under strategies of this version; what is wrong with them if they would search elsewhere today.
pub(super) fn check_strategies(version: u32, search: Result<Search, String>) -> Result<Search, String> {
    let own = study::Record::VERSION;
    let refusal = match &search {
        Ok(search) => study::Record::refusal(version, &search.strategy),
        // Another version may have other settings.
        Err(_) => (version != own).then(|| format!("version {own}")),
    };
    refusal.map_or(search, |expected| Err(format!("strategies of version {version} instead of {expected}")))
}

/// A search, with the version of the strategies.
mod versioned {
    use super::{Search, check_strategies, study};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Versioned<S> {
        version: u32,
        settings: S,
    }

    pub fn serialize<S: Serializer>(search: &Option<Search>, to: S) -> Result<S::Ok, S::Error> {
        let versioned = |settings| Versioned { version: study::Record::VERSION, settings };
        search.as_ref().map(versioned).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Search>, D::Error> {
        let Some(search) = Option::<Versioned<Search>>::deserialize(from)? else { return Ok(None) };
        check_strategies(search.version, Ok(search.settings)).map(Some).map_err(D::Error::custom)
    }
}

/// A digest in hexadecimal.
mod digest {
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(digest: &[u8; 32], to: S) -> Result<S::Ok, S::Error> {
        Hash::from_bytes(*digest).to_hex().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 32], D::Error> {
        parse(&String::deserialize(from)?).map_err(D::Error::custom)
    }

    fn parse(hex: &str) -> Result<[u8; 32], blake3::HexError> {
        Ok(*Hash::from_hex(hex)?.as_bytes())
    }

    pub mod optional {
        use super::{Deserialize, Deserializer, Error, Hash, Serialize, Serializer, parse};

        pub fn serialize<S: Serializer>(digest: &Option<[u8; 32]>, to: S) -> Result<S::Ok, S::Error> {
            digest.map(|d| Hash::from_bytes(d).to_hex().to_string()).serialize(to)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[u8; 32]>, D::Error> {
            let hex = Option::<String>::deserialize(from)?;
            hex.map(|hex| parse(&hex)).transpose().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_of_earlier_strategies_are_gone_on_with_unless_they_would_search_elsewhere() {
        let of = |version, name| check_strategies(version, Search::named(name).map_err(|e| e.to_string()));
        assert!(of(4, "snes").is_ok() && of(5, "snes").is_ok() && of(5, "one-plus-one").is_ok());
        for (version, name, found) in [
            (4, "one-plus-one", "strategies of version 4 instead of version 5"),
            (3, "snes", "strategies of version 3 instead of version 4 to 5"),
            (6, "snes", "strategies of version 6 instead of version 4 to 5"),
            (3, "none", "strategies of version 3 instead of version 5"),
        ] {
            assert_eq!(of(version, name).err().as_deref(), Some(found));
        }
    }
}
