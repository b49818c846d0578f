//! A run's folder: what lies where, and how it is written so that nothing is ever half there.

use crate::sealed::hash_of;
use crate::summary;
use onward::ledger::{self, Header, Reading};
use onward::{Error, ErrorKind, Hint, Result, file};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The folder of one run, locked against other processes for as long as this lives.
pub struct Folder {
    path: PathBuf,
    lock: Option<File>,
}

/// Snapshots that are kept.
const SNAPSHOTS: usize = 2;

const LEDGER: &str = "ledger.bin";
const DIVERGED: &str = "diverged.txt";
const SPEC: &str = "spec.toml";
const BASE: &str = "base.safetensors";
const INTERFACE: &str = "interface.json";
const NET: &str = "net.onnx";
const LANGUAGE: &str = "language.json";
/// The name of the trained model's file.
pub const MODEL: &str = "model.safetensors";
const METRICS: &str = "metrics.jsonl";
/// The name of the report's file, which may be drawn when a run is closed.
pub const REPORT: &str = "report.html";
const MANIFEST: &str = "manifest.json";
const PLOTS_IN: &str = "plots";
/// The name of the lock file.
pub const LOCK: &str = "lock";
const SNAPSHOTS_IN: &str = "snapshots";
const FILES: [&str; 10] = [LEDGER, SPEC, BASE, INTERFACE, NET, LANGUAGE, LOCK, MODEL, METRICS, MANIFEST];
const RESULT: &str = summary::FILES[0];

/// Whether a file of this name is a run's own.
pub(crate) type IsOwn = fn(&str) -> bool;

/// The folders in a run's folder, and which files in them are its own.
pub(crate) const INNER: [(&str, IsOwn); 2] =
    [(SNAPSHOTS_IN, |name| name.starts_with("step-") && name.ends_with(".safetensors")), (PLOTS_IN, is_plot)];

fn is_plot(name: &str) -> bool {
    name.ends_with(".svg") || name.ends_with(".png")
}

/// Whether a file of this name in a run's folder is its own, what was cut out of damaged files included.
pub(crate) fn is_own_file(name: &str) -> bool {
    let kept = ["metrics-damaged-", "ledger-cut-"].iter().any(|aside| name.starts_with(aside));
    kept || FILES.iter().chain(&summary::FILES).any(|own| name == *own) || [DIVERGED, REPORT].contains(&name)
}

/// A snapshot file: the whole state of a run after some step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot {
    /// The number of steps taken.
    pub step: u64,
    /// The path of the snapshot.
    pub path: PathBuf,
    /// The beginning of its content's hash, which is part of its name.
    hash: String,
}

impl Snapshot {
    /// From a name such as `step-000000000500-0123456789abcdef.safetensors`.
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?;
        let (step, hash) = name.split_once('-')?;
        path.is_file().then_some(())?;
        Some(Self { step: step.parse().ok()?, hash: hash.to_owned(), path })
    }

    /// Reads the content of the snapshot.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Damage`] if it is not what was written.
    pub fn read(&self) -> Result<Vec<u8>> {
        let bytes = std::fs::read(&self.path).map_err(|e| Error::io("read", &self.path, e))?;
        let found = hash_of(&bytes);
        if found != self.hash {
            let expected = format!("content with hash {}", self.hash);
            return Err(Error::expected(ErrorKind::Damage, self.path.display(), expected, found));
        }
        Ok(bytes)
    }
}

/// Locks a folder against other processes for as long as the file lives.
///
/// # Errors
/// [`ErrorKind::Locked`] if another process holds it, with what that [`sign`]ed with; [`ErrorKind::Io`].
pub fn lock(folder: &Path) -> Result<File> {
    let at = folder.join(LOCK);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&at);
    let file = file.map_err(|e| Error::io("open", &at, e))?;
    ledger::lock(&file, folder).map_err(|e| by_owner(e, &file))?;
    // What an earlier owner left says nothing of this one.
    file.set_len(0).map_err(|e| Error::io("write", &at, e))?;
    Ok(file)
}

/// Writes into a lock that is held who holds it, for those who find the folder locked.
pub fn sign(mut lock: &File, owner: &str) {
    // A courtesy: a disk that is full is told of by what has to be written.
    let _ = writeln!(lock, "{owner}");
}

