//! Every file of a run against its ledger, and the ledger against itself.

use crate::folder::{Folder, MODEL, Snapshot};
use crate::follow::{Origin, StartFrom, base, check_header, specs};
use crate::limits::best;
use crate::manifest::Manifest;
use crate::metrics::{self, Metrics};
use crate::replay::{From, replay};
use onward::ledger::{Numerics, Reading, State, Update};
use onward::params::Params;
use onward::train::hex;
use onward::{Error, ErrorKind, Hint, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The result of a successful verification.
#[derive(Debug)]
pub struct Verified {
    /// The number of steps in the ledger.
    pub steps: usize,
    /// The bytes that a torn write left after the last step.
    pub torn: u64,
    /// How far the verification goes.
    pub promise: Promise,
    /// The state that the replay started from; `None` where steps could not be repeated.
    pub from: Option<From>,
    /// The digest of the params that the ledger leads to after its last step, or after `best`, where it is known.
    pub digest: Option<String>,
    /// The run's end, according to its files.
    pub outcome: Verdict,
    /// The step whose params the model has, where that is the best one by the validation rows and not the last.
    pub best: Option<u64>,
}

/// How far a verification goes: what the numerics in the ledger's header allow. Files, checksums and chain were checked in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The params follow from base params and ledger alone, to the bit. How the losses in it were found was not looked at.
    Params,
    /// Each step from where the replay started was taken again from the data and led to the loss and the digest in its record, to the bit.
    Steps {
        /// By other instructions than it was first taken by: slowly.
        emulated: bool,
    },
    /// No step was taken again: only the device that took them could, and not with the same bits for certain.
    Files {
        /// The device.
        device: String,
    },
}

/// The end of a run, according to its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No model yet: there are steps to take.
    Unfinished,
    /// No model, though all steps are in the ledger.
    WithoutModel,
    /// The model, and no manifest that binds it.
    Unbound,
    /// The model, and so many files as the manifest has them.
    Bound(usize),
}

impl Promise {
    /// One word for programs: `params`, `steps` or `files`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Steps { .. } => "steps",
            Self::Files { .. } => "files",
        }
    }

    /// A sentence that says what is promised and what is not.
    pub fn describe(&self) -> String {
        match self {
            Self::Params => "the params follow from base params and ledger, to the bit; the losses in it were not evaluated again".into(),
            Self::Steps { emulated: false } => "each step was taken again from the data, to the same bits".into(),
            Self::Steps { emulated: true } => {
                "each step was taken again from the data, to the same bits, by emulating the arithmetic of the machine that took it".into()
            }
            Self::Files { device } => format!(
                "files, checksums and chain are sound; the steps are those of the device {device}, whose numbers this machine cannot give \
                 again: that they lead to these params is not known"
            ),
        }
    }
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
    origin: &mut dyn Origin,
) -> Result<Verified> {
    // A run that goes on meanwhile has each snapshot's step in its ledger first.
    let listed = folder.snapshots();
    let reading = folder.reading()?;
    folder.check_spec(&reading.header)?;
    folder.interface(&reading.header)?;
    let states = states(folder, &reading, listed)?;
    let found = metrics::read(&folder.metrics())?;
    let best = best_of(folder, &reading, &found)?;
    if let Some(damage) = found.damage.into_iter().next() {
        return Err(damage.hint(Hint::Aside(folder.way_out(&folder.metrics()))));
    }
    let refuse = |_: &Snapshot, why: &Error| Err(Error::new(why.kind(), why.to_string()));
    let start = if from_start { StartFrom::Base } else { StartFrom::Snapshot(&refuse) };
    let digest_of = |state: &State| hex(&state.params().digest());
    // A snapshot that the replay starts behind stands for itself: its hash is in its name.
    let mut digest_of_best = best.and_then(|best| states.get(&best)).map(|(_, state)| digest_of(state));
    let mut same = |state: &State| {
        if best == Some(state.step()) {
            digest_of_best = Some(digest_of(state));
        }
        match states.get(&state.step()) {
            Some((path, kept)) if kept != state => {
                let expected = format!("the state that the ledger leads to after step {}", state.step());
                Err(Error::expected(ErrorKind::Damage, path.display(), expected, "another"))
            }
            _ => Ok(()),
        }
    };
    let (promise, from, digest) = match &reading.header.numerics {
        Some(Numerics::Device(device)) if !reading.header.is_complete() => {
            check_header(&reading.header, folder)?;
            (Promise::Files { device: device.clone() }, None, recorded(&reading))
        }
        _ => {
            let found = replay(folder, &reading, start, threads, origin, &mut same)?;
            let retaken = Promise::Steps { emulated: found.emulated };
            let promise = if reading.header.is_complete() { Promise::Params } else { retaken };
            (promise, Some(found.from), Some(hex(&found.params.digest())))
        }
    };
    let of_model = if best.is_some() { digest_of_best } else { digest };
    let outcome = outcome(folder, &reading, of_model.as_deref())?;
    let (steps, torn) = (reading.records.len(), reading.torn);
    Ok(Verified { steps, torn, promise, from, digest: of_model, outcome, best })
}

