//! A minGRU of integers, and its exact influence: one number for each weight and stream.
//!
//! `h ← h + z (v − h)` for each unit, with the value `v` and the gate `z` read from tables by the present byte (the value also by some bytes before it), so
//! that a unit's state follows from its own weights alone and `J = ∂h/∂w` needs one number a weight: `J ← (1 − z) J + ∂(z (v − h))/∂w`, the last
//! from forward evaluations of the narrowing and of the gate's curve at one more and one less. Nothing waits for later bytes, nothing is cut.

use crate::evidence::{Evidence, Held, Test};
use crate::fixed::{EXP2, Saturated};
use crate::random::{mixed, weight};

/// Fraction bits of a state.
const STATE: u32 = 16;
/// Fraction bits of a gate.
const GATE: u32 = 15;
/// Fraction bits of the influence of a gate's weights; that of values has 15.
const GATE_INFLUENCE: u32 = 10;
/// Steps of a gate's weight that double the odds of taking the new value.
const ODDS: i32 = 16;
/// Credit times influence is narrowed by this.
const NARROWED: u32 = 10;

/// The tables of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub symbols: usize,
    pub units: usize,
    /// How many bytes the value reads: the present one and those before.
    pub window: usize,
    /// `(window + 1, symbols, units)`: the value by each byte of the window, then the gate by the present one.
    pub tables: Vec<i8>,
    pub evidence: Evidence,
    /// The gate for each weight from -127 to 127, with 15 bits after the point.
    curve: Vec<i32>,
}

/// One stream: its state, the bytes before, and how the state follows from each weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `(units)`, 16 bits after the point, within ±127.
    pub(crate) state: Vec<i32>,
    /// The last bytes, the present one first.
    pub(crate) past: Vec<usize>,
    /// As the tables; none where nothing is to be learned.
    pub(crate) influence: Vec<i16>,
    /// Whether any number of a row of the influence is not zero.
    alive: Vec<bool>,
    /// `1 − z` of the step, for each unit.
    keep: Vec<i16>,
    /// What the present step adds to the influence of a value's weight, and of a gate's.
    direct: [Vec<i16>; 2],
    /// How many bytes were read.
    pub(crate) read: u64,
    /// Names the stream in its roundings.
    pub(crate) key: u64,
}

impl Stream {
    /// Looks for what is not zero in an influence that was read from a file.
    pub(crate) fn revive(&mut self) {
        let rows = self.influence.chunks_exact(self.state.len());
        self.alive.iter_mut().zip(rows).for_each(|(alive, row)| *alive = row.iter().any(|j| *j != 0));
    }
}

impl Cell {
    pub fn new(symbols: usize, units: usize, window: usize, spread: u8, seed: u64) -> Self {
        let size = symbols * units;
        let mut tables: Vec<i8> = (0..window * size).map(|i| weight(mixed(seed, 100), i, spread)).collect();
        // Gates begin alike for all bytes and spread evenly over the units: from the present byte alone to about fifty bytes.
        let gates = (0..size).map(|i| (120 - (210 * (i % units) / units) as i16) as i8);
        tables.extend(gates);
        let curve = (-128..=128).map(gate).collect();
        Self { symbols, units, window, evidence: Evidence::new(tables.len()), tables, curve }
    }

    /// A stream before its first byte; what it follows from is kept only where it is to be `learned`.
    pub fn stream(&self, key: u64, learned: bool) -> Stream {
        let zeros = vec![0; self.units];
        Stream {
            state: vec![0; self.units],
            past: vec![0; self.window],
            influence: vec![0; if learned { self.tables.len() } else { 0 }],
            alive: vec![false; (self.window + 1) * self.symbols],
            keep: zeros.clone(),
            direct: [zeros.clone(), zeros],
            read: 0,
            key,
        }
    }

    fn row(&self, table: usize, symbol: usize) -> std::ops::Range<usize> {
        let first = (table * self.symbols + symbol) * self.units;
        first..first + self.units
    }

