//! The subcommands.

mod apply;
mod bench;
mod minimize;
mod replay;
mod show;
mod theory;
mod train;

use crate::args::{Args, Command};
use crate::folder::Folder;
use crate::spec;
use clap::CommandFactory;
use onward::kernel::Isa;
use onward::{Error, ErrorKind, Result};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Does what the arguments ask.
///
/// # Errors
/// One sentence that names the file, the place, what was expected and what was found.
pub fn run(args: Args) -> Result<ExitCode> {
    check_limit()?;
    match args.command {
        Command::Train(args) => return train::train(&args),
        Command::Minimize(args) => return minimize::minimize(&args),
        Command::Resume(args) => return train::resume(&args),
        Command::Replay(args) => replay::replay(&args)?,
        Command::Verify(args) => replay::verify(&args)?,
        Command::Show(args) => show::show(&args)?,
        Command::Predict(args) => apply::predict(&args)?,
        Command::Eval(args) => apply::eval(&args)?,
        Command::Init { file: None } => print(spec::starter().as_bytes()),
        Command::Init { file: Some(path) } => init(&path)?,
        Command::Explain { key } => print(spec::explain(key.as_deref())?.as_bytes()),
        Command::Bench(args) => bench::bench(&args)?,
        Command::VerifyTheory(args) => return theory::verify_theory(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "onward", &mut script);
            print(&script);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What the process ends with: 0 is success, 1 a theorem that failed, 130 an interruption; errors end with what follows.
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

fn print(text: &[u8]) {
    // A reader that has seen enough (`| head`) closes the pipe: no error.
    let _ = std::io::stdout().write_all(text);
}

fn init(path: &Path) -> Result<()> {
    if path.exists() {
        return Err(Error::expected(
            ErrorKind::Io,
            path.display(),
            "a file that does not exist yet",
            "one that does",
        ));
    }
    Folder::write(path, spec::starter().as_bytes())
}
