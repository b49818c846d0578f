//! What parallel loops are over: slices, their pieces, numbers and vectors, side by side or with their places.

use super::Parallel;
use std::ops::Range;

/// What a parallel loop is over: so many items, which can be parted anywhere.
pub(crate) trait Items: Send + Sized {
    /// One of them.
    type Item;
    /// Iterates over all items in order.
    type Each: Iterator<Item = Self::Item>;
    /// The number of items.
    fn len(&self) -> usize;
    /// Splits the items into the first `at` and the rest.
    fn split_at(self, at: usize) -> (Self, Self);
    /// Iterates over all items in order.
    fn each(self) -> Self::Each;
}

impl Items for Range<usize> {
    type Item = usize;
    type Each = Self;
    fn len(&self) -> usize {
        ExactSizeIterator::len(self)
    }
    fn split_at(self, at: usize) -> (Self, Self) {
        let middle = self.start + at;
        (self.start..middle, middle..self.end)
    }
    fn each(self) -> Self {
        self
    }
}

impl<T: Send> Items for Vec<T> {
    type Item = T;
    type Each = std::vec::IntoIter<T>;
    fn len(&self) -> usize {
        self.len()
    }
    fn split_at(mut self, at: usize) -> (Self, Self) {
        let others = self.split_off(at);
        (self, others)
    }
    fn each(self) -> Self::Each {
        self.into_iter()
    }
}

impl<'a, T: Sync> Items for &'a [T] {
    type Item = &'a T;
    type Each = std::slice::Iter<'a, T>;
    fn len(&self) -> usize {
        (**self).len()
    }
    fn split_at(self, at: usize) -> (Self, Self) {
        (&self[..at], &self[at..])
    }
    fn each(self) -> Self::Each {
        self.iter()
    }
}

/// The elements of a slice, to be changed.
pub(super) struct EachMut<'a, T>(pub(super) &'a mut [T]);

impl<'a, T: Send> Items for EachMut<'a, T> {
    type Item = &'a mut T;
    type Each = std::slice::IterMut<'a, T>;
    fn len(&self) -> usize {
        self.0.len()
    }
    fn split_at(self, at: usize) -> (Self, Self) {
        let (a, b) = self.0.split_at_mut(at);
        (Self(a), Self(b))
    }
    fn each(self) -> Self::Each {
        self.0.iter_mut()
    }
}

/// Pieces of a slice, `size` elements each, the last one perhaps shorter.
pub(crate) struct Chunks<'a, T> {
    of: &'a [T],
    size: usize,
}

impl<'a, T: Sync> Items for Chunks<'a, T> {
    type Item = &'a [T];
    type Each = std::slice::Chunks<'a, T>;
    fn len(&self) -> usize {
        self.of.len().div_ceil(self.size)
    }
    fn split_at(self, at: usize) -> (Self, Self) {
        let (a, b) = self.of.split_at((at * self.size).min(self.of.len()));
        (Self { of: a, ..self }, Self { of: b, ..self })
    }
    fn each(self) -> Self::Each {
        self.of.chunks(self.size)
    }
}

/// Pieces of a slice that is changed, `size` elements each, the last one perhaps shorter.
pub(crate) struct ChunksMut<'a, T> {
    of: &'a mut [T],
    size: usize,
}

impl<'a, T: Send> Items for ChunksMut<'a, T> {
    type Item = &'a mut [T];
    type Each = std::slice::ChunksMut<'a, T>;
    fn len(&self) -> usize {
        self.of.len().div_ceil(self.size)
    }
    fn split_at(self, at: usize) -> (Self, Self) {
        let (size, middle) = (self.size, (at * self.size).min(self.of.len()));
        let (a, b) = self.of.split_at_mut(middle);
        (Self { of: a, size }, Self { of: b, size })
    }
    fn each(self) -> Self::Each {
        self.of.chunks_mut(self.size)
    }
}

/// Items of two loops, place by place.
pub(crate) struct Zip<A, B>(pub(super) A, pub(super) B);

impl<A: Items, B: Items> Items for Zip<A, B> {
    type Item = (A::Item, B::Item);
    type Each = std::iter::Zip<A::Each, B::Each>;
    fn len(&self) -> usize {
        self.0.len().min(self.1.len())
    }
    fn split_at(self, at: usize) -> (Self, Self) {
        let ((a, c), (b, d)) = (self.0.split_at(at), self.1.split_at(at));
        (Self(a, b), Self(c, d))
    }
    fn each(self) -> Self::Each {
        self.0.each().zip(self.1.each())
    }
}

/// Items with their places in the whole loop.
pub(crate) struct Enumerate<I> {
    pub(super) first: usize,
    pub(super) items: I,
}

impl<I: Items> Items for Enumerate<I> {
    type Item = (usize, I::Item);
    type Each = std::iter::Zip<std::ops::RangeFrom<usize>, I::Each>;
    fn len(&self) -> usize {
        self.items.len()
    }
    fn split_at(self, at: usize) -> (Self, Self) {
        let (a, b) = self.items.split_at(at);
        (Self { first: self.first, items: a }, Self { first: self.first + at, items: b })
    }
    fn each(self) -> Self::Each {
        (self.first..).zip(self.items.each())
    }
}

/// Loops over a slice.
pub(crate) trait Slice<T: Sync> {
    /// A parallel loop over the elements.
    fn par_iter(&self) -> Parallel<&[T]>;
    /// A parallel loop over pieces of `size` elements, the last of which may be shorter.
    fn par_chunks(&self, size: usize) -> Parallel<Chunks<'_, T>>;
    /// A parallel loop over whole pieces of `size` elements; a shorter rest is left out.
    fn par_chunks_exact(&self, size: usize) -> Parallel<Chunks<'_, T>>;
}

impl<T: Sync> Slice<T> for [T] {
    fn par_iter(&self) -> Parallel<&[T]> {
        Parallel::new(self)
    }

    fn par_chunks(&self, size: usize) -> Parallel<Chunks<'_, T>> {
        assert!(size > 0, "pieces of no elements");
        Parallel::new(Chunks { of: self, size })
    }

    fn par_chunks_exact(&self, size: usize) -> Parallel<Chunks<'_, T>> {
        self[..self.len() - self.len() % size].par_chunks(size)
    }
}

/// Loops over a slice that is changed.
pub(crate) trait SliceMut<T: Send> {
    /// A parallel loop over pieces of `size` elements, the last of which may be shorter.
    fn par_chunks_mut(&mut self, size: usize) -> Parallel<ChunksMut<'_, T>>;
}

impl<T: Send> SliceMut<T> for [T] {
    fn par_chunks_mut(&mut self, size: usize) -> Parallel<ChunksMut<'_, T>> {
        assert!(size > 0, "pieces of no elements");
        Parallel::new(ChunksMut { of: self, size })
    }
}
