//! The numbers of activations: a view of a buffer that holders share until one writes to it, and that goes back to where
//! it came from, to be used again, when the last holder lets go.

use crate::kernel::Lines;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// A shared buffer of numbers, copied when it is written to while others hold it.
#[derive(Clone, Default)]
pub struct Numbers {
    buffer: Arc<Buffer>,
    start: usize,
    len: usize,
}

#[derive(Default)]
struct Buffer {
    numbers: Memory,
    buffers: BufferPool,
}

/// Numbers that came from outside, or lines that a [`BufferPool`] lends.
enum Memory {
    Given(Vec<f32>),
    Lent(Lines),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Given(Vec::new())
    }
}

impl Memory {
    fn all(&self) -> &[f32] {
        match self {
            Self::Given(numbers) => numbers,
            Self::Lent(lines) => lines,
        }
    }

    fn all_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Given(numbers) => numbers,
            Self::Lent(lines) => lines,
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Memory::Lent(lines) = std::mem::take(&mut self.numbers) {
            self.buffers.put(lines);
        }
    }
}

/// A pool of buffers that wait to be used again; `BufferPool::default()` keeps none.
#[derive(Clone, Default)]
pub(crate) struct BufferPool(Option<Arc<Waiting>>);

struct Waiting {
    most: usize,
    lines: Mutex<Vec<Lines>>,
}

/// Buffers that wait at most: those of a few layers.
const FEW: usize = 8;
/// Those of all layers of a deep model, inputs and outputs.
const MANY: usize = 256;

impl BufferPool {
    /// A pool that keeps buffers.
    pub fn keeping() -> Self {
        Self(Some(Arc::new(Waiting { most: FEW, lines: Mutex::default() })))
    }

    /// A pool that keeps all buffers of a pass that leaves a trace.
    pub(crate) fn keeping_many() -> Self {
        Self(Some(Arc::new(Waiting { most: MANY, lines: Mutex::default() })))
    }

    /// `len` numbers of unknown value, from a buffer that waits here or a new one.
    pub fn take(&self, len: usize) -> Numbers {
        let waiting = self.0.as_ref().and_then(|all| {
            let mut all = all.lines.lock().unwrap_or_else(PoisonError::into_inner);
            // The last one that fits is the one most likely to be in a cache.
            all.iter().rposition(|v| (len..=4 * len).contains(&v.len())).map(|i| all.remove(i))
        });
        let numbers = Memory::Lent(waiting.unwrap_or_else(|| Lines::zeros(len)));
        Numbers { buffer: Arc::new(Buffer { numbers, buffers: self.clone() }), start: 0, len }
    }

    fn put(&self, numbers: Lines) {
        if let Some(all) = &self.0 {
            let most = all.most;
            let mut all = all.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() == most {
                all.remove(0);
            }
            all.push(numbers);
        }
    }
}

/// Buffer pools that outlive the passes that use them, one for each pass that runs at the same time.
#[derive(Clone, Default)]
pub(crate) struct BufferPools(Arc<Mutex<Vec<BufferPool>>>);

impl BufferPools {
    /// Runs `pass` with a pool that no other pass is using.
    pub fn with<T>(&self, pass: impl FnOnce(&BufferPool) -> T) -> T {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = free().pop();
        let buffers = waiting.unwrap_or_else(BufferPool::keeping);
        let result = pass(&buffers);
        free().push(buffers);
        result
    }
}

impl Numbers {
    /// As many numbers of unknown value as are asked for, from where these came from.
    pub(crate) fn another(&self, len: usize) -> Self {
        self.buffer.buffers.take(len)
    }

    /// Numbers `from..to`, not copied.
    ///
    /// # Panics
    /// If there are fewer: a bug in the caller.
    #[must_use]
    pub fn view(&self, from: usize, to: usize) -> Self {
        assert!(from <= to && to <= self.len, "numbers {from}..{to} of {}", self.len);
        Self { buffer: self.buffer.clone(), start: self.start + from, len: to - from }
    }
}

impl From<Vec<f32>> for Numbers {
    fn from(numbers: Vec<f32>) -> Self {
        let len = numbers.len();
        let numbers = Memory::Given(numbers);
        Self { buffer: Arc::new(Buffer { numbers, buffers: BufferPool::default() }), start: 0, len }
    }
}

impl Deref for Numbers {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer.numbers.all()[self.start..self.start + self.len]
    }
}

impl DerefMut for Numbers {
    fn deref_mut(&mut self) -> &mut [f32] {
        if Arc::get_mut(&mut self.buffer).is_none() {
            let mut own = self.another(self.len);
            let only =
                Arc::get_mut(&mut own.buffer).map(|b| b.numbers.all_mut()[..self.len].copy_from_slice(self));
            debug_assert!(only.is_some(), "a new buffer has one holder");
            *self = own;
        }
        let (start, len) = (self.start, self.len);
        // There is one holder now, so the other arm is never taken.
        Arc::get_mut(&mut self.buffer).map_or(&mut [], |b| &mut b.numbers.all_mut()[start..start + len])
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_share_until_one_is_written_to() {
        let all = Numbers::from(vec![1.0, 2.0, 3.0, 4.0]);
        let mut part = all.view(1, 3);
        assert_eq!(part.as_ptr(), all[1..].as_ptr());
        part[0] = 7.0;
        assert_eq!((&part[..], &all[..]), (&[7.0, 3.0][..], &[1.0, 2.0, 3.0, 4.0][..]));
        let mut only = all.clone();
        drop(all);
        let place = only.as_ptr();
        only[3] = 0.0;
        assert_eq!(only.as_ptr(), place, "the only holder writes in place");
    }

    #[test]
    fn buffers_go_home_and_are_used_again() {
        let buffers = BufferPool::keeping();
        let first = buffers.take(100);
        let (place, copy) = (first.as_ptr(), first.clone());
        drop(first);
        assert_ne!(buffers.take(100).as_ptr(), place, "still held");
        drop(copy);
        let again = buffers.take(60);
        assert_eq!((again.as_ptr(), again.len()), (place, 60));
        let mut shared = again.clone();
        shared.fill(1.0);
        assert_ne!(shared.as_ptr(), place, "a copy made for writing has a buffer of its own");
        let far_too_large = buffers.take(3);
        assert_eq!(far_too_large.len(), 3);
    }

    #[test]
    fn passes_one_after_the_other_share_a_home_and_passes_at_once_do_not() {
        let buffer_pools = BufferPools::default();
        let place = buffer_pools.with(|buffers| buffers.take(40).as_ptr() as usize);
        buffer_pools.with(|buffers| {
            let own = buffers.take(40);
            assert_eq!(own.as_ptr() as usize, place);
            buffer_pools.with(|other| assert_ne!(other.take(40).as_ptr() as usize, place));
        });
        let many: Vec<Numbers> =
            (0..FEW + 5).map(|_| buffer_pools.with(|buffers| buffers.take(40))).collect();
        drop(many);
        buffer_pools.with(|buffers| assert_eq!(buffers.0.as_ref().unwrap().lines.lock().unwrap().len(), FEW));
    }

    #[test]
    #[should_panic(expected = "numbers 1..3 of 2")]
    fn views_beyond_the_end_are_refused() {
        let _ = Numbers::from(vec![0.0; 2]).view(1, 3);
    }
}
