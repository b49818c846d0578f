//! What a run's entries mean.

use super::{Search, search::versioned};
use crate::model::WeightSpace;
use crate::params::{Params, Storage};
use crate::{Error, ErrorKind, Result, choices};
use serde::{Deserialize, Serialize};

choices! {
    /// How an estimate becomes a step (Adam: Kingma and Ba 2015, arXiv 1412.6980; β₂ = 0.99, ε = 1e-8).
    pub enum Scaling default None {
        /// As it is.
        None = "none",
        /// Each number is divided by the root of its mean square, as Adam does.
        Adam = "adam",
    }
}

/// The optimizer, which turns directions into steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// The share of the previous step that is kept, in `0..1` (Adam: β₁).
    pub momentum: f32,
    /// How directions are rescaled per weight.
    pub scaling: Scaling,
}

/// What moves the params of a run: noise, directions or a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moves {
    /// Noise on the weights, told by [`Update::Probes`](super::Update::Probes) or, one weight at a time, [`Update::Choices`](super::Update::Choices).
    Noise(WeightSpace),
    /// Directions that are computed again from params and data ([`Update::Rerun`](super::Update::Rerun)).
    Directions,
    /// A strategy that is told losses ([`Update::Losses`](super::Update::Losses)).
    Search(#[serde(with = "versioned")] Search),
}

/// How entries become steps: fixed for a run and kept in the ledger's header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What moves the params: noise, directions or a search.
    pub moves: Moves,
    /// The optimizer, which turns directions into steps.
    pub optimizer: Optimizer,
    /// The number format that params are stored in.
    pub storage: Storage,
    /// The factor of each tensor's steps: 0 for frozen tensors; empty for 1 everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rates: Vec<f32>,
}

impl Recipe {
    /// Gives each tensor's steps a factor.
    #[must_use]
    pub fn with_rates(self, rates: &[f32]) -> Self {
        let rates = if rates.iter().all(|rate| *rate == 1.0) { Vec::new() } else { rates.to_vec() };
        Self { rates, ..self }
    }

    /// The factor of a tensor's steps.
    pub fn rate(&self, tensor: usize) -> f32 {
        self.rates.get(tensor).copied().unwrap_or(1.0)
    }

    pub(super) fn check(&self, params: &Params) -> Result<()> {
        let (tensors, rates) = (params.tensors().len(), &self.rates);
        let sound = rates.iter().all(|rate| *rate >= 0.0 && rate.is_finite());
        if sound && (rates.is_empty() || rates.len() == tensors) {
            return Ok(());
        }
        let expected = format!("none or {tensors}, of at least 0");
        Err(Error::expected(ErrorKind::Spec, "rates", expected, format!("{rates:?}")))
    }
}
