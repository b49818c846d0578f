//! `repair`.

use crate::args::Repair;
use crate::folder::Folder;
use crate::progress::Voice;
use onward::ledger;
use onward::{Error, Result};
use serde_json::json;
use std::fs::OpenOptions;

/// `onward repair`: cuts off what is damaged of a ledger, from the first record on that is not sound. What is cut is kept.
pub fn repair(args: &Repair) -> Result<()> {
    let folder = Folder::open(&args.run)?;
    let (path, voice) = (folder.ledger(), Voice::of(args.print));
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.map_err(|e| Error::io("open", &path, e))?;
    ledger::lock(&file, folder.path())?;
    let (reading, damage) = folder.salvage()?;
    let steps = reading.records.len();
    if reading.torn == 0 {
        let words = format!("{}: {steps} steps, sound: nothing to repair", path.display());
        voice.say(&words, &json!({"event": "sound", "steps": steps}));
        return Ok(());
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let cut = &bytes[reading.sound as usize..];
    let aside = folder.aside("ledger-cut", "bin", cut)?;
    file.set_len(reading.sound).map_err(|e| Error::io("cut", &path, e))?;
    file.sync_all().map_err(|e| Error::io("sync", &path, e))?;
    let why = damage.map_or_else(|| "a torn write".into(), |e| e.to_string());
    let lost = ledger::recognised(cut);
    let words = format!(
        "{}: {why}\nkept the {steps} steps before it; cut {} bytes, in which {lost} steps can be recognised, and kept them in {}\n\
         go on with: onward resume {}",
        path.display(),
        cut.len(),
        aside.display(),
        folder.path().display()
    );
    let event = json!({"event": "repaired", "why": why, "steps": steps, "bytes": cut.len(), "lost_steps": lost, "kept_in": aside});
    voice.say(&words, &event);
    Ok(())
}
