//! What the examples share: `key=value` arguments, and numbers for people.

use onward_integer::{InputError, Tally};
use std::path::Path;

/// The value of `name=…` among the arguments.
///
/// # Errors
/// A value that is no number.
pub fn key(name: &str, default: u64) -> Result<u64, InputError> {
    let given =
        std::env::args().skip(2).find_map(|a| Some(a.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
    let Some(given) = given else { return Ok(default) };
    given.parse().map_err(|_| InputError::expected(name, "a whole number", given))
}

/// Refuses arguments that no key has asked for.
///
/// # Errors
/// The first such argument.
pub fn known(names: &[&str]) -> Result<(), InputError> {
    let odd =
        std::env::args().skip(2).find(|a| !a.split_once('=').is_some_and(|(name, _)| names.contains(&name)));
    odd.map_or(Ok(()), |odd| {
        Err(InputError::expected("arguments", format!("KEY=NUMBER of {}", names.join(", ")), odd))
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
