//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011) on many counters at once.
//!
//! One 32-bit number stands in the low half of each 64-bit lane, where the widening multiplication of every instruction
//! set wants it. What is in the high half never matters: the multiplication does not look at it. So a round needs no
//! shuffle: two products, whose high halves are shifted down, and two three-way exclusive ors.

use super::dispatch;

/// The four words of noise that one counter gives.
pub type Block = [u32; 4];

/// The key and the fixed part of the counter that all blocks of one piece of noise share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    /// The key.
    pub key: [u32; 2],
    /// The third and the fourth number of the counter.
    pub name: [u32; 2],
}

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// Vectors of blocks that are worked on side by side: enough to hide how long a multiplication takes.
const ABREAST: usize = 4;
/// Blocks of the widest vector.
const WIDEST: usize = 8;

/// Vectors of 64-bit lanes. Every method is called only where the instruction set was detected.
trait Lanes {
    type V: Copy;
    const BLOCKS: usize;
    /// `x` in the low half of every lane.
    unsafe fn splat(x: u32) -> Self::V;
    /// The low and the high halves of `first`, `first + 1`, …, each in the low half of a lane.
    unsafe fn counters(first: u64) -> [Self::V; 2];
    /// The 64-bit products of the low halves.
    unsafe fn multiply(a: Self::V, b: Self::V) -> Self::V;
    /// In the low halves: the product's high half ^ `x` ^ `key`.
    unsafe fn mix(product: Self::V, x: Self::V, key: Self::V) -> Self::V;
    /// [`Lanes::mix`] in the low halves, the product's low half in the high halves: two words of each block.
    unsafe fn mix_last(product: Self::V, x: Self::V, key: Self::V) -> Self::V;
    /// Writes words 0 and 1 and words 2 and 3 of [`Lanes::BLOCKS`] blocks to where the caller owns as many.
    unsafe fn store(to: *mut Block, words: [Self::V; 2]);
}

/// The reference: plain Rust.
struct Portable;

impl Lanes for Portable {
    type V = [u64; 4];
    const BLOCKS: usize = 4;
    #[inline(always)]
    unsafe fn splat(x: u32) -> [u64; 4] {
        [u64::from(x); 4]
    }
    #[inline(always)]
    unsafe fn counters(first: u64) -> [[u64; 4]; 2] {
        let all: [u64; 4] = std::array::from_fn(|i| first.wrapping_add(i as u64));
        [all, all.map(|c| c >> 32)]
    }
    #[inline(always)]
    unsafe fn multiply(a: [u64; 4], b: [u64; 4]) -> [u64; 4] {
        std::array::from_fn(|i| (a[i] & 0xffff_ffff) * (b[i] & 0xffff_ffff))
    }
    #[inline(always)]
    unsafe fn mix(product: [u64; 4], x: [u64; 4], key: [u64; 4]) -> [u64; 4] {
        std::array::from_fn(|i| (product[i] >> 32) ^ x[i] ^ key[i])
    }
    #[inline(always)]
    unsafe fn mix_last(product: [u64; 4], x: [u64; 4], key: [u64; 4]) -> [u64; 4] {
        std::array::from_fn(|i| product[i].rotate_left(32) ^ ((x[i] ^ key[i]) & 0xffff_ffff))
    }
    #[inline(always)]
    unsafe fn store(to: *mut Block, [x, y]: [[u64; 4]; 2]) {
        let all: [Block; 4] =
            std::array::from_fn(|i| [x[i] as u32, (x[i] >> 32) as u32, y[i] as u32, (y[i] >> 32) as u32]);
        // SAFETY: the caller owns four blocks at `to`.
        unsafe { to.cast::<[Block; 4]>().write(all) }
    }
}

