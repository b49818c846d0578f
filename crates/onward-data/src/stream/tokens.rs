//! Files of tokens: whole numbers one after the other, of which rows are windows.

use super::watched::Watched;
use crate::part::bad;
use onward::dataset::{Dataset, Targets};
use onward::rows::{Rows, Schema, Source, TargetsSchema};
use onward::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// How a file has its tokens, the lowest byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenWidth {
    /// Two bytes each.
    U16,
    /// Four bytes each.
    U32,
}

impl TokenWidth {
    fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }

    fn decode(self, bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
        let join = |bytes: &[u8]| bytes.iter().rev().fold(0, |token, byte| token << 8 | u32::from(*byte));
        bytes.chunks_exact(self.bytes()).map(join)
    }
}

/// What a file of tokens is, and what rows are made of it.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// The file.
    pub path: PathBuf,
    /// How it has its tokens.
    pub width: TokenWidth,
    /// All tokens are below this; at most 2²⁴, since single precision holds every whole number up to there.
    pub vocabulary: u32,
    /// Tokens of a row.
    pub length: usize,
    /// The token that ends each document. Without it the file is one document.
    pub end_of_text: Option<u32>,
}

/// Windows of a file of tokens, read as they are needed. A row is so many tokens of one document, as numbers in the shape `[1, length, 1]`; its
/// targets are as many values: the token that follows each. Windows of a document lie side by side from its beginning on; what fills none at its end
/// is left out. Rows can be read in any order, so any way to shuffle will do.
pub struct Tokens {
    options: TokenOptions,
    watched: Watched,
    file: Mutex<File>,
    digest: [u8; 32],
    rows: u64,
    /// Where the windows begin, where documents are apart.
    begins: Option<Vec<u64>>,
    left_out: u64,
    notes: Vec<String>,
}

/// Bytes that are looked at together when documents are told apart: a multiple of every width.
const AT_ONCE: usize = 1 << 18;

impl Tokens {
    /// Opens a file of tokens. Where documents are apart, all of it is read once.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Spec`] for options that cannot be; [`ErrorKind::Data`], naming the place, for a file that ends within a token, a
    /// document without tokens, or a file without a whole row.
    pub fn open(options: TokenOptions) -> Result<Self> {
        check(&options)?;
        let watched = Watched::new(&options.path)?;
        let (width, length) = (options.width.bytes() as u64, options.length as u64);
        if !watched.size().is_multiple_of(width) {
            let place = format!("token {} (from 0)", watched.size() / width);
            let found = format!("{}, and then the file's end", watched.size() % width);
            return Err(bad(place, format!("{width} bytes"), found).in_file(&options.path));
        }
        let (file, count) = (watched.open()?, watched.size() / width);
        let begins = match options.end_of_text {
            None => None,
            Some(end) => Some(windows(&watched, &options, end).map_err(|e| e.in_file(&options.path))?),
        };
        // The token after the last one of a row is its target.
        let rows = begins.as_ref().map_or(count.saturating_sub(1) / length, |begins| begins.len() as u64);
        if rows == 0 {
            let expected = format!("a document of at least {} tokens", length + 1);
            return Err(
                bad("tokens", expected, format!("{count} tokens and none such")).in_file(&options.path)
            );
        }
        let mut notes = Vec::new();
        let digest = digest(&options, &watched.digest(&mut notes)?);
        let left_out = count - rows * length;
        Ok(Self { options, file: Mutex::new(file), watched, digest, rows, begins, left_out, notes })
    }

