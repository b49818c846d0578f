//! Images that steps see changed: the same bits for any threads, source and interruption, and no change outside of steps.

use crate::common::{blobs, local, plan, population, relative};
use onward::ErrorKind;
use onward::ask::Augment;
use onward::dataset::Dataset;
use onward::model::{Activation, Mlp};
use onward::rows::{Rows, Schema, Source};
use onward::rule::{LayerOrder, Method, Rso};
use onward::task::Loss;
use onward::train::{Plan, Trainer};

const ALL: Augment = Augment { shift: Some(1), flip: Some(true), noise: Some(0.3) };

/// The same rows, not in memory.
struct Elsewhere(Dataset);

impl Source for Elsewhere {
    fn schema(&self) -> Schema {
        Schema::of(&self.0)
    }
    fn digest(&self) -> [u8; 32] {
        self.0.digest()
    }
    fn read(&self, ids: &[u64]) -> onward::Result<Rows> {
        self.0.read(ids)
    }
}

fn begun(method: Method, augment: Augment, threads: usize, data: impl Source + 'static) -> Trainer {
    let net = Mlp::new(&[16, 5, 3], Activation::Tanh).unwrap();
    let plan = Plan { augment, ..plan(method, 0.1, 5, 12) };
    Trainer::new(plan, local(net, Loss::CrossEntropy, threads), data).unwrap()
}

fn images() -> Dataset {
    blobs(30, [4, 4, 1], 3, 1)
}

fn finished(mut trainer: Trainer) -> [u8; 32] {
    while !trainer.finished() {
        trainer.step().unwrap();
    }
    trainer.state().params().digest()
}

#[test]
fn steps_have_the_same_bits_wherever_and_whenever_they_are_taken() {
    for method in [Method::Population(population(6)), Method::RelativeActivation(relative(2))] {
        let whole = finished(begun(method.clone(), ALL, 1, images()));
        assert_eq!(finished(begun(method.clone(), ALL, 2, Elsewhere(images()))), whole);
        assert_ne!(finished(begun(method.clone(), Augment::NONE, 1, images())), whole);
        let mut first = begun(method.clone(), ALL, 1, images());
        let entries: Vec<_> = (0..2).map(|_| first.step().unwrap().entry).collect();
        let snapshot = first.state().to_snapshot(&[7; 32]).unwrap();
        let mut second = begun(method.clone(), ALL, 1, images());
        second.restore(&snapshot, &entries, &[[0; 32], [0; 32], [7; 32]]).unwrap();
        assert_eq!(finished(second), whole);
    }
}

#[test]
fn the_header_tells_of_it_and_scores_see_images_as_they_are() {
    let method = || Method::Population(population(6));
    let (plain, changed) = (begun(method(), Augment::NONE, 1, images()), begun(method(), ALL, 1, images()));
    let header = changed.header([0; 32]);
    assert_eq!(header.augment().unwrap(), ALL);
    assert_eq!(plain.header([0; 32]).augment().unwrap(), Augment::NONE);
    assert!(!plain.header([0; 32]).settings.unwrap().contains_key("augment"));
    assert_ne!(header.run(), plain.header([0; 32]).run());
    assert_eq!(plain.score(&images()).unwrap(), changed.score(&images()).unwrap());
    let mut damaged = header;
    damaged
        .settings
        .as_mut()
        .unwrap()
        .insert("augment".into(), onward::schema::Value::Table([("shift".to_owned(), "far".into())].into()));
    let error = damaged.augment().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage);
    assert!(error.to_string().contains("augment.shift: expected an integer"), "{error}");
}

#[test]
fn rows_that_are_no_images_are_refused() {
    let net = local(Mlp::new(&[16, 5, 3], Activation::Tanh).unwrap(), Loss::CrossEntropy, 1);
    let plan = Plan { augment: ALL, ..plan(Method::Population(population(6)), 0.1, 5, 12) };
    let error = Trainer::new(plan, net, blobs(30, [1, 1, 16], 3, 1)).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("augment.shift: expected rows that are images"), "{error}");
}

#[test]
fn visits_see_images_changed_anew_in_each_cycle() {
    let rso = Rso { sigma: 1.0.into(), decay: 1e-4, order: LayerOrder::LastFirst, hold: 1 };
    let begun = |augment: Augment, threads: usize| {
        let net = Mlp::new(&[16, 3], Activation::Tanh).unwrap();
        let plan = Plan { augment, ..plan(Method::Rso(rso.clone()), 0.1, 12, 10) };
        onward_coordinate::trainer(plan, local(net, Loss::CrossEntropy, threads), images()).unwrap()
    };
    let whole = finished(begun(ALL, 1));
    assert_eq!(finished(begun(ALL, 2)), whole);
    assert_ne!(finished(begun(Augment::NONE, 1)), whole);
    // A visit is found anew, whatever was kept: also in the middle of a cycle, and in the next one.
    let mut first = begun(ALL, 1);
    let mut entries = Vec::new();
    while !first.finished() {
        let mut other = begun(ALL, 1);
        entries.iter().for_each(|entry| other.retake(entry).unwrap());
        entries.push(first.step().unwrap().entry);
        assert_eq!(other.step().unwrap().entry, *entries.last().unwrap());
    }
}
