//! The ledger's file: framed, checksummed, hash-chained, versioned, append-only. The format is written down in
//! `docs/ledger.md`.

use super::earlier::FirstHeader;
use super::header::{Wrong, from_json, to_json};
use super::search::check_strategies;
use super::{Entry, Header, Record, Records, Search, Stretch};
use crate::params::Storage;
use crate::{Error, ErrorKind, Result, file};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What every ledger begins with, before its version.
pub(super) const MAGIC: &[u8; 6] = b"ONWARD";
/// The version of the ledger format that this crate writes; it reads earlier versions as well.
pub const FORMAT_VERSION: u16 = 3;
pub(super) const PREAMBLE: usize = 8;
/// Length, checksum of the length, checksum of the body.
pub(super) const HEAD: usize = 12;
/// The chain's hash at the beginning of each body.
pub(super) const CHAIN: usize = 32;
/// The last byte of each body from version 2 on. Where it is zero, and nothing but zeros follow, the body was never written
/// to its end; where it is not, whatever is wrong with the body is no torn write.
pub(super) const END: u8 = 0xff;
/// No record is longer.
pub(super) const LONGEST: u32 = 1 << 28;

#[derive(serde::Serialize, serde::Deserialize)]
pub(super) enum Frame {
    /// A header of format version 1.
    First(FirstHeader),
    Step(Entry),
    /// The same of a run whose params are not stored in f32.
    FirstStored(FirstHeader, Storage),
    /// The same of a search: with the version of strategies and its settings as JSON.
    FirstSearch(FirstHeader, Storage, u32, String),
    /// A header: JSON.
    Header(String),
    /// More steps for a run that has taken all of its own: JSON.
    Stretch(String),
}

impl Frame {
    /// The header in a ledger of this version, or what is wrong with it.
    pub(super) fn into_header(self, version: u16) -> Result<Header, Wrong> {
        const OWN: &str = "a header of this version";
        let search = |json: &str| serde_json::from_str::<Search>(json).map_err(|e| e.to_string());
        match (version, self) {
            (1, Self::First(h)) => Ok(h.with(Storage::F32, None)),
            (1, Self::FirstStored(h, storage)) => Ok(h.with(storage, None)),
            (1, Self::FirstSearch(h, storage, version, settings)) => {
                let search = check_strategies(version, search(&settings));
                Ok(h.with(storage, Some(search.map_err(|found| Wrong::damage(OWN, found))?)))
            }
            (2.., Self::Header(json)) => from_json(&json, version),
            (_, Self::Step(_)) => Err(Wrong::damage(OWN, "a step")),
            _ => Err(Wrong::damage(OWN, "a header of another version")),
        }
    }
}

fn json(value: &impl serde::Serialize, what: &str) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::new(ErrorKind::Ledger, format!("cannot encode {what}: {e}")))
}

/// The contents of a ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The format version of the file.
    pub version: u16,
    /// The header, which describes the run.
    pub header: Header,
    /// The steps, in order.
    pub records: Vec<Entry>,
    /// The stretches that prolonged the run, in order.
    pub stretches: Vec<Stretch>,
    /// The hash of the chain after the header and after each step (and the stretches that follow on it): one more than there
    /// are steps.
    pub chains: Vec<[u8; 32]>,
    /// Bytes of sound records; the file is longer if a write was torn.
    pub sound: u64,
    /// Bytes after them that a torn write left, or that are damaged.
    pub torn: u64,
}

impl Reading {
    /// The hash at the end of the chain, which identifies the run up to its last step.
    pub fn chain(&self) -> [u8; 32] {
        self.chains[self.records.len()]
    }

    /// The budget in steps: the header's, or that of the last stretch.
    pub fn budget(&self) -> u64 {
        self.stretches.last().map_or(self.header.steps, |stretch| stretch.steps)
    }
}

/// Reads a ledger from bytes. A tail that a torn write left is told, not an error.
///
/// # Errors
/// [`ErrorKind::Damage`] naming record and offset for everything that no torn write can have done: a foreign magic, a wrong
/// checksum, a broken chain, a record that cannot be decoded, steps out of order. [`ErrorKind::Ledger`] for a version that
/// this crate does not know.
pub fn read(bytes: &[u8]) -> Result<Reading> {
    let (reading, damage) = salvage(bytes)?;
    damage.map_or(Ok(reading), Err)
}

/// The sound records that a ledger begins with, and what is wrong with the one after them, if anything is.
///
/// # Errors
/// As for [`read`], where there is not even a sound header.
pub fn salvage(bytes: &[u8]) -> Result<(Reading, Option<Error>)> {
    let mut all = Records::new(bytes)?;
    let (version, chains) = (all.version(), vec![all.hash()]);
    let header = all.header().clone();
    let mut reading =
        Reading { version, header, records: Vec::new(), stretches: Vec::new(), chains, sound: 0, torn: 0 };
    let mut damage = None;
    while let Some(record) = all.next() {
        match record {
            Ok(Record::Step(entry)) => reading.records.push(entry),
            Ok(Record::Stretch(stretch)) => {
                reading.stretches.push(stretch);
                reading.chains.pop();
            }
            Err(e) => {
                damage = Some(e);
                break;
            }
        }
        reading.chains.push(all.hash());
    }
    (reading.sound, reading.torn) = (all.sound(), all.torn());
    Ok((reading, damage))
}

