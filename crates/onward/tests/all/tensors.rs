//! Tensors of every type: in files and out, lying in memory of somebody else's, trained, and what is wrong with bad ones.

use crate::common::{blobs, local, params_on, plan, population, relative, two_point};
use onward::evaluate::Local;
use onward::kernel::{from_f16, to_bf16, to_f16};
use onward::ledger::{Entry, Moves, Optimizer, Recipe, State, Update};
use onward::mapped::Mapping;
use onward::model::{Act, Activation, Builder, Graph, Mlp, Model, Norms, Rate, Rated, Var, WeightSpace};
use onward::noise::{Family, RunKey};
use onward::params::{DType, Memory, Params, Storage, Tensor, TensorData};
use onward::rule::Method;
use onward::task::Loss;
use onward::train::{Given, Plan, Trainer};
use onward::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A table of words, a product, normalised, and a head.
struct Words;

impl Model for Words {
    fn build(&self, g: &mut Builder) -> Result<Var> {
        let x = g.input();
        let x = g.embed("table", x, 7, 6);
        let x = g.linear("up", x, 5);
        let x = g.layer_norm("norm", x);
        let x = g.map(Activation::Gelu, x);
        Ok(g.linear("head", x, 3))
    }
}

fn words() -> Vec<f32> {
    (0..24).flat_map(|row| [row % 7, row * 3 % 7].map(|word| word as f32)).collect()
}

/// The numbers of `params` in another type, scales for each output where there are bytes.
fn as_type(params: &Params, dtype: DType) -> Params {
    let one = |t: &Tensor| {
        let halves = |to: fn(f32) -> u16| t.data.iter().flat_map(|v| to(v).to_le_bytes()).collect();
        let outputs = t.shape[0];
        let data = match dtype {
            DType::F32 => t.data.clone(),
            DType::Bf16 => TensorData::new(dtype, halves(to_bf16), &[]).unwrap(),
            DType::F16 => TensorData::new(dtype, halves(to_f16), &[]).unwrap(),
            DType::Int8 => {
                let bytes = t.data.iter().map(|v| (v * 60.0) as i8 as u8).collect();
                let scales: Vec<f32> = (0..outputs).map(|i| 0.02 + i as f32 / 500.0).collect();
                TensorData::new(dtype, bytes, &scales).unwrap()
            }
        };
        Tensor { data, ..t.clone() }
    };
    Params::from_tensors(params.tensors().iter().map(one).collect())
}

const TYPES: [DType; 4] = [DType::F32, DType::Bf16, DType::F16, DType::Int8];

fn wide(params: &Params) -> Params {
    params.clone().stored_as(Storage::F32)
}

/// A file of these params that is there for the test.
fn file(params: &Params) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    std::fs::write(&path, params.to_safetensors(&[], &[]).unwrap()).unwrap();
    (folder, path)
}

/// Memory that can be taken away.
struct Shelf(Vec<u8>, AtomicBool);

impl Memory for Shelf {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn check(&self) -> Result<()> {
        if self.1.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Error::expected(ErrorKind::Damage, "the shelf", "bytes that stay", "none"))
    }
}

fn lent(params: &Params) -> (Arc<Shelf>, Params) {
    // An odd address: nothing begins where f32 may.
    let mut bytes = params.to_safetensors(&[], &[("format", "pt".into())]).unwrap();
    let names = params.tensors().iter().map(|t| t.name.clone()).collect::<Vec<_>>();
    let shelf = Arc::new(Shelf(std::mem::take(&mut bytes), AtomicBool::new(true)));
    let memory: Arc<dyn Memory> = shelf.clone();
    let mut tensors = Params::tensors_in(&memory).unwrap();
    tensors.sort_by_key(|t| names.iter().position(|name| *name == t.name));
    (shelf, Params::from_tensors(tensors))
}