/// The longest text that is taken for an owner's.
const LONGEST_OWNER: u64 = 400;

/// With who holds the lock, if that can be read.
fn by_owner(error: Error, lock: &File) -> Error {
    let mut owner = String::new();
    let read = lock.take(LONGEST_OWNER).read_to_string(&mut owner);
    let owner = owner.lines().next().unwrap_or_default().trim();
    if error.kind() != ErrorKind::Locked || read.is_err() || owner.is_empty() {
        return error;
    }
    error.hint(Hint::Aside(owner.to_owned()))
}

/// Whether another process holds the lock of a folder.
pub fn is_locked(folder: &Path) -> bool {
    let tried = File::open(folder.join(LOCK)).map(|file| file.try_lock());
    matches!(tried, Ok(Err(std::fs::TryLockError::WouldBlock)))
}

/// Removes a file that may not be there.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Removes what a process that died in the middle of [`file::write`] left in folders that this process has locked.
pub fn sweep(folders: &[PathBuf]) {
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    for left in files.filter(|file| file::is_temporary(&file.file_name())) {
        let _ = std::fs::remove_file(left.path());
    }
}

/// Refuses a folder in which one of the files `names` is a pipe, a device or a folder: opening that could wait for ever.
///
/// # Errors
/// [`ErrorKind::Damage`] naming the file.
pub fn regular_only(folder: &Path, names: &[&str]) -> Result<()> {
    let odd = |path: &PathBuf| path.metadata().is_ok_and(|m| !m.is_file());
    match names.iter().map(|name| folder.join(name)).find(odd) {
        Some(path) => Err(Error::expected(
            ErrorKind::Damage,
            path.display(),
            "a regular file",
            "something else of its name",
        )),
        None => Ok(()),
    }
}

/// Whether a process made this folder for a run and died before there was a ledger.
fn is_remnant(path: &Path) -> bool {
    let empty = || std::fs::read_dir(path).is_ok_and(|mut files| files.next().is_none());
    !path.join(LEDGER).exists() && (path.join(LOCK).is_file() || empty())
}

impl Folder {
    /// Makes the folder `{runs}/{name}`, or `{name}-2` and so on if that exists, and locks it. With `reuse`, what a
    /// process left that died before it had made the ledger is used again.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be made, [`ErrorKind::Locked`] if another process is making it.
    pub fn create(runs: &Path, name: &str, reuse: bool) -> Result<Self> {
        if runs.join(LEDGER).exists() {
            return Err(Error::expected(ErrorKind::Io, runs.display(), "a folder of runs", "a run's own"));
        }
        std::fs::create_dir_all(runs).map_err(|e| Error::io("create folder", runs, e))?;
        for n in 1u32.. {
            let path = runs.join(if n == 1 { name.to_owned() } else { format!("{name}-{n}") });
            match std::fs::create_dir(&path) {
                Ok(()) => return Self::lock(path),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    if reuse && is_remnant(&path) {
                        let folder = Self::lock(path)?;
                        // Unless the process was alive after all and has just finished.
                        if !folder.ledger().exists() {
                            folder.sweep();
                            folder.clear()?;
                            return Ok(folder);
                        }
                    }
                }
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
        let folder = Self::lock(path.to_owned())?;
        // Whoever appends to the ledger may be writing a temporary file now, also when the lock's own file was removed.
        let at = folder.ledger();
        let ledger = File::open(&at).map_err(|e| Error::io("open", &at, e))?;
        ledger::lock(&ledger, path)?;
        folder.sweep();
        Ok(folder)
    }

    /// Writes down who holds the folder, for those who find it locked.
    pub fn sign(&self, owner: &str) {
        if let Some(lock) = &self.lock {
            sign(lock, owner);
        }
    }

    /// Removes a folder that has not become a run.
    pub fn discard(self) {
        self.sweep();
        // What cannot be removed stays; the error that led here is the one to tell.
        for name in [LEDGER, SPEC, BASE, INTERFACE, NET, LANGUAGE, LOCK] {
            let _ = std::fs::remove_file(self.path.join(name));
        }
        let _ = std::fs::remove_dir(&self.path);
    }

    /// Removes what an earlier run left in a folder without ledger: none of it belongs to the run that is to begin.
    fn clear(&self) -> Result<()> {
        let more = [MANIFEST, DIVERGED, summary::FILES[1]].map(str::to_owned);
        let names = self.bound_files().into_iter().chain(more);
        let files = names.map(|name| self.path.join(name)).filter(|path| path.exists());
        for left in files.chain(self.snapshots().into_iter().map(|s| s.path)) {
            std::fs::remove_file(&left).map_err(|e| Error::io("remove", &left, e))?;
        }
        Ok(())
    }

    fn sweep(&self) {
        sweep(&[self.path.clone(), self.path.join(SNAPSHOTS_IN), self.path.join("plots")]);
    }

    /// Opens an existing run's folder for reading.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it is no run's folder.
    pub fn read_only(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned(), lock: None };
        if !folder.ledger().is_file() {
            let found = match path.metadata() {
                Ok(at) if at.is_dir() => "a folder without one",
                Ok(_) => "a file",
                Err(_) => "no such folder",
            };
            return Err(Error::expected(
                ErrorKind::Io,
                path.display(),
                "a run's folder with a ledger.bin in it",
                found,
            ));
        }
        regular_only(path, &FILES)?;
        regular_only(path, &summary::FILES)?;
        Ok(folder)
    }

