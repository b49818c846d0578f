//! A program as a task: it reads what a model answers to a batch and prints the loss.

use super::loss::{read, read_each};
use super::tail::Kept;
use super::{Ending, Outcome, Terms, adopt};
use onward::dataset::Targets;
use onward::model::Act;
use onward::settings;
use onward::task::{Answers, Grain, Task};
use onward::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Numbers the programs of this process.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Why the last one that failed did.
static FAILED: Mutex<Option<String>> = Mutex::new(None);
/// Nobody stops a program but its own time, and this process's end.
static STOP: AtomicU8 = AtomicU8::new(0);
/// Letters of a program's last words in an error.
const QUOTED: usize = 200;

/// Why the last program that failed did, if one has.
pub fn last_failure() -> Option<String> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The task of a program that is told of a batch's answers (`docs/studies.md`).
pub struct Scoring(settings::Program);

impl Scoring {
    /// Of this program.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if there is no word to start.
    pub fn new(program: settings::Program) -> Result<Self> {
        if program.command.first().is_none_or(String::is_empty) {
            let expected = "a program and its arguments";
            return Err(Error::expected(ErrorKind::Spec, "objective.command", expected, "no program"));
        }
        adopt();
        Ok(Self(program))
    }

    /// Runs the program on these lines: the losses that it prints, so many.
    fn run(&self, lines: Vec<u8>, count: usize) -> std::result::Result<Vec<f32>, String> {
        let settings::Program { command: words, directory, timeout, key, rows } = &self.0;
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("ONWARD_ID", id.to_string());
        if let Some(directory) = directory {
            command.current_dir(directory);
        }
        let timeout = Duration::try_from_secs_f64(*timeout).ok();
        let read = |stdout: &Kept| match rows {
            Some(true) => read_each(stdout, key, count),
            _ => read(stdout, key).map(|reading| vec![reading.loss]),
        };
        let outcome = Terms { key, timeout, stop: &STOP }.run_and(&mut command, id, Some(lines), read);
        let Outcome { ending, stderr, .. } =
            outcome.map_err(|e| match directory.as_ref().filter(|folder| !folder.is_dir()) {
                Some(folder) => {
                    format!("cannot start `{}` in {}: no such folder", words[0], folder.display())
                }
                None => format!("cannot start `{}`: {e}", words[0]),
            })?;
        let reason = match ending {
            Ending::Loss(all) => match all.iter().find(|loss| !(**loss as f32).is_finite()) {
                None => return Ok(all.into_iter().map(|loss| loss as f32).collect()),
                Some(loss) => format!("the loss {loss} is beyond single precision"),
            },
            Ending::Failed(reason) => reason,
            Ending::Abandoned => "it was ended".into(),
        };
        let words = String::from_utf8_lossy(&stderr);
        Err(match words.trim().lines().last() {
            Some(last) => {
                format!("{reason}; its last words: {}", last.chars().take(QUOTED).collect::<String>())
            }
            None => reason,
        })
    }
}

/// One row of a batch.
#[derive(Serialize)]
struct Row<'a> {
    /// Its number in its data.
    row: u64,
    /// What the model answers.
    outputs: &'a [f32],
    /// What it should have answered.
    target: Target<'a>,
    /// Numbers beside these.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<&'a str, f64>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Target<'a> {
    Class(u32),
    Value(f32),
    Values(&'a [f32]),
}