#[test]
fn files_keep_every_type_and_its_numbers() {
    let graph = Graph::new(&Words, [1, 2, 1]).unwrap();
    for dtype in TYPES {
        let params = as_type(&params_on(&graph, 1), dtype);
        let (_folder, path) = file(&params);
        let read = Params::tensors_from_safetensors(&std::fs::read(&path).unwrap());
        let read = read.and_then(|tensors| Params::take(graph.tensors(), tensors));
        for (read, own) in [(read, true), (Params::map(&path, graph.tensors()), false)] {
            let (read, rest) = read.unwrap();
            assert_eq!((&read, rest.len(), read.digest()), (&params, 0, params.digest()), "{dtype:?}");
            assert!(
                read.tensors().iter().all(|t| t.data.dtype() == dtype && t.data.memory().is_none() == own)
            );
            assert_eq!(read.bytes_owned(), if own { params.count() * dtype.bytes() } else { 0 });
            assert_eq!(read.to_safetensors(&[], &[]).unwrap(), std::fs::read(&path).unwrap());
        }
        assert_eq!(params.digest(), wide(&params).digest(), "a digest is of numbers");
        let given = Given::from_safetensors(&std::fs::read(&path).unwrap(), &graph).unwrap();
        let memory: Arc<dyn Memory> = Arc::new(Mapping::open(&path).unwrap());
        assert_eq!(Given::lying_in(&memory, &graph).unwrap(), given);
        assert_eq!(given.params, params);
    }
}

#[test]
fn answers_are_those_of_the_same_numbers_in_single_precision() {
    let graph = Graph::new(&Words, [1, 2, 1]).unwrap();
    let x = || Act::new(24, [1, 2, 1], words());
    for dtype in TYPES {
        let params = as_type(&params_on(&graph, 1), dtype);
        let local = local(Words, Loss::CrossEntropy, 2);
        let answers = |params: &Params| local.outputs(params, x(), Norms::Batch).unwrap().data().to_vec();
        let want = answers(&wide(&params));
        assert_eq!((answers(&params), answers(&lent(&params).1)), (want.clone(), want), "{dtype:?}");
    }
}

/// A net whose first layer never changes.
fn adapted() -> Rated {
    let rates =
        vec![Rate { tensors: "fc1*".into(), factor: 0.0 }, Rate { tensors: "fc3.bias".into(), factor: 0.0 }];
    Rated { model: Arc::new(Mlp::new(&[6, 5, 4, 3], Activation::Tanh).unwrap()), rates }
}

fn methods() -> Vec<Method> {
    vec![
        Method::RelativeActivation(relative(8)),
        Method::Population(population(8)),
        Method::TwoPoint(two_point(4)),
    ]
}

fn training(method: &Method, storage: Storage, params: &Params, momentum: f32) -> Trainer {
    let mut plan = Plan { storage, ..plan(method.clone(), 0.1, 12, 16) };
    plan.optimizer.momentum = if matches!(method, Method::RelativeActivation(_)) { 0.0 } else { momentum };
    let local = local(adapted(), Loss::CrossEntropy, 2);
    Trainer::from_params(plan, local, blobs(32, [1, 1, 6], 3, 1), params.clone()).unwrap()
}

