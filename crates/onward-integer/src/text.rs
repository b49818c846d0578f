//! Texts as symbols, and the rival that only counts.

use crate::error::{InputError, Result};
use crate::fixed::log2;

/// The bytes that occur in a text, numbered in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alphabet {
    bytes: Vec<u8>,
}

impl Alphabet {
    /// The bytes that occur in `text`.
    pub fn of(text: &[u8]) -> Self {
        let mut seen = [false; 256];
        text.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        Self { bytes: (0..=255).filter(|byte| seen[usize::from(*byte)]).collect() }
    }

    /// How many bytes there are; 0 to 256.
    pub fn symbols(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes in the order of their numbers.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The numbers of a text's bytes.
    ///
    /// # Errors
    /// A byte that is not in the alphabet.
    pub fn numbers(&self, text: &[u8]) -> Result<Vec<u8>> {
        let number = |(at, byte): (usize, &u8)| match self.bytes.binary_search(byte) {
            Ok(number) => Ok(number as u8),
            Err(_) => Err(InputError::expected(
                format!("byte {}", at + 1),
                format!("one of the {} bytes of the alphabet", self.symbols()),
                format!("0x{byte:02x}"),
            )),
        };
        text.iter().enumerate().map(number).collect()
    }
}

/// The bits that the bigrams counted in `train` need for `held`, in units of `2^-16` (its first symbol is given).
///
/// Every pair is taken to have been seen a sixteenth of a time more than it was.
///
/// # Errors
/// A symbol that is not below `symbols`.
pub fn bigram_bits(train: &[u8], held: &[u8], symbols: usize) -> Result<u64> {
    if let Some(odd) = train.iter().chain(held).find(|s| usize::from(**s) >= symbols) {
        return Err(InputError::expected("text", format!("symbols below {symbols}"), odd));
    }
    let (mut pairs, mut first) = (vec![0u64; symbols * symbols], vec![0u64; symbols]);
    for pair in train.windows(2) {
        pairs[usize::from(pair[0]) * symbols + usize::from(pair[1])] += 1;
        first[usize::from(pair[0])] += 1;
    }
    let bits = |pair: &[u8]| {
        let (a, b) = (usize::from(pair[0]), usize::from(pair[1]));
        u64::from(log2(16 * first[a] + symbols as u64) - log2(16 * pairs[a * symbols + b] + 1))
    };
    Ok(held.windows(2).map(bits).sum())
}
