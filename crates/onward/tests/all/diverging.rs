//! What has diverged is a function of the losses alone: a run that was stopped is judged as one that was not.

use crate::common::{blobs, plan, relative, two_point};
use onward::ErrorKind;
use onward::ledger::Entry;
use onward::model::{Activation, Mlp};
use onward::rule::Method;
use onward::train::{Plan, Trainer};

fn net() -> Mlp {
    Mlp::new(&[6, 8, 3], Activation::Relu).unwrap()
}

fn wild() -> Plan {
    plan(Method::RelativeActivation(relative(4)), 100.0, 60, 20)
}

fn begun(plan: Plan) -> Trainer {
    crate::common::trainer(plan, net(), &blobs(60, [1, 1, 6], 3, 1), 1)
}

#[test]
fn a_run_is_judged_by_its_losses_however_it_came_to_them() {
    let (mut trainer, mut records, mut snapshots) = (begun(wild()), Vec::<Entry>::new(), Vec::new());
    let error = loop {
        snapshots.push(trainer.state().to_snapshot(&[0; 32]).unwrap());
        match trainer.step() {
            Ok(step) => records.push(step.entry),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
    for part in ["diverged: step ", "the first step's ", "method.rate", "data.center"] {
        assert!(error.to_string().contains(part), "{part:?} in {error}");
    }
    assert!((6..60).contains(&records.len()), "{} steps", records.len());
    // Taken again, and from a snapshot in their middle.
    let mut again = begun(wild());
    records.iter().for_each(|r| again.retake(r).unwrap());
    assert_eq!(again.sound().unwrap_err().to_string(), error.to_string());
    assert_eq!(again.state(), trainer.state());
    let half = records.len() / 2;
    again.restore(&snapshots[half], &records, &vec![[0; 32]; records.len() + 1]).unwrap();
    assert!(again.sound().is_ok(), "not yet");
    records[half..].iter().for_each(|r| again.retake(r).unwrap());
    assert_eq!(again.step().err().unwrap().to_string(), error.to_string());
}

#[test]
fn having_no_finite_loss_any_more_is_divergence() {
    let mut trainer = begun(plan(Method::TwoPoint(two_point(4)), 3e38, 60, 60));
    let error = (0..60).find_map(|_| trainer.step().err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
    assert!(error.to_string().contains("halve method.rate"), "{error}");
}
