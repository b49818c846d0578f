//! The end of what a program writes, read while it runs so that it never waits for a reader.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The last bytes from a pipe.
pub struct Tail {
    kept: Arc<Mutex<Kept>>,
    most: usize,
    /// Dropped when the program has ended: what has left its process group may hold the pipe open for ever.
    closing: system::Closing,
    /// Closed when the reader has ended.
    end: Receiver<()>,
}

/// What is left of what was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    pub bytes: Vec<u8>,
    /// Whether there was more before it.
    pub cut: bool,
}

#[cfg(unix)]
mod system {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::{PipeReader, PipeWriter, Read, Result};
    use std::os::fd::AsFd;
    use std::time::Duration;

    /// What can be read and waited for.
    pub trait Pipe: Read + AsFd + Send + 'static {}
    impl<P: Read + AsFd + Send + 'static> Pipe for P {}

    pub type Closing = PipeWriter;

    /// How long to wait for the reader: it ends by itself.
    pub const PATIENCE: Duration = Duration::MAX;

    /// A pipe that is read to its end, or once the program has ended as far as it is filled.
    pub struct Piped<P> {
        pipe: P,
        closed: Option<PipeReader>,
        left: usize,
    }

    /// No pipe holds more, unless somebody still writes to it.
    const MOST: usize = 1 << 20;

    impl<P: Pipe> Piped<P> {
        pub fn new(pipe: P) -> Result<(Self, Closing)> {
            let (closed, closing) = std::io::pipe()?;
            Ok((Self { pipe, closed: Some(closed), left: MOST }, closing))
        }

        /// Whether there are bytes to be read, or the end of the pipe.
        fn waits(&mut self) -> Result<bool> {
            loop {
                let mut ends = vec![PollFd::new(&self.pipe, PollFlags::IN)];
                ends.extend(self.closed.as_ref().map(|closed| PollFd::new(closed, PollFlags::IN)));
                let now = Timespec { tv_sec: 0, tv_nsec: 0 };
                poll(&mut ends, self.closed.is_none().then_some(&now))?;
                if !ends[0].revents().is_empty() {
                    return Ok(true);
                }
                if self.closed.take().is_none() {
                    return Ok(false);
                }
            }
        }
    }

    impl<P: Pipe> Read for Piped<P> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            if self.left == 0 || !self.waits()? {
                return Ok(0);
            }
            let count = self.pipe.read(buffer)?;
            if self.closed.is_none() {
                self.left = self.left.saturating_sub(count);
            }
            Ok(count)
        }
    }
}

#[cfg(not(unix))]
mod system {
    use std::io::{Read, Result};
    use std::time::Duration;

    /// What can be read.
    pub trait Pipe: Read + Send + 'static {}
    impl<P: Read + Send + 'static> Pipe for P {}

    pub type Closing = ();

    /// How long to wait for the end of a pipe that somebody may hold open for ever.
    pub const PATIENCE: Duration = Duration::from_secs(1);

    /// A pipe that is read to its end.
    pub struct Piped<P>(P);

    impl<P: Pipe> Piped<P> {
        pub fn new(pipe: P) -> Result<(Self, Closing)> {
            Ok((Self(pipe), ()))
        }
    }

    impl<P: Pipe> Read for Piped<P> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            self.0.read(buffer)
        }
    }
}

impl Tail {
    /// Reads `pipe` to its end, keeping the last `most` bytes.
    pub fn of(pipe: impl system::Pipe, most: usize) -> std::io::Result<Self> {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (open, end) = channel();
        let (mut source, closing) = system::Piped::new(pipe)?;
        let read = {
            let kept = kept.clone();
            move || {
                // Dropped when this ends.
                let _open: std::sync::mpsc::Sender<()> = open;
                let mut buffer = [0; 8192];
                loop {
                    match std::io::Read::read(&mut source, &mut buffer) {
                        Ok(0) => break,
                        Ok(n) => kept.lock().unwrap_or_else(PoisonError::into_inner).add(
                            &buffer[..n],
                            2 * most,
                            most,
                        ),
                        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(_) => break,
                    }
                }
            }
        };
        std::thread::Builder::new().spawn(read)?;
        Ok(Self { kept, most, closing, end })
    }

    /// What there is, once the program is gone.
    pub fn take(self) -> Kept {
        drop(self.closing);
        // It ends by the reader's end, and brings nothing.
        let _ = self.end.recv_timeout(system::PATIENCE);
        let mut kept = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        kept.add(&[], self.most, self.most);
        kept
    }
}

impl Kept {
    /// Adds bytes; if there are more than `full` then, only the last `most` stay.
    fn add(&mut self, new: &[u8], full: usize, most: usize) {
        self.bytes.extend_from_slice(new);
        if self.bytes.len() > full {
            self.bytes.drain(..self.bytes.len() - most);
            self.cut = true;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn exactly_the_last_bytes_are_kept_however_many_there_are() {
        for count in [0, 10, 99, 100, 101, 199, 1000, 100_000] {
            let all: Vec<u8> = (0..count).map(|i| (i % 251) as u8).collect();
            let (reader, mut writer) = std::io::pipe().unwrap();
            let tail = Tail::of(reader, 100).unwrap();
            writer.write_all(&all).unwrap();
            drop(writer);
            let kept = tail.take();
            assert!(all.ends_with(&kept.bytes) && kept.bytes.len() == count.min(100), "{count}");
            assert_eq!(kept.cut, count > 100);
        }
    }

    #[test]
    fn a_pipe_that_stays_open_is_read_as_far_as_it_is_filled() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let tail = Tail::of(reader, 100).unwrap();
        writer.write_all(b"0.25").unwrap();
        assert_eq!(tail.take().bytes, b"0.25");
    }
}
