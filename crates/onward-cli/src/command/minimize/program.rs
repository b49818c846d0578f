//! One evaluation: the program is started, watched, ended if need be, and its loss read.

use super::loss::Reading;
use super::tail::{Kept, Tail};
use super::template::{Evaluation, Template};
use super::{group, loss, strays};
use std::process::Stdio;
use std::sync::atomic::AtomicU8;
use std::time::{Duration, Instant};

/// What is kept of the program's output: enough for a JSON object over many lines.
const STDOUT: usize = 1 << 20;
/// What is kept of its complaints.
const STDERR: usize = 1 << 16;

/// The program of a study.
pub struct Program {
    pub template: Template,
    /// The key of the loss in JSON.
    pub key: String,
    pub timeout: Option<Duration>,
    /// The study's seed.
    pub seed: u64,
}

/// How an evaluation has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// With a finite loss.
    Loss(Reading),
    /// Without one, for this reason.
    Failed(String),
    /// It was ended by our own end, and counts for nothing.
    Abandoned,
}

/// What an evaluation has left.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub ending: Ending,
    pub seconds: f64,
    /// The end of what it wrote there.
    pub stderr: Vec<u8>,
}

/// The seed of all evaluations of a generation: 31 bits, which every program takes.
pub fn common_seed(study: u64, generation: u64) -> u32 {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&study.to_le_bytes());
    name[8..].copy_from_slice(&generation.to_le_bytes());
    let hash = blake3::derive_key("onward minimize, seed of a generation", &name);
    u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) >> 1
}

impl Program {
    /// The program's words for an evaluation.
    pub fn words(&self, evaluation: &Evaluation) -> Vec<String> {
        self.template.words(evaluation, common_seed(self.seed, evaluation.generation))
    }

    /// Runs it once. `stop` of 2 or more ends it early.
    ///
    /// # Errors
    /// The system's, if the program cannot be started.
    pub fn run(&self, evaluation: &Evaluation, stop: &AtomicU8) -> std::io::Result<Outcome> {
        let seed = common_seed(self.seed, evaluation.generation);
        let mut command = self.template.command(evaluation, seed);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = strays::started(evaluation.id, || group::start(&mut command))?;
        let tails = (
            child.stdout.take().map(|pipe| Tail::of(pipe, STDOUT)).transpose(),
            child.stderr.take().map(|pipe| Tail::of(pipe, STDERR)).transpose(),
        );
        let end = group::wait(&mut child, self.timeout, stop);
        let seconds = began.elapsed().as_secs_f64();
        strays::ended(child.id());
        let (stdout, stderr) = (
            tails.0?.map_or_else(Kept::default, Tail::take),
            tails.1?.map_or_else(Kept::default, Tail::take),
        );
        Ok(Outcome { ending: self.judge(end?, &stdout), seconds, stderr: stderr.bytes })
    }

    fn judge(&self, end: group::End, stdout: &Kept) -> Ending {
        match end {
            group::End::Exited(status) if status.success() => match loss::read(stdout, &self.key) {
                Ok(loss) => Ending::Loss(loss),
                Err(reason) => Ending::Failed(reason),
            },
            group::End::Exited(status) => Ending::Failed(status.to_string()),
            group::End::TimedOut => {
                let seconds = self.timeout.unwrap_or_default().as_secs_f64();
                Ending::Failed(format!("took longer than {seconds} s"))
            }
            group::End::Stopped => Ending::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_common_to_a_generation_and_stay_as_they_are() {
        assert_eq!([0, 1].map(|g| common_seed(1, g)), [1_050_992_304, 1_851_418_276]);
        let all: std::collections::BTreeSet<u32> =
            (0..1000).flat_map(|g| [common_seed(1, g), common_seed(2, g)]).collect();
        assert_eq!(all.len(), 2000);
        assert!(all.iter().all(|s| i32::try_from(*s).is_ok()));
    }
}
