//! Work shared out among threads of a step. Sums are of integers and every weight has one owner, so the number of threads changes no bit.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::thread;

/// How many threads share a step's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadCount(pub NonZeroUsize);

impl ThreadCount {
    /// One thread: the caller's.
    pub const ONE: Self = Self(NonZeroUsize::MIN);

    /// As many pieces of `0..count` as there are threads; the first are longer by one where it does not divide.
    pub fn pieces(self, count: usize) -> Vec<Range<usize>> {
        let threads = self.0.get();
        let piece = |i: usize| i * (count / threads) + i.min(count % threads);
        (0..threads).map(|i| piece(i)..piece(i + 1)).collect()
    }

    /// Runs `work` on every part, one thread each, and returns what they return in the parts' order.
    pub(crate) fn each<T: Send, R: Send>(self, parts: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
        if self.0.get() == 1 {
            return parts.into_iter().map(work).collect();
        }
        let work = &work;
        thread::scope(|scope| {
            let running: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || work(part))).collect();
            let end = |handle: thread::ScopedJoinHandle<'_, R>| match handle.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            running.into_iter().map(end).collect()
        })
    }
}
