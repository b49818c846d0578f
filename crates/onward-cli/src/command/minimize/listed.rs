//! Studies among others in a folder: a line for each.

use super::is_study;
use crate::folder;
use onward::Result;
use onward::words::{counted, four};
use onward_run::catalogue;
use onward_run::summary::RunState;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A line and an event for each study at or in these folders.
///
/// # Errors
/// [`onward::ErrorKind::Io`] if one of them cannot be listed.
pub fn studies(paths: &[PathBuf]) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for path in paths {
        all.extend(catalogue::find_by(path, &is_study)?.iter().map(|found| line(found)));
    }
    Ok(all)
}

fn line(path: &Path) -> (String, Value) {
    let result = std::fs::read(path.join("result.json")).ok();
    let result: Option<Value> = result.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let journal = std::fs::read_to_string(path.join("journal.jsonl")).unwrap_or_default();
    let told = journal.lines().filter(|line| line.starts_with("{\"event\":\"evaluation\"")).count();
    let best = result.as_ref().and_then(|result| result["best"]["loss"].as_f64());
    let state = match result {
        _ if folder::is_locked(path) => RunState::Running,
        Some(_) => RunState::Finished,
        None => RunState::Interrupted,
    };
    let (state, told_of) = (state.word(), counted(told, "evaluation"));
    let loss = best.map_or_else(String::new, |loss| format!(", best {}", four(loss)));
    let words = format!("{}  study, {state}, {told_of}{loss}", path.display());
    (words, json!({"event": "study", "run": path, "state": state, "evaluations": told, "best": best}))
}
