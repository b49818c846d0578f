//! Sizes of perturbations that are learned: the law that they follow, and that they are kept.

use crate::common::{blobs, known, local, moved, params_of, plan, population, relative, trainer, whole};
use onward::ErrorKind;
use onward::ask::{MemberPlan, Signs};
use onward::dataset::{Dataset, Targets};
use onward::ledger::{Entry, State, Update};
use onward::model::{Activation, Builder, Mlp, Model, Var, WeightSpace};
use onward::noise::{Family, Role, RunKey};
use onward::rule::{Method, Population, RelativeActivation, Scales, Shaping};
use onward::task::Loss;
use onward::train::Trainer;

/// A linear map of `inputs` numbers, all of size `size`, to two.
fn regression(inputs: usize, size: f32) -> Dataset {
    let rows = 64;
    let key = RunKey::from_seed(5).tensor(Role::Init, "regression");
    let (mut x, mut y) = (vec![0.0; rows * inputs], vec![0.0; rows * 2]);
    key.at(0, 0).fill(Family::Sign, 0, &mut x);
    x.iter_mut().for_each(|x| *x *= size);
    key.at(1, 0).fill(Family::Normal, 0, &mut y);
    Dataset::new(x, [1, 1, inputs], Targets::Values { values: y, width: 2 }).unwrap()
}