/// As [`Portable`]; the registers' own instructions are safe where they were detected, which the caller vouches for.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Block, Lanes};
    use std::arch::x86_64::*;

    /// Exclusive or of three numbers, as a truth table.
    const XOR: i32 = 0x96;
    /// The low halves of 64-bit lanes, as a mask of 32-bit lanes.
    const LOW: __mmask16 = 0x5555;

    pub struct Avx512;

    impl Lanes for Avx512 {
        type V = __m512i;
        const BLOCKS: usize = 8;
        #[inline(always)]
        unsafe fn splat(x: u32) -> __m512i {
            // SAFETY: AVX-512 F was detected.
            unsafe { _mm512_set1_epi32(x as i32) }
        }
        #[inline(always)]
        unsafe fn counters(first: u64) -> [__m512i; 2] {
            // SAFETY: as above.
            unsafe {
                let all = _mm512_add_epi64(
                    _mm512_set1_epi64(first as i64),
                    _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0),
                );
                [all, _mm512_srli_epi64(all, 32)]
            }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: as above.
            unsafe { _mm512_mul_epu32(a, b) }
        }
        #[inline(always)]
        unsafe fn mix(product: __m512i, x: __m512i, key: __m512i) -> __m512i {
            // SAFETY: as above.
            unsafe { _mm512_ternarylogic_epi32(_mm512_srli_epi64(product, 32), x, key, XOR) }
        }
        #[inline(always)]
        unsafe fn mix_last(product: __m512i, x: __m512i, key: __m512i) -> __m512i {
            // SAFETY: as above.
            unsafe { _mm512_mask_ternarylogic_epi32(_mm512_ror_epi64(product, 32), LOW, x, key, XOR) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut Block, [x, y]: [__m512i; 2]) {
            // SAFETY: as above; the caller owns eight blocks, which are two registers, at `to`.
            unsafe {
                let first = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
                let second = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
                _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi64(x, first, y));
                _mm512_storeu_si512(to.add(4).cast(), _mm512_permutex2var_epi64(x, second, y));
            }
        }
    }

    pub struct Avx2;

    impl Lanes for Avx2 {
        type V = __m256i;
        const BLOCKS: usize = 4;
        #[inline(always)]
        unsafe fn splat(x: u32) -> __m256i {
            // SAFETY: AVX2 was detected.
            unsafe { _mm256_set1_epi32(x as i32) }
        }
        #[inline(always)]
        unsafe fn counters(first: u64) -> [__m256i; 2] {
            // SAFETY: as above.
            unsafe {
                let all = _mm256_add_epi64(_mm256_set1_epi64x(first as i64), _mm256_set_epi64x(3, 2, 1, 0));
                [all, _mm256_srli_epi64(all, 32)]
            }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_mul_epu32(a, b) }
        }
        #[inline(always)]
        unsafe fn mix(product: __m256i, x: __m256i, key: __m256i) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_xor_si256(_mm256_srli_epi64(product, 32), _mm256_xor_si256(x, key)) }
        }
        #[inline(always)]
        unsafe fn mix_last(product: __m256i, x: __m256i, key: __m256i) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_blend_epi32(Self::mix(product, x, key), _mm256_slli_epi64(product, 32), 0xaa) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut Block, [x, y]: [__m256i; 2]) {
            // SAFETY: as above; the caller owns four blocks, which are two registers, at `to`.
            unsafe {
                let (even, odd) = (_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
                _mm256_storeu_si256(to.cast(), _mm256_permute2x128_si256(even, odd, 0x20));
                _mm256_storeu_si256(to.add(2).cast(), _mm256_permute2x128_si256(even, odd, 0x31));
            }
        }
    }
}

/// Writes blocks `first .. first + N · BLOCKS`.
///
/// # Safety
/// The instruction set of `S` was detected, and the caller owns as many blocks at `to`.
#[inline(always)]
unsafe fn vectors<S: Lanes, const N: usize>(
    name: [u32; 2],
    keys: &[[S::V; 2]; ROUNDS],
    first: u64,
    to: *mut Block,
) {
    // SAFETY: handed on from the caller.
    unsafe {
        let multipliers = MULTIPLIERS.map(|m| S::splat(m));
        let (mut c0, mut c1) = ([S::splat(0); N], [S::splat(0); N]);
        let (mut c2, mut c3) = ([S::splat(name[0]); N], [S::splat(name[1]); N]);
        for i in 0..N {
            [c0[i], c1[i]] = S::counters(first.wrapping_add((i * S::BLOCKS) as u64));
        }
        for key in &keys[..ROUNDS - 1] {
            for i in 0..N {
                let products = [S::multiply(c0[i], multipliers[0]), S::multiply(c2[i], multipliers[1])];
                c0[i] = S::mix(products[1], c1[i], key[0]);
                c2[i] = S::mix(products[0], c3[i], key[1]);
                c1[i] = products[1];
                c3[i] = products[0];
            }
        }
        let key = keys[ROUNDS - 1];
        for i in 0..N {
            let products = [S::multiply(c0[i], multipliers[0]), S::multiply(c2[i], multipliers[1])];
            let words = [S::mix_last(products[1], c1[i], key[0]), S::mix_last(products[0], c3[i], key[1])];
            S::store(to.add(i * S::BLOCKS), words);
        }
    }
}

