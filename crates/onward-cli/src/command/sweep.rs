//! `sweep`: a spec trained once for each combination of values and seeds, each in a process of its own.

mod jobs;
mod plan;

use super::list::read_all;
use super::note;
use crate::args::Sweep;
use crate::progress::{Progress, Voice};
use jobs::{Ended, Job};
use onward::words::{counted, four};
use onward::{Error, ErrorKind, Hint, Result};
use onward_run::catalogue::Listed;
use onward_run::summary::RunState;
use plan::Planned;
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is to be done about a planned run.
#[derive(Clone, Debug, PartialEq)]
enum Todo {
    /// It is there, in this state.
    Done(RunState),
    GoOn(std::path::PathBuf),
    Train,
    /// Another process works on it.
    Busy,
}

/// `onward sweep`.
pub fn sweep(args: &Sweep) -> Result<ExitCode> {
    let voice = Voice::of(args.print);
    note::about(&args.tags, None)?;
    let plan = plan::plan(args)?;
    let folder = args.runs.join(&plan.name);
    if folder.join("ledger.bin").is_file() {
        let own = Error::expected(ErrorKind::Spec, folder.display(), "a folder of runs", "a run's own");
        return Err(own.hint(Hint::Then("--name gives the sweep another".into())));
    }
    let existing = if folder.is_dir() { read_all(std::slice::from_ref(&folder))?.0 } else { Vec::new() };
    let todo: Vec<(Planned, Todo)> = plan
        .runs
        .into_iter()
        .map(|run| (todo(&run, &existing), run))
        .map(|(todo, run)| (run, todo))
        .collect();
    let done = todo.iter().filter(|(_, todo)| matches!(todo, Todo::Done(_))).count();
    let words = format!("{}: {}, {done} of them done", folder.display(), counted(todo.len(), "run"));
    voice.say(&words, &json!({"event": "sweep", "folder": folder, "runs": todo.len(), "done": done}));
    if args.dry_run {
        for (run, todo) in &todo {
            let word = match todo {
                Todo::Done(state) => state.word(),
                Todo::GoOn(_) => "to go on with",
                Todo::Train => "to train",
                Todo::Busy => "running",
            };
            voice.say(
                &format!("{}  {word}", run.name),
                &json!({"event": "planned", "name": run.name, "state": word}),
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    let jobs: Vec<Job> = todo.iter().filter_map(|(run, todo)| job(args, run, todo, &folder)).collect();
    let busy = todo.iter().filter(|(_, todo)| *todo == Todo::Busy).count();
    let ended = run(args, &jobs, (done, todo.len()), voice)?;
    close(args, &ended, (&folder, jobs.len(), busy), voice)
}

/// Finds a planned run among those that are there: by its settings and its seed, whatever it is called.
fn todo(run: &Planned, existing: &[Listed]) -> Todo {
    let same = |listed: &&Listed| plan::identity(&listed.summary.settings) == plan::identity(&run.settings);
    match existing.iter().find(same) {
        None => Todo::Train,
        Some(found) => match found.summary.state {
            RunState::Interrupted => Todo::GoOn(found.path.clone()),
            RunState::Running => Todo::Busy,
            state => Todo::Done(state),
        },
    }
}

fn job(args: &Sweep, run: &Planned, todo: &Todo, folder: &std::path::Path) -> Option<Job> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.map_or_else(|| (cores / usize::from(args.jobs)).max(1), usize::from);
    let mut words: Vec<std::ffi::OsString> = match todo {
        Todo::Train => {
            let mut words = vec!["train".into(), args.spec.clone().into(), "--runs".into(), folder.into()];
            for set in &run.sets {
                words.extend(["--set".into(), set.into()]);
            }
            words.extend(["--name".into(), run.name.clone().into()]);
            if let Some(seed) = run.seed {
                words.extend(["--seed".into(), seed.to_string().into()]);
            }
            for tag in &args.tags {
                words.extend(["--tag".into(), tag.into()]);
            }
            words
        }
        Todo::GoOn(path) => vec!["resume".into(), path.into()],
        Todo::Done(_) | Todo::Busy => return None,
    };
    words.extend(["--no-plots".into(), "--json".into(), "--threads".into(), threads.to_string().into()]);
    Some(Job { name: run.name.clone(), words })
}

/// Takes the runs, and tells of each that has ended.
fn run(args: &Sweep, jobs: &[Job], (done, all): (usize, usize), voice: Voice) -> Result<Vec<Ended>> {
    let stop = Arc::new(AtomicU8::new(0));
    let asked = stop.clone();
    crate::interrupt::listen(move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            voice.warn("stopping after the present steps; asked once more, at once");
        }
    })?;
    let bar = Progress::new(voice, "run", done as u64, all as u64);
    let mut ended = Vec::new();
    let outcome = jobs::run(jobs, usize::from(args.jobs), &stop, &mut |one: Ended| {
        bar.show((done + ended.len() + 1) as u64, String::new);
        tell(&one, voice);
        ended.push(one);
    });
    bar.finish();
    outcome.map(|()| ended)
}

fn tell(one: &Ended, voice: Voice) {
    let event = one.last.clone().unwrap_or_else(|| Value::Object(Map::new()));
    let words = match &one.last {
        Some(last) if last["event"] == "finished" => {
            let score = last["test_accuracy"].as_f64().map_or_else(
                || format!("test loss {}", last["test_loss"].as_f64().map_or_else(|| "-".into(), four)),
                |accuracy| format!("test accuracy {:.2} %", 100.0 * accuracy),
            );
            format!("{}  {score}", one.name)
        }
        Some(last) if last["event"] == "stopped" => {
            format!("{}  stopped after step {}", one.name, last["step"])
        }
        _ => format!("{}  failed: {}", one.name, one.complaint),
    };
    voice.say(&words, &json!({"event": "run", "name": one.name, "code": one.code, "last": event}));
}

/// Says what has come of it: 0 if all are done, 130 if it was stopped, else the code of the first that failed.
fn close(
    args: &Sweep,
    ended: &[Ended],
    (folder, jobs, busy): (&std::path::Path, usize, usize),
    voice: Voice,
) -> Result<ExitCode> {
    let stopped = ended.len() < jobs || ended.iter().any(|one| one.code == Some(130));
    let diverged = ended.iter().filter(|one| one.code == Some(4)).count();
    let failed: Vec<&Ended> = ended.iter().filter(|one| !matches!(one.code, Some(0 | 4 | 130))).collect();
    let event = json!({"event": if stopped { "stopped" } else { "swept" }, "folder": folder, "taken": ended.len(),
        "diverged": diverged, "failed": failed.len(), "busy": busy});
    let mut words = if stopped {
        format!("stopped; go on with the same command: onward sweep {} ...", args.spec.display())
    } else {
        format!("compare them with: onward compare {}", folder.display())
    };
    if diverged > 0 {
        words = format!("{} diverged\n{words}", counted(diverged, "run"));
    }
    if busy > 0 {
        let are = if busy == 1 { "is" } else { "are" };
        words = format!("{} {are} taken by other processes now\n{words}", counted(busy, "run"));
    }
    voice.say(&words, &event);
    if let Some(first) = failed.first() {
        let text = format!(
            "{} of {} failed; the first, {}: {}",
            failed.len(),
            counted(ended.len(), "run"),
            first.name,
            first.complaint
        );
        let kind = if first.code == Some(3) { ErrorKind::Damage } else { ErrorKind::Spec };
        return Err(Error::new(kind, text));
    }
    Ok(if stopped { ExitCode::from(130) } else { ExitCode::SUCCESS })
}
