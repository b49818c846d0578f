//! Weights packed for products in any precision.

#[cfg(target_arch = "x86_64")]
use super::conv_rows;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::conv_tiles;
use super::quantise::Quantised;
use super::{
    Bf16Arithmetic, Bf16Panels, Bf16Rows, Conv3, Int8Panels, Int8Rows, Laid, Moved, Panels, Precision, Start,
    Window, conv3x3, keep_bf16, product_bf16, product_int8_scaled, product_part, round_to_bf16,
};

/// The right side of products `y = x Wᵀ`.
#[derive(Clone, Debug)]
pub enum Matrix {
    /// In single precision.
    F32(Panels),
    /// In bf16 with chains of sums: products of f32 with factors that bf16 holds.
    Chain(Panels),
    /// In bf16, by instructions of their own.
    Bf16(Bf16Panels),
    /// In bytes, with a scale for each output.
    Int8(Int8Panels),
}

/// Where rows are packed on the way into a product.
#[derive(Debug, Default)]
pub struct Scratch {
    bf16: Bf16Rows,
    int8: Int8Rows,
    halves: Vec<u16>,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    seams: conv_tiles::Seams,
    bytes: Vec<i8>,
    floats: Vec<f32>,
}

impl Scratch {
    /// Packs the rows `x (m, k)` for [`Matrix::product_part`] with any matrix of the given precision.
    ///
    /// # Panics
    /// If `x` does not hold `m` rows: a bug in the caller.
    pub fn pack(&mut self, x: &[f32], m: usize, k: usize, precision: Precision) {
        assert_eq!(x.len(), m * k, "rows into a product");
        match precision {
            Precision::F32 => {}
            Precision::Bf16(Bf16Arithmetic::Chain) => {
                self.floats.resize(x.len(), 0.0);
                keep_bf16(&mut self.floats, x);
            }
            Precision::Bf16(_) => self.bf16.pack(x, k, m, k),
            Precision::Int8 => self.int8.pack(x, k, m, k),
        }
    }
}

