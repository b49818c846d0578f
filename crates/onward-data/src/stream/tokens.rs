//! Files of tokens: whole numbers one after the other, of which rows are windows.

use super::watched::Watched;
use crate::part::bad;
use crate::refused;
use crate::summary::TokenSummary;
use onward::dataset::{Dataset, NO_ITEM, Targets};
use onward::rows::{Rows, Schema, Source, TargetsSchema};
use onward::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The width of a token in a file, in little-endian order.
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

/// A file of tokens and the rows that are made of it.
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// The file.
    pub path: PathBuf,
    /// The width of a token in the file.
    pub width: TokenWidth,
    /// The size of the vocabulary, which all tokens are below; at most 2²⁴, since single precision holds every whole number up to there.
    pub vocabulary: u32,
    /// The number of tokens per row.
    pub length: usize,
    /// The token that ends each document. Without it the file is one document.
    pub end_of_text: Option<u32>,
    /// Whether what fills no row at a document's end is a row as well, which ends before the others do.
    pub ragged: bool,
    /// The token behind the last one of such a row; without it [`NO_ITEM`].
    pub padding: Option<u32>,
}

/// A source of rows that are windows of a file of tokens, read as they are needed. A row is so many tokens of one document, as numbers in the shape `[1, length, 1]`; its
/// targets are as many values: the token that follows each. Windows of a document lie side by side from its beginning on; what fills none at its end
/// is left out, or, where rows are ragged, a shorter row, whose targets end with [`NO_ITEM`]. Rows can be read in any order, so any way to shuffle will do.
pub struct Tokens {
    options: TokenOptions,
    watched: Watched,
    file: Mutex<File>,
    digest: [u8; 32],
    rows: u64,
    /// The windows, where documents are apart.
    windows: Option<Vec<Window>>,
    /// All tokens.
    count: u64,
    left_out: u64,
    notes: Vec<String>,
}

/// What a row is made of.
#[derive(Clone, Copy)]
struct Window {
    /// Its first token.
    begin: u64,
    /// Its tokens, each with one behind it.
    items: u32,
}

impl TokenOptions {
    /// The windows of a document of the tokens `begin..end`.
    fn windows(&self, begin: u64, end: u64) -> impl Iterator<Item = Window> + use<> {
        let (items, length) = ((end - begin).saturating_sub(1), self.length as u64);
        let last = if self.ragged { items } else { items - items % length };
        let window =
            move |first: u64| Window { begin: begin + first, items: length.min(last - first) as u32 };
        (0..last.div_ceil(length)).map(move |at| window(at * length))
    }
}

/// Bytes that are looked at together when documents are told apart: a multiple of every width.
const AT_ONCE: usize = 1 << 18;

impl Tokens {
    /// Opens a file of tokens. Where documents are apart, all of it is read once.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Io`]; [`onward::ErrorKind::Spec`] for options that cannot be; [`onward::ErrorKind::Data`], naming the place, for a file that ends within a token, a
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
        let windows = match options.end_of_text {
            None => None,
            Some(end) => Some(windows(&watched, &options, end).map_err(|e| e.in_file(&options.path))?),
        };
        // The token after the last one of a row is its target.
        let (rows, items) = match &windows {
            Some(all) => (all.len() as u64, all.iter().map(|window| u64::from(window.items)).sum()),
            None if options.ragged => (count.saturating_sub(1).div_ceil(length), count.saturating_sub(1)),
            None => (count.saturating_sub(1) / length, count.saturating_sub(1) / length * length),
        };
        if rows == 0 {
            let least = if options.ragged { 2 } else { length + 1 };
            let expected = format!("a document of at least {least} tokens");
            return Err(
                bad("tokens", expected, format!("{count} tokens and none such")).in_file(&options.path)
            );
        }
        let mut notes = Vec::new();
        let digest = digest(&options, &watched.digest(&mut notes)?);
        let left_out = count - items;
        Ok(Self { options, file: Mutex::new(file), watched, digest, rows, windows, count, left_out, notes })
    }

    /// What a row is made of.
    fn window(&self, id: u64) -> Window {
        let length = self.options.length as u64;
        match &self.windows {
            Some(all) => all[id as usize],
            None => {
                let begin = id * length;
                Window { begin, items: length.min(self.count - 1 - begin) as u32 }
            }
        }
    }

    /// The number of tokens that are in no row, or only the target of another.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// What the rows are, in short.
    pub(super) fn summary(&self) -> TokenSummary {
        let TokenOptions { vocabulary, length, ragged, .. } = self.options;
        TokenSummary { length, ragged, vocabulary, count: self.count }
    }

    /// Notes on why the digest of the file's bytes could not be kept beside the file.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds a row's features and targets.
    fn add(&self, file: &mut File, id: u64, bytes: &mut Vec<u8>, row: [&mut Vec<f32>; 2]) -> Result<()> {
        let Window { begin, items } = self.window(id);
        let (width, items) = (self.options.width.bytes(), items as usize);
        let io = |e| Error::io("read", &self.options.path, e);
        file.seek(SeekFrom::Start(begin * width as u64)).map_err(io)?;
        bytes.resize((items + 1) * width, 0);
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
            if at < items {
                features.push(token as f32);
            }
            if at > 0 {
                targets.push(token as f32);
            }
        }
        let behind = self.options.length - items;
        let padding = self.options.padding.map_or(NO_ITEM, |token| token as f32);
        features.extend(std::iter::repeat_n(padding, behind));
        targets.extend(std::iter::repeat_n(NO_ITEM, behind));
        Ok(())
    }
}

