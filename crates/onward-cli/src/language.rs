//! Language models, where the program is built with them.

use crate::build::Begun;
use crate::spec::Spec;
#[cfg(not(feature = "language"))]
use onward::ErrorKind;
use onward::ask::Shuffle;
use onward::model::{Graph, Model};
use onward::noise::RunKey;
use onward::params::Params;
use onward::settings::{Language, ModelKind};
use onward::train::Given;
use onward::{Error, Result};
use onward_data::texts::{self, TextRows, Texts};
use onward_data::{self as data, DataOptions, More, Opened};
use std::path::Path;
use std::sync::Arc;

/// A language model's folder but for its weights.
#[cfg(feature = "language")]
#[derive(Clone, Debug)]
pub struct Folder(pub onward_language::Folder);

/// What stands for a language model's folder in a program without language models: there is none.
#[cfg(not(feature = "language"))]
#[derive(Clone, Debug)]
pub enum Folder {}

/// The folder in which the spec's language model is, if it is one: that which a run that was begun has kept, or else the one that the spec names.
///
/// # Errors
/// [`ErrorKind::Spec`] if the program is built without language models; those of `onward_language::Folder`.
pub fn of(spec: &Spec, begun: Option<Begun<'_>>) -> Result<Option<Folder>> {
    match (&spec.model.kind, begun) {
        (ModelKind::Language(_), Some(begun)) => kept(begun).map(Some),
        (ModelKind::Language(Language { path, .. }), None) => open(path).map(Some),
        _ => Ok(None),
    }
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

/// Reads one more text.
///
/// # Errors
/// As for [`texts::more`].
pub fn more(path: &Path, bytes: Option<&[u8]>, options: &DataOptions, folder: &Folder) -> Result<More> {
    texts::more(path, bytes, options, folder)
}

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
    use super::{
        Arc, Error, Folder, Given, Graph, Language, Model, ModelKind, Path, Result, RunKey, TextRows, Texts,
    };
    use super::{Begun, Form, Params};
    use crate::build::check_texts;
    use onward::dataset::{Targets, UNASKED};
    use onward::settings::Learns;
    use onward_language::{Adapters, Learning, TextOptions, rows_of};
    use serde_json::json;
    use std::collections::BTreeMap;

    /// Opens a folder of files as the ecosystem hands them around.
    pub fn open(path: &Path) -> Result<Folder> {
        onward_language::Folder::open(path).map(Folder)
    }

    /// What a run has kept, if it is what it began with.
    pub fn kept(begun: Begun<'_>) -> Result<Folder> {
        let path = begun.folder.language();
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        check_texts(begun, &bytes)?;
        onward_language::Folder::described(&bytes, &path).map(Folder)
    }

    /// The net, with what of it learns.
    pub fn net(folder: &Folder, kind: &ModelKind) -> Arc<dyn Model> {
        Arc::new(language_of(folder, kind))
    }

    /// The same, as what it is.
    pub fn language_of(folder: &Folder, kind: &ModelKind) -> onward_language::Language {
        let ModelKind::Language(settings) = kind else { return folder.0.net() };
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
        onward_language::Language { learning, ..folder.0.net() }
    }

    /// What the net begins with.
    pub fn params(folder: &Folder, graph: &Graph, key: &RunKey) -> Result<Given> {
        folder.0.params(graph, key)
    }

    /// The weights of a folder, whatever learns.
    pub fn own_params(folder: &Folder) -> Result<Params> {
        let graph = Graph::new(&folder.0.net(), [1, 1, 1])?;
        folder.0.params(&graph, &RunKey::from_seed(0)).map(|given| given.params)
    }

    /// The first rows as the model sees them: words and events. What is not asked about stands in brackets.
    pub fn examples(folder: &Folder, rows: &onward::rows::Rows) -> Result<Vec<(String, serde_json::Value)>> {
        let data = rows.data();
        let Targets::Values { values, width } = data.targets() else { return Ok(Vec::new()) };
        let one = |row: usize| {
            let targets = &values[row * width..][..*width];
            let asked: Vec<u32> = targets.iter().filter(|t| **t >= 0.0).map(|t| *t as u32).collect();
            let there = data.row(row).iter().filter(|t| **t >= 0.0).map(|t| *t as u32);
            let seen: Vec<u32> = there.collect();
            let given = targets.iter().take_while(|t| **t == UNASKED).count() + 1;
            let shown = &seen[..given.min(seen.len())];
            let (tokenizer, count) = (folder.0.tokenizer(), seen.len());
            let (shown, asked_text) = (tokenizer.decode(shown)?, tokenizer.decode(&asked)?);
            let words = format!("row {row}, {count} tokens, {} asked: [{shown}]{asked_text}", asked.len());
            let event = json!({"event": "example", "row": row, "tokens": seen, "asked": asked, "given": shown, "text": asked_text});
            Ok((words, event))
        };
        (0..data.rows()).map(one).collect()
    }

    /// The files of an exported model, by their names.
    pub fn files(
        folder: &Folder,
        kind: &ModelKind,
        params: &Params,
        form: Form,
        metadata: &[(&str, String)],
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        let ModelKind::Language(settings) = kind else { return Ok(BTreeMap::new()) };
        match form {
            Form::Whole => folder.0.merged(params, settings.alpha, metadata),
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
                folder.0.peft(params, settings.rank, settings.alpha, &base)
            }
        }
    }

    /// What a run keeps of the folder.
    pub fn description(folder: &Folder) -> Vec<u8> {
        folder.0.description()
    }

    impl Texts for super::Folder {
        fn rows(
            &self,
            text: &str,
            lines_of_json: bool,
            end: Option<&str>,
            length: usize,
        ) -> Result<TextRows> {
            let options = TextOptions { length, document_end: end.map(str::to_owned), lines_of_json };
            let rows = rows_of(text, &self.0, &options)?;
            Ok(TextRows { notes: rows.notes(), tokens: rows.tokens, rows: rows.rows })
        }

        fn sizes(&self) -> (u32, usize) {
            (self.0.config().vocabulary as u32, self.0.config().context)
        }
    }
}

#[cfg(not(feature = "language"))]
mod with {
    use super::ModelKind;
    use super::{Arc, Error, ErrorKind, Folder, Given, Graph, Model, Path, Result, RunKey, TextRows, Texts};
    use super::{Begun, Form, Params};
    use std::collections::BTreeMap;

    /// What a program without language models says of them.
    pub fn absent() -> Error {
        let expected = "a program built with language models (cargo install --path crates/onward-cli --features language)";
        Error::expected(ErrorKind::Spec, onward::Place::key("model", "kind"), expected, "one without")
    }

    pub fn open(_: &Path) -> Result<Folder> {
        Err(absent())
    }

    pub fn kept(_: Begun<'_>) -> Result<Folder> {
        Err(absent())
    }

    pub fn net(folder: &Folder, _: &ModelKind) -> Arc<dyn Model> {
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

    pub fn examples(folder: &Folder, _: &onward::rows::Rows) -> Result<Vec<(String, serde_json::Value)>> {
        match *folder {}
    }

    pub fn files(
        folder: &Folder,
        _: &ModelKind,
        _: &Params,
        _: Form,
        _: &[(&str, String)],
    ) -> Result<BTreeMap<String, Vec<u8>>> {
        match *folder {}
    }

    impl Texts for Folder {
        fn rows(&self, _: &str, _: bool, _: Option<&str>, _: usize) -> Result<TextRows> {
            match *self {}
        }

        fn sizes(&self) -> (u32, usize) {
            match *self {}
        }
    }
}

pub use with::*;
