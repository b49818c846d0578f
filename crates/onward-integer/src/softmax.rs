//! The softmax of integer logits, its loss in bits, and its credit: all of them exact up to one rounding.

use crate::fixed::{exp2, log2};

/// Fractions of a bit in one unit of a logit: a logit of 256 doubles a class's share.
pub const LOGIT: u32 = 256;

/// What a row of logits says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelLoss {
    /// Minus the binary logarithm of the label's share, in units of `2^-16` bits.
    pub loss: u64,
    /// Whether the label has the largest logit (of equal ones, the first).
    pub right: bool,
}

/// The loss of `logits` (units of `1/256` bit) at `label`, and in `credit` what would lower it: one-hot − share, in units of `2^-15`.
///
/// The loss is the cross-entropy to base 2, of which this is minus the derivative by each logit (up to `ln 2` and the unit), known without any probe.
pub fn judge(logits: &[i32], label: usize, credit: &mut [i16]) -> LabelLoss {
    let mut best = 0;
    for (i, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = i;
        }
    }
    let distance = |logit: i32| (i64::from(logits[best]) - i64::from(logit)) as u32;
    let sum: u64 = logits.iter().map(|logit| u64::from(exp2(distance(*logit)))).sum();
    // Shares by one division: the inverse has 47 bits after the point, a share 15.
    let inverse = (1u64 << 47) / sum;
    for (c, logit) in credit.iter_mut().zip(logits) {
        let share = (u64::from(exp2(distance(*logit))) * inverse + (1 << 31)) >> 32;
        *c = -(share.min(32767) as i16);
    }
    let own = &mut credit[label];
    *own = (32767 + i32::from(*own)) as i16;
    let loss = (u64::from(distance(logits[label])) << 8) + u64::from(log2(sum)) - (16 << 16);
    LabelLoss { loss, right: best == label }
}