    /// Tokens that stand in no row but as the target of another, or not at all.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What hindered the digest of the file's bytes from being kept beside it.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a row's features and targets.
    fn add(&self, file: &mut File, id: u64, bytes: &mut [u8], row: [&mut Vec<f32>; 2]) -> Result<()> {
        let begin =
            self.begins.as_ref().map_or(id * self.options.length as u64, |begins| begins[id as usize]);
        let io = |e| Error::io("read", &self.options.path, e);
        file.seek(SeekFrom::Start(begin * self.options.width.bytes() as u64)).map_err(io)?;
        if let Err(error) = file.read_exact(bytes) {
            self.watched.check(file)?;
            return Err(io(error));
        }
        let [features, targets] = row;
        for (at, token) in self.options.width.decode(bytes).enumerate() {
            if token >= self.options.vocabulary {
                let place = format!("token {} (from 0)", begin + at as u64);
                let expected = format!("one below {}", self.options.vocabulary);
                return Err(bad(place, expected, token).in_file(&self.options.path));
            }
            if at < self.options.length {
                features.push(token as f32);
            }
            if at > 0 {
                targets.push(token as f32);
            }
        }
        Ok(())
    }
}

fn check(options: &TokenOptions) -> Result<()> {
    let bad = |place: &'static str, expected: &str, found: String| {
        Err(Error::expected(ErrorKind::Spec, place, expected, found))
    };
    let TokenOptions { vocabulary, length, end_of_text, .. } = *options;
    if !(1..=1 << 24).contains(&vocabulary) {
        return bad("vocabulary", "1 to 2^24 tokens", vocabulary.to_string());
    }
    if !(1..=1 << 24).contains(&length) {
        return bad("length", "1 to 2^24 tokens a row", length.to_string());
    }
    match end_of_text {
        Some(end) if end >= vocabulary => bad("end_of_text", "a token of the vocabulary", end.to_string()),
        _ => Ok(()),
    }
}

/// Where the windows of all documents begin; `end` is the last token of each.
fn windows(watched: &Watched, options: &TokenOptions, end: u32) -> Result<Vec<u64>> {
    let (mut file, length) = (watched.open()?, options.length as u64);
    let (mut begins, mut begin, mut at) = (Vec::new(), 0, 0);
    let mut close = |begin: u64, end: u64| {
        // As many as have a token behind them.
        let count = (end - begin).saturating_sub(1) / length;
        begins.extend((0..count).map(|window| begin + window * length));
    };
    let mut bytes = vec![0; AT_ONCE];
    let mut left = watched.size();
    while left > 0 {
        let part = &mut bytes[..left.min(AT_ONCE as u64) as usize];
        if let Err(error) = file.read_exact(part) {
            watched.check(&file)?;
            return Err(Error::io("read", watched.path(), error));
        }
        for token in options.width.decode(part) {
            at += 1;
            if token != end {
                continue;
            }
            if at - begin == 1 {
                let place = format!("token {begin} (from 0)");
                let found = format!("its end, {end}, where it begins");
                return Err(bad(place, "a document of at least one token", found));
            }
            close(begin, at);
            begin = at;
        }
        left -= part.len() as u64;
    }
    close(begin, at);
    watched.check(&file)?;
    Ok(begins)
}

/// Of all that the rows follow from.
fn digest(options: &TokenOptions, bytes: &[u8; 32]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 rows of tokens v1");
    hash.update(bytes);
    let TokenOptions { width, vocabulary, length, end_of_text, .. } = options;
    let end = end_of_text.map_or(u64::MAX, u64::from);
    for number in [width.bytes() as u64, u64::from(*vocabulary), *length as u64, end] {
        hash.update(&number.to_le_bytes());
    }
    *hash.finalize().as_bytes()
}

impl Source for Tokens {
    fn schema(&self) -> Schema {
        let length = self.options.length as u64;
        Schema { count: self.rows, shape: [1, length, 1], targets: TargetsSchema::Values(length) }
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn read(&self, ids: &[u64]) -> Result<Rows> {
        if let Some(id) = ids.iter().find(|id| **id >= self.rows) {
            return Err(bad("id of a row", format!("one below {}", self.rows), id));
        }
        let length = self.options.length;
        let mut bytes = vec![0; (length + 1) * self.options.width.bytes()];
        let [mut features, mut targets] = [(); 2].map(|()| Vec::with_capacity(ids.len() * length));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            self.add(&mut file, *id, &mut bytes, [&mut features, &mut targets])?;
        }
        self.watched.check(&file)?;
        Rows::new(
            ids,
            Dataset::new(features, [1, length, 1], Targets::Values { values: targets, width: length })?,
        )
    }
}
