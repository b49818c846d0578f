//! Products of tiles that stay in their registers: what the unit could do if nothing else had to be done.

use super::Tiles;
use super::tile::{COLUMNS, Configured, ROW, ROWS, Shape};
use std::arch::asm;

/// Two left and two right tiles, of numbers that are neither all alike nor special as bytes, and near one as bf16: the unit is
/// faster on zeros than on data.
struct Data([u8; 4 * ROW * ROWS]);

impl Data {
    fn new() -> Self {
        let mut data = [0; 4 * ROW * ROWS];
        for (i, half) in data.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let word = (i as u32 + 1).wrapping_mul(2_654_435_761).wrapping_mul(2_246_822_519) >> 9;
            *half = ((word as u16 & 0x80ff) | 0x3f00).to_le_bytes();
        }
        Self(data)
    }
}

macro_rules! spin {
    ($name:ident, $dot:literal) => {
        impl Tiles {
            /// Runs `rounds` rounds (at least one) of four products of full tiles and returns how many operations that was.
            pub fn $name(self, rounds: u64) -> u64 {
                let data = Data::new();
                // SAFETY: `self` shows that the process may use tiles.
                let mut tiles = unsafe { Configured::none() };
                tiles.set(Shape::Square { rows: [ROWS; 2], columns: [COLUMNS; 2] });
                let rounds = rounds.max(1);
                // SAFETY: the shape was just configured; all four tiles lie in `data`, row after row. Tiles are used by no
                // compiled code.
                unsafe {
                    asm!(
                        "tileloadd tmm4, [{data} + {row}*1]",
                        "tileloadd tmm5, [{data} + {row}*1 + 1024]",
                        "tileloadd tmm6, [{data} + {row}*1 + 2048]",
                        "tileloadd tmm7, [{data} + {row}*1 + 3072]",
                        "tilezero tmm0",
                        "tilezero tmm1",
                        "tilezero tmm2",
                        "tilezero tmm3",
                        "2:",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        concat!($dot, " tmm3, tmm5, tmm7"),
                        "dec {rounds}",
                        "jnz 2b",
                        data = in(reg) data.0.as_ptr(),
                        row = in(reg) ROW,
                        rounds = inout(reg) rounds => _,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack, readonly),
                    );
                }
                // A multiply-add counts as two; a tile has so many of them for each byte of a row of the left side.
                let bytes = rounds * 4 * 2 * (ROWS * COLUMNS * ROW) as u64;
                if $dot == "tdpbf16ps" { bytes / 2 } else { bytes }
            }
        }
    };
}
spin!(spin_bf16, "tdpbf16ps");
spin!(spin_int8, "tdpbssd");
