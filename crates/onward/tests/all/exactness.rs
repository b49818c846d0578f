//! Steps are exact: the fast paths give what the plain ones give, for any number of threads and any cut.

use crate::common::{
    Shaped, blobs, known, local, loss_of, materialise, naive_sum, params_of, params_on, plan, population,
    relative, small_conv, step_of, trainer, two_point, whole,
};
use onward::ask::WeightPlan;
use onward::dataset::Dataset;
use onward::evaluate::Local;
use onward::kernel::Precision;
use onward::ledger::{Entry, Moves, Optimizer, Recipe, Scaling, State, Update};
use onward::model::{
    Activation, Context, Cut, Member, Mlp, Model, Norms, Probe, TensorKeys, WeightSpace, Weights,
};
use onward::noise::{Family, RunKey};
use onward::params::{Params, Storage, Tensor};
use onward::rule::{Method, Pairing, Population, RelativeActivation, Shaping, TwoPoint, quantise};
use onward::schema::PerLayer;
use onward::space::{ActivationPlan, Directions, LayerPlan, LayerSpace, derivative_at_output};
use onward::task::{Answers, Loss};

fn spaces() -> Vec<WeightSpace> {
    let mut all = Vec::new();
    for noise in [Family::Sign, Family::Binomial] {
        all.push(WeightSpace::Dense { noise });
        all.extend([1, 2, 4].map(|rank| WeightSpace::LowRank { rank, noise }));
    }
    all
}

/// Numbers of every size and both signs.
fn values(n: usize) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * 1.37).sin() * 10f64.powi((i % 5) as i32 - 4)).collect()
}

#[test]
fn applying_an_entry_equals_the_naive_sum_in_integers() {
    let key = RunKey::from_seed(1);
    // Sizes on both sides of the blocks of 512 members and 32 rows.
    for graph in [Mlp::new(&[65, 33, 3], Activation::Relu).unwrap().graph(), small_conv().graph()] {
        for space in spaces() {
            let params = params_on(&graph, 2);
            let recipe = Recipe {
                moves: Moves::Noise(space),
                optimizer: Optimizer { momentum: 0.0, scaling: Scaling::None },
                storage: Storage::F32,
                rates: vec![],
            };
            let mut state = State::new(params.clone(), recipe, key).unwrap();
            let (exponent, coefficients) = quantise(&values(600), space.largest());
            let update = Update::Probes { exponent, coefficients: coefficients.clone() };
            state.apply(&Entry { step: 0, loss: 0.0, rate: 1.0, non_finite: 0, update }, None).unwrap();
            for (t, new) in params.tensors().iter().zip(state.params().tensors()) {
                let sum = naive_sum(space, &TensorKeys::new(&key, &t.name), &t.shape, 0, &coefficients);
                let scale = space.scale(t.shape.len() >= 2) * 2f32.powi(i32::from(exponent));
                assert!(sum.iter().all(|s| s.abs() < 1 << 24) && sum.iter().any(|s| *s != 0));
                for (i, ((w, s), new)) in t.data.iter().zip(&sum).zip(new.data.iter()).enumerate() {
                    assert_eq!(
                        (w + *s as f32 * scale).to_bits(),
                        new.to_bits(),
                        "{space:?}, {} at {i}",
                        t.name
                    );
                }
            }
        }
    }
}

/// Params with one member's perturbation added.
fn moved(params: &Params, space: WeightSpace, key: &RunKey, step: u32, member: Member, sigma: f32) -> Params {
    let of = |t: &Tensor| {
        let z = materialise(space, &TensorKeys::new(key, &t.name), &t.shape, step, member.index);
        let factor = sigma * member.sign * space.scale(t.shape.len() >= 2);
        Tensor { data: t.data.iter().zip(&z).map(|(w, z)| w + factor * z).collect(), ..t.clone() }
    };
    Params::from_tensors(params.tensors().iter().map(of).collect())
}

fn members(n: u32) -> Vec<Member> {
    (0..n).map(|i| Member { index: i / 2, sign: if i % 2 == 0 { 1.0 } else { -1.0 } }).collect()
}

fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * b.abs().max(1.0))
}

#[test]
fn perturbed_passes_equal_passes_with_materialised_weights() {
    let conv_data = blobs(20, [6, 6, 2], 4, 3);
    let mlp_data = blobs(20, [1, 1, 30], 4, 3);
    let mlp = Mlp::new(&[30, 17, 4], Activation::Relu).unwrap();
    check_perturbed(mlp, &mlp_data);
    check_perturbed(small_conv(), &conv_data);
}

fn check_perturbed(net: impl Shaped + Clone + 'static, data: &Dataset) {
    let key = RunKey::from_seed(4);
    let params = params_of(&net, 4);
    let evaluator = local(net.clone(), Loss::CrossEntropy, 2);
    let x = whole(data).x;
    let normal = [
        WeightSpace::Dense { noise: Family::Normal },
        WeightSpace::LowRank { rank: 2, noise: Family::Normal },
    ];
    for space in spaces().into_iter().chain(normal) {
        let all = members(6);
        let (sigma, step) = (0.03, 9);
        let plan =
            WeightPlan { step, space, sigma, members: all.clone(), together: 2, share: 0, scales: vec![] };
        let found = known(evaluator.losses(&key, &params, &whole(data), &plan));
        let weights = Weights::new(&params, Precision::F32);
        let probe = Probe { keys: &TensorKeys::of(&key, &params), members: &all, space, sigma, step };
        let cx = || Context::probing(&weights, Norms::Batch, probe, x.rows());
        let graph = net.graph();
        let outputs = graph.forward(&mut cx(), x.clone());
        let repeated = graph.forward(&mut cx(), x.repeat(all.len()));
        assert_eq!(
            outputs.data(),
            repeated.data(),
            "{space:?}: rows that members share are run once, with the same result"
        );
        let clean = evaluator.outputs(&params, x.clone(), Norms::Batch).unwrap();
        for (i, member) in all.iter().enumerate() {
            let own = evaluator.outputs(
                &moved(&params, space, &key, step, *member, sigma),
                x.clone(),
                Norms::Batch,
            );
            let own = own.unwrap();
            let part = outputs.slice(i * x.rows(), (i + 1) * x.rows());
            assert!(close(part.data(), own.data(), 1e-5), "{space:?}, member {i}");
            assert!(!close(part.data(), clean.data(), 1e-3), "{space:?}: member {i} does not move");
            assert!((found[i] - loss_of(&evaluator, &own, data)).abs() < 1e-5);
        }
    }
}

fn methods(layers: usize) -> Vec<Method> {
    let share = Population { share: 37, shaping: Shaping::ZScore, rank: 2, ..population(24) };
    let one_sided = Population { pairing: Pairing::OneSided, noise: Family::Binomial, ..population(9) };
    let mut mixed = vec![LayerSpace::LowRank; layers];
    mixed[layers - 1] = LayerSpace::Activation;
    vec![
        Method::Population(share),
        Method::Population(one_sided),
        Method::TwoPoint(TwoPoint { noise: Family::Normal, ..two_point(3) }),
        Method::RelativeActivation(relative(6)),
        Method::RelativeActivation(RelativeActivation {
            draws: Directions::Blocks,
            focus: 0.3,
            ..relative(6)
        }),
        Method::RelativeActivation(RelativeActivation {
            space: PerLayer::Each(mixed),
            draws: Directions::Independent,
            ..relative(3)
        }),
    ]
}

/// The records of three steps and the digests of params and optimizer after them.
fn run(
    method: &Method,
    model: impl Model + 'static,
    data: &Dataset,
    threads: usize,
) -> (Vec<Entry>, [u8; 32]) {
    let mut plan = plan(method.clone(), 0.01, 3, 300);
    plan.optimizer = Optimizer { momentum: 0.9, scaling: Scaling::Adam };
    plan.digest_every = 1;
    let mut trainer = trainer(plan, model, data, threads);
    let records = (0..3).map(|_| trainer.step().unwrap().entry).collect();
    (records, *blake3::hash(&trainer.state().to_snapshot(&[0; 32]).unwrap()).as_bytes())
}

