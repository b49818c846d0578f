//! Where a product goes: a rectangle of a matrix that one thread may write.

use super::Epilogue;
use super::epilogue::Finish;
use std::marker::PhantomData;
use std::ops::Range;

/// A rectangle of a row-major matrix, borrowed exclusively. It knows which rows and columns of the product it stands for,
/// so threads can share one product: split it, and give each a part.
#[derive(Debug)]
pub struct Window<'a, T> {
    corner: *mut T,
    stride: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    epilogue: Epilogue<'a>,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: a window is an exclusive borrow of its own rectangle of `T`, and rectangles that were split do not overlap.
unsafe impl<T: Send> Send for Window<'_, T> {}

impl<'a, T> Window<'a, T> {
    /// The window that is all of an `m × n` matrix whose rows begin `stride` numbers apart.
    ///
    /// # Panics
    /// If the slice is too short, or rows overlap: a bug in the caller, never a matter of data.
    pub fn new(c: &'a mut [T], stride: usize, m: usize, n: usize) -> Self {
        if m > 0 && n > 0 {
            let end = (m - 1).checked_mul(stride).and_then(|s| s.checked_add(n));
            assert!(end.is_some_and(|end| end <= c.len()), "result of a product is too short");
            assert!(n <= stride || m == 1, "rows of a result overlap");
        }
        let epilogue = Epilogue::default();
        Self { corner: c.as_mut_ptr(), stride, rows: 0..m, columns: 0..n, epilogue, borrow: PhantomData }
    }

    /// The rectangle as the whole of another product.
    #[must_use]
    pub fn of_another(self) -> Self {
        let (rows, columns) = (0..self.rows.len(), 0..self.columns.len());
        Self { rows, columns, epilogue: Epilogue::default(), ..self }
    }

    /// The rows of the product that this is.
    pub fn rows(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// The columns of the product that this is.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The numbers from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// What becomes of the sums of the product.
    pub(super) fn epilogue(&self) -> Epilogue<'a> {
        self.epilogue
    }

    /// What becomes of its own sums.
    pub(super) fn finish(&self) -> Finish {
        Finish::of(self.epilogue, self.columns.start, self.columns.end)
    }

    /// The first number.
    pub(super) fn corner(&self) -> *mut T {
        self.corner
    }

    /// The rows before row `at` of the product, and the others.
    ///
    /// # Panics
    /// If that row is not inside.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(self.rows.start <= at && at <= self.rows.end, "row {at} is not in {:?}", self.rows);
        let corner = self.corner.wrapping_add((at - self.rows.start) * self.stride);
        let (first, second) = (self.rows.start..at, at..self.rows.end);
        (
            Self { rows: first, columns: self.columns.clone(), ..self },
            Self { corner, rows: second, columns: self.columns, ..self },
        )
    }

    /// The columns before column `at` of the product, and the others.
    ///
    /// # Panics
    /// If that column is not inside.
    pub fn split_columns(self, at: usize) -> (Self, Self) {
        assert!(
            self.columns.start <= at && at <= self.columns.end,
            "column {at} is not in {:?}",
            self.columns
        );
        let corner = self.corner.wrapping_add(at - self.columns.start);
        let (first, second) = (self.columns.start..at, at..self.columns.end);
        (
            Self { columns: first, rows: self.rows.clone(), ..self },
            Self { corner, columns: second, rows: self.rows, ..self },
        )
    }
}

impl<'a> Window<'a, f32> {
    /// Has sums finished by `epilogue` on their way into the window.
    #[must_use]
    pub fn finished_by(self, epilogue: Epilogue<'a>) -> Self {
        Self { epilogue, ..self }
    }
}

impl<T> Window<'_, T> {
    /// Blocks of `width` columns (the last may be narrower).
    ///
    /// # Panics
    /// If `width` is 0: a bug in the caller.
    pub fn in_columns(self, width: usize) -> Vec<Self> {
        assert!(width > 0, "blocks of no columns");
        let (mut blocks, mut rest) = (Vec::new(), self);
        while rest.columns.len() > width {
            let at = rest.columns.start + width;
            let (block, others) = rest.split_columns(at);
            blocks.push(block);
            rest = others;
        }
        blocks.push(rest);
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_whole_once() {
        let mut c = vec![0u8; 5 * 9];
        let (top, bottom) = Window::new(&mut c, 9, 5, 7).split_rows(2);
        let (left, right) = bottom.split_columns(3);
        for (part, mark) in [(top, 1), (left, 2), (right, 3)] {
            for i in 0..part.rows().len() {
                for j in 0..part.columns().len() {
                    // SAFETY: inside the window, which borrows `c` exclusively.
                    unsafe { *part.corner().add(i * part.stride() + j) += mark };
                }
            }
        }
        for (i, row) in c.chunks_exact(9).enumerate() {
            let want = |j| {
                if j >= 7 {
                    0
                } else if i < 2 {
                    1
                } else if j < 3 {
                    2
                } else {
                    3
                }
            };
            assert!(row.iter().enumerate().all(|(j, v)| *v == want(j)), "row {i}: {row:?}");
        }
    }

    #[test]
    fn blocks_of_columns_cover_each_number_once() {
        for (rows, stride, n, width) in [(0, 3, 3, 2), (1, 1, 1, 1), (3, 7, 7, 3), (4, 8, 6, 4), (2, 5, 5, 9)]
        {
            let mut c = vec![0usize; rows * stride];
            for (b, block) in Window::new(&mut c, stride, rows, n).in_columns(width).into_iter().enumerate() {
                assert_eq!((block.rows(), block.columns().start), (0..rows, b * width));
                let whole = block.of_another();
                assert_eq!((whole.rows(), whole.columns()), (0..rows, 0..width.min(n - b * width)));
                for (i, j) in whole.rows().flat_map(|i| whole.columns().map(move |j| (i, j))) {
                    // SAFETY: inside the window, which borrows `c` exclusively.
                    unsafe { *whole.corner().add(i * stride + j) += i * stride + b * width + j + 1 };
                }
            }
            let want = |i: usize| if i % stride < n { i + 1 } else { 0 };
            assert!(c.iter().enumerate().all(|(i, v)| *v == want(i)), "{rows} {stride} {n} {width}");
        }
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn short_slices_are_refused() {
        let _ = Window::new(&mut [0.0; 5], 3, 2, 3);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_rows_are_refused() {
        let _ = Window::new(&mut [0.0; 9], 2, 2, 3);
    }
}
