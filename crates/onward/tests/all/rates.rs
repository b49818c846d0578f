//! Tensors that stay as they are, and tensors that learn at rates of their own: with every method, to the byte, and in the ledger.

use crate::common::{
    SPACES, blobs, every_direction, known, params_on, plan, population, relative, small_conv, sum_of_halves,
    threads, three_members, two_point, whole,
};
use onward::ask::{ProbePlan, WeightPlan};
use onward::dataset::Dataset;
use onward::evaluate::Local;
use onward::ledger::{Entry, Moves, Optimizer, Recipe, Scaling, Search, State, Update, Visited};
use onward::model::{
    Activation, Builder, Cell, Graph, Mlp, Model, Norms, Patch, Rate, Rated, TensorKeys, Var, WeightSpace,
};
use onward::noise::{Family, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rule::{Clock, LayerOrder, Method, Rso};
use onward::schema::{Part, Value, Values};
use onward::settings::Settings;
use onward::space::{LayerPlan, LayerSpace};
use onward::task::Loss;
use onward::threads::Threads;
use onward::train::Trainer;
use onward::{ErrorKind, kernel};
use onward_coordinate::visitor;
use std::sync::Arc;

/// `model` with these rates.
fn rated(model: impl Model + 'static, rates: &[(&str, f32)]) -> Rated {
    let rates = rates.iter().map(|(tensors, factor)| Rate { tensors: (*tensors).into(), factor: *factor });
    Rated { model: Arc::new(model), rates: rates.collect() }
}

fn net() -> Mlp {
    Mlp::new(&[6, 5, 5, 3], Activation::Tanh).unwrap()
}

fn data() -> Dataset {
    blobs(32, [1, 1, 6], 3, 1)
}

fn evaluator(model: impl Model + 'static) -> Local {
    Local::new(Arc::new(model), Arc::new(Loss::CrossEntropy), &threads(2))
}

fn methods() -> Vec<Method> {
    let rso = Rso { sigma: 1.0.into(), decay: 0.01, hold: 1, order: LayerOrder::LastFirst };
    vec![
        Method::RelativeActivation(relative(8)),
        Method::Population(population(8)),
        Method::TwoPoint(two_point(4)),
        Method::Rso(rso),
        Method::Search(Search::named("snes").unwrap()),
        Method::Search(Search::named("cma-es").unwrap()),
        Method::Search(Search::named("gld-search").unwrap()),
    ]
}

#[test]
fn frozen_tensors_keep_their_bytes_with_every_method() {
    let frozen = ["fc1.weight", "fc1.bias", "fc3.bias"];
    for method in methods() {
        for storage in [Storage::F32, Storage::Bf16] {
            let name = method.name().to_owned();
            let model = rated(net(), &[("fc1*", 0.0), ("fc3.bias", 0.0), ("fc2.weight", 0.5)]);
            let steps = 60;
            let mut own = plan(method.clone(), 0.3, steps, 32);
            own.storage = storage;
            own.optimizer.momentum = if name == "population" { 0.5 } else { 0.0 };
            let mut trainer = onward_coordinate::trainer(own, evaluator(model), data()).unwrap();
            let base = trainer.state().params().clone();
            let mut again = State::of(&trainer.header([0; 32]), base.clone()).unwrap();
            assert_eq!(again.recipe().rates, [0.0, 0.0, 0.5, 1.0, 1.0, 0.0], "{name}");
            for _ in 0..steps {
                let entry = trainer.step().unwrap().entry;
                if !matches!(entry.update, Update::Rerun { .. }) {
                    again.apply(&entry, None).unwrap();
                }
            }
            let after = trainer.state().params();
            for (before, after) in base.tensors().iter().zip(after.tensors()) {
                let still =
                    before.data.iter().zip(after.data.iter()).all(|(a, b)| a.to_bits() == b.to_bits());
                assert_eq!(still, frozen.contains(&after.name.as_str()), "{name}, {}", after.name);
            }
            if name != "relative-activation" {
                assert_eq!(again.params().digest(), after.digest(), "{name}");
            }
        }
    }
}

/// Every kind of operation with tensors.
struct Many;

impl Model for Many {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let places = g.constant([1, 36, 1], (0..36).map(|i| i as f32).collect());
        let places = g.embed("place", places, 36, 2);
        let places = g.reshape(places, [6, 6, 2]);
        let x = g.add(x, places);
        let x = g.conv3x3("conv", x, 4);
        let x = g.map(Activation::Tanh, x);
        let x = g.convolution("grouped", x, 4, Patch::of([2, 2]), 2);
        let x = g.batch_norm("batch", x);
        let x = g.map(Activation::Tanh, x);
        let x = g.convolution("strided", x, 4, Patch { stride: [2, 2], ..Patch::of([3, 3]) }, 1);
        let x = g.group_norm("norm", x, 2);
        let x = g.reshape(x, [1, 4, 4]);
        let x = g.cell("cell", Cell::Gru, x, 3);
        let x = g.flatten(x);
        Ok(g.linear("out", x, 3))
    }
}

