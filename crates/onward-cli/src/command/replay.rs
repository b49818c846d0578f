//! `replay` and `verify`.

use super::train::follow;
use crate::args::{How, Replay, Verify};
use crate::folder::Folder;
use crate::progress::Voice;
use crate::spec::Spec;
use crate::target::Target;
use crate::{build, data};
use onward::evaluate::Local;
use onward::ledger::{Header, Reading, State, read};
use onward::params::{Init, Params, TensorSpec};
use onward::train::hex;
use onward::{Error, ErrorKind, Result};
use serde_json::json;

/// What a replay started from.
enum From {
    Base,
    Snapshot(u64),
}

/// `onward replay`.
pub fn replay(args: &Replay) -> Result<()> {
    let folder = Folder::read_only(&args.run)?;
    let out = args.out.as_deref().map(Target::of).transpose()?;
    let mut reading = ledger(&folder)?;
    let steps = reading.records.len() as u64;
    let to = args.to.unwrap_or(steps);
    if to > steps {
        let expected = format!("a step up to {steps}, where the ledger ends");
        return Err(Error::expected(ErrorKind::Ledger, "--to", expected, to));
    }
    reading.records.truncate(to as usize);
    let (params, from) = rebuild(&folder, &reading, Start::Snapshot, &args.how)?;
    if let Some(out) = &out {
        out.write(
            &params.to_safetensors(&[], &[("format", "pt".into()), ("onward.steps", to.to_string())])?,
        )?;
    }
    if out == Some(Target::StandardOutput) {
        // Words after the file's last byte would spoil it.
        return Ok(());
    }
    let (found, start) = (hex(&params.digest()), describe(&from));
    let event = json!({"event": "replayed", "steps": to, "from": start, "digest": found});
    Voice::new(&args.how).say(&format!("{found}  after {to} steps, {start}"), &event);
    Ok(())
}

/// `onward verify`.
pub fn verify(args: &Verify) -> Result<()> {
    let folder = Folder::read_only(&args.run)?;
    let reading = ledger(&folder)?;
    base(&folder, &reading.header)?;
    let start = if args.from_start { Start::Base } else { Start::Snapshot };
    let (params, from) = rebuild(&folder, &reading, start, &args.how)?;
    let steps = reading.records.len();
    let found = hex(&params.digest());
    let mut sound = format!("ledger.bin: {} records, chain and checksums sound", steps + 1);
    if reading.torn > 0 {
        sound += &format!("; {} bytes of a torn write at the end", reading.torn);
    }
    let model = if folder.model().is_file() {
        let (saved, _) = Params::read(&folder.model(), &specs(&reading.header))?;
        let saved = hex(&saved.digest());
        if saved != found {
            return Err(Error::expected(
                ErrorKind::Model,
                folder.model().display(),
                format!("digest {found} (replayed)"),
                saved,
            ));
        }
        "model.safetensors: its digest is the replay's"
    } else {
        "no model.safetensors yet: the run is not finished"
    };
    let words = format!("{sound}\nreplay: {steps} steps, {}: {found}\n{model}", describe(&from));
    let event = json!({"event": "verified", "steps": steps, "torn": reading.torn, "from": describe(&from), "digest": found,
        "model": folder.model().is_file()});
    Voice::new(&args.how).say(&words, &event);
    Ok(())
}

fn describe(from: &From) -> String {
    match from {
        From::Base => "from the base params".into(),
        From::Snapshot(step) => format!("from the snapshot at step {step}"),
    }
}

pub(super) fn ledger(folder: &Folder) -> Result<Reading> {
    let path = folder.ledger();
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    read(&bytes).map_err(|e| e.in_file(&path))
}

/// Names and shapes of the header's tensors; how they begin is in the base params.
fn specs(header: &Header) -> Vec<TensorSpec> {
    let shape = |s: &[u64]| s.iter().map(|n| *n as usize).collect();
    let tensors = header.tensors.iter();
    tensors
        .map(|t| TensorSpec { name: t.name.clone(), shape: shape(&t.shape), init: Init::Constant(0.0) })
        .collect()
}

/// Where activation-space runs are run again from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Base,
    Snapshot,
}

/// The params that the ledger's records lead to.
fn rebuild(folder: &Folder, reading: &Reading, start: Start, how: &How) -> Result<(Params, From)> {
    if reading.header.is_complete() {
        return Ok((from_ledger_alone(folder, reading, how)?, From::Base));
    }
    let spec = Spec::load(&folder.spec(), &[], None)?;
    let split = data::load(&build::data_options(&spec))?;
    let (trainer, from) = follow(folder, &spec, &split, reading, start == Start::Base, how)?;
    Ok((trainer.state().params().clone(), from.map_or(From::Base, From::Snapshot)))
}

/// The base params, as the header has them.
fn base(folder: &Folder, header: &Header) -> Result<Params> {
    let (base, _) = Params::read(&folder.base(), &specs(header))?;
    if base.digest() != header.base {
        let expected = format!("digest {}", hex(&header.base));
        return Err(Error::expected(
            ErrorKind::Model,
            folder.base().display(),
            expected,
            hex(&base.digest()),
        ));
    }
    Ok(base)
}

/// Weight space and searches: base params and ledger are all that is needed.
fn from_ledger_alone(folder: &Folder, reading: &Reading, how: &How) -> Result<Params> {
    let base = base(folder, &reading.header)?;
    let mut state = State::of(&reading.header, base)?;
    Local::on_threads(how.threads(), || {
        for record in &reading.records {
            let entry = record.entry().ok_or_else(|| {
                Error::expected(
                    ErrorKind::Ledger,
                    format!("step {}", record.step),
                    "a complete entry",
                    "one to run again",
                )
            });
            entry.and_then(|e| state.apply(&e)).map_err(|e| e.in_file(&folder.ledger()))?;
        }
        Ok(())
    })??;
    Ok(state.params().clone())
}
