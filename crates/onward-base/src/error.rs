//! One error type with parts: what kind, where, what was expected, what was found, and what helps.
//!
//! The parts are joined only when an error is shown; a program reads them one by one, or all at once as JSON:
//!
//! ```
//! use onward_base::error::{Error, ErrorKind, Hint, Place};
//! use std::path::Path;
//!
//! let error = Error::expected(ErrorKind::Spec, Place::key("method", "sigma"), "a number > 0", -1.0)
//!     .hint(Hint::Then("did you mean 1?".into()))
//!     .in_file(Path::new("a.toml"));
//! assert_eq!(error.to_string(), "a.toml: method.sigma: expected a number > 0, found -1; did you mean 1?");
//! assert_eq!((error.key(), error.expectation()), (Some("method.sigma"), Some("a number > 0")));
//! assert_eq!(error.file(), Some(Path::new("a.toml")));
//! ```

mod place;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::Path;

pub use place::{Place, Segment};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarsely: enough for a caller to decide what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
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
    /// An evaluator answered something else than it was asked, or not enough.
    Evaluator,
    /// Training has left the region where losses mean something: not finite, or far above the first ones for long.
    Diverged,
}

/// A hint that goes with an error, and how it is joined to the error's sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Added after a semicolon at the end of the sentence.
    Then(String),
    /// Added in parentheses at the end of the sentence.
    Aside(String),
    /// Added in parentheses after what was expected, or at the end where the error is a plain sentence.
    Expecting(String),
}

impl Hint {
    /// The text of the hint.
    pub fn text(&self) -> &str {
        let (Self::Then(text) | Self::Aside(text) | Self::Expecting(text)) = self;
        text
    }
}

/// What is wrong at the place.
#[derive(Debug)]
enum Fault {
    Sentence(String),
    Expected { expected: String, found: String },
}

#[derive(Debug)]
struct Parts {
    kind: ErrorKind,
    place: Place,
    fault: Fault,
    hints: Vec<Hint>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// An error with parts: its kind, its place, what was expected and found there (or a sentence), hints and a source.
/// Shown, it is one sentence. Serialised, it is a map of the parts that it has, and that sentence.
#[derive(Debug)]
pub struct Error(Box<Parts>);

// Making.
impl Error {
    fn of(kind: ErrorKind, place: Place, fault: Fault) -> Self {
        Self(Box::new(Parts { kind, place, fault, hints: Vec::new(), source: None }))
    }

    /// An error of `kind` with a whole sentence.
    pub fn new(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self::of(kind, Place::default(), Fault::Sentence(sentence.into()))
    }

    /// `place: expected …, found …`: the shape that every complaint about input has.
    pub fn expected(
        kind: ErrorKind,
        place: impl Into<Place>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Self {
        let fault = Fault::Expected { expected: expected.to_string(), found: found.to_string() };
        Self::of(kind, place.into(), fault)
    }

    /// The operating system's refusal to `doing` (a verb: "read", "write") at `path`.
    pub fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("cannot {doing}: {source}")).in_file(path).because(source)
    }

    /// Puts a file's name before the error's place, unless the place begins with it.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self.0.place.segments().first() {
            Some(Segment::File(named)) if named == path => self,
            _ => self.within(path),
        }
    }

    /// Puts `outer` before the error's place.
    #[must_use]
    pub fn within(mut self, outer: impl Into<Place>) -> Self {
        self.0.place = std::mem::take(&mut self.0.place).within(outer);
        self
    }

    /// Changes the kind of the error: a wrong model in a user's file is damage in a run.
    #[must_use]
    pub fn as_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Renames the key that the error is about: the key of a part may stand elsewhere in the whole spec.
    #[must_use]
    pub fn at_key(mut self, name: impl FnOnce(&str) -> String) -> Self {
        self.0.place.rename_key(name);
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: Hint) -> Self {
        self.0.hints.push(hint);
        self
    }

    /// Adds the error that this one follows from. It is not shown: the sentence says what there is to say of it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }
}

// Reading.
impl Error {
    /// The kind of error, for callers to match on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where the error is: file, position, key or tensor, outermost first.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// What was expected, if the error is of that shape.
    pub fn expectation(&self) -> Option<&str> {
        if let Fault::Expected { expected, .. } = &self.0.fault { Some(expected) } else { None }
    }

    /// What was found instead, if the error is of that shape.
    pub fn found(&self) -> Option<&str> {
        if let Fault::Expected { found, .. } = &self.0.fault { Some(found) } else { None }
    }

    /// What is wrong in a sentence of its own, if the error does not say what was expected and found.
    pub fn sentence(&self) -> Option<&str> {
        if let Fault::Sentence(sentence) = &self.0.fault { Some(sentence) } else { None }
    }

    /// The hints that go with the error.
    pub fn hints(&self) -> &[Hint] {
        &self.0.hints
    }

    /// The innermost file or folder of the place.
    pub fn file(&self) -> Option<&Path> {
        self.place().last(|s| if let Segment::File(path) = s { Some(path.as_path()) } else { None })
    }

