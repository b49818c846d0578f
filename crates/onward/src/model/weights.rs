//! Params packed for matrix products, each version of a tensor once.

use super::dense::Forming;
use super::{LinkKind, TensorKeys, graph::of_groups, lying};
use crate::kernel::{Conv3, Epilogue, Filter, Laid, Matrix, Precision, Scratch, Window, add_bias};
use crate::params::{DType, Params, Tensor, Version};
use crate::threads::{self, prelude::*};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// How the rows and columns of a product are shared by threads: the one rule for all products. No number depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Rows of a piece.
    rows: usize,
    /// Columns of a piece.
    columns: usize,
}

impl Cut {
    /// Pieces for each thread, so that uneven processors end at about the same time.
    const PIECES: usize = 4;
    /// Multiply-adds of a piece at least: fewer are not worth waking a thread for.
    const WORK: usize = 1 << 22;
    /// The same in weights, which with few rows are read more slowly than they are multiplied.
    const READ: usize = 1 << 17;
    /// Rows of a piece at most: every piece reads its weights once.
    const ROWS: usize = 1024;
    /// Rows from which on a piece is worth packing by itself, so that all threads pack.
    const PACKED: usize = 256;
    /// What rows are cut at multiples of: those of a block of tiles.
    const BLOCK: usize = 32;

    /// For `m` rows, `n` outputs and `k` inputs on so many threads. Rows are cut where there are many (or, where they have to be
    /// packed first, enough for several threads); the columns of each such piece, at multiples of `panel`, until all threads have
    /// enough to do: then each reads only its own part of the weights.
    fn of([m, n, k]: [usize; 3], panel: usize, packs: bool, threads: usize) -> Self {
        let least = Self::READ.saturating_mul(m.max(1)).min(Self::WORK);
        let pieces = (m.saturating_mul(n).saturating_mul(k) / least).clamp(1, Self::PIECES * threads);
        let share =
            |all: usize, among: usize, multiple: usize| all.div_ceil(among).div_ceil(multiple) * multiple;
        let packers = if packs { threads.min(pieces).min(m / Self::PACKED) } else { 1 };
        let of_rows = m.div_ceil(Self::ROWS).max(packers).max(1);
        let columns = if threads == 1 { n } else { share(n, pieces.div_ceil(of_rows), panel) };
        Self { rows: share(m, of_rows, Self::BLOCK), columns }
    }
}

/// Scratch that no thread is using.
#[derive(Default)]
pub(super) struct Idle<T: Default = Scratch>(Mutex<Vec<T>>);

/// Scratch on loan from [`Idle`].
pub(super) struct Lent<'a, T: Default> {
    scratch: T,
    from: &'a Idle<T>,
}

impl<T: Default> Idle<T> {
    /// Scratch until the loan is dropped.
    pub fn lend(&self) -> Lent<'_, T> {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent { scratch: waiting.unwrap_or_default(), from: self }
    }
}

impl<T: Default> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.scratch
    }
}

impl<T: Default> DerefMut for Lent<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.scratch
    }
}

impl<T: Default> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        let scratch = std::mem::take(&mut self.scratch);
        self.from.0.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}

/// Params packed for matrix products, each version of a tensor once.
pub struct Weights<'a> {
    params: &'a Params,
    packing: Packing,
}

/// What [`Weights`] have made of params: kept where the same params are asked for again.
#[derive(Clone)]
pub(crate) struct Packing(Arc<All>);

struct All {
    packed: Vec<Arc<Packed>>,
    precision: Precision,
    spare: Spare,
}

/// What may outlive the weights that it is used with: scratch, so that the next step's need not clear new one, and what was packed, for
/// tensors that are the same then.
#[derive(Clone, Default)]
pub(crate) struct Spare(Arc<Kept>);

#[derive(Default)]
struct Kept {
    idle: Idle,
    forming: Idle<Forming>,
    /// Each tensor's, as it was packed last.
    packed: Mutex<Vec<Option<Last>>>,
}

struct Last {
    version: Version,
    precision: Precision,
    packed: Arc<Packed>,
}

/// Bytes of panels that tensors which do not lie as f32 of one's own may take in all. Beyond, their panels are made in scratch, a few at a
/// time, whenever they are multiplied: that takes the memory of none of them.
const PANELS: usize = 32 << 20;

impl<'a> Weights<'a> {
    /// Packs `params` for products of the given precision.
    pub fn new(params: &'a Params, precision: Precision) -> Self {
        Self::with_spare(params, precision, &Spare::default())
    }

