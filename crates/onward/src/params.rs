//! Params: a model's named, shaped tensors, with a digest and safetensors in and out.

use crate::kernel::{from_bf16, to_bf16};
use crate::noise::{Family, Role, RunKey};
use crate::{Error, ErrorKind, Place, Result, choices};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

choices! {
    /// What numbers params may be.
    pub enum Storage default F32 {
        /// All of single precision.
        F32 = "f32",
        /// Only those of bfloat16: each step is rounded to one of two neighbours by chance, right in the mean. The model's
        /// file is half as long.
        Bf16 = "bf16",
    }
}

/// How a tensor begins.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// All the same value.
    Constant(f32),
    /// Normal with standard deviation `√(2 / fan_in)` (He et al. 2015, arXiv 1502.01852).
    He {
        /// Inputs of one output.
        fan_in: usize,
    },
}

/// A tensor that a model asks for.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TensorSpec {
    /// Its name, such as `fc1.weight`.
    pub name: String,
    /// Its shape, outermost first: `(out, in)` for a matrix, `(out, 3, 3, in)` for a convolution.
    pub shape: Vec<usize>,
    /// How it begins.
    pub init: Init,
}

/// A named, shaped tensor of f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, the last axis fastest.
    pub data: Vec<f32>,
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
                }
                Tensor { name: spec.name.clone(), shape: spec.shape.clone(), data }
            })
            .collect();
        Self { tensors }
    }

    /// Params from tensors, in the given order.
    pub fn from_tensors(tensors: Vec<Tensor>) -> Self {
        Self { tensors }
    }

    /// All tensors.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The numbers of tensor `index`. Training changes params through [`crate::ledger::State::apply`] alone.
    pub(crate) fn data_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.tensors[index].data
    }

    /// Tensors of the same names and shapes with the numbers of `point`, all tensors' in order.
    #[must_use]
    pub(crate) fn moved_to(&self, point: &[f64]) -> Self {
        let mut rest = point.iter();
        let tensors = self.tensors.iter().map(|t| Tensor {
            data: rest.by_ref().take(t.data.len()).map(|v| *v as f32).collect(),
            ..t.clone()
        });
        Self { tensors: tensors.collect() }
    }

    /// Where the tensor `{layer}.{part}` stands.
    pub fn find(&self, layer: &str, part: &str) -> Option<usize> {
        self.tensors.iter().position(|t| {
            t.name
                .strip_prefix(layer)
                .and_then(|rest| rest.strip_prefix('.'))
                .is_some_and(|rest| rest == part)
        })
    }

    /// How many numbers there are in all.
    pub fn count(&self) -> usize {
        self.tensors.iter().map(|t| t.data.len()).sum()
    }

    /// The same params with every number rounded to the nearest that the storage holds.
    #[must_use]
    pub fn stored_as(mut self, storage: Storage) -> Self {
        if storage == Storage::Bf16 {
            for tensor in &mut self.tensors {
                tensor.data.iter_mut().for_each(|v| *v = from_bf16(to_bf16(*v)));
            }
        }
        self
    }

    /// BLAKE3 over names, types, shapes and bytes, in order.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("onward 2026 params v1");
        let mut bytes = Vec::new();
        for t in &self.tensors {
            hash.update(&(t.name.len() as u64).to_le_bytes()).update(t.name.as_bytes()).update(b"F32");
            hash.update(&(t.shape.len() as u64).to_le_bytes());
            for n in &t.shape {
                hash.update(&(*n as u64).to_le_bytes());
            }
            bytes.clear();
            bytes.extend(t.data.iter().flat_map(|v| v.to_le_bytes()));
            hash.update(&bytes);
        }
        *hash.finalize().as_bytes()
    }

    /// The bytes of a safetensors file with these tensors and `extra` ones (such as running statistics, which are not params).
    /// The same arguments give the same bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if a shape and its data disagree.
    pub fn to_safetensors(&self, extra: &[Tensor], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
        self.to_safetensors_as(Storage::F32, extra, metadata)
    }

    /// The same with the params (not the extra tensors) in the type of `storage`.
    ///
    /// # Errors
    /// As for [`Params::to_safetensors`].
    pub fn to_safetensors_as(
        &self,
        storage: Storage,
        extra: &[Tensor],
        metadata: &[(&str, String)],
    ) -> Result<Vec<u8>> {
        let floats = |t: &Tensor| t.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        let halves = |t: &Tensor| t.data.iter().flat_map(|v| to_bf16(*v).to_le_bytes()).collect();
        let stored = self.tensors.iter().map(|t| match storage {
            Storage::F32 => (t, Dtype::F32, floats(t)),
            Storage::Bf16 => (t, Dtype::BF16, halves(t)),
        });
        let all: Vec<(&Tensor, Dtype, Vec<u8>)> =
            stored.chain(extra.iter().map(|t| (t, Dtype::F32, floats(t)))).collect();
        let views = all
            .iter()
            .map(|(t, dtype, bytes)| {
                let view = TensorView::new(*dtype, t.shape.clone(), bytes).map_err(|e| broken(&e))?;
                Ok((t.name.as_str(), view))
            })
            .collect::<Result<Vec<_>>>()?;
        let file = safetensors::serialize(views, None).map_err(|e| broken(&e))?;
        with_metadata(&file, &metadata.iter().map(|(k, v)| (*k, v.as_str())).collect())
    }

    /// All tensors of a safetensors file, sorted by name; those of f16 and bf16 widened, which is exact.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the bytes are no sound safetensors file or a tensor is of another type than these and f32.
    pub fn tensors_from_safetensors(bytes: &[u8]) -> Result<Vec<Tensor>> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
        let mut tensors = file.iter().map(|(name, view)| tensor(name, &view)).collect::<Result<Vec<_>>>()?;
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tensors)
    }

    /// The metadata of a safetensors file.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the bytes do not begin with the header of one.
    pub fn metadata_from_safetensors(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| broken(&e))?;
        Ok(header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// Takes the params that `specs` name out of `tensors`; what is left over is returned beside them.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the tensor that is missing or has another shape.
    pub fn take(specs: &[TensorSpec], mut tensors: Vec<Tensor>) -> Result<(Self, Vec<Tensor>)> {
        let mut taken = Vec::new();
        for spec in specs {
            let Some(at) = tensors.iter().position(|t| t.name == spec.name) else {
                let found = tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
                return Err(Error::expected(
                    ErrorKind::Model,
                    "model",
                    format!("a tensor named {}", spec.name),
                    found,
                ));
            };
            let tensor = tensors.swap_remove(at);
            if tensor.shape != spec.shape {
                let (want, found) = (format!("shape {:?}", spec.shape), format!("{:?}", tensor.shape));
                return Err(Error::expected(ErrorKind::Model, Place::tensor(&spec.name), want, found));
            }
            taken.push(tensor);
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((Self { tensors: taken }, tensors))
    }

    /// Reads a safetensors file: the params that `specs` name and the other tensors in it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Model`], naming the file.
    pub fn read(path: &Path, specs: &[TensorSpec]) -> Result<(Self, Vec<Tensor>)> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        Self::tensors_from_safetensors(&bytes).and_then(|t| Self::take(specs, t)).map_err(|e| e.in_file(path))
    }
}

