//! What a run leaves when all its steps are taken.

use super::Run;
use crate::manifest::Manifest;
use onward::Result;
use onward::ask::Spent;
use onward::file;
use onward::model::Statistics;
use onward::params::Tensor;
use onward::train::{Score, hex, score};

/// The results of a finished run.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The score on the test rows.
    pub score: Score,
    /// The loss on the test rows, in the units that losses are reported in.
    pub loss: f64,
    /// The number of steps taken.
    pub steps: u64,
    /// The cost of all steps.
    pub spent: Spent,
    /// The digest of the final params, in hexadecimal.
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
        let statistics = trainer.statistics()?;
        let params = trainer.state().params();
        let score = score(trainer.local(), params, &statistics, &self.parts.test)?;
        let (steps, digest) = (trainer.state().step(), hex(&params.digest()));
        let metadata = [
            ("format", "pt".to_owned()),
            ("onward.run", self.parts.name.clone()),
            ("onward.seed", self.seed.to_string()),
            ("onward.steps", steps.to_string()),
            ("onward.digest", digest.clone()),
        ];
        let kept: Vec<Tensor> = statistics.iter().flat_map(Statistics::tensors).collect();
        file::write_pieces(&self.folder.model(), &params.safetensors_pieces(&kept, &metadata)?)?;
        let (loss, chain) = ((self.parts.units)(score.loss), self.ledger.chain());
        let ended = Ended { score, loss, steps, spent: trainer.spent(), digest, chain: hex(&chain) };
        draw(self, &ended)?;
        Manifest::write(&self.folder, &self.begun, &chain, steps)?;
        Ok(ended)
    }
}
