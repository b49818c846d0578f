//! What guessing reaches, and what is better than that.

use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Activation, Mlp};
use onward::params::Params;
use onward::task::{Loss, Task};
use onward::threads::Threads;
use onward::train::{Guess, Judgement, examine};
use std::sync::Arc;

fn local(widths: &[usize], task: impl Task + 'static) -> Local {
    let net = Mlp::new(widths, Activation::Tanh).unwrap();
    Local::new(Arc::new(net), Arc::new(task), &Threads::new(1).unwrap())
}

fn data(targets: Targets) -> Dataset {
    let rows = targets.rows();
    Dataset::new((0..rows).map(|i| i as f32 / rows as f32).collect(), [1, 1, 1], targets).unwrap()
}

fn classes(labels: &[u32]) -> Dataset {
    data(Targets::Classes { labels: labels.to_vec(), classes: 2 })
}

fn values(values: &[f32]) -> Dataset {
    data(Targets::Values { values: values.to_vec(), width: 1 })
}

fn near(found: f32, wanted: f64) {
    assert!((f64::from(found) - wanted).abs() < 1e-5, "{found} and not {wanted}");
}

#[test]
fn a_guess_is_the_best_constant_of_the_training_rows() {
    let guess = |task: Loss, train: &Dataset, test: &Dataset| {
        let outputs = if matches!(train.targets(), Targets::Classes { .. }) { 2 } else { 1 };
        Guess::of(&local(&[1, 3, outputs], task), train, test).unwrap().unwrap()
    };
    let (train, test) = (classes(&[0, 1, 0, 0]), classes(&[0, 1, 1]));
    let found = guess(Loss::CrossEntropy, &train, &test);
    near(found.loss, -(0.75f64.ln() + 2.0 * 0.25f64.ln()) / 3.0);
    assert_eq!((found.class, found.what), (Some(0), "the commonest class"));
    near(found.accuracy.unwrap(), 1.0 / 3.0);
    near(guess(Loss::ZeroOne, &train, &test).loss, 2.0 / 3.0);
    let (train, test) = (values(&[1.0, 2.0, 6.0]), values(&[3.0, 5.0]));
    let squared = guess(Loss::SquaredError, &train, &test);
    assert_eq!((squared.what, squared.class, squared.accuracy), ("the mean", None, None));
    near(squared.loss, 1.0);
    let absolute = guess(Loss::AbsoluteError, &train, &test);
    assert_eq!(absolute.what, "the median");
    near(absolute.loss, 2.0);
}

#[test]
fn what_cannot_be_told_from_guessing_is_not_better() {
    let labels: Vec<u32> = (0..40).map(|i| u32::from(i % 10 == 0)).collect();
    let (train, test) = (classes(&labels), classes(&labels));
    let local = local(&[1, 3, 2], Loss::CrossEntropy);
    let graph = local.graph([1, 1, 1]).unwrap();
    let params = Params::init(graph.tensors(), &onward::noise::RunKey::from_seed(1));
    let guess = Guess::of(&local, &train, &test).unwrap();
    let judged = |params: &Params| {
        let examined = examine(&local, params, &[], &test).unwrap();
        let score = examined.score(&local).unwrap();
        Judgement::of(local.task(), &examined, &score, guess.clone())
    };
    let found = judged(&params);
    assert_eq!(found.better, Some(false));
    let accuracy = found.accuracy.unwrap();
    assert!(accuracy.low < 0.9 && accuracy.high <= 1.0 && found.loss.unwrap().low > 0.0);
}
