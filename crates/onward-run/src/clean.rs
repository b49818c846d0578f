//! Removing runs: only what a run wrote, only where no process works on it, and never through a link.

use crate::folder::{self, Folder, remove_if_there};
use onward::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// What a run's folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The run's own files.
    pub own: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
    /// Files and folders that no run writes: they stay, and so does the folder.
    pub foreign: Vec<PathBuf>,
}

/// Lists what a run's folder holds, or one that was made for a run which never began.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be listed, or is a link.
pub fn contents(run: &Path) -> Result<Contents> {
    if run.symlink_metadata().is_ok_and(|at| !at.is_dir()) {
        return Err(Error::expected(ErrorKind::Io, run.display(), "a run's folder", "a file or a link"));
    }
    let mut all = Contents::default();
    sort(run, &mut all, folder::is_own_file)?;
    for (inner, is_own) in folder::INNER {
        let path = run.join(inner);
        if path.symlink_metadata().is_ok_and(|at| at.is_dir()) {
            all.foreign.retain(|other| *other != path);
            sort(&path, &mut all, is_own)?;
        }
    }
    Ok(all)
}

fn sort(folder: &Path, all: &mut Contents, is_own: folder::IsOwn) -> Result<()> {
    let inside = std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))?;
    let mut entries: Vec<_> = inside.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let file = entry.metadata().ok().filter(std::fs::Metadata::is_file);
        let named = entry.file_name().to_str().is_some_and(is_own);
        match file.filter(|_| named || onward::file::is_temporary(&entry.file_name())) {
            Some(file) => {
                all.bytes += file.len();
                all.own.push(entry.path());
            }
            None => all.foreign.push(entry.path()),
        }
    }
    Ok(())
}

/// Whether a folder was made for a run that never began: it has a lock, no ledger, and nothing that a run does not write.
#[must_use]
pub fn never_began(path: &Path) -> bool {
    let made = path.join(folder::LOCK).is_file() && !path.join("ledger.bin").exists();
    made && !path.join("study.toml").exists() && contents(path).is_ok_and(|all| all.foreign.is_empty())
}

/// Removes a run's own files, the ledger last, and its folder if nothing else is in it. Whether the folder is gone.
///
/// # Errors
/// [`ErrorKind::Locked`] if a process works on the run; [`ErrorKind::Io`].
pub fn remove(run: &Path) -> Result<bool> {
    let ledger = run.join("ledger.bin");
    let held = if ledger.is_file() { Some(Folder::open(run)?) } else { None };
    let lock = if held.is_none() { Some(folder::lock(run)?) } else { None };
    let all = contents(run)?;
    let last = [ledger, run.join(folder::LOCK)];
    for path in all.own.iter().filter(|path| !last.contains(path)).chain(&last) {
        remove_if_there(path)?;
    }
    drop((held, lock));
    // Where something foreign is inside, they stay.
    for (inner, _) in folder::INNER {
        let _ = std::fs::remove_dir(run.join(inner));
    }
    Ok(std::fs::remove_dir(run).is_ok())
}