    fn lock(path: PathBuf) -> Result<Self> {
        regular_only(&path, &FILES)?;
        let lock = lock(&path)?;
        Ok(Self { path, lock: Some(lock) })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the ledger.
    pub fn ledger(&self) -> PathBuf {
        self.path.join(LEDGER)
    }

    /// The path of a finished run's manifest.
    pub fn manifest(&self) -> PathBuf {
        self.path.join(MANIFEST)
    }

    /// The names of all files in the folder that a manifest covers: neither the ledger, which it names by its chain, nor snapshots,
    /// which have their hashes in their names.
    pub(crate) fn bound_files(&self) -> Vec<String> {
        let plots = std::fs::read_dir(self.path.join(PLOTS_IN)).into_iter().flatten().flatten();
        let plots = plots.filter_map(|file| file.file_name().into_string().ok());
        let plots = plots.filter(|name| is_plot(name));
        let names = [SPEC, BASE, INTERFACE, NET, LANGUAGE, MODEL, METRICS, REPORT, RESULT].map(str::to_owned);
        let mut all: Vec<String> =
            names.into_iter().chain(plots.map(|name| format!("{PLOTS_IN}/{name}"))).collect();
        all.retain(|name| self.path.join(name).is_file());
        all.sort();
        all
    }

    /// Reads the whole ledger.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], or as for [`ledger::read`], with the way out.
    pub fn reading(&self) -> Result<Reading> {
        let (reading, damage) = self.salvage()?;
        let Some(damage) = damage else { return Ok(reading) };
        let (steps, path) = (reading.records.len(), self.path.display());
        let way = format!("{damage} (`onward repair {path}` keeps the {steps} steps before it)");
        Err(Error::new(damage.kind(), way).in_file(&self.ledger()))
    }

    /// Reads the sound records at the start of the ledger, and says what is wrong with the next one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], or as for [`ledger::salvage`].
    pub fn salvage(&self) -> Result<(Reading, Option<Error>)> {
        let path = self.ledger();
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        ledger::salvage(&bytes).map_err(|e| e.in_file(&path))
    }

    /// Checks that the spec is the one that the ledger's header names. A later version may write the same spec in other words,
    /// so its bytes count.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], or [`ErrorKind::Damage`] if it is another.
    pub fn check_spec(&self, header: &Header) -> Result<()> {
        self.begun_with(&self.spec(), "a spec", &header.spec).map(|_| ())
    }

    /// What makes a file of a finished run good again that is missing or damaged, and how far.
    pub(crate) fn way_out(&self, path: &Path) -> String {
        let run = self.path.display();
        if path == self.spec() {
            "`onward train SPEC --resume` writes it again, with the spec that the run was begun with".into()
        } else if path == self.metrics() {
            format!(
                "`onward resume {run}` writes losses, rates and counts again from the ledger; accuracies and seconds are lost"
            )
        } else {
            format!("`onward resume {run}` writes it again")
        }
    }

    /// The bytes of a file that the run began with, if they are those of its header.
    fn begun_with(&self, path: &Path, what: &str, digest: &[u8; 32]) -> Result<Vec<u8>> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let (began, now) = (blake3::Hash::from_bytes(*digest), blake3::hash(&bytes));
        if began == now {
            return Ok(bytes);
        }
        let expected = format!("{what} with digest {}", &began.to_hex()[..16]);
        let found = format!("{} (changed since the run began)", &now.to_hex()[..16]);
        Err(Error::expected(ErrorKind::Damage, path.display(), expected, found))
    }

