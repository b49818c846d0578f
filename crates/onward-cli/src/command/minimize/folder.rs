//! What lies where in a study's folder.

use crate::folder::{self, Folder, LOCK, TEMPORARY};
use onward::{Error, ErrorKind, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

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
        std::fs::create_dir_all(path).map_err(|e| Error::io("create folder", path, e))?;
        let is_study = path.join("study.toml").is_file();
        if !is_study && let Some(other) = foreign(path) {
            let found = format!("one with `{other}` in it and no study.toml");
            return Err(Error::expected(
                ErrorKind::Io,
                path.display(),
                "a study's folder or a new one",
                found,
            ));
        }
        Ok(Self { path: path.to_owned(), new, begun: false, _lock: folder::lock(path)? })
    }

    /// Writes what the study begins with: from here on the folder holds one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn begin(&mut self, settings: &str) -> Result<()> {
        self.begun = true;
        Self::write(&self.settings(), settings)
    }

    /// Whether it holds a study.
    pub fn has_study(&self) -> bool {
        self.settings().is_file()
    }

    /// Removes a study that this process has begun and that has come to nothing.
    pub fn discard(&self) {
        // What cannot be removed stays; the error that led here is the one to tell.
        if self.begun {
            for file in [self.settings(), self.journal(), self.path.join(LOCK)] {
                let _ = std::fs::remove_file(file);
            }
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
        self.path.join("study.toml")
    }

    /// The losses.
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// The result.
    pub fn result(&self) -> PathBuf {
        self.path.join("result.json")
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
        std::fs::write(&path, text).map_err(|e| Error::io("write", &path, e))
    }

    /// Writes a file whole.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write(path: &Path, text: &str) -> Result<()> {
        Folder::write(path, text.as_bytes())
    }
}

/// A file in a folder that no beginning study leaves there.
fn foreign(path: &Path) -> Option<String> {
    let names =
        std::fs::read_dir(path).ok()?.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
    let own = |name: &String| name == LOCK || name.ends_with(&format!(".{TEMPORARY}"));
    names.filter(|name| !own(name)).min()
}
