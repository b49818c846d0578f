//! The one source of randomness: a pure function of (run key, role, tensor name, step, member, element).
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) with the key from BLAKE3 over (run key, role, tensor name) and the
//! counter (block, member, step), four 32-bit words per block. There is no stream and no order: any element of any
//! tensor's noise can be asked for alone. The specification to the bit is in `docs/noise.md`, golden vectors in `testdata/`.

use crate::kernel::{ln, multiversion, sin_cos_turn};
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

/// Blocks made at once: wide enough for the widest vectors.
const LANES: usize = 16;
/// Elements of each family that one group of [`LANES`] blocks gives.
const SIGN_GROUP: usize = LANES * 128;
const BINOMIAL_GROUP: usize = LANES * 8;
const NORMAL_GROUP: usize = LANES * 4;

impl Noise {
    /// The 32-bit words of block `block`.
    pub fn words(self, block: u64) -> [u32; 4] {
        let w = philox(self, [block; 1]);
        [w[0][0], w[1][0], w[2][0], w[3][0]]
    }

    /// Elements `first .. first + out.len()` of the given family.
    pub fn fill(self, family: Family, first: u64, out: &mut [f32]) {
        self.walk(family, first, out, 1.0, Write::Put);
    }

    /// Adds `scale` times the elements `first .. first + out.len()` to `out`, rounding once for each.
    pub fn add_to(self, family: Family, first: u64, scale: f32, out: &mut [f32]) {
        self.walk(family, first, out, scale, Write::Add);
    }

    fn walk(self, family: Family, first: u64, out: &mut [f32], scale: f32, write: Write) {
        match family {
            Family::Sign => fill_signs(self, first, out, scale, write),
            Family::Binomial => fill_binomial(self, first, out, scale, write),
            Family::Normal => fill_normal(self, first, out, scale, write),
        }
    }
}

/// Whether noise replaces what is there or is added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    Put,
    Add,
}

/// Ten rounds of Philox4x32 on `N` counters at once: word `w` of block `i` is `[w][i]`.
// Indexed loops over the lanes are what vectorises.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn philox<const N: usize>(noise: Noise, blocks: [u64; N]) -> [[u32; N]; 4] {
    let mut c = [[0u32; N], [0u32; N], [noise.member; N], [noise.step; N]];
    for i in 0..N {
        c[0][i] = blocks[i] as u32;
        c[1][i] = (blocks[i] >> 32) as u32;
    }
    let mut key = noise.key;
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        for i in 0..N {
            let p0 = u64::from(c[0][i]) * 0xD251_1F53;
            let p1 = u64::from(c[2][i]) * 0xCD9E_8D57;
            let next = [
                (p1 >> 32) as u32 ^ c[1][i] ^ key[0],
                p1 as u32,
                (p0 >> 32) as u32 ^ c[3][i] ^ key[1],
                p0 as u32,
            ];
            c[0][i] = next[0];
            c[1][i] = next[1];
            c[2][i] = next[2];
            c[3][i] = next[3];
        }
    }
    c
}

#[inline(always)]
fn group(noise: Noise, first_block: u64) -> [[u32; LANES]; 4] {
    philox(noise, std::array::from_fn(|i| first_block.wrapping_add(i as u64)))
}

/// Runs `make` over whole groups of `G` elements and writes the part of each that `out` covers.
#[inline(always)]
fn by_groups<const G: usize>(
    first: u64,
    out: &mut [f32],
    scale: f32,
    write: Write,
    make: impl Fn(u64, &mut [f32; G]),
) {
    let mut buffer = [0f32; G];
    let mut done = 0;
    while done < out.len() {
        let element = first + done as u64;
        let inside = (element % G as u64) as usize;
        let take = (G - inside).min(out.len() - done);
        make(element / G as u64, &mut buffer);
        let part = &mut out[done..done + take];
        match write {
            Write::Put => part.iter_mut().zip(&buffer[inside..]).for_each(|(o, z)| *o = *z * scale),
            Write::Add => part.iter_mut().zip(&buffer[inside..]).for_each(|(o, z)| *o = z.mul_add(scale, *o)),
        }
        done += take;
    }
}

multiversion! {
/// Element `e`: bit `e % 32` of word `e / 32 % 4` of block `e / 128`; a one is -1.
fn fill_signs(noise: Noise, first: u64, out: &mut [f32], scale: f32, write: Write) {
    by_groups::<SIGN_GROUP>(first, out, scale, write, |index, buffer| {
        let words = group(noise, index * LANES as u64);
        for i in 0..LANES {
            for w in 0..4 {
                let word = words[w][i];
                let part = &mut buffer[i * 128 + w * 32..][..32];
                for (bit, o) in part.iter_mut().enumerate() {
                    *o = f32::from_bits(0x3f80_0000 | ((word >> bit) << 31));
                }
            }
        }
    });
}
}

multiversion! {
/// Element `e`: ones among the low (even `e`) or high (odd `e`) half of word `e / 2 % 4` of block `e / 8`, less 8.
fn fill_binomial(noise: Noise, first: u64, out: &mut [f32], scale: f32, write: Write) {
    by_groups::<BINOMIAL_GROUP>(first, out, scale, write, |index, buffer| {
        let words = group(noise, index * LANES as u64);
        for w in 0..4 {
            for i in 0..LANES {
                // Counts the ones of both halves at once.
                let x = words[w][i];
                let x = x - ((x >> 1) & 0x5555_5555);
                let x = (x & 0x3333_3333) + ((x >> 2) & 0x3333_3333);
                let x = (x + (x >> 4)) & 0x0f0f_0f0f;
                let x = (x + (x >> 8)) & 0x00ff_00ff;
                buffer[i * 8 + w * 2] = ((x & 0xffff) as i32 - 8) as f32;
                buffer[i * 8 + w * 2 + 1] = ((x >> 16) as i32 - 8) as f32;
            }
        }
    });
}
}

/// Two normal numbers from two words.
#[inline(always)]
fn normal_pair(distance: u32, angle: u32) -> (f32, f32) {
    // In (0, 1]: never zero, so the radius is at most √(64 ln 2) ≈ 6.66.
    let u = (distance as f32 + 1.0) * (1.0 / 4_294_967_296.0);
    let square = -2.0 * ln(u);
    // Not `max`, which may answer either zero for -0 and 0.
    let radius = if square > 0.0 { square.sqrt() } else { 0.0 };
    let (sin, cos) = sin_cos_turn(angle);
    (radius * sin, radius * cos)
}

multiversion! {
/// Elements `4b + {0, 1}` are the sine and cosine halves from words 0 and 1 of block `b`, `4b + {2, 3}` from words 2 and 3.
fn fill_normal(noise: Noise, first: u64, out: &mut [f32], scale: f32, write: Write) {
    by_groups::<NORMAL_GROUP>(first, out, scale, write, |index, buffer| {
        let words = group(noise, index * LANES as u64);
        for half in 0..2 {
            for i in 0..LANES {
                let (sine, cosine) = normal_pair(words[2 * half][i], words[2 * half + 1][i]);
                buffer[i * 4 + half * 2] = sine;
                buffer[i * 4 + half * 2 + 1] = cosine;
            }
        }
    });
}
}

#[cfg(test)]
mod tests;
