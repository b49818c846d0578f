//! Several runs at once, each a process of this program.

use onward::{Error, ErrorKind, Result};
use serde_json::Value;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// One run: its name, and the words that take it.
pub struct Job {
    pub name: String,
    pub words: Vec<OsString>,
}

/// How a run's process has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    pub name: String,
    pub code: Option<i32>,
    /// The last event that it told.
    pub last: Option<Value>,
    /// The last line of its standard error.
    pub complaint: String,
}

/// How often requests to stop are passed on.
const TICK: Duration = Duration::from_millis(50);

/// Takes all runs, at most `at_once` at a time, and tells of each that has ended. Once `stop` is raised no more are begun, and those that
/// run are asked to stop as often as this process was.
///
/// # Errors
/// [`ErrorKind::Io`] if this program cannot be started.
pub fn run(jobs: &[Job], at_once: usize, stop: &AtomicU8, tell: &mut dyn FnMut(Ended)) -> Result<()> {
    let program = std::env::current_exe()
        .map_err(|e| Error::new(ErrorKind::Io, format!("cannot find this program: {e}")))?;
    let (sender, ended) = channel();
    let (mut waiting, mut running, mut passed) = (jobs.iter(), Vec::new(), 0);
    loop {
        let asked = stop.load(Ordering::SeqCst);
        while asked == 0 && running.len() < at_once {
            let Some(job) = waiting.next() else { break };
            let started = start(Command::new(&program).args(&job.words), job, &sender);
            match started {
                Ok(id) => running.push((job.name.clone(), id)),
                Err(e) => {
                    stop.fetch_add(1, Ordering::SeqCst);
                    let failed = Error::new(ErrorKind::Io, format!("cannot start a run: {e}"));
                    let words = failed.to_string();
                    tell(Ended { name: job.name.clone(), code: Some(2), last: None, complaint: words });
                    break;
                }
            }
        }
        if running.is_empty() {
            return Ok(());
        }
        while passed < stop.load(Ordering::SeqCst) {
            passed += 1;
            running.iter().for_each(|(_, id)| interrupt(*id));
        }
        match ended.recv_timeout(TICK) {
            Ok(one) => {
                let one: Ended = one;
                running.retain(|(name, _)| *name != one.name);
                tell(one);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Starts a run's process, and a thread that hears it to its end.
fn start(command: &mut Command, job: &Job, sender: &Sender<Ended>) -> std::io::Result<u32> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A terminal's Ctrl-C comes to this process alone, which passes it on once.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let child = command.spawn()?;
    let (id, name, sender) = (child.id(), job.name.clone(), sender.clone());
    std::thread::Builder::new().spawn(move || {
        let ended = hear(child, name);
        let _ = sender.send(ended);
    })?;
    Ok(id)
}

fn hear(mut child: Child, name: String) -> Ended {
    let errors = child.stderr.take();
    let complaint = std::thread::Builder::new().spawn(move || {
        let mut text = String::new();
        // What is no text is no complaint that could be told.
        let _ = errors.map(|mut pipe| pipe.read_to_string(&mut text));
        text
    });
    let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
    let last =
        lines.map_while(std::result::Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let last = last.filter(|event| event["event"].is_string()).last();
    let code = child.wait().ok().and_then(|status| status.code());
    let complaint = complaint.ok().and_then(|thread| thread.join().ok()).unwrap_or_default();
    let complaint =
        complaint.lines().last().unwrap_or("its process was ended").trim_start_matches("error: ").to_owned();
    Ended { name, code, last, complaint }
}

#[cfg(unix)]
fn interrupt(id: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    // One that has just ended hears nothing.
    let _ = i32::try_from(id).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::INT));
}

#[cfg(not(unix))]
fn interrupt(_: u32) {}
