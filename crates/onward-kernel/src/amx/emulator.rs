//! The tile unit in software, for tests on processors without one.
//!
//! There a tile instruction raises SIGILL. A handler decodes those encodings that the kernel uses, carries the instruction
//! out on a tile file of the thread, and goes on behind it. What the unit would refuse, or what is not a tile instruction,
//! ends the process with a message: it must not pass as a result.
//!
//! After the instruction descriptions in Intel's Architecture Instruction Set Extensions reference and Software Developer's
//! Manual, volume 2.

use super::super::bf16::emulated::{flushed, pair, rounded};
use super::tile::{COLUMNS, ROW, ROWS};
use std::cell::{Cell, RefCell};
use std::sync::Once;

/// Why the unit refuses an instruction.
pub(super) type Refused = &'static str;

/// One tile register: its configured size and its contents, of which everything beyond the size is zero.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    row_bytes: usize,
    data: [[u8; ROW]; ROWS],
}

const EMPTY: Tile = Tile { rows: 0, row_bytes: 0, data: [[0; ROW]; ROWS] };

impl Tile {
    fn word(&self, row: usize, column: usize) -> [u8; 4] {
        std::array::from_fn(|i| self.data[row][4 * column + i])
    }

    fn set_word(&mut self, row: usize, column: usize, word: [u8; 4]) {
        self.data[row][4 * column..][..4].copy_from_slice(&word);
    }
}

/// The eight tile registers and whether they are configured.
pub(super) struct TileFile {
    pub(super) configured: bool,
    tiles: [Tile; 8],
}

/// An instruction with its operands worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    Configure { from: u64 },
    Release,
    Zero { tile: usize },
    Load { tile: usize, from: u64, stride: u64 },
    Store { tile: usize, to: u64, stride: u64 },
    DotBf16 { sums: usize, left: usize, right: usize },
    DotInt8 { sums: usize, left: usize, right: usize },
}

impl TileFile {
    pub(super) const fn new() -> Self {
        Self { configured: false, tiles: [EMPTY; 8] }
    }

    /// # Safety
    /// The addresses of loads and stores are there.
    pub(super) unsafe fn execute(&mut self, instruction: Instruction) -> Result<(), Refused> {
        match instruction {
            Instruction::Configure { from } => {
                // SAFETY: 64 bytes, as the caller says.
                self.configure(unsafe { &*(from as *const [u8; 64]) })
            }
            Instruction::Release => {
                *self = Self::new();
                Ok(())
            }
            Instruction::Zero { tile } => {
                self.usable(tile)?.data = EMPTY.data;
                Ok(())
            }
            Instruction::Load { tile, from, stride } => {
                let tile = self.usable(tile)?;
                tile.data = EMPTY.data;
                for row in 0..tile.rows {
                    let from = from.wrapping_add(stride.wrapping_mul(row as u64)) as *const u8;
                    // SAFETY: one row, as the caller says.
                    unsafe { from.copy_to_nonoverlapping(tile.data[row].as_mut_ptr(), tile.row_bytes) }
                }
                Ok(())
            }
            Instruction::Store { tile, to, stride } => {
                let tile = self.usable(tile)?;
                for row in 0..tile.rows {
                    let to = to.wrapping_add(stride.wrapping_mul(row as u64)) as *mut u8;
                    // SAFETY: as above.
                    unsafe { to.copy_from_nonoverlapping(tile.data[row].as_ptr(), tile.row_bytes) }
                }
                Ok(())
            }
            Instruction::DotBf16 { sums, left, right } => self.dot(sums, left, right, dot_bf16),
            Instruction::DotInt8 { sums, left, right } => self.dot(sums, left, right, dot_int8),
        }
    }

    /// Palette 1: the bytes per row of tile `i` at `16 + 2·i`, its rows at `48 + i`, zero everywhere else.
    fn configure(&mut self, bytes: &[u8; 64]) -> Result<(), Refused> {
        if bytes[0] != 1 || bytes[1..16].iter().chain(&bytes[32..48]).chain(&bytes[56..]).any(|b| *b != 0) {
            return Err("a palette other than 1, a start row or a reserved byte");
        }
        let mut fresh = Self { configured: true, ..Self::new() };
        for (i, tile) in fresh.tiles.iter_mut().enumerate() {
            tile.row_bytes = u16::from_le_bytes([bytes[16 + 2 * i], bytes[17 + 2 * i]]).into();
            tile.rows = bytes[48 + i].into();
            if tile.row_bytes > ROW || tile.rows > ROWS || (tile.rows == 0) != (tile.row_bytes == 0) {
                return Err("a tile of impossible size");
            }
        }
        *self = fresh;
        Ok(())
    }

