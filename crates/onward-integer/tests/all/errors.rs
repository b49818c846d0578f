//! What does not fit is named, with what was expected and found.

use onward_integer::text::{Alphabet, bigram_bits};
use onward_integer::{Bytes, BytesShape, InputError, IntegerNet, NetShape, Significance, ThreadCount};
use std::path::Path;

fn said<T: std::fmt::Debug>(result: Result<T, InputError>) -> String {
    result.unwrap_err().to_string()
}

fn net() -> IntegerNet {
    IntegerNet::new(&NetShape { widths: vec![4, 3, 2], spread: 6, seed: 1 }).unwrap()
}

fn bytes(symbols: usize, window: usize) -> Result<Bytes, InputError> {
    Bytes::new(&BytesShape { symbols, units: 4, window, hidden: vec![], spread: 32, head_spread: 6, seed: 1 })
}

#[test]
fn shapes_and_settings() {
    let shape =
        |widths: &[usize], spread| IntegerNet::new(&NetShape { widths: widths.to_vec(), spread, seed: 1 });
    assert_eq!(
        said(shape(&[4], 6)),
        "widths: expected the number of inputs and of classes at least, found 1 of them"
    );
    assert_eq!(said(shape(&[4, 0, 2], 6)), "widths: expected a number from 1 to 65536, found 0");
    assert_eq!(said(shape(&[4, 2], 0)), "spread: expected a number from 1 to 127, found 0");
    assert_eq!(said(bytes(1, 1)), "symbols: expected a number from 2 to 256, found 1");
    assert_eq!(said(bytes(9, 0)), "window: expected a number from 1 to 16, found 0");
    assert_eq!(said(bytes(9, 1).unwrap().streams(0)), "streams: expected a number from 1 to 512, found 0");
    let significance = |alpha, memory| Significance { alpha, fall: 16, steps: 1, memory }.check();
    assert_eq!(said(significance(0, 4)), "alpha: expected a number from 1 to 65536, found 0");
    assert_eq!(said(significance(9, 1)), "memory: expected a number from 2 to 30, found 1");
}

#[test]
fn rows_and_labels() {
    let test = Significance { alpha: 65_536, fall: 16, steps: 1, memory: 4 }.at(0);
    let mut net = net();
    let mut step = |rows: &[i8], labels: &[u8]| said(net.step(rows, labels, test, ThreadCount::ONE));
    assert_eq!(step(&[], &[]), "items of a step: expected a number from 1 to 512, found 0");
    assert_eq!(step(&[1; 7], &[1, 0]), "rows: expected 8 numbers for 2 items, found 7");
    assert_eq!(step(&[1; 8], &[1, 2]), "labels, item 2: expected a class from 0 to 1, found 2");
    assert_eq!(step(&[1, 1, -128, 1], &[1]), "rows, item 1, number 3: expected -127 to 127, found -128");
}

#[test]
fn texts() {
    let alphabet = Alphabet::of(b"abba");
    let found = alphabet.numbers(b"abc").map_err(|e| e.in_file(Path::new("a.txt")));
    assert_eq!(said(found), "a.txt: byte 3: expected one of the 2 bytes of the alphabet, found 0x63");
    assert_eq!(said(bigram_bits(&[0, 1], &[2], 2)), "text: expected symbols below 2, found 2");
    let mut model = bytes(3, 1).unwrap();
    assert_eq!(said(model.judge(&[1])), "text: expected two symbols at least, found 1");
    let mut streams = model.streams(2).unwrap();
    let test = Significance { alpha: 65_536, fall: 16, steps: 1, memory: 4 }.at(0);
    let mut step =
        |now: &[u8], next: &[u8]| said(model.step(&mut streams, now, next, test, ThreadCount::ONE));
    assert_eq!(step(&[1], &[1, 1]), "now: expected 2 symbols, one for each stream, found 1");
    assert_eq!(step(&[1, 2], &[1, 7]), "next, number 2: expected a symbol from 0 to 2, found 7");
}
