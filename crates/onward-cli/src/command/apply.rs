//! What `predict` and `eval` share: a run's model, and the rows that it is asked about; and `eval`.

use super::judged::measures;
use super::origin::{FromSpec, spec_of};
use super::spikes::{self, Spikes};
use super::{told_of, unit_words};
use crate::args::{How, Moved, OnData};
use crate::build::{self, Begun};
use crate::folder::{Folder, MODEL};
use crate::interface::Interface;
use crate::language;
use crate::manifest::Manifest;
use crate::progress::Voice;
use crate::spec::Spec;
use onward::dataset::{Columns, Dataset, NO_ITEM, Targets};
use onward::evaluate::Local;
use onward::ledger::{Header, Reading};
use onward::mapped::Mapping;
use onward::model::{Act, Statistics};
use onward::params::{Memory, Params, Tensor, TensorSpec};
use onward::schema::Value;
use onward::task::wilson;
use onward::threads::Threads;
use onward::train::{self, Examined, Score, hex};
use onward::words::{counted, four};
use onward::{Error, ErrorKind, Result};
use onward_data as data;
use onward_data::Preparation;
use onward_run::judge::in_units;
use onward_run::present;
use serde_json::json;
use std::io::Read;
use std::path::{Path, absolute};
use std::sync::Arc;

/// A trained model and the rows that it is asked about.
pub(super) struct Trained {
    pub(super) evaluator: Local,
    pub(super) params: Params,
    pub(super) statistics: Vec<Statistics>,
    pub(super) preparation: Preparation,
    pub(super) features: Vec<f32>,
    targets: Option<(Targets, Columns)>,
    /// The columns that say which row it is.
    pub(super) ids: Vec<(String, Vec<String>)>,
    pub(super) classes: bool,
    pub(super) spec: Spec,
}

impl Trained {
    /// What is answered at each item that a row of tokens has; `None` for other rows.
    pub(super) fn items<'a>(&self, row: usize, out: &'a [f32]) -> Option<Vec<&'a [f32]>> {
        if !self.spec.is_of_tokens() {
            return None;
        }
        let items = self.preparation.shape[1];
        let there = match &self.targets {
            Some((Targets::Values { values, width }, _)) => {
                values[row * width..][..*width].iter().take_while(|target| **target != NO_ITEM).count()
            }
            _ => items,
        };
        Some(out.chunks_exact((out.len() / items).max(1)).take(there).collect())
    }
}

/// What a run answers with.
pub(super) struct Answering {
    pub spec: Spec,
    pub header: Header,
    /// What was trained, and its params, which may be those of an unfinished run.
    pub evaluator: Local,
    pub params: Params,
    pub statistics: Vec<Statistics>,
    pub interface: Interface,
}

/// What the run in a folder answers with, as far as it has come.
///
/// # Errors
/// What of the run cannot be read, or is not what it wrote; [`ErrorKind::Ledger`] if there is no state of it yet.
pub(super) fn answering(run: &Path, how: &How) -> Result<Answering> {
    let folder = Folder::read_only(run)?;
    let (reading, damage) = folder.salvage()?;
    let spec = spec_of(&folder, &reading.header)?;
    let interface = Interface::read(&folder, &reading.header)?;
    let shape = interface.preparation.shape;
    let begun = Begun { header: &reading.header, folder: &folder };
    let evaluator = build::evaluator(&spec, shape, interface.outputs, how.threads(), Some(begun))
        .map_err(|e| e.in_file(&folder.spec()))?;
    Voice::new(how).say_emulation(evaluator.precision());
    let zero = Act::new(1, shape, vec![0.0; shape.iter().product()]);
    let (params, statistics) = if present::is_unfinished(&folder, &reading)? {
        unfinished(run, how, &folder, &evaluator, zero)?
    } else {
        tell_of_ledger(&folder, &reading, damage, Voice::new(how))?;
        model(&folder, &reading, &evaluator, zero)?
    };
    Ok(Answering { spec, header: reading.header, evaluator, params, statistics, interface })
}

/// The name of standard input among files.
const STANDARD_INPUT: &str = "-";

