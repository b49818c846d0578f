//! One binary for every machine: loops are compiled once per instruction set and chosen at run time.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// The instruction sets that loops are compiled for; a later one has all that the earlier ones have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the target always has. Fused multiply-adds may be emulated: slow, with the same bits.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
    /// With VNNI: products of bytes.
    Avx512Vnni,
    /// With BF16 and BITALG as well: products of bf16 pairs, ones counted. (The one processor that has the first without the second
    /// goes without both.)
    Avx512Bf16,
    /// With AMX as well: products of tiles of bytes and of bf16.
    Amx,
}

/// The best instruction set for this process, once it was asked for: its number in [`Isa::ALL`] and 1. Like the standard
/// library's own answers it never changes; two threads that ask at once find the same.
static BEST: AtomicU8 = AtomicU8::new(0);

impl Isa {
    /// All instruction sets, in order.
    pub const ALL: [Self; 6] =
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Vnni, Self::Avx512Bf16, Self::Amx];

    /// The environment variable that names the best instruction set to use where the processor has better ones: for tests
    /// and benchmarks of the slower paths. Names that [`Isa::named`] does not know limit nothing.
    pub const LIMIT: &str = "ONWARD_ISA";

    /// The name of the instruction set, as [`Isa::LIMIT`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512-vnni",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
        }
    }

    /// The instruction set of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// The best instruction set that this processor runs, or what [`Isa::LIMIT`] limits it to; the answer is kept.
    #[inline]
    pub fn detect() -> Self {
        #[cfg(test)]
        if let Some(isa) = FORCED.get() {
            return isa;
        }
        match BEST.load(Ordering::Relaxed) {
            0 => Self::first(),
            n => Self::ALL[usize::from(n) - 1],
        }
    }

    #[cold]
    fn first() -> Self {
        let limit = std::env::var(Self::LIMIT).ok().and_then(|name| Self::named(&name));
        let best = Self::available().min(limit.unwrap_or(Self::Amx));
        BEST.store(best as u8 + 1, Ordering::Relaxed);
        best
    }

    /// The best instruction set that this processor runs.
    pub fn available() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("fma")
            {
                return Self::best_avx512();
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    #[cfg(target_arch = "x86_64")]
    fn best_avx512() -> Self {
        let both = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bitalg");
        match (is_x86_feature_detected!("avx512vnni"), both) {
            (true, true) if super::amx::availability() == super::amx::Availability::Usable => Self::Amx,
            (true, true) => Self::Avx512Bf16,
            (true, false) => Self::Avx512Vnni,
            (false, _) => Self::Avx512,
        }
    }
}

/// Whether Intel made the processor.
pub(super) fn is_intel() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // CPUID is `unsafe` in older versions of the standard library only.
        #[allow(unused_unsafe)]
        // SAFETY: every x86-64 processor has CPUID.
        let leaf = unsafe { std::arch::x86_64::__cpuid(0) };
        [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "no vector instructions in particular",
            Self::Avx2 => "AVX2 and FMA",
            Self::Avx512 => "AVX-512",
            Self::Avx512Vnni => "AVX-512 with VNNI",
            Self::Avx512Bf16 => "AVX-512 with VNNI and BF16",
            Self::Amx => "AMX, and AVX-512 with VNNI and BF16",
        })
    }
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

/// Runs `f` once for each instruction set that this processor has, the best first; tiles are emulated where all else is there.
#[cfg(test)]
pub(crate) fn with_each_isa(mut f: impl FnMut(Isa)) {
    let best = Isa::detect();
    let best = if best == Isa::Avx512Bf16 { Isa::Amx } else { best };
    for isa in Isa::ALL.into_iter().rev().filter(|isa| *isa <= best) {
        with_isa(isa, &mut f);
    }
}

/// Runs `f` as if `isa` were the best instruction set.
#[cfg(test)]
pub(crate) fn with_isa(isa: Isa, mut f: impl FnMut(Isa)) {
    FORCED.set(Some(isa));
    f(isa);
    FORCED.set(None);
}

/// Compiles a function with the features of an instruction set, named as in [`Isa`].
macro_rules! compiled_for {
    (Avx2 $($function:tt)*) => { #[target_feature(enable = "avx2,fma")] $($function)* };
    (Avx512 $($function:tt)*) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")] $($function)*
    };
    (Avx512Vnni $($function:tt)*) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")] $($function)*
    };
    (Avx512Bf16 $($function:tt)*) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx512bitalg,avx2,fma")] $($function)*
    };
}
pub(crate) use compiled_for;

/// The value of the first of some expressions whose instruction set [`Isa::detect`] allows, each compiled with that set's features;
/// the last, for any processor, is compiled as it stands. All that they name of what is around them stands before them, with
/// its type, and then the type of the value if it has one: `dispatch!((x: &[f32]; f32) { Avx2 => …, _ => … })`.
macro_rules! dispatch {
    ($around:tt { $($isa:ident => $run:expr,)* _ => $portable:expr $(,)? }) => {
        'found: {
            #[cfg(target_arch = "x86_64")]
            {
                let isa = $crate::Isa::detect();
                $(if isa >= $crate::Isa::$isa {
                    break 'found $crate::dispatch!(@$isa $run, $around);
                })*
            }
            $portable
        }
    };
    (@$isa:ident $run:expr, ($($arg:ident: $ty:ty),* $(; $ret:ty)?)) => {{
        $crate::compiled_for! { $isa
            #[allow(clippy::too_many_arguments)]
            fn compiled($($arg: $ty),*) $(-> $ret)? { $run }
        }
        // SAFETY: the features were just detected on this processor.
        unsafe { compiled($($arg),*) }
    }};
}
pub(crate) use dispatch;

/// Compiles a function of slices and numbers once per instruction set and dispatches on [`Isa::detect`].
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::too_many_arguments)]
            #[inline(always)]
            fn portable($($arg: $ty),*) $(-> $ret)? $body
            $crate::dispatch!(($($arg: $ty),* $(; $ret)?) {
                Avx512 => portable($($arg),*),
                Avx2 => portable($($arg),*),
                _ => portable($($arg),*),
            })
        }
    };
}
pub(crate) use multiversion;
