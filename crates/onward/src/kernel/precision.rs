//! The types that products are computed in.

use serde::{Deserialize, Serialize};

/// The arithmetic of a forward pass. Params and everything between products stay `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision: the same bits on every processor.
    #[default]
    F32,
    /// Factors rounded to bfloat16 (8 bits of precision), sums in single precision: the same bits for any number of
    /// threads, but not on every kind of processor.
    Bf16,
    /// Factors rounded to 8-bit integers with one scale per output channel (weights) and per row (activations), sums in
    /// 32-bit integers: the same bits on every processor.
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// The name in specs.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Bytes of one factor.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }
}
