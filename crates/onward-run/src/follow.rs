//! Bringing a trainer to where a run's ledger ends.

use crate::folder::{Folder, Snapshot};
use crate::limits::Limits;
use onward::dataset::Dataset;
use onward::ledger::{Header, Numerics, Reading, State};
use onward::params::{Init, Params, Tensor, TensorSpec};
use onward::settings::Settings;
use onward::train::{Trainer, hex};
use onward::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The parts of a run, built from its folder and its data.
pub struct Parts {
    /// The name of the run.
    pub name: String,
    /// The trainer of the run, before its first step.
    pub trainer: Trainer,
    /// The rows that it is tested on.
    pub test: Dataset,
    /// The rows by which its best step is chosen, if it is to be.
    pub validation: Option<Dataset>,
    /// The files that training rows, test rows, and those to choose the best step by came from, for errors.
    pub places: [PathBuf; 3],
    /// The bytes of `interface.json`, which describes the model's inputs and outputs.
    pub interface: Vec<u8>,
    /// The bytes that earlier builds gave `interface.json`, where these were others; none if there were none.
    pub earlier_interfaces: Vec<Vec<u8>>,
    /// Converts the trainer's losses to the units that they are reported in.
    pub units: Units,
    /// What a distance of 1 between targets as prepared is in the targets' own units; 1 for classes.
    pub scale: f64,
    /// How often to measure and to keep a snapshot.
    pub rhythm: Rhythm,
    /// What ends it before all its steps are taken.
    pub limits: Limits,
}

/// Converts the trainer's losses to the units that they are reported in.
pub type Units = Box<dyn Fn(f32) -> f64 + Send + Sync>;

/// How often to measure and to keep a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// Steps between two evaluations on the test rows; 0 for about once per epoch.
    pub eval_every: u64,
    /// Steps between two snapshots; at least 1.
    pub snapshot_every: u64,
}

/// Builds the parts that are needed to follow an existing run. It is asked only where ledger and base params do not lead to the
/// params alone, so that a replay of weight space needs no data. An error ends what was asked for (resuming, replaying, verifying) and
/// leaves the folder as it is.
///
/// ```no_run
/// use onward::ledger::Header;
/// use onward_run::follow::{Origin, Parts};
///
/// /// A run whose parts the program makes itself.
/// struct Own<F>(F);
///
/// impl<F: Fn() -> onward::Result<Parts>> Origin for Own<F> {
///     fn possible(&mut self, begun: &Header) -> onward::Result<Vec<Header>> {
///         Ok(vec![begun.clone()])
///     }
///     fn build(&mut self, _: &Header) -> onward::Result<Parts> {
///         self.0()
///     }
///     fn check_interface(&self, _: &[u8]) -> onward::Result<()> {
///         Ok(())
///     }
/// }
/// ```
pub trait Origin {
    /// The header of a run that was begun, once for each arithmetic that its steps may have been taken in (one, where the
    /// ledger tells which); the likeliest first. Asked once, before anything is built.
    ///
    /// # Errors
    /// What cannot be read, such as the spec.
    fn possible(&mut self, begun: &Header) -> Result<Vec<Header>>;

    /// The run's parts under one of these headers.
    ///
    /// # Errors
    /// What cannot be read or does not fit together.
    fn build(&mut self, begun: &Header) -> Result<Parts>;

    /// All steps that the run is to have, those taken included; more than its ledger says prolongs it. `None` leaves it at that.
    /// Asked by [`crate::Run::resume`] alone, once `trainer` is where the ledger ends.
    ///
    /// # Errors
    /// What is wrong with the wish.
    fn budget(&self, trainer: &Trainer) -> Result<Option<u64>> {
        let _ = trainer;
        Ok(None)
    }

    /// Whether `interface.json` with these bytes can be read. Asked where the header has no digest of it.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check_interface(&self, bytes: &[u8]) -> Result<()>;
}

/// The state from which steps that need the data are repeated.
#[derive(Clone, Copy)]
pub enum StartFrom<'a> {
    /// The base params.
    Base,
    /// The newest snapshot that is sound and one of the ledger's states; and what to do with those that are neither.
    Snapshot(&'a dyn Fn(&Snapshot, &Error) -> Result<()>),
}

/// A callback that sees each state that is computed on the way.
pub type Each<'a> = dyn FnMut(&State) -> Result<()> + Send + 'a;

/// Brings the run of `reading` to its last step and returns its parts, with the step of the snapshot that it started from, if any.
///
/// # Errors
/// Those of `origin`; [`ErrorKind::Ledger`] naming data or params that are not those of the header; [`ErrorKind::Damage`] if a
/// step taken again does not lead where its record says.
pub fn follow(
    folder: &Folder,
    reading: &Reading,
    start: StartFrom<'_>,
    origin: &mut dyn Origin,
    each: &mut Each<'_>,
) -> Result<(Parts, Option<u64>)> {
    check_header(&reading.header, folder)?;
    let possible = origin.possible(&reading.header)?;
    let mut first = None;
    for begun in &possible {
        let mut parts = origin.build(begun)?;
        same_device(&reading.header, &parts, folder)?;
        same_run(&reading.header, &parts, folder)?;
        reading.stretches.iter().try_for_each(|stretch| parts.trainer.prolong(stretch))?;
        match catch_up(folder, &mut parts.trainer, reading, start, each) {
            Ok(from) => return Ok((parts, from)),
            Err(error) => _ = first.get_or_insert(error),
        }
    }
    let error = first.unwrap_or_else(|| Error::new(ErrorKind::Ledger, "no arithmetic is possible"));
    if possible.len() == 1 {
        return Err(error);
    }
    let words =
        format!("{error} (nor do the steps fit to any other kind of bf16 products; the ledger tells none)");
    Err(Error::new(error.kind(), words))
}

