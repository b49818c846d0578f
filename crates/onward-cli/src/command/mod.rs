//! The subcommands.

mod apply;
mod bench;
mod clean;
mod compare;
mod compared;
mod export;
mod inspect;
mod judged;
mod list;
mod minimize;
mod net;
mod note;
mod origin;
mod predict;
mod repair;
mod replay;
mod report;
mod resume;
mod session;
mod show;
mod sweep;
mod table;
mod theory;
mod train;
mod verify;

use crate::args::{Args, Command};
use crate::progress::Voice;
use crate::spec::Spec;
use crate::{output, spec};
use clap::{CommandFactory, Parser};
use onward::kernel::Isa;
use onward::settings::Objective;
use onward::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
#[cfg(unix)]
use std::sync::Arc;

/// Does what the words of a command line ask; what is wrong with these themselves is said here.
///
/// # Errors
/// One sentence that names the file, the place, what was expected and what was found.
pub fn run(words: impl Iterator<Item = OsString>) -> Result<ExitCode> {
    #[cfg(unix)]
    outlive_size_limit().and_then(|()| crate::interrupt::refusals_are_errors())?;
    let code = match Args::try_parse_from(words) {
        Ok(args) => obey(args)?,
        Err(told) => tell(&told)?,
    };
    output::check().map(|()| code)
}

/// Prints help or the version, or what is wrong with the arguments.
fn tell(told: &clap::Error) -> Result<ExitCode> {
    if told.use_stderr() || std::io::stdout().is_terminal() {
        told.print().map_err(|e| Error::new(ErrorKind::Io, format!("cannot print: {e}")))?;
    } else {
        output::write(told.render().to_string().as_bytes());
    }
    Ok(ExitCode::from(told.exit_code() as u8))
}

/// A file that would outgrow the limit of the process (`ulimit -f`) is refused like one on a full disk, instead of ending
/// the process. Programs that it starts keep the system's way.
#[cfg(unix)]
fn outlive_size_limit() -> Result<()> {
    let signal = rustix::process::Signal::XFSZ.as_raw();
    let heard = signal_hook::flag::register(signal, Arc::default());
    heard.map_err(|e| Error::new(ErrorKind::Io, format!("cannot listen for SIGXFSZ: {e}"))).map(|_| ())
}

/// Does what is asked; for programs, an error is an event as well, with its parts.
fn obey(args: Args) -> Result<ExitCode> {
    let json = args.command.json();
    let done = check_limit().and_then(|()| obeyed(args));
    if let (true, Err(error)) = (json, &done) {
        Voice::Json.say("", &json!({"event": "error", "error": error}));
    }
    done
}

fn obeyed(args: Args) -> Result<ExitCode> {
    match args.command {
        Command::Train(args) => return train::train(&args),
        Command::Minimize(args) => return minimize::minimize(&args),
        Command::Resume(args) => return resume::resume(&args),
        Command::Replay(args) => replay::replay(&args)?,
        Command::Repair(args) => repair::repair(&args)?,
        Command::Verify(args) => return verify::verify(&args),
        Command::Show(args) => show::show(&args)?,
        Command::Report(args) => report::report(&args)?,
        Command::List(args) => list::list(&args)?,
        Command::Compare(args) => compare::compare(&args)?,
        Command::Sweep(args) => return sweep::sweep(&args),
        Command::Note(args) => note::note(&args)?,
        Command::Clean(args) => clean::clean(&args)?,
        Command::Predict(args) => predict::predict(&args)?,
        Command::Eval(args) => apply::eval(&args)?,
        Command::Export(args) => export::export(&args)?,
        Command::Inspect(args) => inspect::inspect(&args)?,
        Command::Init(args) => inspect::init(&args)?,
        Command::Explain { key } => output::write(spec::explain(key.as_deref())?.as_bytes()),
        Command::Bench(args) => bench::bench(&args)?,
        Command::VerifyTheory(args) => return theory::verify_theory(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "onward", &mut script);
            output::write(&script);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the process ends with: 0 is success, 1 a theorem that failed, 5 a verification that could not go all the way, 130 an interruption; errors end with what follows.
pub fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Damage => 3,
        ErrorKind::Diverged | ErrorKind::NonFinite => 4,
        _ => 2,
    }
}

/// Refuses a limit of the instruction set that would limit nothing.
fn check_limit() -> Result<()> {
    let Some(name) = std::env::var_os(Isa::LIMIT) else { return Ok(()) };
    if name.to_str().and_then(Isa::named).is_some() {
        return Ok(());
    }
    let expected = format!("one of {}", Isa::ALL.map(Isa::name).join(", "));
    Err(Error::expected(ErrorKind::Spec, Isa::LIMIT, expected, name.to_string_lossy()))
}

/// What a run's losses are of, where that is not plain.
fn unit_words(spec: &Spec) -> &'static str {
    match (spec.data.target, &spec.objective) {
        (onward_data::Target::Value, Objective::SquaredError(_)) => {
            " (half the squared error, in the target's own units)"
        }
        (onward_data::Target::Value, Objective::Huber(_)) => " (in the square of the target's own units)",
        (onward_data::Target::Value, Objective::AbsoluteError(_)) => " (the error in the target's own units)",
        _ => "",
    }
}

/// An event of a run, with why it diverged if it did.
fn told_of(diverged: Option<String>, mut event: Value) -> Value {
    if let Some(why) = diverged {
        event["diverged"] = why.into();
    }
    event
}
