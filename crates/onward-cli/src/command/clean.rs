//! `clean`: runs that came to nothing are removed, once it was shown what that is.

use super::list::{read_all, state_of};
use super::table::Table;
use crate::args::{Clean, State};
use crate::progress::Voice;
use onward::Result;
use onward_run::catalogue::find_by;
use onward_run::clean::{Contents, contents, never_began, remove};
use serde_json::json;
use std::path::PathBuf;

/// A folder that may go.
struct Candidate {
    path: PathBuf,
    state: &'static str,
    contents: Contents,
}

/// `onward clean`.
pub fn clean(args: &Clean) -> Result<()> {
    let voice = Voice::of(args.print);
    let all = candidates(args)?;
    let mut table = Table::new(["run", "state", "files", "MB", "kept"]);
    for one in &all {
        table.add(row(one));
    }
    let event = |one: &Candidate, event: &str| {
        json!({"event": event, "run": one.path, "state": one.state, "files": one.contents.own.len(),
            "bytes": one.contents.bytes, "kept": one.contents.foreign})
    };
    if all.is_empty() {
        voice.say("nothing to remove", &json!({"event": "nothing to remove"}));
        return Ok(());
    }
    if voice != Voice::Json {
        voice.say(&table.lines().join("\n"), &json!(null));
    }
    if !args.yes {
        let words = "nothing was removed; --yes removes what is listed";
        if voice == Voice::Json {
            all.iter().for_each(|one| voice.say("", &event(one, "would remove")));
        } else {
            voice.say(words, &json!(null));
        }
        return Ok(());
    }
    for one in &all {
        let gone = remove(&one.path)?;
        let words = if gone { "removed" } else { "removed what it wrote of" };
        voice.say(&format!("{words} {}", one.path.display()), &event(one, "removed"));
    }
    Ok(())
}

fn row(one: &Candidate) -> Vec<String> {
    let name = |path: &PathBuf| path.strip_prefix(&one.path).unwrap_or(path).display().to_string();
    vec![
        one.path.display().to_string(),
        one.state.into(),
        one.contents.own.len().to_string(),
        format!("{:.1}", one.contents.bytes as f64 / 1e6),
        one.contents.foreign.iter().map(name).collect::<Vec<_>>().join(" "),
    ]
}

fn candidates(args: &Clean) -> Result<Vec<Candidate>> {
    let states =
        if args.states.is_empty() { vec![State::Diverged, State::NeverBegan] } else { args.states.clone() };
    let mut all = Vec::new();
    // What cannot be read is no run of which it is known that it may go.
    let (runs, _) = read_all(&args.paths)?;
    for run in runs {
        let state = state_of(&run);
        let tagged = args.tag.as_ref().is_none_or(|tag| run.about.tags.contains(tag));
        if tagged && state != State::Running && states.contains(&state) {
            all.push(of(run.path, run.summary.state.word())?);
        }
    }
    if states.contains(&State::NeverBegan) && args.tag.is_none() {
        for path in &args.paths {
            for found in find_by(path, &never_began)? {
                all.push(of(found, "never began")?);
            }
        }
    }
    Ok(all)
}

fn of(path: PathBuf, state: &'static str) -> Result<Candidate> {
    Ok(Candidate { contents: contents(&path)?, path, state })
}