/// A language model's folder that no run has tuned, with the rows of a text.
fn of_folder(path: &Path, file: &Path, how: &How) -> Result<Trained> {
    let whole = absolute(path).map_err(|e| Error::io("find", path, e))?;
    let (text_path, bytes) = match file.to_str() {
        Some(STANDARD_INPUT) => ("standard input".into(), Some(read_input()?)),
        _ => {
            let file = data::expand_home(file);
            (absolute(&file).map_err(|e| Error::io("find", &file, e))?, None)
        }
    };
    let [model, data] = [&whole, &text_path].map(|own| Value::from(own.display().to_string()));
    let folder = language::open(path, false)?;
    let (names, classes) = language::classes(&folder);
    let loss = if language::is_encoder(&folder) { "cross-entropy" } else { "item-cross-entropy" };
    let text = format!(
        "seed = 0\n[data]\npath = {data}\n[model]\nkind = \"language\"\npath = {model}\n[objective]\nloss = \"{loss}\"\n\
         [method]\nname = \"relative-local\"\n[train]\nsteps = 1\n"
    );
    let spec = Spec::parse(&text, path, &[], None)?;
    let known = Preparation { classes: names, ..Preparation::none([1, 1, 1]) };
    let data::More { features, rows, answered: targets, ids, notes } =
        language::more(&text_path, bytes.as_deref(), &spec.data, &folder, (&known, classes))?;
    for note in &notes {
        Voice::new(how).warn(&format!("note: {}: {note}", file.display()));
    }
    let shape = [1, features.len() / rows.max(1), 1];
    let (model, threads) = (language::net(&folder, &spec.model.kind, classes), Threads::new(how.threads())?);
    let precision = spec.model.precision.here();
    let evaluator = spec.settings().local_of(model, shape, shape[1], &threads, precision)?;
    let (params, preparation) = (language::own_params(&folder)?, Preparation { shape, ..known });
    Ok(Trained {
        evaluator,
        params,
        statistics: Vec::new(),
        preparation,
        features,
        targets,
        ids,
        classes: classes > 0,
        spec,
    })
}

/// The model of a run, or of a language model's folder, with the rows of a file or of standard input.
pub(super) fn load(run: &Path, file: &Path, how: &How) -> Result<Trained> {
    if !run.join("ledger.bin").is_file() && run.join("config.json").is_file() {
        return of_folder(run, file, how);
    }
    let Answering { spec, header, evaluator, params, statistics, interface } = answering(run, how)?;
    let folder = Folder::read_only(run)?;
    let language = language::of(&spec, Some(Begun { header: &header, folder: &folder }))?;
    let (path, bytes) = match file.to_str() {
        Some(STANDARD_INPUT) => ("standard input".into(), Some(read_input()?)),
        _ => (data::expand_home(file), None),
    };
    let more = match &language {
        Some(language) => {
            let known = (&interface.preparation, interface.outputs);
            language::more(&path, bytes.as_deref(), &spec.data, language, known)?
        }
        None => {
            let Interface { preparation, outputs } = &interface;
            data::load_more(&path, bytes.as_deref(), &spec.data, preparation, *outputs)?
        }
    };
    if more.rows == 0 {
        return Err(Error::expected(ErrorKind::Data, path.display(), "at least one row", "none"));
    }
    for note in &more.notes {
        Voice::new(how).warn(&format!("note: {}: {note}", path.display()));
    }
    let classes = spec.data.target == data::Target::Class;
    let preparation = interface.preparation;
    let data::More { features, answered: targets, ids, .. } = more;
    Ok(Trained { evaluator, params, statistics, preparation, features, targets, ids, classes, spec })
}

fn read_input() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|e| Error::io("read", Path::new("standard input"), e))?;
    Ok(bytes)
}

