//! The types that products are computed in.

use super::Isa;

/// The arithmetic of a forward pass. Params and everything between products stay `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision: the same bits on every processor.
    #[default]
    F32,
    /// Factors rounded to bfloat16 (8 bits of precision), sums in single precision: the same bits on every processor too, but
    /// each of the three kinds has its own.
    Bf16(Bf16Arithmetic),
    /// Factors rounded to 8-bit integers with one scale per output channel (weights) and per row (activations), sums in
    /// 32-bit integers: the same bits on every processor.
    Int8,
}

impl Precision {
    /// All arithmetics.
    pub const ALL: [Self; 5] = [
        Self::F32,
        Self::Bf16(Bf16Arithmetic::Chain),
        Self::Bf16(Bf16Arithmetic::Avx512Bf16),
        Self::Bf16(Bf16Arithmetic::Amx),
        Self::Int8,
    ];

    /// The arithmetic bf16 in the kind that this machine is fastest in.
    pub fn bf16() -> Self {
        Self::Bf16(Bf16Arithmetic::fastest())
    }

    /// The precision's name in specs, which leave the kind of bf16 to the machine.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16(_) => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The precision's name in ledgers: two precisions of one name give the same bits.
    pub fn arithmetic(self) -> &'static str {
        match self {
            Self::Bf16(Bf16Arithmetic::Chain) => "bf16-chain",
            Self::Bf16(Bf16Arithmetic::Avx512Bf16) => "bf16-avx512",
            Self::Bf16(Bf16Arithmetic::Amx) => "bf16-amx",
            Self::F32 | Self::Int8 => self.name(),
        }
    }

    /// The precision whose [`Precision::arithmetic`] has this name.
    pub fn of_arithmetic(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.arithmetic() == name)
    }

    /// Whether this process works the precision out by other instructions than it was made for: slowly, to the same bits.
    pub fn is_emulated(self) -> bool {
        matches!(self, Self::Bf16(kind) if !kind.is_native())
    }

    /// The bytes of one factor of a product.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16(_) => 2,
            Self::Int8 => 1,
        }
    }
}

/// The order in which a product of bf16 adds, and where it rounds. The sums of all kinds are f32, rounded to nearest even; a
/// product of two bf16 is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bf16Arithmetic {
    /// A chain of fused multiply-adds in ascending `k`: what f32 does with factors that were rounded to bf16.
    Chain,
    /// What AVX-512's `vdpbf16ps` does: a chain of fused multiply-adds over pairs of `k`, of each pair the second number first;
    /// subnormal numbers are zero on the way in and out.
    Avx512Bf16,
    /// What AMX's `tdpbf16ps` does: of each 32 numbers of `k`, one chain of fused multiply-adds over those with even places and
    /// one over the others, both from zero; the two are added, and that is added to the sum so far. Subnormal numbers are
    /// zero on the way in and out of each of these.
    Amx,
}

impl Bf16Arithmetic {
    /// The kind that this machine is fastest in. Intel's processors take two cycles for an AVX-512 vector of pairs, in which they
    /// do four of f32; AMD's take as long for it as for one of f32.
    pub fn fastest() -> Self {
        match Isa::detect() {
            Isa::Amx => Self::Amx,
            Isa::Avx512Bf16 if !super::isa::is_intel() => Self::Avx512Bf16,
            _ => Self::Chain,
        }
    }

    /// Whether this process has instructions for this kind.
    pub fn is_native(self) -> bool {
        match self {
            Self::Chain => true,
            Self::Avx512Bf16 => Isa::detect() >= Isa::Avx512Bf16,
            Self::Amx => Isa::detect() >= Isa::Amx,
        }
    }
}

impl std::fmt::Display for Bf16Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Chain => "chains of fused multiply-adds",
            Self::Avx512Bf16 => "AVX-512's products of bf16 pairs",
            Self::Amx => "AMX's products of bf16 tiles",
        })
    }
}