/// A tensor of a file.
pub(crate) fn tensor(name: &str, view: &TensorView<'_>) -> Result<Tensor> {
    let (fours, twos) = (view.data().as_chunks::<4>().0, view.data().as_chunks::<2>().0);
    let data = match view.dtype() {
        Dtype::F32 => fours.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::BF16 => twos.iter().map(|b| from_bf16(u16::from_le_bytes(*b))).collect(),
        Dtype::F16 => twos.iter().map(|b| from_f16(u16::from_le_bytes(*b))).collect(),
        other => {
            let (place, found) = (Place::tensor(name), format!("{other:?}"));
            return Err(Error::expected(ErrorKind::Model, place, "type F32, F16 or BF16", found));
        }
    };
    Ok(Tensor { name: name.to_owned(), shape: view.shape().to_vec(), data })
}

/// A number of half precision (5 bits of exponent, 10 of fraction), exactly.
pub fn from_f16(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(bits >> 15) << 31, bits >> 10 & 0x1f, bits & 0x3ff);
    match exponent {
        // Below the least normal number fractions count in steps of 2⁻²⁴.
        0 => f32::from_bits((f32::from(fraction) * 2f32.powi(-24)).to_bits() | sign),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | u32::from(fraction) << 13),
        _ => f32::from_bits(sign | (u32::from(exponent) + 112) << 23 | u32::from(fraction) << 13),
    }
}

