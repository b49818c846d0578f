//! A file that has to stay what it is while it is read, and the digest of its bytes, kept beside it.

use onward::train::hex;
use onward::{Error, ErrorKind, Result, file};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A file, and what it was when it was first looked at.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    path: PathBuf,
    print: Print,
}

/// By what a changed file is told from what it was, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Print {
    size: u64,
    /// When it was last written to, in nanoseconds since 1970.
    modified: i64,
    /// When anything about it last changed, which no program can set; 0 where the system does not tell.
    changed: i64,
    /// Which file it is on its device; 0 where the system does not tell.
    file: u64,
}

/// What is kept beside a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    print: Print,
    blake3: String,
}

/// A file that was written to this shortly ago may be written to again within the same tick of the clock.
const SETTLED: Duration = Duration::from_secs(2);

impl Print {
    #[cfg(unix)]
    fn of(meta: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: meta.len(),
            modified: nanoseconds(meta.mtime(), meta.mtime_nsec()),
            changed: nanoseconds(meta.ctime(), meta.ctime_nsec()),
            file: meta.ino(),
        }
    }

    #[cfg(not(unix))]
    fn of(meta: &Metadata) -> Self {
        let since = meta.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let modified = since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        Self { size: meta.len(), modified, changed: 0, file: 0 }
    }

    /// Whether it has stayed so for long enough that a change from now on would show.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let settled = now.saturating_sub(SETTLED).as_nanos();
        u128::try_from(self.modified.max(self.changed)).is_ok_and(|last| last < settled)
    }
}

impl Watched {
    /// The file at `path` as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub(super) fn new(path: &Path) -> Result<Self> {
        let meta = fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
        Ok(Self { path: path.into(), print: Print::of(&meta) })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its bytes.
    pub(super) fn size(&self) -> u64 {
        self.print.size
    }

    /// A handle of its own on the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; as for [`Watched::check`].
    pub(super) fn open(&self) -> Result<File> {
        let file = File::open(&self.path).map_err(|e| Error::io("read", &self.path, e))?;
        self.check(&file)?;
        Ok(file)
    }

    /// That the file is what it was: asked after each read, it vouches for what was read.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] if it is not, [`ErrorKind::Io`].
    pub(super) fn check(&self, file: &File) -> Result<()> {
        let meta = file.metadata().map_err(|e| Error::io("read", &self.path, e))?;
        if Print::of(&meta) == self.print {
            return Ok(());
        }
        let expected = "the bytes that it had when it was opened";
        let found = match meta.len() {
            size if size == self.print.size => "a file that was written to since".to_owned(),
            size => format!("a file that was written to since: {size} bytes instead of {}", self.print.size),
        };
        Err(Error::expected(ErrorKind::Data, "data", expected, found).in_file(&self.path))
    }

    /// BLAKE3 of the file's bytes: what is kept beside it, if that was of the file as it is; else worked out, and kept. What
    /// hinders that is noted.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; as for [`Watched::check`].
    pub(super) fn digest(&self, notes: &mut Vec<String>) -> Result<[u8; 32]> {
        if let Some(digest) = self.kept() {
            return Ok(digest);
        }
        let digest = self.worked_out()?;
        if self.print.is_settled() {
            self.keep(&digest, notes)?;
        }
        Ok(digest)
    }

    /// The digest that is kept beside the file, if that was of the file as it is.
    fn kept(&self) -> Option<[u8; 32]> {
        let kept: Kept = serde_json::from_slice(&fs::read(self.place()).ok()?).ok()?;
        let digest = blake3::Hash::from_hex(kept.blake3).ok()?;
        (kept.print == self.print).then(|| *digest.as_bytes())
    }

    fn keep(&self, digest: &[u8; 32], notes: &mut Vec<String>) -> Result<()> {
        let kept = Kept { print: self.print, blake3: hex(digest) };
        let json = serde_json::to_vec(&kept).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        if let Err(why) = file::write(&self.place(), &json) {
            notes.push(format!("the digest of its bytes is worked out each time: {why}"));
        }
        Ok(())
    }

    /// Where the digest is kept.
    fn place(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".blake3");
        name.into()
    }

    fn worked_out(&self) -> Result<[u8; 32]> {
        let (mut file, mut hash) = (self.open()?, blake3::Hasher::new());
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).map_err(|e| Error::io("read", &self.path, e))? {
                0 => break,
                read => _ = hash.update(&buffer[..read]),
            }
        }
        self.check(&file)?;
        Ok(*hash.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_kept_beside_a_file_is_of_that_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, b"1,2").unwrap();
        let (watched, mut notes) = (Watched::new(&path).unwrap(), Vec::new());
        let whole = *blake3::hash(b"1,2").as_bytes();
        assert_eq!(watched.digest(&mut notes).unwrap(), whole);
        assert!(!watched.print.is_settled() && !watched.place().exists(), "it may still change unseen");
        watched.keep(&whole, &mut notes).unwrap();
        assert_eq!(watched.place(), folder.path().join("t.csv.blake3"));
        assert_eq!(watched.kept(), Some(whole));
        let text = fs::read_to_string(watched.place()).unwrap();
        fs::write(watched.place(), text.replace(&hex(&whole), &"0".repeat(64))).unwrap();
        assert_eq!(watched.digest(&mut notes).unwrap(), [0; 32], "what is kept is believed for this file");
        fs::write(&path, b"1,3").unwrap();
        let changed = Watched::new(&path).unwrap();
        assert_eq!(changed.digest(&mut notes).unwrap(), *blake3::hash(b"1,3").as_bytes(), "and for no other");
        for rubbish in ["", "{", "{\"print\":1}"] {
            fs::write(watched.place(), rubbish).unwrap();
            assert_eq!(changed.digest(&mut notes).unwrap(), *blake3::hash(b"1,3").as_bytes());
        }
        assert!(watched.open().is_err() && notes.is_empty());
    }

    #[test]
    fn a_folder_that_takes_no_digest_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, b"1,2").unwrap();
        let (watched, mut notes) = (Watched::new(&path).unwrap(), Vec::new());
        fs::create_dir(watched.place()).unwrap();
        watched.keep(&[1; 32], &mut notes).unwrap();
        assert!(notes[0].starts_with("the digest of its bytes is worked out each time"), "{notes:?}");
    }
}
