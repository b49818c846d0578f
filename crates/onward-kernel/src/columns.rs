//! A matrix cut into blocks of columns that tasks write to at the same time.

use std::marker::PhantomData;

/// A block of neighbouring columns of a matrix.
pub struct Columns<'a> {
    first: *mut f32,
    stride: usize,
    rows: usize,
    width: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: a block is the only way to its numbers while the matrix is borrowed, as a `&mut [f32]` would be.
unsafe impl Send for Columns<'_> {}

/// Cuts `matrix`, whose rows are `stride` numbers, into blocks of `width` columns (the last may be narrower).
///
/// # Panics
/// If the matrix has no whole rows or `width` is 0: bugs in the caller.
pub fn columns(matrix: &mut [f32], stride: usize, width: usize) -> Vec<Columns<'_>> {
    assert!(
        width > 0 && stride > 0 && matrix.len().is_multiple_of(stride),
        "rows of {stride} in blocks of {width}"
    );
    let (rows, start) = (matrix.len() / stride, matrix.as_mut_ptr());
    let block = |from: usize| Columns {
        first: start.wrapping_add(from),
        stride,
        rows,
        width: width.min(stride - from),
        matrix: PhantomData,
    };
    (0..stride).step_by(width).map(block).collect()
}

impl Columns<'_> {
    /// The block's part of one row.
    ///
    /// # Panics
    /// If there is no such row: a bug in the caller.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row lies in the matrix, and no other block has these columns; the result borrows this block.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(row * self.stride), self.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_each_number_once() {
        for (rows, stride, width) in [(0, 3, 2), (1, 1, 1), (3, 7, 3), (4, 8, 4), (2, 5, 9)] {
            let mut matrix = vec![0.0; rows * stride];
            for (b, mut block) in columns(&mut matrix, stride, width).into_iter().enumerate() {
                std::thread::scope(|s| {
                    s.spawn(|| {
                        for r in 0..rows {
                            let row = block.row(r);
                            row.iter_mut()
                                .enumerate()
                                .for_each(|(i, v)| *v += (r * stride + b * width + i + 1) as f32);
                        }
                    });
                });
            }
            assert!(matrix.iter().enumerate().all(|(i, v)| *v == (i + 1) as f32), "{rows} {stride} {width}");
        }
    }

    #[test]
    #[should_panic(expected = "row 2 of 2")]
    fn rows_beyond_the_end_are_refused() {
        let mut matrix = vec![0.0; 6];
        columns(&mut matrix, 3, 2)[0].row(2);
    }
}
