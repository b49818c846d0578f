//! Forward passes in bf16 and int8: near the f32 ones, row by row, the same for any number of threads, and good enough to
//! learn from.

use crate::common::{
    Shaped, blobs, distance, known, local, params_of, params_on, plan, population, relative, small_conv,
    two_point, whole, wide,
};
use onward::ask::WeightPlan;
use onward::dataset::Dataset;
use onward::evaluate::Local;
use onward::kernel::Precision;
use onward::ledger::{Ledger, Rounding, State, read};
use onward::model::{Act, Activation, Member, Mlp, Norms, WeightSpace};
use onward::noise::Family;
use onward::params::{Params, Storage};
use onward::rule::Method;
use onward::task::Loss;
use onward::train::{Plan, Trainer, hex, score};
use proptest::prelude::*;

const LOW: [Precision; 4] = [Precision::ALL[1], Precision::ALL[2], Precision::ALL[3], Precision::ALL[4]];

fn net() -> Mlp {
    Mlp::new(&[37, 67, 33, 5], Activation::Relu).unwrap()
}

fn rows_of(data: &Dataset) -> Act {
    whole(data).x
}

/// What the largest rounding of each precision does to a product of standard numbers, with room for a few layers.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-6,
        Precision::Bf16(_) => 0.02,
        Precision::Int8 => 0.06,
    }
}

#[test]
fn outputs_are_near_those_in_single_precision() {
    let evaluators = [
        (local(net(), Loss::CrossEntropy, 2), blobs(50, [1, 1, 37], 5, 1)),
        (local(small_conv(), Loss::CrossEntropy, 2), blobs(50, [6, 6, 2], 4, 1)),
    ];
    for (evaluator, data) in &evaluators {
        let params = params_on(&evaluator.graph(data.shape()).unwrap(), 3);
        let outputs = |p| evaluator.with_precision(p).outputs(&params, rows_of(data), Norms::Batch).unwrap();
        let exact = outputs(Precision::F32);
        for precision in LOW {
            let found = distance(&wide(outputs(precision).data()), &wide(exact.data()));
            assert!(found > 1e-4, "{precision:?}: {found}, as if nothing had been rounded");
            assert!(found < tolerance(precision), "{precision:?}: relative distance {found}");
        }
    }
}

#[test]
fn a_row_does_not_feel_its_neighbours() {
    let evaluator = local(net(), Loss::CrossEntropy, 1);
    let params = params_of(&net(), 3);
    let data = blobs(40, [1, 1, 37], 5, 1);
    for precision in Precision::ALL {
        let evaluator = evaluator.with_precision(precision);
        let all = evaluator.outputs(&params, rows_of(&data), Norms::Batch).unwrap();
        for row in [0, 1, 17, 39] {
            let alone = evaluator.outputs(&params, rows_of(&data).slice(row, row + 1), Norms::Batch);
            assert_eq!(alone.unwrap().row(0), all.row(row), "{precision:?}, row {row}");
        }
    }
}

#[test]
fn what_is_not_finite_stays_so_in_its_own_row() {
    let evaluator = local(net(), Loss::CrossEntropy, 1);
    let params = params_of(&net(), 3);
    let clean = rows_of(&blobs(9, [1, 1, 37], 5, 1));
    for precision in Precision::ALL {
        let evaluator = evaluator.with_precision(precision);
        let sound = evaluator.outputs(&params, clean.clone(), Norms::Batch).unwrap();
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let mut x = clean.clone();
            x.data_mut()[4 * 37 + 11] = bad;
            // Before the non-linearity, which may well answer a number: the first product alone.
            let first = Mlp::new(&[37, 5], Activation::Relu).unwrap();
            let params_of_one = params_of(&first, 3);
            let one = local(first, Loss::CrossEntropy, 1).with_precision(precision);
            let z = one.outputs(&params_of_one, x.clone(), Norms::Batch).unwrap();
            assert!(z.row(4).iter().all(|v| !v.is_finite()), "{precision:?}, {bad}: {:?}", z.row(4));
            let found = evaluator.outputs(&params, x, Norms::Batch).unwrap();
            for row in (0..9).filter(|r| *r != 4) {
                assert_eq!(found.row(row), sound.row(row), "{precision:?}, {bad}, row {row}");
            }
        }
    }
}

