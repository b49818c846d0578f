//! Standard output: the one place that writes to it, so that nothing is lost without a word.
//!
//! A reader that has seen enough (`| head`) closes the pipe: that is silent. Every other failure is kept and told by
//! [`check`] when the command is done: what was computed meanwhile, such as a run's folder, is whole.

use onward::{Error, ErrorKind, Result};
use std::fmt::Display;
use std::io::ErrorKind as Refused;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Where the output stands.
enum State {
    Open,
    /// Nobody reads on.
    Closed,
    /// Something was lost, for this reason.
    Lost(String),
}

static STATE: Mutex<State> = Mutex::new(State::Open);

/// Writes text, unless earlier text could not be written: what is there is a beginning of the whole.
pub fn write(text: &[u8]) {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*state, State::Open) {
        match write_all(text) {
            Ok(()) => {}
            Err(e) if e.kind() == Refused::BrokenPipe => *state = State::Closed,
            Err(e) => *state = State::Lost(e.to_string()),
        }
    }
}

/// Writes text and the end of its line.
pub fn line(text: &str) {
    write(format!("{text}\n").as_bytes());
}

/// Notes that there was something to write that could not even be put into words.
pub fn lost(why: impl Display) {
    *STATE.lock().unwrap_or_else(PoisonError::into_inner) = State::Lost(why.to_string());
}

/// Whether all that was written has arrived, or its reader closed the pipe.
///
/// # Errors
/// [`ErrorKind::Io`] with the reason of the first loss.
pub fn check() -> Result<()> {
    match &*STATE.lock().unwrap_or_else(PoisonError::into_inner) {
        State::Lost(why) => Err(Error::new(
            ErrorKind::Io,
            format!("standard output: cannot write, so some of it is lost: {why}"),
        )),
        State::Open | State::Closed => Ok(()),
    }
}

/// The whole text, also where the descriptor was made not to block by another process that shares it.
fn write_all(mut text: &[u8]) -> std::io::Result<()> {
    while !text.is_empty() {
        match write_some(text) {
            Ok(0) => return Err(Refused::WriteZero.into()),
            Ok(n) => text = &text[n..],
            Err(e) if e.kind() == Refused::Interrupted => {}
            Err(e) if e.kind() == Refused::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The standard library takes a descriptor that cannot be written to for one that swallows all, so it is left out.
#[cfg(unix)]
fn write_some(text: &[u8]) -> std::io::Result<usize> {
    Ok(rustix::io::write(rustix::stdio::stdout(), text)?)
}

#[cfg(not(unix))]
fn write_some(text: &[u8]) -> std::io::Result<usize> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let written = out.write(text)?;
    out.flush().map(|()| written)
}
