//! Trains a minGRU of int8 on a text, byte by byte, with integers alone: `bytes FILE [KEY=VALUE …]`.
//!
//! The last `held` bytes of the text are for testing, as many before them to choose settings by; the former are only looked at with `test=1`,
//! once, at the end. The bigrams of the same training text are counted beside it. With `snapshot=FILE` the training is kept at every line that
//! is told, and goes on from there.

mod shared;

use onward_integer::text::{Alphabet, bigram_bits};
use onward_integer::{Bytes, BytesShape, InputError, Significance, Tally, ThreadCount};
use shared::{Kept, bits, bytes_of, decimals, end, keep, key, known, snapshot};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

const KEYS: [&str; 16] = [
    "units",
    "window",
    "hidden",
    "spread",
    "head_spread",
    "seed",
    "streams",
    "tokens",
    "alpha",
    "fall",
    "memory",
    "threads",
    "held",
    "shows",
    "test",
    "snapshot",
];

fn model(symbols: usize) -> Result<Bytes, InputError> {
    let hidden = key("hidden", 256)? as usize;
    Bytes::new(&BytesShape {
        symbols,
        units: key("units", 128)? as usize,
        window: key("window", 4)? as usize,
        hidden: if hidden == 0 { vec![] } else { vec![hidden] },
        spread: key("spread", 16)?.min(255) as u8,
        head_spread: key("head_spread", 6)?.min(255) as u8,
        seed: key("seed", 1)?,
    })
}

fn main() -> ExitCode {
    end(train())
}

fn train() -> Result<(), InputError> {
    let file = std::env::args()
        .nth(1)
        .ok_or_else(|| InputError::expected("arguments", "FILE [KEY=VALUE …]", "none"))?;
    known(&KEYS)?;
    let raw = bytes_of(Path::new(&file))?;
    let alphabet = Alphabet::of(&raw);
    let text = alphabet.numbers(&raw)?;
    let (held, streams) = (key("held", 100_000)? as usize, key("streams", 128)? as usize);
    if held < 2 || text.len() < 2 * held + 2 * streams {
        let expected = format!(
            "more than {} bytes, twice what is held out and two for each stream",
            2 * held + 2 * streams
        );
        return Err(InputError::expected("the file", expected, text.len()).in_file(Path::new(&file)));
    }
    let (train, test) = text.split_at(text.len() - held);
    let (train, valid) = train.split_at(train.len() - held);
    let mut model = model(alphabet.symbols())?;
    let mut all = model.streams(streams)?;
    let steps = key("tokens", 3_000_000)? / streams as u64;
    let (alpha, fall, memory) =
        (key("alpha", 65_536)? as u32, key("fall", 64)? as u32, key("memory", 6)? as u32);
    let significance = Significance { alpha, fall, steps, memory };
    significance.check()?;
    let threads = ThreadCount(NonZeroUsize::new(key("threads", 1)? as usize).unwrap_or(NonZeroUsize::MIN));
    let bigrams = |held: &[u8]| -> Result<String, InputError> {
        let bits = bigram_bits(train, held, alphabet.symbols())?;
        Ok(decimals(bits, 65_536 * (held.len() as u64 - 1), 4))
    };
    println!(
        "{} weights, {} symbols, bigrams of {} bytes: {} bits",
        model.weights(),
        alphabet.symbols(),
        train.len(),
        bigrams(valid)?
    );
    let (part, mut total, mut trained) = (train.len() / streams, Tally::default(), 0);
    let every = (steps / key("shows", 10)?.max(1)).max(1);
    let (mut first, kept) = (0, snapshot()?);
    if let Some(Kept { path, bytes: Some(bytes) }) = &kept {
        (model, all, first) = Bytes::from_snapshot(bytes).map_err(|e| e.in_file(path))?;
        println!("goes on after {first} steps");
    }
    for step in first..steps {
        let begin = Instant::now();
        let at = |more: usize| {
            (0..streams).map(|s| train[s * part + step as usize % (part - 1) + more]).collect::<Vec<u8>>()
        };
        total.add(&model.step(&mut all, &at(0), &at(1), significance.at(step), threads)?);
        trained += begin.elapsed().as_micros() as u64;
        if (step + 1) % every == 0 {
            let (tokens, moved) = ((step + 1) * streams as u64, total.moved / every);
            let rate = (step + 1 - first) * streams as u64 * 1_000_000 / trained.max(1);
            let held = bits(&model.judge(valid)?);
            println!(
                "{tokens} bytes: {} bits; held out: {held}; {moved} weights move in a step; {rate} bytes/s",
                bits(&total)
            );
            println!("  {:?}", total.saturated);
            total = Tally::default();
            if let Some(Kept { path, .. }) = &kept {
                keep(path, &model.to_snapshot(&all, step + 1))?;
            }
        }
    }
    if key("test", 0)? == 1 {
        println!("test: {} bits, bigrams {}", bits(&model.judge(test)?), bigrams(test)?);
    }
    println!("weights {:016x}", model.digest());
    Ok(())
}
