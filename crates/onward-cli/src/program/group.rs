//! A program with all that it starts, so that they end together.

use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// By itself, or by a signal of somebody else.
    Exited(ExitStatus),
    /// Its time was up.
    TimedOut,
    /// It was told to.
    Stopped,
}

/// How often to look whether it should be stopped.
const LOOK: Duration = Duration::from_millis(100);

/// When to stop waiting.
struct Patience<'a> {
    until: Option<Instant>,
    stop: &'a AtomicU8,
}

impl<'a> Patience<'a> {
    fn new(timeout: Option<Duration>, stop: &'a AtomicU8) -> Self {
        // A time too far away to be written down never comes.
        Self { until: timeout.and_then(|t| Instant::now().checked_add(t)), stop }
    }

    /// Why to end the program now.
    fn end(&self) -> Option<End> {
        if self.stop.load(Ordering::SeqCst) >= 2 {
            return Some(End::Stopped);
        }
        self.until.is_some_and(|until| Instant::now() >= until).then_some(End::TimedOut)
    }

    fn look(&self) -> Duration {
        self.until.map_or(LOOK, |until| LOOK.min(until.saturating_duration_since(Instant::now())))
    }
}

#[cfg(unix)]
mod system {
    use super::{Child, Command, Duration, End, Patience};
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
    use std::os::unix::process::CommandExt;
    use std::sync::atomic::AtomicU8;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    /// Starts it as the leader of a group of its own.
    pub fn start(command: &mut Command) -> std::io::Result<Child> {
        command.process_group(0).spawn()
    }

    /// Waits for its end, or ends it; what it has left running in its group ends with it.
    pub fn wait(child: &mut Child, timeout: Option<Duration>, stop: &AtomicU8) -> std::io::Result<End> {
        let patience = Patience::new(timeout, stop);
        let group = Pid::from_child(child);
        let (tell, ended) = channel();
        let watch = move || {
            // Without reaping it: as long as it is a zombie, its number and its group's belong to nobody else.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while waitid(WaitId::Pid(group), options).err() == Some(rustix::io::Errno::INTR) {}
            let _ = tell.send(());
        };
        let watching = std::thread::Builder::new().spawn(watch);
        let early = loop {
            if watching.is_err() {
                break Some(End::Stopped);
            }
            match ended.recv_timeout(patience.look()) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(end) = patience.end() {
                break Some(end);
            }
        };
        // It fails only where nobody of the group is left to be ended.
        let _ = kill_process_group(group, Signal::KILL);
        let status = child.wait()?;
        watching?;
        Ok(early.unwrap_or(End::Exited(status)))
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Child, Command, Duration, End, Patience};
    use std::sync::atomic::AtomicU8;

    /// Starts it.
    pub fn start(command: &mut Command) -> std::io::Result<Child> {
        command.spawn()
    }

    /// Waits for its end, or ends it; here what it has started goes on.
    pub fn wait(child: &mut Child, timeout: Option<Duration>, stop: &AtomicU8) -> std::io::Result<End> {
        let patience = Patience::new(timeout, stop);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(End::Exited(status));
            }
            if let Some(end) = patience.end() {
                child.kill()?;
                child.wait()?;
                return Ok(end);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

pub use system::{start, wait};
