//! What a run that was begun before is followed with: built from the spec in its folder and from its data.

use crate::args::{How, Moved};
use crate::build::{self, Built};
use crate::folder::Folder;
use crate::interface::Interface;
use crate::language;
use crate::progress::Voice;
use crate::spec::Spec;
use onward::ask::Shuffle;
use onward::ledger::Header;
use onward::settings::Budget;
use onward::train::Trainer;
use onward::words::counted;
use onward::{Error, ErrorKind, Result};
use onward_data::{DataOptions, Opened};
use onward_run::Limits;
use onward_run::follow::{Origin, Parts, Rhythm};
use std::path::{Path, PathBuf};

/// The spec as run, if it is the one that the header tells of.
///
/// # Errors
/// [`ErrorKind::Io`], [`ErrorKind::Damage`] if it is another, or as for [`Spec::load`].
pub(super) fn spec_of(folder: &Folder, header: &Header) -> Result<Spec> {
    folder.check_spec(header)?;
    Spec::load(&folder.spec(), &[], None)
}

/// A run's parts as its spec tells them. Spec and data are read when they are first needed: a ledger that stands alone needs
/// neither.
pub(super) struct FromSpec<'a> {
    /// The spec, once it is known.
    pub(super) spec: Option<Spec>,
    /// How long the run is to be, if longer than its ledger says.
    pub(super) until: Option<Budget>,
    split: Option<Opened>,
    folder: &'a Path,
    moved: &'a Moved,
    how: &'a How,
}

impl<'a> FromSpec<'a> {
    /// Of the run in this folder.
    pub(super) fn new(folder: &'a Path, moved: &'a Moved, how: &'a How) -> Self {
        Self { spec: None, until: None, split: None, folder, moved, how }
    }

    /// The spec of a run that was followed.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if none was read.
    pub(super) fn known(&self) -> Result<&Spec> {
        self.spec.as_ref().ok_or_else(|| Error::new(ErrorKind::Spec, "the spec was not read"))
    }

    fn spec(&mut self, begun: &Header) -> Result<Spec> {
        match &self.spec {
            Some(spec) => Ok(spec.clone()),
            None => Ok(self.spec.insert(spec_of(&Folder::read_only(self.folder)?, begun)?).clone()),
        }
    }
}

impl FromSpec<'_> {
    /// Whether a run can be brought to so many epochs, which are `steps` steps; what is wrong is said in epochs.
    fn check_epochs(&self, epochs: f64, steps: u64, trainer: &Trainer) -> Result<()> {
        let has = trainer.steps();
        if steps < has {
            let expected = format!("at least the {} that the run has, in all", self.in_epochs(has, trainer));
            let found = format!("{epochs} ({})", counted(steps, "step"));
            return Err(Error::expected(ErrorKind::Spec, "--epochs", expected, found));
        }
        // A run that something else can end says itself, in steps, why it did.
        if steps > has
            && !trainer.finished()
            && self.known().is_ok_and(|spec| limits(spec) == Limits::default())
        {
            let (all, run) = (self.in_epochs(has, trainer), self.folder.display());
            let expected = format!(
                "a run that has taken all its {all}, to prolong it (`onward resume {run}` takes them)"
            );
            let found = format!("one at step {}", trainer.state().step());
            return Err(Error::expected(ErrorKind::Spec, "--epochs", expected, found));
        }
        Ok(())
    }

    /// A budget of so many steps in epochs: as the spec has them, or about, where the run was prolonged.
    fn in_epochs(&self, steps: u64, trainer: &Trainer) -> String {
        let (round, rows, batch) = (trainer.round(), trainer.data().rows(), trainer.batch());
        match self.spec.as_ref().map(|spec| spec.train.budget) {
            Some(own @ Budget::Epochs(epochs)) if own.steps(round, rows, batch) == steps => {
                format!("{epochs} epochs ({})", counted(steps, "step"))
            }
            _ => {
                let each = round.map_or(rows as f64 / batch as f64, |steps| steps as f64);
                format!("{:.2} epochs ({})", steps as f64 / each, counted(steps, "step"))
            }
        }
    }
}