#[test]
fn what_never_changes_stays_where_it_lies_and_changes_nothing() {
    let graph = Graph::new(&adapted(), [1, 1, 6]).unwrap();
    for method in methods() {
        for dtype in TYPES {
            let params = as_type(&params_on(&graph, 3), dtype);
            let (shelf, lying) = lent(&params);
            let mut plain = training(&method, Storage::F32, &wide(&params), 0.5);
            let mut other = training(&method, Storage::F32, &lying, 0.5);
            let begun = other.header([0; 32]);
            let named: Vec<&str> = begun.types.keys().map(String::as_str).collect();
            let told = if dtype == DType::F32 { vec![] } else { vec!["fc1.bias", "fc1.weight", "fc3.bias"] };
            assert_eq!(named, told);
            let snapshot = |t: &Trainer| t.state().to_snapshot(&[1; 32]).unwrap();
            assert!(snapshot(&other).len() < snapshot(&plain).len(), "what lies elsewhere is not copied");
            while !plain.finished() {
                assert_eq!(
                    plain.step().unwrap().entry,
                    other.step().unwrap().entry,
                    "{}, {dtype:?}",
                    method.name()
                );
            }
            let ended = other.state().params();
            assert_eq!(ended.digest(), plain.state().params().digest());
            for t in ended.tensors() {
                let moves = !told.is_empty() && t.data.dtype() == DType::F32 || t.data.memory().is_none();
                assert_eq!(
                    moves,
                    !["fc1.bias", "fc1.weight", "fc3.bias"].contains(&t.name.as_str()),
                    "{}",
                    t.name
                );
            }
            // From the base and a snapshot of what changed, all is there again.
            let mut again = State::of(&begun, lying.clone()).unwrap();
            let chains = vec![[1; 32]; 13];
            again.restore(&snapshot(&other), &chains).unwrap();
            assert_eq!(&again, other.state());
            shelf.1.store(false, Ordering::Relaxed);
            let error = other.score(&blobs(32, [1, 1, 6], 3, 1)).unwrap_err();
            assert_eq!(error.to_string(), "the shelf: expected bytes that stay, found none");
        }
    }
}

#[test]
fn a_header_tells_the_types_of_what_stays_as_it_is() {
    let graph = Graph::new(&adapted(), [1, 1, 6]).unwrap();
    let params = as_type(&params_on(&graph, 3), DType::Int8);
    let header = training(&Method::Population(population(8)), Storage::Bf16, &params, 0.0).header([0; 32]);
    let json = serde_json::to_value(&header).unwrap();
    assert_eq!(json["types"]["fc1.weight"], "int8");
    assert_eq!(serde_json::from_value::<onward::ledger::Header>(json).unwrap(), header);
    let error = State::of(&header, wide(&params)).unwrap_err();
    assert_eq!(error.to_string(), "tensor fc1.weight: expected int8, found bf16");
}

#[test]
fn params_of_two_bytes_learn_in_two_bytes() {
    let graph = Graph::new(&adapted(), [1, 1, 6]).unwrap();
    let params = params_on(&graph, 3);
    for method in methods() {
        for storage in [Storage::Bf16, Storage::F16] {
            let mut trainer = training(&method, storage, &params, 0.5);
            let before = trainer.score(&blobs(32, [1, 1, 6], 3, 1)).unwrap().loss;
            assert_eq!(trainer.state().params().bytes_owned(), 2 * params.count());
            while !trainer.finished() {
                let rounding = trainer.step().unwrap().rounding.unwrap();
                assert!(rounding.moved_share() > 0.0 && rounding.cosine() > 0.0, "{rounding:?}");
            }
            let ended = trainer.state().params();
            assert!(ended.tensors().iter().all(|t| t.data.dtype() == storage.dtype()));
            assert_eq!(ended, &ended.clone().stored_as(Storage::F32).stored_as(storage));
            let after = trainer.score(&blobs(32, [1, 1, 6], 3, 1)).unwrap().loss;
            assert!(after < before, "{}, {storage:?}: {before} to {after}", method.name());
        }
    }
}

