//! Going on with a run that is there.

use super::end::state_at;
use super::{Run, Stopwatch, due};
use crate::event::{Event, Observers};
use crate::folder::{Folder, Snapshot, remove_if_there};
use crate::follow::{Origin, Parts, StartFrom, base, follow};
use crate::limits::best;
use crate::metrics::{self, Metrics, Point};
use onward::ledger::{Entry, Header, Ledger, Rates, Reading, Stretch};
use onward::noise::RunKey;
use onward::params::Params;
use onward::{Error, ErrorKind, Hint, Result, file};
use std::sync::{Mutex, PoisonError};

impl Run {
    /// Goes on with the run in a folder ([`Folder::open`]): cuts a torn tail, writes again what can be computed, removes what
    /// cannot be used, and brings the trainer to where the ledger ends. A finished run is prolonged if `origin` wants more
    /// steps of it.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Locked`] if another process works on the run; [`onward::ErrorKind::Damage`] naming what is not as the
    /// run wrote it, with the way out; otherwise as for [`follow`].
    pub fn resume(
        folder: Folder,
        origin: &mut dyn Origin,
        clock: Stopwatch,
        mut observers: Observers,
    ) -> Result<Self> {
        let opened = Ledger::open(&folder.ledger());
        // With the way out, if it is damaged.
        let (ledger, reading) = opened.map_err(|e| folder.reading().err().unwrap_or(e))?;
        let step = reading.records.len() as u64;
        if reading.torn > 0 {
            observers.tell(&Event::Torn { bytes: reading.torn, step });
        }
        let (parts, from) = caught_up(&folder, &reading, origin, &mut observers)?;
        let stretch = stretch(&folder, &parts, origin.budget(&parts.trainer)?)?;
        write_again(&folder, &reading.header, &parts, origin, &mut observers)?;
        remove_unsound(&folder, &reading, &parts, &mut observers)?;
        observers.tell(&Event::Resumed { step, snapshot: from });
        let found = sound_metrics(&folder, &parts, &reading, &mut observers)?;
        let points = found.points();
        keep_best(&folder, &reading, &points, origin)?;
        let begun = reading.chains[0];
        // A process that ended before its first step may not have come to write that down.
        let guessed = step > 0 || found.judged().next().is_some();
        let mut run = Self::new(folder, parts, (ledger, begun), clock, observers)?;
        if !guessed {
            run.note_guess()?;
        }
        run.take_up(points, &reading.records)?;
        if let Some(stretch) = stretch {
            run.prolong(&stretch)?;
        }
        Ok(run)
    }

    /// Gives the run more steps. What it has ended with so far is no longer its end: the manifest is gone already, and the model
    /// goes before the ledger says that there are more steps.
    fn prolong(&mut self, stretch: &Stretch) -> Result<()> {
        remove_if_there(&self.folder.model())?;
        self.parts.trainer.prolong(stretch)?;
        self.ledger.prolong(stretch)?;
        self.ledger.sync()?;
        self.observers.tell(&Event::Prolonged { from: stretch.from, steps: stretch.steps });
        Ok(())
    }

    /// Takes up the measurements at the last of them. A process that was killed may have kept a step in the ledger without
    /// having measured after it: that is made good.
    fn take_up(&mut self, points: Vec<Point>, done: &[Entry]) -> Result<()> {
        self.before = points.last().map_or(0.0, |p| p.elapsed);
        let last = points.last().map_or(0, |p| p.step as usize);
        self.points = points;
        done[last.min(done.len())..].iter().for_each(|r| self.window.add(r.loss, None, None));
        if let Some(record) = done.last()
            && let Some(row) = due::row(&self.parts, done.len() as u64, self.trainer().steps())
            && last < done.len()
        {
            self.measure(row, record.rate)?;
        }
        self.ended = self.parts.limits.reached(self.trainer().spent(), &self.points);
        let is_best = best(&self.points).is_some_and(|(best, _)| best == self.trainer().state().step());
        // Its process may have ended before it had kept what is best.
        if is_best && !self.finished() { self.write_snapshot() } else { Ok(()) }
    }
}

/// Makes the snapshot of the best step again, if the ledger does not lead there without the data and it is not there.
fn keep_best(folder: &Folder, reading: &Reading, points: &[Point], origin: &mut dyn Origin) -> Result<()> {
    let (Some((best, _)), last) = (best(points), reading.records.len()) else { return Ok(()) };
    let at = best as usize;
    if at >= last || reading.header.is_complete() || state_at(folder, reading, best).is_some() {
        return Ok(());
    }
    let until = Reading {
        version: reading.version,
        header: reading.header.clone(),
        records: reading.records[..at].to_vec(),
        stretches: reading.stretches.iter().filter(|stretch| stretch.from <= best).cloned().collect(),
        chains: reading.chains[..=at].to_vec(),
        sound: reading.sound,
        torn: reading.torn,
    };
    let (parts, _) = follow(folder, &until, StartFrom::Base, origin, &mut |_| Ok(()))?;
    let bytes = parts.trainer.state().to_snapshot(&reading.chains[at])?;
    folder.keep_snapshot(best, &bytes)
}

