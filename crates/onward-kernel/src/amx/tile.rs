//! The instructions: permission, configuration, and one block of tiles from its first load to its last store.

use super::conv::Step;
use std::arch::asm;

/// Bytes of one row of a tile: what one step takes of each row of the left side.
pub(super) const ROW: usize = 64;
/// Rows of a full tile.
pub(super) const ROWS: usize = 16;
/// Columns of a full tile of sums, four bytes each.
pub(super) const COLUMNS: usize = 16;

/// Which states the operating system saves (XCR0).
///
/// # Safety
/// The operating system turned XGETBV on (CPUID leaf 1, ECX bit 27).
pub(super) unsafe fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: handed on from the caller; the instruction touches nothing else.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Asks for the process's permission to use tiles: 0, or the error number.
pub(super) fn request_permission() -> i32 {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    let result: i64;
    // SAFETY: this request reads and writes no memory of the process; the kernel keeps all registers but these.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    // The kernel's convention: minus the error number, which is below 4096.
    (-result) as i32
}

/// Which parts of the tile registers exist. A number is zero where the tile is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Up to two tiles of rows by up to two tiles of columns: sums in registers 0–3 (row by row), left tiles in 4 and 5,
    /// right tiles in 6 and 7.
    Square {
        /// Rows of the upper and the lower tiles.
        rows: [usize; 2],
        /// Columns of the left and the right tiles.
        columns: [usize; 2],
    },
    /// Up to two tiles of rows by one of sixteen columns: sums in registers 0 and 1, left tiles in 4 and 5, the right tile in 6.
    Pixels {
        /// Rows of the upper and the lower tiles.
        rows: [usize; 2],
        /// Bytes of `k` in a step.
        bytes: usize,
    },
    /// One tile of rows by four of columns: sums in registers 0–3, the left tile in 4, right tiles in 5–7.
    Strip {
        /// Rows of the tiles.
        rows: usize,
    },
}

impl Shape {
    /// A number of its own for each shape, made in registers: two shapes in memory, just written by halves, could only be compared
    /// once all earlier stores are in the cache.
    #[inline(always)]
    fn key(self) -> u64 {
        match self {
            Self::Square { rows: [upper, lower], columns: [left, right] } => {
                1 << 32 | (upper | lower << 8 | left << 16 | right << 24) as u64
            }
            Self::Pixels { rows: [upper, lower], bytes } => {
                2 << 32 | (upper | lower << 8 | bytes << 16) as u64
            }
            Self::Strip { rows } => 3 << 32 | rows as u64,
        }
    }
}

/// What LDTILECFG reads: bytes per row and number of rows of each tile. All else is zero.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Configuration {
    fn of(shape: Shape) -> Self {
        let mut it = Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        match shape {
            Shape::Square { rows, columns } => {
                for (i, rows) in rows.into_iter().enumerate() {
                    for (j, columns) in columns.into_iter().enumerate() {
                        it.set(2 * i + j, rows, 4 * columns);
                    }
                    it.set(4 + i, rows, ROW);
                }
                for (j, columns) in columns.into_iter().enumerate() {
                    it.set(6 + j, ROWS, 4 * columns);
                }
            }
            Shape::Pixels { rows, bytes } => {
                for (i, rows) in rows.into_iter().enumerate() {
                    it.set(i, rows, 4 * COLUMNS);
                    it.set(4 + i, rows, bytes);
                }
                it.set(6, bytes / 4, 4 * COLUMNS);
            }
            Shape::Strip { rows } => {
                for register in 0..=4 {
                    it.set(register, rows, ROW);
                }
                for register in 5..8 {
                    it.set(register, ROWS, ROW);
                }
            }
        }
        it
    }

    /// A tile with no rows or no columns has neither: the processor refuses one without the other.
    fn set(&mut self, register: usize, rows: usize, bytes: usize) {
        if rows > 0 && bytes > 0 {
            (self.rows[register], self.row_bytes[register]) = (rows as u8, bytes as u16);
        }
    }
}