/// # Safety
/// The instruction set of `S` was detected.
#[inline(always)]
unsafe fn run<S: Lanes>(of: Philox, first: u64, out: &mut [Block]) {
    // SAFETY: as vouched for; each piece of `out` is as long as what is written to it.
    unsafe {
        let keys: [[S::V; 2]; ROUNDS] = std::array::from_fn(|round| {
            let of_word = |w: usize| of.key[w].wrapping_add(KEY_STEPS[w].wrapping_mul(round as u32));
            [S::splat(of_word(0)), S::splat(of_word(1))]
        });
        let mut at = first;
        let mut wide = out.chunks_exact_mut(ABREAST * S::BLOCKS);
        for part in &mut wide {
            vectors::<S, ABREAST>(of.name, &keys, at, part.as_mut_ptr());
            at = at.wrapping_add(part.len() as u64);
        }
        for part in wide.into_remainder().chunks_mut(S::BLOCKS) {
            if part.len() == S::BLOCKS {
                vectors::<S, 1>(of.name, &keys, at, part.as_mut_ptr());
            } else {
                let mut whole = [[0; 4]; WIDEST];
                vectors::<S, 1>(of.name, &keys, at, whole.as_mut_ptr());
                part.copy_from_slice(&whole[..part.len()]);
            }
            at = at.wrapping_add(part.len() as u64);
        }
    }
}

/// Writes the blocks `first .. first + out.len()` (mod 2⁶⁴) of noise, the block's number being the first two numbers of the counter.
pub fn philox(of: Philox, first: u64, out: &mut [Block]) {
    dispatch!((of: Philox, first: u64, out: &mut [Block]) {
        // SAFETY: `dispatch!` detected what it needs.
        Avx512 => unsafe { run::<x86::Avx512>(of, first, out) },
        // SAFETY: as above.
        Avx2 => unsafe { run::<x86::Avx2>(of, first, out) },
        // SAFETY: as above.
        _ => unsafe { run::<Portable>(of, first, out) },
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::with_each_isa;

    /// As the paper writes it.
    fn plain(of: Philox, block: u64) -> Block {
        let mut c = [block as u32, (block >> 32) as u32, of.name[0], of.name[1]];
        let mut key = of.key;
        for _ in 0..ROUNDS {
            let product = |x: u32, m: u32| u64::from(x) * u64::from(m);
            let (p0, p1) = (product(c[0], MULTIPLIERS[0]), product(c[2], MULTIPLIERS[1]));
            c = [(p1 >> 32) as u32 ^ c[1] ^ key[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ key[1], p0 as u32];
            key = std::array::from_fn(|w| key[w].wrapping_add(KEY_STEPS[w]));
        }
        c
    }

    #[test]
    fn every_instruction_set_gives_the_words_of_the_paper() {
        let of = Philox { key: [0x1234_5678, 0xffff_fff0], name: [u32::MAX, 0x8000_0001] };
        with_each_isa(|isa| {
            for count in [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 71, 127] {
                // Counters that carry into the second number, and around.
                for first in [0, 0xffff_fffa, u64::MAX - 5] {
                    let mut found = vec![[7; 4]; count];
                    philox(of, first, &mut found);
                    let want: Vec<Block> =
                        (0..count as u64).map(|i| plain(of, first.wrapping_add(i))).collect();
                    assert_eq!(found, want, "{count} blocks from {first} on {isa:?}");
                }
            }
        });
    }
}
