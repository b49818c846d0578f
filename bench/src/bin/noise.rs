//! Noise added to f32 weights on one thread, next to a bare pass over the same memory, and replay of many probes at once.
//!
//!     cargo run --release -p onward-bench --bin noise

use onward::ledger::{Entry, Moves, Optimizer, Recipe, Scaling, State, Update};
use onward::model::WeightSpace;
use onward::noise::{Family, Role, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::threads::Threads;
use onward_bench::{Times, alternately, numbers, print_table};
use std::cell::RefCell;
use std::hint::black_box;

const FAMILIES: [(Family, &str, &str); 3] = [
    (Family::Sign, "sign", "2.5"),
    (Family::Binomial, "binomial (near-normal)", "1.5"),
    (Family::Normal, "normal (Box–Muller)", "0.9"),
];

/// What is replayed: noise, members, rows and columns of the weights, momentum, rounds.
const REPLAYS: [(WeightSpace, usize, [usize; 2], f32, usize); 6] = [
    (WeightSpace::Dense { noise: Family::Sign }, 1000, [2500, 4000], 0.0, 5),
    (WeightSpace::Dense { noise: Family::Binomial }, 100, [2500, 4000], 0.0, 5),
    (WeightSpace::Dense { noise: Family::Sign }, 1, [2500, 4000], 0.0, 51),
    (WeightSpace::Dense { noise: Family::Sign }, 1, [2500, 4000], 0.9, 51),
    (WeightSpace::LowRank { rank: 1, noise: Family::Sign }, 1000, [2500, 4000], 0.0, 5),
    (WeightSpace::LowRank { rank: 1, noise: Family::Sign }, 1, [2500, 4000], 0.0, 51),
];

fn main() -> onward::Result<()> {
    // One thread, which is the one that is timed.
    Threads::new(1)?.run(all)
}

fn all() -> onward::Result<()> {
    let mut rows = Vec::new();
    for (place, n, repeats, rounds) in [("512 KiB (L2)", 1 << 17, 16, 201), ("256 MiB", 1 << 26, 1, 11)] {
        rows.extend(measure(place, n, repeats, rounds));
    }
    print_table(&["weights", "noise", "G/s median", "G/s best", "best, share of bare pass", "target"], &rows);
    println!();
    let rows: Vec<Vec<String>> =
        REPLAYS.iter().map(|r| replay(r.0, r.1, r.2, r.3, r.4)).collect::<onward::Result<_>>()?;
    let header =
        ["probes", "momentum", "ms median", "ms best", "G weight·probes/s median", "G weights/s median"];
    print_table(&header, &rows);
    Ok(())
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

/// `State::apply` of one entry with that many probes.
fn replay(
    space: WeightSpace,
    members: usize,
    shape: [usize; 2],
    momentum: f32,
    rounds: usize,
) -> onward::Result<Vec<String>> {
    let n = shape[0] * shape[1];
    let weights = Tensor { name: "w".into(), shape: shape.to_vec(), data: numbers(n, 2).into() };
    let recipe = Recipe {
        moves: Moves::Noise(space),
        optimizer: Optimizer { momentum, scaling: Scaling::None },
        storage: Storage::F32,
        rates: vec![],
    };
    let mut state = State::new(Params::from_tensors(vec![weights]), recipe, RunKey::from_seed(1))?;
    let coefficients: Vec<i16> = (0..members as i16).map(|i| i % 97 - 50).collect();
    let mut apply = || {
        let update = Update::Probes { exponent: -20, coefficients: coefficients.clone() };
        let entry = Entry { step: state.step(), loss: 0.0, rate: 1.0, non_finite: 0, update };
        if let Err(e) = state.apply(&entry, None) {
            println!("not applied: {e}");
        }
    };
    let times = alternately(rounds, &mut [&mut apply])[0];
    let kind = match space {
        WeightSpace::Dense { noise } => format!("{members} dense, {noise:?}"),
        WeightSpace::LowRank { rank, noise } => format!("{members} of rank {rank}, {noise:?}"),
        WeightSpace::Coordinate => "coordinates".to_owned(),
    };
    let rate = |work: f64| format!("{:.2}", work / times.median / 1e9);
    Ok(vec![
        kind.to_lowercase(),
        momentum.to_string(),
        format!("{:.1}", times.median * 1e3),
        format!("{:.1}", times.best * 1e3),
        rate(n as f64 * members as f64),
        rate(n as f64),
    ])
}
