//! Headers of earlier format versions: read, never written.

use super::header::known;
use super::search::check_strategies;
use super::{Header, Moves, Numerics, Optimizer, Recipe, Search, TensorHeader, digest};
use crate::model::WeightSpace;
use crate::params::Storage;
use serde::{Deserialize, Serialize};

/// What moves the params, as both versions have it.
fn moves(space: Option<WeightSpace>, search: Option<Search>) -> Moves {
    match (search, space) {
        (Some(search), _) => Moves::Search(search),
        (None, Some(space)) => Moves::Noise(space),
        (None, None) => Moves::Directions,
    }
}

/// A header of format version 1: the fields in this order, without their names.
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
            version: None,
            evaluator: None,
            numerics: None,
            seed: self.seed,
            steps: self.steps,
            goal: self.goal,
            method: self.method,
            recipe: Recipe {
                moves: moves(self.space, search),
                optimizer: self.optimizer,
                storage,
                rates: Vec::new(),
            },
            settings: None,
            model: None,
            rows: None,
            spec: self.spec,
            interface: None,
            data: self.data,
            test: None,
            validation: None,
            base: self.base,
            tensors: self.tensors,
            types: Default::default(),
        }
    }
}

/// A header of format version 2: a map with these keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecondHeader {
    seed: u64,
    steps: u64,
    goal: String,
    method: String,
    recipe: SecondRecipe,
    #[serde(deserialize_with = "known")]
    search: Option<SecondSearch>,
    #[serde(deserialize_with = "known")]
    arithmetic: Option<String>,
    #[serde(with = "digest")]
    spec: [u8; 32],
    #[serde(with = "digest::optional")]
    interface: Option<[u8; 32]>,
    #[serde(with = "digest")]
    data: [u8; 32],
    #[serde(with = "digest::optional")]
    test: Option<[u8; 32]>,
    #[serde(with = "digest")]
    base: [u8; 32],
    tensors: Vec<TensorHeader>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecondRecipe {
    #[serde(deserialize_with = "known")]
    space: Option<WeightSpace>,
    optimizer: Optimizer,
    storage: Storage,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecondSearch {
    version: u32,
    settings: Search,
}

impl SecondHeader {
    /// The header, or what is wrong with it.
    pub(super) fn header(self) -> Result<Header, String> {
        let SecondRecipe { space, optimizer, storage } = self.recipe;
        let search =
            self.search.map(|search| check_strategies(search.version, Ok(search.settings))).transpose()?;
        Ok(Header {
            version: None,
            evaluator: None,
            numerics: self.arithmetic.as_deref().map(Numerics::of_word),
            seed: self.seed,
            steps: self.steps,
            goal: self.goal,
            method: self.method,
            recipe: Recipe { moves: moves(space, search), optimizer, storage, rates: Vec::new() },
            settings: None,
            model: None,
            rows: None,
            spec: self.spec,
            interface: self.interface,
            data: self.data,
            test: self.test,
            validation: None,
            base: self.base,
            tensors: self.tensors,
            types: Default::default(),
        })
    }
}