/// Checks that a ledger with this header belongs to the parts.
pub(crate) fn same_run(header: &Header, parts: &Parts, folder: &Folder) -> Result<()> {
    let same = |place: &Path, what: &str, began: &[u8; 32], now: &[u8; 32]| {
        if began == now {
            return Ok(());
        }
        let began = format!("{what} with digest {}", &hex(began)[..16]);
        // Earlier versions, whose headers know no test rows, centred and scaled in single precision.
        let otherwise =
            if header.test.is_none() { ", or centred otherwise by the version that began it" } else { "" };
        let now = format!("{} (changed since the run began{otherwise})", &hex(now)[..16]);
        Err(Error::expected(ErrorKind::Ledger, place.display(), began, now))
    };
    let (test, interface) = (parts.test.digest(), header.interface);
    let validation = parts.validation.as_ref().map(Dataset::digest);
    let expected = Header { test: Some(test), validation, interface, ..parts.trainer.header(header.spec) };
    same(&parts.places[0], "training data", &header.data, &expected.data)?;
    if let Some(began) = &header.test {
        same(&parts.places[1], "test data", began, &test)?;
    }
    if let (Some(began), Some(now)) = (&header.validation, &validation) {
        same(&parts.places[2], "validation data", began, now)?;
    }
    same(folder.path(), "base params", &header.base, &expected.base)?;
    expected.check_begun(header).map_err(|e| e.in_file(folder.path()))
}

/// Checks that steps which a device took are not to be taken again by anything else: that would give others.
fn same_device(header: &Header, parts: &Parts, folder: &Folder) -> Result<()> {
    let now = parts.trainer.header(header.spec).numerics;
    match &header.numerics {
        Some(begun @ Numerics::Device(_)) if Some(begun) != now.as_ref() => {
            let found = now.map_or_else(|| "none".into(), |now| now.to_string());
            let expected = format!("numerics of {begun}, which alone takes this run's steps again");
            Err(Error::expected(ErrorKind::Ledger, folder.ledger().display(), expected, found))
        }
        _ => Ok(()),
    }
}

/// Checks that what a header says of the run holds together.
pub(crate) fn check_header(header: &Header, folder: &Folder) -> Result<()> {
    Settings::of(header).map(drop).map_err(|e| e.in_file(&folder.ledger()))
}

/// Brings `trainer` to the end of the ledger; says from which snapshot, if from any.
fn catch_up(
    folder: &Folder,
    trainer: &mut Trainer,
    reading: &Reading,
    start: StartFrom<'_>,
    each: &mut Each<'_>,
) -> Result<Option<u64>> {
    let Reading { records, chains, .. } = reading;
    let mut from = None;
    if let StartFrom::Snapshot(unusable) = start {
        for snapshot in folder.snapshots().iter().rev().filter(|s| s.step <= records.len() as u64) {
            let restored = snapshot.read().and_then(|bytes| {
                trainer.restore(&bytes, records, chains).map_err(|e| e.in_file(&snapshot.path))
            });
            match restored {
                Ok(()) => {
                    from = Some(trainer.state().step());
                    break;
                }
                Err(e) => unusable(snapshot, &e)?,
            }
        }
    }
    for record in &records[trainer.state().step() as usize..] {
        trainer.retake(record).map_err(|e| e.in_file(&folder.ledger()))?;
        each(trainer.state())?;
    }
    Ok(from)
}

/// Names and shapes of the header's tensors; how they begin is in the base params.
pub(crate) fn specs(header: &Header) -> Vec<TensorSpec> {
    let shape = |s: &[u64]| s.iter().map(|n| *n as usize).collect();
    let tensors = header.tensors.iter();
    tensors
        .map(|t| TensorSpec { name: t.name.clone(), shape: shape(&t.shape), init: Init::Constant(0.0) })
        .collect()
}

/// Reads the base params and checks them against the header. They stay in the file, which is mapped.
///
/// # Errors
/// [`ErrorKind::Damage`] if they cannot be read or are others.
pub fn base(folder: &Folder, header: &Header) -> Result<Params> {
    checked_base(folder, header, Params::map(&folder.base(), &specs(header)))
}

/// The base params as they were read, if they are those of the header.
fn checked_base(folder: &Folder, header: &Header, read: Result<(Params, Vec<Tensor>)>) -> Result<Params> {
    let place = folder.base();
    let (base, rest) = read.map_err(|e| Error::new(ErrorKind::Damage, e.to_string()))?;
    let (expected, found) = (hex(&header.base), hex(&base.digest()));
    if expected != found {
        return Err(Error::expected(ErrorKind::Damage, place.display(), format!("digest {expected}"), found));
    }
    match rest.first() {
        None => Ok(base),
        Some(more) => {
            let found = format!("also a tensor {}", more.name);
            Err(Error::expected(ErrorKind::Damage, place.display(), "the base params alone", found))
        }
    }
}