/// This thread's tile configuration: set as blocks need it, released when dropped.
pub(super) struct Configured {
    /// That of the current shape, 0 before the first.
    key: u64,
    /// The configuration belongs to a thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Configured {
    /// # Safety
    /// The process may use tiles.
    pub(super) unsafe fn none() -> Self {
        Self { key: 0, _not_send: std::marker::PhantomData }
    }

    /// Makes `shape` the current one. The tiles' contents are lost if it changes.
    #[inline(always)]
    pub(super) fn set(&mut self, shape: Shape) {
        if self.key != shape.key() {
            self.key = shape.key();
            configure(shape);
        }
    }
}

#[inline(never)]
fn configure(shape: Shape) {
    let configuration = Configuration::of(shape);
    // SAFETY: whoever made a `Configured` vouched for the permission; the instruction reads 64 bytes, all there. A wrong
    // configuration would trap, not corrupt.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly));
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        if self.key != 0 {
            // SAFETY: as for `configure`; nothing after this reads a tile before it is configured again.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
        }
    }
}

/// One block of sums, by addresses and strides in bytes.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// First row of the left side, at the block's first `k`.
    pub a: *const u8,
    pub a_stride: usize,
    /// First group of four bytes of the first column, at the block's first `k`.
    pub b: *const u8,
    /// From one group to the next: four bytes for each column of the panel.
    pub b_stride: usize,
    /// From one panel to the next; only a strip reads the next one.
    pub b_panel: usize,
    /// Steps of 64 bytes of `k`, at least one.
    pub steps: usize,
    pub c: *mut u8,
    pub c_stride: usize,
    /// Whether to start from what `c` holds.
    pub add: bool,
    /// Whether the panels come from far away: then they are asked for ahead of their use.
    pub far: bool,
}

/// The blocks of one number format. Each needs the shape that is named like it to be configured.
pub(super) trait Kernel {
    /// # Safety
    /// The shape that fits is configured in this thread, and all its rows and columns lie in the block's matrices.
    unsafe fn block(shape: Shape, block: &Block);

    /// Sums from zero of all steps, at least one, of up to sixteen pixels or, with `two`, up to 32: sixteen columns of each,
    /// stored `apart` bytes one from the other. `b_strides`: bytes from one group of the right side to the next, and from one step.
    ///
    /// # Safety
    /// A shape [`Shape::Pixels`] is configured in this thread; windows, right side and sums are there for it.
    unsafe fn pixels(
        two: bool,
        steps: &[Step],
        b: *const u8,
        b_strides: [usize; 2],
        sums: *mut u8,
        apart: usize,
    );
}

