//! Standard output: the one place that writes to it, so that nothing is lost without a word.
//!
//! A reader that has seen enough (`| head`) closes the pipe: that is silent. Every other failure is kept and told by
//! [`check`] when the command is done: what was computed meanwhile, such as a run's folder, is whole.

use onward::words::plain;
use onward::{Error, ErrorKind, Result};
use std::fmt::Display;
use std::io::{ErrorKind as Refused, IsTerminal, Write};
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

/// Writes text for programs, and the end of its line.
pub fn line(text: &str) {
    write(format!("{text}\n").as_bytes());
}

/// Writes text for people, and the end of its line: in plain signs where standard output is no terminal that takes others.
pub fn words(text: &str) {
    let rich = is_utf8() && std::io::stdout().is_terminal();
    line(&if rich { text.into() } else { plain(text) });
}

/// Writes text for people, and the end of its line, beside the output.
pub fn aside(text: &str) {
    let rich = is_utf8() && std::io::stderr().is_terminal();
    // Where even that cannot be said, nothing else could be done.
    let _ = writeln!(std::io::stderr(), "{}", if rich { text.into() } else { plain(text) });
}

/// Whether the user's terminal takes more than ASCII, as far as the environment says.
pub fn is_utf8() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var_os);
    let said = said.into_iter().flatten().find(|value| !value.is_empty());
    cfg!(windows) || said.is_some_and(|value| takes_utf8(&value.to_string_lossy()))
}

fn takes_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
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
    let mut out = std::io::stdout().lock();
    let written = out.write(text)?;
    out.flush().map(|()| written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_takes_is_read_from_its_locale() {
        assert!(["en_US.UTF-8", "C.utf8"].into_iter().all(takes_utf8));
        assert!(!["C", "POSIX", "de_DE.ISO-8859-1"].into_iter().any(takes_utf8));
    }
}
