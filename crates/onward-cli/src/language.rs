//! Language models, where the program is built with them.

use crate::build::Begun;
use crate::spec::Spec;
use onward::ask::Shuffle;
use onward::settings::{Language, ModelKind};
use onward::model::{Graph, Model};
use onward::noise::RunKey;
use onward::train::Given;
use onward::{Error, Result};
#[cfg(not(feature = "language"))]
use onward::ErrorKind;
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
        (ModelKind::Language(_), Some(Begun { folder, .. })) => kept(&folder.language()).map(Some),
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

#[cfg(feature = "language")]
mod with {
    use super::{Arc, Error, Folder, Given, Graph, Language, Model, ModelKind, Path, Result, RunKey, Spec, TextRows, Texts};
    use onward::settings::Learns;
    use onward_language::{Adapters, Learning, TextOptions, rows_of};

    /// Opens a folder of files as the ecosystem hands them around.
    pub fn open(path: &Path) -> Result<Folder> {
        onward_language::Folder::open(path).map(Folder)
    }

    /// What a run has kept.
    pub fn kept(path: &Path) -> Result<Folder> {
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        onward_language::Folder::described(&bytes, path).map(Folder)
    }

    /// The net, with what of it learns.
    pub fn net(folder: &Folder, spec: &Spec) -> Arc<dyn Model> {
        let ModelKind::Language(settings) = &spec.model.kind else { return Arc::new(folder.0.net()) };
        let Language { learns, top, norms, rank, alpha, adapted, .. } = settings;
        let form = onward::model::Adapter { rank: *rank, alpha: *alpha };
        let adapters = || Adapters { form, maps: adapted.clone() };
        let learning = Learning {
            maps: matches!(learns, Learns::All | Learns::Maps),
            head: matches!(learns, Learns::All | Learns::Head | Learns::AdaptersAndHead),
            norms: *norms,
            top: *top,
            adapters: matches!(learns, Learns::Adapters | Learns::AdaptersAndHead).then(adapters),
        };
        Arc::new(onward_language::Language { learning, ..folder.0.net() })
    }

    /// What the net begins with.
    pub fn params(folder: &Folder, graph: &Graph, key: &RunKey) -> Result<Given> {
        folder.0.params(graph, key)
    }

    /// What a run keeps of the folder.
    pub fn description(folder: &Folder) -> Vec<u8> {
        folder.0.description()
    }

    impl Texts for super::Folder {
        fn rows(&self, text: &str, lines_of_json: bool, end: Option<&str>, length: usize) -> Result<TextRows> {
            let options =
                TextOptions { length, document_end: end.map(str::to_owned), lines_of_json };
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
    use super::{Arc, Error, ErrorKind, Folder, Given, Graph, Model, Path, Result, RunKey, Spec, TextRows, Texts};

    fn absent() -> Error {
        let expected =
            "a program built with language models (cargo install --path crates/onward-cli --features language)";
        Error::expected(ErrorKind::Spec, onward::Place::key("model", "kind"), expected, "one without")
    }

    pub fn open(_: &Path) -> Result<Folder> {
        Err(absent())
    }

    pub fn kept(_: &Path) -> Result<Folder> {
        Err(absent())
    }

    pub fn net(folder: &Folder, _: &Spec) -> Arc<dyn Model> {
        match *folder {}
    }

    pub fn params(folder: &Folder, _: &Graph, _: &RunKey) -> Result<Given> {
        match *folder {}
    }

    pub fn description(folder: &Folder) -> Vec<u8> {
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
