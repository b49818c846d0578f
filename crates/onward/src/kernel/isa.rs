//! One binary for every machine: loops are compiled once per instruction set and chosen at run time.

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
    /// With BF16 as well: products of bf16 pairs.
    Avx512Bf16,
}

impl Isa {
    /// The best one that this processor runs (the answer is cached by the standard library).
    #[inline]
    pub fn detect() -> Self {
        #[cfg(test)]
        if let Some(isa) = FORCED.get() {
            return isa;
        }
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
        match (is_x86_feature_detected!("avx512vnni"), is_x86_feature_detected!("avx512bf16")) {
            (true, true) => Self::Avx512Bf16,
            (true, false) => Self::Avx512Vnni,
            (false, _) => Self::Avx512,
        }
    }
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

/// Runs `f` once for each instruction set that this processor has, the best first.
#[cfg(test)]
pub(crate) fn with_each_isa(mut f: impl FnMut(Isa)) {
    let best = Isa::detect();
    let all = [Isa::Avx512Bf16, Isa::Avx512Vnni, Isa::Avx512, Isa::Avx2, Isa::Portable];
    for isa in all.into_iter().filter(|isa| *isa <= best) {
        FORCED.set(Some(isa));
        f(isa);
        FORCED.set(None);
    }
}

/// Compiles a function of slices and numbers once per instruction set and dispatches on [`Isa::detect`].
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::too_many_arguments)]
            #[inline(always)]
            fn portable($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[allow(clippy::too_many_arguments)]
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? { portable($($arg),*) }
                #[allow(clippy::too_many_arguments)]
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? { portable($($arg),*) }
                match $crate::kernel::Isa::detect() {
                    $crate::kernel::Isa::Portable => {}
                    // SAFETY: the features were just detected on this processor.
                    $crate::kernel::Isa::Avx2 => return unsafe { avx2($($arg),*) },
                    // SAFETY: as above; every other one has AVX-512.
                    _ => return unsafe { avx512($($arg),*) },
                }
            }
            portable($($arg),*)
        }
    };
}
pub(crate) use multiversion;
