//! How large the caches of this processor are, so that blocks stay where they are meant to.

use std::sync::atomic::{AtomicU32, Ordering};

/// What a processor that does not say is taken to have.
const USUAL: usize = 1 << 20;
/// What is believed of an answer: virtual machines report odd ones.
const BELIEVED: std::ops::RangeInclusive<usize> = 256 << 10..=4 << 20;

/// Kilobytes of the second-level cache once it was asked for, 0 before; as [`super::Isa::detect`], two threads that ask at once
/// find the same.
static SECOND_LEVEL: AtomicU32 = AtomicU32::new(0);

/// The bytes of the second-level cache that each core has. They decide how work is cut and never any number.
#[inline]
pub fn second_level() -> usize {
    match SECOND_LEVEL.load(Ordering::Relaxed) {
        0 => first(),
        kilobytes => (kilobytes as usize) << 10,
    }
}

/// Asks for all lines of `data` to be brought into the nearest cache: what is worked out until they are needed hides how long they take.
pub fn ask_for(data: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in data.chunks(16) {
        // SAFETY: every x86-64 has the instruction, and it never faults.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = data;
}

#[cold]
fn first() -> usize {
    let bytes = ask().unwrap_or(USUAL).clamp(*BELIEVED.start(), *BELIEVED.end());
    SECOND_LEVEL.store((bytes >> 10) as u32, Ordering::Relaxed);
    bytes
}

/// The leaf that lists caches, Intel's or AMD's: one sub-leaf for each cache, both written alike.
#[cfg(target_arch = "x86_64")]
fn ask() -> Option<usize> {
    if cfg!(miri) {
        return None;
    }
    // CPUID is `unsafe` in older versions of the standard library only.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 processor has CPUID; leaves are read only where it says that they exist.
    let leaf = |leaf, part| unsafe { std::arch::x86_64::__cpuid_count(leaf, part) };
    [(0, 4), (0x8000_0000, 0x8000_001d)].into_iter().find_map(|(last, list)| {
        let parts = if leaf(last, 0).eax >= list { 0..8 } else { 0..0 };
        parts.map(|part| leaf(list, part)).take_while(|cache| cache.eax & 31 != 0).find_map(|cache| {
            // Kinds 1 and 3 hold data; sizes are given less one.
            let (kind, level) = (cache.eax & 31, cache.eax >> 5 & 7);
            let [line, parts, ways] = [cache.ebx & 0xfff, cache.ebx >> 12 & 0x3ff, cache.ebx >> 22];
            let size = [line, parts, ways, cache.ecx].map(|n| n as usize + 1).iter().product();
            (level == 2 && kind != 2).then_some(size)
        })
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn ask() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_is_what_the_system_says() {
        assert!(BELIEVED.contains(&second_level()) && second_level() == second_level());
        let of = |cpu: usize| format!("/sys/devices/system/cpu/cpu{cpu}/cache/index2/size");
        let said: Vec<usize> = (0..1024)
            .map_while(|cpu| std::fs::read_to_string(of(cpu)).ok())
            .filter_map(|text| text.trim().trim_end_matches('K').parse().ok())
            .collect();
        if let (Some(asked), false) = (ask(), said.is_empty()) {
            assert!(said.contains(&(asked >> 10)), "{asked} bytes, not one of {said:?} KB");
        }
    }
}