fn train(method: &Method, evaluator: &Local, data: &Dataset, steps: u64) -> Trainer {
    let mut trainer =
        Trainer::new(plan(method.clone(), 0.02, steps, 30), evaluator.clone(), data.clone()).unwrap();
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    trainer
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let data = blobs(60, [6, 6, 2], 4, 2);
    let methods = [
        Method::Population(population(14)),
        Method::TwoPoint(two_point(3)),
        Method::RelativeActivation(relative(3)),
    ];
    for precision in LOW {
        for method in &methods {
            let digest = |threads| {
                let evaluator = local(small_conv(), Loss::CrossEntropy, threads).with_precision(precision);
                train(method, &evaluator, &data, 3).state().params().digest()
            };
            assert_eq!(digest(1), digest(3), "{precision:?}, {}", method.name());
        }
    }
}

/// Found on a processor that has AMX; elsewhere emulation has to lead there.
#[test]
fn each_arithmetic_leads_to_its_own_params_on_every_machine() {
    let data = blobs(60, [6, 6, 2], 4, 2);
    let method = Method::RelativeActivation(relative(3));
    let found = Precision::ALL.map(|precision| {
        let evaluator = local(small_conv(), Loss::CrossEntropy, 2).with_precision(precision);
        let digest = train(&method, &evaluator, &data, 20).state().params().digest();
        format!("{} {}", precision.arithmetic(), &hex(&digest)[..16])
    });
    assert_eq!(
        found,
        [
            "f32 c09f1a507644c7dc",
            "bf16-chain d2a79a7a1a863956",
            "bf16-avx512 c4db20145c3e8a10",
            "bf16-amx 527bf6b959ec54e6",
            "int8 3b1f3e4f90f958e9",
        ]
    );
}

#[test]
fn probes_move_losses_about_as_they_do_in_single_precision() {
    let evaluator = local(net(), Loss::CrossEntropy, 2);
    let params = params_of(&net(), 3);
    let batch = whole(&blobs(60, [1, 1, 37], 5, 1));
    let spaces =
        [WeightSpace::LowRank { rank: 1, noise: Family::Sign }, WeightSpace::Dense { noise: Family::Sign }];
    for space in spaces {
        let members = (0..20).flat_map(|index| [1.0, -1.0].map(|sign| Member { index, sign })).collect();
        let plan = WeightPlan { step: 0, space, sigma: 0.05, members, together: 2, share: 0, scales: vec![] };
        let differences = |p| -> Vec<f64> {
            let key = onward::noise::RunKey::from_seed(1);
            let found = known(evaluator.with_precision(p).losses(&key, &params, &batch, &plan));
            found.chunks_exact(2).map(|l| f64::from(l[0]) - f64::from(l[1])).collect()
        };
        let exact = differences(Precision::F32);
        for precision in LOW {
            let found = distance(&differences(precision), &exact);
            assert!(found < 10.0 * tolerance(precision), "{precision:?}, {space:?}: {found}");
        }
    }
}