    /// The same with scratch that others use before and after, and what was packed of the same tensors.
    pub(crate) fn with_spare(params: &'a Params, precision: Precision, spare: &Spare) -> Self {
        Self::of(params, precision, spare, |_| true)
    }

    /// `params` for dense probes alone, which read what they move as it is: only what `keys` say has no noise is packed.
    pub(crate) fn for_dense(
        params: &'a Params,
        precision: Precision,
        spare: &Spare,
        keys: &[TensorKeys],
    ) -> Self {
        Self::of(params, precision, spare, |tensor| keys.get(tensor).is_some_and(|keys| !keys.probed))
    }

    fn of(
        params: &'a Params,
        precision: Precision,
        spare: &Spare,
        packs: impl Fn(usize) -> bool + Sync,
    ) -> Self {
        let tensors = params.tensors();
        let other = |t: &&Tensor| t.data.memory().is_some() || t.data.dtype() != DType::F32;
        let panels: usize = tensors.iter().filter(other).map(|t| t.data.len() * precision.bytes()).sum();
        let lies = |t: &Tensor| panels > PANELS && other(&t) && !matches!(t.shape[..], [_, 3, 3, _]);
        // Nobody waits for what others pack. What is of other versions goes before new memory is needed.
        let last = std::mem::take(&mut *spare.0.packed.lock().unwrap_or_else(PoisonError::into_inner));
        let same = |(t, last): (&Tensor, Last)| {
            let same = last.version == *t.data.version() && last.precision == precision;
            same.then_some(last.packed)
        };
        let mut last = last.into_iter();
        let found: Vec<Option<Arc<Packed>>> =
            tensors.iter().map(|t| same((t, last.next().flatten()?))).collect();
        drop(last);
        let one = |(tensor, (t, found)): (usize, (&Tensor, &Option<Arc<Packed>>))| match found {
            _ if !packs(tensor) => Arc::new(Packed::Vector),
            Some(found) => Arc::clone(found),
            None if lies(t) => Arc::new(Packed::Lying),
            None => Arc::new(Packed::new(t, precision)),
        };
        let packed: Vec<_> = tensors.par_iter().zip(found.par_iter()).enumerate().map(one).collect();
        let last = tensors.iter().zip(&packed).enumerate().map(|(tensor, (t, packed))| {
            let (version, packed) = (t.data.version().clone(), Arc::clone(packed));
            packs(tensor).then_some(Last { version, precision, packed })
        });
        *spare.0.packed.lock().unwrap_or_else(PoisonError::into_inner) = last.collect();
        Self { params, packing: Packing(Arc::new(All { packed, precision, spare: spare.clone() })) }
    }

    /// The same params again, packed before.
    pub(crate) fn with(params: &'a Params, packing: &Packing) -> Self {
        Self { params, packing: packing.clone() }
    }

    /// What was made of the params.
    pub(crate) fn packing(&self) -> Packing {
        self.packing.clone()
    }

    /// The params that the weights were packed from.
    pub fn params(&self) -> &'a Params {
        self.params
    }

    /// The arithmetic of the products.
    pub fn precision(&self) -> Precision {
        self.packing.0.precision
    }

    pub(super) fn idle(&self) -> &Idle {
        &self.packing.0.spare.0.idle
    }

    pub(super) fn forming(&self) -> &Idle<Forming> {
        &self.packing.0.spare.0.forming
    }

    /// `y = x Wᵀ` with the weights of a map of this kind, finished by `epilogue`, at every position of the rows `x`, whose maps are
    /// `[height, width]`: a linear map or a convolution (which takes no ReLU).
    pub(super) fn product(
        &self,
        tensor: usize,
        kind: LinkKind,
        maps: [usize; 2],
        x: &[f32],
        y: &mut [f32],
        epilogue: Epilogue<'_>,
    ) {
        if matches!(*self.packing.0.packed[tensor], Packed::Lying) {
            let t = &self.params.tensors()[tensor];
            return lying::product(t, self.precision(), (x, y), epilogue, self.idle(), self.forming());
        }
        self.packed(tensor, kind, |packed| packed.product(maps, x, y, epilogue, self.idle()));
    }

    /// `y = x Wᵀ` in f32 at every position of `rows` rows `x`, whose maps are `maps`, with weights that are no tensor of the params: those
    /// of a map of this kind to so many outputs, each of `k` channels.
    pub(crate) fn product_with(
        &self,
        (kind, w, [outputs, k]): (LinkKind, &[f32], [usize; 2]),
        (rows, maps): (usize, [usize; 2]),
        x: &[f32],
    ) -> Vec<f32> {
        let mut y = vec![0.0; rows * maps[0] * maps[1] * outputs];
        let packed = match kind {
            LinkKind::Grouped => {
                of_groups(w, [outputs, k], x, &mut y);
                return y;
            }
            LinkKind::Conv => Packed::Filter(Filter::new(w, outputs, k, Precision::F32)),
            _ => Packed::Matrix(Matrix::new(w, outputs, k, Precision::F32)),
        };
        packed.product(maps, x, &mut y, Epilogue::default(), self.idle());
        y
    }

    /// Shows `f` the weights of a map of this kind. Those of 3×3 patches that were gathered have the shape of a [`Packed::Filter`], and
    /// are packed as a matrix each time: that reads them once more, beside one product with many places. So are those that lie.
    pub(super) fn packed<T>(&self, tensor: usize, kind: LinkKind, f: impl FnOnce(&Packed) -> T) -> T {
        match &*self.packing.0.packed[tensor] {
            Packed::Lying => f(&Packed::matrix(&self.params.tensors()[tensor], self.precision())),
            Packed::Filter(_) if kind == LinkKind::Linear => {
                f(&Packed::matrix(&self.params.tensors()[tensor], self.precision()))
            }
            packed => f(packed),
        }
    }
}