/// The life of one block. `$sum at $place`: the tiles of sums; `$far`: pointers whose panels are asked for 8 KB ahead (nearer is
/// too late; what never enters the second level would have to come from memory again for the next rows); `$step`: the
/// instructions of one step.
///
/// Pointers: `a0` and `a1` walk along the upper and lower tile's first row, `b0` and `b1` along the first and second half
/// of the columns, `c0` and `c1` stand at the upper and lower (in a strip: left and right) half of the sums.
macro_rules! life {
    (@ask $b:literal, $($line:literal)*) => { concat!($("prefetcht0 [{", $b, "} + 8192 + 64*", $line, "]\n"),*) };
    (@ask $b:literal) => {
        life!(@ask $b, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
    ($block:ident, $b1:expr, $c1:expr, sums: [$($sum:literal at $place:literal),*], ask: [$($far:literal),*], step: [$($step:expr),* $(,)?]) => {
        // SAFETY: the caller vouches for shape and addresses. Tiles are used by no compiled code, only in here.
        unsafe {
            asm!(
                // Not every shape uses all of them.
                "/* {a1} {b1} {c1} */",
                "test {flags:e}, 1",
                "jnz 2f",
                $(concat!("tilezero ", $sum),)*
                "jmp 3f",
                "2:",
                $(concat!("tileloadd ", $sum, ", [", $place, "]"),)*
                "3:",
                "test {flags:e}, 2",
                "jz 4f",
                $(life!(@ask $far),)*
                "4:",
                $($step,)*
                "add {a0}, 64",
                "add {a1}, 64",
                "add {b0}, {b_step}",
                "add {b1}, {b_step}",
                "dec {steps}",
                "jnz 3b",
                $(concat!("tilestored [", $place, "], ", $sum),)*
                a0 = inout(reg) $block.a => _,
                a1 = inout(reg) $block.a.wrapping_add(ROWS * $block.a_stride) => _,
                a_stride = in(reg) $block.a_stride,
                b0 = inout(reg) $block.b => _,
                b1 = inout(reg) $block.b.wrapping_add($b1) => _,
                b_stride = in(reg) $block.b_stride,
                b_step = in(reg) ROWS * $block.b_stride,
                c0 = in(reg) $block.c,
                c1 = in(reg) $block.c.wrapping_add($c1),
                c_stride = in(reg) $block.c_stride,
                steps = inout(reg) $block.steps => _,
                flags = in(reg) usize::from($block.add) | usize::from($block.far) << 1,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    };
}

/// The life of one run of pixels; `$second…`: what its second tile of rows adds.
macro_rules! run_of_pixels {
    ($dot:literal, $steps:ident, $b:ident, $b_strides:ident, $sums:ident, $apart:ident,
     $second_zero:literal, [$($second:expr),*], [$($second_store:literal),*]) => {
        // SAFETY: the caller vouches for shape and addresses. Tiles are used by no compiled code, only in here.
        unsafe {
            asm!(
                "tilezero tmm0",
                $second_zero,
                "2:",
                "mov {a}, [{list}]",
                "mov {stride}, [{list} + 8]",
                "tileloadd tmm6, [{b} + {b_stride}*1]",
                "tileloadd tmm4, [{a} + {stride}*1]",
                concat!($dot, " tmm0, tmm4, tmm6"),
                $($second,)*
                "add {b}, {b_step}",
                "add {list}, 16",
                "dec {count}",
                "jnz 2b",
                "tilestored [{c} + {c_stride}*1], tmm0",
                $($second_store,)*
                a = out(reg) _,
                stride = out(reg) _,
                list = inout(reg) $steps.as_ptr() => _,
                count = inout(reg) $steps.len() => _,
                b = inout(reg) $b => _,
                b_stride = in(reg) $b_strides[0],
                b_step = in(reg) $b_strides[1],
                c = in(reg) $sums,
                c_stride = in(reg) $apart,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    };
}

macro_rules! kernel {
    ($(#[$meta:meta])* $name:ident, $dot:literal) => {
        $(#[$meta])*
        pub(super) struct $name;

        impl Kernel for $name {
            #[inline]
            unsafe fn pixels(
                two: bool,
                steps: &[Step],
                b: *const u8,
                b_strides: [usize; 2],
                sums: *mut u8,
                apart: usize,
            ) {
                if two {
                    run_of_pixels!($dot, steps, b, b_strides, sums, apart, "tilezero tmm1", [
                        // Sixteen windows further on.
                        "shl {stride}, 4",
                        "add {a}, {stride}",
                        "shr {stride}, 4",
                        "tileloadd tmm5, [{a} + {stride}*1]",
                        concat!($dot, " tmm1, tmm5, tmm6")
                    ], [
                        "mov {a}, {c_stride}",
                        "shl {a}, 4",
                        "add {a}, {c}",
                        "tilestored [{a} + {c_stride}*1], tmm1"
                    ]);
                } else {
                    run_of_pixels!($dot, steps, b, b_strides, sums, apart, "", [], []);
                }
            }

            #[inline]
            unsafe fn block(shape: Shape, block: &Block) {
                let (right, lower) = (4 * COLUMNS, ROWS * block.c_stride);
                match shape {
                    Shape::Pixels { .. } => unreachable!("pixels are no block"),
                    Shape::Square { rows: [_, 0], columns: [_, 0] } => life!(block, right, lower,
                        sums: ["tmm0" at "{c0} + {c_stride}*1"],
                        ask: [],
                        step: [
                            "tileloadd tmm4, [{a0} + {a_stride}*1]",
                            "tileloadd tmm6, [{b0} + {b_stride}*1]",
                            concat!($dot, " tmm0, tmm4, tmm6"),
                        ]),
                    Shape::Square { rows: [_, 0], .. } => life!(block, right, lower,
                        sums: ["tmm0" at "{c0} + {c_stride}*1", "tmm1" at "{c0} + {c_stride}*1 + 64"],
                        ask: ["b0"],
                        step: [
                            "tileloadd tmm4, [{a0} + {a_stride}*1]",
                            "tileloadd tmm6, [{b0} + {b_stride}*1]",
                            "tileloadd tmm7, [{b1} + {b_stride}*1]",
                            concat!($dot, " tmm0, tmm4, tmm6"),
                            concat!($dot, " tmm1, tmm4, tmm7"),
                        ]),
                    Shape::Square { columns: [_, 0], .. } => life!(block, right, lower,
                        sums: ["tmm0" at "{c0} + {c_stride}*1", "tmm2" at "{c1} + {c_stride}*1"],
                        ask: [],
                        step: [
                            "tileloadd tmm4, [{a0} + {a_stride}*1]",
                            "tileloadd tmm6, [{b0} + {b_stride}*1]",
                            "tileloadd tmm5, [{a1} + {a_stride}*1]",
                            concat!($dot, " tmm0, tmm4, tmm6"),
                            concat!($dot, " tmm2, tmm5, tmm6"),
                        ]),
                    Shape::Square { .. } => life!(block, right, lower,
                        sums: [
                            "tmm0" at "{c0} + {c_stride}*1", "tmm1" at "{c0} + {c_stride}*1 + 64",
                            "tmm2" at "{c1} + {c_stride}*1", "tmm3" at "{c1} + {c_stride}*1 + 64"
                        ],
                        ask: ["b0"],
                        step: [
                            "tileloadd tmm4, [{a0} + {a_stride}*1]",
                            "tileloadd tmm6, [{b0} + {b_stride}*1]",
                            "tileloadd tmm7, [{b1} + {b_stride}*1]",
                            "tileloadd tmm5, [{a1} + {a_stride}*1]",
                            concat!($dot, " tmm0, tmm4, tmm6"),
                            concat!($dot, " tmm1, tmm4, tmm7"),
                            concat!($dot, " tmm2, tmm5, tmm6"),
                            concat!($dot, " tmm3, tmm5, tmm7"),
                        ]),
                    Shape::Strip { .. } => life!(block, block.b_panel, 2 * right,
                        sums: [
                            "tmm0" at "{c0} + {c_stride}*1", "tmm1" at "{c0} + {c_stride}*1 + 64",
                            "tmm2" at "{c1} + {c_stride}*1", "tmm3" at "{c1} + {c_stride}*1 + 64"
                        ],
                        ask: ["b0", "b1"],
                        step: [
                            "tileloadd tmm4, [{a0} + {a_stride}*1]",
                            "tileloadd tmm5, [{b0} + {b_stride}*1]",
                            "tileloadd tmm6, [{b0} + {b_stride}*1 + 64]",
                            "tileloadd tmm7, [{b1} + {b_stride}*1]",
                            concat!($dot, " tmm0, tmm4, tmm5"),
                            "tileloadd tmm5, [{b1} + {b_stride}*1 + 64]",
                            concat!($dot, " tmm1, tmm4, tmm6"),
                            concat!($dot, " tmm2, tmm4, tmm7"),
                            concat!($dot, " tmm3, tmm4, tmm5"),
                        ]),
                }
            }
        }
    };
}

kernel! {
    /// Pairs of bf16 into f32.
    Bf16, "tdpbf16ps"
}
kernel! {
    /// Fours of signed bytes into i32.
    Int8, "tdpbssd"
}
