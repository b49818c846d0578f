//! What rounding makes of steps where weights take two bytes.

use crate::noise::Noise;
use crate::params::{Piece, Storage, narrow, wide};

/// Statistics of the rounding of one step, for storages of two bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rounding {
    /// The number of weights in tensors that had a step.
    pub weights: u64,
    /// The number of weights that changed.
    pub moved: u64,
    /// `Σ realised · intended`, `Σ realised²`, `Σ intended²`.
    products: [f64; 3],
}

impl Rounding {
    /// The share of weights that changed.
    pub fn moved_share(&self) -> f64 {
        self.moved as f64 / (self.weights.max(1)) as f64
    }

    /// The cosine of the angle between the step that was taken and the one that was meant; NaN if one of them is zero.
    pub fn cosine(&self) -> f64 {
        self.products[0] / (self.products[1] * self.products[2]).sqrt()
    }

    /// Changes some weights (elements from `first` on, a multiple of 8) and rounds what they become, if they are stored in two bytes.
    pub(super) fn of(piece: Piece<'_>, noise: Noise, first: usize, change: impl FnOnce(&mut [f32])) -> Self {
        match piece {
            Piece::Floats(weights) => {
                change(weights);
                Self::default()
            }
            Piece::Halves(storage, weights) => {
                let before = wide(storage, weights);
                let mut after = before.clone();
                change(&mut after);
                let found = Self::round(storage, noise, first, &before, &mut after);
                narrow(storage, &after, weights);
                found
            }
        }
    }

    /// Rounds the weights `after` a step, which were `before`.
    fn round(storage: Storage, noise: Noise, first: usize, before: &[f32], after: &mut [f32]) -> Self {
        let meant = after.to_vec();
        if storage == Storage::F16 {
            noise.round_to_f16(first as u64, after);
        } else {
            noise.round_to_bf16(first as u64, after);
        }
        let mut found = Self { weights: after.len() as u64, ..Self::default() };
        for ((new, meant), old) in after.iter().zip(&meant).zip(before) {
            found.moved += u64::from(new != old);
            let (real, meant) = (f64::from(new - old), f64::from(meant - old));
            let terms = [real * meant, real * real, meant * meant];
            found.products.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
        found
    }
}

impl std::ops::AddAssign for Rounding {
    fn add_assign(&mut self, other: Self) {
        self.weights += other.weights;
        self.moved += other.moved;
        self.products.iter_mut().zip(other.products).for_each(|(sum, term)| *sum += term);
    }
}

impl std::iter::Sum for Rounding {
    fn sum<I: Iterator<Item = Self>>(found: I) -> Self {
        found.fold(Self::default(), |mut all, piece| {
            all += piece;
            all
        })
    }
}

/// Counts what rounding made of a tensor's step, where there is any.
pub(super) fn note(all: &mut Option<Rounding>, found: Rounding) {
    if let Some(all) = all {
        *all += found;
    }
}
