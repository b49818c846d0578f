//! Files that appear whole or not at all, and that last.

use crate::{Error, Result};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind as Refused, Write};
use std::path::{Path, PathBuf};

/// What the name of a file that is not whole yet begins and ends with; between them stand 16 hexadecimal digits.
const TEMPORARY: (&str, &str) = (".onward-", ".tmp");

/// Writes a file whole: beside `path` under a name that nothing has, to the disk, then renamed, and its folder to the disk.
/// Nothing is written through a symbolic link: one at `path` is replaced, and a temporary file is always a new one.
///
/// A process that is killed in the middle leaves `path` as it was and perhaps a file with a name that [`is_temporary`] knows.
///
/// # Errors
/// [`crate::ErrorKind::Io`]; the file is then as it was, or whole if its folder alone was not to be brought to the disk.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_pieces(path, &[bytes])
}

/// Writes a file whole from pieces that follow one another, which need not be in one memory: as [`write()`] does.
///
/// # Errors
/// As for [`write()`].
pub fn write_pieces(path: &Path, pieces: &[impl AsRef<[u8]>]) -> Result<()> {
    let (mut file, temporary) = create_beside(path, pieces).map_err(|e| Error::io("write", path, e))?;
    let written = pieces.iter().try_for_each(|piece| file.write_all(piece.as_ref()));
    let written = written.and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&temporary, path)).map_err(|e| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path, e)
    })?;
    sync_folder_of(path)
}

/// Whether a file's name is one that [`write()`] gives to a file that is not whole yet.
pub fn is_temporary(name: &OsStr) -> bool {
    let digits = name.to_str().and_then(|n| n.strip_prefix(TEMPORARY.0)?.strip_suffix(TEMPORARY.1));
    digits
        .is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

/// Flushes the entries of a file's folder to the disk, so that renames and removals in it last.
///
/// # Errors
/// [`crate::ErrorKind::Io`].
fn sync_folder_of(path: &Path) -> Result<()> {
    // Where a folder cannot be opened or brought to the disk at all, the system sees to that itself.
    let Ok(folder) = File::open(folder_of(path)) else { return Ok(()) };
    match folder.sync_all() {
        Err(e) if !matches!(e.kind(), Refused::InvalidInput | Refused::Unsupported) => {
            Err(Error::io("sync the folder of", path, e))
        }
        _ => Ok(()),
    }
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A new file beside `path`. Its name follows from what it is to hold, so that nobody can take all names beforehand; where
/// another file has it, the next one is tried.
fn create_beside(path: &Path, pieces: &[impl AsRef<[u8]>]) -> std::io::Result<(File, PathBuf)> {
    let mut hash = blake3::Hasher::new_derive_key("onward 2026 temporary names v1");
    hash.update(path.as_os_str().as_encoded_bytes());
    pieces.iter().for_each(|piece| _ = hash.update(piece.as_ref()));
    let mut names = hash.finalize_xof();
    loop {
        let mut number = [0; 8];
        names.fill(&mut number);
        let name = format!("{}{:016x}{}", TEMPORARY.0, u64::from_le_bytes(number), TEMPORARY.1);
        let temporary = folder_of(path).join(name);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Err(e) if e.kind() == Refused::AlreadyExists => {}
            opened => return opened.map(|file| (file, temporary)),
        }
    }
}
