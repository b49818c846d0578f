//! The params that a ledger leads to.

use crate::folder::Folder;
use crate::follow::{Each, Origin, StartFrom, base, check_header, follow};
use onward::ledger::{Entry, Reading, State};
use onward::params::Params;
use onward::threads::Threads;
use onward::{Error, ErrorKind, Result};
use std::fmt;

/// The state that a replay started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The base params.
    Base,
    /// The snapshot after so many steps.
    Snapshot(u64),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str("from the base params"),
            Self::Snapshot(step) => write!(f, "from the snapshot at step {step}"),
        }
    }
}

/// The result of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// The params after the ledger's last step.
    pub params: Params,
    /// The state that the replay started from.
    pub from: From,
    /// Whether steps were repeated in emulated arithmetic: slowly, to the same bits.
    pub emulated: bool,
}

/// The params that the ledger's records lead to, worked out on so many threads where they follow from base params and ledger
/// alone, with the parts of `origin` elsewhere; `each` sees the states on the way, as far as they are worked out.
///
/// # Errors
/// [`ErrorKind::Damage`] if base params or records are not what the run wrote, and as for [`follow`].
pub fn replay(
    folder: &Folder,
    reading: &Reading,
    start: StartFrom<'_>,
    threads: usize,
    origin: &mut dyn Origin,
    each: &mut Each<'_>,
) -> Result<Replayed> {
    check_header(&reading.header, folder)?;
    let base = base(folder, &reading.header)?;
    if reading.header.is_complete() {
        let params = from_ledger_alone(folder, reading, base, threads, each)?;
        return Ok(Replayed { params, from: From::Base, emulated: false });
    }
    let (parts, from) = follow(folder, reading, start, origin, each)?;
    Ok(Replayed {
        params: parts.trainer.state().params().clone(),
        from: from.map_or(From::Base, From::Snapshot),
        emulated: parts.trainer.local().precision().is_emulated(),
    })
}

/// Weight space and searches: base params and ledger are all that is needed.
fn from_ledger_alone(
    folder: &Folder,
    reading: &Reading,
    base: Params,
    threads: usize,
    each: &mut Each<'_>,
) -> Result<Params> {
    let mut state = State::of(&reading.header, base)?;
    Threads::new(threads)?.run(|| apply_all(folder, &mut state, &reading.records, each))?;
    Ok(state.params().clone())
}

/// Applies entries that are complete in themselves, on the caller's threads.
pub(crate) fn apply_all(
    folder: &Folder,
    state: &mut State,
    entries: &[Entry],
    each: &mut Each<'_>,
) -> Result<()> {
    for entry in entries {
        if !entry.update.is_complete() {
            let (expected, found) = ("a complete entry", "one to run again");
            let error = Error::expected(ErrorKind::Damage, format!("step {}", entry.step), expected, found);
            return Err(error.in_file(&folder.ledger()));
        }
        state.apply(entry, None).map_err(|e| e.in_file(&folder.ledger()))?;
        each(state)?;
    }
    Ok(())
}
