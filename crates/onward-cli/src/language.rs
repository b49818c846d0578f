//! Language models, where the program is built with them.

use crate::build::Begun;
use crate::spec::Spec;
#[cfg(not(feature = "language"))]
use onward::ErrorKind;
use onward::ask::Shuffle;
use onward::dataset::Dataset;
use onward::evaluate::{Answering, Evaluator, Local};
use onward::model::{Graph, Model};
use onward::noise::RunKey;
use onward::params::Params;
use onward::rows::Source;
use onward::settings::{Language, ModelKind, Objective, Verifier};
use onward::task::Task;
use onward::train::Given;
use onward::{Error, Result};
use onward_data::texts::{self, TextRows, Texts};
use onward_data::{self as data, DataOptions, More, Opened, Preparation};
use onward_report::Continued;
use std::path::Path;
use std::sync::Arc;

/// A language model's folder but for its weights.
#[cfg(feature = "language")]
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder.
    pub own: onward_language::Folder,
    /// Whether texts are prompts that the model is to write after, as the objective judges what it writes.
    pub apart: bool,
}

/// What stands for a language model's folder in a program without language models: there is none.
#[cfg(not(feature = "language"))]
#[derive(Clone, Debug)]
pub enum Folder {}

/// The folder in which the spec's language model is, if it is one: that which a run that was begun has kept, or else the one that the spec names.
///
/// # Errors
/// [`ErrorKind::Spec`] if the program is built without language models; those of `onward_language::Folder`.
pub fn of(spec: &Spec, begun: Option<Begun<'_>>) -> Result<Option<Folder>> {
    let ModelKind::Language(own) = &spec.model.kind else { return Ok(None) };
    let apart = matches!(spec.objective, Objective::Verifier(_));
    let folder = match begun {
        Some(begun) => kept(begun, apart)?,
        None => open(&own.path, apart)?,
    };
    asking(folder, spec, own).map(Some)
}

/// Opens the data of a spec, with the folder of its language model if it has one.
///
/// # Errors
/// As for [`data::open`].
pub fn open_data(options: &DataOptions, shuffle: Shuffle, folder: Option<&Folder>) -> Result<Opened> {
    match folder {
        Some(folder) => texts::open(options, folder),
        None => data::open(options, shuffle),
    }
}

/// Reads one more text, for a model that answers with so many numbers.
///
/// # Errors
/// As for [`texts::more`].
pub fn more(
    path: &Path,
    bytes: Option<&[u8]>,
    options: &DataOptions,
    folder: &Folder,
    (preparation, outputs): (&Preparation, usize),
) -> Result<More> {
    texts::more(path, bytes, options, folder, (&preparation.classes, outputs))
}

/// What makes the evaluator of a run, of the executor of its model and of its training rows.
pub type MakesEvaluator = Box<dyn FnOnce(Local, Arc<dyn Source>) -> Box<dyn Evaluator>>;

/// The files that others load: a whole model, or adapters alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The whole model, adapters merged.
    Whole,
    /// Adapters alone, as PEFT has them.
    Peft,
}

#[cfg(feature = "language")]
mod with {
    use super::{Answering, Begun, Continued, Dataset, Form, MakesEvaluator, Params, Task, Verifier};
    use super::{
        Arc, Error, Folder, Given, Graph, Language, Model, ModelKind, Path, Preparation, Result, RunKey,
        Spec, TextRows, Texts,
    };
    use crate::build::check_texts;
    use crate::program::Scoring;
    use onward::dataset::{Targets, UNASKED};
    use onward::settings::{self, Learns};
    use onward::{ErrorKind, Place};
    use onward_language::{
        Adapters, Answer, Asking, Builtin, Drawing, Generator, Learning, Look, Rewarded, Rollouts, Sampling,
        TextOptions, Verify, Writing, rows_of,
    };
    use serde_json::json;
    use std::collections::BTreeMap;

