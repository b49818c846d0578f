//! Params that a file gives a model to begin with.

use crate::model::Graph;
use crate::params::{Memory, Params, TensorSpec, Tensors};
use crate::schema::nearest_of;
use crate::{Error, ErrorKind, Hint, Place, Result};
use std::sync::Arc;

/// Params that a file gives a model to begin with, and the file's digest as headers of ledgers name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The params.
    pub params: Params,
    /// `blake3:` and the digest of the file's bytes in hexadecimal: it stands in a header where a spec has the file's path.
    pub file: String,
}

impl Given {
    /// Reads the params of a model with this graph from the bytes of a safetensors file, each in its own type: a tensor of each name and shape
    /// (of int8 with its scales, `{name}_scale`), and nothing else but what batch normalisations keep (`{layer}.running_mean`,
    /// `.running_var`, `.num_batches_tracked`), which is passed over.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the bytes are no sound safetensors file, and naming each tensor that is missing (with the nearest name that
    /// the file has), that the model does not know, or that has another shape or a type that is not f32, f16, bf16 or int8.
    pub fn from_safetensors(bytes: &[u8], graph: &Graph) -> Result<Self> {
        Ok(Self { params: params_of(&Tensors::of(bytes)?, graph)?, file: Self::named(bytes) })
    }

    /// Reads the params from a safetensors file in `memory`, such as a mapped file ([`crate::mapped::Mapping`]): frozen params stay
    /// there and are used as they lie.
    ///
    /// # Errors
    /// As for [`Given::from_safetensors`], and those of [`Memory::check`].
    pub fn lying_in(memory: &Arc<dyn Memory>, graph: &Graph) -> Result<Self> {
        let params = params_of(&Tensors::lying_in(memory)?, graph)?;
        let file = Self::named(memory.bytes());
        memory.check()?;
        Ok(Self { params, file })
    }

    /// The name of a file with these bytes in headers: `blake3:` and its digest.
    pub fn named(bytes: &[u8]) -> String {
        format!("blake3:{}", blake3::hash(bytes).to_hex())
    }
}

fn params_of(file: &Tensors<'_>, graph: &Graph) -> Result<Params> {
    check_names(&file.names(), graph)?;
    let one = |spec: &TensorSpec| {
        let tensor = file.tensor(&spec.name)?;
        let place = || Place::tensor(&spec.name);
        if tensor.shape != spec.shape {
            let (expected, found) = (format!("shape {:?}", spec.shape), format!("{:?}", tensor.shape));
            return Err(Error::expected(ErrorKind::Model, place(), expected, found));
        }
        let wrong = tensor.data.iter().find(|v| !v.is_finite());
        match wrong {
            Some(other) => Err(Error::expected(ErrorKind::Model, place(), "finite numbers", other)),
            None => Ok(tensor),
        }
    };
    graph.tensors().iter().map(one).collect::<Result<_>>().map(Params::from_tensors)
}

/// Checks that all of a model's tensors are there and nothing else.
fn check_names(names: &[&str], graph: &Graph) -> Result<()> {
    let wanted: Vec<&str> = graph.tensors().iter().map(|spec| spec.name.as_str()).collect();
    let kept = |name: &str| {
        name.rsplit_once('.').is_some_and(|(layer, part)| {
            ["running_mean", "running_var", "num_batches_tracked"].contains(&part)
                && graph.norms().any(|(norm, _)| norm == layer)
        })
    };
    let foreign = |name: &&str| !wanted.contains(name) && !kept(name);
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !names.contains(name)).collect();
    let extra: Vec<&str> = names.iter().copied().filter(foreign).collect();
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    let nearest = missing.iter().filter_map(|name| Some((*name, nearest_of(name, &extra)?)));
    let nearest: Vec<String> =
        nearest.map(|(wanted, near)| format!("{near} is near to {wanted}")).take(MOST_NAMES).collect();
    let expected = format!("the model's {} tensors", wanted.len());
    let found = match (missing.is_empty(), extra.is_empty()) {
        (false, true) => format!("all but {}", list(&missing)),
        (true, false) => format!("{} besides", list(&extra)),
        _ => format!("{} missing and {} besides", list(&missing), list(&extra)),
    };
    let error = Error::expected(ErrorKind::Model, "tensors", expected, found);
    Err(if nearest.is_empty() { error } else { error.hint(Hint::Then(nearest.join(", "))) })
}

/// Names that an error lists; of those beyond, their number.
const MOST_NAMES: usize = 8;

fn list(names: &[&str]) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