/// The stretch that gives a run `wanted` steps in all, if it has fewer.
fn stretch(folder: &Folder, parts: &Parts, wanted: Option<u64>) -> Result<Option<Stretch>> {
    let trainer = &parts.trainer;
    let (step, budget, path) = (trainer.state().step(), trainer.steps(), folder.path().display().to_string());
    let Some(steps) = wanted.filter(|wanted| *wanted != budget) else { return Ok(None) };
    if steps < budget {
        let expected = format!("at least the {budget} steps that the run has, in all");
        return Err(Error::expected(ErrorKind::Spec, path, expected, steps));
    }
    if !trainer.finished()
        && let Some(why) = parts.limits.reached(trainer.spent(), &metrics::read(&folder.metrics())?.points())
    {
        let (expected, found) = (
            format!("a run that has taken all its {budget} steps"),
            format!("one that ended at step {step}: {why}"),
        );
        let way = format!(
            "what ends a run stays as it began: a new run with other limits can begin with its model (`onward train SPEC --set model.from={path}/model.safetensors`)"
        );
        return Err(Error::expected(ErrorKind::Spec, path, expected, found).hint(Hint::Then(way)));
    }
    if !trainer.finished() {
        let expected = format!(
            "a run that has taken all its {budget} steps, to prolong it (`onward resume {path}` takes them)"
        );
        return Err(Error::expected(ErrorKind::Spec, path, expected, format!("one at step {step}")));
    }
    let stretch = Stretch { from: budget, steps, schedule: Rates::Anew };
    stretch.follows(budget).map_err(|e| e.in_file(folder.path()))?;
    Ok(Some(stretch))
}

/// The parts at the end of the ledger, and the step of the snapshot that they were brought there from.
fn caught_up(
    folder: &Folder,
    reading: &Reading,
    origin: &mut dyn Origin,
    observers: &mut Observers,
) -> Result<(Parts, Option<u64>)> {
    let watched = Mutex::new(observers);
    let unusable = |snapshot: &Snapshot, why: &Error| {
        remove(snapshot, why, &mut watched.lock().unwrap_or_else(PoisonError::into_inner))
    };
    follow(folder, reading, StartFrom::Snapshot(&unusable), origin, &mut |_| Ok(()))
}

fn remove(snapshot: &Snapshot, why: &Error, observers: &mut Observers) -> Result<()> {
    observers.tell(&Event::SnapshotRemoved(why));
    std::fs::remove_file(&snapshot.path).map_err(|e| Error::io("remove", &snapshot.path, e))
}

/// Removes the snapshots that are not states of this ledger.
fn remove_unsound(
    folder: &Folder,
    reading: &Reading,
    parts: &Parts,
    observers: &mut Observers,
) -> Result<()> {
    for other in folder.snapshots() {
        let mut state = parts.trainer.state().clone();
        let sound = other
            .read()
            .and_then(|bytes| state.restore(&bytes, &reading.chains).map_err(|e| e.in_file(&other.path)));
        sound.or_else(|why| remove(&other, &why, observers))?;
    }
    Ok(())
}

/// Writes what the run began with and can be computed again, where it is missing or damaged.
fn write_again(
    folder: &Folder,
    header: &Header,
    parts: &Parts,
    origin: &dyn Origin,
    observers: &mut Observers,
) -> Result<()> {
    let kept = folder.interface(header);
    let kept = kept
        .and_then(|bytes| origin.check_interface(&bytes).map_err(|e| e.in_file(&folder.interface_file())));
    if let Err(damage) = kept {
        let mut all = std::iter::once(&parts.interface).chain(&parts.earlier_interfaces);
        let began = |bytes: &&Vec<u8>| {
            header.interface.is_none_or(|digest| digest == *blake3::hash(bytes).as_bytes())
        };
        let Some(interface) = all.find(began) else { return Err(damage) };
        file::write(&folder.interface_file(), interface)?;
        observers.tell(&Event::WrittenAgain(&damage));
    }
    // Params that lie in the run's own file were held against the header when it was mapped. Mapped once more, its pages would be counted twice.
    let (tensors, path) = (parts.trainer.state().params().tensors(), folder.base());
    let mapped = tensors.iter().any(|t| t.data.memory().is_some_and(|memory| memory.file() == Some(&path)));
    if !mapped && let Err(damage) = base(folder, header) {
        let base = Params::init(parts.trainer.graph().tensors(), &RunKey::from_seed(header.seed))
            .stored_as(header.recipe.storage);
        // Those that a file gave are nowhere else in the run.
        if base.digest() != header.base {
            return Err(damage);
        }
        file::write_pieces(&folder.base(), &base.safetensors_pieces(&[], &[])?)?;
        observers.tell(&Event::WrittenAgain(&damage));
    }
    Ok(())
}

/// The metrics so far, with what is damaged left out of the file, and what is missing written again as far as the ledger
/// tells it; a damaged file is kept beside it then. From here on the files of the run change, so there is no manifest of them.
fn sound_metrics(
    folder: &Folder,
    parts: &Parts,
    reading: &Reading,
    observers: &mut Observers,
) -> Result<Metrics> {
    remove_if_there(&folder.manifest())?;
    remove_if_there(&folder.result())?;
    let mut found = metrics::read(&folder.metrics())?;
    if !found.damage.is_empty() {
        let old = folder.aside("metrics-damaged", "jsonl", &found.bytes)?;
        for why in &found.damage {
            observers.tell(&Event::MetricsLeftOut { why, old: &old });
        }
        found.leave_out_damage()?;
    }
    let step = reading.records.len() as u64;
    found.cut_after(step);
    let mut told = due::told(parts, reading);
    if found.points().last().is_none_or(|point| point.step < step) {
        // Nothing is lost of the present step: it is measured in full.
        told.retain(|point| point.step < step);
    }
    let (rows, measurements) = found.restore(&told)?;
    if rows > 0 {
        observers.tell(&Event::MetricsRestored { rows, measurements });
    }
    let lines = found.text();
    if lines.as_bytes() != found.bytes {
        file::write(&folder.metrics(), lines.as_bytes())?;
    }
    Ok(found)
}
