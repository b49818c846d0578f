//! Handwritten digits of 8×8 pixels: a net of int8 learns them, to the same bits for any number of threads.

use onward_integer::{IntegerNet, NetShape, Significance, Tally, ThreadCount, random};
use std::num::NonZeroUsize;

const PIXELS: usize = 64;
const TRAIN: usize = 1400;

fn digits() -> (Vec<i8>, Vec<u8>) {
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for line in include_str!("../../../../data/digits.csv").lines() {
        let numbers: Vec<i8> = line.split(',').filter_map(|n| n.parse().ok()).collect();
        let [pixels @ .., label] = &numbers[..] else { continue };
        rows.extend(pixels.iter().map(|p| p * 7));
        labels.push(*label as u8);
    }
    assert_eq!((rows.len(), labels.len()), (1797 * PIXELS, 1797));
    (rows, labels)
}

fn trained(threads: usize, batch: usize, epochs: u64) -> (IntegerNet, Tally) {
    let threads = ThreadCount(NonZeroUsize::new(threads).unwrap());
    let (rows, labels) = digits();
    let mut net = IntegerNet::new(&NetShape { widths: vec![PIXELS, 32, 10], spread: 6, seed: 1 }).unwrap();
    let per_epoch = (TRAIN / batch) as u64;
    let significance = Significance { alpha: 65_536, fall: 16, steps: epochs * per_epoch, memory: 4 };
    let mut step = 0;
    for epoch in 0..epochs {
        for items in random::order(1, epoch, TRAIN).chunks_exact(batch) {
            let own: Vec<i8> = items.iter().flat_map(|i| &rows[i * PIXELS..][..PIXELS]).copied().collect();
            let classes: Vec<u8> = items.iter().map(|i| labels[*i]).collect();
            net.step(&own, &classes, significance.at(step), threads).unwrap();
            step += 1;
        }
    }
    let judged = net.judge(&rows[TRAIN * PIXELS..], &labels[TRAIN..], threads).unwrap();
    (net, judged)
}

#[test]
fn digits_are_learned_from_integers_alone() {
    let (net, judged) = trained(1, 20, 20);
    println!("{judged:?} {:#x}", net.digest());
    assert!(judged.right * 100 >= judged.items * 92, "{judged:?}");
    // The same bits on every machine.
    assert_eq!(net.digest(), 0xe83d_f87b_f789_c7c8);
}

#[test]
fn one_thread_or_three_give_the_same_net() {
    let (one, three) = (trained(1, 20, 1), trained(3, 20, 1));
    assert_eq!(one.0, three.0);
    assert_eq!(one.1, three.1);
}

#[test]
fn a_batch_of_one_learns() {
    let (_, judged) = trained(1, 1, 2);
    println!("{judged:?}");
    assert!(judged.right * 100 >= judged.items * 85, "{judged:?}");
}
