//! Params: a model's named, shaped tensors, with a digest and safetensors in and out.

mod data;
mod file;

use crate::kernel::bytes_in;
use crate::noise::{Family, Role, RunKey};
use crate::{Error, ErrorKind, Place, Result, choices};

pub use data::{DType, Memory, TensorData};
pub(crate) use data::{Piece, Version, narrow, wide};
pub(crate) use file::Tensors;

choices! {
    /// The number format that params are stored in.
    pub enum Storage default F32 {
        /// All of single precision.
        F32 = "f32",
        /// Only those of bfloat16: each step is rounded to one of two neighbours by chance, right in the mean. The model's
        /// file is half as long, and so is the memory that they take.
        Bf16 = "bf16",
        /// Only those of half precision (5 bits of exponent, 10 of fraction: up to 65 504), rounded likewise.
        F16 = "f16",
    }
}

impl Storage {
    /// The tensor type of this storage.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::Bf16,
            Self::F16 => DType::F16,
        }
    }
}

/// The initial value of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// One value everywhere.
    Constant(f32),
    /// Normal with standard deviation `√(2 / fan_in)` (He et al. 2015, arXiv 1502.01852).
    He {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// Whole numbers: normal with standard deviation `spread / √3`, rounded, within ±127.
    Whole {
        /// The spread; that of numbers uniform within ± this.
        spread: u8,
    },
}

/// The name, shape and initial value of a tensor that a model declares.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TensorSpec {
    /// The tensor's name, such as `fc1.weight`.
    pub name: String,
    /// The tensor's shape, outermost first: `(out, in)` for a matrix, `(out, 3, 3, in)` for a convolution.
    pub shape: Vec<usize>,
    /// The initial value.
    pub init: Init,
}

/// A named, shaped tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The tensor's name.
    pub name: String,
    /// The tensor's shape, outermost axis first.
    pub shape: Vec<usize>,
    /// The tensor's elements, the last axis fastest.
    pub data: TensorData,
}

impl Tensor {
    /// A matrix's `(rows, columns)`, the first axis against all others; `None` for vectors.
    pub fn matrix(&self) -> Option<(usize, usize)> {
        matrix_shape(&self.shape)
    }
}

/// `(rows, columns)` of a shape of two or more axes: the first against the rest.
pub(crate) fn matrix_shape(shape: &[usize]) -> Option<(usize, usize)> {
    (shape.len() >= 2).then(|| (shape[0], shape[1..].iter().product()))
}

/// Numbers that are widened at once for a digest.
const HASHED: usize = 1 << 16;

/// The params of a model, in the model's own order.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    tensors: Vec<Tensor>,
}

impl Params {
    /// The initial params that `specs` and a run key determine.
    pub fn init(specs: &[TensorSpec], key: &RunKey) -> Self {
        let tensors = specs
            .iter()
            .map(|spec| {
                let mut data = vec![0.0; spec.shape.iter().product()];
                match spec.init {
                    Init::Constant(value) => data.fill(value),
                    Init::He { fan_in } => {
                        let std = (2.0 / fan_in.max(1) as f32).sqrt();
                        key.tensor(Role::Init, &spec.name).at(0, 0).add_to(Family::Normal, 0, std, &mut data);
                    }
                    Init::Whole { spread } => {
                        let std = f32::from(spread) / 3f32.sqrt();
                        key.tensor(Role::Init, &spec.name).at(0, 0).add_to(Family::Normal, 0, std, &mut data);
                        data.iter_mut().for_each(|w| *w = w.round_ties_even().clamp(-127.0, 127.0));
                    }
                }
                Tensor { name: spec.name.clone(), shape: spec.shape.clone(), data: data.into() }
            })
            .collect();
        Self { tensors }
    }

    /// Params from tensors, in the given order.
    pub fn from_tensors(tensors: Vec<Tensor>) -> Self {
        Self { tensors }
    }

    /// All tensors, in the model's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The numbers of tensor `index`. Training changes params through [`crate::ledger::State::apply`] alone.
    pub(crate) fn data_mut(&mut self, index: usize) -> &mut TensorData {
        &mut self.tensors[index].data
    }

    /// Tensors of the same names and shapes with the numbers of `point`, all tensors' in order.
    #[must_use]
    pub(crate) fn moved_to(&self, point: &[f64]) -> Self {
        let mut rest = point.iter();
        let tensors = self.tensors.iter().map(|t| Tensor {
            data: rest.by_ref().take(t.data.len()).map(|v| *v as f32).collect::<Vec<_>>().into(),
            name: t.name.clone(),
            shape: t.shape.clone(),
        });
        Self { tensors: tensors.collect() }
    }

