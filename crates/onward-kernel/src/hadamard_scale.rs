//! Numbers with the signs of one row of a Hadamard matrix.

use super::multiversion;

multiversion! {
/// `out[i] = size[i] · signs[i] · H[k, columns[i]]` ([`super::hadamard_sign`]): the last factor is a flipped sign or none, and is
/// found for many numbers at once.
pub fn scaled_along(k: u32, size: &[f32], signs: &[f32], columns: &[u32], out: &mut [f32]) {
    for (((o, x), s), column) in out.iter_mut().zip(size).zip(signs).zip(columns) {
        // The parity of the ones that both have, by folding halves: not every processor counts ones in vectors.
        let mut shared = k & column;
        for half in [16, 8, 4, 2, 1] {
            shared ^= shared >> half;
        }
        *o = f32::from_bits((x * s).to_bits() ^ (shared << 31));
    }
}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hadamard_sign, numbers, with_each_isa};

    #[test]
    fn signs_are_those_of_the_matrix() {
        let (size, mut signs) = (numbers(1003, 1), numbers(1003, 2));
        signs.iter_mut().enumerate().for_each(|(i, s)| *s = if i % 7 == 0 { 0.0 } else { s.signum() });
        let columns: Vec<u32> = (0..1003u32).map(|i| i.wrapping_mul(2_654_435_761) >> (i % 32)).collect();
        for k in [0, 1, 5, 127, 0x8000_0001, u32::MAX] {
            with_each_isa(|isa| {
                let mut out = vec![f32::NAN; 1003];
                scaled_along(k, &size, &signs, &columns, &mut out);
                for (i, found) in out.iter().enumerate() {
                    let want = size[i] * signs[i] * hadamard_sign(k as usize, columns[i] as usize);
                    assert_eq!(found.to_bits(), want.to_bits(), "{k}, {i} on {isa:?}");
                }
            });
        }
    }
}
