//! Words of noise made elements, and added.

use crate::{dispatch, ln, multiversion, sin_cos_turn};

multiversion! {
/// Rounds each value to one of its two neighbours in bf16, up with the chance that 16 bits of `words` decide: the low half of a
/// word for even places, the high half for odd ones. What is not finite stays, nothing finite becomes infinite.
pub fn round_by(words: &[u32], values: &mut [f32]) {
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
/// Adds signs to numbers; element `e`: bit `e % 32` of word `e / 32 % 4` of block `e / 128`; a one is -1.
pub fn add_signs(words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
    let scale = scale.to_bits();
    by_few::<1, 32>(words, inside, out, |[word], out| {
        for (bit, o) in out.iter_mut().enumerate() {
            // A constant's distance, not a variable one's, is what vectorises: bit `bit` goes where the sign is.
            *o += f32::from_bits(scale ^ ((word << (31 - bit)) & 0x8000_0000));
        }
    });
}
}

/// Adds binomial numbers; element `e`: ones among the low (even `e`) or high (odd `e`) half of word `e / 2 % 4` of block `e / 8`, less 8.
pub fn add_binomial(words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
    dispatch!((words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
        Avx512Bf16 => {
            let head = out.len().min(inside.next_multiple_of(HALVES) - inside);
            let (first, rest) = out.split_at_mut(head);
            binomial(words, inside, scale, first);
            let from = inside + head;
            let (whole, last) = rest.as_chunks_mut::<HALVES>();
            let words_of = |i: usize| (from / 2 + i * HALVES / 2).min(words.len());
            for (i, out) in whole.iter_mut().enumerate() {
                // SAFETY: `dispatch!` detected what it needs; that there are as many words was asked for by the slice.
                unsafe { count_halves(words[words_of(i)..][..HALVES / 2].as_ptr(), scale, out) }
            }
            binomial(&words[words_of(whole.len())..], 0, scale, last);
        },
        Avx512 => binomial(words, inside, scale, out),
        Avx2 => binomial(words, inside, scale, out),
        _ => binomial(words, inside, scale, out),
    });
}

#[inline(always)]
fn binomial(words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
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

/// Halves of words that a vector holds.
const HALVES: usize = 32;

/// The same by an instruction that counts the ones of each half.
///
/// # Safety
/// The caller has sixteen words at `words`, and detected AVX-512 with BW and BITALG.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bitalg")]
#[inline]
unsafe fn count_halves(words: *const u32, scale: f32, out: &mut [f32; HALVES]) {
    use std::arch::x86_64::*;
    // SAFETY: the caller vouches for the words; `out` is two vectors.
    unsafe {
        let counts = _mm512_popcnt_epi16(_mm512_loadu_si512(words.cast()));
        let counts = _mm512_sub_epi16(counts, _mm512_set1_epi16(8));
        let halves = [_mm512_castsi512_si256(counts), _mm512_extracti64x4_epi64::<1>(counts)];
        for (i, half) in halves.into_iter().enumerate() {
            let (counts, to) =
                (_mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(half)), out.as_mut_ptr().add(16 * i));
            _mm512_storeu_ps(to, _mm512_fmadd_ps(counts, _mm512_set1_ps(scale), _mm512_loadu_ps(to)));
        }
    }
}

/// Two normal numbers from two words.
#[inline(always)]
pub fn normal_pair(distance: u32, angle: u32) -> (f32, f32) {
    // In (0, 1]: never zero, so the radius is at most √(64 ln 2) ≈ 6.66.
    let u = (distance as f32 + 1.0) * (1.0 / 4_294_967_296.0);
    let square = -2.0 * ln(u);
    // Not `max`, which may answer either zero for -0 and 0; before the root, so that the root need not wait for a branch.
    let radius = (if square > 0.0 { square } else { 0.0 }).sqrt();
    let (sin, cos) = sin_cos_turn(angle);
    (radius * sin, radius * cos)
}

multiversion! {
/// Adds normal numbers; elements `4b + {0, 1}` are the sine and cosine halves from words 0 and 1 of block `b`, `4b + {2, 3}` from words 2 and 3.
pub fn add_normal(words: &[u32], inside: usize, scale: f32, out: &mut [f32]) {
    by_few::<2, 2>(words, inside, out, |[distance, angle], [first, second]| {
        let (sine, cosine) = normal_pair(*distance, *angle);
        *first = sine.mul_add(scale, *first);
        *second = cosine.mul_add(scale, *second);
    });
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, with_each_isa};

    /// A function that makes elements of words, and how many elements a word gives.
    type Add = (fn(&[u32], usize, f32, &mut [f32]), usize);

    #[test]
    fn elements_have_the_same_bits_on_every_instruction_set() {
        let words: Vec<u32> = (0..200u32).map(|i| i.wrapping_mul(2_654_435_761) ^ 0x9e37_79b9).collect();
        let all: [Add; 3] = [(add_signs, 32), (add_binomial, 2), (add_normal, 1)];
        for (add, per_word) in all {
            for inside in [0, 1, 3, 2 * per_word + 1] {
                let before = numbers(words.len() * per_word - inside - 5, 3);
                let mut want: Option<Vec<u32>> = None;
                with_each_isa(|isa| {
                    let mut out = before.clone();
                    add(&words, inside, 0.012_345_679, &mut out);
                    let bits: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
                    let want = want.get_or_insert_with(|| bits.clone());
                    assert_eq!(*want, bits, "{per_word} a word from {inside} on {isa:?}");
                });
            }
        }
    }

    #[test]
    fn rounding_has_the_same_bits_on_every_instruction_set() {
        let words: Vec<u32> = (0..200u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let before = numbers(399, 7);
        let mut want: Option<Vec<f32>> = None;
        with_each_isa(|isa| {
            let mut values = before.clone();
            round_by(&words, &mut values);
            let want = want.get_or_insert_with(|| values.clone());
            assert_eq!(*want, values, "{isa:?}");
        });
    }
}
