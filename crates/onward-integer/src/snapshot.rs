//! Nets, what is known about their weights, and streams as bytes, so that a training that was ended goes on to the same bits.
//!
//! A snapshot is eight bytes that name the format, the kind, the step, the numbers (little-endian, each list with its length before it) and FNV-1a of all
//! that. Lengths follow from shapes, which are checked first: none in a file is trusted.

use crate::bytes::{Bytes, BytesShape};
use crate::cell::Stream;
use crate::error::{InputError, Result};
use crate::evidence::Evidence;
use crate::net::{IntegerNet, NetShape};
use std::fmt::Display;

const MAGIC: &[u8; 8] = b"onwardi1";
const NET: u64 = 1;
const BYTES: u64 = 2;

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

/// What a snapshot is written into.
struct Writer(Vec<u8>);

impl Writer {
    fn begin(kind: u64, step: u64) -> Self {
        let mut writer = Self(MAGIC.to_vec());
        writer.number(kind);
        writer.number(step);
        writer
    }

    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn shape(&mut self, numbers: &[usize]) {
        self.number(numbers.len() as u64);
        numbers.iter().for_each(|n| self.number(*n as u64));
    }

    fn weights(&mut self, weights: &[i8], evidence: &Evidence) {
        self.0.extend(weights.iter().map(|w| *w as u8));
        self.0.extend(evidence.sums.iter().flat_map(|s| s.to_le_bytes()));
        self.0.extend(evidence.squares.iter().flat_map(|s| s.to_le_bytes()));
    }

    fn end(mut self) -> Vec<u8> {
        let hash = hash(&self.0);
        self.number(hash);
        self.0
    }
}

/// What a snapshot is read from, and how far it was.
struct Reader<'a> {
    left: &'a [u8],
    read: usize,
}

impl<'a> Reader<'a> {
    fn begin(bytes: &'a [u8], kind: u64, name: &str) -> Result<(Self, u64)> {
        let expected = || format!("a snapshot of {name}");
        let Some((inside, sum)) =
            bytes.split_last_chunk::<8>().filter(|(inside, _)| inside.starts_with(MAGIC))
        else {
            return Err(InputError::expected("snapshot", expected(), format!("{} other bytes", bytes.len())));
        };
        if u64::from_le_bytes(*sum) != hash(inside) {
            return Err(InputError::expected("snapshot", "bytes as they were written", "another checksum"));
        }
        let mut reader = Self { left: &inside[MAGIC.len()..], read: MAGIC.len() };
        if reader.number()? != kind {
            return Err(InputError::expected("snapshot", expected(), "one of another kind"));
        }
        let step = reader.number()?;
        Ok((reader, step))
    }

    fn odd(&self, expected: impl Display, found: impl Display) -> InputError {
        InputError::expected(format!("snapshot, byte {}", self.read + 1), expected, found)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((own, left)) = self.left.split_at_checked(count) else {
            return Err(self.odd(format!("{count} bytes more"), format!("{}", self.left.len())));
        };
        (self.left, self.read) = (left, self.read + count);
        Ok(own)
    }

    fn number(&mut self) -> Result<u64> {
        self.take(8).map(|bytes| bytes.iter().rev().fold(0, |all, b| (all << 8) | u64::from(*b)))
    }

    /// So many numbers of `N` bytes, each made of its bytes.
    fn list<const N: usize, T>(&mut self, count: usize, of: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
        let bytes = self.take(count.saturating_mul(N))?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|chunk| of(*chunk)).collect())
    }

    fn shape(&mut self, most: usize) -> Result<Vec<usize>> {
        let count = self.number()?;
        if count > most as u64 {
            return Err(self.odd(format!("at most {most} numbers"), count));
        }
        let number = |n: [u8; 8]| usize::try_from(u64::from_le_bytes(n)).unwrap_or(usize::MAX);
        self.list(count as usize, number)
    }

    fn weights(&mut self, weights: &mut Vec<i8>, evidence: &mut Evidence) -> Result<()> {
        let count = weights.len();
        *weights = self.list(count, i8::from_le_bytes)?;
        evidence.sums = self.list(count, i32::from_le_bytes)?;
        evidence.squares = self.list(count, u64::from_le_bytes)?;
        Ok(())
    }

    fn end(self) -> Result<()> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(self.odd("the end", format!("{} bytes", self.left.len())))
        }
    }
}

