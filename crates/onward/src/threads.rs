//! Threads that somebody asked for: [`Threads`] is a handle on so many of them, and work in parallel stays on those that it was
//! begun on.
//!
//! All of the library's parallel loops are of the types here. Within [`Threads::run`] they share the handle's threads; anywhere
//! else they run one after the other on the thread they are called on. So the process-wide pool that rayon would start of its
//! own accord never begins, and the results are the same either way: loops share out rows, members or outputs, never a sum.
//!
//! Rayon's own iterators would be compiled anew, a dozen functions each, for every loop: a quarter of the library's code. Here
//! a loop is one recursion that halves what it is over, and all loops hand their halves to one function of rayon's.

mod items;

use crate::{Error, ErrorKind, Result};
use items::{EachMut, Enumerate, Items, Zip};
use prelude::*;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Threads of a handle at most.
const MOST: usize = 4096;

/// A handle on a pool of threads, which end with the last copy of the handle.
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

    /// The number of threads.
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs `f` on one of the threads; what it does in parallel runs on all of them. On one of these threads already, it just
    /// runs.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let (mut f, mut found) = (Some(f), None);
        self.install(&mut || found = f.take().map(|f| f()));
        done(found)
    }

    fn install(&self, f: &mut (dyn FnMut() + Send)) {
        self.0.install(f);
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({})", self.count())
    }
}

/// What work gave that has come to its end: had it panicked, nobody would be here.
fn done<T>(found: Option<T>) -> T {
    found.unwrap_or_else(|| unreachable!("work ended without a result"))
}

/// How many threads share the work that is begun here: 1 outside of [`Threads::run`].
pub(crate) fn here() -> usize {
    // Elsewhere rayon would answer for the process-wide pool, which that begins.
    if index().is_some() { rayon::current_num_threads() } else { 1 }
}

/// The index of the current thread in its pool, if it belongs to one.
pub fn index() -> Option<usize> {
    rayon::current_thread_index()
}

/// Applies `f` to each piece of `all`, `size` elements each (the last one perhaps fewer), in order; it is given the piece's place. At
/// once on the handle's threads within [`Threads::run`].
pub fn each_chunk<T: Send, R: Send>(
    all: &mut [T],
    size: usize,
    f: impl Fn(usize, &mut [T]) -> R + Sync,
) -> Vec<R> {
    all.par_chunks_mut(size).enumerate().map(|(place, piece)| f(place, piece)).collect()
}

/// Both of two pieces of work, at once where there are threads for it.
pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if index().is_none() {
        return (a(), b());
    }
    let (mut a, mut b, mut first, mut second) = (Some(a), Some(b), None, None);
    both(&mut |_| first = a.take().map(|a| a()), &mut |_| second = b.take().map(|b| b()));
    (done(first), done(second))
}

/// Work that is told whether another thread took it than the one that offered it.
type Half<'a> = &'a mut (dyn FnMut(bool) + Send);

fn both(a: Half<'_>, b: Half<'_>) {
    rayon::join_context(|cx| a(cx.migrated()), |cx| b(cx.migrated()));
}

/// How often work is still to be halved: so often that every thread gets some, and anew when a thread without work took it.
#[derive(Clone, Copy)]
struct Shares {
    left: usize,
    least: usize,
}

impl Shares {
    fn halve(&mut self, len: usize, taken: bool) -> bool {
        if len / 2 < self.least {
            return false;
        }
        let more = if taken { rayon::current_num_threads() } else { 0 };
        let halve = taken || self.left > 0;
        self.left = more.max(self.left / 2);
        halve
    }
}

/// Hands `items` to `leaf` in pieces, on the threads of the handle that this one is of.
fn share<I: Items>(items: I, mut shares: Shares, taken: bool, leaf: &(impl Fn(I::Each) + Sync)) {
    let len = items.len();
    if !shares.halve(len, taken) {
        return leaf(items.each());
    }
    let (a, b) = items.split_at(len / 2);
    let (mut a, mut b) = (Some(a), Some(b));
    both(&mut |taken| a.take().into_iter().for_each(|a| share(a, shares, taken, leaf)), &mut |taken| {
        b.take().into_iter().for_each(|b| share(b, shares, taken, leaf))
    });
}

