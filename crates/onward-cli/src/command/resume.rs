//! `resume`, and `train --resume`: going on with a run that is there.

use super::train::Run;
use crate::args::{How, Moved, Resume};
use crate::data::{self, DataOptions, Split};
use crate::folder::{Folder, Interface, Snapshot};
use crate::progress::Voice;
use crate::report::Point;
use crate::spec::Spec;
use crate::{build, metrics};
use onward::evaluate::Evaluator;
use onward::ledger::{Header, Ledger, Reading, State};
use onward::noise::RunKey;
use onward::params::{Params, Tensor};
use onward::train::{Trainer, hex};
use onward::{Error, ErrorKind, Result, file};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `onward resume`.
pub fn resume(args: &Resume) -> Result<ExitCode> {
    let folder = Folder::open(&args.run)?;
    let spec = |folder: &Folder, header: &Header, _| folder.spec_of(header);
    go_on(folder, spec, &args.moved, &args.how)
}

/// Goes on with the run in `existing` if it is that of `spec`, which `file` has.
pub(super) fn same_or_refuse(existing: &Path, spec: &Spec, file: &Path, how: &How) -> Result<ExitCode> {
    let same = |folder: &Folder, header: &Header, voice: Voice| match folder.spec_of(header) {
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

/// The spec's data options with the paths where the data are now.
fn options(spec: &Spec, moved: &Moved) -> Result<DataOptions> {
    let mut options = build::data_options(spec);
    options.path = moved.data.clone().unwrap_or(options.path);
    match (&moved.test_data, &mut options.test_path) {
        (Some(now), Some(path)) => path.clone_from(now),
        (Some(_), None) => {
            let expected = "a spec with data.test_path";
            return Err(Error::expected(ErrorKind::Spec, "--test-data", expected, "none"));
        }
        (None, _) => {}
    }
    Ok(options)
}

fn load(options: &DataOptions) -> Result<Split> {
    data::load(options).map_err(|e| match e.kind() {
        ErrorKind::Io => {
            Error::new(e.kind(), format!("{e} (if data have moved: --data PATH, --test-data PATH)"))
        }
        _ => e,
    })
}

/// Checks that a ledger belongs to these data, the training and the test rows of which came from `paths`.
fn same_run(header: &Header, expected: &Header, folder: &Folder, paths: [&PathBuf; 2]) -> Result<()> {
    let same = |place: &Path, what: &str, began: &[u8; 32], now: &[u8; 32]| {
        if began == now {
            return Ok(());
        }
        let began = format!("{what} with digest {}", &hex(began)[..16]);
        // Earlier versions, whose headers know no test rows, centred and scaled in single precision.
        let otherwise =
            if header.test.is_none() { ", or centred otherwise by the version that began it" } else { "" };
        let now = format!("{} (changed since the run began{otherwise})", &hex(now)[..16]);
        Err(Error::expected(ErrorKind::Ledger, place.display(), began, now))
    };
    same(paths[0], "training data", &header.data, &expected.data)?;
    if let (Some(began), Some(now)) = (&header.test, &expected.test) {
        same(paths[1], "test data", began, now)?;
    }
    same(folder.path(), "base params", &header.base, &expected.base)?;
    if *header != expected.as_far_as(header) {
        let expected = "the header that the spec leads to";
        return Err(Error::expected(ErrorKind::Ledger, folder.path().display(), expected, "another one"));
    }
    Ok(())
}

/// Where steps are taken again from that need the data.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    Base,
    /// The newest snapshot that is sound and one of the ledger's states; and what to do with those that are neither.
    Snapshot(&'a dyn Fn(&Snapshot, &Error) -> Result<()>),
}

/// What sees the states on the way, as far as they are worked out.
pub(super) type Each<'a> = dyn FnMut(&State) -> Result<()> + Send + 'a;

/// Brings `trainer` to the end of the ledger; says from which snapshot, if from any.
fn catch_up(
    folder: &Folder,
    trainer: &mut Trainer,
    reading: &Reading,
    start: Start<'_>,
    each: &mut Each<'_>,
) -> Result<Option<u64>> {
    let Reading { records, chains, .. } = reading;
    let mut from = None;
    if let Start::Snapshot(unusable) = start {
        for snapshot in folder.snapshots().iter().rev().filter(|s| s.step <= records.len() as u64) {
            let restored = snapshot.read().and_then(|bytes| {
                trainer.restore(&bytes, records, chains).map_err(|e| e.in_file(&snapshot.path))
            });
            match restored {
                Ok(()) => {
                    from = Some(trainer.state().step());
                    break;
                }
                Err(e) => unusable(snapshot, &e)?,
            }
        }
    }
    for record in &records[trainer.state().step() as usize..] {
        trainer.retake(record).map_err(|e| e.in_file(&folder.ledger()))?;
        each(trainer.state())?;
    }
    Ok(from)
}

/// The run that `reading` tells of, at its end, with its data, and the snapshot that it was brought there from, if from any.
pub(super) fn follow(
    folder: &Folder,
    spec: &Spec,
    reading: &Reading,
    start: Start<'_>,
    moved: &Moved,
    how: &How,
    each: &mut Each<'_>,
) -> Result<(Trainer, Split, Option<u64>)> {
    let (options, header) = (options(spec, moved)?, &reading.header);
    let split = load(&options)?;
    let paths = [&options.path, options.test_path.as_ref().unwrap_or(&options.path)];
    let possible = build::possible(spec, header);
    let mut first = None;
    for begun in &possible {
        let mut trainer = build::trainer(spec, &split, how.threads(), Some(begun))
            .map_err(|e| e.in_file(&folder.spec()))?;
        let (test, interface) = (Some(split.test.digest()), header.interface);
        let expected = Header { test, interface, ..trainer.header(header.spec) };
        same_run(header, &expected, folder, paths)?;
        Voice::new(how).say_emulation(trainer.evaluator().precision());
        match catch_up(folder, &mut trainer, reading, start, each) {
            Ok(from) => return Ok((trainer, split, from)),
            Err(error) => _ = first.get_or_insert(error),
        }
    }
    let error = first.unwrap_or_else(|| Error::new(ErrorKind::Ledger, "no arithmetic is possible"));
    if possible.len() == 1 {
        return Err(error);
    }
    let words =
        format!("{error} (nor do the steps fit to any other kind of bf16 products; the ledger tells none)");
    Err(Error::new(error.kind(), words))
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
    let (trainer, split, from) = follow(&folder, &spec, &reading, start, moved, how, &mut |_| Ok(()))?;
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
    if let Err(damage) = folder.interface(header) {
        let interface = Interface::of(split).to_json()?;
        if header.interface.is_some_and(|digest| digest != *blake3::hash(&interface).as_bytes()) {
            return Err(damage);
        }
        file::write(&folder.interface_file(), &interface)?;
        say_written(voice, &damage);
    }
    let model = trainer.evaluator().model().tensors();
    if let Err(damage) = base(folder, header, Params::read(&folder.base(), &model)) {
        let base = Params::init(&model, &RunKey::from_seed(header.seed)).stored_as(header.recipe.storage);
        file::write(&folder.base(), &base.to_safetensors(&[], &[])?)?;
        say_written(voice, &damage);
    }
    Ok(())
}

/// The base params as they were read, if they are those of the header.
pub(super) fn base(folder: &Folder, header: &Header, read: Result<(Params, Vec<Tensor>)>) -> Result<Params> {
    let place = folder.base();
    let (base, rest) = read.map_err(|e| Error::new(ErrorKind::Damage, e.to_string()))?;
    let (expected, found) = (hex(&header.base), hex(&base.digest()));
    if expected != found {
        return Err(Error::expected(ErrorKind::Damage, place.display(), format!("digest {expected}"), found));
    }
    match rest.first() {
        None => Ok(base),
        Some(more) => {
            let found = format!("also a tensor {}", more.name);
            Err(Error::expected(ErrorKind::Damage, place.display(), "the base params alone", found))
        }
    }
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
