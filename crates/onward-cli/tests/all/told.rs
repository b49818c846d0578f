//! What is wrong with a run, or with a wish, is told where it is asked for: nothing is dropped, promised or assumed silently.

use crate::common::{Place, digits, wait_until};
use onward::ledger;
use serde_json::Value;

fn finished(method: &str, steps: u32) -> Place {
    let place = Place::new();
    place.spec("p", method, steps);
    place.train("p");
    place
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A run of two-point steps that are far too wide.
fn diverged() -> (Place, String) {
    let place = Place::new();
    place.spec("p", "two-point", 400);
    assert_eq!(place.onward("train p.toml -q --set method.rate=1e9").code, Some(4));
    let why = String::from_utf8(place.read("runs/p/diverged.txt")).unwrap().trim_end().to_owned();
    assert!(why.starts_with("diverged: "), "{why}");
    (place, why)
}

#[test]
fn metrics_that_are_gone_come_back_as_far_as_the_ledger_tells_and_that_is_said() {
    for method in ["relative-activation", "population"] {
        let place = finished(method, 60);
        let before = place.metrics("runs/p");
        std::fs::remove_file(place.path("runs/p/metrics.jsonl")).unwrap();
        let hint = "writes losses, rates and counts again from the ledger; accuracies and seconds are lost";
        place.onward("verify runs/p").finds_damage(&["runs/p/metrics.jsonl", "found none", hint]);
        let done = place.onward("resume runs/p --json");
        let told = lines(&done.out);
        let restored = told.iter().find(|event| event["event"] == "metrics restored").expect("told");
        assert_eq!(restored["rows"], 59, "{method}");
        let rows = place.metrics("runs/p");
        let of = |name: &str| rows.iter().filter(|row| row.contains(&format!("\"name\":\"{name}\""))).count();
        assert_eq!((of("train_loss"), of("passes"), of("test_accuracy")), (60, 60, 1), "{method}");
        for row in rows.iter().filter(|row| !row.contains("\"restored\"")) {
            assert!(before.contains(row), "{row}");
        }
        place.onward("verify runs/p").good();
        let said = "of 59 rows written again from the ledger; what it does not tell";
        assert!(place.onward("show runs/p").good().contains(said));
        let page = String::from_utf8(place.read("runs/p/report.html")).unwrap();
        assert!(page.contains(said));
    }
}

#[test]
fn metrics_ahead_of_the_ledger_are_told_and_a_killed_process_leaves_none() {
    let place = finished("two-point", 40);
    let whole = place.read("runs/p/ledger.bin");
    place.write("runs/p/ledger.bin", &whole[..whole.len() / 2]);
    let steps = ledger::read(&place.read("runs/p/ledger.bin")).unwrap().records.len();
    let words = format!("metrics.jsonl goes on to step 40, the ledger to step {steps}");
    assert!(place.onward("show runs/p").good().contains(&words));
    assert_eq!(place.onward("show runs/p --json").last_json()["event"], "metrics ahead of the ledger");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    place.write("runs/p/ledger.bin", flipped);
    assert!(place.onward("show runs/p").good().contains("onward repair runs/p"));
    // Many rows, and little of each step in the ledger.
    let place = Place::new();
    place.spec("p", "relative-activation", 2_000_000);
    let mut child = place.start("train p.toml --quiet --set train.eval_every=7");
    wait_until(|| place.names("runs/p/snapshots").len() == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let shown = place.onward("show runs/p").good();
    assert!(!shown.contains("the ledger to step"), "{}", shown.lines().last().unwrap_or_default());
}

#[test]
fn that_a_run_diverged_is_said_by_whatever_is_asked_of_it() {
    let (place, why) = diverged();
    let data = digits().display().to_string();
    let words = place.onward("verify runs/p").good();
    assert!(words.contains(&format!("no model.safetensors: the run {why}")), "{words}");
    assert_eq!(place.onward("verify runs/p --json").last_json()["diverged"], why.as_str());
    for command in ["predict", "eval"] {
        let done = place.onward(&format!("{command} runs/p {data} --json"));
        assert!(done.code == Some(0) && done.err.contains(&format!("; it {why}")), "{}", done.err);
        assert_eq!(lines(&done.out)[0]["diverged"], why.as_str());
    }
    assert!(place.onward("report runs/p").good().contains(&format!("steps; it {why}")));
    assert_eq!(place.onward("report runs/p --json").last_json()["diverged"], why.as_str());
}

#[test]
fn a_finished_run_answers_from_its_model_and_says_that_its_ledger_is_damaged() {
    let place = finished("two-point", 20);
    let data = digits().display().to_string();
    let sound = place.onward(&format!("predict runs/p {data}")).good();
    let whole = place.read("runs/p/ledger.bin");
    let header = 12 + 8 + u32::from_le_bytes(*whole[8..].first_chunk::<4>().unwrap()) as usize;
    for at in (header..whole.len()).step_by(131) {
        let mut flipped = whole.clone();
        flipped[at] ^= 16;
        place.write("runs/p/ledger.bin", flipped);
        let done = place.onward(&format!("predict runs/p {data}"));
        let words = ["warning: runs/p/ledger.bin: record ", "the model is the one that the run left"];
        assert!(words.iter().all(|part| done.err.contains(part)), "{at}: {}", done.err);
        assert_eq!((done.code, done.err.lines().count()), (Some(0), 1));
        assert_eq!(done.out, sound);
    }
    let done = place.onward(&format!("eval runs/p {data} --json"));
    assert_eq!(lines(&done.out)[0]["event"], "ledger damaged");
    // Cut at a record's end, nothing is wrong with the ledger but that it does not lead to the model.
    let second_last = ledger::read(&whole[..whole.len() - 1]).unwrap().sound as usize;
    place.write("runs/p/ledger.bin", &whole[..second_last]);
    let done = place.onward(&format!("eval runs/p {data}"));
    assert!(
        done.err.contains("the 20 steps that manifest.json tells of") && done.code == Some(0),
        "{}",
        done.err
    );
    // What the run began with has to be sound: without it, nothing says whose model this is.
    let mut flipped = whole;
    flipped[header / 2] ^= 16;
    place.write("runs/p/ledger.bin", flipped);
    place.onward(&format!("predict runs/p {data}")).finds_damage(&["runs/p/ledger.bin", "record 0"]);
}

#[test]
fn errors_of_epochs_speak_of_epochs() {
    let place = Place::new();
    let spec = place.spec("p", "two-point", 1);
    let text = std::fs::read_to_string(&spec).unwrap().replace("steps = 1\n", "epochs = 5\n");
    std::fs::write(&spec, text).unwrap();
    let steps = place.onward("train p.toml --json").last_json()["steps"].as_u64().unwrap();
    let has = format!("--epochs: expected at least the 5 epochs ({steps} steps) that the run has, in all");
    place.onward("resume runs/p --epochs 2").refuses(&[&has, "found 2 (", " steps)"]);
    let whole = place.read("runs/p/ledger.bin");
    place.write("runs/p/ledger.bin", &whole[..whole.len() - 3]);
    let all = format!("--epochs: expected a run that has taken all its 5 epochs ({steps} steps)");
    place.onward("resume runs/p --epochs 9").refuses(&[
        &all,
        "`onward resume runs/p` takes them",
        "found one at",
    ]);
    place.onward("resume runs/p -q").good();
    place.onward(&format!("resume runs/p -q --steps {}", steps + 3)).good();
    place.onward("resume runs/p --epochs 5").refuses(&["expected at least the 5.", " epochs (", "found 5 ("]);
}

#[test]
fn words_and_numbers_that_are_no_choice_are_named_for_what_they_are() {
    let place = Place::new();
    place.spec("p", "two-point", 5);
    for (set, parts) in [
        ("method.name=snez", &["found the string \"snez\"; did you mean \"snes\"?"][..]),
        ("model.activation=rellu", &["did you mean \"relu\"?"]),
        ("train.steps=99999999999999999999", &["an integer", "found 99999999999999999999, beyond 2^63 - 1"]),
    ] {
        place.onward(&format!("train p.toml --set {set}")).refuses(parts);
    }
    let far = place.onward("train p.toml --set method.name=nothing-like-it").refuses(&["expected one of"]);
    assert!(!far.contains("did you mean"), "{far}");
    let text = String::from_utf8(place.read("p.toml")).unwrap();
    place.write("p.toml", text.replace("two-point", "two-pint"));
    place.onward("train p.toml").refuses(&["p.toml:", "method.name", "did you mean \"two-point\"?"]);
}

#[test]
fn a_file_is_no_missing_folder() {
    let place = Place::new();
    place.spec("p", "two-point", 5);
    for command in ["verify p.toml", "show p.toml", "resume p.toml", "report p.toml"] {
        place
            .onward(command)
            .refuses(&["p.toml: expected a run's folder with a ledger.bin in it, found a file"]);
    }
    place.onward("verify nowhere").refuses(&["found no such folder"]);
}

#[test]
fn with_json_an_error_has_its_parts() {
    let place = finished("two-point", 5);
    let error = |command: &str, code: i32| {
        let done = place.onward(&format!("{command} --json"));
        assert_eq!((done.code, done.err.lines().count()), (Some(code), 1), "{}", done.err);
        let last = lines(&done.out).pop().expect("told");
        assert_eq!(last["event"], "error");
        let sentence = last["error"]["sentence"].as_str().unwrap();
        assert_eq!(done.err, format!("error: {sentence}\n"));
        last["error"].clone()
    };
    let found = error("train p.toml --set method.name=two-pint", 2);
    assert_eq!((&found["kind"], &found["hints"][0]), (&"spec".into(), &"did you mean \"two-point\"?".into()));
    assert_eq!(found["place"], serde_json::json!([{"argument": "--set"}, {"key": "method.name"}]));
    assert_eq!(found["found"], "the string \"two-pint\"");
    assert_eq!(error("verify nowhere", 2)["kind"], "io");
    assert_eq!(error("show nowhere", 2)["place"], serde_json::json!([{"file": "nowhere"}]));
    assert_eq!(error("minimize", 2)["kind"], "spec");
    assert_eq!(error("explain method.sigam", 2)["hints"][0], "did you mean method.sigma?");
    place.write("runs/p/model.safetensors", "");
    assert_eq!(error("verify runs/p", 3)["kind"], "damage");
    let (place, why) = diverged();
    let done = place.onward("resume runs/p --json");
    let last = lines(&done.out).pop().unwrap();
    assert_eq!((done.code, &last["error"]["kind"]), (Some(4), &"diverged".into()), "{why}");
    assert_eq!(place.onward("verify nowhere").out, "");
}
