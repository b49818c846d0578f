//! Sources of rows, and the orders in which steps see them.

use crate::common::{blobs, local, plan, population};
use onward::ask::{Order, Shuffle};
use onward::dataset::{Dataset, Targets};
use onward::evaluate::Local;
use onward::model::{Activation, Mlp};
use onward::noise::RunKey;
use onward::rows::{Rows, Schema, Source};
use onward::rule::{LayerOrder, Method, Rso};
use onward::task::Loss;
use onward::train::{Plan, Trainer, score};
use onward::{Error, ErrorKind, Result};

/// Rows that lie elsewhere; from the row `broken` on they cannot be read.
struct Elsewhere {
    data: Dataset,
    broken: u64,
}

impl Elsewhere {
    fn sound(data: &Dataset) -> Self {
        Self { data: data.clone(), broken: u64::MAX }
    }
}

impl Source for Elsewhere {
    fn schema(&self) -> Schema {
        Schema::of(&self.data)
    }

    fn digest(&self) -> [u8; 32] {
        self.data.digest()
    }

    fn read(&self, ids: &[u64]) -> Result<Rows> {
        match ids.iter().find(|id| **id >= self.broken) {
            Some(id) => Err(Error::expected(ErrorKind::Io, format!("row {id}"), "a disk", "none")),
            None => self.data.read(ids),
        }
    }
}

fn net() -> Mlp {
    Mlp::new(&[6, 5, 3], Activation::Tanh).unwrap()
}

fn with(shuffle: Shuffle) -> Plan {
    Plan { shuffle, ..plan(Method::Population(population(4)), 0.1, 6, 8) }
}

fn evaluator() -> Local {
    local(net(), Loss::CrossEntropy, 1)
}

#[test]
fn a_source_elsewhere_leads_to_the_bits_of_rows_in_memory() {
    let data = blobs(21, [1, 1, 6], 3, 1);
    for shuffle in [Shuffle::All, Shuffle::Window(5), Shuffle::InOrder] {
        let mut here = Trainer::new(with(shuffle), evaluator(), data.clone()).unwrap();
        let mut elsewhere = Trainer::new(with(shuffle), evaluator(), Elsewhere::sound(&data)).unwrap();
        assert_eq!(here.header([0; 32]), elsewhere.header([0; 32]));
        assert_eq!(here.header([0; 32]).shuffle().unwrap(), shuffle);
        while !here.finished() {
            assert_eq!(here.step().unwrap().entry, elsewhere.step().unwrap().entry, "{shuffle:?}");
        }
        assert_eq!(here.state().params().digest(), elsewhere.state().params().digest());
        let scored = elsewhere.score(&Elsewhere::sound(&data)).unwrap();
        assert_eq!(here.score(&data).unwrap(), scored);
    }
}

#[test]
fn scores_of_rows_elsewhere_are_taken_in_pieces() {
    let (data, many) = (blobs(30, [1, 1, 6], 3, 1), blobs(2300, [1, 1, 6], 3, 2));
    let trainer = Trainer::new(with(Shuffle::All), evaluator(), data).unwrap();
    let of = |data: &dyn Source| score(trainer.local(), trainer.state().params(), &[], data).unwrap();
    assert_eq!(of(&many), of(&Elsewhere::sound(&many)));
}

#[test]
fn a_step_whose_rows_cannot_be_read_leaves_no_trace() {
    let data = blobs(40, [1, 1, 6], 3, 1);
    let source = Elsewhere { data, broken: 24 };
    let error = Trainer::new(with(Shuffle::InOrder), evaluator(), source).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "the first rows are needed at once");
    let source = Elsewhere { data: blobs(4000, [1, 1, 6], 3, 1), broken: 3000 };
    let plan = Plan { batch: 1100, ..with(Shuffle::InOrder) };
    let mut trainer = Trainer::new(plan, evaluator(), source).unwrap();
    trainer.step().unwrap();
    trainer.step().unwrap();
    let before = trainer.state().params().digest();
    assert!(trainer.step().map(|_| ()).unwrap_err().to_string().starts_with("row 3000"));
    assert_eq!((trainer.state().params().digest(), trainer.state().step()), (before, 2));
}

