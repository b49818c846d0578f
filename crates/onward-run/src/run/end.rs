//! What a run leaves when all its steps are taken.

use super::Run;
use crate::folder::Folder;
use crate::follow::base;
use crate::judge::Judged;
use crate::limits::{Reason, best};
use crate::manifest::Manifest;
use crate::replay::apply_all;
use onward::ask::Spent;
use onward::ledger::{Reading, State};
use onward::model::Statistics;
use onward::params::{Params, Tensor};
use onward::train::hex;
use onward::{Error, ErrorKind, Hint, Result, file};

/// The results of a finished run.
#[derive(Clone)]
pub struct Ended {
    /// The model judged on the test rows.
    pub judged: Judged,
    /// The number of steps taken.
    pub steps: u64,
    /// The step whose params the model has, where that is the best one by the validation rows and not the last.
    pub best: Option<u64>,
    /// Why it ended before all steps were taken, if it did.
    pub why: Option<Reason>,
    /// The cost of all steps.
    pub spent: Spent,
    /// The digest of the model's params, in hexadecimal.
    pub digest: String,
    /// The hash at the end of the ledger's chain, in hexadecimal.
    pub chain: String,
}

impl Run {
    /// Writes the model, what `draw` adds to the folder (a report), and last the manifest, which binds them all.
    ///
    /// # Errors
    /// [`onward::ErrorKind::Io`], and those of `draw`; the run can be resumed, which does it again.
    pub fn close(&mut self, draw: impl FnOnce(&Self, &Ended) -> Result<()>) -> Result<Ended> {
        let trainer = &self.parts.trainer;
        let steps = trainer.state().step();
        let best = best(&self.points).map(|(step, _)| step).filter(|step| *step != steps);
        let chosen = best.map(|step| self.params_at(step)).transpose()?;
        let params = chosen.as_ref().unwrap_or(trainer.state().params());
        let statistics = trainer.statistics_of(params)?;
        let judged = Judged::of(&self.parts, params, &statistics)?;
        let digest = hex(&params.digest());
        let metadata = [
            ("format", "pt".to_owned()),
            ("onward.run", self.parts.name.clone()),
            ("onward.seed", self.seed.to_string()),
            ("onward.steps", best.unwrap_or(steps).to_string()),
            ("onward.digest", digest.clone()),
        ];
        let kept: Vec<Tensor> = statistics.iter().flat_map(Statistics::tensors).collect();
        file::write_pieces(&self.folder.model(), &params.safetensors_pieces(&kept, &metadata)?)?;
        let (why, chain) = (self.ended, self.ledger.chain());
        let ended = Ended { judged, steps, best, why, spent: trainer.spent(), digest, chain: hex(&chain) };
        draw(self, &ended)?;
        Manifest::write(&self.folder, &self.begun, &chain, steps, best)?;
        Ok(ended)
    }

    /// The params after an earlier step: from its snapshot, or from the ledger where that leads there without the data.
    fn params_at(&self, step: u64) -> Result<Params> {
        let reading = self.folder.reading()?;
        match state_at(&self.folder, &reading, step) {
            Some(state) => Ok(state.params().clone()),
            None if reading.header.is_complete() => {
                let mut state = State::of(&reading.header, base(&self.folder, &reading.header)?)?;
                let entries = &reading.records[..(step as usize).min(reading.records.len())];
                let (local, folder) = (self.parts.trainer.local(), &self.folder);
                local.run(|| apply_all(folder, &mut state, entries, &mut |_| Ok(())))?;
                Ok(state.params().clone())
            }
            None => {
                let (place, expected) =
                    (self.folder.path().display(), format!("a snapshot of step {step}, its best"));
                let way = Hint::Aside(format!("`onward resume {place}` makes it again"));
                Err(Error::expected(ErrorKind::Damage, place, expected, "none that is sound").hint(way))
            }
        }
    }
}

/// The state after an earlier step, if there is a sound snapshot of it.
pub(super) fn state_at(folder: &Folder, reading: &Reading, step: u64) -> Option<State> {
    let kept = folder.snapshots().into_iter().find(|snapshot| snapshot.step == step)?;
    let mut state = State::of(&reading.header, base(folder, &reading.header).ok()?).ok()?;
    state.restore(&kept.read().ok()?, &reading.chains).ok()?;
    Some(state)
}
