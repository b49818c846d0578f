//! What a run has come to, in one small file: `result.json`. And what people have said of it: `about.json`.
//!
//! The first is written when a run rests: at its end (the manifest binds it then), when it is interrupted, and when it diverges. It is
//! removed when the run goes on, so that where it stands it is true. Both are for those who look at many runs; a run needs neither.

use crate::folder::Folder;
use crate::measurement::Point;
use crate::run::{Ended, Run};
use crate::sealed::{seal, unseal};
use onward::{Error, ErrorKind, Result, file};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// All its steps are taken, and its model is written.
    Finished,
    /// The run was stopped, or its process was ended; it can be gone on with.
    Interrupted,
    /// The run's losses left the region where they mean something.
    Diverged,
    /// A process works on it now.
    Running,
}

impl RunState {
    /// The state's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Diverged => "diverged",
            Self::Running => "running",
        }
    }
}

/// The content of `result.json`: what a run has come to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this file's format.
    pub format: u32,
    /// The run's name.
    pub name: String,
    /// How the run stands.
    pub state: RunState,
    /// Why it diverged, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it came to this, as RFC 3339 in UTC, if whoever wrote it has a clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The seed.
    pub seed: u64,
    /// Steps taken.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// The last scores by name, as in metrics: `test_loss`, `test_accuracy` and so on. Only finite ones.
    pub scores: BTreeMap<String, f64>,
    /// Forward passes made.
    pub passes: u64,
    /// Samples that went through a forward pass.
    pub samples: u64,
    /// Losses that were not finite.
    pub non_finite: u64,
    /// Seconds that the run has taken, in all processes together.
    pub seconds: f64,
    /// The digest of the present params, in hexadecimal; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The settings of the spec as run, by dotted key.
    pub settings: Map<String, Value>,
}

impl Summary {
    /// The version of the format that is written.
    pub const FORMAT: u32 = 1;
    const FILE: &str = "result.json";

    /// Writes the summary into a run's folder.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write(&self, folder: &Folder) -> Result<()> {
        let json = serde_json::to_string(self).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        file::write(&folder.result(), (seal(&json) + "\n").as_bytes())
    }

    /// Reads the summary in a run's folder; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Damage`] if it is not as it was written.
    pub fn read(folder: &Folder) -> Result<Option<Self>> {
        read(&folder.result(), "the result of a run, as it was written")
    }

    /// What can be told of a run that left no result: it was begun by an earlier version, or its process was ended. `settings` are those
    /// of its spec.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], or as for [`Folder::salvage`].
    pub fn told(folder: &Folder, settings: Map<String, Value>) -> Result<Self> {
        let metrics = crate::metrics::read(&folder.metrics())?;
        let (reading, _) = folder.salvage()?;
        let why = folder.why_diverged();
        let state = match (&why, folder.manifest().is_file()) {
            (Some(_), _) => RunState::Diverged,
            (None, true) => RunState::Finished,
            (None, false) => RunState::Interrupted,
        };
        let points = metrics.points();
        let last = points.last().cloned().unwrap_or_default();
        let name =
            settings.get("name").and_then(Value::as_str).map_or_else(|| name_of(folder), str::to_owned);
        let own = metrics.others().chain(metrics.judged()).map(|m| (m.name.clone(), m.value));
        Ok(Self {
            format: Self::FORMAT,
            name,
            state,
            why,
            when: None,
            seed: reading.header.seed,
            step: reading.records.len() as u64,
            steps: reading.budget(),
            scores: scores(&points, own),
            passes: last.passes,
            samples: last.samples,
            non_finite: last.non_finite,
            seconds: last.elapsed,
            digest: String::new(),
            settings,
        })
    }
}

fn name_of(folder: &Folder) -> String {
    folder.path().file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned())
}

/// The last of each score in rows of metrics.
fn scores(points: &[Point], own: impl Iterator<Item = (String, f64)>) -> BTreeMap<String, f64> {
    let of_point = |point: &Point| point.measurements().into_iter().map(|m| (m.name, m.value));
    let all = points.iter().flat_map(of_point).chain(own);
    all.filter(|(name, value)| is_score(name) && value.is_finite()).collect()
}

/// Whether a measurement of this name is a score: of rows, not of what was spent on them.
fn is_score(name: &str) -> bool {
    let of_rows = ["test_", "train_", "validation_"].iter().any(|of| name.starts_with(of));
    of_rows && !name.ends_with("_half_width")
}

impl Run {
    /// What the run has come to; `ended` has its scores if it is finished, otherwise they are the last that were measured.
    pub fn summary(&self, state: RunState, ended: Option<&Ended>, settings: Map<String, Value>) -> Summary {
        let trainer = self.trainer();
        let spent = trainer.spent();
        let mut last = scores(self.points(), std::iter::empty());
        if let Some(ended) = ended {
            let own =
                ended.judged.score.named().map(|(name, value)| (format!("test_{name}"), shortest(value)));
            let accuracy =
                ended.judged.score.accuracy.map(|value| ("test_accuracy".to_owned(), shortest(value)));
            let all = own.chain(accuracy).chain([("test_loss".to_owned(), ended.judged.loss)]);
            let measured =
                ended.judged.measures().into_iter().map(|(name, value)| (format!("test_{name}"), value));
            let all = all.chain(measured);
            last.extend(all.filter(|(_, value)| value.is_finite()));
        }
        Summary {
            format: Summary::FORMAT,
            name: self.name().to_owned(),
            state,
            why: self.folder().why_diverged(),
            when: None,
            seed: self.seed(),
            step: trainer.state().step(),
            steps: trainer.steps(),
            scores: last,
            passes: spent.passes,
            samples: spent.samples,
            non_finite: spent.non_finite,
            seconds: self.elapsed(),
            digest: ended.map(|ended| ended.digest.clone()).unwrap_or_default(),
            settings,
        }
    }
}

/// The double with the fewest digits that names this single.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::NAN)
}

/// The content of `about.json`: what people have said of a run. Nothing binds it, so that it can change at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Words to find the run by.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// A note.
    #[serde(default)]
    pub note: String,
}

impl About {
    const FILE: &str = "about.json";

    /// Reads what was said of the run in a folder; nothing where there is no such file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Damage`] if it is not as it was written.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(read(&folder.join(Self::FILE), "what was said of a run, as it was written")?.unwrap_or_default())
    }

    /// Writes what was said into the run's folder, or removes the file where nothing is said.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(Self::FILE);
        if *self == Self::default() {
            return crate::folder::remove_if_there(&path);
        }
        let json = serde_json::to_string(self).map_err(|e| Error::new(ErrorKind::Io, e.to_string()))?;
        file::write(&path, (seal(&json) + "\n").as_bytes())
    }
}

/// Reads a sealed file; `None` if there is none.
fn read<T: for<'a> Deserialize<'a>>(path: &Path, expected: &str) -> Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let bad = |found: String| Error::expected(ErrorKind::Damage, path.display(), expected, found);
    let json = unseal(bytes.trim_ascii_end()).map_err(bad)?;
    serde_json::from_str(&json).map(Some).map_err(|e| bad(e.to_string()))
}

/// The names of both files.
pub(crate) const FILES: [&str; 2] = [Summary::FILE, About::FILE];
