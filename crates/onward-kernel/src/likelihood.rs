//! Negative log-likelihoods of bits, and what becomes of them where one row of a sum of a table's rows is exchanged for another.

use crate::{exp, ln, multiversion};

/// Numbers that are worked on side by side.
const LANES: usize = 16;
/// Factors of at most 2 whose product is sure to be finite.
const FACTORS: usize = 64;
/// The largest exponent of a product of factors before it is taken apart.
const MOST: f32 = 80.0;
/// Factors before a product is taken apart, at most.
const AT_ONCE: usize = 64;

multiversion! {
/// `Σ ln(1 + eˣ) − t x`: the negative log-likelihood of bits `t` (or shares, in 0..=1) under log-odds `x`, in nats. Not finite where one of `x` is
/// none.
pub fn bits_entropy(x: &[f32], t: &[f32]) -> f32 {
    // ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|): one logarithm for the product of many.
    let mut sums = [0f32; LANES];
    for (x, t) in x.chunks(LANES * FACTORS).zip(t.chunks(LANES * FACTORS)) {
        let mut products = [1f32; LANES];
        for (x, t) in x.chunks(LANES).zip(t.chunks(LANES)) {
            // Log-odds of −200 cost nothing where the bit is 0.
            let (mut own, mut bits) = ([-200f32; LANES], [0f32; LANES]);
            own[..x.len()].copy_from_slice(x);
            bits[..t.len()].copy_from_slice(t);
            for i in 0..LANES {
                products[i] *= 1.0 + exp(-own[i].abs());
                sums[i] += own[i].max(0.0) - bits[i] * own[i];
            }
        }
        for i in 0..LANES {
            sums[i] += ln(products[i]);
        }
    }
    sums.iter().fold(0.0, |sum, own| sum + own)
}
}

multiversion! {
/// Uniform numbers above 0 and below 1 become Gumbel ones: `−ln(−ln u)`.
pub fn gumbel(u: &mut [f32]) {
    u.iter_mut().for_each(|u| *u = -ln(-ln(*u)));
}
}

multiversion! {
/// `Σ ln(left + u · raised)` for each row of `raised`, `left.len()` numbers long; numbers are parted into exponent and mantissa every
/// `at_once` factors.
fn logarithms_of_products(left: &[f32], u: &[f32], raised: &[f32], at_once: usize, out: &mut [f32]) {
    let width = left.len();
    for (pair, out) in out.chunks_mut(2).enumerate() {
        let first = &raised[2 * pair * width..][..width];
        // Two chains at once; a last one alone is worked out twice.
        let second = &raised[(2 * pair + out.len() - 1) * width..][..width];
        let mut products = [[1f32; LANES]; 2];
        let mut exponents = [[0i32; LANES]; 2];
        let step = at_once * LANES;
        for from in (0..width).step_by(step) {
            let to = (from + step).min(width);
            let stretch = left[from..to].chunks_exact(LANES).zip(u[from..to].chunks_exact(LANES));
            let both = first[from..to].chunks_exact(LANES).zip(second[from..to].chunks_exact(LANES));
            for ((left, u), (first, second)) in stretch.zip(both) {
                for i in 0..LANES {
                    products[0][i] *= u[i].mul_add(first[i], left[i]);
                    products[1][i] *= u[i].mul_add(second[i], left[i]);
                }
            }
            for (products, exponents) in products.iter_mut().zip(&mut exponents) {
                for i in 0..LANES {
                    let bits = products[i].to_bits();
                    exponents[i] += (bits >> 23) as i32 - 127;
                    products[i] = f32::from_bits(bits & 0x007f_ffff | 127 << 23);
                }
            }
        }
        for ((out, products), exponents) in out.iter_mut().zip(&products).zip(&exponents) {
            let mut logs = [0f32; LANES];
            for i in 0..LANES {
                logs[i] = (exponents[i] as f32).mul_add(std::f32::consts::LN_2, ln(products[i]));
            }
            *out = logs.iter().fold(0.0, |sum, own| sum + own);
        }
    }
}
}

/// A table whose rows are added up to log-odds of bits, ready to tell what exchanging one row of a sum for another does to the bits' negative
/// log-likelihood: `Σ ln(1 − p + p e^Δ)`, `p` being their probabilities and `Δ` the difference of the rows, is that without what is linear in `Δ`.
/// With `e^w` of all numbers known it takes two multiplications for each, and one logarithm for many.
pub struct Exchange {
    /// Numbers of a row, filled up to whole vectors.
    width: usize,
    raised: Vec<f32>,
    lowered: Vec<f32>,
    at_once: usize,
}

