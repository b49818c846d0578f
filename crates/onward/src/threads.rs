//! Threads that somebody asked for: [`Threads`] is a handle on so many of them, and work in parallel stays on those that it was
//! begun on.
//!
//! All of the library's parallel loops are of the types here. Within [`Threads::run`] they share the handle's threads; anywhere
//! else they run one after the other on the thread they are called on. So the process-wide pool that rayon would start of its
//! own accord never begins, and the results are the same either way: loops share out rows, members or outputs, never a sum.

use crate::{Error, ErrorKind, Result};
use rayon::iter::plumbing::{Producer, ProducerCallback};
use rayon::iter::{Enumerate, Map, MinLen, Zip};
use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator};
use rayon::slice::{Chunks, ChunksExact, ChunksMut, ParallelSlice, ParallelSliceMut};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Threads of a handle at most.
const MOST: usize = 4096;

/// So many threads, which end with the last copy of the handle.
#[derive(Clone)]
pub struct Threads(Arc<rayon::ThreadPool>);

impl Threads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// [`ErrorKind::Spec`] if there are to be none or more than 4096, [`ErrorKind::Io`] if they cannot be started.
    pub fn new(count: usize) -> Result<Self> {
        if !(1..=MOST).contains(&count) {
            return Err(Error::expected(ErrorKind::Spec, "threads", format!("1 to {MOST}"), count));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        let pool =
            pool.map_err(|e| Error::new(ErrorKind::Io, format!("cannot start {count} threads: {e}")))?;
        Ok(Self(Arc::new(pool)))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs `f` on one of the threads; what it does in parallel runs on all of them. On one of these threads already, it just
    /// runs.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.0.install(f)
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({})", self.count())
    }
}

/// How many threads share the work that is begun here: 1 outside of [`Threads::run`].
pub(crate) fn here() -> usize {
    // Elsewhere rayon would answer for the process-wide pool, which that begins.
    if index().is_some() { rayon::current_num_threads() } else { 1 }
}

/// Which of a handle's threads this is, if it is one.
pub(crate) fn index() -> Option<usize> {
    rayon::current_thread_index()
}

/// Both of two pieces of work, at once where there are threads for it.
pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if index().is_some() { rayon::join(a, b) } else { (a(), b()) }
}

/// What the library's parallel loops are written with.
pub(crate) mod prelude {
    pub(crate) use super::{IntoParallel, Slice, SliceMut};
}

/// A loop over what can be done in parallel.
pub(crate) struct Parallel<I>(I);

impl<I: IndexedParallelIterator> Parallel<I> {
    /// Each item with that of `other` at the same place.
    #[inline]
    pub fn zip<J: IntoParallel>(self, other: J) -> Parallel<Zip<I, J::Items>> {
        Parallel(self.0.zip(other.into_par_iter().0))
    }

    /// Each item with its place.
    #[inline]
    pub fn enumerate(self) -> Parallel<Enumerate<I>> {
        Parallel(self.0.enumerate())
    }

    /// What `f` makes of each item.
    #[inline]
    pub fn map<R: Send, F: Fn(I::Item) -> R + Sync + Send>(self, f: F) -> Parallel<Map<I, F>> {
        Parallel(self.0.map(f))
    }

    /// At least so many items for a thread at a time.
    #[inline]
    pub fn with_min_len(self, least: usize) -> Parallel<MinLen<I>> {
        Parallel(self.0.with_min_len(least))
    }

    /// Does `f` with each item.
    #[inline]
    pub fn for_each(self, f: impl Fn(I::Item) + Sync + Send) {
        if index().is_some() { self.0.for_each(f) } else { self.serially(|items| items.for_each(f)) }
    }

    /// The same with something of the thread's own, which `init` makes.
    #[inline]
    pub fn for_each_init<T>(
        self,
        init: impl Fn() -> T + Sync + Send,
        f: impl Fn(&mut T, I::Item) + Sync + Send,
    ) {
        if index().is_some() {
            return self.0.for_each_init(init, f);
        }
        let mut own = init();
        self.serially(|items| items.for_each(|item| f(&mut own, item)));
    }

    /// Whether `f` holds of all items.
    #[inline]
    pub fn all(self, f: impl Fn(I::Item) -> bool + Sync + Send) -> bool {
        if index().is_some() {
            self.0.all(f)
        } else {
            self.serially(|mut items| Iterator::all(&mut items, f))
        }
    }

    /// All items, in order.
    #[inline]
    pub fn collect<C: rayon::iter::FromParallelIterator<I::Item> + FromIterator<I::Item>>(self) -> C {
        if index().is_some() { self.0.collect() } else { self.serially(|items| items.collect()) }
    }

    /// Hands all items to `f`, one after the other on this thread.
    fn serially<R>(self, f: impl FnOnce(&mut dyn Iterator<Item = I::Item>) -> R) -> R {
        struct Items<F>(F);
        impl<T, R, F: FnOnce(&mut dyn Iterator<Item = T>) -> R> ProducerCallback<T> for Items<F> {
            type Output = R;
            fn callback<P: Producer<Item = T>>(self, producer: P) -> R {
                (self.0)(&mut producer.into_iter())
            }
        }
        self.0.with_producer(Items(f))
    }
}

/// What a parallel loop can be over.
pub(crate) trait IntoParallel {
    /// Rayon's name for it.
    type Items: IndexedParallelIterator;
    /// The loop.
    fn into_par_iter(self) -> Parallel<Self::Items>;
}

