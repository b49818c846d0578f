//! `train`.

use super::note;
use super::origin::parts;
use super::resume::same_or_refuse;
use super::session::{Teller, clock, finish, stop_when_asked};
use crate::args::{How, Train};
use crate::build::{self, Built};
use crate::folder::Folder;
use crate::language;
use crate::machine;
use crate::progress::Voice;
use crate::spec::Spec;
use onward::{Error, ErrorKind, Result};
use onward_data as data;
use onward_run::summary::About;
use onward_run::{Observers, Run};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// `onward train`.
pub fn train(args: &Train) -> Result<ExitCode> {
    let sets = with_name(&args.sets, args.name.as_deref());
    let spec = Spec::load(&args.spec, &sets, args.seed)?;
    let about = note::about(&args.tags, args.note.as_deref())?;
    let existing = args.runs.join(&spec.name);
    if args.resume && existing.join("ledger.bin").is_file() {
        return same_or_refuse(&existing, &spec, args);
    }
    let placed = |e| Spec::placed(e, &args.spec, &sets, args.seed);
    let how = Begin { runs: &args.runs, reuse: args.resume, no_plots: args.no_plots, how: &args.how };
    begin(&spec, &placed, &about, how)
}

/// Where and how a run begins.
#[derive(Clone, Copy)]
pub(super) struct Begin<'a> {
    /// The folder that its own is made in.
    pub runs: &'a Path,
    /// Whether what was left of one that came to nothing is used again.
    pub reuse: bool,
    pub no_plots: bool,
    pub how: &'a How,
}

/// Runs a spec from its beginning; `placed` tells errors where they stand in it.
pub(super) fn begin(
    spec: &Spec,
    placed: &dyn Fn(Error) -> Error,
    about: &About,
    Begin { runs, reuse, no_plots, how }: Begin<'_>,
) -> Result<ExitCode> {
    let order = spec.train.shuffle.unwrap_or_default();
    let language = language::of(spec, None).map_err(placed)?;
    let split = data::check_apart(&spec.data)
        .and_then(|()| language::open_data(&spec.data, order, language.as_ref()));
    let split = split.and_then(|split| data::check_rows_apart(&spec.data, &split).map(|()| split));
    // What is wrong with a data file is told of that file.
    let split =
        split.map_err(|e| if e.kind() == ErrorKind::Spec && e.file().is_none() { placed(e) } else { e })?;
    let voice = Voice::new(how);
    let file = spec.data.path.file_name().unwrap_or_default().to_string_lossy();
    let words = format!("{file}: {}", split.summary.words());
    voice.say(&words, &json!({"event": "read", "path": spec.data.path, "data": split.summary}));
    for note in &split.notes {
        voice.say(note, &json!({"event": "note", "text": note}));
    }
    if let Some(language) = &language {
        for (words, event) in language::examples(language, &split.preparation, &split.train.first(2)?)? {
            voice.say(&words, &event);
        }
    }
    let built = build::trainer(spec, &split, language, how.threads(), None);
    let Built { trainer, kept } = built.map_err(placed)?;
    let parts = parts(spec, &split, spec.data.clone(), trainer)?;
    // Who sees the run's folder may ask it to stop.
    let stop = stop_when_asked(how)?;
    let folder = Folder::create(runs, &spec.name, reuse)?;
    folder.sign(&machine::owner());
    if let Some(kept) = kept {
        kept.write(&folder)?;
    }
    about.write(folder.path())?;
    let observers = Observers::one(Teller::new(voice, folder.path()));
    let run = Run::create(folder, &spec.to_toml(), parts, clock(), observers)?;
    finish(run, spec, !no_plots, how, &stop)
}

/// What changes a spec, with the name that was given.
pub(super) fn with_name(sets: &[String], name: Option<&str>) -> Vec<String> {
    let name = name.map(|name| format!("name={}", onward::schema::Value::from(name)));
    sets.iter().cloned().chain(name).collect()
}
