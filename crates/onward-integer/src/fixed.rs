//! Numbers with a fixed point: rounding shifts, narrowing that saturates and is counted, `exp2` and `log2`.

/// How many numbers did not fit and were held at the end of their range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saturated {
    /// Activations and states.
    pub activations: u64,
    /// Credits and influences.
    pub credits: u64,
    /// Sums of evidence.
    pub sums: u64,
    /// Weights that should have moved beyond ±127.
    pub weights: u64,
}

impl Saturated {
    /// How many there are in all.
    pub fn all(&self) -> u64 {
        self.activations + self.credits + self.sums + self.weights
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        self.activations += other.activations;
        self.credits += other.credits;
        self.sums += other.sums;
        self.weights += other.weights;
    }
}

/// `value / 2^shift`, rounded to the nearest integer, halves upwards.
#[inline]
pub fn shifted(value: i64, shift: u32) -> i64 {
    (value + ((1 << shift) >> 1)) >> shift
}

/// `value` as a credit of 16 bits.
#[inline]
pub(crate) fn credit(value: i64, counts: &mut Saturated) -> i16 {
    let held = value.clamp(-32767, 32767);
    counts.credits += u64::from(held != value);
    held as i16
}

/// `2^(-k/256)` in units of `2^-16` for `k` from 0 to 255.
pub const EXP2: [u32; 256] = exp2_table();

const fn exp2_table() -> [u32; 256] {
    // 2^(-1/2), 2^(-1/4), … 2^(-1/256) in units of 2^-31: each the root of the one before.
    let (mut roots, mut last, mut i) = ([0u64; 8], 1u64 << 30, 0);
    while i < 8 {
        last = root(last << 31);
        roots[7 - i] = last;
        i += 1;
    }
    let (mut table, mut k) = ([0u32; 256], 0);
    while k < 256 {
        let (mut value, mut bit) = (1u64 << 31, 0);
        while bit < 8 {
            if k >> bit & 1 == 1 {
                value = (value * roots[bit] + (1 << 30)) >> 31;
            }
            bit += 1;
        }
        table[k] = ((value + (1 << 14)) >> 15) as u32;
        k += 1;
    }
    table
}

/// The integer part of a square root.
const fn root(of: u64) -> u64 {
    let (mut low, mut high) = (0u64, 1u64 << 32);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if middle * middle <= of {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// `2^-(distance/256)` in units of `2^-16`; 0 from a distance of 32 halvings on.
#[inline]
pub fn exp2(distance: u32) -> u32 {
    let halvings = distance >> 8;
    if halvings > 31 { 0 } else { EXP2[(distance & 255) as usize] >> halvings }
}

/// The binary logarithm of `value` (at least 1) in units of `2^-16`, rounded down.
pub fn log2(value: u64) -> u32 {
    let whole = 63 - value.max(1).leading_zeros();
    // A mantissa from 1 to 2 in units of 2^-31; squared, each bit of the logarithm comes out in turn.
    let mut mantissa = if whole > 31 { value >> (whole - 31) } else { value.max(1) << (31 - whole) };
    let mut log = whole;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        let bit = mantissa >> 32;
        mantissa >>= bit;
        log = log << 1 | bit as u32;
    }
    log
}
