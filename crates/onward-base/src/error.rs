//! One error type: what kind, where, what was expected and what was found.

use std::fmt;
use std::path::Path;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarsely: enough for a caller to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A spec or an argument asks for something impossible.
    Spec,
    /// A data file, or a data set, is not what it should be.
    Data,
    /// A model file, or a model, is not what it should be.
    Model,
    /// A ledger is damaged, foreign, or does not belong to this run.
    Ledger,
    /// The operating system refused: a missing file, a full disk, an unwritable folder.
    Io,
    /// Another process holds the run.
    Locked,
    /// The objective gave no finite loss at all.
    NonFinite,
    /// A file of a run is not what the run wrote: torn, flipped, forged, or of another run.
    Damage,
    /// Training has left the region where losses mean something: not finite, or far above the first ones for long.
    Diverged,
}

/// An error that says what kind it is, names the file (where there is one) and tells in one sentence what was
/// expected and what was found.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a whole sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// `place: expected …, found …`: the shape that every complaint about input has.
    pub fn expected(
        kind: ErrorKind,
        place: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        Self::new(kind, format!("{place}: expected {expected}, found {found}"))
    }

    /// The operating system's refusal to `doing` (a verb: "read", "write") at `path`.
    pub fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self {
            kind: ErrorKind::Io,
            message: format!("{}: cannot {doing}: {source}", path.display()),
            source: Some(Box::new(source)),
        }
    }

    /// Puts a file's name before the message.
    #[must_use]
    pub fn in_file(mut self, path: &Path) -> Self {
        self.message = format!("{}: {}", path.display(), self.message);
        self
    }

    /// The kind, to be matched on.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
