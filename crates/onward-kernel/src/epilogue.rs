//! What becomes of the sums of a product before they leave for memory: another pass over the result would read all of it again.

/// What is done to each sum of a product on its way out: `sum + bias`, and what is below zero may become zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Epilogue<'a> {
    /// Added to every row, one number for each column of the product; empty for nothing.
    pub bias: &'a [f32],
    /// Whether the ReLU of that is taken: `max(x, 0)`; what is not a number becomes 0.
    pub relu: bool,
}

/// The same by address, from some column on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish {
    /// The first column's; null for none.
    bias: *const f32,
    pub relu: bool,
}

impl Finish {
    /// The epilogue that leaves sums as they are.
    pub const NONE: Self = Self { bias: std::ptr::null(), relu: false };

    /// The part of `epilogue` from column `first` on.
    ///
    /// # Panics
    /// If there is a bias for fewer columns than `end`: a bug in the caller.
    pub fn of(epilogue: Epilogue<'_>, first: usize, end: usize) -> Self {
        let Epilogue { bias, relu } = epilogue;
        assert!(bias.is_empty() || end <= bias.len(), "a bias for {} of {end} columns", bias.len());
        let bias = if bias.is_empty() { std::ptr::null() } else { bias[first..].as_ptr() };
        Self { bias, relu }
    }

    /// Whether sums stay what they are.
    #[inline(always)]
    pub fn is_none(self) -> bool {
        self.bias.is_null() && !self.relu
    }

    /// The epilogue of what begins `columns` columns further on.
    #[inline(always)]
    pub fn after(self, columns: usize) -> Self {
        if self.bias.is_null() { self } else { Self { bias: self.bias.wrapping_add(columns), ..self } }
    }

    /// The bias of the columns from `j` on, if there is one.
    #[inline(always)]
    pub fn bias(self, j: usize) -> Option<*const f32> {
        (!self.bias.is_null()).then(|| self.bias.wrapping_add(j))
    }

    /// Finishes a row of sums.
    ///
    /// # Safety
    /// The bias, if there is one, has as many columns as the row.
    #[inline(always)]
    pub unsafe fn row(self, sums: &mut [f32]) {
        if let Some(bias) = self.bias(0) {
            // SAFETY: the caller vouches for the columns.
            let bias = unsafe { std::slice::from_raw_parts(bias, sums.len()) };
            sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
        if self.relu {
            rectify(sums);
        }
    }
}

/// `max(x, 0)` of each; what is not a number becomes 0.
#[inline(always)]
pub(super) fn rectify(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 });
}

/// What sums are kept in.
pub(super) trait Number: Copy {
    /// Finishes a row of `columns` sums.
    ///
    /// # Safety
    /// The row is there, and nothing else reads or writes it; as for [`Finish::row`].
    unsafe fn finish(row: *mut Self, columns: usize, finish: Finish);
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn finish(row: *mut Self, columns: usize, finish: Finish) {
        // SAFETY: handed on from the caller.
        unsafe { finish.row(std::slice::from_raw_parts_mut(row, columns)) }
    }
}

/// Sums of bytes are finished when they become f32.
impl Number for i32 {
    #[inline(always)]
    unsafe fn finish(_: *mut Self, _: usize, _: Finish) {}
}