    fn usable(&mut self, tile: usize) -> Result<&mut Tile, Refused> {
        if !self.configured {
            return Err("no configuration");
        }
        let tile = &mut self.tiles[tile];
        match tile.rows {
            0 => Err("a tile that is not configured"),
            _ if !tile.row_bytes.is_multiple_of(4) => Err("a row that is no multiple of four bytes"),
            _ => Ok(tile),
        }
    }

    fn dot(
        &mut self,
        sums: usize,
        left: usize,
        right: usize,
        f: fn(&mut Tile, &Tile, &Tile),
    ) -> Result<(), Refused> {
        if sums == left || sums == right || left == right {
            return Err("a tile named twice");
        }
        let (a, b, mut c) = (*self.usable(left)?, *self.usable(right)?, *self.usable(sums)?);
        if c.rows != a.rows || c.row_bytes != b.row_bytes || a.row_bytes != 4 * b.rows {
            return Err("tiles whose sizes do not fit");
        }
        f(&mut c, &a, &b);
        self.tiles[sums] = c;
        Ok(())
    }
}

fn dot_bf16(c: &mut Tile, a: &Tile, b: &Tile) {
    for row in 0..c.rows {
        let mut chains = [[0f64; 2]; COLUMNS];
        for k in 0..b.rows {
            let x = pair(u32::from_le_bytes(a.word(row, k)));
            for (column, chain) in chains.iter_mut().enumerate().take(c.row_bytes / 4) {
                let y = pair(u32::from_le_bytes(b.word(k, column)));
                *chain = [0, 1].map(|i| rounded(x[i] * y[i] + chain[i]));
            }
        }
        for (column, [even, odd]) in chains.into_iter().enumerate().take(c.row_bytes / 4) {
            let before = f64::from(flushed(f32::from_le_bytes(c.word(row, column))));
            let after = rounded(before + rounded(even + odd)) as f32;
            c.set_word(row, column, after.to_le_bytes());
        }
    }
}

fn dot_int8(c: &mut Tile, a: &Tile, b: &Tile) {
    for row in 0..c.rows {
        for k in 0..b.rows {
            let x = a.word(row, k);
            for column in 0..c.row_bytes / 4 {
                let y = b.word(k, column);
                let terms = (0..4).map(|i| i32::from(x[i] as i8) * i32::from(y[i] as i8));
                let after = terms.fold(i32::from_le_bytes(c.word(row, column)), i32::wrapping_add);
                c.set_word(row, column, after.to_le_bytes());
            }
        }
    }
}

/// The sixteen general registers by their numbers in instructions: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8–r15.
pub(super) type Registers = [u64; 16];

/// An operand in memory: address without index, scaled index, bytes of encoding from the ModRM byte on.
fn memory(
    bytes: &[u8],
    registers: &Registers,
    base_high: usize,
    index_high: usize,
) -> Option<(u64, Option<u64>, usize)> {
    let (mode, rm) = (bytes[0] >> 6, usize::from(bytes[0] & 7));
    let (base, index, mut length) = match rm {
        4 => {
            let sib = bytes[1];
            let index = usize::from(sib >> 3 & 7) | index_high;
            let scaled = (index != 4).then(|| registers[index] << (sib >> 6));
            (usize::from(sib & 7), scaled, 2)
        }
        base => (base, None, 1),
    };
    if mode == 0 && base == 5 || mode == 3 {
        return None; // no base register, or no memory
    }
    let displacement = match mode {
        0 => 0,
        1 => i64::from(bytes[length] as i8),
        _ => i64::from(i32::from_le_bytes(std::array::from_fn(|i| bytes[length + i]))),
    };
    length += [0, 1, 4][usize::from(mode)];
    Some((registers[base | base_high].wrapping_add_signed(displacement), index, length))
}

