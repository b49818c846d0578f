//! A tensor's numbers: of four types, in memory of one's own or of somebody else's.

use super::{Error, ErrorKind, Result, Storage};
use crate::kernel::{Laid, bytes_in, floats_in, to_bf16, to_f16};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// Single precision: four bytes.
    F32,
    /// bfloat16, the upper half of an f32: two bytes.
    Bf16,
    /// Half precision (5 bits of exponent, 10 of fraction): two bytes.
    F16,
    /// Bytes of −128..127, each standing for itself times a scale: one for each output (the first axis), or one for all.
    Int8,
}

impl DType {
    /// The bytes per element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::Int8 => 1,
        }
    }

    /// The name in specs and errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }
}

/// Memory that tensors lie in and do not own: a mapped file, the arrays of another program in this process.
///
/// Tensors hold it for as long as they are there, on any thread. [`Memory::bytes`] is called at every product and must give the same
/// bytes each time; [`Memory::check`] is called before every evaluation and every step, and what it answers ends them.
///
/// ```
/// use onward::params::{DType, Memory, TensorData};
/// use std::sync::Arc;
///
/// struct Array(Vec<u8>);
/// impl Memory for Array {
///     fn bytes(&self) -> &[u8] {
///         &self.0
///     }
/// }
/// let memory = Arc::new(Array(1.5f32.to_le_bytes().to_vec()));
/// let data = TensorData::lent(DType::F32, memory, 0..4, &[])?;
/// assert_eq!(data.iter().collect::<Vec<_>>(), [1.5]);
/// # Ok::<(), onward::Error>(())
/// ```
pub trait Memory: Send + Sync {
    /// All bytes of the memory.
    fn bytes(&self) -> &[u8];

    /// Whether the bytes can still be relied on.
    ///
    /// # Errors
    /// What became of them, naming where they are from.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The path of the file whose bytes these are, if they are all of one: what is mapped already is not mapped once more to be checked.
    fn file(&self) -> Option<&Path> {
        None
    }
}

impl Memory for onward_base::mapped::Mapping {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn file(&self) -> Option<&Path> {
        Some(self.path())
    }

    fn check(&self) -> Result<()> {
        self.check_unchanged()
    }
}

/// Which numbers these are: others have another version, copies the same. It lasts as long as somebody holds it, so that none comes again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version(Arc<()>);

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A tensor's elements, the last axis fastest. Equal are those of one type with the same values.
#[derive(Clone)]
pub struct TensorData {
    numbers: Numbers,
    /// Of bytes alone.
    scales: Arc<[f32]>,
    version: Version,
}

#[derive(Clone)]
enum Numbers {
    Floats(Vec<f32>),
    Bytes(DType, Vec<u8>),
    Lent(DType, Arc<dyn Memory>, Range<usize>),
}

impl From<Vec<f32>> for TensorData {
    fn from(floats: Vec<f32>) -> Self {
        Self { numbers: Numbers::Floats(floats), scales: Arc::default(), version: Version::default() }
    }
}

impl FromIterator<f32> for TensorData {
    fn from_iter<I: IntoIterator<Item = f32>>(floats: I) -> Self {
        Vec::from_iter(floats).into()
    }
}

