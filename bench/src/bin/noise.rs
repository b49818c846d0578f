//! Noise added to f32 weights on one thread, next to a bare pass over the same memory: G elements per second.
//!
//!     cargo run --release -p onward-bench --bin noise

use onward::noise::{Family, Role, RunKey};
use onward_bench::{Times, alternately, numbers, print_table};
use std::cell::RefCell;
use std::hint::black_box;

const FAMILIES: [(Family, &str, &str); 3] = [
    (Family::Sign, "sign", "1.5"),
    (Family::Binomial, "binomial (near-normal)", "0.6"),
    (Family::Normal, "normal (Box–Muller)", "0.6"),
];

fn main() {
    let mut rows = Vec::new();
    for (place, n, repeats, rounds) in [("512 KiB (L2)", 1 << 17, 16, 201), ("256 MiB", 1 << 26, 1, 11)] {
        rows.extend(measure(place, n, repeats, rounds));
    }
    print_table(&["weights", "noise", "G/s median", "G/s best", "best, share of bare pass", "target"], &rows);
}

fn measure(place: &str, n: usize, repeats: u32, rounds: usize) -> Vec<Vec<String>> {
    let weights = RefCell::new(numbers(n, 1));
    let key = RunKey::from_seed(1).tensor(Role::Dense, "w");
    let mut bare = || {
        for _ in 0..repeats {
            black_box(&mut *weights.borrow_mut()).iter_mut().for_each(|w| *w += 1e-3);
        }
    };
    let adding = |family: Family| {
        let weights = &weights;
        move || {
            for member in 0..repeats {
                key.at(1, member).add_to(family, 0, 1e-3, black_box(&mut *weights.borrow_mut()));
            }
        }
    };
    let mut kinds = FAMILIES.map(|(family, ..)| adding(family));
    let [sign, binomial, normal] = &mut kinds;
    let times = alternately(rounds, &mut [&mut bare, sign, binomial, normal]);
    let work = n as f64 * f64::from(repeats) / 1e9;
    let names = [("bare pass", "")].into_iter().chain(FAMILIES.map(|(_, name, target)| (name, target)));
    let row = |((name, target), t): ((&str, &str), &Times)| {
        let (rate, share) = (|seconds: f64| format!("{:.2}", work / seconds), times[0].best / t.best);
        vec![
            place.into(),
            name.into(),
            rate(t.median),
            rate(t.best),
            format!("{share:.2}"),
            if target.is_empty() { String::new() } else { format!("≥ {target}") },
        ]
    };
    names.zip(&times).map(row).collect()
}
