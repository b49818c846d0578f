//! A finished run can be given more steps, and stays one run: replayed, verified and resumed like any other.

use crate::common::{METHODS, Place, wait_until};
use std::process::Command;

#[test]
fn a_finished_run_is_prolonged_to_the_same_bits_whether_interrupted_or_not() {
    for method in METHODS {
        let place = Place::new();
        place.spec("p", method, 60);
        let first = place.train("p");
        place.onward("train p.toml -q --runs other").good();
        let done = place.onward("resume runs/p --steps 150 --json");
        assert!(done.out.contains(r#"{"event":"prolonged","from":60,"steps":150}"#), "{}", done.out);
        let digest = done.last_json()["digest"].clone();
        assert_ne!(digest, first.as_str());
        place.onward("verify runs/p --from-start").good();
        place.onward("verify runs/p").good();
        assert!(place.onward("replay runs/p --to 60").good().starts_with(&first), "{method}");
        assert!(place.onward("show runs/p --ledger").good().contains("150 of 150 steps"));
        // As a process leaves it that dies in the stretch; then the same command, or without the wish.
        let whole = place.read("runs/p/ledger.bin");
        for (cut, command) in [(40, "resume other/p --steps 150"), (90, "resume other/p")] {
            place.onward("resume other/p --steps 150 -q").good();
            for name in ["manifest.json", "model.safetensors"] {
                std::fs::remove_file(place.path(&format!("other/p/{name}"))).unwrap();
            }
            let whole = place.read("other/p/ledger.bin");
            place.write("other/p/ledger.bin", &whole[..whole.len() * (100 + cut) / 200]);
            let done = place.onward(&format!("{command} --json"));
            assert_eq!(done.last_json()["digest"], digest, "{method}");
        }
        assert!(place.read("other/p/ledger.bin") == whole, "{method}");
        assert_eq!(place.metrics("other/p"), place.metrics("runs/p"), "{method}");
        assert_eq!(place.names("other/p/snapshots"), place.names("runs/p/snapshots"), "{method}");
    }
}

#[test]
fn a_run_whose_spec_speaks_in_epochs_is_prolonged_in_epochs() {
    for (method, batch) in [("two-point", 50), ("rso", 400)] {
        let place = Place::new();
        let spec = place.spec("p", method, 1);
        let text = std::fs::read_to_string(&spec).unwrap().replace("steps = 1\n", "epochs = 1\n");
        std::fs::write(&spec, text.replace("batch = 50", &format!("batch = {batch}"))).unwrap();
        let finished = |done: crate::common::Done| done.last_json()["steps"].as_u64().unwrap();
        let steps = finished(place.onward("train p.toml --json"));
        assert_eq!(finished(place.onward("resume runs/p --epochs 3 --json")), 3 * steps, "{method}");
        assert_eq!(finished(place.onward("resume runs/p --epochs 3 --json")), 3 * steps, "{method}");
        assert_eq!(
            finished(place.onward(&format!("resume runs/p --steps {} --json", 3 * steps + 5))),
            3 * steps + 5
        );
        place.onward("verify runs/p --from-start").good();
    }
}

#[test]
fn what_cannot_be_prolonged_is_refused_and_left() {
    let place = Place::new();
    place.spec("p", "two-point", 20);
    place.train("p");
    let before = (place.read("runs/p/ledger.bin"), place.names("runs/p"));
    let refuses = |command: &str, parts: &[&str]| _ = place.onward(command).refuses(parts);
    refuses(
        "resume runs/p --steps 19",
        &["runs/p: expected at least the 20 steps that the run has, in all, found 19"],
    );
    refuses(
        "resume runs/p --epochs 4",
        &["--epochs: expected a spec with train.epochs, found train.steps = 20"],
    );
    for (words, says) in [
        ("--steps 0", "0"),
        ("--steps 4294967296", "4294967296"),
        ("--steps many", "many"),
        ("--epochs -1", "-1"),
        ("--epochs 0", "expected a number above 0"),
        ("--epochs inf", "expected a number above 0"),
        ("--steps 30 --epochs 3", "cannot be used with"),
    ] {
        let done = place.onward(&format!("resume runs/p {words}"));
        assert!(done.code == Some(2) && done.err.contains(says), "{words}: {}", done.err);
    }
    assert_eq!((place.read("runs/p/ledger.bin"), place.names("runs/p")), before);
    place.onward("verify runs/p").good();
    // Not before its end.
    let whole = place.read("runs/p/ledger.bin");
    place.write("runs/p/ledger.bin", &whole[..whole.len() - 3]);
    refuses(
        "resume runs/p --steps 30",
        &[
            "runs/p: expected a run that has taken all its 20 steps",
            "onward resume runs/p",
            "found one at step 19",
        ],
    );
    place.onward("resume runs/p").good();
    place.onward("verify runs/p").good();
}

#[test]
fn a_changed_spec_is_refused_by_its_key_also_of_a_prolonged_run() {
    let place = Place::new();
    place.spec("p", "relative-activation", 20);
    place.train("p");
    place.onward("resume runs/p --steps 30 -q").good();
    for (set, words) in [
        ("method.rate=0.123", "p.toml: method.rate: changed since the run began, line"),
        ("model.hidden=[17]", "p.toml: model.hidden: changed since the run began, line"),
        ("seed=2", "p.toml: seed: changed since the run began, line"),
    ] {
        place.onward(&format!("train p.toml --resume --set {set}")).refuses(&[
            words,
            "expected `",
            "found `",
        ]);
    }
    place
        .onward("train p.toml --resume --set train.steps=40")
        .refuses(&["train.steps: changed", "prolonged by `onward resume RUN --steps N`"]);
    // In its own folder: nothing but the digest tells of it.
    let spec = String::from_utf8(place.read("runs/p/spec.toml")).unwrap();
    place.write("runs/p/spec.toml", spec.replace("batch = 50", "batch = 40"));
    place.onward("resume runs/p --steps 40").finds_damage(&["runs/p/spec.toml: expected a spec with digest"]);
    place.write("runs/p/spec.toml", spec);
    place.onward("train p.toml --resume").good();
    place.onward("verify runs/p").good();
}

#[test]
fn ctrl_c_in_a_stretch_leaves_a_run_that_goes_on() {
    let place = Place::new();
    place.spec("p", "relative-activation", 20);
    place.train("p");
    let mut child = place.start("resume runs/p --steps 2000000 -q");
    wait_until(|| place.path("runs/p/snapshots").exists());
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let words = place.onward("verify runs/p").good();
    assert!(words.contains("the run is not finished"), "{words}");
    let shown = place.onward("show runs/p --ledger").good();
    assert!(shown.contains("of 2000000 steps"), "{}", shown.lines().next().unwrap_or_default());
}
