//! The params of a run as far as it has come: what can be answered from before it is finished.

use crate::folder::{Folder, Snapshot};
use crate::follow::{Origin, Parts, base, check_header, same_run};
use crate::judge::Judged;
use crate::manifest::Manifest;
use crate::replay::apply_all;
use onward::ledger::{Reading, State};
use onward::model::Statistics;
use onward::threads::Threads;
use onward::{Error, ErrorKind, Hint, Result};

/// The present state of an unfinished run.
pub struct Present {
    /// The content of the ledger when it was read.
    pub reading: Reading,
    /// The state: after the ledger's last step where ledger and base params lead there, otherwise the last snapshot's.
    pub state: State,
}

/// Whether a run is unfinished and has to be evaluated from its ledger: steps are missing, or all are
/// there and the model is not written yet. A manifest says that it is.
///
/// # Errors
/// As for [`Manifest::read`].
pub fn is_unfinished(folder: &Folder, reading: &Reading) -> Result<bool> {
    let bound = Manifest::read(folder, &reading.chains[0])?.is_some();
    let missing = (reading.records.len() as u64) < reading.budget() || !folder.model().is_file();
    Ok(!bound && missing)
}

/// So often a run that goes on meanwhile may have removed the snapshots that were listed.
const LISTINGS: u32 = 5;

/// The last state of a run that can be computed without its data, on `threads` threads. The run may go on meanwhile.
///
/// # Errors
/// [`ErrorKind::Ledger`] if the run has none yet: no step, or in activation space no snapshot. As for [`Folder::reading`], and
/// [`ErrorKind::Damage`] if base params or records are not what the run wrote.
pub fn present(folder: &Folder, threads: usize) -> Result<Present> {
    let mut listed = folder.snapshots();
    for _ in 1..LISTINGS {
        if let Ok(present) = listed_present(folder, &listed, threads) {
            return Ok(present);
        }
        let again = folder.snapshots();
        if again == listed {
            break;
        }
        listed = again;
    }
    listed_present(folder, &listed, threads)
}

/// The same from these snapshots, which were listed before the ledger is read: a run that goes on meanwhile has each snapshot's
/// step in its ledger first.
fn listed_present(folder: &Folder, snapshots: &[Snapshot], threads: usize) -> Result<Present> {
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
    let (steps, path) = (reading.records.len(), folder.path().display());
    let (expected, way) = if reading.header.is_complete() {
        ("a run that has taken a step", "takes steps")
    } else {
        (
            "a run with a snapshot",
            "goes on; one is kept every train.snapshot_every steps, and where Ctrl-C stops it",
        )
    };
    let found = format!("one with none yet, at step {steps}");
    let way = Hint::Aside(format!("`onward resume {path}` {way}"));
    Err(Error::expected(ErrorKind::Ledger, path, expected, found).hint(way))
}

/// The statistics of the model's normalisations with the present params, over the first training rows.
///
/// # Errors
/// As for [`parts`].
pub fn statistics(folder: &Folder, present: &Present, origin: &mut dyn Origin) -> Result<Vec<Statistics>> {
    let Parts { trainer, .. } = parts(folder, &present.reading, origin)?;
    trainer.statistics_of(present.state.params())
}

/// Judges the present params on the run's test rows.
///
/// # Errors
/// As for [`parts`].
pub fn judge(folder: &Folder, present: &Present, origin: &mut dyn Origin) -> Result<Judged> {
    let parts = parts(folder, &present.reading, origin)?;
    let params = present.state.params();
    Judged::of(&parts, params, &parts.trainer.statistics_of(params)?)
}

/// Builds the run's parts on its data, before the first step.
///
/// # Errors
/// Those of `origin`, and [`ErrorKind::Ledger`] if its data are not the run's.
pub fn parts(folder: &Folder, reading: &Reading, origin: &mut dyn Origin) -> Result<Parts> {
    let possible = origin.possible(&reading.header)?;
    let parts = origin.build(possible.first().unwrap_or(&reading.header))?;
    same_run(&reading.header, &parts, folder)?;
    Ok(parts)
}