    /// The line and the column in that file, counted from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place()
            .last(|s| if let Segment::Position { line, column } = *s { Some((line, column)) } else { None })
    }

    /// The dotted key that the error is about, such as `method.sigma`.
    pub fn key(&self) -> Option<&str> {
        self.place().last(|s| if let Segment::Key(key) = s { Some(key.as_str()) } else { None })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place().segments().is_empty() {
            write!(f, "{}: ", self.place())?;
        }
        let within = |f: &mut fmt::Formatter<'_>| {
            let own = self.hints().iter().filter(|hint| matches!(hint, Hint::Expecting(_)));
            own.map(Hint::text).try_for_each(|text| write!(f, " ({text})"))
        };
        match &self.0.fault {
            Fault::Sentence(sentence) => {
                f.write_str(sentence)?;
                within(f)?;
            }
            Fault::Expected { expected, found } => {
                write!(f, "expected {expected}")?;
                within(f)?;
                write!(f, ", found {found}")?;
            }
        }
        self.hints().iter().try_for_each(|hint| match hint {
            Hint::Then(text) => write!(f, "; {text}"),
            Hint::Aside(text) => write!(f, " ({text})"),
            Hint::Expecting(_) => Ok(()),
        })
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("kind", &self.kind())?;
        map.serialize_entry("place", self.place())?;
        if let (Some(expected), Some(found)) = (self.expectation(), self.found()) {
            map.serialize_entry("expected", expected)?;
            map.serialize_entry("found", found)?;
        }
        if !self.hints().is_empty() {
            map.serialize_entry("hints", &self.hints().iter().map(Hint::text).collect::<Vec<_>>())?;
        }
        if let Some(source) = std::error::Error::source(self) {
            map.serialize_entry("source", &source.to_string())?;
        }
        map.serialize_entry("sentence", &self.to_string())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_a_key() -> Error {
        let place = [Segment::Position { line: 12, column: 9 }, Segment::Key("method.sigma".into())];
        Error::expected(ErrorKind::Spec, place, "a number > 0", -1).in_file(Path::new("a.toml"))
    }

    #[test]
    fn parts_are_joined_when_shown() {
        assert_eq!(at_a_key().to_string(), "a.toml:12:9: method.sigma: expected a number > 0, found -1");
        let set = [Segment::Argument("--set".into()), Segment::Key("train".into())];
        let error = Error::expected(ErrorKind::Spec, set, "a table", 1);
        assert_eq!(error.to_string(), "--set train: expected a table, found 1");
        let error = Error::expected(ErrorKind::Model, Place::tensor("fc1"), "x", "y").within("model");
        assert_eq!(error.to_string(), "model: tensor fc1: expected x, found y");
        let hinted = at_a_key().hint(Hint::Expecting("or none".into())).hint(Hint::Aside("see there".into()));
        let hinted = hinted.hint(Hint::Then("more".into())).to_string();
        assert!(hinted.ends_with("expected a number > 0 (or none), found -1 (see there); more"), "{hinted}");
        let own = Error::new(ErrorKind::Spec, "no").hint(Hint::Expecting("a".into()));
        assert_eq!(own.hint(Hint::Then("b".into())).to_string(), "no (a); b");
    }

    #[test]
    fn a_file_is_named_once() {
        assert_eq!(at_a_key().in_file(Path::new("a.toml")).to_string(), at_a_key().to_string());
        assert!(at_a_key().in_file(Path::new("b.toml")).to_string().starts_with("b.toml: a.toml:12:9: "));
    }

    #[test]
    fn parts_are_read_one_by_one() {
        let error = at_a_key();
        assert_eq!((error.file(), error.position()), (Some(Path::new("a.toml")), Some((12, 9))));
        assert_eq!((error.key(), error.expectation()), (Some("method.sigma"), Some("a number > 0")));
        assert_eq!((error.found(), error.sentence(), error.hints()), (Some("-1"), None, &[][..]));
        let error = Error::new(ErrorKind::Io, "cannot stop").as_kind(ErrorKind::Damage);
        assert_eq!((error.kind(), error.sentence()), (ErrorKind::Damage, Some("cannot stop")));
        assert_eq!((error.file(), error.key(), error.found()), (None, None, None));
        let elsewhere = at_a_key().at_key(|key| format!("outer.{key}"));
        assert_eq!(elsewhere.key(), Some("outer.method.sigma"));
    }

    #[test]
    fn the_systems_refusal_is_kept() {
        let refused = std::io::Error::other("not today");
        let error = Error::io("read", Path::new("x.csv"), refused);
        assert_eq!(error.to_string(), "x.csv: cannot read: not today");
        let source = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<std::io::Error>());
        assert!(source.is_some_and(|s| s.kind() == std::io::ErrorKind::Other));
        assert_eq!(error.file(), Some(Path::new("x.csv")));
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn all_parts_are_serialised() {
        let error = at_a_key().hint(Hint::Then("try 1".into())).because("arithmetic");
        let expected = "{\"kind\":\"spec\",\"place\":[{\"file\":\"a.toml\"},{\"position\":{\"line\":12,\"column\":9}},\
            {\"key\":\"method.sigma\"}],\"expected\":\"a number > 0\",\"found\":\"-1\",\"hints\":[\"try 1\"],\
            \"source\":\"arithmetic\",\
            \"sentence\":\"a.toml:12:9: method.sigma: expected a number > 0, found -1; try 1\"}";
        assert_eq!(serde_json::to_string(&error).unwrap(), expected);
    }
}