/// One tensor as products want it.
pub(super) enum Packed {
    /// Not the right side of any product.
    Vector,
    /// The weights of a linear map, which stay where and as they lie.
    Lying,
    /// The weights of a linear map.
    Matrix(Matrix),
    /// The weights of a 3×3 convolution.
    Filter(Filter),
}

impl Packed {
    /// Packs a tensor.
    fn new(tensor: &Tensor, precision: Precision) -> Self {
        match tensor.shape[..] {
            [_, 3, 3, _] => Self::of(tensor, &tensor.data.floats(), precision),
            _ => Self::matrix(tensor, precision),
        }
    }

    /// Packs `data`, which has the shape of `tensor`.
    pub(super) fn of(tensor: &Tensor, data: &[f32], precision: Precision) -> Self {
        match (tensor.shape.as_slice(), tensor.matrix()) {
            ([n, 3, 3, c], _) => Self::Filter(Filter::new(data, *n, *c, precision)),
            (_, Some((n, k))) => Self::Matrix(Matrix::new(data, n, k, precision)),
            _ => Self::Vector,
        }
    }

    /// A tensor as the weights of a linear map.
    fn matrix(tensor: &Tensor, precision: Precision) -> Self {
        let Some((n, k)) = tensor.matrix() else { return Self::Vector };
        Self::Matrix(match tensor.data.laid() {
            Laid::Floats(data) => Matrix::new(data, n, k, precision),
            laid => {
                let mut matrix = Matrix::zeros(n, k, precision);
                matrix.lay(&laid, 0, &mut Scratch::default());
                matrix
            }
        })
    }

    /// `y = x Wᵀ`, finished by `epilogue`, at every position of the rows `x`, whose maps are `[height, width]`: a linear map or a
    /// convolution (which takes no ReLU).
    pub(super) fn product(
        &self,
        [height, width]: [usize; 2],
        x: &[f32],
        y: &mut [f32],
        epilogue: Epilogue<'_>,
        idle: &Idle,
    ) {
        match self {
            Self::Vector | Self::Lying => {}
            Self::Matrix(matrix) => product(matrix, x, y, epilogue, idle),
            Self::Filter(filter) => {
                let conv = Conv3 { height, width, channels: filter.channels() };
                let images = y
                    .par_chunks_mut(height * width * filter.n())
                    .zip(x.par_chunks(height * width * conv.channels))
                    .with_min_len(8);
                images.for_each_init(
                    || idle.lend(),
                    |own, (y, x)| {
                        filter.convolve(conv, x, y, own);
                        add_bias(y, epilogue.bias);
                    },
                );
            }
        }
    }
}