impl Origin for FromSpec<'_> {
    fn possible(&mut self, begun: &Header) -> Result<Vec<Header>> {
        Ok(build::possible(&self.spec(begun)?, begun))
    }

    fn build(&mut self, begun: &Header) -> Result<Parts> {
        let spec = self.spec(begun)?;
        let options = options(&spec, self.moved)?;
        let folder = &Folder::read_only(self.folder)?;
        let begun = Some(build::Begun { header: begun, folder });
        let language = language::of(&spec, begun)?;
        let split = match self.split.take() {
            Some(split) => split,
            None => load(&options, spec.train.shuffle.unwrap_or_default(), language.as_ref())?,
        };
        let split = self.split.insert(split);
        let Built { trainer, .. } = build::trainer(&spec, split, language, self.how.threads(), begun)
            .map_err(|e| Spec::placed(e, &folder.spec(), &[], None))?;
        Voice::new(self.how).say_emulation(trainer.local().precision());
        parts(&spec, split, options, trainer)
    }

    fn budget(&self, trainer: &Trainer) -> Result<Option<u64>> {
        let Some(until) = self.until else { return Ok(None) };
        if let (Budget::Epochs(_), Budget::Steps(steps)) = (until, self.known()?.train.budget) {
            let (expected, found) = ("a spec with train.epochs", format!("train.steps = {steps}"));
            return Err(Error::expected(ErrorKind::Spec, "--epochs", expected, found));
        }
        let steps = |budget: Budget| budget.steps(trainer.round(), trainer.data().rows(), trainer.batch());
        if let Budget::Epochs(epochs) = until {
            self.check_epochs(epochs, steps(until), trainer)?;
        }
        Ok(Some(steps(until)))
    }

    fn check_interface(&self, bytes: &[u8]) -> Result<()> {
        Interface::from_json(bytes).map(|_| ())
    }
}

/// The parts of the run that the spec describes, on data that were read with these options.
///
/// # Errors
/// [`ErrorKind::Io`] if the interface cannot be put into words.
pub(super) fn parts(spec: &Spec, split: &Opened, options: DataOptions, trainer: Trainer) -> Result<Parts> {
    let own = |path: Option<PathBuf>| path.unwrap_or_else(|| options.path.clone());
    let (test_place, validation_place) = (own(options.test_path), own(options.validation_path));
    let (preparation, power) = (split.preparation.clone(), spec.objective.power());
    let interface = Interface::of(split);
    Ok(Parts {
        name: spec.name.clone(),
        trainer,
        test: split.test.clone(),
        validation: split.validation.clone(),
        places: [options.path, test_place, validation_place],
        interface: interface.to_json()?,
        earlier_interfaces: interface
            .earlier()
            .map(|own| own.to_json())
            .into_iter()
            .collect::<Result<_>>()?,
        scale: preparation.loss(1.0, 1),
        units: Box::new(move |loss| preparation.loss(loss, power)),
        rhythm: Rhythm { eval_every: spec.train.eval_every, snapshot_every: spec.train.snapshot_every },
        limits: limits(spec),
    })
}

/// What ends the spec's run before its budget.
fn limits(spec: &Spec) -> Limits {
    let onward::settings::Train { patience, minutes, passes, samples, .. } = spec.train;
    Limits { patience, minutes, passes, samples }
}

/// The spec's data options with the paths where the data are now.
fn options(spec: &Spec, moved: &Moved) -> Result<DataOptions> {
    let mut options = spec.data.clone();
    options.path = moved.data.clone().unwrap_or(options.path);
    let others = [
        ("--test-data", "a spec with data.test_path", &moved.test_data, &mut options.test_path),
        (
            "--validation-data",
            "a spec with data.validation_path",
            &moved.validation_data,
            &mut options.validation_path,
        ),
    ];
    for (argument, expected, now, path) in others {
        match (now, path) {
            (Some(now), Some(path)) => path.clone_from(now),
            (Some(_), None) => return Err(Error::expected(ErrorKind::Spec, argument, expected, "none")),
            (None, _) => {}
        }
    }
    Ok(options)
}

fn load(options: &DataOptions, shuffle: Shuffle, folder: Option<&language::Folder>) -> Result<Opened> {
    language::open_data(options, shuffle, folder).map_err(|e| match e.kind() {
        ErrorKind::Io => Error::new(
            e.kind(),
            format!("{e} (if data have moved: --data PATH, --test-data PATH, --validation-data PATH)"),
        ),
        _ => e,
    })
}