#[test]
fn one_two_and_three_threads_give_the_same_run() {
    let data = blobs(350, [1, 1, 40], 4, 5);
    let net = Mlp::new(&[40, 70, 33, 4], Activation::Gelu).unwrap();
    for method in methods(3) {
        let one = run(&method, net.clone(), &data, 1);
        for threads in [2, 3] {
            assert_eq!(run(&method, net.clone(), &data, threads), one, "{method:?} on {threads} threads");
        }
    }
    let data = blobs(310, [6, 6, 2], 4, 5);
    for method in methods(4) {
        let one = run(&method, small_conv(), &data, 1);
        assert_eq!(run(&method, small_conv(), &data, 3), one, "{method:?} on 3 threads");
    }
}

#[test]
fn members_do_not_depend_on_who_runs_beside_them() {
    let data = blobs(90, [1, 1, 12], 3, 6);
    let net = Mlp::new(&[12, 9, 3], Activation::Relu).unwrap();
    let (params, evaluator) = (params_of(&net, 6), local(net, Loss::CrossEntropy, 2));
    for (space, share) in spaces().into_iter().zip([0, 30].into_iter().cycle()) {
        let losses = |members: &[Member]| {
            let plan = WeightPlan {
                step: 2,
                space,
                sigma: 0.05,
                members: members.to_vec(),
                together: 2,
                share,
                scales: vec![],
            };
            known(evaluator.losses(&RunKey::from_seed(6), &params, &whole(&data), &plan))
        };
        let all = members(84);
        let together = losses(&all);
        // With shares, six members later the same samples are met again.
        let apart: Vec<f32> = all.chunks(6).flat_map(losses).collect();
        assert_eq!(together, apart, "{space:?}, share {share}");
    }
}

#[test]
fn samples_do_not_depend_on_the_cut_of_the_batch() {
    let net = Mlp::new(&[7, 600, 3], Activation::Relu).unwrap();
    let data = blobs(150, [1, 1, 7], 3, 7);
    let (params, key) = (params_of(&net, 7), RunKey::from_seed(7));
    let weights = Weights::new(&params, Precision::F32);
    let graph = net.graph();
    let cuts = graph.cuts(&mut Context::clean(&weights, Norms::Batch), whole(&data).x);
    let layer = LayerPlan { stage: 0, space: LayerSpace::Activation, pairs: 40, sigma: 0.1 };
    for directions in [Directions::Orthogonal, Directions::Independent, Directions::Blocks] {
        let plan = ActivationPlan {
            step: 1,
            layers: vec![layer],
            directions,
            noise: Family::Binomial,
            focus: None,
            norms: false,
        };
        let of = |cut: &Cut| {
            let loss = &Loss::CrossEntropy;
            let answers = Answers::all(data.targets(), data.columns());
            derivative_at_output(&graph, &weights, loss, answers, &key, &plan, &layer, cut, false)
        };
        let all = of(&cuts[0]);
        for rows in [1, 2, 51, 149] {
            assert_eq!(of(&cuts[0].slice(0, rows)), all[..rows * 600], "{directions:?}, {rows} rows");
        }
    }
}

/// The same step twice, and after others: nothing is left behind by running.
#[test]
fn a_step_leaves_nothing_behind() {
    let data = blobs(64, [1, 1, 10], 4, 8);
    let net = Mlp::new(&[10, 8, 4], Activation::Tanh).unwrap();
    let (params, evaluator): (Params, Local) = (params_of(&net, 8), local(net, Loss::CrossEntropy, 2));
    let digest = params.digest();
    for method in methods(2) {
        let step = |step| {
            let found =
                step_of(&method, &evaluator, &params, &data, RunKey::from_seed(8), (step, 0.1)).unwrap();
            (found.entry, found.direction)
        };
        let first = step(0);
        assert_ne!(step(1), first);
        assert_eq!(step(0), first);
        assert_eq!(params.digest(), digest);
    }
}
