//! What is wrong with an input: where, what was expected there, and what was found.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub(crate) type Result<T, E = InputError> = std::result::Result<T, E>;

/// A complaint about an input; shown, it is one sentence: `file: place: expected …, found …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    file: Option<PathBuf>,
    place: String,
    expected: String,
    found: String,
}

impl InputError {
    /// At `place`, `expected` was expected and `found` was found.
    pub fn expected(place: impl fmt::Display, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        let (place, expected, found) = (place.to_string(), expected.to_string(), found.to_string());
        Self { file: None, place, expected, found }
    }

    /// Adds the file that the fault is in.
    pub fn in_file(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }

    /// Where in the input the fault is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What was expected there.
    pub fn expectation(&self) -> &str {
        &self.expected
    }

    /// What was found there.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// The file that the input came from, if it came from one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        write!(f, "{}: expected {}, found {}", self.place, self.expected, self.found)
    }
}

impl std::error::Error for InputError {}

/// Complains unless `value` lies in `range`.
pub(crate) fn within(place: &str, value: usize, range: std::ops::RangeInclusive<usize>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(InputError::expected(place, format!("a number from {} to {}", range.start(), range.end()), value))
}
