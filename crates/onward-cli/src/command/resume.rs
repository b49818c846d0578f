//! `resume`, and `train --resume`: going on with a run that is there.

use super::origin::{FromSpec, spec_of};
use super::session::{Teller, clock, finish, say_written, stop_when_asked};
use crate::args::{How, Moved, Resume, Train};
use crate::folder::Folder;
use crate::machine;
use crate::progress::Voice;
use crate::spec::Spec;
use onward::ledger::Header;
use onward::settings::Budget;
use onward::{Error, ErrorKind, Result, file};
use onward_run::follow::{Origin, Parts};
use onward_run::{Observers, Run};
use std::path::Path;
use std::process::ExitCode;

/// `onward resume`.
pub fn resume(args: &Resume) -> Result<ExitCode> {
    let folder = Folder::open(&args.run)?;
    let at = folder.path().to_owned();
    let mut origin = FromSpec::new(&at, &args.moved, &args.how);
    origin.until = args.steps.map(Budget::Steps).or(args.epochs.map(Budget::Epochs));
    let run = go_on(folder, &mut origin, &args.how)?;
    finish(run, origin.known()?, !args.no_plots, &args.how, &stop_when_asked(&args.how)?)
}

/// Goes on with the run in `existing` if it is that of `spec`, which `file` has.
pub(super) fn same_or_refuse(existing: &Path, spec: &Spec, args: &Train) -> Result<ExitCode> {
    let (folder, moved) = (Folder::open(existing)?, Moved::default());
    let (file, how) = (&*args.spec, &args.how);
    let at = folder.path().to_owned();
    let mut origin = Same { parts: FromSpec::new(&at, &moved, how), folder: &at, spec, file, how };
    let run = go_on(folder, &mut origin, how)?;
    finish(run, origin.parts.known()?, !args.no_plots, how, &stop_when_asked(how)?)
}

fn go_on(folder: Folder, origin: &mut dyn Origin, how: &How) -> Result<Run> {
    folder.sign(&machine::owner());
    let observers = Observers::one(Teller::new(Voice::new(how), folder.path()));
    Run::resume(folder, origin, clock(), observers)
}

/// The parts of a run whose spec has to be the one that was given.
struct Same<'a> {
    parts: FromSpec<'a>,
    folder: &'a Path,
    spec: &'a Spec,
    file: &'a Path,
    how: &'a How,
}

impl Same<'_> {
    /// The spec as run, if it is the one that was given; written again where that is damaged.
    fn checked(&self, begun: &Header) -> Result<Spec> {
        let folder = Folder::read_only(self.folder)?;
        match spec_of(&folder, begun) {
            Ok(kept) => {
                same_spec(&kept.to_toml(), &self.spec.to_toml(), &folder.spec())
                    .map_err(|e| e.in_file(self.file))?;
                Ok(kept)
            }
            Err(damage) if *blake3::hash(self.spec.to_toml().as_bytes()).as_bytes() == begun.spec => {
                file::write(&folder.spec(), self.spec.to_toml().as_bytes())?;
                say_written(Voice::new(self.how), &damage);
                Ok(self.spec.clone())
            }
            Err(damage) => Err(damage),
        }
    }
}

impl Origin for Same<'_> {
    fn possible(&mut self, begun: &Header) -> Result<Vec<Header>> {
        self.parts.spec = Some(self.checked(begun)?);
        self.parts.possible(begun)
    }

    fn build(&mut self, begun: &Header) -> Result<Parts> {
        self.parts.build(begun)
    }

    fn check_interface(&self, bytes: &[u8]) -> Result<()> {
        self.parts.check_interface(bytes)
    }
}

/// An error naming the first key in which the spec as run, kept in `file`, and the present one differ.
fn same_spec(kept: &str, now: &str, file: &Path) -> Result<()> {
    let (mut kept, mut now) = (kept.lines(), now.lines());
    let mut section = "";
    for number in 1u32.. {
        let (expected, found) = (kept.next(), now.next());
        if expected != found {
            let key = key_of(section, expected.or(found).unwrap_or_default());
            let place = format!("{key}: changed since the run began, line {number} of {}", file.display());
            let line =
                |line: Option<&str>| line.map_or_else(|| "no such line".into(), |line| format!("`{line}`"));
            let mut found = line(found);
            if ["train.steps", "train.epochs"].contains(&key.as_str()) {
                found += " (a finished run is prolonged by `onward resume RUN --steps N`)";
            }
            return Err(Error::expected(ErrorKind::Spec, place, line(expected), found));
        }
        let Some(line) = expected else { break };
        section = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')).unwrap_or(section);
    }
    Ok(())
}

/// The key that a line of a section sets.
fn key_of(section: &str, line: &str) -> String {
    let name = line.split('=').next().unwrap_or_default().trim();
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}