/// What is wrong with the bytes of a safetensors file.
pub(crate) fn broken(error: &safetensors::SafeTensorError) -> Error {
    Error::expected(
        ErrorKind::Model,
        "model",
        "a sound safetensors file",
        format!("one that is not: {error}"),
    )
}

/// Puts metadata into the header of a safetensors file that has none. The crate's own way keeps metadata in a hash map,
/// whose order, and with it the file's bytes, is another in every process.
fn with_metadata(file: &[u8], metadata: &BTreeMap<&str, &str>) -> Result<Vec<u8>> {
    let unsound = || Error::expected(ErrorKind::Model, "model", "a header", "none");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(unsound)?;
    let (header, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize).ok_or_else(unsound)?;
    let tensors = header.trim_ascii().strip_prefix(b"{").ok_or_else(unsound)?;
    let own = serde_json::to_string(metadata).map_err(|e| Error::new(ErrorKind::Model, e.to_string()))?;
    let comma = if tensors == b"}" { "" } else { "," };
    let mut header = [format!("{{\"__metadata__\":{own}{comma}").as_bytes(), tensors].concat();
    // The data begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice(), data].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs() -> Vec<TensorSpec> {
        vec![
            TensorSpec { name: "fc.weight".into(), shape: vec![2, 3], init: Init::He { fan_in: 3 } },
            TensorSpec { name: "fc.bias".into(), shape: vec![2], init: Init::Constant(0.5) },
        ]
    }

    #[test]
    fn safetensors_round_trip_keeps_the_digest() {
        let params = Params::init(&specs(), &RunKey::from_seed(3));
        let extra = Tensor { name: "norm.mean".into(), shape: vec![1], data: vec![2.0] };
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
        let extra = Tensor { name: "norm.mean".into(), shape: vec![1], data: vec![1.2345678] };
        let bytes = params.to_safetensors_as(Storage::Bf16, std::slice::from_ref(&extra), &[]).unwrap();
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
        assert_eq!(read(&header(double, 16)), "tensor a: expected type F32, F16 or BF16, found F64");
        let wrong =
            Params::take(&[TensorSpec { shape: vec![3, 2], ..specs()[0].clone() }], params.tensors.clone());
        assert_eq!(wrong.unwrap_err().to_string(), "tensor fc.weight: expected shape [3, 2], found [2, 3]");
    }
    #[test]
    fn numbers_of_half_precision_are_widened_exactly() {
        let known = [(0x0000, 0.0), (0x8000, -0.0), (0x0001, 5.960_464_5e-8), (0x03ff, 6.097_555e-5)];
        let normal = [(0x0400, 6.103_515_6e-5), (0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95)];
        let largest = [(0x7bff, 65504.0), (0x7c00, f32::INFINITY), (0xfc00, f32::NEG_INFINITY)];
        for (bits, number) in known.into_iter().chain(normal).chain(largest) {
            assert_eq!(from_f16(bits).to_bits(), f32::to_bits(number), "{bits:#06x}");
        }
        assert!(from_f16(0x7e00).is_nan());
    }
}