#[test]
fn what_visits_all_rows_needs_them_in_memory() {
    let data = blobs(24, [1, 1, 6], 3, 1);
    let rso = || {
        let order = LayerOrder::LastFirst;
        Method::Rso(Rso { sigma: 1.0.into(), decay: 1e-4, order, hold: 1 })
    };
    let begin =
        |plan: Plan, source: Elsewhere| Trainer::new(plan, evaluator(), source).map(|_| ()).unwrap_err();
    let error = begin(plan(rso(), 1.0, 3, 8), Elsewhere::sound(&data)).to_string();
    assert!(error.contains("rows in memory"), "{error}");
    let shuffled = Plan { shuffle: Shuffle::InOrder, ..plan(rso(), 1.0, 3, 8) };
    let error = Trainer::new(shuffled, evaluator(), data).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("train.shuffle"), "{error}");
}

#[test]
fn rows_have_an_id_each_and_a_source_no_others() {
    let data = blobs(4, [1, 1, 6], 3, 1);
    assert_eq!(Rows::new(vec![7], data.clone()).unwrap_err().kind(), ErrorKind::Data);
    assert!(data.read(&[4]).unwrap_err().to_string().contains("below 4"));
    let rows = data.read(&[3, 3, 0]).unwrap();
    assert_eq!((&rows.ids()[..], rows.data().row(1)), (&[3, 3, 0][..], data.row(3)));
    let targets = Targets::Values { values: vec![1.0; 3], width: 3 };
    let one = Dataset::new(vec![0.5; 4], [2, 2, 1], targets).unwrap();
    assert_eq!((one.schema().shape(), one.schema().outputs(), one.schema().rows()), ([2, 2, 1], 3, 1));
}

/// The ids of the first `count` samples, one a step.
fn ids(rows: usize, shuffle: Shuffle, count: u64) -> Vec<u64> {
    let mut order = Order::new(RunKey::from_seed(5), rows, shuffle);
    (0..count).flat_map(|step| order.batch(step, 1)).collect()
}

#[test]
fn an_order_is_a_pure_function_of_key_and_step() {
    for shuffle in [Shuffle::All, Shuffle::Window(7), Shuffle::InOrder] {
        let mut one = Order::new(RunKey::from_seed(5), 23, shuffle);
        let there: Vec<Vec<u64>> = (0..12).map(|step| one.batch(step, 5)).collect();
        let back: Vec<Vec<u64>> = (0..12).rev().map(|step| one.batch(step, 5)).collect();
        assert!(there.iter().eq(back.iter().rev()), "{shuffle:?}");
        assert_eq!(there.concat(), ids(23, shuffle, 60));
    }
}

#[test]
fn windows_are_shuffled_within_and_come_in_order() {
    let found = ids(23, Shuffle::Window(7), 46);
    for (epoch, rows) in found.chunks(23).enumerate() {
        for (window, rows) in rows.chunks(7).enumerate() {
            let mut sorted = rows.to_vec();
            sorted.sort_unstable();
            let first = 7 * window as u64;
            assert!(sorted.iter().copied().eq(first..first + rows.len() as u64), "{epoch} {window}");
        }
    }
    assert_ne!(found[..23], found[23..], "every epoch has an order of its own");
    let shift: Vec<u64> = found[7..14].iter().map(|id| id - 7).collect();
    assert_ne!(found[..7], shift, "and so has every window");
    assert_eq!(ids(4, Shuffle::InOrder, 6), [0, 1, 2, 3, 0, 1]);
    assert_eq!(ids(5, Shuffle::All, 5), ids(5, Shuffle::default(), 5));
}

#[test]
fn orders_that_cannot_be_are_refused() {
    let data = blobs(30, [1, 1, 6], 3, 1);
    let begin = |shuffle, steps: u64| {
        let plan = Plan { shuffle, ..plan(Method::Population(population(4)), 0.1, steps, 8) };
        Trainer::new(plan, evaluator(), data.clone()).map(|_| ())
    };
    assert!(begin(Shuffle::Once, 3).is_ok());
    let error = begin(Shuffle::Once, 4).unwrap_err().to_string();
    assert!(error.starts_with("train.shuffle: expected at most 3 steps"), "{error}");
    assert!(begin(Shuffle::Window(0), 3).unwrap_err().to_string().contains("a window of 1"));
    assert!(Shuffle::All.check(1 << 33, 8, 1).is_err() && Shuffle::Window(9).check(1 << 33, 8, 1).is_ok());
}
