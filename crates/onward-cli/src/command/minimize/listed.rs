//! Studies among others in a folder: a line for each.

use onward::words::four;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A line and an event for each study at or in these folders.
pub fn studies(paths: &[PathBuf]) -> Vec<(String, Value)> {
    let inside = |path: &PathBuf| {
        let inside = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut all: Vec<PathBuf> = std::iter::once(path.clone()).chain(inside).collect();
        all.retain(|path| path.join("study.toml").is_file());
        all.sort();
        all
    };
    paths.iter().flat_map(inside).map(|path| line(&path)).collect()
}

fn line(path: &Path) -> (String, Value) {
    let result = std::fs::read(path.join("result.json")).ok();
    let result: Option<Value> = result.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let journal = std::fs::read_to_string(path.join("journal.jsonl")).unwrap_or_default();
    let told = journal.lines().filter(|line| line.starts_with("{\"event\":\"evaluation\"")).count();
    let best = result.as_ref().and_then(|result| result["best"]["loss"].as_f64());
    let state = if result.is_some() { "finished" } else { "interrupted" };
    let loss = best.map_or_else(String::new, |loss| format!(", best {}", four(loss)));
    let words = format!("{}  study, {state}, {told} evaluations{loss}", path.display());
    (words, json!({"event": "study", "run": path, "state": state, "evaluations": told, "best": best}))
}
