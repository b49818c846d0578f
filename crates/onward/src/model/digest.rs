//! A digest of what a model does, so that a run is not gone on with by another model whose tensors happen to look the same.

use super::outline::{Map, Outline};
use super::{LinkKind, Model, Operation};
use crate::params::TensorSpec;
use serde::Serialize;

/// All that is known of a model without its code.
#[derive(Serialize)]
struct Facts<'a> {
    /// `[height, width, channels]` of a row.
    input: [usize; 3],
    tensors: &'a [TensorSpec],
    stages: Vec<Stage>,
    /// Numbers that it answers with.
    outputs: usize,
}

#[derive(Serialize)]
struct Stage {
    /// Numbers in a row of its output.
    width: usize,
    /// What it does, in order.
    operations: Vec<Operation>,
    /// Whether that is all that it does; else these are its linear maps, and what is between them is not known.
    whole: bool,
}

impl Outline {
    /// A digest of the model that this is the outline of, on rows of the given shape: BLAKE3 over the JSON of its tensors, stages and
    /// operations (`docs/ledger.md`).
    pub(crate) fn digest(&self, model: &dyn Model, input: [usize; 3]) -> [u8; 32] {
        let stage = |(stage, maps): (usize, &Vec<Map>)| {
            let listed = model.operations(stage);
            let whole = listed.is_some();
            let operations = listed.unwrap_or_else(|| maps.iter().map(|map| self.operation(map)).collect());
            Stage { width: model.width(stage), operations, whole }
        };
        let stages = self.maps.iter().enumerate().map(stage).collect();
        let facts = Facts { input, tensors: &self.specs, stages, outputs: self.outputs };
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 model outline v1");
        // Numbers and names alone: there is nothing in it that JSON could refuse.
        hash.update(&serde_json::to_vec(&facts).unwrap_or_default());
        *hash.finalize().as_bytes()
    }

    /// A linear map as an operation.
    fn operation(&self, map: &Map) -> Operation {
        let name = &self.specs[map.weight].name;
        let layer = name.strip_suffix(".weight").unwrap_or(name).to_owned();
        match map.kind {
            LinkKind::Linear => Operation::Linear(layer),
            LinkKind::Conv => Operation::Conv3x3(layer),
            LinkKind::Norm => Operation::BatchNorm(layer),
        }
    }
}
