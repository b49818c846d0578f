//! A run in the hands of a program: begun, stepped, stopped, resumed, prolonged, closed.

use crate::common::{Small, methods, noted};
use onward::{ErrorKind, ledger};
use onward_run::folder::Folder;
use onward_run::metrics;
use onward_run::sealed::seal;
use onward_run::verify::{Verdict, verify};
use onward_run::{Event, Observers};
use std::path::Path;

fn verified(small: &Small, run: &Path) -> onward_run::verify::Verified {
    verify(&Folder::read_only(run).unwrap(), true, 1, &mut small.clone()).unwrap()
}

fn bytes(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("ledger.bin")).unwrap()
}

#[test]
fn stepped_by_hand_stopped_and_resumed_it_is_the_same_run() {
    for method in methods() {
        let small = Small::new(method, 23);
        let runs = tempfile::tempdir().unwrap();
        let mut whole = small.create(&runs.path().join("whole"));
        let digest = Small::finish(&mut whole);
        for stops in [vec![1], vec![4, 5, 17], vec![22, 23]] {
            let at = runs.path().join(format!("stopped-{}", stops[0]));
            let mut run = small.create(&at);
            let path = run.folder().path().to_owned();
            for stop in stops {
                while run.trainer().state().step() < stop {
                    run.step().unwrap();
                }
                // As a process that dies: what it has not handed to the system is lost.
                drop(run);
                run = small.resume(&path).unwrap();
            }
            assert_eq!(Small::finish(&mut run), digest);
            assert_eq!(bytes(&path), bytes(whole.folder().path()));
            let found = verified(&small, &path);
            assert!(matches!(found.outcome, Verdict::Bound(_)) && found.digest.as_ref() == Some(&digest));
            assert_eq!(run.points().len(), whole.points().len());
        }
    }
}

#[test]
fn whoever_watches_sees_a_step_once_the_ledger_has_it() {
    let runs = tempfile::tempdir().unwrap();
    let (observers, notes) = noted();
    let mut run = Small::new(methods()[1].clone(), 9).create_watched(runs.path(), observers);
    let path = run.folder().path().to_owned();
    // The clock goes on by a second each step, so each is on the disk before it is told.
    run.subscribe(move |event: &Event<'_>| {
        if let Event::Step { step, .. } = event {
            assert_eq!(ledger::read(&bytes(&path)).unwrap().records.len() as u64, *step);
        }
    });
    Small::finish(&mut run);
    let notes = notes.lock().unwrap();
    assert!(notes[0].starts_with("Going { step: 0, steps: 9") && notes.last().unwrap() == "Rested");
    let of = |what: &str| notes.iter().filter(|n| n.starts_with(what)).count();
    assert_eq!((of("step "), of("measured ")), (9, 9), "{notes:?}");
}

#[test]
fn a_run_that_is_stopped_says_so_and_leaves_a_snapshot() {
    for (method, snapshots) in methods().into_iter().zip([1, 1, 0]) {
        let small = Small::new(method, 9);
        let runs = tempfile::tempdir().unwrap();
        let (observers, notes) = noted();
        let mut run = small.create_watched(runs.path(), observers);
        let seen = notes.clone();
        assert!(!run.go_on(|| seen.lock().unwrap().iter().any(|n| n == "step 3")).unwrap());
        assert_eq!(notes.lock().unwrap().last().unwrap(), "Stopped { step: 3 }");
        assert_eq!(run.folder().snapshots().len(), snapshots);
        assert_eq!(verified(&small, run.folder().path()).outcome, Verdict::Unfinished);
    }
}

#[test]
fn a_run_opened_twice_is_refused() {
    let small = Small::new(methods()[0].clone(), 9);
    let runs = tempfile::tempdir().unwrap();
    let mut run = small.create(runs.path());
    run.step().unwrap();
    let path = run.folder().path().to_owned();
    let refused = |result: onward::Result<_>| {
        let error = match result {
            Ok(()) => panic!("opened twice"),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Locked);
        let words = error.to_string();
        assert!(words.contains("a run that no other process works on"), "{words}");
    };
    refused(small.resume(&path).map(|_| ()));
    refused(Folder::open(&path).map(|_| ()));
    run.folder().sign("process 7 on a machine");
    let words = Folder::open(&path).map(|_| ()).unwrap_err().to_string();
    assert!(words.ends_with("another process (process 7 on a machine)"), "{words}");
    // Without the lock file the ledger still belongs to one.
    std::fs::remove_file(path.join("lock")).unwrap();
    refused(small.resume(&path).map(|_| ()));
    run.step().unwrap();
    drop(run);
    assert_eq!(small.resume(&path).unwrap().trainer().state().step(), 2);
}

