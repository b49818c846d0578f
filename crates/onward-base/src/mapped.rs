//! Files whose bytes are read where they are needed, as if they were memory.

#![allow(unsafe_code)]

use crate::{Error, ErrorKind, Result};
use memmap2::Mmap;
use std::fs::{File, Metadata};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// The bytes of a file, which the system fetches when they are read and may forget again.
///
/// The file should stay as it is for as long as it is mapped. Replacing it (a new file renamed to its name) is safe: the old one stays
/// mapped. One that is written over, or has become shorter or longer, is found by [`Mapping::check_unchanged`]. What cannot be found in
/// time is a change between that and the reading: bytes written over are then read as they are, and of bytes cut off the system
/// ends the process (`SIGBUS`). Nor are changes found that leave length and time of modification as they are, such as a second one within
/// a tick of the file system's clock.
#[derive(Debug)]
pub struct Mapping {
    bytes: Mmap,
    file: File,
    path: PathBuf,
    began: Metadata,
}

impl Mapping {
    /// Maps a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] naming the file if it cannot be read or is none.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |e| Error::io("read", path, e);
        // Looked at before it is opened: to open a pipe is to wait until somebody writes into it.
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::expected(ErrorKind::Io, path.display(), "a file", "something else"));
        }
        let file = File::open(path).map_err(failed)?;
        let began = file.metadata().map_err(failed)?;
        // SAFETY: the map is private to this process's reading and is never written to. Bytes are all that is made of it, of which every
        // pattern is one, and each is read into a number before that is looked at, so a file that others write over gives other numbers
        // and nothing worse. It cannot be unmapped while it is borrowed. What is cut off ends the process, as is said above.
        let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let path = path.to_owned();
        let mapping = Self { bytes, file, path, began };
        mapping.check_unchanged()?;
        Ok(mapping)
    }

    /// The path of the mapped file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the file still has the length and modification time that it had when it was mapped.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] naming the file, and [`ErrorKind::Io`] if the system does not say.
    pub fn check_unchanged(&self) -> Result<()> {
        let now = self.file.metadata().map_err(|e| Error::io("look at", &self.path, e))?;
        let error = |expected: String, found: String| {
            Err(Error::expected(ErrorKind::Damage, self.path.display(), expected, found))
        };
        let length = self.bytes.len() as u64;
        if now.len() != length {
            return error(format!("{length} bytes, as when it was mapped"), now.len().to_string());
        }
        if now.modified().ok() != self.began.modified().ok() {
            return error(
                "a file that stays as it is while it is mapped".into(),
                "one that was written to".into(),
            );
        }
        Ok(())
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.bin");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_is_read_as_memory() {
        let (folder, path) = file(&[7; 5000]);
        let mapping = Mapping::open(&path).unwrap();
        assert!(mapping.iter().all(|b| *b == 7) && mapping.len() == 5000 && mapping.path() == path);
        mapping.check_unchanged().unwrap();
        let (_folder, empty) = file(&[]);
        assert!(Mapping::open(&empty).unwrap().is_empty());
        for (path, said) in [(folder.path().to_owned(), "expected a file"), (path.with_extension("x"), "w.x")]
        {
            let error = Mapping::open(&path).unwrap_err();
            assert!(error.kind() == ErrorKind::Io && error.to_string().contains(said), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_that_nobody_writes_into_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(Mapping::open(&pipe).unwrap_err().to_string().contains("expected a file"));
    }

    #[test]
    fn a_file_that_changes_is_named() {
        let (_folder, path) = file(&[7; 5000]);
        let mapping = Mapping::open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        let error = mapping.check_unchanged().unwrap_err();
        let told = error.to_string();
        assert!(error.kind() == ErrorKind::Damage && told.contains("w.bin"), "{told}");
        assert!(told.contains("5000 bytes") && told.contains("100"), "{told}");

        let (_folder, path) = file(&[7; 5000]);
        let mapping = Mapping::open(&path).unwrap();
        // The file system's clock need not have gone on.
        let mut file = File::options().write(true).open(&path).unwrap();
        file.write_all(&[8]).unwrap();
        let earlier = file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(5);
        file.set_modified(earlier).unwrap();
        let told = mapping.check_unchanged().unwrap_err().to_string();
        assert!(told.contains("w.bin") && told.contains("written to"), "{told}");
    }

    #[test]
    fn a_file_that_is_replaced_stays_mapped() {
        let (_folder, path) = file(&[7; 5000]);
        let mapping = Mapping::open(&path).unwrap();
        crate::file::write(&path, &[9; 10]).unwrap();
        mapping.check_unchanged().unwrap();
        assert!(mapping.iter().all(|b| *b == 7));
    }
}
