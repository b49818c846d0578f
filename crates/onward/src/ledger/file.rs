//! The ledger's file: framed, checksummed, hash-chained, versioned, append-only. The format is written down in
//! `docs/ledger.md`.

use super::{Header, Recipe, Record, Search};
use crate::params::Storage;
use crate::study;
use crate::{Error, ErrorKind, Result};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What every ledger begins with, before its version.
const MAGIC: &[u8; 6] = b"ONWARD";
/// The version that this crate writes and reads.
pub const FORMAT_VERSION: u16 = 1;
const PREAMBLE: usize = 8;
/// Length, checksum of the length, checksum of the body.
const HEAD: usize = 12;
/// The chain's hash at the beginning of each body.
const CHAIN: usize = 32;
/// No record is longer.
const LONGEST: u32 = 1 << 28;

#[derive(serde::Serialize, serde::Deserialize)]
enum Frame {
    Header(Header),
    Step(Record),
    /// A header of a run whose params are not stored in f32.
    StoredHeader(Header, Storage),
    /// A header of a search: with the version of strategies and its settings as JSON, since those differ from strategy to
    /// strategy.
    SearchHeader(Header, Storage, u32, String),
}

impl Frame {
    fn header(header: &Header) -> Result<Self> {
        Ok(match (header.recipe.storage, &header.search) {
            (storage, Some(search)) => {
                let settings = serde_json::to_string(search)
                    .map_err(|e| Error::new(ErrorKind::Ledger, format!("cannot encode a header: {e}")))?;
                Self::SearchHeader(header.clone(), storage, study::Record::VERSION, settings)
            }
            (Storage::F32, None) => Self::Header(header.clone()),
            (storage, None) => Self::StoredHeader(header.clone(), storage),
        })
    }

    /// The header, if this is one.
    fn into_header(self) -> Result<Option<Header>, (String, String)> {
        Ok(match self {
            Self::Step(_) => None,
            Self::Header(h) => Some(h),
            Self::StoredHeader(h, storage) => Some(Header { recipe: Recipe { storage, ..h.recipe }, ..h }),
            Self::SearchHeader(h, storage, version, settings) => {
                if version != study::Record::VERSION {
                    let expected = format!("version {} of the strategies", study::Record::VERSION);
                    return Err((expected, format!("version {version}")));
                }
                let search: Search = serde_json::from_str(&settings)
                    .map_err(|e| ("settings of a strategy".to_owned(), e.to_string()))?;
                Some(Header { recipe: Recipe { storage, ..h.recipe }, search: Some(search), ..h })
            }
        })
    }
}

/// What a ledger holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What the run is.
    pub header: Header,
    /// The steps, in order.
    pub records: Vec<Record>,
    /// The hash of the whole chain.
    pub chain: [u8; 32],
    /// Bytes of sound records; the file is longer if a write was torn.
    pub sound: u64,
    /// Bytes after them that a torn write left.
    pub torn: u64,
}

/// Reads a ledger from bytes. A tail that a torn write left is told, not an error.
///
/// # Errors
/// [`ErrorKind::Ledger`] naming record and offset for everything that no torn write can have done: a foreign magic or
/// version, a wrong checksum, a broken chain, a record that cannot be decoded, steps out of order.
pub fn read(bytes: &[u8]) -> Result<Reading> {
    let bad = |place: String, expected: &str, found: String| {
        Error::expected(ErrorKind::Ledger, place, expected, found)
    };
    if bytes.len() < PREAMBLE || &bytes[..6] != MAGIC {
        return Err(bad(
            "ledger".into(),
            "a file that begins with ONWARD",
            format!("{} other bytes", bytes.len()),
        ));
    }
    let version = u16::from_le_bytes([bytes[6], bytes[7]]);
    if version != FORMAT_VERSION {
        return Err(bad(
            "ledger".into(),
            &format!("format version {FORMAT_VERSION}"),
            format!("version {version}"),
        ));
    }
    let (mut at, mut chain, mut header, mut records) = (PREAMBLE, [0u8; 32], None, Vec::<Record>::new());
    for index in 0usize.. {
        let place = || format!("record {index} at offset {at}");
        let Some(body) = body_at(bytes, at).map_err(|(expected, found)| bad(place(), expected, found))?
        else {
            break;
        };
        let next = link(&chain, &body[CHAIN..]);
        if body[..CHAIN] != next {
            return Err(bad(place(), "the hash of the record before it", "another hash".into()));
        }
        let frame = postcard::from_bytes(&body[CHAIN..]);
        match frame.map_err(|e| bad(place(), "a record of this version", e.to_string()))? {
            Frame::Step(r) if index > 0 && r.step == records.len() as u64 => records.push(r),
            Frame::Step(r) => {
                return Err(bad(place(), &format!("step {}", records.len()), format!("step {}", r.step)));
            }
            first if index == 0 => {
                header = first.into_header().map_err(|(expected, found)| bad(place(), &expected, found))?;
            }
            _ => return Err(bad(place(), "a step", "a second header".into())),
        }
        chain = next;
        at += HEAD + body.len();
    }
    let header = header.ok_or_else(|| bad("ledger".into(), "a header record", "none".into()))?;
    Ok(Reading { header, records, chain, sound: at as u64, torn: (bytes.len() - at) as u64 })
}