#[test]
fn a_prolonged_run_has_the_same_bits_however_it_was_interrupted() {
    for method in methods() {
        let (name, small) = (method.name().to_owned(), Small::new(method, 10));
        let longer = Small { budget: Some(24), ..small.clone() };
        let runs = tempfile::tempdir().unwrap();
        let mut run = small.create(&runs.path().join("whole"));
        let first = Small::finish(&mut run);
        let whole = run.folder().path().to_owned();
        drop(run);
        let (observers, notes) = noted();
        let mut run = longer.resume_watched(&whole, observers).unwrap();
        assert!(notes.lock().unwrap().contains(&"Prolonged { from: 10, steps: 24 }".to_owned()));
        assert!(!run.folder().manifest().exists() && !run.folder().model().exists());
        let digest = Small::finish(&mut run);
        drop(run);
        assert_ne!(digest, first);
        for stop in [10, 11, 16, 23, 24] {
            let mut run = small.create(&runs.path().join(format!("at-{stop}")));
            Small::finish(&mut run);
            let path = run.folder().path().to_owned();
            drop(run);
            let mut run = longer.resume(&path).unwrap();
            while run.trainer().state().step() < stop {
                run.step().unwrap();
            }
            drop(run);
            // With the wish said again or not: the ledger knows it.
            let again = if stop % 2 == 0 { &small } else { &longer };
            let mut run = again.resume(&path).unwrap();
            assert_eq!(run.trainer().steps(), 24);
            assert_eq!(Small::finish(&mut run), digest, "{name} at {stop}");
            drop(run);
            assert_eq!(bytes(&path), bytes(&whole), "{name} at {stop}");
            let found = verified(&small, &path);
            assert!(matches!(found.outcome, Verdict::Bound(_)) && found.steps == 24);
        }
        // Once more, and a second time is none.
        let third = Small { budget: Some(30), ..small.clone() };
        let mut run = third.resume(&whole).unwrap();
        Small::finish(&mut run);
        drop(run);
        let before = bytes(&whole);
        Small::finish(&mut third.resume(&whole).unwrap());
        assert_eq!(bytes(&whole), before);
        assert_eq!(ledger::read(&before).unwrap().stretches.len(), 2);
    }
}

#[test]
fn a_run_is_not_prolonged_before_its_end_nor_shortened() {
    let small = Small::new(methods()[1].clone(), 10);
    let runs = tempfile::tempdir().unwrap();
    let mut run = small.create(runs.path());
    run.step().unwrap();
    let path = run.folder().path().to_owned();
    drop(run);
    let error = |budget: u64| {
        let wanting = Small { budget: Some(budget), ..small.clone() };
        let error = wanting.resume(&path).err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Spec);
        error.to_string()
    };
    assert!(error(20).contains("expected a run that has taken all its 10 steps"), "{}", error(20));
    assert!(error(20).contains("found one at step 1"), "{}", error(20));
    Small::finish(&mut small.resume(&path).unwrap());
    let before = bytes(&path);
    assert!(error(9).contains("expected at least the 10 steps that the run has, in all, found 9"));
    assert_eq!(bytes(&path), before);
    assert!(path.join("manifest.json").exists(), "refused before anything is touched");
}

#[test]
fn a_prolonged_run_whose_spec_changed_is_refused() {
    let small = Small::new(methods()[1].clone(), 10);
    let runs = tempfile::tempdir().unwrap();
    let mut run = small.create(runs.path());
    Small::finish(&mut run);
    let path = run.folder().path().to_owned();
    drop(run);
    let changed = Small { rate: 0.5, budget: Some(20), ..small.clone() };
    let error = changed.resume(&path).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Ledger, "{error}");
    assert!(
        error.to_string().contains("settings.method.rate in the ledger's header: expected 0.5"),
        "{error}"
    );
    let changed = Small { steps: 12, budget: Some(20), ..small };
    let error = changed.resume(&path).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Ledger, "{error}");
    assert!(path.join("manifest.json").exists());
}

#[test]
fn a_step_that_failed_ends_what_can_be_done_until_the_run_is_opened_again() {
    let small = Small::new(methods()[0].clone(), 9);
    let runs = tempfile::tempdir().unwrap();
    let mut run = small.create(runs.path());
    run.step().unwrap();
    let (path, moved) = (run.folder().path().to_owned(), runs.path().join("moved"));
    std::fs::rename(&path, &moved).unwrap();
    let error = run.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    std::fs::rename(&moved, &path).unwrap();
    let again = run.step().unwrap_err().to_string();
    assert!(again.contains("found a failed one, to be opened again"), "{again}");
    drop(run);
    let mut run = small.resume(&path).unwrap();
    Small::finish(&mut run);
    assert!(run.step().unwrap_err().to_string().contains("found a finished one"));
    let mut undisturbed = small.create(&runs.path().join("undisturbed"));
    Small::finish(&mut undisturbed);
    assert_eq!(bytes(&path), bytes(undisturbed.folder().path()));
}

