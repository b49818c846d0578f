//! Places that a user names to be written to: `--out FILE`, `init FILE`, `--out DIR`.

use crate::output;
use onward::{Error, ErrorKind, Result, file};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Folders that runs and studies keep in their own.
const INNER: [&str; 3] = ["snapshots", "plots", "stderr"];
/// A folder with one of these is a run's or a study's.
const MARKS: [&str; 2] = ["ledger.bin", "study.toml"];
/// Names of standard output.
const STANDARD_OUTPUT: [&str; 3] = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Where a result is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file, made or replaced whole.
    File(PathBuf),
    /// A device or a pipe, written straight into.
    Special(PathBuf),
    /// Standard output, whatever it is.
    StandardOutput,
}

impl Target {
    /// What `path` is.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for a folder, for a symbolic link outside of `/dev` and `/proc` (writing through it or replacing it
    /// would both surprise somebody), and for a place inside a run's or study's folder.
    pub fn of(path: &Path) -> Result<Self> {
        if STANDARD_OUTPUT.iter().any(|name| path == Path::new(name)) {
            return Ok(Self::StandardOutput);
        }
        outside_runs(path)?;
        let Ok(kind) = path.symlink_metadata().map(|m| m.file_type()) else {
            return Ok(Self::File(path.to_owned()));
        };
        let in_system = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
        let kind = match path.metadata() {
            Ok(behind) if kind.is_symlink() && in_system => behind.file_type(),
            _ => kind,
        };
        if kind.is_file() {
            Ok(Self::File(path.to_owned()))
        } else if kind.is_dir() || kind.is_symlink() {
            let found = if kind.is_dir() { "a folder".to_owned() } else { described_link(path) };
            Err(refused(path, "a file, a device or a new name", found))
        } else {
            Ok(Self::Special(path.to_owned()))
        }
    }

    /// Writes to it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; a file is then as it was. What standard output loses is told by [`output::check`].
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::StandardOutput => output::write(bytes),
            Self::File(path) => file::write(path, bytes)?,
            Self::Special(path) => {
                let written = OpenOptions::new().write(true).open(path).and_then(|mut f| f.write_all(bytes));
                written.map_err(|e| Error::io("write", path, e))?;
            }
        }
        Ok(())
    }
}

fn refused(path: &Path, expected: &str, found: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Io, path.display(), expected, found)
}

fn described_link(path: &Path) -> String {
    let to = std::fs::read_link(path).map(|to| format!(" to {}", to.display())).unwrap_or_default();
    format!("a symbolic link{to}")
}

/// Refuses a place inside a run's or study's folder, whose files are its own.
///
/// # Errors
/// [`ErrorKind::Io`] naming the folder.
pub fn outside_runs(path: &Path) -> Result<()> {
    let Ok(folder) = file::folder_of(path).canonicalize() else { return Ok(()) };
    let is_inner = folder.file_name().is_some_and(|name| INNER.iter().any(|inner| name == *inner));
    let outer = folder.parent().filter(|_| is_inner);
    match [Some(folder.as_path()), outer].into_iter().flatten().find(|folder| is_run(folder)) {
        Some(run) => {
            Err(refused(path, "a place outside of runs and studies", format!("one inside {}", run.display())))
        }
        None => Ok(()),
    }
}

/// Refuses a run's or study's folder itself where another kind of folder is asked for, and places inside one.
///
/// # Errors
/// As for [`outside_runs`].
pub fn no_run(folder: &Path) -> Result<()> {
    if is_run(folder) {
        return Err(refused(folder, "a folder of its own", "that of a run or study"));
    }
    outside_runs(folder)
}

fn is_run(folder: &Path) -> bool {
    MARKS.iter().any(|mark| folder.join(mark).exists())
}