/// The instruction at the start of `bytes` and its length, if it is one of those that the kernel uses.
pub(super) fn decode(bytes: &[u8; 16], registers: &Registers) -> Option<(Instruction, usize)> {
    // The three-byte VEX prefix: inverted high bits of register numbers and the opcode map (0F38); then W, the inverted
    // third register, the vector length (all zero here) and the implied prefix.
    let [0xC4, high, rest, opcode, modrm, ..] = *bytes else { return None };
    if high & 0x9F != 0x82 || rest & 0x84 != 0 {
        return None;
    }
    let (index_high, base_high) = (usize::from(!high >> 6 & 1) << 3, usize::from(!high >> 5 & 1) << 3);
    let (third, prefix) = (usize::from(!rest >> 3 & 15), rest & 3);
    let (register, rm, registers_only) =
        (usize::from(modrm >> 3 & 7), usize::from(modrm & 7), modrm >> 6 == 3);
    let operand = || memory(&bytes[4..], registers, base_high, index_high);
    let dot = registers_only && third < 8 && index_high | base_high == 0;
    match (opcode, prefix) {
        (0x49, 0) if modrm == 0xC0 && third == 0 => Some((Instruction::Release, 5)),
        (0x49, 0) if register == 0 && third == 0 => {
            let (from, index, length) = operand()?;
            index.is_none().then_some((Instruction::Configure { from }, 4 + length))
        }
        (0x49, 3) if registers_only && rm == 0 && third == 0 => {
            Some((Instruction::Zero { tile: register }, 5))
        }
        (0x4B, 2 | 3) if third == 0 && rm == 4 => {
            let (at, index, length) = operand()?;
            let (tile, stride) = (register, index.unwrap_or(0));
            Some(match prefix {
                3 => (Instruction::Load { tile, from: at, stride }, 4 + length),
                _ => (Instruction::Store { tile, to: at, stride }, 4 + length),
            })
        }
        (0x5C, 2) if dot => Some((Instruction::DotBf16 { sums: register, left: rm, right: third }, 5)),
        (0x5E, 3) if dot => Some((Instruction::DotInt8 { sums: register, left: rm, right: third }, 5)),
        _ => None,
    }
}

#[cfg(test)]
thread_local! {
    static TILES: RefCell<TileFile> = const { RefCell::new(TileFile::new()) };
    static CARRIED_OUT: Cell<u64> = const { Cell::new(0) };
}

/// How many instructions of this thread were emulated so far.
pub(super) fn carried_out() -> u64 {
    CARRIED_OUT.get()
}

/// Whether this thread's emulated tiles are configured.
pub(super) fn configured() -> bool {
    TILES.with_borrow(|t| t.configured)
}

/// Makes this process carry out tile instructions in software. Only for processors without them.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the action is filled in whole; the handler touches only what the trapping instruction would.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut())
        };
        assert_eq!(result, 0, "no handler for SIGILL");
    });
}

/// Where the general registers lie in a signal's context, by their numbers in instructions.
const PLACES: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// Runs in the thread whose instruction trapped, between that instruction and the next. It allocates nothing and takes no
/// lock, so it may interrupt anything.
extern "C" fn handle(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the third argument is the interrupted thread's context, ours until we return.
    let general = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = general[libc::REG_RIP as usize];
    // SAFETY: code is mapped in pages and followed by the rest of its function and its program; 16 bytes are there.
    let bytes = unsafe { *(at as *const [u8; 16]) };
    let registers: Registers = std::array::from_fn(|i| general[PLACES[i] as usize] as u64);
    let done = match decode(&bytes, &registers) {
        None => Err("not a tile instruction of the kernel"),
        Some((instruction, length)) => TILES
            // SAFETY: the trapping instruction would have accessed the same memory.
            .with_borrow_mut(|tiles| unsafe { tiles.execute(instruction) })
            .map(|()| length as i64),
    };
    match done {
        Ok(length) => {
            CARRIED_OUT.set(CARRIED_OUT.get() + 1);
            general[libc::REG_RIP as usize] = at + length;
        }
        Err(why) => give_up(why),
    }
}

/// Ends the process: a wrong instruction has no result.
fn give_up(why: Refused) -> ! {
    for part in ["SIGILL: ", why, "\n"] {
        // SAFETY: the bytes are there; `write` and `abort` may be called in a handler.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    // SAFETY: as above.
    unsafe { libc::abort() }
}

#[cfg(test)]
pub(super) mod tests;
