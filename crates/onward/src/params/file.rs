//! Tensors in safetensors files, in and out.

use super::{DType, Error, ErrorKind, Memory, Params, Place, Result, Tensor, TensorData, TensorSpec};
use onward_base::mapped::Mapping;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What the name of a tensor of bytes and this are the name of its scales in a file: as others that quantise by output name them.
const SCALES: &str = "_scale";

impl Params {
    /// The bytes of a safetensors file with these tensors, each in its own type, and `extra` ones (such as running statistics, which are not
    /// params). The scales of a tensor of bytes stand beside it as `{name}_scale (outputs)`. The same arguments give the same bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if a shape and its data disagree.
    pub fn to_safetensors(&self, extra: &[Tensor], metadata: &[(&str, String)]) -> Result<Vec<u8>> {
        Ok(self.safetensors_pieces(extra, metadata)?.concat())
    }

    /// The bytes of [`Params::to_safetensors`] in pieces that follow one another: the file's header, then the numbers of each tensor where they lie, so that no second
    /// copy of them is made.
    ///
    /// # Errors
    /// As for [`Params::to_safetensors`].
    pub fn safetensors_pieces<'a>(
        &'a self,
        extra: &'a [Tensor],
        metadata: &[(&str, String)],
    ) -> Result<Vec<Cow<'a, [u8]>>> {
        let mut all: Vec<Written<'a>> = Vec::new();
        for t in self.tensors.iter().chain(extra) {
            all.push((t.name.as_str().into(), of_file(t.data.dtype()), t.shape.clone(), t.data.bytes()));
            if t.data.dtype() == DType::Int8 {
                let scales = t.data.scales().iter().flat_map(|v| v.to_le_bytes()).collect();
                let shape = vec![t.data.scales().len()];
                all.push((format!("{}{SCALES}", t.name).into(), Dtype::F32, shape, Cow::Owned(scales)));
            }
        }
        // Larger numbers first, so that each begins at a multiple of its size.
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let header = header_of(&all, &metadata.iter().map(|(k, v)| (*k, v.as_str())).collect())?;
        Ok(std::iter::once(Cow::Owned(header)).chain(all.into_iter().map(|(.., bytes)| bytes)).collect())
    }

    /// Reads all tensors of a safetensors file, sorted by name, each in its own type.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the bytes are no sound safetensors file, or a tensor is of another type than f32, bf16, f16 and int8, or is of
    /// bytes without fitting scales.
    pub fn tensors_from_safetensors(bytes: &[u8]) -> Result<Vec<Tensor>> {
        Tensors::of(bytes)?.all()
    }

    /// Reads all tensors of a safetensors file that lies in `memory`, such as a mapped file, where the tensors stay.
    ///
    /// # Errors
    /// As for [`Params::tensors_from_safetensors`], and those of [`Memory::check`].
    pub fn tensors_in(memory: &Arc<dyn Memory>) -> Result<Vec<Tensor>> {
        Tensors::lying_in(memory)?.all()
    }

    /// The names of the tensors of a safetensors file, in order.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the bytes are no sound safetensors file.
    pub fn names_in(bytes: &[u8]) -> Result<Vec<String>> {
        Ok(Tensors::of(bytes)?.names().into_iter().map(str::to_owned).collect())
    }

    /// Reads the tensors of these names of a safetensors file that lies in `memory`, where they stay; others may be of any type.
    ///
    /// # Errors
    /// As for [`Params::tensors_in`], and naming one that is not there.
    pub fn named_in(memory: &Arc<dyn Memory>, names: &[&str]) -> Result<Vec<Tensor>> {
        let all = Tensors::lying_in(memory)?;
        names.iter().map(|name| all.tensor(name)).collect()
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

    /// The params that `specs` name in a safetensors file, and the other tensors in it. All stay in the file, which is mapped.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Model`], naming the file.
    pub fn map(path: &Path, specs: &[TensorSpec]) -> Result<(Self, Vec<Tensor>)> {
        let memory: Arc<dyn Memory> = Arc::new(Mapping::open(path)?);
        Self::tensors_in(&memory).and_then(|t| Self::take(specs, t)).map_err(|e| e.in_file(path))
    }

    /// Checks that mapped or foreign memory that tensors lie in can still be relied on.
    ///
    /// # Errors
    /// Those of [`Memory::check`].
    pub fn check_memory(&self) -> Result<()> {
        let mut before: Option<&Arc<dyn Memory>> = None;
        for memory in self.tensors.iter().filter_map(|t| t.data.memory()) {
            if before.is_none_or(|before| !Arc::ptr_eq(before, memory)) {
                memory.check()?;
            }
            before = Some(memory);
        }
        Ok(())
    }
}

/// A tensor as it is written: its name, type, shape and bytes.
type Written<'a> = (Cow<'a, str>, Dtype, Vec<usize>, Cow<'a, [u8]>);

