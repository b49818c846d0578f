//! Many runs: finding them in folders, and reading what each has come to.

use crate::folder::{self, Folder};
use crate::summary::{About, RunState, Summary};
use onward::{Error, ErrorKind, Result};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A run in a folder of runs.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The run's folder.
    pub path: PathBuf,
    /// What it has come to.
    pub summary: Summary,
    /// What was said of it.
    pub about: About,
}

/// A row of a run's metrics with one score in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Steps taken.
    pub step: u64,
    /// Forward passes made.
    pub passes: u64,
    /// Seconds since the run began.
    pub seconds: f64,
    /// The score.
    pub value: f64,
}

/// Whether a folder holds a run.
pub fn is_run(path: &Path) -> bool {
    path.join("ledger.bin").is_file()
}

/// How deep runs may lie under a folder: those of a sweep lie in a folder of their own.
const DEEP: usize = 3;

/// The folders of the runs at or under `path`, by name. Links are not followed.
///
/// # Errors
/// [`ErrorKind::Io`] if `path` cannot be listed.
pub fn find(path: &Path) -> Result<Vec<PathBuf>> {
    find_by(path, &is_run)
}

/// The folders at or under `path` of which `wanted` says that they are looked for, by name, as deep as runs may lie. Nothing is looked for in
/// them, and links are not followed.
///
/// # Errors
/// [`ErrorKind::Io`] if `path` cannot be listed.
pub fn find_by(path: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if wanted(path) {
        return Ok(vec![path.to_owned()]);
    }
    let inside = std::fs::read_dir(path).map_err(|e| Error::io("read", path, e))?;
    look(inside, DEEP, wanted, &mut found);
    found.sort();
    Ok(found)
}

fn look(inside: std::fs::ReadDir, deep: usize, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) {
    for entry in inside.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        let path = entry.path();
        if wanted(&path) {
            found.push(path);
        } else if deep > 1
            && let Ok(inside) = std::fs::read_dir(&path)
        {
            // A folder that may not be read holds none that could be.
            look(inside, deep - 1, wanted, found);
        }
    }
}

impl Listed {
    /// Reads what the run in a folder has come to; `settings` tells those of its spec where it left no result.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it is no run's folder, [`ErrorKind::Damage`] if a file is not as it was written, and those of `settings`.
    pub fn read(path: &Path, settings: &dyn Fn(&Folder) -> Result<Map<String, Value>>) -> Result<Self> {
        let folder = Folder::read_only(path)?;
        let mut summary = match Summary::read(&folder)? {
            Some(summary) => summary,
            None => Summary::told(&folder, settings(&folder)?)?,
        };
        if summary.state == RunState::Interrupted && folder::is_locked(path) {
            summary.state = RunState::Running;
        }
        Ok(Self { path: path.to_owned(), summary, about: About::read(path)? })
    }

    /// The rows of the run's metrics that have a finite score of this name.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; [`ErrorKind::Damage`] naming a damaged line.
    pub fn scored(&self, name: &str) -> Result<Vec<Scored>> {
        let mut found = crate::metrics::read(&Folder::read_only(&self.path)?.metrics())?;
        if !found.damage.is_empty() {
            return Err(found.damage.remove(0));
        }
        let points = found.points();
        let values = found.measurements().filter(|m| m.name == name && m.value.is_finite());
        Ok(values
            .filter_map(|m| {
                let at = points.binary_search_by_key(&m.step, |point| point.step).ok()?;
                let (passes, seconds) = (points[at].passes, points[at].elapsed);
                Some(Scored { step: m.step, passes, seconds, value: m.value })
            })
            .collect())
    }

    /// A setting by its dotted key, as text; empty where the run has none.
    pub fn setting(&self, key: &str) -> String {
        match self.summary.settings.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }
}

/// Refuses a list without runs.
///
/// # Errors
/// [`ErrorKind::Spec`].
pub fn some(found: &[PathBuf], place: &str) -> Result<()> {
    if found.is_empty() {
        let expected = "at least one run, or a folder of runs";
        return Err(Error::expected(ErrorKind::Spec, place, expected, "none"));
    }
    Ok(())
}
