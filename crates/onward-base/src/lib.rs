//! What every part of Onward stands on: one [`Error`], files that appear whole or not at all, noise as a pure function of its name,
//! numbers as people read them, and the one declaration that the keys of specs come from.

pub mod error;
pub mod file;
pub mod mapped;
pub mod noise;
pub mod schema;
pub mod words;

pub use error::{Error, ErrorKind, Hint, Place, Result, Segment};