/// Steps of a hundredth of the distance of neighbouring numbers: rounded to the nearest, nothing would ever move.
#[test]
fn no_small_step_is_lost_in_the_mean() {
    let n = 4096;
    for (storage, ulp) in [(Storage::Bf16, 2f32.powi(-13)), (Storage::F16, 2f32.powi(-16))] {
        let tensor = Tensor { name: "w".into(), shape: vec![n], data: vec![0.02; n].into() };
        let recipe =
            Recipe { moves: Moves::Directions, optimizer: Optimizer::default(), storage, rates: vec![] };
        let mut state = State::new(Params::from_tensors(vec![tensor]), recipe, RunKey::from_seed(2)).unwrap();
        let begin = state.params().tensors()[0].data.at(0);
        let (step, steps) = (ulp / 100.0, 1000);
        let direction = onward::ledger::Direction::from(vec![Some(vec![step; n])]);
        for at in 0..steps {
            let update = Update::Rerun { digest: None };
            let entry = Entry { step: at, loss: 0.0, rate: 1.0, non_finite: 0, update };
            let rounding = state.apply(&entry, Some(&direction)).unwrap().unwrap();
            assert!(rounding.moved_share() < 0.02, "{rounding:?}");
        }
        let mean =
            state.params().tensors()[0].data.iter().map(|v| f64::from(v - begin)).sum::<f64>() / n as f64;
        let meant = f64::from(step) * steps as f64;
        assert!((mean / meant - 1.0).abs() < 0.01, "{storage:?}: {mean} for {meant}");
    }
}

#[test]
fn numbers_that_a_storage_does_not_have_are_refused() {
    let tensor = Tensor { name: "w".into(), shape: vec![2], data: vec![1.0, 70_000.0].into() };
    let recipe = Recipe {
        moves: Moves::Noise(WeightSpace::Dense { noise: Family::Sign }),
        optimizer: Optimizer::default(),
        storage: Storage::F16,
        rates: vec![],
    };
    let params = Params::from_tensors(vec![tensor]);
    let error = State::new(params, recipe, RunKey::from_seed(2)).unwrap_err().to_string();
    assert!(error.starts_with("tensor w: expected numbers of at most 65504"), "{error}");
}

#[test]
fn a_mapped_file_that_shrinks_or_changes_is_named_before_it_is_used() {
    let graph = Graph::new(&adapted(), [1, 1, 6]).unwrap();
    let params = as_type(&params_on(&graph, 3), DType::Bf16);
    let method = Method::TwoPoint(two_point(4));
    for change in ["cut", "written"] {
        let (_folder, path) = file(&params);
        let (mapped, _) = Params::map(&path, graph.tensors()).unwrap();
        let mut trainer = training(&method, Storage::F32, &mapped, 0.0);
        trainer.step().unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        if change == "cut" {
            file.set_len(100).unwrap();
        } else {
            let at = file.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(9);
            file.set_modified(at).unwrap();
        }
        let x = Act::new(1, [1, 1, 6], vec![0.0; 6]);
        let local: Local = local(adapted(), Loss::CrossEntropy, 1);
        let found = [
            trainer.step().map(|_| ()).unwrap_err(),
            trainer.score(&blobs(32, [1, 1, 6], 3, 1)).map(|_| ()).unwrap_err(),
            local.outputs(&mapped, x, Norms::Batch).map(|_| ()).unwrap_err(),
        ];
        for error in found {
            assert_eq!(error.kind(), ErrorKind::Damage, "{error}");
            let told = error.to_string();
            assert!(told.contains("net.safetensors"), "{told}");
            assert!(told.contains(if change == "cut" { "100" } else { "written to" }), "{told}");
        }
    }
}

