//! What lies where in a study's folder.

use super::points::Known;
use crate::folder::{self, LOCK};
use crate::{machine, target};
use onward::{Error, ErrorKind, Result, file};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

const STUDY: &str = "study.toml";
const JOURNAL: &str = "journal.jsonl";
const RESULT: &str = "result.json";
const KNOWN: &str = "known.jsonl";

/// The folder of one study, locked against other processes for as long as this lives.
pub struct StudyFolder {
    path: PathBuf,
    /// Whether this process has made the folder, and whether it has begun the study.
    new: bool,
    begun: bool,
    _lock: File,
}

impl StudyFolder {
    /// Makes the folder, or opens it if it is there, and locks it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be made or holds something else, [`ErrorKind::Locked`].
    pub fn open(path: &Path) -> Result<Self> {
        let new = !path.exists();
        target::outside_runs(path)?;
        std::fs::create_dir_all(path).map_err(|e| Error::io("create folder", path, e))?;
        folder::regular_only(path, &[LOCK, STUDY, JOURNAL, RESULT, KNOWN])?;
        let is_study = path.join(STUDY).is_file();
        if !is_study && let Some(other) = foreign(path) {
            let found = format!("one with `{other}` in it and no study.toml");
            return Err(Error::expected(
                ErrorKind::Io,
                path.display(),
                "a study's folder or a new one",
                found,
            ));
        }
        let lock = folder::lock(path)?;
        folder::sign(&lock, &machine::owner());
        folder::sweep(&[path.to_owned(), path.join("plots")]);
        Ok(Self { path: path.to_owned(), new, begun: false, _lock: lock })
    }

    /// Writes what the study begins with: from here on the folder holds one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn begin(&mut self, settings: &str, known: &[Known]) -> Result<()> {
        self.begun = true;
        file::write(&self.settings(), settings.as_bytes())?;
        if known.is_empty() {
            return Ok(());
        }
        let line = |point| serde_json::to_string(point).map_err(|e| Error::new(ErrorKind::Io, e.to_string()));
        let lines = known.iter().map(line).collect::<Result<Vec<String>>>()?;
        file::write(&self.known(), (lines.join("\n") + "\n").as_bytes())
    }

    /// The points that were known before the study, as it keeps them.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Damage`] naming the line that is none.
    pub fn read_known(&self) -> Result<Vec<Known>> {
        let path = self.known();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let line = |(number, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|e| {
                let place = format!("{}: line {}", path.display(), number + 1);
                Error::expected(ErrorKind::Damage, place, "a point with its loss", e)
            })
        };
        text.lines().enumerate().map(line).collect()
    }

    /// Whether it holds a study.
    pub fn has_study(&self) -> bool {
        self.settings().is_file()
    }

    /// Removes a study that this process has begun and that has come to nothing.
    pub fn discard(&self) {
        // What cannot be removed stays; the error that led here is the one to tell.
        if self.begun {
            for file in [self.settings(), self.journal(), self.known(), self.path.join(LOCK)] {
                let _ = std::fs::remove_file(file);
            }
            let _ = std::fs::remove_dir_all(self.path.join("stderr"));
        }
        if self.new {
            let _ = std::fs::remove_dir(&self.path);
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the study was begun with.
    pub fn settings(&self) -> PathBuf {
        self.path.join(STUDY)
    }

    /// The losses.
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    /// The points that were known before.
    pub fn known(&self) -> PathBuf {
        self.path.join(KNOWN)
    }

    /// The result.
    pub fn result(&self) -> PathBuf {
        self.path.join(RESULT)
    }

    /// Keeps what an evaluation's program wrote to its standard error, if it did.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn keep_stderr(&self, id: u64, text: &[u8]) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let folder = self.path.join("stderr");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create folder", &folder, e))?;
        let path = folder.join(format!("{id}.txt"));
        // Read by people alone, so it need not last, but nothing is written through a link of its name.
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("replace", &path, e)),
            _ => {}
        }
        let written = File::create_new(&path).and_then(|mut file| file.write_all(text));
        written.map_err(|e| Error::io("write", &path, e))
    }
}

/// A file in a folder that no beginning study leaves there.
fn foreign(path: &Path) -> Option<String> {
    let names = std::fs::read_dir(path).ok()?.flatten().map(|file| file.file_name());
    let foreign = names.filter(|name| name != LOCK && !file::is_temporary(name)).min();
    foreign.map(|name| name.to_string_lossy().into_owned())
}
