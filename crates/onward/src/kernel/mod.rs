//! The arithmetic: products, convolutions, elementary functions. Everything here runs on one thread, on slices.
//!
//! Each number of a product is one chain of fused multiply-adds over `k` in ascending order, so its bits do not depend
//! on the instruction set, the tile shape, or how rows were split over threads.

#![allow(unsafe_code)]

pub mod amx;
mod bf16;
mod conv;
mod hadamard;
mod int8;
mod isa;
mod math;
mod matrix;
mod packed;
mod philox;
mod precision;
mod product;
mod roofline;
mod tile;
mod window;

pub use bf16::{Bf16Panels, Bf16Rows, from_bf16, product_bf16, round_to_bf16, to_bf16};
pub use conv::{Conv3, accumulate_conv_credit, by_remainder, conv3x3, conv3x3_hadamard, conv3x3_single};
pub use hadamard::{hadamard_products, hadamard_sign, plus_and_minus, walsh_hadamard};
pub use int8::{Int8Panels, Int8Rows, LONGEST_INT8, product_int8, product_int8_scaled, quantise};
pub use isa::Isa;
pub(crate) use isa::multiversion;
#[cfg(test)]
pub(crate) use isa::{with_each_isa, with_isa};
pub use math::{exp, gelu, ln, sin_cos_turn, tanh};
pub use matrix::{Filter, Matrix, Scratch};
pub use philox::{Block, Philox, philox};
pub use precision::Precision;
pub use product::{
    Panels, Start, add_outer, add_products, axpy, dot, normalise, product, relu, scale_and_shift,
    transposed_product,
};
pub use roofline::spin;
pub use window::Window;
