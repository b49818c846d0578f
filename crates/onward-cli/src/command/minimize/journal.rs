//! The journal of a study: one line of JSON per event, each with a check that follows from it and all lines before.
//!
//! ```text
//! {"event":"evaluation","id":0,…,"check":"0123456789abcdef"}
//! ```
//!
//! The check is the beginning of BLAKE3 over the check before it and the line without its own; the first one's
//! predecessor is that of `study.toml`. So a changed, lost or moved line is found and named.

use super::folder::StudyFolder;
use onward::study::StrategyKind;
use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

/// What an evaluation was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Whether the start's loss is the same twice.
    Check,
    /// The search itself.
    Search,
    /// Which of two points is better.
    Choice,
    /// How good that one is.
    Estimate,
}

/// An evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: u64,
    pub phase: Phase,
    pub generation: u64,
    pub values: Map<String, Value>,
    /// None where it failed.
    pub loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// What the program complained of last, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// By how much it missed what is required of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation: Option<f64>,
    pub seconds: f64,
}

/// The strategy in use, once that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub method: StrategyKind,
    pub why: String,
    /// Whether losses are noisy, as was said or found; `None` as long as that is unknown.
    pub noisy: Option<bool>,
    /// Evaluations of the search, and those kept back for its result.
    pub search: u64,
    pub reserve: u64,
}

/// A budget that was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Raise {
    /// Evaluations, all of them.
    pub budget: u64,
    /// Evaluations of the search, and those kept back for its result.
    pub search: u64,
    pub reserve: u64,
    /// The candidates of the search before it, and the evaluations of the result that followed these.
    pub after: u64,
    pub extra: u64,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Line {
    Evaluation(Entry),
    Method(Choice),
    Raised(Raise),
}

/// The file, open for appending.
pub struct Journal {
    file: File,
    path: std::path::PathBuf,
    check: String,
    synced: Instant,
    /// A line may have been written in part: what came after it could not be read.
    failed: bool,
    /// Whether nothing may be written.
    closed: bool,
}

/// What a journal held.
#[derive(Debug, Default)]
pub struct Reading {
    pub lines: Vec<Line>,
    /// Bytes of a last line that was not written whole; they have been cut.
    pub torn: u64,
}

/// At most this long are losses not yet on the disk.
const SYNC: Duration = Duration::from_secs(1);
/// What stands between a line's content and its check, and after it.
const BEFORE: &str = ",\"check\":\"";
const AFTER: &str = "\"}";

fn next_check(check: &str, content: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(check.as_bytes()).update(content.as_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}

impl Journal {
    /// Opens the journal of a study, or begins it. A torn last line is cut. Where it is `closed`, it is only read, and what is added goes nowhere.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] naming the line that was changed; [`ErrorKind::Io`].
    pub fn open(folder: &StudyFolder, study: &str, closed: bool) -> Result<(Self, Reading)> {
        let path = folder.journal();
        let file = OpenOptions::new().read(true).append(!closed).create(!closed).open(&path);
        let file = file.map_err(|e| Error::io("open", &path, e))?;
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let mut check = next_check("", study);
        let mut lines = Vec::new();
        for (i, line) in bytes[..whole].split_inclusive(|b| *b == b'\n').enumerate() {
            let read = read_line(&line[..line.len() - 1], &mut check);
            lines.push(read.map_err(|(expected, found)| {
                let place = format!("{}: line {}", path.display(), i + 1);
                Error::expected(ErrorKind::Damage, place, expected, found)
            })?);
        }
        let torn = (bytes.len() - whole) as u64;
        if torn > 0 && !closed {
            file.set_len(whole as u64)
                .and_then(|()| file.sync_all())
                .map_err(|e| Error::io("cut", &path, e))?;
        }
        let journal = Self { file, path, check, synced: Instant::now(), failed: false, closed };
        Ok((journal, Reading { lines, torn }))
    }

    /// Adds a line. It is on the disk a second later, or when [`Journal::sync`] is called.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn add(&mut self, line: &Line) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        let text = serde_json::to_string(line).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        let content = text.strip_suffix('}').unwrap_or(&text);
        let check = next_check(&self.check, content);
        let line = format!("{content}{BEFORE}{check}{AFTER}\n");
        if self.failed {
            return Err(Error::expected(
                ErrorKind::Io,
                self.path.display(),
                "a whole last line",
                "a torn one",
            ));
        }
        self.failed = true;
        self.file.write_all(line.as_bytes()).map_err(|e| Error::io("write", &self.path, e))?;
        self.failed = false;
        self.check = check;
        if self.synced.elapsed() >= SYNC { self.sync() } else { Ok(()) }
    }

    /// Refuses to go on where the file is no longer in its folder: what is written would be lost.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    #[cfg(unix)]
    pub fn check_place(&self) -> Result<()> {
        use std::os::unix::fs::MetadataExt;
        let identity = |data: &std::fs::Metadata| (data.dev(), data.ino());
        let own = self.file.metadata().map_err(|e| Error::io("read", &self.path, e))?;
        let found = match std::fs::metadata(&self.path) {
            Ok(data) if identity(&data) == identity(&own) => return Ok(()),
            Ok(_) => "another",
            Err(_) if own.nlink() == 0 => "none: the folder was removed, and its losses with it",
            Err(_) => "none: the folder was moved",
        };
        Err(Error::expected(ErrorKind::Io, self.path.display(), "the journal that this study writes", found))
    }

    /// Where files have no identity, nothing can be told.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn check_place(&self) -> Result<()> {
        Ok(())
    }

    /// Waits until all lines are on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn sync(&mut self) -> Result<()> {
        self.synced = Instant::now();
        if self.closed {
            return Ok(());
        }
        self.file.sync_data().map_err(|e| Error::io("write", &self.path, e))
    }
}

/// A line without its end; what was expected and found if it is not what was written.
fn read_line(line: &[u8], check: &mut String) -> Result<Line, (String, String)> {
    let bad = |expected: &str, found: &str| (expected.to_owned(), found.to_owned());
    let text = std::str::from_utf8(line).map_err(|_| bad("text", "bytes that are none"))?;
    let parts = text.strip_suffix(AFTER).and_then(|text| text.rsplit_once(BEFORE));
    let (content, found) = parts.ok_or_else(|| bad("a line that ends with its check", "another end"))?;
    let expected = next_check(check, content);
    if expected != found {
        let found = format!("`{found}`: this line, one before it or study.toml was changed");
        return Err((format!("check `{expected}`"), found));
    }
    let line = serde_json::from_str(&format!("{content}}}"));
    let line = line.map_err(|e| (("an event of this version").to_owned(), e.to_string()))?;
    *check = expected;
    Ok(line)
}
