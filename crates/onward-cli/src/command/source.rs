//! What a run that was begun before is followed with: built from the spec in its folder and from its data.

use crate::args::{How, Moved};
use crate::data::{self, DataOptions, Split};
use crate::progress::Voice;
use crate::spec::Spec;
use crate::{build, folder::Folder};
use onward::ledger::Header;
use onward::{Error, ErrorKind, Result};
use onward_run::follow::{Parts, Source};

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
    pub spec: Option<Spec>,
    /// The data, once they are read.
    pub split: Option<Split>,
    folder: &'a Folder,
    moved: &'a Moved,
    how: &'a How,
}

impl<'a> FromSpec<'a> {
    pub(super) fn new(folder: &'a Folder, moved: &'a Moved, how: &'a How) -> Self {
        Self { spec: None, split: None, folder, moved, how }
    }

    fn spec(&mut self, begun: &Header) -> Result<Spec> {
        match &self.spec {
            Some(spec) => Ok(spec.clone()),
            None => Ok(self.spec.insert(spec_of(self.folder, begun)?).clone()),
        }
    }
}

impl Source for FromSpec<'_> {
    fn possible(&mut self, begun: &Header) -> Result<Vec<Header>> {
        Ok(build::possible(&self.spec(begun)?, begun))
    }

    fn build(&mut self, begun: &Header) -> Result<Parts> {
        let spec = self.spec(begun)?;
        let options = options(&spec, self.moved)?;
        let split = match self.split.take() {
            Some(split) => split,
            None => load(&options)?,
        };
        let split = self.split.insert(split);
        let trainer = build::trainer(&spec, split, self.how.threads(), Some(begun))
            .map_err(|e| e.in_file(&self.folder.spec()))?;
        Voice::new(self.how).say_emulation(trainer.evaluator().precision());
        let test_place = options.test_path.unwrap_or_else(|| options.path.clone());
        Ok(Parts { trainer, test: split.test.digest(), places: [options.path, test_place] })
    }
}

/// The spec's data options with the paths where the data are now.
fn options(spec: &Spec, moved: &Moved) -> Result<DataOptions> {
    let mut options = build::data_options(spec);
    options.path = moved.data.clone().unwrap_or(options.path);
    match (&moved.test_data, &mut options.test_path) {
        (Some(now), Some(path)) => path.clone_from(now),
        (Some(_), None) => {
            let expected = "a spec with data.test_path";
            return Err(Error::expected(ErrorKind::Spec, "--test-data", expected, "none"));
        }
        (None, _) => {}
    }
    Ok(options)
}

fn load(options: &DataOptions) -> Result<Split> {
    data::load(options).map_err(|e| match e.kind() {
        ErrorKind::Io => {
            Error::new(e.kind(), format!("{e} (if data have moved: --data PATH, --test-data PATH)"))
        }
        _ => e,
    })
}
