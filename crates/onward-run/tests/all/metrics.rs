//! The metrics of a run: never ahead of its ledger, and written again as far as the ledger tells them.

use crate::common::{SPEC, Small, methods, noted};
use onward::ledger;
use onward_run::folder::Folder;
use onward_run::metrics::{self, Metrics, Point};
use onward_run::verify::{Verdict, verify};
use onward_run::{Event, Observers, Run};
use std::path::Path;
use std::time::Duration;

fn bytes(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("metrics.jsonl")).unwrap()
}

fn read(run: &Path) -> Metrics {
    metrics::read(&run.join("metrics.jsonl")).unwrap()
}

/// What a ledger tells of a row.
fn told(point: &Point) -> Point {
    let Point { step, passes, samples, non_finite, rate, train_loss, .. } = *point;
    Point { step, passes, samples, non_finite, rate, train_loss, ..Point::default() }
}

/// Resumed under a clock that stands still: nothing is brought to the disk for the time that has passed.
fn still(small: &Small, path: &Path) -> Run {
    let clock = Box::new(|| Duration::ZERO);
    Run::resume(Folder::open(path).unwrap(), &mut small.clone(), clock, Observers::none()).unwrap()
}

fn finished(small: &Small, runs: &Path) -> std::path::PathBuf {
    let mut run = small.create(runs);
    Small::finish(&mut run);
    run.folder().path().to_owned()
}

#[test]
fn no_row_is_ahead_of_the_ledger_as_a_process_that_dies_leaves_it() {
    for method in methods() {
        let runs = tempfile::tempdir().unwrap();
        let folder = Folder::create(runs.path(), "small", false).unwrap();
        let path = folder.path().to_owned();
        let (observers, notes) = noted();
        let parts = Small::new(method, 30).parts();
        let clock = Box::new(|| Duration::ZERO);
        let mut run = Run::create(folder, SPEC, parts, clock, observers).unwrap();
        run.subscribe(move |event: &Event<'_>| {
            if matches!(event, Event::Measured(_) | Event::Noted(_)) {
                let there = std::fs::read(path.join("ledger.bin")).unwrap();
                let steps = ledger::read(&there).unwrap().records.len() as u64;
                assert!(read(&path).last_step() <= steps, "{} > {steps}", read(&path).last_step());
            }
        });
        for step in 0..30 {
            run.step().unwrap();
            run.note("mine", f64::from(step), "").unwrap();
        }
        assert_eq!(notes.lock().unwrap().iter().filter(|n| n.starts_with("measured ")).count(), 30);
    }
}

#[test]
fn metrics_that_are_gone_are_written_again_as_far_as_the_ledger_tells() {
    for method in methods() {
        let small = Small::new(method, 23);
        let runs = tempfile::tempdir().unwrap();
        let path = finished(&small, runs.path());
        let before = read(&path).points();
        std::fs::remove_file(path.join("metrics.jsonl")).unwrap();
        let error = verify(&Folder::read_only(&path).unwrap(), true, 1, &mut small.clone()).unwrap_err();
        let words = error.to_string();
        let hint = "writes losses, rates and counts again from the ledger; accuracies and seconds are lost";
        assert!(words.contains("metrics.jsonl") && words.contains(hint), "{words}");
        let (observers, notes) = noted();
        let mut run = small.resume_watched(&path, observers).unwrap();
        let notes = notes.lock().unwrap().clone();
        assert!(notes.iter().any(|n| n.starts_with("MetricsRestored { rows: 22, ")), "{notes:?}");
        Small::finish(&mut run);
        // The present step is measured in full.
        let now = read(&path);
        let (last, rest) = now.points().split_last().map(|(a, b)| (a.clone(), b.to_vec())).unwrap();
        assert_eq!(rest, before[..22].iter().map(told).collect::<Vec<_>>());
        let scored = |p: &Point| (p.test_loss, p.test_accuracy, p.train_accuracy, p.train_loss);
        assert_eq!(scored(&last), scored(before.last().unwrap()));
        assert!(now.repairs().unwrap().contains(" of 22 rows written again from the ledger"));
        let found = verify(&Folder::read_only(&path).unwrap(), true, 1, &mut small.clone()).unwrap();
        assert!(matches!(found.outcome, Verdict::Bound(_)));
        // Once is enough.
        let text = bytes(&path);
        drop(run);
        Small::finish(&mut small.resume(&path).unwrap());
        assert_eq!(bytes(&path), text);
    }
}

#[test]
fn rows_of_a_prolonged_run_are_those_that_were_due_in_each_stretch() {
    // More steps than rows: in the stretch a row is due every third step.
    let small = Small::new(methods()[0].clone(), 23);
    let longer = Small { budget: Some(1300), ..small.clone() };
    let runs = tempfile::tempdir().unwrap();
    let path = finished(&small, runs.path());
    Small::finish(&mut still(&longer, &path));
    let before: Vec<Point> = read(&path).points().iter().map(told).collect();
    std::fs::write(path.join("metrics.jsonl"), "").unwrap();
    Small::finish(&mut still(&small, &path));
    let now: Vec<Point> = read(&path).points().iter().map(told).collect();
    assert_eq!(now, before);
}

#[test]
fn damaged_lines_are_told_in_the_file_and_the_ledger_makes_good_what_it_can() {
    let small = Small::new(methods()[0].clone(), 12);
    let runs = tempfile::tempdir().unwrap();
    let path = finished(&small, runs.path());
    let before = read(&path).points();
    let text = String::from_utf8(bytes(&path)).unwrap();
    let spoil = |text: &str, name: &str, step: u64| {
        let start = format!("{{\"step\":{step},\"name\":\"{name}\"");
        assert!(text.contains(&start));
        text.replace(&start, &start.to_uppercase())
    };
    let spoiled = spoil(&spoil(&spoil(&text, "rate", 3), "train_loss", 3), "test_loss", 5);
    std::fs::write(path.join("metrics.jsonl"), &spoiled).unwrap();
    let (observers, notes) = noted();
    let mut run = small.resume_watched(&path, observers).unwrap();
    let notes = notes.lock().unwrap().clone();
    assert_eq!(notes.iter().filter(|n| n.starts_with("MetricsLeftOut")).count(), 3, "{notes:?}");
    assert!(notes.contains(&"MetricsRestored { rows: 1, measurements: 2 }".to_owned()), "{notes:?}");
    Small::finish(&mut run);
    let now = read(&path);
    let mut expected = before;
    expected[4].test_loss = None;
    assert_eq!((now.points(), now.damage.len(), now.others().count()), (expected, 0, 0));
    let words = now.repairs().unwrap();
    assert!(words.contains("3 lines were left out, and 2 measurements of 1 rows written again"), "{words}");
    verify(&Folder::read_only(&path).unwrap(), true, 1, &mut small.clone()).unwrap();
    for name in ["lost", "restored"] {
        let mut run = small.create(&runs.path().join(name));
        assert!(run.note(name, 1.0, "").is_err());
    }
}

#[test]
fn metrics_that_nothing_happened_to_have_no_repairs() {
    let small = Small::new(methods()[2].clone(), 6);
    let runs = tempfile::tempdir().unwrap();
    assert_eq!(read(&finished(&small, runs.path())).repairs(), None);
}