/// The body of the frame at `at`; `None` at the end of the file or where a torn write begins: a frame that the file ends
/// inside, or nothing but zeros.
fn body_at(bytes: &[u8], at: usize) -> std::result::Result<Option<&[u8]>, (&'static str, String)> {
    let rest = &bytes[at..];
    if rest.len() < HEAD || rest.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let word = |i: usize| u32::from_le_bytes([rest[i], rest[i + 1], rest[i + 2], rest[i + 3]]);
    let (length, length_check, check) = (word(0), word(4), word(8));
    if crc32fast::hash(&rest[..4]) != length_check {
        return Err((
            "a length that its checksum confirms",
            format!("length {length} with checksum {length_check:08x}"),
        ));
    }
    if length < CHAIN as u32 || length > LONGEST {
        return Err(("a length of 32 bytes to 256 MiB", format!("{length} bytes")));
    }
    let Some(body) = rest.get(HEAD..HEAD + length as usize) else { return Ok(None) };
    let found = crc32fast::hash(body);
    if found != check {
        return Err((
            "bytes that the record's checksum confirms",
            format!("checksum {found:08x} instead of {check:08x}"),
        ));
    }
    Ok(Some(body))
}

fn link(chain: &[u8; 32], payload: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key("onward 2026 ledger chain v1")
        .update(chain)
        .update(payload)
        .finalize()
        .as_bytes()
}

/// A ledger open for appending. Whatever was appended is in the file after [`Ledger::flush`], on the disk after
/// [`Ledger::sync`].
pub struct Ledger {
    file: BufWriter<File>,
    path: PathBuf,
    chain: [u8; 32],
}

impl Ledger {
    /// A new ledger. The file appears with its header or not at all, so that a process that dies here leaves no ledger
    /// without one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file exists or cannot be made.
    pub fn create(path: &Path, header: &Header) -> Result<Self> {
        if path.exists() {
            return Err(Error::io("create", path, std::io::ErrorKind::AlreadyExists.into()));
        }
        let partial = path.with_extension("tmp");
        Self::create_at(&partial, path, header).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(&partial);
        })
    }

    fn create_at(partial: &Path, path: &Path, header: &Header) -> Result<Self> {
        let io = |doing: &'static str| move |e| Error::io(doing, path, e);
        let file = File::create(partial).map_err(io("create"))?;
        let mut ledger = Self { file: BufWriter::new(file), path: path.to_owned(), chain: [0; 32] };
        let mut preamble = MAGIC.to_vec();
        preamble.extend(FORMAT_VERSION.to_le_bytes());
        ledger.file.write_all(&preamble).map_err(io("write"))?;
        ledger.push(&Frame::header(header)?)?;
        ledger.sync()?;
        std::fs::rename(partial, path).map_err(io("create"))?;
        // The file's name has to last as well; where a folder cannot be opened, the system sees to that itself.
        let folder = path.parent().and_then(|folder| File::open(folder).ok());
        folder.map_or(Ok(()), |folder| folder.sync_all()).map_err(io("sync"))?;
        Ok(ledger)
    }

    /// An existing ledger and what it holds. A torn tail is cut off.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], or [`ErrorKind::Ledger`] as for [`read`]; the file is then unchanged.
    pub fn open(path: &Path) -> Result<(Self, Reading)> {
        let io = |doing: &'static str| move |e| Error::io(doing, path, e);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let reading = read(&bytes).map_err(|e| e.in_file(path))?;
        if reading.torn > 0 {
            file.set_len(reading.sound).map_err(io("cut"))?;
            file.sync_all().map_err(io("sync"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(io("seek"))?;
        let chain = reading.chain;
        Ok((Self { file: BufWriter::new(file), path: path.to_owned(), chain }, reading))
    }

    /// Appends one step.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], for example if the disk is full.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        self.push(&Frame::Step(record.clone()))
    }

    fn push(&mut self, frame: &Frame) -> Result<()> {
        let payload = postcard::to_allocvec(frame).map_err(|e| {
            Error::new(ErrorKind::Ledger, format!("{}: cannot encode a record: {e}", self.path.display()))
        })?;
        self.chain = link(&self.chain, &payload);
        let body = [&self.chain[..], &payload].concat();
        let length = (body.len() as u32).to_le_bytes();
        let head =
            [length, crc32fast::hash(&length).to_le_bytes(), crc32fast::hash(&body).to_le_bytes()].concat();
        let written = self.file.write_all(&head).and_then(|()| self.file.write_all(&body));
        written.map_err(|e| Error::io("write", &self.path, e))
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|e| Error::io("write", &self.path, e))
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(|e| Error::io("sync", &self.path, e))
    }

    /// The hash of the chain so far.
    pub fn chain(&self) -> [u8; 32] {
        self.chain
    }
}