impl Matrix {
    /// Packs `w`, which is `(n, k)` row after row: the weights of a layer with `n` outputs.
    ///
    /// # Panics
    /// If `w` has another length.
    pub fn new(w: &[f32], n: usize, k: usize, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(Panels::transposed(w, n, k)),
            Precision::Bf16(Bf16Arithmetic::Chain) => Self::Chain(Panels::transposed(&kept(w), n, k)),
            Precision::Bf16(kind) => Self::Bf16(Bf16Panels::transposed(w, n, k, kind)),
            Precision::Int8 => Self::Int8(Int8Panels::transposed(w, n, k)),
        }
    }

    /// Weights of zero for `n` outputs of `k` inputs each.
    pub fn zeros(n: usize, k: usize, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32(Panels::zeros(k, n)),
            Precision::Bf16(Bf16Arithmetic::Chain) => Self::Chain(Panels::zeros(k, n)),
            Precision::Bf16(kind) => Self::Bf16(Bf16Panels::zeros(k, n, kind)),
            Precision::Int8 => Self::Int8(Int8Panels::zeros(k, n)),
        }
    }

    /// Replaces all weights by the rows of `laid` from `first` on, which are as long as the inputs are many: the same bits as if they were widened
    /// first, but bytes stay as they are where bytes are multiplied. What `scratch` holds is lost.
    ///
    /// # Panics
    /// If the rows are not there: a bug in the caller.
    pub fn lay(&mut self, laid: &Laid<'_>, first: usize, scratch: &mut Scratch) {
        assert!((first + self.n()) * self.k() <= laid.len(), "{} rows from {first} on", self.n());
        let Scratch { bf16, int8, floats, .. } = scratch;
        match self {
            Self::F32(b) => b.lay(laid, first, false, floats),
            Self::Chain(b) => b.lay(laid, first, true, floats),
            Self::Bf16(b) => b.lay(laid, first, bf16, floats),
            Self::Int8(b) => b.lay(laid, first, int8, floats),
        }
    }

    /// Replaces weights of the outputs from `first` on, a multiple of [`Matrix::width`]: as many outputs as fill whole panels, or all that
    /// are left; of each those for the inputs from `from` on, a multiple of 32, up to another one or the last. In int8 they are for
    /// all inputs, since each output has one scale. They are formed on their way into the panels; what `scratch` holds is lost.
    ///
    /// # Panics
    /// If outputs split a panel, inputs a run of 32, or they are not there: bugs in the caller.
    pub fn set(&mut self, [first, from]: [usize; 2], weights: Moved<'_>, scratch: &mut Scratch) {
        weights.check();
        let (end, last) = (first + weights.rows(), from + weights.length);
        let outputs = first.is_multiple_of(self.width()) && end <= self.n();
        assert!(
            outputs && (end == self.n() || end.is_multiple_of(self.width())),
            "outputs {first}..{end} split a panel"
        );
        let (inputs, all) = (from.is_multiple_of(Self::RUN) && last <= self.k(), last == self.k());
        assert!(inputs && (all || last.is_multiple_of(Self::RUN)), "inputs {from}..{last}");
        match self {
            Self::F32(b) => b.set([first, from], &weights, false),
            Self::Chain(b) => b.set([first, from], &weights, true),
            Self::Bf16(b) => b.set([first, from], &weights),
            Self::Int8(b) => {
                assert!(from == 0 && all, "one scale for the inputs {from}..{last}");
                b.set(first, &weights, &mut scratch.int8, &mut scratch.floats);
            }
        }
    }

    /// What inputs are split at multiples of.
    const RUN: usize = 32;

    /// How many inputs' weights are given to [`Matrix::set`] at once, if about `many` are wanted.
    pub fn inputs_at_once(&self, many: usize) -> usize {
        match self {
            Self::Int8(b) => b.k().max(1),
            _ => many.next_multiple_of(Self::RUN).max(Self::RUN),
        }
    }

    /// The numbers in a row of inputs.
    pub fn k(&self) -> usize {
        match self {
            Self::F32(b) | Self::Chain(b) => b.k(),
            Self::Bf16(b) => b.k(),
            Self::Int8(b) => b.k(),
        }
    }

    /// The numbers in a row of outputs.
    pub fn n(&self) -> usize {
        match self {
            Self::F32(b) | Self::Chain(b) => b.n(),
            Self::Bf16(b) => b.n(),
            Self::Int8(b) => b.n(),
        }
    }

    /// The columns of a panel: where the columns of a product may be split.
    pub fn width(&self) -> usize {
        match self {
            Self::F32(b) | Self::Chain(b) => b.width(),
            Self::Bf16(b) => b.width(),
            Self::Int8(b) => b.width(),
        }
    }

    /// `y = x Wᵀ` for rows `x (m, k)` and `y (m, n)`. In int8 each row of `x` is quantised by itself.
    ///
    /// # Panics
    /// If `x` and `y` hold different numbers of rows: a bug in the caller.
    pub fn product(&self, x: &[f32], y: &mut [f32], scratch: &mut Scratch) {
        let n = self.n();
        let m = y.len() / n.max(1);
        self.pack(x, m, scratch);
        self.product_part(x, Window::new(y, n, m, n), scratch);
    }

    /// Packs the rows `x (m, k)` into `scratch` for [`Matrix::product_part`].
    ///
    /// # Panics
    /// If `x` does not hold `m` rows: a bug in the caller.
    pub fn pack(&self, x: &[f32], m: usize, scratch: &mut Scratch) {
        assert_eq!(x.len(), m * self.k(), "rows into a product");
        scratch.pack(x, m, self.k(), self.precision());
    }

    /// The arithmetic of the matrix's products.
    pub fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Chain(_) => Precision::Bf16(Bf16Arithmetic::Chain),
            Self::Bf16(b) => Precision::Bf16(b.arithmetic()),
            Self::Int8(_) => Precision::Int8,
        }
    }

    /// The rows and columns that `y` stands for of the product with the rows `x`, which [`Matrix::pack`] packed into `scratch`.
    ///
    /// # Panics
    /// If the window is not inside the product or begins or ends inside a panel, or other rows were packed: bugs in the caller.
    pub fn product_part(&self, x: &[f32], y: Window<f32>, scratch: &Scratch) {
        match self {
            Self::F32(b) => product_part(y, x, b.k(), 1, b, Start::Zero),
            Self::Chain(b) => product_part(y, &scratch.floats, b.k(), 1, b, Start::Zero),
            Self::Bf16(b) => product_bf16(y, &scratch.bf16, b, Start::Zero),
            Self::Int8(b) => product_int8_scaled(y, &scratch.int8, b, Start::Zero),
        }
    }
}

