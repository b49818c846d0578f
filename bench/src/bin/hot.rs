//! One scalar hot path, again and again, for counting its instructions: `python3 bench/instructions.py` runs this under
//! callgrind. By hand:
//!
//!     cargo run --release -p onward-bench --bin hot quantise 10

use onward::dataset::{Columns, Targets};
use onward::ledger::{Entry, Header, Ledger, Moves, Optimizer, Recipe, Update, read};
use onward::model::{Act, WeightSpace};
use onward::noise::{Family, Role, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rule::{centred_ranks, quantise};
use onward::task::{Answers, Loss, Task};
use onward_bench::numbers;
use std::hint::black_box;
use std::path::Path;

#[global_allocator]
static ALLOCATOR: onward_cli::allocator::Allocator = onward_cli::allocator::Allocator;

/// What one repetition does, and how many units of what that is.
const PATHS: [(&str, &str, usize); 6] = [
    ("quantise", "coefficient", 1024),
    ("centred-ranks", "member", 1024),
    ("cross-entropy", "row of 10", 1024),
    ("sign-noise", "element", 1 << 16),
    ("params-digest", "weight", 1 << 16),
    ("ledger-record", "record of 64 coefficients, written and read", 64),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(repeats)) = (args.next(), args.next()) else {
        for (name, unit, count) in PATHS {
            println!("{name}\t{unit}\t{count}");
        }
        return Ok(());
    };
    let repeats: usize = repeats.parse()?;
    let values: Vec<f32> = numbers(1 << 16, 1);
    let wide: Vec<f64> = values[..1024].iter().map(|v| f64::from(*v)).collect();
    let outputs = Act::new(1024, [1, 1, 10], values[..10_240].to_vec());
    let targets = Targets::Classes { labels: (0..1024).map(|i| i % 10).collect(), classes: 10 };
    let columns = Columns::default();
    let params = Params::from_tensors(vec![Tensor {
        name: "w".into(),
        shape: vec![1 << 16],
        data: values.clone().into(),
    }]);
    let noise = RunKey::from_seed(1).tensor(Role::Dense, "w").at(0, 0);
    let mut buffer = vec![0f32; 1 << 16];
    for _ in 0..repeats {
        match name.as_str() {
            "quantise" => _ = black_box(quantise(black_box(&wide), Some(1))),
            "centred-ranks" => _ = black_box(centred_ranks(black_box(&values[..1024]))),
            "cross-entropy" => {
                let answers = Answers::all(&targets, &columns);
                Loss::CrossEntropy.losses(black_box(&outputs), answers, &mut buffer[..1024])?;
            }
            "sign-noise" => noise.add_to(Family::Sign, 0, 0.5, black_box(&mut buffer)),
            "params-digest" => _ = black_box(params.digest()),
            "ledger-record" => ledger(64)?,
            _ => return Err(format!("no path {name}").into()),
        }
    }
    Ok(())
}

fn ledger(records: u64) -> Result<(), Box<dyn std::error::Error>> {
    let header = Header {
        version: None,
        evaluator: None,
        numerics: None,
        seed: 1,
        steps: records,
        goal: "minimize".into(),
        method: "population".into(),
        recipe: Recipe {
            moves: Moves::Noise(WeightSpace::Dense { noise: Family::Sign }),
            optimizer: Optimizer::default(),
            storage: Storage::F32,
            rates: vec![],
        },
        settings: None,
        model: None,
        types: Default::default(),
        rows: None,
        spec: [0; 32],
        interface: None,
        data: [0; 32],
        test: None,
        validation: None,
        base: [0; 32],
        tensors: Vec::new(),
    };
    let path = std::env::temp_dir().join(format!("onward-hot-{}.ledger", std::process::id()));
    let mut ledger = Ledger::create(&path, &header)?;
    for step in 0..records {
        let coefficients = (0..64).map(|i| i * 37 - 1000).collect();
        let update = Update::Probes { exponent: -20, coefficients };
        ledger.append(&Entry { step, loss: 0.5, rate: 0.1, non_finite: 0, update })?;
    }
    ledger.flush()?;
    count(&path, records)
}

fn count(path: &Path, records: u64) -> Result<(), Box<dyn std::error::Error>> {
    let found = read(&std::fs::read(path)?)?.records.len();
    std::fs::remove_file(path)?;
    assert_eq!(found as u64, records);
    Ok(())
}
