//! Several programs at once.

use super::program::{Outcome, Program};
use super::template::Evaluation;
use onward::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::channel;

/// Where evaluations come from and their outcomes go.
pub trait Queue {
    /// The next evaluation; `None` if there is none before another outcome is there.
    fn next(&mut self) -> Result<Option<Evaluation>>;

    /// Takes an outcome.
    fn done(&mut self, evaluation: &Evaluation, outcome: Outcome) -> Result<()>;
}

/// Runs what `queue` gives, at most `jobs` at once, until it has no more or `stop` is raised: 1 starts no further program,
/// 2 ends those that run.
///
/// # Errors
/// The first that there was. What runs then is waited for and its outcome taken, unless that is what failed.
pub fn run(program: &Program, jobs: usize, stop: &AtomicU8, queue: &mut dyn Queue) -> Result<()> {
    let mut failed = None;
    let mut running = 0;
    std::thread::scope(|scope| {
        let (tell, outcomes) = channel();
        loop {
            while running < jobs && failed.is_none() && stop.load(Ordering::SeqCst) == 0 {
                let evaluation = match queue.next() {
                    Ok(Some(evaluation)) => evaluation,
                    Ok(None) => break,
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                };
                let tell = tell.clone();
                let work = move || {
                    let outcome = program.run(&evaluation, stop);
                    let _ = tell.send((evaluation, outcome));
                };
                match std::thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(_) => running += 1,
                    Err(e) => failed = Some(Error::new(ErrorKind::Io, format!("cannot start a thread: {e}"))),
                }
            }
            if running == 0 {
                return;
            }
            let Ok((evaluation, outcome)) = outcomes.recv() else { return };
            running -= 1;
            let done = match outcome {
                Ok(outcome) => queue.done(&evaluation, outcome).inspect_err(|_| {
                    // Nothing can be kept any more: what runs runs in vain.
                    stop.fetch_max(2, Ordering::SeqCst);
                }),
                Err(e) => Err(cannot_start(program, &evaluation, &e)),
            };
            failed = failed.take().or(done.err());
        }
    });
    failed.map_or(Ok(()), Err)
}

fn cannot_start(program: &Program, evaluation: &Evaluation, e: &std::io::Error) -> Error {
    let word = program.words(evaluation).into_iter().next().unwrap_or_default();
    let hint = match e.kind() {
        std::io::ErrorKind::NotFound if !word.contains('/') => " (a program in this folder is ./NAME)",
        std::io::ErrorKind::PermissionDenied => " (is it executable?)",
        std::io::ErrorKind::ArgumentListTooLong => {
            " (so many values do not fit into arguments and environment)"
        }
        _ => "",
    };
    Error::new(ErrorKind::Io, format!("command: cannot start `{word}`: {e}{hint}"))
}