impl TensorData {
    /// Elements from their bytes in little-endian order. There are `scales` for bytes alone: one for each output, or one for all.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the bytes are no whole number of numbers or cannot be shared out to the scales.
    pub fn new(dtype: DType, bytes: Vec<u8>, scales: &[f32]) -> Result<Self> {
        check(dtype, bytes.len(), scales)?;
        let numbers = match (dtype, bytes.as_chunks::<4>().0) {
            (DType::F32, fours) => Numbers::Floats(fours.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            _ => Numbers::Bytes(dtype, bytes),
        };
        Ok(Self { numbers, scales: scales.into(), version: Version::default() })
    }

    /// Elements in the bytes `range` of mapped or foreign memory, where they are read whenever they are needed.
    ///
    /// # Errors
    /// As for [`TensorData::new`], and if the memory has no such bytes.
    pub fn lent(dtype: DType, memory: Arc<dyn Memory>, range: Range<usize>, scales: &[f32]) -> Result<Self> {
        if range.start > range.end || range.end > memory.bytes().len() {
            let found = format!("{range:?} of {}", memory.bytes().len());
            return Err(Error::expected(ErrorKind::Model, "data", "bytes that are there", found));
        }
        check(dtype, range.len(), scales)?;
        let numbers = Numbers::Lent(dtype, memory, range);
        Ok(Self { numbers, scales: scales.into(), version: Version::default() })
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        match &self.numbers {
            Numbers::Floats(_) => DType::F32,
            Numbers::Bytes(dtype, _) | Numbers::Lent(dtype, ..) => *dtype,
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.numbers {
            Numbers::Floats(floats) => floats.len(),
            Numbers::Bytes(dtype, bytes) => bytes.len() / dtype.bytes(),
            Numbers::Lent(dtype, _, range) => range.len() / dtype.bytes(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The scales of an int8 tensor, one for each output or one for all; empty for other types.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The bytes of the elements in little-endian order.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.numbers {
            Numbers::Floats(floats) if cfg!(target_endian = "little") => Cow::Borrowed(bytes_in(floats)),
            Numbers::Floats(floats) => Cow::Owned(floats.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Numbers::Bytes(_, bytes) => Cow::Borrowed(bytes),
            Numbers::Lent(_, memory, range) => Cow::Borrowed(lent(&**memory, range)),
        }
    }

    /// The memory that the elements lie in, if it is not the tensor's own.
    pub fn memory(&self) -> Option<&Arc<dyn Memory>> {
        if let Numbers::Lent(_, memory, _) = &self.numbers { Some(memory) } else { None }
    }

    /// The numbers as they lie.
    pub(crate) fn laid(&self) -> Laid<'_> {
        let (dtype, bytes) = match &self.numbers {
            Numbers::Floats(floats) => return Laid::Floats(floats),
            Numbers::Bytes(dtype, bytes) => (dtype, &bytes[..]),
            Numbers::Lent(dtype, memory, range) => (dtype, lent(&**memory, range)),
        };
        match dtype {
            DType::F32 => floats_in(bytes).map_or(Laid::F32(bytes.as_chunks().0), Laid::Floats),
            DType::Bf16 => Laid::Bf16(bytes.as_chunks().0),
            DType::F16 => Laid::F16(bytes.as_chunks().0),
            DType::Int8 => Laid::Int8(bytes, &self.scales),
        }
    }

    /// The elements as a slice, where they lie as f32 that can be used in place.
    pub fn as_floats(&self) -> Option<&[f32]> {
        if let Laid::Floats(floats) = self.laid() { Some(floats) } else { None }
    }

    /// The elements as f32, copied only where they are of another type: exactly, but for bytes, whose products with their scale are rounded once.
    pub fn floats(&self) -> Cow<'_, [f32]> {
        match self.laid() {
            Laid::Floats(floats) => Cow::Borrowed(floats),
            laid => {
                let mut floats = vec![0.0; laid.len()];
                laid.read(0, &mut floats);
                Cow::Owned(floats)
            }
        }
    }

    /// The elements as a vector of f32, consuming the tensor.
    pub fn into_floats(self) -> Vec<f32> {
        match self.numbers {
            Numbers::Floats(floats) => floats,
            _ => self.floats().into_owned(),
        }
    }

    /// Writes the elements from `first` on to `out`.
    ///
    /// # Panics
    /// If they are not there: a bug in the caller.
    pub fn read(&self, first: usize, out: &mut [f32]) {
        self.laid().read(first, out);
    }

    /// The element at an index.
    ///
    /// # Panics
    /// If it is not there: a bug in the caller.
    pub fn at(&self, place: usize) -> f32 {
        let mut one = [0.0];
        self.read(place, &mut one);
        one[0]
    }

    /// Iterates over the elements as f32.
    pub fn iter(&self) -> impl Iterator<Item = f32> + '_ {
        let pieces = (0..self.len()).step_by(PIECE);
        pieces.flat_map(|first| {
            let mut piece = vec![0.0; PIECE.min(self.len() - first)];
            self.read(first, &mut piece);
            piece
        })
    }

    /// Copies the elements to owned memory, in another type rounded to the nearest of that (infinite where it has none so large).
    #[must_use]
    pub fn stored_as(self, storage: Storage) -> Self {
        let halves = |data: &Self, to: fn(f32) -> u16| -> Vec<u8> {
            data.iter().flat_map(|v| to(v).to_le_bytes()).collect()
        };
        let dtype = storage.dtype();
        let numbers = match (storage, self.numbers) {
            (_, Numbers::Bytes(own, bytes)) if own == dtype => Numbers::Bytes(own, bytes),
            (_, Numbers::Lent(own, memory, range)) if own == dtype && own != DType::F32 => {
                Numbers::Bytes(own, lent(&*memory, &range).to_vec())
            }
            (Storage::F32, Numbers::Floats(floats)) => Numbers::Floats(floats),
            (storage, numbers) => {
                let data = Self { numbers, ..self };
                let numbers = match storage {
                    Storage::F32 => Numbers::Floats(data.into_floats()),
                    Storage::Bf16 => Numbers::Bytes(dtype, halves(&data, to_bf16)),
                    Storage::F16 => Numbers::Bytes(dtype, halves(&data, to_f16)),
                };
                return Self { numbers, scales: Arc::default(), version: Version::default() };
            }
        };
        Self { numbers, ..self }
    }

    /// Which numbers these are.
    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// The elements as mutable f32; the tensor becomes f32 in owned memory.
    pub fn floats_mut(&mut self) -> &mut [f32] {
        self.version = Version::default();
        if !matches!(self.numbers, Numbers::Floats(_)) {
            self.numbers = Numbers::Floats(self.floats().into_owned());
            self.scales = Arc::default();
        }
        let Numbers::Floats(floats) = &mut self.numbers else { unreachable!("just made so") };
        floats
    }

    /// Pieces of so many numbers, to be changed. What cannot be changed in its type becomes f32.
    pub(crate) fn pieces_mut(&mut self, size: usize) -> Vec<Piece<'_>> {
        self.version = Version::default();
        if let Numbers::Lent(dtype @ (DType::Bf16 | DType::F16), memory, range) = &self.numbers {
            self.numbers = Numbers::Bytes(*dtype, lent(&**memory, range).to_vec());
        }
        let storage = match self.dtype() {
            DType::Bf16 => Storage::Bf16,
            DType::F16 => Storage::F16,
            DType::F32 | DType::Int8 => {
                return self.floats_mut().chunks_mut(size.max(1)).map(Piece::Floats).collect();
            }
        };
        let Numbers::Bytes(_, bytes) = &mut self.numbers else { return Vec::new() };
        let halves = bytes.as_chunks_mut::<2>().0.chunks_mut(size.max(1));
        halves.map(|piece| Piece::Halves(storage, piece)).collect()
    }
}

/// Numbers that are looked at one after the other, as many as are read at once.
const PIECE: usize = 1 << 12;

/// Some of a tensor's numbers, to be changed.
pub(crate) enum Piece<'a> {
    Floats(&'a mut [f32]),
    /// Of bf16 or f16.
    Halves(Storage, &'a mut [[u8; 2]]),
}

/// Bytes of two-byte numbers as f32, exactly.
pub(crate) fn wide(storage: Storage, halves: &[[u8; 2]]) -> Vec<f32> {
    let mut floats = vec![0.0; halves.len()];
    let laid = if storage == Storage::F16 { Laid::F16(halves) } else { Laid::Bf16(halves) };
    laid.read(0, &mut floats);
    floats
}

/// Writes numbers that the two-byte type has.
pub(crate) fn narrow(storage: Storage, floats: &[f32], halves: &mut [[u8; 2]]) {
    let to = if storage == Storage::F16 { to_f16 } else { to_bf16 };
    halves.iter_mut().zip(floats).for_each(|(half, v)| *half = to(*v).to_le_bytes());
}

/// A file that was mapped may be no longer what it was, but never shorter for this process.
fn lent<'a>(memory: &'a dyn Memory, range: &Range<usize>) -> &'a [u8] {
    &memory.bytes()[range.clone()]
}

