//! The one source of randomness: a pure function of (run key, role, tensor name, step, member, element).
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) with the key from BLAKE3 over (run key, role, tensor name) and the
//! counter (block, member, step), four 32-bit words per block. There is no stream and no order: any element of any
//! tensor's noise can be asked for alone. The specification to the bit is in `docs/noise.md`, golden vectors in `testdata/`.

use crate::choices;
use onward_kernel::{Philox, add_binomial, add_normal, add_signs, philox, round_by, round_by_f16};

/// What noise is for. Equal names under different roles are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Initial values of a tensor.
    Init = 0,
    /// The order of samples.
    Shuffle = 1,
    /// A probe of a whole tensor.
    Dense = 2,
    /// The output-side factor of a low-rank probe.
    Left = 3,
    /// The input-side factor of a low-rank probe.
    Right = 4,
    /// A probe of a stage's output.
    Activation = 5,
    /// A candidate of a study.
    Candidate = 6,
    /// Which of two neighbours a weight is rounded to.
    Rounding = 7,
    /// A change of one number of a tensor.
    Coordinate = 8,
    /// Chance inside a model: samples, dropout.
    Sample = 9,
    /// A change of an image that a step sees.
    Augmentation = 10,
}

choices! {
    /// How noise is distributed. All have mean zero; [`Family::scale`] brings them to unit variance: the binomial count is that of
    /// the ones among 16 bits, less 8 (integers in -8..=8, variance 4, excess kurtosis -1/8); normal noise is Box–Muller's, from
    /// correctly rounded operations only.
    pub enum Family default Sign {
        /// -1 or 1.
        Sign = "sign",
        /// A centred binomial count: small integers, near-normal.
        Binomial = "binomial",
        /// The normal distribution.
        Normal = "normal",
    }
}

impl Family {
    /// The factor that gives an element unit variance.
    pub fn scale(self) -> f32 {
        if self == Self::Binomial { 0.5 } else { 1.0 }
    }

    /// The largest absolute value of an element, or `None` where elements are not integers.
    pub fn largest(self) -> Option<u32> {
        match self {
            Self::Sign => Some(1),
            Self::Binomial => Some(8),
            Self::Normal => None,
        }
    }

    /// Elements that one block gives.
    fn per_block(self) -> usize {
        match self {
            Self::Sign => 128,
            Self::Binomial => 8,
            Self::Normal => 4,
        }
    }
}

/// The key of a run: everything random in it follows from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunKey([u8; 32]);

impl RunKey {
    /// The key of a seed.
    pub fn from_seed(seed: u64) -> Self {
        Self(blake3::derive_key("onward 2026 noise v1 run key", &seed.to_le_bytes()))
    }

    /// The key of one tensor's noise in one role.
    pub fn tensor(&self, role: Role, name: &str) -> TensorKey {
        let mut hash = blake3::Hasher::new_keyed(&self.0);
        hash.update(&[role as u8]).update(name.as_bytes());
        let mut words = [0; 8];
        hash.finalize_xof().fill(&mut words);
        let [a, b, c, d, e, f, g, h] = words;
        TensorKey([u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])])
    }
}

/// The key of one tensor's noise in one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorKey([u32; 2]);

impl TensorKey {
    /// The noise of one member at one step.
    pub fn at(self, step: u32, member: u32) -> Noise {
        Noise { key: self.0, step, member }
    }
}

/// One tensor's noise at one step for one member: an endless sequence of elements, each computable on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noise {
    key: [u32; 2],
    step: u32,
    member: u32,
}

/// Blocks made at once: 1 KiB of words, which give 32 KiB of signs, all of it in the first-level cache.
const BLOCKS: usize = 64;

impl Noise {
    /// The 32-bit words of block `block`.
    pub fn words(self, block: u64) -> [u32; 4] {
        let mut words = [[0; 4]; 1];
        self.blocks(block, &mut words);
        words[0]
    }

    /// A permutation of `0..n`: the numbers sorted by the first two words of the block with their number.
    pub fn permutation(self, n: usize) -> Vec<u32> {
        let mut keyed: Vec<(u32, u32, u32)> = (0..n as u32)
            .map(|i| {
                let words = self.words(u64::from(i));
                (words[0], words[1], i)
            })
            .collect();
        keyed.sort_unstable();
        keyed.iter().map(|k| k.2).collect()
    }

    /// The words of as many blocks as `out` has, from block `first` on.
    pub fn blocks(self, first: u64, out: &mut [[u32; 4]]) {
        philox(Philox { key: self.key, name: [self.member, self.step] }, first, out);
    }

    /// Elements `first .. first + out.len()` of the given family.
    pub fn fill(self, family: Family, first: u64, out: &mut [f32]) {
        // What is added to -0 is what one gets, +0 and -0 included.
        out.fill(-0.0);
        self.add_to(family, first, 1.0, out);
    }

    /// Adds `scale` times the elements `first .. first + out.len()` to `out`, rounding once for each.
    pub fn add_to(self, family: Family, first: u64, scale: f32, out: &mut [f32]) {
        let per_block = family.per_block();
        let mut words = [[0; 4]; BLOCKS];
        let mut done = 0;
        while done < out.len() {
            let element = first + done as u64;
            let inside = (element % per_block as u64) as usize;
            let take = (BLOCKS * per_block - inside).min(out.len() - done);
            let words = &mut words[..(inside + take).div_ceil(per_block)];
            self.blocks(element / per_block as u64, words);
            let (words, out) = (words.as_flattened(), &mut out[done..done + take]);
            match family {
                Family::Sign => add_signs(words, inside, scale, out),
                Family::Binomial => add_binomial(words, inside, scale, out),
                Family::Normal => add_normal(words, inside, scale, out),
            }
            done += take;
        }
    }

    /// Rounds `values`, which are elements `first .. first + values.len()` of a tensor (`first` a multiple of 8), to one of
    /// their two neighbours in bf16, each with the chance that makes the mean exact: 16 random bits are added to those that
    /// are cut off. Element `e` takes the low (even `e`) or high (odd `e`) half of word `e / 2 % 4` of block `e / 8`. What is
    /// not finite stays as it is, and nothing finite becomes infinite.
    pub fn round_to_bf16(self, first: u64, values: &mut [f32]) {
        self.round(first, values, round_by);
    }

    /// Rounds `values` to one of their two neighbours in half precision, as [`Noise::round_to_bf16`] does in bf16. Beyond 65 504 there is none, and what is finite stays there.
    pub fn round_to_f16(self, first: u64, values: &mut [f32]) {
        self.round(first, values, round_by_f16);
    }

    fn round(self, first: u64, values: &mut [f32], by: fn(&[u32], &mut [f32])) {
        let mut words = [[0; 4]; BLOCKS];
        for (piece, values) in values.chunks_mut(8 * BLOCKS).enumerate() {
            let words = &mut words[..values.len().div_ceil(8)];
            self.blocks(first / 8 + (piece * BLOCKS) as u64, words);
            by(words.as_flattened(), values);
        }
    }
}

#[cfg(test)]
mod tests;
