//! Integers that look random and are a pure function of what they are for.

/// 64 well-mixed bits for number `index` of `key` (the finaliser of SplitMix64; Steele, Lea and Flood 2014).
#[inline]
pub fn mixed(key: u64, index: u64) -> u64 {
    let mut z = (key ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Weight `index` of the tensor `key` before training: uniform from `-spread` to `spread`.
pub(crate) fn weight(key: u64, index: usize, spread: u8) -> i8 {
    let width = 2 * i64::from(spread) + 1;
    ((mixed(key, index as u64) % width as u64) as i64 - i64::from(spread)) as i8
}

/// The numbers from 0 to `count - 1` in an order that follows from `seed` and `pass`.
pub fn order(seed: u64, pass: u64, count: usize) -> Vec<usize> {
    let key = mixed(seed, pass);
    let mut all: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        all.swap(last, (mixed(key, last as u64) % (last as u64 + 1)) as usize);
    }
    all
}
