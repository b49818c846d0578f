//! Where something is wrong: segments from the outside in.

use crate::words::theirs;
use serde::Serialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// One part of an error's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Segment {
    /// A file or a folder.
    File(PathBuf),
    /// A position in the file named before, both counted from 1.
    Position {
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// A field of a table in text.
    Cell {
        /// The line that its record begins at, counted from 1.
        line: usize,
        /// Which of the record's fields it is, counted from 1.
        column: usize,
        /// What the column is called, if it has a name.
        name: Option<String>,
    },
    /// An argument of a command line, such as `--set`.
    Argument(String),
    /// A key with its tables, such as `method.sigma`, or a table.
    Key(String),
    /// A tensor, by its name.
    Tensor(String),
    /// Any other place, in words.
    Part(String),
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&theirs(&path.to_string_lossy())),
            Self::Position { line, column } => write!(f, "{line}:{column}"),
            Self::Cell { line, column, name: None } => write!(f, "line {line}, column {column}"),
            Self::Cell { line, column, name: Some(name) } => {
                write!(f, "line {line}, column {column} ({})", theirs(name))
            }
            Self::Tensor(name) => write!(f, "tensor {name}"),
            Self::Argument(text) | Self::Key(text) | Self::Part(text) => f.write_str(text),
        }
    }
}

/// Where an error is, outermost part first: file, position in it, table and key, tensor. Text becomes a
/// [`Segment::Part`], a path a [`Segment::File`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Place(Vec<Segment>);

impl Place {
    /// The place of the key `name` in a table; an empty `table` is the top level.
    pub fn key(table: &str, name: &str) -> Self {
        let path = if table.is_empty() { name.into() } else { format!("{table}.{name}") };
        Segment::Key(path).into()
    }

    /// The place of the tensor with this name.
    pub fn tensor(name: impl Into<String>) -> Self {
        Segment::Tensor(name.into()).into()
    }

    /// The segments, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Puts `outer` before the place.
    #[must_use]
    pub fn within(self, outer: impl Into<Self>) -> Self {
        let mut all = outer.into().0;
        all.extend(self.0);
        Self(all)
    }

    /// Gives the last key another name.
    pub(super) fn rename_key(&mut self, name: impl FnOnce(&str) -> String) {
        let key =
            self.0.iter_mut().rev().find_map(|s| if let Segment::Key(key) = s { Some(key) } else { None });
        if let Some(key) = key {
            *key = name(key);
        }
    }

    /// The last of this place's segments that `of` knows.
    pub(super) fn last<'a, T: 'a>(&'a self, of: impl Fn(&'a Segment) -> Option<T>) -> Option<T> {
        self.0.iter().rev().find_map(of)
    }
}

/// `file:line:column: key`, `--set key`, …: as a sentence begins.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| &self.0[i]);
            f.write_str(match (before, segment) {
                (None, _) => "",
                (Some(Segment::File(_)), Segment::Position { .. }) => ":",
                (Some(Segment::Argument(_)), _) => " ",
                _ => ": ",
            })?;
            segment.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Segment> for Place {
    fn from(segment: Segment) -> Self {
        Self(vec![segment])
    }
}

impl<const N: usize> From<[Segment; N]> for Place {
    fn from(segments: [Segment; N]) -> Self {
        Self(segments.into())
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Segment::File(path.into()).into()
    }
}

impl From<std::path::Display<'_>> for Place {
    fn from(path: std::path::Display<'_>) -> Self {
        Segment::File(path.to_string().into()).into()
    }
}

impl From<String> for Place {
    fn from(text: String) -> Self {
        Segment::Part(text).into()
    }
}

impl From<&String> for Place {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<&str> for Place {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}
