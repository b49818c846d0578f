//! Text: exact influence learns what bigrams cannot know, at every byte, to the same bits for any number of threads.

use onward_integer::text::{Alphabet, bigram_bits};
use onward_integer::{Bytes, BytesShape, Significance, ThreadCount, random};
use std::num::NonZeroUsize;

/// Small letters drawn by chance, each answered by its capital: `a:A b:B a:A …`.
fn answered(length: usize) -> Vec<u8> {
    let letter = |place: usize| (random::mixed(5, place as u64 / 4) & 1) as u8;
    let byte = |place: usize| [b'a' + letter(place), b':', b'A' + letter(place), b' '][place % 4];
    let text: Vec<u8> = (0..length).map(byte).collect();
    Alphabet::of(&text).numbers(&text).unwrap()
}

fn shape(symbols: usize, units: usize) -> BytesShape {
    BytesShape { symbols, units, window: 1, hidden: vec![32], spread: 32, head_spread: 6, seed: 1 }
}

/// Trains on `text` in so many streams; returns the model and the steps' whole loss.
fn trained(text: &[u8], streams: usize, steps: usize, threads: usize) -> (Bytes, u64) {
    let threads = ThreadCount(NonZeroUsize::new(threads).unwrap());
    let mut model = Bytes::new(&shape(6, 32)).unwrap();
    let mut all = model.streams(streams).unwrap();
    let significance = Significance { alpha: 65_536, fall: 16, steps: steps as u64, memory: 4 };
    let (part, mut loss) = (text.len() / streams, 0);
    for step in 0..steps {
        let at = |more: usize| {
            (0..streams).map(|s| text[s * part + step % (part - 1) + more]).collect::<Vec<u8>>()
        };
        loss += model.step(&mut all, &at(0), &at(1), significance.at(step as u64), threads).unwrap().loss;
    }
    (model, loss)
}

#[test]
fn states_learn_what_bigrams_cannot_know() {
    let text = answered(40_000);
    let (train, held) = text.split_at(36_000);
    let (model, _) = trained(train, 16, 2200, 1);
    let bigram = bigram_bits(train, held, 6).unwrap();
    let judged = model.judge(held).unwrap();
    println!("{judged:?} {bigram} {:#x}", model.digest());
    // Of four bytes one is drawn by chance: a quarter of a bit is the least; pairs tell half a bit.
    assert!(judged.loss * 10 < bigram * 6, "{} of {bigram}", judged.loss);
    assert_eq!(model.digest(), 0xc359_f447_2694_3d8b);
}

#[test]
fn one_thread_or_three_give_the_same_model() {
    let text = answered(4000);
    assert_eq!(trained(&text, 7, 30, 1), trained(&text, 7, 30, 3));
}

#[test]
fn a_single_stream_learns() {
    let text = answered(4000);
    let (model, _) = trained(&text, 1, 3000, 1);
    let untrained = Bytes::new(&shape(6, 32)).unwrap();
    let (before, after) = (untrained.judge(&text).unwrap().loss, model.judge(&text).unwrap().loss);
    println!("{before} {after}");
    assert!(after * 2 < before, "{after} of {before}");
}

#[test]
fn later_bytes_change_nothing_before_them() {
    let text = answered(400);
    let mut altered = text.clone();
    altered[61..].fill(0);
    // 60 steps read bytes 0 to 60.
    assert_eq!(trained(&text, 1, 60, 1), trained(&altered, 1, 60, 1));
    assert_ne!(trained(&text, 1, 70, 1), trained(&altered, 1, 70, 1));
}
