//! The params of a run as far as it has come: what can be answered from before it is finished.

use crate::folder::Folder;
use crate::follow::{Source, base, check_header, same_run};
use crate::manifest::Manifest;
use crate::replay::apply_all;
use onward::ledger::{Reading, State};
use onward::model::Statistics;
use onward::threads::Threads;
use onward::{Error, ErrorKind, Result};

/// A state of a run that is not finished.
pub struct Present {
    /// The ledger when it was read.
    pub reading: Reading,
    /// The state: after the ledger's last step where ledger and base params lead there, otherwise the last snapshot's.
    pub state: State,
}

/// Whether a run has to be answered for from its ledger, since what it ends with is not there: steps are missing, or all are
/// there and the model is not written yet. A manifest says that it is.
///
/// # Errors
/// As for [`Manifest::read`].
pub fn is_unfinished(folder: &Folder, reading: &Reading) -> Result<bool> {
    let bound = Manifest::read(folder, &reading.chains[0])?.is_some();
    let missing = (reading.records.len() as u64) < reading.budget() || !folder.model().is_file();
    Ok(!bound && missing)
}

/// The last state of a run that can be had without its data, worked out on so many threads. The run may go on meanwhile.
///
/// # Errors
/// [`ErrorKind::Ledger`] if the run has none yet: no step, or in activation space no snapshot. As for [`Folder::reading`], and
/// [`ErrorKind::Damage`] if base params or records are not what the run wrote.
pub fn present(folder: &Folder, threads: usize) -> Result<Present> {
    // Before the ledger: a run that goes on meanwhile has each snapshot's step in its ledger first.
    let snapshots = folder.snapshots();
    let reading = folder.reading()?;
    check_header(&reading.header, folder)?;
    let mut state = State::of(&reading.header, base(folder, &reading.header)?)?;
    for snapshot in snapshots.iter().rev() {
        let restored = snapshot.read().and_then(|bytes| state.restore(&bytes, &reading.chains));
        // One that is damaged or of another run is none; `verify` tells of it.
        if restored.is_ok() {
            break;
        }
    }
    if reading.header.is_complete() {
        let rest = &reading.records[state.step() as usize..];
        Threads::new(threads)?.run(|| apply_all(folder, &mut state, rest, &mut |_| Ok(())))?;
    }
    if state.step() > 0 {
        return Ok(Present { reading, state });
    }
    let steps = reading.records.len();
    let expected =
        if reading.header.is_complete() { "a run that has taken a step" } else { "a run with a snapshot" };
    let found = format!("one with none yet, at step {steps}");
    Err(Error::expected(ErrorKind::Ledger, folder.path().display(), expected, found))
}

/// Statistics of the model's normalisations with the present params, over the first training rows.
///
/// # Errors
/// Those of `source`, and [`ErrorKind::Ledger`] if its data are not the run's.
pub fn statistics(folder: &Folder, present: &Present, source: &mut dyn Source) -> Result<Vec<Statistics>> {
    let Present { reading, state } = present;
    let possible = source.possible(&reading.header)?;
    let mut parts = source.build(possible.first().unwrap_or(&reading.header))?;
    same_run(&reading.header, &parts, folder)?;
    let snapshot = state.to_snapshot(&reading.chains[state.step() as usize])?;
    parts.trainer.restore(&snapshot, &reading.records, &reading.chains)?;
    parts.trainer.statistics()
}