    /// Opens a folder of files as the ecosystem hands them around.
    pub fn open(path: &Path, apart: bool) -> Result<Folder> {
        onward_language::Folder::open(path).map(|own| Folder { own, apart })
    }

    /// What a run has kept, if it is what it began with.
    pub fn kept(begun: Begun<'_>, apart: bool) -> Result<Folder> {
        let path = begun.folder.language();
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        check_texts(begun, &bytes)?;
        onward_language::Folder::described(&bytes, &path).map(|own| Folder { own, apart })
    }

    /// The folder, with how a spec asks about texts.
    pub fn asking(folder: Folder, spec: &Spec, own: &Language) -> Result<Folder> {
        let words = own.label_words.as_deref().unwrap_or_default();
        let wrong = |key: &'static str, expected: &str, found: String| {
            let (section, key) = key.split_once('.').unwrap_or(("", key));
            Err(Error::expected(ErrorKind::Spec, Place::key(section, key), expected, found))
        };
        let (of_tokens, loss) = (spec.is_of_tokens(), format!("{:?}", spec.objective.name()));
        match (folder.own.is_encoder(), of_tokens) {
            (true, true) => {
                return wrong(
                    "objective.loss",
                    "\"cross-entropy\", as an encoder tells classes of texts",
                    loss,
                );
            }
            (true, false) if !words.is_empty() => {
                return wrong(
                    "model.label_words",
                    "none, as an encoder has a head for classes",
                    words.join(", "),
                );
            }
            (false, true) if !words.is_empty() => {
                return wrong("objective.loss", "\"cross-entropy\", as there are label words", loss);
            }
            (false, false) if words.is_empty() => {
                let expected = "a word for each class, as the model has no head for classes";
                return wrong("model.label_words", expected, "none".into());
            }
            _ => {}
        }
        if of_tokens {
            return Ok(folder);
        }
        let asking = Asking::new(spec.data.template.as_deref(), words, &folder.own)?;
        Ok(Folder { own: folder.own.asking(asking), ..folder })
    }

    /// Whether there is an encoder at a path, which need not be opened for it.
    pub fn is_of_encoder(path: &Path) -> Result<bool> {
        onward_language::Folder::is_of_encoder(path)
    }

    /// Whether a folder has an encoder.
    pub fn is_encoder(folder: &Folder) -> bool {
        folder.own.is_encoder()
    }

    /// The names of the classes that a folder's head tells apart, and how many these are; 0 if it has none.
    pub fn classes(folder: &Folder) -> (Vec<String>, usize) {
        let count = folder.own.classes().unwrap_or(0);
        let names = &folder.own.config().labels;
        (if names.len() == count { names.clone() } else { Vec::new() }, count)
    }

    /// The net, with what of it learns; of an encoder one that tells so many classes apart.
    pub fn net(folder: &Folder, kind: &ModelKind, classes: usize) -> Arc<dyn Model> {
        Arc::new(language_of(folder, kind, classes))
    }

    /// The net of a folder, or of a run with a model of this kind, as one whose tokens follow each other.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] for an encoder.
    pub fn speaking(folder: &Folder, kind: Option<&ModelKind>) -> Result<onward_language::Language> {
        if folder.own.is_encoder() {
            let (place, expected) = (folder.own.path().display(), "a model whose tokens follow each other");
            return Err(Error::expected(ErrorKind::Model, place, expected, "an encoder"));
        }
        let net = kind.map_or_else(|| folder.own.net(0), |kind| language_of(folder, kind, 0));
        Ok(onward_language::Language { answer: Answer::Tokens, ..net })
    }

    fn language_of(folder: &Folder, kind: &ModelKind, classes: usize) -> onward_language::Language {
        let ModelKind::Language(settings) = kind else { return folder.own.net(classes) };
        let Language { learns, top, norms, rank, alpha, adapted, .. } = settings;
        let form = onward::model::Adapter { rank: *rank, alpha: *alpha };
        let bottlenecks = matches!(learns, Learns::Bottlenecks | Learns::BottlenecksAndHead);
        let has_adapters = bottlenecks || matches!(learns, Learns::Adapters | Learns::AdaptersAndHead);
        let adapters = || Adapters { form, maps: adapted.clone(), bottlenecks };
        let learning = Learning {
            maps: matches!(learns, Learns::All | Learns::Maps),
            head: !matches!(learns, Learns::Maps | Learns::Adapters | Learns::Bottlenecks),
            norms: *norms,
            top: *top,
            adapters: has_adapters.then(adapters),
        };
        onward_language::Language { learning, ..folder.own.net(classes) }
    }

    /// What the net begins with.
    pub fn params(folder: &Folder, graph: &Graph, key: &RunKey) -> Result<Given> {
        folder.own.params(graph, key)
    }

    /// The weights of a folder, whatever learns.
    pub fn own_params(folder: &Folder) -> Result<Params> {
        let graph = Graph::new(&folder.own.net(folder.own.classes().unwrap_or(0)), [1, 1, 1])?;
        folder.own.params(&graph, &RunKey::from_seed(0)).map(|given| given.params)
    }

    /// The first rows as the model sees them: words and events. What is not asked about stands in brackets.
    pub fn examples(
        folder: &Folder,
        preparation: &Preparation,
        rows: &onward::rows::Rows,
    ) -> Result<Vec<(String, serde_json::Value)>> {
        let data = rows.data();
        if let Targets::Classes { labels, classes } = data.targets() {
            return classes_shown(folder, preparation, (data, labels, *classes));
        }
        let Targets::Values { values, width } = data.targets() else { return Ok(Vec::new()) };
        let one = |row: usize| {
            let targets = &values[row * width..][..*width];
            let asked: Vec<u32> = targets.iter().filter(|t| **t >= 0.0).map(|t| *t as u32).collect();
            let there = data.row(row).iter().filter(|t| **t >= 0.0).map(|t| *t as u32);
            let seen: Vec<u32> = there.collect();
            let given = match folder.apart {
                true => seen.len(),
                false => targets.iter().take_while(|t| **t == UNASKED).count() + 1,
            };
            let asked = if folder.apart { asked[seen.len()..].to_vec() } else { asked };
            let shown = &seen[..given.min(seen.len())];
            let (tokenizer, count) = (folder.own.tokenizer(), seen.len());
            let (shown, asked_text) = (tokenizer.decode(shown)?, tokenizer.decode(&asked)?);
            let words = format!("row {row}, {count} tokens, {} asked: [{shown}]{asked_text}", asked.len());
            let event = json!({"event": "example", "row": row, "tokens": seen, "asked": asked, "given": shown, "text": asked_text});
            Ok((words, event))
        };
        (0..data.rows()).map(one).collect()
    }

    /// Tokens of a plain text that are shown before it is to go on, and those that are written at most.
    const SHOWN: usize = 24;
    const WRITTEN: usize = 48;

    /// The prompts of some rows, and what a net writes after each with one set of params and with another.
    pub fn continued(
        folder: &Folder,
        spec: &Spec,
        params: [impl FnOnce() -> Result<Params>; 2],
        rows: &Dataset,
    ) -> Result<Vec<Continued>> {
        let Targets::Values { values, width } = rows.targets() else { return Ok(Vec::new()) };
        let (tokenizer, tokens) = (folder.own.tokenizer(), |all: &[f32]| -> Vec<u32> {
            all.iter().filter(|token| **token >= 0.0).map(|token| *token as u32).collect()
        });
        let asked = |row: usize| {
            let (seen, targets) = (tokens(rows.row(row)), &values[row * width..][..*width]);
            let unasked = targets.iter().take_while(|target| **target == UNASKED).count();
            match (folder.apart, unasked) {
                (true, _) => (seen, tokens(&targets[width / 2..])),
                (false, 0) => {
                    let shown = SHOWN.min(seen.len().div_ceil(2));
                    (seen[..shown].to_vec(), tokens(&targets[shown - 1..]))
                }
                (false, unasked) => {
                    (seen[..(unasked + 1).min(seen.len())].to_vec(), tokens(&targets[unasked..]))
                }
            }
        };
        let (prompts, wanted): (Vec<_>, Vec<_>) = (0..rows.rows()).map(asked).unzip();
        let most = match &spec.objective {
            settings::Objective::Verifier(own) => own.tokens,
            _ => WRITTEN,
        };
        let written = |params: Params| {
            let net = language_of(folder, &spec.model.kind, 0);
            let generator = Generator::new(net, &params, spec.model.precision.here())?;
            let mut all = vec![Vec::new(); prompts.len()];
            generator.run(&prompts, most, Sampling::GREEDY, &mut |row, token| {
                all[row].push(token);
                true
            })?;
            Ok::<_, Error>(all)
        };
        let [before, after] = params.map(|params| params().and_then(written));
        let (before, after) = (before?, after?);
        let one = |row: usize| {
            let prompt = prompts[row].as_slice();
            let text = |more: &[u32]| tokenizer.after(prompt, &more[..more.len().min(most)]);
            let (before, after, wanted) = (text(&before[row])?, text(&after[row])?, text(&wanted[row])?);
            Ok(Continued { prompt: tokenizer.decode(prompt)?, before, after, wanted })
        };
        (0..prompts.len()).map(one).collect()
    }

    /// What judges the texts that the model writes.
    fn rewarded(folder: &Folder, own: &Verifier) -> Result<Rewarded> {
        let wrong = |key: &str, expected: &str| {
            let place = onward::Place::key("objective", key);
            Err(Error::expected(onward::ErrorKind::Spec, place, expected, "none"))
        };
        let builtin = |look: Look| Arc::new(Builtin { look, form: own.form });
        let verify: Arc<dyn Verify> = match (own.verify, &own.pattern) {
            (settings::Verify::Exact, _) => builtin(Look::Exact),
            (settings::Verify::F1, _) => builtin(Look::F1),
            (settings::Verify::Json, _) => builtin(Look::Json),
            (settings::Verify::Regex, Some(pattern)) => builtin(Look::regex(pattern)?),
            (settings::Verify::Regex, None) => {
                return wrong("pattern", "a regular expression, as verify is \"regex\"");
            }
            (settings::Verify::Program, _) => {
                let Verifier { command, directory, timeout, key, .. } = own.clone();
                Arc::new(Scoring::new(settings::Program {
                    command,
                    directory,
                    timeout,
                    key,
                    rows: Some(true),
                })?)
            }
        };
        let (tokenizer, end) = (Arc::new(folder.own.tokenizer().clone()), folder.own.config().end.clone());
        Ok(Rewarded { tokenizer, end, verify })
    }

    /// The task of texts that are judged, and how a model answers it.
    pub fn writing(
        folder: &Folder,
        kind: &ModelKind,
        own: &Verifier,
    ) -> Result<(Arc<dyn Task>, Arc<dyn Answering>)> {
        let writing = Writing::new(language_of(folder, kind, 0), own.tokens, own.temperature)?;
        Ok((Arc::new(rewarded(folder, own)?), Arc::new(writing)))
    }

    /// The evaluator of a run whose model writes each text so many times.
    pub fn rollouts(folder: &Folder, own: &Verifier, times: usize) -> Result<MakesEvaluator> {
        let rewarded = rewarded(folder, own)?;
        let how = Drawing { times, temperature: own.temperature, entropy: own.entropy };
        if own.temperature <= 0.0 {
            let place = onward::Place::key("objective", "temperature");
            let expected = "above 0, as several texts of a prompt are drawn";
            return Err(Error::expected(onward::ErrorKind::Spec, place, expected, own.temperature));
        }
        Ok(Box::new(move |local, data| Box::new(Rollouts::new(local, data, rewarded, how))))
    }

    /// The first texts that have a class, as the model sees them.
    fn classes_shown(
        folder: &Folder,
        preparation: &Preparation,
        (data, labels, classes): (&onward::dataset::Dataset, &[u32], usize),
    ) -> Result<Vec<(String, serde_json::Value)>> {
        let tokenizer = folder.own.tokenizer();
        let one = |row: usize| {
            let there = data.row(row).iter().filter(|t| **t >= 0.0).map(|t| *t as u32);
            let seen: Vec<u32> = there.collect();
            let (text, class) = (tokenizer.decode(&seen)?, preparation.class_name(labels[row] as usize));
            let words = format!("row {row}, {} tokens, class {class}: {text}", seen.len());
            let event = json!({"event": "example", "row": row, "tokens": seen, "class": class, "text": text});
            Ok((words, event))
        };
        let mut all = (0..data.rows()).map(one).collect::<Result<Vec<_>>>()?;
        if folder.own.is_encoder() {
            let of_folder = folder.own.classes() == Some(classes);
            let words = match folder.own.classes() {
                Some(_) if of_folder => "the head is the folder's".into(),
                Some(other) => format!("the head is new, as the folder's is for {other} classes"),
                None => "the head is new: the folder has none".into(),
            };
            all.push((words, json!({"event": "head", "of_folder": of_folder, "classes": classes})));
        } else {
            let words = preparation_words(preparation, folder, tokenizer)?;
            all.push(words);
        }
        Ok(all)
    }

    /// Which token stands for which class.
    fn preparation_words(
        preparation: &Preparation,
        folder: &Folder,
        tokenizer: &onward_language::Tokenizer,
    ) -> Result<(String, serde_json::Value)> {
        let one = |(class, token): (usize, &u32)| {
            let (name, word) = (preparation.class_name(class), tokenizer.word(*token).unwrap_or_default());
            format!("{name} by {word:?}")
        };
        let tokens = folder.own.asks().words();
        let all: Vec<String> = tokens.iter().enumerate().map(one).collect();
        let words = format!("classes are told by the first tokens of their words: {}", all.join(", "));
        Ok((words, json!({"event": "label words", "tokens": tokens})))
    }

    /// The files of an exported model, by their names; its classes have these names, if they have some.
    pub fn files(
        folder: &Folder,
        kind: &ModelKind,
        params: &Params,
        classes: &[String],
        form: Form,
        metadata: &[(&str, String)],
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        let ModelKind::Language(settings) = kind else { return Ok(BTreeMap::new()) };
        match form {
            Form::Whole => folder.own.merged(params, settings.alpha, classes, metadata),
            Form::Peft if !matches!(settings.learns, Learns::Adapters | Learns::Bottlenecks) => {
                let expected =
                    "\"adapters\" or \"bottlenecks\", as PEFT's files have these alone (--as folder has all)";
                let place = onward::Place::key("model", "learns");
                Err(Error::expected(
                    onward::ErrorKind::Spec,
                    place,
                    expected,
                    format!("{:?}", settings.learns.name()),
                ))
            }
            Form::Peft => {
                let base = settings.path.display().to_string();
                folder.own.peft(params, settings.rank, settings.alpha, &base)
            }
        }
    }

    /// What a run keeps of the folder.
    pub fn description(folder: &Folder) -> Vec<u8> {
        folder.own.description()
    }

    impl Texts for super::Folder {
        fn rows(
            &self,
            text: &str,
            lines_of_json: bool,
            end: Option<&str>,
            length: usize,
        ) -> Result<TextRows> {
            let apart = self.apart;
            let options = TextOptions { length, document_end: end.map(str::to_owned), lines_of_json, apart };
            let rows = rows_of(text, &self.own, &options)?;
            Ok(TextRows { notes: rows.notes(), tokens: rows.tokens, rows: rows.rows })
        }

        fn apart(&self) -> bool {
            self.apart
        }

        fn have_classes(&self) -> bool {
            self.own.is_encoder() || !self.own.asks().words().is_empty()
        }

        fn classes(&self) -> Option<usize> {
            Some(self.own.asks().words().len()).filter(|words| *words > 0)
        }

        fn row(&self, text: &str, length: usize) -> Result<(Vec<f32>, bool)> {
            let (tokens, cut) = self.own.row_of(text, length)?;
            Ok((tokens.into_iter().map(|token| token as f32).collect(), cut))
        }

        fn sizes(&self) -> (u32, usize) {
            (self.own.config().vocabulary as u32, self.own.config().context)
        }
    }
}

