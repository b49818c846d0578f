//! Tensors whose numbers are known where the file is read: weights, shapes, masks.

use crate::proto::{self, Entry};
use onward::{Error, ErrorKind, Place, Result};

/// Numbers that a tensor may have at most: beyond, a file asks for what no machine holds.
pub(crate) const MOST: usize = 1 << 31;

/// A tensor whose numbers are known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    pub dims: Vec<usize>,
    pub numbers: Numbers,
}

/// The numbers of a tensor, the last axis fastest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Numbers {
    Floats(Vec<f32>),
    /// Whole numbers and truth values.
    Ints(Vec<i64>),
    /// All the same number: of those whose shape has the batch in it, none is written out.
    Same(f32),
}

/// How many numbers a shape has.
pub(crate) fn count(dims: &[usize]) -> Result<usize> {
    let all = dims.iter().try_fold(1usize, |n, axis| n.checked_mul(*axis)).filter(|n| *n <= MOST);
    all.ok_or_else(|| {
        Error::expected(ErrorKind::Model, "shape", format!("at most {MOST} numbers"), format!("{dims:?}"))
    })
}

/// The same of numbers that are worked out, of which a file says how many in a few bytes.
pub(crate) fn worked(dims: &[usize]) -> Result<usize> {
    const MOST: usize = 1 << 24;
    count(dims).ok().filter(|n| *n <= MOST).ok_or_else(|| {
        let expected = format!("at most {MOST} numbers that are worked out");
        Error::expected(ErrorKind::Model, "shape", expected, format!("{dims:?}"))
    })
}

impl Constant {
    pub fn ints(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], numbers: Numbers::Ints(values) }
    }

    /// The numbers as floats.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if there are too many.
    pub fn floats(&self) -> Result<Vec<f32>> {
        Ok(match &self.numbers {
            Numbers::Floats(all) => all.clone(),
            Numbers::Ints(all) => all.iter().map(|n| *n as f32).collect(),
            Numbers::Same(value) => vec![*value; worked(&self.dims)?],
        })
    }

    /// The tensor times `factor`.
    ///
    /// # Errors
    /// As for [`Constant::floats`], where the factor is not 1.
    pub fn scaled(self, factor: f32) -> Result<Self> {
        if factor == 1.0 {
            return Ok(self);
        }
        let numbers = Numbers::Floats(self.floats()?.into_iter().map(|v| v * factor).collect());
        Ok(Self { dims: self.dims, numbers })
    }

    /// The numbers, if all are whole.
    pub fn whole(&self) -> Option<Vec<i64>> {
        match &self.numbers {
            Numbers::Ints(all) => Some(all.clone()),
            Numbers::Same(value) if value.fract() == 0.0 => {
                worked(&self.dims).ok().map(|n| vec![*value as i64; n])
            }
            _ => None,
        }
    }

    /// The number, if all are the same one.
    pub fn single(&self) -> Option<f32> {
        match &self.numbers {
            Numbers::Floats(all) => all.first().copied().filter(|first| all.iter().all(|v| v == first)),
            Numbers::Ints(all) => {
                all.first().copied().filter(|first| all.iter().all(|v| v == first)).map(|n| n as f32)
            }
            Numbers::Same(value) => Some(*value),
        }
    }

    /// Whether it has whole numbers.
    pub fn is_whole(&self) -> bool {
        matches!(self.numbers, Numbers::Ints(_))
    }

    /// The tensor of a file; numbers that are in another file are read by `others`, which is given its name as the file has it, and stand
    /// in the tensor from then on.
    ///
    /// # Errors
    /// As for [`Constant::read`]; those of `others`.
    pub fn read_in(tensor: &mut proto::Tensor, others: &mut Others<'_>) -> Result<Self> {
        if tensor.data_location == 1 {
            let read = external(&tensor.external_data, others);
            tensor.raw_data = read.map_err(|e| e.within(Place::tensor(&tensor.name)))?;
            tensor.data_location = 0;
            tensor.external_data.clear();
        }
        Self::read(tensor)
    }

    /// The tensor of a file.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] naming the tensor, if its type is not one that is read, its shape is none, it has not the numbers of its
    /// shape, or has them in another file.
    pub fn read(tensor: &proto::Tensor) -> Result<Self> {
        Self::of(tensor).map_err(|e| e.within(Place::tensor(&tensor.name)))
    }

    fn of(tensor: &proto::Tensor) -> Result<Self> {
        let side = |n: &i64| usize::try_from(*n).ok();
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(side).collect();
        let Some(dims) = dims else {
            let found = format!("{:?}", tensor.dims);
            return Err(Error::expected(ErrorKind::Model, "shape", "axes of at least 0", found));
        };
        let count = count(&dims)?;
        if tensor.data_location != 0 {
            return Err(Error::expected(ErrorKind::Model, "numbers", "some in this file", "some elsewhere"));
        }
        let numbers = if tensor.raw_data.is_empty() {
            from_fields(tensor)?
        } else {
            from_bytes(tensor.data_type, &tensor.raw_data)?
        };
        let found = match &numbers {
            Numbers::Floats(all) => all.len(),
            Numbers::Ints(all) => all.len(),
            Numbers::Same(_) => count,
        };
        if found != count {
            let expected = format!("{count} numbers, as its shape {dims:?} has");
            return Err(Error::expected(ErrorKind::Model, "numbers", expected, found));
        }
        Ok(Self { dims, numbers })
    }
}

