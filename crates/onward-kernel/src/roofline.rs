//! Loops that only multiply and add in registers: what the processor could do if nothing else had to be done.

use super::{Bf16Arithmetic, Isa, Precision};

/// Multiply-adds in flight at once: more than latency × units of any known processor.
const CHAINS: usize = 16;

/// Runs `rounds` rounds of independent multiply-adds on factors of the given type, with the best instructions that are there
/// for it, and returns how many operations that was (a multiply-add counts as two).
pub fn spin(precision: Precision, rounds: u64) -> u64 {
    // What is emulated has no instructions of its own, and chains of bf16 are f32's.
    let precision = match precision {
        Precision::Bf16(kind) if kind == Bf16Arithmetic::Chain || !kind.is_native() => Precision::F32,
        other => other,
    };
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if Isa::detect() == Isa::Amx
        && let Some(tiles) = super::amx::tiles()
    {
        match precision {
            Precision::Bf16(Bf16Arithmetic::Amx) => return tiles.spin_bf16(rounds),
            Precision::Int8 => return tiles.spin_int8(rounds),
            _ => {}
        }
    }
    #[cfg(target_arch = "x86_64")]
    {
        let loops: unsafe fn(u64) -> u64 = match (precision, Isa::detect()) {
            (_, Isa::Portable) => return portable(precision, rounds),
            (Precision::Int8, Isa::Avx2) => x86::int16_256,
            (_, Isa::Avx2) => x86::fma_256,
            (Precision::F32, _) => x86::fma_512,
            (Precision::Bf16(_), _) => x86::bf16_512,
            // What has no instructions of its own is computed as the next wider type.
            (Precision::Int8, Isa::Avx512) => x86::int16_512,
            (Precision::Int8, _) => x86::int8_512,
        };
        // SAFETY: each loop needs no more than the instruction set that was detected.
        unsafe { loops(rounds) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    portable(precision, rounds)
}

fn portable(precision: Precision, rounds: u64) -> u64 {
    if precision == Precision::Int8 {
        let (mut sums, a, b) = ([0i32; 4 * CHAINS], std::hint::black_box(1), std::hint::black_box(2));
        for _ in 0..rounds {
            sums.iter_mut().for_each(|s| *s = s.wrapping_add(a * b));
        }
        std::hint::black_box(sums);
    } else {
        let (mut sums, a, b) = ([0f32; 4 * CHAINS], std::hint::black_box(0.5), std::hint::black_box(0.25));
        for _ in 0..rounds {
            sums.iter_mut().for_each(|s| *s = f32::mul_add(a, b, *s));
        }
        std::hint::black_box(sums);
    }
    rounds * 8 * CHAINS as u64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::CHAINS;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    macro_rules! spin {
        ($name:ident, $features:literal, $vector:ty, $one:expr, $operations:literal, |$sum:ident, $a:ident, $b:ident| $step:expr) => {
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: u64) -> u64 {
                let ($a, $b) = (black_box($one), black_box($one));
                let mut sums: [$vector; CHAINS] = [$one; CHAINS];
                for _ in 0..rounds {
                    for sum in &mut sums {
                        let $sum = *sum;
                        *sum = $step;
                    }
                }
                black_box(sums);
                rounds * CHAINS as u64 * $operations
            }
        };
    }
    spin!(fma_512, "avx512f", __m512, _mm512_set1_ps(0.5), 32, |s, a, b| _mm512_fmadd_ps(a, b, s));
    spin!(int8_512, "avx512f,avx512vnni", __m512i, _mm512_set1_epi8(1), 128, |s, a, b| {
        _mm512_dpbusd_epi32(s, a, b)
    });
    spin!(int16_512, "avx512f,avx512bw", __m512i, _mm512_set1_epi16(1), 64, |s, a, b| {
        _mm512_add_epi32(s, _mm512_madd_epi16(a, b))
    });
    spin!(fma_256, "avx2,fma", __m256, _mm256_set1_ps(0.5), 16, |s, a, b| _mm256_fmadd_ps(a, b, s));
    spin!(int16_256, "avx2", __m256i, _mm256_set1_epi16(1), 32, |s, a, b| {
        _mm256_add_epi32(s, _mm256_madd_epi16(a, b))
    });

    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn bf16_512(rounds: u64) -> u64 {
        let halves = black_box(_mm512_set1_ps(0.5));
        let pairs = _mm512_cvtne2ps_pbh(halves, halves);
        let mut sums = [halves; CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, pairs, pairs);
            }
        }
        black_box(sums);
        rounds * CHAINS as u64 * 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted() {
        for precision in Precision::ALL {
            crate::with_each_isa(|_| assert_eq!(spin(precision, 6), 2 * spin(precision, 3)));
        }
    }
}
