//! The arithmetic: products, convolutions, elementary functions. Everything here runs on one thread, on slices.
//!
//! Each number of an f32 product is one chain of fused multiply-adds over `k` in ascending order, so its bits do not depend
//! on the instruction set, the tile shape, or how rows were split over threads. Products of bytes are exact. Those of bf16
//! come in three kinds ([`Bf16Arithmetic`]), each with the same bits everywhere.

#![allow(unsafe_code)]

pub mod amx;
mod attention;
mod attention_credit;
mod bf16;
mod cache;
mod conv;
#[cfg(target_arch = "x86_64")]
mod conv_credit;
#[cfg(target_arch = "x86_64")]
mod conv_rows;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod conv_tiles;
mod double;
mod elements;
mod entropy;
mod epilogue;
mod few;
mod fire;
mod gather;
mod hadamard;
mod hadamard_scale;
mod int8;
mod isa;
mod laid;
mod lanes;
mod likelihood;
mod lines;
mod low_rank;
mod math;
mod matrix;
mod moments;
mod moved;
mod norm;
mod norm_credit;
mod packed;
mod philox;
mod pool;
mod precision;
mod product;
mod quantise;
mod roofline;
pub mod step;
mod tile;
mod transpose;
mod window;

pub use attention::{Attended, AttentionScratch, MOST_QUERIES, attend};
pub use attention_credit::{AttentionCredit, attend_credit};
pub(crate) use bf16::keep_bf16;
pub use bf16::{Bf16Panels, Bf16Rows, from_bf16, product_bf16, round_to_bf16, to_bf16};
pub use cache::{ask_for, second_level};
pub use conv::{Conv3, accumulate_conv_credit, by_remainder, conv3x3, conv3x3_hadamard, conv3x3_single};
pub use double::{exp64, ln64};
pub use elements::{add_binomial, add_normal, add_signs, normal_pair, round_by};
pub use entropy::{ENTROPY_ROWS, cross_entropy};
pub use epilogue::Epilogue;
pub use few::{FEW, product_few};
pub use fire::{fire, fire_credit};
pub use gather::{all_finite, all_zero, gather_rows};
pub use hadamard::{
    hadamard_products, hadamard_products_of_rows, hadamard_sign, plus_and_minus, walsh_hadamard,
};
pub use hadamard_scale::scaled_along;
pub(crate) use int8::product_int8_scaled;
pub use int8::{Int8Panels, Int8Rows, LONGEST_INT8, product_int8};
pub use isa::Isa;
#[cfg(test)]
pub(crate) use isa::with_each_isa;
pub(crate) use isa::{compiled_for, dispatch, multiversion};
pub use laid::{Laid, bytes_in, floats_in, from_f16, round_by_f16, to_f16};
pub use lanes::{Base, Lattice, MapMoments, SAMPLES, add_to_all, affine, chains, last_tap, side_by_side};
pub use likelihood::{Exchange, bits_entropy, gumbel};
pub use lines::Lines;
pub use low_rank::{Correction, add_bias, correct, dots};
pub use math::{cos, exp, gelu, ln, sigmoid, silu, sin, sin_cos_turn, softplus, tanh};
pub use matrix::{Filter, Matrix, Scratch};
pub use moments::second_moments;
pub use moved::Moved;
pub use norm::{add_moments, normalise_and_scale};
pub use norm_credit::{add_moments_along, without_moments};
pub use philox::{Block, Philox, philox};
pub use pool::{Pool, pool_lines};
pub use precision::{Bf16Arithmetic, Precision};
pub use product::{
    Panels, Start, add_outer, add_products, axpy, dot, gelu_erf, normalise, product, product_part, relu,
    scale_and_shift, shifted, transposed_product,
};
pub use quantise::quantise;
pub use roofline::spin;
pub use window::Window;

/// For tests: numbers that are neither all alike nor special, in -1..1.
#[cfg(test)]
pub(crate) fn numbers(n: usize, salt: u32) -> Vec<f32> {
    let word = |i: u32| (i.wrapping_mul(2_654_435_761) ^ salt).wrapping_mul(2_246_822_519) >> 8;
    (0..n as u32).map(|i| word(i) as f32 / 8_388_608.0 - 1.0).collect()
}

/// For tests: every pair of a height `m` and a width `n`, each with one of the lengths `k`; then every `k` with a low and a
/// high product. `check` is given the sizes, a salt for numbers and what the product starts from.
#[cfg(test)]
pub(crate) fn at_borders(m: &[usize], n: &[usize], k: &[usize], check: impl Fn([usize; 3], u32, Start)) {
    for (i, m) in m.iter().enumerate() {
        for (j, n) in n.iter().enumerate() {
            let start = if (i + j) % 2 == 0 { Start::Zero } else { Start::Add };
            check([*m, *n, k[(i * 5 + j * 3) % k.len()]], (i * 100 + j) as u32, start);
        }
    }
    for k in k {
        check([3, 129, *k], 7, Start::Zero);
        check([29, 33, *k], 8, Start::Add);
    }
}