    /// The path of the spec as run.
    pub fn spec(&self) -> PathBuf {
        self.path.join(SPEC)
    }

    /// The path of the file that says what the run has come to.
    pub fn result(&self) -> PathBuf {
        self.path.join(RESULT)
    }

    /// The path of the base params: those before the first step.
    pub fn base(&self) -> PathBuf {
        self.path.join(BASE)
    }

    /// The path of the trained model.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// The path of the net that the run began with, for a net that was read from a file.
    pub fn net(&self) -> PathBuf {
        self.path.join(NET)
    }

    /// The path of the texts that a run's language model came with: what it is, and how it reads and writes.
    pub fn language(&self) -> PathBuf {
        self.path.join(LANGUAGE)
    }

    /// The path of the file that says in one line why a run diverged.
    pub fn diverged(&self) -> PathBuf {
        self.path.join(DIVERGED)
    }

    /// The reason why the run diverged, if it did.
    pub fn why_diverged(&self) -> Option<String> {
        std::fs::read_to_string(self.diverged()).ok().map(|why| why.trim_end().to_owned())
    }

    /// The path of the metrics, one JSON object per line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The path of `interface.json`, which describes the model's inputs and outputs.
    pub fn interface_file(&self) -> PathBuf {
        self.path.join(INTERFACE)
    }

    /// Reads the bytes of `interface.json` and checks them against the ledger's header (not known of runs that
    /// were begun under the ledger's format version 1).
    ///
    /// # Errors
    /// [`ErrorKind::Io`], or [`ErrorKind::Damage`] naming the file.
    pub fn interface(&self, header: &Header) -> Result<Vec<u8>> {
        let path = self.interface_file();
        match &header.interface {
            Some(digest) => self.begun_with(&path, "an interface", digest),
            None => std::fs::read(&path).map_err(|e| Error::io("read", &path, e)),
        }
    }

    /// Saves bytes that are cut out of a file under a name with their hash, so that nothing is overwritten.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn aside(&self, name: &str, ending: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path.join(format!("{name}-{}.{ending}", hash_of(bytes)));
        file::write(&path, bytes)?;
        Ok(path)
    }

    /// Writes a snapshot and removes all but the newest ones up to this step and that of the step `best`: there can be no later one of the same
    /// ledger.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub(crate) fn write_snapshot(&self, step: u64, bytes: &[u8], best: Option<u64>) -> Result<()> {
        self.keep_snapshot(step, bytes)?;
        let (later, mut old): (Vec<_>, Vec<_>) = self.snapshots().into_iter().partition(|s| s.step > step);
        old.truncate(old.len().saturating_sub(SNAPSHOTS));
        old.retain(|snapshot| Some(snapshot.step) != best);
        for snapshot in old.into_iter().chain(later) {
            std::fs::remove_file(&snapshot.path).map_err(|e| Error::io("remove", &snapshot.path, e))?;
        }
        Ok(())
    }

    /// Writes a snapshot and removes none.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub(crate) fn keep_snapshot(&self, step: u64, bytes: &[u8]) -> Result<()> {
        let folder = self.path.join(SNAPSHOTS_IN);
        // Not its parents: a run whose folder has vanished makes none anew.
        match std::fs::create_dir(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create folder", &folder, e));
            }
            _ => {}
        }
        file::write(&folder.join(format!("step-{step:012}-{}.safetensors", hash_of(bytes))), bytes)
    }

    /// Lists the snapshots, oldest first.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let Ok(files) = std::fs::read_dir(self.path.join(SNAPSHOTS_IN)) else { return Vec::new() };
        let mut all: Vec<Snapshot> = files.flatten().filter_map(|f| Snapshot::of(f.path())).collect();
        all.sort();
        all
    }
}