/// How many records, sound or not, can be recognised by their heads among `bytes` of a ledger: what is lost with them.
pub fn recognised(bytes: &[u8]) -> u64 {
    let (mut at, mut found) = (0, 0);
    while let Some(head) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let confirmed = crc32fast::hash(&head[..4]).to_le_bytes() == head[4..];
        if confirmed && (CHAIN as u32..=LONGEST).contains(&length) {
            (at, found) = (at + HEAD + length as usize, found + 1);
        } else {
            at += 1;
        }
    }
    found
}

pub(super) fn link(chain: &[u8; 32], payload: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key("onward 2026 ledger chain v1")
        .update(chain)
        .update(payload)
        .finalize()
        .as_bytes()
}

/// The bytes of a record that follows `chain`, which moves on to it.
fn framed(frame: &Frame, version: u16, chain: &mut [u8; 32]) -> Result<Vec<u8>> {
    let payload = postcard::to_allocvec(frame)
        .map_err(|e| Error::new(ErrorKind::Ledger, format!("cannot encode a record: {e}")))?;
    *chain = link(chain, &payload);
    let end: &[u8] = if version > 1 { &[END] } else { &[] };
    let body = [&chain[..], &payload, end].concat();
    let length = (body.len() as u32).to_le_bytes();
    let checks = [crc32fast::hash(&length), crc32fast::hash(&body)].map(u32::to_le_bytes);
    Ok([&length[..], &checks[0], &checks[1], &body].concat())
}

/// Locks a file of a run against other processes for as long as `file` is open; `name` is what to call the run.
///
/// # Errors
/// [`ErrorKind::Locked`] if another process holds it, [`ErrorKind::Io`].
pub fn lock(file: &File, name: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let (expected, found) =
                ("a run that no other process works on", "one that is locked by another process");
            Err(Error::expected(ErrorKind::Locked, name.display(), expected, found))
        }
        Err(TryLockError::Error(e)) => Err(Error::io("lock", name, e)),
    }
}

/// Whether `path` still names the open `file`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let names = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|open| std::fs::metadata(path).is_ok_and(|there| names(open, there)))
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// A ledger open for appending, and locked. Whatever was appended is in the file after [`Ledger::flush`], on the disk after
/// [`Ledger::sync`].
pub struct Ledger {
    file: BufWriter<File>,
    path: PathBuf,
    version: u16,
    chain: [u8; 32],
}

impl Ledger {
    /// Creates a ledger. The file appears with its header or not at all, so that a process that dies here leaves no ledger
    /// without one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file exists or cannot be made, [`ErrorKind::Locked`] if another process is making it,
    /// [`ErrorKind::Ledger`] if the header would not be read as it is: it holds a number that is not finite.
    pub fn create(path: &Path, header: &Header) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::io("create", path, std::io::ErrorKind::AlreadyExists.into()));
        }
        let mut chain = [0; 32];
        let header = to_json(header)
            .and_then(|json| framed(&Frame::Header(json), FORMAT_VERSION, &mut chain))
            .map_err(|e| e.in_file(path))?;
        let bytes = [&MAGIC[..], &FORMAT_VERSION.to_le_bytes(), &header].concat();
        file::write(path, &bytes)?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| Error::io("open", path, e))?;
        lock(&file, path)?;
        Ok(Self { file: BufWriter::new(file), path: path.to_owned(), version: FORMAT_VERSION, chain })
    }

    /// Opens an existing ledger for appending and returns it with its contents. A torn tail is cut off.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Locked`] if another process has it open, or as for [`read`]; the file is then unchanged.
    pub fn open(path: &Path) -> Result<(Self, Reading)> {
        let io = |doing: &'static str| move |e| Error::io(doing, path, e);
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io("open"))?;
        lock(&file, path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let reading = read(&bytes).map_err(|e| e.in_file(path))?;
        if reading.torn > 0 {
            file.set_len(reading.sound).map_err(io("cut"))?;
            file.sync_all().map_err(io("sync"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(io("seek"))?;
        let (version, chain) = (reading.version, reading.chain());
        Ok((Self { file: BufWriter::new(file), path: path.to_owned(), version, chain }, reading))
    }

    /// Appends one step.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], for example if the disk is full.
    pub fn append(&mut self, entry: &Entry) -> Result<()> {
        self.push(&Frame::Step(entry.clone()))
    }

    /// Appends a stretch: the steps that follow belong to it.
    ///
    /// # Errors
    /// As for [`Ledger::append`].
    pub fn prolong(&mut self, stretch: &Stretch) -> Result<()> {
        self.push(&Frame::Stretch(json(stretch, "a stretch")?))
    }

    fn push(&mut self, frame: &Frame) -> Result<()> {
        let bytes = framed(frame, self.version, &mut self.chain).map_err(|e| e.in_file(&self.path))?;
        self.file.write_all(&bytes).map_err(|e| Error::io("write", &self.path, e))
    }

    /// Hands all buffered records to the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|e| Error::io("write", &self.path, e))
    }

    /// Waits until all records are on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], also if the file is no longer where it was: moved or removed, with its folder or alone.
    pub fn sync(&mut self) -> Result<()> {
        self.persist()?;
        if is_at(self.file.get_ref(), &self.path) {
            return Ok(());
        }
        let (expected, found) = ("the ledger that this run appends to", "none: it was moved or removed");
        Err(Error::expected(ErrorKind::Io, self.path.display(), expected, found))
    }

    fn persist(&mut self) -> Result<()> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(|e| Error::io("sync", &self.path, e))
    }

    /// The hash of the chain so far.
    pub fn chain(&self) -> [u8; 32] {
        self.chain
    }
}
