//! The manifest of a finished run: which ledger led to its files, and the hash of each of them.

use crate::folder::Folder;
use crate::sealed::{seal, unseal};
use onward::train::hex;
use onward::{Error, ErrorKind, Result, file};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// The content of `manifest.json`, which binds the files of a finished run.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The hash of the ledger's chain after its header, which names the run.
    begun: String,
    /// The hash of the whole chain.
    ended: String,
    /// The number of steps in the ledger.
    pub steps: u64,
    /// The step whose params the model has, where that is the best one by the validation rows and not the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<u64>,
    /// BLAKE3 of each file, by its name in the folder.
    files: BTreeMap<String, String>,
}

impl Manifest {
    /// Writes the manifest of the files that are in the folder now; the model's params are those of step `best`, if not the last's.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write(
        folder: &Folder,
        begun: &[u8; 32],
        ended: &[u8; 32],
        steps: u64,
        best: Option<u64>,
    ) -> Result<()> {
        let mut files = BTreeMap::new();
        for name in folder.bound_files() {
            let hash = hash_of_file(&folder.path().join(&name))?;
            files.insert(name, hash);
        }
        let manifest = Self { begun: hex(begun), ended: hex(ended), steps, best, files };
        let json = serde_json::to_string(&manifest).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        file::write(&folder.manifest(), (seal(&json) + "\n").as_bytes())
    }

    /// Reads the manifest of the run whose chain began with this hash; `None` if there is none yet.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Damage`] if it is damaged or another run's.
    pub fn read(folder: &Folder, begun: &[u8; 32]) -> Result<Option<Self>> {
        let path = folder.manifest();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let bad = |found: String| {
            let expected = "the manifest of this run, as it was written";
            Error::expected(ErrorKind::Damage, path.display(), expected, found)
        };
        let line = bytes.strip_suffix(b"\n").ok_or_else(|| bad("another end".into()))?;
        let json = unseal(line).map_err(&bad)?;
        let manifest: Self = serde_json::from_str(&json).map_err(|e| bad(e.to_string()))?;
        if manifest.begun != hex(begun) {
            return Err(bad("that of another".into()));
        }
        Ok(Some(manifest))
    }

    /// Checks that the ledger is the one that led to the files.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if it is not.
    pub fn check_ledger(&self, folder: &Folder, steps: u64, chain: &[u8; 32]) -> Result<()> {
        if (self.steps, &self.ended) == (steps, &hex(chain)) {
            return Ok(());
        }
        let expected = format!("the {} steps that manifest.json tells of", self.steps);
        let found = format!(
            "{steps} steps with another end (`onward resume {}` takes missing ones again)",
            folder.path().display()
        );
        Err(Error::expected(ErrorKind::Damage, folder.ledger().display(), expected, found))
    }

    /// Checks that each file is as the run left it, and returns their number.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] naming the first that is not, or that is missing.
    pub(crate) fn check_files(&self, folder: &Folder) -> Result<usize> {
        self.files.keys().try_for_each(|name| self.check_file(folder, name))?;
        Ok(self.files.len())
    }

    /// Checks that the file of this name is as the run left it.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if it is not, or is missing.
    pub fn check_file(&self, folder: &Folder, name: &str) -> Result<()> {
        let path = folder.path().join(name);
        if !path.is_file() {
            return Err(self.changed(folder, &path, "none"));
        }
        self.check_hash(folder, name, &hash_of_file(&path)?)
    }

    /// Checks that these are the bytes of the file of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`] if they are not.
    pub fn check(&self, folder: &Folder, name: &str, bytes: &[u8]) -> Result<()> {
        self.check_hash(folder, name, &hash(bytes))
    }

    fn check_hash(&self, folder: &Folder, name: &str, hash: &str) -> Result<()> {
        if self.files.get(name).is_some_and(|expected| expected == hash) {
            return Ok(());
        }
        Err(self.changed(folder, &folder.path().join(name), "another"))
    }

    fn changed(&self, folder: &Folder, path: &Path, found: &str) -> Error {
        let expected = "the file whose hash manifest.json has";
        let found = format!("{found} ({})", folder.way_out(path));
        Error::expected(ErrorKind::Damage, path.display(), expected, found)
    }
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The hash of a file that need not fit into memory.
fn hash_of_file(path: &Path) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hash.update_reader(file).map(drop))
        .map_err(|e| Error::io("read", path, e))?;
    Ok(hash.finalize().to_hex().to_string())
}
