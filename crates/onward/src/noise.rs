//! The one source of randomness: a pure function of (run key, role, tensor name, step, member, element).
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) with the key from BLAKE3 over (run key, role, tensor name) and the
//! counter (block, member, step), four 32-bit words per block. There is no stream and no order: any element of any
//! tensor's noise can be asked for alone. The specification to the bit is in `docs/noise.md`, golden vectors in `testdata/`.

use crate::kernel::{Block, Philox, ln, multiversion, philox, sin_cos_turn};
use serde::{Deserialize, Serialize};

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
}

/// How noise is distributed. All have mean zero; [`Family::scale`] brings them to unit variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// ±1 with equal chance: one bit an element.
    #[default]
    Sign,
    /// The number of ones among 16 bits, less 8: integers in -8..=8, variance 4, excess kurtosis -1/8.
    Binomial,
    /// Standard normal by Box–Muller, from correctly rounded operations only. Not integers: kept for parity with papers.
    Normal,
}

impl Family {
    /// What an element is multiplied by to have unit variance.
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

/// One tensor's noise at one step for one member: an endless row of elements, each to be had alone.
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

    /// The numbers below `n`, sorted by the first two words of the block of their number.
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

    fn blocks(self, first: u64, out: &mut [Block]) {
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
        let mut words = [[0; 4]; BLOCKS];
        for (piece, values) in values.chunks_mut(8 * BLOCKS).enumerate() {
            let words = &mut words[..values.len().div_ceil(8)];
            self.blocks(first / 8 + (piece * BLOCKS) as u64, words);
            round_by(words.as_flattened(), values);
        }
    }
}

multiversion! {
fn round_by(words: &[u32], values: &mut [f32]) {
    let halves = |word: u32| [word & 0xffff, word >> 16];
    let (pairs, rest) = values.as_chunks_mut::<2>();
    for (pair, word) in pairs.iter_mut().zip(words) {
        let [low, high] = halves(*word);
        *pair = [rounded(pair[0], low), rounded(pair[1], high)];
    }
    if let ([value], Some(word)) = (rest, words.get(pairs.len())) {
        *value = rounded(*value, halves(*word)[0]);
    }
}
}

#[inline(always)]
fn rounded(value: f32, chance: u32) -> f32 {
    let bits = value.to_bits();
    let up = f32::from_bits(bits.wrapping_add(chance) & 0xffff_0000);
    let cut = f32::from_bits(bits & 0xffff_0000);
    if !value.is_finite() {
        value
    } else if up.is_finite() {
        up
    } else {
        cut
    }
}

/// Has `add` add to all of `out`, which are elements `inside..` of those that `words` give: `W` words to `E` elements at a
/// time. Of the first and the last few it is given a copy.
#[inline(always)]
fn by_few<const W: usize, const E: usize>(
    words: &[u32],
    inside: usize,
    out: &mut [f32],
    add: impl Fn(&[u32; W], &mut [f32; E]),
) {
    let (mut words, mut out) = (&words.as_chunks::<W>().0[inside / E..], out);
    let add_some = |words: &[u32; W], at: usize, some: &mut [f32]| {
        let mut copy = [0.0; E];
        copy[at..][..some.len()].copy_from_slice(some);
        add(words, &mut copy);
        some.copy_from_slice(&copy[at..][..some.len()]);
    };
    if !inside.is_multiple_of(E) {
        let (some, rest) = out.split_at_mut(out.len().min(E - inside % E));
        add_some(&words[0], inside % E, some);
        (words, out) = (&words[1..], rest);
    }
    let (whole, some) = out.as_chunks_mut::<E>();
    for (words, out) in words.iter().zip(&mut *whole) {
        add(words, out);
    }
    if !some.is_empty() {
        add_some(&words[whole.len()], 0, some);
    }
}

multiversion! {
/// Element `e`: bit `e % 32` of word `e / 32 % 4` of block `e / 128`; a one is -1.
fn add_signs(words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
    let scale = scale.to_bits();
    by_few::<1, 32>(words, inside, out, |[word], out| {
        for (bit, o) in out.iter_mut().enumerate() {
            // A constant's distance, not a variable one's, is what vectorises: bit `bit` goes where the sign is.
            *o += f32::from_bits(scale ^ ((word << (31 - bit)) & 0x8000_0000));
        }
    });
}
}

multiversion! {
/// Element `e`: ones among the low (even `e`) or high (odd `e`) half of word `e / 2 % 4` of block `e / 8`, less 8.
fn add_binomial(words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
    by_few::<1, 2>(words, inside, out, |[x], [low, high]| {
        // Counts the ones of both halves at once.
        let x = x - ((x >> 1) & 0x5555_5555);
        let x = (x & 0x3333_3333) + ((x >> 2) & 0x3333_3333);
        let x = (x + (x >> 4)) & 0x0f0f_0f0f;
        let x = (x + (x >> 8)) & 0x00ff_00ff;
        *low = (((x & 0xffff) as i32 - 8) as f32).mul_add(scale, *low);
        *high = (((x >> 16) as i32 - 8) as f32).mul_add(scale, *high);
    });
}
}

/// Two normal numbers from two words.
#[inline(always)]
fn normal_pair(distance: u32, angle: u32) -> (f32, f32) {
    // In (0, 1]: never zero, so the radius is at most √(64 ln 2) ≈ 6.66.
    let u = (distance as f32 + 1.0) * (1.0 / 4_294_967_296.0);
    let square = -2.0 * ln(u);
    // Not `max`, which may answer either zero for -0 and 0; before the root, so that the root need not wait for a branch.
    let radius = (if square > 0.0 { square } else { 0.0 }).sqrt();
    let (sin, cos) = sin_cos_turn(angle);
    (radius * sin, radius * cos)
}

multiversion! {
/// Elements `4b + {0, 1}` are the sine and cosine halves from words 0 and 1 of block `b`, `4b + {2, 3}` from words 2 and 3.
fn add_normal(words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
    by_few::<2, 2>(words, inside, out, |[distance, angle], [first, second]| {
        let (sine, cosine) = normal_pair(*distance, *angle);
        *first = sine.mul_add(scale, *first);
        *second = cosine.mul_add(scale, *second);
    });
}
}

#[cfg(test)]
mod tests;
