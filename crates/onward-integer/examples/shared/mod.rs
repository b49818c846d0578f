//! What the examples share: `key=value` arguments, and numbers for people.

use onward_integer::{InputError, Tally};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What stands after `name=` among the arguments.
fn given(name: &str) -> Option<String> {
    std::env::args().skip(2).find_map(|a| Some(a.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// The number `name=…` among the arguments.
///
/// # Errors
/// A value that is no number.
pub fn key(name: &str, default: u64) -> Result<u64, InputError> {
    let Some(given) = given(name) else { return Ok(default) };
    given.parse().map_err(|_| InputError::expected(name, "a whole number", given))
}

/// A file that a training is kept in, and its bytes if it is there.
pub struct Kept {
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Option<Vec<u8>>,
}

/// Tells an error, if there is one, and ends with it.
pub fn end(done: Result<(), InputError>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

/// The file `snapshot=FILE` that a training is kept in and goes on from, and its bytes if it is there.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn snapshot() -> Result<Option<Kept>, InputError> {
    let Some(path) = given("snapshot").map(PathBuf::from) else { return Ok(None) };
    let bytes = if path.exists() { Some(bytes_of(&path)?) } else { None };
    Ok(Some(Kept { path, bytes }))
}

/// Replaces a snapshot, whole or not at all.
///
/// # Errors
/// What the system says.
pub fn keep(path: &Path, bytes: &[u8]) -> Result<(), InputError> {
    let new = path.with_extension("new");
    let done = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path));
    done.map_err(|e| InputError::expected("the snapshot", "a file that can be written", e).in_file(path))
}

/// Refuses arguments that no key has asked for.
///
/// # Errors
/// The first such argument.
pub fn known(names: &[&str]) -> Result<(), InputError> {
    let odd =
        std::env::args().skip(2).find(|a| !a.split_once('=').is_some_and(|(name, _)| names.contains(&name)));
    odd.map_or(Ok(()), |odd| {
        Err(InputError::expected("arguments", format!("KEY=VALUE of {}", names.join(", ")), odd))
    })
}

/// The bytes of a file.
///
/// # Errors
/// What the system says.
pub fn bytes_of(path: &Path) -> Result<Vec<u8>, InputError> {
    std::fs::read(path).map_err(|e| InputError::expected("the file", "one that can be read", e).in_file(path))
}

/// Bits an item, with four decimals.
pub fn bits(outcome: &Tally) -> String {
    decimals(outcome.loss, outcome.items as u64 * 65_536, 4)
}

/// `a / b` with so many decimals, of integers alone.
pub fn decimals(a: u64, b: u64, places: u32) -> String {
    let scale = 10u128.pow(places);
    let whole = (u128::from(a) * scale + u128::from(b) / 2) / u128::from(b.max(1));
    format!("{}.{:0width$}", whole / scale, whole % scale, width = places as usize)
}