/// The params that a member's noise makes of the tensors that it moves.
fn moved(params: &Params, graph: &Graph, plan: &WeightPlan, member: usize, key: &RunKey) -> Vec<f64> {
    let all = crate::common::moved(params, plan, plan.members[member], key);
    let both = params.tensors().iter().zip(all.tensors()).zip(graph.rates());
    let chosen = both
        .flat_map(|((clean, moved), rate)| if *rate == 0.0 { clean.data.iter() } else { moved.data.iter() });
    chosen.map(f64::from).collect()
}

#[test]
fn frozen_tensors_have_no_noise_in_any_operation() {
    let (data, key) = (blobs(12, [6, 6, 2], 3, 2), RunKey::from_seed(9));
    let names: Vec<String> =
        Graph::new(&Many, [6, 6, 2]).unwrap().tensors().iter().map(|t| t.name.clone()).collect();
    let mut sets: Vec<Vec<(String, f32)>> = names.iter().map(|name| vec![(name.clone(), 0.0)]).collect();
    // All but one, and the first ones that all members share.
    sets.extend(names.iter().map(|name| vec![("*".into(), 0.0), (name.clone(), 1.0)]));
    sets.push(vec![("place*".into(), 0.0), ("conv*".into(), 0.0), ("grouped*".into(), 0.0)]);
    for set in sets {
        let set: Vec<(&str, f32)> = set.iter().map(|(name, rate)| (name.as_str(), *rate)).collect();
        let evaluator = evaluator(rated(Many, &set));
        let graph = evaluator.graph(data.shape()).unwrap();
        let params = params_on(&graph, 3);
        for space in SPACES {
            for share in [0, 4] {
                let plan = WeightPlan { space, share, ..three_members() };
                let found = known(evaluator.losses(&key, &params, &whole(&data), &plan));
                for (member, found) in found.into_iter().enumerate() {
                    let point = moved(&params, &graph, &plan, member, &key);
                    let rows: Vec<u32> = match share {
                        0 => (0..12).collect(),
                        _ => (0..4).map(|i| plan.members[member].index % 3 * 4 + i).collect(),
                    };
                    let batch = onward::evaluate::Batch::select(&data, &rows);
                    let want = known(evaluator.losses_at(&params, &batch, &point))[0];
                    let off = (found - want).abs();
                    assert!(off < 1e-5 * want.max(1.0), "{set:?}, {space:?}, {share}: {found}, not {want}");
                }
            }
        }
    }
}

