//! `verify`: every file of a run against the ledger, and the ledger against itself.

use super::minimize;
use super::origin::FromSpec;
use super::told_of;
use crate::args::Verify;
use crate::folder::Folder;
use crate::progress::Voice;
use onward::Result;
use onward::words::counted;
use onward_run::verify::{self as check, Promise};
use serde_json::json;
use std::process::ExitCode;

/// What the process ends with where nothing is wrong, and yet not everything could be checked here.
const NOT_ALL: u8 = 5;

/// `onward verify`.
pub fn verify(args: &Verify) -> Result<ExitCode> {
    if minimize::is_study(&args.run) {
        return minimize::verify(args);
    }
    let folder = Folder::read_only(&args.run)?;
    let mut origin = FromSpec::new(folder.path(), &args.moved, &args.how);
    let found = check::verify(&folder, args.from_start, args.how.threads(), &mut origin)?;
    let (steps, promise, digest) = (found.steps, &found.promise, &found.digest);
    let mut lines = vec![format!("ledger.bin: {}, chain and checksums sound", counted(steps + 1, "record"))];
    if found.torn > 0 {
        lines[0] += &format!("; {} bytes of a torn write at the end", found.torn);
    }
    let from = found.from.map(|from| from.to_string());
    if let (Some(from), Some(digest)) = (&from, digest) {
        lines.push(format!("replay: {}, {from}: {digest}", counted(steps, "step")));
    }
    lines.extend([found.describe(&folder), format!("promised: {}", promise.describe())]);
    let emulated = matches!(promise, Promise::Steps { emulated: true });
    let event = json!({"event": "verified", "steps": steps, "torn": found.torn, "from": from, "digest": digest,
        "promise": promise.name(), "promised": promise.describe(), "emulated": emulated,
        "model": folder.model().is_file(), "finished": folder.manifest().is_file()});
    Voice::new(&args.how).say(&lines.join("\n"), &told_of(folder.why_diverged(), event));
    Ok(if matches!(promise, Promise::Files { .. }) { ExitCode::from(NOT_ALL) } else { ExitCode::SUCCESS })
}
