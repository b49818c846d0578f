//! Fixed-point functions against double precision, saturation, and the test's level.

use onward_integer::fixed::{EXP2, exp2, log2, shifted};
use onward_integer::{IntegerNet, NetShape, Significance, ThreadCount, judge};
use std::path::Path;

#[test]
fn powers_and_logarithms() {
    for (k, value) in EXP2.iter().enumerate() {
        let exact = 65_536.0 * 2f64.powf(-(k as f64) / 256.0);
        assert!((f64::from(*value) - exact).abs() <= 0.51, "{k}: {value} {exact}");
    }
    assert_eq!(
        (exp2(0), exp2(256), exp2(31 * 256), exp2(32 * 256), exp2(u32::MAX)),
        (65_536, 32_768, 0, 0, 0)
    );
    for value in [1, 2, 3, 7, 1000, 65_535, 1 << 31, (1 << 31) + 1, u64::MAX] {
        let exact = (value as f64).log2() * 65_536.0;
        assert!((f64::from(log2(value)) - exact).abs() <= 1.01, "{value}: {} {exact}", log2(value));
    }
    assert_eq!(
        (shifted(5, 1), shifted(-5, 1), shifted(7, 0), shifted(i64::from(i32::MAX), 8)),
        (3, -2, 7, 8_388_608)
    );
}

#[test]
fn losses_and_credit() {
    let logits = [0, 300, -200, 5000, 4900];
    for label in 0..logits.len() {
        let mut credit = [0; 5];
        let judged = judge(&logits, label, &mut credit);
        let powers: Vec<f64> = logits.iter().map(|l| 2f64.powf(f64::from(*l) / 256.0)).collect();
        let sum: f64 = powers.iter().sum();
        let loss = (sum / powers[label]).log2() * 65_536.0;
        assert!((judged.loss as f64 - loss).abs() < 4.0, "{} {loss}", judged.loss);
        assert_eq!(judged.right, label == 3);
        for (i, c) in credit.iter().enumerate() {
            let exact = 32_768.0 * (f64::from(u8::from(i == label)) - powers[i] / sum);
            assert!((f64::from(*c) - exact).abs() <= 2.0, "{c} {exact}");
        }
    }
}

/// Of weights whose scores are noise, a share of α moves in a step.
#[test]
fn noise_moves_a_share_of_alpha() {
    // Items of two classes by chance: nothing can be learned.
    let mut net = IntegerNet::new(&NetShape { widths: vec![200, 2], spread: 64, seed: 1 }).unwrap();
    let mut moved = 0;
    for step in 0..400u64 {
        let number = |i: u64| onward_integer::random::mixed(step, i);
        let rows: Vec<i8> = (0..200 * 16).map(|i| (number(i) % 101) as i8 - 50).collect();
        let labels: Vec<u8> = (0..16).map(|i| (number(1 << 40 | i) & 1) as u8).collect();
        let test = Significance { alpha: 65_536 / 16, fall: 1, steps: 1, memory: 4 }.at(0);
        let done = net.step(&rows, &labels, test, ThreadCount::ONE).unwrap();
        moved += if step >= 100 { done.moved } else { 0 };
    }
    let share = moved as f64 / 300.0 / net.weights() as f64;
    println!("{share}");
    assert!((0.01..0.09).contains(&share), "{share}");
}

/// Weights that should go beyond ±127, and activations, stay at the end of their range, and are counted.
#[test]
fn overflow_saturates_and_is_counted() {
    let mut net = IntegerNet::new(&NetShape { widths: vec![2, 2, 2], spread: 127, seed: 3 }).unwrap();
    let test = Significance { alpha: 65_536, fall: 1, steps: 1, memory: 4 }.at(0);
    let mut total = onward_integer::Tally::default();
    for step in 0..1200 {
        total.add(&net.step(&[127, 127, 127, -127], &[0, 1], test, ThreadCount::ONE).unwrap());
        assert!(net.layer(0).concat().iter().all(|w| *w >= -127), "step {step}");
    }
    println!("{total:?}");
    assert!(total.saturated.activations > 0 && total.saturated.weights > 0, "{total:?}");
}

/// The library's sources name no floating-point type.
#[test]
fn no_source_names_a_float() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("own_tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let found = code
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .find(|w| w.contains("f32") || w.contains("f64"));
        assert_eq!(found, None, "{}", path.display());
    }
}
