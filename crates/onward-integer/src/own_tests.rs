//! What the numbers inside stand for: credit and influence against what really changes.

#![allow(clippy::unwrap_used, clippy::float_arithmetic, clippy::cast_precision_loss)]

use crate::cell::{Cell, Stream};
use crate::fixed::Saturated;
use crate::random::mixed;
use crate::{IntegerNet, NetShape, Significance, ThreadCount};

/// The cosine between two lists.
fn cosine(pairs: &[(f64, f64)]) -> f64 {
    let sum = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
    sum(|(a, b)| a * b) / (sum(|(a, _)| a * a) * sum(|(_, b)| b * b)).sqrt()
}

/// Each weight's score against the loss at that weight some steps higher and lower.
#[test]
fn scores_are_what_the_loss_does() {
    const ITEMS: usize = 512;
    let shape = NetShape { widths: vec![12, 16, 8, 3], spread: 100, seed: 2 };
    let mut net = IntegerNet::new(&shape).unwrap();
    let rows: Vec<i8> = (0..ITEMS * 12).map(|i| ((mixed(1, i as u64) % 255) as i16 - 127) as i8).collect();
    let labels: Vec<u8> = (0..ITEMS).map(|i| (mixed(2, i as u64) % 3) as u8).collect();
    // At the first step sum² is the square: no weight moves at such a level.
    let test = Significance { alpha: 1, fall: 1, steps: 1, memory: 30 }.at(0);
    let before = net.clone();
    net.step(&rows, &labels, test, ThreadCount::ONE).unwrap();
    for layer in 0..3 {
        assert_eq!(net.layers[layer].map.weights, before.layers[layer].map.weights);
        let map = &net.layers[layer].map;
        let places = (0..map.weights.len()).filter(|p| p % map.stride <= map.inputs).step_by(3);
        let both: Vec<(f64, f64)> = places
            .map(|place| {
                let loss = |by: i8| {
                    let mut moved = before.clone();
                    moved.layers[layer].map.weights[place] += by;
                    moved.judge(&rows, &labels, ThreadCount::ONE).unwrap().loss as f64
                };
                (f64::from(map.evidence.sums[place]), loss(-16) - loss(16))
            })
            .collect();
        let cosine = cosine(&both);
        assert!(cosine > 0.97, "layer {layer}: {cosine}");
    }
}

fn run(cell: &Cell, learned: bool) -> Stream {
    let (mut stream, mut counts) = (cell.stream(1, learned), Saturated::default());
    let (mut out, mut scores) = (vec![0; cell.units], vec![0; cell.tables.len()]);
    for place in 0..60 {
        cell.read(&mut stream, (mixed(4, place) % 5) as usize, &mut out, &mut counts);
        if learned {
            cell.follow(&mut stream, &vec![0; cell.units], &mut scores, &mut counts);
        }
    }
    stream
}

/// The influence after sixty bytes against states that were run anew with each weight one higher and one lower.
#[test]
fn influence_is_what_states_do() {
    let cell = Cell::new(5, 8, 2, 20, 3);
    let followed = run(&cell, true);
    let states = |weight: usize, by: i8| {
        let mut moved = cell.clone();
        moved.tables[weight] += by;
        run(&moved, false).state
    };
    let gates = 2 * 5 * 8;
    for (name, weights, unit) in [("value", 0..gates, 2.0), ("gate", gates..gates + 5 * 8, 64.0)] {
        let both: Vec<(f64, f64)> = weights
            .map(|weight| {
                let own = weight % 8;
                let real = states(weight, 1)[own] - states(weight, -1)[own];
                (unit * f64::from(followed.influence[weight]), f64::from(real) / 2.0)
            })
            .collect();
        let cosine = cosine(&both);
        let sums = both.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x.abs(), b + y.abs()));
        assert!(cosine > 0.9999 && (sums.0 / sums.1 - 1.0).abs() < 0.01, "{name}: {cosine} {sums:?}");
    }
}
