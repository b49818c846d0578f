//! `replay`, and what it shares with `verify`.

use super::resume::{Each, Start, base, follow};
use crate::args::{How, Moved, Replay};
use crate::folder::{Folder, Snapshot};
use crate::progress::Voice;
use crate::target::Target;
use onward::evaluate::Local;
use onward::ledger::{Header, Reading, State};
use onward::params::{Init, Params, TensorSpec};
use onward::train::hex;
use onward::{Error, ErrorKind, Result};
use serde_json::json;

/// What a replay started from.
pub(super) enum From {
    Base,
    Snapshot(u64),
}

/// `onward replay`.
pub fn replay(args: &Replay) -> Result<()> {
    let folder = Folder::read_only(&args.run)?;
    let out = args.out.as_deref().map(Target::of).transpose()?;
    let mut reading = folder.reading()?;
    let steps = reading.records.len() as u64;
    let to = args.to.unwrap_or(steps);
    if to > steps {
        let expected = format!("a step up to {steps}, where the ledger ends");
        return Err(Error::expected(ErrorKind::Ledger, "--to", expected, to));
    }
    reading.records.truncate(to as usize);
    let voice = Voice::new(&args.how);
    let stepped_over = |_: &Snapshot, why: &Error| {
        voice.warn(&format!("{why}; stepped over"));
        Ok(())
    };
    let start = Start::Snapshot(&stepped_over);
    let (params, from) = rebuild(&folder, &reading, start, &args.moved, &args.how, &mut |_| Ok(()))?;
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
    voice.say(&format!("{found}  after {to} steps, {start}"), &event);
    Ok(())
}

pub(super) fn describe(from: &From) -> String {
    match from {
        From::Base => "from the base params".into(),
        From::Snapshot(step) => format!("from the snapshot at step {step}"),
    }
}

/// Names and shapes of the header's tensors; how they begin is in the base params.
pub(super) fn specs(header: &Header) -> Vec<TensorSpec> {
    let shape = |s: &[u64]| s.iter().map(|n| *n as usize).collect();
    let tensors = header.tensors.iter();
    tensors
        .map(|t| TensorSpec { name: t.name.clone(), shape: shape(&t.shape), init: Init::Constant(0.0) })
        .collect()
}

/// The params that the ledger's records lead to; `each` sees the states on the way, as far as they are worked out.
pub(super) fn rebuild(
    folder: &Folder,
    reading: &Reading,
    start: Start<'_>,
    moved: &Moved,
    how: &How,
    each: &mut Each<'_>,
) -> Result<(Params, From)> {
    let header = &reading.header;
    let base = base(folder, header, Params::read(&folder.base(), &specs(header)))?;
    if header.is_complete() {
        return Ok((from_ledger_alone(folder, reading, base, how, each)?, From::Base));
    }
    let spec = folder.spec_of(header)?;
    let (trainer, _, from) = follow(folder, &spec, reading, start, moved, how, each)?;
    Ok((trainer.state().params().clone(), from.map_or(From::Base, From::Snapshot)))
}

/// Weight space and searches: base params and ledger are all that is needed.
fn from_ledger_alone(
    folder: &Folder,
    reading: &Reading,
    base: Params,
    how: &How,
    each: &mut Each<'_>,
) -> Result<Params> {
    let mut state = State::of(&reading.header, base)?;
    Local::on_threads(how.threads(), || {
        for record in &reading.records {
            let entry = record.entry().ok_or_else(|| {
                Error::expected(
                    ErrorKind::Damage,
                    format!("step {}", record.step),
                    "a complete entry",
                    "one to run again",
                )
            });
            entry.and_then(|e| state.apply(&e)).map_err(|e| e.in_file(&folder.ledger()))?;
            each(&state)?;
        }
        Ok(())
    })??;
    Ok(state.params().clone())
}
