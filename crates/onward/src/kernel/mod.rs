//! The arithmetic: products, convolutions, elementary functions. Everything here runs on one thread, on slices.
//!
//! Each number of a product is one chain of fused multiply-adds over `k` in ascending order, so its bits do not depend
//! on the instruction set, the tile shape, or how rows were split over threads.

#![allow(unsafe_code)]

mod conv;
mod double;
mod isa;
mod math;
mod product;

pub use conv::{Conv3, accumulate_conv_credit, conv3x3, conv3x3_single};
pub use double::{exp64, ln64};
pub use isa::Isa;
pub(crate) use isa::multiversion;
#[cfg(test)]
pub(crate) use isa::with_each_isa;
pub use math::{exp, gelu, ln, sin_cos_turn, tanh};
pub use product::{
    Panels, Start, add_outer, add_products, axpy, dot, normalise, product, relu, scale_and_shift, shifted,
    transposed_product,
};
