//! Language models at work: `generate`, `chat` and `serve`.

mod chat;
mod engine;
mod generate;
mod http;
mod reply;
mod request;
mod serve;

pub use chat::chat;
pub use generate::generate;
pub use serve::serve;

use super::apply::answering;
use crate::args::{Choice, How};
use crate::build::Begun;
use crate::folder::Folder;
use crate::language;
use onward::kernel::Precision;
use onward::params::Params;
use onward::{Error, ErrorKind, Place, Result};
use onward_language::{Ended, Generator, Language, Sampling};
use std::path::Path;

/// A language model that texts go on with.
struct Speaker {
    folder: onward_language::Folder,
    net: Language,
    params: Params,
    precision: Precision,
}

impl Speaker {
    /// The model of a folder, or of a run as far as it has come.
    ///
    /// # Errors
    /// Those of reading either; [`ErrorKind::Spec`] if the run's model is another.
    fn open(path: &Path, how: &How) -> Result<Self> {
        if !path.join("ledger.bin").is_file() {
            let folder = language::open(path, false)?;
            let (net, params) = (language::speaking(&folder, None)?, language::own_params(&folder)?);
            return Ok(Self { folder: folder.own, net, params, precision: Precision::F32 });
        }
        let run = answering(path, how)?;
        let kind = &run.spec.model.kind;
        let begun = Begun { header: &run.header, folder: &Folder::read_only(path)? };
        let Some(folder) = language::of(&run.spec, Some(begun))? else {
            let expected = "\"language\", as texts go on with such models alone";
            let place = Place::key("model", "kind");
            return Err(Error::expected(ErrorKind::Spec, place, expected, kind.name())
                .in_file(&path.join("spec.toml")));
        };
        let net = language::speaking(&folder, Some(kind))?;
        let precision = run.spec.model.precision.here();
        Ok(Self { folder: folder.own, net, params: run.params, precision })
    }

    fn generator(&self) -> Result<Generator<'_>> {
        Generator::new(self.net.clone(), &self.params, self.precision)
    }
}

impl Choice {
    fn sampling(&self) -> Sampling {
        Sampling {
            temperature: if self.greedy { 0.0 } else { self.temperature as f32 },
            top_k: self.top_k.unwrap_or(0),
            top_p: self.top_p.unwrap_or(1.0),
            seed: self.seed,
        }
    }
}

/// Why a text ended, in a word.
fn word(ended: Ended) -> &'static str {
    match ended {
        Ended::End(_) => "end",
        Ended::Context => "context",
        Ended::Asked => "stopped",
        Ended::Length => "length",
    }
}