#[cfg(not(feature = "language"))]
mod with {
    use super::ModelKind;
    use super::{Answering, Begun, Continued, Dataset, Form, MakesEvaluator, Params, Task, Verifier};
    use super::{
        Arc, Error, ErrorKind, Folder, Given, Graph, Language, Model, Path, Preparation, Result, RunKey,
        Spec, TextRows, Texts,
    };
    use std::collections::BTreeMap;

    /// What a program without language models says of them.
    pub fn absent() -> Error {
        let expected = "a program built with language models (cargo install --path crates/onward-cli --features language)";
        Error::expected(ErrorKind::Spec, onward::Place::key("model", "kind"), expected, "one without")
    }

    pub fn open(_: &Path, _: bool) -> Result<Folder> {
        Err(absent())
    }

    pub fn kept(_: Begun<'_>, _: bool) -> Result<Folder> {
        Err(absent())
    }

    pub fn asking(folder: Folder, _: &Spec, _: &Language) -> Result<Folder> {
        match folder {}
    }

    pub fn is_of_encoder(_: &Path) -> Result<bool> {
        Err(absent())
    }

    pub fn is_encoder(folder: &Folder) -> bool {
        match *folder {}
    }

    pub fn classes(folder: &Folder) -> (Vec<String>, usize) {
        match *folder {}
    }

