//! `resume`, and `train --resume`: going on with a run that is there.

use super::source::{FromSpec, spec_of};
use super::train::Run;
use crate::args::{How, Moved, Resume};
use crate::data::Split;
use crate::folder::{Folder, Snapshot};
use crate::interface::Interface;
use crate::metrics;
use crate::progress::Voice;
use crate::report::Point;
use crate::spec::Spec;
use onward::evaluate::Evaluator;
use onward::ledger::{Header, Ledger};
use onward::noise::RunKey;
use onward::params::Params;
use onward::train::Trainer;
use onward::{Error, ErrorKind, Result, file};
use onward_run::follow::{Start, base, follow};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// `onward resume`.
pub fn resume(args: &Resume) -> Result<ExitCode> {
    let folder = Folder::open(&args.run)?;
    let spec = |folder: &Folder, header: &Header, _| spec_of(folder, header);
    go_on(folder, spec, &args.moved, &args.how)
}

/// Goes on with the run in `existing` if it is that of `spec`, which `file` has.
pub(super) fn same_or_refuse(existing: &Path, spec: &Spec, file: &Path, how: &How) -> Result<ExitCode> {
    let same = |folder: &Folder, header: &Header, voice: Voice| match spec_of(folder, header) {
        Ok(kept) => {
            same_spec(&kept.to_toml(), &spec.to_toml(), &folder.spec()).map_err(|e| e.in_file(file))?;
            Ok(kept)
        }
        Err(damage) if *blake3::hash(spec.to_toml().as_bytes()).as_bytes() == header.spec => {
            file::write(&folder.spec(), spec.to_toml().as_bytes())?;
            say_written(voice, &damage);
            Ok(spec.clone())
        }
        Err(damage) => Err(damage),
    };
    go_on(Folder::open(existing)?, same, &Moved::default(), how)
}

fn say_written(voice: Voice, damage: &Error) {
    let why = damage.to_string();
    voice.say(&format!("{why}; written again"), &json!({"event": "written again", "why": why}));
}

/// An error naming the first line in which the spec as run, kept in `file`, and the present one differ.
fn same_spec(kept: &str, now: &str, file: &Path) -> Result<()> {
    let (mut kept, mut now) = (kept.lines(), now.lines());
    for number in 1u32.. {
        let (expected, found) = (kept.next(), now.next());
        if expected != found {
            let place = format!("changed since the run began, line {number} of {}", file.display());
            let line =
                |line: Option<&str>| line.map_or_else(|| "no such line".into(), |line| format!("`{line}`"));
            return Err(Error::expected(ErrorKind::Spec, place, line(expected), line(found)));
        }
        if expected.is_none() {
            break;
        }
    }
    Ok(())
}

fn go_on(
    folder: Folder,
    spec: impl FnOnce(&Folder, &Header, Voice) -> Result<Spec>,
    moved: &Moved,
    how: &How,
) -> Result<ExitCode> {
    let voice = Voice::new(how);
    let opened = Ledger::open(&folder.ledger());
    // With the way out, if it is damaged.
    let (ledger, reading) = opened.map_err(|e| folder.reading().err().unwrap_or(e))?;
    let steps = reading.records.len();
    if reading.torn > 0 {
        let words = format!("ledger.bin: cut {} bytes of a torn write after step {steps}", reading.torn);
        voice.say(&words, &json!({"event": "torn", "bytes": reading.torn, "step": steps}));
    }
    let spec = spec(&folder, &reading.header, voice)?;
    let unusable = |snapshot: &Snapshot, why: &Error| remove(snapshot, why, voice);
    let start = Start::Snapshot(&unusable);
    let mut source = FromSpec::new(&folder, moved, how);
    source.spec = Some(spec.clone());
    let (trainer, from) = follow(&folder, &reading, start, &mut source, &mut |_| Ok(()))?;
    let Some(split) = source.split else { return Err(Error::new(ErrorKind::Data, "no data")) };
    write_again(&folder, &reading.header, &trainer, &split, voice)?;
    for other in folder.snapshots() {
        let mut state = trainer.state().clone();
        let sound = other
            .read()
            .and_then(|bytes| state.restore(&bytes, &reading.chains).map_err(|e| e.in_file(&other.path)));
        sound.or_else(|why| remove(&other, &why, voice))?;
    }
    let words = format!("{}: going on after step {steps}", folder.path().display());
    voice.say(&words, &json!({"event": "resumed", "step": steps, "snapshot": from}));
    let points = sound_points(&folder, steps as u64, voice)?;
    let begun = reading.chains[0];
    Run::new(folder, spec, trainer, split, ledger, begun, how)?.finish(points, &reading.records)
}

/// Removes a snapshot that cannot be used: ledger and base, or an older snapshot, lead to the same state.
fn remove(snapshot: &Snapshot, why: &Error, voice: Voice) -> Result<()> {
    let event = json!({"event": "snapshot removed", "why": why.to_string()});
    voice.say(&format!("{why}; stepped over and removed"), &event);
    std::fs::remove_file(&snapshot.path).map_err(|e| Error::io("remove", &snapshot.path, e))
}

/// Writes what the run began with and can be computed again, where it is missing or damaged.
fn write_again(
    folder: &Folder,
    header: &Header,
    trainer: &Trainer,
    split: &Split,
    voice: Voice,
) -> Result<()> {
    if let Err(damage) = Interface::read(folder, header) {
        let interface = Interface::of(split).to_json()?;
        if header.interface.is_some_and(|digest| digest != *blake3::hash(&interface).as_bytes()) {
            return Err(damage);
        }
        file::write(&folder.interface_file(), &interface)?;
        say_written(voice, &damage);
    }
    let model = trainer.evaluator().model().tensors();
    if let Err(damage) = base(folder, header) {
        let base = Params::init(&model, &RunKey::from_seed(header.seed)).stored_as(header.recipe.storage);
        file::write(&folder.base(), &base.to_safetensors(&[], &[])?)?;
        say_written(voice, &damage);
    }
    Ok(())
}

/// The measurements up to `step`, with what is damaged left out of the file; the old file is kept beside it then. From here on
/// the files of the run change, so there is no manifest of them.
fn sound_points(folder: &Folder, step: u64, voice: Voice) -> Result<Vec<Point>> {
    if folder.manifest().exists() {
        std::fs::remove_file(folder.manifest()).map_err(|e| Error::io("remove", &folder.manifest(), e))?;
    }
    let mut found = metrics::read(&folder.metrics())?;
    if !found.damage.is_empty() {
        let aside = folder.aside("metrics-damaged", "jsonl", &found.bytes)?;
        for damage in &found.damage {
            let words = format!("{damage}; left out (the old file is {})", aside.display());
            voice.say(&words, &json!({"event": "metrics left out", "why": damage.to_string(), "old": aside}));
        }
    }
    found.points.retain(|p| p.step <= step);
    let lines = found.points.iter().map(metrics::line).collect::<Result<String>>()?;
    if lines.as_bytes() != found.bytes {
        file::write(&folder.metrics(), lines.as_bytes())?;
    }
    Ok(found.points)
}