#[test]
fn every_precision_learns() {
    let data = blobs(300, [1, 1, 37], 5, 4);
    for precision in Precision::ALL {
        let evaluator = local(net(), Loss::CrossEntropy, 2).with_precision(precision);
        let trained = train(&Method::RelativeActivation(relative(16)), &evaluator, &data, 150);
        let found = score(&evaluator, trained.state().params(), &[], &data).unwrap().accuracy.unwrap();
        assert!(found >= 0.95, "{precision:?}: {found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_width_works(k in 1usize..140, n in 1usize..70, rows in 1usize..40, seed in 0u64..100) {
        let evaluator = local(Mlp::new(&[k, n], Activation::Relu).unwrap(), Loss::SquaredError, 1);
        let params = params_on(&evaluator.graph([1, 1, k]).unwrap(), seed);
        let x = rows_of(&blobs(rows, [1, 1, k], 2, seed));
        let outputs = |p| wide(evaluator.with_precision(p).outputs(&params, x.clone(), Norms::Batch).unwrap().data());
        let exact = outputs(Precision::F32);
        // Relative to the size of inputs and weights, not of the sum, which may cancel.
        let size: f64 = wide(x.data()).iter().map(|v| v * v).sum::<f64>().sqrt() * (n as f64).sqrt() * 2.0;
        for precision in LOW {
            let off = outputs(precision).iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            prop_assert!(off <= tolerance(precision) * size, "{precision:?}: {off} of {size}");
        }
    }
}

#[test]
fn params_in_bf16_learn_replay_and_do_not_swallow_small_steps() {
    let data = blobs(300, [1, 1, 37], 5, 4);
    let evaluator = local(net(), Loss::CrossEntropy, 2);
    let mut methods = [
        (Method::RelativeActivation(relative(16)), 0.02, 150),
        // Steps far below the distance of neighbouring numbers: rounded to the nearest, nothing would ever move.
        (Method::RelativeActivation(relative(16)), 1e-4, 150),
    ];
    for (method, rate, steps) in &mut methods {
        let run = |threads, storage| {
            let evaluator = local(net(), Loss::CrossEntropy, threads);
            let plan = Plan { storage, ..plan(method.clone(), *rate, *steps, 30) };
            let mut trainer = Trainer::new(plan, evaluator, data.clone()).unwrap();
            let mut rounding = None::<Rounding>;
            while !trainer.finished() {
                if let Some(found) = trainer.step().unwrap().rounding {
                    *rounding.get_or_insert_default() += found;
                }
            }
            (trainer, rounding)
        };
        let (exact, none) = run(1, Storage::F32);
        let (trainer, rounding) = run(1, Storage::Bf16);
        assert_eq!(none, None);
        let rounding = rounding.unwrap();
        assert!((0.001..1.0).contains(&rounding.moved_share()), "{rounding:?}");
        assert!((0.05..1.0).contains(&rounding.cosine()), "{}", rounding.cosine());
        assert_eq!(run(3, Storage::Bf16).0.state().params().digest(), trainer.state().params().digest());
        let params = trainer.state().params();
        assert_eq!(params, &params.clone().stored_as(Storage::Bf16), "only numbers of bf16");
        let base = Params::init(net().graph().tensors(), &onward::noise::RunKey::from_seed(11));
        let way = |to: &Params| -> Vec<f64> {
            let pairs = to.tensors().iter().zip(base.tensors());
            pairs
                .flat_map(|(t, b)| wide(&t.data.floats()).into_iter().zip(wide(&b.data.floats())))
                .map(|(t, b)| t - b)
                .collect()
        };
        let found = crate::common::cosine(&way(params), &way(exact.state().params()));
        assert!(found > 0.4, "rate {rate}: the way has cosine {found} with that of single precision");
        if *rate == 0.02 {
            let found = score(&evaluator, params, &[], &data).unwrap().accuracy.unwrap();
            assert!(found >= 0.95, "{found}");
        }
    }
}

#[test]
fn a_ledger_tells_that_params_are_stored_in_bf16() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.bin");
    let data = blobs(60, [1, 1, 37], 5, 4);
    let plan = Plan { storage: Storage::Bf16, ..plan(Method::Population(population(8)), 0.02, 5, 30) };
    let mut trainer = Trainer::new(plan, local(net(), Loss::CrossEntropy, 1), data).unwrap();
    let mut ledger = Ledger::create(&path, &trainer.header([0; 32])).unwrap();
    let base = trainer.state().params().clone();
    while !trainer.finished() {
        ledger.append(&trainer.step().unwrap().entry).unwrap();
    }
    ledger.flush().unwrap();
    let found = read(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((found.header.recipe.storage, found.header.base), (Storage::Bf16, base.digest()));
    let mut state = State::new(base, found.header.recipe, onward::noise::RunKey::from_seed(11)).unwrap();
    for record in &found.records {
        assert!(state.apply(record, None).unwrap().is_some());
    }
    assert_eq!(state.params().digest(), trainer.state().params().digest());
}

#[test]
fn large_layers_are_shared_by_the_threads_without_a_trace() {
    // Few rows, whose columns are shared; and many, of which each thread has some.
    for (rows, widths) in [(50, [1100, 1300, 700]), (600, [300, 333, 210]), (1, [2000, 2300, 5])] {
        let data = blobs(rows, [1, 1, widths[0]], 5, 9);
        let net = Mlp::new(&widths, Activation::Relu).unwrap();
        let params = params_of(&net, 3);
        for precision in Precision::ALL {
            let outputs = |threads| {
                let evaluator = local(net.clone(), Loss::SquaredError, threads).with_precision(precision);
                evaluator.outputs(&params, rows_of(&data), Norms::Batch).unwrap()
            };
            let one = outputs(1);
            assert!([2, 5].into_iter().all(|threads| outputs(threads) == one), "{rows} {precision:?}");
        }
    }
}