/// The batch as lines of JSON.
fn lines(outputs: &Act, answers: Answers<'_>) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in 0..outputs.rows() {
        let sample = answers.sample(row);
        let target = match answers.targets {
            Targets::Classes { labels, .. } => Target::Class(labels[sample]),
            Targets::Values { values, width: 1 } => Target::Value(values[sample]),
            Targets::Values { values, width } => Target::Values(&values[sample * width..][..*width]),
        };
        let columns = answers.columns.iter().map(|(name, values)| (name, values[sample])).collect();
        let line = Row { row: answers.id(sample), outputs: outputs.row(row), target, columns };
        serde_json::to_writer(&mut lines, &line)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

impl Task for Scoring {
    fn grain(&self) -> Grain {
        if self.0.rows == Some(true) { Grain::Row } else { Grain::Batch }
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        let lines = lines(outputs, answers).map_err(|e| e.to_string());
        match lines.and_then(|lines| self.run(lines, losses.len())) {
            Ok(found) => {
                losses.copy_from_slice(&found);
                Ok(())
            }
            Err(reason) => {
                *FAILED.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
                Err(Error::expected(ErrorKind::Evaluator, "objective.command", "a loss", reason))
            }
        }
    }
}

/// Texts that a program judges at a time.
#[cfg(feature = "language")]
const TEXTS: usize = 8;
/// Programs that judge side by side.
#[cfg(feature = "language")]
const SIDE_BY_SIDE: usize = 4;

/// A program that prints the reward of each text that it reads. What it does not tell of one, it tells of none of those that it read with it.
#[cfg(feature = "language")]
impl onward_language::Verify for Scoring {
    fn verdicts(&self, texts: &[onward_language::Written]) -> Vec<Option<onward_language::Verdict>> {
        let judged = |texts: &[onward_language::Written]| {
            let mut lines = Vec::new();
            for text in texts {
                serde_json::to_writer(&mut lines, text).map_err(|e| e.to_string())?;
                lines.push(b'\n');
            }
            let all = self.run(lines, texts.len())?;
            match all.iter().find(|reward| !(0.0..=1.0).contains(*reward)) {
                Some(reward) => Err(format!("printed the reward {reward}, which is not from 0 to 1")),
                None => Ok(all),
            }
        };
        let told = |texts: &[onward_language::Written]| match judged(texts) {
            Ok(all) => all
                .into_iter()
                .map(|reward| Some(onward_language::Verdict { reward, formed: None, right: None }))
                .collect(),
            Err(reason) => {
                *FAILED.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                vec![None; texts.len()]
            }
        };
        let mut all = Vec::with_capacity(texts.len());
        let parts: Vec<_> = texts.chunks(TEXTS).collect();
        for parts in parts.chunks(SIDE_BY_SIDE) {
            std::thread::scope(|scope| {
                let running: Vec<_> = parts.iter().map(|part| scope.spawn(|| told(part))).collect();
                for (part, one) in parts.iter().zip(running) {
                    all.extend(one.join().unwrap_or_else(|_| vec![None; part.len()]));
                }
            });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onward::dataset::Columns;

    #[test]
    fn a_batch_is_a_line_for_each_row() {
        let outputs = Act::new(2, [1, 1, 2], vec![0.1, -2.0, f32::NAN, 3e9]);
        let text = |answers| String::from_utf8(lines(&outputs, answers).unwrap()).unwrap();
        let columns = Columns::default().with("age", vec![1.5, 2.0]);
        let classes = Targets::Classes { labels: vec![3, 1], classes: 4 };
        let answers = Answers { ids: Some(&[7, 1 << 40]), ..Answers::all(&classes, &columns) };
        assert_eq!(
            text(answers),
            "{\"row\":7,\"outputs\":[0.1,-2.0],\"target\":3,\"columns\":{\"age\":1.5}}\n\
             {\"row\":1099511627776,\"outputs\":[null,3000000000.0],\"target\":1,\"columns\":{\"age\":2.0}}\n"
        );
        let (none, two) =
            (Columns::default(), Targets::Values { values: vec![1.0, 2.0, 0.25, 4.0], width: 2 });
        let second = Answers { first: 1, count: 1, ..Answers::all(&two, &none) };
        assert!(text(second).starts_with("{\"row\":1,\"outputs\":[0.1,-2.0],\"target\":[0.25,4.0]}\n"));
        let one = Targets::Values { values: vec![1.0, 2.0], width: 1 };
        assert!(
            text(Answers::all(&one, &none))
                .starts_with("{\"row\":0,\"outputs\":[0.1,-2.0],\"target\":1.0}\n")
        );
    }
}
