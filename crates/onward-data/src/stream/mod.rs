//! Tables larger than memory: read from front to back, a block of rows at a time.
//!
//! The training rows alone are streamed. Which rows these are, how they are centred and scaled, and every number that the model sees are
//! those of [`super::load`], to the bit; test rows are kept in memory. What the file's numbers lead to is found in two passes over it
//! before training begins.

mod ahead;
#[cfg(feature = "parquet")]
mod groups;
mod lines;
mod queries;
mod scan;
#[cfg(test)]
mod tests;
mod tokens;
mod watched;
pub(super) mod windows;

pub use tokens::{TokenOptions, TokenWidth, Tokens};

use super::table::Table;
use super::{DataOptions, Format, Opened, files, read, refused};
use lines::Lines;
use onward::ask::Shuffle;
use onward::{Error, Result};
use std::path::Path;
use watched::Watched;

/// A table in a file, which can be read from any row on.
trait Stream: Send + Sync {
    /// Its columns, without their numbers.
    fn table(&self) -> &Table;

    /// How many rows it has.
    fn rows(&self) -> u64;

    /// What reads it from this row on.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::Data`]; as for [`Watched::open`].
    fn at(&self, row: u64) -> Result<Box<dyn Rows>>;
}

/// Reads a table's rows one after the other.
trait Rows: Send {
    /// Appends the next `rows` rows, which are there.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] naming place and flaw; as for [`Watched::check`].
    fn read(&mut self, rows: usize, out: &mut Vec<f64>) -> Result<()>;
}

/// Rows that are decoded at once: those of a hundred columns stay in a cache.
const PIECE: usize = 1 << 10;

/// Bytes of a block where no window tells its rows.
const BLOCK: usize = 8 << 20;

/// Opens the data that checked options describe for training on rows that come in windows, or in order.
///
/// # Errors
/// As for [`super::load`]; [`ErrorKind::Spec`] naming what cannot be streamed.
pub(super) fn open(options: &DataOptions, shuffle: Shuffle) -> Result<Opened> {
    let path = &options.path;
    let watched = Watched::new(path)?;
    let stream: Box<dyn Stream> = match options.format.0.map_or_else(|| Format::of(path), Ok)? {
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(groups::Groups::open(&watched, options)?),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => return Err(super::without_parquet().in_file(path)),
        Format::Csv if !files::is_packed(path) => {
            Box::new(Lines::open(&watched, &read::reading_of(options))?)
        }
        _ => {
            return Err(refusal(
                path,
                "data.stream",
                "a .parquet file, or text that is not packed",
                "another",
            ));
        }
    };
    scan::opened(stream, &watched, options, |width| match shuffle {
        Shuffle::Window(rows) => rows,
        _ => (BLOCK / (4 * width)).max(1),
    })
}

/// What cannot be streamed.
fn refusal(path: &Path, key: &'static str, expected: &str, found: &str) -> Error {
    refused(key, format!("{expected}, to be read as it is needed"), found).in_file(path)
}