/// The weights of a 3×3 convolution.
#[derive(Clone, Debug)]
pub enum Filter {
    /// In single precision: a matrix for each row of the kernel, multiplied with windows of the padded image.
    Rows([Panels; 3]),
    /// In bf16 with chains of sums: as in single precision, with factors that bf16 holds.
    Chain([Panels; 3]),
    /// In bf16: one matrix, multiplied with patches that are packed on the way.
    Bf16(Bf16Panels),
    /// In bytes: likewise.
    Int8(Int8Panels),
}

impl Filter {
    /// Packs the weights `w (n, 3, 3, channels)` of a convolution.
    ///
    /// # Panics
    /// If `w` has another length.
    pub fn new(w: &[f32], n: usize, channels: usize, precision: Precision) -> Self {
        assert_eq!(w.len(), 9 * n * channels, "weights of {n} × 3 × 3 × {channels}");
        match precision {
            Precision::F32 => Self::Rows(kernel_rows(w, n, channels)),
            Precision::Bf16(Bf16Arithmetic::Chain) => Self::Chain(kernel_rows(&kept(w), n, channels)),
            Precision::Bf16(kind) => Self::Bf16(Bf16Panels::transposed(w, n, 9 * channels, kind)),
            Precision::Int8 => Self::Int8(Int8Panels::transposed(w, n, 9 * channels)),
        }
    }

    /// The number of channels that the convolution reads.
    pub fn channels(&self) -> usize {
        match self {
            Self::Rows(panels) | Self::Chain(panels) => panels[0].k() / 3,
            Self::Bf16(panels) => panels.k() / 9,
            Self::Int8(panels) => panels.k() / 9,
        }
    }

    /// The number of channels that the convolution answers with.
    pub fn n(&self) -> usize {
        match self {
            Self::Rows(panels) | Self::Chain(panels) => panels[0].n(),
            Self::Bf16(panels) => panels.n(),
            Self::Int8(panels) => panels.n(),
        }
    }

    /// One image through the convolution, with zero padding: `y` is `(height · width, n)`. In int8 the image is quantised
    /// as a whole.
    ///
    /// # Panics
    /// If the sizes do not fit: a bug in the caller.
    pub fn convolve(&self, conv: Conv3, image: &[f32], y: &mut [f32], scratch: &mut Scratch) {
        let (m, k, n) = (conv.height * conv.width, 9 * conv.channels, self.n());
        assert_eq!(
            (image.len(), y.len(), self.channels()),
            (m * conv.channels, m * n, conv.channels),
            "sizes"
        );
        match self {
            Self::Rows(panels) => {
                let padded = conv.padded_by(&mut scratch.floats, image, |to, row| to.copy_from_slice(row));
                conv3x3(conv, padded, panels, y);
            }
            Self::Chain(panels) => {
                let padded = conv.padded_by(&mut scratch.floats, image, keep_bf16);
                conv3x3(conv, padded, panels, y);
            }
            Self::Bf16(b) => {
                let padded = conv.padded_by(&mut scratch.halves, image, round_to_bf16);
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                if conv_tiles::bf16(conv, padded, b, y, &mut scratch.seams) {
                    return;
                }
                #[cfg(target_arch = "x86_64")]
                if conv_rows::convolve_bf16(conv, padded, b, y) {
                    return;
                }
                let bf16 = &mut scratch.bf16;
                bf16.from_rows(m, k, |i, row| conv.patch(padded, i, row));
                product_bf16(Window::new(y, n, m, n), bf16, b, Start::Zero);
            }
            Self::Int8(b) => {
                let quantised = Quantised::of(image);
                let padded = conv.padded_by(&mut scratch.bytes, image, |to, row| quantised.round(to, row));
                #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
                if conv_tiles::int8(conv, padded, quantised.scale, b, y) {
                    return;
                }
                let int8 = &mut scratch.int8;
                int8.from_rows(m, k, quantised.scale, |i, row| conv.patch(padded, i, row));
                product_int8_scaled(Window::new(y, n, m, n), int8, b, Start::Zero);
            }
        }
    }
}

