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
mod rebuild;
mod repair;
mod replay;
mod report;
mod resume;
mod session;
mod show;
#[cfg(feature = "language")]
mod speak;
mod spikes;
mod sweep;
mod table;
mod texts;
mod theory;
mod train;
mod tune;
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
    let words: Vec<OsString> = words.collect();
    let code = match Args::try_parse_from(&words) {
        Ok(args) => obey(args)?,
        Err(told) => tell(&told, is_for_programs(&words))?,
    };
    output::check().map(|()| code)
}

/// Whether JSON is asked for by arguments that may be wrong; those behind `--` are another program's.
fn is_for_programs(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// Prints help or the version, or what is wrong with the arguments.
fn tell(told: &clap::Error, for_programs: bool) -> Result<ExitCode> {
    if told.use_stderr() && for_programs {
        let whole = told.render().to_string();
        let sentence =
            whole.split("\n\nUsage:").next().unwrap_or_default().trim_start_matches("error: ").trim();
        let error = Error::new(ErrorKind::Spec, sentence);
        Voice::Json.say("", &json!({"event": "error", "error": error}));
    }
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
        Command::Tune(args) => return tune::tune(&args),
        #[cfg(feature = "language")]
        Command::Generate(args) => speak::generate(&args)?,
        #[cfg(feature = "language")]
        Command::Chat(args) => speak::chat(&args)?,
        #[cfg(feature = "language")]
        Command::Serve(args) => speak::serve(&args)?,
        #[cfg(not(feature = "language"))]
        Command::Generate(_) | Command::Chat(_) | Command::Serve(_) => return Err(crate::language::absent()),
        Command::Apply(args) => rebuild::apply(&args)?,
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
        Command::Explain { words, json } => explain(&words, json)?,
        Command::Bench(args) => bench::bench(&args)?,
        Command::VerifyTheory(args) => return theory::verify_theory(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "onward", &mut script);
            output::write(&script);
        }
        Command::Man { command } => output::write(&manual(command.as_deref())?),
    }
    Ok(ExitCode::SUCCESS)
}

/// `onward explain`.
fn explain(words: &[String], json: bool) -> Result<()> {
    let words = words.join(" ");
    let key = Some(words.as_str()).filter(|key| !key.is_empty());
    if !json {
        output::words(spec::explain(key)?.trim_end());
        return Ok(());
    }
    spec::told(key)?.iter().for_each(|key| Voice::Json.say("", key));
    Ok(())
}

/// The manual page of the program, or of one of its commands.
fn manual(command: Option<&str>) -> Result<Vec<u8>> {
    let mut program = Args::command();
    program.build();
    let shown = match command {
        None => program,
        Some(name) => {
            let all: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
            let found = program.find_subcommand(name).cloned().ok_or_else(|| {
                let expected = format!("one of {}", all.join(", "));
                Error::expected(ErrorKind::Spec, "COMMAND", expected, format!("{name:?}"))
            })?;
            // Pages of commands are called as git's and cargo's are.
            found.display_name(format!("onward-{name}"))
        }
    };
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(shown).manual("Onward").render(&mut page);
    written.map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
    Ok(page)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manuals_are_of_the_program_and_of_each_command() {
        let page = |command| manual(command).map(|page| String::from_utf8(page).unwrap());
        let whole = page(None).unwrap();
        assert!(whole.contains(".TH onward 1") && whole.contains("onward\\-sweep(1)"), "{whole}");
        assert!(whole.contains("130  interrupted"), "{whole}");
        let one = page(Some("sweep")).unwrap();
        assert!(one.contains(".TH onward-sweep 1") && one.contains("\\-\\-seeds"), "{one}");
        assert!(page(Some("swep")).unwrap_err().to_string().contains("sweep"));
    }

    #[test]
    fn json_is_asked_for_before_the_words_of_another_program() {
        let of = |line: &str| is_for_programs(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(of("onward train --json --stp"));
        assert!(!of("onward minimize --budget x -- ./program --json"));
    }
}