/// A finished run answers from its model, which the manifest binds, whatever has become of the ledger since; but if that does
/// not lead to the model any more, somebody has to know.
fn tell_of_ledger(folder: &Folder, reading: &Reading, damage: Option<Error>, voice: Voice) -> Result<()> {
    let wrong = match (damage, Manifest::read(folder, &reading.chains[0])?) {
        (Some(damage), _) => Some(damage.in_file(&folder.ledger())),
        (None, Some(manifest)) => {
            manifest.check_ledger(folder, reading.records.len() as u64, &reading.chain()).err()
        }
        (None, None) => None,
    };
    if let Some(wrong) = wrong {
        let why =
            format!("{wrong}; the model is the one that the run left, but its ledger does not lead there");
        voice.warn(&format!("warning: {why}"));
        if voice == Voice::Json {
            voice.say("", &json!({"event": "ledger damaged", "why": wrong.to_string()}));
        }
    }
    Ok(())
}

/// The params of a run that is not finished, as far as they can be had, and the statistics of its normalisations, for which
/// the training rows are read; says which step they are of.
fn unfinished(
    run: &Path,
    how: &How,
    folder: &Folder,
    evaluator: &Local,
    zero: Act,
) -> Result<(Params, Vec<Statistics>)> {
    let present = present::present(folder, how.threads())?;
    let (step, steps, voice) = (present.state.step(), present.reading.budget(), Voice::new(how));
    let diverged = folder.why_diverged();
    let why = diverged.as_ref().map_or_else(String::new, |why| format!("; it {why}"));
    let run = run.display();
    voice.warn(&format!("note: {run} is not finished: this is step {step} of {steps}{why}"));
    if voice == Voice::Json {
        voice.say("", &told_of(diverged, json!({"event": "unfinished", "step": step, "steps": steps})));
    }
    let params = present.state.params().clone();
    let mut statistics = evaluator.statistics(&params, zero)?;
    if !statistics.is_empty() {
        let moved = Moved::default();
        let mut origin = FromSpec::new(folder.path(), &moved, how);
        statistics = present::statistics(folder, &present, &mut origin)?;
    }
    Ok((params, statistics))
}

/// The params of a finished run's model and the statistics of its normalisations, if they are those that the run left; `zero`
/// is any input.
pub(super) fn model(
    folder: &Folder,
    reading: &Reading,
    evaluator: &Local,
    zero: Act,
) -> Result<(Params, Vec<Statistics>)> {
    let (params, rest) = saved(folder, reading, evaluator.graph(zero.shape())?.tensors())?;
    let wanted = evaluator.statistics(&params, zero)?;
    let statistics = statistics(&rest, &wanted).map_err(|e| e.in_file(&folder.model()))?;
    Ok((params, statistics))
}

/// The params of the model and what else is in its file, if it is the file that the run left.
fn saved(folder: &Folder, reading: &Reading, wanted: &[TensorSpec]) -> Result<(Params, Vec<Tensor>)> {
    let path = folder.model();
    let memory: Arc<dyn Memory> = Arc::new(Mapping::open(&path)?);
    let bytes = memory.bytes();
    match Manifest::read(folder, &reading.chains[0])? {
        Some(manifest) => manifest.check(folder, MODEL, bytes)?,
        None if reading.version > 1 => {
            let expected = "the manifest that a finished run leaves";
            let found = format!("none (`onward resume {}` writes it)", folder.path().display());
            return Err(Error::expected(ErrorKind::Damage, folder.manifest().display(), expected, found));
        }
        None => {}
    }
    let damage = |e: Error| Error::new(ErrorKind::Damage, e.to_string()).in_file(&path);
    let tensors = Params::tensors_in(&memory).map_err(damage)?;
    let (params, rest) = Params::take(wanted, tensors).map_err(damage)?;
    let (written, found) =
        (Params::metadata_from_safetensors(bytes)?.remove("onward.digest"), hex(&params.digest()));
    if written.as_ref() != Some(&found) {
        let expected = format!("params with digest {}", written.unwrap_or_else(|| "in the metadata".into()));
        return Err(Error::expected(ErrorKind::Damage, path.display(), expected, found));
    }
    Ok((params, rest))
}