#[test]
fn what_a_report_adds_is_bound_by_the_manifest() {
    let small = Small::new(methods()[0].clone(), 5);
    let runs = tempfile::tempdir().unwrap();
    let mut run = small.create_watched(runs.path(), Observers::none());
    assert!(run.go_on(|| false).unwrap());
    run.close(|run, ended| {
        assert_eq!(ended.steps, 5);
        std::fs::write(run.folder().path().join("report.html"), "page").unwrap();
        Ok(())
    })
    .unwrap();
    let path = run.folder().path().to_owned();
    assert!(matches!(verified(&small, &path).outcome, Verdict::Bound(6)));
    std::fs::write(path.join("report.html"), "other").unwrap();
    let error = verify(&Folder::read_only(&path).unwrap(), true, 1, &mut small.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damage);
}

#[test]
fn measurements_of_ones_own_stand_beside_those_of_every_run() {
    let small = Small::new(methods()[0].clone(), 9);
    let runs = tempfile::tempdir().unwrap();
    let (observers, notes) = noted();
    let mut run = small.create_watched(runs.path(), observers);
    for step in 1..=4 {
        run.step().unwrap();
        run.note("auc", 0.5 + 0.1 * f64::from(step), "").unwrap();
    }
    assert!(
        notes.lock().unwrap().iter().any(|n| n.starts_with("Noted(Measurement { step: 4, name: \"auc\""))
    );
    for name in ["", "elapsed", "test_loss"] {
        let error = run.note(name, 1.0, "s").unwrap_err();
        assert_eq!(error.to_string(), format!("measurement: expected a name of its own, found `{name}`"));
    }
    let path = run.folder().path().to_owned();
    drop(run);
    // What was not appended when a process died is measured again, and noted again by whoever noted it.
    let mut run = small.resume(&path).unwrap();
    let step = run.trainer().state().step();
    Small::finish(&mut run);
    let found = metrics::read(&path.join("metrics.jsonl")).unwrap();
    assert!(found.damage.is_empty());
    let all: Vec<u64> = found.others().map(|m| m.step).collect();
    assert_eq!(all, (1..=step).collect::<Vec<u64>>());
    assert_eq!(found.points().len(), 9);
    assert_eq!(found.points(), run.points());
    verified(&small, &path);
}

#[test]
fn the_metrics_of_a_run_that_an_earlier_version_began_go_on() {
    let small = Small::new(methods()[1].clone(), 9);
    let runs = tempfile::tempdir().unwrap();
    let mut run = small.create(&runs.path().join("whole"));
    Small::finish(&mut run);
    let points = run.points().to_vec();
    let mut run = small.create(&runs.path().join("old"));
    (0..5).for_each(|_| run.step().unwrap());
    let path = run.folder().path().to_owned();
    assert!(!run.go_on(|| true).unwrap());
    drop(run);
    let old = |point: &metrics::Point| seal(&serde_json::to_string(point).unwrap()) + "\n";
    let lines: String = points[..5].iter().map(old).collect();
    std::fs::write(path.join("metrics.jsonl"), &lines).unwrap();
    let mut run = small.resume(&path).unwrap();
    Small::finish(&mut run);
    let text = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert!(text.starts_with(&lines) && text[lines.len()..].starts_with(r#"{"step":6,"name":"passes""#));
    let same = |p: &metrics::Point| (p.step, p.passes, p.test_loss, p.train_loss);
    let found = metrics::read(&path.join("metrics.jsonl")).unwrap().points();
    assert_eq!(found.iter().map(same).collect::<Vec<_>>(), points.iter().map(same).collect::<Vec<_>>());
    verified(&small, &path);
}

#[test]
fn an_interface_is_written_again_as_the_build_that_began_the_run_had_it() {
    let runs = tempfile::tempdir().unwrap();
    let begun = Small { interface: ["{\"a\":1}"; 2], ..Small::new(methods()[0].clone(), 6) };
    let run = begun.create(runs.path());
    let path = run.folder().path().to_owned();
    drop(run);
    let interface = path.join("interface.json");
    std::fs::remove_file(&interface).unwrap();
    let other = Small { interface: ["{\"a\":1,\"b\":2}"; 2], ..begun.clone() };
    let refused = other.resume(&path).err().unwrap();
    assert!(refused.to_string().contains("interface.json"), "{refused}");
    let knowing = Small { interface: ["{\"a\":1,\"b\":2}", "{\"a\":1}"], ..begun };
    drop(knowing.resume(&path).unwrap());
    assert_eq!(std::fs::read_to_string(&interface).unwrap(), "{\"a\":1}");
}