#[test]
fn frozen_tensors_earn_nothing_and_their_stages_cost_nothing() {
    let (data, key) = (data(), RunKey::from_seed(9));
    let (full, part) = (evaluator(net()), evaluator(rated(net(), &[("fc1*", 0.0), ("fc3.bias", 0.0)])));
    let graph = part.graph(data.shape()).unwrap();
    let params = params_on(&graph, 3);
    for space in [LayerSpace::Activation, LayerSpace::LowRank] {
        let mut plan = every_direction(&graph);
        plan.layers.iter_mut().for_each(|layer: &mut LayerPlan| layer.space = space);
        let [all, some] =
            [&full, &part].map(|e| e.derivative(&key, &params, &whole(&data), &plan).unwrap().derivative);
        for (i, (all, some)) in all.iter().zip(&some).enumerate() {
            match [0, 1, 5].contains(&i) {
                true => assert!(some.is_none() && all.is_some(), "{space:?}, tensor {i}"),
                // Noise on frozen weights of the same stage would have been part of the losses.
                false if space == LayerSpace::Activation || i < 4 => {
                    assert_eq!(sum_of_halves(some), sum_of_halves(all), "{space:?}, tensor {i}");
                }
                false => assert!(some.is_some()),
            }
        }
    }
    let rule = |e: &Local| {
        let graph = e.graph(data.shape()).unwrap();
        Method::RelativeActivation(relative(8)).rule(&graph, 32).unwrap()
    };
    let state = |e: &Local| {
        let recipe = Method::RelativeActivation(relative(8)).recipe(Optimizer::default(), Storage::F32);
        State::new(params.clone(), recipe.with_rates(e.graph(data.shape()).unwrap().rates()), key).unwrap()
    };
    let stages = |e: &Local| match rule(e).ask(&state(e), &Clock::alone(0, 0.1, 32)).unwrap() {
        ProbePlan::Sites(plan) => plan.layers.iter().map(|layer| layer.stage).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!((stages(&full), stages(&part)), (vec![0, 1, 2], vec![1, 2]));
}

/// `w + (rate · 2^e) Σ c z` of each tensor, and the multiple of the learning rate where steps are rescaled.
#[test]
fn steps_are_multiplied_by_the_rates() {
    let tensor = |name: &str| Tensor { name: name.into(), shape: vec![3], data: vec![0.5, -1.0, 2.0].into() };
    let params = || Params::from_tensors(vec![tensor("a"), tensor("b"), tensor("c")]);
    let key = RunKey::from_seed(1);
    let space = WeightSpace::Dense { noise: Family::Sign };
    let rates = [1.0, 0.3, 0.0];
    let update = Update::Probes { exponent: -3, coefficients: vec![3, -1] };
    let entry = Entry { step: 0, loss: 1.0, rate: 0.1, non_finite: 0, update };
    let after = |scaling: Scaling, rates: &[f32]| {
        let optimizer = Optimizer { momentum: 0.0, scaling };
        let recipe =
            Recipe { moves: Moves::Noise(space), optimizer, storage: Storage::F32, rates: rates.to_vec() };
        let mut state = State::new(params(), recipe, key).unwrap();
        state.apply(&entry, None).unwrap();
        state.params().tensors().iter().map(|t| t.data.floats().into_owned()).collect::<Vec<_>>()
    };
    let found = after(Scaling::None, &rates);
    for (t, name) in ["a", "b", "c"].iter().enumerate() {
        let noise = |member| {
            let mut z = vec![0.0; 3];
            TensorKeys::new(&key, name).dense.at(0, member).fill(Family::Sign, 0, &mut z);
            z
        };
        let (z0, z1) = (noise(0), noise(1));
        for (i, w) in [0.5f32, -1.0, 2.0].iter().enumerate() {
            let sum = 3.0 * z0[i] - z1[i];
            assert_eq!(found[t][i], *w + sum * (rates[t] * 0.125), "{name} {i}");
        }
    }
    let (own, all) = (after(Scaling::Adam, &rates), after(Scaling::Adam, &[]));
    assert_eq!((&own[0], &own[2]), (&all[0], &vec![0.5, -1.0, 2.0]));
    for ((own, all), w) in own[1].iter().zip(&all[1]).zip([0.5, -1.0, 2.0]) {
        assert!(((own - w) - 0.3 * (all - w)).abs() < 1e-6, "{own} {all}");
    }
}

fn settings(rates: &[&str]) -> Settings {
    let list = |all: Vec<Value>| Value::List(all);
    let (keys, mut values) = (Settings::keys("", None), Values::default());
    let given: [(&str, Value); 6] = [
        ("model.kind", "mlp".into()),
        ("model.hidden", list(vec![Value::Int(5)])),
        ("method.name", "population".into()),
        ("train.epochs", 2.0.into()),
        ("train.batch", Value::Int(32)),
        ("train.rates", list(rates.iter().map(|r| (*r).into()).collect())),
    ];
    given.into_iter().for_each(|(path, value)| values.give(path, value));
    values.check(&keys).unwrap();
    Settings::read(&values, "").unwrap()
}

fn described(rates: &[&str]) -> onward::Result<Trainer> {
    let (settings, threads) = (settings(rates), Threads::new(1).unwrap());
    let local = settings.local([1, 1, 6], 3, &threads, kernel::Precision::F32)?;
    Trainer::of(&settings, 11, local, data(), None, visitor)
}

#[test]
fn rates_of_a_spec_stand_in_the_header_and_hold_when_it_is_taken_again() {
    let mut trained = described(&["*: 0", "fc2*: 1", "fc2.bias: 0.25"]).unwrap();
    let header = trained.header([7; 32]);
    assert_eq!(header.recipe.rates, [0.0, 0.0, 1.0, 0.25]);
    let read: onward::ledger::Header =
        serde_json::from_str(&serde_json::to_string(&header).unwrap()).unwrap();
    assert_eq!(Settings::of(&read).unwrap().unwrap(), settings(&["*: 0", "fc2*: 1", "fc2.bias: 0.25"]));
    let mut again = Trainer::again(&read, data(), None, &Threads::new(2).unwrap(), visitor).unwrap();
    for _ in 0..2 {
        assert_eq!(again.step().unwrap().entry, trained.step().unwrap().entry);
    }
    // Without the key nothing of it is written, as before there was one.
    let json = serde_json::to_string(&described(&["*: 1"]).unwrap().header([7; 32]).recipe).unwrap();
    assert!(!json.contains("rates"), "{json}");
    let mut lying = read;
    lying.recipe.rates = vec![0.0, 0.0, 1.0, 1.0];
    let error = Settings::of(&lying).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage);
    assert!(error.to_string().contains("the recipe of its entries"), "{error}");
}