/// The statistics of the `wanted` normalisations among the model file's further tensors. Without them, answers would
/// depend on which rows are asked together.
fn statistics(rest: &[Tensor], wanted: &[Statistics]) -> Result<Vec<Statistics>> {
    let take = |name: String, count: usize, fits: fn(f32) -> bool| -> Result<Vec<f32>> {
        match rest.iter().find(|t| t.name == name) {
            Some(t) if t.shape == [count] && t.data.iter().all(fits) => Ok(t.data.floats().into_owned()),
            found => {
                let found = found
                    .map_or_else(|| "no such tensor".into(), |t| format!("shape {:?} or others", t.shape));
                let expected = format!("{count} statistics of a normalisation");
                Err(Error::expected(ErrorKind::Model, format!("tensor {name}"), expected, found))
            }
        }
    };
    let one = |s: &Statistics| {
        let mean = take(format!("{}.running_mean", s.layer), s.mean.len(), |v| v.is_finite())?;
        let variance =
            take(format!("{}.running_var", s.layer), s.variance.len(), |v| v.is_finite() && v >= 0.0)?;
        Ok(Statistics { layer: s.layer.clone(), mean, variance })
    };
    wanted.iter().map(one).collect()
}

/// The score of the rows, whose answers came with their spikes where there are any.
fn scored(t: &Trained, spikes: Option<&Spikes>, data: &Dataset) -> Result<Score> {
    let Some(spikes) = spikes else { return train::score(&t.evaluator, &t.params, &t.statistics, data) };
    let graph = t.evaluator.check_data(data)?;
    let outputs = Act::new(data.rows(), graph.answer(), spikes.answers.clone());
    let (targets, columns) = (data.targets().clone(), data.columns().clone());
    Examined { outputs, losses: None, targets, columns }.score(&t.evaluator)
}

/// `onward eval`.
pub fn eval(args: &OnData) -> Result<()> {
    let mut t = load(&args.run, &args.data, &args.how)?;
    let Some((targets, columns)) = t.targets.take() else {
        let (expected, found) = match (&t.spec.data.weight, &t.spec.data.columns) {
            (None, None) => ("rows with answers to compare with", "features alone"),
            (_, Some(_)) => ("rows with answers to compare with, and the columns of data.columns", "not all"),
            (Some(_), None) => ("rows with answers to compare with, and their weights", "not both"),
        };
        return Err(Error::expected(ErrorKind::Data, args.data.display(), expected, found));
    };
    let spikes = spikes::of(&t)?;
    let data = Dataset::new(std::mem::take(&mut t.features), t.preparation.shape, targets)
        .and_then(|data| data.with_columns(columns))
        .map_err(|e| e.in_file(&args.data))?;
    let score = scored(&t, spikes.as_ref(), &data).map_err(|e| e.in_file(&args.data))?;
    let measured = in_units(&score, t.preparation.loss(1.0, 1));
    let right = |share: f32| (f64::from(share) * data.rows() as f64).round() as u64;
    let interval = score.accuracy.map(|share| wilson(right(share), data.rows() as u64));
    let accuracy = score.accuracy.zip(interval).map_or_else(String::new, |(a, i)| {
        format!("accuracy {:.2} % (95 %: {:.1} to {:.1}), ", 100.0 * a, 100.0 * i.low, 100.0 * i.high)
    });
    let metric: String =
        score.named().map(|(name, value)| format!("{} {}, ", name.replace('_', " "), four(value))).collect();
    let loss = t.preparation.loss(score.loss, t.spec.objective.power());
    let words = format!(
        "{accuracy}{metric}loss {} on {}{}{}{}",
        four(loss),
        counted(data.rows(), "row"),
        unit_words(&t.spec),
        measures(&measured).map_or_else(String::new, |words| format!("\n{words}")),
        spikes.as_ref().map_or_else(String::new, |spikes| format!("\n{}", spikes.words()))
    );
    let mut event =
        json!({"rows": data.rows(), "loss": loss, "accuracy": score.accuracy, "confusion": score.confusion});
    if !t.preparation.classes.is_empty() {
        event["classes"] = json!(t.preparation.classes);
    }
    for (name, value) in score.named() {
        event[name] = value.into();
    }
    event["accuracy_interval"] = json!(interval.map(|interval| [interval.low, interval.high]));
    for (name, value) in measured {
        event[name] = value.into();
    }
    if let Some(spikes) = &spikes {
        spikes.tell(&mut event);
    }
    Voice::new(&args.how).say(&words, &event);
    Ok(())
}