/// The bf16 nearest to each number.
fn kept(w: &[f32]) -> Vec<f32> {
    let mut kept = vec![0.0; w.len()];
    keep_bf16(&mut kept, w);
    kept
}

/// Weights `w (n, 3, 3, channels)` as a matrix for each row of the kernel.
fn kernel_rows(w: &[f32], n: usize, channels: usize) -> [Panels; 3] {
    let run = 3 * channels;
    std::array::from_fn(|dy| {
        let rows = w.chunks_exact((3 * run).max(1)).flat_map(|o| &o[dy * run..][..run]);
        Panels::transposed(&rows.copied().collect::<Vec<f32>>(), n, run)
    })
}

impl Conv3 {
    /// The image in a frame of zeros, made in `room` from a line of the caches on: `f` writes each row of pixels.
    fn padded_by<'a, T: Copy + Default>(
        self,
        room: &'a mut Vec<T>,
        image: &[f32],
        f: impl Fn(&mut [T], &[f32]),
    ) -> &'a [T] {
        const LINE: usize = 64;
        let row = self.width * self.channels;
        let (stride, size, spare) = (row + 2 * self.channels, self.padded(), LINE / size_of::<T>());
        room.resize(size + spare, T::default());
        let skipped = room.as_ptr().align_offset(LINE).min(spare);
        let padded = &mut room[skipped..][..size];
        let (above, rows) = padded.split_at_mut((stride + self.channels).min(size));
        above.fill(T::default());
        let mut lines = rows.chunks_mut(stride.max(1));
        for (own, line) in image.chunks_exact(row.max(1)).zip(lines.by_ref()) {
            let (inside, beside) = line.split_at_mut(row);
            f(inside, own);
            beside.fill(T::default());
        }
        lines.for_each(|line| line.fill(T::default()));
        padded
    }

    /// Copies the 3×3 neighbourhood of pixel `i` out of a padded image.
    fn patch<T: Copy>(self, padded: &[T], i: usize, patch: &mut [T]) {
        let (run, stride) = (3 * self.channels, (self.width + 2) * self.channels);
        let from = i / self.width * stride + i % self.width * self.channels;
        for (dy, part) in patch.chunks_exact_mut(run).enumerate() {
            part.copy_from_slice(&padded[from + dy * stride..][..run]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epilogue, numbers, with_each_isa};

    #[test]
    fn convolutions_agree_with_the_definition_in_every_precision() {
        for (height, width, channels, n) in [(5, 4, 3, 2), (1, 1, 1, 1), (7, 7, 16, 16), (3, 9, 5, 33)] {
            let conv = Conv3 { height, width, channels };
            let (image, w) = (numbers(height * width * channels, 1), numbers(n * 9 * channels, 2));
            let pixel = |y: isize, x: isize, c: usize| {
                let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
                if inside { f64::from(image[(y as usize * width + x as usize) * channels + c]) } else { 0.0 }
            };
            for precision in Precision::ALL {
                let bound = match precision {
                    Precision::F32 => 1e-6,
                    Precision::Bf16(_) => 0.005,
                    Precision::Int8 => 0.008,
                };
                let filter = Filter::new(&w, n, channels, precision);
                let mut y = vec![f32::NAN; height * width * n];
                filter.convolve(conv, &image, &mut y, &mut Scratch::default());
                for (i, row) in y.chunks_exact(n).enumerate() {
                    for (o, found) in row.iter().enumerate() {
                        let (mut want, mut size) = (0f64, 0f64);
                        for tap in 0..9 * channels {
                            let (dy, dx, c) = (tap / channels / 3, tap / channels % 3, tap % channels);
                            let v = pixel((i / width + dy) as isize - 1, (i % width + dx) as isize - 1, c);
                            let term = v * f64::from(w[o * 9 * channels + tap]);
                            want += term;
                            size += v.abs().max(0.5);
                        }
                        let off = (f64::from(*found) - want).abs();
                        assert!(off <= bound * size, "{precision:?} {conv:?}: off by {off} of {size}");
                    }
                }
            }
        }
    }

    /// Parts of a product, finished or not, on every instruction set: the bits of the whole, of sums that are finished afterwards.
    #[test]
    fn parts_of_products_are_finished_on_their_way_out() {
        for [m, n, k] in
            [[1, 1, 1], [3, 10, 40], [5, 130, 70], [33, 70, 300], [70, 96, 1100], [40, 33, 0], [2, 200, 9]]
        {
            let (x, w, mut bias) = (numbers(m * k, 5), numbers(n * k, 6), numbers(n, 7));
            bias[n / 2] = f32::NAN;
            for precision in Precision::ALL {
                let matrix = Matrix::new(&w, n, k, precision);
                let mut sums = vec![0.0; m * n];
                matrix.product(&x, &mut sums, &mut Scratch::default());
                with_each_isa(|isa| {
                    for (with_bias, relu) in [(false, false), (true, false), (false, true), (true, true)] {
                        let bias = if with_bias { &bias[..] } else { &[] };
                        let want = sums.iter().enumerate().map(|(i, sum)| {
                            let v = if with_bias { sum + bias[i % n] } else { *sum };
                            if !relu || v > 0.0 { v.to_bits() } else { 0 }
                        });
                        let (mut y, mut scratch) = (vec![f32::NAN; m * n], Scratch::default());
                        matrix.pack(&x, m, &mut scratch);
                        let all = Window::new(&mut y, n, m, n).finished_by(Epilogue { bias, relu });
                        let (top, bottom) = all.split_rows(m / 3);
                        for part in [bottom, top].into_iter().flat_map(|w| w.in_columns(2 * matrix.width())) {
                            matrix.product_part(&x, part, &scratch);
                        }
                        for (i, (y, want)) in y.iter().zip(want).enumerate() {
                            let nan = y.is_nan() && f32::from_bits(want).is_nan();
                            assert!(
                                nan || y.to_bits() == want,
                                "{precision:?} {isa:?} [{m}, {n}, {k}] {relu}: {i}"
                            );
                        }
                    }
                });
            }
        }
    }

    /// Weights that are formed in panels that held others are those of a matrix of moved weights.
    #[test]
    fn moved_weights_are_formed_in_their_panels() {
        let mut scratch = Scratch::default();
        for (n, k) in [(1, 1), (10, 40), (33, 17), (70, 300), (96, 64), (3, 0)] {
            let (start, along, x) = (numbers(n * k, 1), numbers(n * k, 2), numbers(5 * k, 3));
            let moved: Vec<f32> = start.iter().zip(&along).map(|(s, a)| 0.3f32.mul_add(*a, *s)).collect();
            for precision in Precision::ALL {
                let (mut want, mut found) = (vec![0.0; 5 * n], vec![0.0; 5 * n]);
                Matrix::new(&moved, n, k, precision).product(&x, &mut want, &mut scratch);
                with_each_isa(|isa| {
                    let mut matrix = Matrix::zeros(n, k, precision);
                    assert_eq!(matrix.precision(), precision);
                    for factor in [7.0, 0.3] {
                        let length = matrix.inputs_at_once(40);
                        for first in (0..n).step_by(matrix.width()) {
                            for from in (0..k).step_by(length) {
                                let (rows, length) =
                                    (first..n.min(first + matrix.width()), length.min(k - from));
                                let along = rows.flat_map(|j| &along[j * k + from..][..length]);
                                let along = &along.copied().collect::<Vec<f32>>();
                                let start = &start[first * k + from..];
                                let weights = Moved { start, stride: k, factor, along, length };
                                matrix.set([first, from], weights, &mut scratch);
                            }
                        }
                    }
                    matrix.product(&x, &mut found, &mut scratch);
                    assert_eq!(found, want, "{n} × {k} {precision:?} {isa:?}");
                });
            }
        }
    }

    /// Rows that are longer or shorter than tiles and registers, with channels that suit the tile unit and such that do not.
    #[test]
    fn convolutions_have_the_same_bits_on_every_instruction_set() {
        for (height, width, channels, n) in [
            (1, 1, 16, 1),
            (5, 4, 16, 3),
            (7, 7, 16, 16),
            (3, 28, 16, 16),
            (2, 35, 16, 33),
            (4, 9, 32, 20),
            (3, 5, 64, 7),
            (3, 6, 4, 5),
            (2, 30, 8, 16),
            (3, 14, 1, 16),
            (2, 50, 2, 17),
            (3, 10, 3, 40),
        ] {
            let conv = Conv3 { height, width, channels };
            let (image, w) = (numbers(height * width * channels, 3), numbers(n * 9 * channels, 4));
            // So small that products of bf16 are flushed to zeros of either sign.
            let small: Vec<f32> = w.iter().map(|w| w * 1e-38).collect();
            for (precision, w) in Precision::ALL.into_iter().flat_map(|p| [(p, &w), (p, &small)]) {
                let filter = Filter::new(w, n, channels, precision);
                let (mut first, mut scratch) = (None, Scratch::default());
                with_each_isa(|isa| {
                    let mut y = vec![f32::NAN; height * width * n];
                    filter.convolve(conv, &image, &mut y, &mut scratch);
                    let bits: Vec<u32> = y.iter().map(|v| v.to_bits()).collect();
                    let same = *first.get_or_insert_with(|| bits.clone()) == bits;
                    assert!(same, "{precision:?}, {conv:?} to {n} on {isa:?}");
                });
            }
        }
    }

    #[test]
    fn scratch_of_a_larger_product_does_not_show_in_a_smaller_one() {
        let mut scratch = Scratch::default();
        for precision in Precision::ALL {
            let (large, small) = (numbers(40 * 70, 3), numbers(3 * 7, 4));
            let big = Matrix::new(&large, 40, 70, precision);
            big.product(&numbers(9 * 70, 5), &mut [0.0; 9 * 40], &mut scratch);
            let matrix = Matrix::new(&small, 3, 7, precision);
            let (x, mut reused, mut fresh) = (numbers(5 * 7, 6), [0.0; 15], [0.0; 15]);
            matrix.product(&x, &mut reused, &mut scratch);
            matrix.product(&x, &mut fresh, &mut Scratch::default());
            assert_eq!(reused, fresh, "{precision:?}");
        }
    }

    #[test]
    fn chains_are_sums_in_f32_of_factors_in_bf16() {
        use crate::{from_bf16, to_bf16};
        let (m, n, k) = (5, 33, 70);
        let (x, w) = (numbers(m * k, 1), numbers(n * k, 2));
        let matrix = Matrix::new(&w, n, k, Precision::Bf16(Bf16Arithmetic::Chain));
        let mut y = vec![f32::NAN; m * n];
        matrix.product(&x, &mut y, &mut Scratch::default());
        for (i, y) in y.iter().enumerate() {
            let terms = x[i / n * k..][..k].iter().zip(&w[i % n * k..][..k]);
            let near = |v: &f32| from_bf16(to_bf16(*v));
            let want = terms.fold(0f32, |s, (x, w)| near(x).mul_add(near(w), s));
            assert_eq!(y.to_bits(), want.to_bits(), "{i}");
        }
    }

    /// Where there is no tile unit, with the emulated one that the tests have.
    #[test]
    fn products_and_convolutions_have_the_same_bits_on_every_instruction_set() {
        let bits = |y: &[f32]| y.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        for precision in Precision::ALL {
            for (m, n, k) in [(1, 1, 1), (5, 33, 65), (16, 16, 32), (33, 70, 100), (40, 31, 129)] {
                let matrix = Matrix::new(&numbers(n * k, 2), n, k, precision);
                let (x, mut first) = (numbers(m * k, 1), None);
                crate::with_each_isa(|isa| {
                    let mut y = vec![f32::NAN; m * n];
                    matrix.product(&x, &mut y, &mut Scratch::default());
                    let want = first.get_or_insert_with(|| bits(&y));
                    assert_eq!(&bits(&y), want, "{precision:?}, {m} × {n} × {k} on {isa:?}");
                });
            }
            for (height, width, channels, n) in [(5, 4, 3, 2), (1, 1, 1, 1), (7, 7, 16, 16), (3, 29, 5, 33)] {
                let conv = Conv3 { height, width, channels };
                let filter = Filter::new(&numbers(n * 9 * channels, 2), n, channels, precision);
                let (image, mut first) = (numbers(height * width * channels, 1), None);
                crate::with_each_isa(|isa| {
                    let mut y = vec![f32::NAN; height * width * n];
                    filter.convolve(conv, &image, &mut y, &mut Scratch::default());
                    let want = first.get_or_insert_with(|| bits(&y));
                    assert_eq!(&bits(&y), want, "{precision:?}, {conv:?} to {n} on {isa:?}");
                });
            }
        }
    }
}
