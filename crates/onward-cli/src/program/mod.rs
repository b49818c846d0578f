//! Programs that are started, watched, ended if need be, and whose loss is read in what they print.

mod group;
mod loss;
mod scoring;
mod strays;
mod tail;

pub use loss::Reading;
pub use scoring::{Scoring, last_failure};
pub use strays::{adopt, end_all};

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU8;
use std::time::{Duration, Instant};
use tail::{Kept, Tail};

/// What is kept of a program's output: enough for a JSON object over many lines.
const STDOUT: usize = 1 << 20;
/// What is kept of its complaints.
const STDERR: usize = 1 << 16;

/// How an evaluation has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending<Read = Reading> {
    /// With a finite loss, or several.
    Loss(Read),
    /// Without one, for this reason.
    Failed(String),
    /// It was ended by our own end, and counts for nothing.
    Abandoned,
}

/// What an evaluation has left.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<Read = Reading> {
    pub ending: Ending<Read>,
    pub seconds: f64,
    /// The end of what it wrote there.
    pub stderr: Vec<u8>,
}

/// What holds for a program, however often it is started.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// The key of the loss in JSON.
    pub key: &'a str,
    pub timeout: Option<Duration>,
    /// 2 or more ends it early.
    pub stop: &'a AtomicU8,
}

impl Terms<'_> {
    /// Runs the program of evaluation `id`, which is in its environment as `ONWARD_ID`, once. It reads `input`, or nothing.
    ///
    /// # Errors
    /// The system's, if the program cannot be started.
    pub fn run(&self, command: &mut Command, id: u64, input: Option<Vec<u8>>) -> std::io::Result<Outcome> {
        self.run_and(command, id, input, |stdout| loss::read(stdout, self.key))
    }

    /// The same, `read` finding the losses in what it prints.
    fn run_and<Read>(
        &self,
        command: &mut Command,
        id: u64,
        input: Option<Vec<u8>>,
        read: impl FnOnce(&Kept) -> Result<Read, String>,
    ) -> std::io::Result<Outcome<Read>> {
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = strays::started(id, || group::start(command))?;
        let tails = (
            child.stdout.take().map(|pipe| Tail::of(pipe, STDOUT)).transpose(),
            child.stderr.take().map(|pipe| Tail::of(pipe, STDERR)).transpose(),
        );
        let fed = feed(&mut child, input.unwrap_or_default());
        let end = group::wait(&mut child, self.timeout, self.stop);
        let seconds = began.elapsed().as_secs_f64();
        strays::ended(child.id());
        let (stdout, stderr) = (
            tails.0?.map_or_else(Kept::default, Tail::take),
            tails.1?.map_or_else(Kept::default, Tail::take),
        );
        fed?;
        Ok(Outcome { ending: self.judge(end?, || read(&stdout)), seconds, stderr: stderr.bytes })
    }

    fn judge<Read>(&self, end: group::End, read: impl FnOnce() -> Result<Read, String>) -> Ending<Read> {
        match end {
            group::End::Exited(status) if status.success() => match read() {
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

/// Writes to the program's standard input while it runs. One that reads no more than it needs is its own affair.
fn feed(child: &mut Child, input: Vec<u8>) -> std::io::Result<()> {
    let Some(mut pipe) = child.stdin.take() else { return Ok(()) };
    let write = move || {
        let _ = pipe.write_all(&input);
    };
    std::thread::Builder::new().spawn(write).map(|_| ())
}