impl<I: IndexedParallelIterator> IntoParallel for Parallel<I> {
    type Items = I;
    #[inline]
    fn into_par_iter(self) -> Self {
        self
    }
}

impl<T: Send> IntoParallel for Vec<T> {
    type Items = rayon::vec::IntoIter<T>;
    #[inline]
    fn into_par_iter(self) -> Parallel<Self::Items> {
        Parallel(IntoParallelIterator::into_par_iter(self))
    }
}

impl IntoParallel for Range<usize> {
    type Items = rayon::range::Iter<usize>;
    #[inline]
    fn into_par_iter(self) -> Parallel<Self::Items> {
        Parallel(IntoParallelIterator::into_par_iter(self))
    }
}

impl<'a, T: Sync> IntoParallel for &'a [T] {
    type Items = rayon::slice::Iter<'a, T>;
    #[inline]
    fn into_par_iter(self) -> Parallel<Self::Items> {
        Parallel(IntoParallelIterator::into_par_iter(self))
    }
}

/// Loops over a slice.
pub(crate) trait Slice<T: Sync> {
    /// Over its elements.
    fn par_iter(&self) -> Parallel<rayon::slice::Iter<'_, T>>;
    /// Over pieces of `size` elements, the last one perhaps shorter.
    fn par_chunks(&self, size: usize) -> Parallel<Chunks<'_, T>>;
    /// Over pieces of `size` elements, without what is left.
    fn par_chunks_exact(&self, size: usize) -> Parallel<ChunksExact<'_, T>>;
}

impl<T: Sync> Slice<T> for [T] {
    #[inline]
    fn par_iter(&self) -> Parallel<rayon::slice::Iter<'_, T>> {
        IntoParallel::into_par_iter(self)
    }

    #[inline]
    fn par_chunks(&self, size: usize) -> Parallel<Chunks<'_, T>> {
        Parallel(ParallelSlice::par_chunks(self, size))
    }

    #[inline]
    fn par_chunks_exact(&self, size: usize) -> Parallel<ChunksExact<'_, T>> {
        Parallel(ParallelSlice::par_chunks_exact(self, size))
    }
}

/// Loops over a slice that is changed.
pub(crate) trait SliceMut<T: Send> {
    /// Over pieces of `size` elements, the last one perhaps shorter.
    fn par_chunks_mut(&mut self, size: usize) -> Parallel<ChunksMut<'_, T>>;
}

impl<T: Send> SliceMut<T> for [T] {
    #[inline]
    fn par_chunks_mut(&mut self, size: usize) -> Parallel<ChunksMut<'_, T>> {
        Parallel(ParallelSliceMut::par_chunks_mut(self, size))
    }
}

#[cfg(test)]
mod tests {
    use super::prelude::*;
    use super::{MOST, Threads, here, index, join};
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::thread::{ThreadId, current};

    /// A loop of every kind: what it gives, and the threads it ran on.
    fn work() -> (Vec<usize>, BTreeSet<String>) {
        let seen = Mutex::new(BTreeSet::new());
        let note = || _ = seen.lock().map(|mut seen| seen.insert(format!("{:?}", current().id())));
        let mut y = vec![0usize; 1003];
        y.par_chunks_mut(10).enumerate().for_each(|(i, piece)| {
            note();
            piece.iter_mut().enumerate().for_each(|(j, y)| *y = 10 * i + j);
        });
        let x: Vec<usize> = (0..1003).into_par_iter().map(|i| 2 * i).collect();
        let pieces = y.par_chunks_mut(7).zip(x.par_chunks(7)).with_min_len(2);
        pieces.for_each_init(Vec::new, |own: &mut Vec<usize>, (y, x)| {
            note();
            own.clear();
            own.extend(x);
            y.iter_mut().zip(&*own).for_each(|(y, x)| *y += x);
        });
        let whole: Vec<usize> = y.par_chunks_exact(1000).map(|y| y.iter().sum()).collect();
        assert_eq!(whole, [(0..1000).map(|i| 3 * i).sum::<usize>()]);
        let failed: std::result::Result<Vec<usize>, usize> =
            y.par_iter().map(|y| if *y < 3000 { Ok(*y) } else { Err(*y) }).collect();
        assert!(y.par_iter().all(|y| *y < 3009) && !y.par_iter().all(|y| *y < 3000));
        assert_eq!(join(note, || y.len()), ((), 1003));
        assert!(failed.is_err_and(|y| y >= 3000));
        (y, seen.into_inner().unwrap_or_default())
    }

    #[test]
    fn work_stays_on_the_threads_it_was_begun_on() {
        let expected: Vec<usize> = (0..1003).map(|i| 3 * i).collect();
        let own: ThreadId = current().id();
        let (y, seen) = work();
        assert_eq!((y, seen), (expected.clone(), BTreeSet::from([format!("{own:?}")])));
        assert_eq!((here(), index()), (1, None));
        for count in [1, 3] {
            let threads = Threads::new(count).unwrap_or_else(|e| panic!("{e}"));
            let (y, seen) = threads.run(work);
            assert_eq!(y, expected);
            assert!(seen.len() <= count && !seen.contains(&format!("{own:?}")), "{seen:?}");
            assert_eq!((threads.count(), threads.run(here)), (count, count));
        }
    }

    #[test]
    fn an_impossible_number_of_threads_is_refused() {
        for count in [0, MOST + 1] {
            let told = Threads::new(count).map(|_| ()).map_err(|e| e.to_string());
            assert_eq!(told, Err(format!("threads: expected 1 to 4096, found {count}")));
        }
    }
}