/// The step whose params the model is to have, if not the last.
fn best_of(folder: &Folder, reading: &Reading, metrics: &Metrics) -> Result<Option<u64>> {
    match Manifest::read(folder, &reading.chains[0])? {
        Some(manifest) => Ok(manifest.best),
        None => {
            let best = best(&metrics.points()).map(|(step, _)| step);
            Ok(best.filter(|step| folder.model().is_file() && *step != reading.records.len() as u64))
        }
    }
}

/// The digest of the params after the last step, if the ledger has it.
fn recorded(reading: &Reading) -> Option<String> {
    match &reading.records.last()?.update {
        Update::Rerun { digest } => digest.map(|digest| hex(&digest)),
        _ => None,
    }
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

/// What the files say that a run ends with; `digest` is that of the params which the ledger leads to, if that is known.
fn outcome(folder: &Folder, reading: &Reading, digest: Option<&str>) -> Result<Verdict> {
    let steps = reading.records.len() as u64;
    let manifest = Manifest::read(folder, &reading.chains[0])?;
    if let Some(manifest) = &manifest {
        manifest.check_ledger(folder, steps, &reading.chain())?;
    }
    let files = manifest.map(|manifest| manifest.check_files(folder)).transpose()?;
    if !folder.model().is_file() {
        let finished = steps >= reading.budget();
        return Ok(if finished { Verdict::WithoutModel } else { Verdict::Unfinished });
    }
    let read = Params::map(&folder.model(), &specs(&reading.header));
    let (saved, _) = read.map_err(|e| Error::new(ErrorKind::Damage, e.to_string()))?;
    let saved = hex(&saved.digest());
    if let Some(digest) = digest.filter(|digest| *digest != saved) {
        let (place, expected) = (folder.model(), format!("digest {digest} (replayed)"));
        return Err(Error::expected(ErrorKind::Damage, place.display(), expected, saved));
    }
    Ok(files.map_or(Verdict::Unbound, Verdict::Bound))
}

impl Verified {
    /// One or two sentences on the end of the run in `folder`, according to its files.
    pub fn describe(&self, folder: &Folder) -> String {
        let (path, steps) = (folder.path().display(), self.steps);
        let of = self
            .best
            .map_or_else(String::new, |best| format!(", of step {best}, the best by the validation rows"));
        let model = match (&self.digest, &self.promise) {
            (None, _) => format!("{MODEL}: not compared, as the ledger has no digest after its last step"),
            (_, Promise::Files { .. }) => format!("{MODEL}: its digest is that in the ledger's last record"),
            _ => format!("{MODEL}: its digest is the replay's{of}"),
        };
        match self.outcome {
            Verdict::Unfinished => match folder.why_diverged() {
                Some(why) => format!("no {MODEL}: the run {why}"),
                None => format!("no {MODEL} yet: the run is not finished"),
            },
            Verdict::WithoutModel => format!(
                "{MODEL} is missing: all {steps} steps are in the ledger, `onward resume {path}` writes it"
            ),
            Verdict::Unbound => {
                format!("{model}\nno manifest.json yet, which binds it: `onward resume {path}` writes it")
            }
            Verdict::Bound(files) => format!("{model}\nmanifest.json: {files} files as the run left them"),
        }
    }
}
