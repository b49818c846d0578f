//! Requests to stop, from people and from the system.

use onward::{Error, ErrorKind, Result};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Somebody pressed Ctrl-C, and may do so again.
    CtrlC,
    /// The system, or the end of a terminal: TERM or HUP, which come once.
    End,
}

/// Calls `heard` with each request from now on.
///
/// # Errors
/// [`ErrorKind::Io`] if the system lets nobody listen.
pub fn listen(heard: impl FnMut(Request) + Send + 'static) -> Result<()> {
    system::listen(heard).map_err(|e| Error::new(ErrorKind::Io, format!("cannot listen for Ctrl-C: {e}")))
}

/// Makes a refusal in the middle, where no caller can be told of it, end the process as every other refusal does: the
/// system's words are printed, and the exit code is 2 instead of an abort's.
///
/// # Errors
/// [`ErrorKind::Io`] if the system lets nobody listen.
#[cfg(unix)]
pub fn refusals_are_errors() -> Result<()> {
    let signal = rustix::process::Signal::ABORT.as_raw();
    let always = std::sync::Arc::new(true.into());
    let heard = signal_hook::flag::register_conditional_shutdown(signal, 2, always);
    heard.map_err(|e| Error::new(ErrorKind::Io, format!("cannot listen for SIGABRT: {e}"))).map(|_| ())
}

#[cfg(unix)]
mod system {
    use super::Request;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    pub fn listen(mut heard: impl FnMut(Request) + Send + 'static) -> std::io::Result<()> {
        let asked = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !is_ignored(*signal));
        let mut signals = Signals::new(asked)?;
        let listens = move || {
            for signal in signals.forever() {
                heard(if signal == SIGINT { Request::CtrlC } else { Request::End });
            }
        };
        std::thread::Builder::new().spawn(listens).map(|_| ())
    }

    /// Whether this process was started to ignore it, as `nohup` does; where that cannot be known, no.
    fn is_ignored(signal: i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        mask >> (signal - 1) & 1 == 1
    }
}

#[cfg(not(unix))]
mod system {
    use super::Request;

    pub fn listen(mut heard: impl FnMut(Request) + Send + 'static) -> Result<(), ctrlc::Error> {
        ctrlc::set_handler(move || heard(Request::CtrlC))
    }
}
