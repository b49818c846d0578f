//! The end of what a program writes, read while it runs so that it never waits for a reader.

use std::io::Read;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The last bytes from a pipe.
pub struct Tail {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Closed at the end of the pipe.
    end: Receiver<()>,
}

/// How long to wait for the end of a pipe whose program is gone. What has left the program's process group may hold it
/// open for ever.
const PATIENCE: Duration = Duration::from_secs(1);

impl Tail {
    /// Reads `pipe` to its end, keeping at least the last `most` bytes.
    pub fn of(mut pipe: impl Read + Send + 'static, most: usize) -> std::io::Result<Self> {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (open, end) = channel();
        let kept = bytes.clone();
        let read = move || {
            // Dropped when this ends.
            let _open: std::sync::mpsc::Sender<()> = open;
            let mut buffer = [0; 8192];
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(n) => {
                        keep(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), &buffer[..n], most)
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        };
        std::thread::Builder::new().spawn(read)?;
        Ok(Self { bytes, end })
    }

    /// What there is, once the program is gone.
    pub fn take(self) -> Vec<u8> {
        // Either the pipe has ended or nobody knows when it will.
        let _ = self.end.recv_timeout(PATIENCE);
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn keep(kept: &mut Vec<u8>, new: &[u8], most: usize) {
    kept.extend_from_slice(new);
    if kept.len() > 2 * most {
        kept.drain(..kept.len() - most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_however_many_there_are() {
        for count in [0, 10, 99, 100, 1000, 100_000] {
            let all: Vec<u8> = (0..count).map(|i| (i % 251) as u8).collect();
            let kept = Tail::of(std::io::Cursor::new(all.clone()), 100).unwrap().take();
            assert!(all.ends_with(&kept) && kept.len() >= count.min(100) && kept.len() <= 8392, "{count}");
        }
    }
}