/// `y = x Wᵀ` in pieces, each finished by `epilogue`.
fn product(matrix: &Matrix, x: &[f32], y: &mut [f32], epilogue: Epilogue<'_>, idle: &Idle) {
    let (n, k) = (matrix.n(), matrix.k());
    let m = y.len() / n.max(1);
    let cut = Cut::of([m, n, k], matrix.width(), matrix.precision() != Precision::F32, threads::here());
    let pieces = y.par_chunks_mut((cut.rows * n).max(1)).zip(x.par_chunks((cut.rows * k).max(1)));
    pieces.for_each_init(
        || idle.lend(),
        |own, (y, x)| {
            let rows = y.len() / n;
            matrix.pack(x, rows, own);
            let whole = Window::new(y, n, rows, n).finished_by(epilogue);
            if cut.columns >= n {
                return matrix.product_part(x, whole, own);
            }
            let scratch = &**own;
            whole.in_columns(cut.columns).into_par_iter().for_each(|y| matrix.product_part(x, y, scratch));
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::TensorData;

    #[test]
    fn a_tensor_is_packed_once_for_each_version_and_arithmetic() {
        let tensor = |name: &str| Tensor { name: name.into(), shape: vec![3, 2], data: vec![1.0; 6].into() };
        let mut params = Params::from_tensors(vec![tensor("a"), tensor("b")]);
        let spare = Spare::default();
        let packed = |params: &Params, precision| -> Vec<Arc<Packed>> {
            Weights::with_spare(params, precision, &spare).packing.0.packed.clone()
        };
        let first = packed(&params, Precision::F32);
        let same = |a: &[Arc<Packed>], b: &[Arc<Packed>]| -> Vec<bool> {
            a.iter().zip(b).map(|(a, b)| Arc::ptr_eq(a, b)).collect()
        };
        assert_eq!(same(&first, &packed(&params.clone(), Precision::F32)), [true, true]);
        params.data_mut(1).floats_mut()[0] = 2.0;
        let second = packed(&params, Precision::F32);
        assert_eq!(same(&first, &second), [true, false]);
        assert_eq!(same(&second, &packed(&params, Precision::Int8)), [false, false]);
        let mut y = [0.0; 3];
        second[1].product([1, 1], &[1.0, 1.0], &mut y, Epilogue::default(), &Idle::default());
        assert_eq!(y, [3.0, 2.0, 2.0]);
    }

    #[test]
    fn what_is_large_and_does_not_lie_as_f32_stays_where_it_is() {
        let n = PANELS / 4 / 1024 + 1;
        let data = TensorData::new(DType::Bf16, vec![0; 2 * n * 1024], &[]).unwrap();
        let large = Tensor { name: "a".into(), shape: vec![n, 1024], data };
        let small = Tensor { name: "b".into(), shape: vec![3, 2], data: vec![1.0; 6].into() };
        let params = Params::from_tensors(vec![large, small]);
        let lies = |precision| -> Vec<bool> {
            let weights = Weights::new(&params, precision);
            weights.packing.0.packed.iter().map(|packed| matches!(**packed, Packed::Lying)).collect()
        };
        assert_eq!(lies(Precision::F32), [true, false]);
        assert_eq!(lies(Precision::Int8), [false, false], "panels of a quarter of the size");
    }

    #[test]
    fn products_are_cut_by_rows_and_then_by_columns() {
        let cut = |m, n, k, packs, threads| {
            let cut = Cut::of([m, n, k], 32, packs, threads);
            (cut.rows, cut.columns)
        };
        let of = |m, n, k, threads| cut(m, n, k, false, threads);
        assert_eq!(of(4096, 4096, 4096, 1), (1024, 4096), "one thread");
        assert_eq!(of(1024, 4096, 4096, 2), (1024, 512), "columns alone");
        assert_eq!(cut(1024, 4096, 4096, true, 2), (512, 1024), "each thread packs its rows");
        assert_eq!(cut(400, 4096, 4096, true, 2), (416, 512), "too few rows to pack apart");
        assert_eq!(of(8192, 2048, 2048, 2), (1024, 2048), "rows alone");
        assert_eq!(of(64, 4096, 4096, 2), (64, 512), "four pieces of columns a thread");
        assert_eq!(of(64, 4096, 4096, 16), (64, 64));
        assert_eq!(of(1100, 4096, 4096, 16), (576, 128), "rows of about the same number");
        assert_eq!(of(256, 256, 256, 2), (256, 64), "less work than eight pieces would need");
        assert_eq!(of(64, 256, 64, 2), (64, 256), "too little work to share");
        assert_eq!(of(1, 10, 700_000, 4), (32, 32));
        assert_eq!(
            (of(0, 7, 5, 2), of(3, 0, 5, 2), of(3, 7, 0, 2)),
            ((0, 32), (32, 0), (32, 32)),
            "nothing to do"
        );
        assert_eq!(of(usize::MAX, 2, 2, 1), (1024, 2), "no overflow");
    }
}