fn write_net(net: &IntegerNet, writer: &mut Writer) {
    let mut shape = vec![usize::from(net.spread)];
    shape.extend(net.widths());
    writer.shape(&shape);
    net.layers.iter().for_each(|layer| writer.weights(&layer.map.weights, &layer.map.evidence));
}

fn read_net(reader: &mut Reader<'_>) -> Result<IntegerNet> {
    let shape = reader.shape(1 << 10)?;
    let (spread, widths) = shape.split_first().map_or((0, Vec::new()), |(s, w)| (*s, w.to_vec()));
    // Before anything of that size is made.
    let size = widths.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
    if size > reader.left.len() {
        return Err(reader.odd(format!("{size} weights"), format!("{} bytes", reader.left.len())));
    }
    let mut net = IntegerNet::new(&NetShape { widths, spread: spread.min(255) as u8, seed: 0 })?;
    net.layers
        .iter_mut()
        .try_for_each(|layer| reader.weights(&mut layer.map.weights, &mut layer.map.evidence))?;
    Ok(net)
}

impl IntegerNet {
    /// The bytes of a snapshot after `step` steps.
    pub fn to_snapshot(&self, step: u64) -> Vec<u8> {
        let mut writer = Writer::begin(NET, step);
        write_net(self, &mut writer);
        writer.end()
    }

    /// A net from the bytes of its snapshot, and after how many steps it was taken.
    ///
    /// # Errors
    /// Bytes that are no snapshot of a net, or not as they were written.
    pub fn from_snapshot(bytes: &[u8]) -> Result<(Self, u64)> {
        let (mut reader, step) = Reader::begin(bytes, NET, "a net")?;
        let net = read_net(&mut reader)?;
        reader.end()?;
        Ok((net, step))
    }
}

impl Bytes {
    /// The bytes of a snapshot of the model and of the streams that it learns from, after `step` steps.
    pub fn to_snapshot(&self, streams: &[Stream], step: u64) -> Vec<u8> {
        let mut writer = Writer::begin(BYTES, step);
        let cell = &self.cell;
        writer.shape(&[cell.symbols, cell.units, cell.window, streams.len()]);
        write_net(&self.head, &mut writer);
        writer.weights(&cell.tables, &cell.evidence);
        for stream in streams {
            [stream.key, stream.read].into_iter().for_each(|n| writer.number(n));
            stream.past.iter().for_each(|symbol| writer.number(*symbol as u64));
            writer.0.extend(stream.state.iter().flat_map(|n| n.to_le_bytes()));
            writer.0.extend(stream.influence.iter().flat_map(|n| n.to_le_bytes()));
        }
        writer.end()
    }

    /// A model from the bytes of its snapshot, the streams that it learns from, and after how many steps it was taken.
    ///
    /// # Errors
    /// Bytes that are no snapshot of such a model, or not as they were written.
    pub fn from_snapshot(bytes: &[u8]) -> Result<(Self, Vec<Stream>, u64)> {
        let (mut reader, step) = Reader::begin(bytes, BYTES, "a model of bytes")?;
        let shape = reader.shape(4)?;
        let [symbols, units, window, streams] = shape[..] else {
            return Err(reader.odd("four numbers of a shape", shape.len()));
        };
        let head = read_net(&mut reader)?;
        let (inputs, classes) = (head.inputs(), head.classes());
        if (inputs, classes) != (units, symbols) {
            let expected = format!("layers from {units} to {symbols}");
            return Err(reader.odd(expected, format!("from {inputs} to {classes}")));
        }
        let shape =
            BytesShape { symbols, units, window, hidden: Vec::new(), spread: 1, head_spread: 1, seed: 0 };
        let mut model = Self { head, ..Self::new(&shape)? };
        reader.weights(&mut model.cell.tables, &mut model.cell.evidence)?;
        let mut all = model.streams(streams)?;
        for stream in &mut all {
            (stream.key, stream.read) = (reader.number()?, reader.number()?);
            for past in &mut stream.past {
                let symbol = reader.number()?;
                if symbol >= symbols as u64 {
                    return Err(reader.odd(format!("a symbol below {symbols}"), symbol));
                }
                *past = symbol as usize;
            }
            stream.state = reader.list(units, i32::from_le_bytes)?;
            stream.influence = reader.list(model.cell.tables.len(), i16::from_le_bytes)?;
            stream.revive();
        }
        reader.end()?;
        Ok((model, all, step))
    }
}
