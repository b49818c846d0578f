//! `verify`: every file of a run against the ledger, and the ledger against itself.

use super::source::FromSpec;
use crate::args::Verify;
use crate::folder::Folder;
use crate::progress::Voice;
use onward::Result;
use onward_run::verify as check;
use serde_json::json;

/// `onward verify`.
pub fn verify(args: &Verify) -> Result<()> {
    let folder = Folder::read_only(&args.run)?;
    let mut source = FromSpec::new(folder.path(), &args.moved, &args.how);
    let found = check::verify(&folder, args.from_start, args.how.threads(), &mut source)?;
    let (steps, from, digest) = (found.steps, found.from.to_string(), &found.digest);
    let mut sound = format!("ledger.bin: {} records, chain and checksums sound", steps + 1);
    if found.torn > 0 {
        sound += &format!("; {} bytes of a torn write at the end", found.torn);
    }
    let outcome = found.outcome.describe(&folder, steps);
    let words = format!("{sound}\nreplay: {steps} steps, {from}: {digest}\n{outcome}");
    let event = json!({"event": "verified", "steps": steps, "torn": found.torn, "from": from, "digest": digest,
        "model": folder.model().is_file(), "finished": folder.manifest().is_file()});
    Voice::new(&args.how).say(&words, &event);
    Ok(())
}
