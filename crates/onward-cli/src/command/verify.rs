//! `verify`: every file of a run against the ledger, and the ledger against itself.

use super::replay::{describe, rebuild, specs};
use super::resume::{Start, base};
use crate::args::Verify;
use crate::folder::{Folder, MODEL, Snapshot};
use crate::manifest::Manifest;
use crate::metrics;
use crate::progress::Voice;
use onward::ledger::{Reading, State};
use onward::params::Params;
use onward::train::hex;
use onward::{Error, ErrorKind, Result};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `onward verify`.
pub fn verify(args: &Verify) -> Result<()> {
    let folder = Folder::read_only(&args.run)?;
    // A run that goes on meanwhile has each snapshot's step in its ledger first.
    let listed = folder.snapshots();
    let reading = folder.reading()?;
    let (header, steps) = (&reading.header, reading.records.len());
    folder.check_spec(header)?;
    folder.interface(header)?;
    let states = states(&folder, &reading, listed)?;
    if let Some(damage) = metrics::read(&folder.metrics())?.damage.into_iter().next() {
        return Err(damage);
    }
    let refuse = |_: &Snapshot, why: &Error| Err(Error::new(why.kind(), why.to_string()));
    let start = if args.from_start { Start::Base } else { Start::Snapshot(&refuse) };
    let mut same = |state: &State| match states.get(&state.step()) {
        Some((path, kept)) if kept != state => {
            let expected = format!("the state that the ledger leads to after step {}", state.step());
            Err(Error::expected(ErrorKind::Damage, path.display(), expected, "another"))
        }
        _ => Ok(()),
    };
    let (params, from) = rebuild(&folder, &reading, start, &args.moved, &args.how, &mut same)?;
    let found = hex(&params.digest());
    let outcome = outcome(&folder, &reading, &found)?;
    let mut sound = format!("ledger.bin: {} records, chain and checksums sound", steps + 1);
    if reading.torn > 0 {
        sound += &format!("; {} bytes of a torn write at the end", reading.torn);
    }
    let words = format!("{sound}\nreplay: {steps} steps, {}: {found}\n{outcome}", describe(&from));
    let event = json!({"event": "verified", "steps": steps, "torn": reading.torn, "from": describe(&from), "digest": found,
        "model": folder.model().is_file(), "finished": folder.manifest().is_file()});
    Voice::new(&args.how).say(&words, &event);
    Ok(())
}

/// The states that snapshots hold, by their steps.
fn states(
    folder: &Folder,
    reading: &Reading,
    listed: Vec<Snapshot>,
) -> Result<BTreeMap<u64, (PathBuf, State)>> {
    let (header, mut states) = (&reading.header, BTreeMap::new());
    let read = Params::read(&folder.base(), &specs(header));
    let beginning = State::of(header, base(folder, header, read)?)?;
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
fn outcome(folder: &Folder, reading: &Reading, digest: &str) -> Result<String> {
    let steps = reading.records.len() as u64;
    let manifest = Manifest::read(folder, &reading.chains[0])?;
    if let Some(manifest) = &manifest {
        manifest.check_ledger(folder, steps, &reading.chain())?;
    }
    let files = manifest.map(|manifest| manifest.check_files(folder)).transpose()?;
    let path = folder.path().display();
    if !folder.model().is_file() {
        return Ok(match steps < reading.header.steps {
            true => format!("no {MODEL} yet: the run is not finished"),
            false => format!(
                "{MODEL} is missing: all {steps} steps are in the ledger, `onward resume {path}` writes it"
            ),
        });
    }
    let read = Params::read(&folder.model(), &specs(&reading.header));
    let (saved, _) = read.map_err(|e| Error::new(ErrorKind::Damage, e.to_string()))?;
    let saved = hex(&saved.digest());
    if saved != digest {
        let (place, expected) = (folder.model(), format!("digest {digest} (replayed)"));
        return Err(Error::expected(ErrorKind::Damage, place.display(), expected, saved));
    }
    let files = match files {
        Some(files) => format!("manifest.json: {files} files as the run left them"),
        None => format!("no manifest.json yet, which binds it: `onward resume {path}` writes it"),
    };
    Ok(format!("{MODEL}: its digest is the replay's\n{files}"))
}