/// A stretch of another file, in which a file keeps weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The file's name, as the first file has it: relative to that, and never out of its folder.
    pub name: String,
    /// Where the stretch begins, in bytes.
    pub offset: u64,
    /// How many bytes the stretch has; all that are left where the file does not tell.
    pub length: Option<u64>,
}

/// Reads stretches of other files.
pub type Others<'a> = dyn FnMut(&Elsewhere) -> Result<Vec<u8>> + 'a;

/// The bytes of a tensor that are in another file.
fn external(entries: &[Entry], others: &mut Others<'_>) -> Result<Vec<u8>> {
    let entry = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let name = entry("location").unwrap_or_default();
    let inside = !name.is_empty()
        && !name.starts_with(['/', '\\'])
        && !name.contains(':')
        && name.split(['/', '\\']).all(|part| part != "..");
    if !inside {
        let expected = "the name of a file beside the model's";
        return Err(Error::expected(ErrorKind::Model, "external data", expected, format!("{name:?}")));
    }
    let number = |key: &str| match entry(key) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| {
            Error::expected(
                ErrorKind::Model,
                format!("external data: {key}"),
                "a number",
                format!("{text:?}"),
            )
        }),
    };
    let stretch =
        Elsewhere { name: name.into(), offset: number("offset")?.unwrap_or(0), length: number("length")? };
    let bytes = others(&stretch)?;
    match stretch.length {
        Some(length) if bytes.len() as u64 != length => {
            let expected = format!("{length} bytes from {} on", stretch.offset);
            Err(Error::expected(ErrorKind::Model, name, expected, format!("{} bytes", bytes.len())))
        }
        _ => Ok(bytes),
    }
}

fn unknown_type(code: i32) -> Error {
    let expected = "numbers of f32, f16, bf16, f64, int8, uint8, int32, int64 or truth values";
    Error::expected(ErrorKind::Model, "type", expected, format!("type {code} of ONNX"))
}

/// Numbers as their bytes lie in a file, the lowest byte first.
fn from_bytes(code: i32, raw: &[u8]) -> Result<Numbers> {
    let size = match code {
        proto::UINT8 | proto::INT8 | proto::BOOL => 1,
        proto::FLOAT16 | proto::BFLOAT16 => 2,
        proto::FLOAT | proto::INT32 => 4,
        proto::DOUBLE | proto::INT64 => 8,
        other => return Err(unknown_type(other)),
    };
    if !raw.len().is_multiple_of(size) {
        let expected = format!("whole numbers of {size} bytes");
        return Err(Error::expected(ErrorKind::Model, "numbers", expected, format!("{} bytes", raw.len())));
    }
    let (twos, fours, eights) = (raw.as_chunks::<2>().0, raw.as_chunks::<4>().0, raw.as_chunks::<8>().0);
    Ok(match code {
        proto::FLOAT => Numbers::Floats(fours.iter().map(|b| f32::from_le_bytes(*b)).collect()),
        proto::FLOAT16 => {
            Numbers::Floats(twos.iter().map(|b| onward::kernel::from_f16(u16::from_le_bytes(*b))).collect())
        }
        proto::BFLOAT16 => {
            Numbers::Floats(twos.iter().map(|b| onward::kernel::from_bf16(u16::from_le_bytes(*b))).collect())
        }
        proto::DOUBLE => Numbers::Floats(eights.iter().map(|b| f64::from_le_bytes(*b) as f32).collect()),
        proto::INT32 => Numbers::Ints(fours.iter().map(|b| i32::from_le_bytes(*b).into()).collect()),
        proto::INT64 => Numbers::Ints(eights.iter().map(|b| i64::from_le_bytes(*b)).collect()),
        proto::INT8 => Numbers::Ints(raw.iter().map(|b| b.cast_signed().into()).collect()),
        _ => Numbers::Ints(raw.iter().map(|b| (*b).into()).collect()),
    })
}

/// Numbers as the fields of a tensor's message have them.
fn from_fields(tensor: &proto::Tensor) -> Result<Numbers> {
    let halves = |widen: fn(u16) -> f32| tensor.int32_data.iter().map(|n| widen(*n as u16)).collect();
    Ok(match tensor.data_type {
        proto::FLOAT => Numbers::Floats(tensor.float_data.clone()),
        proto::DOUBLE => Numbers::Floats(tensor.double_data.iter().map(|v| *v as f32).collect()),
        proto::FLOAT16 => Numbers::Floats(halves(onward::kernel::from_f16)),
        proto::BFLOAT16 => Numbers::Floats(halves(onward::kernel::from_bf16)),
        proto::INT64 => Numbers::Ints(tensor.int64_data.clone()),
        proto::INT32 | proto::INT8 | proto::UINT8 | proto::BOOL => {
            Numbers::Ints(tensor.int32_data.iter().map(|n| (*n).into()).collect())
        }
        other => return Err(unknown_type(other)),
    })
}