fn check(options: &TokenOptions) -> Result<()> {
    let bad = |key, expected, found: String| Err(refused(key, expected, found));
    let TokenOptions { vocabulary, length, end_of_text, ragged, padding, .. } = *options;
    if !(1..=1 << 24).contains(&vocabulary) {
        return bad("data.vocabulary", "1 to 2^24 tokens", vocabulary.to_string());
    }
    if !(1..=1 << 24).contains(&length) {
        return bad("data.length", "1 to 2^24 tokens a row", length.to_string());
    }
    if let Some(token) = padding.filter(|_| !ragged) {
        return bad("data.padding", "none, as rows are all of one length", token.to_string());
    }
    for (key, token) in [("data.end_of_text", end_of_text), ("data.padding", padding)] {
        if let Some(token) = token.filter(|token| *token >= vocabulary) {
            let expected = "a token of the vocabulary";
            return bad(key, expected, format!("{token} (data.vocabulary is {vocabulary})"));
        }
    }
    Ok(())
}

/// The windows of all documents; `end` is the last token of each.
fn windows(watched: &Watched, options: &TokenOptions, end: u32) -> Result<Vec<Window>> {
    let mut file = watched.open()?;
    let (mut all, mut begin, mut at) = (Vec::new(), 0, 0);
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
            all.extend(options.windows(begin, at));
            begin = at;
        }
        left -= part.len() as u64;
    }
    all.extend(options.windows(begin, at));
    watched.check(&file)?;
    Ok(all)
}

/// Of all that the rows follow from.
fn digest(options: &TokenOptions, bytes: &[u8; 32]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 rows of tokens v1");
    hash.update(bytes);
    let TokenOptions { width, vocabulary, length, end_of_text, ragged, padding, .. } = options;
    let [end, padding] = [end_of_text, padding].map(|token| token.map_or(u64::MAX, u64::from));
    for number in [width.bytes() as u64, u64::from(*vocabulary), *length as u64, end] {
        hash.update(&number.to_le_bytes());
    }
    if *ragged {
        hash.update(b"ragged").update(&padding.to_le_bytes());
    }
    *hash.finalize().as_bytes()
}

impl Source for Tokens {
    fn schema(&self) -> Schema {
        let length = self.options.length as u64;
        let targets = match self.options.ragged {
            true => TargetsSchema::Ragged(length),
            false => TargetsSchema::Values(length),
        };
        Schema { count: self.rows, shape: [1, length, 1], targets }
    }

    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn read(&self, ids: &[u64]) -> Result<Rows> {
        if let Some(id) = ids.iter().find(|id| **id >= self.rows) {
            return Err(bad("id of a row", format!("one below {}", self.rows), id));
        }
        let length = self.options.length;
        let mut bytes = Vec::new();
        let [mut features, mut targets] = [(); 2].map(|()| Vec::with_capacity(ids.len() * length));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            self.add(&mut file, *id, &mut bytes, [&mut features, &mut targets])?;
        }
        self.watched.check(&file)?;
        let targets = Targets::Values { values: targets, width: length };
        let data = Dataset::new(features, [1, length, 1], targets)?;
        Rows::new(ids, if self.options.ragged { data.with_ends() } else { data })
    }
}
