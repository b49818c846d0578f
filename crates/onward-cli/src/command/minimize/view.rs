//! Looking at a study that is there: its evaluations, whether it is what it was, its page. No program is started.

use super::folder::StudyFolder;
use super::journal::{Entry, Phase};
use super::search::{self, Found, Told};
use super::session::Session;
use super::settings::Settings;
use super::{open, result, shares};
use crate::args::{Report, Show, Verify};
use crate::command::table::Table;
use crate::output;
use crate::progress::Voice;
use crate::target::{self, Target};
use onward::words::{counted, four, theirs};
use onward::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Whether a folder holds a study.
pub fn is_study(path: &Path) -> bool {
    path.join("study.toml").is_file()
}

/// A study with all that its journal tells: each evaluation held against the candidate that the study asks for. `Found` if it has ended.
fn replayed(path: &Path) -> Result<(Session, Option<Found>)> {
    let folder = StudyFolder::open(path)?;
    let file = folder.settings();
    let text = std::fs::read_to_string(&file).map_err(|e| Error::io("read", &file, e))?;
    let settings = Settings::from_toml(&text, &file)?;
    let shares = shares(&settings).map_err(|e| e.in_file(&file))?;
    let (mut session, told): (Session, Told) = open(Voice::Quiet, 1, settings, folder, true)?;
    // Nothing is started.
    session.stop.store(1, Ordering::SeqCst);
    let found = search::run(&mut session, shares, told)?;
    session.entries.sort_by_key(|entry| entry.id);
    Ok((session, found))
}

fn state(session: &Session, found: Option<&Found>) -> String {
    let (told, budget) = (session.tally.told, session.settings.budget);
    let failed = match session.tally.failures() {
        0 => "none failed".into(),
        n => format!("{n} failed ({})", session.tally.failed.words()),
    };
    let state = if found.is_some() { "finished" } else { "not finished" };
    format!("{state}: {told} of {}, {failed}", counted(budget, "evaluation"))
}

/// `onward show` of a study.
pub fn show(args: &Show) -> Result<()> {
    if args.ledger || args.net || args.follow {
        let expected = "a run, for --ledger, --net and --follow";
        return Err(Error::expected(ErrorKind::Spec, args.run.display(), expected, "a study"));
    }
    let (session, found) = replayed(&args.run)?;
    if let Some(path) = &args.csv {
        let target = Target::of(path)?;
        return target.write(csv(&session).as_bytes());
    }
    let shown: Vec<&Entry> = kept(&session.entries, args);
    if args.json {
        for entry in shown {
            output::line(
                &serde_json::to_string(entry).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?,
            );
        }
        return Ok(());
    }
    let names: Vec<&str> = session.space.dimensions().iter().map(|d| d.name.as_str()).collect();
    let mut table = Table::new(["id", "phase", "loss", "seconds"].into_iter().chain(names).chain([""]));
    for entry in &shown {
        table.add(row(&session, entry));
    }
    let mut lines = table.lines();
    let left_out = session.entries.len() - shown.len();
    if left_out > 0 {
        lines.push(format!("left out (--last, --every): {}", counted(left_out, "evaluation")));
    }
    lines.push(state(&session, found.as_ref()));
    if let Some(found) = &found {
        lines.push(result::headline(&session, found));
    }
    output::words(&lines.join("\n"));
    Ok(())
}

/// The evaluations that are asked for.
fn kept<'a>(all: &'a [Entry], args: &Show) -> Vec<&'a Entry> {
    let every = args.every.unwrap_or(1);
    let last = all.last().map_or(0, |entry| entry.id);
    let mut kept: Vec<&Entry> = all.iter().filter(|e| e.id.is_multiple_of(every) || e.id == last).collect();
    kept.drain(..kept.len().saturating_sub(args.last.unwrap_or(usize::MAX)));
    kept
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Check => "check",
        Phase::Search => "search",
        Phase::Choice => "choice",
        Phase::Estimate => "estimate",
    }
}

fn row(session: &Session, entry: &Entry) -> Vec<String> {
    let value = |name: &String| match entry.values.get(name) {
        Some(Value::String(word)) => theirs(word).into_owned(),
        Some(Value::Number(n)) if n.is_f64() => four(n.as_f64().unwrap_or_default()),
        Some(other) => other.to_string(),
        None => "-".into(),
    };
    let mut cells = vec![
        entry.id.to_string(),
        phase(entry.phase).into(),
        entry.loss.map_or_else(|| "-".into(), four),
        four(entry.seconds),
    ];
    cells.extend(session.space.dimensions().iter().map(|d| value(&d.name)));
    cells.push(why(entry));
    cells
}

/// Why an evaluation failed, with what its program said; empty if it did not.
pub fn why(entry: &Entry) -> String {
    match (&entry.failed, &entry.said) {
        (Some(reason), Some(said)) => format!("{reason}: {said}"),
        (Some(reason), None) => reason.clone(),
        _ => String::new(),
    }
}

/// All evaluations as CSV: `id`, `phase`, `generation`, `loss`, `seconds`, `failed`, and a column for each dimension.
fn csv(session: &Session) -> String {
    let quoted = |text: &str| {
        if text.contains([',', '"', '\n']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let names: Vec<&String> = session.space.dimensions().iter().map(|d| &d.name).collect();
    let mut text = String::from("id,phase,generation,loss,seconds,failed");
    names.iter().for_each(|name| text += &format!(",{}", quoted(name)));
    for entry in &session.entries {
        let loss = entry.loss.map_or_else(String::new, |loss| format!("{loss:?}"));
        let failed = quoted(&why(entry));
        let (id, generation, seconds) = (entry.id, entry.generation, entry.seconds);
        text += &format!("\n{id},{},{generation},{loss},{seconds},{failed}", phase(entry.phase));
        for name in &names {
            let value = match entry.values.get(*name) {
                Some(Value::String(word)) => quoted(word),
                Some(other) => other.to_string(),
                None => String::new(),
            };
            text += &format!(",{value}");
        }
    }
    text + "\n"
}

/// `onward verify` of a study: its journal's lines, each evaluation's candidate, and its result.
pub fn verify(args: &Verify) -> Result<ExitCode> {
    let voice = Voice::new(&args.how);
    let (session, found) = replayed(&args.run)?;
    if let Some(found) = &found
        && session.folder.result().is_file()
    {
        let path = session.folder.result();
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        if result::text(&session, found)?.as_bytes() != bytes {
            let expected = "the result that the journal leads to";
            return Err(Error::expected(ErrorKind::Damage, path.display(), expected, "another"));
        }
    }
    let told = session.tally.told;
    let words = format!(
        "{}: every line is as it was written, and of the candidate that the study asks for\n{}",
        counted(told, "evaluation"),
        state(&session, found.as_ref())
    );
    voice.say(
        &words,
        &json!({"event": "verified", "run": args.run, "evaluations": told, "finished": found.is_some()}),
    );
    Ok(ExitCode::SUCCESS)
}

/// `onward report` of a study: at any time.
pub fn report(args: &Report) -> Result<()> {
    if let Some(out) = &args.out {
        target::no_run(out)?;
    }
    let (session, found) = replayed(&args.run)?;
    let into = args.out.as_deref().unwrap_or(session.folder.path());
    result::write_report(&session, found.as_ref(), into)?;
    let page = into.join("report.html");
    let words = format!("{}\n{}", page.display(), state(&session, found.as_ref()));
    let event = json!({"event": "report", "run": args.run, "finished": found.is_some(), "page": page});
    Voice::new(&args.how).say(&words, &event);
    Ok(())
}
