//! Products of bf16 and int8 matrices on Intel's tile unit (AMX), through `asm!`.
//!
//! Eight tile registers hold 16 rows of 64 bytes each. One instruction adds the product of a left tile (16 rows of 32 bf16
//! or 64 int8) and a right tile (the same 64 bytes of `k`, four at a time, for 16 columns) to a tile of 16 × 16 sums. The
//! kernel holds 2 × 2 tiles of sums (32 rows × 32 columns), or 1 × 4 where there are at most 16 rows; rows and columns
//! that do not fill a tile are left out of the tile configuration, so nothing outside the matrices is read or written.
//!
//! What a product is, to the bit: int8 sums are exact (modulo 2³²). A bf16 sum is that of [`super::Bf16Arithmetic::Amx`], of
//! 32 numbers of `k` at a time. Neither the tile shape, nor the blocks, nor which thread takes which rows or columns enters
//! into this.
//!
//! The tests run everywhere on x86-64 Linux: where the processor has no tiles, the instructions trap, and a handler
//! carries them out in software. On a processor with tiles, where they ran too, they ask for the same bits of the unit
//! itself, for numbers of any size.

use std::fmt;
use std::sync::atomic::{AtomicI32, Ordering};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod conv;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod out;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod product;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod spin;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tile;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use conv::{Convolution, Step};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use product::{Job, Sums, Tiles};

/// The tile unit for a product that [`super::Isa::detect`] sends there; in tests the emulated one where there is none.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) fn tiles() -> Option<Tiles> {
    #[cfg(test)]
    return Some(Tiles::real_or_emulated());
    #[cfg(not(test))]
    Tiles::detect()
}

/// Whether this process may use the tile unit, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Tiles with bf16 and int8 products may be used.
    Usable,
    /// The processor lacks tiles, bf16 products or int8 products, or this is no x86-64 Linux.
    Absent,
    /// The processor has them; the operating system does not save their state.
    NotEnabled,
    /// The operating system refused this process, with this error number.
    NotPermitted(i32),
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable => f.write_str("AMX usable"),
            Self::Absent => f.write_str("AMX absent"),
            Self::NotEnabled => {
                f.write_str("AMX present but not permitted: the operating system has not enabled it")
            }
            Self::NotPermitted(errno) => {
                write!(f, "AMX present but not permitted: {}", std::io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

/// The answer of [`ask`], kept as the standard library keeps those of its own feature tests: it is the same for the whole
/// process and asking takes a system call. Zero until it was asked; two threads that ask at once get the same answer.
static ANSWER: AtomicI32 = AtomicI32::new(UNKNOWN);
const UNKNOWN: i32 = 0;
const USABLE: i32 = -1;
const ABSENT: i32 = -2;
const NOT_ENABLED: i32 = -3;

/// Whether the tile unit may be used. The first call asks the operating system for the permission.
pub fn availability() -> Availability {
    match ANSWER.load(Ordering::Relaxed) {
        UNKNOWN => {
            let answer = ask();
            let kept = match answer {
                Availability::Usable => USABLE,
                Availability::Absent => ABSENT,
                Availability::NotEnabled => NOT_ENABLED,
                Availability::NotPermitted(errno) => errno,
            };
            ANSWER.store(kept, Ordering::Relaxed);
            answer
        }
        USABLE => Availability::Usable,
        ABSENT => Availability::Absent,
        NOT_ENABLED => Availability::NotEnabled,
        errno => Availability::NotPermitted(errno),
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn ask() -> Availability {
    if cfg!(miri) {
        return Availability::Absent; // it interprets no `asm!`
    }
    /// CPUID leaf 7, EDX: bf16 products, tiles, int8 products.
    const FEATURES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// CPUID leaf 1, ECX: XGETBV may be used.
    const OSXSAVE: u32 = 1 << 27;
    /// XCR0: the configuration and the contents of tiles are saved.
    const STATE: u64 = 1 << 17 | 1 << 18;
    // CPUID is `unsafe` in older versions of the standard library only.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 processor has CPUID; leaf 7 is read only where leaf 0 says that it exists.
    let (leaf1, leaf7) = unsafe {
        use std::arch::x86_64::{__cpuid, __cpuid_count};
        (__cpuid(1).ecx, if __cpuid(0).eax >= 7 { __cpuid_count(7, 0).edx } else { 0 })
    };
    if leaf7 & FEATURES != FEATURES {
        return Availability::Absent;
    }
    // SAFETY: XGETBV is run only where CPUID says that the operating system turned it on.
    if leaf1 & OSXSAVE == 0 || unsafe { tile::xcr0() } & STATE != STATE {
        return Availability::NotEnabled;
    }
    match tile::request_permission() {
        0 => Availability::Usable,
        errno => Availability::NotPermitted(errno),
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
fn ask() -> Availability {
    Availability::Absent
}

#[cfg(all(test, target_arch = "x86_64", target_os = "linux", not(miri)))]
mod emulator;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux", not(miri)))]
mod tests;
