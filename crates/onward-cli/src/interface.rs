//! What a run's model expects and answers, as `interface.json` keeps it.

use onward::ledger::Header;
use onward::{Error, ErrorKind, Hint, Result};
use onward_data::{Opened, Preparation};
use onward_run::folder::Folder;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::Path;

/// What the model expects and answers, beyond its params.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// Numbers that it answers with.
    pub outputs: usize,
    /// How its input is prepared.
    #[serde(deserialize_with = "with_a_shape")]
    pub preparation: Preparation,
}

impl Interface {
    /// Of a model that is trained on these data.
    pub fn of(split: &Opened) -> Self {
        Self { outputs: split.train.schema().outputs(), preparation: split.preparation.clone() }
    }

    /// The interface as it was kept before it had the names of labels that no spec says; `None` where it has none.
    pub fn earlier(self) -> Option<Self> {
        let named = !self.preparation.labels.is_empty();
        named.then(|| Self { preparation: Preparation { labels: Vec::new(), ..self.preparation }, ..self })
    }

    /// Reads the interface of the run in a folder, which has this header.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], or [`ErrorKind::Damage`] if it is not what the run began with.
    pub fn read(folder: &Folder, header: &Header) -> Result<Self> {
        let file = folder.interface_file();
        let bytes = folder.interface(header).map_err(|e| {
            let way =
                format!("`onward resume {}` writes it again, from the run's data", folder.path().display());
            if file.exists() { e } else { e.hint(Hint::Then(way)) }
        })?;
        Self::from_json(&bytes).map_err(|e| e.in_file(&file))
    }

    /// What the bytes of its file say.
    ///
    /// # Errors
    /// [`ErrorKind::Damage`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|e| Error::expected(ErrorKind::Damage, "interface", "its JSON", e))
    }

    /// The names of the classes that the interface in a file tells of; none where each is called by its number.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; as for [`Interface::from_json`].
    pub fn kept(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).map_err(|e| Error::io("read", file, e))?;
        Self::from_json(&bytes)
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))
    }
}

/// A preparation whose shape is one that specs can have, so that its product is a number.
fn with_a_shape<'a, D: Deserializer<'a>>(from: D) -> Result<Preparation, D::Error> {
    let preparation = Preparation::deserialize(from)?;
    if preparation.shape[..2].iter().all(|side| (1..=65536).contains(side)) && preparation.shape[2] < 1 << 28
    {
        return Ok(preparation);
    }
    Err(D::Error::custom(format!("no input has the shape {:?}", preparation.shape)))
}