    pub fn net(folder: &Folder, _: &ModelKind, _: usize) -> Arc<dyn Model> {
        match *folder {}
    }

    pub fn params(folder: &Folder, _: &Graph, _: &RunKey) -> Result<Given> {
        match *folder {}
    }

    pub fn description(folder: &Folder) -> Vec<u8> {
        match *folder {}
    }

    pub fn own_params(folder: &Folder) -> Result<Params> {
        match *folder {}
    }

    pub fn examples(
        folder: &Folder,
        _: &Preparation,
        _: &onward::rows::Rows,
    ) -> Result<Vec<(String, serde_json::Value)>> {
        match *folder {}
    }

    pub fn continued(
        folder: &Folder,
        _: &Spec,
        _: [impl FnOnce() -> Result<Params>; 2],
        _: &Dataset,
    ) -> Result<Vec<Continued>> {
        match *folder {}
    }

    pub fn writing(
        folder: &Folder,
        _: &ModelKind,
        _: &Verifier,
    ) -> Result<(Arc<dyn Task>, Arc<dyn Answering>)> {
        match *folder {}
    }

    pub fn rollouts(folder: &Folder, _: &Verifier, _: usize) -> Result<MakesEvaluator> {
        match *folder {}
    }

    pub fn files(
        folder: &Folder,
        _: &ModelKind,
        _: &Params,
        _: &[String],
        _: Form,
        _: &[(&str, String)],
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        match *folder {}
    }

    impl Texts for Folder {
        fn rows(&self, _: &str, _: bool, _: Option<&str>, _: usize) -> Result<TextRows> {
            match *self {}
        }

        fn have_classes(&self) -> bool {
            match *self {}
        }

        fn classes(&self) -> Option<usize> {
            match *self {}
        }

        fn row(&self, _: &str, _: usize) -> Result<(Vec<f32>, bool)> {
            match *self {}
        }

        fn sizes(&self) -> (u32, usize) {
            match *self {}
        }
    }
}

pub use with::*;
