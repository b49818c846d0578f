//! Activations: rows of numbers on their way through a model.

use super::{Numbers, Spread};
use crate::kernel::{Pool, gather_rows, pool_lines};
use crate::threads::prelude::*;

/// Activations: rows of `[height, width, channels]` numbers. Rows of several members stand one member after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Act {
    /// Rows.
    pub(crate) rows: usize,
    /// `[height, width, channels]`; `[1, 1, n]` for plain vectors.
    pub(crate) shape: [usize; 3],
    /// `rows × height × width × channels` numbers.
    pub(crate) data: Numbers,
    /// What these rows stand for, if not for themselves.
    pub(crate) spread: Option<Box<Spread>>,
    /// Whether the ReLU of these numbers was taken already, so that it changes none.
    pub(crate) rectified: bool,
}

/// Numbers per piece of element-wise work; pieces are the same for any number of threads.
const PIECE: usize = 1 << 15;

impl Act {
    /// Activations of the given shape.
    ///
    /// # Panics
    /// If `data` does not hold `rows` rows: a bug in the caller.
    pub fn new(rows: usize, shape: [usize; 3], data: Vec<f32>) -> Self {
        Self::of(rows, shape, data.into())
    }

    /// Activations of the given shape from numbers that may be shared.
    ///
    /// # Panics
    /// As for [`Act::new`].
    pub fn of(rows: usize, shape: [usize; 3], data: Numbers) -> Self {
        assert_eq!(data.len(), rows * shape.iter().product::<usize>(), "{rows} rows of {shape:?}");
        Self { rows, shape, data, spread: None, rectified: false }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// `[height, width, channels]` of a row; `[1, 1, n]` for plain vectors.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All numbers, row after row.
    pub fn data(&self) -> &[f32] {
        debug_assert!(self.spread.is_none(), "rows that stand for many leave no graph");
        &self.data
    }

    /// All numbers, row after row, mutable.
    pub fn data_mut(&mut self) -> &mut [f32] {
        if self.spread.is_some() {
            *self = std::mem::take(self).whole();
        }
        self.rectified = false;
        &mut self.data
    }

    /// The number of values per row, `height × width × channels`.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// The number of positions per row, `height × width`: a layer over channels sees each as a vector of its own.
    pub fn points(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// The number of channels: values per position.
    pub fn channels(&self) -> usize {
        self.shape[2]
    }

    /// The values of one row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.width()..][..self.width()]
    }

    /// Rows `from..to`; nothing is copied until it is written to.
    #[must_use]
    pub fn slice(&self, from: usize, to: usize) -> Self {
        let w = self.width();
        Self::of(to - from, self.shape, self.data.view(from * w, to * w))
    }

    /// The rows that `indices` name, copied in that order.
    #[must_use]
    pub fn select(&self, indices: &[u32]) -> Self {
        let data = gather_rows(&self.data, self.width(), indices);
        Self::new(indices.len(), self.shape, data)
    }

    /// All rows, repeated `times` times.
    #[must_use]
    pub fn repeat(&self, times: usize) -> Self {
        Self::new(self.rows * times, self.shape, self.data.repeat(times))
    }

    /// All rows that these stand for, as `[pair][sign][row]`.
    #[must_use]
    pub(crate) fn whole(mut self) -> Self {
        if let Some(spread) = self.spread.take() {
            self.data = spread.rows(&self.data, self.width()).into();
            self.rows *= 2 * spread.directions.count();
        }
        self
    }

    /// Applies `f` to every number.
    #[must_use]
    pub fn map(self, f: impl Fn(f32) -> f32 + Sync) -> Self {
        self.map_slices(|piece| piece.iter_mut().for_each(|v| *v = f(*v)))
    }

    /// Every number through a function of whole slices.
    pub(crate) fn map_slices(mut self, f: impl Fn(&mut [f32]) + Sync) -> Self {
        self.rectified = false;
        if let Some(spread) = &mut self.spread {
            spread.map(&mut self.data, f);
            return self;
        }
        self.data.par_chunks_mut(PIECE).for_each(&f);
        self
    }

    /// Flattens each row to one vector.
    #[must_use]
    pub fn flatten(mut self) -> Self {
        self.shape = [1, 1, self.width()];
        self
    }

    /// The same numbers as rows of another shape.
    pub(super) fn shaped(mut self, shape: [usize; 3]) -> Self {
        self.shape = shape;
        self
    }

    /// 2×2 pooling with stride 2; an odd last row or column is left out.
    #[must_use]
    pub fn max_pool(&self) -> Self {
        self.pool(Pool::Max)
    }

    pub(crate) fn average_pool(&self) -> Self {
        self.pool(Pool::Average)
    }

    fn pool(&self, pool: Pool) -> Self {
        if self.spread.is_some() {
            return self.clone().whole().pool(pool);
        }
        let [h, w, c] = self.shape;
        let shape = [h / 2, w / 2, c];
        let mut data = self.data.another(self.rows * shape.iter().product::<usize>());
        let work = |(out, image): (&mut [f32], &[f32])| {
            for (i, line) in out.chunks_exact_mut(shape[1] * c).enumerate() {
                let lines = &image[2 * i * w * c..][..2 * w * c];
                pool_lines(pool, c, &lines[..w * c], &lines[w * c..], line);
            }
        };
        if !data.is_empty() {
            let (out_width, in_width) = (shape.iter().product::<usize>(), h * w * c);
            let images = data.par_chunks_mut(out_width).zip(self.data.par_chunks(in_width));
            images.with_min_len(16).for_each(work);
        }
        Self { rows: self.rows, shape, data, ..Self::default() }
    }

    /// One number per channel: the mean over all positions.
    #[must_use]
    pub fn global_average(&self) -> Self {
        let scale = 1.0 / self.points() as f32;
        self.global(0.0, |a, b| a + b).map(|v| v * scale)
    }

    /// One number per channel: the largest over all positions.
    #[must_use]
    pub fn global_max(&self) -> Self {
        self.global(f32::NEG_INFINITY, f32::max)
    }

    fn global(&self, start: f32, f: impl Fn(f32, f32) -> f32) -> Self {
        if self.spread.is_some() {
            return self.clone().whole().global(start, f);
        }
        let c = self.channels();
        let mut data = vec![start; self.rows * c];
        for (out, row) in data.chunks_exact_mut(c).zip(self.data.chunks_exact(self.width())) {
            for pixel in row.chunks_exact(c) {
                out.iter_mut().zip(pixel).for_each(|(o, v)| *o = f(*o, *v));
            }
        }
        Self::new(self.rows, [1, 1, c], data)
    }

    /// The element-wise sum; where one side has fewer rows, they repeat (one clean row for all members).
    ///
    /// # Panics
    /// If shapes differ: a bug in the model.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        if self.spread.is_some() || other.spread.is_some() {
            return self.whole().plus(&other.clone().whole());
        }
        if other.rows > self.rows {
            return other.clone().plus(&self);
        }
        assert_eq!(self.shape, other.shape, "a sum of different shapes");
        assert_eq!(self.rows % other.rows.max(1), 0, "a sum of {} and {} rows", self.rows, other.rows);
        let part = other.data.len().max(1);
        for block in self.data.chunks_exact_mut(part) {
            block.iter_mut().zip(other.data.iter()).for_each(|(a, b)| *a += *b);
        }
        self.rectified = false;
        self
    }
}