    /// Reads one more byte; `out` is the state as activations, bytes, widened.
    pub fn read(&self, stream: &mut Stream, symbol: usize, out: &mut [i16], counts: &mut Saturated) {
        stream.past.rotate_right(1);
        stream.past[0] = symbol;
        stream.read += 1;
        let gates = &self.tables[self.row(self.window, symbol)];
        for unit in 0..self.units {
            let parts = stream.past.iter().enumerate();
            let sum: i32 =
                parts.map(|(t, s)| i32::from(self.tables[(t * self.symbols + s) * self.units + unit])).sum();
            let value = held(sum);
            counts.activations += u64::from(value != sum);
            let place = (i32::from(gates[unit]) + 128) as usize;
            let z = self.curve[place];
            let state = &mut stream.state[unit];
            let far = i64::from((value << STATE) - *state);
            // Each operation alone, one more and one less of what it reads: the narrowing, then the gate's curve.
            let slope = held(sum + 1) - held(sum - 1);
            let steep = i64::from(self.curve[place + 1] - self.curve[place - 1]);
            stream.keep[unit] = ((1 << GATE) - z) as i16;
            stream.direct[0][unit] = (z * slope / 2) as i16;
            stream.direct[1][unit] = ((far * steep) >> (STATE + GATE + 1 - GATE_INFLUENCE)) as i16;
            *state += ((far * i64::from(z) + (1 << (GATE - 1))) >> GATE) as i32;
            out[unit] = ((*state + (1 << (STATE - 1))) >> STATE) as i16;
        }
    }

    /// Takes the influence of all weights one step on, and adds to `scores` (as the tables) what each owes to the state's `credit`.
    pub fn follow(&self, stream: &mut Stream, credit: &[i16], scores: &mut [i32], counts: &mut Saturated) {
        // Rounded up or down by chance, the same for all numbers of a step: the mean is exact, and nothing small is stuck.
        let chance = (mixed(stream.key, stream.read) & ((1 << GATE) - 1)) as i32;
        let Stream { past, influence, alive, keep, direct, .. } = stream;
        let rows = influence.chunks_exact_mut(self.units).zip(scores.chunks_exact_mut(self.units));
        for (place, ((own, scores), alive)) in rows.zip(alive).enumerate() {
            let (table, symbol) = (place / self.symbols, place % self.symbols);
            let now = if table == self.window { past[0] == symbol } else { past[table] == symbol };
            if now {
                let direct = &direct[usize::from(table == self.window)];
                for ((j, k), d) in own.iter_mut().zip(&*keep).zip(direct) {
                    let whole = faded(*j, *k, chance) + i32::from(*d);
                    *j = whole.clamp(-32767, 32767) as i16;
                    counts.credits += u64::from(i32::from(*j) != whole);
                }
                score(own, credit, scores);
                *alive = true;
            } else if *alive {
                *alive = fade(own, keep, chance, credit, scores);
            }
        }
    }

    /// Moves weights whose evidence is significant.
    pub fn learn(&mut self, scores: &[i32], test: Test, counts: &mut Saturated) -> u64 {
        let Evidence { sums, squares } = &mut self.evidence;
        let mut held = Held { weights: &mut self.tables, sums, squares };
        test.apply(&mut held, scores, counts)
    }
}

/// `σ(g ln 2 / 16)` with 15 bits after the point: odds of `2^(g/16)`, of powers of two alone.
fn gate(g: i32) -> i32 {
    let distance = g.unsigned_abs() * 256 / ODDS as u32;
    let small = u64::from(EXP2[(distance & 255) as usize] >> (distance >> 8));
    let (one, part) = (1u64 << 16, if g >= 0 { 1 << 16 } else { small });
    ((part << GATE) / (one + small)).min((1 << GATE) - 1) as i32
}

#[inline]
fn held(sum: i32) -> i32 {
    sum.clamp(-127, 127)
}

#[inline]
fn faded(j: i16, keep: i16, chance: i32) -> i32 {
    (i32::from(j) * i32::from(keep) + chance) >> GATE
}

#[inline]
fn owed(j: i16, credit: i16) -> i32 {
    (i32::from(j) * i32::from(credit) + (1 << (NARROWED - 1))) >> NARROWED
}

/// Whether anything is left.
fn fade(own: &mut [i16], keep: &[i16], chance: i32, credit: &[i16], scores: &mut [i32]) -> bool {
    let mut left = 0;
    for (((j, k), c), s) in own.iter_mut().zip(keep).zip(credit).zip(scores) {
        *j = faded(*j, *k, chance) as i16;
        left |= *j;
        *s += owed(*j, *c);
    }
    left != 0
}

fn score(own: &[i16], credit: &[i16], scores: &mut [i32]) {
    for ((j, c), s) in own.iter().zip(credit).zip(scores) {
        *s += owed(*j, *c);
    }
}
