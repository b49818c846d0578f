//! The emulator against small cases by hand and encodings from an assembler.

use super::super::tests::bf16;
use super::*;

/// Encodings as an assembler gives them.
const ENCODINGS: [(&str, &[u8], Instruction); 14] = {
    use Instruction::*;
    [
        ("ldtilecfg [rax]", &[0xC4, 0xE2, 0x78, 0x49, 0x00], Configure { from: 100 }),
        ("ldtilecfg [r10]", &[0xC4, 0xC2, 0x78, 0x49, 0x02], Configure { from: 1100 }),
        ("ldtilecfg [r12]", &[0xC4, 0xC2, 0x78, 0x49, 0x04, 0x24], Configure { from: 1300 }),
        ("ldtilecfg [r13]", &[0xC4, 0xC2, 0x78, 0x49, 0x45, 0x00], Configure { from: 1400 }),
        ("tilerelease", &[0xC4, 0xE2, 0x78, 0x49, 0xC0], Release),
        ("tilezero tmm0", &[0xC4, 0xE2, 0x7B, 0x49, 0xC0], Zero { tile: 0 }),
        ("tilezero tmm3", &[0xC4, 0xE2, 0x7B, 0x49, 0xD8], Zero { tile: 3 }),
        (
            "tileloadd tmm0, [rax + rcx]",
            &[0xC4, 0xE2, 0x7B, 0x4B, 0x04, 0x08],
            Load { tile: 0, from: 100, stride: 200 },
        ),
        (
            "tileloadd tmm7, [r8 + r9]",
            &[0xC4, 0x82, 0x7B, 0x4B, 0x3C, 0x08],
            Load { tile: 7, from: 900, stride: 1000 },
        ),
        (
            "tileloadd tmm6, [r8 + rcx]",
            &[0xC4, 0xC2, 0x7B, 0x4B, 0x34, 0x08],
            Load { tile: 6, from: 900, stride: 200 },
        ),
        (
            "tilestored [rdx + rcx], tmm2",
            &[0xC4, 0xE2, 0x7A, 0x4B, 0x14, 0x0A],
            Store { tile: 2, to: 300, stride: 200 },
        ),
        (
            "tilestored [r13 + r9 + 64], tmm2",
            &[0xC4, 0x82, 0x7A, 0x4B, 0x54, 0x0D, 0x40],
            Store { tile: 2, to: 1464, stride: 1000 },
        ),
        (
            "tdpbf16ps tmm1, tmm4, tmm6",
            &[0xC4, 0xE2, 0x4A, 0x5C, 0xCC],
            DotBf16 { sums: 1, left: 4, right: 6 },
        ),
        ("tdpbssd tmm3, tmm5, tmm7", &[0xC4, 0xE2, 0x43, 0x5E, 0xDD], DotInt8 { sums: 3, left: 5, right: 7 }),
    ]
};

#[test]
fn the_emulator_decodes_what_an_assembler_writes() {
    let registers = std::array::from_fn(|i| 100 * (i as u64 + 1));
    for (text, code, instruction) in ENCODINGS {
        let mut bytes = [0xCC; 16];
        bytes[..code.len()].copy_from_slice(code);
        assert_eq!(decode(&bytes, &registers), Some((instruction, code.len())), "{text}");
    }
    let others: [&[u8]; 5] = [
        &[0xC4, 0xE2, 0x79, 0x49, 0x00],       // sttilecfg [rax]
        &[0xC4, 0x82, 0x79, 0x4B, 0x3C, 0x08], // tileloaddt1 tmm7, [r8 + r9]
        &[0xC4, 0xE2, 0x41, 0x5E, 0xDD],       // tdpbusd tmm3, tmm5, tmm7
        &[0xC4, 0xE2, 0x78, 0x49, 0x05],       // ldtilecfg [rip + …]
        &[0x0F, 0x0B],                         // ud2
    ];
    for code in others {
        let mut bytes = [0; 16];
        bytes[..code.len()].copy_from_slice(code);
        assert_eq!(decode(&bytes, &registers), None, "{code:x?}");
    }
}

/// A tile file with sums of `rows × columns` in tile 0, the left side in 4, the right side of `groups` in 6.
pub(in super::super) fn file(rows: usize, groups: usize, columns: usize) -> TileFile {
    let mut bytes = [0u8; 64];
    bytes[0] = 1;
    for (tile, rows, words) in [(0, rows, columns), (4, rows, groups), (6, groups, columns)] {
        bytes[16 + 2 * tile] = 4 * words as u8;
        bytes[48 + tile] = rows as u8;
    }
    let mut tiles = TileFile::new();
    // SAFETY: 64 bytes.
    unsafe { tiles.execute(Instruction::Configure { from: bytes.as_ptr() as u64 }) }.unwrap();
    tiles
}

