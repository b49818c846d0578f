//! A run's folder: what lies where, and how it is written so that nothing is ever half there.

use crate::data::Preparation;
use crate::report::Point;
use onward::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of one run, locked against other processes for as long as this lives.
pub struct Folder {
    path: PathBuf,
    _lock: Option<File>,
}

/// What the model expects and answers, beyond its params.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// Numbers that it answers with.
    pub outputs: usize,
    /// How its input is prepared.
    pub preparation: Preparation,
}

/// Snapshots that are kept.
const SNAPSHOTS: usize = 2;

impl Folder {
    /// Makes the folder `{runs}/{name}`, or `{name}-2` and so on if that exists, and locks it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be made.
    pub fn create(runs: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(runs).map_err(|e| Error::io("create folder", runs, e))?;
        for n in 1u32.. {
            let path = runs.join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            match std::fs::create_dir(&path) {
                Ok(()) => return Self::lock(path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("create folder", &path, e)),
            }
        }
        Err(Error::expected(ErrorKind::Io, runs.display(), "a free name", "none"))
    }

    /// Opens an existing run's folder and locks it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it is no run's folder, [`ErrorKind::Locked`] if another process holds it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read_only(path)?;
        Self::lock(path.to_owned())
    }

    /// Opens an existing run's folder for reading.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it is no run's folder.
    pub fn read_only(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned(), _lock: None };
        if !folder.ledger().is_file() {
            return Err(Error::expected(
                ErrorKind::Io,
                path.display(),
                "a run's folder with a ledger.bin in it",
                "none",
            ));
        }
        Ok(folder)
    }

    fn lock(path: PathBuf) -> Result<Self> {
        let at = path.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&at);
        let file = file.map_err(|e| Error::io("open", &at, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => {
                let expected = "a run that no other process works on";
                Err(Error::expected(
                    ErrorKind::Locked,
                    path.display(),
                    expected,
                    "one that is locked by another process",
                ))
            }
            Err(TryLockError::Error(e)) => Err(Error::io("lock", &at, e)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ledger.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger.bin")
    }

    /// The spec as run.
    pub fn spec(&self) -> PathBuf {
        self.path.join("spec.toml")
    }

    /// The params before the first step.
    pub fn base(&self) -> PathBuf {
        self.path.join("base.safetensors")
    }

    /// The trained model.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The metrics, one JSON object per line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    fn interface_file(&self) -> PathBuf {
        self.path.join("interface.json")
    }

    /// Writes a file whole: under a temporary name, to the disk, then renamed.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; the file is then as it was.
    pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = path.with_extension("tmp");
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)
        };
        write().map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            Error::io("write", path, e)
        })
    }

    /// Writes what the model expects and answers.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write_interface(&self, interface: &Interface) -> Result<()> {
        let text = serde_json::to_vec(interface).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        Self::write(&self.interface_file(), &text)
    }

    /// What the model expects and answers.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] or [`ErrorKind::Data`] naming the file.
    pub fn interface(&self) -> Result<Interface> {
        let path = self.interface_file();
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::expected(ErrorKind::Data, "interface", "its JSON", e).in_file(&path))
    }

    /// Writes a snapshot and removes all but the newest ones.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write_snapshot(&self, step: u64, bytes: &[u8]) -> Result<()> {
        let folder = self.path.join("snapshots");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create folder", &folder, e))?;
        Self::write(&folder.join(format!("step-{step:012}.safetensors")), bytes)?;
        let all = self.snapshots();
        for (_, old) in &all[..all.len().saturating_sub(SNAPSHOTS)] {
            std::fs::remove_file(old).map_err(|e| Error::io("remove", old, e))?;
        }
        Ok(())
    }

    /// The snapshots, oldest first, with their steps.
    pub fn snapshots(&self) -> Vec<(u64, PathBuf)> {
        let Ok(files) = std::fs::read_dir(self.path.join("snapshots")) else { return Vec::new() };
        let step = |path: &Path| path.file_stem()?.to_str()?.strip_prefix("step-")?.parse().ok();
        let safetensors = |path: &PathBuf| path.extension().is_some_and(|e| e == "safetensors");
        let mut all: Vec<(u64, PathBuf)> = files
            .flatten()
            .map(|f| f.path())
            .filter(safetensors)
            .filter_map(|p| Some((step(&p)?, p)))
            .collect();
        all.sort();
        all
    }

    /// The metrics written so far; a last line that was cut off is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming the line that cannot be read.
    pub fn points(&self) -> Result<Vec<Point>> {
        let path = self.metrics();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let parse = |(i, line)| {
            serde_json::from_str(line).map_err(|e| {
                Error::expected(ErrorKind::Data, format!("line {}", i + 1), "metrics as JSON", e)
                    .in_file(&path)
            })
        };
        whole.lines().enumerate().map(parse).collect()
    }
}
