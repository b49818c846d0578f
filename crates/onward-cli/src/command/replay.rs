//! `replay`.

use super::origin::FromSpec;
use crate::args::Replay;
use crate::folder::{Folder, Snapshot};
use crate::progress::Voice;
use crate::target::Target;
use onward::train::hex;
use onward::words::counted;
use onward::{Error, ErrorKind, Result};
use onward_run::follow::StartFrom;
use onward_run::replay as again;
use serde_json::json;

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
    let start = StartFrom::Snapshot(&stepped_over);
    let mut origin = FromSpec::new(folder.path(), &args.moved, &args.how);
    let again::Replayed { params, from, .. } =
        again::replay(&folder, &reading, start, args.how.threads(), &mut origin, &mut |_| Ok(()))?;
    if let Some(out) = &out {
        out.write(
            &params.to_safetensors(&[], &[("format", "pt".into()), ("onward.steps", to.to_string())])?,
        )?;
    }
    if out == Some(Target::StandardOutput) {
        // Words after the file's last byte would spoil it.
        return Ok(());
    }
    let (found, start) = (hex(&params.digest()), from.to_string());
    let event = json!({"event": "replayed", "steps": to, "from": start, "digest": found});
    voice.say(&format!("{found}  after {}, {start}", counted(to, "step")), &event);
    Ok(())
}