#[test]
fn tensors_of_a_wrong_type_or_length_are_named() {
    let graph = Graph::new(&adapted(), [1, 1, 6]).unwrap();
    let good = params_on(&graph, 3);
    let given = |tensors: Vec<Tensor>| {
        let bytes = Params::from_tensors(tensors).to_safetensors(&[], &[]).unwrap();
        Given::from_safetensors(&bytes, &graph).unwrap_err().to_string()
    };
    let swapped = |data: TensorData, shape: Vec<usize>| {
        let mut tensors = good.tensors().to_vec();
        tensors[0] = Tensor { name: "fc1.weight".into(), shape, data };
        tensors
    };
    let bytes = |scales: &[f32]| TensorData::new(DType::Int8, vec![1; 30], scales).unwrap();
    // Scales that are there, but are not for each output.
    let told = given(swapped(bytes(&[1.0; 3]), vec![5, 6]));
    assert!(
        told.contains("fc1.weight_scale with a scale for each of 5 outputs, or one for all, found 3"),
        "{told}"
    );
    let told = given(swapped(bytes(&[f32::NAN]), vec![5, 6]));
    assert_eq!(told, "tensor fc1.weight: expected finite numbers, found NaN");
    let told = given(swapped(bytes(&[1.0; 6]), vec![6, 5]));
    assert_eq!(told, "tensor fc1.weight: expected shape [5, 6], found [6, 5]");
    // Scales that are missing: the file without them.
    let whole = Params::from_tensors(swapped(bytes(&[1.0; 5]), vec![5, 6])).to_safetensors(&[], &[]).unwrap();
    let text = String::from_utf8_lossy(&whole[8..]).replace("fc1.weight_scale", "fc1.weight_skale");
    let without = [&whole[..8], text.as_bytes()].concat();
    if without.len() == whole.len() {
        let told = Given::from_safetensors(&without, &graph).unwrap_err().to_string();
        assert!(told.contains("fc1.weight_skale"), "{told}");
    }
    let error = |made: Result<TensorData>| made.unwrap_err().to_string();
    assert_eq!(
        error(TensorData::new(DType::Bf16, vec![0; 3], &[])),
        "data: expected whole numbers of 2 bytes, found 3 bytes"
    );
    assert!(error(TensorData::new(DType::Int8, vec![0; 3], &[])).contains("a scale for each output"));
    assert!(error(TensorData::new(DType::Int8, vec![0; 3], &[1.0; 2])).contains("shared out"));
    assert!(error(TensorData::new(DType::F16, vec![0; 4], &[1.0])).contains("no scales for f16"));
    let memory: Arc<dyn Memory> = Arc::new(Shelf(vec![0; 10], AtomicBool::new(true)));
    assert!(error(TensorData::lent(DType::F32, memory, 8..12, &[])).contains("8..12 of 10"));
    let mut tensors = good.tensors().to_vec();
    tensors[0].data = vec![0.0; 29].into();
    let error = graph.check_params(&Params::from_tensors(tensors)).unwrap_err().to_string();
    assert!(error.contains("fc1.weight") && error.contains("29 numbers"), "{error}");
}

#[test]
fn half_precision_and_bytes_lie_at_odd_addresses_too() {
    let numbers = [1.5f32, -2.25, 0.0, 65_504.0];
    for dtype in TYPES {
        let mut bytes = vec![7];
        for v in numbers {
            match dtype {
                DType::F32 => bytes.extend(v.to_le_bytes()),
                DType::Bf16 => bytes.extend(to_bf16(v).to_le_bytes()),
                DType::F16 => bytes.extend(to_f16(v).to_le_bytes()),
                DType::Int8 => bytes.push(v as i8 as u8),
            }
        }
        let end = bytes.len();
        let memory: Arc<dyn Memory> = Arc::new(Shelf(bytes, AtomicBool::new(true)));
        let scales: &[f32] = if dtype == DType::Int8 { &[2.0, 0.5] } else { &[] };
        let data = TensorData::lent(dtype, memory, 1..end, scales).unwrap();
        let want: Vec<f32> = match dtype {
            DType::F32 => numbers.to_vec(),
            DType::Bf16 => vec![1.5, -2.25, 0.0, 65_536.0],
            DType::F16 => numbers.iter().map(|v| from_f16(to_f16(*v))).collect(),
            DType::Int8 => vec![2.0, -4.0, 0.0, 63.5],
        };
        assert_eq!(data.iter().collect::<Vec<_>>(), want, "{dtype:?}");
        assert_eq!((data.floats().into_owned(), data.at(1)), (want.clone(), want[1]));
    }
}