/// The tensors of a safetensors file.
pub(crate) struct Tensors<'a> {
    file: SafeTensors<'a>,
    bytes: &'a [u8],
    memory: Option<&'a Arc<dyn Memory>>,
}

impl<'a> Tensors<'a> {
    /// Of a file's bytes.
    pub fn of(bytes: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| broken(&e))?;
        Ok(Self { file, bytes, memory: None })
    }

    /// Of a file that is in memory of somebody else's, where they stay.
    pub fn lying_in(memory: &'a Arc<dyn Memory>) -> Result<Self> {
        memory.check()?;
        Ok(Self { memory: Some(memory), ..Self::of(memory.bytes())? })
    }

    /// Their names in order, without those of scales.
    pub fn names(&self) -> Vec<&str> {
        let of_bytes = |name: &str| self.file.tensor(name).is_ok_and(|view| view.dtype() == Dtype::I8);
        let all = self.file.names().into_iter();
        let mut names: Vec<&str> =
            all.filter(|name| !name.strip_suffix(SCALES).is_some_and(of_bytes)).collect();
        names.sort_unstable();
        names
    }

    /// Reads the tensor of this name.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let view = self.file.tensor(name).map_err(|e| broken(&e))?;
        let bytes = view.dtype() == Dtype::I8;
        let scales = if bytes { self.scales(name, view.shape())? } else { Vec::new() };
        let data = self.data_of(name, &view, &scales)?;
        Ok(Tensor { name: name.to_owned(), shape: view.shape().to_vec(), data })
    }

    fn data_of(&self, name: &str, view: &TensorView<'_>, scales: &[f32]) -> Result<TensorData> {
        let dtype = match view.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::BF16 => DType::Bf16,
            Dtype::F16 => DType::F16,
            Dtype::I8 => DType::Int8,
            other => {
                let (place, found) = (Place::tensor(name), format!("{other:?}"));
                return Err(Error::expected(ErrorKind::Model, place, "type F32, F16, BF16 or I8", found));
            }
        };
        let data = match self.memory {
            None => TensorData::new(dtype, view.data().to_vec(), scales),
            Some(memory) => {
                let first = view.data().as_ptr().addr() - self.bytes.as_ptr().addr();
                TensorData::lent(dtype, Arc::clone(memory), first..first + view.data().len(), scales)
            }
        };
        data.map_err(|e| e.within(Place::tensor(name)))
    }

    fn scales(&self, of: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = format!("{of}{SCALES}");
        let outputs = shape.first().copied().unwrap_or(1);
        let expected = |found: String| {
            let expected = format!("{name} with a scale for each of {outputs} outputs, or one for all");
            Error::expected(ErrorKind::Model, Place::tensor(of), expected, found)
        };
        let view = self.file.tensor(&name).map_err(|_| expected("none".into()))?;
        if view.dtype() == Dtype::I8 {
            return Err(expected("one of bytes".into()));
        }
        let scales = self.data_of(&name, &view, &[])?.into_floats();
        if scales.len() != outputs && scales.len() != 1 {
            return Err(expected(scales.len().to_string()));
        }
        Ok(scales)
    }

    fn all(&self) -> Result<Vec<Tensor>> {
        self.names().into_iter().map(|name| self.tensor(name)).collect()
    }
}

/// A type as safetensors files have it.
fn of_file(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::Bf16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::Int8 => Dtype::I8,
    }
}

/// What is wrong with the bytes of a safetensors file.
fn broken(error: &safetensors::SafeTensorError) -> Error {
    Error::expected(
        ErrorKind::Model,
        "model",
        "a sound safetensors file",
        format!("one that is not: {error}"),
    )
}

/// The header of a safetensors file after its own length: metadata, then where each tensor lies. The crate's own way keeps metadata in a hash
/// map, whose order, and with it the file's bytes, is another in every process.
fn header_of(all: &[Written<'_>], metadata: &BTreeMap<&str, &str>) -> Result<Vec<u8>> {
    let mut end = 0;
    let place = |(name, dtype, shape, bytes): &Written<'_>| {
        let begin = end;
        end += bytes.len();
        let info = TensorInfo { dtype: *dtype, shape: shape.clone(), data_offsets: (begin, end) };
        (name.to_string(), info)
    };
    let tensors = Metadata::new(None, all.iter().map(place).collect()).map_err(|e| broken(&e))?;
    let failed = |e: serde_json::Error| Error::new(ErrorKind::Model, e.to_string());
    let (own, tensors) = (serde_json::to_string(metadata), serde_json::to_string(&tensors));
    let (own, tensors) = (own.map_err(failed)?, tensors.map_err(failed)?);
    let tensors = tensors.strip_prefix('{').unwrap_or(&tensors);
    let comma = if tensors == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{own}{comma}{tensors}").into_bytes();
    // The numbers begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), header.as_slice()].concat())
}