/// Linear maps, one after the other.
struct Maps(&'static [usize]);

impl Model for Maps {
    fn build(&self, g: &mut Builder) -> onward::Result<Var> {
        let x = g.input();
        let maps = self.0.iter().enumerate();
        Ok(maps.fold(x, |x, (i, outputs)| g.linear(&format!("map{i}"), x, *outputs)))
    }
}

fn with_scales(method: &Method, scales: Scales) -> Method {
    match method {
        Method::Population(p) => Method::Population(Population { scales, ..*p }),
        Method::RelativeActivation(r) => {
            Method::RelativeActivation(RelativeActivation { scales, ..r.clone() })
        }
        other => other.clone(),
    }
}

/// The ratio of the two scales after so many steps that hardly move the params.
fn ratio(method: Method, steps: u64, net: Maps, data: &Dataset, places: [usize; 2]) -> f64 {
    let plan = plan(method, 1e-9, steps, data.rows());
    let mut trainer = Trainer::new(plan, local(net, Loss::SquaredError, 1), data.clone()).unwrap();
    (0..steps).for_each(|_| _ = trainer.step().unwrap());
    let scales = trainer.state().streams().scales();
    f64::from(scales[places[0]]) / f64::from(scales[places[1]])
}

#[test]
fn on_a_quadratic_every_number_of_a_population_costs_the_same() {
    // Noise of size σ on the weights moves an answer by σ·size·√inputs, on the biases by σ.
    for (inputs, size) in [(16, 2.0), (9, 0.1)] {
        let costs = f64::from(size).powi(2) * inputs as f64;
        // Lengths vary by (k − 1)/n for n numbers of kurtosis k, those of outer products by both factors'.
        let [two, all] = [2.0, inputs as f64].map(|n| (2.875 - 1.0) / n);
        let wanted = (costs * (two + all + two * all) / two).sqrt();
        let method = Population {
            noise: Family::Binomial,
            shaping: Shaping::ZScore,
            scales: Scales::Learned,
            scale_rate: 0.5,
            ..population(256)
        };
        let found = ratio(method.into(), 300, Maps(&[2]), &regression(inputs, size), [1, 0]);
        assert!((found / wanted - 1.0).abs() < 0.2, "{found} for {wanted}");
    }
}

#[test]
fn on_a_quadratic_every_number_of_relative_activation_costs_the_same() {
    let data = regression(6, 1.0);
    // Noise at the first layer's output goes through the second layer's weights: σ‖W‖/√8 a number against σ.
    let plan = plan(Method::RelativeActivation(relative(8)), 1e-9, 1, 8);
    let trainer = Trainer::new(plan, local(Maps(&[8, 2]), Loss::SquaredError, 1), data.clone()).unwrap();
    let w = &trainer.state().params().tensors()[2];
    assert_eq!(w.shape, [2, 8]);
    let wanted = (w.data.iter().map(|w| f64::from(w * w)).sum::<f64>() / 8.0).sqrt();
    for scales in [Scales::Learned, Scales::Natural] {
        let method = RelativeActivation { scales, ..relative(8) };
        let found = ratio(method.into(), 300, Maps(&[8, 2]), &data, [1, 0]);
        assert!((found / wanted - 1.0).abs() < 0.01, "{found} for {wanted}");
    }
}

#[test]
fn losses_are_those_of_params_with_scaled_noise() {
    let (net, data, key) =
        (Mlp::new(&[6, 5, 3], Activation::Tanh).unwrap(), blobs(9, [1, 1, 6], 3, 1), RunKey::from_seed(3));
    let (params, evaluator) = (params_of(&net, 4), local(net, Loss::CrossEntropy, 2));
    let spaces = [
        WeightSpace::LowRank { rank: 2, noise: Family::Binomial },
        WeightSpace::Dense { noise: Family::Binomial },
    ];
    for space in spaces {
        let plan = MemberPlan { space, sigma: 0.05, first: 3, directions: 4, signs: Signs::Both, share: 0 };
        let plan = plan.at(7).unwrap().scaled(&[3.0, 0.25, 1.5, 0.5]);
        let found = known(evaluator.losses(&key, &params, &whole(&data), &plan));
        let plain = known(evaluator.losses(&key, &params, &whole(&data), &plan.clone().scaled(&[])));
        for ((member, found), plain) in plan.members.iter().zip(found).zip(plain) {
            let own = moved(&params, &plan, *member, &key);
            let outputs = evaluator.outputs(&own, whole(&data).x, onward::model::Norms::Batch).unwrap();
            let wanted = crate::common::loss_of(&evaluator, &outputs, &data);
            assert!((found - wanted).abs() < 1e-5 && (found - plain).abs() > 1e-4, "{found} for {wanted}");
        }
    }
}

fn learning(scales: Scales) -> [Method; 2] {
    let people = Method::Population(Population { noise: Family::Binomial, ..population(16) });
    let sites = Method::RelativeActivation(RelativeActivation { focus: 0.5, ..relative(4) });
    [people, sites].map(|method| with_scales(&method, scales))
}

fn run(method: &Method, threads: usize) -> Trainer {
    let net = Mlp::new(&[6, 9, 3], Activation::Relu).unwrap();
    trainer(plan(method.clone(), 0.02, 12, 16), net, &blobs(40, [1, 1, 6], 3, 1), threads)
}

#[test]
fn scales_are_resumed_followed_and_the_same_for_any_number_of_threads() {
    for method in [Scales::Learned, Scales::Natural].into_iter().flat_map(learning) {
        let mut whole = run(&method, 1);
        let mut records: Vec<Entry> = (0..7).map(|_| whole.step().unwrap().entry).collect();
        let chains: Vec<[u8; 32]> = (0..8).map(|step| [step; 32]).collect();
        let snapshot = whole.state().to_snapshot(&chains[7]).unwrap();
        let mut resumed = run(&method, 2);
        resumed.restore(&snapshot, &records, &chains).unwrap();
        assert_eq!(resumed.state(), whole.state());
        assert!(whole.state().streams().scales().iter().any(|s| *s != 1.0));
        while !whole.finished() {
            records.push(whole.step().unwrap().entry);
            assert_eq!(Some(&resumed.step().unwrap().entry), records.last());
        }
        assert_eq!(resumed.state(), whole.state());
        let mut caught_up = run(&method, 2);
        records.iter().for_each(|r| caught_up.retake(r).unwrap());
        assert_eq!(caught_up.state(), whole.state());
        // A population's entries are complete in themselves.
        if matches!(method, Method::Population(_)) {
            let base = run(&method, 1).state().params().clone();
            let mut replayed = State::of(&whole.header([0; 32]), base).unwrap();
            records.iter().for_each(|entry| _ = replayed.apply(entry, None).unwrap());
            assert_eq!(replayed, *whole.state());
        }
    }
}

#[test]
fn steps_with_scales_of_one_are_those_without() {
    // Nothing is known before the first step.
    for (with, without) in learning(Scales::Natural).iter().zip(&learning(Scales::Fixed)) {
        let (mut a, mut b) = (run(with, 1), run(without, 1));
        a.step().unwrap();
        b.step().unwrap();
        assert_eq!(a.state().params().digest(), b.state().params().digest());
        a.step().unwrap();
        b.step().unwrap();
        assert_ne!(a.state().params().digest(), b.state().params().digest());
    }
}

#[test]
fn learned_scales_need_probes_that_tell_of_them() {
    let refused = |method: Method| {
        let net = Mlp::new(&[6, 9, 3], Activation::Relu).unwrap();
        let data = blobs(40, [1, 1, 6], 3, 1);
        let error = Trainer::new(plan(method, 0.02, 12, 16), local(net, Loss::CrossEntropy, 1), data)
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spec);
        error.to_string()
    };
    let signs = Population { noise: Family::Sign, scales: Scales::Learned, ..population(16) };
    assert_eq!(
        refused(signs.into()),
        "method.noise: expected binomial or normal, as sizes are learned from perturbations of different lengths, found sign"
    );
    let order = onward::rule::Layers::InTurn;
    let in_turn = RelativeActivation { order, scales: Scales::Learned, ..relative(4) };
    assert_eq!(
        refused(in_turn.into()),
        "method.scales: expected fixed, unless all layers are probed together, found learned"
    );
    let [people, _] = learning(Scales::Learned);
    let trainer = run(&people, 1);
    for (factors, scales) in
        [(vec![1.0; 3], vec![1.0; 4]), (vec![1.0; 4], vec![f32::NAN; 4]), (vec![0.0; 4], vec![1.0; 4])]
    {
        let update = Update::Scaled { exponent: 0, coefficients: vec![1; 8], factors, scales };
        let entry = Entry { step: 0, loss: 1.0, rate: 0.1, non_finite: 0, update };
        let mut state = trainer.state().clone();
        let error = state.apply(&entry, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ledger);
        assert_eq!(state, *trainer.state());
    }
}