impl Exchange {
    /// Of rows of `width` numbers each; `None` where a number is so large that factors leave single precision, or not finite.
    pub fn new(table: &[f32], width: usize) -> Option<Self> {
        let largest = table.iter().fold(0f32, |largest, w| largest.max(w.abs()));
        if width == 0 || largest > MOST / 2.0 || table.iter().any(|w| w.is_nan()) {
            return None;
        }
        // A factor lies between e^(−2 largest) and e^(2 largest).
        let at_once = ((MOST / (2.0 * largest).max(0.01)) as usize).clamp(1, AT_ONCE);
        let filled = width.div_ceil(LANES) * LANES;
        let words = table.len() / width;
        let mut own = Self { width: filled, raised: vec![1.0; words * filled], lowered: Vec::new(), at_once };
        let rows = own.raised.chunks_exact_mut(filled).zip(table.chunks_exact(width));
        rows.for_each(|(own, row)| own.iter_mut().zip(row).for_each(|(own, w)| *own = exp(*w)));
        own.lowered = own.raised.iter().map(|v| 1.0 / v).collect();
        Some(own)
    }

    /// For bits with probabilities `p` by log-odds in which row `chosen` stands: what each of the rows `from..from + out.len()` instead of it makes
    /// of `Σ ln(1 − p + p e^Δ)`.
    pub fn instead(&self, p: &[f32], chosen: usize, from: usize, out: &mut [f32]) {
        let (mut left, mut u) = (vec![1f32; self.width], vec![0f32; self.width]);
        let lowered = &self.lowered[chosen * self.width..][..self.width];
        for ((left, u), (p, lowered)) in left.iter_mut().zip(&mut u).zip(p.iter().zip(lowered)) {
            *left = 1.0 - p;
            *u = p * lowered;
        }
        let rows = &self.raised[from * self.width..][..out.len() * self.width];
        logarithms_of_products(&left, &u, rows, self.at_once, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{numbers, sigmoid, softplus, with_each_isa};

    #[test]
    fn entropies_of_bits_are_those_of_single_ones() {
        for width in [1, 16, 17, 784, 1500] {
            let x: Vec<f32> = numbers(width, 3).iter().map(|v| v * 12.0).collect();
            let t: Vec<f32> = numbers(width, 4).iter().map(|v| f32::from(u8::from(*v > 0.2))).collect();
            let want: f64 = x.iter().zip(&t).map(|(x, t)| f64::from(softplus(*x)) - f64::from(t * x)).sum();
            let mut bits = None;
            with_each_isa(|isa| {
                let found = bits_entropy(&x, &t);
                assert!((f64::from(found) - want).abs() < 3e-6 * want.abs().max(1.0), "{found}, not {want}");
                assert_eq!(*bits.get_or_insert(found.to_bits()), found.to_bits(), "{isa:?}");
            });
        }
        assert!(bits_entropy(&[f32::NAN, 0.0], &[0.0, 0.0]).is_nan());
    }

    #[test]
    fn exchanged_rows_tell_the_difference() {
        for (width, size) in [(5, 0.1f32), (16, 1.0), (100, 3.0), (784, 6.0), (33, 30.0)] {
            let words = 7;
            let table: Vec<f32> = numbers(words * width, 5).iter().map(|v| v * size).collect();
            let x: Vec<f32> = numbers(width, 6).iter().map(|v| v * 4.0).collect();
            let p: Vec<f32> = x.iter().map(|x| sigmoid(*x)).collect();
            let exchange = Exchange::new(&table, width).unwrap();
            let mut first: Option<Vec<u32>> = None;
            with_each_isa(|isa| {
                let mut out = vec![0.0; 3];
                exchange.instead(&p, 2, 1, &mut out);
                for (j, found) in out.iter().enumerate() {
                    let moved =
                        |d: usize| f64::from(table[(1 + j) * width + d]) - f64::from(table[2 * width + d]);
                    let one = |d: usize| {
                        let p = 1.0 / (1.0 + (-f64::from(x[d])).exp());
                        (1.0 - p + p * moved(d).exp()).ln()
                    };
                    let want: f64 = (0..width).map(one).sum();
                    let near = (f64::from(*found) - want).abs() < 1e-5 * want.abs().max(10.0);
                    assert!(near, "{width} × {size}, row {j} on {isa:?}: {found}, not {want}");
                }
                let bits: Vec<u32> = out.iter().map(|v| v.to_bits()).collect();
                assert_eq!(*first.get_or_insert_with(|| bits.clone()), bits, "{isa:?}");
            });
        }
        assert!(Exchange::new(&[41.0], 1).is_none() && Exchange::new(&[f32::NAN, 1.0], 1).is_none());
    }
}