    /// The index of the tensor `{layer}.{part}`, if there is one.
    pub fn find(&self, layer: &str, part: &str) -> Option<usize> {
        self.tensors.iter().position(|t| {
            t.name
                .strip_prefix(layer)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| rest == part)
        })
    }

    /// The number of elements of all tensors together.
    pub fn count(&self) -> usize {
        self.tensors.iter().map(|t| t.data.len()).sum()
    }

    /// Rounds every number to the nearest that the storage holds, in its type.
    #[must_use]
    pub fn stored_as(self, storage: Storage) -> Self {
        self.stored_for(storage, |_| true)
    }

    /// Stores the params that change as `storage` says, and those that do not but are in single precision; all others stay as they lie.
    #[must_use]
    pub fn stored_for(mut self, storage: Storage, changes: impl Fn(usize) -> bool) -> Self {
        for (index, tensor) in self.tensors.iter_mut().enumerate() {
            let single = storage != Storage::F32 && tensor.data.dtype() == DType::F32;
            if changes(index) || single {
                tensor.data = std::mem::replace(&mut tensor.data, Vec::new().into()).stored_as(storage);
            }
        }
        self
    }

    /// The bytes of elements in owned memory; mapped and foreign memory does not count.
    pub fn bytes_owned(&self) -> usize {
        let own = self.tensors.iter().filter(|t| t.data.memory().is_none());
        own.map(|t| t.data.len() * t.data.dtype().bytes()).sum()
    }

    /// The BLAKE3 digest of names, shapes and elements (as f32, whatever type they are stored in), in order.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 params v1");
        let mut numbers = Vec::new();
        for t in &self.tensors {
            hash.update(&(t.name.len() as u64).to_le_bytes()).update(t.name.as_bytes()).update(b"F32");
            hash.update(&(t.shape.len() as u64).to_le_bytes());
            for n in &t.shape {
                hash.update(&(*n as u64).to_le_bytes());
            }
            if t.data.dtype() == DType::F32 {
                hash.update(&t.data.bytes());
                continue;
            }
            for first in (0..t.data.len()).step_by(HASHED) {
                numbers.resize(HASHED.min(t.data.len() - first), 0.0);
                t.data.read(first, &mut numbers);
                if cfg!(target_endian = "big") {
                    numbers.iter_mut().for_each(|v| *v = f32::from_bits(v.to_bits().swap_bytes()));
                }
                hash.update(bytes_in(&numbers));
            }
        }
        *hash.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype, SafeTensors};

    fn specs() -> Vec<TensorSpec> {
        vec![
            TensorSpec { name: "fc.weight".into(), shape: vec![2, 3], init: Init::He { fan_in: 3 } },
            TensorSpec { name: "fc.bias".into(), shape: vec![2], init: Init::Constant(0.5) },
        ]
    }

    #[test]
    fn safetensors_round_trip_keeps_the_digest() {
        let params = Params::init(&specs(), &RunKey::from_seed(3));
        let extra = Tensor { name: "norm.mean".into(), shape: vec![1], data: vec![2.0].into() };
        let bytes = params.to_safetensors(std::slice::from_ref(&extra), &[("format", "pt".into())]).unwrap();
        let (back, rest) = Params::take(&specs(), Params::tensors_from_safetensors(&bytes).unwrap()).unwrap();
        assert_eq!((back.digest(), rest), (params.digest(), vec![extra]));
        let metadata = [("format", "pt".into()), ("b", "two \"words\"".into()), ("a", "1".into())];
        let bytes = params.to_safetensors(&[], &metadata).unwrap();
        assert!(bytes[8..].starts_with(br#"{"__metadata__":{"a":"1","b":"two \"words\"","format":"pt"},"#));
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["b"], "two \"words\"");
        assert_eq!(Params::tensors_from_safetensors(&bytes).unwrap().len(), 2);
        assert_ne!(Params::init(&specs(), &RunKey::from_seed(4)).digest(), params.digest());
    }

    #[test]
    fn files_in_bf16_hold_half_the_bytes_and_the_same_numbers() {
        let params = Params::init(&specs(), &RunKey::from_seed(3)).stored_as(Storage::Bf16);
        let extra = Tensor { name: "norm.mean".into(), shape: vec![1], data: vec![1.2345678].into() };
        let bytes = params.to_safetensors(std::slice::from_ref(&extra), &[]).unwrap();
        let (back, rest) = Params::take(&specs(), Params::tensors_from_safetensors(&bytes).unwrap()).unwrap();
        assert_eq!((back.digest(), rest), (params.digest(), vec![extra]));
        let (at, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!((header.info("fc.weight").unwrap().dtype, bytes.len() - 8 - at), (Dtype::BF16, 2 * 8 + 4));
    }

    #[test]
    fn broken_files_are_named() {
        let params = Params::init(&specs(), &RunKey::from_seed(3));
        let good = params.to_safetensors(&[], &[]).unwrap();
        let read = |bytes: &[u8]| Params::tensors_from_safetensors(bytes).unwrap_err().to_string();
        assert!(read(&good[..good.len() - 1]).contains("a sound safetensors file"));
        let mut lying = good.clone();
        lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read(&lying).contains("sound"));
        let header = |json: &str, data: usize| {
            let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(json.as_bytes());
            bytes.resize(bytes.len() + data, 0);
            bytes
        };
        let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        assert!(read(&header(overlapping, 12)).contains("sound"));
        let huge = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#;
        assert!(read(&header(huge, 8)).contains("sound"));
        let double = r#"{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}"#;
        assert_eq!(read(&header(double, 16)), "tensor a: expected type F32, F16, BF16 or I8, found F64");
        let wrong =
            Params::take(&[TensorSpec { shape: vec![3, 2], ..specs()[0].clone() }], params.tensors.clone());
        assert_eq!(wrong.unwrap_err().to_string(), "tensor fc.weight: expected shape [3, 2], found [2, 3]");
    }
}