fn check(dtype: DType, bytes: usize, scales: &[f32]) -> Result<()> {
    let error =
        |expected: String, found: String| Err(Error::expected(ErrorKind::Model, "data", expected, found));
    if !bytes.is_multiple_of(dtype.bytes()) {
        return error(format!("whole numbers of {} bytes", dtype.bytes()), format!("{bytes} bytes"));
    }
    match (dtype, scales.len()) {
        (DType::Int8, 0) if bytes > 0 => {
            error("a scale for each output, or one for all".into(), "none".into())
        }
        (DType::Int8, n) if n > 0 && !bytes.is_multiple_of(n) => {
            error(format!("scales that {bytes} bytes can be shared out to"), n.to_string())
        }
        (DType::F32 | DType::Bf16 | DType::F16, 1..) => {
            error(format!("no scales for {}", dtype.name()), "some".into())
        }
        _ => Ok(()),
    }
}

impl PartialEq for TensorData {
    fn eq(&self, other: &Self) -> bool {
        self.dtype() == other.dtype()
            && self.len() == other.len()
            && (self.version == other.version || self.iter().eq(other.iter()))
    }
}

impl fmt::Debug for TensorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.len(), self.dtype().name())?;
        f.debug_list().entries(self.iter().take(8)).finish()
    }
}
