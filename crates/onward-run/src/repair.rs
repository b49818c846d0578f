//! Cutting off what is damaged of a ledger, from the first record on that is not sound. What is cut is kept.

use crate::folder::Folder;
use onward::ledger;
use onward::{Error, Result};
use std::fs::OpenOptions;
use std::path::PathBuf;

/// The result of a repair.
#[derive(Debug)]
pub struct Repaired {
    /// The number of sound steps, which are kept.
    pub steps: usize,
    /// The part that was cut off; `None` if the ledger was sound.
    pub cut: Option<CutOff>,
}

/// The part that was cut off a ledger.
#[derive(Debug)]
pub struct CutOff {
    /// The damage in it; `None` for a torn write.
    pub damage: Option<Error>,
    /// The number of bytes.
    pub bytes: usize,
    /// The number of records, sound or not, that can be recognised in it.
    pub lost: u64,
    /// The file that it was saved to.
    pub kept_in: PathBuf,
}

/// Cuts the ledger of a run after its last sound record and keeps what it cuts in a file beside; a sound ledger stays as it is.
///
/// # Errors
/// [`onward::ErrorKind::Locked`] if another process works on the run, [`onward::ErrorKind::Io`], or as for
/// [`ledger::salvage`] if there is not even a sound header.
pub fn repair(folder: &Folder) -> Result<Repaired> {
    let path = folder.ledger();
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.map_err(|e| Error::io("open", &path, e))?;
    ledger::lock(&file, folder.path())?;
    let (reading, damage) = folder.salvage()?;
    let steps = reading.records.len();
    if reading.torn == 0 {
        return Ok(Repaired { steps, cut: None });
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let cut = &bytes[reading.sound as usize..];
    let kept_in = folder.aside("ledger-cut", "bin", cut)?;
    file.set_len(reading.sound).map_err(|e| Error::io("cut", &path, e))?;
    file.sync_all().map_err(|e| Error::io("sync", &path, e))?;
    let (bytes, lost) = (cut.len(), ledger::recognised(cut));
    Ok(Repaired { steps, cut: Some(CutOff { damage, bytes, lost, kept_in }) })
}
