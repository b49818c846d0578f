//! Runs that are prolonged: a stretch in the ledger gives them more steps.

use crate::common::{blobs, plan, population, relative, trainer, two_point};
use onward::ErrorKind;
use onward::ledger::{self, Ledger, Rates, Search, Stretch};
use onward::model::{Activation, Mlp};
use onward::rule::{Anneal, LayerOrder, Method, Rso, Schedule};
use onward::train::{Plan, Trainer};

fn methods() -> Vec<Method> {
    let rso = Rso { sigma: 0.3.into(), decay: 0.0, order: LayerOrder::LastFirst, hold: 1 };
    let search = Method::Search(Search::named("snes").unwrap());
    vec![
        Method::Population(population(8)),
        Method::TwoPoint(two_point(2)),
        Method::RelativeActivation(relative(2)),
        Method::Rso(rso),
        search,
    ]
}

fn training(method: Method, anneal: Anneal, steps: u64) -> Trainer {
    let plan = plan(method, 0.05, steps, 20);
    let plan = Plan { schedule: Schedule { anneal, final_share: 0.0, ..plan.schedule }, ..plan };
    let net = Mlp::new(&[6, 5, 3], Activation::Relu).unwrap();
    trainer(plan, net, &blobs(60, [1, 1, 6], 3, 1), 1)
}

fn stretch(from: u64, steps: u64) -> Stretch {
    Stretch { from, steps, schedule: Rates::Anew }
}

fn finish(trainer: &mut Trainer) -> Vec<ledger::Entry> {
    let mut records = Vec::new();
    while !trainer.finished() {
        records.push(trainer.step().unwrap().entry);
    }
    records
}

#[test]
fn with_a_constant_rate_a_prolonged_run_is_the_longer_one() {
    for method in methods() {
        let (name, mut long) = (method.name().to_owned(), training(method.clone(), Anneal::Constant, 20));
        let whole = finish(&mut long);
        let mut short = training(method, Anneal::Constant, 7);
        let mut records = finish(&mut short);
        short.prolong(&stretch(7, 12)).unwrap();
        records.extend(finish(&mut short));
        short.prolong(&stretch(12, 20)).unwrap();
        records.extend(finish(&mut short));
        assert_eq!(records, whole, "{name}");
        assert_eq!(short.state().params().digest(), long.state().params().digest(), "{name}");
        assert_eq!(short.spent(), long.spent(), "{name}");
    }
}

#[test]
fn the_schedule_begins_anew_over_each_stretch() {
    let mut run = training(Method::TwoPoint(two_point(2)), Anneal::Cosine, 10);
    let rates = |records: Vec<ledger::Entry>| records.iter().map(|r| r.rate).collect::<Vec<f32>>();
    let first = rates(finish(&mut run));
    run.prolong(&stretch(10, 20)).unwrap();
    assert_eq!(rates(finish(&mut run)), first);
    run.prolong(&stretch(20, 25)).unwrap();
    let last = rates(finish(&mut run));
    assert!(last.len() == 5 && last[0] == first[0] && last.windows(2).all(|w| w[1] < w[0]), "{last:?}");
}

#[test]
fn a_cycle_that_a_stretch_begins_in_takes_the_rate_of_the_stretch() {
    let mut run = training(methods().remove(3), Anneal::Linear, 3);
    let per_cycle = run.steps_per_epoch();
    assert!(per_cycle > 3, "{per_cycle}: the first budget ends inside a cycle");
    let first = finish(&mut run);
    run.prolong(&stretch(3, 3 + 4 * per_cycle)).unwrap();
    let records = finish(&mut run);
    assert_eq!(records[0].rate, first[0].rate);
    assert!(records.last().unwrap().rate < first[0].rate);
}

#[test]
fn a_prolonged_run_is_written_read_and_followed() {
    for method in methods() {
        let mut run = training(method.clone(), Anneal::Cosine, 6);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.bin");
        let mut ledger = Ledger::create(&path, &run.header([1; 32])).unwrap();
        finish(&mut run).iter().for_each(|r| ledger.append(r).unwrap());
        let before = ledger.chain();
        ledger.prolong(&stretch(6, 10)).unwrap();
        run.prolong(&stretch(6, 10)).unwrap();
        assert_ne!(ledger.chain(), before);
        finish(&mut run).iter().for_each(|r| ledger.append(r).unwrap());
        ledger.sync().unwrap();
        let whole = std::fs::read(&path).unwrap();
        let reading = ledger::read(&whole).unwrap();
        assert_eq!((reading.records.len(), reading.budget()), (10, 10));
        assert_eq!(reading.stretches, [stretch(6, 10)]);
        assert_eq!((reading.chains.len(), reading.chain()), (11, ledger.chain()));
        let mut again = training(method, Anneal::Cosine, 6);
        reading.stretches.iter().for_each(|s| again.prolong(s).unwrap());
        reading.records.iter().for_each(|r| again.retake(r).unwrap());
        assert_eq!(again.state().params().digest(), run.state().params().digest());
        // Cut or damaged anywhere, it is never taken for a shorter whole one without a word.
        for at in 8..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            assert!(ledger::read(&flipped).is_err(), "{at}");
        }
    }
}

#[test]
fn a_stretch_that_does_not_follow_is_refused() {
    let mut run = training(Method::TwoPoint(two_point(2)), Anneal::Constant, 6);
    for (bad, words) in [
        (stretch(5, 10), "stretch: expected one that begins after the run's 6 steps, found 5"),
        (stretch(6, 6), "stretch: expected 7 to 4294967295 steps in all, found 6"),
        (stretch(6, 1 << 32), "stretch: expected 7 to 4294967295 steps in all, found 4294967296"),
    ] {
        let error = run.prolong(&bad).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Ledger, words));
    }
    let folder = tempfile::tempdir().unwrap();
    for (steps, stretches, words) in [
        (6, vec![stretch(5, 10)], "record 7 at offset"),
        (3, vec![stretch(6, 10)], "expected a step, found a stretch before its first step"),
        (6, vec![stretch(6, 10), stretch(10, 12)], "record 8 at offset"),
    ] {
        let path =
            folder.path().join(format!("{steps}-{}.bin", stretches.len() + stretches[0].from as usize));
        let mut run = training(Method::TwoPoint(two_point(2)), Anneal::Constant, 6);
        let mut ledger = Ledger::create(&path, &run.header([1; 32])).unwrap();
        (0..steps).for_each(|_| ledger.append(&run.step().unwrap().entry).unwrap());
        stretches.iter().for_each(|s| ledger.prolong(s).unwrap());
        ledger.sync().unwrap();
        let error = ledger::read(&std::fs::read(&path).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damage);
        assert!(error.to_string().contains(words), "{error}");
    }
}