/// `c`, `a`, `b` are whole tiles, row after row.
pub(in super::super) fn one_dot<C, T>(
    tiles: &mut TileFile,
    dot: Instruction,
    c: &mut [C],
    a: &[T],
    b: &[T],
    widths: [usize; 3],
) {
    let at = |tile, from: u64, row: usize| Instruction::Load { tile, from, stride: row as u64 };
    let to = c.as_mut_ptr() as u64;
    let store = Instruction::Store { tile: 0, to, stride: widths[0] as u64 };
    let (a, b) = (a.as_ptr() as u64, b.as_ptr() as u64);
    for step in [at(0, to, widths[0]), at(4, a, widths[1]), at(6, b, widths[2]), dot, store] {
        // SAFETY: the callers' arrays have the sizes that they configured.
        unsafe { tiles.execute(step) }.unwrap();
    }
}

pub(in super::super) const BF16: Instruction = Instruction::DotBf16 { sums: 0, left: 4, right: 6 };
pub(in super::super) const INT8: Instruction = Instruction::DotInt8 { sums: 0, left: 4, right: 6 };

#[test]
fn int8_tiles_by_hand() {
    // Two rows, one group of four, two columns.
    let a: [i8; 8] = [1, -2, 3, -4, 127, 127, -128, -128];
    let b: [i8; 8] = [1, 1, 1, 1, -128, 127, -128, 127];
    let mut c = [10i32, 20, 30, i32::MAX];
    one_dot(&mut file(2, 1, 2), INT8, &mut c, &a, &b, [8, 4, 8]);
    // Second column: −128 − 254 − 384 − 508; then −16256 + 16129 + 16384 − 16256 = 1, which wraps.
    assert_eq!(c, [10 - 2, 20 - 1274, 30 - 2, i32::MIN]);
}

#[test]
fn bf16_tiles_by_hand() {
    // One row, two groups of two, one column: the even chain is 1·2 + 3·5 = 17, the odd one 4·8 − 7·0.5 = 28.5.
    let (a, b) = ([1.0, 4.0, 3.0, -7.0].map(bf16), [2.0, 8.0, 5.0, 0.5].map(bf16));
    let mut c = [0.25f32];
    one_dot(&mut file(1, 2, 1), BF16, &mut c, &a, &b, [4, 8, 4]);
    assert_eq!(c, [45.75]);
    // The order shows: even 2^24 − 2^24 = 0 and odd 1 + 1 = 2, while one chain through all four would lose the ones.
    let big = 16_777_216.0;
    let (a, b) = ([big, 1.0, -big, 1.0].map(bf16), [1.0; 4].map(bf16));
    let mut c = [0f32];
    one_dot(&mut file(1, 2, 1), BF16, &mut c, &a, &b, [4, 8, 4]);
    assert_eq!(c, [2.0]);
    // The sum before counts last: 2^24 + (1 + 1) is exact where (2^24 + 1) + 1 is not.
    let (a, b) = ([1.0; 2].map(bf16), [1.0; 2].map(bf16));
    let mut c = [big];
    one_dot(&mut file(1, 1, 1), BF16, &mut c, &a, &b, [4, 4, 4]);
    assert_eq!(c, [big + 2.0]);
}

#[test]
fn bf16_tiles_know_no_subnormal_numbers() {
    let tiny = f32::from_bits(0x0040_0000);
    // A subnormal factor, a subnormal product, a subnormal sum before.
    for (a, b, before) in [(tiny, 1e38, 0.0), (1e-20, 1e-20, 0.0), (0.0, 0.0, tiny)] {
        let (a, b) = ([bf16(a), 0], [bf16(b), 0]);
        let mut c = [before];
        one_dot(&mut file(1, 1, 1), BF16, &mut c, &a, &b, [4, 4, 4]);
        assert_eq!(c[0].to_bits(), 0, "{a:?} · {b:?} + {before:e}");
    }
}

#[test]
fn the_emulator_refuses_what_the_unit_refuses() {
    let mut tiles = TileFile::new();
    // SAFETY: a configuration is read from 64 bytes, nothing else before the refusal.
    let mut refused = |i| unsafe { tiles.execute(i) }.unwrap_err();
    assert_eq!(refused(Instruction::Zero { tile: 0 }), "no configuration");
    for (place, value, why) in [
        (0, 2, "a palette other than 1, a start row or a reserved byte"),
        (1, 1, "a palette other than 1, a start row or a reserved byte"),
        (33, 1, "a palette other than 1, a start row or a reserved byte"),
        (16, 64, "a tile of impossible size"), // bytes without rows
        (48, 17, "a tile of impossible size"),
    ] {
        let mut bytes = [0u8; 64];
        bytes[0] = 1;
        bytes[place] = value;
        assert_eq!(refused(Instruction::Configure { from: bytes.as_ptr() as u64 }), why);
    }
    let mut tiles = file(3, 2, 5);
    // SAFETY: nothing is read before the refusal.
    let mut refused = |i| unsafe { tiles.execute(i) }.unwrap_err();
    assert_eq!(refused(Instruction::Zero { tile: 1 }), "a tile that is not configured");
    assert_eq!(refused(Instruction::DotInt8 { sums: 0, left: 4, right: 4 }), "a tile named twice");
    assert_eq!(refused(Instruction::DotInt8 { sums: 0, left: 6, right: 4 }), "tiles whose sizes do not fit");
}
