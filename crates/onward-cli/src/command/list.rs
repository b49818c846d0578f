//! `list`: the runs in folders.

use super::minimize;
use super::origin::spec_of;
use super::table::Table;
use crate::args::{List, Order, State};
use crate::folder::Folder;
use crate::progress::Voice;
use clap::ValueEnum;
use onward::study::Goal;
use onward::words::{four, theirs};
use onward::{Error, ErrorKind, Result};
use onward_run::catalogue::{self, Listed};
use onward_run::compare::goal_of;
use onward_run::summary::{RunState, Summary};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// `onward list`.
pub fn list(args: &List) -> Result<()> {
    let voice = Voice::of(args.print);
    let (mut runs, mut broken) = read_all(&args.paths)?;
    runs.retain(|run| wanted(run, args));
    sort(&mut runs, args.sort);
    let mut table = Table::new(["run", "state", "step", "score", "seconds", "ended (UTC)", "tags", "note"]);
    for run in &runs {
        table.add(row(run));
    }
    if voice == Voice::Json {
        runs.iter().for_each(|run| voice.say("", &event(run)));
    } else if !runs.is_empty() {
        voice.say(&table.lines().join("\n"), &json!(null));
    }
    let mut studies = minimize::studies(&args.paths)?;
    // Studies have no tags.
    studies.retain(|(_, study)| {
        let word = args.state.and_then(|state| state.to_possible_value());
        args.tag.is_none() && word.is_none_or(|word| study["state"] == word.get_name())
    });
    studies.iter().for_each(|study| voice.say(&study.0, &study.1));
    if runs.is_empty() && broken.is_empty() && studies.is_empty() && voice != Voice::Json {
        voice.say("no runs", &json!(null));
    }
    match broken.len() {
        0 => Ok(()),
        1 => Err(broken.remove(0)),
        n => {
            Err(broken.remove(0).hint(onward::Hint::Aside(format!("and {} more runs cannot be read", n - 1))))
        }
    }
}

fn wanted(run: &Listed, args: &List) -> bool {
    let tagged = args.tag.as_ref().is_none_or(|tag| run.about.tags.contains(tag));
    tagged && args.state.is_none_or(|state| state_of(run) == state)
}

/// How a run stands, as an argument.
pub(super) fn state_of(run: &Listed) -> State {
    match run.summary.state {
        RunState::Finished => State::Finished,
        RunState::Interrupted => State::Interrupted,
        RunState::Diverged => State::Diverged,
        RunState::Running => State::Running,
    }
}

/// Reads all runs in folders; those that cannot be read are told apart.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<(Vec<Listed>, Vec<Error>)> {
    let (mut runs, mut broken) = (Vec::new(), Vec::new());
    for path in paths {
        for found in catalogue::find(path)? {
            match Listed::read(&found, &settings) {
                Ok(run) => runs.push(run),
                Err(error) => broken.push(error),
            }
        }
    }
    Ok((runs, broken))
}

/// The settings of a run that left no result.
pub(super) fn settings(folder: &Folder) -> Result<Map<String, Value>> {
    let (reading, _) = folder.salvage()?;
    let spec = spec_of(folder, &reading.header)?;
    Ok(spec.settings_by_key())
}

/// The score that a run is known by, with its name.
pub(super) fn known_by(summary: &Summary) -> Option<(&str, f64)> {
    let of = |name: &str| summary.scores.get_key_value(name);
    let own = || summary.scores.iter().find(|(name, _)| name.starts_with("test_") && *name != "test_loss");
    of("test_accuracy").or_else(own).or_else(|| of("test_loss")).map(|(name, value)| (name.as_str(), *value))
}

fn sort(runs: &mut [Listed], by: Order) {
    match by {
        Order::Name => runs.sort_by(|a, b| a.path.cmp(&b.path)),
        Order::When => runs.sort_by(|a, b| b.summary.when.cmp(&a.summary.when)),
        // The best of each score together, runs without one last.
        Order::Score => runs.sort_by(|a, b| {
            let key = |run: &Listed| {
                let (name, value) = known_by(&run.summary).unwrap_or(("~", 0.0));
                (name.to_owned(), if goal_of(name) == Goal::Maximize { -value } else { value })
            };
            let (a, b) = (key(a), key(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        }),
    }
}

fn row(run: &Listed) -> Vec<String> {
    let summary = &run.summary;
    let score = known_by(summary).map(|(name, value)| {
        let short = name.strip_prefix("test_").unwrap_or(name);
        if name.ends_with("accuracy") {
            format!("{short} {:.2} %", 100.0 * value)
        } else {
            format!("{short} {}", four(value))
        }
    });
    let when = summary.when.as_deref().map(|when| when.trim_end_matches('Z').replace('T', " "));
    vec![
        theirs(&run.path.to_string_lossy()).into_owned(),
        summary.state.word().into(),
        if summary.step == summary.steps {
            summary.step.to_string()
        } else {
            format!("{}/{}", summary.step, summary.steps)
        },
        score.unwrap_or_else(|| "-".into()),
        format!("{:.1}", summary.seconds),
        when.unwrap_or_else(|| "-".into()),
        run.about.tags.iter().map(|tag| theirs(tag)).collect::<Vec<_>>().join(","),
        theirs(run.about.note.lines().next().unwrap_or_default()).into_owned(),
    ]
}

fn event(run: &Listed) -> Value {
    let mut event = json!({"event": "run", "run": run.path});
    if let (Value::Object(event), Ok(Value::Object(summary))) =
        (&mut event, serde_json::to_value(&run.summary))
    {
        event.extend(summary);
        event.insert("tags".into(), json!(run.about.tags));
        event.insert("note".into(), json!(run.about.note));
    }
    event
}

/// Paths for patterns: `*` stands for any letters and `?` for one, within a name.
pub(super) fn expanded(patterns: &[String]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for pattern in patterns {
        if Path::new(pattern).exists() || !pattern.contains(['*', '?']) {
            all.push(pattern.into());
            continue;
        }
        let begin = if pattern.starts_with('/') { "/" } else { "" };
        let mut found = vec![PathBuf::from(begin)];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            found = found.iter().flat_map(|path| matching(path, part)).collect();
        }
        if found.is_empty() {
            return Err(Error::expected(
                ErrorKind::Io,
                pattern.as_str(),
                "something of that name",
                "nothing",
            ));
        }
        all.append(&mut found);
    }
    Ok(all)
}

/// The paths in a folder whose name fits.
fn matching(folder: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '?']) {
        return vec![folder.join(part)];
    }
    let at = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let names = std::fs::read_dir(at).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let fitting = names.filter(|name| {
        let name = name.to_string_lossy();
        let hidden = name.starts_with('.') && !part.starts_with('.');
        !hidden && fits(part.as_bytes(), name.as_bytes())
    });
    let mut all: Vec<PathBuf> = fitting.map(|name| folder.join(name)).collect();
    all.sort();
    all
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => fits(&pattern[1..], name) || (!name.is_empty() && fits(pattern, &name[1..])),
        (Some(b'?'), Some(_)) => fits(&pattern[1..], &name[1..]),
        (Some(a), Some(b)) => a == b && fits(&pattern[1..], &name[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("a*c", "abc", true),
            ("a*d", "abc", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("digits-*-s?", "digits-sigma0.1-s3", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }
}
