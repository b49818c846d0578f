//! `minimize`: the best arguments of any program.
//!
//! A study's folder holds `study.toml` (what it was begun with), `journal.jsonl` (the loss of each evaluation), `stderr/`,
//! and at the end `result.json` and `report.html`. Everything follows from the first two, so a study that was killed is
//! begun again and told what the journal knows.

mod drawn;
mod folder;
mod jobs;
mod journal;
mod listed;
mod points;
mod program;
mod reasons;
mod recommend;
mod require;
mod result;
mod search;
mod session;
mod settings;
mod show;
mod template;
mod view;

use crate::args::Minimize;
use crate::interrupt::{self, Request};
use crate::progress::Voice;
use folder::StudyFolder;
use journal::{Journal, Line, Reading};
use onward::study::Goal;
use onward::words::counted;
use onward::{Error, ErrorKind, Result};
use search::{Shares, Told};
use serde_json::json;
use session::Session;
use settings::Settings;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

pub use listed::studies;
pub use settings::direction;
pub use view::{is_study, report, show, verify};

/// `onward minimize`.
pub fn minimize(args: &Minimize) -> Result<ExitCode> {
    let path = Settings::folder(args)?;
    refuse_half(&path)?;
    let begun = if path.join("study.toml").is_file() { None } else { begin(args, &path)? };
    let (settings, shares, folder) = match begun {
        Some(begun) => begun,
        None => resumed(args, &path)?,
    };
    let voice = Voice::of(args.print);
    let (session, mut told) = open(voice, usize::from(args.jobs), settings, folder, false)?;
    told.wanted = args.budget;
    finish(session, shares, told)
}

/// Refuses a folder with losses but without what the study was begun with, since they mean nothing then.
fn refuse_half(path: &Path) -> Result<()> {
    let (settings, journal) = (path.join("study.toml"), path.join("journal.jsonl"));
    if settings.exists() || !journal.exists() {
        return Ok(());
    }
    let expected = "what the study was begun with, whose losses are in journal.jsonl beside it";
    Err(Error::expected(ErrorKind::Damage, settings.display(), expected, "no such file"))
}

/// A new study; `None` if another process was faster and has made one there.
fn begin(args: &Minimize, path: &Path) -> Result<Option<(Settings, Shares, StudyFolder)>> {
    let mut settings = Settings::of(args)?;
    let known = match &args.known {
        Some(file) => points::read(file, &settings.space()?, &settings.key)?,
        None => Vec::new(),
    };
    settings.begin_at(args.start.as_deref(), &known)?;
    let shares = shares(&settings)?;
    let mut folder = StudyFolder::open(path)?;
    if folder.has_study() {
        return Ok(None);
    }
    if let Err(error) = folder.begin(&settings.to_toml()?, &known) {
        folder.discard();
        return Err(error);
    }
    Ok(Some((settings, shares, folder)))
}

/// A study that is there already: with `--resume`, and if the arguments do not contradict it.
fn resumed(args: &Minimize, path: &Path) -> Result<(Settings, Shares, StudyFolder)> {
    if !args.resume {
        let expected = "a folder without a study (--out names another, --resume goes on with this one)";
        return Err(Error::expected(ErrorKind::Io, path.display(), expected, "one with a study.toml"));
    }
    let folder = StudyFolder::open(path)?;
    let file = folder.settings();
    let text = std::fs::read_to_string(&file).map_err(|e| Error::io("read", &file, e))?;
    let mut settings = Settings::from_toml(&text, &file)?;
    settings.check(args, &file)?;
    let shares = shares(&settings).map_err(|e| e.in_file(&file))?;
    settings.timeout = args.timeout.or(settings.timeout);
    Ok((settings, shares, folder))
}

/// How the budget is shared out; refuses what could not begin.
fn shares(settings: &Settings) -> Result<Shares> {
    let mut study = settings.study(settings.budget, settings.method.clone())?;
    let first = std::iter::from_fn(|| study.ask()).count() as u64;
    Ok(Shares::new(settings.budget, first, settings.noisy))
}

