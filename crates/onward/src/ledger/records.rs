//! The records of a ledger, one after the other.

use super::file::{CHAIN, END, FORMAT_VERSION, Frame, HEAD, LONGEST, MAGIC, PREAMBLE, link};
use super::{Entry, Header, Stretch};
use crate::{Error, ErrorKind, Result};

/// A record after the header.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A step.
    Step(Entry),
    /// More steps for a run that has used its budget.
    Stretch(Stretch),
}

/// Reads a ledger record by record: nothing but the present one is kept. It ends where the sound records end, before a tail that a torn
/// write left ([`Records::torn`]), or after an error.
///
/// ```
/// # fn steps(bytes: &[u8]) -> onward::Result<u64> {
/// use onward::ledger::{Record, Records};
/// let mut steps = 0;
/// for record in Records::new(bytes)? {
///     if let Record::Step(entry) = record? {
///         steps = entry.step + 1;
///     }
/// }
/// # Ok(steps)
/// # }
/// # assert!(steps(b"ONWARD").is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    header: Header,
    /// Steps so far, and how many the run is to take.
    steps: u64,
    budget: u64,
    /// Whether an error was told.
    ended: bool,
}

impl<'a> Records<'a> {
    /// Starts reading the records after the header.
    ///
    /// # Errors
    /// As for [`super::read`], where there is no sound header.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes)?;
        let Some((frame, next)) = cursor.frame()? else {
            return Err(Error::expected(ErrorKind::Damage, "ledger", "a header record", "none"));
        };
        let header = frame.into_header(cursor.version).map_err(|wrong| {
            let error = cursor.bad(wrong.expected, wrong.found);
            // What a later program wrote is as it wrote it.
            if wrong.later { error.as_kind(ErrorKind::Ledger) } else { error }
        })?;
        if !header.recipe.optimizer.momentum.is_finite() {
            return Err(cursor.bad("a finite momentum", header.recipe.optimizer.momentum));
        }
        cursor.go_on(next);
        Ok(Self { cursor, budget: header.steps, header, steps: 0, ended: false })
    }

    /// The format version of the file.
    pub fn version(&self) -> u16 {
        self.cursor.version
    }

    /// The header, which describes the run.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The hash of the chain after the records read so far.
    pub fn hash(&self) -> [u8; 32] {
        self.cursor.chain
    }

    /// The number of bytes of the header and the records read so far.
    pub fn sound(&self) -> u64 {
        self.cursor.at as u64
    }

    /// Bytes after them: at the end, those that a torn write left, or that are damaged.
    pub fn torn(&self) -> u64 {
        (self.cursor.bytes.len() - self.cursor.at) as u64
    }

    /// The record here, which has to follow on what was read.
    fn record(&self) -> Result<Option<(Record, Next)>> {
        let (cursor, step) = (&self.cursor, self.steps);
        match cursor.frame()? {
            None => Ok(None),
            Some((Frame::Step(entry), next)) if entry.step == step => Ok(Some((Record::Step(entry), next))),
            Some((Frame::Step(entry), _)) => {
                Err(cursor.bad(format!("step {step}"), format!("step {}", entry.step)))
            }
            Some((Frame::Stretch(json), next)) => {
                let stretch: Stretch =
                    serde_json::from_str(&json).map_err(|e| cursor.bad("a stretch of this version", e))?;
                let fits = stretch.follows(self.budget).map(|()| stretch.from == step);
                match fits {
                    Ok(true) => Ok(Some((Record::Stretch(stretch), next))),
                    Ok(false) => Err(cursor.bad("a step", "a stretch before its first step")),
                    Err(e) => Err(cursor.bad("a stretch that follows", e)),
                }
            }
            Some(_) => Err(cursor.bad("a step", "a second header")),
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.record().transpose()? {
            Ok((record, next)) => {
                self.cursor.go_on(next);
                match &record {
                    Record::Step(_) => self.steps += 1,
                    Record::Stretch(stretch) => self.budget = stretch.steps,
                }
                Some(Ok(record))
            }
            Err(damage) => {
                self.ended = true;
                Some(Err(damage))
            }
        }
    }
}

/// A place in a ledger's bytes: the beginning of a record.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    bytes: &'a [u8],
    version: u16,
    index: usize,
    at: usize,
    /// The hash of the chain before the record.
    chain: [u8; 32],
}

/// The length of a record and the chain after it.
type Next = (usize, [u8; 32]);

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() < PREAMBLE || &bytes[..6] != MAGIC {
            let found = format!("{} other bytes", bytes.len());
            return Err(Error::expected(
                ErrorKind::Damage,
                "ledger",
                "a file that begins with ONWARD",
                found,
            ));
        }
        let version = u16::from_le_bytes([bytes[6], bytes[7]]);
        if !(1..=FORMAT_VERSION).contains(&version) {
            let (expected, found) =
                (format!("format version 1 to {FORMAT_VERSION}"), format!("version {version}"));
            return Err(Error::expected(ErrorKind::Ledger, "ledger", expected, found));
        }
        Ok(Self { bytes, version, index: 0, at: PREAMBLE, chain: [0; 32] })
    }

    fn bad(&self, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
        let place = format!("record {} at offset {}", self.index, self.at);
        Error::expected(ErrorKind::Damage, place, expected, found)
    }

    fn go_on(&mut self, (length, chain): Next) {
        (self.index, self.at, self.chain) = (self.index + 1, self.at + length, chain);
    }

    /// The record here; `None` where the file ends or a torn write begins.
    fn frame(&self) -> Result<Option<(Frame, Next)>> {
        let found = body_at(&self.bytes[self.at..], self.version);
        let Some(body) = found.map_err(|(expected, found)| self.bad(expected, found))? else {
            return Ok(None);
        };
        let (chain, mut payload) = body.split_at(CHAIN);
        if self.version > 1 {
            let Some((&END, rest)) = payload.split_last() else {
                return Err(self.bad("a record that ends with ff", "another end"));
            };
            payload = rest;
        }
        let next = link(&self.chain, payload);
        if chain != next {
            return Err(self.bad("the hash of the record before it", "another hash"));
        }
        match postcard::take_from_bytes(payload) {
            Ok((frame, [])) => Ok(Some((frame, (HEAD + body.len(), next)))),
            Ok((_, rest)) => {
                Err(self.bad("a record of this version", format!("one with {} bytes more", rest.len())))
            }
            Err(e) => Err(self.bad("a record of this version", e)),
        }
    }
}

/// The body of the record that `rest` of a file begins with; `None` at the end of the file or where a torn write begins: a
/// record that the file ends inside, or one that has nothing but zeros from some place in it to the end of the file.
fn body_at(rest: &[u8], version: u16) -> std::result::Result<Option<&[u8]>, (&'static str, String)> {
    let zeros_from = |place: usize| rest[place..].iter().all(|b| *b == 0);
    if rest.len() < HEAD || zeros_from(HEAD) {
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
    let shortest = CHAIN as u32 + u32::from(version > 1);
    if !(shortest..=LONGEST).contains(&length) {
        return Err(("a length of 32 bytes to 256 MiB", format!("{length} bytes")));
    }
    let Some(body) = rest.get(HEAD..HEAD + length as usize) else { return Ok(None) };
    let found = crc32fast::hash(body);
    if found == check {
        return Ok(Some(body));
    }
    if zeros_from(HEAD + body.len() - 1) {
        return Ok(None);
    }
    Err(("bytes that the record's checksum confirms", format!("checksum {found:08x} instead of {check:08x}")))
}
