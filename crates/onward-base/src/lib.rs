//! What every part of Onward stands on: one [`Error`], files that appear whole or not at all, noise as a pure function of its name.

pub mod error;
pub mod file;
pub mod noise;

pub use error::{Error, ErrorKind, Hint, Place, Result, Segment};