#[test]
fn rates_that_cannot_be_are_refused() {
    let cases: [(&[&str], &[&str]); 5] = [
        (
            &["fc3*: 0"],
            &[
                "train.rates: expected a pattern of some of fc1.weight, fc1.bias, fc2.weight, fc2.bias",
                "fc3*",
            ],
        ),
        (&["fc1*: -1"], &["rates: expected a factor of at least 0", "-1 for fc1*"]),
        (&["fc1*: inf"], &["rates: expected a factor", "inf"]),
        (
            &["*: 0"],
            &["train.rates: expected at least one tensor whose rate is not 0", "nothing would be trained"],
        ),
        (&["fc1*"], &["train.rates", "a pattern of tensors' names and a factor", "\"fc1*\""]),
    ];
    for (rates, parts) in cases {
        let error = described(rates).map(|_| ()).unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "{part:?} in {error}"));
    }
    let recipe = |rates: &[f32]| Recipe {
        moves: Moves::Noise(WeightSpace::Coordinate),
        optimizer: Optimizer::default(),
        storage: Storage::F32,
        rates: rates.to_vec(),
    };
    let params =
        || Params::from_tensors(vec![Tensor { name: "a".into(), shape: vec![2], data: vec![1.0; 2].into() }]);
    for rates in [&[1.0, 1.0][..], &[f32::NAN], &[-1.0]] {
        let error = State::new(params(), recipe(rates), RunKey::from_seed(1)).unwrap_err().to_string();
        assert!(error.contains("rates: expected none or 1, of at least 0"), "{error}");
    }
    // A ledger that moves what stays is not this run's.
    let visited = Visited { tensor: 0, first: 0, cycle: 0, sigma: 0.1, keep: 1.0, choices: vec![1] };
    let entry = Entry { step: 0, loss: 1.0, rate: 1.0, non_finite: 0, update: Update::Choices(visited) };
    let mut state = State::new(params(), recipe(&[0.0]), RunKey::from_seed(1)).unwrap();
    assert_eq!(state.apply(&entry, None).unwrap_err().kind(), ErrorKind::Ledger);
    // Statistics of batches are no steps: they go on as they were.
    let evaluator = evaluator(rated(small_conv(), &[("norm*", 0.0)]));
    let data = blobs(12, [6, 6, 2], 4, 2);
    let params = params_on(&evaluator.graph(data.shape()).unwrap(), 3);
    assert!(evaluator.outputs(&params, whole(&data).x, Norms::Batch).is_ok());
}