/// Opens the journal and says where the study stands.
fn open(
    voice: Voice,
    jobs: usize,
    settings: Settings,
    folder: StudyFolder,
    closed: bool,
) -> Result<(Session, Told)> {
    let file = folder.settings();
    let text = std::fs::read_to_string(&file).map_err(|e| Error::io("read", &file, e))?;
    let (journal, Reading { lines, torn }) = Journal::open(&folder, &text, closed)?;
    if torn > 0 {
        let words = format!("journal.jsonl: cut {torn} bytes of a torn write after line {}", lines.len());
        voice.say(&words, &json!({"event": "torn", "bytes": torn, "line": lines.len()}));
    }
    let (mut known, mut told) = (BTreeMap::new(), Told::default());
    for line in lines {
        match line {
            Line::Evaluation(entry) => {
                let id = entry.id;
                if known.insert(id, entry).is_some() {
                    let place = format!("{}: evaluation {id}", folder.journal().display());
                    return Err(Error::expected(ErrorKind::Damage, place, "one line of it", "two"));
                }
            }
            Line::Method(choice) => told.chosen.push_back((choice, told.raises.len())),
            Line::Raised(raise) => told.raises.push(raise),
        }
    }
    let path = folder.path().display().to_string();
    let space = settings.space()?;
    let budget = told.raises.last().map_or(settings.budget, |raise| raise.budget);
    let event = json!({"event": "begun", "run": path, "evaluations": known.len(), "budget": budget,
        "space": space.dimensions()});
    let from = if known.is_empty() { String::new() } else { format!(", going on after {}", known.len()) };
    let words = format!(
        "{path}: the {} of {}, {}{from}; {}",
        if settings.goal == Goal::Minimize { "least" } else { "greatest" },
        settings::shell(&settings.command),
        counted(budget, "evaluation"),
        show::dimensions(space.dimensions())
    );
    voice.say(&words, &event);
    let before = folder.read_known()?;
    let mut session = Session::new(settings, folder, journal, known, voice, jobs)?;
    session.before = before;
    Ok((session, told))
}

fn finish(mut session: Session, shares: Shares, told: Told) -> Result<ExitCode> {
    listen(&session)?;
    crate::program::adopt();
    let found = search::run(&mut session, shares, told);
    session.finish();
    let found = match found {
        Err(error) if session.tally.told == 0 => {
            session.folder.discard();
            return Err(error);
        }
        Err(error) => return Err(with_way_on(error, &session)),
        Ok(found) => found,
    };
    let Some(found) = found else {
        let (told, budget) = (session.tally.told, session.settings.budget);
        let words =
            format!("stopped after {told} of {}; {}", counted(budget, "evaluation"), way_on(&session));
        let run = session.folder.path().display().to_string();
        session.voice.say(&words, &json!({"event": "stopped", "evaluations": told, "run": run}));
        return Ok(ExitCode::from(130));
    };
    if session.best.is_none() {
        return Err(session.hopeless());
    }
    result::write(&session, &found)?;
    Ok(ExitCode::SUCCESS)
}

fn way_on(session: &Session) -> String {
    format!("go on with: onward minimize --resume --out {}", session.folder.path().display())
}

/// What is done can be gone on with, whatever the error was, as long as it is there.
fn with_way_on(error: Error, session: &Session) -> Error {
    if !session.folder.has_study() || error.kind() == ErrorKind::Spec {
        return error;
    }
    let told = session.tally.told;
    Error::new(error.kind(), format!("{error}\nkept: {}; {}", counted(told, "evaluation"), way_on(session)))
}

/// The first Ctrl-C starts no further program, the second ends those that run, the third ends this process at once. TERM and
/// HUP come once, so they begin with the second.
fn listen(session: &Session) -> Result<()> {
    let (stop, voice) = (session.stop.clone(), session.voice);
    interrupt::listen(move |request| {
        let least = if request == Request::CtrlC { 1 } else { 2 };
        let before = stop.load(Ordering::SeqCst);
        if before >= 2 {
            std::process::exit(130);
        }
        stop.store((before + 1).max(least), Ordering::SeqCst);
        if before == 0 && least == 1 {
            voice.warn("waiting for the programs that run; a second Ctrl-C ends them");
        }
    })
}
