//! Every file of a run against its ledger, and the ledger against itself.

use crate::folder::{Folder, MODEL, Snapshot};
use crate::follow::{Source, Start, base, specs};
use crate::manifest::Manifest;
use crate::metrics;
use crate::replay::{From, replay};
use onward::ledger::{Reading, State};
use onward::params::Params;
use onward::train::hex;
use onward::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What was found to be sound.
#[derive(Debug)]
pub struct Verified {
    /// Steps in the ledger.
    pub steps: usize,
    /// Bytes that a torn write left after them.
    pub torn: u64,
    /// What the replay started from.
    pub from: From,
    /// Digest of the params that it led to.
    pub digest: String,
    /// What the files say that the run ends with.
    pub outcome: Outcome,
}

/// What a run's files say that it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No model yet: there are steps to take.
    Unfinished,
    /// No model, though all steps are in the ledger.
    WithoutModel,
    /// The model that the ledger leads to, and no manifest that binds it.
    Unbound,
    /// The model, and so many files as the manifest has them.
    Bound(usize),
}

/// Checks every file of a run. Steps that need the data are taken again from the last snapshot, or with `from_start` from the
/// base params; on so many threads where no data are needed.
///
/// # Errors
/// [`ErrorKind::Damage`] naming the file that is not what the run wrote; otherwise as for [`replay`].
pub fn verify(
    folder: &Folder,
    from_start: bool,
    threads: usize,
    source: &mut dyn Source,
) -> Result<Verified> {
    // A run that goes on meanwhile has each snapshot's step in its ledger first.
    let listed = folder.snapshots();
    let reading = folder.reading()?;
    folder.check_spec(&reading.header)?;
    folder.interface(&reading.header)?;
    let states = states(folder, &reading, listed)?;
    if let Some(damage) = metrics::read(&folder.metrics())?.damage.into_iter().next() {
        return Err(damage);
    }
    let refuse = |_: &Snapshot, why: &Error| Err(Error::new(why.kind(), why.to_string()));
    let start = if from_start { Start::Base } else { Start::Snapshot(&refuse) };
    let mut same = |state: &State| match states.get(&state.step()) {
        Some((path, kept)) if kept != state => {
            let expected = format!("the state that the ledger leads to after step {}", state.step());
            Err(Error::expected(ErrorKind::Damage, path.display(), expected, "another"))
        }
        _ => Ok(()),
    };
    let (params, from) = replay(folder, &reading, start, threads, source, &mut same)?;
    let digest = hex(&params.digest());
    let outcome = outcome(folder, &reading, &digest)?;
    Ok(Verified { steps: reading.records.len(), torn: reading.torn, from, digest, outcome })
}

/// The states that snapshots hold, by their steps.
fn states(
    folder: &Folder,
    reading: &Reading,
    listed: Vec<Snapshot>,
) -> Result<BTreeMap<u64, (PathBuf, State)>> {
    let (header, mut states) = (&reading.header, BTreeMap::new());
    let beginning = State::of(header, base(folder, header)?)?;
    for snapshot in listed.into_iter().filter(|s| s.path.exists()) {
        let mut state = beginning.clone();
        let restored = snapshot
            .read()
            .and_then(|bytes| state.restore(&bytes, &reading.chains).map_err(|e| e.in_file(&snapshot.path)));
        restored.map_err(|e| Error::new(ErrorKind::Damage, e.to_string()))?;
        states.insert(state.step(), (snapshot.path, state));
    }
    Ok(states)
}

/// What the files say that a run ends with; `digest` is that of the params which the ledger leads to.
fn outcome(folder: &Folder, reading: &Reading, digest: &str) -> Result<Outcome> {
    let steps = reading.records.len() as u64;
    let manifest = Manifest::read(folder, &reading.chains[0])?;
    if let Some(manifest) = &manifest {
        manifest.check_ledger(folder, steps, &reading.chain())?;
    }
    let files = manifest.map(|manifest| manifest.check_files(folder)).transpose()?;
    if !folder.model().is_file() {
        let finished = steps >= reading.budget();
        return Ok(if finished { Outcome::WithoutModel } else { Outcome::Unfinished });
    }
    let read = Params::read(&folder.model(), &specs(&reading.header));
    let (saved, _) = read.map_err(|e| Error::new(ErrorKind::Damage, e.to_string()))?;
    let saved = hex(&saved.digest());
    if saved != digest {
        let (place, expected) = (folder.model(), format!("digest {digest} (replayed)"));
        return Err(Error::expected(ErrorKind::Damage, place.display(), expected, saved));
    }
    Ok(files.map_or(Outcome::Unbound, Outcome::Bound))
}

impl Outcome {
    /// What that means for the run in `folder`, in a sentence or two.
    pub fn describe(self, folder: &Folder, steps: usize) -> String {
        let path = folder.path().display();
        match self {
            Self::Unfinished => format!("no {MODEL} yet: the run is not finished"),
            Self::WithoutModel => format!(
                "{MODEL} is missing: all {steps} steps are in the ledger, `onward resume {path}` writes it"
            ),
            Self::Unbound => format!(
                "{MODEL}: its digest is the replay's\nno manifest.json yet, which binds it: `onward resume {path}` writes it"
            ),
            Self::Bound(files) => format!(
                "{MODEL}: its digest is the replay's\nmanifest.json: {files} files as the run left them"
            ),
        }
    }
}