/// What the library's parallel loops are written with.
pub(crate) mod prelude {
    pub(crate) use super::IntoParallel;
    pub(crate) use super::items::{Slice, SliceMut};
}

/// A loop over what can be done in parallel.
pub(crate) struct Parallel<I> {
    items: I,
    least: usize,
}

impl<I: Items> Parallel<I> {
    fn new(items: I) -> Self {
        Self { items, least: 1 }
    }

    /// Pairs each item with the item of `other` at the same place; it ends with the shorter loop.
    pub fn zip<J: IntoParallel>(self, other: J) -> Parallel<Zip<I, J::Items>> {
        let other = other.into_par_iter();
        Parallel { items: Zip(self.items, other.items), least: self.least.max(other.least) }
    }

    /// Pairs each item with its index.
    pub fn enumerate(self) -> Parallel<Enumerate<I>> {
        Parallel { items: Enumerate { first: 0, items: self.items }, least: self.least }
    }

    /// Applies `f` to each item.
    pub fn map<R: Send, F: Fn(I::Item) -> R + Sync>(self, f: F) -> Mapped<I, F> {
        Mapped { of: self, f }
    }

    /// Gives a thread at least this many items at a time.
    pub fn with_min_len(self, least: usize) -> Self {
        Self { least: self.least.max(least), ..self }
    }

    /// Calls `f` with each item.
    pub fn for_each(self, f: impl Fn(I::Item) + Sync) {
        self.pieces(|items| items.for_each(&f));
    }

    /// Calls `f` with each item and a value of the thread's own, which `init` makes.
    pub fn for_each_init<T>(self, init: impl Fn() -> T + Sync, f: impl Fn(&mut T, I::Item) + Sync) {
        self.pieces(|items| {
            let mut own = init();
            items.for_each(|item| f(&mut own, item));
        });
    }

    /// Whether `f` holds of all items.
    pub fn all(self, f: impl Fn(I::Item) -> bool + Sync) -> bool {
        let holds = AtomicBool::new(true);
        self.pieces(|mut items| {
            if holds.load(Ordering::Relaxed) && !items.all(&f) {
                holds.store(false, Ordering::Relaxed);
            }
        });
        holds.into_inner()
    }

    /// Hands all items to `leaf` in pieces.
    fn pieces(self, leaf: impl Fn(I::Each) + Sync) {
        if index().is_none() {
            return leaf(self.items.each());
        }
        share(self.items, Shares { left: rayon::current_num_threads(), least: self.least }, false, &leaf);
    }
}

/// What a function makes of each item of a loop.
pub(crate) struct Mapped<I, F> {
    of: Parallel<I>,
    f: F,
}

impl<I: Items, R: Send, F: Fn(I::Item) -> R + Sync> Mapped<I, F> {
    /// Collects all results, in order.
    pub fn collect<C: FromIterator<R>>(self) -> C {
        let mut all: Vec<Option<R>> = Vec::new();
        all.resize_with(self.of.items.len(), || None);
        let places = Parallel::new(EachMut(&mut all));
        self.of.zip(places).for_each(|(item, place)| *place = Some((self.f)(item)));
        all.into_iter().map(done).collect()
    }
}

/// What a parallel loop can be over.
pub(crate) trait IntoParallel {
    /// Its items.
    type Items: Items;
    /// The loop.
    fn into_par_iter(self) -> Parallel<Self::Items>;
}

impl<I: Items> IntoParallel for Parallel<I> {
    type Items = I;
    fn into_par_iter(self) -> Self {
        self
    }
}

impl<I: Items> IntoParallel for I {
    type Items = I;
    fn into_par_iter(self) -> Parallel<I> {
        Parallel::new(self)
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
