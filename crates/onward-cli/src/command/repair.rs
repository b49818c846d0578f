//! `repair`.

use crate::args::Repair;
use crate::folder::Folder;
use crate::machine;
use crate::progress::Voice;
use onward::Result;
use onward::words::counted;
use onward_run::repair as cut;
use serde_json::json;

/// `onward repair`: cuts off what is damaged of a ledger, from the first record on that is not sound. What is cut is kept.
pub fn repair(args: &Repair) -> Result<()> {
    let folder = Folder::open(&args.run)?;
    folder.sign(&machine::owner());
    let (path, voice) = (folder.ledger(), Voice::of(args.print));
    let done = cut::repair(&folder)?;
    let steps = done.steps;
    let Some(cut) = done.cut else {
        let words = format!("{}: {}, sound: nothing to repair", path.display(), counted(steps, "step"));
        voice.say(&words, &json!({"event": "sound", "steps": steps}));
        return Ok(());
    };
    let why = cut.damage.map_or_else(|| "a torn write".into(), |e| e.to_string());
    let words = format!(
        "{}: {why}\nkept the {} before it; cut {} bytes, in which {} can be recognised, and kept them in {}\n\
         go on with: onward resume {}",
        path.display(),
        counted(steps, "step"),
        cut.bytes,
        counted(cut.lost, "step"),
        cut.kept_in.display(),
        folder.path().display()
    );
    let event = json!({"event": "repaired", "why": why, "steps": steps, "bytes": cut.bytes, "lost_steps": cut.lost, "kept_in": cut.kept_in});
    voice.say(&words, &event);
    Ok(())
}
